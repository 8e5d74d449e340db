"""Limits of Athena's statements: memory and what is spilled, the queue, time, scanned bytes; broken files; statements and data that mean ill."""

import gzip
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from harness import QueryFailed, wait_until
from test_athena import rows, run, start, wait
from test_athena_service import cpu_seconds

CONFIG = """
[limits]
memory = "128MiB"
threads = 2
[athena]
query_memory = "{memory}"
dml_queries = {places}
ddl_queries = 1
queue = {queue}
timeout_s = {timeout_s}
"""

# Ends only when it is stopped.
ENDLESS = """SELECT count(*) FROM UNNEST(sequence(1, 10000)) a(x)
JOIN (SELECT y + z AS s FROM UNNEST(sequence(1, 10000)) b(y), UNNEST(sequence(1, 10000)) c(z)) ON (x + s) % 7 = 3"""


def config(memory="64MiB", places=4, queue=100, timeout_s=1800):
    return CONFIG.format(memory=memory, places=places, queue=queue, timeout_s=timeout_s)


def started(new_lake, **limits):
    lake = new_lake(config(**limits))
    for bucket in ("shop", "results"):
        lake.bucket(bucket)
    lake.sql("CREATE DATABASE shop")
    return lake


@pytest.fixture(scope="module")
def lake(module_lake):
    for bucket in ("shop", "results", "other"):
        module_lake.bucket(bucket)
    module_lake.sql("CREATE DATABASE shop")
    return module_lake


def state(lake, execution_id):
    return lake.client("athena").get_query_execution(QueryExecutionId=execution_id)["QueryExecution"]["Status"]["State"]


def failure(lake, sql, **more):
    """Why a statement failed, or was refused."""
    with pytest.raises((QueryFailed, ClientError)) as failed:
        lake.sql(sql, **more)
    return str(failed.value)


def spilled(lake):
    """Files in the folder that queries spill to."""
    return [path for path in (lake.data / "spill").rglob("*") if path.is_file()]


# Memory

WIDE = "SELECT x * 300 + y AS k, rpad(CAST((x * 7919) % 3001 * 300 + y AS varchar), 60, 'z') AS v FROM UNNEST(sequence(1, 1000)) a(x), UNNEST(sequence(1, 200)) b(y)"


def test_what_can_spill_does_and_leaves_nothing_behind(new_lake):
    lake = started(new_lake, memory="16MiB")
    lake.sql(f"CREATE TABLE shop.wide WITH (format = 'PARQUET', external_location = 's3://shop/wide/') AS {WIDE}")
    biggest = []

    def watched(sql):
        query = lake.start_query(sql)
        with ThreadPoolExecutor() as pool:
            ended = pool.submit(wait, lake.client("athena"), query)
            while not ended.done():
                biggest.append(len(spilled(lake)))
                time.sleep(0.002)
        execution = ended.result()
        assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
        return rows(lake.client("athena"), execution)[1:]

    # 200,000 rows of 60 letters and a key: more than the statement may hold.
    ordered = watched("SELECT v FROM shop.wide ORDER BY v, k OFFSET 199999")
    assert ordered == [["999" + "z" * 57]] or len(ordered) == 1
    assert max(biggest) > 0, "it spilled"
    biggest.clear()
    [[groups]] = watched("SELECT count(*) FROM (SELECT v, k, count(*) FROM shop.wide GROUP BY v, k)")
    assert groups == "200000"
    wait_until(lambda: not spilled(lake), what="the end of what was spilled")


def test_what_cannot_spill_fails_and_the_lake_goes_on(new_lake):
    lake = started(new_lake, memory="16MiB")
    wide = f"(SELECT k, rpad(v, 400, 'w') AS v FROM ({WIDE}))"
    for sql in (
        f"SELECT cardinality(array_agg(v)) FROM {wide}",
        f"SELECT cardinality(histogram(v)) FROM {wide}",
        # Joins without equal keys hold a side in memory.
        f"SELECT count(*) FROM {wide} a JOIN {wide} b ON a.k + b.k > 0 AND a.v > b.v",
        f"SELECT count(*) FROM {wide} a LEFT JOIN {wide} b ON a.k + b.k < 0 AND a.v > b.v",
    ):
        why = failure(lake, sql)
        assert "EXCEEDED_LOCAL_MEMORY_LIMIT: Query exceeded the engine's memory limit: " in why and not why.endswith(":"), why
        assert lake.scalar("SELECT 1 + 1") == "2"
    assert spilled(lake) == []


