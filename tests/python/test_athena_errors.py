"""What clients read when a query is wrong: Trino's names, types and places, Athena's numbers."""

import pytest

from test_athena import run, start, wait


@pytest.fixture(scope="module")
def athena(module_lake):
    s3 = module_lake.client("s3")
    for bucket in ("data", "results"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="data", Key="t/a.csv", Body=b"1,x\n2,y\n")
    athena = module_lake.client("athena")
    run(athena, "CREATE DATABASE d")
    run(athena, "CREATE EXTERNAL TABLE d.t (num int, name string) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION 's3://data/t/'")
    return athena


@pytest.mark.parametrize(
    "sql, begins, kind",
    [
        ("SELECT nam FROM d.t", "COLUMN_NOT_FOUND: line 1:8: Column 'nam' cannot be resolved or requester is not authorized to access requested", 1006),
        ("SELECT 1\nFROM d.tt", "TABLE_NOT_FOUND: line 2:6: Table 'awsdatacatalog.d.tt' does not exist", 1301),
        ("SELECT 1 FROM nowhere.t", "SCHEMA_NOT_FOUND: line 1:15: Schema 'nowhere' does not exist", 1301),
        ("SELECT 1 FROM other.d.t", "CATALOG_NOT_FOUND: line 1:15: Catalog 'other' does not exist", 1006),
        ("SELECT foo(num) FROM d.t", "FUNCTION_NOT_FOUND: line 1:8: Function 'foo' not registered", 1303),
        ("SELECT name + 1 FROM d.t", "TYPE_MISMATCH: line 1:13: Cannot apply operator: varchar + integer", 1002),
        ("SELECT 1 FROM d.t WHERE name > 1", "TYPE_MISMATCH: line 1:30: Cannot apply operator: varchar > integer", 1002),
        ("SELECT name, count(*) FROM d.t", "EXPRESSION_NOT_AGGREGATE: line 1:8: 'name' must be an aggregate expression or appear in GROUP BY clause", 1000),
        ("SELECT num / 0 FROM d.t", "DIVISION_BY_ZERO: Division by zero", 1001),
        ("SELECT CAST(name AS integer) FROM d.t", "INVALID_CAST_ARGUMENT: Cannot cast 'x' to INT", 1100),
    ],
)
def test_an_error_has_its_name_place_and_number(athena, sql, begins, kind):
    status = wait(athena, start(athena, sql))["Status"]
    assert status["State"] == "FAILED"
    assert status["StateChangeReason"].startswith(begins), status["StateChangeReason"]
    error = status["AthenaError"]
    assert (error["ErrorCategory"], error["ErrorType"], error["Retryable"]) == (2, kind, False)
    assert error["ErrorMessage"] == status["StateChangeReason"]
