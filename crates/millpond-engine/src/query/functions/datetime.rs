//! Dates and times: MySQL's formats (`date_format`, `date_parse`), Unix and ISO 8601 times, differences and sums.

use super::old::{arity, bad, simple, strings};
use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Builder, Float64Array, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        simple("date_format", |types| arity("date_format", types, &[2]).map(|()| DataType::Utf8), date_format),
        simple("date_parse", |types| arity("date_parse", types, &[2]).map(|()| MICROS), date_parse::<false>),
        simple("try_date_parse", |types| arity("date_parse", types, &[2]).map(|()| MICROS), date_parse::<true>),
        simple("from_unixtime", |types| arity("from_unixtime", types, &[1]).map(|()| utc()), from_unixtime),
        simple(
            "to_unixtime",
            |types| arity("to_unixtime", types, &[1]).map(|()| DataType::Float64),
            |arguments| {
                let times = times(&arguments[0])?;
                let times = times.as_primitive::<TimestampMicrosecondType>();
                Ok(Arc::new(times.iter().map(|time| time.map(|micros| micros as f64 / 1e6)).collect::<Float64Array>()))
            },
        ),
        simple(
            "from_iso8601_timestamp",
            |types| arity("from_iso8601_timestamp", types, &[1]).map(|()| utc()),
            from_iso8601_timestamp::<false>,
        ),
        simple(
            "try_from_iso8601_timestamp",
            |types| arity("from_iso8601_timestamp", types, &[1]).map(|()| utc()),
            from_iso8601_timestamp::<true>,
        ),
        simple(
            "from_iso8601_date",
            |types| arity("from_iso8601_date", types, &[1]).map(|()| DataType::Date32),
            from_iso8601_date::<false>,
        ),
        simple(
            "try_from_iso8601_date",
            |types| arity("from_iso8601_date", types, &[1]).map(|()| DataType::Date32),
            from_iso8601_date::<true>,
        ),
        simple("date_diff", |types| arity("date_diff", types, &[3]).map(|()| DataType::Int64), date_diff),
        simple(
            "date_add",
            |types| {
                arity("date_add", types, &[3])?;
                Ok(if types[2] == DataType::Date32 { DataType::Date32 } else { MICROS })
            },
            date_add,
        ),
    ]
}

/// Dates, times with and without zone, and texts, as microseconds.
fn times(array: &ArrayRef) -> Result<ArrayRef> {
    let naive = match array.data_type() {
        DataType::Timestamp(_, Some(_)) => cast(array, &utc())?,
        _ => Arc::clone(array),
    };
    Ok(cast(&naive, &MICROS)?)
}

fn civil(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|time| time.naive_utc())
}

fn micros(time: NaiveDateTime) -> i64 {
    time.and_utc().timestamp_micros()
}

fn date_format(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let times = times(&arguments[0])?;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let formats = strings(&arguments[1])?;
    let mut out = StringBuilder::with_capacity(times.len(), 0);
    let mut text = String::new();
    for row in 0..times.len() {
        if times.is_null(row) || formats.is_null(row) {
            out.append_null();
            continue;
        }
        let Some(time) = civil(times.value(row)) else { return bad("a time is out of range".into()) };
        text.clear();
        format(time, formats.value(row), &mut text)?;
        out.append_value(&text);
    }
    Ok(Arc::new(out.finish()))
}

