//! Keys: their attributes, their bytes in the store's order, and ranges of sort keys.
//!
//! DynamoDB orders strings by their UTF-8 bytes, numbers by value and binaries by unsigned bytes (developer guide, "Query": sort order). The bytes of [`encode_key_part`] have
//! that order under `memcmp`, and end by themselves: no encoding is a prefix of another of its type, so that hash and range key are put one after the other.

use super::{Item, Kind, Value};
use crate::number::Number;
use std::cmp::Ordering;

/// The longest partition key, in bytes.
pub const HASH_KEY_BYTES_MAX: usize = 2048;
/// The longest sort key, in bytes.
pub const RANGE_KEY_BYTES_MAX: usize = 1024;

/// The type of a key attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// `S`
    String,
    /// `N`
    Number,
    /// `B`
    Binary,
}

impl KeyType {
    /// `S`, `N` or `B`.
    pub fn name(self) -> &'static str {
        self.kind().name()
    }

    /// Of its name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "S" => Some(Self::String),
            "N" => Some(Self::Number),
            "B" => Some(Self::Binary),
            _ => None,
        }
    }

    /// The type of values that it takes.
    pub fn kind(self) -> Kind {
        match self {
            Self::String => Kind::String,
            Self::Number => Kind::Number,
            Self::Binary => Kind::Binary,
        }
    }
}

/// An attribute of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyAttribute {
    /// Its name.
    pub name: String,
    /// Its type.
    pub key_type: KeyType,
}

/// The key of a table or an index.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeySchema {
    /// The partition key.
    pub hash: KeyAttribute,
    /// The sort key, where there is one.
    pub range: Option<KeyAttribute>,
}

impl KeySchema {
    /// Is it an attribute of this key?
    pub fn has(&self, name: &str) -> bool {
        self.attributes().any(|attribute| attribute.name == name)
    }

    /// The partition key, then the sort key.
    pub fn attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        std::iter::once(&self.hash).chain(&self.range)
    }

    /// The key's attributes of an item, if it has them all with the right types.
    pub fn key_of(&self, item: &Item) -> Option<Item> {
        self.attributes()
            .map(|attribute| {
                let value = item.get(&attribute.name)?;
                (value.kind() == attribute.key_type.kind()).then(|| (attribute.name.clone(), value.clone()))
            })
            .collect()
    }
}

/// Which sort keys of a partition; values are of the sort key's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortRange {
    /// All of them.
    All,
    /// `=`
    Equal(Value),
    /// `<`
    Less(Value),
    /// `<=`
    LessOrEqual(Value),
    /// `>`
    Greater(Value),
    /// `>=`
    GreaterOrEqual(Value),
    /// From the first to the second, both included; never the wrong way round.
    Between(Value, Value),
    /// `S` and `B` only.
    BeginsWith(Value),
}

/// What a query reads: one partition, and which sort keys of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The partition key's value.
    pub hash: Value,
    /// Which sort keys.
    pub sort: SortRange,
}

impl SortRange {
    /// Is this sort key in it? The value is of the sort key's type.
    pub fn contains(&self, value: &Value) -> bool {
        let order = |bound: &Value| compare(value, bound);
        match self {
            Self::All => true,
            Self::Equal(bound) => order(bound) == Some(Ordering::Equal),
            Self::Less(bound) => order(bound) == Some(Ordering::Less),
            Self::LessOrEqual(bound) => order(bound).is_some_and(Ordering::is_le),
            Self::Greater(bound) => order(bound) == Some(Ordering::Greater),
            Self::GreaterOrEqual(bound) => order(bound).is_some_and(Ordering::is_ge),
            Self::Between(low, high) => order(low).is_some_and(Ordering::is_ge) && order(high).is_some_and(Ordering::is_le),
            Self::BeginsWith(prefix) => begins_with(value, prefix),
        }
    }

    /// As bytes of [`encode_key_part`]: from the first (included, if given) to the second (excluded, if given). What follows a sort key's bytes in a longer
    /// key does not matter.
    pub fn bounds(&self) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let from = |value: &Value| Some(encoded(value));
        let behind = |value: &Value| successor(encoded(value));
        match self {
            Self::All => (None, None),
            Self::Equal(value) => (from(value), behind(value)),
            Self::Less(value) => (None, from(value)),
            Self::LessOrEqual(value) => (None, behind(value)),
            Self::Greater(value) => (behind(value), None),
            Self::GreaterOrEqual(value) => (from(value), None),
            Self::Between(low, high) => (from(low), behind(high)),
            Self::BeginsWith(prefix) => {
                let mut start = encoded(prefix);
                start.truncate(start.len().saturating_sub(TERMINATOR.len()));
                let end = successor(start.clone());
                (Some(start), end)
            }
        }
    }
}

