//! Trino's functions that DataFusion lacks, or has with another meaning under the same name.

mod datetime;
mod json;
mod text;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::{Arc, LazyLock, OnceLock};

/// Adds all functions to a session; those of the same name are replaced.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    static OWN: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
        let own = datetime::functions().into_iter().chain(json::functions()).chain(text::functions());
        own.map(Arc::new).chain([to_varchar()]).collect()
    });
    for function in &*OWN {
        state.register_udf(Arc::clone(function))?;
    }
    Ok(())
}

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
fn simple(name: &'static str, returns: Returns, body: Body) -> ScalarUDF {
    ScalarUDF::new_from_impl(Simple { name, signature: Signature::variadic_any(Volatility::Immutable), returns, body })
}

/// An argument as text, whatever its Arrow form.
fn strings(array: &ArrayRef) -> Result<StringArray> {
    let text = cast(array, &DataType::Utf8)?;
    Ok(text.as_string::<i32>().clone())
}

fn arity(name: &str, arguments: &[DataType], counts: &[usize]) -> Result<()> {
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
fn map_text(array: &ArrayRef, f: impl Fn(&str) -> Result<Option<String>>) -> Result<ArrayRef> {
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

/// Anything as text, as results print it: what `CAST(x AS varchar)` means for numbers and times.
pub(crate) fn to_varchar() -> Arc<ScalarUDF> {
    static FUNCTION: OnceLock<Arc<ScalarUDF>> = OnceLock::new();
    let make = || {
        Arc::new(simple(
            "to_varchar",
            |arguments| {
                arity("to_varchar", arguments, &[1])?;
                Ok(DataType::Utf8)
            },
            |arguments| {
                let texts = crate::result::value::texts(&arguments[0]).map_err(|error| exec_datafusion_err!("{error}"))?;
                Ok(Arc::new(StringArray::from(texts)))
            },
        ))
    };
    Arc::clone(FUNCTION.get_or_init(make))
}

/// An error about one value.
fn bad<T>(message: String) -> Result<T> {
    exec_err!("{message}")
}
