//! Avro object container files.
//!
//! The reader of `arrow-avro` takes the end of the bytes for the end of the file wherever it comes. So the file's frame (blocks with their counts and
//! sizes, each closed by the file's marker) is checked first, and the rows are counted against it: a file that is cut off is refused.

use super::adapt::Adapter;
use super::csv::Batch;
use super::file::Stopped;
use super::{DecodeError, Reader, source};
use crate::table::DataFile;
use arrow_avro::reader::ReaderBuilder;
use std::io::{self, BufRead, BufReader, Read};

type Input = BufReader<Box<dyn Read + Send>>;
type AvroReader = arrow_avro::reader::Reader<Input>;

/// The longest header, key or value that is taken: schemas are text that people write.
const HEADER_BYTES_MAX: u64 = 16 << 20;

fn input(reader: &Reader, file: &DataFile) -> Result<Input, DecodeError> {
    Ok(BufReader::with_capacity(1 << 20, source::open(reader, file)?.input))
}

/// Opens a file: its header is read.
pub(crate) fn open(reader: &Reader, file: &DataFile, batch_rows: usize) -> Result<AvroReader, DecodeError> {
    ReaderBuilder::new()
        .with_batch_size(batch_rows.max(1))
        .build(input(reader, file)?)
        .map_err(|e| DecodeError::content(&file.uri, format!("is not a readable Avro file: {e}")))
}

/// The records that the frame promises, if the frame is whole.
pub(crate) fn count(reader: &Reader, file: &DataFile) -> Result<u64, DecodeError> {
    let mut frame = Frame { input: input(reader, file)?, at: 0 };
    frame.count().map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
            DecodeError::content(&file.uri, format!("is a damaged Avro file: at byte {}: {error}", frame.at))
        }
        _ => source::read_error(&file.uri, &error),
    })
}

/// Decodes one file.
pub(crate) fn decode(
    reader: &Reader,
    file: &DataFile,
    mut adapter: Adapter,
    batch_rows: usize,
    emit: &mut dyn FnMut(Batch) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let promised = count(reader, file)?;
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

/// Walks over the container's blocks without looking into them ("Object Container Files" in the Avro specification).
struct Frame<R> {
    input: R,
    at: u64,
}

fn damaged(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
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
        if skipped == bytes { Ok(()) } else { Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends inside a block")) }
    }

    fn count(&mut self) -> io::Result<u64> {
        if self.bytes()? != *b"Obj\x01" {
            return Err(damaged("no Avro container begins here"));
        }
        loop {
            let entries = self.long()?;
            if entries == 0 {
                break;
            }
            if entries < 0 {
                self.length()?;
            }
            for _ in 0..entries.unsigned_abs() * 2 {
                let length = self.length()?;
                if self.at + length > HEADER_BYTES_MAX {
                    return Err(damaged("the header is longer than 16 MiB"));
                }
                self.skip(length)?;
            }
        }
        let marker: [u8; 16] = self.bytes()?;
        let mut records = 0u64;
        while !self.input.fill_buf()?.is_empty() {
            records = records.saturating_add(self.length()?);
            let length = self.length()?;
            self.skip(length)?;
            if self.bytes::<16>()? != marker {
                return Err(damaged("a block does not end with the file's marker"));
            }
        }
        Ok(records)
    }
}
