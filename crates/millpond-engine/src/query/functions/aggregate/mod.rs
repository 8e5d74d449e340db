//! Aggregates that DataFusion lacks, or has with another meaning (Trino documentation, "Aggregate functions").

mod best;
mod maps;
mod moments;
mod quantile;

use super::signature::Signature;
use crate::types::TrinoType;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature as DfSignature, Volatility};
use std::sync::Arc;

/// An entry of the table.
pub(super) struct Aggregate {
    pub name: &'static str,
    /// In Trino's notation.
    pub forms: &'static [&'static str],
    /// The types of what is kept between batches, from the arguments' types and the result's.
    state: fn(&[DataType], &DataType) -> Vec<DataType>,
    make: fn(&Made) -> Result<Box<dyn Accumulator>>,
}

/// What an accumulator is made from.
pub(super) struct Made {
    /// The arguments' types.
    arguments: Vec<DataType>,
    returns: DataType,
}

/// All of them.
pub(super) fn functions() -> Vec<Aggregate> {
    let mut all = maps::functions();
    all.extend(best::functions());
    all.extend(moments::functions());
    all.extend(quantile::functions());
    all
}

/// The functions as DataFusion knows them.
pub(super) fn udfs() -> Vec<Arc<AggregateUDF>> {
    functions().into_iter().map(|entry| Arc::new(AggregateUDF::new_from_impl(Udaf::new(entry)))).collect()
}

/// An [`Aggregate`] as DataFusion calls it.
struct Udaf {
    name: &'static str,
    forms: Vec<Signature>,
    shown: &'static [&'static str],
    state: fn(&[DataType], &DataType) -> Vec<DataType>,
    make: fn(&Made) -> Result<Box<dyn Accumulator>>,
    signature: DfSignature,
}

impl Udaf {
    fn new(entry: Aggregate) -> Self {
        Self {
            name: entry.name,
            forms: entry.forms.iter().map(|form| Signature::parse(form)).collect(),
            shown: entry.forms,
            state: entry.state,
            make: entry.make,
            signature: DfSignature::user_defined(Volatility::Immutable),
        }
    }

    fn choose(&self, arguments: &[DataType]) -> Result<super::signature::Match> {
        let given: Vec<TrinoType> = arguments.iter().map(TrinoType::of_arrow).collect();
        super::choose(self.name, &self.forms, self.shown, &given)
    }
}

impl std::fmt::Debug for Udaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aggregate").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PartialEq for Udaf {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Udaf {}

impl std::hash::Hash for Udaf {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for Udaf {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &DfSignature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let found = self.choose(arguments)?;
        Ok(found.arguments.iter().zip(arguments).map(|(wanted, given)| super::arrow_target(wanted, given)).collect())
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(self.choose(arguments)?.returns.to_arrow())
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let arguments = args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        let returns = args.return_field.data_type().clone();
        let inner = (self.make)(&Made { arguments, returns: returns.clone() })?;
        Ok(Box::new(Typed { inner, returns }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let arguments: Vec<DataType> = args.input_fields.iter().map(|field| field.data_type().clone()).collect();
        let state = (self.state)(&arguments, args.return_field.data_type());
        let field = |(index, data_type)| Arc::new(Field::new(format!("{}[{index}]", args.name), data_type, true));
        Ok(state.into_iter().enumerate().map(field).collect())
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        ScalarValue::try_from(data_type)
    }
}

/// Gives results of just the type that was promised: what lists and maps call their parts differs.
#[derive(Debug)]
struct Typed {
    inner: Box<dyn Accumulator>,
    returns: DataType,
}

impl Accumulator for Typed {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.inner.evaluate()?;
        if value.data_type() == self.returns { Ok(value) } else { value.cast_to(&self.returns) }
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }
}

/// One value of a list, or of a map, as an accumulator's state and result have it.
fn list_value(values: Vec<ScalarValue>, item: &DataType) -> Result<ScalarValue> {
    let items = match values.is_empty() {
        true => arrow::array::new_empty_array(item),
        false => ScalarValue::iter_to_array(values)?,
    };
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([items.len()]);
    ScalarValue::try_from_array(&super::call::list(items, offsets, None)?, 0)
}

fn map_value(keys: Vec<ScalarValue>, values: Vec<ScalarValue>, key: &DataType, value: &DataType) -> Result<ScalarValue> {
    let array = |values: Vec<ScalarValue>, kind: &DataType| match values.is_empty() {
        true => Ok(arrow::array::new_empty_array(kind)),
        false => ScalarValue::iter_to_array(values),
    };
    let (keys, values) = (array(keys, key)?, array(values, value)?);
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([keys.len()]);
    ScalarValue::try_from_array(&super::call::map(keys, values, offsets, None)?, 0)
}
