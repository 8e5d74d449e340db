//! `DESCRIBE` of tables and views.

use super::{TextResult, padded, varchar};
use crate::query::view;
use crate::result::ResultColumn;
use millpond_core::catalog::{Column, Parameters, Partition, StorageDescriptor, Table};

/// `DESCRIBE table`, or of one partition or column of it.
pub fn describe(table: &Table, column: Option<&str>) -> TextResult {
    let mut lines = Vec::new();
    if let Some(name) = column {
        let all = table.storage.columns.iter().chain(&table.partition_keys);
        lines.extend(all.filter(|column| column.name.eq_ignore_ascii_case(name)).map(column_line));
        return described(lines);
    }
    lines.extend(table.storage.columns.iter().chain(&table.partition_keys).map(column_line));
    partition_section(table, &mut lines);
    described(lines)
}

/// `DESCRIBE` and `SHOW COLUMNS` of a view: names and Trino's types.
pub fn describe_view(table: &Table) -> TextResult {
    let known = view::read(table).map(|text| text.columns).unwrap_or_default();
    let lines = if known.is_empty() {
        table.storage.columns.iter().map(|column| format!("{}\t{}", column.name, column.data_type)).collect()
    } else {
        known.iter().map(|column| format!("{}\t{}", column.name, column.data_type)).collect()
    };
    TextResult { columns: vec![varchar("column"), varchar("type")], lines }
}

/// `DESCRIBE FORMATTED table [PARTITION (…)]`
pub fn describe_formatted(table: &Table, partition: Option<&Partition>) -> TextResult {
    let mut lines: Vec<String> = table.storage.columns.iter().chain(&table.partition_keys).map(column_line).collect();
    partition_section(table, &mut lines);
    lines.push(BLANK.to_owned());
    match partition {
        Some(partition) => partition_details(table, partition, &mut lines),
        None => table_details(table, &mut lines),
    }
    lines.push(BLANK.to_owned());
    storage_details(partition.map_or(&table.storage, |partition| &partition.storage), &mut lines);
    described(lines)
}

