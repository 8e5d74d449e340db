use super::*;
use crate::expression::testing::{item, placeholders, try_placeholders, usual};
use serde_json::{Value as Json, json};

fn attributes() -> Item {
    item(json!({
        "id": {"S": "k"}, "s": {"S": "hello"}, "n": {"N": "10"}, "b": {"B": "AQL/"}, "t": {"BOOL": true}, "z": {"NULL": true},
        "l": {"L": [{"S": "x"}, {"N": "1"}, {"L": [{"N": "2"}]}]}, "m": {"M": {"k": {"S": "v"}, "x.y": {"N": "3"}}},
        "ss": {"SS": ["a", "b"]}, "ns": {"NS": ["1", "2.5"]}, "bs": {"BS": ["YQ=="]}, "é": {"S": "😀é"}
    }))
}

fn holds(text: &str, values: Json) -> bool {
    let mut names = placeholders(&json!({"#dot": "x.y", "#e": "é"}), &values);
    Condition::parse(Kind::Condition, text, &mut names).unwrap_or_else(|error| panic!("{text}: {error}")).holds(&attributes())
}

#[test]
fn comparisons_are_those_of_one_type() {
    let values = json!({":s": {"S": "hello"}, ":z": {"S": "z"}, ":n": {"N": "1e1"}, ":m": {"N": "9.5"}, ":b": {"B": "AQI="}, ":t": {"BOOL": true},
        ":null": {"NULL": true}, ":ss": {"SS": ["b", "a"]}, ":l": {"L": [{"N": "2"}]}, ":x": {"S": "x"}});
    for (text, expected) in [
        ("s = :s", true),
        ("s = :z", false),
        ("s <> :z", true),
        ("s < :z", true),
        ("s <= :s", true),
        ("s > :z", false),
        ("s >= :s", true),
        (":z > s", true),
        ("n = :n", true),
        ("n > :m", true),
        ("n <= :n", true),
        ("n < :n", false),
        ("n = :s", false),
        ("n <> :s", true),
        ("n < :s", false),
        ("n > :s", false),
        ("b > :b", true),
        ("t = :t", true),
        ("z = :null", true),
        ("ss = :ss", true),
        ("l[2] = :l", true),
        ("l[0] = :x", true),
        ("l[9] = :x", false),
        ("absent = :s", false),
        ("absent <> :s", true),
        ("absent < :s", false),
        ("absent = another", false),
        ("absent <> another", true),
        ("s <> absent", true),
        ("n BETWEEN :m AND :n", true),
        ("n between :n and :n", true),
        ("s BETWEEN :s AND :z", true),
        ("absent BETWEEN :m AND :n", false),
        (":m BETWEEN n AND absent", false),
        ("s IN (:z, :s)", true),
        ("s IN (:z)", false),
        ("absent IN (:z, another)", false),
        ("n IN (:s, :n)", true),
        ("NOT s = :z", true),
        ("NOT absent = :z", true),
        ("not not s = :s", true),
    ] {
        assert_eq!(holds(text, values.clone()), expected, "{text}");
    }
}

#[test]
fn functions_do_what_the_developer_guide_says() {
    let values = json!({":he": {"S": "he"}, ":ell": {"S": "ell"}, ":a": {"S": "a"}, ":n": {"N": "1.0"}, ":b": {"B": "AQ=="}, ":mid": {"B": "Av8="}, ":S": {"S": "S"}, ":L": {"S": "L"},
        ":5": {"N": "5"}, ":3": {"N": "3"}, ":2": {"N": "2"}, ":1": {"N": "1"}, ":l": {"L": [{"N": "2"}]}, ":y": {"B": "YQ=="}});
    for (text, expected) in [
        ("attribute_exists(s)", true),
        ("attribute_exists(m.k)", true),
        ("attribute_exists(m.#dot)", true),
        ("attribute_exists(m.absent)", false),
        ("attribute_exists(l[2][0])", true),
        ("attribute_not_exists(absent)", true),
        ("attribute_not_exists(z)", false),
        ("attribute_type(s, :S)", true),
        ("attribute_type(l, :L)", true),
        ("attribute_type(absent, :S)", false),
        ("begins_with(s, :he)", true),
        ("begins_with(s, :ell)", false),
        ("begins_with(b, :b)", true),
        ("begins_with(n, :he)", false),
        ("begins_with(absent, :he)", false),
        ("contains(s, :ell)", true),
        ("contains(s, :a)", false),
        ("contains(s, :n)", false),
        ("contains(ss, :a)", true),
        ("contains(ns, :n)", true),
        ("contains(bs, :y)", true),
        ("contains(l, :n)", true),
        ("contains(l, :l)", true),
        ("contains(b, :mid)", true),
        ("contains(absent, :a)", false),
        ("contains(m, :a)", false),
        ("NOT contains(absent, :a)", true),
        ("size(s) = :5", true),
        ("size(b) = :3", true),
        ("size(l) = :3", true),
        ("size(m) = :2", true),
        ("size(ss) = :2", true),
        ("size(bs) = :1", true),
        ("size(#e) = :2", true),
        ("size(n) = :2", false),
        ("size(absent) < :5", false),
        ("size(s) BETWEEN :3 AND :5", true),
        (":5 = size(s)", true),
        ("size(l) > size(m)", true),
    ] {
        assert_eq!(holds(text, values.clone()), expected, "{text}");
    }
}

