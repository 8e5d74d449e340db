//! `sequence`: from a value to another by steps.

use crate::query::functions::call::{Call, bad, list};
use crate::query::functions::limits::Room;
use crate::query::functions::{Function, function};
use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, TimestampMicrosecondArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, DurationMicrosecondType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, TimeUnit,
};
use chrono::{DateTime, Months, NaiveDate};
use datafusion::common::Result;
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    vec![function("sequence", SEQUENCE, sequence)]
}

const SEQUENCE: &[&str] = &[
    "(bigint, bigint) -> array(bigint)",
    "(bigint, bigint, bigint) -> array(bigint)",
    "(date, date) -> array(date)",
    "(date, date, interval day to second) -> array(date)",
    "(date, date, interval year to month) -> array(date)",
    "(timestamp(3), timestamp(3), interval day to second) -> array(timestamp(3))",
    "(timestamp(3), timestamp(3), interval year to month) -> array(timestamp(3))",
];

/// As Trino: longer ones are not made.
const ENTRIES_MAX: i128 = 10_000;
const DAY_US: i64 = 86_400_000_000;

/// From one value to the next.
#[derive(Clone, Copy)]
enum Step {
    /// In units of the values: one, days, microseconds.
    By(i64),
    Months(i32),
}

fn sequence(call: &Call<'_>) -> Result<ArrayRef> {
    let kind = call.arrays[0].data_type().clone();
    let number = |array: &ArrayRef| -> Result<ArrayRef> {
        let plain = if kind == DataType::Date32 { cast(array, &DataType::Int32)? } else { Arc::clone(array) };
        Ok(cast(&plain, &DataType::Int64)?)
    };
    let (starts, stops) = (number(&call.arrays[0])?, number(&call.arrays[1])?);
    let (starts, stops) =
        (starts.as_primitive::<arrow::datatypes::Int64Type>(), stops.as_primitive::<arrow::datatypes::Int64Type>());
    let (mut out, mut offsets, mut valid) = (Vec::new(), vec![0i32], Vec::with_capacity(call.rows));
    for row in 0..call.rows {
        let there = call.arrays.iter().all(|array| array.is_valid(row));
        if there {
            let (start, stop) = (starts.value(row), stops.value(row));
            let step = match call.arrays.get(2) {
                Some(steps) => step(steps, row, kind == DataType::Date32)?,
                None => Step::By(if start <= stop { 1 } else { -1 }),
            };
            fill(start, stop, step, kind == DataType::Date32, &mut out)?;
        }
        Room::of(call.rows).check("the arrays of a batch", 0, out.len())?;
        offsets.push(out.len() as i32);
        valid.push(there);
    }
    let items: ArrayRef = match kind {
        DataType::Date32 => Arc::new(Date32Array::from_iter_values(out.into_iter().map(|days| days as i32))),
        DataType::Timestamp(_, zone) => Arc::new(TimestampMicrosecondArray::from(out).with_timezone_opt(zone)),
        _ => Arc::new(Int64Array::from(out)),
    };
    list(items, OffsetBuffer::new(offsets.into()), Some(valid.into()))
}

fn step(steps: &ArrayRef, row: usize, days: bool) -> Result<Step> {
    let micros = |micros: i64| match days {
        false => Ok(Step::By(micros)),
        true if micros % DAY_US == 0 => Ok(Step::By(micros / DAY_US)),
        true => Err(bad("sequence step must be a day interval if start and end values are dates")),
    };
    match steps.data_type() {
        DataType::Interval(IntervalUnit::YearMonth) => Ok(Step::Months(steps.as_primitive::<IntervalYearMonthType>().value(row))),
        DataType::Interval(_) => {
            let parts = cast(steps, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            let value = parts.as_primitive::<IntervalMonthDayNanoType>().value(row);
            if value.months != 0 {
                return Ok(Step::Months(value.months));
            }
            micros(i64::from(value.days) * DAY_US + value.nanoseconds / 1000)
        }
        DataType::Duration(_) => {
            let parts = cast(steps, &DataType::Duration(TimeUnit::Microsecond))?;
            micros(parts.as_primitive::<DurationMicrosecondType>().value(row))
        }
        _ => Ok(Step::By(cast(steps, &DataType::Int64)?.as_primitive::<arrow::datatypes::Int64Type>().value(row))),
    }
}

fn fill(start: i64, stop: i64, step: Step, days: bool, out: &mut Vec<i64>) -> Result<()> {
    let size = match step {
        Step::By(by) => by,
        Step::Months(months) => i64::from(months),
    };
    if size == 0 {
        return Err(bad("step must not be zero"));
    }
    if (size > 0) != (stop >= start) && start != stop {
        return Err(bad(
            "sequence stop value should be greater than or equal to start value if step is greater than zero otherwise stop should be less than or equal to start",
        ));
    }
    let too_many = || bad(format!("result of sequence function must not have more than {ENTRIES_MAX} entries"));
    match step {
        Step::By(by) => {
            let count = (i128::from(stop) - i128::from(start)) / i128::from(by) + 1;
            if count > ENTRIES_MAX {
                return Err(too_many());
            }
            out.extend((0..i64::try_from(count).unwrap_or(0)).map(|index| start.wrapping_add(index.wrapping_mul(by))));
        }
        Step::Months(months) => {
            for index in 0.. {
                let Some(value) = months.checked_mul(index).and_then(|months| add_months(start, months, days)) else { break };
                if (months > 0 && value > stop) || (months < 0 && value < stop) {
                    break;
                }
                if i128::from(index) >= ENTRIES_MAX {
                    return Err(too_many());
                }
                out.push(value);
            }
        }
    }
    Ok(())
}

/// A day or time so many months later; the day of the month is at most the last there is.
fn add_months(value: i64, months: i32, days: bool) -> Option<i64> {
    let by = Months::new(months.unsigned_abs());
    if days {
        let date = NaiveDate::from_epoch_days(i32::try_from(value).ok()?)?;
        let moved = if months >= 0 { date.checked_add_months(by)? } else { date.checked_sub_months(by)? };
        return Some(i64::from(moved.to_epoch_days()));
    }
    let time = DateTime::from_timestamp_micros(value)?.naive_utc();
    let moved = if months >= 0 { time.checked_add_months(by)? } else { time.checked_sub_months(by)? };
    Some(moved.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_ranges_are_refused() {
        let mut out = Vec::new();
        assert!(fill(i64::MIN, i64::MAX, Step::By(1), false, &mut out).is_err());
        assert!(fill(0, i64::MAX, Step::Months(1), false, &mut out).is_err());
        assert!(fill(1, 5, Step::By(-1), false, &mut out).is_err());
    }
}
