//! The operator.

use super::sieve::{Condition, Sieve};
use crate::query::rule::only_input;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Keeps the rows for which all conditions hold, and of those that runtime filters exclude as few as is worth its while.
#[derive(Debug)]
pub(crate) struct AdaptiveFilterExec {
    pub(super) input: Arc<dyn ExecutionPlan>,
    /// What was planned: its conditions, projection, properties and statistics. Its input is of the same shape as ours.
    pub(super) filter: Option<FilterExec>,
    pub(super) runtime: Vec<Arc<dyn PhysicalExpr>>,
    /// Of what is put out. What comes in may have views where texts are put out.
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl AdaptiveFilterExec {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, filter: Option<FilterExec>, runtime: Vec<Arc<dyn PhysicalExpr>>) -> Self {
        let properties = Arc::clone(filter.as_ref().map_or_else(|| input.properties(), ExecutionPlan::properties));
        Self { input, filter, runtime, properties, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The same filter over an input with the same partitions of the same columns, of which texts may be views.
    pub(super) fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Self {
        let (filter, runtime) = (self.filter.clone(), self.runtime.clone());
        Self { input, filter, runtime, properties: Arc::clone(&self.properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    /// Takes runtime filters right below it in.
    pub(super) fn from_filter(filter: &FilterExec) -> Self {
        match filter.input().downcast_ref::<Self>() {
            Some(below) if below.filter.is_none() => {
                Self::new(Arc::clone(&below.input), Some(filter.clone()), below.runtime.clone())
            }
            _ => Self::new(Arc::clone(filter.input()), Some(filter.clone()), Vec::new()),
        }
    }

    /// The conditions that were planned.
    pub(crate) fn predicate(&self) -> Option<&Arc<dyn PhysicalExpr>> {
        self.filter.as_ref().map(FilterExec::predicate)
    }
}

impl DisplayAs for AdaptiveFilterExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let conditions: Vec<_> = self.predicate().into_iter().chain(&self.runtime).map(ToString::to_string).collect();
        write!(f, "AdaptiveFilterExec: {}", conditions.join(" AND "))
    }
}

impl ExecutionPlan for AdaptiveFilterExec {
    fn name(&self) -> &'static str {
        "AdaptiveFilterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.with_input(only_input(self.name(), children)?)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let batch_size = context.session_config().batch_size();
        let input = self.input.execute(partition, context)?;
        let planned = self.predicate().map(split_conjunction).unwrap_or_default();
        let planned = planned.into_iter().map(|expr| Condition::new(expr, false, &input.schema()));
        let runtime = self.runtime.iter().map(|expr| Condition::new(expr, true, &input.schema()));
        let output: Vec<usize> = match self.filter.as_ref().and_then(|filter| filter.projection().as_ref()) {
            Some(projection) => projection.to_vec(),
            None => (0..input.schema().fields().len()).collect(),
        };
        let sieve = Sieve::new(planned.chain(runtime).collect::<Result<_>>()?, output);
        Ok(Box::pin(Filtered {
            coalesced: BatchCoalescer::new(Arc::clone(&schema), batch_size),
            schema,
            input,
            sieve,
            enough: batch_size / 2,
            ended: false,
            metrics: BaselineMetrics::new(&self.metrics, partition),
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        match &self.filter {
            Some(filter) => filter.partition_statistics(partition),
            None => {
                let statistics = self.input.partition_statistics(partition)?;
                Ok(Arc::new(Arc::unwrap_or_clone(statistics).to_inexact()))
            }
        }
    }
}

struct Filtered {
    schema: SchemaRef,
    input: SendableRecordBatchStream,
    sieve: Sieve,
    coalesced: BatchCoalescer,
    /// Rows of a batch that is worth its way by itself.
    enough: usize,
    ended: bool,
    metrics: BaselineMetrics,
}

impl Filtered {
    /// Takes the rows that are kept; answers those that need not wait for more.
    fn pass(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.sieve.sift(batch, &self.schema)? else { return Ok(None) };
        if self.coalesced.is_empty() && batch.num_rows() >= self.enough {
            return Ok(Some(batch));
        }
        self.coalesced.push_batch(batch)?;
        Ok(None)
    }
}

impl Stream for Filtered {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(batch) = self.coalesced.next_completed_batch() {
                return self.metrics.record_poll(Poll::Ready(Some(Ok(batch))));
            }
            if self.ended {
                return self.metrics.record_poll(Poll::Ready(None));
            }
            let compute = self.metrics.elapsed_compute().clone();
            match ready!(self.input.poll_next_unpin(context)) {
                Some(Ok(batch)) => {
                    let timer = compute.timer();
                    if let Some(sifted) = self.pass(&batch).transpose() {
                        drop(timer);
                        return self.metrics.record_poll(Poll::Ready(Some(sifted)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.ended = true;
                    self.coalesced.finish_buffered_batch()?;
                }
            }
        }
    }
}

impl RecordBatchStream for Filtered {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
