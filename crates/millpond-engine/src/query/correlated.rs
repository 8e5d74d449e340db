//! Subqueries for one value that are compared with the query around by more than equality: `(SELECT count(*) FROM l WHERE l.id > o.id)`. DataFusion
//! has those that come to a join by equal keys. Of the others, the rows around are numbered and joined with the subquery's rows by its conditions;
//! what the subquery aggregates is aggregated for each number. A row that finds no other is there too, and its aggregates are those of no rows.

use super::rewrite::MARK;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Cast, Distinct, Expr, ExprFunctionExt, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder,
    Operator, Subquery, lit, when,
};
use std::sync::Arc;

/// Rewrites all such subqueries of a plan.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut made = 0;
    let rewritten = plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::Aggregate(_) => unnested(node, &mut made),
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(rewritten.data)
}

/// A step with the values of its subqueries as columns of its input.
fn unnested(node: LogicalPlan, made: &mut usize) -> Result<Transformed<LogicalPlan>> {
    let node = with_memberships(node)?;
    let mut subqueries: Vec<Subquery> = Vec::new();
    for expr in node.expressions() {
        expr.apply(|expr| {
            if let Expr::ScalarSubquery(subquery) = expr
                && !subqueries.contains(subquery)
                && !subquery.outer_ref_columns.is_empty()
                && !is_by_equality(&subquery.subquery)
            {
                subqueries.push(subquery.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    let inputs = node.inputs();
    let Some(mut input) = inputs.first().map(|input| (*input).clone()).filter(|_| inputs.len() == 1) else {
        return Ok(Transformed::no(node));
    };
    let mut values: Vec<(Subquery, Column)> = Vec::new();
    for subquery in subqueries {
        *made += 1;
        if let Some((joined, value)) =
            (Unnesting { around: &input, made: *made, parts: 0, having: Vec::new() }).join(&subquery)?
        {
            input = joined;
            values.push((subquery, value));
        }
    }
    if values.is_empty() {
        return Ok(Transformed::no(node));
    }
    let preserver = NamePreserver::new(&node);
    let exprs = node.expressions().into_iter().map(|expr| {
        let name = preserver.save(&expr);
        let replaced = expr.transform_up(|expr| match &expr {
            Expr::ScalarSubquery(subquery) => match values.iter().find(|(known, _)| known == subquery) {
                Some((_, value)) => Ok(Transformed::yes(Expr::Column(value.clone()))),
                None => Ok(Transformed::no(expr)),
            },
            _ => Ok(Transformed::no(expr)),
        })?;
        Ok(name.restore(replaced.data))
    });
    let exprs = exprs.collect::<Result<Vec<_>>>()?;
    let columns = node.schema().columns();
    let rewritten = node.with_new_exprs(exprs, vec![input])?;
    if !matches!(rewritten, LogicalPlan::Filter(_)) {
        return Ok(Transformed::yes(rewritten));
    }
    // A filter hands on all columns that it has.
    let columns = columns.into_iter().map(Expr::Column);
    Ok(Transformed::yes(LogicalPlanBuilder::from(rewritten).project(columns)?.build()?))
}

/// A condition with the subqueries of `IN` that DataFusion has: those of which only matters whether they hold. In the others NULL is not false, and they become
/// values. (Its join for `NOT IN` must see every row of the subquery, but filters of the query around are brought to them.)
fn with_memberships(node: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Filter(Filter { predicate, input, .. }) = &node else { return Ok(node) };
    let exact = memberships(predicate.clone(), input)?;
    match exact.transformed {
        true => Ok(LogicalPlan::Filter(Filter::try_new(exact.data, Arc::clone(input))?)),
        false => Ok(node),
    }
}

fn memberships(condition: Expr, around: &LogicalPlan) -> Result<Transformed<Expr>> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let (left, right) = (memberships(*left, around)?, memberships(*right, around)?);
            let both = Expr::BinaryExpr(BinaryExpr::new(Box::new(left.data), op, Box::new(right.data)));
            Ok(Transformed::new_transformed(both, left.transformed || right.transformed))
        }
        Expr::InSubquery(member) if !member.negated => Ok(Transformed::no(Expr::InSubquery(member))),
        other => other.transform_up(|expr| match expr {
            Expr::InSubquery(member) if member.subquery.outer_ref_columns.is_empty() => {
                Ok(Transformed::yes(member_of_all(member)?))
            }
            Expr::InSubquery(member) => match member_counted(&member, around)? {
                Some(counted) => Ok(Transformed::yes(counted)),
                None => Ok(Transformed::no(Expr::InSubquery(member))),
            },
            other => Ok(Transformed::no(other)),
        }),
    }
}

/// `x IN (SELECT y …)` of rows that are the same for all: whether it holds, and if not, what NULLs make of it.
fn member_of_all(member: InSubquery) -> Result<Expr> {
    let value = member.expr.as_ref().clone();
    let rows = &member.subquery;
    // Counts of all rows without a condition are what Parquet's footers tell.
    let (all, known) = (format!("{MARK}all"), format!("{MARK}known"));
    let counts = [count(lit(1)).alias(&all), count(only_column(rows)?).alias(&known)];
    let (all, known) = (Expr::Column(Column::from_name(all)), Expr::Column(Column::from_name(known)));
    let found = when(all.clone().eq(lit(0)), lit("nothing")).when(all.gt(known), lit("null")).otherwise(lit("values"))?;
    let plan = LogicalPlanBuilder::from(Arc::clone(&rows.subquery)).aggregate(Vec::<Expr>::new(), counts)?.project([found])?;
    let found = Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan.build()?), ..rows.clone() });
    let negated = member.negated;
    when(Expr::InSubquery(InSubquery { negated: false, ..member }), lit(!negated))
        .when(found.clone().eq(lit("nothing")), lit(negated))
        .when(value.is_null().or(found.eq(lit("null"))), lit(ScalarValue::Boolean(None)))
        .otherwise(lit(negated))
}

