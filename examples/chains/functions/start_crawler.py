"""Starts the crawler in $CRAWLER when files have come.

The event is a bucket's notification, or a batch of a queue whose messages are such notifications. A crawler that is at work already refuses to start
(CrawlerRunningException): the error is left to Lambda, which calls again later, so that no file goes unseen.
"""

import json
import os
import urllib.parse

import boto3

glue = boto3.client("glue")


def records(event):
    """The S3 records of a notification, or of all notifications in a batch of a queue; `s3:TestEvent` has none."""
    for record in event.get("Records", []):
        if record.get("eventSource") == "aws:sqs":
            yield from records(json.loads(record["body"]))
        else:
            yield record


def handler(event, context):
    keys = [urllib.parse.unquote_plus(record["s3"]["object"]["key"]) for record in records(event)]
    if not keys:
        return {"started": False}
    print(f"came: {', '.join(keys)}")
    glue.start_crawler(Name=os.environ["CRAWLER"])
    return {"started": True, "keys": keys}
