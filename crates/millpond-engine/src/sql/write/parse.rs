//! The grammar of statements that write. They are Trino's, so their tokens are read as queries' are, and not as Hive's.
//!
//! A query within keeps its place: its text is given with blanks instead of what stands before it, so that messages about it name the lines and
//! columns of the whole statement.

use super::{CreateTableAs, Insert, Properties, PropertyValue, Unload, Write};
use crate::query::{AthenaDialect, Position, QueryError, syntax_error};
use crate::sql::TableName;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

/// Takes an `INSERT` or `UNLOAD` apart.
///
/// # Errors
/// [`QueryError::Syntax`] with the place.
pub(in crate::sql) fn parse(sql: &str) -> Result<Write, QueryError> {
    let mut reader = Reader::new(sql)?;
    if reader.takes(&["INSERT"]) {
        return reader.insert().map(Write::Insert);
    }
    reader.expect("UNLOAD")?;
    reader.unload().map(Write::Unload)
}

/// Takes a `CREATE TABLE` apart, when it is one with a query.
///
/// # Errors
/// [`QueryError::Syntax`] with the place.
pub(in crate::sql) fn create_table_as(sql: &str) -> Result<Option<Write>, QueryError> {
    // Hive has other rules for texts: what are no tokens of Trino's may be some of its own.
    let Ok(mut reader) = Reader::new(sql) else { return Ok(None) };
    if reader.takes(&["CREATE", "TABLE"]) && reader.is_create_table_as() {
        return reader.create_table_as().map(|create| Some(Write::CreateTableAs(create)));
    }
    Ok(None)
}

/// Reads tokens of Trino's one after another.
pub(in crate::sql) struct Reader<'a> {
    sql: &'a str,
    tokens: Vec<TokenWithSpan>,
    pub(in crate::sql) at: usize,
}

impl<'a> Reader<'a> {
    /// # Errors
    /// The text does not consist of tokens.
    pub(in crate::sql) fn new(sql: &'a str) -> Result<Self, QueryError> {
        let tokens = Tokenizer::new(&AthenaDialect, sql).tokenize_with_location();
        let tokens = tokens.map_err(|error| syntax_error(&error.into()))?;
        let tokens = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
        Ok(Self { sql, tokens, at: 0 })
    }

    pub(in crate::sql) fn token(&self, ahead: usize) -> &Token {
        self.tokens.get(self.at + ahead).map_or(&Token::EOF, |token| &token.token)
    }

