//! Questions to arrays: what is in them, where, and how many.

use crate::query::QueryError;
use crate::query::functions::call::{BooleanOut, Call, IntOut, TextOut, bad, rows, span};
use crate::query::functions::limits::{Room, take};
use crate::query::functions::{Function, function};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array};
use arrow::compute::concat;
use arrow::datatypes::DataType;
use arrow::row::Rows;
use datafusion::common::{DataFusionError, Result};

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("cardinality", &["(array(T)) -> bigint", "(map(K,V)) -> bigint"], cardinality),
        function("contains", &["(array(T), T) -> boolean", "(varchar, ipaddress) -> boolean"], contains),
        function("array_position", &["(array(T), T) -> bigint", "(array(T), T, bigint) -> bigint"], position),
        function("arrays_overlap", &["(array(T), array(T)) -> boolean"], overlap),
        function("contains_sequence", &["(array(T), array(T)) -> boolean"], contains_sequence),
        function("array_max", &["(array(T)) -> T"], |call| extreme(call, true)),
        function("array_min", &["(array(T)) -> T"], |call| extreme(call, false)),
        function("array_join", &["(array(T), varchar) -> varchar", "(array(T), varchar, varchar) -> varchar"], join),
        function("listagg_of", &["(array(varchar), varchar, varchar, varchar) -> varchar"], listagg),
    ]
}

fn cardinality(call: &Call<'_>) -> Result<ArrayRef> {
    let mut out = IntOut::with_rows(call.rows);
    let offsets = match call.arrays[0].data_type() {
        DataType::Map(_, _) => call.map(0).value_offsets(),
        DataType::List(_) => call.list(0).value_offsets(),
        _ => &[],
    };
    for row in 0..call.rows {
        let there = call.arrays[0].is_valid(row) && !offsets.is_empty();
        out.push(there.then(|| span(offsets, row).len() as i64))?;
    }
    Ok(out.finish())
}

/// The items of a list and the values of another column as comparable rows; the second's begin behind the first's.
fn with(list: &ListArray, other: &ArrayRef) -> Result<(Rows, usize)> {
    let both = concat(&[list.values().as_ref(), other.as_ref()])?;
    Ok((rows(&both)?, list.values().len()))
}

/// With three values: an item that is NULL may be the one.
fn contains(call: &Call<'_>) -> Result<ArrayRef> {
    if *call.arrays[0].data_type() == DataType::Utf8 {
        return super::super::network::contains(call);
    }
    let list = call.list(0);
    let (items, first) = with(list, &call.arrays[1])?;
    let mut out = BooleanOut::with_rows(call.rows);
    for row in 0..call.rows {
        if list.is_null(row) || call.arrays[1].is_null(row) {
            out.null();
            continue;
        }
        let mut range = span(list.value_offsets(), row);
        let found = range.clone().any(|at| items.row(at) == items.row(first + row));
        let unknown = !found && range.any(|at| list.values().is_null(at));
        out.push((!unknown).then_some(found))?;
    }
    Ok(out.finish())
}

fn position(call: &Call<'_>) -> Result<ArrayRef> {
    let list = call.list(0);
    let instances = (call.count() == 3).then(|| call.int(2));
    let (items, first) = with(list, &call.arrays[1])?;
    let mut out = IntOut::with_rows(call.rows);
    for row in 0..call.rows {
        if call.arrays.iter().any(|array| array.is_null(row)) {
            out.null();
            continue;
        }
        let instance = instances.map_or(1, |instances| instances.value(row));
        if instance == 0 {
            return Err(bad("array_position cannot take a 0-valued instance argument."));
        }
        let nth = usize::try_from(instance.unsigned_abs() - 1).unwrap_or(usize::MAX);
        let range = span(list.value_offsets(), row);
        let mut places =
            range.clone().enumerate().filter(|(_, at)| items.row(*at) == items.row(first + row)).map(|(place, _)| place);
        let found = if instance > 0 { places.nth(nth) } else { places.collect::<Vec<_>>().into_iter().rev().nth(nth) };
        out.push(Some(found.map_or(0, |place| place as i64 + 1)))?;
    }
    Ok(out.finish())
}

