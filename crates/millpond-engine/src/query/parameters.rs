//! Values for a query's `?`.
//!
//! A value goes into the query's tree, and never into its text: whatever it holds, it stays one expression.

use super::error::{Position, QueryError};
use super::parse::{AthenaDialect, parse_expression};
use datafusion::sql::sqlparser::ast::{Expr, Query, Value, Visit, VisitMut, Visitor, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer};
use std::ops::ControlFlow;

/// Replaces each `?` by its value, in the order of the text; one with a number, as `?2`, is of a part of a statement, and says which value it stands for.
/// Values for a query without `?` are not looked at, as with Athena.
///
/// # Errors
/// There are more or fewer values than `?`.
pub(crate) fn bind(query: &mut Query, values: &[String]) -> Result<(), QueryError> {
    let mut found = Placeholders { places: Vec::new(), most: 0 };
    let _ = Visit::visit(query, &mut found);
    let Placeholders { mut places, most } = found;
    places.sort_unstable();
    if places.is_empty() && most == 0 {
        return Ok(());
    }
    // Of a part of a statement the values are more than its own.
    check_count(if places.is_empty() { most.max(values.len()) } else { places.len() }, values.len())?;
    let values = values.iter().map(|text| value(text)).collect();
    let _ = VisitMut::visit(query, &mut Bind { places, values });
    Ok(())
}

/// Checks how many values there are for a statement's `?`. For one without any they are not looked at, as with Athena.
///
/// # Errors
/// They are more or fewer.
pub fn check_count(expected: usize, found: usize) -> Result<(), QueryError> {
    if expected == 0 || expected == found {
        return Ok(());
    }
    let message = format!("Incorrect number of parameters: expected {expected} but found {found}");
    Err(QueryError::InvalidParameterUsage { position: Position::START, message })
}

/// What one of Athena's `ExecutionParameters` stands for: the expression, where it is one without names of columns; else the text itself.
fn value(text: &str) -> Expr {
    match parse_expression(text) {
        // In parentheses, so that it stays one operand where the tree is written down.
        Ok(expression) if is_constant(&expression) => match expression {
            Expr::Value(_) | Expr::Nested(_) => expression,
            other => Expr::Nested(Box::new(other)),
        },
        _ => Expr::value(Value::SingleQuotedString(text.to_owned())),
    }
}

/// Checks a value of `EXECUTE … USING`: an expression that names no column and asks nothing.
///
/// # Errors
/// It does not parse, or is not constant.
pub(crate) fn check_constant(text: &str) -> Result<(), QueryError> {
    let expression = parse_expression(text)?;
    if is_constant(&expression) {
        return Ok(());
    }
    let message = format!("Constant expression cannot contain column references: {text}");
    Err(QueryError::Semantic { position: Position::START, message })
}

/// A token of a statement in Trino's way, and where it stands.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) token: Token,
    pub(crate) text: &'a str,
    pub(crate) position: Position,
    /// In bytes.
    pub(crate) start: usize,
    /// In bytes, behind it.
    pub(crate) end: usize,
}

/// A statement's tokens without blanks, comments and what ends it.
///
/// # Errors
/// Something is no token of Trino's.
pub(crate) fn trino_pieces(sql: &str) -> Result<Vec<Piece<'_>>, QueryError> {
    let tokens = Tokenizer::new(&AthenaDialect, sql).tokenize_with_location().map_err(|error| {
        let position = Position { line: error.location.line.max(1), column: error.location.column.max(1) };
        QueryError::syntax(position, error.message)
    })?;
    let mut places = Places { sql, at: 0, place: Location::new(1, 1) };
    let mut pieces = Vec::new();
    for token in tokens {
        let (start, end) = (places.offset(token.span.start), places.offset(token.span.end));
        if matches!(token.token, Token::Whitespace(_) | Token::EOF) {
            continue;
        }
        let position = Position { line: token.span.start.line, column: token.span.start.column };
        pieces.push(Piece { token: token.token, text: &sql[start..end], position, start, end });
    }
    while pieces.last().is_some_and(|piece| piece.token == Token::SemiColon) {
        pieces.pop();
    }
    Ok(pieces)
}

/// From lines and columns to bytes, in one pass.
struct Places<'a> {
    sql: &'a str,
    at: usize,
    place: Location,
}

