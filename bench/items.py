"""Tables of items: lineitem from CSV into a table, and single items over HTTP; against DynamoDB Local (or dynalite) and moto's server.

Millpond syncs each change to the disk before it answers; the peers keep theirs in memory. All are driven by the same client
(crates/millpond/examples/items_load.rs: signed requests of the JSON protocol), which takes its share of the same cores. Peers come by name:
DynamoDB Local from Maven Central where there are Maven and Java, else dynalite from npm; moto from PyPI. What cannot be had is not measured.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import queues
from common import DATA, TARGET, new_lake

VENV = DATA / "item-peers"
PYPI = ("moto[server]",)
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>bench</groupId><artifactId>items</artifactId><version>1</version>
<dependencies><dependency><groupId>com.amazonaws</groupId><artifactId>DynamoDBLocal</artifactId><version>[2.0,3)</version></dependency></dependencies>
</project>"""

# Options of the client: what is measured.
SINGLE = ["--connections", "64"]
BATCH = ["--connections", "16", "--batch", "25", "--put-only"]
AIM_LOAD, AIM_SINGLE = 100_000, 5_000


def by_flow(source):
    """From the end of the upload until the run of the flow has ended: crawl, conversion, load, commit. Answers seconds, items and memory."""
    import harness

    lake = new_lake('[[flow]]\nname = "lineitem"\nfrom = "s3://raw/lineitem/"\nto = "dynamodb:lineitem"\n')
    try:
        lake.millpond("put", "-q", source, "s3://raw/lineitem/")
        began = time.perf_counter()
        glue = lake.client("glue")

        def ended():
            runs = glue.get_job_runs(JobName="millpond-flow-lineitem")["JobRuns"]
            runs = [run for run in runs if run["JobRunState"] in ("SUCCEEDED", "FAILED", "TIMEOUT")]
            return runs and runs[0]

        run = harness.wait_until(ended, 1800, 0.02, "the end of the run")
        took = time.perf_counter() - began
        assert run["JobRunState"] == "SUCCEEDED" and "ErrorMessage" not in run, run
        memory = lake.rss_kib("VmHWM") / 1000
        lake.kill9()  # What a run has told is there whatever happens.
        lake.start()
        items = lake.client("dynamodb").describe_table(TableName="lineitem")["Table"]["ItemCount"]
        return took, items, memory
    finally:
        harness.discard(lake)


# How rows of CSV become items: name, and a function of the file that answers seconds, items and memory.
WAYS = {"through the flow, string attributes, ids by hash": by_flow}


class Peer(queues.Peer):
    """Another server of DynamoDB's protocol, in a process of its own on a free port, until it is closed."""

    def moto(self):
        stamp = VENV / ".requirements"
        if not stamp.exists() or stamp.read_text() != " ".join(PYPI):
            subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
            subprocess.run([VENV / "bin" / "pip", "install", "--quiet", *PYPI], check=True)
            stamp.write_text(" ".join(PYPI))
        shown = subprocess.run([VENV / "bin" / "pip", "show", "moto"], capture_output=True, text=True, check=True).stdout
        self.version = next(line.split()[1] for line in shown.splitlines() if line.startswith("Version:"))
        return [VENV / "bin" / "moto_server", "-H", "127.0.0.1", "-p", self.port], {}

    def dynamodb_local(self):
        maven, java = shutil.which("mvn"), shutil.which("java")
        if not (maven and java):
            raise RuntimeError("DynamoDB Local needs Maven and Java; neither is a must for the others")
        (self.folder / "pom.xml").write_text(POM)
        subprocess.run([maven, "-q", "-B", "dependency:build-classpath", "-Dmdep.outputFile=classpath"], check=True, cwd=self.folder)
        classpath = (self.folder / "classpath").read_text().strip()
        jars = classpath.split(":")
        self.version = next(Path(jar).parent.name for jar in jars if "/DynamoDBLocal-" in jar)
        machine = {"x86_64": "linux-amd64", "i686": "linux-i386"}.get(os.uname().machine, os.uname().machine)
        native = next((Path(jar).parent for jar in jars if f"libsqlite4java-{machine}" in jar and jar.endswith(".so")), None)
        if native is None:
            raise RuntimeError(f"DynamoDB Local has no native library for {machine}")
        main = "com.amazonaws.services.dynamodbv2.local.main.ServerRunner"
        command = [java, f"-Dsqlite4java.library.path={native}", "-cp", classpath, main, "-inMemory", "-port", self.port]
        return command, {"DDB_LOCAL_TELEMETRY": "0"}

    def dynalite(self):
        npm, folder = shutil.which("npm"), DATA / "dynalite"
        if not npm:
            raise RuntimeError("dynalite needs npm")
        if not (folder / "node_modules" / "dynalite").exists():
            folder.mkdir(exist_ok=True)
            subprocess.run([npm, "install", "--silent", "--prefix", folder, "dynalite"], check=True, stdout=subprocess.DEVNULL)
        self.version = json.loads((folder / "node_modules" / "dynalite" / "package.json").read_text())["version"]
        return [folder / "node_modules" / ".bin" / "dynalite", "--port", self.port, "--createTableMs", "0"], {}


