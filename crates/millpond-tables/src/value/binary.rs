//! Items as bytes: a version, then attributes in the order of their names, each with its length, so that one is found without reading the others.
//!
//! ```text
//! item   = version (1)  size (u32, as item_size counts)  count (varint)  { name (varint length, UTF-8)  value }*
//! value  = tag (1)  content
//! S, B   = varint length, bytes          N = header (1: sign, bytes of digits)  exponent (i16)  digits (little-endian)
//! L      = length in bytes (u32)  count (varint)  value*          M = length (u32)  count (varint)  { name  value }*
//! sets   = length (u32)  count (varint)  elements as in S, N, B without tags          BOOL, NULL = nothing
//! ```
//! Whole numbers are little-endian. Bytes that [`decode`] takes are those that [`encode`] writes: each item has one form.

use super::{DEPTH_MAX, Item, Value};
use crate::number::Number;

/// Of this form. A later form gets another, and old ones stay readable.
const VERSION: u8 = 1;
/// Version and size.
const HEADER: usize = 5;

const STRING: u8 = 1;
const NUMBER: u8 = 2;
const BINARY: u8 = 3;
const FALSE: u8 = 4;
const TRUE: u8 = 5;
const NULL: u8 = 6;
const LIST: u8 = 7;
const MAP: u8 = 8;
const STRING_SET: u8 = 9;
const NUMBER_SET: u8 = 10;
const BINARY_SET: u8 = 11;

/// Bytes that are no item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Of a version that this program does not know.
    #[error("an item of the unknown version {0}: it was written by a later Millpond")]
    Version(u8),
    /// Cut off or damaged; where, in bytes from the start.
    #[error("a damaged item: byte {0}")]
    Damaged(usize),
}

/// Appends the item's bytes.
pub fn encode(item: &Item, out: &mut Vec<u8>) {
    let mut writer = Writer::begin(out, item.len());
    for (name, value) in item {
        writer.value(name, value);
    }
    writer.finish();
}

/// Reads an item.
///
/// # Errors
/// See [`DecodeError`]; never panics, whatever the bytes are.
pub fn decode(bytes: &[u8]) -> Result<Item, DecodeError> {
    let mut input = Reader::new(bytes)?.attributes();
    let item = input.members(0)?;
    if input.at < bytes.len() { Err(input.damaged()) } else { Ok(item) }
}

/// Looks into an item's bytes.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    size: u32,
}

