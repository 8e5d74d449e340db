use super::*;
use crate::catalog::{Column, NULL_PARTITION};

fn keys() -> Vec<Column> {
    let keys = [
        ("region", "string"),
        ("year", "int"),
        ("day", "date"),
        ("price", "decimal(38,10)"),
        ("at", "timestamp"),
        ("ratio", "double"),
        ("live", "boolean"),
    ];
    keys.iter().map(|(name, data_type)| Column::new(*name, *data_type)).collect()
}

fn types() -> Vec<KeyType> {
    keys().iter().map(|key| KeyType::of(&key.data_type)).collect()
}

const ROW: [&str; 7] = ["eu-west", "2024", "2024-02-29", "12.50", "2024-02-29 12:30:00", "1.5", "true"];

fn row(changes: &[(usize, &str)]) -> Vec<String> {
    let mut row: Vec<String> = ROW.iter().map(|value| (*value).to_owned()).collect();
    for (place, value) in changes {
        row[*place] = (*value).to_owned();
    }
    row
}

/// Evaluates, and checks that printing keeps the meaning and that the sort ranges leave nothing out.
fn check(text: &str, values: &[String], expected: Option<bool>) {
    let expr: PartitionExpr = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    let printed: PartitionExpr = expr.to_string().parse().unwrap_or_else(|error| panic!("{expr}: {error}"));
    assert_eq!(printed, expr, "{text}");
    let bound = expr.bind(&keys()).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(bound.holds(&KeyValues::read(&types(), values)), expected, "{text} on {values:?}");
    if expected == Some(true) {
        let sort = sort_bytes(&types(), values);
        let inside = bound.ranges().iter().any(|range| range.from <= sort && (range.until.is_empty() || sort < range.until));
        assert!(inside, "{text} on {values:?}: {:?} not in {:?}", sort, bound.ranges());
    }
}

#[test]
fn conditions_hold_by_the_type_of_their_key() {
    for text in [
        "region = 'eu-west'",
        "region <> 'eu'",
        "REGION != 'eu'",
        "`region` = 'eu-west'",
        "\"region\" = 'eu-west'",
        "t.region = 'eu-west'",
        "region > 'eu' and region < 'ev'",
        "region like 'eu%'",
        "region LIKE '%-w__t'",
        "region not like 'us%'",
        "region in ('x', 'eu-west', 'y')",
        "region not in ('x')",
        "year = 2024",
        "year = '2024'",
        "2023 < year",
        "year > 999",
        "year between 2020 and 2024",
        "year not between 1 and 9",
        "NOT year = 5",
        "NOT (year = 5 OR year = 6)",
        "((year = 2024) AND ((region = 'eu-west')))",
        "(year) = 2024 and (region) in ('eu-west')",
        "year < > 7",
        "year > -5",
        "year like '20%'",
        "day = '2024-02-29'",
        "day = date '2024-02-29'",
        "day > '2023-12-31' and day <= '2024-02-29'",
        "price = 12.5",
        "price = '12.500'",
        "price > 9",
        "price > -100000",
        "price < 1e2",
        "price between 12.4999 and 12.5001",
        "at = timestamp '2024-02-29 12:30:00.000'",
        "at > '2024-02-29'",
        "at <= '2024-02-29T12:30:00Z'",
        "ratio >= 1.5",
        "live = true",
        "live <> FALSE",
        "region is not null",
        "year = 1 or region = 'eu-west' and day is not null",
        "year = 2024 and region = 'eu-west' and day > '2024-01-01'",
        "region = 'eu-west' and year in (1, 2024) and day = '2024-02-29' and price > 1",
    ] {
        check(text, &row(&[]), Some(true));
        check(&format!("NOT ({text})"), &row(&[]), Some(false));
    }
    check("region = 'it''s'", &row(&[(0, "it's")]), Some(true));
    check("region like 'a%'", &row(&[(0, "a\u{10FFFF}")]), Some(true));
    check("region = ''", &row(&[(0, "")]), Some(true));
    check("year = 7", &row(&[(1, "007")]), Some(true));
    check("price < -1.5", &row(&[(3, "-1.51")]), Some(true));
    check("price < -1.5", &row(&[(3, "-1.49")]), Some(false));
}

#[test]
fn null_and_texts_that_are_not_of_the_type_are_unknown() {
    for value in [NULL_PARTITION, "", "x", "99999999999999999999"] {
        let values = row(&[(1, value)]);
        for text in
            ["year = 1", "year <> 1", "NOT year = 1", "year in (1)", "year not in (1)", "year like '%'", "year between 1 and 2"]
        {
            check(text, &values, None);
        }
        check("year is null", &values, Some(true));
        check("year = 1 or region = 'eu-west'", &values, Some(true));
        check("year = 1 and region = 'x'", &values, Some(false));
    }
    check("region is null", &row(&[(0, NULL_PARTITION)]), Some(true));
    check("region is null", &row(&[(0, "")]), Some(false));
}

