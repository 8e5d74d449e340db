"""Frames of several shapes: unnest, relationalize, join, union, merge, split, collections."""

import tempfile

from glue_checks.support import frame, json_frame, plain, raises, records, told, tree


def unnest_makes_nested_fields_top_level():
    one = json_frame({"name": "a", "address": {"zip": 1, "geo": {"lat": 1.5}}, "tags": ["x"]}, {"name": "b"})
    found = one.unnest()
    assert tree(found) == "|-- name: string\n|-- address.zip: int\n|-- address.geo.lat: double\n|-- tags: array\n|    |-- element: string"
    assert records(found)[1] == {"name": "b", "address.zip": None, "address.geo.lat": None, "tags": None}
    assert records(found.apply_mapping([("`address.zip`", "int", "zip", "int")])) == [{"zip": 1}, {"zip": None}]


def relationalize_makes_a_table_a_list():
    people = json_frame({"name": "Nancy", "age": 47, "friends": ["Fred", "Lakshmi"]}, {"name": "Stephanie", "age": 28, "friends": ["Yao", "Phil", "Alvin"]}, {"name": "Nathan", "age": 54, "friends": ["Nicolai", "Karen"]})
    with tempfile.TemporaryDirectory() as staging:
        found = people.relationalize("people", staging)
        assert list(found.keys()) == ["people", "people_friends"]
        root, friends = records(found["people"], "name"), records(found["people_friends"], "id", "index")
        assert tree(found["people_friends"]) == "|-- id: long\n|-- index: int\n|-- friends.val: string"
        by_id = {}
        for row in friends:
            by_id.setdefault(row["id"], []).append(row["friends.val"])
        assert {r["name"]: by_id[r["friends"]] for r in root} == {
            "Nancy": ["Fred", "Lakshmi"], "Stephanie": ["Yao", "Phil", "Alvin"], "Nathan": ["Nicolai", "Karen"],
        }  # fmt: skip
        assert [r["index"] for r in friends if r["id"] == friends[0]["id"]][:2] == [0, 1]


def relationalize_goes_into_lists_of_structs_with_lists():
    history = json_frame(
        {"id": "f4", "contact_details": [{"type": "fax", "value": "1"}, {"type": "phone", "value": "2", "calls": [{"at": 5}, {"at": 6}]}], "place": {"xs": [1]}},
        {"id": "e3", "contact_details": None},
        {"id": "d2", "contact_details": []},
    )
    with tempfile.TemporaryDirectory() as staging:
        found = history.relationalize("hist_root", staging)
        assert sorted(found.keys()) == ["hist_root", "hist_root_contact_details", "hist_root_contact_details.val.calls", "hist_root_place.xs"]
        details = records(found["hist_root_contact_details"], "index")
        assert [d["contact_details.val.type"] for d in details] == ["fax", "phone"]
        calls = records(found["hist_root_contact_details.val.calls"], "index")
        assert [c["contact_details.val.calls.val.at"] for c in calls] == [5, 6]
        assert calls[0]["id"] == details[1]["contact_details.val.calls"]
        root = {r["id"]: r for r in records(found["hist_root"])}
        assert root["f4"]["contact_details"] == details[0]["id"] and root["e3"]["contact_details"] is None
        again = records(found["hist_root_contact_details"], "index")
        assert again == details, "ids must not change from one pass to the next"


def relationalize_without_lists_needs_no_staging_and_with_lists_says_so():
    from awsglue.transforms import Relationalize

    assert list(json_frame({"a": {"b": 1}}).relationalize("root", None).keys()) == ["root"]
    with raises(ValueError, "staging_path", "--TempDir"):
        Relationalize.apply(frame=json_frame({"a": [1]}))


