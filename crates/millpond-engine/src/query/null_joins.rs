//! Joins for which NULL equals NULL: `IS NOT DISTINCT FROM`, `EXCEPT`, `INTERSECT`.
//!
//! DataFusion tells the scan of one side the bounds or values of the other side's keys (`enable_join_dynamic_filter_pushdown`). No NULL is within bounds or among
//! values, so that such a filter leaves out rows that these joins need. They get none.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{NullEquality, Result};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;
use std::sync::Arc;

/// Takes their dynamic filters from joins for which NULL equals NULL. To run after filters are pushed down: what reached the scans then holds for all rows.
#[derive(Debug)]
pub(crate) struct NullJoins;

impl PhysicalOptimizerRule for NullJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewritten = plan.transform_up(|node| {
            let join = node.downcast_ref::<HashJoinExec>().filter(|join| join.dynamic_filter_expr().is_some());
            match join.filter(|join| join.null_equality() == NullEquality::NullEqualsNull) {
                Some(join) => Ok(Transformed::yes(join.builder().reset_state().build_exec()?)),
                None => Ok(Transformed::no(node)),
            }
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "null_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
