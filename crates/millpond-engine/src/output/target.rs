//! From a statement's properties and a query's columns to a [`Target`].

use super::columns::{check_insert, new_columns, refused};
use super::{Buckets, Codec, Compression, OutputFormat, Target, TextOptions, insert_format};
use crate::format::delimiter_byte;
use crate::query::{Position, QueryError};
use crate::sql::{Properties, PropertyValue};
use arrow::datatypes::Schema;
use millpond_core::catalog::{Column, Table};
use std::collections::BTreeMap;

/// What `WITH (…)` of `CREATE TABLE AS` and of `UNLOAD` says (Athena user guide, "CTAS table properties" and "UNLOAD").
#[derive(Debug, Clone, PartialEq)]
pub struct OutputProperties {
    /// Parquet where nothing is said.
    pub format: OutputFormat,
    /// The format's default where nothing is said.
    pub compression: Compression,
    /// `external_location`: `s3://bucket/prefix/`, with a slash.
    pub external_location: Option<String>,
    /// Lower-case names of partition keys: the query's last columns.
    pub partitioned_by: Vec<String>,
    /// Of the files of each partition.
    pub buckets: Option<Buckets>,
}

/// Whether `WITH (…)` asks for an Iceberg table.
pub fn is_iceberg(properties: &Properties) -> bool {
    properties.iter().any(|(name, value)| {
        name == "table_type" && matches!(value, PropertyValue::Text(text) if text.eq_ignore_ascii_case("iceberg"))
    })
}

/// Properties by name, each to be taken once.
struct Given<'a> {
    properties: BTreeMap<&'a str, &'a PropertyValue>,
}

fn invalid(message: impl std::fmt::Display) -> QueryError {
    refused("INVALID_TABLE_PROPERTY", format!("{}: {message}", Position::START))
}

impl<'a> Given<'a> {
    fn new(properties: &'a Properties) -> Result<Self, QueryError> {
        let mut given = BTreeMap::new();
        for (name, value) in properties {
            if given.insert(name.as_str(), value).is_some() {
                return Err(refused("DUPLICATE_PROPERTY", format!("{}: Duplicate property: {name}", Position::START)));
            }
        }
        Ok(Self { properties: given })
    }

    fn wrong(name: &str, value: &PropertyValue, wanted: &str) -> QueryError {
        invalid(format!("Invalid value for property '{name}': {value} is not {wanted}"))
    }

