//! Names the object where a Parquet file turns out to be damaged while its pages are decoded: what decodes them knows bytes, and no files.
//!
//! A reader notes for its partition of work which file's pages it has fetched last; an error of the decoder's that comes out of that partition is about
//! this file. A decoder that panics on hostile bytes is taken for an error, too.

use super::parquet::{Uri, own};
use crate::query::rule::{Plan, StepRule};
use crate::query::through::{Through, ThroughExec};
use crate::query::{QueryError, find_own};
use bytes::Bytes;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::file::metadata::ParquetMetaData;
use std::collections::HashMap;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

/// Puts a [`DamagedFiles`] above each scan of Parquet files. To run when nothing looks for scans any more.
pub(crate) fn name_damaged_files() -> StepRule {
    StepRule::new("name_damaged_files", |step| match noting(&step) {
        Some(scan) => Ok(Transformed::yes(scan)),
        None => Ok(Transformed::no(step)),
    })
}

/// The same scan with readers that note what they read; `None` where it is none of Parquet files.
fn noting(node: &Plan) -> Option<Plan> {
    let scan = node.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()?;
    let source = scan.file_source().downcast_ref::<ParquetSource>()?;
    let (inner, reading) = (Arc::clone(source.parquet_file_reader_factory()?), Arc::<Reading>::default());
    let readers = Readers { inner, reading: Arc::clone(&reading) };
    let source = source.clone().with_parquet_file_reader_factory(Arc::new(readers));
    let scan = FileScanConfigBuilder::from(scan.clone()).with_source(Arc::new(source)).build();
    Some(ThroughExec::over(DataSourceExec::from_data_source(scan), DamagedFiles { reading }))
}

/// For each partition of work, the file whose pages were fetched last.
#[derive(Debug, Default)]
struct Reading(Mutex<HashMap<usize, String>>);

impl Reading {
    fn note(&self, partition: usize, uri: &str) {
        let mut files = self.0.lock().expect("names are only put and read");
        match files.get_mut(&partition) {
            Some(noted) if noted == uri => {}
            Some(noted) => uri.clone_into(noted),
            None => drop(files.insert(partition, uri.to_owned())),
        }
    }

    fn damaged(&self, partition: usize, why: &str) -> DataFusionError {
        let files = self.0.lock().expect("names are only put and read");
        let uri = files.get(&partition).cloned().unwrap_or_default();
        QueryError::BadData { uri, message: format!("Malformed Parquet file: {why}") }.into()
    }

    /// The error, with the file's name where the decoder says what is wrong with its bytes.
    fn name(&self, partition: usize, error: DataFusionError) -> DataFusionError {
        let message = match error.find_root() {
            DataFusionError::ParquetError(_) if find_own(&error).is_none() => error.find_root().strip_backtrace(),
            _ => return error,
        };
        // What a condition meets in a value comes through the reader as a text.
        if message.contains("CastError(") {
            return error;
        }
        // Each layer has put its name before.
        let why = ["Parquet error: ", "Arrow: ", "Parquet argument error: ", "External: "]
            .iter()
            .cycle()
            .take(16)
            .fold(message.as_str(), |text, layer| text.strip_prefix(layer).unwrap_or(text));
        self.damaged(partition, why)
    }
}

#[derive(Debug)]
struct Readers {
    inner: Arc<dyn ParquetFileReaderFactory>,
    reading: Arc<Reading>,
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let uri = Uri::of(&file);
        let inner = self.inner.create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(Box::new(Reader { inner, uri, partition: partition_index, reading: Arc::clone(&self.reading) }))
    }
}

struct Reader {
    inner: Box<dyn AsyncFileReader + Send>,
    uri: String,
    partition: usize,
    reading: Arc<Reading>,
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.reading.note(self.partition, &self.uri);
        self.inner.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        self.reading.note(self.partition, &self.uri);
        self.inner.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let Self { inner, uri, .. } = self;
        async move {
            // The decoder of footers computes with lengths that files claim.
            let read = AssertUnwindSafe(inner.get_metadata(options)).catch_unwind().await;
            let broken = |_| own(QueryError::CannotOpen { uri: uri.clone(), message: "it is not a valid Parquet file".into() });
            read.map_err(broken)?
        }
        .boxed()
    }
}

/// The rows of a scan, with errors that name the object.
#[derive(Debug)]
struct DamagedFiles {
    reading: Arc<Reading>,
}

impl Through for DamagedFiles {
    const NAME: &'static str = "DamagedFilesExec";

    fn renewed(&self) -> Self {
        Self { reading: Arc::clone(&self.reading) }
    }

    fn run(&self, input: &Plan, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = input.execute(partition, context)?;
        let (schema, reading) = (input.schema(), Arc::clone(&self.reading));
        let named = AssertUnwindSafe(input).catch_unwind().map(move |polled| match polled {
            Ok(read) => read.map_err(|error| reading.name(partition, error)),
            Err(_) => Err(reading.damaged(partition, "it cannot be decoded")),
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, named)))
    }
}
