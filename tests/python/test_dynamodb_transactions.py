"""DynamoDB's transactions, PartiQL, and what survives a kill."""

import random
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from dynamo import index, invalid, refused, table


def put(items, id, condition=None, **more):
    action = {"TableName": items.name, "Item": {"id": {"S": id}, **more}}
    if condition:
        action["ConditionExpression"] = condition
    return {"Put": action}


def cancelled(client, **request):
    with pytest.raises(client.exceptions.TransactionCanceledException) as raised:
        client.transact_write_items(**request)
    return raised.value.response["CancellationReasons"], raised.value.response["Error"]["Message"]


def test_a_transaction_is_all_or_nothing(module_lake):
    client = module_lake.client("dynamodb")
    one, two = table(module_lake), table(module_lake)
    one.put_item(Item={"id": "a", "n": 5})
    update = {
        "Update": {
            "TableName": one.name,
            "Key": {"id": {"S": "a"}},
            "UpdateExpression": "SET n = n - :n",
            "ConditionExpression": "n >= :n",
            "ExpressionAttributeValues": {":n": {"N": "3"}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }
    check = {"ConditionCheck": {"TableName": two.name, "Key": {"id": {"S": "x"}}, "ConditionExpression": "attribute_not_exists(id)"}}
    done = client.transact_write_items(TransactItems=[update, put(two, "b"), check], ReturnConsumedCapacity="TOTAL")
    assert {one["TableName"]: one["CapacityUnits"] for one in done["ConsumedCapacity"]} == {one.name: 2, two.name: 4}
    reasons, text = cancelled(client, TransactItems=[put(two, "c"), update, check])
    assert text == (
        "Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed, None]"
    )
    assert reasons[0] == {"Code": "None"}
    assert reasons[1]["Message"] == "The conditional request failed"
    assert reasons[1]["Item"] == {"id": {"S": "a"}, "n": {"N": "2"}}
    assert "Item" not in two.get_item(Key={"id": "c"})
    gets = [{"Get": {"TableName": t.name, "Key": {"id": {"S": id}}}} for t, id in ((one, "a"), (two, "b"), (two, "c"))]
    got = client.transact_get_items(TransactItems=gets, ReturnConsumedCapacity="TOTAL")
    assert [response.get("Item", {}).get("id") for response in got["Responses"]] == [{"S": "a"}, {"S": "b"}, None]
    assert sum(one["CapacityUnits"] for one in got["ConsumedCapacity"]) == 6


def test_what_cannot_be_a_transaction_is_refused(module_lake):
    client = module_lake.client("dynamodb")
    items = table(module_lake)
    text = invalid(client.transact_write_items, TransactItems=[put(items, "a"), put(items, "a")])
    assert text == "Transaction request cannot include multiple operations on one item"
    both = {**put(items, "a"), "Delete": {"TableName": items.name, "Key": {"id": {"S": "b"}}}}
    assert "can only contain one of" in invalid(client.transact_write_items, TransactItems=[both])
    text = invalid(client.transact_write_items, TransactItems=[put(items, "a"), put(items, "")])
    assert text.endswith("The AttributeValue for a key attribute cannot contain an empty string value. Key: id")
    delete = {"Delete": {"TableName": items.name, "Key": {"id": {"N": "1"}}}}
    reasons, _ = cancelled(client, TransactItems=[put(items, "a"), delete])
    assert [reason["Code"] for reason in reasons] == ["None", "ValidationError"]
    assert reasons[1]["Message"] == "The provided key element does not match the schema"
    large = {"text": {"S": "x" * 390_000}}
    text = invalid(client.transact_write_items, TransactItems=[put(items, str(i), **large) for i in range(11)])
    assert text.startswith("The aggregate size of the items in the transaction cannot exceed 4 MB")
    nowhere = [{"Put": {"TableName": "nowhere", "Item": {"id": {"S": "a"}}}}]
    refused("ResourceNotFoundException", client.transact_write_items, TransactItems=nowhere)
    assert items.scan()["Count"] == 0


def test_a_token_makes_a_transaction_once_also_after_a_restart(lake):
    client = lake.client("dynamodb")
    items = table(lake)
    add = lambda n: [
        {
            "Update": {
                "TableName": items.name,
                "Key": {"id": {"S": "a"}},
                "UpdateExpression": "ADD n :n",
                "ExpressionAttributeValues": {":n": {"N": n}},
            }
        }
    ]
    token = str(uuid.uuid4())
    for _ in range(3):
        client.transact_write_items(TransactItems=add("1"), ClientRequestToken=token)
    lake.kill9()
    lake.start()
    client = lake.client("dynamodb")
    client.transact_write_items(TransactItems=add("1"), ClientRequestToken=token)
    assert client.get_item(TableName=items.name, Key={"id": {"S": "a"}})["Item"]["n"] == {"N": "1"}
    refused("IdempotentParameterMismatchException", client.transact_write_items, TransactItems=add("2"), ClientRequestToken=token)
    # In whatever order the members of its maps are.
    [action] = add("1")
    turned = {"Update": dict(reversed(action["Update"].items()))}
    client.transact_write_items(TransactItems=[turned], ClientRequestToken=token)
    statement = lambda n: dict(TransactStatements=[{"Statement": f"""UPDATE "{items.name}" SET n = n + {n} WHERE id = 'a'"""}])
    token = str(uuid.uuid4())
    for _ in range(2):
        client.execute_transaction(**statement(1), ClientRequestToken=token)
    refused("IdempotentParameterMismatchException", client.execute_transaction, **statement(2), ClientRequestToken=token)
    assert client.get_item(TableName=items.name, Key={"id": {"S": "a"}})["Item"]["n"] == {"N": "2"}


def test_transfers_by_many_keep_the_sum(module_lake):
    client = module_lake.client("dynamodb")
    items = table(module_lake)
    for i in range(5):
        items.put_item(Item={"id": str(i), "n": 100})

    def move(_):
        chance, done = random.Random(), 0
        for _ in range(40):
            source, target = chance.sample(range(5), 2)
            change = lambda id, sign: {
                "Update": {
                    "TableName": items.name,
                    "Key": {"id": {"S": str(id)}},
                    "UpdateExpression": f"SET n = n {sign} :n",
                    "ConditionExpression": "n >= :n" if sign == "-" else "attribute_exists(id)",
                    "ExpressionAttributeValues": {":n": {"N": str(chance.randint(1, 60))}},
                }
            }
            take = change(source, "-")
            give = change(target, "+")
            give["Update"]["ExpressionAttributeValues"] = take["Update"]["ExpressionAttributeValues"]
            try:
                client.transact_write_items(TransactItems=[take, give])
                done += 1
            except client.exceptions.TransactionCanceledException:
                pass
        return done

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(move, range(6))) > 0
    numbers = [int(item["n"]) for item in items.scan(ConsistentRead=True)["Items"]]
    assert sum(numbers) == 500 and min(numbers) >= 0


def test_acknowledged_writes_survive_a_kill(lake):
    items = table(lake, kinds={"mark": "S"}, GlobalSecondaryIndexes=[index("by-mark", "mark", projection="KEYS_ONLY")])
    name, acknowledged, lock = items.name, set(), threading.Lock()
    for round in range(3):
        clients = [lake.client("dynamodb", retries={"max_attempts": 0}) for _ in range(4)]
        killing, failed = threading.Event(), []

        def write(client, worker):
            for i in range(100_000):
                id = f"{round}-{worker}-{i}"
                pair = [
                    {"Put": {"TableName": name, "Item": {"id": {"S": id + half}, "mark": {"S": "m"}}}} for half in ("/a", "/b")
                ]
                try:
                    client.transact_write_items(TransactItems=pair)
                except Exception as error:
                    if not killing.is_set():
                        failed.append(error)
                    return
                with lock:
                    acknowledged.add(id)

        threads = [threading.Thread(target=write, args=(client, worker)) for worker, client in enumerate(clients)]
        [thread.start() for thread in threads]
        threading.Event().wait(1.0)
        killing.set()
        lake.kill9()
        [thread.join() for thread in threads]
        assert not failed, failed
        lake.start()
        client = lake.client("dynamodb")
        found = {item["id"]["S"] for page in client.get_paginator("scan").paginate(TableName=name) for item in page["Items"]}
        assert {id + half for id in acknowledged for half in ("/a", "/b")} <= found
        assert {id[:-2] + "/a" for id in found} <= found and {id[:-2] + "/b" for id in found} <= found
        shown = client.describe_table(TableName=name)["Table"]
        assert shown["ItemCount"] == len(found) == shown["GlobalSecondaryIndexes"][0]["ItemCount"]
    assert len(acknowledged) > 30


def test_tables_survive_a_kill_as_they_were(lake):
    client = lake.client("dynamodb")
    made = [table(lake) for _ in range(4)]
    client.delete_table(TableName=made[0].name)
    made[1].put_item(Item={"id": "a"})
    before = client.describe_table(TableName=made[1].name)["Table"]
    lake.kill9()
    lake.start()
    client = lake.client("dynamodb")
    assert client.list_tables()["TableNames"] == sorted(one.name for one in made[1:])
    assert client.describe_table(TableName=made[1].name)["Table"] == before


def test_statements_read_and_write(module_lake):
    client = module_lake.client("dynamodb")
    items = table(module_lake, "id", "at", {"at": "N", "city": "S"}, GlobalSecondaryIndexes=[index("by-city", "city")])
    name = items.name
    run = lambda text, *parameters, **more: client.execute_statement(
        Statement=text, **({"Parameters": list(parameters)} if parameters else {}), **more
    )
    for at in range(6):
        run(f"""INSERT INTO "{name}" VALUE {{'id': ?, 'at': ?, 'city': 'Basel', 'tags': ['x']}}""", {"S": "a"}, {"N": str(at)})
    with pytest.raises(ClientError) as raised:
        run(f"""INSERT INTO "{name}" VALUE {{'id': 'a', 'at': 1}}""")
    assert raised.value.response["Error"]["Code"] == "DuplicateItemException"
    found = run(f"""SELECT "at" FROM "{name}" WHERE id = 'a' AND "at" BETWEEN 2 AND 4 ORDER BY "at" DESC""")["Items"]
    assert found == [{"at": {"N": "4"}}, {"at": {"N": "3"}}, {"at": {"N": "2"}}]
    page, times = run(f"""SELECT * FROM "{name}" WHERE id = 'a'""", Limit=4), []
    while True:
        times += [int(item["at"]["N"]) for item in page["Items"]]
        if "NextToken" not in page:
            break
        page = run(f"""SELECT * FROM "{name}" WHERE id = 'a'""", Limit=4, NextToken=page["NextToken"])
    assert times == list(range(6))
    nested = f"""SELECT tags[0], id FROM "{name}" WHERE id = 'a' AND "at" = 1"""
    assert run(nested)["Items"] == [{"tags[0]": {"S": "x"}, "id": {"S": "a"}}]
    [answer] = client.batch_execute_statement(Statements=[{"Statement": nested}])["Responses"]
    [read] = client.execute_transaction(TransactStatements=[{"Statement": nested}])["Responses"]
    assert answer["Item"] == read["Item"] == {"tags": {"L": [{"S": "x"}]}, "id": {"S": "a"}}
    assert len(run(f"""SELECT * FROM "{name}"."by-city" WHERE city = 'Basel'""")["Items"]) == 6
    assert len(run(f"""SELECT * FROM "{name}" WHERE contains(tags, 'x') AND "at" > 3""")["Items"]) == 2
    changed = run(f"""UPDATE "{name}" SET city = 'Bern' SET n = 1 WHERE id = 'a' AND "at" = 1 RETURNING ALL NEW *""")["Items"]
    assert changed[0]["city"] == {"S": "Bern"} and changed[0]["n"] == {"N": "1"}
    refused("ConditionalCheckFailedException", run, f"""UPDATE "{name}" SET n = 1 WHERE id = 'none' AND "at" = 1""")
    gone = run(f"""DELETE FROM "{name}" WHERE id = 'a' AND "at" = 1 RETURNING ALL OLD *""")["Items"]
    assert gone[0]["city"] == {"S": "Bern"}
    run(f"""DELETE FROM "{name}" WHERE id = 'a' AND "at" = 1""")
    assert "mandatory equality" in invalid(run, f"""DELETE FROM "{name}" WHERE id = 'a'""")
    assert "wasn't well formed" in invalid(run, f"""SELEKT * FROM "{name}" """)
    refused("ResourceNotFoundException", run, """SELECT * FROM "nowhere" """)


def test_statements_run_in_batches_and_transactions(module_lake):
    client = module_lake.client("dynamodb")
    items = table(module_lake)
    insert = f"""INSERT INTO "{items.name}" VALUE {{'id': ?}}"""
    batch = [{"Statement": insert, "Parameters": [{"S": id}]} for id in ("a", "b", "a")]
    answers = client.batch_execute_statement(Statements=batch)["Responses"]
    assert [answer.get("Error", {}).get("Code") for answer in answers].count("DuplicateItem") == 1
    reads = [{"Statement": f"""SELECT * FROM "{items.name}" WHERE id = '{id}'"""} for id in ("a", "none")]
    answers = client.batch_execute_statement(Statements=reads)["Responses"]
    assert [answer.get("Item") for answer in answers] == [{"id": {"S": "a"}}, None]
    transaction = [
        {"Statement": insert, "Parameters": [{"S": "c"}]},
        {"Statement": f"""UPDATE "{items.name}" SET n = 1 WHERE id = 'a'"""},
    ]
    client.execute_transaction(TransactStatements=transaction)
    with pytest.raises(client.exceptions.TransactionCanceledException) as raised:
        client.execute_transaction(TransactStatements=[{"Statement": insert, "Parameters": [{"S": id}]} for id in ("d", "c")])
    assert [reason["Code"] for reason in raised.value.response["CancellationReasons"]] == ["None", "DuplicateItem"]
    got = client.execute_transaction(TransactStatements=reads)["Responses"]
    assert got[0]["Item"]["n"] == {"N": "1"} and "Item" not in got[1]
    assert {item["id"] for item in items.scan()["Items"]} == {"a", "b", "c"}
