//! Text, JSON, Avro and ORC through the crate's own decoders, as a streaming operator.

use super::files::{ScanFile, divide, scan_files, spread};
use super::{Alike, Scan, hive, object_store_url};
use crate::decode::{self, DecodeError, DecodeErrorKind, DecodeSpec, Decoded, FilePart, Mode, Rejected};
use crate::query::QueryError;
use crate::table::Format;
use crate::types::HiveType;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::StreamExt;
use std::fmt;
use std::sync::Arc;

/// Smaller parts are not worth their look at the file's beginning.
const PART_BYTES_MIN: u64 = 8 << 20;

/// Where a column of the output comes from.
#[derive(Debug, Clone, PartialEq)]
enum From {
    /// The decoder's column of this place, with the values of the type if there is one.
    Decoded(usize, Option<HiveType>),
    /// The file's constant of this place.
    Constant(usize),
    /// The files do not have it.
    Nothing,
}

impl Scan {
    pub(super) fn text(&self, state: &dyn Session, alike: Alike) -> Result<Arc<dyn ExecutionPlan>> {
        let file_columns = self.shape.file_columns.len();
        let mut wanted = Vec::new();
        let mut from = Vec::with_capacity(self.projection.len());
        for &index in &self.projection {
            if index >= file_columns {
                from.push(From::Constant(index - file_columns));
                continue;
            }
            let name = &self.shape.file_columns[index].name;
            // A partition's own columns have their own order; they are the table's by name.
            match alike.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)) {
                Some(place) => {
                    from.push(From::Decoded(wanted.len(), self.shape.shaped[index].clone()));
                    wanted.push(place);
                }
                None => from.push(From::Nothing),
            }
        }
        let spec = DecodeSpec {
            format: alike.format,
            columns: alike.columns,
            projection: Some(wanted),
            mode: Mode::Lenient,
            batch_rows: state.config().batch_size(),
        };
        let schema: SchemaRef = Arc::new(self.schema.project(&self.projection)?);
        let parts = state.config().target_partitions();
        let files = scan_files(alike.groups, &self.shape)?;
        let files = if is_divisible(&spec.format) { divide(files, parts, PART_BYTES_MIN) } else { files };
        let runs = spread(files, parts);
        Ok(Arc::new(TextScanExec::new(schema, spec, from, runs, self.limit)))
    }
}

