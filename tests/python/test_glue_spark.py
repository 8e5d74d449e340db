"""Glue's Spark scripts on Sail, each a process of its own beside a lake, without a run: what `awsglue` and plain Spark read and write, and what they say.

How scripts behave in runs (bookmarks, what is visible when, the reason of a failure) is tested in test_glue_spark_runs.py.
"""

import gzip
import json
import re
import subprocess
import textwrap

import pytest

from glue_env import scripts_environment, scripts_python

PROLOGUE = """
import json, sys
from awsglue.transforms import *
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext
from pyspark.sql import functions as F
from awsglue.context import GlueContext
from awsglue.dynamicframe import DynamicFrame
from awsglue.job import Job
import boto3
sc = SparkContext()
glueContext = GlueContext(sc)
spark = glueContext.spark_session
def tell(value): print("TOLD " + json.dumps(value, default=str), flush=True)
def rows(frame):
    df = frame.toDF() if hasattr(frame, "toDF") and hasattr(frame, "apply_mapping") else frame
    return sorted([list(row) for row in df.collect()], key=str)
def read(path, format, options={}, **more):
    return glueContext.create_dynamic_frame.from_options("s3", {"paths": [path], **more}, format=format, format_options=options)
"""


class Ended:
    def __init__(self, done):
        self.code, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr
        self.told = [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("TOLD ")]


def start(lake, tmp_path, text, *arguments, prologue=PROLOGUE, check=True):
    """Runs a script to its end; `told` is what it told, in order."""
    script = tmp_path / "script.py"
    script.write_text(prologue + textwrap.dedent(text))
    environment = {**scripts_environment(), **{name: value for name, value in lake.env.items() if name.startswith("AWS_")}, "TMPDIR": str(tmp_path)}
    done = subprocess.run([scripts_python(), "-m", "millpond_job", script, *arguments], env=environment, capture_output=True, text=True, timeout=180)
    if check and done.returncode != 0:
        raise AssertionError(f"the script ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return Ended(done)


@pytest.fixture(scope="module")
def filled(module_lake):
    lake = module_lake
    lake.bucket("raw")
    lake.bucket("out")
    for year in (2020, 2021):
        for month in ("01", "02"):
            lake.put("raw", f"hive/year={year}/month={month}/a.csv", f"id,name\n{year}{month},n{month}\n")
            lake.put("raw", f"plain/{year}/{month}/a.csv", f"id,name\n{year}{month},n{month}\n")
    lake.put("raw", "ragged/r.csv", 'id,name\n1,a\n2\n3,b,c,d\n4,"q ""x"" y"\n6,"",7\n')
    lake.put("raw", "escaped/e.csv", 'id,name\n1,"b\\"s, c"\n2\n3,x,y\n')
    lake.put("raw", "lines/l.csv", 'id,name\n1,"two\nlines"\n2,b\n')
    lake.put("raw", "mixed/a.csv.gz", gzip.compress(b"id,n\n1,2\n"))
    lake.put("raw", "mixed/b.csv", "id,n\n3,4\n")
    lake.put("raw", "headers/a.csv", "id,n\n1,2\n")
    lake.put("raw", "headers/b.csv", "n,extra,id\n4,5,3\n")
    for name in ("a{b}.csv", "a[1].csv", "a?b.csv", "a*b.csv", "a%20b.csv", "a b+c é.csv", "a%zz.csv"):
        lake.put("raw", f"names/{name}", f"id,n\n1,{name}\n")
    lake.put("raw", "json/j.json", '{"a":1,"b":{"c":"x"}}\n{"a":"t","e":1.5}\n')
    lake.client("glue").create_database(DatabaseInput={"Name": "sales"})
    return lake


def table(lake, name, location, columns, kind="csv", keys=(), serde=None, partitions=()):
    glue = lake.client("glue")
    library = {
        "csv": (
            "org.apache.hadoop.mapred.TextInputFormat",
            "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
            "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
        ),
    }[kind]
    descriptor = {
        "Columns": [{"Name": column, "Type": type_} for column, type_ in columns],
        "Location": location,
        "InputFormat": library[0],
        "OutputFormat": library[1],
        "SerdeInfo": {"SerializationLibrary": library[2], "Parameters": serde or {"field.delim": ","}},
    }
    made = {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"classification": kind, "skip.header.line.count": "1"},
        "PartitionKeys": [{"Name": key, "Type": type_} for key, type_ in keys],
        "StorageDescriptor": descriptor,
    }
    glue.create_table(DatabaseName="sales", TableInput=made)
    inputs = [{"Values": values, "StorageDescriptor": {**descriptor, "Location": place}} for values, place in partitions]
    if inputs:
        glue.batch_create_partition(DatabaseName="sales", TableName=name, PartitionInputList=inputs)


