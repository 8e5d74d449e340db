//! Chance.

use crate::query::functions::call::{Call, bad, each};
use crate::query::functions::{Function, volatile};
use arrow::array::{ArrayRef, Float64Array};
use datafusion::common::Result;
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    vec![volatile("random", RANDOM, random), volatile("rand", RANDOM, random)]
}

const RANDOM: &[&str] = &["() -> double", "(bigint) -> bigint", "(bigint, bigint) -> bigint"];

/// Random bytes: values of `random()` decide nothing that has to be done again in the same way.
pub(in crate::query::functions) fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    for part in out.chunks_mut(16) {
        part.copy_from_slice(&rand::random::<[u8; 16]>()[..part.len()]);
    }
    out
}

/// A number from 0 to below `limit`.
pub(in crate::query::functions) fn below(limit: u64) -> u64 {
    // So many more bits than a limit has that no number is noticeably likelier.
    let wide = u128::from_le_bytes(bytes());
    u64::try_from(wide % u128::from(limit.max(1))).unwrap_or(0)
}

fn random(call: &Call<'_>) -> Result<ArrayRef> {
    match call.count() {
        0 => {
            let one = |_| below(1 << 53) as f64 / (1u64 << 53) as f64;
            Ok(Arc::new(Float64Array::from_iter_values((0..call.rows).map(one))))
        }
        1 => each!(call, IntOut, |limit: 0 int| Some(between(0, limit)?)),
        _ => each!(call, IntOut, |from: 0 int, to: 1 int| Some(between(from, to)?)),
    }
}

fn between(from: i64, to: i64) -> Result<i64> {
    if from == 0 && to <= 0 {
        return Err(bad("bound must be positive"));
    }
    if from >= to {
        return Err(bad("start value must be less than stop value"));
    }
    let width = u64::try_from(i128::from(to) - i128::from(from)).unwrap_or(u64::MAX);
    Ok(from.wrapping_add(below(width).cast_signed()))
}