impl Places<'_> {
    fn offset(&mut self, wanted: Location) -> usize {
        while self.place < wanted {
            let Some(character) = self.sql[self.at..].chars().next() else { break };
            self.at += character.len_utf8();
            self.place = match character {
                '\n' => Location::new(self.place.line + 1, 1),
                _ => Location::new(self.place.line, self.place.column + 1),
            };
        }
        self.at
    }
}

fn is_constant(expression: &Expr) -> bool {
    struct Names;
    impl Visitor for Names {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                // A lambda's own names do not tell it from a column.
                Expr::Identifier(ident) if !is_niladic(&ident.value) || ident.quote_style.is_some() => ControlFlow::Break(()),
                Expr::CompoundIdentifier(_) | Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                    ControlFlow::Break(())
                }
                Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    Visit::visit(expression, &mut Names).is_continue()
}

/// Functions that are called without parentheses.
fn is_niladic(name: &str) -> bool {
    ["current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "current_user"].contains(&name)
}

/// Where `?` without numbers stand, and the greatest number of the others.
struct Placeholders {
    places: Vec<(u64, u64)>,
    most: usize,
}

impl Visitor for Placeholders {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match placeholder(expr) {
            Some(Placeholder::Next(place)) => self.places.push(place),
            Some(Placeholder::Number(number)) => self.most = self.most.max(number),
            None => {}
        }
        ControlFlow::Continue(())
    }
}

enum Placeholder {
    /// `?`, at a line and column.
    Next((u64, u64)),
    /// `?2`
    Number(usize),
}

fn placeholder(expr: &Expr) -> Option<Placeholder> {
    let Expr::Value(value) = expr else { return None };
    let Value::Placeholder(name) = &value.value else { return None };
    let number = name.strip_prefix('?').and_then(|number| number.parse().ok()).filter(|number| *number > 0);
    Some(number.map_or(Placeholder::Next((value.span.start.line, value.span.start.column)), Placeholder::Number))
}

struct Bind {
    places: Vec<(u64, u64)>,
    values: Vec<Expr>,
}

impl VisitorMut for Bind {
    type Break = ();

    /// After its parts, so that what is put in is not looked into.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let index = match placeholder(expr) {
            Some(Placeholder::Next(place)) => self.places.binary_search(&place).ok(),
            Some(Placeholder::Number(number)) => number.checked_sub(1),
            None => None,
        };
        if let Some(value) = index.and_then(|index| self.values.get(index)) {
            *expr = value.clone();
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse::parse_query;

    fn bound(sql: &str, values: &[&str]) -> Result<String, String> {
        let mut query = parse_query(sql).unwrap().query;
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        bind(&mut query, &values).map_err(|error| error.to_string())?;
        Ok(query.to_string())
    }

    #[test]
    fn values_are_expressions_or_texts_as_athena_takes_them() {
        for (value, expected) in [
            ("1", "1"),
            ("'abc'", "'abc'"),
            ("1 + 1", "(1 + 1)"),
            ("NULL", "NULL"),
            ("now()", "(now())"),
            ("abc", "'abc'"),
            ("abc def", "'abc def'"),
            ("it's", "'it''s'"),
            ("123e4567-e89b-12d3-a456-426614174000", "'123e4567-e89b-12d3-a456-426614174000'"),
            ("x + 1", "'x + 1'"),
            ("t.x", "'t.x'"),
            ("(SELECT 1)", "'(SELECT 1)'"),
            ("1 OR 1=1", "(1 OR 1 = 1)"),
            ("?", "'?'"),
            ("", "''"),
        ] {
            assert_eq!(bound("SELECT ?", &[value]).unwrap(), format!("SELECT {expected}"), "{value}");
        }
    }

    #[test]
    fn values_go_where_they_belong_in_the_order_of_the_text() {
        let sql = "SELECT '?' AS \"?\", ? -- ?\n FROM t WHERE a = ? LIMIT ?";
        assert_eq!(bound(sql, &["1", "2", "3"]).unwrap(), "SELECT '?' AS \"?\", 1 FROM t WHERE a = 2 LIMIT 3");
        let error = bound("SELECT ?", &[]).unwrap_err();
        assert_eq!(error, "INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: expected 1 but found 0");
        assert_eq!(bound("SELECT 1", &["2"]).unwrap(), "SELECT 1", "values for nothing are ignored");
        assert_eq!(bound("SELECT ?3, ?1, ?3", &["1", "2", "3"]).unwrap(), "SELECT 3, 1, 3");
        let error = bound("SELECT ?2", &["1"]).unwrap_err();
        assert_eq!(error, "INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: expected 2 but found 1");
    }
}
