//! PostgreSQL's words in statements about the catalog that DataFusion has no plan for, beside those that `datafusion-pg-catalog` rewrites.
//!
//! - The escape characters of `LIKE` patterns become backslashes.
//! - Casts between relations' numbers and names become calls of functions; `EXISTS` as a column becomes a count.
//! - What reads a table that is always empty ([`EMPTY`]) is put by what it comes to: a query by one without rows, a value by NULL. Most of it is
//!   subqueries about indexes, constraints and sequences, which refer to the query around them as DataFusion's cannot.

use super::functions::{REGCLASS_NAME, REGCLASS_NUMBER};
use super::relations::EMPTY;
use crate::text::{quote, quote_name};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, JoinOperator,
    ObjectName, Query, Select, SelectItem, SetExpr, Statement, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use std::ops::ControlFlow;

/// Functions that give one row where there is none to read.
const AGGREGATES: &[&str] =
    &["array_agg", "avg", "bool_and", "bool_or", "count", "every", "json_agg", "max", "min", "string_agg", "sum"];

/// Lists that are NULL in every row.
const NULL_LISTS: &[&str] = &["attacl", "attoptions", "nspacl", "relacl", "reloptions"];

/// Rewrites a statement in its place.
pub(super) fn rewrite(statement: &mut Statement) {
    struct Rewrite;
    impl VisitorMut for Rewrite {
        type Break = ();

        fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            if let SetExpr::Select(select) = query.body.as_mut() {
                match reads_nothing(select).then(|| without_rows(select)).flatten() {
                    Some(without_rows) => *query = without_rows,
                    None => select.projection.iter_mut().for_each(count_what_exists),
                }
            }
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            escape(expr);
            if let Some(simpler) = simpler(expr) {
                *expr = simpler;
            }
            ControlFlow::Continue(())
        }
    }
    let _ = statement.visit(&mut Rewrite);
}

/// Whether a statement calls one of these functions.
pub(super) fn calls(statement: &Statement, names: &[&str]) -> bool {
    struct Calls<'a>(&'a [&'a str]);
    impl Visitor for Calls<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
            if last(&function.name).is_some_and(|last| self.0.contains(&last.as_str())) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }
    }
    statement.visit(&mut Calls(names)).is_break()
}

/// Turns `'name'::regclass` into a call, and `'name'::regproc` into the name, as the shipped tables have functions; to be done before
/// `datafusion-pg-catalog` finds only the session's own tables by the one, and numbers by the other.
pub(super) fn named_objects(sql: &str) -> Option<String> {
    struct Named(bool);
    impl VisitorMut for Named {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Cast { expr: operand, data_type, .. } = expr
                && let Expr::Value(value) = operand.as_ref()
                && let Value::SingleQuotedString(name) = &value.value
                && let Some(named) = named(name, data_type)
            {
                *expr = named;
                self.0 = true;
            }
            ControlFlow::Continue(())
        }
    }
    let lower = sql.to_ascii_lowercase();
    if !lower.contains("regclass") && !lower.contains("regproc") {
        return None;
    }
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).ok()?;
    let mut statement = statements.pop().filter(|_| statements.is_empty())?;
    let mut named = Named(false);
    let _ = VisitMut::visit(&mut statement, &mut named);
    named.0.then(|| statement.to_string())
}

fn named(name: &str, data_type: &DataType) -> Option<Expr> {
    if is_type(data_type, &["regclass"]) {
        return parsed(&format!("{REGCLASS_NUMBER}({})", quote(name)));
    }
    is_type(data_type, &["regproc"]).then(|| parsed(&quote(name.strip_prefix("pg_catalog.").unwrap_or(name)))).flatten()
}

/// Whether a cast's type is one of these, with or without its schema.
pub(super) fn is_type(data_type: &DataType, names: &[&str]) -> bool {
    let shown = data_type.to_string().to_lowercase();
    names.contains(&shown.strip_prefix("pg_catalog.").unwrap_or(&shown))
}

/// A column that says whether rows exist counts them.
fn count_what_exists(item: &mut SelectItem) {
    let (expr, alias) = match item {
        SelectItem::UnnamedExpr(expr @ Expr::Exists { .. }) => (expr, "exists".to_owned()),
        SelectItem::ExprWithAlias { expr: expr @ Expr::Exists { .. }, alias } => (expr, alias.value.clone()),
        _ => return,
    };
    let Expr::Exists { subquery, negated } = expr else { return };
    let sign = if *negated { "=" } else { ">" };
    if let Some(expr) = parsed(&format!("(SELECT count(*) {sign} 0 FROM ({subquery}) AS found)")) {
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', alias) };
    }
}

