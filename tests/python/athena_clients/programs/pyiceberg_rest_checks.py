"""PyIceberg through the Iceberg REST endpoint, signed as for Glue's: what the protocol's clients do to databases and tables."""

import json
import os
import threading
import urllib.error
import urllib.parse
import urllib.request

import boto3
import pyarrow as pa
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceNotEmptyError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import LongType, NestedField, StringType

ENDPOINT, STAGING = os.environ["AWS_ENDPOINT_URL"], os.environ["STAGING"] + "rest/"
KEYS = {"s3.access-key-id": os.environ["AWS_ACCESS_KEY_ID"], "s3.secret-access-key": os.environ["AWS_SECRET_ACCESS_KEY"]}
ACCOUNT = boto3.client("sts").get_caller_identity()["Account"]
ROWS = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "kind": ["a", "b", "a"]})


def connect(**more):
    signed = {"rest.sigv4-enabled": "true", "rest.signing-name": "glue", "rest.signing-region": "us-east-1"}
    return load_catalog("rest", type="rest", uri=f"{ENDPOINT}/iceberg", warehouse=ACCOUNT, **signed, **KEYS, **more)


catalog = connect()


def table(name):
    catalog.create_namespace_if_not_exists("rest")
    made = catalog.create_table(f"rest.{name}", ROWS.schema, location=f"{STAGING}{name}")
    made.append(ROWS)
    return made


def ids(name):
    return sorted(catalog.load_table(f"rest.{name}").scan().to_arrow()["id"].to_pylist())


def raises(error, work, *arguments):
    try:
        work(*arguments)
    except error:
        return
    raise AssertionError(f"{error.__name__} was expected")


