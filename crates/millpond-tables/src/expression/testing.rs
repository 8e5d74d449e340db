//! Helpers of the tests of expressions.

use super::Placeholders;
use crate::value::{Item, Value, json};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// An item from DynamoDB JSON.
pub(crate) fn item(json: Json) -> Item {
    json::read_item(&json).unwrap()
}

/// A value from plain JSON: numbers are `N`, `null` is `NULL`.
pub(crate) fn plain(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Number(number.to_string().parse().unwrap()),
        Json::String(text) => Value::String(text.clone()),
        Json::Array(elements) => Value::List(elements.iter().map(plain).collect()),
        Json::Object(members) => Value::Map(members.iter().map(|(name, value)| (name.clone(), plain(value))).collect()),
    }
}

/// An item from plain JSON.
pub(crate) fn plain_item(json: &Json) -> Item {
    let Value::Map(item) = plain(json) else { panic!("{json} is no object") };
    item
}

/// Placeholders of names (`{"#a": "a"}`) and values (`{":a": {"S": "a"}}`).
pub(crate) fn placeholders(names: &Json, values: &Json) -> Placeholders {
    try_placeholders(names, values).unwrap()
}

pub(crate) fn try_placeholders(names: &Json, values: &Json) -> Result<Placeholders, super::ExpressionError> {
    let names: Option<BTreeMap<String, String>> =
        names.as_object().map(|names| names.iter().map(|(key, name)| (key.clone(), name.as_str().unwrap().to_owned())).collect());
    let values: Option<&Map<String, Json>> = values.as_object();
    Placeholders::new(names.as_ref(), values)
}

/// `:s` a string, `:n` 1, `:two` 2, `:b`, `:bool`, `:null`, `:ss`, `:ns`, `:bs`, `:l`, `:m`; `#a`…`#d` names of attributes.
pub(crate) fn usual() -> Placeholders {
    placeholders(
        &json!({"#a": "a", "#b": "b", "#c": "c", "#d": "[3]", "#status": "status", "#dot": "x.y"}),
        &json!({
            ":s": {"S": "s"}, ":n": {"N": "1"}, ":two": {"N": "2"}, ":b": {"B": "YQ=="}, ":bool": {"BOOL": true}, ":null": {"NULL": true},
            ":ss": {"SS": ["s", "t"]}, ":ns": {"NS": ["1", "2"]}, ":bs": {"BS": ["YQ=="]}, ":l": {"L": [{"N": "1"}]}, ":m": {"M": {}},
            ":type": {"S": "SS"}, ":empty": {"S": ""}
        }),
    )
}
