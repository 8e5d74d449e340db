"""Rows of a hundred kilobytes and more: what statements over them take of memory, against DuckDB's with the same bound on what it may hold."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import DATA, new_lake

# 20,000 documents of 96 KB; 1.9 GB.
DOCUMENTS = "SELECT i AS n, repeat(md5(i::varchar), 3000) || i::varchar AS doc, i % 10 AS k FROM range(20000) t(i)"
COLUMNS = ", ".join(f"rpad('{n}', 30000 + CAST(n % 2 AS integer), 'x') AS c{n}" for n in range(20))
STATEMENTS = [
    ("a condition on 1.9 GB of documents", "SELECT count(*) FROM {} WHERE doc LIKE '%abc%'"),
    ("their lengths by group", "SELECT k, max(length(doc)), count(*) FROM {} GROUP BY k ORDER BY k"),
    ("the first three of them in order", "SELECT doc, n FROM {} ORDER BY doc LIMIT 3"),
    ("20 texts of 30 KB for each row", f"SELECT max(c1), min(c18) FROM (SELECT {COLUMNS} FROM {{}})"),
]
BOUND = "384MiB"

# Runs one statement, and tells the seconds that it took and the peak of the process in kB.
DUCK = """
import duckdb, resource, sys, time
path, sql, threads = sys.argv[1:]
duck = duckdb.connect(config={"threads": int(threads), "memory_limit": "%s"})
duck.execute("SET enable_progress_bar = false")
began = time.perf_counter()
duck.execute(sql.format(f"'{path}'")).fetchall()
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
""" % BOUND


def wide_rows(report, threads):
    import duckdb
    import harness

    from athena_tpch import by_athena

    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        path = Path(folder) / "documents.parquet"
        duckdb.execute(f"COPY ({DOCUMENTS}) TO '{path}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20000)")
        for name, sql in STATEMENTS:
            duck = subprocess.run([sys.executable, "-c", DUCK, path, sql, str(threads)], capture_output=True, text=True)
            if duck.returncode:
                theirs = "DuckDB: " + next(line for line in duck.stderr.splitlines() if "Error" in line)[:90]
            else:
                seconds, peak = map(float, duck.stdout.split())
                theirs = f"DuckDB: {seconds:.1f} s, {peak / 1000:.0f} MB"
            # Each has a server of its own: an allocator keeps what it had.
            lake = new_lake(f'[athena]\nquery_memory = "{BOUND}"\n')
            try:
                lake.bucket("wide")
                lake.client("s3").upload_file(str(path), "wide", "documents/1.parquet")
                lake.sql("CREATE DATABASE wide")
                lake.sql("CREATE EXTERNAL TABLE t (n bigint, doc string, k bigint) STORED AS PARQUET LOCATION 's3://wide/documents/'", "wide")
                Path(f"/proc/{lake.process.pid}/clear_refs").write_text("5")
                began = time.perf_counter()
                by_athena(lake, sql.format("t"), "wide")
                took = time.perf_counter() - began
                report.add(f"wide rows, query_memory {BOUND}: {name}", f"{took:.1f} s, {lake.rss_kib('VmHWM') / 1000:.0f} MB", theirs)
            finally:
                harness.discard(lake)
