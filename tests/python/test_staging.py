"""What a job's script writes to S3 is the run's own until it succeeds: scripts that write, look and end well or badly, with others looking on."""

import hashlib

import pytest

from glue_jobs import define, log
from harness import wait_until

# Waits for the other side: an object that somebody else puts is seen by the run, too.
PRELUDE = """
import json, sys, time
import boto3
from botocore.exceptions import ClientError
s3 = boto3.client("s3")
B = "{bucket}"

def keys(prefix=""):
    return [one["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=B, Prefix=prefix) for one in page.get("Contents", [])]

def wait_for(key):
    while key not in keys("signal/"):
        time.sleep(0.05)
"""


def shell(lake, name, bucket, text, **more):
    prelude = PRELUDE.replace("{bucket}", bucket).lstrip("\n")
    return define(lake, name, prelude + text, MaxCapacity=0.0625, **more)


def keys(lake, bucket):
    pages = lake.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [one["Key"] for page in pages for one in page.get("Contents", [])]


WORK = """
s3.put_object(Bucket=B, Key="out/new", Body=b"new", Metadata={"a": "b"})
s3.put_object(Bucket=B, Key="old/replaced", Body=b"after")
s3.delete_object(Bucket=B, Key="old/deleted")
s3.delete_objects(Bucket=B, Delete={"Objects": [{"Key": "old/deleted-too"}, {"Key": "none"}]})
s3.copy_object(Bucket=B, Key="out/copied", CopySource={"Bucket": B, "Key": "out/new"})
s3.put_object_tagging(Bucket=B, Key="old/tagged", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
upload = s3.create_multipart_upload(Bucket=B, Key="out/big")["UploadId"]
at = {"Bucket": B, "Key": "out/big", "UploadId": upload}
parts = [s3.upload_part(**at, PartNumber=n, Body=bytes([n]) * 5 * 1024 * 1024)["ETag"] for n in (1, 2)]
assert len(s3.list_parts(**at)["Parts"]) == 2
s3.complete_multipart_upload(**at, MultipartUpload={"Parts": [{"PartNumber": n + 1, "ETag": tag} for n, tag in enumerate(parts)]})
left = s3.create_multipart_upload(Bucket=B, Key="out/left")["UploadId"]
s3.upload_part(Bucket=B, Key="out/left", UploadId=left, PartNumber=1, Body=b"left")

assert keys() == ["old/kept", "old/replaced", "old/tagged", "out/big", "out/copied", "out/new"], keys()
assert s3.get_object(Bucket=B, Key="old/replaced")["Body"].read() == b"after"
assert s3.get_object(Bucket=B, Key="out/big", Range="bytes=5242879-5242880")["Body"].read() == bytes([1, 2])
assert s3.head_object(Bucket=B, Key="out/copied")["Metadata"] == {"a": "b"}
assert s3.get_object_tagging(Bucket=B, Key="old/tagged")["TagSet"] == [{"Key": "k", "Value": "v"}]
folders = s3.list_objects_v2(Bucket=B, Delimiter="/", MaxKeys=1)
assert [one["Prefix"] for one in folders["CommonPrefixes"]] == ["old/"] and folders["IsTruncated"]
assert len(s3.list_multipart_uploads(Bucket=B)["Uploads"]) == 1
try:
    s3.get_object(Bucket=B, Key="old/deleted")
    raise SystemExit("it is still there")
except ClientError as error:
    assert error.response["Error"]["Code"] == "NoSuchKey"
try:
    s3.put_object(Bucket=B, Key="out/new", Body=b"x", IfNoneMatch="*")
    raise SystemExit("it was replaced")
except ClientError as error:
    assert error.response["Error"]["Code"] == "PreconditionFailed"
print("ready", flush=True)
wait_for("signal/go")
"""

BEFORE = ["old/deleted", "old/deleted-too", "old/kept", "old/replaced", "old/tagged"]


def begun(lake, name, bucket, text, **more):
    """A run that has done its work and waits."""
    lake.bucket(bucket)
    for key in BEFORE:
        lake.put(bucket, key, b"before")
    run_id = lake.client("glue").start_job_run(JobName=shell(lake, name, bucket, text, **more))["JobRunId"]

    def ready():
        state = lake.client("glue").get_job_run(JobName=name, RunId=run_id)["JobRun"]
        assert state["JobRunState"] not in ("FAILED", "SUCCEEDED", "STOPPED"), state.get("ErrorMessage", state)
        return "ready" in log(lake, run_id)

    wait_until(ready, timeout_s=60, what="the script's work")
    return run_id


