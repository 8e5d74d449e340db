//! Comparisons of `double` and `real` as IEEE 754 has them, which is Trino's meaning: NaN is equal to nothing, not less and not greater, and -0.0 is
//! equal to 0.0. Arrow compares in a total order instead: negative NaN, -infinity, …, -0.0, 0.0, …, infinity, positive NaN.
//!
//! A column and a constant stay comparisons of Arrow's, with the zero that is right in its order and with the end of the numbers beyond which the
//! NaNs are: files' statistics answer these. Other operands are compared by a function. What comes from an integer or a decimal is neither NaN nor
//! -0.0, and is left alone.
//!
//! Where values are grouped or ordered, Trino takes all NaNs for one value, the greatest, and both zeros for one: keys are brought to one form each.

use super::cast::retype;
use super::planner::plain;
use super::{arithmetic, evaluate, type_of};
use crate::types::TrinoType as T;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, NullEquality, Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    Aggregate, Between, ColumnarValue, Distinct, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use std::collections::HashSet;
use std::sync::Arc;

/// What is known of an operand when it is planned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Operand {
    /// A number that is not NaN.
    Constant(f64),
    /// Neither NaN nor -0.0.
    Number,
    Any,
}

impl Operand {
    /// Of an expression and its own type, before it is brought to the type in which operands meet.
    pub(super) fn of(expr: &Expr, own: &T, schema: &DFSchema) -> Self {
        if let Some(value) = constant(expr).filter(|value| !value.is_nan()) {
            return Self::Constant(value);
        }
        let exact = |found: &T| !matches!(found, T::Double | T::Real);
        let inner = match expr {
            Expr::Cast(cast) => Some(cast.expr.as_ref()),
            Expr::ScalarFunction(call) if call.func.name() == super::CAST => call.args.first(),
            _ => None,
        };
        let from_exact = |inner: &Expr| type_of(inner, schema).is_ok_and(|found| found.is_number() && exact(&found));
        if exact(own) || inner.is_some_and(from_exact) { Self::Number } else { Self::Any }
    }
}

/// The value of a literal, with signs and casts around it.
fn constant(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(value)) => value,
            _ => None,
        },
        Expr::Negative(inner) => constant(inner).map(|value| -value),
        Expr::ScalarFunction(call) if call.func.name() == arithmetic::NEGATION_NAME => {
            constant(call.args.first()?).map(|value| -value)
        }
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Float32 => {
            constant(&cast.expr).map(|value| f64::from(value as f32))
        }
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Float64 => constant(&cast.expr),
        _ => None,
    }
}

fn literal(common: &T, value: f64) -> Expr {
    if *common == T::Real { lit(value as f32) } else { lit(value) }
}

/// A column as it is, or widened: what statistics say something about, and what may be computed twice.
fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Cast(cast) => matches!(cast.expr.as_ref(), Expr::Column(_)),
        _ => false,
    }
}

/// The comparison by `=`, `<>`, `<`, `<=`, `>` or `>=` of two expressions of type `common`: `double` or `real`.
pub(super) fn comparison(sign: &str, left: (Expr, Operand), right: (Expr, Operand), common: &T) -> Expr {
    use Operand::{Any, Constant};
    // Where neither is NaN or -0.0, orders agree.
    let plus_zero = |(expr, operand): (Expr, Operand)| match operand {
        Constant(0.0) => (literal(common, 0.0), operand),
        _ => (expr, operand),
    };
    let (left, right) = (plus_zero(left), plus_zero(right));
    match (left.1, right.1) {
        (Any, Constant(value)) | (Constant(value), Any) if value != 0.0 && matches!(sign, "=" | "<>") => {
            plain(sign, left.0, right.0)
        }
        (Any, Constant(value)) if is_column(&left.0) => with_constant(sign, left.0, right.0, value, common),
        (Constant(value), Any) if is_column(&right.0) => {
            let turned = match sign {
                "<" => ">",
                "<=" => ">=",
                ">" => "<",
                ">=" => "<=",
                other => other,
            };
            with_constant(turned, right.0, left.0, value, common)
        }
        (Any, _) | (_, Any) if sign == "=" => {
            // Arrow's equality finds the pairs of a join.
            let own = |(expr, operand): &(Expr, Operand)| match operand {
                Any => plain("+", expr.clone(), literal(common, 0.0)),
                _ => expr.clone(),
            };
            let equal = plain("=", own(&left), own(&right));
            match (left.1, right.1) {
                (Any, Any) => equal.and(compared("=", left.0, right.0)),
                _ => equal,
            }
        }
        (Any, _) | (_, Any) => compared(sign, left.0, right.0),
        _ => plain(sign, left.0, right.0),
    }
}

