"""Fields and types: schemas, apply_mapping, select, drop, rename, choices. Examples are those of the AWS Glue developer guide where it has some."""

import decimal
import json
import sys

from glue_checks.support import frame, json_frame, plain, raises, records, shown, spark, text, told, tree


def schema_is_printed_as_glue_prints_it():
    found = json_frame({"name": "a", "links": [{"note": "n", "url": "u"}], "seats": 3, "tags": ["x"], "price": 1.5, "ok": True, "none": None})
    assert tree(found) == text("""
        |-- name: string
        |-- links: array
        |    |-- element: struct
        |    |    |-- note: string
        |    |    |-- url: string
        |-- seats: int
        |-- tags: array
        |    |-- element: string
        |-- price: double
        |-- ok: boolean
        |-- none: null
    """)


def values_of_several_types_are_a_choice():
    found = json_frame({"provider id": 1}, {"provider id": "x"}, {"provider id": 5_000_000_000, "more": {"a": 1}}, {"more": 7})
    assert tree(found) == text("""
        |-- provider id: choice
        |    |-- int
        |    |-- long
        |    |-- string
        |-- more: choice
        |    |-- int
        |    |-- struct
        |    |    |-- a: int
    """)
    rows = found.toDF().collect()
    assert rows[0]["provider id"].asDict() == {"int": 1, "long": None, "string": None}
    assert rows[1]["provider id"].asDict() == {"int": None, "long": None, "string": "x"}
    assert rows[3]["more"].asDict(True) == {"int": 7, "struct": None}


def schema_has_the_json_of_awss_library():
    from awsglue.gluetypes import ChoiceType, Field, IntegerType, LongType, StringType, StructType, _deserialize_json_string, _serialize_schema

    schema = json_frame({"a": 1, "b": {"c": "x"}}, {"a": "y"}).schema()
    assert schema == StructType([Field("a", ChoiceType([IntegerType(), StringType()])), Field("b", StructType([Field("c", StringType())]))])
    assert schema.jsonValue()["fields"][0] == {
        "name": "a",
        "container": {"dataType": "choice", "properties": {}, "choices": [{"dataType": "int", "properties": {}}, {"dataType": "string", "properties": {}}]},
        "properties": {},
    }
    assert _deserialize_json_string(_serialize_schema(schema)) == schema
    assert schema.hasField("a") and not schema.hasField("A") and schema.getField("b").dataType != LongType()


def dataframe_types_survive_the_way_there_and_back():
    columns = "a tinyint, b smallint, c int, d bigint, e float, f double, g decimal(12,3), h string, i boolean, j binary, k date, l timestamp, m map<string,int>"
    df = spark().createDataFrame([], columns)
    found = frame([], columns)
    assert found.toDF().schema.simpleString() == df.schema.simpleString()
    names = [f.dataType.typeName() for f in found.schema()]
    assert names == ["byte", "short", "int", "long", "float", "double", "decimal", "string", "boolean", "binary", "date", "timestamp", "map"], names
    assert tree(found.select_fields(["m"])) == "|-- m: map\n|    |-- keyType: string\n|    |-- valueType: int"


def show_prints_records_as_json():
    lines = shown(json_frame({"a": 1, "b": {"c": "é"}}, {"a": "x"})).splitlines()
    assert [json.loads(line) for line in lines] == [{"a": 1, "b": {"c": "é"}}, {"a": "x", "b": None}]
    assert shown(frame([(decimal.Decimal("1.50"),)], "d decimal(5,2)")) == '{"d": 1.5}\n'


def apply_mapping_renames_casts_nests_and_leaves_out():
    found = frame([(10001, "BANNER", "$5", "1.5", "no")], "`provider id` long, name string, acc string, atp string, unused string").apply_mapping([
        ("provider id", "long", "provider.id", "string"),
        ("name", "string", "provider.name", "string"),
        ("acc", "string", "charges.covered", "double"),
        ("atp", "string", "charges.total_pay", "double"),
    ])
    assert tree(found) == text("""
        |-- provider: struct
        |    |-- id: string
        |    |-- name: string
        |-- charges: struct
        |    |-- covered: double
        |    |-- total_pay: double
    """)
    assert records(found) == [{"provider": {"id": "10001", "name": "BANNER"}, "charges": {"covered": None, "total_pay": 1.5}}]


def apply_mapping_unnests():
    found = frame([("Nancy", 47, ("CA", 98101))], "name string, age int, address struct<state:string,zip:int>").apply_mapping([
        ("name", "string", "name", "string"),
        ("address.state", "string", "state", "string"),
        ("address.zip", "int", "zip.code", "long"),
    ])
    assert records(found) == [{"name": "Nancy", "state": "CA", "zip": {"code": 98101}}]


