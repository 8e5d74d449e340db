//! The bytes of one object as a plain, sequential `Read`: fetched in ranges, decompressed and brought to UTF-8 on the way.
//!
//! What the bytes are is decided by the bytes: compression is found by its magic number, never by the name. Memory is bounded whatever a
//! compressed file expands to, since nothing here holds more than one range and one decoder window.

use super::{DecodeError, DecodeErrorKind};
use crate::table::DataFile;
use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt};
use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::runtime::Handle;

/// One request's bytes at most.
const RANGE_BYTES: u64 = 4 << 20;

/// One request's bytes beyond what was wanted.
const BEYOND_BYTES: u64 = 64 << 10;

/// Where files are read from: the store, and the runtime on which its futures run while this (columnar) thread waits.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Where the blobs are.
    pub store: Arc<dyn ObjectStore>,
    /// Must not be the runtime of the calling thread's own async task: the thread blocks.
    pub handle: Handle,
}

/// Sequential reading of one object.
#[derive(Debug)]
pub(crate) struct ObjectReader {
    reader: Reader,
    file: DataFile,
    /// The next byte to fetch.
    at: u64,
    /// Probably nothing beyond it is wanted: what is, is fetched in small pieces.
    until: u64,
    chunk: Bytes,
    consumed: Arc<AtomicU64>,
}

/// An I/O error that came from the store, not from a decoder that stumbled over the content.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct StoreFailure(object_store::Error);

impl ObjectReader {
    /// From the byte `at` on, to the end; most likely no more than up to `until` is read.
    pub fn range(reader: &Reader, file: &DataFile, at: u64, until: u64) -> Self {
        Self { reader: reader.clone(), file: file.clone(), at, until, chunk: Bytes::new(), consumed: Arc::default() }
    }

    fn fetch(&mut self) -> io::Result<()> {
        let wanted = if self.at < self.until { self.until } else { self.at + BEYOND_BYTES };
        let end = self.file.size.min(self.at + RANGE_BYTES).min(wanted);
        if self.at >= end {
            return Ok(());
        }
        let got = self.reader.handle.block_on(self.reader.store.get_range(&self.file.blob, self.at..end));
        self.chunk = got.map_err(|e| io::Error::other(StoreFailure(e)))?;
        if self.chunk.is_empty() {
            let message = format!("the object ends at byte {} of {}", self.at, self.file.size);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        self.at += self.chunk.len() as u64;
        Ok(())
    }

    /// The first bytes, at most one range of them, without consuming them.
    pub fn peek(&mut self) -> io::Result<&[u8]> {
        if self.chunk.is_empty() {
            self.fetch()?;
        }
        Ok(&self.chunk)
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            self.fetch()?;
        }
        let n = buffer.len().min(self.chunk.len());
        buffer[..n].copy_from_slice(&self.chunk.split_to(n));
        self.consumed.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// How an object's bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// RFC 1952, any number of members.
    Gzip,
    /// Any number of streams.
    Bzip2,
    /// Any number of frames.
    Zstd,
}

impl Compression {
    /// The word that a Glue crawler writes as `compressionType`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Zstd => "zstd",
        }
    }

    /// By the magic number at the start of an object.
    ///
    /// # Errors
    /// Containers that are not read, by name.
    pub fn of(head: &[u8]) -> Result<Self, String> {
        let refused =
            |what: &str| Err(format!("is packed with {what}, which is not read: use gzip, bzip2 or zstd, or no compression"));
        match head {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Ok(Self::Bzip2),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Self::Zstd),
            [b'P', b'K', 3, 4, ..] => refused("zip (or is an Office document)"),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => refused("xz"),
            [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => refused("7-Zip"),
            [0x04, 0x22, 0x4d, 0x18, ..] => refused("LZ4"),
            [0xff, 0x06, 0x00, 0x00, b's', b'N', b'a', b'P', b'p', b'Y', ..] => refused("framed Snappy"),
            _ => Ok(Self::None),
        }
    }
}

/// An object that is open for reading, decompressed.
pub(crate) struct Opened {
    pub input: Box<dyn Read + Send>,
    pub compression: Compression,
    /// Bytes of the object (as stored) that were taken so far.
    pub consumed: Arc<AtomicU64>,
}

