//! Texts cut at separators, to arrays and maps.

use crate::query::functions::call::{Call, bad, each};
use crate::query::functions::limits::Room;
use crate::query::functions::{Function, function};
use arrow::array::{Array, ArrayRef, ListBuilder, MapBuilder, StringBuilder};
use datafusion::common::Result;
use std::collections::HashSet;
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("split", &["(varchar, varchar) -> array(varchar)", "(varchar, varchar, bigint) -> array(varchar)"], split),
        function(
            "split_part",
            &["(varchar, varchar, bigint) -> varchar"],
            |call| each!(call, TextOut, |text: 0 text, delimiter: 1 text, index: 2 int| part(text, delimiter, index)?),
        ),
        function("split_to_map", &["(varchar, varchar, varchar) -> map(varchar, varchar)"], split_to_map),
        function("split_to_multimap", &["(varchar, varchar, varchar) -> map(varchar, array(varchar))"], split_to_multimap),
    ]
}

fn split(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, delimiters) = (call.text(0), call.text(1));
    let limits = (call.count() == 3).then(|| call.int(2));
    let (mut out, room) = (ListBuilder::new(StringBuilder::new()), Room::of(call.rows));
    for row in 0..call.rows {
        if texts.is_null(row) || delimiters.is_null(row) || limits.is_some_and(|limits| limits.is_null(row)) {
            out.append(false);
            continue;
        }
        let limit = match limits {
            Some(limits) if limits.value(row) <= 0 => return Err(bad("limit must be positive")),
            Some(limits) => usize::try_from(limits.value(row)).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        let delimiter = delimiters.value(row);
        if delimiter.is_empty() {
            return Err(bad("The delimiter may not be the empty string"));
        }
        for part in texts.value(row).splitn(limit, delimiter) {
            room.check("the split of a batch", 0, out.values().len())?;
            out.values().append_value(part);
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

use arrow::array::ArrayBuilder;

fn part<'a>(text: &'a str, delimiter: &str, index: i64) -> Result<Option<&'a str>> {
    let index = usize::try_from(index)
        .ok()
        .and_then(|index| index.checked_sub(1))
        .ok_or_else(|| bad("Index must be greater than zero"))?;
    if delimiter.is_empty() {
        let at = text.char_indices().nth(index);
        return Ok(at.map(|(at, one)| &text[at..at + one.len_utf8()]));
    }
    Ok(text.split(delimiter).nth(index))
}

/// `(key, value)` of each entry.
fn entries<'a>(text: &'a str, between: &str, inside: &str) -> Result<Vec<(&'a str, &'a str)>> {
    if between.is_empty() || inside.is_empty() {
        return Err(bad(if between.is_empty() { "entryDelimiter is empty" } else { "keyValueDelimiter is empty" }));
    }
    if between == inside {
        return Err(bad("entryDelimiter and keyValueDelimiter must not be the same"));
    }
    let wrong = |entry: &str| bad(format!("Key-value delimiter must appear exactly once in each entry. Bad input: '{entry}'"));
    let mut rest = text.split(between).peekable();
    let mut out = Vec::new();
    while let Some(entry) = rest.next() {
        // What ends with a separator has no empty entry behind it.
        if entry.is_empty() && rest.peek().is_none() {
            break;
        }
        let (key, value) = entry.split_once(inside).ok_or_else(|| wrong(entry))?;
        if value.contains(inside) {
            return Err(wrong(entry));
        }
        out.push((key, value));
    }
    Ok(out)
}

fn split_to_map(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, between, inside) = (call.text(0), call.text(1), call.text(2));
    let mut out = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    let room = Room::of(call.rows);
    for row in 0..call.rows {
        if texts.is_null(row) || between.is_null(row) || inside.is_null(row) {
            out.append(false)?;
            continue;
        }
        let mut seen = HashSet::new();
        for (key, value) in entries(texts.value(row), between.value(row), inside.value(row))? {
            if !seen.insert(key) {
                return Err(bad(format!("Duplicate keys ({key}) are not allowed")));
            }
            room.check("the split of a batch", 0, out.keys().len())?;
            out.keys().append_value(key);
            out.values().append_value(value);
        }
        out.append(true)?;
    }
    Ok(Arc::new(out.finish()))
}

fn split_to_multimap(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, between, inside) = (call.text(0), call.text(1), call.text(2));
    let mut out = MapBuilder::new(None, StringBuilder::new(), ListBuilder::new(StringBuilder::new()));
    let room = Room::of(call.rows);
    for row in 0..call.rows {
        if texts.is_null(row) || between.is_null(row) || inside.is_null(row) {
            out.append(false)?;
            continue;
        }
        let mut groups: indexmap::IndexMap<&str, Vec<&str>> = indexmap::IndexMap::new();
        for (key, value) in entries(texts.value(row), between.value(row), inside.value(row))? {
            groups.entry(key).or_default().push(value);
        }
        for (key, values) in groups {
            out.keys().append_value(key);
            for value in values {
                room.check("the split of a batch", 0, out.values().values().len())?;
                out.values().values().append_value(value);
            }
            out.values().append(true);
        }
        out.append(true)?;
    }
    Ok(Arc::new(out.finish()))
}
