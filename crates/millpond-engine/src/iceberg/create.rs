//! New tables.

use super::commit::Prepared;
use super::schema::{iceberg_type, iceberg_type_of};
use super::{invalid, named};
use crate::query::QueryError;
use crate::types::HiveType;
use arrow::datatypes::DataType;
use iceberg::TableCreation;
use iceberg::spec::{
    FormatVersion, NestedField, NestedFieldRef, Schema, TableMetadata, TableMetadataBuilder, Transform, Type,
    UnboundPartitionField, UnboundPartitionSpec,
};
use millpond_core::catalog::{Column, Parameters};
use std::collections::HashMap;

/// A field of a partition specification, as Athena's statements write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionField {
    /// In lower case.
    pub column: String,
    /// `identity`, `year`, `month`, `day`, `hour`, `bucket[16]`, `truncate[3]`.
    pub transform: Transform,
}

impl PartitionField {
    /// Reads `c`, `day(c)`, `bucket(16, c)` or, as `CREATE TABLE AS` has it, `bucket(c, 16)`.
    ///
    /// # Errors
    /// It is none of these.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let wrong = || named("INVALID_TABLE_PROPERTY", format!("Invalid partition field declaration: {}", text.trim()));
        let plain = |name: &str| {
            let name = name.trim().trim_matches(['`', '"']).to_lowercase();
            if name.is_empty() || name.contains(['(', ')', ',']) { Err(wrong()) } else { Ok(name) }
        };
        let Some((function, rest)) = text.trim().split_once('(') else {
            return Ok(Self { column: plain(text)?, transform: Transform::Identity });
        };
        let arguments = rest.trim_end().strip_suffix(')').ok_or_else(wrong)?;
        let mut arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
        let number = arguments.iter().position(|argument| argument.parse::<u32>().is_ok());
        let number = number.map(|index| arguments.remove(index).parse::<u32>()).transpose().map_err(|_| wrong())?;
        let [column] = arguments.as_slice() else { return Err(wrong()) };
        let transform = match (function.trim().to_lowercase().as_str(), number) {
            ("identity", None) => Transform::Identity,
            ("year" | "years", None) => Transform::Year,
            ("month" | "months", None) => Transform::Month,
            ("day" | "days", None) => Transform::Day,
            ("hour" | "hours", None) => Transform::Hour,
            ("bucket", Some(count)) if count > 0 => Transform::Bucket(count),
            ("truncate", Some(width)) if width > 0 => Transform::Truncate(width),
            ("void", None) => Transform::Void,
            _ => return Err(wrong()),
        };
        Ok(Self { column: plain(column)?, transform })
    }

    /// As Athena names the field.
    fn name(&self) -> String {
        let column = &self.column;
        match self.transform {
            Transform::Year => format!("{column}_year"),
            Transform::Month => format!("{column}_month"),
            Transform::Day => format!("{column}_day"),
            Transform::Hour => format!("{column}_hour"),
            Transform::Bucket(_) => format!("{column}_bucket"),
            Transform::Truncate(_) => format!("{column}_trunc"),
            _ => column.clone(),
        }
    }
}

/// The columns of a new table.
#[derive(Debug, Clone, PartialEq)]
pub enum NewColumns {
    /// Of `CREATE TABLE`.
    Catalog(Vec<Column>),
    /// Of a query's result.
    Arrow(Vec<(String, DataType)>),
}

/// A table that is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTable {
    /// `s3://bucket/prefix`
    pub location: String,
    /// In order.
    pub columns: NewColumns,
    /// In order.
    pub partitioning: Vec<PartitionField>,
    /// Athena's properties.
    pub properties: Parameters,
    /// Free text.
    pub comment: Option<String>,
}

