//! Filters whose conditions are asked in the order that leaves out most rows for the least work, on the rows that are left.
//!
//! A conjunction evaluated as one expression looks at all rows for nearly every condition, and a text is compared although the date beside it, which is
//! cheaper to compare, excludes the row. Here each condition is timed while it runs; the next ones see what the former kept. Conditions that can fail
//! stay in the order in which they were written, after all that can't.
//!
//! Filters that a query finds while it runs take part: a hash join knows the keys of its small side before it reads the other, and DataFusion brings them as
//! a dynamic filter to the scan, which leaves out row groups and pages by it. Here single rows are left out as well, before they are sent to other threads,
//! aggregated or looked up in further joins. Where such a filter keeps most of its rows, it is not asked any more: the join decides them anyway.
//!
//! The order is that of Hellerstein's rank (J. M. Hellerstein and M. Stonebraker, "Predicate Migration: Optimizing Queries with Expensive Predicates",
//! SIGMOD 1993), measured instead of estimated.

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatchOptions};
use arrow::compute::{BatchCoalescer, FilterBuilder, and, prep_null_mask_filter};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Rows after which a runtime filter must have shown that it is worth its while.
const TRIAL_ROWS: usize = 64 * 1024;
/// The share of rows that a runtime filter may keep, in percent.
const KEPT_MAX: usize = 75;
/// Batches after which the order is made anew.
const BATCHES_PER_ORDER: usize = 16;

/// Makes an [`AdaptiveFilterExec`] of each filter, and puts one above each scan that dynamic filters reached. To run after they are pushed down.
#[derive(Debug)]
pub(crate) struct AdaptiveFilters;

