"""Asynchronous invocations: events that are accepted are run, run again, and end where their owner looks for them."""

import json
import time

import harness
import lambdas
import pytest
from harness import wait_until
from lambdas import CONFIG, bodies, create, queue, receive

ACCOUNT = "000000000000"
ARN = f"arn:aws:lambda:us-east-1:{ACCOUNT}"


@pytest.fixture(scope="module")
def lake():
    lake = harness.new_lake(CONFIG)
    yield lake
    harness.discard(lake)


def send(lake, name, event, **more):
    answer = lake.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event), **more)
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    return answer["ResponseMetadata"]["RequestId"]


def teller(lake, name, **more):
    """A function that tells what it gets to a queue of its own; answers the queue's URL."""
    url, _ = queue(lake, f"{name}-told")
    create(lake, name, "teller.py", Environment={"Variables": {"TOLD": url}}, Timeout=20, **more)
    return url


def dead(lake):
    """What the lake gave up, as its owner sees it."""
    return lake.millpond("runs", "dead")


def configure(lake, name, **settings):
    return lake.client("lambda").put_function_event_invoke_config(FunctionName=name, **settings)


def test_an_event_is_run_once_where_it_succeeds(lake):
    told = teller(lake, "once")
    request = send(lake, "once", {"n": 1})
    [seen] = bodies(lake, told)
    assert (seen["event"], seen["request"], seen["version"]) == ({"n": 1}, request, "$LATEST")
    time.sleep(1)
    assert not lake.client("sqs").receive_message(QueueUrl=told).get("Messages")


def test_a_failed_event_is_run_twice_more_with_the_same_id_and_then_given_up_with_its_reason(lake):
    told = teller(lake, "fails")
    request = send(lake, "fails", {"fail": 9})
    seen = bodies(lake, told, 3)
    assert [one["request"] for one in seen] == [request] * 3
    reason = wait_until(lambda: next((line for line in dead(lake).splitlines() if ":fails:" in line), None), what="the dead letter")
    assert "try 3 fails (3 tries" in reason and "/aws/lambda/fails" in reason, reason


def test_a_dead_event_can_be_run_again(lake):
    told = teller(lake, "again")
    configure(lake, "again", MaximumRetryAttempts=0)
    send(lake, "again", {"fail": 1})
    bodies(lake, told)
    line = wait_until(lambda: next((line for line in dead(lake).splitlines() if ":again:" in line), None), what="the dead letter")
    lake.millpond("runs", "retry", line.split()[0])
    [seen] = bodies(lake, told)
    assert seen["event"] == {"fail": 1}
    wait_until(lambda: ":again:" not in dead(lake), what="no dead letter")


def test_a_dead_letter_queue_gets_the_event_and_what_was_wrong(lake):
    url, arn = queue(lake, "letters")
    create(lake, "lettered", "moody.py", DeadLetterConfig={"TargetArn": arn})
    configure(lake, "lettered", MaximumRetryAttempts=1)
    request = send(lake, "lettered", {"fail": "for the queue"})
    [letter] = receive(lake, url)
    attributes = {name: (value["DataType"], value["StringValue"]) for name, value in letter["MessageAttributes"].items()}
    assert json.loads(letter["Body"]) == {"fail": "for the queue"}
    assert attributes == {
        "RequestID": ("String", request),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", "for the queue"),
    }
    assert "lettered" not in dead(lake)


def test_destinations_get_a_record_of_how_it_ended(lake):
    won_url, won = queue(lake, "won")
    lost_url, lost = queue(lake, "lost")
    create(lake, "recorded", "moody.py")
    destinations = {"OnSuccess": {"Destination": won}, "OnFailure": {"Destination": lost}}
    kept = configure(lake, "recorded", MaximumRetryAttempts=2, MaximumEventAgeInSeconds=60, DestinationConfig=destinations)
    assert (kept["FunctionArn"], kept["DestinationConfig"]) == (f"{ARN}:function:recorded:$LATEST", destinations)
    request = send(lake, "recorded", {"answer": {"a": 1}})
    [record] = bodies(lake, won_url)
    assert record["requestContext"] == {
        "requestId": request,
        "functionArn": f"{ARN}:function:recorded:$LATEST",
        "condition": "Success",
        "approximateInvokeCount": 1,
    }
    assert (record["version"], record["requestPayload"], record["responsePayload"]) == ("1.0", {"answer": {"a": 1}}, {"a": 1})
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
    send(lake, "recorded", {"fail": "no"})
    [record] = bodies(lake, lost_url)
    context = record["requestContext"]
    assert (context["condition"], context["approximateInvokeCount"]) == ("RetriesExhausted", 3)
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
    assert (record["responsePayload"]["errorMessage"], record["requestPayload"]) == ("no", {"fail": "no"})
    assert "recorded" not in dead(lake)


