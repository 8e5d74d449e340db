//! One column of many records: a loop for each type.

use super::index::{Index, Syntax, value};
use super::nested::Nested;
use crate::decode::columns::{Node, Prim, Text};
use crate::decode::times::Times;
use crate::decode::{cut_text, json, values};
use crate::table::CsvOptions;
use crate::types::HiveType;
use std::sync::Arc;
use values::Decimal;

/// What is kept of a refused value.
const VALUE_BYTES_MAX: usize = 4 << 10;

/// A value that does not fit its column (strict reading only).
#[derive(Debug)]
pub(crate) struct BadCell {
    /// Among the records of the index.
    pub row: u32,
    pub column: usize,
    pub value: String,
    pub reason: String,
}

/// What the cells of all columns share.
#[derive(Debug)]
pub(crate) struct Cells {
    null_text: Option<Vec<u8>>,
    null_values: Vec<Vec<u8>>,
    /// The null text could be taken for a value (`-1`, `NaN`): it must be looked for first.
    null_first: bool,
    strict: bool,
    times: Arc<Times>,
    separators: Vec<u8>,
    base64: bool,
    scratch: Vec<u8>,
    /// By column: read as text, though it is of another type. Empty: none is.
    pub typed: Vec<bool>,
    pub bad: Vec<BadCell>,
}

/// What a field's text is.
enum Cell<T> {
    Value(T),
    Null,
    Bad(String, String),
}

impl Cells {
    pub fn new(options: &CsvOptions, strict: bool) -> Self {
        let null_text = options.null_text.clone().map(String::into_bytes);
        let null_values: Vec<Vec<u8>> = options.null_values.iter().map(|v| v.clone().into_bytes()).collect();
        let like_a_value =
            |v: &Vec<u8>| values::double(v).is_some() || values::boolean(v).is_some() || values::timestamp(v).is_some();
        let null_first = null_text.iter().chain(&null_values).any(like_a_value);
        Self {
            null_text,
            null_values,
            null_first,
            strict,
            times: Arc::new(Times::new(&options.timestamp_formats, options.epoch_times && !strict)),
            separators: options.separators.clone(),
            base64: options.lazy && !strict,
            scratch: Vec::new(),
            typed: Vec::new(),
            bad: Vec::new(),
        }
    }

    /// Whether a field as it stands is NULL: escapes are no part of the text that says so, and an escaped `\N` is the text `\N`.
    fn is_null_text(&self, raw: &[u8], text: &[u8], syntax: &Syntax) -> bool {
        let stands = if syntax.quote.is_none() { raw } else { text };
        self.null_text.as_deref() == Some(stands)
    }

    fn is_null(&self, text: &[u8]) -> bool {
        text.is_empty() || self.null_text.as_deref() == Some(text) || self.null_values.iter().any(|v| v == text)
    }

    /// Parses field `field` of all records of the index into `node`.
    #[allow(clippy::too_many_arguments)] // one call site, and all of it is needed in the loops
    pub fn parse(
        &mut self,
        node: &mut Node,
        t: &HiveType,
        data: &[u8],
        index: &Index,
        field: usize,
        column: usize,
        syntax: Syntax,
    ) {
        let times = Arc::clone(&self.times);
        let mut at = Column { cells: self, t, data, index, field, column, syntax };
        match node {
            Node::I64(prim) => at.primitive(prim, values::integer, |v| whole(v, Some)),
            Node::I32(prim) => at.primitive(prim, |v| narrow(values::integer(v)), |v| whole(v, |i| i.try_into().ok())),
            Node::I16(prim) => at.primitive(prim, |v| narrow(values::integer(v)), |v| whole(v, |i| i.try_into().ok())),
            Node::I8(prim) => at.primitive(prim, |v| narrow(values::integer(v)), |v| whole(v, |i| i.try_into().ok())),
            Node::F64(prim) => at.primitive(prim, values::double, |_| None),
            Node::F32(prim) => at.primitive(prim, |v| values::double(v).map(|d| d as f32), |_| None),
            Node::Date(prim) => at.primitive(prim, values::date, |v| day_of_timestamp(v).or_else(|| times.date(v))),
            Node::Timestamp(prim) => at.primitive(prim, values::timestamp, |v| times.timestamp(v)),
            Node::Bool(prim) => at.primitive(prim, values::boolean, |_| None),
            Node::Decimal(prim, p, s) => {
                let (p, s, lenient) = (*p, *s, !at.cells.strict);
                at.primitive(
                    prim,
                    |v| values::short_decimal(v, p, s).map(i128::from),
                    |v| match values::decimal(v, p, s) {
                        Decimal::Exact(value) => Some(value),
                        Decimal::Rounded(value) if lenient => Some(value),
                        _ => None,
                    },
                );
            }
            Node::Binary(text) if at.cells.base64 => at.binary(text),
            Node::Text(text) | Node::Binary(text) => at.text(text),
            nested => at.nested(nested),
        }
    }
}

