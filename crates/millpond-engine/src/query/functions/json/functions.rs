//! The functions of JSON that take a path or an index.

use super::Document;
use super::path::Path;
use super::value::Json;
use crate::query::functions::call::{BooleanOut, Call, bad, each};
use crate::query::functions::{Function, function};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use datafusion::common::Result;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("json_parse", &["(varchar) -> json"], |call| {
            each!(call, TextOut, |text: 0 text| match Document::read(call, text)? {
                Ok(value) => Some(value.canonical()),
                Err(why) => {
                    let shown: String = text.chars().take(100).collect();
                    return Err(bad(format!("Cannot convert value to JSON: '{shown}': {why}")));
                }
            })
        }),
        function(
            "try_json_parse",
            &["(varchar) -> json"],
            |call| each!(call, TextOut, |text: 0 text| Document::read(call, text)?.ok().map(Document::canonical)),
        ),
        function("json_format", &["(json) -> varchar"], |call| Ok(std::sync::Arc::clone(&call.arrays[0]))),
        function("json_extract", &["(json, varchar) -> json"], |call| {
            let mut paths = Paths::default();
            each!(call, TextOut, |text: 0 text, path: 1 text| paths.find(call, (text, path), |value| Some(value.to_string()))?)
        }),
        function("json_extract_scalar", &["(json, varchar) -> varchar"], |call| {
            let mut paths = Paths::default();
            each!(call, TextOut, |text: 0 text, path: 1 text| paths.find(call, (text, path), Json::plain)?)
        }),
        function("json_size", &["(json, varchar) -> bigint"], |call| {
            let mut paths = Paths::default();
            each!(call, IntOut, |text: 0 text, path: 1 text| paths.find(call, (text, path), |value| {
                Some(match value {
                    Json::Array(items) => items.len() as i64,
                    Json::Object(members) => members.len() as i64,
                    _ => 0,
                })
            })?)
        }),
        function("json_array_length", &["(json) -> bigint"], |call| {
            each!(call, IntOut, |text: 0 text| {
                let document = Document::read(call, text)?.ok();
                document.as_ref().and_then(Document::items).map(|items| items.len() as i64)
            })
        }),
        function("json_array_get", &["(json, bigint) -> json"], |call| {
            each!(call, TextOut, |text: 0 text, index: 1 int| {
                Document::read(call, text)?.ok().and_then(|document| get(&document, index))
            })
        }),
        function(
            "json_array_contains",
            &[
                "(json, boolean) -> boolean",
                "(json, bigint) -> boolean",
                "(json, double) -> boolean",
                "(json, varchar) -> boolean",
            ],
            contains,
        ),
        function("is_json_scalar", &["(json) -> boolean"], |call| {
            each!(call, BooleanOut, |text: 0 text| {
                let value = Document::read(call, text)?.map_err(|why| bad(format!("Invalid JSON value: {why}")))?;
                Some(value.is_scalar())
            })
        }),
    ]
}

/// The path is nearly always the same for all rows.
#[derive(Default)]
struct Paths(Option<(String, Path)>);

impl Paths {
    /// What `give` makes of the value at a path; text that is not JSON has none.
    fn find<T>(&mut self, call: &Call<'_>, (text, path): (&str, &str), give: impl Fn(&Json) -> Option<T>) -> Result<Option<T>> {
        if self.0.as_ref().is_none_or(|(known, _)| known != path) {
            self.0 = Some((path.to_owned(), Path::parse(path)?));
        }
        let Some((_, path)) = &self.0 else { return Ok(None) };
        let value = Document::read(call, text)?.ok();
        Ok(value.as_ref().and_then(|value| path.walk(value)).and_then(give))
    }
}

/// Texts come without quotes: what the function gives for them is not JSON (Trino's documentation calls it broken for that).
fn get(document: &Document, index: i64) -> Option<String> {
    let items = document.items()?;
    let place = if index >= 0 { index } else { i64::try_from(items.len()).ok()?.checked_add(index)? };
    let item = items.get(usize::try_from(place).ok()?)?;
    if item.is_scalar() { item.plain() } else { Some(item.to_string()) }
}

fn contains(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.text(0);
    let wanted = &call.arrays[1];
    let mut out = BooleanOut::with_rows(call.rows);
    for row in 0..call.rows {
        if texts.is_null(row) || wanted.is_null(row) {
            out.null();
            continue;
        }
        let document = Document::read(call, texts.value(row))?.ok();
        let found = document.as_ref().and_then(Document::items).map(|items| {
            items.iter().any(|item| match (item, wanted.data_type()) {
                (Json::Bool(value), DataType::Boolean) => *value == call.boolean(1).value(row),
                (Json::Number(digits), DataType::Int64) => digits.parse() == Ok(call.int(1).value(row)),
                (Json::Number(digits), DataType::Float64) => digits.parse() == Ok(call.double(1).value(row)),
                (Json::Text(text), DataType::Utf8) => text == call.text(1).value(row),
                _ => false,
            })
        });
        out.push(found)?;
    }
    Ok(out.finish())
}
