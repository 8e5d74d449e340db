//! Differences and sums of times, and their beginnings: `date_diff`, `date_add`, `date_trunc`, `last_day_of_month`.

use super::{DAY_US, civil, local, micros};
use crate::query::functions::call::{Call, bad, each};
use crate::query::functions::{Function, function};
use arrow::array::{Array, ArrayRef, AsArray, Int64Builder, TimestampMicrosecondBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use chrono::{Datelike, Months, NaiveDate, NaiveDateTime};
use datafusion::common::Result;
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("date_diff", DIFF, date_diff),
        function("date_add", ADD, date_add),
        function(
            "last_day_of_month",
            &["(date) -> date", "(timestamp(3)) -> date", "(timestamp(3) with time zone) -> date"],
            |call| {
                let days = cast(&local(&call.arrays[0])?, &DataType::Date32)?;
                let arrays = [days];
                let call = Call { arrays: &arrays, ..*call };
                each!(&call, DateOut, |day: 0 date| Some(last_day(day).ok_or_else(|| bad("a date is out of range"))?))
            },
        ),
    ]
}

const DIFF: &[&str] = &[
    "(varchar, date, date) -> bigint",
    "(varchar, timestamp(3), timestamp(3)) -> bigint",
    "(varchar, timestamp(3) with time zone, timestamp(3) with time zone) -> bigint",
];
const ADD: &[&str] = &[
    "(varchar, bigint, date) -> date",
    "(varchar, bigint, timestamp(3)) -> timestamp(3)",
    "(varchar, bigint, timestamp(3) with time zone) -> timestamp(3) with time zone",
];

fn last_day(day: i32) -> Option<i32> {
    let date = NaiveDate::from_epoch_days(day)?;
    let next = date.with_day(1)?.checked_add_months(Months::new(1))?;
    Some(next.to_epoch_days() - 1)
}

/// Whole units from the first time to the second.
fn date_diff(call: &Call<'_>) -> Result<ArrayRef> {
    let units = call.text(0);
    // Both by the clock of the first one's zone.
    let second = match call.arrays[1].data_type() {
        zoned @ DataType::Timestamp(_, Some(_)) => cast(&call.arrays[2], zoned)?,
        _ => Arc::clone(&call.arrays[2]),
    };
    let (from, to) = (local(&call.arrays[1])?, local(&second)?);
    let (from, to) = (from.as_primitive::<TimestampMicrosecondType>(), to.as_primitive::<TimestampMicrosecondType>());
    let mut out = Int64Builder::with_capacity(from.len());
    for row in 0..from.len() {
        if units.is_null(row) || from.is_null(row) || to.is_null(row) {
            out.append_null();
            continue;
        }
        out.append_value(difference(units.value(row), from.value(row), to.value(row))?);
    }
    Ok(Arc::new(out.finish()))
}

fn difference(unit: &str, from: i64, to: i64) -> Result<i64> {
    let apart = to - from;
    if let Some(length) = unit_micros(unit) {
        return Ok(apart / length);
    }
    let per = months_per(unit)?;
    let (Some(start), Some(end)) = (civil(from), civil(to)) else { return Err(bad("a time is out of range")) };
    let months = |time: NaiveDateTime| i64::from(time.year()) * 12 + i64::from(time.month0());
    let mut count = months(end) - months(start);
    // The last month counts when it is whole.
    let in_month = |time: NaiveDateTime| (time.day(), time.time());
    if count > 0 && in_month(end) < in_month(start) && !is_last_day(end) {
        count -= 1;
    } else if count < 0 && in_month(end) > in_month(start) && !is_last_day(start) {
        count += 1;
    }
    Ok(count / per)
}

fn is_last_day(time: NaiveDateTime) -> bool {
    time.date().succ_opt().is_none_or(|next| next.month() != time.month())
}

fn unit_micros(unit: &str) -> Option<i64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "millisecond" => 1_000,
        "second" => 1_000_000,
        "minute" => 60_000_000,
        "hour" => 3_600_000_000,
        "day" => 86_400_000_000,
        "week" => 604_800_000_000,
        _ => return None,
    })
}

fn months_per(unit: &str) -> Result<i64> {
    match unit.to_ascii_lowercase().as_str() {
        "month" => Ok(1),
        "quarter" => Ok(3),
        "year" => Ok(12),
        other => Err(bad(format!("'{other}' is not a valid Timestamp field"))),
    }
}

fn date_add(call: &Call<'_>) -> Result<ArrayRef> {
    let arguments = call.arrays;
    let units = call.text(0);
    let counts = call.int(1);
    let times = local(&arguments[2])?;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let mut out = TimestampMicrosecondBuilder::with_capacity(times.len());
    for row in 0..times.len() {
        if units.is_null(row) || counts.is_null(row) || times.is_null(row) {
            out.append_null();
            continue;
        }
        let unit = units.value(row);
        if *arguments[2].data_type() == DataType::Date32 && unit_micros(unit).is_some_and(|length| length < DAY_US) {
            return Err(bad(format!("'{unit}' is not a valid DATE field")));
        }
        out.append_value(sum(unit, counts.value(row), times.value(row))?);
    }
    let sums: ArrayRef = Arc::new(out.finish());
    match arguments[2].data_type() {
        DataType::Timestamp(_, zone @ Some(_)) => super::zones::moments(&sums, zone.as_deref()),
        DataType::Date32 => Ok(cast(&sums, &DataType::Date32)?),
        _ => Ok(sums),
    }
}

fn sum(unit: &str, count: i64, time: i64) -> Result<i64> {
    let out_of_range = || Err(bad(format!("a time plus {count} {unit} is out of range")));
    if let Some(length) = unit_micros(unit) {
        return count.checked_mul(length).and_then(|length| time.checked_add(length)).map_or_else(out_of_range, Ok);
    }
    let months = months_per(unit)?.checked_mul(count).unwrap_or(i64::MAX);
    let (Some(start), Ok(size)) = (civil(time), u32::try_from(months.unsigned_abs())) else { return out_of_range() };
    let moved =
        if months < 0 { start.checked_sub_months(Months::new(size)) } else { start.checked_add_months(Months::new(size)) };
    moved.map(micros).map_or_else(out_of_range, Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").unwrap()
    }

    #[test]
    fn differences_count_whole_units() {
        let check = |unit: &str, from: &str, to: &str, expected: i64| {
            assert_eq!(difference(unit, micros(time(from)), micros(time(to))).unwrap(), expected, "{unit} {from} {to}");
        };
        check("day", "2024-01-01 12:00:00", "2024-01-03 11:00:00", 1);
        check("month", "2024-01-31 00:00:00", "2024-02-29 00:00:00", 1);
        check("month", "2024-01-15 00:00:00", "2024-03-14 00:00:00", 1);
        check("month", "2024-03-14 00:00:00", "2024-01-15 00:00:00", -1);
        check("year", "2020-06-01 00:00:00", "2024-05-31 00:00:00", 3);
        check("hour", "2024-01-02 00:00:00", "2024-01-01 22:30:00", -1);
    }

    #[test]
    fn months_end_where_the_shorter_one_does() {
        let moved = sum("month", 1, micros(time("2024-01-31 10:00:00"))).unwrap();
        assert_eq!(civil(moved).unwrap(), time("2024-02-29 10:00:00"));
    }
}
