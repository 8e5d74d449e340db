//! Texts as values, and values as texts.

use super::super::zone::zone_name;
use super::cannot;
use crate::query::error::QueryError;
use crate::result::value::typed_texts;
use crate::types::TrinoType as T;
use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, PrimitiveArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike};
use datafusion::common::{Result, exec_datafusion_err};
use std::net::IpAddr;
use std::sync::Arc;

/// Texts of values: those that are too long are cut, or padded for `char`.
pub(super) fn to_text(array: &ArrayRef, from: &T, to: &T, safe: bool) -> Result<ArrayRef> {
    let texts: ArrayRef = match from {
        T::Varchar(_) | T::Char(_) => cast(array, &DataType::Utf8)?,
        T::Varbinary => cast(&cast(array, &DataType::Binary)?, &DataType::Utf8)?,
        T::Json => json_texts(array)?,
        other => Arc::new(StringArray::from(typed_texts(array, other).map_err(|message| exec_datafusion_err!("{message}"))?)),
    };
    let values = texts.as_string::<i32>();
    let bound = |length: u32| usize::try_from(length).unwrap_or(usize::MAX);
    let cut = |text: &str, length: usize| text.char_indices().nth(length).map_or(text.len(), |(end, _)| end);
    let done: StringArray = match to {
        T::Char(length) => {
            let length = bound(*length);
            values.iter().map(|text| text.map(|text| format!("{:<length$}", &text[..cut(text, length)]))).collect()
        }
        T::Varchar(Some(length)) => {
            let length = bound(*length);
            let mut out = Vec::with_capacity(values.len());
            for text in values {
                out.push(match text {
                    Some(text) if cut(text, length) < text.len() && !from.is_text() => {
                        if !safe {
                            return Err(cannot(format!("Value {text} cannot be represented as {to}")).into());
                        }
                        None
                    }
                    Some(text) => Some(&text[..cut(text, length)]),
                    None => None,
                });
            }
            out.into_iter().collect()
        }
        _ => return Ok(texts),
    };
    Ok(Arc::new(done))
}

/// Texts of JSON values: strings without their quotes.
fn json_texts(array: &ArrayRef) -> Result<ArrayRef> {
    super::json::from_json(array, &T::Varchar(None), &DataType::Utf8, false)
}

