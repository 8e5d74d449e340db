//! From a query's text to its syntax tree.
//!
//! Names are lower-cased here once, quoted ones too, since Athena's names are not case-sensitive; how they were written, and where, is kept
//! beside the tree for result headers and messages.

pub(crate) mod adapt;
mod literals;
mod types;
mod unions;

use super::bounds;
use super::error::{Position, QueryError};
use datafusion::sql::sqlparser::ast::{Expr, Query, Statement};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Word};
use std::any::TypeId;
use std::collections::HashMap;

/// Between an operator and its right side there may be signs of that side, and not many.
const SIGNS_BETWEEN: usize = 16;
/// Deeper nesting than this is refused, so that hostile text cannot exhaust the stack.
const DEPTH_MAX: usize = 100;

/// What of SQL's syntax Athena's queries use.
#[derive(Debug, Default)]
pub(crate) struct AthenaDialect;

impl Dialect for AthenaDialect {
    /// The parser knows some syntax (`UNNEST` in `FROM`) for the dialects of a list only.
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, c: char) -> bool {
        c == '"' || c == '`'
    }

    fn is_identifier_start(&self, c: char) -> bool {
        c.is_alphabetic() || c == '_'
    }

    fn is_identifier_part(&self, c: char) -> bool {
        c.is_alphanumeric() || c == '_' || c == '@' || c == '$'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_lambda_functions(&self) -> bool {
        true
    }

    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_boolean_literals(&self) -> bool {
        true
    }

    fn require_interval_qualifier(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn supports_numeric_literal_underscores(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_rarrow_operator(&self) -> bool {
        true
    }

    /// `IS [NOT] DISTINCT FROM` compares two values, as `=` does: the parser's own takes all that follows, `AND` too, for its right side.
    fn parse_infix(&self, parser: &mut Parser<'_>, left: &Expr, _: u8) -> Option<Result<Expr, ParserError>> {
        const DISTINCT_FROM: [Keyword; 4] = [Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM];
        let compared: fn(Box<Expr>, Box<Expr>) -> Expr = if parser.parse_keywords(&DISTINCT_FROM) {
            Expr::IsNotDistinctFrom
        } else if parser.parse_keywords(&[Keyword::IS, Keyword::DISTINCT, Keyword::FROM]) {
            Expr::IsDistinctFrom
        } else {
            return None;
        };
        let right = parser.parse_subexpr(self.prec_value(Precedence::Eq));
        Some(right.map(|right| compared(Box::new(left.clone()), Box::new(right))))
    }
}

/// A query's tree, and what its text said of names.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) query: Box<Query>,
    pub(crate) names: Names,
}

/// Where names stand in the text, and how they were written.
#[derive(Debug, Default)]
pub(crate) struct Names {
    written: HashMap<(u64, u64), String>,
    places: Vec<(String, Position)>,
    /// Operators and where they stand, in the order of the text.
    pub(crate) symbols: Vec<(String, Position)>,
    /// Whether the text ends before all its parentheses are closed.
    open: bool,
}

impl Names {
    /// A name as the text has it.
    pub(crate) fn as_written(&self, span: Span, lower: &str) -> String {
        self.written.get(&(span.start.line, span.start.column)).cloned().unwrap_or_else(|| lower.to_owned())
    }

    /// Where a name (lower case) stands first.
    pub(crate) fn locate(&self, name: &str) -> Option<Position> {
        self.places.iter().find(|(candidate, _)| candidate == name).map(|(_, position)| *position)
    }

    /// Where the operator before a part of the text stands, when it is a sign.
    pub(crate) fn operator(&self, sign: &str, right: Span) -> Option<Position> {
        if right.start.line == 0 {
            return None;
        }
        let to = position(right);
        let end = self.symbols.partition_point(|(_, at)| *at < to);
        self.symbols[..end].iter().rev().take(SIGNS_BETWEEN).find(|(found, _)| found == sign).map(|(_, at)| *at)
    }

    /// Whether the text names this.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        self.locate(name).is_some()
    }
}

