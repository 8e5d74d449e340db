//! Zones and Unix times.

use super::{DAY_US, local};
use crate::query::functions::call::{Call, DoubleOut, TimeOut, bad, each, out_of_range};
use crate::query::functions::{Function, function, typed};
use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Offset, TimeZone};
use datafusion::common::{Result, ScalarValue};
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    vec![
        typed("at_timezone", IN_ZONE, |fields, constants| zoned(fields, constants, 1), at_timezone),
        typed(
            "with_timezone",
            &["(timestamp(3), varchar) -> T"],
            |fields, constants| zoned(fields, constants, 1),
            |call| moments(&call.arrays[0], zone_of(call.returns)),
        ),
        function("timezone", &["(timestamp(3) with time zone) -> varchar"], |call| {
            let name = zone_of(call.arrays[0].data_type()).unwrap_or("UTC").to_owned();
            let values = (0..call.rows).map(|row| call.arrays[0].is_valid(row).then_some(name.as_str()));
            Ok(Arc::new(values.collect::<StringArray>()))
        }),
        function("timezone_hour", &["(timestamp(3) with time zone) -> bigint"], |call| offset(call, |seconds| seconds / 3600)),
        function("timezone_minute", &["(timestamp(3) with time zone) -> bigint"], |call| {
            offset(call, |seconds| seconds / 60 % 60)
        }),
        function("current_timezone", &["() -> varchar"], |call| {
            Ok(Arc::new(StringArray::from_iter_values(std::iter::repeat_n("UTC", call.rows))))
        }),
        typed("from_unixtime", FROM_UNIX, from_unix_type, from_unixtime),
        function("to_unixtime", &["(timestamp(3) with time zone) -> double", "(timestamp(3)) -> double"], |call| {
            let mut out = DoubleOut::with_rows(call.rows);
            let times = call.time(0);
            for row in 0..call.rows {
                out.push(times.is_valid(row).then(|| times.value(row) as f64 / 1e6))?;
            }
            Ok(out.finish())
        }),
        typed(
            "from_unixtime_nanos",
            &["(bigint) -> T", "(decimal(38,0)) -> T"],
            |_, _| Ok(crate::types::TrinoType::TimestampWithZone(9).field_ref("from_unixtime_nanos")),
            |call| {
                let nanos = cast(&call.arrays[0], &DataType::Decimal128(38, 0))?;
                let nanos = nanos.as_primitive::<arrow::datatypes::Decimal128Type>();
                let mut out = TimeOut::with_rows(call.rows);
                for row in 0..call.rows {
                    let value = nanos.is_valid(row).then(|| nanos.value(row).div_euclid(1000));
                    let micros = value.map(|value| i64::try_from(value).map_err(|_| out_of_range("a time is out of range")));
                    out.push(micros.transpose()?)?;
                }
                Ok(Arc::new(cast(&out.finish(), call.returns)?))
            },
        ),
    ]
}

const IN_ZONE: &[&str] = &["(timestamp(3) with time zone, varchar) -> T", "(timestamp(3), varchar) -> T"];
const FROM_UNIX: &[&str] = &["(double) -> T", "(double, varchar) -> T", "(double, bigint, bigint) -> T"];

/// The zone that a type's values are shown in.
pub(super) fn zone_of(data_type: &DataType) -> Option<&str> {
    match data_type {
        DataType::Timestamp(_, Some(zone)) => Some(zone.as_ref()),
        _ => None,
    }
}

pub(super) fn parse(name: &str) -> Result<Tz> {
    name.parse().map_err(|_| bad(format!("'{name}' is not a valid time zone")))
}

pub(super) fn in_zone(name: &str) -> Result<FieldRef> {
    parse(name)?;
    let name = if matches!(name, "Z" | "GMT" | "+00:00") { "UTC" } else { name };
    Ok(Arc::new(Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, Some(name.into())), true)))
}

/// The zone is the type's: it has to be known while planning.
fn zoned(_: &[FieldRef], constants: &[Option<&ScalarValue>], index: usize) -> Result<FieldRef> {
    match constants.get(index).copied().flatten() {
        Some(ScalarValue::Utf8(Some(name)) | ScalarValue::LargeUtf8(Some(name)) | ScalarValue::Utf8View(Some(name))) => {
            in_zone(name)
        }
        Some(value) if value.is_null() => in_zone("UTC"),
        _ => Err(crate::query::QueryError::NotSupported("a time zone that is not a constant".into()).into()),
    }
}

