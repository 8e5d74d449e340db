#!/usr/bin/env python3
"""Measures Millpond against DuckDB, Polars and chDB on this machine, all in one run, and prints one table with ratios.

    python3 bench/run.py                      everything (about 20 minutes on two cores)
    python3 bench/run.py convert whole        some of it: convert whole latency many footprint functions uploads items scripts
                                              athena-tpch athena-latency athena-partitions athena-small-files athena-wide-rows
    python3 bench/run.py --files 1000 many    smaller

It makes a virtual environment in bench/.venv with the peers, generates TPC-H lineitem at scale 1 into bench/data (tpchgen-cli), and builds
Millpond (release). Nothing else should run meanwhile.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import athena_latency
import athena_partitions
import athena_small_files
import athena_tpch
import athena_wide_rows
import items
import links
import scripts
from common import BENCH, DATA, REPO, TARGET, VENV, Report, new_lake

ROWS = 6_001_215
PEERS = ("duckdb", "polars", "chdb")
PARTS = ["convert", "whole", "latency", "many", "footprint", "functions", "uploads", "items", "scripts"]
PARTS += ["athena-tpch", "athena-latency", "athena-partitions", "athena-small-files", "athena-wide-rows"]


def prepare(build):
    """The virtual environment (this program starts itself again in it), the data, and the binaries."""
    requirements, stamp = BENCH / "requirements.txt", VENV / ".requirements"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([VENV / "bin" / "pip", "install", "--quiet", "-r", requirements], check=True)
        stamp.write_text(requirements.read_text())
    if Path(sys.prefix) != VENV:
        os.execv(VENV / "bin" / "python", [str(VENV / "bin" / "python"), __file__, *sys.argv[1:]])
    if build:
        what = ["-p", "millpond", "-p", "millpond-engine", "--bin", "millpond", "--example", "convert_csv", "--example", "items_load"]
        subprocess.run(["cargo", "build", "--release", "--quiet", *what], check=True, cwd=REPO)


def lineitem():
    path = DATA / "lineitem.csv"
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        subprocess.run([VENV / "bin" / "tpchgen-cli", "csv", "-s", "1", "--tables", "lineitem", "--output-dir", DATA], check=True)
    with open(path, "rb") as file:  # into the page cache, for all alike
        while file.read(1 << 24):
            pass
    return path


def timed(command):
    """Runs a program; answers its output and its peak memory in bytes."""
    reading, writing = os.pipe()
    process = subprocess.Popen(list(map(str, command)), stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    with os.fdopen(reading) as out:
        output = out.read()
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command} ended with {process.returncode}:\n{errors}")
    return output, usage.ru_maxrss * 1024


def digest(folder):
    """What must be the same of everybody's output."""
    code = (
        "import duckdb, sys; print(duckdb.sql(f\"select count(*), sum(l_orderkey), sum(l_extendedprice), min(l_shipdate), max(l_receiptdate), "
        "sum(hash(l_comment) % 1000003), typeof(any_value(l_tax)) from '{sys.argv[1]}/out*.parquet'\").fetchall())"
    )
    return subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True).stdout


def convert(report, rounds):
    """lineitem.csv to zstd Parquet, by each in turn; the median of the rounds."""
    from peers import TYPES

    source = lineitem()
    types = ",".join(f"{name}:{kind}" for name, kind in TYPES)
    seconds, memory, sizes, digests = {}, {}, {}, set()
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        target = Path(folder) / "out.parquet"
        for _ in range(rounds):
            for who in ("millpond", *PEERS):
                if who == "millpond":
                    output, peak = timed([TARGET / "examples" / "convert_csv", source, target, types])
                    took = float(re.findall(r"^([\d.]+) s: 6001215 rows in, 6001215 rows out, 0 quarantined", output, re.M)[0])
                else:
                    output, peak = timed([sys.executable, BENCH / "peers.py", who, source, target])
                    took = float(output.split()[-1])
                seconds.setdefault(who, []).append(took)
                memory[who] = max(memory.get(who, 0), peak)
                digests.add(digest(folder))
                written = list(Path(folder).glob("out*.parquet"))
                sizes[who] = sum(file.stat().st_size for file in written)
                for file in written:
                    file.unlink()
    assert len(digests) == 1, f"the outputs differ: {digests}"
    best = {who: statistics.median(times) for who, times in seconds.items()}
    for who in ("millpond", *PEERS):
        ratio = "" if who == "millpond" else f"Millpond takes {best['millpond'] / best[who]:.2f} x its time"
        figure = f"{best[who]:.2f} s, {memory[who] / 1e6:.0f} MB"
        report.add(f"convert lineitem (766 MB CSV) to Parquet: {who} ({sizes[who] / 1e6:.0f} MB)", figure, ratio)
    return best


