//! Arrays of the items of other arrays, and single items.

use crate::query::functions::call::{Call, Picks, bad, list, rows, span};
use crate::query::functions::limits::{Room, take};
use crate::query::functions::{Function, function, volatile};
use arrow::array::{Array, ArrayRef, StructArray, UInt32Array};
use arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("subscript", &["(array(T), bigint) -> T", "(map(K,V), K) -> V"], subscript),
        function("element_at", &["(array(T), bigint) -> T", "(map(K,V), K) -> V"], element_at),
        function("array_first", &["(array(T)) -> T"], |call| one(call, |length| length.checked_sub(1).map(|_| 0))),
        function("array_last", &["(array(T)) -> T"], |call| one(call, |length| length.checked_sub(1))),
        function("slice", &["(array(T), bigint, bigint) -> array(T)"], slice),
        function("trim_array", &["(array(T), bigint) -> array(T)"], trim),
        function("repeat", &["(T, bigint) -> array(T)"], repeat),
        function("flatten", &["(array(array(T))) -> array(T)"], flatten),
        volatile("shuffle", &["(array(T)) -> array(T)"], shuffle),
        super::super::typed("zip", ZIP, zip_type, zip),
    ]
}

const ZIP: &[&str] = &[
    "(array(A), array(B)) -> T",
    "(array(A), array(B), array(C)) -> T",
    "(array(A), array(B), array(C), array(D)) -> T",
    "(array(A), array(B), array(C), array(D), array(E)) -> T",
];

/// What `a[i]` and `m[k]` mean: an item that is not there is an error.
fn subscript(call: &Call<'_>) -> Result<ArrayRef> {
    if matches!(call.arrays[0].data_type(), DataType::Map(_, _)) {
        return lookup(call, true);
    }
    item(call, |length, index| match index {
        0 => Err(bad("SQL array indices start at 1")),
        ..0 => Err(bad(format!("Array subscript is negative: {index}"))),
        _ if index > length => {
            Err(bad(format!("Array subscript must be less than or equal to array length: {index} > {length}")))
        }
        _ => Ok(Some(index - 1)),
    })
}

/// The same, with NULL for what is not there, and negative indices from the end.
fn element_at(call: &Call<'_>) -> Result<ArrayRef> {
    if matches!(call.arrays[0].data_type(), DataType::Map(_, _)) {
        return lookup(call, false);
    }
    item(call, |length, index| {
        let place = if index > 0 { index - 1 } else { length.saturating_add(index) };
        if index == 0 {
            return Err(bad("SQL array indices start at 1"));
        }
        Ok((0..length).contains(&place).then_some(place))
    })
}

fn item(call: &Call<'_>, place: fn(i64, i64) -> Result<Option<i64>>) -> Result<ArrayRef> {
    let (lists, indices) = (call.list(0), call.int(1));
    let mut picked = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        if lists.is_null(row) || indices.is_null(row) {
            picked.push(None);
            continue;
        }
        let range = span(lists.value_offsets(), row);
        let place = place(range.len() as i64, indices.value(row))?;
        picked.push(place.map(|place| range.start as u32 + place as u32));
    }
    take(lists.values().as_ref(), &UInt32Array::from(picked), Room::of(call.rows))
}

fn lookup(call: &Call<'_>, must: bool) -> Result<ArrayRef> {
    let (maps, wanted) = (call.map(0), &call.arrays[1]);
    let keys = arrow::compute::concat(&[maps.keys().as_ref(), wanted.as_ref()])?;
    let (keys, first_wanted) = (rows(&keys)?, maps.keys().len());
    let mut picked = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        if maps.is_null(row) || wanted.is_null(row) {
            picked.push(None);
            continue;
        }
        let found = span(maps.value_offsets(), row).find(|at| keys.row(*at) == keys.row(first_wanted + row));
        if found.is_none() && must {
            let shown = crate::result::value::texts(&wanted.slice(row, 1)).unwrap_or_default();
            let shown = shown.into_iter().next().flatten().unwrap_or_default();
            return Err(bad(format!("Key not present in map: {shown}")));
        }
        picked.push(found.map(|at| at as u32));
    }
    take(maps.values().as_ref(), &UInt32Array::from(picked), Room::of(call.rows))
}

