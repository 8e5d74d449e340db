//! Checks a request's value against its operation's schema.
//!
//! Two passes, in the order in which AWS answers. [`conform`] makes the value one of the schema's types, or
//! says which value cannot become its type (`SerializationException`). [`violations`] then lists what
//! breaks a constraint (`ValidationException` and its kin).
//!
//! AWS has no page for the texts. They are known from its answers: wrong types by measurement against
//! Athena ("NUMBER_VALUE can not be converted to a String", "Expected list or null"; a number's fraction is
//! cut off; null is as good as absent, also in lists; members that the model does not know are
//! ignored), constraints from many services ("2 validation errors detected: Value '' at 'tableName'
//! failed to satisfy constraint: Member must …; Value …"). We add to the former where the value is. AWS
//! prints a value or leaves it out; we print it when it is short and not sensitive.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use crate::schema::{Kind, Range, Schema};
use crate::shapes::{Shape as _, Timestamp};

/// The most violations that one answer lists.
const VIOLATIONS_MAX: usize = 10;
/// The longest value that a message repeats, in bytes.
const SHOWN_BYTES_MAX: usize = 256;

/// A value that cannot become its schema's type.
#[derive(Debug)]
pub(crate) struct Mismatch {
    message: String,
    /// The way to the value, innermost first.
    path: Vec<String>,
}

impl Mismatch {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), path: Vec::new() }
    }

    fn within(mut self, part: impl Into<String>) -> Self {
        self.path.push(part.into());
        self
    }

    /// The message, with the value's place where it is not the whole request.
    pub(crate) fn text(&self) -> String {
        if self.path.is_empty() {
            return self.message.clone();
        }
        let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        format!("{} (at '{}')", self.message.trim_end_matches('.'), path.join("."))
    }
}

/// Makes the value one of the schema's type.
pub(crate) fn conform(value: Value, schema: &Schema) -> Result<Value, Mismatch> {
    match (schema.kind, value) {
        (Kind::Document, value) => Ok(value),
        (Kind::Structure(members), Value::Object(mut object)) => {
            let mut conformed = Map::new();
            for member in members {
                match object.remove_entry(member.name) {
                    None | Some((_, Value::Null)) => {}
                    Some((name, value)) => {
                        let value =
                            conform(value, member.schema).map_err(|mismatch| mismatch.within(lower_camel(member.title)))?;
                        conformed.insert(name, value);
                    }
                }
            }
            Ok(Value::Object(conformed))
        }
        (Kind::List { member, .. }, Value::Array(values)) => values
            .into_iter()
            .filter_map(|value| part(value, member))
            .enumerate()
            .map(|(i, value)| conform(value, member).map_err(|mismatch| mismatch.within(format!("{}.member", i + 1))))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        (Kind::Map { value: schema, .. }, Value::Object(object)) => object
            .into_iter()
            .filter_map(|(name, value)| Some((name, part(value, schema)?)))
            .map(|(name, value)| match conform(value, schema) {
                Ok(value) => Ok((name, value)),
                Err(mismatch) => Err(mismatch.within(name)),
            })
            .collect::<Result<_, _>>()
            .map(Value::Object),
        (_, Value::Array(_)) => Err(Mismatch::new("Start of list found where not expected")),
        (Kind::Structure(_) | Kind::Map { .. }, _) => Err(Mismatch::new("Expected null")),
        (_, Value::Object(_)) => Err(Mismatch::new("Start of structure or map found where not expected.")),
        (Kind::List { .. }, _) => Err(Mismatch::new("Expected list or null")),
        (kind, value) => conform_scalar(kind, value, schema.range),
    }
}

/// A part of a list or map as it counts: a `null` that should be a structure is one without members, so that what must be in it is missed; any other is none.
fn part(value: Value, schema: &Schema) -> Option<Value> {
    match (value, schema.kind) {
        (Value::Null, Kind::Structure(_)) => Some(Value::Object(Map::new())),
        (Value::Null, _) => None,
        (value, _) => Some(value),
    }
}

