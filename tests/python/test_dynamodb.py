"""DynamoDB's tables and single items, as boto3 and the AWS CLI use them."""

import json
import time
from decimal import Decimal

import pytest
from boto3.dynamodb.conditions import Attr
from boto3.dynamodb.types import Binary

from dynamo import index, invalid, refused, resource, sent, table
from harness import wait_until


@pytest.fixture
def client(module_lake):
    return module_lake.client("dynamodb")


def test_a_table_is_made_shown_listed_and_deleted(module_lake, client):
    made = client.create_table(
        TableName="company.orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "at", "AttributeType": "N"},
            {"AttributeName": "city", "AttributeType": "S"},
        ],
        ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
        GlobalSecondaryIndexes=[
            {**index("by-city", "city", "at", "INCLUDE", ["name"]), "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}
        ],
        LocalSecondaryIndexes=[index("by-id-city", "id", "city", "KEYS_ONLY")],
        Tags=[{"Key": "team", "Value": "data"}],
    )["TableDescription"]
    client.get_waiter("table_exists").wait(TableName="company.orders")
    shown = client.describe_table(TableName="company.orders")["Table"]
    assert shown["TableStatus"] == "ACTIVE"
    assert shown["TableArn"] == made["TableArn"] == "arn:aws:dynamodb:us-east-1:000000000000:table/company.orders"
    assert shown["ProvisionedThroughput"]["WriteCapacityUnits"] == 6
    assert shown["GlobalSecondaryIndexes"][0]["IndexStatus"] == "ACTIVE"
    assert shown["GlobalSecondaryIndexes"][0]["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["name"]}
    assert shown["LocalSecondaryIndexes"][0]["IndexArn"].endswith("table/company.orders/index/by-id-city")
    assert client.describe_table(TableName=shown["TableArn"])["Table"]["TableId"] == shown["TableId"]
    assert client.list_tags_of_resource(ResourceArn=shown["TableArn"])["Tags"] == [{"Key": "team", "Value": "data"}]
    assert "company.orders" in client.list_tables()["TableNames"]
    again = dict(
        TableName="company.orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    assert refused("ResourceInUseException", client.create_table, **again) == "Table already exists: company.orders"
    assert client.delete_table(TableName="company.orders")["TableDescription"]["TableStatus"] == "DELETING"
    client.get_waiter("table_not_exists").wait(TableName="company.orders")
    missing = "Requested resource not found: Table: company.orders not found"
    assert refused("ResourceNotFoundException", client.describe_table, TableName="company.orders") == missing
    assert refused("ResourceNotFoundException", client.delete_table, TableName="company.orders") == missing
    get = dict(TableName="company.orders", Key={"id": {"S": "1"}})
    assert refused("ResourceNotFoundException", client.get_item, **get) == "Requested resource not found"
    # The same name is another table.
    client.create_table(**again)
    assert client.describe_table(TableName="company.orders")["Table"]["TableId"] != shown["TableId"]


def test_tables_are_listed_by_pages(module_lake, client):
    names = [table(module_lake).name for _ in range(7)]
    pages = client.get_paginator("list_tables").paginate(PaginationConfig={"PageSize": 3})
    found = [name for page in pages for name in page["TableNames"]]
    assert found == sorted(found) and set(names) <= set(found)


def test_what_cannot_be_a_table_is_refused(client):
    base = dict(
        TableName="refused",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    assert "must be between 3 and 255 characters" in invalid(client.create_table, **{**base, "TableName": "a b"})
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    assert "Streams" in invalid(client.create_table, **base, StreamSpecification=stream)
    unused = base["AttributeDefinitions"] + [{"AttributeName": "other", "AttributeType": "N"}]
    text = invalid(client.create_table, **{**base, "AttributeDefinitions": unused})
    assert "Number of attributes in KeySchema does not exactly match" in text
    text = invalid(client.create_table, **{**base, "BillingMode": "PROVISIONED"})
    assert "ReadCapacityUnits and WriteCapacityUnits must both be specified" in text
    assert "refused" not in client.list_tables()["TableNames"]


def test_a_protected_table_stays(module_lake, client):
    made = table(module_lake, DeletionProtectionEnabled=True)
    assert "protected against deletion" in invalid(client.delete_table, TableName=made.name)
    client.update_table(TableName=made.name, DeletionProtectionEnabled=False)
    client.delete_table(TableName=made.name)


def test_a_table_changes_its_billing_and_class(module_lake, client):
    name = table(module_lake).name
    assert "At least one of" in invalid(client.update_table, TableName=name)
    units = {"ReadCapacityUnits": 3, "WriteCapacityUnits": 4}
    changed = client.update_table(TableName=name, BillingMode="PROVISIONED", ProvisionedThroughput=units)["TableDescription"]
    assert changed["BillingModeSummary"]["BillingMode"] == "PROVISIONED"
    assert changed["ProvisionedThroughput"]["ReadCapacityUnits"] == 3
    text = invalid(client.update_table, TableName=name, ProvisionedThroughput=units)
    assert text.startswith("The provisioned throughput for the table will not change.")
    changed = client.update_table(TableName=name, BillingMode="PAY_PER_REQUEST", TableClass="STANDARD_INFREQUENT_ACCESS")
    assert changed["TableDescription"]["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert changed["TableDescription"]["TableClassSummary"]["TableClass"] == "STANDARD_INFREQUENT_ACCESS"


def test_warm_throughput_is_kept_and_only_rises(module_lake, client):
    gsi = {**index("by-mark", "mark"), "WarmThroughput": {"WriteUnitsPerSecond": 5_000}}
    name = table(module_lake, kinds={"mark": "S"}, GlobalSecondaryIndexes=[gsi]).name

    def warm():
        shown = client.describe_table(TableName=name)["Table"]
        units = [shown["WarmThroughput"], shown["GlobalSecondaryIndexes"][0]["WarmThroughput"]]
        assert {one["Status"] for one in units} == {"ACTIVE"}
        return [(one["ReadUnitsPerSecond"], one["WriteUnitsPerSecond"]) for one in units]

    assert warm() == [(12_000, 4_000), (12_000, 5_000)]
    client.update_table(TableName=name, WarmThroughput={"ReadUnitsPerSecond": 13_000})
    of_index = lambda read: [{"Update": {"IndexName": "by-mark", "WarmThroughput": {"ReadUnitsPerSecond": read}}}]
    client.update_table(TableName=name, GlobalSecondaryIndexUpdates=of_index(12_500))
    assert warm() == [(13_000, 4_000), (12_500, 5_000)]
    lower = "One or more parameter values were invalid: Requested ReadUnitsPerSecond for WarmThroughput for {} is lower than current WarmThroughput, decreasing WarmThroughput is not supported"
    assert invalid(client.update_table, TableName=name, WarmThroughput={"ReadUnitsPerSecond": 12_999}) == lower.format("table")
    text = invalid(client.update_table, TableName=name, GlobalSecondaryIndexUpdates=of_index(12_000))
    assert text == lower.format("index by-mark")
    # What is provisioned counts, and stays when it is less again.
    units = lambda n: {"ReadCapacityUnits": n, "WriteCapacityUnits": n}
    client.update_table(TableName=name, BillingMode="PROVISIONED", ProvisionedThroughput=units(20_000))
    client.update_table(TableName=name, ProvisionedThroughput=units(5))
    assert warm()[0] == (20_000, 20_000)
    base = dict(
        TableName="cold",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    little = {"ReadUnitsPerSecond": 5, "WriteUnitsPerSecond": 5}
    text = invalid(client.create_table, **base, BillingMode="PAY_PER_REQUEST", WarmThroughput=little)
    assert "is lower than initial throughput for OnDemand" in text
    text = invalid(client.create_table, **base, ProvisionedThroughput=units(6), WarmThroughput=little)
    assert text.endswith("is lower than ReadCapacityUnits of ProvisionedThroughput")
    client.create_table(**base, ProvisionedThroughput=units(4), WarmThroughput=little)
    assert client.describe_table(TableName="cold")["Table"]["WarmThroughput"] == {**little, "Status": "ACTIVE"}


def test_updates_of_indexes_are_refused_in_the_words_of_aws(module_lake, client):
    gsi, local = index("by-mark", "mark"), index("by-at", "id", "at")
    items = table(module_lake, "id", "n", {"n": "N", "mark": "S", "at": "S"}, GlobalSecondaryIndexes=[gsi], LocalSecondaryIndexes=[local])
    wrong = "One or more parameter values were invalid: "
    update = lambda *changes: dict(TableName=items.name, GlobalSecondaryIndexUpdates=list(changes))
    delete = lambda name: {"Delete": {"IndexName": name}}
    units = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
    assert invalid(client.update_table, **update()) == wrong + "List of GlobalSecondaryIndexUpdates is empty"
    assert invalid(client.update_table, **update({})).endswith("GlobalSecondaryIndexUpdate.Delete must not be null")
    both = {**delete("by-mark"), "Create": gsi}
    assert "Only one global secondary index action is allowed" in invalid(client.update_table, **update(both))
    twice = [delete("by-mark"), {"Update": {"IndexName": "by-mark", "WarmThroughput": {"ReadUnitsPerSecond": 13_000}}}]
    assert invalid(client.update_table, **update(*twice)).endswith("allowed simultaneously. Index: by-mark")
    text = refused("ResourceNotFoundException", client.update_table, **update(delete("ghost")))
    assert text == f"Requested resource not found: Index ghost for table {items.name}"
    text = invalid(client.update_table, **update(delete("by-at")))
    assert text == "Cannot delete an index that is not a GlobalSecondaryIndex: by-at"
    text = invalid(client.update_table, **update({"Update": {"IndexName": "by-mark", "ProvisionedThroughput": units}}))
    assert "The only Updates for index: by-mark when TableThroughputMode is PAY_PER_REQUEST" in text
    text = invalid(client.update_table, **update({"Create": {**index("by-n", "n"), "ProvisionedThroughput": units}}))
    assert text.startswith(wrong + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for index: by-n")
    assert invalid(client.update_table, **update({"Create": gsi})) == "Attempting to create an index which already exists"


def test_an_attribute_has_a_name_and_a_value(module_lake, client):
    items = table(module_lake)
    name, empty = "Empty attribute name", "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
    assert invalid(items.put_item, Item={"id": "a", "": 1}) == name
    assert invalid(items.put_item, Item={"id": "a", "m": {"": 1}}) == name
    assert invalid(items.update_item, Key={"id": "a"}, AttributeUpdates={"": {"Value": 1}}) == name
    insert = f"""INSERT INTO "{items.name}" VALUE {{'id': 'a', '': 1}}"""
    assert "empty" in invalid(client.execute_statement, Statement=insert)

    def told(operation, **body):
        status, answer = sent(module_lake, operation, {"TableName": items.name, **body})
        assert status == 400, answer
        return answer["__type"].split("#")[-1], answer.get("message") or answer.get("Message")

    key = {"id": {"S": "a"}}
    for item in ({"x": None}, {"x": {"M": {"y": None}}}, {"x": {"L": [None]}}):
        assert told("PutItem", Item={**key, **item}) == ("ValidationException", empty)
    values = {"UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": None}}
    assert told("UpdateItem", Key=key, **values) == (
        "ValidationException",
        f"ExpressionAttributeValues contains invalid value: {empty} for key :a",
    )
    values = {"UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": {"N": 1}}}
    for operation, body in (("PutItem", {"Item": {**key, "x": {"S": 1}}}), ("GetItem", {"Key": {"id": {"S": 1}}}), ("UpdateItem", {"Key": key, **values})):
        code, text = told(operation, **body)
        assert code == "SerializationException" and text.startswith("NUMBER_VALUE can not be converted to a String"), (operation, text)
    assert items.scan()["Count"] == 0


def test_an_item_of_all_types_comes_back_as_it_was(module_lake):
    items = table(module_lake)
    item = {
        "id": "ä/€/𝄞",
        "number": Decimal("-12345678901234567890.123456789012345678"),
        "small": Decimal("1E-130"),
        "bytes": Binary(bytes(range(256))),
        "yes": True,
        "nothing": None,
        "empty": "",
        "list": [1, "two", [b"3"], {"four": 4}],
        "map": {"a": {"b": {"c": [None, False]}}},
        "strings": {"b", "a"},
        "numbers": {Decimal(1), Decimal("2.5")},
        "binaries": {b"x", b"y"},
    }
    items.put_item(Item=item)
    back = items.get_item(Key={"id": "ä/€/𝄞"}, ConsistentRead=True)["Item"]
    item["list"] = [1, "two", [Binary(b"3")], {"four": 4}]
    item["binaries"] = {Binary(b"x"), Binary(b"y")}
    assert back == item
    assert "Item" not in items.get_item(Key={"id": "other"})


def test_items_and_keys_that_do_not_fit_are_refused_in_the_words_of_aws(module_lake, client):
    gsi = index("by-mark", "mark")
    items = table(module_lake, "id", "at", {"at": "N", "mark": "S"}, GlobalSecondaryIndexes=[gsi])
    wrong = "One or more parameter values were invalid: "
    assert invalid(items.put_item, Item={"at": 1}) == wrong + "Missing the key id in the item"
    assert invalid(items.put_item, Item={"id": "a"}) == wrong + "Missing the key at in the item"
    assert invalid(items.put_item, Item={"id": 1, "at": 1}) == wrong + "Type mismatch for key id expected: S actual: N"
    text = invalid(items.put_item, Item={"id": "", "at": 1})
    assert text.endswith("The AttributeValue for a key attribute cannot contain an empty string value. Key: id")
    text = invalid(items.put_item, Item={"id": "a", "at": 1, "mark": 5})
    assert text == wrong + "Type mismatch for Index Key mark Expected: S Actual: N IndexName: by-mark"
    text = invalid(items.put_item, Item={"id": "x" * 2049, "at": 1})
    assert "Size of hashkey has exceeded the maximum size limit" in text
    match = "The provided key element does not match the schema"
    for key in ({"id": "a"}, {"id": "a", "at": "1"}, {"id": "a", "at": 1, "more": 1}, {"id": "a", "other": 1}):
        assert invalid(items.get_item, Key=key) == match
        assert invalid(items.delete_item, Key=key) == match
        assert invalid(items.update_item, Key=key) == match
    large = {"id": "a", "at": 1, "text": "x" * (400 * 1024)}
    assert invalid(items.put_item, Item=large) == "Item size has exceeded the maximum allowed size"
    # Names and keys count too: id 2 + 1, at 2 + 2, text 4.
    items.put_item(Item={**large, "text": "x" * (400 * 1024 - 11)})
    text = invalid(items.update_item, Key={"id": "a", "at": 1}, UpdateExpression="SET more = :x", ExpressionAttributeValues={":x": "x"})
    assert text == "Item size to update has exceeded the maximum allowed size"
    text = invalid(items.update_item, Key={"id": "a", "at": 1}, UpdateExpression="SET id = :x", ExpressionAttributeValues={":x": "x"})
    assert text == wrong + "Cannot update attribute id. This attribute is part of the key"
    assert invalid(items.put_item, Item={"id": "a", "at": 1}, ReturnValues="ALL_NEW") == "ReturnValues can only be ALL_OLD or NONE"
    put = dict(TableName=items.name, Item={"id": {"S": "a"}, "at": {"N": "one"}})
    assert invalid(client.put_item, **put) == "The parameter cannot be converted to a numeric value: one"
    put = dict(TableName=items.name, Item={"id": {"S": "a"}, "at": {"N": "1"}, "s": {"SS": ["a", "a"]}})
    assert "contains duplicates" in invalid(client.put_item, **put)


def test_conditions_decide_about_writes(module_lake, client):
    items = table(module_lake)
    new = Attr("id").not_exists()
    items.put_item(Item={"id": "a", "stock": 5}, ConditionExpression=new)
    failed = "The conditional request failed"
    assert refused("ConditionalCheckFailedException", items.put_item, Item={"id": "a"}, ConditionExpression=new) == failed
    with pytest.raises(client.exceptions.ConditionalCheckFailedException) as raised:
        client.put_item(
            TableName=items.name,
            Item={"id": {"S": "a"}},
            ConditionExpression="attribute_not_exists(id)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert raised.value.response["Item"] == {"id": {"S": "a"}, "stock": {"N": "5"}}
    enough = Attr("stock").gte(3) & Attr("stock").between(0, 10)
    take = dict(Key={"id": "a"}, UpdateExpression="SET stock = stock - :n", ExpressionAttributeValues={":n": 3})
    assert items.update_item(**take, ConditionExpression=enough, ReturnValues="ALL_NEW")["Attributes"]["stock"] == 2
    assert refused("ConditionalCheckFailedException", items.update_item, **take, ConditionExpression=enough) == failed
    delete = dict(Key={"id": "a"}, ConditionExpression=Attr("stock").eq(0))
    assert refused("ConditionalCheckFailedException", items.delete_item, **delete) == failed
    assert items.delete_item(Key={"id": "a"}, ReturnValues="ALL_OLD")["Attributes"] == {"id": "a", "stock": 2}
    assert "Attributes" not in items.delete_item(Key={"id": "a"}, ReturnValues="ALL_OLD")
    # As scripts did before there were expressions.
    old = dict(TableName=items.name, Item={"id": {"S": "a"}}, Expected={"id": {"Exists": False}})
    client.put_item(**old)
    assert refused("ConditionalCheckFailedException", client.put_item, **old) == failed
    text = invalid(client.put_item, **old, ConditionExpression="attribute_exists(id)")
    assert "Can not use both expression and non-expression parameters" in text


def test_updates_answer_what_they_were_asked_for(module_lake):
    items = table(module_lake)
    change = dict(
        Key={"id": "a"},
        UpdateExpression="SET #n = if_not_exists(#n, :zero) + :one, tags = :tags, doc.x = :one REMOVE gone ADD seen :seen",
        ExpressionAttributeNames={"#n": "count"},
        ExpressionAttributeValues={":zero": 0, ":one": 1, ":tags": ["a"], ":seen": {"x"}},
    )
    text = invalid(items.update_item, **change)
    assert text == "The document path provided in the update expression is invalid for update"
    items.put_item(Item={"id": "a", "doc": {"y": 2}, "gone": 1, "kept": 1})
    old = items.update_item(**change, ReturnValues="UPDATED_OLD")["Attributes"]
    assert old == {"gone": 1}
    new = items.update_item(**change, ReturnValues="UPDATED_NEW")["Attributes"]
    assert new == {"count": 2, "tags": ["a"], "doc": {"x": 1}, "seen": {"x"}}
    whole = items.update_item(
        Key={"id": "a"},
        UpdateExpression="SET tags = list_append(tags, :more)",
        ExpressionAttributeValues={":more": ["b"]},
        ReturnValues="ALL_NEW",
    )["Attributes"]
    assert whole == {"id": "a", "count": 2, "tags": ["a", "b"], "doc": {"x": 1, "y": 2}, "seen": {"x"}, "kept": 1}
    assert items.get_item(Key={"id": "a"}, ProjectionExpression="doc.x, tags[1]")["Item"] == {"doc": {"x": 1}, "tags": ["b"]}
    # An update makes an item that is not there; removing from one does not.
    items.update_item(Key={"id": "new"})
    assert items.get_item(Key={"id": "new"})["Item"] == {"id": "new"}
    items.update_item(Key={"id": "none"}, UpdateExpression="REMOVE x")
    assert "Item" not in items.get_item(Key={"id": "none"})
    items.update_item(Key={"id": "old"}, AttributeUpdates={"n": {"Action": "ADD", "Value": 3}, "m": {"Value": "x"}})
    assert items.get_item(Key={"id": "old"})["Item"] == {"id": "old", "n": 3, "m": "x"}


def test_expressions_that_are_wrong_are_refused(module_lake):
    items = table(module_lake)
    update = lambda text, **more: invalid(items.update_item, Key={"id": "a"}, UpdateExpression=text, **more)
    assert update("SET name = :x", ExpressionAttributeValues={":x": 1}).endswith("reserved keyword: name")
    assert "not defined; attribute value: :x" in update("SET a = :x")
    text = update("SET a = :x", ExpressionAttributeValues={":x": 1, ":y": 2})
    assert text == "Value provided in ExpressionAttributeValues unused in expressions: keys: {:y}"
    assert "Syntax error" in update("SET a = = b")
    text = invalid(items.put_item, Item={"id": "a"}, ExpressionAttributeValues={":x": 1})
    assert text.startswith("ExpressionAttributeValues can only be specified when using expressions")


def test_capacity_is_counted_as_on_aws(module_lake):
    items = table(module_lake, kinds={"mark": "S"}, GlobalSecondaryIndexes=[index("by-mark", "mark", projection="KEYS_ONLY")])
    put = items.put_item(Item={"id": "a", "mark": "m", "text": "x" * 3000}, ReturnConsumedCapacity="INDEXES")["ConsumedCapacity"]
    assert (put["CapacityUnits"], put["Table"]["CapacityUnits"]) == (4, 3)
    assert put["GlobalSecondaryIndexes"]["by-mark"]["CapacityUnits"] == 1
    # Nothing of it is in the index.
    again = items.put_item(Item={"id": "a", "mark": "m", "text": "x" * 1500}, ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]
    assert again["CapacityUnits"] == 3
    get = items.get_item(Key={"id": "a"}, ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]
    assert get == {"TableName": items.name, "CapacityUnits": 0.5}
    get = items.get_item(Key={"id": "a"}, ConsistentRead=True, ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]
    assert get["CapacityUnits"] == 1


def test_items_and_bytes_are_counted_exactly(module_lake, client):
    items = table(module_lake)
    with items.batch_writer() as batch:
        for i in range(60):
            batch.put_item(Item={"id": f"{i:04}", "text": "x" * 10})
        for i in range(20):
            batch.delete_item(Key={"id": f"{i:04}"})
    shown = client.describe_table(TableName=items.name)["Table"]
    assert (shown["ItemCount"], shown["TableSizeBytes"]) == (40, 40 * (2 + 4 + 4 + 10))


def test_batches_write_and_read(module_lake, client):
    items = table(module_lake, "id", "at", {"at": "N"})
    with items.batch_writer(overwrite_by_pkeys=["id", "at"]) as batch:
        for i in range(120):
            batch.put_item(Item={"id": "a", "at": i % 100, "round": i // 100})
    keys = [{"id": "a", "at": i} for i in range(99)] + [{"id": "none", "at": 1}]
    found = resource(module_lake).batch_get_item(RequestItems={items.name: {"Keys": keys, "ProjectionExpression": "#r", "ExpressionAttributeNames": {"#r": "round"}}})
    assert found["UnprocessedKeys"] == {}
    rounds = [int(item["round"]) for item in found["Responses"][items.name]]
    assert (len(rounds), sum(rounds)) == (99, 20)
    put = {"PutRequest": {"Item": {"id": {"S": "a"}, "at": {"N": "1"}}}}
    delete = {"DeleteRequest": {"Key": {"id": {"S": "a"}, "at": {"N": "1.0"}}}}
    text = invalid(client.batch_write_item, RequestItems={items.name: [put, delete]})
    assert text == "Provided list of item keys contains duplicates"
    assert "25" in invalid(client.batch_write_item, RequestItems={items.name: [put] * 26})
    assert "100" in invalid(client.batch_get_item, RequestItems={items.name: {"Keys": [{"id": {"S": "a"}, "at": {"N": "1"}}] * 101}})
    wrong = {"PutRequest": {"Item": {"id": {"S": "b"}}}}
    other = {"PutRequest": {"Item": {"id": {"S": "b"}, "at": {"N": "1"}}}}
    assert "Missing the key at" in invalid(client.batch_write_item, RequestItems={items.name: [other, wrong]})
    assert "Item" not in items.get_item(Key={"id": "b", "at": 1})
    nowhere = {"nowhere": [put]}
    assert refused("ResourceNotFoundException", client.batch_write_item, RequestItems=nowhere) == "Requested resource not found"


def test_a_batch_of_more_than_16_mb_is_read_in_parts(module_lake, client):
    items = table(module_lake)
    for i in range(45):
        items.put_item(Item={"id": str(i), "text": "x" * 390_000})
    request, parts, seen = {items.name: {"Keys": [{"id": {"S": str(i)}} for i in range(45)]}}, 0, set()
    while request:
        answer = client.batch_get_item(RequestItems=request)
        seen |= {item["id"]["S"] for item in answer["Responses"].get(items.name, [])}
        request, parts = answer["UnprocessedKeys"], parts + 1
    assert (len(seen), parts) == (45, 2)


def test_tags_are_kept(module_lake, client):
    arn = client.describe_table(TableName=table(module_lake).name)["Table"]["TableArn"]
    client.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    client.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert client.list_tags_of_resource(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    assert invalid(client.tag_resource, ResourceArn=arn, Tags=[]) == "Atleast one Tag needs to be provided as Input."
    twice = [{"Key": "c", "Value": "1"}, {"Key": "c", "Value": "2"}]
    assert invalid(client.tag_resource, ResourceArn=arn, Tags=twice).endswith("Duplicate Tag Key found c")
    many = [{"Key": str(i), "Value": ""} for i in range(50)]
    text = invalid(client.tag_resource, ResourceArn=arn, Tags=many)
    assert text == "Number of Tags exceed the current limit for the provided ResourceArn"
    gone = arn + "-gone"
    assert gone in refused("ResourceNotFoundException", client.list_tags_of_resource, ResourceArn=gone)


def test_items_expire(lake):
    client = lake.client("dynamodb")
    items = table(lake)
    status = lambda: client.describe_time_to_live(TableName=items.name)["TimeToLiveDescription"]
    assert status() == {"TimeToLiveStatus": "DISABLED"}
    spec = {"Enabled": True, "AttributeName": "until"}
    client.update_time_to_live(TableName=items.name, TimeToLiveSpecification=spec)
    assert status() == {"TimeToLiveStatus": "ENABLED", "AttributeName": "until"}
    assert invalid(client.update_time_to_live, TableName=items.name, TimeToLiveSpecification=spec) == "TimeToLive is already enabled"
    now = int(time.time())
    items.put_item(Item={"id": "old", "until": now - 10})
    items.put_item(Item={"id": "new", "until": now + 3600})
    items.put_item(Item={"id": "text", "until": "soon"})
    wait_until(lambda: "Item" not in items.get_item(Key={"id": "old"}), 90, 0.5, "the end of the item")
    assert {item["id"] for item in items.scan()["Items"]} == {"new", "text"}
    lake.restart()
    client = lake.client("dynamodb")
    assert status() == {"TimeToLiveStatus": "ENABLED", "AttributeName": "until"}
    client.update_time_to_live(TableName=items.name, TimeToLiveSpecification={**spec, "Enabled": False})
    assert status() == {"TimeToLiveStatus": "DISABLED"}


def test_what_terraform_reads_is_there(module_lake, client):
    name = table(module_lake).name
    backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "DISABLED"
    spec = {"PointInTimeRecoveryEnabled": True}
    backups = client.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=spec)
    backups = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert backups["PointInTimeRecoveryStatus"] == "ENABLED" and "LatestRestorableDateTime" in backups
    missing = refused("TableNotFoundException", client.describe_continuous_backups, TableName="nowhere")
    assert missing == "Table not found: nowhere"
    assert client.describe_limits()["AccountMaxReadCapacityUnits"] > 0
    assert client.describe_endpoints()["Endpoints"][0]["Address"]


def test_a_small_request_takes_no_multiple_of_its_values(module_lake, client):
    items = table(module_lake)
    many = " OR ".join("z IN (" + ", ".join([":v"] * 100) + ")" for _ in range(10))
    update = {"TableName": items.name, "Key": {"id": {"S": "a"}}, "UpdateExpression": "SET n = :n"}
    values = {":v": {"S": "x" * 500_000}, ":n": {"N": "1"}}
    assert "each use counted" in invalid(client.update_item, **update, ConditionExpression=many, ExpressionAttributeValues=values)
    few = {":v": {"S": "x" * 50_000}, ":n": {"N": "1"}}
    some = "z IN (" + ", ".join([":v"] * 70) + ")"
    actions = [{"Update": {**update, "Key": {"id": {"S": str(id)}}, "ConditionExpression": some, "ExpressionAttributeValues": few}} for id in range(10)]
    assert "each use counted" in invalid(client.transact_write_items, TransactItems=actions)
    client.update_item(**update, ConditionExpression="NOT " + some, ExpressionAttributeValues=few)


def test_the_aws_cli_makes_fills_asks_and_deletes_a_table(module_lake):
    def aws(*arguments):
        return json.loads(module_lake.aws("dynamodb", *arguments) or "null")

    made = aws(
        "create-table", "--table-name", "by-cli", "--billing-mode", "PAY_PER_REQUEST",
        "--attribute-definitions", "AttributeName=artist,AttributeType=S", "AttributeName=year,AttributeType=N",
        "--key-schema", "AttributeName=artist,KeyType=HASH", "AttributeName=year,KeyType=RANGE",
    )  # fmt: skip
    assert made["TableDescription"]["TableStatus"] in ("CREATING", "ACTIVE")
    module_lake.aws("dynamodb", "wait", "table-exists", "--table-name", "by-cli")
    puts = [{"PutRequest": {"Item": {"artist": {"S": "Nina"}, "year": {"N": str(year)}}}} for year in range(1960, 1980)]
    assert aws("batch-write-item", "--request-items", json.dumps({"by-cli": puts})) == {"UnprocessedItems": {}}
    key = json.dumps({"artist": {"S": "Nina"}, "year": {"N": "1965"}})
    updated = aws(
        "update-item", "--table-name", "by-cli", "--key", key, "--update-expression", "SET title = :t", "--return-values", "ALL_NEW",
        "--expression-attribute-values", '{":t": {"S": "Feeling Good"}}',
    )  # fmt: skip
    assert updated["Attributes"]["title"] == {"S": "Feeling Good"}
    asked = aws(
        "query", "--table-name", "by-cli", "--key-condition-expression", "artist = :a AND #y > :y", "--max-items", "3", "--no-scan-index-forward",
        "--expression-attribute-names", '{"#y": "year"}', "--expression-attribute-values", '{":a": {"S": "Nina"}, ":y": {"N": "1970"}}',
    )  # fmt: skip
    assert [item["year"]["N"] for item in asked["Items"]] == ["1979", "1978", "1977"] and asked["NextToken"]
    selected = aws("execute-statement", "--statement", "SELECT title FROM \"by-cli\" WHERE artist = 'Nina' AND \"year\" = 1965")
    assert selected["Items"] == [{"title": {"S": "Feeling Good"}}]
    assert aws("scan", "--table-name", "by-cli", "--select", "COUNT", "--page-size", "7")["Count"] == 20
    refused = module_lake.aws("dynamodb", "get-item", "--table-name", "by-cli", "--key", '{"artist": {"S": "Nina"}}', check=False)
    assert refused.returncode != 0 and "(ValidationException)" in refused.stderr
    aws("delete-table", "--table-name", "by-cli")
    module_lake.aws("dynamodb", "wait", "table-not-exists", "--table-name", "by-cli")
