//! The data catalog's nouns, as AWS Glue names them (Glue API reference, "Catalog").
//!
//! Names of databases, tables and columns are kept in lower case, as Glue and Athena treat them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Free key-value properties of a catalog entry.
pub type Parameters = BTreeMap<String, String>;

/// A column of a table, or one of its partition keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Column {
    /// Lower case.
    pub name: String,
    /// A Hive type in text: `bigint`, `decimal(12,2)`, `struct<a:int,b:array<string>>`.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Free properties.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
}

impl Column {
    /// A column without comment or properties.
    pub fn new(name: impl Into<String>, data_type: impl Into<String>) -> Self {
        Self { name: name.into(), data_type: data_type.into(), ..Self::default() }
    }
}

/// How rows are read from bytes: Glue's `SerDeInfo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct SerDeInfo {
    /// Free name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A Java class name, for example `org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serialization_library: Option<String>,
    /// For example `field.delim`, `separatorChar`, `quoteChar`.
    #[serde(default)]
    pub parameters: Parameters,
}

/// Where and how a table's or partition's data lie: Glue's `StorageDescriptor`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct StorageDescriptor {
    /// Without the partition keys.
    #[serde(default)]
    pub columns: Vec<Column>,
    /// `s3://bucket/prefix/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// A Java class name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_format: Option<String>,
    /// A Java class name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_format: Option<String>,
    /// Whether the files are compressed.
    #[serde(default)]
    pub compressed: bool,
    /// -1: not bucketed.
    #[serde(default)]
    pub number_of_buckets: i32,
    /// How rows are read.
    #[serde(default)]
    pub serde_info: SerDeInfo,
    /// Free properties, the crawler's among them.
    #[serde(default)]
    pub parameters: Parameters,
    /// What Glue's API carries and Millpond only keeps (`SortColumns`, `SkewedInfo`, `SchemaReference`, …), in Glue's JSON form.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub kept: serde_json::Map<String, serde_json::Value>,
}

/// A table of the catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Table {
    /// Lower case.
    pub database: String,
    /// Lower case.
    pub name: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Columns, location and format.
    #[serde(default)]
    pub storage: StorageDescriptor,
    /// In order; their values are not in the files.
    #[serde(default)]
    pub partition_keys: Vec<Column>,
    /// `EXTERNAL_TABLE`, `VIRTUAL_VIEW`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_type: Option<String>,
    /// Free properties, for example `classification`.
    #[serde(default)]
    pub parameters: Parameters,
    /// A view's text as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view_original_text: Option<String>,
    /// A view's expanded text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view_expanded_text: Option<String>,
    /// Kept for clients.
    #[serde(default)]
    pub retention: i32,
    /// Milliseconds since the epoch.
    #[serde(default)]
    pub created_ms: i64,
    /// Milliseconds since the epoch.
    #[serde(default)]
    pub updated_ms: i64,
    /// Counts up from 0 at each update; Glue's `VersionId`.
    #[serde(default)]
    pub version: i64,
    /// What Glue's API carries and Millpond only keeps, in Glue's JSON form.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub kept: serde_json::Map<String, serde_json::Value>,
}

/// A partition of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Partition {
    /// One for each partition key, in their order, as text (Hive's form; `__HIVE_DEFAULT_PARTITION__` for null).
    pub values: Vec<String>,
    /// Columns, location and format of this partition's files.
    #[serde(default)]
    pub storage: StorageDescriptor,
    /// Free properties.
    #[serde(default)]
    pub parameters: Parameters,
    /// Milliseconds since the epoch.
    #[serde(default)]
    pub created_ms: i64,
    /// What Glue's API carries and Millpond only keeps, in Glue's JSON form.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub kept: serde_json::Map<String, serde_json::Value>,
}

/// A database of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Database {
    /// Lower case.
    pub name: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `s3://bucket/prefix/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location_uri: Option<String>,
    /// Free properties.
    #[serde(default)]
    pub parameters: Parameters,
    /// Milliseconds since the epoch.
    #[serde(default)]
    pub created_ms: i64,
    /// What Glue's API carries and Millpond only keeps, in Glue's JSON form.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub kept: serde_json::Map<String, serde_json::Value>,
}

/// The text that Hive and Glue use for a null partition value.
pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";
