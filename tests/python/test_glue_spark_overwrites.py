"""Overwrites by plain Spark scripts: of paths and tables that are read by the same write, of partitions only, in every format, and by runs that fail."""

import pytest

from test_glue_spark import start
from test_glue_spark_runs import HEAD, keys, ready, run, succeeded  # noqa: F401 (ready is a fixture)

KINDS = ("parquet", "csv", "json", "orc", "avro")
SEED = """
df = spark.createDataFrame([(1, "a", "x"), (2, "b", "x"), (3, "c", "y"), (4, "d", None)], "id int, v string, p string")
new = spark.createDataFrame([(9, "n", "x")], "id int, v string, p string")
dynamic = {"partitionOverwriteMode": "dynamic"}
"""
ROWS = [[1, "a", "x"], [2, "b", "x"], [3, "c", "y"], [4, "d", None]]
REPLACED = [[3, "c", "y"], [4, "d", None], [9, "n", "x"]]


@pytest.fixture(scope="module")
def lake(ready):  # noqa: F811
    ready.client("glue").create_database(DatabaseInput={"Name": "d", "LocationUri": "s3://work/d/"})
    return ready


def sorted_rows(found):
    return sorted(found, key=str)


def test_dynamic_overwrites_replace_the_partitions_that_are_written_in_every_format(lake, tmp_path):
    told = start(
        lake,
        tmp_path,
        SEED
        + """
for number, kind in enumerate(sys.argv[1:]):
    path, schema = f"s3://work/dynamic/{kind}/", "id int, v string, p string"
    df.write.format(kind).partitionBy("p").save(path)
    new.write.format(kind).mode(("overwrite", "Overwrite")[number % 2]).options(**dynamic).partitionBy("p").save(path)
    back = lambda: rows((spark.read.schema(schema) if kind in ("csv", "json") else spark.read).format(kind).load(path).select("id", "v", "p")) \\
        if kind in ("parquet", "csv", "json") else rows(glueContext.create_dynamic_frame.from_options("s3", {"paths": [path], "recurse": True}, kind).toDF())
    tell(back())
    new.filter("id < 0").write.format(kind).mode("overwrite").options(**dynamic).partitionBy("p").save(path)
    tell(len(back()))
    new.write.format(kind).mode("overwrite").partitionBy("p").save(path)
    tell(len(back()))
""",
        *KINDS,
    ).told
    for number, kind in enumerate(KINDS):
        found, after_nothing, after_static = told[3 * number : 3 * number + 3]
        assert sorted(row[:2] for row in found) == sorted(row[:2] for row in REPLACED), kind
        assert (after_nothing, after_static) == (3, 1), kind
        assert {key.split("/")[2] for key in keys(lake, "work", f"dynamic/{kind}/")} == {"p=x"}


def test_a_write_that_fails_leaves_nothing_for_a_script_that_goes_on(lake, tmp_path):
    told = start(
        lake,
        tmp_path,
        SEED
        + """
boom = F.udf(lambda number: 1 // 0, "long")
many = spark.range(200000).selectExpr("id", "cast(id % 2 as string) p")
bad = many.union(spark.range(1).select(boom("id").alias("id"), F.lit("0").alias("p")))
many.write.partitionBy("p").parquet("s3://work/failed/parts")
many.write.saveAsTable("d.failed")
bad.createOrReplaceTempView("bad")
def failing():
    yield lambda: bad.write.mode("overwrite").partitionBy("p").parquet("s3://work/failed/parts")
    yield lambda: bad.write.mode("append").partitionBy("p").parquet("s3://work/failed/parts")
    yield lambda: bad.write.insertInto("d.failed")
    yield lambda: bad.write.mode("append").saveAsTable("d.failed")
    yield lambda: spark.sql("INSERT INTO d.failed SELECT * FROM bad")
raised = 0
for write in failing():
    try:
        write()
    except Exception:
        raised += 1
tell([raised, spark.read.parquet("s3://work/failed/parts").count(), spark.table("d.failed").count()])
""",
    ).told
    assert told == [[5, 200000, 200000]]


