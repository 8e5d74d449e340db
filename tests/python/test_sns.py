"""Topics and what subscribers get from them: HTTP endpoints of the test's own, queues, and mail that waits for its server."""

import base64
import http.server
import io
import json
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from harness import Smtp, free_port, wait_until
from lakes import ACCOUNT, arn, settle

FAST = {"healthyRetryPolicy": {"minDelayTarget": 1, "maxDelayTarget": 1, "numRetries": 3, "numNoDelayRetries": 2}}


def code(error):
    return error.value.response["Error"]["Code"]


def message(error):
    return error.value.response["Error"]["Message"]


class Receiver:
    """An HTTP endpoint that keeps what it is sent. `answers` are statuses to give first, then `status`; `confirm`: it follows the links; it
    answers while `hold` is set."""

    def __init__(self, confirm=True, context=None):
        receiver = self
        self.confirm, self.status, self.answers, self.headers, self.received = confirm, 200, [], {}, []
        self._lock, self.hold = threading.Lock(), threading.Event()
        self.hold.set()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                with receiver._lock:
                    receiver.received.append(({name.lower(): value for name, value in self.headers.items()}, body, time.monotonic(), self.path))
                    status = receiver.answers.pop(0) if receiver.answers else receiver.status
                receiver.hold.wait(60)
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()
                if receiver.confirm and self.headers["x-amz-sns-message-type"] == "SubscriptionConfirmation":
                    threading.Thread(target=lambda: urllib.request.urlopen(json.loads(body)["SubscribeURL"]).read()).start()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if context else 'http'}://localhost:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, kind):
        with self._lock:
            return [(headers, body) for headers, body, _, _ in self.received if headers["x-amz-sns-message-type"] == kind]

    def wait(self, kind="Notification", count=1, timeout_s=30):
        return wait_until(lambda: len(found := self.of(kind)) >= count and found, timeout_s, 0.02, f"{count} {kind}(s)")

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


def topic_of(lake, name, **attributes):
    return lake.client("sns").create_topic(Name=name, Attributes=attributes)["TopicArn"]


def subscribed(lake, topic, receiver, **attributes):
    """A subscription that its endpoint has confirmed."""
    sns = lake.client("sns")
    protocol = receiver.url.split(":")[0]
    asked = sns.subscribe(TopicArn=topic, Protocol=protocol, Endpoint=receiver.url, Attributes=attributes, ReturnSubscriptionArn=True)
    subscription = asked["SubscriptionArn"]

    def confirmed():
        return sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]["PendingConfirmation"] == "false"

    wait_until(confirmed, 30, 0.02, "the confirmation")
    return subscription


def verify(envelope):
    """Checks the signature as the page "Verifying the signatures of Amazon SNS messages" says, with the certificate that is served."""
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "".join(f"{name}\n{envelope[name]}\n" for name in names if name in envelope)
    with urllib.request.urlopen(envelope["SigningCertURL"]) as answer:
        assert answer.headers["Content-Type"] == "application/x-pem-file"
        certificate = x509.load_pem_x509_certificate(answer.read())
    digest = {"1": hashes.SHA1, "2": hashes.SHA256}[envelope["SignatureVersion"]]()
    certificate.public_key().verify(base64.b64decode(envelope["Signature"]), text.encode(), padding.PKCS1v15(), digest)
    return certificate


class Queue:
    """A queue that lets topics send to it."""

    def __init__(self, lake, name, **attributes):
        self.sqs = lake.client("sqs")
        statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn("sqs", name)}
        attributes["Policy"] = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.arn = arn("sqs", name)

    def receive(self, count=1, timeout_s=30):
        """So many messages, deleted."""
        found = []

        def enough():
            answer = self.sqs.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"], AttributeNames=["All"]
            )
            for got in answer.get("Messages", []):
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=got["ReceiptHandle"])
                found.append(got)
            return len(found) >= count

        wait_until(enough, timeout_s, 0, f"{count} message(s) in {self.url}")
        return found


