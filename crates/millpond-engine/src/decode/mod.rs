//! Decoders: from the bytes of one file to Arrow record batches, streaming, in bounded memory.
//!
//! There is one decoder for each format, and three users: a crawl that guesses types, a SQL scan and a conversion. They differ only in what is done with
//! what does not fit ([`Mode`]): a scan reads what it can, as Athena does (a bad value is NULL); a conversion refuses the row and says which
//! line, which column and why, so that the row can be kept in quarantine and the counts add up.
//!
//! Decoding is synchronous work for columnar threads; [`stream`] wraps it for async callers.

pub(crate) mod adapt;
pub(crate) mod avro;
pub(crate) mod blocks;
mod columns;
pub(crate) mod csv;
pub(crate) mod file;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod orc;
pub(crate) mod parquet;
pub(crate) mod source;
pub mod time_pattern;
pub(crate) mod times;
pub mod values;

pub(crate) use self::parquet::row_bytes;
pub use source::{Compression, Reader};

use crate::table::{DataFile, Format};
use crate::types::{HiveType, TypeError};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use millpond_core::catalog::Column;
use object_store::ObjectStore;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Rows in a batch, where they have about `width` bytes each: at most `most`, and so few that a batch has 16 MB or one row.
pub(crate) fn fitting_rows(width: u64, most: usize) -> usize {
    const BATCH_BYTES: u64 = 16 << 20;
    usize::try_from(BATCH_BYTES / width.max(1)).unwrap_or(usize::MAX).min(most).max(1)
}

/// What is done with values and rows that do not fit their columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The row is refused ([`Rejected`]); nothing is changed silently.
    Strict,
    /// The value is NULL; short rows are filled with NULL and long ones are cut. As Athena reads text.
    Lenient,
}

/// A row that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The physical line at which the record starts, 1-based, header lines counted; for Parquet and Avro the record's number in the file. 0: the
    /// file as a whole.
    pub line: u64,
    /// The column that was at fault, where one was.
    pub column: Option<String>,
    /// Its text (cut at 4 KiB).
    pub value: Option<String>,
    /// For people: what was wrong.
    pub reason: String,
    /// The record as it was (cut at 64 KiB).
    pub raw: String,
}

/// What to decode, the same for all files of one call.
#[derive(Debug, Clone)]
pub struct DecodeSpec {
    /// How the bytes are to be understood.
    pub format: Format,
    /// The columns of the table or partition in the file's order, without partition keys. A CSV file whose header names these columns in
    /// another order is read by name; without such a header by position. JSON, Parquet and Avro are read by name, without regard to case.
    pub columns: Vec<Column>,
    /// Indices into `columns`: those to decode, in the order wanted; `None`: all. May be empty: the batches then have rows and no columns.
    pub projection: Option<Vec<usize>>,
    /// What is done with what does not fit.
    pub mode: Mode,
    /// Rows in a batch at most (8,192 is good).
    pub batch_rows: usize,
}

impl DecodeSpec {
    /// The schema of the batches: the projected columns, all nullable, with names as in `columns`.
    ///
    /// # Errors
    /// A column's type is not understood.
    pub fn schema(&self) -> Result<SchemaRef, TypeError> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let fields: Result<Vec<Field>, TypeError> = self
            .projection
            .as_ref()
            .unwrap_or(&all)
            .iter()
            .map(|&i| {
                let column = &self.columns[i];
                Ok(Field::new(&column.name, HiveType::parse(&column.data_type)?.to_arrow(), true))
            })
            .collect();
        Ok(Arc::new(Schema::new(fields?)))
    }
}

/// A file, or the lines of it that begin in a range of its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct FilePart {
    /// The file.
    pub file: DataFile,
    /// Only for formats of which every line is a record. Where it turns out that the bytes can't be cut there (they are compressed, or in UTF-16), the first part is
    /// the whole file and the others are nothing.
    pub range: Option<Range<u64>>,
}

impl From<DataFile> for FilePart {
    fn from(file: DataFile) -> Self {
        Self { file, range: None }
    }
}

/// Some rows of one file.
#[derive(Debug)]
pub struct Decoded {
    /// Index into the files of the call.
    pub file: usize,
    /// Rows that fit.
    pub batch: RecordBatch,
    /// Rows that did not (strict mode only).
    pub rejects: Vec<Rejected>,
}

/// A file that cannot be decoded as a whole.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{uri}: {message}")]
pub struct DecodeError {
    /// `s3://bucket/key`.
    pub uri: String,
    /// Whose fault it is.
    pub kind: DecodeErrorKind,
    /// What was wrong and where in the file.
    pub message: String,
}

/// Whose fault a [`DecodeError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// The bytes could not be had: trying again may help.
    Read,
    /// The bytes are not what the table says they are (binary, no Parquet footer).
    Content,
    /// The bytes end too early, or do not unpack.
    Damaged,
    /// The table asks for something that is not supported, or its types are wrong.
    Table,
}

/// Decodes files one after another, off the async threads (on the blocking pool of the calling runtime), at most two batches ahead of the
/// consumer. Batches come in file order and never mix files. Dropping the stream stops the work. The stream ends after the first error.
///
/// In lenient mode, records that cannot be cut at all (a quote that never closes, malformed JSON) are left out and reported as rejects.
pub fn stream(
    store: Arc<dyn ObjectStore>,
    files: Vec<FilePart>,
    spec: DecodeSpec,
) -> BoxStream<'static, Result<Decoded, DecodeError>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(2);
    let handle = tokio::runtime::Handle::current();
    let reader = Reader { store, handle: handle.clone() };
    // The work begins with the first poll, so that a stream that is never polled costs nothing.
    let start = async move {
        handle.spawn_blocking(move || {
            let mut emit = |decoded| sender.blocking_send(Ok(decoded)).map_err(|_| file::Stopped::ByConsumer);
            // A decoder that panics must not look like the end of the data.
            let done = catch_unwind(AssertUnwindSafe(|| file::decode_files(&reader, &files, &spec, &mut emit)));
            let done = done.unwrap_or_else(|_| {
                let uri = files.first().map_or("", |part| part.file.uri.as_str());
                let message = format!("or one of the {} files after it broke the decoder", files.len().saturating_sub(1));
                Err(file::Stopped::Failed(DecodeError::content(uri, message)))
            });
            if let Err(file::Stopped::Failed(error)) = done {
                // Nobody listens any more: nobody misses the error.
                let _ = sender.blocking_send(Err(error));
            }
        });
        futures::stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|item| (item, receiver)) })
    };
    Box::pin(futures::stream::once(start).flatten())
}

/// `bytes` as text of at most `max` bytes; what is not UTF-8 is shown as Windows-1252.
pub(crate) fn cut_text(bytes: &[u8], max: usize) -> String {
    let cut = &bytes[..bytes.len().min(max)];
    match std::str::from_utf8(cut) {
        Ok(text) => text.to_owned(),
        // Cut in the middle of a character.
        Err(e) if e.error_len().is_none() && bytes.len() > max => String::from_utf8_lossy(&cut[..e.valid_up_to()]).into_owned(),
        Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(cut).0.into_owned(),
    }
}
