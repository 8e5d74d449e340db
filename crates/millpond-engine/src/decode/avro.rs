//! Avro object container files.

use super::adapt::Adapter;
use super::csv::Batch;
use super::file::Stopped;
use super::{DecodeError, Reader, source};
use crate::table::DataFile;
use crate::types::HiveType;
use arrow_avro::reader::ReaderBuilder;
use std::io::{BufReader, Read};

type AvroReader = arrow_avro::reader::Reader<BufReader<Box<dyn Read + Send>>>;

/// Opens a file: its header is read.
pub(crate) fn open(reader: &Reader, file: &DataFile, batch_rows: usize) -> Result<AvroReader, DecodeError> {
    let input = source::open(reader, file)?.input;
    ReaderBuilder::new()
        .with_batch_size(batch_rows.max(1))
        .build(BufReader::with_capacity(1 << 20, input))
        .map_err(|e| DecodeError::content(&file.uri, format!("is not a readable Avro file: {e}")))
}

/// Decodes one file.
pub(crate) fn decode(
    reader: &Reader,
    file: &DataFile,
    columns: &[(String, HiveType)],
    strict: bool,
    batch_rows: usize,
    emit: &mut dyn FnMut(Batch) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let mut adapter = Adapter::new(columns, strict);
    for batch in open(reader, file, batch_rows)? {
        let batch = batch.map_err(|e| DecodeError::content(&file.uri, format!("is a damaged Avro file: {e}")))?;
        emit(adapter.adapt(&batch, 0)?)?;
    }
    Ok(())
}