def test_an_endpoint_confirms_and_gets_signed_envelopes(lake, receiver):
    sns = lake.client("sns")
    topic = topic_of(lake, "t")
    subscription = subscribed(lake, topic, receiver)
    headers, body = receiver.of("SubscriptionConfirmation")[0]
    asked = json.loads(body)
    assert list(asked) == [
        "Type", "MessageId", "Token", "TopicArn", "Message", "SubscribeURL", "Timestamp", "SignatureVersion", "Signature", "SigningCertURL",
    ]  # fmt: skip
    assert (headers["x-amz-sns-message-id"], headers["x-amz-sns-topic-arn"]) == (asked["MessageId"], topic)
    assert headers["user-agent"] == "Amazon Simple Notification Service Agent"
    assert headers["content-type"] == "text/plain; charset=UTF-8" and "x-amz-sns-subscription-arn" not in headers
    verify(asked)
    attributes = {"n": {"DataType": "Number", "StringValue": "1"}, "b": {"DataType": "Binary", "BinaryValue": b"\x02\x03"}}
    published = sns.publish(TopicArn=topic, Subject='Grüße "x"', Message="line 1\nline 2 ✓", MessageAttributes=attributes)
    headers, body = receiver.wait()[0]
    got = json.loads(body)
    assert list(got) == [
        "Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SignatureVersion", "Signature", "SigningCertURL",
        "UnsubscribeURL", "MessageAttributes",
    ]  # fmt: skip
    assert (got["MessageId"], got["Subject"], got["Message"]) == (published["MessageId"], 'Grüße "x"', "line 1\nline 2 ✓")
    assert got["MessageAttributes"] == {"n": {"Type": "Number", "Value": "1"}, "b": {"Type": "Binary", "Value": "AgM="}}
    assert (headers["x-amz-sns-message-type"], headers["x-amz-sns-subscription-arn"]) == ("Notification", subscription)
    certificate = verify(got)
    assert certificate.not_valid_before_utc < certificate.not_valid_after_utc
    with pytest.raises(InvalidSignature):
        verify({**got, "Message": "another"})
    shown = sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
    assert (shown["ConfirmationWasAuthenticated"], shown["Protocol"], shown["Endpoint"]) == ("false", "http", receiver.url)


def test_version_2_signs_with_sha256_and_the_key_stays_over_a_restart(lake, receiver):
    sns = lake.client("sns")
    topic = topic_of(lake, "t", SignatureVersion="2")
    subscribed(lake, topic, receiver)
    sns.publish(TopicArn=topic, Message="one")
    first = json.loads(receiver.wait()[0][1])
    assert first["SignatureVersion"] == "2"
    before = verify(first)
    name = first["SigningCertURL"].rsplit("/", 1)[1]
    lake.restart()
    with urllib.request.urlopen(f"{lake.endpoint}/{name}") as answer:
        assert x509.load_pem_x509_certificate(answer.read()) == before
    with pytest.raises(urllib.error.HTTPError) as missing:
        urllib.request.urlopen(f"{lake.endpoint}/SimpleNotificationService-0123.pem")
    assert missing.value.code == 404


def test_raw_messages_have_only_the_text(module_lake, receiver):
    sns = module_lake.client("sns")
    topic = topic_of(module_lake, "raw")
    policy = json.dumps({"requestPolicy": {"headerContentType": "text/csv"}})
    subscribed(module_lake, topic, receiver, RawMessageDelivery="true", DeliveryPolicy=policy)
    sns.publish(TopicArn=topic, Message=json.dumps({"default": "d", "http": "a,b"}), MessageStructure="json")
    headers, body = receiver.wait()[0]
    assert (body, headers["content-type"], headers["x-amz-sns-rawdelivery"]) == ("a,b", "text/csv", "true")


def test_an_endpoint_may_ask_for_a_password_that_nobody_is_shown(module_lake, receiver):
    sns = module_lake.client("sns")
    topic = topic_of(module_lake, "secret")
    receiver.url = receiver.url.replace("://", "://user:secret@")
    subscribed(module_lake, topic, receiver)
    headers, _ = receiver.of("SubscriptionConfirmation")[0]
    assert headers["authorization"] == "Basic " + base64.b64encode(b"user:secret").decode()
    shown = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"][0]["Endpoint"]
    assert shown == receiver.url.replace("secret", "****")


def test_failures_are_tried_again_as_the_policy_says_and_then_told(lake, receiver):
    sns = lake.client("sns")
    topic = topic_of(lake, "t")
    subscribed(lake, topic, receiver, DeliveryPolicy=json.dumps(FAST))
    receiver.answers = [503, 429]
    sns.publish(TopicArn=topic, Message="in the end")
    tries = receiver.wait(count=3)
    assert len({json.loads(body)["MessageId"] for _, body in tries}) == 1
    settle(lake)
    assert len(receiver.of("Notification")) == 3
    receiver.status = 500
    sns.publish(TopicArn=topic, Message="never")
    receiver.wait(count=3 + 4)
    told = wait_until(lambda: "tried 4 times" in (told := lake.millpond("runs", "dead")) and told, what="the dead letter")
    assert "500 Internal Server Error" in told and receiver.url in told
    receiver.status = 403
    sns.publish(TopicArn=topic, Message="forbidden")
    receiver.wait(count=3 + 4 + 1)
    wait_until(lambda: "403" in lake.millpond("runs", "dead"), what="the second dead letter")
    assert len(receiver.of("Notification")) == 8


