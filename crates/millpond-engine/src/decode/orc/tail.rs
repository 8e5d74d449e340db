//! The end of an ORC file, looked at before the reader believes it.

use crate::decode::{DecodeError, DecodeErrorKind, Reader};
use crate::table::DataFile;
use object_store::ObjectStoreExt;
use std::io::{self, Read};

mod blocks;

/// Footer and stripe statistics may take so many bytes, compressed.
const TAIL_BYTES_MAX: u64 = 64 << 20;
/// The largest block size that is believed.
const BLOCK_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    None,
    Zlib,
    Zstd,
    Snappy,
    Lz4,
}

/// What the postscript says (ORC specification v1, "Postscript").
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    codec: Codec,
    block_bytes: u64,
}

impl Tail {
    /// Reads and checks the tail.
    pub(super) fn read(reader: &Reader, file: &DataFile) -> Result<Self, DecodeError> {
        let wrong = |message: &str| DecodeError::content(&file.uri, format!("is not a valid ORC file: {message}"));
        let fetch = |start: u64, end: u64| {
            reader.handle.block_on(reader.store.get_range(&file.blob, start..end)).map_err(|error| DecodeError {
                uri: file.uri.clone(),
                kind: DecodeErrorKind::Read,
                message: format!("cannot be read: {error}"),
            })
        };
        if file.size < 16 {
            return Err(wrong(&format!("it has {} bytes", file.size)));
        }
        let last = fetch(file.size.saturating_sub(256), file.size)?;
        let length = usize::from(last[last.len() - 1]);
        let postscript = last.len().checked_sub(1 + length).map(|start| &last[start..last.len() - 1]);
        let postscript =
            postscript.filter(|bytes| bytes.ends_with(b"ORC")).ok_or_else(|| wrong("it does not end with a postscript"))?;
        let [footer, codec, block, metadata] = numbers(postscript).ok_or_else(|| wrong("its postscript is damaged"))?;
        let tail = footer.checked_add(metadata).filter(|tail| *tail <= TAIL_BYTES_MAX);
        let before = tail.and_then(|tail| (file.size - 1 - length as u64).checked_sub(tail));
        let begins = before.ok_or_else(|| wrong("its footer is longer than the file, or than 64 MiB"))?;
        let codec = match codec {
            0 => Codec::None,
            1 => Codec::Zlib,
            5 => Codec::Zstd,
            2 => Codec::Snappy,
            3 => return Err(wrong("it is packed with LZO, which is not read")),
            4 => Codec::Lz4,
            _ => return Err(wrong("it names an unknown compression")),
        };
        let block_bytes = if block == 0 { 256 << 10 } else { block };
        if block_bytes > BLOCK_BYTES_MAX {
            return Err(wrong("its compression blocks are larger than 64 MiB"));
        }
        let tail = Self { codec, block_bytes };
        let (metadata_bytes, footer_bytes) = fetch(begins, begins + metadata + footer)?
            .split_at_checked(metadata as usize)
            .map(|(a, b)| (a.to_vec(), b.to_vec()))
            .ok_or_else(|| wrong("its footer is cut off"))?;
        tail.check(&metadata_bytes).and_then(|()| tail.check(&footer_bytes)).map_err(|error| wrong(&error.to_string()))?;
        let footer = tail.unpacked(&footer_bytes).ok_or_else(|| wrong("its footer does not unpack"))?;
        check_types(&footer).map_err(wrong)?;
        Ok(tail)
    }

