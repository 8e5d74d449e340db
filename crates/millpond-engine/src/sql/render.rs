//! The answers of `SHOW` and `DESCRIBE` as text, in the form in which Athena (that is, Hive) gives them.
//!
//! Each line is a row of the result and a line of its `.txt` object; what looks like columns within a line is separated by tabs and filled up to
//! twenty characters, which clients take apart again.

use super::token::quote_identifier;
use crate::query::view;
use crate::result::ResultColumn;
use millpond_core::catalog::{Column, Parameters, Partition, StorageDescriptor, Table};
use millpond_core::env::iso8601;

/// A statement's answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextResult {
    /// What `GetQueryResults` says of the columns.
    pub columns: Vec<ResultColumn>,
    /// One row each.
    pub lines: Vec<String>,
}

impl TextResult {
    /// Lines of one text column.
    pub fn new(column: &str, lines: Vec<String>) -> Self {
        Self { columns: vec![ResultColumn::text(column)], lines }
    }

    /// The content of the result object.
    pub fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

/// `SHOW DATABASES`
pub fn databases(names: Vec<String>) -> TextResult {
    TextResult::new("database_name", names)
}

/// `SHOW TABLES`
pub fn tables(names: Vec<String>) -> TextResult {
    TextResult::new("tab_name", names)
}

/// `SHOW VIEWS`
pub fn views(names: Vec<String>) -> TextResult {
    TextResult::new("views", names)
}

/// `SHOW COLUMNS`: partition keys last.
pub fn columns(table: &Table) -> TextResult {
    let all = table.storage.columns.iter().chain(&table.partition_keys);
    TextResult::new("field", all.map(|column| padded(&column.name)).collect())
}

/// `SHOW PARTITIONS`: `key=value/key=value`, values escaped as in paths.
pub fn partitions<'a>(table: &Table, values: impl IntoIterator<Item = &'a [String]>) -> TextResult {
    let keys = &table.partition_keys;
    let line = |values: &[String]| {
        keys.iter().zip(values).map(|(key, value)| format!("{}={}", key.name, escape_path(value))).collect::<Vec<_>>()
    };
    TextResult::new("partition", values.into_iter().map(|values| line(values).join("/")).collect())
}

/// Hive's escaping of a partition value in a path: `%` and two hex digits for what has a meaning there.
pub fn escape_path(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        let special = character.is_ascii_control() || "\"#%'*/:=?\\{[]^".contains(character);
        if special {
            out.push_str(&format!("%{:02X}", u32::from(character)));
        } else {
            out.push(character);
        }
    }
    out
}

/// `SHOW TBLPROPERTIES table [('name')]`
pub fn table_properties(table: &Table, property: Option<&str>) -> TextResult {
    let columns = vec![ResultColumn::text("prpt_name"), ResultColumn::text("prpt_value")];
    let lines = match property {
        None => table.parameters.iter().map(|(key, value)| format!("{key}\t{value}")).collect(),
        Some(name) => match table.parameters.get(name) {
            Some(value) => vec![value.clone()],
            None => vec![format!("Table {}.{} does not have property: {name}", table.database, table.name)],
        },
    };
    TextResult { columns, lines }
}

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