def test_what_a_run_writes_is_seen_by_itself_alone_and_then_by_all(module_lake):
    lake, s3 = module_lake, module_lake.client("s3")
    run_id = begun(lake, "staged-well", "staged-well", WORK)
    assert keys(lake, "staged-well") == BEFORE
    assert s3.get_object(Bucket="staged-well", Key="old/replaced")["Body"].read() == b"before"
    assert s3.get_object_tagging(Bucket="staged-well", Key="old/tagged")["TagSet"] == []
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="staged-well")
    lake.put("staged-well", "signal/go", b"")
    done = lake.wait_job("staged-well", run_id)
    assert done["JobRunState"] == "SUCCEEDED", done
    assert keys(lake, "staged-well") == ["old/kept", "old/replaced", "old/tagged", "out/big", "out/copied", "out/new", "signal/go"]
    big = s3.get_object(Bucket="staged-well", Key="out/big")
    expected = bytes([1]) * 5 * 1024 * 1024 + bytes([2]) * 5 * 1024 * 1024
    assert hashlib.sha256(big["Body"].read()).digest() == hashlib.sha256(expected).digest() and big["ETag"].endswith('-2"')
    assert s3.get_object_tagging(Bucket="staged-well", Key="old/tagged")["TagSet"] == [{"Key": "k", "Value": "v"}]


@pytest.mark.parametrize("end", ["raise ValueError('no')", "sys.exit(3)", "import os; os.abort()"])
def test_a_run_that_fails_leaves_all_as_it_was(module_lake, end):
    lake, s3 = module_lake, module_lake.client("s3")
    name = f"staged-badly-{len(end)}"
    run_id = begun(lake, name, name, WORK + end + "\n")
    lake.put(name, "signal/go", b"")
    assert lake.wait_job(name, run_id)["JobRunState"] == "FAILED"
    assert keys(lake, name) == [*BEFORE, "signal/go"]
    assert {s3.get_object(Bucket=name, Key=key)["Body"].read() for key in BEFORE} == {b"before"}


def test_a_run_that_is_stopped_leaves_all_as_it_was(module_lake):
    lake = module_lake
    run_id = begun(lake, "staged-stopped", "staged-stopped", WORK)
    lake.client("glue").batch_stop_job_run(JobName="staged-stopped", JobRunIds=[run_id])
    assert lake.wait_job("staged-stopped", run_id)["JobRunState"] == "STOPPED"
    assert keys(lake, "staged-stopped") == BEFORE


def test_a_server_that_is_killed_in_mid_run_leaves_all_as_it_was(lake):
    run_id = begun(lake, "staged-killed", "staged-killed", WORK)
    lake.kill9()
    lake.start()
    assert lake.wait_job("staged-killed", run_id)["JobRunState"] == "FAILED"
    assert keys(lake, "staged-killed") == BEFORE
    assert "Uploads" not in lake.client("s3").list_multipart_uploads(Bucket="staged-killed")


def test_what_others_must_see_is_published_before_they_are_asked(module_lake):
    lake = module_lake
    lake.client("sqs").create_queue(QueueName="told")
    text = """
s3.put_object(Bucket=B, Key="first", Body=b"1")
sqs = boto3.client("sqs")
sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="told")["QueueUrl"], MessageBody="first is there")
s3.put_object(Bucket=B, Key="second", Body=b"2")
raise ValueError("after all")
"""
    lake.bucket("staged-told")
    done = lake.run_job(shell(lake, "staged-told", "staged-told", text))
    assert done["JobRunState"] == "FAILED"
    assert keys(lake, "staged-told") == ["first"]
    lines = wait_until(lambda: [line for line in log(lake, done["Id"]) if "sqs:SendMessage" in line], what="the log's line")
    assert len(lines) == 1 and "1 objects put" in lines[0]


def test_a_run_that_writes_as_it_goes_is_seen_at_once(module_lake):
    lake = module_lake
    text = "s3.put_object(Bucket=B, Key='now', Body=b'1')\nprint('ready', flush=True)\nwait_for('signal/go')\nraise ValueError('no')\n"
    arguments = {"--millpond-output": "as-written"}
    run_id = begun(lake, "staged-not", "staged-not", text, arguments=arguments)
    assert "now" in keys(lake, "staged-not")
    lake.put("staged-not", "signal/go", b"")
    assert lake.wait_job("staged-not", run_id)["JobRunState"] == "FAILED"
    assert "now" in keys(lake, "staged-not")