def test_wide_rows_take_no_more_than_the_statements_memory(new_lake):
    """Each of these took between two and twelve gigabytes once, or ended the query."""
    lake = started(new_lake, memory="96MiB")
    few = "(SELECT n FROM UNNEST(sequence(1, {})) AS u(n))".format
    json = "'[' || rpad('1', 200001 + 2 * (n % 2), ',1') || ']'"
    columns = ", ".join(f"rpad('{n}', 30000 + n % 2, 'x') AS c{n}" for n in range(20))
    for sql, expected in (
        (f"SELECT count(*), max(length(c7)) FROM (SELECT {columns} FROM {few(2000)}) WHERE c1 < c2 OR c3 > c4 OR c5 <> c6", ["2000", "30001"]),
        (f"SELECT max(length(CASE WHEN n % 2 = 0 THEN rpad('a', 1000000, 'x') ELSE 'b' END)) FROM {few(5000)}", ["1000000"]),
        (f"SELECT max(length(CASE WHEN n % 2 = 0 THEN x ELSE 'b' END)) FROM (SELECT n, rpad('a', 300000 + n % 2, 'x') x FROM {few(5000)})", ["300000"]),
        ("SELECT sum(length(x)) FROM (SELECT rpad('a', 3000000, 'x') x), UNNEST(sequence(1, 1000)) AS u(n)", ["3000000000"]),
        (f"SELECT sum(length(x) + b.n) FROM (SELECT n % 2 AS k, rpad('a', 200000 + n, 'x') x FROM {few(2)}) a JOIN {few(8000)} b ON a.k = b.n % 2", ["1632016000"]),
        (f"SELECT sum(cardinality(CAST(json_parse({json}) AS array(bigint)))) FROM {few(60)}", ["6000090"]),
        (f"SELECT sum(json_array_length(json_extract({json}, '$'))) FROM {few(60)}", ["6000090"]),
        (f"SELECT sum(cardinality(split(rpad('a', 100000 + n % 2, ','), ','))) FROM {few(100)}", ["10000050"]),
    ):
        execution = run(lake.client("athena"), sql)
        assert rows(lake.client("athena"), execution)[1] == expected, sql
    for sql in (
        "SELECT " + ", ".join(f"rpad('{n}', 9000000, 'x')" for n in range(20)),
        "SELECT " + ", ".join(f"rpad('{n}', 9000000 + n, 'x')" for n in range(20)) + f" FROM {few(2)}",
        f"SELECT sum(json_array_length(json_parse('[' || rpad('1', 9000001 + 2 * (n % 2), ',1') || ']'))) FROM {few(8)}",
        f"SELECT cardinality(map_agg(n, rpad('a', 30000 + n % 2, 'x'))) FROM {few(5000)}",
    ):
        why = failure(lake, sql)
        assert "EXCEEDED_LOCAL_MEMORY_LIMIT: " in why and not why.endswith(":"), (sql, why)
    assert lake.rss_kib("VmHWM") < 700 << 10


def test_a_kill_leaves_nothing_spilled(new_lake):
    lake = started(new_lake, memory="16MiB")
    query = lake.start_query(f"SELECT v FROM ({WIDE}) ORDER BY v, k OFFSET 199999")
    wait_until(lambda: spilled(lake) or state(lake, query) == "SUCCEEDED", every_s=0, what="a file")
    lake.kill9()
    left = spilled(lake)
    lake.start()
    assert not set(left) & set(spilled(lake)), "what a former process spilled is removed at the start"
    assert lake.wait_query(query, 120)["Status"]["State"] == "SUCCEEDED", "and the query runs again"
    wait_until(lambda: not spilled(lake), what="the end of what was spilled")


