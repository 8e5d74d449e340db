//! Subqueries in lists of `SELECT` and `ORDER BY`, where the planner takes single values only: `x IN (…)`, `EXISTS (…)`, `x < ALL (…)` are said by counts, extremes
//! and lists of what the subquery gives, which come to the same three truths.

use super::super::calls::call;
use super::super::error::QueryError;
use super::super::operators;
use super::super::parse::{first_span, parse_query};
use super::super::template::instantiate;
use super::MARK;
use super::relations::set_derived;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::ops::ControlFlow;

/// Rewrites those of a list.
pub(super) fn in_list(select: &mut Select) -> Result<(), QueryError> {
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        rewritten(expr)?;
    }
    Ok(())
}

/// Rewrites those of an order.
pub(super) fn in_order(query: &mut Query) -> Result<(), QueryError> {
    let Some(OrderBy { kind: OrderByKind::Expressions(keys), .. }) = &mut query.order_by else { return Ok(()) };
    keys.iter_mut().try_for_each(|key| rewritten(&mut key.expr))
}

fn rewritten(expr: &mut Expr) -> Result<(), QueryError> {
    match VisitMut::visit(expr, &mut InList { depth: 0 }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct InList {
    /// Queries that are open: what is within them is theirs.
    depth: usize,
}

impl VisitorMut for InList {
    type Break = QueryError;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<QueryError> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<QueryError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        match said(expr) {
            Ok(Some(said)) => *expr = said,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

fn said(expr: &Expr) -> Result<Option<Expr>, QueryError> {
    let span = first_span(expr);
    Ok(Some(match expr {
        Expr::Exists { subquery, negated } => {
            let pattern = if *negated { "$1 = 0" } else { "$1 > 0" };
            let mut counted = parse_query(&format!("SELECT count(*) FROM (SELECT 1) AS \"{MARK}q\""))?.query;
            set_derived(&mut counted, subquery.clone());
            instantiate(pattern, &[Expr::Subquery(counted)], span)?
        }
        Expr::InSubquery { expr, subquery, negated } => {
            let rows = rowed(expr, subquery)?;
            let found = member(expr, rows.as_ref().unwrap_or(subquery), span)?;
            if *negated { instantiate("NOT $1", &[found], span)? } else { found }
        }
        Expr::AnyOp { left, compare_op, right, .. } => match query_of(right) {
            Some(query) => quantified(left, compare_op, query, true, span)?,
            None => return Ok(None),
        },
        Expr::AllOp { left, compare_op, right } => match query_of(right) {
            Some(query) => quantified(left, compare_op, query, false, span)?,
            None => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

fn query_of(expr: &Expr) -> Option<&Query> {
    match expr {
        Expr::Subquery(query) => Some(query),
        Expr::Nested(inner) => query_of(inner),
        _ => None,
    }
}

/// One value of a subquery's column.
fn of_column(value: &str, query: &Query) -> Result<Expr, QueryError> {
    let mut made = parse_query(&format!("SELECT {value} FROM (SELECT 1) AS \"{MARK}q\"(\"{MARK}c\")"))?.query;
    set_derived(&mut made, Box::new(query.clone()));
    Ok(Expr::Subquery(made))
}

fn count(query: &Query) -> Result<Expr, QueryError> {
    of_column("count(*)", query)
}

fn nulls(query: &Query) -> Result<Expr, QueryError> {
    of_column(&format!("count(*) - count(\"{MARK}c\")"), query)
}

fn member(value: &Expr, query: &Query, span: Span) -> Result<Expr, QueryError> {
    let list = of_column(&format!("array_agg(\"{MARK}c\")"), query)?;
    let pattern = "CASE WHEN $3 = 0 THEN false WHEN $1 IS NULL THEN NULL WHEN array_has($2, $1) THEN true WHEN $4 > 0 THEN NULL ELSE false END";
    instantiate(pattern, &[value.clone(), list, count(query)?, nulls(query)?], span)
}

fn quantified(value: &Expr, op: &BinaryOperator, query: &Query, any: bool, span: Span) -> Result<Expr, QueryError> {
    match (op, any) {
        (BinaryOperator::Eq, true) => return member(value, query, span),
        (BinaryOperator::NotEq, false) => return instantiate("NOT $1", &[member(value, query, span)?], span),
        _ => {}
    }
    let (least, most) = (of_column(&format!("min(\"{MARK}c\")"), query)?, of_column(&format!("max(\"{MARK}c\")"), query)?);
    // The value against the extreme that decides: against the easiest one for ANY, the hardest for ALL.
    let holds = match (op, any) {
        (BinaryOperator::Gt, true) | (BinaryOperator::Lt, false) => {
            (if any { "$1 > $2" } else { "$1 < $2" }, vec![value.clone(), least])
        }
        (BinaryOperator::GtEq, true) => ("$1 >= $2", vec![value.clone(), least]),
        (BinaryOperator::LtEq, false) => ("$1 <= $2", vec![value.clone(), least]),
        (BinaryOperator::Lt, true) | (BinaryOperator::Gt, false) => {
            (if any { "$1 < $2" } else { "$1 > $2" }, vec![value.clone(), most])
        }
        (BinaryOperator::LtEq, true) => ("$1 <= $2", vec![value.clone(), most]),
        (BinaryOperator::GtEq, false) => ("$1 >= $2", vec![value.clone(), most]),
        (BinaryOperator::NotEq, true) => ("$1 <> $2 OR $1 <> $3", vec![value.clone(), least, most]),
        _ => ("$1 = $2 AND $1 = $3", vec![value.clone(), least, most]),
    };
    let holds = instantiate(holds.0, &holds.1, span)?;
    let pattern = if any {
        "CASE WHEN $2 = 0 THEN false WHEN $4 IS NULL THEN NULL WHEN $1 THEN true WHEN $3 > 0 THEN NULL ELSE false END"
    } else {
        "CASE WHEN $2 = 0 THEN true WHEN $4 IS NULL THEN NULL WHEN NOT $1 THEN false WHEN $3 > 0 THEN NULL ELSE true END"
    };
    instantiate(pattern, &[holds, count(query)?, nulls(query)?, value.clone()], span)
}

/// How many fields the left side of `IN` has, where it is a row.
fn fields(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Tuple(fields) if fields.len() > 1 => Some(fields.len()),
        Expr::Nested(inner) => fields(inner),
        _ => None,
    }
}

/// `(a, b) IN (SELECT x, y …)`: the subquery's columns become one row.
pub(super) fn rowed(value: &Expr, query: &Query) -> Result<Option<Query>, QueryError> {
    let Some(count) = fields(value) else { return Ok(None) };
    let names: Vec<String> = (0..count).map(|index| format!("{MARK}f{index}")).collect();
    let list: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let mut made = parse_query(&format!("SELECT 1 FROM (SELECT 1) AS \"{MARK}rows\"({})", list.join(", ")))?.query;
    set_derived(&mut made, Box::new(query.clone()));
    if let SetExpr::Select(select) = made.body.as_mut() {
        let columns = names.iter().map(|name| Expr::Identifier(Ident::with_quote('"', name))).collect();
        select.projection = vec![SelectItem::UnnamedExpr(call(operators::ROW, columns, Span::empty()))];
    }
    Ok(Some(*made))
}
