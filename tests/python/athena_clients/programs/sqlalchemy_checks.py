"""SQLAlchemy over PyAthena: queries, reflection, tables from metadata."""

import os

import boto3
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.schema import MetaData, Table

STAGING = os.environ["STAGING"] + "sqlalchemy/"
engine = create_engine(f"awsathena+rest://@athena.us-east-1.amazonaws.com:443/alchemy?s3_staging_dir={STAGING}&poll_interval=0.02")


def prepare():
    glue = boto3.client("glue")
    if any(database["Name"] == "alchemy" for database in glue.get_databases()["DatabaseList"]):
        return
    glue.create_database(DatabaseInput={"Name": "alchemy"})
    bucket, prefix = STAGING.removeprefix("s3://").split("/", 1)
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}pets/data.csv", Body=b"1,cat\n2,dog\n")
    with engine.connect() as connection:
        connection.execute(
            text(
                "CREATE EXTERNAL TABLE alchemy.pets (id bigint, kind string) PARTITIONED BY (day string) ROW FORMAT DELIMITED "
                f"FIELDS TERMINATED BY ',' LOCATION '{STAGING}tables/pets/'"
            )
        )
        connection.execute(text(f"ALTER TABLE alchemy.pets ADD PARTITION (day = 'monday') LOCATION '{STAGING}pets/'"))


def check_a_query_gives_rows():
    prepare()
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT id, kind, day FROM pets WHERE kind = :kind"), {"kind": "dog"}).fetchall()
    assert rows == [(2, "dog", "monday")], rows


def check_reflection_sees_databases_tables_and_columns():
    prepare()
    inspector = inspect(engine)
    assert "alchemy" in inspector.get_schema_names()
    assert inspector.get_table_names("alchemy") == ["pets"]
    columns = {column["name"]: str(column["type"]).upper() for column in inspector.get_columns("pets", "alchemy")}
    assert list(columns) == ["id", "kind", "day"] and columns["id"] == "BIGINT", columns
    assert inspector.has_table("pets", "alchemy")


def check_a_reflected_table_is_queried():
    prepare()
    pets = Table("pets", MetaData(schema="alchemy"), autoload_with=engine)
    with engine.connect() as connection:
        assert connection.execute(pets.select().where(pets.c.id < 2)).fetchall() == [(1, "cat", "monday")]
