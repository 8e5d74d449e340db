#!/usr/bin/env python3
"""Deploys a chain with boto3, as it is done on AWS:

    bucket -> [queue ->] function -> crawler -> rule -> function -> job -> rule -> topic -> mail

    python3 examples/chains/deploy.py orders --mail ops@example.com           bucket -> function
    python3 examples/chains/deploy.py orders --mail ops@example.com --queue   bucket -> queue -> function

It needs boto3, and an environment that says where the lake is: eval "$(millpond env)". Then confirm the subscription by the link in the mail
(`millpond mail` where no mail server is set), and drop a file:

    aws s3 cp orders.csv s3://orders-raw/orders/
"""

import argparse
import io
import json
import time
import zipfile
from pathlib import Path

import boto3

FUNCTIONS = Path(__file__).parent / "functions"


def package(*modules):
    """A zip with these modules, as Lambda takes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for module in modules:
            archive.write(FUNCTIONS / f"{module}.py", f"{module}.py")
    return buffer.getvalue()


class Chain:
    """The parts of one chain; all are named after it."""

    def __init__(self, name):
        self.name = name
        self.raw, self.processed = f"{name}-raw", f"{name}-processed"
        self.s3, self.glue, self.sqs = boto3.client("s3"), boto3.client("glue"), boto3.client("sqs")
        self.functions, self.events, self.sns = boto3.client("lambda"), boto3.client("events"), boto3.client("sns")
        self.iam = boto3.client("iam")
        self.account = boto3.client("sts").get_caller_identity()["Account"]
        self.region = self.s3.meta.region_name

    def role(self, service, *policies):
        """A role that `service` may take, with AWS's managed policies."""
        trust = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}],
        }
        role = self.iam.create_role(RoleName=f"{self.name}-{service}", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        for policy in policies:
            self.iam.attach_role_policy(RoleName=role["RoleName"], PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
        return role["Arn"]

    def lake(self, role):
        """Buckets, databases, the crawler over what comes in, and the job that converts it."""
        for bucket in (self.raw, self.processed):
            self.s3.create_bucket(Bucket=bucket)
        database = self.name.replace("-", "_")
        self.glue.create_database(DatabaseInput={"Name": f"{database}_raw"})
        self.glue.create_database(DatabaseInput={"Name": database, "LocationUri": f"s3://{self.processed}/"})
        self.glue.create_crawler(
            Name=self.name,
            Role=role,
            DatabaseName=f"{database}_raw",
            Targets={"S3Targets": [{"Path": f"s3://{self.raw}/{self.name}/"}]},
        )
        self.glue.create_job(
            Name=self.name,
            Role=role,
            Command={"Name": "millpond"},
            ExecutionProperty={"MaxConcurrentRuns": 1},
            DefaultArguments={
                "--source-database": f"{database}_raw",
                "--source-table": database,
                "--target-database": database,
                "--target-table": database,
                "--job-bookmark-option": "job-bookmark-enable",
            },
        )

    def function(self, name, role, modules, handler, timeout_s=60, **environment):
        """A Python function; answers its ARN when it is ready."""
        created = self.functions.create_function(
            FunctionName=f"{self.name}-{name}",
            Runtime="python3.11",
            Role=role,
            Handler=handler,
            Code={"ZipFile": package(*modules)},
            Timeout=timeout_s,
            Environment={"Variables": environment},
        )
        self.functions.get_waiter("function_active_v2").wait(FunctionName=created["FunctionArn"])
        return created["FunctionArn"]

    def allow(self, function, service, source):
        """Lets a service call a function for one source."""
        self.functions.add_permission(
            FunctionName=function,
            StatementId=service,
            Action="lambda:InvokeFunction",
            Principal=f"{service}.amazonaws.com",
            SourceArn=source,
            **({"SourceAccount": self.account} if service == "s3" else {}),
        )

    def files_to_function(self, function):
        self.allow(function, "s3", f"arn:aws:s3:::{self.raw}")
        self.notify({"LambdaFunctionConfigurations": [{"LambdaFunctionArn": function, **self.what()}]})

    def files_to_queue(self, function, visibility_s):
        """The bucket tells a queue, which calls the function; what fails five times goes to a dead-letter queue."""
        dead = self.queue(f"{self.name}-dead")
        redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 5})
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "s3.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": f"arn:aws:sqs:{self.region}:{self.account}:{self.name}-files",
                    "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{self.raw}"}},
                }
            ],
        }
        files = self.queue(
            f"{self.name}-files", RedrivePolicy=redrive, Policy=json.dumps(policy), VisibilityTimeout=str(visibility_s)
        )
        self.notify({"QueueConfigurations": [{"QueueArn": files, **self.what()}]})
        self.functions.create_event_source_mapping(EventSourceArn=files, FunctionName=function, BatchSize=10)

    def queue(self, name, **attributes):
        url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def what(self):
        rules = [{"Name": "prefix", "Value": f"{self.name}/"}, {"Name": "suffix", "Value": ".csv"}]
        return {"Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}}}

    def notify(self, configuration):
        self.s3.put_bucket_notification_configuration(Bucket=self.raw, NotificationConfiguration=configuration)

    def rule(self, name, detail_type, detail, target):
        """A rule on Glue's events; answers its ARN."""
        pattern = {"source": ["aws.glue"], "detail-type": [detail_type], "detail": detail}
        rule = self.events.put_rule(Name=f"{self.name}-{name}", EventPattern=json.dumps(pattern))["RuleArn"]
        self.events.put_targets(Rule=f"{self.name}-{name}", Targets=[{"Id": name, **target}])
        return rule

    def topic(self, mail):
        """A topic that EventBridge may publish to, with one subscriber."""
        topic = self.sns.create_topic(Name=self.name)["TopicArn"]
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "events.amazonaws.com"},
                    "Action": "sns:Publish",
                    "Resource": topic,
                }
            ],
        }
        self.sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(policy))
        self.sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=mail)
        return topic


