"""Event source mappings: queues that are polled for functions."""

import json
import time

import harness
import pytest
from harness import wait_until
from lambdas import CONFIG, bodies, create, queue, receive

ACCOUNT = "000000000000"
ARN = f"arn:aws:lambda:us-east-1:{ACCOUNT}"


@pytest.fixture(scope="module")
def lake():
    lake = harness.new_lake(CONFIG)
    url, _ = queue(lake, "told-shared")
    yield lake
    harness.discard(lake)


def state(lake, uuid):
    return lake.client("lambda").get_event_source_mapping(UUID=uuid)["State"]


def enabled(lake, uuid):
    wait_until(lambda: state(lake, uuid) == "Enabled", what="the mapping to be enabled")


def mapped(lake, name, handler="teller.records", attributes=None, settings=None, suffix="", function=None):
    """A queue, a function that tells its batches to another queue, and a mapping between; answers (queue, told, uuid)."""
    told, _ = queue(lake, f"{name}-told")
    url, arn = queue(lake, name + suffix, **{"VisibilityTimeout": "2", **(attributes or {})})
    create(lake, name, "teller.py", handler=handler, Environment={"Variables": {"TOLD": told}}, Timeout=2, **(function or {}))
    mapping = lake.client("lambda").create_event_source_mapping(EventSourceArn=arn, FunctionName=name, **(settings or {}))
    assert mapping["State"] in ("Creating", "Enabled", "Disabled")
    return url, told, mapping["UUID"]


def left(lake, url):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = lake.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def put(lake, url, body, **more):
    return lake.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(body), **more)


def test_messages_become_records_and_are_deleted(lake):
    url, told, uuid = mapped(lake, "plain")
    mapping = lake.client("lambda").get_event_source_mapping(UUID=uuid)
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"], mapping["FunctionResponseTypes"]) == (10, 0, [])
    assert mapping["FunctionArn"] == f"{ARN}:function:plain"
    assert mapping["EventSourceMappingArn"] == f"{ARN}:event-source-mapping:{uuid}"
    sent = put(
        lake,
        url,
        {"n": 1},
        MessageAttributes={"Weeks": {"DataType": "Number", "StringValue": "6"}, "Raw": {"DataType": "Binary", "BinaryValue": b"\x01\x02"}},
    )
    [batch] = bodies(lake, told)
    [record] = batch["records"]
    assert (record["messageId"], record["body"], record["md5OfBody"]) == (sent["MessageId"], '{"n": 1}', sent["MD5OfMessageBody"])
    assert record["messageAttributes"]["Weeks"] == {
        "stringValue": "6",
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": "Number",
    }
    assert record["messageAttributes"]["Raw"]["binaryValue"] == "AQI="
    assert record["md5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert set(record["attributes"]) >= {"ApproximateReceiveCount", "SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp"}
    assert (record["eventSource"], record["awsRegion"]) == ("aws:sqs", "us-east-1")
    assert record["eventSourceARN"] == mapping["EventSourceArn"]
    wait_until(lambda: left(lake, url) == 0, what="the message to be deleted")


def test_a_window_gathers_a_batch(lake):
    settings = {"BatchSize": 100, "MaximumBatchingWindowInSeconds": 3}
    url, told, uuid = mapped(lake, "gathered", attributes={"VisibilityTimeout": "30"}, settings=settings)
    enabled(lake, uuid)
    for number in range(5):
        put(lake, url, {"n": number})
    [batch] = bodies(lake, told)
    assert sorted(json.loads(record["body"])["n"] for record in batch["records"]) == list(range(5))


def test_a_batch_that_fails_comes_again_and_ends_in_the_dead_letter_queue(lake):
    dead_url, dead = queue(lake, "failing-dead")
    redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 2})
    url, told, _ = mapped(lake, "failing", attributes={"RedrivePolicy": redrive})
    put(lake, url, {"raise": True})
    seen = bodies(lake, told, 2)
    assert [batch["records"][0]["attributes"]["ApproximateReceiveCount"] for batch in seen] == ["1", "2"]
    [letter] = receive(lake, dead_url)
    assert json.loads(letter["Body"]) == {"raise": True}


def test_messages_that_the_function_names_come_again_and_the_others_do_not(lake):
    url, told, uuid = mapped(
        lake, "partial", settings={"FunctionResponseTypes": ["ReportBatchItemFailures"], "Enabled": False}
    )
    for body in ({"n": 1}, {"n": 2, "fail": 1}, {"n": 3}):
        put(lake, url, body)
    lake.client("lambda").update_event_source_mapping(UUID=uuid, Enabled=True)
    seen = {}

    def all_done():
        for batch in bodies(lake, told, 0):
            for record in batch["records"]:
                seen.setdefault(json.loads(record["body"])["n"], []).append(record["attributes"]["ApproximateReceiveCount"])
        return left(lake, url) == 0 and len(seen) == 3 and len(seen[2]) == 2

    wait_until(all_done, what=f"all messages to be done; seen {seen}")
    assert seen == {1: ["1"], 2: ["1", "2"], 3: ["1"]}


def test_filters_take_what_they_match_and_the_rest_is_deleted(lake):
    filters = {"Filters": [{"Pattern": '{"body": {"kind": ["wanted"], "n": [{"numeric": [">", 1]}]}}'}]}
    url, told, _ = mapped(lake, "filtered", settings={"FilterCriteria": filters})
    for body in ({"kind": "wanted", "n": 1}, {"kind": "other", "n": 5}, {"kind": "wanted", "n": 2}):
        put(lake, url, body)
    lake.client("sqs").send_message(QueueUrl=url, MessageBody="no json")
    [batch] = bodies(lake, told)
    assert [json.loads(record["body"]) for record in batch["records"]] == [{"kind": "wanted", "n": 2}]
    wait_until(lambda: left(lake, url) == 0, what="the others to be deleted")