/// Opens an object for reading text or Avro.
pub(crate) fn open(reader: &Reader, file: &DataFile) -> Result<Opened, DecodeError> {
    open_until(reader, file, u64::MAX)
}

/// [`open`], where most likely no more than the first `until` bytes are read.
pub(crate) fn open_until(reader: &Reader, file: &DataFile, until: u64) -> Result<Opened, DecodeError> {
    let mut object = ObjectReader::range(reader, file, 0, until);
    let head = object.peek().map_err(|e| read_error(&file.uri, &e))?;
    let compression = Compression::of(head).map_err(|message| DecodeError::content(&file.uri, message))?;
    let consumed = Arc::clone(&object.consumed);
    let buffered = BufReader::with_capacity(256 << 10, object);
    let input = unpack(buffered, compression).map_err(|e| read_error(&file.uri, &e))?;
    Ok(Opened { input, compression, consumed })
}

/// A decompressor over `input`.
pub(crate) fn unpack<R: io::BufRead + Send + 'static>(input: R, compression: Compression) -> io::Result<Box<dyn Read + Send>> {
    Ok(match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
    })
}

/// Tells a failed fetch (try again) from bytes that do not decompress (they never will).
pub(crate) fn read_error(uri: &str, error: &io::Error) -> DecodeError {
    let from_store = error.get_ref().is_some_and(|e| e.is::<StoreFailure>());
    if from_store {
        return DecodeError { uri: uri.to_owned(), kind: DecodeErrorKind::Read, message: format!("cannot be read: {error}") };
    }
    let message = match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("is cut off: the compressed data ends too early ({error})"),
        _ => format!("is damaged: the compressed data cannot be unpacked ({error})"),
    };
    DecodeError { uri: uri.to_owned(), kind: DecodeErrorKind::Damaged, message }
}

impl DecodeError {
    pub(crate) fn content(uri: &str, message: impl Into<String>) -> Self {
        Self { uri: uri.to_owned(), kind: DecodeErrorKind::Content, message: message.into() }
    }

    pub(crate) fn table(uri: &str, message: impl Into<String>) -> Self {
        Self { uri: uri.to_owned(), kind: DecodeErrorKind::Table, message: message.into() }
    }
}

/// Text in another encoding as UTF-8, streaming.
pub(crate) struct Transcoder<R> {
    input: R,
    decoder: encoding_rs::Decoder,
    raw: Vec<u8>,
    text: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> Transcoder<R> {
    pub fn new(input: R, encoding: &'static encoding_rs::Encoding) -> Self {
        Self {
            input,
            decoder: encoding.new_decoder_with_bom_removal(),
            raw: vec![0; 64 << 10],
            text: Vec::new(),
            at: 0,
            ended: false,
        }
    }
}

impl<R: Read> Read for Transcoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.text.len() && !self.ended {
            let n = self.input.read(&mut self.raw)?;
            self.ended = n == 0;
            let room = self.decoder.max_utf8_buffer_length(n).unwrap_or(n * 3 + 16);
            self.text.resize(room, 0);
            let (_, _, written, _) = self.decoder.decode_to_utf8(&self.raw[..n], &mut self.text, self.ended);
            self.text.truncate(written);
            self.at = 0;
        }
        let n = buffer.len().min(self.text.len() - self.at);
        buffer[..n].copy_from_slice(&self.text[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// The lines of a text that begin in a range of its bytes: so ranges that share no byte, and leave none out, share no line and leave none out.
pub(crate) struct LineRange<R> {
    input: R,
    /// Bytes up to the last byte of the range, that included.
    left: u64,
    /// The first line began before the range.
    inside: bool,
    ended: bool,
}

impl<R: Read> LineRange<R> {
    /// `input` begins one byte before the range where that does not begin with the text, and goes on behind it; `length` is that of the range, with the
    /// byte before it.
    pub fn new(input: R, length: u64, is_first: bool) -> Self {
        Self { input, left: length, inside: !is_first, ended: false }
    }
}

impl<R: Read> Read for LineRange<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !buffer.is_empty() {
            let mut n = self.input.read(buffer)?;
            if n == 0 {
                self.ended = true;
                break;
            }
            let mut from = 0;
            if self.inside {
                let Some(at) = memchr::memchr(b'\n', &buffer[..n]).filter(|at| *at as u64 + 1 < self.left) else {
                    // No line begins in here, and none at all where the range ends with it.
                    self.ended = n as u64 + 1 >= self.left;
                    self.left = self.left.saturating_sub(n as u64);
                    continue;
                };
                (self.inside, from) = (false, at + 1);
            }
            // The line that is open at the last byte of the range goes on to its end.
            let last = usize::try_from(self.left.saturating_sub(1)).unwrap_or(usize::MAX);
            if last < n
                && let Some(at) = memchr::memchr(b'\n', &buffer[last..n])
            {
                n = last + at + 1;
                self.ended = true;
            }
            self.left = self.left.saturating_sub(n as u64);
            buffer.copy_within(from..n, 0);
            if n > from {
                return Ok(n - from);
            }
        }
        Ok(0)
    }
}

/// A text without its last lines.
pub(crate) struct WithoutFooter<R> {
    input: R,
    lines: usize,
    held: Vec<u8>,
    /// How much of what is held is no footer.
    ready: usize,
    ended: bool,
}

/// A footer's lines may take so much memory.
const FOOTER_BYTES_MAX: usize = 64 << 20;

impl<R: Read> WithoutFooter<R> {
    pub fn new(input: R, lines: usize) -> Self {
        Self { input, lines, held: Vec::new(), ready: 0, ended: false }
    }

