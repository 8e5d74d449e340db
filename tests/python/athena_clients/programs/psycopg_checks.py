"""psycopg over PostgreSQL's protocol: cursors of both kinds, parameters as text and in binary, prepared statements, cancelling."""

import datetime
import decimal
import os
import threading
import time
import uuid

import boto3
import psycopg
from psycopg.rows import dict_row

STAGING = os.environ["STAGING"] + "postgres/"


def connect(**more):
    """PGHOST, PGPORT, PGUSER and PGPASSWORD are in the environment."""
    return psycopg.connect(**{"autocommit": True, "dbname": "awsdatacatalog", **more})


def prepare():
    """A table of three rows, once."""
    with connect() as connection:
        if connection.execute("SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = 'shop'").fetchone()[0]:
            return
        bucket, prefix = STAGING.removeprefix("s3://").split("/", 1)
        boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}fruit/data.csv", Body=b"1,apple,1.50\n2,pear,\n3,plum,0.25\n")
        connection.execute("CREATE DATABASE shop")
        connection.execute(
            "CREATE EXTERNAL TABLE shop.fruit (id bigint COMMENT 'the key', name string, price decimal(10,2)) COMMENT 'what is sold' "
            f"ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION '{STAGING}fruit/'"
        )


def check_rows_have_their_types():
    sql = (
        "SELECT CAST(7 AS bigint), 'é', DATE '2024-02-29', TIMESTAMP '2024-02-29 10:00:00.5', CAST('12.50' AS decimal(10, 2)), true, "
        "CAST(NULL AS varchar), ARRAY[1, 2], X'00ff', 1.5e0, MAP(ARRAY['k'], ARRAY[1]), CAST('1' AS decimal(38, 0))"
    )
    for binary in (False, True):
        with connect() as connection:
            row = connection.execute(sql, binary=binary).fetchone()
        assert row[:7] == (
            7,
            "é",
            datetime.date(2024, 2, 29),
            datetime.datetime(2024, 2, 29, 10, 0, 0, 500000),
            decimal.Decimal("12.50"),
            True,
            None,
        ), (binary, row)
        assert row[7:] == ([1, 2], b"\x00\xff", 1.5, "{k=1}", decimal.Decimal(1)), (binary, row)


def check_a_table_is_read_with_parameters():
    prepare()
    with connect(dbname="shop", row_factory=dict_row) as connection:
        rows = connection.execute("SELECT id, name, price FROM fruit WHERE id >= %s AND name <> %s ORDER BY id", (2, "o'k")).fetchall()
        assert rows == [{"id": 2, "name": "pear", "price": None}, {"id": 3, "name": "plum", "price": decimal.Decimal("0.25")}], rows
        sums = connection.execute("SELECT sum(price) AS s FROM fruit WHERE price > %b", (decimal.Decimal("0.5"),)).fetchone()
        assert sums == {"s": decimal.Decimal("1.50")}, sums


def check_parameters_of_each_type_come_back():
    values = [7, -(2**40), "o'k; --", True, None, 2.5, decimal.Decimal("1.25"), datetime.date(1999, 12, 31), b"\x00'"]
    for form in ("%s", "%b", "%t"):
        with connect() as connection:
            for value in values:
                if form == "%b" and value is None:
                    continue
                found = connection.execute(f"SELECT {form}", (value,)).fetchone()[0]
                assert found == value, (form, value, found)


def check_parameters_in_binary_have_the_servers_types():
    """What psycopg sends with its own type: small integers, times with zones, texts as `text`."""
    zone = datetime.timezone.utc
    cases = [
        (datetime.datetime(2024, 2, 29, 10, 0, 0, 250000), "timestamp"),
        (datetime.datetime(1970, 1, 1, 0, 0, tzinfo=zone), "timestamp with time zone"),
        (datetime.time(23, 59, 59), "time"),
        (uuid.UUID("12151fd2-7586-11e9-8f9e-2a86e4085a59"), "varchar"),
        (-(2**15), "smallint"),
        (decimal.Decimal("-12345678901234567890.0001"), "decimal(38,4)"),
        (1e300, "double"),
        ("é" * 1000, "varchar"),
    ]
    with connect() as connection:
        for value, kind in cases:
            found = connection.execute(f"SELECT CAST(%b AS {kind})", (value,), binary=True).fetchone()[0]
            assert found == (str(value) if kind == "varchar" else value), (value, found)
        names = connection.execute("SELECT relname FROM pg_class WHERE relname = %b", ("pg_type",), binary=True).fetchall()
        assert names == [("pg_type",)], names
        for value in (datetime.date.max, datetime.date.min, datetime.datetime(9999, 12, 31, 23, 59, 59, 999000)):
            assert connection.execute("SELECT %b", (value,)).fetchone() == (value,)


