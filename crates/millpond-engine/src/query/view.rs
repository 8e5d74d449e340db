//! Views as Athena keeps them in Glue: a table of type `VIRTUAL_VIEW` whose original text is `/* Presto View: <base64 of JSON> */`.

use crate::types::TrinoType;
use arrow::compute::can_cast_types;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::TableReference;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::Statement;
use millpond_core::catalog::{Column, Parameters, SerDeInfo, StorageDescriptor, Table};
use serde::{Deserialize, Serialize};

const PREFIX: &str = "/* Presto View: ";
const SUFFIX: &str = " */";
/// What Athena puts for the expanded text.
const EXPANDED: &str = "/* Presto View */";

/// A view's definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewText {
    /// The query.
    #[serde(rename = "originalSql")]
    pub sql: String,
    /// Always `awsdatacatalog`.
    #[serde(default)]
    pub catalog: String,
    /// The database of the query's unqualified names.
    #[serde(default)]
    pub schema: String,
    /// What the query gave when the view was made.
    #[serde(default)]
    pub columns: Vec<ViewColumn>,
}

/// A view's column, with Trino's type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewColumn {
    /// Lower case.
    pub name: String,
    /// `varchar`, `decimal(12,2)`
    #[serde(rename = "type")]
    pub data_type: String,
}

/// A view's text that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ViewError(String);

/// Whether a table is a view.
pub fn is_view(table: &Table) -> bool {
    table.table_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("VIRTUAL_VIEW"))
}

/// The definition of a view; plain SQL (Hive's views) is taken as it is.
///
/// # Errors
/// The text is missing or broken.
pub fn read(table: &Table) -> Result<ViewText, ViewError> {
    let text = table.view_original_text.as_deref().unwrap_or_default().trim();
    if text.is_empty() {
        return Err(ViewError("it has no ViewOriginalText".into()));
    }
    let Some(encoded) = text.strip_prefix(PREFIX.trim_end()).and_then(|rest| rest.strip_suffix("*/")) else {
        return Ok(ViewText {
            sql: text.to_owned(),
            catalog: String::new(),
            schema: table.database.clone(),
            columns: Vec::new(),
        });
    };
    let json =
        STANDARD.decode(encoded.trim()).map_err(|error| ViewError(format!("its Presto view text is not base64: {error}")))?;
    let mut view: ViewText = serde_json::from_slice(&json)
        .map_err(|error| ViewError(format!("its Presto view text is not the expected JSON: {error}")))?;
    if view.schema.is_empty() {
        view.schema.clone_from(&table.database);
    }
    Ok(view)
}

/// Databases and names of what a view's query reads, other views among them; nothing where its text is not understood.
pub fn relations(table: &Table) -> Vec<(String, String)> {
    let Ok(text) = read(table) else { return Vec::new() };
    let Ok(parsed) = super::parse::parse_query(&text.sql) else { return Vec::new() };
    let statement = DfStatement::Statement(Box::new(Statement::Query(parsed.query)));
    let Ok((references, _)) = resolve_table_references(&statement, true) else { return Vec::new() };
    let full = |reference: &TableReference| {
        let database = reference.schema().unwrap_or(&text.schema).to_lowercase();
        (database, reference.table().to_lowercase())
    };
    references.iter().map(full).collect()
}

/// The columns that the view had when it was made, when its query does not give them any more. (Types may change as long as they can be cast.)
pub(super) fn is_stale(text: &ViewText, columns: &[(String, TrinoType)]) -> bool {
    if text.columns.is_empty() {
        return false;
    }
    let same = |(kept, (name, now)): (&ViewColumn, &(String, TrinoType))| {
        let then = TrinoType::parse(&kept.data_type).unwrap_or_else(|_| now.clone());
        kept.name.eq_ignore_ascii_case(name) && can_cast_types(&now.to_arrow(), &then.to_arrow())
    };
    text.columns.len() != columns.len() || !text.columns.iter().zip(columns).all(same)
}

/// The catalog entry of a view, as Athena writes it.
pub fn table(database: &str, name: &str, sql: &str, default_database: &str, columns: &[(String, DataType)]) -> Table {
    let view = ViewText {
        sql: super::format::query_text(sql),
        catalog: super::catalog::CATALOG.to_owned(),
        schema: default_database.to_owned(),
        columns: columns
            .iter()
            .map(|(name, data_type)| ViewColumn { name: name.clone(), data_type: crate::result::columns::trino_type(data_type) })
            .collect(),
    };
    let json = serde_json::to_vec(&view).expect("texts can be JSON");
    let storage = StorageDescriptor {
        columns: columns.iter().map(|(name, data_type)| Column::new(name, crate::types::hive_type(data_type))).collect(),
        // Athena's views have it, and clients look for it (dbt-athena, where it deletes old versions).
        location: Some(String::new()),
        serde_info: SerDeInfo::default(),
        ..StorageDescriptor::default()
    };
    Table {
        database: database.to_owned(),
        name: name.to_owned(),
        storage,
        table_type: Some("VIRTUAL_VIEW".into()),
        parameters: Parameters::from([("presto_view".into(), "true".into()), ("comment".into(), "Presto View".into())]),
        view_original_text: Some(format!("{PREFIX}{}{SUFFIX}", STANDARD.encode(json))),
        view_expanded_text: Some(EXPANDED.to_owned()),
        ..Table::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_read_as_it_was_written() {
        let table = table("db", "v", "SELECT a FROM t", "other", &[("a".into(), DataType::Decimal128(12, 2))]);
        let view = read(&table).unwrap();
        assert_eq!((view.sql.as_str(), view.schema.as_str()), ("SELECT a\nFROM\n  t", "other"));
        assert_eq!(view.columns[0].data_type, "decimal(12,2)");
        assert_eq!(table.storage.columns[0].data_type, "decimal(12,2)");
    }

    #[test]
    fn broken_views_say_why() {
        let broken = Table { view_original_text: Some("/* Presto View: %% */".into()), ..Table::default() };
        assert!(read(&broken).unwrap_err().to_string().contains("base64"));
        assert!(read(&Table::default()).is_err());
    }
}
