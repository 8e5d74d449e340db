"""Values as a table's types have them: texts of a length, times with milliseconds, files that contradict columns nobody asks for."""

import io
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from test_athena import rows, run
from test_athena_ddl import answer, reason


@pytest.fixture(scope="module")
def lake(module_lake):
    s3 = module_lake.client("s3")
    for bucket in ("data", "results"):
        s3.create_bucket(Bucket=bucket)
    run(module_lake.client("athena"), "CREATE DATABASE d")
    return module_lake


@pytest.fixture(scope="module")
def athena(lake):
    return lake.client("athena")


def put(lake, key, columns, **options):
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **options)
    lake.client("s3").put_object(Bucket="data", Key=key, Body=out.getvalue())


def of(athena, sql):
    return rows(athena, run(athena, sql))[1:]


def test_texts_have_their_types_length(lake, athena):
    lake.client("s3").put_object(Bucket="data", Key="cc/a.csv", Body=b"abcdef,abcdef,x\nab,a ,y\n")
    run(
        athena,
        "CREATE EXTERNAL TABLE d.cc (v varchar(3), c char(2), s string) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' "
        "LOCATION 's3://data/cc/'",
    )
    found = of(athena, "SELECT v, c, typeof(v), typeof(c), length(v), typeof(s) FROM d.cc ORDER BY s")
    assert found == [["abc", "ab", "varchar(3)", "char(2)", "3", "varchar"], ["ab", "a ", "varchar(3)", "char(2)", "2", "varchar"]]
    assert of(athena, "SELECT count(*) FROM d.cc WHERE v = 'abc' AND c = 'ab'") == [["1"]]


def test_texts_of_parquet_have_their_types_length_and_are_found_by_it(lake, athena):
    put(lake, "cp/a.parquet", {"v": ["abcdef", "abd", "ab"], "a": pa.array([["abcdef"], [], None], pa.list_(pa.string()))})
    run(athena, "CREATE EXTERNAL TABLE d.cp (v varchar(3), a array<varchar(2)>) STORED AS PARQUET LOCATION 's3://data/cp/'")
    assert of(athena, "SELECT v, a[1] FROM d.cp WHERE cardinality(a) > 0") == [["abc", "ab"]]
    for condition, count in [
        ("v = 'abc'", 1), ("v = 'abcdef'", 0), ("v = 'ab'", 1), ("'abc' <= v", 2), ("v > 'abc'", 1), ("v < 'abd'", 2),
        ("v IN ('abc', 'abd')", 2), ("v <> 'abc'", 2), ("v LIKE '%c'", 1),
    ]:  # fmt: skip
        assert of(athena, f"SELECT count(*) FROM d.cp WHERE {condition}") == [[str(count)]], condition
    assert of(athena, "SELECT min(v), max(v) FROM d.cp") == [["ab", "abd"]]


