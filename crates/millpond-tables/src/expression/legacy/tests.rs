use super::*;
use crate::expression::testing::item;
use crate::value::Item;
use crate::value::key::{KeyAttribute, KeyType, SortRange};
use serde_json::json;

/// Conditions from the JSON of a request.
fn conditions(json: &Json) -> Vec<(&str, LegacyCondition<'_>)> {
    json.as_object()
        .unwrap()
        .iter()
        .map(|(name, members)| {
            (
                name.as_str(),
                LegacyCondition {
                    comparison: members.get("ComparisonOperator").and_then(Json::as_str),
                    values: members.get("AttributeValueList").and_then(Json::as_array).map(Vec::as_slice),
                    value: members.get("Value"),
                    exists: members.get("Exists").and_then(Json::as_bool),
                },
            )
        })
        .collect()
}

fn attributes() -> Item {
    item(json!({"s": {"S": "hello"}, "n": {"N": "10"}, "ss": {"SS": ["a", "b"]}, "l": {"L": [{"N": "1"}]}}))
}

#[test]
fn conditions_hold_as_their_operators_say() {
    for (json, expected) in [
        (json!({"s": {"Value": {"S": "hello"}}}), true),
        (json!({"s": {"Exists": true, "Value": {"S": "x"}}}), false),
        (json!({"s": {"Exists": false}}), false),
        (json!({"none": {"Exists": false}}), true),
        (json!({"s": {"ComparisonOperator": "EQ", "Value": {"S": "hello"}}}), true),
        (json!({"none": {"ComparisonOperator": "NE", "AttributeValueList": [{"S": "x"}]}}), true),
        (json!({"n": {"ComparisonOperator": "LE", "AttributeValueList": [{"N": "10"}]}}), true),
        (json!({"n": {"ComparisonOperator": "LT", "AttributeValueList": [{"N": "10"}]}}), false),
        (json!({"n": {"ComparisonOperator": "GE", "AttributeValueList": [{"N": "9"}]}}), true),
        (json!({"n": {"ComparisonOperator": "GT", "AttributeValueList": [{"S": "9"}]}}), false),
        (json!({"none": {"ComparisonOperator": "NULL"}}), true),
        (json!({"s": {"ComparisonOperator": "NOT_NULL"}}), true),
        (json!({"ss": {"ComparisonOperator": "CONTAINS", "AttributeValueList": [{"S": "a"}]}}), true),
        (json!({"l": {"ComparisonOperator": "CONTAINS", "AttributeValueList": [{"N": "1"}]}}), true),
        (json!({"ss": {"ComparisonOperator": "NOT_CONTAINS", "AttributeValueList": [{"S": "z"}]}}), true),
        (json!({"none": {"ComparisonOperator": "NOT_CONTAINS", "AttributeValueList": [{"S": "z"}]}}), false),
        (json!({"s": {"ComparisonOperator": "BEGINS_WITH", "AttributeValueList": [{"S": "he"}]}}), true),
        (json!({"s": {"ComparisonOperator": "IN", "AttributeValueList": [{"S": "x"}, {"S": "hello"}]}}), true),
        (json!({"n": {"ComparisonOperator": "BETWEEN", "AttributeValueList": [{"N": "9"}, {"N": "11"}]}}), true),
        (json!({"s": {"Value": {"S": "hello"}}, "n": {"Value": {"N": "11"}}}), false),
        (json!({}), true),
    ] {
        assert_eq!(expected_holds(&json, None), expected, "{json}");
    }
    assert!(expected_holds(&json!({"s": {"Value": {"S": "hello"}}, "n": {"Value": {"N": "11"}}}), Some("OR")));
}

fn expected_holds(json: &Json, operator: Option<&str>) -> bool {
    expected(conditions(json), operator).unwrap_or_else(|error| panic!("{json}: {error}")).holds(&attributes())
}

