//! The answers of `SHOW` and `DESCRIBE` as text, in the form in which Athena (that is, Hive) gives them.
//!
//! Each line is a row of the result and a line of its `.txt` object; what looks like columns within a line is separated by tabs and filled up to
//! twenty characters, which clients take apart again.

mod create;
mod describe;
mod iceberg;

pub use create::show_create_table;
pub use describe::{describe, describe_extended, describe_formatted, describe_view};
pub use iceberg::{Shape, describe_iceberg, iceberg_shape, iceberg_table_properties, show_create_iceberg};

use crate::query::{format, view};
use crate::result::ResultColumn;
use millpond_core::catalog::Table;

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

    /// Lines of one text column of the engine's, which Athena calls `varchar`.
    fn of_engine(column: &str, lines: Vec<String>) -> Self {
        Self { columns: vec![varchar(column)], lines }
    }

    /// The content of the result object: no newline ends the last line.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }
}

/// A text column of what Trino shows and not Hive.
fn varchar(name: &str) -> ResultColumn {
    ResultColumn { data_type: "varchar", ..ResultColumn::text(name) }
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
    TextResult::of_engine("views", names)
}

/// `SHOW COLUMNS`: partition keys last. A view's are shown as by `DESCRIBE`.
pub fn columns(table: &Table) -> TextResult {
    if crate::iceberg::is_iceberg(table) {
        let current = table.storage.columns.iter().filter(|column| crate::iceberg::schema::is_current(column));
        return TextResult::new("field", current.map(|column| column.name.clone()).collect());
    }
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

/// `SHOW TBLPROPERTIES table [('name')]`: what Hive itself sets comes first.
pub fn table_properties(table: &Table, property: Option<&str>) -> TextResult {
    properties(table, property, |_| true)
}

fn properties(table: &Table, property: Option<&str>, shown: impl Fn(&str) -> bool) -> TextResult {
    const FIRST: [&str; 2] = ["EXTERNAL", "transient_lastDdlTime"];
    let columns = vec![ResultColumn::text("prpt_name"), ResultColumn::text("prpt_value")];
    let lines = match property {
        None => {
            let first = FIRST.iter().filter_map(|name| table.parameters.get_key_value(*name));
            let others = table.parameters.iter().filter(|(name, _)| !FIRST.contains(&name.as_str()));
            first.chain(others).filter(|(key, _)| shown(key)).map(|(key, value)| format!("{key}\t{value}")).collect()
        }
        Some(name) => match table.parameters.get(name).filter(|_| shown(name)) {
            Some(value) => vec![value.clone()],
            None => vec![format!("Table {}.{} does not have property: {name}", table.database, table.name)],
        },
    };
    TextResult { columns, lines }
}

/// `SHOW CREATE VIEW`: the query in the layout in which views are kept.
///
/// # Errors
/// The view's text is broken.
pub fn show_create_view(table: &Table) -> Result<TextResult, view::ViewError> {
    let text = view::read(table)?;
    let mut lines = vec![format!("CREATE VIEW {}.{} AS", table.database, table.name)];
    lines.extend(format::query_text(&text.sql).lines().map(str::to_owned));
    Ok(TextResult::of_engine("create view", lines))
}

fn padded(text: &str) -> String {
    format!("{text:<20}")
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
