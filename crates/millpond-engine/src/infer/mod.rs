//! What a crawler says of one object: its format, columns and types, from a bounded look at its bytes.
//!
//! A crawl reads each object once through [`infer`], brings the columns of objects of one table together with [`merge_columns`], and writes the
//! catalog's entry from [`Inferred::storage`] and [`Inferred::parameters`], in the words of Glue's own crawler.

mod csv;
mod describe;
mod guess;
mod json;
mod sample;
#[cfg(test)]
mod tests;

pub(crate) use csv::field_types;
pub(crate) use json::value_type;

use crate::decode::source::Compression;
use crate::decode::{DecodeError, DecodeErrorKind, Reader, avro, parquet};
use crate::names::clean;
use crate::table::DataFile;
use crate::types::{HiveType, merge};
use arrow::datatypes::Schema;
use millpond_core::catalog::{Column, Parameters};

/// Glue's `CsvHeaderOption`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContainsHeader {
    /// Find out.
    #[default]
    Unknown,
    /// The first line is a header.
    Present,
    /// There is none.
    Absent,
}

/// Glue's `CsvClassifier`, as far as it says how to read.
#[derive(Debug, Clone, Default)]
pub struct CsvClassifier {
    /// Its name, for reports.
    pub name: String,
    /// `None`: find out.
    pub delimiter: Option<u8>,
    /// `None`: `"`.
    pub quote_symbol: Option<u8>,
    /// Whether there is a header.
    pub contains_header: ContainsHeader,
    /// Names for the columns; empty: from the header.
    pub header: Vec<String>,
    /// Files of one column are taken too.
    pub allow_single_column: bool,
    /// Kept for its owner: values are always trimmed for finding types, and never in the data.
    pub disable_value_trimming: bool,
    /// `LazySimpleSerDe` or `OpenCSVSerDe`; `None`: by the data.
    pub serde: Option<String>,
}

/// A column as one object shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferredColumn {
    /// Lower case, distinct.
    pub name: String,
    /// A Hive type.
    pub data_type: HiveType,
    /// Whether any value said so; a column of nulls is a `string` that gives way to any other type.
    pub decided: bool,
}

/// What one object is.
#[derive(Debug, Clone)]
pub struct Inferred {
    /// `csv`, `json`, `parquet`, `avro`, or `UNKNOWN` as Glue says.
    pub classification: String,
    /// Why it is `UNKNOWN`.
    pub reason: Option<String>,
    /// Of the object as a whole.
    pub compression: Compression,
    /// In the file's order.
    pub columns: Vec<InferredColumn>,
    /// How to read it, if it is delimited text.
    pub csv: Option<CsvLook>,
    /// Avro: the schema as JSON text.
    pub avro_schema: Option<String>,
    /// An encoding other than UTF-8.
    pub encoding: Option<String>,
    /// Exact for objects that were seen whole and for Parquet, else an estimate.
    pub record_count: u64,
    /// Bytes, decompressed; at least 1 where there are records.
    pub average_record_size: u64,
    /// What people should know: ragged rows, malformed lines.
    pub warnings: Vec<String>,
}

/// How delimited text is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvLook {
    /// One byte.
    pub delimiter: u8,
    /// Fields are in quotes, of this kind.
    pub quote: Option<u8>,
    /// The first line is a header.
    pub header: bool,
    /// As the classifier asks: `LazySimpleSerDe` or `OpenCSVSerDe`.
    pub serde: Option<String>,
    /// The columns' names are the classifier's, not the file's: fields are found by position.
    pub names_given: bool,
}

/// The object's bytes could not be had; trying again may help.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InferError(DecodeError);

/// Looks at one object. Custom classifiers are asked first, in their order; then the built-in ones. Synchronous: call it from a thread that may
/// block. What is wrong with the object is in the answer (`UNKNOWN` and why).
///
/// # Errors
/// Only the store's.
pub fn infer(reader: &Reader, file: &DataFile, classifiers: &[CsvClassifier]) -> Result<Inferred, InferError> {
    if file.size == 0 {
        return Ok(Inferred::unknown("is empty", Compression::None));
    }
    match look(reader, file, classifiers) {
        Ok(inferred) => Ok(inferred),
        Err(error) if error.kind == DecodeErrorKind::Read => Err(InferError(error)),
        Err(error) => Ok(Inferred::unknown(&error.message, Compression::None)),
    }
}

fn look(reader: &Reader, file: &DataFile, classifiers: &[CsvClassifier]) -> Result<Inferred, DecodeError> {
    let range = reader.handle.block_on(object_store::ObjectStoreExt::get_range(&*reader.store, &file.blob, 0..file.size.min(16)));
    let magic = range.map_err(|e| DecodeError {
        uri: file.uri.clone(),
        kind: DecodeErrorKind::Read,
        message: format!("cannot be read: {e}"),
    })?;
    if magic.starts_with(b"PAR1") {
        return look_at_parquet(reader, file);
    }
    if magic.starts_with(b"Obj\x01") {
        return look_at_avro(reader, file);
    }
    let sample = sample::take(reader, file)?;
    let text = &sample.windows[0].text;
    if text.trim_ascii().is_empty() {
        return Ok(Inferred::unknown(if text.is_empty() { "is empty" } else { "has only blank lines" }, sample.compression));
    }
    for classifier in classifiers {
        if let Some(guess) = csv::classify_custom(&sample.windows, classifier) {
            let mut inferred = from_csv(guess, &sample, classifier.serde.clone());
            inferred.csv.iter_mut().for_each(|csv| csv.names_given = !classifier.header.is_empty());
            return Ok(inferred);
        }
    }
    if json::looks_like_json(text)
        && let Ok(guess) = json::classify(&sample.windows)
    {
        return Ok(from_json(guess, &sample));
    }
    let key = file.uri.to_lowercase();
    let named_csv = key.contains(".csv") || key.contains(".tsv");
    match csv::classify(&sample.windows, named_csv && !json::looks_like_json(text)) {
        Ok(guess) => Ok(from_csv(guess, &sample, None)),
        Err(reason) => Ok(Inferred::unknown(&reason, sample.compression)),
    }
}

