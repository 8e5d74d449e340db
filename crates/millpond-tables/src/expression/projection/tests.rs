use super::*;
use crate::expression::testing::{plain_item, usual};
use serde_json::json;

#[test]
fn the_wanted_parts_are_left_and_elements_move_up() {
    let item = plain_item(&json!({
        "id": 1, "a": {"b": {"c": 1, "d": 2}, "e": 3, "l": [10, 11, {"x": 12, "y": 13}, [14, 15]]}, "x.y": 5, "f": [[1, 2], [3, 4]], "e0": {}
    }));
    for (text, expected) in [
        ("id", json!({"id": 1})),
        ("id, absent", json!({"id": 1})),
        ("#dot", json!({"x.y": 5})),
        ("a.b.c", json!({"a": {"b": {"c": 1}}})),
        ("a.b.c, a.e", json!({"a": {"b": {"c": 1}, "e": 3}})),
        ("a.b, #a.absent", json!({"a": {"b": {"c": 1, "d": 2}}})),
        ("a.absent", json!({})),
        ("a.e.f", json!({})),
        ("a[0]", json!({})),
        ("e0", json!({"e0": {}})),
        ("e0.x", json!({})),
        ("a.l[1]", json!({"a": {"l": [11]}})),
        ("a.l[3][1], a.l[0], a.l[9]", json!({"a": {"l": [10, [15]]}})),
        ("a.l[2].y, a.l[2].x", json!({"a": {"l": [{"x": 12, "y": 13}]}})),
        ("f[1][0], f[0]", json!({"f": [[1, 2], [3]]})),
    ] {
        let projection = Projection::parse(text, &mut usual()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(projection.apply(&item), plain_item(&expected), "{text}");
    }
    assert_eq!(Projection::of_names(["id", "absent"]).apply(&item), plain_item(&json!({"id": 1})));
    let projection = Projection::parse("a.b, f[1], #dot, a.e", &mut usual()).unwrap();
    assert_eq!(projection.top_level_names().into_iter().collect::<Vec<_>>(), ["a", "f", "x.y"]);
}

#[test]
fn faults_have_the_texts_of_dynamodb() {
    let overlap = |one: &str, two: &str| {
        format!(
            "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: {one}, path two: {two}"
        )
    };
    for (text, message) in [
        ("", "The expression can not be empty;".to_owned()),
        ("a,", "Syntax error; token: \"<EOF>\", near: \",\"".into()),
        ("a b", "Syntax error; token: \"b\", near: \"a b\"".into()),
        ("a = :n", "Syntax error; token: \"=\", near: \"a = :n\"".into()),
        ("size(a)", "Syntax error; token: \"(\", near: \"size(a\"".into()),
        ("a[-1]", "Syntax error; token: \"-\", near: \"[-1\"".into()),
        ("data", "Attribute name is a reserved keyword; reserved keyword: data".into()),
        ("#x", "An expression attribute name used in the document path is not defined; attribute name: #x".into()),
        ("a, a", overlap("[a]", "[a]")),
        ("a, b, #a.b", overlap("[a]", "[a, b]")),
        ("a.b.c, c, a.b", overlap("[a, b, c]", "[a, b]")),
        ("a[1].x, a[1]", overlap("[a, [1], x]", "[a, [1]]")),
        ("a.b, a[1]", overlap("[a, b]", "[a, [1]]").replace("overlap", "conflict")),
    ] {
        let error = Projection::parse(text, &mut usual()).unwrap_err();
        assert_eq!(error.to_string(), format!("Invalid ProjectionExpression: {message}"), "{text}");
    }
}
