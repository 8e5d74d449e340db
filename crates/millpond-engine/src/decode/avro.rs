//! Avro object container files.
//!
//! The reader of `arrow-avro` takes the end of the bytes for the end of the file wherever it comes. So the file's frame (blocks with their counts and
//! sizes, each closed by the file's marker) is checked first, and the rows are counted against it: a file that is cut off is refused. Nor do readers
//! ask whether a schema has an end, or how large a block becomes: [`schema`], [`unpack`] and [`walk`] do.

mod schema;
mod unpack;
mod walk;

use super::adapt::Adapter;
use super::csv::Batch;
use super::file::Stopped;
use super::{DecodeError, Reader, fitting_rows, source};
use crate::table::DataFile;
use arrow_avro::reader::ReaderBuilder;
use schema::Shape;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use unpack::{BLOCK_BYTES_MAX, damaged};
use walk::Walk;

type Input = BufReader<Box<dyn Read + Send>>;
type AvroReader = arrow_avro::reader::Reader<Input>;

/// The longest header, key or value that is taken: schemas are text that people write.
const HEADER_BYTES_MAX: u64 = 16 << 20;

fn input(reader: &Reader, file: &DataFile) -> Result<Input, DecodeError> {
    Ok(BufReader::with_capacity(1 << 20, source::open(reader, file)?.input))
}

/// Opens a file: its header is read.
pub(crate) fn open(reader: &Reader, file: &DataFile, batch_rows: usize) -> Result<AvroReader, DecodeError> {
    let mut frame = Frame { input: input(reader, file)?, at: 0 };
    frame.header().map_err(|error| frame_error(file, frame.at, &error))?;
    ReaderBuilder::new()
        .with_batch_size(batch_rows.max(1))
        .build(input(reader, file)?)
        .map_err(|e| DecodeError::content(&file.uri, format!("is not a readable Avro file: {e}")))
}

/// The records that the frame promises, if the frame is whole, and about how many bytes they have unpacked.
pub(crate) fn count(reader: &Reader, file: &DataFile) -> Result<(u64, u64), DecodeError> {
    let mut frame = Frame { input: input(reader, file)?, at: 0 };
    frame.count().map_err(|error| frame_error(file, frame.at, &error))
}

fn frame_error(file: &DataFile, at: u64, error: &io::Error) -> DecodeError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            DecodeError::content(&file.uri, format!("is a damaged Avro file: at byte {at}: {error}"))
        }
        _ => source::read_error(&file.uri, error),
    }
}

/// Decodes one file.
pub(crate) fn decode(
    reader: &Reader,
    file: &DataFile,
    mut adapter: Adapter,
    batch_rows: usize,
    emit: &mut dyn FnMut(Batch) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let (promised, bytes) = count(reader, file)?;
    let batch_rows = fitting_rows(bytes / promised.max(1), batch_rows);
    let mut rows = 0;
    for batch in open(reader, file, batch_rows)? {
        let batch = batch.map_err(|e| DecodeError::content(&file.uri, format!("is a damaged Avro file: {e}")))?;
        rows += batch.num_rows() as u64;
        emit(adapter.adapt(&batch, 0)?)?;
    }
    if rows != promised {
        let message = format!("is a damaged Avro file: it promises {promised} records and has {rows}");
        return Err(DecodeError::content(&file.uri, message).into());
    }
    Ok(())
}

/// Walks over the container's blocks ("Object Container Files" in the Avro specification).
struct Frame<R> {
    input: R,
    at: u64,
}

/// What stands before the blocks.
struct Header {
    shape: Arc<Shape>,
    codec: String,
    marker: [u8; 16],
}

impl<R: BufRead> Frame<R> {
    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    /// A zigzag number of variable length.
    fn long(&mut self) -> io::Result<i64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.bytes()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(damaged("a number is too long"))
    }

    fn length(&mut self) -> io::Result<u64> {
        u64::try_from(self.long()?).map_err(|_| damaged("a length is negative"))
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.input.by_ref().take(bytes), &mut io::sink())?;
        self.at += skipped;
        if skipped == bytes { Ok(()) } else { Err(cut_off()) }
    }

    /// A text or other bytes of the header.
    fn entry(&mut self) -> io::Result<Vec<u8>> {
        let length = self.length()?;
        if self.at.saturating_add(length) > HEADER_BYTES_MAX {
            return Err(damaged("the header is longer than 16 MiB"));
        }
        let mut bytes = Vec::new();
        self.input.by_ref().take(length).read_to_end(&mut bytes)?;
        self.at += bytes.len() as u64;
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(cut_off()) }
    }

    fn header(&mut self) -> io::Result<Header> {
        if self.bytes()? != *b"Obj\x01" {
            return Err(damaged("no Avro container begins here"));
        }
        let (mut shape, mut codec) = (None, String::new());
        loop {
            let entries = self.long()?;
            if entries == 0 {
                break;
            }
            if entries < 0 {
                self.length()?;
            }
            for _ in 0..entries.unsigned_abs() {
                let (key, value) = (self.entry()?, self.entry()?);
                match key.as_slice() {
                    b"avro.schema" => shape = Some(schema::parse(&value).map_err(damaged)?),
                    b"avro.codec" => codec = String::from_utf8_lossy(&value).into_owned(),
                    _ => {}
                }
            }
        }
        let shape = shape.ok_or_else(|| damaged("the header has no schema"))?;
        Ok(Header { shape, codec, marker: self.bytes()? })
    }

    /// The number of records and of bytes of the next block, if there is one.
    fn block(&mut self) -> io::Result<Option<(u64, u64)>> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        Ok(Some((self.length()?, self.length()?)))
    }

    fn count(&mut self) -> io::Result<(u64, u64)> {
        let header = self.header()?;
        let (mut records, mut bytes) = (0u64, 0u64);
        while let Some((count, length)) = self.block()? {
            if header.shape.is_empty() {
                Walk(&[]).records(count, &header.shape).map_err(damaged)?;
            }
            records = records.saturating_add(count);
            let mut rest = self.input.by_ref().take(length);
            bytes = bytes.saturating_add(unpack::measure(&header.codec, length, &mut rest, BLOCK_BYTES_MAX)?);
            let rest = rest.limit();
            self.at += length - rest;
            self.skip(rest)?;
            self.end(&header)?;
        }
        Ok((records, bytes))
    }

    /// Looks at each record.
    fn walk(&mut self) -> io::Result<()> {
        let header = self.header()?;
        while let Some((count, length)) = self.block()? {
            unpack::measure("", length, &mut io::empty(), BLOCK_BYTES_MAX)?;
            let mut block = Vec::new();
            self.input.by_ref().take(length).read_to_end(&mut block)?;
            self.at += block.len() as u64;
            if block.len() as u64 != length {
                return Err(cut_off());
            }
            Walk(&unpack::unpack(&header.codec, &block, BLOCK_BYTES_MAX)?).records(count, &header.shape).map_err(damaged)?;
            self.end(&header)?;
        }
        Ok(())
    }

    fn end(&mut self, header: &Header) -> io::Result<()> {
        if self.bytes::<16>()? == header.marker { Ok(()) } else { Err(damaged("a block does not end with the file's marker")) }
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends inside a block")
}

/// Whether a whole file can be given to a reader that believes what the file says: its types have an end, and no length and count is more than
/// there is.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut frame = Frame { input: bytes, at: 0 };
    frame.walk().map_err(|error| format!("is a damaged Avro file: at byte {}: {error}", frame.at))
}
