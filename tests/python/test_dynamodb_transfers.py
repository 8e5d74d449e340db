"""DynamoDB's imports from and exports to S3."""

import gzip
import hashlib
import json
import time
from base64 import b64encode
from decimal import Decimal

import pytest

from dynamo import index, invalid, refused, resource, table
from harness import wait_until


@pytest.fixture
def client(module_lake):
    return module_lake.client("dynamodb")


def imported(lake, name, bucket, prefix, **more):
    """Imports into a new table, and answers how that ended."""
    client = lake.client("dynamodb")
    parameters = {
        "TableName": name,
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
        **more.pop("table", {}),
    }
    source = {"S3Bucket": bucket, "S3KeyPrefix": prefix}
    begun = client.import_table(S3BucketSource=source, TableCreationParameters=parameters, **more)["ImportTableDescription"]
    assert begun["ImportStatus"] == "IN_PROGRESS"
    describe = lambda: client.describe_import(ImportArn=begun["ImportArn"])["ImportTableDescription"]
    wait_until(lambda: describe()["ImportStatus"] != "IN_PROGRESS", 60, 0.05, "the import")
    return describe()


def exported(lake, items, bucket, **more):
    client = lake.client("dynamodb")
    spec = {"PointInTimeRecoveryEnabled": True}
    client.update_continuous_backups(TableName=items.name, PointInTimeRecoverySpecification=spec)
    begun = client.export_table_to_point_in_time(TableArn=items.table_arn, S3Bucket=bucket, **more)["ExportDescription"]
    describe = lambda: client.describe_export(ExportArn=begun["ExportArn"])["ExportDescription"]
    wait_until(lambda: describe()["ExportStatus"] != "IN_PROGRESS", 60, 0.05, "the export")
    return describe()


def test_what_is_exported_can_be_imported(module_lake, client):
    s3 = module_lake.client("s3")
    module_lake.bucket("exports")
    items = table(module_lake)
    with items.batch_writer() as batch:
        for i in range(500):
            batch.put_item(Item={"id": f"i{i}", "n": Decimal(i) / 4, "list": [i, None, {"x": True}], "set": {"a", str(i)}, "bytes": b"\x00\xff"})
    text = refused("PointInTimeRecoveryUnavailableException", client.export_table_to_point_in_time, TableArn=items.table_arn, S3Bucket="exports")
    assert items.name in text
    done = exported(module_lake, items, "exports", S3Prefix="daily/")
    assert (done["ExportStatus"], done["ItemCount"]) == ("COMPLETED", 500), done
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket="exports", Prefix="daily/")["Contents"]]
    folder = f"daily/AWSDynamoDB/{done['ExportArn'].rsplit('/')[-1]}"
    assert all(key.startswith(folder) for key in keys) and done["ExportManifest"] in keys
    read = lambda key: s3.get_object(Bucket="exports", Key=key)["Body"].read()
    summary = json.loads(read(f"{folder}/manifest-summary.json"))
    assert (summary["itemCount"], summary["outputFormat"], summary["exportType"]) == (500, "DYNAMODB_JSON", "FULL_EXPORT")
    files = [json.loads(line) for line in read(summary["manifestFilesS3Key"]).splitlines()]
    assert sum(file["itemCount"] for file in files) == 500
    data = read(files[0]["dataFileS3Key"])
    assert b64encode(hashlib.md5(data).digest()).decode() == files[0]["md5Checksum"]
    lines = [json.loads(line)["Item"] for line in gzip.decompress(data).splitlines()]
    assert {"S": "i7"} in [line["id"] for line in lines]
    ended = imported(module_lake, "again", "exports", f"{folder}/data/", InputFormat="DYNAMODB_JSON", InputCompressionType="GZIP")
    assert ended["ImportStatus"] == "COMPLETED", ended
    assert (ended["ProcessedItemCount"], ended["ImportedItemCount"], ended["ErrorCount"]) == (500, 500, 0)
    scan = lambda table: sorted(table.scan()["Items"], key=lambda item: item["id"])
    assert scan(resource(module_lake).Table("again")) == scan(items)
    assert ended["ImportArn"] in [one["ImportArn"] for one in client.list_imports(TableArn=ended["TableArn"])["ImportSummaryList"]]
    assert done["ExportArn"] in [one["ExportArn"] for one in client.list_exports()["ExportSummaries"]]


