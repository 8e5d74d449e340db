"""The chains of `examples/chains`, deployed by their own scripts: from a file in a bucket to a mail, with functions, rules and queues between."""

import json
import time

from chains import MAIL, config, confirm, deployer, orders, run_script, told
from harness import wait_until
from lakes import count, rule, settle, wait_count


def drop(lake, name, number, rows=100):
    lake.client("s3").put_object(Bucket=f"{name}-raw", Key=f"{name}/{number}.csv", Body=orders(number * 1000, rows).encode())


def states(lake, name):
    return [run["JobRunState"] for run in lake.client("glue").get_job_runs(JobName=name)["JobRuns"]]


def the_chain_runs(lake, smtp, name):
    """Drops a file, and waits for all that follows; drops another one, and looks that only that one is added."""
    confirm(smtp)
    drop(lake, name, 1)
    wait_count(lake, f"{name}.{name}", 100)
    wait_until(lambda: len(told(smtp)) == 1, what="the mail about the run")
    drop(lake, name, 2, rows=50)
    wait_count(lake, f"{name}.{name}", 150)
    wait_until(lambda: len(told(smtp)) == 2, what="the mail about the second run")
    assert set(states(lake, name)) == {"SUCCEEDED"}
    assert lake.scalar(f"select sum(price) from {name}.{name}") is not None


def test_a_file_starts_the_chain_that_boto3_deployed(new_lake, smtp):
    lake = new_lake(config(smtp))
    said = run_script(lake, "deploy.py", "orders", "--mail", MAIL)
    assert "deployed orders" in said
    the_chain_runs(lake, smtp, "orders")


def test_a_file_starts_the_chain_that_the_aws_cli_deployed(new_lake, smtp):
    lake = new_lake(config(smtp))
    run_script(lake, "deploy.sh", "orders", MAIL)
    the_chain_runs(lake, smtp, "orders")
    logs = lake.aws("logs", "filter-log-events", "--log-group-name", "/aws/lambda/orders-start-crawler", "--query", "events[].message")
    assert "came: orders/1.csv" in logs and "REPORT RequestId" in logs


def test_with_a_queue_between_a_failed_first_attempt_loses_nothing(new_lake, smtp, monkeypatch):
    lake = new_lake(config(smtp))
    deploy = deployer(lake, monkeypatch)
    # A message that failed comes again when its visibility timeout is over, which is at least the function's own: soon, for the test.
    deploy.deploy("orders", MAIL, queue=True, modules=("start_crawler", "stumble"), timeout_s=4)
    sqs = lake.client("sqs")
    files = sqs.get_queue_url(QueueName="orders-files")["QueueUrl"]
    the_chain_runs(lake, smtp, "orders")
    settle(lake)
    wait_until(lambda: waiting(sqs, files) == 0, what="the end of all messages")
    assert waiting(sqs, sqs.get_queue_url(QueueName="orders-dead")["QueueUrl"]) == 0
    events = lake.client("logs").filter_log_events(logGroupName="/aws/lambda/orders-start-crawler")["events"]
    failed = [event for event in events if "the first attempt always fails here" in event["message"]]
    assert failed, "no first attempt has failed"


def waiting(sqs, url):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)


def test_a_rule_that_names_another_crawler_does_not_fire(new_lake, smtp):
    lake = new_lake(config(smtp))
    run_script(lake, "deploy.py", "orders", "--mail", MAIL)
    sqs, events = lake.client("sqs"), lake.client("events")
    arns = {}
    for name in ("orders", "others"):
        url = sqs.create_queue(QueueName=f"crawled-{name}")["QueueUrl"]
        arn = arns[url] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allow = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [allow]})})
        pattern = {
            "source": ["aws.glue"],
            "detail-type": ["Glue Crawler State Change"],
            "detail": {"crawlerName": [name], "state": ["Succeeded"]},
        }
        rule(events, f"tell-{name}", pattern, arn)
    the_chain_runs(lake, smtp, "orders")
    settle(lake)
    named, other = arns
    assert waiting(sqs, named) == 2, "the rule that names the crawler fires for each crawl"
    assert waiting(sqs, other) == 0
    message = json.loads(sqs.receive_message(QueueUrl=named)["Messages"][0]["Body"])
    assert (message["detail"]["crawlerName"], message["detail"]["state"]) == ("orders", "Succeeded")
    assert count(lake, "orders.orders") == 150


def test_files_that_come_while_the_crawler_is_at_work_are_seen_by_a_later_call(new_lake, smtp):
    lake = new_lake(config(smtp))
    run_script(lake, "deploy.py", "orders", "--mail", MAIL)
    for number in range(1, 6):
        drop(lake, "orders", number)
        time.sleep(0.05)
    wait_count(lake, "orders.orders", 500, timeout_s=90)
