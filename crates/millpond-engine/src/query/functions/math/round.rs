//! Rounding, and what keeps the type of its argument: integers stay integers, decimals lose the digits that cannot be there.

use crate::query::functions::call::{Call, bad, out_of_range};
use crate::query::functions::{Function, typed};
use crate::types::TrinoType;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, FieldRef, Float32Type, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    vec![
        typed("ceil", NUMBER, whole, |call| apply(call, &CEIL)),
        typed("ceiling", NUMBER, whole, |call| apply(call, &CEIL)),
        typed("floor", NUMBER, whole, |call| apply(call, &FLOOR)),
        typed("round", ROUND, rounded, |call| apply(call, &ROUND_AWAY)),
        typed("truncate", ROUND, truncated, |call| apply(call, &TRUNCATE)),
        typed("abs", NUMBER, same, abs),
        typed("sign", NUMBER, sign_type, sign),
    ]
}

const NUMBER: &[&str] = &[
    "(tinyint) -> tinyint",
    "(smallint) -> smallint",
    "(integer) -> integer",
    "(bigint) -> bigint",
    "(real) -> real",
    "(double) -> double",
    "(decimal) -> decimal",
];
const ROUND: &[&str] = &[
    "(tinyint) -> tinyint",
    "(smallint) -> smallint",
    "(integer) -> integer",
    "(bigint) -> bigint",
    "(real) -> real",
    "(double) -> double",
    "(decimal) -> decimal",
    "(tinyint, bigint) -> tinyint",
    "(smallint, bigint) -> smallint",
    "(integer, bigint) -> integer",
    "(bigint, bigint) -> bigint",
    "(real, bigint) -> real",
    "(double, bigint) -> double",
    "(decimal, bigint) -> decimal",
];

/// The result's type: the argument's, or for a decimal what `change` makes of its precision and scale.
fn type_of(fields: &[FieldRef], change: impl Fn(u8, u8) -> (u8, u8)) -> Result<FieldRef> {
    let given = TrinoType::of_field(&fields[0]);
    let result = match given {
        TrinoType::Decimal(precision, scale) => {
            let (precision, scale) = change(precision, scale);
            TrinoType::Decimal(precision.clamp(1, 38), scale)
        }
        TrinoType::Unknown => TrinoType::Double,
        other => other,
    };
    Ok(result.field_ref("result"))
}

fn same(fields: &[FieldRef], _: &[Option<&ScalarValue>]) -> Result<FieldRef> {
    type_of(fields, |precision, scale| (precision, scale))
}

fn whole(fields: &[FieldRef], _: &[Option<&ScalarValue>]) -> Result<FieldRef> {
    type_of(fields, |precision, scale| (precision - scale + scale.min(1), 0))
}

fn rounded(fields: &[FieldRef], constants: &[Option<&ScalarValue>]) -> Result<FieldRef> {
    if fields.len() == 1 {
        whole(fields, constants)
    } else {
        type_of(fields, |precision, scale| (precision.saturating_add(1), scale))
    }
}

fn truncated(fields: &[FieldRef], _: &[Option<&ScalarValue>]) -> Result<FieldRef> {
    type_of(fields, |precision, scale| if fields.len() == 1 { (precision - scale, 0) } else { (precision, scale) })
}

fn sign_type(fields: &[FieldRef], _: &[Option<&ScalarValue>]) -> Result<FieldRef> {
    type_of(fields, |_, _| (1, 0))
}

/// How a fraction is removed.
struct Mode {
    double: fn(f64) -> f64,
    /// The quotient, rounded.
    exact: fn(i128, i128) -> i128,
}

const CEIL: Mode =
    Mode { double: f64::ceil, exact: |value, unit| value.div_euclid(unit) + i128::from(value.rem_euclid(unit) != 0) };
const FLOOR: Mode = Mode { double: f64::floor, exact: |value, unit| value.div_euclid(unit) };
const TRUNCATE: Mode = Mode { double: f64::trunc, exact: |value, unit| value / unit };
const ROUND_AWAY: Mode = Mode {
    double: f64::round,
    exact: |value, unit| {
        let rest = (value % unit).unsigned_abs();
        value / unit + if rest >= unit.unsigned_abs().div_ceil(2) && unit > 1 { value.signum() } else { 0 }
    },
};

