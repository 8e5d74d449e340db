"""SQS as its users see it: boto3, the AWS CLI, and the Query protocol that older clients speak."""

import base64
import hashlib
import json
import struct
import threading
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from harness import wait_until

NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"


def create(lake, name, **attributes):
    """Creates a queue; answers its URL."""
    if name.endswith(".fifo"):
        attributes["FifoQueue"] = "true"
    return lake.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def arn(lake, url):
    return attributes(lake, url, "QueueArn")["QueueArn"]


def attributes(lake, url, *names):
    return lake.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=list(names) or ["All"]).get("Attributes", {})


def counts(lake, url):
    """Visible, in flight, delayed."""
    found = attributes(lake, url)
    return tuple(int(found[f"ApproximateNumberOfMessages{which}"]) for which in ("", "NotVisible", "Delayed"))


def receive(lake, url, **more):
    return lake.client("sqs").receive_message(QueueUrl=url, **{"MaxNumberOfMessages": 10, **more}).get("Messages", [])


def drain(lake, url, **more):
    """Receives and deletes until nothing comes; answers the messages."""
    sqs, all = lake.client("sqs"), []
    while messages := receive(lake, url, **more):
        all += messages
        entries = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)]
        assert not sqs.delete_message_batch(QueueUrl=url, Entries=entries).get("Failed")
    return all