fn only_column(subquery: &Subquery) -> Result<Expr> {
    match subquery.subquery.schema().columns().as_slice() {
        [column] => Ok(Expr::Column(column.clone())),
        columns => plan_err!("a subquery of IN has {} columns", columns.len()),
    }
}

/// `x IN (SELECT y …)` as a subquery for one value: what the rows say of `y = x` is counted. `None` where it can't be joined with the rows around.
fn member_counted(member: &InSubquery, around: &LogicalPlan) -> Result<Option<Expr>> {
    let InSubquery { expr, subquery, negated } = member;
    // The rows around are grouped, by all of their columns.
    if around.schema().fields().iter().any(|field| field.data_type().is_nested()) {
        return Ok(None);
    }
    let mut outer: Vec<Expr> = subquery.outer_ref_columns.clone();
    let value = expr.as_ref().clone().transform_up(|expr| match expr {
        Expr::Column(column) => {
            let (_, field) = around.schema().qualified_field_from_column(&column)?;
            let reference = Expr::OuterReferenceColumn(Arc::clone(field), column);
            if !outer.contains(&reference) {
                outer.push(reference.clone());
            }
            Ok(Transformed::yes(reference))
        }
        other => Ok(Transformed::no(other)),
    })?;
    let same = only_column(subquery)?.eq(value.data);
    let of = |condition: Expr| count(lit(1)).filter(condition).build();
    let (equal, unknown) = (of(same.clone())?.alias(format!("{MARK}equal")), of(same.is_null())?.alias(format!("{MARK}unknown")));
    let some = |name: &str| Expr::Column(Column::from_name(format!("{MARK}{name}"))).gt(lit(0));
    let is_member =
        when(some("equal"), lit(!negated)).when(some("unknown"), lit(ScalarValue::Boolean(None))).otherwise(lit(*negated))?;
    // Rows that are there twice say nothing new.
    let rows = match subquery.subquery.as_ref() {
        LogicalPlan::Distinct(Distinct::All(rows)) => rows,
        _ => &subquery.subquery,
    };
    let plan = LogicalPlanBuilder::from(Arc::clone(rows))
        .aggregate(Vec::<Expr>::new(), [equal, unknown])?
        .project([is_member])?
        .build()?;
    let counted = Subquery { subquery: Arc::new(plan), outer_ref_columns: outer, spans: subquery.spans.clone() };
    let trial = Unnesting { around, made: 0, parts: 0, having: Vec::new() };
    Ok(trial.join(&counted)?.map(|_| Expr::ScalarSubquery(counted)))
}