@pytest.mark.parametrize("unit", ["us", "ns", "int96", "orc"])
def test_times_have_milliseconds(lake, athena, unit):
    at = [datetime(2024, 1, 1, 0, 0, 0, micros) for micros in (123_456, 123_400, 122_500, 999_999)]
    columns = {"ts": pa.array(at, pa.timestamp("us" if unit in ("us", "orc") else "ns")), "n": [1, 2, 3, 4]}
    if unit == "orc":
        from pyarrow import orc

        out = io.BytesIO()
        orc.write_table(pa.table(columns), out)
        lake.client("s3").put_object(Bucket="data", Key="ts_orc/a.orc", Body=out.getvalue())
    else:
        put(lake, f"ts_{unit}/a.parquet", columns, use_deprecated_int96_timestamps=unit == "int96", version="2.6")
    stored = "ORC" if unit == "orc" else "PARQUET"
    run(athena, f"CREATE EXTERNAL TABLE d.ts_{unit} (ts timestamp, n int) STORED AS {stored} LOCATION 's3://data/ts_{unit}/'")
    found = of(athena, f"SELECT ts, count(*), typeof(ts) FROM d.ts_{unit} GROUP BY ts ORDER BY ts")
    assert found == [["2024-01-01 00:00:00.123", "3", "timestamp(3)"], ["2024-01-01 00:00:01.000", "1", "timestamp(3)"]]
    moment = "timestamp '2024-01-01 00:00:00.123'"
    for condition, count in [
        (f"ts = {moment}", 3), (f"{moment} = ts", 3), (f"ts <= {moment}", 3), (f"ts < {moment}", 0), (f"ts >= {moment}", 4),
        (f"ts > {moment}", 1), (f"ts <> {moment}", 1), (f"ts IN ({moment})", 3), (f"ts BETWEEN {moment} AND {moment}", 3),
        ("ts >= timestamp '2024-01-01 00:00:01'", 1), ("ts = timestamp '2024-01-01 00:00:00.123456'", 0),
    ]:  # fmt: skip
        assert of(athena, f"SELECT count(*) FROM d.ts_{unit} WHERE {condition}") == [[str(count)]], condition
    assert of(athena, f"SELECT min(ts), max(ts), count(DISTINCT ts) FROM d.ts_{unit}") == [
        ["2024-01-01 00:00:00.123", "2024-01-01 00:00:01.000", "2"]
    ]
    assert of(athena, f"SELECT ts = {moment} FROM d.ts_{unit} ORDER BY n") == [["true"], ["true"], ["true"], ["false"]]


def test_row_groups_are_left_out_by_times(lake, athena):
    at = [datetime(2024, 1, 1, hour, 0, 0, 123_456) for hour in range(20) for _ in range(500)]
    put(lake, "pruned/a.parquet", {"ts": pa.array(at, pa.timestamp("us")), "x": list(range(10_000))}, row_group_size=500)
    run(athena, "CREATE EXTERNAL TABLE d.pruned (ts timestamp, x int) STORED AS PARQUET LOCATION 's3://data/pruned/'")
    all_of, one = (
        run(athena, f"SELECT sum(x) FROM d.pruned WHERE ts {condition}")["Statistics"]["DataScannedInBytes"]
        for condition in ("> timestamp '2000-01-01'", "= timestamp '2024-01-01 05:00:00.123'")
    )
    assert of(athena, "SELECT count(*) FROM d.pruned WHERE ts = timestamp '2024-01-01 05:00:00.123'") == [["500"]]
    assert one < all_of / 2


def test_a_file_may_contradict_columns_that_are_not_asked_for(lake, athena):
    put(lake, "odd/a.parquet", {"a": [1, 2], "b": ["x", "y"]})
    run(athena, "CREATE EXTERNAL TABLE d.odd (a int, b int) STORED AS PARQUET LOCATION 's3://data/odd/'")
    assert of(athena, "SELECT sum(a) FROM d.odd") == [["3"]]
    assert of(athena, "SELECT count(*) FROM d.odd") == [["2"]]
    for sql in ("SELECT b FROM d.odd", "SELECT a FROM d.odd WHERE b = 1"):
        assert reason(athena, sql)[0].startswith("HIVE_BAD_DATA: Field b's type string in the Parquet file is incompatible"), sql


def test_mappings_are_for_fields_of_rows_too(lake, athena):
    lake.client("s3").put_object(Bucket="data", Key="map/a.json", Body=b'{"ts1": 1, "s": {"user-id": 7, "l": [{"user-id": 8}]}}\n')
    run(
        athena,
        "CREATE EXTERNAL TABLE d.map (at int, s struct<user_id:int,l:array<struct<user_id:int>>>) ROW FORMAT SERDE "
        "'org.openx.data.jsonserde.JsonSerDe' WITH SERDEPROPERTIES ('mapping.at'='ts1', 'mapping.user_id'='user-id') "
        "LOCATION 's3://data/map/'",
    )
    assert of(athena, "SELECT at, s.user_id, s.l[1].user_id FROM d.map") == [["1", "7", "8"]]


def test_a_table_says_how_its_rows_are_bucketed(athena):
    run(athena, "CREATE EXTERNAL TABLE d.bu (a int, b int) CLUSTERED BY (a, b) INTO 4 BUCKETS LOCATION 's3://data/bu/'")
    shown = answer(athena, "SHOW CREATE TABLE d.bu")[0]
    at = shown.index("CLUSTERED BY ( ")
    assert shown[at : at + 4] == ["CLUSTERED BY ( ", "  a, ", "  b) ", "INTO 4 BUCKETS"]


