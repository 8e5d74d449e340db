//! An inferred object in the catalog's words, as Glue's crawler writes them.

use super::{Inferred, parameters};
use crate::decode::source::Compression;
use millpond_core::catalog::{Column, Parameters, SerDeInfo, StorageDescriptor};

const TEXT_INPUT: &str = "org.apache.hadoop.mapred.TextInputFormat";
const TEXT_OUTPUT: &str = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat";

impl Inferred {
    /// The table's (and partitions') parameters that describe the format: `classification`, `compressionType`, `typeOfData`, and for CSV
    /// `delimiter`, `areColumnsQuoted`, `columnsOrdered`, `skip.header.line.count`. Counts and the crawler's own name are the crawler's to add.
    pub fn parameters(&self) -> Parameters {
        let mut all = parameters([
            ("classification", self.classification.clone()),
            ("compressionType", self.compression.name().to_owned()),
            ("typeOfData", "file".to_owned()),
        ]);
        if let Some(csv) = &self.csv {
            all.extend(parameters([
                ("areColumnsQuoted", csv.quote.is_some().to_string()),
                ("columnsOrdered", "true".to_owned()),
                ("delimiter", char::from(csv.delimiter).to_string()),
            ]));
            if csv.header {
                all.insert("skip.header.line.count".into(), "1".into());
            }
        }
        all
    }

    /// The descriptor for these columns (those of all of the table's objects together), without a location.
    pub fn storage(&self, columns: &[Column]) -> StorageDescriptor {
        let (input, output) = match self.classification.as_str() {
            "parquet" => (
                "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
                "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
            ),
            "avro" => (
                "org.apache.hadoop.hive.ql.io.avro.AvroContainerInputFormat",
                "org.apache.hadoop.hive.ql.io.avro.AvroContainerOutputFormat",
            ),
            _ => (TEXT_INPUT, TEXT_OUTPUT),
        };
        StorageDescriptor {
            columns: columns.to_vec(),
            input_format: Some(input.to_owned()),
            output_format: Some(output.to_owned()),
            compressed: self.compression != Compression::None,
            number_of_buckets: -1,
            serde_info: self.serde_info(columns),
            parameters: self.parameters(),
            ..StorageDescriptor::default()
        }
    }

    fn serde_info(&self, columns: &[Column]) -> SerDeInfo {
        let (library, mut parameters) = match self.classification.as_str() {
            "parquet" => (
                "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
                parameters([("serialization.format", "1".to_owned())]),
            ),
            "avro" => (
                "org.apache.hadoop.hive.serde2.avro.AvroSerDe",
                parameters([
                    ("serialization.format", "1".to_owned()),
                    ("avro.schema.literal", self.avro_schema.clone().unwrap_or_default()),
                ]),
            ),
            "json" => {
                let paths: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
                ("org.openx.data.jsonserde.JsonSerDe", parameters([("paths", paths.join(","))]))
            }
            _ => self.csv_serde(),
        };
        if self.csv.as_ref().is_some_and(|csv| csv.names_given) {
            parameters.insert("millpond.match-columns".into(), "position".into());
        }
        if let Some(encoding) = &self.encoding {
            parameters.insert("serialization.encoding".into(), encoding.clone());
        }
        SerDeInfo { name: None, serialization_library: Some(library.to_owned()), parameters }
    }

    /// Glue's crawler always writes LazySimpleSerDe for its built-in classifier, and tells users to change it where fields are in quotes; here
    /// it is changed already. Where no field is in quotes yet, `quote.delim` (ours; other readers pass it over) says that a later file may have some.
    fn csv_serde(&self) -> (&'static str, Parameters) {
        let Some(csv) = &self.csv else { return ("org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", Parameters::new()) };
        let delimiter = char::from(csv.delimiter).to_string();
        let open = match csv.serde.as_deref() {
            Some(serde) if serde.eq_ignore_ascii_case("OpenCSVSerDe") => true,
            Some(serde) if serde.eq_ignore_ascii_case("LazySimpleSerDe") => false,
            _ => csv.quote.is_some(),
        };
        if !open {
            let mut all = parameters([("field.delim", delimiter)]);
            if csv.serde.is_none() {
                all.insert("quote.delim".into(), "\"".into());
            }
            return ("org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", all);
        }
        let quote = char::from(csv.quote.unwrap_or(b'"')).to_string();
        let all = parameters([("separatorChar", delimiter), ("quoteChar", quote), ("escapeChar", "\\".to_owned())]);
        ("org.apache.hadoop.hive.serde2.OpenCSVSerde", all)
    }
}
