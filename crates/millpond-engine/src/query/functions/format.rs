//! Values in forms for people: `format` in Java's notation, `format_number`, `parse_data_size` (Trino documentation, "Conversion functions").

use super::call::{Call, TextOut, bad, check_bytes, each};
use super::{Function, function};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::Result;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("format", &FORMAT, format),
        function("format_number", &["(bigint) -> varchar", "(double) -> varchar"], |call| {
            if *call.arrays[0].data_type() == DataType::Int64 {
                return each!(call, TextOut, |value: 0 int| Some(short_number(value as f64)));
            }
            each!(call, TextOut, |value: 0 double| Some(short_number(value)))
        }),
        function("parse_data_size", &["(varchar) -> decimal(38,0)"], parse_data_size),
    ]
}

/// Arguments are of any types: one letter for each.
const FORMAT: [&str; 8] = [
    "(varchar, A) -> varchar",
    "(varchar, A, B) -> varchar",
    "(varchar, A, B, C) -> varchar",
    "(varchar, A, B, C, D) -> varchar",
    "(varchar, A, B, C, D, E) -> varchar",
    "(varchar, A, B, C, D, E, F) -> varchar",
    "(varchar, A, B, C, D, E, F, G) -> varchar",
    "(varchar, A, B, C, D, E, F, G, H) -> varchar",
];

/// The widest field, and the most digits.
const WIDTH_MAX: usize = 100_000;

/// `%[argument$][flags][width][.precision]conversion`
#[derive(Debug, Clone, Default)]
struct Specifier {
    argument: Option<usize>,
    left: bool,
    zero: bool,
    plus: bool,
    space: bool,
    group: bool,
    parentheses: bool,
    width: usize,
    precision: Option<usize>,
    conversion: char,
    /// Of `t` and `T`.
    time: char,
}

fn wrong(text: &str) -> datafusion::common::DataFusionError {
    bad(format!("Invalid format string: {text}"))
}

enum Part {
    Literal(String),
    Value(Specifier),
}

fn parse(text: &str) -> Result<Vec<Part>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        if at > 0 {
            out.push(Part::Literal(rest[..at].to_owned()));
        }
        rest = &rest[at + 1..];
        let mut specifier = Specifier::default();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if rest[digits..].starts_with('$') && digits > 0 {
            let index: usize = rest[..digits].parse().map_err(|_| wrong(text))?;
            specifier.argument = Some(index.checked_sub(1).ok_or_else(|| wrong(text))?);
            rest = &rest[digits + 1..];
        }
        while let Some(flag) = rest.chars().next().filter(|flag| "-#+ 0,(".contains(*flag)) {
            match flag {
                '-' => specifier.left = true,
                '0' => specifier.zero = true,
                '+' => specifier.plus = true,
                ' ' => specifier.space = true,
                ',' => specifier.group = true,
                '(' => specifier.parentheses = true,
                _ => {}
            }
            rest = &rest[1..];
        }
        let number = |rest: &mut &str| -> Result<Option<usize>> {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return Ok(None);
            }
            let value: usize = rest[..digits].parse().map_err(|_| wrong(text))?;
            *rest = &rest[digits..];
            if value > WIDTH_MAX { Err(wrong(text)) } else { Ok(Some(value)) }
        };
        specifier.width = number(&mut rest)?.unwrap_or(0);
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            specifier.precision = Some(number(&mut rest)?.ok_or_else(|| wrong(text))?);
        }
        specifier.conversion = rest.chars().next().ok_or_else(|| wrong(text))?;
        rest = &rest[specifier.conversion.len_utf8()..];
        if matches!(specifier.conversion, 't' | 'T') {
            specifier.time = rest.chars().next().ok_or_else(|| wrong(text))?;
            rest = &rest[specifier.time.len_utf8()..];
        }
        out.push(Part::Value(specifier));
    }
    out.push(Part::Literal(rest.to_owned()));
    Ok(out)
}

