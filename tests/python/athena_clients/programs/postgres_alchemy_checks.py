"""SQLAlchemy's own PostgreSQL dialect over the lake: queries, reflection, and pandas by it."""

import os

import pandas as pd
from psycopg_checks import connect, prepare
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.schema import MetaData, Table

environment = os.environ
engine = create_engine(
    f"postgresql+psycopg://{environment['PGUSER']}:{environment['PGPASSWORD']}@{environment['PGHOST']}:{environment['PGPORT']}/shop"
)
# One row of each type that PostgreSQL has otherwise, or not at all.
ODD = {
    "i": ("int", "INTEGER"),
    "t": ("tinyint", "SMALLINT"),
    "f": ("float", "REAL"),
    "d": ("double", "DOUBLE PRECISION"),
    "b": ("boolean", "BOOLEAN"),
    "bytes": ("binary", "BYTEA"),
    "da": ("date", "DATE"),
    "ts": ("timestamp", "TIMESTAMP"),
    "v": ("varchar(20)", "VARCHAR(20)"),
    "n": ("decimal(12,4)", "NUMERIC(12, 4)"),
    "l": ("array<string>", "ARRAY"),
    "m": ("map<string,int>", "TEXT"),
    "st": ("struct<x:int>", "TEXT"),
    "day": (None, "TEXT"),
}


def inspector():
    prepare()
    with connect(dbname="shop") as connection:
        columns = ", ".join(f"{name} {kind} COMMENT 'of {name}'" for name, (kind, _) in ODD.items() if kind)
        location = environment["STAGING"] + "postgres/odd/"
        connection.execute(
            f"CREATE EXTERNAL TABLE IF NOT EXISTS odd ({columns}) COMMENT 'of each kind' PARTITIONED BY (day string) LOCATION '{location}'"
        )
        connection.execute("CREATE OR REPLACE VIEW dear AS SELECT id, name FROM fruit WHERE price > 1")
        connection.execute("CREATE DATABASE IF NOT EXISTS empty_shop COMMENT 'without tables'")
    return inspect(engine)


def check_a_query_gives_rows():
    prepare()
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT id, name FROM fruit WHERE id > :id ORDER BY id"), {"id": 1}).fetchall()
    assert rows == [(2, "pear"), (3, "plum")], rows


def check_databases_are_schemas_with_tables_and_views():
    found = inspector()
    assert {"default", "shop", "empty_shop"} <= set(found.get_schema_names())
    assert found.default_schema_name == "shop" and found.has_schema("shop") and not found.has_schema("nothing")
    # Without a schema: the tables of the session's database, and no others.
    for schema in (None, "shop"):
        assert {"fruit", "odd"} <= set(found.get_table_names(schema=schema)), schema
        assert found.get_view_names(schema=schema) == ["dear"], schema
        assert found.has_table("fruit", schema=schema) and found.has_table("dear", schema=schema), schema
        assert not found.has_table("nothing", schema=schema), schema
    assert found.get_table_names(schema="empty_shop") == [] and not found.has_table("fruit", schema="empty_shop")


def check_columns_have_their_types_and_comments():
    found = inspector()
    columns = found.get_columns("odd", schema="shop")
    assert {column["name"]: str(column["type"]) for column in columns} == {name: kind for name, (_, kind) in ODD.items()}
    assert [column["name"] for column in columns] == list(ODD)
    assert {column["comment"] for column in columns} == {f"of {name}" for name, (kind, _) in ODD.items() if kind} | {None}
    assert all(column["nullable"] and column["default"] is None for column in columns), columns
    assert [(column["name"], str(column["type"])) for column in found.get_columns("dear")] == [("id", "BIGINT"), ("name", "TEXT")]
    assert found.get_table_comment("odd") == {"text": "of each kind"} and found.get_table_comment("dear") == {"text": None}
    assert "price > 1" in found.get_view_definition("dear").replace("DECIMAL '1'", "1")


def check_there_are_no_constraints_indexes_or_sequences():
    found = inspector()
    for schema in (None, "shop"):
        assert found.get_pk_constraint("fruit", schema=schema)["constrained_columns"] == []
        assert found.get_indexes("fruit", schema=schema) == [] and found.get_foreign_keys("fruit", schema=schema) == []
        assert found.get_unique_constraints("fruit", schema=schema) == []
        assert found.get_check_constraints("fruit", schema=schema) == []
        assert found.get_sequence_names(schema=schema) == [] and found.get_materialized_view_names(schema=schema) == []
        assert found.get_enums(schema=schema) == [] and found.get_domains(schema=schema) == []
    assert found.get_table_options("fruit") == {}


def check_reflected_tables_are_queried():
    inspector()
    fruit = Table("fruit", MetaData(), schema="shop", autoload_with=engine)
    with engine.connect() as connection:
        assert connection.execute(fruit.select().where(fruit.c.id < 2)).fetchall()[0][:2] == (1, "apple")
    everything = MetaData()
    everything.reflect(engine, views=True)
    assert {"fruit", "odd", "dear"} <= set(everything.tables)


def check_pandas_reads_tables():
    inspector()
    whole = pd.read_sql_table("fruit", engine, schema="shop", index_col="id").sort_index()
    assert list(whole.columns) == ["name", "price"] and list(whole["name"]) == ["apple", "pear", "plum"]
    part = pd.read_sql_table("fruit", engine, columns=["name"], chunksize=2)
    assert sorted(name for rows in part for name in rows["name"]) == ["apple", "pear", "plum"]
    assert pd.read_sql_table("odd", engine).empty