/// Values of texts.
pub(super) fn from_text(array: &ArrayRef, to: &T, arrow: &DataType, safe: bool) -> Result<ArrayRef> {
    let texts = cast(array, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    Ok(match to {
        T::Boolean => {
            let flags = each(texts, safe, to, |text| match text.to_ascii_lowercase().as_str() {
                "t" | "true" | "1" => Some(true),
                "f" | "false" | "0" => Some(false),
                _ => None,
            })?;
            Arc::new(BooleanArray::from(flags))
        }
        T::TinyInt => numbers::<Int8Type>(texts, safe, to, |text| text.trim().parse().ok())?,
        T::SmallInt => numbers::<Int16Type>(texts, safe, to, |text| text.trim().parse().ok())?,
        T::Integer => numbers::<Int32Type>(texts, safe, to, |text| text.trim().parse().ok())?,
        T::BigInt => numbers::<Int64Type>(texts, safe, to, |text| text.trim().parse().ok())?,
        T::Real => numbers::<Float32Type>(texts, safe, to, |text| double(text).map(|number| number as f32))?,
        T::Double => numbers::<Float64Type>(texts, safe, to, double)?,
        T::Decimal(precision, scale) => {
            let limit = 10i128.pow(u32::from(*precision)).unsigned_abs();
            let parse = |text: &str| decimal(text.trim(), *scale).filter(|value| value.unsigned_abs() < limit);
            let values = numbers::<Decimal128Type>(texts, safe, to, parse)?;
            Arc::new(values.as_primitive::<Decimal128Type>().clone().with_data_type(arrow.clone()))
        }
        T::Date => numbers::<Date32Type>(texts, safe, to, |text| date(text.trim()))?,
        T::Time(digits) => {
            let values = numbers::<Time64MicrosecondType>(texts, safe, to, |text| clock(text.trim()))?;
            rounded(&values, Some(*digits))?
        }
        T::TimeWithZone(digits) => {
            let values = each(texts, safe, to, |text| time_with_zone(text.trim(), *digits))?;
            Arc::new(StringArray::from(values))
        }
        T::Timestamp(digits) => {
            let parse = |text: &str| moment(text.trim()).map(|(local, _)| local);
            let values = numbers::<TimestampMicrosecondType>(texts, safe, to, parse)?;
            rounded(&values, Some(*digits))?
        }
        T::TimestampWithZone(digits) => {
            let parse = |text: &str| moment(text.trim()).and_then(|(local, zone)| instant(local, zone.as_deref()));
            let values = numbers::<TimestampMicrosecondType>(texts, safe, to, parse)?;
            let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            cast(&cast(&rounded(&values, Some(*digits))?, &utc)?, arrow)?
        }
        T::Uuid => Arc::new(StringArray::from(each(texts, safe, to, uuid)?)),
        T::IpAddress => {
            let address = |text: &str| {
                text.trim().parse::<IpAddr>().ok().map(|address| match address {
                    IpAddr::V6(address) => {
                        address.to_ipv4_mapped().map_or_else(|| address.to_string(), |mapped| mapped.to_string())
                    }
                    IpAddr::V4(address) => address.to_string(),
                })
            };
            Arc::new(StringArray::from(each(texts, safe, to, address)?))
        }
        T::Varbinary => {
            let bytes: BinaryArray = texts.iter().map(|text| text.map(str::as_bytes)).collect();
            Arc::new(bytes)
        }
        other => return Err(exec_datafusion_err!("a text as {other}")),
    })
}

/// Trino's name of a type in what it says of values that are not of it.
fn said(to: &T, text: &str) -> QueryError {
    let name = match to {
        T::Integer => "INT".to_owned(),
        T::Decimal(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        T::Date => return cannot(format!("Value cannot be cast to date: {text}")),
        T::Timestamp(_) | T::TimestampWithZone(_) => return cannot(format!("Value cannot be cast to timestamp: {text}")),
        T::Time(_) | T::TimeWithZone(_) => return cannot(format!("Value cannot be cast to time: {text}")),
        T::Uuid => return cannot(format!("Cannot cast value to UUID: {text}")),
        T::IpAddress => return cannot(format!("Cannot cast value to IPADDRESS: {text}")),
        other => other.base_name().to_uppercase(),
    };
    match to {
        T::Decimal(..) => cannot(format!("Cannot cast VARCHAR '{text}' to {name}. Value is not a number, or too large.")),
        _ => cannot(format!("Cannot cast '{text}' to {name}")),
    }
}

fn each<V>(texts: &StringArray, safe: bool, to: &T, parse: impl Fn(&str) -> Option<V>) -> Result<Vec<Option<V>>> {
    let mut out = Vec::with_capacity(texts.len());
    for text in texts {
        out.push(match text.map(|text| (text, parse(text))) {
            None => None,
            Some((_, Some(value))) => Some(value),
            Some((_, None)) if safe => None,
            Some((text, None)) => return Err(said(to, text).into()),
        });
    }
    Ok(out)
}

fn numbers<P: ArrowPrimitiveType>(
    texts: &StringArray,
    safe: bool,
    to: &T,
    parse: impl Fn(&str) -> Option<P::Native>,
) -> Result<ArrayRef> {
    let values = each(texts, safe, to, parse)?;
    Ok(Arc::new(values.into_iter().collect::<PrimitiveArray<P>>()))
}

/// As Java reads one: no other words than `NaN` and `Infinity`.
fn double(text: &str) -> Option<f64> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !matches!(unsigned, "NaN" | "Infinity") && !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text).parse().ok()
}

/// A number with or without exponent, in units of 10 to the minus `scale`; what is finer is rounded half up.
pub(super) fn decimal(text: &str, scale: u8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if (whole.is_empty() && fraction.is_empty()) || !whole.bytes().chain(fraction.bytes()).all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // Digits before this place are kept.
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let digits = whole.bytes().chain(fraction.bytes()).map(|digit| i128::from(digit - b'0'));
    let mut value: i128 = 0;
    let mut count: i64 = 0;
    let mut round_up = false;
    for digit in digits {
        if count < kept {
            value = value.checked_mul(10)?.checked_add(digit)?;
        } else {
            round_up = count == kept && digit >= 5;
            break;
        }
        count += 1;
    }
    if value != 0 {
        for _ in count..kept {
            value = value.checked_mul(10)?;
        }
    }
    value += i128::from(round_up);
    Some(if negative { -value } else { value })
}

/// `yyyy-MM-dd`; months and days may have one digit.
fn date(text: &str) -> Option<i32> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = unsigned.splitn(3, '-');
    let part = |text: Option<&str>, most: usize| {
        text.filter(|text| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()))?.parse::<u32>().ok()
    };
    let (year, month, day) = (part(parts.next(), 6)?, part(parts.next(), 2)?, part(parts.next(), 2)?);
    let year = i32::try_from(year).ok()?;
    let date = NaiveDate::from_ymd_opt(if negative { -year } else { year }, month, day)?;
    Some(date.to_epoch_days())
}

