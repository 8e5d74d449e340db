//! `array_sort` with a comparison: a merge sort in which all merges of a round ask their next question at once.

use super::{Invocation, Kind, as_list, item_of};
use crate::query::functions::call::{Picks, bad, span};
use crate::query::functions::limits::{Room, take};
use crate::types::trino::list_of;
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;

pub(super) struct SortBy;

/// Two sorted runs that become one.
struct Merge {
    left: std::vec::IntoIter<u32>,
    right: std::vec::IntoIter<u32>,
    heads: (Option<u32>, Option<u32>),
    merged: Vec<u32>,
    row: u32,
}

impl Merge {
    fn new(row: u32, left: Vec<u32>, right: Vec<u32>) -> Self {
        let (mut left, mut right) = (left.into_iter(), right.into_iter());
        let heads = (left.next(), right.next());
        Self { left, right, heads, merged: Vec::new(), row }
    }

    /// What has to be compared next.
    fn question(&self) -> Option<(u32, u32)> {
        self.heads.0.zip(self.heads.1)
    }

    fn answer(&mut self, left_first: bool) {
        let (head, rest) = if left_first { (&mut self.heads.0, &mut self.left) } else { (&mut self.heads.1, &mut self.right) };
        self.merged.extend(*head);
        *head = rest.next();
    }

    fn finish(mut self) -> Vec<u32> {
        self.merged.extend(self.heads.0);
        self.merged.extend(self.left);
        self.merged.extend(self.heads.1);
        self.merged.extend(self.right);
        self.merged
    }
}

impl Kind for SortBy {
    fn values(&self, given: &[DataType]) -> Option<Vec<DataType>> {
        match given {
            [list] => Some(vec![as_list(list)?]),
            _ => None,
        }
    }

    fn parameters(&self, values: &[DataType], _: &[Option<DataType>]) -> (Vec<Option<Vec<DataType>>>, bool) {
        let item = item_of(&values[0]);
        (vec![Some(vec![item.clone(), item])], true)
    }

    fn returns(&self, values: &[DataType], _: &[DataType]) -> DataType {
        list_of(item_of(&values[0]))
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ArrayRef> {
        let lists = call.list(0);
        let mut runs: Vec<Vec<Vec<u32>>> = (0..call.rows)
            .map(|row| {
                if lists.is_null(row) { Vec::new() } else { span(lists.value_offsets(), row).map(|at| vec![at as u32]).collect() }
            })
            .collect();
        while runs.iter().any(|runs| runs.len() > 1) {
            let mut merges = Vec::new();
            for (row, runs) in runs.iter_mut().enumerate() {
                let mut pairs = std::mem::take(runs).into_iter();
                while let Some(left) = pairs.next() {
                    merges.push(Merge::new(row as u32, left, pairs.next().unwrap_or_default()));
                }
            }
            round(call, lists.values(), &mut merges)?;
            for merge in merges {
                let row = merge.row as usize;
                runs[row].push(merge.finish());
            }
        }
        let mut out = Picks::with_rows(call.rows);
        for (row, runs) in runs.into_iter().enumerate() {
            if lists.is_null(row) {
                out.null();
                continue;
            }
            runs.into_iter().flatten().try_for_each(|at| out.item(Some(at as usize)))?;
            out.end();
        }
        out.finish(lists.values())
    }
}

fn round(call: &Invocation<'_>, values: &ArrayRef, merges: &mut [Merge]) -> Result<()> {
    let mut open: Vec<usize> = (0..merges.len()).collect();
    loop {
        open.retain(|index| merges[*index].question().is_some());
        if open.is_empty() {
            return Ok(());
        }
        let asked: Vec<(u32, u32)> = open.iter().filter_map(|index| merges[*index].question()).collect();
        let owners: Vec<u32> = open.iter().map(|index| merges[*index].row).collect();
        let room = Room::of(call.rows);
        let side = |pick: fn(&(u32, u32)) -> u32| take(values.as_ref(), &asked.iter().map(pick).collect::<UInt32Array>(), room);
        let order = call.apply(0, &[side(|pair| pair.0)?, side(|pair| pair.1)?], &owners)?;
        let order = cast(&order, &DataType::Int64)?;
        let order = order.as_primitive::<Int64Type>();
        for (at, index) in open.iter().enumerate() {
            if order.is_null(at) || !(-1..=1).contains(&order.value(at)) {
                return Err(bad("Lambda comparator must return either -1, 0, or 1"));
            }
            merges[*index].answer(order.value(at) <= 0);
        }
    }
}
