//! `sum` of integers, whose overflow is an error. All other sums are DataFusion's.

use crate::query::error::QueryError;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
};
use std::sync::Arc;

/// The aggregate that takes the place of DataFusion's.
pub(super) fn function() -> AggregateUDF {
    AggregateUDF::new_from_impl(CheckedSum { plain: sum_udaf() })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedSum {
    plain: Arc<AggregateUDF>,
}

/// Sums that are checked here: those of integers, without `DISTINCT`.
fn is_checked(args: &AccumulatorArgs<'_>) -> bool {
    *args.return_field.data_type() == DataType::Int64 && !args.is_distinct
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        self.plain.signature()
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.plain.coerce_types(arguments)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.plain.return_type(arguments)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if is_checked(&args) {
            return Ok(Box::new(One::default()));
        }
        self.plain.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        if *args.return_field.data_type() == DataType::Int64 && !args.is_distinct {
            let name = format_state_name(args.name, "sum");
            return Ok(vec![Arc::new(arrow::datatypes::Field::new(name, DataType::Int64, true))]);
        }
        self.plain.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        is_checked(&args) || self.plain.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        if is_checked(&args) {
            return Ok(Box::new(Groups::default()));
        }
        self.plain.create_groups_accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.plain.create_sliding_accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.plain.inner().set_monotonicity(data_type)
    }
}

fn integers(values: &[ArrayRef]) -> Result<&Int64Array> {
    match values.first().and_then(|values| values.as_primitive_opt::<Int64Type>()) {
        Some(values) => Ok(values),
        None => internal_err!("a sum of integers takes integers"),
    }
}

#[inline]
fn add(sum: i64, value: i64) -> Result<i64> {
    match sum.checked_add(value) {
        Some(sum) => Ok(sum),
        None => Err(QueryError::OutOfRange(format!("bigint addition overflow: {sum} + {value}")).into()),
    }
}

/// Of all rows; `None` where there were no values.
#[derive(Debug, Default)]
struct One(Option<i64>);

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = integers(values)?;
        if values.null_count() == values.len() {
            return Ok(());
        }
        let mut sum = self.0.unwrap_or(0);
        for value in values.iter().flatten() {
            sum = add(sum, value)?;
        }
        self.0 = Some(sum);
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(self.0))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

/// One sum for each group.
#[derive(Debug, Default)]
struct Groups {
    sums: Vec<i64>,
    /// Whether the group has values.
    seen: Vec<bool>,
}

impl GroupsAccumulator for Groups {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        let values = integers(values)?;
        self.sums.resize(total, 0);
        self.seen.resize(total, false);
        if values.null_count() == 0 && filter.is_none() {
            for (group, value) in groups.iter().zip(values.values()) {
                self.sums[*group] = add(self.sums[*group], *value)?;
                self.seen[*group] = true;
            }
            return Ok(());
        }
        for (row, group) in groups.iter().enumerate() {
            let counts = values.is_valid(row) && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if counts {
                self.sums[*group] = add(self.sums[*group], values.value(row))?;
                self.seen[*group] = true;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (sums, seen) = (emit.take_needed(&mut self.sums), emit.take_needed(&mut self.seen));
        let nulls = NullBuffer::new(BooleanBuffer::from(seen));
        Ok(Arc::new(PrimitiveArray::<Int64Type>::new(sums.into(), Some(nulls))))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.update_batch(values, groups, filter, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = integers(values)?;
        let Some(filter) = filter else { return Ok(vec![Arc::new(values.clone())]) };
        let kept = arrow::compute::nullif(values, &arrow::compute::not(&arrow::compute::prep_null_mask_filter(filter))?)?;
        Ok(vec![kept])
    }

    fn supports_convert_to_state(&self) -> bool {
        true
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i64>() + self.seen.capacity()
    }
}
