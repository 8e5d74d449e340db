//! Arrays of parts of an array.

use crate::query::functions::call::{Call, Picks, bad, list, span};
use crate::query::functions::{Function, function};
use arrow::array::{Array, ArrayRef};
use arrow::buffer::OffsetBuffer;
use datafusion::common::Result;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("combinations", &["(array(T), bigint) -> array(array(T))"], |call| parts(call, combinations)),
        function("ngrams", &["(array(T), bigint) -> array(array(T))"], |call| parts(call, ngrams)),
    ]
}

/// As Trino: longer and more combinations are not made.
const COMBINATION_MAX: usize = 5;
const COMBINATIONS_MAX: usize = 100_000;

/// Gives the places of each inner list, of a list of so many items.
type Split = fn(usize, i64, &mut dyn FnMut(&[usize]) -> Result<()>) -> Result<()>;

/// Lists of lists.
fn parts(call: &Call<'_>, split: Split) -> Result<ArrayRef> {
    let (lists, sizes) = (call.list(0), call.int(1));
    let mut inner = Picks::with_rows(0);
    let (mut offsets, mut valid, mut made) = (vec![0i32], Vec::with_capacity(call.rows), 0i32);
    for row in 0..call.rows {
        let there = lists.is_valid(row) && sizes.is_valid(row);
        if there {
            let range = span(lists.value_offsets(), row);
            split(range.len(), sizes.value(row), &mut |places| {
                places.iter().try_for_each(|place| inner.item(Some(range.start + place)))?;
                inner.end();
                made += 1;
                Ok(())
            })?;
        }
        offsets.push(made);
        valid.push(there);
    }
    let inner = inner.finish(lists.values())?;
    list(inner, OffsetBuffer::new(offsets.into()), Some(valid.into()))
}

fn combinations(total: usize, size: i64, give: &mut dyn FnMut(&[usize]) -> Result<()>) -> Result<()> {
    let size = usize::try_from(size).map_err(|_| bad(format!("combination size must not be negative: {size}")))?;
    if size > COMBINATION_MAX {
        return Err(bad(format!("combination size must not exceed {COMBINATION_MAX}: {size}")));
    }
    if size > total {
        return Ok(());
    }
    let count = (0..size).fold(1u128, |count, index| count * (total - index) as u128 / (index as u128 + 1));
    if count > COMBINATIONS_MAX as u128 {
        return Err(bad(format!("combinations exceed max size: {count} > {COMBINATIONS_MAX}")));
    }
    let mut places: Vec<usize> = (0..size).collect();
    loop {
        give(&places)?;
        let Some(moved) = (0..size).rev().find(|index| places[*index] < total - size + index) else { return Ok(()) };
        places[moved] += 1;
        for index in moved + 1..size {
            places[index] = places[index - 1] + 1;
        }
    }
}

/// A list that is shorter than a part is one.
fn ngrams(total: usize, size: i64, give: &mut dyn FnMut(&[usize]) -> Result<()>) -> Result<()> {
    let size = usize::try_from(size).ok().filter(|size| *size > 0).ok_or_else(|| bad("N must be positive"))?;
    if size >= total {
        return give(&(0..total).collect::<Vec<_>>());
    }
    (0..=total - size).try_for_each(|start| give(&(start..start + size).collect::<Vec<_>>()))
}
