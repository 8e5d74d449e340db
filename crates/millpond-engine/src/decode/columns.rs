//! Growing columns: typed vectors that decoders push values into, which can be cut back (a row that turns out bad) and turned into Arrow arrays.
//!
//! Nulls are kept as a list of positions, since most columns have none: pushing a value then touches one vector only.

use super::times::Times;
use super::values::{self, Decimal};
use crate::types::HiveType;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use arrow::error::ArrowError;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::mem::take;
use std::sync::Arc;

/// Values of one primitive type.
#[derive(Debug, Default)]
pub(crate) struct Prim<T> {
    pub values: Vec<T>,
    nulls: Vec<u32>,
}

fn position(n: usize) -> u32 {
    u32::try_from(n).expect("batches are far smaller than 2^32 rows")
}

impl<T: Copy + Default> Prim<T> {
    #[inline]
    pub fn push(&mut self, value: T) {
        self.values.push(value);
    }

    pub fn push_null(&mut self) {
        self.nulls.push(position(self.values.len()));
        self.values.push(T::default());
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        cut_nulls(&mut self.nulls, rows);
    }

    fn take_parts(&mut self) -> (Vec<T>, Option<NullBuffer>) {
        let capacity = self.values.len();
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(capacity));
        let nulls = null_buffer(&take(&mut self.nulls), values.len());
        (values, nulls)
    }
}

fn cut_nulls(nulls: &mut Vec<u32>, rows: usize) {
    while nulls.last().is_some_and(|&last| last as usize >= rows) {
        nulls.pop();
    }
}

fn null_buffer(nulls: &[u32], rows: usize) -> Option<NullBuffer> {
    if nulls.is_empty() {
        return None;
    }
    let mut bits = MutableBuffer::new(0);
    bits.resize(rows.div_ceil(8), 0xff);
    for &row in nulls {
        bits.as_slice_mut()[row as usize / 8] &= !(1 << (row % 8));
    }
    Some(NullBuffer::new(BooleanBuffer::new(bits.into(), 0, rows)))
}

/// Text or bytes.
#[derive(Debug)]
pub(crate) struct Text {
    offsets: Vec<i32>,
    pub bytes: Vec<u8>,
    nulls: Vec<u32>,
}

impl Default for Text {
    fn default() -> Self {
        Self { offsets: vec![0], bytes: Vec::new(), nulls: Vec::new() }
    }
}

impl Text {
    #[inline]
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.end();
    }

    /// Bytes as Hive's text formats write them: in base64, or else as they stand (`LazyBinary`; `JsonSerDe`).
    pub fn push_base64(&mut self, text: &[u8]) {
        match BASE64_STANDARD.decode(text) {
            Ok(bytes) => self.push(&bytes),
            Err(_) => self.push(text),
        }
    }

    /// Closes a value whose bytes were written to `bytes`.
    #[inline]
    pub fn end(&mut self) {
        self.offsets.push(i32::try_from(self.bytes.len()).expect("batches are cut long before 2 GiB of text"));
    }

    pub fn push_null(&mut self) {
        self.nulls.push(position(self.offsets.len() - 1));
        self.end();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.bytes.truncate(self.offsets[rows].cast_unsigned() as usize);
        cut_nulls(&mut self.nulls, rows);
    }

    fn take_parts(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        let (rows, size) = (self.offsets.len() - 1, self.bytes.len());
        let mut fresh = Vec::with_capacity(rows + 1);
        fresh.push(0);
        let offsets = std::mem::replace(&mut self.offsets, fresh);
        let bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(size));
        let nulls = null_buffer(&take(&mut self.nulls), rows);
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(bytes), nulls)
    }
}

/// A column of any type.
#[derive(Debug)]
pub(crate) enum Node {
    Bool(Prim<bool>),
    I8(Prim<i8>),
    I16(Prim<i16>),
    I32(Prim<i32>),
    I64(Prim<i64>),
    F32(Prim<f32>),
    F64(Prim<f64>),
    Decimal(Prim<i128>, u8, u8),
    Date(Prim<i32>),
    Timestamp(Prim<i64>),
    Text(Text),
    Binary(Text),
    List(List),
    Map(List),
    Struct(Struct),
}

