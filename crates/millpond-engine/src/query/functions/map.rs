//! Maps (Trino documentation, "Map functions and operators"). Keys are there once, and are not NULL.

use super::call::{Call, Picks, bad, list, map, rows, span};
use super::{Function, function, typed};
use crate::query::functions::limits::{Room, take};
use crate::types::trino::{field_name, list_of, map_of};
use arrow::array::{Array, ArrayRef, AsArray, MapArray, StructArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use std::collections::HashSet;
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("map", &["(array(K), array(V)) -> map(K,V)"], make),
        // The planner itself refuses one of that name without arguments.
        function("empty_map", &["() -> map(unknown, unknown)"], empty),
        function("map_keys", &["(map(K,V)) -> array(K)"], |call| side(call, MapArray::keys)),
        function("map_values", &["(map(K,V)) -> array(V)"], |call| side(call, MapArray::values)),
        typed("map_entries", &["(map(K,V)) -> T"], entries_type, entries),
        typed("map_from_entries", &["(array(T)) -> T"], |fields, _| from_type(fields, false), |call| from_entries(call, false)),
        typed(
            "multimap_from_entries",
            &["(array(T)) -> T"],
            |fields, _| from_type(fields, true),
            |call| from_entries(call, true),
        ),
        function("map_concat", &["(map(K,V), map(K,V)...) -> map(K,V)"], map_concat),
    ]
}

/// Refuses maps whose keys are NULL or there twice.
pub(super) fn check_keys(keys: &ArrayRef, offsets: &OffsetBuffer<i32>) -> Result<()> {
    let comparable = rows(keys)?;
    for row in 0..offsets.len() - 1 {
        let mut seen = HashSet::new();
        for at in span(offsets, row) {
            if keys.is_null(at) {
                return Err(bad("map key cannot be null"));
            }
            if !seen.insert(comparable.row(at)) {
                let shown = crate::result::value::texts(&keys.slice(at, 1)).unwrap_or_default();
                let shown = shown.into_iter().next().flatten().unwrap_or_default();
                return Err(bad(format!("Duplicate map keys ({shown}) are not allowed")));
            }
        }
    }
    Ok(())
}

fn empty(call: &Call<'_>) -> Result<ArrayRef> {
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(0, call.rows));
    let nothing = arrow::array::new_empty_array(&DataType::Null);
    map(Arc::clone(&nothing), nothing, offsets, None)
}

fn make(call: &Call<'_>) -> Result<ArrayRef> {
    let (keys, values) = (call.list(0), call.list(1));
    let (mut k, mut v) = (Picks::with_rows(call.rows), Picks::with_rows(call.rows));
    for row in 0..call.rows {
        if keys.is_null(row) || values.is_null(row) {
            k.null();
            v.null();
            continue;
        }
        let (a, b) = (span(keys.value_offsets(), row), span(values.value_offsets(), row));
        if a.len() != b.len() {
            return Err(bad("Key and value arrays must be the same length"));
        }
        a.into_iter().try_for_each(|at| k.item(Some(at)))?;
        b.into_iter().try_for_each(|at| v.item(Some(at)))?;
        k.end();
        v.end();
    }
    let (keys, offsets, nulls) = k.parts(keys.values())?;
    let (values, _, _) = v.parts(values.values())?;
    check_keys(&keys, &offsets)?;
    map(keys, values, offsets, Some(nulls))
}

fn side(call: &Call<'_>, which: fn(&MapArray) -> &ArrayRef) -> Result<ArrayRef> {
    let maps = call.map(0);
    list(Arc::clone(which(maps)), maps.offsets().clone(), maps.nulls().cloned())
}

fn entry_type(data_type: &DataType) -> Option<(DataType, DataType)> {
    let DataType::Struct(pair) = data_type else { return None };
    match pair.as_ref() {
        [key, value] => Some((key.data_type().clone(), value.data_type().clone())),
        _ => None,
    }
}

fn entries_type(fields: &[FieldRef], _: &[Option<&ScalarValue>]) -> Result<FieldRef> {
    let DataType::Map(entries, _) = fields[0].data_type() else { return Err(bad("map_entries takes a map")) };
    let (key, value) = entry_type(entries.data_type()).ok_or_else(|| bad("map_entries takes a map"))?;
    let row = vec![Field::new(field_name(0), key, true), Field::new(field_name(1), value, true)];
    Ok(Arc::new(Field::new("map_entries", list_of(DataType::Struct(row.into())), true)))
}

