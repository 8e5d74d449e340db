//! Athena's statements, taken apart.
//!
//! Athena sends queries to Trino and the rest to Hive, and so do we: what begins with `SELECT`, `WITH`, `VALUES`, `TABLE` or a parenthesis is left
//! as text for [`crate::query`]; everything else is Hive's DDL and is parsed here, by hand, into a [`Statement`], whose
//! families are one file each. Parsing is pure: it asks no catalog.

mod ddl;
mod explain;
mod iceberg;
mod prepared;
pub mod render;
mod show;
mod table;
mod token;
mod write;

#[cfg(test)]
mod tests;

pub use ddl::{AlterTable, ColumnPlace, Ddl, PartitionCondition};
pub use explain::Explain;
pub use iceberg::{CreateIceberg, Iceberg};
pub use prepared::{Prepared, parse_preparable};
pub use show::Show;
pub use token::quote_identifier;
pub use write::{CreateTableAs, Insert, Properties, PropertyValue, Unload, Write};

use crate::query::{Position, QueryError};
use token::{Cursor, Token};

/// A table's name as written, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// `None`: the query's default database.
    pub database: Option<String>,
    /// Without the database.
    pub name: String,
    /// Where it stands.
    pub position: Position,
}

impl TableName {
    /// Database and name, with the query's default database where none is written.
    ///
    /// # Errors
    /// There is neither.
    pub fn resolve(&self, default: Option<&str>) -> Result<(String, String), QueryError> {
        let database = self.database.as_deref().or(default).filter(|name| !name.is_empty());
        let database = database.ok_or(QueryError::NoDatabase(self.position))?;
        Ok((database.to_lowercase(), self.name.clone()))
    }
}

/// `PARTITION (key = 'value', …)`: lower-case keys and values as text (Hive's form for nulls), in the order written.
pub type PartitionSpec = Vec<(String, String)>;

/// One statement of Athena's, by what carries it out.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// Reads: for [`crate::query::Engine::query`].
    Query {
        /// Its text, without the semicolon.
        sql: String,
    },
    /// Shows a plan.
    Explain(Explain),
    /// Changes the catalog.
    Ddl(Ddl),
    /// Shows the catalog.
    Show(Show),
    /// Writes what a query reads.
    Write(Write),
    /// What only Iceberg tables know.
    Iceberg(Iceberg),
    /// Keeps, executes or forgets a statement.
    Prepared(Prepared),
}

/// How the objects are called that hold an execution's result, below its result location (Athena user guide, "Query output files").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultName {
    /// `ID.csv`: rows under a header.
    Csv,
    /// `ID.txt`: lines of text.
    Text,
    /// `ID`: nothing but metadata and a manifest.
    Bare,
    /// `tables/ID`: the data of a new table.
    Table,
}

impl Statement {
    /// Athena's `StatementType` (Athena API reference, `QueryExecution`): `DDL`, `DML` or `UTILITY`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Query { .. } | Self::Explain(_) => "DML",
            Self::Ddl(_) => "DDL",
            Self::Show(_) => "UTILITY",
            Self::Write(write) => write.kind(),
            Self::Iceberg(iceberg) => iceberg.kind(),
            Self::Prepared(prepared) => prepared.kind(),
        }
    }

    /// Athena's `SubstatementType`, where it has one: `SELECT`, `CREATE_TABLE`, …
    pub fn sub_kind(&self) -> &'static str {
        match self {
            Self::Query { .. } => "SELECT",
            Self::Explain(_) => "EXPLAIN",
            Self::Ddl(ddl) => ddl.sub_kind(),
            Self::Show(show) => show.sub_kind(),
            Self::Write(write) => write.sub_kind(),
            Self::Iceberg(iceberg) => iceberg.sub_kind(),
            Self::Prepared(prepared) => prepared.sub_kind(),
        }
    }

    /// Where the result lies.
    pub fn result_name(&self) -> ResultName {
        match self {
            Self::Query { .. } => ResultName::Csv,
            Self::Explain(_) | Self::Ddl(_) | Self::Show(_) => ResultName::Text,
            Self::Write(write) => write.result_name(),
            Self::Iceberg(iceberg) => iceberg.result_name(),
            Self::Prepared(prepared) => prepared.result_name(),
        }
    }

    /// The query within, whose syntax [`check_query`] checks.
    pub fn query(&self) -> Option<&str> {
        match self {
            Self::Query { sql } | Self::Explain(Explain { sql, .. }) => Some(sql),
            Self::Write(write) => Some(write.query()),
            Self::Ddl(_) | Self::Show(_) | Self::Prepared(_) | Self::Iceberg(_) => None,
        }
    }
}

