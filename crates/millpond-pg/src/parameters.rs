//! Values that clients send for `$1`, as literals of Athena's SQL.
//!
//! A value comes as text or in PostgreSQL's binary form of its type (`postgresql.org`, "Frontend/Backend Protocol", and each type's `recv`
//! function). It is never put into the statement's text: Athena gets it as an execution parameter.

use crate::text::quote;
use millpond_engine::result::value::write_date;
use pgwire::api::Type;
use std::fmt::Write;

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL begins to count.
const EPOCH_DAYS: i64 = 10_957;
const DAY_US: i64 = 86_400_000_000;

/// The literal of a value; `format` 0 is text, 1 is binary.
///
/// # Errors
/// The value is not one of its type, or the type has no literal here.
pub(crate) fn literal(kind: &Type, format: i16, value: Option<&[u8]>) -> Result<String, String> {
    let Some(bytes) = value else { return Ok("NULL".to_owned()) };
    let text = match format {
        0 => std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?.to_owned(),
        1 => from_binary(kind, bytes)?,
        other => return Err(format!("format {other} is neither text nor binary")),
    };
    from_text(kind, &text)
}

/// What a text looks like whose type nobody has told: `None` for no type but text.
pub(crate) fn looks_like(text: &str) -> Option<Type> {
    let text = text.trim();
    let shape: String = text.chars().take(40).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let date = shape.strip_prefix("0000-00-00");
    let clock = |rest: &str| rest.len() >= 6 && rest.starts_with([' ', 'T']) && rest[1..].starts_with("00:00");
    let zoned = |rest: &str| rest.ends_with('Z') || rest.contains(['+', '-']);
    match date {
        Some(rest) if rest.is_ascii() && clock(rest) => Some(if zoned(rest) { Type::TIMESTAMPTZ } else { Type::TIMESTAMP }),
        Some(_) if without_zone(text).len() == 10 => Some(Type::DATE),
        Some(_) => None,
        None if text.parse::<i64>().is_ok() => Some(Type::INT8),
        None if from_text(&Type::NUMERIC, text).is_ok() => Some(Type::NUMERIC),
        None if shape.starts_with("00:00") && text.is_ascii() => Some(Type::TIME),
        None if ["true", "false", "t", "f"].contains(&text) => Some(Type::BOOL),
        None if is_uuid(text) => Some(Type::UUID),
        None => None,
    }
}

