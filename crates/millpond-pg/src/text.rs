//! SQL as text: where statements end, what they begin with, and where their parameters stand.

use std::ops::Range;

/// A piece of a statement that is neither blank nor comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Bytes of the text.
    pub(crate) at: Range<usize>,
}

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword, a plain name or a number.
    Word,
    /// In double quotes or back-quotes.
    Quoted,
    /// A text in single quotes.
    Text,
    /// `$1`: which one, from 1.
    Parameter(usize),
    /// `;`
    End,
    /// Any other character, or `::`.
    Symbol,
}

/// All pieces. What has no end (a text, a comment) reaches to the end of the statement.
pub(crate) fn tokens(sql: &str) -> Vec<Token> {
    let bytes = sql.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let start = at;
        let kind = match bytes[at] {
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at = after(bytes, at, b'\n');
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = after_comment(bytes, at);
                continue;
            }
            b'\'' => {
                at = after_quoted(bytes, at);
                Kind::Text
            }
            b'"' | b'`' => {
                at = after_quoted(bytes, at);
                Kind::Quoted
            }
            b'$' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => {
                at += 1;
                while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                    at += 1;
                }
                Kind::Parameter(sql[start + 1..at].parse().unwrap_or(usize::MAX))
            }
            b';' => {
                at += 1;
                Kind::End
            }
            byte if is_word(byte) => {
                while bytes.get(at).copied().is_some_and(is_word) {
                    at += 1;
                }
                Kind::Word
            }
            b':' if bytes.get(at + 1) == Some(&b':') => {
                at += 2;
                Kind::Symbol
            }
            _ => {
                at += 1;
                Kind::Symbol
            }
        };
        found.push(Token { kind, at: start..at });
    }
    found
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn after(bytes: &[u8], at: usize, end: u8) -> usize {
    bytes[at..].iter().position(|byte| *byte == end).map_or(bytes.len(), |found| at + found + 1)
}

/// A doubled quote within is part of it.
fn after_quoted(bytes: &[u8], at: usize) -> usize {
    let (quote, mut place) = (bytes[at], at + 1);
    while place < bytes.len() {
        if bytes[place] == quote {
            if bytes.get(place + 1) != Some(&quote) {
                return place + 1;
            }
            place += 1;
        }
        place += 1;
    }
    bytes.len()
}

/// Comments nest in PostgreSQL.
fn after_comment(bytes: &[u8], at: usize) -> usize {
    let (mut place, mut depth) = (at + 2, 1);
    while place < bytes.len() {
        match (bytes[place], bytes.get(place + 1)) {
            (b'*', Some(b'/')) => {
                depth -= 1;
                place += 2;
                if depth == 0 {
                    return place;
                }
            }
            (b'/', Some(b'*')) => {
                depth += 1;
                place += 2;
            }
            _ => place += 1,
        }
    }
    bytes.len()
}

/// The statements of a text that semicolons separate, without those that say nothing.
pub(crate) fn statements(sql: &str) -> Vec<&str> {
    let (mut found, mut current): (Vec<&str>, Option<Range<usize>>) = (Vec::new(), None);
    for token in tokens(sql) {
        if token.kind == Kind::End {
            found.extend(current.take().map(|range| &sql[range]));
            continue;
        }
        current = Some(current.map_or(token.at.start, |range| range.start)..token.at.end);
    }
    found.extend(current.map(|range| &sql[range]));
    found
}

/// The parameters of a statement: how many it has, and its text with `?` for each in Athena's manner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Placeholders {
    /// `$1` became `?` and a blank: everything stays in its place.
    pub(crate) sql: String,
    /// The number of the parameter for each `?`, from 0.
    pub(crate) order: Vec<usize>,
    /// The greatest number that is named.
    pub(crate) count: usize,
    /// For each parameter the type that it is cast to on the spot: `$1::bigint`.
    pub(crate) casts: Vec<Option<String>>,
}

