//! What a function's body works with: its arguments as columns, and bounded columns to write its result to.

use super::limits::Room;
use crate::query::QueryError;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, BooleanBuilder, Date32Array, Date32Builder, Float32Array, Float64Array,
    Float64Builder, GenericByteBuilder, Int32Builder, Int64Array, Int64Builder, ListArray, MapArray, StringArray,
    TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{
    BinaryType, ByteArrayType, DataType, Date32Type, FieldRef, Float32Type, Float64Type, Int64Type, TimestampMicrosecondType,
    Utf8Type,
};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result};
use std::sync::Arc;

/// The longest text or binary that a function makes, in bytes. Longer ones would be no use: Athena takes no longer fields either.
pub(super) const VALUE_BYTES_MAX: usize = 32 << 20;

/// A call over a batch of rows. The arguments are of the types that the signature names.
pub(super) struct Call<'a> {
    pub arrays: &'a [ArrayRef],
    pub fields: &'a [FieldRef],
    pub rows: usize,
    pub returns: &'a DataType,
    pub options: &'a ConfigOptions,
}

/// An argument out of its domain: `INVALID_FUNCTION_ARGUMENT`.
pub(super) fn bad(message: impl Into<String>) -> DataFusionError {
    QueryError::InvalidArgument(cut(message.into())).into()
}

/// A number that does not fit: `NUMERIC_VALUE_OUT_OF_RANGE`.
pub(super) fn out_of_range(message: impl Into<String>) -> DataFusionError {
    QueryError::OutOfRange(cut(message.into())).into()
}

/// A message that may hold a whole argument: of a long one its beginning and its end.
pub(in crate::query) fn cut(message: String) -> String {
    const SIDE_CHARS: usize = 200;
    if message.len() <= 2 * SIDE_CHARS {
        return message;
    }
    let head: String = message.chars().take(SIDE_CHARS).collect();
    let mut tail: Vec<char> = message.chars().rev().take(SIDE_CHARS).collect();
    tail.reverse();
    format!("{head}…{}", tail.iter().collect::<String>())
}

/// Refuses a value of so many bytes before it is made.
pub(super) fn check_bytes(bytes: usize) -> Result<()> {
    match bytes {
        0..=VALUE_BYTES_MAX => Ok(()),
        _ => Err(QueryError::ExceededMemory("a value is larger than a function may make".into()).into()),
    }
}

impl Call<'_> {
    pub(super) fn text(&self, index: usize) -> &StringArray {
        self.arrays[index].as_string::<i32>()
    }

    pub(super) fn bytes(&self, index: usize) -> &BinaryArray {
        self.arrays[index].as_binary::<i32>()
    }

    pub(super) fn int(&self, index: usize) -> &Int64Array {
        self.arrays[index].as_primitive::<Int64Type>()
    }

    pub(super) fn double(&self, index: usize) -> &Float64Array {
        self.arrays[index].as_primitive::<Float64Type>()
    }

    pub(super) fn real(&self, index: usize) -> &Float32Array {
        self.arrays[index].as_primitive::<Float32Type>()
    }

    pub(super) fn boolean(&self, index: usize) -> &BooleanArray {
        self.arrays[index].as_boolean()
    }

    pub(super) fn date(&self, index: usize) -> &Date32Array {
        self.arrays[index].as_primitive::<Date32Type>()
    }

    pub(super) fn time(&self, index: usize) -> &TimestampMicrosecondArray {
        self.arrays[index].as_primitive::<TimestampMicrosecondType>()
    }

    pub(super) fn list(&self, index: usize) -> &ListArray {
        self.arrays[index].as_list::<i32>()
    }

    pub(super) fn map(&self, index: usize) -> &MapArray {
        self.arrays[index].as_map()
    }

    /// How many arguments there are.
    pub(super) fn count(&self) -> usize {
        self.arrays.len()
    }
}

/// A column that a result is written to.
macro_rules! sinks {
    ($($name:ident: $builder:ty, $value:ty;)+) => { $(
        pub(super) struct $name($builder);

        impl $name {
            pub(super) fn with_rows(rows: usize) -> Self {
                Self(<$builder>::with_capacity(rows))
            }

            pub(super) fn push(&mut self, value: Option<$value>) -> Result<()> {
                self.0.append_option(value);
                Ok(())
            }

            pub(super) fn null(&mut self) {
                self.0.append_null();
            }

            pub(super) fn finish(mut self) -> ArrayRef {
                Arc::new(self.0.finish())
            }
        }
    )+ };
}

sinks! {
    IntOut: Int64Builder, i64;
    SmallOut: Int32Builder, i32;
    DoubleOut: Float64Builder, f64;
    BooleanOut: BooleanBuilder, bool;
    DateOut: Date32Builder, i32;
    TimeOut: TimestampMicrosecondBuilder, i64;
}

/// Texts or binaries, bounded.
pub(super) struct Bounded<T: ByteArrayType> {
    out: GenericByteBuilder<T>,
    room: Room,
}

/// Texts, bounded.
pub(super) type TextOut = Bounded<Utf8Type>;
/// Binaries, bounded.
pub(super) type BytesOut = Bounded<BinaryType>;

impl<T: ByteArrayType> Bounded<T> {
    pub(super) fn with_rows(rows: usize) -> Self {
        Self { out: GenericByteBuilder::with_capacity(rows, 0), room: Room::of(rows) }
    }

