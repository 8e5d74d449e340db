//! Aggregations that a statement names more than once.

use super::*;

/// Bytes of tables that a statement reads, and its rows.
async fn read(lake: &Lake, sql: &str) -> (u64, String) {
    let stream = lake.engine.query(lake.request(sql)).await.unwrap();
    let statistics = Arc::clone(stream.statistics());
    let rows = rows(&stream.collect().await.unwrap()).join("; ");
    (statistics.scanned_bytes(), rows)
}

const TOTALS: &str = "WITH totals AS (SELECT carrier, sum(distance) AS s FROM flights GROUP BY carrier)";

#[tokio::test]
async fn what_is_named_twice_is_read_once() {
    let lake = flights().await;
    // Footers are read once for all statements.
    read(&lake, "SELECT max(distance) FROM flights").await;
    let (once, rows) = read(&lake, &format!("{TOTALS} SELECT carrier, s FROM totals ORDER BY 1")).await;
    assert_eq!(rows, "AA|500; DL|1000; UA|300");
    for (sql, expected) in [
        ("SELECT carrier FROM totals WHERE s = (SELECT max(s) FROM totals)", "DL"),
        ("SELECT a.carrier, b.carrier FROM totals a JOIN totals b ON a.s = b.s * 2 - 100 ORDER BY 1", "AA|UA"),
        ("SELECT count(*), sum(s) FROM (SELECT * FROM totals UNION ALL SELECT * FROM totals WHERE s > 400)", "5|3300"),
        ("SELECT (SELECT min(s) FROM totals), (SELECT max(s) FROM totals), sum(s) FROM totals WHERE s > 300", "300|1000|1500"),
        // The larger part holds the smaller one, which is also there by itself.
        (
            "SELECT x.n + y.n, t.s FROM (SELECT sum(s) AS n FROM totals) x CROSS JOIN (SELECT sum(s) AS n FROM totals) y \
             CROSS JOIN totals t ORDER BY t.s",
            "3600|300; 3600|500; 3600|1000",
        ),
        ("SELECT carrier FROM totals LIMIT 0", ""),
    ] {
        let (bytes, rows) = read(&lake, &format!("{TOTALS} {sql}")).await;
        assert_eq!((rows.as_str(), bytes <= once), (expected, true), "{sql}: {bytes} bytes instead of {once}");
    }
}

#[tokio::test]
async fn what_differs_is_not_shared() {
    let lake = flights().await;
    for (sql, expected) in [
        // A condition on the key, another function, other rows, another lambda.
        ("SELECT a.s, b.s FROM totals a, totals b WHERE a.carrier = 'AA' AND b.carrier = 'UA'", "500|300"),
        ("SELECT (SELECT sum(s) FROM totals), (SELECT max(s) FROM totals)", "1800|1000"),
        (
            "SELECT (SELECT sum(distance) FROM flights WHERE year = 2013), (SELECT sum(distance) FROM flights WHERE year = 2014)",
            "750|1050",
        ),
        (
            "SELECT (SELECT sum(reduce(ARRAY[distance], 0, (a, x) -> a + x, a -> a)) FROM flights), \
             (SELECT sum(reduce(ARRAY[distance], 0, (a, x) -> a + x, a -> -a)) FROM flights)",
            "1800|-1800",
        ),
        // Each is another number.
        ("SELECT a.r = b.r FROM (SELECT max(random()) AS r FROM flights) a, (SELECT max(random()) AS r FROM flights) b", "false"),
    ] {
        lake.check(&format!("{TOTALS} {sql}"), expected).await;
    }
}

#[tokio::test]
async fn what_is_run_again_and_again_is_not_shared() {
    let lake = flights().await;
    let sql = "WITH RECURSIVE totals AS (SELECT carrier, sum(distance) AS s FROM flights GROUP BY carrier), \
               n (k, s) AS (SELECT 1, cast(0 AS bigint) UNION ALL SELECT n.k + 1, n.s + a.s - b.s / 2 FROM n \
               JOIN totals a ON a.carrier = 'AA' JOIN totals b ON b.carrier = 'AA' WHERE n.k < 4) SELECT k, s FROM n ORDER BY k";
    lake.check(sql, "1|0; 2|250; 3|500; 4|750").await;
}

#[tokio::test]
async fn a_result_larger_than_memory_for_it_is_read_from_disk() {
    let lake = Lake::with(EngineConfig { memory_bytes: 512 << 20, threads: 2, ..EngineConfig::default() });
    // 60 MB, of which each of two partitions keeps 16 MB at the most.
    let sql = "WITH many AS (SELECT lpad(cast(a * 1000 + b AS varchar), 100, 'x') AS k, count(*) AS n \
               FROM UNNEST(sequence(0, 599)) AS t (a) CROSS JOIN UNNEST(sequence(0, 999)) AS u (b) GROUP BY 1) \
               SELECT (SELECT count(*) FROM many), (SELECT sum(n) FROM many), count(DISTINCT k), max(k) = lpad('9', 100, 'x') FROM many";
    lake.check(sql, "600000|600000|600000|true").await;
}

#[tokio::test]
async fn an_error_reaches_all_that_read() {
    let lake = flights().await;
    let sql = "WITH bad AS (SELECT carrier, sum(distance / (distance - 100)) AS s FROM flights GROUP BY carrier) \
               SELECT (SELECT max(s) FROM bad), s FROM bad";
    assert!(lake.text(sql).await.contains("Division by zero"), "{}", lake.text(sql).await);
}

#[tokio::test]
async fn plans_name_it_once() {
    let lake = flights().await;
    let sql = format!("{TOTALS} SELECT carrier FROM totals WHERE s = (SELECT max(s) FROM totals)");
    let plan = lake.engine.explain(lake.request(&sql), ExplainFormat::Text, ExplainType::Distributed).await.unwrap().text;
    assert_eq!(
        plan.matches("TableScan[").count() + plan.matches("ScanFilter").count() + plan.matches("ScanProject").count(),
        1,
        "{plan}"
    );
    let analyzed = lake.engine.analyze(lake.request(&sql), ExplainFormat::Text).await.unwrap().text;
    assert_eq!(analyzed.matches("Output: 5 rows").count(), 1, "{analyzed}");
}
