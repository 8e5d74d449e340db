//! `EXPLAIN`.

use super::token::{Cursor, Token};
use crate::query::{ExplainFormat, ExplainType, QueryError};

/// `EXPLAIN [ANALYZE [VERBOSE]] [(FORMAT …, TYPE …)] query` (Athena User Guide, "Using EXPLAIN and EXPLAIN ANALYZE in Athena").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explain {
    /// The query, or a statement that writes what a query reads.
    pub sql: String,
    /// Whether it is to be run.
    pub analyze: bool,
    /// How the plan is shown.
    pub format: ExplainFormat,
    /// Which plan.
    pub kind: ExplainType,
}

pub(super) fn explain(cursor: &mut Cursor<'_>) -> Result<Explain, QueryError> {
    cursor.expect(&["EXPLAIN"])?;
    let analyze = cursor.takes(&["ANALYZE"]);
    if analyze {
        cursor.takes(&["VERBOSE"]);
    }
    let (mut format, mut kind) = (None, None);
    // EXPLAIN (FORMAT TEXT, TYPE LOGICAL) query; a query may begin with a parenthesis too.
    let is_option =
        |token: &Token| matches!(token, Token::Word(word) if ["FORMAT", "TYPE"].contains(&word.to_uppercase().as_str()));
    if cursor.peek().token == Token::Symbol("(") && is_option(&cursor.ahead(1).token) {
        cursor.next();
        loop {
            option(cursor, analyze, &mut format, &mut kind)?;
            if cursor.takes_symbol(")") {
                break;
            }
            if !cursor.takes_symbol(",") {
                return Err(cursor.unexpected(&["')'", "','"]));
            }
        }
    }
    if cursor.peek().token == Token::End {
        return Err(cursor.unexpected(&["<query>"]));
    }
    let (format, kind) = (format.unwrap_or_default(), kind.unwrap_or_default());
    Ok(Explain { sql: cursor.rest().to_owned(), analyze, format, kind })
}

fn option(
    cursor: &mut Cursor<'_>,
    analyze: bool,
    format: &mut Option<ExplainFormat>,
    kind: &mut Option<ExplainType>,
) -> Result<(), QueryError> {
    if format.is_none() && cursor.takes(&["FORMAT"]) {
        let formats = [("TEXT", ExplainFormat::Text), ("JSON", ExplainFormat::Json), ("GRAPHVIZ", ExplainFormat::Graphviz)];
        let known = if analyze { &formats[..2] } else { &formats[..] };
        *format = Some(word(cursor, known)?);
        return Ok(());
    }
    if !analyze && kind.is_none() && cursor.takes(&["TYPE"]) {
        let kinds = [
            ("LOGICAL", ExplainType::Logical),
            ("DISTRIBUTED", ExplainType::Distributed),
            ("VALIDATE", ExplainType::Validate),
            ("IO", ExplainType::Io),
        ];
        *kind = Some(word(cursor, &kinds)?);
        return Ok(());
    }
    Err(cursor.unexpected(if analyze { &["'FORMAT'"] } else { &["'FORMAT'", "'TYPE'"] }))
}

fn word<T: Copy>(cursor: &mut Cursor<'_>, known: &[(&str, T)]) -> Result<T, QueryError> {
    if let Some((_, value)) = known.iter().find(|(word, _)| cursor.takes(&[word])) {
        return Ok(*value);
    }
    let expected: Vec<String> = known.iter().map(|(word, _)| format!("'{word}'")).collect();
    Err(cursor.unexpected(&expected.iter().map(String::as_str).collect::<Vec<_>>()))
}
