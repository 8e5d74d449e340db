"""CREATE TABLE AS, INSERT INTO and UNLOAD: what they write, what the catalog says of it, and what a crash or a race leaves."""

import gzip
import io
import json
import random
import time

import fastavro
import pyarrow.orc
import pyarrow.parquet
import pytest
from botocore.exceptions import ClientError

from harness import QueryFailed

OUT = "s3://out/results/"


@pytest.fixture(scope="module")
def shop(module_lake):
    for bucket in ("shop", "out"):
        module_lake.bucket(bucket)
    module_lake.sql("CREATE DATABASE shop", ResultConfiguration={"OutputLocation": OUT})
    module_lake.put("shop", "items/a.csv", "".join(f"{n},name {n},{n}.5,{'ab'[n % 2]}\n" for n in range(1, 101)))
    run(
        module_lake,
        """CREATE EXTERNAL TABLE shop.items (id int, name string, price double, kind string)
           ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION 's3://shop/items/'""",
    )
    return module_lake


def run(lake, sql, database="shop", **more):
    more.setdefault("ResultConfiguration", {"OutputLocation": OUT})
    execution = lake.wait_query(lake.start_query(sql, database, **more))
    if execution["Status"]["State"] != "SUCCEEDED":
        raise QueryFailed(sql, execution["Status"].get("StateChangeReason", "no reason was given"))
    return execution


def fails(lake, sql, *words, **more):
    with pytest.raises((QueryFailed, ClientError)) as failed:
        run(lake, sql, **more)
    for word in words:
        assert word in str(failed.value), failed.value


def rows(lake, sql):
    return lake.sql(sql, "shop", ResultConfiguration={"OutputLocation": OUT})


def objects(lake, uri):
    bucket, prefix = uri.removeprefix("s3://").split("/", 1)
    pages = lake.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [f"s3://{bucket}/{found['Key']}" for page in pages for found in page.get("Contents", [])]


def body(lake, uri):
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    return lake.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def manifest(lake, execution):
    return body(lake, execution["Statistics"]["DataManifestLocation"]).decode().split("\n")[:-1]


def test_a_table_from_a_query_lies_below_the_result(shop):
    execution = run(shop, "CREATE TABLE made AS SELECT id, name, price FROM items WHERE id <= 10")
    assert (execution["StatementType"], execution["SubstatementType"]) == ("DDL", "CREATE_TABLE_AS_SELECT")
    query_id = execution["QueryExecutionId"]
    assert execution["ResultConfiguration"]["OutputLocation"] == f"{OUT}tables/{query_id}"
    assert execution["Statistics"]["DataManifestLocation"] == f"{OUT}tables/{query_id}-manifest.csv"
    files = objects(shop, f"{OUT}tables/{query_id}/")
    assert len(files) == 1 and manifest(shop, execution) == files
    table = shop.client("glue").get_table(DatabaseName="shop", Name="made")["Table"]
    assert table["TableType"] == "EXTERNAL_TABLE" and table["Parameters"]["classification"] == "parquet"
    assert table["StorageDescriptor"]["Location"] == f"{OUT}tables/{query_id}"
    assert [(c["Name"], c["Type"]) for c in table["StorageDescriptor"]["Columns"]] == [("id", "int"), ("name", "string"), ("price", "double")]
    assert rows(shop, "SELECT count(*), sum(price) FROM made") == [["10", "60.0"]]
    read = pyarrow.parquet.read_table(io.BytesIO(body(shop, files[0])))
    assert read.num_rows == 10 and read.column("name")[3].as_py() == "name 4"


