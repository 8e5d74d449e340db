//! A bounded look at an object: all of a small one, pieces of a large one.

use crate::decode::source::{self, Compression, Opened, Transcoder};
use crate::decode::{DecodeError, Reader};
use crate::table::DataFile;
use object_store::ObjectStoreExt;
use std::io::{Cursor, Read};
use std::sync::atomic::Ordering;

/// An object of up to this size (decompressed) is looked at whole.
const WHOLE_BYTES: u64 = 4 << 20;

/// Of a larger one: this much of its head, and half as much of its middle and end.
const HEAD_BYTES: u64 = 1 << 20;

/// A piece of text that begins with a record.
#[derive(Debug)]
pub(crate) struct Window {
    pub text: Vec<u8>,
    /// Whether the object ends here.
    pub ends: bool,
}

/// What was seen of an object.
#[derive(Debug)]
pub(crate) struct Sample {
    pub windows: Vec<Window>,
    pub compression: Compression,
    /// The whole object was seen.
    pub whole: bool,
    /// Bytes of all of it, decompressed; estimated where it was not seen whole.
    pub bytes: u64,
    /// Lines that are not UTF-8 were met, or the encoding that a mark at its start names.
    pub encoding: Option<&'static str>,
}

pub(crate) fn take(reader: &Reader, file: &DataFile) -> Result<Sample, DecodeError> {
    let Opened { mut input, compression, consumed } = source::open(reader, file)?;
    let failed = |e: &std::io::Error| source::read_error(&file.uri, e);
    let mut text = Vec::new();
    let plain = compression == Compression::None;
    let wanted = if plain && file.size > WHOLE_BYTES { HEAD_BYTES } else { WHOLE_BYTES + 1 };
    let read = input.by_ref().take(wanted).read_to_end(&mut text).map_err(|e| failed(&e))? as u64;
    let whole = read < wanted;
    let mut bytes = if plain { file.size } else { read };
    if !whole && !plain {
        let ratio = read as f64 / consumed.load(Ordering::Relaxed).max(1) as f64;
        bytes = (file.size as f64 * ratio.max(1.0)) as u64;
    }
    let mut encoding = None;
    if let Some(other) = source::encoding_of(&text, None) {
        encoding = Some(other.name());
        let mut decoded = Vec::new();
        Transcoder::new(Cursor::new(&text), other).read_to_end(&mut decoded).map_err(|e| failed(&e))?;
        text = decoded;
    }
    if let Some(reason) = source::binary_reason(&text) {
        return Err(DecodeError::content(&file.uri, reason));
    }
    if text.starts_with(b"\xef\xbb\xbf") {
        text.drain(..3);
    }
    let mut windows = vec![Window { text, ends: whole }];
    if !whole && plain && encoding.is_none() {
        for at in [file.size / 2, file.size - HEAD_BYTES / 2] {
            windows.extend(piece(reader, file, at)?);
        }
    }
    for window in &mut windows {
        if !window.ends {
            // The last line may be cut.
            let end = memchr::memrchr(b'\n', &window.text).map_or(window.text.len(), |at| at + 1);
            window.text.truncate(end);
        }
        if let Some(repaired) = source::repaired(&window.text) {
            window.text = repaired;
            encoding = encoding.or(Some("windows-1252"));
        }
    }
    Ok(Sample { windows, compression, whole, bytes, encoding })
}

/// Whole lines somewhere in a large object.
fn piece(reader: &Reader, file: &DataFile, at: u64) -> Result<Option<Window>, DecodeError> {
    let end = file.size.min(at + HEAD_BYTES / 2);
    let got = reader.handle.block_on(reader.store.get_range(&file.blob, at..end));
    let bytes = got.map_err(|e| DecodeError {
        uri: file.uri.clone(),
        kind: crate::decode::DecodeErrorKind::Read,
        message: format!("cannot be read: {e}"),
    })?;
    let start = memchr::memchr(b'\n', &bytes).map(|n| n + 1);
    Ok(start.map(|start| Window { text: bytes[start..].to_vec(), ends: end == file.size }))
}
