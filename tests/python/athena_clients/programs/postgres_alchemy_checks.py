"""SQLAlchemy's own PostgreSQL dialect over the lake."""

import os

from psycopg_checks import prepare
from sqlalchemy import create_engine, text

environment = os.environ
engine = create_engine(
    f"postgresql+psycopg://{environment['PGUSER']}:{environment['PGPASSWORD']}@{environment['PGHOST']}:{environment['PGPORT']}/shop"
)


def check_a_query_gives_rows():
    prepare()
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT id, name FROM fruit WHERE id > :id ORDER BY id"), {"id": 1}).fetchall()
    assert rows == [(2, "pear"), (3, "plum")], rows
