//! A place in a pattern's text, and what all forms of patterns are made of: quoted texts, regular expressions, operators.

use super::PatternError;
use super::value::{Comparison, Operand, Operator};

/// Regular expressions in one pattern of fields or of JSON at the most.
const REGEXES_MAX: usize = 2;

/// Parentheses in parentheses at the most.
const DEPTH_MAX: usize = 32;

pub(super) struct Cursor<'a> {
    rest: &'a str,
    regexes: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, regexes: 0, depth: 0 }
    }

    pub(super) fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }

    pub(super) fn is_at_end(&mut self) -> bool {
        self.skip_spaces();
        self.rest.is_empty()
    }

    /// Whether this character comes next, without spaces before it.
    pub(super) fn next_is(&self, wanted: char) -> bool {
        self.rest.starts_with(wanted)
    }

    /// Goes past `token` where it comes next, after spaces.
    pub(super) fn take(&mut self, token: &str) -> bool {
        self.skip_spaces();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Goes past a word in capitals or not, where it comes next as a whole word.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        self.skip_spaces();
        let is_word = |text: &str| text.eq_ignore_ascii_case(word);
        let follows = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        match self.rest.get(..word.len()).zip(self.rest.get(word.len()..)) {
            Some((found, rest)) if is_word(found) && follows(rest) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// All characters up to the first that `ends`.
    pub(super) fn take_until(&mut self, ends: impl Fn(&str) -> bool) -> &'a str {
        let end = self.rest.char_indices().map(|(at, _)| at).find(|at| ends(&self.rest[*at..])).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// What comes next, for a message.
    pub(super) fn shown(&self) -> String {
        match self.rest.chars().take(24).collect::<String>() {
            rest if rest.is_empty() => "the end".into(),
            rest => format!("'{rest}'"),
        }
    }

    pub(super) fn enter(&mut self) -> Result<(), PatternError> {
        self.depth += 1;
        let deep = || PatternError::new(format!("more than {DEPTH_MAX} parentheses lie in one another"));
        (self.depth <= DEPTH_MAX).then_some(()).ok_or_else(deep)
    }

    pub(super) fn leave(&mut self) -> Result<(), PatternError> {
        self.depth -= 1;
        let found = self.take(")");
        found.then_some(()).ok_or_else(|| PatternError::new(format!("')' is expected before {}", self.shown())))
    }

    /// A text in double quotation marks, without them; `\"` and `\\` stand for themselves without the backslash. The opening mark comes next.
    pub(super) fn quoted(&mut self) -> Result<String, PatternError> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, found)) = chars.next() {
            match found {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    Some((_, other)) => text.extend(['\\', other]),
                    None => break,
                },
                other => text.push(other),
            }
        }
        Err(PatternError::new(format!("the quotation mark of {} is not closed", self.shown())))
    }

    /// A regular expression between percent signs, without them. The opening sign comes next.
    pub(super) fn regex(&mut self) -> Result<&'a str, PatternError> {
        let open = format!("the percent sign of {} is not closed", self.shown());
        let (regex, rest) = self.rest[1..].split_once('%').ok_or_else(|| PatternError::new(open))?;
        self.rest = rest;
        Ok(regex)
    }

    /// An operator, if one comes next.
    pub(super) fn operator(&mut self) -> Option<Operator> {
        // The longer ones first.
        let operators = [
            ("!=", Operator::NotEqual),
            (">=", Operator::GreaterOrEqual),
            ("<=", Operator::LessOrEqual),
            ("=", Operator::Equal),
            (">", Operator::Greater),
            ("<", Operator::Less),
        ];
        operators.into_iter().find(|(text, _)| self.take(text)).map(|(_, operator)| operator)
    }

    /// What follows an operator: a quoted text, a regular expression, or characters up to a space or one that `ends`.
    pub(super) fn comparison(&mut self, operator: Operator, ends: impl Fn(&str) -> bool) -> Result<Comparison, PatternError> {
        self.skip_spaces();
        let operand = if self.rest.starts_with('"') {
            Operand::text(&self.quoted()?)
        } else if self.rest.starts_with('%') {
            self.regexes += 1;
            if self.regexes > REGEXES_MAX {
                return Err(PatternError::new(format!("it has more than {REGEXES_MAX} regular expressions")));
            }
            Operand::regex(self.regex()?)?
        } else {
            let before = self.shown();
            let bare = self.take_until(|rest| rest.starts_with(|c: char| c.is_whitespace() || c == '"') || ends(rest));
            if bare.is_empty() {
                return Err(PatternError::new(format!("a value is expected before {before}")));
            }
            Operand::text(bare)
        };
        Comparison::new(operator, operand)
    }
}
