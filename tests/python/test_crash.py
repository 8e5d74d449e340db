"""The server is killed (SIGKILL) at random points of ingest, many times; after reopening, every row is there exactly once."""

import os
import random
import threading
import time

import botocore.exceptions

from harness import Smtp
from lakes import count, settle, wait_count

SEED = int(os.environ.get("MILLPOND_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
KILLS = int(os.environ.get("MILLPOND_KILLS", "12"))

FLOW = """
[[flow]]
name         = "events"
from         = "s3://raw/events/"
to           = "processed.events"
partition_by = ["shard"]
notify       = ["mailto:ops@example.com"]
[smtp]
host = "{host}"
port = {port}
from = "lake@example.com"
"""


class Writer(threading.Thread):
    """Puts files until it is told to stop. What was acknowledged is remembered; what was not may be there or not."""

    def __init__(self, lake, numbers, dice):
        super().__init__(daemon=True)
        self.lake, self.numbers, self.dice = lake, numbers, dice
        self.acknowledged = {}
        self.unsure = set()
        self.stopping = threading.Event()

    def run(self):
        s3 = self.lake.client("s3", retries={"max_attempts": 0})
        while not self.stopping.is_set():
            number = next(self.numbers)
            rows = self.dice.choice([1, 3, 50, 4000])
            body = "number,row,shard\n" + "".join(f"{number},{row},{number % 3}\n" for row in range(rows))
            try:
                s3.put_object(Bucket="raw", Key=f"events/{number:06}.csv", Body=body.encode())
                self.acknowledged[number] = rows
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                self.unsure.add((number, rows))
                return
            self.stopping.wait(self.dice.random() * 0.03)


def test_every_acknowledged_row_is_there_exactly_once_whenever_the_server_is_killed(new_lake):
    print(f"MILLPOND_SEED={SEED} repeats this run")
    dice = random.Random(SEED)
    smtp = Smtp()
    lake = new_lake(FLOW.format(host=smtp.host, port=smtp.port))
    numbers = iter(range(10**6))
    acknowledged, unsure = {}, set()
    for _ in range(KILLS):
        writers = [Writer(lake, numbers, random.Random(dice.random())) for _ in range(3)]
        for writer in writers:
            writer.start()
        time.sleep(dice.uniform(0.01, 1.2))
        lake.kill9()
        for writer in writers:
            writer.stopping.set()
            writer.join(60)
            acknowledged |= writer.acknowledged
            unsure |= writer.unsure
        lake.start()
    # What was not acknowledged is put again: with the same bytes under the same name it is the same version, and counts once.
    for number, rows in sorted(unsure):
        body = "number,row,shard\n" + "".join(f"{number},{row},{number % 3}\n" for row in range(rows))
        lake.put("raw", f"events/{number:06}.csv", body)
        acknowledged[number] = rows
    settle(lake)
    total = sum(acknowledged.values())
    assert acknowledged, "nothing was put at all"
    wait_count(lake, "processed.events", total, timeout_s=120)
    found = lake.sql("select number, count(*), count(distinct row) from processed.events group by number")
    assert {int(number): (int(rows), int(distinct)) for number, rows, distinct in found} == {
        number: (rows, rows) for number, rows in acknowledged.items()
    }
    assert count(lake, "processed.events_quarantine") == 0
    # Mails: at least one about each run that added rows; none lost.
    runs = lake.client("glue").get_job_runs(JobName="millpond-flow-events", MaxResults=200)["JobRuns"]
    told = "\n".join(smtp.bodies())
    with_rows = [run for run in runs if run["Id"] in told]
    added = sum(int(line.split(" added ")[1].split(" rows")[0]) for line in set_of_runs(smtp.bodies()))
    assert with_rows and added == total, f"mails tell of {added} rows, {total} were added"
    doctor = lake.millpond("doctor", check=False)
    assert doctor.returncode == 0, doctor.stdout
    smtp.close()


def set_of_runs(bodies):
    """One line about rows for each run, however often its mail came."""
    by_run = {}
    for body in bodies:
        lines = body.splitlines()
        run = next((line for line in lines if line.startswith("Job run ")), None)
        added = next((line for line in lines if " added " in line), None)
        if run and added:
            by_run[run] = added
    return by_run.values()


def test_a_large_object_is_whole_or_absent_after_a_kill(new_lake):
    dice = random.Random(SEED + 1)
    lake = new_lake("")
    lake.bucket("big")
    sizes = {}
    for turn in range(6):
        s3 = lake.client("s3", retries={"max_attempts": 0})
        body = dice.randbytes(12 << 20)
        done = []

        def put():
            try:
                from boto3.s3.transfer import TransferConfig
                import io

                s3.upload_fileobj(io.BytesIO(body), "big", f"{turn}", Config=TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20))
                done.append(True)
            except Exception:
                pass

        thread = threading.Thread(target=put, daemon=True)
        thread.start()
        time.sleep(dice.uniform(0.02, 0.4))
        lake.kill9()
        thread.join(60)
        lake.start()
        listed = {item["Key"]: item["Size"] for item in lake.client("s3").list_objects_v2(Bucket="big").get("Contents", [])}
        if done:
            sizes[f"{turn}"] = body
        if f"{turn}" in listed:
            assert lake.client("s3").get_object(Bucket="big", Key=f"{turn}")["Body"].read() == body
        else:
            assert not done
    for key, body in sizes.items():
        assert lake.client("s3").get_object(Bucket="big", Key=key)["Body"].read() == body
