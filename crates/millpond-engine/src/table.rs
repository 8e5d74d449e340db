//! The seam between the engine and the catalog: what a table is, which files it has, and how to ask.

use crate::iceberg::Look;
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

/// A file that says which rows of others are deleted (Iceberg specification, "Delete Formats").
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteFile {
    /// Its bytes; read as `format`.
    pub file: DataFile,
    /// Parquet, Avro or ORC.
    pub format: Format,
    /// How it names rows.
    pub content: DeleteContent,
}

/// How a [`DeleteFile`] names rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteContent {
    /// By the data file's URI and the row's position in it.
    Positions,
    /// By the values of the columns with these ids.
    Equality(Vec<i32>),
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

/// Which version of a table a query reads (`FOR VERSION AS OF`, `FOR TIMESTAMP AS OF`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeTravel {
    /// The snapshot of this id.
    Snapshot(i64),
    /// The snapshot that a branch or tag names.
    Reference(String),
    /// The snapshot that was current then: microseconds since the epoch.
    Timestamp(i64),
}

/// What a scan wants of a table.
#[derive(Debug, Clone, Default)]
pub struct ScanRequest {
    /// Only partitions that it holds for; all without one. The store evaluates it, so that a million partitions stay usable.
    pub filter: Option<PartitionExpr>,
    /// The statement's time, in milliseconds since the epoch.
    pub now_ms: i64,
}

/// Why the catalog could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// Athena's name of the error (`HIVE_METASTORE_ERROR`, `CONSTRAINT_VIOLATION`, …).
    pub name: &'static str,
    /// For people, without the name.
    pub message: String,
}

impl SourceError {
    /// The catalog itself failed, or is not consistent.
    pub fn metastore(message: impl Into<String>) -> Self {
        Self { name: "HIVE_METASTORE_ERROR", message: message.into() }
    }

    /// An error of Athena's by its name.
    pub fn named(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, message: message.into() }
    }
}

/// The catalog, as the engine sees it. Names are lower case.
#[async_trait]
pub trait TableSource: Send + Sync + std::fmt::Debug {
    /// The table (or view), or `None` where there is none.
    async fn table(&self, database: &str, name: &str) -> Result<Option<Table>, SourceError>;

    /// All databases, by name.
    async fn databases(&self) -> Result<Vec<Database>, SourceError>;

    /// The names of a database's tables and views, sorted; `None` where there is no such database.
    async fn table_names(&self, database: &str) -> Result<Option<Vec<String>>, SourceError>;

    /// All tables and views of a database, by name; nothing where there is no such database.
    async fn tables(&self, database: &str) -> Result<Vec<Table>, SourceError> {
        let mut tables = Vec::new();
        for name in self.table_names(database).await?.unwrap_or_default() {
            // One that was dropped since its name was read is left out.
            tables.extend(self.table(database, &name).await?);
        }
        Ok(tables)
    }

    /// The files of a table, in one consistent snapshot.
    async fn scan(&self, table: &Table, request: &ScanRequest) -> Result<Vec<FileGroup>, SourceError>;

    /// The values of a table's partitions that the request's filter holds for, whether they have files or not.
    async fn partitions(&self, table: &Table, request: &ScanRequest) -> Result<Vec<Vec<String>>, SourceError>;

    /// Runs `look` over the objects of the lake as they all are at one moment: for tables whose metadata are objects (Iceberg).
    async fn look(&self, look: Look) -> Result<(), SourceError>;
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
    /// Apache ORC.
    Orc(OrcOptions),
    /// Text of which each line is a row: fields by a regular expression (also Grok's), or between delimiters of several characters.
    Lines(LineOptions),
}

impl Format {
    /// A name for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Csv(_) => "csv",
            Self::Json(_) => "json",
            Self::Parquet => "parquet",
            Self::Avro => "avro",
            Self::Orc(_) => "orc",
            Self::Lines(_) => "text",
        }
    }
}

/// How ORC's columns are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrcOptions {
    /// The table's first column is the file's first, and so on, whatever they are called; else by name. Athena's default (user guide, "Index access for ORC
    /// and Parquet").
    pub by_index: bool,
}

/// How lines become rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineOptions {
    /// What cuts a line into fields.
    pub fields: LineFields,
    /// `skip.header.line.count`.
    pub header_lines: usize,
    /// `skip.footer.line.count`.
    pub footer_lines: usize,
    /// The text that means NULL.
    pub null_text: Option<String>,
    /// `serialization.encoding`, as for CSV.
    pub encoding: Option<String>,
    /// `timestamp.formats`, as for CSV.
    pub timestamp_formats: Vec<String>,
}

/// What cuts a line into fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineFields {
    /// The groups of an expression that must match the whole line; where it does not, all columns are NULL.
    Pattern {
        /// With look-around and possessive quantifiers, as Java has them.
        regex: String,
        /// Columns of the groups, where they have names (Grok); empty: the columns in their order.
        names: Vec<String>,
    },
    /// The texts between delimiters of any length.
    Delimiter(String),
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
    /// The delimiters of LazySimpleSerDe by level: fields, items of collections, keys of maps, and what is nested deeper. Empty: nested values are JSON
    /// text. (JSON text is read in any case.)
    pub separators: Vec<u8>,
    /// LazySimpleSerDe: an empty line is a row, and binary values are base64. Scans only; a conversion passes over empty lines.
    pub lazy: bool,
    /// OpenCSVSerde: a number in a `date` column is days, and in a `timestamp` column milliseconds since 1970. Scans only.
    pub epoch_times: bool,
    /// `skip.footer.line.count`: lines at the end of each file that are no rows. Scans only.
    pub footer_lines: usize,
    /// `timestamp.formats`: Java's patterns (and `millis`) that are tried where a timestamp is not in the usual form.
    pub timestamp_formats: Vec<String>,
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
            separators: Vec::new(),
            lazy: false,
            epoch_times: false,
            footer_lines: 0,
            timestamp_formats: Vec::new(),
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
    /// `ignore.malformed.json`: what is no JSON object is a row of NULLs, not an error. Scans only; a conversion puts it into quarantine.
    pub ignore_malformed: bool,
    /// `dots.in.keys`: the key `a.b` is the column `a_b`.
    pub dots_in_keys: bool,
    /// `case.insensitive` = `FALSE`: keys must be written exactly as columns (or as their mappings).
    pub case_sensitive: bool,
    /// `timestamp.formats`, as for CSV.
    pub timestamp_formats: Vec<String>,
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
