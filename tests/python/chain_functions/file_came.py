"""As the examples' start_crawler, but each call first leaves an object in the bucket `evidence` about every file that it is told of."""

import urllib.parse

import boto3
from start_crawler import handler as start_crawler
from start_crawler import records

s3 = boto3.client("s3")


def handler(event, context):
    for record in records(event):
        key = urllib.parse.unquote_plus(record["s3"]["object"]["key"])
        s3.put_object(Bucket="evidence", Key=f"file/{key}")
    return start_crawler(event, context)
