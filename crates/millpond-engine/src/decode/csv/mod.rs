//! Delimited text: the hot path of ingest.
//!
//! A block of whole records is indexed once ([`index`]), and then each wanted column is parsed on its own, in a loop that knows its type. Fields
//! that nobody wants are never looked at.

mod cells;
pub(crate) mod index;
mod layout;
mod nested;
#[cfg(test)]
mod tests;

pub(crate) use cells::misfit;
pub(crate) use layout::{Layout, record_at};

use super::blocks::{Block, Lines, RAW_BYTES_MAX};
use super::columns::Node;
use super::{Rejected, cut_text, source};
use crate::table::CsvOptions;
use crate::types::HiveType;
use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use cells::{BadCell, Cells};
use index::{Index, Record, Scanner, Stop, Syntax};
use std::sync::Arc;

/// Text of a batch at most, before it is handed on.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// Consecutive rows of a batch that came from one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub file: usize,
    pub rows: usize,
}

/// Rows of one or more files.
#[derive(Debug)]
pub(crate) struct Batch {
    pub batch: RecordBatch,
    /// In the order of the rows.
    pub segments: Vec<Segment>,
    /// With the index of their file.
    pub rejects: Vec<(usize, Rejected)>,
    /// Where each row starts; empty where nobody asked.
    pub starts: Vec<Start>,
}

/// Where a row starts in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    /// As [`Rejected::line`] counts.
    pub line: u64,
    /// Rises from row to row.
    pub position: u64,
}

impl Start {
    /// Of a record at `at` in a block.
    pub fn new(line: u64, first_byte: u64, at: usize) -> Self {
        // Text that is not UTF-8 may be up to three times as long when it is.
        Self { line, position: first_byte * 4 + at as u64 }
    }
}

/// Receives batches; an error stops the work.
pub(crate) type Emit<'a, E> = &'a mut dyn FnMut(Batch) -> Result<(), E>;

/// Rows under construction: parsed columns, and which of their rows are bad.
#[derive(Debug)]
pub(crate) struct Pending {
    pub nodes: Vec<Node>,
    pub schema: SchemaRef,
    pub rows: usize,
    pub bytes: usize,
    pub bad_rows: Vec<u32>,
    pub segments: Vec<Segment>,
    pub rejects: Vec<(usize, Rejected)>,
    /// One for each row, where they are kept.
    pub starts: Vec<Start>,
    pub keep_starts: bool,
    batch_rows: usize,
}

impl Pending {
    pub fn new(columns: &[(String, HiveType)], batch_rows: usize) -> Self {
        let fields: Vec<Field> = columns.iter().map(|(name, t)| Field::new(name, t.to_arrow(), true)).collect();
        Self {
            nodes: columns.iter().map(|(_, t)| Node::new(t)).collect(),
            schema: Arc::new(Schema::new(fields)),
            rows: 0,
            bytes: 0,
            bad_rows: Vec::new(),
            segments: Vec::new(),
            rejects: Vec::new(),
            starts: Vec::new(),
            keep_starts: false,
            batch_rows: batch_rows.max(1),
        }
    }

    pub fn room(&self) -> usize {
        self.batch_rows.saturating_sub(self.rows)
    }

    pub fn is_full(&self) -> bool {
        self.rows >= self.batch_rows || self.bytes >= BATCH_BYTES_MAX || self.rejects.len() >= self.batch_rows
    }

    pub fn add_segment(&mut self, file: usize, rows: usize) {
        match self.segments.last_mut() {
            Some(last) if last.file == file => last.rows += rows,
            _ if rows > 0 => self.segments.push(Segment { file, rows }),
            _ => {}
        }
    }

    /// What there is, if there is anything.
    pub fn take(&mut self) -> Result<Option<Batch>, ArrowError> {
        if self.rows == 0 && self.rejects.is_empty() {
            return Ok(None);
        }
        let arrays = self.nodes.iter_mut().map(Node::finish).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let mut batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?;
        if !self.bad_rows.is_empty() {
            let mut keep = vec![true; self.rows];
            for row in self.bad_rows.drain(..) {
                keep[row as usize] = false;
            }
            let mut row = 0;
            self.starts.retain(|_| {
                row += 1;
                keep[row - 1]
            });
            batch = filter_record_batch(&batch, &BooleanArray::from(keep))?;
        }
        (self.rows, self.bytes) = (0, 0);
        let (segments, rejects) = (std::mem::take(&mut self.segments), std::mem::take(&mut self.rejects));
        Ok(Some(Batch { batch, segments, rejects, starts: std::mem::take(&mut self.starts) }))
    }
}

/// Parses blocks of any number of files that share one set of wanted columns.
#[derive(Debug)]
pub(crate) struct CsvParser {
    pub pending: Pending,
    names: Vec<String>,
    types: Vec<HiveType>,
    cells: Cells,
    syntax: Syntax,
    strict: bool,
    index: Index,
}