/// All but `=` and `<>` with another constant than zero.
fn with_constant(sign: &str, column: Expr, constant: Expr, value: f64, common: &T) -> Expr {
    // The zero that all zeros are on the right side of.
    let bound = |zero: f64| if value == 0.0 { literal(common, zero) } else { constant.clone() };
    let infinity = |sign: f64| literal(common, sign * f64::INFINITY);
    let is = |sign: &str, other: Expr| plain(sign, column.clone(), other);
    match sign {
        "=" => is(">=", bound(-0.0)).and(is("<=", bound(0.0))),
        "<>" => is("<", bound(-0.0)).or(is(">", bound(0.0))),
        "<" => is(">=", infinity(-1.0)).and(is("<", bound(-0.0))),
        "<=" => is(">=", infinity(-1.0)).and(is("<=", bound(0.0))),
        ">" => is(">", bound(0.0)).and(is("<=", infinity(1.0))),
        _ => is(">=", bound(-0.0)).and(is("<=", infinity(1.0))),
    }
}

fn compared(sign: &str, left: Expr, right: Expr) -> Expr {
    let compare = Compare { sign: sign.to_owned(), signature: Signature::any(2, Volatility::Immutable) };
    ScalarUDF::new_from_impl(compare).call(vec![left, right])
}

/// `left sign right` of two arrays of one type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Compare {
    sign: String,
    signature: Signature,
}

impl ScalarUDFImpl for Compare {
    fn name(&self) -> &str {
        match self.sign.as_str() {
            "=" => "float_equal",
            "<>" => "float_not_equal",
            "<" => "float_less",
            "<=" => "float_less_or_equal",
            ">" => "float_greater",
            _ => "float_greater_or_equal",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(args, |arrays| match arrays[0].data_type() {
            DataType::Float64 => Ok(compare::<Float64Type>(&self.sign, &arrays[0], &arrays[1])),
            DataType::Float32 => Ok(compare::<Float32Type>(&self.sign, &arrays[0], &arrays[1])),
            other => internal_err!("the comparison of {other} as doubles"),
        })
    }
}

fn compare<P: ArrowPrimitiveType>(sign: &str, left: &ArrayRef, right: &ArrayRef) -> ArrayRef
where
    P::Native: PartialOrd,
{
    let (left, right) = (left.as_primitive::<P>(), right.as_primitive::<P>());
    let (a, b) = (left.values(), right.values());
    let rows = a.len().min(b.len());
    let truths = match sign {
        "=" => BooleanBuffer::collect_bool(rows, |row| a[row] == b[row]),
        "<>" => BooleanBuffer::collect_bool(rows, |row| a[row] != b[row]),
        "<" => BooleanBuffer::collect_bool(rows, |row| a[row] < b[row]),
        "<=" => BooleanBuffer::collect_bool(rows, |row| a[row] <= b[row]),
        ">" => BooleanBuffer::collect_bool(rows, |row| a[row] > b[row]),
        _ => BooleanBuffer::collect_bool(rows, |row| a[row] >= b[row]),
    };
    Arc::new(BooleanArray::new(truths, NullBuffer::union(left.nulls(), right.nulls())))
}

/// One NaN, the greatest of values, and one zero.
fn one_form(expr: Expr) -> Expr {
    ScalarUDF::new_from_impl(OneForm { signature: Signature::any(1, Volatility::Immutable) }).call(vec![expr])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OneForm {
    signature: Signature,
}

impl ScalarUDFImpl for OneForm {
    fn name(&self) -> &str {
        "float_key"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::clone(&args.arg_fields[0]))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(args, |arrays| match arrays[0].data_type() {
            DataType::Float64 => {
                let values: &PrimitiveArray<Float64Type> = arrays[0].as_primitive();
                Ok(Arc::new(values.unary::<_, Float64Type>(|value| if value.is_nan() { f64::NAN } else { value + 0.0 })))
            }
            DataType::Float32 => {
                let values: &PrimitiveArray<Float32Type> = arrays[0].as_primitive();
                Ok(Arc::new(values.unary::<_, Float32Type>(|value| if value.is_nan() { f32::NAN } else { value + 0.0 })))
            }
            other => internal_err!("a key of {other} as a double"),
        })
    }
}

fn is_float(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|found| matches!(found, DataType::Float64 | DataType::Float32))
}