def code_of(call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def query(lake, action, path="/", **parameters):
    """A request in the Query protocol, signed by hand; answers its status and the parsed body."""
    keys = lake.credentials
    body = urllib.parse.urlencode({"Action": action, "Version": "2012-11-05", **parameters}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    request = AWSRequest("POST", lake.endpoint + path, data=body, headers=headers)
    SigV4Auth(Credentials(keys["access_key_id"], keys["secret_access_key"]), "sqs", "us-east-1").add_auth(request)
    sent = urllib.request.Request(request.url, body, dict(request.headers.items()), method="POST")
    try:
        with urllib.request.urlopen(sent, timeout=60) as answer:
            return answer.status, ElementTree.fromstring(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, ElementTree.fromstring(error.read())


def text(element, path):
    return element.findtext("/".join(NAMESPACE + part for part in path.split("/")))


# The life of a queue and its messages


def test_the_aws_cli_creates_fills_reads_and_deletes_a_queue(module_lake):
    lake = module_lake
    cli = lambda *args, **more: lake.aws("--endpoint-url", lake.endpoint, "sqs", *args, **more)  # noqa: E731
    aws = lambda *args: json.loads(cli(*args) or "{}")  # noqa: E731
    url = aws("create-queue", "--queue-name", "cli", "--attributes", "VisibilityTimeout=40,DelaySeconds=0")["QueueUrl"]
    assert url == f"{lake.endpoint}/000000000000/cli"
    assert aws("get-queue-url", "--queue-name", "cli")["QueueUrl"] == url
    assert url in aws("list-queues", "--queue-name-prefix", "cl")["QueueUrls"]
    sent = aws("send-message", "--queue-url", url, "--message-body", "hello", "--message-attributes",
               '{"kind": {"DataType": "String", "StringValue": "greeting"}}')
    assert sent["MD5OfMessageBody"] == hashlib.md5(b"hello").hexdigest()
    received = aws("receive-message", "--queue-url", url, "--attribute-names", "All", "--message-attribute-names", "All")
    message = received["Messages"][0]
    assert (message["Body"], message["MessageId"]) == ("hello", sent["MessageId"])
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert message["Attributes"]["SenderId"] == "000000000000"
    assert message["MessageAttributes"]["kind"]["StringValue"] == "greeting"
    cli("delete-message", "--queue-url", url, "--receipt-handle", message["ReceiptHandle"])
    found = aws("get-queue-attributes", "--queue-url", url, "--attribute-names", "All")["Attributes"]
    assert (found["VisibilityTimeout"], found["ApproximateNumberOfMessages"]) == ("40", "0")
    cli("tag-queue", "--queue-url", url, "--tags", "team=data")
    assert aws("list-queue-tags", "--queue-url", url)["Tags"] == {"team": "data"}
    cli("purge-queue", "--queue-url", url)
    cli("delete-queue", "--queue-url", url)
    failed = cli("get-queue-url", "--queue-name", "cli", check=False)
    assert failed.returncode != 0 and "AWS.SimpleQueueService.NonExistentQueue" in failed.stderr


def test_a_new_queue_says_what_aws_says(module_lake):
    found = attributes(module_lake, create(module_lake, "defaults"))
    numbers = {"CreatedTimestamp", "LastModifiedTimestamp"}
    assert all(found.pop(name).isdigit() for name in numbers)
    assert found == {
        "QueueArn": "arn:aws:sqs:us-east-1:000000000000:defaults",
        "ApproximateNumberOfMessages": "0",
        "ApproximateNumberOfMessagesNotVisible": "0",
        "ApproximateNumberOfMessagesDelayed": "0",
        "DelaySeconds": "0",
        "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600",
        "ReceiveMessageWaitTimeSeconds": "0",
        "VisibilityTimeout": "30",
        "SqsManagedSseEnabled": "true",
    }
    fifo = attributes(module_lake, create(module_lake, "defaults.fifo"))
    expected = {"FifoQueue": "true", "ContentBasedDeduplication": "false", "DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue"}
    assert {name: fifo[name] for name in expected} == expected


def test_errors_have_the_codes_and_classes_that_clients_catch(module_lake):
    lake, sqs = module_lake, module_lake.client("sqs")
    url = create(lake, "errors", VisibilityTimeout="5")
    gone = f"{lake.endpoint}/000000000000/gone"
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.send_message(QueueUrl=gone, MessageBody="x")
    assert code_of(sqs.get_queue_url, QueueName="gone")[0] == "AWS.SimpleQueueService.NonExistentQueue"
    with pytest.raises(sqs.exceptions.QueueNameExists):
        sqs.create_queue(QueueName="errors", Attributes={"VisibilityTimeout": "6"})
    with pytest.raises(sqs.exceptions.ReceiptHandleIsInvalid):
        sqs.delete_message(QueueUrl=url, ReceiptHandle="garbage")
    with pytest.raises(sqs.exceptions.InvalidAttributeName):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Nonsense": "1"})
    with pytest.raises(sqs.exceptions.InvalidAttributeValue):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "-1"})
    with pytest.raises(sqs.exceptions.EmptyBatchRequest):
        sqs.send_message_batch(QueueUrl=url, Entries=[])
    with pytest.raises(sqs.exceptions.InvalidMessageContents):
        sqs.send_message(QueueUrl=url, MessageBody="\x01")
    sqs.purge_queue(QueueUrl=url)
    with pytest.raises(sqs.exceptions.PurgeQueueInProgress):
        sqs.purge_queue(QueueUrl=url)
    for call, arguments, code, message in [
        (sqs.receive_message, {"MaxNumberOfMessages": 11}, "InvalidParameterValue", "Must be between 1 and 10"),
        (sqs.receive_message, {"WaitTimeSeconds": 21}, "InvalidParameterValue", ">= 0 and <= 20"),
        (sqs.send_message, {"MessageBody": ""}, "MissingParameter", "MessageBody"),
        (sqs.send_message, {"MessageBody": "x" * 1_048_577}, "InvalidParameterValue", "shorter than 1048576 bytes"),
        (sqs.get_queue_attributes, {"AttributeNames": ["Nonsense"]}, "InvalidAttributeName", "Unknown Attribute Nonsense."),
    ]:
        found = code_of(call, QueueUrl=url, **arguments)
        assert found[0] == code and message in found[1], found


def test_a_queues_url_is_built_from_how_the_caller_came(module_lake):
    lake = module_lake
    port = lake.endpoint.rsplit(":", 1)[1]
    here = lake.session().client("sqs", endpoint_url=f"http://localhost:{port}")
    url = here.create_queue(QueueName="hosts")["QueueUrl"]
    assert url == f"http://localhost:{port}/000000000000/hosts"
    # And any form of it is taken, whatever host it names.
    for form in (url, f"{lake.endpoint}/000000000000/hosts", "hosts"):
        lake.client("sqs").send_message(QueueUrl=form, MessageBody=form)
    assert sorted(message["Body"] for message in receive(lake, url)) == sorted([url, f"{lake.endpoint}/000000000000/hosts", "hosts"])


def test_message_attributes_come_back_with_their_digest(module_lake):
    lake, sqs = module_lake, module_lake.client("sqs")
    url = create(lake, "attributes")
    given = {
        "text": {"DataType": "String", "StringValue": "héllo"},
        "number": {"DataType": "Number.int", "StringValue": "42"},
        "bytes": {"DataType": "Binary.gzip", "BinaryValue": b"\x00\x01\xff"},
    }

    def digest(attributes):
        md5 = hashlib.md5()
        for name in sorted(attributes):
            value = attributes[name]
            binary = value["DataType"].startswith("Binary")
            data = value["BinaryValue"] if binary else value["StringValue"].encode()
            for part in (name.encode(), value["DataType"].encode()):
                md5.update(struct.pack(">I", len(part)) + part)
            md5.update((b"\x02" if binary else b"\x01") + struct.pack(">I", len(data)) + data)
        return md5.hexdigest()

    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
    sent = sqs.send_message(QueueUrl=url, MessageBody="x", MessageAttributes=given, MessageSystemAttributes=trace)
    assert sent["MD5OfMessageAttributes"] == digest(given)
    assert sent["MD5OfMessageSystemAttributes"] == digest(trace)
    message = receive(lake, url, VisibilityTimeout=0, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"])[0]
    assert message["MessageAttributes"] == given and message["MD5OfMessageAttributes"] == digest(given)
    assert message["Attributes"]["AWSTraceHeader"] == trace["AWSTraceHeader"]["StringValue"]
    some = receive(lake, url, VisibilityTimeout=0, MessageAttributeNames=["text", "none"], AttributeNames=["SentTimestamp"])[0]
    assert some["MessageAttributes"] == {"text": given["text"]}
    assert some["MD5OfMessageAttributes"] == digest({"text": given["text"]})
    assert list(some["Attributes"]) == ["SentTimestamp"]
    bare = receive(lake, url, VisibilityTimeout=0)[0]
    assert not {"Attributes", "MessageAttributes", "MD5OfMessageAttributes"} & set(bare)


def test_batches_fail_entry_by_entry(module_lake):
    lake, sqs = module_lake, module_lake.client("sqs")
    url = create(lake, "batches")
    entries = [{"Id": str(n), "MessageBody": f"m{n}"} for n in range(9)] + [{"Id": "bad", "MessageBody": "\x00"}]
    sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in sent["Successful"]] == [str(n) for n in range(9)]
    assert [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in sent["Failed"]] == [("bad", "InvalidMessageContents", True)]
    messages = receive(lake, url)
    assert [message["Body"] for message in messages] == [f"m{n}" for n in range(9)]
    changed = sqs.change_message_visibility_batch(
        QueueUrl=url,
        Entries=[{"Id": "0", "ReceiptHandle": messages[0]["ReceiptHandle"], "VisibilityTimeout": 0}, {"Id": "1", "ReceiptHandle": "x", "VisibilityTimeout": 0}],
    )
    assert [entry["Id"] for entry in changed["Successful"]] == ["0"] and changed["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"
    assert counts(lake, url) == (1, 8, 0)
    assert code_of(sqs.send_message_batch, QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "x"}] * 2)[0].endswith("BatchEntryIdsNotDistinct")
    long = [{"Id": str(n), "MessageBody": "x" * 600_000} for n in range(2)]
    assert code_of(sqs.send_message_batch, QueueUrl=url, Entries=long)[0] == "AWS.SimpleQueueService.BatchRequestTooLong"


