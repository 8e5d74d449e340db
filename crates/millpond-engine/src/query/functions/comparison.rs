//! Values compared and chosen (Trino documentation, "Comparison functions and operators").

use super::call::{Call, rows};
use super::{Function, function, volatile};
use crate::query::functions::limits::{Room, take};
use arrow::array::{ArrayRef, StringArray, UInt32Array};
use arrow::compute::concat;
use datafusion::common::Result;
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("greatest", &["(T, T...) -> T"], |call| extreme(call, true)),
        function("least", &["(T, T...) -> T"], |call| extreme(call, false)),
    ]
}

/// Identifiers of chance (Trino documentation, "UUID functions").
pub(super) fn uuid() -> Vec<Function> {
    vec![volatile("uuid", &["() -> uuid"], |call| {
        let one = |_| {
            let mut bytes: [u8; 16] = super::math::bytes();
            // Version 4, variant of RFC 9562.
            bytes[6] = bytes[6] & 0x0F | 0x40;
            bytes[8] = bytes[8] & 0x3F | 0x80;
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
        };
        Ok(Arc::new(StringArray::from_iter_values((0..call.rows).map(one))))
    })]
}

/// NULL where any is.
fn extreme(call: &Call<'_>, greatest: bool) -> Result<ArrayRef> {
    let all = concat(&call.arrays.iter().map(AsRef::as_ref).collect::<Vec<&dyn arrow::array::Array>>())?;
    let comparable = rows(&all)?;
    let pick = |row: usize| {
        if call.arrays.iter().any(|array| array.is_null(row)) {
            return None;
        }
        let places = (0..call.count()).map(|index| index * call.rows + row);
        let better = |best: usize, at: usize| {
            let wins =
                if greatest { comparable.row(at) > comparable.row(best) } else { comparable.row(at) < comparable.row(best) };
            if wins { at } else { best }
        };
        places.reduce(better).map(|at| at as u32)
    };
    take(all.as_ref(), &(0..call.rows).map(pick).collect::<UInt32Array>(), Room::of(call.rows))
}
