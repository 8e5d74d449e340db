//! Statements that only Iceberg tables know: `CREATE TABLE … TBLPROPERTIES ('table_type' = 'ICEBERG')`, DELETE, UPDATE, MERGE, OPTIMIZE and
//! VACUUM.
//!
//! DDL is Hive's, DML Trino's. Expressions are left as text; what they say is the engine's to find out.

use super::ddl::{list, location, properties, table_name};
use super::table;
use super::token::{Cursor, Token as HiveToken};
use super::write::Reader;
use super::{ResultName, TableName};
use crate::iceberg::merge::{Insertion, Matched, Merging};
use crate::query::QueryError;
use datafusion::sql::sqlparser::tokenizer::Token;
use millpond_core::catalog::{Column, Parameters};

/// `CREATE TABLE [IF NOT EXISTS] name (columns) …` without `EXTERNAL`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateIceberg {
    /// The new table.
    pub name: TableName,
    /// No error where it exists.
    pub if_not_exists: bool,
    /// In order.
    pub columns: Vec<Column>,
    /// `COMMENT`
    pub comment: Option<String>,
    /// `PARTITIONED BY (…)`: each field as written; columns with types are Hive's way.
    pub partitioned_by: Vec<String>,
    /// `s3://bucket/prefix/`
    pub location: String,
    /// `TBLPROPERTIES (…)`
    pub properties: Parameters,
    /// The first clause that such tables do not have.
    pub refused: Option<&'static str>,
}

/// A statement for Iceberg tables.
#[derive(Debug, Clone, PartialEq)]
pub enum Iceberg {
    /// `CREATE TABLE`
    Create(Box<CreateIceberg>),
    /// `DELETE FROM name [WHERE condition]`. Expressions stand at their places: behind as many blanks as there was text before them.
    Delete {
        /// The table.
        name: TableName,
        /// SQL text.
        condition: Option<String>,
        /// How many `?` it has.
        parameters: usize,
    },
    /// `UPDATE name SET column = value, … [WHERE condition]`
    Update {
        /// The table.
        name: TableName,
        /// Columns in lower case, and SQL texts.
        sets: Vec<(String, String)>,
        /// SQL text.
        condition: Option<String>,
        /// How many `?` it has.
        parameters: usize,
    },
    /// `MERGE INTO name …`
    Merge {
        /// The table.
        name: TableName,
        /// The rest.
        merging: Box<Merging>,
        /// How many `?` it has.
        parameters: usize,
    },
    /// `OPTIMIZE name REWRITE DATA USING BIN_PACK [WHERE condition]`
    Optimize {
        /// The table.
        name: TableName,
        /// SQL text.
        condition: Option<String>,
    },
    /// `VACUUM name`
    Vacuum {
        /// The table.
        name: TableName,
    },
}

impl Iceberg {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Create(_) | Self::Optimize { .. } | Self::Vacuum { .. } => "DDL",
            Self::Delete { .. } | Self::Update { .. } | Self::Merge { .. } => "DML",
        }
    }

    pub(super) fn sub_kind(&self) -> &'static str {
        match self {
            Self::Create(_) => "CREATE_TABLE",
            Self::Delete { .. } => "DELETE",
            Self::Update { .. } => "UPDATE",
            Self::Merge { .. } => "MERGE",
            Self::Optimize { .. } => "OPTIMIZE",
            Self::Vacuum { .. } => "VACUUM",
        }
    }

    pub(super) fn result_name(&self) -> ResultName {
        match self {
            Self::Delete { .. } | Self::Update { .. } | Self::Merge { .. } => ResultName::Csv,
            _ => ResultName::Text,
        }
    }
}

/// Takes a `DELETE`, `UPDATE` or `MERGE` apart.
///
/// # Errors
/// [`QueryError::Syntax`] with the place.
pub(super) fn parse(sql: &str) -> Result<Iceberg, QueryError> {
    let mut reader = Dml(Reader::new(sql)?);
    if reader.0.takes(&["DELETE"]) {
        reader.0.expect("FROM")?;
        return reader.delete();
    }
    if reader.0.takes(&["UPDATE"]) {
        return reader.update();
    }
    reader.0.expect("MERGE")?;
    reader.0.expect("INTO")?;
    reader.merge()
}

/// `OPTIMIZE name REWRITE DATA USING BIN_PACK [WHERE condition]`
pub(super) fn optimize(cursor: &mut Cursor<'_>) -> Result<Iceberg, QueryError> {
    cursor.expect(&["OPTIMIZE"])?;
    let name = table_name(cursor)?;
    cursor.expect(&["REWRITE", "DATA", "USING", "BIN_PACK"])?;
    let condition = if cursor.takes(&["WHERE"]) { Some(cursor.rest().to_owned()) } else { None };
    cursor.end()?;
    Ok(Iceberg::Optimize { name, condition })
}

