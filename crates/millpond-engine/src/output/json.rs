//! JSON lines, as Hive's and OpenX's JsonSerDe read them.

use super::encoder::{self, broken};
use crate::result::value;
use crate::write::WriteError;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;

/// Rows as JSON objects, one a line.
pub(super) struct Rows {
    /// Of each column: the key with its quotes and colon.
    keys: Vec<String>,
}

impl Rows {
    /// `keys`: those that differ from the columns' names.
    pub(super) fn new(schema: &SchemaRef, keys: &BTreeMap<String, String>) -> Self {
        let key = |name: &String| quoted(keys.get(name).unwrap_or(name)) + ":";
        Self { keys: schema.fields().iter().map(|field| key(field.name())).collect() }
    }
}

/// Appends one row's value.
type Cell<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

impl encoder::Rows for Rows {
    fn write(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), WriteError> {
        let columns = batch.columns().iter().map(cells).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            out.push(b'{');
            for (index, (key, column)) in self.keys.iter().zip(&columns).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(key.as_bytes());
                column(row, out);
            }
            out.extend_from_slice(b"}\n");
        }
        Ok(())
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn push_quoted(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a text can be written to memory");
}

fn cells(array: &ArrayRef) -> Result<Cell<'_>, WriteError> {
    let nulls = array.logical_nulls();
    let write = values(array)?;
    Ok(Box::new(move |row, out| {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(b"null");
        } else {
            write(row, out);
        }
    }))
}

fn values(array: &ArrayRef) -> Result<Cell<'_>, WriteError> {
    Ok(match array.data_type() {
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            Box::new(|row, out| push_quoted(texts.value(row), out))
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            Box::new(|row, out| push_quoted(&STANDARD.encode(values.value(row)), out))
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let items = cells(lists.values())?;
            Box::new(move |row, out| {
                let (start, end) = (lists.value_offsets()[row] as usize, lists.value_offsets()[row + 1] as usize);
                out.push(b'[');
                for item in start..end {
                    if item > start {
                        out.push(b',');
                    }
                    items(item, out);
                }
                out.push(b']');
            })
        }
        DataType::Map(_, _) => {
            let maps = array.as_map();
            let (keys, values) = (value::writer(maps.keys()).map_err(broken)?, cells(maps.values())?);
            Box::new(move |row, out| {
                let (start, end) = (maps.value_offsets()[row] as usize, maps.value_offsets()[row + 1] as usize);
                out.push(b'{');
                for entry in start..end {
                    if entry > start {
                        out.push(b',');
                    }
                    let mut key = String::new();
                    keys(entry, &mut key);
                    push_quoted(&key, out);
                    out.push(b':');
                    values(entry, out);
                }
                out.push(b'}');
            })
        }
        DataType::Struct(fields) => {
            let rows = array.as_struct();
            let columns = fields.iter().zip(rows.columns());
            let columns = columns.map(|(field, column)| Ok((quoted(field.name()) + ":", cells(column)?)));
            let columns = columns.collect::<Result<Vec<_>, WriteError>>()?;
            Box::new(move |row, out| {
                out.push(b'{');
                for (index, (key, column)) in columns.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(key.as_bytes());
                    column(row, out);
                }
                out.push(b'}');
            })
        }
        // JSON has no numbers for these.
        DataType::Float64 => {
            let (numbers, write) = (array.as_primitive::<Float64Type>(), plain(array)?);
            Box::new(move |row, out| quote_unless(numbers.value(row).is_finite(), &write, row, out))
        }
        DataType::Float32 => {
            let (numbers, write) = (array.as_primitive::<Float32Type>(), plain(array)?);
            Box::new(move |row, out| quote_unless(numbers.value(row).is_finite(), &write, row, out))
        }
        data_type if data_type.is_numeric() || *data_type == DataType::Boolean => plain(array)?,
        _ => {
            let write = plain(array)?;
            Box::new(move |row, out| quote_unless(false, &write, row, out))
        }
    })
}

fn quote_unless(plain: bool, write: &Cell<'_>, row: usize, out: &mut Vec<u8>) {
    if plain {
        return write(row, out);
    }
    // Dates, times and names of special numbers need no escapes.
    out.push(b'"');
    write(row, out);
    out.push(b'"');
}

fn plain(array: &ArrayRef) -> Result<Cell<'_>, WriteError> {
    let write = value::writer(array).map_err(broken)?;
    Ok(Box::new(move |row, out| {
        let mut text = String::new();
        write(row, &mut text);
        out.extend_from_slice(text.as_bytes());
    }))
}
