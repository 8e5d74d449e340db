//! Values from text: the parsers that every text format and the crawl's type guesses share, so that what a crawl calls a date, a conversion
//! reads as that date.
//!
//! All take the exact bytes of one value and answer `None` where it is not one; none allocates. Leading and trailing spaces are not taken: callers trim
//! and try again, off the fast path.

/// An integer with an optional sign, if it fits 64 bits.
#[inline]
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    if digits.len() <= 18 {
        let (mut value, mut wrong) = (0i64, 0u8);
        for &c in digits {
            let d = c.wrapping_sub(b'0');
            wrong |= u8::from(d > 9);
            value = value * 10 + i64::from(d & 15);
        }
        return (wrong == 0).then_some(if negative { -value } else { value });
    }
    let mut value = 0i64;
    for &c in digits {
        let d = c.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        // Summed downward, since the most negative number has no positive twin.
        value = value.checked_mul(10)?.checked_sub(i64::from(d))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

#[inline]
fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// What became of a decimal's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decimal {
    /// The unscaled value.
    Exact(i128),
    /// More digits after the point than the scale has; the unscaled value, rounded half away from zero.
    Rounded(i128),
    /// A number with more digits before the point than fit.
    TooLarge,
    /// Not a number.
    NotANumber,
}

/// A decimal number, with or without a point and an exponent, in units of 10^-scale.
#[inline]
pub fn decimal(text: &[u8], precision: u8, scale: u8) -> Decimal {
    if let Some(value) = short_decimal(text, precision, scale) {
        return Decimal::Exact(i128::from(value));
    }
    long_decimal(text, precision, scale)
}

const POWERS: [i64; 19] = {
    let mut powers = [1i64; 19];
    let mut i = 1;
    while i < 19 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// The common case: at most 18 digits in all, no more of them after the point than the scale has.
#[inline]
pub fn short_decimal(text: &[u8], precision: u8, scale: u8) -> Option<i64> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let (mut value, mut wrong, mut point) = (0i64, 0u8, digits.len());
    for (i, &c) in digits.iter().enumerate() {
        if c == b'.' {
            wrong |= u8::from(point != digits.len());
            point = i;
        } else {
            let d = c.wrapping_sub(b'0');
            wrong |= u8::from(d > 9);
            value = value * 10 + i64::from(d & 15);
        }
    }
    let fraction = digits.len().saturating_sub(point + 1);
    let whole = digits.len() - fraction - usize::from(point < digits.len());
    let scale = usize::from(scale);
    if wrong != 0 || fraction > scale || whole + scale > 18 || whole + scale > usize::from(precision) || whole + fraction == 0 {
        return None;
    }
    let value = value * POWERS[scale - fraction];
    Some(if negative { -value } else { value })
}

fn long_decimal(text: &[u8], precision: u8, scale: u8) -> Decimal {
    let (negative, body) = sign(text);
    let (mantissa, exponent) = match body.iter().position(|c| matches!(c, b'e' | b'E')) {
        Some(at) => match integer(&body[at + 1..]) {
            Some(e) if (-400..=400).contains(&e) => (&body[..at], e),
            _ => return Decimal::NotANumber,
        },
        None => (body, 0),
    };
    let point = mantissa.iter().position(|&c| c == b'.').unwrap_or(mantissa.len());
    let digits = || mantissa.iter().enumerate().filter(move |(i, _)| *i != point).map(|(_, c)| *c);
    if digits().next().is_none() || !digits().all(|c| c.is_ascii_digit()) {
        return Decimal::NotANumber;
    }
    // Digits that count: those before the (shifted) point, and `scale` after it.
    let wanted = i64::try_from(point).unwrap_or(i64::MAX).saturating_add(exponent).saturating_add(i64::from(scale));
    let limit = 10i128.pow(u32::from(precision));
    let (mut value, mut seen, mut exact, mut round_up) = (0i128, 0i64, true, false);
    for c in digits() {
        let d = i128::from(c - b'0');
        if seen < wanted {
            value = value * 10 + d;
            if value >= limit {
                return Decimal::TooLarge;
            }
        } else {
            exact &= d == 0;
            round_up |= seen == wanted && d >= 5;
        }
        seen += 1;
    }
    while seen < wanted && value != 0 {
        value *= 10;
        if value >= limit {
            return Decimal::TooLarge;
        }
        seen += 1;
    }
    value += i128::from(round_up);
    if value >= limit {
        return Decimal::TooLarge;
    }
    let value = if negative { -value } else { value };
    if exact { Decimal::Exact(value) } else { Decimal::Rounded(value) }
}

