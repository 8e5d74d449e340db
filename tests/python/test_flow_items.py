"""Flows that end in a table of items: files become items once, duplicates drop out, and what fits nowhere is in quarantine."""

import gzip
import io
import json
import random
import re
import time

import pytest
from harness import Smtp
from lakes import last_run, settle

FLOW = '[[flow]]\nname = "company"\nfrom = "s3://raw/company/"\nto = "dynamodb:company"\n'
JOB = "millpond-flow-company"


def scan(lake, table="company"):
    """All items, without types."""
    from boto3.dynamodb.types import TypeDeserializer

    read = TypeDeserializer().deserialize
    pages = lake.client("dynamodb").get_paginator("scan").paginate(TableName=table)
    return [{name: read(value) for name, value in item.items()} for page in pages for item in page["Items"]]


def by_id(items):
    return {item["id"]: item for item in items}


def plain(item):
    """An item without what says when and whence it came."""
    return {name: value for name, value in item.items() if name not in ("id", "ingestion_timestamp", "source_file")}


def stats(lake):
    """State and message of the last run."""
    run = last_run(lake, JOB)
    return run["JobRunState"], run.get("ErrorMessage") or ""


def quarantine(lake, table="raw.company_quarantine"):
    return lake.sql(f'select source_file, line, "column", value, reason from {table} order by source_file, line')


