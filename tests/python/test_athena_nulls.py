"""NULL as a value of keys, over tables: what rows of both sides are told apart by, and what is written by it."""

import pytest
from test_athena import rows, run

LEFT = "(1, 'x'), (CAST(NULL AS integer), 'y'), (3, NULL), (NULL, NULL)"
RIGHT = "(1, 'x'), (CAST(NULL AS integer), 'y'), (4, 'z'), (NULL, NULL)"


@pytest.fixture(scope="module")
def athena(module_lake):
    for bucket in ("data", "results"):
        module_lake.client("s3").create_bucket(Bucket=bucket)
    athena = module_lake.client("athena")
    run(athena, "CREATE DATABASE n")
    for name, values in (("l", LEFT), ("r", RIGHT)):
        run(athena, f"CREATE TABLE n.{name} WITH (external_location = 's3://data/{name}/') AS SELECT * FROM (VALUES {values}) t(a, b)")
    return athena


def answer(athena, sql):
    return sorted(rows(athena, run(athena, sql))[1:], key=str)


def test_except_and_intersect_find_rows_with_nulls(athena):
    assert answer(athena, "SELECT * FROM n.l EXCEPT SELECT * FROM n.r") == [["3", None]]
    assert answer(athena, "SELECT * FROM n.l INTERSECT SELECT * FROM n.r") == [["1", "x"], [None, "y"], [None, None]]


def test_joins_by_is_not_distinct_from_find_nulls(athena):
    on = "l.a IS NOT DISTINCT FROM r.a AND l.b IS NOT DISTINCT FROM r.b"
    both = [["1", "x"], [None, "y"], [None, None]]
    for sql in (
        f"SELECT l.a, l.b FROM n.l JOIN n.r ON {on}",
        f"SELECT l.a, l.b FROM n.l JOIN n.r ON ({on})",
        f"SELECT l.a, l.b FROM n.r JOIN n.l ON {on}",
        f"SELECT a, b FROM n.l WHERE EXISTS (SELECT 1 FROM n.r WHERE {on})",
    ):
        assert answer(athena, sql) == both, sql
    assert answer(athena, "SELECT l.a, l.b FROM n.l JOIN n.r ON l.a = r.a AND l.b = r.b") == [["1", "x"]]


def test_merge_finds_the_rows_that_its_null_keys_mean(athena):
    run(athena, "CREATE TABLE n.t (a int, b string, done string) LOCATION 's3://data/t/' TBLPROPERTIES ('table_type' = 'ICEBERG')")
    run(athena, f"INSERT INTO n.t SELECT a, b, 'no' FROM (VALUES {LEFT}) t(a, b)")
    run(athena, 
        "MERGE INTO n.t t USING n.r s ON t.a IS NOT DISTINCT FROM s.a AND t.b IS NOT DISTINCT FROM s.b "
        "WHEN MATCHED THEN UPDATE SET done = 'yes' WHEN NOT MATCHED THEN INSERT (a, b, done) VALUES (s.a, s.b, 'new')"
    )
    expected = [["1", "x", "yes"], ["3", None, "no"], ["4", "z", "new"], [None, "y", "yes"], [None, None, "yes"]]
    assert answer(athena, "SELECT * FROM n.t") == expected