# What PostgreSQL's JDBC driver, DBeaver and BI tools ask the catalog, shortened; with the rows that come.
ASKED = [
    (
        "SELECT nspname AS TABLE_SCHEM FROM pg_catalog.pg_namespace WHERE nspname <> 'pg_toast' AND (nspname !~ '^pg_temp_' OR "
        "nspname = (pg_catalog.current_schemas(true))[1]) AND nspname IN ('shop', 'pg_toast') ORDER BY TABLE_SCHEM",
        [("shop",)],
    ),
    (
        "SELECT n.nspname, c.relname, CASE n.nspname ~ '^pg_' WHEN true THEN 'SYSTEM TABLE' WHEN false THEN CASE c.relkind WHEN 'r' THEN "
        "'TABLE' WHEN 'v' THEN 'VIEW' ELSE NULL END ELSE NULL END, d.description FROM pg_catalog.pg_namespace n, pg_catalog.pg_class c "
        "LEFT JOIN pg_catalog.pg_description d ON (c.oid = d.objoid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass) "
        "WHERE c.relnamespace = n.oid AND n.nspname LIKE 'shop' AND c.relname LIKE 'frui_'",
        [("shop", "fruit", "TABLE", "what is sold")],
    ),
    (
        "SELECT * FROM (SELECT a.attname, a.atttypid, a.attnotnull OR (t.typtype = 'd' AND t.typnotnull) AS attnotnull, a.atttypmod, "
        "row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS attnum, pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS adsrc, "
        "dsc.description FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON (c.relnamespace = n.oid) "
        "JOIN pg_catalog.pg_attribute a ON (a.attrelid = c.oid) JOIN pg_catalog.pg_type t ON (a.atttypid = t.oid) "
        "LEFT JOIN pg_catalog.pg_attrdef def ON (a.attrelid = def.adrelid AND a.attnum = def.adnum) "
        "LEFT JOIN pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid) "
        "WHERE c.relkind IN ('r', 'v') AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname LIKE 'shop' AND c.relname LIKE 'fruit') c "
        "WHERE true ORDER BY attnum",
        [
            ("id", 20, False, -1, 1, None, "the key"),
            ("name", 25, False, -1, 2, None, None),
            ("price", 1700, False, (10 << 16 | 2) + 4, 3, None, None),
        ],
    ),
    (
        "SELECT ct.relname, (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ FROM pg_catalog.pg_class ct "
        "JOIN pg_catalog.pg_index i ON (ct.oid = i.indrelid) WHERE i.indisprimary",
        [],
    ),
    ("SELECT relname = 'fruit', c.oid::regclass::text FROM pg_class c WHERE c.oid = 'shop.fruit'::regclass", [(True, "fruit")]),
    ("SELECT to_regclass('nothing') IS NULL, to_regclass('shop.fruit') IS NULL, 'pg_catalog.pg_type'::regclass::oid", [(True, False, 1247)]),
    (
        "SELECT typinput = 'pg_catalog.array_in'::regproc AS is_array, typtype, typname FROM pg_catalog.pg_type "
        "LEFT JOIN (SELECT ns.oid AS nspoid, ns.nspname, r.r FROM pg_namespace AS ns JOIN (SELECT s.r, (current_schemas(false))[s.r] AS nspname "
        "FROM generate_series(1, array_upper(current_schemas(false), 1)) AS s (r)) AS r USING (nspname)) AS sp ON sp.nspoid = typnamespace "
        "WHERE pg_type.oid IN (1015, 1043) ORDER BY sp.r, pg_type.oid",
        [(True, "b", "_varchar"), (False, "b", "varchar")],
    ),
    ("SELECT oid::regtype::text FROM pg_type WHERE oid = to_regtype('bigint')", [("bigint",)]),
    ("SELECT EXISTS (SELECT 1 FROM pg_class WHERE relname = 'fruit'), EXISTS (SELECT 1 FROM pg_index)", [(True, False)]),
    ("SELECT obj_description('shop.fruit'::regclass, 'pg_class'), col_description('shop.fruit'::regclass, 1)", [("what is sold", "the key")]),
    ("SELECT setting FROM pg_settings WHERE name = 'max_index_keys'", [("32",)]),
    ("SELECT current_database(), current_schema(), inet_server_addr(), pg_is_in_recovery()", [("awsdatacatalog", "shop", None, False)]),
    ("SELECT count(*) > 500, bool_and(typname IS NOT NULL) FROM pg_type", [(True, True)]),
    ("SELECT rolname = current_user, rolsuper FROM pg_roles", [(True, False)]),
    ("SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop' AND table_name = 'fruit'", [("fruit",)]),
]


def check_what_tools_ask_the_catalog():
    prepare()
    with connect(dbname="shop") as connection:
        for sql, expected in ASKED:
            found = connection.execute(sql).fetchall()
            assert found == expected, (sql, found)
        try:
            connection.execute("SELECT 'nothing'::regclass::oid")
        except psycopg.Error as error:
            assert 'relation "nothing" does not exist' in str(error), error
        else:
            raise AssertionError("there is no such relation")


