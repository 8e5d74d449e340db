//! A partition filter as SQL over the typed columns of `catalog_partition`.

use millpond_core::partition_expr::{BoundExpr, CompareOp, KeyValue};
use rusqlite::types::Value;

/// Typed columns: `k0` to `k7`.
pub(super) const TYPED_KEYS: usize = 8;

/// More values than this in one filter are compared here, and not in SQL: SQLite takes a limited number of parameters.
const VALUES_MAX: usize = 8_000;

/// SQLite's matcher takes exponential time on patterns with many wildcards; those are matched here.
const WILDCARDS_MAX: usize = 2;

/// A value as the typed columns hold it.
pub(super) fn sql_value(value: Option<KeyValue>) -> Value {
    match value {
        None => Value::Null,
        Some(KeyValue::Text(text)) => Value::Text(text),
        Some(KeyValue::Integer(number)) => Value::Integer(number),
        Some(KeyValue::Float(number)) => Value::Real(number),
        Some(KeyValue::Decimal(bytes)) => Value::Blob(bytes),
    }
}

/// The filter as a condition, its parameters numbered from `first` on; `None` where SQL cannot say it (or not well).
pub(super) fn condition(expr: &BoundExpr, first: usize) -> Option<(String, Vec<Value>)> {
    if expr.last_key().is_some_and(|key| key >= TYPED_KEYS) {
        return None;
    }
    let mut writer = Writer { sql: String::new(), values: Vec::new(), first };
    writer.write(expr).then_some((writer.sql, writer.values))
}

struct Writer {
    sql: String,
    values: Vec<Value>,
    first: usize,
}

impl Writer {
    fn value(&mut self, value: Value) {
        self.sql.push_str(&format!("?{}", self.first + self.values.len()));
        self.values.push(value);
    }

    /// Answers `false` where the filter cannot be said.
    fn write(&mut self, expr: &BoundExpr) -> bool {
        match expr {
            BoundExpr::And(exprs) => self.join(exprs, " AND ", "1"),
            BoundExpr::Or(exprs) => self.join(exprs, " OR ", "0"),
            BoundExpr::Not(expr) => {
                self.sql.push_str("NOT (");
                let said = self.write(expr);
                self.sql.push(')');
                said
            }
            BoundExpr::Compare { key, op, value } => {
                self.sql.push_str(&format!("k{key} {} ", operator(*op)));
                self.value(sql_value(Some(value.clone())));
                true
            }
            BoundExpr::In { key, values, negated } => {
                if self.values.len() + values.len() > VALUES_MAX {
                    return false;
                }
                self.sql.push_str(&format!("k{key} {}IN (", if *negated { "NOT " } else { "" }));
                for (i, value) in values.iter().enumerate() {
                    if i > 0 {
                        self.sql.push(',');
                    }
                    self.value(sql_value(Some(value.clone())));
                }
                self.sql.push(')');
                true
            }
            BoundExpr::Like { key, pattern, is_text, negated } => self.like(*key, pattern, *is_text, *negated),
            BoundExpr::IsNull { key, negated } => {
                self.sql.push_str(&format!("k{key} IS {}NULL", if *negated { "NOT " } else { "" }));
                true
            }
        }
    }

    fn join(&mut self, exprs: &[BoundExpr], by: &str, neutral: &str) -> bool {
        self.sql.push('(');
        let mut said = true;
        for (i, expr) in exprs.iter().enumerate() {
            if i > 0 {
                self.sql.push_str(by);
            }
            said = said && self.write(expr);
        }
        if exprs.is_empty() {
            self.sql.push_str(neutral);
        }
        self.sql.push(')');
        said
    }

    fn like(&mut self, key: usize, pattern: &str, is_text: bool, negated: bool) -> bool {
        if pattern.matches('%').count() > WILDCARDS_MAX || pattern.contains('\0') {
            return false;
        }
        let not = if negated { "NOT " } else { "" };
        if is_text {
            self.sql.push_str(&format!("k{key} {not}GLOB "));
            self.value(Value::Text(glob(pattern)));
        } else {
            self.sql.push_str(&format!("CASE WHEN k{key} IS NOT NULL THEN json_extract(vals, '$[{key}]') {not}GLOB "));
            self.value(Value::Text(glob(pattern)));
            self.sql.push_str(" END");
        }
        true
    }
}

fn operator(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Eq => "=",
        CompareOp::NotEq => "<>",
        CompareOp::Lt => "<",
        CompareOp::LtEq => "<=",
        CompareOp::Gt => ">",
        CompareOp::GtEq => ">=",
    }
}

/// SQLite's LIKE folds case, its GLOB does not.
fn glob(pattern: &str) -> String {
    let mut glob = String::with_capacity(pattern.len() + 8);
    for c in pattern.chars() {
        match c {
            '%' => glob.push('*'),
            '_' => glob.push('?'),
            '*' | '?' | '[' => glob.extend(['[', c, ']']),
            other => glob.push(other),
        }
    }
    glob
}