/// A column as the conversions take it.
struct Argument<'a> {
    array: &'a ArrayRef,
    texts: Vec<Option<String>>,
}

fn format(call: &Call<'_>) -> Result<ArrayRef> {
    let formats = call.text(0);
    let mut arguments = Vec::with_capacity(call.count() - 1);
    for (array, field) in call.arrays[1..].iter().zip(&call.fields[1..]) {
        let texts = crate::result::value::typed_texts(array, &crate::types::TrinoType::of_field(field)).map_err(bad)?;
        arguments.push(Argument { array, texts });
    }
    let mut known: Option<(String, Vec<Part>)> = None;
    let mut out = TextOut::with_rows(call.rows);
    for row in 0..call.rows {
        if formats.is_null(row) {
            out.null();
            continue;
        }
        let text = formats.value(row);
        if known.as_ref().is_none_or(|(before, _)| before != text) {
            known = Some((text.to_owned(), parse(text)?));
        }
        let (mut made, mut next) = (String::new(), 0);
        for part in known.iter().flat_map(|(_, parts)| parts) {
            match part {
                Part::Literal(literal) => made.push_str(literal),
                Part::Value(specifier) => made.push_str(&value(specifier, &arguments, &mut next, row, text)?),
            }
            check_bytes(made.len())?;
        }
        out.push(Some(made))?;
    }
    Ok(out.finish())
}

