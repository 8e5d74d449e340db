//! Rows so wide that a batch of the usual number of them would take gigabytes.

use super::*;
use futures::StreamExt;
use std::fmt::Write;
use tokio_util::sync::CancellationToken;

/// Numbers from 0 to `count`, in two tables.
async fn numbers(memory_bytes: usize, count: i64) -> Lake {
    let lake =
        Lake::with(EngineConfig { memory_bytes, statement_memory_bytes: memory_bytes, threads: 2, ..EngineConfig::default() });
    for name in ["t", "u"] {
        let file =
            lake.put(&format!("{name}/1.parquet"), parquet_file(vec![("n", longs(&(0..count).collect::<Vec<_>>()))])).await;
        lake.add(parquet_table(name, &[("n", "bigint")], &[]), vec![(vec![], vec![file])]);
    }
    lake
}

/// The most bytes of a batch, and how many batches there are.
async fn batches(lake: &Lake, sql: &str) -> (usize, usize) {
    let mut stream = lake.engine.query(lake.request(sql)).await.unwrap();
    let (mut most, mut count) = (0, 0);
    while let Some(batch) = stream.next().await {
        let batch = batch.unwrap_or_else(|error| panic!("{sql}: {error}"));
        most = most.max(batch.get_array_memory_size());
        count += 1;
    }
    (most, count)
}

#[tokio::test]
async fn what_functions_make_of_many_rows_is_made_of_fewer_at_a_time() {
    let lake = numbers(256 << 20, 8000).await;
    // 20 columns of 240 MB.
    let columns: Vec<String> = (0..20).map(|n| format!("rpad('{n}', 30000 + n % 2, 'x') AS c{n}")).collect();
    let sql = format!("SELECT {} FROM t LIMIT 1000", columns.join(", "));
    let (most, count) = batches(&lake, &sql).await;
    assert!(most < 80 << 20 && count > 10, "{most} bytes, {count} batches");
    for (sql, expected) in [
        ("SELECT max(length(rpad('a', 60000 + n % 2, 'x'))) FROM t", "60001"),
        (
            "SELECT sum(length(x || x || x || x)) FROM (SELECT rpad('a', 10000, 'x') || CAST(n % 10 AS varchar) x FROM t)",
            "320032000",
        ),
        (
            "SELECT max(length(CASE WHEN n % 2 = 0 THEN x ELSE 'b' END)) FROM (SELECT n, rpad('a', 300000 + n % 2, 'x') x FROM t) WHERE n < 5000",
            "300000",
        ),
        ("SELECT sum(cardinality(split(rpad('a', 100000 + n % 2, ','), ','))) FROM t WHERE n < 100", "10000050"),
        ("SELECT sum(cardinality(regexp_extract_all(rpad('a', 100000 + n % 2, 'b'), '.'))) FROM t WHERE n < 50", "5000025"),
        ("SELECT sum(cardinality(sequence(1, 1000 + n))) FROM t", "39996000"),
        (
            "SELECT sum(cardinality(transform(sequence(1, 1000 + n % 2), x -> rpad('a', 10000, 'x')))) FROM t WHERE n < 20",
            "20010",
        ),
        (
            "SELECT count_if(any_match(sequence(1, 10000), x -> length(rpad('a', 10000 + x, 'b')) = 20000)) FROM t WHERE n < 3",
            "3",
        ),
    ] {
        lake.check(sql, expected).await;
    }
}

