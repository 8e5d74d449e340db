"""What becomes of values on their way through Glue's Spark scripts: NULL, digits, names. Each script is a process beside a lake, as in test_glue_spark.py."""

import pytest

from test_glue_spark import start


@pytest.fixture(scope="module")
def lake(module_lake):
    for bucket in ("raw", "out"):
        module_lake.bucket(bucket)
    module_lake.client("glue").create_database(DatabaseInput={"Name": "sales"})
    return module_lake


def test_members_of_null_structs_are_null_in_plain_spark_and_every_format(lake, tmp_path):
    told = start(
        lake,
        tmp_path,
        """
        from pyspark.sql.types import Row
        import pandas, pyarrow
        columns = "id int, o struct<s:string,n:int>, l array<struct<n:int>>, m map<string,struct<n:int>>"
        df = spark.createDataFrame([(1, None, [None, (3,)], {"k": None}), (2, ("t", 5), None, None), (3, (None, None), [], {})], columns)
        def members(frame):
            return rows(frame.select("id", "o.s", "o.n", F.transform("l", lambda e: e.n).alias("l"), F.map_values("m").getItem(0).getField("n")))
        tell(members(df))
        tell([df.filter("o.n is null").count(), df.filter("o.n = 0").count(), df.filter("o.s = ''").count()])
        tell(rows(spark.createDataFrame([Row(id=1, o=Row(n=1)), Row(id=2, o=None)]).select("id", "o.n")))
        tell(rows(spark.createDataFrame(pandas.DataFrame({"id": [1, 2], "o": [{"n": 1}, None]}), "id int, o struct<n:int>").select("id", "o.n")))
        tell(rows(spark.createDataFrame(pyarrow.table({"id": [1, 2], "o": [{"n": 1}, None]})).select("id", "o.n")))
        tell(rows(df.select("id", F.udf(lambda o: o, "struct<s:string,n:int>")("o").alias("o")).select("id", "o.n")))
        for kind in ("avro", "orc", "parquet"):
            df.drop("m").write.format(kind).save(f"s3://out/structs/{kind}/")
            back = spark.read.format(kind).load(f"s3://out/structs/{kind}/")
            tell(rows(back.select("id", "o.s", "o.n", F.transform("l", lambda e: e.n).alias("l"))))
            frame = read(f"s3://out/structs/{kind}/", kind)
            tell(rows(frame.unnest().toDF().select("id", "`o.s`", "`o.n`")))
        """,
    ).told
    lists = {1: [None, 3], 2: None, 3: []}
    plain = [[1, None, None], [2, "t", 5], [3, None, None]]
    assert told[0] == [[*row, lists[row[0]], None] for row in plain]
    assert told[1] == [2, 0, 0]
    assert told[2] == told[3] == told[4] == [[1, 1], [2, None]]
    assert told[5] == [[1, None], [2, 5], [3, None]]
    for index, kind in enumerate(("avro", "orc", "parquet")):
        assert told[6 + 2 * index] == [[*row, lists[row[0]]] for row in plain], kind
        assert told[7 + 2 * index] == plain, kind


def test_members_of_null_structs_that_functions_return_are_null(lake, tmp_path):
    told = start(
        lake,
        tmp_path,
        """
        import pandas, pyarrow
        schema = "id int, o struct<n:int,s:string>"
        df = spark.createDataFrame([(0,), (1,)], "id int")
        def in_pandas(frames):
            for one in frames:
                yield pandas.DataFrame({"id": one["id"], "o": [None if number == 0 else {"n": 5, "s": "q"} for number in one["id"]]})
        def in_arrow(batches):
            for batch in batches:
                numbers = batch.column(0).to_pylist()
                kind = pyarrow.struct([("n", pyarrow.int32()), ("s", pyarrow.string())])
                found = pyarrow.array([None if number == 0 else {"n": 5, "s": "q"} for number in numbers], kind)
                yield pyarrow.RecordBatch.from_arrays([batch.column(0), found], ["id", "o"])
        def members(frame): tell(rows(frame.select("id", "o.n", "o.s")))
        members(df.mapInPandas(in_pandas, schema))
        members(df.mapInArrow(in_arrow, schema=schema))
        members(df.groupBy("id").applyInPandas(lambda part: next(in_pandas([part])), schema))
        members(df.withColumn("o", F.udf(lambda number: None if number == 0 else (5, "q"), "struct<n:int,s:string>")("id")))
        """,
    ).told
    assert told == [[[0, None, None], [1, 5, "q"]]] * 4


def test_headers_and_records_may_have_names_that_differ_in_case_only(lake, tmp_path):
    lake.put("raw", "twins/csv/1.csv", "a,a,A\n1,2,3\n")
    lake.put("raw", "twins/csv/2.csv", "A,b,a\n4,5,6\n")
    lake.put("raw", "twins/json/1.json", '{"Name": 1, "name": "x", "n": [1]}\n{"Name": "2", "name": "y"}\n')
    told = start(
        lake,
        tmp_path,
        """
        for path in ("1.csv", "2.csv", ""):
            frame = read(f"s3://raw/twins/csv/{path}", "csv", {"withHeader": True})
            tell([frame.toDF().columns, rows(frame)])
        mapped = frame.apply_mapping([("A", "string", "upper", "int"), ("a", "string", "lower", "int")], case_sensitive=True)
        tell(rows(mapped))
        solved = ResolveChoice.apply(frame=read("s3://raw/twins/json/", "json"), choice="cast:string")
        tell(rows(solved.select_fields(["name", "Name"])))
        tell(sorted(Relationalize.apply(frame=solved, staging_path="s3://out/twins/", name="root").keys()))
        """,
    ).told
    assert told[0] == [["a", "a1", "A"], [["1", "2", "3"]]] and told[1] == [["A", "b", "a"], [["4", "5", "6"]]]
    assert told[2] == [["a", "a1", "A", "b"], [["1", "2", "3", None], ["6", None, "4", "5"]]]
    assert told[3] == [[3, 1], [4, 6]]
    assert told[4] == [["x", "1"], ["y", "2"]]
    assert told[5] == ["root", "root_n"]


