"""Rules, topics and mail, as boto3, a mail server and a web browser see them."""

import json
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from harness import wait_until
from lakes import ACCOUNT, REGION, arn, let_rules_publish, settle

PATTERN = json.dumps({"source": ["shop"], "detail": {"n": [{"numeric": [">=", 10]}]}})


def code(error):
    return error.value.response["Error"]["Code"]


def message(error):
    return error.value.response["Error"]["Message"]


def text(mail):
    """The message, without the footer, with lines as they were published."""
    return mail.get_content().replace("\r\n", "\n").split("\n\n-- ")[0]


def put_event(events, detail, source="shop", detail_type="sold"):
    put = events.put_events(Entries=[{"Source": source, "DetailType": detail_type, "Detail": json.dumps(detail)}])
    assert put["FailedEntryCount"] == 0, put
    return put["Entries"][0]["EventId"]


def subscribed_topic(lake, name="t", address="a@example.com", **more):
    """A topic with a subscriber who has followed the link in the mail."""
    sns = lake.client("sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    let_rules_publish(sns, topic)
    before = len(lake.smtp.messages)
    assert sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=address, **more)["SubscriptionArn"] == "pending confirmation"
    _, mail = lake.smtp.wait(before + 1)[-1]
    assert mail["Subject"] == "AWS Notification - Subscription Confirmation"
    link = next(line for line in mail.get_content().splitlines() if "Action=ConfirmSubscription" in line)
    with urllib.request.urlopen(link.strip()) as answer:
        confirmed = ElementTree.fromstring(answer.read())
    namespace = "{http://sns.amazonaws.com/doc/2010-03-31/}"
    return topic, confirmed.find(f"{namespace}ConfirmSubscriptionResult/{namespace}SubscriptionArn").text


def test_an_event_becomes_a_mail(lake_with_smtp):
    lake, events = lake_with_smtp, lake_with_smtp.client("events")
    topic, _ = subscribed_topic(lake)
    events.put_rule(Name="sold", EventPattern=PATTERN)
    events.put_targets(Rule="sold", Targets=[{"Id": "mail", "Arn": topic}])
    put_event(events, {"n": 9})
    event_id = put_event(events, {"n": 10, "who": "Zoë\nBcc: x@example.com"})
    envelope, mail = lake.smtp.wait(2)[1]
    assert envelope.rcpt_tos == ["a@example.com"] and envelope.mail_from == "lake@example.com"
    assert mail["Subject"] == "AWS Notification Message" and mail["Message-ID"] and mail["Date"]
    event = json.loads(text(mail))
    assert event["id"] == event_id and event["detail"] == {"n": 10, "who": "Zoë\nBcc: x@example.com"}
    assert (event["account"], event["region"], event["detail-type"], event["version"]) == (ACCOUNT, REGION, "sold", "0")
    settle(lake)
    assert len(lake.smtp.messages) == 2


def test_a_transformer_makes_a_sentence(lake_with_smtp):
    lake, events = lake_with_smtp, lake_with_smtp.client("events")
    topic, _ = subscribed_topic(lake)
    events.put_rule(Name="sold", EventPattern=PATTERN)
    transformer = {
        "InputPathsMap": {"n": "$.detail.n", "items": "$.detail.items[*].name", "none": "$.detail.none"},
        "InputTemplate": '"Sold <n>: <items><none>"\n"By rule <aws.events.rule-name>."',
    }
    events.put_targets(Rule="sold", Targets=[{"Id": "mail", "Arn": topic, "InputTransformer": transformer}])
    put_event(events, {"n": 12, "items": [{"name": "pond"}, {"name": "mill"}]})
    _, mail = lake.smtp.wait(2)[1]
    assert text(mail) == "Sold 12: [pond,mill]\nBy rule sold."
    shown = events.list_targets_by_rule(Rule="sold")["Targets"]
    assert shown == [{"Id": "mail", "Arn": topic, "InputTransformer": transformer}]