fn one(call: &Call<'_>, place: fn(usize) -> Option<usize>) -> Result<ArrayRef> {
    let lists = call.list(0);
    let pick = |row: usize| {
        let range = span(lists.value_offsets(), row);
        (lists.is_valid(row)).then(|| place(range.len())).flatten().map(|place| (range.start + place) as u32)
    };
    take(lists.values().as_ref(), &(0..call.rows).map(pick).collect::<UInt32Array>(), Room::of(call.rows))
}

/// Lists that are made of items of the first argument: which, by the row.
fn picked(call: &Call<'_>, mut choose: impl FnMut(usize, std::ops::Range<usize>, &mut Picks) -> Result<()>) -> Result<ArrayRef> {
    let lists = call.list(0);
    let mut out = Picks::with_rows(call.rows);
    for row in 0..call.rows {
        if call.arrays.iter().any(|array| array.is_null(row)) {
            out.null();
            continue;
        }
        choose(row, span(lists.value_offsets(), row), &mut out)?;
        out.end();
    }
    out.finish(lists.values())
}

pub(in crate::query::functions) fn reverse(call: &Call<'_>) -> Result<ArrayRef> {
    picked(call, |_, range, out| range.rev().try_for_each(|at| out.item(Some(at))))
}

fn slice(call: &Call<'_>) -> Result<ArrayRef> {
    let (starts, lengths) = (call.int(1), call.int(2));
    picked(call, |row, range, out| {
        let (start, length, total) = (starts.value(row), lengths.value(row), range.len() as i64);
        if length < 0 {
            return Err(bad("length must be greater than or equal to 0"));
        }
        if start == 0 {
            return Err(bad("SQL array indices start at 1"));
        }
        let first = if start > 0 { start - 1 } else { total.saturating_add(start) };
        if first < 0 || first >= total {
            return Ok(());
        }
        let end = first.saturating_add(length).min(total);
        (first..end).try_for_each(|at| out.item(Some(range.start + at as usize)))
    })
}

fn trim(call: &Call<'_>) -> Result<ArrayRef> {
    let counts = call.int(1);
    picked(call, |row, range, out| {
        let count = counts.value(row);
        let kept = usize::try_from(count).ok().and_then(|count| range.len().checked_sub(count));
        let Some(kept) = kept else {
            return Err(bad(match count {
                ..0 => format!("size must not be negative: {count}"),
                _ => format!("size must not exceed array cardinality {}: {count}", range.len()),
            }));
        };
        range.take(kept).try_for_each(|at| out.item(Some(at)))
    })
}

/// As Trino: longer ones are not made.
const REPEAT_MAX: i64 = 10_000;

fn repeat(call: &Call<'_>) -> Result<ArrayRef> {
    let counts = call.int(1);
    let mut out = Picks::with_rows(call.rows);
    for row in 0..call.rows {
        if counts.is_null(row) {
            out.null();
            continue;
        }
        let count = counts.value(row);
        if count > REPEAT_MAX {
            return Err(bad("count argument of repeat function must be less than or equal to 10000"));
        }
        if count < 0 {
            return Err(bad("count argument of repeat function must be greater than or equal to 0"));
        }
        (0..count).try_for_each(|_| out.item(Some(row)))?;
        out.end();
    }
    out.finish(&call.arrays[0])
}

/// Arrays within that are NULL are left out.
fn flatten(call: &Call<'_>) -> Result<ArrayRef> {
    let outer = call.list(0);
    let inner = datafusion::common::cast::as_list_array(outer.values())?;
    let mut out = Picks::with_rows(call.rows);
    for row in 0..call.rows {
        if outer.is_null(row) {
            out.null();
            continue;
        }
        for at in span(outer.value_offsets(), row).filter(|at| inner.is_valid(*at)) {
            span(inner.value_offsets(), at).try_for_each(|item| out.item(Some(item)))?;
        }
        out.end();
    }
    out.finish(inner.values())
}