/// `DESCRIBE EXTENDED table`: the columns, and everything else in one line.
pub fn describe_extended(table: &Table) -> TextResult {
    let mut result = describe(table, None);
    let columns = |columns: &[Column]| {
        let one = |c: &Column| {
            format!("FieldSchema(name:{}, type:{}, comment:{})", c.name, c.data_type, c.comment.as_deref().unwrap_or("null"))
        };
        columns.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let map = |map: &Parameters| map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ");
    let storage = &table.storage;
    let or_null = |text: &Option<String>| text.clone().unwrap_or_else(|| "null".into());
    let all = format!(
        "Table(tableName:{}, dbName:{}, owner:{}, createTime:{}, lastAccessTime:0, retention:{}, sd:StorageDescriptor(cols:[{}], location:{}, \
         inputFormat:{}, outputFormat:{}, compressed:{}, numBuckets:{}, serdeInfo:SerDeInfo(name:{}, serializationLib:{}, \
         parameters:{{{}}}), bucketCols:[{}], sortCols:[], parameters:{{{}}}, skewedInfo:SkewedInfo(skewedColNames:[], skewedColValues:[], \
         skewedColValueLocationMaps:{{}}), storedAsSubDirectories:false), partitionKeys:[{}], parameters:{{{}}}, viewOriginalText:{}, \
         viewExpandedText:{}, tableType:{})",
        table.name,
        table.database,
        or_null(&table.owner),
        table.created_ms / 1000,
        table.retention,
        columns(&storage.columns),
        or_null(&storage.location),
        or_null(&storage.input_format),
        or_null(&storage.output_format),
        storage.compressed,
        storage.number_of_buckets,
        or_null(&storage.serde_info.name),
        or_null(&storage.serde_info.serialization_library),
        map(&storage.serde_info.parameters),
        bucket_columns(storage),
        map(&storage.parameters),
        columns(&table.partition_keys),
        map(&table.parameters),
        or_null(&table.view_original_text),
        or_null(&table.view_expanded_text),
        or_null(&table.table_type),
    );
    result.lines.push(BLANK.to_owned());
    result.lines.push(format!("Detailed Table Information\t{all}\t"));
    result
}

const BLANK: &str = "\t \t ";
const HEADING: &str = "# col_name            \tdata_type           \tcomment             ";

fn described(lines: Vec<String>) -> TextResult {
    let columns = ["col_name", "data_type", "comment"].map(ResultColumn::text);
    TextResult { columns: columns.to_vec(), lines }
}

/// Name, type and comment; a tab would end the comment, and so does the line.
fn column_line(column: &Column) -> String {
    let comment = column.comment.as_deref().unwrap_or_default();
    let comment = comment.split(['\t', '\n', '\r']).next().unwrap_or_default();
    format!("{}\t{}\t{}", padded(&column.name), padded(&column.data_type), padded(comment))
}

fn partition_section(table: &Table, lines: &mut Vec<String>) {
    if table.partition_keys.is_empty() {
        return;
    }
    lines.extend([BLANK.to_owned(), "# Partition Information\t \t ".to_owned(), HEADING.to_owned(), BLANK.to_owned()]);
    lines.extend(table.partition_keys.iter().map(column_line));
}

fn bucket_columns(storage: &StorageDescriptor) -> String {
    buckets(storage).join(", ")
}

/// The names of the columns by which rows are put into buckets.
pub(super) fn buckets(storage: &StorageDescriptor) -> Vec<&str> {
    let names = storage.kept.get("BucketColumns").and_then(|names| names.as_array());
    names.into_iter().flatten().filter_map(|name| name.as_str()).collect()
}

/// As Java's `Date` is printed: `Thu Apr 23 02:55:21 UTC 2020`.
fn java_date(epoch_ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(epoch_ms).unwrap_or_default().format("%a %b %d %H:%M:%S UTC %Y").to_string()
}

fn pair(key: &str, value: &str) -> String {
    format!("{key:<20}\t{value:<20}\t ")
}

fn parameters(parameters: &Parameters, lines: &mut Vec<String>) {
    lines.extend(parameters.iter().map(|(key, value)| format!("\t{key:<20}\t{value:<20}")));
}

fn table_details(table: &Table, lines: &mut Vec<String>) {
    lines.push("# Detailed Table Information\t \t ".to_owned());
    lines.push(pair("Database:", &table.database));
    lines.push(pair("Owner:", table.owner.as_deref().unwrap_or_default()));
    lines.push(pair("CreateTime:", &java_date(table.created_ms)));
    lines.push(pair("LastAccessTime:", "UNKNOWN"));
    lines.push(pair("Protect Mode:", "None"));
    lines.push(pair("Retention:", &table.retention.to_string()));
    lines.push(pair("Location:", table.storage.location.as_deref().unwrap_or_default()));
    lines.push(pair("Table Type:", table.table_type.as_deref().unwrap_or_default()));
    lines.push("Table Parameters:\t \t ".to_owned());
    parameters(&table.parameters, lines);
}

fn partition_details(table: &Table, partition: &Partition, lines: &mut Vec<String>) {
    lines.push("# Detailed Partition Information\t \t ".to_owned());
    lines.push(pair("Partition Value:", &format!("[{}]", partition.values.join(", "))));
    lines.push(pair("Database:", &table.database));
    lines.push(pair("Table:", &table.name));
    lines.push(pair("CreateTime:", &java_date(partition.created_ms)));
    lines.push(pair("LastAccessTime:", "UNKNOWN"));
    lines.push(pair("Location:", partition.storage.location.as_deref().unwrap_or_default()));
    lines.push("Partition Parameters:\t \t ".to_owned());
    parameters(&partition.parameters, lines);
}

fn storage_details(storage: &StorageDescriptor, lines: &mut Vec<String>) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    lines.push("# Storage Information\t \t ".to_owned());
    lines.push(pair("SerDe Library:", &text(&storage.serde_info.serialization_library)));
    lines.push(pair("InputFormat:", &text(&storage.input_format)));
    lines.push(pair("OutputFormat:", &text(&storage.output_format)));
    lines.push(pair("Compressed:", if storage.compressed { "Yes" } else { "No" }));
    lines.push(pair("Num Buckets:", &storage.number_of_buckets.to_string()));
    lines.push(pair("Bucket Columns:", &format!("[{}]", bucket_columns(storage))));
    lines.push(pair("Sort Columns:", "[]"));
    lines.push("Storage Desc Params:\t \t ".to_owned());
    parameters(&storage.serde_info.parameters, lines);
}