/// Brings an expression to the one form of keys, where it is a `double` or `real`.
pub(in crate::query) fn key(expr: Expr, schema: &DFSchema) -> Expr {
    if is_float(&expr, schema) { one_form(expr) } else { expr }
}

/// Brings the keys by which a node groups, orders or joins its rows to one form each.
pub(in crate::query) fn keys(node: LogicalPlan) -> Result<LogicalPlan> {
    match node {
        LogicalPlan::Aggregate(aggregate) => grouped(aggregate).map(LogicalPlan::Aggregate),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            Ok(LogicalPlan::Distinct(Distinct::All(in_one_form(&input, |_| true)?.unwrap_or(input))))
        }
        LogicalPlan::Sort(mut sort) => {
            let schema = Arc::clone(sort.input.schema());
            for order in &mut sort.expr {
                order.expr = key(std::mem::take(&mut order.expr), &schema);
            }
            Ok(LogicalPlan::Sort(sort))
        }
        // INTERSECT and EXCEPT.
        LogicalPlan::Join(mut join) if join.null_equality == NullEquality::NullEqualsNull => {
            let (left, right) = (Arc::clone(join.left.schema()), Arc::clone(join.right.schema()));
            let on = std::mem::take(&mut join.on).into_iter();
            join.on = on.map(|(a, b)| (key(a, &left), key(b, &right))).collect();
            Ok(LogicalPlan::Join(join))
        }
        other => Ok(other),
    }
}

fn grouped(aggregate: Aggregate) -> Result<Aggregate> {
    let schema = Arc::clone(aggregate.input.schema());
    let mut columns: HashSet<Column> = HashSet::new();
    let mut computed = false;
    for group in &aggregate.group_expr {
        match group {
            // Their members are columns, as a rule.
            Expr::GroupingSet(sets) => {
                let all = sets.distinct_expr().into_iter().filter(|expr| is_float(expr, &schema));
                columns.extend(all.filter_map(|expr| expr.try_as_col().cloned()));
            }
            group if !is_float(group, &schema) => {}
            Expr::Column(column) => {
                columns.insert(column.clone());
            }
            _ => computed = true,
        }
    }
    if columns.is_empty() && !computed {
        return Ok(aggregate);
    }
    let input = in_one_form(&aggregate.input, |column| columns.contains(column))?.unwrap_or(aggregate.input);
    let groups = aggregate.group_expr.into_iter().map(|group| match group {
        group @ (Expr::GroupingSet(_) | Expr::Column(_)) => group,
        group if is_float(&group, &schema) => {
            let (relation, name) = group.qualified_name();
            one_form(group.unalias()).alias_qualified(relation, name)
        }
        group => group,
    });
    Aggregate::try_new(input, groups.collect(), aggregate.aggr_expr)
}

/// The plan with those of its columns in one form that are doubles or reals; `None`: there are none.
fn in_one_form(input: &Arc<LogicalPlan>, wanted: impl Fn(&Column) -> bool) -> Result<Option<Arc<LogicalPlan>>> {
    let schema = input.schema();
    let mut found = false;
    let mut column = |column: Column| {
        let (relation, name) = (column.relation.clone(), column.name.clone());
        let is_key = wanted(&column);
        let expr = Expr::Column(column);
        if !is_key || !is_float(&expr, schema) {
            return expr;
        }
        found = true;
        one_form(expr).alias_qualified(relation, name)
    };
    let columns: Vec<Expr> = schema.iter().map(Column::from).map(&mut column).collect();
    if !found {
        return Ok(None);
    }
    LogicalPlanBuilder::from(input.as_ref().clone()).project(columns)?.build().map(|plan| Some(Arc::new(plan)))
}

