//! One file after another through the decoder of its format.

use super::adapt::Adapter;
use super::blocks::{Cut, Cutter};
use super::csv::{Batch, CsvParser, Layout};
use super::json::{JsonParser, Values, is_lines};
use super::lines::LineParser;
use super::source::Compression;
use super::{DecodeError, DecodeErrorKind, DecodeSpec, Decoded, FilePart, Mode, Reader, avro, orc, parquet, source};
use crate::table::{CsvOptions, DataFile, Format};
use crate::types::HiveType;
use arrow::error::ArrowError;
use std::io::{Cursor, Read};

/// Bytes of a block of text for one sequential reader.
const BLOCK_BYTES: usize = 1 << 20;

/// What is looked at to tell what a text file is.
const HEAD_BYTES: u64 = 64 << 10;

/// Why decoding ended early.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// Nobody wants more.
    ByConsumer,
    Failed(DecodeError),
}

impl From<ArrowError> for Stopped {
    fn from(e: ArrowError) -> Self {
        Self::Failed(DecodeError {
            uri: String::new(),
            kind: DecodeErrorKind::Content,
            message: format!("cannot be decoded: {e}"),
        })
    }
}

impl From<DecodeError> for Stopped {
    fn from(e: DecodeError) -> Self {
        Self::Failed(e)
    }
}

impl Stopped {
    /// Errors that arose without knowing the file get its name.
    pub fn at(self, uri: &str) -> Self {
        match self {
            Self::Failed(e) if e.uri.is_empty() => Self::Failed(DecodeError { uri: uri.to_owned(), ..e }),
            other => other,
        }
    }
}

/// A column's name and type.
pub(crate) type Typed = (String, HiveType);

/// A text file that is open for reading in blocks.
#[derive(Debug)]
pub(crate) struct OpenText {
    pub cutter: Cutter,
    /// JSON only: no value reaches beyond its line.
    pub lines_only: bool,
}

/// Opens a text file.
pub(crate) fn open_text(reader: &Reader, file: &DataFile, format: &Format, block_bytes: usize) -> Result<OpenText, DecodeError> {
    let opened = source::open(reader, file)?.input;
    open_input(opened, &file.uri, format, block_bytes, 0)
}

fn open_input(
    mut input: Box<dyn Read + Send>,
    uri: &str,
    format: &Format,
    block_bytes: usize,
    footer_lines: usize,
) -> Result<OpenText, DecodeError> {
    let failed = |e: &std::io::Error| source::read_error(uri, e);
    let mut head = Vec::new();
    input.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(|e| failed(&e))?;
    if let Some(encoding) = source::encoding_of(&head, label(format)) {
        input = Box::new(source::Transcoder::new(Cursor::new(std::mem::take(&mut head)).chain(input), encoding));
        input.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(|e| failed(&e))?;
    }
    if let Some(reason) = source::binary_reason(&head) {
        return Err(DecodeError::content(uri, reason));
    }
    let (cut, lines_only) = match format {
        Format::Csv(options) => (Cut::Csv(options.into()), false),
        Format::Lines(_) => (Cut::Lines, true),
        _ if is_lines(&head) => (Cut::Lines, true),
        _ => (Cut::Values(Values), false),
    };
    if footer_lines > 0 {
        input = Box::new(source::WithoutFooter::new(Cursor::new(std::mem::take(&mut head)).chain(input), footer_lines));
    }
    Ok(OpenText { cutter: Cutter::new(input, uri, cut, head, block_bytes), lines_only })
}

fn label(format: &Format) -> Option<&str> {
    match format {
        Format::Csv(options) => options.encoding.as_deref(),
        Format::Json(options) => options.encoding.as_deref(),
        Format::Lines(options) => options.encoding.as_deref(),
        Format::Parquet | Format::Avro | Format::Orc(_) => None,
    }
}

/// A text file, or a part of it, with the beginning of the whole file where that is another one.
struct OpenPart {
    text: OpenText,
    /// The file's first bytes, where the part does not begin with them.
    head: Option<Vec<u8>>,
}

