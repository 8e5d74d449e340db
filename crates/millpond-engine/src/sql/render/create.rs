//! `SHOW CREATE TABLE` of Hive's tables.

use super::{TextResult, text};
use crate::sql::token::quote_identifier;
use millpond_core::catalog::{Column, StorageDescriptor, Table};

/// `SHOW CREATE TABLE`: a statement that would make the table again.
pub fn show_create_table(table: &Table, is_qualified: bool) -> TextResult {
    let database = if is_qualified { format!("{}.", table.database) } else { String::new() };
    let mut out = format!("CREATE EXTERNAL TABLE `{database}{}`(\n", table.name);
    column_list(&table.storage.columns, &mut out);
    if let Some(comment) = table.parameters.get("comment") {
        out.push_str(&format!("COMMENT {}\n", text(comment)));
    }
    if !table.partition_keys.is_empty() {
        out.push_str("PARTITIONED BY ( \n");
        column_list(&table.partition_keys, &mut out);
    }
    let buckets = super::describe::buckets(&table.storage);
    if !buckets.is_empty() && table.storage.number_of_buckets > 0 {
        let names = buckets.iter().map(|name| format!("  {name}")).collect::<Vec<_>>().join(", \n");
        out.push_str(&format!("CLUSTERED BY ( \n{names}) \nINTO {} BUCKETS\n", table.storage.number_of_buckets));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_shown() {
        let mut table = Table { database: "d".into(), name: "t".into(), ..Table::default() };
        table.storage.number_of_buckets = 4;
        table.storage.kept.insert("BucketColumns".into(), serde_json::json!(["a", "b"]));
        let lines = show_create_table(&table, true).lines;
        let start = lines.iter().position(|line| line.starts_with("CLUSTERED")).unwrap();
        assert_eq!(lines[start..start + 4], ["CLUSTERED BY ( ", "  a, ", "  b) ", "INTO 4 BUCKETS"]);
        table.storage.number_of_buckets = -1;
        assert!(!show_create_table(&table, true).text().contains("CLUSTERED"));
    }
}
