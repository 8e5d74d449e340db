"""PyIceberg through the Glue catalog: tables that it makes, changes, and that two of it change at once."""

import os

import pyarrow as pa
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.types import StringType

ENDPOINT, STAGING = os.environ["AWS_ENDPOINT_URL"], os.environ["STAGING"] + "iceberg/"
ROWS = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "kind": ["a", "b", "a"]})

catalog = load_catalog(
    "lake",
    **{
        "type": "glue",
        "glue.endpoint": ENDPOINT,
        "glue.region": "us-east-1",
        "s3.endpoint": ENDPOINT,
        "s3.access-key-id": os.environ["AWS_ACCESS_KEY_ID"],
        "s3.secret-access-key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "s3.region": "us-east-1",
        "warehouse": STAGING,
    },
)


def table(name, rows=ROWS):
    """A new table with rows."""
    catalog.create_namespace_if_not_exists("ice")
    made = catalog.create_table(f"ice.{name}", rows.schema, location=f"{STAGING}{name}")
    made.append(rows)
    return made


def check_rows_are_appended_and_read():
    table("appended").append(ROWS)
    found = catalog.load_table("ice.appended").scan().to_arrow()
    assert sorted(found["id"].to_pylist()) == [1, 1, 2, 2, 3, 3]


def check_rows_are_deleted():
    table("deleted").delete("id == 1")
    assert sorted(catalog.load_table("ice.deleted").scan().to_arrow()["id"].to_pylist()) == [2, 3]


def check_the_schema_evolves():
    made = table("evolved")
    with made.update_schema() as update:
        update.add_column("note", StringType())
    made.append(ROWS.append_column("note", pa.array(["x", "y", "z"])))
    found = catalog.load_table("ice.evolved").scan().to_arrow()
    assert found["note"].null_count == 3 and len(found) == 6


def check_no_commit_of_two_at_once_is_lost():
    table("raced")
    first, second = catalog.load_table("ice.raced"), catalog.load_table("ice.raced")
    first.append(ROWS)
    rows = 9  # Newer versions try again on what the first one left.
    try:
        second.append(ROWS)
    except CommitFailedException:
        rows = 6
    assert len(catalog.load_table("ice.raced").scan().to_arrow()) == rows


def check_tables_are_listed_and_dropped():
    table("dropped")
    assert ("ice", "dropped") in catalog.list_tables("ice")
    catalog.drop_table("ice.dropped")
    assert ("ice", "dropped") not in catalog.list_tables("ice")