def test_rows_without_a_key_become_items_once_with_an_id_of_their_own(new_lake):
    lake = new_lake(FLOW)
    lake.put("raw", "company/a.csv", "name,employees,founded\nAcme,007,1990-01-02\nBeta,12,\nAcme,007,1990-01-02\n")
    settle(lake)
    items = scan(lake)
    assert sorted((item["name"], item["employees"], item.get("founded")) for item in items) == [("Acme", "007", "1990-01-02"), ("Beta", "12", None)]
    for item in items:
        assert re.fullmatch("[0-9a-f]{32}", item["id"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", item["ingestion_timestamp"])
        assert item["source_file"] == "s3://raw/company/a.csv"
    assert stats(lake) == ("SUCCEEDED", "1 of 3 rows were duplicates")
    table = lake.client("dynamodb").describe_table(TableName="company")["Table"]
    assert (table["ItemCount"], table["KeySchema"]) == (2, [{"AttributeName": "id", "KeyType": "HASH"}])
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"

    # The same rows in another file, in other columns' order, and a new one: duplicates drop out, ids stay.
    before = {item["id"] for item in items}
    lake.put("raw", "company/b.csv", "founded,name,employees\n1990-01-02,Acme,007\n2001-05-06,Gamma,5\n")
    settle(lake)
    items = scan(lake)
    assert len(items) == 3 and before < {item["id"] for item in items}
    # The same bytes again are the same version.
    lake.put("raw", "company/b.csv", "founded,name,employees\n1990-01-02,Acme,007\n2001-05-06,Gamma,5\n")
    settle(lake)
    assert len(scan(lake)) == 3


def test_keys_that_are_given_make_items_that_later_rows_replace(new_lake):
    lake = new_lake(FLOW + 'key = "id"\n')
    lake.put("raw", "company/a.csv", "id,name,employees\n1,Acme,10\n2,Beta,20\n1,Acme Inc,11\n")
    settle(lake)
    assert {key: plain(item) for key, item in by_id(scan(lake)).items()} == {
        "1": {"name": "Acme Inc", "employees": "11"},
        "2": {"name": "Beta", "employees": "20"},
    }
    # An overwritten file contributes its new version.
    lake.put("raw", "company/a.csv", "id,name,employees\n2,Beta Ltd,21\n3,Gamma,30\n")
    settle(lake)
    assert {key: item["name"] for key, item in by_id(scan(lake)).items()} == {"1": "Acme Inc", "2": "Beta Ltd", "3": "Gamma"}
    assert stats(lake) == ("SUCCEEDED", "1 items took the place of others with their key")


def test_the_column_of_a_key_may_differ_in_case(new_lake):
    lake = new_lake(FLOW + 'key = "CompanyId"\n')
    lake.put("raw", "company/a.csv", "CompanyId,name\n18,Acme\n")
    settle(lake)
    lake.put("raw", "company/b.csv", "COMPANYID,name\n18,Acme Inc\n")
    settle(lake)
    [item] = scan(lake)
    assert (item["CompanyId"], item["name"]) == ("18", "Acme Inc")


def test_a_key_of_ones_own_that_no_column_is_called_by_is_told(new_lake):
    lake = new_lake(FLOW + 'key = "CompanyId"\n')
    lake.put("raw", "company/a.csv", "company,name\n19,Beta\n")
    settle(lake)
    assert stats(lake) == ("SUCCEEDED", "the rows have no column CompanyId: each item's is a hash of its row")
    [item] = scan(lake)
    assert re.fullmatch("[0-9a-f]{32}", item["CompanyId"])


def test_rows_that_cannot_be_items_are_in_quarantine_and_hold_nobody_up(new_lake):
    lake = new_lake(FLOW + 'notify = ["mailto:ops@example.com"]\n')
    good = "id,name\n" + "".join(f"{n},name {n}\n" for n in range(100))
    lake.put("raw", "company/good.csv", good)
    settle(lake)
    long, large = "k" * 2_049, "x" * 410_000
    lake.put("raw", "company/bad.csv", f"id,name\n200,fine\n,no key\n201,too,many\n{long},long key\n202,{large}\n203,fine\n")
    lake.put("raw", "company/broken.csv.gz", gzip.compress(good.encode() * 2_000)[:-30])
    settle(lake)
    items = by_id(scan(lake))
    assert len(items) == 102 and {"200", "203"} < set(items)
    found = quarantine(lake)
    lines = [(row[1], row[2]) for row in found if row[0] == "s3://raw/company/bad.csv"]
    assert lines == [("3", "id"), ("4", None), ("5", "id"), ("6", None)], found
    reasons = [row[4] for row in found if row[0] == "s3://raw/company/bad.csv"]
    assert "missing" in reasons[0] or "empty" in reasons[0]
    assert "3 fields" in reasons[1] and "2048" in reasons[2] and "bytes" in reasons[3], reasons
    assert [row[0] for row in found if row[0].endswith(".gz")] == ["s3://raw/company/broken.csv.gz"]
    runs = lake.client("glue").get_job_runs(JobName=JOB)["JobRuns"]
    assert {run["JobRunState"] for run in runs} == {"SUCCEEDED"}
    assert any("rows went to raw.company_quarantine" in run.get("ErrorMessage", "") for run in runs), runs
    # It is told, and shown.
    assert "raw.company_quarantine: " in lake.millpond("mail", "show", "latest")
    assert "raw.company_quarantine" in lake.millpond("runs")
    assert "dynamodb:company" in lake.millpond("flow", "list")
    shown = lake.millpond("flow", "show", "company")
    assert "items of table company, with the key id" in shown, shown


def test_typed_items_have_numbers_and_nested_values(new_lake):
    from decimal import Decimal

    lake = new_lake(FLOW + 'key = ["country", "id"]\ntypes = "typed"\nsource_file = false\n')
    rows = [
        {"country": "de", "id": "1", "size": 10, "rate": 0.1, "active": True, "tags": ["a", "b"], "site": {"town": "Bonn", "floors": 3}},
        {"country": "de", "id": "2", "size": 12345678901234567, "rate": 1e-5, "active": False, "tags": [], "site": {"town": "Ulm", "floors": None}},
    ]
    lake.put("raw", "company/a.json", "\n".join(map(json.dumps, rows)) + "\n")
    settle(lake)
    items = by_id(scan(lake))
    assert items["1"]["size"] == 10 and items["1"]["rate"] == Decimal("0.1") and items["1"]["active"] is True
    assert items["1"]["tags"] == ["a", "b"] and items["1"]["site"] == {"town": "Bonn", "floors": 3}
    assert items["2"]["size"] == 12345678901234567 and items["2"]["site"] == {"town": "Ulm"}
    assert "source_file" not in items["1"]
    got = lake.client("dynamodb").query(
        TableName="company", KeyConditionExpression="country = :c AND id > :i", ExpressionAttributeValues={":c": {"S": "de"}, ":i": {"S": "1"}}
    )
    assert [item["id"]["S"] for item in got["Items"]] == ["2"]
    # A value that is not of its column's type is quarantined where types count.
    lake.put("raw", "company/b.json", '{"country": "fr", "id": "3", "size": "many"}\n{"country": "fr", "id": "4", "size": 1}\n')
    settle(lake)
    assert set(by_id(scan(lake))) == {"1", "2", "4"}
    assert [(row[2], row[3]) for row in quarantine(lake)] == [("size", "many")]


def test_parquet_is_a_source_too(new_lake):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    lake = new_lake(FLOW + 'types = "typed"\n')
    body = io.BytesIO()
    parquet.write_table(pa.table({"name": ["a", "b", "b"], "n": [1, 2, 2]}), body)
    lake.put("raw", "company/a.parquet", body.getvalue())
    settle(lake)
    assert sorted((item["name"], int(item["n"])) for item in scan(lake)) == [("a", 1), ("b", 2)]


def test_sql_makes_the_items(new_lake):
    lake = new_lake(FLOW + 'key = "id"\nsql = "select id, upper(name) as name from input where id < 3"\n')
    lake.put("raw", "company/a.csv", "id,name\n1,a\n2,b\n3,c\n")
    settle(lake)
    assert {key: item["name"] for key, item in by_id(scan(lake)).items()} == {"1": "A", "2": "B"}


def create_table(lake, name, key, kind="S"):
    lake.client("dynamodb").create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind}],
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


