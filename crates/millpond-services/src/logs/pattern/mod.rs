//! Filter patterns: which log events are wanted (CloudWatch Logs user guide, "Filter pattern syntax for metric filters, subscription filters, filter
//! log events, and Live Tail").
//!
//! There are three forms: *terms* (`ERROR -"exit code" ?a ?b %regex%`), *JSON* (`{ $.level = "error" && $.took > 3 }`), and *fields* between spaces
//! (`[ip, ..., status = 4*, bytes]`). A pattern is parsed once and matched against many messages. Both come from outside: matching takes time that
//! is linear in the message (regular expressions are automata, wildcards are searches for their parts), and patterns are bounded in length and depth.

mod cursor;
mod fields;
mod json;
mod terms;
mod value;

use std::collections::BTreeMap;

/// Bytes of a pattern at the most.
const PATTERN_BYTES_MAX: usize = 1024;

/// The pattern is wrong; the text says where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid filter pattern: {0}")]
pub struct PatternError(String);

impl PatternError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn term(term: &str, hint: &str) -> Self {
        Self(format!("Invalid character(s) in term '{term}': {hint}"))
    }
}

/// A pattern that is ready to be matched.
#[derive(Debug, Clone)]
pub struct FilterPattern {
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    Everything,
    Terms(terms::Terms),
    Json(json::Expression),
    Fields(fields::Fields),
}

impl FilterPattern {
    /// Reads a pattern. An empty one matches everything.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::new(format!("it has {} bytes, and may have {PATTERN_BYTES_MAX}", text.len())));
        }
        let text = text.trim();
        let form = match text.as_bytes() {
            [] => Form::Everything,
            [b'{', .., b'}'] => Form::Json(json::parse(&text[1..text.len() - 1])?),
            [b'{', ..] => return Err(PatternError::new("If a filter pattern starts with '{' it must end with '}'")),
            [b'[', .., b']'] => Form::Fields(fields::parse(&text[1..text.len() - 1])?),
            [b'[', ..] => return Err(PatternError::new("If a filter pattern starts with '[' it must end with ']'")),
            _ => Form::Terms(terms::parse(text)?),
        };
        Ok(Self { form })
    }

    /// Whether a message is wanted.
    pub fn matches(&self, message: &str) -> bool {
        match &self.form {
            Form::Everything => true,
            Form::Terms(terms) => terms.matches(message),
            Form::Json(expression) => json::read(message).is_some_and(|value| expression.holds(&value)),
            Form::Fields(fields) => fields.matches(message),
        }
    }

    /// What the pattern takes from a message that is wanted: fields by `$name`, members of JSON by their selectors; `None` where it is not wanted.
    pub fn extract(&self, message: &str) -> Option<BTreeMap<String, String>> {
        match &self.form {
            Form::Everything => Some(BTreeMap::new()),
            Form::Terms(terms) => terms.matches(message).then(BTreeMap::new),
            Form::Json(expression) => {
                let value = json::read(message).filter(|value| expression.holds(value))?;
                Some(expression.extract(&value))
            }
            Form::Fields(fields) => fields.extract(message),
        }
    }
}

#[cfg(test)]
mod tests;