def test_one_side_of_a_join_that_does_not_fit_is_an_error_and_no_panic(new_lake):
    lake = started(new_lake, memory="16MiB")
    why = failure(lake, "SELECT count(*) FROM UNNEST(sequence(1, 10000)) a(x), UNNEST(sequence(1, 1000)) b(y), UNNEST(sequence(1, 100)) c(z) WHERE (x + y + z) % 7 = 3")
    assert "EXCEEDED_LOCAL_MEMORY_LIMIT" in why, why
    assert "panicked" not in lake.log(100_000)


# The queue


def test_queued_statements_run_in_their_turn_and_a_full_queue_refuses(new_lake):
    lake = started(new_lake, places=1, queue=3)
    athena = lake.client("athena")
    running = start(athena, ENDLESS)
    waiting = [start(athena, f"SELECT {number}") for number in range(3)]
    assert [state(lake, one) for one in (running, *waiting)] == ["RUNNING", "QUEUED", "QUEUED", "QUEUED"]
    with pytest.raises(ClientError) as refused:
        start(athena, "SELECT 4")
    assert refused.value.response["Error"]["Code"] == "TooManyRequestsException"
    assert refused.value.response["Reason"] == "CONCURRENT_QUERY_LIMIT_EXCEEDED"
    athena.stop_query_execution(QueryExecutionId=waiting[1])
    assert wait(athena, waiting[1])["Status"]["State"] == "CANCELLED"
    waiting.append(start(athena, "SELECT 4"))
    athena.stop_query_execution(QueryExecutionId=running)
    ended = [wait(athena, one) for one in waiting]
    assert [one["Status"]["State"] for one in ended] == ["SUCCEEDED", "CANCELLED", "SUCCEEDED", "SUCCEEDED"]
    done = [ended[index]["Status"]["CompletionDateTime"] for index in (0, 2, 3)]
    assert done == sorted(done), "the first come is the first served"
    for one in ended:
        spent = one["Statistics"]
        assert spent["TotalExecutionTimeInMillis"] >= spent["QueryQueueTimeInMillis"] >= 0
    assert ended[0]["Statistics"]["QueryQueueTimeInMillis"] > 0


def test_a_kill_in_the_middle_of_the_queue_loses_no_statement(new_lake):
    lake = started(new_lake, places=1)
    athena = lake.client("athena")
    running = start(athena, ENDLESS)
    waiting = [start(athena, f"SELECT {number}") for number in range(5)]
    stopped = start(athena, "SELECT 99")
    athena.stop_query_execution(QueryExecutionId=stopped)
    lake.kill9()
    lake.start()
    athena = lake.client("athena")
    # It is taken up again; who asked for it can stop it.
    wait_until(lambda: state(lake, running) == "RUNNING", what="the statement that was under way")
    athena.stop_query_execution(QueryExecutionId=running)
    ended = [wait(athena, one) for one in waiting]
    assert [rows(athena, one)[1] for one in ended] == [[str(number)] for number in range(5)]
    assert (state(lake, running), state(lake, stopped)) == ("CANCELLED", "CANCELLED")


def test_a_statement_that_takes_too_long_is_ended_and_costs_what_it_cost(new_lake):
    lake = started(new_lake, timeout_s=2)
    execution = lake.wait_query(lake.start_query(ENDLESS))
    status, spent = execution["Status"], execution["Statistics"]
    assert status["State"] == "FAILED" and status["StateChangeReason"].startswith("EXCEEDED_TIME_LIMIT: "), status
    assert 1000 <= spent["EngineExecutionTimeInMillis"] <= spent["TotalExecutionTimeInMillis"] < 20_000, spent
    pid = lake.process.pid

    def quiet():
        before = cpu_seconds(pid)
        time.sleep(1)
        return cpu_seconds(pid) - before < 0.3

    wait_until(quiet, what="the end of its work")


