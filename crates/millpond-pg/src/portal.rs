//! Prepared statements, and portals: a statement with its parameters, and the rows that are left of its answer.

use crate::answer::Running;
use crate::catalog::concerns;
use crate::commands::{Command, command};
use crate::errors::error;
use crate::parameters::{literal, looks_like};
use crate::rows::Columns;
use crate::text::{Placeholders, placeholders, unquote};
use pgwire::api::Type;
use pgwire::error::ErrorInfo;
use std::sync::{Arc, Mutex, PoisonError};

/// Of a session, at a time.
pub(crate) const STATEMENTS_MAX: usize = 1000;

/// Of a session, at a time: each may hold a running query.
pub(crate) const PORTALS_MAX: usize = 64;

/// Bytes of a session's prepared statements, and of its portals' parameters.
pub(crate) const KEPT_BYTES_MAX: usize = 32 << 20;

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Nothing,
    Session(Command),
    Catalog,
    Lake,
}

/// A statement.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    /// As it was sent.
    pub(crate) sql: String,
    pub(crate) subject: Subject,
    pub(crate) placeholders: Placeholders,
    /// Of its parameters, as far as they are known: `unknown` otherwise.
    pub(crate) types: Vec<Type>,
    /// The types of the columns that its client was told of before it was bound.
    told: Arc<Mutex<Option<Box<[u32]>>>>,
}

impl Prepared {
    /// Takes a statement apart; `types` are those that its client told.
    pub(crate) fn new(sql: &str, types: &[u32]) -> Result<Self, ErrorInfo> {
        let placeholders = placeholders(sql).ok_or_else(|| error("42P02", "there is no parameter of that number"))?;
        let subject = match crate::text::tokens(sql).is_empty() {
            true => Subject::Nothing,
            false => match command(sql).map_err(|message| error("42601", message))? {
                Some(command) => Subject::Session(command),
                None if concerns(sql) => Subject::Catalog,
                None => Subject::Lake,
            },
        };
        let count = placeholders.count.max(types.len());
        let known = |place: usize| {
            let told = types.get(place).copied().filter(|oid| *oid != 0).map(|oid| Type::from_oid(oid).unwrap_or(Type::UNKNOWN));
            let cast = || placeholders.casts.get(place)?.as_deref().and_then(named);
            told.or_else(cast).unwrap_or(Type::UNKNOWN)
        };
        Ok(Self { sql: sql.to_owned(), subject, types: (0..count).map(known).collect(), placeholders, told: Arc::default() })
    }