def test_links_confirm_and_unsubscribe_without_a_signature_and_nothing_else_does(lake_with_smtp):
    lake, sns = lake_with_smtp, lake_with_smtp.client("sns")
    topic, subscription = subscribed_topic(lake)
    assert sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]["PendingConfirmation"] == "false"
    sns.publish(TopicArn=topic, Subject="Grüße", Message="hello\r\nthere")
    _, mail = lake.smtp.wait(2)[1]
    assert mail["Subject"] == "Grüße"
    link = next(line for line in mail.get_content().splitlines() if "Action=Unsubscribe" in line)
    with urllib.request.urlopen(link.strip()) as answer:
        assert answer.status == 200
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
    anonymous = boto3.client("sns", endpoint_url=lake.endpoint, region_name=REGION, config=Config(signature_version=UNSIGNED))
    with pytest.raises(ClientError):
        anonymous.publish(TopicArn=topic, Message="x")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{lake.endpoint}/?Action=ListTopics")
    assert refused.value.code == 403
    with pytest.raises(ClientError) as error:
        anonymous.confirm_subscription(TopicArn=topic, Token="0" * 128)
    assert code(error) == "InvalidParameter"


def test_a_mail_is_tried_again_and_a_lasting_refusal_is_told(lake_with_smtp):
    lake, sns = lake_with_smtp, lake_with_smtp.client("sns")
    topic, _ = subscribed_topic(lake)
    lake.smtp.refuse = "451 not now"
    sns.publish(TopicArn=topic, Message="patience")
    wait_until(lambda: "451" in lake.log(), 20, 0.1, "a refused mail in the log")
    lake.smtp.refuse = None
    _, mail = lake.smtp.wait(2)[1]
    assert mail.get_content().startswith("patience")
    lake.smtp.refuse = "550 no such user"
    sns.publish(TopicArn=topic, Message="never")
    wait_until(lambda: "550" in lake.log(), 20, 0.1, "a lasting refusal in the log")
    settle(lake)
    assert len(lake.smtp.messages) == 2


def test_an_event_survives_the_death_of_the_server(lake_with_smtp):
    lake = lake_with_smtp
    topic, _ = subscribed_topic(lake)
    lake.client("events").put_rule(Name="all", EventPattern='{"source": [{"exists": true}]}')
    lake.client("events").put_targets(Rule="all", Targets=[{"Id": "1", "Arn": topic}])
    ids = [put_event(lake.client("events"), {"n": n}) for n in range(20)]
    lake.kill9()
    lake.start()
    settle(lake)
    found = [json.loads(text(mail))["id"] for _, mail in lake.smtp.messages[1:]]
    assert set(found) == set(ids)


def test_rules_are_kept_and_refused_as_aws_does(module_lake):
    events = module_lake.client("events")
    rule_arn = events.put_rule(Name="r", EventPattern=PATTERN, Description="d", Tags=[{"Key": "k", "Value": "v"}])["RuleArn"]
    assert rule_arn == arn("events", "rule/r")
    described = events.describe_rule(Name="r")
    assert (described["EventPattern"], described["State"], described["EventBusName"]) == (PATTERN, "ENABLED", "default")
    assert events.list_tags_for_resource(ResourceARN=rule_arn)["Tags"] == [{"Key": "k", "Value": "v"}]
    events.disable_rule(Name="r")
    assert events.describe_rule(Name="r")["State"] == "DISABLED"
    events.put_targets(Rule="r", Targets=[{"Id": "a", "Arn": arn("glue", "crawler/c")}, {"Id": "b", "Arn": arn("glue", "job/j")}])
    assert events.list_rule_names_by_target(TargetArn=arn("glue", "job/j"))["RuleNames"] == ["r"]
    with pytest.raises(ClientError) as error:
        events.delete_rule(Name="r")
    assert (code(error), message(error)) == ("ValidationException", "Rule can't be deleted since it has targets.")
    assert events.remove_targets(Rule="r", Ids=["a", "b", "c"])["FailedEntryCount"] == 1
    events.delete_rule(Name="r")
    with pytest.raises(events.exceptions.ResourceNotFoundException) as error:
        events.describe_rule(Name="r")
    assert message(error) == "Rule r does not exist on EventBus default."


