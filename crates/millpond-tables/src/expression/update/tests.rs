use super::*;
use crate::expression::testing::{item, placeholders, plain_item, usual};
use serde_json::{Value as Json, json};

fn updated(text: &str, before: &Json, values: Json) -> Result<(Item, Touched), UpdateError> {
    let names = json!({"#s": "status"});
    let mut item = plain_item(before);
    let update = Update::parse(text, &mut placeholders(&names, &values)).unwrap_or_else(|error| panic!("{text}: {error}"));
    let old = item.clone();
    let touched = update.apply(&mut item);
    if touched.is_err() {
        assert_eq!(item, old, "{text}");
    }
    Ok((item, touched?))
}

#[test]
fn removals_from_an_item_that_is_not_there_are_ignored() {
    for (text, after) in [("REMOVE a.b, c[0], d", json!({"id": "x"})), ("SET n = :1 REMOVE a.b", json!({"id": "x", "n": 1}))] {
        let values = if text.contains(":1") { json!({":1": {"N": "1"}}) } else { json!({":x": {"S": "unused"}}) };
        let update = Update::parse(text, &mut placeholders(&json!({"#s": "status"}), &values)).unwrap();
        let mut item = plain_item(&json!({"id": "x"}));
        assert_eq!(update.apply(&mut item.clone()).unwrap_err(), UpdateError::Path, "{text}");
        update.apply_to_none(&mut item).unwrap();
        assert_eq!(item, plain_item(&after), "{text}");
    }
}

fn values() -> Json {
    json!({":1": {"N": "1"}, ":2": {"N": "2.5"}, ":s": {"S": "new"}, ":l": {"L": [{"N": "8"}, {"N": "9"}]}, ":m": {"M": {"k": {"N": "1"}}}, ":x": {"S": "x"}})
}

#[test]
fn values_are_set_removed_and_calculated_from_the_item_as_it_was() {
    for (text, before, after) in [
        ("SET a = :1", json!({}), json!({"a": 1})),
        ("set #s = :s, b = :1", json!({"status": "old"}), json!({"status": "new", "b": 1})),
        ("SET a = b, b = a", json!({"a": 1, "b": 2}), json!({"a": 2, "b": 1})),
        ("REMOVE a SET b = a", json!({"a": 1}), json!({"b": 1})),
        ("SET a = a + :1", json!({"a": 41}), json!({"a": 42})),
        ("SET a = :1 - a", json!({"a": 3}), json!({"a": -2})),
        ("SET a = (a + b)", json!({"a": 3, "b": 4}), json!({"a": 7, "b": 4})),
        ("SET a = (a) + (b)", json!({"a": 3, "b": 4}), json!({"a": 7, "b": 4})),
        ("SET a = if_not_exists(a, :1) + :2", json!({}), json!({"a": 3.5})),
        ("SET a = if_not_exists(a, :1)", json!({"a": 7}), json!({"a": 7})),
        ("SET a = if_not_exists(b, if_not_exists(c, :1))", json!({"c": 5}), json!({"a": 5, "c": 5})),
        ("SET a = list_append(a, :l)", json!({"a": [1]}), json!({"a": [1, 8, 9]})),
        ("SET a = list_append(:l, a)", json!({"a": [1]}), json!({"a": [8, 9, 1]})),
        ("SET a = list_append(if_not_exists(a, :l), :l)", json!({}), json!({"a": [8, 9, 8, 9]})),
        (
            "SET a.b = :1, a.c.d = :s REMOVE a.x, b.y",
            json!({"a": {"x": 3, "c": {}}, "b": {"x": 1, "y": 2}}),
            json!({"a": {"b": 1, "c": {"d": "new"}}, "b": {"x": 1}}),
        ),
        ("SET a[1] = :s", json!({"a": [1, 2, 3]}), json!({"a": [1, "new", 3]})),
        ("SET a[7] = :s", json!({"a": [1]}), json!({"a": [1, "new"]})),
        ("SET a[84] = :1, a[37] = :2, a[17] = :s, a[50] = :x", json!({"a": [0]}), json!({"a": [0, "new", 2.5, "x", 1]})),
        ("SET a[0].b[2] = a[1]", json!({"a": [{"b": []}, 5]}), json!({"a": [{"b": [5]}, 5]})),
        ("REMOVE a[1] SET a[3] = :s", json!({"a": [2, 3, 4, 5, 6, 7]}), json!({"a": [2, 4, "new", 6, 7]})),
        ("SET a[9] = :s REMOVE a[0], a[2], a[5]", json!({"a": [1, 2, 3]}), json!({"a": [2, "new"]})),
        ("REMOVE a[0], a[1], a[2].x", json!({"a": [1, 2, {"x": 1, "y": 2}]}), json!({"a": [{"y": 2}]})),
        (
            "REMOVE a.c[1].x.y[1], a.c[1].q",
            json!({"a": {"c": ["hi", {"x": {"y": [3, 5, 7]}, "q": 2}]}}),
            json!({"a": {"c": ["hi", {"x": {"y": [3, 7]}}]}}),
        ),
        ("REMOVE a, absent", json!({"a": 1, "b": 2}), json!({"b": 2})),
        ("REMOVE a.absent, b[7]", json!({"a": {"x": 3}, "b": ["hi"]}), json!({"a": {"x": 3}, "b": ["hi"]})),
        ("REMOVE a.b", json!({"a": {"b": 1}}), json!({"a": {}})),
        ("ADD a :1", json!({"a": 41}), json!({"a": 42})),
        ("ADD a :1", json!({}), json!({"a": 1})),
        ("ADD a.b :1, c[0] :2", json!({"a": {"b": 1}, "c": [1]}), json!({"a": {"b": 2}, "c": [3.5]})),
        ("SET a = :m", json!({}), json!({"a": {"k": 1}})),
    ] {
        let used: serde_json::Map<String, Json> =
            values().as_object().unwrap().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let (after_update, _) = updated(text, &before, Json::Object(used)).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(after_update, plain_item(&after), "{text}");
    }
}

