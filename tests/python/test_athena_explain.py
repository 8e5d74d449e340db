"""Plans by EXPLAIN and EXPLAIN ANALYZE."""

import json

import pytest

from test_athena import rows, run, start, wait


@pytest.fixture(scope="module")
def athena(module_lake):
    s3 = module_lake.client("s3")
    for bucket in ("data", "results"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="data", Key="t/a.csv", Body=b"".join(b"%d,%d\n" % (n, n % 7) for n in range(1000)))
    athena = module_lake.client("athena")
    run(athena, "CREATE DATABASE d")
    run(athena, "CREATE EXTERNAL TABLE d.t (num int, part int) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION 's3://data/t/'")
    return athena


QUERY = "SELECT part, count(*) AS n FROM d.t WHERE num > 500 GROUP BY part ORDER BY n LIMIT 3"


def plan(athena, sql):
    execution = run(athena, sql)
    assert (execution["StatementType"], execution["SubstatementType"]) == ("DML", "EXPLAIN")
    lines = [row[0] or "" for row in rows(athena, execution)]
    return lines[0], "\n".join(lines[1:]), execution


def test_a_plan_stands_under_its_header(athena):
    header, text, execution = plan(athena, f"EXPLAIN {QUERY}")
    assert header == "Query Plan"
    assert text.startswith("Fragment 0 [SINGLE]\n    Output layout: [part, n]\n")
    assert "Output[columnNames = [part, n]]" in text and "ScanFilter[table = awsdatacatalog:d:t, filterPredicate = " in text
    assert execution["Statistics"]["DataScannedInBytes"] == 0
    assert execution["ResultConfiguration"]["OutputLocation"].endswith(".txt")
    column = athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])["ResultSet"]["ResultSetMetadata"]["ColumnInfo"][0]
    assert (column["Name"], column["Type"], column["CaseSensitive"]) == ("Query Plan", "varchar", True)
    assert column["Precision"] >= len(text.rstrip("\n"))


@pytest.mark.parametrize(
    ("form", "empty"),
    [("", 3), ("(TYPE LOGICAL)", 3), ("ANALYZE", 3), ("(FORMAT JSON)", 1), ("(TYPE IO)", 1), ("(TYPE LOGICAL, FORMAT GRAPHVIZ)", 2)],
)
def test_a_plan_ends_with_as_many_empty_rows_as_athenas(athena, form, empty):
    query = run(athena, f"EXPLAIN {form} {QUERY}")["QueryExecutionId"]
    lines, token = [], {}
    while True:
        page = athena.get_query_results(QueryExecutionId=query, MaxResults=5, **token)
        lines += [row["Data"][0].get("VarCharValue", "") for row in page["ResultSet"]["Rows"]]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert len(lines) - len("\n".join(lines).rstrip("\n").split("\n")) == empty, lines


def test_forms_of_a_plan(athena):
    _, logical, _ = plan(athena, f"EXPLAIN (TYPE LOGICAL, FORMAT TEXT) {QUERY}")
    assert logical.startswith("Output[columnNames = [part, n]]") and "Fragment" not in logical
    _, text, _ = plan(athena, f"EXPLAIN (FORMAT JSON, TYPE LOGICAL) {QUERY}")
    assert json.loads(text)["name"] == "Output"
    _, text, _ = plan(athena, f"EXPLAIN (FORMAT GRAPHVIZ, TYPE LOGICAL) {QUERY}")
    assert text.startswith("digraph logical_plan {")
    assert plan(athena, f"EXPLAIN (TYPE VALIDATE) {QUERY}")[:2] == ("Valid", "true")
    _, text, _ = plan(athena, f"EXPLAIN (TYPE IO, FORMAT JSON) {QUERY}")
    assert json.loads(text)["inputTableColumnInfos"][0]["table"]["schemaTable"] == {"schema": "d", "table": "t"}


def test_an_analyzed_query_is_run_and_charged(athena):
    header, text, execution = plan(athena, f"EXPLAIN ANALYZE VERBOSE {QUERY}")
    assert header == "Query Plan"
    assert "CPU: " in text and "Output: 3 rows (" in text
    assert execution["Statistics"]["DataScannedInBytes"] > 0


def test_what_cannot_be_planned_is_not_explained(athena):
    status = wait(athena, start(athena, "EXPLAIN SELECT nothing FROM d.t"))["Status"]
    assert status["StateChangeReason"].startswith("COLUMN_NOT_FOUND: ")
