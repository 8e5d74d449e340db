//! SQL/JSON's functions, after their clauses have become arguments ([`super::clauses`]).

use super::Document;
use super::sql_path::SqlPath;
use super::value::{Json, write_text};
use crate::query::QueryError;
use crate::query::functions::call::{BooleanOut, Call, TextOut, bad, check_bytes};
use crate::query::functions::{Function, function};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use std::collections::HashSet;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("json_exists_by", &["(varchar, varchar, varchar, varchar...) -> boolean"], exists),
        function("json_value_by", QUERY, |call| query(call, value)),
        function("json_query_by", QUERY, |call| query(call, wrapped)),
        function("json_object_of", &["(varchar, varchar...) -> varchar"], object),
        function("json_array_of", &["(varchar, varchar...) -> varchar"], array),
        function("json_item", &["(T) -> varchar"], item),
        function("json_format_item", &["(varchar) -> varchar"], |call| {
            let texts = call.text(0);
            let mut out = TextOut::with_rows(call.rows);
            for row in 0..call.rows {
                if texts.is_null(row) {
                    out.null();
                    continue;
                }
                match Document::read(call, texts.value(row))? {
                    Ok(value) => out.push(Some(value.to_string()))?,
                    Err(why) => return Err(failure("JSON_INPUT_CONVERSION_ERROR", &why)),
                }
            }
            Ok(out.finish())
        }),
    ]
}

const QUERY: &[&str] = &["(varchar, varchar, varchar, varchar...) -> varchar"];

fn failure(name: &str, why: &str) -> DataFusionError {
    QueryError::InvalidArgument(format!("{name}: {why}")).into()
}

/// A value of SQL as JSON's text: numbers and booleans as such, JSON as it is, everything else as text.
fn item(call: &Call<'_>) -> Result<ArrayRef> {
    let kind = crate::types::TrinoType::of_field(&call.fields[0]);
    let texts = crate::result::value::typed_texts(&call.arrays[0], &kind).map_err(bad)?;
    let plain = kind.is_number() || matches!(kind, crate::types::TrinoType::Boolean | crate::types::TrinoType::Json);
    let mut out = TextOut::with_rows(call.rows);
    for text in texts {
        out.push(text.map(|text| {
            if plain {
                return text;
            }
            let mut quoted = String::new();
            write_text(&text, &mut quoted);
            quoted
        }))?;
    }
    Ok(out.finish())
}

/// A row's value, path, clauses and named values.
struct Row<'a> {
    /// The items found, or why there are none.
    found: std::result::Result<Vec<Json>, (&'static str, String)>,
    options: Vec<&'a str>,
    /// Of DEFAULT: on empty, on error.
    defaults: [Option<Json>; 2],
}

/// The path is nearly always the same for all rows.
#[derive(Default)]
struct Paths(Option<(String, SqlPath)>);

fn row<'a>(call: &'a Call<'_>, row: usize, paths: &mut Paths) -> Result<Option<Row<'a>>> {
    let texts: Vec<_> = call.arrays.iter().map(|array| array.as_string::<i32>()).collect();
    if texts[0].is_null(row) || texts[1].is_null(row) {
        return Ok(None);
    }
    let path = texts[1].value(row);
    if paths.0.as_ref().is_none_or(|(known, _)| known != path) {
        let parsed = SqlPath::parse(path).map_err(|why| bad(format!("Invalid JSON path '{path}': {why}")))?;
        paths.0 = Some((path.to_owned(), parsed));
    }
    let mut variables = Vec::new();
    let mut defaults = [None, None];
    for pair in texts[3..].chunks_exact(2) {
        let value = match pair[1].is_null(row) {
            true => Json::Null,
            false => Document::read(call, pair[1].value(row))?.map_err(bad)?.value,
        };
        match pair[0].value(row) {
            "default on empty" => defaults[0] = Some(value),
            "default on error" => defaults[1] = Some(value),
            name => variables.push((name.to_owned(), value)),
        }
    }
    let found = match (Document::read(call, texts[0].value(row))?, &paths.0) {
        (Err(why), _) => Err(("JSON_INPUT_CONVERSION_ERROR", why)),
        (Ok(value), Some((_, path))) => path.find(&value, &variables).map_err(|why| ("PATH_EVALUATION_ERROR", why)),
        (Ok(_), None) => Ok(Vec::new()),
    };
    let options = texts[2].value(row).split(';').filter(|option| !option.is_empty()).collect();
    Ok(Some(Row { found, options, defaults }))
}

impl Row<'_> {
    fn has(&self, option: &str) -> bool {
        self.options.contains(&option)
    }
}

fn exists(call: &Call<'_>) -> Result<ArrayRef> {
    let mut paths = Paths::default();
    let mut out = BooleanOut::with_rows(call.rows);
    for at in 0..call.rows {
        let Some(row) = row(call, at, &mut paths)? else {
            out.null();
            continue;
        };
        match &row.found {
            Ok(items) => out.push(Some(!items.is_empty()))?,
            Err((name, why)) if row.has("error on error") => return Err(failure(name, why)),
            Err(_) if row.has("unknown on error") => out.null(),
            Err(_) => out.push(Some(row.has("true on error")))?,
        }
    }
    Ok(out.finish())
}

