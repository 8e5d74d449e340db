//! Keeps conditions on nested columns from the Parquet reader.
//!
//! DataFusion's reader promises by a table's schema to evaluate conditions like `s.x = 1`, and passes over them where the file's column is of another
//! type: then rows would come through that the query does not want. Such conditions are evaluated above the scan.

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::Statistics;
use datafusion::common::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use std::fmt;
use std::sync::Arc;

/// A scan that takes no conditions on nested columns.
#[derive(Debug)]
pub(super) struct NestedBarrier {
    input: Arc<dyn ExecutionPlan>,
}

impl NestedBarrier {
    /// Around a scan that has nested columns; other scans stay as they are.
    pub(super) fn around(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let nested = input.schema().fields().iter().any(|field| field.data_type().is_nested());
        if nested { Arc::new(Self { input }) } else { input }
    }

    fn is_plain(&self, filter: &Arc<dyn PhysicalExpr>) -> bool {
        let schema = self.input.schema();
        let plain = |data_type: &DataType| !data_type.is_nested();
        collect_columns(filter)
            .iter()
            .all(|column| schema.fields().get(column.index()).is_some_and(|field| plain(field.data_type())))
    }
}

impl DisplayAs for NestedBarrier {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NestedBarrier")
    }
}

impl ExecutionPlan for NestedBarrier {
    fn name(&self) -> &str {
        "NestedBarrier"
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

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self { input }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        self.input.partition_statistics(partition)
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let plain: Vec<_> = parent_filters.iter().filter(|filter| self.is_plain(filter)).cloned().collect();
        if plain.len() == parent_filters.len() {
            return FilterDescription::from_children(parent_filters, &self.children());
        }
        // Columns that no refused condition is about may be filtered below.
        let schema = self.input.schema();
        let allowed = (0..schema.fields().len()).filter(|index| !schema.field(*index).data_type().is_nested()).collect();
        let child = ChildFilterDescription::from_child_with_allowed_indices(&parent_filters, allowed, &self.input)?;
        Ok(FilterDescription::new().with_child(child))
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        child: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let taken = child.parent_filters.iter().map(|result| match result.all() {
            PushedDown::Yes if self.is_plain(&result.filter) => PushedDown::Yes,
            _ => PushedDown::No,
        });
        Ok(FilterPushdownPropagation::with_parent_pushdown_result(taken.collect()))
    }
}
