//! A query's text as Trino lays it out: what a view keeps, and what `SHOW CREATE VIEW` prints.
//!
//! Clauses stand on lines of their own, lists begin each line with `, `, operators are in parentheses. A text is only given when it parses to
//! the same tree again, parentheses aside; what this does not know keeps the text that it had.

use super::parse;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, Cte, Expr, GroupByExpr, Join, JoinConstraint, JoinOperator, LimitClause, OrderBy,
    OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, TableAlias, TableFactor,
    TableWithJoins, UnaryOperator,
};

/// One level of a subquery.
const INDENT: &str = "   ";

/// The query in Trino's layout; as it was where that would change it.
pub fn query_text(sql: &str) -> String {
    let original = sql.trim().trim_end_matches(';').trim_end();
    formatted(original).unwrap_or_else(|| original.to_owned())
}

fn formatted(sql: &str) -> Option<String> {
    let parsed = parse::parse_query(sql).ok()?;
    let mut printer = Printer { out: String::new() };
    printer.query(&parsed.query, 0);
    let text = printer.out.trim_end().to_owned();
    let again = parse::parse_query(&text).ok()?;
    (essence(&again.query) == essence(&parsed.query)).then_some(text)
}

/// The tree's own text without what the layout adds.
fn essence(query: &Query) -> String {
    let text =
        query.to_string().replace(" ASC", "").replace("INNER JOIN", "JOIN").replace(" OUTER JOIN", " JOIN").replace(" AS ", " ");
    text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '(' | ')')).collect()
}

struct Printer {
    out: String,
}

impl Printer {
    fn line(&mut self, depth: usize, text: &str) {
        self.out.push_str(&INDENT.repeat(depth));
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn indent(&mut self, depth: usize) {
        self.out.push_str(&INDENT.repeat(depth));
    }

    fn query(&mut self, query: &Query, depth: usize) {
        if let Some(with) = &query.with {
            self.indent(depth);
            self.out.push_str(if with.recursive { "WITH RECURSIVE\n  " } else { "WITH\n  " });
            for (index, cte) in with.cte_tables.iter().enumerate() {
                if index > 0 {
                    self.indent(depth);
                    self.out.push_str(", ");
                }
                self.cte(cte, depth);
            }
        }
        self.body(&query.body, depth);
        if let Some(order_by) = &query.order_by {
            self.line(depth, &order_text(order_by));
        }
        if let Some(limit) = &query.limit_clause {
            match limit {
                LimitClause::LimitOffset { limit, offset, limit_by } if limit_by.is_empty() => {
                    if let Some(offset) = offset {
                        self.line(depth, &format!("OFFSET {} ROWS", expression(&offset.value)));
                    }
                    if let Some(limit) = limit {
                        self.line(depth, &format!("LIMIT {}", expression(limit)));
                    }
                }
                other => self.line(depth, other.to_string().trim()),
            }
        }
        if let Some(fetch) = &query.fetch {
            self.line(depth, &fetch.to_string());
        }
    }

    fn cte(&mut self, cte: &Cte, depth: usize) {
        self.out.push_str(&cte.alias.name.to_string());
        self.alias_columns(&cte.alias);
        self.out.push_str(" AS ");
        self.subquery(&cte.query, depth);
        self.out.push('\n');
    }

    fn alias_columns(&mut self, alias: &TableAlias) {
        if !alias.columns.is_empty() {
            self.out.push_str(&format!(" ({})", joined(alias.columns.iter().map(ToString::to_string))));
        }
    }

    /// `(`, the query one level deeper, `) `.
    fn subquery(&mut self, query: &Query, depth: usize) {
        self.out.push_str("(\n");
        self.query(query, depth + 1);
        self.indent(depth);
        self.out.push_str(") ");
    }

    fn body(&mut self, body: &SetExpr, depth: usize) {
        match body {
            SetExpr::Select(select) => self.select(select, depth),
            SetExpr::Query(query) => {
                self.indent(depth);
                self.subquery(query, depth);
                self.out.push('\n');
            }
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                self.body(left, depth);
                let op = match op {
                    SetOperator::Union => "UNION",
                    SetOperator::Except | SetOperator::Minus => "EXCEPT",
                    SetOperator::Intersect => "INTERSECT",
                };
                self.indent(depth);
                self.out.push_str(op);
                if *set_quantifier != SetQuantifier::None {
                    self.out.push_str(&format!(" {set_quantifier}"));
                }
                // Operations are read from the left: one on the right was in parentheses.
                self.out.push(' ');
                let mut right_side = Printer { out: String::new() };
                right_side.body(right, depth);
                self.out.push_str(right_side.out.trim_start());
            }
            SetExpr::Values(values) => {
                self.indent(depth);
                self.out.push_str("VALUES \n");
                for (index, row) in values.rows.iter().enumerate() {
                    let row = format!("({})", joined(row.iter().map(expression)));
                    self.indent(depth);
                    self.out.push_str(&format!("{}{row}\n", if index == 0 { "  " } else { ", " }));
                }
            }
            SetExpr::Table(table) => self.line(depth, &table.to_string()),
            other => self.line(depth, &other.to_string()),
        }
    }