    /// Keeps what its client was told.
    pub(crate) fn tell(&self, columns: &Columns) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(columns.oids());
    }

    /// Whether its client, who was told before, can read rows of these columns.
    pub(crate) fn is_told(&self, columns: &Columns) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.as_ref().is_none_or(|told| columns.can_be_read_as(told))
    }

    /// Bytes that it takes while it is kept.
    pub(crate) fn size_bytes(&self) -> usize {
        // The text is there twice: as it was sent, and with `?` for parameters.
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, |told| size_of_val(&**told));
        2 * self.sql.len() + self.types.len() * size_of::<Type>() + told
    }

    /// The cursor that it fetches from, and how many rows (all without a number).
    pub(crate) fn fetches(&self) -> Option<(&str, Option<usize>)> {
        match &self.subject {
            Subject::Session(Command::Fetch { cursor, count } | Command::Move { cursor, count }) => Some((cursor, *count)),
            _ => None,
        }
    }

    /// Whether it only skips what it fetches.
    pub(crate) fn moves(&self) -> bool {
        matches!(self.subject, Subject::Session(Command::Move { .. }))
    }

    /// Whether it is taken after an error in a transaction.
    pub(crate) fn ends_transaction(&self) -> bool {
        matches!(self.subject, Subject::Session(Command::Commit | Command::Rollback | Command::Nothing("ROLLBACK")))
    }

    /// The text for Athena: with `?` for parameters.
    pub(crate) fn lake_sql(&self) -> &str {
        &self.placeholders.sql
    }

    /// The text for PostgreSQL's catalog: with literals for parameters, in the order of `values`.
    pub(crate) fn catalog_sql(&self, values: &[String]) -> String {
        let (mut sql, mut rest) = (String::new(), self.placeholders.sql.as_str());
        let tokens = crate::text::tokens(&self.sql);
        let places = tokens.iter().filter(|token| matches!(token.kind, crate::text::Kind::Parameter(_)));
        let mut at = 0;
        for (place, value) in places.zip(values) {
            sql.push_str(&rest[..place.at.start - at]);
            sql.push_str(value);
            rest = &rest[place.at.end - at..];
            at = place.at.end;
        }
        sql.push_str(rest);
        sql
    }

    /// The literal of each `?`, from the values that a client bound.
    pub(crate) fn literals(&self, formats: &[i16], values: &[Option<Vec<u8>>]) -> Result<Vec<String>, ErrorInfo> {
        if values.len() != self.types.len() {
            let message =
                format!("bind message supplies {} parameters, but the statement requires {}", values.len(), self.types.len());
            return Err(error("08P01", message));
        }
        if formats.len() > 1 && formats.len() != values.len() {
            return Err(error(
                "08P01",
                format!("bind message has {} parameter formats but {} parameters", formats.len(), values.len()),
            ));
        }
        let one = |place: usize| {
            let format = formats.get(if formats.len() == 1 { 0 } else { place }).copied().unwrap_or(0);
            literal(&self.types[place], format, values[place].as_deref())
                .map_err(|message| error("22P02", format!("parameter ${}: {message}", place + 1)))
        };
        self.placeholders.order.iter().map(|place| one(*place)).collect()
    }

    /// Other literals, where parameters' types were not told and they do not fit as texts: what some of them look like, the fewest first. Where they
    /// are many: what moments look like, and then all.
    pub(crate) fn guesses(&self, literals: &[String]) -> Vec<Vec<String>> {
        const FEW: usize = 4;
        let looks = self.placeholders.order.iter().zip(literals).enumerate().filter_map(|(at, (place, told))| {
            let text = unquote(told).filter(|_| self.types[*place] == Type::UNKNOWN)?;
            let kind = looks_like(&text)?;
            let is_moment = [Type::DATE, Type::TIMESTAMP, Type::TIMESTAMPTZ, Type::TIME].contains(&kind);
            Some((at, literal(&kind, 0, Some(text.as_bytes())).ok()?, is_moment))
        });
        let looks: Vec<(usize, String, bool)> = looks.collect();
        let mut choices: Vec<Vec<bool>> = match looks.len() {
            0 => Vec::new(),
            few @ 1..=FEW => (1..1usize << few).map(|bits| (0..few).map(|at| bits >> at & 1 == 1).collect()).collect(),
            many => vec![looks.iter().map(|look| look.2).collect(), vec![true; many]],
        };
        choices.sort_by_key(|choice| choice.iter().filter(|chosen| **chosen).count());
        let guess = |choice: Vec<bool>| {
            let mut guess = literals.to_vec();
            for (look, _) in looks.iter().zip(choice).filter(|(_, chosen)| *chosen) {
                guess[look.0].clone_from(&look.1);
            }
            guess
        };
        choices.into_iter().map(guess).collect()
    }

    /// A value of each `?`'s type that says nothing else: for describing a statement before its parameters are known. What was not told is a text, or
    /// (`any`) of whatever type fits.
    pub(crate) fn nulls(&self, any: bool) -> Vec<String> {
        let null = |place: &usize| match &self.types[*place] {
            kind if any && *kind == Type::UNKNOWN => "NULL".to_owned(),
            kind => format!("CAST(NULL AS {})", trino_name(kind)),
        };
        self.placeholders.order.iter().map(null).collect()
    }
}