/// Parameters that a statement can have: the protocol counts them with 16 bits.
pub(crate) const PARAMETERS_MAX: usize = u16::MAX as usize;
/// `$65535`: zeros in front are counted too.
const PARAMETER_LENGTH_MAX: usize = 6;

/// Finds the parameters of a statement; `None` where a number is out of range.
pub(crate) fn placeholders(sql: &str) -> Option<Placeholders> {
    let tokens = tokens(sql);
    let mut found = Placeholders { sql: sql.to_owned(), ..Placeholders::default() };
    for (place, token) in tokens.iter().enumerate() {
        let Kind::Parameter(number) = token.kind else { continue };
        if number == 0 || number > PARAMETERS_MAX || token.at.len() > PARAMETER_LENGTH_MAX {
            return None;
        }
        found.sql.replace_range(token.at.clone(), &format!("{:<width$}", "?", width = token.at.len()));
        found.order.push(number - 1);
        found.count = found.count.max(number);
        found.casts.resize(found.count.max(found.casts.len()), None);
        if let [colons, word, ..] = &tokens[place + 1..]
            && &sql[colons.at.clone()] == "::"
            && word.kind == Kind::Word
        {
            found.casts[number - 1] = Some(sql[word.at.clone()].to_lowercase());
        }
    }
    Some(found)
}

/// A name as SQL means it: without quotes, or in lower case.
pub(crate) fn name_of(sql: &str, token: &Token) -> String {
    let text = &sql[token.at.clone()];
    match token.kind {
        Kind::Quoted => {
            let quote = text.chars().next().unwrap_or('"');
            let inner = text.strip_prefix(quote).unwrap_or(text);
            inner.strip_suffix(quote).unwrap_or(inner).replace(&format!("{quote}{quote}"), &quote.to_string())
        }
        Kind::Text => text_of(text),
        _ => text.to_lowercase(),
    }
}

/// What a text in single quotes says.
fn text_of(quoted: &str) -> String {
    let inner = quoted.strip_prefix('\'').unwrap_or(quoted);
    inner.strip_suffix('\'').unwrap_or(inner).replace("''", "'")
}

/// As a text in single quotes.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The text of a literal in quotes.
pub(crate) fn unquote(literal: &str) -> Option<String> {
    Some(literal.strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "'"))
}

/// As a name in double quotes.
pub(crate) fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_where_semicolons_are_sql() {
        let check = |sql: &str, expected: &[&str]| assert_eq!(statements(sql), expected, "{sql}");
        check("", &[]);
        check(" ; -- nothing\n;; /* at /* all */ ; */", &[]);
        check("SELECT 1", &["SELECT 1"]);
        check("SELECT ';' AS \"a;b\"; SELECT 'it''s; one' -- ;\n;", &["SELECT ';' AS \"a;b\"", "SELECT 'it''s; one'"]);
        check("SELECT 'open; end", &["SELECT 'open; end"]);
        check("BEGIN;SELECT é;COMMIT", &["BEGIN", "SELECT é", "COMMIT"]);
    }

    #[test]
    fn parameters_keep_their_places() {
        let found = placeholders("SELECT $2, '$9', \"$8\" /* $7 */ FROM t WHERE a = $1::bigint AND b = $12").unwrap();
        assert_eq!(found.sql, "SELECT ? , '$9', \"$8\" /* $7 */ FROM t WHERE a = ? ::bigint AND b = ?  ");
        assert_eq!((found.order, found.count), (vec![1, 0, 11], 12));
        assert_eq!(found.casts[0].as_deref(), Some("bigint"));
        assert_eq!(placeholders("SELECT $0"), None);
        assert_eq!(placeholders(&format!("SELECT ${}1", "0".repeat(100_000))), None);
        assert_eq!(placeholders("SELECT $99999999999999999999"), None);
    }

    #[test]
    fn names_are_read_as_sql_reads_them() {
        let check = |sql: &str, expected: &str| assert_eq!(name_of(sql, &tokens(sql)[0]), expected);
        check("Name", "name");
        check("\"Na\"\"me\"", "Na\"me");
        check("`b`", "b");
        check("'it''s'", "it's");
    }
}
