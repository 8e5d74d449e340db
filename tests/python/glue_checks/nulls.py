"""Fields that are missing, null or empty stay null, whatever becomes of them: never 0, "" or False."""

from glue_checks.support import frame, json_frame, records, spark

ABSENT = ({"id": 3}, {"id": 4, "v": None})


def _choice(*more):
    """Values of four types, and none."""
    return json_frame({"id": 1, "v": 5}, {"id": 2, "v": "7"}, *ABSENT, {"id": 5, "v": 1.5}, {"id": 6, "v": True}, *more)


def _values(found, name="v"):
    return [record[name] for record in records(found, "id")]


def every_cast_of_a_choice_leaves_null_null():
    made = {kind: _values(_choice().resolveChoice(specs=[("v", f"cast:{kind}")])) for kind in ("int", "long", "double", "string", "boolean", "decimal")}
    assert {kind: values[2:4] for kind, values in made.items()} == {kind: [None, None] for kind in made}, made
    assert made["int"][:2] == [5, 7] and made["string"][:2] == ["5", "7"], made
    assert _values(_choice().resolveChoice(choice="cast:long"))[:4] == [5, 7, None, None]


def every_projection_of_a_choice_leaves_null_null():
    assert _values(_choice().resolveChoice(specs=[("v", "project:int")]))[:4] == [5, 7, None, None]
    assert _values(_choice().resolveChoice(specs=[("v", "project:string")]))[2:4] == [None, None]
    mixed = json_frame({"id": 1, "v": {"a": 1, "s": "x"}}, {"id": 2, "v": [1]}, {"id": 5, "v": {}}, *ABSENT)
    for kind, seen in (("struct", [{"a": 1, "s": "x"}, None]), ("array", [None, [1]])):
        assert _values(mixed.resolveChoice(specs=[("v", f"project:{kind}")]))[:4] == [*seen, None, None]
    assert _values(mixed.resolveChoice(specs=[("v", "project:struct")]).unnest(), "v.a") == [1, None, None, None, None]
    assert _values(mixed.resolveChoice(specs=[("v", "project:struct")]).unnest(), "v.s") == ["x", None, None, None, None]


def columns_and_structs_of_a_choice_leave_null_null():
    columns = ("v_boolean", "v_double", "v_int", "v_string")
    made = records(_choice().resolveChoice(choice="make_cols"), "id")
    assert [[record[name] for name in columns] for record in made] == [
        [None, None, 5, None],
        [None, None, None, "7"],
        [None] * 4,
        [None] * 4,
        [None, 1.5, None, None],
        [True, None, None, None],
    ], made
    structs = _choice().resolveChoice(choice="make_struct")
    assert _values(structs)[2:4] == [None, None]
    assert _values(structs.unnest(), "v.int") == [5, None, None, None, None, None]
    assert _values(structs.unnest(), "v.string") == [None, "7", None, None, None, None]
    assert _values(structs.unnest(), "v.boolean") == [None, None, None, None, None, True]


def mapped_choices_leave_null_null():
    for kind, seen in (("int", [5, 7]), ("string", ["5", "7"])):
        found = _choice().apply_mapping([("id", "int", "id", "int"), ("v", "choice", "o.w", kind)])
        assert [record["o"]["w"] for record in records(found, "id")][:4] == [*seen, None, None]
    found = _choice().map(lambda record: record).resolveChoice(specs=[("v", "cast:int")])
    assert _values(found)[:4] == [5, 7, None, None], "by way of records"
    found = _choice().filter(lambda record: record["id"] > 1).resolveChoice(specs=[("v", "cast:int")])
    assert _values(found)[:3] == [7, None, None], "by way of a filter"