def flow(name):
    return f'[[flow]]\nname = "{name}"\nfrom = "s3://raw/{name}/"\nto = "processed.{name}"\n'


def wait_rows(lake, table, rows):
    from lakes import count

    while (found := count(lake, table)) < rows:
        time.sleep(0.002)
    assert found == rows, f"{found} rows, {rows} were put"


def whole(report, baseline):
    """`millpond put` of lineitem.csv until SQL counts its rows; then the peak memory."""
    import harness

    source = lineitem()
    lake = new_lake(flow("lineitem"))
    try:
        began = time.perf_counter()
        lake.millpond("put", "-q", source, "s3://raw/lineitem/")
        put = time.perf_counter() - began
        wait_rows(lake, "processed.lineitem", ROWS)
        took = time.perf_counter() - began
        ratio = f"{took / baseline['duckdb']:.2f} x DuckDB's conversion alone" if baseline else ""
        report.add("whole path: put lineitem until SQL counts its rows", f"{took:.2f} s", ratio)
        report.add("  of which the put", f"{put:.2f} s")
        report.add("peak memory of the server meanwhile", f"{lake.rss_kib('VmHWM') / 1000:.0f} MB", "aim: under 1,074 MB")
    finally:
        harness.discard(lake)


def synced_write(folder):
    """The median of a 4 KiB write with fdatasync, in seconds."""
    path, times = Path(folder) / "synced", []
    with open(path, "wb", buffering=0) as file:
        for _ in range(500):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    path.unlink()
    return statistics.median(times)


def latency(report, files):
    """Small files one after another: from the answer to PutObject until SQL sees the rows."""
    import harness
    from lakes import count, wait_count

    lake = new_lake(flow("small"))
    try:
        s3 = lake.client("s3")
        unit = synced_write(lake.data)
        header = "id,name,price\n"
        s3.put_object(Bucket="raw", Key="small/first.csv", Body=f"{header}0,a,1.5\n".encode())
        wait_count(lake, "processed.small", 1)
        times = []
        for number in range(1, files + 1):
            body = f"{header}{number},name {number},{number}.5\n".encode()
            s3.put_object(Bucket="raw", Key=f"small/{number}.csv", Body=body)
            began = time.perf_counter()
            while count(lake, "processed.small") < number + 1:
                pass
            times.append(time.perf_counter() - began)
        times.sort()
        p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
        report.add("a synced 4 KiB write on this disk", f"{unit * 1e3:.2f} ms")
        for name, value, aim in (("p50", p50, "aim: under 100 ms"), ("p99", p99, "")):
            what = f"latency of {files} small files, put to SQL, {name}"
            report.add(what, f"{value * 1e3:.1f} ms", f"{value / unit:.0f} synced writes" + (f"; {aim}" if aim else ""))
    finally:
        harness.discard(lake)


