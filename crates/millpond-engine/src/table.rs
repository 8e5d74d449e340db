//! The seam between the engine and the catalog: what a table is, which files it has, and how to ask.

use async_trait::async_trait;
use millpond_core::catalog::{Column, Database, Parameters, StorageDescriptor, Table};
use millpond_core::partition_expr::PartitionExpr;
use object_store::path::Path;
use std::sync::Arc;

/// One immutable file of a table, as it was when the catalog was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct DataFile {
    /// The blob's location in the engine's object store: opaque.
    pub blob: Path,
    /// `s3://bucket/key`: for people (errors, `"$path"`, `source_file`), never used to read.
    pub uri: String,
    /// Bytes.
    pub size: u64,
    /// The ETag without quotes; with the URI it identifies the source object version.
    pub etag: String,
    /// Milliseconds since the epoch.
    pub modified_ms: i64,
}

/// Files that share partition values and a storage descriptor: a partition, or a whole unpartitioned table.
#[derive(Debug, Clone)]
pub struct FileGroup {
    /// One value for each partition key of the table, as text; empty for an unpartitioned table.
    pub values: Vec<String>,
    /// The partition's own descriptor (its serde and columns may differ from the table's), or the table's. Shared, since a million partitions
    /// mostly have one and the same but for its `location`, which is therefore not to be relied on here.
    pub storage: Arc<StorageDescriptor>,
    /// Its files.
    pub files: Vec<DataFile>,
}

/// Why the catalog could not answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// The catalog, as the engine sees it. Names are lower case.
#[async_trait]
pub trait TableSource: Send + Sync + std::fmt::Debug {
    /// The table (or view), or `None` where there is none.
    async fn table(&self, database: &str, name: &str) -> Result<Option<Table>, SourceError>;

    /// All databases, by name.
    async fn databases(&self) -> Result<Vec<Database>, SourceError>;

    /// The names of a database's tables and views, sorted; `None` where there is no such database.
    async fn table_names(&self, database: &str) -> Result<Option<Vec<String>>, SourceError>;

    /// The files of a table, in one consistent snapshot; for a partitioned table those of the partitions that `filter` holds for (all without
    /// one). The filter is evaluated in the store, so that a million partitions stay usable.
    async fn files(&self, table: &Table, filter: Option<&PartitionExpr>) -> Result<Vec<FileGroup>, SourceError>;
}

/// The file formats that the engine reads. Found from a storage descriptor by [`Format::of`].
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    /// Delimited text.
    Csv(CsvOptions),
    /// JSON objects: one a line, or in arrays, or one after another.
    Json(JsonOptions),
    /// Apache Parquet.
    Parquet,
    /// Apache Avro object container files.
    Avro,
}

/// How delimited text is cut into rows and fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// One byte.
    pub delimiter: u8,
    /// `None`: quotes are ordinary characters (LazySimpleSerDe).
    pub quote: Option<u8>,
    /// Besides doubled quotes.
    pub escape: Option<u8>,
    /// `skip.header.line.count`.
    pub header_lines: usize,
    /// The text that means NULL in every column: LazySimpleSerDe's `serialization.null.format`, `\\N` by default. The empty field of a
    /// non-string column is NULL too.
    pub null_text: Option<String>,
    /// Texts that mean NULL in columns that are not text (`NA`, `NULL`, …): what exports of R, pandas and databases write for "nothing".
    /// Set by the serde parameter `millpond.null-values`, comma-separated.
    pub null_values: Vec<String>,
    /// `serialization.encoding`: UTF-8 by default, and then records that are not valid UTF-8 are taken as Windows-1252 (a superset of
    /// Latin-1). A byte-order mark at the start of a file goes first.
    pub encoding: Option<String>,
    /// Fields are found by their position even where a header names the table's columns: the table's names are the user's own. Set by the serde
    /// parameter `millpond.match-columns` = `position`.
    pub by_position: bool,
}

/// The default of [`CsvOptions::null_values`].
pub const NULL_VALUES: [&str; 7] = ["\\N", "NA", "N/A", "NULL", "null", "None", "#N/A"];

impl Default for CsvOptions {
    /// A comma, quotes, no header.
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            header_lines: 0,
            null_text: None,
            null_values: NULL_VALUES.iter().map(|v| (*v).to_owned()).collect(),
            encoding: None,
            by_position: false,
        }
    }
}

/// How JSON is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JsonOptions {
    /// Column name (lower case) → JSON key: OpenX's `mapping.<column>` parameters.
    pub mappings: std::collections::BTreeMap<String, String>,
    /// `serialization.encoding`, as for CSV.
    pub encoding: Option<String>,
}

/// A target's or source's shape when no catalog is asked: name, columns, partition keys, free properties.
#[derive(Debug, Clone, Default)]
pub struct TableShape {
    /// Without the partition keys.
    pub columns: Vec<Column>,
    /// In order.
    pub partition_keys: Vec<Column>,
    /// Free properties.
    pub parameters: Parameters,
}
