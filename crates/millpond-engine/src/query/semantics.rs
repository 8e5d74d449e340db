//! Corrections of meaning, on the logical plan before it is optimized: casts as Trino makes them.
//!
//! - A `double` becomes an integer by rounding, where Arrow cuts.
//! - Numbers and times become text as Trino prints them (`1.0E10`, `2024-05-01 10:00:00.000`).

use super::functions::to_varchar;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

/// Applies the corrections to a whole plan.
pub(crate) fn apply(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !has_cast(&plan)? {
        return Ok(plan);
    }
    plan.transform_up_with_subqueries(|node| {
        let mut schema = merge_schema(&node.inputs());
        if node.inputs().is_empty() {
            schema = node.schema().as_ref().clone();
        }
        let preserver = NamePreserver::new(&node);
        let rewritten = node.map_expressions(|expr| {
            let name = preserver.save(&expr);
            let rewritten = expr.transform_up(|expr| cast(expr, &schema))?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })?;
        rewritten.map_data(LogicalPlan::recompute_schema)
    })
    .map(|transformed| transformed.data)
}

fn has_cast(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| Ok(matches!(expr, Expr::Cast(_) | Expr::TryCast(_))))?;
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    Ok(found)
}

fn cast(expr: Expr, schema: &datafusion::common::DFSchema) -> Result<Transformed<Expr>> {
    let (input, target) = match &expr {
        Expr::Cast(cast) => (cast.expr.as_ref(), cast.field.data_type()),
        Expr::TryCast(cast) => (cast.expr.as_ref(), cast.field.data_type()),
        _ => return Ok(Transformed::no(expr)),
    };
    // An operand whose type is not known yet (a lambda's argument) is left to the planner.
    let Ok(source) = input.get_type(schema) else { return Ok(Transformed::no(expr)) };
    if target.is_integer() && matches!(source, DataType::Float32 | DataType::Float64) {
        let rounded = datafusion::functions::math::round().call(vec![input.clone()]);
        let rewritten = match expr {
            Expr::Cast(mut cast) => {
                *cast.expr = rounded;
                Expr::Cast(cast)
            }
            Expr::TryCast(mut cast) => {
                *cast.expr = rounded;
                Expr::TryCast(cast)
            }
            other => other,
        };
        return Ok(Transformed::yes(rewritten));
    }
    let printed = matches!(source, DataType::Float32 | DataType::Float64 | DataType::Timestamp(_, _));
    if printed && *target == DataType::Utf8 {
        return Ok(Transformed::yes(to_varchar().call(vec![input.clone()])));
    }
    Ok(Transformed::no(expr))
}
