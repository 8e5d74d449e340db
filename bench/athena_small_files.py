"""`count(*)` and a sum over many small Parquet files, against DuckDB on the same files with as many threads."""

import shutil
import statistics
import tempfile
import time
from pathlib import Path

from common import DATA, new_lake


def small_files(report, threads, count=10_000, rounds=3):
    import duckdb
    import harness

    from athena_tpch import by_athena

    lake = new_lake("")
    folder = Path(tempfile.mkdtemp(dir=DATA))
    duck = duckdb.connect(config={"threads": threads})
    try:
        whole = folder / "0.parquet"
        duck.execute(f"COPY (SELECT range AS id, 'text ' || range AS word FROM range(100)) TO '{whole}' (FORMAT parquet)")
        for number in range(1, count):
            shutil.copy(whole, folder / f"{number}.parquet")
        lake.bucket("small")
        lake.millpond("put", "-q", folder, "s3://small/files/", timeout_s=1800)
        lake.sql("CREATE DATABASE small")
        key = lake.client("s3").list_objects_v2(Bucket="small", MaxKeys=1)["Contents"][0]["Key"]
        location = key.rsplit("/", 1)[0]
        lake.sql(f"CREATE EXTERNAL TABLE t (id bigint, word string) STORED AS PARQUET LOCATION 's3://small/{location}/'", "small")
        for name, sql, expected in (("count(*)", "SELECT count(*) FROM {}", 100 * count), ("sum(id)", "SELECT sum(id) FROM {}", 4950 * count)):
            ours, theirs = [], []
            for _ in range(rounds):
                began = time.perf_counter()
                assert duck.execute(sql.format(f"'{folder}/*.parquet'")).fetchone()[0] == expected
                theirs.append(time.perf_counter() - began)
                took, _, rows = by_athena(lake, sql.format("t"), "small")
                assert rows == [[str(expected)]], rows
                ours.append(took)
            ours, theirs = statistics.median(ours), statistics.median(theirs)
            report.add(f"{name} over {count:,} small files", f"{ours:.2f} s", f"{ours / theirs:.2f} x DuckDB's {theirs:.2f} s")
        report.add("peak memory of the server meanwhile", f"{lake.rss_kib('VmHWM') / 1000:.0f} MB")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        harness.discard(lake)
