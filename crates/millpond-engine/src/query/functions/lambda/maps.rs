//! `map_filter`, `transform_keys`, `transform_values`, `map_zip_with`.

use super::{Flat, Invocation, Kind, as_map, entry_of};
use crate::query::functions::call::{Picks, map, rows, span};
use crate::query::functions::limits::{Room, take};
use crate::query::functions::map::check_keys;
use crate::types::TrinoType;
use crate::types::trino::map_of;
use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use std::collections::HashMap;

fn one_map(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [map] => Some(vec![as_map(map)?]),
        _ => None,
    }
}

fn key_and_value(values: &[DataType]) -> (Vec<Option<Vec<DataType>>>, bool) {
    let (key, value) = entry_of(&values[0]);
    (vec![Some(vec![key, value])], true)
}

/// Keys and values of all rows, and to which row they belong.
fn entries(call: &Invocation<'_>) -> Result<(Flat, ArrayRef, ArrayRef)> {
    let maps = call.map(0);
    let flat = Flat::of(maps.value_offsets(), maps)?;
    let (keys, values) = (flat.items(maps.keys())?, flat.items(maps.values())?);
    Ok((flat, keys, values))
}

fn offsets(call: &Invocation<'_>) -> OffsetBuffer<i32> {
    let maps = call.map(0);
    OffsetBuffer::from_lengths(
        (0..call.rows).map(|row| if maps.is_null(row) { 0 } else { span(maps.value_offsets(), row).len() }),
    )
}

pub(super) struct Filter;

impl Kind for Filter {
    fn values(&self, given: &[DataType]) -> Option<Vec<DataType>> {
        one_map(given)
    }

    fn parameters(&self, values: &[DataType], _: &[Option<DataType>]) -> (Vec<Option<Vec<DataType>>>, bool) {
        key_and_value(values)
    }

    fn returns(&self, values: &[DataType], _: &[DataType]) -> DataType {
        let (key, value) = entry_of(&values[0]);
        map_of(key, value)
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ArrayRef> {
        let maps = call.map(0);
        let (flat, keys, values) = entries(call)?;
        let kept = call.test(&[keys, values], &flat.owners)?;
        let (mut out, mut next) = (Picks::with_rows(call.rows), 0);
        for row in 0..call.rows {
            if maps.is_null(row) {
                out.null();
                continue;
            }
            for place in span(maps.value_offsets(), row) {
                if kept.is_valid(next) && kept.value(next) {
                    out.item(Some(place))?;
                }
                next += 1;
            }
            out.end();
        }
        let (entries, offsets, nulls) = out.parts(&(std::sync::Arc::new(maps.entries().clone()) as ArrayRef))?;
        let entries = arrow::array::AsArray::as_struct(&entries);
        map(std::sync::Arc::clone(entries.column(0)), std::sync::Arc::clone(entries.column(1)), offsets, Some(nulls))
    }
}

pub(super) struct TransformValues;

impl Kind for TransformValues {
    fn values(&self, given: &[DataType]) -> Option<Vec<DataType>> {
        one_map(given)
    }

    fn parameters(&self, values: &[DataType], _: &[Option<DataType>]) -> (Vec<Option<Vec<DataType>>>, bool) {
        key_and_value(values)
    }

    fn returns(&self, values: &[DataType], results: &[DataType]) -> DataType {
        map_of(entry_of(&values[0]).0, results[0].clone())
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ArrayRef> {
        let (flat, keys, values) = entries(call)?;
        let made = call.apply(0, &[std::sync::Arc::clone(&keys), values], &flat.owners)?;
        map(keys, made, offsets(call), call.map(0).nulls().cloned())
    }
}

pub(super) struct TransformKeys;

impl Kind for TransformKeys {
    fn values(&self, given: &[DataType]) -> Option<Vec<DataType>> {
        one_map(given)
    }

    fn parameters(&self, values: &[DataType], _: &[Option<DataType>]) -> (Vec<Option<Vec<DataType>>>, bool) {
        key_and_value(values)
    }

    fn returns(&self, values: &[DataType], results: &[DataType]) -> DataType {
        map_of(results[0].clone(), entry_of(&values[0]).1)
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ArrayRef> {
        let (flat, keys, values) = entries(call)?;
        let made = call.apply(0, &[keys, std::sync::Arc::clone(&values)], &flat.owners)?;
        let offsets = offsets(call);
        check_keys(&made, &offsets)?;
        map(made, values, offsets, call.map(0).nulls().cloned())
    }
}

pub(super) struct ZipWith;

impl Kind for ZipWith {
    fn values(&self, given: &[DataType]) -> Option<Vec<DataType>> {
        let [left, right] = given else { return None };
        let (left, right) = (as_map(left)?, as_map(right)?);
        let ((a, v), (b, w)) = (entry_of(&left), entry_of(&right));
        let key = TrinoType::common(&TrinoType::of_arrow(&a), &TrinoType::of_arrow(&b))?.to_arrow();
        Some(vec![map_of(key.clone(), v), map_of(key, w)])
    }

    fn parameters(&self, values: &[DataType], _: &[Option<DataType>]) -> (Vec<Option<Vec<DataType>>>, bool) {
        let ((key, left), (_, right)) = (entry_of(&values[0]), entry_of(&values[1]));
        (vec![Some(vec![key, left, right])], true)
    }

    fn returns(&self, values: &[DataType], results: &[DataType]) -> DataType {
        map_of(entry_of(&values[0]).0, results[0].clone())
    }

    /// The keys of both maps, those of the first one first; the value that a map does not have is NULL.
    fn run(&self, call: &Invocation<'_>) -> Result<ArrayRef> {
        let (left, right) = (call.map(0), call.map(1));
        let keys = concat(&[left.keys().as_ref(), cast(right.keys(), left.keys().data_type())?.as_ref()])?;
        let (comparable, first) = (rows(&keys)?, left.keys().len());
        let (mut picked, mut a, mut b, mut owners) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut offsets, mut valid) = (vec![0i32], Vec::with_capacity(call.rows));
        let room = Room::of(call.rows);
        for row in 0..call.rows {
            let there = left.is_valid(row) && right.is_valid(row);
            if there {
                let (l, r) = (span(left.value_offsets(), row), span(right.value_offsets(), row));
                let mut others: HashMap<_, usize> = r.clone().map(|at| (comparable.row(first + at), at)).collect();
                for at in l {
                    picked.push(at as u32);
                    a.push(Some(at as u32));
                    b.push(others.remove(&comparable.row(at)).map(|other| other as u32));
                }
                for at in r.filter(|at| others.contains_key(&comparable.row(first + at))) {
                    picked.push((first + at) as u32);
                    a.push(None);
                    b.push(Some(at as u32));
                }
            }
            owners.resize(picked.len(), row as u32);
            offsets.push(picked.len() as i32);
            valid.push(there);
        }
        let keys = take(keys.as_ref(), &UInt32Array::from(picked), room)?;
        let a = take(left.values().as_ref(), &UInt32Array::from(a), room)?;
        let b = take(right.values().as_ref(), &UInt32Array::from(b), room)?;
        let made = call.apply(0, &[std::sync::Arc::clone(&keys), a, b], &owners)?;
        map(keys, made, OffsetBuffer::new(offsets.into()), Some(valid.into()))
    }
}
