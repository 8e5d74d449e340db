#!/usr/bin/env python3
"""Measures SQS: Millpond against moto's server, ministack and ElasticMQ on this machine, in one run, and prints one table with ratios.

    python3 bench/queues.py                     everything (about 10 minutes on two cores)
    python3 bench/queues.py --peers moto        some peers: moto ministack elasticmq (none: Millpond alone)
    python3 bench/queues.py --seconds 5         shorter
    python3 bench/queues.py --million           also: a queue that holds a million messages

Millpond syncs each message to the disk before it answers; the peers keep theirs in memory. All are driven by the same client
(crates/millpond/examples/queue_load.rs: signed requests of the JSON protocol), which takes its share of the same cores.

It makes a virtual environment in bench/data with the peers from PyPI, lets Maven (where there is one) fetch ElasticMQ from Maven
Central, and builds Millpond and the client (release). Nothing else should run meanwhile.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from common import DATA, REPO, TARGET, Report, new_lake

VENV = DATA / "queue-peers"
PYPI = ("boto3", "moto[server]", "ministack")
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>bench</groupId><artifactId>queues</artifactId><version>1</version>
<dependencies><dependency><groupId>org.elasticmq</groupId><artifactId>elasticmq-server_2.13</artifactId><version>[1.6,2)</version></dependency></dependencies>
</project>"""

# Name, options of the client: what is measured.
SHAPES = [
    ("one message a request", ["--batch", "1", "--connections", "32"]),
    ("ten messages a request", ["--batch", "10", "--connections", "16"]),
    ("ten a request, both at once", ["--batch", "10", "--connections", "8", "--together"]),
    ("FIFO, ten a request, 100 groups", ["--batch", "10", "--connections", "8", "--queue", "load.fifo"]),
]
AIM = 5_000


def prepare(build):
    """The virtual environment of the peers (this program starts itself again in it: boto3 is there, too), and the binaries."""
    stamp = VENV / ".requirements"
    if not stamp.exists() or stamp.read_text() != " ".join(PYPI):
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([VENV / "bin" / "pip", "install", "--quiet", *PYPI], check=True)
        stamp.write_text(" ".join(PYPI))
    if Path(sys.prefix) != VENV:
        os.execv(VENV / "bin" / "python", [str(VENV / "bin" / "python"), __file__, *sys.argv[1:]])
    if build:
        what = ["-p", "millpond", "--bin", "millpond", "--example", "queue_load"]
        subprocess.run(["cargo", "build", "--release", "--quiet", *what], check=True, cwd=REPO)


def version(package):
    shown = subprocess.run([VENV / "bin" / "pip", "show", package], capture_output=True, text=True, check=True).stdout
    return next(line.split()[1] for line in shown.splitlines() if line.startswith("Version:"))


class Peer:
    """Another server, in a process of its own on a free port, until it is closed."""

    def __init__(self, name):
        import harness

        self.name, self.port = name, harness.free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.folder = Path(tempfile.mkdtemp(prefix="millpond-bench-"))
        command, environment = getattr(self, name)()
        log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(list(map(str, command)), env={**os.environ, **environment}, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + 60
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                text = (self.folder / "log").read_text(errors="replace")[-2000:]
                self.close()
                raise RuntimeError(f"{name} did not start:\n{text}")
            time.sleep(0.1)

    def answers(self):
        try:
            urllib.request.urlopen(self.endpoint, timeout=1).read()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def moto(self):
        self.version = version("moto")
        return [VENV / "bin" / "moto_server", "-H", "127.0.0.1", "-p", self.port], {}

    def ministack(self):
        self.version = version("ministack")
        return [VENV / "bin" / "ministack"], {"GATEWAY_PORT": str(self.port), "MINISTACK_HOST": "127.0.0.1", "LOG_LEVEL": "WARNING"}

    def elasticmq(self):
        maven, java = shutil.which("mvn"), shutil.which("java")
        if not (maven and java):
            raise RuntimeError("ElasticMQ needs Maven and Java; neither is a must for the others")
        (self.folder / "pom.xml").write_text(POM)
        subprocess.run([maven, "-q", "-B", "dependency:build-classpath", "-Dmdep.outputFile=classpath"], check=True, cwd=self.folder)
        classpath = (self.folder / "classpath").read_text().strip()
        jar = next(entry for entry in classpath.split(":") if "/elasticmq-server_" in entry)
        self.version = Path(jar).parent.name
        host = f'{{ protocol = http, host = "127.0.0.1", port = {self.port}, context-path = "" }}'
        (self.folder / "elasticmq.conf").write_text(
            f'include classpath("application.conf")\nnode-address {host}\n'
            f'rest-sqs {{ enabled = true, bind-port = {self.port}, bind-hostname = "127.0.0.1", sqs-limits = strict }}\n'
            "rest-stats { enabled = false }\n"
        )
        return [java, f"-Dconfig.file={self.folder / 'elasticmq.conf'}", "-cp", classpath, "org.elasticmq.server.Main"], {}

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def load(endpoint, options, messages, environment=None):
    """Runs the client; answers its lines, by phase. Raises what it said where it failed."""
    command = [TARGET / "examples" / "queue_load", "--endpoint", endpoint, "--messages", messages, *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, **(environment or {})}, timeout=1800)
    if done.returncode != 0:
        raise RuntimeError(" ".join(done.stderr.split("Stack backtrace")[0].split()) or f"it ended with {done.returncode}")
    return {line["phase"]: line for line in map(json.loads, done.stdout.splitlines())}


