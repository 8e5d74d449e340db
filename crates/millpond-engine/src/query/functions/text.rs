//! Regular expressions and types.

use super::{arity, bad, simple, strings};
use crate::result::columns::trino_type;
use datafusion::arrow::array::{Array, ArrayRef, Int64Array, StringArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::cast::as_int64_array;
use datafusion::logical_expr::ScalarUDF;
use regex::Regex;
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        simple("regexp_extract", |types| text("regexp_extract", types, &[2, 3]), regexp_extract),
        simple("regexp_replace", |types| text("regexp_replace", types, &[2, 3]), regexp_replace),
        simple(
            "typeof",
            |types| text("typeof", types, &[1]),
            |arguments| {
                let name = trino_type(arguments[0].data_type());
                Ok(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(name, arguments[0].len()))))
            },
        ),
    ]
}

fn text(name: &str, types: &[DataType], counts: &[usize]) -> Result<DataType> {
    arity(name, types, counts)?;
    Ok(DataType::Utf8)
}

/// Patterns are nearly always the same for all rows.
#[derive(Default)]
struct Patterns(HashMap<String, Regex>);

impl Patterns {
    /// Few patterns are kept, so that a column of patterns does not fill the memory.
    const KEPT: usize = 64;

    fn get(&mut self, pattern: &str) -> Result<&Regex> {
        if !self.0.contains_key(pattern) {
            let regex = match regex::RegexBuilder::new(pattern).size_limit(4 << 20).build() {
                Ok(regex) => regex,
                Err(error) => return bad(format!("invalid regular expression '{pattern}': {error}")),
            };
            if self.0.len() >= Self::KEPT {
                self.0.clear();
            }
            self.0.insert(pattern.to_owned(), regex);
        }
        Ok(&self.0[pattern])
    }
}

fn regexp_extract(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, patterns) = (strings(&arguments[0])?, strings(&arguments[1])?);
    let groups = match arguments.get(2) {
        Some(groups) => cast(groups, &DataType::Int64)?,
        None => Arc::new(Int64Array::from_value(0, texts.len())),
    };
    let groups = as_int64_array(&groups)?;
    let mut known = Patterns::default();
    let mut out = StringBuilder::with_capacity(texts.len(), 0);
    for row in 0..texts.len() {
        if texts.is_null(row) || patterns.is_null(row) || groups.is_null(row) {
            out.append_null();
            continue;
        }
        let regex = known.get(patterns.value(row))?;
        let group = usize::try_from(groups.value(row)).unwrap_or(usize::MAX);
        if group >= regex.captures_len() {
            return bad(format!("Pattern has {} groups. Cannot access group {group}", regex.captures_len() - 1));
        }
        let found = regex.captures(texts.value(row)).and_then(|captures| captures.get(group));
        out.append_option(found.map(|found| found.as_str()));
    }
    Ok(Arc::new(out.finish()))
}

/// Replaces all occurrences; `$1` and `${name}` in the replacement are groups. Two arguments: occurrences are removed.
fn regexp_replace(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, patterns) = (strings(&arguments[0])?, strings(&arguments[1])?);
    let replacements = arguments.get(2).map(strings).transpose()?;
    let mut known = Patterns::default();
    let mut out = StringBuilder::with_capacity(texts.len(), 0);
    for row in 0..texts.len() {
        let null = replacements.as_ref().is_some_and(|replacements| replacements.is_null(row));
        if texts.is_null(row) || patterns.is_null(row) || null {
            out.append_null();
            continue;
        }
        let replacement = replacements.as_ref().map_or("", |replacements| replacements.value(row));
        let regex = known.get(patterns.value(row))?;
        out.append_value(regex.replace_all(texts.value(row), java_replacement(replacement).as_str()));
    }
    Ok(Arc::new(out.finish()))
}

/// Java ends a group's number at the first character that is not a digit; Rust goes on to the end of the word.
fn java_replacement(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('$') => out.push_str("$$"),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            '$' if characters.peek().is_some_and(char::is_ascii_digit) => {
                out.push_str("${");
                while let Some(digit) = characters.next_if(char::is_ascii_digit) {
                    out.push(digit);
                }
                out.push('}');
            }
            other => out.push(other),
        }
    }
    out
}
