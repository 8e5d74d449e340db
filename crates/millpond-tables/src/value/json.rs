//! DynamoDB JSON: each value is an object of one member that names its type. API reference, `AttributeValue`.

use super::{DEPTH_MAX, Item, Kind, Value, ValueError, check_name};
use crate::number::Number;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value as Json};
use std::io::Write as _;

/// Binary values: padding is written, and not asked for.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads a value: `{"S": "text"}`, `{"N": "1"}`, `{"B": base64}`, `{"BOOL": true}`, `{"NULL": true}`, `{"L": […]}`, `{"M": {…}}`, `{"SS": […]}`, `{"NS": […]}`,
/// `{"BS": […]}`. Members of other names and `null` count as absent; `null` itself is a value without members.
///
/// # Errors
/// See [`ValueError`].
pub fn read_value(json: &Json) -> Result<Value, ValueError> {
    read(json, 0)
}

/// Reads an item: an object of values by name.
///
/// # Errors
/// See [`ValueError`].
pub fn read_item(json: &Json) -> Result<Item, ValueError> {
    read_attributes(members(json)?)
}

/// Reads an item whose members came apart already, as the wire types have it.
///
/// # Errors
/// See [`ValueError`].
pub fn read_attributes<'a>(
    members: impl IntoIterator<Item = (&'a String, &'a Json), IntoIter: Clone>,
) -> Result<Item, ValueError> {
    read_members(members.into_iter(), 0)
}

/// All names are looked at before the first value is, as DynamoDB does.
fn read_members<'a>(members: impl Iterator<Item = (&'a String, &'a Json)> + Clone, depth: usize) -> Result<Item, ValueError> {
    members.clone().try_for_each(|(name, _)| check_name(name))?;
    members.map(|(name, json)| Ok((name.clone(), read(json, depth)?))).collect()
}

fn members(json: &Json) -> Result<&Map<String, Json>, ValueError> {
    json.as_object().ok_or_else(|| shape(json, "an attribute map"))
}

/// What of a JSON is not what it should be, in the words of AWS's deserialiser.
fn shape(json: &Json, expected: &str) -> ValueError {
    let actual = match json {
        Json::Null => "NULL_VALUE",
        Json::Bool(true) => "TRUE_VALUE",
        Json::Bool(false) => "FALSE_VALUE",
        Json::Number(_) => "NUMBER_VALUE",
        Json::String(_) => "STRING_VALUE",
        Json::Array(_) => "START_ARRAY",
        Json::Object(_) => "START_OBJECT",
    };
    ValueError::Shape(format!("{actual} cannot be converted to {expected}"))
}

const KINDS: [Kind; 10] = [
    Kind::String,
    Kind::Number,
    Kind::Binary,
    Kind::Bool,
    Kind::Null,
    Kind::List,
    Kind::Map,
    Kind::StringSet,
    Kind::NumberSet,
    Kind::BinarySet,
];

fn read(json: &Json, depth: usize) -> Result<Value, ValueError> {
    if json.is_null() {
        return Err(ValueError::Empty);
    }
    let members = members(json)?;
    // A value that is wrong is told before that there are several.
    let mut found = None;
    let mut several = false;
    for (name, content) in members {
        let Some(kind) = KINDS.into_iter().find(|kind| kind.name() == name) else { continue };
        if content.is_null() {
            continue;
        }
        several |= found.is_some();
        found = Some(read_kind(kind, content, depth)?);
    }
    if several {
        return Err(ValueError::Several);
    }
    found.ok_or(ValueError::Empty)
}

fn read_kind(kind: Kind, json: &Json, depth: usize) -> Result<Value, ValueError> {
    if matches!(kind, Kind::List | Kind::Map) && depth >= DEPTH_MAX {
        return Err(ValueError::Depth);
    }
    Ok(match kind {
        Kind::String => Value::String(text(json)?.to_owned()),
        Kind::Number => Value::Number(text(json)?.parse()?),
        Kind::Binary => Value::Binary(binary(json)?),
        Kind::Bool => Value::Bool(boolean(json)?),
        Kind::Null if boolean(json)? => Value::Null,
        Kind::Null => return Err(ValueError::NullNotTrue),
        Kind::List => Value::List(list(json)?.iter().map(|element| read(element, depth + 1)).collect::<Result<_, _>>()?),
        Kind::Map => Value::Map(read_members(members(json)?.iter(), depth + 1)?),
        Kind::StringSet => {
            let elements: Vec<String> = list(json)?.iter().map(|e| text(e).map(str::to_owned)).collect::<Result<_, _>>()?;
            Value::StringSet(string_set(elements)?)
        }
        Kind::NumberSet => {
            let elements = list(json)?.iter().map(|e| Ok(text(e)?.parse()?)).collect::<Result<_, ValueError>>()?;
            Value::NumberSet(number_set(elements)?)
        }
        Kind::BinarySet => Value::BinarySet(binary_set(list(json)?.iter().map(binary).collect::<Result<_, _>>()?)?),
    })
}