#[test]
fn faults_are_named_with_their_place() {
    let deep = format!("{}year = 1{}", "(".repeat(500), ")".repeat(500));
    let nots = format!("{} year = 1", "NOT ".repeat(5_000));
    for (text, part) in [
        ("", "character 1: expected a partition key"),
        ("year", "character 5: expected an operator"),
        ("year =", "character 7: expected a value, found the end"),
        ("year = 1 2", "character 10: expected AND, OR or the end, found the number 2"),
        ("year = 1 and", "character 13: expected a partition key"),
        ("(year = 1", "character 10: expected ')'"),
        ("year = 'x", "character 8: the quote ' is not closed"),
        ("year in ()", "character 10: expected a value"),
        ("year in (1", "expected ')'"),
        ("year between 1", "expected AND and the upper end"),
        ("year like 5", "expected a pattern"),
        ("year like 'a' escape 'b'", "ESCAPE is not supported"),
        ("year = null", "write IS NULL"),
        ("day = 2021-01-01", "put dates in single quotes"),
        ("year = 20x", "not a number"),
        ("year ; drop", "character 6: the character ';' has no meaning"),
        ("é = 1 #", "character 7"),
        ("year = year", "expected a value, found 'year'"),
        ("month = 1", "'month' is not a partition key of the table; its keys are: region, year"),
        ("year = 'abc'", "'year' is compared with 'abc', which is not of its type: integer"),
        ("year = 1.5", "not of its type"),
        ("day = '2024-2-1'", "date (YYYY-MM-DD)"),
        ("day = '2023-02-29'", "date (YYYY-MM-DD)"),
        (deep.as_str(), "nested more than"),
        (nots.as_str(), "nested more than"),
    ] {
        let error = text.parse::<PartitionExpr>().and_then(|expr| expr.bind(&keys()).map(|_| ()));
        let error = error.expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
        assert!(error.starts_with("Invalid partition expression!"), "{error}");
    }
}

#[test]
fn sort_bytes_sort_as_the_values_compare_and_tell_all_texts_apart() {
    let ordered = |data_type: &str, texts: &[&str]| {
        let types = [KeyType::of(data_type)];
        let sorts: Vec<Vec<u8>> = texts.iter().map(|text| sort_bytes(&types, &[(*text).to_owned()])).collect();
        assert!(sorts.windows(2).all(|pair| pair[0] < pair[1]), "{data_type} {texts:?} {sorts:?}");
    };
    ordered("string", &[NULL_PARTITION, "", "\0", "\0\0", "\0a", "A", "a", "a\0", "aa", "b", "é", "\u{10FFFF}"]);
    ordered("bigint", &[NULL_PARTITION, "-9223372036854775808", "-10", "-9", "-1", "0", "1", "9", "10", "9223372036854775807"]);
    ordered("date", &[NULL_PARTITION, "0001-01-01", "1969-12-31", "1970-01-01", "2024-02-29", "9999-12-31"]);
    let decimals = [
        "-1e20", "-10.1", "-10", "-9.99", "-1", "-0.5", "-0.05", "0", "0.05", "0.1", "0.11", "0.5", "1", "9.99", "10", "10.1",
        "1e20",
    ];
    ordered("decimal(38,2)", &decimals);
    ordered("double", &["-inf", "-10", "-1.5", "-1e-9", "0", "1e-9", "1.5", "10", "inf"]);
    let int = [KeyType::Integer];
    let of = |text: &str| sort_bytes(&int, &[text.to_owned()]);
    let texts = ["1", "01", "+1", "001", " 1", "x", "", NULL_PARTITION];
    for a in texts {
        for b in texts {
            assert_eq!(of(a) == of(b), a == b, "{a:?} {b:?}");
        }
    }
    let two = [KeyType::Text, KeyType::Text];
    assert_ne!(sort_bytes(&two, &["a".into(), "b".into()]), sort_bytes(&two, &["ab".into(), String::new()]));
}

#[test]
fn ranges_are_narrow_where_leading_keys_are_given() {
    let ranges = |text: &str| text.parse::<PartitionExpr>().unwrap().bind(&keys()).unwrap().ranges();
    let inside = |text: &str, values: &[String]| {
        let sort = sort_bytes(&types(), values);
        ranges(text).iter().any(|range| range.from <= sort && (range.until.is_empty() || sort < range.until))
    };
    assert_eq!(ranges("region in ('a','b') and year in (1,3,5)").len(), 6);
    assert_eq!(ranges("region = 'a' or region = 'b'").len(), 2);
    assert_eq!(ranges("year = 1").len(), 1);
    for (text, values) in [
        ("region = 'x'", row(&[])),
        ("region > 'eu-west'", row(&[])),
        ("region = 'eu-west' and year > 2024", row(&[])),
        ("region = 'eu-west' and year < 2024", row(&[])),
        ("region = 'eu-west' and year < 2024", row(&[(1, NULL_PARTITION)])),
        ("region like 'us%'", row(&[])),
        ("region < 'a' and region > 'b'", row(&[])),
        ("region is null", row(&[])),
        ("region is not null", row(&[(0, NULL_PARTITION)])),
        ("region = 'a' and region = 'eu-west'", row(&[])),
    ] {
        assert!(!inside(text, &values), "{text}");
    }
    let many: Vec<String> = (0..5_000).map(|i| format!("'{i}'")).collect();
    assert!(ranges(&format!("region in ({})", many.join(","))).len() <= 1);
}

#[test]
fn patterns_match_in_time_that_hostile_ones_cannot_blow_up() {
    for (pattern, text, matches) in [
        ("", "", true),
        ("%", "", true),
        ("_", "", false),
        ("a%b%c", "axxbxxc", true),
        ("a%b", "ab c", false),
        ("_é_", "aéb", true),
        ("%%%", "x", true),
    ] {
        assert_eq!(like(pattern, text), matches, "{pattern} {text}");
    }
    let pattern = "%a".repeat(500);
    let text = "b".repeat(20_000);
    assert!(!like(&pattern, &text));
}
