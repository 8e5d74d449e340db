"""What DDL, SHOW and DESCRIBE change and answer, in Athena's and Hive's words."""

import re

import pytest
from botocore.exceptions import ClientError

from test_athena import rows, run, start, wait


@pytest.fixture(scope="module")
def lake(module_lake):
    s3 = module_lake.client("s3")
    for bucket in ("data", "results"):
        s3.create_bucket(Bucket=bucket)
    athena = module_lake.client("athena")
    run(athena, "CREATE DATABASE d")
    run(
        athena,
        "CREATE EXTERNAL TABLE d.t (a int COMMENT 'one\ttwo', b map<string,array<int>>) PARTITIONED BY (day string, n int) "
        "STORED AS PARQUET LOCATION 's3://data/t/' TBLPROPERTIES ('k'='v')",
    )
    run(athena, "CREATE VIEW d.v AS select a, 'x' as s from d.t where a > 1 and day = '1'")
    return module_lake


@pytest.fixture(scope="module")
def athena(lake):
    return lake.client("athena")


def answer(athena, sql, **more):
    """The rows, and names and types of the columns."""
    execution = run(athena, sql, **more)
    result = athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])["ResultSet"]
    columns = [(column["Name"], column["Type"]) for column in result["ResultSetMetadata"].get("ColumnInfo", [])]
    return [row["Data"][0]["VarCharValue"] for row in result["Rows"]], columns


def reason(athena, sql, **more):
    status = wait(athena, start(athena, sql, **more))["Status"]
    assert status["State"] == "FAILED", sql
    assert status["AthenaError"]["ErrorMessage"]
    return status["StateChangeReason"], status["AthenaError"]["ErrorType"]


def test_the_default_database_is_there_from_the_start(lake, athena):
    assert "default" in [one["Name"] for one in lake.client("glue").get_databases()["DatabaseList"]]
    assert "default" in answer(athena, "SHOW DATABASES")[0]


def test_a_location_is_kept_without_its_slash_and_its_time_is_noted(lake, athena):
    table = lake.client("glue").get_table(DatabaseName="d", Name="t")["Table"]
    assert table["StorageDescriptor"]["Location"] == "s3://data/t"
    assert re.fullmatch(r"\d{10}", table["Parameters"]["transient_lastDdlTime"])
    shown, columns = answer(athena, "SHOW TBLPROPERTIES d.t")
    assert [line.split("\t")[0] for line in shown] == ["EXTERNAL", "transient_lastDdlTime", "k"]
    assert columns == [("prpt_name", "string"), ("prpt_value", "string")]
    assert answer(athena, "SHOW TBLPROPERTIES d.t ('k')")[0] == ["v"]
    assert answer(athena, "SHOW TBLPROPERTIES d.t ('nothing')")[0] == ["Table d.t does not have property: nothing"]


def test_describe_fills_up_columns_and_cuts_comments_at_a_tab(athena):
    lines, columns = answer(athena, "DESCRIBE d.t")
    assert columns == [("col_name", "string"), ("data_type", "string"), ("comment", "string")]
    blank = " " * 20
    assert lines == [
        f"{'a':<20}\t{'int':<20}\t{'one':<20}",
        f"{'b':<20}\tmap<string,array<int>>\t{blank}",
        f"{'day':<20}\t{'string':<20}\t{blank}",
        f"{'n':<20}\t{'int':<20}\t{blank}",
        "\t \t ",
        "# Partition Information\t \t ",
        "# col_name            \tdata_type           \tcomment             ",
        "\t \t ",
        f"{'day':<20}\t{'string':<20}\t{blank}",
        f"{'n':<20}\t{'int':<20}\t{blank}",
    ]
    formatted = answer(athena, "DESCRIBE FORMATTED d.t")[0]
    assert formatted[:4] == lines[:4]
    created = next(line for line in formatted if line.startswith("CreateTime:"))
    assert re.search(r"\t(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} \d\d \d\d:\d\d:\d\d UTC \d{4}", created), created
    extended = answer(athena, "DESCRIBE EXTENDED d.t")[0][-1]
    for part in ("lastAccessTime:0", "bucketCols:[], sortCols:[]", "skewedInfo:SkewedInfo(", "storedAsSubDirectories:false"):
        assert part in extended


def test_results_of_text_end_without_a_newline(lake, athena):
    execution = run(athena, "SHOW COLUMNS IN d.t")
    bucket, key = execution["ResultConfiguration"]["OutputLocation"].removeprefix("s3://").split("/", 1)
    body = lake.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    assert body == "\n".join(f"{name:<20}" for name in ("a", "b", "day", "n"))
    assert key.endswith(".txt")