@pytest.mark.parametrize(
    "pattern, reason",
    [
        ('{"int": 42}', '"int" must be an object or an array\n at [Source: (String)"{"int": 42}"; line: 1, column: 11]'),
        ('{"a": [{"prefix": 1}]}', "prefix match pattern must be a string"),
        ('{"a": [{"wildcard": "*:*:*:*:*:event-bus/*"}]}', "Rule is too complex"),
        ('["not", "an", "object"]', "Filter is not an object"),
        ("{", "Unexpected end-of-input"),
    ],
)
def test_a_wrong_pattern_is_refused_with_its_place(module_lake, pattern, reason):
    events = module_lake.client("events")
    with pytest.raises(events.exceptions.InvalidEventPatternException) as error:
        events.put_rule(Name="wrong", EventPattern=pattern)
    assert message(error).startswith(f"Event pattern is not valid. Reason: {reason}")


def test_patterns_can_be_tried(module_lake):
    events = module_lake.client("events")
    event = {
        "id": "1", "account": ACCOUNT, "source": "aws.s3", "time": "2024-05-01T12:00:00Z", "region": REGION,
        "detail-type": "Object Created", "resources": [], "detail": {"object": {"key": "flights/2024/a.csv"}},
    }  # fmt: skip

    def matches(pattern):
        return events.test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(event))["Result"]

    assert matches({"detail": {"object": {"key": [{"wildcard": "flights/*.csv"}]}}})
    assert not matches({"detail": {"object": {"key": [{"anything-but": {"suffix": ".csv"}}]}}})
    assert matches({"$or": [{"source": ["x"]}, {"region": [{"prefix": "us-"}]}]})
    with pytest.raises(ClientError) as error:
        events.test_event_pattern(EventPattern='{"source": ["x"]}', Event="[]")
    assert (code(error), message(error)) == ("ValidationException", "Parameter Event is not valid.")


def test_targets_are_checked(module_lake):
    events = module_lake.client("events")
    events.put_rule(Name="targets", EventPattern=PATTERN)

    def refused(expected, **target):
        with pytest.raises(ClientError) as error:
            events.put_targets(Rule="targets", Targets=[{"Id": "t", "Arn": arn("sns", "t"), **target}])
        assert code(error) == "ValidationException"
        assert expected in message(error)

    for kind in ("SNS topics", "SQS queues", "Lambda functions", "event buses", "Glue crawlers", "Glue jobs"):
        refused(kind, Arn=arn("states", "stateMachine:m"))
    refused("not in correct format", Arn="nowhere")
    refused("Only one of Input, InputPath, or InputTransformer", Input="{}", InputPath="$.detail")
    refused("JSON syntax error in input", Input="{")
    refused("contains invalid placeholder nope", InputTransformer={"InputTemplate": '"<nope>"'})
    refused("is not a JSON path", InputPath="detail")
    six = [{"Id": str(n), "Arn": arn("sns", "t")} for n in range(6)]
    with pytest.raises(events.exceptions.LimitExceededException):
        events.put_targets(Rule="targets", Targets=six)
    retry = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    full = {"Id": "t", "Arn": arn("sns", "gone"), "RetryPolicy": retry, "SqsParameters": {"MessageGroupId": "g"}}
    events.put_targets(Rule="targets", Targets=[full])
    assert events.list_targets_by_rule(Rule="targets")["Targets"] == [full]


def test_entries_fail_one_by_one(module_lake):
    events = module_lake.client("events")
    good = {"Source": "s", "DetailType": "d", "Detail": "{}"}
    put = events.put_events(Entries=[good, {**good, "Detail": "[]"}, {**good, "Source": "aws.s3"}, {"Source": "s"}])
    assert put["FailedEntryCount"] == 3
    codes = [entry.get("ErrorCode") for entry in put["Entries"]]
    assert codes == [None, "MalformedDetail", "NotAuthorizedForSourceException", "InvalidArgument"]
    with pytest.raises(ClientError) as error:
        events.put_events(Entries=[good] * 11)
    assert code(error) == "ValidationException"


