//! Names of the rows that semi and anti joins look for, and don't put out.
//!
//! DataFusion brings filters of the query around below such a join by the names of their columns, to both of its sides: a column of the side that is not put
//! out may have the name of one that is, and would be filtered in its place. So these get names that no other column has.

use super::rewrite::MARK;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Renames the columns. To run after subqueries have become joins.
#[derive(Debug)]
pub(super) struct SemiNames;

impl OptimizerRule for SemiNames {
    fn name(&self) -> &'static str {
        "semi_names"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Join(join)
                if matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark)
                    && shares_names(&join) =>
            {
                Ok(Transformed::yes(LogicalPlan::Join(renamed(join)?)))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

fn shares_names(join: &Join) -> bool {
    let left: HashSet<&String> = join.left.schema().fields().iter().map(|field| field.name()).collect();
    join.right.schema().fields().iter().any(|field| left.contains(field.name()))
}

fn renamed(join: Join) -> Result<Join> {
    let columns = join.right.schema().columns();
    let names: HashMap<Column, Column> = columns
        .iter()
        .enumerate()
        .map(|(place, column)| (column.clone(), Column::new(column.relation.clone(), format!("{MARK}{place}_{}", column.name))))
        .collect();
    let put = columns.into_iter().map(|column| {
        let name = names[&column].name.clone();
        Expr::Column(column.clone()).alias_qualified(column.relation, name)
    });
    let right = LogicalPlanBuilder::from(Arc::unwrap_or_clone(join.right)).project(put.collect::<Vec<_>>())?.build()?;
    let rename = |expr: Expr| -> Result<Expr> {
        let renamed = expr.transform_up(|expr| match &expr {
            Expr::Column(column) => match names.get(column) {
                Some(name) => Ok(Transformed::yes(Expr::Column(name.clone()))),
                None => Ok(Transformed::no(expr)),
            },
            _ => Ok(Transformed::no(expr)),
        })?;
        Ok(renamed.data)
    };
    let on = join.on.into_iter().map(|(left, right)| Ok((left, rename(right)?))).collect::<Result<Vec<_>>>()?;
    let filter = join.filter.map(rename).transpose()?;
    Join::try_new(
        join.left,
        Arc::new(right),
        on,
        filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )
}
