"""Notifications of buckets, as queues, topics and functions get them, with boto3 and the AWS CLI."""

import json
import threading
import urllib.parse
from datetime import datetime

import lambdas
import pytest
from botocore.exceptions import ClientError

from harness import wait_until
from lakes import ACCOUNT, REGION, arn, settle

CREATED = "s3:ObjectCreated:*"


def code(error):
    return error.value.response["Error"]["Code"]


def message(error):
    return error.value.response["Error"]["Message"]


def statement(service, action, resource, source):
    return {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": action,
        "Resource": resource,
        "Condition": {"ArnLike": {"aws:SourceArn": source}, "StringEquals": {"aws:SourceAccount": ACCOUNT}},
    }


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


class Queue:
    """A queue, and what came to it."""

    def __init__(self, lake, name, service="s3", source=None, **attributes):
        self.sqs, self.arn = lake.client("sqs"), arn("sqs", name)
        if source:
            attributes["Policy"] = policy(statement(service, "sqs:SendMessage", self.arn, source))
        self.url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def receive(self):
        """The bodies of what is there now, taken out."""
        bodies = []
        while True:
            got = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", [])
            if not got:
                return bodies
            bodies += [entry["Body"] for entry in got]
            entries = [{"Id": str(n), "ReceiptHandle": entry["ReceiptHandle"]} for n, entry in enumerate(got)]
            assert not self.sqs.delete_message_batch(QueueUrl=self.url, Entries=entries).get("Failed")

    def wait(self, count, timeout_s=30):
        bodies = []

        def enough():
            bodies.extend(self.receive())
            return len(bodies) >= count

        wait_until(enough, timeout_s, 0.05, f"{count} messages")
        return bodies

    def records(self, count, timeout_s=30):
        return [record for body in self.wait(count, timeout_s) for record in json.loads(body)["Records"]]


def bucket_with_queue(lake, name, events=(CREATED,), **filters):
    """A bucket that tells a queue; its test message is taken out."""
    lake.bucket(name)
    queue = Queue(lake, name, source=f"arn:aws:s3:::{name}")
    rules = [{"Name": kind, "Value": value} for kind, value in filters.items()]
    of = {"Id": "files", "QueueArn": queue.arn, "Events": list(events), "Filter": {"Key": {"FilterRules": rules}}}
    lake.client("s3").put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={"QueueConfigurations": [of]})
    test = [json.loads(body) for body in queue.wait(1)]
    assert [(one["Service"], one["Event"], one["Bucket"]) for one in test] == [("Amazon S3", "s3:TestEvent", name)]
    assert set(test[0]) == {"Service", "Event", "Time", "Bucket", "RequestId", "HostId"}
    return queue


def test_a_queue_gets_the_message_that_s3_sends(module_lake):
    lake, s3 = module_lake, module_lake.client("s3")
    queue = bucket_with_queue(lake, "told", prefix="in/", suffix=".csv")
    put = lake.put("told", "in/year=2024/my file+1 ä.csv", "a,b\n1,2\n")
    lake.put("told", "in/other.json", "{}")
    lake.put("told", "out/a.csv", "x")
    settle(lake)
    (record,) = queue.records(1)
    assert record["eventVersion"] == "2.1" and record["eventSource"] == "aws:s3" and record["awsRegion"] == REGION
    assert record["eventName"] == "ObjectCreated:Put"
    datetime.strptime(record["eventTime"], "%Y-%m-%dT%H:%M:%S.%fZ")
    assert record["userIdentity"]["principalId"] and record["requestParameters"] == {"sourceIPAddress": "127.0.0.1"}
    assert record["responseElements"]["x-amz-request-id"] == put["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"]
    assert record["s3"]["s3SchemaVersion"] == "1.0" and record["s3"]["configurationId"] == "files"
    assert record["s3"]["bucket"]["name"] == "told" and record["s3"]["bucket"]["arn"] == "arn:aws:s3:::told"
    found = record["s3"]["object"]
    assert found["key"] == "in/year%3D2024/my+file%2B1+%C3%A4.csv"
    assert urllib.parse.unquote_plus(found["key"]) == "in/year=2024/my file+1 ä.csv"
    assert (found["size"], found["eTag"]) == (8, put["ETag"].strip('"'))
    assert int(found["sequencer"], 16) > 0 and "versionId" not in found
    shown = s3.get_bucket_notification_configuration(Bucket="told")["QueueConfigurations"]
    assert [(of["Id"], of["QueueArn"], of["Events"]) for of in shown] == [("files", queue.arn, [CREATED])]


