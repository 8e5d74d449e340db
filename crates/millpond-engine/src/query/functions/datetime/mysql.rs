//! Formats with MySQL's specifiers: `date_format`, `date_parse` (Trino documentation, "MySQL date functions").

use super::{civil, local, micros};
use crate::query::functions::call::{Call, bad};
use crate::query::functions::{Function, function};
use arrow::array::{Array, ArrayRef, AsArray, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion::common::Result;
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("date_format", super::FORMAT, date_format),
        function("date_parse", &["(varchar, varchar) -> timestamp(3)"], date_parse::<false>),
        function("try_date_parse", &["(varchar, varchar) -> timestamp(3)"], date_parse::<true>),
    ]
}

fn date_format(call: &Call<'_>) -> Result<ArrayRef> {
    let arguments = call.arrays;
    let times = local(&arguments[0])?;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let formats = call.text(1);
    let mut out = StringBuilder::with_capacity(times.len(), 0);
    let mut text = String::new();
    for row in 0..times.len() {
        if times.is_null(row) || formats.is_null(row) {
            out.append_null();
            continue;
        }
        let Some(time) = civil(times.value(row)) else { return Err(bad("a time is out of range")) };
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
            'D' | 'U' | 'u' | 'V' | 'w' | 'X' => return Err(bad(format!("%{specifier} not supported in date format string"))),
            other => write!(out, "{other}"),
        };
        written.expect("writing to a String does not fail");
    }
    Ok(())
}

/// `LENIENT`: what does not fit is NULL.
fn date_parse<const LENIENT: bool>(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, formats) = (call.text(0), call.text(1));
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
    time.map_or_else(|| Err(bad(format!("Invalid format: \"{text}\" does not match '{format}'"))), Ok)
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
        other => return Err(bad(format!("%{other} not supported in date format string"))),
    })
}

pub(super) const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
pub(super) const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

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
pub(super) fn name(rest: &mut &str, names: &[&str], full: bool) -> Option<usize> {
    let index = names.iter().position(|name| {
        let wanted = if full { name } else { &name[..3] };
        rest.get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted))
    })?;
    *rest = &rest[if full { names[index].len() } else { 3 }..];
    Some(index)
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
}
