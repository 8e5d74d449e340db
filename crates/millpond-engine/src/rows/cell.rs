//! One value of a row.

use arrow::array::{
    Array, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDate};
use std::fmt::Write as _;

/// A value, borrowed from its column.
#[derive(Debug, Clone, Copy)]
pub enum Cell<'a> {
    /// Nothing.
    Null,
    /// `boolean`
    Bool(bool),
    /// `tinyint` to `bigint`
    Int(i64),
    /// `float`
    Single(f32),
    /// `double`
    Double(f64),
    /// `decimal`: `unscaled × 10^-scale`.
    Decimal {
        /// All digits.
        unscaled: i128,
        /// Those of them that are after the point.
        scale: u8,
    },
    /// `string`, `char`, `varchar`
    Text(&'a str),
    /// `binary`
    Binary(&'a [u8]),
    /// `date`: days since 1970-01-01.
    Date(i32),
    /// `timestamp`: microseconds since the epoch, in UTC.
    Timestamp(i64),
    /// `array`
    List(List<'a>),
    /// `map`
    Map(Map<'a>),
    /// `struct`
    Struct(Struct<'a>),
}

/// The values of a column.
#[derive(Debug)]
pub struct Cells<'a>(Inner<'a>);

#[derive(Debug)]
enum Inner<'a> {
    Bool(&'a BooleanArray),
    I8(&'a Int8Array),
    I16(&'a Int16Array),
    I32(&'a Int32Array),
    I64(&'a Int64Array),
    F32(&'a Float32Array),
    F64(&'a Float64Array),
    Decimal(&'a Decimal128Array, u8),
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMicrosecondArray),
    List(&'a ListArray, Box<Cells<'a>>),
    Map(&'a MapArray, Box<(Cells<'a>, Cells<'a>)>),
    Struct(&'a StructArray, Vec<(&'a str, Cells<'a>)>),
}

/// The elements of a list.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    cells: &'a Cells<'a>,
    from: usize,
    to: usize,
}

/// The entries of a map.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a> {
    cells: &'a (Cells<'a>, Cells<'a>),
    from: usize,
    to: usize,
}

/// The fields of a struct.
#[derive(Debug, Clone, Copy)]
pub struct Struct<'a> {
    fields: &'a [(&'a str, Cells<'a>)],
    row: usize,
}

impl<'a> List<'a> {
    /// In order.
    pub fn iter(self) -> impl Iterator<Item = Cell<'a>> {
        (self.from..self.to).map(move |row| self.cells.get(row))
    }
}

impl<'a> Map<'a> {
    /// Keys and values, in order.
    pub fn iter(self) -> impl Iterator<Item = (Cell<'a>, Cell<'a>)> {
        (self.from..self.to).map(move |row| (self.cells.0.get(row), self.cells.1.get(row)))
    }
}

impl<'a> Struct<'a> {
    /// Names and values, in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Cell<'a>)> {
        self.fields.iter().map(move |(name, cells)| (*name, cells.get(self.row)))
    }
}

fn span(offsets: &[i32], row: usize) -> (usize, usize) {
    (offsets[row].cast_unsigned() as usize, offsets[row + 1].cast_unsigned() as usize)
}

impl<'a> Cells<'a> {
    pub(super) fn of(array: &'a dyn Array) -> Result<Self, String> {
        Ok(Self(match array.data_type() {
            DataType::Boolean => Inner::Bool(array.as_boolean()),
            DataType::Int8 => Inner::I8(array.as_primitive()),
            DataType::Int16 => Inner::I16(array.as_primitive()),
            DataType::Int32 => Inner::I32(array.as_primitive()),
            DataType::Int64 => Inner::I64(array.as_primitive()),
            DataType::Float32 => Inner::F32(array.as_primitive()),
            DataType::Float64 => Inner::F64(array.as_primitive()),
            DataType::Decimal128(_, scale) if *scale >= 0 => Inner::Decimal(array.as_primitive(), scale.cast_unsigned()),
            DataType::Utf8 => Inner::Text(array.as_string()),
            DataType::Binary => Inner::Binary(array.as_binary()),
            DataType::Date32 => Inner::Date(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Inner::Timestamp(array.as_primitive()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Inner::List(list, Box::new(Self::of(list.values().as_ref())?))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                Inner::Map(map, Box::new((Self::of(map.keys().as_ref())?, Self::of(map.values().as_ref())?)))
            }
            DataType::Struct(fields) => {
                let fields = fields.iter().zip(array.as_struct().columns());
                let fields = fields.map(|(field, column)| Ok((field.name().as_str(), Self::of(column.as_ref())?)));
                Inner::Struct(array.as_struct(), fields.collect::<Result<_, String>>()?)
            }
            other => return Err(format!("{other} is no type of a column")),
        }))
    }

    /// The value in a row.
    #[inline]
    pub fn get(&self, row: usize) -> Cell<'_> {
        if self.array().is_null(row) {
            return Cell::Null;
        }
        match &self.0 {
            Inner::Bool(array) => Cell::Bool(array.value(row)),
            Inner::I8(array) => Cell::Int(i64::from(array.value(row))),
            Inner::I16(array) => Cell::Int(i64::from(array.value(row))),
            Inner::I32(array) => Cell::Int(i64::from(array.value(row))),
            Inner::I64(array) => Cell::Int(array.value(row)),
            Inner::F32(array) => Cell::Single(array.value(row)),
            Inner::F64(array) => Cell::Double(array.value(row)),
            Inner::Decimal(array, scale) => Cell::Decimal { unscaled: array.value(row), scale: *scale },
            Inner::Text(array) => Cell::Text(array.value(row)),
            Inner::Binary(array) => Cell::Binary(array.value(row)),
            Inner::Date(array) => Cell::Date(array.value(row)),
            Inner::Timestamp(array) => Cell::Timestamp(array.value(row)),
            Inner::List(array, cells) => {
                let (from, to) = span(array.value_offsets(), row);
                Cell::List(List { cells, from, to })
            }
            Inner::Map(array, cells) => {
                let (from, to) = span(array.value_offsets(), row);
                Cell::Map(Map { cells, from, to })
            }
            Inner::Struct(_, fields) => Cell::Struct(Struct { fields, row }),
        }
    }

    #[inline]
    fn array(&self) -> &dyn Array {
        match &self.0 {
            Inner::Bool(array) => *array,
            Inner::I8(array) => *array,
            Inner::I16(array) => *array,
            Inner::I32(array) => *array,
            Inner::I64(array) => *array,
            Inner::F32(array) => *array,
            Inner::F64(array) => *array,
            Inner::Decimal(array, _) => *array,
            Inner::Text(array) => *array,
            Inner::Binary(array) => *array,
            Inner::Date(array) => *array,
            Inner::Timestamp(array) => *array,
            Inner::List(array, _) => *array,
            Inner::Map(array, _) => *array,
            Inner::Struct(array, _) => *array,
        }
    }

    /// No value of this column has more bytes, be it as text, as binary, or as it is. Cheap, and exact for text and binary only: of lists and structures
    /// it is as much as all that are in this column have together.
    pub fn bytes_max(&self) -> usize {
        let longest = |offsets: &[i32]| offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0).cast_unsigned() as usize;
        let rows = self.array().len();
        match &self.0 {
            Inner::Bool(_) | Inner::I8(_) | Inner::I16(_) | Inner::I32(_) | Inner::I64(_) | Inner::Date(_) => 24,
            Inner::F32(_) | Inner::F64(_) => 32,
            Inner::Decimal(..) | Inner::Timestamp(_) => 48,
            Inner::Text(array) => longest(array.value_offsets()),
            Inner::Binary(array) => longest(array.value_offsets()).div_ceil(3) * 4,
            Inner::List(_, cells) => cells.bytes_all() + rows * 8,
            Inner::Map(_, cells) => cells.0.bytes_all() + cells.1.bytes_all() + rows * 8,
            Inner::Struct(_, fields) => fields.iter().map(|(name, cells)| rows * (name.len() + 8) + cells.bytes_all()).sum(),
        }
    }

    /// All values together have no more bytes.
    fn bytes_all(&self) -> usize {
        match &self.0 {
            Inner::Text(array) => array.value_data().len(),
            Inner::Binary(array) => array.value_data().len().div_ceil(3) * 4 + array.len() * 4,
            Inner::List(..) | Inner::Map(..) | Inner::Struct(..) => self.bytes_max(),
            _ => self.array().len() * self.bytes_max(),
        }
    }

    /// Whether values are `float` or `double`: some of those are no numbers.
    pub fn is_floating(&self) -> bool {
        matches!(self.0, Inner::F32(_) | Inner::F64(_))
    }

    /// Whether values are lists, maps or structures.
    pub fn is_nested(&self) -> bool {
        matches!(self.0, Inner::List(..) | Inner::Map(..) | Inner::Struct(..))
    }
}

impl Cell<'_> {
    /// Whether there is no value.
    pub fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }

    /// Appends the value as people write it: `true`, `-5`, `0.1`, `12.50` (a decimal with all its places), `2024-05-01`, `2024-05-01T10:00:00Z` (with
    /// as many decimals as there are), bytes in base64, lists and structures as JSON. Nothing for null.
    pub fn write_text(self, out: &mut String) {
        match self {
            Self::Null => {}
            Self::Text(text) => out.push_str(text),
            Self::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            Self::Int(value) => put(out, format_args!("{value}")),
            Self::Single(value) => floating(out, value.is_finite(), f64::from(value), format_args!("{value:?}")),
            Self::Double(value) => floating(out, value.is_finite(), value, format_args!("{value:?}")),
            Self::Decimal { unscaled, scale } => decimal(out, unscaled, usize::from(scale)),
            Self::Binary(bytes) => STANDARD.encode_string(bytes, out),
            Self::Date(days) => date(out, days),
            Self::Timestamp(micros) => timestamp(out, micros),
            Self::List(_) | Self::Map(_) | Self::Struct(_) => self.write_json(out),
        }
    }

    /// Appends the value as JSON: numbers and booleans as they are, everything else that is no list or structure as a string of its text.
    pub fn write_json(self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(_) | Self::Int(_) | Self::Decimal { .. } => self.write_text(out),
            Self::Single(value) if value.is_finite() => self.write_text(out),
            Self::Double(value) if value.is_finite() => self.write_text(out),
            Self::Text(text) => quoted(out, text),
            Self::Single(_) | Self::Double(_) | Self::Binary(_) | Self::Date(_) | Self::Timestamp(_) => {
                let mut text = String::new();
                self.write_text(&mut text);
                quoted(out, &text);
            }
            Self::List(list) => {
                out.push('[');
                list.iter().enumerate().for_each(|(at, cell)| {
                    comma(out, at);
                    cell.write_json(out);
                });
                out.push(']');
            }
            Self::Map(map) => {
                out.push('{');
                map.iter().enumerate().for_each(|(at, (key, value))| {
                    comma(out, at);
                    let mut name = String::new();
                    key.write_text(&mut name);
                    quoted(out, &name);
                    out.push(':');
                    value.write_json(out);
                });
                out.push('}');
            }
            Self::Struct(fields) => {
                out.push('{');
                fields.iter().filter(|(_, value)| !value.is_null()).enumerate().for_each(|(at, (name, value))| {
                    comma(out, at);
                    quoted(out, name);
                    out.push(':');
                    value.write_json(out);
                });
                out.push('}');
            }
        }
    }
}

fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("writing to a string cannot fail");
}

fn comma(out: &mut String, at: usize) {
    if at > 0 {
        out.push(',');
    }
}

fn quoted(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).expect("a text is always JSON"));
}

