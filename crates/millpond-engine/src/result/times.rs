//! Times and intervals as text.

use super::value::{civil, write_display};
use crate::types::TrinoType;
use arrow::array::timezone::Tz;
use chrono::{DateTime, Offset};

const DAY: i64 = 86_400_000_000;

/// How many digits of a second values of the type show.
pub(super) fn digits(trino: &TrinoType) -> u8 {
    match trino {
        TrinoType::Timestamp(digits)
        | TrinoType::TimestampWithZone(digits)
        | TrinoType::Time(digits)
        | TrinoType::TimeWithZone(digits) => *digits,
        _ => crate::types::trino::DEFAULT_PRECISION,
    }
}

/// `yyyy-MM-dd HH:mm:ss.SSS` with that many digits of a second; what is finer is cut.
pub fn write_timestamp(micros: i64, digits: u8, out: &mut String) {
    let (year, month, day) = civil(micros.div_euclid(DAY));
    write_display(format_args!("{year:04}-{month:02}-{day:02} "), out);
    write_clock(micros.rem_euclid(DAY), digits, out);
}

/// `HH:mm:ss.SSS` with that many digits of a second, of microseconds since midnight.
pub fn write_clock(micros: i64, digits: u8, out: &mut String) {
    let (s, fraction) = (micros / 1_000_000, micros % 1_000_000);
    write_display(format_args!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60), out);
    if digits == 0 {
        return;
    }
    out.push('.');
    let fraction = format!("{fraction:06}");
    let shown = usize::from(digits);
    out.push_str(&fraction[..shown.min(6)]);
    out.extend(std::iter::repeat_n('0', shown.saturating_sub(6)));
}

/// `1-2` of months alone, else `1 02:03:04.567`.
pub(super) fn write_interval(months: i32, days: i32, micros: i64, out: &mut String) {
    if days == 0 && micros == 0 && months != 0 {
        let sign = if months < 0 { "-" } else { "" };
        let months = months.unsigned_abs();
        write_display(format_args!("{sign}{}-{}", months / 12, months % 12), out);
        return;
    }
    let ms = i64::from(months) * 30 * 86_400_000 + i64::from(days) * 86_400_000 + micros / 1000;
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    let (d, h, m, s) = (ms / 86_400_000, ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1000 % 60);
    write_display(format_args!("{sign}{d} {h:02}:{m:02}:{s:02}.{:03}", ms % 1000), out);
}

/// `0-0` and more.
pub(super) fn write_months(months: i32, out: &mut String) {
    if months == 0 {
        out.push_str("0-0");
    } else {
        write_interval(months, 0, 0, out);
    }
}

/// A zone that moments are shown in.
#[derive(Debug)]
pub(super) struct Zone {
    tz: Tz,
    name: String,
}

impl Zone {
    /// A name of the IANA's or an offset.
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        let tz = name.parse().map_err(|_| format!("Time zone not supported: {name}"))?;
        let shown = if matches!(name, "+00:00" | "Z" | "GMT" | "Etc/UTC") { "UTC" } else { name };
        Ok(Self { tz, name: shown.to_owned() })
    }

    /// The time that clocks there show, and the zone.
    pub(super) fn write(&self, micros: i64, digits: u8, out: &mut String) {
        let offset = DateTime::from_timestamp_micros(micros)
            .map_or(0, |time| i64::from(time.with_timezone(&self.tz).offset().fix().local_minus_utc()));
        write_timestamp(micros.saturating_add(offset * 1_000_000), digits, out);
        out.push(' ');
        out.push_str(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_show_the_digits_of_their_type() {
        let check = |digits: u8, expected: &str| {
            let mut out = String::new();
            write_timestamp(951_782_400_123_456, digits, &mut out);
            assert_eq!(out, expected);
        };
        check(0, "2000-02-29 00:00:00");
        check(3, "2000-02-29 00:00:00.123");
        check(6, "2000-02-29 00:00:00.123456");
        check(12, "2000-02-29 00:00:00.123456000000");
    }

    #[test]
    fn moments_are_shown_in_their_zone() {
        let check = |zone: &str, expected: &str| {
            let mut out = String::new();
            Zone::parse(zone).unwrap().write(0, 3, &mut out);
            assert_eq!(out, expected);
        };
        check("UTC", "1970-01-01 00:00:00.000 UTC");
        check("+00:00", "1970-01-01 00:00:00.000 UTC");
        check("-08:30", "1969-12-31 15:30:00.000 -08:30");
        check("America/New_York", "1969-12-31 19:00:00.000 America/New_York");
        assert!(Zone::parse("Nowhere/Land").is_err());
    }
}