def test_csv_becomes_items_with_the_types_of_keys(module_lake, client):
    module_lake.bucket("csv")
    module_lake.put("csv", "in/a.csv", b'id,at,city,note\na,1,Basel,"said ""hi"", twice"\nb,2.50,Bern,\n')
    module_lake.put("csv", "in/b.csv", b"id,at,city,note\nc,-3,,plain\n")
    more = {
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind} for name, kind in (("id", "S"), ("at", "N"), ("city", "S"))],
        "GlobalSecondaryIndexes": [index("by-city", "city")],
    }
    ended = imported(module_lake, "from-csv", "csv", "in/", InputFormat="CSV", table=more)
    assert (ended["ImportStatus"], ended["ImportedItemCount"]) == ("COMPLETED", 3), ended
    found = sorted(resource(module_lake).Table("from-csv").scan()["Items"], key=lambda item: item["id"])
    assert found == [
        {"id": "a", "at": 1, "city": "Basel", "note": 'said "hi", twice'},
        {"id": "b", "at": Decimal("2.5"), "city": "Bern", "note": ""},
        {"id": "c", "at": -3, "note": "plain"},
    ]
    shown = client.describe_table(TableName="from-csv")["Table"]
    assert (shown["ItemCount"], shown["GlobalSecondaryIndexes"][0]["ItemCount"]) == (3, 2)


def test_options_say_how_csv_is_read(module_lake):
    module_lake.bucket("options")
    module_lake.put("options", "x.csv", "x;1\ny;2\n".encode())
    options = {"Csv": {"Delimiter": ";", "HeaderList": ["id", "n"]}}
    ended = imported(module_lake, "options", "options", "x", InputFormat="CSV", InputFormatOptions=options)
    assert ended["ImportedItemCount"] == 2, ended
    assert resource(module_lake).Table("options").get_item(Key={"id": "y"})["Item"] == {"id": "y", "n": "2"}


def test_a_quote_without_an_end_is_told(module_lake):
    module_lake.bucket("open")
    module_lake.put("open", "x.csv", b'id,note\na,plain\nb,"closed"\nc,"open\nd,lost\n')
    ended = imported(module_lake, "open-quote", "open", "x", InputFormat="CSV")
    assert (ended["ImportStatus"], ended["FailureCode"]) == ("FAILED", "ItemValidationError"), ended
    assert (ended["ImportedItemCount"], ended["ErrorCount"]) == (2, 1)
    logs, stream = module_lake.client("logs"), ended["ImportArn"].rsplit("/")[-1] + "/error"

    def told():
        try:
            return logs.get_log_events(logGroupName="/aws-dynamodb/imports", logStreamName=stream, startFromHead=True)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []

    wait_until(lambda: told(), 20, 0.1, "the line of the log")
    [reason] = json.loads(told()[0]["message"])["errorMessages"]
    assert "the quote that begins in line 4 or after it does not end" in reason
    assert sorted(item["id"] for item in resource(module_lake).Table("open-quote").scan()["Items"]) == ["a", "b"]


