//! awsQuery requests: form fields whose names are ways into the input.
//!
//! `Attributes.entry.1.key=DisplayName` is a map's first name, `Tags.member.2.Value=x` the value of a
//! list's second structure. [`parse`] reads the fields into a tree of the parts of their names and
//! then lets the schema say what each node is; [`write`] goes back for our own client. Indexes only order
//! the entries: AWS does not ask for them to be gapless.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::schema::{Kind, Schema};
use crate::shapes::{Shape as _, Timestamp};

/// The most fields that one request may have. SNS's largest batch needs fewer than 400.
const FIELDS_MAX: usize = 10_000;
/// The most parts that one field's name may have; the deepest shape of the models needs eight.
const DEPTH_MAX: usize = 16;

#[derive(Default)]
struct Node<'a> {
    text: Option<&'a str>,
    parts: BTreeMap<&'a str, Node<'a>>,
}

/// Reads a form-encoded body as the schema's value. Fields that the schema does not know are ignored.
pub(crate) fn parse(body: &[u8], schema: &Schema) -> Result<Value, String> {
    let fields = fields(body)?;
    let mut root = Node::default();
    for (name, text) in &fields {
        let mut node = &mut root;
        for (depth, part) in name.split('.').enumerate() {
            if depth >= DEPTH_MAX {
                return Err(format!("The parameter {name:?} has more than {DEPTH_MAX} parts."));
            }
            node = node.parts.entry(part).or_default();
        }
        node.text = Some(text);
    }
    to_value(&root, schema, false)
}

/// The value of one field, without looking at the others' values.
pub(crate) fn field(body: &[u8], name: &str) -> Option<String> {
    let mut pairs = body.split(|byte| *byte == b'&');
    let value = pairs.find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    unescape(value).ok()
}

/// The fields of a form-encoded body or query string, in their order.
pub(crate) fn fields(body: &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut fields = Vec::new();
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        if fields.len() >= FIELDS_MAX {
            return Err(format!("The request has more than {FIELDS_MAX} parameters."));
        }
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = unescape(halves.next().unwrap_or_default())?;
        let value = unescape(halves.next().unwrap_or_default())?;
        fields.push((name, value));
    }
    Ok(fields)
}

fn unescape(text: &[u8]) -> Result<String, String> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let bytes: Vec<u8> = percent_encoding::percent_decode(&spaced).collect();
    String::from_utf8(bytes).map_err(|error| {
        format!(
            "A parameter is not valid UTF-8: {:?}",
            String::from_utf8_lossy(error.as_bytes()).chars().take(64).collect::<String>()
        )
    })
}

fn to_value(node: &Node<'_>, schema: &Schema, flat: bool) -> Result<Value, String> {
    match schema.kind {
        Kind::Structure(members) => {
            let mut object = Map::new();
            for member in members {
                if let Some(node) = node.parts.get(member.query_name) {
                    object.insert(member.name.to_owned(), to_value(node, member.schema, member.flattened)?);
                }
            }
            Ok(Value::Object(object))
        }
        Kind::List { member, member_name, flattened } => entries(node, member_name, flattened || flat)?
            .into_iter()
            .map(|node| to_value(node, member, false))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        Kind::Map { value, key_name, value_name, flattened, .. } => {
            let mut object = Map::new();
            for node in entries(node, "entry", flattened || flat)? {
                let name = node
                    .parts
                    .get(key_name)
                    .and_then(|name| name.text)
                    .ok_or_else(|| format!("An entry of the map {} has no \"{key_name}\".", schema.name))?;
                let Some(node) = node.parts.get(value_name) else {
                    return Err(format!("The entry {name:?} of the map {} has no \"{value_name}\".", schema.name));
                };
                object.insert(name.to_owned(), to_value(node, value, false)?);
            }
            Ok(Value::Object(object))
        }
        Kind::Document => Ok(node.text.map_or(Value::Null, Value::from)),
        kind => {
            let Some(text) = node.text else {
                return Err(format!("Start of structure or map found where not expected (a value of {} is).", schema.name));
            };
            scalar(kind, text, schema)
        }
    }
}

/// The entries of a list or map, in the order of their indexes.
fn entries<'n, 'a>(node: &'n Node<'a>, element: &str, flattened: bool) -> Result<Vec<&'n Node<'a>>, String> {
    let node = if flattened { Some(node) } else { node.parts.get(element) };
    let Some(node) = node else {
        return Ok(Vec::new());
    };
    let mut entries = Vec::with_capacity(node.parts.len());
    for (index, entry) in &node.parts {
        let index: u32 =
            index.parse().map_err(|_| format!("{index:?} is not an index of a list or map; {element}.1, {element}.2 … are."))?;
        entries.push((index, entry));
    }
    entries.sort_unstable_by_key(|(index, _)| *index);
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

pub(crate) fn scalar(kind: Kind, text: &str, schema: &Schema) -> Result<Value, String> {
    let value = match kind {
        Kind::Integer | Kind::Long => text.parse::<i64>().ok().map(Value::from),
        Kind::Double => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        Kind::Boolean => match text {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            _ => None,
        },
        _ => Some(Value::from(text)),
    };
    value.ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        format!("{shown:?} is not a value of {}.", schema.name)
    })
}

