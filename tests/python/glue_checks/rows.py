"""Functions over records: Filter, Map, Unbox, errors and thresholds, records that describe themselves."""

import datetime
import decimal
import os

from glue_checks.support import frame, json_frame, raises, records, told, tree


def filter_keeps_what_the_function_is_true_for():
    from awsglue.transforms import Filter

    one = frame([("Sue", 12), ("Ann", 30), ("Bob", 41)], "name string, age int")
    found = Filter.apply(frame=one, f=lambda rec: rec["age"] > 20 and rec.name != "Bob", transformation_ctx="adults")
    assert records(found) == [{"name": "Ann", "age": 30}]
    assert found.count() == 1 and found.errorsCount() == 0
    assert found.schema() == one.schema()


def filter_sees_case_sensitive_names_and_nested_records():
    one = json_frame({"Id": 1, "address": {"state": "CA", "geo": {"lat": 1.5}}}, {"Id": 2, "address": {"state": "NY", "geo": {"lat": 2.5}}})
    assert [r["Id"] for r in records(one.filter(lambda r: r.address.geo.lat > 2 and r["address"]["state"] == "NY"))] == [2]
    with told() as said:
        assert one.filter(lambda r: r["id"] > 0).count() == 0
    assert said() == "" or "KeyError" in said()


def filter_takes_missing_fields_and_wrong_types_for_no():
    one = json_frame({"a": 1}, {"a": "x"}, {"b": 2}, {"a": None}, {"a": "7"})
    found = one.filter(lambda r: int(r["a"]) > 0)
    assert records(found) == [{"a": 1}, {"a": "7"}] and found.errorsCount() == 0


def filter_makes_other_exceptions_errors():
    one = frame([(0,), (1,), (2,)], "a int")
    found = one.filter(lambda r: 2 / r["a"] > 1)
    assert records(found) == [{"a": 1}]
    assert found.errorsCount() == 1 and found.stageErrorsCount() == 1
    (error,) = records(found.errorsAsDynamicFrame())
    assert error["error"]["msg"] == "division by zero" and error["error"]["dynamicRecord"] == {"a": 0}
    assert "ZeroDivisionError" in error["error"]["stackTrace"] and "rows.py" in error["error"]["stackTrace"]


def filters_keep_decimals_times_and_nested_values_exactly():
    row = (decimal.Decimal("1.230"), datetime.datetime(2024, 1, 31, 1, 2, 3, 456789), datetime.date(1969, 2, 28), b"\x00\xff", {"k": 1}, [1, None], (1.5, None), None)
    columns = "a decimal(12,3), b timestamp, c date, d binary, e map<string,int>, f array<int>, g struct<x:double,y:string>, h tinyint"
    one = frame([row], columns)
    found = one.filter(lambda r: r["a"] == decimal.Decimal("1.23") and r["b"].year == 2024 and r["e"]["k"] == 1 and r["f"][1] is None and r["g"].x == 1.5)
    assert records(found) == records(one) and found.toDF().schema == one.toDF().schema


def map_changes_adds_and_removes_fields():
    from awsglue.transforms import Map

    def merged(rec):
        rec["address"] = {"street": rec["street"], "city": rec["city"]}
        del rec["street"]
        del rec["city"]
        rec.length = len(rec["address"]["street"])
        return rec

    found = Map.apply(frame=frame([("A", "1 Main", "LA")], "name string, street string, city string"), f=merged)
    assert records(found) == [{"name": "A", "address": {"street": "1 Main", "city": "LA"}, "length": 6}]
    assert tree(found) == "|-- name: string\n|-- address: struct\n|    |-- street: string\n|    |-- city: string\n|-- length: int"


def map_keeps_the_types_of_fields_that_stay():
    columns = "a long, b float, c decimal(10,2), d short, e map<string,long>, f array<long>, g timestamp, h string, i boolean"
    row = (1, 1.5, decimal.Decimal("2.50"), 3, {"k": 1}, [1], datetime.datetime(2024, 1, 1), None, True)
    one = frame([row], columns)
    found = one.map(lambda r: r)
    kept = {f.name: f.dataType.typeName() for f in found.schema()}
    assert kept == {"a": "long", "b": "float", "c": "decimal", "d": "int", "e": "map", "f": "array", "g": "timestamp", "h": "string", "i": "boolean"}, kept
    assert records(found) == records(one)