def test_csv_is_read_whatever_its_rows_quotes_and_names_are(filled, tmp_path):
    told = start(
        filled,
        tmp_path,
        """
        header = {"withHeader": True}
        tell(rows(read("s3://raw/hive/", "csv", header, recurse=True)))
        tell(rows(read("s3://raw/hive/", "csv", header)))
        tell(rows(read("s3://raw/ragged/", "csv", header)))
        tell(rows(read("s3://raw/escaped/", "csv", {**header, "escaper": "\\\\"})))
        tell(rows(read("s3://raw/lines/", "csv", {**header, "multiline": True})))
        tell(rows(read("s3a://raw/mixed/", "csv", header)))
        frame = read("s3://raw/headers/", "csv", header)
        tell([sorted(frame.toDF().columns), rows(frame.toDF().select("id", "n", "extra"))])
        tell(rows(read("s3://raw/mixed/b.csv", "csv")))
        tell(rows(read("s3://raw/mixed/b.csv", "csv", {"skipFirst": True})))
        tell(rows(read("s3://raw/names/", "csv", header)))
        tell(rows(read("s3://raw/hive/", "csv", header, recurse=True, exclusions='["**month=01**"]')))
        tell(rows(read("s3://raw/hive/year=2020/*/a.csv", "csv", header)))
        tell(rows(read("s3://raw/ragged/", "csv", {**header, "quoteChar": -1})))
        tell(read("s3://raw/nothing/", "csv", header).count())
        """,
    ).told
    all_rows = [["202001", "n01"], ["202002", "n02"], ["202101", "n01"], ["202102", "n02"]]
    assert told[0] == all_rows
    assert told[1] == [], "recurse is false"
    assert told[2] == [["1", "a"], ["2", ""], ["3", "b"], ["4", 'q "x" y'], ["6", ""]]
    assert told[3] == [["1", 'b"s, c'], ["2", ""], ["3", "x"]]
    assert told[4] == [["1", "two\nlines"], ["2", "b"]]
    assert told[5] == [["1", "2"], ["3", "4"]]
    assert told[6] == [["extra", "id", "n"], [["1", "2", None], ["3", "4", "5"]]]
    assert told[7] == [["3", "4"], ["id", "n"]]
    assert told[8] == [["3", "4"]]
    assert told[9] == sorted(
        ([["1", name] for name in ("a{b}.csv", "a[1].csv", "a?b.csv", "a*b.csv", "a%20b.csv", "a b+c é.csv", "a%zz.csv")]), key=str
    )
    assert told[10] == [["202002", "n02"], ["202102", "n02"]]
    assert told[11] == [["202001", "n01"], ["202002", "n02"]]
    assert ["4", '"q ""x"" y"'] in told[12]
    assert told[13] == 0


