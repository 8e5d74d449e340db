#!/usr/bin/env python3
"""Measures Glue's Spark scripts: how soon a small one is done (beside the same script on PySpark in local mode), lineitem from CSV to Parquet beside the
`millpond` job, and lineitem into a DynamoDB table by a script. A part of run.py (`scripts`), or on its own:

    python3 bench/scripts.py --binary target/release/millpond bench/data/lineitem.csv [small parquet items]

The environments of the engines are installed before anything is timed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import DATA, REPO, TARGET, Report

PACKAGES = REPO / "crates" / "millpond-scripts" / "python"
ROLE = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
ROUNDS = 5

#: As people write it: a table of the catalog to Parquet.
CONVERT = """
import sys
from awsglue.transforms import *
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext
from awsglue.context import GlueContext
from awsglue.job import Job

args = getResolvedOptions(sys.argv, ['JOB_NAME', 'table', 'target'])
sc = SparkContext()
glueContext = GlueContext(sc)
spark = glueContext.spark_session
job = Job(glueContext)
job.init(args['JOB_NAME'], args)
datasource0 = glueContext.create_dynamic_frame.from_catalog(database = "bench", table_name = args['table'], transformation_ctx = "datasource0")
datasink4 = glueContext.write_dynamic_frame.from_options(frame = datasource0, connection_type = "s3",
    connection_options = {"path": args['target']}, format = "parquet", transformation_ctx = "datasink4")
job.commit()
"""


class Bench:
    """A lake with a bucket, a role, a database, and tables of the small file and of lineitem."""

    def __init__(self, binary, environments):
        import harness

        os.environ["MILLPOND_BIN"] = str(binary)
        os.environ["MILLPOND_ENVIRONMENTS"] = str(environments)
        DATA.mkdir(exist_ok=True)
        tempfile.tempdir = str(DATA)
        self.lake = harness.new_lake("")
        self.discard = lambda: harness.discard(self.lake)
        self.glue = self.lake.client("glue")
        self.role = self.lake.client("iam").create_role(RoleName="bench", AssumeRolePolicyDocument=json.dumps(ROLE))["Role"]["Arn"]
        self.lake.bucket("bench")
        self.glue.create_database(DatabaseInput={"Name": "bench"})

    def table(self, name, path):
        """A file in the lake, and a crawler's table over it."""
        self.lake.client("s3", read_timeout=600).upload_file(str(path), "bench", f"{name}/{Path(path).name}")
        self.glue.create_crawler(Name=name, Role=self.role, DatabaseName="bench", Targets={"S3Targets": [{"Path": f"s3://bench/{name}/"}]})
        found = self.lake.crawl(name, timeout_s=600)
        assert found["Status"] == "SUCCEEDED", found

    def script(self, name, text, **arguments):
        """A job of a script."""
        self.lake.put("bench", f"scripts/{name}.py", text)
        defaults = {f"--{key}": value for key, value in arguments.items()}
        command = {"Name": "glueetl", "ScriptLocation": f"s3://bench/scripts/{name}.py", "PythonVersion": "3"}
        self.glue.create_job(
            Name=name, Role=self.role, Command=command, DefaultArguments=defaults, GlueVersion="5.0", WorkerType="G.1X", NumberOfWorkers=4
        )

    def seconds(self, name, **arguments):
        """From StartJobRun to SUCCEEDED."""
        started = time.perf_counter()
        run = self.lake.run_job(name, timeout_s=3600, Arguments={f"--{key}": value for key, value in arguments.items()})
        took = time.perf_counter() - started
        assert run["JobRunState"] == "SUCCEEDED", run.get("ErrorMessage")
        return took


def pyspark(bench, script, arguments):
    """Seconds of the same script on PySpark in local mode, as a process; None where there is no Java."""
    from glue_env import scripts_python

    if subprocess.run(["java", "-version"], capture_output=True).returncode != 0:
        return None
    python = scripts_python("pyspark")
    environment = {**bench.lake.env, "PYTHONPATH": str(PACKAGES), "MILLPOND_ENGINE": "pyspark"}
    subprocess.run([python, "-m", "millpond_job.jars"], env=environment, check=True)
    started = time.perf_counter()
    subprocess.run([python, "-m", "millpond_job", script, *arguments], env=environment, check=True, capture_output=True, timeout=600)
    return time.perf_counter() - started


