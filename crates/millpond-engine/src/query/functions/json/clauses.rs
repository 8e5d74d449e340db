//! The clauses of SQL/JSON's functions, on tokens: the parser knows none of them, so that they become arguments.
//!
//! | Trino | the parser |
//! |---|---|
//! | `json_query(v, p PASSING x AS "n" WITH ARRAY WRAPPER)` | `json_query_by(v, p, 'WITH ARRAY WRAPPER', 'n', json_item(x))` |
//! | `json_value(v, p RETURNING bigint DEFAULT 0 ON EMPTY)` | `CAST(json_value_by(v, p, '', 'default on empty', json_item(0)) AS bigint)` |
//! | `json_object('k' : v, 'l' VALUE w NULL ON NULL)` | `json_object_of('NULL ON NULL', 'k', json_item(v), 'l', json_item(w))` |
//! | `json_array(v FORMAT JSON)` | `json_array_of('', json_format_item(v))` |

use crate::query::QueryError;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};

/// Rewrites the calls among a statement's tokens.
///
/// # Errors
/// A clause that is none.
pub(crate) fn rewrite(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, QueryError> {
    if !tokens.iter().any(|token| function(token).is_some()) {
        return Ok(tokens);
    }
    let mut out = Vec::with_capacity(tokens.len() + 16);
    let mut at = 0;
    while at < tokens.len() {
        let called = matches!(tokens.get(at + 1), Some(next) if next.token == Token::LParen);
        match function(&tokens[at]).filter(|_| called) {
            Some(name) => {
                let end = close(&tokens, at + 1);
                let arguments = rewrite(tokens[at + 2..end].to_vec())?;
                call(name, tokens[at].span, &arguments, &mut out)?;
                at = end + 1;
            }
            None => {
                out.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    Ok(out)
}

const FUNCTIONS: [&str; 5] = ["json_exists", "json_value", "json_query", "json_object", "json_array"];

fn function(token: &TokenWithSpan) -> Option<&'static str> {
    match &token.token {
        Token::Word(Word { value, quote_style: None, .. }) => FUNCTIONS.into_iter().find(|name| name == value),
        _ => None,
    }
}

/// The parenthesis that closes the one at `open`.
fn close(tokens: &[TokenWithSpan], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 1 => return at,
            Token::RParen => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

fn is(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(Word { value, quote_style: None, .. }) if value == word)
}

fn words(tokens: &[TokenWithSpan], words: &[&str]) -> bool {
    tokens.len() >= words.len() && tokens.iter().zip(words).all(|(token, word)| is(token, word))
}

/// Pieces between the commas that stand outside of parentheses and brackets.
fn split(tokens: &[TokenWithSpan]) -> Vec<&[TokenWithSpan]> {
    let (mut depth, mut start, mut out) = (0i32, 0, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth -= 1,
            Token::Comma if depth == 0 => {
                out.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if start < tokens.len() {
        out.push(&tokens[start..]);
    }
    out
}

/// Where one of the words stands outside of parentheses.
fn find(tokens: &[TokenWithSpan], wanted: impl Fn(&[TokenWithSpan]) -> bool) -> Option<usize> {
    let mut depth = 0i32;
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth -= 1,
            _ if depth == 0 && wanted(&tokens[at..]) => return Some(at),
            _ => {}
        }
    }
    None
}

/// Writes tokens with the place of the call.
struct Writer<'a> {
    out: &'a mut Vec<TokenWithSpan>,
    span: Span,
}

impl Writer<'_> {
    fn token(&mut self, token: Token) {
        self.out.push(TokenWithSpan { token, span: self.span });
    }

    fn word(&mut self, word: &str, keyword: Keyword) {
        self.token(Token::Word(Word { value: word.to_owned(), quote_style: None, keyword }));
    }

    fn text(&mut self, text: &str) {
        self.token(Token::SingleQuotedString(text.to_owned()));
    }

    fn comma(&mut self) {
        self.token(Token::Comma);
    }

    /// `name(tokens)`
    fn wrapped(&mut self, name: &str, tokens: &[TokenWithSpan]) {
        self.word(name, Keyword::NoKeyword);
        self.token(Token::LParen);
        self.out.extend_from_slice(tokens);
        self.token(Token::RParen);
    }

    /// A value as JSON: what is marked by FORMAT JSON, or is made by one of these functions, is JSON already.
    fn item(&mut self, tokens: &[TokenWithSpan]) {
        let marked = find(tokens, |rest| words(rest, &["format", "json"]));
        let made = tokens.first().is_some_and(|first| {
            matches!(&first.token, Token::Word(word) if ["json_query_by", "json_object_of", "json_array_of"].contains(&word.value.as_str()))
        });
        match marked {
            Some(at) => self.wrapped("json_format_item", &tokens[..at]),
            None if made => self.wrapped("json_format_item", tokens),
            None => self.wrapped("json_item", tokens),
        }
    }
}

fn wrong(span: Span, message: &str) -> QueryError {
    QueryError::syntax(crate::query::parse::position(span), message)
}

fn call(name: &str, span: Span, arguments: &[TokenWithSpan], out: &mut Vec<TokenWithSpan>) -> Result<(), QueryError> {
    let mut writer = Writer { out, span };
    match name {
        "json_object" => object(arguments, &mut writer),
        "json_array" => {
            array(arguments, &mut writer);
            Ok(())
        }
        _ => query(name, arguments, &mut writer),
    }
}

/// Where the clauses of all members begin.
fn constructor_clauses(tokens: &[TokenWithSpan]) -> usize {
    let starts: [&[&str]; 8] = [
        &["null", "on", "null"],
        &["absent", "on", "null"],
        &["with", "unique"],
        &["without", "unique"],
        &["returning"],
        &["with", "unique", "keys"],
        &["without", "unique", "keys"],
        &["returning", "varchar"],
    ];
    find(tokens, |rest| starts.iter().any(|start| words(rest, start))).unwrap_or(tokens.len())
}

fn shown(tokens: &[TokenWithSpan]) -> String {
    tokens.iter().map(|token| token.token.to_string().to_lowercase()).collect::<Vec<_>>().join(" ")
}

fn object(arguments: &[TokenWithSpan], writer: &mut Writer<'_>) -> Result<(), QueryError> {
    let (members, clauses) = arguments.split_at(constructor_clauses(arguments));
    let span = writer.span;
    writer.word("json_object_of", Keyword::NoKeyword);
    writer.token(Token::LParen);
    writer.text(&shown(clauses));
    for member in split(members) {
        let member = if member.first().is_some_and(|first| is(first, "key")) { &member[1..] } else { member };
        let at = find(member, |rest| rest[0].token == Token::Colon || is(&rest[0], "value"));
        let at = at.filter(|at| *at > 0 && at + 1 < member.len());
        let at = at.ok_or_else(|| {
            wrong(
                member.first().map_or(span, |first| first.span),
                "a member of JSON_OBJECT is KEY name VALUE value, or name : value",
            )
        })?;
        writer.comma();
        writer.out.extend_from_slice(&member[..at]);
        writer.comma();
        writer.item(&member[at + 1..]);
    }
    writer.token(Token::RParen);
    Ok(())
}

fn array(arguments: &[TokenWithSpan], writer: &mut Writer<'_>) {
    let (items, clauses) = arguments.split_at(constructor_clauses(arguments));
    writer.word("json_array_of", Keyword::NoKeyword);
    writer.token(Token::LParen);
    writer.text(&shown(clauses));
    for item in split(items) {
        writer.comma();
        writer.item(item);
    }
    writer.token(Token::RParen);
}

/// What begins a clause behind the path.
const CLAUSES: [&str; 14] = [
    "passing",
    "returning",
    "with",
    "without",
    "keep",
    "omit",
    "null",
    "error",
    "empty",
    "default",
    "true",
    "false",
    "unknown",
    "format",
];

fn query(name: &str, arguments: &[TokenWithSpan], writer: &mut Writer<'_>) -> Result<(), QueryError> {
    let span = writer.span;
    let parts = split(arguments);
    let [input, rest, more @ ..] = parts.as_slice() else { return Err(wrong(span, "a JSON value and a path are needed")) };
    let input = match find(input, |rest| words(rest, &["format", "json"])) {
        Some(at) => &input[..at],
        None => input,
    };
    let begins = |rest: &[TokenWithSpan]| CLAUSES.iter().any(|word| is(&rest[0], word));
    let (path, clauses) = rest.split_at(find(rest, begins).unwrap_or(rest.len()));
    // The values of PASSING are parted by commas too; clauses may stand behind the last one.
    let mut passing: Vec<&[TokenWithSpan]> = Vec::new();
    let mut clauses = clauses;
    if clauses.first().is_some_and(|first| is(first, "passing")) {
        passing.push(&clauses[1..]);
        passing.extend(more);
        clauses = &[];
    } else if !more.is_empty() {
        return Err(wrong(span, "only PASSING takes values behind the path"));
    }
    let mut values = Vec::new();
    for (index, part) in passing.iter().enumerate() {
        let at = find(part, |rest| is(&rest[0], "as")).filter(|at| at + 1 < part.len());
        let at = at.ok_or_else(|| wrong(span, "a value of PASSING has a name: PASSING value AS name"))?;
        let Token::Word(named) = &part[at + 1].token else { return Err(wrong(part[at + 1].span, "a name is missing")) };
        values.push((named.value.clone(), &part[..at]));
        let behind = &part[at + 2..];
        if index + 1 == passing.len() {
            clauses = behind;
        } else if !behind.is_empty() {
            return Err(wrong(behind[0].span, "a comma is missing"));
        }
    }
    let mut returning: &[TokenWithSpan] = &[];
    if clauses.first().is_some_and(|first| is(first, "returning")) {
        let end = find(&clauses[1..], begins).map_or(clauses.len(), |at| at + 1);
        (returning, clauses) = (&clauses[1..end], &clauses[end..]);
        if words(clauses, &["format", "json"]) {
            clauses = &clauses[2..];
        }
    }
    let mut options = Vec::new();
    let mut defaults = Vec::new();
    while !clauses.is_empty() {
        // A clause ends with ERROR, EMPTY, WRAPPER, QUOTES, or ON SCALAR STRING.
        if is(&clauses[0], "default") {
            let Some(on) = find(clauses, |rest| words(rest, &["on", "empty"]) || words(rest, &["on", "error"])) else {
                return Err(wrong(clauses[0].span, "DEFAULT value ON EMPTY or ON ERROR"));
            };
            defaults.push((shown(&clauses[on..on + 2]), &clauses[1..on]));
            clauses = &clauses[on + 2..];
            continue;
        }
        let ends = |rest: &[TokenWithSpan]| {
            ["wrapper", "quotes"].iter().any(|word| is(&rest[0], word))
                || words(rest, &["on", "empty"])
                || words(rest, &["on", "error"])
        };
        let Some(end) = find(clauses, ends) else {
            return Err(wrong(clauses[0].span, "mismatched input: this is no clause of the function"));
        };
        let end = end + if is(&clauses[end], "on") { 2 } else { 1 };
        options.push(shown(&clauses[..end]));
        clauses = &clauses[end..];
        if words(clauses, &["on", "scalar", "string"]) {
            clauses = &clauses[3..];
        }
    }
    if !returning.is_empty() {
        writer.word("cast", Keyword::CAST);
        writer.token(Token::LParen);
    }
    writer.word(&format!("{name}_by"), Keyword::NoKeyword);
    writer.token(Token::LParen);
    writer.out.extend_from_slice(input);
    writer.comma();
    writer.out.extend_from_slice(path);
    writer.comma();
    writer.text(&options.join(";"));
    for (name, value) in values {
        writer.comma();
        writer.text(&name);
        writer.comma();
        writer.item(value);
    }
    for (when, value) in defaults {
        writer.comma();
        // No variable has such a name.
        writer.text(&format!("default {when}"));
        writer.comma();
        writer.item(value);
    }
    writer.token(Token::RParen);
    if !returning.is_empty() {
        writer.word("as", Keyword::AS);
        writer.out.extend_from_slice(returning);
        writer.token(Token::RParen);
    }
    Ok(())
}
