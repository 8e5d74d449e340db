"""The 22 queries of TPC-H at scale 1 through the Athena API, one client, against DuckDB on the same Parquet files with as many threads.

Rounds alternate between the two, and the best of each counts. A query that fails counts against the total: there is no ratio then. Results are
compared cell by cell: numbers within a relative 1e-9, or rounded as Trino rounds them (its averages and quotients of decimals are decimals).
"""

import decimal
import math
import re
import subprocess
import time

from common import BENCH, DATA, VENV, new_lake

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
AIM = 1.3
# The client's own work at each look is taken from the server's cores: at 2 ms it is two fifths of one.
POLL_SECONDS = 0.01


def queries():
    """Name to text."""
    parts = re.split(r"^-- (Q\d+)$", (BENCH / "tpch.sql").read_text(), flags=re.M)[1:]
    return {name: text.strip().rstrip(";") for name, text in zip(parts[::2], parts[1::2])}


def files():
    """The Parquet files, made once: table to path."""
    folder = DATA / "tpch"
    if not (folder / "supplier.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([VENV / "bin" / "tpchgen-cli", "parquet", "-s", "1", "--output-dir", folder], check=True)
    for table in TABLES:  # into the page cache, for all alike
        with open(folder / f"{table}.parquet", "rb") as file:
            while file.read(1 << 24):
                pass
    return {table: folder / f"{table}.parquet" for table in TABLES}


def hive_type(kind):
    """DuckDB's name of a type in Hive's words."""
    names = {"BIGINT": "bigint", "INTEGER": "int", "VARCHAR": "string", "DATE": "date", "DOUBLE": "double"}
    return names[kind] if kind in names else kind.lower()


def into_lake(lake, paths, duck, database="tpch"):
    """Puts the files, and makes a table of each."""
    lake.bucket("tpch")
    lake.sql(f"CREATE DATABASE {database}")
    for table, path in paths.items():
        lake.millpond("put", "-q", path, f"s3://tpch/{table}/", timeout_s=600)
        columns = duck.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()
        shape = ", ".join(f"`{name}` {hive_type(kind)}" for name, kind, *_ in columns)
        lake.sql(f"CREATE EXTERNAL TABLE {table} ({shape}) STORED AS PARQUET LOCATION 's3://tpch/{table}/'", database)


def same(ours, theirs):
    """Whether two cells say the same: Athena's text, and DuckDB's value."""
    if ours is None or theirs is None:
        return ours is None and theirs is None
    if isinstance(theirs, (int, float, decimal.Decimal)):
        last_digit = 10.0 ** -len(ours.partition(".")[2]) if "E" not in ours else 0.0
        return math.isclose(float(ours), float(theirs), rel_tol=1e-9, abs_tol=max(1e-9, last_digit * 0.51 if "." in ours else 0.0))
    return ours == str(theirs)


def differ(ours, theirs):
    """Where two results differ first; `None` where they do not."""
    if len(ours) != len(theirs):
        return f"{len(ours)} rows, DuckDB has {len(theirs)}"
    for number, (left, right) in enumerate(zip(ours, theirs), 1):
        if len(left) != len(right) or not all(map(same, left, right)):
            return f"row {number}: {left}, DuckDB: {right}"
    return None


def by_athena(lake, sql, database):
    """Answers seconds from StartQueryExecution until SUCCEEDED is seen, the engine's milliseconds, and the rows (read afterwards)."""
    athena = lake.client("athena")
    began = time.perf_counter()
    query_id = athena.start_query_execution(QueryString=sql, QueryExecutionContext={"Database": database})["QueryExecutionId"]
    while True:
        execution = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
        if execution["Status"]["State"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
            break
        time.sleep(POLL_SECONDS)
    took = time.perf_counter() - began
    if execution["Status"]["State"] != "SUCCEEDED":
        raise RuntimeError(execution["Status"].get("StateChangeReason", "no reason was given"))
    rows = []
    for page in athena.get_paginator("get_query_results").paginate(QueryExecutionId=query_id):
        rows += [[cell.get("VarCharValue") for cell in row["Data"]] for row in page["ResultSet"]["Rows"]]
    return took, execution["Statistics"]["EngineExecutionTimeInMillis"], rows[1:]


def compare(lakes, duck, database, rounds, only=()):
    """Best seconds of each: query to (those of the lakes in their order, DuckDB's); and what failed: query to reason."""
    best, failed = {}, {}
    for name, sql in queries().items():
        if only and name not in only:
            continue
        ours, theirs = [[] for _ in lakes], []
        for number in range(rounds):
            began = time.perf_counter()
            expected = duck.execute(sql).fetchall()
            theirs.append(time.perf_counter() - began)
            for lake, times in zip(lakes, ours):
                try:
                    took, _, rows = by_athena(lake, sql, database)
                except RuntimeError as error:
                    failed[name] = str(error)
                    break
                times.append(took)
                wrong = differ(rows, expected) if number == 0 else None
                if wrong:
                    failed[name] = f"another result: {wrong}"
        if all(ours):
            best[name] = ([min(times) for times in ours], min(theirs))
    return best, failed


def tpch(report, threads, rounds):
    import duckdb
    import harness

    paths = files()
    duck = duckdb.connect(config={"threads": threads})
    for table, path in paths.items():
        duck.execute(f"CREATE VIEW {table} AS SELECT * FROM '{path}'")
    # As it comes, and with every page unpacked by every query, as when each is asked once.
    lakes = [new_lake(""), new_lake('[limits]\npage_cache = "0B"\n')]
    try:
        for lake in lakes:
            into_lake(lake, paths, duck)
        best, failed = compare(lakes, duck, "tpch", rounds)
        for name, ((ours, bare), theirs) in best.items():
            figure = f"{ours * 1e3:,.0f} ms"
            report.add(f"TPC-H {name} through Athena's API", figure, f"{ours / theirs:.2f} x DuckDB's {theirs * 1e3:,.0f} ms; no pages kept: {bare / theirs:.2f} x")
        for name, reason in failed.items():
            report.add(f"TPC-H {name}", "FAILED", reason.replace("\n", " ")[:200])
        if best:
            what = f"TPC-H at scale 1, {len(best) - len(set(best) & set(failed))} of 22 queries"
            for index, how in enumerate(("", ", no pages kept")):
                pairs = [(ours[index], theirs) for ours, theirs in best.values()]
                ours, theirs = (sum(pair[side] for pair in pairs) for side in (0, 1))
                mean = math.exp(sum(math.log(a / b) for a, b in pairs) / len(pairs))
                report.add(f"{what}: sum{how}", f"{ours:.2f} s", f"{ours / theirs:.2f} x DuckDB's {theirs:.2f} s; aim: at most {AIM}")
                report.add(f"{what}: geometric mean{how}", f"{mean:.2f} x", f"aim: at most {AIM}")
        for lake, how in zip(lakes, ("", ", no pages kept")):
            report.add(f"peak memory of the server meanwhile{how}", f"{lake.rss_kib('VmHWM') / 1000:.0f} MB")
    finally:
        for lake in lakes:
            harness.discard(lake)
