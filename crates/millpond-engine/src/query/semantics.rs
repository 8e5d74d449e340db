//! Corrections of meaning, on the logical plan before it is optimized: casts as Trino makes them.
//!
//! - A text is not compared with a number.
//! - The average of decimals keeps their scale.
//! - A quotient of decimals has the scale of its operands, where DataFusion adds four digits.
//! - The month of a `date` is a `date`, where DataFusion's `date_trunc` gives a time.
//! - A `double` becomes an integer by rounding, where Arrow cuts.
//! - Numbers and times become text as Trino prints them (`1.0E10`, `2024-05-01 10:00:00.000`).

use super::error::{Position, QueryError};
use super::functions::to_varchar;
use super::lateral;
use crate::result::columns::trino_type;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator};

/// Where a name stands in the statement.
pub(crate) type Locate<'a> = &'a dyn Fn(&str) -> Option<Position>;

/// Applies the corrections to a whole plan.
///
/// # Errors
/// A text is compared with a number.
pub(crate) fn apply(plan: LogicalPlan, locate: Locate<'_>) -> Result<LogicalPlan> {
    let plan = lateral::rewrite(plan)?;
    let corrected = plan.transform_up_with_subqueries(|node| {
        let mut schema = merge_schema(&node.inputs());
        if node.inputs().is_empty() {
            schema = node.schema().as_ref().clone();
        }
        let preserver = NamePreserver::new(&node);
        let rewritten = node.map_expressions(|expr| {
            let name = preserver.save(&expr);
            let rewritten = expr.transform_up(|expr| correct(expr, &schema, locate))?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })?;
        rewritten.map_data(|node| averages(node.recompute_schema()?))
    })?;
    plain_types(corrected.data)
}

/// The average of decimals is a decimal of the same scale, where DataFusion adds four digits.
fn averages(node: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(node) };
    let input = aggregate.input.schema();
    let groups = node.schema().fields().len() - aggregate.aggr_expr.len();
    let target = |index: usize| {
        let Expr::AggregateFunction(call) = aggregate.aggr_expr.get(index.checked_sub(groups)?)? else { return None };
        let average = call.func.name() == "avg";
        let data_type = call.params.args.first().filter(|_| average)?.get_type(input).ok()?;
        matches!(data_type, DataType::Decimal128(_, _)).then_some(data_type)
    };
    let targets: Vec<Option<DataType>> = (0..node.schema().fields().len()).map(target).collect();
    retyped(node, &targets)
}

/// The result's columns in the types that the catalog has: signed integers, microseconds, plain texts.
fn plain_types(plan: LogicalPlan) -> Result<LogicalPlan> {
    let target = |data_type: &DataType| match data_type {
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => Some(DataType::Int64),
        DataType::Timestamp(unit, zone) if *unit != TimeUnit::Microsecond => {
            Some(DataType::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| "UTC".into())))
        }
        DataType::Utf8View | DataType::LargeUtf8 => Some(DataType::Utf8),
        DataType::BinaryView | DataType::LargeBinary => Some(DataType::Binary),
        _ => None,
    };
    let targets: Vec<Option<DataType>> = plan.schema().fields().iter().map(|field| target(field.data_type())).collect();
    retyped(plan, &targets)
}