def test_a_dead_letter_can_be_sent_again(lake, receiver):
    sns = lake.client("sns")
    topic = topic_of(lake, "t")
    subscribed(lake, topic, receiver)
    receiver.status = 404
    sns.publish(TopicArn=topic, Message="second chance")
    dead = wait_until(lambda: lake.own("dead-letters/list", {"limit": 10})["tasks"], what="the dead letter")
    assert "404" in dead[0]["reason"]
    receiver.status = 200
    lake.millpond("runs", "retry", dead[0]["id"])
    assert {json.loads(body)["Message"] for _, body in receiver.wait(count=2)} == {"second chance"}
    settle(lake)
    assert "404" not in lake.millpond("runs", "dead")


def test_one_endpoint_that_hangs_does_not_hold_up_another(lake, receiver):
    sns, slow = lake.client("sns"), Receiver()
    try:
        topic = topic_of(lake, "t")
        subscribed(lake, topic, receiver)
        subscribed(lake, topic, slow)
        slow.hold.clear()
        for n in range(100):
            sns.publish(TopicArn=topic, Message=str(n))
        messages = lambda of: {json.loads(body)["Message"] for _, body in of.of("Notification")}  # noqa: E731
        wait_until(lambda: len(messages(receiver)) == 100, 30, what="all messages at the quick endpoint")
        assert len(slow.of("Notification")) <= 8, "its share, and no more"
        slow.hold.set()
        wait_until(lambda: len(messages(slow)) == 100, 60, what="all messages at the other")
    finally:
        slow.hold.set()
        slow.close()


def test_redirects_are_not_followed(lake, receiver):
    sns, elsewhere = lake.client("sns"), Receiver()
    try:
        topic = topic_of(lake, "t")
        subscribed(lake, topic, receiver, DeliveryPolicy=json.dumps(FAST))
        receiver.status, receiver.headers = 307, {"Location": elsewhere.url}
        sns.publish(TopicArn=topic, Message="x")
        receiver.wait()
        wait_until(lambda: "redirects are not followed" in lake.millpond("runs", "dead"), what="the dead letter")
        assert elsewhere.received == [] and len(receiver.of("Notification")) == 1
    finally:
        elsewhere.close()


def test_a_rate_is_kept(lake, receiver):
    sns = lake.client("sns")
    topic = topic_of(lake, "t")
    policy = {"throttlePolicy": {"maxReceivesPerSecond": 4}}
    subscribed(lake, topic, receiver, DeliveryPolicy=json.dumps(policy))
    for n in range(8):
        sns.publish(TopicArn=topic, Message=str(n))
    receiver.wait(count=8)
    times = sorted(at for headers, _, at, _ in receiver.received if headers["x-amz-sns-message-type"] == "Notification")
    # Never more than the rate and one in any second; how much slower is the machine's affair.
    assert all(sum(begin <= at < begin + 1 for at in times) <= 5 for begin in times), times
    assert {body for _, body in ((h, json.loads(b)["Message"]) for h, b in receiver.of("Notification"))} == {str(n) for n in range(8)}


def test_a_message_survives_the_death_of_the_server(lake, receiver):
    sns = lake.client("sns")
    topic = topic_of(lake, "t")
    policy = {"healthyRetryPolicy": {"minDelayTarget": 1, "maxDelayTarget": 1, "numRetries": 100}}
    subscribed(lake, topic, receiver, DeliveryPolicy=json.dumps(policy))
    receiver.status = 503
    ids = {sns.publish(TopicArn=topic, Message=str(n))["MessageId"] for n in range(20)}
    lake.kill9()
    lake.start()
    receiver.received.clear()
    receiver.status = 200
    wait_until(lambda: {json.loads(body)["MessageId"] for _, body in receiver.of("Notification")} == ids, what="all messages")
    settle(lake)


def test_a_link_ends_a_subscription_and_another_brings_it_back(lake, receiver):
    sns = lake.client("sns")
    topic = topic_of(lake, "t")
    subscribed(lake, topic, receiver)
    sns.publish(TopicArn=topic, Message="x")
    link = json.loads(receiver.wait()[0][1])["UnsubscribeURL"]
    with urllib.request.urlopen(link) as answer:
        assert answer.status == 200
    goodbye = json.loads(receiver.wait("UnsubscribeConfirmation")[0][1])
    verify(goodbye)
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
    sns.publish(TopicArn=topic, Message="unheard")
    with urllib.request.urlopen(goodbye["SubscribeURL"]) as answer:
        assert answer.status == 200
    sns.publish(TopicArn=topic, Message="heard")
    assert [json.loads(body)["Message"] for _, body in receiver.wait(count=2)] == ["x", "heard"]