def test_every_kind_of_change_has_its_name(module_lake):
    lake, s3 = module_lake, module_lake.client("s3")
    queue = bucket_with_queue(lake, "kinds", [CREATED, "s3:ObjectRemoved:*", "s3:ObjectTagging:*"])
    lake.put("kinds", "a", "1")
    s3.copy_object(Bucket="kinds", Key="b", CopySource="kinds/a")
    upload = s3.create_multipart_upload(Bucket="kinds", Key="c")["UploadId"]
    part = s3.upload_part(Bucket="kinds", Key="c", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    s3.complete_multipart_upload(Bucket="kinds", Key="c", UploadId=upload, MultipartUpload=parts)
    s3.put_object_tagging(Bucket="kinds", Key="a", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    s3.delete_object_tagging(Bucket="kinds", Key="a")
    s3.delete_object(Bucket="kinds", Key="a")
    s3.delete_object(Bucket="kinds", Key="never there")
    s3.delete_objects(Bucket="kinds", Delete={"Objects": [{"Key": "b"}, {"Key": "c"}]})
    settle(lake)
    records = queue.records(8)
    names = sorted((record["eventName"], record["s3"]["object"]["key"]) for record in records)
    assert names == [
        ("ObjectCreated:CompleteMultipartUpload", "c"),
        ("ObjectCreated:Copy", "b"),
        ("ObjectCreated:Put", "a"),
        ("ObjectRemoved:Delete", "a"),
        ("ObjectRemoved:Delete", "b"),
        ("ObjectRemoved:Delete", "c"),
        ("ObjectTagging:Delete", "a"),
        ("ObjectTagging:Put", "a"),
    ]
    removed = [record["s3"]["object"] for record in records if record["eventName"] == "ObjectRemoved:Delete"]
    assert all(set(found) == {"key", "sequencer"} for found in removed)
    of_a = {record["eventName"]: record["s3"]["object"] for record in records if record["s3"]["object"]["key"] == "a"}
    assert of_a["ObjectCreated:Put"]["sequencer"] < of_a["ObjectRemoved:Delete"]["sequencer"]


def test_a_topic_gets_it_with_a_subject_and_passes_it_on(module_lake):
    lake, s3, sns = module_lake, module_lake.client("s3"), module_lake.client("sns")
    lake.bucket("topical")
    topic = sns.create_topic(Name="topical")["TopicArn"]
    allow = policy(statement("s3", "sns:Publish", topic, "arn:aws:s3:::topical"))
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=allow)
    queue = Queue(lake, "topical", "sns", topic)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    of = {"TopicArn": topic, "Events": [CREATED]}
    s3.put_bucket_notification_configuration(Bucket="topical", NotificationConfiguration={"TopicConfigurations": [of]})
    lake.put("topical", "a", "1")
    settle(lake)
    envelopes = [json.loads(body) for body in queue.wait(2)]
    assert {envelope["Subject"] for envelope in envelopes} == {"Amazon S3 Notification"}
    inner = [json.loads(envelope["Message"]) for envelope in envelopes]
    assert [one["Event"] for one in inner if "Event" in one] == ["s3:TestEvent"]
    assert [one["Records"][0]["s3"]["object"]["key"] for one in inner if "Records" in one] == ["a"]


def test_destinations_that_would_not_take_it_are_refused_when_they_are_set(module_lake):
    lake, s3 = module_lake, module_lake.client("s3")
    lake.bucket("strict")
    closed = Queue(lake, "closed")
    elsewhere = Queue(lake, "elsewhere", source="arn:aws:s3:::other")
    lake.client("sns").create_topic(Name="closed")
    for kind, target, hint in [
        ("QueueConfigurations", {"QueueArn": closed.arn}, "sqs:SendMessage"),
        ("QueueConfigurations", {"QueueArn": elsewhere.arn}, "sqs:SendMessage"),
        ("QueueConfigurations", {"QueueArn": arn("sqs", "missing")}, "missing"),
        ("TopicConfigurations", {"TopicArn": arn("sns", "missing")}, "missing"),
        ("LambdaFunctionConfigurations", {"LambdaFunctionArn": arn("lambda", "function:missing")}, "missing"),
    ]:
        configuration = {kind: [{**target, "Events": [CREATED]}]}
        with pytest.raises(ClientError) as error:
            s3.put_bucket_notification_configuration(Bucket="strict", NotificationConfiguration=configuration)
        assert code(error) == "InvalidArgument"
        assert message(error).startswith("Unable to validate the following destination configurations"), message(error)
        assert hint.lower() in message(error).lower(), message(error)
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket="strict")
    unchecked = {"QueueConfigurations": [{"QueueArn": closed.arn, "Events": [CREATED]}]}
    s3.put_bucket_notification_configuration(Bucket="strict", NotificationConfiguration=unchecked, SkipDestinationValidation=True)
    lake.put("strict", "a", "1")
    settle(lake)
    assert closed.receive() == []
    (dead,) = [task for task in lake.dead_letters() if closed.arn in json.dumps(task["payload"])]
    assert "sqs:SendMessage" in dead["reason"], dead["reason"]