/// The plan with those columns cast, under their names.
fn retyped(plan: LogicalPlan, targets: &[Option<DataType>]) -> Result<LogicalPlan> {
    if targets.iter().all(Option::is_none) {
        return Ok(plan);
    }
    let columns = plan.schema().iter().map(Column::from).zip(targets);
    let columns: Vec<Expr> = columns
        .map(|(column, target)| match target {
            Some(target) => {
                let (relation, name) = (column.relation.clone(), column.name.clone());
                datafusion::logical_expr::cast(Expr::Column(column), target.clone()).alias_qualified(relation, name)
            }
            None => Expr::Column(column),
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// Functions that count in DataFusion's 32 bits, or without sign, and in Trino's `bigint`.
const COUNTING: &[&str] =
    &["character_length", "strpos", "octet_length", "bit_length", "ascii", "levenshtein", "cardinality", "array_length"];

fn correct(expr: Expr, schema: &DFSchema, locate: Locate<'_>) -> Result<Transformed<Expr>> {
    match &expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            comparable(left, &op.to_string(), right, schema, locate)?;
            Ok(Transformed::no(expr))
        }
        Expr::InList(list) => {
            for item in &list.list {
                comparable(&list.expr, "IN", item, schema, locate)?;
            }
            Ok(Transformed::no(expr))
        }
        Expr::Between(between) => {
            comparable(&between.expr, "BETWEEN", &between.low, schema, locate)?;
            comparable(&between.expr, "BETWEEN", &between.high, schema, locate)?;
            Ok(Transformed::no(expr))
        }
        // A whole number that is rounded to its fraction's digits stays what it is.
        Expr::ScalarFunction(call) if call.func.name() == "round" && is_whole(&call.args, schema) => {
            Ok(Transformed::yes(call.args[0].clone()))
        }
        Expr::Cast(_) | Expr::TryCast(_) => cast(expr, schema),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide, right }) => {
            let decimal = |expr: &Expr| expr.get_type(schema).ok().and_then(|data_type| as_decimal(&data_type));
            let both = decimal(left).zip(decimal(right)).filter(|(left, right)| left.2 || right.2);
            let Some(((p1, s1, _), (_, s2, _))) = both else { return Ok(Transformed::no(expr)) };
            let precision = (p1 + s2 + (s2 - s1).max(0)).clamp(1, 38);
            let scale = s1.max(s2).min(precision);
            let target = DataType::Decimal128(u8::try_from(precision).unwrap_or(38), i8::try_from(scale).unwrap_or(0));
            Ok(Transformed::yes(datafusion::logical_expr::cast(expr, target)))
        }
        Expr::ScalarFunction(call) if call.func.name() == "date_trunc" => {
            match call.args.get(1).map(|arg| arg.get_type(schema)) {
                Some(Ok(DataType::Date32)) => Ok(Transformed::yes(datafusion::logical_expr::cast(expr, DataType::Date32))),
                _ => Ok(Transformed::no(expr)),
            }
        }
        Expr::ScalarFunction(call) if COUNTING.contains(&call.func.name()) => {
            Ok(Transformed::yes(datafusion::logical_expr::cast(expr, DataType::Int64)))
        }
        _ => Ok(Transformed::no(expr)),
    }
}

fn is_whole(arguments: &[Expr], schema: &DFSchema) -> bool {
    let whole = arguments.first().is_some_and(|value| value.get_type(schema).is_ok_and(|data_type| data_type.is_integer()));
    let digits = match arguments.get(1) {
        None => true,
        Some(Expr::Literal(ScalarValue::Int64(Some(digits)), _)) => *digits >= 0,
        Some(_) => false,
    };
    whole && digits
}

/// Trino does not compare texts with numbers: DataFusion would, by turning texts into numbers, and fail at the first that is none.
fn comparable(left: &Expr, op: &str, right: &Expr, schema: &DFSchema, locate: Locate<'_>) -> Result<()> {
    let (Ok(a), Ok(b)) = (left.get_type(schema), right.get_type(schema)) else { return Ok(()) };
    let text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let number = |data_type: &DataType| data_type.is_numeric() || *data_type == DataType::Boolean;
    if !(text(&a) && number(&b) || number(&a) && text(&b)) {
        return Ok(());
    }
    let column = |expr: &Expr| expr.column_refs().into_iter().next().and_then(|column| locate(&column.name));
    Err(QueryError::TypeMismatch {
        position: column(left).or_else(|| column(right)).unwrap_or(Position::START),
        message: format!("Cannot apply operator: {} {op} {}", trino_type(&a), trino_type(&b)),
    }
    .into())
}

/// Precision and scale of an exact number in Trino, and whether it is a decimal.
fn as_decimal(data_type: &DataType) -> Option<(i32, i32, bool)> {
    Some(match data_type {
        DataType::Decimal128(p, s) => (i32::from(*p), i32::from(*s), true),
        DataType::Int8 => (3, 0, false),
        DataType::Int16 => (5, 0, false),
        DataType::Int32 => (10, 0, false),
        DataType::Int64 => (19, 0, false),
        _ => return None,
    })
}

fn cast(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (input, target) = match &expr {
        Expr::Cast(cast) => (cast.expr.as_ref(), cast.field.data_type()),
        Expr::TryCast(cast) => (cast.expr.as_ref(), cast.field.data_type()),
        _ => return Ok(Transformed::no(expr)),
    };
    // An operand whose type is not known yet (a lambda's argument) is left to the planner.
    let Ok(source) = input.get_type(schema) else { return Ok(Transformed::no(expr)) };
    if target.is_integer() && matches!(source, DataType::Float32 | DataType::Float64) {
        let rounded = datafusion::functions::math::round().call(vec![input.clone()]);
        let rewritten = match expr {
            Expr::Cast(mut cast) => {
                *cast.expr = rounded;
                Expr::Cast(cast)
            }
            Expr::TryCast(mut cast) => {
                *cast.expr = rounded;
                Expr::TryCast(cast)
            }
            other => other,
        };
        return Ok(Transformed::yes(rewritten));
    }
    let printed = matches!(source, DataType::Float32 | DataType::Float64 | DataType::Timestamp(_, _));
    if printed && *target == DataType::Utf8 {
        return Ok(Transformed::yes(to_varchar().call(vec![input.clone()])));
    }
    Ok(Transformed::no(expr))
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}
