//! Changes of the catalog that a script asks for (`enableUpdateCatalog`): kept with the run, made at its end.

use super::source::NamedType;
use crate::glue::GlueError;
use crate::lake::catalog::{self, Archive};
use crate::lake::objects::split_uri;
use millpond_core::arn::Place;
use millpond_core::catalog::{Column, Parameters, Partition, SerDeInfo, StorageDescriptor, Table};
use millpond_store::Tx;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// What becomes of a table that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Behavior {
    /// It gets the columns of what was written.
    #[default]
    #[serde(rename = "UPDATE_IN_DATABASE")]
    Update,
    /// It stays as it is; new partitions are added.
    #[serde(rename = "LOG")]
    Log,
}

/// Where a partition was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct WrittenPartition {
    /// In the order of the keys.
    pub values: Vec<String>,
    /// `s3://bucket/folder/`
    pub location: String,
}

/// `UpdateTable` of the run API.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TableChange {
    /// Must exist.
    pub database: String,
    /// Must exist, unless `create`.
    pub table: String,
    /// Without the partition keys.
    pub columns: Vec<NamedType>,
    /// In order.
    pub partition_keys: Vec<NamedType>,
    /// Those that were written to.
    pub partitions: Vec<WrittenPartition>,
    /// Of a new table.
    pub location: Option<String>,
    /// Of a new table: `parquet`, `orc`, `avro`, `csv` or `json`.
    pub format: Option<String>,
    /// Of a new table.
    pub serde_parameters: Parameters,
    /// What becomes of a table that there is.
    pub behavior: Behavior,
    /// Whether it is made where there is none.
    pub create: bool,
}

fn invalid(message: impl Into<String>) -> GlueError {
    GlueError::InvalidInput(message.into())
}