def check_a_statement_is_prepared_once():
    with connect() as connection:
        for number in range(8):
            assert connection.execute("SELECT %s + 1", (number,), prepare=True).fetchone() == (number + 1,)


def check_a_server_side_cursor_fetches_in_parts():
    with connect(autocommit=False) as connection:
        with connection.cursor(name="parts") as cursor:
            cursor.itersize = 700
            cursor.execute("SELECT n FROM UNNEST(sequence(1, 2500)) AS t (n) ORDER BY n")
            assert cursor.fetchone() == (1,)
            assert cursor.fetchmany(2) == [(2,), (3,)]
            assert [row[0] for row in cursor] == list(range(4, 2501))


def check_a_cursor_that_is_closed_early_stops_its_query():
    with connect(autocommit=False) as connection:
        with connection.cursor(name="early") as cursor:
            cursor.execute("SELECT a.n FROM UNNEST(sequence(1, 10000)) AS a (n) CROSS JOIN UNNEST(sequence(1, 10000)) AS b (m)")
            assert len(cursor.fetchmany(10)) == 10
        assert connection.execute("SELECT 1").fetchone() == (1,)


def check_many_rows_are_streamed():
    with connect() as connection:
        cursor = connection.cursor()
        total = sum(row[0] for row in cursor.stream("SELECT n FROM UNNEST(sequence(1, 10000)) AS t (n)"))
        assert total == 10000 * 10001 // 2


def check_errors_have_codes_and_places():
    prepare()
    cases = [
        ("SELECT nam FROM shop.fruit", psycopg.errors.UndefinedColumn),
        ("SELECT 1 FROM shop.nothing", psycopg.errors.UndefinedTable),
        ("SELECT 1 / 0", psycopg.errors.DivisionByZero),
        ("SELEC 1", psycopg.errors.SyntaxError),
        ("COPY t FROM STDIN", psycopg.errors.FeatureNotSupported),
        ("SELECT nofunction(1)", psycopg.errors.UndefinedFunction),
    ]
    with connect() as connection:
        for sql, kind in cases:
            try:
                connection.execute(sql)
            except kind as error:
                if kind is psycopg.errors.UndefinedColumn:
                    assert error.diag.statement_position == "8", error.diag.statement_position
            else:
                raise AssertionError(f"{sql} did not fail")
        assert connection.execute("SELECT 1").fetchone() == (1,)


def check_a_transaction_is_kept_account_of():
    with connect(autocommit=False) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        try:
            connection.execute("SELECT 1 / 0")
        except psycopg.errors.DivisionByZero:
            pass
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        try:
            connection.execute("SELECT 1")
        except psycopg.errors.InFailedSqlTransaction:
            pass
        else:
            raise AssertionError("the failed transaction took a statement")
        connection.rollback()
        assert connection.execute("SELECT 2").fetchone() == (2,)


def check_a_running_statement_is_cancelled():
    with connect() as connection:
        threading.Timer(0.5, connection.cancel_safe).start()
        began = time.monotonic()
        try:
            connection.execute("SELECT count(*) FROM UNNEST(sequence(1, 10000)) AS a (n), UNNEST(sequence(1, 10000)) AS b (n), UNNEST(sequence(1, 10000)) AS c (n)")
        except psycopg.errors.QueryCanceled:
            pass
        else:
            raise AssertionError("it was not cancelled")
        assert time.monotonic() - began < 10
        assert connection.execute("SELECT 1").fetchone() == (1,)


def check_settings_are_kept_and_shown():
    with connect(options="-c workgroup=primary -c TimeZone=Europe/Rome") as connection:
        assert connection.execute("SHOW workgroup").fetchone() == ("primary",)
        assert connection.execute("SHOW timezone").fetchone() == ("Europe/Rome",)
        connection.execute("SET application_name = 'a b'")
        assert connection.info.parameter_status("application_name") == "a b"
        assert connection.info.server_version >= 140000


def check_the_lake_is_shown_and_changed():
    prepare()
    with connect(dbname="shop") as connection:
        assert connection.execute("SHOW TABLES").fetchall() == [("fruit",)]
        described = connection.execute("DESCRIBE fruit").fetchall()
        assert [row[:2] for row in described] == [("id", "bigint"), ("name", "string"), ("price", "decimal(10,2)")], described
        connection.execute("CREATE VIEW cheap AS SELECT name FROM fruit WHERE price < 1")
        assert connection.execute("SELECT * FROM cheap").fetchall() == [("plum",)]
        connection.execute("DROP VIEW cheap")
        assert connection.execute("EXPLAIN SELECT * FROM fruit").fetchall()
