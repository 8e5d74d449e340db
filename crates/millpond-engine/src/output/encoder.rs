//! Rows to the bytes of one file, for formats that are written row by row.

use super::compression::{Codec, Compression};
use super::{OutputFormat, avro, json, orc, text};
use crate::write::{Outbox, WriteError};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use std::io::{self, Write};

/// Takes the rows of one file.
pub(super) trait Encoder: Send {
    /// Encodes rows.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError>;

    /// Ends the file.
    fn finish(self: Box<Self>) -> Result<(), WriteError>;

    /// Bytes that are held in memory and not in the outbox yet, about.
    fn held(&self) -> usize {
        0
    }
}

/// An encoder whose bytes go to `outbox`.
pub(super) fn encoder(
    format: &OutputFormat,
    compression: Compression,
    schema: &SchemaRef,
    outbox: Outbox,
) -> Result<Box<dyn Encoder>, WriteError> {
    Ok(match format {
        OutputFormat::Text(options) => {
            let out = Compressor::new(compression, outbox)?;
            Box::new(Lines { out, rows: text::Rows::new(options.clone()), text: Vec::new() })
        }
        OutputFormat::Json(keys) => {
            let out = Compressor::new(compression, outbox)?;
            Box::new(Lines { out, rows: json::Rows::new(schema, keys), text: Vec::new() })
        }
        OutputFormat::Avro => Box::new(avro::AvroEncoder::new(schema, compression, outbox)?),
        OutputFormat::Orc => Box::new(orc::OrcEncoder::new(schema, compression, outbox)?),
        OutputFormat::Parquet => {
            return Err(WriteError::Format("Parquet is written by row groups, and not by an encoder".into()));
        }
    })
}

/// Writes rows as text.
pub(super) trait Rows: Send {
    /// Appends the rows of a batch, each with its line end.
    fn write(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), WriteError>;
}

/// Lines of text, compressed.
struct Lines<R> {
    out: Compressor,
    rows: R,
    text: Vec<u8>,
}

impl<R: Rows> Encoder for Lines<R> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        self.text.clear();
        self.rows.write(batch, &mut self.text)?;
        self.out.write_all(&self.text).map_err(broken)
    }

    fn finish(self: Box<Self>) -> Result<(), WriteError> {
        self.out.finish().map_err(broken)
    }
}

pub(super) fn broken(error: impl std::fmt::Display) -> WriteError {
    WriteError::Format(error.to_string())
}

/// A stream of compressed bytes.
enum Compressor {
    None(Outbox),
    Gzip(flate2::write::GzEncoder<Outbox>),
    Zlib(flate2::write::ZlibEncoder<Outbox>),
    Zstd(zstd::stream::write::Encoder<'static, Outbox>),
    Bzip2(bzip2::write::BzEncoder<Outbox>),
}

impl Compressor {
    fn new(compression: Compression, outbox: Outbox) -> Result<Self, WriteError> {
        Ok(match compression.codec {
            Codec::None => Self::None(outbox),
            Codec::Gzip => Self::Gzip(flate2::write::GzEncoder::new(outbox, flate2::Compression::default())),
            // Hadoop's `.deflate` files have zlib's header.
            Codec::Deflate | Codec::Zlib => Self::Zlib(flate2::write::ZlibEncoder::new(outbox, flate2::Compression::default())),
            Codec::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(outbox, compression.zstd_level()).map_err(broken)?),
            Codec::Bzip2 => Self::Bzip2(bzip2::write::BzEncoder::new(outbox, bzip2::Compression::default())),
            Codec::Snappy | Codec::Lz4 => {
                return Err(WriteError::Format(format!("text cannot be compressed with {}", compression.codec.name())));
            }
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::None(out) => out.write_all(bytes),
            Self::Gzip(out) => out.write_all(bytes),
            Self::Zlib(out) => out.write_all(bytes),
            Self::Zstd(out) => out.write_all(bytes),
            Self::Bzip2(out) => out.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::None(_) => {}
            Self::Gzip(out) => drop(out.finish()?),
            Self::Zlib(out) => drop(out.finish()?),
            Self::Zstd(out) => drop(out.finish()?),
            Self::Bzip2(out) => drop(out.finish()?),
        }
        Ok(())
    }
}