/// Comparisons that the SQL planner makes itself (`BETWEEN`, `IN`, `IS DISTINCT FROM`) and keys within calls.
///
/// # Errors
/// None but the planner's own.
pub(in crate::query) fn corrected(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let float = |exprs: &[&Expr]| exprs.iter().any(|expr| is_float(expr, schema));
    match expr {
        Expr::Between(range) if float(&[&range.expr, &range.low, &range.high]) => Ok(between(range, schema)),
        Expr::InList(list) if is_float(&list.expr, schema) || list.list.iter().any(|item| is_float(item, schema)) => {
            let items = list.list.iter().map(|item| {
                let met = Met::of(&list.expr, item, schema)?;
                // Arrow's equality is right for all constants but zeros.
                let right = match (met.left.1, met.right.1) {
                    (Operand::Any, Operand::Constant(value)) | (Operand::Constant(value), Operand::Any) => value != 0.0,
                    (left, right) => left != Operand::Any && right != Operand::Any,
                };
                Some((!right).then(|| met.comparison("=")))
            });
            let items = items.collect::<Option<Vec<_>>>();
            let Some(items) = items.filter(|items| items.iter().any(Option::is_some)) else {
                return Ok(Transformed::no(Expr::InList(list)));
            };
            // Those that Arrow's equality is right for stay a list.
            let mut rest: Vec<Expr> = Vec::new();
            let mut any: Vec<Expr> = Vec::new();
            for (item, equal) in list.list.into_iter().zip(items) {
                match equal {
                    Some(equal) => any.push(equal),
                    None => rest.push(item),
                }
            }
            if !rest.is_empty() {
                any.push(list.expr.in_list(rest, false));
            }
            let any = any.into_iter().reduce(Expr::or).unwrap_or_else(|| lit(false));
            Ok(Transformed::yes(if list.negated { !any } else { any }))
        }
        Expr::BinaryExpr(mut binary)
            if matches!(binary.op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom)
                && float(&[&binary.left, &binary.right]) =>
        {
            *binary.left = key(std::mem::take(&mut binary.left), schema);
            *binary.right = key(std::mem::take(&mut binary.right), schema);
            Ok(Transformed::yes(Expr::BinaryExpr(binary)))
        }
        Expr::AggregateFunction(mut call) if call.params.distinct => {
            let args = std::mem::take(&mut call.params.args).into_iter();
            call.params.args = args.map(|arg| key(arg, schema)).collect();
            Ok(Transformed::yes(Expr::AggregateFunction(call)))
        }
        Expr::WindowFunction(mut call) => {
            let by = std::mem::take(&mut call.params.partition_by).into_iter();
            call.params.partition_by = by.map(|expr| key(expr, schema)).collect();
            for order in &mut call.params.order_by {
                order.expr = key(std::mem::take(&mut order.expr), schema);
            }
            Ok(Transformed::yes(Expr::WindowFunction(call)))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Two expressions in the type in which they meet.
struct Met {
    left: (Expr, Operand),
    right: (Expr, Operand),
    common: T,
}

impl Met {
    /// `None`: they meet in no type.
    fn of(left: &Expr, right: &Expr, schema: &DFSchema) -> Option<Self> {
        let (left_type, right_type) = (type_of(left, schema).ok()?, type_of(right, schema).ok()?);
        let common = T::common(&left_type, &right_type)?;
        let side = |expr: &Expr, own: &T| (retype(expr.clone(), own, &common), Operand::of(expr, own, schema));
        let (left, right) = (side(left, &left_type), side(right, &right_type));
        Some(Self { left, right, common })
    }

    fn comparison(self, sign: &str) -> Expr {
        if matches!(self.common, T::Double | T::Real) {
            return comparison(sign, self.left, self.right, &self.common);
        }
        plain(sign, self.left.0, self.right.0)
    }
}

fn between(mut range: Between, schema: &DFSchema) -> Transformed<Expr> {
    let (Some(low), Some(high)) = (Met::of(&range.expr, &range.low, schema), Met::of(&range.expr, &range.high, schema)) else {
        return Transformed::no(Expr::Between(range));
    };
    // Between two numbers there is no NaN, in Arrow's order neither; a zero is to be the one at the outer side.
    match (low.left.1, low.right.1, high.right.1) {
        (Operand::Any, Operand::Constant(least), Operand::Constant(greatest)) => {
            if least == 0.0 {
                *range.low = literal(&low.common, -0.0);
            }
            if greatest == 0.0 {
                *range.high = literal(&high.common, 0.0);
            }
            Transformed::yes(Expr::Between(range))
        }
        (value, least, greatest) if ![value, least, greatest].contains(&Operand::Any) => Transformed::no(Expr::Between(range)),
        _ => {
            let both = low.comparison(">=").and(high.comparison("<="));
            Transformed::yes(if range.negated { !both } else { both })
        }
    }
}