def test_a_signed_confirmation_can_have_the_end_need_one(lake):
    receiver = Receiver(confirm=False)
    try:
        sns = lake.client("sns")
        topic = topic_of(lake, "t")
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=receiver.url)
        token = json.loads(receiver.wait("SubscriptionConfirmation")[0][1])["Token"]
        subscription = sns.confirm_subscription(TopicArn=topic, Token=token, AuthenticateOnUnsubscribe="true")["SubscriptionArn"]
        shown = sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
        assert shown["ConfirmationWasAuthenticated"] == "true"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{lake.endpoint}/?Action=Unsubscribe&SubscriptionArn={subscription}")
        assert refused.value.code == 403
        sns.unsubscribe(SubscriptionArn=subscription)
        with pytest.raises(sns.exceptions.NotFoundException):
            sns.get_subscription_attributes(SubscriptionArn=subscription)
    finally:
        receiver.close()


def test_https_is_verified(new_lake, tmp_path, monkeypatch):
    import trustme

    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    receivers = []
    for issuer in (authority, stranger):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        issuer.issue_cert("localhost").configure_cert(context)
        receivers.append(Receiver(context=context))
    try:
        lake = new_lake()
        topic = topic_of(lake, "t")
        subscribed(lake, topic, receivers[0])
        lake.client("sns").subscribe(TopicArn=topic, Protocol="https", Endpoint=receivers[1].url)
        lake.client("sns").publish(TopicArn=topic, Message="secret")
        assert json.loads(receivers[0].wait()[0][1])["Message"] == "secret"
        wait_until(lambda: "certificate" in lake.log(400).lower(), what="the refusal in the log")
        assert receivers[1].received == []
    finally:
        for receiver in receivers:
            receiver.close()


def test_endpoints_that_must_not_be_called_are_refused(module_lake):
    sns = module_lake.client("sns")
    topic = topic_of(module_lake, "guarded")
    for protocol, endpoint, expected in [
        ("http", "http://169.254.169.254/latest/meta-data/", "link-local"),
        ("http", "http://[::ffff:a9fe:a9fe]/", "link-local"),
        ("http", "http://0xA9FEA9FE/", "link-local"),
        ("https", "http://localhost/", "Endpoint must match the specified protocol"),
        ("sms", "+15551234567", "does not deliver to sms"),
        ("application", arn("sns", "endpoint/APNS/a/1"), "does not deliver to application"),
        ("sqs", "http://localhost:4566/000000000000/q", "SQS endpoint ARN"),
        ("lambda", "f", "Lambda endpoint ARN"),
    ]:
        with pytest.raises(ClientError) as error:
            sns.subscribe(TopicArn=topic, Protocol=protocol, Endpoint=endpoint)
        assert code(error) == "InvalidParameter" and expected in message(error), message(error)


def test_policies_of_topics_change_by_statement(module_lake):
    sns = module_lake.client("sns")
    topic = topic_of(module_lake, "permissive")

    def statements():
        return json.loads(sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])["Statement"]

    before = statements()
    assert before[0]["Condition"] == {"StringEquals": {"AWS:SourceOwner": ACCOUNT}}
    sns.add_permission(TopicArn=topic, Label="l", AWSAccountId=["111122223333"], ActionName=["Publish", "Subscribe"])
    assert statements()[1] == {
        "Sid": "l", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
        "Action": ["SNS:Publish", "SNS:Subscribe"], "Resource": topic,
    }  # fmt: skip
    with pytest.raises(ClientError) as error:
        sns.add_permission(TopicArn=topic, Label="l", AWSAccountId=["111122223333"], ActionName=["Publish"])
    assert message(error) == "Invalid parameter: Statement already exists"
    with pytest.raises(ClientError) as error:
        sns.add_permission(TopicArn=topic, Label="m", AWSAccountId=["111122223333"], ActionName=["Fly"])
    assert message(error) == "Invalid parameter: Policy statement action out of service scope!"
    sns.remove_permission(TopicArn=topic, Label="l")
    assert statements() == before
    for operation in (sns.add_permission, sns.remove_permission):
        more = {"AWSAccountId": ["111122223333"], "ActionName": ["Publish"]} if operation == sns.add_permission else {}
        with pytest.raises(sns.exceptions.NotFoundException):
            operation(TopicArn=arn("sns", "gone"), Label="l", **more)
    with pytest.raises(ClientError) as error:
        sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue="{}")
    assert code(error) == "InvalidParameter" and "Policy Error" in message(error)


