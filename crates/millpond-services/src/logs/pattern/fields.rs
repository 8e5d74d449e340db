//! Fields between spaces: `[ip, user, ..., status = 4* || status = 5*, bytes > 1000]`.
//!
//! What lies between double quotation marks or brackets is one field. The last field of a pattern takes the rest of the line; an ellipsis stands for
//! as many fields as there are, and then the others are counted from both ends.

use super::PatternError;
use super::cursor::Cursor;
use super::value::{Comparison, Value};
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub(super) struct Fields {
    fields: Vec<Field>,
    /// How many fields come before the ellipsis.
    ellipsis: Option<usize>,
}

#[derive(Debug, Clone)]
struct Field {
    name: String,
    /// Absent: any value will do.
    condition: Option<Condition>,
}

#[derive(Debug, Clone)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Is(Comparison),
}

impl Condition {
    fn holds(&self, value: Value<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(value)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(value)),
            Self::Is(comparison) => comparison.holds(value),
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Fields, PatternError> {
    let mut cursor = Cursor::new(text);
    let mut parsed = Fields { fields: Vec::new(), ellipsis: None };
    loop {
        if cursor.take("...") {
            if parsed.ellipsis.replace(parsed.fields.len()).is_some() {
                return Err(PatternError::new("it has more than one ellipsis"));
            }
        } else {
            parsed.fields.push(field(&mut cursor)?);
        }
        if cursor.is_at_end() {
            break;
        }
        if !cursor.take(",") {
            return Err(PatternError::new(format!("',' is expected between fields, before {}", cursor.shown())));
        }
    }
    Ok(parsed)
}

fn field(cursor: &mut Cursor<'_>) -> Result<Field, PatternError> {
    let mut name = None;
    let condition = any(cursor, &mut name)?;
    let name = name.ok_or_else(|| PatternError::new(format!("the name of a field is expected before {}", cursor.shown())))?;
    Ok(Field { name, condition })
}

fn any(cursor: &mut Cursor<'_>, name: &mut Option<String>) -> Result<Option<Condition>, PatternError> {
    let mut parts = vec![all(cursor, name)?];
    while cursor.take("||") {
        parts.push(all(cursor, name)?);
    }
    combined(parts, Condition::Any)
}

fn all(cursor: &mut Cursor<'_>, name: &mut Option<String>) -> Result<Option<Condition>, PatternError> {
    let mut parts = vec![one(cursor, name)?];
    while cursor.take("&&") {
        parts.push(one(cursor, name)?);
    }
    combined(parts, Condition::All)
}

/// A name alone is no condition, and cannot be a part of one.
fn combined(
    mut parts: Vec<Option<Condition>>,
    combine: fn(Vec<Condition>) -> Condition,
) -> Result<Option<Condition>, PatternError> {
    if parts.len() == 1 {
        return Ok(parts.remove(0));
    }
    let parts: Option<Vec<Condition>> = parts.into_iter().collect();
    parts.map(|parts| Some(combine(parts))).ok_or_else(|| PatternError::new("a condition is expected before and after && and ||"))
}

fn one(cursor: &mut Cursor<'_>, name: &mut Option<String>) -> Result<Option<Condition>, PatternError> {
    if cursor.take("(") {
        cursor.enter()?;
        let inner = any(cursor, name)?;
        cursor.leave()?;
        return Ok(inner);
    }
    cursor.skip_spaces();
    let found = cursor.take_until(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || "_-$.@".contains(c)));
    if found.is_empty() {
        return Err(PatternError::new(format!("the name of a field is expected before {}", cursor.shown())));
    }
    match name {
        Some(name) if name != found => {
            return Err(PatternError::new(format!(
                "the conditions of field '{name}' also name '{found}': put a comma between fields"
            )));
        }
        Some(_) => {}
        None => *name = Some(found.to_owned()),
    }
    let Some(operator) = cursor.operator() else { return Ok(None) };
    let ends = |rest: &str| rest.starts_with([',', ')', '(']) || rest.starts_with("&&") || rest.starts_with("||");
    Ok(Some(Condition::Is(cursor.comparison(operator, ends)?)))
}

/// A field of a message: what it says, and where it begins.
#[derive(Debug, Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    start: usize,
}

/// Takes a message apart.
fn pieces(message: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut start) = (Vec::new(), 0);
    // What is not closed here is not closed further on: it is looked for once.
    let mut unclosed: Vec<char> = Vec::new();
    loop {
        let rest = &message[start..];
        let trimmed = rest.trim_start();
        start += rest.len() - trimmed.len();
        let close = match trimmed.as_bytes().first() {
            None => return pieces,
            Some(b'"') => Some('"'),
            Some(b'[') => Some(']'),
            Some(_) => None,
        };
        // One that is never closed is an ordinary character.
        let close = close.filter(|close| !unclosed.contains(close));
        let enclosed = close.and_then(|close| Some(&trimmed[1..1 + trimmed[1..].find(close)?]));
        unclosed.extend(close.filter(|_| enclosed.is_none()));
        let (text, length) = match enclosed {
            Some(inner) => (inner, inner.len() + 2),
            None => {
                let word = trimmed.split(char::is_whitespace).next().unwrap_or_default();
                (word, word.len())
            }
        };
        pieces.push(Piece { text, start });
        start += length;
    }
}

impl Fields {
    /// The value of each field, in their order, and those that the ellipsis stands for; `None` where there are too few.
    fn assign<'a>(&self, message: &'a str, pieces: &[Piece<'a>]) -> Option<Vec<&'a str>> {
        let (fields, there) = (self.fields.len(), pieces.len());
        if there < fields {
            return None;
        }
        let mut values: Vec<&str> = match self.ellipsis {
            Some(before) => {
                let skipped = there - fields;
                let kept = pieces.iter().enumerate().filter(|(at, _)| *at < before || *at >= before + skipped);
                kept.map(|(_, piece)| piece.text).collect()
            }
            None => pieces[..fields].iter().map(|piece| piece.text).collect(),
        };
        if self.ellipsis.is_none()
            && there > fields
            && let Some(last) = values.last_mut()
        {
            *last = message[pieces[fields - 1].start..].trim_end();
        }
        Some(values)
    }

    fn holds(&self, values: &[&str]) -> bool {
        let mut both = self.fields.iter().zip(values);
        both.all(|(field, value)| field.condition.as_ref().is_none_or(|condition| condition.holds(Value::text(value))))
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        self.assign(message, &pieces(message)).is_some_and(|values| self.holds(&values))
    }

    pub(super) fn extract(&self, message: &str) -> Option<BTreeMap<String, String>> {
        let pieces = pieces(message);
        let values = self.assign(message, &pieces).filter(|values| self.holds(values))?;
        let mut extracted: BTreeMap<String, String> =
            self.fields.iter().zip(&values).map(|(field, value)| (format!("${}", field.name), (*value).to_owned())).collect();
        if let Some(before) = self.ellipsis {
            // Fields without a name go by their number.
            let skipped = pieces.len() - self.fields.len();
            let unnamed = pieces.iter().enumerate().skip(before).take(skipped);
            extracted.extend(unnamed.map(|(at, piece)| (format!("${}", at + 1), piece.text.to_owned())));
        }
        Some(extracted)
    }
}