def test_the_last_writer_wins_and_a_condition_that_broke_fails_the_run(module_lake):
    lake = module_lake
    work = "s3.put_object(Bucket=B, Key='plain', Body=b'run')\n{more}print('ready', flush=True)\nwait_for('signal/go')\n"
    run_id = begun(lake, "staged-last", "staged-last", work.replace("{more}", ""))
    lake.put("staged-last", "plain", b"other")
    lake.put("staged-last", "signal/go", b"")
    assert lake.wait_job("staged-last", run_id)["JobRunState"] == "SUCCEEDED"
    assert lake.client("s3").get_object(Bucket="staged-last", Key="plain")["Body"].read() == b"run"
    more = "s3.put_object(Bucket=B, Key='claimed', Body=b'run', IfNoneMatch='*')\n"
    run_id = begun(lake, "staged-claim", "staged-claim", work.replace("{more}", more))
    lake.put("staged-claim", "claimed", b"other")
    lake.put("staged-claim", "signal/go", b"")
    done = lake.wait_job("staged-claim", run_id)
    assert done["JobRunState"] == "FAILED" and "s3://staged-claim/claimed was changed by another" in done["ErrorMessage"]
    assert "plain" not in keys(lake, "staged-claim")


def test_a_bucket_that_is_gone_fails_the_run_by_its_name(module_lake):
    lake, s3 = module_lake, module_lake.client("s3")
    lake.bucket("staged-gone")
    work = "boto3.client('s3').put_object(Bucket='staged-gone', Key='k', Body=b'1')\nprint('ready', flush=True)\nwait_for('signal/go')\n"
    run_id = begun(lake, "staged-left", "staged-left", work)
    s3.delete_bucket(Bucket="staged-gone")
    lake.put("staged-left", "signal/go", b"")
    done = lake.wait_job("staged-left", run_id)
    assert done["JobRunState"] == "FAILED" and "'staged-gone'" in done["ErrorMessage"], done


SPARK = """
import sys, time
import boto3
from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext

args = getResolvedOptions(sys.argv, ["JOB_NAME", "end"])
context = GlueContext(SparkContext.getOrCreate())
spark = context.spark_session
job = Job(context)
job.init(args["JOB_NAME"], args)
frame = spark.createDataFrame([(n, "even" if n % 2 == 0 else "odd") for n in range(1000)], ["n", "kind"])
frame.write.mode("overwrite").partitionBy("kind").parquet("s3://staged-spark/table/")
again = spark.read.parquet("s3://staged-spark/table/")
assert again.count() == 1000 and again.where("kind = 'odd'").count() == 500, again.count()
again.where("n < 10").write.mode("overwrite").parquet("s3://staged-spark/few/")
frame.where("n < 100").write.mode("overwrite").partitionBy("kind").parquet("s3://staged-spark/table/")
assert spark.read.parquet("s3://staged-spark/table/").count() == 100
s3 = boto3.client("s3")
print("ready", flush=True)
while "signal/go" not in [one["Key"] for one in s3.list_objects_v2(Bucket="staged-spark", Prefix="signal/").get("Contents", [])]:
    time.sleep(0.05)
if args["end"] == "badly":
    raise ValueError("no")
job.commit()
"""


def test_what_an_engine_writes_and_overwrites_is_seen_when_the_run_succeeds(lake):
    lake.bucket("staged-spark")
    lake.put("staged-spark", "table/kind=odd/old.parquet", b"not even Parquet")
    define(lake, "staged-spark", SPARK, command="glueetl", GlueVersion="4.0")
    before = keys(lake, "staged-spark")

    def waiting(end):
        run_id = lake.client("glue").start_job_run(JobName="staged-spark", Arguments={"--end": end})["JobRunId"]
        wait_until(lambda: "ready" in log(lake, run_id, command="glueetl") or ended(run_id), timeout_s=120, what="the script's work")
        return run_id

    def ended(run_id):
        state = lake.client("glue").get_job_run(JobName="staged-spark", RunId=run_id)["JobRun"]
        assert state["JobRunState"] != "FAILED", state.get("ErrorMessage")

    for end, state in [("badly", "FAILED"), ("well", "SUCCEEDED")]:
        run_id = waiting(end)
        assert keys(lake, "staged-spark") == before
        lake.put("staged-spark", "signal/go", b"")
        assert lake.wait_job("staged-spark", run_id)["JobRunState"] == state
        lake.client("s3").delete_object(Bucket="staged-spark", Key="signal/go")
    after = keys(lake, "staged-spark")
    data = [key for key in after if key.endswith(".parquet")]
    assert "table/kind=odd/old.parquet" not in after and not [key for key in after if "_temporary" in key], after
    assert {key.rsplit("/", 1)[0] for key in data} == {"few", "table/kind=even", "table/kind=odd"}, after
