"""Iceberg tables through Athena: made, written, changed, evolved, looked into and cleaned up by SQL alone, by many at once, and through kills."""

import json
import threading
import time

import pytest
from botocore.exceptions import ClientError
from harness import QueryFailed, wait_until

LOCATION = "s3://ice/{}"


@pytest.fixture(scope="module")
def ice(module_lake):
    module_lake.bucket("ice")
    module_lake.bucket("athena-results")
    module_lake.sql("CREATE DATABASE IF NOT EXISTS ice")
    return module_lake


def make(lake, name, columns, more="", properties=""):
    lake.sql(
        f"CREATE TABLE ice.{name} ({columns}) {more} LOCATION '{LOCATION.format(name)}/' "
        f"TBLPROPERTIES ('table_type' = 'ICEBERG'{properties})"
    )


def ended(lake, execution):
    status = lake.wait_query(execution)["Status"]
    assert status["State"] == "SUCCEEDED", status


def rows(lake, sql):
    """Rows without the header, as texts."""
    execution = lake.start_query(sql, "ice")
    ended(lake, execution)
    pages = lake.client("athena").get_paginator("get_query_results").paginate(QueryExecutionId=execution)
    found = [[datum.get("VarCharValue") for datum in row["Data"]] for page in pages for row in page["ResultSet"]["Rows"]]
    return found[1:]


def change(lake, sql):
    """Runs a statement that writes; answers its update count."""
    execution = lake.start_query(sql, "ice")
    ended(lake, execution)
    return lake.client("athena").get_query_results(QueryExecutionId=execution).get("UpdateCount")


def refused(lake, sql):
    with pytest.raises(QueryFailed) as error:
        lake.sql(sql, "ice")
    return error.value.reason


def glue(lake, name):
    return lake.client("glue").get_table(DatabaseName="ice", Name=name)["Table"]


def keys(lake, name):
    pages = lake.client("s3").get_paginator("list_objects_v2").paginate(Bucket="ice", Prefix=f"{name}/")
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def test_a_table_is_made_written_and_read(ice):
    make(ice, "t", "id int COMMENT 'which', name string, price decimal(10, 2), at timestamp, tags array<string>")
    described = glue(ice, "t")
    assert described["TableType"] == "EXTERNAL_TABLE" and described["Parameters"]["table_type"] == "ICEBERG"
    assert described["StorageDescriptor"]["Location"] == "s3://ice/t"
    first = described["Parameters"]["metadata_location"]
    assert first.startswith("s3://ice/t/metadata/00000-") and first.endswith(".metadata.json")
    assert rows(ice, "SELECT * FROM t") == []
    values = "(1, 'a', CAST('1.50' AS decimal(10, 2)), TIMESTAMP '2024-05-01 10:00:00.123', ARRAY['x', 'y'])"
    assert change(ice, f"INSERT INTO t VALUES {values}") == 1
    assert change(ice, "INSERT INTO t (id) VALUES (2)") == 1
    assert change(ice, "INSERT INTO t (name, id) SELECT 'b', 3") == 1
    assert rows(ice, "SELECT * FROM t ORDER BY id") == [
        ["1", "a", "1.50", "2024-05-01 10:00:00.123000", "[x, y]"],
        ["2", None, None, None, None],
        ["3", "b", None, None, None],
    ]
    described = glue(ice, "t")
    assert described["Parameters"]["previous_metadata_location"] != first
    assert described["VersionId"] == "3"
    assert [column["Parameters"]["iceberg.field.id"] for column in described["StorageDescriptor"]["Columns"]] == ["1", "2", "3", "4", "5"]
    names = keys(ice, "t")
    assert sum(key.startswith("t/data/") and key.endswith(".parquet") for key in names) == 3
    assert sum("/snap-" in key for key in names) == 3