def test_a_fifo_queue_keeps_the_order_of_its_groups(lake):
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url, told, _ = mapped(
        lake,
        "ordered",
        suffix=".fifo",
        attributes=attributes,
        settings={"BatchSize": 2, "FunctionResponseTypes": ["ReportBatchItemFailures"]},
    )
    for number in range(8):
        put(lake, url, {"n": number, "fail": 1 if number == 4 else 0}, MessageGroupId=f"group{number % 2}")
    seen = {0: [], 1: []}

    def all_seen():
        for batch in bodies(lake, told, 0):
            for record in batch["records"]:
                body = json.loads(record["body"])
                if int(record["attributes"]["ApproximateReceiveCount"]) > body["fail"]:
                    seen[body["n"] % 2].append(body["n"])
        return sum(map(len, seen.values())) >= 8

    wait_until(all_seen, what=f"all messages; seen {seen}")
    assert seen[1] == [1, 3, 5, 7]
    assert seen[0].index(0) < seen[0].index(2)


def test_mappings_are_disabled_changed_and_deleted(lake):
    url, told, uuid = mapped(lake, "switched", settings={"Enabled": False})
    client = lake.client("lambda")
    assert state(lake, uuid) == "Disabled"
    put(lake, url, {"n": 1})
    time.sleep(1)
    assert left(lake, url) == 1
    changed = client.update_event_source_mapping(UUID=uuid, Enabled=True, ScalingConfig={"MaximumConcurrency": 2})
    assert (changed["State"], changed["ScalingConfig"]) == ("Enabling", {"MaximumConcurrency": 2})
    bodies(lake, told)
    enabled(lake, uuid)
    client.update_event_source_mapping(UUID=uuid, Enabled=False)
    wait_until(lambda: state(lake, uuid) == "Disabled", what="the mapping to be disabled")
    put(lake, url, {"n": 2})
    time.sleep(1)
    assert left(lake, url) == 1
    listed = client.list_event_source_mappings(FunctionName="switched")["EventSourceMappings"]
    assert [mapping["UUID"] for mapping in listed] == [uuid]
    client.tag_resource(Resource=f"{ARN}:event-source-mapping:{uuid}", Tags={"a": "b"})
    assert client.list_tags(Resource=f"{ARN}:event-source-mapping:{uuid}")["Tags"] == {"a": "b"}
    assert client.delete_event_source_mapping(UUID=uuid)["State"] == "Deleting"
    wait_until(lambda: not client.list_event_source_mappings(FunctionName="switched")["EventSourceMappings"], what="no mapping")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_event_source_mapping(UUID=uuid)


def test_what_cannot_be_mapped_is_refused_in_the_words_of_aws(lake):
    client = lake.client("lambda")
    create(lake, "refused", "teller.py", Timeout=60, wait=False)
    _, slow = queue(lake, "slow", VisibilityTimeout="60")
    _, fast = queue(lake, "fast", VisibilityTimeout="30")
    _, fifo = queue(lake, "order.fifo", FifoQueue="true", VisibilityTimeout="60")

    def no(words, **settings):
        with pytest.raises(client.exceptions.InvalidParameterValueException, match=words):
            client.create_event_source_mapping(**{"EventSourceArn": slow, "FunctionName": "refused", **settings})

    no("Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds", EventSourceArn=fast)
    no("SQS Error Code: AWS.SimpleQueueService.NonExistentQueue", EventSourceArn=slow + "-none")
    no("Function does not exist", FunctionName="nobody")
    no("Unrecognized event source", EventSourceArn="arn:aws:s3:::bucket")
    no("must be greater than 0 if maximum batch size is greater than 10", BatchSize=11)
    no("must be 10 or less", EventSourceArn=fifo, BatchSize=11, MaximumBatchingWindowInSeconds=1)
    no("Invalid filter pattern definition.", FilterCriteria={"Filters": [{"Pattern": "null"}]})
    no("Unsupported StartingPosition parameter", StartingPosition="LATEST")
    for stream in ("kinesis:us-east-1:000000000000:stream/s", "dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000"):
        words = "Unrecognized event source, must be one of: .*streams and brokers cannot be event sources yet"
        no(words, EventSourceArn=f"arn:aws:{stream}", StartingPosition="LATEST")
    made = client.create_event_source_mapping(EventSourceArn=slow, FunctionName="refused", Enabled=False)
    with pytest.raises(client.exceptions.ResourceConflictException, match=made["UUID"]):
        client.create_event_source_mapping(EventSourceArn=slow, FunctionName="refused")


def test_a_queue_is_polled_again_after_a_kill(new_lake):
    lake = new_lake(CONFIG)
    url, told, uuid = mapped(lake, "kept", settings={"BatchSize": 1})
    enabled(lake, uuid)
    put(lake, url, {"n": 0})
    bodies(lake, told)
    lake.kill9()
    lake.start()
    for number in range(1, 11):
        put(lake, url, {"n": number})
    seen = set()

    def all_seen():
        seen.update(json.loads(record["body"])["n"] for batch in bodies(lake, told, 0) for record in batch["records"])
        return seen - {0} == set(range(1, 11))  # the one before the kill may come again

    wait_until(all_seen, 60, what=f"all messages; seen {seen}")
    wait_until(lambda: left(lake, url) == 0, what="an empty queue")