fn overlap(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (call.list(0), call.list(1));
    let (items, first) = with(left, right.values())?;
    let mut out = BooleanOut::with_rows(call.rows);
    for row in 0..call.rows {
        if left.is_null(row) || right.is_null(row) {
            out.null();
            continue;
        }
        let (a, b) = (span(left.value_offsets(), row), span(right.value_offsets(), row));
        let known: std::collections::HashSet<_> =
            a.clone().filter(|at| left.values().is_valid(*at)).map(|at| items.row(at)).collect();
        let found = b.clone().any(|at| right.values().is_valid(at) && known.contains(&items.row(first + at)));
        let unknown = !found
            && !a.is_empty()
            && !b.is_empty()
            && (a.clone().any(|at| left.values().is_null(at)) || b.clone().any(|at| right.values().is_null(at)));
        out.push((!unknown).then_some(found))?;
    }
    Ok(out.finish())
}

fn contains_sequence(call: &Call<'_>) -> Result<ArrayRef> {
    let (whole, part) = (call.list(0), call.list(1));
    let (items, first) = with(whole, part.values())?;
    let mut out = BooleanOut::with_rows(call.rows);
    for row in 0..call.rows {
        if whole.is_null(row) || part.is_null(row) {
            out.null();
            continue;
        }
        let (a, b) = (span(whole.value_offsets(), row), span(part.value_offsets(), row));
        let starts = a.start..(a.end + 1).saturating_sub(b.len()).max(a.start);
        let found = b.is_empty()
            || starts
                .into_iter()
                .any(|start| b.clone().enumerate().all(|(place, at)| items.row(start + place) == items.row(first + at)));
        out.push(Some(found))?;
    }
    Ok(out.finish())
}

/// NULL where an item is, or where there is none.
fn extreme(call: &Call<'_>, greatest: bool) -> Result<ArrayRef> {
    let list = call.list(0);
    let items = rows(list.values())?;
    let pick = |row: usize| {
        let mut range = span(list.value_offsets(), row);
        if list.is_null(row) || range.clone().any(|at| list.values().is_null(at)) {
            return None;
        }
        let first = range.next()?;
        let best = range.fold(first, |best, at| {
            let better = if greatest { items.row(at) > items.row(best) } else { items.row(at) < items.row(best) };
            if better { at } else { best }
        });
        Some(best as u32)
    };
    take(list.values().as_ref(), &(0..call.rows).map(pick).collect::<UInt32Array>(), Room::of(call.rows))
}

fn join(call: &Call<'_>) -> Result<ArrayRef> {
    let list = call.list(0);
    let texts = crate::result::value::texts(list.values()).map_err(bad)?;
    let separators = call.text(1);
    let nulls = (call.count() == 3).then(|| call.text(2));
    let mut out = TextOut::with_rows(call.rows);
    for row in 0..call.rows {
        if call.arrays.iter().any(|array| array.is_null(row)) {
            out.null();
            continue;
        }
        let items = &texts[span(list.value_offsets(), row)];
        let instead = nulls.map(|nulls| nulls.value(row));
        let parts: Vec<&str> = items.iter().filter_map(|item| item.as_deref().or(instead)).collect();
        super::super::call::check_bytes(parts.iter().map(|part| part.len() + separators.value(row).len()).sum())?;
        out.push(Some(parts.join(separators.value(row))))?;
    }
    Ok(out.finish())
}

/// The texts of a list with a separator between them; where that is too long an error, or as many as there is room for, a filler and the number of the
/// others (Trino documentation, `listagg`).
fn listagg(call: &Call<'_>) -> Result<ArrayRef> {
    const BYTES_MAX: usize = 1 << 20;
    let (list, separators, fillers, shown) = (call.list(0), call.text(1), call.text(2), call.text(3));
    let texts = list.values().as_string::<i32>();
    let mut out = TextOut::with_rows(call.rows);
    for row in 0..call.rows {
        if call.arrays.iter().any(|array| array.is_null(row)) {
            out.null();
            continue;
        }
        let (range, separator) = (span(list.value_offsets(), row), separators.value(row));
        let (mut text, count) = (String::new(), range.len());
        for (place, at) in range.enumerate() {
            let between = if place > 0 { separator } else { "" };
            let item = texts.value(at);
            if text.len() + between.len() + item.len() <= BYTES_MAX {
                text.push_str(between);
                text.push_str(item);
                continue;
            }
            if shown.value(row) == "error" {
                return Err(too_long(BYTES_MAX));
            }
            text.push_str(between);
            text.push_str(fillers.value(row));
            if shown.value(row) == "count" {
                text.push_str(&format!("({})", count - place));
            }
            break;
        }
        out.push(Some(text))?;
    }
    Ok(out.finish())
}

fn too_long(bytes_max: usize) -> DataFusionError {
    let message = format!("Concatenated string has the length in bytes larger than the maximum output length {bytes_max}");
    QueryError::Table { name: "EXCEEDED_FUNCTION_MEMORY_LIMIT", message }.into()
}