/// MySQL's specifiers, as Trino takes them (Trino documentation, "Date and time functions: MySQL date functions").
fn format(time: NaiveDateTime, format: &str, out: &mut String) -> Result<()> {
    use std::fmt::Write;
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let Some(specifier) = characters.next() else { break };
        let hour12 = (time.hour() + 11) % 12 + 1;
        let written = match specifier {
            'a' => write!(out, "{}", time.format("%a")),
            'b' => write!(out, "{}", time.format("%b")),
            'c' => write!(out, "{}", time.month()),
            'd' => write!(out, "{:02}", time.day()),
            'e' => write!(out, "{}", time.day()),
            'f' => write!(out, "{:06}", time.nanosecond() / 1000),
            'H' => write!(out, "{:02}", time.hour()),
            'h' | 'I' => write!(out, "{hour12:02}"),
            'i' => write!(out, "{:02}", time.minute()),
            'j' => write!(out, "{:03}", time.ordinal()),
            'k' => write!(out, "{}", time.hour()),
            'l' => write!(out, "{hour12}"),
            'M' => write!(out, "{}", time.format("%B")),
            'm' => write!(out, "{:02}", time.month()),
            'p' => write!(out, "{}", if time.hour() < 12 { "AM" } else { "PM" }),
            'r' => write!(
                out,
                "{hour12:02}:{:02}:{:02} {}",
                time.minute(),
                time.second(),
                if time.hour() < 12 { "AM" } else { "PM" }
            ),
            'S' | 's' => write!(out, "{:02}", time.second()),
            'T' => write!(out, "{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second()),
            'v' => write!(out, "{:02}", time.iso_week().week()),
            'W' => write!(out, "{}", time.format("%A")),
            'x' => write!(out, "{:04}", time.iso_week().year()),
            'Y' => write!(out, "{:04}", time.year()),
            'y' => write!(out, "{:02}", time.year().rem_euclid(100)),
            '%' => write!(out, "%"),
            'D' | 'U' | 'u' | 'V' | 'w' | 'X' => return bad(format!("%{specifier} not supported in date format string")),
            other => write!(out, "{other}"),
        };
        written.expect("writing to a String does not fail");
    }
    Ok(())
}