def test_tables_of_the_catalog_have_types_partitions_and_choices(filled, tmp_path):
    lake = filled
    places = [([str(year), month], f"s3://raw/plain/{year}/{month}/") for year in (2020, 2021) for month in ("01", "02")]
    table(lake, "monthly", "s3://raw/plain/", [("id", "bigint"), ("name", "string")], keys=[("year", "int"), ("month", "string")], partitions=places)
    lake.put("raw", "choice/a.csv", "id,v\n1,2\n2,x\n3,\n")
    table(lake, "choices", "s3://raw/choice/", [("id", "bigint"), ("v", "int")])
    lake.put("raw", "late/a.csv", "id,v\n")
    table(lake, "nothing_yet", "s3://raw/late/", [("id", "bigint"), ("v", "int")])
    told = start(
        lake,
        tmp_path,
        """
        catalog = glueContext.create_dynamic_frame.from_catalog
        frame = catalog(database="sales", table_name="monthly", transformation_ctx="monthly")
        tell([frame.toDF().dtypes, rows(frame)])
        tell(rows(catalog("sales", "monthly", push_down_predicate="year > 2020 and month = '02'")))
        tell(rows(catalog("sales", "monthly", additional_options={"catalogPartitionPredicate": "year = 2020"})))
        frame = catalog("sales", "choices")
        tell([frame.toDF().schema["v"].dataType.simpleString(), rows(frame.resolveChoice(specs=[("v", "cast:int")])), rows(frame.resolveChoice(choice="make_cols"))])
        frame = catalog("sales", "nothing_yet")
        tell([frame.toDF().dtypes, frame.count()])
        tell(rows(spark.sql("select year, count(*) from sales.monthly group by year")))
        """,
    ).told
    assert told[0] == [
        [["id", "bigint"], ["name", "string"], ["year", "int"], ["month", "string"]],
        [[202001, "n01", 2020, "01"], [202002, "n02", 2020, "02"], [202101, "n01", 2021, "01"], [202102, "n02", 2021, "02"]],
    ]
    assert told[1] == [[202102, "n02", 2021, "02"]]
    assert [row[3] for row in told[2]] == ["01", "02"]
    assert told[3] == ["struct<int:int,string:string>", [[1, 2], [2, None], [3, None]], [[1, 2, None], [2, None, "x"], [3, None, None]]]
    assert told[4] == [[["id", "bigint"], ["v", "int"]], 0]
    assert told[5] == [[2020, 2], [2021, 2]]


@pytest.mark.parametrize("kind", ["parquet", "glueparquet", "csv", "json", "orc", "avro"])
def test_what_is_written_is_read_again(filled, tmp_path, kind):
    told = start(
        filled,
        tmp_path,
        """
        kind = sys.argv[1]
        df = spark.createDataFrame([(1, "x", 2.5, True, None), (2, None, None, False, "a/b")], "a int, b string, c double, d boolean, k string")
        frame = DynamicFrame.fromDF(df, glueContext, "f")
        def write(path, **options):
            glueContext.write_dynamic_frame.from_options(frame, "s3", {"path": path, **options}, format=kind)
            back = read(path, "parquet" if kind == "glueparquet" else kind, {"withHeader": True}, recurse=True).toDF()
            return rows(back.select([F.col(name).cast("string") for name in ("a", "b", "c", "d")]))
        tell(write(f"s3://out/{kind}/plain/"))
        tell(write(f"s3://out/{kind}/parts/", partitionKeys=["k"]))
        tell(write(f"s3a://out/{kind}/plain"))
        """,
        kind,
    ).told
    empty = "" if kind == "csv" else None
    once = [["1", "x", "2.5", "true"], ["2", empty, empty, "false"]]
    assert told[0] == once and told[1] == once
    assert told[2] == sorted(once * 2), "a write adds to what is there"
    keys = [entry["Key"] for entry in filled.client("s3").list_objects_v2(Bucket="out", Prefix=f"{kind}/parts/")["Contents"]]
    assert {key.split("/")[2] for key in keys} == {"k=__HIVE_DEFAULT_PARTITION__", "k=a%2Fb"}