fn floating(out: &mut String, finite: bool, value: f64, shown: std::fmt::Arguments<'_>) {
    match (finite, value > 0.0, value.is_nan()) {
        (true, ..) => put(out, shown),
        (_, _, true) => out.push_str("NaN"),
        (_, true, _) => out.push_str("Infinity"),
        _ => out.push_str("-Infinity"),
    }
}

fn decimal(out: &mut String, unscaled: i128, scale: usize) {
    if unscaled < 0 {
        out.push('-');
    }
    let digits = unscaled.unsigned_abs().to_string();
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    out.push_str(whole);
    if scale > 0 {
        out.push('.');
        out.push_str(fraction);
    }
}

fn date(out: &mut String, days: i32) {
    match NaiveDate::from_epoch_days(days) {
        Some(date) => put(out, format_args!("{date}")),
        // Beyond the calendar (some 260,000 years): the number of days is all that can be said.
        None => put(out, format_args!("{days}")),
    }
}

fn timestamp(out: &mut String, micros: i64) {
    let Some(time) = DateTime::from_timestamp_micros(micros) else { return put(out, format_args!("{micros}")) };
    let time = time.naive_utc();
    put(out, format_args!("{}T{}", time.date(), time.time().format("%H:%M:%S")));
    match (micros.rem_euclid(1_000_000), micros.rem_euclid(1_000)) {
        (0, _) => {}
        (fraction, 0) => put(out, format_args!(".{:03}", fraction / 1_000)),
        (fraction, _) => put(out, format_args!(".{fraction:06}")),
    }
    out.push('Z');
}
