"""Event buses, rules and their targets, with boto3 and the AWS CLI."""

import json

import lambdas
import pytest
from botocore.exceptions import ClientError

from harness import wait_until
from lakes import ACCOUNT, REGION, arn, settle
from test_notifications import Queue, code, message, policy, statement

ANY = json.dumps({"source": [{"prefix": ""}]})
SHOP = json.dumps({"source": ["shop"]})


def put(events, detail, bus=None, source="shop", **more):
    entry = {"Source": source, "DetailType": "sold", "Detail": json.dumps(detail), **({"EventBusName": bus} if bus else {}), **more}
    answer = events.put_events(Entries=[entry])
    assert answer["FailedEntryCount"] == 0, answer
    return answer["Entries"][0]["EventId"]


def queue_of(lake, rule, name=None, bus=None, target=None, queue_attributes=None):
    """A queue that is the target of a rule."""
    events = lake.client("events")
    at = {"EventBusName": bus} if bus else {}
    source = events.describe_rule(Name=rule, **at)["Arn"]
    queue = Queue(lake, name or rule, "events", source, **(queue_attributes or {}))
    answer = events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": queue.arn, **(target or {})}], **at)
    assert answer["FailedEntryCount"] == 0, answer
    return queue


def test_buses_are_kept_and_answered_as_aws_does(module_lake):
    events = module_lake.client("events")
    created = events.create_event_bus(Name="orders", Description="all orders", Tags=[{"Key": "k", "Value": "v"}])
    bus = arn("events", "event-bus/orders")
    assert (created["EventBusArn"], created["Description"]) == (bus, "all orders")
    assert events.list_tags_for_resource(ResourceARN=bus)["Tags"] == [{"Key": "k", "Value": "v"}]
    described = events.describe_event_bus(Name=bus)
    assert (described["Name"], described["Arn"], described["Description"]) == ("orders", bus, "all orders")
    assert described["CreationTime"] <= described["LastModifiedTime"]
    events.update_event_bus(Name="orders", Description="some")
    assert events.describe_event_bus(Name="orders")["Description"] == "some"
    assert [found["Name"] for found in events.list_event_buses()["EventBuses"]] == ["default", "orders"]
    with pytest.raises(events.exceptions.ResourceAlreadyExistsException):
        events.create_event_bus(Name="orders")
    for wrong in ("aws.partner/example.com/1", "a/b"):
        with pytest.raises(ClientError) as error:
            events.create_event_bus(Name=wrong)
        assert code(error) == "ValidationException"
    with pytest.raises(events.exceptions.ResourceNotFoundException) as error:
        events.put_rule(Name="r", EventPattern=SHOP, EventBusName="nowhere")
    assert message(error) == "Event bus nowhere does not exist."
    with pytest.raises(ClientError) as error:
        events.put_rule(Name="r", ScheduleExpression="rate(1 minute)", EventBusName="orders")
    assert message(error) == "ScheduleExpression is supported only on the default event bus."
    rule = events.put_rule(Name="r", EventPattern=SHOP, EventBusName="orders")["RuleArn"]
    assert rule == arn("events", "rule/orders/r")
    assert events.describe_rule(Name="r", EventBusName=bus)["EventBusName"] == "orders"
    assert [found["Arn"] for found in events.list_rules(EventBusName="orders")["Rules"]] == [rule]
    assert "r" not in [found["Name"] for found in events.list_rules()["Rules"]]
    with pytest.raises(ClientError) as error:
        events.delete_event_bus(Name="orders")
    assert "since it has rules" in message(error)
    events.delete_rule(Name="r", EventBusName="orders")
    events.delete_event_bus(Name="orders")
    events.delete_event_bus(Name="orders")
    with pytest.raises(events.exceptions.ResourceNotFoundException):
        events.describe_event_bus(Name="orders")


