"""Tables of every SerDe over real files, as Athena reads them."""

import gzip
import io
import datetime

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet
import pytest
from test_athena_projection import answer, done, reason


@pytest.fixture(scope="module")
def formats(module_lake):
    s3, athena = module_lake.client("s3"), module_lake.client("athena")
    for bucket in ("data", "results"):
        s3.create_bucket(Bucket=bucket)
    done(athena, "CREATE DATABASE f")
    return module_lake


def table(lake, name, columns, clauses, files, properties=""):
    """Puts files below data/name/ and makes a table over them."""
    s3, athena = lake.client("s3"), lake.client("athena")
    for key, body in files.items():
        s3.put_object(Bucket="data", Key=f"{name}/{key}", Body=body if isinstance(body, bytes) else body.encode())
    done(athena, f"CREATE EXTERNAL TABLE f.{name} ({columns}) {clauses} LOCATION 's3://data/{name}/' {properties}")
    return athena


def orc(columns):
    sink = io.BytesIO()
    pa.orc.write_table(pa.table(columns), sink, compression="zlib")
    return sink.getvalue()


def parquet(columns):
    sink = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_orc_by_place_and_by_name(formats):
    columns = {
        "Id": pa.array([1, 2, None], pa.int32()),
        "name": pa.array(["a", None, "c"]),
        "at": pa.array([datetime.datetime(2024, 1, 2, 3, 4, 5, 678000), None, datetime.datetime(1969, 12, 31)], pa.timestamp("ns")),
        "day": pa.array([datetime.date(2024, 2, 29), None, datetime.date(1, 1, 1)]),
        "price": pa.array([None, "1.50", "-2.25"]).cast(pa.decimal128(10, 2)),
        "tags": pa.array([["x", "y"], [], None], pa.list_(pa.string())),
        "pair": pa.array([{"a": 1, "b": "z"}, None, {"a": None, "b": "w"}]),
        "counts": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
    }
    types = """first bigint, name string, `at` timestamp, day date, price decimal(10,2), tags array<string>,
               pair struct<a:bigint,b:string>, counts map<string,bigint>, added double"""
    athena = table(formats, "orc", types, "STORED AS ORC", {"a.orc": orc(columns)})
    assert answer(athena, "SELECT * FROM f.orc ORDER BY first") == [
        ["1", "a", "2024-01-02 03:04:05.678", "2024-02-29", None, "[x, y]", "{a=1, b=z}", "{k=1}", None],
        ["2", None, None, None, "1.50", "[]", None, "{}", None],
        [None, "c", "1969-12-31 00:00:00.000", "0001-01-01", "-2.25", None, "{a=null, b=w}", None, None],
    ]
    assert answer(athena, "SELECT count(*), count(name), sum(price) FROM f.orc") == [["3", "2", "-0.75"]]
    serde = "ROW FORMAT SERDE 'org.apache.hadoop.hive.ql.io.orc.OrcSerde' WITH SERDEPROPERTIES ('orc.column.index.access'='false') STORED AS ORC"
    athena = table(formats, "orc_names", "name string, id int", serde, {"a.orc": orc({"Id": [1, 2], "name": ["a", "b"]})})
    assert answer(athena, "SELECT id, name FROM f.orc_names WHERE name = 'b'") == [["2", "b"]]


def test_lazy_simple_with_all_its_delimiters(formats):
    clauses = """ROW FORMAT DELIMITED FIELDS TERMINATED BY '|' ESCAPED BY '\\\\' COLLECTION ITEMS TERMINATED BY ',' MAP KEYS TERMINATED BY ':'
                 LINES TERMINATED BY '\\n' NULL DEFINED AS '-'"""
    text = "1|a\\|b|x,y|k:1,l:2|7,z\n\n-|-|-|-|-\n"
    columns = "id int, name string, tags array<string>, counts map<string,int>, pair struct<a:int,b:string>"
    athena = table(formats, "lazy", columns, clauses, {"a.txt": text, "b.txt.gz": gzip.compress(b"2|c|w||8\n")})
    assert answer(athena, "SELECT * FROM f.lazy WHERE id > 0 ORDER BY id") == [
        ["1", "a|b", "[x, y]", "{k=1, l=2}", "{a=7, b=z}"],
        ["2", "c", "[w]", None, "{a=8, b=null}"],
    ]
    assert answer(athena, "SELECT count(*), count(id), count(name) FROM f.lazy") == [["4", "2", "2"]]