def test_overlapping_notifications_and_fifo_queues_are_refused(module_lake):
    lake, s3 = module_lake, module_lake.client("s3")
    lake.bucket("sound")
    queue = Queue(lake, "sound", source="arn:aws:s3:::sound")

    def of(events, prefix):
        rules = [{"Name": "prefix", "Value": prefix}]
        return {"QueueArn": queue.arn, "Events": events, "Filter": {"Key": {"FilterRules": rules}}}

    for configurations in (
        [of([CREATED], "a"), of(["s3:ObjectCreated:Put"], "a/b")],
        [{"QueueArn": arn("sqs", "q.fifo"), "Events": [CREATED]}],
        [{"QueueArn": queue.arn, "Events": ["s3:ObjectCreated:Never"]}],
    ):
        with pytest.raises(ClientError) as error:
            s3.put_bucket_notification_configuration(
                Bucket="sound", NotificationConfiguration={"QueueConfigurations": configurations}
            )
        assert code(error) == "InvalidArgument"
    both = {"QueueConfigurations": [of([CREATED], "a"), of([CREATED], "b")]}
    s3.put_bucket_notification_configuration(Bucket="sound", NotificationConfiguration=both)
    assert len(queue.wait(1)) == 1, "one test message a destination"


def test_the_aws_cli_sets_and_shows_notifications(module_lake):
    lake = module_lake
    lake.bucket("by-cli")
    queue = Queue(lake, "by-cli", source="arn:aws:s3:::by-cli")
    configuration = {"QueueConfigurations": [{"Id": "one", "QueueArn": queue.arn, "Events": [CREATED]}]}
    command = ["s3api", "put-bucket-notification-configuration", "--bucket", "by-cli"]
    lake.aws(*command, "--notification-configuration", json.dumps(configuration))
    shown = json.loads(lake.aws("s3api", "get-bucket-notification-configuration", "--bucket", "by-cli"))
    assert shown == configuration
    lake.aws("s3", "cp", "-", "s3://by-cli/from the shell.txt", input="hello")
    keys = [record["s3"]["object"]["key"] for body in queue.wait(2) for record in json.loads(body).get("Records", [])]
    assert keys == ["from+the+shell.txt"]


