//! Steps that hand on the rows of their only input, in their order: they look at them, cut their batches, or watch how they are asked for.

use super::rule::{Plan, only_input};
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use std::fmt;
use std::sync::Arc;

/// What such a step does.
pub(crate) trait Through: fmt::Debug + Send + Sync + Sized + 'static {
    /// Of the step.
    const NAME: &'static str;

    /// The same for another input.
    fn renewed(&self) -> Self;

    /// The input's rows of a partition.
    ///
    /// # Errors
    /// They can't be given.
    fn run(&self, input: &Plan, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream>;
}

/// A step of this kind.
#[derive(Debug)]
pub(crate) struct ThroughExec<T> {
    input: Plan,
    what: T,
}

impl<T: Through> ThroughExec<T> {
    pub(crate) fn over(input: Plan, what: T) -> Plan {
        Arc::new(Self { input, what })
    }
}

impl<T: Through> DisplayAs for ThroughExec<T> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::NAME)
    }
}

impl<T: Through> ExecutionPlan for ThroughExec<T> {
    fn name(&self) -> &str {
        T::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Plan>) -> Result<Plan> {
        Ok(Self::over(only_input(T::NAME, children)?, self.what.renewed()))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.what.run(&self.input, partition, context)
    }
}