def many(report, counts):
    """So many files of 1 KB at once, until all rows are visible."""
    import harness

    rates = []
    for files in counts:
        lake = new_lake(flow("many"))
        folder = Path(tempfile.mkdtemp())
        try:
            for number in range(files):
                rows = "".join(f"{number},{row},{'x' * 24}\n" for row in range(28))
                (folder / f"{number:06}.csv").write_text("file,row,text\n" + rows)
            began = time.perf_counter()
            lake.millpond("put", "-q", folder, "s3://raw/many/", timeout_s=1800)
            put = time.perf_counter() - began
            wait_rows(lake, "processed.many", files * 28)
            took = time.perf_counter() - began
            rates.append(files / took)
            runs = len(lake.client("glue").get_job_runs(JobName="millpond-flow-many", MaxResults=200)["JobRuns"])
            ratio = f"{runs} job runs; {rates[-1] / rates[0]:.2f} x the rate of {counts[0]:,}" if len(rates) > 1 else f"{runs} job runs"
            report.add(f"{files:,} files of 1 KB at once", f"{took:.1f} s, {rates[-1]:,.0f} files/s", f"put {put:.1f} s; {ratio}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            harness.discard(lake)


def footprint(report, rounds=20):
    """From the start of the process to its first answer, and memory at rest."""
    import harness

    lake = new_lake("")
    try:
        lake.stop()
        times = []
        for _ in range(rounds):
            lake.listen = f"127.0.0.1:{harness.free_port()}"
            began = time.perf_counter()
            command = [harness.binary(), "up", "--data", lake.data, "--listen", lake.listen]
            process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while True:
                try:
                    urllib.request.urlopen(f"http://{lake.listen}/_millpond/health", timeout=1).read()
                    break
                except OSError:
                    time.sleep(0.0005)
            times.append(time.perf_counter() - began)
            process.terminate()
            process.wait()
        report.add("start to the first answered request, median", f"{statistics.median(times) * 1e3:.0f} ms", "aim: under 100 ms")
        lake.start()
        lake.client("s3").list_buckets()
        time.sleep(3)
        report.add("memory at rest", f"{lake.rss_kib() / 1000:.0f} MB", "aim: under 52 MB")
        report.add("size of the binary", f"{(TARGET / 'millpond').stat().st_size / 1e6:.0f} MB")
    finally:
        harness.discard(lake)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"{' '.join(PARTS)} (all)")
    parser.add_argument("--rounds", type=int, default=None, help="rounds of convert (3) and athena-tpch (5)")
    parser.add_argument("--files", type=int, default=None, help="files of latency, many and athena-small-files")
    parser.add_argument("--no-build", action="store_true", help="measure the binaries that are there")
    arguments = parser.parse_args()
    parts = arguments.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(unknown)}")
    prepare(not arguments.no_build)
    cores = len(os.sched_getaffinity(0))
    names = json.loads(subprocess.run([VENV / "bin" / "pip", "list", "--format", "json"], capture_output=True, text=True, check=True).stdout)
    versions = ", ".join(f"{one['name']} {one['version']}" for one in names if one["name"] in (*PEERS, "tpchgen-cli"))
    print(f"{datetime.date.today()}, {cores} cores, {platform.machine()}, Linux {platform.release()}; {versions}\n")
    report, baseline = Report(), None
    if "convert" in parts:
        baseline = convert(report, arguments.rounds or 3)
    if "whole" in parts:
        whole(report, baseline)
    if "latency" in parts:
        latency(report, arguments.files or 1000)
    if "many" in parts:
        many(report, [arguments.files] if arguments.files else [10_000, 50_000])
    if "footprint" in parts:
        footprint(report)
    if "functions" in parts:
        links.functions(report)
    if "uploads" in parts:
        links.uploads(report)
    if "items" in parts:
        items.items(report, lineitem(), ROWS)
    if "scripts" in parts:
        scripts.scripts(report, lineitem(), ROWS)
    if "athena-tpch" in parts:
        athena_tpch.tpch(report, cores, arguments.rounds or 5)
    if "athena-latency" in parts:
        athena_latency.latency(report)
    if "athena-partitions" in parts:
        athena_partitions.partitions(report)
    if "athena-small-files" in parts:
        athena_small_files.small_files(report, cores, arguments.files or 10_000)
    if "athena-wide-rows" in parts:
        athena_wide_rows.wide_rows(report, cores)
    print(f"\n{report.markdown()}")


if __name__ == "__main__":
    main()
