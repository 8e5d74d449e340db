//! Joins for which NULL equals NULL: `IS NOT DISTINCT FROM`, `EXCEPT`, `INTERSECT`.
//!
//! DataFusion tells the scan of one side the bounds or values of the other side's keys (`enable_join_dynamic_filter_pushdown`). No NULL is within bounds or among
//! values, so that such a filter leaves out rows that these joins need. They get none.

use super::rule::StepRule;
use datafusion::common::NullEquality;
use datafusion::common::tree_node::Transformed;
use datafusion::physical_plan::joins::HashJoinExec;

/// Takes their dynamic filters from joins for which NULL equals NULL. To run after filters are pushed down: what reached the scans then holds for all rows.
pub(crate) fn rule() -> StepRule {
    StepRule::new("null_joins", |step| {
        let join = step.downcast_ref::<HashJoinExec>().filter(|join| join.dynamic_filter_expr().is_some());
        match join.filter(|join| join.null_equality() == NullEquality::NullEqualsNull) {
            Some(join) => Ok(Transformed::yes(join.builder().reset_state().build_exec()?)),
            None => Ok(Transformed::no(step)),
        }
    })
}