    fn text(&mut self, name: &str) -> Result<Option<&'a str>, QueryError> {
        match self.properties.remove(name) {
            None => Ok(None),
            Some(PropertyValue::Text(text)) => Ok(Some(text)),
            Some(other) => Err(Self::wrong(name, other, "a text")),
        }
    }

    fn number(&mut self, name: &str) -> Result<Option<i64>, QueryError> {
        match self.properties.remove(name) {
            None => Ok(None),
            Some(PropertyValue::Number(number)) => Ok(Some(*number)),
            Some(other) => Err(Self::wrong(name, other, "a number")),
        }
    }

    fn boolean(&mut self, name: &str) -> Result<Option<bool>, QueryError> {
        match self.properties.remove(name) {
            None => Ok(None),
            Some(PropertyValue::Boolean(value)) => Ok(Some(*value)),
            Some(PropertyValue::Text(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(PropertyValue::Text(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(other) => Err(Self::wrong(name, other, "true or false")),
        }
    }

    /// Names in lower case.
    fn names(&mut self, name: &str) -> Result<Vec<String>, QueryError> {
        match self.properties.remove(name) {
            None => Ok(Vec::new()),
            Some(PropertyValue::Array(items)) => Ok(items.iter().map(|item| item.to_lowercase()).collect()),
            Some(other) => Err(Self::wrong(name, other, "an ARRAY of texts")),
        }
    }

    fn format(&mut self, default: Option<&str>) -> Result<OutputFormat, QueryError> {
        let Some(name) = self.text("format")?.or(default) else {
            return Err(invalid("UNLOAD needs the property 'format': PARQUET, ORC, AVRO, JSON or TEXTFILE"));
        };
        let delimiter = self.text("field_delimiter")?;
        Ok(match name.to_ascii_uppercase().as_str() {
            "PARQUET" => OutputFormat::Parquet,
            "ORC" => OutputFormat::Orc,
            "AVRO" => OutputFormat::Avro,
            "JSON" => OutputFormat::Json(BTreeMap::new()),
            "TEXTFILE" => {
                let byte = |text: &str| {
                    delimiter_byte(text)
                        .ok_or_else(|| invalid(format!("field_delimiter must be one ASCII character, is '{text}'")))
                };
                let delimiter = delimiter.map(byte).transpose()?;
                let default = TextOptions::default();
                OutputFormat::Text(TextOptions { delimiter: delimiter.unwrap_or(default.delimiter), ..default })
            }
            _ => {
                let message = format!("'{name}' is no format that is written: use PARQUET, ORC, AVRO, JSON or TEXTFILE");
                return Err(invalid(message));
            }
        })
    }

    fn compression(&mut self, format: &OutputFormat, names: &[&str]) -> Result<Compression, QueryError> {
        let mut codec = None;
        for name in names {
            if let Some(text) = self.text(name)? {
                let known = Codec::parse(text).ok_or_else(|| {
                    invalid(format!("'{text}' of the property '{name}' is no compression: use GZIP, SNAPPY, ZSTD, LZ4, ZLIB, BZIP2, DEFLATE or NONE"))
                })?;
                codec = codec.or(Some(known));
            }
        }
        let level = match self.properties.remove("compression_level") {
            None => None,
            Some(PropertyValue::Number(level)) => i32::try_from(*level).ok(),
            Some(PropertyValue::Text(text)) => text.trim().parse().ok(),
            Some(other) => return Err(Self::wrong("compression_level", other, "a number")),
        };
        if level.is_some() && codec.is_none() {
            return Err(invalid("Compression codec must be defined when compression_level property is specified."));
        }
        match codec {
            None => Ok(Compression::default_of(format)),
            Some(codec) => Compression { codec, level }.check(format),
        }
    }

    /// What was not taken is not known.
    fn end(self) -> Result<(), QueryError> {
        match self.properties.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(invalid(format!("Catalog 'awsdatacatalog' table property '{name}' does not exist"))),
        }
    }
}

/// `s3://bucket/prefix/`, with a slash at its end.
fn location(text: &str) -> Result<String, QueryError> {
    let rest = text.strip_prefix("s3://").filter(|rest| rest.split('/').next().is_some_and(|bucket| !bucket.is_empty()));
    match rest {
        Some(rest) => Ok(format!("s3://{}/", rest.trim_end_matches('/'))),
        None => Err(invalid(format!("'{text}' is no location in S3: write s3://bucket/prefix/"))),
    }
}

impl OutputProperties {
    /// Those of `CREATE TABLE AS` for a table that is not Iceberg's.
    ///
    /// # Errors
    /// `INVALID_TABLE_PROPERTY` with what is wrong; compressions that the format does not have.
    pub fn of_table(properties: &Properties) -> Result<Self, QueryError> {
        let mut given = Given::new(properties)?;
        if let Some(kind) = given.text("table_type")?.filter(|kind| !kind.eq_ignore_ascii_case("hive")) {
            return Err(invalid(format!("table_type '{kind}' is unknown: HIVE and ICEBERG are table types")));
        }
        if given.boolean("is_external")? == Some(false) {
            return Err(invalid("is_external = false is for Iceberg tables only: Hive tables are external"));
        }
        let format = given.format(Some("PARQUET"))?;
        let own: &[&str] = match format {
            OutputFormat::Parquet => &["write_compression", "parquet_compression"],
            OutputFormat::Orc => &["write_compression", "orc_compression"],
            _ => &["write_compression"],
        };
        let compression = given.compression(&format, own)?;
        let external_location = given.text("external_location")?.map(location).transpose()?;
        let partitioned_by = given.names("partitioned_by")?;
        let (columns, count) = (given.names("bucketed_by")?, given.number("bucket_count")?);
        let buckets = match (columns.is_empty(), count) {
            (true, None | Some(0)) => None,
            (true, Some(_)) => return Err(invalid("bucketed_by must be specified with bucket_count")),
            (false, None) => return Err(invalid("bucket_count must be specified with bucketed_by")),
            (false, Some(count)) => match u32::try_from(count) {
                Ok(count) if (1..=1_000_000).contains(&count) => Some(Buckets { columns, count }),
                _ => return Err(invalid("bucket_count must be greater than zero")),
            },
        };
        given.end()?;
        Ok(Self { format, compression, external_location, partitioned_by, buckets })
    }

    /// Those of `UNLOAD`.
    ///
    /// # Errors
    /// As [`Self::of_table`].
    pub fn of_unload(properties: &Properties) -> Result<Self, QueryError> {
        let mut given = Given::new(properties)?;
        let format = given.format(None)?;
        let compression = given.compression(&format, &["compression"])?;
        let partitioned_by = given.names("partitioned_by")?;
        given.end()?;
        Ok(Self { format, compression, external_location: None, partitioned_by, buckets: None })
    }

    /// What is written of a query with this output. `named`: whether all its columns must have names.
    ///
    /// # Errors
    /// As [`new_columns`]; partition keys that are not the last columns in order; buckets by columns that are not there.
    pub fn target(&self, schema: &Schema, named: bool) -> Result<Target, QueryError> {
        let mut columns = new_columns(schema, named)?;
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        if let Some(missing) = self.partitioned_by.iter().find(|key| !names.contains(&key.as_str())) {
            return Err(invalid(format!("Partition columns [{missing}] not present in schema")));
        }
        if self.partitioned_by.len() >= columns.len() {
            return Err(invalid("Table contains only partition columns"));
        }
        let keys = columns.split_off(columns.len() - self.partitioned_by.len());
        if keys.iter().map(|key| &key.name).ne(&self.partitioned_by) {
            let message = "Partition keys must be the last columns in the table and in the same order as the table properties";
            let list = |names: Vec<&str>| names.join(", ");
            let last = list(keys.iter().map(|key| key.name.as_str()).collect());
            let wanted = list(self.partitioned_by.iter().map(String::as_str).collect());
            return Err(refused(
                "HIVE_COLUMN_ORDER_MISMATCH",
                format!("{message}: [{wanted}] but the last columns are [{last}]"),
            ));
        }
        if let Some(key) =
            keys.iter().find(|key| ["array", "map", "struct"].iter().any(|nested| key.data_type.starts_with(nested)))
        {
            return Err(invalid(format!("Unsupported type [{}] for partition: {}", key.data_type, key.name)));
        }
        let sources = (0..columns.len() + keys.len()).map(Some).collect();
        let target = Target {
            columns,
            keys,
            sources,
            format: self.format.clone(),
            compression: self.compression,
            buckets: self.buckets.clone(),
        };
        if let Some(buckets) = &target.buckets {
            buckets.places(&target.columns)?;
        }
        Ok(target)
    }
}

impl std::fmt::Display for PropertyValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Array(items) => write!(f, "ARRAY{items:?}"),
        }
    }
}