fn conform_scalar(kind: Kind, value: Value, range: Range) -> Result<Value, Mismatch> {
    let conformed = match (kind, &value) {
        (Kind::String { .. }, Value::String(_)) | (Kind::Boolean, Value::Bool(_)) | (Kind::Double, Value::Number(_)) => {
            return Ok(value);
        }
        (Kind::Blob, Value::String(text)) if is_base64(text) => return Ok(value),
        (Kind::Boolean, Value::String(text)) if text.eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
        (Kind::Boolean, Value::String(text)) if text.eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
        (Kind::Integer | Kind::Long, Value::Number(number)) => {
            let number = whole(number);
            let fits = matches!(kind, Kind::Long) || i32::try_from(number).is_ok();
            // A number that its range excludes gets the better answer: that of the constraint.
            (fits || range.excludes(number)).then(|| Value::from(number))
        }
        (Kind::Timestamp, Value::Number(_) | Value::String(_)) if Timestamp::from_value(value.clone()).is_ok() => {
            return Ok(value);
        }
        _ => None,
    };
    conformed.ok_or_else(|| {
        let found = match value {
            Value::String(_) => "STRING_VALUE",
            Value::Bool(true) => "TRUE_VALUE",
            Value::Bool(false) => "FALSE_VALUE",
            _ => "NUMBER_VALUE",
        };
        let wanted = match kind {
            Kind::Integer => "an Integer",
            Kind::Long => "a Long",
            Kind::Double => "a Double",
            Kind::Boolean => "a Boolean",
            Kind::Blob => "a Blob",
            Kind::Timestamp => "a Timestamp",
            _ => "a String",
        };
        Mismatch::new(format!("{found} can not be converted to {wanted}"))
    })
}

/// Whether the text can be decoded; only its end is, since blobs may be large.
fn is_base64(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (head, end) = bytes.split_at(bytes.len() - bytes.len().min(4));
    bytes.len().is_multiple_of(4)
        && head.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        && BASE64.decode(end).is_ok()
}

/// The whole part of a number, at the nearest end of the 64 bits where it lies beyond.
fn whole(number: &serde_json::Number) -> i64 {
    number
        .as_i64()
        .or_else(|| number.as_u64().map(|_| i64::MAX))
        .unwrap_or_else(|| number.as_f64().map_or(0, |number| number as i64))
}

impl Range {
    fn excludes(&self, number: i64) -> bool {
        self.min.is_some_and(|min| number < min) || self.max.is_some_and(|max| number > max)
    }
}

/// The first required member of the input itself that is not there.
pub(crate) fn missing(value: &Value, schema: &Schema) -> Option<&'static str> {
    schema.members().iter().find(|member| member.required && value.get(member.name).is_none()).map(|member| member.name)
}

/// What breaks a constraint, as AWS's message; `None` if all is well.
pub(crate) fn violations(value: &Value, schema: &Schema) -> Option<String> {
    let mut found = Violations { texts: Vec::new(), path: Vec::new() };
    found.visit(value, schema);
    if found.texts.is_empty() {
        return None;
    }
    let count = found.texts.len();
    let errors = if count == 1 { "error" } else { "errors" };
    Some(format!("{count} validation {errors} detected: {}", found.texts.join("; ")))
}

/// A member's name as AWS's messages write it: `DatabaseName` is `databaseName`.
fn lower_camel(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(characters).collect()
}

/// A step of the way to a value; borrowed, since most values break nothing.
#[derive(Clone, Copy)]
enum Step<'a> {
    Member(&'static str),
    Index(usize),
    Name(&'a str),
}

struct Violations<'a> {
    texts: Vec<String>,
    path: Vec<Step<'a>>,
}