/// Athena's table properties (Athena user guide, "Create Iceberg tables") and what Iceberg calls them; without a name of Iceberg's they are
/// kept under their own.
const PROPERTIES: &[(&str, &str)] = &[
    ("format", "write.format.default"),
    ("write_compression", "write.parquet.compression-codec"),
    ("compression_level", "write.parquet.compression-level"),
    ("write_target_data_file_size_bytes", "write.target-file-size-bytes"),
    ("optimize_rewrite_min_data_file_size_bytes", ""),
    ("optimize_rewrite_max_data_file_size_bytes", ""),
    ("optimize_rewrite_data_file_threshold", ""),
    ("optimize_rewrite_delete_file_threshold", ""),
    ("vacuum_min_snapshots_to_keep", ""),
    ("vacuum_max_snapshot_age_seconds", ""),
    ("vacuum_max_metadata_files_to_keep", ""),
    ("write_data_path_enabled", ""),
];

/// What Iceberg calls a property of Athena's.
fn iceberg_key(key: &str) -> Option<&'static str> {
    let (own, theirs) = PROPERTIES.iter().find(|(own, _)| *own == key)?;
    Some(if theirs.is_empty() { own } else { theirs })
}

/// Athena's properties as a table's own.
///
/// # Errors
/// A key or value that Athena does not know.
pub fn table_properties(given: &Parameters) -> Result<HashMap<String, String>, QueryError> {
    let mut properties = HashMap::new();
    for (key, value) in given {
        let key = key.to_lowercase();
        if key == super::TABLE_TYPE {
            continue;
        }
        let Some(name) = iceberg_key(&key) else {
            return Err(QueryError::NotSupported(format!("Unsupported table property key: {key}")));
        };
        let wrong = || QueryError::NotSupported(format!("Unsupported value for table property {key}: {value}"));
        let value = match key.as_str() {
            "format" | "write_compression" => value.to_lowercase(),
            "write_data_path_enabled" => value.to_lowercase().parse::<bool>().map_err(|_| wrong())?.to_string(),
            _ => value.trim().parse::<u64>().map_err(|_| wrong())?.to_string(),
        };
        let known = match key.as_str() {
            "format" => value == "parquet",
            "write_compression" => ["zstd", "snappy", "gzip", "lz4", "none", "uncompressed"].contains(&value.as_str()),
            "optimize_rewrite_data_file_threshold" | "optimize_rewrite_delete_file_threshold" => {
                value.parse::<u64>().is_ok_and(|count| count < 50)
            }
            _ => true,
        };
        if !known {
            return Err(wrong());
        }
        properties.insert(name.to_owned(), value);
    }
    Ok(properties)
}

/// A table's properties as Athena shows them: those that it knows, by its names.
pub fn athena_properties(metadata: &TableMetadata) -> Vec<(String, String)> {
    let own = metadata.properties();
    let shown = PROPERTIES.iter().filter_map(|(key, _)| {
        let value = own.get(iceberg_key(key)?)?;
        Some(((*key).to_owned(), value.clone()))
    });
    std::iter::once((super::TABLE_TYPE.to_owned(), "iceberg".to_owned())).chain(shown).collect()
}

/// Says in the catalog what Athena shows of a table's properties.
pub(super) fn describe(metadata: &TableMetadata, parameters: &mut Parameters) {
    for (key, _) in PROPERTIES {
        parameters.remove(*key);
    }
    let shown = athena_properties(metadata).into_iter().filter(|(key, _)| key != super::TABLE_TYPE);
    parameters.extend(shown);
}