/// `DESCRIBE FORMATTED table [PARTITION (…)]`
pub fn describe_formatted(table: &Table, partition: Option<&Partition>) -> TextResult {
    let mut lines = vec![HEADING.to_owned(), BLANK.to_owned()];
    lines.extend(table.storage.columns.iter().map(column_line));
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
        "Table(tableName:{}, dbName:{}, owner:{}, createTime:{}, retention:{}, sd:StorageDescriptor(cols:[{}], location:{}, \
         inputFormat:{}, outputFormat:{}, compressed:{}, numBuckets:{}, serdeInfo:SerDeInfo(name:{}, serializationLib:{}, \
         parameters:{{{}}}), parameters:{{{}}}), partitionKeys:[{}], parameters:{{{}}}, viewOriginalText:{}, viewExpandedText:{}, tableType:{})",
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

fn padded(text: &str) -> String {
    format!("{text:<20}")
}

fn column_line(column: &Column) -> String {
    format!("{:<20}\t{:<20}\t{:<20}", column.name, column.data_type, column.comment.as_deref().unwrap_or_default())
}

fn partition_section(table: &Table, lines: &mut Vec<String>) {
    if table.partition_keys.is_empty() {
        return;
    }
    lines.extend([BLANK.to_owned(), "# Partition Information\t \t ".to_owned(), HEADING.to_owned(), BLANK.to_owned()]);
    lines.extend(table.partition_keys.iter().map(column_line));
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
    lines.push(pair("CreateTime:", &iso8601(table.created_ms, false)));
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
    lines.push(pair("CreateTime:", &iso8601(partition.created_ms, false)));
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
    let buckets = storage.kept.get("BucketColumns").map_or_else(|| "[]".to_owned(), ToString::to_string);
    lines.push(pair("Bucket Columns:", &buckets.replace('"', "").replace(',', ", ")));
    lines.push(pair("Sort Columns:", "[]"));
    lines.push("Storage Desc Params:\t \t ".to_owned());
    parameters(&storage.serde_info.parameters, lines);
}

/// `SHOW CREATE VIEW`
///
/// # Errors
/// The view's text is broken.
pub fn show_create_view(table: &Table) -> Result<TextResult, view::ViewError> {
    let text = view::read(table)?;
    let mut lines = vec![format!("CREATE VIEW {}.{} AS ", table.database, table.name)];
    lines.extend(text.sql.lines().map(str::to_owned));
    Ok(TextResult::new("Create View", lines))
}

/// `SHOW CREATE TABLE`: a statement that would make the table again.
pub fn show_create_table(table: &Table) -> TextResult {
    let mut out = format!("CREATE EXTERNAL TABLE `{}.{}`(\n", table.database, table.name);
    column_list(&table.storage.columns, &mut out);
    if let Some(comment) = table.parameters.get("comment") {
        out.push_str(&format!("COMMENT {}\n", text(comment)));
    }
    if !table.partition_keys.is_empty() {
        out.push_str("PARTITIONED BY ( \n");
        column_list(&table.partition_keys, &mut out);
    }
    row_format(&table.storage, &mut out);
    let class = |class: &Option<String>| text(class.as_deref().unwrap_or_default());
    out.push_str(&format!("STORED AS INPUTFORMAT \n  {} \n", class(&table.storage.input_format)));
    out.push_str(&format!("OUTPUTFORMAT \n  {}\n", class(&table.storage.output_format)));
    out.push_str(&format!("LOCATION\n  {}\n", class(&table.storage.location)));
    let hidden = ["EXTERNAL", "comment"];
    let shown: Vec<(&String, &String)> = table.parameters.iter().filter(|(key, _)| !hidden.contains(&key.as_str())).collect();
    out.push_str("TBLPROPERTIES (\n");
    property_list(&shown, &mut out);
    out.push(')');
    TextResult::new("createtab_stmt", out.lines().map(str::to_owned).collect())
}

/// The lines of a list of columns, with the closing parenthesis.
fn column_list(columns: &[Column], out: &mut String) {
    for (index, column) in columns.iter().enumerate() {
        let end = if index + 1 == columns.len() { ")" } else { ", " };
        let comment = column.comment.as_ref().map(|comment| format!(" COMMENT {}", text(comment))).unwrap_or_default();
        out.push_str(&format!("  {} {}{comment}{end}\n", quote_identifier(&column.name), column.data_type));
    }
    if columns.is_empty() {
        out.push_str(")\n");
    }
}

/// Hive's short form for delimited text where it says all, else the class.
fn row_format(storage: &StorageDescriptor, out: &mut String) {
    let library = storage.serde_info.serialization_library.as_deref().unwrap_or_default();
    let parameters = &storage.serde_info.parameters;
    let delimiters = [
        ("field.delim", "FIELDS TERMINATED BY"),
        ("escape.delim", "ESCAPED BY"),
        ("colelction.delim", "COLLECTION ITEMS TERMINATED BY"),
        ("mapkey.delim", "MAP KEYS TERMINATED BY"),
        ("line.delim", "LINES TERMINATED BY"),
        ("serialization.null.format", "NULL DEFINED AS"),
    ];
    let delimited = parameters.contains_key("field.delim")
        && parameters.keys().all(|key| key == "serialization.format" || delimiters.iter().any(|(known, _)| known == key));
    if library.ends_with(".LazySimpleSerDe") && delimited {
        out.push_str("ROW FORMAT DELIMITED \n");
        for (key, words) in delimiters {
            if let Some(value) = parameters.get(key) {
                out.push_str(&format!("  {words} {} \n", text(value)));
            }
        }
        return;
    }
    out.push_str(&format!("ROW FORMAT SERDE \n  {} \n", text(library)));
    let shown: Vec<(&String, &String)> =
        parameters.iter().filter(|(key, value)| !(key.as_str() == "serialization.format" && value.as_str() == "1")).collect();
    if !shown.is_empty() {
        out.push_str("WITH SERDEPROPERTIES ( \n");
        property_list(&shown, out);
        out.push_str(") \n");
    }
}

fn property_list(properties: &[(&String, &String)], out: &mut String) {
    let lines: Vec<String> = properties.iter().map(|(key, value)| format!("  {}={}", text(key), text(value))).collect();
    out.push_str(&lines.join(", \n"));
}

/// A text in single quotes, as Hive reads it.
fn text(value: &str) -> String {
    let mut out = String::from("'");
    for character in value.chars() {
        match character {
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}