/// What statements may begin with.
const BEGINNINGS: &[&str] =
    &["'ALTER'", "'CREATE'", "'DESCRIBE'", "'DROP'", "'EXPLAIN'", "'MSCK'", "'SELECT'", "'SHOW'", "'VALUES'", "'WITH'"];

/// Statements that Athena has and Millpond does not yet.
const LATER: &[(&str, &str)] = &[("USING", "USING EXTERNAL FUNCTION")];

fn statement(cursor: &mut Cursor<'_>) -> Result<Statement, QueryError> {
    let first = match &cursor.peek().token {
        Token::Word(word) => word.to_uppercase(),
        Token::Symbol("(") => return Ok(Statement::Query { sql: cursor.rest().to_owned() }),
        _ => return Err(cursor.unexpected(BEGINNINGS)),
    };
    match first.as_str() {
        "SELECT" | "WITH" | "VALUES" | "TABLE" => return Ok(Statement::Query { sql: cursor.rest().to_owned() }),
        "EXPLAIN" => return explain::explain(cursor).map(Statement::Explain),
        _ => {}
    }
    if let Some((_, name)) = LATER.iter().find(|(word, _)| *word == first) {
        return Err(QueryError::NotSupported(format!("{name} statements are not supported yet")));
    }
    let parsed = match first.as_str() {
        "CREATE" => ddl::create(cursor).map(Statement::Ddl),
        "DROP" => ddl::drop(cursor).map(Statement::Ddl),
        "ALTER" => ddl::alter(cursor).map(Statement::Ddl),
        "MSCK" => ddl::msck(cursor).map(Statement::Ddl),
        "PREPARE" => prepared::prepare(cursor).map(Statement::Prepared),
        "EXECUTE" => prepared::execute(cursor).map(Statement::Prepared),
        "DEALLOCATE" => prepared::deallocate(cursor).map(Statement::Prepared),
        "SHOW" => show::show(cursor).map(Statement::Show),
        "DESCRIBE" | "DESC" => show::describe(cursor).map(Statement::Show),
        _ => Err(cursor.unexpected(BEGINNINGS)),
    }?;
    cursor.end()?;
    Ok(parsed)
}

/// Takes one statement apart; a semicolon may end it.
///
/// The text of a query is not looked into here: [`check_query`] does.
///
/// # Errors
/// [`QueryError::Syntax`] with the place, [`QueryError::NotSupported`] for statements that Athena has and Millpond does not yet.
pub fn parse(sql: &str) -> Result<Statement, QueryError> {
    if let Some(write) = write::parse(sql)? {
        return Ok(Statement::Write(write));
    }
    if let Some(iceberg) = iceberg::parse(sql)? {
        return Ok(Statement::Iceberg(iceberg));
    }
    let mut cursor = Cursor::new(sql);
    statement(&mut cursor)
}

/// Checks the syntax of a query, as Athena does when it is submitted.
///
/// # Errors
/// [`QueryError::Syntax`] with the place.
pub fn check_query(sql: &str) -> Result<(), QueryError> {
    crate::query::check_syntax(sql)
}

/// Whether a name fits the pattern of a `SHOW` statement: `*` and `%` stand for any characters, `|` separates choices; case does not count
/// (Athena User Guide, "SHOW TABLES").
pub fn show_pattern(pattern: Option<&str>, name: &str) -> bool {
    let Some(pattern) = pattern else { return true };
    let name = name.to_lowercase();
    pattern.to_lowercase().split('|').any(|choice| wildcard(choice.trim().as_bytes(), name.as_bytes()))
}

fn wildcard(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while place < name.len() {
        match pattern.get(at) {
            Some(b'*' | b'%') => {
                retry = Some((at + 1, place));
                at += 1;
            }
            Some(b'.') if pattern.get(at + 1) == Some(&b'*') => at += 1,
            Some(byte) if *byte == name[place] => {
                at += 1;
                place += 1;
            }
            _ => match retry {
                Some((after, taken)) => {
                    retry = Some((after, taken + 1));
                    at = after;
                    place = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| matches!(byte, b'*' | b'%' | b'.'))
}