def test_lines_that_are_no_items_are_told_in_the_log(module_lake):
    module_lake.bucket("bad")
    lines = [{"Item": {"id": {"S": "a"}}}, {"Item": {"id": {"N": "1"}}}, {"Thing": 1}, {"Item": {"id": {"S": "b"}, "x": {"Q": 1}}}]
    text = "\n".join(json.dumps(line) for line in lines) + "\nnot json\n" + json.dumps({"Item": {"id": {"S": "z"}}})
    module_lake.put("bad", "lines.json", text.encode())
    ended = imported(module_lake, "bad-lines", "bad", "", InputFormat="DYNAMODB_JSON")
    assert (ended["ImportStatus"], ended["FailureCode"]) == ("FAILED", "ItemValidationError"), ended
    assert (ended["ImportedItemCount"], ended["ErrorCount"], ended["ProcessedItemCount"]) == (2, 4, 6)
    logs = module_lake.client("logs")
    stream = ended["ImportArn"].rsplit("/")[-1] + "/error"

    def told():
        try:
            return logs.get_log_events(logGroupName="/aws-dynamodb/imports", logStreamName=stream, startFromHead=True)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []

    wait_until(lambda: len(told()) == 4, 20, 0.1, "the lines of the log")
    first = json.loads(told()[0]["message"])
    assert first["itemS3Pointer"] == {"bucket": "bad", "key": "lines.json", "itemIndex": 2}
    assert "Type mismatch for key id" in first["errorMessages"][0]
    assert module_lake.client("dynamodb").describe_table(TableName="bad-lines")["Table"]["TableStatus"] == "ACTIVE"


def test_an_import_of_nothing_leaves_no_table(module_lake, client):
    ended = imported(module_lake, "nothing", "no-such-bucket", "x", InputFormat="CSV")
    assert (ended["ImportStatus"], ended["FailureCode"]) == ("FAILED", "S3NoSuchBucket")
    assert "nothing" not in client.list_tables()["TableNames"]
    parameters = {
        "TableName": "ion",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    text = invalid(client.import_table, S3BucketSource={"S3Bucket": "bucket"}, TableCreationParameters=parameters, InputFormat="ION")
    assert "ION is not supported" in text
    items = table(module_lake)
    failed = exported(module_lake, items, "no-such-bucket")
    assert (failed["ExportStatus"], failed["FailureCode"]) == ("FAILED", "S3NoSuchBucket")


def test_imports_and_exports_go_on_after_a_kill(lake):
    lake.bucket("data")
    rows = "".join(f"i{i},{'x' * 40}\n" for i in range(60_000))
    lake.put("data", "in/rows.csv", ("id,text\n" + rows).encode())
    client = lake.client("dynamodb")
    parameters = {
        "TableName": "killed",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    source = {"S3Bucket": "data", "S3KeyPrefix": "in/"}
    arn = client.import_table(S3BucketSource=source, TableCreationParameters=parameters, InputFormat="CSV")["ImportTableDescription"]["ImportArn"]
    time.sleep(0.5)
    lake.kill9()
    lake.start()
    client = lake.client("dynamodb")
    describe = lambda: client.describe_import(ImportArn=arn)["ImportTableDescription"]
    wait_until(lambda: describe()["ImportStatus"] != "IN_PROGRESS", 120, 0.1, "the import")
    assert (describe()["ImportStatus"], describe()["ImportedItemCount"]) == ("COMPLETED", 60_000)
    assert client.describe_table(TableName="killed")["Table"]["ItemCount"] == 60_000
    items = resource(lake).Table("killed")
    spec = {"PointInTimeRecoveryEnabled": True}
    client.update_continuous_backups(TableName="killed", PointInTimeRecoverySpecification=spec)
    arn = client.export_table_to_point_in_time(TableArn=items.table_arn, S3Bucket="data", S3Prefix="out")["ExportDescription"]["ExportArn"]
    time.sleep(0.3)
    lake.kill9()
    lake.start()
    client = lake.client("dynamodb")
    describe = lambda: client.describe_export(ExportArn=arn)["ExportDescription"]
    wait_until(lambda: describe()["ExportStatus"] != "IN_PROGRESS", 120, 0.1, "the export")
    assert (describe()["ExportStatus"], describe()["ItemCount"]) == ("COMPLETED", 60_000)
    s3 = lake.client("s3")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket="data", Prefix="out/")["Contents"]]
    lines = sum(
        len(gzip.decompress(s3.get_object(Bucket="data", Key=key)["Body"].read()).splitlines()) for key in keys if key.endswith(".json.gz")
    )
    assert lines == 60_000