/// `VACUUM name`
pub(super) fn vacuum(cursor: &mut Cursor<'_>) -> Result<Iceberg, QueryError> {
    cursor.expect(&["VACUUM"])?;
    let name = table_name(cursor)?;
    cursor.end()?;
    Ok(Iceberg::Vacuum { name })
}

/// Behind `CREATE TABLE`.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Iceberg, QueryError> {
    create_table(cursor).map(|create| Iceberg::Create(Box::new(create)))
}

fn create_table(cursor: &mut Cursor<'_>) -> Result<CreateIceberg, QueryError> {
    let if_not_exists = cursor.takes(&["IF", "NOT", "EXISTS"]);
    let name = table_name(cursor)?;
    let columns = if cursor.peek().token == HiveToken::Symbol("(") { table::columns(cursor)? } else { Vec::new() };
    let (mut comment, mut place, mut table_properties) = (None, None, Parameters::new());
    let (mut partitioned_by, mut refused) = (Vec::new(), None);
    loop {
        if cursor.takes(&["COMMENT"]) {
            comment = Some(cursor.text()?);
        } else if cursor.takes(&["PARTITIONED", "BY"]) {
            partitioned_by = list(cursor, partition_field)?;
        } else if cursor.takes(&["CLUSTERED", "BY"]) {
            list(cursor, |cursor| cursor.name())?;
            cursor.expect(&["INTO"])?;
            cursor.number()?;
            cursor.expect(&["BUCKETS"])?;
            refused = refused.or(Some("CLUSTERED BY"));
        } else if cursor.takes(&["ROW", "FORMAT"]) {
            cursor.expect(&["SERDE"])?;
            cursor.text()?;
            refused = refused.or(Some("ROW FORMAT"));
        } else if cursor.takes(&["STORED"]) {
            cursor.next();
            cursor.next();
            refused = refused.or(Some("STORED AS/BY"));
        } else if cursor.takes(&["LOCATION"]) {
            place = Some(location(cursor)?);
        } else if cursor.takes(&["TBLPROPERTIES"]) {
            table_properties = properties(cursor)?;
        } else if matches!(cursor.peek().token, HiveToken::End | HiveToken::Symbol(";")) {
            break;
        } else {
            return Err(cursor.unexpected(&["'COMMENT'", "'LOCATION'", "'PARTITIONED'", "'TBLPROPERTIES'", "<EOF>"]));
        }
    }
    cursor.end()?;
    let Some(location) = place else {
        return Err(QueryError::syntax(name.position, "No location was specified for table. An S3 location must be specified"));
    };
    let kind = table_properties.iter().find(|(key, _)| key.eq_ignore_ascii_case("table_type"));
    if !kind.is_some_and(|(_, kind)| kind.eq_ignore_ascii_case("iceberg")) {
        return Err(QueryError::syntax(name.position, "External keyword required for table type HIVE"));
    }
    Ok(CreateIceberg { name, if_not_exists, columns, comment, partitioned_by, location, properties: table_properties, refused })
}

/// A field of `PARTITIONED BY`, as one text; a column with its type has a blank between them.
fn partition_field(cursor: &mut Cursor<'_>) -> Result<String, QueryError> {
    let mut text = cursor.name()?;
    if cursor.takes_symbol("(") {
        text.push('(');
        loop {
            match &cursor.peek().token {
                HiveToken::Number(digits) => {
                    text.push_str(digits);
                    cursor.next();
                }
                _ => text.push_str(&cursor.name()?),
            }
            if !cursor.takes_symbol(",") {
                break;
            }
            text.push(',');
        }
        cursor.expect_symbol(")")?;
        text.push(')');
        return Ok(text);
    }
    while !matches!(cursor.peek().token, HiveToken::Symbol("," | ")") | HiveToken::End) {
        let next = cursor.next().token.to_string();
        text.push(' ');
        text.push_str(&next);
    }
    Ok(text)
}

/// Trino's statements that change rows.
struct Dml<'a>(Reader<'a>);

