//! JSON kept in texts: `json_extract_scalar(text, '$.a.b[0]')` and its kin.

use super::old::{arity, bad, map_text, simple, strings};
use datafusion::arrow::array::{Array, ArrayRef, Int64Builder, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use serde_json::Value;
use std::sync::Arc;

pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        simple("json_extract_scalar", |types| text("json_extract_scalar", types, 2), |arguments| extract(arguments, scalar)),
        simple("json_extract", |types| text("json_extract", types, 2), |arguments| extract(arguments, |v| Some(v.to_string()))),
        simple("json_format", |types| text("json_format", types, 1), |arguments| Ok(Arc::clone(&arguments[0]))),
        simple(
            "json_parse",
            |types| text("json_parse", types, 1),
            |arguments| {
                map_text(&arguments[0], |text| match serde_json::from_str::<Value>(text) {
                    Ok(value) => Ok(Some(value.to_string())),
                    Err(error) => {
                        bad(format!("Cannot convert value to JSON: '{}': {error}", text.chars().take(100).collect::<String>()))
                    }
                })
            },
        ),
        simple(
            "try_json_parse",
            |types| text("json_parse", types, 1),
            |arguments| {
                map_text(&arguments[0], |text| Ok(serde_json::from_str::<Value>(text).ok().map(|value| value.to_string())))
            },
        ),
        simple(
            "json_array_length",
            |types| {
                arity("json_array_length", types, &[1])?;
                Ok(DataType::Int64)
            },
            |arguments| {
                let texts = strings(&arguments[0])?;
                let mut out = Int64Builder::with_capacity(texts.len());
                for text in &texts {
                    let value = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
                    out.append_option(value.as_ref().and_then(Value::as_array).and_then(|items| i64::try_from(items.len()).ok()));
                }
                Ok(Arc::new(out.finish()))
            },
        ),
    ]
}

fn text(name: &str, types: &[DataType], count: usize) -> Result<DataType> {
    arity(name, types, &[count])?;
    Ok(DataType::Utf8)
}

fn extract(arguments: &[ArrayRef], give: impl Fn(&Value) -> Option<String>) -> Result<ArrayRef> {
    let (texts, paths) = (strings(&arguments[0])?, strings(&arguments[1])?);
    let mut out = StringBuilder::with_capacity(texts.len(), 0);
    let mut known: Option<(String, Vec<Step>)> = None;
    for row in 0..texts.len() {
        if texts.is_null(row) || paths.is_null(row) {
            out.append_null();
            continue;
        }
        let path = paths.value(row);
        if known.as_ref().is_none_or(|(text, _)| text != path) {
            known = Some((path.to_owned(), parse_path(path)?));
        }
        let steps = known.as_ref().map_or(&[][..], |(_, steps)| steps);
        // Text that is not JSON gives NULL, as in Trino.
        let value: Option<Value> = serde_json::from_str(texts.value(row)).ok();
        out.append_option(value.as_ref().and_then(|value| walk(value, steps)).and_then(&give));
    }
    Ok(Arc::new(out.finish()))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[derive(Debug, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

fn walk<'a>(value: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    })
}

/// `$.a['b'][0]."c d"`
fn parse_path(path: &str) -> Result<Vec<Step>> {
    let wrong = || bad::<Vec<Step>>(format!("Invalid JSON path: '{path}'"));
    let Some(mut rest) = path.trim().strip_prefix('$') else { return wrong() };
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let Some((inside, after)) = after.split_once(']') else { return wrong() };
            let inside = inside.trim();
            let quoted = ['"', '\''].iter().find_map(|quote| inside.strip_prefix(*quote)?.strip_suffix(*quote));
            match (quoted, inside.parse()) {
                (Some(key), _) => steps.push(Step::Key(key.to_owned())),
                (None, Ok(index)) => steps.push(Step::Index(index)),
                (None, Err(_)) => return wrong(),
            }
            rest = after;
        } else if let Some(after) = rest.strip_prefix('.') {
            let (key, after) = match after.strip_prefix('"') {
                Some(quoted) => match quoted.split_once('"') {
                    Some(parts) => parts,
                    None => return wrong(),
                },
                None => after.split_at(after.find(['.', '[']).unwrap_or(after.len())),
            };
            if key.is_empty() {
                return wrong();
            }
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        } else {
            return wrong();
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let key = |key: &str| Step::Key(key.into());
        assert_eq!(parse_path("$.a['b'][0].\"c d\"").unwrap(), [key("a"), key("b"), Step::Index(0), key("c d")]);
        assert_eq!(parse_path("$").unwrap(), []);
        for wrong in ["a", "$a", "$.", "$[x]", "$[0"] {
            assert!(parse_path(wrong).is_err(), "{wrong}");
        }
    }
}
