//! Formats with Joda's letters: `format_datetime`, `parse_datetime` (Trino documentation, "Java date functions"; Joda-Time,
//! `DateTimeFormat`).

use super::mysql::{MONTHS, WEEKDAYS, name};
use super::zones::{ahead, clocks, moment, parse as zone, zone_of};
use super::{civil, micros};
use crate::query::functions::call::{Call, TextOut, TimeOut, bad};
use crate::query::functions::{Function, function};
use arrow::array::{Array, ArrayRef};
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion::common::Result;

/// A letter can be repeated so often: it says how many digits there are at least.
const LETTERS_MAX: usize = 1_000;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("format_datetime", super::FORMAT, format_datetime),
        function("parse_datetime", &["(varchar, varchar) -> timestamp(3) with time zone"], parse_datetime),
    ]
}

/// A run of one letter, or text.
#[derive(Debug, PartialEq)]
enum Part {
    Letter(char, usize),
    Text(String),
}

/// Letters stand for fields; text in quotes, and what is no letter, for itself.
fn parts(pattern: &str) -> Result<Vec<Part>> {
    let mut out: Vec<Part> = Vec::new();
    let mut characters = pattern.chars().peekable();
    let mut literal = String::new();
    while let Some(one) = characters.next() {
        if one == '\'' {
            if characters.next_if_eq(&'\'').is_some() {
                literal.push('\'');
                continue;
            }
            loop {
                match characters.next() {
                    Some('\'') if characters.next_if_eq(&'\'').is_some() => literal.push('\''),
                    Some('\'') | None => break,
                    Some(other) => literal.push(other),
                }
            }
            continue;
        }
        if !one.is_ascii_alphabetic() {
            literal.push(one);
            continue;
        }
        if !"GCYxweEyDMdaKhHkmsSzZ".contains(one) {
            return Err(bad(format!("Illegal pattern component: {one}")));
        }
        if !literal.is_empty() {
            out.push(Part::Text(std::mem::take(&mut literal)));
        }
        let mut count = 1;
        while characters.next_if_eq(&one).is_some() {
            count += 1;
        }
        if count > LETTERS_MAX {
            return Err(bad(format!("a pattern has more than {LETTERS_MAX} times the letter {one}")));
        }
        out.push(Part::Letter(one, count));
    }
    if !literal.is_empty() {
        out.push(Part::Text(literal));
    }
    Ok(out)
}

fn format_datetime(call: &Call<'_>) -> Result<ArrayRef> {
    let given = &call.arrays[0];
    let (clock, patterns) = (clocks(given)?, call.text(1));
    let name = zone_of(given.data_type()).unwrap_or("UTC");
    let tz = zone(name)?;
    let moments = zone_of(given.data_type()).map(|_| call.time(0));
    let mut known: Option<(String, Vec<Part>)> = None;
    let mut out = TextOut::with_rows(call.rows);
    for row in 0..call.rows {
        if clock.is_null(row) || patterns.is_null(row) {
            out.null();
            continue;
        }
        let pattern = patterns.value(row);
        if known.as_ref().is_none_or(|(before, _)| before != pattern) {
            known = Some((pattern.to_owned(), parts(pattern)?));
        }
        let time = civil(clock.value(row)).ok_or_else(|| bad("a time is out of range"))?;
        let offset = moments.map_or(0, |moments| ahead(moments.value(row), &tz));
        let mut text = String::new();
        for part in known.iter().flat_map(|(_, parts)| parts) {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Letter(letter, count) => text.push_str(&field(*letter, *count, time, name, offset)),
            }
        }
        out.push(Some(text))?;
    }
    Ok(out.finish())
}

