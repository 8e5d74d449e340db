//! Expressions from a pattern: `CASE WHEN $1 THEN $2 END`.

use super::error::QueryError;
use super::parse::parse_expression;
use super::rewrite::{self, MARK};
use datafusion::sql::sqlparser::ast::{Expr, ObjectNamePart, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::ops::ControlFlow;

/// The pattern with arguments in place of `$1`, `$2`, …. What it adds stands where the call stood, so that errors say so.
///
/// # Errors
/// The pattern is not an expression, or has more places than there are arguments.
pub(super) fn instantiate(pattern: &str, arguments: &[Expr], span: Span) -> Result<Expr, QueryError> {
    let mut text = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        text.push_str(&format!("\"{MARK}{}\"", &rest[at + 1..at + 2]));
        rest = &rest[at + 2..];
    }
    text.push_str(rest);
    let mut expr = parse_expression(&text)?;
    match VisitMut::visit(&mut expr, &mut Fill { arguments, span }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(expr),
    }
}

struct Fill<'a> {
    arguments: &'a [Expr],
    span: Span,
}

impl VisitorMut for Fill<'_> {
    type Break = QueryError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        match expr {
            Expr::Identifier(ident) => match ident.value.strip_prefix(MARK).and_then(|index| index.parse::<usize>().ok()) {
                Some(index) => match self.arguments.get(index - 1) {
                    Some(argument) => {
                        *expr = argument.clone();
                        return ControlFlow::Continue(());
                    }
                    None => return ControlFlow::Break(QueryError::Internal(format!("a pattern has no argument {index}"))),
                },
                None => ident.span = self.span,
            },
            Expr::Value(value) => value.span = self.span,
            Expr::Function(function) => {
                for part in &mut function.name.0 {
                    if let ObjectNamePart::Identifier(ident) = part {
                        ident.span = self.span;
                    }
                }
            }
            _ => {}
        }
        match rewrite::expressions::after(expr) {
            Some(Ok(new)) => *expr = new,
            Some(Err(error)) => return ControlFlow::Break(error),
            None => {}
        }
        ControlFlow::Continue(())
    }
}