# What is scanned


@pytest.fixture(scope="module")
def scanned(lake):
    """A table of some 10 MB in text files, and workgroups that allow less and more."""
    athena = lake.client("athena")
    line = "x" * 999 + "\n"
    for number in range(6):
        lake.put("shop", f"log/{number}.txt", line * 3000)
    lake.sql("CREATE EXTERNAL TABLE shop.log (line string) LOCATION 's3://shop/log/'")
    settings = {"BytesScannedCutoffPerQuery": 10_000_000, "ResultConfiguration": {"OutputLocation": "s3://results/few/"}}
    athena.create_work_group(Name="few", Configuration=settings)
    return lake


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM shop.log WHERE line LIKE '%y%'",
        "CREATE TABLE shop.log_copy AS SELECT line FROM shop.log",
        "UNLOAD (SELECT line FROM shop.log) TO 's3://other/log/' WITH (format = 'PARQUET')",
        "SELECT count(*) FROM shop.log a JOIN shop.log b ON a.line = b.line || 'y'",
    ],
)
def test_the_cutoff_stops_whatever_reads_and_what_was_read_is_told(scanned, sql):
    athena = scanned.client("athena")
    execution = wait(athena, start(athena, sql, WorkGroup="few"))
    status, spent = execution["Status"], execution["Statistics"]
    assert (status["State"], status["StateChangeReason"]) == ("CANCELLED", "Bytes scanned limit was exceeded")
    assert 10_000_000 < spent["DataScannedInBytes"] <= 36_000_000, spent
    assert spent["TotalExecutionTimeInMillis"] >= spent["EngineExecutionTimeInMillis"] > 0, spent
    assert "Contents" not in scanned.client("s3").list_objects_v2(Bucket="other", Prefix="log/")


def test_a_cutoff_counts_all_queries_of_a_statement(scanned):
    athena = scanned.client("athena")
    run(athena, "CREATE TABLE shop.merged (line string, n int) LOCATION 's3://shop/merged/' TBLPROPERTIES ('table_type' = 'ICEBERG')")
    run(athena, "INSERT INTO shop.merged VALUES ('a', 1)")
    # Its source is read once to be held, so that no single query of the statement exceeds the limit.
    merge = "MERGE INTO shop.merged t USING (SELECT DISTINCT substr(line, 1, 1) AS line FROM shop.log WHERE \"$path\" LIKE '%/0.txt' OR \"$path\" LIKE '%/1.txt') s ON t.line = s.line WHEN NOT MATCHED THEN INSERT (line, n) VALUES (s.line, 2)"
    execution = run(athena, merge)
    assert execution["Statistics"]["DataScannedInBytes"] >= 6_000_000


def test_statements_that_fail_tell_what_they_have_read(lake):
    lake.put("shop", "numbers/a.csv", "1\n2\n0\n" * 1000)
    lake.sql("CREATE EXTERNAL TABLE shop.numbers (n int) LOCATION 's3://shop/numbers/'")
    for sql in (
        "SELECT 1 / n FROM shop.numbers",
        "CREATE TABLE shop.quotients AS SELECT 1 / n AS q FROM shop.numbers",
        "UNLOAD (SELECT 1 / n AS q FROM shop.numbers) TO 's3://other/quotients/' WITH (format = 'JSON')",
        "EXPLAIN ANALYZE SELECT 1 / n FROM shop.numbers",
    ):
        execution = lake.wait_query(lake.start_query(sql))
        status, spent = execution["Status"], execution["Statistics"]
        assert "DIVISION_BY_ZERO" in status["StateChangeReason"], (sql, status)
        assert spent["DataScannedInBytes"] == 6000, (sql, spent)
        assert 0 < spent["EngineExecutionTimeInMillis"] <= spent["TotalExecutionTimeInMillis"], (sql, spent)
    execution = lake.wait_query(lake.start_query("DROP TABLE shop.nothing_of_this_name"))
    assert execution["Statistics"]["DataScannedInBytes"] == 0


