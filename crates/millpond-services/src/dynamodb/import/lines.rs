//! The lines of an import's files: CSV or DynamoDB JSON, plain or compressed, as items. Memory is bounded by the longest line that is taken.

use super::super::table::Table;
use super::super::transfer::Import;
use super::super::{DynamoError, keys};
use crate::lake::Lake;
use crate::lake::objects::Object;
use crate::runtime::Failure;
use bytes::{Buf, Bytes};
use futures::StreamExt;
use futures::stream::BoxStream;
use millpond_core::log::Line;
use millpond_store::StoreError;
use millpond_tables::store::{LoadError, LoadWriter};
use millpond_tables::value::json::read_item;
use millpond_tables::value::key::KeyType;
use millpond_tables::{Item, Number, Value};
use serde_json::{Value as Json, json};
use std::cell::Cell;
use std::io::{BufRead, BufReader, Read};
use std::rc::Rc;
use tokio::runtime::Handle;

/// Bytes that a line may have: an item of 400 KB, escaped.
const LINE_MAX: u64 = 4 * 1024 * 1024;

/// Errors that are told at the most; all are counted.
const TOLD_MAX: usize = 1_000;

/// A reason may repeat what the line has; more of it is cut.
const REASON_CHARS_MAX: usize = 1_000;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Bytes, as they lie in S3.
    pub(super) bytes: u64,
    /// Lines that should be items.
    pub(super) lines: u64,
    /// Lines that are none.
    pub(super) errors: u64,
    /// The first of them.
    pub(super) told: Vec<Line>,
}

/// Why reading ends, or a line is none.
enum Fault {
    /// It goes on with the next line.
    Line(String),
    /// The rest of the file cannot be read.
    File(String),
    /// The import cannot go on.
    Import(Failure),
}

impl From<DynamoError> for Fault {
    fn from(error: DynamoError) -> Self {
        Self::Line(error.to_string())
    }
}

/// An object's bytes, for those who read and block.
struct ObjectReader {
    handle: Handle,
    stream: BoxStream<'static, Result<Bytes, StoreError>>,
    chunk: Bytes,
}

impl Read for ObjectReader {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.chunk.is_empty() {
            match self.handle.block_on(self.stream.next()) {
                Some(chunk) => self.chunk = chunk.map_err(std::io::Error::other)?,
                None => return Ok(0),
            }
        }
        let count = self.chunk.len().min(out.len());
        self.chunk.copy_to_slice(&mut out[..count]);
        Ok(count)
    }
}

/// Refuses to read more than a line may have, until it is told that one ended.
struct Budgeted<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(out)?;
        match self.left.get().checked_sub(count as u64) {
            Some(left) => self.left.set(left),
            None => return Err(std::io::Error::other(format!("a line, or blank lines, have more than {LINE_MAX} bytes"))),
        }
        Ok(count)
    }
}

/// Where CSV is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    FieldStart,
    Plain,
    Inside,
    /// After a quote inside: it ends the field, or is the first of two that are one.
    Closing,
    /// The file ended inside of quotes.
    EndedInside,
}

/// Follows quotes, since the CSV reader takes a file that ends inside of them as if they were closed. It reads the end only once it needs more for the last record.
struct Quoted<R> {
    inner: R,
    delimiter: u8,
    state: Rc<Cell<Quotes>>,
}

impl<R: Read> Read for Quoted<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(out)?;
        let mut state = self.state.get();
        if count == 0 && !out.is_empty() && state == Quotes::Inside {
            state = Quotes::EndedInside;
        }
        for &byte in out.iter().take(count) {
            state = match (state, byte) {
                (Quotes::FieldStart | Quotes::Closing, b'"') => Quotes::Inside,
                (Quotes::Inside, b'"') => Quotes::Closing,
                (Quotes::Inside, _) => Quotes::Inside,
                (_, b'\n' | b'\r') => Quotes::FieldStart,
                (_, byte) if byte == self.delimiter => Quotes::FieldStart,
                _ => Quotes::Plain,
            };
        }
        self.state.set(state);
        Ok(count)
    }
}

/// Where lines go.
struct Sink<'a> {
    import: &'a Import,
    table: &'a Table,
    key: &'a str,
    now_ms: i64,
    writer: &'a mut LoadWriter,
    tally: &'a mut Tally,
}

impl Sink<'_> {
    /// Takes what a line was read as.
    fn take(&mut self, number: u64, read: Result<Item, Fault>) -> Result<(), Failure> {
        self.tally.lines += 1;
        let put = read.and_then(|item| {
            keys::check_item(self.table, &item)?;
            self.writer.put(self.tally.lines, &item).map_err(|error| match error {
                LoadError::Item(error) => Fault::Line(error.to_string()),
                LoadError::Store(_) | LoadError::Stopped => Fault::Import(Failure::transient(error)),
            })
        });
        match put {
            Ok(()) => Ok(()),
            Err(Fault::Line(reason) | Fault::File(reason)) => {
                self.tell(Some(number), &reason);
                Ok(())
            }
            Err(Fault::Import(failure)) => Err(failure),
        }
    }

    fn tell(&mut self, line: Option<u64>, reason: &str) {
        self.tally.errors += 1;
        if self.tally.told.len() < TOLD_MAX {
            let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
            let source = json!({
                "itemS3Pointer": { "bucket": self.import.transfer.bucket, "key": self.key, "itemIndex": line },
                "importArn": self.import.transfer.arn,
                "errorMessages": [reason],
            });
            self.tally.told.push(Line::new(self.now_ms, source.to_string()));
        }
    }
}

