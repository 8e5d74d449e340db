//! DynamoDB JSON: each value is an object of one member that names its type. API reference, `AttributeValue`.

use super::{Item, Value, ValueError};
use serde_json::Value as Json;

/// Reads a value: `{"S": "text"}`, `{"N": "1"}`, `{"B": base64}`, `{"BOOL": true}`, `{"NULL": true}`, `{"L": […]}`, `{"M": {…}}`, `{"SS": […]}`, `{"NS": […]}`, `{"BS": […]}`.
///
/// # Errors
/// See [`ValueError`].
pub fn read_value(json: &Json) -> Result<Value, ValueError> {
    let _ = json;
    todo!()
}

/// Reads an item: an object of values by name.
///
/// # Errors
/// See [`ValueError`].
pub fn read_item(json: &Json) -> Result<Item, ValueError> {
    let _ = json;
    todo!()
}

/// Reads an item whose members came apart already, as the wire types have it.
///
/// # Errors
/// See [`ValueError`].
pub fn read_attributes<'a>(members: impl IntoIterator<Item = (&'a String, &'a Json)>) -> Result<Item, ValueError> {
    let _ = members.into_iter().count();
    todo!()
}

/// A value as JSON.
pub fn write_value(value: &Value) -> Json {
    let _ = value;
    todo!()
}

/// An item as JSON: an object.
pub fn write_item(item: &Item) -> Json {
    let _ = item;
    todo!()
}

/// An item as text of JSON, appended: what [`write_item`] says, without the detour (exports, answers).
pub fn write_item_text(item: &Item, out: &mut Vec<u8>) {
    let _ = (item, out);
    todo!()
}