    pub(in crate::sql) fn sees_word(&self, ahead: usize, word: &str) -> bool {
        matches!(self.token(ahead), Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
    }

    pub(in crate::sql) fn takes(&mut self, words: &[&str]) -> bool {
        let seen = words.iter().enumerate().all(|(ahead, word)| self.sees_word(ahead, word));
        if seen {
            self.at += words.len();
        }
        seen
    }

    pub(in crate::sql) fn takes_token(&mut self, token: &Token) -> bool {
        let seen = self.token(0) == token;
        if seen {
            self.at += 1;
        }
        seen
    }

    pub(in crate::sql) fn expect(&mut self, word: &str) -> Result<(), QueryError> {
        if self.takes(&[word]) { Ok(()) } else { Err(self.unexpected(&format!("'{word}'"))) }
    }

    pub(in crate::sql) fn expect_token(&mut self, token: &Token) -> Result<(), QueryError> {
        if self.takes_token(token) { Ok(()) } else { Err(self.unexpected(&format!("'{token}'"))) }
    }

    pub(in crate::sql) fn position(&self) -> Position {
        match self.tokens.get(self.at) {
            Some(token) => Position { line: token.span.start.line.max(1), column: token.span.start.column.max(1) },
            None => {
                let (line, column) = self.sql.trim_end().chars().fold((1, 1), |(line, column), c| match c {
                    '\n' => (line + 1, 1),
                    _ => (line, column + 1),
                });
                Position { line, column }
            }
        }
    }

    pub(in crate::sql) fn unexpected(&self, expecting: &str) -> QueryError {
        let found = match self.token(0) {
            Token::EOF => "<EOF>".to_owned(),
            token => token.to_string(),
        };
        QueryError::syntax(self.position(), format!("mismatched input '{found}'. Expecting: {expecting}"))
    }

    /// Where a token begins, or the text ends, in bytes.
    fn offset(&self, index: usize) -> usize {
        self.tokens.get(index).map_or(self.sql.len(), |token| byte_of(self.sql, token.span.start))
    }

    /// The text from one token up to another, at its place.
    pub(in crate::sql) fn text(&self, from: usize, to: usize) -> String {
        let (start, end) = (self.offset(from), self.offset(to));
        let mut text = self.blanks(start);
        text.push_str(self.sql[start..end].trim_end());
        text
    }

    /// The same of a statement whose parts are asked by several queries: each `?` says which one of the statement's it is, as `?1`.
    pub(in crate::sql) fn numbered_text(&self, from: usize, to: usize) -> String {
        let (start, end) = (self.offset(from), self.offset(to));
        let mut text = self.blanks(start);
        let mut at = start;
        for (number, index) in self.parameters().enumerate().filter(|(_, index)| (from..to).contains(index)) {
            let after = self.offset(index) + 1;
            text.push_str(&self.sql[at..after]);
            text.push_str(&(number + 1).to_string());
            at = after;
        }
        text.push_str(self.sql[at..end].trim_end());
        text
    }

    /// The statement's `?`: which tokens they are.
    pub(in crate::sql) fn parameters(&self) -> impl Iterator<Item = usize> {
        let tokens = self.tokens.iter().enumerate();
        tokens.filter(|(_, token)| matches!(&token.token, Token::Placeholder(name) if name == "?")).map(|(index, _)| index)
    }

    /// Blanks instead of what stands before a byte.
    fn blanks(&self, start: usize) -> String {
        self.sql[..start].chars().map(|c| if c == '\n' { c } else { ' ' }).collect()
    }

    /// The end of the statement, without semicolons.
    pub(in crate::sql) fn end(&self) -> usize {
        let ends = self.tokens.iter().rposition(|token| !matches!(token.token, Token::SemiColon | Token::EOF));
        ends.map_or(0, |last| last + 1)
    }

    pub(in crate::sql) fn expect_end(&mut self) -> Result<(), QueryError> {
        while self.takes_token(&Token::SemiColon) {}
        if *self.token(0) == Token::EOF { Ok(()) } else { Err(self.unexpected("<EOF>")) }
    }

    /// In lower case.
    pub(in crate::sql) fn name(&mut self) -> Result<String, QueryError> {
        match self.token(0) {
            Token::Word(word) => {
                let name = word.value.to_lowercase();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected("<identifier>")),
        }
    }

    pub(in crate::sql) fn table_name(&mut self) -> Result<TableName, QueryError> {
        let position = self.position();
        let mut parts: Vec<String> = self.name()?.split('.').map(str::to_owned).collect();
        while self.takes_token(&Token::Period) {
            parts.push(self.name()?);
        }
        let name = parts.pop().unwrap_or_default();
        let database = parts.pop();
        if let Some(catalog) = parts.pop()
            && !["awsdatacatalog", "hive"].contains(&catalog.as_str())
        {
            return Err(QueryError::CatalogNotFound { position, catalog });
        }
        Ok(TableName { database, name, position })
    }

    fn string(&mut self) -> Result<String, QueryError> {
        match self.token(0) {
            Token::SingleQuotedString(text) => {
                let text = text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.unexpected("<string>")),
        }
    }

    /// `(name = value, …)`
    fn properties(&mut self) -> Result<Properties, QueryError> {
        self.expect_token(&Token::LParen)?;
        let mut properties = Properties::new();
        loop {
            let name = self.name()?;
            self.expect_token(&Token::Eq)?;
            properties.push((name, self.value()?));
            if !self.takes_token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        Ok(properties)
    }

    fn value(&mut self) -> Result<PropertyValue, QueryError> {
        if self.takes(&["ARRAY"]) {
            self.expect_token(&Token::LBracket)?;
            let mut items = Vec::new();
            if !self.takes_token(&Token::RBracket) {
                loop {
                    items.push(self.string()?);
                    if !self.takes_token(&Token::Comma) {
                        break;
                    }
                }
                self.expect_token(&Token::RBracket)?;
            }
            return Ok(PropertyValue::Array(items));
        }
        if self.takes(&["TRUE"]) {
            return Ok(PropertyValue::Boolean(true));
        }
        if self.takes(&["FALSE"]) {
            return Ok(PropertyValue::Boolean(false));
        }
        let negative = self.takes_token(&Token::Minus);
        if let Token::Number(digits, _) = self.token(0)
            && let Ok(number) = digits.parse::<i64>()
        {
            self.at += 1;
            return Ok(PropertyValue::Number(if negative { -number } else { number }));
        }
        if negative {
            return Err(self.unexpected("<number>"));
        }
        self.string().map(PropertyValue::Text)
    }

    /// Whether what follows `CREATE TABLE` is a name and a query: `WITH` and `AS` are no words of Hive's there.
    fn is_create_table_as(&self) -> bool {
        let mut at =
            if ["IF", "NOT", "EXISTS"].iter().enumerate().all(|(ahead, word)| self.sees_word(ahead, word)) { 3 } else { 0 };
        at += 1;
        while *self.token(at) == Token::Period {
            at += 2;
        }
        if *self.token(at) == Token::LParen {
            let mut depth = 0;
            loop {
                match self.token(at) {
                    Token::LParen => depth += 1,
                    Token::RParen => depth -= 1,
                    Token::EOF => return false,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    break;
                }
            }
        }
        if self.sees_word(at, "COMMENT") && matches!(self.token(at + 1), Token::SingleQuotedString(_)) {
            at += 2;
        }
        self.sees_word(at, "AS") || self.sees_word(at, "WITH")
    }

    fn create_table_as(&mut self) -> Result<CreateTableAs, QueryError> {
        let if_not_exists = self.takes(&["IF", "NOT", "EXISTS"]);
        let name = self.table_name()?;
        let columns = match self.token(0) {
            Token::LParen => Some(self.columns()?),
            _ => None,
        };
        let comment = if self.takes(&["COMMENT"]) { Some(self.string()?) } else { None };
        let properties = if self.takes(&["WITH"]) { self.properties()? } else { Properties::new() };
        self.expect("AS")?;
        let start = self.at;
        let mut end = self.end();
        let ends_with = |reader: &Self, end: usize, words: &[&str]| {
            end.checked_sub(words.len()).filter(|first| *first > start).is_some_and(|first| {
                words.iter().enumerate().all(|(index, word)| reader.sees_word(first + index - reader.at, word))
            })
        };
        let mut with_data = true;
        if ends_with(self, end, &["WITH", "NO", "DATA"]) {
            with_data = false;
            end -= 3;
        } else if ends_with(self, end, &["WITH", "DATA"]) {
            end -= 2;
        }
        if start >= end {
            return Err(self.unexpected("<query>"));
        }
        let sql = self.text(start, end);
        Ok(CreateTableAs { name, if_not_exists, columns, comment, properties, sql, with_data })
    }

    /// `(name, …)`, in lower case.
    fn columns(&mut self) -> Result<Vec<String>, QueryError> {
        self.expect_token(&Token::LParen)?;
        let mut columns = vec![self.name()?];
        while self.takes_token(&Token::Comma) {
            columns.push(self.name()?);
        }
        self.expect_token(&Token::RParen)?;
        Ok(columns)
    }

    fn insert(&mut self) -> Result<Insert, QueryError> {
        self.expect("INTO")?;
        let name = self.table_name()?;
        let query = |reader: &Self| {
            *reader.token(1) == Token::LParen
                || ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| reader.sees_word(1, word))
        };
        let columns = match self.token(0) {
            Token::LParen if !query(self) => Some(self.columns()?),
            _ => None,
        };
        let (start, end) = (self.at, self.end());
        if start >= end {
            return Err(self.unexpected("'(', 'SELECT', 'TABLE', 'VALUES', 'WITH'"));
        }
        Ok(Insert { name, columns, sql: self.text(start, end) })
    }

    fn unload(&mut self) -> Result<Unload, QueryError> {
        self.expect_token(&Token::LParen)?;
        let start = self.at;
        let mut depth = 1;
        while depth > 0 {
            match self.token(0) {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                Token::EOF => return Err(self.unexpected("')'")),
                _ => {}
            }
            self.at += 1;
        }
        let sql = self.text(start, self.at - 1);
        if start + 1 >= self.at {
            self.at -= 1;
            return Err(self.unexpected("<query>"));
        }
        self.expect("TO")?;
        let location = self.string()?;
        let properties = if self.takes(&["WITH"]) { self.properties()? } else { Properties::new() };
        self.expect_end()?;
        Ok(Unload { sql, location, properties })
    }
}

/// The place of a line and column (which counts characters) in bytes.
fn byte_of(sql: &str, at: Location) -> usize {
    let line_start = match at.line {
        0 | 1 => 0,
        line => sql.match_indices('\n').nth(line as usize - 2).map_or(sql.len(), |(index, _)| index + 1),
    };
    let rest = &sql[line_start..];
    let within = rest.char_indices().nth((at.column as usize).saturating_sub(1)).map_or(rest.len(), |(index, _)| index);
    line_start + within
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Statement;

    fn write(sql: &str) -> Write {
        match crate::sql::parse(sql) {
            Ok(Statement::Write(write)) => write,
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn tables_are_created_from_queries_at_their_place() {
        let sql = "/* dbt */ CREATE TABLE IF NOT EXISTS \"Db\".\"T\"\nWITH (format='ORC', partitioned_by=ARRAY['a','b'],\n \
                   bucket_count = 4, is_external=false)\nAS\nSELECT ';' AS x, 'ä' y FROM t\nWITH NO DATA ;";
        let Write::CreateTableAs(create) = write(sql) else { panic!("a table") };
        assert_eq!((create.name.database.as_deref(), create.name.name.as_str()), (Some("db"), "t"));
        assert!(create.if_not_exists && !create.with_data);
        let text = |text: &str| PropertyValue::Text(text.into());
        assert_eq!(
            create.properties,
            [
                ("format".to_owned(), text("ORC")),
                ("partitioned_by".to_owned(), PropertyValue::Array(vec!["a".into(), "b".into()])),
                ("bucket_count".to_owned(), PropertyValue::Number(4)),
                ("is_external".to_owned(), PropertyValue::Boolean(false)),
            ]
        );
        assert_eq!(create.sql.trim_start(), "SELECT ';' AS x, 'ä' y FROM t");
        assert_eq!(create.sql.matches('\n').count(), 4);
        let Write::CreateTableAs(create) = write("create table t as (select 1 as a)") else { panic!("a table") };
        assert_eq!((create.sql.trim_start(), create.with_data), ("(select 1 as a)", true));
    }

    #[test]
    fn rows_are_inserted_into_all_columns_or_some() {
        let Write::Insert(insert) = write("INSERT INTO db.t (A, \"b\") VALUES (?, 'x')") else { panic!("an insert") };
        assert_eq!((insert.columns, insert.sql.trim_start()), (Some(vec!["a".into(), "b".into()]), "VALUES (?, 'x')"));
        for query in ["(SELECT 1)", "((SELECT 1) UNION ALL SELECT 2)", "WITH q AS (SELECT 1) SELECT * FROM q", "TABLE u"] {
            let Write::Insert(insert) = write(&format!("insert into t {query}")) else { panic!("an insert") };
            assert_eq!((insert.columns, insert.sql.trim_start()), (None, query));
        }
    }

    #[test]
    fn what_is_unloaded_ends_with_its_parenthesis() {
        let sql = "UNLOAD (\n SELECT ')' AS \")\", (1) FROM t -- )\n) TO 's3://b/p/' WITH (format = 'PARQUET')";
        let Write::Unload(unload) = write(sql) else { panic!("an unload") };
        assert_eq!(unload.sql.trim(), "SELECT ')' AS \")\", (1) FROM t -- )");
        assert_eq!(unload.location, "s3://b/p/");
        assert_eq!(unload.properties, [("format".to_owned(), PropertyValue::Text("PARQUET".into()))]);
    }

    #[test]
    fn other_statements_are_left_to_others() {
        for sql in [
            "SELECT 1",
            "CREATE TABLE t (a int) LOCATION 's3://b/t/' TBLPROPERTIES ('x'='y')",
            "CREATE EXTERNAL TABLE t (a int)",
            "x '",
        ] {
            assert!(!matches!(crate::sql::parse(sql), Ok(Statement::Write(_))), "{sql}");
        }
    }

    #[test]
    fn what_is_missing_is_told_with_its_place() {
        for (sql, message) in [
            ("INSERT OVERWRITE t SELECT 1", "line 1:8: mismatched input 'OVERWRITE'. Expecting: 'INTO'"),
            ("INSERT INTO t", "line 1:14: mismatched input '<EOF>'. Expecting: '(', 'SELECT', 'TABLE', 'VALUES', 'WITH'"),
            ("INSERT INTO t VALUES ('a", "line 1:23: Unterminated string literal"),
            ("UNLOAD (SELECT 1", "line 1:17: mismatched input '<EOF>'. Expecting: ')'"),
            ("UNLOAD (SELECT 1)\nWITH (a = 1)", "line 2:1: mismatched input 'WITH'. Expecting: 'TO'"),
            ("CREATE TABLE t WITH (format) AS SELECT 1", "line 1:28: mismatched input ')'. Expecting: '='"),
            ("CREATE TABLE t AS", "line 1:18: mismatched input '<EOF>'. Expecting: <query>"),
        ] {
            assert_eq!(crate::sql::parse(sql).unwrap_err().to_string(), message, "{sql}");
        }
    }
}
