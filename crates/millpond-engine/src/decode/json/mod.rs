//! JSON: objects one a line, one after another, or in arrays; on one line or many.
//!
//! Text is first cut into top-level values ([`values`]), each of which is then parsed on its own, straight into columns ([`push`]). So one malformed
//! value costs itself only, and its line is known.

mod push;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use push::{Misfit, Unknown, push_text};
pub(crate) use values::{Values, is_lines, next};

use super::blocks::{Block, Lines, RAW_BYTES_MAX};
use super::csv::{Emit, Pending, Start};
use super::{Rejected, cut_text, source};
use crate::table::JsonOptions;
use crate::types::HiveType;
use arrow::error::ArrowError;
use push::Object;

/// Parses blocks of any number of files into one set of wanted columns.
#[derive(Debug)]
pub(crate) struct JsonParser {
    pub pending: Pending,
    object: Object,
    strict: bool,
    /// What is no object is a row of NULLs.
    ignore_malformed: bool,
}

impl JsonParser {
    pub fn new(options: &JsonOptions, columns: &[(String, HiveType)], strict: bool, batch_rows: usize) -> Self {
        let keys = columns.iter().map(|(name, t)| {
            let key = options.mappings.get(&name.to_lowercase()).cloned().unwrap_or_else(|| name.clone());
            (key, t.clone())
        });
        Self {
            pending: Pending::new(columns, batch_rows),
            object: Object::new(keys.collect(), options),
            strict,
            ignore_malformed: options.ignore_malformed && !strict,
        }
    }

    /// Keys that were met and have no column, with the types of their values; collected in strict reading.
    pub fn unknown(&mut self) -> &mut Unknown {
        &mut self.object.unknown
    }

    /// Keys that are known not to be wanted: they are not collected as unknown.
    pub fn ignore(&mut self, keys: impl IntoIterator<Item = String>) {
        self.object.ignored.extend(keys);
    }

    /// Refuse rows with unknown keys from now on: no more columns may be added.
    pub fn close(&mut self) {
        self.object.closed = true;
    }

    /// Columns whose nested types lack fields that values have, and types that have them.
    pub fn grown(&self) -> &Unknown {
        &self.object.grown
    }

    /// Parses one block of file number `file`, handing on full batches; what is left stays for the next block.
    pub fn parse<E: From<ArrowError>>(
        &mut self,
        mut block: Block,
        lines_only: bool,
        file: usize,
        emit: Emit<'_, E>,
    ) -> Result<(), E> {
        self.pending.rejects.extend(block.rejects.drain(..).map(|r| (file, r)));
        let repaired = source::repaired(&block.data);
        let data = repaired.as_deref().unwrap_or(&block.data);
        let data = if block.first_line == 1 { data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data) } else { data };
        let mut lines = Lines::new(data, block.first_line);
        let mut at = 0;
        while let Some(found) = next(data, at, lines_only) {
            let from = std::mem::replace(&mut at, found.end);
            let raw = &data[found.start..found.end];
            let refused = match found.fault {
                Some(fault) => Some(Misfit { column: None, value: None, reason: fault.to_owned() }),
                None => self.object.push(&mut self.pending.nodes, raw, self.strict).err(),
            };
            match refused {
                None => {
                    if self.pending.keep_starts {
                        self.pending.starts.push(Start::new(lines.line_of(found.start), block.first_byte, found.start));
                    }
                    self.pending.rows += 1;
                    self.pending.add_segment(file, 1);
                }
                Some(_) if self.ignore_malformed => {
                    let rows = self.pending.rows;
                    self.pending.nodes.iter_mut().for_each(|node| {
                        node.truncate(rows);
                        node.push_null();
                    });
                    self.pending.rows += 1;
                    self.pending.add_segment(file, 1);
                }
                Some(misfit) => {
                    let rows = self.pending.rows;
                    self.pending.nodes.iter_mut().for_each(|node| node.truncate(rows));
                    let line = lines.line_of(found.start);
                    let raw = cut_text(raw.trim_ascii(), RAW_BYTES_MAX);
                    let Misfit { column, value, reason } = misfit;
                    self.pending.rejects.push((file, Rejected { line, column, value, reason, raw }));
                }
            }
            self.pending.bytes += at - from;
            if self.pending.is_full() {
                self.flush(emit)?;
            }
        }
        Ok(())
    }

    /// Hands on what is left.
    pub fn flush<E: From<ArrowError>>(&mut self, emit: Emit<'_, E>) -> Result<(), E> {
        self.pending.take()?.map_or(Ok(()), emit)
    }
}
