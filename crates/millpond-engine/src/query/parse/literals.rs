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
            Token::UnicodeStringLiteral(text) => {
                let is_word = |token: &Token, name: &str| matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value == name);
                match tokens.next_if(|next| is_word(&next.token, "uescape")) {
                    Some(_) => match tokens.next().map(|next| next.token) {
                        Some(Token::SingleQuotedString(escape)) => Token::SingleQuotedString(unescaped(&text, &escape, span)?),
                        _ => return Err(invalid(span, "UESCAPE is followed by a character in quotes".into())),
                    },
                    None => Token::SingleQuotedString(text),
                }
            }
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

/// `#2603` and `#+01F600` are characters, `##` is the sign itself; escapes by backslashes have been read already.
fn unescaped(text: &str, escape: &str, span: Span) -> Result<String, QueryError> {
    let mut signs = escape.chars();
    let (Some(sign), None) = (signs.next(), signs.next()) else {
        return Err(invalid(span, "Unicode escape must be a single character".into()));
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(sign) {
        out.push_str(before);
        if let Some(doubled) = after.strip_prefix(sign) {
            out.push(sign);
            rest = doubled;
            continue;
        }
        let (digits, after) = match after.strip_prefix('+') {
            Some(long) => (long.get(..6), long.get(6..)),
            None => (after.get(..4), after.get(4..)),
        };
        let character = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
        let (Some(character), Some(after)) = (character, after) else {
            return Err(invalid(span, "Incomplete escape sequence in a unicode literal".into()));
        };
        out.push(character);
        rest = after;
    }
    out.push_str(rest);
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
