//! Which rows the conditions keep, and in which order they are asked.

use super::is_comparison;
use super::views::{of_views, texts};
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatchOptions};
use arrow::compute::{FilterBuilder, and, prep_null_mask_filter};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::utils::collect_columns;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rows after which a runtime filter must have shown that it is worth its while.
pub(super) const TRIAL_ROWS: usize = 64 * 1024;
/// The share of rows that a runtime filter may keep, in percent.
const KEPT_MAX: usize = 75;
/// Batches after which the order is made anew.
const BATCHES_PER_ORDER: usize = 16;

/// Whether an expression gives a value for every row, whatever is in it, and always the same.
fn cannot_fail(expr: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    let mut sound = true;
    expr.apply(|expr| {
        let binary = expr.downcast_ref::<BinaryExpr>();
        let compares =
            binary.is_some_and(|binary| is_comparison(*binary.op()) || matches!(binary.op(), Operator::And | Operator::Or));
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

/// One condition of a conjunction, and how it did so far.
pub(super) struct Condition {
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
    pub(super) fn new(expr: &Arc<dyn PhysicalExpr>, is_runtime: bool, input: &SchemaRef) -> Result<Self> {
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
            expr: of_views(narrowed.data, &schema)?,
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
pub(super) struct Sieve {
    conditions: Vec<Condition>,
    batches: usize,
    /// Places in the input of what is put out.
    output: Vec<usize>,
}

impl Sieve {
    pub(super) fn new(conditions: Vec<Condition>, output: Vec<usize>) -> Self {
        let mut sieve = Self { conditions, batches: 0, output };
        sieve.order();
        sieve
    }

    /// Those that can't fail by their rank, then the others as they were.
    fn order(&mut self) {
        self.conditions.sort_by(|a, b| match (a.cannot_fail, b.cannot_fail) {
            (true, true) => a.rank().total_cmp(&b.rank()),
            (a, b) => b.cmp(&a),
        });
    }

    /// The rows that all conditions keep.
    pub(super) fn sift(&mut self, batch: &RecordBatch, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
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
        let columns = self.output.iter().zip(schema.fields()).map(|(index, field)| match &columns[*index] {
            column if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
            views => texts(views.as_string_view()),
        });
        let columns = columns.collect::<std::result::Result<_, _>>()?;
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