/// Decodes files of one format, one partition of work after the other.
#[derive(Debug, Clone)]
struct TextScanExec {
    spec: DecodeSpec,
    from: Arc<[From]>,
    runs: Arc<[Vec<ScanFile>]>,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TextScanExec {
    fn new(schema: SchemaRef, spec: DecodeSpec, from: Vec<From>, runs: Vec<Vec<ScanFile>>, limit: Option<usize>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(runs.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            spec,
            from: from.into(),
            runs: runs.into(),
            limit,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for TextScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: usize = self.runs.iter().map(Vec::len).sum();
        let format = self.spec.format.name();
        write!(f, "TextScanExec: format={format}, files={files}, partitions={}", self.runs.len())?;
        match self.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for TextScanExec {
    fn name(&self) -> &'static str {
        "TextScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let store = context.runtime_env().object_store(object_store_url())?;
        let run = self.runs[partition].clone();
        let files = run.iter().map(|file| FilePart { file: file.file.clone(), range: file.range.clone() }).collect();
        let schema = self.schema();
        let is_json = matches!(self.spec.format, Format::Json(_));
        let assemble = Assemble { schema: Arc::clone(&schema), from: Arc::clone(&self.from), run, is_json };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let mut left = self.limit.unwrap_or(usize::MAX);
        let batches = decode::stream(store, files, self.spec.clone())
            .map(move |decoded| match decoded {
                Ok(decoded) => assemble.batch(&decoded),
                Err(error) => Err(blame(error).into()),
            })
            .scan((), move |(), batch: Result<RecordBatch>| {
                let next = match batch {
                    _ if left == 0 => None,
                    Ok(batch) if batch.num_rows() > left => Some(Ok(batch.slice(0, std::mem::take(&mut left)))),
                    Ok(batch) => {
                        left -= batch.num_rows();
                        metrics.record_output(batch.num_rows());
                        Some(Ok(batch))
                    }
                    Err(error) => Some(Err(error)),
                };
                futures::future::ready(next)
            });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let bytes = |run: &Vec<ScanFile>| run.iter().map(ScanFile::bytes).sum::<u64>();
        let bytes = match partition {
            Some(index) => self.runs.get(index).map_or(0, bytes),
            None => self.runs.iter().map(bytes).sum(),
        };
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.total_byte_size = Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok(Arc::new(statistics))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(Self { limit, metrics: ExecutionPlanMetricsSet::new(), ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }
}

/// Puts the output's columns together.
struct Assemble {
    schema: SchemaRef,
    from: Arc<[From]>,
    run: Vec<ScanFile>,
    is_json: bool,
}

impl Assemble {
    fn batch(&self, decoded: &Decoded) -> Result<RecordBatch> {
        if let Some(rejected) = decoded.rejects.first() {
            return Err(self.refusal(decoded.file, rejected).into());
        }
        let rows = decoded.batch.num_rows();
        let constants = &self.run[decoded.file].constants;
        let columns = self.from.iter().zip(self.schema.fields()).map(|(from, field)| -> Result<ArrayRef> {
            match from {
                From::Constant(index) => constants[*index].to_array_of_size(rows),
                From::Nothing => Ok(new_null_array(field.data_type(), rows)),
                From::Decoded(index, shape) => {
                    let mut column = Arc::clone(decoded.batch.column(*index));
                    if column.data_type() != field.data_type() {
                        // A partition may have an older type than its table. What does not fit is NULL, as anything else that does not.
                        let options = CastOptions { safe: true, ..CastOptions::default() };
                        column = cast_with_options(&column, field.data_type(), &options)?;
                    }
                    match shape {
                        Some(hive) => Ok(hive::shaped(&column, hive)?),
                        None => Ok(column),
                    }
                }
            }
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// Whether the format's files can be cut between any two lines, as far as that is known before they are opened.
fn is_divisible(format: &Format) -> bool {
    match format {
        Format::Csv(options) => options.quote.is_none() && options.escape.is_none() && options.footer_lines == 0,
        Format::Lines(options) => options.footer_lines == 0,
        Format::Json(_) => true,
        Format::Parquet | Format::Avro | Format::Orc(_) => false,
    }
}

impl Assemble {
    /// A record that can't be read at all.
    fn refusal(&self, file: usize, rejected: &Rejected) -> QueryError {
        let ScanFile { file, range, .. } = &self.run[file];
        let place = match range {
            Some(range) if range.start > 0 => format!("line {} after byte {} of {}", rejected.line, range.start, file.uri),
            _ => format!("line {} of {}", rejected.line, file.uri),
        };
        let message = if self.is_json {
            format!(
                "Row is not a valid JSON Object - JSONException: the row {} ({place}). With the serde property \
                 'ignore.malformed.json' = 'true' such rows are NULL",
                rejected.reason
            )
        } else {
            format!("{} ({place})", rejected.reason)
        };
        QueryError::Table { name: "HIVE_CURSOR_ERROR", message }
    }
}

fn blame(error: DecodeError) -> QueryError {
    match error.kind {
        DecodeErrorKind::Damaged => {
            QueryError::Table { name: "HIVE_CURSOR_ERROR", message: format!("{} {}", error.uri, error.message) }
        }
        DecodeErrorKind::Read => QueryError::CannotOpen { uri: error.uri, message: error.message },
        DecodeErrorKind::Content => QueryError::BadData { uri: error.uri, message: error.message },
        DecodeErrorKind::Table => QueryError::InvalidMetadata(format!("{}: {}", error.uri, error.message)),
    }
}
