//! Whether a query gives the same whenever it is run over the same tables.

use super::{parameters, parse};
use datafusion::sql::sqlparser::ast::{Expr, LimitClause, ObjectNamePart, Query, TableFactor, Visit, Visitor};
use std::ops::ControlFlow;

/// Functions that give something else each time (Athena user guide, "Reusing query results": non-deterministic functions are not reused).
const CHANGING: &[&str] = &[
    "now",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "current_user",
    "rand",
    "random",
    "uuid",
    "shuffle",
];

/// Whether a query with these values for its `?` gives the same whenever it is run over the same tables: it asks neither time nor chance, and does
/// not take some rows of an order that is not given.
pub fn is_repeatable(sql: &str, values: &[String]) -> bool {
    let Ok(mut parsed) = parse::parse_query(sql) else { return false };
    if parameters::bind(&mut parsed.query, values).is_err() {
        return false;
    }
    Visit::visit(&parsed.query, &mut Changes).is_continue()
}

struct Changes;

impl Visitor for Changes {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let cut = match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => limit.is_some() || offset.is_some(),
            Some(LimitClause::OffsetCommaLimit { .. }) => true,
            None => false,
        };
        match (cut || query.fetch.is_some()) && query.order_by.is_none() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let name = match expr {
            Expr::Function(function) => function.name.0.last().and_then(ObjectNamePart::as_ident),
            Expr::Identifier(ident) if ident.quote_style.is_none() => Some(ident),
            _ => None,
        };
        match name.is_some_and(|name| CHANGING.contains(&name.value.as_str())) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_chance_and_cuts_without_order_are_not_repeatable() {
        for (sql, expected) in [
            ("SELECT a FROM t WHERE b = 1", true),
            ("SELECT a FROM t ORDER BY a LIMIT 5", true),
            ("SELECT a FROM t LIMIT 5", false),
            ("SELECT * FROM (SELECT a FROM t LIMIT 5) ORDER BY a", false),
            ("SELECT a FROM t OFFSET 5", false),
            ("SELECT now()", false),
            ("SELECT a FROM t WHERE d > CURRENT_DATE - INTERVAL '1' DAY", false),
            ("SELECT RAND() FROM t", false),
            ("SELECT a FROM t TABLESAMPLE BERNOULLI (10)", false),
            ("SELEC", false),
        ] {
            assert_eq!(is_repeatable(sql, &[]), expected, "{sql}");
        }
        for (value, expected) in [("1", true), ("random()", false), ("now", true), ("'now()'", true)] {
            assert_eq!(is_repeatable("SELECT ?", &[value.to_owned()]), expected, "{value}");
        }
    }
}
