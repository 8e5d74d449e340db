"""Starts the job in $JOB when its crawler has succeeded; the event is Glue's `Glue Crawler State Change`."""

import os

import boto3

glue = boto3.client("glue")


def handler(event, context):
    crawler = event["detail"]["crawlerName"]
    run = glue.start_job_run(JobName=os.environ["JOB"])
    print(f"{crawler} has {event['detail']['state'].lower()}; started {run['JobRunId']}")
    return run["JobRunId"]
