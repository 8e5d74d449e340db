//! Prepared statements: `PREPARE`, `EXECUTE`, `EXECUTE IMMEDIATE` and `DEALLOCATE PREPARE` (Athena user guide, "Querying with prepared
//! statements"; Trino documentation, "EXECUTE IMMEDIATE").

use super::token::{Cursor, Token};
use super::{Ddl, ResultName, Statement, Write, parse};
use crate::query::{Piece, Position, QueryError, SqlToken, check_constant, trino_pieces};

/// What is done with a prepared statement. Names keep their case, as Trino's do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// `PREPARE name FROM statement`
    Prepare {
        /// Of the workgroup.
        name: String,
        /// The statement's text, with `?` for parameters.
        sql: String,
    },
    /// `EXECUTE name [USING value, …]`
    Execute {
        /// Of the workgroup.
        name: String,
        /// Constant expressions, in the order of the `?`.
        values: Vec<String>,
    },
    /// `EXECUTE IMMEDIATE 'statement' [USING value, …]`
    ExecuteImmediate {
        /// The statement's text, with `?` for parameters.
        sql: String,
        /// Constant expressions, in the order of the `?`.
        values: Vec<String>,
    },
    /// `DEALLOCATE PREPARE name`
    Deallocate {
        /// Of the workgroup.
        name: String,
    },
}

impl Prepared {
    /// Athena's `StatementType`. That of an execution is its statement's, where there is one.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Prepare { .. } | Self::Deallocate { .. } => "DDL",
            Self::ExecuteImmediate { .. } => "DML",
            Self::Execute { .. } => "UTILITY",
        }
    }

    /// Athena's `SubstatementType`.
    pub fn sub_kind(&self) -> &'static str {
        match self {
            Self::Prepare { .. } => "PREPARE",
            Self::Execute { .. } => "EXECUTE",
            Self::ExecuteImmediate { .. } => "EXECUTE_IMMEDIATE",
            Self::Deallocate { .. } => "DEALLOCATE_PREPARE",
        }
    }

    /// Where the result lies. That of an execution is where its statement's would.
    pub fn result_name(&self) -> ResultName {
        match self {
            Self::Prepare { .. } | Self::Execute { .. } | Self::Deallocate { .. } => ResultName::Text,
            Self::ExecuteImmediate { .. } => ResultName::Csv,
        }
    }
}

/// A statement that can be prepared: it reads, or it writes what it reads (Athena user guide: `SELECT`, `INSERT INTO`, `CTAS` and `UNLOAD`).
///
/// # Errors
/// It does not parse, or is of another sort.
pub fn parse_preparable(sql: &str) -> Result<Statement, QueryError> {
    let statement = parse(sql)?;
    let fits = match &statement {
        Statement::Query { .. } => true,
        Statement::Ddl(Ddl::Unsupported(why)) => return Err(QueryError::NotSupported(why.clone())),
        Statement::Write(write) => matches!(write, Write::Insert(_) | Write::CreateTableAs(_) | Write::Unload(_)),
        _ => false,
    };
    if !fits {
        let message =
            format!("{}: a prepared statement is a SELECT, INSERT INTO, CREATE TABLE AS or UNLOAD", statement.sub_kind());
        return Err(QueryError::NotSupported(message));
    }
    if let Some(query) = statement.query() {
        super::check_query(query)?;
    }
    Ok(statement)
}

/// `PREPARE name FROM statement`
pub(super) fn prepare(cursor: &mut Cursor<'_>) -> Result<Prepared, QueryError> {
    cursor.expect(&["PREPARE"])?;
    let name = name(cursor)?;
    cursor.expect(&["FROM"])?;
    if cursor.peek().token == Token::End {
        return Err(cursor.unexpected(&["<statement>"]));
    }
    let sql = cursor.rest().to_owned();
    parse_preparable(&sql)?;
    Ok(Prepared::Prepare { name, sql })
}

/// `DEALLOCATE PREPARE name`
pub(super) fn deallocate(cursor: &mut Cursor<'_>) -> Result<Prepared, QueryError> {
    cursor.expect(&["DEALLOCATE", "PREPARE"])?;
    Ok(Prepared::Deallocate { name: name(cursor)? })
}

/// A statement's name, as written.
fn name(cursor: &mut Cursor<'_>) -> Result<String, QueryError> {
    match &cursor.peek().token {
        Token::Word(name) | Token::Quoted(name) => {
            let name = name.clone();
            cursor.next();
            Ok(name)
        }
        _ => Err(cursor.unexpected(&["<identifier>"])),
    }
}

/// `EXECUTE name [USING …]` and `EXECUTE IMMEDIATE '…' [USING …]`. Its values are Trino's expressions, and so are its texts: no backslash escapes.
pub(super) fn execute(cursor: &mut Cursor<'_>) -> Result<Prepared, QueryError> {
    let pieces = trino_pieces(cursor.sql)?;
    cursor.rest();
    let wrong = |index: usize, expecting: &str| {
        let (found, position) = match pieces.get(index) {
            Some(piece) => (piece.text, piece.position),
            None => ("<EOF>", end_of(cursor.sql)),
        };
        QueryError::syntax(position, format!("mismatched input '{found}'. Expecting: {expecting}"))
    };
    // IMMEDIATE is no reserved word: a statement may be called so.
    if let [_, second, third, ..] = pieces.as_slice()
        && second.text.eq_ignore_ascii_case("IMMEDIATE")
        && let SqlToken::SingleQuotedString(sql) = &third.token
    {
        let values = using(cursor.sql, &pieces, 3, &wrong)?;
        parse_preparable(sql)?;
        return Ok(Prepared::ExecuteImmediate { sql: sql.clone(), values });
    }
    let Some(SqlToken::Word(name)) = pieces.get(1).map(|piece| &piece.token) else { return Err(wrong(1, "<identifier>")) };
    Ok(Prepared::Execute { name: name.value.clone(), values: using(cursor.sql, &pieces, 2, &wrong)? })
}

