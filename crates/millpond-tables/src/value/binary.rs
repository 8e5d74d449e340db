//! Items as bytes: a version, then attributes in the order of their names, each with its length, so that one is found without reading the others.

use super::{Item, Value};
use crate::number::Number;

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
    let _ = (item, out);
    todo!()
}

/// Reads an item.
///
/// # Errors
/// See [`DecodeError`]; never panics, whatever the bytes are.
pub fn decode(bytes: &[u8]) -> Result<Item, DecodeError> {
    let _ = bytes;
    todo!()
}

/// Looks into an item's bytes.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Over an item's bytes.
    ///
    /// # Errors
    /// An unknown version, or a header that is cut off.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self { bytes })
    }

    /// A top-level attribute.
    ///
    /// # Errors
    /// Damaged bytes on the way to it, or in it.
    pub fn get(&self, name: &str) -> Result<Option<Value>, DecodeError> {
        let _ = (self.bytes, name);
        todo!()
    }

    /// The item's size as [`super::item_size`] counts it, in bytes: kept in the header.
    pub fn size(&self) -> usize {
        todo!()
    }
}

/// Writes an item's bytes from parts, without a map: for loads. The same bytes as [`encode`] gives.
///
/// Attributes must come in the order of their names' bytes, each once.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Writer<'a> {
    /// Begins an item of that many attributes, appended to `out`.
    pub fn begin(out: &'a mut Vec<u8>, attributes: usize) -> Self {
        let _ = attributes;
        Self { start: out.len(), out }
    }

    /// An `S`.
    pub fn string(&mut self, name: &str, text: &str) {
        let _ = (&self.out, self.start, name, text);
        todo!()
    }

    /// An `N`.
    pub fn number(&mut self, name: &str, number: Number) {
        let _ = (name, number);
        todo!()
    }

    /// A `B`.
    pub fn binary(&mut self, name: &str, bytes: &[u8]) {
        let _ = (name, bytes);
        todo!()
    }

    /// Any value.
    pub fn value(&mut self, name: &str, value: &Value) {
        let _ = (name, value);
        todo!()
    }

    /// Ends the item; answers its size as [`super::item_size`] counts it, in bytes.
    pub fn finish(self) -> usize {
        todo!()
    }
}
