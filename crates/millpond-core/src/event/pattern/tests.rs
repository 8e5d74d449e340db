use super::*;
use serde_json::json;

fn check(pattern: &str, event: Value, expected: bool) {
    let compiled = Pattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    assert_eq!(compiled.matches(&event), expected, "{pattern} on {event}");
}

fn refused(pattern: &str, expected: &str) {
    let error = Pattern::parse(pattern).expect_err(pattern).to_string();
    assert_eq!(error, expected, "{pattern}");
}

/// What follows a reason that names a place.
fn at(pattern: &str, column: usize) -> String {
    format!("\n at [Source: (String)\"{pattern}\"; line: 1, column: {column}]")
}

#[test]
fn values_stand_for_themselves() {
    check(r#"{"source": ["aws.s3", "aws.glue"]}"#, json!({"source": "aws.glue"}), true);
    check(r#"{"source": ["aws.s3"]}"#, json!({"source": "aws.s3x"}), false);
    check(r#"{"source": ["aws.s3"]}"#, json!({}), false);
    check(r#"{"Source": ["aws.s3"]}"#, json!({"source": "aws.s3"}), false);
    check(r#"{"n": [null]}"#, json!({"n": null}), true);
    check(r#"{"n": [null]}"#, json!({"n": "null"}), false);
    check(r#"{"n": [null]}"#, json!({"n": []}), false);
    check(r#"{"n": [""]}"#, json!({"n": ""}), true);
    check(r#"{"b": [true]}"#, json!({"b": true}), true);
    check(r#"{"b": [true]}"#, json!({"b": "true"}), false);
    check(r#"{"n": [300]}"#, json!({"n": 300.0}), true);
    check(r#"{"n": [3.018e2]}"#, json!({"n": 301.8}), true);
    check(r#"{"n": [300]}"#, json!({"n": "300"}), false);
    check(r#"{"n": [18014398509481985]}"#, json!({"n": 18014398509481984i64}), false);
    check(r#"{"ip": ["::1"]}"#, json!({"ip": "0:0:0:0:0:0:0:1"}), true);
    check(r#"{"s": [{"exactly": "10.0.0.1"}]}"#, json!({"s": "10.0.0.1"}), true);
}

#[test]
fn all_fields_must_match_and_any_of_their_values() {
    let event = json!({"source": "a", "detail": {"x": 1, "tags": ["p", "q"], "deep": {"y": "z"}}});
    check(r#"{"source": ["a"], "detail": {"x": [1], "deep": {"y": ["z"]}}}"#, event.clone(), true);
    check(r#"{"source": ["a"], "detail": {"x": [2]}}"#, event.clone(), false);
    check(r#"{"detail": {"tags": ["q", "r"]}}"#, event.clone(), true);
    check(r#"{"detail": {"tags": ["r"]}}"#, event.clone(), false);
    check(r#"{"detail": ["a"]}"#, event, false);
    check(r#"{"detail": {"k": ["v"]}}"#, json!({"detail": "{\"k\": \"v\"}"}), false);
}

#[test]
fn fields_below_an_array_of_objects_must_hold_for_one_element() {
    let event = json!({"a": [{"x": 1, "y": 2}, {"x": 3, "y": 4, "z": [[{"w": 5}]]}]});
    check(r#"{"a": {"x": [1], "y": [2]}}"#, event.clone(), true);
    check(r#"{"a": {"x": [1], "y": [4]}}"#, event.clone(), false);
    check(r#"{"a": {"x": [3], "z": {"w": [5]}}}"#, event.clone(), true);
    check(r#"{"a": {"x": [1], "z": {"w": [5]}}}"#, event.clone(), false);
    check(r#"{"a": {"z": {"w": [{"exists": true}]}}}"#, event, true);
}

#[test]
fn dots_in_names_are_steps_of_the_path() {
    check(r#"{"detail": {"state": {"status": ["on"]}}}"#, json!({"detail": {"state.status": "on"}}), true);
    check(r#"{"detail": {"state.status": ["on"]}}"#, json!({"detail": {"state": {"status": "on"}}}), true);
    check(r#"{"detail": {"state.status": {"status": ["on"]}}}"#, json!({"detail": {"state": {"status": "on"}}}), false);
    check(r#"{"detail": {"state": {"status": ["on"]}}}"#, json!({"detail": {"state.status": {"status": "on"}}}), false);
    check(r#"{"a": {"b": [2]}}"#, json!({"a.b": 1, "a": {"b": 2}}), true);
}

#[test]
fn texts_match_by_their_ends() {
    for (expression, text, expected) in [
        (r#"{"prefix": "us-"}"#, "us-east-1", true),
        (r#"{"prefix": "us-"}"#, "eu-us-", false),
        (r#"{"prefix": ""}"#, "x", true),
        (r#"{"prefix": {"equals-ignore-case": "EventB"}}"#, "eVENTbridge", true),
        (r#"{"prefix": {"equals-ignore-case": "EventB"}}"#, "event", false),
        (r#"{"suffix": ".csv"}"#, "a.csv", true),
        (r#"{"suffix": ".csv"}"#, "a.CSV", false),
        (r#"{"suffix": {"equals-ignore-case": ".csv"}}"#, "a.CSV", true),
        (r#"{"equals-ignore-case": "ÄRGER"}"#, "ärger", true),
        (r#"{"equals-ignore-case": ""}"#, "", true),
        (r#"{"equals-ignore-case": ""}"#, "x", false),
    ] {
        check(&format!(r#"{{"f": [{expression}]}}"#), json!({"f": text}), expected);
        check(&format!(r#"{{"f": [{expression}]}}"#), json!({"f": 1}), false);
    }
}

#[test]
fn wildcards_match_any_characters_and_escapes_match_themselves() {
    for (wildcard, text, expected) in [
        ("dir/*.png", "dir/a/b.png", true),
        ("dir/*.png", "dir/.pn", false),
        ("*", "", true),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("*ab*ab", "abab", true),
        ("*ab*ab", "ab", false),
        ("*:*:x", "a:b:c:x", true),
        (r"a\\*b", "a*b", true),
        (r"a\\*b", "axb", false),
        (r"a\\\\b", r"a\b", true),
        ("", "", true),
        ("é*", "école", true),
    ] {
        check(&format!(r#"{{"f": [{{"wildcard": "{wildcard}"}}]}}"#), json!({"f": text}), expected);
    }
}

#[test]
fn numbers_match_by_ranges() {
    for (numeric, number, expected) in [
        (r#"[">", 0, "<=", 5]"#, 5.0, true),
        (r#"[">", 0, "<=", 5]"#, 0.0, false),
        (r#"["<", 10]"#, 9.999, true),
        (r#"["=", 3.018e2]"#, 301.8, true),
        (r#"[">=", -1]"#, -1.0, true),
        (r#"["<=", -1]"#, 0.0, false),
    ] {
        let pattern = format!(r#"{{"n": [{{"numeric": {numeric}}}]}}"#);
        check(&pattern, json!({"n": number}), expected);
        check(&pattern, json!({"n": number.to_string()}), false);
    }
}

#[test]
fn addresses_match_by_their_network() {
    for (cidr, address, expected) in [
        ("10.0.0.0/24", "10.0.0.255", true),
        ("10.0.0.0/24", "10.0.1.0", false),
        ("0.0.0.0/0", "255.1.2.3", true),
        ("10.0.0.1/32", "10.0.0.1", true),
        ("2001:db8::/32", "2001:db8:1::2", true),
        ("::/0", "1::", true),
        ("2001:db8::/32", "10.0.0.1", false),
        ("10.0.0.0/24", "not an address", false),
    ] {
        check(&format!(r#"{{"ip": [{{"cidr": "{cidr}"}}]}}"#), json!({"ip": address}), expected);
    }
    check(r#"{"ip": [{"cidr": "10.0.0.0/24"}]}"#, json!({"ip": 123}), false);
}

#[test]
fn anything_but_wants_a_value_and_none_of_these() {
    for (but, value, expected) in [
        (r#""a""#, json!("b"), true),
        (r#""a""#, json!("a"), false),
        (r#""a""#, json!(null), true),
        (r#""a""#, json!(["a", "b"]), true),
        (r#""a""#, json!([]), false),
        ("123", json!(123.0), false),
        ("0", json!("0"), true),
        (r#"["a", "b"]"#, json!("b"), false),
        ("[100, 200]", json!(300), true),
        (r#"{"prefix": "init"}"#, json!("initial"), false),
        (r#"{"prefix": "init"}"#, json!(12), true),
        (r#"{"prefix": ["init", "stop"]}"#, json!("stopped"), false),
        (r#"{"suffix": ".png"}"#, json!("a.csv"), true),
        (r#"{"suffix": [".png", ".csv"]}"#, json!("a.csv"), false),
        (r#"{"equals-ignore-case": "A"}"#, json!("a"), false),
        (r#"{"equals-ignore-case": ["A", "B"]}"#, json!("c"), true),
        (r#"{"wildcard": "*/lib/*"}"#, json!("x/lib/y"), false),
        (r#"{"wildcard": ["*/lib/*", "*.jar"]}"#, json!("x/bin/y"), true),
        (r#"{"wildcard": ""}"#, json!("x"), true),
    ] {
        check(&format!(r#"{{"f": [{{"anything-but": {but}}}]}}"#), json!({"f": value}), expected);
    }
    check(r#"{"f": [{"anything-but": "a"}]}"#, json!({}), false);
}

#[test]
fn existence_is_that_of_a_leaf_anywhere_in_the_event() {
    let (present, absent) = (r#"{"d": {"a": [{"exists": true}]}}"#, r#"{"d": {"a": [{"exists": false}]}}"#);
    for (event, there) in [
        (json!({"d": {"a": 1}}), true),
        (json!({"d": {"a": null}}), true),
        (json!({"d": {"a": [[2]]}}), true),
        (json!({"d": {"a": {"x": 1}}}), false),
        (json!({"d": {"a": []}}), false),
        (json!({"d": {"b": 1}}), false),
        (json!({"d": [{"b": 1}, {"a": 1}]}), true),
        (json!({"d": "text"}), false),
        (json!({}), false),
    ] {
        check(present, event.clone(), there);
        check(absent, event, !there);
    }
    check(r#"{"d": {"a": [{"anything-but": ["x"]}, {"exists": false}]}}"#, json!({"d": {}}), true);
    check(r#"{"d": {"a": [{"exists": false}], "b": [1]}}"#, json!({"d": {"b": 1}}), true);
}

#[test]
fn or_needs_one_of_its_branches() {
    let pattern = r#"{"source": ["s"], "$or": [{"a": [1], "b": [2]}, {"c": [3], "$or": [{"d": [4]}, {"e": [5]}]}]}"#;
    for (event, expected) in [
        (json!({"source": "s", "a": 1, "b": 2}), true),
        (json!({"source": "s", "a": 1}), false),
        (json!({"source": "s", "c": 3, "e": 5}), true),
        (json!({"source": "s", "c": 3}), false),
        (json!({"source": "t", "a": 1, "b": 2}), false),
    ] {
        check(pattern, event, expected);
    }
    check(r#"{"detail": {"$or": [{"a": [1]}, {"b": [1]}], "c": [1]}}"#, json!({"detail": {"b": 1, "c": 1}}), true);
}

#[test]
fn what_is_no_pattern_is_refused_as_eventbridge_does() {
    for (pattern, reason, column) in [
        (r#"{"int": 42}"#, r#""int" must be an object or an array"#, 11),
        (r#"{"string": "my-value"}"#, r#""string" must be an object or an array"#, 13),
        (r#"{"resources": []}"#, "Empty arrays are not allowed", 17),
        (r#"{"my_key": [{"EXISTS": true}]}"#, "Unrecognized match type EXISTS", 28),
        (r#"{"detail": {"equal": [{"NUMERIC": ["=", 5]}]}}"#, "Unrecognized match type NUMERIC", 36),
        (r#"{"detail": {"c-count": [{"numeric": [">", 0, ">", 0]}]}}"#, "Bad numeric range operator: >", 49),
        (r#"{"detail": {"c-count": [{"numeric": [">", 0, "<"]}]}}"#, "Value of < must be numeric", 50),
        (r#"{"detail": {"c-count": [{"numeric": 10}]}}"#, "Value of numeric must be an array.", 39),
        (r#"{"key":[{"numeric":[]}]}"#, "Invalid member in numeric match: ]", 22),
        (r#"{"key":[{"numeric":["=","000"]}]}"#, "Value of equals must be numeric", 26),
        (r#"{"key":[{"numeric":[">",20,30]}]}"#, "Bad value in numeric range: 30", 30),
        (r#"{"key":[{"suffix":"value","prefix":"value2"}]}"#, "Only one key allowed in match expression", 37),
        (r#"{"detail-type": [{"equals-ignore-case": ["x"]}]}"#, "equals-ignore-case match pattern must be a string", 42),
        (r#"{"time": [{"prefix": 123}]}"#, "prefix match pattern must be a string", 25),
        (r#"{"EventBusArn": [{"wildcard": 123}]}"#, "wildcard match pattern must be a string", 34),
        (r#"{"key":[["value"]]}"#, "Match value must be String, number, true, false, or null", 10),
        (r#"{"a": {}}"#, "Empty objects are not allowed", 9),
        (r#"["not", "a", "dict"]"#, "Filter is not an object", 2),
        (r#"{'bad': 'quotation'}"#, "Unexpected character (''' (code 39)): was expecting double-quote to start field name", 2),
        (
            r#"{"detail": {"state": [{"anything-but": null}]}}"#,
            "Value of anything-but must be an array or single string/number value.",
            44,
        ),
        (
            r#"{"detail": {"FileName": [{"anything-but": {"prefix": {"equals-ignore-case": "file"}}}]}}"#,
            "Value of anything-but must be an array or single string/number value.",
            55,
        ),
        (
            r#"{"detail": {"state": [{"anything-but": ["stopped", null]}]}}"#,
            "Inside anything but list, start|null|boolean is not supported.",
            56,
        ),
        (r#"{"detail": {"FileName": [{"anything-but": {"suffix": ""}}]}}"#, "Null prefix/suffix not allowed", 56),
    ] {
        refused(pattern, &format!("{reason}{}", at(pattern, column)));
    }
    refused(r#"{"ip": [{"cidr": "10.0.0.0"}]}"#, "Malformed CIDR, one '/' required");
    refused(r#"{"ip": [{"cidr": "10.0.0.0/x"}]}"#, "Malformed CIDR, mask bits must be an integer");
    refused(r#"{"ip": [{"cidr": "xx.11.xx/8"}]}"#, "Nonstandard IP address: xx.11.xx");
    let complex = r#"{"EventBusArn": [{"wildcard": "*:*:*:*:*:event-bus/*"}]}"#;
    assert!(Pattern::parse(complex).unwrap_err().to_string().starts_with("Rule is too complex"));
    for broken in [
        "",
        "{",
        r#"{"a"#,
        r#"{"a": [1,]}"#,
        r#"{"a": [1]} x"#,
        r#"{"$or": [{"a": [1]}]}"#,
        r#"{"$or": [1, 2]}"#,
        "{\"a\": [\"\\",
    ] {
        assert!(Pattern::parse(broken).is_err(), "{broken}");
    }
    assert!(Pattern::parse(r#"{"$or": [{"prefix": ["a"]}, {"b": [1]}]}"#).is_err());
}

#[test]
fn hostile_patterns_and_events_cost_little() {
    let deep = format!("{}{}", "{\"a\":".repeat(5000), "[1]");
    assert!(Pattern::parse(&deep).is_err());
    let alternatives: Vec<String> = (0..20).map(|n| format!("{{\"f{n}\": [1]}}")).collect();
    let or = format!("{{\"$or\": [{}]}}", alternatives.join(","));
    let thrice = format!("{{\"x\": {or}, \"y\": {or}, \"z\": {or}}}");
    assert!(Pattern::parse(&thrice).unwrap_err().reason.contains("1000 combinations"));

    let started = std::time::Instant::now();
    check(r#"{"f": [{"wildcard": "*a*a*a*a*b"}]}"#, json!({"f": "a".repeat(200_000)}), false);
    let elements: Vec<Value> = (0..20_000).map(|n| json!({"x": n, "y": n + 1})).collect();
    let fields: Vec<String> = (0..200).map(|n| format!("\"f{n}\": [{{\"exists\": false}}]")).collect();
    check(r#"{"a": {"x": [7], "y": [9]}}"#, json!({"a": elements}), false);
    check(r#"{"a": {"b": [{"exists": false}], "c": [1]}}"#, json!({"a": vec![json!({}); 200_000]}), false);
    check(&format!("{{{}}}", fields.join(",")), json!({"a": 1}), true);
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

#[test]
fn a_set_answers_as_its_patterns_do_one_by_one() {
    let texts = [
        r#"{"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": {"bucket": {"name": ["raw"]}, "object": {"key": [{"prefix": "f/"}]}}}"#,
        r#"{"source": ["aws.s3"], "detail": {"bucket": {"name": ["other", "raw"]}}}"#,
        r#"{"source": [{"prefix": "aws."}]}"#,
        r#"{"detail-type": ["Object Created", "Object Deleted"]}"#,
        r#"{"$or": [{"source": ["aws.s3"]}, {"source": ["aws.glue"]}]}"#,
        r#"{"source": ["aws.glue"], "detail": {"jobName": ["j"]}}"#,
    ];
    let set: PatternSet<usize> = texts.iter().enumerate().map(|(n, text)| (Pattern::parse(text).unwrap(), n)).collect();
    let events = [
        json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": {"name": "raw"}, "object": {"key": "f/1"}}}),
        json!({"source": "aws.s3", "detail-type": "Object Deleted", "detail": {"bucket": [{"name": "raw"}, {"name": "other"}]}}),
        json!({"source": "aws.glue", "detail": {"jobName": "j"}}),
        json!({"source": "mine", "detail.bucket.name": "raw"}),
        json!({}),
    ];
    for event in &events {
        let one_by_one: Vec<usize> =
            texts.iter().enumerate().filter(|(_, text)| Pattern::parse(text).unwrap().matches(event)).map(|(n, _)| n).collect();
        let at_once: Vec<usize> = set.matching(event).into_iter().copied().collect();
        assert_eq!(at_once, one_by_one, "{event}");
    }
}

#[test]
fn complexity_is_measured_as_sns_does() {
    let pattern = Pattern::parse(r#"{"a": {"b": {"c": ["1", "2", "3", "4"]}}, "d": {"e": ["5", "6", "7"]}}"#).unwrap();
    assert_eq!((pattern.fields(), pattern.is_nested(), pattern.combinations()), (2, true, 4 * 3 * 3 * 2));
}