def test_what_wrote_answers_its_count_and_no_rows(shop):
    execution = run(shop, "CREATE TABLE counted AS SELECT * FROM items")
    results = shop.client("athena").get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    assert results["UpdateCount"] == 100 and results["ResultSet"]["Rows"] == []
    column = results["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    assert [(c["Name"], c["Type"], c["Precision"]) for c in column] == [("rows", "bigint", 19)]
    files = shop.client("athena").get_query_results(QueryExecutionId=execution["QueryExecutionId"], QueryResultType="DATA_MANIFEST")
    assert [row["Data"][0]["VarCharValue"] for row in files["ResultSet"]["Rows"]] == manifest(shop, execution)


@pytest.mark.parametrize(
    "form, compressions",
    [
        ("PARQUET", ["GZIP", "SNAPPY", "ZSTD"]),
        ("ORC", ["ZLIB", "SNAPPY"]),
        ("AVRO", ["DEFLATE", "NONE"]),
        ("JSON", ["GZIP", "BZIP2"]),
        ("TEXTFILE", ["GZIP", "ZSTD"]),
    ],
)
def test_a_table_of_every_format_reads_as_the_query_did(shop, form, compressions):
    select = "SELECT id, name, price, CAST(price AS decimal(10,2)) AS exact, DATE '2024-01-02' AS d, TIMESTAMP '2024-01-02 03:04:05.678' AS ts, \
              kind = 'a' AS flag, CAST(NULL AS bigint) AS nothing FROM items"
    want = rows(shop, f"{select} ORDER BY id")
    for compression in compressions:
        name = f"f_{form}_{compression}".lower()
        execution = run(shop, f"CREATE TABLE {name} WITH (format = '{form}', write_compression = '{compression}') AS {select}")
        data = body(shop, manifest(shop, execution)[0])
        if form == "ORC":
            assert pyarrow.orc.ORCFile(io.BytesIO(data)).read().column("name").to_pylist()[:2] == ["name 1", "name 2"]
        elif form == "AVRO":
            assert next(iter(fastavro.reader(io.BytesIO(data))))["name"] == "name 1"
        elif (form, compression) == ("JSON", "GZIP"):
            assert json.loads(gzip.decompress(data).splitlines()[0])["ts"] == "2024-01-02 03:04:05.678"
        if form != "ORC":
            assert rows(shop, f"SELECT * FROM {name} ORDER BY id") == want, name


def test_partitions_are_folders_and_registered(shop):
    execution = run(
        shop,
        """CREATE TABLE parted WITH (external_location = 's3://shop/parted/', partitioned_by = ARRAY['kind', 'big'])
           AS SELECT id, kind, id > 50 AS big FROM items""",
    )
    folders = {uri.removeprefix("s3://shop/parted/").rsplit("/", 1)[0] for uri in manifest(shop, execution)}
    assert folders == {f"kind={kind}/big={big}" for kind in "ab" for big in ("true", "false")}
    glue = shop.client("glue")
    found = glue.get_partitions(DatabaseName="shop", TableName="parted")["Partitions"]
    assert sorted(p["Values"] for p in found) == [["a", "false"], ["a", "true"], ["b", "false"], ["b", "true"]]
    table = glue.get_table(DatabaseName="shop", Name="parted")["Table"]
    assert [(c["Name"], c["Type"]) for c in table["PartitionKeys"]] == [("kind", "string"), ("big", "boolean")]
    assert rows(shop, "SELECT count(*) FROM parted WHERE kind = 'a' AND big = true") == [["25"]]


def test_buckets_are_files_by_hash(shop):
    execution = run(
        shop, "CREATE TABLE bucketed WITH (bucketed_by = ARRAY['id'], bucket_count = 4) AS SELECT id, name FROM items"
    )
    files = manifest(shop, execution)
    assert sorted(uri.split("_bucket-")[1][:5] for uri in files) == ["00000", "00001", "00002", "00003"]
    for uri in files:
        ids = pyarrow.parquet.read_table(io.BytesIO(body(shop, uri))).column("id").to_pylist()
        assert {n % 4 for n in ids} == {int(uri.split("_bucket-")[1][:5])}
    descriptor = shop.client("glue").get_table(DatabaseName="shop", Name="bucketed")["Table"]["StorageDescriptor"]
    assert (descriptor["NumberOfBuckets"], descriptor["BucketColumns"]) == (4, ["id"])
    fails(shop, "INSERT INTO bucketed VALUES (1, 'x')", "bucketed")


def test_a_table_without_data_has_columns_only(shop):
    execution = run(shop, "CREATE TABLE hollow AS SELECT id, name FROM items WITH NO DATA")
    assert "DataManifestLocation" not in execution["Statistics"]
    assert rows(shop, "SELECT count(*) FROM hollow") == [["0"]]
    execution = run(shop, "CREATE TABLE IF NOT EXISTS hollow AS SELECT 1 AS a")
    assert shop.client("athena").get_query_results(QueryExecutionId=execution["QueryExecutionId"])["UpdateCount"] == 0


def test_what_athena_refuses_is_refused(shop):
    run(shop, "CREATE TABLE taken AS SELECT 1 AS a")
    for sql, words in [
        ("CREATE TABLE taken AS SELECT 1 AS a", ["TABLE_ALREADY_EXISTS: line 1:1: Destination table 'awsdatacatalog.shop.taken' already exists"]),
        ("CREATE TABLE nowhere.t AS SELECT 1 AS a", ["Database nowhere not found. Please check your query."]),
        ("CREATE TABLE t (a, b) AS SELECT 1, 2", ["MISSING_COLUMN_NAME: line 1:1: Column name not specified at position 1"]),
        ("CREATE TABLE t AS SELECT 1 + 1", ["MISSING_COLUMN_NAME"]),
        ("CREATE TABLE t AS SELECT 1 AS a, 2 AS a", ["Column name 'a' specified more than once"]),
        ("CREATE TABLE t AS SELECT NULL AS a", ["Column type is unknown"]),
        ("CREATE TABLE t WITH (external_location = 's3://shop/items/') AS SELECT 1 AS a", ["HIVE_PATH_ALREADY_EXISTS: Target directory for table 'shop.t'"]),
        ("CREATE TABLE t WITH (external_location = 's3://no-such-bucket-here/x/') AS SELECT 1 AS a", ["no-such-bucket-here"]),
        ("CREATE TABLE t WITH (partitioned_by = ARRAY['a']) AS SELECT 1 AS a, 2 AS b", ["HIVE_COLUMN_ORDER_MISMATCH"]),
        (
            "CREATE TABLE t WITH (partitioned_by = ARRAY['p']) AS SELECT 1 AS a, x AS p FROM UNNEST(sequence(1, 101)) AS t(x)",
            ["HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of 100 open writers for partitions/buckets"],
        ),
        ("CREATE TABLE t AS SELECT nothing FROM items", ["COLUMN_NOT_FOUND: line 1:26: Column 'nothing' cannot be resolved"]),
        ("INSERT INTO missing SELECT 1", ["TABLE_NOT_FOUND: line 1:13: Table 'awsdatacatalog.shop.missing' does not exist"]),
        ("INSERT INTO taken SELECT 'x'", ["TYPE_MISMATCH: line 1:1: Insert query has mismatched column types: Table: [integer], Query: [varchar"]),
        ("INSERT INTO taken (nope) SELECT 1", ["COLUMN_NOT_FOUND", "Insert column name does not exist in target table: nope"]),
        ("UNLOAD (SELECT 1 AS a) TO 's3://shop/items/' WITH (format = 'PARQUET')", ["HIVE_PATH_ALREADY_EXISTS"]),
        ("UNLOAD (SELECT 1 AS a) TO 's3://shop/u0/'", ["format"]),
    ]:
        fails(shop, sql, *words)
    assert objects(shop, "s3://shop/u0/") == []
    with pytest.raises(shop.client("glue").exceptions.EntityNotFoundException):
        shop.client("glue").get_table(DatabaseName="shop", Name="t")


def test_views_take_no_rows(shop):
    run(shop, "CREATE VIEW seen AS SELECT 1 AS a")
    fails(shop, "INSERT INTO seen SELECT 1", "Inserting into views is not supported")


def test_an_enforcing_workgroup_says_where_tables_lie(shop):
    athena = shop.client("athena")
    athena.create_work_group(
        Name="strict", Configuration={"EnforceWorkGroupConfiguration": True, "ResultConfiguration": {"OutputLocation": "s3://out/strict/"}}
    )
    sql = "CREATE TABLE st WITH (external_location = 's3://shop/st/') AS SELECT 1 AS a"
    fails(shop, sql, "submitted with an 'external_location' property to an Athena Workgroup that enforces", WorkGroup="strict")
    execution = run(shop, "CREATE TABLE st AS SELECT 1 AS a", WorkGroup="strict")
    assert manifest(shop, execution)[0].startswith(f"s3://out/strict/tables/{execution['QueryExecutionId']}/")


TABLES = {
    "parquet": "STORED AS PARQUET",
    "text": "ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' STORED AS TEXTFILE",
    "json": "ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'",
    "avro": "STORED AS AVRO",
    "csv": "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'",
}


@pytest.mark.parametrize("form", TABLES)
def test_rows_are_inserted_in_the_tables_own_format(shop, form):
    columns = "a string, b string" if form == "csv" else "a string, b int"
    run(shop, f"CREATE EXTERNAL TABLE in_{form} ({columns}) {TABLES[form]} LOCATION 's3://shop/in/{form}/'")
    values = "('x, \"y\"', '1')" if form == "csv" else "('xy', 1)"
    execution = run(shop, f"INSERT INTO in_{form} VALUES {values}")
    assert (execution["StatementType"], execution["SubstatementType"]) == ("DML", "INSERT")
    query_id = execution["QueryExecutionId"]
    assert execution["ResultConfiguration"]["OutputLocation"] == f"{OUT}{query_id}"
    assert manifest(shop, execution) == objects(shop, f"s3://shop/in/{form}/")
    run(shop, f"INSERT INTO in_{form} (b) SELECT {'CAST(id AS varchar)' if form == 'csv' else 'id'} FROM items WHERE id = 2")
    first = 'x, "y"' if form == "csv" else "xy"
    found = rows(shop, f"SELECT a, b FROM in_{form} ORDER BY b")
    assert found == [[first, "1"], ["" if form == "csv" else None, "2"]]


def test_inserted_partitions_are_registered_once_and_kept_where_they_are(shop):
    run(shop, "CREATE EXTERNAL TABLE days (n int) PARTITIONED BY (day date) STORED AS PARQUET LOCATION 's3://shop/days/'")
    run(shop, "ALTER TABLE days ADD PARTITION (day = '2024-01-01') LOCATION 's3://shop/elsewhere/first/'")
    select = "SELECT id, DATE '2024-01-01' + INTERVAL '1' DAY * (id % 3) FROM items"
    execution = run(shop, f"INSERT INTO days {select}")
    folders = sorted({uri.rsplit("/", 1)[0] for uri in manifest(shop, execution)})
    assert folders == ["s3://shop/days/day=2024-01-02", "s3://shop/days/day=2024-01-03", "s3://shop/elsewhere/first"]
    run(shop, f"INSERT INTO days {select}")
    assert rows(shop, "SELECT day, count(*) FROM days GROUP BY day ORDER BY day") == [["2024-01-01", "66"], ["2024-01-02", "68"], ["2024-01-03", "66"]]
    assert len(shop.client("glue").get_partitions(DatabaseName="shop", TableName="days")["Partitions"]) == 3


def test_parameters_stand_for_values_of_what_is_written(shop):
    run(shop, "CREATE TABLE bound AS SELECT id, name FROM items WHERE id < ?", ExecutionParameters=["3"])
    run(shop, "INSERT INTO bound VALUES (?, ?)", ExecutionParameters=["CAST(7 AS integer)", "'seven'"])
    execution = run(
        shop, "UNLOAD (SELECT * FROM bound WHERE name = ?) TO 's3://shop/bound/' WITH (format = 'JSON', compression = 'NONE')", ExecutionParameters=["'seven'"]
    )
    assert body(shop, manifest(shop, execution)[0]) == b'{"id":7,"name":"seven"}\n'
    assert rows(shop, "SELECT id FROM bound ORDER BY id") == [["1"], ["2"], ["7"]]


def test_unloaded_files_lie_where_the_statement_says(shop):
    execution = run(
        shop, "UNLOAD (SELECT id, kind FROM items) TO 's3://shop/unloaded' WITH (format = 'TEXTFILE', field_delimiter = '|', compression = 'gzip', partitioned_by = ARRAY['kind'])"
    )
    assert (execution["StatementType"], execution["SubstatementType"]) == ("DML", "UNLOAD")
    files = manifest(shop, execution)
    assert sorted(uri.rsplit("/", 1)[0] for uri in files) == ["s3://shop/unloaded/kind=a", "s3://shop/unloaded/kind=b"]
    assert all(uri.endswith(".gz") for uri in files) and sorted(files) == objects(shop, "s3://shop/unloaded/")
    lines = [line for uri in files for line in gzip.decompress(body(shop, uri)).decode().splitlines()]
    assert sorted(map(int, lines)) == list(range(1, 101))
    empty = run(shop, "UNLOAD (SELECT id FROM items WHERE id < 0) TO 's3://shop/none/' WITH (format = 'PARQUET')")
    # Clients read the manifest (PyAthena fails without one), also where it lists nothing.
    assert manifest(shop, empty) == [] and objects(shop, "s3://shop/none/") == []
    query_id = empty["QueryExecutionId"]
    assert objects(shop, f"{OUT}{query_id}") == [f"{OUT}{query_id}-manifest.csv", f"{OUT}{query_id}.metadata"]


def test_a_query_is_unloaded_to_where_its_result_lies(shop):
    there = "s3://shop/beside/"
    execution = run(shop, f"UNLOAD (SELECT id FROM items) TO '{there}' WITH (format = 'PARQUET')", ResultConfiguration={"OutputLocation": there})
    query_id, files = execution["QueryExecutionId"], manifest(shop, execution)
    beside = [f"{there}{query_id}-manifest.csv", f"{there}{query_id}.metadata"]
    assert files and sorted(objects(shop, there)) == sorted(files + beside)
    fails(shop, f"UNLOAD (SELECT 1 AS a) TO '{there}' WITH (format = 'PARQUET')", "HIVE_PATH_ALREADY_EXISTS", ResultConfiguration={"OutputLocation": there})


def test_numbers_are_inserted_into_narrower_columns_where_they_fit(shop):
    run(shop, "CREATE TABLE narrow AS SELECT CAST(1 AS integer) AS i, CAST(1 AS decimal(4, 1)) AS d, CAST(1 AS real) AS r")
    run(shop, "INSERT INTO narrow SELECT CAST(7 AS bigint), DECIMAL '12.50', DOUBLE '0.5'")
    assert rows(shop, "SELECT * FROM narrow ORDER BY i") == [["1", "1.0", "1.0"], ["7", "12.5", "0.5"]]
    for values in ("CAST(3000000000 AS bigint), DECIMAL '1', REAL '1'", "1, DECIMAL '1234.5', REAL '1'"):
        fails(shop, f"INSERT INTO narrow SELECT {values}", "INVALID_CAST_ARGUMENT")
    assert len(rows(shop, "SELECT * FROM narrow")) == 2


def test_times_are_inserted_as_their_clocks_show_them(shop):
    run(shop, "CREATE TABLE times WITH (format = 'PARQUET') AS SELECT TIMESTAMP '2020-01-01 00:00:00' AS t, DATE '2020-01-01' AS d, ARRAY[DATE '2020-01-01'] AS ds")
    run(shop, "CREATE TABLE ice_times (t timestamp, d date) LOCATION 's3://shop/ice_times/' TBLPROPERTIES ('table_type'='ICEBERG')")
    run(shop, "INSERT INTO times VALUES (TIMESTAMP '2020-01-04 23:30:00 -01:00', TIMESTAMP '2012-10-15 12:57:18', ARRAY[TIMESTAMP '1969-12-31 01:00:00'])")
    run(shop, "INSERT INTO ice_times VALUES (TIMESTAMP '2020-01-04 23:30:00 -01:00', TIMESTAMP '2012-10-15 12:57:18 UTC')")
    assert rows(shop, "SELECT t, d, ds FROM times WHERE d > DATE '2000-01-01' ORDER BY t DESC LIMIT 1") == [
        ["2020-01-04 23:30:00.000", "2012-10-15", "[1969-12-31]"]
    ]
    assert rows(shop, "SELECT t, d FROM ice_times") == [["2020-01-04 23:30:00.000000", "2012-10-15"]]
    run(shop, "UPDATE ice_times SET t = TIMESTAMP '2021-02-03 04:05:06 Europe/Berlin', d = t")
    assert rows(shop, "SELECT t, d FROM ice_times") == [["2021-02-03 04:05:06.000000", "2020-01-04"]]
    fails(shop, "INSERT INTO ice_times VALUES (1, 2)", "TYPE_MISMATCH")


def test_texts_inside_of_arrays_are_not_cut(shop):
    run(
        shop,
        """CREATE EXTERNAL TABLE short (a array<varchar(3)>, m map<varchar(2),int>, s struct<a:varchar(2)>)
           STORED AS PARQUET LOCATION 's3://shop/short/'""",
    )
    run(shop, "INSERT INTO short SELECT ARRAY['abc'], MAP(ARRAY['xy'], ARRAY[1]), CAST(ROW('uv') AS ROW(a varchar(2)))")
    for values, why in [
        ("ARRAY['abcdef'], NULL, NULL", "TYPE_MISMATCH"),
        ("NULL, MAP(ARRAY['xyz'], ARRAY[1]), NULL", "Cannot truncate non-space characters"),
        ("NULL, NULL, CAST(ROW('uvw') AS ROW(a varchar))", "Cannot truncate non-space characters"),
    ]:
        fails(shop, f"INSERT INTO short SELECT {values}", why)
    assert rows(shop, "SELECT a, m, s FROM short") == [["[abc]", "{xy=1}", "{a=uv}"]]



@pytest.mark.parametrize("form", ["PARQUET", "ICEBERG"])
def test_no_inserted_number_loses_its_value_silently(shop, form):
    name = f"kept_{form.lower()}"
    how = "" if form == "PARQUET" else f"WITH (table_type = 'ICEBERG', is_external = false, location = 's3://shop/{name}/')"
    run(shop, f"CREATE TABLE {name} {how} AS SELECT CAST(1 AS integer) AS i, CAST(1 AS decimal(10, 2)) AS d, CAST(1 AS real) AS r")
    run(shop, f"INSERT INTO {name} VALUES (DECIMAL '2.0', DECIMAL '1.23999', DOUBLE '0.5')")
    assert rows(shop, f"SELECT * FROM {name} ORDER BY i") == [["1", "1.00", "1.0"], ["2", "1.24", "0.5"]]
    lost = ("DECIMAL '1.7', 1, 1", "DOUBLE '2.9', 1, 1", "1, 1, 1e300", "CAST(3000000000 AS bigint), 1, 1", "1, 1e9, 1", "nan(), 1, 1")
    for values in lost:
        fails(shop, f"INSERT INTO {name} SELECT {values}", "INVALID_CAST_ARGUMENT", "column '")
    if form == "ICEBERG":
        run(shop, f"UPDATE {name} SET i = 3.0, d = 2.345 WHERE i = 2")
        for value in ("i = 2.9", "i = DECIMAL '2.9'", "r = 1e300", "d = 1e9"):
            fails(shop, f"UPDATE {name} SET {value}", "INVALID_CAST_ARGUMENT", f"column '{value[0]}'")
        assert rows(shop, f"SELECT * FROM {name} ORDER BY i") == [["1", "1.00", "1.0"], ["3", "2.35", "0.5"]]
    assert rows(shop, f"SELECT count(*) FROM {name}") == [["2"]]


def test_text_that_would_tear_rows_is_refused_and_escaped_text_comes_back(shop):
    awkward = "'a' || chr(10) || 'b', chr(92) || 'N', ARRAY['x' || chr(2) || 'y', chr(92) || 'N']"
    fails(shop, f"CREATE TABLE torn WITH (format = 'TEXTFILE') AS SELECT * FROM (VALUES ({awkward})) AS t(s, n, a)", "HIVE_WRITER_DATA_ERROR", "'s'")
    run(
        shop,
        """CREATE EXTERNAL TABLE escaped (s string, n string, a array<string>)
           ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' ESCAPED BY '\\\\' LOCATION 's3://shop/escaped/'""",
    )
    run(shop, f"INSERT INTO escaped VALUES ({awkward}), (NULL, '', ARRAY[NULL])")
    assert rows(shop, "SELECT s, n, s IS NULL, n IS NULL FROM escaped ORDER BY 3") == [
        ["a\nb", "\\N", "false", "false"],
        [None, "", "true", "false"],
    ]
    assert rows(shop, "SELECT a[1] = 'x' || chr(2) || 'y', a[2] = chr(92) || 'N' FROM escaped WHERE s IS NOT NULL") == [["true", "true"]]


@pytest.mark.parametrize("form", ["JSON", "TEXTFILE", "PARQUET"])
def test_bytes_come_back_from_every_format(shop, form):
    name = f"bytes_{form.lower()}"
    run(shop, f"CREATE TABLE {name} WITH (format = '{form}') AS SELECT X'00ff41' AS b, ARRAY[X'01', X''] AS l")
    assert rows(shop, f"SELECT to_hex(b), to_hex(l[1]) FROM {name}") == [["00FF41", "01"]]


def test_of_two_that_make_one_table_one_wins(shop):
    for again in range(5):
        ids = [shop.start_query(f"CREATE TABLE race{again} AS SELECT {n} AS n", "shop", ResultConfiguration={"OutputLocation": OUT}) for n in range(4)]
        ended = [shop.wait_query(query_id) for query_id in ids]
        won = [n for n, execution in enumerate(ended) if execution["Status"]["State"] == "SUCCEEDED"]
        assert len(won) == 1
        for execution in ended:
            if execution["Status"]["State"] == "FAILED":
                assert execution["Status"]["StateChangeReason"].startswith("TABLE_ALREADY_EXISTS")
                assert objects(shop, f"{OUT}tables/{execution['QueryExecutionId']}") == []
        assert rows(shop, f"SELECT n FROM race{again}") == [[str(won[0])]]


def test_rows_for_a_table_that_is_dropped_meanwhile_are_named_nowhere(shop):
    run(shop, "CREATE EXTERNAL TABLE gone (n bigint) STORED AS PARQUET LOCATION 's3://shop/gone/'")
    many = "SELECT count(*) FROM UNNEST(sequence(1, 9000)) AS a(x) CROSS JOIN UNNEST(sequence(1, 9000)) AS b(y) WHERE x + y > 2"
    query_id = shop.start_query(f"INSERT INTO gone {many}", "shop", ResultConfiguration={"OutputLocation": OUT})
    athena = shop.client("athena")
    while athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"]["State"] == "QUEUED":
        time.sleep(0.001)
    time.sleep(0.2)
    shop.client("glue").delete_table(DatabaseName="shop", Name="gone")
    execution = shop.wait_query(query_id)
    assert execution["Status"]["State"] == "FAILED" and "TABLE_NOT_FOUND" in execution["Status"]["StateChangeReason"]
    assert objects(shop, "s3://shop/gone/") == [] and objects(shop, f"{OUT}{query_id}") == []


def test_a_kill_leaves_a_table_whole_or_not_at_all(lake):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    lake.bucket("out")
    run(lake, "CREATE DATABASE shop", database=None)
    many = "SELECT x, CAST(x AS varchar) AS t, x % 3 AS p FROM UNNEST(sequence(1, 9000)) AS a(x) CROSS JOIN UNNEST(sequence(1, 20)) AS b(y)"
    for again in range(6):
        name = f"t{again}"
        location = f"s3://out/{name}/"
        sql = f"CREATE TABLE {name} WITH (external_location = '{location}', partitioned_by = ARRAY['p']) AS {many}"
        query_id = lake.start_query(sql, "shop", ResultConfiguration={"OutputLocation": OUT})
        time.sleep(dice.uniform(0.0, 0.6))
        # Nobody sees any of it before all of it.
        assert len(objects(lake, location)) in (0, 3)
        lake.kill9()
        lake.start()
        # What was accepted is run to its end after the start.
        execution = lake.wait_query(query_id)
        assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
        assert len(objects(lake, location)) == len(manifest(lake, execution)) == 3
        assert rows(lake, f"SELECT count(*), count(DISTINCT x) FROM {name}") == [["180000", "9000"]]


def test_a_stopped_statement_names_nothing(lake):
    lake.bucket("out")
    run(lake, "CREATE DATABASE shop", database=None)
    endless = "SELECT x FROM UNNEST(sequence(1, 10000)) AS a(x) CROSS JOIN UNNEST(sequence(1, 10000)) AS b(y) CROSS JOIN UNNEST(sequence(1, 10000)) AS c(z)"
    query_id = lake.start_query(f"CREATE TABLE never AS {endless}", "shop", ResultConfiguration={"OutputLocation": OUT})
    time.sleep(0.5)
    lake.client("athena").stop_query_execution(QueryExecutionId=query_id)
    assert lake.wait_query(query_id)["Status"]["State"] == "CANCELLED"
    assert objects(lake, f"{OUT}tables/") == []
    with pytest.raises(lake.client("glue").exceptions.EntityNotFoundException):
        lake.client("glue").get_table(DatabaseName="shop", Name="never")
