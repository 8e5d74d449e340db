"""The server is killed (SIGKILL) at random points of the chain bucket -> function -> crawler -> rule -> function -> job -> rule -> topic -> mail.
Afterwards every link was made at least once, every row is there exactly once, and what was given up is a dead letter with its reason."""

import os
import random
import shutil
import threading
import time

import botocore.exceptions

from chains import CHAINS, MAIL, config, confirm, deployer, orders, told
from harness import REPO, wait_until
from lakes import settle, wait_count

SEED = int(os.environ.get("MILLPOND_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
KILLS = int(os.environ.get("MILLPOND_KILLS", "10"))
ROWS = 20


class Writer(threading.Thread):
    """Drops files until it is told to stop; remembers those whose put was acknowledged."""

    def __init__(self, lake, numbers, pause_s):
        super().__init__(daemon=True)
        self.lake, self.numbers, self.pause_s = lake, numbers, pause_s
        self.acknowledged, self.unsure = [], []
        self.stopping = threading.Event()

    def run(self):
        s3 = self.lake.client("s3", retries={"max_attempts": 0})
        while not self.stopping.is_set():
            number = next(self.numbers)
            try:
                s3.put_object(Bucket="orders-raw", Key=f"orders/{number}.csv", Body=orders(number * ROWS, ROWS).encode())
                self.acknowledged.append(number)
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                self.unsure.append(number)
                return
            self.stopping.wait(self.pause_s)


def evidence(lake, kind):
    pages = lake.client("s3").get_paginator("list_objects_v2").paginate(Bucket="evidence", Prefix=f"{kind}/")
    return {item["Key"].removeprefix(f"{kind}/") for page in pages for item in page.get("Contents", [])}


def test_no_link_of_a_chain_is_lost_whenever_the_server_is_killed(new_lake, smtp, monkeypatch, tmp_path):
    print(f"MILLPOND_SEED={SEED} repeats this run")
    dice = random.Random(SEED)
    lake = new_lake(config(smtp))
    lake.bucket("evidence")
    deploy = deployer(lake, monkeypatch)
    shutil.copytree(CHAINS / "functions", tmp_path, dirs_exist_ok=True)
    shutil.copytree(REPO / "tests" / "python" / "chain_functions", tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(deploy, "FUNCTIONS", tmp_path)
    deploy.deploy("orders", MAIL, modules=("start_crawler", "file_came"), job_modules=("start_job", "crawl_ended"))
    confirm(smtp)

    numbers, acknowledged, unsure = iter(range(1, 10**6)), [], []
    for _ in range(KILLS):
        writer = Writer(lake, numbers, pause_s=dice.uniform(0.05, 0.4))
        writer.start()
        time.sleep(dice.uniform(0.05, 2.5))
        lake.kill9()
        writer.stopping.set()
        writer.join(60)
        acknowledged += writer.acknowledged
        unsure += writer.unsure
        lake.start()
    assert acknowledged, "nothing was put at all"
    # What was not acknowledged is put again: with the same bytes under the same name it is the same version, and counts once.
    for number in unsure:
        lake.put("orders-raw", f"orders/{number}.csv", orders(number * ROWS, ROWS))
        acknowledged.append(number)
    settle(lake, timeout_s=180)
    seen = evidence(lake, "file")
    unseen = [number for number in acknowledged if f"orders/{number}.csv" not in seen]
    assert not unseen, f"no function was called about {unseen}"

    # A crawler that was at work refused some calls, for good after the third: the next file brings all of them along.
    last = next(numbers)
    lake.put("orders-raw", f"orders/{last}.csv", orders(last * ROWS, ROWS))
    acknowledged.append(last)
    wait_count(lake, "orders.orders", len(acknowledged) * ROWS, timeout_s=180)
    settle(lake, timeout_s=180)
    found = lake.sql("select order_id, count(*) from orders.orders group by order_id having count(*) <> 1")
    assert not found, f"rows that are there more than once: {found}"

    crawls = lake.client("glue").list_crawls(CrawlerName="orders", MaxResults=1000)["Crawls"]
    completed = [crawl for crawl in crawls if crawl["State"] == "COMPLETED"]
    assert len(evidence(lake, "crawl")) == len(completed), "each crawl that succeeded is one event, and calls the function"
    runs = lake.client("glue").get_job_runs(JobName="orders", MaxResults=200)["JobRuns"]
    succeeded = {run["Id"] for run in runs if run["JobRunState"] == "SUCCEEDED"}
    wait_until(lambda: succeeded <= told(smtp), what=f"mails about all of {len(succeeded)} runs")
    for letter in lake.dead_letters():
        refused = ("CrawlerRunningException", "ConcurrentRunsExceededException")
        assert any(name in letter["reason"] for name in refused), f"a dead letter with another reason: {letter}"
    problems = [line for line in lake.millpond("doctor", check=False).stdout.splitlines() if line.startswith("PROBLEM")]
    assert all("tasks were given up" in problem for problem in problems), problems
