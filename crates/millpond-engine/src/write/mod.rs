//! Parquet files into the store.
//!
//! Columns are encoded by whoever has the rows, in parallel ([`RowGroup`]); a file takes finished row groups one after another ([`FileWriter`]) and sends
//! them on in parts, so that no more than a few row groups are in memory.

mod partitions;
mod properties;
mod statistics;
mod upload;

pub(crate) use partitions::split;
pub use partitions::{Local, PartitionWriter, partition_path};
pub(crate) use properties::properties;
pub use statistics::{Bound, ColumnStatistics};
pub(crate) use upload::{Outbox, PART_BYTES, Upload};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use millpond_core::catalog::NULL_PARTITION;
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use std::sync::Arc;
use tokio::runtime::Handle;

/// How Parquet is written.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// Rows of a row group at most.
    pub row_group_rows: usize,
    /// Encoded bytes of a row group at most, about.
    pub row_group_bytes: usize,
    /// A file that has grown beyond this is closed, and its partition goes on in another.
    pub file_bytes: u64,
    /// Of pages.
    pub compression: Compression,
    /// Bytes of rows that may wait for their partitions' row groups to fill, all together.
    pub buffer_bytes: usize,
    /// Partitions that one output may have: more are [`WriteError::TooManyPartitions`].
    pub partitions_max: Option<usize>,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            row_group_rows: 1 << 20,
            row_group_bytes: 128 << 20,
            file_bytes: 1 << 30,
            compression: Compression::ZSTD(ZstdLevel::default()),
            buffer_bytes: 256 << 20,
            partitions_max: None,
        }
    }
}

/// A file that was written and is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Where it is in the store.
    pub blob: Path,
    /// Bytes.
    pub size: u64,
    /// Rows.
    pub rows: u64,
    /// One for each partition key, as text; `__HIVE_DEFAULT_PARTITION__` for null.
    pub partition_values: Vec<String>,
    /// What the file's own metadata say of its leaf columns, in the order of its schema; empty for formats without such metadata.
    pub statistics: Vec<ColumnStatistics>,
}

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The store refused it; trying again may help.
    #[error("the output cannot be stored: {0}")]
    Store(#[from] object_store::Error),
    /// The rows cannot be encoded.
    #[error("the output cannot be encoded as Parquet: {0}")]
    Encode(#[from] ParquetError),
    /// The rows cannot be written in another format.
    #[error("the output cannot be encoded: {0}")]
    Format(String),
    /// The rows belong to more partitions than [`WriteOptions::partitions_max`].
    #[error("the output has more than {0} partitions")]
    TooManyPartitions(usize),
    /// The rows are not what was announced.
    #[error("the output rows are inconsistent: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
}

/// Names of the next files.
pub type NewPath = Arc<dyn Fn() -> Path + Send + Sync>;

/// What all files of one output share.
#[derive(Clone)]
pub struct Output {
    /// Where the files go.
    pub store: Arc<dyn ObjectStore>,
    /// The runtime on which the store's futures run.
    pub handle: Handle,
    /// Of the files: without partition keys.
    pub schema: SchemaRef,
    /// How they are written.
    pub options: WriteOptions,
    /// Names for them.
    pub new_path: NewPath,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("schema", &self.schema).field("options", &self.options).finish_non_exhaustive()
    }
}

/// One Parquet file under construction.
pub struct FileWriter {
    schema: SchemaRef,
    writer: SerializedFileWriter<Outbox>,
    upload: Upload,
    factory: Arc<ArrowRowGroupWriterFactory>,
    rows: u64,
}