def test_what_cannot_be_written_is_refused_and_leaves_nothing(ice):
    make(ice, "strict", "id int, name string")
    before = keys(ice, "strict")
    assert refused(ice, "INSERT INTO strict VALUES ('x', 'y')").startswith("TYPE_MISMATCH")
    assert refused(ice, "INSERT INTO strict VALUES (1)").startswith("TYPE_MISMATCH")
    assert "Insert column name does not exist in target table: nope" in refused(ice, "INSERT INTO strict (nope) VALUES (1)")
    assert refused(ice, "INSERT INTO strict SELECT 1 / (n - 1), 'x' FROM (VALUES (1)) AS v(n)").startswith("DIVISION_BY_ZERO")
    assert "Table strict already exists" in refused(
        ice, "CREATE TABLE strict (a int) LOCATION 's3://ice/other/' TBLPROPERTIES ('table_type' = 'ICEBERG')"
    )
    assert "Unsupported table property key: color" in refused(
        ice, "CREATE TABLE odd (a int) LOCATION 's3://ice/odd/' TBLPROPERTIES ('table_type' = 'ICEBERG', 'color' = 'red')"
    )
    assert keys(ice, "strict") == before
    with pytest.raises(ClientError, match="An S3 location must be specified"):
        ice.start_query("CREATE TABLE nowhere (n int)", "ice")