impl Dml<'_> {
    /// The text up to the next of `words` that stands outside of parentheses and CASE, or up to the end.
    fn until(&mut self, words: &[&str]) -> Result<String, QueryError> {
        let start = self.0.at;
        let last = self.0.end();
        let (mut depth, mut cases) = (0usize, 0usize);
        while self.0.at < last {
            match self.0.token(0) {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                _ if self.0.sees_word(0, "CASE") => cases += 1,
                _ if self.0.sees_word(0, "END") && cases > 0 => cases -= 1,
                token => {
                    let comma = *token == Token::Comma && words.contains(&",");
                    if depth == 0 && cases == 0 && (comma || words.iter().any(|word| self.0.sees_word(0, word))) {
                        break;
                    }
                }
            }
            self.0.at += 1;
        }
        if self.0.at == start {
            return Err(self.0.unexpected("<expression>"));
        }
        Ok(self.0.numbered_text(start, self.0.at))
    }

    fn condition(&mut self) -> Result<Option<String>, QueryError> {
        if !self.0.takes(&["WHERE"]) {
            self.0.expect_end()?;
            return Ok(None);
        }
        self.until(&[]).map(Some)
    }

    fn delete(&mut self) -> Result<Iceberg, QueryError> {
        let name = self.0.table_name()?;
        Ok(Iceberg::Delete { name, condition: self.condition()?, parameters: self.0.parameters().count() })
    }

    fn update(&mut self) -> Result<Iceberg, QueryError> {
        let name = self.0.table_name()?;
        self.0.expect("SET")?;
        let sets = self.sets(&["WHERE"])?;
        Ok(Iceberg::Update { name, sets, condition: self.condition()?, parameters: self.0.parameters().count() })
    }

    /// `column = value, …`
    fn sets(&mut self, ends: &[&str]) -> Result<Vec<(String, String)>, QueryError> {
        let ends: Vec<&str> = ends.iter().copied().chain([","]).collect();
        let mut sets = Vec::new();
        loop {
            let mut column = self.0.name()?;
            // `t.column` in MERGE.
            while self.0.takes_token(&Token::Period) {
                column = self.0.name()?;
            }
            self.0.expect_token(&Token::Eq)?;
            sets.push((column, self.until(&ends)?));
            if !self.0.takes_token(&Token::Comma) {
                return Ok(sets);
            }
        }
    }

    fn alias(&mut self, ends: &[&str]) -> Result<Option<String>, QueryError> {
        if self.0.takes(&["AS"]) {
            return self.0.name().map(Some);
        }
        if ends.iter().any(|word| self.0.sees_word(0, word)) {
            return Ok(None);
        }
        self.0.name().map(Some)
    }

    fn merge(&mut self) -> Result<Iceberg, QueryError> {
        let name = self.0.table_name()?;
        let alias = self.alias(&["USING"])?.unwrap_or_else(|| name.name.clone());
        self.0.expect("USING")?;
        let (source, own) = if *self.0.token(0) == Token::LParen {
            (self.parenthesized()?, None)
        } else {
            let start = self.0.at;
            let table = self.0.table_name()?;
            (self.0.numbered_text(start, self.0.at).trim().to_owned(), Some(table.name))
        };
        let source_alias = self.alias(&["ON"])?.or(own);
        let source_alias = source_alias.ok_or_else(|| self.0.unexpected("<identifier>"))?;
        let mut source_columns = Vec::new();
        if self.0.takes_token(&Token::LParen) {
            source_columns.push(self.0.name()?);
            while self.0.takes_token(&Token::Comma) {
                source_columns.push(self.0.name()?);
            }
            self.0.expect_token(&Token::RParen)?;
        }
        self.0.expect("ON")?;
        let condition = self.until(&["WHEN"])?.trim().to_owned();
        let mut merging =
            Merging { alias, source, source_alias, source_columns, condition, matched: Vec::new(), not_matched: Vec::new() };
        while self.0.takes(&["WHEN"]) {
            self.clause(&mut merging)?;
        }
        self.0.expect_end()?;
        Ok(Iceberg::Merge { name, merging: Box::new(merging), parameters: self.0.parameters().count() })
    }

    fn parenthesized(&mut self) -> Result<String, QueryError> {
        let start = self.0.at;
        let mut depth = 0usize;
        loop {
            match self.0.token(0) {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                Token::EOF => return Err(self.0.unexpected("')'")),
                _ => {}
            }
            self.0.at += 1;
            if depth == 0 {
                return Ok(self.0.numbered_text(start, self.0.at).trim().to_owned());
            }
        }
    }

    fn clause(&mut self, merging: &mut Merging) -> Result<(), QueryError> {
        let not = self.0.takes(&["NOT"]);
        self.0.expect("MATCHED")?;
        let condition = if self.0.takes(&["AND"]) { Some(self.until(&["THEN"])?.trim().to_owned()) } else { None };
        self.0.expect("THEN")?;
        if not {
            self.0.expect("INSERT")?;
            let insertion = self.insertion()?;
            merging.not_matched.push((condition, insertion));
        } else if self.0.takes(&["DELETE"]) {
            merging.matched.push((condition, Matched::Delete));
        } else {
            self.0.expect("UPDATE")?;
            self.0.expect("SET")?;
            let sets = self.sets(&["WHEN"])?.into_iter().map(|(column, value)| (column, value.trim().to_owned())).collect();
            merging.matched.push((condition, Matched::Update(sets)));
        }
        Ok(())
    }

    fn insertion(&mut self) -> Result<Insertion, QueryError> {
        let mut columns = None;
        if self.0.takes_token(&Token::LParen) {
            let mut names = vec![self.0.name()?];
            while self.0.takes_token(&Token::Comma) {
                names.push(self.0.name()?);
            }
            self.0.expect_token(&Token::RParen)?;
            columns = Some(names);
        }
        self.0.expect("VALUES")?;
        self.0.expect_token(&Token::LParen)?;
        let mut values = Vec::new();
        loop {
            values.push(self.value()?);
            if !self.0.takes_token(&Token::Comma) {
                break;
            }
        }
        self.0.expect_token(&Token::RParen)?;
        Ok(Insertion { columns, values })
    }

    /// One of several values in parentheses.
    fn value(&mut self) -> Result<String, QueryError> {
        let start = self.0.at;
        let mut depth = 0usize;
        loop {
            match self.0.token(0) {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::Comma if depth == 0 => break,
                Token::RParen | Token::RBracket => depth -= 1,
                Token::EOF => return Err(self.0.unexpected("')'")),
                _ => {}
            }
            self.0.at += 1;
        }
        if self.0.at == start {
            return Err(self.0.unexpected("<expression>"));
        }
        Ok(self.0.numbered_text(start, self.0.at).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dml(sql: &str) -> Iceberg {
        match crate::sql::parse(sql) {
            Ok(crate::sql::Statement::Iceberg(parsed)) => parsed,
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn conditions_and_values_keep_their_texts() {
        let Iceberg::Delete { name, condition, .. } = dml("DELETE FROM db.t WHERE a = 'x;y' AND b IN (SELECT c FROM u WHERE d)")
        else {
            panic!()
        };
        assert_eq!((name.database.as_deref(), name.name.as_str()), (Some("db"), "t"));
        assert_eq!(condition.as_deref(), Some("                       a = 'x;y' AND b IN (SELECT c FROM u WHERE d)"));
        let Iceberg::Update { sets, condition, .. } = dml("update t set a = CASE WHEN b THEN 1 ELSE 2 END, B = f(1, 2) where c;")
        else {
            panic!()
        };
        let sets: Vec<_> = sets.iter().map(|(column, value)| (column.as_str(), value.trim())).collect();
        assert_eq!(sets, [("a", "CASE WHEN b THEN 1 ELSE 2 END"), ("b", "f(1, 2)")]);
        assert_eq!(condition.as_deref().map(str::trim), Some("c"));
    }

    #[test]
    fn merge_has_its_clauses_in_order() {
        let sql = "MERGE INTO t AS a USING (SELECT 1 x) b ON a.id = b.x WHEN MATCHED AND b.x = CASE WHEN 1=1 THEN 1 END THEN DELETE \
                   WHEN MATCHED THEN UPDATE SET v = b.x + 1, a.w = 'when' WHEN NOT MATCHED THEN INSERT (id, v) VALUES (b.x, coalesce(b.x, 2))";
        let Iceberg::Merge { merging, .. } = dml(sql) else { panic!() };
        assert_eq!((merging.alias.as_str(), merging.source.as_str(), merging.source_alias.as_str()), ("a", "(SELECT 1 x)", "b"));
        assert_eq!(merging.condition, "a.id = b.x");
        assert_eq!(merging.matched[0], (Some("b.x = CASE WHEN 1=1 THEN 1 END".into()), Matched::Delete));
        let sets = vec![("v".to_owned(), "b.x + 1".to_owned()), ("w".to_owned(), "'when'".to_owned())];
        assert_eq!(merging.matched[1], (None, Matched::Update(sets)));
        assert_eq!(merging.not_matched[0].1.values, ["b.x", "coalesce(b.x, 2)"]);
    }

    #[test]
    fn create_table_says_what_is_missing() {
        let wrong = |sql: &str| crate::sql::parse(sql).unwrap_err().to_string();
        assert!(
            wrong("CREATE TABLE t (n int)").contains("No location was specified for table. An S3 location must be specified")
        );
        assert!(wrong("CREATE TABLE t (n int) LOCATION 's3://b/t/'").contains("External keyword required for table type HIVE"));
        let sql = "CREATE TABLE IF NOT EXISTS d.t (a int COMMENT 'x', b timestamp) PARTITIONED BY (day(b), bucket(4, `a`), c string) \
                   LOCATION 's3://b/t/' TBLPROPERTIES ('table_type'='ICEBERG', 'format'='parquet')";
        let Iceberg::Create(create) = dml(sql) else { panic!() };
        assert_eq!(create.partitioned_by, ["day(b)", "bucket(4,a)", "c string"]);
        assert!(create.if_not_exists && create.columns.len() == 2);
    }
}