fn shuffle(call: &Call<'_>) -> Result<ArrayRef> {
    picked(call, |_, range, out| {
        let mut places: Vec<usize> = range.collect();
        for last in (1..places.len()).rev() {
            let other = usize::try_from(super::super::math::below(last as u64 + 1)).unwrap_or(0);
            places.swap(last, other);
        }
        places.into_iter().try_for_each(|at| out.item(Some(at)))
    })
}

/// Arrays one after the other; an argument that is no array is an item.
pub(in crate::query::functions) fn concat(call: &Call<'_>) -> Result<ArrayRef> {
    let mut values: Vec<ArrayRef> = Vec::with_capacity(call.count());
    let mut starts = Vec::with_capacity(call.count());
    let mut total = 0;
    let same = |array: &ArrayRef| array.data_type() == call.arrays[0].data_type();
    // An item of the type of the lists' items; with lists alone all arguments are of one type.
    let lists = call.arrays.iter().all(same);
    let is_list = |index: usize| {
        lists
            || matches!(call.arrays[index].data_type(), DataType::List(field) if {
                let other = &call.arrays[1 - index.min(1)];
                field.data_type() == other.data_type()
            })
    };
    for (index, array) in call.arrays.iter().enumerate() {
        let part = if is_list(index) { Arc::clone(call.list(index).values()) } else { Arc::clone(array) };
        starts.push(total);
        total += part.len();
        values.push(part);
    }
    let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    let values = arrow::compute::concat(&values)?;
    let mut out = Picks::with_rows(call.rows);
    for row in 0..call.rows {
        // An item may be NULL, an array may not.
        if (0..call.count()).any(|index| is_list(index) && call.arrays[index].is_null(row)) {
            out.null();
            continue;
        }
        for (index, start) in starts.iter().enumerate() {
            if is_list(index) {
                span(call.list(index).value_offsets(), row).try_for_each(|at| out.item(Some(start + at)))?;
            } else {
                out.item(Some(start + row))?;
            }
        }
        out.end();
    }
    out.finish(&values)
}

fn zip_type(
    fields: &[arrow::datatypes::FieldRef],
    _: &[Option<&datafusion::common::ScalarValue>],
) -> Result<arrow::datatypes::FieldRef> {
    let items = fields.iter().enumerate().map(|(index, field)| match field.data_type() {
        DataType::List(item) => Field::new(crate::types::trino::field_name(index), item.data_type().clone(), true),
        _ => Field::new(crate::types::trino::field_name(index), DataType::Null, true),
    });
    let row = DataType::Struct(items.collect());
    Ok(Arc::new(Field::new("zip", crate::types::trino::list_of(row), true)))
}

/// Rows of the items at the same places; what is missing is NULL.
fn zip(call: &Call<'_>) -> Result<ArrayRef> {
    let lists: Vec<_> = (0..call.count()).map(|index| call.list(index)).collect();
    let mut picks: Vec<Vec<Option<u32>>> = vec![Vec::new(); lists.len()];
    let (mut offsets, mut valid, room) = (vec![0i32], Vec::with_capacity(call.rows), Room::of(call.rows));
    for row in 0..call.rows {
        let null = lists.iter().any(|list| list.is_null(row));
        let length = if null { 0 } else { lists.iter().map(|list| span(list.value_offsets(), row).len()).max().unwrap_or(0) };
        for (list, picks) in lists.iter().zip(&mut picks) {
            let range = span(list.value_offsets(), row);
            picks.extend((0..length).map(|place| (place < range.len()).then(|| (range.start + place) as u32)));
        }
        room.check("the arrays of a batch", 0, picks[0].len())?;
        offsets.push(picks[0].len() as i32);
        valid.push(!null);
    }
    let mut columns = Vec::with_capacity(lists.len());
    for (list, picks) in lists.iter().zip(picks) {
        columns.push(take(list.values().as_ref(), &UInt32Array::from(picks), room)?);
    }
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| Field::new(crate::types::trino::field_name(index), column.data_type().clone(), true))
        .collect();
    let items = Arc::new(StructArray::try_new(fields.into(), columns, None)?) as ArrayRef;
    list(items, arrow::buffer::OffsetBuffer::new(offsets.into()), Some(valid.into()))
}