def deploy(name, mail, queue=False, modules=("start_crawler",), job_modules=("start_job",), timeout_s=60):
    """Makes all parts; the last of the `modules` holds the handler that starts the crawler, the last of the `job_modules` that of the job."""
    chain = Chain(name)
    glue_role = chain.role("glue", "service-role/AWSGlueServiceRole", "AmazonS3FullAccess")
    lambda_role = chain.role(
        "lambda", "service-role/AWSLambdaBasicExecutionRole", "service-role/AWSLambdaSQSQueueExecutionRole", "AWSGlueConsoleFullAccess"
    )
    chain.lake(glue_role)
    start_crawler = chain.function("start-crawler", lambda_role, modules, f"{modules[-1]}.handler", timeout_s, CRAWLER=name)
    start_job = chain.function("start-job", lambda_role, job_modules, f"{job_modules[-1]}.handler", JOB=name)
    if queue:
        chain.files_to_queue(start_crawler, timeout_s)
    else:
        chain.files_to_function(start_crawler)
    crawled = {"crawlerName": [name], "state": ["Succeeded"]}
    rule = chain.rule("crawled", "Glue Crawler State Change", crawled, {"Arn": start_job})
    chain.allow(start_job, "events", rule)
    converted = {"jobName": [name], "state": ["SUCCEEDED"]}
    chain.rule("converted", "Glue Job State Change", converted, {"Arn": chain.topic(mail)})
    return chain


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the chain; its buckets are NAME-raw and NAME-processed")
    parser.add_argument("--mail", required=True, help="who is told")
    parser.add_argument("--queue", action="store_true", help="put a queue between the bucket and the function")
    arguments = parser.parse_args()
    began = time.monotonic()
    try:
        chain = deploy(arguments.name, arguments.mail, arguments.queue)
    except boto3.client("iam").exceptions.EntityAlreadyExistsException:
        raise SystemExit(f"a chain of the name '{arguments.name}' is there already; give this one another name") from None
    print(f"deployed {chain.name} in {time.monotonic() - began:.1f} s")
    print(f"  confirm the subscription of {arguments.mail}, then: aws s3 cp FILE.csv s3://{chain.raw}/{chain.name}/")


if __name__ == "__main__":
    main()