/// `x LIKE p ESCAPE '/'`: backslashes of the pattern are doubled, then its escape characters become backslashes.
fn escape(expr: &mut Expr) {
    let (Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. }) = expr else { return };
    let escape = escape_char.as_ref().and_then(|escape| escape.value.clone().into_string());
    if let Some(escape) = escape.filter(|escape| escape != "\\" && !escape.is_empty())
        && let Some(replaced) = parsed(&format!("replace(replace({pattern}, '\\', '\\\\'), {}, '\\')", quote(&escape)))
    {
        (**pattern, *escape_char) = (replaced, None);
    }
}

/// What a value comes to where it reads what is always empty.
fn simpler(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Subquery(query) if gives_nothing(query) => parsed("NULL"),
        Expr::Exists { subquery, negated } if gives_nothing(subquery) => parsed(if *negated { "true" } else { "false" }),
        Expr::Function(Function { name, args: FunctionArguments::Subquery(query), .. })
            if gives_nothing(query) && last(name).as_deref() == Some("array") =>
        {
            parsed("make_array()")
        }
        Expr::Cast { expr, data_type, .. } if is_type(data_type, &["text", "varchar", "name"]) => match expr.as_ref() {
            Expr::Cast { expr, data_type, .. } if is_type(data_type, &["regclass"]) => {
                parsed(&format!("{REGCLASS_NAME}({expr})"))
            }
            Expr::Cast { expr, data_type, .. } if is_type(data_type, &["regtype"]) => {
                parsed(&format!("format_type(CAST({expr} AS INTEGER), -1)"))
            }
            _ => None,
        },
        Expr::Case { conditions, else_result, .. } => {
            let ends = conditions.iter().map(|when| &when.result).chain(else_result.as_deref());
            ends.into_iter().all(is_null).then(|| parsed("NULL")).flatten()
        }
        _ => None,
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if value.value == Value::Null)
}

/// Whether a query has no rows, whatever is around it.
fn gives_nothing(query: &Query) -> bool {
    match query.body.as_ref() {
        SetExpr::Select(select) => is_without_rows(select) || (reads_nothing(select) && !is_one_row(select)),
        _ => false,
    }
}

/// What [`without_rows`] made.
fn is_without_rows(select: &Select) -> bool {
    select.from.is_empty()
        && matches!(&select.selection, Some(Expr::Value(value)) if value.value == Value::Boolean(false))
        && !is_one_row(select)
}

/// Whether an inner side of its joins has no rows, or none can be as it wants them.
fn reads_nothing(select: &Select) -> bool {
    use JoinOperator::{CrossJoin, Inner, Join, Left, LeftOuter};
    if select.selection.as_ref().is_some_and(never_holds) {
        return true;
    }
    select.from.iter().any(|from| {
        let keeps_left = from
            .joins
            .iter()
            .all(|join| matches!(join.join_operator, Join(_) | Inner(_) | CrossJoin(_) | Left(_) | LeftOuter(_)));
        let mut inner = from.joins.iter().filter(|join| matches!(join.join_operator, Join(_) | Inner(_) | CrossJoin(_)));
        keeps_left && (is_nothing(&from.relation) || inner.any(|join| is_nothing(&join.relation)))
    })
}

/// Whether it wants of a list that is always NULL that it is not.
fn never_holds(condition: &Expr) -> bool {
    match condition {
        Expr::Nested(inner) => never_holds(inner),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => never_holds(left) || never_holds(right),
        Expr::IsNotNull(list) => is_null_column(list),
        _ => false,
    }
}

fn is_nothing(relation: &TableFactor) -> bool {
    match relation {
        TableFactor::Table { name, args: None, .. } => last(name).is_some_and(|last| EMPTY.contains(&last.as_str())),
        TableFactor::Table { name, args: Some(args), .. } => {
            last(name).as_deref() == Some("unnest") && args.args.iter().all(is_null_list)
        }
        TableFactor::Function { name, args, .. } => last(name).as_deref() == Some("unnest") && args.iter().all(is_null_list),
        TableFactor::UNNEST { array_exprs, .. } => array_exprs.iter().all(is_null_column),
        TableFactor::Derived { subquery, lateral: false, .. } => gives_nothing(subquery),
        _ => false,
    }
}

fn is_null_list(argument: &FunctionArg) -> bool {
    matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if is_null_column(expr))
}

fn is_null_column(expr: &Expr) -> bool {
    let name = match expr {
        Expr::Identifier(name) => name,
        Expr::CompoundIdentifier(parts) => match parts.last() {
            Some(name) => name,
            None => return false,
        },
        _ => return false,
    };
    NULL_LISTS.contains(&name.value.to_lowercase().as_str())
}

/// Whether it gives a row where it reads none: it aggregates without `GROUP BY`.
fn is_one_row(select: &Select) -> bool {
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    !is_grouped && select.projection.iter().any(|item| item.visit(&mut Aggregates).is_break())
}

struct Aggregates;

