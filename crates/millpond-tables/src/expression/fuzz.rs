//! Any text is an expression or an error, soon.

use super::testing::{plain_item, usual};
use super::*;
use crate::value::key::{KeyAttribute, KeySchema, KeyType};
use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::json;

fn parse_as_all(text: &str, placeholders: &mut Placeholders) {
    let schema = KeySchema { hash: KeyAttribute { name: "a".into(), key_type: KeyType::String }, range: None };
    let item = plain_item(&json!({"a": 1, "b": [1, {"c": 2}], "c": {"a": "s"}, "x": "s"}));
    if let Ok(condition) = Condition::parse(Kind::Condition, text, placeholders) {
        condition.holds(&item);
        condition.top_level_names();
    }
    let _ = KeyCondition::parse(text, placeholders, &schema);
    if let Ok(projection) = Projection::parse(text, placeholders) {
        projection.apply(&item);
    }
    if let Ok(update) = Update::parse(text, placeholders) {
        let mut changed = item.clone();
        if update.apply(&mut changed).is_err() {
            assert_eq!(changed, item);
        }
    }
}

#[test]
fn any_text_is_an_expression_or_an_error() {
    let words = [
        "a",
        "b",
        "c",
        "x",
        "#a",
        "#b",
        "#c",
        ":s",
        ":n",
        ":ss",
        ":l",
        ":m",
        "(",
        ")",
        "[",
        "]",
        "0",
        "1",
        ".",
        ",",
        "=",
        "<>",
        "<",
        "<=",
        ">",
        ">=",
        "+",
        "-",
        "AND",
        "OR",
        "NOT",
        "BETWEEN",
        "IN",
        "SET",
        "REMOVE",
        "ADD",
        "DELETE",
        "size(",
        "contains(",
        "attribute_exists(",
        "begins_with(",
        "if_not_exists(",
        "list_append(",
        "status",
        "é",
        "#",
        ":",
        "\"",
    ];
    let (mut rng, mut given) = (rand::rng(), usual());
    let starts = ["", "SET a = ", "REMOVE b[0], ", "a = :n AND ", "ADD x "];
    for _ in 0..20_000 {
        let count = rng.random_range(0..20);
        let middle: Vec<_> = (0..count).map(|_| *words.choose(&mut rng).unwrap()).collect();
        parse_as_all(
            &format!("{}{}", starts.choose(&mut rng).unwrap(), middle.join(if rng.random_bool(0.7) { " " } else { "" })),
            &mut given,
        );
    }
    for _ in 0..10_000 {
        let length = rng.random_range(0..30);
        let bytes: Vec<u8> = (0..length).map(|_| rng.random()).collect();
        parse_as_all(&String::from_utf8_lossy(&bytes), &mut given);
    }
}

#[test]
fn the_longest_texts_of_one_thing_are_answered_soon_on_a_small_stack() {
    // A quarter of what a worker of the server has.
    std::thread::Builder::new().stack_size(512 * 1024).spawn(longest_texts).unwrap().join().unwrap();
}

fn longest_texts() {
    let (started, mut given) = (std::time::Instant::now(), usual());
    for unit in [
        "(",
        ")",
        "NOT ",
        "a.",
        "a[0]",
        "a,",
        "a = :n AND ",
        "(a = :n OR ",
        "size(",
        "a IN (",
        ":n,",
        "#a",
        "SET a=:n ",
        "REMOVE ",
        "if_not_exists(a,",
    ] {
        for start in ["", "SET a = ", "REMOVE a, ", "a = ", "a IN (", "NOT "] {
            parse_as_all(&format!("{start}{}", unit.repeat((4_090 - start.len()) / unit.len())), &mut given);
        }
    }
    let many: Vec<_> = (0..700).map(|index| format!("a[{index}]")).collect();
    parse_as_all(&many.join(","), &mut given);
    parse_as_all(&format!("REMOVE {}", many[..600].join(",")), &mut given);
    for (unit, end) in [("(a = :n OR ", ")"), ("a = :n AND (b = :n OR (", "))"), ("NOT (", ")")] {
        let nested = |count| format!("{}a = :n{}", unit.repeat(count), end.repeat(count));
        for count in 1..100 {
            let condition = Condition::parse(Kind::Condition, &nested(count), &mut given);
            assert!(count > 74 || condition.is_ok(), "{unit} {count}");
            if let Ok(condition) = condition {
                condition.holds(&plain_item(&json!({"x": 1})));
            }
        }
    }
    assert!(started.elapsed().as_secs() < 10);
}
