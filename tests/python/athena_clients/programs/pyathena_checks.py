"""PyAthena as people use it: cursors of each kind, parameters, result reuse, UNLOAD."""

import datetime
import decimal
import os

import boto3
import pyarrow.fs
from pyathena import connect
from pyathena.arrow.cursor import ArrowCursor
from pyathena.cursor import DictCursor
from pyathena.error import OperationalError
from pyathena.pandas.cursor import PandasCursor

STAGING = os.environ["STAGING"] + "pyathena/"


class LakesFileSystem(pyarrow.fs.S3FileSystem):
    """PyArrow's own S3 client does not read AWS_ENDPOINT_URL; whoever uses it with another endpoint names it."""

    def __init__(self, **settings):
        super().__init__(**{"endpoint_override": os.environ["AWS_ENDPOINT_URL"].removeprefix("http://"), "scheme": "http", **settings})


pyarrow.fs.S3FileSystem = LakesFileSystem


def cursor(kind=None, **more):
    kinds = {"cursor_class": kind} if kind else {}
    return connect(s3_staging_dir=STAGING, poll_interval=0.02, **kinds).cursor(**more)


def table(name, columns, rows):
    """A table of comma-separated text."""
    s3, (bucket, prefix) = boto3.client("s3"), STAGING.removeprefix("s3://").split("/", 1)
    s3.put_object(Bucket=bucket, Key=f"{prefix}tables/{name}/data.csv", Body=rows.encode())
    one = cursor()
    one.execute("CREATE DATABASE IF NOT EXISTS pyathena")
    one.execute(
        f"CREATE EXTERNAL TABLE IF NOT EXISTS pyathena.{name} ({columns}) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' "
        f"LOCATION '{STAGING}tables/{name}/'"
    )
    return f"pyathena.{name}"


def check_values_come_as_python_has_them():
    one = cursor()
    one.execute(
        "SELECT CAST(7 AS bigint) a, 'é''s' b, DATE '2024-02-29' c, TIMESTAMP '2024-02-29 10:00:00.123' d, "
        "CAST('12.50' AS decimal(10, 2)) e, true f, CAST(NULL AS varchar) g, ARRAY[1, 2] h, X'00ff' i, 1.5e0 j"
    )
    row = one.fetchone()
    assert row[:7] == (
        7,
        "é's",
        datetime.date(2024, 2, 29),
        datetime.datetime(2024, 2, 29, 10, 0, 0, 123000),
        decimal.Decimal("12.50"),
        True,
        None,
    ), row
    assert row[7] == [1, 2] and row[8] == b"\x00\xff" and row[9] == 1.5, row
    assert one.fetchone() is None
    assert [column[0] for column in one.description] == list("abcdefghij")
    assert [column[1] for column in one.description][:6] == ["bigint", "varchar", "date", "timestamp", "decimal", "boolean"]


def check_rows_are_fetched_over_pages():
    one = cursor()
    one.execute("SELECT n FROM UNNEST(sequence(1, 2500)) AS t (n) ORDER BY n")
    assert one.fetchone() == (1,)
    assert one.fetchmany(3) == [(2,), (3,), (4,)]
    assert [row[0] for row in one.fetchall()] == list(range(5, 2501))


def check_a_dict_cursor_names_its_values():
    one = cursor(DictCursor)
    one.execute("SELECT 'x' AS a, 2.5e0 AS b")
    assert one.fetchall() == [{"a": "x", "b": 2.5}]


def check_parameters_are_text_of_the_client():
    one = cursor()
    one.execute("SELECT %(text)s, %(many)s = 2", {"text": "o'k; --", "many": 2})
    assert one.fetchall() == [("o'k; --", True)]


def check_parameters_are_sent_to_the_service():
    name = table("fruit", "id int, name string", "1,apple\n2,pear\n3,plum\n")
    one = cursor()
    one.execute(f"SELECT name FROM {name} WHERE id >= ? AND name <> ? ORDER BY id", ["2", "'plum'"], paramstyle="qmark")
    assert one.fetchall() == [("pear",)]


