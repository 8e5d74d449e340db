//! Measures batches, and cuts those that have too many rows.

use super::BatchLimit;
use crate::query::QueryError;
use crate::query::rule::Plan;
use crate::query::through::Through;
use crate::query::width::{bytes_of, is_long};
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{TryStreamExt, stream};
use std::sync::Arc;

/// So few rows are no reason to read all others in small batches.
const FEW_ROWS: usize = 64;
/// Rows of more columns are measured though none is long.
const COLUMNS_MAX: usize = 500;

/// Whether rows of this schema may be wide.
pub(super) fn is_wide(schema: &Schema) -> bool {
    schema.fields().len() > COLUMNS_MAX || schema.fields().iter().any(|field| is_long(field.data_type()))
}

/// Hands batches on, and ends the query where they are too large.
#[derive(Debug)]
pub(super) struct Measured {
    /// Whether rows may be copied further on: then a few wide ones are too many already.
    pub(super) is_copied: bool,
}

impl Through for Measured {
    const NAME: &'static str = "GaugeExec";

    fn renewed(&self) -> Self {
        Self { is_copied: self.is_copied }
    }

    fn run(&self, input: &Plan, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let config = context.session_config();
        let mut gauge = Gauge {
            batch_rows: config.batch_size().max(1),
            limit: BatchLimit::of(context.memory_pool().as_ref(), config.options()),
            is_copied: self.is_copied,
            rows: 0,
            bytes: 0,
        };
        let batches = input.execute(partition, context)?.map_ok(move |batch| {
            let step = gauge.batch_rows;
            let measured = gauge.measure(&batch).map_err(DataFusionError::from).map(|()| batch);
            // Some give more rows at once than they should.
            stream::iter(match measured {
                Ok(batch) if batch.num_rows() <= step => vec![Ok(batch)],
                Ok(batch) => {
                    let starts = (0..batch.num_rows()).step_by(step);
                    starts.map(|first| Ok(batch.slice(first, step.min(batch.num_rows() - first)))).collect()
                }
                error => vec![error],
            })
        });
        let batches = batches.try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(input.schema(), batches)))
    }
}

/// What came so far.
struct Gauge {
    batch_rows: usize,
    limit: BatchLimit,
    is_copied: bool,
    rows: usize,
    bytes: usize,
}

impl Gauge {
    fn measure(&mut self, batch: &RecordBatch) -> std::result::Result<(), QueryError> {
        let (rows, bytes) = (batch.num_rows(), batch.columns().iter().map(|column| bytes_of(column.as_ref())).sum::<usize>());
        self.rows += rows;
        self.bytes = self.bytes.saturating_add(bytes);
        // What is copied further on is too much when a full batch would be, and so are small batches, which are put together further on.
        if self.is_copied || (self.rows > FEW_ROWS && self.bytes > self.limit.bytes()) {
            self.limit.check(self.bytes / self.rows.max(1), self.batch_rows)?;
        }
        match rows > FEW_ROWS {
            true => self.limit.check(bytes / rows, rows.min(self.batch_rows)),
            false => Ok(()),
        }
    }
}