def choices_in_structs_and_lists_leave_null_null():
    inner = json_frame({"id": 1, "o": {"a": 1}}, {"id": 2, "o": {"a": "q"}}, {"id": 3, "o": None}, {"id": 4}, {"id": 5, "o": {}}, {"id": 6, "o": {"a": None}})
    found = inner.resolveChoice(specs=[("o.a", "cast:string")])
    assert _values(found, "o") == [{"a": "1"}, {"a": "q"}, None, None, {"a": None}, {"a": None}]
    assert _values(found.unnest(), "o.a") == ["1", "q", None, None, None, None]
    elements = json_frame({"id": 1, "v": [{"k": 1}, {"k": "z"}, {}, None, {"k": None}]}, {"id": 2, "v": []}, *ABSENT)
    found = elements.resolveChoice(specs=[("v[].k", "cast:string")])
    assert _values(found) == [[{"k": "1"}, {"k": "z"}, {"k": None}, None, {"k": None}], [], None, None]
    values = json_frame({"id": 1, "v": [1, "a", None]}, *ABSENT).resolveChoice(choice="cast:string")
    assert _values(values) == [["1", "a", None], None, None]
    columns = json_frame({"id": 1, "v": [{"o": {"k": 1}}, {"o": "z"}, {"o": None}, None, {}]}).resolveChoice(choice="make_struct")
    assert [None if element is None else element["o"] for element in records(columns)[0]["v"]] == [
        {"struct": {"k": 1}, "string": None}, {"struct": None, "string": "z"}, None, None, None,
    ]  # fmt: skip


def members_of_null_structs_are_null():
    one = json_frame({"id": 1, "o": {"p": {"a": 1, "s": "t", "b": True}}}, {"id": 2, "o": {"p": None}}, {"id": 3, "o": None}, {"id": 4}, {"id": 5, "o": {}}, {"id": 6, "o": {"p": {}}})
    for made in (one, one.map(lambda record: record)):
        flat = records(made.unnest(), "id")
        assert [(record["o.p.a"], record["o.p.s"], record["o.p.b"]) for record in flat] == [(1, "t", True)] + [(None, None, None)] * 5, flat
        rows = made.toDF().selectExpr("id", "o.p.a", "o.p.s").orderBy("id").collect()
        assert [tuple(row)[1:] for row in rows] == [(1, "t")] + [(None, None)] * 5


def unions_leave_null_null():
    both = frame([(1, 5), (2, None)], "id int, v int").union(frame([(3, "7"), (4, None)], "id int, v string"))
    assert _values(both.resolveChoice(specs=[("v", "cast:int")])) == [5, None, 7, None]
    assert _values(both.resolveChoice(choice="make_cols"), "v_string") == [None, None, "7", None]


def a_choice_whose_branches_hold_values_below_null_is_null():
    """What an engine finds below a null choice does not matter."""
    import pyarrow as pa

    from awsglue import gluetypes as g
    from awsglue.dynamicframe import DynamicFrame
    from awsglue.frames.plan import Columns

    def dirty(batches):
        for batch in batches:
            choice = pa.StructArray.from_arrays([pa.array([9, 9]), pa.array(["x", "x"])], ["long", "string"], mask=pa.array([True, False]))
            yield pa.RecordBatch.from_arrays([pa.array([1, 2], pa.int32()), choice], ["id", "v"])

    df = spark().range(1).mapInArrow(dirty, "id int, v struct<long:bigint,string:string>")
    schema = g.StructType([g.Field("id", g.IntegerType()), g.Field("v", g.ChoiceType([g.LongType(), g.StringType()]))])
    one = DynamicFrame(Columns(df, schema), None, "dirty")
    assert _values(one.resolveChoice(specs=[("v", "cast:long")])) == [None, 9]
    assert _values(one.resolveChoice(choice="make_cols"), "v_string") == [None, "x"]
    assert _values(one.resolveChoice(specs=[("v", "project:string")])) == [None, "x"]


if __name__ == "__main__":
    import glue_checks.nulls
    from glue_checks.support import run

    run(glue_checks.nulls)