impl CsvParser {
    pub fn new(options: &CsvOptions, columns: &[(String, HiveType)], strict: bool, batch_rows: usize) -> Self {
        Self {
            pending: Pending::new(columns, batch_rows),
            names: columns.iter().map(|c| c.0.clone()).collect(),
            types: columns.iter().map(|c| c.1.clone()).collect(),
            cells: Cells::new(options, strict),
            syntax: options.into(),
            strict,
            index: Index { keep_blank: options.lazy && !strict, ..Index::default() },
        }
    }

    /// Columns that are read as text and have no text in them: for each, whether an empty field or one that says "nothing" is a null, as it would be if the
    /// column were read by its type.
    pub fn text_of(&mut self, typed: Vec<bool>) {
        self.cells.typed = typed;
    }

    /// Parses one block of file number `file`, handing on full batches; what is left stays for the next block.
    pub fn parse<E: From<ArrowError>>(
        &mut self,
        mut block: Block,
        layout: &Layout,
        file: usize,
        emit: Emit<'_, E>,
    ) -> Result<(), E> {
        self.pending.rejects.extend(block.rejects.drain(..).map(|r| (file, r)));
        let repaired = source::repaired(&block.data);
        let data = repaired.as_deref().unwrap_or(&block.data);
        let mut scanner = Scanner::new(data, self.syntax, layout.skip.min(data.len()));
        let mut lines = Lines::new(data, block.first_line);
        loop {
            let from = scanner.at;
            self.index.clear(layout.width);
            let stop = scanner.index(&mut self.index, self.pending.room(), block.last, self.strict);
            self.take_records(data, layout, file, block.first_byte, &mut lines);
            self.pending.bytes += scanner.at - from;
            if stop == Stop::End && scanner.at < data.len() && block.last {
                // A quote is opened and never closed: that line is given up, not the rest of the file.
                let end = memchr::memchr(b'\n', &data[scanner.at..]).map_or(data.len(), |n| scanner.at + n);
                let reason = "a quote that this record opens is never closed".to_owned();
                let raw = cut_text(&data[scanner.at..end], RAW_BYTES_MAX);
                let line = lines.line_of(scanner.at);
                self.pending.rejects.push((file, Rejected { line, column: None, value: None, reason, raw }));
                scanner.at = (end + 1).min(data.len());
            } else if stop == Stop::End {
                break;
            }
            if self.pending.is_full() {
                self.flush(emit)?;
            }
        }
        if self.pending.is_full() { self.flush(emit) } else { Ok(()) }
    }

    /// Hands on what is left.
    pub fn flush<E: From<ArrowError>>(&mut self, emit: Emit<'_, E>) -> Result<(), E> {
        self.pending.take()?.map_or(Ok(()), emit)
    }

    /// Parses the wanted columns of the indexed records.
    fn take_records(&mut self, data: &[u8], layout: &Layout, file: usize, first_byte: u64, lines: &mut Lines<'_>) {
        let rows = self.index.records.len();
        for (column, field) in layout.fields.iter().enumerate() {
            let node = &mut self.pending.nodes[column];
            match field {
                Some(field) => self.cells.parse(node, &self.types[column], data, &self.index, *field, column, self.syntax),
                None => (0..rows).for_each(|_| node.push_null()),
            }
        }
        if self.pending.keep_starts {
            let mut lines = lines.clone();
            let start = |record: &Record| Start::new(lines.line_of(record.start as usize), first_byte, record.start as usize);
            self.pending.starts.extend(self.index.records.iter().map(start));
        }
        let mut bad = std::mem::take(&mut self.cells.bad);
        if !bad.is_empty() || !self.index.ragged.is_empty() {
            self.refuse(data, layout, file, lines, &mut bad);
        }
        self.pending.add_segment(file, rows - bad.len());
        bad.clear();
        self.cells.bad = bad;
        self.pending.rows += rows;
    }

    /// Turns bad cells and ragged records into rejects, in the order of the file; leaves one entry in `bad` for each bad row.
    #[cold]
    fn refuse(&mut self, data: &[u8], layout: &Layout, file: usize, lines: &mut Lines<'_>, bad: &mut Vec<BadCell>) {
        bad.sort_by_key(|cell| (cell.row, cell.column));
        bad.dedup_by_key(|cell| cell.row);
        let first_row = self.pending.rows;
        let mut found: Vec<(Record, Option<&BadCell>)> = self.index.ragged.iter().map(|r| (*r, None)).collect();
        for cell in bad.iter() {
            found.push((self.index.records[cell.row as usize], Some(cell)));
            self.pending.bad_rows.push(cell.row + u32::try_from(first_row).expect("batches are small"));
        }
        found.sort_by_key(|(record, _)| record.start);
        for (record, cell) in found {
            let raw = cut_text(&data[record.start as usize..record.end as usize], RAW_BYTES_MAX);
            let line = lines.line_of(record.start as usize);
            let rejected = match cell {
                Some(cell) => Rejected {
                    line,
                    column: Some(self.names[cell.column].clone()),
                    value: Some(cell.value.clone()),
                    reason: cell.reason.clone(),
                    raw,
                },
                None => {
                    let reason = format!("the row has {} fields where {} are expected", record.fields, layout.width);
                    Rejected { line, column: None, value: None, reason, raw }
                }
            };
            self.pending.rejects.push((file, rejected));
        }
    }
}
