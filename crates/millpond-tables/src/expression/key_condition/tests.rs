use super::*;
use crate::expression::testing::usual;
use crate::value::key::KeyType;

fn schema(range: Option<KeyType>) -> KeySchema {
    let attribute = |name: &str, key_type| KeyAttribute { name: name.into(), key_type };
    KeySchema { hash: attribute("a", KeyType::String), range: range.map(|key_type| attribute("b", key_type)) }
}

#[test]
fn ranges_of_keys_are_read() {
    let (one, two) = (Value::from(1), Value::from(2));
    for (text, sort) in [
        ("a = :s", SortRange::All),
        (":s = #a", SortRange::All),
        ("(a = :s)", SortRange::All),
        ("a = :s AND b = :n", SortRange::Equal(one.clone())),
        ("b < :n AND a = :s", SortRange::Less(one.clone())),
        ("a = :s AND b <= :n", SortRange::LessOrEqual(one.clone())),
        ("a = :s AND #b > :n", SortRange::Greater(one.clone())),
        ("a = :s AND :n > b", SortRange::Less(one.clone())),
        ("(a = :s AND (b >= :n))", SortRange::GreaterOrEqual(one.clone())),
        ("a = :s AND b BETWEEN :n AND :two", SortRange::Between(one, two)),
    ] {
        let range = KeyCondition::parse(text, &mut usual(), &schema(Some(KeyType::Number)))
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(range, KeyRange { hash: Value::from("s"), sort }, "{text}");
    }
    let range = KeyCondition::parse("a = :s AND begins_with(b, :s)", &mut usual(), &schema(Some(KeyType::String))).unwrap();
    assert_eq!(range.sort, SortRange::BeginsWith(Value::from("s")));
}

#[test]
fn faults_have_the_texts_of_dynamodb() {
    let schema_type = "One or more parameter values were invalid: Condition parameter type does not match schema type";
    let operand = |operator: &str, kind: &str| {
        format!(
            "Invalid KeyConditionExpression: Incorrect operand type for operator or function; operator or function: {operator}, operand type: {kind}"
        )
    };
    for (text, message) in [
        ("", "Invalid KeyConditionExpression: The expression can not be empty;"),
        ("a ~ :s", "Invalid KeyConditionExpression: Syntax error; token: \"~\", near: \"a ~ :s\""),
        ("hash = :s", "Invalid KeyConditionExpression: Attribute name is a reserved keyword; reserved keyword: hash"),
        ("a = :s OR b = :n", "Invalid operator used in KeyConditionExpression: OR"),
        ("a = :s AND (b = :n OR b = :two)", "Invalid operator used in KeyConditionExpression: OR"),
        ("NOT a = :s", "Invalid operator used in KeyConditionExpression: NOT"),
        ("a <> :s", "Invalid operator used in KeyConditionExpression: <>"),
        ("a IN (:s)", "Invalid operator used in KeyConditionExpression: IN"),
        ("a = :s AND contains(b, :n)", "Invalid operator used in KeyConditionExpression: contains"),
        ("attribute_exists(a)", "Invalid operator used in KeyConditionExpression: attribute_exists"),
        ("a = :s AND size(b) = :n", "KeyConditionExpressions cannot contain nested operations"),
        ("a = b", "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition"),
        (":s = :n", "Invalid condition in KeyConditionExpression: No key attribute specified"),
        ("a.x = :s", "KeyConditionExpressions cannot have conditions on nested attributes"),
        (
            "begins_with(:s, a)",
            "Invalid condition in KeyConditionExpression: begins_with operator must have the key attribute as its first operand",
        ),
        (
            "a = :s AND b > :n AND b < :two",
            "Invalid KeyConditionExpression: KeyConditionExpressions must only contain one condition per key",
        ),
        (
            "a = :s AND b > :n AND x = :n",
            "The number of query conditions (3) exceeds the number of key attributes defined in the schema (2)",
        ),
        ("b = :n", "Query condition missed key schema element: a"),
        ("x = :s", "Query condition missed key schema element: a"),
        ("a = :s AND x = :n", "Query condition missed key schema element: b"),
        ("a > :s", "Query key condition not supported"),
        ("a = :n", schema_type),
        ("a = :s AND b = :s", schema_type),
        ("a = :s AND b = :bool", schema_type),
        ("a = :s AND begins_with(b, :s)", schema_type),
        (
            "a = :empty",
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: a",
        ),
        ("a = :s AND begins_with(b, :n)", &operand("begins_with", "N")),
        ("a = :s AND b < :bool", &operand("<", "BOOL")),
        ("a = :s AND :bool >= b", &operand(">=", "BOOL")),
    ] {
        let error = KeyCondition::parse(text, &mut usual(), &schema(Some(KeyType::Number))).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
    }
    let error = KeyCondition::parse("a = :s AND b = :n", &mut usual(), &schema(None)).unwrap_err();
    assert_eq!(error.to_string(), "Query key condition not supported");
}