fn value(specifier: &Specifier, arguments: &[Argument<'_>], next: &mut usize, row: usize, text: &str) -> Result<String> {
    match specifier.conversion {
        '%' => return Ok(padded("%".into(), specifier)),
        'n' => return Ok("\n".into()),
        _ => {}
    }
    let index = specifier.argument.unwrap_or_else(|| {
        *next += 1;
        *next - 1
    });
    let argument = arguments.get(index).ok_or_else(|| bad(format!("Format specifier without an argument: {text}")))?;
    let Some(shown) = &argument.texts[row] else { return Ok(padded("null".into(), specifier)) };
    let plain = match specifier.conversion {
        's' | 'S' => shown.chars().take(specifier.precision.unwrap_or(usize::MAX)).collect(),
        'b' | 'B' => {
            if argument.array.data_type() == &DataType::Boolean {
                shown.clone()
            } else {
                "true".into()
            }
        }
        'd' => return integer(specifier, argument, row, shown),
        'x' | 'X' | 'o' => {
            let value = integer_of(argument, row).ok_or_else(|| mismatch(specifier, shown))?;
            let small = argument.array.data_type() == &DataType::Int32;
            match (specifier.conversion, small) {
                ('o', false) => format!("{value:o}"),
                ('o', true) => format!("{:o}", value as i32),
                (_, false) => format!("{value:x}"),
                (_, true) => format!("{:x}", value as i32),
            }
        }
        'f' | 'e' | 'E' | 'g' | 'G' => return decimal(specifier, argument, row, shown),
        'c' | 'C' => shown.chars().take(1).collect(),
        't' | 'T' => time(specifier, argument, row, shown)?,
        _ => return Err(wrong(text)),
    };
    let plain = if specifier.conversion.is_uppercase() { plain.to_uppercase() } else { plain };
    Ok(padded(plain, specifier))
}

fn mismatch(specifier: &Specifier, shown: &str) -> datafusion::common::DataFusionError {
    let shown: String = shown.chars().take(50).collect();
    bad(format!("Invalid format string: %{} does not take the value {shown}", specifier.conversion))
}

fn padded(text: String, specifier: &Specifier) -> String {
    let missing = specifier.width.saturating_sub(text.chars().count());
    let blanks = " ".repeat(missing);
    if specifier.left { text + &blanks } else { blanks + &text }
}

fn integer_of(argument: &Argument<'_>, row: usize) -> Option<i64> {
    if !argument.array.data_type().is_integer() {
        return None;
    }
    let one = cast(&argument.array.slice(row, 1), &DataType::Int64).ok()?;
    Some(one.as_primitive::<Int64Type>().value(0))
}

fn integer(specifier: &Specifier, argument: &Argument<'_>, row: usize, shown: &str) -> Result<String> {
    let exact = matches!(argument.array.data_type(), DataType::Decimal128(_, 0));
    if integer_of(argument, row).is_none() && !exact {
        return Err(mismatch(specifier, shown));
    }
    let (sign, digits) = shown.strip_prefix('-').map_or(("", shown), |digits| ("-", digits));
    Ok(number(specifier, sign, digits, ""))
}

fn decimal(specifier: &Specifier, argument: &Argument<'_>, row: usize, shown: &str) -> Result<String> {
    let places = specifier.precision.unwrap_or(6);
    let kind = argument.array.data_type();
    if !matches!(kind, DataType::Float64 | DataType::Float32 | DataType::Decimal128(_, _)) {
        return Err(mismatch(specifier, shown));
    }
    let one = cast(&argument.array.slice(row, 1), &DataType::Float64)?;
    let value = one.as_primitive::<Float64Type>().value(0);
    if !value.is_finite() {
        return Ok(padded(shown.to_owned(), specifier));
    }
    let text = match specifier.conversion {
        'f' => rounded(shown, places),
        _ => scientific(value, places),
    };
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let (whole, rest) = text.split_at(text.find(['.', 'e']).unwrap_or(text.len()));
    let made = number(specifier, sign, whole, rest);
    Ok(if specifier.conversion.is_uppercase() { made.to_uppercase() } else { made })
}

/// Decimal digits rounded half up, as Java does it with the digits that it shows.
fn rounded(shown: &str, places: usize) -> String {
    let plain = plain_digits(shown);
    let (sign, digits) = plain.strip_prefix('-').map_or(("", plain.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut all: Vec<u8> = whole.bytes().chain(fraction.bytes().chain(std::iter::repeat(b'0')).take(places)).collect();
    if fraction.as_bytes().get(places).is_some_and(|digit| *digit >= b'5') {
        let mut at = all.len();
        loop {
            if at == 0 {
                all.insert(0, b'1');
                break;
            }
            at -= 1;
            if all[at] < b'9' {
                all[at] += 1;
                break;
            }
            all[at] = b'0';
        }
    }
    let text = String::from_utf8_lossy(&all).into_owned();
    let (whole, fraction) = text.split_at(text.len() - places);
    if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// `1.5E10` without its exponent.
fn plain_digits(shown: &str) -> String {
    let Some((mantissa, exponent)) = shown.split_once('E') else { return shown.to_owned() };
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let point = i64::try_from(whole.len()).unwrap_or(0) + exponent;
    match usize::try_from(point) {
        Ok(0) | Err(_) => format!("{sign}0.{}{digits}", "0".repeat(usize::try_from(-point).unwrap_or(0))),
        Ok(point) if point >= digits.len() => format!("{sign}{digits}{}.0", "0".repeat(point - digits.len())),
        Ok(point) => format!("{sign}{}.{}", &digits[..point], &digits[point..]),
    }
}

/// Two digits of exponent at least, with a sign.
fn scientific(value: f64, places: usize) -> String {
    let text = format!("{value:.places$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

fn number(specifier: &Specifier, sign: &str, whole: &str, rest: &str) -> String {
    let mut digits = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if specifier.group && index > 0 && (whole.len() - index).is_multiple_of(3) {
            digits.push(',');
        }
        digits.push(digit);
    }
    digits.push_str(rest);
    let (before, behind) = match (sign, specifier.parentheses) {
        ("-", true) => ("(", ")"),
        ("-", false) => ("-", ""),
        _ if specifier.plus => ("+", ""),
        _ if specifier.space => (" ", ""),
        _ => ("", ""),
    };
    if specifier.zero {
        let missing = specifier.width.saturating_sub(before.len() + digits.len() + behind.len());
        return format!("{before}{}{digits}{behind}", "0".repeat(missing));
    }
    padded(format!("{before}{digits}{behind}"), specifier)
}

fn time(specifier: &Specifier, argument: &Argument<'_>, row: usize, shown: &str) -> Result<String> {
    if !argument.array.data_type().is_temporal() {
        return Err(mismatch(specifier, shown));
    }
    let one = cast(&argument.array.slice(row, 1), &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let micros = one.as_primitive::<TimestampMicrosecondType>().value(0);
    let time = chrono::DateTime::from_timestamp_micros(micros).ok_or_else(|| mismatch(specifier, shown))?.naive_utc();
    let pattern = match specifier.time {
        'A' => "%A",
        'a' => "%a",
        'B' => "%B",
        'b' | 'h' => "%b",
        'Y' => "%Y",
        'y' => "%y",
        'm' => "%m",
        'd' => "%d",
        'e' => "%-d",
        'j' => "%j",
        'H' => "%H",
        'k' => "%-H",
        'I' => "%I",
        'l' => "%-I",
        'M' => "%M",
        'S' => "%S",
        'L' => "%3f",
        'N' => "%9f",
        'p' => "%P",
        'R' => "%H:%M",
        'T' => "%H:%M:%S",
        'r' => "%I:%M:%S %p",
        'D' => "%m/%d/%y",
        'F' => "%Y-%m-%d",
        's' => "%s",
        'C' => "%C",
        _ => return Err(mismatch(specifier, shown)),
    };
    Ok(time.format(pattern).to_string())
}

/// Three digits and a letter for the thousands.
fn short_number(value: f64) -> String {
    const UNITS: [&str; 6] = ["", "K", "M", "B", "T", "Q"];
    let mut rest = value;
    let mut unit = 0;
    while rest.abs() >= 1000.0 && unit + 1 < UNITS.len() {
        rest /= 1000.0;
        unit += 1;
    }
    let places = match rest.abs() {
        _ if rest.fract() == 0.0 => 0,
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{rest:.places$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}

/// Bytes of `2.3MB`; a unit is 1024 of the one before.
fn parse_data_size(call: &Call<'_>) -> Result<ArrayRef> {
    const UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
    let read = |text: &str| -> Option<i128> {
        let end = text.find(|one: char| !one.is_ascii_digit() && one != '.')?;
        let (digits, unit) = (&text[..end], text[end..].trim());
        let power = UNITS.iter().position(|name| *name == unit)?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if fraction.len() > 12 || whole.is_empty() {
            return None;
        }
        let scale = 10i128.pow(u32::try_from(fraction.len()).ok()?);
        let value: i128 = format!("{whole}{fraction}").parse().ok()?;
        Some(value.checked_mul(1024i128.checked_pow(u32::try_from(power).ok()?)?)? / scale)
    };
    let texts = call.text(0);
    let mut out = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        if texts.is_null(row) {
            out.push(None);
            continue;
        }
        let text = texts.value(row);
        out.push(Some(read(text).ok_or_else(|| bad(format!("Invalid data size: '{text}'")))?));
    }
    Ok(std::sync::Arc::new(arrow::array::Decimal128Array::from(out).with_precision_and_scale(38, 0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_rounded_as_shown() {
        for (shown, places, want) in [
            ("2.675", 2, "2.68"),
            ("9.99", 1, "10.0"),
            ("-0.5", 0, "-1"),
            ("1.5E10", 1, "15000000000.0"),
            ("1.0E-4", 5, "0.00010"),
        ] {
            assert_eq!(rounded(shown, places), want, "{shown}");
        }
    }

    #[test]
    fn hostile_widths_are_refused() {
        assert!(parse("%999999999d").is_err() && parse("%.999999999f").is_err() && parse("%").is_err() && parse("%0$d").is_err());
    }
}