def test_attributes_of_topics_are_those_of_aws(module_lake):
    sns = module_lake.client("sns")
    fifo = topic_of(module_lake, "attributes.fifo", FifoTopic="true", DisplayName="d", SignatureVersion="2")
    shown = sns.get_topic_attributes(TopicArn=fifo)["Attributes"]
    assert (shown["FifoTopic"], shown["ContentBasedDeduplication"], shown["SignatureVersion"]) == ("true", "false", "2")
    effective = json.loads(shown["EffectiveDeliveryPolicy"])
    assert effective["http"]["defaultHealthyRetryPolicy"]["numRetries"] == 3
    topic = topic_of(module_lake, "attributes")
    assert "FifoTopic" not in sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert topic_of(module_lake, "attributes", FifoTopic="false") == topic
    policy = {"http": {"defaultHealthyRetryPolicy": {"minDelayTarget": 5, "maxDelayTarget": 6, "numRetries": 1}}}
    sns.set_topic_attributes(TopicArn=topic, AttributeName="DeliveryPolicy", AttributeValue=json.dumps(policy))
    shown = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert json.loads(shown["DeliveryPolicy"]) == {"http": {**policy["http"], "disableSubscriptionOverrides": False}}
    assert json.loads(shown["EffectiveDeliveryPolicy"])["http"]["defaultHealthyRetryPolicy"]["maxDelayTarget"] == 6
    sns.set_topic_attributes(TopicArn=topic, AttributeName="DeliveryPolicy", AttributeValue="")
    assert "DeliveryPolicy" not in sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    for name, value, expected in [
        ("FifoTopic", "false", "AttributeName"),
        ("Colour", "red", "AttributeName"),
        ("ContentBasedDeduplication", "true", "FIFO"),
        ("KmsMasterKeyId", "alias/a b", "id, ARN or alias of a key"),
        ("ArchivePolicy", '{"MessageRetentionPeriod": "30"}', "no archive"),
        ("DeliveryPolicy", '{"http": {"defaultHealthyRetryPolicy": {"numRetries": 101}}}', "numRetries"),
    ]:
        with pytest.raises(ClientError) as error:
            sns.set_topic_attributes(TopicArn=topic, AttributeName=name, AttributeValue=value)
        assert code(error) == "InvalidParameter" and expected in message(error), message(error)
    with pytest.raises(ClientError) as error:
        topic_of(module_lake, "attributes", SignatureVersion="2")
    assert message(error) == "Invalid parameter: Attributes Reason: Topic already exists with different attributes"
    sns.set_topic_attributes(TopicArn=topic, AttributeName="MaximumMessageSize", AttributeValue="1024")
    with pytest.raises(ClientError) as error:
        sns.publish(TopicArn=topic, Message="x" * 1025)
    assert message(error) == "Invalid parameter: Message too long"


def test_the_key_of_a_topic_is_kept_and_shown(module_lake):
    sns = module_lake.client("sns")
    topic = topic_of(module_lake, "keyed", KmsMasterKeyId="alias/aws/sns")
    key = lambda: sns.get_topic_attributes(TopicArn=topic)["Attributes"].get("KmsMasterKeyId")  # noqa: E731
    assert key() == "alias/aws/sns"
    assert topic_of(module_lake, "keyed", KmsMasterKeyId="alias/aws/sns") == topic
    sns.set_topic_attributes(TopicArn=topic, AttributeName="KmsMasterKeyId", AttributeValue="alias/mine")
    assert key() == "alias/mine"
    sns.publish(TopicArn=topic, Message="x")
    sns.set_topic_attributes(TopicArn=topic, AttributeName="KmsMasterKeyId", AttributeValue="")
    assert key() is None
    assert topic_of(module_lake, "keyed", KmsMasterKeyId="") == topic


def test_a_rule_cannot_name_a_fifo_topic(module_lake):
    events = module_lake.client("events")
    events.put_rule(Name="to-fifo", EventPattern=json.dumps({"source": ["shop"]}))
    target = {"Id": "t", "Arn": topic_of(module_lake, "ruled.fifo", FifoTopic="true")}
    for parameters in ({}, {"SqsParameters": {"MessageGroupId": "g"}}):
        with pytest.raises(ClientError) as error:
            events.put_targets(Rule="to-fifo", Targets=[{**target, **parameters}])
        assert code(error) == "ValidationException" and "FIFO topic" in message(error), message(error)
    assert events.list_targets_by_rule(Rule="to-fifo")["Targets"] == []