impl<'a> Reader<'a> {
    /// Over an item's bytes.
    ///
    /// # Errors
    /// An unknown version, or a header that is cut off.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        match bytes {
            [VERSION, a, b, c, d, ..] => Ok(Self { bytes, size: u32::from_le_bytes([*a, *b, *c, *d]) }),
            [VERSION, ..] | [] => Err(DecodeError::Damaged(bytes.len())),
            [version, ..] => Err(DecodeError::Version(*version)),
        }
    }

    /// A top-level attribute.
    ///
    /// # Errors
    /// Damaged bytes on the way to it, or in it.
    pub fn get(&self, name: &str) -> Result<Option<Value>, DecodeError> {
        let mut input = self.attributes();
        for _ in 0..input.count()? {
            let found = input.bytes()?;
            match found.cmp(name.as_bytes()) {
                std::cmp::Ordering::Less => input.skip_value()?,
                std::cmp::Ordering::Equal => return input.value(0).map(Some),
                std::cmp::Ordering::Greater => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The item's size as [`super::item_size`] counts it, in bytes: kept in the header.
    pub fn size(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }

    fn attributes(&self) -> Input<'a> {
        Input { bytes: self.bytes, at: HEADER }
    }
}

/// Bytes being read.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn damaged(&self) -> DecodeError {
        DecodeError::Damaged(self.at)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(length).ok_or(self.damaged())?;
        let taken = self.bytes.get(self.at..end).ok_or(self.damaged())?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let damaged = self.damaged();
        self.take(N)?.try_into().map_err(|_| damaged)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// In its shortest form only.
    fn varint(&mut self) -> Result<usize, DecodeError> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || shift == 0;
                return usize::try_from(value).ok().filter(|_| shortest).ok_or(self.damaged());
            }
        }
        Err(self.damaged())
    }

    /// A number of things that take a byte each at least.
    fn count(&mut self) -> Result<usize, DecodeError> {
        let count = self.varint()?;
        if count > self.bytes.len() - self.at { Err(self.damaged()) } else { Ok(count) }
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.varint()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        let bytes = self.bytes()?;
        Ok(std::str::from_utf8(bytes).map_err(|_| self.damaged())?.to_owned())
    }

    fn number(&mut self) -> Result<Number, DecodeError> {
        let header = self.byte()?;
        let length = usize::from(header & 0x7f);
        let exponent = i16::from_le_bytes(self.array()?);
        if length > 16 {
            return Err(self.damaged());
        }
        let mut digits = [0; 16];
        digits[..length].copy_from_slice(self.take(length)?);
        let shortest = length == 0 || digits[length - 1] != 0;
        Number::from_parts(header & 0x80 != 0, u128::from_le_bytes(digits), exponent).filter(|_| shortest).ok_or(self.damaged())
    }

    /// The content of something with a length; what `read` leaves of it is damage.
    fn within<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        let length = u32::from_le_bytes(self.array()?);
        let start = self.at;
        let value = read(self)?;
        if usize::try_from(length) == Ok(self.at - start) { Ok(value) } else { Err(self.damaged()) }
    }

    fn members(&mut self, depth: usize) -> Result<Item, DecodeError> {
        let count = self.count()?;
        let mut members = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            let name = self.text()?;
            if members.last().is_some_and(|(last, _)| *last >= name) {
                return Err(self.damaged());
            }
            members.push((name, self.value(depth)?));
        }
        Ok(members.into_iter().collect())
    }

    fn elements<T>(&mut self, read: impl Fn(&mut Self) -> Result<T, DecodeError>) -> Result<Vec<T>, DecodeError> {
        self.within(|input| {
            let count = input.count()?;
            let mut elements = Vec::with_capacity(count.min(64));
            for _ in 0..count {
                elements.push(read(input)?);
            }
            Ok(elements)
        })
    }

    fn set<T: Ord>(&mut self, read: impl Fn(&mut Self) -> Result<T, DecodeError>) -> Result<Vec<T>, DecodeError> {
        let elements = self.elements(read)?;
        let ordered = !elements.is_empty() && elements.windows(2).all(|pair| pair[0] < pair[1]);
        if ordered { Ok(elements) } else { Err(self.damaged()) }
    }

    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let tag = self.byte()?;
        if matches!(tag, LIST | MAP) && depth >= DEPTH_MAX {
            return Err(self.damaged());
        }
        Ok(match tag {
            STRING => Value::String(self.text()?),
            NUMBER => Value::Number(self.number()?),
            BINARY => Value::Binary(self.bytes()?.to_vec()),
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            NULL => Value::Null,
            LIST => Value::List(self.elements(|input| input.value(depth + 1))?),
            MAP => Value::Map(self.within(|input| input.members(depth + 1))?),
            STRING_SET => Value::StringSet(self.set(Self::text)?),
            NUMBER_SET => Value::NumberSet(self.set(Self::number)?),
            BINARY_SET => Value::BinarySet(self.set(|input| Ok(input.bytes()?.to_vec()))?),
            _ => return Err(self.damaged()),
        })
    }

    fn skip_value(&mut self) -> Result<(), DecodeError> {
        match self.byte()? {
            STRING | BINARY => self.bytes().map(drop),
            NUMBER => self.number().map(drop),
            FALSE | TRUE | NULL => Ok(()),
            LIST | MAP | STRING_SET | NUMBER_SET | BINARY_SET => {
                let length = u32::from_le_bytes(self.array()?);
                self.take(usize::try_from(length).unwrap_or(usize::MAX)).map(drop)
            }
            _ => Err(self.damaged()),
        }
    }
}