def test_messages_of_a_mebibyte_come_back_whole(module_lake):
    lake, url = module_lake, create(module_lake, "large")
    body = ("é<&>\n" * 200_000)[:524_288]
    assert len(body.encode()) <= 1_048_576
    lake.client("sqs").send_message(QueueUrl=url, MessageBody=body)
    message = receive(lake, url)[0]
    assert message["Body"] == body and message["MD5OfBody"] == hashlib.md5(body.encode()).hexdigest()


def test_an_entry_that_cannot_be_read_fails_alone(module_lake):
    lake, sqs = module_lake, module_lake.client("sqs")
    url = create(lake, "unreadable")
    text_value = {"DataType": "String", "StringValue": "x"}
    entries = [
        {"Id": "good", "MessageBody": "good"},
        {"Id": "system", "MessageBody": "b", "MessageSystemAttributes": {"Nonsense": text_value}},
        {"Id": "trace", "MessageBody": "c", "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "Number", "StringValue": "1"}}},
        {"Id": "list", "MessageBody": "d", "MessageAttributes": {"a": {**text_value, "StringListValues": ["x"]}}},
    ]
    sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in sent["Successful"]] == ["good"]
    failed = {entry["Id"]: (entry["Code"], entry["SenderFault"]) for entry in sent["Failed"]}
    assert failed == {"system": ("InvalidParameterValue", True), "trace": ("InvalidParameterValue", True), "list": ("UnsupportedOperation", True)}
    # What is wrong with the whole comes first, and for one message it is the answer.
    assert code_of(sqs.send_message_batch, QueueUrl=url, Entries=entries + entries[1:2])[0].endswith("BatchEntryIdsNotDistinct")
    assert code_of(sqs.send_message, QueueUrl=url, MessageBody="d", MessageAttributes=entries[3]["MessageAttributes"])[0].endswith("UnsupportedOperation")
    message, = receive(lake, url)
    changed = sqs.change_message_visibility_batch(
        QueueUrl=url,
        Entries=[{"Id": "none", "ReceiptHandle": message["ReceiptHandle"]}, {"Id": "zero", "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}],
    )
    assert [entry["Id"] for entry in changed["Successful"]] == ["zero"]
    assert [(entry["Id"], entry["Code"]) for entry in changed["Failed"]] == [("none", "MissingParameter")]


def test_the_receipt_of_a_message_that_is_visible_again_does_not_hide_it(module_lake):
    lake, sqs = module_lake, module_lake.client("sqs")
    url = create(lake, "visible-again")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    receipt = receive(lake, url)[0]["ReceiptHandle"]
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0)
    with pytest.raises(sqs.exceptions.MessageNotInflight) as error:
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=60)
    assert error.value.response["Error"]["Code"] == "AWS.SimpleQueueService.MessageNotInflight"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    status, answer = query(lake, "ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout="60")
    assert (status, text(answer, "Error/Code")) == (400, "AWS.SimpleQueueService.MessageNotInflight")
    entry = {"Id": "a", "ReceiptHandle": receipt, "VisibilityTimeout": 60}
    failed = sqs.change_message_visibility_batch(QueueUrl=url, Entries=[entry])["Failed"]
    assert [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in failed] == [("a", "MessageNotInflight", True)]
    assert counts(lake, url) == (1, 0, 0)
    assert [message["Body"] for message in receive(lake, url)] == ["x"]


def test_how_a_queue_is_encrypted_is_kept_and_shown(module_lake):
    lake, sqs = module_lake, module_lake.client("sqs")
    given = {"KmsMasterKeyId": "alias/aws/sqs", "KmsDataKeyReusePeriodSeconds": "600"}
    url = create(lake, "encrypted", **given)
    names = ("KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled")
    assert attributes(lake, url, *names) == {**given, "SqsManagedSseEnabled": "false"}
    assert create(lake, "encrypted", **given) == url
    with pytest.raises(sqs.exceptions.QueueNameExists):
        create(lake, "encrypted", **{**given, "KmsMasterKeyId": "alias/mine"})
    with pytest.raises(sqs.exceptions.InvalidAttributeName):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": "k", "SqsManagedSseEnabled": "true"})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"SqsManagedSseEnabled": "true"})
    assert attributes(lake, url, *names) == {"SqsManagedSseEnabled": "true"}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": "k"})
    assert attributes(lake, url, *names) == {"KmsMasterKeyId": "k", "KmsDataKeyReusePeriodSeconds": "300", "SqsManagedSseEnabled": "false"}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": ""})
    assert attributes(lake, url, *names) == {"SqsManagedSseEnabled": "false"}


# Waiting


def test_a_waiting_receive_gets_what_is_sent_meanwhile(module_lake):
    lake, url = module_lake, create(module_lake, "waiting", ReceiveMessageWaitTimeSeconds="20")
    got, ready = [], threading.Barrier(5)

    def wait():
        client = lake.client("sqs", retries={"max_attempts": 0})
        ready.wait()
        messages = client.receive_message(QueueUrl=url, MaxNumberOfMessages=1).get("Messages", [])
        got.extend(message["Body"] for message in messages)

    waiting = [threading.Thread(target=wait) for _ in range(4)]
    for thread in waiting:
        thread.start()
    ready.wait()
    for n in range(4):
        lake.client("sqs").send_message(QueueUrl=url, MessageBody=str(n))
    for thread in waiting:
        thread.join()
    assert sorted(got) == ["0", "1", "2", "3"]


def test_a_waiting_receive_gets_a_message_whose_timeout_ends(module_lake):
    lake, url = module_lake, create(module_lake, "returning")
    lake.client("sqs").send_message(QueueUrl=url, MessageBody="again")
    first = receive(lake, url, VisibilityTimeout=1)
    again = receive(lake, url, WaitTimeSeconds=20, AttributeNames=["ApproximateReceiveCount"])
    assert [message["Body"] for message in again] == ["again"]
    assert again[0]["Attributes"]["ApproximateReceiveCount"] == "2" and again[0]["ReceiptHandle"] != first[0]["ReceiptHandle"]


def test_a_lake_that_stops_answers_those_who_wait(lake):
    url = create(lake, "stopping")
    client, answers, asked = lake.client("sqs", retries={"max_attempts": 0}), [], threading.Event()
    client.meta.events.register("before-send", lambda **_: asked.set())

    def wait():
        try:
            answers.append(client.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", []))
        except Exception as error:  # noqa: BLE001
            answers.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    asked.wait()
    # It is there when the server counts it: a second request on the same lake is answered after the first was taken.
    counts(lake, url)
    lake.stop()
    thread.join()
    assert answers == [[]]


# FIFO queues


def test_groups_keep_their_order_whoever_consumes(module_lake):
    lake, url = module_lake, create(module_lake, "order.fifo", ContentBasedDeduplication="true")
    sqs = lake.client("sqs")
    for n in range(0, 60, 10):
        for group in "abc":
            entries = [{"Id": str(k), "MessageBody": f"{group}{k:03}", "MessageGroupId": group} for k in range(n, n + 10)]
            sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]
            numbers = [entry["SequenceNumber"] for entry in sent]
            assert numbers == sorted(numbers) and len(set(numbers)) == 10
    seen, lock, failures = {"a": [], "b": [], "c": []}, threading.Lock(), []

    def consume():
        try:
            while messages := receive(lake, url, MaxNumberOfMessages=4, WaitTimeSeconds=1):
                with lock:
                    for message in messages:
                        seen[message["Body"][0]].append(message["Body"])
                for message in messages:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    consumers = [threading.Thread(target=consume) for _ in range(4)]
    for thread in consumers:
        thread.start()
    for thread in consumers:
        thread.join()
    assert failures == []
    assert seen == {group: [f"{group}{n:03}" for n in range(60)] for group in "abc"}
    assert counts(lake, url) == (0, 0, 0)


def test_duplicates_are_answered_like_the_first(module_lake):
    lake, url = module_lake, create(module_lake, "twice.fifo")
    send = lambda body: lake.client("sqs").send_message(  # noqa: E731
        QueueUrl=url, MessageBody=body, MessageGroupId="g", MessageDeduplicationId="one"
    )
    first, second = send("x"), send("y")
    assert (first["MessageId"], first["SequenceNumber"]) == (second["MessageId"], second["SequenceNumber"])
    assert [message["Body"] for message in drain(lake, url)] == ["x"]
    send("z")
    assert receive(lake, url) == []


# Dead letters


def test_dead_letters_are_moved_and_come_back(module_lake):
    lake, sqs = module_lake, module_lake.client("sqs")
    dead = create(lake, "dead")
    url = create(lake, "alive", RedrivePolicy=json.dumps({"deadLetterTargetArn": arn(lake, dead), "maxReceiveCount": 1}))
    for n in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=str(n), MessageAttributes={"n": {"DataType": "Number", "StringValue": str(n)}})
    assert len(receive(lake, url, VisibilityTimeout=0)) == 3
    assert receive(lake, url) == []
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    buried = receive(lake, dead, VisibilityTimeout=0, AttributeNames=["All"], MessageAttributeNames=["All"])
    assert {message["Attributes"]["DeadLetterQueueSourceArn"] for message in buried} == {arn(lake, url)}
    assert sorted(message["MessageAttributes"]["n"]["StringValue"] for message in buried) == ["0", "1", "2"]
    sqs.start_message_move_task(SourceArn=arn(lake, dead))

    def ended():
        task = sqs.list_message_move_tasks(SourceArn=arn(lake, dead))["Results"][0]
        return task if task["Status"] not in ("RUNNING", "CANCELLING") else None

    task = wait_until(ended, what="the end of the move")
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"], "TaskHandle" in task) == ("COMPLETED", 3, False)
    assert sorted(message["Body"] for message in drain(lake, url)) == ["0", "1", "2"]
    assert counts(lake, dead) == (0, 0, 0)


