//! `reduce`: the first items of all rows' arrays at once, then the second ones, and so on.

use super::{Invocation, Kind, as_list, item_of};
use crate::query::functions::call::span;
use crate::query::functions::limits::{Room, take};
use crate::types::TrinoType;
use arrow::array::{Array, ArrayRef, UInt32Array, new_null_array};
use arrow::compute::{cast, concat};
use arrow::datatypes::DataType;
use datafusion::common::Result;

pub(super) struct Reduce;

/// The state's type: that of the first state, or a wider one that the function gives.
fn state(first: &DataType, result: Option<&DataType>) -> DataType {
    let Some(result) = result else { return first.clone() };
    let common = TrinoType::common(&TrinoType::of_arrow(first), &TrinoType::of_arrow(result));
    common.map_or_else(
        || first.clone(),
        |common| if common.to_arrow() == TrinoType::of_arrow(result).to_arrow() { result.clone() } else { common.to_arrow() },
    )
}

impl Kind for Reduce {
    fn values(&self, given: &[DataType]) -> Option<Vec<DataType>> {
        match given {
            [list, first] => Some(vec![as_list(list)?, first.clone()]),
            _ => None,
        }
    }

    fn parameters(&self, values: &[DataType], results: &[Option<DataType>]) -> (Vec<Option<Vec<DataType>>>, bool) {
        let state = state(&values[1], results[0].as_ref());
        let step = vec![state.clone(), item_of(&values[0])];
        match &results[0] {
            // The type that the function gives for the first state's type is not known yet.
            None => (vec![Some(step), None], false),
            Some(_) => (vec![Some(step), Some(vec![state])], true),
        }
    }

    fn returns(&self, _: &[DataType], results: &[DataType]) -> DataType {
        results[1].clone()
    }

    fn convert(&self, values: &[DataType], results: &[DataType]) -> Option<Vec<DataType>> {
        Some(vec![values[0].clone(), state(&values[1], Some(&results[0]))])
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ArrayRef> {
        let (lists, room) = (call.list(0), Room::of(call.rows));
        let kind = call.values[1].data_type().clone();
        let length = |row: u32| span(lists.value_offsets(), row as usize).len();
        // The rows that go on, with their states; and the states of those that are done.
        let mut rows: Vec<u32> = (0..call.rows as u32).filter(|row| lists.is_valid(*row as usize)).collect();
        let mut states = take(call.values[1].as_ref(), &UInt32Array::from(rows.clone()), room)?;
        let (mut done_rows, mut done): (Vec<u32>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        for place in 0.. {
            let (going, ended): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|index| length(rows[*index]) > place);
            if !ended.is_empty() {
                let which = |indices: &[usize]| indices.iter().map(|index| *index as u32).collect::<UInt32Array>();
                done_rows.extend(ended.iter().map(|index| rows[*index]));
                done.push(take(states.as_ref(), &which(&ended), room)?);
                states = take(states.as_ref(), &which(&going), room)?;
                rows = going.iter().map(|index| rows[*index]).collect();
            }
            if rows.is_empty() {
                break;
            }
            let items: UInt32Array =
                rows.iter().map(|row| (span(lists.value_offsets(), *row as usize).start + place) as u32).collect();
            let items = take(lists.values().as_ref(), &items, room)?;
            states = cast(&call.apply(0, &[states, items], &rows)?, &kind)?;
        }
        if done.is_empty() {
            return Ok(new_null_array(call.returns, call.rows));
        }
        let done: Vec<&dyn Array> = done.iter().map(AsRef::as_ref).collect();
        let results = call.apply(1, &[concat(&done)?], &done_rows)?;
        let mut places = vec![None; call.rows];
        for (index, row) in done_rows.iter().enumerate() {
            places[*row as usize] = Some(index as u32);
        }
        take(results.as_ref(), &UInt32Array::from(places), room)
    }
}
