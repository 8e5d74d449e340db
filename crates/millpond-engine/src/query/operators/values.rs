//! `VALUES` whose columns have types that fields are marked with: the marks of all rows' cells have to be the same.

use super::cast::converted;
use super::{mismatch, type_of};
use crate::query::parse::{first_span, position};
use crate::types::TrinoType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{Query, SetExpr, Values};

/// The rows of a query that is nothing but `VALUES`.
pub(super) fn of(query: &Query) -> Option<&Values> {
    let Query { with: None, body, order_by: None, limit_clause: None, fetch: None, .. } = query else { return None };
    match body.as_ref() {
        SetExpr::Values(values) => Some(values),
        _ => None,
    }
}

/// The rows, each column's cells in the type that they have in common.
pub(super) fn plan(values: &Values, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let nothing = DFSchema::empty();
    let mut rows = Vec::with_capacity(values.rows.len());
    for row in &values.rows {
        let cells = row.content.iter().map(|cell| context.sql_to_expr(cell.clone(), &nothing));
        rows.push(cells.collect::<Result<Vec<Expr>>>()?);
    }
    let columns = rows.iter().map(Vec::len).min().unwrap_or(0);
    for column in 0..columns {
        let mut common = TrinoType::Unknown;
        let mut marked = false;
        for (row, written) in rows.iter().zip(&values.rows) {
            let found = type_of(&row[column], &nothing)?;
            marked |= !row[column].metadata(&nothing)?.is_empty();
            common = TrinoType::common(&common, &found).ok_or_else(|| {
                let message = format!("Values rows have mismatched types: {common} vs {found}");
                mismatch(position(first_span(&written.content[column])), message)
            })?;
        }
        if marked {
            let mark = common.field("", true);
            for row in &mut rows {
                let (_, field) = row[column].to_field(&nothing)?;
                if field.metadata() != mark.metadata() || field.data_type() != mark.data_type() {
                    row[column] = converted(std::mem::take(&mut row[column]), &common);
                }
            }
        }
    }
    LogicalPlanBuilder::values(rows)?.build()
}