def load(endpoint, options, items, environment=None):
    """Runs the client; answers its lines, by phase. Raises what it said where it failed."""
    # A table of its own each time: none is there yet.
    table = f"load-{time.monotonic_ns()}"
    command = [TARGET / "examples" / "items_load", "--endpoint", endpoint, "--table", table, "--items", items, *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, **(environment or {})}, timeout=1800)
    if done.returncode != 0:
        raise RuntimeError(" ".join(done.stderr.split("Stack backtrace")[0].split()) or f"it ended with {done.returncode}")
    return {line["phase"]: line for line in map(json.loads, done.stdout.splitlines())}


def measure(endpoint, seconds=8, environment=None):
    """As many items as take about so long, one a request and in batches."""
    found = {}
    for options in (SINGLE, BATCH):
        items = 500
        while True:
            lines = load(endpoint, options, items, environment)
            took = min(line["seconds"] for line in lines.values())
            if took > seconds * 0.4:
                break
            items = min(items * 20, max(items * 2, int(items * seconds / took)))
        found.update(lines)
    return found


def peers(names):
    """Starts one after another; of those that do, answers what was measured."""
    for name in names:
        try:
            peer = Peer(name)
        except (RuntimeError, subprocess.CalledProcessError, StopIteration) as error:
            print(f"  {name} is not measured: {error}", file=sys.stderr)
            continue
        try:
            yield f"{name} {peer.version}", measure(peer.endpoint)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"  {name} failed: {error}", file=sys.stderr)
        finally:
            peer.close()


def items(report, source, rows):
    import harness

    rates = {}
    for way, load_by in WAYS.items():
        took, count, memory = load_by(source)
        assert count == rows, f"{count} items of {rows} rows"
        rates[way] = rows / took
        report.add(f"lineitem (CSV) into a table, {way}", f"{rates[way]:,.0f} items/s", f"{took:.1f} s, {memory:.0f} MB; aim: {AIM_LOAD:,}")
    lake = new_lake("")
    try:
        keys = lake.credentials
        ours = measure(lake.endpoint, environment={"AWS_ACCESS_KEY_ID": keys["access_key_id"], "AWS_SECRET_ACCESS_KEY": keys["secret_access_key"]})
    finally:
        harness.discard(lake)
    others = dict(peers(["dynamodb_local", "moto"]))
    if not any(name.startswith("dynamodb_local") for name in others):
        others.update(peers(["dynalite"]))
    for phase, line in ours.items():
        rate = line["per_second"]
        aim = f"; aim: {AIM_SINGLE:,}" if phase != "BatchWriteItem" else ""
        report.add(f"{phase} over HTTP: Millpond (synced)", f"{rate:,.0f} items/s", f"p50 {line['p50_ms']:.1f} ms, p99 {line['p99_ms']:.1f} ms{aim}")
        for who, lines in others.items():
            theirs = lines[phase]["per_second"]
            report.add(f"  {who} (in memory)", f"{theirs:,.0f} items/s", f"Millpond has {rate / theirs:.2f} x its rate")
    for way, rate in rates.items():
        for who, lines in others.items():
            theirs = lines["BatchWriteItem"]["per_second"]
            report.add(f"lineitem {way.split(',')[0]}, and BatchWriteItem of {who}", "", f"{rate / theirs:.1f} x its rate")