impl<'a> Violations<'a> {
    fn visit(&mut self, value: &'a Value, schema: &Schema) {
        if self.texts.len() >= VIOLATIONS_MAX {
            return;
        }
        match (schema.kind, value) {
            (Kind::Structure(members), Value::Object(object)) => {
                for member in members {
                    self.path.push(Step::Member(member.title));
                    match object.get(member.name) {
                        Some(value) => self.visit(value, member.schema),
                        None if member.required => self.add("Value null", "Member must not be null"),
                        None => {}
                    }
                    self.path.pop();
                }
            }
            (Kind::List { member, .. }, Value::Array(values)) => {
                self.check_size(value, values.len(), schema);
                if member.is_scalar() {
                    self.check_all(value, values.iter(), member, "Member must satisfy constraint");
                } else {
                    for (i, value) in values.iter().enumerate() {
                        self.path.push(Step::Index(i + 1));
                        self.visit(value, member);
                        self.path.pop();
                    }
                }
            }
            (Kind::Map { key, value: member, .. }, Value::Object(object)) => {
                self.check_size(value, object.len(), schema);
                let breaks = object.keys().any(|name| broken_by_text(name, key).next().is_some());
                if breaks {
                    self.add_all(value, schema, key, "Map keys must satisfy constraint");
                }
                if member.is_scalar() {
                    self.check_all(value, object.values(), member, "Map value must satisfy constraint");
                } else {
                    for (name, value) in object {
                        self.path.push(Step::Name(name));
                        self.visit(value, member);
                        self.path.pop();
                    }
                }
            }
            (Kind::Document, _) => {}
            _ => {
                for constraint in broken_by(value, schema) {
                    let shown = shown(value, schema);
                    self.add(&shown, &constraint);
                }
            }
        }
    }

    fn check_size(&mut self, value: &Value, size: usize, schema: &Schema) {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        for constraint in out_of_range(size, schema.range, "length") {
            let shown = shown(value, schema);
            self.add(&shown, &constraint);
        }
    }

    fn check_all<'v>(&mut self, whole: &Value, mut values: impl Iterator<Item = &'v Value>, schema: &Schema, what: &str) {
        if values.any(|value| !broken_by(value, schema).is_empty()) {
            self.add_all(whole, schema, schema, what);
        }
    }

    /// AWS names all constraints of a list's or map's parts, not only the broken ones.
    fn add_all(&mut self, whole: &Value, sensitive: &Schema, schema: &Schema, what: &str) {
        let shown = shown(whole, sensitive);
        self.add(&shown, &format!("{what}: [{}]", all_constraints(schema).join(", ")));
    }

    fn add(&mut self, shown: &str, constraint: &str) {
        if self.texts.len() >= VIOLATIONS_MAX {
            return;
        }
        let mut path = String::new();
        for step in &self.path {
            if !path.is_empty() {
                path.push('.');
            }
            match step {
                Step::Member(name) => path.push_str(&lower_camel(name)),
                Step::Index(i) => write!(path, "{i}.member").expect("writing to a string"),
                Step::Name(name) if name.len() <= SHOWN_BYTES_MAX => write!(path, "{name}.member").expect("writing to a string"),
                Step::Name(_) => path.push_str("*.member"),
            }
        }
        self.texts.push(format!("{shown} at '{path}' failed to satisfy constraint: {constraint}"));
    }
}

/// `Value 'x'`, or `Value` alone where the value is long or sensitive.
fn shown(value: &Value, schema: &Schema) -> String {
    let mut text = String::new();
    if !schema.sensitive && show(value, &mut text).is_some() { format!("Value '{text}'") } else { "Value".to_owned() }
}

