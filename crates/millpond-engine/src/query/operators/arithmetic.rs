//! Arithmetic of integers, whose overflows are errors.

use super::evaluate;
use crate::query::error::QueryError;
use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::{try_binary, try_unary};
use arrow::datatypes::{DataType, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow::error::ArrowError;
use checked::CheckedInteger;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// What is done with two integers of one type, or one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Operation {
    pub(super) fn of_sign(sign: &str) -> Option<Self> {
        Some(match sign {
            "+" => Self::Add,
            "-" => Self::Subtract,
            "*" => Self::Multiply,
            "/" => Self::Divide,
            "%" => Self::Modulo,
            _ => return None,
        })
    }

    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }
}

/// The name of the function of [`negation`].
pub(super) const NEGATION_NAME: &str = "integer_negate";

/// The negation of an integer.
pub(super) fn negation() -> ScalarUDF {
    ScalarUDF::new_from_impl(Negation { signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Negation {
    signature: Signature,
}

impl ScalarUDFImpl for Negation {
    fn name(&self) -> &str {
        NEGATION_NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(args, |arrays| {
            let done = match arrays[0].data_type() {
                DataType::Int8 => negated::<Int8Type>(&arrays[0]),
                DataType::Int16 => negated::<Int16Type>(&arrays[0]),
                DataType::Int32 => negated::<Int32Type>(&arrays[0]),
                DataType::Int64 => negated::<Int64Type>(&arrays[0]),
                other => return internal_err!("the negation of {other} as an integer"),
            };
            done.map_err(DataFusionError::from)
        })
    }
}

/// A column and a constant, which is not made a column: most arithmetic is of that kind. `None` where it is not.
pub(super) fn with_constant(
    operation: Operation,
    left: &ColumnarValue,
    right: &ColumnarValue,
) -> Option<Result<ArrayRef, ArrowError>> {
    match left.data_type() {
        DataType::Int8 => constant_side::<Int8Type>(operation, left, right),
        DataType::Int16 => constant_side::<Int16Type>(operation, left, right),
        DataType::Int32 => constant_side::<Int32Type>(operation, left, right),
        DataType::Int64 => constant_side::<Int64Type>(operation, left, right),
        _ => None,
    }
}

/// Two columns.
pub(super) fn both(operation: Operation, a: &ArrayRef, b: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match a.data_type() {
        DataType::Int8 => columns::<Int8Type>(operation, a, b),
        DataType::Int16 => columns::<Int16Type>(operation, a, b),
        DataType::Int32 => columns::<Int32Type>(operation, a, b),
        DataType::Int64 => columns::<Int64Type>(operation, a, b),
        other => Err(ArrowError::ComputeError(format!("arithmetic of {other} as integers"))),
    }
}

/// `None` where neither side is a constant that is there.
fn constant_side<T: ArrowPrimitiveType>(
    operation: Operation,
    left: &ColumnarValue,
    right: &ColumnarValue,
) -> Option<Result<ArrayRef, ArrowError>>
where
    T::Native: CheckedInteger,
{
    let constant = |value: &ColumnarValue| match value {
        ColumnarValue::Scalar(scalar) if !scalar.is_null() => {
            let array = scalar.to_array().ok()?;
            Some(array.as_primitive_opt::<T>()?.value(0))
        }
        _ => None,
    };
    let done = match (left, right) {
        (ColumnarValue::Array(column), value) => {
            let value = constant(value)?;
            try_unary::<T, _, T>(column.as_primitive_opt::<T>()?, |x| apply(operation, x, value))
        }
        (value, ColumnarValue::Array(column)) => {
            let value = constant(value)?;
            try_unary::<T, _, T>(column.as_primitive_opt::<T>()?, |x| apply(operation, value, x))
        }
        _ => return None,
    };
    Some(done.map(|array| Arc::new(array) as ArrayRef))
}

fn columns<T: ArrowPrimitiveType>(operation: Operation, a: &ArrayRef, b: &ArrayRef) -> Result<ArrayRef, ArrowError>
where
    T::Native: CheckedInteger,
{
    let done: PrimitiveArray<T> = try_binary(a.as_primitive::<T>(), b.as_primitive::<T>(), |x, y| apply(operation, x, y))?;
    Ok(Arc::new(done))
}

fn negated<T: ArrowPrimitiveType>(a: &ArrayRef) -> Result<ArrayRef, ArrowError>
where
    T::Native: CheckedInteger,
{
    let done = try_unary::<T, _, T>(a.as_primitive::<T>(), |x| {
        x.negate().ok_or_else(|| out_of_range(format!("{} negation overflow: {x}", T::Native::NAME)))
    })?;
    Ok(Arc::new(done))
}

#[inline]
fn apply<N: CheckedInteger>(operation: Operation, x: N, y: N) -> Result<N, ArrowError> {
    let done = match operation {
        Operation::Add => x.add(y),
        Operation::Subtract => x.subtract(y),
        Operation::Multiply => x.multiply(y),
        Operation::Divide if y.is_zero() => return Err(external(QueryError::DivisionByZero)),
        Operation::Modulo if y.is_zero() => return Err(external(QueryError::DivisionByZero)),
        Operation::Divide => x.divide(y),
        // The least integer modulo -1 is 0, though the quotient overflows.
        Operation::Modulo => return Ok(x.modulo(y)),
    };
    done.ok_or_else(|| {
        let (word, sign) = match operation {
            Operation::Add => ("addition", "+"),
            Operation::Subtract => ("subtraction", "-"),
            Operation::Multiply => ("multiplication", "*"),
            _ => ("division", "/"),
        };
        out_of_range(format!("{} {word} overflow: {x} {sign} {y}", N::NAME))
    })
}

fn out_of_range(message: String) -> ArrowError {
    external(QueryError::OutOfRange(message))
}

fn external(error: QueryError) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

mod checked {
    use std::fmt::Display;

    /// Integers whose overflows are seen.
    pub(super) trait CheckedInteger: Copy + Display {
        const NAME: &'static str;
        fn add(self, other: Self) -> Option<Self>;
        fn subtract(self, other: Self) -> Option<Self>;
        fn multiply(self, other: Self) -> Option<Self>;
        fn divide(self, other: Self) -> Option<Self>;
        fn modulo(self, other: Self) -> Self;
        fn negate(self) -> Option<Self>;
        fn is_zero(self) -> bool;
    }

    macro_rules! integer {
        ($native:ty, $name:literal) => {
            impl CheckedInteger for $native {
                const NAME: &'static str = $name;

                #[inline]
                fn add(self, other: Self) -> Option<Self> {
                    self.checked_add(other)
                }

                #[inline]
                fn subtract(self, other: Self) -> Option<Self> {
                    self.checked_sub(other)
                }

                #[inline]
                fn multiply(self, other: Self) -> Option<Self> {
                    self.checked_mul(other)
                }

                #[inline]
                fn divide(self, other: Self) -> Option<Self> {
                    self.checked_div(other)
                }

                #[inline]
                fn modulo(self, other: Self) -> Self {
                    self.wrapping_rem(other)
                }

                #[inline]
                fn negate(self) -> Option<Self> {
                    self.checked_neg()
                }

                #[inline]
                fn is_zero(self) -> bool {
                    self == 0
                }
            }
        };
    }

    integer!(i8, "tinyint");
    integer!(i16, "smallint");
    integer!(i32, "integer");
    integer!(i64, "bigint");
}
