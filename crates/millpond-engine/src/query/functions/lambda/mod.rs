//! Functions with lambdas (Trino documentation, "Lambda expressions", "Array functions", "Map functions").
//!
//! A lambda is evaluated over whole columns: the items of all rows' arrays at once, with what it captures of a row repeated for each of its items.

mod arrays;
mod maps;
mod reduce;
mod regexp;
mod sort;

use super::call::span;
use super::limits;
use crate::query::QueryError;
use crate::query::error::Position;
use crate::query::functions::limits::{Room, take};
use crate::query::width::bytes_of;
use arrow::array::{Array, ArrayRef, ListArray, UInt32Array, new_empty_array};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature, HigherOrderUDF, HigherOrderUDFImpl,
    LambdaArgument, LambdaParametersProgress, ValueOrLambda, Volatility,
};
use std::sync::Arc;

/// An entry of the table: a name, its forms for the documentation, and how it works.
pub(super) struct HigherOrder {
    pub name: &'static str,
    pub forms: &'static [&'static str],
    kind: &'static dyn Kind,
}

/// All of them.
pub(super) fn functions() -> Vec<HigherOrder> {
    let entry = |name, forms, kind| HigherOrder { name, forms, kind };
    vec![
        entry("transform", &["(array(T), (T) -> U) -> array(U)"], &arrays::Transform),
        entry("filter", &["(array(T), (T) -> boolean) -> array(T)"], &arrays::Filter),
        entry("any_match", &["(array(T), (T) -> boolean) -> boolean"], &arrays::Match { all: false, negated: false }),
        entry("all_match", &["(array(T), (T) -> boolean) -> boolean"], &arrays::Match { all: true, negated: false }),
        entry("none_match", &["(array(T), (T) -> boolean) -> boolean"], &arrays::Match { all: false, negated: true }),
        entry("zip_with", &["(array(T), array(U), (T, U) -> R) -> array(R)"], &arrays::ZipWith),
        entry("reduce", &["(array(T), S, (S, T) -> S, (S) -> R) -> R"], &reduce::Reduce),
        entry("array_sort_by", &["(array(T), (T, T) -> bigint) -> array(T)"], &sort::SortBy),
        entry("map_filter", &["(map(K,V), (K, V) -> boolean) -> map(K,V)"], &maps::Filter),
        entry("transform_values", &["(map(K,V), (K, V) -> W) -> map(K,W)"], &maps::TransformValues),
        entry("transform_keys", &["(map(K,V), (K, V) -> L) -> map(L,V)"], &maps::TransformKeys),
        entry("map_zip_with", &["(map(K,V), map(K,W), (K, V, W) -> R) -> map(K,R)"], &maps::ZipWith),
        entry("regexp_replace_by", &["(varchar, varchar, (array(varchar)) -> varchar) -> varchar"], &regexp::Replace),
    ]
}

/// The functions as DataFusion knows them.
pub(super) fn udfs() -> Vec<Arc<HigherOrderUDF>> {
    functions().into_iter().map(|function| Arc::new(HigherOrderUDF::new_from_impl(Function::new(&function)))).collect()
}

/// What of the arguments is known while planning: the type of a value, the type of a lambda's result once it is known.
type Known<'a> = &'a [ValueOrLambda<FieldRef, Option<FieldRef>>];

/// How a function with lambdas works.
trait Kind: Sync {
    /// The types that the values are converted to, or `None` where they do not fit.
    fn values(&self, given: &[DataType]) -> Option<Vec<DataType>>;

    /// The types of each lambda's parameters, as far as they are known (`false`: ask again with what is known by then).
    fn parameters(&self, values: &[DataType], results: &[Option<DataType>]) -> (Vec<Option<Vec<DataType>>>, bool);

    /// The result's type.
    fn returns(&self, values: &[DataType], results: &[DataType]) -> DataType;

    /// What the values are converted to once the lambdas' results are known.
    fn convert(&self, _values: &[DataType], _results: &[DataType]) -> Option<Vec<DataType>> {
        None
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ArrayRef>;
}

/// What a lambda has given so far.
#[derive(Default)]
struct MadeParts {
    parts: Vec<ArrayRef>,
    bytes: usize,
}

/// A call over a batch of rows.
struct Invocation<'a> {
    values: Vec<ArrayRef>,
    lambdas: Vec<&'a LambdaArgument>,
    /// The types of the lambdas' results.
    results: Vec<DataType>,
    returns: &'a DataType,
    /// Rows of the batch that come before those of the call.
    before: usize,
    rows: usize,
    options: &'a ConfigOptions,
}