/// Opens a part of a text file; `None`: it has no lines of its own.
fn open_part(reader: &Reader, part: &FilePart, format: &Format) -> Result<Option<OpenPart>, DecodeError> {
    let uri = &part.file.uri;
    let footer_lines = match format {
        Format::Csv(options) => options.footer_lines,
        Format::Lines(options) => options.footer_lines,
        _ => 0,
    };
    let Some(range) = &part.range else {
        let opened = source::open(reader, &part.file)?;
        return Ok(Some(OpenPart { text: open_input(opened.input, uri, format, BLOCK_BYTES, footer_lines)?, head: None }));
    };
    let is_first = range.start == 0;
    let opened = source::open_until(reader, &part.file, if is_first { range.end } else { HEAD_BYTES })?;
    let mut head = Vec::new();
    let mut input = opened.input;
    let failed = |e: &std::io::Error| source::read_error(uri, e);
    input.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(|e| failed(&e))?;
    let by_lines = !matches!(format, Format::Json(_)) || is_lines(&head);
    let divisible = opened.compression == Compression::None && source::encoding_of(&head, label(format)).is_none() && by_lines;
    if !divisible {
        let whole = Box::new(Cursor::new(head).chain(input));
        let text = is_first.then(|| open_input(whole, uri, format, BLOCK_BYTES, footer_lines)).transpose()?;
        return Ok(text.map(|text| OpenPart { text, head: None }));
    }
    if is_first {
        let lines = source::LineRange::new(Cursor::new(head).chain(input), range.end, true);
        return Ok(Some(OpenPart { text: open_input(Box::new(lines), uri, format, BLOCK_BYTES, 0)?, head: None }));
    }
    let object = source::ObjectReader::range(reader, &part.file, range.start - 1, range.end);
    let object = std::io::BufReader::with_capacity(256 << 10, object);
    let lines = source::LineRange::new(object, range.end - range.start + 1, false);
    Ok(Some(OpenPart { text: open_input(Box::new(lines), uri, format, BLOCK_BYTES, 0)?, head: Some(head) }))
}

/// The wanted columns with their types.
pub(crate) fn wanted_columns(spec: &DecodeSpec) -> Result<(Vec<usize>, Vec<Typed>), DecodeError> {
    let wanted: Vec<usize> = spec.projection.clone().unwrap_or_else(|| (0..spec.columns.len()).collect());
    let columns: Result<Vec<_>, _> = wanted
        .iter()
        .map(|&i| {
            let column = &spec.columns[i];
            let t = HiveType::parse(&column.data_type)
                .map_err(|e| DecodeError::table("", format!("column '{}': {e}", column.name)))?;
            Ok((column.name.clone(), t))
        })
        .collect();
    Ok((wanted, columns?))
}

