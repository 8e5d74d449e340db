//! Hands out work: blocks of large text files, one file whole, or several small ones.

use super::plan::{Input, Learned, Plan, Shape};
use super::{ConvertError, ConvertSpec};
use crate::decode::blocks::Block;
use crate::decode::csv::{Layout, Segment};
use crate::decode::file::{OpenText, open_text};
use crate::decode::{DecodeError, DecodeErrorKind};
use crate::infer::field_types;
use crate::table::Format;
use crate::types::{HiveType, merge};
use std::collections::BTreeMap;

/// Bytes of a block of a large text file.
const BLOCK_BYTES: usize = 4 << 20;

/// A text file of at most this size is decoded by one thread.
const SMALL_BYTES: u64 = 4 << 20;

/// Bytes and files of one unit of small files.
const UNIT_BYTES: u64 = 1 << 20;
const UNIT_FILES: usize = 128;

/// What a thread does next.
#[derive(Debug)]
pub(crate) enum Unit {
    Block {
        input: usize,
        block: Block,
        layout: Layout,
        lines_only: bool,
    },
    Files(Vec<usize>),
    /// The file cannot be taken at all.
    Refused(usize, String),
}

/// Columns of files that the raw table lacks.
pub(crate) type Unknown = BTreeMap<String, HiveType>;

#[derive(Debug)]
struct Open {
    input: usize,
    text: OpenText,
    layout: Option<Layout>,
}

#[derive(Debug)]
pub(crate) struct Feeder<'a> {
    spec: &'a ConvertSpec,
    plan: &'a Plan,
    learned: &'a Learned,
    next: usize,
    open: Option<Open>,
    pub unknown: Unknown,
    pub files_done: u64,
    pub bytes_done: u64,
}

impl<'a> Feeder<'a> {
    pub fn new(spec: &'a ConvertSpec, plan: &'a Plan, learned: &'a Learned) -> Self {
        Self { spec, plan, learned, next: 0, open: None, unknown: Unknown::new(), files_done: 0, bytes_done: 0 }
    }

    /// The next unit of work; `None` when all is handed out.
    pub fn next(&mut self) -> Result<Option<Unit>, ConvertError> {
        loop {
            if let Some(open) = self.open.take() {
                match self.next_block(open)? {
                    Some(unit) => return Ok(Some(unit)),
                    None => continue,
                }
            }
            let Some(input) = self.take_next() else { return Ok(None) };
            let (shape, size) = (self.shape(input), self.plan.inputs[input].file.size);
            if size <= SMALL_BYTES || !is_text(shape) {
                return Ok(Some(Unit::Files(self.small_files(input))));
            }
            match open_text(&self.spec.reader, &self.plan.inputs[input].file, &shape.format, BLOCK_BYTES) {
                Ok(text) => self.open = Some(Open { input, text, layout: None }),
                Err(error) => return refused(input, error).map(Some),
            }
        }
    }

    fn shape(&self, input: usize) -> &'a Shape {
        &self.plan.shapes[self.plan.inputs[input].shape]
    }

    fn take_next(&mut self) -> Option<usize> {
        while self.next < self.plan.inputs.len() {
            let input = self.next;
            self.next += 1;
            self.files_done += 1;
            self.bytes_done += self.plan.inputs[input].file.size;
            if !self.learned.refused.contains_key(&input) {
                return Some(input);
            }
        }
        None
    }

    fn small_files(&mut self, first: usize) -> Vec<usize> {
        let mut files = vec![first];
        let mut bytes = self.plan.inputs[first].file.size;
        while files.len() < UNIT_FILES && self.next < self.plan.inputs.len() {
            bytes += self.plan.inputs[self.next].file.size;
            if bytes > UNIT_BYTES || !is_text(self.shape(self.next)) {
                break;
            }
            files.extend(self.take_next());
        }
        files
    }

    fn next_block(&mut self, mut open: Open) -> Result<Option<Unit>, ConvertError> {
        let input = open.input;
        let block = match open.text.cutter.next_block() {
            Ok(Some(block)) => block,
            Ok(None) => return Ok(None),
            Err(error) => return refused(input, error).map(Some),
        };
        let shape = self.shape(input);
        let layout = match &open.layout {
            Some(layout) => layout.rest(),
            None => match layout_of(self.spec, shape, &block, &mut self.unknown, self.learned.full) {
                Ok(layout) => layout,
                Err(reason) => return Ok(Some(Unit::Refused(input, reason))),
            },
        };
        open.layout = Some(layout.clone());
        let lines_only = open.text.lines_only;
        if !block.last {
            self.open = Some(open);
        }
        Ok(Some(Unit::Block { input, block, layout, lines_only }))
    }
}

pub(crate) fn is_text(shape: &Shape) -> bool {
    matches!(shape.format, Format::Csv(_) | Format::Json(_))
}

/// Where the fields of a file are that begins with `block`; columns that the raw table lacks are noted with their types.
///
/// # Errors
/// The file has such columns, and no more are taken (`full`).
pub(crate) fn layout_of(
    spec: &ConvertSpec,
    shape: &Shape,
    block: &Block,
    unknown: &mut Unknown,
    full: bool,
) -> Result<Layout, String> {
    let Format::Csv(options) = &shape.format else {
        return Ok(Layout { width: 1, fields: Vec::new(), skip: 0, unknown: Vec::new() });
    };
    let mut layout = Layout::of(&block.data, options, &shape.names, &shape.types, &shape.wanted, block.last);
    layout.unknown.retain(|(_, name)| !spec.source.partition_keys.iter().any(|k| k.name.eq_ignore_ascii_case(name)));
    if let (true, Some((_, name))) = (full, layout.unknown.first()) {
        return Err(format!("has a column '{name}' that the table lacks, and too many new columns came at once"));
    }
    if !layout.unknown.is_empty() {
        let fields: Vec<usize> = layout.unknown.iter().map(|(field, _)| *field).collect();
        let types = field_types(&block.data, layout.skip, options, layout.width, &fields);
        for ((_, name), t) in layout.unknown.iter().zip(types) {
            note(unknown, name, &t);
        }
    }
    Ok(layout)
}

pub(crate) fn note(unknown: &mut Unknown, name: &str, t: &HiveType) {
    match unknown.get_mut(name) {
        Some(have) => *have = merge(have, t),
        None => drop(unknown.insert(name.to_owned(), t.clone())),
    }
}

/// A file's own fault refuses the file; the store's fails the conversion.
pub(crate) fn refused(input: usize, error: DecodeError) -> Result<Unit, ConvertError> {
    match error.kind {
        DecodeErrorKind::Read => Err(ConvertError::Retry(error.to_string())),
        DecodeErrorKind::Content | DecodeErrorKind::Damaged | DecodeErrorKind::Table => Ok(Unit::Refused(input, error.message)),
    }
}

/// Bytes of the blocks of a small file: all of it in one, so that a broken one is found before any row of it is taken.
pub(crate) fn small_block_bytes(input: &Input) -> usize {
    // Only a compressed one can be larger than it looks.
    if input.file.size <= SMALL_BYTES { 4 * BLOCK_BYTES } else { BLOCK_BYTES }
}

/// For rows of a whole batch.
pub(crate) fn rows_of(segments: &[Segment]) -> u64 {
    segments.iter().map(|s| s.rows as u64).sum()
}