impl Visitor for Aggregates {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        match last(&function.name).is_some_and(|last| AGGREGATES.contains(&last.as_str())) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// The same columns, without rows; `None` where their names are not known, or where there is a row all the same.
fn without_rows(select: &Select) -> Option<Query> {
    if is_one_row(select) {
        return None;
    }
    let mut columns = Vec::with_capacity(select.projection.len());
    for (place, item) in select.projection.iter().enumerate() {
        let name = match item {
            SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => name.value.clone(),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last()?.value.clone(),
            SelectItem::UnnamedExpr(_) => format!("?column{place}?"),
            _ => return None,
        };
        columns.push(format!("NULL AS {}", quote_name(&name)));
    }
    let sql = format!("SELECT {} WHERE false", columns.join(", "));
    match Parser::parse_sql(&PostgreSqlDialect {}, &sql).ok()?.pop()? {
        Statement::Query(query) => Some(*query),
        _ => None,
    }
}

/// A name without its qualifiers, in lower case.
fn last(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(|part| part.as_ident()).map(|name| name.value.to_lowercase())
}

fn parsed(sql: &str) -> Option<Expr> {
    Parser::new(&PostgreSqlDialect {}).try_with_sql(sql).ok()?.parse_expr().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &str) {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        rewrite(&mut statement);
        assert_eq!(statement.to_string(), expected);
    }

    #[test]
    fn escape_characters_become_backslashes() {
        check(
            "SELECT a FROM t WHERE a NOT LIKE 'pg/_' || '%' ESCAPE '/'",
            "SELECT a FROM t WHERE a NOT LIKE replace(replace('pg/_' || '%', '\\', '\\\\'), '/', '\\')",
        );
        check("SELECT a FROM t WHERE a LIKE 'x%'", "SELECT a FROM t WHERE a LIKE 'x%'");
        let backslash = "SELECT a FROM t WHERE a LIKE 'x%' ESCAPE '\\'";
        check(backslash, backslash);
    }

    #[test]
    fn what_reads_an_empty_table_is_put_by_what_it_comes_to() {
        check(
            "SELECT c.oid FROM pg_class AS c JOIN (SELECT unnest(i.indkey) AS k, i.indrelid FROM pg_catalog.pg_index AS i) AS x ON x.indrelid = c.oid",
            "SELECT NULL AS \"oid\" WHERE false",
        );
        check(
            "SELECT a.attname, (SELECT d.adbin FROM pg_attrdef AS d) AS value FROM pg_attribute AS a",
            "SELECT a.attname, NULL AS value FROM pg_attribute AS a",
        );
        check("SELECT CASE WHEN a.x THEN (SELECT 1 FROM pg_sequence) ELSE NULL END FROM a", "SELECT NULL FROM a");
        check("SELECT 1 FROM a WHERE NOT EXISTS (SELECT 1 FROM pg_index AS i WHERE i.x = a.x)", "SELECT 1 FROM a WHERE true");
        check(
            "SELECT c.reloptions || array(SELECT x FROM unnest(tc.reloptions) AS x) FROM c",
            "SELECT c.reloptions || make_array() FROM c",
        );
    }

    #[test]
    fn casts_of_relations_become_calls() {
        check("SELECT c.oid::regclass::text FROM c", "SELECT regclass_name(c.oid) FROM c");
        check("SELECT t.oid::regtype::text FROM t", "SELECT format_type(CAST(t.oid AS INTEGER), -1) FROM t");
        let named = named_objects("SELECT 'a.b'::pg_catalog.regclass, oid::regclass").unwrap();
        assert_eq!(named, "SELECT regclass_number('a.b'), oid::REGCLASS");
        let named = named_objects("SELECT typinput = 'pg_catalog.array_in'::regproc FROM pg_type").unwrap();
        assert_eq!(named, "SELECT typinput = 'array_in' FROM pg_type");
        assert_eq!(named_objects("SELECT oid::regclass, 'x'"), None);
    }

    #[test]
    fn what_exists_as_a_column_is_counted() {
        check("SELECT EXISTS (SELECT 1 FROM a)", "SELECT (SELECT count(*) > 0 FROM (SELECT 1 FROM a) AS found) AS \"exists\"");
        check("SELECT EXISTS (SELECT 1 FROM pg_index)", "SELECT false");
        let condition = "SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM b)";
        check(condition, condition);
    }

    #[test]
    fn what_has_rows_all_the_same_stays() {
        for sql in [
            "SELECT count(*) AS n FROM pg_index",
            "SELECT (SELECT count(*) FROM pg_index AS i WHERE i.x = c.x) FROM pg_class AS c",
            "SELECT c.oid FROM pg_class AS c LEFT JOIN pg_constraint AS k ON k.conrelid = c.oid",
            "SELECT c.oid FROM pg_index AS i RIGHT JOIN pg_class AS c ON i.indrelid = c.oid",
            "SELECT c.oid FROM pg_class AS c LEFT JOIN (SELECT x FROM y) AS k ON k.x = c.oid",
            "SELECT * FROM pg_index",
            "SELECT CASE WHEN a THEN 1 ELSE NULL END FROM t",
        ] {
            check(sql, sql);
        }
    }
}