impl Invocation<'_> {
    fn list(&self, index: usize) -> &ListArray {
        arrow::array::AsArray::as_list::<i32>(&self.values[index])
    }

    fn map(&self, index: usize) -> &arrow::array::MapArray {
        arrow::array::AsArray::as_map(&self.values[index])
    }

    /// A lambda over columns of its parameters; `owners` says to which row of the call each belongs.
    fn apply(&self, lambda: usize, parameters: &[ArrayRef], owners: &[u32]) -> Result<ArrayRef> {
        if owners.is_empty() {
            return Ok(new_empty_array(&self.results[lambda]));
        }
        let mut made = MadeParts::default();
        self.apply_to(lambda, parameters, owners, &mut made)?;
        match made.parts.as_slice() {
            [whole] => Ok(Arc::clone(whole)),
            parts => Ok(concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?),
        }
    }

    /// In halves, where it would take too much memory at once.
    fn apply_to(&self, lambda: usize, parameters: &[ArrayRef], owners: &[u32], made: &mut MadeParts) -> Result<()> {
        limits::check_running(self.options)?;
        let given: Vec<_> = parameters.iter().map(|column| move || Ok(Arc::clone(column))).collect();
        let given: Vec<&dyn Fn() -> Result<ArrayRef>> = given.iter().map(|give| give as &dyn Fn() -> Result<ArrayRef>).collect();
        let places: UInt32Array = owners.iter().map(|owner| Some(*owner + self.before as u32)).collect();
        let room = Room::of(owners.len());
        let spread =
            |captures: &[ArrayRef]| captures.iter().map(|capture| take(capture, &places, room)).collect::<Result<Vec<_>>>();
        let result = self.lambdas[lambda].evaluate(&given, spread).and_then(|value| limits::expanded(value, owners.len()));
        match result {
            Ok(result) => {
                made.bytes += bytes_of(result.as_ref());
                Room::of(self.rows).check("what a lambda gives for a batch", made.bytes, 0)?;
                made.parts.push(result);
            }
            Err(error) if owners.len() > 1 && limits::is_wide(&error) => {
                let half = owners.len() / 2;
                for (from, count) in [(0, half), (half, owners.len() - half)] {
                    let part: Vec<ArrayRef> = parameters.iter().map(|column| column.slice(from, count)).collect();
                    self.apply_to(lambda, &part, &owners[from..from + count], made)?;
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The same, as booleans.
    fn test(&self, parameters: &[ArrayRef], owners: &[u32]) -> Result<arrow::array::BooleanArray> {
        let verdicts = cast(&self.apply(0, parameters, owners)?, &DataType::Boolean)?;
        Ok(arrow::array::AsArray::as_boolean(&verdicts).clone())
    }
}

/// The items of all lists one after the other: where they lie, and to which row each belongs. NULL rows have none.
struct Flat {
    places: Vec<u32>,
    owners: Vec<u32>,
    room: Room,
}

impl Flat {
    fn of(offsets: &[i32], array: &dyn Array) -> Result<Self> {
        let mut flat = Self { places: Vec::new(), owners: Vec::new(), room: Room::of(array.len()) };
        for row in (0..array.len()).filter(|row| array.is_valid(*row)) {
            let range = span(offsets, row);
            flat.room.check("the arrays of a batch", 0, flat.owners.len() + range.len())?;
            flat.owners.extend(std::iter::repeat_n(row as u32, range.len()));
            flat.places.extend(range.map(|place| place as u32));
        }
        Ok(flat)
    }

    /// The items.
    fn items(&self, values: &ArrayRef) -> Result<ArrayRef> {
        if let (Some(first), Some(last)) = (self.places.first(), self.places.last())
            && (last - first) as usize + 1 == self.places.len()
        {
            return Ok(values.slice(*first as usize, self.places.len()));
        }
        take(values.as_ref(), &UInt32Array::from(self.places.clone()), self.room)
    }
}

/// The item's type of what is, or becomes, a list.
fn item_of(list: &DataType) -> DataType {
    match list {
        DataType::List(item) => item.data_type().clone(),
        _ => DataType::Null,
    }
}

/// A list's type, where that is or can be made one.
fn as_list(given: &DataType) -> Option<DataType> {
    Some(match given {
        DataType::List(_) => given.clone(),
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) | DataType::ListView(item) => {
            crate::types::trino::list_of(item.data_type().clone())
        }
        DataType::Null => crate::types::trino::list_of(DataType::Null),
        _ => return None,
    })
}

/// Key and value of a map's type.
fn entry_of(map: &DataType) -> (DataType, DataType) {
    match map {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => (pair[0].data_type().clone(), pair[1].data_type().clone()),
            _ => (DataType::Null, DataType::Null),
        },
        _ => (DataType::Null, DataType::Null),
    }
}

fn as_map(given: &DataType) -> Option<DataType> {
    match given {
        DataType::Map(_, _) => Some(given.clone()),
        DataType::Null => Some(crate::types::trino::map_of(DataType::Null, DataType::Null)),
        _ => None,
    }
}

/// A [`HigherOrder`] as DataFusion calls it.
struct Function {
    name: &'static str,
    forms: &'static [&'static str],
    kind: &'static dyn Kind,
    signature: HigherOrderSignature,
}

