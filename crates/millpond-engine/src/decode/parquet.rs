//! Parquet files, read through the store in ranges.

use super::adapt::{Adapter, find};
use super::csv::Batch;
use super::file::Stopped;
use super::{DecodeError, DecodeErrorKind, Reader, fitting_rows};
use crate::table::DataFile;
use arrow::datatypes::Schema;
use bytes::{Buf, Bytes};
use object_store::ObjectStoreExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::SchemaDescriptor;
use std::collections::HashSet;

/// Blocking ranged reads of one object.
#[derive(Debug, Clone)]
pub(crate) struct Ranges {
    reader: Reader,
    file: DataFile,
}

impl Ranges {
    pub fn new(reader: &Reader, file: &DataFile) -> Self {
        Self { reader: reader.clone(), file: file.clone() }
    }

    fn get(&self, start: u64, end: u64) -> Result<Bytes, ParquetError> {
        let end = end.min(self.file.size);
        self.reader
            .handle
            .block_on(self.reader.store.get_range(&self.file.blob, start..end))
            .map_err(|e| ParquetError::External(Box::new(e)))
    }
}

impl Length for Ranges {
    fn len(&self) -> u64 {
        self.file.size
    }
}

impl ChunkReader for Ranges {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.get(start, start + (1 << 20))?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.get(start, start + length as u64)
    }
}

pub(crate) fn failed(uri: &str, error: &ParquetError) -> DecodeError {
    match error {
        ParquetError::External(e) if e.is::<object_store::Error>() => {
            DecodeError { uri: uri.to_owned(), kind: DecodeErrorKind::Read, message: format!("cannot be read: {e}") }
        }
        _ => DecodeError::content(uri, format!("is not a readable Parquet file: {error}")),
    }
}

/// A file's footer: its own schema and counts.
pub(crate) fn metadata(reader: &Reader, file: &DataFile) -> Result<ArrowReaderMetadata, DecodeError> {
    if file.size < 12 {
        return Err(DecodeError::content(&file.uri, format!("is not a Parquet file: it has {} bytes", file.size)));
    }
    ArrowReaderMetadata::load(&Ranges::new(reader, file), ArrowReaderOptions::new()).map_err(|e| failed(&file.uri, &e))
}

/// About how many bytes a group's rows have, each, in columns of the root.
pub(crate) fn row_bytes(group: &RowGroupMetaData, schema: &SchemaDescriptor, roots: &HashSet<usize>) -> usize {
    let columns = group.columns().iter().enumerate().filter(|(leaf, _)| roots.contains(&schema.get_column_root_idx(*leaf)));
    let bytes = columns.map(|(_, column)| column.uncompressed_size().max(column.unencoded_byte_array_data_bytes().unwrap_or(0)));
    let bytes = usize::try_from(bytes.fold(0, i64::saturating_add)).unwrap_or_default();
    bytes / usize::try_from(group.num_rows()).unwrap_or_default().max(1)
}

/// Decodes one file.
pub(crate) fn decode(
    reader: &Reader,
    file: &DataFile,
    mut adapter: Adapter,
    batch_rows: usize,
    emit: &mut dyn FnMut(Batch) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let metadata = metadata(reader, file)?;
    let schema: Schema = metadata.schema().as_ref().clone();
    let wanted: HashSet<usize> = adapter.names().filter_map(|name| find(&schema, name)).collect();
    let groups = metadata.metadata().row_groups().iter();
    let width = groups.map(|group| row_bytes(group, metadata.parquet_schema(), &wanted)).max().unwrap_or(0);
    let mask = ProjectionMask::roots(metadata.parquet_schema(), wanted);
    let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(Ranges::new(reader, file), metadata)
        .with_projection(mask)
        .with_batch_size(fitting_rows(width as u64, batch_rows))
        .build()
        .map_err(|e| failed(&file.uri, &e))?;
    for batch in batches {
        let batch = batch.map_err(|e| DecodeError::content(&file.uri, format!("is a damaged Parquet file: {e}")))?;
        emit(adapter.adapt(&batch, 0)?)?;
    }
    Ok(())
}
