//! What DynamoDB checks of items and keys that are given to it.

use super::table::Table;
use super::{Attributes, DynamoError};
use millpond_tables::value::json::read_attributes;
use millpond_tables::value::key::{HASH_KEY_BYTES_MAX, KeyAttribute, KeySchema, RANGE_KEY_BYTES_MAX};
use millpond_tables::value::{ITEM_SIZE_BYTES_MAX, item_size};
use millpond_tables::{Item, Value};

/// Reads attributes as the wire has them.
pub(super) fn read(attributes: &Attributes) -> Result<Item, DynamoError> {
    Ok(read_attributes(attributes)?)
}

/// Checks an item that is to be put: its key, the keys of its indexes, its size.
pub(super) fn check_item(table: &Table, item: &Item) -> Result<(), DynamoError> {
    for attribute in table.schema.attributes() {
        let value = item
            .get(&attribute.name)
            .ok_or_else(|| DynamoError::parameter(format!("Missing the key {} in the item", attribute.name)))?;
        if value.kind() != attribute.key_type.kind() {
            return Err(DynamoError::parameter(format!(
                "Type mismatch for key {} expected: {} actual: {}",
                attribute.name,
                attribute.key_type.name(),
                value.kind().name()
            )));
        }
    }
    check_values(&table.schema, item)?;
    check_indexed(table, item)?;
    check_size(item)
}

/// Checks the size of an item that is to be put.
pub(super) fn check_size(item: &Item) -> Result<(), DynamoError> {
    match item_size(item) {
        0..=ITEM_SIZE_BYTES_MAX => Ok(()),
        _ => Err(DynamoError::invalid("Item size has exceeded the maximum allowed size")),
    }
}

/// Checks what an update made of an item.
pub(super) fn check_updated(table: &Table, item: &Item) -> Result<(), DynamoError> {
    check_indexed(table, item)?;
    match item_size(item) {
        0..=ITEM_SIZE_BYTES_MAX => Ok(()),
        _ => Err(DynamoError::invalid("Item size to update has exceeded the maximum allowed size")),
    }
}

/// Checks that the attributes are a primary key, no more and no less.
pub(super) fn check_key(schema: &KeySchema, key: &Item) -> Result<(), DynamoError> {
    let fits = |attribute: &KeyAttribute| key.get(&attribute.name).is_some_and(|value| value.kind() == attribute.key_type.kind());
    if key.len() != schema.attributes().count() || !schema.attributes().all(fits) {
        return Err(DynamoError::invalid("The provided key element does not match the schema"));
    }
    check_values(schema, key)
}

/// The bytes that a key's value counts.
fn length(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.len()),
        Value::Binary(bytes) => Some(bytes.len()),
        _ => None,
    }
}

/// Refuses a key without content, where its attributes are there with the right types.
pub(super) fn check_not_empty(schema: &KeySchema, item: &Item) -> Result<(), DynamoError> {
    let is_empty = |attribute: &&KeyAttribute| {
        let value = item.get(&attribute.name).filter(|value| value.kind() == attribute.key_type.kind());
        value.and_then(length) == Some(0)
    };
    match schema.attributes().find(is_empty) {
        None => Ok(()),
        Some(attribute) => Err(DynamoError::invalid(format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty {} value. Key: {}",
            content(attribute),
            attribute.name
        ))),
    }
}

/// What a key attribute has where it is text or bytes, in AWS's word.
fn content(attribute: &KeyAttribute) -> &'static str {
    if attribute.key_type.name() == "S" { "string" } else { "binary" }
}

/// Checks the values of a key's attributes, which are there with the right types.
fn check_values(schema: &KeySchema, item: &Item) -> Result<(), DynamoError> {
    check_not_empty(schema, item)?;
    for attribute in schema.attributes() {
        let Some(length) = item.get(&attribute.name).and_then(length) else { continue };
        let is_hash = attribute.name == schema.hash.name;
        if is_hash && length > HASH_KEY_BYTES_MAX {
            let text = format!("Size of hashkey has exceeded the maximum size limit of{HASH_KEY_BYTES_MAX} bytes");
            return Err(DynamoError::parameter(text));
        }
        if !is_hash && length > RANGE_KEY_BYTES_MAX {
            let text = format!("Aggregated size of all range keys has exceeded the size limit of {RANGE_KEY_BYTES_MAX} bytes");
            return Err(DynamoError::parameter(text));
        }
    }
    Ok(())
}

/// Checks the keys of indexes: where an item has such an attribute, it is of the right type.
fn check_indexed(table: &Table, item: &Item) -> Result<(), DynamoError> {
    for index in &table.indexes {
        for attribute in index.schema.attributes() {
            let Some(value) = item.get(&attribute.name) else { continue };
            if value.kind() != attribute.key_type.kind() {
                return Err(DynamoError::parameter(format!(
                    "Type mismatch for Index Key {} Expected: {} Actual: {} IndexName: {}",
                    attribute.name,
                    attribute.key_type.name(),
                    value.kind().name(),
                    index.name
                )));
            }
            let max = if attribute.name == index.schema.hash.name { HASH_KEY_BYTES_MAX } else { RANGE_KEY_BYTES_MAX };
            match length(value) {
                Some(0) => {
                    return Err(DynamoError::invalid(format!(
                        "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty {} value. IndexName: {}, IndexKey: {}",
                        content(attribute),
                        index.name,
                        attribute.name
                    )));
                }
                Some(length) if length > max => {
                    return Err(DynamoError::parameter(format!(
                        "Size of the index key {} has exceeded the maximum size limit of {max} bytes. IndexName: {}",
                        attribute.name, index.name
                    )));
                }
                Some(_) | None => {}
            }
        }
    }
    Ok(())
}