    /// Whether all compressed chunks keep to the block size.
    pub(super) fn check(&self, mut bytes: &[u8]) -> io::Result<()> {
        if self.codec == Codec::None {
            return Ok(());
        }
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "a compressed chunk is larger than the file's block size");
        while let [a, b, c, rest @ ..] = bytes {
            let header = u32::from_le_bytes([*a, *b, *c, 0]);
            let length = (header >> 1) as usize;
            // Readers may ask for a part of a stream.
            let chunk = &rest[..length.min(rest.len())];
            if length as u64 > self.block_bytes || (header & 1 == 0 && !self.unpacks(chunk)) {
                return Err(wrong());
            }
            bytes = rest.get(length..).unwrap_or_default();
        }
        Ok(())
    }

    /// Chunks that were checked, one after the other.
    fn unpacked(&self, mut bytes: &[u8]) -> Option<Vec<u8>> {
        if self.codec == Codec::None {
            return Some(bytes.to_vec());
        }
        let mut out = Vec::new();
        while let [a, b, c, rest @ ..] = bytes {
            let header = u32::from_le_bytes([*a, *b, *c, 0]);
            let (chunk, after) = rest.split_at_checked((header >> 1) as usize)?;
            bytes = after;
            match self.codec {
                _ if header & 1 == 1 => out.extend_from_slice(chunk),
                Codec::Zlib => io::copy(&mut flate2::bufread::DeflateDecoder::new(chunk), &mut out).map(drop).ok()?,
                Codec::Zstd => zstd::stream::copy_decode(chunk, &mut out).ok()?,
                Codec::Snappy => blocks::snappy(chunk, &mut out)?,
                Codec::Lz4 => blocks::lz4(chunk, &mut out)?,
                Codec::None => return None,
            }
            if out.len() as u64 > 4 * TAIL_BYTES_MAX {
                return None;
            }
        }
        Some(out)
    }

    /// Whether a chunk's content fits the block size; damaged ones are for the reader to find.
    fn unpacks(&self, chunk: &[u8]) -> bool {
        let limit = self.block_bytes + 1;
        let count = |input: &mut dyn Read| io::copy(&mut input.take(limit), &mut io::sink()).unwrap_or(0) < limit;
        match self.codec {
            // Deflate makes at most 1032 bytes of one.
            Codec::Zlib if chunk.len() as u64 * 1_032 < (1 << 20) + self.block_bytes => true,
            Codec::Zlib => count(&mut flate2::bufread::DeflateDecoder::new(chunk)),
            Codec::Zstd => zstd::stream::read::Decoder::with_buffer(chunk).is_ok_and(|mut input| count(&mut input)),
            // These unpack to a bounded multiple of their size.
            Codec::None | Codec::Snappy | Codec::Lz4 => true,
        }
    }
}

/// Footer length, compression, block size and metadata length from a postscript's protobuf.
fn numbers(bytes: &[u8]) -> Option<[u64; 4]> {
    let mut found = [0; 4];
    for (field, value) in fields(bytes)? {
        if let (1..=3, Value::Number(number)) = (field, &value) {
            found[field as usize - 1] = *number;
        } else if let (5, Value::Number(number)) = (field, &value) {
            found[3] = *number;
        }
    }
    Some(found)
}

/// Types nest at most so deep.
const DEPTH_MAX: u32 = 64;
/// Columns, those inside of others counted.
const TYPES_MAX: usize = 100_000;

/// Whether the columns' types are a tree: each type's children come after it (ORC specification v1, "Type Information"). The reader would follow a circle until
/// the stack is used up.
fn check_types(footer: &[u8]) -> Result<(), &'static str> {
    let damaged = "its footer is damaged";
    let mut types = Vec::new();
    for (field, value) in fields(footer).ok_or(damaged)? {
        if let (4, Value::Bytes(bytes)) = (field, value) {
            types.push(bytes);
        }
    }
    if types.len() > TYPES_MAX {
        return Err("it has more than 100,000 columns");
    }
    let mut depths = vec![None; types.len()];
    if let Some(root) = depths.first_mut() {
        *root = Some(0u32);
    }
    for (id, bytes) in types.iter().enumerate() {
        let depth = depths[id].ok_or("its types are no tree")?;
        if depth > DEPTH_MAX {
            return Err("its types nest too deeply");
        }
        for (field, value) in fields(bytes).ok_or(damaged)? {
            let mut children = Vec::new();
            match (field, value) {
                (2, Value::Number(child)) => children.push(child),
                (2, Value::Bytes(mut packed)) => {
                    while !packed.is_empty() {
                        children.push(varint(&mut packed).ok_or(damaged)?);
                    }
                }
                _ => {}
            }
            for child in children {
                let child = usize::try_from(child).map_err(|_| damaged)?;
                let known = depths.get_mut(child).filter(|known| child > id && known.is_none()).ok_or("its types are no tree")?;
                *known = Some(depth + 1);
            }
        }
    }
    Ok(())
}

/// A field's value in a protobuf message.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)?),
            1 | 5 => {
                let (number, rest) = bytes.split_at_checked(if key & 7 == 1 { 8 } else { 4 })?;
                bytes = rest;
                Value::Bytes(number)
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (inner, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Value::Bytes(inner)
            }
            _ => return None,
        };
        found.push((key >> 3, value));
    }
    Some(found)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
