//! The dialect.

use super::*;

#[tokio::test]
async fn common_statements_mean_what_trino_means() {
    let lake = flights().await;
    let mut wrong = Vec::new();
    for (sql, expected) in [
        ("SELECT 1", "1"),
        ("SELECT 7 / 2, -7 / 2, 7 % 3, 7.0 / 2e0", "3|-3|1|3.5"),
        ("SELECT CAST(2.5e0 AS bigint), CAST(-1.5e0 AS integer), CAST('12' AS bigint), CAST(12 AS varchar)", "3|-2|12|12"),
        ("SELECT CAST(10e0 AS varchar), CAST(TIMESTAMP '2024-05-01 10:00:00' AS varchar)", "10.0|2024-05-01 10:00:00.000"),
        ("SELECT round(2.567e0, 2), round(-2.5e0), ceiling(1.2e0), truncate(1.9e0)", "2.57|-3.0|2.0|1.0"),
        ("SELECT CAST(1.005 AS decimal(10,2)), CAST('3.14159' AS decimal(5,2))", "1.01|3.14"),
        (
            "SELECT date_format(DATE '2024-03-05', '%Y/%m'), date_parse('05.03.2024', '%d.%m.%Y')",
            "2024/03|2024-03-05 00:00:00.000",
        ),
        (
            "SELECT date_trunc('month', DATE '2024-03-05'), date_trunc('hour', TIMESTAMP '2024-03-05 10:20:30')",
            "2024-03-01|2024-03-05 10:00:00.000",
        ),
        ("SELECT year(DATE '2024-03-05'), extract(month FROM DATE '2024-03-05'), day_of_week(DATE '2024-03-03')", "2024|3|7"),
        ("SELECT TIMESTAMP '9999-12-31 00:00:00', DATE '0001-01-01'", "9999-12-31 00:00:00.000|0001-01-01"),
        (
            "SELECT date_add('month', 1, DATE '2024-01-31'), date_diff('hour', TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-02 01:30:00')",
            "2024-02-29|25",
        ),
        ("SELECT concat('a', NULL), concat('a', 'b', 'c'), 'a' || 'b'", "∅|abc|ab"),
        ("SELECT if(1 > 2, 'a', 'b'), if(false, 1), coalesce(NULL, 2), nullif(1, 1)", "b|∅|2|∅"),
        (
            "SELECT regexp_extract('a1b22', '\\d+'), regexp_extract('k=v', '(\\w)=(\\w)', 2), regexp_replace('a1b2', '(\\d)', '<$1>')",
            "1|v|a<1>b<2>",
        ),
        ("SELECT json_extract_scalar('{\"a\":{\"b\":[1,\"x\"]}}', '$.a.b[1]'), json_extract('{\"a\":[1]}', '$.a')", "x|[1]"),
        (
            "SELECT try_cast('x' AS bigint), typeof(1), typeof('a'), typeof(CAST(1 AS decimal(5,2)))",
            "∅|integer|varchar(1)|decimal(5,2)",
        ),
        ("SELECT carrier, count(*) c FROM flights GROUP BY carrier HAVING count(*) > 1 ORDER BY c DESC, carrier", "AA|2; UA|2"),
        ("SELECT delay FROM flights ORDER BY delay DESC", "10; 0; -5; ∅; ∅"),
        ("SELECT delay FROM flights ORDER BY delay", "-5; 0; 10; ∅; ∅"),
        ("WITH t AS (SELECT carrier, distance FROM flights) SELECT t.carrier FROM t WHERE distance > 500", "DL"),
        ("SELECT count(DISTINCT carrier), approx_distinct(carrier), count_if(distance > 100) FROM flights", "3|3|3"),
        ("SELECT max_by(carrier, distance), min_by(carrier, distance) FROM flights", "DL|UA"),
        (
            "SELECT carrier, distance, row_number() OVER (PARTITION BY carrier ORDER BY distance DESC) AS rn, sum(distance) OVER (PARTITION BY carrier) FROM flights ORDER BY 1, 3",
            "AA|400|1|500; AA|100|2|500; DL|1000|1|1000; UA|250|1|300; UA|50|2|300",
        ),
        (
            "SELECT a.carrier, b.distance FROM flights a JOIN flights b ON a.carrier = b.carrier AND a.distance < b.distance ORDER BY 2",
            "UA|250; AA|400",
        ),
        (
            "SELECT carrier FROM flights WHERE year = 2013 UNION SELECT carrier FROM flights WHERE year = 2014 ORDER BY 1",
            "AA; DL; UA",
        ),
        ("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id DESC", "2|b; 1|a"),
        ("SELECT carrier FROM flights ORDER BY distance OFFSET 1 LIMIT 2", "AA; UA"),
        ("SELECT carrier FROM flights ORDER BY distance FETCH FIRST 1 ROWS ONLY", "UA"),
        (
            "SELECT CASE carrier WHEN 'AA' THEN 'American' ELSE 'other' END AS name, avg(distance) FROM flights GROUP BY 1 ORDER BY 1",
            "American|250.0; other|433.3333333333333",
        ),
        ("SELECT x FROM (SELECT ARRAY[1,2,3] AS a) CROSS JOIN UNNEST(a) AS t(x)", "1; 2; 3"),
        (
            "SELECT t.carrier, u.x FROM flights t CROSS JOIN UNNEST(ARRAY[1,2]) AS u(x) WHERE t.distance = 50 ORDER BY 2",
            "UA|1; UA|2",
        ),
        (
            "SELECT transform(ARRAY[1,2], x -> x * 2), filter(ARRAY[1,2,3], x -> x > 1), any_match(ARRAY[1], x -> x = 1)",
            "[2, 4]|[2, 3]|true",
        ),
        ("SELECT try(CAST('x' AS bigint)), try(1 / 0), try(date_parse('x', '%Y')), try(7 % 4)", "∅|∅|∅|3"),
        ("SELECT listagg(carrier, '+') WITHIN GROUP (ORDER BY distance) FROM flights WHERE year = 2013", "AA+UA+AA"),
        (
            "SELECT DECIMAL '100.0' * 2 / 3, DECIMAL '1.0' / 3, CAST(1 AS decimal(10,2)) / 3, round(5, 2), round(5)",
            "66.7|0.3|0.33|5|5",
        ),
        ("SELECT sum(distance) * 1.0e0 / count(*) FROM flights", "360.0"),
        ("SELECT * FROM flights WHERE carrier IN (SELECT carrier FROM flights WHERE distance = 1000)", "DL|∅|1000|120.5|2014"),
        ("SELECT distance FROM flights WHERE distance = (SELECT max(distance) FROM flights)", "1000"),
        ("SELECT \"CARRIER\", Flights.Distance FROM \"DB\".\"Flights\" WHERE DISTANCE = 1000", "DL|1000"),
        ("SELECT carrier FROM `db.flights` WHERE distance = 1000", "DL"),
    ] {
        let got = lake.text(sql).await;
        if got != expected {
            wrong.push(format!("{sql}\n     got {got}\nexpected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn duplicates_and_both_sides_are_kept_where_they_are_asked_for() {
    let lake = Lake::new();
    for (sql, expected) in [
        ("SELECT x FROM (VALUES 1, 1, 1, 2) t(x) EXCEPT ALL SELECT y FROM (VALUES 1, 3) u(y) ORDER BY x", "1; 1; 2"),
        ("SELECT x FROM (VALUES 1, 1, 1, 2) t(x) INTERSECT ALL VALUES 1, 1, 2, 2 ORDER BY x", "1; 1; 2"),
        ("SELECT x FROM (VALUES NULL, NULL, 1) t(x) EXCEPT ALL SELECT CAST(NULL AS integer) ORDER BY 1", "1; ∅"),
        (
            "SELECT x, count(*) FROM (VALUES 1, 2) a(x) FULL JOIN (VALUES 2, 3) b(x) USING (x) WHERE x > 1 GROUP BY x ORDER BY x",
            "2|1; 3|1",
        ),
        ("SELECT x FROM (VALUES 1) a(x) FULL JOIN (VALUES 3) b(x) USING (x) ORDER BY x DESC", "3; 1"),
    ] {
        lake.check(sql, expected).await;
    }
}

/// `to_char` of DataFusion has the alias `date_format`, and the order of a map decided which it was.
#[tokio::test]
async fn functions_of_trino_are_trino_s_in_every_engine() {
    for _ in 0..16 {
        Lake::new().check("SELECT date_format(TIMESTAMP '2024-03-05 10:20:30', '%W %i')", "Tuesday 20").await;
    }
}

#[tokio::test]
async fn errors_are_worded_as_athena_words_them() {
    let lake = flights().await;
    let mut wrong = Vec::new();
    for (sql, expected) in [
        ("SELECT * FROM nothing", "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.db.nothing' does not exist"),
        ("SELECT *\nFROM other.t", "SCHEMA_NOT_FOUND: line 2:6: Schema 'other' does not exist"),
        (
            "SELECT * FROM x.db.flights",
            "CATALOG_NOT_FOUND: line 1:15: Catalog 'x' does not exist. The lake's catalog is 'awsdatacatalog'",
        ),
        (
            "SELECT carier FROM flights",
            "COLUMN_NOT_FOUND: line 1:8: Column 'carier' cannot be resolved or requester is not authorized to access requested resources. Did you mean 'carrier'?",
        ),
        ("SELECT f.nope FROM flights f", "COLUMN_NOT_FOUND: line 1:8: Column 'f.nope' cannot be resolved"),
        ("SELECT nofunction(1)", "FUNCTION_NOT_FOUND: line 1:8: Function 'nofunction' not registered"),
        ("SELECT 1 / 0", "DIVISION_BY_ZERO: Division by zero"),
        ("SELECT distance / (year - year) FROM flights", "DIVISION_BY_ZERO: Division by zero"),
        ("SELECT 1 FROM", "line 1:14: mismatched input '<EOF>'. Expecting: identifier"),
        ("SELECT regexp_extract('a', '(')", "INVALID_FUNCTION_ARGUMENT"),
        ("SELECT CAST(carrier AS bigint) FROM flights", "INVALID_CAST_ARGUMENT"),
        ("SELECT carrier FROM flights GROUP BY year", "EXPRESSION_NOT_AGGREGATE: line 1:8: 'carrier' must be"),
        ("CREATE TABLE t (a int)", "NOT_SUPPORTED"),
        ("COPY flights TO '/tmp/x'", "NOT_SUPPORTED"),
        ("SELECT * FROM '/etc/passwd'", "TABLE_NOT_FOUND"),
        ("SELECT * FROM flights WHERE carrier > 5", "TYPE_MISMATCH: line 1:37: Cannot apply operator: varchar > integer"),
        ("SELECT * FROM flights WHERE year IN ('2013')", "TYPE_MISMATCH: line 1:29: Cannot apply operator: integer IN varchar"),
        ("SELECT sum(carrier) FROM flights", "TYPE_MISMATCH: line 1:8: Unexpected parameters (varchar) for function sum"),
        ("SELECT upper(1)", "TYPE_MISMATCH: line 1:8: Unexpected parameters (integer) for function upper"),
        (
            "SELECT * FROM flights TABLESAMPLE BERNOULLI (500)",
            "NUMERIC_VALUE_OUT_OF_RANGE: line 1:46: Sample percentage must be between 0 and 100",
        ),
        ("SELECT * FROM flights FOR VERSION AS OF 5", "NOT_SUPPORTED: table db.flights has no versions"),
        ("SELECT * FROM flights FOR TIMESTAMP AS OF (current_timestamp - INTERVAL '1' DAY) f", "NOT_SUPPORTED: table db.flights"),
        ("SELECT * FROM flights FOR TIMESTAMP AS OF 5", "SYNTAX_ERROR: line 1:1: FOR TIMESTAMP AS OF takes a date or timestamp"),
        ("SELECT year + carrier FROM flights", "TYPE_MISMATCH: line 1:13: Cannot apply operator: integer + varchar"),
        ("SELECT CAST(carrier AS foo) FROM flights", "TYPE_MISMATCH: line 1:24: Unknown type: foo"),
        ("SELECT sum(x) FROM (VALUES 9223372036854775807, 1) t(x)", "NUMERIC_VALUE_OUT_OF_RANGE: bigint addition overflow"),
        ("SELECT 2147483647 + 1", "NUMERIC_VALUE_OUT_OF_RANGE: integer addition overflow: 2147483647 + 1"),
        ("SELECT now() AT TIME ZONE 'Nowhere/Land'", "INVALID_FUNCTION_ARGUMENT: Time zone not supported: Nowhere/Land"),
        (
            "SELECT count(*) FROM flights WHERE year = 2013 AND CAST(carrier AS bigint) > 5",
            "INVALID_CAST_ARGUMENT: Cannot cast 'AA' to BIGINT",
        ),
        ("SELECT * FROM \"/etc/passwd\"", "TABLE_NOT_FOUND"),
    ] {
        let got = lake.text(sql).await;
        if !got.starts_with(expected) {
            wrong.push(format!("{sql}\n     got {got}\nexpected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn results_have_the_names_that_were_written() {
    let lake = flights().await;
    let check = |sql: &'static str, expected: &'static [&'static str]| {
        let lake = &lake;
        async move {
            let stream = lake.engine.query(lake.request(sql)).await.unwrap();
            let names: Vec<&str> = stream.columns().iter().map(|column| column.name.as_str()).collect();
            assert_eq!(names, expected, "{sql}");
            stream.collect().await.unwrap();
        }
    };
    check("SELECT count(*), Carrier, 1 AS \"One Two\" FROM flights GROUP BY 2", &["_col0", "Carrier", "One Two"]).await;
    check("SELECT carrier, carrier, count(*), count(*) FROM flights GROUP BY 1", &["carrier", "carrier", "_col2", "_col3"]).await;
    check("SELECT f.*, 1 AS X, 2 FROM flights f", &["carrier", "delay", "distance", "air_time", "year", "X", "_col6"]).await;
    check("SELECT 1 UNION ALL SELECT 2", &["_col0"]).await;
    check("SELECT a.carrier, b.carrier FROM flights a, flights b", &["carrier", "carrier"]).await;
    check("SELECT upper(carrier) FROM flights ORDER BY upper(carrier)", &["_col0"]).await;
    check("VALUES (1, 2)", &["_col0", "_col1"]).await;
}

#[tokio::test]
async fn parameters_stand_for_question_marks() {
    let lake = flights().await;
    let run = |sql: &str, parameters: &[&str]| {
        let request = lake.request(sql).with_parameters(parameters.iter().map(|p| (*p).to_owned()).collect());
        let engine = &lake.engine;
        async move { Ok::<_, QueryError>(rows(&engine.query(request).await?.collect().await?).join("; ")) }
    };
    let sql = "SELECT carrier, ? FROM flights WHERE carrier = ? AND distance > ? LIMIT 1";
    assert_eq!(run(sql, &["'it''s ?'", "'UA'", "100"]).await.unwrap(), "UA|it's ?");
    let error = run(sql, &["1"]).await.unwrap_err();
    assert_eq!(error.to_string(), "INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: expected 3 but found 1");
    assert_eq!(run("SELECT ?", &["UA"]).await.unwrap(), "UA");
    assert_eq!(run("SELECT 1", &["UA"]).await.unwrap(), "1");
    assert_eq!(run("SELECT ? * 3", &["1 + 1"]).await.unwrap(), "6");
    assert_eq!(run("SELECT DATE '2024-01-02' > ?", &["DATE '2024-01-01'"]).await.unwrap(), "true");
}

/// Functions that are rewritten take their arguments as they are, whatever stands in them.
#[tokio::test]
async fn what_is_in_a_parameter_stays_in_it() {
    let lake = flights().await;
    let sql = "SELECT concat('<', ?, '>'), IF(true, ?, 'no') FROM flights WHERE carrier = concat(?, '') LIMIT 1";
    for hostile in [r"\' OR 1=1 --", "''", "a''b", "') OR ('1' = '1", "$1", "?", r"\\", "$taken_0"] {
        let quoted = format!("'{}'", hostile.replace('\'', "''"));
        let parameters = vec![quoted.clone(), quoted.clone(), "'UA'".into()];
        let stream = lake.engine.query(lake.request(sql).with_parameters(parameters)).await.unwrap();
        assert_eq!(rows(&stream.collect().await.unwrap()), [format!("<{hostile}>|{hostile}")], "{hostile}");
        let where_ = vec!["'1'".into(), "'1'".into(), quoted];
        let stream = lake.engine.query(lake.request(sql).with_parameters(where_)).await.unwrap();
        assert_eq!(rows(&stream.collect().await.unwrap()), [] as [String; 0], "{hostile}");
    }
}

#[tokio::test]
async fn views_are_planned_from_their_text() {
    let lake = flights().await;
    let sql = "SELECT carrier AS Name, count(*) AS n FROM flights GROUP BY carrier";
    lake.add(view::table("db", "v", sql, "db", &[]), vec![]);
    lake.add(view::table("db", "w", "SELECT name FROM v WHERE n > 1", "db", &[]), vec![]);
    lake.add(view::table("db", "loop", "SELECT * FROM loop", "db", &[]), vec![]);
    lake.add(view::table("db", "stale", "SELECT gone FROM flights", "db", &[]), vec![]);
    lake.check("SELECT * FROM v ORDER BY name", "AA|2; DL|1; UA|2").await;
    lake.check("SELECT NAME FROM w ORDER BY 1", "AA; UA").await;
    let made =
        lake.engine.view(lake.request("SELECT carrier, row_number() OVER () AS N FROM flights"), "db", "made").await.unwrap();
    assert_eq!(made.storage.columns, columns(&[("carrier", "string"), ("n", "bigint")]));
    lake.add(made, vec![]);
    lake.check("SELECT max(n) FROM made", "5").await;
    let unnamed = lake.engine.view(lake.request("SELECT count(*) FROM flights"), "db", "x").await.unwrap_err();
    assert!(unnamed.to_string().contains("Column name not specified at position 1"), "{unnamed}");
    assert!(lake.text("SELECT * FROM loop").await.contains("INVALID_VIEW"));
    assert!(lake.text("SELECT * FROM stale").await.contains("Column 'gone' cannot be resolved"));
}

#[tokio::test]
async fn information_schema_lists_the_catalog() {
    let lake = flights().await;
    lake.check("SELECT schema_name FROM information_schema.schemata ORDER BY 1", "db; information_schema").await;
    lake.check("SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'db'", "flights|BASE TABLE")
        .await;
    lake.check(
        "SELECT column_name, data_type, extra_info FROM information_schema.columns WHERE table_schema = 'db' AND table_name = 'flights' ORDER BY ordinal_position DESC LIMIT 2",
        "year|integer|partition key; air_time|double|∅",
    )
    .await;
}

#[tokio::test]
async fn cancelling_stops_a_query() {
    let lake = flights().await;
    let endless = "SELECT count(*) FROM flights a, flights b, flights c, flights d, flights e, flights f, flights g, flights h, flights i, flights j, flights k, flights l, flights m, flights n WHERE a.distance + n.distance > 7";
    let request = lake.request(endless);
    let cancel = request.cancel.clone();
    let stream = lake.engine.query(request).await.unwrap();
    let started = std::time::Instant::now();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        cancel.cancel();
    });
    assert_eq!(stream.collect().await.unwrap_err(), QueryError::Cancelled);
    assert!(started.elapsed().as_secs() < 10);
    let request = lake.request("SELECT 1");
    request.cancel.cancel();
    assert_eq!(lake.engine.query(request).await.unwrap_err(), QueryError::Cancelled);
}

#[tokio::test]
async fn texts_that_are_put_together_have_a_greatest_length() {
    let lake = flights().await;
    let of = |clause: &str| {
        format!(
            "SELECT listagg(x, ',' {clause}) WITHIN GROUP (ORDER BY x) FROM (VALUES rpad('a', 1048576, 'a'), 'Trino', NULL, 'Trino') t(x)"
        )
    };
    let error = "EXCEEDED_FUNCTION_MEMORY_LIMIT: Concatenated string has the length in bytes larger than the maximum output length 1048576";
    lake.check(&of(""), error).await;
    lake.check(&of("ON OVERFLOW ERROR"), error).await;
    lake.check(&of("ON OVERFLOW TRUNCATE '.....' WITH COUNT"), "Trino,Trino,.....(1)").await;
    lake.check(&of("ON OVERFLOW TRUNCATE WITHOUT COUNT"), "Trino,Trino,...").await;
    lake.check("SELECT listagg(DISTINCT carrier, '+') WITHIN GROUP (ORDER BY carrier) FROM flights", "AA+DL+UA").await;
    lake.check("SELECT listagg(x) WITHIN GROUP (ORDER BY x) FROM (VALUES CAST(NULL AS varchar)) t(x)", "∅").await;
    lake.check("SELECT listagg(x) WITHIN GROUP (ORDER BY x) FROM (SELECT 'a' WHERE false) t(x)", "∅").await;
}

#[tokio::test]
async fn parameters_of_lambdas_are_no_columns() {
    let lake = flights().await;
    lake.check("SELECT transform(ARRAY[1, 2], x -> x + random(1)) FROM flights WHERE carrier = 'DL'", "[1, 2]").await;
    lake.check("SELECT transform(ARRAY[1, 0], x -> 1 / x) FROM (VALUES 1, 2) t(n)", "DIVISION_BY_ZERO: Division by zero").await;
    lake.check(
        "SELECT carrier, transform(ARRAY[1, 2], x -> transform(ARRAY[10], y -> x * y + distance + random(1))) FROM flights WHERE distance > 300 ORDER BY 1",
        "AA|[[410], [420]]; DL|[[1010], [1020]]",
    )
    .await;
}

#[tokio::test]
async fn memory_is_bounded_and_the_error_says_so() {
    let lake = Lake::with(EngineConfig { memory_bytes: 1 << 20, threads: 2, spill_bytes_max: 0, ..EngineConfig::default() });
    let many: Vec<i64> = (0..300_000).collect();
    let file = lake.put("big.parquet", parquet_file(vec![("a", longs(&many))])).await;
    lake.add(parquet_table("big", &[("a", "bigint")], &[]), vec![(vec![], vec![file])]);
    let error = lake.run("SELECT a, array_agg(a) FROM big GROUP BY a").await.unwrap_err();
    assert!(matches!(error, QueryError::ExceededMemory(_)), "{error:?}");
}

#[tokio::test]
async fn a_transform_reads_its_input_only() {
    let lake = Lake::new();
    let table = columns(&[("distance", "bigint"), ("air_time", "double"), ("year", "int")]);
    let sql = "select *, distance / air_time * 60 as mph from input";
    let out = transform::validate_transform(&lake.engine, sql, &table).await.unwrap();
    assert_eq!(out.last().unwrap(), &Column::new("mph", "double"));
    assert_eq!(out.len(), 4);
    let batch = RecordBatch::try_from_iter(vec![
        ("distance", longs(&[100, 200])),
        ("air_time", doubles(&[60.0, 60.0])),
        ("year", ints(&[2013, 2014])),
    ])
    .unwrap();
    let input: transform::InputStream = Box::pin(futures::stream::iter(vec![Ok(batch.clone()), Ok(batch.clone())]));
    let stream = transform::run_sql(&lake.engine, sql, batch.schema(), input, Default::default()).await.unwrap();
    let got = rows(&stream.collect().await.unwrap());
    assert_eq!(got, ["100|60.0|2013|100.0", "200|60.0|2014|200.0", "100|60.0|2013|100.0", "200|60.0|2014|200.0"]);

    for (sql, expected) in [
        ("select nope from input", "COLUMN_NOT_FOUND: line 1:8: Column 'nope' cannot be resolved"),
        ("select * from other", "TABLE_NOT_FOUND: line 1:15: Table"),
        ("select year + 1 from input", "SYNTAX_ERROR: line 1:1: Column name not specified at position 1"),
        ("select year, year from input", "SYNTAX_ERROR: line 1:1: Column name 'year' specified more than once"),
        ("drop table input", "NOT_SUPPORTED"),
        ("select * frm input", "line 1:10: mismatched input 'frm'"),
    ] {
        let error = transform::validate_transform(&lake.engine, sql, &table).await.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{sql}\n{error}");
    }
}

/// Time stands still.
#[derive(Debug)]
struct Noon;

impl millpond_core::env::Env for Noon {
    fn now_ms(&self) -> i64 {
        1_714_564_800_123
    }

    fn fill_random(&self, _: &mut [u8]) {}
}

#[tokio::test]
async fn the_clock_is_the_injected_one() {
    let lake = Lake::with(EngineConfig { threads: 1, env: Arc::new(Noon), ..EngineConfig::default() });
    lake.check("SELECT now(), current_date", "2024-05-01 12:00:00.123 UTC|2024-05-01").await;
}

#[tokio::test]
async fn a_result_is_written_and_read_back_in_pages() {
    let lake = flights().await;
    let sql = "SELECT carrier AS \"Who\", delay, ARRAY['x', NULL] AS list, 'a \"b\",\n' AS odd, '' AS empty FROM flights ORDER BY distance";
    let mut stream = lake.engine.query(lake.request(sql)).await.unwrap();
    let location = Path::from("results/1.csv");
    let store = Arc::clone(&lake.store) as Arc<dyn ObjectStore>;
    let object = crate::result::write_csv(&mut stream, Arc::clone(&store), &location).await.unwrap();
    let text = store.get(&location).await.unwrap().bytes().await.unwrap();
    assert_eq!((object.bytes, object.rows), (text.len() as u64, 5));
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(
        text.starts_with(
            "\"Who\",\"delay\",\"list\",\"odd\",\"empty\"\n\"UA\",,\"[x, null]\",\"a \"\"b\"\",\n\",\"\"\n\"AA\",\"10\","
        ),
        "{text}"
    );
    let page = crate::result::read_page(store.as_ref(), &location, 0, 2).await.unwrap();
    assert_eq!(
        page.rows[1],
        [Some("UA".to_owned()), None, Some("[x, null]".into()), Some("a \"b\",\n".into()), Some(String::new())]
    );
    let rest = crate::result::read_page(store.as_ref(), &location, page.next_offset.unwrap(), 100).await.unwrap();
    assert_eq!((rest.rows.len(), rest.next_offset), (4, None));
    // Nothing is left of a result that failed.
    let mut stream = lake.engine.query(lake.request("SELECT 1 / (distance - distance) FROM flights")).await.unwrap();
    let failed = Path::from("results/2.csv");
    assert_eq!(crate::result::write_csv(&mut stream, Arc::clone(&store), &failed).await.unwrap_err(), QueryError::DivisionByZero);
    assert!(store.head(&failed).await.is_err());
}

#[tokio::test]
async fn counting_rows_reads_footers_only() {
    let lake = flights().await;
    let plan = lake
        .engine
        .explain(lake.request("SELECT count(*) FROM flights"), ExplainFormat::Text, ExplainType::Distributed)
        .await
        .unwrap()
        .text;
    assert!(!plan.contains("TableScan"), "{plan}");
    let plan = lake
        .engine
        .explain(lake.request("SELECT count(*) FROM flights WHERE year = 2013"), ExplainFormat::Text, ExplainType::Distributed)
        .await
        .unwrap()
        .text;
    assert!(!plan.contains("TableScan"), "{plan}");
}

/// Trees are walked by recursion: what is computed from left to right must not make a deep one.
#[tokio::test]
async fn long_chains_of_operators_end_with_an_answer_or_an_error() {
    let lake = Lake::new();
    for (operand, step, value) in [
        ("x", " + 1", "1"),
        ("x", " * 1 - 0 + 0 % 7", "1"),
        ("x", " || 'b'", "'a'"),
        ("x", " + 1e0", "1e0"),
        ("x", " * DECIMAL '1'", "DECIMAL '1'"),
        ("x", " - DECIMAL '1'", "DECIMAL '1'"),
        ("x", " + INTERVAL '1' DAY", "DATE '2024-01-01'"),
        ("x", " * 1", "INTERVAL '1' DAY"),
        ("x", " + INTERVAL '1' DAY", "TIMESTAMP '2024-01-01 00:00:00'"),
        ("x", " || ARRAY[1]", "ARRAY[1]"),
        ("x", " || X'00'", "X'00'"),
        ("x", " AT TIME ZONE 'Europe/Berlin'", "TIMESTAMP '2024-01-01 00:00:00 UTC'"),
        ("x", "[1]", "ARRAY[1]"),
        ("x", " = true", "true"),
        ("x", " IS NULL", "1"),
    ] {
        let sql = format!("SELECT {operand}{} FROM (VALUES {value}) t(x)", step.repeat(300));
        let _ = lake.text(&sql).await;
    }
}
