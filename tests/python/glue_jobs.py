"""What tests of Glue scripts do all the time: a role, a job from the text of its script, its runs and their logs."""

import json
import textwrap

from botocore.exceptions import ClientError

ROLE = "glue-scripts"
BUCKET = "glue-scripts"
GROUPS = {"pythonshell": "/aws-glue/python-jobs", "glueetl": "/aws-glue/jobs"}


def role(lake, name=ROLE, service="glue.amazonaws.com"):
    """A role that the service may assume; its ARN."""
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}
    iam = lake.client("iam")
    try:
        return iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    except iam.exceptions.EntityAlreadyExistsException:
        return iam.get_role(RoleName=name)["Role"]["Arn"]


def put_script(lake, name, text):
    """The script in S3; its URI."""
    try:
        lake.bucket(BUCKET)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise
    lake.put(BUCKET, f"scripts/{name}.py", textwrap.dedent(text).lstrip("\n"))
    return f"s3://{BUCKET}/scripts/{name}.py"


def define(lake, name, text, command="pythonshell", arguments=None, **more):
    """A job that runs the script `text`."""
    location = put_script(lake, name, text)
    command = {"Name": command, "ScriptLocation": location, **({"PythonVersion": "3.9"} if command == "pythonshell" else {"PythonVersion": "3"})}
    lake.client("glue").create_job(Name=name, Role=role(lake), Command=command, DefaultArguments=arguments or {}, **more)
    return name


def run(lake, name, text, command="pythonshell", arguments=None, **more):
    """Defines the job and runs it once; the run."""
    return lake.run_job(define(lake, name, text, command, arguments, **more))


def log(lake, run_id, stream="output", command="pythonshell"):
    """The lines that a run printed."""
    client = lake.client("logs")
    lines, token = [], None
    while True:
        more = {"nextToken": token} if token else {}
        try:
            page = client.get_log_events(logGroupName=f"{GROUPS[command]}/{stream}", logStreamName=run_id, startFromHead=True, **more)
        except client.exceptions.ResourceNotFoundException:
            return lines
        if not page["events"]:
            return lines
        lines += [event["message"] for event in page["events"]]
        token = page["nextForwardToken"]
