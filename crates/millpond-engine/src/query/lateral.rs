//! `FROM t CROSS JOIN UNNEST(t.items) AS u(item)`: the planner makes a join with a subquery out of it that refers to the left side, and can't run
//! that. Here it becomes what it means: the left side's rows, each as often as its list has items.

use super::rewrite::MARK;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, UnnestOptions};
use datafusion::functions_nested::expr_fn::cardinality;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder, lit, when};
use std::sync::Arc;

/// Rewrites all such joins of a plan.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match unnested(&node)? {
        Some(rewritten) => Ok(Transformed::yes(rewritten)),
        None => Ok(Transformed::no(node)),
    })
    .map(|transformed| transformed.data)
}

fn unnested(node: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Join(join) = node else { return Ok(None) };
    let keeps = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left => true,
        _ => return Ok(None),
    };
    let always = join.filter.as_ref().is_none_or(|filter| *filter == lit(true));
    if !join.on.is_empty() || !always {
        return Ok(None);
    }
    let Some(lists) = lists(&join.right) else { return Ok(None) };
    let right = join.right.schema();
    if lists.len() != right.fields().len() {
        return Ok(None);
    }
    let left: Vec<Expr> = columns(join.left.schema()).map(Expr::Column).collect();
    let (mut before, mut after) = (left.clone(), left);
    let mut unnest = Vec::with_capacity(lists.len());
    for (index, (list, column)) in lists.into_iter().zip(columns(right)).enumerate() {
        // An outer join keeps the rows of empty lists too, which only those of NULL would be.
        let list = if keeps { when(cardinality(list.clone()).gt(lit(0u64)), list).end()? } else { list };
        // Taking apart loses the table's name; until it is put back, the column must not be taken for one of the left side.
        let item = format!("{MARK}item{index}");
        before.push(list.alias(&item));
        after.push(Expr::Column(Column::from_name(&item)).alias_qualified(column.relation, column.name));
        unnest.push(Column::from_name(item));
    }
    let options = UnnestOptions::new().with_preserve_nulls(keeps);
    let plan = LogicalPlanBuilder::new_from_arc(Arc::clone(&join.left))
        .project(before)?
        .unnest_columns_with_options(unnest, options)?
        .project(after)?
        .build()?;
    Ok(Some(plan))
}

fn columns(schema: &DFSchema) -> impl Iterator<Item = Column> + '_ {
    schema.iter().map(Column::from)
}

/// The lists that a lateral `UNNEST` takes apart, in terms of the left side's columns; `None` for any other plan.
fn lists(plan: &LogicalPlan) -> Option<Vec<Expr>> {
    let mut plan = match plan {
        LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
        other => other,
    };
    let LogicalPlan::Subquery(subquery) = plan else { return None };
    plan = &subquery.subquery;
    // The names of the result are on top, the lists below.
    while let LogicalPlan::Projection(projection) = plan {
        plan = &projection.input;
    }
    if let LogicalPlan::SubqueryAlias(alias) = plan {
        plan = &alias.input;
        while let LogicalPlan::Projection(projection) = plan {
            plan = &projection.input;
        }
    }
    let LogicalPlan::Unnest(unnest) = plan else { return None };
    let LogicalPlan::Projection(projection) = unnest.input.as_ref() else { return None };
    if !matches!(projection.input.as_ref(), LogicalPlan::EmptyRelation(_)) {
        return None;
    }
    projection.expr.iter().map(|expr| inner(expr.clone().unalias_nested().data)).collect()
}

/// What refers to the outer query refers to the left side.
fn inner(expr: Expr) -> Option<Expr> {
    let rewritten = expr.transform_up(|expr| match expr {
        Expr::OuterReferenceColumn(_, column) => Ok(Transformed::yes(Expr::Column(column))),
        other => Ok(Transformed::no(other)),
    });
    rewritten.ok().map(|transformed| transformed.data)
}