fn is_uuid(text: &str) -> bool {
    let fits =
        |(place, byte): (usize, u8)| if [8, 13, 18, 23].contains(&place) { byte == b'-' } else { byte.is_ascii_hexdigit() };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

fn from_text(kind: &Type, text: &str) -> Result<String, String> {
    let trimmed = text.trim();
    Ok(match *kind {
        Type::BOOL => match trimmed.to_ascii_lowercase().as_str() {
            "t" | "true" | "1" | "on" | "y" | "yes" => "TRUE".to_owned(),
            "f" | "false" | "0" | "off" | "n" | "no" => "FALSE".to_owned(),
            _ => return Err(invalid("boolean", text)),
        },
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => {
            let number: i64 = trimmed.parse().map_err(|_| invalid("integer", text))?;
            // Of the type that was told, whatever the number is. The least one is no literal of its own in SQL.
            match *kind {
                Type::INT2 => format!("CAST('{number}' AS smallint)"),
                Type::INT4 if number == i64::from(i32::MIN) => format!("CAST('{number}' AS integer)"),
                Type::INT8 => format!("CAST('{number}' AS bigint)"),
                _ => number.to_string(),
            }
        }
        Type::FLOAT4 | Type::FLOAT8 => {
            let name = if *kind == Type::FLOAT4 { "real" } else { "double" };
            let number: f64 = trimmed.parse().map_err(|_| invalid("double precision", text))?;
            let shown = match number {
                number if number.is_nan() => "NaN".to_owned(),
                number if number.is_infinite() => if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
                _ => trimmed.to_owned(),
            };
            format!("CAST({} AS {name})", quote(&shown))
        }
        Type::NUMERIC => {
            let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
            let good = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            match good && digits.matches('.').count() <= 1 && digits != "." {
                true => format!("DECIMAL '{trimmed}'"),
                // Exponents, which decimals have no literal for.
                false => {
                    trimmed.parse::<f64>().map_err(|_| invalid("numeric", text))?;
                    format!("CAST({} AS double)", quote(trimmed))
                }
            }
        }
        Type::DATE => format!("CAST({} AS date)", quote(without_zone(trimmed))),
        Type::TIMESTAMP => format!("CAST({} AS timestamp)", quote(&trimmed.replacen('T', " ", 1))),
        Type::TIMESTAMPTZ => format!("CAST({} AS timestamp with time zone)", quote(&with_zone(trimmed))),
        Type::TIME => format!("CAST({} AS time)", quote(trimmed)),
        Type::UUID => format!("CAST({} AS uuid)", quote(trimmed)),
        Type::JSON | Type::JSONB => format!("JSON {}", quote(text)),
        Type::BYTEA => match text.strip_prefix("\\x") {
            Some(hex) if hex.len() % 2 == 0 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => format!("X'{hex}'"),
            _ => return Err(invalid("bytea", text)),
        },
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => quote(text),
        _ => return Err(format!("parameters of type {} are not supported; cast a text in the statement", kind.name())),
    })
}

fn invalid(name: &str, text: &str) -> String {
    let shown: String = text.chars().take(64).collect();
    format!("invalid input syntax for type {name}: \"{shown}\"")
}

/// A date's text without a zone, which PostgreSQL takes and does not look at.
fn without_zone(text: &str) -> &str {
    match text.split_once(' ') {
        Some((date, zone))
            if zone.starts_with(['+', '-']) && zone[1..].bytes().all(|byte| byte.is_ascii_digit() || byte == b':') =>
        {
            date
        }
        _ => text,
    }
}

/// Trino wants a blank before the zone, and minutes in it.
fn with_zone(text: &str) -> String {
    let text = text.replacen('T', " ", 1);
    let Some(zone) = text.char_indices().skip(11).find(|(_, c)| matches!(c, '+' | '-' | 'Z')).map(|(at, _)| at) else {
        return format!("{text} UTC");
    };
    let (time, zone) = text.split_at(zone);
    let zone = match zone {
        "Z" => "UTC".to_owned(),
        short if short.len() == 3 => format!("{short}:00"),
        whole => whole.to_owned(),
    };
    format!("{} {zone}", time.trim_end())
}

/// The text of a binary value.
fn from_binary(kind: &Type, bytes: &[u8]) -> Result<String, String> {
    let wrong = || format!("incorrect binary data format for type {}: {} bytes", kind.name(), bytes.len());
    let infinite = || format!("{} out of range: infinity is none here", kind.name());
    let whole = |width: usize| -> Result<i64, String> {
        if bytes.len() != width {
            return Err(wrong());
        }
        let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
        Ok(bytes.iter().fold(if negative { -1 } else { 0 }, |value: i64, byte| (value << 8) | i64::from(*byte)))
    };
    Ok(match *kind {
        Type::BOOL => (whole(1)? != 0).to_string(),
        Type::INT2 => whole(2)?.to_string(),
        Type::INT4 => whole(4)?.to_string(),
        Type::OID => (whole(4)? & 0xffff_ffff).to_string(),
        Type::INT8 => whole(8)?.to_string(),
        Type::FLOAT4 => f32::from_bits(whole(4)? as u32).to_string(),
        Type::FLOAT8 => f64::from_bits(whole(8)? as u64).to_string(),
        Type::DATE => date(whole(4)?).ok_or_else(infinite)?,
        Type::TIME => clock(whole(8)?),
        Type::TIMESTAMP => timestamp(whole(8)?).ok_or_else(infinite)?,
        Type::TIMESTAMPTZ => format!("{}+00", timestamp(whole(8)?).ok_or_else(infinite)?),
        Type::NUMERIC => numeric(bytes).ok_or_else(wrong)?,
        Type::UUID if bytes.len() == 16 => {
            let hex = hex_of(bytes);
            format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
        }
        Type::BYTEA => format!("\\x{}", hex_of(bytes)),
        Type::JSONB if bytes.first() == Some(&1) => utf8(&bytes[1..])?,
        Type::JSON | Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => utf8(bytes)?,
        _ => return Err(format!("binary parameters of type {} are not supported; send text", kind.name())),
    })
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "it is not UTF-8".to_owned())
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `days` since 2000-01-01. PostgreSQL's `infinity` is a number of days, too, which no date here is.
fn date(days: i64) -> Option<String> {
    let days = i32::try_from(days + EPOCH_DAYS).ok()?;
    let mut text = String::new();
    write_date(days, &mut text);
    Some(text)
}

fn clock(micros: i64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 { text } else { format!("{text}.{fraction:06}") }
}

fn timestamp(micros: i64) -> Option<String> {
    // The ends of the range are PostgreSQL's `-infinity` and `infinity`.
    let finite = Some(micros).filter(|micros| !matches!(*micros, i64::MIN | i64::MAX))?;
    Some(format!("{} {}", date(finite.div_euclid(DAY_US))?, clock(finite.rem_euclid(DAY_US))))
}

/// Digits of base 10,000, with the weight of the first, a sign, and the number of decimals to show.
fn numeric(bytes: &[u8]) -> Option<String> {
    let field = |at: usize| bytes.get(at..at + 2).map(|two| i16::from_be_bytes([two[0], two[1]]));
    let (count, weight, sign, scale) = (field(0)? as u16 as usize, i32::from(field(2)?), field(4)? as u16, field(6)? as u16);
    if bytes.len() != 8 + 2 * count || count > 1000 || scale > 1000 || weight.abs() > 1000 {
        return None;
    }
    let digit = |place: i32| -> Option<i16> {
        match usize::try_from(weight - place) {
            Ok(index) if index < count => field(8 + 2 * index),
            _ => Some(0),
        }
    };
    let mut text = String::from(match sign {
        0 => "",
        0x4000 => "-",
        _ => return None,
    });
    let mut whole = String::new();
    for place in (0..=weight.max(0)).rev() {
        let _ = write!(whole, "{:04}", digit(place)?);
    }
    let whole = whole.trim_start_matches('0');
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let mut decimals = String::new();
        let mut place = -1;
        while decimals.len() < usize::from(scale) {
            let _ = write!(decimals, "{:04}", digit(place)?);
            place -= 1;
        }
        decimals.truncate(usize::from(scale));
        text.push('.');
        text.push_str(&decimals);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &Type, format: i16, value: &[u8], expected: &str) {
        assert_eq!(literal(kind, format, Some(value)).as_deref(), Ok(expected), "{kind} {value:?}");
    }

    #[test]
    fn texts_look_like_what_they_are() {
        for (text, kind) in [
            ("2024-05-17", Some(Type::DATE)),
            ("2024-05-17 +00", Some(Type::DATE)),
            ("2024-05-17 10:00:00", Some(Type::TIMESTAMP)),
            ("2024-05-17T10:00:00.123456", Some(Type::TIMESTAMP)),
            ("2024-05-17 10:00:00.5+02", Some(Type::TIMESTAMPTZ)),
            ("2024-05-17 10:00:00Z", Some(Type::TIMESTAMPTZ)),
            ("10:30:00", Some(Type::TIME)),
            ("-12", Some(Type::INT8)),
            ("1.50", Some(Type::NUMERIC)),
            ("true", Some(Type::BOOL)),
            ("0ac00c8e-2b4a-4b58-8f4b-7d8c1a1f5d2e", Some(Type::UUID)),
            ("2024-05-17é10:00", None),
            ("2024-05-17x", None),
            ("DL", None),
            ("", None),
        ] {
            assert_eq!(looks_like(text), kind, "{text}");
        }
    }

    #[test]
    fn texts_become_literals_that_cannot_be_left() {
        check(&Type::TEXT, 0, b"o'k; DROP TABLE t --", "'o''k; DROP TABLE t --'");
        check(&Type::UNKNOWN, 0, b"x", "'x'");
        check(&Type::INT4, 0, b" 7 ", "7");
        check(&Type::INT4, 0, b"-2147483648", "CAST('-2147483648' AS integer)");
        check(&Type::INT2, 0, b"7", "CAST('7' AS smallint)");
        check(&Type::DATE, 0, b"2024-02-29 +00", "CAST('2024-02-29' AS date)");
        check(&Type::INT8, 0, b"-9223372036854775808", "CAST('-9223372036854775808' AS bigint)");
        check(&Type::BOOL, 0, b"t", "TRUE");
        check(&Type::NUMERIC, 0, b"-1.50", "DECIMAL '-1.50'");
        check(&Type::FLOAT8, 0, b"1e3", "CAST('1e3' AS double)");
        check(&Type::BYTEA, 0, b"\\x00Ff", "X'00Ff'");
        check(&Type::TIMESTAMPTZ, 0, b"2024-02-29 10:00:00+02", "CAST('2024-02-29 10:00:00 +02:00' AS timestamp with time zone)");
        for (kind, bad) in
            [(Type::INT4, "1; DROP"), (Type::NUMERIC, "1'"), (Type::FLOAT8, "x"), (Type::BYTEA, "\\x0'"), (Type::BOOL, "'")]
        {
            assert!(literal(&kind, 0, Some(bad.as_bytes())).is_err(), "{kind} {bad}");
        }
        assert_eq!(literal(&Type::INT4, 0, None).as_deref(), Ok("NULL"));
    }

    #[test]
    fn binary_values_are_read() {
        check(&Type::INT2, 1, &[0xff, 0xfe], "CAST('-2' AS smallint)");
        check(&Type::INT4, 1, &7_i32.to_be_bytes(), "7");
        check(&Type::FLOAT8, 1, &(-2.5_f64).to_be_bytes(), "CAST('-2.5' AS double)");
        check(&Type::BOOL, 1, &[1], "TRUE");
        check(&Type::DATE, 1, &8825_i32.to_be_bytes(), "CAST('2024-02-29' AS date)");
        check(&Type::DATE, 1, &(-1_i32).to_be_bytes(), "CAST('1999-12-31' AS date)");
        let micros = 8825 * DAY_US + 36_000_000_000 + 500_000;
        check(&Type::TIMESTAMP, 1, &micros.to_be_bytes(), "CAST('2024-02-29 10:00:00.500000' AS timestamp)");
        check(&Type::BYTEA, 1, &[0, 255], "X'00ff'");
        // 12345.678: digits 1, 2345, 6780; weight 1; three decimals.
        let number: Vec<u8> = [3_i16, 1, 0, 3, 1, 2345, 6780].iter().flat_map(|part| part.to_be_bytes()).collect();
        check(&Type::NUMERIC, 1, &number, "DECIMAL '12345.678'");
        let small: Vec<u8> = [1_i16, -1, 0x4000, 4, 15].iter().flat_map(|part| part.to_be_bytes()).collect();
        check(&Type::NUMERIC, 1, &small, "DECIMAL '-0.0015'");
        for (kind, infinity) in [
            (Type::DATE, i32::MAX.to_be_bytes().to_vec()),
            (Type::TIMESTAMP, i64::MAX.to_be_bytes().to_vec()),
            (Type::TIMESTAMPTZ, i64::MIN.to_be_bytes().to_vec()),
        ] {
            assert!(literal(&kind, 1, Some(&infinity)).is_err(), "{kind}");
        }
        assert!(literal(&Type::INT4, 1, Some(&[1])).is_err());
        assert!(literal(&Type::NUMERIC, 1, Some(&[0, 9])).is_err());
        assert!(literal(&Type::TEXT, 1, Some(&[0xff])).is_err());
    }
}