#[test]
fn and_binds_more_than_or_and_not_more_than_and() {
    let values = json!({":y": {"S": "hello"}, ":n": {"S": "no"}});
    let (t, f) = ("s = :y", "s = :n");
    for (text, expected) in [
        (format!("{t} OR {f} AND {f}"), true),
        (format!("({t} OR {f}) AND {f}"), false),
        (format!("{f} AND {f} OR {t}"), true),
        (format!("NOT {f} AND {f}"), false),
        (format!("NOT ({f} AND {f})"), true),
        (format!("{t} AND ({f} OR {t})"), true),
        (format!("({t}) AND ((s) = (:y))"), true),
        (format!("(({t}) AND {t})"), true),
        (format!("NOT NOT NOT {f}"), true),
        (format!("({t} AND (NOT ({f})))"), true),
        ("attribute_exists((s))".into(), true),
        ("(attribute_exists ((s)))".into(), true),
        ("contains((s), (:y))".into(), true),
        ("s IN ((:y))".into(), true),
        ("(s) IN ((:n), (:y))".into(), true),
        ("NOT (size((s)) = size((l)))".into(), true),
        (format!("{t} and\n\t{t} Or {f}"), true),
    ] {
        assert_eq!(holds(&text, values.clone()), expected, "{text}");
    }
}