/// Reads one file. Blocks.
pub(super) fn read(
    lake: &Lake,
    handle: &Handle,
    import: &Import,
    table: &Table,
    file: &Object,
    writer: &mut LoadWriter,
    tally: &mut Tally,
) -> Result<(), Failure> {
    tally.bytes += file.size;
    let stream = handle.block_on(lake.store.blobs().stream(&file.blob, 0..file.size)).map_err(Failure::transient)?;
    let raw = ObjectReader { handle: handle.clone(), stream, chunk: Bytes::new() };
    let now_ms = lake.store.env().now_ms();
    let mut sink = Sink { import, table, key: &file.key, now_ms, writer, tally };
    let plain: Box<dyn Read> = match import.compression.as_str() {
        "GZIP" => Box::new(flate2::read::MultiGzDecoder::new(raw)),
        "ZSTD" => match zstd::stream::read::Decoder::new(raw) {
            Ok(decoder) => Box::new(decoder),
            Err(error) => {
                sink.tell(None, &format!("the file cannot be decompressed: {error}"));
                return Ok(());
            }
        },
        _ => Box::new(raw),
    };
    let left = Rc::new(Cell::new(LINE_MAX));
    let plain = Budgeted { inner: plain, left: left.clone() };
    let ended = match import.format.as_str() {
        "CSV" => csv_lines(plain, &left, &mut sink),
        _ => json_lines(plain, &left, &mut sink),
    };
    match ended {
        Ok(()) => Ok(()),
        Err(Fault::File(reason) | Fault::Line(reason)) => {
            sink.tell(None, &format!("the rest of the file cannot be read: {reason}"));
            Ok(())
        }
        Err(Fault::Import(failure)) => Err(failure),
    }
}

fn json_lines(plain: impl Read, left: &Cell<u64>, sink: &mut Sink<'_>) -> Result<(), Fault> {
    let mut reader = BufReader::new(plain);
    let mut line = Vec::new();
    let mut number = 0;
    left.set(LINE_MAX);
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(|error| Fault::File(error.to_string()))? == 0 {
            return Ok(());
        }
        number += 1;
        // Blank lines have the bytes of one line together: little compressed may be endless ones.
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        left.set(LINE_MAX);
        sink.take(number, json_item(&line)).map_err(Fault::Import)?;
    }
}

/// `{"Item": {…}}`
fn json_item(line: &[u8]) -> Result<Item, Fault> {
    let parsed: Json = serde_json::from_slice(line).map_err(|error| Fault::Line(format!("the line is not JSON: {error}")))?;
    let item = parsed.get("Item").ok_or_else(|| Fault::Line("the line has no Item".into()))?;
    read_item(item).map_err(|error| Fault::Line(error.to_string()))
}

fn csv_lines(plain: impl Read, left: &Cell<u64>, sink: &mut Sink<'_>) -> Result<(), Fault> {
    let options = sink.import.csv.clone().unwrap_or_default();
    let delimiter = options.delimiter.as_deref().and_then(|text| text.bytes().next()).unwrap_or(b',');
    let quotes = Rc::new(Cell::new(Quotes::FieldStart));
    let plain = Quoted { inner: plain, delimiter, state: quotes.clone() };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(64 * 1024)
        .from_reader(plain);
    let mut record = csv::StringRecord::new();
    let mut header = options.header;
    loop {
        left.set(LINE_MAX);
        match reader.read_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) => {
                let number = reader.position().line();
                sink.take(number, Err(Fault::Line("the line is not UTF-8".into()))).map_err(Fault::Import)?;
                continue;
            }
            Err(error) => return Err(Fault::File(error.to_string())),
        }
        let number = record.position().map_or(0, csv::Position::line);
        if quotes.get() == Quotes::EndedInside {
            return Err(Fault::File(format!("the quote that begins in line {number} or after it does not end")));
        }
        let Some(names) = &header else {
            let names: Vec<String> = record.iter().map(str::to_owned).collect();
            let distinct: std::collections::HashSet<_> = names.iter().collect();
            if distinct.len() != names.len() || names.iter().any(String::is_empty) {
                return Err(Fault::File("the header has an empty name, or one twice".into()));
            }
            header = Some(names);
            continue;
        };
        let item = csv_item(sink.table, names, &record);
        sink.take(number, item).map_err(Fault::Import)?;
    }
}

/// Columns of keys have their types; all others are strings. A field without text is an attribute that is not there where it is of a key, else an empty string.
fn csv_item(table: &Table, names: &[String], record: &csv::StringRecord) -> Result<Item, Fault> {
    if names.len() != record.len() {
        return Err(Fault::Line(format!("the line has {} columns, and the header {}", record.len(), names.len())));
    }
    let schemas = || std::iter::once(&table.schema).chain(table.indexes.iter().map(|index| &index.schema));
    let mut item = Item::new();
    for (name, text) in names.iter().zip(record) {
        let key = schemas().flat_map(|schema| schema.attributes()).find(|attribute| attribute.name == *name);
        let value = match key.map(|key| key.key_type) {
            Some(_) if text.is_empty() => continue,
            Some(KeyType::Number) => {
                let number: Result<Number, _> = text.trim().parse();
                Value::Number(number.map_err(|error| Fault::Line(format!("the column {name}: {error}")))?)
            }
            Some(KeyType::Binary) => {
                let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text);
                Value::Binary(bytes.map_err(|_| Fault::Line(format!("the column {name} is a binary key, and not Base64")))?)
            }
            Some(KeyType::String) | None => Value::String(text.to_owned()),
        };
        item.insert(name.clone(), value);
    }
    Ok(item)
}