# Files

FORMATS = {"PARQUET": "", "ORC": "", "AVRO": "", "JSON": ", write_compression = 'GZIP'", "TEXTFILE": ", write_compression = 'GZIP'"}


@pytest.mark.parametrize("format", FORMATS)
def test_a_broken_file_is_named(lake, format):
    s3, name = lake.client("s3"), f"broken_{format.lower()}"
    rest = f"format = '{format}', external_location = 's3://shop/{name}/'{FORMATS[format]}"
    lake.sql(f"CREATE TABLE shop.{name} WITH ({rest}) AS SELECT x, rpad(CAST(x AS varchar), 50, 'y') AS s FROM UNNEST(sequence(1, 5000)) t(x)")
    [object] = s3.list_objects_v2(Bucket="shop", Prefix=f"{name}/")["Contents"]
    whole = s3.get_object(Bucket="shop", Key=object["Key"])["Body"].read()
    ask = f"SELECT count(*), sum(x), max(s) FROM shop.{name}"
    assert lake.sql(ask)[0][:2] == ["5000", "12502500"]
    middle = len(whole) // 3
    bad = {
        "cut off": whole[: len(whole) // 2],
        "without its head": whole[len(whole) // 2 :],
        "garbage": b"\x00\x01garbage" * 100,
        "damaged in its middle": whole[:middle] + bytes(byte ^ 0x5A for byte in whole[middle : middle + 40]) + whole[middle + 40 :],
    }
    for how, content in bad.items():
        s3.put_object(Bucket="shop", Key=object["Key"], Body=content)
        try:
            found = lake.sql(ask)
            # Avro without compression and ORC have no checksums: other bytes may be other values.
            assert (how, format) in (("damaged in its middle", "AVRO"), ("damaged in its middle", "ORC")), (how, found)
            continue
        except QueryFailed as failed:
            why = failed.reason
        assert f"s3://shop/{object['Key']}" in why, (how, why)
        assert any(f"{code}: " in why for code in ("HIVE_BAD_DATA", "HIVE_CANNOT_OPEN_SPLIT", "HIVE_CURSOR_ERROR")), (how, why)
    s3.put_object(Bucket="shop", Key=object["Key"], Body=whole)
    assert lake.sql(ask)[0][:2] == ["5000", "12502500"], "the right file is read again"


def test_pages_of_parquet_that_are_damaged_name_their_file(lake):
    """Each byte of a small file in turn: rows, or an error with the file's name; never a fault of ours."""
    s3 = lake.client("s3")
    lake.sql("CREATE TABLE shop.pages WITH (format = 'PARQUET', external_location = 's3://shop/pages/') AS SELECT x, CAST(x AS varchar) AS s FROM UNNEST(sequence(1, 200)) t(x)")
    [object] = s3.list_objects_v2(Bucket="shop", Prefix="pages/")["Contents"]
    whole = s3.get_object(Bucket="shop", Key=object["Key"])["Body"].read()
    for place in range(4, len(whole) - 8, 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0x5A
        s3.put_object(Bucket="shop", Key=object["Key"], Body=bytes(damaged))
        try:
            lake.sql("SELECT count(x), max(s) FROM shop.pages")
        except QueryFailed as failed:
            assert "GENERIC_INTERNAL_ERROR" not in failed.reason, (place, failed.reason)
            assert failed.reason.startswith("HIVE_") and object["Key"] in failed.reason, (place, failed.reason)


def test_a_file_that_is_overwritten_or_deleted_meanwhile_is_read_as_it_was(lake):
    s3, athena = lake.client("s3"), lake.client("athena")
    for number in range(4):
        lake.put("shop", f"moving/{number}.csv", "1\n" * 50_000)
    lake.sql("CREATE EXTERNAL TABLE shop.moving (n int) LOCATION 's3://shop/moving/'")
    query = start(athena, "SELECT sum(n) FROM shop.moving CROSS JOIN UNNEST(sequence(1, 20)) t(x)")
    wait_until(lambda: state(lake, query) != "QUEUED", every_s=0, what="its start")
    time.sleep(0.3)
    lake.put("shop", "moving/0.csv", "1000000\n")
    s3.delete_object(Bucket="shop", Key="moving/1.csv")
    total = int(rows(athena, wait(athena, query))[1][0])
    assert total in (4_000_000, 20 * (100_000 + 1_000_000)), "the snapshot of its planning, before or after"


@pytest.mark.parametrize(
    "serde", ["org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", "org.apache.hadoop.hive.serde2.OpenCSVSerde", "org.openx.data.jsonserde.JsonSerDe"]
)
def test_an_archive_that_unpacks_to_one_endless_line_is_refused_in_bounded_memory(lake, serde):
    lake.put("shop", "bomb/a.gz", gzip.compress(b"x" * 80_000_000, 9))
    name = "bomb_" + serde.rsplit(".", 1)[1].lower()
    lake.sql(f"CREATE EXTERNAL TABLE shop.{name} (s string) ROW FORMAT SERDE '{serde}' LOCATION 's3://shop/bomb/'")
    before = lake.rss_kib()
    why = failure(lake, f"SELECT count(s) FROM shop.{name}")
    assert "HIVE_CURSOR_ERROR: " in why and "longer than 32 MiB" in why and "s3://shop/bomb/a.gz" in why, why
    assert lake.rss_kib() - before < 300 << 10


# Statements that mean ill

CHAINS = {
    "parentheses": "SELECT " + "(" * 10_000 + "1" + ")" * 10_000,
    "unions": " UNION ALL ".join(["SELECT 1"] * 5_000),
    "sums": "SELECT " + "+".join(["1"] * 50_000),
    "conditions": "SELECT " + " AND ".join(["true"] * 20_000),
    "negations": "SELECT " + "NOT " * 20_000 + "true",
    "arrays": "SELECT " + "ARRAY[" * 3_000 + "1" + "]" * 3_000,
    "calls": "SELECT " + "abs(" * 3_000 + "1" + ")" * 3_000,
    "subqueries": "SELECT " + "(SELECT " * 1_000 + "1" + ")" * 1_000,
    "doubled": "WITH a0 AS (SELECT 1 x), " + ", ".join(f"a{n} AS (SELECT p.x FROM a{n - 1} p, a{n - 1} q)" for n in range(1, 40)) + " SELECT count(*) FROM a39",
    "rows": "SELECT CAST(NULL AS " + "ROW(a " * 1_000 + "int" + ")" * 1_000 + ")",
}


def test_one_look_sees_the_end_of_a_short_statement(lake):
    athena = lake.client("athena")
    # On a machine that has much else to do some may take longer than a look waits.
    assert [state(lake, start(athena, f"SELECT {number}")) for number in range(20)].count("SUCCEEDED") > 15


def test_a_look_at_a_long_statement_ends_before_the_statement(lake):
    athena = lake.client("athena")
    running = start(athena, ENDLESS)
    execution = athena.get_query_execution(QueryExecutionId=running)["QueryExecution"]
    assert execution["Status"]["State"] == "RUNNING"
    spent = execution["Statistics"]
    assert spent["QueryQueueTimeInMillis"] > 0 and 0 < spent["EngineExecutionTimeInMillis"] <= spent["TotalExecutionTimeInMillis"]
    athena.stop_query_execution(QueryExecutionId=running)
    assert state(lake, running) == "CANCELLED"


def test_a_look_that_waits_sees_that_a_statement_was_stopped(lake):
    athena = lake.client("athena")

    def seen():
        running = start(athena, ENDLESS)
        with ThreadPoolExecutor() as pool:
            look = pool.submit(state, lake, running)
            time.sleep(0.2)
            athena.stop_query_execution(QueryExecutionId=running)
            return look.result()

    # A look that comes after a second does not wait.
    assert "CANCELLED" in (seen() for _ in range(5))



@pytest.mark.parametrize("chain", CHAINS)
def test_endless_chains_are_refused_where_they_stand(lake, chain):
    began = time.monotonic()
    why = failure(lake, CHAINS[chain])
    assert "line 1:" in why and ("too large" in why or "too deep" in why), why
    assert time.monotonic() - began < 20
    assert lake.scalar("SELECT 1") == "1"


def test_long_lists_and_cases_are_answered(lake):
    listed = "SELECT count(*) FROM UNNEST(sequence(1, 100)) t(x) WHERE x IN (" + ",".join(map(str, range(10_000))) + ")"
    assert lake.scalar(listed) == "100"
    cases = " ".join(f"WHEN {number} THEN {number}" for number in range(5_000))
    assert lake.scalar(f"SELECT CASE x {cases} END FROM (VALUES 4999) t(x)") == "4999"
    assert lake.scalar("SELECT length('" + "x" * 262_000 + "')") == "262000"
    assert "262144" in failure(lake, "SELECT '" + "x" * 262_200 + "'")


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELECT repeat('x', 1000000000)", "INVALID_FUNCTION_ARGUMENT"),
        ("SELECT cardinality(sequence(1, 1000000000000))", "INVALID_FUNCTION_ARGUMENT"),
        ("SELECT length(rpad('x', 2000000000, 'y'))", "EXCEEDED_LOCAL_MEMORY_LIMIT"),
        ("SELECT length(replace(rpad('x', 1000000, 'x'), 'x', rpad('y', 100000, 'y')))", "EXCEEDED_LOCAL_MEMORY_LIMIT"),
        ("SELECT regexp_like('aaa', '((((a{100}){100}){100}){100})')", "INVALID_FUNCTION_ARGUMENT"),
        (r"SELECT regexp_like(rpad('a', 5000, 'a') || '!', '(a*)*(a*)*\1b')", "INVALID_FUNCTION_ARGUMENT"),
        ("SELECT json_parse(rpad('[', 100000, '['))", "INVALID_FUNCTION_ARGUMENT"),
        ("SELECT cardinality(combinations(sequence(1, 30), 5))", "INVALID_FUNCTION_ARGUMENT"),
        ("SELECT format('%1000000000d', 1)", "INVALID_FUNCTION_ARGUMENT"),
    ],
)
def test_values_that_grow_without_bounds_are_refused(lake, sql, error):
    before = lake.rss_kib()
    why = failure(lake, sql)
    assert error + ": " in why, why
    assert lake.rss_kib() - before < 300 << 10


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT regexp_like(rpad('a', 30, 'a') || 'b', '(a+)+$')",
        "SELECT regexp_like(rpad('a', 40, 'a') || '!', '^(?=(a+)+$)')",
        "SELECT rpad('a', 100000, 'a') LIKE '" + "%a" * 1000 + "b'",
    ],
)
def test_patterns_that_would_go_back_for_ever_are_answered(lake, sql):
    assert lake.scalar(sql) == "false"


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("UNLOAD (SELECT 1 a) TO 's3://nobody/x/' WITH (format = 'PARQUET')", "'nobody'"),
        ("UNLOAD (SELECT 1 a) TO 's3://../x/' WITH (format = 'PARQUET')", "'..'"),
        ("UNLOAD (SELECT 1 a) TO 'file:///tmp/x/' WITH (format = 'PARQUET')", "no location in S3"),
        ("CREATE TABLE shop.n1 WITH (external_location = 's3://millpond-internal/x/') AS SELECT 1 a", "'millpond-internal'"),
        ("CREATE TABLE shop.n2 WITH (external_location = '/etc/') AS SELECT 1 a", "no location in S3"),
        ("CREATE EXTERNAL TABLE shop.n3 (a string) LOCATION 'file:///etc/'", "s3://"),
        ("CREATE TABLE shop.n4 (a int) LOCATION 's3://nobody/x/' TBLPROPERTIES ('table_type' = 'ICEBERG')", "'nobody'"),
    ],
)
def test_places_outside_the_lake_are_refused(lake, sql, error):
    assert error in failure(lake, sql)