#[test]
fn faults_have_the_texts_of_dynamodb() {
    for (json, message) in [
        (json!({"a": {}}), "Value must be provided when Exists is null for Attribute: a"),
        (json!({"a": {"Exists": true}}), "Value must be provided when Exists is true for Attribute: a"),
        (json!({"a": {"Exists": false, "Value": {"S": "x"}}}), "Value cannot be used when Exists is false for Attribute: a"),
        (
            json!({"a": {"AttributeValueList": []}}),
            "AttributeValueList can only be used with a ComparisonOperator for Attribute: a",
        ),
        (
            json!({"a": {"AttributeValueList": [], "Value": {"S": "x"}}}),
            "Value and AttributeValueList cannot be used together for Attribute: a",
        ),
        (
            json!({"a": {"Exists": true, "ComparisonOperator": "NULL"}}),
            "Exists and ComparisonOperator cannot be used together for Attribute: a",
        ),
        (
            json!({"a": {"ComparisonOperator": "EQ"}}),
            "Value or AttributeValueList must be used with ComparisonOperator: EQ for Attribute: a",
        ),
        (
            json!({"a": {"ComparisonOperator": "NULL", "Value": {"S": "a"}}}),
            "Invalid number of argument(s) for the NULL ComparisonOperator",
        ),
        (
            json!({"a": {"ComparisonOperator": "BETWEEN", "AttributeValueList": [{"S": "a"}]}}),
            "Invalid number of argument(s) for the BETWEEN ComparisonOperator",
        ),
        (
            json!({"a": {"ComparisonOperator": "LT", "AttributeValueList": [{"BOOL": true}]}}),
            "ComparisonOperator LT is not valid for BOOL AttributeValue type",
        ),
        (
            json!({"a": {"ComparisonOperator": "CONTAINS", "AttributeValueList": [{"L": []}]}}),
            "ComparisonOperator CONTAINS is not valid for L AttributeValue type",
        ),
        (
            json!({"a": {"ComparisonOperator": "BEGINS_WITH", "AttributeValueList": [{"N": "1"}]}}),
            "ComparisonOperator BEGINS_WITH is not valid for N AttributeValue type",
        ),
        (
            json!({"a": {"ComparisonOperator": "IN", "AttributeValueList": [{"S": "b"}, {"N": "1"}]}}),
            "AttributeValues inside AttributeValueList must be of same type",
        ),
    ] {
        let error = expected(conditions(&json), None).unwrap_err().to_string();
        assert_eq!(error, format!("One or more parameter values were invalid: {message}"), "{json}");
    }
    let json = json!({"a": {"ComparisonOperator": "BETWEEN", "AttributeValueList": [{"S": "b"}, {"S": "a"}]}});
    assert!(filter(conditions(&json), None).unwrap_err().to_string().starts_with("The BETWEEN condition was provided a range"));
    let json = json!({"a": {"ComparisonOperator": "EQ", "AttributeValueList": [{}]}});
    assert!(filter(conditions(&json), None).unwrap_err().to_string().starts_with("Supplied AttributeValue is empty"));
    let json = json!({"a": {"ComparisonOperator": "NE"}});
    assert!(
        filter(conditions(&json), None)
            .unwrap_err()
            .to_string()
            .ends_with("Invalid number of argument(s) for the NE ComparisonOperator")
    );
}