/// `[USING value, …]` from the piece `at` on: the texts of the values, each a constant expression.
fn using(
    sql: &str,
    pieces: &[Piece<'_>],
    at: usize,
    wrong: &dyn Fn(usize, &str) -> QueryError,
) -> Result<Vec<String>, QueryError> {
    match pieces.get(at) {
        None => return Ok(Vec::new()),
        Some(piece) if piece.text.eq_ignore_ascii_case("USING") => {}
        Some(_) => return Err(wrong(at, "'USING', <EOF>")),
    }
    let (mut values, mut first, mut depth) = (Vec::new(), at + 1, 0_i32);
    for index in at + 1..=pieces.len() {
        match pieces.get(index).map(|piece| &piece.token) {
            Some(SqlToken::LParen | SqlToken::LBracket) => depth += 1,
            Some(SqlToken::RParen | SqlToken::RBracket) => depth -= 1,
            None => {}
            Some(SqlToken::Comma) if depth == 0 => {}
            Some(_) => continue,
        }
        if depth < 0 {
            return Err(wrong(index, "','"));
        }
        let is_end = index == pieces.len();
        if !is_end && (depth > 0 || pieces[index].token != SqlToken::Comma) {
            continue;
        }
        if first == index {
            return Err(wrong(index, "<expression>"));
        }
        let text = sql[pieces[first].start..pieces[index - 1].end].to_owned();
        check_constant(&text).map_err(|error| at_place(pieces[first].position, error))?;
        values.push(text);
        first = index + 1;
    }
    Ok(values)
}

/// An error of a piece of the statement, at the piece's place.
fn at_place(position: Position, error: QueryError) -> QueryError {
    match error {
        QueryError::Syntax { message, .. } => QueryError::Syntax { position, message },
        QueryError::Semantic { message, .. } => QueryError::Semantic { position, message },
        other => other,
    }
}

fn end_of(sql: &str) -> Position {
    let last = sql.trim_end().rsplit('\n').next().unwrap_or_default();
    Position { line: sql.trim_end().matches('\n').count() as u64 + 1, column: last.chars().count() as u64 + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(sql: &str) -> Prepared {
        match parse(sql) {
            Ok(Statement::Prepared(prepared)) => prepared,
            other => panic!("{sql}: {other:?}"),
        }
    }

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn statements_are_taken_apart() {
        let expected = Prepared::Prepare { name: "My_p".into(), sql: "SELECT ? FROM t".into() };
        assert_eq!(parsed("prepare My_p from SELECT ? FROM t ;"), expected);
        assert_eq!(parsed("EXECUTE p"), Prepared::Execute { name: "p".into(), values: vec![] });
        let values = strings(&["1", "'it''s, fine'", "f(1, 2)", "ARRAY[1, 2]"]);
        assert_eq!(
            parsed("EXECUTE p USING 1, 'it''s, fine', f(1, 2), ARRAY[1, 2];"),
            Prepared::Execute { name: "p".into(), values }
        );
        assert_eq!(parsed("DEALLOCATE PREPARE p"), Prepared::Deallocate { name: "p".into() });
        assert_eq!(
            parsed(r"EXECUTE IMMEDIATE 'SELECT ''a\b'', ?' USING 'x' || 'y'"),
            Prepared::ExecuteImmediate { sql: r"SELECT 'a\b', ?".into(), values: strings(&["'x' || 'y'"]) }
        );
        assert_eq!(parsed("EXECUTE immediate"), Prepared::Execute { name: "immediate".into(), values: vec![] });
    }

    #[test]
    fn what_cannot_be_prepared_is_refused() {
        for (sql, message) in [
            ("PREPARE p FROM", "mismatched input '<EOF>'"),
            ("PREPARE p FROM SELEC 1", "mismatched input 'SELEC'"),
            ("EXECUTE p USING", "mismatched input '<EOF>'"),
            ("EXECUTE p USING a", "cannot contain column references"),
            ("EXECUTE p USING 1) OR (1", "mismatched input ')'"),
            ("EXECUTE p USING 1; DROP TABLE t", "mismatched input"),
            ("DEALLOCATE p", "Expecting: 'PREPARE'"),
        ] {
            let error = parse(sql).unwrap_err().to_string();
            assert!(error.contains(message), "{sql}: {error}");
        }
        for (sql, message) in [
            ("PREPARE p FROM SHOW TABLES", "SHOW_TABLES: a prepared statement is a SELECT"),
            ("PREPARE p FROM USING EXTERNAL FUNCTION f() RETURNS int LAMBDA 'x' SELECT f()", "USING EXTERNAL FUNCTION"),
        ] {
            let Ok(Statement::Ddl(Ddl::Unsupported(why))) = parse(sql) else { panic!("{sql}") };
            assert!(why.starts_with(message), "{sql}: {why}");
        }
    }
}
