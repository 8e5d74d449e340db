//! Bounds on a statement's shape. Planning recurses over the tree, and a common table is planned wherever it is named; without bounds a text of a
//! few kilobytes could exhaust the stack or the memory.

use super::error::{Position, QueryError};
use super::parse::position;
use datafusion::sql::sqlparser::ast::{ObjectName, Query, Select, TableFactor, TableWithJoins, Visit, Visitor};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Operators in one expression: each is a level of the tree.
const CHAIN_MAX: usize = 2_000;
/// Queries in a chain of `UNION`, with those in whose parentheses it stands.
const UNIONS_MAX: usize = 500;
/// Tables that one `FROM` joins, and `EXCEPT` and `INTERSECT` in a chain, which are joins: planning takes more than the square of their number.
const JOINS_MAX: usize = 100;
/// Tables that a query reads, common tables counted wherever they are named.
const RELATIONS_MAX: u64 = 1_000;

fn too_large(span: Span, what: &str) -> QueryError {
    QueryError::syntax(position(span), format!("statement is too large: {what}"))
}

/// What makes a tree deep: operators since the last comma, and set operators.
#[derive(Debug, Default, Clone, Copy)]
struct Level {
    operators: usize,
    unions: usize,
    joins: usize,
}

/// Refuses chains of operators and queries that are too long, before there is a tree of them.
pub(super) fn check_tokens(tokens: &[TokenWithSpan]) -> Result<(), QueryError> {
    // For each open parenthesis.
    let mut levels = vec![Level::default()];
    // The sum of them all: parentheses nest expressions within expressions.
    let mut depth = Level::default();
    for TokenWithSpan { token, span } in tokens {
        let nested = levels.len() > 1;
        let level = levels.last_mut().expect("the statement itself is never closed");
        match token {
            Token::LParen | Token::LBracket => {
                // A subscript or a call is a level itself.
                level.operators += 1;
                depth.operators += 1;
                levels.push(Level::default());
            }
            Token::RParen | Token::RBracket if nested => {
                let Level { operators, unions, joins } = levels.pop().unwrap_or_default();
                depth.operators -= operators;
                depth.unions -= unions;
                depth.joins -= joins;
            }
            Token::Comma => depth.operators -= std::mem::take(&mut level.operators),
            Token::Word(word) if word.keyword == Keyword::UNION => {
                level.unions += 1;
                depth.unions += 1;
            }
            Token::Word(word) if matches!(word.keyword, Keyword::EXCEPT | Keyword::INTERSECT) => {
                level.joins += 1;
                depth.joins += 1;
            }
            other if operates(other) => {
                level.operators += 1;
                depth.operators += 1;
            }
            _ => {}
        }
        if depth.operators > CHAIN_MAX {
            let message = format!("more than {CHAIN_MAX} operators in one expression; use IN (…) for many values");
            return Err(too_large(*span, &message));
        }
        if depth.unions > UNIONS_MAX {
            let message = format!("more than {UNIONS_MAX} UNION in one query; write them to a table in several statements");
            return Err(too_large(*span, &message));
        }
        if depth.joins > JOINS_MAX {
            return Err(too_large(*span, &format!("more than {JOINS_MAX} EXCEPT and INTERSECT in one query")));
        }
    }
    Ok(())
}

pub(super) fn operates(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::BETWEEN
                | Keyword::AT
                | Keyword::COLLATE
        ),
        Token::Whitespace(_)
        | Token::EOF
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Period
        | Token::SemiColon
        | Token::Placeholder(_)
        | Token::LParen
        | Token::RParen
        | Token::LBracket
        | Token::RBracket
        | Token::Comma => false,
        // What else there is are signs of operators.
        _ => true,
    }
}

/// Refuses queries that read too many tables once their common tables are put in, or join too many.
pub(super) fn check_relations(query: &Query) -> Result<(), QueryError> {
    let mut weigh = Weigh::default();
    let _ = query.visit(&mut weigh);
    if weigh.joined > JOINS_MAX {
        let message =
            format!("statement is too large: more than {JOINS_MAX} tables in one FROM; join some of them in a table first");
        return Err(QueryError::syntax(Position::START, message));
    }
    if weigh.total > RELATIONS_MAX {
        let message = format!(
            "statement is too large: it reads more than {RELATIONS_MAX} tables, common tables (WITH) counted wherever they are named"
        );
        return Err(QueryError::syntax(Position::START, message));
    }
    Ok(())
}