def test_dots_in_a_location_are_letters_of_a_key(lake):
    lake.sql("UNLOAD (SELECT 1 a) TO 's3://other/../../etc/' WITH (format = 'JSON')")
    keys = [one["Key"] for one in lake.client("s3").list_objects_v2(Bucket="other", Prefix="..")["Contents"]]
    assert len(keys) == 1 and keys[0].startswith("../../etc/")
    assert not (lake.data.parent / "etc").exists()
    lake.sql("CREATE EXTERNAL TABLE shop.above (a string) LOCATION 's3://shop/../../../etc/'")
    assert lake.sql("SELECT * FROM shop.above") == []


# Workgroups


def test_a_workgroup_that_is_deleted_with_all_it_has_stops_what_it_runs(new_lake):
    lake = started(new_lake, places=1)
    athena = lake.client("athena")
    athena.create_work_group(Name="busy", Configuration={"ResultConfiguration": {"OutputLocation": "s3://results/busy/"}})
    running = start(athena, ENDLESS, WorkGroup="busy")
    start(athena, "SELECT 1", WorkGroup="busy")
    after = start(athena, "SELECT 2")
    assert state(lake, after) == "QUEUED"
    with pytest.raises(ClientError, match="is not empty"):
        athena.delete_work_group(WorkGroup="busy")
    lake.aws("athena", "delete-work-group", "--work-group", "busy", "--recursive-delete-option")
    assert rows(athena, wait(athena, after))[1] == ["2"], "its place is free"
    with pytest.raises(ClientError, match="was not found"):
        athena.get_query_execution(QueryExecutionId=running)