def test_an_event_reaches_the_queues_of_its_own_bus(module_lake):
    lake, events = module_lake, module_lake.client("events")
    events.create_event_bus(Name="own")
    for bus in ("own", "default"):
        events.put_rule(Name=f"on-{bus}", EventPattern=SHOP, EventBusName=bus)
    own, default = queue_of(lake, "on-own", bus="own"), queue_of(lake, "on-default")
    first = put(events, {"n": 1}, bus="own")
    second = put(events, {"n": 2})
    settle(lake)
    assert [json.loads(body)["id"] for body in own.wait(1)] == [first]
    (event,) = [json.loads(body) for body in default.wait(1)]
    assert (event["id"], event["detail"], event["account"], event["region"]) == (second, {"n": 2}, ACCOUNT, REGION)
    refused = events.put_events(
        Entries=[{"Source": "shop", "DetailType": "d", "Detail": "{}", "EventBusName": "nowhere"}, {"Source": "s", "DetailType": "d", "Detail": "{}"}]
    )
    assert [entry.get("ErrorCode") for entry in refused["Entries"]] == ["ResourceNotFoundException", None]


def test_an_event_goes_on_to_another_bus_but_not_to_a_third(module_lake):
    lake, events = module_lake, module_lake.client("events")
    second = events.create_event_bus(Name="second")["EventBusArn"]
    third = events.create_event_bus(Name="third")["EventBusArn"]
    hop = json.dumps({"source": ["hop"]})
    events.put_rule(Name="hop", EventPattern=hop)
    events.put_targets(Rule="hop", Targets=[{"Id": "1", "Arn": second, "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r"}])
    events.put_rule(Name="hop", EventPattern=hop, EventBusName="second")
    letters = Queue(lake, "hop-letters", "events", arn("events", "rule/second/hop"))
    queue = queue_of(lake, "hop", name="hop-second", bus="second")
    events.put_targets(
        Rule="hop", EventBusName="second", Targets=[{"Id": "on", "Arn": third, "DeadLetterConfig": {"Arn": letters.arn}}]
    )
    event_id = put(events, {"n": 1}, source="hop")
    assert json.loads(queue.wait(1)[0])["id"] == event_id
    got = letters.sqs.receive_message(
        QueueUrl=letters.url, MessageAttributeNames=["All"], WaitTimeSeconds=10, MaxNumberOfMessages=1
    )["Messages"][0]
    attributes = {name: value["StringValue"] for name, value in got["MessageAttributes"].items()}
    assert attributes["ERROR_CODE"] == "THIRD_ACCOUNT_HOP_DETECTED", attributes
    assert (attributes["RULE_ARN"], attributes["TARGET_ARN"]) == (arn("events", "rule/second/hop"), third)
    assert json.loads(got["Body"])["id"] == event_id