fn apply(call: &Call<'_>, mode: &Mode) -> Result<ArrayRef> {
    let digits = (call.count() == 2).then(|| call.int(1));
    let at = |row: usize| match digits {
        Some(digits) if digits.is_null(row) => None,
        Some(digits) => Some(digits.value(row).clamp(-400, 400) as i32),
        None => Some(0),
    };
    Ok(match call.arrays[0].data_type() {
        DataType::Float64 => {
            let values = call.double(0);
            let values = (0..call.rows).map(|row| (at(row), values.is_valid(row).then(|| values.value(row))));
            Arc::new(values.map(|(digits, value)| Some(scaled(value?, digits?, mode.double))).collect::<Float64Array>())
        }
        DataType::Float32 => {
            let values = call.real(0);
            let values = (0..call.rows).map(|row| (at(row), values.is_valid(row).then(|| values.value(row))));
            let round =
                |(digits, value): (Option<i32>, Option<f32>)| Some(scaled(f64::from(value?), digits?, mode.double) as f32);
            Arc::new(values.map(round).collect::<Float32Array>())
        }
        DataType::Decimal128(_, scale) => return decimals(call, i32::from(*scale), digits.is_some(), &at, mode),
        _ => {
            let wide = cast(&call.arrays[0], &DataType::Int64)?;
            let values = wide.as_primitive::<Int64Type>();
            let mut out = Vec::with_capacity(call.rows);
            for row in 0..call.rows {
                let Some(digits) = at(row).filter(|_| values.is_valid(row)) else {
                    out.push(None);
                    continue;
                };
                let value = i128::from(values.value(row));
                let result = match power(-digits) {
                    _ if digits >= 0 => value,
                    Some(unit) => (mode.exact)(value, unit) * unit,
                    None => 0,
                };
                out.push(Some(i64::try_from(result).map_err(|_| out_of_range(format!("bigint out of range: {result}")))?));
            }
            Arc::new(Int64Array::from(out))
        }
    })
}

fn scaled(value: f64, digits: i32, round: fn(f64) -> f64) -> f64 {
    if digits == 0 || !value.is_finite() {
        return round(value);
    }
    let factor = 10f64.powi(digits.abs());
    let (up, down) = if digits > 0 {
        (value * factor, round(value * factor) / factor)
    } else {
        (value / factor, round(value / factor) * factor)
    };
    // A number without digits at that place is what it is.
    if up.is_finite() && down.is_finite() { down } else { value }
}

/// 10 to the power, where that is an exact number of 38 digits.
fn power(exponent: i32) -> Option<i128> {
    10i128.checked_pow(u32::try_from(exponent).ok()?)
}

fn decimals(call: &Call<'_>, scale: i32, keeps_scale: bool, at: &dyn Fn(usize) -> Option<i32>, mode: &Mode) -> Result<ArrayRef> {
    let values = call.arrays[0].as_primitive::<Decimal128Type>();
    let out = (0..call.rows).map(|row| {
        let digits = at(row).filter(|_| values.is_valid(row))?;
        let value = values.value(row);
        if digits >= scale {
            return Some(value);
        }
        // Behind so many digits there is nothing left.
        let Some(unit) = power(scale - digits) else { return Some(0) };
        let quotient = (mode.exact)(value, unit);
        Some(if keeps_scale { quotient * unit } else { quotient })
    });
    let out: Decimal128Array = out.collect();
    let DataType::Decimal128(precision, scale) = *call.returns else { return Err(bad("a decimal gives a decimal")) };
    Ok(Arc::new(out.with_precision_and_scale(precision, scale)?))
}

fn abs(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(match call.arrays[0].data_type() {
        DataType::Float64 => Arc::new(call.double(0).unary::<_, Float64Type>(f64::abs)),
        DataType::Float32 => Arc::new(call.real(0).unary::<_, Float32Type>(f32::abs)),
        DataType::Decimal128(precision, scale) => {
            let values = call.arrays[0].as_primitive::<Decimal128Type>().unary::<_, Decimal128Type>(i128::abs);
            Arc::new(values.with_precision_and_scale(*precision, *scale)?)
        }
        given => {
            let smallest = match given {
                DataType::Int8 => i64::from(i8::MIN),
                DataType::Int16 => i64::from(i16::MIN),
                DataType::Int32 => i64::from(i32::MIN),
                _ => i64::MIN,
            };
            let wide = cast(&call.arrays[0], &DataType::Int64)?;
            let values = wide.as_primitive::<Int64Type>().try_unary::<_, Int64Type, _>(|value| {
                if value == smallest {
                    let name = TrinoType::of_arrow(given);
                    return Err(out_of_range(format!("Value {value} is out of range for abs({name})")));
                }
                Ok(value.abs())
            })?;
            Arc::new(values)
        }
    })
}

fn sign(call: &Call<'_>) -> Result<ArrayRef> {
    let of_double = |value: f64| if value.is_nan() || value == 0.0 { value } else { value.signum() };
    Ok(match call.arrays[0].data_type() {
        DataType::Float64 => Arc::new(call.double(0).unary::<_, Float64Type>(of_double)),
        DataType::Float32 => Arc::new(call.real(0).unary::<_, Float32Type>(|value| of_double(f64::from(value)) as f32)),
        DataType::Decimal128(_, _) => {
            let values = call.arrays[0].as_primitive::<Decimal128Type>().unary::<_, Decimal128Type>(i128::signum);
            Arc::new(values.with_precision_and_scale(1, 0)?)
        }
        _ => {
            let wide = cast(&call.arrays[0], &DataType::Int64)?;
            Arc::new(wide.as_primitive::<Int64Type>().unary::<_, Int64Type>(i64::signum))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_away_from_zero() {
        for (value, want) in [(25, 3), (-25, -3), (24, 2), (-24, -2), (0, 0), (-5, -1)] {
            assert_eq!((ROUND_AWAY.exact)(value, 10), want, "{value}");
        }
        assert_eq!((CEIL.exact)(-12, 10), -1);
        assert_eq!((CEIL.exact)(12, 10), 2);
        assert_eq!((FLOOR.exact)(-12, 10), -2);
        assert_eq!((TRUNCATE.exact)(-19, 10), -1);
    }
}
