//! Chains of exact arithmetic: `a + b * c - d` from left to right, as one call.
//!
//! A call a sign would make a tree as deep as the chain is long, and the planner walks trees by recursion. So what is computed from left to right is
//! one function whose steps are part of it, and whose arguments lie side by side.

use super::{arithmetic, decimal, interval};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// What is done with the value so far and the next argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Two integers of one type.
    Integer(arithmetic::Operation),
    /// Two decimals.
    Decimal(arithmetic::Operation),
    /// Intervals, numbers and times.
    Interval(interval::Operation),
}

impl Step {
    fn result(self, left: &DataType, right: &DataType) -> Result<DataType> {
        match self {
            Self::Integer(_) => Ok(left.clone()),
            Self::Decimal(operation) => decimal::result_type(operation, left, right),
            Self::Interval(operation) => Ok(interval::result_type(operation, left)),
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Integer(operation) | Self::Decimal(operation) => operation.sign(),
            Self::Interval(operation) => operation.sign(),
        }
    }
}

/// The expression that does one more step.
pub(super) fn then(left: Expr, step: Step, right: Expr) -> Expr {
    let (mut steps, mut arguments) = match &left {
        Expr::ScalarFunction(call) => match call.func.inner().downcast_ref::<Chain>() {
            Some(chain) => (chain.steps.clone(), call.args.clone()),
            None => (Vec::new(), vec![left]),
        },
        _ => (Vec::new(), vec![left]),
    };
    steps.push(step);
    arguments.push(right);
    let chain = Chain { steps, signature: Signature::variadic_any(Volatility::Immutable) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(chain)), arguments))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Chain {
    steps: Vec<Step>,
    signature: Signature,
}

impl Chain {
    fn written(&self, arguments: &[String]) -> String {
        let mut out = arguments.first().cloned().unwrap_or_default();
        for (step, argument) in self.steps.iter().zip(arguments.iter().skip(1)) {
            out.push(' ');
            out.push_str(step.sign());
            out.push(' ');
            out.push_str(argument);
        }
        out
    }
}

impl ScalarUDFImpl for Chain {
    fn name(&self) -> &str {
        "arithmetic"
    }

    fn display_name(&self, arguments: &[Expr]) -> Result<String> {
        Ok(self.written(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>()))
    }

    fn schema_name(&self, arguments: &[Expr]) -> Result<String> {
        Ok(self.written(&arguments.iter().map(|argument| argument.schema_name().to_string()).collect::<Vec<_>>()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let Some(first) = arguments.first() else { return internal_err!("arithmetic without operands") };
        self.steps.iter().zip(&arguments[1..]).try_fold(first.clone(), |known, (step, next)| step.result(&known, next))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let mut arguments = args.args.into_iter();
        let Some(mut known) = arguments.next() else { return internal_err!("arithmetic without operands") };
        for (step, next) in self.steps.iter().zip(arguments) {
            let constant = matches!((&known, &next), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
            let rows = if constant { 1 } else { rows };
            let done = evaluate(*step, known, next, rows)?;
            known =
                if constant { ColumnarValue::Scalar(ScalarValue::try_from_array(&done, 0)?) } else { ColumnarValue::Array(done) };
        }
        Ok(known)
    }
}

fn evaluate(step: Step, left: ColumnarValue, right: ColumnarValue, rows: usize) -> Result<ArrayRef> {
    match step {
        Step::Integer(operation) => {
            if let Some(done) = arithmetic::with_constant(operation, &left, &right) {
                return Ok(done?);
            }
            Ok(arithmetic::both(operation, &left.into_array(rows)?, &right.into_array(rows)?)?)
        }
        Step::Decimal(operation) => decimal::apply(operation, left, right, rows),
        Step::Interval(operation) => Ok(interval::apply(operation, &left.into_array(rows)?, &right.into_array(rows)?)?),
    }
}

/// The type of a chain, from the types of its arguments: none, if it is no chain.
pub(super) fn type_of(expr: &Expr, of: impl Fn(&Expr) -> Result<DataType>) -> Option<Result<DataType>> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let chain = call.func.inner().downcast_ref::<Chain>()?;
    let types = call.args.iter().map(of).collect::<Result<Vec<_>>>();
    Some(types.and_then(|types| chain.return_type(&types)))
}
