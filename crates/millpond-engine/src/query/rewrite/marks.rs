//! Operators get their places, which the planner hands on (see [`operators`](super::super::operators)). This comes last, so that operators that were put in
//! get theirs too: that of what they stand for.

use super::super::operators;
use super::super::parse::{Names, first_span, position};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, VisitMut, VisitorMut};
use std::ops::ControlFlow;

pub(super) fn place_operators(query: &mut Query, names: &Names) {
    let _ = VisitMut::visit(query, &mut Places { names });
}

struct Places<'a> {
    names: &'a Names,
}

impl VisitorMut for Places<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::BinaryOp { left, op, right } = expr else { return ControlFlow::Continue(()) };
        let Some(sign) = sign(op) else { return ControlFlow::Continue(()) };
        let found = self.names.operator(sign, first_span(right));
        *op = operators::place(sign, found.unwrap_or_else(|| position(first_span(left))));
        ControlFlow::Continue(())
    }
}

/// The sign of an operator that has a meaning of Trino's; logic has not.
fn sign(op: &BinaryOperator) -> Option<&'static str> {
    Some(match op {
        BinaryOperator::Plus => "+",
        BinaryOperator::Minus => "-",
        BinaryOperator::Multiply => "*",
        BinaryOperator::Divide => "/",
        BinaryOperator::Modulo => "%",
        BinaryOperator::StringConcat => "||",
        BinaryOperator::Eq => "=",
        BinaryOperator::NotEq => "<>",
        BinaryOperator::Lt => "<",
        BinaryOperator::LtEq => "<=",
        BinaryOperator::Gt => ">",
        BinaryOperator::GtEq => ">=",
        _ => return None,
    })
}
