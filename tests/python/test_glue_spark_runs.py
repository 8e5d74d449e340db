"""Glue's Spark scripts as runs of jobs: the examples, what becomes visible when, bookmarks, and the reason of a failure."""

import json
import runpy
import sys

import pytest

from harness import REPO

ROLE_TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}]}

HEAD = """
import sys
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext
from awsglue.context import GlueContext
from awsglue.dynamicframe import DynamicFrame
from awsglue.job import Job
args = getResolvedOptions(sys.argv, ["JOB_NAME"])
glueContext = GlueContext(SparkContext())
spark = glueContext.spark_session
job = Job(glueContext)
job.init(args["JOB_NAME"], args)
"""


@pytest.fixture(scope="module")
def ready(module_lake):
    lake = module_lake
    lake.bucket("work")
    lake.client("iam").create_role(RoleName="runner", AssumeRolePolicyDocument=json.dumps(ROLE_TRUST))
    return lake


def run(lake, name, text, arguments=None, **more):
    """Makes or changes a job of a script, and runs it to its end."""
    glue = lake.client("glue")
    lake.put("work", f"scripts/{name}.py", text)
    try:
        glue.get_job(JobName=name)
    except glue.exceptions.EntityNotFoundException:
        role = lake.client("iam").get_role(RoleName="runner")["Role"]["Arn"]
        command = {"Name": "glueetl", "ScriptLocation": f"s3://work/scripts/{name}.py", "PythonVersion": "3"}
        glue.create_job(Name=name, Role=role, Command=command, GlueVersion="5.0", WorkerType="G.1X", NumberOfWorkers=2, **more)
    return lake.run_job(name, timeout_s=400, Arguments=arguments or {})


def succeeded(done):
    assert done["JobRunState"] == "SUCCEEDED", done.get("ErrorMessage")
    return done


def keys(lake, bucket, prefix):
    return [entry["Key"] for entry in lake.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]


def test_the_examples_make_parquet_and_items_of_a_file(module_lake, monkeypatch, capsys, tmp_path):
    lake = module_lake
    for name, value in lake.env.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    orders = tmp_path / "orders.csv"
    lines = ["order_id,ordered,price,city", *(f"{number},2026-11-{number % 28 + 1:02},{number}.50,City {number % 3}" for number in range(1, 101))]
    orders.write_text("\n".join([*lines, lines[5], lines[9], "101,2026-11-01,,City 1"]) + "\n")
    monkeypatch.setattr(sys, "argv", ["deploy.py", "orders", str(orders), "--partition-key", "city"])
    runpy.run_path(str(REPO / "examples" / "glue" / "deploy.py"), run_name="__main__")
    assert capsys.readouterr().out.splitlines() == ["orders-parquet: SUCCEEDED", "orders-items: SUCCEEDED"]
    assert lake.sql("select count(*), count(price), count(distinct city), sum(price) from orders_parquet", "orders") == [["103", "102", "3", "5115.00"]], "no price is NULL"
    assert lake.client("dynamodb").scan(TableName="orders", Select="COUNT")["Count"] == 101, "rows that come twice are dropped"
    item = lake.client("dynamodb").scan(TableName="orders", Limit=1)["Items"][0]
    assert set(item) == {"id", "order_id", "ordered", "price", "city", "ingestion_timestamp", "source_file"}
    assert all(list(value) == ["S"] for value in item.values())
    # The bookmark: nothing is converted twice, and what is new is added.
    again = lake.run_job("orders-parquet", timeout_s=200)
    assert again["JobRunState"] == "SUCCEEDED", again
    assert lake.scalar("select count(*) from orders_parquet", "orders") == "103"
    lake.put("orders-glue", "raw/more.csv", "order_id,ordered,price,city\n1000,2026-12-01,1.00,Elsewhere\n")
    assert lake.run_job("orders-parquet", timeout_s=200)["JobRunState"] == "SUCCEEDED"
    assert lake.sql("select count(*), count(distinct city) from orders_parquet", "orders") == [["104", "4"]]


def test_a_failed_run_leaves_nothing_and_says_where_it_failed(ready):
    text = (
        HEAD
        + "spark.range(10).write.parquet('s3://work/failed/')\nprint(spark.read.parquet('s3://work/failed/').count())\nraise ValueError('no more')\n"
    )
    done = run(ready, "failing", text)
    assert done["JobRunState"] == "FAILED"
    assert "ValueError: no more" in done["ErrorMessage"]
    assert str(text.count("\n")) in done["ErrorMessage"], "the line"
    assert keys(ready, "work", "failed/") == []


def test_what_a_run_writes_is_seen_by_itself_and_at_its_end_by_all(ready):
    text = (
        HEAD
        + """
spark.range(10).write.parquet("s3://work/seen/")
assert spark.read.parquet("s3a://work/seen/").count() == 10
spark.range(5).write.mode("overwrite").parquet("s3://work/seen/")
assert spark.read.parquet("s3://work/seen/").count() == 5
job.commit()
"""
    )
    succeeded(run(ready, "seen", text))
    assert len(keys(ready, "work", "seen/")) == 1


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("syntax", "def f(:", "SyntaxError"),
        ("column", "spark.range(1).select('zz').collect()", "`zz`"),
        ("notable", "glueContext.create_dynamic_frame.from_catalog('nodb', 'nowhere')", "EntityNotFoundException"),
        ("rdd", "spark.range(1).rdd", "--millpond-engine pyspark"),
        ("exit", "sys.exit(1)", "SystemExit: 1"),
    ],
)
def test_the_reason_of_a_failure_is_the_scripts(ready, name, line, reason):
    done = run(ready, f"reason-{name}", HEAD + line + "\n")
    assert done["JobRunState"] == "FAILED"
    assert reason in done["ErrorMessage"], done["ErrorMessage"]


def test_a_sink_changes_the_catalog_with_the_end_of_the_run(ready):
    ready.client("glue").create_database(DatabaseInput={"Name": "sunk"})
    text = (
        HEAD
        + """
import boto3
sink = glueContext.getSink(connection_type="s3", path="s3://work/sunk/", enableUpdateCatalog=True, partitionKeys=["p"])
sink.setFormat("glueparquet")
sink.setCatalogInfo(catalogDatabase="sunk", catalogTableName="t")
sink.writeFrame(DynamicFrame.fromDF(spark.createDataFrame([(1, "x"), (2, "y")], "a int, p string"), glueContext, "f"))
assert boto3.client("glue").get_tables(DatabaseName="sunk")["TableList"] == []
job.commit()
"""
    )
    succeeded(run(ready, "sunk", text))
    assert ready.sql("select a, p from t order by a", "sunk") == [["1", "x"], ["2", "y"]]