def test_a_move_goes_on_after_the_lake_was_killed(lake):
    sqs = lake.client("sqs")
    dead = create(lake, "dead")
    url = create(lake, "alive", RedrivePolicy=json.dumps({"deadLetterTargetArn": arn(lake, dead), "maxReceiveCount": 1}))
    elsewhere = create(lake, "elsewhere")
    bodies = {f"{batch}-{n}" for batch in range(4) for n in range(10)}
    for batch in range(4):
        sqs.send_message_batch(QueueUrl=dead, Entries=[{"Id": str(n), "MessageBody": f"{batch}-{n}"} for n in range(10)])
    assert counts(lake, url) == (0, 0, 0)
    source = arn(lake, dead)
    sqs.start_message_move_task(SourceArn=source, DestinationArn=arn(lake, elsewhere), MaxNumberOfMessagesPerSecond=40)
    moved = lambda: lake.client("sqs").list_message_move_tasks(SourceArn=source)["Results"][0]  # noqa: E731
    wait_until(lambda: moved()["ApproximateNumberOfMessagesMoved"] > 0, what="the first moved messages")
    lake.kill9()
    lake.start()
    wait_until(lambda: moved()["Status"] == "COMPLETED", what="the end of the move")
    assert moved()["ApproximateNumberOfMessagesMoved"] == 40
    found = [message["Body"] for message in drain(lake, elsewhere)]
    assert sorted(found) == sorted(bodies)