def small(report, bench):
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        path = Path(folder) / "small.csv"
        path.write_text("id,name,price\n" + "".join(f"{number},name {number},{number}.25\n" for number in range(1000)))
        script = Path(folder) / "small.py"
        script.write_text(CONVERT)
        bench.table("small", path)
        bench.script("small", CONVERT, table="small", target="s3://bench/out/small/")
        bench.lake.restart()
        bench.glue = bench.lake.client("glue")
        cold = bench.seconds("small")
        warm = statistics.median(bench.seconds("small") for _ in range(ROUNDS))
        peer = pyspark(bench, script, ["--JOB_NAME", "small", "--table", "small", "--target", "s3://bench/out/peer/"])
    compared = f"PySpark in local mode: {peer:.1f} s, {peer / warm:.0f} x" if peer else ""
    report.add("Glue script on a small file, first after the server's start", f"{cold:.2f} s")
    report.add(f"Glue script on a small file, median of {ROUNDS}", f"{warm:.2f} s", compared)


def parquet(report, bench):
    bench.script("convert", CONVERT, table="lineitem", target="s3://bench/out/script/")
    target = {"--target-database": "bench", "--target-table": "lineitem_parquet", "--target-location": "s3://bench/out/job/"}
    source = {"--source-database": "bench", "--source-table": "lineitem"}
    options = {"--job-bookmark-option": "job-bookmark-disable"}
    bench.glue.create_job(Name="job", Role=bench.role, Command={"Name": "millpond"}, DefaultArguments={**source, **target, **options})
    jobs, scripts = [], []
    for number in range(3):
        jobs.append(bench.seconds("job", **{"target-table": f"job{number}", "target-location": f"s3://bench/out/job{number}/"}))
        scripts.append(bench.seconds("convert", target=f"s3://bench/out/script{number}/"))
    job, script = statistics.median(jobs), statistics.median(scripts)
    report.add("lineitem (766 MB CSV) to Parquet: the `millpond` job", f"{job:.2f} s")
    report.add("lineitem (766 MB CSV) to Parquet: a Glue Spark script", f"{script:.2f} s", f"{script / job:.2f} x the job's time")


def items(report, bench, rows):
    text = (REPO / "examples" / "glue" / "csv_to_items.py").read_text()
    bench.script("items", text, SOURCE="s3://bench/lineitem/", ITEMS="lineitem", TempDir="s3://bench/temp/")
    took = bench.seconds("items")
    found = bench.lake.client("dynamodb").describe_table(TableName="lineitem")["Table"]["ItemCount"]
    report.add(
        "lineitem into DynamoDB by a Glue Spark script (md5 ids, dropDuplicates)", f"{took:.0f} s", f"{rows / took:,.0f} items/s; {found:,} items"
    )


def scripts(report, source, rows, binary=None, environments=None, parts=("small", "parquet", "items")):
    bench = Bench(binary or TARGET / "millpond", environments or REPO / "target" / "environments")
    try:
        bench.script("warm-up", "print('installs the environment')\n")
        bench.seconds("warm-up")
        if "small" in parts:
            small(report, bench)
        if "parquet" in parts or "items" in parts:
            bench.table("lineitem", source)
        if "parquet" in parts:
            parquet(report, bench)
        if "items" in parts:
            items(report, bench, rows)
    finally:
        bench.discard()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="lineitem as CSV")
    parser.add_argument("parts", nargs="*", help="small parquet items (all)")
    parser.add_argument("--binary", default=TARGET / "millpond", type=Path)
    given = parser.parse_args()
    with open(given.source, "rb") as file:
        rows = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 24), b"")) - 1
    report = Report()
    scripts(report, Path(given.source).resolve(), rows, given.binary.resolve(), parts=given.parts or ("small", "parquet", "items"))
    print(f"\n{report.markdown()}")


if __name__ == "__main__":
    sys.exit(main())
