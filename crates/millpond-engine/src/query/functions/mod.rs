//! Trino's functions that DataFusion lacks, or has with another meaning under the same name.
//!
//! A function is an entry of its group's table: name, the forms that Trino documents, and a body that works on columns. The forms decide which
//! arguments are taken, how they are converted, and what type comes out ([`signature`]); the body sees arguments of just those types
//! ([`call::Call`]). What is made is bounded. Functions with lambdas are in [`lambda`], aggregates in [`aggregate`]; [`catalog`] knows all of
//! them, with those that DataFusion brings, for the documentation.

mod aggregate;
mod array;
mod binary;
mod bitwise;
mod call;
#[cfg(test)]
mod catalog;
mod comparison;
mod datetime;
mod format;
pub(crate) mod json;
mod lambda;
pub(in crate::query) mod limits;
pub(crate) mod listed;
mod map;
mod math;
mod network;
pub(crate) mod planner;
mod regexp;
mod signature;
mod string;
pub(crate) mod syntax;
mod types;
mod url;

use crate::query::QueryError;
use crate::query::error::Position;
use crate::types::TrinoType;
use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use call::Call;
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, HigherOrderUDF, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature as DfSignature, TypeSignature, Volatility,
};
pub(crate) use limits::StatementLimits;
use signature::Signature;
use std::sync::{Arc, LazyLock, OnceLock};

/// What a function computes, a batch at a time.
type Body = fn(&Call<'_>) -> Result<ArrayRef>;

/// Finds a result's type from the arguments' where the forms cannot say it.
type Returns = fn(&[FieldRef], &[Option<&ScalarValue>]) -> Result<FieldRef>;

/// An entry of a group's table.
struct Function {
    name: &'static str,
    /// In Trino's notation.
    forms: &'static [&'static str],
    body: Body,
    returns: Option<Returns>,
    /// Each row, and each call, gives another value.
    volatile: bool,
}

/// A function whose result follows from its arguments.
const fn function(name: &'static str, forms: &'static [&'static str], body: Body) -> Function {
    Function { name, forms, body, returns: None, volatile: false }
}

/// A function whose result's type is not in its forms.
const fn typed(name: &'static str, forms: &'static [&'static str], returns: Returns, body: Body) -> Function {
    Function { name, forms, body, returns: Some(returns), volatile: false }
}

/// A function of chance.
const fn volatile(name: &'static str, forms: &'static [&'static str], body: Body) -> Function {
    Function { name, forms, body, returns: None, volatile: true }
}

/// All scalar functions, by group.
fn groups() -> Vec<(&'static str, Vec<Function>)> {
    vec![
        ("String", string::functions()),
        ("Regular expression", regexp::functions()),
        ("URL", url::functions()),
        ("Binary", binary::functions()),
        ("Bitwise", bitwise::functions()),
        ("Mathematical", math::functions()),
        ("Array", array::functions()),
        ("Map", map::functions()),
        ("Date and time", datetime::functions()),
        ("JSON", json::functions()),
        ("Comparison", comparison::functions()),
        ("UUID", comparison::uuid()),
        ("Conversion", types::functions()),
        ("Conversion", format::functions()),
    ]
}

/// All scalar functions, as DataFusion knows them.
static SCALARS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
    let own = groups().into_iter().flat_map(|(_, functions)| functions).chain([types::lambda_body()]);
    own.map(|function| Arc::new(Scalar::udf(function))).chain([to_varchar()]).collect()
});

/// The scalar function of a name.
fn scalar(name: &str) -> Option<Arc<ScalarUDF>> {
    SCALARS.iter().find(|function| function.name() == name).map(Arc::clone)
}

/// DataFusion's functions that are called by a name of theirs: as they are documented (see [`listed`]), or by what calls are rewritten to. No other
/// is known to a session.
pub(crate) const KEPT: &[&str] = &[
    "approx_distinct",
    "array_agg",
    "array_has",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "coalesce",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "cume_dist",
    "current_date",
    "date_part",
    "date_trunc",
    "dense_rank",
    "first_value",
    "get_field",
    "grouping",
    "lag",
    "last_value",
    "lead",
    "max",
    "min",
    "now",
    "nth_value",
    "ntile",
    "nullif",
    "percent_rank",
    "rank",
    "regr_intercept",
    "regr_slope",
    "row_number",
    "stddev",
    "stddev_pop",
    "sum",
    "var",
    "var_pop",
];

/// The names of all that [`register`] and the planner's operators add.
#[cfg(test)]
pub(crate) fn own_names() -> std::collections::BTreeSet<String> {
    let mut state = datafusion::execution::session_state::SessionStateBuilder::new().build();
    register(&mut state).expect("the functions have distinct names");
    crate::query::operators::register(&mut state).expect("the functions have distinct names");
    let names = state.scalar_functions().keys().chain(state.aggregate_functions().keys());
    names.chain(state.higher_order_functions().keys()).cloned().collect()
}

/// Adds all functions to a session; those of the same name are replaced.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    static LAMBDAS: LazyLock<Vec<Arc<HigherOrderUDF>>> = LazyLock::new(lambda::udfs);
    static AGGREGATES: LazyLock<Vec<Arc<AggregateUDF>>> = LazyLock::new(aggregate::udfs);
    for function in &*SCALARS {
        state.register_udf(Arc::clone(function))?;
    }
    for function in &*LAMBDAS {
        state.register_higher_order_function(Arc::clone(function))?;
    }
    for function in &*AGGREGATES {
        state.register_udaf(Arc::clone(function))?;
    }
    Ok(())
}