/// Writes an item's bytes from parts, without a map: for loads. The same bytes as [`encode`] gives.
///
/// Attributes must come in the order of their names' bytes, each once, as many as [`Self::begin`] was told.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    size: usize,
}

impl<'a> Writer<'a> {
    /// Begins an item of that many attributes, appended to `out`.
    pub fn begin(out: &'a mut Vec<u8>, attributes: usize) -> Self {
        let start = out.len();
        out.extend_from_slice(&[VERSION, 0, 0, 0, 0]);
        write_varint(attributes, out);
        Self { out, start, size: 0 }
    }

    fn name(&mut self, name: &str, value_size: usize) {
        self.size += name.len() + value_size;
        write_bytes(name.as_bytes(), self.out);
    }

    /// An `S`.
    pub fn string(&mut self, name: &str, text: &str) {
        self.name(name, text.len());
        self.out.push(STRING);
        write_bytes(text.as_bytes(), self.out);
    }

    /// An `N`.
    pub fn number(&mut self, name: &str, number: Number) {
        self.name(name, number.size());
        self.out.push(NUMBER);
        write_number(number, self.out);
    }

    /// A `B`.
    pub fn binary(&mut self, name: &str, bytes: &[u8]) {
        self.name(name, bytes.len());
        self.out.push(BINARY);
        write_bytes(bytes, self.out);
    }

    /// A `BOOL`.
    pub fn boolean(&mut self, name: &str, value: bool) {
        self.name(name, 1);
        self.out.push(if value { TRUE } else { FALSE });
    }

    /// Any value.
    pub fn value(&mut self, name: &str, value: &Value) {
        self.name(name, value.size());
        write_value(value, self.out);
    }

    /// Ends the item; answers its size as [`super::item_size`] counts it, in bytes.
    pub fn finish(self) -> usize {
        // An item's size is below its bytes by far less than what memory holds; what has more than 4 GiB is refused long before.
        let size = u32::try_from(self.size).unwrap_or(u32::MAX);
        self.out[self.start + 1..self.start + HEADER].copy_from_slice(&size.to_le_bytes());
        self.size
    }
}

fn write_varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn write_number(number: Number, out: &mut Vec<u8>) {
    let (negative, digits, exponent) = number.parts();
    let bytes = digits.to_le_bytes();
    let length = 16 - usize::try_from(digits.leading_zeros() / 8).unwrap_or(0);
    out.push(u8::try_from(length).unwrap_or(16) | if negative { 0x80 } else { 0 });
    out.extend_from_slice(&exponent.to_le_bytes());
    out.extend_from_slice(&bytes[..length]);
}

/// Content behind its length.
fn write_within(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

fn write_elements<T>(tag: u8, elements: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(tag);
    write_within(out, |out| {
        write_varint(elements.len(), out);
        for element in elements {
            write(element, out);
        }
    });
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => {
            out.push(STRING);
            write_bytes(text.as_bytes(), out);
        }
        Value::Number(number) => {
            out.push(NUMBER);
            write_number(*number, out);
        }
        Value::Binary(bytes) => {
            out.push(BINARY);
            write_bytes(bytes, out);
        }
        Value::Bool(value) => out.push(if *value { TRUE } else { FALSE }),
        Value::Null => out.push(NULL),
        Value::List(elements) => write_elements(LIST, elements, out, write_value),
        Value::Map(members) => {
            out.push(MAP);
            write_within(out, |out| {
                write_varint(members.len(), out);
                for (name, value) in members {
                    write_bytes(name.as_bytes(), out);
                    write_value(value, out);
                }
            });
        }
        Value::StringSet(elements) => write_elements(STRING_SET, elements, out, |text, out| write_bytes(text.as_bytes(), out)),
        Value::NumberSet(elements) => write_elements(NUMBER_SET, elements, out, |number, out| write_number(*number, out)),
        Value::BinarySet(elements) => write_elements(BINARY_SET, elements, out, |bytes, out| write_bytes(bytes, out)),
    }
}

#[cfg(test)]
#[path = "binary/tests.rs"]
mod tests;
