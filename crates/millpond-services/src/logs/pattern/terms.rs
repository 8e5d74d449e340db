//! Terms: `ERROR`, `"a phrase"`, `%regex%`, `-without`, `?either ?or`.
//!
//! A term is looked for anywhere in the message, with its capitals. Where some terms must be there (or must not), those with `?` are ignored.

use super::PatternError;
use super::cursor::Cursor;
use super::value;
use regex::bytes::Regex;

/// Regular expressions at the most.
const REGEXES_MAX: usize = 5;

#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    required: Vec<Term>,
    excluded: Vec<Term>,
    optional: Vec<Term>,
}

#[derive(Debug, Clone)]
enum Term {
    Text(String),
    Regex(Regex),
}

impl Term {
    fn is_in(&self, message: &str) -> bool {
        match self {
            Self::Text(text) => message.contains(text.as_str()),
            Self::Regex(regex) => regex.is_match(message.as_bytes()),
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Terms, PatternError> {
    let (mut cursor, mut terms, mut regexes) = (Cursor::new(text), Terms::default(), 0);
    while !cursor.is_at_end() {
        let list = if cursor.take("?") {
            &mut terms.optional
        } else if cursor.take("-") {
            &mut terms.excluded
        } else {
            &mut terms.required
        };
        let Some(term) = term(&mut cursor)? else { continue };
        regexes += usize::from(matches!(term, Term::Regex(_)));
        list.push(term);
    }
    if regexes > REGEXES_MAX {
        return Err(PatternError::new(format!("it has more than {REGEXES_MAX} regular expressions")));
    }
    Ok(terms)
}

/// One term; `None` for `" "`, which is in every message.
fn term(cursor: &mut Cursor<'_>) -> Result<Option<Term>, PatternError> {
    if cursor.next_is('"') {
        let text = cursor.quoted()?;
        return match text.trim() {
            _ if text.is_empty() => Err(PatternError::term("\"\"", "an empty term cannot be looked for; leave the pattern out")),
            "" => Ok(None),
            _ => Ok(Some(Term::Text(text))),
        };
    }
    if cursor.next_is('%') {
        return Ok(Some(Term::Regex(value::regex(cursor.regex()?)?)));
    }
    let word = cursor.take_until(|rest| rest.starts_with(char::is_whitespace));
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    if word.is_empty() || !word.chars().all(plain) {
        return Err(PatternError::term(word, "enclose it in double quotation marks"));
    }
    Ok(Some(Term::Text(word.to_owned())))
}

impl Terms {
    pub(super) fn matches(&self, message: &str) -> bool {
        let is_in = |term: &Term| term.is_in(message);
        if self.required.is_empty() && self.excluded.is_empty() {
            return self.optional.is_empty() || self.optional.iter().any(is_in);
        }
        self.required.iter().all(is_in) && !self.excluded.iter().any(is_in)
    }
}
