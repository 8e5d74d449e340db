"""The server is killed while scripts run: what a run did is there once, or not at all, and no process of it is left."""

import os
import random
import time
from collections import Counter
from pathlib import Path

from glue_jobs import define, log, role
from harness import wait_until

ENABLE = "job-bookmark-enable"

#: Writes one object for each file that is new to it, one after the other.
COPIER = """
import os, time
import boto3
from millpond_job import run
me, s3 = run.current(), boto3.client("s3")
found = me.source(TransformationContext="c", Paths=["s3://incoming/data/"])["Files"]
print("found", len(found), flush=True)
for file in found:
    key = file["Path"].split("/", 3)[3]
    s3.put_object(Bucket="outgoing", Key=f"copies/{key}/{os.environ['MILLPOND_JOB_RUN']}", Body=b"x")
    time.sleep(0.01)
me.commit()
"""


def processes_with(text):
    """Processes of this machine whose command line holds `text`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if text in line:
                found.append((int(entry.name), line))
    return found


def keys(lake, bucket):
    pages = lake.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def test_a_run_whose_server_is_killed_fails_and_leaves_nothing(lake):
    lake.bucket("outgoing")
    marker = f"marker-{random.getrandbits(48):x}"
    text = """
        import boto3, time, subprocess, sys
        boto3.client("s3").put_object(Bucket="outgoing", Key="left", Body=b"x")
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", sys.argv[-1]])
        print("written", flush=True)
        time.sleep(600)
    """
    define(lake, "killed", text)
    run_id = lake.client("glue").start_job_run(JobName="killed", Arguments={"--z-marker": marker})["JobRunId"]
    wait_until(lambda: log(lake, run_id), what="the first line")
    assert processes_with(marker)
    lake.kill9()
    wait_until(lambda: not processes_with(marker), 10, what="the end of all processes of the script")
    lake.start()
    done = lake.wait_job("killed", run_id)
    assert done["JobRunState"] == "FAILED" and "the lake was stopped while the run was under way" in done["ErrorMessage"]
    assert keys(lake, "outgoing") == []


def test_a_run_whose_server_is_killed_is_tried_again_where_its_job_says_so(lake):
    lake.bucket("outgoing")
    text = """
        import boto3, os, time
        run = os.environ["MILLPOND_JOB_RUN"]
        boto3.client("s3").put_object(Bucket="outgoing", Key=run, Body=b"x")
        print("written", flush=True)
        if not run.endswith("_attempt_1"):
            time.sleep(600)
    """
    define(lake, "retried", text, MaxRetries=1)
    first = lake.client("glue").start_job_run(JobName="retried")["JobRunId"]
    wait_until(lambda: log(lake, first), what="the first line")
    lake.kill9()
    lake.start()
    assert lake.wait_job("retried", first)["JobRunState"] == "FAILED"
    second = wait_until(lambda: [one for one in lake.client("glue").get_job_runs(JobName="retried")["JobRuns"] if one["Attempt"] == 1], what="attempt 1")
    assert lake.wait_job("retried", second[0]["Id"])["JobRunState"] == "SUCCEEDED"
    assert keys(lake, "outgoing") == [f"{first}_attempt_1"]


def test_a_run_that_was_stopped_before_the_kill_is_stopped_after_it(lake):
    define(lake, "stopping", "import time\nprint(1, flush=True)\ntime.sleep(600)\n")
    run_id = lake.client("glue").start_job_run(JobName="stopping")["JobRunId"]
    wait_until(lambda: log(lake, run_id), what="the first line")
    lake.client("glue").batch_stop_job_run(JobName="stopping", JobRunIds=[run_id])
    lake.kill9()
    lake.start()
    assert lake.wait_job("stopping", run_id)["JobRunState"] == "STOPPED"


def test_every_file_is_taken_once_whenever_the_server_is_killed(lake):
    """Kills at random times over the whole of runs; the copies of each file are counted at the end."""
    seed = int(os.environ.get("MILLPOND_SEED", time.time()))
    chance = random.Random(seed)
    lake.bucket("incoming")
    lake.bucket("outgoing")
    role(lake)
    define(lake, "copier", COPIER, arguments={"--job-bookmark-option": ENABLE}, MaxRetries=3)
    total = 0
    for _ in range(int(os.environ.get("MILLPOND_KILLS", "8"))):
        for _ in range(chance.randint(1, 8)):
            lake.put("incoming", f"data/{total}.csv", "x")
            total += 1
        runs = lake.client("glue").get_job_runs(JobName="copier")["JobRuns"]
        if not any(one["JobRunState"] in ("STARTING", "RUNNING", "WAITING") for one in runs):
            lake.client("glue").start_job_run(JobName="copier")
        time.sleep(chance.uniform(0.0, 1.5))
        lake.kill9()
        lake.start()
    wait_until(lambda: all(one["CompletedOn"] for one in _runs(lake)), 120, what="the end of all runs")
    assert lake.run_job("copier")["JobRunState"] == "SUCCEEDED"
    copies = Counter(key.split("/")[2] for key in keys(lake, "outgoing"))
    assert copies == Counter({f"{number}.csv": 1 for number in range(total)}), f"seed {seed}"


LOADER = """
import io
import boto3, pyarrow as pa, pyarrow.parquet as pq
from millpond_job import run
me = run.current()
bucket, prefix = me.describe()["TempDir"][5:].split("/", 1)
data = io.BytesIO()
pq.write_table(pa.table({"id": [str(i) for i in range(ROWS)], "n": list(range(ROWS))}), data)
s3 = boto3.client("s3")
s3.put_object(Bucket=bucket, Key=f"{prefix}load/part-0.parquet", Body=data.getvalue())
s3.put_object(Bucket="outgoing", Key="beside", Body=b"x")
me.load_items("company", f"s3://{bucket}/{prefix}load/")
print("registered", flush=True)
"""

ROWS = 60_000


def _items(lake):
    pages = lake.client("dynamodb").get_paginator("scan").paginate(TableName="company", Select="COUNT")
    return sum(page["Count"] for page in pages)


def _company(lake):
    lake.bucket("outgoing")
    keys_of = {"KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}], "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}]}
    lake.client("dynamodb").create_table(TableName="company", BillingMode="PAY_PER_REQUEST", **keys_of)
    return define(lake, "loader", LOADER.replace("ROWS", str(ROWS)), MaxRetries=5)


def test_items_are_loaded_when_the_script_has_ended_well_and_only_then(lake):
    name = _company(lake)
    done = lake.run_job(name)
    assert done["JobRunState"] == "SUCCEEDED", done
    assert _items(lake) == ROWS and keys(lake, "outgoing") == ["beside"]
    assert [one["Name"] for one in lake.client("s3").list_buckets()["Buckets"]] == ["glue-scripts", "outgoing"]
    failing = define(lake, "failing", LOADER.replace("ROWS", "10").replace('"id":', '"key":'))
    done = lake.run_job(failing)
    assert done["JobRunState"] == "FAILED" and "'id'" in done["ErrorMessage"] and "No item was put" in done["ErrorMessage"]
    define(lake, "no-table", LOADER.replace("ROWS", "10").replace('"company"', '"none"'))
    assert "'none'" in lake.run_job("no-table")["ErrorMessage"]


def test_only_what_a_run_wrote_is_loaded_and_removed(lake):
    """The output of the run is visible at once, below a prefix in which others have something, too."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    name = _company(lake)
    lake.bucket("shared")
    before = io.BytesIO()
    pq.write_table(pa.table({"id": ["before"], "n": [0]}), before)
    lake.put("shared", "tmp/load/before.parquet", before.getvalue())
    lake.put("shared", "tmp/load/_notes", b"kept")
    done = lake.run_job(name, Arguments={"--millpond-output": "as-written", "--TempDir": "s3://shared/tmp/"})
    assert done["JobRunState"] == "SUCCEEDED", done
    assert _items(lake) == ROWS
    assert keys(lake, "shared") == ["tmp/load/_notes", "tmp/load/before.parquet"]