def apply_mapping_finds_sources_in_any_case_unless_told():
    one = frame([(1,)], "OrderID int")
    assert records(one.apply_mapping([("orderid", "int", "id", "int")])) == [{"id": 1}]
    with raises(ValueError, "'orderid'", "'OrderID'"):
        one.apply_mapping([("orderid", "int", "id", "int")], case_sensitive=True)


def apply_mapping_takes_back_ticks_for_dots():
    one = frame([(1, 2)], "`this.old.name` int, `[id]` int")
    assert records(one.apply_mapping([("`this.old.name`", "int", "thisNewName", "int"), ("`[id]`", "int", "`new.id`", "long")])) == [{"thisNewName": 1, "new.id": 2}]
    assert records(one.apply_mapping([("this.old.name", "int", "n", "int")])) == [{"n": 1}]


def apply_mapping_casts():
    cases = [
        ("string", " 12", "int", 12), ("string", "abc", "int", None), ("string", "12", "long", 12), ("string", "1.5", "double", 1.5), ("int", 7, "string", "7"),
        ("double", 2.9, "int", 2), ("long", 5_000_000_000, "int", None), ("string", "2024-01-31", "date", __import__("datetime").date(2024, 1, 31)),
        ("string", "2.345", "decimal(10,2)", decimal.Decimal("2.35")), ("boolean", True, "string", "true"), ("string", "true", "boolean", True), ("int", 1, "float", 1.0),
        ("int", 1, "tinyint", 1), ("string", "x", "BIGINT", None), ("string", "x", "varchar(10)", "x"), ("date", None, "string", None), ("int", 1, "date", None),
    ]  # fmt: skip
    for source, value, target, expected in cases:
        found = records(frame([(value,)], f"a {source}").apply_mapping([("a", source, "b", target)]))
        assert found == [{"b": expected}], (source, value, target, found)


def every_type_is_cast_to_every_other_or_null():
    import datetime
    import decimal

    from awsglue.frames import columns

    day = datetime.datetime(2024, 1, 1)
    row = (True, 1, 1, 1, 1, 1.0, 1.0, decimal.Decimal("1.00"), "1", day.date(), day, b"1")
    kinds = "boolean tinyint smallint int bigint float double decimal(10,2) string date timestamp binary".split()
    one = frame([row], ", ".join(f"c{number} {kind}" for number, kind in enumerate(kinds)))
    fields = list(one.schema())
    made = [columns.cast(columns.col(f.name), f.dataType, to.dataType).alias(f"{f.name}{to.name}") for f in fields for to in fields]
    found = one.toDF().select(*made).collect()[0]
    assert (found["c0c7"], found["c7c0"], found["c10c1"], found["c10c7"], found["c9c1"]) == (1, True, None, None, None), found


def apply_mapping_of_a_missing_column_of_a_table_fails_with_its_name():
    one = frame([(1, "x")], "order_id int, customer string")
    with raises(ValueError, "'customr'", "is 'customer' meant?", "order_id, customer", "--millpond-missing-columns"):
        one.apply_mapping([("order_id", "int", "id", "int"), ("customr", "string", "c", "string")])


def apply_mapping_of_a_missing_column_is_left_out_where_the_job_says_so():
    one = frame([(1, "x")], "order_id int, customer string")
    before = list(sys.argv)
    try:
        for arguments in (["--millpond-missing-columns", "drop"], ["--millpond-missing-columns=drop"]):
            sys.argv = before + arguments
            with told() as said:
                assert records(one.apply_mapping([("order_id", "int", "id", "int"), ("nope", "string", "c", "string")])) == [{"id": 1}]
            assert "'nope'" in said()
    finally:
        sys.argv = before


def apply_mapping_of_a_field_that_no_record_has_is_left_out_and_told():
    with told() as said:
        found = json_frame({"a": 1}).apply_mapping([("a", "int", "a", "long"), ("b", "string", "b", "string")])
        assert records(found) == [{"a": 1}]
    assert "no record has 'b'" in said()


def apply_mapping_of_a_frame_without_records_has_no_fields():
    from awsglue.dynamicframe import DynamicFrame

    found = DynamicFrame._empty(spark(), None, "e").apply_mapping([("a", "int", "b", "int")])
    assert found.count() == 0 and len(found.schema()) == 0 and found.toDF().columns == []


