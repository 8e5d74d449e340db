//! Products, quotients and sums of decimals, with the precision and scale that Trino gives them (Trino documentation, "Decimal functions and
//! operators"): nothing is lost without an error.

use super::arithmetic::Operation;
use crate::query::error::QueryError;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use arrow::compute::{binary, try_binary};
use arrow::datatypes::{DataType, Decimal128Type, DecimalType, i256};
use arrow::error::ArrowError;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::ColumnarValue;
use std::sync::Arc;

/// The greatest precision.
const MAX: u8 = 38;

/// Precision and scale of a result, and whether values of it may need more digits than that.
fn result(operation: Operation, (p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> Option<(u8, u8, bool)> {
    let (whole1, whole2) = (p1 - s1, p2 - s2);
    let scale = s1.max(s2);
    let (precision, scale) = match operation {
        Operation::Add | Operation::Subtract => (whole1.max(whole2) + scale + 1, scale),
        Operation::Multiply => (p1 + p2, s1 + s2),
        Operation::Divide => (p1 + s2 + s2.saturating_sub(s1), scale),
        Operation::Modulo => (whole1.min(whole2) + scale, scale),
    };
    (scale <= MAX).then_some((precision.clamp(1, MAX), scale, precision > MAX))
}

fn digits(data_type: &DataType) -> Result<(u8, u8)> {
    match data_type {
        DataType::Decimal128(precision, scale) => Ok((*precision, u8::try_from(*scale).unwrap_or(0))),
        other => internal_err!("arithmetic of decimals with {other}"),
    }
}

/// The type of a result.
///
/// # Errors
/// It would have more than 38 digits behind the point.
pub(super) fn result_type(operation: Operation, a: &DataType, b: &DataType) -> Result<DataType> {
    match result(operation, digits(a)?, digits(b)?) {
        Some((precision, scale, _)) => Ok(DataType::Decimal128(precision, scale.cast_signed())),
        None => Err(out_of_range(operation).into()),
    }
}

fn out_of_range(operation: Operation) -> QueryError {
    let word = match operation {
        Operation::Add => "addition",
        Operation::Subtract => "subtraction",
        Operation::Multiply => "multiplication",
        Operation::Divide => "division",
        Operation::Modulo => "modulo",
    };
    QueryError::OutOfRange(format!("Decimal overflow in {word}"))
}

fn external(error: QueryError) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

/// An operand: a column, or a constant that is not made one.
enum Operand {
    Column(ArrayRef),
    Constant(i128, DataType),
}

impl Operand {
    fn new(value: ColumnarValue, rows: usize) -> Result<Self> {
        match value {
            ColumnarValue::Scalar(ScalarValue::Decimal128(Some(value), precision, scale)) => {
                Ok(Self::Constant(value, DataType::Decimal128(precision, scale)))
            }
            value => Ok(Self::Column(value.into_array(rows)?)),
        }
    }

    fn data_type(&self) -> &DataType {
        match self {
            Self::Column(column) => column.data_type(),
            Self::Constant(_, data_type) => data_type,
        }
    }

    /// Whether all values have 64 bits: two such have a product of at most 38 digits.
    fn is_small(&self) -> bool {
        let is_small = |value: i128| i128::from(value as i64) == value;
        match self {
            Self::Column(column) => {
                column.as_primitive::<Decimal128Type>().values().iter().fold(true, |known, value| known & is_small(*value))
            }
            Self::Constant(value, _) => is_small(*value),
        }
    }
}

/// What cannot fail, on each row.
fn each(x: &Operand, y: &Operand, rows: usize, of: impl Fn(i128, i128) -> i128) -> Result<Decimal128Array, ArrowError> {
    let column = |array: &ArrayRef| array.as_primitive::<Decimal128Type>().clone();
    match (x, y) {
        (Operand::Column(x), Operand::Column(y)) => binary(&column(x), &column(y), of),
        (Operand::Column(x), Operand::Constant(y, _)) => Ok(column(x).unary(|x| of(x, *y))),
        (Operand::Constant(x, _), Operand::Column(y)) => Ok(column(y).unary(|y| of(*x, y))),
        (Operand::Constant(x, _), Operand::Constant(y, _)) => Ok(Decimal128Array::from_value(of(*x, *y), rows)),
    }
}

/// What may fail, on each row that has values.
fn try_each(
    x: &Operand,
    y: &Operand,
    rows: usize,
    of: impl Fn(i128, i128) -> Result<i128, ArrowError>,
) -> Result<Decimal128Array, ArrowError> {
    let column = |array: &ArrayRef| array.as_primitive::<Decimal128Type>().clone();
    match (x, y) {
        (Operand::Column(x), Operand::Column(y)) => try_binary(&column(x), &column(y), of),
        (Operand::Column(x), Operand::Constant(y, _)) => column(x).try_unary(|x| of(x, *y)),
        (Operand::Constant(x, _), Operand::Column(y)) => column(y).try_unary(|y| of(*x, y)),
        (Operand::Constant(x, _), Operand::Constant(y, _)) => Ok(Decimal128Array::from_value(of(*x, *y)?, rows)),
    }
}

/// The operation on each row.
///
/// # Errors
/// A result has more than 38 digits; a division by zero.
pub(super) fn apply(operation: Operation, x: ColumnarValue, y: ColumnarValue, rows: usize) -> Result<ArrayRef> {
    let (x, y) = (Operand::new(x, rows)?, Operand::new(y, rows)?);
    let ((p1, s1), (p2, s2)) = (digits(x.data_type())?, digits(y.data_type())?);
    let Some((precision, scale, is_cut)) = result(operation, (p1, s1), (p2, s2)) else {
        return Err(out_of_range(operation).into());
    };
    let (up1, up2) = match operation {
        Operation::Divide => (u32::from(scale + s2 - s1), 0),
        Operation::Multiply => (0, 0),
        _ => (u32::from(scale - s1), u32::from(scale - s2)),
    };
    // Where the type holds all digits that a result can have, neither they nor the machine's integers can be too few.
    let done = match operation {
        Operation::Multiply if !is_cut => each(&x, &y, rows, i128::wrapping_mul),
        Operation::Multiply if x.is_small() && y.is_small() => {
            each(&x, &y, rows, |x, y| i128::from(x as i64) * i128::from(y as i64))
        }
        Operation::Add if !is_cut && (up1, up2) == (0, 0) => each(&x, &y, rows, i128::wrapping_add),
        Operation::Subtract if !is_cut && (up1, up2) == (0, 0) => each(&x, &y, rows, i128::wrapping_sub),
        Operation::Add if !is_cut => {
            let (up1, up2) = (10i128.pow(up1), 10i128.pow(up2));
            each(&x, &y, rows, |x, y| x.wrapping_mul(up1).wrapping_add(y.wrapping_mul(up2)))
        }
        Operation::Subtract if !is_cut => {
            let (up1, up2) = (10i128.pow(up1), 10i128.pow(up2));
            each(&x, &y, rows, |x, y| x.wrapping_mul(up1).wrapping_sub(y.wrapping_mul(up2)))
        }
        _ => {
            let limit = power(precision);
            let scaled = Scaled::new(operation, up1, up2);
            try_each(&x, &y, rows, |x, y| {
                if y == 0 && matches!(operation, Operation::Divide | Operation::Modulo) {
                    return Err(external(QueryError::DivisionByZero));
                }
                // Nearly all numbers fit 128 bits on the way too.
                let done = scaled.narrow(x, y).or_else(|| scaled.wide(x, y));
                let done = done.filter(|done| done.unsigned_abs() < limit.unsigned_abs());
                done.ok_or_else(|| external(out_of_range(operation)))
            })
        }
    };
    Ok(Arc::new(done?.with_data_type(DataType::Decimal128(precision, scale.cast_signed()))))
}

/// An operation on operands that are brought to a scale first, by these powers of ten.
struct Scaled {
    operation: Operation,
    powers: (u32, u32),
    /// The powers themselves, where 128 bits hold them.
    factors: Option<(i128, i128)>,
}

impl Scaled {
    fn new(operation: Operation, up1: u32, up2: u32) -> Self {
        let factors = 10i128.checked_pow(up1).zip(10i128.checked_pow(up2));
        Self { operation, powers: (up1, up2), factors }
    }

    /// In 128 bits; `None` where they do not suffice.
    #[inline]
    fn narrow(&self, x: i128, y: i128) -> Option<i128> {
        let (up1, up2) = self.factors?;
        let (x, y) = if (up1, up2) == (1, 1) { (x, y) } else { (x.checked_mul(up1)?, y.checked_mul(up2)?) };
        match self.operation {
            Operation::Add => x.checked_add(y),
            Operation::Subtract => x.checked_sub(y),
            Operation::Multiply => x.checked_mul(y),
            Operation::Modulo => x.checked_rem(y),
            Operation::Divide => {
                let (quotient, remainder) = (x.checked_div(y)?, x.checked_rem(y)?);
                let up = remainder.unsigned_abs() >= y.unsigned_abs() - y.unsigned_abs() / 2;
                let step = if (x < 0) == (y < 0) { 1 } else { -1 };
                Some(if up { quotient + step } else { quotient })
            }
        }
    }

    /// In 256 bits; `None` where the result does not fit 128.
    #[cold]
    fn wide(&self, x: i128, y: i128) -> Option<i128> {
        let up = |value: i128, power: u32| i256::from_i128(value).wrapping_mul(i256::from_i128(10).wrapping_pow(power));
        let (x, y) = (up(x, self.powers.0), up(y, self.powers.1));
        let done = match self.operation {
            Operation::Add => x.checked_add(y),
            Operation::Subtract => x.checked_sub(y),
            // What 128 bits do not hold has too many digits.
            Operation::Multiply => None,
            Operation::Modulo => x.checked_rem(y),
            Operation::Divide => Some(rounded_quotient(x, y)),
        };
        done.and_then(i256::to_i128)
    }
}

/// Rounded half away from zero.
fn rounded_quotient(x: i256, y: i256) -> i256 {
    let quotient = x.wrapping_div(y);
    let remainder = x.wrapping_rem(y);
    let twice = remainder.wrapping_abs().wrapping_mul(i256::from_i128(2));
    if twice < y.wrapping_abs() {
        return quotient;
    }
    let one = i256::from_i128(1);
    if (x < i256::ZERO) == (y < i256::ZERO) { quotient.wrapping_add(one) } else { quotient.wrapping_sub(one) }
}

/// 10 to that power, at most 38.
fn power(digits: u8) -> i128 {
    debug_assert!(digits <= Decimal128Type::MAX_PRECISION);
    10i128.pow(u32::from(digits.min(MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_widths_round_alike() {
        let divide = Scaled::new(Operation::Divide, 2, 0);
        for (x, y, expected) in
            [(1, 3, 33), (2, 3, 67), (-2, 3, -67), (2, -3, -67), (1, 8, 13), (-1, 8, -13), (1, 200, 1), (1, 201, 0)]
        {
            assert_eq!(divide.narrow(x, y), Some(expected), "{x} / {y}");
            assert_eq!(divide.wide(x, y), Some(expected), "{x} / {y}");
        }
        let large = 10i128.pow(37);
        assert_eq!(divide.narrow(large, 100), None);
        assert_eq!(divide.wide(large, 100), Some(large));
        for (x, y) in [(7, 3), (-7, 3), (7, -3)] {
            let modulo = Scaled::new(Operation::Modulo, 1, 0);
            assert_eq!(modulo.narrow(x, y), modulo.wide(x, y));
        }
    }
}