/// `LENIENT`: what does not fit is NULL.
fn date_parse<const LENIENT: bool>(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, formats) = (strings(&arguments[0])?, strings(&arguments[1])?);
    let mut out = TimestampMicrosecondBuilder::with_capacity(texts.len());
    for row in 0..texts.len() {
        if texts.is_null(row) || formats.is_null(row) {
            out.append_null();
            continue;
        }
        match parse(texts.value(row), formats.value(row)) {
            Err(_) if LENIENT => out.append_null(),
            parsed => out.append_value(micros(parsed?)),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// What a text said of a time; what it did not say is the beginning of 1970.
struct Parts {
    year: i32,
    month: u32,
    day: u32,
    ordinal: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    micro: u32,
    /// Whether the hour counts to 12, and the afternoon's do.
    afternoon: Option<bool>,
}

fn parse(text: &str, format: &str) -> Result<NaiveDateTime> {
    let mut parts =
        Parts { year: 1970, month: 1, day: 1, ordinal: None, hour: 0, minute: 0, second: 0, micro: 0, afternoon: None };
    let mut rest = text;
    let mut characters = format.chars();
    let mut good = true;
    while let Some(character) = characters.next() {
        let step = match character {
            '%' => match characters.next() {
                Some(specifier) => take(&mut parts, specifier, &mut rest)?,
                None => false,
            },
            literal => rest.strip_prefix(literal).map(|after| rest = after).is_some(),
        };
        good = good && step;
        if !good {
            break;
        }
    }
    let time = (good && rest.is_empty()).then(|| parts.time()).flatten();
    time.map_or_else(|| bad(format!("Invalid format: \"{text}\" does not match '{format}'")), Ok)
}

impl Parts {
    fn time(&self) -> Option<NaiveDateTime> {
        let hour = match self.afternoon {
            Some(afternoon) if (1..=12).contains(&self.hour) => self.hour % 12 + if afternoon { 12 } else { 0 },
            Some(_) => return None,
            None => self.hour,
        };
        let date = match self.ordinal {
            Some(ordinal) => NaiveDate::from_yo_opt(self.year, ordinal)?,
            None => NaiveDate::from_ymd_opt(self.year, self.month, self.day)?,
        };
        Some(date.and_time(NaiveTime::from_hms_micro_opt(hour, self.minute, self.second, self.micro)?))
    }
}

/// Takes what a specifier stands for from the front of `rest`.
fn take(parts: &mut Parts, specifier: char, rest: &mut &str) -> Result<bool> {
    let mut number = |digits_max: usize| -> Option<u32> {
        let digits = rest.bytes().take(digits_max).take_while(u8::is_ascii_digit).count();
        let value = rest[..digits].parse().ok()?;
        *rest = &rest[digits..];
        Some(value)
    };
    let set = |place: &mut u32, value: Option<u32>| value.map(|value| *place = value).is_some();
    Ok(match specifier {
        'Y' => number(4).and_then(|year| i32::try_from(year).ok()).map(|year| parts.year = year).is_some(),
        'y' => match number(2).and_then(|year| i32::try_from(year).ok()) {
            Some(year) => {
                parts.year = if year < 70 { 2000 + year } else { 1900 + year };
                true
            }
            None => false,
        },
        'm' | 'c' => set(&mut parts.month, number(2)),
        'd' | 'e' => set(&mut parts.day, number(2)),
        'j' => number(3).map(|ordinal| parts.ordinal = Some(ordinal)).is_some(),
        'H' | 'k' => set(&mut parts.hour, number(2)),
        'h' | 'I' | 'l' => {
            parts.afternoon.get_or_insert(false);
            set(&mut parts.hour, number(2))
        }
        'i' => set(&mut parts.minute, number(2)),
        's' | 'S' => set(&mut parts.second, number(2)),
        'f' => fraction(parts, rest),
        'T' => {
            take(parts, 'H', rest)?
                && literal(rest, ':')
                && take(parts, 'i', rest)?
                && literal(rest, ':')
                && take(parts, 's', rest)?
        }
        'r' => {
            take(parts, 'h', rest)?
                && literal(rest, ':')
                && take(parts, 'i', rest)?
                && literal(rest, ':')
                && take(parts, 's', rest)?
                && literal(rest, ' ')
                && take(parts, 'p', rest)?
        }
        'p' => half(parts, rest),
        'b' | 'M' => match name(rest, &MONTHS, specifier == 'M') {
            Some(index) => set(&mut parts.month, u32::try_from(index + 1).ok()),
            None => false,
        },
        'a' | 'W' => name(rest, &WEEKDAYS, specifier == 'W').is_some(),
        '%' => literal(rest, '%'),
        other => return bad(format!("%{other} not supported in date format string")),
    })
}

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn literal(rest: &mut &str, expected: char) -> bool {
    rest.strip_prefix(expected).map(|after| *rest = after).is_some()
}

fn fraction(parts: &mut Parts, rest: &mut &str) -> bool {
    let digits = rest.bytes().take(9).take_while(u8::is_ascii_digit).count();
    let padded = format!("{:0<6}", &rest[..digits]);
    *rest = &rest[digits..];
    digits > 0 && padded[..6].parse().map(|micro| parts.micro = micro).is_ok()
}

fn half(parts: &mut Parts, rest: &mut &str) -> bool {
    let Some(text) = rest.get(..2) else { return false };
    let afternoon = match text.to_ascii_uppercase().as_str() {
        "AM" => false,
        "PM" => true,
        _ => return false,
    };
    parts.afternoon = Some(afternoon);
    *rest = &rest[2..];
    true
}

/// A name, in full or by its first three letters, in any case.
fn name(rest: &mut &str, names: &[&str], full: bool) -> Option<usize> {
    let index = names.iter().position(|name| {
        let wanted = if full { name } else { &name[..3] };
        rest.get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted))
    })?;
    *rest = &rest[if full { names[index].len() } else { 3 }..];
    Some(index)
}