def apply_mapping_says_which_mapping_is_wrong():
    one = frame([(1,)], "a int")
    with raises(ValueError, "mapping 2", "strng"):
        one.apply_mapping([("a", "int", "b", "int"), ("a", "int", "c", "strng")])
    with raises(ValueError, "mapping 1", "tuple"):
        one.apply_mapping([("a",)])
    with raises(ValueError, "back-tick"):
        one.apply_mapping([("`a", "int", "b", "int")])


def apply_mapping_of_a_choice_keeps_every_value_that_can_be_cast():
    found = json_frame({"zip": 1}, {"zip": "2"}, {"zip": "x"}).apply_mapping([("zip", "string", "zip", "int")])
    assert [r["zip"] for r in records(found)] == [1, 2, None]
    assert tree(found) == "|-- zip: int"


def select_drop_and_rename_go_into_structs_and_lists():
    one = json_frame({"id": 1, "a": {"b": 2, "c": "x"}, "l": [{"p": 1, "q": 2}], "x.y": 5})
    assert records(one.select_fields(["a.c", "id"])) == [{"a": {"c": "x"}, "id": 1}]
    assert records(one.drop_fields(["a.b", "l.q", "`x.y`", "nothing"])) == [{"id": 1, "a": {"c": "x"}, "l": [{"p": 1}]}]
    assert records(one.drop_fields("x.y").select_fields("id")) == [{"id": 1}]
    assert records(one.drop_fields(["a.b", "a.c", "l", "x.y"])) == [{"id": 1}]
    assert records(one.select_fields(["id"]).rename_field("id", "key.id")) == [{"key": {"id": 1}}]
    assert records(one.select_fields(["a"]).rename_field("a.b", "a.z")) == [{"a": {"z": 2, "c": "x"}}]
    assert records(one.select_fields(["a"]).rename_field("a.b", "top")) == [{"a": {"c": "x"}, "top": 2}]
    assert records(one.select_fields(["l"]).rename_field("l.p", "l.r")) == [{"l": [{"r": 1, "q": 2}]}]
    assert records(one.select_fields(["`x.y`"]).rename_field("`x.y`", "xy")) == [{"xy": 5}]
    with told() as said:
        assert records(one.select_fields(["id"]).rename_field("nope", "n")) == [{"id": 1}]
    assert "'nope'" in said()


def null_structs_stay_null_when_their_fields_change():
    one = frame([(None,), ((1, 2),)], "s struct<a:int,b:int>")
    assert records(one.drop_fields(["s.a"])) == [{"s": None}, {"s": {"b": 2}}]


def split_fields_makes_two_frames():
    found = frame([(1, "x", 2.5)], "a int, b string, c double").split_fields(["a", "c"], "left", "right")
    assert list(found.keys()) == ["left", "right"]
    assert records(found["left"]) == [{"a": 1, "c": 2.5}] and records(found["right"]) == [{"b": "x"}]


def resolve_choice_does_what_each_action_says():
    one = json_frame({"columnA": 1}, {"columnA": "2"}, {"columnA": "x"})
    assert tree(one.resolveChoice(choice="make_cols")) == "|-- columnA_int: int\n|-- columnA_string: string"
    assert records(one.resolveChoice(choice="make_cols")) == [
        {"columnA_int": 1, "columnA_string": None}, {"columnA_int": None, "columnA_string": "2"}, {"columnA_int": None, "columnA_string": "x"},
    ]  # fmt: skip
    assert tree(one.resolveChoice(specs=[("columnA", "make_struct")])) == "|-- columnA: struct\n|    |-- int: int\n|    |-- string: string"
    assert [r["columnA"] for r in records(one.resolveChoice(specs=[("columnA", "cast:long")]))] == [1, 2, None]
    assert tree(one.resolveChoice(choice="cast:long")) == "|-- columnA: long"
    assert [r["columnA"] for r in records(one.resolveChoice(specs=[("columnA", "project:string")]))] == ["1", "2", "x"]


def resolve_choice_goes_into_structs_and_lists():
    one = json_frame({"myList": [{"price": 100.0}, {"price": "$100.00"}], "a": {"b": 1}, "plain": ["x", 1]}, {"a": {"b": "2"}, "myList": []})
    found = one.resolveChoice(specs=[("myList[].price", "cast:double"), ("a.b", "cast:int"), ("plain[]", "cast:string")])
    assert records(found) == [
        {"myList": [{"price": 100.0}, {"price": None}], "a": {"b": 1}, "plain": ["x", "1"]}, {"myList": [], "a": {"b": 2}, "plain": None},
    ]  # fmt: skip
    assert tree(one.select_fields(["a", "myList"]).resolveChoice(choice="make_cols")) == text("""
        |-- a: struct
        |    |-- b_int: int
        |    |-- b_string: string
        |-- myList: array
        |    |-- element: struct
        |    |    |-- price_double: double
        |    |    |-- price_string: string
    """)


