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

mod exec;
mod sieve;
#[cfg(test)]
mod tests;
pub(crate) mod views;

pub(crate) use exec::AdaptiveFilterExec;

use super::rule::{Plan, StepRule};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use std::sync::Arc;

/// Makes an [`AdaptiveFilterExec`] of each filter, and puts one above each scan that dynamic filters reached. To run after they are pushed down.
pub(crate) fn rule() -> StepRule {
    StepRule::new("adaptive_filters", |step| {
        if let Some(join) = without_own_filter(&step)? {
            return Ok(Transformed::yes(join));
        }
        if let Some(filter) = step.downcast_ref::<FilterExec>() {
            // A limit inside of it is kept there.
            return Ok(match filter.fetch() {
                None => Transformed::yes(Arc::new(AdaptiveFilterExec::from_filter(filter)) as Plan),
                Some(_) => Transformed::no(step),
            });
        }
        let filters = reached(&step)?;
        match filters.is_empty() {
            true => Ok(Transformed::no(step)),
            false => Ok(Transformed::yes(Arc::new(AdaptiveFilterExec::new(step, None, filters)) as Plan)),
        }
    })
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

/// Whether an operator compares two values, which cannot fail.
fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}