#[test]
fn sets_take_and_lose_elements() {
    let values = json!({":ss": {"SS": ["b", "c"]}, ":ns": {"NS": ["1.0", "2"]}, ":bs": {"BS": ["YQ=="]}});
    for (text, before, after) in [
        ("ADD a :ss", json!({}), json!({"a": {"SS": ["b", "c"]}})),
        ("ADD a :ss", json!({"a": {"SS": ["a", "b"]}}), json!({"a": {"SS": ["a", "b", "c"]}})),
        ("ADD a :ns", json!({"a": {"NS": ["3", "1"]}}), json!({"a": {"NS": ["1", "2", "3"]}})),
        ("ADD a :bs", json!({"a": {"BS": ["Yg=="]}}), json!({"a": {"BS": ["YQ==", "Yg=="]}})),
        ("DELETE a :ss", json!({"a": {"SS": ["a", "b"]}}), json!({"a": {"SS": ["a"]}})),
        ("DELETE a :ss", json!({"a": {"SS": ["b", "c"]}}), json!({})),
        ("DELETE a :ss", json!({"x": {"S": "y"}}), json!({"x": {"S": "y"}})),
        ("DELETE a.b :ns", json!({"a": {"M": {"b": {"NS": ["1", "5"]}}}}), json!({"a": {"M": {"b": {"NS": ["5"]}}}})),
        ("DELETE a.b :ns", json!({"a": {"M": {}}}), json!({"a": {"M": {}}})),
        ("ADD a :ns DELETE b :ss", json!({"b": {"SS": ["x"]}}), json!({"a": {"NS": ["1", "2"]}, "b": {"SS": ["x"]}})),
    ] {
        let mut found = item(before);
        let update = Update::parse(text, &mut placeholders(&json!(null), &values)).unwrap();
        update.apply(&mut found).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(found, item(after), "{text}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let mut values = values();
    let deep = (0..32).fold(json!({"N": "1"}), |inner, _| json!({"L": [inner]}));
    values[":deep"] = deep;
    values[":big"] = json!({"N": "9e125"});
    values[":ss"] = json!({"SS": ["x"]});
    let before = json!({"a": "text", "n": 1, "l": [1], "m": {"k": 1}, "big": 0});
    let overflow = NumberError::Overflow.into();
    for (text, error) in [
        ("SET a.c = :1", UpdateError::Path),
        ("SET l.c = :1", UpdateError::Path),
        ("SET absent.c = :1", UpdateError::Path),
        ("SET a[0] = :1", UpdateError::Path),
        ("SET m[0] = :1", UpdateError::Path),
        ("SET absent[0] = :1", UpdateError::Path),
        ("SET x = :1, absent.b.c = :1", UpdateError::Path),
        ("REMOVE a.c", UpdateError::Path),
        ("REMOVE absent.c", UpdateError::Path),
        ("REMOVE a[0]", UpdateError::Path),
        ("SET n = :s REMOVE absent[0]", UpdateError::Path),
        ("ADD absent.x :1", UpdateError::Path),
        ("DELETE absent.x :ss", UpdateError::Path),
        ("SET x = absent", UpdateError::Missing),
        ("SET x = absent + :1", UpdateError::Missing),
        ("SET x = list_append(absent, :l)", UpdateError::Missing),
        ("SET x = if_not_exists(absent, another)", UpdateError::Missing),
        ("SET x = a + :1", UpdateError::OperandType),
        ("SET x = list_append(a, :l)", UpdateError::OperandType),
        ("SET x = if_not_exists(a, :1) + :1", UpdateError::OperandType),
        ("ADD a :1", UpdateError::OperandType),
        ("ADD n :ss", UpdateError::OperandType),
        ("ADD l :ss", UpdateError::OperandType),
        ("DELETE n :ss", UpdateError::OperandType),
        ("SET m.x = :deep", UpdateError::Value(ValueError::Depth)),
        ("SET x = :big + :big", overflow),
    ] {
        assert_eq!(updated(text, &before, values.clone()), Err(error), "{text}");
    }
    assert!(updated("SET x = :deep", &before, values).is_ok());
}

#[test]
fn the_touched_parts_are_told_as_they_were_and_as_they_are() {
    let before = json!({"a": {"b": 1, "c": 2}, "l": [1, 2, 3], "n": 5, "x": 9});
    for (text, old, new) in [
        ("SET a.b = :s", json!({"a": {"b": 1}}), json!({"a": {"b": "new"}})),
        ("SET n = n + :1 REMOVE x", json!({"n": 5, "x": 9}), json!({"n": 6})),
        ("SET l[1] = :s", json!({"l": [2]}), json!({"l": ["new"]})),
        ("SET l[3] = :s", json!({}), json!({"l": ["new"]})),
        ("SET l[9] = :s", json!({}), json!({})),
        ("REMOVE l[0]", json!({"l": [1]}), json!({"l": [2]})),
        ("ADD y :1", json!({}), json!({"y": 1})),
    ] {
        let (_, touched) = updated(text, &before, values()).unwrap();
        assert_eq!((touched.old, touched.new), (plain_item(&old), plain_item(&new)), "{text}");
    }
}

#[test]
fn faults_have_the_texts_of_dynamodb() {
    let count = |function: &str, count: usize| {
        format!(
            "Incorrect number of operands for operator or function; operator or function: {function}, number of operands: {count}"
        )
    };
    let kind = |function: &str, kind: &str| {
        format!("Incorrect operand type for operator or function; operator or function: {function}, operand type: {kind}")
    };
    let short = |operator: &str, kind: &str| {
        format!(
            "Incorrect operand type for operator or function; operator: {operator}, operand type: {kind}, typeSet: ALLOWED_FOR_{operator}_OPERAND"
        )
    };
    let paths = |how: &str, one: &str, two: &str| {
        format!(
            "Two document paths {how} with each other; must remove or rewrite one of these paths; path one: {one}, path two: {two}"
        )
    };
    let owned = str::to_owned;
    for (text, message) in [
        ("", owned("The expression can not be empty;")),
        ("INVALID SYNTAX HERE", owned("Syntax error; token: \"INVALID\", near: \"INVALID SYNTAX\"")),
        ("set a", owned("Syntax error; token: \"<EOF>\", near: \"a\"")),
        ("set a=set", owned("Syntax error; token: \"set\", near: \"=set\"")),
        ("SET _123 = :n", owned("Syntax error; token: \"_\", near: \"SET _123\"")),
        ("remove a = b", owned("Syntax error; token: \"=\", near: \"a = b\"")),
        ("add a b", owned("Syntax error; token: \"b\", near: \"a b\"")),
        ("delete a if_not_exist(b)", owned("Syntax error; token: \"if_not_exist\", near: \"a if_not_exist(\"")),
        ("remove a b", owned("Syntax error; token: \"b\", near: \"a b\"")),
        ("set :a = b", owned("Syntax error; token: \":a\", near: \"set :a =\"")),
        ("set a = b / c", owned("Syntax error; token: \"/\", near: \"b / c\"")),
        ("set a[1] = 1", owned("Syntax error; token: \"1\", near: \"= 1\"")),
        ("SET if_not_exist(a, b) = a", owned("Syntax error; token: \"(\", near: \"if_not_exist(a\"")),
        ("set (a = (b + c))", owned("Syntax error; token: \"(\", near: \"set (a\"")),
        ("set a = (b.c).d + e", owned("Syntax error; token: \".\", near: \").d\"")),
        ("set a = b + c + d", owned("Syntax error; token: \"+\", near: \"c + d\"")),
        ("SET c = if_not_exists(c, :n+:n)", owned("Syntax error; token: \"+\", near: \":n+:n\"")),
        ("SET a = :n,", owned("Syntax error; token: \"<EOF>\", near: \",\"")),
        (" set #nope = :c set abOrt = true ", owned("Attribute name is a reserved keyword; reserved keyword: abOrt")),
        ("set #nope = if_not_exist(:c) set c = d", owned("Invalid function name; function: if_not_exist")),
        ("SET a = size(b)", owned("The function is not allowed in an update expression; function: size")),
        (
            "SET a = list_append(list_append(:l, :l), :l)",
            owned("The function is not allowed to be used this way in an expression; function: list_append"),
        ),
        ("set a = #nope set c = :d", owned("The \"SET\" section can only be used once in an update expression;")),
        ("delete #a :ss set x = b delete #b :ss", owned("The \"DELETE\" section can only be used once in an update expression;")),
        (
            "SET #nope = if_not_exists(:c)",
            owned("An expression attribute name used in the document path is not defined; attribute name: #nope"),
        ),
        (
            "SET #a = if_not_exists(:c)",
            owned("An expression attribute value used in expression is not defined; attribute value: :c"),
        ),
        ("set d[1] = a, d.b = a, c[1].a = a, #c = if_not_exists(a)", paths("overlap", "[c, [1], a]", "[c]")),
        ("set #c[3].#d = a, #c[3] = a", paths("overlap", "[c, [3], [3]]", "[c, [3]]")),
        ("set a = :n remove a", paths("overlap", "[a]", "[a]")),
        ("set #c[3].#d = a, #c.#d[3] = if_not_exists(a)", paths("conflict", "[c, [3], [3]]", "[c, [3], [3]]")),
        ("remove a.#c set a[1] = #d", paths("conflict", "[a, c]", "[a, [1]]")),
        ("set b = list_append(:s, a), c = if_not_exists(a) add a.b :s", kind("list_append", "S")),
        ("add a.b :s", short("ADD", "STRING")),
        ("add a.b :null", short("ADD", "NULL")),
        ("add a.b :bool", short("ADD", "BOOLEAN")),
        ("add a.b :b", short("ADD", "BINARY")),
        ("add a.b :m", short("ADD", "MAP")),
        ("add a.b :l", short("ADD", "LIST")),
        ("delete a.b :n", short("DELETE", "NUMBER")),
        ("set a = if_not_exists(c)", count("if_not_exists", 1)),
        ("set a = list_append(c, d, e)", count("list_append", 3)),
        (
            "set a = if_not_exists(:s, c)",
            owned("Operator or function requires a document path; operator or function: if_not_exists"),
        ),
        (
            "set a = if_not_exists(if_not_exists(a, b), c)",
            owned("Operator or function requires a document path; operator or function: if_not_exists"),
        ),
        ("set a = list_append(a, :n)", kind("list_append", "N")),
        ("set a = a + :s", kind("+", "S")),
        ("set a = :b - a", kind("-", "B")),
        ("set a = a + list_append(:l, :l)", kind("+", "L")),
        ("set a = ((b + c))", owned("The expression has redundant parentheses;")),
    ] {
        let error = match Update::parse(text, &mut usual()) {
            Ok(_) => panic!("{text} was taken"),
            Err(error) => error.to_string(),
        };
        assert_eq!(error, format!("Invalid UpdateExpression: {message}"), "{text}");
    }
}

#[test]
fn an_update_tells_the_attributes_that_it_changes() {
    let update = Update::parse("SET a.b = x, #b = y REMOVE c[1] ADD d :n DELETE e :ss", &mut usual()).unwrap();
    assert_eq!(update.changed_names().into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
}
