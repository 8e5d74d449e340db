//! What `ORDER BY` orders by: places in the list of `SELECT`, names of its outputs, and expressions.

use super::super::parse::first_span;
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, Value, VisitMut, VisitorMut,
};
use std::ops::ControlFlow;

/// `SELECT DISTINCT` is ordered by expressions of its list: each becomes its place there. What is not in the list is for the planner to refuse.
pub(super) fn of_distinct(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let Some(OrderBy { kind: OrderByKind::Expressions(order), .. }) = &mut query.order_by else { return };
    if !matches!(select.distinct, Some(Distinct::Distinct)) {
        return;
    }
    for by in order {
        let mut meant = by.expr.clone();
        let _ = VisitMut::visit(&mut meant, &mut Outputs { select });
        // How many columns a wildcard stands for is not known here.
        let listed = select.projection.iter().map_while(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
            _ => None,
        });
        if let Some(index) = listed.into_iter().position(|expr| *expr == meant) {
            let place = Value::Number((index + 1).to_string(), true);
            by.expr = Expr::Value(place.with_span(first_span(&by.expr)));
        }
    }
}

/// Names of outputs become what they stand for: they hide the columns of `FROM` in `ORDER BY`.
struct Outputs<'a> {
    select: &'a Select,
}

impl VisitorMut for Outputs<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Identifier(_)) {
            *expr = resolved(expr, self.select);
        }
        ControlFlow::Continue(())
    }
}

/// What a place or a name of the output stands for.
pub(super) fn resolved(key: &Expr, select: &Select) -> Expr {
    let item = match key {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => {
                digits.parse::<usize>().ok().and_then(|place| select.projection.get(place.checked_sub(1)?))
            }
            _ => None,
        },
        Expr::Identifier(ident) => select.projection.iter().find(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => alias.value == ident.value,
            _ => false,
        }),
        _ => None,
    };
    match item {
        Some(SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr)) => expr.clone(),
        _ => key.clone(),
    }
}
