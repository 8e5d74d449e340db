//! Filters that a query finds while it runs, applied where rows are read.
//!
//! A hash join knows the keys of its small side before it reads the other, and DataFusion brings them as a dynamic filter to the scan, which leaves out
//! row groups and pages by it. Here single rows are left out as well, before they are sent to other threads, aggregated or looked up in further joins. Where
//! a filter keeps most of its rows, it is not asked any more: the join decides them anyway.

use arrow::array::AsArray;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Rows after which a filter must have shown that it is worth its while.
const TRIAL_ROWS: usize = 64 * 1024;
/// The share of rows that a filter may keep, in percent.
const KEPT_MAX: usize = 75;

/// Puts a [`RuntimeFilterExec`] above each scan that dynamic filters reached. To run after they are pushed down.
#[derive(Debug)]
pub(crate) struct RuntimeFilters;

impl PhysicalOptimizerRule for RuntimeFilters {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewritten = plan.transform_up(|node| {
            if let Some(join) = without_own_filter(&node)? {
                return Ok(Transformed::yes(join));
            }
            let filters = reached(&node)?;
            match filters.is_empty() {
                true => Ok(Transformed::no(node)),
                false => Ok(Transformed::yes(Arc::new(RuntimeFilterExec::new(node, filters)) as Arc<dyn ExecutionPlan>)),
            }
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "runtime_filters"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The dynamic filters on what a scan puts out.
fn reached(node: &Arc<dyn ExecutionPlan>) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
    let source = node.downcast_ref::<DataSourceExec>();
    let scan = source.and_then(|source| source.data_source().downcast_ref::<FileScanConfig>());
    let Some(predicate) = scan.and_then(|scan| scan.file_source().filter()) else { return Ok(Vec::new()) };
    let schema = node.schema();
    let mut filters = Vec::new();
    for filter in split_conjunction(&predicate) {
        let there = collect_columns(filter).iter().all(|column| schema.index_of(column.name()).is_ok());
        if there && is_dynamic(filter)? {
            filters.push(reassign_expr_columns(Arc::clone(filter), &schema)?);
        }
    }
    Ok(filters)
}

/// A join without its own runtime filter right below: it would look up each row twice. Where rows are sent to other threads in between, the filter stays.
fn without_own_filter(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(None) };
    let (Some(own), Some(below)) = (join.dynamic_filter_expr(), join.right().downcast_ref::<RuntimeFilterExec>()) else {
        return Ok(None);
    };
    let others: Vec<_> = below.filters.iter().filter(|filter| filter.expression_id() != own.expression_id()).cloned().collect();
    if others.len() == below.filters.len() {
        return Ok(None);
    }
    let right = match others.is_empty() {
        true => Arc::clone(&below.input),
        false => Arc::new(RuntimeFilterExec::new(Arc::clone(&below.input), others)) as Arc<dyn ExecutionPlan>,
    };
    Ok(Some(Arc::clone(node).with_new_children(vec![Arc::clone(join.left()), right])?))
}

fn is_dynamic(filter: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    let mut found = false;
    filter.apply(|expr| {
        found |= expr.is::<DynamicFilterPhysicalExpr>();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Leaves out rows for which filters do not hold that become known while the query runs. It may let such rows pass.
#[derive(Debug)]
pub(crate) struct RuntimeFilterExec {
    input: Arc<dyn ExecutionPlan>,
    filters: Vec<Arc<dyn PhysicalExpr>>,
    metrics: ExecutionPlanMetricsSet,
}

impl RuntimeFilterExec {
    fn new(input: Arc<dyn ExecutionPlan>, filters: Vec<Arc<dyn PhysicalExpr>>) -> Self {
        Self { input, filters, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for RuntimeFilterExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let filters: Vec<_> = self.filters.iter().map(ToString::to_string).collect();
        write!(f, "RuntimeFilterExec: {}", filters.join(" AND "))
    }
}

impl ExecutionPlan for RuntimeFilterExec {
    fn name(&self) -> &'static str {
        "RuntimeFilterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::new(input, self.filters.clone()))),
            _ => internal_err!("RuntimeFilterExec has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let batch_size = context.session_config().batch_size();
        let coalesced = BatchCoalescer::new(Arc::clone(&schema), batch_size);
        Ok(Box::pin(Filtered {
            schema,
            input: self.input.execute(partition, context)?,
            filters: self.filters.iter().cloned().map(Trial::new).collect(),
            coalesced,
            enough: batch_size / 2,
            ended: false,
            metrics: BaselineMetrics::new(&self.metrics, partition),
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let statistics = self.input.partition_statistics(partition)?;
        Ok(Arc::new(Arc::unwrap_or_clone(statistics).to_inexact()))
    }
}

/// A filter, and how it did so far.
struct Trial {
    filter: Arc<dyn PhysicalExpr>,
    seen: usize,
    kept: usize,
}

impl Trial {
    fn new(filter: Arc<dyn PhysicalExpr>) -> Self {
        Self { filter, seen: 0, kept: 0 }
    }

    /// Whether it leaves out enough to be asked.
    fn is_worth_it(&self) -> bool {
        self.seen < TRIAL_ROWS || self.kept * 100 <= self.seen * KEPT_MAX
    }
}

struct Filtered {
    schema: SchemaRef,
    input: SendableRecordBatchStream,
    filters: Vec<Trial>,
    coalesced: BatchCoalescer,
    /// Rows of a batch that is worth its way by itself.
    enough: usize,
    ended: bool,
    metrics: BaselineMetrics,
}

impl Filtered {
    /// Takes the rows that all filters keep; answers those that need not wait for more.
    fn sift(&mut self, mut batch: RecordBatch) -> Result<Option<RecordBatch>> {
        for trial in self.filters.iter_mut().filter(|trial| trial.is_worth_it()) {
            if batch.num_rows() == 0 {
                return Ok(None);
            }
            let holds = trial.filter.evaluate(&batch)?.into_array(batch.num_rows())?;
            if *holds.data_type() != DataType::Boolean {
                return internal_err!("a runtime filter is of type {}", holds.data_type());
            }
            let holds = holds.as_boolean();
            let kept = holds.true_count();
            trial.seen += batch.num_rows();
            trial.kept += kept;
            if kept < batch.num_rows() {
                batch = arrow::compute::filter_record_batch(&batch, holds)?;
            }
        }
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
                    if let Some(sifted) = self.sift(batch).transpose() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, RecordBatchOptions};
    use arrow::datatypes::{Field, Schema};
    use datafusion::common::ScalarValue;
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{BinaryExpr, Column, lit};

    fn batch(schema: &SchemaRef, from: i64, rows: i64) -> RecordBatch {
        let values = Arc::new(Int64Array::from_iter_values(from..from + rows));
        RecordBatch::try_new_with_options(Arc::clone(schema), vec![values], &RecordBatchOptions::new()).unwrap()
    }

    async fn run(batches: Vec<RecordBatch>, schema: SchemaRef, filter: Arc<dyn PhysicalExpr>) -> Vec<usize> {
        let input = MemorySourceConfig::try_new_exec(&[batches], schema, None).unwrap();
        let exec = RuntimeFilterExec::new(input, vec![filter]);
        let stream = exec.execute(0, Arc::default()).unwrap();
        stream.map(|batch| batch.unwrap().num_rows()).collect().await
    }

    #[tokio::test]
    async fn rows_that_a_dynamic_filter_excludes_do_not_pass() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("a", 0));
        let dynamic = Arc::new(DynamicFilterPhysicalExpr::new(vec![Arc::clone(&column)], lit(true)));
        assert!(is_dynamic(&(Arc::clone(&dynamic) as Arc<dyn PhysicalExpr>)).unwrap());
        let batches: Vec<_> = (0..4).map(|n| batch(&schema, n * 8192, 8192)).collect();
        // Nothing is known yet: whole batches pass as they are.
        assert_eq!(run(batches.clone(), Arc::clone(&schema), Arc::clone(&dynamic) as _).await, [8192; 4]);
        let few = BinaryExpr::new(column, Operator::GtEq, lit(ScalarValue::Int64(Some(4 * 8192 - 10))));
        dynamic.update(Arc::new(few)).unwrap();
        assert_eq!(run(batches, schema, dynamic).await, [10]);
    }

    #[tokio::test]
    async fn a_filter_that_keeps_nearly_all_is_not_asked_for_ever() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
        let most =
            BinaryExpr::new(Arc::new(Column::new("a", 0)), Operator::Lt, lit(ScalarValue::Int64(Some(TRIAL_ROWS as i64 - 1))));
        let rows = TRIAL_ROWS as i64 + 8192 * 2;
        let batches: Vec<_> = (0..rows / 8192).map(|n| batch(&schema, n * 8192, 8192)).collect();
        // One row of the trial is left out; all that follow would be, and are not.
        let passed: usize = run(batches, schema, Arc::new(most)).await.iter().sum();
        assert_eq!(passed, rows as usize - 1);
    }
}
