//! Which field of a file goes to which column.

use super::index::{Scanner, Syntax, value};
use crate::decode::{source, values};
use crate::names::column_names;
use crate::table::CsvOptions;
use crate::types::HiveType;
use std::collections::{HashMap, HashSet};

/// How one file's fields lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Fields that each record should have.
    pub width: usize,
    /// For each wanted column, its field.
    pub fields: Vec<Option<usize>>,
    /// Bytes of the first block to skip (mark and header); 0 for the other blocks.
    pub skip: usize,
    /// Fields of the header that the table has no column for: their index and name.
    pub unknown: Vec<(usize, String)>,
}

/// The fields of the record at `at`, unquoted, and where the next one begins.
pub(crate) fn record_at(data: &[u8], at: usize, syntax: Syntax, last: bool) -> Option<(Vec<String>, usize)> {
    let mut scanner = Scanner::new(data, syntax, at);
    let mut scratch = Vec::new();
    loop {
        let before = scanner.at;
        let end = match memchr::memchr(b'\n', &data[before..]) {
            Some(n) if n == 0 || (n == 1 && data[before] == b'\r') => {
                scanner.at = before + n + 1;
                continue;
            }
            _ => first_record_end(&mut scanner, last)?,
        };
        let raw = &data[before..end];
        let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        let fields = split(raw, syntax).map(|f| String::from_utf8_lossy(value(f, &syntax, &mut scratch)).into_owned()).collect();
        return Some((fields, end));
    }
}

fn first_record_end(scanner: &mut Scanner<'_>, last: bool) -> Option<usize> {
    let end = scanner.skip_record()?;
    match end {
        Some(end) => Some(end),
        None if last => Some(scanner.len()),
        None => None,
    }
}

/// The fields of one record as they stand.
fn split(record: &[u8], syntax: Syntax) -> impl Iterator<Item = &[u8]> {
    let mut at = Some(0);
    std::iter::from_fn(move || {
        let start = at?;
        let end = Scanner::new(record, syntax, start).field_end();
        at = (end < record.len()).then_some(end + 1);
        Some(&record[start..end])
    })
}

impl Layout {
    /// The layout of a file that begins with `data`. `names` are the table's columns in the file's order, `wanted` the indices of those to read.
    ///
    /// With a header line that names columns of the table, fields are found by name; without one, or where no name is known, by position. A
    /// file without header that has fewer fields than the table has columns was written before columns were added: the rest are NULL.
    ///
    /// Where the table says that there is a header, but the first line knows none of its names and fits its types, the file has none: its first
    /// row is not thrown away.
    pub fn of(data: &[u8], options: &CsvOptions, names: &[String], types: &[HiveType], wanted: &[usize], last: bool) -> Self {
        let syntax = Syntax::from(options);
        let repaired = source::repaired(data);
        let text = repaired.as_deref().unwrap_or(data);
        let (header, mut skip) = header_of(text, options.header_lines, syntax, last);
        // `skip` counts bytes of the block as the parser sees it, repaired.
        if let Some(header) = header {
            let found = column_names(header.iter().map(String::as_str));
            let places: HashMap<&String, usize> = found.iter().enumerate().map(|(i, name)| (name, i)).collect();
            let position = |name: &String| places.get(name).copied();
            let known = names.iter().filter(|n| position(n).is_some()).count();
            if known > 0 && !options.by_position {
                let fields = wanted.iter().map(|&i| position(&names[i])).collect();
                let wanted: HashSet<&String> = names.iter().collect();
                let unknown = found.iter().enumerate().filter(|(i, f)| !wanted.contains(f) && !trailing(&header, *i));
                let unknown = unknown.map(|(i, f)| (i, f.clone())).collect();
                return Self { width: header.len() - usize::from(trailing(&header, header.len() - 1)), fields, skip, unknown };
            }
            if known == 0 && options.header_lines == 1 && is_data(&header, types, options) {
                skip = mark(text);
            }
        }
        let first = record_at(text, skip.min(text.len()), syntax, last).map_or(names.len(), |(fields, _)| fields.len());
        let width = if first < names.len() && first > 0 { first } else { names.len() };
        let fields = wanted.iter().map(|&i| (i < width).then_some(i)).collect();
        Self { width: width.max(1), fields, skip, unknown: Vec::new() }
    }

    /// For the blocks after the first.
    pub fn rest(&self) -> Self {
        Self { skip: 0, ..self.clone() }
    }
}

/// A header that ends in a delimiter has one empty name too many.
fn trailing(header: &[String], i: usize) -> bool {
    i > 0 && i + 1 == header.len() && header[i].trim().is_empty()
}

/// The length of the byte-order mark.
fn mark(data: &[u8]) -> usize {
    if data.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 }
}

/// Whether a record fits a table's types, and some of it could not be a name.
fn is_data(fields: &[String], types: &[HiveType], options: &CsvOptions) -> bool {
    let mut fits = 0;
    for (field, t) in fields.iter().zip(types) {
        let text = values::trim(field.as_bytes());
        let null = text.is_empty() || options.null_values.iter().any(|v| v.as_bytes() == text);
        if null || t.is_text() {
            continue;
        }
        let fit = match t {
            HiveType::Boolean => values::boolean(text).is_some(),
            HiveType::Date => values::date(text).is_some(),
            HiveType::Timestamp => values::timestamp(text).is_some(),
            _ => values::double(text).is_some_and(f64::is_finite),
        };
        if !fit {
            return false;
        }
        fits += 1;
    }
    fits > 0 && fields.len() == types.len()
}

/// The first header line's names, and where the data begin.
fn header_of(data: &[u8], lines: usize, syntax: Syntax, last: bool) -> (Option<Vec<String>>, usize) {
    let mut at = mark(data);
    let mut header = None;
    for _ in 0..lines {
        let Some((fields, next)) = record_at(data, at, syntax, last) else { break };
        header.get_or_insert(fields);
        at = next;
    }
    (header, at)
}