def test_views_are_shown_in_trinos_words_and_layout(athena):
    assert answer(athena, "SHOW CREATE VIEW d.v") == (
        ["CREATE VIEW d.v AS", "SELECT", "  a", ", 'x' s", "FROM", "  d.t", "WHERE ((a > 1) AND (day = '1'))"],
        [("create view", "varchar")],
    )
    lines, columns = answer(athena, "DESCRIBE d.v")
    assert (lines[0], columns) == ("a\tinteger", [("column", "varchar"), ("type", "varchar")])
    assert lines[1].startswith("s\tvarchar")
    assert answer(athena, "SHOW COLUMNS IN d.v")[0] == lines
    for described in ("DESCRIBE d.v", "DESC d.v", "SHOW COLUMNS IN d.v"):
        execution = run(athena, described)
        assert (execution["StatementType"], execution["SubstatementType"]) == ("UTILITY", "DESC_VIEW")
        assert athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])["UpdateCount"] == 0
    assert run(athena, "DESCRIBE d.t")["SubstatementType"] == "DESCRIBE_TABLE"
    assert answer(athena, "SHOW VIEWS IN d") == (["v"], [("views", "varchar")])


def test_show_create_table_makes_the_same_table_again(lake, athena):
    lines, columns = answer(athena, "SHOW CREATE TABLE d.t")
    assert columns == [("createtab_stmt", "string")]
    assert any("'transient_lastDdlTime'=" in line for line in lines)
    run(athena, "\n".join(lines).replace("`d.t`", "`d.again`"))
    glue = lake.client("glue")
    one, other = (glue.get_table(DatabaseName="d", Name=name)["Table"] for name in ("t", "again"))
    for part in ("StorageDescriptor", "PartitionKeys"):
        assert one[part] == other[part]
    run(athena, "DROP TABLE d.again")
    started = athena.start_query_execution(QueryString="SHOW CREATE TABLE t", QueryExecutionContext={"Database": "d"})
    lake.wait_query(started["QueryExecutionId"])
    first = athena.get_query_results(QueryExecutionId=started["QueryExecutionId"])["ResultSet"]["Rows"][0]
    assert first["Data"] == [{"VarCharValue": "CREATE EXTERNAL TABLE `t`("}], "the name is as the statement has it"


def test_patterns_of_show(athena):
    run(athena, "CREATE EXTERNAL TABLE d.orders_1 (a int) LOCATION 's3://data/o1/'")
    for pattern in ("'orders*'", "'orders.*'", "LIKE 'orders%'", "'ORDERS_1'"):
        assert answer(athena, f"SHOW TABLES IN d {pattern}")[0] == ["orders_1"], pattern
    assert answer(athena, "SHOW TABLES IN d 'ders'")[0] == []
    assert answer(athena, "SHOW DATABASES LIKE 'd.*'")[0] == ["d", "default"]


def test_statements_without_rows_have_no_columns(athena):
    execution = run(athena, "CREATE DATABASE IF NOT EXISTS d")
    result = athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    assert result["ResultSet"]["Rows"] == []
    assert result["ResultSet"]["ResultSetMetadata"].get("ColumnInfo", []) == []


def test_columns_are_added_replaced_changed_and_moved(lake, athena):
    glue = lake.client("glue")

    def columns(name="wide"):
        storage = glue.get_table(DatabaseName="d", Name=name)["Table"]["StorageDescriptor"]
        return [(column["Name"], column["Type"]) for column in storage["Columns"]]

    run(athena, "CREATE EXTERNAL TABLE d.wide (a int, b string) PARTITIONED BY (p string) LOCATION 's3://data/wide/'")
    run(athena, "ALTER TABLE d.wide ADD COLUMNS (c double)")
    assert columns() == [("a", "int"), ("b", "string"), ("c", "double")]
    run(athena, "ALTER TABLE d.wide CHANGE COLUMN c cc bigint COMMENT 'x' FIRST")
    assert columns() == [("cc", "bigint"), ("a", "int"), ("b", "string")]
    run(athena, "ALTER TABLE d.wide CHANGE cc cc bigint AFTER a")
    assert columns() == [("a", "int"), ("cc", "bigint"), ("b", "string")]
    run(athena, "ALTER TABLE d.wide REPLACE COLUMNS (z string)")
    assert columns() == [("z", "string")]
    run(athena, "ALTER TABLE d.wide ADD PARTITION (p = '1')")
    run(athena, "ALTER TABLE d.wide PARTITION (p = '1') ADD COLUMNS (y int)")
    partition = glue.get_partition(DatabaseName="d", TableName="wide", PartitionValues=["1"])["Partition"]
    assert [column["Name"] for column in partition["StorageDescriptor"]["Columns"]] == ["z", "y"]
    run(athena, "ALTER TABLE d.wide PARTITION (p = '1') RENAME TO PARTITION (p = '2')")
    run(athena, "ALTER TABLE d.wide SET TBLPROPERTIES ('x' = 'y')")
    run(athena, "ALTER TABLE d.wide UNSET TBLPROPERTIES ('x')")
    assert "x" not in glue.get_table(DatabaseName="d", Name="wide")["Table"]["Parameters"]
    run(athena, "ALTER TABLE d.wide SET LOCATION 's3://data/elsewhere/'")
    assert glue.get_table(DatabaseName="d", Name="wide")["Table"]["StorageDescriptor"]["Location"] == "s3://data/elsewhere"
    assert answer(athena, "SHOW PARTITIONS d.wide") == (["p=2"], [("partition", "string")])