def test_a_sink_makes_a_table_and_adds_columns_and_partitions(filled, tmp_path):
    lake = filled
    told = start(
        lake,
        tmp_path,
        """
        def write(rows_, columns, behavior="UPDATE_IN_DATABASE"):
            sink = glueContext.getSink(connection_type="s3", path="s3://out/sunk/", enableUpdateCatalog=True, updateBehavior=behavior, partitionKeys=["year"])
            sink.setFormat("glueparquet")
            sink.setCatalogInfo(catalogDatabase="sales", catalogTableName="sunk")
            sink.writeFrame(DynamicFrame.fromDF(spark.createDataFrame(rows_, columns), glueContext, "f"))
        write([(1, 2020, "a"), (2, 2021, "b")], "id int, year int, name string")
        write([(3, 2022, "c", 1.5)], "id int, year int, name string, extra double")
        write([(4, 2023, "d", 1)], "id int, year int, name string, never int", "LOG")
        tell(rows(glueContext.create_dynamic_frame.from_catalog("sales", "sunk", push_down_predicate="year < 2023")))
        frame = glueContext.create_dynamic_frame.from_catalog("sales", "sunk", push_down_predicate="year = 2020")
        glueContext.write_dynamic_frame.from_catalog(frame, "sales", "sunk")
        tell(glueContext.create_dynamic_frame.from_catalog("sales", "sunk").count())
        """,
    ).told
    assert told[0] == [[1, "a", None, 2020], [2, "b", None, 2021], [3, "c", 1.5, 2022]]
    assert told[1] == 5
    made = lake.client("glue").get_table(DatabaseName="sales", Name="sunk")["Table"]
    assert [(column["Name"], column["Type"]) for column in made["StorageDescriptor"]["Columns"]] == [
        ("id", "int"),
        ("name", "string"),
        ("extra", "double"),
    ]
    assert made["PartitionKeys"] == [{"Name": "year", "Type": "int"}]
    assert lake.sql("select year, count(*) from sunk where year < 2023 group by year order by year", "sales") == [
        ["2020", "2"],
        ["2021", "1"],
        ["2022", "1"],
    ]


