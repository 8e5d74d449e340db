//! Literals that the tokenizer does not know as Trino has them.

use super::super::error::{Position, QueryError};
use super::{position, word};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

/// Rewrites a statement's literals; white space is gone by then.
pub(super) fn adapt(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, QueryError> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut tokens = tokens.into_iter().peekable();
    while let Some(TokenWithSpan { token, span }) = tokens.next() {
        let token = match token {
            // `0x0A` is a number, `X'0A'` is bytes: the tokenizer gives both as one.
            Token::HexStringLiteral(digits) if has_no_quotes(&digits, span) => number(&digits, 16, span)?,
            Token::HexStringLiteral(digits) => Token::HexStringLiteral(bytes(&digits, span)?),
            Token::UnicodeStringLiteral(text) => Token::SingleQuotedString(text),
            Token::Number(zero, _) if zero == "0" && tokens.peek().is_some_and(|next| next.span.start == span.end) => {
                match tokens.next_if(|next| radix(&next.token).is_some()) {
                    Some(next) => match radix(&next.token) {
                        Some((radix, digits)) => number(digits, radix, span)?,
                        None => Token::Number(zero, false),
                    },
                    None => Token::Number(zero, false),
                }
            }
            Token::Number(digits, long) if digits.contains('_') => Token::Number(digits.replace('_', ""), long),
            Token::Word(name) if name.quote_style.is_none() && name.value == "ipaddress" => {
                match tokens.next_if(|next| matches!(next.token, Token::SingleQuotedString(_))) {
                    Some(text) => {
                        out.push(word("cast", Keyword::CAST, span));
                        out.push(TokenWithSpan { token: Token::LParen, span });
                        out.push(text);
                        out.push(word("as", Keyword::AS, span));
                        out.push(TokenWithSpan { token: Token::Word(name), span });
                        Token::RParen
                    }
                    None => Token::Word(name),
                }
            }
            other => other,
        };
        out.push(TokenWithSpan { token, span });
    }
    Ok(out)
}

/// `0x` and the digits, where bytes have a letter and two quotes.
fn has_no_quotes(digits: &str, span: Span) -> bool {
    span.start.line == span.end.line && span.end.column - span.start.column == digits.chars().count() as u64 + 2
}

/// `o40` and `b1001` behind a zero.
fn radix(token: &Token) -> Option<(u32, &str)> {
    let Token::Word(word) = token else { return None };
    if word.quote_style.is_some() {
        return None;
    }
    let radix = match word.value.chars().next()? {
        'o' => 8,
        'b' => 2,
        _ => return None,
    };
    Some((radix, &word.value[1..])).filter(|(_, digits)| !digits.is_empty())
}

fn number(digits: &str, radix: u32, span: Span) -> Result<Token, QueryError> {
    let digits = digits.replace('_', "");
    match u64::from_str_radix(&digits, radix) {
        Ok(value) => Ok(Token::Number(value.to_string(), false)),
        Err(_) => Err(invalid(span, format!("Invalid numeric literal: {digits}"))),
    }
}

/// Digits of `X'68 65'` without its blanks.
fn bytes(digits: &str, span: Span) -> Result<String, QueryError> {
    let digits: String = digits.chars().filter(|c| !c.is_whitespace()).collect();
    if !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(invalid(span, "Binary literal can only contain hexadecimal digits".into()));
    }
    if digits.len() % 2 == 1 {
        return Err(invalid(span, "Binary literal must contain an even number of digits".into()));
    }
    Ok(digits)
}

fn invalid(span: Span, message: String) -> QueryError {
    let at: Position = position(span);
    QueryError::syntax(at, message)
}
