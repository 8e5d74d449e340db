//! ISO 8601 (Trino documentation, `from_iso8601_timestamp`, `from_iso8601_date`, `to_iso8601`).

use super::zones::{ahead, clocks, in_zone, parse, zone_of};
use super::{DAY_US, civil, micros};
use crate::query::functions::call::{Call, TextOut, TimeOut, bad, each};
use crate::query::functions::{Function, function, typed};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{FieldRef, TimestampMicrosecondType};
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};
use datafusion::common::{Result, ScalarValue};
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    vec![
        typed("from_iso8601_timestamp", TIMESTAMP, zone_of_constant, from_timestamp::<false>),
        typed("try_from_iso8601_timestamp", TIMESTAMP, zone_of_constant, from_timestamp::<true>),
        function("from_iso8601_timestamp_nanos", &["(varchar) -> timestamp(9) with time zone"], from_timestamp::<false>),
        function(
            "from_iso8601_date",
            &["(varchar) -> date"],
            |call| each!(call, DateOut, |text: 0 text| Some(date(text).ok_or_else(|| bad(format!("Invalid format: \"{text}\" is not an ISO 8601 date")))?.to_epoch_days())),
        ),
        function(
            "try_from_iso8601_date",
            &["(varchar) -> date"],
            |call| each!(call, DateOut, |text: 0 text| date(text).map(|date| date.to_epoch_days())),
        ),
        function(
            "to_iso8601",
            &["(date) -> varchar", "(timestamp(3)) -> varchar", "(timestamp(3) with time zone) -> varchar"],
            to_iso8601,
        ),
    ]
}

const TIMESTAMP: &[&str] = &["(varchar) -> timestamp(3) with time zone"];

/// A calendar's, week's or ordinal date, whose last parts may be missing.
fn date(text: &str) -> Option<NaiveDate> {
    let digits = |text: &str, count: usize| {
        (text.len() == count && text.bytes().all(|one| one.is_ascii_digit())).then(|| text.parse::<u32>().ok()).flatten()
    };
    let parts: Vec<&str> = text.split('-').collect();
    let year = i32::try_from(digits(parts.first()?, 4)?).ok()?;
    match parts[1..] {
        [] => NaiveDate::from_ymd_opt(year, 1, 1),
        [week] if week.starts_with('W') => NaiveDate::from_isoywd_opt(year, digits(&week[1..], 2)?, Weekday::Mon),
        [week, day] if week.starts_with('W') => {
            let day = digits(day, 1).filter(|day| (1..=7).contains(day))?;
            let weekday = Weekday::try_from(u8::try_from(day - 1).ok()?).ok()?;
            NaiveDate::from_isoywd_opt(year, digits(&week[1..], 2)?, weekday)
        }
        [ordinal] if ordinal.len() == 3 => NaiveDate::from_yo_opt(year, digits(ordinal, 3)?),
        [month] => NaiveDate::from_ymd_opt(year, digits(month, 2)?, 1),
        [month, day] => NaiveDate::from_ymd_opt(year, digits(month, 2)?, digits(day, 2)?),
        _ => None,
    }
}

/// Microseconds of the clock, and by how many seconds it is ahead.
fn timestamp(text: &str) -> Option<(i64, i64)> {
    let Some((day, clock)) = text.split_once('T') else { return Some((micros(date(text)?.and_time(NaiveTime::MIN)), 0)) };
    let zone = clock.find(['Z', '+', '-']).unwrap_or(clock.len());
    let (clock, zone) = clock.split_at(zone);
    let formats = ["%H:%M:%S%.f", "%H:%M", "%H"];
    let clock = match clock.len() {
        // chrono wants minutes beside hours.
        2 => NaiveTime::from_hms_opt(clock.parse().ok()?, 0, 0)?,
        _ => formats.iter().find_map(|format| NaiveTime::parse_from_str(clock, format).ok())?,
    };
    let ahead = match zone {
        "" | "Z" => 0,
        offset => {
            let sign = if offset.starts_with('-') { -1 } else { 1 };
            let digits = offset[1..].replace(':', "");
            let (hours, minutes) = match digits.len() {
                2 => (digits.parse::<i64>().ok()?, 0),
                4 => (digits.get(..2)?.parse::<i64>().ok()?, digits.get(2..)?.parse::<i64>().ok()?),
                _ => return None,
            };
            sign * (hours * 3600 + minutes * 60)
        }
    };
    Some((micros(NaiveDateTime::new(date(day)?, clock)), ahead))
}

