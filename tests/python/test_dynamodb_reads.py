"""DynamoDB's queries, scans and indexes."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from boto3.dynamodb.conditions import Attr, Key

from dynamo import index, invalid, table
from harness import wait_until


def everything(call, **kwargs):
    """All items of all pages, and how many pages there were."""
    items, pages = [], 0
    while True:
        page = call(**kwargs)
        items += page["Items"]
        pages += 1
        if "LastEvaluatedKey" not in page:
            return items, pages
        kwargs["ExclusiveStartKey"] = page["LastEvaluatedKey"]


@pytest.fixture(scope="module")
def events(module_lake):
    """Events of users by time; some are alerts, which an index knows by level."""
    made = table(
        module_lake,
        "user",
        "at",
        {"at": "N", "level": "S", "kind": "S"},
        GlobalSecondaryIndexes=[index("by-level", "level", "at", "INCLUDE", ["kind"])],
        LocalSecondaryIndexes=[index("by-kind", "user", "kind", "KEYS_ONLY")],
    )
    with made.batch_writer() as batch:
        for user in range(5):
            for at in range(40):
                item = {"user": f"u{user}", "at": at - 20, "kind": f"k{at % 4}", "text": "x" * 20}
                if at % 10 == 0:
                    item["level"] = "alert"
                batch.put_item(Item=item)
    return made


def test_a_query_reads_a_range_of_a_partition_in_its_order(events):
    times = lambda **more: [int(item["at"]) for item in events.query(**more)["Items"]]
    user = Key("user").eq("u1")
    assert times(KeyConditionExpression=user) == list(range(-20, 20))
    assert times(KeyConditionExpression=user & Key("at").between(-3, 2)) == [-3, -2, -1, 0, 1, 2]
    assert times(KeyConditionExpression=user & Key("at").lt(-17)) == [-20, -19, -18]
    assert times(KeyConditionExpression=user & Key("at").gte(18)) == [18, 19]
    assert times(KeyConditionExpression=user & Key("at").eq(7)) == [7]
    assert times(KeyConditionExpression=user, ScanIndexForward=False, Limit=3) == [19, 18, 17]
    assert times(KeyConditionExpression=Key("user").eq("nobody")) == []


def test_a_query_goes_on_where_a_page_ended(events):
    user = Key("user").eq("u2")
    for forward in (True, False):
        found, pages = everything(events.query, KeyConditionExpression=user, Limit=7, ScanIndexForward=forward)
        times = [int(item["at"]) for item in found]
        assert times == sorted(range(-20, 20), reverse=not forward)
        assert pages == 6


def test_filters_count_what_was_looked_at(events):
    page = events.query(
        KeyConditionExpression=Key("user").eq("u1"),
        FilterExpression=Attr("kind").is_in(["k1", "k2"]),
        ProjectionExpression="kind",
        ReturnConsumedCapacity="TOTAL",
    )
    assert (page["Count"], page["ScannedCount"]) == (20, 40)
    assert page["Items"][0] == {"kind": "k1"}
    assert page["ConsumedCapacity"]["CapacityUnits"] == 0.5
    count = events.query(KeyConditionExpression=Key("user").eq("u1"), Select="COUNT")
    assert (count["Count"], "Items" in count) == (40, False)


def test_an_index_has_only_the_items_with_its_key(events):
    found, _ = everything(events.query, IndexName="by-level", KeyConditionExpression=Key("level").eq("alert"), Limit=6)
    assert len(found) == 20
    assert [int(item["at"]) for item in found] == sorted(int(item["at"]) for item in found)
    # What is projected, and the keys of both.
    assert set(found[0]) == {"user", "at", "level", "kind"}
    scanned, _ = everything(events.scan, IndexName="by-level")
    assert len(scanned) == 20
    shown = events.meta.client.describe_table(TableName=events.name)["Table"]
    assert shown["GlobalSecondaryIndexes"][0]["ItemCount"] == 20
    events.update_item(Key={"user": "u0", "at": -20}, UpdateExpression="REMOVE #l", ExpressionAttributeNames={"#l": "level"})
    assert len(events.query(IndexName="by-level", KeyConditionExpression=Key("level").eq("alert"))["Items"]) == 19
    events.update_item(
        Key={"user": "u0", "at": -20},
        UpdateExpression="SET #l = :l",
        ExpressionAttributeNames={"#l": "level"},
        ExpressionAttributeValues={":l": "alert"},
    )


def test_a_filter_looks_at_what_an_index_has(events):
    level = dict(IndexName="by-level", KeyConditionExpression=Key("level").eq("alert"))
    kinds = events.query(**level, FilterExpression=Attr("kind").eq("k0"))
    assert 0 < kinds["Count"] <= kinds["ScannedCount"] == 20
    missing = "One or more parameter values were invalid: Secondary index {} does not project one or more filter attributes: [{}]"
    by_text = Attr("text").begins_with("x") & Attr("kind").eq("k0")
    assert invalid(events.query, **level, FilterExpression=by_text) == missing.format("by-level", "text")
    assert invalid(events.scan, IndexName="by-level", FilterExpression=by_text) == missing.format("by-level", "text")
    local = dict(IndexName="by-kind", KeyConditionExpression=Key("user").eq("u3"))
    text = Attr("text").begins_with("x")
    assert invalid(events.query, **local, FilterExpression=text) == missing.format("by-kind", "text")
    # Whole items are fetched, and have it.
    assert events.query(**local, FilterExpression=text, Select="ALL_ATTRIBUTES")["Count"] == 40
    statement = f"""SELECT * FROM "{events.name}"."by-level" WHERE "level" = 'alert' AND "text" = 'x'"""
    assert invalid(events.meta.client.execute_statement, Statement=statement) == missing.format("by-level", "text")


def test_a_local_index_fetches_what_it_does_not_have(events):
    query = dict(IndexName="by-kind", KeyConditionExpression=Key("user").eq("u3") & Key("kind").begins_with("k2"))
    projected = events.query(**query)["Items"]
    assert len(projected) == 10 and set(projected[0]) == {"user", "at", "kind"}
    whole = events.query(**query, Select="ALL_ATTRIBUTES", ConsistentRead=True)["Items"]
    assert len(whole) == 10 and whole[0]["text"] == "x" * 20
    some = events.query(**query, ProjectionExpression="#t", ExpressionAttributeNames={"#t": "text"})["Items"]
    assert some == [{"text": "x" * 20}] * 10


def test_what_cannot_be_read_is_refused_in_the_words_of_aws(events):
    user = Key("user").eq("u1")
    assert invalid(events.query) == (
        "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."
    )
    level = dict(IndexName="by-level", KeyConditionExpression=Key("level").eq("alert"))
    assert invalid(events.query, **level, ConsistentRead=True) == "Consistent reads are not supported on global secondary indexes"
    assert "projection type is not ALL" in invalid(events.query, **level, Select="ALL_ATTRIBUTES")
    assert invalid(events.query, **level, ProjectionExpression="kind, #t", ExpressionAttributeNames={"#t": "text"}).endswith(
        "Global secondary index by-level does not project [text]"
    )
    none = invalid(events.query, IndexName="none", KeyConditionExpression=user)
    assert none == "The table does not have the specified index: none"
    text = invalid(events.query, KeyConditionExpression=user, FilterExpression=Attr("at").gt(1))
    assert text == "Filter Expression can only contain non-primary key attributes: Primary key attribute: at"
    text = invalid(events.query, KeyConditionExpression=user, ExclusiveStartKey={"user": "u1"})
    assert text == "The provided starting key is invalid"
    text = invalid(events.query, KeyConditionExpression=user, ExclusiveStartKey={"user": "u2", "at": 1})
    assert text == "The provided starting key is outside query boundaries based on provided conditions"
    assert "missed key schema element: user" in invalid(events.query, KeyConditionExpression=Key("at").eq(1))
    assert "TotalSegments parameter is required" in invalid(events.scan, Segment=1)
    assert "is not less than TotalSegments: 4" in invalid(events.scan, Segment=4, TotalSegments=4)


def test_segments_cover_everything_once(events):
    whole, _ = everything(events.scan)
    key = lambda item: (item["user"], item["at"])
    assert len({key(item) for item in whole}) == len(whole) == 200
    for total in (1, 3, 16):
        with ThreadPoolExecutor(4) as pool:
            scans = [pool.submit(everything, events.scan, Segment=i, TotalSegments=total, Limit=9) for i in range(total)]
        parts = [key(item) for scan in scans for item in scan.result()[0]]
        assert sorted(parts) == sorted(key(item) for item in whole), total
    filtered = events.scan(FilterExpression=Attr("level").exists() & Attr("at").gt(0), Select="COUNT")
    assert (filtered["Count"], filtered["ScannedCount"]) == (5, 200)


def test_a_page_has_a_megabyte(module_lake):
    items = table(module_lake, "id", "at", {"at": "N"})
    with items.batch_writer() as batch:
        for at in range(50):
            batch.put_item(Item={"id": "a", "at": at, "text": "x" * 100_000})
    page = items.query(KeyConditionExpression=Key("id").eq("a"))
    assert page["Count"] == 11 and page["LastEvaluatedKey"] == {"id": "a", "at": 10}
    found, pages = everything(items.query, KeyConditionExpression=Key("id").eq("a"))
    assert (len(found), pages) == (50, 5)
    found, pages = everything(items.scan, FilterExpression=Attr("at").eq(49))
    assert ([int(item["at"]) for item in found], pages) == ([49], 5)
    paginator = items.meta.client.get_paginator("scan")
    assert sum(page["Count"] for page in paginator.paginate(TableName=items.name)) == 50


def test_a_page_that_fetches_whole_items_has_a_megabyte_of_them(module_lake):
    local = [index("by-kind", "id", "kind", "KEYS_ONLY")]
    items = table(module_lake, "id", "at", {"at": "N", "kind": "S"}, LocalSecondaryIndexes=local)
    with items.batch_writer() as batch:
        for at in range(20):
            batch.put_item(Item={"id": "a", "at": at, "kind": f"k{at:02}", "text": "x" * 200_000})
    query = dict(IndexName="by-kind", KeyConditionExpression=Key("id").eq("a"), Select="ALL_ATTRIBUTES")
    found, pages = everything(items.query, **query)
    assert ([int(item["at"]) for item in found], pages) == (list(range(20)), 4)
    assert items.query(**{**query, "Select": "ALL_PROJECTED_ATTRIBUTES"})["Count"] == 20


def test_an_index_that_is_added_takes_in_what_is_there(module_lake):
    client = module_lake.client("dynamodb")
    items = table(module_lake)
    with items.batch_writer() as batch:
        for i in range(3_000):
            batch.put_item(Item={"id": str(i), "city": f"c{i % 3}", "n": i})
    client.update_table(
        TableName=items.name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}, {"AttributeName": "city", "AttributeType": "S"}],
        GlobalSecondaryIndexUpdates=[{"Create": index("by-city", "city")}],
    )
    items.put_item(Item={"id": "late", "city": "c0", "n": -1})
    status = lambda: client.describe_table(TableName=items.name)["Table"]["GlobalSecondaryIndexes"][0]["IndexStatus"]
    wait_until(lambda: status() == "ACTIVE", 30, 0.05, "the index")
    found, _ = everything(items.query, IndexName="by-city", KeyConditionExpression=Key("city").eq("c0"))
    assert len(found) == 1_001
    again = [{"Create": index("by-city", "city")}]
    assert "already exists" in invalid(client.update_table, TableName=items.name, GlobalSecondaryIndexUpdates=again)
    client.update_table(TableName=items.name, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-city"}}])
    shown = client.describe_table(TableName=items.name)["Table"]
    assert "GlobalSecondaryIndexes" not in shown and len(shown["AttributeDefinitions"]) == 1
    gone = dict(IndexName="by-city", KeyConditionExpression=Key("city").eq("c0"))
    assert "does not have the specified index" in invalid(items.query, **gone)


def test_the_parameters_from_before_expressions_read_the_same(events):
    client = events.meta.client
    conditions = {
        "user": {"ComparisonOperator": "EQ", "AttributeValueList": ["u1"]},
        "at": {"ComparisonOperator": "BETWEEN", "AttributeValueList": [-2, 2]},
    }
    kinds = {"kind": {"ComparisonOperator": "NE", "AttributeValueList": ["k0"]}}
    page = client.query(TableName=events.name, KeyConditions=conditions, QueryFilter=kinds, AttributesToGet=["at"])
    assert [int(item["at"]) for item in page["Items"]] == [-2 + i for i in range(5) if (18 + i) % 4 != 0]
    assert page["ScannedCount"] == 5
