//! From an operator with its place to an expression whose operands need no coercion.

use super::arithmetic::{self, Operation};
use super::cast::retype;
use super::chain::{Step, then};
use super::floats::{self, Operand};
use super::{compare, construct, counts, interval, mismatch, type_of};
use crate::query::error::Position;
use crate::types::TrinoType as T;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawWindowExpr};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// The sign of negation, whose second operand is nothing.
pub(in crate::query) const NEGATION: &str = "negate";

/// The field of the `EXTRACT` that stands for an `integer` literal: of all syntax that is handed to planners, the one that takes a constant as it is.
pub(in crate::query) const INTEGER: &str = "\u{1}integer";

/// The operator with its place, as it goes through the planner.
pub(in crate::query) fn place(sign: &str, at: Position) -> BinaryOperator {
    BinaryOperator::Custom(format!("{sign}@{}:{}", at.line, at.column))
}

fn placed(op: &BinaryOperator) -> Option<(&str, Position)> {
    let BinaryOperator::Custom(text) = op else { return None };
    let (sign, at) = text.rsplit_once('@')?;
    let (line, column) = at.split_once(':')?;
    Some((sign, Position { line: line.parse().ok()?, column: column.parse().ok()? }))
}

/// Plans operators as Trino means them.
#[derive(Debug)]
pub(in crate::query) struct TrinoOperators;

impl ExprPlanner for TrinoOperators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let Some((sign, at)) = placed(&expr.op) else { return Ok(PlannerResult::Original(expr)) };
        let sign = sign.to_owned();
        let RawBinaryExpr { left, right, .. } = expr;
        let types = (type_of(&left, schema), type_of(&right, schema));
        let (Ok(left_type), Ok(right_type)) = types else {
            // What is wrong with the operand is said when it is looked at.
            return Ok(PlannerResult::Planned(plain(&sign, left, right)));
        };
        let operands = Operands { sign: &sign, at, left, left_type, right, right_type };
        Ok(PlannerResult::Planned(operands.plan(schema)?))
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        match args.as_slice() {
            [Expr::Literal(ScalarValue::Utf8(Some(field)), _), Expr::Literal(ScalarValue::Int64(Some(value)), _)]
                if field == INTEGER =>
            {
                match i32::try_from(*value) {
                    Ok(value) => Ok(PlannerResult::Planned(lit(value))),
                    Err(_) => Ok(PlannerResult::Planned(lit(*value))),
                }
            }
            _ => Ok(PlannerResult::Original(args)),
        }
    }

    fn plan_array_literal(&self, exprs: Vec<Expr>, _: &DFSchema) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(construct::array().call(exprs)))
    }

    fn plan_aggregate(&self, call: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        counts::aggregate(call)
    }

    fn plan_window(&self, call: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        Ok(counts::window(call))
    }

    fn plan_struct_literal(&self, args: Vec<Expr>, is_named_struct: bool) -> Result<PlannerResult<Vec<Expr>>> {
        if is_named_struct {
            return Ok(PlannerResult::Original(args));
        }
        Ok(PlannerResult::Planned(construct::row().call(args)))
    }
}

fn operator(sign: &str) -> Option<Operator> {
    Some(match sign {
        "+" => Operator::Plus,
        "-" => Operator::Minus,
        "*" => Operator::Multiply,
        "/" => Operator::Divide,
        "%" => Operator::Modulo,
        "=" => Operator::Eq,
        "<>" => Operator::NotEq,
        "<" => Operator::Lt,
        "<=" => Operator::LtEq,
        ">" => Operator::Gt,
        ">=" => Operator::GtEq,
        "||" => Operator::StringConcat,
        _ => return None,
    })
}

/// DataFusion's operator of that sign.
pub(super) fn plain(sign: &str, left: Expr, right: Expr) -> Expr {
    match operator(sign) {
        Some(op) => Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))),
        None => Expr::Negative(Box::new(left)),
    }
}

/// An operator that is being planned.
struct Operands<'a> {
    sign: &'a str,
    at: Position,
    left: Expr,
    left_type: T,
    right: Expr,
    right_type: T,
}