def test_plain_spark_works_as_spark_does(filled, tmp_path):
    told = start(
        filled,
        tmp_path,
        """
        from pyspark.sql import SparkSession
        tell(spark.read.option("header", True).csv("s3a://raw/mixed/b.csv").dtypes)
        tell(spark.read.csv("s3://raw/mixed/b.csv", header=True, inferSchema=True).dtypes)
        tell(spark.read.csv("s3://raw/hive/year=2020/month=0[12]/*.csv", header=True).count())
        def refused(f):
            try:
                return f()
            except Exception as error:
                return type(error).__name__
        tell([refused(lambda: spark.read.parquet("s3://out/nowhere/")), refused(lambda: spark.read.csv("s3://out/nowhere/*.csv"))])
        # Files
        df = spark.range(100000)
        def files(frame, path):
            frame.write.mode("overwrite").parquet(path)
            return len(boto3.client("s3").list_objects_v2(Bucket="out", Prefix=path.split("out/")[1])["Contents"])
        tell([files(df.repartition(1), "s3://out/f1/"), files(df.coalesce(1), "s3://out/f2/"), files(df.repartition(3).withColumn("x", F.lit(1)), "s3://out/f3/"), files(df.repartition(150), "s3://out/f4/")])
        tell(refused(lambda: df.write.parquet("s3://out/f1/")))
        df.limit(1).write.mode("ignore").parquet("s3://out/f1/")
        df.limit(5).write.mode("append").parquet("s3://out/f1/")
        tell(spark.read.parquet("s3://out/f1").count())
        # Only the partitions that are written are replaced
        def parts(rows_):
            spark.createDataFrame(rows_, "a int, p string").write.partitionBy("p").mode("overwrite").parquet("s3://out/dynamic/")
        parts([(1, "x"), (2, "y/z")])
        spark.conf.set("spark.sql.sources.partitionOverwriteMode", "dynamic")
        parts([(9, "y/z")])
        tell(rows(spark.read.parquet("s3://out/dynamic/")))
        spark.conf.set("spark.sql.sources.partitionOverwriteMode", "static")
        parts([(7, "w")])
        tell(rows(spark.read.parquet("s3://out/dynamic/")))
        # Tables
        df.limit(4).write.format("parquet").option("path", "s3://out/saved/").saveAsTable("sales.saved")
        df.limit(3).write.mode("append").format("parquet").saveAsTable("sales.saved")
        df.limit(2).write.insertInto("sales.saved")
        tell(spark.table("sales.saved").count())
        df.limit(6).write.mode("overwrite").saveAsTable("sales.saved")
        tell(spark.sql("select count(*) from sales.saved").collect()[0][0])
        spark.sql("insert into sales.saved select 7").collect()
        spark.sql("use sales")
        tell([spark.sql("select count(*) from saved").collect()[0][0], spark.catalog.currentDatabase(), spark.catalog.tableExists("sales.saved")])
        spark.range(3).write.mode("overwrite").orc("s3://out/orc-plain/")
        tell(spark.read.orc("s3://out/orc-plain").count())
        # Spark 3's casts, rows that come twice, sessions
        tell(rows(spark.createDataFrame([("x",), ("5",)], "a string").select(F.col("a").cast("int"))))
        twice = spark.createDataFrame([(1, "x"), (1, "y"), (2, "z"), (None, "w"), (None, "v")], "a int, p string").dropDuplicates(["a"])
        tell([twice.count(), rows(twice.select("a")), twice.columns])
        tell([SparkSession.builder.appName("x").master("local[*]").config("spark.sql.shuffle.partitions", "9").getOrCreate() is spark, spark.conf.get("spark.sql.shuffle.partitions")])
        more = sc.broadcast(5)
        tell(rows(spark.range(2).select(F.udf(lambda x: x + more.value, "long")("id"))))
        """,
    ).told
    assert told[0] == [["id", "string"], ["n", "string"]], "without inferSchema all is text"
    assert told[1] == [["id", "bigint"], ["n", "bigint"]]
    assert told[2] == 2
    assert told[3] == ["AnalysisException", "AnalysisException"]
    assert told[4] == [1, 1, 3, 16]
    assert told[5] == "AnalysisException"
    assert told[6] == 100005
    assert told[7] == [[1, "x"], [9, "y/z"]]
    assert told[8] == [[7, "w"]]
    assert told[9] == 9
    assert told[10] == 6
    assert told[11] == [7, "sales", True]
    assert told[12] == 3
    assert told[13] == [[5], [None]]
    assert told[14] == [3, [[1], [2], [None]], ["a", "p"]]
    assert told[15] == [True, "9"]
    assert told[16] == [[5], [6]]