# Crashes


def test_what_was_acknowledged_survives_kill_9(lake):
    url = create(lake, "kept", VisibilityTimeout="1")
    acknowledged, tried, deleted, lock, stop = set(), set(), set(), threading.Lock(), threading.Event()

    def send(name):
        client = lake.client("sqs", retries={"max_attempts": 0})
        n = 0
        while not stop.is_set():
            entries = [{"Id": str(k), "MessageBody": f"{name}-{n + k}"} for k in range(3)]
            try:
                client.send_message_batch(QueueUrl=url, Entries=entries)
            except Exception:  # noqa: BLE001 (the lake was killed: what was not answered may be there or not)
                return
            with lock:
                acknowledged.update(entry["MessageBody"] for entry in entries)
            n += 3

    def consume():
        client = lake.client("sqs", retries={"max_attempts": 0})
        while not stop.is_set():
            try:
                messages = client.receive_message(QueueUrl=url, MaxNumberOfMessages=2).get("Messages", [])
                for message in messages:
                    with lock:
                        tried.add(message["Body"])
                    client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                    with lock:
                        deleted.add(message["Body"])
            except Exception:  # noqa: BLE001
                return

    for round in range(3):
        stop.clear()
        before = len(acknowledged)
        threads = [threading.Thread(target=send, args=(f"{round}{k}",)) for k in range(4)] + [threading.Thread(target=consume)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(acknowledged) > before + 60, what="messages")
        lake.kill9()
        stop.set()
        for thread in threads:
            thread.join()
        lake.start()
    assert deleted
    wait_until(lambda: counts(lake, url)[1] == 0, what="the end of all time-outs")
    left = [message["Body"] for message in drain(lake, url, VisibilityTimeout=60)]
    assert len(left) == len(set(left)), "each message is there once"
    assert acknowledged - tried <= set(left), "none that was acknowledged is lost"
    assert len(tried - deleted) <= 3, "one deletion a kill may have been under way"
    assert not deleted & set(left), "none that was deleted comes back"
    assert counts(lake, url) == (0, 0, 0)