def test_changes_of_tags_are_events_too(module_lake):
    lake, s3, events = module_lake, module_lake.client("s3"), module_lake.client("events")
    lake.bucket("tagged")
    s3.put_bucket_notification_configuration(Bucket="tagged", NotificationConfiguration={"EventBridgeConfiguration": {}})
    rule = events.put_rule(Name="tagged", EventPattern=json.dumps({"source": ["aws.s3"], "detail": {"bucket": {"name": ["tagged"]}}}))
    queue = Queue(lake, "tagged", "events", rule["RuleArn"])
    assert events.put_targets(Rule="tagged", Targets=[{"Id": "q", "Arn": queue.arn}])["FailedEntryCount"] == 0
    lake.put("tagged", "a", "1")
    s3.put_object_tagging(Bucket="tagged", Key="a", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    s3.delete_object_tagging(Bucket="tagged", Key="a")
    s3.delete_object(Bucket="tagged", Key="a")
    found = [json.loads(body) for body in queue.wait(4)]
    kinds = [event["detail-type"] for event in found]
    assert sorted(kinds) == ["Object Created", "Object Deleted", "Object Tags Added", "Object Tags Deleted"]
    added = next(event["detail"] for event in found if event["detail-type"] == "Object Tags Added")
    assert set(added["object"]) == {"key", "etag"} and "reason" not in added


def test_what_the_lake_itself_writes_is_told(lake):
    queue = bucket_with_queue(lake, "results", [CREATED])
    query = lake.client("athena").start_query_execution(
        QueryString="SELECT 1", ResultConfiguration={"OutputLocation": "s3://results/here/"}
    )["QueryExecutionId"]
    lake.wait_query(query)
    records = queue.records(2)
    assert sorted(record["s3"]["object"]["key"] for record in records) == [f"here/{query}.csv", f"here/{query}.csv.metadata"]
    assert all(record["responseElements"]["x-amz-request-id"] for record in records)


@pytest.mark.parametrize("kills", [3])
def test_no_acknowledged_upload_is_untold_when_the_server_is_killed(lake, kills):
    queue = bucket_with_queue(lake, "durable")
    acknowledged = set()
    for kill in range(kills):
        s3, stop = lake.client("s3", retries={"max_attempts": 1}), threading.Event()

        def upload(worker, s3=s3, stop=stop, kill=kill):
            for n in range(100_000):
                if stop.is_set():
                    return
                key = f"{kill}/{worker}/{n}"
                try:
                    s3.put_object(Bucket="durable", Key=key, Body=b"x")
                except Exception:
                    return
                acknowledged.add(key)

        before = len(acknowledged)
        workers = [threading.Thread(target=upload, args=(worker,)) for worker in range(8)]
        for worker in workers:
            worker.start()
        wait_until(lambda: len(acknowledged) >= before + 60, 60, 0.001, "uploads under way")
        lake.kill9()
        stop.set()
        for worker in workers:
            worker.join()
        lake.start()
        queue.sqs = lake.client("sqs")
        queue.url = queue.sqs.get_queue_url(QueueName="durable")["QueueUrl"]
    settle(lake)
    told = {record["s3"]["object"]["key"] for body in queue.receive() for record in json.loads(body)["Records"]}
    assert acknowledged <= told, sorted(acknowledged - told)[:5]


def test_a_function_is_called_with_the_message_once_it_lets_the_bucket_in(new_lake):
    lake = new_lake(lambdas.CONFIG)
    s3, functions = lake.client("s3"), lake.client("lambda")
    lake.bucket("calls")
    told = Queue(lake, "told")
    lambdas.create(lake, "told", "teller.py", Environment={"Variables": {"TOLD": told.url}})
    of = {"LambdaFunctionArn": arn("lambda", "function:told"), "Events": [CREATED, "s3:ObjectRemoved:*"]}
    configuration = {"LambdaFunctionConfigurations": [of]}
    with pytest.raises(ClientError) as error:
        s3.put_bucket_notification_configuration(Bucket="calls", NotificationConfiguration=configuration)
    assert "lambda:InvokeFunction" in message(error) or "add-permission" in message(error), message(error)
    functions.add_permission(
        FunctionName="told",
        StatementId="s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::calls",
        SourceAccount=ACCOUNT,
    )
    s3.put_bucket_notification_configuration(Bucket="calls", NotificationConfiguration=configuration)
    lake.put("calls", "a b.csv", "1")
    s3.delete_object(Bucket="calls", Key="a b.csv")
    calls = [json.loads(body)["event"] for body in told.wait(2)]
    records = {call["Records"][0]["eventName"]: call["Records"][0]["s3"]["object"] for call in calls}
    assert set(records) == {"ObjectCreated:Put", "ObjectRemoved:Delete"}, "and no test message"
    assert {found["key"] for found in records.values()} == {"a+b.csv"}