def test_functions_topics_and_buses_are_destinations_too(lake):
    told = teller(lake, "next")
    bus_url, bus_queue = queue(lake, "from-bus")
    topic_url, topic_queue = queue(lake, "from-topic")
    events, sns, sqs = lake.client("events"), lake.client("sns"), lake.client("sqs")
    bus = events.create_event_bus(Name="results")["EventBusArn"]
    rule = events.put_rule(Name="all", EventBusName="results", EventPattern='{"source": ["lambda"]}')["RuleArn"]
    topic = sns.create_topic(Name="results")["TopicArn"]
    for url, arn, source in ((bus_url, bus_queue, rule), (topic_url, topic_queue, topic)):
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": f"{source.split(':')[2]}.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": source}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    events.put_targets(Rule="all", EventBusName="results", Targets=[{"Id": "queue", "Arn": bus_queue}])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=topic_queue)
    create(lake, "sends", "moody.py")
    function = f"{ARN}:function:next"
    configure(lake, "sends", DestinationConfig={"OnSuccess": {"Destination": function}})
    send(lake, "sends", {"answer": "to a function"})
    [seen] = bodies(lake, told)
    assert (seen["event"]["responsePayload"], seen["event"]["requestContext"]["condition"]) == ("to a function", "Success")
    configure(lake, "sends", DestinationConfig={"OnSuccess": {"Destination": topic}})
    send(lake, "sends", {"answer": "to a topic"})
    [envelope] = bodies(lake, topic_url)
    assert json.loads(envelope["Message"])["responsePayload"] == "to a topic"
    configure(lake, "sends", DestinationConfig={"OnSuccess": {"Destination": bus}})
    send(lake, "sends", {"answer": "to a bus"})
    [event] = bodies(lake, bus_url)
    assert (event["source"], event["detail-type"]) == ("lambda", "Lambda Function Invocation Result - Success")
    assert event["detail"]["responsePayload"] == "to a bus"
    assert event["resources"] == [bus, f"{ARN}:function:sends:$LATEST"]


def test_destinations_are_checked_when_they_are_set(lake):
    create(lake, "checked", "moody.py", wait=False)
    client = lake.client("lambda")

    def no(words, target):
        with pytest.raises(client.exceptions.InvalidParameterValueException, match=words):
            configure(lake, "checked", DestinationConfig={"OnFailure": {"Destination": target}})

    no("for itself", f"{ARN}:function:checked")
    no("is invalid", f"{ARN}:function:nobody")
    no("is invalid", f"arn:aws:sqs:us-east-1:{ACCOUNT}:no-such-queue")
    no("is invalid", "arn:aws:s3:::bucket")
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="at least one"):
        configure(lake, "checked")
    _, arn = queue(lake, "fine")
    configure(lake, "checked", MaximumRetryAttempts=1, DestinationConfig={"OnFailure": {"Destination": arn}})
    kept = client.update_function_event_invoke_config(FunctionName="checked", MaximumEventAgeInSeconds=120)
    assert (kept["MaximumRetryAttempts"], kept["MaximumEventAgeInSeconds"]) == (1, 120)
    assert kept["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {"Destination": arn}}
    assert len(client.list_function_event_invoke_configs(FunctionName="checked")["FunctionEventInvokeConfigs"]) == 1
    client.delete_function_event_invoke_config(FunctionName="checked")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function_event_invoke_config(FunctionName="checked")


def test_a_throttled_event_waits_until_there_is_room(lake):
    told = teller(lake, "throttled")
    lake.client("lambda").put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=1)
    for number in range(6):
        send(lake, "throttled", {"n": number})
    seen = bodies(lake, told, 6, timeout_s=60)
    assert sorted(one["event"]["n"] for one in seen) == list(range(6))
    assert "throttled" not in dead(lake)