def test_values_that_do_not_fit_are_null_as_in_spark(filled, tmp_path):
    lake = filled
    lake.put("raw", "unfit/a.csv", "id,v,s\n1,2,x\n2,n/a,y\n3\n4,5,z,more,more\nn/a,7,w\n")
    table(lake, "unfit", "s3://raw/unfit/", [("id", "bigint"), ("v", "int"), ("s", "string")])
    told = start(
        lake,
        tmp_path,
        """
        df = spark.createDataFrame([("n/a",), ("5",)], "s string")
        tell([rows(df.select(F.col("s").cast(kind).cast("string"))) for kind in ("double", "long", "boolean", "decimal(10,2)", "int")])
        tell(rows(spark.sql("select cast('n/a' as double), 'cast(1 as double)', cast(cast('7' as bigint) as string) -- cast(\\n")))
        tell(rows(df.selectExpr("cast(s as bigint) as n")))
        spark.conf.set("spark.sql.ansi.enabled", "true")
        try:
            tell(rows(df.select(F.col("s").cast("double"))))
        except Exception as error:
            tell("n/a" in str(error))
        spark.sql("set spark.sql.ansi.enabled=false")
        tell(rows(spark.table("sales.unfit")))
        frame = glueContext.create_dynamic_frame.from_catalog("sales", "unfit")
        tell([str(field.dataType.typeName()) for field in frame.schema()])
        tell(rows(frame.resolveChoice(specs=[("id", "cast:long"), ("v", "cast:int")])))
        tell(rows(spark.read.csv("s3://raw/unfit/", header=True)))
        tell(rows(spark.read.schema("id bigint, v int, s string").option("header", True).csv("s3://raw/unfit/")))
        """,
    ).told
    assert told[0] == [[["5.0"], [None]], [["5"], [None]], [[None], [None]], [["5.00"], [None]], [["5"], [None]]]
    assert told[1] == [[None, "cast(1 as double)", "7"]]
    assert told[2] == [[5], [None]]
    assert told[3] is True, "with ANSI on, such a cast fails"
    typed = [[1, 2, "x"], [2, None, "y"], [3, None, ""], [4, 5, "z"], [None, 7, "w"]]
    assert told[4] == typed
    assert told[5] == ["choice", "choice", "string"]
    assert told[6] == typed
    assert told[7] == [["1", "2", "x"], ["2", "n/a", "y"], ["3", None, None], ["4", "5", "z"], ["n/a", "7", "w"]]
    assert told[8] == [[1, 2, "x"], [2, None, "y"], [3, None, None], [4, 5, "z"], [None, 7, "w"]]


def test_files_and_partitions_are_as_spark_leaves_them(filled, tmp_path):
    lake = filled
    lake.client("glue").create_database(DatabaseInput={"Name": "placed", "LocationUri": "s3://out/placed/"})
    told = start(
        lake,
        tmp_path,
        """
        df = spark.createDataFrame([(1, "5"), (2, None)], "id int, p string")
        for kind in ("parquet", "csv", "json"):
            df.write.format(kind).save(f"s3://out/names/{kind}")
            df.write.mode("append").format(kind).save(f"s3://out/names/{kind}/")
        boto3.client("s3").put_object(Bucket="out", Key="names/frame/AAAAAAAAAAAAAAAA_0.parquet", Body=b"")
        glueContext.write_dynamic_frame.from_options(DynamicFrame.fromDF(df, glueContext, "f"), "s3", {"path": "s3://out/names/frame", "partitionKeys": ["p"]}, format="parquet")
        tell(rows(spark.read.parquet("s3://out/names/frame/")))
        df.write.format("parquet").partitionBy("p").saveAsTable("placed.t")
        spark.createDataFrame([(3, "6"), (4, None)], "id int, p string").write.insertInto("placed.t")
        spark.sql("insert into placed.t select 5 as id, '7' as p")
        tell(rows(spark.table("placed.t")))
        tell(rows(spark.sql("show partitions placed.t")))
        try:
            df.write.saveAsTable("sales.without_a_place")
        except Exception as error:
            tell(str(error))
        """,
    ).told
    keys = [entry["Key"] for entry in lake.client("s3").list_objects_v2(Bucket="out", Prefix="names/")["Contents"]]
    own = "names/frame/AAAAAAAAAAAAAAAA_0.parquet"
    number = r"part-\d{5}-[0-9a-f-]{36}"
    forms = [rf"names/parquet/{number}-c000\.snappy\.parquet", rf"names/(csv|json)/{number}-c000\.(csv|json)", rf"names/frame/p=\w+/{number}\.c000\.snappy\.parquet"]
    assert own in keys and len(keys) == 9, keys
    assert [key for key in keys if key != own and not any(re.fullmatch(form, key) for form in forms)] == []
    assert told[0] == [[1, 5], [2, None]]
    assert told[1] == [[1, "5"], [2, None], [3, "6"], [4, None], [5, "7"]]
    assert told[2] == [["p=5"], ["p=6"], ["p=7"], ["p=__HIVE_DEFAULT_PARTITION__"]]
    assert "sales has no LocationUri" in told[3]
    assert lake.sql("select count(*) from t where p in ('5', '6')", "placed") == [["2"]]


