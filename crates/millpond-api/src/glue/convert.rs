//! The catalog's types: wire ⇄ domain.
//!
//! What the domain has no place for is kept in Glue's own JSON form ([`Map`]) and put back: so a member that Millpond does nothing with still
//! comes back as it was given.

use millpond_core::catalog as domain;
use millpond_wire::Timestamp;
use millpond_wire::glue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The members of `wire` that are not among `known`.
fn keep(wire: &impl Serialize, known: &[&str]) -> Map<String, Value> {
    let Ok(Value::Object(mut members)) = serde_json::to_value(wire) else { return Map::new() };
    members.retain(|name, _| !known.contains(&name.as_str()));
    members
}

/// A wire type of what was kept, with `required` members filled in.
fn restore<T: DeserializeOwned + Default>(kept: &Map<String, Value>, required: &[(&str, &str)]) -> T {
    let mut members = kept.clone();
    members.extend(required.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
    serde_json::from_value(Value::Object(members)).unwrap_or_else(|error| {
        // An input's form may differ from the answer's; better the table without it than no table.
        tracing::debug!(%error, "kept members of a catalog entry do not fit its answer");
        let bare = required.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        serde_json::from_value(Value::Object(bare)).unwrap_or_default()
    })
}

fn some(map: &BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then(|| map.clone())
}

fn time(ms: i64) -> Option<Timestamp> {
    // Glue answers whole seconds.
    Some(Timestamp(ms.div_euclid(1_000) * 1_000))
}

fn column_in(wire: glue::Column) -> domain::Column {
    domain::Column {
        name: wire.name,
        data_type: wire.r#type.unwrap_or_default(),
        comment: wire.comment,
        parameters: wire.parameters.unwrap_or_default(),
    }
}

fn column_out(column: &domain::Column) -> glue::Column {
    glue::Column {
        name: column.name.clone(),
        r#type: (!column.data_type.is_empty()).then(|| column.data_type.clone()),
        comment: column.comment.clone(),
        parameters: some(&column.parameters),
    }
}

fn columns_in(wire: Option<Vec<glue::Column>>) -> Vec<domain::Column> {
    wire.unwrap_or_default().into_iter().map(column_in).collect()
}

fn columns_out(columns: &[domain::Column]) -> Option<Vec<glue::Column>> {
    Some(columns.iter().map(column_out).collect())
}

const STORAGE: [&str; 8] =
    ["Columns", "Location", "InputFormat", "OutputFormat", "Compressed", "NumberOfBuckets", "SerdeInfo", "Parameters"];

fn storage_in(wire: Option<glue::StorageDescriptor>) -> domain::StorageDescriptor {
    let Some(wire) = wire else { return domain::StorageDescriptor::default() };
    let mut kept = keep(&wire, &STORAGE);
    // Tells a descriptor that says nothing from none.
    if kept.is_empty() {
        kept.insert("StoredAsSubDirectories".into(), Value::Bool(false));
    }
    let serde = wire.serde_info.unwrap_or_default();
    domain::StorageDescriptor {
        kept,
        columns: columns_in(wire.columns),
        location: wire.location,
        input_format: wire.input_format,
        output_format: wire.output_format,
        compressed: wire.compressed.unwrap_or(false),
        number_of_buckets: wire.number_of_buckets.unwrap_or(0),
        serde_info: domain::SerDeInfo {
            name: serde.name,
            serialization_library: serde.serialization_library,
            parameters: serde.parameters.unwrap_or_default(),
        },
        parameters: wire.parameters.unwrap_or_default(),
    }
}

fn storage_out(storage: &domain::StorageDescriptor) -> Option<glue::StorageDescriptor> {
    if *storage == domain::StorageDescriptor::default() {
        return None;
    }
    let mut wire: glue::StorageDescriptor = restore(&storage.kept, &[]);
    let serde = &storage.serde_info;
    wire.columns = columns_out(&storage.columns);
    wire.location.clone_from(&storage.location);
    wire.input_format.clone_from(&storage.input_format);
    wire.output_format.clone_from(&storage.output_format);
    wire.compressed = Some(storage.compressed);
    wire.number_of_buckets = Some(storage.number_of_buckets);
    wire.serde_info = Some(glue::SerDeInfo {
        name: serde.name.clone(),
        serialization_library: serde.serialization_library.clone(),
        parameters: some(&serde.parameters),
    });
    wire.parameters = some(&storage.parameters);
    wire.sort_columns.get_or_insert_default();
    wire.stored_as_sub_directories.get_or_insert(false);
    Some(wire)
}

const DATABASE: [&str; 4] = ["Name", "Description", "LocationUri", "Parameters"];

/// A database as it is created or updated.
pub(super) fn database_in(wire: glue::DatabaseInput) -> domain::Database {
    domain::Database {
        kept: keep(&wire, &DATABASE),
        name: wire.name,
        description: wire.description,
        location_uri: wire.location_uri,
        parameters: wire.parameters.unwrap_or_default(),
        created_ms: 0,
    }
}

/// A database as it is answered.
pub(super) fn database_out(database: &domain::Database, account: &str) -> glue::Database {
    let mut wire: glue::Database = restore(&database.kept, &[("Name", &database.name)]);
    wire.description.clone_from(&database.description);
    wire.location_uri.clone_from(&database.location_uri);
    wire.parameters = some(&database.parameters);
    wire.create_time = time(database.created_ms);
    wire.catalog_id = Some(account.to_owned());
    // What Glue gives a database that says nothing of it, outside Lake Formation.
    wire.create_table_default_permissions.get_or_insert_with(|| {
        let everyone = glue::DataLakePrincipal { data_lake_principal_identifier: Some("IAM_ALLOWED_PRINCIPALS".into()) };
        vec![glue::PrincipalPermissions { principal: Some(everyone), permissions: Some(vec![glue::Permission::All]) }]
    });
    wire
}

const TABLE: [&str; 10] = [
    "Name",
    "Description",
    "Owner",
    "Retention",
    "StorageDescriptor",
    "PartitionKeys",
    "ViewOriginalText",
    "ViewExpandedText",
    "TableType",
    "Parameters",
];

/// A table as it is created or updated.
pub(super) fn table_in(database: String, wire: glue::TableInput) -> domain::Table {
    domain::Table {
        kept: keep(&wire, &TABLE),
        database,
        name: wire.name,
        description: wire.description,
        owner: wire.owner,
        storage: storage_in(wire.storage_descriptor),
        partition_keys: columns_in(wire.partition_keys),
        table_type: wire.table_type,
        parameters: wire.parameters.unwrap_or_default(),
        view_original_text: wire.view_original_text,
        view_expanded_text: wire.view_expanded_text,
        retention: wire.retention.unwrap_or(0),
        created_ms: 0,
        updated_ms: 0,
        version: 0,
    }
}

/// A table as it is answered.
pub(super) fn table_out(table: &domain::Table, account: &str) -> glue::Table {
    let mut wire: glue::Table = restore(&table.kept, &[("Name", &table.name)]);
    wire.database_name = Some(table.database.clone());
    wire.description.clone_from(&table.description);
    wire.owner.clone_from(&table.owner);
    wire.create_time = time(table.created_ms);
    wire.update_time = time(table.updated_ms);
    wire.retention = Some(table.retention);
    wire.storage_descriptor = storage_out(&table.storage);
    wire.partition_keys = columns_out(&table.partition_keys);
    wire.view_original_text.clone_from(&table.view_original_text);
    wire.view_expanded_text.clone_from(&table.view_expanded_text);
    wire.table_type.clone_from(&table.table_type);
    wire.parameters = some(&table.parameters);
    wire.is_registered_with_lake_formation = Some(false);
    wire.is_multi_dialect_view.get_or_insert(false);
    wire.catalog_id = Some(account.to_owned());
    wire.version_id = Some(table.version.to_string());
    wire
}

/// A version of a table as it is answered.
pub(super) fn version_out(table: &domain::Table, account: &str) -> glue::TableVersion {
    glue::TableVersion { version_id: Some(table.version.to_string()), table: Some(table_out(table, account)) }
}

const PARTITION: [&str; 3] = ["Values", "StorageDescriptor", "Parameters"];

/// A partition as it is created or updated.
pub(super) fn partition_in(wire: glue::PartitionInput) -> domain::Partition {
    domain::Partition {
        kept: keep(&wire, &PARTITION),
        values: wire.values.unwrap_or_default(),
        storage: storage_in(wire.storage_descriptor),
        parameters: wire.parameters.unwrap_or_default(),
        created_ms: 0,
    }
}

/// A partition as it is answered.
pub(super) fn partition_out(partition: &domain::Partition, database: &str, table: &str, account: &str) -> glue::Partition {
    let mut wire: glue::Partition = restore(&partition.kept, &[]);
    wire.values = Some(partition.values.clone());
    wire.database_name = Some(database.to_lowercase());
    wire.table_name = Some(table.to_lowercase());
    wire.creation_time = time(partition.created_ms);
    wire.storage_descriptor = storage_out(&partition.storage);
    wire.parameters = some(&partition.parameters);
    wire.catalog_id = Some(account.to_owned());
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(value: Value) -> glue::TableInput {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_table_comes_back_with_all_that_was_said_of_it() {
        let input = json!({
            "Name": "t", "Description": "d", "Owner": "o", "Retention": 3, "LastAccessTime": 1_700_000_000,
            "StorageDescriptor": {
                "Columns": [{ "Name": "a", "Type": "int", "Comment": "c", "Parameters": { "x": "y" } }],
                "Location": "s3://b/t/", "AdditionalLocations": ["s3://b/u/"], "InputFormat": "i", "OutputFormat": "o", "Compressed": true,
                "NumberOfBuckets": -1, "SerdeInfo": { "Name": "s", "SerializationLibrary": "l", "Parameters": { "field.delim": "," } },
                "BucketColumns": ["a"], "SortColumns": [{ "Column": "a", "SortOrder": 1 }], "Parameters": { "p": "q" },
                "SkewedInfo": { "SkewedColumnNames": ["a"] }, "StoredAsSubDirectories": true,
                "SchemaReference": { "SchemaVersionId": "v", "SchemaVersionNumber": 1 }
            },
            "PartitionKeys": [{ "Name": "k", "Type": "string" }], "ViewOriginalText": "v", "ViewExpandedText": "w",
            "TableType": "EXTERNAL_TABLE", "Parameters": { "classification": "csv" },
            "TargetTable": { "CatalogId": "1", "DatabaseName": "x", "Name": "y" }
        });
        // Read and written once, so that numbers have the wire's form.
        let input = serde_json::to_value(given(input)).unwrap();
        let table = table_in("db".into(), given(input.clone()));
        let answer = serde_json::to_value(table_out(&table, "123456789012")).unwrap();
        for (name, value) in input.as_object().unwrap() {
            assert_eq!(&answer[name], value, "{name}");
        }
        assert_eq!(answer["VersionId"], "0");
        assert_eq!(answer["CatalogId"], "123456789012");
    }

    #[test]
    fn what_was_not_said_gets_glues_defaults() {
        let bare = table_out(&table_in("db".into(), given(json!({ "Name": "t" }))), "1");
        assert_eq!((bare.storage_descriptor, bare.partition_keys, bare.retention), (None, Some(vec![]), Some(0)));
        let empty = table_out(&table_in("db".into(), given(json!({ "Name": "t", "StorageDescriptor": {} }))), "1");
        let storage = empty.storage_descriptor.unwrap();
        assert_eq!((storage.compressed, storage.number_of_buckets, storage.columns), (Some(false), Some(0), Some(vec![])));
        let database = database_out(&database_in(serde_json::from_value(json!({ "Name": "d" })).unwrap()), "1");
        let permissions = database.create_table_default_permissions.unwrap();
        assert_eq!(permissions[0].permissions, Some(vec![glue::Permission::All]));
    }

    #[test]
    fn kept_members_that_do_not_fit_do_not_hide_the_table() {
        let mut table = table_in("db".into(), given(json!({ "Name": "t" })));
        table.kept.insert("ViewDefinition".into(), json!("nonsense"));
        assert_eq!(table_out(&table, "1").name, "t");
    }
}
