//! Partition values as the key's type sees them: how their text is read, how they compare, and bytes that sort the way they compare.

use crate::catalog::NULL_PARTITION;
use chrono::{NaiveDate, NaiveDateTime};

/// What a partition key's values are compared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// `string`, `char`, `varchar` and whatever is not known.
    Text,
    /// `tinyint` to `bigint`, and Glue's `long`.
    Integer,
    /// `decimal` of any precision.
    Decimal,
    /// `float` and `double`.
    Float,
    /// `date`.
    Date,
    /// `timestamp`.
    Timestamp,
    /// `boolean`.
    Boolean,
}

/// A partition value that is not NULL. Values of one [`KeyType`] are of one variant, and compare as SQL compares them.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub enum KeyValue {
    /// By Unicode code points.
    Text(String),
    /// An integer, days since 1970, microseconds since 1970, or 0 and 1.
    Integer(i64),
    /// Never NaN.
    Float(f64),
    /// A decimal number in bytes that compare as the numbers do.
    Decimal(Vec<u8>),
}

impl KeyType {
    /// The type of a key from its Hive type in text.
    pub fn of(data_type: &str) -> Self {
        let name = data_type.split('(').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "tinyint" | "smallint" | "int" | "integer" | "bigint" | "long" | "short" | "byte" => Self::Integer,
            "decimal" | "numeric" => Self::Decimal,
            "float" | "double" | "real" => Self::Float,
            "date" => Self::Date,
            "timestamp" | "datetime" => Self::Timestamp,
            "boolean" => Self::Boolean,
            _ => Self::Text,
        }
    }

    /// A name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Integer => "integer",
            Self::Decimal => "decimal",
            Self::Float => "number",
            Self::Date => "date (YYYY-MM-DD)",
            Self::Timestamp => "timestamp (YYYY-MM-DD HH:MM:SS)",
            Self::Boolean => "boolean",
        }
    }

    /// Reads a partition's value. `None` (NULL) for Hive's null partition, and for a text that is not of this type.
    pub fn read(self, text: &str) -> Option<KeyValue> {
        if text == NULL_PARTITION { None } else { self.parse(text) }
    }

    /// Reads a text as this type.
    pub(super) fn parse(self, text: &str) -> Option<KeyValue> {
        if self == Self::Text {
            return Some(KeyValue::Text(text.to_owned()));
        }
        let text = text.trim();
        match self {
            Self::Text => None,
            Self::Integer => text.parse().ok().map(KeyValue::Integer),
            Self::Decimal => decimal(text).map(KeyValue::Decimal),
            Self::Float => text.parse().ok().filter(|number: &f64| !number.is_nan()).map(KeyValue::Float),
            Self::Date => date(text).map(KeyValue::Integer),
            Self::Timestamp => timestamp(text).map(KeyValue::Integer),
            Self::Boolean => match text.to_ascii_lowercase().as_str() {
                "true" => Some(KeyValue::Integer(1)),
                "false" => Some(KeyValue::Integer(0)),
                _ => None,
            },
        }
    }

    /// Whether `text` is the only text that reads as its value.
    fn is_plain(self, text: &str, value: Option<&KeyValue>) -> bool {
        match (self, value) {
            (Self::Text, Some(_)) => true,
            (Self::Integer, Some(KeyValue::Integer(number))) => number.to_string() == text,
            (Self::Date, Some(KeyValue::Integer(_))) => text.len() == 10,
            (_, None) => text == NULL_PARTITION,
            _ => false,
        }
    }
}

fn date(text: &str) -> Option<i64> {
    let shaped =
        text.len() == 10 && text.bytes().enumerate().all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
    if !shaped {
        return None;
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(day.signed_duration_since(NaiveDate::default()).num_days())
}

fn timestamp(text: &str) -> Option<i64> {
    if let Some(days) = date(text) {
        return Some(days * 86_400_000_000);
    }
    let text = text.strip_suffix('Z').unwrap_or(text);
    let forms = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    let time = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())?;
    Some(time.and_utc().timestamp_micros())
}

/// Sign, magnitude (as the place of the decimal point) and digits: for positive numbers the bytes grow with the number, for negative ones they
/// are those of the positive number turned around.
fn decimal(text: &str) -> Option<Vec<u8>> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok().filter(|e| e.unsigned_abs() < 10_000)?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole.as_bytes(), fraction.as_bytes()].concat();
    if all.is_empty() || all.len() > 1_000 || !all.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let zeros = all.iter().take_while(|digit| **digit == b'0').count();
    if zeros == all.len() {
        return Some(vec![1]);
    }
    let magnitude = whole.len() as i32 - zeros as i32 + exponent;
    let end = all.len() - all.iter().rev().take_while(|digit| **digit == b'0').count();
    let mut bytes = ((magnitude as u32) ^ 0x8000_0000).to_be_bytes().to_vec();
    bytes.extend_from_slice(&all[zeros..end]);
    bytes.push(0);
    if negative {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
    }
    bytes.insert(0, if negative { 0 } else { 2 });
    Some(bytes)
}

/// Before a NULL in sort bytes: NULLs come first.
const NULL_TAG: u8 = 0;
/// Before a value in sort bytes.
pub(super) const VALUE_TAG: u8 = 1;

/// Appends bytes that sort as values of one type compare, NULL first, and of which none is the beginning of another's.
pub(super) fn encode(value: Option<&KeyValue>, bytes: &mut Vec<u8>) {
    let Some(value) = value else {
        bytes.push(NULL_TAG);
        return;
    };
    bytes.push(VALUE_TAG);
    match value {
        KeyValue::Text(text) => encode_bytes(text.as_bytes(), bytes),
        KeyValue::Integer(number) => bytes.extend(((*number as u64) ^ (1 << 63)).to_be_bytes()),
        KeyValue::Float(number) => {
            // -0.0 and 0.0 are one value.
            let bits = (number + 0.0).to_bits();
            let ordered = if bits >> 63 == 1 { !bits } else { bits ^ (1 << 63) };
            bytes.extend(ordered.to_be_bytes());
        }
        KeyValue::Decimal(number) => encode_bytes(number, bytes),
    }
}

fn encode_bytes(text: &[u8], bytes: &mut Vec<u8>) {
    encode_open(text, bytes);
    bytes.extend([0, 0]);
}

/// A text without its end: the beginning of all texts that begin so.
pub(super) fn encode_open(text: &[u8], bytes: &mut Vec<u8>) {
    for byte in text {
        bytes.push(*byte);
        if *byte == 0 {
            bytes.push(0xFF);
        }
    }
}

/// Bytes that identify a partition by its values, and sort partitions by their typed values.
///
/// Values whose texts differ are different partitions even where they compare as equal (`1` and `01` of an integer key): the texts then follow.
pub fn sort_bytes(types: &[KeyType], values: &[String]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * 12);
    let mut plain = true;
    for (key, text) in types.iter().zip(values) {
        let value = key.read(text);
        plain &= key.is_plain(text, value.as_ref());
        encode(value.as_ref(), &mut bytes);
    }
    if !plain || types.len() != values.len() {
        for text in values {
            encode_bytes(text.as_bytes(), &mut bytes);
        }
    }
    bytes
}