def test_json_over_several_lines_is_read_with_multiline(filled, tmp_path):
    filled.put("raw", "indented/a.json", json.dumps([{"a": number, "b": {"c": str(number)}} for number in range(3)], indent=1))
    filled.put("raw", "indented/b.json", json.dumps({"a": 9, "b": {"c": "x"}}, indent=1))
    filled.put("raw", "following.json", "\n".join(json.dumps({"a": number, "b": {"c": str(number)}}, indent=1) for number in range(3)))
    told = start(
        filled,
        tmp_path,
        """
        def indented(name, **options):
            return rows(read(f"s3://raw/indented/{name}", "json", options).toDF().select("a", "b.c"))
        tell(indented("", multiline=True))
        tell(indented("a.json", multiline=True, jsonPath="$[*]"))
        tell(rows(read("s3://raw/following.json", "json", {"multiline": True}).toDF().select("a", "b.c")))
        try:
            indented("a.json")
        except ValueError as error:
            tell(str(error))
        """,
    ).told
    each = [[0, "0"], [1, "1"], [2, "2"]]
    assert told[0] == [*each, [9, "x"]] and told[1] == told[2] == each
    assert 's3://raw/indented/a.json: no line of it is a JSON document' in told[3] and '"multiline": True' in told[3]


def test_old_names_and_statements_about_caches_work(filled, tmp_path):
    told = start(
        filled,
        tmp_path,
        """
        from pyspark.sql.functions import *
        df = spark.createDataFrame([(1, 2), (1, 3)], "a int, b int")
        tell(rows(df.agg(countDistinct("a"), sumDistinct("b"), approxCountDistinct("b"), max(shiftLeft("a", 2)), max(shiftRight("b", 1)), max(bitwiseNOT("a")))))
        tell([one.__name__ for one in (Column, DataFrame, StringType, ArrayType, StructType, DataType, SparkContext, sys, functools, toDegrees, toRadians)])
        df.createOrReplaceTempView("v")
        spark.catalog.clearCache()
        spark.catalog.refreshTable("v")
        for text in ("cache table v", "CACHE LAZY TABLE w AS SELECT a FROM v", "uncache table v", "clear cache", "refresh table v", "set hive.exec.dynamic.partition.mode=nonstrict"):
            spark.sql(text)
        tell([spark.sql("select count(*) from w").collect()[0][0], rows(spark.sql("SET hive.exec.dynamic.partition.mode"))])
        """,
    ).told
    assert told[0] == [[1, 5, 2, 4, 1, -2]]
    assert told[1][2:6] == ["StringType", "ArrayType", "StructType", "DataType"] and told[1][7:] == ["sys", "functools", "toDegrees", "toRadians"]
    assert told[2] == [2, [["hive.exec.dynamic.partition.mode", "nonstrict"]]]


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("raise ValueError('no such thing')", "ValueError: no such thing", True),
        ("spark.range(2).select('nope').collect()", "A column `nope` does not exist", True),
        ("spark.sql('select * from sales.nowhere').collect()", "Table or view not found: nowhere", True),
        ("spark.sql('selec 1')", "Syntax error in SQL at or near 'selec'", True),
        ("glueContext.create_dynamic_frame.from_catalog('sales', 'nowhere')", "EntityNotFoundException: ", True),
        (
            "spark.range(2).rdd.map(lambda x: x)",
            'set engine = "pyspark" under [jobs] in millpond.toml, or give the job the argument --millpond-engine pyspark',
            True,
        ),
        ("sc.parallelize([1])", "Use `spark.createDataFrame(rows)` instead", True),
        ("glueContext.create_dynamic_frame.from_options('mysql', {'url': 'x'})", 'connection_type "mysql" is not supported', True),
        ("read('s3://raw/mixed/', 'xml')", 'the format "xml" is not supported', True),
        ("spark.range(2).select(F.udf(lambda x: 1 / (x - x), 'double')('id')).collect()", "ZeroDivisionError: ", True),
        (
            "glueContext.write_dynamic_frame.from_options(read('s3://raw/mixed/b.csv', 'csv', {'withHeader': True}), 's3', {'path': 's3://out/x/', 'partitionKeys': ['zz']}, format='csv')",
            "partitionKeys names zz",
            True,
        ),
        ("def f(:", "SyntaxError", False),
    ],
)
def test_a_failure_says_what_and_where(filled, tmp_path, text, reason, line):
    ended = start(filled, tmp_path, "\n" + text + "\n", check=False)
    assert ended.code == 1
    assert reason in ended.stderr, ended.stderr
    number = (PROLOGUE + "\n").count("\n") + 1
    assert f'File "/tmp/script.py", line {number}' in ended.stderr, ended.stderr
    assert "JVM stacktrace" not in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "code"),
    [("sys.exit(3)", 3), ("sys.exit()", 0), ("sys.exit(0)", 0), ("sys.exit('because')", 1), ("print('end')", 0), ("sys.exit(256)", 1)],
)
def test_the_exit_code_is_the_scripts(filled, tmp_path, text, code):
    assert start(filled, tmp_path, f"import sys\n{text}\n", prologue="", check=False).code == code


