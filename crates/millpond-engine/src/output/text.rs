//! Delimited text, as Hive's LazySimpleSerDe and OpenCSVSerde read it.

use super::TextOptions;
use super::encoder::{self, broken};
use crate::result::value;
use crate::write::WriteError;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::cell::Cell;

/// Rows as delimited lines.
pub(super) struct Rows {
    options: TextOptions,
    /// From the outside in: between fields, items, keys and values, then the control characters that follow.
    delimiters: Vec<u8>,
    /// Whether a value was met that the text cannot hold, since this was last asked.
    unfit: Cell<bool>,
}

/// Hive nests so deep, as it has no more control characters for delimiters.
const DEPTH_MAX: usize = 8;

impl Rows {
    pub(super) fn new(options: TextOptions) -> Self {
        let mut delimiters = vec![options.delimiter, options.collection_delimiter, options.map_key_delimiter];
        delimiters.extend(4..=DEPTH_MAX as u8);
        Self { options, delimiters, unfit: Cell::new(false) }
    }

    /// Text within a field at a depth, where the delimiters of that depth and of those above are none.
    fn push_text(&self, text: &str, depth: usize, out: &mut Vec<u8>) {
        if self.options.quote.is_some() {
            return out.extend_from_slice(text.as_bytes());
        }
        // NULL is NULL already where nothing is written for it.
        let like_null = text == self.options.null_text && !text.is_empty();
        let Some(escape) = self.options.escape else {
            let torn = |byte: u8| matches!(byte, b'\n' | b'\r') || self.delimiters[..depth].contains(&byte);
            if like_null || text.bytes().any(torn) {
                self.unfit.set(true);
            }
            return out.extend_from_slice(text.as_bytes());
        };
        // Any escape makes another text of it. (An escaped `n` or `r` is a line end.)
        let unlike = text.bytes().position(|byte| !matches!(byte, b'n' | b'r')).filter(|_| like_null);
        if like_null && unlike.is_none() {
            self.unfit.set(true);
        }
        for (place, byte) in text.bytes().enumerate() {
            match byte {
                b'\n' => out.extend([escape, b'n']),
                b'\r' => out.extend([escape, b'r']),
                byte if byte == escape || self.delimiters.contains(&byte) || unlike == Some(place) => out.extend([escape, byte]),
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

    fn cells<'a>(&'a self, array: &'a ArrayRef, depth: usize) -> Result<Writer<'a>, WriteError> {
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

    fn values<'a>(&'a self, array: &'a ArrayRef, depth: usize) -> Result<Writer<'a>, WriteError> {
        Ok(match array.data_type() {
            DataType::Utf8 => {
                let texts = array.as_string::<i32>();
                Box::new(move |row, out| self.push_text(texts.value(row), depth, out))
            }
            DataType::Binary => {
                let values = array.as_binary::<i32>();
                Box::new(move |row, out| self.push_text(&STANDARD.encode(values.value(row)), depth, out))
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
                    self.push_text(&text, depth, out);
                })
            }
        })
    }

    /// What to do about a value that would tear its row, or be read as NULL: Athena writes it, and what is read afterwards is something else.
    fn refused(&self, column: &str) -> WriteError {
        let (delimiter, null) = (char::from(self.options.delimiter).escape_default(), &self.options.null_text);
        WriteError::Format(format!(
            "a value of the column '{column}' holds a line end, a delimiter ('{delimiter}' or one of nested values) or is the text '{null}' that \
             stands for NULL: delimited text without an escape character cannot hold it. Take such characters out in the query, write another \
             format (PARQUET, ORC, AVRO, JSON), or insert into a table that is made with ROW FORMAT DELIMITED … ESCAPED BY '\\\\'"
        ))
    }
}

/// Appends one row's value.
type Writer<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

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
                if self.unfit.take() {
                    return Err(self.refused(batch.schema_ref().field(index).name()));
                }
            }
            out.push(b'\n');
        }
        Ok(())
    }
}