fn from_unixtime(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let seconds = cast(&arguments[0], &DataType::Float64)?;
    let seconds = seconds.as_primitive::<Float64Type>();
    let mut out = TimestampMicrosecondBuilder::with_capacity(seconds.len()).with_timezone("UTC");
    for value in seconds {
        match value {
            Some(value) if value.is_finite() && value.abs() < 8e12 => out.append_value((value * 1000.0).round() as i64 * 1000),
            Some(value) => return bad(format!("{value} is not a Unix time in seconds")),
            None => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn from_iso8601_timestamp<const LENIENT: bool>(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = strings(&arguments[0])?;
    let mut out = TimestampMicrosecondBuilder::with_capacity(texts.len()).with_timezone("UTC");
    for text in &texts {
        let Some(text) = text else {
            out.append_null();
            continue;
        };
        let zoned = DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros());
        let naive =
            || ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"].iter().find_map(|f| NaiveDateTime::parse_from_str(text, f).ok());
        let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|date| date.and_time(NaiveTime::MIN));
        match zoned.or_else(|| naive().or_else(date).map(micros)) {
            Some(value) => out.append_value(value),
            None if LENIENT => out.append_null(),
            None => return bad(format!("Invalid format: \"{text}\" is not an ISO 8601 time")),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn from_iso8601_date<const LENIENT: bool>(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = strings(&arguments[0])?;
    let mut out = Date32Builder::with_capacity(texts.len());
    for text in &texts {
        match text.map(|text| NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| text)) {
            None => out.append_null(),
            Some(Ok(date)) => out.append_value(date.to_epoch_days()),
            Some(Err(_)) if LENIENT => out.append_null(),
            Some(Err(text)) => return bad(format!("Invalid format: \"{text}\" is not an ISO 8601 date")),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// Whole units from the first time to the second.
fn date_diff(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let units = strings(&arguments[0])?;
    let (from, to) = (times(&arguments[1])?, times(&arguments[2])?);
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
    let (Some(start), Some(end)) = (civil(from), civil(to)) else { return bad("a time is out of range".into()) };
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
        other => bad(format!("'{other}' is not a valid Timestamp field")),
    }
}

fn date_add(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let units = strings(&arguments[0])?;
    let counts = cast(&arguments[1], &DataType::Int64)?;
    let counts = counts.as_primitive::<Int64Type>();
    let times = times(&arguments[2])?;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let mut out = TimestampMicrosecondBuilder::with_capacity(times.len());
    for row in 0..times.len() {
        if units.is_null(row) || counts.is_null(row) || times.is_null(row) {
            out.append_null();
            continue;
        }
        out.append_value(sum(units.value(row), counts.value(row), times.value(row))?);
    }
    let sums: ArrayRef = Arc::new(out.finish());
    match arguments[2].data_type() {
        DataType::Date32 => Ok(cast(&sums, &DataType::Date32)?),
        _ => Ok(sums),
    }
}

fn sum(unit: &str, count: i64, time: i64) -> Result<i64> {
    let out_of_range = || bad::<i64>(format!("a time plus {count} {unit} is out of range"));
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
    fn mysql_formats_go_both_ways() {
        let check = |value: &str, pattern: &str, text: &str| {
            let mut out = String::new();
            format(time(value), pattern, &mut out).unwrap();
            assert_eq!(out, text, "{pattern}");
            assert_eq!(parse(text, pattern).unwrap(), time(value), "{pattern}");
        };
        check("2024-03-05 14:07:09", "%Y-%m-%d %H:%i:%s", "2024-03-05 14:07:09");
        check("2024-03-05 14:07:09", "%e %M %Y, %r", "5 March 2024, 02:07:09 PM");
        check("2024-03-05 00:07:09", "%b %d %y %I:%i:%S %p", "Mar 05 24 12:07:09 AM");
        check("2024-03-05 14:07:09.123456", "%Y%m%dT%T.%f", "20240305T14:07:09.123456");
        check("2024-03-05 00:00:00", "%W %c/%e/%Y", "Tuesday 3/5/2024");
        check("2024-02-29 00:00:00", "%Y-%j", "2024-060");
        assert!(parse("2024-02-30", "%Y-%m-%d").is_err());
        assert!(parse("2024-02-03x", "%Y-%m-%d").is_err());
        assert!(parse("ü", "%M").is_err());
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