/// The order of two values of one type, where it has one: `S`, `N` and `B`.
pub(crate) fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => Some(left.cmp(right)),
        (Value::Binary(left), Value::Binary(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// `begins_with`
pub(crate) fn begins_with(value: &Value, prefix: &Value) -> bool {
    match (value, prefix) {
        (Value::String(value), Value::String(prefix)) => value.starts_with(prefix.as_str()),
        (Value::Binary(value), Value::Binary(prefix)) => value.starts_with(prefix),
        _ => false,
    }
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let _ = encode_key_part(value, &mut out);
    out
}

/// The first bytes behind all that begin with these.
fn successor(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    while let Some(last) = bytes.pop() {
        if last < u8::MAX {
            bytes.push(last + 1);
            return Some(bytes);
        }
    }
    None
}

/// Ends a string or binary; a zero byte in it is followed by [`ZERO_FOLLOWS`].
const TERMINATOR: [u8; 2] = [0, 0];
const ZERO_FOLLOWS: u8 = 0xff;
/// First bytes of numbers.
const NEGATIVE: u8 = 0x40;
const ZERO: u8 = 0x80;
const POSITIVE: u8 = 0xc0;
/// The smallest power of ten of a number's first digit, so that all of them are a byte.
const MAGNITUDE_MIN: i64 = -130;

/// Appends the key's bytes. `S`, `N` and `B` only: answers false, and appends nothing, for others.
///
/// `S`, `B`: the bytes, with `00` as `00 FF`, then `00 00`. `N`: the sign; the power of ten of the first digit as a byte; digits in pairs from the first, each
/// a byte from 1 to 100; 0. All behind the sign is inverted for negative numbers.
#[must_use]
pub fn encode_key_part(value: &Value, out: &mut Vec<u8>) -> bool {
    match value {
        Value::String(text) => encode_bytes(text.as_bytes(), out),
        Value::Binary(bytes) => encode_bytes(bytes, out),
        Value::Number(number) => encode_number(*number, out),
        _ => return false,
    }
    true
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    for piece in bytes.split_inclusive(|byte| *byte == 0) {
        out.extend_from_slice(piece);
        if piece.last() == Some(&0) {
            out.push(ZERO_FOLLOWS);
        }
    }
    out.extend_from_slice(&TERMINATOR);
}

fn encode_number(number: Number, out: &mut Vec<u8>) {
    let (negative, digits, _) = number.parts();
    if digits == 0 {
        out.push(ZERO);
        return;
    }
    out.push(if negative { NEGATIVE } else { POSITIVE });
    let start = out.len();
    out.push(u8::try_from(number.magnitude() - MAGNITUDE_MIN).unwrap_or(u8::MAX));
    let text = digits.to_string();
    for pair in text.as_bytes().chunks(2) {
        let low = pair.get(1).map_or(0, |digit| digit - b'0');
        out.push((pair[0] - b'0') * 10 + low + 1);
    }
    out.push(0);
    if negative {
        for byte in &mut out[start..] {
            *byte = !*byte;
        }
    }
}

/// Reads what [`encode_key_part`] wrote for a value of this type; also says how many bytes it took. `None` where the bytes are none.
pub fn decode_key_part(key_type: KeyType, bytes: &[u8]) -> Option<(Value, usize)> {
    match key_type {
        KeyType::Binary => decode_bytes(bytes).map(|(bytes, length)| (Value::Binary(bytes), length)),
        KeyType::String => {
            let (bytes, length) = decode_bytes(bytes)?;
            Some((Value::String(String::from_utf8(bytes).ok()?), length))
        }
        KeyType::Number => decode_number(bytes).map(|(number, length)| (Value::Number(number), length)),
    }
}

fn decode_bytes(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut decoded = Vec::new();
    let mut at = 0;
    loop {
        let zero = at + bytes.get(at..)?.iter().position(|byte| *byte == 0)?;
        decoded.extend_from_slice(&bytes[at..zero]);
        at = zero + 2;
        match *bytes.get(zero + 1)? {
            0 => return Some((decoded, at)),
            ZERO_FOLLOWS => decoded.push(0),
            _ => return None,
        }
    }
}

fn decode_number(bytes: &[u8]) -> Option<(Number, usize)> {
    let mask = match *bytes.first()? {
        ZERO => return Some((Number::ZERO, 1)),
        POSITIVE => 0,
        NEGATIVE => u8::MAX,
        _ => return None,
    };
    let magnitude = i64::from(*bytes.get(1)? ^ mask) + MAGNITUDE_MIN;
    let mut digits = 0u128;
    let mut length = 2;
    let mut places = 0i64;
    loop {
        let pair = *bytes.get(length)? ^ mask;
        length += 1;
        match pair {
            0 => break,
            1..=100 if length <= 2 + 19 + 1 => digits = digits * 100 + u128::from(pair - 1),
            _ => return None,
        }
        places += 2;
    }
    if digits.is_multiple_of(10) {
        digits /= 10;
        places -= 1;
    }
    let exponent = i16::try_from(magnitude - (places - 1)).ok()?;
    let number = Number::from_parts(mask != 0, digits, exponent)?;
    (number.magnitude() == magnitude).then_some((number, length))
}

#[cfg(test)]
#[path = "key/tests.rs"]
mod tests;
