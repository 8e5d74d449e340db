//! What is shown of Iceberg tables. Names and types are not filled up with blanks, as Hive's are.

use super::{TextResult, properties, text};
use crate::iceberg::{self, metadata, schema};
use crate::query::QueryError;
use crate::result::ResultColumn;
use crate::sql::token::quote_identifier;
use crate::table::TableSource;
use ::iceberg::spec::{PrimitiveType, Transform, Type};
use millpond_core::catalog::{Column, Table};

/// A table's current columns and partition fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    columns: Vec<Column>,
    /// Their names, transforms and source columns.
    partitions: Vec<(String, Transform, String)>,
    /// A column of a type that Hive has no word for.
    unsupported: bool,
}

/// Properties that Athena shows and sets (Athena User Guide, "CREATE TABLE" of Iceberg tables).
const SHOWN: &[&str] = &[
    "format",
    "write_compression",
    "compression_level",
    "write_target_data_file_size_bytes",
    "write_data_path_enabled",
    "optimize_rewrite_min_data_file_size_bytes",
    "optimize_rewrite_max_data_file_size_bytes",
    "optimize_rewrite_data_file_threshold",
    "optimize_rewrite_delete_file_threshold",
    "vacuum_min_snapshots_to_keep",
    "vacuum_max_snapshot_age_seconds",
    "vacuum_max_metadata_files_to_keep",
];

/// Reads a table's metadata.
///
/// # Errors
/// They are missing or broken.
pub async fn iceberg_shape(source: &dyn TableSource, table: &Table) -> Result<Shape, QueryError> {
    let location = iceberg::metadata_location(table)?.to_owned();
    let found = iceberg::look(source, move |objects| metadata::load(objects, &location)).await?;
    let current = found.current_schema();
    let spec = found.default_partition_spec();
    let field = |id: i32| current.field_by_id(id).map(|field| field.name.clone()).unwrap_or_default();
    Ok(Shape {
        columns: schema::catalog_columns(&found).into_iter().filter(schema::is_current).collect(),
        partitions: spec.fields().iter().map(|part| (part.name.clone(), part.transform, field(part.source_id))).collect(),
        unsupported: current
            .as_struct()
            .fields()
            .iter()
            .any(|field| matches!(field.field_type.as_ref(), Type::Primitive(PrimitiveType::Time | PrimitiveType::Uuid))),
    })
}

/// `DESCRIBE`
///
/// # Errors
/// A column is of a type that is not shown.
pub fn describe_iceberg(shape: &Shape) -> Result<TextResult, QueryError> {
    if shape.unsupported {
        return Err(QueryError::Table { name: "NOT_SUPPORTED", message: "Table has unsupported column types".into() });
    }
    let column = |column: &Column| {
        let comment = column.comment.as_deref().unwrap_or_default();
        format!("{}\t{}\t{}", column.name, spaced(&column.data_type), comment.split(['\t', '\n']).next().unwrap_or_default())
    };
    let mut lines = vec!["# Table schema:\t\t".to_owned(), "# col_name\tdata_type\tcomment".to_owned()];
    lines.extend(shape.columns.iter().map(column));
    lines.extend(["\t\t", "# Partition spec:\t\t", "# field_name\tfield_transform\tcolumn_name"].map(str::to_owned));
    lines.extend(shape.partitions.iter().map(|(name, transform, source)| format!("{name}\t{transform}\t{source}")));
    let columns = ["col_name", "data_type", "comment"].map(ResultColumn::text);
    Ok(TextResult { columns: columns.to_vec(), lines })
}

/// A type with a blank behind each comma and colon: `struct<a: int, b: decimal(10, 2)>`.
fn spaced(data_type: &str) -> String {
    data_type.replace(',', ", ").replace(':', ": ")
}

/// `SHOW CREATE TABLE`
pub fn show_create_iceberg(table: &Table, shape: &Shape) -> TextResult {
    let mut lines = vec![format!("CREATE TABLE {}.{} (", table.database, table.name)];
    for (index, column) in shape.columns.iter().enumerate() {
        let end = if index + 1 == shape.columns.len() { ")" } else { "," };
        let comment = column.comment.as_ref().map(|comment| format!(" COMMENT {}", text(comment))).unwrap_or_default();
        lines.push(format!("  {} {}{comment}{end}", column.name, column.data_type));
    }
    if !shape.partitions.is_empty() {
        let parts: Vec<String> = shape.partitions.iter().map(|(_, transform, source)| partition(*transform, source)).collect();
        lines.push(format!("PARTITIONED BY ({})", parts.join(", ")));
    }
    lines.push(format!("LOCATION {}", text(table.storage.location.as_deref().unwrap_or_default())));
    lines.push("TBLPROPERTIES (".to_owned());
    let shown = table.parameters.iter().filter(|(name, _)| SHOWN.contains(&name.as_str()));
    let mut properties: Vec<String> = vec!["  'table_type'='iceberg'".to_owned()];
    properties.extend(shown.map(|(name, value)| format!("  {}={}", text(name), text(value))));
    let last = properties.len() - 1;
    lines.extend(properties.into_iter().enumerate().map(|(index, line)| if index == last { line } else { format!("{line},") }));
    lines.push(");".to_owned());
    TextResult::new("createtab_stmt", lines)
}

/// A partition field as it is written in a statement.
fn partition(transform: Transform, source: &str) -> String {
    let source = quote_identifier(source);
    match transform {
        Transform::Identity => source,
        Transform::Bucket(count) => format!("bucket({count}, {source})"),
        Transform::Truncate(width) => format!("truncate({width}, {source})"),
        other => format!("{other}({source})"),
    }
}

/// `SHOW TBLPROPERTIES`: those that may be set.
pub fn iceberg_table_properties(table: &Table, property: Option<&str>) -> TextResult {
    properties(table, property, |name| name == iceberg::TABLE_TYPE || SHOWN.contains(&name))
}
