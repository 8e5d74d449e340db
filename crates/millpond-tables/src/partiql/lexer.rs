//! Tokens of statements.

use super::StatementError;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name without quotes, a function or a keyword.
    Word,
    /// `"name"`
    Quoted,
    /// `'text'`
    Text,
    Number,
    /// `(`, `<<`, `<=`, `?`, …
    Symbol,
    /// Behind the last.
    End,
}

/// A token, with its place in the text in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

const SYMBOLS: [&str; 25] = [
    "<<", ">>", "<=", ">=", "<>", "!=", "(", ")", "[", "]", "{", "}", ",", ".", ":", "*", "?", "=", "<", ">", "+", "-", ";", "/",
    "%",
];

/// All tokens, [`Kind::End`] last.
///
/// # Errors
/// A text, name or comment without an end; a character that no statement has.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, StatementError> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::with_capacity(text.len() / 4 + 1);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let while_ = |from: usize, is: fn(u8) -> bool| from + bytes[from..].iter().take_while(|byte| is(**byte)).count();
        let (kind, end) = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at = while_(at, |byte| byte != b'\n');
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                let length = text[at + 2..].find("*/").ok_or_else(|| unreadable(text, at))?;
                at += length + 4;
                continue;
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' => {
                (Kind::Word, while_(at, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$')))
            }
            b'0'..=b'9' => (Kind::Number, number_end(bytes, at)),
            b'.' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) && starts_number(&tokens, text, at) => {
                (Kind::Number, number_end(bytes, at))
            }
            b'"' | b'\'' => {
                let kind = if byte == b'"' { Kind::Quoted } else { Kind::Text };
                (kind, quoted_end(bytes, at).ok_or_else(|| unreadable(text, at))?)
            }
            _ => {
                let symbol = SYMBOLS.iter().find(|symbol| bytes[at..].starts_with(symbol.as_bytes()));
                (Kind::Symbol, at + symbol.ok_or_else(|| unreadable(text, at))?.len())
            }
        };
        tokens.push(Token { kind, start: at, end });
        at = end;
    }
    tokens.push(Token { kind: Kind::End, start: text.len(), end: text.len() });
    Ok(tokens)
}

/// `.5`, and not `a.5` or `a].5`.
fn starts_number(tokens: &[Token], text: &str, at: usize) -> bool {
    tokens
        .last()
        .is_none_or(|last| last.end < at || (last.kind == Kind::Symbol && !matches!(&text[last.start..last.end], "]" | ")")))
}

/// Digits, a point and digits, an exponent if there is one.
fn number_end(bytes: &[u8], start: usize) -> usize {
    let digits = |from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = digits(start);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    end
}

/// Behind the quote that ends it; a doubled one stands for itself.
fn quoted_end(bytes: &[u8], start: usize) -> Option<usize> {
    let quote = bytes[start];
    let mut at = start + 1;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == quote)? + 1;
        if bytes.get(at) != Some(&quote) {
            return Some(at);
        }
        at += 1;
    }
}

/// The content of a quoted token.
pub(super) fn unquoted(token: &str) -> String {
    let Some(quote) = token.chars().next() else { return String::new() };
    let inner = &token[1..token.len() - 1];
    inner.replace(&format!("{quote}{quote}"), &quote.to_string())
}

fn unreadable(text: &str, at: usize) -> StatementError {
    malformed("Unreadable from here", text, at, text.len().min(at + 1))
}

/// A statement that cannot be read, in DynamoDB's words, and where.
pub(super) fn malformed(what: &str, text: &str, start: usize, end: usize) -> StatementError {
    StatementError::new(format!("Statement wasn't well formed, can't be processed: {what} at {}", place(text, start, end)))
}

/// `line:column:length`, in characters from 1.
pub(super) fn place(text: &str, start: usize, end: usize) -> String {
    let before = text.get(..start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
    let length = text.get(start..end).map_or(1, |token| token.chars().count());
    format!("{line}:{column}:{length}")
}