impl Function {
    fn new(entry: &HigherOrder) -> Self {
        let signature = HigherOrderSignature::user_defined(Volatility::Immutable);
        Self { name: entry.name, forms: entry.forms, kind: entry.kind, signature }
    }

    fn wrong(&self) -> DataFusionError {
        let shown = self.name.trim_end_matches("_by");
        let forms: Vec<String> = self.forms.iter().map(|form| format!("{shown}{form}")).collect();
        let message = format!("Unexpected parameters for function {shown}. Expected: {}", forms.join(", "));
        QueryError::TypeMismatch { position: Position::START, message }.into()
    }

    /// How many lambdas the forms have.
    fn lambdas(&self) -> usize {
        self.forms[0].matches("->").count() - 1
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HigherOrder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl std::hash::Hash for Function {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

fn nullable(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("", data_type, true))
}

fn known(fields: Known<'_>) -> (Vec<DataType>, Vec<Option<DataType>>) {
    let (mut values, mut results) = (Vec::new(), Vec::new());
    for field in fields {
        match field {
            ValueOrLambda::Value(field) => values.push(field.data_type().clone()),
            ValueOrLambda::Lambda(field) => results.push(field.as_ref().map(|field| field.data_type().clone())),
        }
    }
    (values, results)
}

impl HigherOrderUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    fn coerce_value_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        self.kind.values(given).ok_or_else(|| self.wrong())
    }

    fn lambda_parameters(&self, _step: usize, fields: Known<'_>) -> Result<LambdaParametersProgress> {
        let (values, results) = known(fields);
        if results.len() != self.lambdas() || self.kind.values(&values).is_none() {
            return Err(self.wrong());
        }
        let (parameters, done) = self.kind.parameters(&values, &results);
        let fields = |types: Vec<DataType>| types.into_iter().map(nullable).collect::<Vec<_>>();
        if done {
            let complete = parameters.into_iter().map(|types| types.map(fields).ok_or_else(|| self.wrong()));
            return Ok(LambdaParametersProgress::Complete(complete.collect::<Result<_>>()?));
        }
        Ok(LambdaParametersProgress::Partial(parameters.into_iter().map(|types| types.map(fields)).collect()))
    }

    fn coerce_values_for_lambdas(&self, fields: &[ValueOrLambda<DataType, DataType>]) -> Result<Option<Vec<DataType>>> {
        let (mut values, mut results) = (Vec::new(), Vec::new());
        for field in fields {
            match field {
                ValueOrLambda::Value(data_type) => values.push(data_type.clone()),
                ValueOrLambda::Lambda(data_type) => results.push(data_type.clone()),
            }
        }
        Ok(self.kind.convert(&values, &results))
    }

    fn return_field_from_args(&self, args: HigherOrderReturnFieldArgs<'_>) -> Result<FieldRef> {
        let (mut values, mut results) = (Vec::new(), Vec::new());
        for field in args.arg_fields {
            match field {
                ValueOrLambda::Value(field) => values.push(field.data_type().clone()),
                ValueOrLambda::Lambda(field) => results.push(field.data_type().clone()),
            }
        }
        if results.len() != self.lambdas() {
            return Err(self.wrong());
        }
        Ok(nullable(self.kind.returns(&values, &results)))
    }

    fn invoke_with_args(&self, args: HigherOrderFunctionArgs) -> Result<ColumnarValue> {
        let (mut values, mut lambdas, mut results) = (Vec::new(), Vec::new(), Vec::new());
        for (argument, field) in args.args.iter().zip(&args.arg_fields) {
            match (argument, field) {
                (ValueOrLambda::Value(value), _) => values.push(value.clone()),
                (ValueOrLambda::Lambda(lambda), ValueOrLambda::Lambda(field) | ValueOrLambda::Value(field)) => {
                    lambdas.push(lambda);
                    results.push(field.data_type().clone());
                }
            }
        }
        let (returns, options) = (args.return_field.data_type(), args.config_options.as_ref());
        let result = limits::made(&values, args.number_rows, options, &|values, before, rows| {
            let (lambdas, results) = (lambdas.clone(), results.clone());
            let call = Invocation { values: values.to_vec(), lambdas, results, returns, before, rows, options };
            let result = self.kind.run(&call)?;
            if result.data_type() == returns { Ok(result) } else { Ok(cast(&result, returns)?) }
        })?;
        Ok(ColumnarValue::Array(result))
    }
}
