//! The rows of Parquet files, visited by several threads.

use super::Rows;
use crate::decode::adapt::Adapter;
use crate::decode::parquet::{self, Ranges};
use crate::decode::{DecodeError, DecodeErrorKind, Reader};
use crate::table::DataFile;
use crate::types::HiveType;
use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows that are shown at a time.
const BATCH_ROWS: usize = 8_192;

/// What to visit.
#[derive(Debug, Clone)]
pub struct VisitSpec {
    /// The store, and the runtime that drives it.
    pub reader: Reader,
    /// Each with the columns that it has; types that Hive lacks are shown as text.
    pub files: Vec<DataFile>,
    /// At least 1. With one, rows come in the order of the files.
    pub threads: usize,
    /// Set by another thread: ends the visit soon, with [`VisitError::Cancelled`].
    pub cancel: Arc<AtomicBool>,
}

/// Where rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Among the files.
    pub file: usize,
    /// The number of the first of them in the file, from 0.
    pub first_row: u64,
}

/// Why a visit ended early.
#[derive(Debug, thiserror::Error)]
pub enum VisitError<E> {
    /// A file that is no Parquet file, or a damaged one.
    #[error("{0}")]
    Content(String),
    /// Bytes could not be read: trying again may help.
    #[error("{0}")]
    Retry(String),
    /// [`VisitSpec::cancel`] was set.
    #[error("the visit was stopped")]
    Cancelled,
    /// What the visitor said.
    #[error("the visitor had enough")]
    Visitor(E),
}

impl<E> From<DecodeError> for VisitError<E> {
    fn from(e: DecodeError) -> Self {
        match e.kind {
            DecodeErrorKind::Read => Self::Retry(e.to_string()),
            DecodeErrorKind::Content | DecodeErrorKind::Damaged | DecodeErrorKind::Table => Self::Content(e.to_string()),
        }
    }
}

/// A row group to read.
struct Unit {
    file: usize,
    metadata: ArrowReaderMetadata,
    group: usize,
    first_row: u64,
}

/// Hands out row groups in the order of the files.
struct Queue<'a> {
    spec: &'a VisitSpec,
    next: usize,
    open: Option<Unit>,
}

impl Queue<'_> {
    fn next(&mut self) -> Result<Option<Unit>, DecodeError> {
        loop {
            if let Some(unit) = self.open.take() {
                let groups = unit.metadata.metadata().row_groups();
                if let Some(group) = groups.get(unit.group) {
                    let (rows, metadata) = (group.num_rows().max(0).cast_unsigned(), unit.metadata.clone());
                    self.open = Some(Unit { group: unit.group + 1, first_row: unit.first_row + rows, metadata, ..unit });
                    return Ok(Some(unit));
                }
            }
            let Some(file) = self.spec.files.get(self.next) else { return Ok(None) };
            let metadata = parquet::metadata(&self.spec.reader, file)?;
            self.open = Some(Unit { file: self.next, metadata, group: 0, first_row: 0 });
            self.next += 1;
        }
    }
}

/// Sees the rows of one thread.
pub trait Visitor: Send {
    /// Why it has seen enough.
    type Error: Send;

    /// Sees some rows.
    ///
    /// # Errors
    /// Its own: no more are shown, to no thread's visitor.
    fn visit(&mut self, rows: &Rows<'_>, place: Place) -> Result<(), Self::Error>;

    /// Has seen all that it will see. Not called after an error.
    ///
    /// # Errors
    /// Its own.
    fn end(self) -> Result<(), Self::Error>;
}

/// A visitor that is a function, and has nothing to do at the end.
#[derive(Debug, Clone, Copy)]
pub struct Each<F>(pub F);

impl<E: Send, F: FnMut(&Rows<'_>, Place) -> Result<(), E> + Send> Visitor for Each<F> {
    type Error = E;

    fn visit(&mut self, rows: &Rows<'_>, place: Place) -> Result<(), E> {
        self.0(rows, place)
    }

    fn end(self) -> Result<(), E> {
        Ok(())
    }
}

/// Shows all rows of Parquet files, on [`VisitSpec::threads`] threads with a visitor each; answers how many there were. Blocks: call it from a thread that may.
/// Each thread holds one batch and what Parquet needs to decode it.
///
/// # Errors
/// The first thing that went wrong; other threads may have shown more rows after it.
pub fn visit_parquet<V: Visitor>(spec: &VisitSpec, visitor: impl Fn() -> V + Sync) -> Result<u64, VisitError<V::Error>> {
    let queue = Mutex::new(Queue { spec, next: 0, open: None });
    let failed = AtomicBool::new(false);
    let work = || -> Result<u64, VisitError<V::Error>> {
        let (mut rows, mut visitor) = (0, visitor());
        while !failed.load(Ordering::Relaxed) {
            let unit = queue.lock().unwrap_or_else(PoisonError::into_inner).next()?;
            let Some(unit) = unit else {
                visitor.end().map_err(VisitError::Visitor)?;
                break;
            };
            rows += group(spec, unit, &failed, &mut visitor)?;
        }
        Ok(rows)
    };
    let noted = || {
        let done = work();
        if done.is_err() {
            failed.store(true, Ordering::Relaxed);
        }
        done
    };
    let counts: Vec<Result<u64, VisitError<V::Error>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..spec.threads.max(1)).map(|_| scope.spawn(noted)).collect();
        let panicked = || Err(VisitError::Content("an internal fault ended the reading; the log says more".into()));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect()
    });
    counts.into_iter().sum()
}

fn group<V: Visitor>(spec: &VisitSpec, unit: Unit, failed: &AtomicBool, visitor: &mut V) -> Result<u64, VisitError<V::Error>> {
    let file = &spec.files[unit.file];
    let damaged =
        |error: &dyn std::fmt::Display| VisitError::Content(format!("{}: is a damaged Parquet file: {error}", file.uri));
    let fields = unit.metadata.schema().fields();
    let columns: Vec<(String, HiveType)> =
        fields.iter().map(|field| (field.name().clone(), HiveType::from_arrow(field.data_type()))).collect();
    let mut adapter = Adapter::new(&columns, false);
    let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(Ranges::new(&spec.reader, file), unit.metadata)
        .with_row_groups(vec![unit.group])
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|error| VisitError::from(parquet::failed(&file.uri, &error)))?;
    let mut rows = 0;
    for batch in batches {
        if spec.cancel.load(Ordering::Relaxed) {
            return Err(VisitError::Cancelled);
        }
        if failed.load(Ordering::Relaxed) {
            break;
        }
        let batch = batch.map_err(|error| damaged(&error))?;
        let adapted = adapter.adapt(&batch, unit.file).map_err(|error| damaged(&error))?.batch;
        let shown = Rows::of(&adapted).map_err(|error| damaged(&error))?;
        visitor.visit(&shown, Place { file: unit.file, first_row: unit.first_row + rows }).map_err(VisitError::Visitor)?;
        rows += batch.num_rows() as u64;
    }
    Ok(rows)
}