#[test]
fn key_conditions_become_ranges() {
    let attribute = |name: &str, key_type| KeyAttribute { name: name.into(), key_type };
    let schema = KeySchema { hash: attribute("h", KeyType::String), range: Some(attribute("r", KeyType::Number)) };
    let key = json!({"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "x"}]});
    let range =
        |json: Json| key_conditions(conditions(&json), &schema).map(|range| range.sort).map_err(|error| error.to_string());
    assert_eq!(range(json!({"h": key})), Ok(SortRange::All));
    let sort = json!({"ComparisonOperator": "GT", "AttributeValueList": [{"N": "5"}]});
    assert_eq!(range(json!({"h": key, "r": sort})), Ok(SortRange::Greater(Value::from(5))));
    let is_null = json!({"ComparisonOperator": "NULL"});
    assert_eq!(
        range(json!({"h": key, "r": is_null})),
        Err("Attempted conditional constraint is not an indexable operation".into())
    );
    assert_eq!(range(json!({})), Err("Conditions can be of length 1 or 2 only".into()));
    assert_eq!(range(json!({"h": key, "r": sort, "x": sort})), Err("Conditions can be of length 1 or 2 only".into()));
    assert_eq!(range(json!({"r": sort})), Err("Query condition missed key schema element: h".into()));
    assert_eq!(
        range(json!({"h": sort})),
        Err("One or more parameter values were invalid: Condition parameter type does not match schema type".into())
    );
}

fn updates(json: &Json) -> Result<Update, String> {
    let members = json
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, update)| (name.as_str(), update.get("Action").and_then(Json::as_str), update.get("Value")));
    attribute_updates(members).map_err(|error| error.to_string())
}

#[test]
fn attribute_updates_put_add_and_delete() {
    for (json, before, after) in [
        (
            json!({"a": {"Value": {"S": "x"}}, "b.c": {"Action": "PUT", "Value": {"N": "1"}}}),
            json!({}),
            json!({"a": {"S": "x"}, "b.c": {"N": "1"}}),
        ),
        (json!({"a": {"Action": "DELETE"}}), json!({"a": {"S": "x"}}), json!({})),
        (
            json!({"a": {"Action": "DELETE", "Value": {"SS": ["x"]}}}),
            json!({"a": {"SS": ["x", "y"]}}),
            json!({"a": {"SS": ["y"]}}),
        ),
        (json!({"a": {"Action": "ADD", "Value": {"N": "2"}}}), json!({"a": {"N": "1"}}), json!({"a": {"N": "3"}})),
        (
            json!({"a": {"Action": "ADD", "Value": {"L": [{"N": "2"}]}}}),
            json!({"a": {"L": [{"N": "1"}]}}),
            json!({"a": {"L": [{"N": "1"}, {"N": "2"}]}}),
        ),
    ] {
        let mut found = item(before);
        updates(&json).unwrap().apply(&mut found).unwrap();
        assert_eq!(found, item(after), "{json}");
    }
    let mut found = item(json!({"a": {"S": "x"}}));
    let error = updates(&json!({"a": {"Action": "ADD", "Value": {"N": "2"}}})).unwrap().apply(&mut found).unwrap_err();
    assert_eq!(error.to_string(), "Type mismatch for attribute to update");
    for (json, message) in [
        (json!({"a": {}}), "Only DELETE action is allowed when no attribute value is specified"),
        (json!({"a": {"Action": "ADD"}}), "Only DELETE action is allowed when no attribute value is specified"),
        (json!({"a": {"Action": "DELETE", "Value": {"S": "x"}}}), "DELETE action with value is not supported for the type S"),
        (json!({"a": {"Action": "ADD", "Value": {"M": {}}}}), "ADD action is not supported for the type M"),
    ] {
        assert_eq!(updates(&json).unwrap_err(), format!("One or more parameter values were invalid: {message}"), "{json}");
    }
    assert_eq!(updates(&json!({"": {"Value": {"S": "x"}}})).unwrap_err(), "Empty attribute name");
}

#[test]
fn a_value_of_the_wrong_json_is_told_from_a_wrong_value() {
    for (value, malformed) in [(json!({"S": 1}), true), (json!({"N": "x"}), false), (json!(null), false)] {
        let json = json!({"a": {"ComparisonOperator": "EQ", "AttributeValueList": [value]}});
        assert_eq!(filter(conditions(&json), None).unwrap_err().is_malformed(), malformed, "{json}");
        let error = crate::expression::testing::try_placeholders(&Json::Null, &json!({":v": value})).unwrap_err();
        assert_eq!(error.is_malformed(), malformed, "{value}: {error}");
    }
}
