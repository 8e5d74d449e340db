"""Files that other programs brought into Iceberg tables, by PyIceberg: without ids, without partition columns, one object's bytes twice."""

import io
import os
import time

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update import AddSnapshotUpdate, SetSnapshotRefUpdate
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, NestedField, StringType, TimeType

ENDPOINT, STAGING = os.environ["AWS_ENDPOINT_URL"], os.environ["STAGING"] + "files/"
BUCKET, PREFIX = STAGING.removeprefix("s3://").split("/", 1)
KEYS = {"s3.access-key-id": os.environ["AWS_ACCESS_KEY_ID"], "s3.secret-access-key": os.environ["AWS_SECRET_ACCESS_KEY"]}
SIGNED = {"rest.sigv4-enabled": "true", "rest.signing-name": "glue", "rest.signing-region": "us-east-1"}
ACCOUNT = boto3.client("sts").get_caller_identity()["Account"]
FIELDS = NestedField(1, "id", LongType(), required=False), NestedField(2, "kind", StringType(), required=False)

catalog = load_catalog("rest", type="rest", uri=f"{ENDPOINT}/iceberg", warehouse=ACCOUNT, **SIGNED, **KEYS)
catalog.create_namespace_if_not_exists("files", {"location": f"{STAGING}db"})


def sql(text):
    """Rows as texts."""
    athena = boto3.client("athena")
    started = athena.start_query_execution(
        QueryString=text,
        QueryExecutionContext={"Database": "files"},
        ResultConfiguration={"OutputLocation": f"{STAGING}results/"},
    )
    id = started["QueryExecutionId"]
    while True:
        status = athena.get_query_execution(QueryExecutionId=id)["QueryExecution"]["Status"]
        if status["State"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
            break
        time.sleep(0.02)
    assert status["State"] == "SUCCEEDED", status
    rows = athena.get_query_results(QueryExecutionId=id)["ResultSet"]["Rows"]
    return [[datum.get("VarCharValue") for datum in row["Data"]] for row in rows[1:]]


def put(name, table):
    body = io.BytesIO()
    pq.write_table(table, body)
    boto3.client("s3").put_object(Bucket=BUCKET, Key=f"{PREFIX}{name}", Body=body.getvalue())
    return f"{STAGING}{name}", len(body.getvalue())


def data_file(path, size, rows, partition):
    unknown = ("column_sizes", "value_counts", "null_value_counts", "nan_value_counts", "lower_bounds", "upper_bounds")
    file = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=partition,
        record_count=rows,
        file_size_in_bytes=size,
        key_metadata=None,
        split_offsets=[4],
        equality_ids=None,
        sort_order_id=None,
        **{name: {} for name in unknown},
    )
    file.spec_id = 0
    return file


def pyiceberg_rows(name):
    rows = catalog.load_table(f"files.{name}").scan().to_arrow().to_pylist()
    return sorted(tuple(row.values()) for row in rows)


def check_columns_of_files_without_ids_keep_their_meaning_when_renamed():
    made = catalog.create_table("files.mapped", Schema(*FIELDS))
    path, _ = put("plain.parquet", pa.table({"id": pa.array([1, 2], pa.int64()), "kind": ["x", "y"]}))
    made.add_files([path])
    assert sql("SELECT * FROM mapped ORDER BY id") == [["1", "x"], ["2", "y"]]
    sql("ALTER TABLE mapped CHANGE COLUMN kind sort string")
    assert sql("SELECT id, sort FROM mapped ORDER BY id") == [["1", "x"], ["2", "y"]]
    sql("UPDATE mapped SET id = id + 10 WHERE sort = 'x'")
    assert sql("SELECT id, sort FROM mapped ORDER BY id") == [["2", "y"], ["11", "x"]]


