//! Joins without equal keys hold one of their sides in memory. Where it does not fit, DataFusion would run that side a second time, to take it in pieces;
//! but a plan whose rows were sent between threads cannot be run twice (it panics), and outer and semi joins would give rows more than once. Here the second
//! run is an error, as with Trino, which does not spill such joins either.

use super::rule::{StepRule, only_input};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, resources_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Puts a [`BuildOnceExec`] below each join without equal keys.
pub(crate) fn rule() -> StepRule {
    StepRule::new("build_once", |step| {
        let Some(join) = step.downcast_ref::<NestedLoopJoinExec>() else { return Ok(Transformed::no(step)) };
        let left = Arc::new(BuildOnceExec::new(Arc::clone(join.left())));
        let right = Arc::clone(join.right());
        Ok(Transformed::yes(Arc::clone(&step).with_new_children(vec![left, right])?))
    })
}

/// Runs its input once.
#[derive(Debug)]
struct BuildOnceExec {
    input: Arc<dyn ExecutionPlan>,
    ran: AtomicBool,
}

impl BuildOnceExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        Self { input, ran: AtomicBool::new(false) }
    }
}

impl DisplayAs for BuildOnceExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BuildOnceExec")
    }
}

impl ExecutionPlan for BuildOnceExec {
    fn name(&self) -> &'static str {
        "BuildOnceExec"
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

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(only_input(self.name(), children)?)))
    }

    /// The join runs its side's only partition.
    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if self.ran.swap(true, Ordering::AcqRel) {
            return resources_err!(
                "a join without equal keys needs more memory for one of its sides than the statement may have"
            );
        }
        self.input.execute(partition, context)
    }
}
