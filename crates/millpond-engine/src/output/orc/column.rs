//! A column of a stripe: its streams of bytes, and those of the columns within.

use super::rle::{Bits, Bytes, Integers, varint, zigzag};
use super::{Message, present};
use crate::write::WriteError;
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};

/// Streams' kinds.
const PRESENT: u64 = 0;
const DATA: u64 = 1;
const LENGTH: u64 = 2;
const SECONDARY: u64 = 5;

/// Seconds from 1970 to 2015, from which ORC counts.
const EPOCH_S: i64 = 1_420_070_400;

/// A stream: its kind, its column, its bytes.
pub(super) type Stream = (u64, u64, Vec<u8>);

/// A column and those within.
pub(super) struct Column {
    present: Bits,
    nulls: bool,
    values: Values,
}

enum Values {
    Boolean(Bits),
    Byte(Bytes),
    /// With the number of its type.
    Integer(u64, Integers),
    /// With the number of its type.
    Float(u64, Vec<u8>),
    /// Texts and bytes, with the number of their type.
    Text(u64, Vec<u8>, Integers),
    Timestamp(Integers, Integers),
    Decimal(u8, i8, Vec<u8>, Integers),
    List(Integers, Box<Column>),
    Map(Integers, Box<Column>, Box<Column>),
    Struct(Vec<String>, Vec<Column>),
}

impl Column {
    /// # Errors
    /// ORC has no such type.
    pub(super) fn new(data_type: &DataType) -> Result<Self, WriteError> {
        let values = match data_type {
            DataType::Boolean => Values::Boolean(Bits::default()),
            DataType::Int8 => Values::Byte(Bytes::default()),
            DataType::Int16 => Values::Integer(2, Integers::new(true)),
            DataType::Int32 => Values::Integer(3, Integers::new(true)),
            DataType::Int64 => Values::Integer(4, Integers::new(true)),
            DataType::Date32 => Values::Integer(15, Integers::new(true)),
            DataType::Float32 => Values::Float(5, Vec::new()),
            DataType::Float64 => Values::Float(6, Vec::new()),
            DataType::Utf8 => Values::Text(7, Vec::new(), Integers::new(false)),
            DataType::Binary => Values::Text(8, Vec::new(), Integers::new(false)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Values::Timestamp(Integers::new(true), Integers::new(false)),
            DataType::Decimal128(precision, scale) => Values::Decimal(*precision, *scale, Vec::new(), Integers::new(true)),
            DataType::List(item) => Values::List(Integers::new(false), Box::new(Self::new(item.data_type())?)),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => Values::Map(
                    Integers::new(false),
                    Box::new(Self::new(pair[0].data_type())?),
                    Box::new(Self::new(pair[1].data_type())?),
                ),
                other => return Err(WriteError::Format(format!("a map's entries are of type {other}"))),
            },
            DataType::Struct(fields) => Values::Struct(
                fields.iter().map(|field| field.name().clone()).collect(),
                fields.iter().map(|field| Self::new(field.data_type())).collect::<Result<_, _>>()?,
            ),
            other => return Err(WriteError::Format(format!("ORC has no values of type {other}"))),
        };
        Ok(Self { present: Bits::default(), nulls: false, values })
    }

