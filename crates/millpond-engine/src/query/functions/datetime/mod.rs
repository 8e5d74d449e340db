//! Dates and times (Trino documentation, "Date and time functions and operators"). A time with a zone is a moment that is shown in its column's
//! zone; fields and formats of it are those of the clock in that zone.

mod arithmetic;
mod duration;
mod fields;
mod iso;
mod joda;
mod mysql;
mod zones;

use super::Function;
use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDateTime};
use datafusion::common::Result;
use std::sync::Arc;

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const DAY_US: i64 = 86_400_000_000;

/// A time and its format.
const FORMAT: &[&str] =
    &["(date, varchar) -> varchar", "(timestamp(3), varchar) -> varchar", "(timestamp(3) with time zone, varchar) -> varchar"];

pub(super) fn functions() -> Vec<Function> {
    let mut all = mysql::functions();
    all.extend(arithmetic::functions());
    all.extend(iso::functions());
    all.extend(zones::functions());
    all.extend(joda::functions());
    all.extend(duration::functions());
    all.extend(fields::functions());
    all
}

/// Dates and times as microseconds of the clock in their zone.
fn local(array: &ArrayRef) -> Result<ArrayRef> {
    let times = cast(array, &MICROS)?;
    let Some(zone) = zones::zone_of(array.data_type()) else { return Ok(times) };
    let zone = zones::parse(zone)?;
    // Arrow drops the zone, and keeps the moment.
    let clock = |moment: i64| moment.saturating_add(zones::ahead(moment, &zone).saturating_mul(1_000_000));
    Ok(Arc::new(times.as_primitive::<TimestampMicrosecondType>().unary::<_, TimestampMicrosecondType>(clock)))
}

fn civil(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|time| time.naive_utc())
}

fn micros(time: NaiveDateTime) -> i64 {
    time.and_utc().timestamp_micros()
}
