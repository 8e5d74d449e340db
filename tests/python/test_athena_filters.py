"""Filters that joins bring to the scans of Parquet files, and conditions in any order: rows are never lost, and errors are those of rows that count."""

import pytest


@pytest.fixture(scope="module")
def lake(module_lake):
    lake = module_lake
    lake.bucket("filters")
    lake.bucket("athena-results")
    lake.sql("CREATE DATABASE filters")
    tables = {
        "big": "SELECT a, 1000000 - a AS b, CASE WHEN a % 2 = 0 THEN CAST(a AS varchar) ELSE 'abc' END AS s, a % 5 AS zero FROM "
        "UNNEST(sequence(0, 9999)) h(n) CROSS JOIN UNNEST(sequence(n * 20, n * 20 + 19)) l(a)",
        "y": "SELECT k FROM (VALUES 10, 20, 30) t(k)",
        "z": "SELECT k FROM (VALUES 999990, 999980) t(k)",
        "n": "SELECT y FROM (VALUES 1, 2, 3, 700, NULL) t(y)",
        "one": "SELECT x FROM (VALUES 500) t(x)",
        "nul": "SELECT x FROM (VALUES 500, NULL) t(x)",
        "pairs": "SELECT i + 500 AS x, i AS y FROM UNNEST(sequence(0, 999)) t(i)",
        "next": "SELECT i AS x, i + 1 AS z FROM UNNEST(sequence(0, 999)) t(i)",
    }
    for name, query in tables.items():
        lake.sql(f"CREATE TABLE {name} WITH (format = 'PARQUET', external_location = 's3://filters/{name}/') AS {query}", "filters")
    return lake


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # Columns that change names below the joins.
        ("SELECT x.a, x.b FROM (SELECT b AS a, a AS b FROM big) x JOIN z ON x.a = z.k JOIN y ON x.b = y.k ORDER BY 1", [["999980", "20"], ["999990", "10"]]),
        ("SELECT count(*) FROM (SELECT a, max(b) c FROM (SELECT b AS a, a AS b FROM big) GROUP BY a) x JOIN z ON x.a = z.k", [["2"]]),
        ("SELECT x.a, x.b FROM (SELECT a + 5 AS b, b AS a FROM big) x JOIN z ON x.a = z.k JOIN y ON x.b = y.k + 5 ORDER BY 1", [["999980", "25"], ["999990", "15"]]),
        # Columns of one name on both sides of a join that puts one of them out.
        ("SELECT o.x FROM (SELECT x FROM next t WHERE EXISTS (SELECT 1 FROM pairs p WHERE p.y = t.x AND p.x <> t.z)) o JOIN y ON o.x = y.k ORDER BY 1", [["10"], ["20"], ["30"]]),
        ("SELECT count(*) FROM (SELECT x FROM next t WHERE NOT EXISTS (SELECT 1 FROM pairs p WHERE p.y = t.x AND p.x <> t.z)) o JOIN y ON o.x = y.k", [["0"]]),
        # A NULL among the rows of NOT IN, wherever it lies.
        ("SELECT x FROM next WHERE x NOT IN (SELECT y FROM n) AND x < 5", []),
        ("SELECT x FROM one WHERE x NOT IN (SELECT y FROM n)", []),
        ("SELECT x FROM one WHERE x NOT IN (SELECT y FROM n WHERE coalesce(y, 1) > 0)", []),
        ("SELECT x FROM nul WHERE x NOT IN (SELECT y FROM n WHERE y < 1000)", [["500"]]),
        ("SELECT count(*) FROM nul WHERE x NOT IN (SELECT y FROM n WHERE y > 1000)", [["2"]]),
        # Keys and orders that could not be computed for rows that a condition leaves out.
        ("SELECT count(*) FROM big x JOIN y ON CAST(x.s AS integer) = y.k WHERE regexp_like(x.s, '^[0-9]+$')", [["3"]]),
        ("SELECT count(*) FROM big x JOIN y ON 40 / x.zero = y.k WHERE x.zero > 0", [["80000"]]),
        ("SELECT i FROM (SELECT CAST(s AS integer) i FROM big WHERE regexp_like(s, '^[0-9]+$')) ORDER BY i DESC LIMIT 2", [["199998"], ["199996"]]),
        ("SELECT min(i) FROM (SELECT CAST(s AS integer) i FROM big WHERE regexp_like(s, '^[0-9]+$'))", [["0"]]),
        # Conditions of every share.
        ("SELECT count(*), sum(a) FROM big WHERE s = 'abc' AND a < 1000 AND b > 999500 AND zero IN (1, 2)", [["100", "24900"]]),
    ],
)
def test_rows_are_those_of_the_query(lake, query, expected):
    assert lake.sql(query, "filters") == expected