def test_wrong_calls_are_refused_as_aws_does(module_lake):
    sns = module_lake.client("sns")
    topic = topic_of(module_lake, "refusals")

    def refused(operation, expected, expected_code="InvalidParameter", **given):
        with pytest.raises(ClientError) as error:
            operation(**given)
        assert (code(error), message(error)) == (expected_code, expected)

    refused(sns.publish, "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1", TopicArn="t", Message="x")
    refused(sns.publish, "Invalid parameter: TopicArn", TopicArn=topic.replace("us-east-1", "eu-west-1"), Message="x")
    refused(sns.publish, "Topic does not exist", "NotFound", TopicArn=topic + "x", Message="x")
    refused(sns.publish, "Invalid parameter: PhoneNumber Reason: +1a234 is not valid to publish to", PhoneNumber="+1a234", Message="x")
    endpoint = arn("sns", "endpoint/APNS/a/1")
    refused(sns.publish, "Invalid parameter: TargetArn Reason: No endpoint found for the target arn specified", TargetArn=endpoint, Message="x")
    assert sns.publish(TargetArn=topic, Message="x")["MessageId"]
    refused(sns.confirm_subscription, "Invalid token", TopicArn=topic, Token="randomtoken")
    refused(sns.confirm_subscription, "Invalid parameter: Token", TopicArn=topic, Token="5" * 128)
    refused(sns.unsubscribe, "Invalid parameter: SubscriptionId", SubscriptionArn=topic)
    entry = {"Id": "a.b", "Message": "x"}
    refused(
        sns.publish_batch,
        "The Id of a batch entry in the batch request contains an impermissible character: a.b",
        "InvalidBatchEntryId",
        TopicArn=topic,
        PublishBatchRequestEntries=[entry],
    )
    halves = [{"Id": str(n), "Message": "x" * 140_000} for n in range(2)]
    refused(
        sns.publish_batch,
        "The length of all the messages put together is more than the limit.",
        "BatchRequestTooLong",
        TopicArn=topic,
        PublishBatchRequestEntries=halves,
    )
    queue = arn("sqs", "q.fifo")
    refused(
        sns.subscribe,
        "Invalid parameter: Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics",
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=queue,
    )
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn("sqs", "q"))["SubscriptionArn"]
    for name, value, expected in [
        ("fake", "x", "Invalid parameter: AttributeName"),
        ("RawMessageDelivery", "test-ValUe", "Invalid parameter: RawMessageDelivery: Invalid value [test-ValUe]. Must be true or false."),
        ("RawMessageDelivery", "", "Invalid parameter: RawMessageDelivery: Invalid value []. Must be true or false."),
        ("RedrivePolicy", '{"deadLetterTargetArn": "fake"}', "Invalid parameter: RedrivePolicy: deadLetterTargetArn is an invalid arn"),
        ("FilterPolicy", '{"a": {"b": ["c"]}}', "Invalid parameter: Filter policy scope MessageAttributes does not support nested filter policy"),
    ]:
        given = {"SubscriptionArn": subscription, "AttributeName": name, "AttributeValue": value}
        refused(sns.set_subscription_attributes, expected, **given)


def test_queues_get_envelopes_or_raw_texts(lake):
    sns = lake.client("sns")
    topic = topic_of(lake, "t")
    whole, raw = Queue(lake, "whole"), Queue(lake, "raw")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=whole.arn)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=raw.arn, Attributes={"RawMessageDelivery": "true"})
    attributes = {"store": {"DataType": "String", "StringValue": "s"}, "b": {"DataType": "Binary", "BinaryValue": b"\x02\x03\x04"}}
    sns.publish(TopicArn=topic, Message="hello", Subject="s", MessageAttributes=attributes)
    envelope = json.loads(whole.receive()[0]["Body"])
    verify(envelope)
    assert envelope["MessageAttributes"]["b"] == {"Type": "Binary", "Value": "AgME"}
    got = raw.receive()[0]
    assert got["Body"] == "hello" and got["MessageAttributes"] == attributes


def test_the_largest_message_reaches_a_queue_in_its_envelope(lake):
    sns = lake.client("sns")
    topic = topic_of(lake, "t")
    queue = Queue(lake, "q")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    largest = '"' * 262_144
    sns.publish(TopicArn=topic, Message=largest)
    assert json.loads(queue.receive()[0]["Body"])["Message"] == largest
    with pytest.raises(ClientError) as error:
        sns.publish(TopicArn=topic, Message=largest + "x")
    assert message(error) == "Invalid parameter: Message too long"


HANDLER = """
import json

def handler(event, context):
    print("GOT " + json.dumps(event))
"""


