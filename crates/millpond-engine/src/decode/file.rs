//! One file after another through the decoder of its format.

use super::adapt::Adapter;
use super::blocks::{Cut, Cutter};
use super::csv::{Batch, CsvParser, Layout};
use super::json::{JsonParser, Values, is_lines};
use super::{DecodeError, DecodeErrorKind, DecodeSpec, Decoded, Mode, Reader, avro, parquet, source};
use crate::table::{DataFile, Format};
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

/// Opens a CSV or JSON file.
pub(crate) fn open_text(reader: &Reader, file: &DataFile, format: &Format, block_bytes: usize) -> Result<OpenText, DecodeError> {
    let failed = |e: &std::io::Error| source::read_error(&file.uri, e);
    let mut input = source::open(reader, file)?.input;
    let mut head = Vec::new();
    input.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(|e| failed(&e))?;
    let label = match format {
        Format::Csv(options) => options.encoding.as_deref(),
        Format::Json(options) => options.encoding.as_deref(),
        Format::Parquet | Format::Avro => None,
    };
    if let Some(encoding) = source::encoding_of(&head, label) {
        input = Box::new(source::Transcoder::new(Cursor::new(std::mem::take(&mut head)).chain(input), encoding));
        input.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(|e| failed(&e))?;
    }
    if let Some(reason) = source::binary_reason(&head) {
        return Err(DecodeError::content(&file.uri, reason));
    }
    let (cut, lines_only) = match format {
        Format::Csv(options) => (Cut::Csv(options.into()), false),
        _ if is_lines(&head) => (Cut::Lines, true),
        _ => (Cut::Values(Values), false),
    };
    Ok(OpenText { cutter: Cutter::new(input, &file.uri, cut, head, block_bytes), lines_only })
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
    files: &[DataFile],
    spec: &DecodeSpec,
    emit: &mut dyn FnMut(Decoded) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let first_uri = files.first().map_or("", |f| f.uri.as_str());
    let (wanted, columns) = wanted_columns(spec).map_err(|e| Stopped::Failed(e).at(first_uri))?;
    let strict = spec.mode == Mode::Strict;
    let mut forward = |batch: Batch, file: usize| {
        emit(Decoded { file, batch: batch.batch, rejects: batch.rejects.into_iter().map(|(_, r)| r).collect() })
    };
    match &spec.format {
        Format::Csv(options) => {
            let names: Vec<String> = spec.columns.iter().map(|c| c.name.to_lowercase()).collect();
            let types: Vec<HiveType> =
                spec.columns.iter().map(|c| HiveType::parse(&c.data_type).unwrap_or(HiveType::String)).collect();
            let mut parser = CsvParser::new(options, &columns, strict, spec.batch_rows);
            for (i, file) in files.iter().enumerate() {
                let mut emit = |batch| forward(batch, i);
                let mut layout: Option<Layout> = None;
                let mut text = open_text(reader, file, &spec.format, BLOCK_BYTES)?;
                while let Some(block) = text.cutter.next_block()? {
                    let now = match &layout {
                        Some(layout) => layout.rest(),
                        None => Layout::of(&block.data, options, &names, &types, &wanted, block.last),
                    };
                    parser.parse(block, &now, i, &mut emit).map_err(|e: Stopped| e.at(&file.uri))?;
                    layout = Some(now);
                }
                parser.flush(&mut emit).map_err(|e: Stopped| e.at(&file.uri))?;
            }
        }
        Format::Json(options) => {
            let mut parser = JsonParser::new(options, &columns, strict, spec.batch_rows);
            for (i, file) in files.iter().enumerate() {
                let mut emit = |batch| forward(batch, i);
                let mut text = open_text(reader, file, &spec.format, BLOCK_BYTES)?;
                while let Some(block) = text.cutter.next_block()? {
                    parser.parse(block, text.lines_only, i, &mut emit).map_err(|e: Stopped| e.at(&file.uri))?;
                }
                parser.flush(&mut emit).map_err(|e: Stopped| e.at(&file.uri))?;
            }
        }
        Format::Parquet => {
            for (i, file) in files.iter().enumerate() {
                parquet::decode(reader, file, Adapter::new(&columns, strict), spec.batch_rows, &mut |batch| forward(batch, i))
                    .map_err(|e| e.at(&file.uri))?;
            }
        }
        Format::Avro => {
            for (i, file) in files.iter().enumerate() {
                avro::decode(reader, file, Adapter::new(&columns, strict), spec.batch_rows, &mut |batch| forward(batch, i))
                    .map_err(|e| e.at(&file.uri))?;
            }
        }
    }
    Ok(())
}
