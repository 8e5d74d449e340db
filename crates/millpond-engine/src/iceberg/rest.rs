//! What Iceberg's REST protocol says of tables, as JSON: for a catalog that serves it (Apache Iceberg, "REST catalog specification").

use super::commit::Prepared;
pub use super::metadata::as_json as encode;
use super::{TableRequirement, TableUpdate, invalid};
use crate::query::QueryError;
use iceberg::TableCreation;
use iceberg::spec::{FormatVersion, Schema, SortOrder, TableMetadataBuilder, UnboundPartitionSpec};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;

/// A table that a client wants to have.
#[derive(Debug, Clone)]
pub struct Creation {
    /// Without its database.
    pub name: String,
    /// `s3://bucket/prefix`
    pub location: String,
    /// The specification's `Schema`.
    pub schema: Value,
    /// `PartitionSpec`; `None`: not partitioned.
    pub partition_spec: Option<Value>,
    /// `SortOrder`; `None`: not sorted.
    pub write_order: Option<Value>,
    /// The table's own. `format-version` is one of them.
    pub properties: HashMap<String, String>,
}

fn read<T: DeserializeOwned>(what: &str, value: Value) -> Result<T, QueryError> {
    sensible(&value).map_err(|error| invalid(format!("{what}: {error}")))?;
    serde_json::from_value(value).map_err(|error| invalid(format!("{what}: {error}")))
}

/// Refuses types and transforms whose numbers the specification does not allow, and who reads the description does not check.
fn sensible(value: &Value) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter().try_for_each(sensible),
        Value::Object(members) => members.iter().try_for_each(|(name, member)| match member.as_str() {
            Some(text) if name == "transform" => transform(text),
            Some(text) if ["type", "element", "key", "value"].contains(&name.as_str()) => primitive(text),
            _ => sensible(member),
        }),
        _ => Ok(()),
    }
}

fn transform(text: &str) -> Result<(), String> {
    for name in ["bucket[", "truncate["] {
        if let Some(number) = text.strip_prefix(name).and_then(|rest| rest.strip_suffix(']'))
            && !number.trim().parse::<i32>().is_ok_and(|number| number > 0)
        {
            return Err(format!("the transform {name}…] needs a number from 1 to {}", i32::MAX));
        }
    }
    Ok(())
}

fn primitive(text: &str) -> Result<(), String> {
    let inner = |open: &str, close: char| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    if let Some(length) = inner("fixed[", ']')
        && !length.trim().parse::<i32>().is_ok_and(|length| length > 0)
    {
        return Err(format!("fixed[…] has from 1 to {} bytes", i32::MAX));
    }
    if let Some((precision, scale)) = inner("decimal(", ')').and_then(|digits| digits.split_once(','))
        && !matches!((precision.trim().parse(), scale.trim().parse::<u8>()), (Ok(1..=38u8), Ok(scale)) if scale <= 38)
    {
        return Err("decimal(…) has from 1 to 38 digits, and no more of them after the point".into());
    }
    Ok(())
}

/// The first version of a new table.
///
/// # Errors
/// The descriptions are not those of a table; a format version other than 2, which is the one that Athena writes.
pub fn create(creation: Creation) -> Result<Prepared, QueryError> {
    let mut properties = creation.properties;
    version(properties.remove("format-version"))?;
    let creation = TableCreation {
        name: creation.name,
        location: Some(creation.location),
        schema: read("schema", creation.schema)?,
        partition_spec: creation.partition_spec.map(|spec| read("partition-spec", spec)).transpose()?,
        sort_order: creation.write_order.map(|order| read("write-order", order)).transpose()?,
        properties,
        format_version: FormatVersion::V2,
    };
    let builder = TableMetadataBuilder::from_table_creation(creation).map_err(invalid)?;
    Prepared::new(None, builder.build().map_err(invalid)?.metadata, Vec::new())
}

