//! ORC files, read through the store in ranges: a stripe's wanted streams at a time.
//!
//! The reader underneath believes what a file says of its own sizes. So the tail is looked at first, reads never reach beyond the object, and each compressed chunk is
//! measured before it is unpacked (ORC specification v1, "Compression": none is larger than the block size that the postscript names). What it
//! still stumbles over is an error of the file, never the end of the process.

mod tail;

use super::adapt::{Adapter, find};
use super::csv::Batch;
use super::file::Stopped;
use super::{DecodeError, DecodeErrorKind, Reader, fitting_rows};
use crate::table::DataFile;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::{Buf, Bytes};
use object_store::ObjectStoreExt;
use orc_rust::ArrowReaderBuilder;
use orc_rust::projection::ProjectionMask;
use orc_rust::reader::ChunkReader;
use orc_rust::reader::metadata::FileMetadata;
use orc_rust::schema::TimestampPrecision;
use orc_rust::statistics::TypeStatistics;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tail::Tail;

/// One read (a stream of a stripe) may take so many bytes.
const STREAM_BYTES_MAX: u64 = 1 << 30;
/// Blocking ranged reads of one object.
#[derive(Debug)]
struct Ranges {
    reader: Reader,
    file: DataFile,
    tail: Tail,
    /// What is read now is of stripes, in compressed chunks; the file's tail was looked at before.
    in_stripes: Arc<AtomicBool>,
    /// The first failure of the store, which is not the file's fault.
    failure: Arc<Mutex<Option<String>>>,
}

impl Ranges {
    fn get(&self, start: u64, length: u64) -> io::Result<Bytes> {
        let end = start.checked_add(length).filter(|end| *end <= self.file.size && length <= STREAM_BYTES_MAX);
        let Some(end) = end else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it names {length} bytes at {start}, which it lacks"),
            ));
        };
        let got = self.reader.handle.block_on(self.reader.store.get_range(&self.file.blob, start..end));
        got.map_err(|error| {
            if let Ok(mut failure) = self.failure.lock() {
                failure.get_or_insert(error.to_string());
            }
            io::Error::other(error)
        })
    }
}

impl ChunkReader for Ranges {
    type T = bytes::buf::Reader<Bytes>;

    fn len(&self) -> u64 {
        self.file.size
    }

    fn get_read(&self, start: u64) -> io::Result<Self::T> {
        Ok(self.get(start, self.file.size.saturating_sub(start).min(1 << 20))?.reader())
    }

    fn get_bytes(&self, start: u64, length: u64) -> io::Result<Bytes> {
        let bytes = self.get(start, length)?;
        if self.in_stripes.load(Ordering::Relaxed) {
            self.tail.check(&bytes)?;
        }
        Ok(bytes)
    }
}

/// Runs the reader's code; what it panics of is the file's fault.
fn guarded<T>(uri: &str, work: impl FnOnce() -> T) -> Result<T, DecodeError> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| DecodeError::content(uri, "is a damaged ORC file: its metadata contradict each other"))
}

