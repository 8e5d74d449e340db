"""Events for targets that fail: a queue that is deleted, a function and an HTTP endpoint that fail now and then, a mail server that is away.
What was put is in the end at its target or in a dead-letter queue with the reason, and nowhere twice where once was promised."""

import http.server
import json
import os
import random
import threading
import time

from chains import config, confirm, deployer
from harness import REPO, Smtp, wait_until
from lakes import settle

EVENTS = int(os.environ.get("MILLPOND_SOAK_EVENTS", "400"))
RETRIES = {"healthyRetryPolicy": {"minDelayTarget": 1, "maxDelayTarget": 1, "numRetries": 3, "backoffFunction": "linear"}}


class Receiver(http.server.ThreadingHTTPServer):
    """An HTTP endpoint that confirms its subscription, and fails a good part of what it gets."""

    def __init__(self):
        receiver, self.got, self.tries = self, [], 0

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                receiver.answer(self, body)

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"

    def answer(self, request, body):
        if body["Type"] == "SubscriptionConfirmation":
            import urllib.request

            urllib.request.urlopen(body["SubscribeURL"], timeout=10).read()
        else:
            self.tries += 1
            if random.random() < 0.4:
                request.send_error(503)
                return
            self.got.append(json.loads(body["Message"])["detail"]["n"])
        request.send_response(200)
        request.send_header("content-length", "0")
        request.end_headers()


class Soak:
    """The clients, and queues by their names."""

    def __init__(self, lake):
        self.sqs = lake.client("sqs")

    def queue(self, name, service=None):
        url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        if service:
            allow = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sqs:SendMessage", "Resource": arn}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
            self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        return url, arn

    def drain(self, url, attributes=None):
        """All messages of a queue: their numbers; `attributes` gets their message attributes."""
        numbers = []
        while True:
            answer = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
            if not answer.get("Messages"):
                return numbers
            for message in answer["Messages"]:
                body = json.loads(message["Body"])
                body = json.loads(body["Message"]) if "TopicArn" in body else body
                body = body.get("requestPayload", body)
                numbers.append(body["detail"]["n"] if "detail" in body else body["n"])
                if attributes is not None:
                    attributes.append({name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()})
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def test_what_fails_is_tried_again_and_ends_in_a_dead_letter_queue(new_lake, smtp, monkeypatch, tmp_path):
    lake, port = new_lake(config(smtp)), smtp.port
    soak, events, sns, functions = Soak(lake), lake.client("events"), lake.client("sns"), lake.client("lambda")
    deploy = deployer(lake, monkeypatch)
    steady, steady_arn = soak.queue("steady", "events.amazonaws.com")
    doomed, doomed_arn = soak.queue("doomed", "events.amazonaws.com")
    undelivered, undelivered_arn = soak.queue("undelivered", "events.amazonaws.com")
    done, _ = soak.queue("done")
    failed, failed_arn = soak.queue("failed")
    unheard, unheard_arn = soak.queue("unheard", "sns.amazonaws.com")

    monkeypatch.setattr(deploy, "FUNCTIONS", REPO / "tests" / "python" / "chain_functions")
    chain = deploy.Chain("soak")
    role = chain.role("lambda", "service-role/AWSLambdaBasicExecutionRole", "AmazonSQSFullAccess")
    flaky = chain.function("flaky", role, ["flaky"], "flaky.handler", DONE=done)
    functions.update_function_configuration(FunctionName="soak-flaky", DeadLetterConfig={"TargetArn": failed_arn})
    receiver = Receiver()
    topic = chain.topic("ops@example.com")
    confirm(smtp)
    heard = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=receiver.url, ReturnSubscriptionArn=True)["SubscriptionArn"]
    sns.set_subscription_attributes(
        SubscriptionArn=heard, AttributeName="RedrivePolicy", AttributeValue=json.dumps({"deadLetterTargetArn": unheard_arn})
    )
    sns.set_subscription_attributes(SubscriptionArn=heard, AttributeName="DeliveryPolicy", AttributeValue=json.dumps(RETRIES))
    wait_until(lambda: pending(sns, heard) == "false", what="the confirmation by the endpoint")

    events.put_rule(Name="soak", EventPattern=json.dumps({"source": ["soak"]}))
    rule = events.describe_rule(Name="soak")["Arn"]
    chain.allow(flaky, "events", rule)
    targets = [
        {"Id": "steady", "Arn": steady_arn},
        {"Id": "doomed", "Arn": doomed_arn, "DeadLetterConfig": {"Arn": undelivered_arn}},
        {"Id": "flaky", "Arn": flaky},
        {"Id": "topic", "Arn": topic},
    ]
    assert events.put_targets(Rule="soak", Targets=targets)["FailedEntryCount"] == 0

    def put(numbers):
        entries = [{"Source": "soak", "DetailType": "number", "Detail": json.dumps({"n": number})} for number in numbers]
        assert events.put_events(Entries=entries)["FailedEntryCount"] == 0

    half = EVENTS // 2
    for first in range(0, half, 10):
        put(range(first, min(first + 10, half)))
    at_steady = []
    wait_until(lambda: at_steady.extend(soak.drain(steady)) or len(at_steady) >= half, what="half of the events in the queue")
    before = []
    wait_until(lambda: before.extend(soak.drain(doomed)) or len(before) >= half, what="half of the events in the doomed queue")
    # The mail server goes away, and the queue for good.
    smtp.close()
    soak.sqs.delete_queue(QueueUrl=doomed)
    for first in range(half, EVENTS, 10):
        put(range(first, min(first + 10, EVENTS)))
    time.sleep(3)
    again = Smtp(port)
    settle(lake, timeout_s=240)

    wait_until(lambda: at_steady.extend(soak.drain(steady)) or len(at_steady) >= EVENTS, what="all events in the queue")
    assert sorted(at_steady) == list(range(EVENTS)), "each event is once in the queue that always works"
    reasons = []
    after = soak.drain(undelivered, reasons)
    assert sorted(before + after) == list(range(EVENTS)), "each event is in the doomed queue or in its dead-letter queue"
    assert {reason["RULE_ARN"] for reason in reasons} == {rule} and all("doomed" in reason["ERROR_MESSAGE"] for reason in reasons)
    succeeded, given_up = soak.drain(done), soak.drain(failed, reasons := [])
    assert set(succeeded) | set(given_up) == set(range(EVENTS)), "each event was handled, or is a dead letter of the function"
    assert given_up and all("flaky as ever" in reason["ErrorMessage"] for reason in reasons)
    unheard_of = soak.drain(unheard)
    assert set(receiver.got) | set(unheard_of) == set(range(EVENTS)), "each message was heard, or is a dead letter of the subscription"
    assert receiver.tries > len(receiver.got), "the endpoint never failed"
    mailed = [body for body in smtp.bodies() + again.bodies() if '"source":"soak"' in body]
    numbers = {json.loads(body.splitlines()[0])["detail"]["n"] for body in mailed}
    assert numbers == set(range(EVENTS)), "each event was mailed"
    assert not lake.dead_letters(), lake.dead_letters()[:3]
    receiver.shutdown()
    again.close()


def pending(sns, subscription):
    return sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]["PendingConfirmation"]
