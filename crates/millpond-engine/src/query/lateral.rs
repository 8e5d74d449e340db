//! `FROM t CROSS JOIN UNNEST(t.items) AS u(item)`, `FROM t CROSS JOIN LATERAL (SELECT t.a * 2 AS b)`: the planner makes a join with a subquery out of
//! it that refers to the left side, and can't run that. Where the subquery reads no table of its own, it becomes what it means: the left side's
//! rows go through its steps, with columns added and lists taken apart.

use super::rewrite::MARK;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, UnnestOptions};
use datafusion::functions_nested::expr_fn::cardinality;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder, lit, when};
use std::sync::Arc;

/// Rewrites all such joins of a plan.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut made = 0;
    plan.transform_up_with_subqueries(|node| match joined(&node, &mut made)? {
        Some(rewritten) => Ok(Transformed::yes(rewritten)),
        None => Ok(Transformed::no(node)),
    })
    .map(|transformed| transformed.data)
}

fn joined(node: &LogicalPlan, made: &mut usize) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Join(join) = node else { return Ok(None) };
    let keeps = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left => true,
        _ => return Ok(None),
    };
    let filter = join.filter.as_ref().filter(|filter| **filter != lit(true));
    if !join.on.is_empty() || (keeps && filter.is_some()) || !is_lateral(&join.right) {
        return Ok(None);
    }
    let left: Vec<Expr> = columns(join.left.schema()).map(Expr::Column).collect();
    let mut steps = Steps { left: &left, keeps, made };
    let Some((plan, outputs)) = steps.through(&join.right, &join.left)? else { return Ok(None) };
    let mut all = left.clone();
    for (output, column) in outputs.into_iter().zip(columns(join.right.schema())) {
        all.push(output.alias_qualified(column.relation, column.name));
    }
    let mut builder = LogicalPlanBuilder::from(plan).project(all)?;
    if let Some(filter) = filter {
        builder = builder.filter(filter.clone())?;
    }
    builder.build().map(Some)
}

/// Whether it is a subquery that refers to the other side.
fn is_lateral(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => is_lateral(&alias.input),
        LogicalPlan::Subquery(_) => true,
        _ => false,
    }
}

fn columns(schema: &DFSchema) -> impl Iterator<Item = Column> + '_ {
    schema.iter().map(Column::from)
}

struct Steps<'a> {
    /// The columns of the left side, which go through all steps.
    left: &'a [Expr],
    /// Whether rows of the left side stay that nothing comes of.
    keeps: bool,
    /// Names of columns are made of it, so that none is taken for another.
    made: &'a mut usize,
}

impl Steps<'_> {
    /// The left side's rows through the steps of a plan, and what its columns are then. `None` where it does something else.
    fn through(&mut self, plan: &LogicalPlan, left: &Arc<LogicalPlan>) -> Result<Option<(LogicalPlan, Vec<Expr>)>> {
        match plan {
            LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => {
                Ok(Some((left.as_ref().clone(), vec![Expr::Column(Column::from_name("")); empty.schema.fields().len()])))
            }
            LogicalPlan::SubqueryAlias(alias) => self.through(&alias.input, left),
            LogicalPlan::Subquery(subquery) => self.through(&subquery.subquery, left),
            LogicalPlan::Projection(projection) => {
                let Some((input, known)) = self.through(&projection.input, left)? else { return Ok(None) };
                let schema = projection.input.schema();
                let exprs: Option<Vec<Expr>> = projection.expr.iter().map(|expr| inner(expr.clone(), schema, &known)).collect();
                let Some(exprs) = exprs else { return Ok(None) };
                self.project(input, exprs).map(Some)
            }
            LogicalPlan::Filter(filter) if !self.keeps => {
                let Some((input, known)) = self.through(&filter.input, left)? else { return Ok(None) };
                let Some(predicate) = inner(filter.predicate.clone(), filter.input.schema(), &known) else { return Ok(None) };
                Ok(Some((LogicalPlanBuilder::from(input).filter(predicate)?.build()?, known)))
            }
            LogicalPlan::Unnest(unnest) if unnest.struct_type_columns.is_empty() => {
                let Some((input, known)) = self.through(&unnest.input, left)? else { return Ok(None) };
                if unnest.list_type_columns.iter().any(|(_, list)| list.depth != 1) || unnest.schema.fields().len() != known.len()
                {
                    return Ok(None);
                }
                let lists: Vec<usize> = unnest.list_type_columns.iter().map(|(index, _)| *index).collect();
                // An outer join keeps the rows of empty lists too, which only those of NULL would be.
                let of = |(index, expr): (usize, &Expr)| match (lists.contains(&index), self.keeps) {
                    (true, true) => when(cardinality(expr.clone()).gt(lit(0u64)), expr.clone()).end(),
                    _ => Ok(expr.clone()),
                };
                let exprs = known.iter().enumerate().map(of).collect::<Result<Vec<_>>>()?;
                let (input, known) = self.project(input, exprs)?;
                let taken = lists.iter().filter_map(|index| known.get(*index)).filter_map(|expr| match expr {
                    Expr::Column(column) => Some(column.clone()),
                    _ => None,
                });
                let options = UnnestOptions::new().with_preserve_nulls(self.keeps);
                let plan = LogicalPlanBuilder::from(input).unnest_columns_with_options(taken.collect(), options)?.build()?;
                Ok(Some((plan, known)))
            }
            _ => Ok(None),
        }
    }

    /// The left side's columns and these.
    fn project(&mut self, input: LogicalPlan, exprs: Vec<Expr>) -> Result<(LogicalPlan, Vec<Expr>)> {
        let mut all = self.left.to_vec();
        let mut known = Vec::with_capacity(exprs.len());
        for expr in exprs {
            *self.made += 1;
            let name = format!("{MARK}step{}", self.made);
            all.push(expr.alias(&name));
            known.push(Expr::Column(Column::from_name(name)));
        }
        Ok((LogicalPlanBuilder::from(input).project(all)?.build()?, known))
    }
}

/// What refers to the outer query refers to the left side; columns of the step below are what they have become.
fn inner(expr: Expr, schema: &DFSchema, known: &[Expr]) -> Option<Expr> {
    let mut missing = false;
    let rewritten = expr.transform_up(|expr| match expr {
        Expr::OuterReferenceColumn(_, column) => Ok(Transformed::yes(Expr::Column(column))),
        Expr::Column(column) => match schema.maybe_index_of_column(&column).and_then(|index| known.get(index)) {
            Some(known) => Ok(Transformed::yes(known.clone())),
            None => {
                missing = true;
                Ok(Transformed::no(Expr::Column(column)))
            }
        },
        Expr::AggregateFunction(_)
        | Expr::WindowFunction(_)
        | Expr::ScalarSubquery(_)
        | Expr::Exists(_)
        | Expr::InSubquery(_) => {
            missing = true;
            Ok(Transformed::no(expr))
        }
        other => Ok(Transformed::no(other)),
    });
    rewritten.ok().map(|transformed| transformed.data).filter(|_| !missing)
}
