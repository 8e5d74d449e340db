//! Types behind `CAST(… AS`: nested ones become a name with one parameter, the text of what they are made of, which the parser passes on.

use super::super::error::QueryError;
use super::{adapt, position, word};
use crate::types::TrinoType;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// Rewrites the types of a statement's casts; white space is gone by then.
///
/// # Errors
/// What stands there is not a type.
pub(super) fn adapt(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, QueryError> {
    let casts = |index: usize| {
        matches!(&tokens[index].token, Token::Word(Word { keyword: Keyword::CAST | Keyword::TRY_CAST, quote_style: None, .. }))
    };
    if !(0..tokens.len()).any(casts) {
        return Ok(tokens);
    }
    let mut out = Vec::with_capacity(tokens.len());
    // For each open parenthesis: where it closes, if it is a cast's.
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let token = &tokens[index];
        match &token.token {
            Token::LParen => {
                let cast = index > 0 && casts(index - 1);
                open.push(if cast { adapt::closing(&tokens, index) } else { None });
            }
            Token::RParen => {
                open.pop();
            }
            Token::Word(Word { keyword: Keyword::AS, quote_style: None, .. }) => {
                if let Some(Some(close)) = open.last().copied() {
                    out.push(token.clone());
                    out.extend(one(&tokens[index + 1..close])?);
                    index = close;
                    continue;
                }
            }
            _ => {}
        }
        out.push(token.clone());
        index += 1;
    }
    Ok(out)
}

fn one(tokens: &[TokenWithSpan]) -> Result<Vec<TokenWithSpan>, QueryError> {
    let Some(first) = tokens.first() else { return Ok(Vec::new()) };
    let texts: Vec<String> = tokens
        .iter()
        .map(|token| match &token.token {
            Token::Word(word) if word.quote_style.is_some() => format!("\"{}\"", word.value.replace('"', "\"\"")),
            Token::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        })
        .collect();
    let text = texts.join(" ");
    let wrong = |message: String| QueryError::TypeMismatch { position: position(first.span), message };
    let parsed = TrinoType::parse(&text).map_err(wrong)?;
    let named = match &parsed {
        TrinoType::Array(_) | TrinoType::Map(..) | TrinoType::Row(_) => parsed.to_string(),
        TrinoType::IntervalDayToSecond | TrinoType::IntervalYearToMonth => {
            let name = Word { value: parsed.to_string(), quote_style: Some('"'), keyword: Keyword::NoKeyword };
            return Ok(vec![TokenWithSpan { token: Token::Word(name), span: first.span }]);
        }
        _ => return Ok(tokens.to_vec()),
    };
    let (head, rest) = named.split_once('(').unwrap_or((&named, ""));
    let inner = rest.strip_suffix(')').unwrap_or(rest).to_owned();
    let span = first.span;
    Ok(vec![
        word(head, Keyword::NoKeyword, span),
        TokenWithSpan { token: Token::LParen, span },
        TokenWithSpan { token: Token::SingleQuotedString(inner), span },
        TokenWithSpan { token: Token::RParen, span },
    ])
}