fn refused(kind: Kind, text: &str) -> String {
    match Condition::parse(kind, text, &mut usual()) {
        Ok(_) => panic!("{text} was taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn faults_have_the_texts_of_dynamodb() {
    let size = format!("Expression size has exceeded the maximum allowed size; expression size: {}", 4097);
    let many = format!("a IN ({})", vec![":n"; 101].join(","));
    let operators = vec!["a = :n"; 151].join(" AND ");
    let long = "x".repeat(4097);
    let deep = format!("a{} = :n", ".b".repeat(33));
    for (text, message) in [
        ("", "The expression can not be empty;"),
        (" \n", "The expression can not be empty;"),
        (&long, size.as_str()),
        ("a x b", "Syntax error; token: \"x\", near: \"a x b\""),
        ("a > 4", "Syntax error; token: \"4\", near: \"> 4\""),
        ("a =", "Syntax error; token: \"<EOF>\", near: \"=\""),
        ("a", "Syntax error; token: \"<EOF>\", near: \"a\""),
        ("a = :n AND", "Syntax error; token: \"<EOF>\", near: \"AND\""),
        ("(a = :n", "Syntax error; token: \"<EOF>\", near: \":n\""),
        ("a = :n)", "Syntax error; token: \")\", near: \":n)\""),
        ("user-id = :n", "Syntax error; token: \"-\", near: \"user-id\""),
        ("_a = :n", "Syntax error; token: \"_\", near: \"_a\""),
        ("a = \"x\"", "Syntax error; token: \"\"\", near: \"= \"x\""),
        ("a[b] = :n", "Syntax error; token: \"b\", near: \"[b]\""),
        ("a = :n b", "Syntax error; token: \"b\", near: \":n b\""),
        ("# = :n", "Syntax error; token: \"#\", near: \"# =\""),
        ("a IN ()", "Syntax error; token: \")\", near: \"()\""),
        ("a é :n", "Syntax error; token: \"é\", near: \"a é :n\""),
        ("((a = :n))", "The expression has redundant parentheses;"),
        ("((a)) = :n", "The expression has redundant parentheses;"),
        ("attribute_exists(((a)))", "The expression has redundant parentheses;"),
        ("((attribute_exists(a)))", "The expression has redundant parentheses;"),
        ("a IN (((:n)))", "The expression has redundant parentheses;"),
        ("NOT ((a = :n))", "The expression has redundant parentheses;"),
        ("a = :n AND ((b = :n))", "The expression has redundant parentheses;"),
        ("a BETWEEN ((:n)) AND :n", "The expression has redundant parentheses;"),
        ("dog(a)", "Invalid function name; function: dog"),
        ("Contains(a, :s)", "Invalid function name; function: Contains"),
        ("a = dog(b)", "Invalid function name; function: dog"),
        ("size(a)", "The function is not allowed to be used this way in an expression; function: size"),
        (
            "attribute_exists(a) = :n",
            "The function is not allowed to be used this way in an expression; function: attribute_exists",
        ),
        ("if_not_exists(a, :n)", "The function is not allowed in a condition expression; function: if_not_exists"),
        ("if_not_exists(a, :n) = :n", "The function is not allowed in a condition expression; function: if_not_exists"),
        ("size(list_append(a, :n)) = :n", "The function is not allowed in a condition expression; function: list_append"),
        (
            "attribute_exists(a) < list_append(a, :n)",
            "The function is not allowed to be used this way in an expression; function: attribute_exists",
        ),
        ("Status = :nope", "Attribute name is a reserved keyword; reserved keyword: Status"),
        ("a.items = :n", "Attribute name is a reserved keyword; reserved keyword: items"),
        ("#nope = :n", "An expression attribute name used in the document path is not defined; attribute name: #nope"),
        ("a = :nope", "An expression attribute value used in expression is not defined; attribute value: :nope"),
        (
            "attribute_exists(a, b)",
            "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 2",
        ),
        (
            "attribute_exists()",
            "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 0",
        ),
        (
            "size(a, b) = :n",
            "Incorrect number of operands for operator or function; operator or function: size, number of operands: 2",
        ),
        ("attribute_exists(:s)", "Operator or function requires a document path; operator or function: attribute_exists"),
        (
            "a = a",
            "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a]",
        ),
        (
            "a[1].b BETWEEN :n AND a[1].b",
            "The first operand must be distinct from the remaining operands for this operator or function; operator: BETWEEN, first operand: [a, [1], b]",
        ),
        (
            "contains(a, #a)",
            "The first operand must be distinct from the remaining operands for this operator or function; operator: contains, first operand: [a]",
        ),
        ("a < :bool", "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL"),
        (":ss >= a", "Incorrect operand type for operator or function; operator or function: >=, operand type: SS"),
        (
            "a BETWEEN :m AND :n",
            "Incorrect operand type for operator or function; operator or function: BETWEEN, operand type: M",
        ),
        (
            "begins_with(a, :n)",
            "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
        ),
        ("size(:n) = :n", "Incorrect operand type for operator or function; operator or function: size, operand type: N"),
        ("size(size(a)) = :n", "Incorrect operand type for operator or function; operator or function: size, operand type: N"),
        (
            "attribute_type(a, b)",
            "Incorrect operand type for operator or function; operator or function: attribute_type, operand type: {NS,SS,L,BS,N,M,B,BOOL,NULL,S}",
        ),
        (
            "attribute_type(a, :n)",
            "Incorrect operand type for operator or function; operator or function: attribute_type, operand type: N",
        ),
        ("attribute_type(a, :s)", "Invalid attribute type name found; type: s, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}"),
        (
            "a BETWEEN :two AND :n",
            "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {N:2}, upper bound operand: AttributeValue: {N:1}",
        ),
        (
            "a BETWEEN :n AND :s",
            "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: {N:1}, upper bound operand: AttributeValue: {S:s}",
        ),
        (&many, "The IN operator is provided with too many operands; number of operands: 101"),
        (&operators, "The expression contains too many operators; operator count: 301"),
        ("a[99999999999999999999] = :n", "List index is not within the allowable range; index: [99999999999999999999]"),
        (&deep, "The document path has too many nesting levels; nesting levels: 34"),
    ] {
        assert_eq!(refused(Kind::Filter, text), format!("Invalid FilterExpression: {message}"), "{text}");
    }
    assert!(refused(Kind::Condition, "").starts_with("Invalid ConditionExpression: "));
}

#[test]
fn three_hundred_operators_nested_as_clients_nest_them_are_taken() {
    let nested = (1..150).fold("a = :n".to_owned(), |inner, _| format!("({inner} AND a = :n)"));
    assert!(Condition::parse(Kind::Filter, &nested, &mut usual()).is_ok());
    let other_way = format!("{}a = :n{}", "a = :n OR (".repeat(149), ")".repeat(149));
    assert!(Condition::parse(Kind::Filter, &other_way, &mut usual()).is_ok());
    let not = format!("{}a = :n", "not ".repeat(299));
    assert!(!Condition::parse(Kind::Filter, &not, &mut usual()).unwrap().holds(&item(json!({"a": {"N": "1"}}))));
    assert!(refused(Kind::Filter, &format!("{}a = :n", "not ".repeat(300))).contains("operator count: 301"));
    assert!(refused(Kind::Filter, &"(".repeat(4096)).contains("Syntax error; token: \"<EOF>\""));
    assert!(refused(Kind::Filter, &format!("a = {}b{}", "size(".repeat(600), ")".repeat(600))).contains("Syntax error"));
}

#[test]
fn placeholders_are_checked_and_all_must_be_used() {
    let large = json!({"S": "x".repeat(400_000)});
    let large = json!({":a": large, ":b": large, ":c": large, ":d": large, ":e": large, ":f": large});
    for (names, values, message) in [
        (json!(null), large, "Combined size of ExpressionAttributeNames and ExpressionAttributeValues exceeds max size"),
        (json!({"#a": ""}), json!(null), "ExpressionAttributeNames contains invalid value: Empty attribute name for key #a"),
        (json!({}), json!(null), "ExpressionAttributeNames must not be empty"),
        (json!(null), json!({}), "ExpressionAttributeValues must not be empty"),
        (json!({"a": "a"}), json!(null), "ExpressionAttributeNames contains invalid key: Syntax error; key: \"a\""),
        (json!({"#": "a"}), json!(null), "ExpressionAttributeNames contains invalid key: Syntax error; key: \"#\""),
        (json!({"#a-b": "a"}), json!(null), "ExpressionAttributeNames contains invalid key: Syntax error; key: \"#a-b\""),
        (
            json!(null),
            json!({":b": {"S": "a"}, "b": {"S": "a"}}),
            "ExpressionAttributeValues contains invalid key: Syntax error; key: \"b\"",
        ),
        (
            json!(null),
            json!({":b": {}}),
            "ExpressionAttributeValues contains invalid value: Supplied AttributeValue is empty, must contain exactly one of the supported datatypes for key :b",
        ),
        (
            json!(null),
            json!({":b": {"N": "x"}}),
            "ExpressionAttributeValues contains invalid value: The parameter cannot be converted to a numeric value: x for key :b",
        ),
        (json!(null), json!({":b": {"N": 5}}), "NUMBER_VALUE cannot be converted to String"),
    ] {
        assert_eq!(try_placeholders(&names, &values).unwrap_err().to_string(), message);
    }
    let both = [Kind::Update, Kind::Condition];
    let (names, values) = (json!({"#x": "a", "#y": "b"}), json!({":v": {"N": "1"}, ":w": {"N": "1"}}));
    let mut given = placeholders(&names, &values);
    assert_eq!(
        given.finish(&both).unwrap_err().to_string(),
        "ExpressionAttributeNames can only be specified when using expressions"
    );
    Condition::parse(Kind::Condition, "#y = :v", &mut given).unwrap();
    assert_eq!(
        given.finish(&both).unwrap_err().to_string(),
        "Value provided in ExpressionAttributeNames unused in expressions: keys: {#x}"
    );
    Condition::parse(Kind::Condition, "#x = :v", &mut given).unwrap();
    assert_eq!(
        given.finish(&both).unwrap_err().to_string(),
        "Value provided in ExpressionAttributeValues unused in expressions: keys: {:w}"
    );
    Condition::parse(Kind::Condition, "#x = :w", &mut given).unwrap();
    assert_eq!(given.finish(&both), Ok(()));
    let only_values = placeholders(&json!(null), &values);
    assert_eq!(
        only_values.finish(&both).unwrap_err().to_string(),
        "ExpressionAttributeValues can only be specified when using expressions: UpdateExpression and ConditionExpression are null"
    );
    assert_eq!(
        only_values.finish(&[Kind::Projection, Kind::Filter]).unwrap_err().to_string(),
        "ExpressionAttributeValues can only be specified when using expressions: FilterExpression is null"
    );
    assert_eq!(Placeholders::default().finish(&both), Ok(()));
}

#[test]
fn a_condition_tells_the_attributes_that_it_names() {
    let condition =
        Condition::parse(Kind::Filter, "#a.b = :n OR (size(x) > :n AND y IN (z, :s)) OR attribute_exists(q[1])", &mut usual())
            .unwrap();
    assert_eq!(condition.top_level_names().into_iter().collect::<Vec<_>>(), ["a", "q", "x", "y", "z"]);
}
