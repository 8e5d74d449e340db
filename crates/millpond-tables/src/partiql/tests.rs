use super::*;
use crate::expression::testing::{item, plain_item};
use crate::value::key::{KeyAttribute, KeyRange, KeySchema, KeyType, SortRange};
use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::{Value as Json, json};

fn parsed(text: &str, parameters: &[Value]) -> Statement {
    parse(text, parameters).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn select(text: &str, parameters: &[Value]) -> Select {
    match parsed(text, parameters) {
        Statement::Select(select) => select,
        other => panic!("{text}: {other:?}"),
    }
}

fn value(json: Json) -> Value {
    crate::value::json::read_value(&json).unwrap()
}

#[test]
fn select_says_what_of_which_items() {
    let music = plain_item(&json!({"Artist": "Acme", "Awards": {"b c": [1, {"x": 2}, [3]]}, "other": 1, "l": [4, {"x": 5}]}));
    for (text, table, index, projected) in [
        (r#"SELECT * FROM "Music""#, "Music", None, None),
        ("select * from Music;", "Music", None, None),
        (r#"SELECT Artist FROM "My-Music"."an-index""#, "My-Music", Some("an-index"), Some(json!({"Artist": "Acme"}))),
        (r#"SELECT "Artist", Awards."b c"[1].x FROM Music.idx"#, "Music", Some("idx"), Some(json!({"Artist": "Acme", "x": 2}))),
        (r#"SELECT Awards['b c'][0] FROM "a""b""#, "a\"b", None, Some(json!({"b c[0]": 1}))),
        ("SELECT Awards['b c'], l[1].x FROM t", "t", None, Some(json!({"b c": [1, {"x": 2}, [3]], "x": 5}))),
        (
            r#"SELECT "l"[00], Awards."b c"[2][0], l[1] FROM t"#,
            "t",
            None,
            Some(json!({"l[0]": 4, "l[1]": {"x": 5}, "b c[2][0]": 3})),
        ),
        ("SELECT l[9], Awards.none, other.x, Artist FROM t", "t", None, Some(json!({"Artist": "Acme"}))),
        ("SELECT /* all of it */ * -- and\n FROM t", "t", None, None),
    ] {
        let found = select(text, &[]);
        assert_eq!((found.table.as_str(), found.index.as_deref()), (table, index), "{text}");
        assert_eq!(
            found.projection.map(|projection| projection.apply(&music)),
            projected.map(|json| plain_item(&json)),
            "{text}"
        );
        assert_eq!(found.filter, None);
    }
    let nested = select("SELECT l[1].x, Awards.none, other FROM t", &[]).projection.unwrap();
    assert_eq!(nested.top_level_names().into_iter().collect::<Vec<_>>(), ["Awards", "l", "other"]);
    assert_eq!(nested.in_place().apply(&music), plain_item(&json!({"l": [{"x": 5}], "other": 1})));
    let ordered = select(r#"SELECT * FROM t WHERE a = 1 ORDER BY "a" DESC, b ASC, c"#, &[]);
    assert_eq!(ordered.order, [("a".to_owned(), true), ("b".into(), false), ("c".into(), false)]);
}

#[test]
fn conditions_hold_as_they_should() {
    let attributes = item(json!({
        "id": {"S": "it's"}, "n": {"N": "10"}, "t": {"BOOL": true}, "z": {"NULL": true}, "l": {"L": [{"N": "1"}, {"S": "x"}]}, "m": {"M": {"k": {"S": "v"}}},
        "ss": {"SS": ["a", "b"]}, "b": {"B": "YQ=="}
    }));
    let parameters = [
        value(json!({"S": "it's"})),
        value(json!({"N": "10"})),
        value(json!({"B": "YQ=="})),
        value(json!({"L": [{"N": "9"}, {"N": "10"}]})),
    ];
    for (condition, used, expected) in [
        ("id = 'it''s'", 0, true),
        (r#""id" <> 'x'"#, 0, true),
        ("id != 'it''s'", 0, false),
        ("n = 1e1 AND n = 10.0 and n > -5", 0, true),
        ("n < .5", 0, false),
        ("n >= 10", 0, true),
        ("10 = n", 0, true),
        ("t = true", 0, true),
        ("t = FALSE", 0, false),
        ("z = null", 0, true),
        ("l = [1, 'x']", 0, true),
        ("l[1] = 'x'", 0, true),
        ("m = {'k': 'v'}", 0, true),
        ("m.k = 'v'", 0, true),
        ("m['k'] = 'v'", 0, true),
        ("ss = <<'b', 'a'>>", 0, true),
        ("id = ?", 1, true),
        ("id = ? AND n = ?", 2, true),
        ("id = ? AND n = ? AND b = ?", 3, true),
        ("n BETWEEN 9 AND 11", 0, true),
        ("n NOT BETWEEN 9 AND 11", 0, false),
        ("n IN [1, 10]", 0, true),
        ("n IN (1, 2)", 0, false),
        ("n NOT IN [1, 2]", 0, true),
        ("id = ? AND n = ? AND b = ? AND n IN ?", 4, true),
        ("x IS MISSING", 0, true),
        ("id IS MISSING", 0, false),
        ("id IS NOT MISSING", 0, true),
        ("x = MISSING", 0, true),
        ("id <> MISSING", 0, true),
        ("z IS NULL", 0, true),
        ("id IS NULL", 0, false),
        ("id IS NOT NULL", 0, true),
        ("NOT x = 1", 0, true),
        ("NOT (id = 'a' OR n = 10)", 0, false),
        ("id = 'a' OR n = 10 AND t = true", 0, true),
        ("(id = 'a' OR n = 10) AND (t) = false", 0, false),
        ("begins_with(id, 'it')", 0, true),
        (r#"BEGINS_WITH("id", 'at')"#, 0, false),
        ("contains(ss, 'a')", 0, true),
        ("contains(l, 1)", 0, true),
        ("size(ss) = 2", 0, true),
        ("attribute_type(id, 'S')", 0, true),
        ("attribute_exists(m.k)", 0, true),
        ("attribute_not_exists(m.x)", 0, true),
        ("NOT NOT contains(id, 't')", 0, true),
        ("size(l) > 1 OR x = 1", 0, true),
        ("t = true OR 1 = n", 0, true),
    ] {
        let found = select(&format!("SELECT * FROM t WHERE {condition}"), &parameters[..used]);
        assert_eq!(found.filter.unwrap().holds(&attributes), expected, "{condition}");
    }
}

#[test]
fn insert_gives_an_item() {
    let statement = parsed(
        r#"INSERT INTO "Music" VALUE {'Artist' : 'Acme', "n": -1.50, 'l': [1, 'a', [true, NULL], {'x': <<1, 2>>}], 's': <<'b', 'a'>>, 'p': ?, 'e': [], 'm': {}}"#,
        &[value(json!({"B": "YQ=="}))],
    );
    let expected = item(json!({
        "Artist": {"S": "Acme"}, "n": {"N": "-1.5"}, "l": {"L": [{"N": "1"}, {"S": "a"}, {"L": [{"BOOL": true}, {"NULL": true}]}, {"M": {"x": {"NS": ["1", "2"]}}}]},
        "s": {"SS": ["a", "b"]}, "p": {"B": "YQ=="}, "e": {"L": []}, "m": {"M": {}}
    }));
    assert_eq!(statement.table(), "Music");
    assert_eq!(statement, Statement::Insert { table: "Music".into(), item: expected });
    let whole = parsed("INSERT INTO t VALUE ?", &[value(json!({"M": {"id": {"S": "x"}}}))]);
    assert_eq!(whole, Statement::Insert { table: "t".into(), item: plain_item(&json!({"id": "x"})) });
}

#[test]
fn update_changes_items_and_says_what_it_returns() {
    let before = json!({"id": {"S": "x"}, "n": {"N": "1"}, "l": {"L": [{"N": "1"}, {"N": "2"}]}, "ss": {"SS": ["a"]}, "m": {"M": {"k": {"N": "1"}}}});
    for (clauses, changed) in [
        ("SET n = n + 1", json!({"n": {"N": "2"}})),
        ("SET n = (n - 3)", json!({"n": {"N": "-2"}})),
        ("SET n=2, m.k = 'new' SET q = [1]", json!({"n": {"N": "2"}, "m": {"M": {"k": {"S": "new"}}}, "q": {"L": [{"N": "1"}]}})),
        ("SET l = list_append(l, [3])", json!({"l": {"L": [{"N": "1"}, {"N": "2"}, {"N": "3"}]}})),
        ("SET l[0] = 5 REMOVE m.k", json!({"l": {"L": [{"N": "5"}, {"N": "2"}]}, "m": {"M": {}}})),
        ("SET ss = set_add(ss, <<'b'>>)", json!({"ss": {"SS": ["a", "b"]}})),
        ("SET ss = SET_DELETE(ss, <<'z'>>)", json!({"ss": {"SS": ["a"]}})),
        ("SET x = if_not_exists(x, n) + 1", json!({"x": {"N": "2"}})),
        (r#"SET "weird name" = {'a': <<1>>}"#, json!({"weird name": {"M": {"a": {"NS": ["1"]}}}})),
    ] {
        for text in [
            format!(r#"UPDATE "t" {clauses} WHERE id = 'x' RETURNING ALL NEW *"#),
            format!(r#"FROM "t" WHERE id = 'x' {clauses} RETURNING ALL NEW *"#),
        ] {
            let Statement::Update { table, update, filter, returning } = parsed(&text, &[]) else { panic!("{text}") };
            let mut found = item(before.clone());
            assert!(filter.unwrap().holds(&found));
            update.apply(&mut found).unwrap();
            let mut expected = item(before.clone());
            expected.extend(item(changed.clone()));
            assert_eq!((table.as_str(), found, returning), ("t", expected, Some(Returning::AllNew)), "{text}");
        }
    }
    let removed = parsed("UPDATE t REMOVE a, b.c[1] WHERE id = ? returning modified old *", &[Value::from("x")]);
    let Statement::Update { update, returning: Some(Returning::ModifiedOld), .. } = removed else { panic!("{removed:?}") };
    assert_eq!(update.changed_names().into_iter().collect::<Vec<_>>(), ["a", "b"]);
    let deleted = parsed("DELETE FROM t WHERE id = 'x' AND n > 3 RETURNING ALL OLD *", &[]);
    assert!(matches!(deleted, Statement::Delete { returning: Some(Returning::AllOld), filter: Some(_), .. }));
    assert!(matches!(parsed("EXISTS(SELECT * FROM t WHERE id = 'x' AND n = 1)", &[]), Statement::Exists(_)));
}

#[test]
fn faults_have_the_texts_of_dynamodb_and_a_place() {
    let well = |what: &str| format!("Statement wasn't well formed, can't be processed: {what}");
    let where_ = |condition: &str| format!("SELECT * FROM t WHERE {condition}");
    let operand = |operator: &str, kind: &str| {
        format!("Incorrect operand type for operator or function; operator or function: {operator}, operand type: {kind}")
    };
    let own = str::to_owned;
    for (text, message) in [
        (own("NOT A STATEMENT"), well("Expected data manipulation at 1:1:3")),
        (own(""), well("Expected data manipulation at 1:1:0")),
        (own("SELECT * FROM t WHERE pk = 1 foo"), well("Unexpected token after expression at 1:30:3")),
        (own("SELECT * FROM t WHERE pk = 1 e5"), well("Unexpected token after expression at 1:30:2")),
        (own("SELECT * FROM t WHERE pk = 1)"), well("Unexpected token after expression at 1:29:1")),
        (own("SELECT * FROM t ORDER BY pk WHERE pk = 1"), well("Unexpected token after expression at 1:29:5")),
        (own("DELETE FROM t WHERE pk = 1 ORDER BY pk"), well("Unexpected token after expression at 1:28:5")),
        (own("INSERT INTO t x VALUE {'pk': 1}"), well("Unexpected token after expression at 1:15:1")),
        (own("SELECT *\nFROM t WHERE pk = 1 # note"), well("Unreadable from here at 2:21:1")),
        (own("SELECT * FROM t WHERE pk = 1 /* note"), well("Unreadable from here at 1:30:1")),
        (own("SELECT * FROM \"t"), well("Unreadable from here at 1:15:1")),
        (own("SELECT * FROM t WHERE a = 'é"), well("Unreadable from here at 1:27:1")),
        (own("SELECT * FROM t WHERE"), well("Unexpected term at 1:22:0")),
        (own("SELECT * FROM t WHERE;"), well("Unexpected term at 1:22:1")),
        (where_("NOT"), well("Unexpected term at 1:26:0")),
        (where_("("), well("Unexpected term at 1:24:0")),
        (where_("pk = 'p' AND"), well("Missing right-hand side expression of infix operator at 1:35:0")),
        (where_("pk = 'p' OR"), well("Missing right-hand side expression of infix operator at 1:34:0")),
        (where_("ORDER BY pk"), well("Unexpected keyword at 1:23:5")),
        (where_("IS NULL"), well("Unexpected operator at 1:23:2")),
        (where_("pk = LIKE"), well("Unexpected operator at 1:28:4")),
        (where_("x IS FOO"), well("Expected type name at 1:28:3")),
        (where_("(a = 1"), well("Expected RIGHT_PAREN at 1:29:0")),
        (where_("x"), well("Unexpected term at 1:24:0")),
        (own("DELETE FROM"), well("Expected identifier for simple path at 1:12:0")),
        (own("DELETE FROM WHERE pk = 'a'"), well("Expected identifier for simple path at 1:13:5")),
        (own("SELECT * FROM"), well("Unexpected term at 1:14:0")),
        (own("UPDATE t WHERE a = 1"), well("Expected SET or REMOVE at 1:10:5")),
        (own("INSERT INTO t VALUES (1)"), well("Expected VALUE at 1:15:6")),
        (own("INSERT INTO t VALUE {'a': 1, 'a': 2}"), well("The attribute is named twice at 1:30:3")),
        (own("SELECT * FROM t x WHERE pk = 'x'"), own("Aliasing is not supported")),
        (own("UPDATE t x SET a = 3 WHERE pk = 'x'"), own("Aliasing is not supported")),
        (own("DELETE FROM t AS x WHERE pk = 'x'"), own("Aliasing is not supported")),
        (own("SELECT * FROM a.b.c"), own("A path may contain at most 2 components in the FROM clause")),
        (own("SELECT * FROM \"\" WHERE pk = 'p'"), own("Path component cannot be an empty string")),
        (own("UPDATE t SET \"\" = 1 WHERE pk = 'p'"), own("Path component cannot be an empty string")),
        (own("UPDATE t SET a[''] = 1 WHERE pk = 'p'"), own("Path component cannot be an empty string")),
        (own("SELECT attribute_exists(ss) FROM t"), own("Unexpected path component at 1:8:16")),
        (own("SELECT a.x, b, c.x FROM t"), own("Duplicate identifiers in select clause: x")),
        (own("SELECT l[0], a.l[0] FROM t"), own("Duplicate identifiers in select clause: l[0]")),
        (own("SELECT a, a FROM t"), own("Duplicate identifiers in select clause: a")),
        (
            own("SELECT a, a.b FROM t"),
            own(
                "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a, b]",
            ),
        ),
        (
            own("DELETE FROM t WHERE pk = 'x' RETURNING MODIFIED OLD *"),
            own("Invalid returning clause: RETURNING MODIFIED OLD *. Only RETURNING ALL OLD * is allowed in DELETE statements."),
        ),
        (
            where_("pk = 1e126"),
            own("Number overflow. Attempting to store a number with magnitude larger than supported range under root"),
        ),
        (
            where_("pk = 123456789012345678901234567890123456789"),
            own("Attempting to store more than 38 significant digits in a Number under root"),
        ),
        (
            own("INSERT INTO t VALUE {'pk': 1e126}"),
            own("Number overflow. Attempting to store a number with magnitude larger than supported range under root"),
        ),
        (
            own("INSERT INTO t VALUE {'pk': 1, 'm': {'x': 1e-131}}"),
            own("Number underflow. Attempting to store a number with magnitude smaller than supported range under root.x"),
        ),
        (
            own("INSERT INTO t VALUE {'l': [1, {'a': [0, 1e126]}]}"),
            own("Number overflow. Attempting to store a number with magnitude larger than supported range under root[1].a[1]"),
        ),
        (
            own("INSERT INTO t VALUE {'ss': set_add(<<'a'>>, <<'b'>>)}"),
            own("Unsupported data type: set_add under key root at 1:28:7"),
        ),
        (
            where_("attribute_exists('ss')"),
            own("Operator or function requires a document path; operator or function: attribute_exists"),
        ),
        (
            where_("attribute_exists()"),
            own(
                "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 0",
            ),
        ),
        (where_("EXISTS(ss)"), own("Unrecognized function: exists at 1:23:6")),
        (where_("set_add(ss, <<'x'>>) = ss"), own("Unrecognized function: set_add at 1:23:7")),
        (where_("val < true"), operand("<", "BOOL")),
        (where_("val BETWEEN true AND false"), operand("BETWEEN", "BOOL")),
        (where_("begins_with(a, 1)"), operand("begins_with", "N")),
        (
            where_(&format!("a IN [{}]", vec!["1"; 101].join(","))),
            own("The IN operator is provided with too many operands; number of operands: 101"),
        ),
        (where_(&vec!["a = 1"; 151].join(" AND ")), own("The expression contains too many operators; operator count: 301")),
        (
            own("UPDATE t SET t = set_add(ss, <<'x'>>) WHERE pk = 'a'"),
            own("The first argument to SET_ADD must equal the assignment value at 1:18:7"),
        ),
        (
            own("UPDATE t SET ss = set_add(ss, 'x') WHERE pk = 'a'"),
            own("The second argument to SET_ADD must be a value with type SET at 1:27:2"),
        ),
        (own("UPDATE t SET ss = set_delete(ss) WHERE pk = 'a'"), own("SET_DELETE must have exactly two arguments at 1:19:10")),
        (
            own("UPDATE t SET ss = set_add(ss, <<'x', 'x'>>) WHERE pk = 'a'"),
            own("One or more parameter values were invalid: Input collection [x, x] contains duplicates."),
        ),
        (own("UPDATE t SET ss = set_add(ss, <<>>) WHERE pk = 'a'"), own("Empty bags are not supported")),
        (own("UPDATE t SET a = 'x' + 1"), operand("+", "S")),
        (
            own("UPDATE t SET a = 1 REMOVE a"),
            own(
                "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]",
            ),
        ),
        (
            where_("a = ?"),
            own("Number of parameters in request and statement don't match: the request has 0, the statement more"),
        ),
    ] {
        match parse(&text, &[]) {
            Ok(statement) => panic!("{text}: {statement:?}"),
            Err(error) => assert_eq!(error.to_string(), message, "{text}"),
        }
    }
    let unused = parse("SELECT * FROM t", &[Value::Null]).unwrap_err().to_string();
    assert_eq!(unused, "Number of parameters in request and statement don't match: the statement has 0, the request 1");
    assert!(parse(&format!("SELECT * FROM t WHERE a = '{}'", "x".repeat(8192)), &[]).unwrap_err().to_string().contains("8192"));
}

fn schema() -> KeySchema {
    let attribute = |name: &str, key_type| KeyAttribute { name: name.into(), key_type };
    KeySchema { hash: attribute("h", KeyType::String), range: Some(attribute("r", KeyType::Number)) }
}

#[test]
fn conditions_on_keys_become_ranges_and_others_a_scan() {
    let range = |hash: &str, sort| KeyRange { hash: Value::from(hash), sort };
    let five = || Value::from(5);
    for (condition, expected) in [
        ("h = 'a'", Access::Ranges(vec![range("a", SortRange::All)])),
        ("'a' = h AND x = 1", Access::Ranges(vec![range("a", SortRange::All)])),
        ("x = 1 AND (r > 5 AND h = 'a')", Access::Ranges(vec![range("a", SortRange::Greater(five()))])),
        ("h = 'a' AND 5 > r", Access::Ranges(vec![range("a", SortRange::Less(five()))])),
        ("h = 'a' AND r BETWEEN 5 AND 6", Access::Ranges(vec![range("a", SortRange::Between(five(), Value::from(6)))])),
        (
            "h IN ['a', 'b', 'a'] AND r = 5",
            Access::Ranges(vec![range("a", SortRange::Equal(five())), range("b", SortRange::Equal(five()))]),
        ),
        (
            "h = 'a' AND r >= 5 OR h = 'b'",
            Access::Ranges(vec![range("a", SortRange::GreaterOrEqual(five())), range("b", SortRange::All)]),
        ),
        ("h = 'a' OR h = 'a' AND r = 5", Access::Scan),
        ("h = 'a' OR x = 1", Access::Scan),
        ("h = 'a' AND (r = 5 OR x = 1)", Access::Ranges(vec![range("a", SortRange::All)])),
        ("NOT h = 'a'", Access::Scan),
        ("h = 5", Access::Scan),
        ("h.x = 'a'", Access::Scan),
        ("h > 'a'", Access::Scan),
        ("h IN ['a', x]", Access::Scan),
        ("x = 1", Access::Scan),
    ] {
        let filter = select(&format!("SELECT * FROM t WHERE {condition}"), &[]).filter;
        assert_eq!(access(filter.as_ref(), &schema()), expected, "{condition}");
    }
    assert_eq!(access(None, &schema()), Access::Scan);
}

#[test]
fn a_write_names_its_whole_key() {
    let key = |condition: &str| key_of(select(&format!("SELECT * FROM t WHERE {condition}"), &[]).filter.as_ref(), &schema());
    assert_eq!(key("r = 5 AND x = 1 AND 'a' = h").unwrap(), plain_item(&json!({"h": "a", "r": 5})));
    for condition in ["h = 'a'", "h = 'a' OR r = 5", "h = 'a' AND r > 5", "h = 'a' AND NOT r = 5", "h = x AND r = 5"] {
        assert_eq!(
            key(condition).unwrap_err().to_string(),
            "Where clause does not contain a mandatory equality on all key attributes",
            "{condition}"
        );
    }
    assert!(key_of(None, &schema()).is_err());
}

#[test]
fn any_text_is_a_statement_or_an_error() {
    let words = [
        "SELECT",
        "FROM",
        "WHERE",
        "INSERT",
        "INTO",
        "VALUE",
        "UPDATE",
        "SET",
        "REMOVE",
        "DELETE",
        "RETURNING",
        "ALL",
        "OLD",
        "*",
        "EXISTS",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "<<",
        ">>",
        ",",
        ".",
        ":",
        "?",
        "=",
        "<>",
        "<",
        ">",
        "+",
        "-",
        "AND",
        "OR",
        "NOT",
        "IN",
        "BETWEEN",
        "IS",
        "MISSING",
        "NULL",
        "a",
        "\"b\"",
        "'c'",
        "1",
        "1e5",
        "set_add",
        "list_append",
        "contains",
        "size",
        "attribute_exists",
        ";",
        "é",
        "\n",
        "/*",
        "--",
        "0",
        ".5",
    ];
    let mut rng = rand::rng();
    let starts = ["", "SELECT * FROM t WHERE ", "UPDATE t SET a = ", "INSERT INTO t VALUE {'a': ", "DELETE FROM t WHERE "];
    for _ in 0..20_000 {
        let count = rng.random_range(0..25);
        let middle: Vec<_> = (0..count).map(|_| *words.choose(&mut rng).unwrap()).collect();
        let text = format!("{}{}", starts.choose(&mut rng).unwrap(), middle.join(if rng.random_bool(0.5) { " " } else { "" }));
        let _ = parse(&text, &[Value::Null]);
    }
    let started = std::time::Instant::now();
    for unit in ["(", "NOT ", "[", "{'a':", "<<", "a = 1 AND ", "size(", "a.", "a[0]", "list_append(", "-", "?,"] {
        for start in starts {
            let text = format!("{start}{}", unit.repeat((8_000 - start.len()) / unit.len()));
            assert!(parse(&text, &[]).is_err());
        }
    }
    assert!(started.elapsed().as_secs() < 10);
}