#[tokio::test]
async fn rows_that_are_copied_are_copied_for_a_few_at_a_time() {
    let lake = numbers(256 << 20, 8000).await;
    for (sql, expected) in [
        (
            "SELECT sum(length(x) + m) FROM (SELECT rpad('a', 1000000 + n, 'x') x FROM t WHERE n < 2), UNNEST(sequence(1, 2000)) AS v(m)",
            "4004004000",
        ),
        (
            "SELECT sum(length(x) + u.n) FROM (SELECT n % 2 AS k, rpad('a', 200000 + n, 'x') x FROM t WHERE n < 3) a JOIN u ON a.k = u.n % 2",
            "2448004000",
        ),
        (
            "SELECT sum(length(x) + u.n) FROM (SELECT rpad('a', 200000 + n, 'x') x FROM t WHERE n < 2) a CROSS JOIN u",
            "3264000000",
        ),
        // One row of many items is taken apart in pieces, whatever else is in it.
        (
            "SELECT count(*), sum(a), sum(b), sum(o) FROM t, UNNEST(sequence(1, 10000), sequence(1, 5 + n)) WITH ORDINALITY AS v(a, b, o) WHERE n < 50",
            "500000|2500250000|27700|2500250000",
        ),
        (
            "SELECT count(*), count(m) FROM t LEFT JOIN UNNEST(IF(n % 2 = 0, sequence(1, 10000), ARRAY[])) AS v(m) ON true WHERE n < 10",
            "50005|50000",
        ),
    ] {
        lake.check(sql, expected).await;
    }
}

#[tokio::test]
async fn documents_are_read_a_few_at_a_time() {
    let lake = Lake::with(EngineConfig { threads: 2, ..EngineConfig::default() });
    let document = |n: usize| format!("{n:06}{}", "0123456789abcdef".repeat(2000));
    let documents: Vec<String> = (0..4000).map(document).collect();
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    let numbers: Vec<i64> = (0..4000).collect();
    let file = lake.put("d/1.parquet", parquet_file(vec![("n", longs(&numbers)), ("doc", strings(&documents))])).await;
    let size = file.size;
    lake.add(parquet_table("d", &[("n", "bigint"), ("doc", "string")], &[]), vec![(vec![], vec![file])]);
    let (most, count) = batches(&lake, "SELECT doc FROM d").await;
    assert!(most < 80 << 20 && count >= 8, "{most} bytes, {count} batches");
    // Who does not ask for the documents reads as many rows at a time as ever.
    assert_eq!(batches(&lake, "SELECT n FROM d").await.1, 1);
    lake.check("SELECT count(*), sum(length(doc)), max(substr(doc, 1, 6)) FROM d", "4000|128024000|003999").await;
    let request = lake.request("SELECT max(doc) FROM d");
    let statistics = Arc::clone(&request.statistics);
    let plan = lake.engine.analyze(request, ExplainFormat::Text).await.unwrap();
    assert!(plan.text.contains("4000 rows"), "{}", plan.text);
    assert!(statistics.scanned_bytes() < size + size / 10, "{} of {size}", statistics.scanned_bytes());
}

#[tokio::test]
async fn what_is_read_twice_is_counted_once() {
    let lake = Lake::with(EngineConfig { threads: 2, ..EngineConfig::default() });
    let mut text = String::from("n,doc\n");
    for n in 0..1000 {
        writeln!(text, "{n},{}", "x".repeat(20_000)).unwrap();
    }
    let size = text.len() as u64;
    let file = lake.put("c/1.csv", text.into_bytes()).await;
    lake.add(csv_table("c", &[("n", "bigint"), ("doc", "string")], &[]), vec![(vec![], vec![file])]);
    let sql = "SELECT sum(length(a.doc)) FROM c a JOIN c b ON a.n = b.n";
    let stream = lake.engine.query(lake.request(sql)).await.unwrap();
    let statistics = Arc::clone(stream.statistics());
    assert_eq!(rows(&stream.collect().await.unwrap()), ["20000000"]);
    let scanned = statistics.scanned_bytes();
    // What tasks of the first run read while they are stopped is not taken back.
    assert!(scanned >= size && scanned < 2 * size + size / 2, "{scanned} of {size}");
}