def test_a_script_without_spark_starts_no_engine(filled, tmp_path):
    ended = start(
        filled,
        tmp_path,
        "import sys\nprint(__name__, __file__, sys.argv)\nprint([m for m in sys.modules if m in ('pyspark', 'pysail', 'boto3', 'pyarrow')])\n",
        "--a",
        "b",
        prologue="",
    )
    assert ended.stdout.splitlines() == ["__main__ /tmp/script.py ['/tmp/script.py', '--a', 'b']", "[]"]


def test_options_are_resolved_as_glue_does(filled, tmp_path):
    told = start(
        filled,
        tmp_path,
        """
        import json, sys
        from awsglue.utils import getResolvedOptions, GlueArgumentError
        def tell(value): print("TOLD " + json.dumps(value))
        args = getResolvedOptions(sys.argv, ["JOB_NAME", "day", "TempDir"])
        tell([args["JOB_NAME"], args["day"], args["TempDir"], args["RedshiftTempDir"], args["job_bookmark_option"], "other" in args])
        args = getResolvedOptions(sys.argv, ["JOB_NAME", "my-own-option"])
        tell([args["my_own_option"], "my-own-option" in args])
        for wanted in (["missing"], ["job-bookmark-option"]):
            try:
                getResolvedOptions(sys.argv, wanted)
            except Exception as error:
                tell([type(error).__name__, str(error)])
        """,
        *[
            "--JOB_NAME",
            "nightly",
            "--day=2024-01-01",
            "--other",
            "x",
            "--my-own-option",
            "7",
            "--TempDir",
            "s3://t/",
            "--job-bookmark-option",
            "job-bookmark-enable",
            "--JOB_RUN_ID",
            "jr_1",
        ],
        prologue="",
    ).told
    assert told[0] == ["nightly", "2024-01-01", "s3://t/", "s3://t/", "job-bookmark-enable", False]
    assert told[1] == ["7", False]
    assert told[2] == ["GlueArgumentError", "the following arguments are required: --missing"]
    assert told[3] == ["RuntimeError", "Using reserved arguments job-bookmark-option"]
