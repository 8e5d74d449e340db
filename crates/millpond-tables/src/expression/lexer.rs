//! Tokens of expressions.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An attribute's or a function's name, or a keyword.
    Word,
    /// `#name`
    Name,
    /// `:value`
    Value,
    /// Digits.
    Digits,
    /// `=`, `<=`, `(`, …
    Symbol,
    /// What no expression has.
    Other,
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

/// All tokens, [`Kind::End`] last.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::with_capacity(text.len() / 4 + 1);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let word = |from: usize| from + bytes[from..].iter().take_while(|byte| is_word(**byte)).count();
        let (kind, end) = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'a'..=b'z' | b'A'..=b'Z' => (Kind::Word, word(at)),
            b'0'..=b'9' => (Kind::Digits, at + bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count()),
            b'#' if word(at + 1) > at + 1 => (Kind::Name, word(at + 1)),
            b':' if word(at + 1) > at + 1 => (Kind::Value, word(at + 1)),
            b'<' if matches!(bytes.get(at + 1), Some(b'=' | b'>')) => (Kind::Symbol, at + 2),
            b'>' if bytes.get(at + 1) == Some(&b'=') => (Kind::Symbol, at + 2),
            b'=' | b'<' | b'>' | b'(' | b')' | b'[' | b']' | b'.' | b',' | b'+' | b'-' => (Kind::Symbol, at + 1),
            _ => (Kind::Other, at + text[at..].chars().next().map_or(1, char::len_utf8)),
        };
        tokens.push(Token { kind, start: at, end });
        at = end;
    }
    tokens.push(Token { kind: Kind::End, start: text.len(), end: text.len() });
    tokens
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Is it `#` or `:` and a word, as the keys of `ExpressionAttributeNames` and `…Values` must be?
pub(super) fn is_placeholder(text: &str, first: u8) -> bool {
    match text.as_bytes() {
        [start, rest @ ..] => *start == first && !rest.is_empty() && rest.iter().all(|byte| is_word(*byte)),
        [] => false,
    }
}