/// `H:mm[:ss[.fraction]]`, microseconds since midnight.
fn clock(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let parts: Vec<&str> = clock.split(':').collect();
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute] => (*hour, *minute, "0"),
        [hour, minute, second] => (*hour, *minute, *second),
        _ => return None,
    };
    let digits = |text: &str, most: usize| {
        let fits = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| text.parse::<u32>().ok()).flatten()
    };
    let time = NaiveTime::from_hms_opt(digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?)?;
    let micros = i64::from(time.num_seconds_from_midnight()) * 1_000_000;
    if text.contains('.') {
        if !(1..=12).contains(&fraction.len()) || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let six = format!("{:0<6}", &fraction[..fraction.len().min(6)]);
        return Some(micros + six.parse::<i64>().ok()?);
    }
    Some(micros)
}

/// The local microseconds of `yyyy-MM-dd[ H:mm[:ss[.fraction]]][ zone]`, and the zone.
pub(in crate::query) fn moment(text: &str) -> Option<(i64, Option<String>)> {
    let end = text.char_indices().skip(1).find(|(_, c)| matches!(c, ' ' | 'T')).map_or(text.len(), |(at, _)| at);
    let day = i64::from(date(&text[..end])?) * 86_400_000_000;
    let rest = text.get(end + 1..).unwrap_or_default().trim();
    if rest.is_empty() {
        return Some((day, None));
    }
    let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.'))).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(end);
    let zone = zone.trim();
    let time = if time.is_empty() { 0 } else { clock(time)? };
    Some((day + time, (!zone.is_empty()).then(|| zone.to_owned())))
}

/// The moment at which clocks of the zone show that; UTC without one.
fn instant(local: i64, zone: Option<&str>) -> Option<i64> {
    let Some(zone) = zone else { return Some(local) };
    let tz: Tz = zone_name(zone)?.parse().ok()?;
    let naive: NaiveDateTime = DateTime::from_timestamp_micros(local)?.naive_utc();
    tz.from_local_datetime(&naive).earliest().map(|time| time.timestamp_micros())
}

/// `01:02:03.456+01:00`, as the type has it.
fn time_with_zone(text: &str, digits: u8) -> Option<String> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.'))).unwrap_or(text.len());
    let (time, zone) = text.split_at(end);
    let micros = clock(time)?;
    let zone = match zone.trim() {
        "" => "+00:00".to_owned(),
        zone => match zone_name(zone)? {
            name if name == "UTC" => "+00:00".to_owned(),
            name if name.starts_with(['+', '-']) => name,
            _ => return None,
        },
    };
    let mut out = String::new();
    crate::result::times::write_clock(micros, digits, &mut out);
    out.push_str(&zone);
    Some(out)
}

/// Lower-case hex digits in groups.
fn uuid(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    (groups == [8, 4, 4, 4, 12] && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')).then_some(text)
}

/// What clocks show, of moments with a zone.
pub(crate) fn local(array: &ArrayRef) -> Result<ArrayRef> {
    let DataType::Timestamp(_, Some(zone)) = array.data_type() else { return Ok(Arc::clone(array)) };
    let tz: Tz = zone.parse()?;
    let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(zone))))?;
    let shifted: PrimitiveArray<TimestampMicrosecondType> = micros.as_primitive::<TimestampMicrosecondType>().unary(|micros| {
        let offset = DateTime::from_timestamp_micros(micros)
            .map_or(0, |time| i64::from(time.with_timezone(&tz).offset().fix().local_minus_utc()));
        micros + offset * 1_000_000
    });
    Ok(Arc::new(shifted))
}

/// Times with no more digits of a second than that, rounded half up.
pub(super) fn rounded(array: &ArrayRef, digits: Option<u8>) -> Result<ArrayRef> {
    let Some(digits) = digits.filter(|digits| *digits < 6) else { return Ok(Arc::clone(array)) };
    let unit = 10i64.pow(6 - u32::from(digits));
    let round = |micros: i64| (micros.saturating_add(unit / 2)).div_euclid(unit) * unit;
    Ok(match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let rounded: PrimitiveArray<TimestampMicrosecondType> = array.as_primitive::<TimestampMicrosecondType>().unary(round);
            Arc::new(rounded.with_timezone_opt(zone.clone()))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let rounded: PrimitiveArray<Time64MicrosecondType> =
                array.as_primitive::<Time64MicrosecondType>().unary(|micros| round(micros).rem_euclid(86_400_000_000));
            Arc::new(rounded)
        }
        _ => Arc::clone(array),
    })
}
