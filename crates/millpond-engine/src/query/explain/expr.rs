//! Expressions of plans in SQL.

use crate::query::rewrite::MARK;
use crate::query::words::{speaks_of_the_inside, trino_words};
use crate::result::columns::trino_type;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::physical_expr_common::physical_expr::{PhysicalExpr, fmt_sql};

/// A column's name without what the planner needed to tell it from others.
pub(super) fn name(name: &str) -> String {
    match name.split_once(MARK) {
        Some(("", number)) => format!("_col{number}"),
        Some((shown, _)) => shown.to_owned(),
        None => trino_words(name),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", name(text).replace('"', "\"\""))
}

/// A logical expression.
pub(super) fn logical(expr: &Expr) -> String {
    let list = |items: &[Expr]| items.iter().map(logical).collect::<Vec<_>>().join(", ");
    let not = |negated: bool| if negated { "NOT " } else { "" };
    match expr {
        Expr::Alias(alias) => logical(&alias.expr),
        Expr::Column(column) => quoted(&column.name),
        Expr::OuterReferenceColumn(_, column) => quoted(&column.name),
        Expr::Literal(value, _) => literal(value),
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let mut operands = Vec::new();
            chain(left, *op, &mut operands);
            chain(right, *op, &mut operands);
            format!("({})", operands.join(&format!(" {op} ")))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let op = if *op == Operator::NotEq { "<>".to_owned() } else { op.to_string() };
            format!("({} {op} {})", logical(left), logical(right))
        }
        Expr::Not(inner) => format!("(NOT {})", logical(inner)),
        Expr::IsNull(inner) => format!("({} IS NULL)", logical(inner)),
        Expr::IsNotNull(inner) => format!("({} IS NOT NULL)", logical(inner)),
        Expr::Negative(inner) => format!("-{}", logical(inner)),
        Expr::Between(between) => {
            let (low, high) = (logical(&between.low), logical(&between.high));
            format!("({} {}BETWEEN {low} AND {high})", logical(&between.expr), not(between.negated))
        }
        Expr::Like(like) => format!("({} {}LIKE {})", logical(&like.expr), not(like.negated), logical(&like.pattern)),
        Expr::InList(list_expr) => {
            format!("({} {}IN ({}))", logical(&list_expr.expr), not(list_expr.negated), list(&list_expr.list))
        }
        Expr::Cast(cast) => format!("CAST({} AS {})", logical(&cast.expr), trino_type(cast.field.data_type())),
        Expr::TryCast(cast) => format!("TRY_CAST({} AS {})", logical(&cast.expr), trino_type(cast.field.data_type())),
        Expr::Case(case) => {
            let mut out = String::from("(CASE");
            if let Some(operand) = &case.expr {
                out.push_str(&format!(" {}", logical(operand)));
            }
            for (when, then) in &case.when_then_expr {
                out.push_str(&format!(" WHEN {} THEN {}", logical(when), logical(then)));
            }
            if let Some(other) = &case.else_expr {
                out.push_str(&format!(" ELSE {}", logical(other)));
            }
            out.push_str(" END)");
            out
        }
        Expr::ScalarFunction(call) => format!("{}({})", call.func.name(), list(&call.args)),
        Expr::HigherOrderFunction(call) => format!("{}({})", call.func.name(), list(&call.args)),
        Expr::Lambda(lambda) => format!("({}) -> {}", lambda.params.join(", "), logical(&lambda.body)),
        Expr::AggregateFunction(call) => {
            let distinct = if call.params.distinct { "DISTINCT " } else { "" };
            let filter = call.params.filter.as_ref().map(|filter| format!(" FILTER (WHERE {})", logical(filter)));
            let args = list(&call.params.args);
            let args = if call.func.name() == "count" && args == "1" { "*".to_owned() } else { args };
            format!("{}({distinct}{args}){}", call.func.name(), filter.unwrap_or_default())
        }
        Expr::WindowFunction(call) => {
            let params = &call.params;
            let mut over = Vec::new();
            if !params.partition_by.is_empty() {
                over.push(format!("PARTITION BY {}", list(&params.partition_by)));
            }
            if !params.order_by.is_empty() {
                over.push(format!("ORDER BY {}", params.order_by.iter().map(sort).collect::<Vec<_>>().join(", ")));
            }
            format!("{}({}) OVER ({})", call.fun.name(), list(&params.args), over.join(" "))
        }
        Expr::Exists(exists) => format!("{}EXISTS (subquery)", not(exists.negated)),
        Expr::InSubquery(inside) => format!("({} {}IN (subquery))", logical(&inside.expr), not(inside.negated)),
        Expr::ScalarSubquery(_) => "(subquery)".to_owned(),
        other => plain(&other.to_string()),
    }
}

fn chain(expr: &Expr, op: Operator, operands: &mut Vec<String>) {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: found, right }) if *found == op => {
            chain(left, op, operands);
            chain(right, op, operands);
        }
        other => operands.push(logical(other)),
    }
}

/// A sort key.
pub(super) fn sort(key: &Sort) -> String {
    let nulls = if key.nulls_first { "NULLS FIRST" } else { "NULLS LAST" };
    format!("{} {} {nulls}", logical(&key.expr), if key.asc { "ASC" } else { "DESC" })
}

/// A value as Trino writes it.
pub(super) fn literal(value: &ScalarValue) -> String {
    if value.is_null() {
        return "null".to_owned();
    }
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            format!("'{}'", text.replace('\'', "''"))
        }
        ScalarValue::Date32(_) => format!("DATE '{value}'"),
        ScalarValue::TimestampMicrosecond(..) | ScalarValue::TimestampMillisecond(..) | ScalarValue::TimestampNanosecond(..) => {
            format!("TIMESTAMP '{}'", value.to_string().replace('T', " "))
        }
        other => plain(&other.to_string()),
    }
}

/// A physical expression.
pub(super) fn physical(expr: &dyn PhysicalExpr) -> String {
    plain(&fmt_sql(expr).to_string())
}

/// A text of the engine's that is shown only when it says nothing of its inside.
pub(super) fn plain(text: &str) -> String {
    let mut out = trino_words(text);
    while let Some(at) = out.find(MARK) {
        let digits = out[at + 1..].find(|c: char| !c.is_ascii_digit()).map_or(out.len(), |end| at + 1 + end);
        let bare = out[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let shown = if bare { String::new() } else { format!("_col{}", &out[at + 1..digits]) };
        out.replace_range(at..digits, &shown);
    }
    if speaks_of_the_inside(&out) { "expression".to_owned() } else { out }
}