def resolve_choice_casts_fields_that_are_no_choice_too():
    assert records(frame([("7", "x")], "a string, b string").resolveChoice(specs=[("a", "cast:int"), ("b", "make_cols"), ("nope", "cast:int")])) == [{"a": 7, "b": "x"}]


def resolve_choice_of_structs_and_scalars():
    one = json_frame({"v": {"double": 1.5}}, {"v": 2.5}, {"v": "q"})
    assert records(one.resolveChoice(choice="cast:string")) == [{"v": '{"double":1.5}'}, {"v": "2.5"}, {"v": "q"}]
    assert records(one.resolveChoice(choice="project:struct")) == [{"v": {"double": 1.5}}, {"v": None}, {"v": None}]


def resolve_choice_refuses_what_it_cannot_mean():
    one = json_frame({"a": 1}, {"a": "x"})
    with raises(ValueError, "specs", "choice"):
        one.resolveChoice()
    with raises(ValueError, "not both"):
        one.resolveChoice(specs=[("a", "cast:int")], choice="make_cols")
    with raises(ValueError, "make_columns", "make_cols"):
        one.resolveChoice(choice="make_columns")
    with raises(ValueError, "integr"):
        one.resolveChoice(choice="cast:integr")
    with raises(ValueError, "database and table_name"):
        one.resolveChoice(choice="match_catalog")


def resolve_choice_matches_the_catalog():
    from awsglue.frames import choices

    one = json_frame({"ID": 1, "v": 1}, {"ID": "2", "v": "x"})
    resolved = choices.resolve(one._plan, None, "match_catalog", {"id": "bigint"})
    from awsglue.dynamicframe import DynamicFrame

    found = DynamicFrame(resolved)
    assert [r["ID"] for r in records(found)] == [1, 2]
    assert found.schema().getField("v").dataType.typeName() == "choice"


def to_df_takes_resolve_options():
    from awsglue.dynamicframe import ResolveOption
    from pyspark.sql.types import DoubleType

    one = json_frame({"a": {"b": 1}, "c": 1}, {"a": {"b": "2.5"}, "c": "x"})
    df = one.toDF([ResolveOption("a.b", "Project", DoubleType()), ResolveOption("c", "KeepAsStruct")])
    assert df.schema.simpleString() == "struct<a:struct<b:double>,c:struct<int:int,string:string>>", df.schema.simpleString()
    with raises(ValueError, "target type"):
        one.toDF([ResolveOption("a.b", "Cast")])


def drop_null_fields_drops_fields_that_are_always_null():
    from awsglue.transforms import DropNullFields

    one = json_frame({"a": 1, "n": None, "s": {"m": None, "x": 1}, "l": [{"z": None, "y": 2}], "x.n": None})
    assert records(DropNullFields.apply(frame=one)) == [{"a": 1, "s": {"x": 1}, "l": [{"y": 2}]}]
    typed = frame([(1, None)], "a int, b string")
    assert [f.name for f in DropNullFields.apply(typed).schema()] == ["a", "b"]


def names_with_odd_characters_are_only_names():
    for name in ("a b", "a.b", "a`b", "sélect", "1", "a,b", "x[0]", "quote'\""):
        one = json_frame({name: 1, "other": 2})
        quoted = f"`{name}`" if "`" not in name else name
        assert records(one.drop_fields(["other"])) == [{name: 1}]
        assert records(one.filter(lambda r: r["other"] == 2).select_fields([quoted])) == [{name: 1}], name


