//! Arrays and sparse maps of numbers as vectors.

use crate::query::functions::call::{Call, DoubleOut, bad, span};
use crate::query::functions::{Function, function};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::Float64Type;
use datafusion::common::Result;
use std::collections::HashMap;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("cosine_similarity", BOTH, |call| either(call, similarity)),
        function("cosine_distance", BOTH, |call| either(call, |sums| similarity(sums).map(|value| 1.0 - value))),
        function("euclidean_distance", DENSE, |call| {
            dense(call, |sums| Some((sums.aa - 2.0 * sums.ab + sums.bb).max(0.0).sqrt()))
        }),
        function("dot_product", DENSE, |call| dense(call, |sums| Some(sums.ab))),
    ]
}

const DENSE: &[&str] = &["(array(double), array(double)) -> double"];
const BOTH: &[&str] = &["(array(double), array(double)) -> double", "(map(varchar, double), map(varchar, double)) -> double"];

/// Sums of the products of the components.
#[derive(Default)]
struct Sums {
    aa: f64,
    ab: f64,
    bb: f64,
}

fn similarity(sums: &Sums) -> Option<f64> {
    (sums.aa != 0.0 && sums.bb != 0.0).then(|| sums.ab / (sums.aa.sqrt() * sums.bb.sqrt()))
}

fn either(call: &Call<'_>, give: fn(&Sums) -> Option<f64>) -> Result<ArrayRef> {
    if matches!(call.arrays[0].data_type(), arrow::datatypes::DataType::Map(_, _)) {
        sparse(call, give)
    } else {
        dense(call, give)
    }
}

fn dense(call: &Call<'_>, give: fn(&Sums) -> Option<f64>) -> Result<ArrayRef> {
    let (left, right) = (call.list(0), call.list(1));
    let mut out = DoubleOut::with_rows(call.rows);
    for row in 0..call.rows {
        if left.is_null(row) || right.is_null(row) {
            out.null();
            continue;
        }
        let (a, b) = (left.value(row), right.value(row));
        let (a, b) = (a.as_primitive::<Float64Type>(), b.as_primitive::<Float64Type>());
        if a.len() != b.len() {
            return Err(bad("The arguments must have the same length"));
        }
        if a.null_count() + b.null_count() > 0 {
            out.null();
            continue;
        }
        let mut sums = Sums::default();
        for (x, y) in a.values().iter().zip(b.values()) {
            sums.aa += x * x;
            sums.ab += x * y;
            sums.bb += y * y;
        }
        out.push(give(&sums))?;
    }
    Ok(out.finish())
}

fn sparse(call: &Call<'_>, give: fn(&Sums) -> Option<f64>) -> Result<ArrayRef> {
    let (left, right) = (call.map(0), call.map(1));
    let mut out = DoubleOut::with_rows(call.rows);
    for row in 0..call.rows {
        if left.is_null(row) || right.is_null(row) {
            out.null();
            continue;
        }
        let entries = |map: &arrow::array::MapArray| {
            let (keys, values) = (map.keys().as_string::<i32>().clone(), map.values().as_primitive::<Float64Type>().clone());
            let entries = span(map.value_offsets(), row)
                .map(|at| values.is_valid(at).then(|| (keys.value(at).to_owned(), values.value(at))));
            entries.collect::<Option<HashMap<String, f64>>>()
        };
        let (Some(a), Some(b)) = (entries(left), entries(right)) else {
            out.null();
            continue;
        };
        let sums = Sums {
            aa: a.values().map(|value| value * value).sum(),
            ab: a.iter().map(|(key, value)| value * b.get(key).copied().unwrap_or(0.0)).sum(),
            bb: b.values().map(|value| value * value).sum(),
        };
        out.push(give(&sums))?;
    }
    Ok(out.finish())
}