/// PostgreSQL's and Trino's names of types, as they stand after `::`.
pub(crate) fn named(name: &str) -> Option<Type> {
    Some(match name {
        "bool" | "boolean" => Type::BOOL,
        "int2" | "smallint" | "tinyint" => Type::INT2,
        "int" | "int4" | "integer" => Type::INT4,
        "int8" | "bigint" => Type::INT8,
        "float4" | "real" => Type::FLOAT4,
        "float8" | "double" => Type::FLOAT8,
        "numeric" | "decimal" => Type::NUMERIC,
        "text" | "varchar" | "char" | "string" => Type::VARCHAR,
        "date" => Type::DATE,
        "timestamp" => Type::TIMESTAMP,
        "timestamptz" => Type::TIMESTAMPTZ,
        "time" => Type::TIME,
        "uuid" => Type::UUID,
        "json" => Type::JSON,
        "bytea" | "varbinary" => Type::BYTEA,
        _ => return None,
    })
}

fn trino_name(kind: &Type) -> &'static str {
    match *kind {
        Type::BOOL => "boolean",
        Type::INT2 => "smallint",
        Type::INT4 | Type::OID => "integer",
        Type::INT8 => "bigint",
        Type::FLOAT4 => "real",
        Type::FLOAT8 => "double",
        Type::NUMERIC => "decimal(38, 9)",
        Type::DATE => "date",
        Type::TIMESTAMP => "timestamp",
        Type::TIMESTAMPTZ => "timestamp with time zone",
        Type::TIME => "time",
        Type::BYTEA => "varbinary",
        _ => "varchar",
    }
}

/// A portal, or a cursor of SQL's, which is one too.
pub(crate) struct Portal {
    pub(crate) statement: Arc<Prepared>,
    /// A literal for each `?`.
    pub(crate) literals: Vec<String>,
    /// As bound: of the result's columns.
    pub(crate) formats: Vec<i16>,
    pub(crate) state: State,
    /// A cursor that outlives the transaction.
    pub(crate) hold: bool,
    /// `DECLARE`d: what comes from it comes by `FETCH`.
    pub(crate) is_cursor: bool,
}

impl Portal {
    /// Bytes of its parameters, which are there until it is closed.
    pub(crate) fn size_bytes(&self) -> usize {
        self.literals.iter().map(String::len).sum()
    }
}

/// How far a portal is.
pub(crate) enum State {
    /// Nothing ran yet.
    New,
    /// It gives rows.
    Rows(Box<Running>, Columns),
    /// It gave all its rows.
    Ended(Columns),
    /// It has none; for `CommandComplete`.
    Done(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_get_the_types_that_are_known() {
        let prepared = Prepared::new("SELECT $1::bigint, $2, $3 FROM t", &[0, 23]).unwrap();
        assert_eq!(prepared.types, [Type::INT8, Type::INT4, Type::UNKNOWN]);
        assert_eq!(prepared.subject, Subject::Lake);
        let values = [Some(b"7".to_vec()), None, Some(b"x'".to_vec())];
        assert_eq!(prepared.literals(&[], &values).unwrap(), ["CAST('7' AS bigint)", "NULL", "'x'''"]);
        assert_eq!(prepared.literals(&[], &values[..1]).unwrap_err().code, "08P01");
        assert_eq!(prepared.literals(&[0, 0], &values).unwrap_err().code, "08P01");
    }

    #[test]
    fn the_catalogs_statements_get_their_values_in_place() {
        let prepared = Prepared::new("SELECT relname FROM pg_class WHERE oid = $1 AND relname <> $2", &[]).unwrap();
        assert_eq!(prepared.subject, Subject::Catalog);
        let values = prepared.literals(&[], &[Some(b"1".to_vec()), Some(b"a'b".to_vec())]).unwrap();
        assert_eq!(prepared.catalog_sql(&values), "SELECT relname FROM pg_class WHERE oid = '1' AND relname <> 'a''b'");
    }
}
