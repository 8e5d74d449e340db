//! Cuts a stream of text into blocks of whole records, so that blocks can be decoded on their own, in any order and on any thread.

use super::csv::index::{Syntax, last_record_end};
use super::json::Values;
use super::{DecodeError, Rejected, cut_text, source};
use std::io::Read;

/// The longest record that is taken (Athena user guide, "Data types", row size limit: 32 MB); a longer one is refused with its line, and the file goes on behind it.
pub(crate) const RECORD_BYTES_MAX: usize = 32 << 20;

/// What is kept of a refused record.
pub(crate) const RAW_BYTES_MAX: usize = 64 << 10;

/// Blocks of up to this size get their memory at once; larger ones are wanted for small files, and grow as they are read.
const RESERVE_BYTES_MAX: usize = 4 << 20;

/// Whole records of one file.
#[derive(Debug)]
pub(crate) struct Block {
    pub data: Vec<u8>,
    /// The physical line of the first byte, 1-based.
    pub first_line: u64,
    /// The first byte's place in the (unpacked) text, 0-based.
    pub first_byte: u64,
    /// Whether the file ends here: its last record may lack a line feed.
    pub last: bool,
    /// Records before this block that could not be cut.
    pub rejects: Vec<Rejected>,
}

/// How the ends of records are found.
#[derive(Debug)]
pub(crate) enum Cut {
    Csv(Syntax),
    /// Every line feed.
    Lines,
    /// The ends of JSON values that may span lines.
    Values(Values),
}

/// Reads blocks from a stream.
pub(crate) struct Cutter {
    input: Box<dyn Read + Send>,
    uri: String,
    pub cut: Cut,
    carry: Vec<u8>,
    line: u64,
    byte: u64,
    ended: bool,
    block_bytes: usize,
}

impl std::fmt::Debug for Cutter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cutter").field("uri", &self.uri).field("line", &self.line).finish_non_exhaustive()
    }
}

impl Cutter {
    /// `head` was read from `input` already and goes first.
    pub fn new(input: Box<dyn Read + Send>, uri: &str, cut: Cut, head: Vec<u8>, block_bytes: usize) -> Self {
        Self { input, uri: uri.to_owned(), cut, carry: head, line: 1, byte: 0, ended: false, block_bytes }
    }

    /// The next whole records; `None` at the end.
    pub fn next_block(&mut self) -> Result<Option<Block>, DecodeError> {
        let mut rejects = Vec::new();
        loop {
            self.fill()?;
            if self.ended {
                if self.carry.is_empty() && rejects.is_empty() {
                    return Ok(None);
                }
                let data = std::mem::take(&mut self.carry);
                return Ok(Some(self.block(data, true, rejects)));
            }
            let (end, open) = match &mut self.cut {
                Cut::Csv(syntax) => last_record_end(&self.carry, *syntax),
                Cut::Lines => (memchr::memrchr(b'\n', &self.carry).map_or(0, |at| at + 1), None),
                Cut::Values(values) => (values.last_end(&self.carry), None),
            };
            if end > 0 {
                let mut data = Vec::with_capacity(self.carry.len() - end + self.block_bytes);
                data.extend_from_slice(&self.carry[end..]);
                std::mem::swap(&mut data, &mut self.carry);
                data.truncate(end);
                return Ok(Some(self.block(data, false, rejects)));
            }
            if self.carry.len() > RECORD_BYTES_MAX {
                rejects.push(self.drop_line(open.is_some())?);
            }
        }
    }

    fn block(&mut self, data: Vec<u8>, last: bool, rejects: Vec<Rejected>) -> Block {
        let (first_line, first_byte) = (self.line, self.byte);
        self.byte += data.len() as u64;
        self.line += memchr::memchr_iter(b'\n', &data).count() as u64;
        Block { data, first_line, first_byte, last, rejects }
    }

    fn fill(&mut self) -> Result<(), DecodeError> {
        let wanted = self.block_bytes.saturating_sub(self.carry.len()).max(self.block_bytes / 2) as u64;
        if self.block_bytes <= RESERVE_BYTES_MAX {
            self.carry.reserve(wanted as usize);
        }
        let got = self.input.by_ref().take(wanted).read_to_end(&mut self.carry).map_err(|e| source::read_error(&self.uri, &e))?;
        self.ended = (got as u64) < wanted;
        Ok(())
    }

    /// Gives up the first line of what is held, and goes on behind it.
    fn drop_line(&mut self, open_quote: bool) -> Result<Rejected, DecodeError> {
        let line = self.line;
        let raw = cut_text(&self.carry[..first_line_end(&self.carry)], RAW_BYTES_MAX);
        loop {
            match memchr::memchr(b'\n', &self.carry) {
                Some(at) => {
                    self.carry.drain(..=at);
                    self.byte += at as u64 + 1;
                    self.line += 1;
                    break;
                }
                None => {
                    self.byte += self.carry.len() as u64;
                    self.carry.clear();
                    self.fill()?;
                    if self.ended && memchr::memchr(b'\n', &self.carry).is_none() {
                        self.carry.clear();
                        break;
                    }
                }
            }
        }
        let mib = RECORD_BYTES_MAX >> 20;
        let reason = if open_quote {
            format!("a quote that this record opens is not closed within {mib} MiB")
        } else {
            format!("the record is longer than {mib} MiB")
        };
        Ok(Rejected { line, column: None, value: None, reason, raw })
    }
}

fn first_line_end(data: &[u8]) -> usize {
    memchr::memchr(b'\n', data).unwrap_or(data.len())
}

/// Physical lines of positions in a block, asked in rising order.
#[derive(Debug, Clone)]
pub(crate) struct Lines<'a> {
    data: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    pub fn new(data: &'a [u8], first_line: u64) -> Self {
        Self { data, at: 0, line: first_line }
    }

    pub fn line_of(&mut self, position: usize) -> u64 {
        if position > self.at {
            self.line += memchr::memchr_iter(b'\n', &self.data[self.at..position]).count() as u64;
            self.at = position;
        }
        self.line
    }
}
