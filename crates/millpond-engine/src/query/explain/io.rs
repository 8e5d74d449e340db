//! `EXPLAIN (TYPE IO)`: which tables a query reads, and under which conditions on their columns.

use super::logical::scans;
use super::render::pretty;
use crate::query::catalog::CATALOG;
use crate::result::columns::trino_type;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, TableScan};
use serde_json::{Value, json};

/// Trino's JSON of the tables that are read.
pub(super) fn tables(plan: &LogicalPlan) -> String {
    let infos: Vec<Value> = scans(plan)
        .iter()
        .map(|scanned| {
            json!({
                "table": {"catalog": CATALOG, "schemaTable": {"schema": scanned.database, "table": scanned.table}},
                "columnConstraints": constraints(scanned.scan),
                "estimate": estimate(),
            })
        })
        .collect();
    pretty(&json!({"inputTableColumnInfos": infos, "estimate": estimate()}))
}

/// Nothing is estimated before a query runs.
fn estimate() -> Value {
    json!({"outputRowCount": "NaN", "outputSizeInBytes": "NaN", "cpuCost": "NaN", "maxMemory": "NaN", "networkCost": "NaN"})
}

fn constraints(scan: &TableScan) -> Vec<Value> {
    let mut constraints: Vec<Value> = Vec::new();
    for condition in scan.filters.iter().flat_map(split_conjunction) {
        let Some((column, ranges)) = ranges(condition) else { continue };
        let field = scan.projected_schema.field_with_unqualified_name(&column).ok().map(|field| field.data_type().clone());
        let data_type =
            field.or_else(|| scan.source.schema().field_with_name(&column).ok().map(|field| field.data_type().clone()));
        constraints.push(json!({
            "columnName": column,
            "type": data_type.map(|data_type| trino_type(&data_type)),
            "domain": {"nullsAllowed": false, "ranges": ranges},
        }));
    }
    constraints
}

fn ranges(condition: &Expr) -> Option<(String, Vec<Value>)> {
    let bound = |value: &ScalarValue, kind: &str| json!({"value": value.to_string(), "bound": kind});
    let exactly = |value: &ScalarValue| json!({"low": bound(value, "EXACTLY"), "high": bound(value, "EXACTLY")});
    let value = |expr: &Expr| match expr {
        Expr::Literal(value, _) if !value.is_null() => Some(value.clone()),
        _ => None,
    };
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (column, value) = (left.try_as_col()?, value(right)?);
            let range = match op {
                Operator::Eq => exactly(&value),
                Operator::Lt => json!({"low": {"bound": "ABOVE"}, "high": bound(&value, "BELOW")}),
                Operator::LtEq => json!({"low": {"bound": "ABOVE"}, "high": bound(&value, "EXACTLY")}),
                Operator::Gt => json!({"low": bound(&value, "ABOVE"), "high": {"bound": "BELOW"}}),
                Operator::GtEq => json!({"low": bound(&value, "EXACTLY"), "high": {"bound": "BELOW"}}),
                _ => return None,
            };
            Some((column.name.clone(), vec![range]))
        }
        Expr::InList(list) if !list.negated => {
            let values: Option<Vec<ScalarValue>> = list.list.iter().map(value).collect();
            Some((list.expr.try_as_col()?.name.clone(), values?.iter().map(exactly).collect()))
        }
        _ => None,
    }
}