/// A 64-bit float, `NaN` and `Infinity` included.
#[inline]
pub fn double(text: &[u8]) -> Option<f64> {
    fast_float2::parse(text).ok()
}

/// `true`, `t`, `yes`, `y`, `1` and their opposites, in any case.
pub fn boolean(text: &[u8]) -> Option<bool> {
    const TRUE: [&[u8]; 5] = [b"true", b"t", b"1", b"yes", b"y"];
    const FALSE: [&[u8]; 5] = [b"false", b"f", b"0", b"no", b"n"];
    if TRUE.iter().any(|t| t.eq_ignore_ascii_case(text)) {
        Some(true)
    } else if FALSE.iter().any(|t| t.eq_ignore_ascii_case(text)) {
        Some(false)
    } else {
        None
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, if there is such a day.
#[inline]
pub fn days_from_civil(year: i32, month: u32, day: u32) -> Option<i32> {
    const LENGTHS: [u32; 13] = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if day > LENGTHS[month as usize] + u32::from(month == 2 && leap) {
        return None;
    }
    // Years begin in March here, so that the leap day is the last of its year.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let month_of_year = ((month + 9) % 12).cast_signed();
    let day_of_year = (153 * month_of_year + 2) / 5 + day.cast_signed() - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[inline]
fn two(text: &[u8]) -> Option<u32> {
    let (a, b) = (text[0].wrapping_sub(b'0'), text[1].wrapping_sub(b'0'));
    (a <= 9 && b <= 9).then(|| u32::from(a) * 10 + u32::from(b))
}

/// `YYYY-MM-DD` (or with `/`), as days since 1970-01-01.
#[inline]
pub fn date(text: &[u8]) -> Option<i32> {
    if text.len() != 10 || text[4] != text[7] || !matches!(text[4], b'-' | b'/') {
        return None;
    }
    let year = two(&text[0..2])? * 100 + two(&text[2..4])?;
    days_from_civil(year.cast_signed(), two(&text[5..7])?, two(&text[8..10])?)
}

const DAY_US: i64 = 86_400_000_000;

/// `YYYY-MM-DD`, then a space or `T` and `HH:MM[:SS[.fraction]]`, then `Z`, ` UTC` or an offset; as microseconds since the epoch. Without a
/// zone the time is taken as it stands; with one it is brought to UTC. Digits beyond microseconds are cut.
pub fn timestamp(text: &[u8]) -> Option<i64> {
    let days = i64::from(date(text.get(..10)?)?);
    let rest = &text[10..];
    if rest.is_empty() {
        return Some(days * DAY_US);
    }
    if !matches!(rest[0], b' ' | b'T' | b't') || rest.len() < 6 || rest[3] != b':' {
        return None;
    }
    let (hour, minute) = (two(&rest[1..3])?, two(&rest[4..6])?);
    let (mut second, mut micros, mut at) = (0, 0i64, 6);
    if rest.get(6) == Some(&b':') {
        second = two(rest.get(7..9)?)?;
        at = 9;
        if matches!(rest.get(9), Some(b'.' | b',')) {
            let fraction = rest[10..].iter().take_while(|c| c.is_ascii_digit()).count();
            if fraction == 0 || fraction > 12 {
                return None;
            }
            for i in 0..6 {
                micros = micros * 10 + if i < fraction { i64::from(rest[10 + i] - b'0') } else { 0 };
            }
            at = 10 + fraction;
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second) - offset_seconds(&rest[at..])?;
    Some(days * DAY_US + seconds * 1_000_000 + micros)
}

fn offset_seconds(text: &[u8]) -> Option<i64> {
    match text {
        b"" | b"Z" | b"z" | b" UTC" | b" Z" => Some(0),
        [b' ', rest @ ..] => offset_seconds(rest),
        [s @ (b'+' | b'-'), rest @ ..] => {
            let (hours, minutes) = match rest.len() {
                2 => (two(rest)?, 0),
                4 => (two(&rest[..2])?, two(&rest[2..])?),
                5 if rest[2] == b':' => (two(&rest[..2])?, two(&rest[3..])?),
                _ => return None,
            };
            if hours > 18 || minutes > 59 {
                return None;
            }
            let seconds = i64::from(hours * 3_600 + minutes * 60);
            Some(if *s == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// Without the spaces (and tabs) around it.
pub fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_to_the_edges_of_64_bits() {
        for (text, want) in [
            ("0", Some(0)),
            ("-7", Some(-7)),
            ("+12", Some(12)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("", None),
            ("-", None),
            ("1a", None),
            ("1 ", None),
            ("12345678901234567890", None),
        ] {
            assert_eq!(integer(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn decimals_are_exact_or_say_why_not() {
        use Decimal as D;
        for (text, p, s, want) in [
            ("17954.55", 15, 2, D::Exact(1_795_455)),
            ("-.5", 15, 2, D::Exact(-50)),
            ("5.", 15, 2, D::Exact(500)),
            ("0.040", 15, 2, D::Exact(4)),
            ("0.045", 15, 2, D::Rounded(5)),
            ("-0.045", 15, 2, D::Rounded(-5)),
            ("1e3", 15, 2, D::Exact(100_000)),
            ("1.5E-1", 15, 2, D::Exact(15)),
            ("12345", 4, 0, D::TooLarge),
            ("99.99", 3, 1, D::TooLarge),
            ("99999999999999999999999999999999999999", 38, 0, D::Exact(10i128.pow(38) - 1)),
            ("100000000000000000000000000000000000000", 38, 0, D::TooLarge),
            ("0000000000000000000000000000000000000000000000012", 5, 0, D::Exact(12)),
            ("1e400", 10, 0, D::TooLarge),
            ("0e400", 10, 0, D::Exact(0)),
            ("1e-400", 10, 0, D::Rounded(0)),
            ("1.2.3", 10, 2, D::NotANumber),
            (".", 10, 2, D::NotANumber),
            ("", 10, 2, D::NotANumber),
            ("abc", 10, 2, D::NotANumber),
        ] {
            assert_eq!(decimal(text.as_bytes(), p, s), want, "{text} as decimal({p},{s})");
        }
    }

    #[test]
    fn dates_are_days_that_exist() {
        for (text, want) in [
            ("1970-01-01", Some(0)),
            ("1969-12-31", Some(-1)),
            ("2000-02-29", Some(11_016)),
            ("2024/03/01", Some(19_783)),
            ("1900-02-29", None),
            ("2023-13-01", None),
            ("2023-00-01", None),
            ("2023-1-01", None),
            ("2023-01/01", None),
            ("0001-01-01", Some(-719_162)),
        ] {
            assert_eq!(date(text.as_bytes()), want, "{text}");
        }
        let first = chrono::NaiveDate::from_ymd_opt(1600, 1, 1).unwrap();
        for (day, date) in (days_from_civil(1600, 1, 1).unwrap()..).zip(first.iter_days().take(300_000)) {
            use chrono::Datelike;
            assert_eq!(days_from_civil(date.year(), date.month(), date.day()), Some(day), "{date}");
        }
    }

    #[test]
    fn timestamps_are_brought_to_utc_where_they_name_a_zone() {
        let base = 1_704_164_645_000_000; // 2024-01-02T03:04:05Z
        for (text, want) in [
            ("2024-01-02 03:04:05", Some(base)),
            ("2024-01-02T03:04:05Z", Some(base)),
            ("2024-01-02T05:04:05+02:00", Some(base)),
            ("2024-01-02T05:04:05+0200", Some(base)),
            ("2024-01-02 03:04:05 UTC", Some(base)),
            ("2024-01-02 03:04:05.5", Some(base + 500_000)),
            ("2024-01-02 03:04:05.123456789", Some(base + 123_456)),
            ("2024-01-02 03:04", Some(base - 5_000_000)),
            ("2024-01-02", Some(base - 11_045_000_000)),
            ("2024-01-02 24:00:00", None),
            ("2024-01-02 03:04:05.", None),
            ("2024-01-02x03:04:05", None),
            ("2024-01-02 03:04:05 CET", None),
        ] {
            assert_eq!(timestamp(text.as_bytes()), want, "{text}");
        }
    }
}
