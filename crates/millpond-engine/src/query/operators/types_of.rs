//! The Trino type of an expression: what its field is marked with, and what literals are.

use super::chain;
use crate::types::TrinoType;
use arrow::datatypes::DataType;
use datafusion::common::{ExprSchema, Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};

/// The type of an expression over a schema.
///
/// # Errors
/// The expression has none: a column is missing, a function does not take its arguments.
pub(in crate::query) fn type_of(expr: &Expr, schema: &dyn ExprSchema) -> Result<TrinoType> {
    if let Some(chain) = chain::type_of(expr, |expr| Ok(type_of(expr, schema)?.to_arrow())) {
        return Ok(TrinoType::of_arrow(&chain?));
    }
    Ok(match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), metadata) if metadata.is_none() => {
            TrinoType::Varchar(Some(u32::try_from(text.chars().count()).unwrap_or(u32::MAX)))
        }
        Expr::Alias(alias) => type_of(&alias.expr, schema)?,
        Expr::Cast(cast) => TrinoType::of_field(&cast.field),
        Expr::TryCast(cast) => TrinoType::of_field(&cast.field),
        Expr::Negative(inner) => type_of(inner, schema)?,
        Expr::Case(case) => {
            let branches = case.when_then_expr.iter().map(|(_, then)| then.as_ref()).chain(case.else_expr.as_deref());
            common_of(branches, schema)?.unwrap_or(TrinoType::of_arrow(&expr.get_type(schema)?))
        }
        Expr::ScalarFunction(call) if call.func.name() == "coalesce" => match common_of(call.args.iter(), schema)? {
            Some(common) => common,
            None => TrinoType::of_arrow(&expr.get_type(schema)?),
        },
        Expr::ScalarFunction(call) if call.func.name() == "nullif" && !call.args.is_empty() => type_of(&call.args[0], schema)?,
        // A long chain of signs is not walked through again for each of them.
        Expr::BinaryExpr(BinaryExpr { op, right, .. }) if is_floating_sum(*op) => match type_of(right, schema)? {
            found @ (TrinoType::Double | TrinoType::Real) => found,
            _ => TrinoType::of_arrow(&expr.get_type(schema)?),
        },
        Expr::BinaryExpr(BinaryExpr { op: Operator::StringConcat, .. }) => TrinoType::Varchar(None),
        Expr::BinaryExpr(BinaryExpr { op, .. }) if op.supports_propagation() || op.is_logic_operator() => TrinoType::Boolean,
        Expr::BinaryExpr(_) | Expr::Lambda(_) => TrinoType::of_arrow(&expr.get_type(schema)?),
        other => {
            let (_, field) = other.to_field(schema)?;
            TrinoType::of_field(&field)
        }
    })
}

fn common_of<'a>(mut expressions: impl Iterator<Item = &'a Expr>, schema: &dyn ExprSchema) -> Result<Option<TrinoType>> {
    expressions.try_fold(Some(TrinoType::Unknown), |common, expr| {
        let next = type_of(expr, schema)?;
        Ok(common.and_then(|common| TrinoType::common(&common, &next)))
    })
}

/// Signs between numbers: where one is a floating one, so are the other and the result (see `planner`).
fn is_floating_sum(op: Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo)
}

/// The types of a plan's columns: those that its outermost list of expressions says.
pub(in crate::query) fn result_types(plan: &LogicalPlan) -> Vec<TrinoType> {
    let of_schema = || plan.schema().fields().iter().map(|field| TrinoType::of_field(field)).collect::<Vec<_>>();
    let found = match plan {
        LogicalPlan::Projection(projection) => {
            let inner = result_types(&projection.input);
            let schema = projection.input.schema();
            projection
                .expr
                .iter()
                .map(|expr| {
                    if let Expr::Column(column) = expr.clone().unalias()
                        && let Some(index) = schema.maybe_index_of_column(&column)
                    {
                        return inner.get(index).cloned();
                    }
                    type_of(expr, schema.as_ref()).ok()
                })
                .collect::<Option<Vec<_>>>()
        }
        LogicalPlan::Sort(sort) => Some(result_types(&sort.input)),
        LogicalPlan::Limit(limit) => Some(result_types(&limit.input)),
        LogicalPlan::Filter(filter) => Some(result_types(&filter.input)),
        LogicalPlan::SubqueryAlias(alias) => Some(result_types(&alias.input)),
        LogicalPlan::Union(union) => union
            .inputs
            .iter()
            .map(|input| result_types(input))
            .reduce(|a, b| a.iter().zip(&b).map(|(a, b)| TrinoType::common(a, b).unwrap_or(TrinoType::Unknown)).collect()),
        LogicalPlan::Values(values) => {
            let schema = values.schema.as_ref();
            values
                .values
                .iter()
                .map(|row| row.iter().map(|expr| type_of(expr, schema).ok()).collect::<Option<Vec<_>>>())
                .collect::<Option<Vec<_>>>()
                .and_then(|rows| {
                    rows.into_iter().reduce(|a, b| {
                        a.iter().zip(&b).map(|(a, b)| TrinoType::common(a, b).unwrap_or(TrinoType::Unknown)).collect()
                    })
                })
        }
        _ => None,
    };
    let schema = of_schema();
    match found {
        // What does not fit the column's values is not believed.
        Some(found) if found.len() == schema.len() => {
            let fits = |(found, field): (TrinoType, &arrow::datatypes::FieldRef)| {
                let arrow = field.data_type();
                let same = TrinoType::of_arrow(&found.to_arrow()) == TrinoType::of_arrow(arrow);
                if same || zoned(&found, arrow) { found } else { TrinoType::of_field(field) }
            };
            found.into_iter().zip(plan.schema().fields()).map(fits).collect()
        }
        _ => schema,
    }
}

fn zoned(found: &TrinoType, arrow: &DataType) -> bool {
    matches!((found, arrow), (TrinoType::TimestampWithZone(_), DataType::Timestamp(_, Some(_))))
}
