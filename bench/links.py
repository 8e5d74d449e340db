"""The links of chains: from a file to a function's handler, and from many files into a queue."""

import io
import json
import shutil
import socket
import statistics
import tempfile
import time
import zipfile
from pathlib import Path

from common import new_lake

# Says when it starts, before anything else; the time is taken here, and not where the datagram arrives.
HANDLER = """
import os, socket, time
def handler(event, context):
    began = time.time_ns()
    key = event["Records"][0]["s3"]["object"]["key"] if "Records" in event else event["key"]
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(f"{began} {key}".encode(), ("127.0.0.1", int(os.environ["PORT"])))
    return key
"""
WITH_BOTO3 = "import boto3\nglue = boto3.client('glue')\n" + HANDLER


def trust(service):
    allow = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [allow]})


def create_function(lake, name, code, environment):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("handler.py", code)
    iam, functions = lake.client("iam"), lake.client("lambda")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust("lambda.amazonaws.com"))["Role"]["Arn"]
    arn = functions.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=role,
        Handler="handler.handler",
        Code={"ZipFile": buffer.getvalue()},
        Environment={"Variables": environment},
    )["FunctionArn"]
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    return arn


class Started:
    """Hears from handlers when they started."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(30)
        self.port = self.socket.getsockname()[1]

    def wait(self, key):
        """When the handler of this key started, in nanoseconds since the epoch."""
        while True:
            began, found = self.socket.recv(4096).decode().split(" ", 1)
            if found == key:
                return int(began)


def put_and_hear(s3, started, bucket, key):
    """Milliseconds from the answer to PutObject to the start of the handler."""
    s3.put_object(Bucket=bucket, Key=key, Body=b"x" * 1024)
    answered = time.time_ns()
    return (started.wait(key) - answered) / 1e6


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def functions(report, files=500, colds=20):
    """From the answer to PutObject to the start of the handler: warm, cold, and cold with boto3."""
    import harness

    lake = new_lake("")
    try:
        s3, functions = lake.client("s3"), lake.client("lambda")
        started = Started()
        for name, code in (("plain", HANDLER), ("with-boto3", WITH_BOTO3)):
            arn = create_function(lake, name, code, {"PORT": str(started.port)})
            s3.create_bucket(Bucket=name)
            functions.add_permission(
                FunctionName=name,
                StatementId="s3",
                Action="lambda:InvokeFunction",
                Principal="s3.amazonaws.com",
                SourceArn=f"arn:aws:s3:::{name}",
            )
            notify = {"LambdaFunctionConfigurations": [{"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
            s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=notify)
            cold = []
            for number in range(colds):
                # Another environment is another configuration: no process of the former one is used again.
                variables = {"PORT": str(started.port), "COLD": str(number)}
                functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
                functions.get_waiter("function_updated_v2").wait(FunctionName=name)
                cold.append(put_and_hear(s3, started, name, f"cold-{number}"))
            warm = [put_and_hear(s3, started, name, f"warm-{number}") for number in range(files)]
            what = "PutObject's answer to the start of a Python handler"
            if name == "plain":
                report.add(f"{what}, warm, p50 of {files}", f"{statistics.median(warm):.1f} ms", "aim: at most 10 ms")
                report.add("  the same, p99", f"{percentile(warm, 0.99):.1f} ms")
                report.add(f"{what}, cold, median of {colds}", f"{statistics.median(cold):.0f} ms", "aim: at most 300 ms")
            else:
                report.add("  the same with boto3 and a client at import", f"{statistics.median(cold):.0f} ms")
    finally:
        harness.discard(lake)


def uploads(report, files=20_000):
    """So many files of 1 KB into a bucket that tells a queue: until the queue holds a message about each."""
    import harness

    lake = new_lake("")
    folder = Path(tempfile.mkdtemp())
    try:
        s3, sqs = lake.client("s3"), lake.client("sqs")
        s3.create_bucket(Bucket="files")
        arn = "arn:aws:sqs:us-east-1:000000000000:files"
        allow = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        url = sqs.create_queue(QueueName="files", Attributes={"Policy": policy})["QueueUrl"]
        notify = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
        s3.put_bucket_notification_configuration(Bucket="files", NotificationConfiguration=notify)
        sqs.purge_queue(QueueUrl=url)  # of the test event
        for number in range(files):
            (folder / f"{number:06}.csv").write_text("file,text\n" + f"{number},{'x' * 1000}\n")
        began = time.perf_counter()
        lake.millpond("put", "-q", folder, "s3://files/in/", timeout_s=1800)
        put = time.perf_counter() - began
        while depth(sqs, url) < files:
            time.sleep(0.005)
        took = time.perf_counter() - began
        lost = files - len(drain(sqs, url))
        assert lost == 0, f"{lost} uploads have no message"
        report.add(f"{files:,} uploads of 1 KB into a queue", f"{files / took:,.0f} uploads/s", "aim: 1,000; nothing lost")
        report.add("  the last message after the last answer", f"{(took - put) * 1e3:.0f} ms")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        harness.discard(lake)


def depth(sqs, url):
    name = "ApproximateNumberOfMessages"
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])


def drain(sqs, url):
    """The keys that the queue's messages are about; each may come once only."""
    keys = set()
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            key = json.loads(message["Body"])["Records"][0]["s3"]["object"]["key"]
            assert key not in keys, f"two messages about {key}"
            keys.add(key)
        entries = [{"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(messages)]
        sqs.delete_message_batch(QueueUrl=url, Entries=entries)
    return keys