def test_an_event_of_a_function_that_may_not_run_goes_to_its_destination(lake):
    url, arn = queue(lake, "forbidden")
    create(lake, "forbidden", "moody.py", wait=False)
    configure(lake, "forbidden", DestinationConfig={"OnFailure": {"Destination": arn}})
    lake.client("lambda").put_function_concurrency(FunctionName="forbidden", ReservedConcurrentExecutions=0)
    send(lake, "forbidden", {"n": 1})
    [record] = bodies(lake, url)
    assert (record["requestPayload"], record["requestContext"]["approximateInvokeCount"]) == ({"n": 1}, 0)


def test_an_event_whose_function_is_deleted_is_a_dead_letter_that_says_so(lake):
    create(lake, "gone", "moody.py")
    lake.client("lambda").put_function_concurrency(FunctionName="gone", ReservedConcurrentExecutions=1)
    send(lake, "gone", {"sleep": 1})
    send(lake, "gone", {"n": 2})
    lake.client("lambda").delete_function(FunctionName="gone")
    line = wait_until(lambda: next((line for line in dead(lake).splitlines() if "function:gone" in line), None), what="the dead letter")
    assert "deleted while the event waited" in line


def test_permissions_decide_who_may_send_events(lake):
    told = teller(lake, "guarded")
    events, client = lake.client("events"), lake.client("lambda")
    rule = events.put_rule(Name="to-guarded", EventPattern='{"source": ["my.app"]}')["RuleArn"]
    events.put_targets(Rule="to-guarded", Targets=[{"Id": "f", "Arn": f"{ARN}:function:guarded"}])
    entry = {"Source": "my.app", "DetailType": "t", "Detail": "{}"}
    events.put_events(Entries=[entry])
    line = wait_until(lambda: next((line for line in dead(lake).splitlines() if "guarded" in line), None), what="the dead letter")
    assert "aws lambda add-permission --function-name guarded" in line and rule in line, line
    client.add_permission(
        FunctionName="guarded",
        StatementId="rule",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule,
    )
    events.put_events(Entries=[{**entry, "Detail": '{"n": 7}'}])
    [seen] = bodies(lake, told)
    assert (seen["event"]["detail"], seen["event"]["source"]) == ({"n": 7}, "my.app")
    client.remove_permission(FunctionName="guarded", StatementId="rule")


def test_an_upload_runs_a_function(lake):
    told = teller(lake, "uploaded")
    lake.bucket("drops")
    target = {
        "LambdaFunctionArn": f"{ARN}:function:uploaded",
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}},
    }
    s3 = lake.client("s3")
    with pytest.raises(s3.exceptions.ClientError, match="Unable to validate the following destination configurations"):
        s3.put_bucket_notification_configuration(
            Bucket="drops", NotificationConfiguration={"LambdaFunctionConfigurations": [target]}
        )
    lake.client("lambda").add_permission(
        FunctionName="uploaded",
        StatementId="s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::drops",
        SourceAccount=ACCOUNT,
    )
    s3.put_bucket_notification_configuration(Bucket="drops", NotificationConfiguration={"LambdaFunctionConfigurations": [target]})
    lake.put("drops", "out/no.csv", "x")
    lake.put("drops", "in/a b.csv", "x")
    [seen] = bodies(lake, told)
    [record] = seen["event"]["Records"]
    assert (record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]) == ("drops", "in/a+b.csv")


def test_accepted_events_survive_a_kill(new_lake):
    lake = new_lake(CONFIG)
    told = teller(lake, "survivor")
    lambdas.invoke(lake, "survivor", {"n": "warm"})
    bodies(lake, told)
    for number in range(30):
        send(lake, "survivor", {"n": number})
        if number == 20:
            lake.kill9()
            lake.start()
    seen = set()
    # At least once each: what was under way when the lake died runs again.
    wait_until(lambda: seen.update(one["event"]["n"] for one in bodies(lake, told, 0)) or len(seen) == 30, 60, what=f"30 events, {seen}")
    assert seen == set(range(30))