    fn select(&mut self, select: &Select, depth: usize) {
        let head = match &select.distinct {
            Some(distinct) => format!("SELECT {distinct}"),
            None => "SELECT".to_owned(),
        };
        match select.projection.as_slice() {
            [only] => self.line(depth, &format!("{head} {}", item(only))),
            items => {
                self.line(depth, &head);
                for (index, one) in items.iter().enumerate() {
                    self.line(depth, &format!("{}{}", if index == 0 { "  " } else { ", " }, item(one)));
                }
            }
        }
        if !select.from.is_empty() {
            self.line(depth, "FROM");
            for (index, from) in select.from.iter().enumerate() {
                self.indent(depth);
                self.out.push_str(if index == 0 { "  " } else { ", " });
                self.joins(from, depth);
                self.trim_end();
                self.out.push('\n');
            }
        }
        if let Some(condition) = &select.selection {
            self.line(depth, &format!("WHERE {}", expression(condition)));
        }
        match &select.group_by {
            GroupByExpr::Expressions(keys, modifiers) if modifiers.is_empty() => {
                if !keys.is_empty() {
                    self.line(depth, &format!("GROUP BY {}", joined(keys.iter().map(expression))));
                }
            }
            other => self.line(depth, &other.to_string()),
        }
        if let Some(having) = &select.having {
            self.line(depth, &format!("HAVING {}", expression(having)));
        }
        if !select.named_window.is_empty() {
            self.line(depth, &format!("WINDOW {}", joined(select.named_window.iter().map(ToString::to_string))));
        }
    }

    fn trim_end(&mut self) {
        let kept = self.out.trim_end_matches(' ').len();
        self.out.truncate(kept);
    }

    fn joins(&mut self, from: &TableWithJoins, depth: usize) {
        self.out.push_str(&"(".repeat(from.joins.len()));
        self.relation(&from.relation, depth);
        for join in &from.joins {
            self.trim_end();
            self.out.push('\n');
            self.indent(depth);
            self.join(join, depth);
            self.trim_end();
            self.out.push(')');
        }
    }

    fn join(&mut self, join: &Join, depth: usize) {
        let (kind, constraint) = match &join.join_operator {
            JoinOperator::Join(on) | JoinOperator::Inner(on) => ("INNER JOIN", on),
            JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => ("LEFT JOIN", on),
            JoinOperator::Right(on) | JoinOperator::RightOuter(on) => ("RIGHT JOIN", on),
            JoinOperator::FullOuter(on) => ("FULL JOIN", on),
            JoinOperator::CrossJoin(on) => ("CROSS JOIN", on),
            _ => return self.out.push_str(join.to_string().trim()),
        };
        if *constraint == JoinConstraint::Natural {
            self.out.push_str("NATURAL ");
        }
        self.out.push_str(kind);
        self.out.push(' ');
        self.relation(&join.relation, depth);
        match constraint {
            JoinConstraint::On(condition) => {
                self.trim_end();
                self.out.push_str(&format!(" ON {}", expression(condition)));
            }
            JoinConstraint::Using(columns) => {
                self.trim_end();
                self.out.push_str(&format!(" USING ({})", joined(columns.iter().map(ToString::to_string))));
            }
            JoinConstraint::Natural | JoinConstraint::None => {}
        }
    }

