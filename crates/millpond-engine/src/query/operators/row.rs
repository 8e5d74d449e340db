//! Fields of rows by their places. DataFusion's `get_field` is moved below the step that takes lists of rows apart, where there are no rows yet.

use super::evaluate;
use crate::types::TrinoType;
use arrow::array::{Array, AsArray, make_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// A row's field by its place, counted from 0.
pub(super) fn field(row: Expr, index: usize) -> Expr {
    let place = ScalarValue::Int64(i64::try_from(index).ok());
    ScalarUDF::new_from_impl(RowField { signature: Signature::any(2, Volatility::Immutable) })
        .call(vec![row, Expr::Literal(place, None)])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RowField {
    signature: Signature,
}

impl ScalarUDFImpl for RowField {
    fn name(&self) -> &str {
        "row_field"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of a field follows from its place")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let index =
            args.scalar_arguments.get(1).and_then(|value| value.and_then(constant)).and_then(|index| usize::try_from(index).ok());
        let DataType::Struct(fields) = args.arg_fields[0].data_type() else { return internal_err!("a field of what is no row") };
        let Some((index, found)) = index.and_then(|index| Some((index, fields.get(index)?))) else {
            return internal_err!("a row has no such field");
        };
        let field = Field::new(self.name(), found.data_type().clone(), true);
        Ok(Arc::new(match TrinoType::of_field(&args.arg_fields[0]) {
            TrinoType::Row(types) => types[index].1.mark(field),
            _ => field,
        }))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let index = match args.args.get(1) {
            Some(ColumnarValue::Scalar(value)) => constant(value).and_then(|index| usize::try_from(index).ok()).unwrap_or(0),
            _ => return internal_err!("a field's place is a constant"),
        };
        args.args.truncate(1);
        evaluate(args, |arrays| {
            let rows = arrays[0].as_struct();
            let column = rows.column(index);
            let nulls = NullBuffer::union(rows.nulls(), column.logical_nulls().as_ref());
            Ok(make_array(column.to_data().into_builder().nulls(nulls).build()?))
        })
    }
}

fn constant(scalar: &ScalarValue) -> Option<i64> {
    match scalar {
        ScalarValue::Int64(Some(value)) => Some(*value),
        ScalarValue::Int32(Some(value)) => Some(i64::from(*value)),
        _ => None,
    }
}