def test_a_condition_that_broke_is_found_before_items_are_put(lake):
    _company(lake)
    text = LOADER.replace("ROWS", "1000").replace('Key="beside", Body=b"x")', 'Key="beside", Body=b"x", IfNoneMatch="*")')
    text += "while not s3.list_objects_v2(Bucket='outgoing', Prefix='signal')['KeyCount']:\n    pass\n"
    run_id = lake.client("glue").start_job_run(JobName=define(lake, "claims", text))["JobRunId"]
    wait_until(lambda: log(lake, run_id), what="the script's work")
    lake.put("outgoing", "beside", b"other")
    lake.put("outgoing", "signal", b"")
    done = lake.wait_job("claims", run_id)
    assert done["JobRunState"] == "FAILED" and "s3://outgoing/beside was changed by another" in done["ErrorMessage"], done
    assert _items(lake) == 0


def test_a_load_goes_on_after_a_kill(lake):
    chance = random.Random(int(os.environ.get("MILLPOND_SEED", time.time())))
    name = _company(lake)
    run_id = lake.client("glue").start_job_run(JobName=name)["JobRunId"]
    wait_until(lambda: log(lake, run_id), what="the end of the script")
    for _ in range(3):
        time.sleep(chance.uniform(0.0, 0.6))
        lake.kill9()
        lake.start()

    def succeeded():
        runs = lake.client("glue").get_job_runs(JobName=name)["JobRuns"]
        assert len(runs) < 6, runs
        return any(one["JobRunState"] == "SUCCEEDED" for one in runs)

    wait_until(succeeded, 120, what="a run that succeeds")
    assert _items(lake) == ROWS
    assert lake.client("dynamodb").describe_table(TableName="company")["Table"]["ItemCount"] == ROWS
    assert keys(lake, "outgoing") == ["beside"]


def _runs(lake):
    return [{"CompletedOn": None, **one} for one in lake.client("glue").get_job_runs(JobName="copier")["JobRuns"]]