def test_threads_of_a_script_write_below_one_path(lake, tmp_path):
    told = start(
        lake,
        tmp_path,
        SEED
        + """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda number: spark.range(500).write.mode("append").parquet("s3://work/threads/all"), range(6)))
    one = lambda name: spark.range(100).withColumn("p", F.lit(name)).write.mode("overwrite").options(**dynamic).partitionBy("p").parquet("s3://work/threads/parts")
    list(pool.map(one, "abab"))
tell([spark.read.parquet("s3://work/threads/all").count(), spark.read.parquet("s3://work/threads/parts").count()])
""",
    ).told
    assert told == [[3000, 200]]


def test_partitions_are_in_the_catalog_however_they_were_made(lake, tmp_path):
    told = start(
        lake,
        tmp_path,
        SEED
        + """
df.createOrReplaceTempView("seed")
spark.sql("CREATE TABLE d.made USING parquet PARTITIONED BY (p) AS SELECT * FROM seed")
more = lambda value: spark.createDataFrame([(7, "m", value)], "id int, v string, p string")
more("z").write.mode("append").saveAsTable("d.made")
more("w").writeTo("d.made").append()
tell(rows(spark.table("d.made")))
for name in ("50%20c", "a[1]"):
    for _ in range(2):
        df.write.mode("overwrite").parquet(f"s3://work/odd/{name}/")
tell(spark.read.parquet("s3://work/odd/50%20c/").count())
""",
    ).told
    assert sorted_rows(told[0]) == sorted_rows([*ROWS, [7, "m", "z"], [7, "m", "w"]]) and told[1] == 4
    found = lake.client("glue").get_partitions(DatabaseName="d", TableName="made")["Partitions"]
    assert sorted(one["Values"][0] for one in found) == ["__HIVE_DEFAULT_PARTITION__", "w", "x", "y", "z"]
    assert {key.split("/")[1] for key in keys(lake, "work", "odd/")} == {"50%20c", "a[1]"}


def test_what_a_write_reads_may_be_what_it_overwrites(lake, tmp_path):
    told = start(
        lake,
        tmp_path,
        SEED
        + """
df.write.partitionBy("p").parquet("s3://work/own/parts/")
df.write.parquet("s3://work/own/flat")
df.write.partitionBy("p").saveAsTable("d.own")
def changed(frame): return frame.filter("p = 'x'").withColumn("v", F.concat("v", F.lit("!")))
changed(spark.read.parquet("s3://work/own/parts/")).write.mode("overwrite").options(**dynamic).partitionBy("p").parquet("s3://work/own/parts/")
tell(rows(spark.read.parquet("s3://work/own/parts/").select("id", "v", "p")))
changed(spark.read.parquet("s3://work/own/flat").cache()).write.mode("overwrite").parquet("s3://work/own/flat")
tell(rows(spark.read.parquet("s3://work/own/flat")))
spark.conf.set("spark.sql.sources.partitionOverwriteMode", "dynamic")
spark.sql("INSERT OVERWRITE TABLE d.own SELECT id, concat(v, '!') v, p FROM d.own WHERE p = 'x'")
tell(rows(spark.table("d.own")))
changed(spark.table("d.own")).write.mode("overwrite").saveAsTable("d.own")
tell(rows(spark.table("d.own")))
""",
    ).told
    assert told[0] == told[2] == sorted_rows([[1, "a!", "x"], [2, "b!", "x"], [3, "c", "y"], [4, "d", None]])
    assert told[1] == [[1, "a!", "x"], [2, "b!", "x"]]
    assert told[3] == [[1, "a!!", "x"], [2, "b!!", "x"]], "saveAsTable replaces the whole table, as in Spark"


