//! Types of JSON values.

use super::sample::Window;
use crate::decode::json::{is_lines, next};
use crate::decode::values;
use crate::types::{DEPTH_MAX, HiveType, merge};
use indexmap::IndexMap;
use serde_json::Value;

/// A type under construction: what is not known yet (null, the items of an empty array) gives way to anything.
#[derive(Debug, Clone, Default)]
enum Guess {
    #[default]
    Unknown,
    Scalar(HiveType),
    Array(Box<Guess>),
    Struct(IndexMap<String, Guess>),
}

impl Guess {
    fn of(value: &Value, depth: usize) -> Self {
        match value {
            Value::Null => Self::Unknown,
            Value::Bool(_) => Self::Scalar(HiveType::Boolean),
            Value::Number(n) if n.is_i64() => Self::Scalar(HiveType::BigInt),
            Value::Number(n) if n.is_u64() => Self::Scalar(HiveType::Decimal(38, 0)),
            Value::Number(_) => Self::Scalar(HiveType::Double),
            Value::String(text) => Self::Scalar(string_type(text.as_bytes())),
            // What nests deeper than types may is kept as JSON text.
            Value::Array(_) | Value::Object(_) if depth >= DEPTH_MAX - 1 => Self::Scalar(HiveType::String),
            Value::Array(items) => {
                let mut item = Self::Unknown;
                items.iter().for_each(|v| item.add(Self::of(v, depth + 1)));
                Self::Array(Box::new(item))
            }
            // No struct has no fields.
            Value::Object(fields) if fields.is_empty() => Self::Unknown,
            Value::Object(fields) => Self::Struct(fields.iter().map(|(k, v)| (k.clone(), Self::of(v, depth + 1))).collect()),
        }
    }

    fn add(&mut self, other: Self) {
        let have = std::mem::take(self);
        *self = match (have, other) {
            (Self::Unknown, other) => other,
            (have, Self::Unknown) => have,
            (Self::Array(mut a), Self::Array(b)) => {
                a.add(*b);
                Self::Array(a)
            }
            (Self::Struct(mut a), Self::Struct(b)) => {
                for (key, t) in b {
                    a.entry(key).or_default().add(t);
                }
                Self::Struct(a)
            }
            (Self::Scalar(a), Self::Scalar(b)) => Self::Scalar(merge(&a, &b)),
            _ => Self::Scalar(HiveType::String),
        };
    }

    fn finish(&self) -> Option<HiveType> {
        match self {
            Self::Unknown => None,
            Self::Scalar(t) => Some(t.clone()),
            Self::Array(item) => Some(HiveType::Array(Box::new(item.finish().unwrap_or(HiveType::String)))),
            Self::Struct(fields) => {
                let mut list: Vec<(String, HiveType)> = Vec::with_capacity(fields.len());
                for (name, t) in fields {
                    // Keys that differ in case only are one field: Hive's names have no case.
                    if !list.iter().any(|(have, _)| have.eq_ignore_ascii_case(name)) && fit_for_a_field(name) {
                        list.push((name.clone(), t.finish().unwrap_or(HiveType::String)));
                    }
                }
                Some(if list.is_empty() { HiveType::String } else { HiveType::Struct(list) })
            }
        }
    }
}

/// A struct's type text has no quotes: names with its own signs in them cannot be written.
fn fit_for_a_field(name: &str) -> bool {
    !name.trim().is_empty() && !name.contains([':', '<', '>', ',', '`']) && name.trim() == name
}

/// Dates and timestamps are written as strings in JSON; nothing else in quotes is taken for more than text.
fn string_type(text: &[u8]) -> HiveType {
    if values::date(text).is_some() {
        HiveType::Date
    } else if text.len() > 10 && values::timestamp(text).is_some() {
        HiveType::Timestamp
    } else {
        HiveType::String
    }
}

/// The type of one value; `None` for null, which says nothing.
pub(crate) fn value_type(value: &Value) -> Option<HiveType> {
    Guess::of(value, 0).finish()
}

/// What is known of a JSON file.
#[derive(Debug)]
pub(crate) struct JsonGuess {
    /// Name, type, and whether any value decided it.
    pub columns: Vec<(String, HiveType, bool)>,
    pub records: u64,
    pub malformed: u64,
}

/// Whether text may be JSON at all.
pub(crate) fn looks_like_json(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Looks at a sample.
///
/// # Errors
/// Why this is no JSON.
pub(crate) fn classify(windows: &[Window]) -> Result<JsonGuess, String> {
    let mut columns: IndexMap<String, Guess> = IndexMap::new();
    let (mut records, mut malformed) = (0u64, 0u64);
    for window in windows {
        let lines_only = is_lines(&window.text);
        let mut at = 0;
        while let Some(found) = next(&window.text, at, lines_only) {
            at = found.end;
            // The last value of a window may be cut.
            if at >= window.text.len() && !window.ends && found.fault.is_some() {
                break;
            }
            let value = serde_json::from_slice::<Value>(&window.text[found.start..found.end]);
            match (found.fault, value) {
                (None, Ok(Value::Object(fields))) => {
                    records += 1;
                    for (key, value) in &fields {
                        let name = crate::names::clean(key);
                        columns.entry(if name.is_empty() { "_".into() } else { name }).or_default().add(Guess::of(value, 0));
                    }
                }
                _ => malformed += 1,
            }
        }
    }
    if records == 0 || malformed > records {
        return Err(format!("begins like JSON, but {malformed} of its first {} values are no JSON objects", records + malformed));
    }
    let columns = columns.into_iter().map(|(name, guess)| {
        let t = guess.finish();
        let decided = t.is_some();
        (name, t.unwrap_or(HiveType::String), decided)
    });
    Ok(JsonGuess { columns: columns.collect(), records, malformed })
}