def test_a_function_gets_the_record_where_it_lets_the_topic(lake):
    sns, functions, logs = lake.client("sns"), lake.client("lambda"), lake.client("logs")
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    role = lake.client("iam").create_role(RoleName="f", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", **trust}))["Role"]["Arn"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("f.py", HANDLER)
    runtime = f"python3.{sys.version_info.minor}"
    code = {"ZipFile": buffer.getvalue()}
    function = functions.create_function(FunctionName="f", Runtime=runtime, Role=role, Handler="f.handler", Code=code)["FunctionArn"]
    topic = topic_of(lake, "t")
    dead = Queue(lake, "dead")
    redrive = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead.arn})}
    subscription = sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function, Attributes=redrive)["SubscriptionArn"]
    sns.publish(TopicArn=topic, Message="not yet")
    letter = dead.receive()[0]
    assert json.loads(letter["Body"])["Message"] == "not yet"
    assert "sns.amazonaws.com" in letter["MessageAttributes"]["ErrorMessage"]["StringValue"]
    permission = {"Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com", "SourceArn": topic}
    functions.add_permission(FunctionName="f", StatementId="topic", **permission)
    sns.publish(TopicArn=topic, Message="now", Subject="s")

    def got():
        try:
            events = logs.filter_log_events(logGroupName="/aws/lambda/f", filterPattern="GOT")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return None
        return [json.loads(event["message"].split("GOT ", 1)[1]) for event in events]

    record = wait_until(got, 60, 0.2, "the function's line")[0]["Records"][0]
    assert (record["EventSource"], record["EventVersion"], record["EventSubscriptionArn"]) == ("aws:sns", "1.0", subscription)
    assert (record["Sns"]["Message"], record["Sns"]["Subject"], record["Sns"]["MessageAttributes"]) == ("now", "s", {})
    renamed = {"SigningCertURL": record["Sns"]["SigningCertUrl"], **record["Sns"]}
    verify(renamed)


def test_a_queue_that_is_gone_or_closed_is_told_in_the_dead_letter_queue(lake):
    sns, sqs = lake.client("sns"), lake.client("sqs")
    topic = topic_of(lake, "t")
    dead, gone = Queue(lake, "dead"), Queue(lake, "gone")
    redrive = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead.arn})}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=gone.arn, Attributes=redrive)
    sqs.delete_queue(QueueUrl=gone.url)
    sns.publish(TopicArn=topic, Message="lost")
    letter = dead.receive()[0]
    assert json.loads(letter["Body"])["Message"] == "lost"
    assert "gone" in letter["MessageAttributes"]["ErrorMessage"]["StringValue"]
    sqs.create_queue(QueueName="closed")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn("sqs", "closed"), Attributes=redrive)
    sns.publish(TopicArn=topic, Message="denied")
    reasons = [letter["MessageAttributes"]["ErrorMessage"]["StringValue"] for letter in dead.receive(2)]
    assert any("sns.amazonaws.com" in reason and "closed" in reason for reason in reasons), reasons


def test_an_endpoint_that_never_answers_has_its_dead_letter_queue(lake, receiver):
    sns = lake.client("sns")
    topic = topic_of(lake, "t")
    dead = Queue(lake, "dead")
    policies = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead.arn}), "DeliveryPolicy": json.dumps(FAST)}
    subscribed(lake, topic, receiver, **policies)
    receiver.status = 500
    sns.publish(TopicArn=topic, Message="lost")
    letter = dead.receive()[0]
    envelope = json.loads(letter["Body"])
    verify(envelope)
    assert envelope["Message"] == "lost" and "tried 4 times" in letter["MessageAttributes"]["ErrorMessage"]["StringValue"]
    assert "no task was given up" in lake.millpond("runs", "dead")


def test_fifo_topics_keep_the_order_and_take_a_message_once(lake):
    sns = lake.client("sns")
    topic = topic_of(lake, "t.fifo", FifoTopic="true", ContentBasedDeduplication="true")
    queue = Queue(lake, "q.fifo", FifoQueue="true")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    numbers = [sns.publish(TopicArn=topic, Message=f"m{n}", MessageGroupId="g")["SequenceNumber"] for n in range(12)]
    assert numbers == sorted(numbers) and len(set(numbers)) == 12
    assert sns.publish(TopicArn=topic, Message="m3", MessageGroupId="other")["SequenceNumber"] == numbers[3]
    entries = [{"Id": str(n), "Message": f"b{n}", "MessageGroupId": "g"} for n in range(3)]
    batch = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    assert [entry["Id"] for entry in batch["Successful"]] == ["0", "1", "2"] and all("SequenceNumber" in e for e in batch["Successful"])
    got = queue.receive(15)
    envelopes = [json.loads(message["Body"]) for message in got]
    assert [envelope["Message"] for envelope in envelopes] == [f"m{n}" for n in range(12)] + ["b0", "b1", "b2"]
    assert [envelope["SequenceNumber"] for envelope in envelopes[:12]] == numbers
    assert all("Signature" not in envelope for envelope in envelopes)
    assert {message["Attributes"]["MessageGroupId"] for message in got} == {"g"}


