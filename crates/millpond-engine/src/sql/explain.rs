//! `EXPLAIN`.

use super::token::{Cursor, Token};
use crate::query::QueryError;

/// `EXPLAIN [ANALYZE] query`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explain {
    /// The query.
    pub sql: String,
    /// Whether it is to be run.
    pub analyze: bool,
}

pub(super) fn explain(cursor: &mut Cursor<'_>) -> Result<Explain, QueryError> {
    cursor.expect(&["EXPLAIN"])?;
    let analyze = cursor.takes(&["ANALYZE"]);
    cursor.takes(&["VERBOSE"]);
    // EXPLAIN (FORMAT TEXT, TYPE LOGICAL) query; a query may begin with a parenthesis too.
    let is_option =
        |token: &Token| matches!(token, Token::Word(word) if ["FORMAT", "TYPE"].contains(&word.to_uppercase().as_str()));
    if cursor.peek().token == Token::Symbol("(") && is_option(&cursor.ahead(1).token) {
        cursor.next();
        while !cursor.takes_symbol(")") {
            if cursor.peek().token == Token::End {
                return Err(cursor.unexpected(&["')'"]));
            }
            cursor.next();
        }
    }
    if cursor.peek().token == Token::End {
        return Err(cursor.unexpected(&["<query>"]));
    }
    Ok(Explain { sql: cursor.rest().to_owned(), analyze })
}