impl PhysicalOptimizerRule for AdaptiveFilters {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewritten = plan.transform_up(|node| {
            if let Some(join) = without_own_filter(&node)? {
                return Ok(Transformed::yes(join));
            }
            if let Some(filter) = node.downcast_ref::<FilterExec>() {
                // A limit inside of it is kept there.
                return Ok(match filter.fetch() {
                    None => Transformed::yes(Arc::new(AdaptiveFilterExec::from_filter(filter)) as Arc<dyn ExecutionPlan>),
                    Some(_) => Transformed::no(node),
                });
            }
            let filters = reached(&node)?;
            match filters.is_empty() {
                true => Ok(Transformed::no(node)),
                false => Ok(Transformed::yes(Arc::new(AdaptiveFilterExec::new(node, None, filters)) as Arc<dyn ExecutionPlan>)),
            }
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "adaptive_filters"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The dynamic filters on columns that a scan puts out. Those of computed keys are left to the row groups: they could fail for rows that no join or condition
/// keeps.
fn reached(node: &Arc<dyn ExecutionPlan>) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
    let source = node.downcast_ref::<DataSourceExec>();
    let scan = source.and_then(|source| source.data_source().downcast_ref::<FileScanConfig>());
    let Some(source) = scan.map(|scan| scan.file_source()) else { return Ok(Vec::new()) };
    let Some(predicate) = source.filter() else { return Ok(Vec::new()) };
    let schema = node.schema();
    // The filter is about the table's columns; the scan may put others out by their names.
    let place = |column: &Column| match source.projection() {
        Some(projection) => projection
            .iter()
            .position(|put_out| put_out.expr.downcast_ref::<Column>().is_some_and(|found| found.index() == column.index())),
        None => Some(column.index()),
    };
    let mut filters = Vec::new();
    for filter in split_conjunction(&predicate) {
        let is_of_columns = filter.is::<DynamicFilterPhysicalExpr>() && filter.children().iter().all(|key| key.is::<Column>());
        if !is_of_columns || !collect_columns(filter).iter().all(|column| place(column).is_some()) {
            continue;
        }
        let of_output = Arc::clone(filter).transform_up(|expr| match expr.downcast_ref::<Column>() {
            Some(column) => match place(column) {
                Some(place) => {
                    Ok(Transformed::yes(Arc::new(Column::new(schema.field(place).name(), place)) as Arc<dyn PhysicalExpr>))
                }
                None => internal_err!("the scan does not put out column {column}"),
            },
            None => Ok(Transformed::no(expr)),
        })?;
        filters.push(of_output.data);
    }
    Ok(filters)
}

/// A join without its own runtime filter right below: it would look up each row twice. Where rows are sent to other threads or filtered in between, the filter
/// stays.
fn without_own_filter(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(None) };
    let (Some(own), Some(below)) = (join.dynamic_filter_expr(), join.right().downcast_ref::<AdaptiveFilterExec>()) else {
        return Ok(None);
    };
    let others: Vec<_> = below.runtime.iter().filter(|filter| filter.expression_id() != own.expression_id()).cloned().collect();
    if below.filter.is_some() || others.len() == below.runtime.len() {
        return Ok(None);
    }
    let right = match others.is_empty() {
        true => Arc::clone(&below.input),
        false => Arc::new(AdaptiveFilterExec::new(Arc::clone(&below.input), None, others)) as Arc<dyn ExecutionPlan>,
    };
    Ok(Some(Arc::clone(node).with_new_children(vec![Arc::clone(join.left()), right])?))
}

/// Whether an expression gives a value for every row, whatever is in it, and always the same.
fn cannot_fail(expr: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    let mut sound = true;
    expr.apply(|expr| {
        if expr.is::<DynamicFilterPhysicalExpr>() {
            return Ok(TreeNodeRecursion::Jump);
        }
        let binary = expr.downcast_ref::<BinaryExpr>();
        let compares = binary.is_some_and(|binary| {
            use Operator::{And, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq, Or};
            matches!(binary.op(), And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
        });
        sound &= compares
            || expr.is::<Column>()
            || expr.is::<Literal>()
            || expr.is::<InListExpr>()
            || expr.is::<LikeExpr>()
            || expr.is::<IsNullExpr>()
            || expr.is::<IsNotNullExpr>()
            || expr.is::<NotExpr>();
        Ok(if sound { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(sound)
}

/// Keeps the rows for which all conditions hold, and of those that runtime filters exclude as few as is worth its while.
#[derive(Debug)]
pub(crate) struct AdaptiveFilterExec {
    input: Arc<dyn ExecutionPlan>,
    /// What was planned: its conditions, projection, properties and statistics. Its input is of the same shape as ours.
    filter: Option<FilterExec>,
    runtime: Vec<Arc<dyn PhysicalExpr>>,
    metrics: ExecutionPlanMetricsSet,
}

impl AdaptiveFilterExec {
    fn new(input: Arc<dyn ExecutionPlan>, filter: Option<FilterExec>, runtime: Vec<Arc<dyn PhysicalExpr>>) -> Self {
        Self { input, filter, runtime, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// Takes runtime filters right below it in.
    fn from_filter(filter: &FilterExec) -> Self {
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
        self.filter.as_ref().map_or_else(|| self.input.properties(), ExecutionPlan::properties)
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::new(input, self.filter.clone(), self.runtime.clone()))),
            _ => internal_err!("AdaptiveFilterExec has one input"),
        }
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
        let mut sieve = Sieve { conditions: planned.chain(runtime).collect::<Result<_>>()?, batches: 0, output };
        sieve.order();
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

/// One condition of a conjunction, and how it did so far.
struct Condition {
    /// On `columns` alone.
    expr: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    /// Places in the input.
    columns: Vec<usize>,
    /// Found while the query runs: rows that it excludes may pass.
    is_runtime: bool,
    cannot_fail: bool,
    /// A guess at what it takes, as long as nothing was measured: columns of variable width take longer.
    guess: usize,
    seen: usize,
    kept: usize,
    took: Duration,
}

impl Condition {
    fn new(expr: &Arc<dyn PhysicalExpr>, is_runtime: bool, input: &SchemaRef) -> Result<Self> {
        let mut columns: Vec<usize> = collect_columns(expr).iter().map(Column::index).collect();
        columns.sort_unstable();
        columns.dedup();
        let schema = Arc::new(input.project(&columns)?);
        let narrowed = Arc::clone(expr).transform_up(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
            match columns.binary_search(&column.index()) {
                Ok(place) => Ok(Transformed::yes(Arc::new(Column::new(column.name(), place)) as Arc<dyn PhysicalExpr>)),
                Err(_) => internal_err!("column {column} is not among those of its own condition"),
            }
        })?;
        let mut guess = if is_runtime { 8 } else { 0 };
        for field in schema.fields() {
            guess += if field.data_type().is_primitive() || *field.data_type() == DataType::Boolean { 1 } else { 4 };
        }
        Ok(Self {
            expr: narrowed.data,
            schema,
            columns,
            is_runtime,
            cannot_fail: is_runtime || cannot_fail(expr)?,
            guess,
            seen: 0,
            kept: 0,
            took: Duration::ZERO,
        })
    }

    /// Whether it leaves out enough to be asked.
    fn is_worth_it(&self) -> bool {
        !self.is_runtime || self.seen < TRIAL_ROWS || self.kept * 100 <= self.seen * KEPT_MAX
    }

    /// What a row takes, by the share of rows that are left out for it. Nanoseconds.
    fn rank(&self) -> f64 {
        if self.seen == 0 {
            return self.guess as f64;
        }
        let seen = self.seen as f64;
        let excluded = (seen - self.kept as f64) / seen;
        self.took.as_nanos() as f64 / seen / excluded.max(1e-6)
    }

    /// For which of `rows` rows it holds; NULL is not.
    fn holds(&mut self, columns: &[ArrayRef], rows: usize) -> Result<BooleanArray> {
        let begin = Instant::now();
        let columns = self.columns.iter().map(|index| Arc::clone(&columns[*index])).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        let holds = self.expr.evaluate(&batch)?.into_array(rows)?;
        let holds = match holds.data_type() {
            DataType::Boolean if holds.null_count() > 0 => prep_null_mask_filter(holds.as_boolean()),
            DataType::Boolean => holds.as_boolean().clone(),
            other => return internal_err!("a condition is of type {other}"),
        };
        self.seen += rows;
        self.kept += holds.true_count();
        self.took += begin.elapsed();
        Ok(holds)
    }
}

/// Conditions in the order in which they are asked.
struct Sieve {
    conditions: Vec<Condition>,
    batches: usize,
    /// Places in the input of what is put out.
    output: Vec<usize>,
}

impl Sieve {
    /// Those that can't fail by their rank, then the others as they were.
    fn order(&mut self) {
        self.conditions.sort_by(|a, b| match (a.cannot_fail, b.cannot_fail) {
            (true, true) => a.rank().total_cmp(&b.rank()),
            (a, b) => b.cmp(&a),
        });
    }

    /// The rows that all conditions keep.
    fn sift(&mut self, batch: &RecordBatch, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        self.batches += 1;
        if self.batches.is_multiple_of(BATCHES_PER_ORDER) {
            self.order();
        }
        let mut rows = batch.num_rows();
        let mut columns = batch.columns().to_vec();
        // Which of these rows are kept, and how many they are; `None` is all of them.
        let mut kept: Option<(BooleanArray, usize)> = None;
        for place in 0..self.conditions.len() {
            if !self.conditions[place].is_worth_it() {
                continue;
            }
            // To look at fewer rows is worth the copy of their columns when half of them are gone; what can fail may not see the others at all.
            if let Some((mask, count)) = kept.take_if(|(_, count)| *count * 2 <= rows || !self.conditions[place].cannot_fail) {
                let later = self.conditions[place..].iter().flat_map(|condition| &condition.columns).chain(&self.output);
                narrow(&mut columns, &mask, later)?;
                rows = count;
            }
            let mut holds = self.conditions[place].holds(&columns, rows)?;
            if let Some((mask, _)) = &kept {
                holds = and(mask, &holds)?;
            }
            match holds.true_count() {
                0 => return Ok(None),
                count if count == rows => {}
                count => kept = Some((holds, count)),
            }
        }
        if let Some((mask, count)) = kept {
            narrow(&mut columns, &mask, self.output.iter())?;
            rows = count;
        }
        let columns = self.output.iter().map(|index| Arc::clone(&columns[*index])).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Some(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?))
    }
}

/// Replaces the columns in those places by what the mask keeps of them.
fn narrow<'a>(columns: &mut [ArrayRef], mask: &BooleanArray, places: impl Iterator<Item = &'a usize>) -> Result<()> {
    let mut places: Vec<usize> = places.copied().collect();
    places.sort_unstable();
    places.dedup();
    let builder = FilterBuilder::new(mask);
    let several =
        places.len() > 1 || places.iter().any(|place| FilterBuilder::is_optimize_beneficial(columns[*place].data_type()));
    let filter = if several { builder.optimize().build() } else { builder.build() };
    for place in places {
        columns[place] = filter.filter(&columns[place])?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};
    use datafusion::common::ScalarValue;
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::physical_expr::expressions::{cast, lit};
    use datafusion::physical_plan::filter::FilterExecBuilder;

    fn batch(schema: &SchemaRef, from: i64, rows: i64) -> RecordBatch {
        let values = Arc::new(Int64Array::from_iter_values(from..from + rows));
        RecordBatch::try_new_with_options(Arc::clone(schema), vec![values], &RecordBatchOptions::new()).unwrap()
    }

    async fn run(batches: Vec<RecordBatch>, schema: SchemaRef, filter: Arc<dyn PhysicalExpr>) -> Vec<usize> {
        let input = MemorySourceConfig::try_new_exec(&[batches], schema, None).unwrap();
        let exec = AdaptiveFilterExec::new(input, None, vec![filter]);
        let stream = exec.execute(0, Arc::default()).unwrap();
        stream.map(|batch| batch.unwrap().num_rows()).collect().await
    }

    #[tokio::test]
    async fn rows_that_a_dynamic_filter_excludes_do_not_pass() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("a", 0));
        let dynamic = Arc::new(DynamicFilterPhysicalExpr::new(vec![Arc::clone(&column)], lit(true)));
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

    fn below(column: &Arc<dyn PhysicalExpr>, value: ScalarValue) -> Arc<dyn PhysicalExpr> {
        Arc::new(BinaryExpr::new(Arc::clone(column), Operator::Lt, lit(value)))
    }

    fn all(conditions: Vec<Arc<dyn PhysicalExpr>>) -> Arc<dyn PhysicalExpr> {
        conditions.into_iter().reduce(|a, b| Arc::new(BinaryExpr::new(a, Operator::And, b))).unwrap()
    }

    /// Columns `a` (0, 1, 2, NULL, 4, ...) and `t` (texts of the same numbers, and one that is none).
    fn numbers_and_texts() -> RecordBatch {
        let fields = vec![Field::new("a", DataType::Int64, true), Field::new("t", DataType::Utf8, true)];
        let numbers: Int64Array = (0..1000).map(|n| (n % 10 != 3).then_some(n)).collect();
        let texts: StringArray =
            (0..1000).map(|n| if n == 999 { Some("none".to_owned()) } else { Some(n.to_string()) }).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(numbers), Arc::new(texts)]).unwrap()
    }

    async fn filtered(
        batch: RecordBatch,
        condition: Arc<dyn PhysicalExpr>,
        projection: Option<Vec<usize>>,
    ) -> Result<Vec<RecordBatch>> {
        let schema = batch.schema();
        let input = MemorySourceConfig::try_new_exec(&[vec![batch; 40]], schema, None)?;
        let filter = FilterExecBuilder::new(condition, input).apply_projection(projection)?.build()?;
        let optimized = AdaptiveFilters.optimize(Arc::new(filter), &ConfigOptions::new())?;
        assert_eq!(optimized.name(), "AdaptiveFilterExec");
        optimized.execute(0, Arc::default())?.collect::<Vec<_>>().await.into_iter().collect()
    }

    #[tokio::test]
    async fn the_rows_are_those_of_the_conjunction_in_any_order_and_of_any_share() {
        let batch = numbers_and_texts();
        let (a, t): (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>) =
            (Arc::new(Column::new("a", 0)), Arc::new(Column::new("t", 1)));
        for (number, text) in [(900_i64, "9"), (500, "5"), (20, "2"), (0, "9"), (2000, "zzz"), (2000, ""), (7, "zzz")] {
            let conditions = vec![below(&t, ScalarValue::from(text)), below(&a, ScalarValue::from(number))];
            let plain = FilterExec::try_new(
                all(conditions.clone()),
                MemorySourceConfig::try_new_exec(&[vec![batch.clone(); 40]], batch.schema(), None).unwrap(),
            );
            let plain: Vec<_> = plain.unwrap().execute(0, Arc::default()).unwrap().collect::<Vec<_>>().await;
            let plain: Vec<_> = plain.into_iter().collect::<Result<_>>().unwrap();
            let expected = arrow::compute::concat_batches(&batch.schema(), &plain).unwrap();
            for conditions in [conditions.clone(), conditions.into_iter().rev().collect()] {
                let found = filtered(batch.clone(), all(conditions), None).await.unwrap();
                assert_eq!(
                    arrow::compute::concat_batches(&batch.schema(), &found).unwrap(),
                    expected,
                    "a < {number} and t < {text}"
                );
            }
        }
    }

    #[tokio::test]
    async fn only_the_columns_that_were_projected_are_put_out() {
        let a: Arc<dyn PhysicalExpr> = Arc::new(Column::new("a", 0));
        let found = filtered(numbers_and_texts(), below(&a, ScalarValue::from(2_i64)), Some(vec![1])).await.unwrap();
        assert_eq!(found[0].schema().fields().len(), 1);
        assert_eq!(found[0].column(0).as_string::<i32>().iter().flatten().take(3).collect::<Vec<_>>(), ["0", "1", "0"]);
        let none = filtered(numbers_and_texts(), below(&a, ScalarValue::from(2_i64)), Some(vec![])).await.unwrap();
        assert_eq!(none.iter().map(RecordBatch::num_rows).sum::<usize>(), 80);
    }

    #[tokio::test]
    async fn what_can_fail_does_not_see_rows_that_are_left_out() {
        let batch = numbers_and_texts();
        let a: Arc<dyn PhysicalExpr> = Arc::new(Column::new("a", 0));
        let number = cast(Arc::new(Column::new("t", 1)), &batch.schema(), DataType::Int64).unwrap();
        let (small, sound) = (below(&number, ScalarValue::from(990_i64)), below(&a, ScalarValue::from(999_i64)));
        // The text that is no number is in a row that the other condition leaves out, whichever was written first.
        for conditions in [vec![Arc::clone(&small), Arc::clone(&sound)], vec![sound, Arc::clone(&small)]] {
            let found = filtered(batch.clone(), all(conditions), None).await.unwrap();
            assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), (990 - 99) * 40);
        }
        assert!(filtered(batch, small, None).await.unwrap_err().to_string().contains("none"));
    }
}