def test_inserts_that_overwrite_replace_partitions_in_dynamic_mode_and_tables_in_static(lake, tmp_path):
    told = start(
        lake,
        tmp_path,
        SEED
        + """
for name in ("one", "two", "three", "four", "five"):
    df.write.partitionBy("p").saveAsTable(f"d.{name}")
df.write.saveAsTable("d.flat")
new.createOrReplaceTempView("arrived")
def tables(*names): tell([rows(spark.table(f"d.{name}")) for name in names])
spark.sql("INSERT OVERWRITE TABLE d.one SELECT * FROM arrived")
new.write.mode("overwrite").insertInto("d.two")
tables("one", "two")
spark.conf.set("spark.sql.sources.partitionOverwriteMode", "dynamic")
new.write.insertInto("d.three", overwrite=True)
spark.sql("-- the newest\\n insert /* all */ overwrite `d`.`four` SELECT * FROM arrived")
spark.createDataFrame([(8, "m", None)], "id int, v string, p string").write.mode("overwrite").insertInto("d.five")
tables("three", "four", "five")
spark.sql("INSERT OVERWRITE d.flat SELECT * FROM arrived")
tables("flat")
new.write.insertInto("d.three")
tables("three")
tell(rows(spark.sql("show partitions d.five")))
""",
    ).told
    assert told[0] == [[[9, "n", "x"]]] * 2
    assert told[1] == [REPLACED, REPLACED, sorted_rows([*ROWS[:3], [8, "m", None]])]
    assert told[2] == [[[9, "n", "x"]]], "a table without partitions"
    assert told[3] == [sorted_rows([*REPLACED, [9, "n", "x"]])]
    assert told[4] == [["p=__HIVE_DEFAULT_PARTITION__"], ["p=x"], ["p=y"]]


def test_partitions_are_the_same_however_their_directories_are_escaped(lake, tmp_path):
    told = start(
        lake,
        tmp_path,
        """
df = spark.createDataFrame([(1, "10:30'"), (2, None), (3, "x")], "id int, p string")
s3, dynamic = boto3.client("s3"), {"partitionOverwriteMode": "dynamic"}
df.write.partitionBy("p").parquet("s3://work/escaped/")
df.write.partitionBy("p").saveAsTable("d.escaped")
for prefix in ("escaped/", "d/escaped/"):
    # As Spark names them. (The names of files are by chance, and have any digits.)
    (made,) = [one["Key"] for one in s3.list_objects_v2(Bucket="work", Prefix=prefix)["Contents"] if "30" in one["Key"].rsplit("/", 1)[0]]
    s3.copy_object(Bucket="work", Key=f"{prefix}p=10%3A30%27/{made.rsplit('/', 1)[1]}", CopySource={"Bucket": "work", "Key": made})
    s3.delete_object(Bucket="work", Key=made)
spark.sql("MSCK REPAIR TABLE d.escaped")
new = spark.createDataFrame([(8, "10:30'"), (9, None)], "id int, p string")
new.write.mode("overwrite").options(**dynamic).partitionBy("p").parquet("s3://work/escaped/")
new.write.mode("overwrite").options(**dynamic).insertInto("d.escaped")
tell(rows(spark.read.parquet("s3://work/escaped/").select("id")))
tell(rows(spark.table("d.escaped")))
""",
    ).told
    assert told[0] == [[3], [8], [9]]
    assert told[1] == [[3, "x"], [8, "10:30'"], [9, None]]


def test_an_insert_into_a_table_whose_partitions_lie_elsewhere_is_refused(lake, tmp_path):
    told = start(
        lake,
        tmp_path,
        SEED
        + """
df.filter("p = 'x'").drop("p").write.parquet("s3://work/odd/one/")
spark.sql("CREATE TABLE d.odd (id int, v string, p string) USING parquet PARTITIONED BY (p) LOCATION 's3://work/odd/'")
glue = boto3.client("glue")
place = {**glue.get_table(DatabaseName="d", Name="odd")["Table"]["StorageDescriptor"], "Location": "s3://work/odd/one/"}
glue.create_partition(DatabaseName="d", TableName="odd", PartitionInput={"Values": ["x"], "StorageDescriptor": place})
new.createOrReplaceTempView("arrived")
for write in (lambda: new.write.insertInto("d.odd"), lambda: spark.sql("INSERT INTO d.odd SELECT * FROM arrived")):
    try:
        write()
    except Exception as error:
        tell(str(error))
tell(rows(spark.table("d.odd")))
""",
    ).told
    assert len(told) == 3 and all("s3://work/odd/one/" in reason and "p=…/" in reason for reason in told[:2]), told
    assert told[2] == ROWS[:2]