/// Where a piece of the tree stands.
pub(crate) fn position(span: Span) -> Position {
    if span.start.line == 0 {
        return Position::START;
    }
    Position { line: span.start.line, column: span.start.column }
}

/// Where an expression begins, as far as its first part says; empty where it does not. Spans of whole trees are found by recursion, which a long
/// chain of operators is too deep for.
pub(crate) fn first_span(expr: &Expr) -> Span {
    let mut expr = expr;
    loop {
        expr = match expr {
            Expr::Value(value) => return value.span,
            Expr::Identifier(ident) => return ident.span,
            Expr::CompoundIdentifier(parts) => return parts.first().map_or_else(Span::empty, |ident| ident.span),
            Expr::Function(function) => {
                return function.name.0.first().and_then(|part| part.as_ident()).map_or_else(Span::empty, |ident| ident.span);
            }
            Expr::TypedString(typed) => return typed.value.span,
            Expr::BinaryOp { left, .. } | Expr::AnyOp { left, .. } | Expr::AllOp { left, .. } => left,
            Expr::IsDistinctFrom(left, _) | Expr::IsNotDistinctFrom(left, _) => left,
            Expr::Nested(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::UnaryOp { expr: inner, .. }
            | Expr::Between { expr: inner, .. }
            | Expr::InList { expr: inner, .. }
            | Expr::InSubquery { expr: inner, .. }
            | Expr::Like { expr: inner, .. }
            | Expr::Cast { expr: inner, .. }
            | Expr::Extract { expr: inner, .. }
            | Expr::AtTimeZone { timestamp: inner, .. }
            | Expr::CompoundFieldAccess { root: inner, .. } => inner,
            Expr::Interval(interval) => &interval.value,
            Expr::Tuple(items) => match items.first() {
                Some(first) => first,
                None => return Span::empty(),
            },
            Expr::Array(array) => match array.elem.first() {
                Some(first) => first,
                None => return Span::empty(),
            },
            _ => return Span::empty(),
        };
    }
}

/// Parses exactly one query; a semicolon may end it.
pub(crate) fn parse_query(sql: &str) -> Result<Parsed, QueryError> {
    let (tokens, names) = tokens(sql)?;
    let mut parser = Parser::new(&AthenaDialect).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens);
    let statement = parser.parse_statement().map_err(|error| located(&error, sql, &names))?;
    while parser.consume_token(&Token::SemiColon) {}
    at_end(&parser, &names)?;
    match statement {
        Statement::Query(mut query) => {
            unions::balance(&mut query);
            bounds::check_relations(&query)?;
            Ok(Parsed { query, names })
        }
        _ => Err(QueryError::NotSupported("only queries (SELECT, WITH, VALUES, TABLE) can be run here".into())),
    }
}

/// Parses a literal of `ExecutionParameters`.
pub(crate) fn parse_expression(sql: &str) -> Result<Expr, QueryError> {
    let (tokens, names) = tokens(sql)?;
    let mut parser = Parser::new(&AthenaDialect).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens);
    let expression = parser.parse_expr().map_err(|error| located(&error, sql, &names))?;
    at_end(&parser, &names)?;
    Ok(expression)
}

fn at_end(parser: &Parser<'_>, names: &Names) -> Result<(), QueryError> {
    let next = parser.peek_token();
    if next.token == Token::EOF {
        return Ok(());
    }
    let found = names.as_written(next.span, &next.token.to_string());
    Err(QueryError::syntax(position(next.span), format!("mismatched input '{found}'. Expecting: <EOF>")))
}

