//! Delimited text: which delimiter, whether there is a header, and what the columns hold.
//!
//! The header rule is Glue's ("Built-in CSV classifier" in the Glue developer guide): every name is text, shorter than 150 characters and fit for a column
//! name (the last may be empty), and some column's data are not text. Where all data are text Glue never sees a header; here a first row
//! counts as one when its names look like names, are distinct, and none of them occurs among its column's values.

use super::guess::Guess;
use super::sample::Window;
use super::{ContainsHeader, CsvClassifier};
use crate::decode::csv::index::{Index, Scanner, Syntax, value};
use crate::decode::csv::record_at;
use crate::decode::source;
use crate::names::column_names;
use crate::table::{CsvOptions, NULL_VALUES};
use crate::types::HiveType;
use std::collections::HashSet;

/// Delimiters of Glue's built-in classifier, in its order.
const DELIMITERS: [u8; 5] = [b',', b'|', b'\t', b';', 1];

/// Glue: "fewer than 150 characters".
const HEADER_NAME_MAX: usize = 150;

/// What is known of a delimited file.
#[derive(Debug, Clone)]
pub(crate) struct CsvGuess {
    pub delimiter: u8,
    pub quote: Option<u8>,
    pub header: bool,
    pub names: Vec<String>,
    pub guesses: Vec<Guess>,
    pub records: u64,
    pub ragged: u64,
    /// Some field is in quotes.
    pub quoted: bool,
}

fn null_values() -> Vec<Vec<u8>> {
    NULL_VALUES.iter().map(|v| v.as_bytes().to_vec()).collect()
}

fn syntax(delimiter: u8, quote: Option<u8>) -> Syntax {
    Syntax { delimiter, quote, escape: None }
}

/// Numbers of fields of the sample's records.
fn widths(window: &Window, syntax: Syntax) -> Vec<usize> {
    let (data, mut at) = (&window.text, 0);
    let mut widths = Vec::new();
    let mut index = Index::default();
    // No record is this wide: all come back with their number of fields.
    index.clear(usize::MAX >> 1);
    let mut scanner = Scanner::new(data, syntax, at);
    while widths.len() < 2_000 {
        index.ragged.clear();
        scanner.index_widths(&mut index, 500, window.ends);
        widths.extend(index.ragged.iter().map(|r| r.fields as usize));
        if index.ragged.is_empty() || scanner.at == at {
            break;
        }
        at = scanner.at;
    }
    widths
}

/// The commonest width, and how many records have it (or one more, with nothing behind the last delimiter).
fn commonest(widths: &[usize]) -> (usize, usize) {
    let mut sorted = widths.to_vec();
    sorted.sort_unstable();
    let mut best = (0, 0);
    for run in sorted.chunk_by(|a, b| a == b) {
        if run.len() > best.1 {
            best = (run[0], run.len());
        }
    }
    best
}

/// The delimiter that cuts the records most evenly; `None` where none cuts them at all.
fn detect_delimiter(window: &Window) -> Option<u8> {
    let mut best: Option<(u8, f64, usize)> = None;
    for delimiter in DELIMITERS {
        let widths = widths(window, syntax(delimiter, Some(b'"')));
        let (width, count) = commonest(&widths);
        if width < 2 {
            continue;
        }
        let even = count as f64 / widths.len() as f64;
        // Prose has commas too, but not as many in each line.
        if even < 0.6 {
            continue;
        }
        let better = best.is_none_or(|(_, have, have_width)| even > have + 0.05 || (even > have - 0.05 && width > have_width));
        if better {
            best = Some((delimiter, even, width));
        }
    }
    best.map(|(delimiter, _, _)| delimiter)
}