def test_the_bus_is_the_default_one(module_lake):
    events = module_lake.client("events")
    assert events.describe_event_bus()["Arn"] == arn("events", "event-bus/default")
    assert [bus["Name"] for bus in events.list_event_buses()["EventBuses"]] == ["default"]
    with pytest.raises(events.exceptions.ResourceNotFoundException) as error:
        events.put_rule(Name="r", EventPattern=PATTERN, EventBusName="other")
    assert message(error) == "Event bus other does not exist."


def test_topics_and_subscriptions_answer_as_aws_does(module_lake):
    sns = module_lake.client("sns")
    topic = sns.create_topic(Name="named", Attributes={"DisplayName": "The Lake"}, Tags=[{"Key": "k", "Value": "v"}])["TopicArn"]
    assert topic == arn("sns", "named")
    assert sns.create_topic(Name="named")["TopicArn"] == topic
    assert {"TopicArn": topic} in sns.list_topics()["Topics"]
    attributes = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert (attributes["DisplayName"], attributes["Owner"], attributes["SubscriptionsPending"]) == ("The Lake", ACCOUNT, "0")
    json.loads(attributes["Policy"]), json.loads(attributes["EffectiveDeliveryPolicy"])
    pending = sns.subscribe(TopicArn=topic, Protocol="email-json", Endpoint="a@example.com", ReturnSubscriptionArn=True)
    assert pending["SubscriptionArn"].startswith(topic + ":")
    listed = sns.list_subscriptions()["Subscriptions"]
    assert [(s["SubscriptionArn"], s["Endpoint"]) for s in listed if s["TopicArn"] == topic] == [("PendingConfirmation", "a@example.com")]
    with pytest.raises(sns.exceptions.NotFoundException):
        sns.publish(TopicArn=arn("sns", "gone"), Message="x")
    with pytest.raises(sns.exceptions.InvalidParameterException) as error:
        sns.subscribe(TopicArn=topic, Protocol="firehose", Endpoint=arn("firehose", "deliverystream/s"))
    assert "does not deliver to firehose" in message(error)
    with pytest.raises(ClientError) as error:
        sns.publish(TopicArn=topic, Message="x", Subject="a\nb")
    assert (code(error), message(error)) == ("InvalidParameter", "Invalid parameter: Subject")
    batch = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[{"Id": "1", "Message": "a"}, {"Id": "2", "Message": "b"}])
    assert [entry["Id"] for entry in batch["Successful"]] == ["1", "2"]
    assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == [{"Key": "k", "Value": "v"}]
    sns.delete_topic(TopicArn=topic)
    assert [s for s in sns.list_subscriptions()["Subscriptions"] if s["TopicArn"] == topic] == []


def test_a_filter_policy_chooses(lake_with_smtp):
    lake, sns = lake_with_smtp, lake_with_smtp.client("sns")
    topic, subscription = subscribed_topic(lake, Attributes={"FilterPolicy": '{"state": ["FAILED"]}'})

    def say(state):
        attribute = {"DataType": "String", "StringValue": state}
        sns.publish(TopicArn=topic, Message=state, MessageAttributes={"state": attribute})

    say("SUCCEEDED")
    say("FAILED")
    _, mail = lake.smtp.wait(2)[1]
    assert mail.get_content().startswith("FAILED")
    shown = sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
    assert (shown["FilterPolicy"], shown["FilterPolicyScope"]) == ('{"state": ["FAILED"]}', "MessageAttributes")
    settle(lake)
    assert len(lake.smtp.messages) == 2


def test_a_delivery_that_fails_for_good_tells_why(lake):
    events = lake.client("events")
    events.put_rule(Name="lost", EventPattern='{"source": ["shop"]}')
    events.put_targets(Rule="lost", Targets=[{"Id": "1", "Arn": arn("sns", "gone")}])
    put_event(events, {})
    settle(lake)
    told = lake.millpond("runs", "dead")
    assert "gone does not exist" in told


def test_the_caller_is_the_root_of_the_account(module_lake):
    identity = module_lake.client("sts").get_caller_identity()
    assert identity["Account"] == ACCOUNT and identity["Arn"] == f"arn:aws:iam::{ACCOUNT}:root" and identity["UserId"] == ACCOUNT
    told = json.loads(module_lake.aws("sts", "get-caller-identity"))
    assert told["Account"] == ACCOUNT
