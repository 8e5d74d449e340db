//! Delimited text, as Hive's LazySimpleSerDe and OpenCSVSerde read it.

use super::TextOptions;
use super::encoder::{self, broken};
use crate::result::value;
use crate::write::WriteError;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Rows as delimited lines.
pub(super) struct Rows {
    options: TextOptions,
    /// From the outside in: between fields, items, keys and values, then the control characters that follow.
    delimiters: Vec<u8>,
}

/// Hive nests so deep, as it has no more control characters for delimiters.
const DEPTH_MAX: usize = 8;

impl Rows {
    pub(super) fn new(options: TextOptions) -> Self {
        let mut delimiters = vec![options.delimiter, options.collection_delimiter, options.map_key_delimiter];
        delimiters.extend(4..=DEPTH_MAX as u8);
        Self { options, delimiters }
    }

    /// Text within a field, where some bytes may be delimiters of some depth.
    fn push_text(&self, text: &str, out: &mut Vec<u8>) {
        let Some(escape) = self.options.escape.filter(|_| self.options.quote.is_none()) else {
            out.extend_from_slice(text.as_bytes());
            return;
        };
        for byte in text.bytes() {
            match byte {
                b'\n' => out.extend([escape, b'n']),
                b'\r' => out.extend([escape, b'r']),
                byte if byte == escape || self.delimiters.contains(&byte) => out.extend([escape, byte]),
                byte => out.push(byte),
            }
        }
    }

    /// A whole field in quotes.
    fn push_quoted(&self, field: &[u8], quote: u8, out: &mut Vec<u8>) {
        out.push(quote);
        for &byte in field {
            if byte == quote || Some(byte) == self.options.escape {
                out.push(self.options.escape.unwrap_or(quote));
            }
            out.push(byte);
        }
        out.push(quote);
    }

    fn cells<'a>(&'a self, array: &'a ArrayRef, depth: usize) -> Result<Cell<'a>, WriteError> {
        if depth >= DEPTH_MAX {
            return Err(WriteError::Format(format!("delimited text holds no values that are nested more than {DEPTH_MAX} deep")));
        }
        let nulls = array.logical_nulls();
        let write = self.values(array, depth)?;
        Ok(Box::new(move |row, out| {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                out.extend_from_slice(self.options.null_text.as_bytes());
            } else {
                write(row, out);
            }
        }))
    }

    fn values<'a>(&'a self, array: &'a ArrayRef, depth: usize) -> Result<Cell<'a>, WriteError> {
        Ok(match array.data_type() {
            DataType::Utf8 => {
                let texts = array.as_string::<i32>();
                Box::new(|row, out| self.push_text(texts.value(row), out))
            }
            DataType::Binary => {
                let values = array.as_binary::<i32>();
                Box::new(|row, out| self.push_text(&STANDARD.encode(values.value(row)), out))
            }
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                let (items, between) = (self.cells(lists.values(), depth + 1)?, self.delimiters[depth]);
                Box::new(move |row, out| {
                    let (start, end) = (lists.value_offsets()[row] as usize, lists.value_offsets()[row + 1] as usize);
                    for item in start..end {
                        if item > start {
                            out.push(between);
                        }
                        items(item, out);
                    }
                })
            }
            DataType::Map(_, _) if depth + 1 < DEPTH_MAX => {
                let maps = array.as_map();
                let (keys, values) = (self.cells(maps.keys(), depth + 2)?, self.cells(maps.values(), depth + 2)?);
                let (between, after_key) = (self.delimiters[depth], self.delimiters[depth + 1]);
                Box::new(move |row, out| {
                    let (start, end) = (maps.value_offsets()[row] as usize, maps.value_offsets()[row + 1] as usize);
                    for entry in start..end {
                        if entry > start {
                            out.push(between);
                        }
                        keys(entry, out);
                        out.push(after_key);
                        values(entry, out);
                    }
                })
            }
            DataType::Struct(_) => {
                let columns = array.as_struct().columns();
                let fields = columns.iter().map(|column| self.cells(column, depth + 1)).collect::<Result<Vec<_>, _>>()?;
                let between = self.delimiters[depth];
                Box::new(move |row, out| {
                    for (index, field) in fields.iter().enumerate() {
                        if index > 0 {
                            out.push(between);
                        }
                        field(row, out);
                    }
                })
            }
            _ => {
                let write = value::writer(array).map_err(broken)?;
                Box::new(move |row, out| {
                    let mut text = String::new();
                    write(row, &mut text);
                    out.extend_from_slice(text.as_bytes());
                })
            }
        })
    }
}

/// Appends one row's value.
type Cell<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

impl encoder::Rows for Rows {
    fn write(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), WriteError> {
        let columns = batch.columns().iter().map(|column| self.cells(column, 1)).collect::<Result<Vec<_>, _>>()?;
        let mut field = Vec::new();
        for row in 0..batch.num_rows() {
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    out.push(self.options.delimiter);
                }
                match self.options.quote {
                    None => column(row, out),
                    Some(quote) => {
                        field.clear();
                        column(row, &mut field);
                        self.push_quoted(&field, quote, out);
                    }
                }
            }
            out.push(b'\n');
        }
        Ok(())
    }
}