/// Whether the query around is met by nothing but conditions `column = value`, which DataFusion makes a join of.
fn is_by_equality(plan: &LogicalPlan) -> bool {
    let is_key = |expr: &Expr| {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return false };
        let column = |expr: &Expr| match expr {
            Expr::Column(_) => true,
            Expr::Cast(Cast { expr, .. }) => matches!(expr.as_ref(), Expr::Column(_)),
            _ => false,
        };
        (column(left) && !right.any_column_refs()) || (column(right) && !left.any_column_refs())
    };
    let here = match plan {
        LogicalPlan::Filter(filter) => {
            split_conjunction(&filter.predicate).into_iter().all(|part| !part.contains_outer() || is_key(part))
        }
        // Through a table that is named its columns are looked for in vain.
        LogicalPlan::SubqueryAlias(alias) => alias.input.all_out_ref_exprs().is_empty(),
        other => !other.expressions().iter().any(Expr::contains_outer),
    };
    here && plan.inputs().into_iter().all(is_by_equality)
}

/// A subquery's rows.
struct Rows {
    /// The tables, without anything of the query around.
    plan: LogicalPlan,
    /// What the columns are, over the tables' columns and those around.
    known: Vec<Expr>,
    /// What holds for a row.
    conditions: Vec<Expr>,
}

struct Unnesting<'a> {
    /// The input of the step that has the subquery.
    around: &'a LogicalPlan,
    /// Names of columns are made of these, so that none is taken for another.
    made: usize,
    parts: usize,
    /// What must hold of the aggregates: else there is no row.
    having: Vec<Expr>,
}

