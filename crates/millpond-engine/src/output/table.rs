//! Formats as the catalog describes them: what a new table's entry says, and how the rows of an existing one are written.

use super::columns::refused;
use super::{Codec, Compression, OutputFormat, TextOptions};
use crate::format::delimiter_byte;
use crate::query::QueryError;
use millpond_core::catalog::{Column, Parameters, SerDeInfo, StorageDescriptor, Table};
use std::collections::BTreeMap;

const PARQUET: [&str; 3] = [
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
];
const ORC: [&str; 3] = [
    "org.apache.hadoop.hive.ql.io.orc.OrcInputFormat",
    "org.apache.hadoop.hive.ql.io.orc.OrcOutputFormat",
    "org.apache.hadoop.hive.ql.io.orc.OrcSerde",
];
const AVRO: [&str; 3] = [
    "org.apache.hadoop.hive.ql.io.avro.AvroContainerInputFormat",
    "org.apache.hadoop.hive.ql.io.avro.AvroContainerOutputFormat",
    "org.apache.hadoop.hive.serde2.avro.AvroSerDe",
];
const TEXT: [&str; 2] =
    ["org.apache.hadoop.mapred.TextInputFormat", "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"];
const JSON_SERDE: &str = "org.apache.hive.hcatalog.data.JsonSerDe";
const LAZY_SIMPLE: &str = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe";

/// The descriptor of a new table in a format, and the table's properties that belong to it: `classification` and the format's own name of its
/// compression.
pub fn storage(
    format: &OutputFormat,
    compression: Compression,
    columns: Vec<Column>,
    location: String,
) -> (StorageDescriptor, Parameters) {
    let mut serde = Parameters::from([("serialization.format".to_owned(), "1".to_owned())]);
    let codec = compression.codec.name();
    let (classes, classification, property) = match format {
        OutputFormat::Parquet => (PARQUET, "parquet", Some(("parquet.compression", codec))),
        OutputFormat::Orc => (ORC, "orc", Some(("orc.compress", codec))),
        OutputFormat::Avro => (AVRO, "avro", Some(("avro.output.codec", codec))),
        OutputFormat::Json(_) => ([TEXT[0], TEXT[1], JSON_SERDE], "json", Some(("write.compression", codec))),
        OutputFormat::Text(options) => {
            let delimiter = char::from(options.delimiter).to_string();
            if options.delimiter != 1 {
                serde.insert("serialization.format".into(), delimiter.clone());
            }
            serde.insert("field.delim".into(), delimiter);
            ([TEXT[0], TEXT[1], LAZY_SIMPLE], "csv", Some(("write.compression", codec)))
        }
    };
    let parameters = [("classification", classification)].into_iter().chain(property);
    let parameters = parameters.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let storage = StorageDescriptor {
        columns,
        location: Some(location),
        input_format: Some(classes[0].into()),
        output_format: Some(classes[1].into()),
        compressed: compression.codec != Codec::None,
        serde_info: SerDeInfo { name: None, serialization_library: Some(classes[2].into()), parameters: serde },
        ..StorageDescriptor::default()
    };
    (storage, parameters)
}

/// How rows that are inserted into a table are written.
///
/// # Errors
/// A serde whose tables are only read, header lines, buckets; a compression that the format does not have.
pub fn insert_format(table: &Table) -> Result<(OutputFormat, Compression), QueryError> {
    let found = Found { table };
    if table.storage.number_of_buckets > 0 {
        let name = format!("{}.{}", table.database, table.name);
        return Err(refused("HIVE_UNSUPPORTED_FORMAT", format!("Athena does not insert into bucketed tables: {name}")));
    }
    for property in ["skip.header.line.count", "skip.footer.line.count"] {
        if found.anywhere(property).is_some_and(|lines| lines.trim() != "0") {
            let message = format!("Inserting into Hive table with {property} property not supported");
            return Err(QueryError::NotSupported(message));
        }
    }
    let format = found.format()?;
    let compression = match found.codec(&format) {
        None => Compression::default_of(&format),
        Some(name) => {
            let codec = Codec::parse(name)
                .ok_or_else(|| QueryError::InvalidMetadata(format!("the table's compression '{name}' is unknown")))?;
            let level = found.anywhere("compression_level").filter(|_| codec == Codec::Zstd);
            Compression { codec, level: level.and_then(|level| level.trim().parse().ok()) }
        }
    };
    let compression = compression.check(&format)?;
    Ok((format, compression))
}