def test_filter_policies_choose_among_queues(lake):
    sns = lake.client("sns")
    topic = topic_of(lake, "t")
    by_attribute, by_body = Queue(lake, "by-attribute"), Queue(lake, "by-body")
    policy = json.dumps({"price": [{"numeric": [">", 10]}], "tags": ["new"]})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=by_attribute.arn, Attributes={"FilterPolicy": policy})
    policy = json.dumps({"detail": {"state": [{"anything-but": {"prefix": "OK"}}]}})
    scope = {"FilterPolicy": policy, "FilterPolicyScope": "MessageBody"}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=by_body.arn, Attributes=scope)
    attributes = {
        "price": {"DataType": "Number", "StringValue": "10.5"},
        "tags": {"DataType": "String.Array", "StringValue": '["old", "new"]'},
    }
    sns.publish(TopicArn=topic, Message='{"detail": {"state": "OK-1"}}', MessageAttributes=attributes)
    sns.publish(TopicArn=topic, Message='{"detail": {"state": "FAILED"}}')
    assert json.loads(by_attribute.receive()[0]["Body"])["Message"] == '{"detail": {"state": "OK-1"}}'
    assert json.loads(by_body.receive()[0]["Body"])["Message"] == '{"detail": {"state": "FAILED"}}'
    for queue in (by_attribute, by_body):
        assert "Messages" not in queue.sqs.receive_message(QueueUrl=queue.url)


def test_a_rule_that_its_topic_does_not_let_says_what_is_missing(lake):
    events = lake.client("events")
    topic = topic_of(lake, "closed")
    events.put_rule(Name="r", EventPattern='{"source": ["shop"]}')
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": topic}])
    events.put_events(Entries=[{"Source": "shop", "DetailType": "d", "Detail": "{}"}])
    told = wait_until(lambda: "events.amazonaws.com" in (told := lake.millpond("runs", "dead")) and told, what="the dead letter")
    assert "set-topic-attributes" in told and topic in told


def test_mail_waits_for_a_server_that_is_down(new_lake):
    port = free_port()
    lake = new_lake(f'[smtp]\nhost = "127.0.0.1"\nport = {port}\nfrom = "lake@example.com"\ntls = "none"\n')
    sns = lake.client("sns")
    topic = topic_of(lake, "t")
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.com")
    wait_until(lambda: "did not take the mail" in lake.log(200), what="the first failure")
    smtp = Smtp(port)
    try:
        _, mail = smtp.wait()[0]
        link = next(line for line in mail.get_content().splitlines() if "Action=ConfirmSubscription" in line)
        urllib.request.urlopen(link.strip()).read()
        smtp.close()
        for n in range(5):
            sns.publish(TopicArn=topic, Message=f"waiting {n}")
        wait_until(lambda: lake.log(400).count("did not take the mail") >= 6, what="mails that wait")
        lake.kill9()
        lake.start()
        smtp = Smtp(port)
        texts = {mail.get_content().split("\n")[0].strip() for _, mail in smtp.wait(5, 60)}
        assert texts == {f"waiting {n}" for n in range(5)}
        settle(lake)
        assert len(smtp.messages) == 5
    finally:
        smtp.close()


def test_a_json_mail_is_signed(lake_with_smtp):
    lake, sns = lake_with_smtp, lake_with_smtp.client("sns")
    topic = topic_of(lake, "t")
    sns.subscribe(TopicArn=topic, Protocol="email-json", Endpoint="a@example.com")
    asked = json.loads(lake.smtp.wait()[0][1].get_content())
    verify(asked)
    urllib.request.urlopen(asked["SubscribeURL"]).read()
    sns.publish(TopicArn=topic, Subject="s", Message="m")
    got = json.loads(lake.smtp.wait(2)[1][1].get_content())
    verify(got)
    assert (got["Type"], got["Subject"], got["Message"]) == ("Notification", "s", "m")


def test_the_aws_cli_publishes_and_subscribes(module_lake, receiver):
    topic = json.loads(module_lake.aws("sns", "create-topic", "--name", "cli"))["TopicArn"]
    module_lake.aws("sns", "subscribe", "--topic-arn", topic, "--protocol", "http", "--notification-endpoint", receiver.url)
    receiver.wait("SubscriptionConfirmation")
    sns = module_lake.client("sns")
    wait_until(lambda: sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsConfirmed"] == "1", what="the confirmation")
    module_lake.aws("sns", "publish", "--topic-arn", topic, "--message", "from the shell")
    assert json.loads(receiver.wait()[0][1])["Message"] == "from the shell"