/// A set in the order of its elements.
pub(crate) fn string_set(mut elements: Vec<String>) -> Result<Vec<String>, ValueError> {
    if elements.is_empty() {
        return Err(ValueError::EmptySet("An string set  may not be empty"));
    }
    let shown = || format!("[{}]", elements.join(", "));
    if has_duplicates(&elements) {
        return Err(ValueError::Duplicates(shown()));
    }
    elements.sort_unstable();
    Ok(elements)
}

/// See [`string_set`].
pub(crate) fn number_set(mut elements: Vec<Number>) -> Result<Vec<Number>, ValueError> {
    if elements.is_empty() {
        return Err(ValueError::EmptySet("An number set  may not be empty"));
    }
    if has_duplicates(&elements) {
        return Err(ValueError::DuplicateNumbers);
    }
    elements.sort_unstable();
    Ok(elements)
}

/// See [`string_set`].
pub(crate) fn binary_set(mut elements: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, ValueError> {
    if elements.is_empty() {
        return Err(ValueError::EmptySet("Binary sets should not be empty"));
    }
    if has_duplicates(&elements) {
        let shown: Vec<_> = elements.iter().map(|element| BASE64.encode(element)).collect();
        return Err(ValueError::Duplicates(format!("[{}]of type BS", shown.join(", "))));
    }
    elements.sort_unstable();
    Ok(elements)
}

fn has_duplicates<T: Ord>(elements: &[T]) -> bool {
    let mut sorted: Vec<&T> = elements.iter().collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

fn text(json: &Json) -> Result<&str, ValueError> {
    json.as_str().ok_or_else(|| shape(json, "String"))
}

fn list(json: &Json) -> Result<&Vec<Json>, ValueError> {
    json.as_array().ok_or_else(|| shape(json, "List"))
}

fn binary(json: &Json) -> Result<Vec<u8>, ValueError> {
    let text = json.as_str().ok_or_else(|| shape(json, "Blob"))?;
    BASE64.decode(text).map_err(|_| ValueError::Shape("a binary value is not valid Base64".into()))
}

fn boolean(json: &Json) -> Result<bool, ValueError> {
    match json {
        Json::Bool(value) => Ok(*value),
        Json::String(text) => Ok(text.eq_ignore_ascii_case("true")),
        _ => Err(shape(json, "Boolean")),
    }
}

/// A value as JSON.
pub fn write_value(value: &Value) -> Json {
    let content = match value {
        Value::String(text) => Json::String(text.clone()),
        Value::Number(number) => Json::String(number.to_string()),
        Value::Binary(bytes) => Json::String(BASE64.encode(bytes)),
        Value::Bool(value) => Json::Bool(*value),
        Value::Null => Json::Bool(true),
        Value::List(elements) => elements.iter().map(write_value).collect(),
        Value::Map(item) => write_item(item),
        Value::StringSet(elements) => elements.iter().map(String::as_str).collect(),
        Value::NumberSet(elements) => elements.iter().map(Number::to_string).collect(),
        Value::BinarySet(elements) => elements.iter().map(|element| BASE64.encode(element)).collect(),
    };
    Json::Object(Map::from_iter([(value.kind().name().to_owned(), content)]))
}

/// An item as JSON: an object.
pub fn write_item(item: &Item) -> Json {
    Json::Object(item.iter().map(|(name, value)| (name.clone(), write_value(value))).collect())
}

/// An item as text of JSON, appended: what [`write_item`] says, without the detour (exports, answers).
pub fn write_item_text(item: &Item, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in item.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        quote(name, out);
        out.push(b':');
        write_text(value, out);
    }
    out.push(b'}');
}

fn write_text(value: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(value.kind().name().as_bytes());
    out.extend_from_slice(b"\":");
    match value {
        Value::String(text) => quote(text, out),
        Value::Number(number) => quote_plain(number, out),
        Value::Binary(bytes) => quote_plain(&BASE64.encode(bytes), out),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Bool(true) | Value::Null => out.extend_from_slice(b"true"),
        Value::List(elements) => write_list(elements, out, write_text),
        Value::Map(item) => write_item_text(item, out),
        Value::StringSet(elements) => write_list(elements, out, |element, out| quote(element, out)),
        Value::NumberSet(elements) => write_list(elements, out, quote_plain),
        Value::BinarySet(elements) => write_list(elements, out, |element, out| quote_plain(&BASE64.encode(element), out)),
    }
    out.push(b'}');
}

fn write_list<T>(elements: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(element, out);
    }
    out.push(b']');
}

/// What needs no escapes.
fn quote_plain(text: &impl std::fmt::Display, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = write!(out, "\"{text}\"");
}

fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => b"",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[from..at]);
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.extend_from_slice(escape);
        }
        from = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_go_through_json_unchanged() {
        let all = json!({
            "a": {"S": "text \" \\ \n \u{1} é 😀"}, "b": {"N": "-56.789"}, "c": {"B": "Yg=="}, "d": {"BOOL": false}, "e": {"NULL": true}, "f": {"SS": ["", "a"]},
            "g": {"NS": ["-56.789", "3"]}, "h": {"BS": ["", "Yg=="]}, "i": {"L": [{"S": ""}, {"L": []}]}, "j": {"M": {"x": {"M": {}}}}, "k": {"B": ""}
        });
        let item = read_item(&all).unwrap();
        assert_eq!(write_item(&item), all);
        let mut text = Vec::new();
        write_item_text(&item, &mut text);
        assert_eq!(serde_json::from_slice::<Json>(&text).unwrap(), all);
    }

    #[test]
    fn sets_are_sorted_and_numbers_canonical() {
        assert_eq!(write_value(&read_value(&json!({"NS": ["10", "9", "1e-1"]})).unwrap()), json!({"NS": ["0.1", "9", "10"]}));
        assert_eq!(write_value(&read_value(&json!({"SS": ["b", "B", "a"]})).unwrap()), json!({"SS": ["B", "a", "b"]}));
        assert_eq!(read_value(&json!({"B": "Yg"})).unwrap(), Value::Binary(b"b".to_vec()));
        assert_eq!(read_value(&json!({"S": null, "N": "1"})).unwrap(), Value::from(1));
    }

    #[test]
    fn wrong_values_are_refused_with_dynamodbs_words() {
        let empty = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
        for (json, message) in [
            (json!({}), empty),
            (json!({"a": ""}), empty),
            (json!({"L": [{}]}), empty),
            (json!({"M": {"a": {"x": 1}}}), empty),
            (json!(null), empty),
            (json!({"M": {"a": null}}), empty),
            (json!({"L": [{"S": "a"}, null]}), empty),
            (json!({"M": {"a": {"N": "x"}, "": {"S": "a"}}}), "Empty attribute name"),
            (json!({"SS": [null]}), "NULL_VALUE cannot be converted to String"),
            (
                json!({"S": "a", "N": "1"}),
                "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
            ),
            (json!({"S": "a", "N": ""}), "The parameter cannot be converted to a numeric value"),
            (json!({"NS": ["1", "b"]}), "The parameter cannot be converted to a numeric value: b"),
            (
                json!({"NULL": false}),
                "One or more parameter values were invalid: Null attribute value types must have the value of true",
            ),
            (json!({"SS": []}), "One or more parameter values were invalid: An string set  may not be empty"),
            (json!({"NS": []}), "One or more parameter values were invalid: An number set  may not be empty"),
            (json!({"BS": []}), "One or more parameter values were invalid: Binary sets should not be empty"),
            (
                json!({"SS": ["a", "a"]}),
                "One or more parameter values were invalid: Input collection [a, a] contains duplicates.",
            ),
            (
                json!({"BS": ["Yg==", "Yg=="]}),
                "One or more parameter values were invalid: Input collection [Yg==, Yg==]of type BS contains duplicates.",
            ),
            (json!({"NS": ["1", "1.0"]}), "Input collection contains duplicates"),
            (json!({"N": 5}), "NUMBER_VALUE cannot be converted to String"),
            (json!({"B": "%"}), "a binary value is not valid Base64"),
            (json!("x"), "STRING_VALUE cannot be converted to an attribute map"),
        ] {
            assert_eq!(read_value(&json).unwrap_err().to_string(), message, "{json}");
        }
    }

    #[test]
    fn attributes_have_names_of_1_to_65535_bytes() {
        let item = |name: &str| read_item(&json!({"id": {"S": "a"}, name: {"S": "b"}}));
        assert_eq!(item(""), Err(ValueError::EmptyName));
        assert_eq!(item(&"é".repeat(32_768)), Err(ValueError::LongName));
        assert_eq!(item(&"n".repeat(65_535)).map(|item| item.len()), Ok(2));
    }

    #[test]
    fn thirty_two_levels_are_the_most() {
        let nested = |levels| {
            (0..levels).fold(
                json!({"S": "x"}),
                |inner, level| if level % 2 == 0 { json!({"L": [inner]}) } else { json!({"M": {"a": inner}}) },
            )
        };
        assert_eq!(read_value(&nested(32)).unwrap().depth(), 32);
        assert_eq!(read_value(&nested(33)), Err(ValueError::Depth));
    }

    #[test]
    fn sizes_are_those_of_the_developer_guide() {
        for (json, size) in [
            (json!({"S": "é"}), 2),
            (json!({"N": "-12.5"}), 4),
            (json!({"B": "AAAA"}), 3),
            (json!({"BOOL": true}), 1),
            (json!({"NULL": true}), 1),
            (json!({"L": []}), 3),
            (json!({"L": [{"S": "ab"}, {"N": "1"}]}), 3 + 3 + 3),
            (json!({"M": {"k": {"S": "ab"}}}), 3 + 1 + 1 + 2),
            (json!({"SS": ["ab", "c"]}), 3),
            (json!({"NS": ["1", "22"]}), 4),
            (json!({"BS": ["AAAA"]}), 3),
        ] {
            assert_eq!(read_value(&json).unwrap().size(), size, "{json}");
        }
        assert_eq!(crate::value::item_size(&read_item(&json!({"id": {"S": "abc"}, "n": {"N": "7"}})).unwrap()), 2 + 3 + 1 + 2);
    }
}
