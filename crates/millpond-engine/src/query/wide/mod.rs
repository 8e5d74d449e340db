//! Rows that are so wide that a batch of the usual number of them takes too much memory: documents, long lists, what functions make of them.
//!
//! DataFusion's operators hold batches by their number of rows, whatever the rows take. So the number follows from the rows' width:
//!
//! - constants are known when a query is planned ([`rows_of_constants`]);
//! - what scans read and projections compute is measured ([`gauge`]), and what functions make is counted ([`super::functions`]): where it is too much,
//!   the query begins again with fewer rows in a batch ([`super::QueryError::WideRows`]), as long as none has been given to the client;
//! - lists are taken apart in pieces ([`pieces`]), since one row may have any number of items.

mod gauge;
mod pieces;

use super::QueryError;
use super::functions::StatementLimits;
use super::rule::Plan;
use super::through::ThroughExec;
use super::width::is_long;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::unnest::UnnestExec;
use gauge::Measured;
use pieces::InPieces;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Constants of fewer bytes are copied for each row without a second thought.
const LONG_CONSTANT_BYTES: usize = 16 << 10;

/// How large batches may be.
#[derive(Debug, Clone)]
pub(crate) struct BatchLimit {
    /// Bytes of a batch at the most; where it has more, the query begins again.
    bytes_max: usize,
    /// Whether it can: else batches are as they are.
    begins_again: Arc<AtomicBool>,
}

impl BatchLimit {
    /// A part of a statement's memory: it has some batches at a time.
    const SHARE: usize = 6;
    const BYTES_MAX: usize = 64 << 20;

    pub(crate) fn of(memory: &dyn MemoryPool, options: &ConfigOptions) -> Self {
        let share = match memory.memory_limit() {
            MemoryLimit::Finite(bytes) => bytes / Self::SHARE,
            MemoryLimit::Infinite | MemoryLimit::Unknown => Self::BYTES_MAX,
        };
        Self { bytes_max: share.clamp(1 << 20, Self::BYTES_MAX), begins_again: StatementLimits::begins_again(options) }
    }

    /// Bytes that a batch should have: what a query begins again with.
    fn bytes(&self) -> usize {
        self.bytes_max / 4
    }

    /// Whether `rows` of `width` bytes each can be in one batch.
    ///
    /// # Errors
    /// They take too much memory ([`QueryError::WideRows`]).
    pub(crate) fn check(&self, width: usize, rows: usize) -> std::result::Result<(), QueryError> {
        let is_fine = rows <= 1 || width.saturating_mul(rows) <= self.bytes_max;
        if is_fine || !self.begins_again.load(Ordering::Acquire) {
            return Ok(());
        }
        let message = format!("{rows} rows of {width} bytes are too many for a batch");
        Err(QueryError::WideRows { message, fit: (self.bytes() / width).max(1) })
    }
}

/// So many rows that the copies of the plan's long constants for a batch are within its bound; `None` where it has none.
pub(crate) fn rows_of_constants(plan: &LogicalPlan, limit: &BatchLimit) -> Option<usize> {
    let mut bytes = 0usize;
    let _ = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Literal(value, _) = expr
                    && value.size() > LONG_CONSTANT_BYTES
                {
                    bytes = bytes.saturating_add(value.size());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    (bytes > 0).then(|| (limit.bytes_max / bytes).max(1))
}

/// Measures what can be wide, and takes lists apart in pieces.
#[derive(Debug)]
pub(crate) struct WideRows;

impl PhysicalOptimizerRule for WideRows {
    fn optimize(&self, plan: Plan, _: &ConfigOptions) -> Result<Plan> {
        let is_copied = plan.exists(|step| Ok(copies(step)))?;
        let measured = plan.transform_up(|step| {
            if let Some(unnest) = step.downcast_ref::<UnnestExec>() {
                let pieces = ThroughExec::over(Arc::clone(unnest.input()), InPieces::of(unnest.list_column_indices()));
                let unnest = Arc::clone(&step).with_new_children(vec![pieces])?;
                return Ok(Transformed::yes(ThroughExec::over(unnest, Measured { is_copied })));
            }
            // A window over all rows gives them all at once.
            let is_one = step.name() == "WindowAggExec";
            let is_wide = (step.children().is_empty() || makes_long_values(&step)) && gauge::is_wide(&step.schema());
            match is_one || is_wide {
                true => Ok(Transformed::yes(ThroughExec::over(step, Measured { is_copied }))),
                false => Ok(Transformed::no(step)),
            }
        })?;
        Ok(measured.data)
    }

    fn name(&self) -> &'static str {
        "wide_rows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether a step gives a row more than once.
fn copies(step: &Plan) -> bool {
    ["HashJoinExec", "CrossJoinExec", "NestedLoopJoinExec", "SortMergeJoinExec", "PiecewiseMergeJoinExec", "UnnestExec"]
        .contains(&step.name())
}

/// Whether a step computes values of any length.
fn makes_long_values(step: &Plan) -> bool {
    step.downcast_ref::<ProjectionExec>().is_some_and(|projection| {
        let schema = projection.schema();
        let mut computed = projection.expr().iter().zip(schema.fields());
        computed.any(|(expr, field)| is_long(field.data_type()) && expr.expr.downcast_ref::<Column>().is_none())
    })
}