def test_a_table_that_is_overwritten_has_the_new_columns_and_is_at_its_old_place(lake, tmp_path):
    lake.client("glue").create_table(
        DatabaseName="d",
        TableInput={
            "Name": "stated",
            "Description": "kept",
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"classification": "parquet", "owner": "us"},
            "StorageDescriptor": {
                "Columns": [{"Name": "id", "Type": "int"}],
                "Location": "s3://work/elsewhere/stated/",
                "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
            },
        },
    )
    told = start(
        lake,
        tmp_path,
        SEED
        + """
df.write.mode("overwrite").saveAsTable("d.stated")
tell([spark.table("d.stated").dtypes, rows(spark.table("d.stated"))])
df.write.mode("overwrite").partitionBy("p").saveAsTable("d.stated")
tell([spark.table("d.stated").dtypes, rows(spark.table("d.stated"))])
df.select("id").write.mode("overwrite").format("json").saveAsTable("d.stated")
tell([spark.table("d.stated").dtypes, rows(spark.table("d.stated"))])
df.write.mode("overwrite").option("path", "s3://work/elsewhere/made/").saveAsTable("d.made_anew")
tell(rows(spark.table("d.made_anew")))
""",
    ).told
    columns = [["id", "int"], ["v", "string"], ["p", "string"]]
    assert told[0] == told[1] == [columns, ROWS]
    assert told[2] == [[["id", "int"]], [[1], [2], [3], [4]]]
    assert told[3] == ROWS
    table = lake.client("glue").get_table(DatabaseName="d", Name="stated")["Table"]
    assert (table["Description"], table["Parameters"]["owner"], table["Parameters"]["classification"]) == ("kept", "us", "json")
    assert table["StorageDescriptor"]["Location"] == "s3://work/elsewhere/stated/" and table["PartitionKeys"] == []
    assert {key.rsplit(".", 1)[1] for key in keys(lake, "work", "elsewhere/stated/")} == {"json"}


def test_a_run_that_fails_overwrites_nothing(lake):
    text = HEAD + "from pyspark.sql import functions as F\n" + SEED
    made = """
for name in ("kept", "parts"):
    df.write.saveAsTable(f"d.{name}")
df.write.partitionBy("p").saveAsTable("d.keyed")
job.commit()
"""
    succeeded(run(lake, "seed", text + made))
    glue = lake.client("glue")

    def described():
        tables = [glue.get_table(DatabaseName="d", Name=name)["Table"] for name in ("kept", "parts", "keyed")]
        partitions = glue.get_partitions(DatabaseName="d", TableName="keyed")["Partitions"]
        return [(table["StorageDescriptor"], table["PartitionKeys"]) for table in tables], sorted(one["Values"] for one in partitions)

    before, files = described(), keys(lake, "work", "d/k") + keys(lake, "work", "d/parts/")
    failing = """
more = df.withColumn("extra", F.lit(1)).drop("v")
more.write.mode("overwrite").saveAsTable("d.kept")
more.write.mode("overwrite").partitionBy("p").saveAsTable("d.parts")
more.write.mode("overwrite").saveAsTable("d.keyed")
assert spark.table("d.keyed").columns == ["id", "p", "extra"]
from pyspark.sql.functions import udf
@udf("int")
def bad(value): raise ValueError("not today")
spark.range(3).select(bad("id").alias("id")).write.mode("overwrite").saveAsTable("d.kept")
"""
    done = run(lake, "failing-overwrite", text + failing)
    assert done["JobRunState"] == "FAILED" and "not today" in done["ErrorMessage"], done
    assert described() == before
    assert keys(lake, "work", "d/k") + keys(lake, "work", "d/parts/") == files
    reading = """
assert sorted(map(tuple, spark.table("d.kept").collect())) == sorted(map(tuple, df.collect())), spark.table("d.kept").collect()
assert spark.table("d.keyed").count() == 4 and spark.table("d.parts").count() == 4
spark.conf.set("spark.sql.sources.partitionOverwriteMode", "dynamic")
spark.table("d.keyed").filter("p = 'x'").write.mode("overwrite").insertInto("d.keyed")
assert spark.table("d.keyed").count() == 4
job.commit()
"""
    succeeded(run(lake, "reading-again", text + reading))
    assert lake.scalar("select count(*) from keyed", "d") == "4"