fn version(asked: Option<String>) -> Result<(), QueryError> {
    match asked.as_deref() {
        None | Some("2") => Ok(()),
        Some(other) => Err(QueryError::NotSupported(format!("Iceberg tables of format version {other}: 2 is supported"))),
    }
}

/// The requirements of a commit.
///
/// # Errors
/// One that the specification does not know.
pub fn requirements(values: Vec<Value>) -> Result<Vec<TableRequirement>, QueryError> {
    values.into_iter().map(|value| read("requirements", value)).collect()
}

/// The updates of a commit.
///
/// # Errors
/// One that the specification does not know.
pub fn updates(values: Vec<Value>) -> Result<Vec<TableUpdate>, QueryError> {
    values.into_iter().map(|value| read("updates", value)).collect()
}

/// Whether a commit is to make the table: it was staged before.
pub fn creates(requirements: &[TableRequirement]) -> bool {
    requirements.contains(&TableRequirement::NotExist)
}

/// The first version of a table that was staged, from the updates that describe it.
///
/// # Errors
/// The updates describe no table.
pub fn create_staged(updates: Vec<TableUpdate>) -> Result<Prepared, QueryError> {
    let (mut schema, mut spec, mut order, mut location) = (None::<Schema>, None::<UnboundPartitionSpec>, None::<SortOrder>, None);
    let (mut properties, mut rest) = (HashMap::new(), Vec::new());
    for update in updates {
        match update {
            TableUpdate::AddSchema { schema: added } => schema = Some(added),
            TableUpdate::AddSpec { spec: added } => spec = Some(added),
            TableUpdate::AddSortOrder { sort_order } => order = Some(sort_order),
            TableUpdate::SetLocation { location: set } => location = Some(set),
            TableUpdate::SetProperties { updates } => properties.extend(updates),
            // The last ones that were added are the current ones.
            TableUpdate::SetCurrentSchema { .. }
            | TableUpdate::SetDefaultSpec { .. }
            | TableUpdate::SetDefaultSortOrder { .. } => {}
            TableUpdate::UpgradeFormatVersion { format_version } => version(Some((format_version as u8).to_string()))?,
            other => rest.push(other),
        }
    }
    let schema = schema.ok_or_else(|| invalid("updates: a new table needs add-schema"))?;
    let location = location.ok_or_else(|| invalid("updates: a new table needs set-location"))?;
    properties.remove("format-version");
    let spec = spec.unwrap_or_else(|| UnboundPartitionSpec::builder().build());
    let order = order.unwrap_or_else(SortOrder::unsorted_order);
    let mut builder = TableMetadataBuilder::new(schema, spec, order, location, FormatVersion::V2, properties).map_err(invalid)?;
    for update in rest {
        builder = update.apply(builder).map_err(invalid)?;
    }
    Prepared::new(None, builder.build().map_err(invalid)?.metadata, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_and_transforms_without_sense_are_refused() {
        for transform in ["bucket[0]", "truncate[0]", "bucket[-1]", "truncate[4294967296]", "bucket[x]"] {
            let spec = json!({"fields": [{"source-id": 1, "name": "a", "transform": transform}]});
            assert!(sensible(&spec).is_err(), "{transform}");
        }
        for kind in ["fixed[0]", "fixed[9223372036854775807]", "decimal(99,200)", "decimal(0,0)", "decimal(39,1)"] {
            let schema = json!({"type": "struct", "fields": [{"id": 1, "type": {"type": "list", "element": kind}}]});
            assert!(sensible(&schema).is_err(), "{kind}");
        }
        let fine = json!({"type": "struct", "fields": [{"id": 1, "type": "decimal(38, 10)"}, {"id": 2, "type": "fixed[16]"}],
                          "spec": [{"transform": "bucket[16]"}, {"transform": "day"}], "updates": {"transform": "truncate[4]"}});
        sensible(&fine).unwrap();
    }
}