def join_finds_equal_keys_and_puts_a_dot_before_names_that_both_have():
    from awsglue.transforms import Join

    persons = frame([("p1", "Ann"), ("p2", "Bob")], "id string, name string", "persons")
    memberships = frame([("p1", "org1", "m1"), ("p1", "org2", "m2"), (None, "org3", "m3")], "person_id string, organization_id string, id string", "memberships")
    found = Join.apply(persons, memberships, "id", "person_id")
    assert [f.name for f in found.schema()] == ["id", "name", "person_id", "organization_id", ".id"]
    assert records(found.drop_fields(["person_id", "`.id`"]), "organization_id") == [
        {"id": "p1", "name": "Ann", "organization_id": "org1"}, {"id": "p1", "name": "Ann", "organization_id": "org2"},
    ]  # fmt: skip
    assert found.name == "personsmemberships"
    assert [f.name for f in found.drop_fields([".id"]).schema()] == ["id", "name", "person_id", "organization_id"]


def join_takes_several_and_nested_keys():
    one = json_frame({"k": {"a": 1, "b": "x"}, "v": 1}, {"k": {"a": 2, "b": "x"}, "v": 2})
    other = frame([(1, "x", "hit"), (2, "y", "miss")], "a long, b string, w string")
    assert records(one.join(["k.a", "k.b"], ["a", "b"], other).select_fields(["v", "w"])) == [{"v": 1, "w": "hit"}]
    with raises(ValueError, "first frame has no field 'nope'", "k, v"):
        one.join(["nope"], ["a"], other)
    with raises(ValueError, "2 keys", "1 of the second"):
        one.join(["v", "k.a"], ["a"], other)
    with raises(ValueError, "'k'", "struct"):
        one.join(["k"], ["a"], other)


def union_of_different_types_is_a_choice():
    from awsglue.transforms import Union

    one, other = frame([(1, "x", (1,))], "id int, a string, s struct<p:int>"), frame([("k", 2.5, ("q", 3))], "id string, b double, s struct<r:string,p:int>")
    found = Union.apply(one, other)
    expected = [{"id": 1, "a": "x", "s": {"p": 1, "r": None}, "b": None}, {"id": "k", "a": None, "s": {"p": 3, "r": "q"}, "b": 2.5}]
    assert sorted(records(found), key=str) == sorted(expected, key=str), "in any order"
    assert found.schema().getField("id").dataType.typeName() == "choice"
    assert found.union(one).count() == 3
    lists = records(frame([([1],)], "l array<int>").union(frame([(["x"],)], "l array<string>")))
    assert sorted(lists, key=str) == [{"l": ["x"]}, {"l": [1]}]


def union_with_a_frame_without_fields_is_the_other():
    from awsglue.dynamicframe import DynamicFrame
    from glue_checks.support import spark

    nothing = DynamicFrame._empty(spark(), None)
    one = frame([(1,)], "a int")
    assert records(nothing.union(one)) == records(one.union(nothing)) == [{"a": 1}]


def merge_replaces_records_with_staged_ones_by_key():
    source = frame([(1, "a"), (1, "a2"), (2, "b"), (3, "c")], "id int, v string")
    stage = frame([(2, "B", True), (4, "D", False)], "id int, v string, new boolean")
    found = records(source.mergeDynamicFrame(stage, ["id"]), "id", "v")
    assert found == [
        {"id": 1, "v": "a", "new": None}, {"id": 1, "v": "a2", "new": None}, {"id": 2, "v": "B", "new": True}, {"id": 3, "v": "c", "new": None},
        {"id": 4, "v": "D", "new": False},
    ]  # fmt: skip


def split_rows_compares_and_leaves_nulls_to_the_others():
    from awsglue.transforms import SplitRows

    one = frame([(5,), (15,), (20,), (None,)], "age int")
    found = SplitRows.apply(one, {"age": {">": 10, "<": 20}}, "in", "out")
    assert records(found["in"]) == [{"age": 15}]
    assert [r["age"] for r in records(found["out"])] == [5, 20, None]
    mixed = json_frame({"v": 5}, {"v": "5"}, {"v": 50}).split_rows({"v": {">=": 5}}, "a", "b")
    assert sorted(r["v"] for r in records(mixed["a"])) == [5, 50] and [r["v"] for r in records(mixed["b"])] == ["5"]
    with raises(ValueError, "'~'"):
        one.split_rows({"age": {"~": 1}}, "a", "b")
    with raises(ValueError, "'agee'"):
        one.split_rows({"agee": {">": 1}}, "a", "b")


