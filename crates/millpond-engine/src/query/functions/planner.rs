//! Trino's syntax for calls: `a[i]`, `m[k]`, `r[1]`, `substring(x FROM 2)`, `position(a IN b)`, `overlay(…)`.

use super::scalar;
use crate::query::QueryError;
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions::core::get_field;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, lit};

/// Asked before DataFusion's own planners.
#[derive(Debug)]
pub(crate) struct Calls;

fn call(name: &str, arguments: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
    Ok(match scalar(name) {
        Some(function) => PlannerResult::Planned(function.call(arguments)),
        None => PlannerResult::Original(arguments),
    })
}

impl ExprPlanner for Calls {
    fn plan_substring(&self, arguments: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        call("substr", arguments)
    }

    fn plan_position(&self, arguments: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        call("strpos", arguments)
    }

    fn plan_overlay(&self, arguments: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        call("overlay", arguments)
    }

    fn plan_field_access(&self, access: RawFieldAccessExpr, schema: &DFSchema) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let key = match &access.field_access {
            GetFieldAccess::ListIndex { key } => key.clone(),
            // A text in brackets.
            GetFieldAccess::NamedStructField { name } if matches!(access.expr.get_type(schema)?, DataType::Map(_, _)) => {
                Box::new(Expr::Literal(name.clone(), None))
            }
            _ => return Ok(PlannerResult::Original(access)),
        };
        match access.expr.get_type(schema)? {
            DataType::Struct(fields) => {
                let place = match key.as_ref() {
                    Expr::Literal(value, _) => value.cast_to(&DataType::Int64).ok(),
                    _ => None,
                };
                let place = match place {
                    Some(ScalarValue::Int64(Some(place))) => place,
                    _ => {
                        return Err(
                            QueryError::InvalidArgument("Subscript expression on ROW requires a constant index".into()).into()
                        );
                    }
                };
                let field = usize::try_from(place).ok().and_then(|place| fields.get(place.checked_sub(1)?));
                let Some(field) = field else {
                    let message = format!("Invalid subscript index: {place}. ROW indices are from 1 to {}", fields.len());
                    return Err(QueryError::InvalidArgument(message).into());
                };
                Ok(PlannerResult::Planned(get_field().call(vec![access.expr, lit(field.name().clone())])))
            }
            _ => Ok(match scalar("subscript") {
                Some(function) => PlannerResult::Planned(function.call(vec![access.expr, key.as_ref().clone()])),
                None => PlannerResult::Original(access),
            }),
        }
    }
}