fn tokens(sql: &str) -> Result<(Vec<TokenWithSpan>, Names), QueryError> {
    let dialect = AthenaDialect;
    let raw = Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|error| {
        let position = Position { line: error.location.line.max(1), column: error.location.column.max(1) };
        QueryError::syntax(position, error.message)
    })?;
    bounds::check_tokens(&raw)?;
    let mut names = Names::default();
    let mut tokens = Vec::with_capacity(raw.len() + 1);
    let parentheses = |wanted: Token| raw.iter().filter(|token| token.token == wanted).count();
    names.open = parentheses(Token::LParen) > parentheses(Token::RParen);
    for TokenWithSpan { token, span } in raw {
        let place = Position { line: span.start.line, column: span.start.column };
        let word = match token {
            Token::Whitespace(_) => continue,
            Token::Word(word) => word,
            other => {
                if bounds::operates(&other) {
                    names.symbols.push((other.to_string(), place));
                }
                tokens.push(TokenWithSpan { token: other, span });
                continue;
            }
        };
        let lower = word.value.to_lowercase();
        names.places.push((lower.clone(), place));
        if word.quote_style == Some('`') && lower.contains('.') {
            push_dotted(&mut tokens, &lower, span);
            continue;
        }
        if lower != word.value {
            names.written.insert((place.line, place.column), word.value);
        }
        tokens.push(TokenWithSpan { token: Token::Word(Word { value: lower, ..word }), span });
    }
    let tokens = super::functions::syntax::rewrite(tokens)?;
    let tokens = literals::adapt(tokens)?;
    let tokens = types::adapt(tokens)?;
    Ok((adapt::adapt(tokens), names))
}

/// An unquoted word.
fn word(text: &str, keyword: Keyword, span: Span) -> TokenWithSpan {
    TokenWithSpan { token: Token::Word(Word { value: text.to_owned(), quote_style: None, keyword }), span }
}

/// `` `db.table` `` as `"db"."table"`: people write it so, and Athena's DDL takes it.
fn push_dotted(tokens: &mut Vec<TokenWithSpan>, dotted: &str, span: Span) {
    for (index, part) in dotted.split('.').enumerate() {
        if index > 0 {
            tokens.push(TokenWithSpan { token: Token::Period, span });
        }
        let word = Word { value: part.to_owned(), quote_style: Some('"'), keyword: Keyword::NoKeyword };
        tokens.push(TokenWithSpan { token: Token::Word(word), span });
    }
}

/// The parser's message in Trino's words: `line 1:8: mismatched input 'x'. Expecting: 'y'`.
pub(crate) fn syntax_error(error: &ParserError) -> QueryError {
    located(error, "", &Names::default())
}

fn located(error: &ParserError, sql: &str, names: &Names) -> QueryError {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => {
            return QueryError::syntax(
                Position::START,
                format!("statement is too large: it nests deeper than {DEPTH_MAX} levels"),
            );
        }
    };
    let (message, location) = split_location(text);
    let position = location.map_or_else(|| end_of(sql), |at| Position { line: at.line.max(1), column: at.column.max(1) });
    let Some((expected, found)) = message.strip_prefix("Expected: ").and_then(|rest| rest.split_once(", found: ")) else {
        return QueryError::syntax(position, message);
    };
    if names.open && expected == ")" {
        let message = "mismatched input '<EOF>'. Expecting: ')'".to_owned();
        return QueryError::syntax(end_of(sql), message);
    }
    let found = match location {
        _ if found == "EOF" => "<EOF>".to_owned(),
        Some(at) => names.as_written(Span::new(at, at), found),
        None => found.to_owned(),
    };
    QueryError::syntax(position, format!("mismatched input '{found}'. Expecting: {expected}"))
}

/// Behind the last character: where the parser's end of file is, which it gives no place.
fn end_of(sql: &str) -> Position {
    let sql = sql.trim_end();
    let line = sql.lines().count().max(1);
    let column = sql.lines().last().map_or(0, |last| last.chars().count()) + 1;
    Position { line: line as u64, column: column as u64 }
}

