//! Calls whose syntax the parser does not know, on tokens: `extract(DAY_OF_WEEK FROM x)` is `day_of_week(x)`, `trim(LEADING FROM x)` is `ltrim(x)`;
//! and SQL/JSON's clauses ([`super::json::clauses`]).

use super::json::clauses;
use crate::query::QueryError;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// EXTRACT's fields, each of which is a function.
const FIELDS: [&str; 18] = [
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "day_of_month",
    "day_of_week",
    "dow",
    "day_of_year",
    "doy",
    "year_of_week",
    "yow",
    "hour",
    "minute",
    "second",
    "timezone_hour",
    "timezone_minute",
    "millisecond",
];

/// Rewrites the calls among a statement's tokens.
///
/// # Errors
/// A clause of SQL/JSON that is none.
pub(crate) fn rewrite(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, QueryError> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let mut token = tokens[at].clone();
        at += 1;
        if let Some(function) = call(&tokens[at - 1..]) {
            token.token = Token::Word(Word { value: function.to_owned(), quote_style: None, keyword: Keyword::NoKeyword });
            out.extend([token, tokens[at].clone()]);
            at += 3;
            continue;
        }
        out.push(token);
    }
    clauses::rewrite(out)
}

fn word(token: &TokenWithSpan) -> Option<&str> {
    match &token.token {
        Token::Word(Word { value, quote_style: None, .. }) => Some(value),
        _ => None,
    }
}

/// The function that `name ( word FROM` at the front calls.
fn call(tokens: &[TokenWithSpan]) -> Option<&'static str> {
    let [name, open, part, from, ..] = tokens else { return None };
    if open.token != Token::LParen || word(from) != Some("from") {
        return None;
    }
    match (word(name)?, word(part)?) {
        ("extract", field) => FIELDS.into_iter().find(|known| *known == field),
        ("trim", "leading") => Some("ltrim"),
        ("trim", "trailing") => Some("rtrim"),
        ("trim", "both") => Some("btrim"),
        _ => None,
    }
}