# The Query protocol


def test_the_query_protocol_does_the_same(module_lake):
    lake = module_lake
    status, answer = query(
        lake, "CreateQueue", QueueName="queried", **{"Attribute.1.Name": "VisibilityTimeout", "Attribute.1.Value": "40", "Tag.1.Key": "a", "Tag.1.Value": "b"}
    )
    assert status == 200 and answer.tag == f"{NAMESPACE}CreateQueueResponse"
    url = text(answer, "CreateQueueResult/QueueUrl")
    path = urllib.parse.urlparse(url).path
    status, answer = query(
        lake, "SendMessage", path, QueueUrl=url, MessageBody="a & <b>",
        **{
            "MessageAttribute.1.Name": "n", "MessageAttribute.1.Value.DataType": "Number", "MessageAttribute.1.Value.StringValue": "1",
            "MessageAttribute.2.Name": "b", "MessageAttribute.2.Value.DataType": "Binary",
            "MessageAttribute.2.Value.BinaryValue": base64.b64encode(b"\x00\xff").decode(),
        },
    )
    assert status == 200 and text(answer, "SendMessageResult/MD5OfMessageBody") == hashlib.md5(b"a & <b>").hexdigest()
    status, answer = query(lake, "ReceiveMessage", path, QueueUrl=url, MaxNumberOfMessages="10", **{"AttributeName.1": "All", "MessageAttributeName.1": "All"})
    assert text(answer, "ReceiveMessageResult/Message/Body") == "a & <b>"
    message = answer.find(f"{NAMESPACE}ReceiveMessageResult/{NAMESPACE}Message")
    system = {text(entry, "Name"): text(entry, "Value") for entry in message.findall(f"{NAMESPACE}Attribute")}
    assert system["ApproximateReceiveCount"] == "1"
    own = {text(entry, "Name"): entry.find(f"{NAMESPACE}Value") for entry in message.findall(f"{NAMESPACE}MessageAttribute")}
    assert text(own["n"], "StringValue") == "1" and base64.b64decode(text(own["b"], "BinaryValue")) == b"\x00\xff"
    receipt = text(message, "ReceiptHandle")
    batch = {"DeleteMessageBatchRequestEntry.1.Id": "a", "DeleteMessageBatchRequestEntry.1.ReceiptHandle": receipt,
             "DeleteMessageBatchRequestEntry.2.Id": "b", "DeleteMessageBatchRequestEntry.2.ReceiptHandle": "garbage"}
    status, answer = query(lake, "DeleteMessageBatch", QueueUrl=url, **batch)
    assert text(answer, "DeleteMessageBatchResult/DeleteMessageBatchResultEntry/Id") == "a"
    assert text(answer, "DeleteMessageBatchResult/BatchResultErrorEntry/Code") == "ReceiptHandleIsInvalid"
    status, answer = query(lake, "GetQueueAttributes", QueueUrl=url, **{"AttributeName.1": "VisibilityTimeout"})
    assert text(answer, "GetQueueAttributesResult/Attribute/Value") == "40"
    assert lake.client("sqs").list_queue_tags(QueueUrl=url)["Tags"] == {"a": "b"}
    status, answer = query(lake, "SendMessage", QueueUrl=url.replace("queried", "gone"), MessageBody="x")
    assert (status, text(answer, "Error/Code"), text(answer, "Error/Type")) == (400, "AWS.SimpleQueueService.NonExistentQueue", "Sender")


# Who sends


def test_a_rule_sends_to_a_queue_that_lets_it(lake):
    sqs, events = lake.client("sqs"), lake.client("events")
    url = create(lake, "events")
    rule = events.put_rule(Name="orders", EventPattern=json.dumps({"source": ["shop"]}))["RuleArn"]
    events.put_targets(Rule="orders", Targets=[{"Id": "q", "Arn": arn(lake, url)}])
    put = lambda: events.put_events(Entries=[{"Source": "shop", "DetailType": "order", "Detail": json.dumps({"n": 1})}])  # noqa: E731
    put()
    letters = wait_until(lake.dead_letters, what="the dead letter of a delivery that is not allowed")
    assert "sqs:SendMessage" in json.dumps(letters) and "events.amazonaws.com" in json.dumps(letters)
    policy = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": arn(lake, url), "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    put()
    body = json.loads(receive(lake, url, WaitTimeSeconds=20)[0]["Body"])
    assert (body["source"], body["detail"]) == ("shop", {"n": 1})
