//! Corrections of meaning, on the logical plan before it is optimized. Operators and casts are right by then (see [`operators`]).
//!
//! - A text is not compared with a number.
//! - The average of decimals keeps their scale.
//! - The month of a `date` is a `date`, where DataFusion's `date_trunc` gives a time.
//! - A sum of decimals has all digits that there are.
//! - `typeof` is known.
//! - NaN and -0.0 are compared, grouped and ordered as Trino does.

use super::error::{Position, QueryError};
use super::reword::FILTER_IS_NO_CONDITION;
use super::{correlated, lateral, operators};
use crate::types::TrinoType;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::WindowFunctionParams;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, lit};

/// Where a name stands in the statement.
pub(crate) type Locate<'a> = &'a dyn Fn(&str) -> Option<Position>;

/// Applies the corrections to a whole plan.
///
/// # Errors
/// A text is compared with a number.
pub(crate) fn apply(plan: LogicalPlan, locate: Locate<'_>) -> Result<LogicalPlan> {
    let plan = correlated::rewrite(operators::one_row_each(lateral::rewrite(plan)?)?)?;
    let corrected = plan.transform_up_with_subqueries(|node| {
        let mut schema = merge_schema(&node.inputs());
        if node.inputs().is_empty() {
            schema = node.schema().as_ref().clone();
        }
        let preserver = NamePreserver::new(&node);
        let rewritten = node.map_expressions(|expr| {
            let name = preserver.save(&expr);
            let rewritten = expr.transform_up(|expr| {
                correct(expr, &schema, locate)?.transform_data(|expr| operators::float_comparisons(expr, &schema))
            })?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })?;
        rewritten.map_data(|node| {
            columns_fit(&node)?;
            averages(node.recompute_schema()?).and_then(operators::float_keys)
        })
    })?;
    plain_types(corrected.data)
}