def collections_select_map_and_flat_map():
    from awsglue.dynamicframe import DynamicFrameCollection
    from awsglue.transforms import FlatMap, MapToCollection, SelectFields, SelectFromCollection, SplitFields

    one, two = frame([(1, "x")], "a int, b string", "one"), frame([(2, "y")], "a int, b string", "two")
    both = DynamicFrameCollection([one, two], None)
    assert len(both) == 2 and list(both.keys()) == ["one", "two"] and "one" in both
    assert records(SelectFromCollection.apply(dfc=both, key="two")) == [{"a": 2, "b": "y"}]
    with told() as said:
        assert SelectFromCollection.apply(dfc=both, key=list(both.keys())[0] + "!").count() == 0
    assert "one, two" in said()
    mapped = MapToCollection.apply(both, lambda f, ctx: f.drop_fields(["a"]))
    assert records(mapped["one"]) == [{"b": "x"}]
    picked = FlatMap.apply(both, SelectFields, "frame", "ctx", paths=["a"])
    assert records(picked["two"]) == [{"a": 2}]
    split = FlatMap.apply(both, SplitFields, "frame", paths=["a"])
    assert sorted(split.keys()) == ["one1", "one2", "two1", "two2"]
    with raises(TypeError, "'one'"):
        both.map(lambda f, ctx: 1)


def names_that_differ_in_case_only_are_told_apart():
    import tempfile

    one = json_frame({"id": 1, "ID": 7, "l": [{"v": "a"}], "L": [5]}, {"id": 2, "ID": 8, "l": [], "L": []})
    with tempfile.TemporaryDirectory() as place:
        tables = one.relationalize("root", place)
        assert sorted(tables.keys()) == ["root", "root_L", "root_l"]
        root = records(tables["root"], "id")
        assert [(row["id"], row["ID"]) for row in root] == [(1, 7), (2, 8)]
        assert [(row["id"], row["l.val.v"]) for row in records(tables["root_l"])] == [(root[0]["l"], "a")]
        assert [(row["id"], row["L.val"]) for row in records(tables["root_L"])] == [(root[0]["L"], 5)]
    flat = one.drop_fields(["l", "L"])
    other = frame([(7, "seven"), (9, "nine")], "key int, word string")
    assert records(flat.join(["ID"], ["key"], other)) == [{"id": 1, "ID": 7, "key": 7, "word": "seven"}]
    assert records(flat.union(flat), "id") == [{"id": 1, "ID": 7}] * 2 + [{"id": 2, "ID": 8}] * 2
    staged = json_frame({"id": 3, "ID": 8})
    assert records(flat.mergeDynamicFrame(staged, ["ID"]), "id") == [{"id": 1, "ID": 7}, {"id": 3, "ID": 8}]
    split = flat.split_rows({"ID": {">": 7}}, "high", "low")
    assert records(split["high"]) == [{"id": 2, "ID": 8}] and records(split["low"]) == [{"id": 1, "ID": 7}]


def spigot_writes_a_sample_and_goes_on():
    from awsglue.transforms import Spigot
    from glue_checks.support import spark

    one = frame([(i,) for i in range(100)], "a int")
    with tempfile.TemporaryDirectory() as path:
        assert Spigot.apply(one, f"{path}/s", {"topk": 5}).count() == 100
        assert spark().read.json(f"{path}/s").count() == 5
        one.spigot(f"{path}/p", {"prob": 0.5})
        assert 10 < spark().read.json(f"{path}/p").count() < 90
    assert plain([1]) == [1]


if __name__ == "__main__":
    import glue_checks.relations
    from glue_checks.support import run

    run(glue_checks.relations)
