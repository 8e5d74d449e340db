//! `transform`, `filter`, `any_match`, `all_match`, `none_match`, `zip_with`.

use super::{Flat, Invocation, Kind, as_list, item_of};
use crate::query::functions::call::{Picks, list, span};
use crate::query::functions::limits::{Room, take};
use crate::types::trino::list_of;
use arrow::array::{Array, ArrayRef, BooleanBuilder, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use std::sync::Arc;

fn one_list(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [list] => Some(vec![as_list(list)?]),
        _ => None,
    }
}

pub(super) struct Transform;

impl Kind for Transform {
    fn values(&self, given: &[DataType]) -> Option<Vec<DataType>> {
        one_list(given)
    }

    fn parameters(&self, values: &[DataType], _: &[Option<DataType>]) -> (Vec<Option<Vec<DataType>>>, bool) {
        (vec![Some(vec![item_of(&values[0])])], true)
    }

    fn returns(&self, _: &[DataType], results: &[DataType]) -> DataType {
        list_of(results[0].clone())
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ArrayRef> {
        let lists = call.list(0);
        let flat = Flat::of(lists.value_offsets(), lists)?;
        let items = call.apply(0, &[flat.items(lists.values())?], &flat.owners)?;
        let lengths = (0..call.rows).map(|row| if lists.is_null(row) { 0 } else { span(lists.value_offsets(), row).len() });
        list(items, OffsetBuffer::from_lengths(lengths), lists.nulls().cloned())
    }
}

pub(super) struct Filter;

impl Kind for Filter {
    fn values(&self, given: &[DataType]) -> Option<Vec<DataType>> {
        one_list(given)
    }

    fn parameters(&self, values: &[DataType], _: &[Option<DataType>]) -> (Vec<Option<Vec<DataType>>>, bool) {
        (vec![Some(vec![item_of(&values[0])])], true)
    }

    fn returns(&self, values: &[DataType], _: &[DataType]) -> DataType {
        list_of(item_of(&values[0]))
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ArrayRef> {
        let lists = call.list(0);
        let flat = Flat::of(lists.value_offsets(), lists)?;
        let kept = call.test(&[flat.items(lists.values())?], &flat.owners)?;
        let (mut out, mut next) = (Picks::with_rows(call.rows), 0);
        for row in 0..call.rows {
            if lists.is_null(row) {
                out.null();
                continue;
            }
            for place in span(lists.value_offsets(), row) {
                if kept.is_valid(next) && kept.value(next) {
                    out.item(Some(place))?;
                }
                next += 1;
            }
            out.end();
        }
        out.finish(lists.values())
    }
}

/// With three values: an item for which the lambda gives NULL may be the one.
pub(super) struct Match {
    pub all: bool,
    pub negated: bool,
}

impl Kind for Match {
    fn values(&self, given: &[DataType]) -> Option<Vec<DataType>> {
        one_list(given)
    }

    fn parameters(&self, values: &[DataType], _: &[Option<DataType>]) -> (Vec<Option<Vec<DataType>>>, bool) {
        (vec![Some(vec![item_of(&values[0])])], true)
    }

    fn returns(&self, _: &[DataType], _: &[DataType]) -> DataType {
        DataType::Boolean
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ArrayRef> {
        let lists = call.list(0);
        let flat = Flat::of(lists.value_offsets(), lists)?;
        let verdicts = call.test(&[flat.items(lists.values())?], &flat.owners)?;
        let (mut out, mut next) = (BooleanBuilder::with_capacity(call.rows), 0);
        for row in 0..call.rows {
            if lists.is_null(row) {
                out.append_null();
                continue;
            }
            let range = next..next + span(lists.value_offsets(), row).len();
            next = range.end;
            // What decides: one that holds, or for all one that does not.
            let decided = range.clone().any(|at| verdicts.is_valid(at) && verdicts.value(at) != self.all);
            let unknown = !decided && range.clone().any(|at| verdicts.is_null(at));
            out.append_option((!unknown).then_some((decided != self.all) != self.negated));
        }
        Ok(Arc::new(out.finish()))
    }
}

/// The shorter list is filled up with NULLs.
pub(super) struct ZipWith;

impl Kind for ZipWith {
    fn values(&self, given: &[DataType]) -> Option<Vec<DataType>> {
        match given {
            [left, right] => Some(vec![as_list(left)?, as_list(right)?]),
            _ => None,
        }
    }

    fn parameters(&self, values: &[DataType], _: &[Option<DataType>]) -> (Vec<Option<Vec<DataType>>>, bool) {
        (vec![Some(vec![item_of(&values[0]), item_of(&values[1])])], true)
    }

    fn returns(&self, _: &[DataType], results: &[DataType]) -> DataType {
        list_of(results[0].clone())
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ArrayRef> {
        let (left, right) = (call.list(0), call.list(1));
        let (mut a, mut b, mut owners) = (Vec::new(), Vec::new(), Vec::new());
        let (mut offsets, mut valid) = (vec![0i32], Vec::with_capacity(call.rows));
        let room = Room::of(call.rows);
        for row in 0..call.rows {
            let there = left.is_valid(row) && right.is_valid(row);
            if there {
                let (l, r) = (span(left.value_offsets(), row), span(right.value_offsets(), row));
                let length = l.len().max(r.len());
                let place =
                    |range: &std::ops::Range<usize>, index: usize| (index < range.len()).then(|| (range.start + index) as u32);
                a.extend((0..length).map(|index| place(&l, index)));
                b.extend((0..length).map(|index| place(&r, index)));
                owners.extend(std::iter::repeat_n(row as u32, length));
            }
            room.check("the arrays of a batch", 0, owners.len())?;
            offsets.push(owners.len() as i32);
            valid.push(there);
        }
        let a = take(left.values().as_ref(), &UInt32Array::from(a), room)?;
        let b = take(right.values().as_ref(), &UInt32Array::from(b), room)?;
        let items = call.apply(0, &[a, b], &owners)?;
        list(items, OffsetBuffer::new(offsets.into()), Some(valid.into()))
    }
}