struct Found<'a> {
    table: &'a Table,
}

impl Found<'_> {
    fn serde(&self, key: &str) -> Option<&str> {
        self.table.storage.serde_info.parameters.get(key).map(String::as_str)
    }

    fn anywhere(&self, key: &str) -> Option<&str> {
        let storage = &self.table.storage;
        self.serde(key).or_else(|| storage.parameters.get(key).or_else(|| self.table.parameters.get(key)).map(String::as_str))
    }

    fn codec(&self, format: &OutputFormat) -> Option<&str> {
        let own = match format {
            OutputFormat::Parquet => "parquet.compression",
            OutputFormat::Orc => "orc.compress",
            OutputFormat::Avro => "avro.output.codec",
            OutputFormat::Json(_) | OutputFormat::Text(_) => "write.compression",
        };
        ["write.compression", own].into_iter().find_map(|key| self.anywhere(key))
    }

    fn byte(&self, key: &str, default: u8) -> Result<u8, QueryError> {
        let Some(text) = self.serde(key) else { return Ok(default) };
        delimiter_byte(text)
            .ok_or_else(|| QueryError::InvalidMetadata(format!("'{key}' must be one ASCII character, is '{text}'")))
    }

    fn format(&self) -> Result<OutputFormat, QueryError> {
        let storage = &self.table.storage;
        let library = storage.serde_info.serialization_library.as_deref().unwrap_or_default();
        let input = storage.input_format.as_deref().unwrap_or_default();
        let class = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        Ok(match (class(library).as_str(), class(input).as_str()) {
            ("ParquetHiveSerDe", _) | ("", "MapredParquetInputFormat") => OutputFormat::Parquet,
            ("OrcSerde", _) | ("", "OrcInputFormat") => OutputFormat::Orc,
            ("AvroSerDe", _) | ("", "AvroContainerInputFormat") => OutputFormat::Avro,
            ("JsonSerDe", _) => {
                let mapped = storage.serde_info.parameters.iter();
                let keys = mapped.filter_map(|(k, v)| Some((k.strip_prefix("mapping.")?.to_lowercase(), v.clone())));
                OutputFormat::Json(keys.collect::<BTreeMap<_, _>>())
            }
            ("LazySimpleSerDe", _) | ("", "TextInputFormat") => OutputFormat::Text(self.lazy_simple()?),
            ("OpenCSVSerde" | "CSVSerde", _) => OutputFormat::Text(TextOptions {
                delimiter: self.byte("separatorChar", b',')?,
                quote: Some(self.byte("quoteChar", b'"')?),
                escape: Some(self.byte("escapeChar", b'\\')?),
                null_text: String::new(),
                ..TextOptions::default()
            }),
            _ => {
                let message = format!(
                    "Athena does not insert into tables of {}",
                    if library.is_empty() { "no known format" } else { library }
                );
                return Err(refused("HIVE_UNSUPPORTED_FORMAT", message));
            }
        })
    }

    fn lazy_simple(&self) -> Result<TextOptions, QueryError> {
        let default = TextOptions::default();
        let delimiter = match self.serde("field.delim") {
            Some(_) => self.byte("field.delim", default.delimiter)?,
            // "1" means Hive's own default, as nothing does.
            None => match self.serde("serialization.format").filter(|format| *format != "1") {
                Some(_) => self.byte("serialization.format", default.delimiter)?,
                None => default.delimiter,
            },
        };
        let quote = match ["quote.delim", "quoteChar"].into_iter().find(|key| self.serde(key).is_some()) {
            Some(key) => Some(self.byte(key, b'"')?),
            None => (self.anywhere("areColumnsQuoted") == Some("true")).then_some(b'"'),
        };
        // Hive's own spelling.
        let collection = if self.serde("colelction.delim").is_some() { "colelction.delim" } else { "collection.delim" };
        Ok(TextOptions {
            delimiter,
            quote,
            escape: self.serde("escape.delim").map(|_| self.byte("escape.delim", b'\\')).transpose()?,
            null_text: self.anywhere("serialization.null.format").unwrap_or(&default.null_text).to_owned(),
            collection_delimiter: self.byte(collection, default.collection_delimiter)?,
            map_key_delimiter: self.byte("mapkey.delim", default.map_key_delimiter)?,
        })
    }
}
