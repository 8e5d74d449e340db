//! Joins without equal keys hold one of their sides in memory. Where it does not fit, DataFusion would run that side a second time, to take it in pieces;
//! but a plan whose rows were sent between threads cannot be run twice (it panics), and outer and semi joins would give rows more than once. Here the second
//! run is an error, as with Trino, which does not spill such joins either.

use super::rule::{Plan, StepRule};
use super::through::{Through, ThroughExec};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, resources_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Puts a [`BuildOnce`] below each join without equal keys.
pub(crate) fn rule() -> StepRule {
    StepRule::new("build_once", |step| {
        let Some(join) = step.downcast_ref::<NestedLoopJoinExec>() else { return Ok(Transformed::no(step)) };
        let left = ThroughExec::over(Arc::clone(join.left()), BuildOnce::default());
        let right = Arc::clone(join.right());
        Ok(Transformed::yes(Arc::clone(&step).with_new_children(vec![left, right])?))
    })
}

/// Runs its input once.
#[derive(Debug, Default)]
struct BuildOnce {
    ran: AtomicBool,
}

impl Through for BuildOnce {
    const NAME: &'static str = "BuildOnceExec";

    fn renewed(&self) -> Self {
        Self::default()
    }

    /// The join runs its side's only partition.
    fn run(&self, input: &Plan, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if self.ran.swap(true, Ordering::AcqRel) {
            return resources_err!(
                "a join without equal keys needs more memory for one of its sides than the statement may have"
            );
        }
        input.execute(partition, context)
    }
}
