use crate::decode::Mode;
use crate::table::{Format, JsonOptions};
use crate::testing::Lake;
use millpond_core::catalog::Column;

fn read(text: &str, types: &[(&str, &str)], mode: Mode) -> (Vec<String>, Vec<String>) {
    let lake = Lake::new();
    let file = lake.put("t.json", text);
    let columns: Vec<Column> = types.iter().map(|(n, t)| Column::new(*n, *t)).collect();
    lake.decode(vec![file], Format::Json(JsonOptions::default()), &columns, mode)
}

const AB: [(&str, &str); 2] = [("a", "bigint"), ("b", "string")];

#[test]
fn lines_arrays_and_objects_one_after_another_are_the_same_rows() {
    for text in [
        "{\"a\":1,\"b\":\"x\"}\n{\"b\":\"y\",\"a\":2}\n",
        "[{\"a\":1,\"b\":\"x\"},{\"a\":2,\"b\":\"y\"}]",
        "[\n  {\n    \"a\": 1,\n    \"b\": \"x\"\n  },\n  {\n    \"A\": 2,\n    \"b\": \"y\"\n  }\n]\n",
        "{\"a\":1,\"b\":\"x\"} {\"a\":2,\"b\":\"y\"}",
        "\u{feff}[{\"a\":1,\"b\":\"x\"}]\n[{\"a\":2,\"b\":\"y\"}]\n",
    ] {
        let (rows, rejects) = read(text, &AB, Mode::Strict);
        assert_eq!(rows, ["1|x", "2|y"], "{text}");
        assert!(rejects.is_empty(), "{text}: {rejects:?}");
    }
}

#[test]
fn bytes_are_base64_or_text_as_it_stands() {
    let text = "{\"a\":\"AP8=\",\"b\":[\"AAE=\",null]}\n{\"a\":\"plain text!\",\"b\":null}\n";
    let (rows, rejects) = read(text, &[("a", "binary"), ("b", "array<binary>")], Mode::Lenient);
    assert_eq!(rows, ["00ff|[0001, ∅]", "706c61696e207465787421|∅"]);
    assert!(rejects.is_empty());
}

#[test]
fn a_malformed_line_costs_itself_only() {
    let mut text: String = (1..=70_000).map(|i| format!("{{\"a\":{i},\"b\":\"x\"}}\n")).collect();
    text.push_str("{\"a\":70001,\"b\":\n{\"a\":70002,\"b\":\"z\"}\n");
    let (rows, rejects) = read(&text, &AB, Mode::Strict);
    assert_eq!(rows.len(), 70_001);
    assert_eq!(rows.last().unwrap(), "70002|z");
    assert_eq!(rejects.len(), 1);
    assert!(rejects[0].starts_with("70001 =: is malformed JSON"), "{rejects:?}");
}

#[test]
fn a_malformed_value_in_an_array_is_passed_over_to_the_next_object() {
    let text = "[\n{\"a\":1,\"b\":\"x\"},\n{\"a\":2,\"b\":\"y,\n\"more\":3},\n{\"a\":4,\"b\":\"z\"}\n]";
    let (rows, rejects) = read(text, &AB, Mode::Strict);
    assert_eq!(rows, ["1|x", "4|z"]);
    assert_eq!(rejects, ["3 =: is malformed JSON: a string is not closed on its line"]);
}

#[test]
fn types_that_do_not_fit_are_refused_with_their_column() {
    let text = "{\"a\":\"x\",\"b\":1}\n{\"a\":1.5}\n{\"a\":\"12\"}\n{\"a\":null,\"b\":{\"c\": [1, 2]}}\n{\"a\":[1]}\n[3]\n";
    let (rows, rejects) = read(text, &AB, Mode::Strict);
    assert_eq!(rows, ["12|∅", "∅|{\"c\": [1, 2]}"]);
    assert_eq!(
        rejects,
        [
            "1 a=x: is not a bigint",
            "2 a=1.5: is not a whole number, as bigint needs",
            "5 a=[…]: is not a bigint",
            "6 =: is not a JSON object"
        ]
    );
    let (rows, _) = read(text, &AB, Mode::Lenient);
    assert_eq!(rows, ["∅|1", "∅|∅", "12|∅", "∅|{\"c\": [1, 2]}", "∅|∅"]);
}

#[test]
fn nested_values_go_to_nested_columns() {
    let types = [("s", "struct<x:int,y:array<string>>"), ("m", "map<string,double>"), ("d", "decimal(20,3)"), ("t", "timestamp")];
    let text = "{\"s\":{\"y\":[\"p\",null],\"X\":1},\"m\":{\"k\":1,\"l\":2.5},\"d\":12345678901234567.125,\"t\":\"2024-01-02T03:04:05Z\"}\n{\"s\":{\"x\":\"bad\"}}\n{\"s\":null,\"d\":\"0.5\"}\n";
    let (rows, rejects) = read(text, &types, Mode::Strict);
    assert_eq!(rows, ["{x: 1, y: [p, ∅]}|{k: 1.0, l: 2.5}|12345678901234567.125|2024-01-02T03:04:05", "∅|∅|0.500|∅"]);
    assert_eq!(rejects, ["2 s=bad: is not an int"]);
}

#[test]
fn repeated_and_escaped_keys_and_deep_nesting_are_survived() {
    let (rows, _) = read("{\"a\":1,\"\\u0062\":\"x\",\"a\":2}\n", &AB, Mode::Strict);
    assert_eq!(rows, ["2|x"]);
    let deep = format!("{{\"a\":{}{}}}\n{{\"a\":1}}\n", "[".repeat(100_000), "]".repeat(100_000));
    let (rows, rejects) = read(&deep, &AB, Mode::Strict);
    assert_eq!(rows, ["1|∅"]);
    assert_eq!(rejects.len(), 1);
}
