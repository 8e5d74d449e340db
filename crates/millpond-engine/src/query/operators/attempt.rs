//! `TRY(x)`: NULL where evaluating `x` fails (Trino documentation, "Conditional expressions": division by zero, invalid casts and function
//! arguments, numbers out of range).
//!
//! A function's arguments are evaluated before it is called. So the expression is not an argument, but part of the function, which evaluates it
//! itself; its arguments are the columns that the expression needs. Where a batch fails, its halves are evaluated, and so on.

use crate::query::error::QueryError;
use crate::query::rewrite::MARK;
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, internal_err};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

/// The name by which it is called, and under which [`evaluated`] finds the calls.
pub(in crate::query) const TRY: &str = "try";

pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![ScalarUDF::new_from_impl(Marker { signature: Signature::any(1, Volatility::Immutable) })]
}

/// A call as it is planned, before its argument is taken in.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Marker {
    signature: Signature,
}

impl ScalarUDFImpl for Marker {
    fn name(&self) -> &str {
        TRY
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(args.arg_fields[0].as_ref().clone().with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.into_iter().next() {
            Some(value) => Ok(value),
            None => internal_err!("try without an argument"),
        }
    }
}

/// The expression of `TRY(inner)` over a schema.
///
/// # Errors
/// What is wrong with the inner expression.
pub(in crate::query) fn evaluated(inner: Expr, schema: &DFSchema) -> Result<Expr> {
    let (_, field) = inner.to_field(schema)?;
    let mut leaves: Vec<Expr> = Vec::new();
    let mut bound: Vec<String> = Vec::new();
    let body = take_leaves(inner, &mut leaves, &mut bound)?;
    let fields = leaves
        .iter()
        .enumerate()
        .map(|(index, leaf)| Ok(leaf.to_field(schema)?.1.as_ref().clone().with_name(leaf_name(index))))
        .collect::<Result<Vec<Field>>>()?;
    let leaf_schema = Arc::new(DFSchema::from_unqualified_fields(fields.into(), std::collections::HashMap::new())?);
    let context = SimplifyContext::builder().with_schema(Arc::clone(&leaf_schema)).build();
    let simplifier = ExprSimplifier::new(context);
    let body = simplifier.coerce(body, &leaf_schema)?;
    let body = simplifier.simplify(body)?;
    let attempt = Attempt {
        body,
        leaves: leaf_schema,
        physical: OnceLock::new(),
        field: Arc::new(field.as_ref().clone().with_name(TRY).with_nullable(true)),
        signature: Signature::one_of(vec![TypeSignature::VariadicAny, TypeSignature::Nullary], Volatility::Immutable),
    };
    Ok(ScalarUDF::new_from_impl(attempt).call(leaves))
}

fn leaf_name(index: usize) -> String {
    format!("{MARK}{index}")
}

/// What comes from outside becomes a column of the function's own.
fn take_leaves(expr: Expr, leaves: &mut Vec<Expr>, bound: &mut Vec<String>) -> Result<Expr> {
    expr.transform_down(|expr| {
        if let Expr::Lambda(lambda) = &expr {
            bound.extend(lambda.params.iter().cloned());
        }
        let outside = match &expr {
            Expr::LambdaVariable(variable) => !bound.contains(&variable.name),
            Expr::Column(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::ScalarSubquery(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::AggregateFunction(_)
            | Expr::WindowFunction(_)
            | Expr::Placeholder(_) => true,
            _ => false,
        };
        if !outside {
            return Ok(Transformed::no(expr));
        }
        let index = leaves.iter().position(|leaf| *leaf == expr).unwrap_or_else(|| {
            leaves.push(expr.clone());
            leaves.len() - 1
        });
        let column = Expr::Column(Column::from_name(leaf_name(index)));
        Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
    })
    .map(|transformed| transformed.data)
}

#[derive(Debug)]
struct Attempt {
    body: Expr,
    leaves: Arc<DFSchema>,
    /// Made with the statement's options when it is called first.
    physical: OnceLock<Arc<dyn PhysicalExpr>>,
    field: FieldRef,
    signature: Signature,
}

impl PartialEq for Attempt {
    fn eq(&self, other: &Self) -> bool {
        self.body == other.body && self.leaves == other.leaves
    }
}

impl Eq for Attempt {}

impl Hash for Attempt {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.body.hash(state);
    }
}

impl ScalarUDFImpl for Attempt {
    fn name(&self) -> &str {
        "attempt"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = args.args.into_iter().map(|argument| argument.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let columns = columns
            .into_iter()
            .zip(self.leaves.fields())
            .map(|(column, field)| {
                if column.data_type() == field.data_type() {
                    Ok(column)
                } else {
                    arrow::compute::cast(&column, field.data_type())
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let nullable: Vec<Field> = self.leaves.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(nullable)), columns, &options)?;
        let physical = match self.physical.get() {
            Some(physical) => Arc::clone(physical),
            None => {
                let known = ExecutionProps { config_options: Some(Arc::clone(&args.config_options)), ..ExecutionProps::new() };
                let made = create_physical_expr(&self.body, &self.leaves, &known)?;
                Arc::clone(self.physical.get_or_init(|| made))
            }
        };
        let done = self.rows(&physical, &batch)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&done, 0)?));
        }
        Ok(ColumnarValue::Array(done))
    }
}

impl Attempt {
    fn rows(&self, physical: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        let error = match physical.evaluate(batch).and_then(|value| value.into_array(rows)) {
            Ok(values) => return Ok(values),
            Err(error) => QueryError::from_execution(error),
        };
        if !is_caught(&error) {
            return Err(error.into());
        }
        if rows <= 1 {
            return Ok(new_null_array(self.field.data_type(), rows));
        }
        let half = rows / 2;
        let (first, second) =
            (self.rows(physical, &batch.slice(0, half))?, self.rows(physical, &batch.slice(half, rows - half))?);
        let both: Vec<&dyn Array> = vec![first.as_ref(), second.as_ref()];
        Ok(concat(&both)?)
    }
}

/// What becomes NULL; all else is an error still.
fn is_caught(error: &QueryError) -> bool {
    matches!(
        error,
        QueryError::DivisionByZero | QueryError::InvalidCast(_) | QueryError::InvalidArgument(_) | QueryError::OutOfRange(_)
    )
}