    pub(super) fn write(&mut self, array: &ArrayRef) -> Result<(), WriteError> {
        match array.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
            None => (0..array.len()).for_each(|_| self.present.push(true)),
            Some(nulls) => {
                self.nulls = true;
                nulls.iter().for_each(|there| self.present.push(there));
            }
        }
        self.values.write(&present(array)?)
    }

    pub(super) fn held(&self) -> usize {
        self.present.held()
            + match &self.values {
                Values::Boolean(bits) => bits.held(),
                Values::Byte(bytes) => bytes.held(),
                Values::Integer(_, integers) => integers.held(),
                Values::Float(_, bytes) => bytes.len(),
                Values::Text(_, bytes, lengths) => bytes.len() + lengths.held(),
                Values::Timestamp(seconds, nanos) => seconds.held() + nanos.held(),
                Values::Decimal(_, _, bytes, scales) => bytes.len() + scales.held(),
                Values::List(lengths, items) => lengths.held() + items.held(),
                Values::Map(lengths, keys, values) => lengths.held() + keys.held() + values.held(),
                Values::Struct(_, columns) => columns.iter().map(Self::held).sum(),
            }
    }

    /// Takes the streams of column `number` and of those within; answers the number of the next column.
    pub(super) fn take(&mut self, number: u64, streams: &mut Vec<Stream>) -> u64 {
        let there = self.present.take();
        if std::mem::take(&mut self.nulls) {
            streams.push((PRESENT, number, there));
        }
        let mut push = |kind, bytes| streams.push((kind, number, bytes));
        match &mut self.values {
            Values::Boolean(bits) => push(DATA, bits.take()),
            Values::Byte(bytes) => push(DATA, bytes.take()),
            Values::Integer(_, integers) => push(DATA, integers.take()),
            Values::Float(_, bytes) => push(DATA, std::mem::take(bytes)),
            Values::Text(_, bytes, lengths) => {
                push(DATA, std::mem::take(bytes));
                push(LENGTH, lengths.take());
            }
            Values::Timestamp(seconds, nanos) => {
                push(DATA, seconds.take());
                push(SECONDARY, nanos.take());
            }
            Values::Decimal(_, _, bytes, scales) => {
                push(DATA, std::mem::take(bytes));
                push(SECONDARY, scales.take());
            }
            Values::List(lengths, items) => {
                push(LENGTH, lengths.take());
                return items.take(number + 1, streams);
            }
            Values::Map(lengths, keys, values) => {
                push(LENGTH, lengths.take());
                let next = keys.take(number + 1, streams);
                return values.take(next, streams);
            }
            Values::Struct(_, columns) => {
                return columns.iter_mut().fold(number + 1, |next, column| column.take(next, streams));
            }
        }
        number + 1
    }

    /// Appends the types of the columns within to `types`, and answers its own; `number` is its own.
    fn describe(&self, number: u64, types: &mut Vec<Message>) -> Message {
        let mut message = Message::default();
        match &self.values {
            Values::Boolean(_) => message.number(1, 0),
            Values::Byte(_) => message.number(1, 1),
            Values::Integer(kind, _) | Values::Float(kind, _) | Values::Text(kind, _, _) => message.number(1, *kind),
            Values::Timestamp(_, _) => message.number(1, 9),
            Values::Decimal(precision, scale, _, _) => {
                message.number(1, 14);
                message.number(5, u64::from(*precision));
                message.number(6, u64::from(scale.unsigned_abs()));
            }
            Values::List(_, items) => {
                message.number(1, 10);
                message.number(2, number + 1);
                items.append(number + 1, types);
            }
            Values::Map(_, keys, values) => {
                message.number(1, 11);
                message.number(2, number + 1);
                let next = keys.append(number + 1, types);
                message.number(2, next);
                values.append(next, types);
            }
            Values::Struct(names, columns) => return struct_type(names, columns, number, types),
        }
        message
    }

    /// Appends its type and those within; answers the number of the next column.
    fn append(&self, number: u64, types: &mut Vec<Message>) -> u64 {
        let mut within = Vec::new();
        let own = self.describe(number, &mut within);
        let next = number + 1 + within.len() as u64;
        types.push(own);
        types.append(&mut within);
        next
    }
}

/// The type of a row, after those within were appended to `types`.
pub(super) fn struct_type(names: &[String], columns: &[Column], number: u64, types: &mut Vec<Message>) -> Message {
    let mut message = Message::default();
    message.number(1, 12);
    let mut next = number + 1;
    for column in columns {
        message.number(2, next);
        next = column.append(next, types);
    }
    names.iter().for_each(|name| message.bytes(3, name.as_bytes()));
    message
}