def test_a_table_that_is_there_is_used_where_its_key_suits_and_else_the_flow_is_refused(lake):
    create_table(lake, "other", "pk")
    create_table(lake, "numbers", "id", "N")

    def add(*more):
        return lake.millpond("flow", "add", "company", "--from", "s3://raw/company/", *more, check=False)

    refused = add("--to", "dynamodb:other")
    assert refused.returncode != 0 and "has the key pk (S), and the key is said to be id" in refused.stderr, refused.stderr
    refused = add("--to", "dynamodb:numbers")
    assert refused.returncode != 0 and "is of type N" in refused.stderr and "typed" in refused.stderr, refused.stderr
    assert add("--to", "dynamodb:numbers", "--key", "id", "--types", "typed").returncode == 0
    lake.put("raw", "company/a.csv", "id,name\n1,a\n2,b\nx,c\n")
    settle(lake)
    items = by_id(scan(lake, "numbers"))
    # The crawl found a column of text; what is no number is no key.
    assert {int(key): item["name"] for key, item in items.items()} == {1: "a", 2: "b"}
    assert [(row[1], row[2], row[3]) for row in quarantine(lake, "raw.numbers_quarantine")] == [("4", "id", "x")]
    # A table that is gone is told, and the file is taken up when it is there again.
    lake.client("dynamodb").delete_table(TableName="numbers")
    lake.put("raw", "company/b.csv", "id,name\n5,e\n")
    settle(lake)
    state, message = stats(lake)
    assert state == "FAILED" and "Table 'numbers' of items does not exist" in message, message
    create_table(lake, "numbers", "id", "N")
    lake.millpond("flow", "run", "company", "--wait")
    settle(lake)
    assert set(map(int, by_id(scan(lake, "numbers")))) == {5}


def test_a_job_without_a_flow_loads_a_table_of_items(lake):
    create_table(lake, "direct", "id")
    s3, glue = lake.client("s3"), lake.client("glue")
    s3.create_bucket(Bucket="raw")
    glue.create_database(DatabaseInput={"Name": "raw"})
    lake.put("raw", "direct/a.csv", "id,n\na,1\nb,2\n")
    glue.create_crawler(Name="direct", Role="r", DatabaseName="raw", Targets={"S3Targets": [{"Path": "s3://raw/direct/"}]})
    lake.crawl("direct")
    arguments = {"--source-database": "raw", "--source-table": "direct", "--target-table": "dynamodb:direct", "--source-file": "true"}
    glue.create_job(Name="direct", Role="r", Command={"Name": "millpond"}, DefaultArguments=arguments)
    assert lake.run_job("direct")["JobRunState"] == "SUCCEEDED"
    assert {key: (item["n"], item["source_file"]) for key, item in by_id(scan(lake, "direct")).items()} == {
        "a": ("1", "s3://raw/direct/a.csv"),
        "b": ("2", "s3://raw/direct/a.csv"),
    }
    lake.put("raw", "direct/b.csv", "id,n\n,1\n")
    assert lake.run_job("direct")["JobRunState"] == "SUCCEEDED"
    assert len(quarantine(lake, "raw.direct_quarantine")) == 1


def test_a_kill_in_the_middle_of_a_load_loses_nothing_and_doubles_nothing(new_lake):
    dice = random.Random(7)
    lake = new_lake(FLOW + 'key = "id"\n')
    lake.put("raw", "company/first.csv", "id,name\n0,zero\n")
    settle(lake)
    expected = {"0": "zero"}
    for round in range(5):
        rows = {str(round * 7_000 + n): f"name {round} {n}" for n in range(10_000)}
        lake.put("raw", f"company/{round}.csv", "id,name\n" + "".join(f"{key},{name}\n" for key, name in rows.items()))
        expected.update(rows)
        # From the crawl to the commit of the run.
        time.sleep(dice.random() * 1.2)
        lake.kill9()
        lake.start()
        if dice.random() < 0.5:
            time.sleep(dice.random())
            lake.kill9()
            lake.start()
    settle(lake)
    items = by_id(scan(lake))
    assert {key: item["name"] for key, item in items.items()} == expected
    assert lake.client("dynamodb").describe_table(TableName="company")["Table"]["ItemCount"] == len(expected)
    runs = lake.client("glue").get_job_runs(JobName=JOB)["JobRuns"]
    assert {run["JobRunState"] for run in runs} == {"SUCCEEDED"}, runs
    # One ingestion timestamp a file: a run that was cut off went on with its own.
    stamps = {}
    for item in items.values():
        stamps.setdefault(item["source_file"], set()).add(item["ingestion_timestamp"])
    assert all(len(found) == 1 for found in stamps.values()), stamps


def test_mail_tells_of_items(new_lake):
    smtp = Smtp()
    try:
        mail = f'notify = ["mailto:ops@example.com"]\n[smtp]\nhost = "{smtp.host}"\nport = {smtp.port}\nfrom = "lake@example.com"\n'
        lake = new_lake(FLOW + mail)
        lake.put("raw", "company/a.csv", "name\na\nb\na\n")
        settle(lake)
        (body,) = [body for body in smtp.bodies() if "items" in body]
        assert "put 2 items into the table company, 0 of them in the place of others" in body, body
        assert "Rows that were duplicates: 1." in body and "raw.company_quarantine: 0" in body
    finally:
        smtp.close()
