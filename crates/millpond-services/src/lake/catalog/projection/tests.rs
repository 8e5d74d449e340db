use super::*;
use millpond_core::catalog::StorageDescriptor;
use std::time::Instant;

/// 2024-01-02T03:04:05Z
const NOW: i64 = 1_704_164_645_000;

fn table(keys: &[(&str, &str)], properties: &[(&str, &str)]) -> Table {
    let mut table = Table {
        database: "db".into(),
        name: "t".into(),
        storage: StorageDescriptor { location: Some("s3://b/t/".into()), ..StorageDescriptor::default() },
        partition_keys: keys.iter().map(|(name, data_type)| Column::new(*name, *data_type)).collect(),
        ..Table::default()
    };
    table.parameters.insert("projection.enabled".into(), "true".into());
    table.parameters.extend(properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    table
}

fn project(table: &Table, filter: &str) -> Result<Vec<Projected>, SourceError> {
    let filter: Option<PartitionExpr> = (!filter.is_empty()).then(|| filter.parse().unwrap());
    Projection::of(table, NOW)?.partitions(filter.as_ref(), &table.partition_keys)
}

/// The values, or the error with its name.
fn values(table: &Table, filter: &str) -> String {
    match project(table, filter) {
        Ok(found) => found.iter().map(|one| one.values.join("/")).collect::<Vec<_>>().join(" "),
        Err(error) => format!("{}: {}", error.name, error.message),
    }
}

fn check(table: &Table, filter: &str, expected: &str) {
    assert_eq!(values(table, filter), expected, "{filter}");
}

#[test]
fn enums_and_integers_are_what_their_properties_say() {
    let table = table(
        &[("kind", "string"), ("n", "int")],
        &[
            ("projection.kind.type", " Enum "),
            ("projection.kind.values", "a, b"),
            ("projection.n.type", "integer"),
            ("projection.n.range", " 001 , 7 "),
            ("projection.n.interval", "3"),
            ("projection.n.digits", "2"),
        ],
    );
    check(&table, "", "a/01 a/04 a/07  b/01  b/04  b/07");
    check(&table, "n = 4", "a/04  b/04");
    check(&table, "n = 5", "");
    check(&table, "n > 1 and kind = 'a'", "a/04 a/07");
    check(&table, "kind in ('a','c') and n in (7, 8)", "a/07");
    check(&table, "(kind = 'a' and n = 1) or n = 7", "a/01 a/07  b/07");
    check(&table, "kind <> 'a' and n <> 4", " b/01  b/07");
    check(&table, "kind is null", "");
    assert_eq!(project(&table, "n = 4").unwrap()[0].location, "s3://b/t/kind=a/n=04/");
}

#[test]
fn dates_go_to_now_in_steps() {
    let date = |data_type: &str, properties: &[(&str, &str)]| {
        let mut all = vec![("projection.d.type", "date")];
        all.extend(properties);
        table(&[("d", data_type)], &all)
    };
    let days = date("string", &[("projection.d.format", "yyyy/MM/dd"), ("projection.d.range", "2023/12/30,NOW")]);
    check(&days, "", "2023/12/30 2023/12/31 2024/01/01 2024/01/02");
    check(&days, "d >= '2024'", "2024/01/01 2024/01/02");
    check(&days, "d = '2023/12/31'", "2023/12/31");
    check(&days, "d between '2023/12/31' and '2024/01/01'", "2023/12/31 2024/01/01");
    check(&days, "d like '2024%'", "2024/01/01 2024/01/02");
    check(&days, "d = '2024-01-01'", "");
    let typed = date("date", &[("projection.d.format", "yyyyMMdd"), ("projection.d.range", "20231230, now + 1 DAYS")]);
    check(&typed, "d > '2024-01-01'", "2024-01-02 2024-01-03");
    assert_eq!(project(&typed, "d = '2024-01-01'").unwrap()[0].location, "s3://b/t/d=20240101/");
    let months = date("string", &[("projection.d.format", "MM-yyyy"), ("projection.d.range", "NOW-2MONTHS,NOW")]);
    check(&months, "", "11-2023 12-2023 01-2024");
    check(&months, "d = '12-2023'", "12-2023");
    check(&months, "d < '12'", "11-2023 01-2024");
    let hours = [
        ("projection.d.format", "yyyy-MM-dd-HH"),
        ("projection.d.range", "2024-01-01-00,NOW"),
        ("projection.d.interval", "6"),
        ("projection.d.interval.unit", "hours"),
    ];
    check(&date("string", &hours), "d > '2024-01-01-12'", "2024-01-01-18 2024-01-02-00");
    let numbers = [
        ("projection.d.format", "yyyy"),
        ("projection.d.range", "2021,NOW"),
        ("projection.d.interval", "1"),
        ("projection.d.interval.unit", "YEARS"),
    ];
    check(&date("int", &numbers), "d >= 2023", "2023 2024");
    let finer = [("projection.d.format", "yyyy"), ("projection.d.range", "2022,2024"), ("projection.d.interval.unit", "DAYS")];
    check(&date("string", &finer), "", "2022 2023 2024");
}

#[test]
fn injected_values_come_from_the_query_alone() {
    let injected = table(
        &[("id", "string"), ("n", "int")],
        &[("projection.id.type", "injected"), ("projection.n.type", "integer"), ("projection.n.range", "1,2")],
    );
    check(&injected, "id = 'x/y'", "x/y/1 x/y/2");
    check(&injected, "id in ('a','b') and n = 2", "a/2 b/2");
    check(&injected, "id = 'a' and id = 'b'", "");
    let refused = "CONSTRAINT_VIOLATION: For the injected projected partition column id, the WHERE clause must contain only static equality \
                   conditions, and at least one such condition must be present.";
    for filter in ["", "n = 1", "id > 'a'", "id = 'a' or n = 1", "id like 'a%'"] {
        check(&injected, filter, refused);
    }
}

#[test]
fn locations_follow_the_template() {
    let properties = [
        ("projection.a.type", "enum"),
        ("projection.a.values", "x"),
        ("projection.b.type", "integer"),
        ("projection.b.range", "1,1"),
    ];
    let with = |template: &str| {
        let mut table = table(&[("a", "string"), ("b", "int")], &properties);
        table.parameters.insert("storage.location.template".into(), template.into());
        table
    };
    assert_eq!(project(&with("s3://${a}/p-${b}/${a}"), "").unwrap()[0].location, "s3://x/p-1/x");
    let lacks = "HIVE_INVALID_METADATA: Table db.t: storage.location.template 's3://b/${a}/' lacks the partition column '${b}'";
    check(&with("s3://b/${a}/"), "", lacks);
    let other = "HIVE_INVALID_METADATA: Table db.t: storage.location.template names 'c', which is no partition column";
    check(&with("s3://b/${a}/${b}/${c}"), "", other);
    assert!(values(&with("s3://b/${a"), "").contains("not closed"));
}

#[test]
fn wrong_properties_are_named() {
    let missing = "HIVE_METASTORE_ERROR: Table db.t is configured for partition projection, but the following partition columns are missing \
                   projection configuration: [c] (table db.t)";
    check(&table(&[("c", "string")], &[]), "", missing);
    for (properties, named) in [
        (&[("type", "set")][..], "'projection.c.type' is 'set'"),
        (&[("type", "enum")], "'projection.c.values' is missing"),
        (&[("type", "integer")], "'projection.c.range' is missing"),
        (&[("type", "integer"), ("range", "1")], "'projection.c.range' must be two values"),
        (&[("type", "integer"), ("range", "1,x")], "'projection.c.range' must be two whole numbers"),
        (&[("type", "integer"), ("range", "2,1")], "'projection.c.range' begins with 2"),
        (&[("type", "integer"), ("range", "1,2"), ("interval", "0")], "'projection.c.interval' must be"),
        (&[("type", "integer"), ("range", "1,2"), ("digits", "99")], "'projection.c.digits' must be"),
        (&[("type", "date"), ("range", "2020,NOW")], "'projection.c.format' is missing"),
        (&[("type", "date"), ("range", "2020,NOW"), ("format", "yyyy")], "'projection.c.interval.unit' is missing"),
        (&[("type", "date"), ("range", "2020,NOW"), ("format", "nope")], "'projection.c.format': the letters"),
        (&[("type", "date"), ("range", "x,NOW"), ("format", "yyyy-MM")], "'projection.c.range' must be two dates"),
        (&[("type", "date"), ("range", "NOW,2020-01"), ("format", "yyyy-MM")], "begins after its end"),
        (&[("type", "date"), ("range", "2020-01,NOW"), ("format", "yyyy-MM"), ("interval.unit", "ages")], "'AGES'"),
    ] {
        let properties: Vec<(String, &str)> = properties.iter().map(|(k, v)| (format!("projection.c.{k}"), *v)).collect();
        let properties: Vec<(&str, &str)> = properties.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        let error = values(&table(&[("c", "string")], &properties), "");
        assert!(error.starts_with("HIVE_INVALID_METADATA: ") && error.contains(named), "{properties:?}: {error}");
    }
}

#[test]
fn what_the_filter_leaves_is_all_that_is_made() {
    let huge = table(
        &[("n", "bigint"), ("d", "string")],
        &[
            ("projection.n.type", "integer"),
            ("projection.n.range", "-9223372036854775808,9223372036854775807"),
            ("projection.d.type", "date"),
            ("projection.d.format", "yyyy-MM-dd HH:mm:ss"),
            ("projection.d.range", "1970-01-01 00:00:00,NOW"),
            ("projection.d.interval.unit", "SECONDS"),
        ],
    );
    let started = Instant::now();
    check(&huge, "n = 9223372036854775806 and d = '2024-01-01 00:00:01'", "9223372036854775806/2024-01-01 00:00:01");
    check(
        &huge,
        "n between 5 and 6 and d > '2024-01-02 03:04:03'",
        "5/2024-01-02 03:04:04 5/2024-01-02 03:04:05 6/2024-01-02 03:04:04 6/2024-01-02 03:04:05",
    );
    assert!(started.elapsed().as_millis() < 500, "{:?}", started.elapsed());
    for filter in ["", "n > 0", "n = 1", "d = '2024-01-01 00:00:01'"] {
        assert!(values(&huge, filter).starts_with("HIVE_EXCEEDED_PARTITION_LIMIT: "), "{filter}");
    }
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

/// Where rows of these values go, or the error up to the table's name.
fn goes(table: &Table, values: &[&str]) -> String {
    let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
    match projected_location(table, &values, NOW) {
        Ok(location) => location.unwrap(),
        Err(error) => format!("{}: {}", error.name, error.message.split(" of db.t").next().unwrap()),
    }
}

#[test]
fn rows_go_where_scans_find_them() {
    let refused = |shown: &str, key: &str| {
        format!("HIVE_INVALID_PARTITION_VALUE: {shown} is no value of the projected partition column '{key}'")
    };
    let integers = |data_type: &str| {
        let properties = [("projection.m.type", "integer"), ("projection.m.range", "1,12"), ("projection.m.digits", "2")];
        table(&[("m", data_type)], &properties)
    };
    assert_eq!(goes(&integers("int"), &["7"]), "s3://b/t/m=07/");
    assert_eq!(goes(&integers("decimal(5,1)"), &["7.0"]), "s3://b/t/m=07/");
    assert_eq!(goes(&integers("string"), &["07"]), "s3://b/t/m=07/");
    for (table, value, shown) in [
        (integers("int"), "77", "'77'"),
        (integers("int"), NULL_PARTITION, "NULL"),
        (integers("decimal(5,1)"), "7.5", "'7.5'"),
        // It would be read as '07'.
        (integers("string"), "7", "'7'"),
    ] {
        assert_eq!(goes(&table, &[value]), refused(shown, "m"), "{value}");
    }
    let days = |data_type: &str, format: &str, range: &str| {
        let template = ("storage.location.template", "s3://b/x/${d}/in");
        let properties =
            [("projection.d.type", "date"), ("projection.d.format", format), ("projection.d.range", range), template];
        table(&[("d", data_type)], &properties)
    };
    let daily = days("date", "yyyy/MM/dd", "2024/01/01,NOW");
    assert_eq!(goes(&daily, &["2024-01-02"]), "s3://b/x/2024/01/02/in");
    assert_eq!(goes(&daily, &["2024-01-03"]), refused("'2024-01-03'", "d"));
    let text = days("string", "yyyy/MM/dd", "2024/01/01,NOW");
    assert_eq!(goes(&text, &["2024/01/02"]), "s3://b/x/2024/01/02/in");
    assert_eq!(goes(&text, &["2024-01-02"]), refused("'2024-01-02'", "d"));
    let mut monthly = days("date", "yyyy-MM", "2023-12,2024-02");
    monthly.parameters.insert("projection.d.interval.unit".into(), "DAYS".into());
    assert_eq!(goes(&monthly, &["2024-01-01"]), "s3://b/x/2024-01/in");
    // Scans say that all of the month's rows are of its first day.
    assert_eq!(goes(&monthly, &["2024-01-02"]), refused("'2024-01-02'", "d"));
    let properties = [
        ("projection.who.type", "injected"),
        ("projection.kind.type", "enum"),
        ("projection.kind.values", "a/b,c d"),
        ("storage.location.template", "s3://b/${kind}/of/${who}/"),
    ];
    let nested = table(&[("who", "string"), ("kind", "string")], &properties);
    assert_eq!(goes(&nested, &["é=1", "a/b"]), "s3://b/a/b/of/é=1/");
    assert_eq!(goes(&nested, &["x", "b"]), refused("'b'", "kind"));
    for value in ["a/../b", "..", ".", "a/b"] {
        assert_eq!(goes(&nested, &[value, "c d"]), refused(&format!("'{value}'"), "who"));
    }
    assert_eq!(projected_location(&Table::default(), &[], NOW), Ok(None));
}
