//! Lambdas' parameters have places behind all columns of a step's input. DataFusion counts them from the columns that the input has when the step is
//! planned, and leaves them there when steps are merged later on; one that came to lie among an input's columns would be taken for one of them.

use super::rule::{Plan, StepRule};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::LambdaVariable;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use std::sync::Arc;

/// More columns than any input has.
const COLUMNS_MAX: usize = 1 << 24;

/// Moves the parameters of lambdas that a projection has behind all columns. It comes first.
pub(super) fn rule() -> StepRule {
    StepRule::new("lambda_places", |step| {
        let Some(projection) = step.downcast_ref::<ProjectionExec>() else { return Ok(Transformed::no(step)) };
        let moved = projection.expr().iter().map(|column| Ok((moved(Arc::clone(&column.expr))?, column.alias.clone())));
        let moved = moved.collect::<Result<Vec<_>>>()?;
        if !moved.iter().any(|(expr, _)| expr.transformed) {
            return Ok(Transformed::no(step));
        }
        let columns = moved.into_iter().map(|(expr, alias)| ProjectionExpr { expr: expr.data, alias });
        let projection = ProjectionExec::try_new(columns.collect::<Vec<_>>(), Arc::clone(projection.input()))?;
        Ok(Transformed::yes(Arc::new(projection) as Plan))
    })
}

fn moved(expr: Arc<dyn PhysicalExpr>) -> Result<Transformed<Arc<dyn PhysicalExpr>>> {
    expr.transform_up(|expr| match expr.downcast_ref::<LambdaVariable>() {
        Some(variable) if variable.index() < COLUMNS_MAX => {
            let behind = LambdaVariable::new(COLUMNS_MAX + variable.index(), Arc::clone(variable.field()));
            Ok(Transformed::yes(Arc::new(behind) as Arc<dyn PhysicalExpr>))
        }
        _ => Ok(Transformed::no(expr)),
    })
}
