//! Intervals, and times with them.
//!
//! An `interval year to month` counts months (Arrow's `Interval(YearMonth)`), an `interval day to second` microseconds (Arrow's `Duration`). What
//! Arrow has no operator for is computed on those counts.

use super::evaluate;
use crate::query::error::QueryError;
use crate::types::TrinoType;
use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, DurationMicrosecondArray, IntervalYearMonthArray, Time64MicrosecondArray,
};
use arrow::compute::{binary, cast, try_binary};
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, FieldRef, Float64Type, Int64Type, IntervalYearMonthType,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

const DAY: i64 = 86_400_000_000;

/// An interval literal, as a call with its count and its type's text.
pub(in crate::query) const INTERVAL: &str = "interval_literal";

/// The function that is called by name.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![ScalarUDF::new_from_impl(Literal { signature: Signature::any(2, Volatility::Immutable) })]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Literal {
    signature: Signature,
}

impl ScalarUDFImpl for Literal {
    fn name(&self) -> &str {
        INTERVAL
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of an interval follows from its second argument")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        match args.scalar_arguments.get(1) {
            Some(Some(ScalarValue::Utf8(Some(text)))) if text == "interval year to month" => {
                Ok(TrinoType::IntervalYearToMonth.field_ref(INTERVAL))
            }
            _ => Ok(TrinoType::IntervalDayToSecond.field_ref(INTERVAL)),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let months = matches!(args.return_field.data_type(), DataType::Interval(_));
        evaluate(args, |arrays| {
            let count = arrays[0].as_primitive::<Int64Type>();
            Ok(if months {
                let months: IntervalYearMonthArray =
                    count.iter().map(|count| count.and_then(|count| i32::try_from(count).ok())).collect();
                Arc::new(months)
            } else {
                Arc::new(count.reinterpret_cast::<DurationMicrosecondType>())
            })
        })
    }
}

/// An operation that Arrow lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    /// Two intervals of one kind.
    Add,
    /// Two intervals of one kind.
    Subtract,
    /// An interval and a number.
    Multiply,
    /// An interval and a number.
    Divide,
    /// A `date` and an `interval day to second` of whole days.
    DateAdd,
    /// The same.
    DateSubtract,
    /// A `time` and an `interval day to second`, around midnight.
    TimeAdd,
    /// The same.
    TimeSubtract,
    /// Two timestamps, or two times.
    Between,
}

impl Operation {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Add | Self::DateAdd | Self::TimeAdd => "+",
            Self::Subtract | Self::DateSubtract | Self::TimeSubtract | Self::Between => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }
}

/// The type of a result: the left operand's, but for what is between two times.
pub(super) fn result_type(operation: Operation, left: &DataType) -> DataType {
    match operation {
        Operation::Between => TrinoType::IntervalDayToSecond.to_arrow(),
        _ => left.clone(),
    }
}

fn external(error: QueryError) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

fn overflow() -> ArrowError {
    external(QueryError::OutOfRange("interval overflow".into()))
}

pub(super) fn apply(operation: Operation, a: &ArrayRef, b: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let months = matches!(a.data_type(), DataType::Interval(_));
    Ok(match operation {
        Operation::Add | Operation::Subtract if months => {
            let (a, b) = (a.as_primitive::<IntervalYearMonthType>(), b.as_primitive::<IntervalYearMonthType>());
            let sum = |x: i32, y: i32| if operation == Operation::Add { x.checked_add(y) } else { x.checked_sub(y) };
            let done: IntervalYearMonthArray = try_binary(a, b, |x, y| sum(x, y).ok_or_else(overflow))?;
            Arc::new(done)
        }
        Operation::Add | Operation::Subtract => {
            let (a, b) = (a.as_primitive::<DurationMicrosecondType>(), b.as_primitive::<DurationMicrosecondType>());
            let sum = |x: i64, y: i64| if operation == Operation::Add { x.checked_add(y) } else { x.checked_sub(y) };
            let done: DurationMicrosecondArray = try_binary(a, b, |x, y| sum(x, y).ok_or_else(overflow))?;
            Arc::new(done)
        }
        Operation::Multiply | Operation::Divide => {
            let factor = cast(b, &DataType::Float64)?;
            let factor = factor.as_primitive::<Float64Type>();
            let scaled = |x: f64, y: f64| {
                if operation == Operation::Divide && y == 0.0 {
                    return Err(external(QueryError::DivisionByZero));
                }
                let scaled = if operation == Operation::Multiply { x * y } else { x / y };
                if scaled.is_finite() && scaled.abs() < 9.2e18 { Ok(scaled) } else { Err(overflow()) }
            };
            if months {
                let done: IntervalYearMonthArray = try_binary(a.as_primitive::<IntervalYearMonthType>(), factor, |x, y| {
                    let scaled = scaled(f64::from(x), y)?.round();
                    if scaled.abs() > f64::from(i32::MAX) { Err(overflow()) } else { Ok(scaled as i32) }
                })?;
                Arc::new(done)
            } else {
                let done: DurationMicrosecondArray = try_binary(a.as_primitive::<DurationMicrosecondType>(), factor, |x, y| {
                    // A thousandth of a second is the finest that such an interval has.
                    Ok((scaled(x as f64, y)? / 1000.0).round() as i64 * 1000)
                })?;
                Arc::new(done)
            }
        }
        Operation::DateAdd | Operation::DateSubtract => {
            let sign = if operation == Operation::DateAdd { 1 } else { -1 };
            let done: Date32Array =
                try_binary(a.as_primitive::<Date32Type>(), b.as_primitive::<DurationMicrosecondType>(), |day, micros| {
                    if micros % DAY != 0 {
                        let message = "Cannot add hour, minutes or seconds to a date".to_owned();
                        return Err(external(QueryError::InvalidArgument(message)));
                    }
                    i32::try_from(i64::from(day) + sign * (micros / DAY)).map_err(|_| overflow())
                })?;
            Arc::new(done)
        }
        Operation::TimeAdd | Operation::TimeSubtract => {
            let (a, b) = (a.as_primitive::<Time64MicrosecondType>(), b.as_primitive::<DurationMicrosecondType>());
            let sign = if operation == Operation::TimeAdd { 1 } else { -1 };
            let done: Time64MicrosecondArray = binary(a, b, |time, micros| (time + sign * (micros % DAY)).rem_euclid(DAY))?;
            Arc::new(done)
        }
        Operation::Between => {
            let counts = |array: &ArrayRef| -> Result<ArrayRef, ArrowError> {
                match array.data_type() {
                    DataType::Timestamp(_, _) => {
                        Ok(Arc::new(array.as_primitive::<TimestampMicrosecondType>().reinterpret_cast::<Int64Type>()))
                    }
                    _ => cast(array, &DataType::Int64),
                }
            };
            let (a, b) = (counts(a)?, counts(b)?);
            let done: DurationMicrosecondArray =
                try_binary(a.as_primitive::<Int64Type>(), b.as_primitive::<Int64Type>(), |x, y| {
                    x.checked_sub(y).ok_or_else(overflow)
                })?;
            Arc::new(done)
        }
    })
}
