//! Numbers and booleans as one another.

use super::cannot;
use crate::query::error::QueryError;
use crate::types::TrinoType as T;
use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow::error::ArrowError;
use datafusion::common::{Result, exec_datafusion_err};
use std::sync::Arc;

pub(super) fn convert(array: &ArrayRef, from: &T, to: &T, arrow: &DataType, safe: bool) -> Result<ArrayRef> {
    if super::is_plain(from, to) {
        return Ok(cast(array, arrow)?);
    }
    match to {
        T::Boolean => {
            let numbers = cast(array, &DataType::Float64)?;
            let truth: BooleanArray =
                numbers.as_primitive::<Float64Type>().iter().map(|number| number.map(|number| number != 0.0)).collect();
            Ok(Arc::new(truth))
        }
        T::TinyInt => integers::<Int8Type>(array, from, "tinyint", safe),
        T::SmallInt => integers::<Int16Type>(array, from, "smallint", safe),
        T::Integer => integers::<Int32Type>(array, from, "integer", safe),
        T::BigInt => integers::<Int64Type>(array, from, "bigint", safe),
        T::Real | T::Double => Ok(cast(array, arrow)?),
        T::Decimal(precision, scale) => decimals(array, from, *precision, *scale, safe),
        other => Err(exec_datafusion_err!("a number as {other}")),
    }
}

/// Every value as whole units, with an error of its own.
fn integers<I: ArrowPrimitiveType>(array: &ArrayRef, from: &T, name: &str, safe: bool) -> Result<ArrayRef>
where
    I::Native: TryFrom<i128>,
{
    let fit = |whole: i128, shown: &dyn Fn() -> String| {
        I::Native::try_from(whole).map_err(|_| QueryError::OutOfRange(format!("Out of range for {name}: {}", shown())))
    };
    match from {
        T::Boolean => {
            let flags = cast(array, &DataType::Int8)?;
            each::<Int8Type, I>(&flags, safe, |flag| fit(i128::from(flag), &|| flag.to_string()))
        }
        T::Real | T::Double => {
            let numbers = cast(array, &DataType::Float64)?;
            each::<Float64Type, I>(&numbers, safe, |number| {
                let rounded = number.round();
                if !rounded.is_finite() || rounded.abs() >= 9.3e18 {
                    let mut shown = String::new();
                    crate::result::value::write_double(number, &mut shown);
                    return Err(cannot(format!("Unable to cast {shown} to {name}")));
                }
                // Within the range that was just checked.
                fit(rounded as i128, &|| format!("{rounded}"))
            })
        }
        T::Decimal(_, scale) => {
            let unit = 10i128.pow(u32::from(*scale));
            each::<Decimal128Type, I>(array, safe, |value| {
                let whole = divide_rounded(value, unit);
                I::Native::try_from(whole)
                    .map_err(|_| cannot(format!("Cannot cast '{}' to {}", shown(value, *scale), name.to_uppercase())))
            })
        }
        _ => {
            let wide = cast(array, &DataType::Int64)?;
            each::<Int64Type, I>(&wide, safe, |value| fit(i128::from(value), &|| value.to_string()))
        }
    }
}

/// Rounded half away from zero.
fn divide_rounded(value: i128, unit: i128) -> i128 {
    let (quotient, remainder) = (value / unit, value % unit);
    // Half of a power of ten is whole, but for 1, of which there is no remainder.
    if unit > 1 && remainder.abs() >= unit / 2 { quotient + value.signum() } else { quotient }
}

fn shown(value: i128, scale: u8) -> String {
    <Decimal128Type as arrow::datatypes::DecimalType>::format_decimal(value, 38, scale.cast_signed())
}

fn decimals(array: &ArrayRef, from: &T, precision: u8, scale: u8, safe: bool) -> Result<ArrayRef> {
    let limit = 10i128.pow(u32::from(precision));
    let target = DataType::Decimal128(precision, scale.cast_signed());
    let too_large = |shown: String| {
        cannot(format!("Cannot cast {} '{shown}' to DECIMAL({precision}, {scale})", from.to_string().to_uppercase()))
    };
    let fit = |value: Option<i128>, shown: &dyn Fn() -> String| {
        value.filter(|value| value.unsigned_abs() < limit.unsigned_abs()).ok_or_else(|| too_large(shown()))
    };
    let done = match from {
        T::Real | T::Double => {
            let numbers = cast(array, &DataType::Float64)?;
            each::<Float64Type, Decimal128Type>(&numbers, safe, |number| {
                let show = || {
                    let mut shown = String::new();
                    crate::result::value::write_double(number, &mut shown);
                    shown
                };
                if !number.is_finite() {
                    return Err(too_large(show()));
                }
                // The shortest digits that mean the number, as Java's BigDecimal.valueOf takes them.
                fit(super::text::decimal(&format!("{number:e}"), scale), &show)
            })?
        }
        T::Decimal(_, from_scale) => {
            let from_scale = *from_scale;
            each::<Decimal128Type, Decimal128Type>(array, safe, |value| {
                let scaled = if scale >= from_scale {
                    value.checked_mul(10i128.pow(u32::from(scale - from_scale)))
                } else {
                    Some(divide_rounded(value, 10i128.pow(u32::from(from_scale - scale))))
                };
                fit(scaled, &|| shown(value, from_scale))
            })?
        }
        T::Boolean => {
            let flags = cast(array, &DataType::Int8)?;
            each::<Int8Type, Decimal128Type>(&flags, safe, |flag| {
                fit(Some(i128::from(flag) * 10i128.pow(u32::from(scale))), &|| flag.to_string())
            })?
        }
        _ => {
            let wide = cast(array, &DataType::Int64)?;
            each::<Int64Type, Decimal128Type>(&wide, safe, |value| {
                fit(i128::from(value).checked_mul(10i128.pow(u32::from(scale))), &|| value.to_string())
            })?
        }
    };
    Ok(Arc::new(done.as_primitive::<Decimal128Type>().clone().with_data_type(target)))
}

/// Each value that is there by itself.
fn each<A: ArrowPrimitiveType, B: ArrowPrimitiveType>(
    array: &ArrayRef,
    safe: bool,
    body: impl Fn(A::Native) -> Result<B::Native, QueryError>,
) -> Result<ArrayRef> {
    let values = array.as_primitive::<A>();
    let done: PrimitiveArray<B> = if safe {
        values.unary_opt(|value| body(value).ok())
    } else {
        values.try_unary(|value| body(value).map_err(|error| ArrowError::ExternalError(Box::new(error))))?
    };
    Ok(Arc::new(done))
}