/// Looks at a sample as the built-in classifier does.
///
/// # Errors
/// Why this is no delimited text.
pub(crate) fn classify(windows: &[Window], named_csv: bool) -> Result<CsvGuess, String> {
    let head = windows.first().ok_or("is empty")?;
    let delimiter = match detect_delimiter(head) {
        Some(delimiter) => delimiter,
        // Glue wants two columns. A file that is called .csv and has one is a list with a title.
        None if named_csv => b',',
        None => {
            return Err(
                "is text, but no delimiter (comma, pipe, tab, semicolon, Ctrl-A) cuts its lines into equally many fields".into(),
            );
        }
    };
    let found = look(windows, syntax(delimiter, Some(b'"')), ContainsHeader::Unknown, &[]);
    if found.records == 0 && !found.header {
        return Err("has no rows".into());
    }
    Ok(found)
}

/// Looks at a sample as a custom classifier says; `None` where it does not fit.
pub(crate) fn classify_custom(windows: &[Window], classifier: &CsvClassifier) -> Option<CsvGuess> {
    let head = windows.first()?;
    let quote = classifier.quote_symbol.or(Some(b'"'));
    let delimiter = match classifier.delimiter {
        Some(delimiter) => delimiter,
        None => detect_delimiter(head).unwrap_or(b','),
    };
    let (width, _) = commonest(&widths(head, syntax(delimiter, quote)));
    if width == 0 || (width < 2 && !classifier.allow_single_column) {
        return None;
    }
    Some(look(windows, syntax(delimiter, quote), classifier.contains_header, &classifier.header))
}

fn look(windows: &[Window], syntax: Syntax, contains_header: ContainsHeader, given: &[String]) -> CsvGuess {
    let head = &windows[0];
    let first = record_at(&head.text, 0, syntax, head.ends);
    let (first_fields, data_at) = first.unwrap_or_default();
    let (common, _) = commonest(&widths(head, syntax));
    let fields = trim_trailing(&first_fields);
    let mut body = Body::new(common.max(1));
    body.read(windows, syntax, data_at);
    let header = match contains_header {
        ContainsHeader::Present => true,
        ContainsHeader::Absent => false,
        ContainsHeader::Unknown => is_header(fields, &body),
    };
    let width = if header { fields.len() } else { common.max(1) };
    if width != body.guesses.len() {
        // The header is the promise; trailing delimiters or short rows do not make more or fewer columns.
        body = Body::new(width);
        body.read(windows, syntax, data_at);
    }
    if !header {
        body.row(&first_fields);
    }
    let names = match (given.is_empty(), header) {
        (false, _) => column_names((0..width).map(|i| given.get(i).map_or("", String::as_str))),
        (true, true) => column_names(fields.iter().map(String::as_str)),
        (true, false) => (0..width).map(|i| format!("col{i}")).collect(),
    };
    CsvGuess {
        delimiter: syntax.delimiter,
        quote: syntax.quote,
        header,
        names,
        guesses: body.guesses,
        records: body.records,
        ragged: body.ragged,
        quoted: body.quoted || windows.iter().any(|w| has_quoted_field(&w.text, syntax)),
    }
}

fn trim_trailing(fields: &[String]) -> &[String] {
    match fields {
        [rest @ .., last] if last.trim().is_empty() && !rest.is_empty() => rest,
        all => all,
    }
}

fn has_quoted_field(text: &[u8], syntax: Syntax) -> bool {
    let Some(quote) = syntax.quote else { return false };
    memchr::memchr_iter(quote, text).any(|at| at == 0 || text[at - 1] == syntax.delimiter || text[at - 1] == b'\n')
}

/// Guesses for all columns, from the rows after the first.
struct Body {
    guesses: Vec<Guess>,
    /// Short texts that occur, by column: to see whether a would-be header repeats.
    occurring: Vec<HashSet<Vec<u8>>>,
    records: u64,
    ragged: u64,
    quoted: bool,
    null_values: Vec<Vec<u8>>,
}

impl Body {
    fn new(width: usize) -> Self {
        Self {
            guesses: vec![Guess::default(); width],
            occurring: vec![HashSet::new(); width],
            records: 0,
            ragged: 0,
            quoted: false,
            null_values: null_values(),
        }
    }