TASK = "FAILED: Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask. "


@pytest.mark.parametrize(
    "sql, begins, kind",
    [
        ("CREATE DATABASE d", TASK + "AlreadyExistsException(message:Database d already exists)", 1100),
        ("DROP DATABASE d", TASK + "InvalidOperationException(message:Database d is not empty. One or more tables exist.)", 1100),
        ("DROP DATABASE nowhere", "FAILED: SemanticException [Error 10072]: Database does not exist: nowhere", 1006),
        ("DROP TABLE d.nothing", "FAILED: SemanticException [Error 10001]: Table not found d.nothing", 1006),
        ("CREATE EXTERNAL TABLE d.t (a int) LOCATION 's3://data/t/'", TASK + "AlreadyExistsException(message:Table t already exists)", 1100),
        ("CREATE EXTERNAL TABLE d.u (a int) LOCATION 's3://no-such-bucket-here/t/'", TASK + "MetaException(message:The specified bucket", 1006),
        ("ALTER TABLE d.t RENAME TO u", TASK + "Table cannot be renamed", 1006),
        ("ALTER TABLE d.t SET FILEFORMAT orc", "NOT_SUPPORTED: ALTER TABLE with SET FILEFORMAT is not supported", 1200),
        ("ALTER TABLE d.t ADD COLUMNS (a int)", TASK + "InvalidOperationException(message:Duplicate column name: a)", 1100),
        ("ALTER TABLE d.t CHANGE COLUMN x y int", TASK + "InvalidOperationException(message:Invalid column reference x)", 1100),
        ("ALTER TABLE d.t ADD PARTITION (day = '1')", "FAILED: SemanticException [Error 10098]", 1100),
        ("ALTER TABLE d.t DROP PARTITION (day = '1', n = 1)", "FAILED: SemanticException [Error 10006]: Partition not found", 1006),
        ("ALTER TABLE d.t DROP PARTITION (a = 1)", "FAILED: SemanticException [Error 10096]: Unknown partition key a", 1100),
        ("ALTER TABLE d.v ADD COLUMNS (c int)", "FAILED: SemanticException [Error 10131]", 1100),
        ("MSCK REPAIR TABLE d.v", TASK + "Can not create a Path from an empty string", 1100),
        ("DROP VIEW d.nothing", "TABLE_NOT_FOUND: line 1:1: View 'awsdatacatalog.d.nothing' does not exist", 1301),
        ("CREATE VIEW d.v AS SELECT 1 a", "TABLE_ALREADY_EXISTS: line 1:1: View already exists: 'awsdatacatalog.d.v'", 1110),
        ("CREATE OR REPLACE VIEW d.t AS SELECT 1 a", "TABLE_ALREADY_EXISTS: line 1:1: Table already exists: 'awsdatacatalog.d.t'", 1110),
        ("CREATE OR REPLACE VIEW d.v AS SELECT * FROM d.v", "VIEW_IS_RECURSIVE: line 1:1: Statement would create a recursive view", 1107),
        ("CREATE OR REPLACE VIEW d.v AS SELECT nothing FROM d.t", "COLUMN_NOT_FOUND: line 1:8: Column 'nothing' cannot be resolved", 1006),
        ("SHOW CREATE VIEW d.t", "NOT_SUPPORTED: line 1:1: Relation 'awsdatacatalog.d.t' is a table, not a view", 1200),
    ],
)
def test_failures_have_hives_and_trinos_words(athena, sql, begins, kind):
    message, number = reason(athena, sql)
    assert message.startswith(begins)
    assert number == kind