def test_permissions_of_a_bus_are_shown_as_aws_writes_them(module_lake):
    events = module_lake.client("events")
    bus = events.create_event_bus(Name="shared")["EventBusArn"]
    events.put_permission(EventBusName="shared", Action="events:PutEvents", Principal="111111111111", StatementId="one")
    (found,) = json.loads(events.describe_event_bus(Name="shared")["Policy"])["Statement"]
    assert found == {
        "Sid": "one", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
        "Action": "events:PutEvents", "Resource": bus,
    }  # fmt: skip
    with pytest.raises(events.exceptions.ResourceNotFoundException) as error:
        events.remove_permission(EventBusName="shared", StatementId="two")
    assert message(error) == "Statement with the provided id does not exist."
    events.remove_permission(EventBusName="shared", StatementId="one")
    assert "Policy" not in events.describe_event_bus(Name="shared")
    deny = {"Sid": "d", "Effect": "Deny", "Principal": "*", "Action": "events:PutEvents", "Resource": bus}
    events.put_permission(EventBusName="shared", Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    answer = events.put_events(Entries=[{"Source": "s", "DetailType": "d", "Detail": "{}", "EventBusName": "shared"}])
    assert answer["Entries"][0]["ErrorCode"] == "AccessDeniedException"
    events.remove_permission(EventBusName="shared", RemoveAllPermissions=True)
    put(events, {}, bus="shared")


def test_what_cannot_be_delivered_says_why_in_its_dead_letter_queue_or_in_the_lake(module_lake):
    lake, events = module_lake, module_lake.client("events")
    closed = Queue(lake, "no-policy")
    rule = events.put_rule(Name="undeliverable", EventPattern=json.dumps({"source": ["undeliverable"]}))["RuleArn"]
    letters = Queue(lake, "letters", "events", rule)
    targets = [
        {"Id": "denied", "Arn": closed.arn, "DeadLetterConfig": {"Arn": letters.arn}},
        {"Id": "gone", "Arn": arn("sqs", "gone"), "DeadLetterConfig": {"Arn": letters.arn}},
        {"Id": "untold", "Arn": arn("sqs", "gone-too")},
    ]
    assert events.put_targets(Rule="undeliverable", Targets=targets)["FailedEntryCount"] == 0
    event_id = put(events, {"n": 1}, source="undeliverable")
    settle(lake)
    found = {}
    for _ in range(2):
        (got,) = letters.sqs.receive_message(QueueUrl=letters.url, MessageAttributeNames=["All"], WaitTimeSeconds=10)["Messages"]
        letters.sqs.delete_message(QueueUrl=letters.url, ReceiptHandle=got["ReceiptHandle"])
        attributes = {name: value["StringValue"] for name, value in got["MessageAttributes"].items()}
        assert json.loads(got["Body"])["id"] == event_id and attributes["RULE_ARN"] == rule
        found[attributes["TARGET_ARN"]] = attributes
    assert found[closed.arn]["ERROR_CODE"] == "NO_PERMISSIONS", found
    assert "sqs:SendMessage" in found[closed.arn]["ERROR_MESSAGE"]
    assert found[arn("sqs", "gone")]["ERROR_CODE"] == "NO_RESOURCE", found
    (dead,) = [task for task in lake.dead_letters() if task["payload"].get("delivery", {}).get("target") == arn("sqs", "gone-too")]
    assert "gone-too" in dead["reason"]
    listed = json.loads(lake.millpond("rules", "--failed", "--json").splitlines()[0])
    assert (listed["rule"], listed["failures"][0]["target"]) == (rule, arn("sqs", "gone-too"))
    assert "gone-too" in lake.millpond("rules")
    Queue(lake, "gone-too", "events", rule)
    lake.millpond("runs", "retry", dead["id"])
    again = Queue(lake, "gone-too", "events", rule)
    assert json.loads(again.wait(1)[0])["id"] == event_id


def test_a_target_that_is_deleted_while_events_wait_is_told(module_lake):
    lake, events = module_lake, module_lake.client("events")
    rule = events.put_rule(Name="deleted", EventPattern=json.dumps({"source": ["deleted"]}))["RuleArn"]
    queue = queue_of(lake, "deleted")
    put(events, {"n": 1}, source="deleted")
    assert len(queue.wait(1)) == 1
    queue.sqs.delete_queue(QueueUrl=queue.url)
    put(events, {"n": 2}, source="deleted")
    settle(lake)
    (dead,) = [task for task in lake.dead_letters() if task["payload"].get("delivery", {}).get("source") == rule]
    assert queue.arn in dead["reason"] and json.loads(dead["payload"]["delivery"]["input"])["detail"] == {"n": 2}


def test_a_fifo_queue_needs_a_group_and_gets_it(module_lake):
    lake, events = module_lake, module_lake.client("events")
    rule = events.put_rule(Name="fifo", EventPattern=json.dumps({"source": ["fifo"]}))["RuleArn"]
    queue = Queue(lake, "ordered.fifo", "events", rule, FifoQueue="true", ContentBasedDeduplication="true")
    with pytest.raises(ClientError) as error:
        events.put_targets(Rule="fifo", Targets=[{"Id": "q", "Arn": queue.arn}])
    assert message(error) == "Parameter(s) SqsParameters must be specified for target: q."
    target = {"Id": "q", "Arn": queue.arn, "SqsParameters": {"MessageGroupId": "g"}, "InputPath": "$.detail.n"}
    events.put_targets(Rule="fifo", Targets=[target])
    assert events.list_targets_by_rule(Rule="fifo")["Targets"] == [target]
    for n in range(20):
        put(events, {"n": n}, source="fifo")
    assert [int(body) for body in queue.wait(20)] == list(range(20))


def test_a_trace_header_reaches_the_queue(module_lake):
    lake, events = module_lake, module_lake.client("events")
    events.put_rule(Name="traced", EventPattern=json.dumps({"source": ["traced"]}))
    queue = queue_of(lake, "traced")
    header = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
    put(events, {}, source="traced", TraceHeader=header)
    got = queue.sqs.receive_message(QueueUrl=queue.url, MessageSystemAttributeNames=["AWSTraceHeader"], WaitTimeSeconds=10)
    assert got["Messages"][0]["Attributes"] == {"AWSTraceHeader": header}


def test_an_input_is_a_constant_a_part_or_a_template(module_lake):
    lake, events = module_lake, module_lake.client("events")
    rule = events.put_rule(Name="inputs", EventPattern=json.dumps({"source": ["inputs"]}))["RuleArn"]
    transformer = {
        "InputPathsMap": {"n": "$.detail.n", "who": "$.detail.who", "none": "$.detail.none"},
        "InputTemplate": '{"n": <n>, "who": "<who>", "none": <none>, "rule": <aws.events.rule-arn>, "all": <aws.events.event.json>}',
    }
    kinds = {"constant": {"Input": '{"a": 1}'}, "part": {"InputPath": "$.detail"}, "template": {"InputTransformer": transformer}}
    queues = {kind: Queue(lake, f"input-{kind}", "events", rule) for kind in kinds}
    targets = [{"Id": kind, "Arn": queues[kind].arn, **how} for kind, how in kinds.items()]
    events.put_targets(Rule="inputs", Targets=targets)
    event_id = put(events, {"n": 1, "who": 'Zoë "Z"'}, source="inputs")
    got = {kind: json.loads(queue.wait(1)[0]) for kind, queue in queues.items()}
    assert (got["constant"], got["part"]) == ({"a": 1}, {"n": 1, "who": 'Zoë "Z"'})
    assert (got["template"]["n"], got["template"]["who"], got["template"]["none"]) == (1, 'Zoë "Z"', "")
    assert got["template"]["rule"] == rule and got["template"]["all"]["id"] == event_id


def test_a_rule_for_another_crawler_does_not_fire(lake):
    events, glue = lake.client("events"), lake.client("glue")
    lake.bucket("raw")
    glue.create_database(DatabaseInput={"Name": "raw"})
    for name in ("mine", "other"):
        lake.put("raw", f"{name}/a.csv", "a,b\n1,2\n")
        target = {"S3Targets": [{"Path": f"s3://raw/{name}/"}]}
        glue.create_crawler(Name=name, Role=f"arn:aws:iam::{ACCOUNT}:role/r", DatabaseName="raw", Targets=target)
        pattern = {
            "source": ["aws.glue"],
            "detail-type": ["Glue Crawler State Change"],
            "detail": {"crawlerName": [name], "state": ["Succeeded"]},
        }
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    mine, other = queue_of(lake, "mine"), queue_of(lake, "other")
    lake.crawl("mine")
    settle(lake)
    (event,) = [json.loads(body) for body in mine.wait(1)]
    assert (event["detail"]["crawlerName"], event["detail"]["state"]) == ("mine", "Succeeded")
    assert other.receive() == []


def test_parameters_of_targets_that_the_lake_does_not_have_are_refused_by_name(module_lake):
    events = module_lake.client("events")
    events.put_rule(Name="foreign", EventPattern=SHOP)
    for name, value in [
        ("EcsParameters", {"TaskDefinitionArn": "arn:aws:ecs:us-east-1:000000000000:task-definition/t"}),
        ("RunCommandParameters", {"RunCommandTargets": [{"Key": "k", "Values": ["v"]}]}),
        ("KinesisParameters", {"PartitionKeyPath": "$.id"}),
    ]:
        with pytest.raises(ClientError) as error:
            events.put_targets(Rule="foreign", Targets=[{"Id": "t", "Arn": arn("sns", "t"), name: value}])
        assert code(error) == "ValidationException" and name in message(error)
    with pytest.raises(ClientError) as error:
        fifo = {"Id": "t", "Arn": arn("sns", "t"), "DeadLetterConfig": {"Arn": arn("sqs", "q.fifo")}}
        events.put_targets(Rule="foreign", Targets=[fifo])
    assert "FIFO" in message(error)


def test_the_aws_cli_makes_a_bus_with_a_rule_and_a_queue(module_lake):
    lake = module_lake
    lake.aws("events", "create-event-bus", "--name", "by-cli")
    lake.aws("events", "put-rule", "--name", "r", "--event-bus-name", "by-cli", "--event-pattern", SHOP)
    queue = Queue(lake, "events-by-cli", "events", arn("events", "rule/by-cli/r"))
    lake.aws("events", "put-targets", "--rule", "r", "--event-bus-name", "by-cli", "--targets", f"Id=1,Arn={queue.arn}")
    entry = [{"Source": "shop", "DetailType": "d", "Detail": '{"from": "cli"}', "EventBusName": "by-cli"}]
    answer = json.loads(lake.aws("events", "put-events", "--entries", json.dumps(entry)))
    assert answer["FailedEntryCount"] == 0
    assert json.loads(queue.wait(1)[0])["detail"] == {"from": "cli"}


def test_events_on_every_bus_survive_the_death_of_the_server(lake):
    lake.client("events").create_event_bus(Name="b")
    for bus in ("default", "b"):
        lake.client("events").put_rule(Name="all", EventPattern=SHOP, EventBusName=bus)
    queues = {bus: queue_of(lake, "all", name=f"all-{bus}", bus=bus) for bus in ("default", "b")}
    ids = {bus: [] for bus in queues}
    for _ in range(3):
        events = lake.client("events")
        for n in range(20):
            for bus in queues:
                ids[bus].append(put(events, {"n": n}, bus=bus))
        lake.kill9()
        lake.start()
    settle(lake)
    for bus, queue in queues.items():
        queue.sqs = lake.client("sqs")
        queue.url = queue.sqs.get_queue_url(QueueName=f"all-{bus}")["QueueUrl"]
        found = [json.loads(body)["id"] for body in queue.wait(60)]
        assert sorted(found) == sorted(ids[bus]), "each once"


def test_a_busy_target_is_tried_again_until_it_takes_it(lake):
    """A job that may run once refuses nothing; a queue without its policy refuses for good: so the policy comes late, by a retry."""
    events = lake.client("events")
    rule = events.put_rule(Name="late", EventPattern=SHOP)["RuleArn"]
    queue = Queue(lake, "late")
    events.put_targets(Rule="late", Targets=[{"Id": "q", "Arn": queue.arn}])
    event_id = put(events, {})
    (dead,) = wait_until(lake.dead_letters, 30, 0.05, "a dead letter")
    allow = policy(statement("events", "sqs:SendMessage", queue.arn, rule))
    queue.sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"Policy": allow})
    lake.millpond("runs", "retry", dead["id"])
    assert json.loads(queue.wait(1)[0])["id"] == event_id