def test_open_csv_with_days_milliseconds_and_a_footer(formats):
    clauses = "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' WITH SERDEPROPERTIES ('separatorChar'=';','quoteChar'=\"'\")"
    text = "id;d;t;n\n'1';'19724';'1704164645678';'x;y'\n2;0;0;z\ntotal;;;\n"
    properties = "TBLPROPERTIES ('skip.header.line.count'='1', 'skip.footer.line.count'='1')"
    athena = table(formats, "opencsv", "id int, d date, t timestamp, n string", clauses, {"a.csv": text}, properties)
    assert answer(athena, "SELECT * FROM f.opencsv ORDER BY id") == [
        ["1", "2024-01-02", "2024-01-02 03:04:05.678", "x;y"],
        ["2", "1970-01-01", "1970-01-01 00:00:00.000", "z"],
    ]


def test_json_serdes_and_their_options(formats):
    openx = "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
    broken = '{"id":1,"Dot.ted":"a","o":{"x":[1,2]}}\n{"id":\n{"id":3}\n'
    columns = "id int, dot_ted string, o struct<x:array<int>>"
    athena = table(formats, "strict", columns, openx, {"a.json": broken})
    said = reason(athena, "SELECT * FROM f.strict")
    assert said.startswith("HIVE_CURSOR_ERROR: Row is not a valid JSON Object - JSONException:")
    assert "s3://data/strict/a.json" in said and "line 2" in said
    options = f"{openx} WITH SERDEPROPERTIES ('ignore.malformed.json'='true','dots.in.keys'='true')"
    athena = table(formats, "patient", columns, options, {"a.json": broken})
    assert answer(athena, "SELECT * FROM f.patient ORDER BY id") == [["1", "a", "{x=[1, 2]}"], ["3", None, None], [None, None, None]]
    mapped = f"{openx} WITH SERDEPROPERTIES ('mapping.ts'='timestamp','case.insensitive'='false')"
    athena = table(formats, "mapped", "ts string, id int", mapped, {"a.json": '{"timestamp":"x","ID":1}\n{"timestamp":"y","id":2}\n'})
    assert answer(athena, "SELECT * FROM f.mapped ORDER BY ts") == [["x", None], ["y", "2"]]
    hive = """ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'
              WITH SERDEPROPERTIES ('timestamp.formats'="yyyy-MM-dd'T'HH:mm:ss.SSS'Z',millis")"""
    text = '{"t":"2024-01-02T03:04:05.678Z"}\n{"t":"1704164645678"}\n{"t":"2024-01-02 03:04:05.678"}\n'
    athena = table(formats, "hive_json", "t timestamp", hive, {"a.json": text})
    assert answer(athena, "SELECT DISTINCT t FROM f.hive_json") == [["2024-01-02 03:04:05.678"]]