fn at_timezone(call: &Call<'_>) -> Result<ArrayRef> {
    let moments = call.time(0).clone().with_timezone_opt(zone_of(call.returns));
    // A NULL zone makes a NULL time.
    let nulls = arrow::buffer::NullBuffer::union(moments.nulls(), call.arrays[1].nulls());
    Ok(Arc::new(TimestampMicrosecondArray::new(moments.values().clone(), nulls).with_timezone_opt(zone_of(call.returns))))
}

/// Times of the clock in a zone as moments.
pub(super) fn moments(clock: &ArrayRef, zone: Option<&str>) -> Result<ArrayRef> {
    let name = zone.unwrap_or("UTC");
    let tz = parse(name)?;
    let clock = cast(clock, &super::MICROS)?;
    let clock = clock.as_primitive::<TimestampMicrosecondType>();
    let mut out = TimeOut::with_rows(clock.len());
    for row in 0..clock.len() {
        out.push(if clock.is_null(row) { None } else { Some(moment(clock.value(row), &tz)?) })?;
    }
    Ok(cast(&out.finish(), &super::MICROS)?.as_primitive::<TimestampMicrosecondType>().clone().with_timezone(name))
        .map(|array| Arc::new(array) as ArrayRef)
}

/// Of a time that the clock shows twice the earlier moment; one that it skips is as much later.
pub(super) fn moment(clock: i64, tz: &Tz) -> Result<i64> {
    let naive = super::civil(clock).ok_or_else(|| out_of_range("a time is out of range"))?;
    if let Some(moment) = tz.from_local_datetime(&naive).earliest() {
        return Ok(moment.timestamp_micros());
    }
    let before = super::civil(clock - DAY_US).ok_or_else(|| out_of_range("a time is out of range"))?;
    let offset = tz.offset_from_utc_datetime(&before).fix().local_minus_utc();
    Ok(clock - i64::from(offset) * 1_000_000)
}

/// Seconds by which the zone's clock is ahead at a moment.
pub(super) fn ahead(moment: i64, tz: &Tz) -> i64 {
    DateTime::from_timestamp_micros(moment)
        .map_or(0, |time| i64::from(tz.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc()))
}

fn offset(call: &Call<'_>, part: fn(i64) -> i64) -> Result<ArrayRef> {
    let tz = parse(zone_of(call.arrays[0].data_type()).unwrap_or("UTC"))?;
    each!(call, IntOut, |time: 0 time| Some(part(ahead(time, &tz))))
}

fn from_unix_type(fields: &[FieldRef], constants: &[Option<&ScalarValue>]) -> Result<FieldRef> {
    match fields.len() {
        1 => in_zone("UTC"),
        2 => zoned(fields, constants, 1),
        _ => {
            let part = |index: usize| match constants.get(index).copied().flatten().map(|value| value.cast_to(&DataType::Int64)) {
                Some(Ok(ScalarValue::Int64(Some(value)))) => Ok(value),
                _ => Err(crate::query::QueryError::NotSupported("a time zone that is not a constant".into())),
            };
            let (hours, minutes) = (part(1)?, part(2)?);
            let sign = if hours < 0 || minutes < 0 { '-' } else { '+' };
            in_zone(&format!("{sign}{:02}:{:02}", hours.abs(), minutes.abs()))
        }
    }
}

fn from_unixtime(call: &Call<'_>) -> Result<ArrayRef> {
    let seconds = call.double(0);
    let mut out = TimeOut::with_rows(call.rows);
    for row in 0..call.rows {
        if call.arrays.iter().any(|array| array.is_null(row)) {
            out.null();
            continue;
        }
        let value = seconds.value(row);
        if !value.is_finite() || value.abs() >= 8e12 {
            return Err(bad(format!("{value} is not a Unix time in seconds")));
        }
        out.push(Some((value * 1000.0).round() as i64 * 1000))?;
    }
    let moments = out.finish();
    let moments = moments.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(zone_of(call.returns));
    Ok(Arc::new(moments))
}

/// The clock's microseconds, for what formats a time of either kind.
pub(super) fn clocks(array: &ArrayRef) -> Result<TimestampMicrosecondArray> {
    Ok(local(array)?.as_primitive::<TimestampMicrosecondType>().clone())
}
