//! Text of which each line is a row: fields by a regular expression (RegexSerDe, Grok), or between delimiters of several characters
//! (MultiDelimitSerDe).
//!
//! Expressions are Java's, with look-around; one that would take too many steps on a line is given up with that line's number, so that no text can keep a
//! thread busy for ever.

use super::DecodeError;
use super::blocks::Block;
use super::columns::Node;
use super::csv::{Emit, Pending};
use super::source;
use super::times::Times;
use crate::table::{LineFields, LineOptions};
use crate::types::HiveType;
use fancy_regex::{Regex, RegexBuilder};

/// Steps back that an expression may take on one line.
const BACKTRACKS_MAX: usize = 1_000_000;

/// Compiled expressions are at most so large, in bytes: a short text can ask for gigabytes.
const COMPILED_BYTES_MAX: usize = 16 << 20;

/// Compiles an expression that must match a whole line.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn compile(regex: &str) -> Result<Regex, String> {
    let whole = format!(r"\A(?:{regex})\z");
    RegexBuilder::new(&whole)
        .backtrack_limit(BACKTRACKS_MAX)
        .delegate_size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| error.to_string())
}

#[derive(Debug)]
enum Splitter {
    Pattern(Box<Regex>),
    Delimiter(String),
}

/// Parses blocks of lines into one set of wanted columns.
#[derive(Debug)]
pub(crate) struct LineParser {
    pub pending: Pending,
    types: Vec<HiveType>,
    splitter: Splitter,
    /// For each wanted column, its field from 0.
    fields: Vec<Option<usize>>,
    null_text: Option<String>,
    times: Times,
}

impl LineParser {
    /// `names` are all of the table's columns, `wanted` the places of those to read.
    ///
    /// # Errors
    /// The expression does not compile.
    pub fn new(
        options: &LineOptions,
        names: &[String],
        wanted: &[usize],
        columns: &[(String, HiveType)],
        batch_rows: usize,
    ) -> Result<Self, DecodeError> {
        let (splitter, groups): (_, &[String]) = match &options.fields {
            LineFields::Delimiter(delimiter) => (Splitter::Delimiter(delimiter.clone()), &[]),
            LineFields::Pattern { regex, names } => {
                let compiled = compile(regex).map_err(|error| DecodeError::table("", error))?;
                (Splitter::Pattern(Box::new(compiled)), names)
            }
        };
        let place = |column: &usize| match groups {
            [] => Some(*column),
            groups => groups.iter().position(|group| group.eq_ignore_ascii_case(&names[*column])),
        };
        Ok(Self {
            pending: Pending::new(columns, batch_rows),
            types: columns.iter().map(|column| column.1.clone()).collect(),
            splitter,
            fields: wanted.iter().map(place).collect(),
            null_text: options.null_text.clone(),
            times: Times::new(&options.timestamp_formats, false),
        })
    }

    /// Parses one block, of whose lines the first `skip` are no rows; what is left stays for the next block.
    pub fn parse<E: From<DecodeError> + From<arrow::error::ArrowError>>(
        &mut self,
        block: &Block,
        skip: &mut usize,
        file: usize,
        emit: Emit<'_, E>,
    ) -> Result<(), E> {
        let repaired = source::repaired(&block.data);
        let data = repaired.as_deref().unwrap_or(&block.data);
        let data = if block.first_line == 1 { data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data) } else { data };
        let text = String::from_utf8_lossy(data);
        let mut rest: &str = &text;
        let mut line = block.first_line;
        while !rest.is_empty() {
            let (one, after) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = after;
            if *skip > 0 {
                *skip -= 1;
            } else {
                self.row(one.strip_suffix('\r').unwrap_or(one), line)?;
                self.pending.rows += 1;
                self.pending.bytes += one.len();
                self.pending.add_segment(file, 1);
            }
            line += 1;
            if self.pending.is_full() {
                self.flush(emit)?;
            }
        }
        Ok(())
    }

    /// Hands on what is left.
    pub fn flush<E: From<arrow::error::ArrowError>>(&mut self, emit: Emit<'_, E>) -> Result<(), E> {
        self.pending.take()?.map_or(Ok(()), emit)
    }

    fn row(&mut self, line: &str, number: u64) -> Result<(), DecodeError> {
        let texts: Vec<Option<&str>> = match &self.splitter {
            Splitter::Delimiter(delimiter) => {
                let all: Vec<&str> = line.split(delimiter.as_str()).collect();
                self.fields.iter().map(|field| field.and_then(|field| all.get(field).copied())).collect()
            }
            Splitter::Pattern(regex) => {
                let found = regex.captures(line).map_err(|error| {
                    DecodeError::content("", format!("the regular expression can't be matched with line {number}: {error}"))
                })?;
                let text = |field: usize| found.as_ref().and_then(|found| found.get(field + 1)).map(|group| group.as_str());
                self.fields.iter().map(|field| field.and_then(text)).collect()
            }
        };
        for ((node, t), text) in self.pending.nodes.iter_mut().zip(&self.types).zip(texts) {
            match text.filter(|text| self.null_text.as_deref() != Some(*text)) {
                Some(text) => push(node, t, text, &self.times),
                None => node.push_null(),
            }
        }
        Ok(())
    }
}

fn push(node: &mut Node, t: &HiveType, text: &str, times: &Times) {
    let before = node.len();
    let pushed = match t {
        HiveType::Array(_) | HiveType::Map(..) | HiveType::Struct(_) => {
            super::json::push_text(node, t, text.as_bytes(), false).is_ok()
        }
        _ => node.push_scalar(text.as_bytes(), times, false),
    };
    if !pushed {
        node.truncate(before);
        node.push_null();
    }
}