impl Values {
    /// Appends values, none of which is null.
    fn write(&mut self, array: &ArrayRef) -> Result<(), WriteError> {
        match self {
            Self::Boolean(bits) => array.as_boolean().values().iter().for_each(|bit| bits.push(bit)),
            Self::Byte(bytes) => {
                array.as_primitive::<Int8Type>().values().iter().for_each(|value| bytes.push(value.cast_unsigned()));
            }
            Self::Integer(_, integers) => match array.data_type() {
                DataType::Int16 => each(array.as_primitive::<Int16Type>().values(), integers),
                DataType::Int32 => each(array.as_primitive::<Int32Type>().values(), integers),
                DataType::Date32 => each(array.as_primitive::<Date32Type>().values(), integers),
                _ => each(array.as_primitive::<Int64Type>().values(), integers),
            },
            Self::Float(_, bytes) => match array.data_type() {
                DataType::Float32 => {
                    array.as_primitive::<Float32Type>().values().iter().for_each(|v| bytes.extend(v.to_le_bytes()));
                }
                _ => array.as_primitive::<Float64Type>().values().iter().for_each(|v| bytes.extend(v.to_le_bytes())),
            },
            Self::Text(_, bytes, lengths) => {
                let mut push = |value: &[u8]| {
                    bytes.extend_from_slice(value);
                    lengths.push(value.len() as i64);
                };
                match array.data_type() {
                    DataType::Utf8 => array.as_string::<i32>().iter().flatten().for_each(|text| push(text.as_bytes())),
                    _ => array.as_binary::<i32>().iter().flatten().for_each(push),
                }
            }
            Self::Timestamp(seconds, nanos) => {
                for &micros in array.as_primitive::<TimestampMicrosecondType>().values() {
                    let (whole, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000) * 1_000);
                    // Readers take one off again before 1970 where there is a fraction: what ORC's own writers do.
                    let whole = if whole < 0 && rest > 999_999 { whole + 1 } else { whole };
                    if whole == 0 && micros < 0 {
                        return Err(WriteError::Format(format!(
                            "ORC cannot hold the time 1969-12-31 23:59:59.{:06}, of which its readers make one of 1970: write another format \
                             (PARQUET, AVRO), or take the fraction of a second off in the query",
                            rest / 1_000
                        )));
                    }
                    seconds.push(whole - EPOCH_S);
                    nanos.push(fraction(rest));
                }
            }
            Self::Decimal(_, scale, bytes, scales) => {
                for &value in array.as_primitive::<Decimal128Type>().values() {
                    varint(zigzag(value), bytes);
                    scales.push(i64::from(*scale));
                }
            }
            Self::List(lengths, items) => {
                let lists = array.as_list::<i32>();
                let range = spans(lists.value_offsets(), lengths);
                items.write(&within(lists.values(), &range)?)?;
            }
            Self::Map(lengths, keys, values) => {
                let maps = array.as_map();
                let range = spans(maps.value_offsets(), lengths);
                keys.write(&within(maps.keys(), &range)?)?;
                values.write(&within(maps.values(), &range)?)?;
            }
            Self::Struct(_, columns) => {
                for (column, values) in columns.iter_mut().zip(array.as_struct().columns()) {
                    column.write(values)?;
                }
            }
        }
        Ok(())
    }
}

fn each<T: Copy + Into<i64>>(values: &[T], integers: &mut Integers) {
    values.iter().for_each(|value| integers.push((*value).into()));
}

/// Nanoseconds, with the number of zeros at their end beyond the first in the lowest three bits.
fn fraction(nanos: i64) -> i64 {
    if nanos == 0 {
        return 0;
    }
    if nanos % 100 != 0 {
        return nanos << 3;
    }
    let (mut digits, mut zeros) = (nanos / 100, 1);
    while digits % 10 == 0 && zeros < 7 {
        digits /= 10;
        zeros += 1;
    }
    digits << 3 | zeros
}

/// The first and the last place of the items of all lists, whose lengths are appended.
fn spans(offsets: &[i32], lengths: &mut Integers) -> std::ops::Range<usize> {
    offsets.windows(2).for_each(|pair| lengths.push(i64::from(pair[1] - pair[0])));
    let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    first as usize..last as usize
}

/// The items of lists. Lists that follow one another have items that do.
fn within(items: &ArrayRef, range: &std::ops::Range<usize>) -> Result<ArrayRef, WriteError> {
    if range.len() == items.len() {
        return Ok(items.clone());
    }
    let places: UInt32Array = range.clone().map(|place| place as u32).collect();
    Ok(take(items, &places, None)?)
}