/// `… at Line: 1, Column: 8` taken apart.
fn split_location(text: &str) -> (&str, Option<Location>) {
    let parse = || {
        let (message, rest) = text.rsplit_once(" at Line: ")?;
        let (line, column) = rest.split_once(", Column: ")?;
        Some((message, Some(Location::new(line.parse().ok()?, column.trim().parse().ok()?))))
    };
    parse().unwrap_or((text, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_errors_say_where_and_what() {
        let error = parse_query("SELECT *\nFRM t").unwrap_err();
        assert_eq!(error.to_string(), "line 2:1: mismatched input 'FRM'. Expecting: <EOF>");
        let error = parse_query("SELECT a FROM").unwrap_err();
        assert!(error.to_string().contains("mismatched input '<EOF>'"), "{error}");
        let error = parse_query("SELECT * FROM (SELECT 1").unwrap_err();
        assert_eq!(error.to_string(), "line 1:24: mismatched input '<EOF>'. Expecting: ')'");
        let error = parse_query("SELECT 'open").unwrap_err();
        assert!(error.is_syntax(), "{error}");
    }

    #[test]
    fn names_are_lower_case_and_remembered_as_written() {
        let parsed = parse_query(r#"SELECT "Mixed" AS Total FROM `Db.T`;"#).unwrap();
        assert_eq!(parsed.query.to_string(), r#"SELECT "mixed" AS total FROM "db"."t""#);
        assert_eq!(parsed.names.locate("total"), Some(Position { line: 1, column: 19 }));
        let span = Span::new(Location::new(1, 19), Location::new(1, 24));
        assert_eq!(parsed.names.as_written(span, "total"), "Total");
    }

    #[test]
    fn trinos_syntax_is_read() {
        for (sql, read) in [
            ("VALUES 1, 2", "VALUES (1), (2)"),
            ("VALUES (1) + 1, (2)", "VALUES ((1) + 1), (2)"),
            ("VALUES (1, 'a'), ROW(2, 'b')", ""),
            ("SELECT * FROM (VALUES 1, (SELECT 2)) t", "SELECT * FROM (VALUES (1), ((SELECT 2))) t"),
            ("VALUES ARRAY[1, 2] UNION ALL VALUES 3 ORDER BY 1", "VALUES (ARRAY[1, 2]) UNION ALL VALUES (3) ORDER BY 1"),
            ("TABLE a.b", "SELECT * FROM a.b"),
            ("WITH x AS (VALUES 1) TABLE x", "WITH x AS (VALUES (1)) SELECT * FROM x"),
            ("SELECT 1 < ALL (VALUES 1, 2)", "SELECT 1 < ALL(SELECT * FROM (VALUES (1), (2)))"),
            ("SELECT x FROM t FOR VERSION AS OF 5", "SELECT x FROM t VERSION AS OF 5"),
            (
                "SELECT CAST(x AS ARRAY(ROW(a INT, \"B c\" decimal(3, 1))))",
                "SELECT CAST(x AS array(row(a integer, \"b c\" decimal(3,1))))",
            ),
            (
                "SELECT CAST(CAST(a AS Row(bigint)) AS interval DAY to SECOND)",
                "SELECT CAST(CAST(a AS row(bigint)) AS \"interval day to second\")",
            ),
            ("SELECT 0x0A, 0o17, 0b11, 1_000, X'6a 6B'", "SELECT 10, 15, 3, 1000, X'6a6B'"),
            ("SELECT IPADDRESS '::1'", "SELECT CAST('::1' AS ipaddress)"),
            ("SELECT U&'\\00e9'", "SELECT 'é'"),
        ] {
            let parsed = parse_query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            if !read.is_empty() {
                assert_eq!(parsed.query.to_string(), read);
            }
            parse_query(&parsed.query.to_string()).unwrap_or_else(|error| panic!("{sql} read again: {error}"));
        }
        for sql in ["SELECT CAST(1 AS foo)", "SELECT X'6'", "SELECT X'zz'", "VALUES"] {
            parse_query(sql).unwrap_err();
        }
    }

    #[test]
    fn hostile_nesting_is_refused() {
        let sql = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
        assert!(parse_query(&sql).unwrap_err().is_syntax());
    }
}