fn narrow<T: TryFrom<i64>>(value: Option<i64>) -> Option<T> {
    value.and_then(|v| v.try_into().ok())
}

/// An integer that is written as a decimal without a fraction (`12.0`, as pandas writes integer columns with gaps).
fn whole<T>(text: &[u8], fit: impl Fn(i64) -> Option<T>) -> Option<T> {
    if let Some(value) = values::integer(text) {
        return fit(value);
    }
    match values::decimal(text, 19, 0) {
        Decimal::Exact(value) => fit(value.try_into().ok()?),
        _ => None,
    }
}

/// A timestamp at midnight is a date.
fn day_of_timestamp(text: &[u8]) -> Option<i32> {
    const DAY_US: i64 = 86_400_000_000;
    let micros = values::timestamp(text)?;
    (micros.rem_euclid(DAY_US) == 0).then(|| micros.div_euclid(DAY_US).try_into().ok())?
}

struct Column<'a> {
    cells: &'a mut Cells,
    t: &'a HiveType,
    data: &'a [u8],
    index: &'a Index,
    field: usize,
    column: usize,
    syntax: Syntax,
}

impl Column<'_> {
    /// `fast` reads the field as it stands; where it cannot, quotes and spaces go, nulls are looked for, and then `fast` and `slow` are tried.
    #[inline]
    fn primitive<T: Copy + Default>(
        &mut self,
        prim: &mut Prim<T>,
        fast: impl Fn(&[u8]) -> Option<T>,
        slow: impl Fn(&[u8]) -> Option<T>,
    ) {
        let rows = self.index.records.len();
        prim.values.reserve(rows);
        let fast_first = !self.cells.null_first;
        for row in 0..rows {
            let raw = self.index.field(self.data, row, self.field).unwrap_or_default();
            if fast_first && let Some(value) = fast(raw) {
                prim.push(value);
                continue;
            }
            match self.slow(raw, &fast, &slow) {
                Cell::Value(value) => prim.push(value),
                Cell::Null => prim.push_null(),
                Cell::Bad(value, reason) => {
                    prim.push_null();
                    self.refuse(row, value, reason);
                }
            }
        }
    }

    fn slow<T>(&mut self, raw: &[u8], fast: &impl Fn(&[u8]) -> Option<T>, slow: &impl Fn(&[u8]) -> Option<T>) -> Cell<T> {
        if raw.is_empty() {
            return Cell::Null;
        }
        let mut scratch = std::mem::take(&mut self.cells.scratch);
        let text = value(raw, &self.syntax, &mut scratch);
        let trimmed = values::trim(text);
        let cell = if self.cells.is_null_text(raw, text, &self.syntax) || self.cells.is_null(text) || self.cells.is_null(trimmed)
        {
            Cell::Null
        } else {
            match fast(trimmed).or_else(|| slow(trimmed)) {
                Some(value) => Cell::Value(value),
                None if self.cells.strict => Cell::Bad(cut_text(text, VALUE_BYTES_MAX), misfit(trimmed, self.t)),
                None => Cell::Null,
            }
        };
        self.cells.scratch = scratch;
        cell
    }

    fn refuse(&mut self, row: usize, value: String, reason: String) {
        let row = u32::try_from(row).expect("batches are small");
        self.cells.bad.push(BadCell { row, column: self.column, value, reason });
    }

    fn text(&mut self, node: &mut Text) {
        if self.cells.typed.get(self.column) == Some(&true) {
            return self.text_of_type(node);
        }
        let syntax = self.syntax;
        let plain = syntax.quote.is_none() && syntax.escape.is_none();
        for row in 0..self.index.records.len() {
            let Some(raw) = self.index.field(self.data, row, self.field) else {
                node.push_null();
                continue;
            };
            let mut scratch = std::mem::take(&mut self.cells.scratch);
            let text = if plain { raw } else { value(raw, &syntax, &mut scratch) };
            if self.cells.is_null_text(raw, text, &syntax) {
                node.push_null()
            } else {
                node.push(text)
            }
            self.cells.scratch = scratch;
        }
    }

    /// LazySimpleSerDe's binary values.
    fn binary(&mut self, node: &mut Text) {
        for row in 0..self.index.records.len() {
            let Some(raw) = self.index.field(self.data, row, self.field) else {
                node.push_null();
                continue;
            };
            let mut scratch = std::mem::take(&mut self.cells.scratch);
            let text = value(raw, &self.syntax, &mut scratch);
            if self.cells.is_null_text(raw, text, &self.syntax) {
                node.push_null()
            } else {
                node.push_base64(text)
            }
            self.cells.scratch = scratch;
        }
    }

    /// Text of a column of another type: what is null for the type is null.
    fn text_of_type(&mut self, node: &mut Text) {
        for row in 0..self.index.records.len() {
            let raw = self.index.field(self.data, row, self.field).unwrap_or_default();
            let mut scratch = std::mem::take(&mut self.cells.scratch);
            let text = value(raw, &self.syntax, &mut scratch);
            let null = self.cells.is_null_text(raw, text, &self.syntax);
            if null || self.cells.is_null(text) || self.cells.is_null(values::trim(text)) {
                node.push_null()
            } else {
                node.push(text)
            }
            self.cells.scratch = scratch;
        }
    }

    /// Arrays, maps and structs in a delimited file are JSON text, or their items have delimiters of their own.
    #[cold]
    fn nested(&mut self, node: &mut Node) {
        for row in 0..self.index.records.len() {
            let raw = self.index.field(self.data, row, self.field).unwrap_or_default();
            let mut scratch = std::mem::take(&mut self.cells.scratch);
            let text = values::trim(value(raw, &self.syntax, &mut scratch));
            if self.cells.is_null_text(raw, text, &self.syntax) || self.cells.is_null(text) {
                node.push_null();
            } else {
                let before = node.len();
                let delimited = !self.cells.separators.is_empty() && !matches!(text.first(), Some(b'[' | b'{'));
                let pushed = if delimited {
                    // Delimiters may be escaped, until the text was divided.
                    let (text, escape) = match self.syntax.quote {
                        None => (values::trim(raw), self.syntax.escape),
                        Some(_) => (text, None),
                    };
                    let null = self.cells.null_text.as_deref();
                    let nested = Nested { separators: &self.cells.separators, escape, null, times: &self.cells.times };
                    nested.push(node, self.t, text, 1);
                    Ok(())
                } else {
                    json::push_text(node, self.t, text, self.cells.strict)
                };
                if let Err(misfit) = pushed {
                    node.truncate(before);
                    node.push_null();
                    if self.cells.strict {
                        let shown = cut_text(text, VALUE_BYTES_MAX);
                        self.refuse(row, shown, misfit);
                    }
                }
            }
            self.cells.scratch = scratch;
        }
    }
}