impl Unnesting<'_> {
    fn name(&mut self, what: &str) -> String {
        self.parts += 1;
        format!("{MARK}{what}{}_{}", self.made, self.parts)
    }

    /// The rows around with one column more, the subquery's value. `None` where the subquery does something else.
    fn join(mut self, subquery: &Subquery) -> Result<Option<(LogicalPlan, Column)>> {
        let mut aggregate = None;
        let Some(known) = self.value(&subquery.subquery, &mut aggregate)? else { return Ok(None) };
        let (Some((rows, aggregates)), [value]) = (aggregate, known.as_slice()) else { return Ok(None) };
        let around = self.around.schema().columns();
        let numbers = LogicalPlanBuilder::from(self.around.clone()).window([row_number()])?.build()?;
        let keys: Vec<Expr> = numbers.schema().columns().into_iter().map(Expr::Column).collect();
        let found = self.name("found");
        let tables = rows.plan.schema().columns().into_iter().map(Expr::Column).chain([lit(true).alias(&found)]);
        let tables = LogicalPlanBuilder::from(rows.plan.clone()).project(tables)?.build()?;
        let condition = rows.conditions.into_iter().reduce(Expr::and).unwrap_or_else(|| lit(true));
        let joined = LogicalPlanBuilder::from(numbers).join_on(tables, JoinType::Left, [condition])?;
        let aggregates = aggregates.into_iter().map(|(name, mut call)| {
            // Where there is no row, the join has one of NULLs.
            if let Expr::AggregateFunction(call) = &mut call {
                let found = Expr::Column(Column::from_name(&found)).is_not_null();
                let filter = call.params.filter.take();
                call.params.filter = Some(Box::new(match filter {
                    Some(filter) => filter.and(found),
                    None => found,
                }));
            }
            call.alias(name)
        });
        let name = self.name("value");
        let value = match std::mem::take(&mut self.having).into_iter().reduce(Expr::and) {
            Some(condition) => when(condition, value.clone()).end()?,
            None => value.clone(),
        };
        let columns = around.into_iter().map(Expr::Column).chain([value.alias(&name)]).collect::<Vec<_>>();
        let plan = joined.aggregate(keys, aggregates.collect::<Vec<_>>())?.project(columns)?.build()?;
        Ok(Some((plan, Column::from_name(name))))
    }

    /// The columns of what stands on the subquery's aggregation, which is put into `aggregate`: the rows below, and its calls by name.
    fn value(&mut self, plan: &LogicalPlan, aggregate: &mut Option<(Rows, Vec<(String, Expr)>)>) -> Result<Option<Vec<Expr>>> {
        match plan {
            LogicalPlan::Projection(projection) => {
                let Some(known) = self.value(&projection.input, aggregate)? else { return Ok(None) };
                Ok(self.all(&projection.expr, projection.input.schema(), &known))
            }
            LogicalPlan::SubqueryAlias(alias) => self.value(&alias.input, aggregate),
            LogicalPlan::Filter(Filter { predicate, input, .. }) => {
                let Some(known) = self.value(input, aggregate)? else { return Ok(None) };
                let Some(condition) = self.within(predicate, input.schema(), &known) else { return Ok(None) };
                self.having.push(condition);
                Ok(Some(known))
            }
            LogicalPlan::Aggregate(Aggregate { input, group_expr, aggr_expr, .. }) if group_expr.is_empty() => {
                let Some(rows) = self.rows(input)? else { return Ok(None) };
                let Some(calls) = self.all(aggr_expr, input.schema(), &rows.known) else { return Ok(None) };
                if !calls.iter().all(|call| matches!(call, Expr::AggregateFunction(_))) {
                    return Ok(None);
                }
                let calls: Vec<_> = calls.into_iter().map(|call| (self.name("part"), call)).collect();
                let known = calls.iter().map(|(name, _)| Expr::Column(Column::from_name(name))).collect();
                *aggregate = Some((rows, calls));
                Ok(Some(known))
            }
            _ => Ok(None),
        }
    }

    fn rows(&mut self, plan: &LogicalPlan) -> Result<Option<Rows>> {
        if plan.all_out_ref_exprs().is_empty() {
            let columns = plan.schema().columns();
            let names: Vec<String> = columns.iter().map(|_| self.name("inner")).collect();
            let named = columns.into_iter().zip(&names).map(|(column, name)| Expr::Column(column).alias(name));
            let plan = LogicalPlanBuilder::from(plan.clone()).project(named.collect::<Vec<_>>())?.build()?;
            let known = names.into_iter().map(|name| Expr::Column(Column::from_name(name))).collect();
            return Ok(Some(Rows { plan, known, conditions: Vec::new() }));
        }
        match plan {
            LogicalPlan::SubqueryAlias(alias) => self.rows(&alias.input),
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.rows(&sort.input),
            LogicalPlan::Projection(projection) => {
                let Some(rows) = self.rows(&projection.input)? else { return Ok(None) };
                let known = self.all(&projection.expr, projection.input.schema(), &rows.known);
                Ok(known.map(|known| Rows { known, ..rows }))
            }
            LogicalPlan::Filter(filter) => {
                let Some(mut rows) = self.rows(&filter.input)? else { return Ok(None) };
                let Some(condition) = self.within(&filter.predicate, filter.input.schema(), &rows.known) else { return Ok(None) };
                rows.conditions.push(condition);
                Ok(Some(rows))
            }
            LogicalPlan::Join(join) if join.join_type == JoinType::Inner => self.both(join),
            _ => Ok(None),
        }
    }

    fn both(&mut self, join: &Join) -> Result<Option<Rows>> {
        let (Some(left), Some(right)) = (self.rows(&join.left)?, self.rows(&join.right)?) else { return Ok(None) };
        let mut conditions = [left.conditions, right.conditions].concat();
        let known = [left.known, right.known].concat();
        let on = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
        for condition in on.chain(join.filter.clone()) {
            match self.within(&condition, &join.schema, &known) {
                Some(condition) => conditions.push(condition),
                None => return Ok(None),
            }
        }
        let plan = LogicalPlanBuilder::from(left.plan).cross_join(right.plan)?.build()?;
        Ok(Some(Rows { plan, known, conditions }))
    }

    fn all(&self, exprs: &[Expr], schema: &DFSchema, known: &[Expr]) -> Option<Vec<Expr>> {
        exprs.iter().map(|expr| self.within(expr, schema, known).map(Expr::unalias)).collect()
    }

    /// An expression of the subquery where columns of the step below are what they have become, and those around are columns.
    fn within(&self, expr: &Expr, schema: &DFSchema, known: &[Expr]) -> Option<Expr> {
        let around = self.around.schema();
        let mut missing = false;
        let rewritten = expr.clone().transform_up(|expr| match expr {
            Expr::OuterReferenceColumn(_, column) if around.maybe_index_of_column(&column).is_some() => {
                Ok(Transformed::yes(Expr::Column(column)))
            }
            Expr::Column(column) => match schema.maybe_index_of_column(&column).and_then(|index| known.get(index)) {
                Some(known) => Ok(Transformed::yes(known.clone())),
                None => {
                    missing = true;
                    Ok(Transformed::no(Expr::Column(column)))
                }
            },
            Expr::OuterReferenceColumn(..)
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
}
