//! Fields of dates, times and intervals: `year(x)`, `hour(x)` and their kin.

use super::{DAY_US, civil, duration, zones};
use crate::query::functions::call::{Call, IntOut, bad};
use crate::query::functions::{Function, function};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit};
use chrono::{Datelike, NaiveDateTime, Timelike};
use datafusion::common::Result;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("year", YEARS, |call| field(call, |time| i64::from(time.year()), Some(|months| months / 12), None)),
        function("quarter", DAYS, |call| field(call, |time| i64::from(time.month0() / 3 + 1), None, None)),
        function("month", YEARS, |call| field(call, |time| i64::from(time.month()), Some(|months| months % 12), None)),
        function("week", DAYS, week),
        function("week_of_year", DAYS, week),
        function("year_of_week", DAYS, year_of_week),
        function("yow", DAYS, year_of_week),
        function("day", DAY, day),
        function("day_of_month", DAY, day),
        function("day_of_week", DAYS, day_of_week),
        function("dow", DAYS, day_of_week),
        function("day_of_year", DAYS, day_of_year),
        function("doy", DAYS, day_of_year),
        function("hour", TIMES, |call| {
            field(call, |time| i64::from(time.hour()), None, Some(|micros| micros / 3_600_000_000 % 24))
        }),
        function("minute", TIMES, |call| {
            field(call, |time| i64::from(time.minute()), None, Some(|micros| micros / 60_000_000 % 60))
        }),
        function("second", TIMES, |call| {
            field(call, |time| i64::from(time.second()), None, Some(|micros| micros / 1_000_000 % 60))
        }),
        function("millisecond", TIMES, |call| {
            field(call, |time| i64::from(time.nanosecond() / 1_000_000 % 1000), None, Some(|micros| micros / 1000 % 1000))
        }),
    ]
}

const DAYS: &[&str] = &["(date) -> bigint", "(timestamp(3)) -> bigint", "(timestamp(3) with time zone) -> bigint"];
const YEARS: &[&str] = &[
    "(date) -> bigint",
    "(timestamp(3)) -> bigint",
    "(timestamp(3) with time zone) -> bigint",
    "(interval year to month) -> bigint",
    "(interval day to second) -> bigint",
];
const DAY: &[&str] = &[
    "(date) -> bigint",
    "(timestamp(3)) -> bigint",
    "(timestamp(3) with time zone) -> bigint",
    "(interval day to second) -> bigint",
];
const TIMES: &[&str] = &[
    "(timestamp(3)) -> bigint",
    "(timestamp(3) with time zone) -> bigint",
    "(time(3)) -> bigint",
    "(interval day to second) -> bigint",
];

fn week(call: &Call<'_>) -> Result<ArrayRef> {
    field(call, |time| i64::from(time.iso_week().week()), None, None)
}

fn year_of_week(call: &Call<'_>) -> Result<ArrayRef> {
    field(call, |time| i64::from(time.iso_week().year()), None, None)
}

fn day(call: &Call<'_>) -> Result<ArrayRef> {
    field(call, |time| i64::from(time.day()), None, Some(|micros| micros / DAY_US))
}

/// Monday is 1.
fn day_of_week(call: &Call<'_>) -> Result<ArrayRef> {
    field(call, |time| i64::from(time.weekday().number_from_monday()), None, None)
}

fn day_of_year(call: &Call<'_>) -> Result<ArrayRef> {
    field(call, |time| i64::from(time.ordinal()), None, None)
}

/// A field of times; of intervals by their months, or by the microseconds of those of days.
fn field(
    call: &Call<'_>,
    of_time: fn(NaiveDateTime) -> i64,
    of_months: Option<fn(i64) -> i64>,
    of_micros: Option<fn(i64) -> i64>,
) -> Result<ArrayRef> {
    let given = &call.arrays[0];
    let mut out = IntOut::with_rows(call.rows);
    match given.data_type() {
        DataType::Interval(_) | DataType::Duration(_) => {
            if let (DataType::Interval(_), Some(of_months)) = (given.data_type(), of_months) {
                let parts = cast(given, &DataType::Interval(IntervalUnit::MonthDayNano))?;
                let parts = parts.as_primitive::<IntervalMonthDayNanoType>();
                for row in 0..call.rows {
                    out.push(parts.is_valid(row).then(|| of_months(i64::from(parts.value(row).months))))?;
                }
                return Ok(out.finish());
            }
            let micros = duration::micros(given)?;
            let of_micros = of_micros.ok_or_else(|| bad("an interval of days has no such field"))?;
            for row in 0..call.rows {
                out.push(micros.is_valid(row).then(|| of_micros(micros.value(row))))?;
            }
        }
        DataType::Time64(_) | DataType::Time32(_) => {
            let micros = cast(given, &DataType::Time64(TimeUnit::Microsecond))?;
            let micros = micros.as_primitive::<Time64MicrosecondType>();
            for row in 0..call.rows {
                out.push(micros.is_valid(row).then(|| civil(micros.value(row)).map_or(0, of_time)))?;
            }
        }
        _ => {
            let clock = zones::clocks(given)?;
            for row in 0..call.rows {
                let time = clock.is_valid(row).then(|| civil(clock.value(row)).ok_or_else(|| bad("a time is out of range")));
                out.push(time.transpose()?.map(of_time))?;
            }
        }
    }
    Ok(out.finish())
}