def test_the_first_queries_of_the_aws_cli(lake):
    """A lake as it is first tried: a CSV file in partitions by date, queries by the AWS CLI, results beside the data."""
    lake.bucket("seed-lake")
    for day in (1, 2):
        body = "id,category,price\n1,fruit,1.5\n2,fruit,2.5\n3,tools,10\n"
        lake.put("seed-lake", f"data/dt=2024-01-0{day}/items.csv", body)

    def query(sql, *more):
        text = lake.aws(
            "athena", "start-query-execution", "--query-string", sql, "--query-execution-context", "Database=seed",
            "--result-configuration", "OutputLocation=s3://seed-lake/athena-results/", "--query", "QueryExecutionId", "--output", "text", *more,
        )  # fmt: skip
        execution = lake.wait_query(text.strip())
        assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
        return execution

    query("CREATE DATABASE IF NOT EXISTS seed")
    query(
        "CREATE EXTERNAL TABLE items (id int, category string, price double) PARTITIONED BY (dt string) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' "
        "LOCATION 's3://seed-lake/data/' TBLPROPERTIES ('skip.header.line.count' = '1')"
    )
    query("MSCK REPAIR TABLE items")
    execution = query("SELECT category, COUNT(*) AS n, AVG(price) AS price FROM items WHERE dt = '2024-01-02' GROUP BY category ORDER BY category")
    assert execution["Statistics"]["DataScannedInBytes"] == len(body), "one partition of the two"
    location = execution["ResultConfiguration"]["OutputLocation"]
    assert location == f"s3://seed-lake/athena-results/{execution['QueryExecutionId']}.csv"
    assert lake.aws("s3", "cp", location, "-") == '"category","n","price"\n"fruit","2","2.0"\n"tools","1","10.0"\n'
    shown = lake.aws("athena", "get-query-results", "--query-execution-id", execution["QueryExecutionId"], "--query", "ResultSet.Rows[].Data[].VarCharValue", "--output", "text")
    assert shown.split() == ["category", "n", "price", "fruit", "2", "2.0", "tools", "1", "10.0"]


def test_an_execution_of_many_steps_can_be_read(lake):
    query = "SELECT 1 AS x"
    for step in range(40):
        query = f"SELECT max(x) AS x FROM ({query}) AS t{step} GROUP BY x"
    assert lake.sql(query) == [["1"]]