/// For people: why `text` is not of type `t`.
pub(crate) fn misfit(text: &[u8], t: &HiveType) -> String {
    let article = if matches!(t, HiveType::Int) { "an" } else { "a" };
    let number = values::double(text).is_some();
    match t {
        HiveType::Decimal(p, s) => match values::decimal(text, *p, *s) {
            Decimal::TooLarge => format!("has more than {} digits before the point, too many for {t}", p - s),
            Decimal::Rounded(_) => format!("has more than {s} digits after the point, too many for {t}"),
            _ => format!("is not a number, as {t} needs"),
        },
        HiveType::TinyInt | HiveType::SmallInt | HiveType::Int | HiveType::BigInt if number => {
            let whole = matches!(values::decimal(text, 38, 0), Decimal::Exact(_) | Decimal::TooLarge);
            if whole { format!("is out of the range of {t}") } else { format!("is not a whole number, as {t} needs") }
        }
        HiveType::Date => "is not a date: YYYY-MM-DD is expected".to_owned(),
        HiveType::Timestamp => "is not a timestamp: YYYY-MM-DD HH:MM:SS[.fraction] is expected".to_owned(),
        HiveType::Boolean => "is not a boolean: true or false is expected".to_owned(),
        _ => format!("is not {article} {t}"),
    }
}