    fn relation(&mut self, relation: &TableFactor, depth: usize) {
        match relation {
            TableFactor::Derived { lateral, subquery, alias, sample: None } => {
                if *lateral {
                    self.out.push_str("LATERAL ");
                }
                self.subquery(subquery, depth);
                if let Some(alias) = alias {
                    self.out.push_str(&format!(" {}", alias.name));
                    self.alias_columns(alias);
                }
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } if table_with_joins.joins.is_empty() => {
                self.relation(&table_with_joins.relation, depth);
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => self.joins(table_with_joins, depth),
            other => {
                let text = other.to_string();
                self.out.push_str(&text);
            }
        }
    }
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn item(item: &SelectItem) -> String {
    match item {
        SelectItem::UnnamedExpr(expr) => expression(expr),
        SelectItem::ExprWithAlias { expr, alias } => format!("{} {alias}", expression(expr)),
        other => other.to_string(),
    }
}

fn order_text(order_by: &OrderBy) -> String {
    match (&order_by.kind, &order_by.interpolate) {
        (OrderByKind::Expressions(keys), None) => format!("ORDER BY {}", joined(keys.iter().map(order_key))),
        _ => order_by.to_string(),
    }
}

fn order_key(key: &OrderByExpr) -> String {
    if key.with_fill.is_some() {
        return key.to_string();
    }
    let direction = if key.options.asc == Some(false) { "DESC" } else { "ASC" };
    let nulls = match key.options.nulls_first {
        Some(true) => " NULLS FIRST",
        Some(false) => " NULLS LAST",
        None => "",
    };
    format!("{} {direction}{nulls}", expression(&key.expr))
}

/// An expression on one line, but for its subqueries.
pub(crate) fn expression(expr: &Expr) -> String {
    let not = |negated: bool| if negated { "NOT " } else { "" };
    match expr {
        Expr::Nested(inner) => match inner.as_ref() {
            // Most bring parentheses of their own.
            Expr::Nested(_) => expression(inner),
            other => {
                let text = expression(other);
                if brings_parentheses(other) { text } else { format!("({text})") }
            }
        },
        Expr::BinaryOp { left, op: op @ (BinaryOperator::And | BinaryOperator::Or), right } => {
            let mut operands = Vec::new();
            chain(left, op, &mut operands);
            chain(right, op, &mut operands);
            format!("({})", operands.join(&format!(" {op} ")))
        }
        Expr::BinaryOp { left, op, right } => format!("({} {op} {})", expression(left), expression(right)),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => format!("(NOT {})", expression(expr)),
        Expr::UnaryOp { op, expr } => format!("{op}{}", expression(expr)),
        Expr::IsNull(inner) => format!("({} IS NULL)", expression(inner)),
        Expr::IsNotNull(inner) => format!("({} IS NOT NULL)", expression(inner)),
        Expr::IsDistinctFrom(left, right) => format!("({} IS DISTINCT FROM {})", expression(left), expression(right)),
        Expr::IsNotDistinctFrom(left, right) => format!("({} IS NOT DISTINCT FROM {})", expression(left), expression(right)),
        Expr::InList { expr, list, negated } => {
            format!("({} {}IN ({}))", expression(expr), not(*negated), joined(list.iter().map(expression)))
        }
        Expr::InSubquery { expr, subquery, negated } => {
            format!("({} {}IN {})", expression(expr), not(*negated), nested(subquery))
        }
        Expr::Between { expr, negated, low, high } => {
            format!("({} {}BETWEEN {} AND {})", expression(expr), not(*negated), expression(low), expression(high))
        }
        Expr::Like { negated, any: false, expr, pattern, escape_char } => {
            let escape = escape_char.as_ref().map(|escape| format!(" ESCAPE {escape}")).unwrap_or_default();
            format!("({} {}LIKE {}{escape})", expression(expr), not(*negated), expression(pattern))
        }
        Expr::Exists { subquery, negated } => format!("({}EXISTS {})", not(*negated), nested(subquery)),
        Expr::Subquery(subquery) => nested(subquery),
        Expr::Cast { kind, expr, data_type, array: false, format: None } => {
            let name = if *kind == CastKind::TryCast { "TRY_CAST" } else { "CAST" };
            format!("{name}({} AS {})", expression(expr), data_type.to_string().to_lowercase())
        }
        Expr::Case { operand, conditions, else_result, .. } => {
            let mut out = String::from("(CASE");
            if let Some(operand) = operand {
                out.push_str(&format!(" {}", expression(operand)));
            }
            for CaseWhen { condition, result } in conditions {
                out.push_str(&format!(" WHEN {} THEN {}", expression(condition), expression(result)));
            }
            if let Some(other) = else_result {
                out.push_str(&format!(" ELSE {}", expression(other)));
            }
            out.push_str(" END)");
            out
        }
        other => other.to_string(),
    }
}

fn brings_parentheses(expr: &Expr) -> bool {
    match expr {
        Expr::UnaryOp { op, .. } => *op == UnaryOperator::Not,
        Expr::Like { any, .. } => !any,
        Expr::BinaryOp { .. }
        | Expr::InList { .. }
        | Expr::InSubquery { .. }
        | Expr::Between { .. }
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsDistinctFrom(..)
        | Expr::IsNotDistinctFrom(..)
        | Expr::Exists { .. }
        | Expr::Subquery(_)
        | Expr::Case { .. } => true,
        _ => false,
    }
}

/// The operands of one operator that stand side by side.
fn chain(expr: &Expr, op: &BinaryOperator, operands: &mut Vec<String>) {
    match expr {
        Expr::BinaryOp { left, op: found, right } if found == op => {
            chain(left, op, operands);
            chain(right, op, operands);
        }
        other => operands.push(expression(other)),
    }
}

fn nested(query: &Query) -> String {
    let mut printer = Printer { out: String::new() };
    printer.query(query, 0);
    format!("({})", printer.out)
}

#[cfg(test)]
mod tests {
    use super::query_text;

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        assert_eq!(query_text(sql), expected);
        assert_eq!(query_text(expected), expected, "the layout is its own layout");
    }

    #[test]
    fn queries_are_laid_out_as_trino_does() {
        check("select number_of_rows from db.t", "SELECT number_of_rows\nFROM\n  db.t");
        check("SELECT 1 AS a, 'x' b;", "SELECT\n  1 a\n, 'x' b");
        check(
            "SELECT a, count(*) AS n FROM t WHERE a > 1 AND b = 'x' AND NOT c GROUP BY a HAVING count(*) > 2 ORDER BY n DESC, a LIMIT 5",
            "SELECT\n  a\n, count(*) n\nFROM\n  t\nWHERE ((a > 1) AND (b = 'x') AND (NOT c))\nGROUP BY a\nHAVING (count(*) > 2)\n\
             ORDER BY n DESC, a ASC\nLIMIT 5",
        );
        check(
            "SELECT t.a FROM t JOIN u ON t.a = u.a LEFT JOIN w USING (a)",
            "SELECT t.a\nFROM\n  ((t\nINNER JOIN u ON (t.a = u.a))\nLEFT JOIN w USING (a))",
        );
        check(
            "WITH x AS (SELECT 1 AS a) SELECT a FROM (SELECT a FROM x) y",
            "WITH\n  x AS (\n   SELECT 1 a\n) \nSELECT a\nFROM\n  (\n   SELECT a\n   FROM\n     x\n)  y",
        );
        check("SELECT 1 UNION ALL SELECT 2", "SELECT 1\nUNION ALL SELECT 2");
        check(
            "SELECT CASE WHEN a IS NULL THEN 0 ELSE a END FROM t",
            "SELECT (CASE WHEN (a IS NULL) THEN 0 ELSE a END)\nFROM\n  t",
        );
        check("VALUES (1, 'a'), (2, 'b')", "VALUES \n  (1, 'a')\n, (2, 'b')");
    }

    #[test]
    fn what_is_not_a_query_stays_as_it_is() {
        assert_eq!(query_text(" SELECT FROM WHERE ;"), "SELECT FROM WHERE");
    }

    #[test]
    fn meaning_is_kept() {
        for sql in [
            "SELECT (a + b) * c, a - (b - c) FROM t",
            "SELECT a FROM t EXCEPT (SELECT a FROM u UNION SELECT a FROM w)",
            "SELECT sum(a) FILTER (WHERE b) OVER (PARTITION BY c ORDER BY d) FROM t",
            "SELECT transform(a, x -> x + 1), b[1], ARRAY[1, 2] FROM t CROSS JOIN UNNEST(a) AS u (v)",
            "SELECT * FROM t WHERE (a, b) IN (SELECT c, d FROM u) AND EXISTS (SELECT 1 FROM w)",
            "SELECT date_trunc('day', ts) FROM t WHERE ts BETWEEN DATE '2024-01-01' AND current_date - INTERVAL '1' DAY",
        ] {
            let text = query_text(sql);
            assert_eq!(query_text(&text), text, "{sql}");
        }
    }
}