def measure(endpoint, options, seconds, environment=None):
    """As many messages as take about so long."""
    messages = 500
    while True:
        lines = load(endpoint, options, messages, environment)
        took = max(line["seconds"] for line in lines.values())
        if took > seconds * 0.4:
            return lines
        messages = min(messages * 20, max(messages * 2, int(messages * seconds / took)))


def compare(report, shape, found):
    """Lines of one shape: Millpond's, then each peer's with the ratio."""
    ours = found["millpond"]
    for phase in ours:
        rate = ours[phase]["per_second"]
        figure = f"{rate:,.0f}/s"
        times = f"p50 {ours[phase]['p50_ms']:.1f} ms, p99 {ours[phase]['p99_ms']:.1f} ms; aim: {AIM:,}"
        report.add(f"{phase}, {shape}: Millpond (synced)", figure, times)
        for who, lines in found.items():
            if who == "millpond":
                continue
            if isinstance(lines, str):
                report.add(f"  {who}", "–", lines[:160])
            else:
                theirs = lines[phase]["per_second"]
                twice = lines[phase].get("twice", 0)
                also = f"; {twice} of its messages came twice" if twice else ""
                report.add(f"  {who} (in memory)", f"{theirs:,.0f}/s", f"Millpond has {rate / theirs:.2f} x its rate{also}")


def million(report, lake, environment):
    """Whether a queue that holds a million messages is as fast as one that holds none."""
    sqs = lake.client("sqs")
    url = sqs.create_queue(QueueName="million")["QueueUrl"]
    options = ["--batch", "10", "--connections", "8", "--queue", "million"]
    fresh = load(lake.endpoint, options, 20_000, environment)
    command = [TARGET / "examples" / "queue_load", "--endpoint", lake.endpoint, "--messages", "1000000", "--send-only", *options]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, env={**os.environ, **environment})
    began = time.perf_counter()
    held = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    counted = time.perf_counter() - began
    assert held == {"ApproximateNumberOfMessages": "1000000"}, held
    full = load(lake.endpoint, [*options, "--any"], 20_000, environment)
    for phase, line in full.items():
        ratio = f"{line['per_second'] / fresh[phase]['per_second']:.2f} x the rate of an empty queue"
        report.add(f"{phase}, ten a request, with a million messages there", f"{line['per_second']:,.0f}/s", ratio)
    report.add("  counting them (GetQueueAttributes)", f"{counted * 1e3:.0f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="*", default=["moto", "ministack", "elasticmq"], help="moto ministack elasticmq (all)")
    parser.add_argument("--seconds", type=float, default=10, help="how long each measurement takes, about")
    parser.add_argument("--million", action="store_true", help="also measure a queue that holds a million messages")
    parser.add_argument("--no-build", action="store_true", help="measure the binaries that are there")
    arguments = parser.parse_args()
    prepare(not arguments.no_build)
    import harness

    report, found, versions = Report(), {shape: {} for shape, _ in SHAPES}, []
    print(f"{datetime.date.today()}, {len(os.sched_getaffinity(0))} cores, {platform.machine()}, Linux {platform.release()}\n")
    lake = new_lake("")
    try:
        keys = lake.credentials
        environment = {"AWS_ACCESS_KEY_ID": keys["access_key_id"], "AWS_SECRET_ACCESS_KEY": keys["secret_access_key"]}
        for shape, options in SHAPES:
            found[shape]["millpond"] = measure(lake.endpoint, options, arguments.seconds, environment)
            twice = [line.get("twice", 0) for line in found[shape]["millpond"].values()]
            assert not any(twice), f"{shape}: {twice} messages came twice"
        memory = lake.rss_kib("VmHWM") / 1000
        if arguments.million:
            million(report, lake, environment)
    finally:
        harness.discard(lake)
    for name in (name for name in arguments.peers if name != "none"):
        try:
            peer = Peer(name)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            print(f"  {name} is not measured: {error}", file=sys.stderr)
            continue
        versions.append(f"{name} {peer.version}")
        try:
            for shape, options in SHAPES:
                try:
                    found[shape][name] = measure(peer.endpoint, options, arguments.seconds)
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    found[shape][name] = f"failed: {error}"
        finally:
            peer.close()
    print(f"peers: {', '.join(versions) or 'none'}")
    for shape, _ in SHAPES:
        compare(report, shape, found[shape])
    report.add("peak memory of Millpond meanwhile", f"{memory:.0f} MB")
    print(f"\n{report.markdown()}")


if __name__ == "__main__":
    main()