/// A [`Function`] as DataFusion calls it.
struct Scalar {
    name: &'static str,
    forms: Vec<Signature>,
    shown: &'static [&'static str],
    body: Body,
    returns: Option<Returns>,
    signature: DfSignature,
}

impl std::fmt::Debug for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scalar").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Scalar {}

impl std::hash::Hash for Scalar {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Scalar {
    fn udf(function: Function) -> ScalarUDF {
        let nullary = function.forms.iter().filter(|form| form.starts_with("()")).count();
        let volatility = if function.volatile { Volatility::Volatile } else { Volatility::Immutable };
        ScalarUDF::new_from_impl(Self {
            name: function.name,
            forms: function.forms.iter().map(|form| Signature::parse(form)).collect(),
            shown: function.forms,
            body: function.body,
            returns: function.returns,
            // Without arguments there is nothing to convert.
            signature: match nullary {
                0 => DfSignature::user_defined(volatility),
                all if all == function.forms.len() => DfSignature::nullary(volatility),
                _ => DfSignature::one_of(vec![TypeSignature::Nullary, TypeSignature::UserDefined], volatility),
            },
        })
    }

    fn choose(&self, arguments: &[TrinoType]) -> Result<signature::Match> {
        choose(self.name, &self.forms, self.shown, arguments)
    }
}

/// The form that takes these arguments, or Trino's words for that there is none.
fn choose(name: &str, forms: &[Signature], shown: &[&str], arguments: &[TrinoType]) -> Result<signature::Match> {
    signature::choose(forms, arguments).ok_or_else(|| {
        if name == "concat" && arguments.len() < 2 {
            return QueryError::InvalidArgument("There must be two or more concatenation arguments".into()).into();
        }
        let given: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let expected: Vec<String> =
            shown.iter().map(|form| format!("{name}{}", form.split(" -> ").next().unwrap_or_default())).collect();
        let message =
            format!("Unexpected parameters ({}) for function {name}. Expected: {}", given.join(", "), expected.join(", "));
        QueryError::TypeMismatch { position: Position::START, message }.into()
    })
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &DfSignature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let given: Vec<TrinoType> = arguments.iter().map(TrinoType::of_arrow).collect();
        let found = self.choose(&given)?;
        Ok(found.arguments.iter().zip(arguments).map(|(wanted, given)| arrow_target(wanted, given)).collect())
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let given: Vec<TrinoType> = arguments.iter().map(TrinoType::of_arrow).collect();
        Ok(self.choose(&given)?.returns.to_arrow())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        if let Some(returns) = self.returns {
            return returns(args.arg_fields, args.scalar_arguments);
        }
        let given: Vec<TrinoType> = args.arg_fields.iter().map(|field| TrinoType::of_field(field)).collect();
        let found = self.choose(&given)?;
        // The zone of a time is the column's.
        let zoned = args.arg_fields.iter().find(|field| matches!(field.data_type(), DataType::Timestamp(_, Some(_))));
        if let (TrinoType::TimestampWithZone(_), Some(field)) = (&found.returns, zoned) {
            let DataType::Timestamp(_, zone) = field.data_type() else { unreachable!("it is a time") };
            let target = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, zone.clone());
            return Ok(Arc::new(arrow::datatypes::Field::new(self.name, target, true)));
        }
        Ok(found.returns.field_ref(self.name))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let constant = constant && self.signature.volatility != Volatility::Volatile;
        let rows = if constant { 1 } else { arguments.number_rows };
        let returns = arguments.return_field.data_type().clone();
        let options = &arguments.config_options;
        let result = limits::made(&arguments.args, rows, options, &|arrays, _, rows| {
            let call = Call { arrays, fields: &arguments.arg_fields, rows, returns: &returns, options };
            let result = (self.body)(&call)?;
            if *result.data_type() == returns { Ok(result) } else { Ok(cast(&result, &returns)?) }
        })?;
        if constant {
            let value = ScalarValue::try_from_array(&result, 0)?;
            limits::count_constant(&value, options)?;
            return Ok(ColumnarValue::Scalar(value));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// The Arrow type that an argument is converted to; it stays as it is where it stands for the type that is wanted.
fn arrow_target(wanted: &TrinoType, given: &DataType) -> DataType {
    use arrow::datatypes::TimeUnit;
    let target = wanted.to_arrow();
    match (&target, given) {
        // Months, days and less in one are taken apart by whoever needs them.
        (DataType::Duration(_) | DataType::Interval(_), DataType::Duration(_) | DataType::Interval(_)) => given.clone(),
        (DataType::Timestamp(_, Some(_)), DataType::Timestamp(_, zone @ Some(_))) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        (DataType::List(item), DataType::List(field)) if item.data_type() == field.data_type() => given.clone(),
        (DataType::Map(_, _), DataType::Map(_, _)) if TrinoType::of_arrow(given).to_arrow() == target => given.clone(),
        _ => target,
    }
}

/// Anything as text, as results print it: what `CAST(x AS varchar)` means for numbers and times.
pub(crate) fn to_varchar() -> Arc<ScalarUDF> {
    static FUNCTION: OnceLock<Arc<ScalarUDF>> = OnceLock::new();
    let make = || {
        Arc::new(Scalar::udf(function("to_varchar", &["(T) -> varchar"], |call| {
            let texts = crate::result::value::texts(&call.arrays[0]).map_err(|error| exec_datafusion_err!("{error}"))?;
            Ok(Arc::new(arrow::array::StringArray::from(texts)))
        })))
    };
    Arc::clone(FUNCTION.get_or_init(make))
}