fn from_csv(guess: csv::CsvGuess, sample: &sample::Sample, serde: Option<String>) -> Inferred {
    let columns = guess.names.iter().zip(&guess.guesses).map(|(name, g)| {
        let (data_type, decided) = g.finish();
        InferredColumn { name: name.clone(), data_type, decided }
    });
    let mut warnings = Vec::new();
    if guess.ragged > 0 {
        let (ragged, records, width) = (guess.ragged, guess.records, guess.names.len());
        warnings.push(format!("{ragged} of {records} rows looked at do not have {width} fields"));
    }
    let csv = CsvLook {
        delimiter: guess.delimiter,
        quote: guess.quote.filter(|_| guess.quoted),
        header: guess.header,
        serde,
        names_given: false,
    };
    let mut inferred =
        Inferred { columns: columns.collect(), csv: Some(csv), warnings, ..Inferred::new("csv", sample.compression) };
    inferred.encoding = sample.encoding.map(str::to_owned);
    inferred.count(sample, guess.records);
    inferred
}

fn from_json(guess: json::JsonGuess, sample: &sample::Sample) -> Inferred {
    let columns =
        guess.columns.into_iter().map(|(name, data_type, decided)| InferredColumn { name, data_type, decided }).collect();
    let mut inferred = Inferred { columns, ..Inferred::new("json", sample.compression) };
    if guess.malformed > 0 {
        inferred.warnings.push(format!(
            "{} of {} values looked at are no JSON objects",
            guess.malformed,
            guess.records + guess.malformed
        ));
    }
    inferred.encoding = sample.encoding.map(str::to_owned);
    inferred.count(sample, guess.records + guess.malformed);
    inferred
}

fn from_schema(classification: &str, schema: &Schema) -> Inferred {
    let columns = schema.fields().iter().map(|f| InferredColumn {
        name: clean(f.name()),
        data_type: HiveType::from_arrow(f.data_type()),
        decided: true,
    });
    Inferred { columns: columns.collect(), ..Inferred::new(classification, Compression::None) }
}

fn look_at_parquet(reader: &Reader, file: &DataFile) -> Result<Inferred, DecodeError> {
    let metadata = parquet::metadata(reader, file)?;
    let mut inferred = from_schema("parquet", metadata.schema());
    let rows = metadata.metadata().file_metadata().num_rows();
    inferred.record_count = u64::try_from(rows).unwrap_or(0);
    inferred.average_record_size = average(file.size, inferred.record_count);
    Ok(inferred)
}

fn look_at_avro(reader: &Reader, file: &DataFile) -> Result<Inferred, DecodeError> {
    let (records, _) = avro::count(reader, file)?;
    let opened = avro::open(reader, file, 1_024)?;
    let mut inferred = from_schema("avro", &opened.schema());
    inferred.avro_schema =
        opened.avro_header().get(b"avro.schema".as_slice()).map(|json| String::from_utf8_lossy(json).into_owned());
    inferred.record_count = records;
    inferred.average_record_size = average(file.size, records);
    Ok(inferred)
}

impl Inferred {
    fn new(classification: &str, compression: Compression) -> Self {
        Self {
            classification: classification.to_owned(),
            reason: None,
            compression,
            columns: Vec::new(),
            csv: None,
            avro_schema: None,
            encoding: None,
            record_count: 0,
            average_record_size: 0,
            warnings: Vec::new(),
        }
    }

    fn unknown(reason: &str, compression: Compression) -> Self {
        Self { reason: Some(reason.to_owned()), ..Self::new("UNKNOWN", compression) }
    }

    /// Whether it can be a table.
    pub fn is_known(&self) -> bool {
        self.classification != "UNKNOWN"
    }

    fn count(&mut self, sample: &sample::Sample, records: u64) {
        let seen: u64 = sample.windows.iter().map(|w| w.text.len() as u64).sum();
        self.average_record_size = average(seen, records);
        self.record_count = if sample.whole || records == 0 { records } else { sample.bytes / self.average_record_size };
    }
}

/// The columns of a table from those of two of its objects: by name, those of `a` first, with types that hold both.
pub fn merge_columns(a: &[InferredColumn], b: &[InferredColumn]) -> Vec<InferredColumn> {
    let mut columns = a.to_vec();
    for column in b {
        match columns.iter_mut().find(|c| c.name == column.name) {
            Some(have) if !have.decided => *have = column.clone(),
            Some(have) if column.decided => have.data_type = merge(&have.data_type, &column.data_type),
            Some(_) => {}
            None => columns.push(column.clone()),
        }
    }
    columns
}

/// As the catalog keeps them.
pub fn catalog_columns(columns: &[InferredColumn]) -> Vec<Column> {
    columns.iter().map(|c| Column::new(c.name.clone(), c.data_type.to_string())).collect()
}

/// Bytes of a record: at least one, where there is any.
fn average(bytes: u64, records: u64) -> u64 {
    bytes.checked_div(records).map_or(0, |n| n.max(1))
}

/// Free properties under a few names.
fn parameters<const N: usize>(pairs: [(&str, String); N]) -> Parameters {
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}