/// Writes an input as form fields (without `Action` and `Version`).
pub(crate) fn write(value: &Value, schema: &Schema) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    write_into(value, schema, String::new(), false, &mut fields);
    fields
}

fn write_into(value: &Value, schema: &Schema, name: String, flat: bool, fields: &mut Vec<(String, String)>) {
    let under = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    match (schema.kind, value) {
        (Kind::Structure(members), Value::Object(object)) => {
            for member in members {
                if let Some(value) = object.get(member.name) {
                    write_into(value, member.schema, under(member.query_name), member.flattened, fields);
                }
            }
        }
        (Kind::List { member, member_name, flattened }, Value::Array(values)) => {
            if values.is_empty() {
                fields.push((name, String::new()));
                return;
            }
            let list = if flattened || flat { name } else { under(member_name) };
            for (i, value) in values.iter().enumerate() {
                write_into(value, member, format!("{list}.{}", i + 1), false, fields);
            }
        }
        (Kind::Map { value: schema, key_name, value_name, flattened, .. }, Value::Object(object)) => {
            let map = if flattened || flat { name } else { under("entry") };
            for (i, (key, value)) in object.iter().enumerate() {
                fields.push((format!("{map}.{}.{key_name}", i + 1), key.clone()));
                write_into(value, schema, format!("{map}.{}.{value_name}", i + 1), false, fields);
            }
        }
        (Kind::Timestamp, value) => {
            let timestamp = Timestamp::from_value(value.clone()).unwrap_or_default();
            fields.push((name, timestamp.iso8601()));
        }
        (_, Value::String(text)) => fields.push((name, text.clone())),
        (_, other) => fields.push((name, other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;
    use crate::sns;
    use serde_json::json;

    fn parsed<O: Operation>(body: &str) -> Result<Value, String> {
        parse(body.as_bytes(), O::INPUT)
    }

    #[test]
    fn names_lead_into_lists_maps_and_structures() {
        for (value, expected) in [
            (
                parsed::<sns::CreateTopic>(
                    "Action=CreateTopic&Version=2010-03-31&Name=t&Attributes.entry.1.key=DisplayName\
                     &Attributes.entry.1.value=a%20b%26c&Tags.member.10.Key=k10&Tags.member.10.Value=v\
                     &Tags.member.2.Key=k2&Tags.member.2.Value=",
                ),
                json!({
                    "Name": "t",
                    "Attributes": {"DisplayName": "a b&c"},
                    "Tags": [{"Key": "k2", "Value": ""}, {"Key": "k10", "Value": "v"}],
                }),
            ),
            (
                parsed::<sns::Publish>(
                    "Message=hello+world&MessageAttributes.entry.1.Name=n&MessageAttributes.entry.1.Value.DataType=String\
                     &MessageAttributes.entry.1.Value.StringValue=%C3%A9",
                ),
                json!({
                    "Message": "hello world",
                    "MessageAttributes": {"n": {"DataType": "String", "StringValue": "é"}},
                }),
            ),
            (
                parsed::<sns::UntagResource>("ResourceArn=a&TagKeys.member.1=x&TagKeys.member.2=y"),
                json!({"ResourceArn": "a", "TagKeys": ["x", "y"]}),
            ),
            (parsed::<sns::UntagResource>("ResourceArn=a&TagKeys="), json!({"ResourceArn": "a", "TagKeys": []})),
            (parsed::<sns::Subscribe>("ReturnSubscriptionArn=true&Nonsense.1.2=3"), json!({"ReturnSubscriptionArn": true})),
        ] {
            assert_eq!(value.unwrap(), expected);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (body, expected) in [
            ("Message=%FF".to_owned(), "not valid UTF-8"),
            ("MessageAttributes.entry.x.Name=n".to_owned(), "\"x\" is not an index"),
            ("MessageAttributes.entry.1.Name=n".to_owned(), "has no \"Value\""),
            ("MessageAttributes.entry.1.Value.DataType=String".to_owned(), "has no \"Name\""),
            ("MessageAttributes.entry.4294967296.Name=n".to_owned(), "is not an index"),
            ("Message.member.1=x".to_owned(), "found where not expected"),
            (format!("{}=x", "a.".repeat(20)), "more than 16 parts"),
            ("a=b&".repeat(FIELDS_MAX + 1), "more than 10000 parameters"),
        ] {
            let error = parsed::<sns::Publish>(&body).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let error = parsed::<sns::Subscribe>("ReturnSubscriptionArn=maybe").unwrap_err();
        assert!(error.contains("\"maybe\" is not a value"), "{error}");
    }

    #[test]
    fn an_input_that_is_written_can_be_read() {
        let value = json!({
            "TopicArn": "arn:aws:sns:us-east-1:000000000000:t",
            "PublishBatchRequestEntries": [
                {"Id": "1", "Message": "a=b&c", "MessageAttributes": {"n.1": {"DataType": "Binary", "BinaryValue": "AAE="}}},
                {"Id": "2", "Message": "é +%"},
            ],
        });
        let schema = sns::PublishBatch::INPUT;
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(write(&value, schema)).finish();
        assert_eq!(parse(body.as_bytes(), schema).unwrap(), value);
    }
}