def test_a_function_is_called_by_a_rule_once_it_lets_the_rule_in(new_lake):
    lake = new_lake(lambdas.CONFIG)
    events, functions = lake.client("events"), lake.client("lambda")
    told = Queue(lake, "told")
    lambdas.create(lake, "told", "teller.py", Environment={"Variables": {"TOLD": told.url}})
    rule = events.put_rule(Name="calls", EventPattern=SHOP)["RuleArn"]
    assert events.put_targets(Rule="calls", Targets=[{"Id": "f", "Arn": arn("lambda", "function:told")}])["FailedEntryCount"] == 0
    event_id = put(events, {"n": 1})
    (dead,) = wait_until(lake.dead_letters, 30, 0.05, "a dead letter")
    assert "add-permission" in dead["reason"], dead["reason"]
    functions.add_permission(
        FunctionName="told", StatementId="e", Action="lambda:InvokeFunction", Principal="events.amazonaws.com", SourceArn=rule
    )
    lake.millpond("runs", "retry", dead["id"])
    (call,) = [json.loads(body)["event"] for body in told.wait(1)]
    assert (call["id"], call["detail"]) == (event_id, {"n": 1})


def test_what_becomes_of_a_call_is_an_event_where_the_function_says_so(new_lake):
    lake = new_lake(lambdas.CONFIG)
    events, functions = lake.client("events"), lake.client("lambda")
    bus = events.create_event_bus(Name="outcomes")["EventBusArn"]
    events.put_rule(Name="outcomes", EventPattern=json.dumps({"source": ["lambda"]}), EventBusName="outcomes")
    queue = queue_of(lake, "outcomes", bus="outcomes")
    lambdas.create(lake, "moody", "echo.py")
    functions.put_function_event_invoke_config(FunctionName="moody", DestinationConfig={"OnSuccess": {"Destination": bus}})
    functions.invoke(FunctionName="moody", InvocationType="Event", Payload=b'{"n": 1}')
    (event,) = [json.loads(body) for body in queue.wait(1)]
    assert event["detail-type"] == "Lambda Function Invocation Result - Success"
    assert event["detail"]["requestPayload"] == {"n": 1} and bus in event["resources"]