fn columns(given: &[NamedType], known: &[Column]) -> Vec<Column> {
    let column = |given: &NamedType| {
        let name = given.name.to_lowercase();
        let known = known.iter().find(|column| column.name == name).cloned().unwrap_or_default();
        Column { name, data_type: given.r#type.clone(), ..known }
    };
    given.iter().map(column).collect()
}

fn parameters(pairs: &[(&str, &str)]) -> Parameters {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Input format, output format, serde and its parameters, as Glue writes them for what its jobs write.
fn classes(format: &str) -> Option<(&'static str, &'static str, &'static str, Parameters)> {
    const TEXT_IN: &str = "org.apache.hadoop.mapred.TextInputFormat";
    const TEXT_OUT: &str = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat";
    Some(match format {
        "parquet" | "glueparquet" => (
            "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
            "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
            "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
            parameters(&[("serialization.format", "1")]),
        ),
        "orc" => (
            "org.apache.hadoop.hive.ql.io.orc.OrcInputFormat",
            "org.apache.hadoop.hive.ql.io.orc.OrcOutputFormat",
            "org.apache.hadoop.hive.ql.io.orc.OrcSerde",
            parameters(&[("serialization.format", "1")]),
        ),
        "avro" => (
            "org.apache.hadoop.hive.ql.io.avro.AvroContainerInputFormat",
            "org.apache.hadoop.hive.ql.io.avro.AvroContainerOutputFormat",
            "org.apache.hadoop.hive.serde2.avro.AvroSerDe",
            parameters(&[("serialization.format", "1")]),
        ),
        "csv" => (
            TEXT_IN,
            TEXT_OUT,
            "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
            parameters(&[("field.delim", ","), ("quote.delim", "\"")]),
        ),
        "json" => (TEXT_IN, TEXT_OUT, "org.openx.data.jsonserde.JsonSerDe", parameters(&[("serialization.format", "1")])),
        _ => return None,
    })
}

impl TableChange {
    fn name(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }

    /// Folds names, and checks what can be told before the run's end.
    pub(super) fn checked(mut self, connection: &Connection) -> Result<Self, GlueError> {
        self.database = catalog::fold_name("database", &self.database)?;
        self.table = catalog::fold_name("table", &self.table)?;
        if catalog::database(connection, &self.database)?.is_none() {
            return Err(GlueError::EntityNotFound(format!("Entity Not Found: the database {} does not exist", self.database)));
        }
        let existing = catalog::table(connection, &self.database, &self.table)?;
        match &existing {
            Some(table) => self.check_keys(table)?,
            None if !self.create => {
                return Err(GlueError::EntityNotFound(format!("Entity Not Found: the table {} does not exist", self.name())));
            }
            None => {
                let format = self.format.as_deref().unwrap_or("parquet");
                if classes(format).is_none() {
                    return Err(invalid(format!(
                        "A table of the format '{format}' cannot be made: use parquet, orc, avro, csv or json."
                    )));
                }
                let location = self.location.as_deref().unwrap_or_default();
                if split_uri(location).is_none() {
                    return Err(invalid(format!("The table {} needs a location in S3, and has '{location}'.", self.name())));
                }
            }
        }
        match self.partitions.iter().find(|partition| partition.values.len() != self.partition_keys.len()) {
            Some(wrong) => Err(invalid(format!(
                "The partition {:?} of the table {} must have {} values.",
                wrong.values,
                self.name(),
                self.partition_keys.len()
            ))),
            None => Ok(self),
        }
    }

    fn check_keys(&self, table: &Table) -> Result<(), GlueError> {
        let theirs: Vec<&str> = table.partition_keys.iter().map(|key| key.name.as_str()).collect();
        let ours: Vec<String> = self.partition_keys.iter().map(|key| key.name.to_lowercase()).collect();
        match theirs == ours {
            true => Ok(()),
            false => Err(invalid(format!(
                "The table {} is partitioned by ({}), and what was written by ({}): drop the table, or write with its keys.",
                self.name(),
                theirs.join(", "),
                ours.join(", ")
            ))),
        }
    }

    fn new_table(&self, job: &str, run: &str) -> Table {
        let format = self.format.as_deref().unwrap_or("parquet");
        let (input, output, serde, mut serde_parameters) = classes(format).unwrap_or_default();
        serde_parameters.extend(self.serde_parameters.clone());
        let mut own = parameters(&[
            ("EXTERNAL", "TRUE"),
            ("classification", if format == "glueparquet" { "parquet" } else { format }),
            ("typeOfData", "file"),
            ("CreatedByJob", job),
            ("CreatedByJobRun", run),
        ]);
        if let Some(lines) = serde_parameters.remove("skip.header.line.count") {
            own.insert("skip.header.line.count".into(), lines);
        }
        let location = self.location.as_deref().unwrap_or_default();
        Table {
            database: self.database.clone(),
            name: self.table.clone(),
            storage: StorageDescriptor {
                columns: columns(&self.columns, &[]),
                location: Some(format!("{}/", location.trim_end_matches('/'))),
                input_format: Some(input.into()),
                output_format: Some(output.into()),
                number_of_buckets: -1,
                serde_info: SerDeInfo { name: None, serialization_library: Some(serde.into()), parameters: serde_parameters },
                ..StorageDescriptor::default()
            },
            partition_keys: columns(&self.partition_keys, &[]),
            table_type: Some("EXTERNAL_TABLE".into()),
            parameters: own,
            ..Table::default()
        }
    }

    /// Makes the change; answers how many partitions are new.
    pub(super) fn apply(&self, tx: &Tx<'_>, place: &Place, job: &str, run: &str) -> Result<u64, GlueError> {
        let table = match catalog::table(tx, &self.database, &self.table)? {
            Some(mut table) => {
                self.check_keys(&table)?;
                let wanted = columns(&self.columns, &table.storage.columns);
                if self.behavior == Behavior::Update && !wanted.is_empty() && wanted != table.storage.columns {
                    table.storage.columns = wanted;
                    table = catalog::put_table(tx, place, table, Archive::Keep)?.0;
                }
                table
            }
            None if self.create => catalog::put_table(tx, place, self.new_table(job, run), Archive::Keep)?.0,
            None => {
                return Err(GlueError::EntityNotFound(format!(
                    "the table {} was deleted while the run was under way",
                    self.name()
                )));
            }
        };
        if self.partitions.is_empty() {
            return Ok(0);
        }
        let partition = |written: &WrittenPartition| Partition {
            values: written.values.clone(),
            storage: StorageDescriptor {
                location: Some(format!("{}/", written.location.trim_end_matches('/'))),
                ..table.storage.clone()
            },
            created_ms: tx.now_ms(),
            ..Partition::default()
        };
        let partitions: Vec<Partition> = self.partitions.iter().map(partition).collect();
        let put = catalog::put_partitions(tx, place, &table.database, &table.name, &partitions)?;
        Ok(put.created as u64)
    }
}