SERDES = {
    "commas": ("org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", {"field.delim": ","}, "1,a\n2,b\n"),
    "hives": ("org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", {}, "1\x01a\n2\x01b\n"),
    "formats": ("org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", {"serialization.format": "|"}, "1|a\n2|b\n"),
    "opens": ("org.apache.hadoop.hive.serde2.OpenCSVSerde", {"separatorChar": ";"}, '"1";"a"\n2;b\n'),
    "jsons": ("org.openx.data.jsonserde.JsonSerDe", {}, '{"id": 1, "v": "a"}\n{"id": 2, "v": "b"}\n'),
}


def test_tables_without_a_classification_are_read_by_their_serialization_library(lake, tmp_path):
    for name, (library, parameters, text) in SERDES.items():
        lake.put("raw", f"serdes/{name}/1", text)
        descriptor = {
            "Columns": [{"Name": "id", "Type": "int"}, {"Name": "v", "Type": "string"}],
            "Location": f"s3://raw/serdes/{name}/",
            "SerdeInfo": {"SerializationLibrary": library, "Parameters": parameters},
        }
        lake.client("glue").create_table(DatabaseName="sales", TableInput={"Name": name, "TableType": "EXTERNAL_TABLE", "StorageDescriptor": descriptor})
    lake.client("glue").create_database(DatabaseInput={"Name": "placed", "LocationUri": "s3://out/placed/"})
    told = start(
        lake,
        tmp_path,
        """
        def both(database, name):
            frame = glueContext.create_dynamic_frame.from_catalog(database, name)
            tell([rows(frame), rows(spark.sql(f"select * from {database}.{name}"))])
        for name in sys.argv[1:]:
            both("sales", name)
        df = spark.createDataFrame([(1, "a"), (2, "b")], "id int, v string")
        df.write.saveAsTable("placed.parquets")
        df.write.format("csv").options(header=True, sep="|").saveAsTable("placed.csvs")
        df.write.format("json").saveAsTable("placed.jsons")
        for name in ("parquets", "csvs", "jsons"):
            both("placed", name)
        """,
        *SERDES,
    ).told
    for name, found in zip([*SERDES, "parquet", "csv", "json"], told, strict=True):
        assert found == [[[1, "a"], [2, "b"]]] * 2, name


def test_numbers_of_dynamodb_keep_their_digits(lake, tmp_path):
    client = lake.client("dynamodb")
    key = {"AttributeName": "id", "KeyType": "HASH"}
    client.create_table(TableName="items", KeySchema=[key], AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}], BillingMode="PAY_PER_REQUEST")
    large = "12345678901234567890123456789012345678"
    for number, (big, mixed, part, price) in enumerate([(large, "7", "0.5", {"N": "5"}), ("-98765432109876543210", large, "1E-7", {"S": "7"}), ("3", "-1", "2.25", None)]):
        item = {"id": {"N": str(number)}, "big": {"N": big}, "mixed": {"N": mixed}, "part": {"N": part}, "set": {"NS": [big]}}
        client.put_item(TableName="items", Item={**item, **({"price": price} if price else {})})
    told = start(
        lake,
        tmp_path,
        """
        frame = glueContext.create_dynamic_frame.from_options("dynamodb", {"dynamodb.input.tableName": "items"})
        solved = frame.resolveChoice(specs=[("big", "cast:decimal(38,0)"), ("mixed", "cast:decimal(38,0)"), ("price", "cast:int")])
        found = solved.toDF().orderBy("id")
        tell([[str(row["big"]), str(row["mixed"]), row["part"], row["price"]] for row in found.collect()])
        tell(sorted(str(one) for row in frame.resolveChoice(choice="cast:string").toDF().select(F.to_json("set")).collect() for one in row))
        """,
    ).told
    assert told[0] == [[large, "7", 0.5, 5], ["-98765432109876543210", large, 1e-07, 7], ["3", "-1", 2.25, None]]
    assert all(digits in str(told[1]) for digits in (large, "-98765432109876543210")), told[1]


def test_the_engine_holds_half_of_the_memory_that_a_script_may_use(lake, tmp_path):
    script = """
        import json, os
        os.environ["MILLPOND_MEMORY_BYTES"] = str(1 << 30)
        from pyspark.sql import SparkSession
        SparkSession.builder.getOrCreate()
        print("TOLD " + json.dumps([os.environ[f"SAIL_RUNTIME__MEMORY_POOL__{name}"] for name in ("TYPE", "FAIR__MAX_SIZE")]))
        """
    assert start(lake, tmp_path, script, prologue="").told == [["fair", str(1 << 29)]]
