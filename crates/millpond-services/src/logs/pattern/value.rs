//! What a value is compared with: texts with wildcards, numbers, regular expressions.

use super::PatternError;
use regex::bytes::{Regex, RegexBuilder};

/// Memory that one regular expression may take, compiled. Bytes.
const REGEX_BYTES_MAX: usize = 256 * 1024;

/// The characters that regular expressions may have besides letters and digits.
const REGEX_CHARACTERS: &str = ":_#=@/;,- ^$?[]{}|\\*+.";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone)]
pub(super) enum Operand {
    Text { glob: Glob, number: Option<f64>, shown: String },
    Regex(Regex),
}

impl Operand {
    pub(super) fn text(text: &str) -> Self {
        Self::Text { glob: Glob::new(text), number: number(text), shown: text.to_owned() }
    }

    pub(super) fn regex(text: &str) -> Result<Self, PatternError> {
        regex(text).map(Self::Regex)
    }
}

/// Compiles a regular expression of a pattern.
pub(super) fn regex(text: &str) -> Result<Regex, PatternError> {
    let known = |c: char| c.is_ascii_alphanumeric() || REGEX_CHARACTERS.contains(c);
    if text.is_empty() || !text.chars().all(known) {
        return Err(PatternError::term(&format!("%{text}%"), "write other characters as \\xhh"));
    }
    let built = RegexBuilder::new(text).unicode(false).size_limit(REGEX_BYTES_MAX).dfa_size_limit(4 * REGEX_BYTES_MAX).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => PatternError::new(format!("the regular expression %{text}% is too large")),
        other => PatternError::new(format!("%{text}% is no regular expression: {}", other.to_string().replace('\n', " "))),
    })
}

fn number(text: &str) -> Option<f64> {
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    // `parse` would also take `inf` and the like.
    text.parse().ok().filter(|_| numeric)
}

/// A value of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) text: &'a str,
    /// Where it is known already.
    pub(super) number: Option<f64>,
}

impl<'a> Value<'a> {
    /// A text that may be a number.
    pub(super) fn text(text: &'a str) -> Self {
        Self { text, number: None }
    }

    fn number(self) -> Option<f64> {
        self.number.or_else(|| number(self.text))
    }
}

/// An operator with its operand.
#[derive(Debug, Clone)]
pub(super) struct Comparison {
    operator: Operator,
    operand: Operand,
}

impl Comparison {
    pub(super) fn new(operator: Operator, operand: Operand) -> Result<Self, PatternError> {
        let orders = !matches!(operator, Operator::Equal | Operator::NotEqual);
        match &operand {
            Operand::Regex(_) if orders => Err(PatternError::new("a regular expression can only be compared with = and !=")),
            Operand::Text { number: None, shown, .. } if orders => {
                Err(PatternError::new(format!("<, <=, > and >= compare numbers, and '{shown}' is none")))
            }
            _ => Ok(Self { operator, operand }),
        }
    }

    pub(super) fn holds(&self, value: Value<'_>) -> bool {
        match (&self.operand, self.operator) {
            (Operand::Regex(regex), operator) => regex.is_match(value.text.as_bytes()) == (operator == Operator::Equal),
            (Operand::Text { glob, number, .. }, Operator::Equal) => equal(glob, *number, value),
            (Operand::Text { glob, number, .. }, Operator::NotEqual) => !equal(glob, *number, value),
            (Operand::Text { number, .. }, operator) => {
                let Some((left, right)) = value.number().zip(*number) else { return false };
                match operator {
                    Operator::Less => left < right,
                    Operator::LessOrEqual => left <= right,
                    Operator::Greater => left > right,
                    _ => left >= right,
                }
            }
        }
    }
}

fn equal(glob: &Glob, number: Option<f64>, value: Value<'_>) -> bool {
    let numbers = number.and_then(|number| Some((number, value.number()?)));
    glob.matches(value.text) || numbers.is_some_and(|(left, right)| left == right)
}

/// A text in which `*` stands for any characters.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    first: String,
    /// What comes between and after the stars; absent where there is no star.
    rest: Option<(Vec<String>, String)>,
}

impl Glob {
    pub(super) fn new(text: &str) -> Self {
        let mut parts = text.split('*').map(str::to_owned);
        let first = parts.next().unwrap_or_default();
        let mut rest: Vec<String> = parts.collect();
        let last = rest.pop();
        rest.retain(|part| !part.is_empty());
        Self { first, rest: last.map(|last| (rest, last)) }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let Some((middle, last)) = &self.rest else { return text == self.first };
        let Some(text) = text.strip_prefix(self.first.as_str()) else { return false };
        let Some(mut text) = text.strip_suffix(last.as_str()) else { return false };
        for part in middle {
            let Some(at) = text.find(part.as_str()) else { return false };
            text = &text[at + part.len()..];
        }
        true
    }
}
