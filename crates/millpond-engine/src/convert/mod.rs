//! Conversion: what is new in a raw table, as Parquet files of another table, with every row accounted for.
//!
//! [`convert`] only reads and writes blobs: nothing that it writes is visible until its caller names the files in a transaction. It may thus be run
//! again after any failure. For each input, rows in = rows out + rows quarantined; a file that is refused as a whole counts as one row.
//!
//! A pass over the input may teach what the catalog did not know: a column that the crawl's sample did not have, or a file that turns out broken after a
//! part of its rows was taken. Then what was written is thrown away and the pass is repeated with that knowledge; a file is never taken in part.
//!
//! `convert` is synchronous and works on the calling thread and threads of its own: call it from a thread that may block
//! (`spawn_blocking`), never from an async task.

mod assemble;
mod check;
mod feed;
mod pass;
mod plan;
mod quarantine;
#[cfg(test)]
mod tests;

pub use quarantine::quarantine_columns;

use crate::decode::Reader;
use crate::rows::RowCheck;
use crate::table::{FileGroup, TableShape};
use crate::write::{NewPath, WriteError, WriteOptions, WrittenFile};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use futures::stream::BoxStream;
use millpond_core::catalog::Column;
use object_store::ObjectStoreExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// SQL (or anything else) between source and target.
pub trait Transform: Send + Sync {
    /// The columns that come out for these columns in.
    ///
    /// # Errors
    /// What is wrong with the transformation, for the job's author.
    fn output(&self, input: &Schema) -> Result<Schema, String>;

    /// Transforms all rows, streaming; polled on the runtime of [`ConvertSpec::reader`].
    ///
    /// # Errors
    /// As [`Transform::output`].
    fn run(
        &self,
        schema: SchemaRef,
        input: BoxStream<'static, RecordBatch>,
    ) -> Result<BoxStream<'static, Result<RecordBatch, String>>, String>;
}

/// Choices of a conversion.
#[derive(Debug, Clone, Default)]
pub struct ConvertOptions {
    /// Adds a column `ingestion_timestamp` (timestamp) with this time, in milliseconds since the epoch.
    pub ingestion_timestamp_ms: Option<i64>,
    /// Adds a column `source_file` (string) with the object's URI.
    pub source_file: bool,
    /// Columns of delimited text and of JSON are not read by their types but as text, as the files have them; nulls are what they are by the types. Has
    /// no effect beside a transformation.
    pub text: bool,
    /// Adds a column of this name (bigint) by which rows can be brought into the order of the inputs and of the rows in them. Has no effect beside a
    /// transformation.
    pub order: Option<String>,
    /// Of the Parquet files.
    pub write: WriteOptions,
    /// Threads that decode and encode; 0: as many as there are processors.
    pub threads: usize,
    /// For the quarantine's `job_run_id`.
    pub job_run_id: String,
    /// For the quarantine's `quarantined_at`, in milliseconds since the epoch.
    pub now_ms: i64,
}

/// How far a conversion is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Inputs that are finished.
    pub files_done: u64,
    /// Inputs in all.
    pub files: u64,
    /// Bytes of finished and begun inputs.
    pub bytes_done: u64,
    /// Bytes of all inputs.
    pub bytes: u64,
    /// Rows that were read.
    pub rows: u64,
}

/// Told how far it is, from several threads.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// What to convert.
#[derive(Clone)]
pub struct ConvertSpec {
    /// The store, and the runtime that drives it.
    pub reader: Reader,
    /// The raw table: its columns, partition keys and parameters (`skip.header.line.count`, …).
    pub source: TableShape,
    /// The files to read, with the raw table's partition values and each partition's own descriptor.
    pub groups: Vec<FileGroup>,
    /// The target as it is; `None` where it is to be made.
    pub target: Option<TableShape>,
    /// The target's partition keys, in order.
    pub partition_by: Vec<String>,
    /// Between source and target.
    pub transform: Option<Arc<dyn Transform>>,
    /// Says which rows the target cannot take: they are quarantined.
    pub check: Option<Arc<dyn RowCheck>>,
    /// See there.
    pub options: ConvertOptions,
    /// Names for the files that are written.
    pub new_path: NewPath,
    /// Told now and then.
    pub progress: Option<OnProgress>,
    /// Set by another thread: ends the conversion soon, with [`ConvertError::Cancelled`].
    pub cancel: Arc<AtomicBool>,
}

