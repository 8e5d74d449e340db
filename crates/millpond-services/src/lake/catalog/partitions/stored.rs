//! The form in which partitions are stored, and back: see the parent's words.

use super::CatalogError;
use millpond_core::catalog::{Column, Parameters, Partition, StorageDescriptor, Table};
use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// What partitions share.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::lake::catalog) struct Shape {
    /// Without `location` and the counted properties.
    pub(in crate::lake::catalog) storage: StorageDescriptor,
    /// What locations are written against; ends with a slash.
    pub(super) base: Option<String>,
}

/// What is a partition's own, besides its values and location.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Rest {
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub(super) parameters: Parameters,
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub(super) counted: Parameters,
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub(super) kept: serde_json::Map<String, serde_json::Value>,
}

/// What a row says, before its text is put together.
pub(in crate::lake::catalog) struct StoredPartition {
    pub(in crate::lake::catalog) sort: Vec<u8>,
    pub(in crate::lake::catalog) values: Vec<String>,
    pub(in crate::lake::catalog) shape: i64,
    location: Option<String>,
    pub(super) created_ms: i64,
    rest: Option<String>,
}

pub(super) const ROW: &str = "sort, vals, shape, location, created_ms, rest";

pub(super) fn stored(row: &Row<'_>) -> Result<StoredPartition, CatalogError> {
    Ok(StoredPartition {
        sort: row.get(0)?,
        values: serde_json::from_str(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?,
        shape: row.get(2)?,
        location: row.get(3)?,
        created_ms: row.get(4)?,
        rest: row.get(5)?,
    })
}

impl StoredPartition {
    /// Where the partition's files are.
    pub(in crate::lake::catalog) fn location(&self, shape: &Shape, keys: &[Column]) -> Option<String> {
        let written = self.location.as_deref()?;
        let base = shape.base.as_deref().unwrap_or_default();
        Some(match written.split_at_checked(1)? {
            ("=", _) => format!("{base}{}/", hive_path(keys, &self.values)),
            ("~", _) => format!("{base}{}", hive_path(keys, &self.values)),
            ("+", rest) => format!("{base}{rest}"),
            (_, uri) => uri.to_owned(),
        })
    }

    pub(super) fn partition(self, shape: &Shape, keys: &[Column]) -> Result<Partition, CatalogError> {
        let mut storage = shape.storage.clone();
        storage.location = self.location(shape, keys);
        let rest: Rest = self.rest.as_deref().map(serde_json::from_str).transpose()?.unwrap_or_default();
        storage.parameters.extend(rest.counted);
        Ok(Partition { values: self.values, storage, parameters: rest.parameters, created_ms: self.created_ms, kept: rest.kept })
    }
}

/// The path that Hive gives a partition below its table, without a slash at the end.
fn hive_path(keys: &[Column], values: &[String]) -> String {
    let parts: Vec<String> = keys.iter().zip(values).map(|(key, value)| format!("{}={value}", key.name)).collect();
    parts.join("/")
}

pub(super) fn write_location(location: Option<&str>, base: Option<&str>, keys: &[Column], values: &[String]) -> Option<String> {
    let location = location?;
    let Some(rest) = base.and_then(|base| location.strip_prefix(base)) else { return Some(format!("!{location}")) };
    let path = hive_path(keys, values);
    Some(match rest.strip_prefix(path.as_str()) {
        Some("/") => "=".into(),
        Some("") => "~".into(),
        _ => format!("+{rest}"),
    })
}

pub(super) fn base_of(table: &Table) -> Option<String> {
    let location = table.storage.location.as_deref()?;
    Some(if location.ends_with('/') { location.to_owned() } else { format!("{location}/") })
}

/// The shapes of one table's partitions, each read once.
#[derive(Debug, Default)]
pub(in crate::lake::catalog) struct Shapes(HashMap<i64, Arc<Shape>>);

impl Shapes {
    pub(in crate::lake::catalog) fn get(&mut self, connection: &Connection, id: i64) -> Result<Arc<Shape>, CatalogError> {
        if let Some(shape) = self.0.get(&id) {
            return Ok(shape.clone());
        }
        let mut select = connection.prepare_cached("SELECT body FROM catalog_shape WHERE id = ?")?;
        let body: String = select.query_row([id], |row| row.get(0))?;
        let shape = Arc::new(serde_json::from_str::<Shape>(&body)?);
        // Hostile tables may have a shape for each partition; those are not all held.
        if self.0.len() >= 4_096 {
            self.0.clear();
        }
        self.0.insert(id, shape.clone());
        Ok(shape)
    }
}