def test_regex_and_grok_over_logs(formats):
    line = '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326\n'
    text = "#comment\n" + line + line.replace("200", "404").replace("2326", "-")
    regex = r"""ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.RegexSerDe'
                WITH SERDEPROPERTIES ('input.regex'='^(?!#)(\\S+) \\S+ (\\S+) \\[([^\\]]*)\\] "(\\S+) ([^ ]+) [^"]*" (\\d+) (.*)$')"""
    columns = "client string, who string, stamp string, verb string, path string, code int, bytes int"
    athena = table(formats, "regex", columns, regex, {"a.log": text})
    assert answer(athena, "SELECT client, verb, path, code, bytes FROM f.regex WHERE code IS NOT NULL ORDER BY code") == [
        ["127.0.0.1", "GET", "/a.gif", "200", "2326"],
        ["127.0.0.1", "GET", "/a.gif", "404", None],
    ]
    assert answer(athena, "SELECT count(*), count(client) FROM f.regex") == [["3", "2"]]
    grok = """ROW FORMAT SERDE 'com.amazonaws.glue.serde.GrokSerDe' WITH SERDEPROPERTIES ('input.format'='%{COMMONAPACHELOG}')
              STORED AS INPUTFORMAT 'org.apache.hadoop.mapred.TextInputFormat'
              OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'"""
    athena = table(formats, "grok", "clientip string, verb string, request string, response int, bytes int", grok, {"a.log": text})
    assert answer(athena, "SELECT * FROM f.grok WHERE response = 200") == [["127.0.0.1", "GET", "/a.gif", "200", "2326"]]
    multi = "ROW FORMAT SERDE 'org.apache.hadoop.hive.contrib.serde2.MultiDelimitSerDe' WITH SERDEPROPERTIES ('field.delim'='||')"
    athena = table(formats, "multi", "a int, b string", multi, {"a.txt": "1||x|y\n2||\n"})
    assert answer(athena, "SELECT * FROM f.multi ORDER BY a") == [["1", "x|y"], ["2", ""]]


def test_files_that_disagree_in_order_type_and_presence(formats):
    files = {
        "1.parquet": parquet({"a": pa.array([1], pa.int32()), "b": ["x"]}),
        "2.parquet": parquet({"B": ["y"], "c": [2.5], "a": pa.array([2**40], pa.int64())}),
    }
    athena = table(formats, "differ", "a bigint, b string, c double", "STORED AS PARQUET", files)
    assert answer(athena, "SELECT * FROM f.differ ORDER BY a") == [["1", "x", None], [str(2**40), "y", "2.5"]]
    table(formats, "misfit", "a bigint", "STORED AS PARQUET", {"1.parquet": parquet({"a": ["text"]})})
    said = reason(athena, "SELECT * FROM f.misfit")
    assert said.startswith("HIVE_BAD_DATA: Field a's type") and "s3://data/misfit/1.parquet" in said


@pytest.mark.parametrize(
    ("name", "clauses", "body", "error"),
    [
        ("cut_gzip", "ROW FORMAT DELIMITED FIELDS TERMINATED BY ','", gzip.compress(b"".join(b"%d,2\n" % (n * n) for n in range(50_000)))[:-3000], "HIVE_CURSOR_ERROR"),
        ("no_parquet", "STORED AS PARQUET", b"no parquet at all, but long enough", "HIVE_CANNOT_OPEN_SPLIT"),
        ("cut_parquet", "STORED AS PARQUET", parquet({"a": list(range(1000))})[:-9], "HIVE_CANNOT_OPEN_SPLIT"),
        ("cut_orc", "STORED AS ORC", orc({"a": list(range(1000))})[:-9], "HIVE_BAD_DATA"),
        ("no_avro", "STORED AS AVRO", b"Obj\x01 and then nothing of it", "HIVE_BAD_DATA"),
    ],
)
def test_broken_files_are_named(formats, name, clauses, body, error):
    athena = table(formats, name, "a bigint", clauses, {"good/object": body})
    said = reason(athena, f"SELECT sum(a) FROM f.{name}")
    assert said.startswith(error) and f"s3://data/{name}/good/object" in said, said
    # And the server goes on.
    assert answer(athena, "SELECT 1") == [["1"]]


def test_ion_is_refused_by_name(formats):
    clauses = "ROW FORMAT SERDE 'com.amazon.ionhiveserde.IonHiveSerDe'"
    athena = table(formats, "ion", "a int", clauses, {"a.ion": "{a:1}"})
    assert "Amazon Ion can't be read" in reason(athena, "SELECT * FROM f.ion")