fn field(letter: char, count: usize, time: NaiveDateTime, zone: &str, offset: i64) -> String {
    let number = |value: i64| if value < 0 { format!("-{:0count$}", -value) } else { format!("{value:0count$}") };
    let hour = i64::from(time.hour());
    let cut = |full: &str| if count >= 4 { full.to_owned() } else { full[..3].to_owned() };
    match letter {
        'G' => {
            if time.year() > 0 {
                "AD".into()
            } else {
                "BC".into()
            }
        }
        'C' => number(i64::from(time.year().div_euclid(100))),
        'Y' | 'y' | 'x' if count == 2 => {
            let year = if letter == 'x' { time.iso_week().year() } else { time.year() };
            format!("{:02}", year.rem_euclid(100))
        }
        'Y' | 'y' => number(i64::from(time.year())),
        'x' => number(i64::from(time.iso_week().year())),
        'w' => number(i64::from(time.iso_week().week())),
        'e' => number(i64::from(time.weekday().number_from_monday())),
        'E' => cut(WEEKDAYS[time.weekday().num_days_from_monday() as usize]),
        'D' => number(i64::from(time.ordinal())),
        'M' if count >= 3 => cut(MONTHS[time.month0() as usize]),
        'M' => number(i64::from(time.month())),
        'd' => number(i64::from(time.day())),
        'a' => {
            if hour < 12 {
                "AM".into()
            } else {
                "PM".into()
            }
        }
        'K' => number(hour % 12),
        'h' => number((hour + 11) % 12 + 1),
        'H' => number(hour),
        'k' => number((hour + 23) % 24 + 1),
        'm' => number(i64::from(time.minute())),
        's' => number(i64::from(time.second())),
        'S' => {
            let digits = format!("{:09}", time.nanosecond() % 1_000_000_000);
            digits.chars().chain(std::iter::repeat('0')).take(count).collect()
        }
        'z' => zone.to_owned(),
        _ => {
            let sign = if offset < 0 { '-' } else { '+' };
            let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
            match count {
                1 => format!("{sign}{hours:02}{minutes:02}"),
                2 => format!("{sign}{hours:02}:{minutes:02}"),
                _ => zone.to_owned(),
            }
        }
    }
}

/// Moments are in UTC: the zone of a column's times is one for all.
fn parse_datetime(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, patterns) = (call.text(0), call.text(1));
    let mut known: Option<(String, Vec<Part>)> = None;
    let mut out = TimeOut::with_rows(call.rows);
    for row in 0..call.rows {
        if texts.is_null(row) || patterns.is_null(row) {
            out.null();
            continue;
        }
        let (text, pattern) = (texts.value(row), patterns.value(row));
        if known.as_ref().is_none_or(|(before, _)| before != pattern) {
            known = Some((pattern.to_owned(), parts(pattern)?));
        }
        let parsed = known.as_ref().and_then(|(_, parts)| read(text, parts));
        out.push(Some(parsed.ok_or_else(|| bad(format!("Invalid format: \"{text}\"")))?))?;
    }
    Ok(out.finish())
}

/// What a text said of a time; what it did not say is the beginning of 1970 in UTC.
struct Read {
    year: i32,
    month: u32,
    day: u32,
    ordinal: Option<u32>,
    week: Option<u32>,
    weekday: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    micro: u32,
    /// Whether the hour counts to 12, and the afternoon's do.
    half: Option<bool>,
    ahead: i64,
    zone: Option<arrow::array::timezone::Tz>,
}

fn read(text: &str, parts: &[Part]) -> Option<i64> {
    let mut time = Read {
        year: 1970,
        month: 1,
        day: 1,
        ordinal: None,
        week: None,
        weekday: None,
        hour: 0,
        minute: 0,
        second: 0,
        micro: 0,
        half: None,
        ahead: 0,
        zone: None,
    };
    let mut rest = text;
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Text(literal) => rest = rest.strip_prefix(literal.as_str())?,
            Part::Letter(letter, count) => {
                // A number right behind a number ends where its letters do.
                let tight = matches!(parts.get(index + 1), Some(Part::Letter(next, _)) if !"EazZG".contains(*next));
                take(&mut time, *letter, *count, tight, &mut rest)?;
            }
        }
    }
    if !rest.is_empty() {
        return None;
    }
    time.moment()
}

fn take(time: &mut Read, letter: char, count: usize, tight: bool, rest: &mut &str) -> Option<()> {
    let mut number = |limit: usize| -> Option<u32> {
        let limit = if tight { count } else { limit.max(count) };
        let digits = rest.bytes().take(limit).take_while(u8::is_ascii_digit).count();
        let value = rest[..digits].parse().ok()?;
        *rest = &rest[digits..];
        Some(value)
    };
    match letter {
        'y' | 'Y' | 'x' => {
            let before = rest.len();
            let negative = rest.starts_with('-');
            if negative {
                *rest = &rest[1..];
            }
            let digits = rest.bytes().take(if tight { count } else { 9 }).take_while(u8::is_ascii_digit).count();
            let year: i32 = rest[..digits].parse().ok()?;
            *rest = &rest[digits..];
            // Two digits are a year near to now.
            let short = count == 2 && before - rest.len() == 2;
            time.year = if short {
                year + if year < 70 { 2000 } else { 1900 }
            } else if negative {
                -year
            } else {
                year
            };
        }
        'M' if count >= 3 => time.month = month(rest)?,
        'M' => time.month = number(2)?,
        'd' => time.day = number(2)?,
        'D' => time.ordinal = Some(number(3)?),
        'w' => time.week = Some(number(2)?),
        'e' => time.weekday = Some(number(1)?),
        'E' => {
            name(rest, &WEEKDAYS, true).or_else(|| name(rest, &WEEKDAYS, false))?;
        }
        'H' => time.hour = number(2)?,
        'k' => time.hour = number(2)? % 24,
        'h' | 'K' => {
            time.half.get_or_insert(false);
            time.hour = number(2)? % 12;
        }
        'a' => {
            let afternoon = match rest.get(..2)?.to_ascii_uppercase().as_str() {
                "AM" => false,
                "PM" => true,
                _ => return None,
            };
            *rest = &rest[2..];
            time.half = Some(afternoon);
        }
        'm' => time.minute = number(2)?,
        's' => time.second = number(2)?,
        'S' => {
            let digits = rest.bytes().take(count.max(if tight { 0 } else { 9 })).take_while(u8::is_ascii_digit).count();
            let micros: String = rest[..digits].chars().chain("000000".chars()).take(6).collect();
            time.micro = (digits > 0).then(|| micros.parse().ok()).flatten()?;
            *rest = &rest[digits..];
        }
        'Z' | 'z' => zoned(time, rest)?,
        _ => return None,
    }
    Some(())
}