/// Decodes one file. With `by_index` the wanted column of the table's place `n` is the file's column `n`.
pub(crate) fn decode(
    reader: &Reader,
    file: &DataFile,
    mut adapter: Adapter,
    by_index: Option<&[usize]>,
    batch_rows: usize,
    emit: &mut dyn FnMut(Batch) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let tail = Tail::read(reader, file)?;
    let failure = Arc::new(Mutex::new(None));
    let in_stripes = Arc::new(AtomicBool::new(false));
    let ranges = Ranges {
        reader: reader.clone(),
        file: file.clone(),
        tail,
        in_stripes: Arc::clone(&in_stripes),
        failure: Arc::clone(&failure),
    };
    let wrong = |error: &dyn std::fmt::Display| {
        let store = failure.lock().ok().and_then(|failure| failure.clone());
        match store {
            Some(message) => {
                DecodeError { uri: file.uri.clone(), kind: DecodeErrorKind::Read, message: format!("cannot be read: {message}") }
            }
            None => DecodeError::content(&file.uri, format!("is a damaged ORC file: {error}")),
        }
    };
    let builder = guarded(&file.uri, || ArrowReaderBuilder::try_new(ranges))?.map_err(|error| wrong(&error))?;
    in_stripes.store(true, Ordering::Relaxed);
    let root = builder.file_metadata().root_data_type();
    let found = Schema::new(
        root.children().iter().map(|child| Field::new(child.name(), arrow::datatypes::DataType::Null, true)).collect::<Vec<_>>(),
    );
    // For each wanted column, the file's.
    let names: Vec<String> = adapter.names().map(str::to_owned).collect();
    let places: Vec<Option<usize>> = names
        .iter()
        .enumerate()
        .map(|(i, name)| match by_index {
            Some(table) => table.get(i).copied().filter(|place| *place < root.children().len()),
            None => find(&found, name),
        })
        .collect();
    let columns = places.iter().flatten().map(|place| root.children()[*place].data_type().column_index());
    let mask = ProjectionMask::roots(root, columns.collect::<Vec<_>>());
    // Batches have the projected columns in the file's order.
    let mut order: Vec<usize> = places.iter().flatten().copied().collect();
    order.sort_unstable();
    order.dedup();
    let mut left = builder.file_metadata().number_of_rows();
    if order.is_empty() {
        return rows_without_columns(left, batch_rows, &mut adapter, emit);
    }
    let batch_rows = fitting(builder.file_metadata(), &order, batch_rows);
    let batches = guarded(&file.uri, || {
        builder
            .with_projection(mask)
            .with_timestamp_precision(TimestampPrecision::Microsecond)
            .with_batch_size(batch_rows)
            .build()
    })?;
    let mut batches = batches;
    while let Some(batch) = guarded(&file.uri, || batches.next())? {
        let batch = batch.map_err(|error| wrong(&error))?;
        left = left.saturating_sub(batch.num_rows() as u64);
        let renamed = renamed(&batch, &places, &order, &names)?;
        emit(adapter.adapt(&renamed, 0)?)?;
    }
    if left > 0 {
        return Err(wrong(&format!("{left} of the rows that its footer promises are missing")).into());
    }
    Ok(())
}

/// Rows in a batch: fewer than `batch_rows` where those columns of the root are wide, by the file's statistics or, without any, by its stripes.
fn fitting(metadata: &FileMetadata, columns: &[usize], batch_rows: usize) -> usize {
    let children = metadata.root_data_type().children();
    let statistics = metadata.column_file_statistics();
    let starts = |place: usize| children.get(place).map_or(statistics.len(), |child| child.data_type().column_index());
    let of_columns = columns.iter().filter_map(|place| statistics.get(starts(*place)..starts(place + 1))).flatten();
    let known = of_columns.map(|column| match column.type_statistics() {
        Some(TypeStatistics::String { sum, .. } | TypeStatistics::Binary { sum }) => u64::try_from(*sum).unwrap_or_default(),
        _ => column.number_of_values().saturating_mul(size_of::<u64>() as u64),
    });
    let known = known.fold(0, u64::saturating_add);
    let stored = metadata.stripe_metadatas().iter().map(|stripe| stripe.data_length()).fold(0, u64::saturating_add);
    let bytes = if known > 0 { known } else { stored };
    fitting_rows(bytes / metadata.number_of_rows().max(1), batch_rows)
}

/// The batch with a column for each wanted one that the file has, called as the table calls it.
fn renamed(
    batch: &RecordBatch,
    places: &[Option<usize>],
    order: &[usize],
    names: &[String],
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (place, name) in places.iter().zip(names) {
        let Some(at) = place.and_then(|place| order.binary_search(&place).ok()) else { continue };
        let column = batch.column(at);
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(Arc::clone(column));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

fn rows_without_columns(
    mut left: u64,
    batch_rows: usize,
    adapter: &mut Adapter,
    emit: &mut dyn FnMut(Batch) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let schema = Arc::new(Schema::empty());
    while left > 0 {
        let rows = left.min(batch_rows.max(1) as u64);
        left -= rows;
        let options = RecordBatchOptions::new().with_row_count(Some(rows as usize));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), Vec::new(), &options)?;
        emit(adapter.adapt(&batch, 0)?)?;
    }
    Ok(())
}