/// Lists, and maps (lists of key-value structs).
#[derive(Debug)]
pub(crate) struct List {
    ends: Prim<i32>,
    pub child: Box<Node>,
}

/// Named fields.
#[derive(Debug)]
pub(crate) struct Struct {
    pub names: Vec<String>,
    pub children: Vec<Node>,
    rows: usize,
    nulls: Vec<u32>,
}

impl List {
    fn new(child: Node) -> Self {
        Self { ends: Prim::default(), child: Box::new(child) }
    }

    /// Closes a list whose items were pushed to `child`.
    pub fn end(&mut self) {
        self.ends.push(i32::try_from(self.child.len()).expect("batches are far smaller than 2^31 items"));
    }

    pub fn push_null(&mut self) {
        let row = self.ends.values.len();
        self.end();
        self.ends.nulls.push(position(row));
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.child.truncate(self.ends.values.last().map_or(0, |&end| end.cast_unsigned() as usize));
    }

    fn finish(&mut self) -> Result<(OffsetBuffer<i32>, ArrayRef, Option<NullBuffer>), ArrowError> {
        let (ends, nulls) = self.ends.take_parts();
        let offsets: Vec<i32> = std::iter::once(0).chain(ends).collect();
        Ok((OffsetBuffer::new(ScalarBuffer::from(offsets)), self.child.finish()?, nulls))
    }
}

impl Struct {
    /// Closed rows.
    pub fn row(&self) -> usize {
        self.rows
    }

    /// Closes a row whose fields were pushed to every child.
    pub fn end(&mut self) {
        self.rows += 1;
    }

    fn finish(&mut self) -> Result<StructArray, ArrowError> {
        let nulls = null_buffer(&take(&mut self.nulls), self.rows);
        let rows = take(&mut self.rows);
        let arrays = self.children.iter_mut().map(Node::finish).collect::<Result<Vec<_>, _>>()?;
        let fields: Fields = self.names.iter().zip(&arrays).map(|(n, a)| Field::new(n, a.data_type().clone(), true)).collect();
        if arrays.is_empty() {
            return Ok(StructArray::new_empty_fields(rows, nulls));
        }
        StructArray::try_new(fields, arrays, nulls)
    }
}

impl Node {
    pub fn new(data_type: &HiveType) -> Self {
        match data_type {
            HiveType::Boolean => Self::Bool(Prim::default()),
            HiveType::TinyInt => Self::I8(Prim::default()),
            HiveType::SmallInt => Self::I16(Prim::default()),
            HiveType::Int => Self::I32(Prim::default()),
            HiveType::BigInt => Self::I64(Prim::default()),
            HiveType::Float => Self::F32(Prim::default()),
            HiveType::Double => Self::F64(Prim::default()),
            HiveType::Decimal(p, s) => Self::Decimal(Prim::default(), *p, *s),
            HiveType::Date => Self::Date(Prim::default()),
            HiveType::Timestamp => Self::Timestamp(Prim::default()),
            HiveType::String | HiveType::Char(_) | HiveType::Varchar(_) => Self::Text(Text::default()),
            HiveType::Binary => Self::Binary(Text::default()),
            HiveType::Array(item) => Self::List(List::new(Self::new(item))),
            HiveType::Map(key, value) => Self::Map(List::new(Self::structure(
                ["key", "value"].map(str::to_owned).to_vec(),
                vec![Self::new(key), Self::new(value)],
            ))),
            HiveType::Struct(fields) => {
                Self::structure(fields.iter().map(|f| f.0.clone()).collect(), fields.iter().map(|f| Self::new(&f.1)).collect())
            }
        }
    }

    fn structure(names: Vec<String>, children: Vec<Self>) -> Self {
        Self::Struct(Struct { names, children, rows: 0, nulls: Vec::new() })
    }