/// The first version of a new table.
///
/// # Errors
/// What Athena says of columns, partitions and properties that cannot be.
pub fn create(new: &NewTable) -> Result<Prepared, QueryError> {
    let mut next_id = 0;
    let mut fields: Vec<NestedFieldRef> = Vec::new();
    let mut add = |name: &str, of: Type, doc: Option<&String>, id: i32| {
        let mut field = NestedField::optional(id, name, of);
        field.doc = doc.cloned();
        fields.push(field.into());
    };
    match &new.columns {
        NewColumns::Catalog(columns) => {
            for column in columns {
                let hive = HiveType::parse(&column.data_type).map_err(|error| QueryError::NotSupported(error.to_string()))?;
                if let Some(missing) = not_of_iceberg(&hive) {
                    return Err(QueryError::NotSupported(format!("Type not supported for Iceberg: {missing}")));
                }
                next_id += 1;
                let id = next_id;
                add(&column.name, iceberg_type(&hive, &mut next_id), column.comment.as_ref(), id);
            }
        }
        NewColumns::Arrow(columns) => {
            for (name, data_type) in columns {
                next_id += 1;
                let id = next_id;
                add(name, iceberg_type_of(data_type, &mut next_id)?, None, id);
            }
        }
    }
    if fields.is_empty() {
        return Err(named("SYNTAX_ERROR", "At least one column is required for Iceberg create table statement"));
    }
    let schema = Schema::builder().with_fields(fields).build().map_err(invalid)?;
    let spec = partition_spec(&schema, &new.partitioning)?;
    let mut properties = table_properties(&new.properties)?;
    properties.entry("write.parquet.compression-codec".into()).or_insert_with(|| "zstd".into());
    if let Some(comment) = &new.comment {
        properties.insert("comment".into(), comment.clone());
    }
    let creation = TableCreation::builder()
        .name(String::new())
        .location(new.location.trim_end_matches('/').to_owned())
        .schema(schema)
        .partition_spec(spec)
        .properties(properties)
        .format_version(FormatVersion::V2)
        .build();
    let built = TableMetadataBuilder::from_table_creation(creation).and_then(|builder| builder.build()).map_err(invalid)?;
    Prepared::new(None, built.metadata, Vec::new())
}

/// What of a type Iceberg does not have (Athena user guide, "Supported data types for Iceberg tables in Athena").
fn not_of_iceberg(hive: &HiveType) -> Option<&HiveType> {
    match hive {
        HiveType::TinyInt | HiveType::SmallInt | HiveType::Char(_) => Some(hive),
        HiveType::Array(item) => not_of_iceberg(item),
        HiveType::Map(key, value) => not_of_iceberg(key).or_else(|| not_of_iceberg(value)),
        HiveType::Struct(fields) => fields.iter().find_map(|(_, field)| not_of_iceberg(field)),
        _ => None,
    }
}

fn partition_spec(schema: &Schema, partitioning: &[PartitionField]) -> Result<UnboundPartitionSpec, QueryError> {
    let mut spec = UnboundPartitionSpec::builder();
    for field in partitioning {
        let source = schema
            .field_by_name_case_insensitive(&field.column)
            .ok_or_else(|| named("COLUMN_NOT_FOUND", format!("line 1:1: Column '{}' cannot be resolved", field.column)))?;
        field.transform.result_type(&source.field_type).map_err(|_| {
            let message =
                format!("the column {} of type {} cannot be partitioned by {}", source.name, source.field_type, field.transform);
            QueryError::NotSupported(message)
        })?;
        let unbound =
            UnboundPartitionField { source_id: source.id, field_id: None, name: field.name(), transform: field.transform };
        spec = spec.add_partition_fields([unbound]).map_err(invalid)?;
    }
    Ok(spec.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_fields_are_read_in_both_orders() {
        let check = |text: &str, column: &str, transform: Transform, name: &str| {
            let field = PartitionField::parse(text).unwrap();
            assert_eq!((field.column.as_str(), field.transform, field.name().as_str()), (column, transform, name), "{text}");
        };
        check("c", "c", Transform::Identity, "c");
        check("`C`", "c", Transform::Identity, "c");
        check("bucket(16, id)", "id", Transform::Bucket(16), "id_bucket");
        check("bucket(id, 16)", "id", Transform::Bucket(16), "id_bucket");
        check("truncate(3, `s`)", "s", Transform::Truncate(3), "s_trunc");
        check("day(ts)", "ts", Transform::Day, "ts_day");
        for wrong in ["", "bucket(id)", "day(ts, 3)", "bucket(0, id)", "hash(c)", "day(", "day(a, b)"] {
            assert!(PartitionField::parse(wrong).is_err(), "{wrong}");
        }
    }
}