fn month(rest: &mut &str) -> Option<u32> {
    let index = name(rest, &MONTHS, true).or_else(|| name(rest, &MONTHS, false))?;
    u32::try_from(index + 1).ok()
}

fn zoned(time: &mut Read, rest: &mut &str) -> Option<()> {
    let end = rest.find(|one: char| !one.is_ascii_alphanumeric() && !"+-:/_".contains(one)).unwrap_or(rest.len());
    let text = &rest[..end];
    *rest = &rest[end..];
    if matches!(text, "Z" | "UTC" | "GMT") {
        return Some(());
    }
    if let Some(sign) = text.chars().next().filter(|sign| "+-".contains(*sign)) {
        let digits = text[1..].replace(':', "");
        let (hours, minutes): (i64, i64) = match digits.len() {
            2 => (digits.parse().ok()?, 0),
            4 => (digits.get(..2)?.parse().ok()?, digits.get(2..)?.parse().ok()?),
            _ => return None,
        };
        time.ahead = (hours * 3600 + minutes * 60) * if sign == '-' { -1 } else { 1 };
        return Some(());
    }
    time.zone = Some(text.parse().ok()?);
    Some(())
}

impl Read {
    fn moment(&self) -> Option<i64> {
        let date = match (self.ordinal, self.week) {
            (Some(ordinal), _) => NaiveDate::from_yo_opt(self.year, ordinal)?,
            (None, Some(week)) => {
                let day = self.weekday.unwrap_or(1).checked_sub(1)?;
                NaiveDate::from_isoywd_opt(self.year, week, chrono::Weekday::try_from(u8::try_from(day).ok()?).ok()?)?
            }
            (None, None) => NaiveDate::from_ymd_opt(self.year, self.month, self.day)?,
        };
        let hour = self.hour + if self.half == Some(true) && self.hour < 12 { 12 } else { 0 };
        let clock = micros(date.and_time(NaiveTime::from_hms_micro_opt(hour, self.minute, self.second, self.micro)?));
        match &self.zone {
            Some(tz) => moment(clock, tz).ok(),
            None => Some(clock - self.ahead * 1_000_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_go_both_ways() {
        let time = NaiveDateTime::parse_from_str("2024-05-06 17:08:09.123", "%Y-%m-%d %H:%M:%S%.f").unwrap();
        for (pattern, text) in [
            ("yyyy-MM-dd HH:mm:ss.SSS", "2024-05-06 17:08:09.123"),
            ("yyyyMMdd'T'HHmmssSSS", "20240506T170809123"),
            ("EEEE, d MMMM yyyy h:m:s.SSS a", "Monday, 6 May 2024 5:8:9.123 PM"),
            ("yy-D HH:mm:ss.SSS Z", "24-127 17:08:09.123 +0000"),
            ("xxxx-'W'ww-e HH:mm:ss.SSSZZ", "2024-W19-1 17:08:09.123+00:00"),
        ] {
            let parts = parts(pattern).unwrap();
            let made: String = parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => text.clone(),
                    Part::Letter(letter, count) => field(*letter, *count, time, "UTC", 0),
                })
                .collect();
            assert_eq!(made, text, "{pattern}");
            assert_eq!(read(text, &parts), Some(micros(time)), "{pattern}");
        }
        assert!(parts("yyyy-qq").is_err());
        assert_eq!(read("2024-02-30", &parts("yyyy-MM-dd").unwrap()), None);
    }
}
