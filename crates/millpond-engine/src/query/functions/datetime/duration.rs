//! Lengths of time.

use crate::query::functions::call::{Call, bad, each};
use crate::query::functions::{Function, function};
use arrow::array::{Array, ArrayRef, AsArray, DurationMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, DurationMicrosecondType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::common::Result;
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("parse_duration", &["(varchar) -> interval day to second"], parse_duration),
        function("to_milliseconds", &["(interval day to second) -> bigint"], |call| {
            let micros = micros(&call.arrays[0])?;
            Ok(Arc::new(micros.iter().map(|value| value.map(|micros| micros / 1000)).collect::<arrow::array::Int64Array>()))
        }),
        function("human_readable_seconds", &["(double) -> varchar"], |call| {
            each!(call, TextOut, |seconds: 0 double| {
                if !seconds.is_finite() {
                    return Err(bad("Invalid argument found: the seconds are not a number"));
                }
                Some(readable(seconds.round() as i64))
            })
        }),
    ]
}

/// Intervals of days and less, in whatever form they have.
pub(super) fn micros(intervals: &ArrayRef) -> Result<DurationMicrosecondArray> {
    if let DataType::Interval(_) = intervals.data_type() {
        let parts = cast(intervals, &DataType::Interval(IntervalUnit::MonthDayNano))?;
        let parts = parts.as_primitive::<IntervalMonthDayNanoType>();
        let whole =
            |value: arrow::datatypes::IntervalMonthDayNano| i64::from(value.days) * super::DAY_US + value.nanoseconds / 1000;
        return Ok(parts.iter().map(|value| value.map(whole)).collect());
    }
    Ok(cast(intervals, &DataType::Duration(TimeUnit::Microsecond))?.as_primitive::<DurationMicrosecondType>().clone())
}

/// A number and a unit: `42.8ms`, `3.81 d`; kept in milliseconds.
fn parse_duration(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.text(0);
    let mut out = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        if texts.is_null(row) {
            out.push(None);
            continue;
        }
        let text = texts.value(row);
        out.push(Some(duration(text).ok_or_else(|| {
            bad(format!("Invalid duration: '{text}'. A duration is a number and one of ns, us, ms, s, m, h, d"))
        })?));
    }
    Ok(Arc::new(DurationMicrosecondArray::from(out)))
}

fn duration(text: &str) -> Option<i64> {
    let end = text.find(|one: char| !one.is_ascii_digit() && one != '.')?;
    let value: f64 = text[..end].parse().ok()?;
    let ms = match text[end..].trim() {
        "ns" => 1e-6,
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 6e4,
        "h" => 3.6e6,
        "d" => 8.64e7,
        _ => return None,
    };
    let ms = (value * ms).round();
    (ms.abs() < 9e15).then_some(ms as i64 * 1000)
}

fn readable(seconds: i64) -> String {
    let mut rest = seconds.unsigned_abs();
    let mut parts = Vec::new();
    for (name, length) in [("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)] {
        let count = rest / length;
        rest %= length;
        if count > 0 || (name == "second" && parts.is_empty()) {
            parts.push(format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
        }
    }
    format!("{}{}", if seconds < 0 { "-" } else { "" }, parts.join(", "))
}