def check_an_earlier_result_is_used_again():
    name = table("reused", "n int", "1\n2\n")
    ask = f"SELECT sum(n) AS n FROM {name}"
    first, again, without = cursor(), cursor(), cursor()
    first.execute(ask)
    again.execute(ask, result_reuse_enable=True, result_reuse_minutes=60)
    without.execute(ask)
    assert again.result_reuse_enabled and again.result_reuse_minutes == 60 and again.reused_previous_result
    assert again.output_location == first.output_location and again.data_scanned_in_bytes == 0
    assert first.fetchall() == again.fetchall() == [(3,)]
    assert without.reused_previous_result is False and without.data_scanned_in_bytes == 4


def check_a_pandas_cursor_gives_a_frame():
    name = table("amounts", "id int, amount double, day date", "1,1.5,2024-01-01\n2,,2024-01-02\n")
    frame = cursor(PandasCursor).execute(f"SELECT * FROM {name} ORDER BY id").as_pandas()
    assert frame["id"].tolist() == [1, 2] and frame["amount"].iloc[0] == 1.5 and frame["amount"].isna().tolist() == [False, True], frame
    assert str(frame["day"].iloc[1])[:10] == "2024-01-02"


def check_an_arrow_cursor_gives_a_table():
    name = table("arrows", "id bigint, word string", "1,a\n2,b\n")
    found = cursor(ArrowCursor).execute(f"SELECT * FROM {name} ORDER BY id").as_arrow()
    assert found.to_pydict() == {"id": [1, 2], "word": ["a", "b"]}


def check_an_error_says_where():
    one = cursor()
    table("errors", "id int", "1\n")
    try:
        one.execute("SELECT idd FROM pyathena.errors")
    except OperationalError as error:
        assert "Column 'idd' cannot be resolved" in str(error), error
    else:
        raise AssertionError("the query did not fail")


def check_statistics_are_there():
    name = table("scanned", "id int", "1\n2\n")
    one = cursor()
    one.execute(f"SELECT count(*) FROM {name}")
    assert one.data_scanned_in_bytes == 4 and one.state == "SUCCEEDED" and one.output_location.startswith(STAGING)
    assert one.engine_execution_time_in_millis >= 0 and one.total_execution_time_in_millis >= 0


def check_tables_and_partitions_are_shown():
    table("shown", "id int", "1\n")
    one = cursor()
    one.execute("SHOW TABLES IN pyathena 'sho.*'")
    assert one.fetchall() == [("shown",)]
    one.execute("SHOW COLUMNS IN pyathena.shown")
    assert [row[0].strip() for row in one.fetchall()] == ["id"]


def check_a_table_is_made_of_a_query_and_filled():
    source = table("source", "id int, name string", "1,a\n2,b\n")
    one = cursor()
    one.execute(f"CREATE TABLE pyathena.made WITH (format = 'PARQUET') AS SELECT * FROM {source}")
    assert one.rowcount == 2, one.rowcount
    one.execute("INSERT INTO pyathena.made VALUES (3, 'c'), (4, NULL)")
    assert one.rowcount == 2, one.rowcount
    one.execute("SELECT id, name FROM pyathena.made ORDER BY id")
    assert one.fetchall() == [(1, "a"), (2, "b"), (3, "c"), (4, None)]


def check_cursors_unload_what_they_read():
    name = table("unloaded", "id bigint, word string", "1,a\n2,b\n")
    frame = cursor(PandasCursor, unload=True).execute(f"SELECT * FROM {name}").as_pandas()
    assert sorted(frame["word"]) == ["a", "b"]
    found = cursor(ArrowCursor, unload=True).execute(f"SELECT * FROM {name}").as_arrow()
    assert sorted(found["id"].to_pylist()) == [1, 2]
    empty = cursor(PandasCursor, unload=True).execute(f"SELECT * FROM {name} WHERE id > 5").as_pandas()
    assert len(empty) == 0