    pub(super) fn push(&mut self, value: Option<impl AsRef<T::Native>>) -> Result<()> {
        match value {
            Some(value) => {
                let bytes: &[u8] = value.as_ref().as_ref();
                self.room.check("what a function gives for a batch", self.out.values_slice().len() + bytes.len(), 0)?;
                self.out.append_value(value);
            }
            None => self.out.append_null(),
        }
        Ok(())
    }

    pub(super) fn null(&mut self) {
        self.out.append_null();
    }

    pub(super) fn finish(mut self) -> ArrayRef {
        Arc::new(self.out.finish())
    }
}

/// Computes a column row by row; a row with a NULL argument gives NULL.
///
/// `each!(call, TextOut, |text: 0 text, from: 1 int| Some(…))`: argument 0 as text, argument 1 as `bigint`. The expression is an `Option`, and may
/// use `?`.
macro_rules! each {
    ($call:expr, $sink:ident, |$($name:ident: $index:literal $kind:ident),+| $body:expr) => {{
        let call: &$crate::query::functions::call::Call<'_> = $call;
        $( let $name = call.$kind($index); )+
        let mut out = $crate::query::functions::call::$sink::with_rows(call.rows);
        for row in 0..call.rows {
            if $( arrow::array::Array::is_null($name, row) )||+ {
                out.null();
                continue;
            }
            let value = { $( let $name = $name.value(row); )+ $body };
            out.push(value)?;
        }
        Ok(out.finish())
    }};
}
pub(super) use each;

/// Lists made of items of other arrays: which item, or `None` for NULL.
pub(super) struct Picks {
    indices: Vec<Option<u32>>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
    room: Room,
}

impl Picks {
    pub(super) fn with_rows(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { indices: Vec::new(), offsets, valid: Vec::with_capacity(rows), room: Room::of(rows) }
    }

    /// An item of the list that is being made.
    pub(super) fn item(&mut self, index: Option<usize>) -> Result<()> {
        self.room.check("the arrays of a batch", 0, self.indices.len() + 1)?;
        self.indices.push(index.map(|index| u32::try_from(index).expect("arrays are indexed by 32 bits")));
        Ok(())
    }

    /// Ends the list.
    pub(super) fn end(&mut self) {
        self.close(true);
    }

    /// Ends a list that is NULL, and has no items.
    pub(super) fn null(&mut self) {
        self.close(false);
    }

    fn close(&mut self, valid: bool) {
        self.offsets.push(i32::try_from(self.indices.len()).expect("there is no room for more"));
        self.valid.push(valid);
    }

    /// The items taken from `values`, offsets, and which lists are there.
    pub(super) fn parts(
        self,
        values: &ArrayRef,
    ) -> Result<(ArrayRef, arrow::buffer::OffsetBuffer<i32>, arrow::buffer::NullBuffer)> {
        let indices = arrow::array::UInt32Array::from(self.indices);
        let items = super::limits::take(values.as_ref(), &indices, self.room)?;
        Ok((items, arrow::buffer::OffsetBuffer::new(self.offsets.into()), self.valid.into()))
    }

    /// The lists.
    pub(super) fn finish(self, values: &ArrayRef) -> Result<ArrayRef> {
        let (items, offsets, nulls) = self.parts(values)?;
        list(items, offsets, Some(nulls))
    }
}

/// A list array of Trino's form.
pub(super) fn list(
    items: ArrayRef,
    offsets: arrow::buffer::OffsetBuffer<i32>,
    nulls: Option<arrow::buffer::NullBuffer>,
) -> Result<ArrayRef> {
    let DataType::List(field) = crate::types::trino::list_of(items.data_type().clone()) else {
        unreachable!("a list's type is a list");
    };
    Ok(Arc::new(ListArray::try_new(field, offsets, items, nulls)?))
}

/// A map array of Trino's form.
pub(super) fn map(
    keys: ArrayRef,
    values: ArrayRef,
    offsets: arrow::buffer::OffsetBuffer<i32>,
    nulls: Option<arrow::buffer::NullBuffer>,
) -> Result<ArrayRef> {
    let made = crate::types::trino::map_of(keys.data_type().clone(), values.data_type().clone());
    let DataType::Map(entries, _) = made else { unreachable!("a map's type is a map") };
    let DataType::Struct(fields) = entries.data_type().clone() else { unreachable!("a map's entries are rows") };
    let pairs = arrow::array::StructArray::try_new(fields, vec![keys, values], None)?;
    Ok(Arc::new(MapArray::try_new(entries, offsets, pairs, nulls, false)?))
}

/// Where a list's or map's items lie.
pub(super) fn span(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |index: usize| usize::try_from(offsets[index]).expect("offsets are not negative");
    at(row)..at(row + 1)
}

/// Values as bytes that are equal, and ordered, as the values are. NULL is greater than all.
pub(super) fn rows(values: &ArrayRef) -> Result<arrow::row::Rows> {
    let options = arrow::compute::SortOptions { descending: false, nulls_first: false };
    let field = arrow::row::SortField::new_with_options(values.data_type().clone(), options);
    let converter = arrow::row::RowConverter::new(vec![field])?;
    Ok(converter.convert_columns(&[Arc::clone(values)])?)
}
