//! `ARRAY[…]`, `ROW(…)`, and arrays and bytes one behind the other.

use super::cast::convert;
use super::{evaluate, mismatch};
use crate::query::error::Position;
use crate::types::TrinoType;
use crate::types::trino::field_name;
use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, ListArray, StructArray, new_empty_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{concat, interleave};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// `ARRAY[…]`, as a call.
pub(in crate::query) const ARRAY: &str = "array_constructor";
/// `ROW(…)` and `(a, b)`, as calls.
pub(in crate::query) const ROW: &str = "row_constructor";

/// The functions that are called by name.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![array(), row()]
}

/// Of its items.
pub(super) fn array() -> ScalarUDF {
    function(Kind::Array)
}

/// Of its fields, which have no names.
pub(super) fn row() -> ScalarUDF {
    function(Kind::Row)
}

/// Arrays of one type one behind the other, or `varbinary`. A chain of them is one call, however long it is.
pub(super) fn concatenated(left: Expr, right: Expr) -> Expr {
    let mut all = match left {
        Expr::ScalarFunction(call) if is_concatenated(&call.func) => call.args,
        other => vec![other],
    };
    all.push(right);
    function(Kind::Concatenated).call(all)
}

fn is_concatenated(function: &ScalarUDF) -> bool {
    function.inner().downcast_ref::<Construct>().is_some_and(|construct| construct.kind == Kind::Concatenated)
}

fn function(kind: Kind) -> ScalarUDF {
    ScalarUDF::new_from_impl(Construct {
        kind,
        signature: Signature::one_of(
            vec![datafusion::logical_expr::TypeSignature::VariadicAny, datafusion::logical_expr::TypeSignature::Nullary],
            Volatility::Immutable,
        ),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Array,
    Row,
    Concatenated,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Construct {
    kind: Kind,
    signature: Signature,
}

impl ScalarUDFImpl for Construct {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Array => ARRAY,
            Kind::Row => ROW,
            Kind::Concatenated => "concatenated",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of {} follows from its arguments' fields", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let type_of = |(index, field): (usize, &FieldRef)| match args.scalar_arguments.get(index) {
            Some(Some(ScalarValue::Utf8(Some(text)))) if field.metadata().is_empty() => {
                TrinoType::Varchar(u32::try_from(text.chars().count()).ok())
            }
            _ => TrinoType::of_field(field),
        };
        let types: Vec<TrinoType> = args.arg_fields.iter().enumerate().map(type_of).collect();
        let found = match self.kind {
            Kind::Concatenated => return Ok(Arc::clone(&args.arg_fields[0])),
            Kind::Row => {
                // Zones of columns are kept, which types do not say.
                let fields: Fields = args
                    .arg_fields
                    .iter()
                    .enumerate()
                    .map(|(index, field)| Field::new(field_name(index), field.data_type().clone(), true))
                    .collect();
                let row = TrinoType::Row(types.into_iter().map(|field| (None, field)).collect());
                return Ok(Arc::new(row.mark(Field::new(self.name(), DataType::Struct(fields), false))));
            }
            Kind::Array => {
                let mut item = TrinoType::Unknown;
                for next in &types {
                    item = match TrinoType::common(&item, next) {
                        Some(common) => common,
                        None => {
                            let message = format!(
                                "All ARRAY elements must be the same type or coercible to a common type. Cannot find common type between {item} and {next}"
                            );
                            return Err(mismatch(Position::START, message));
                        }
                    };
                }
                TrinoType::Array(Box::new(item))
            }
        };
        Ok(Arc::new(found.field(self.name(), false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let target = args.return_field.clone();
        let fields = args.arg_fields.clone();
        let rows = args.number_rows;
        if args.args.is_empty() {
            let array: ArrayRef = match target.data_type() {
                DataType::List(item) => {
                    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(0, rows));
                    Arc::new(ListArray::try_new(Arc::clone(item), offsets, new_empty_array(item.data_type()), None)?)
                }
                _ => Arc::new(StructArray::new_empty_fields(rows, None)),
            };
            return Ok(ColumnarValue::Array(array));
        }
        let kind = self.kind;
        evaluate(args, |arrays| match kind {
            Kind::Array => listed(arrays, &fields, &target),
            Kind::Row => {
                let DataType::Struct(names) = target.data_type() else { return internal_err!("a row is a struct") };
                Ok(Arc::new(StructArray::try_new(names.clone(), arrays.to_vec(), None)?))
            }
            Kind::Concatenated => {
                let both = if matches!(arrays[0].data_type(), DataType::List(_)) { lists } else { bytes };
                arrays[1..].iter().try_fold(Arc::clone(&arrays[0]), |done, next| both(&done, next))
            }
        })
    }
}

fn listed(arrays: &[ArrayRef], fields: &[FieldRef], target: &Field) -> Result<ArrayRef> {
    let DataType::List(item) = target.data_type() else { return internal_err!("an array is a list") };
    let item_type = match TrinoType::of_field(target) {
        TrinoType::Array(item) => *item,
        other => other,
    };
    let converted = arrays
        .iter()
        .zip(fields)
        .map(|(array, field)| convert(array, &TrinoType::of_field(field), &item_type, item.data_type(), false))
        .collect::<Result<Vec<_>>>()?;
    let rows = converted[0].len();
    let places: Vec<(usize, usize)> = (0..rows).flat_map(|row| (0..converted.len()).map(move |column| (column, row))).collect();
    let values: Vec<&dyn Array> = converted.iter().map(|array| array.as_ref()).collect();
    let items = interleave(&values, &places)?;
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(converted.len(), rows));
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, items, None)?))
}

/// Row by row one list behind the other; NULL where one is.
fn lists(a: &ArrayRef, b: &ArrayRef) -> Result<ArrayRef> {
    let (a, b) = (a.as_list::<i32>(), b.as_list::<i32>());
    let DataType::List(item) = a.data_type() else { return internal_err!("an array is a list") };
    let both = concat(&[a.values().as_ref(), arrow::compute::cast(b.values(), item.data_type())?.as_ref()])?;
    let shift = a.values().len();
    let nulls = NullBuffer::union(a.nulls(), b.nulls());
    let mut places: Vec<u32> = Vec::with_capacity(both.len());
    let mut lengths = Vec::with_capacity(a.len());
    for row in 0..a.len() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            lengths.push(0);
            continue;
        }
        let before = places.len();
        let (start, end) = (a.value_offsets()[row], a.value_offsets()[row + 1]);
        places.extend((start..end).map(|place| place.cast_unsigned()));
        let (start, end) = (b.value_offsets()[row], b.value_offsets()[row + 1]);
        places.extend((start..end).map(|place| place.cast_unsigned() + u32::try_from(shift).unwrap_or(u32::MAX)));
        lengths.push(places.len() - before);
    }
    let items = arrow::compute::take(&both, &arrow::array::UInt32Array::from(places), None)?;
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), OffsetBuffer::from_lengths(lengths), items, nulls)?))
}

fn bytes(a: &ArrayRef, b: &ArrayRef) -> Result<ArrayRef> {
    let (a, b) = (a.as_binary::<i32>(), b.as_binary::<i32>());
    let mut out = BinaryBuilder::new();
    for (a, b) in a.iter().zip(b) {
        match a.zip(b) {
            Some((a, b)) => out.append_value([a, b].concat()),
            None => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}