#[derive(Default, Clone)]
struct Weigh {
    /// How many tables a common table stands for.
    tables: HashMap<String, u64>,
    total: u64,
    /// The most tables of one `FROM`.
    joined: usize,
}

impl Visitor for Weigh {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            let mut inner = Self { tables: self.tables.clone(), ..Self::default() };
            let visited = inner.visit_whole(&table.query);
            self.joined = self.joined.max(inner.joined);
            if visited.is_break() {
                self.total = self.total.max(inner.total);
                return visited;
            }
            self.tables.insert(table.alias.name.value.clone(), inner.total.max(1));
        }
        if self.total > RELATIONS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let joined = select.from.iter().map(tables).sum();
        self.joined = self.joined.max(joined);
        if self.joined > JOINS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let weight = match relation.0.as_slice() {
            [one] => one.as_ident().and_then(|ident| self.tables.get(&ident.value)).copied().unwrap_or(1),
            _ => 1,
        };
        self.total = self.total.saturating_add(weight);
        ControlFlow::Continue(())
    }
}

/// The tables that are joined, also in parentheses.
fn tables(table: &TableWithJoins) -> usize {
    let of = |factor: &TableFactor| match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => tables(table_with_joins),
        _ => 1,
    };
    of(&table.relation) + table.joins.iter().map(|join| of(&join.relation)).sum::<usize>()
}

impl Weigh {
    fn visit_whole(&mut self, query: &Query) -> ControlFlow<()> {
        query.visit(self)
    }
}

#[cfg(test)]
mod tests {
    use crate::query::check_syntax;

    #[test]
    fn statements_of_hostile_shapes_are_refused() {
        let many = 50_000;
        let doubling: Vec<String> = (1..40).map(|i| format!("t{i} AS (SELECT * FROM t{0} a, t{0} b)", i - 1)).collect();
        for sql in [
            format!("SELECT 1{}", "+1".repeat(many)),
            format!("SELECT 1{}", " = 1".repeat(many)),
            format!("SELECT 1 WHERE true{}", " OR 1 = 2".repeat(many)),
            format!("SELECT 1{}", " UNION ALL SELECT 1, 2".repeat(many)),
            format!("SELECT 1{}", "[1]".repeat(many)),
            format!("SELECT 1{}", " IS NULL".repeat(many)),
            format!("SELECT {} 1", "- ".repeat(many)),
            format!("SELECT {} true", "NOT ".repeat(many)),
            format!("SELECT {}1{}", "(1+".repeat(many), ")".repeat(many)),
            format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(many), " END".repeat(many)),
            format!("SELECT 1 FROM t{}", " JOIN t ON true".repeat(many)),
            format!("SELECT 1 FROM t{}", ", t".repeat(many)),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(501)),
            format!("SELECT 1{}", " EXCEPT SELECT 1".repeat(101)),
            format!("SELECT 1 FROM t{}", " CROSS JOIN t".repeat(100)),
            format!("WITH a AS (SELECT 1 FROM t{}) SELECT * FROM a", ", t".repeat(100)),
            format!("SELECT 1 FROM t, (t{})", " CROSS JOIN t".repeat(100)),
            format!("WITH t0 AS (SELECT 1), {}, x AS (SELECT * FROM t39, (SELECT 1) y) SELECT * FROM x", doubling.join(", ")),
            format!("WITH t0 AS (SELECT 1), {} SELECT * FROM t39", doubling.join(", ")),
        ] {
            let error = check_syntax(&sql).expect_err(&sql[..40]);
            assert!(error.is_syntax(), "{}: {error}", &sql[..40]);
        }
    }

    #[test]
    fn long_lists_are_fine() {
        for sql in [
            format!("SELECT * FROM t WHERE a IN ({}1)", "1, ".repeat(50_000)),
            format!("SELECT {}1", "a + 1, ".repeat(5_000)),
            format!("SELECT * FROM (VALUES {}(1, -1))", "(1, -1), ".repeat(5_000)),
            format!("SELECT 1 WHERE true{}", " OR a = 2".repeat(900)),
        ] {
            check_syntax(&sql).unwrap_or_else(|error| panic!("{}: {error}", &sql[..40]));
        }
    }
}
