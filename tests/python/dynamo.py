"""Tables of items for tests."""

import itertools
import json

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

_names = itertools.count()


def table(lake, hash_key="id", range_key=None, kinds=None, **more):
    """Makes a table of a name of its own (strings as keys where `kinds` says nothing else), and answers boto3's resource of it."""
    kinds = {hash_key: "S", **({range_key: "S"} if range_key else {}), **(kinds or {})}
    keys = [{"AttributeName": hash_key, "KeyType": "HASH"}]
    if range_key:
        keys.append({"AttributeName": range_key, "KeyType": "RANGE"})
    definitions = [{"AttributeName": name, "AttributeType": kind} for name, kind in kinds.items()]
    name = f"table-{next(_names)}"
    more.setdefault("BillingMode", "PAY_PER_REQUEST")
    resource(lake).create_table(TableName=name, KeySchema=keys, AttributeDefinitions=definitions, **more).wait_until_exists()
    return resource(lake).Table(name)


def resource(lake):
    return lake.session().resource("dynamodb", endpoint_url=lake.endpoint, region_name="us-east-1")


def index(name, hash_key, range_key=None, projection="ALL", attributes=None):
    keys = [{"AttributeName": hash_key, "KeyType": "HASH"}]
    if range_key:
        keys.append({"AttributeName": range_key, "KeyType": "RANGE"})
    projected = {"ProjectionType": projection, **({"NonKeyAttributes": attributes} if attributes else {})}
    return {"IndexName": name, "KeySchema": keys, "Projection": projected}


def sent(lake, operation, body):
    """Sends a body as no SDK would; answers the status and the answer."""
    request = AWSRequest("POST", lake.endpoint, data=json.dumps(body), headers={
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": f"DynamoDB_20120810.{operation}",
    })
    SigV4Auth(lake.session().get_credentials(), "dynamodb", "us-east-1").add_auth(request)
    answer = URLLib3Session().send(request.prepare())
    return answer.status_code, json.loads(answer.content)


def refused(code, call, *args, **kwargs):
    """Calls what must be refused with this code; answers the message."""
    with pytest.raises(ClientError) as raised:
        call(*args, **kwargs)
    error = raised.value.response["Error"]
    assert error["Code"] == code, error
    return error["Message"]


def invalid(call, *args, **kwargs):
    """Calls what must be refused as invalid; answers the message."""
    return refused("ValidationException", call, *args, **kwargs)