/// Columns of a set operation have a common type, what is ordered by has an order, and aggregates and windows are where they may be.
fn columns_fit(node: &LogicalPlan) -> Result<()> {
    let mismatch = |message: String| Err(QueryError::TypeMismatch { position: Position::START, message }.into());
    match node {
        LogicalPlan::Union(union) => {
            let mut inputs = union.inputs.iter().map(|input| operators::result_types(input));
            let Some(mut common) = inputs.next() else { return Ok(()) };
            for types in inputs {
                for (index, (known, found)) in common.iter_mut().zip(types).enumerate() {
                    match TrinoType::common(known, &found) {
                        Some(both) => *known = both,
                        None => {
                            let place = index + 1;
                            return mismatch(format!("column {place} in UNION query has incompatible types: {known}, {found}"));
                        }
                    }
                }
            }
            Ok(())
        }
        LogicalPlan::Filter(filter)
            if has(&filter.predicate, &|expr| matches!(expr, Expr::WindowFunction(_) | Expr::AggregateFunction(_))) =>
        {
            let message = "WHERE clause cannot contain aggregations, window functions or grouping operations".to_owned();
            analysis("EXPRESSION_NOT_SCALAR", message)
        }
        LogicalPlan::Aggregate(aggregate) => {
            let nested = |expr: &Expr| match expr {
                Expr::AggregateFunction(call) => {
                    call.params.args.iter().any(|arg| has(arg, &|expr| matches!(expr, Expr::AggregateFunction(_))))
                }
                _ => false,
            };
            if aggregate.aggr_expr.iter().any(|expr| has(expr, &nested)) {
                return analysis("NESTED_AGGREGATION", "Cannot nest aggregations inside aggregation".to_owned());
            }
            Ok(())
        }
        LogicalPlan::Window(window) => {
            for expr in &window.window_expr {
                let Expr::WindowFunction(call) = expr.clone().unalias() else { continue };
                ordered(call.fun.name(), &call.params)?;
            }
            Ok(())
        }
        LogicalPlan::Sort(sort) => {
            let schema = sort.input.schema();
            for key in &sort.expr {
                if let Ok(found @ (TrinoType::Map(..) | TrinoType::Json)) = operators::type_of(&key.expr, schema.as_ref()) {
                    return mismatch(format!("Type {found} is not orderable, and therefore cannot be used in ORDER BY"));
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn analysis(name: &'static str, message: String) -> Result<()> {
    Err(QueryError::Analysis { name, position: Position::START, message }.into())
}

fn has(expr: &Expr, wanted: &dyn Fn(&Expr) -> bool) -> bool {
    expr.exists(|expr| Ok(wanted(expr))).unwrap_or(false)
}

/// Functions that ask where a row stands need an order; `nth_value` counts from 1.
fn ordered(name: &str, params: &WindowFunctionParams) -> Result<()> {
    let of_order = ["rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead"];
    if of_order.contains(&name) && params.order_by.is_empty() {
        return analysis("MISSING_ORDER_BY", format!("{name} function requires an ORDER BY window clause"));
    }
    let offset = match params.args.get(1) {
        Some(Expr::Literal(value, _)) if name == "nth_value" => value.cast_to(&DataType::Int64).ok(),
        _ => None,
    };
    if let Some(ScalarValue::Int64(Some(offset))) = offset
        && offset < 1
    {
        return Err(QueryError::InvalidArgument("Offset must be at least 1".into()).into());
    }
    Ok(())
}

/// The average of decimals is a decimal of the same scale, where DataFusion adds four digits; their sum has 38 digits.
fn averages(node: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(node) };
    let input = aggregate.input.schema();
    let groups = node.schema().fields().len() - aggregate.aggr_expr.len();
    let target = |index: usize| {
        let Expr::AggregateFunction(call) = aggregate.aggr_expr.get(index.checked_sub(groups)?)? else { return None };
        let data_type = call.params.args.first()?.get_type(input).ok()?;
        match (call.func.name(), &data_type) {
            ("avg", DataType::Decimal128(_, _)) => Some(data_type),
            ("sum", DataType::Decimal128(_, scale)) => Some(DataType::Decimal128(38, *scale)),
            _ => None,
        }
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
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::IsDistinctFrom | Operator::IsNotDistinctFrom), right }) => {
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
        Expr::AggregateFunction(call) => {
            condition(call.params.filter.as_deref(), schema)?;
            Ok(Transformed::no(expr))
        }
        Expr::WindowFunction(call) => {
            condition(call.params.filter.as_deref(), schema)?;
            Ok(Transformed::no(expr))
        }
        // A whole number that is rounded to its fraction's digits stays what it is.
        Expr::ScalarFunction(call) if call.func.name() == "round" && is_whole(&call.args, schema) => {
            Ok(Transformed::yes(call.args[0].clone()))
        }
        Expr::ScalarFunction(call) if call.func.name() == operators::TRY => {
            Ok(Transformed::yes(operators::evaluated(call.args[0].clone(), schema)?))
        }
        Expr::ScalarFunction(call) if call.func.name() == "typeof" && call.args.len() == 1 => {
            let found = operators::type_of(&call.args[0], schema)?;
            Ok(Transformed::yes(lit(found.to_string())))
        }
        Expr::ScalarFunction(call) if call.func.name() == "date_trunc" => {
            match call.args.get(1).map(|arg| arg.get_type(schema)) {
                Some(Ok(DataType::Date32)) if is_less_than_a_day(&call.args[0]) => {
                    let Expr::Literal(unit, _) = &call.args[0] else { return Ok(Transformed::no(expr)) };
                    Err(QueryError::InvalidArgument(format!("'{unit}' is not a valid DATE field")).into())
                }
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

/// Whether it is the name of a unit that a date does not have.
fn is_less_than_a_day(unit: &Expr) -> bool {
    let Expr::Literal(ScalarValue::Utf8(Some(unit)), _) = unit else { return false };
    ["millisecond", "second", "minute", "hour"].iter().any(|less| unit.eq_ignore_ascii_case(less))
}

/// Refuses a `FILTER (WHERE …)` that gives no truth.
fn condition(filter: Option<&Expr>, schema: &DFSchema) -> Result<()> {
    let Some(Ok(found)) = filter.map(|filter| operators::type_of(filter, schema)) else { return Ok(()) };
    if matches!(found, TrinoType::Boolean | TrinoType::Unknown) {
        return Ok(());
    }
    let message = format!("{FILTER_IS_NO_CONDITION}{found})");
    Err(QueryError::TypeMismatch { position: Position::START, message }.into())
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
    let (Ok(a), Ok(b)) = (operators::type_of(left, schema), operators::type_of(right, schema)) else { return Ok(()) };
    if TrinoType::common(&a, &b).is_some() {
        return Ok(());
    }
    let column = |expr: &Expr| expr.column_refs().into_iter().next().and_then(|column| locate(&column.name));
    Err(QueryError::TypeMismatch {
        position: column(left).or_else(|| column(right)).unwrap_or(Position::START),
        message: format!("Cannot apply operator: {a} {op} {b}"),
    }
    .into())
}
