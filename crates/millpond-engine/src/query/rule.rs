//! Rules that change a physical plan one step at a time.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

/// A step and all below it.
pub(crate) type Plan = Arc<dyn ExecutionPlan>;

/// Looks at each step of a plan, from the leaves up.
#[derive(Debug)]
pub(crate) struct StepRule {
    name: &'static str,
    change: fn(Plan) -> Result<Transformed<Plan>>,
}

impl StepRule {
    /// `change` is given each step with what its inputs have become.
    pub(crate) fn new(name: &'static str, change: fn(Plan) -> Result<Transformed<Plan>>) -> Self {
        Self { name, change }
    }
}

impl PhysicalOptimizerRule for StepRule {
    fn optimize(&self, plan: Plan, _: &ConfigOptions) -> Result<Plan> {
        Ok(plan.transform_up(self.change)?.data)
    }

    fn name(&self) -> &str {
        self.name
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The input of a step that has one.
pub(crate) fn only_input(step: &str, mut inputs: Vec<Plan>) -> Result<Plan> {
    match (inputs.pop(), inputs.is_empty()) {
        (Some(input), true) => Ok(input),
        _ => internal_err!("{step} has one input"),
    }
}