/// The zone of a column's times is one for all: that of a constant, else UTC.
fn zone_of_constant(_: &[FieldRef], constants: &[Option<&ScalarValue>]) -> Result<FieldRef> {
    let text = match constants.first().copied().flatten() {
        Some(ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text)) => text.as_deref(),
        _ => None,
    };
    let ahead = text.and_then(timestamp).map_or(0, |(_, ahead)| ahead);
    let sign = if ahead < 0 { '-' } else { '+' };
    in_zone(&format!("{sign}{:02}:{:02}", ahead.abs() / 3600, ahead.abs() / 60 % 60))
}

fn from_timestamp<const LENIENT: bool>(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.text(0);
    let mut out = TimeOut::with_rows(call.rows);
    for row in 0..call.rows {
        if texts.is_null(row) {
            out.null();
            continue;
        }
        match timestamp(texts.value(row)) {
            Some((clock, ahead)) => out.push(Some(clock - ahead * 1_000_000))?,
            None if LENIENT => out.null(),
            None => return Err(bad(format!("Invalid format: \"{}\" is not an ISO 8601 time", texts.value(row)))),
        }
    }
    let moments = out.finish();
    let moments = moments.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(zone_of(call.returns));
    Ok(Arc::new(moments))
}

fn to_iso8601(call: &Call<'_>) -> Result<ArrayRef> {
    let given = &call.arrays[0];
    let clock = clocks(given)?;
    let zone = zone_of(given.data_type()).map(parse).transpose()?;
    let moments = zone.is_some().then(|| call.time(0));
    let mut out = TextOut::with_rows(call.rows);
    for row in 0..call.rows {
        if clock.is_null(row) {
            out.null();
            continue;
        }
        let time = civil(clock.value(row)).ok_or_else(|| bad("a time is out of range"))?;
        let mut text = format!("{:04}-{:02}-{:02}", time.year(), time.month(), time.day());
        if *given.data_type() != arrow::datatypes::DataType::Date32 {
            let ms = clock.value(row).rem_euclid(DAY_US) / 1000 % 1000;
            text.push_str(&format!("T{:02}:{:02}:{:02}.{ms:03}", time.hour(), time.minute(), time.second()));
        }
        if let (Some(zone), Some(moments)) = (&zone, moments) {
            match ahead(moments.value(row), zone) {
                0 => text.push('Z'),
                seconds => {
                    let sign = if seconds < 0 { '-' } else { '+' };
                    text.push_str(&format!("{sign}{:02}:{:02}", seconds.abs() / 3600, seconds.abs() / 60 % 60));
                }
            }
        }
        out.push(Some(text))?;
    }
    Ok(out.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_dates_have_three_forms() {
        for (text, want) in [
            ("2020-05-11", "2020-05-11"),
            ("2020-W10", "2020-03-02"),
            ("2020-W10-3", "2020-03-04"),
            ("2020-123", "2020-05-02"),
            ("2020-05", "2020-05-01"),
        ] {
            assert_eq!(date(text).unwrap().to_string(), want, "{text}");
        }
        for text in ["2020-13-01", "2020-W60", "20-1-1", "2020-05-11x", "", "W", "2020-Wé"] {
            assert!(date(text).is_none(), "{text}");
        }
        assert_eq!(timestamp("1970-01-01T01:00:00.5+01:00"), Some((3_600_500_000, 3600)));
        assert!(timestamp("1970-01-01T01:00:00+1").is_none() && timestamp("1970-01-01Té").is_none());
    }
}