    fn fill(&mut self) -> io::Result<()> {
        while self.ready == 0 && !self.ended {
            let n = self.input.by_ref().take(256 << 10).read_to_end(&mut self.held)?;
            self.ended = n == 0;
            // A last line may lack its line feed; the one before the footer ends the text.
            let open = self.ended && self.held.last().is_some_and(|byte| *byte != b'\n');
            let keep = if open { self.lines } else { self.lines + 1 };
            let mut ends = memchr::memrchr_iter(b'\n', &self.held);
            self.ready = ends.nth(keep - 1).map_or(0, |at| at + 1);
            if self.held.len() - self.ready > FOOTER_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the footer's lines are longer than 64 MiB"));
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for WithoutFooter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let n = buffer.len().min(self.ready);
        buffer[..n].copy_from_slice(&self.held[..n]);
        self.held.drain(..n);
        self.ready -= n;
        Ok(n)
    }
}

/// The encoding that a text's first bytes, or else the table, ask for; `None`: UTF-8, with Windows-1252 for what is not.
pub(crate) fn encoding_of(head: &[u8], label: Option<&str>) -> Option<&'static encoding_rs::Encoding> {
    if let Some((encoding, _)) = encoding_rs::Encoding::for_bom(head) {
        return (encoding != encoding_rs::UTF_8).then_some(encoding);
    }
    let encoding = encoding_rs::Encoding::for_label(label?.as_bytes())?;
    // A table that says Latin-1 may hold UTF-8 files too: valid UTF-8 beyond ASCII is never Latin-1 by chance, so the fallback serves both.
    (encoding != encoding_rs::UTF_8 && encoding != encoding_rs::WINDOWS_1252).then_some(encoding)
}

/// `text`, with those lines that are not valid UTF-8 taken as Windows-1252; `None` where all of it is valid.
pub(crate) fn repaired(text: &[u8]) -> Option<Vec<u8>> {
    if simdutf8::basic::from_utf8(text).is_ok() {
        return None;
    }
    let mut whole = Vec::with_capacity(text.len() + text.len() / 16);
    for line in text.split_inclusive(|&c| c == b'\n') {
        if std::str::from_utf8(line).is_ok() {
            whole.extend_from_slice(line);
        } else {
            let (decoded, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(line);
            whole.extend_from_slice(decoded.as_bytes());
        }
    }
    Some(whole)
}

/// Why these first bytes are not text, if they are not.
pub(crate) fn binary_reason(head: &[u8]) -> Option<String> {
    let head = &head[..head.len().min(64 << 10)];
    let what = match head {
        [b'%', b'P', b'D', b'F', ..] => Some("a PDF document"),
        [0x89, b'P', b'N', b'G', ..] => Some("a PNG image"),
        [0xff, 0xd8, 0xff, ..] => Some("a JPEG image"),
        [0x7f, b'E', b'L', b'F', ..] | [b'M', b'Z', 0x90, 0, ..] => Some("a program"),
        [b'O', b'R', b'C', ..] => Some("an ORC file"),
        [b'P', b'A', b'R', b'1', ..] => Some("a Parquet file"),
        [b'O', b'b', b'j', 1, ..] => Some("an Avro file"),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => Some("an old Office document"),
        [b'S', b'Q', b'L', b'i', b't', b'e', b' ', b'f', ..] => Some("a SQLite database"),
        _ => None,
    };
    if let Some(what) = what {
        return Some(format!("is not text: it is {what}"));
    }
    // Ctrl-A to Ctrl-C are Hive's delimiters; tab to carriage return and escape are text.
    let odd = head.iter().filter(|&&c| c == 0 || (c < 32 && !matches!(c, 1..=3 | 9..=13 | 27))).count();
    (odd > 4 && odd * 50 > head.len())
        .then(|| format!("is not text: {odd} of its first {} bytes are control characters", head.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_not_utf8_are_taken_as_windows_1252() {
        assert_eq!(repaired("naïve\n".as_bytes()), None);
        let mixed = [b"caf\xe9\n".as_slice(), "naïve €\n".as_bytes(), b"\x80 5\n"].concat();
        assert_eq!(String::from_utf8(repaired(&mixed).unwrap()).unwrap(), "café\nnaïve €\n€ 5\n");
    }

    #[test]
    fn other_encodings_are_transcoded_while_reading() {
        let bytes: Vec<u8> = "\u{feff}grüße,1\n".repeat(10_000).encode_utf16().flat_map(u16::to_le_bytes).collect();
        let encoding = encoding_of(&bytes, None).unwrap();
        let mut text = String::new();
        Transcoder::new(bytes.as_slice(), encoding).read_to_string(&mut text).unwrap();
        assert!(text.starts_with("grüße,1\n") && text.lines().count() == 10_000);
        assert_eq!(encoding_of(b"abc", Some("latin1")), None);
        assert_eq!(encoding_of(b"abc", Some("shift_jis")), Some(encoding_rs::SHIFT_JIS));
    }

    #[test]
    fn ranges_of_lines_share_none_and_leave_none_out() {
        let text = b"a\nbc\n\n\ndefg\nh";
        for parts in 1..=text.len() {
            for chunk in [1, 3, 100] {
                let mut read = Vec::new();
                for part in 0..parts {
                    let (start, end) = (text.len() * part / parts, text.len() * (part + 1) / parts);
                    let before = start.saturating_sub(1);
                    let input = BufReader::with_capacity(chunk, &text[before..]);
                    let mut lines = LineRange::new(input, (end - before) as u64, start == 0);
                    let mut own = vec![0; chunk];
                    let from = read.len();
                    loop {
                        let n = lines.read(&mut own).unwrap();
                        if n == 0 {
                            break;
                        }
                        read.extend_from_slice(&own[..n]);
                    }
                    assert!(from == read.len() || from == 0 || read[from - 1] == b'\n', "{parts} {part} {chunk}");
                }
                assert_eq!(read, text, "{parts} parts, {chunk} bytes at once");
            }
        }
    }

    #[test]
    fn footers_are_left_out() {
        for (text, lines, expected) in [
            ("a\nb\nc\n", 1, "a\nb\n"),
            ("a\nb\nc", 1, "a\nb\n"),
            ("a\nb\nc\n", 3, ""),
            ("a\n", 5, ""),
            ("", 1, ""),
            ("a\n\n", 1, "a\n"),
        ] {
            let mut read = String::new();
            WithoutFooter::new(text.as_bytes(), lines).read_to_string(&mut read).unwrap();
            assert_eq!(read, expected, "{text:?} without {lines}");
        }
    }

    #[test]
    fn binary_is_told_from_text() {
        assert!(binary_reason(b"a,b\n1,2\n").is_none());
        assert!(binary_reason(b"a\x01b\x01c\n").is_none());
        assert!(binary_reason(&[0, 1, 2, 3, 0, 0, 0, 9, 0, 0]).is_some());
        assert!(binary_reason(b"%PDF-1.7").unwrap().contains("PDF"));
        assert!(binary_reason(b"a,b\0\n1,2\n").is_none());
    }
}
