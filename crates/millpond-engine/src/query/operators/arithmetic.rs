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
    Negate,
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

    fn name(self) -> &'static str {
        match self {
            Self::Add => "integer_add",
            Self::Subtract => "integer_subtract",
            Self::Multiply => "integer_multiply",
            Self::Divide => "integer_divide",
            Self::Modulo => "integer_modulo",
            Self::Negate => NEGATE,
        }
    }
}

/// The name of negation, which has no hook of the planner's and is called by name.
pub(in crate::query) const NEGATE: &str = "integer_negate";

/// The functions that are called by name.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![function(Operation::Negate)]
}

/// Of operands of one integer type.
pub(super) fn function(operation: Operation) -> ScalarUDF {
    ScalarUDF::new_from_impl(Checked { operation, signature: Signature::variadic_any(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.operation.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.first() {
            Some(first) => Ok(first.clone()),
            None => internal_err!("{} without operands", self.operation.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let operation = self.operation;
        let data_type = args.return_field.data_type().clone();
        // A constant beside a column is not made a column: most arithmetic is of that kind.
        if let [left, right] = args.args.as_slice()
            && !(matches!(left, ColumnarValue::Scalar(_)) && matches!(right, ColumnarValue::Scalar(_)))
        {
            let done = match data_type {
                DataType::Int8 => with_constant::<Int8Type>(operation, left, right),
                DataType::Int16 => with_constant::<Int16Type>(operation, left, right),
                DataType::Int32 => with_constant::<Int32Type>(operation, left, right),
                DataType::Int64 => with_constant::<Int64Type>(operation, left, right),
                _ => None,
            };
            if let Some(done) = done {
                return done.map(ColumnarValue::Array).map_err(DataFusionError::from);
            }
        }
        evaluate(args, |arrays| {
            let done = match (&data_type, arrays) {
                (DataType::Int8, [a, b]) => both::<Int8Type>(operation, a, b),
                (DataType::Int16, [a, b]) => both::<Int16Type>(operation, a, b),
                (DataType::Int32, [a, b]) => both::<Int32Type>(operation, a, b),
                (DataType::Int64, [a, b]) => both::<Int64Type>(operation, a, b),
                (DataType::Int8, [a]) => negated::<Int8Type>(a),
                (DataType::Int16, [a]) => negated::<Int16Type>(a),
                (DataType::Int32, [a]) => negated::<Int32Type>(a),
                (DataType::Int64, [a]) => negated::<Int64Type>(a),
                (other, _) => return internal_err!("{} of {other}", operation.name()),
            };
            done.map_err(DataFusionError::from)
        })
    }
}

/// `None` where neither side is a constant that is there.
fn with_constant<T: ArrowPrimitiveType>(
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

fn both<T: ArrowPrimitiveType>(operation: Operation, a: &ArrayRef, b: &ArrayRef) -> Result<ArrayRef, ArrowError>
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
        Operation::Negate => x.negate(),
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