    fn read(&mut self, windows: &[Window], syntax: Syntax, data_at: usize) {
        let mut index = Index::default();
        let mut scratch = Vec::new();
        for (i, window) in windows.iter().enumerate() {
            let mut scanner = Scanner::new(&window.text, syntax, if i == 0 { data_at } else { 0 });
            loop {
                index.clear(self.guesses.len());
                let before = scanner.at;
                scanner.index(&mut index, 1_000, window.ends, true);
                for row in 0..index.records.len() {
                    for field in 0..self.guesses.len() {
                        let raw = index.field(&window.text, row, field).unwrap_or_default();
                        self.value(field, value(raw, &syntax, &mut scratch));
                    }
                }
                self.records += (index.records.len() + index.ragged.len()) as u64;
                self.ragged += index.ragged.len() as u64;
                if scanner.at == before {
                    break;
                }
            }
        }
    }

    fn value(&mut self, field: usize, text: &[u8]) {
        self.guesses[field].observe(text, &self.null_values);
        let occurring = &mut self.occurring[field];
        if text.len() < HEADER_NAME_MAX && occurring.len() < 1_000 && !occurring.contains(text) {
            occurring.insert(text.to_vec());
        }
    }

    /// The first row, where it is no header.
    fn row(&mut self, fields: &[String]) {
        if fields.is_empty() {
            return;
        }
        self.records += 1;
        if fields.len() != self.guesses.len() && trim_trailing(fields).len() != self.guesses.len() {
            self.ragged += 1;
            return;
        }
        for (field, text) in fields.iter().enumerate().take(self.guesses.len()) {
            self.value(field, text.as_bytes());
        }
    }
}

/// See the module.
fn is_header(fields: &[String], body: &Body) -> bool {
    if fields.is_empty() {
        return false;
    }
    let nulls = null_values();
    let all_names = fields.iter().enumerate().all(|(i, name)| {
        let mut guess = Guess::default();
        guess.observe(name.as_bytes(), &nulls);
        let text = guess.is_text() || (name.trim().is_empty() && (i + 1 == fields.len() || fields.len() > 2));
        text && name.chars().count() < HEADER_NAME_MAX && !name.contains(['\n', '\r'])
    });
    let some_named = fields.iter().any(|name| !name.trim().is_empty());
    if !all_names || !some_named {
        return false;
    }
    let some_typed = body.guesses.iter().any(|g| g.seen > 0 && !g.is_text());
    if some_typed {
        return true;
    }
    let distinct: HashSet<String> = fields.iter().map(|f| f.trim().to_lowercase()).collect();
    let like_a_name = |name: &str| {
        let name = name.trim();
        name.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && name.chars().count() <= 64
            && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ' ' | '-' | '.' | '/' | '#' | '%' | '(' | ')' | ':'))
    };
    let repeated = fields.iter().zip(&body.occurring).any(|(name, values)| values.contains(name.as_bytes()));
    distinct.len() == fields.len() && fields.iter().all(|f| like_a_name(f)) && !repeated
}

/// Types of some fields of the records in `data` (from `skip` on): for columns that a file has and its table lacks.
pub(crate) fn field_types(data: &[u8], skip: usize, options: &CsvOptions, width: usize, fields: &[usize]) -> Vec<HiveType> {
    let repaired = source::repaired(data);
    let text = repaired.as_deref().unwrap_or(data);
    let syntax = Syntax::from(options);
    let nulls: Vec<Vec<u8>> = options.null_values.iter().map(|v| v.clone().into_bytes()).collect();
    let mut guesses = vec![Guess::default(); fields.len()];
    let mut scanner = Scanner::new(text, syntax, skip.min(text.len()));
    let (mut index, mut scratch) = (Index::default(), Vec::new());
    loop {
        index.clear(width);
        let before = scanner.at;
        scanner.index(&mut index, 1_000, true, true);
        for row in 0..index.records.len() {
            for (guess, field) in guesses.iter_mut().zip(fields) {
                guess.observe(value(index.field(text, row, *field).unwrap_or_default(), &syntax, &mut scratch), &nulls);
            }
        }
        if scanner.at == before {
            return guesses.iter().map(|g| g.finish().0).collect();
        }
    }
}