impl Target {
    /// What is written of a query with this output that is inserted into some columns of a table (`None`: all, in order).
    ///
    /// # Errors
    /// Columns that the table does not have, types that do not fit, tables that cannot be written.
    pub fn insert(table: &Table, columns: Option<&[String]>, schema: &Schema) -> Result<Self, QueryError> {
        let (format, compression) = insert_format(table)?;
        let all: Vec<&Column> = table.storage.columns.iter().chain(&table.partition_keys).collect();
        let place = |name: &String| all.iter().position(|column| column.name.eq_ignore_ascii_case(name));
        let mut sources = vec![None; all.len()];
        let into: Vec<usize> = match columns {
            None => (0..all.len()).collect(),
            Some(names) => {
                let missing = |name: &String| {
                    let message = format!("Insert column name does not exist in target table: {name}");
                    refused("COLUMN_NOT_FOUND", format!("{}: {message}", Position::START))
                };
                names.iter().map(|name| place(name).ok_or_else(|| missing(name))).collect::<Result<_, _>>()?
            }
        };
        for (source, &column) in into.iter().enumerate() {
            if sources[column].replace(source).is_some() {
                let message = format!("Insert column name is specified more than once: {}", all[column].name);
                return Err(refused("DUPLICATE_COLUMN_NAME", format!("{}: {message}", Position::START)));
            }
        }
        check_insert(schema, &into.iter().map(|&column| all[column]).collect::<Vec<_>>())?;
        Ok(Self {
            columns: table.storage.columns.clone(),
            keys: table.partition_keys.clone(),
            sources,
            format,
            compression,
            buckets: None,
        })
    }
}