    /// Values in it.
    pub fn len(&self) -> usize {
        match self {
            Self::Bool(p) => p.values.len(),
            Self::I8(p) => p.values.len(),
            Self::I16(p) => p.values.len(),
            Self::I32(p) | Self::Date(p) => p.values.len(),
            Self::I64(p) | Self::Timestamp(p) => p.values.len(),
            Self::F32(p) => p.values.len(),
            Self::F64(p) => p.values.len(),
            Self::Decimal(p, _, _) => p.values.len(),
            Self::Text(t) | Self::Binary(t) => t.offsets.len() - 1,
            Self::List(l) | Self::Map(l) => l.ends.values.len(),
            Self::Struct(s) => s.rows,
        }
    }

    /// Pushes a scalar from its text; `false` where it is not one of the type: nothing is pushed then. Spaces around it are not for texts.
    pub fn push_scalar(&mut self, text: &[u8], times: &Times, strict: bool) -> bool {
        match self {
            Self::Text(node) => {
                node.push(text);
                return true;
            }
            Self::Binary(node) => {
                node.push_base64(text);
                return true;
            }
            _ => {}
        }
        let text = values::trim(text);
        let pushed = match self {
            Self::Bool(p) => values::boolean(text).map(|v| p.push(v)),
            Self::I8(p) => values::integer(text).and_then(|v| v.try_into().ok()).map(|v| p.push(v)),
            Self::I16(p) => values::integer(text).and_then(|v| v.try_into().ok()).map(|v| p.push(v)),
            Self::I32(p) => values::integer(text).and_then(|v| v.try_into().ok()).map(|v| p.push(v)),
            Self::I64(p) => values::integer(text).map(|v| p.push(v)),
            Self::F32(p) => values::double(text).map(|v| p.push(v as f32)),
            Self::F64(p) => values::double(text).map(|v| p.push(v)),
            Self::Date(p) => times.date(text).map(|v| p.push(v)),
            Self::Timestamp(p) => times.timestamp(text).map(|v| p.push(v)),
            Self::Decimal(p, precision, scale) => match values::decimal(text, *precision, *scale) {
                Decimal::Exact(v) => Some(v),
                Decimal::Rounded(v) if !strict => Some(v),
                _ => None,
            }
            .map(|v| p.push(v)),
            Self::Text(_) | Self::Binary(_) | Self::List(_) | Self::Map(_) | Self::Struct(_) => None,
        };
        pushed.is_some()
    }

    pub fn push_null(&mut self) {
        match self {
            Self::Bool(p) => p.push_null(),
            Self::I8(p) => p.push_null(),
            Self::I16(p) => p.push_null(),
            Self::I32(p) | Self::Date(p) => p.push_null(),
            Self::I64(p) | Self::Timestamp(p) => p.push_null(),
            Self::F32(p) => p.push_null(),
            Self::F64(p) => p.push_null(),
            Self::Decimal(p, _, _) => p.push_null(),
            Self::Text(t) | Self::Binary(t) => t.push_null(),
            Self::List(l) | Self::Map(l) => l.push_null(),
            Self::Struct(s) => {
                s.nulls.push(position(s.rows));
                s.rows += 1;
                s.children.iter_mut().for_each(Self::push_null);
            }
        }
    }

    /// Back to the first `rows` values; also cuts what a row pushed to children before it failed.
    pub fn truncate(&mut self, rows: usize) {
        match self {
            Self::Bool(p) => p.truncate(rows),
            Self::I8(p) => p.truncate(rows),
            Self::I16(p) => p.truncate(rows),
            Self::I32(p) | Self::Date(p) => p.truncate(rows),
            Self::I64(p) | Self::Timestamp(p) => p.truncate(rows),
            Self::F32(p) => p.truncate(rows),
            Self::F64(p) => p.truncate(rows),
            Self::Decimal(p, _, _) => p.truncate(rows),
            Self::Text(t) | Self::Binary(t) => t.truncate(rows),
            Self::List(l) | Self::Map(l) => l.truncate(rows),
            Self::Struct(s) => {
                s.rows = s.rows.min(rows);
                cut_nulls(&mut s.nulls, rows);
                s.children.iter_mut().for_each(|c| c.truncate(rows));
            }
        }
    }