def test_a_class_that_there_is_not_is_refused(athena):
    sql = "CREATE EXTERNAL TABLE d.nope (a int) ROW FORMAT SERDE 'com.example.Nope' LOCATION 's3://data/nope/'"
    assert "Cannot validate serde: com.example.Nope" in reason(athena, sql)[0]


def test_repairing_a_table_without_partitions_adds_none(lake, athena):
    lake.client("s3").put_object(Bucket="data", Key="flat/a.csv", Body=b"1\n")
    run(athena, "CREATE EXTERNAL TABLE d.flat (a int) LOCATION 's3://data/flat/'")
    assert answer(athena, "MSCK REPAIR TABLE d.flat")[0] == []


def test_iceberg_has_not_all_types_and_formats(athena):
    iceberg = "TBLPROPERTIES ('table_type' = 'iceberg'"
    for columns, properties, message in [
        ("a tinyint", "", "Type not supported for Iceberg: tinyint"),
        ("a struct<b:char(3)>", "", "Type not supported for Iceberg: char(3)"),
        ("a int", ", 'format' = 'orc'", "Unsupported value for table property format: orc"),
    ]:
        sql = f"CREATE TABLE d.ice ({columns}) LOCATION 's3://data/ice/' {iceberg}{properties})"
        assert message in reason(athena, sql)[0], sql


def test_statements_on_iceberg_are_analyzed_whatever_the_data(athena):
    run(athena, "CREATE TABLE d.mg (k int, v string) LOCATION 's3://data/mg/' TBLPROPERTIES ('table_type' = 'iceberg')")
    run(athena, "INSERT INTO d.mg VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    merge = "MERGE INTO d.mg USING (VALUES 99) s(q) ON mg.k = s.q WHEN "
    for sql, message in [
        (merge + "MATCHED THEN UPDATE SET nosuch = 1", "COLUMN_NOT_FOUND"),
        (merge + "MATCHED THEN UPDATE SET k = 'x'", "TYPE_MISMATCH"),
        (merge + "MATCHED AND false THEN UPDATE SET k = nosuch", "COLUMN_NOT_FOUND"),
        (merge + "NOT MATCHED AND false THEN INSERT (k) VALUES ('x')", "TYPE_MISMATCH"),
        ("UPDATE d.mg SET k = nosuch WHERE k = 99", "COLUMN_NOT_FOUND"),
        ("UPDATE d.mg SET k = 'x' WHERE k = 99", "TYPE_MISMATCH"),
    ]:
        assert reason(athena, sql)[0].startswith(message), sql


def test_rows_of_iceberg_get_fields_and_wider_types(athena):
    run(athena, "CREATE TABLE d.ev (a array<struct<x:int>>, s struct<x:int>) LOCATION 's3://data/ev/' TBLPROPERTIES ('table_type' = 'iceberg')")
    run(athena, "INSERT INTO d.ev VALUES (ARRAY[CAST(ROW(1) AS ROW(x integer))], CAST(ROW(2) AS ROW(x integer)))")
    run(athena, "ALTER TABLE d.ev CHANGE COLUMN s s struct<y:string,x:bigint>")
    run(athena, "ALTER TABLE d.ev CHANGE COLUMN a a array<struct<x:bigint,z:double>>")
    run(athena, "INSERT INTO d.ev VALUES (NULL, CAST(ROW('n', 5000000000) AS ROW(y varchar, x bigint)))")
    assert of(athena, "SELECT s.x, s.y, a[1].x, a[1].z FROM d.ev ORDER BY 1") == [["2", None, "1", None], ["5000000000", "n", None, None]]
    for change in ("s s struct<x:bigint>", "s s struct<y:int,x:bigint>", "s s array<int>"):
        assert "Cannot change column type" in reason(athena, f"ALTER TABLE d.ev CHANGE COLUMN {change}")[0]