def request(method, path, body=None, secret=None):
    """A signed request of our own: the status and the JSON."""
    data = None if body is None else json.dumps(body).encode()
    plain = AWSRequest(method, f"{ENDPOINT}/iceberg/v1/{path}", data=data, headers={"content-type": "application/json"})
    keys = Credentials(os.environ["AWS_ACCESS_KEY_ID"], secret or os.environ["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(keys, "glue", "us-east-1").add_auth(plain)
    try:
        with urllib.request.urlopen(urllib.request.Request(plain.url, data, dict(plain.headers), method=method)) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read() or b"null")


def check_databases_are_namespaces():
    catalog.create_namespace("rest_names", {"comment": "of the protocol", "owner": "me"})
    assert ("rest_names",) in catalog.list_namespaces()
    assert catalog.load_namespace_properties("rest_names") == {"comment": "of the protocol", "owner": "me"}
    done = catalog.update_namespace_properties("rest_names", removals={"owner", "gone"}, updates={"team": "x"})
    assert (done.removed, done.updated, done.missing) == (["owner"], ["team"], ["gone"])
    assert boto3.client("glue").get_database(Name="rest_names")["Database"]["Description"] == "of the protocol"
    catalog.drop_namespace("rest_names")
    raises(NoSuchNamespaceError, catalog.load_namespace_properties, "rest_names")


def check_rows_go_both_ways():
    made = table("both")
    made.append(ROWS)
    assert ids("both") == [1, 1, 2, 2, 3, 3]
    made.delete("id == 1")
    assert ids("both") == [2, 2, 3, 3]
    assert ("rest", "both") in catalog.list_tables("rest")
    assert catalog.table_exists("rest.both") and not catalog.table_exists("rest.neither")


def check_the_glue_catalog_shows_the_same_table():
    made = table("seen")
    row = boto3.client("glue").get_table(DatabaseName="rest", Name="seen")["Table"]
    assert row["Parameters"]["table_type"].upper() == "ICEBERG"
    assert row["Parameters"]["metadata_location"] == made.metadata_location
    assert [column["Name"] for column in row["StorageDescriptor"]["Columns"]] == ["id", "kind"]
    other = load_catalog("glue", type="glue", **{"glue.endpoint": ENDPOINT, "glue.region": "us-east-1", "s3.endpoint": ENDPOINT}, **KEYS)
    other.load_table("rest.seen").append(ROWS)
    assert len(ids("seen")) == 6


def check_partitions_and_schemas_evolve():
    fields = NestedField(1, "id", LongType(), required=False), NestedField(2, "kind", StringType(), required=False)
    spec = PartitionSpec(PartitionField(2, 1000, IdentityTransform(), "kind"))
    made = catalog.create_table("rest.parted", Schema(*fields), location=f"{STAGING}parted", partition_spec=spec)
    made.append(ROWS)
    with made.update_schema() as update:
        update.add_column("note", StringType())
    made.append(ROWS.append_column("note", pa.array(["x", "y", "z"])))
    found = catalog.load_table("rest.parted").scan(row_filter="kind == 'b'").to_arrow()
    assert sorted(found["note"].to_pylist(), key=str) == [None, "y"]


def check_a_transaction_that_creates_is_whole():
    schema = ROWS.schema
    with catalog.create_table_transaction("rest.staged", schema, location=f"{STAGING}staged") as transaction:
        assert not catalog.table_exists("rest.staged")
        transaction.append(ROWS)
    assert ids("staged") == [1, 2, 3]


def check_names_that_are_taken_or_missing():
    table("taken")
    raises(TableAlreadyExistsError, table, "taken")
    raises(NoSuchTableError, catalog.load_table, "rest.missing")
    raises(NoSuchTableError, catalog.drop_table, "rest.missing")
    raises(NamespaceNotEmptyError, catalog.drop_namespace, "rest")
    raises(NoSuchNamespaceError, catalog.create_table, "nowhere.t", ROWS.schema)


def check_tables_are_renamed_registered_and_dropped():
    made = table("first")
    catalog.rename_table("rest.first", "rest.second")
    assert not catalog.table_exists("rest.first") and ids("second") == [1, 2, 3]
    catalog.register_table("rest.third", made.metadata_location)
    assert ids("third") == [1, 2, 3]
    catalog.drop_table("rest.third")
    assert ids("second") == [1, 2, 3], "a drop without purge leaves the files"
    catalog.purge_table("rest.second")
    keys = boto3.client("s3").list_objects_v2(Bucket=STAGING.split("/")[2], Prefix="rest/first/")
    assert keys["KeyCount"] == 0


def check_no_commit_of_two_at_once_is_lost():
    table("raced")
    committed = []

    def write(n):
        for _ in range(4):
            while True:
                try:
                    connect().load_table("rest.raced").append(ROWS)
                    committed.append(n)
                    break
                except CommitFailedException:
                    continue

    writers = [threading.Thread(target=write, args=[n]) for n in range(3)]
    [writer.start() for writer in writers]
    [writer.join() for writer in writers]
    assert len(ids("raced")) == 3 + 3 * len(committed) == 39


def bearer(**more):
    """A catalog by a bearer token alone: it has no keys of S3's but those that the catalog gives it."""
    return load_catalog("bearer", type="rest", uri=f"{ENDPOINT}/iceberg", warehouse=ACCOUNT, **more)


def a_token(form, **headers):
    """Asks for a token: the status and the JSON."""
    asked = urllib.request.Request(f"{ENDPOINT}/iceberg/v1/oauth/tokens", urllib.parse.urlencode(form).encode(), headers)
    try:
        with urllib.request.urlopen(asked) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def with_token(token, path="config"):
    asked = urllib.request.Request(f"{ENDPOINT}/iceberg/v1/{path}", headers={"authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(asked) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


CLIENT = {"client_id": os.environ["AWS_ACCESS_KEY_ID"], "client_secret": os.environ["AWS_SECRET_ACCESS_KEY"]}


def check_a_clients_credential_gets_a_token():
    held = {name: os.environ.pop(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    try:
        mine = bearer(credential=f"{CLIENT['client_id']}:{CLIENT['client_secret']}")
        mine.create_namespace_if_not_exists("rest")
        made = mine.create_table("rest.by_credential", ROWS.schema, location=f"{STAGING}by_credential")
        made.append(ROWS)
        assert mine.load_table("rest.by_credential").scan().to_arrow().num_rows == 3
        given = mine.load_credentials("rest.by_credential", f"{STAGING}by_credential")
        assert given["s3.access-key-id"].startswith("ASIA"), given
    finally:
        os.environ.update(held)
    assert ids("by_credential") == [1, 2, 3]


def check_a_token_opens_the_catalog():
    table("by_token")
    status, answer = a_token({"grant_type": "client_credentials", **CLIENT, "scope": "catalog"})
    assert (status, answer["token_type"]) == (200, "bearer") and 3000 < answer["expires_in"] <= 3600, answer
    assert answer["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert ("rest", "by_token") in bearer(token=answer["access_token"]).list_tables("rest")
    # That of a session of STS's is one too, by its key and token.
    keys = boto3.client("sts").get_session_token(DurationSeconds=900)["Credentials"]
    token = f"{keys['AccessKeyId']}.{keys['SessionToken']}"
    assert bearer(token=token).load_table("rest.by_token").scan().to_arrow().num_rows == 3
    client = {"client_id": keys["AccessKeyId"], "client_secret": keys["SessionToken"]}
    status, answer = a_token({"grant_type": "client_credentials", **client})
    assert (status, answer["access_token"]) == (200, token) and 800 < answer["expires_in"] <= 900, answer


def check_tokens_and_credentials_that_are_wrong_are_refused_by_name():
    good = {"grant_type": "client_credentials", **CLIENT}
    for form, expected in [
        ({**good, "client_secret": "wrong"}, (401, "invalid_client")),
        ({**good, "client_id": "AKIANOBODY"}, (401, "invalid_client")),
        ({"grant_type": "client_credentials"}, (401, "invalid_client")),
        ({**good, "grant_type": "password"}, (400, "unsupported_grant_type")),
        ({}, (400, "invalid_request")),
    ]:
        status, answer = a_token(form)
        assert (status, answer["error"]) == expected, (form, answer)
    token = a_token(good)[1]["access_token"]
    assert with_token(token)[0] == 200
    for wrong in ("", "x", token[:-1], token + "x", "A" + token, CLIENT["client_id"], f"{CLIENT['client_id']}.{CLIENT['client_secret']}"):
        for path in ("config", "namespaces", "namespaces/rest/tables/by_token"):
            status, answer = with_token(wrong, path)
            assert (status, answer["error"]["type"], answer["error"]["code"]) == (401, "NotAuthorizedException", 401), (wrong, answer)
    raises(Exception, lambda: bearer(credential=f"{CLIENT['client_id']}:wrong").list_namespaces())
    raises(Exception, lambda: bearer(token="nonsense").list_namespaces())


def check_requests_that_are_wrong_are_refused_by_name():
    status, answer = request("GET", "config?warehouse=999999999999")
    assert (status, answer["error"]["type"]) == (404, "NotFoundException")
    status, answer = request("GET", "config", secret="wrong")
    assert status == 403, answer
    status, answer = request("POST", "namespaces/rest/tables", {"name": "x"})
    assert (status, answer["error"]["type"]) == (400, "BadRequestException")
    schema = {"type": "struct", "fields": [{"id": 1, "name": "a", "type": "nonsense", "required": False}]}
    body = {"name": "x", "location": f"{STAGING}x", "schema": schema}
    assert request("POST", "namespaces/rest/tables", body)[0] == 400
    good = {"type": "struct", "schema-id": 0, "fields": [{"id": 1, "name": "a", "type": "long", "required": False}]}
    for location in ("file:///etc", "s3://no-such-bucket-here/x"):
        status, answer = request("POST", "namespaces/rest/tables", {"name": "x", "location": location, "schema": good})
        assert status in (400, 404), (status, answer)
    status, answer = request("GET", "namespaces/a%1Fb/tables")
    assert (status, answer["error"]["type"]) == (404, "NoSuchNamespaceException")
    with_bad_metadata = {"name": "y", "metadata-location": "s3://no-such-bucket-here/m.json"}
    assert request("POST", "namespaces/rest/register", with_bad_metadata)[0] in (400, 404)
    assert not catalog.table_exists("rest.x") and not catalog.table_exists("rest.y")
    anonymous = urllib.request.Request(f"{ENDPOINT}/iceberg/v1/config")
    try:
        urllib.request.urlopen(anonymous)
    except urllib.error.HTTPError as refused:
        assert refused.code in (403, 404)
    else:
        raise AssertionError("nobody signed that")
