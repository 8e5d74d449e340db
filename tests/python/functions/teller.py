"""Sends each event that it gets, with what it makes of it, to the queue that its environment names; fails where the event wants that.

`fail` in an event (or in the body of a record) is how many tries of it fail: the try is told from the queue's own count where there is one, else
from a file of the process."""

import json
import os

import boto3

sqs = boto3.client("sqs")
tries = {}


def told(what):
    sqs.send_message(QueueUrl=os.environ["TOLD"], MessageBody=json.dumps(what))


def handler(event, context):
    told({"event": event, "request": context.aws_request_id, "version": context.function_version})
    if event.get("fail", 0) > 0:
        tries[context.aws_request_id] = tries.get(context.aws_request_id, 0) + 1
        if tries[context.aws_request_id] <= event["fail"]:
            raise RuntimeError(f"try {tries[context.aws_request_id]} fails")
    return {"seen": event}


def records(event, context):
    """A batch of a queue: tells it, and answers the messages that failed."""
    told({"records": event["Records"]})
    failed = []
    for record in event["Records"]:
        body = json.loads(record["body"]) if record["body"].startswith("{") else {}
        if body.get("raise"):
            raise RuntimeError("the whole batch")
        if int(record["attributes"]["ApproximateReceiveCount"]) <= body.get("fail", 0):
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
