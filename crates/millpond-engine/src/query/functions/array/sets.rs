//! Arrays as sets, and in order.

use crate::query::functions::call::{Call, Picks, map, rows, span};
use crate::query::functions::{Function, function};
use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::compute::concat;
use arrow::row::Rows;
use datafusion::common::Result;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("array_distinct", &["(array(T)) -> array(T)"], distinct),
        function("array_except", &["(array(T), array(T)) -> array(T)"], |call| both(call, Set::Except)),
        function("array_intersect", &["(array(T), array(T)) -> array(T)"], |call| both(call, Set::Intersect)),
        function("array_union", &["(array(T), array(T)) -> array(T)"], |call| both(call, Set::Union)),
        function("array_remove", &["(array(T), T) -> array(T)"], remove),
        function("array_sort", &["(array(T)) -> array(T)"], sort),
        function("array_histogram", &["(array(T)) -> map(T, bigint)"], histogram),
    ]
}

/// Each list's items as `pick` has them, of their places among all.
fn each_list(call: &Call<'_>, pick: impl Fn(&Rows, Range<usize>) -> Vec<usize>) -> Result<ArrayRef> {
    let list = call.list(0);
    let items = rows(list.values())?;
    let mut out = Picks::with_rows(call.rows);
    for row in 0..call.rows {
        if list.is_null(row) {
            out.null();
            continue;
        }
        pick(&items, span(list.value_offsets(), row)).into_iter().try_for_each(|at| out.item(Some(at)))?;
        out.end();
    }
    out.finish(list.values())
}

fn distinct(call: &Call<'_>) -> Result<ArrayRef> {
    each_list(call, |items, places| {
        let mut seen = HashSet::new();
        places.filter(|at| seen.insert(items.row(*at))).collect()
    })
}

enum Set {
    Except,
    Intersect,
    Union,
}

fn both(call: &Call<'_>, set: Set) -> Result<ArrayRef> {
    let (left, right) = (call.list(0), call.list(1));
    let values = concat(&[left.values().as_ref(), right.values().as_ref()])?;
    let (items, first) = (rows(&values)?, left.values().len());
    let mut out = Picks::with_rows(call.rows);
    for row in 0..call.rows {
        if left.is_null(row) || right.is_null(row) {
            out.null();
            continue;
        }
        let (a, b) = (span(left.value_offsets(), row), span(right.value_offsets(), row).map(|at| first + at));
        let mut seen = HashSet::new();
        match set {
            Set::Union => a.chain(b).filter(|at| seen.insert(items.row(*at))).try_for_each(|at| out.item(Some(at)))?,
            Set::Except => {
                seen.extend(b.map(|at| items.row(at)));
                a.filter(|at| seen.insert(items.row(*at))).try_for_each(|at| out.item(Some(at)))?;
            }
            Set::Intersect => {
                let other: HashSet<_> = b.map(|at| items.row(at)).collect();
                let kept = a.filter(|at| other.contains(&items.row(*at)) && seen.insert(items.row(*at)));
                kept.collect::<Vec<_>>().into_iter().try_for_each(|at| out.item(Some(at)))?;
            }
        }
        out.end();
    }
    out.finish(&values)
}

/// All items that are equal to the second argument; those that are NULL stay.
fn remove(call: &Call<'_>) -> Result<ArrayRef> {
    let list = call.list(0);
    let values = concat(&[list.values().as_ref(), call.arrays[1].as_ref()])?;
    let (items, first) = (rows(&values)?, list.values().len());
    let mut out = Picks::with_rows(call.rows);
    for row in 0..call.rows {
        if list.is_null(row) || call.arrays[1].is_null(row) {
            out.null();
            continue;
        }
        let kept = span(list.value_offsets(), row).filter(|at| items.row(*at) != items.row(first + row));
        kept.collect::<Vec<_>>().into_iter().try_for_each(|at| out.item(Some(at)))?;
        out.end();
    }
    out.finish(list.values())
}

/// NULL comes last.
fn sort(call: &Call<'_>) -> Result<ArrayRef> {
    each_list(call, |items, places| {
        let mut places: Vec<usize> = places.collect();
        places.sort_by(|a, b| items.row(*a).cmp(&items.row(*b)));
        places
    })
}

/// How often each item comes; NULLs are not counted.
fn histogram(call: &Call<'_>) -> Result<ArrayRef> {
    let list = call.list(0);
    let items = rows(list.values())?;
    let mut out = Picks::with_rows(call.rows);
    let mut counts = Vec::new();
    for row in 0..call.rows {
        if list.is_null(row) {
            out.null();
            continue;
        }
        let mut seen: indexmap::IndexMap<_, (usize, i64)> = indexmap::IndexMap::new();
        for at in span(list.value_offsets(), row).filter(|at| list.values().is_valid(*at)) {
            seen.entry(items.row(at)).or_insert((at, 0)).1 += 1;
        }
        for (at, count) in seen.into_values() {
            out.item(Some(at))?;
            counts.push(count);
        }
        out.end();
    }
    let (keys, offsets, nulls) = out.parts(list.values())?;
    map(keys, Arc::new(Int64Array::from(counts)), offsets, Some(nulls))
}