/// What a row's items come to, or why not.
type Give = fn(&Row<'_>) -> std::result::Result<Given, (&'static str, String)>;

enum Given {
    Text(Option<String>),
    Empty,
}

fn query(call: &Call<'_>, give: Give) -> Result<ArrayRef> {
    let mut paths = Paths::default();
    let mut out = TextOut::with_rows(call.rows);
    for at in 0..call.rows {
        let Some(row) = row(call, at, &mut paths)? else {
            out.null();
            continue;
        };
        let given = match give(&row) {
            Ok(Given::Text(text)) => text,
            Ok(Given::Empty) => instead(&row, "empty", "JSON_VALUE_RESULT_ERROR", "the path finds nothing")?,
            Err((name, why)) => instead(&row, "error", name, &why)?,
        };
        out.push(given)?;
    }
    Ok(out.finish())
}

/// What the clauses say to give when there is nothing, or an error.
fn instead(row: &Row<'_>, when: &str, name: &str, why: &str) -> Result<Option<String>> {
    if let Some(value) = &row.defaults[usize::from(when == "error")] {
        return Ok(value.plain());
    }
    if row.has(&format!("error on {when}")) {
        return Err(failure(name, why));
    }
    if row.has(&format!("empty array on {when}")) || row.has(&format!("empty on {when}")) {
        return Ok(Some("[]".into()));
    }
    Ok(row.has(&format!("empty object on {when}")).then(|| "{}".into()))
}

/// One scalar.
fn value(row: &Row<'_>) -> std::result::Result<Given, (&'static str, String)> {
    match row.found.as_ref().map_err(|error| error.clone())?.as_slice() {
        [] => Ok(Given::Empty),
        [one] if one.is_scalar() => Ok(Given::Text(one.plain())),
        [_] => Err(("JSON_VALUE_RESULT_ERROR", "the path finds an array or object".into())),
        _ => Err(("JSON_VALUE_RESULT_ERROR", "the path finds several items".into())),
    }
}

/// One item, or all in an array.
fn wrapped(row: &Row<'_>) -> std::result::Result<Given, (&'static str, String)> {
    let items = row.found.as_ref().map_err(|error| error.clone())?;
    let wrapper = row.options.iter().find(|option| option.ends_with("wrapper"));
    if items.is_empty() {
        return Ok(Given::Empty);
    }
    let conditional = wrapper.is_some_and(|option| option.contains("conditional") && !option.contains("unconditional"));
    let wraps = wrapper.is_some_and(|option| option.starts_with("with ")) && !(conditional && items.len() == 1);
    if wraps {
        return Ok(Given::Text(Some(Json::Array(items.clone()).to_string())));
    }
    match items.as_slice() {
        [Json::Text(text)] if row.options.iter().any(|option| option.starts_with("omit quotes")) => {
            Ok(Given::Text(Some(text.clone())))
        }
        [one] => Ok(Given::Text(Some(one.to_string()))),
        _ => Err(("JSON_QUERY_RESULT_ERROR", "the path finds several items, and there is no WITH ARRAY WRAPPER".into())),
    }
}

fn constant<'a>(call: &'a Call<'_>) -> &'a str {
    match call.arrays[0].data_type() {
        DataType::Utf8 if call.rows > 0 => call.text(0).value(0),
        _ => "",
    }
}

fn object(call: &Call<'_>) -> Result<ArrayRef> {
    let options = constant(call);
    let (absent, unique) = (options.contains("absent on null"), options.contains("with unique"));
    let texts: Vec<_> = call.arrays[1..].iter().map(|array| array.as_string::<i32>()).collect();
    let mut out = TextOut::with_rows(call.rows);
    for row in 0..call.rows {
        let mut made = String::from("{");
        let mut seen = HashSet::new();
        for pair in texts.chunks_exact(2) {
            if pair[0].is_null(row) {
                return Err(bad("null value passed for JSON object key to JSON_OBJECT function"));
            }
            if pair[1].is_null(row) && absent {
                continue;
            }
            if unique && !seen.insert(pair[0].value(row)) {
                return Err(bad(format!("duplicate key passed to JSON_OBJECT function: {}", pair[0].value(row))));
            }
            if made.len() > 1 {
                made.push(',');
            }
            write_text(pair[0].value(row), &mut made);
            made.push(':');
            made.push_str(if pair[1].is_null(row) { "null" } else { pair[1].value(row) });
            check_bytes(made.len())?;
        }
        made.push('}');
        out.push(Some(made))?;
    }
    Ok(out.finish())
}

fn array(call: &Call<'_>) -> Result<ArrayRef> {
    let keeps = constant(call).contains("null on null") && !constant(call).contains("absent on null");
    let texts: Vec<_> = call.arrays[1..].iter().map(|array| array.as_string::<i32>()).collect();
    let mut out = TextOut::with_rows(call.rows);
    for row in 0..call.rows {
        let items = texts.iter().filter(|texts| keeps || texts.is_valid(row));
        let items: Vec<&str> = items.map(|texts| if texts.is_null(row) { "null" } else { texts.value(row) }).collect();
        check_bytes(items.iter().map(|item| item.len() + 1).sum())?;
        out.push(Some(format!("[{}]", items.join(","))))?;
    }
    Ok(out.finish())
}