@pytest.mark.parametrize(
    "sql, message",
    [
        ("CREATE EXTERNAL TABLE d.x (a int)", "No location was specified for table. An S3 location must be specified"),
        (
            "CREATE EXTERNAL TABLE d.x (a int) LOCATION 's3://data/x/' TBLPROPERTIES ('table_type' = 'ICEBERG')",
            "External keyword not supported for table type ICEBERG",
        ),
        ("ALTER TABLE IF EXISTS d.t ADD COLUMNS (x int)", "mismatched input"),
        ("ALTER TABLE d.t ADD COLUMN x int", "mismatched input 'COLUMN'"),
    ],
)
def test_what_is_no_statement_is_not_started(athena, sql, message):
    with pytest.raises(ClientError, match=re.escape(message)):
        start(athena, sql)


def test_msck_tells_what_it_found(lake, athena):
    s3 = lake.client("s3")
    run(athena, "CREATE EXTERNAL TABLE d.found (a int) PARTITIONED BY (dt string) LOCATION 's3://data/found/'")
    assert answer(athena, "MSCK REPAIR TABLE d.found") == (["Tables missing on filesystem:\tfound"], [])
    for dt in ("1", "2"):
        s3.put_object(Bucket="data", Key=f"found/dt={dt}/x.csv", Body=b"1\n")
    assert answer(athena, "MSCK REPAIR TABLE d.found")[0] == [
        "Partitions not in metastore:\tfound:dt=1\tfound:dt=2",
        "Repair: Added partition to metastore found:dt=1",
        "Repair: Added partition to metastore found:dt=2",
    ]
    assert answer(athena, "MSCK REPAIR TABLE d.found")[0] == []


def test_a_view_whose_table_has_changed_is_stale(athena):
    run(athena, "CREATE EXTERNAL TABLE d.base (a int, b int) LOCATION 's3://data/base/'")
    run(athena, "CREATE VIEW d.all_of_it AS SELECT * FROM d.base")
    run(athena, "CREATE VIEW d.above AS SELECT a FROM d.all_of_it")
    assert rows(athena, run(athena, "SELECT * FROM d.above")) == [["a"]]
    run(athena, "ALTER TABLE d.base ADD COLUMNS (c int)")
    message, _ = reason(athena, "SELECT * FROM d.above")
    assert message.startswith("VIEW_IS_STALE: ") and message.endswith("View 'awsdatacatalog.d.all_of_it' is stale; it must be re-created")
    run(athena, "CREATE OR REPLACE VIEW d.all_of_it AS SELECT * FROM d.base")
    assert rows(athena, run(athena, "SELECT * FROM d.above")) == [["a"]]


def test_a_table_that_is_missing_is_not_described(athena):
    for sql in ("DESCRIBE d.nothing", "SHOW COLUMNS IN d.nothing", "DESCRIBE nowhere.t"):
        with pytest.raises(ClientError, match=r"Entity Not Found \(Service: AmazonDataCatalog; .*Error Code: EntityNotFoundException") as missing:
            start(athena, sql)
        assert missing.value.response["AthenaErrorCode"] == "INVALID_INPUT"


def test_statements_that_athena_does_not_take_are_refused(athena):
    for sql in ("USE d", "GRANT SELECT ON d.t TO x", "SET SESSION a = 1", "TRUNCATE TABLE d.t", "CALL x.y()"):
        with pytest.raises(ClientError, match="Queries of this type are not supported") as refused:
            start(athena, sql)
        assert refused.value.response["AthenaErrorCode"] == "MALFORMED_QUERY"


def test_functions_are_listed_as_rows_under_a_header(athena):
    execution = run(athena, "SHOW FUNCTIONS LIKE 'regexp_l%'")
    assert execution["ResultConfiguration"]["OutputLocation"].endswith(".csv")
    assert (execution["StatementType"], execution["SubstatementType"]) == ("UTILITY", "SHOW_FUNCTIONS")
    listed = rows(athena, execution)
    assert listed[0] == ["Function", "Return Type", "Argument Types", "Function Type", "Deterministic", "Description"]
    assert listed[1:] == [["regexp_like", "boolean", "varchar, varchar", "scalar", "true", "Regular expression"]]
    assert len(rows(athena, run(athena, "SHOW FUNCTIONS"))) > 250


def test_what_is_known_and_not_supported_is_started_and_fails(athena):
    message, number = reason(athena, "CREATE EXTERNAL TABLE d.s (a int) STORED AS SEQUENCEFILE LOCATION 's3://data/s/'")
    assert message.startswith("NOT_SUPPORTED: tables STORED AS SEQUENCEFILE") and number == 1200