def names_may_differ_in_case_only():
    one = json_frame({"id": 1, "Id": "x", "v": {"a": 1, "b": 2}}, {"id": 2, "v": {"a": 3}})
    assert tree(one.select_fields(["Id"])) == "|-- Id: string" and records(one.select_fields(["id", "v.a"]))[1] == {"id": 2, "v": {"a": 3}}
    assert records(one.drop_fields(["Id", "v.b"])) == [{"id": 1, "v": {"a": 1}}, {"id": 2, "v": {"a": 3}}]
    renamed = one.rename_field("Id", "text").drop_fields(["v"])
    assert records(renamed) == [{"id": 1, "text": "x"}, {"id": 2, "text": None}]
    assert records(one.apply_mapping([("Id", "string", "t", "string")])) == [{"t": "x"}, {"t": None}]
    assert records(one.apply_mapping([("Id", "string", "t", "string"), ("id", "int", "o.i", "int"), ("v.b", "int", "o.b", "int")])) == [
        {"t": "x", "o": {"i": 1, "b": 2}}, {"t": None, "o": {"i": 2, "b": None}},
    ]  # fmt: skip
    assert tree(one.rename_field("v.a", "id2")) == "|-- id: int\n|-- Id: string\n|-- v: struct\n|    |-- b: int\n|-- id2: int"
    assert records(one.rename_field("v.a", "v.c")) == [{"id": 1, "Id": "x", "v": {"c": 1, "b": 2}}, {"id": 2, "Id": None, "v": {"c": 3, "b": None}}]
    mixed = json_frame({"Name": 1, "name": "a", "l": [{"k": 1}]}, {"Name": "x", "name": "b", "l": []})
    assert records(mixed.resolveChoice(choice="cast:string").drop_fields(["l"])) == [{"Name": "1", "name": "a"}, {"Name": "x", "name": "b"}]
    assert records(mixed.resolveChoice(specs=[("Name", "make_cols")]).select_fields(["name", "Name_int"])) == [
        {"name": "a", "Name_int": 1}, {"name": "b", "Name_int": None},
    ]  # fmt: skip
    assert records(one.unnest()) == [{"id": 1, "Id": "x", "v.a": 1, "v.b": 2}, {"id": 2, "Id": None, "v.a": 3, "v.b": None}]
    kept = one.with_frame_schema(one.schema())
    assert records(kept) == records(one) and one.toDF().count() == 2


def transforms_have_awss_names_and_describe_themselves():
    import awsglue.transforms as transforms

    expected = """ApplyMapping Coalesce DropFields DropNullFields ErrorsAsDynamicFrame Filter FlatMap Join Map MapToCollection Relationalize RenameField
        Repartition ResolveChoice SelectFields SelectFromCollection Spigot SplitFields SplitRows Unbox Union UnnestFrame""".split()
    assert sorted(transforms.__all__) == expected
    for transform in transforms.get_transforms():
        described = transform.describe()["transform"]
        assert described["description"] and described["args"] and all(argument["description"] for argument in described["args"]), described
    one = frame([(1, "x")], "a int, b string", "one")
    assert records(transforms.ApplyMapping()(one, [("a", "int", "z", "int")])) == [{"z": 1}]
    assert records(transforms.SelectFields.apply(frame=one, paths=["b"], transformation_ctx="t")) == [{"b": "x"}]
    assert list(transforms.SplitFields.apply(one, ["a"]).keys()) == ["one1", "one2"]
    assert records(transforms.RenameField.apply(one, "a", "q")) == [{"q": 1, "b": "x"}]
    assert records(transforms.DropFields.apply(one, ["a"])) == [{"b": "x"}]
    assert transforms.get_transform("filter").name() == "Filter" and transforms.describe_transform("nope") == "{}"


def transforms_that_need_models_say_what_to_do():
    from awsglueml.transforms import FillMissingValues, FindMatches

    for transform, hint in ((FillMissingValues, "fillna"), (FindMatches, "dropDuplicates")):
        with raises(NotImplementedError, transform.__name__, hint):
            transform.apply(frame=None)


def from_df_takes_dataframes_only():
    from awsglue.dynamicframe import DynamicFrame

    for wrong in (frame([(1,)], "a int"), None, [1]):
        with raises(TypeError, "fromDF takes a Spark DataFrame", type(wrong).__name__):
            DynamicFrame.fromDF(wrong, None, "x")


def partitions_can_be_changed():
    one = frame([(i,) for i in range(100)], "a int")
    assert one.repartition(4).count() == 100
    assert one.coalesce(1).getNumPartitions() == 1
    assert one.repartition(3).getNumPartitions() >= 1


def sql_on_a_frame_and_back():
    from awsglue.dynamicframe import DynamicFrame

    frame([(1, "a"), (2, "b")], "id int, name string").toDF().createOrReplaceTempView("checked")
    found = DynamicFrame.fromDF(spark().sql("select upper(name) as n from checked where id > 1"), None, "q")
    assert records(found) == [{"n": "B"}] and found.name == "q"
    spark().catalog.dropTempView("checked")


def frame_schema_can_be_stated():
    from awsglue.gluetypes import Field, LongType, StringType, StructType

    found = json_frame({"a": 1, "b": 2}).with_frame_schema(StructType([Field("a", LongType()), Field("c", StringType())]))
    assert records(found) == [{"a": 1, "c": None}]
    assert plain({"a": 1}) == {"a": 1}


if __name__ == "__main__":
    import glue_checks.frames
    from glue_checks.support import run

    run(glue_checks.frames)
