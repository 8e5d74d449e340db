//! ORC files (Apache ORC specification v1), version 0.12 with run-length encodings of version 1.
//!
//! A file is a list of stripes, each of which holds rows as streams of bytes a column, then a footer that says where they are. There are no row
//! indexes and no statistics.

mod column;
mod rle;

use super::compression::{Codec, Compression};
use super::encoder::{Encoder, broken};
use super::lz;
use crate::write::{Outbox, WriteError};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use column::Column;
use std::io::Write;

/// Bytes of streams after which a stripe ends, about.
const STRIPE_BYTES: usize = 32 << 20;

/// Bytes that are compressed at once.
const BLOCK_BYTES: usize = 256 << 10;

/// Writes one ORC file.
pub(super) struct OrcEncoder {
    out: Outbox,
    written: u64,
    compression: Compression,
    columns: Vec<Column>,
    names: Vec<String>,
    /// Rows in the stripe.
    rows: u64,
    stripes: Vec<Stripe>,
}

/// A stripe that is in the file.
struct Stripe {
    offset: u64,
    data: u64,
    footer: u64,
    rows: u64,
}

impl OrcEncoder {
    pub(super) fn new(schema: &SchemaRef, compression: Compression, outbox: Outbox) -> Result<Self, WriteError> {
        let mut encoder = Self {
            out: outbox,
            written: 0,
            compression,
            columns: schema.fields().iter().map(|field| Column::new(field.data_type())).collect::<Result<_, _>>()?,
            names: schema.fields().iter().map(|field| field.name().clone()).collect(),
            rows: 0,
            stripes: Vec::new(),
        };
        encoder.push(b"ORC")?;
        Ok(encoder)
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes).map_err(broken)
    }

    fn end_stripe(&mut self) -> Result<(), WriteError> {
        let offset = self.written;
        let mut streams = Vec::new();
        let mut footer = Message::default();
        let mut encodings = Vec::new();
        // Column 0 is the row itself.
        let mut number = 1;
        for column in &mut self.columns {
            number = column.take(number, &mut streams);
        }
        for (kind, column, bytes) in streams {
            let bytes = compressed(self.compression, &bytes)?;
            let mut stream = Message::default();
            stream.number(1, kind);
            stream.number(2, column);
            stream.number(3, bytes.len() as u64);
            footer.message(1, &stream);
            self.push(&bytes)?;
        }
        for _ in 0..number {
            let mut encoding = Message::default();
            encoding.number(1, 0);
            encodings.push(encoding);
        }
        encodings.iter().for_each(|encoding| footer.message(2, encoding));
        footer.bytes(3, b"UTC");
        let data = self.written - offset;
        let footer = compressed(self.compression, &footer.0)?;
        self.push(&footer)?;
        self.stripes.push(Stripe { offset, data, footer: footer.len() as u64, rows: std::mem::take(&mut self.rows) });
        Ok(())
    }

    fn end_file(&mut self) -> Result<(), WriteError> {
        let mut footer = Message::default();
        footer.number(1, 3);
        footer.number(2, self.written - 3);
        for stripe in &self.stripes {
            let mut message = Message::default();
            message.number(1, stripe.offset);
            message.number(2, 0);
            message.number(3, stripe.data);
            message.number(4, stripe.footer);
            message.number(5, stripe.rows);
            footer.message(3, &message);
        }
        let mut types = Vec::new();
        let root = column::struct_type(&self.names, &self.columns, 0, &mut types);
        types.insert(0, root);
        types.iter().for_each(|message| footer.message(4, message));
        footer.number(6, self.stripes.iter().map(|stripe| stripe.rows).sum());
        footer.number(8, 0);
        let footer = compressed(self.compression, &footer.0)?;
        self.push(&footer)?;
        let mut postscript = Message::default();
        postscript.number(1, footer.len() as u64);
        postscript.number(
            2,
            match self.compression.codec {
                Codec::Zlib | Codec::Gzip | Codec::Deflate | Codec::Bzip2 => 1,
                Codec::Snappy => 2,
                Codec::Lz4 => 4,
                Codec::Zstd => 5,
                Codec::None => 0,
            },
        );
        postscript.number(3, BLOCK_BYTES as u64);
        postscript.bytes(4, &[0, 12]);
        postscript.number(5, 0);
        postscript.number(6, 6);
        postscript.bytes(8000, b"ORC");
        self.push(&postscript.0)?;
        let length = u8::try_from(postscript.0.len()).map_err(broken)?;
        self.push(&[length])
    }
}

impl Encoder for OrcEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        for (column, values) in self.columns.iter_mut().zip(batch.columns()) {
            column.write(values)?;
        }
        self.rows += batch.num_rows() as u64;
        if self.held() >= STRIPE_BYTES { self.end_stripe() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<(), WriteError> {
        if self.rows > 0 {
            self.end_stripe()?;
        }
        self.end_file()
    }

    fn held(&self) -> usize {
        self.columns.iter().map(Column::held).sum()
    }
}

/// A stream in compressed blocks, each with a header of three bytes; as it is without compression.
fn compressed(compression: Compression, bytes: &[u8]) -> Result<Vec<u8>, WriteError> {
    if compression.codec == Codec::None {
        return Ok(bytes.to_vec());
    }
    let mut out = Vec::with_capacity(bytes.len() / 2 + 16);
    for block in bytes.chunks(BLOCK_BYTES) {
        let packed = match compression.codec {
            Codec::Snappy => lz::snappy(block),
            Codec::Lz4 => lz::lz4(block),
            Codec::Zstd => zstd::bulk::compress(block, compression.zstd_level()).map_err(broken)?,
            _ => {
                let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
                deflate.write_all(block).map_err(broken)?;
                deflate.finish().map_err(broken)?
            }
        };
        let original = packed.len() >= block.len();
        let kept = if original { block } else { &packed };
        let header = (kept.len() as u32) << 1 | u32::from(original);
        out.extend_from_slice(&header.to_le_bytes()[..3]);
        out.extend_from_slice(kept);
    }
    Ok(out)
}

/// A Protocol Buffers message.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, field: u64, value: u64) {
        rle::varint(u128::from(field << 3), &mut self.0);
        rle::varint(u128::from(value), &mut self.0);
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        rle::varint(u128::from(field << 3 | 2), &mut self.0);
        rle::varint(value.len() as u128, &mut self.0);
        self.0.extend_from_slice(value);
    }

    fn message(&mut self, field: u64, value: &Message) {
        self.bytes(field, &value.0);
    }
}

/// The values that are there.
fn present(array: &ArrayRef) -> Result<ArrayRef, WriteError> {
    match array.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
        None => Ok(array.clone()),
        Some(nulls) => Ok(arrow::compute::filter(array, &arrow::array::BooleanArray::new(nulls.into_inner(), None))?),
    }
}