/// Decodes files in order; batches never mix files.
pub(crate) fn decode_files(
    reader: &Reader,
    files: &[FilePart],
    spec: &DecodeSpec,
    emit: &mut dyn FnMut(Decoded) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let first_uri = files.first().map_or("", |part| part.file.uri.as_str());
    let (wanted, columns) = wanted_columns(spec).map_err(|e| Stopped::Failed(e).at(first_uri))?;
    let strict = spec.mode == Mode::Strict;
    let mut forward = |batch: Batch, file: usize| {
        emit(Decoded { file, batch: batch.batch, rejects: batch.rejects.into_iter().map(|(_, r)| r).collect() })
    };
    match &spec.format {
        Format::Csv(options) => {
            let mut parser = CsvParser::new(options, &columns, strict, spec.batch_rows);
            let looks = Looks::new(spec, options, &wanted);
            for (i, part) in files.iter().enumerate() {
                csv_part(reader, part, &looks, &mut parser, i, &mut |batch| forward(batch, i))
                    .map_err(|e| e.at(&part.file.uri))?;
            }
        }
        Format::Json(options) => {
            let mut parser = JsonParser::new(options, &columns, strict, spec.batch_rows);
            for (i, part) in files.iter().enumerate() {
                let mut emit = |batch| forward(batch, i);
                let Some(OpenPart { mut text, .. }) = open_part(reader, part, &spec.format)? else { continue };
                while let Some(block) = text.cutter.next_block()? {
                    parser.parse(block, text.lines_only, i, &mut emit).map_err(|e: Stopped| e.at(&part.file.uri))?;
                }
                parser.flush(&mut emit).map_err(|e: Stopped| e.at(&part.file.uri))?;
            }
        }
        Format::Lines(options) => {
            let names: Vec<String> = spec.columns.iter().map(|c| c.name.to_lowercase()).collect();
            let parser = LineParser::new(options, &names, &wanted, &columns, spec.batch_rows);
            let mut parser = parser.map_err(|e| Stopped::Failed(e).at(first_uri))?;
            for (i, part) in files.iter().enumerate() {
                let mut emit = |batch| forward(batch, i);
                let Some(OpenPart { mut text, head }) = open_part(reader, part, &spec.format)? else { continue };
                let mut skip = if head.is_none() { options.header_lines } else { 0 };
                while let Some(block) = text.cutter.next_block()? {
                    parser.parse(&block, &mut skip, i, &mut emit).map_err(|e: Stopped| e.at(&part.file.uri))?;
                    parser.pending.rejects.extend(block.rejects.into_iter().map(|reject| (i, reject)));
                }
                parser.flush(&mut emit).map_err(|e: Stopped| e.at(&part.file.uri))?;
            }
        }
        Format::Parquet | Format::Avro | Format::Orc(_) => {
            for (i, part) in files.iter().enumerate() {
                let (file, adapter) = (&part.file, Adapter::new(&columns, strict));
                let mut emit = |batch| forward(batch, i);
                let decoded = match &spec.format {
                    Format::Orc(options) => {
                        let places = options.by_index.then_some(wanted.as_slice());
                        orc::decode(reader, file, adapter, places, spec.batch_rows, &mut emit)
                    }
                    Format::Avro => avro::decode(reader, file, adapter, spec.batch_rows, &mut emit),
                    _ => parquet::decode(reader, file, adapter, spec.batch_rows, &mut emit),
                };
                decoded.map_err(|e| e.at(&file.uri))?;
            }
        }
    }
    Ok(())
}

/// What the layout of a CSV file follows from.
struct Looks<'a> {
    spec: &'a DecodeSpec,
    options: &'a CsvOptions,
    names: Vec<String>,
    types: Vec<HiveType>,
    wanted: &'a [usize],
}

impl<'a> Looks<'a> {
    fn new(spec: &'a DecodeSpec, options: &'a CsvOptions, wanted: &'a [usize]) -> Self {
        let names = spec.columns.iter().map(|c| c.name.to_lowercase()).collect();
        let types = spec.columns.iter().map(|c| HiveType::parse(&c.data_type).unwrap_or(HiveType::String)).collect();
        Self { spec, options, names, types, wanted }
    }

    fn layout(&self, data: &[u8], last: bool) -> Layout {
        Layout::of(data, self.options, &self.names, &self.types, self.wanted, last)
    }
}

fn csv_part(
    reader: &Reader,
    part: &FilePart,
    looks: &Looks<'_>,
    parser: &mut CsvParser,
    number: usize,
    emit: &mut dyn FnMut(Batch) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let Some(OpenPart { mut text, head }) = open_part(reader, part, &looks.spec.format)? else { return Ok(()) };
    let mut layout: Option<Layout> = head.map(|head| looks.layout(&head, false).rest());
    while let Some(block) = text.cutter.next_block()? {
        let now = match &layout {
            Some(layout) => layout.rest(),
            None => looks.layout(&block.data, block.last),
        };
        parser.parse(block, &now, number, &mut *emit)?;
        layout = Some(now);
    }
    parser.flush(&mut *emit)
}