    /// The array of all values; the node is empty afterwards and keeps its capacity in mind.
    pub fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        macro_rules! primitive {
            ($prim:expr, $array:ty) => {{
                let (values, nulls) = $prim.take_parts();
                Arc::new(<$array>::try_new(ScalarBuffer::from(values), nulls)?) as ArrayRef
            }};
        }
        Ok(match self {
            Self::Bool(p) => {
                let (values, nulls) = p.take_parts();
                Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls))
            }
            Self::I8(p) => primitive!(p, Int8Array),
            Self::I16(p) => primitive!(p, Int16Array),
            Self::I32(p) => primitive!(p, Int32Array),
            Self::I64(p) => primitive!(p, Int64Array),
            Self::F32(p) => primitive!(p, Float32Array),
            Self::F64(p) => primitive!(p, Float64Array),
            Self::Date(p) => primitive!(p, Date32Array),
            Self::Timestamp(p) => primitive!(p, TimestampMicrosecondArray),
            Self::Decimal(p, precision, scale) => {
                let (values, nulls) = p.take_parts();
                let array = Decimal128Array::try_new(ScalarBuffer::from(values), nulls)?;
                Arc::new(array.with_precision_and_scale(*precision, scale.cast_signed())?)
            }
            Self::Text(t) => {
                let (offsets, bytes, nulls) = t.take_parts();
                Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
            }
            Self::Binary(t) => {
                let (offsets, bytes, nulls) = t.take_parts();
                Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
            }
            Self::List(l) => {
                let (offsets, child, nulls) = l.finish()?;
                let field = Arc::new(Field::new("element", child.data_type().clone(), true));
                Arc::new(ListArray::try_new(field, offsets, child, nulls)?)
            }
            Self::Map(l) => finish_map(l)?,
            Self::Struct(s) => Arc::new(s.finish()?),
        })
    }
}

fn finish_map(list: &mut List) -> Result<ArrayRef, ArrowError> {
    let (ends, nulls) = list.ends.take_parts();
    let offsets: Vec<i32> = std::iter::once(0).chain(ends).collect();
    let Node::Struct(entries) = list.child.as_mut() else {
        return Err(ArrowError::InvalidArgumentError("a map's items are key-value pairs".into()));
    };
    let (_, arrays, _) = entries.finish()?.into_parts();
    let fields = Fields::from(vec![
        Field::new("key", arrays[0].data_type().clone(), false),
        Field::new("value", arrays[1].data_type().clone(), true),
    ]);
    let field = Arc::new(Field::new("key_value", DataType::Struct(fields.clone()), false));
    let pairs = StructArray::try_new(fields, arrays, None)?;
    Ok(Arc::new(MapArray::try_new(field, OffsetBuffer::new(ScalarBuffer::from(offsets)), pairs, nulls, false)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;

    #[test]
    fn nested_nodes_have_the_arrow_type_that_types_promise_and_can_be_cut() {
        let t = HiveType::parse("struct<a:int,b:array<string>,c:map<string,double>>").unwrap();
        let mut node = Node::new(&t);
        for i in 0..3 {
            let Node::Struct(s) = &mut node else { panic!("struct") };
            let [Node::I32(a), Node::List(b), Node::Map(c)] = s.children.as_mut_slice() else { panic!("children") };
            a.push(i);
            let Node::Text(items) = b.child.as_mut() else { panic!("text") };
            items.push(b"x");
            items.push(b"y");
            b.end();
            c.push_null();
            s.end();
        }
        node.push_null();
        node.truncate(4);
        node.truncate(2);
        node.push_null();
        let array = node.finish().unwrap();
        assert_eq!(array.data_type(), &t.to_arrow());
        assert_eq!((array.len(), array.null_count()), (3, 1));
        assert_eq!(node.len(), 0);
    }
}