def test_partitions_are_hidden_and_prune(ice):
    make(
        ice,
        "parts",
        "id bigint, at timestamp, kind string",
        "PARTITIONED BY (day(at), bucket(4, id), kind)",
    )
    change(
        ice,
        "INSERT INTO parts SELECT n, date_add('hour', n, TIMESTAMP '2024-01-01 00:00:00'), if(n % 2 = 0, 'even', NULL) "
        "FROM UNNEST(sequence(0, 47)) AS s(n)",
    )
    everything = int(rows(ice, 'SELECT count(DISTINCT "$path") FROM parts')[0][0])
    assert everything > 8
    for condition, count, most in [
        ("at >= TIMESTAMP '2024-01-02 00:00:00'", 24, everything // 2),
        ("kind = 'even'", 24, everything // 2),
        ("kind IS NULL", 24, everything // 2),
        ("id = 5", 1, 1),
    ]:
        found, files = rows(ice, f'SELECT count(*), count(DISTINCT "$path") FROM parts WHERE {condition}')[0]
        assert (int(found), int(files) <= most) == (count, True), condition
    assert any("at_day=2024-01-02/" in key and "kind=even/" in key for key in keys(ice, "parts"))
    reason = refused(
        ice, "INSERT INTO parts SELECT n, date_add('day', n, TIMESTAMP '2024-01-01 00:00:00'), 'x' FROM UNNEST(sequence(1, 200)) AS s(n)"
    )
    assert reason.startswith("ICEBERG_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of 100 open writers for partitions")


def test_a_table_is_made_of_a_query(ice):
    assert change(
        ice,
        "CREATE TABLE made WITH (table_type = 'ICEBERG', is_external = false, location = 's3://ice/made/', "
        "partitioning = ARRAY['bucket(id, 2)']) AS SELECT n AS id, CAST(n AS varchar) AS name FROM UNNEST(sequence(1, 10)) AS s(n)",
    ) == 10
    assert rows(ice, "SELECT count(*), sum(id), max(name) FROM made") == [["10", "55", "9"]]
    assert glue(ice, "made")["Parameters"]["table_type"] == "ICEBERG"
    reason = refused(
        ice, "CREATE TABLE made WITH (table_type = 'ICEBERG', is_external = false, location = 's3://ice/made2/') AS SELECT 1 AS a"
    )
    assert reason.startswith("TABLE_ALREADY_EXISTS")
    assert keys(ice, "made2") == []


def test_rows_are_deleted_and_updated(ice):
    make(ice, "mutable", "id int, name string, n bigint")
    for low in (1, 11, 21):
        change(ice, f"INSERT INTO mutable SELECT n, 'row', n * 10 FROM UNNEST(sequence({low}, {low + 9})) AS s(n)")
    assert change(ice, "DELETE FROM mutable WHERE id BETWEEN 5 AND 6 OR name IS NULL") == 2
    assert change(ice, "DELETE FROM mutable WHERE id > 1000") == 0
    assert change(ice, "UPDATE mutable SET n = n + 1, name = CASE WHEN id = 12 THEN 'twelve' ELSE name END WHERE id IN (12, 13)") == 2
    assert rows(ice, "SELECT id, name, n FROM mutable WHERE id IN (4, 5, 12, 13, 14) ORDER BY id") == [
        ["4", "row", "40"],
        ["12", "twelve", "121"],
        ["13", "row", "131"],
        ["14", "row", "140"],
    ]
    assert change(ice, "DELETE FROM mutable WHERE id = (SELECT max(id) FROM mutable)") == 1
    assert rows(ice, "SELECT count(*), max(id) FROM mutable") == [["27", "29"]]
    assert refused(ice, "UPDATE mutable SET n = 'x'").startswith("TYPE_MISMATCH")
    assert "nope" in refused(ice, "UPDATE mutable SET nope = 1")
    assert refused(ice, "DELETE FROM mutable\nWHERE id = 1 AND\n  nope = 1").startswith("COLUMN_NOT_FOUND: line 3:3: Column 'nope'")
    assert refused(ice, "UPDATE mutable SET n = 1, name = lower(nope)").startswith("COLUMN_NOT_FOUND: line 1:40: Column 'nope'")
    assert change(ice, "UPDATE mutable SET name = NULL") == 27
    assert rows(ice, "SELECT count(name) FROM mutable") == [["0"]]
    assert change(ice, "DELETE FROM mutable") == 27
    assert rows(ice, "SELECT count(*) FROM mutable") == [["0"]]


def test_rows_are_changed_by_what_other_tables_say_of_them(ice):
    """Subqueries that depend on the row, with NULLs among what they give: as Trino decides."""
    make(ice, "own", "k int, g int")
    make(ice, "others", "k int, g int")
    change(ice, "INSERT INTO own VALUES (1, 1), (2, 1), (3, 2), (4, 3), (5, 5), (6, 2)")
    change(ice, "INSERT INTO others VALUES (1, 1), (3, 9), (4, 3), (NULL, 2)")
    assert change(ice, "DELETE FROM own WHERE k IN (SELECT o.k FROM others o WHERE o.g = own.g)") == 2
    assert rows(ice, "SELECT k FROM own ORDER BY 1") == [["2"], ["3"], ["5"], ["6"]]
    assert change(ice, "UPDATE own SET g = 100 WHERE k NOT IN (SELECT o.k FROM others o WHERE o.g = own.g)") == 2
    assert rows(ice, "SELECT k, g FROM own ORDER BY 1") == [["2", "100"], ["3", "2"], ["5", "100"], ["6", "2"]]
    either = "EXISTS (SELECT 1 FROM others o WHERE o.k = own.k) OR g NOT IN (SELECT g FROM others)"
    assert change(ice, f"DELETE FROM own WHERE {either}") == 3
    assert rows(ice, "SELECT k, g FROM own ORDER BY 1") == [["6", "2"]]


def test_parameters_stand_wherever_rows_are_changed(ice):
    make(ice, "bound", "id int, name string, price double")
    change(ice, "INSERT INTO bound VALUES (1, 'a', 1e0), (2, 'b', 2e0), (3, 'c', 3e0)")
    athena = ice.client("athena")

    def bound(sql, *values):
        started = athena.start_query_execution(QueryString=sql, QueryExecutionContext={"Database": "ice"}, ExecutionParameters=list(values))
        ended(ice, started["QueryExecutionId"])

    bound("UPDATE bound SET name = ?, price = price + ? WHERE id = ? OR name = ?", "'x'", "10e0", "1", "'b'")
    assert rows(ice, "SELECT * FROM bound ORDER BY id") == [["1", "x", "11.0"], ["2", "x", "12.0"], ["3", "c", "3.0"]]
    bound(
        "MERGE INTO bound t USING (SELECT ? AS id, ? AS name) s ON t.id = s.id AND t.price > ? WHEN MATCHED THEN UPDATE SET name = ? "
        "WHEN NOT MATCHED THEN INSERT (id, name, price) VALUES (s.id, s.name, ?)",
        "3", "'s'", "100e0", "'never'", "9e0",
    )  # fmt: skip
    bound("DELETE FROM bound WHERE id = ? AND name = ?", "1", "'x'")
    assert rows(ice, "SELECT * FROM bound ORDER BY id, price") == [["2", "x", "12.0"], ["3", "c", "3.0"], ["3", "s", "9.0"]]
    for sql, found in (("UPDATE bound SET name = ? WHERE id = ?", 1), ("DELETE FROM bound WHERE id = ?", 0)):
        started = athena.start_query_execution(QueryString=sql, QueryExecutionContext={"Database": "ice"}, ExecutionParameters=["'y'"][:found] or ["1", "2"])
        status = ice.wait_query(started["QueryExecutionId"])["Status"]
        assert "INVALID_PARAMETER_USAGE" in status.get("StateChangeReason", ""), status


def test_a_table_of_hive_is_not_changed(ice):
    ice.sql("CREATE EXTERNAL TABLE hive (id int) STORED AS PARQUET LOCATION 's3://ice/hive/'", "ice")
    words = "NOT_SUPPORTED: Modifying Hive table rows is only supported for transactional tables"
    assert refused(ice, "DELETE FROM hive WHERE id = 1") == words
    assert refused(ice, "DELETE FROM missing").startswith("TABLE_NOT_FOUND")


def test_merge_does_what_its_first_fitting_clause_says(ice):
    make(ice, "target", "id int, v string, n int")
    change(ice, "INSERT INTO target VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (4, 'd', 4)")
    change(ice, "INSERT INTO target VALUES (10, 'z', 10)")
    assert change(
        ice,
        """MERGE INTO target AS t
           USING (VALUES (1, 'one', 0), (2, 'two', 1), (3, 'three', 2), (8, 'eight', 0), (9, 'nine', 9)) AS s(id, v, k)
           ON t.id = s.id
           WHEN MATCHED AND s.k = 2 THEN DELETE
           WHEN MATCHED AND s.k = 1 THEN UPDATE SET v = s.v, n = t.n + 100
           WHEN MATCHED THEN UPDATE SET v = upper(t.v)
           WHEN NOT MATCHED AND s.k = 9 THEN INSERT (v, id) VALUES (s.v, s.id)
           WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v, s.k)""",
    ) == 5
    assert rows(ice, "SELECT * FROM target ORDER BY id") == [
        ["1", "A", "1"],
        ["2", "two", "102"],
        ["4", "d", "4"],
        ["8", "eight", "0"],
        ["9", "nine", None],
        ["10", "z", "10"],
    ]
    before = rows(ice, "SELECT * FROM target ORDER BY id")
    reason = refused(
        ice, "MERGE INTO target t USING (VALUES (1, 'x'), (1, 'y')) AS s(id, v) ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = s.v"
    )
    assert reason == "MERGE_TARGET_ROW_MULTIPLE_MATCHES: One MERGE target table row matched more than one source row"
    assert rows(ice, "SELECT * FROM target ORDER BY id") == before
    # A row that is matched twice, but by one clause only.
    assert change(
        ice,
        "MERGE INTO target t USING (VALUES (1, 'x'), (1, 'y')) AS s(id, v) ON t.id = s.id WHEN MATCHED AND s.v = 'y' THEN UPDATE SET v = s.v",
    ) == 1
    assert rows(ice, "SELECT v FROM target WHERE id = 1") == [["y"]]
    assert rows(ice, "SELECT count(*) FROM target") == [["6"]]


def test_columns_evolve_without_touching_files(ice):
    make(ice, "evolving", "id int, name string, ratio float, part string", "PARTITIONED BY (part)")
    change(ice, "INSERT INTO evolving VALUES (1, 'a', REAL '0.5', 'p')")
    files = [key for key in keys(ice, "evolving") if "/data/" in key]
    ice.sql("ALTER TABLE evolving ADD COLUMNS (extra struct<x:int,y:string>, note string COMMENT 'new')", "ice")
    ice.sql("ALTER TABLE evolving CHANGE COLUMN id number bigint FIRST", "ice")
    ice.sql("ALTER TABLE evolving CHANGE COLUMN ratio ratio double AFTER number", "ice")
    ice.sql("ALTER TABLE evolving DROP COLUMN name", "ice")
    assert [key for key in keys(ice, "evolving") if "/data/" in key] == files
    assert rows(ice, "SELECT * FROM evolving") == [["1", "0.5", "p", None, None]]
    change(ice, "INSERT INTO evolving VALUES (5000000000, 0.25, 'q', ROW(1, 'y'), 'n')")
    assert rows(ice, "SELECT number, ratio, extra.y, note FROM evolving WHERE number > 1") == [["5000000000", "0.25", "y", "n"]]
    assert rows(ice, "SELECT number FROM evolving WHERE extra.x = 1") == [["5000000000"]]
    # A dropped name that comes back is another column.
    ice.sql("ALTER TABLE evolving ADD COLUMNS (name string)", "ice")
    assert rows(ice, "SELECT count(name) FROM evolving") == [["0"]]
    assert "Cannot drop partition field" in refused(ice, "ALTER TABLE evolving DROP COLUMN part")
    assert "Cannot change column type" in refused(ice, "ALTER TABLE evolving CHANGE COLUMN number number int")
    assert "Duplicate column name" in refused(ice, "ALTER TABLE evolving ADD COLUMNS (note string)")
    ice.sql("ALTER TABLE evolving SET TBLPROPERTIES ('write_compression' = 'snappy', 'vacuum_min_snapshots_to_keep' = '3')", "ice")
    assert glue(ice, "evolving")["Parameters"]["write_compression"] == "snappy"
    ice.sql("ALTER TABLE evolving UNSET TBLPROPERTIES ('vacuum_min_snapshots_to_keep')", "ice")
    assert "vacuum_min_snapshots_to_keep" not in glue(ice, "evolving")["Parameters"]
    assert "Query type not supported by Athena Iceberg" in refused(ice, "ALTER TABLE evolving REPLACE COLUMNS (a int)")
    ice.sql("ALTER TABLE evolving RENAME TO evolved", "ice")
    assert rows(ice, "SELECT count(*) FROM evolved") == [["2"]]


def test_old_versions_are_read_and_the_metadata_are_tables(ice):
    make(ice, "travel", "id int, v string")
    for id in (1, 2, 3):
        change(ice, f"INSERT INTO travel VALUES ({id}, 'v{id}')")
        time.sleep(0.01)
    change(ice, "DELETE FROM travel WHERE id = 1")
    snapshots = rows(ice, 'SELECT snapshot_id, committed_at, operation, parent_id, summary[\'total-records\'] FROM "travel$snapshots" ORDER BY committed_at')
    assert [snapshot[2] for snapshot in snapshots] == ["append", "append", "append", "delete"]
    assert [snapshot[4] for snapshot in snapshots] == ["1", "2", "3", "2"]
    assert [snapshot[3] for snapshot in snapshots] == [None] + [snapshot[0] for snapshot in snapshots[:-1]]
    second = snapshots[1]
    assert rows(ice, f"SELECT id FROM travel FOR VERSION AS OF {second[0]} ORDER BY id") == [["1"], ["2"]]
    assert rows(ice, f"SELECT t.id FROM travel FOR VERSION AS OF {second[0]} AS t ORDER BY 1") == [["1"], ["2"]]
    assert rows(ice, "SELECT count(*) FROM travel FOR VERSION AS OF 'main'") == [["2"]]
    at = second[1].replace(" UTC", "")
    assert rows(ice, f"SELECT count(*) FROM travel FOR TIMESTAMP AS OF TIMESTAMP '{at} UTC'") == [["2"]]
    assert rows(ice, "SELECT count(*) FROM travel FOR TIMESTAMP AS OF current_timestamp") == [["2"]]
    assert "No version history" in refused(ice, "SELECT * FROM travel FOR TIMESTAMP AS OF (current_timestamp - INTERVAL '1' DAY)")
    assert "12345" in refused(ice, "SELECT * FROM travel FOR VERSION AS OF 12345")
    joined = f"SELECT count(*) FROM travel now JOIN travel FOR VERSION AS OF {second[0]} AS old ON now.id = old.id"
    assert rows(ice, joined) == [["1"]]
    ice.sql("ALTER TABLE travel ADD COLUMNS (extra int)", "ice")
    assert rows(ice, f"SELECT * FROM travel FOR VERSION AS OF {second[0]} WHERE id = 1") == [["1", "v1"]]
    assert rows(ice, 'SELECT count(*), sum(record_count) FROM "travel$files"') == [["2", "2"]]
    assert rows(ice, 'SELECT content, file_format, lower_bounds[1] FROM "travel$files" ORDER BY 3') == [["0", "PARQUET", "2"], ["0", "PARQUET", "3"]]
    assert rows(ice, 'SELECT count(*) FROM "travel$history" WHERE is_current_ancestor') == [["4"]]
    assert rows(ice, 'SELECT sum(added_data_files_count), sum(existing_rows_count) FROM "travel$manifests"')[0][0] is not None
    assert rows(ice, 'SELECT record_count, file_count, data.id.min, data.id.max FROM "travel$partitions"') == [["2", "2", "2", "3"]]
    assert rows(ice, 'SELECT name, type, snapshot_id FROM "travel$refs"') == [["main", "BRANCH", snapshots[3][0]]]
    assert "does not exist" in refused(ice, 'SELECT * FROM "travel$nothing"')


def test_optimize_brings_files_together_and_vacuum_lets_old_ones_go(ice):
    properties = ", 'vacuum_max_snapshot_age_seconds' = '1'"
    make(ice, "tidy", "id int, part string", "PARTITIONED BY (part)", properties)
    for id in range(12):
        change(ice, f"INSERT INTO tidy VALUES ({id}, '{'a' if id % 2 else 'b'}')")
    change(ice, "DELETE FROM tidy WHERE id = 3")
    before = rows(ice, "SELECT * FROM tidy ORDER BY id")
    assert rows(ice, 'SELECT count(*) FROM "tidy$files"') == [["11"]]
    ice.sql("OPTIMIZE tidy REWRITE DATA USING BIN_PACK WHERE part = 'a'", "ice")
    assert rows(ice, 'SELECT count(*) FROM "tidy$files"') == [["7"]]
    ice.sql("OPTIMIZE ice.tidy REWRITE DATA USING BIN_PACK", "ice")
    assert rows(ice, 'SELECT count(*) FROM "tidy$files"') == [["2"]]
    assert rows(ice, "SELECT * FROM tidy ORDER BY id") == before
    # Somebody may be about to commit it, however short the table's snapshots live.
    ice.put("ice", "tidy/data/stray.parquet", b"nobody knows this")
    kept = len(keys(ice, "tidy"))
    time.sleep(1.1)
    ice.sql("VACUUM tidy", "ice")
    assert rows(ice, 'SELECT count(*) FROM "tidy$snapshots"') == [["1"]]
    left = keys(ice, "tidy")
    assert len(left) < kept and "tidy/data/stray.parquet" in left
    assert sum(key.endswith(".parquet") for key in left) == 3
    assert rows(ice, "SELECT * FROM tidy ORDER BY id") == before
    change(ice, "INSERT INTO tidy VALUES (100, 'a')")
    assert rows(ice, "SELECT count(*) FROM tidy") == [[str(len(before) + 1)]]


def test_drop_table_takes_the_data_along_and_nothing_else(ice):
    make(ice, "gone", "id int")
    change(ice, "INSERT INTO gone VALUES (1)")
    ice.put("ice", "gone/notes.txt", b"mine")
    ice.sql("DROP TABLE gone", "ice")
    assert keys(ice, "gone") == ["gone/notes.txt"]
    assert refused(ice, "SELECT * FROM gone").startswith("TABLE_NOT_FOUND")
    ice.client("s3").delete_object(Bucket="ice", Key="gone/notes.txt")
    make(ice, "gone", "id int")
    assert rows(ice, "SELECT count(*) FROM gone") == [["0"]]


def test_a_location_with_objects_is_refused(ice):
    make(ice, "first", "id int")
    change(ice, "INSERT INTO first VALUES (1)")
    taken = "ICEBERG_FILESYSTEM_ERROR: Cannot create a table on a non-empty location: s3://ice/first"
    properties = "TBLPROPERTIES ('table_type' = 'ICEBERG')"
    assert refused(ice, f"CREATE TABLE ice.second (id int) LOCATION 's3://ice/first/' {properties}").startswith(taken)
    query = "WITH (table_type = 'ICEBERG', is_external = false, location = 's3://ice/first/') AS SELECT 2 AS id"
    assert refused(ice, f"CREATE TABLE ice.second {query}").startswith(taken)
    assert ice.sql(f"CREATE TABLE IF NOT EXISTS ice.first (id int) LOCATION 's3://ice/first/' {properties}") == []
    assert rows(ice, "SELECT * FROM first") == [["1"]]
    # The folder that a console made is no object of anybody's.
    ice.put("ice", "console/", b"")
    make(ice, "console", "id int")


def test_what_lies_below_a_table_is_others(ice):
    make(ice, "top", "id int", "", ", 'vacuum_max_snapshot_age_seconds' = '1'")
    change(ice, "INSERT INTO top VALUES (1)")
    ice.sql("CREATE TABLE ice.below_top WITH (external_location = 's3://ice/top/data/sales/') AS SELECT 1 AS x")
    ice.sql("CREATE TABLE ice.inner_one (id int) LOCATION 's3://ice/top/data/inner/' TBLPROPERTIES ('table_type' = 'ICEBERG')")
    change(ice, "INSERT INTO inner_one VALUES (7)")
    ice.sql("CREATE EXTERNAL TABLE ice.far_parts (x int) PARTITIONED BY (p string) STORED AS PARQUET LOCATION 's3://ice/far_parts/'")
    ice.sql("ALTER TABLE ice.far_parts ADD PARTITION (p = 'far') LOCATION 's3://ice/top/data/far/'")
    change(ice, "INSERT INTO far_parts SELECT 3, 'far'")
    change(ice, "DELETE FROM top")
    time.sleep(1.1)
    ice.sql("VACUUM ice.top", "ice")
    ice.sql("DROP TABLE ice.top", "ice")
    assert rows(ice, "SELECT x FROM below_top") == [["1"]]
    assert rows(ice, "SELECT id FROM inner_one") == [["7"]]
    assert rows(ice, "SELECT x FROM far_parts") == [["3"]]
    mine = ("top/data/sales/", "top/data/inner/", "top/data/far/")
    assert [key for key in keys(ice, "top") if not key.startswith(mine)] == []


def test_a_partition_column_is_widened_and_files_before_and_after_it_change(ice):
    for kind, wider, transform in (("int", "bigint", "p"), ("int", "bigint", "truncate(10, p)"), ("float", "double", "p")):
        name = f"wide_{kind}_{transform[0]}"
        make(ice, name, f"id int, p {kind}", f"PARTITIONED BY ({transform})")
        change(ice, f"INSERT INTO {name} VALUES (1, 7), (2, 7), (3, 30)")
        ice.sql(f"ALTER TABLE {name} CHANGE COLUMN p p {wider}", "ice")
        change(ice, f"INSERT INTO {name} VALUES (4, 7)")
        assert rows(ice, f"SELECT id FROM {name} WHERE p = 7 ORDER BY id") == [["1"], ["2"], ["4"]]
        assert change(ice, f"DELETE FROM {name} WHERE id = 1") == 1
        assert change(ice, f"UPDATE {name} SET id = id + 20 WHERE p = 7") == 2
        ice.sql(f"OPTIMIZE {name} REWRITE DATA USING BIN_PACK", "ice")
        assert rows(ice, f"SELECT id FROM {name} ORDER BY id") == [["3"], ["22"], ["24"]]


def test_timestamps_have_microseconds(ice):
    make(ice, "precise", "at timestamp")
    change(ice, "INSERT INTO precise SELECT CAST(TIMESTAMP '2024-01-01 00:00:00.999999' AS timestamp(6))")
    assert rows(ice, "SELECT at, typeof(at) FROM precise") == [["2024-01-01 00:00:00.999999", "timestamp(6)"]]
    assert rows(ice, "SELECT count(*) FROM precise WHERE at = TIMESTAMP '2024-01-01 00:00:00.999999'") == [["1"]]


def test_a_table_that_others_make_first_has_only_their_rows(ice):
    query = "WITH (table_type = 'ICEBERG', is_external = false, location = 's3://ice/race{0}/') AS SELECT {0} AS x"
    started = [ice.start_query(f"CREATE TABLE IF NOT EXISTS race {query.format(n)}", "ice") for n in range(6)]
    for execution in started:
        ended(ice, execution)
    results = [ice.client("athena").get_query_results(QueryExecutionId=execution) for execution in started]
    assert sorted(result.get("UpdateCount") for result in results) == [0, 0, 0, 0, 0, 1]
    assert len(rows(ice, "SELECT * FROM race")) == 1


def test_a_database_takes_the_data_of_its_tables_along(ice):
    ice.sql("CREATE DATABASE brief")
    ice.sql("CREATE TABLE brief.b (id int) LOCATION 's3://ice/brief/' TBLPROPERTIES ('table_type' = 'ICEBERG')")
    assert keys(ice, "brief") != []
    ice.sql("DROP DATABASE brief CASCADE")
    assert keys(ice, "brief") == []


def test_writers_at_once_lose_nothing(ice):
    make(ice, "busy", "writer int, n int, state string")
    change(ice, "INSERT INTO busy SELECT 0, n, 'new' FROM UNNEST(sequence(1, 20)) AS s(n)")
    failures = []

    def write(writer):
        try:
            for n in range(6):
                change(ice, f"INSERT INTO busy VALUES ({writer}, {n}, 'new')")
                if n % 3 == 2:
                    change(ice, f"UPDATE busy SET state = 'seen' WHERE writer = {writer} AND n = {n}")
        except Exception as error:  # noqa: BLE001 (shown below)
            failures.append(error)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [failure for failure in failures if "ICEBERG_COMMIT_ERROR" not in str(failure)] == []
    assert failures == []
    assert rows(ice, "SELECT writer, count(*), count(DISTINCT n) FROM busy GROUP BY writer ORDER BY writer") == [
        ["0", "20", "20"],
        *[[str(writer), "6", "6"] for writer in range(1, 5)],
    ]
    assert rows(ice, "SELECT count(*) FROM busy WHERE state = 'seen'") == [["8"]]


def test_updates_of_one_row_at_once_all_count(ice):
    make(ice, "hot", "id int, n int")
    change(ice, "INSERT INTO hot VALUES (1, 0), (2, 0)")
    failures = []

    def add():
        try:
            for _ in range(5):
                assert change(ice, "UPDATE hot SET n = n + 1 WHERE id = 1") == 1
        except Exception as error:  # noqa: BLE001 (shown below)
            failures.append(error)

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert rows(ice, "SELECT n FROM hot ORDER BY id") == [["15"], ["0"]]


def test_a_statement_that_is_killed_is_there_wholly_or_not_at_all(new_lake):
    lake = new_lake()
    lake.bucket("ice")
    lake.sql("CREATE DATABASE ice")
    make(lake, "k", "round int, n int")
    for round in range(4):
        execution = lake.start_query(f"INSERT INTO k SELECT {round}, n FROM UNNEST(sequence(1, 10000)) AS s(n)", "ice")
        time.sleep(0.02 + 0.03 * round)
        lake.kill9()
        lake.start()
        wait_until(lambda: lake.client("athena").get_query_execution(QueryExecutionId=execution)["QueryExecution"]["Status"]["State"] in ("SUCCEEDED", "FAILED"), what="the execution's end")
        state = lake.client("athena").get_query_execution(QueryExecutionId=execution)["QueryExecution"]["Status"]["State"]
        found = int(rows(lake, f"SELECT count(*) FROM k WHERE round = {round}")[0][0])
        assert found == (10000 if state == "SUCCEEDED" else 0), (round, state)
    metadata = glue(lake, "k")["Parameters"]["metadata_location"].removeprefix("s3://ice/")
    described = json.loads(lake.client("s3").get_object(Bucket="ice", Key=metadata)["Body"].read())
    assert len({snapshot["snapshot-id"] for snapshot in described["snapshots"]}) == len(described["snapshots"])
