"""What tests of functions need: packages, roles, and functions made of the files in `functions/`."""

import io
import json
import sys
import zipfile
from pathlib import Path

from harness import wait_until

FUNCTIONS = Path(__file__).with_name("functions")
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


# Python functions run with the interpreter of the tests, which has boto3; failed ones are called again soon.
CONFIG = f"""
[functions]
python = "{sys.executable}"
retry_delays_s = [0.2, 0.4]
"""


def zipped(files, compression=zipfile.ZIP_DEFLATED):
    """A zip of texts and bytes by their names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def package(*names, **more):
    """A zip of files from `functions/`, and of others by name."""
    files = {name: (FUNCTIONS / name).read_text() for name in names}
    return zipped({**files, **more})


def role(lake, name="functions", trust=TRUST):
    """The ARN of a role that Lambda may assume; made when missing."""
    iam = lake.client("iam")
    try:
        return iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    except iam.exceptions.EntityAlreadyExistsException:
        return iam.get_role(RoleName=name)["Role"]["Arn"]


def create(lake, name, *files, handler=None, wait=True, **more):
    """Creates a Python function of files in `functions/`; the first one's `handler` where none is named."""
    settings = {
        "FunctionName": name,
        "Runtime": "python3.12",
        "Handler": handler or files[0].removesuffix(".py") + ".handler",
        "Role": role(lake),
        "Timeout": 10,
        "Code": {"ZipFile": package(*files)},
        **more,
    }
    answer = lake.client("lambda").create_function(**settings)
    if wait:
        active(lake, name)
    return answer["FunctionArn"]


def active(lake, name):
    """Waits until a function can run: the first of a Python function may have to wait for boto3."""
    wait_until(
        lambda: lake.client("lambda").get_function_configuration(FunctionName=name)["State"] == "Active",
        180,
        0.1,
        f"the function {name} to be active",
    )


def invoke(lake, name, event=None, **more):
    """Invokes and answers the decoded payload; fails where the function did."""
    answer = lake.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event if event is not None else {}), **more)
    payload = answer["Payload"].read()
    assert "FunctionError" not in answer, payload
    return json.loads(payload)


def queue(lake, name, **attributes):
    """A queue; answers its URL and its ARN."""
    sqs = lake.client("sqs")
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, arn


def receive(lake, url, count=1, timeout_s=30):
    """Receives (and deletes) so many messages, with all their attributes."""
    sqs = lake.client("sqs")
    found = []

    def more():
        answer = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
        for message in answer.get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found.append(message)
        return len(found) >= count

    wait_until(more, timeout_s, 0.0, f"{count} message(s) in {url}, of which there are {len(found)}")
    return found


def bodies(lake, url, count=1, timeout_s=30):
    """The same, decoded."""
    return [json.loads(message["Body"]) for message in receive(lake, url, count, timeout_s)]