def map_makes_choices_where_results_differ():
    found = frame([(1,), (2,)], "a int").map(lambda r: {"v": "x" if r.a == 1 else 2.5, "a": r.a})
    assert tree(found) == "|-- a: int\n|-- v: choice\n|    |-- double\n|    |-- string", tree(found)
    assert [r["v"] for r in records(found, "a")] == ["x", 2.5]


def map_makes_exceptions_and_missing_answers_errors():
    def odd(rec):
        if rec["a"] == 1:
            raise KeyError("nope")
        return None if rec["a"] == 2 else rec

    found = frame([(1,), (2,), (3,)], "a int").map(odd)
    assert records(found) == [{"a": 3}] and found.errorsCount() == 2
    messages = sorted(e["error"]["msg"] for e in records(found.errorsAsDynamicFrame()))
    assert "nope" in messages[0] and "return rec" in messages[1], messages


def an_error_is_told_once_with_its_place_in_the_script():
    if os.environ.get("GLUE_CHECKS_ENGINE", "sail") != "sail":
        return  # workers of other engines have a standard error of their own

    with told() as said:
        frame([(i,) for i in range(100)], "a int").map(lambda r: {"x": 1 / 0}, info="ratio").count()
    lines = [line for line in said().splitlines() if "ZeroDivisionError" in line]
    assert len(lines) == 1 and "Map (ratio) at " in lines[0] and "rows.py:" in lines[0], lines


def thresholds_end_the_script():
    from awsglue.frames.plan import ErrorThresholdExceeded

    one = frame([(0,), (0,), (1,)], "a int")
    assert one.map(lambda r: {"x": 1 / r.a}).toDF().count() == 1
    assert one.map(lambda r: {"x": 1 / r.a}, stageThreshold=3).toDF().count() == 1
    with raises(ErrorThresholdExceeded, "2 records failed", "stageThreshold is 2"):
        one.map(lambda r: {"x": 1 / r.a}, stageThreshold=2).toDF()
    lost = one.map(lambda r: {"x": 1 / r.a})
    with raises(ErrorThresholdExceeded, "totalThreshold is 1"):
        lost.map(lambda r: r, totalThreshold=1).count()
    with raises(ErrorThresholdExceeded):
        one.map(lambda r: {"x": 1 / r.a}, stageThreshold=1).select_fields(["x"])
    lost.assertErrorThreshold()