impl std::fmt::Debug for ConvertSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConvertSpec").field("source", &self.source).field("options", &self.options).finish_non_exhaustive()
    }
}

/// What became of one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputCount {
    /// `s3://bucket/key`.
    pub uri: String,
    /// Rows in it; 1 for a file that was refused as a whole.
    pub rows_in: u64,
    /// Rows that went to the target (or into the transformation).
    pub rows_out: u64,
    /// Rows that went to quarantine.
    pub rows_quarantined: u64,
    /// Why the file was refused as a whole.
    pub error: Option<String>,
}

/// What a conversion has written. Nothing of it is visible yet.
#[derive(Debug, Clone)]
pub struct ConvertOutcome {
    /// The target's new files.
    pub files: Vec<WrittenFile>,
    /// Files for the quarantine table ([`quarantine_columns`]); unpartitioned.
    pub quarantine: Vec<WrittenFile>,
    /// The target's columns, evolved, without partition keys.
    pub columns: Vec<Column>,
    /// The target's partition keys.
    pub partition_keys: Vec<Column>,
    /// In the order of the inputs.
    pub inputs: Vec<InputCount>,
    /// Sum over the inputs.
    pub rows_in: u64,
    /// Rows in `files`: with a transformation not the sum over the inputs.
    pub rows_out: u64,
    /// Rows in `quarantine`.
    pub rows_quarantined: u64,
    /// Bytes of the inputs, as stored.
    pub bytes_in: u64,
    /// Bytes of `files`.
    pub bytes_out: u64,
}

/// Why a conversion failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The job, its tables or its SQL are wrong: trying again does not help.
    #[error("{0}")]
    Input(String),
    /// Bytes could not be read or written: trying again may help.
    #[error("{0}")]
    Retry(String),
    /// [`ConvertSpec::cancel`] was set.
    #[error("the conversion was stopped")]
    Cancelled,
    /// A broken invariant.
    #[error("internal error: {0}")]
    Bug(String),
}

impl From<WriteError> for ConvertError {
    fn from(e: WriteError) -> Self {
        match e {
            WriteError::Store(_) => Self::Retry(e.to_string()),
            WriteError::Encode(_) | WriteError::Arrow(_) | WriteError::Format(_) | WriteError::TooManyPartitions(_) => {
                Self::Bug(e.to_string())
            }
        }
    }
}

impl From<arrow::error::ArrowError> for ConvertError {
    fn from(e: arrow::error::ArrowError) -> Self {
        Self::Bug(e.to_string())
    }
}

/// Passes at most: each one after the first needs a reason that the one before did not know.
const PASSES_MAX: usize = 8;

/// Converts. See the module for what is promised.
///
/// # Errors
/// Only what concerns the conversion as a whole; what is wrong with single files or rows is in the outcome. On an error nothing that was written
/// is left behind, as far as the store allows.
pub fn convert(spec: &ConvertSpec) -> Result<ConvertOutcome, ConvertError> {
    let mut learned = plan::Learned::new();
    for _ in 0..PASSES_MAX {
        let plan = plan::Plan::new(spec, &learned)?;
        let pass = pass::run(spec, &plan, &learned)?;
        if !learned.take(&pass) {
            return Ok(pass.into_outcome(spec, &plan, &learned));
        }
        discard(spec, pass.files.iter().chain(&pass.quarantine));
    }
    Err(ConvertError::Bug(format!("the input was still teaching new columns or faults after {PASSES_MAX} passes")))
}

/// Deletes what nobody will name.
fn discard<'a>(spec: &ConvertSpec, files: impl Iterator<Item = &'a WrittenFile>) {
    for file in files {
        if let Err(error) = spec.reader.handle.block_on(spec.reader.store.delete(&file.blob)) {
            tracing::debug!(blob = %file.blob, %error, "an unnamed output stays until orphans are collected");
        }
    }
}

fn check_cancel(cancel: &AtomicBool) -> Result<(), ConvertError> {
    if cancel.load(Ordering::Relaxed) { Err(ConvertError::Cancelled) } else { Ok(()) }
}