#[tokio::test]
async fn what_one_row_takes_is_the_statements() {
    let lake = numbers(96 << 20, 1).await;
    let sql = |columns: usize| {
        let made: Vec<String> = (0..columns).map(|n| format!("rpad('{n}', 20000000 + n, 'x')")).collect();
        format!("SELECT {} FROM t", made.join(", "))
    };
    assert_eq!(batches(&lake, &sql(3)).await.1, 1);
    let failure = |ran: Result<Vec<RecordBatch>, QueryError>| ran.err();
    let error = failure(lake.run(&sql(8)).await);
    assert!(matches!(error, Some(QueryError::ExceededMemory(_))), "{error:?}");
    // It was given back.
    assert_eq!(batches(&lake, &sql(3)).await.1, 1);
    let error = failure(lake.run("SELECT rpad('x', 34000000 + n, 'y') FROM t").await);
    assert!(matches!(error, Some(QueryError::ExceededMemory(_))), "{error:?}");
}

#[tokio::test]
async fn what_can_not_begin_again_goes_on() {
    // The first file has its rows given before the second one is opened.
    let lake = Lake::with(EngineConfig { threads: 1, ..EngineConfig::default() });
    let table = |documents: &[&str]| parquet_file(vec![("doc", strings(documents))]);
    let wide: Vec<String> = (0..9000).map(|n| format!("{n:06}{}", "0123456789".repeat(1000))).collect();
    let wide: Vec<&str> = wide.iter().map(String::as_str).collect();
    let files = vec![lake.put("m/1.parquet", table(&["a"; 10])).await, lake.put("m/2.parquet", table(&wide)).await];
    lake.add(parquet_table("m", &[("doc", "string")], &[]), vec![(vec![], files)]);
    let mut stream = lake.engine.query(lake.request("SELECT upper(doc) FROM m")).await.unwrap();
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        rows += batch.unwrap().num_rows();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(rows, 9010);
    // A transform's input can be read once.
    let documents: ArrayRef = strings(&["0123456789".repeat(2000).as_str(); 2000]);
    let batch = RecordBatch::try_from_iter([("doc", documents)]).unwrap();
    let (schema, whole) = (batch.schema(), batch.clone());
    let input = futures::stream::iter([Ok(whole.slice(0, 1000)), Ok(whole.slice(1000, 1000))]).boxed();
    let sql = "SELECT doc || upper(doc) AS both FROM input";
    let stream = transform::run_sql(&lake.engine, sql, schema, input, CancellationToken::new()).await.unwrap();
    let made: usize = stream.collect().await.unwrap().iter().map(RecordBatch::num_rows).sum();
    assert_eq!(made, 2000);
}

#[tokio::test]
async fn windows_and_large_groups_are_worked_on_in_parts() {
    let lake = numbers(256 << 20, 600_000).await;
    for (sql, expected) in [
        (
            "SELECT count(*), sum(length(x)) FROM (SELECT split_part(CAST(n AS varchar), ',', 1) x, sum(n) OVER () s FROM t)",
            "600000|3488890",
        ),
        (
            "SELECT sum(cardinality(array_sort(items))) FROM (SELECT n % 10 AS g, array_agg(n) AS items FROM t GROUP BY n % 10)",
            "600000",
        ),
        (
            "SELECT sum(cardinality(transform(items, x -> x + g))), sum(array_max(transform(items, x -> x + g))) FROM (SELECT n % 2 AS g, array_agg(n) AS items FROM t GROUP BY n % 2)",
            "600000|1199998",
        ),
        (
            "SELECT count(*) FROM (SELECT ROW(x, c) AS r FROM (SELECT CAST(n AS varchar) || 'abcdefgh' AS x, count(*) AS c FROM t GROUP BY 1) ORDER BY r[1])",
            "600000",
        ),
        ("SELECT TRY(max(length(rpad('a', 60000 + n % 2, 'x')))) FROM u WHERE n < 8000", "60001"),
        ("SELECT max(length(TRY(rpad('a', 60000 + n % 2, 'x')))) FROM u WHERE n < 8000", "60001"),
    ] {
        lake.check(sql, expected).await;
    }
}
