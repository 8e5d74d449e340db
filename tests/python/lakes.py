"""The pattern, created by hand as a user of AWS creates it: bucket, notification, database, crawler, job, rules, topic."""

import json

from harness import wait_until

ACCOUNT = "000000000000"
REGION = "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/lake"


def arn(service, resource):
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def create_pattern(lake, name="flights", raw="raw", processed="processed", partition_by="", sql=None, mail_to=None, extra=None):
    """Everything from the bucket to the topic; answers the topic's ARN (or None)."""
    s3, glue, events = lake.client("s3"), lake.client("glue"), lake.client("events")
    for bucket in (raw, processed):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_notification_configuration(Bucket=raw, NotificationConfiguration={"EventBridgeConfiguration": {}})
    for database, bucket in (("raw", raw), ("processed", processed)):
        try:
            glue.create_database(DatabaseInput={"Name": database, "LocationUri": f"s3://{bucket}/"})
        except glue.exceptions.AlreadyExistsException:
            pass
    glue.create_crawler(
        Name=name,
        Role=ROLE,
        DatabaseName="raw",
        Targets={"S3Targets": [{"Path": f"s3://{raw}/{name}/"}]},
        RecrawlPolicy={"RecrawlBehavior": "CRAWL_EVENT_MODE"},
        SchemaChangePolicy={"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "LOG"},
        Configuration=json.dumps({"Version": 1.0, "Grouping": {"TableLevelConfiguration": 2}}),
    )
    arguments = {
        "--source-database": "raw",
        "--source-table": name,
        "--target-database": "processed",
        "--target-table": name,
        "--job-bookmark-option": "job-bookmark-enable",
        **({"--partition-by": partition_by} if partition_by else {}),
        **({"--sql": sql} if sql else {}),
        **(extra or {}),
    }
    glue.create_job(Name=name, Role=ROLE, Command={"Name": "millpond"}, DefaultArguments=arguments)
    arrived = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [raw]}, "object": {"key": [{"prefix": f"{name}/"}]}},
    }
    crawled = {
        "source": ["aws.glue"],
        "detail-type": ["Glue Crawler State Change"],
        "detail": {"crawlerName": [name], "state": ["Succeeded"]},
    }
    ended = {"source": ["aws.glue"], "detail-type": ["Glue Job State Change"], "detail": {"jobName": [name]}}
    rule(events, f"{name}-arrived", arrived, arn("glue", f"crawler/{name}"))
    rule(events, f"{name}-crawled", crawled, arn("glue", f"job/{name}"))
    if not mail_to:
        return None
    sns = lake.client("sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    let_rules_publish(sns, topic)
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=mail_to)
    rule(events, f"{name}-ended", ended, topic)
    return topic


def let_rules_publish(sns, topic):
    """The statement that EventBridge needs in a topic's policy."""
    statement = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sns:Publish", "Resource": topic}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)


def rule(events, name, pattern, target):
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    failed = events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": target}])
    assert failed["FailedEntryCount"] == 0, failed


def count(lake, table):
    """The rows of a table; 0 where it is not there yet."""
    from harness import QueryFailed

    try:
        return int(lake.scalar(f"select count(*) from {table}"))
    except QueryFailed as error:
        if "TABLE_NOT_FOUND" in error.reason or "SCHEMA_NOT_FOUND" in error.reason or "does not exist" in error.reason:
            return 0
        raise


def wait_count(lake, table, rows, timeout_s=60):
    """Waits until a table has so many rows, and fails at once when it has more."""

    def counted():
        found = count(lake, table)
        assert found <= rows, f"{table} has {found} rows, {rows} were put"
        return found == rows

    wait_until(counted, timeout_s, 0.1, f"{rows} rows in {table} (it has {count(lake, table)})")


def settle(lake, timeout_s=120):
    """Waits until nothing is left to do, by the lake's own word."""
    wait_until(lambda: lake.own("idle", {"wait_ms": 1000})["idle"], timeout_s, 0.05, "the end of all work")


def last_run(lake, job):
    """The latest run of a job."""
    runs = lake.client("glue").get_job_runs(JobName=job)["JobRuns"]
    return max(runs, key=lambda run: run["StartedOn"]) if runs else None