fn entries(call: &Call<'_>) -> Result<ArrayRef> {
    let maps = call.map(0);
    let (keys, values) = (maps.keys(), maps.values());
    let fields = vec![
        Field::new(field_name(0), keys.data_type().clone(), true),
        Field::new(field_name(1), values.data_type().clone(), true),
    ];
    let pairs = StructArray::try_new(fields.into(), vec![Arc::clone(keys), Arc::clone(values)], None)?;
    list(Arc::new(pairs), maps.offsets().clone(), maps.nulls().cloned())
}

fn from_type(fields: &[FieldRef], multi: bool) -> Result<FieldRef> {
    let pair = match fields[0].data_type() {
        DataType::List(item) => entry_type(item.data_type()),
        _ => None,
    };
    let (key, value) = pair.ok_or_else(|| bad("an array of rows of two fields is needed"))?;
    let made = map_of(key, if multi { list_of(value) } else { value });
    Ok(Arc::new(Field::new("map", made, true)))
}

fn from_entries(call: &Call<'_>, multi: bool) -> Result<ArrayRef> {
    let lists = call.list(0);
    let pairs = lists.values().as_struct();
    let (keys, values) = (pairs.column(0), pairs.column(1));
    let comparable = rows(keys)?;
    let (mut k, mut v) = (Picks::with_rows(call.rows), Picks::with_rows(0));
    for row in 0..call.rows {
        if lists.is_null(row) {
            k.null();
            continue;
        }
        let mut groups: indexmap::IndexMap<_, Vec<usize>> = indexmap::IndexMap::new();
        for at in span(lists.value_offsets(), row) {
            if pairs.is_null(at) {
                return Err(bad("map entry cannot be null"));
            }
            if keys.is_null(at) {
                return Err(bad("map key cannot be null"));
            }
            groups.entry(comparable.row(at)).or_default().push(at);
        }
        for places in groups.into_values() {
            if !multi && places.len() > 1 {
                let shown = crate::result::value::texts(&keys.slice(places[0], 1)).unwrap_or_default();
                let shown = shown.into_iter().next().flatten().unwrap_or_default();
                return Err(bad(format!("Duplicate keys ({shown}) are not allowed")));
            }
            k.item(Some(places[0]))?;
            places.into_iter().try_for_each(|at| v.item(Some(at)))?;
            v.end();
        }
        k.end();
    }
    let (keys, offsets, nulls) = k.parts(keys)?;
    let made = if multi { v.finish(values)? } else { v.parts(values)?.0 };
    map(keys, made, offsets, Some(nulls))
}

/// Of a key that several maps have, the last one's value is taken; its place is the first's.
fn map_concat(call: &Call<'_>) -> Result<ArrayRef> {
    let maps: Vec<&MapArray> = (0..call.count()).map(|index| call.map(index)).collect();
    let join = |which: fn(&MapArray) -> &ArrayRef| -> Result<ArrayRef> {
        let kind = which(maps[0]).data_type();
        let parts = maps.iter().map(|map| cast(which(map), kind)).collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>())?)
    };
    let (keys, values) = (join(MapArray::keys)?, join(MapArray::values)?);
    let comparable = rows(&keys)?;
    let mut k = Picks::with_rows(call.rows);
    let mut v: Vec<u32> = Vec::new();
    for row in 0..call.rows {
        if call.arrays.iter().any(|array| array.is_null(row)) {
            k.null();
            continue;
        }
        let mut merged: indexmap::IndexMap<_, (usize, usize)> = indexmap::IndexMap::new();
        let mut start = 0;
        for map in &maps {
            for at in span(map.value_offsets(), row) {
                merged.entry(comparable.row(start + at)).or_insert((start + at, 0)).1 = start + at;
            }
            start += map.keys().len();
        }
        for (key, value) in merged.into_values() {
            k.item(Some(key))?;
            v.push(value as u32);
        }
        k.end();
    }
    let (keys, offsets, nulls) = k.parts(&keys)?;
    map(keys, take(values.as_ref(), &UInt32Array::from(v), Room::of(call.rows))?, offsets, Some(nulls))
}
