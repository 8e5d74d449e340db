//! Bits of integers in two's complement (Trino documentation, "Bitwise functions").

use super::call::{Call, bad, each};
use super::{Function, function};
use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Result;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function(
            "bit_count",
            &["(bigint, bigint) -> bigint"],
            |call| each!(call, IntOut, |value: 0 int, bits: 1 int| Some(bit_count(value, bits)?)),
        ),
        function("bitwise_and", &["(bigint, bigint) -> bigint"], |call| each!(call, IntOut, |a: 0 int, b: 1 int| Some(a & b))),
        function("bitwise_or", &["(bigint, bigint) -> bigint"], |call| each!(call, IntOut, |a: 0 int, b: 1 int| Some(a | b))),
        function("bitwise_xor", &["(bigint, bigint) -> bigint"], |call| each!(call, IntOut, |a: 0 int, b: 1 int| Some(a ^ b))),
        function("bitwise_not", &["(bigint) -> bigint"], |call| each!(call, IntOut, |a: 0 int| Some(!a))),
        function("bitwise_left_shift", SHIFT, |call| shift(call, left)),
        function("bitwise_right_shift", SHIFT, |call| shift(call, right)),
        function("bitwise_right_shift_arithmetic", SHIFT, |call| shift(call, right_arithmetic)),
    ]
}

/// The value's own width counts.
const SHIFT: &[&str] = &[
    "(tinyint, bigint) -> tinyint",
    "(smallint, bigint) -> smallint",
    "(integer, bigint) -> integer",
    "(bigint, bigint) -> bigint",
];

fn bit_count(value: i64, bits: i64) -> Result<i64> {
    if !(2..=64).contains(&bits) {
        return Err(bad(format!("Bits specified in bit_count must be between 2 and 64, got {bits}")));
    }
    let half = 1i128 << (bits - 1);
    if !(-half..half).contains(&i128::from(value)) {
        return Err(bad(format!(
            "Number must be representable with the bits specified. {value} cannot be represented with {bits} bits"
        )));
    }
    let mask = if bits == 64 { u64::MAX } else { (1u64 << bits) - 1 };
    Ok(i64::from((value.cast_unsigned() & mask).count_ones()))
}

fn shift(call: &Call<'_>, by: fn(i64, u32, u32) -> i64) -> Result<ArrayRef> {
    let width: u32 = match call.arrays[0].data_type() {
        DataType::Int8 => 8,
        DataType::Int16 => 16,
        DataType::Int32 => 32,
        _ => 64,
    };
    let values = cast(&call.arrays[0], &DataType::Int64)?;
    let values = datafusion::common::cast::as_int64_array(&values)?;
    let amounts = call.int(1);
    let mut out = super::call::IntOut::with_rows(call.rows);
    for row in 0..call.rows {
        if values.is_null(row) || amounts.is_null(row) {
            out.null();
            continue;
        }
        let amount = u32::try_from(amounts.value(row)).unwrap_or(u32::MAX);
        // What goes beyond the width is gone, as in the type itself.
        let shifted = by(values.value(row), amount, width);
        let unused = 64 - width;
        out.push(Some((shifted << unused) >> unused))?;
    }
    Ok(out.finish())
}

fn left(value: i64, amount: u32, width: u32) -> i64 {
    if amount >= width { 0 } else { value << amount }
}

fn right(value: i64, amount: u32, width: u32) -> i64 {
    let mask = u64::MAX >> (64 - width);
    if amount >= width { 0 } else { ((value.cast_unsigned() & mask) >> amount).cast_signed() }
}

fn right_arithmetic(value: i64, amount: u32, width: u32) -> i64 {
    value >> amount.min(width - 1)
}