def errors_of_all_transforms_are_counted():
    one = json_frame({"a": 0}, {"a": 1}, "no json", {"a": 2})
    found = one.map(lambda r: {"a": r.a, "x": 1 // r.a}).select_fields(["x"]).map(lambda r: {"y": 1 // (r.x - 1)} if r.x else r)
    assert found.errorsCount() == 3 and found.stageErrorsCount() == 1, (found.errorsCount(), found.stageErrorsCount())
    assert len(records(found.errorsAsDynamicFrame())) == 3


def functions_run_in_one_pass_and_in_order():
    one = frame([(i,) for i in range(10)], "a int")
    found = one.filter(lambda r: r.a % 2 == 0).map(lambda r: {"b": r.a * 10}).filter(lambda r: r.b > 20).map(lambda r: {**r, "c": str(r.b)})
    assert records(found) == [{"b": 40, "c": "40"}, {"b": 60, "c": "60"}, {"b": 80, "c": "80"}]
    assert found.count() == 3


def map_partitions_sees_iterators():
    def numbered(iterator):
        for number, item in enumerate(iterator):
            item["record"] = {**item["record"], "n": number}
            if number == 1:
                item["isError"], item["errorMessage"] = True, "second"
            yield item

    found = frame([("a",), ("b",), ("c",)], "v string").coalesce(1).mapPartitions(numbered)
    assert [r["n"] for r in records(found)] == [0, 2] and found.errorsCount() == 1


def values_of_foreign_classes_become_plain():
    import numpy
    import pandas

    def odd(rec):
        return {"i": numpy.int64(5), "f": numpy.float32(1.5), "t": pandas.Timestamp("2024-01-31"), "l": (1, 2), "s": {3}, "a": numpy.array([1, 2]), 7: "key"}

    assert records(frame([(1,)], "a int").map(odd)) == [
        {"i": 5, "f": 1.5, "t": datetime.datetime(2024, 1, 31), "l": [1, 2], "s": [3], "a": [1, 2], "7": "key"}
    ]
    lost = frame([(1,)], "a int").map(lambda r: {"x": object()})
    assert lost.count() == 0 and lost.errorsCount() == 1


def records_describe_themselves_up_to_odd_numbers_and_texts():
    one = json_frame('{"i": 9223372036854775808, "f": 1e400, "u": "\\ud800x", "big": 12345678901234567890123456789, "neg": -2147483649, "e": "", "n": 1e3}')
    (record,) = records(one)
    assert record["i"] == decimal.Decimal("9223372036854775808") and record["big"] == decimal.Decimal("12345678901234567890123456789")
    assert record["f"] == float("inf") and record["u"] == "?x" and record["neg"] == -2147483649 and record["e"] == "" and record["n"] == 1000.0
    assert one.schema().getField("neg").dataType.typeName() == "long" and one.schema().getField("n").dataType.typeName() == "double"


def json_that_is_none_is_an_error_and_hostile_json_too():
    deep = "[" * 100_000
    one = json_frame('{"a": 1}', "", "   ", "{", '"text"', "7", deep, '{"a": 1' + "0" * 5000 + "}", '[{"a": 2}, {"a": 3}]')
    assert [r["a"] for r in records(one)] == [1, 2, 3]
    assert one.errorsCount() == 5, one.errorsCount()


def json_documents_may_follow_each_other():
    one = json_frame('{\n "a": 1\n}\n{"a": 2} [{"a": 3},\n {"a": 4}]\r\n', '{"a": 5}{"a": 6}')
    assert [r["a"] for r in records(one, "a")] == [1, 2, 3, 4, 5, 6] and one.errorsCount() == 0
    cut = json_frame('{"a": 1}\n{"a": 2}\n{"a": ', '{"a": 3} 7 {"a": 4}')
    assert [r["a"] for r in records(cut, "a")] == [1, 2, 3] and cut.errorsCount() == 2
    assert [r["b"] for r in records(json_frame('{"a": {"b": 1}} {"a": {"b": 2}}', json_path="$.a"), "b")] == [1, 2]


def values_that_are_used_as_names_are_refused():
    from awsglue.frames.shapes import TooManyFields

    one = json_frame(*({f"key{i * 600 + k}": k for k in range(600)} for i in range(20)), name="sessions")
    with raises(TooManyFields, "10000", "sessions", "'key"):
        one.schema()
    assert len(json_frame({f"k{i}": i for i in range(2000)}).schema()) == 2000


def json_path_leads_to_records():
    one = json_frame({"id": 1, "items": {"list of": [{"a": 1}, {"a": 2}]}}, {"items": {}}, json_path="$.items['list of'][*]")
    assert records(one) == [{"a": 1}, {"a": 2}]
    with raises(ValueError, "column 2"):
        json_frame({}, json_path="$..a")


def partition_columns_stay_beside_json():
    from awsglue.dynamicframe import DynamicFrame
    from glue_checks.support import spark

    df = spark().createDataFrame([('{"a": 1}', "2024", 7), ('{"a": "x"}', "2025", 8)], "value string, year string, month int")
    one = DynamicFrame._from_json_text(df, None, "p", keep=["year", "month"])
    assert records(one.resolveChoice(choice="cast:string"), "year") == [{"a": "1", "year": "2024", "month": 7}, {"a": "x", "year": "2025", "month": 8}]


def unbox_reads_json_and_csv():
    from awsglue.transforms import Unbox

    rows = [("TX_WAREHOUSE", '{"strawberry":220,"pineapple":560,"mango":350,"pears":null}'), ("CA_WAREHOUSE", '{"strawberry":34,"pineapple":"123"}'), ("X", None)]
    found = Unbox.apply(frame=frame(rows, "warehouse_loc string, data string"), path="data", format="json")
    assert tree(found) == "\n".join([
        "|-- warehouse_loc: string", "|-- data: struct", "|    |-- strawberry: int", "|    |-- pineapple: choice", "|    |    |-- int", "|    |    |-- string",
        "|    |-- mango: int", "|    |-- pears: null",
    ])  # fmt: skip
    assert records(found)[2] == {"warehouse_loc": "X", "data": None}
    one = json_frame({"a": {"b": "1|x"}})
    assert records(one.unbox("a.b", "csv", separator="|")) == [{"a": {"b": {"col0": "1", "col1": "x"}}}]
    assert records(one.unbox("a.b", "csv", separator="|", withSchema='{"dataType":"struct","fields":[{"name":"n","container":{"dataType":"int"}},{"name":"t","container":{"dataType":"string"}}]}')) == [
        {"a": {"b": {"n": 1, "t": "x"}}}
    ]
    header = frame([("id,name\n1,x",)], "v string").unbox("v", "csv", withHeader=True)
    assert records(header) == [{"v": {"id": "1", "name": "x"}}]


def unbox_reads_avro():
    import io
    import json

    import fastavro

    schema = {"type": "record", "name": "r", "fields": [{"name": "a", "type": "int"}, {"name": "b", "type": ["null", "string"]}]}
    container, bare = io.BytesIO(), io.BytesIO()
    fastavro.writer(container, schema, [{"a": 1, "b": "x"}])
    fastavro.schemaless_writer(bare, schema, {"a": 2, "b": None})
    one = frame([(container.getvalue(),), (bare.getvalue(),), (b"\xff" * 20,)], "v binary").unbox("v", "avro", avroSchema=json.dumps(schema))
    assert records(one) == [{"v": {"a": 1, "b": "x"}}, {"v": {"a": 2, "b": None}}] and one.errorsCount() == 1
    with told() as said:
        assert frame([(bare.getvalue(),)], "v binary").unbox("v", "avro").errorsCount() == 1
    assert "avroSchema" in said() or os.environ.get("GLUE_CHECKS_ENGINE", "sail") != "sail"


def unbox_of_bad_text_is_an_error_and_of_bad_formats_refused():
    found = frame([("{",), ("{}",), ('{"a":1}',)], "v string").unbox("v", "json")
    assert found.count() == 2 and found.errorsCount() == 1
    with raises(ValueError, "'xml'"):
        frame([("x",)], "v string").unbox("v", "xml")


def dynamodb_json_becomes_plain():
    one = json_frame({"Item": {"id": {"S": "a"}, "n": {"N": "1.50"}, "m": {"M": {"x": {"BOOL": True}}}, "l": {"L": [{"S": "q"}, {"NULL": True}]}, "s": {"SS": ["a", "b"]}}})
    assert records(one.unnest_ddb_json()) == [{"id": "a", "n": "1.50", "m": {"x": True}, "l": ["q", None], "s": ["a", "b"]}]


def a_function_that_cannot_be_sent_says_so():
    import pickle
    import threading

    lock = threading.Lock()

    def uses(rec):
        with lock:
            return rec

    with raises(pickle.PicklingError, "Map at ", "inside the function"):
        frame([(1,)], "a int").map(uses).count()


def a_frame_without_records_keeps_its_fields_through_functions():
    one = frame([(1, "x")], "a int, b string")
    assert tree(one.filter(lambda r: False)) == "|-- a: int\n|-- b: string"
    empty = one.filter(lambda r: False).map(lambda r: {"c": 1})
    assert empty.count() == 0 and empty.toDF().count() == 0
    with told() as said:
        assert empty.apply_mapping([("a", "int", "a", "int"), ("c", "int", "c", "int")]).toDF().columns == ["a"]
    assert "'c'" in said()


def many_records_cross_batches():
    count = 25_000
    from awsglue.dynamicframe import DynamicFrame
    from glue_checks.support import spark

    one = DynamicFrame.fromDF(spark().range(count), None, "many")
    found = one.map(lambda r: {"id": r.id, "text": "x" * (r.id % 7), "even": r.id % 2 == 0}).filter(lambda r: r.even)
    assert found.count() == count // 2
    row = found.toDF().selectExpr("sum(id) s", "sum(length(text)) t").collect()[0]
    assert row["s"] == sum(range(0, count, 2)) and row["t"] == sum(i % 7 for i in range(0, count, 2))


if __name__ == "__main__":
    import glue_checks.rows
    from glue_checks.support import run

    run(glue_checks.rows)