impl std::fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWriter").field("upload", &self.upload).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl FileWriter {
    /// A new file; `sample` decides the encodings.
    ///
    /// # Errors
    /// The schema has types that Parquet lacks.
    pub fn new(output: &Output, sample: &RecordBatch) -> Result<Self, WriteError> {
        let props = Arc::new(properties(&output.options, sample));
        let parquet_schema = ArrowSchemaConverter::new().convert(&output.schema)?;
        let upload = Upload::new(output);
        let writer = SerializedFileWriter::new(upload.outbox(), parquet_schema.root_schema_ptr(), props)?;
        let factory = Arc::new(ArrowRowGroupWriterFactory::new(&writer, Arc::clone(&output.schema)));
        Ok(Self { schema: Arc::clone(&output.schema), writer, upload, factory, rows: 0 })
    }

    /// An empty row group for this file, to be filled elsewhere.
    ///
    /// # Errors
    /// As [`FileWriter::new`].
    pub fn row_group(&self) -> Result<RowGroup, WriteError> {
        RowGroup::new(Arc::clone(&self.factory), Arc::clone(&self.schema))
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// Bytes that are held in memory.
    pub fn held(&self) -> usize {
        // The writer has a small buffer of its own before the outbox.
        self.writer.bytes_written() - self.upload.sent() as usize
    }

    /// Appends a finished row group.
    ///
    /// # Errors
    /// The store's.
    pub fn append(&mut self, group: EncodedRowGroup) -> Result<(), WriteError> {
        if group.rows == 0 {
            return Ok(());
        }
        let mut row_group = self.writer.next_row_group()?;
        for chunk in group.chunks {
            chunk.append_to_row_group(&mut row_group)?;
        }
        row_group.close()?;
        self.rows += group.rows as u64;
        self.upload.send_full_part()
    }

    /// Writes the footer and closes the file.
    ///
    /// # Errors
    /// The store's.
    pub fn close(mut self, partition_values: Vec<String>) -> Result<WrittenFile, WriteError> {
        let metadata = self.writer.finish()?;
        let (blob, size) = self.upload.close()?;
        Ok(WrittenFile { blob, size, rows: self.rows, partition_values, statistics: statistics::of(&metadata) })
    }

    /// Gives the file up; nothing of it stays.
    pub fn abort(self) {
        self.upload.abort();
    }
}

/// Rows being encoded.
pub struct RowGroup {
    factory: Arc<ArrowRowGroupWriterFactory>,
    schema: SchemaRef,
    columns: Vec<ArrowColumnWriter>,
    /// Rows so far.
    pub rows: usize,
}

impl std::fmt::Debug for RowGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowGroup").field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// A finished row group.
#[derive(Debug)]
pub struct EncodedRowGroup {
    chunks: Vec<ArrowColumnChunk>,
    rows: usize,
}

impl RowGroup {
    fn new(factory: Arc<ArrowRowGroupWriterFactory>, schema: SchemaRef) -> Result<Self, WriteError> {
        let columns = factory.create_column_writers(0)?;
        Ok(Self { factory, schema, columns, rows: 0 })
    }

    /// Encodes rows.
    ///
    /// # Errors
    /// The batch has other columns than the file.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let mut writers = self.columns.iter_mut();
        for (field, column) in self.schema.fields().iter().zip(batch.columns()) {
            for leaf in compute_leaves(field, column)? {
                let writer = writers.next().expect("a writer for each leaf of the schema");
                writer.write(&leaf)?;
            }
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    /// Encoded bytes, about.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum()
    }

    /// Closes this row group and begins the next.
    ///
    /// # Errors
    /// The last pages cannot be encoded.
    pub fn finish(&mut self) -> Result<EncodedRowGroup, WriteError> {
        let fresh = self.factory.create_column_writers(0)?;
        let columns = std::mem::replace(&mut self.columns, fresh);
        let rows = std::mem::take(&mut self.rows);
        let chunks = columns.into_iter().map(ArrowColumnWriter::close).collect::<Result<Vec<_>, _>>()?;
        Ok(EncodedRowGroup { chunks, rows })
    }
}

/// A partition value as the catalog and paths have it: null and the empty text are Hive's default partition.
pub(crate) fn partition_text(value: Option<String>) -> String {
    value.filter(|v| !v.is_empty()).unwrap_or_else(|| NULL_PARTITION.to_owned())
}