def check_partition_values_that_are_not_in_the_files_are_those_of_the_partitions():
    spec = PartitionSpec(PartitionField(2, 1000, IdentityTransform(), "kind"))
    made = catalog.create_table("files.migrated", Schema(*FIELDS), partition_spec=spec)
    ids = pa.schema([pa.field("id", pa.int64(), metadata={"PARQUET:field_id": "1"})])
    with made.transaction() as change, change.update_snapshot().fast_append() as append:
        for kind, rows in (("x", [1, 2]), ("y", [3]), (None, [4])):
            path, size = put(f"kind={kind}/f.parquet", pa.table({"id": pa.array(rows, pa.int64())}, schema=ids))
            append.append_data_file(data_file(path, size, len(rows), Record(kind)))
    assert sql("SELECT kind, id FROM migrated ORDER BY id") == [["x", "1"], ["x", "2"], ["y", "3"], [None, "4"]]
    assert sql("SELECT id FROM migrated WHERE kind = 'x' AND id > 1") == [["2"]]
    assert sql("SELECT count(*) FROM migrated WHERE kind IS NULL") == [["1"]]
    sql("INSERT INTO migrated VALUES (5, 'x')")
    sql("UPDATE migrated SET id = id + 10 WHERE id IN (1, 4)")
    found = sql('SELECT id, kind, "$path" LIKE \'%kind=x/%\' FROM migrated WHERE kind = \'x\' ORDER BY id')
    assert found == [["2", "x", "true"], ["5", "x", "true"], ["11", "x", "true"]]
    assert sql("SELECT id FROM migrated WHERE kind IS NULL") == [["14"]]


def check_a_table_that_was_renamed_keeps_its_place():
    rows = pa.table({"id": pa.array([1], pa.int64())})
    first = catalog.create_table("files.a", rows.schema)
    first.append(rows)
    catalog.rename_table("files.a", "files.a_old")
    second = catalog.create_table("files.a", rows.schema)
    assert second.location() != first.location()
    second.append(rows)
    sql("DROP TABLE a_old")
    assert sql("SELECT id FROM a") == [["1"]] and pyiceberg_rows("a") == [(1,)]


def check_times_keep_their_microseconds():
    made = catalog.create_table("files.clock", Schema(FIELDS[0], NestedField(2, "at", TimeType(), required=False)))
    value = pa.scalar(86_399_999_999, pa.time64("us"))
    made.append(pa.table({"id": pa.array([1], pa.int64()), "at": pa.array([value.as_py()], pa.time64("us"))}))
    sql("UPDATE clock SET id = 2")
    assert pyiceberg_rows("clock") == [(2, value.as_py())]
    assert sql("SELECT at FROM clock") == [["23:59:59.999999"]]


def check_partitions_of_odd_values_are_read_by_others():
    spec = PartitionSpec(PartitionField(2, 1000, IdentityTransform(), "kind"))
    catalog.create_table("files.odd", Schema(*FIELDS), partition_spec=spec)
    values = ["a?b", "a#b", "a%20b", "a/b", "..", "plain", "ü ü"]
    for value in values:
        sql(f"INSERT INTO odd VALUES (1, '{value}')")
    assert [row[1] for row in pyiceberg_rows("odd")] == sorted(values)
    assert sorted(row[0] for row in sql("SELECT kind FROM odd")) == sorted(values)


def check_main_keeps_its_retention_and_a_snapshot_without_files_is_refused():
    made = catalog.create_table("files.kept", Schema(*FIELDS))
    sql("INSERT INTO kept VALUES (1, 'a')")
    made = catalog.load_table("files.kept")
    current = made.current_snapshot().snapshot_id
    kept = SetSnapshotRefUpdate(
        ref_name="main", type="branch", snapshot_id=current, max_snapshot_age_ms=10**12, min_snapshots_to_keep=50
    )
    catalog.commit_table(made, (), (kept,))
    sql("INSERT INTO kept VALUES (2, 'b')")
    made = catalog.load_table("files.kept")
    assert made.metadata.refs["main"].min_snapshots_to_keep == 50
    missing = Snapshot(
        snapshot_id=7,
        parent_snapshot_id=made.current_snapshot().snapshot_id,
        sequence_number=made.metadata.last_sequence_number + 1,
        timestamp_ms=int(time.time() * 1000) + 1000,
        manifest_list=f"{made.location()}/metadata/snap-gone.avro",
        summary=Summary(Operation.APPEND),
        schema_id=0,
    )
    updates = AddSnapshotUpdate(snapshot=missing), SetSnapshotRefUpdate(ref_name="main", type="branch", snapshot_id=7)
    try:
        catalog.commit_table(made, (), updates)
    except CommitFailedException:
        pass
    else:
        raise AssertionError("the manifest list does not exist")
    assert sql("SELECT count(*) FROM kept") == [["2"]]
