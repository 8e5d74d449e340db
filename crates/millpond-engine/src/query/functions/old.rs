//! Functions of texts and times that are not entries of a table yet.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// What a function computes, column at a time; all arguments are arrays of the same length.
type Body = fn(&[ArrayRef]) -> Result<ArrayRef>;
/// What it returns for argument types, or why it does not take them.
type Returns = fn(&[DataType]) -> Result<DataType>;

/// A function without state.
#[derive(Debug)]
struct Simple {
    name: &'static str,
    signature: Signature,
    returns: Returns,
    body: Body,
}

impl PartialEq for Simple {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Simple {}

impl std::hash::Hash for Simple {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Simple {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        (self.returns)(arguments)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { arguments.number_rows };
        let arrays = arguments.args.into_iter().map(|argument| argument.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let result = (self.body)(&arrays)?;
        if constant {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// A deterministic function of any arguments that `returns` accepts.
pub(super) fn simple(name: &'static str, returns: Returns, body: Body) -> ScalarUDF {
    ScalarUDF::new_from_impl(Simple { name, signature: Signature::variadic_any(Volatility::Immutable), returns, body })
}

/// An argument as text, whatever its Arrow form.
pub(super) fn strings(array: &ArrayRef) -> Result<StringArray> {
    let text = cast(array, &DataType::Utf8)?;
    Ok(text.as_string::<i32>().clone())
}

pub(super) fn arity(name: &str, arguments: &[DataType], counts: &[usize]) -> Result<()> {
    if counts.contains(&arguments.len()) {
        return Ok(());
    }
    let counts: Vec<String> = counts.iter().map(ToString::to_string).collect();
    Err(datafusion::common::plan_datafusion_err!(
        "argument type: function {name} takes {} argument(s), not {}",
        counts.join(" or "),
        arguments.len()
    ))
}

/// One text to a text or NULL for each row.
pub(super) fn map_text(array: &ArrayRef, f: impl Fn(&str) -> Result<Option<String>>) -> Result<ArrayRef> {
    let values = strings(array)?;
    let mut out = StringBuilder::with_capacity(values.len(), 0);
    for value in &values {
        match value.map(&f).transpose()?.flatten() {
            Some(text) => out.append_value(text),
            None => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// An error about one value.
pub(super) fn bad<T>(message: String) -> Result<T> {
    exec_err!("{message}")
}
