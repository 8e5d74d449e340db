//! `ExpressionAttributeNames` and `ExpressionAttributeValues`.

use super::{ExpressionError, Kind, lexer};
use crate::value::{Value, ValueError, check_name, json};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The longest `#name` or `:value`, in bytes.
const PLACEHOLDER_BYTES_MAX: usize = 255;

/// All of them together, in bytes: names of placeholders, and what they stand for. Developer guide, "Service, account, and table quotas".
const SUBSTITUTIONS_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What expressions may take of values, in bytes: each use is a copy, and a small request could name a large value thousands of times. No item is a tenth of it.
const TAKEN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The names and values that a request gives its expressions.
#[derive(Debug, Default)]
pub struct Placeholders {
    names: Option<BTreeMap<String, Given<String>>>,
    values: Option<BTreeMap<String, Given<Value>>>,
    parsed: Vec<Kind>,
    taken_bytes: usize,
}

#[derive(Debug)]
struct Given<T> {
    content: T,
    used: bool,
}

impl Placeholders {
    /// Of `ExpressionAttributeNames` and `ExpressionAttributeValues`.
    ///
    /// # Errors
    /// Empty maps, keys without `#` or `:`, names that are empty or too long, values that are none, too much of all.
    pub fn new<'a>(
        names: Option<impl IntoIterator<Item = (&'a String, &'a String)>>,
        values: Option<impl IntoIterator<Item = (&'a String, &'a Json)>>,
    ) -> Result<Self, ExpressionError> {
        let names =
            names.map(|names| read("ExpressionAttributeNames", b'#', names, |key, name| read_name(key, name))).transpose()?;
        let values = values.map(|values| read("ExpressionAttributeValues", b':', values, read_value)).transpose()?;
        let bytes = held(names.as_ref(), String::len) + held(values.as_ref(), Value::size);
        if bytes > SUBSTITUTIONS_BYTES_MAX {
            let text = "Combined size of ExpressionAttributeNames and ExpressionAttributeValues exceeds max size";
            return Err(ExpressionError::new(text));
        }
        Ok(Self { names, values, parsed: Vec::new(), taken_bytes: 0 })
    }

    /// To be called once all expressions are parsed.
    ///
    /// # Errors
    /// Names or values that no expression used, or too much of them. `kinds` are those that the operation has: if none of them was parsed, the message names them.
    pub fn finish(&self, kinds: &[Kind]) -> Result<(), ExpressionError> {
        if self.taken_bytes > TAKEN_BYTES_MAX {
            return Err(ExpressionError::new(format!(
                "Expressions use {} bytes of ExpressionAttributeValues, each use counted, and may use {TAKEN_BYTES_MAX}",
                self.taken_bytes
            )));
        }
        if self.names.is_some() && self.parsed.is_empty() {
            return Err(ExpressionError::new("ExpressionAttributeNames can only be specified when using expressions"));
        }
        let takes_values = |kind: &&Kind| **kind != Kind::Projection;
        if self.values.is_some() && !self.parsed.iter().any(|kind| takes_values(&kind)) {
            let absent: Vec<_> = kinds.iter().filter(takes_values).map(|kind| kind.parameter()).collect();
            let verb = if absent.len() == 1 { "is" } else { "are" };
            return Err(ExpressionError::new(format!(
                "ExpressionAttributeValues can only be specified when using expressions: {} {verb} null",
                absent.join(" and ")
            )));
        }
        check_used("ExpressionAttributeNames", self.names.as_ref())?;
        check_used("ExpressionAttributeValues", self.values.as_ref())
    }

    /// Says that an expression is parsed with these.
    pub(super) fn parsing(&mut self, kind: Kind) {
        self.parsed.push(kind);
    }

    /// Of `#name`.
    pub(super) fn name(&mut self, placeholder: &str) -> Option<String> {
        let given = self.names.as_mut()?.get_mut(placeholder)?;
        given.used = true;
        Some(given.content.clone())
    }

    /// Of `:value`.
    pub(super) fn value(&mut self, placeholder: &str) -> Option<Value> {
        let given = self.values.as_mut()?.get_mut(placeholder)?;
        given.used = true;
        self.taken_bytes = self.taken_bytes.saturating_add(given.content.size());
        // Beyond the limit nothing is copied any more: `finish` refuses it.
        Some(if self.taken_bytes > TAKEN_BYTES_MAX { Value::Null } else { given.content.clone() })
    }

    /// What expressions took of values, in bytes: each time that they name one it is copied.
    pub fn taken_bytes(&self) -> usize {
        self.taken_bytes
    }
}

fn held<T>(given: Option<&BTreeMap<String, Given<T>>>, size: impl Fn(&T) -> usize) -> usize {
    given.into_iter().flatten().map(|(key, given)| key.len() + size(&given.content)).sum()
}

fn read<'a, G: 'a, T>(
    parameter: &str,
    first: u8,
    given: impl IntoIterator<Item = (&'a String, &'a G)>,
    read: impl Fn(&str, &G) -> Result<T, ExpressionError>,
) -> Result<BTreeMap<String, Given<T>>, ExpressionError> {
    let mut all = BTreeMap::new();
    let given: Vec<_> = given.into_iter().collect();
    if given.is_empty() {
        return Err(ExpressionError::new(format!("{parameter} must not be empty")));
    }
    for (key, _) in &given {
        if !lexer::is_placeholder(key, first) {
            return Err(ExpressionError::new(format!("{parameter} contains invalid key: Syntax error; key: \"{key}\"")));
        }
        if key.len() > PLACEHOLDER_BYTES_MAX {
            return Err(ExpressionError::new(format!(
                "{parameter} contains invalid key: The expression attribute map contains a key that is too long; key: \"{key}\""
            )));
        }
    }
    for (key, content) in given {
        all.insert(key.clone(), Given { content: read(key, content)?, used: false });
    }
    Ok(all)
}

fn read_name(key: &str, name: &str) -> Result<String, ExpressionError> {
    let wrong =
        |what: &str| ExpressionError::new(format!("ExpressionAttributeNames contains invalid value: {what} for key {key}"));
    check_name(name).map_err(|error| wrong(&error.to_string()))?;
    Ok(name.to_owned())
}

fn read_value(key: &str, json: &Json) -> Result<Value, ExpressionError> {
    json::read_value(json).map_err(|error| match error {
        // The request itself is wrong then.
        ValueError::Shape(_) => error.into(),
        error => ExpressionError::new(format!("ExpressionAttributeValues contains invalid value: {error} for key {key}")),
    })
}

fn check_used<T>(parameter: &str, given: Option<&BTreeMap<String, Given<T>>>) -> Result<(), ExpressionError> {
    let unused: Vec<_> = given.into_iter().flatten().filter(|(_, given)| !given.used).map(|(key, _)| key.as_str()).collect();
    if unused.is_empty() {
        return Ok(());
    }
    Err(ExpressionError::new(format!("Value provided in {parameter} unused in expressions: keys: {{{}}}", unused.join(", "))))
}
