//! Query results as data files: what `CREATE TABLE AS`, `INSERT INTO` and `UNLOAD` write.
//!
//! A [`Target`] says which columns the files have, in which format and by which keys they are divided; [`write`] takes a query's batches, brings
//! them into that form and writes files under opaque names, in bounded memory and in the query's order. No file is visible before somebody names it
//! in a transaction.

pub(crate) mod assign;
mod avro;
mod bucket;
mod columns;
mod compression;
mod encoder;
mod files;
mod json;
mod lz;
mod orc;
mod table;
mod target;
mod text;

#[cfg(test)]
mod tests;

pub use bucket::Buckets;
pub use columns::{check_insert, new_columns};
pub use compression::{Codec, Compression};
pub use files::{Written, write};
pub use table::{insert_format, storage};
pub use target::{OutputProperties, is_iceberg};

use crate::write::WrittenFile;
use millpond_core::catalog::Column;

/// Writers that one statement may have open: one for each partition and bucket (Athena user guide, "Use CTAS and INSERT INTO to work around the 100
/// partition limit").
pub const OPEN_WRITERS_MAX: usize = 100;

/// How delimited text is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextOptions {
    /// Between fields.
    pub delimiter: u8,
    /// Around every field; a quote in a field is escaped, or doubled where there is no escape character.
    pub quote: Option<u8>,
    /// Before delimiters, line ends and itself, where there is one.
    pub escape: Option<u8>,
    /// What NULL is written as.
    pub null_text: String,
    /// Between the items of an array, or the entries of a map.
    pub collection_delimiter: u8,
    /// Between a map's key and value.
    pub map_key_delimiter: u8,
}

impl Default for TextOptions {
    /// LazySimpleSerDe's: `^A`, `\N`, `^B`, `^C`.
    fn default() -> Self {
        Self { delimiter: 1, quote: None, escape: None, null_text: "\\N".into(), collection_delimiter: 2, map_key_delimiter: 3 }
    }
}

/// A file format that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputFormat {
    /// Apache Parquet.
    Parquet,
    /// Apache ORC.
    Orc,
    /// Apache Avro object container files.
    Avro,
    /// A JSON object a line; the keys that differ from the columns' names.
    Json(std::collections::BTreeMap<String, String>),
    /// Delimited text.
    Text(TextOptions),
}

/// What is written, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Columns of the files, without partition keys, with Hive's types.
    pub columns: Vec<Column>,
    /// Partition keys, in order.
    pub keys: Vec<Column>,
    /// For each of the columns, then for each of the keys: the place of its values in the query's output; `None` where it is NULL.
    pub sources: Vec<Option<usize>>,
    /// The files' format.
    pub format: OutputFormat,
    /// Of the files.
    pub compression: Compression,
    /// Rows by the hash of some columns.
    pub buckets: Option<Buckets>,
}

/// One file, as it is to be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Where it is, and what is in it.
    pub file: WrittenFile,
    /// Which bucket it is, where there are buckets.
    pub bucket: Option<u32>,
}