impl Operands<'_> {
    fn plan(self, schema: &DFSchema) -> Result<Expr> {
        match self.sign {
            NEGATION => self.negation(),
            "||" => self.concatenation(),
            "+" | "-" | "*" | "/" | "%" => self.arithmetic(),
            _ => self.comparison(schema),
        }
    }

    fn refused<R>(&self) -> Result<R> {
        let (sign, left, right) = (self.sign, &self.left_type, &self.right_type);
        Err(mismatch(self.at, format!("Cannot apply operator: {left} {sign} {right}")))
    }

    fn negation(self) -> Result<Expr> {
        Ok(match &self.left_type {
            found if found.is_integer() => arithmetic::negation().call(vec![self.left]),
            T::IntervalDayToSecond | T::IntervalYearToMonth => {
                then(self.left, Step::Interval(interval::Operation::Multiply), lit(-1i64))
            }
            T::Decimal(..) | T::Real | T::Double | T::Unknown => Expr::Negative(Box::new(self.left)),
            other => return Err(mismatch(self.at, format!("Cannot negate {other}"))),
        })
    }

    fn arithmetic(mut self) -> Result<Expr> {
        if self.left_type == T::Unknown && self.right_type == T::Unknown {
            return Ok(Expr::Literal(ScalarValue::Null, None));
        }
        if self.left_type == T::Unknown {
            self.left_type = self.right_type.clone();
            self.left = null_of(&self.right_type, self.left);
        }
        if self.right_type == T::Unknown {
            self.right_type = self.left_type.clone();
            self.right = null_of(&self.left_type, self.right);
        }
        if !self.left_type.is_number() || !self.right_type.is_number() {
            return self.times();
        }
        let Some(common) = T::common(&self.left_type, &self.right_type) else { return self.refused() };
        let Some(operation) = Operation::of_sign(self.sign) else { return self.refused() };
        let (left, right) = match &common {
            T::Decimal(..) => {
                let decimal =
                    |found: &T| found.digits().map_or(T::Decimal(38, 0), |(precision, scale)| T::Decimal(precision, scale));
                let (a, b) = (decimal(&self.left_type), decimal(&self.right_type));
                let (left, right) = (retype(self.left, &self.left_type, &a), retype(self.right, &self.right_type, &b));
                return Ok(then(left, Step::Decimal(operation), right));
            }
            common => (retype(self.left, &self.left_type, common), retype(self.right, &self.right_type, common)),
        };
        if common.is_integer() {
            return Ok(then(left, Step::Integer(operation), right));
        }
        Ok(plain(self.sign, left, right))
    }

    /// Dates, times and intervals.
    fn times(self) -> Result<Expr> {
        use interval::Operation as I;
        let Self { sign, at, left, left_type, right, right_type } = self;
        let call = |operation: I, left: Expr, right: Expr| Ok(then(left, Step::Interval(operation), right));
        match (&left_type, sign, &right_type) {
            (T::IntervalDayToSecond, "+", T::IntervalDayToSecond) | (T::IntervalYearToMonth, "+", T::IntervalYearToMonth) => {
                call(I::Add, left, right)
            }
            (T::IntervalDayToSecond, "-", T::IntervalDayToSecond) | (T::IntervalYearToMonth, "-", T::IntervalYearToMonth) => {
                call(I::Subtract, left, right)
            }
            (T::IntervalDayToSecond | T::IntervalYearToMonth, "*", number) if number.is_number() => {
                call(I::Multiply, left, right)
            }
            (T::IntervalDayToSecond | T::IntervalYearToMonth, "/", number) if number.is_number() => call(I::Divide, left, right),
            (number, "*", T::IntervalDayToSecond | T::IntervalYearToMonth) if number.is_number() => {
                call(I::Multiply, right, left)
            }
            // Sums of an interval and a time are written either way round.
            (
                T::IntervalDayToSecond | T::IntervalYearToMonth,
                "+",
                T::Date | T::Timestamp(_) | T::TimestampWithZone(_) | T::Time(_),
            ) => Self { sign, at, left: right, left_type: right_type, right: left, right_type: left_type }.times(),
            (T::Date | T::Timestamp(_) | T::TimestampWithZone(_), "+" | "-", T::IntervalYearToMonth)
            | (T::Timestamp(_) | T::TimestampWithZone(_), "+" | "-", T::IntervalDayToSecond) => Ok(plain(sign, left, right)),
            (T::Date, "+", T::IntervalDayToSecond) => call(I::DateAdd, left, right),
            (T::Date, "-", T::IntervalDayToSecond) => call(I::DateSubtract, left, right),
            (T::Time(_), "+", T::IntervalDayToSecond) => call(I::TimeAdd, left, right),
            (T::Time(_), "-", T::IntervalDayToSecond) => call(I::TimeSubtract, left, right),
            (T::Time(_), "-", T::Time(_)) => call(I::Between, left, right),
            (T::Date | T::Timestamp(_) | T::TimestampWithZone(_), "-", T::Date | T::Timestamp(_) | T::TimestampWithZone(_)) => {
                let moment = |found: &T| if *found == T::Date { T::Timestamp(3) } else { found.clone() };
                let (a, b) = (moment(&left_type), moment(&right_type));
                call(I::Between, retype(left, &left_type, &a), retype(right, &right_type, &b))
            }
            _ => Self { sign, at, left, left_type, right, right_type }.refused(),
        }
    }

    fn concatenation(self) -> Result<Expr> {
        let (left_type, right_type) = (self.left_type.clone(), self.right_type.clone());
        let item = |list: &T| match list {
            T::Array(item) => Some(item.as_ref().clone()),
            _ => None,
        };
        match (item(&left_type), item(&right_type)) {
            (Some(_), Some(_)) => {
                let Some(common) = T::common(&left_type, &right_type) else { return self.refused() };
                let (left, right) = (retype(self.left, &left_type, &common), retype(self.right, &right_type, &common));
                Ok(construct::concatenated(left, right))
            }
            (Some(a), None) => {
                let Some(common) = T::common(&a, &right_type) else { return self.refused() };
                let list = T::Array(Box::new(common.clone()));
                let one = construct::array().call(vec![retype(self.right, &right_type, &common)]);
                Ok(construct::concatenated(retype(self.left, &left_type, &list), one))
            }
            (None, Some(b)) => {
                let Some(common) = T::common(&left_type, &b) else { return self.refused() };
                let list = T::Array(Box::new(common.clone()));
                let one = construct::array().call(vec![retype(self.left, &left_type, &common)]);
                Ok(construct::concatenated(one, retype(self.right, &right_type, &list)))
            }
            (None, None) => {
                let text = |found: &T| found.is_text() || *found == T::Unknown;
                let bytes = |found: &T| matches!(found, T::Varbinary | T::Unknown);
                if text(&left_type) && text(&right_type) {
                    let target = T::Varchar(None);
                    return Ok(plain("||", retype(self.left, &left_type, &target), retype(self.right, &right_type, &target)));
                }
                if bytes(&left_type) && bytes(&right_type) {
                    let left = retype(self.left, &left_type, &T::Varbinary);
                    return Ok(construct::concatenated(left, retype(self.right, &right_type, &T::Varbinary)));
                }
                Err(mismatch(self.at, format!("Unexpected parameters ({left_type}, {right_type}) for function concat")))
            }
        }
    }

    fn comparison(self, schema: &DFSchema) -> Result<Expr> {
        let Some(common) = T::common(&self.left_type, &self.right_type) else { return self.refused() };
        if matches!(self.sign, "<" | "<=" | ">" | ">=") && !compare::is_ordered(&common) {
            return self.refused();
        }
        let of = |expr: &Expr, own: &T| Operand::of(expr, own, schema);
        let operands = (of(&self.left, &self.left_type), of(&self.right, &self.right_type));
        let (left, right) = (retype(self.left, &self.left_type, &common), retype(self.right, &self.right_type, &common));
        if matches!(common, T::Double | T::Real) {
            return Ok(floats::comparison(self.sign, (left, operands.0), (right, operands.1), &common));
        }
        let (left, right) = compare::same_zone(left, right, &common);
        Ok(plain(self.sign, left, right))
    }
}

/// NULL of a type.
fn null_of(found: &T, expr: Expr) -> Expr {
    match ScalarValue::try_from(&found.to_arrow()) {
        Ok(null) => Expr::Literal(null, None),
        Err(_) => expr,
    }
}
