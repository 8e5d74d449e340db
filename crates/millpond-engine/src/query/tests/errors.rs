//! What clients read when a statement is wrong.

use super::*;

/// The message of a statement that fails, when it is planned or while it runs.
async fn message(lake: &Lake, sql: &str) -> String {
    let error = match lake.engine.query(lake.request(sql)).await {
        Ok(stream) => stream.collect().await.err(),
        Err(error) => Some(error),
    };
    error.map_or_else(|| panic!("{sql} works"), |error| error.to_string())
}

#[tokio::test]
async fn errors_have_trinos_names_types_and_places() {
    let lake = flights().await;
    let mut wrong = Vec::new();
    for (sql, expected) in [
        ("SELECT 'a' + 1", "TYPE_MISMATCH: line 1:12: Cannot apply operator: varchar(1) + integer"),
        ("SELECT 1 FROM flights WHERE carrier > distance", "TYPE_MISMATCH: line 1:37: Cannot apply operator: varchar > bigint"),
        ("SELECT true + 1", "TYPE_MISMATCH: line 1:13: Cannot apply operator: boolean + integer"),
        (
            "SELECT nothing FROM flights",
            "COLUMN_NOT_FOUND: line 1:8: Column 'nothing' cannot be resolved or requester is not authorized",
        ),
        ("SELECT f.carier FROM flights f", "COLUMN_NOT_FOUND: line 1:8: Column 'f.carier' cannot be resolved"),
        (
            "SELECT 1 FROM flight",
            "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.db.flight' does not exist. Did you mean 'flights'?",
        ),
        ("SELECT foo(1)", "FUNCTION_NOT_FOUND: line 1:8: Function 'foo' not registered"),
        (
            "SELECT carrier, count(*) FROM flights",
            "EXPRESSION_NOT_AGGREGATE: line 1:8: 'carrier' must be an aggregate expression or appear in GROUP BY clause",
        ),
        ("SELECT *", "COLUMN_NOT_FOUND: line 1:1: SELECT * not allowed in queries without FROM clause"),
        (
            "SELECT carrier FROM flights ORDER BY 5",
            "INVALID_COLUMN_REFERENCE: line 1:29: ORDER BY position 5 is not in select list",
        ),
        (
            "SELECT count(*) FROM flights GROUP BY 7",
            "INVALID_COLUMN_REFERENCE: line 1:30: GROUP BY position 7 is not in select list",
        ),
        (
            "SELECT 1 FROM flights WHERE count(*) > 1",
            "EXPRESSION_NOT_SCALAR: line 1:23: WHERE clause cannot contain aggregations",
        ),
        ("SELECT 1 UNION SELECT 1, 2", "TYPE_MISMATCH: line 1:10: UNION query has different number of fields"),
        ("SELECT CAST('abc' AS integer)", "INVALID_CAST_ARGUMENT: Cannot cast 'abc' to INT"),
        ("SELECT CAST('abc' AS date)", "INVALID_CAST_ARGUMENT: Value cannot be cast to date: abc"),
        ("SELECT 1/0", "DIVISION_BY_ZERO: Division by zero"),
    ] {
        let message = message(&lake, sql).await;
        if !message.starts_with(expected) {
            wrong.push(format!("{sql}\n  gives {message}\n  wants {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn no_message_speaks_of_the_inside() {
    let lake = flights().await;
    let inside = [
        "Utf8",
        "Int64",
        "Int32",
        "Float64",
        "Span",
        "ScalarValue",
        "Arrow",
        "DataFusion",
        "datafusion",
        "Coercible",
        "Signature",
        "Some(",
        "ast node",
        "UDF",
        "Candidate functions",
        "DataType",
        "\u{1}",
    ];
    let mut wrong = Vec::new();
    for sql in [
        "SELECT abs('x')",
        "SELECT abs()",
        "SELECT abs(1, 2, 3)",
        "SELECT sum(carrier) FROM flights",
        "SELECT avg('x')",
        "SELECT lower(1)",
        "SELECT length(1)",
        "SELECT substr('abc')",
        "SELECT 'a' || 1",
        "SELECT ARRAY[1, 'x']",
        "SELECT ARRAY[1] + 1",
        "SELECT DATE '2024-01-01' + 1",
        "SELECT DATE '2024-13-01'",
        "SELECT TIMESTAMP 'yesterday'",
        "SELECT NOT 1",
        "SELECT 1 AND 2",
        "SELECT -'a'",
        "SELECT CASE WHEN 1 THEN 2 END",
        "SELECT CASE WHEN true THEN 1 ELSE 'x' END",
        "SELECT coalesce(1, 'x')",
        "SELECT if(1, 2, 3)",
        "SELECT nullif(1, 'x')",
        "SELECT 1 IN ('a')",
        "SELECT 1 LIKE 'a'",
        "SELECT 1 BETWEEN 'a' AND 'b'",
        "SELECT EXTRACT(year FROM 'x')",
        "SELECT date_trunc('century', DATE '2024-01-01')",
        "SELECT date_trunc('day', 1)",
        "SELECT CAST(300 AS tinyint)",
        "SELECT CAST(ARRAY[1] AS integer)",
        "SELECT CAST('x' AS decimal(5, 2))",
        "SELECT CAST('x' AS boolean)",
        "SELECT CAST('x' AS timestamp)",
        "SELECT CAST(DATE '2024-01-01' AS integer)",
        "SELECT CAST(12345 AS decimal(3, 1))",
        "SELECT CAST(1 AS decimal(99, 2))",
        "SELECT max(*) FROM flights",
        "SELECT max(distinct) FROM flights",
        "SELECT count(1, 2) OVER () FROM flights",
        "SELECT row_number() FROM flights",
        "SELECT carrier FROM flights GROUP BY year",
        "SELECT * FROM flights GROUP BY year",
        "SELECT carrier FROM flights HAVING distance > 1",
        "SELECT year FROM flights GROUP BY year ORDER BY carrier",
        "SELECT sum(count(*)) FROM flights",
        "SELECT sum(1) FROM flights WHERE row_number() OVER () = 1",
        "SELECT (SELECT 1, 2)",
        "SELECT (SELECT distance FROM flights)",
        "SELECT 1 WHERE 1",
        "SELECT 1 IN (SELECT 1, 2)",
        "SELECT 1 UNION SELECT 'x'",
        "SELECT * FROM flights JOIN flights ON true",
        "SELECT carrier FROM flights a JOIN flights b ON a.year = b.year",
        "SELECT * FROM flights a JOIN flights b ON a.carrier = b.distance",
        "SELECT * FROM flights a JOIN flights b USING (nothing)",
        "SELECT * FROM flights a JOIN flights b ON 1",
        "SELECT * FROM UNNEST(1)",
        "SELECT * FROM UNNEST('x')",
        "SELECT x FROM (VALUES 1, 'a') AS t (x)",
        "SELECT x FROM (VALUES (1, 2), (3)) AS t (x, y)",
        "SELECT x FROM (SELECT 1, 2) AS t (x)",
        "SELECT a.b.c.d.e FROM flights",
        "SELECT carrier.x FROM flights",
        "SELECT ARRAY[1]['x']",
        "SELECT map(ARRAY[1], 2)",
        "SELECT transform(ARRAY[1], 2)",
        "SELECT transform(ARRAY[1], x -> x || 'a')",
        "SELECT filter(1, x -> true)",
        "SELECT x -> 1",
        "SELECT lag(1)",
        "SELECT rank() OVER w",
        "SELECT sum(1) OVER (ROWS BETWEEN 1 FOLLOWING AND 1 PRECEDING)",
        "SELECT approx_percentile(distance, 'x') FROM flights",
        "SELECT date_add('day', 'x', DATE '2024-01-01')",
        "SELECT date_diff('nothing', DATE '2024-01-01', DATE '2024-01-01')",
        "SELECT date_parse('x', '%Y')",
        "SELECT from_iso8601_timestamp('x')",
        "SELECT regexp_like('a', '[')",
        "SELECT json_extract(1, '$')",
        "SELECT split('a')",
        "SELECT concat(1, 2)",
        "SELECT chr('a')",
        "SELECT greatest(1, 'a')",
        "SELECT 1 LIMIT 'x'",
        "SELECT 1 LIMIT -1",
        "SELECT 1 OFFSET 'x'",
        "SELECT 9223372036854775807 + 1",
        "SELECT 99999999999999999999999999",
        "SELECT INTERVAL '1' CENTURY",
        "SELECT INTERVAL 'x' DAY",
        "SELECT X'zz'",
        "SELECT CURRENT_DATE AT TIME ZONE 'Mars'",
        "SELECT * FROM flights TABLESAMPLE BERNOULLI ('x')",
        "SELECT * FROM nothing.flights",
        "SELECT * FROM other.db.flights",
        "SELECT * FROM TABLE(nothing(1))",
        "SELECT grouping(carrier) FROM flights",
        "SELECT try_cast(1 AS nothing)",
        "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT 'x' FROM t) SELECT * FROM t",
        "WITH a AS (SELECT 1), a AS (SELECT 2) SELECT * FROM a",
        "SELECT element_at(1, 1)",
        "SELECT cardinality(1)",
        "SELECT array_join(1, ',')",
        "SELECT format_datetime(1, 'x')",
        "SELECT round('x')",
        "SELECT power('a', 2)",
        "SELECT mod(1.5, 'x')",
        "SELECT max_by(carrier) FROM flights",
        "SELECT array_agg(carrier, 1) FROM flights",
    ] {
        let error = match lake.engine.query(lake.request(sql)).await {
            Ok(stream) => match stream.collect().await {
                Ok(_) => continue,
                Err(error) => error,
            },
            Err(error) => error,
        };
        let message = error.to_string();
        if inside.iter().any(|word| message.contains(word)) || message.starts_with("GENERIC_INTERNAL_ERROR") {
            wrong.push(format!("{sql}\n  gives {message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