/// Writes a value as Java does: `[a, b]`, `{k=v}`. `None` when it gets long.
fn show(value: &Value, out: &mut String) -> Option<()> {
    match value {
        Value::String(text) if text.len() <= SHOWN_BYTES_MAX => out.push_str(text),
        Value::String(_) => return None,
        Value::Array(values) => {
            out.push('[');
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                show(value, out)?;
            }
            out.push(']');
        }
        Value::Object(object) => {
            out.push('{');
            for (i, (name, value)) in object.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                if name.len() > SHOWN_BYTES_MAX {
                    return None;
                }
                out.push_str(name);
                out.push('=');
                show(value, out)?;
            }
            out.push('}');
        }
        other => write!(out, "{other}").expect("writing to a string"),
    }
    (out.len() <= SHOWN_BYTES_MAX).then_some(())
}

fn out_of_range(number: i64, range: Range, what: &str) -> impl Iterator<Item = String> {
    let above = range.max.filter(|max| number > *max).map(|max| format!("Member must have {what} less than or equal to {max}"));
    let below =
        range.min.filter(|min| number < *min).map(|min| format!("Member must have {what} greater than or equal to {min}"));
    above.into_iter().chain(below)
}

/// The constraints that a value without parts breaks.
fn broken_by(value: &Value, schema: &Schema) -> Vec<String> {
    match (schema.kind, value) {
        (Kind::String { .. }, Value::String(text)) => broken_by_text(text, schema).collect(),
        (Kind::Blob, Value::String(text)) if schema.range != Range::default() => {
            let bytes = BASE64.decode(text).map_or(0, |bytes| bytes.len());
            out_of_range(i64::try_from(bytes).unwrap_or(i64::MAX), schema.range, "length").collect()
        }
        (Kind::Integer | Kind::Long, Value::Number(number)) => out_of_range(whole(number), schema.range, "value").collect(),
        (Kind::Double, Value::Number(number)) => {
            let number = number.as_f64().unwrap_or(0.0);
            // Bounds are whole numbers, so the next whole number outwards stands for a fraction.
            let number = if schema.range.max.is_some_and(|max| number > max as f64) { number.ceil() } else { number.floor() };
            out_of_range(number as i64, schema.range, "value").collect()
        }
        _ => Vec::new(),
    }
}

fn broken_by_text<'t>(text: &'t str, schema: &Schema) -> impl Iterator<Item = String> + use<'t> {
    let Kind::String { allowed } = schema.kind else {
        return Vec::new().into_iter();
    };
    let mut broken = Vec::new();
    if !allowed.is_empty() {
        if !allowed.contains(&text) {
            broken.push(enumeration(allowed));
        }
        return broken.into_iter();
    }
    let Range { min, max } = schema.range;
    if min.is_some() || max.is_some() {
        let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        broken.extend(out_of_range(length, schema.range, "length"));
    }
    // A text far beyond its length is not worth a run of the pattern.
    if let Some(pattern) = schema.pattern.filter(|_| broken.is_empty() || text.len() <= 1 << 20)
        && !pattern.matches(text)
    {
        broken.push(format!("Member must satisfy regular expression pattern: {}", pattern.source));
    }
    broken.into_iter()
}

fn enumeration(allowed: &[&str]) -> String {
    format!("Member must satisfy enum value set: [{}]", allowed.join(", "))
}

/// All constraints of a shape without parts, broken or not.
fn all_constraints(schema: &Schema) -> Vec<String> {
    if let Kind::String { allowed } = schema.kind
        && !allowed.is_empty()
    {
        return vec![enumeration(allowed)];
    }
    let what = if matches!(schema.kind, Kind::String { .. } | Kind::Blob) { "length" } else { "value" };
    let mut all = Vec::new();
    all.extend(schema.range.max.map(|max| format!("Member must have {what} less than or equal to {max}")));
    all.extend(schema.range.min.map(|min| format!("Member must have {what} greater than or equal to {min}")));
    all.extend(schema.pattern.map(|pattern| format!("Member must satisfy regular expression pattern: {}", pattern.source)));
    all
}

#[cfg(test)]
mod tests;
