//! Athena's result CSV: every value in quotes, NULL as nothing at all.

use super::ResultColumn;
use super::value;
use crate::query::{QueryError, QueryStream};
use crate::types::TrinoType;
use arrow::array::{Array, RecordBatch};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

/// Above this a result is uploaded in parts while it is computed.
const PART_BYTES: usize = 8 << 20;

/// A result that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultObject {
    /// Length of the CSV.
    pub bytes: u64,
    /// Rows, without the header.
    pub rows: u64,
}

/// Where a result goes while it is computed.
#[async_trait]
pub trait ResultSink: Send {
    /// Takes the next bytes.
    async fn write(&mut self, bytes: Bytes) -> Result<(), QueryError>;
}

/// Gives a whole result to `sink`, piece by piece.
///
/// # Errors
/// The query's own, and what the sink says.
pub async fn stream_csv(stream: &mut QueryStream, sink: &mut dyn ResultSink) -> Result<ResultObject, QueryError> {
    let mut object = ResultObject { bytes: 0, rows: 0 };
    let mut text = String::new();
    header(stream.columns(), &mut text);
    loop {
        object.bytes += text.len() as u64;
        sink.write(Bytes::from(std::mem::take(&mut text))).await?;
        let Some(batch) = stream.next().await else { return Ok(object) };
        let batch = batch?;
        object.rows += batch.num_rows() as u64;
        rows(&batch, &mut text)?;
    }
}

#[async_trait]
impl ResultSink for BufWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), QueryError> {
        self.put(bytes).await.map_err(|error| QueryError::Internal(error.to_string()))
    }
}

/// Writes a whole result to `location`, in bounded memory. Nothing is left there when the query fails.
///
/// # Errors
/// The query's own, and what the store says.
pub async fn write_csv(
    stream: &mut QueryStream,
    store: Arc<dyn ObjectStore>,
    location: &Path,
) -> Result<ResultObject, QueryError> {
    let mut writer = BufWriter::with_capacity(store, location.clone(), PART_BYTES);
    match stream_csv(stream, &mut writer).await {
        Ok(object) => {
            writer.shutdown().await.map_err(|error| failed(location, &error))?;
            Ok(object)
        }
        Err(error) => {
            if let Err(error) = writer.abort().await {
                tracing::warn!(%error, %location, "the parts of a failed result could not be removed");
            }
            Err(error)
        }
    }
}

fn failed(location: &Path, error: &dyn std::fmt::Display) -> QueryError {
    QueryError::Internal(format!("the result could not be written to {location}: {error}"))
}

/// The header line.
pub fn header(columns: &[ResultColumn], out: &mut String) {
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        quote(&column.name, out);
    }
    out.push('\n');
}

/// The lines of a batch.
///
/// # Errors
/// A column's type has no text form.
pub fn rows(batch: &RecordBatch, out: &mut String) -> Result<(), QueryError> {
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let write = value::typed_writer(column, &TrinoType::of_field(field)).map_err(QueryError::NotSupported)?;
        columns.push((write, column.logical_nulls(), plain(column.as_ref())));
    }
    let mut buffer = String::new();
    for row in 0..batch.num_rows() {
        for (index, (write, nulls, plain)) in columns.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            if *plain {
                out.push('"');
                write(row, out);
                out.push('"');
            } else {
                buffer.clear();
                write(row, &mut buffer);
                quote(&buffer, out);
            }
        }
        out.push('\n');
    }
    Ok(())
}

/// Whether the text of such values can't have quotes in it.
fn plain(array: &dyn Array) -> bool {
    let data_type = array.data_type();
    data_type.is_primitive() || *data_type == arrow::datatypes::DataType::Boolean
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'"', rest.as_bytes()) {
        out.push_str(&rest[..=at]);
        out.push('"');
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}
