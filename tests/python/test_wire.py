"""What all services share on the wire: signatures, protocols, limits. Requests are made by hand where a client would not make them."""

import base64
import contextlib
import datetime
import hashlib
import json
import socket
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
import urllib3


@pytest.fixture(scope="module")
def lake(module_lake):
    return module_lake


def credentials(lake, token=None):
    keys = lake.credentials
    return botocore.credentials.Credentials(keys["access_key_id"], keys["secret_access_key"], token)


class Answer:
    def __init__(self, response):
        self.status_code, self.headers, self.text = response.status, response.headers, response.data.decode()

    def json(self):
        return json.loads(self.text)


def signed(lake, service, method="POST", path="/", data=b"", headers=None, region="us-east-1", keys=None):
    request = botocore.awsrequest.AWSRequest(method=method, url=lake.endpoint + path, data=data, headers=headers or {})
    botocore.auth.SigV4Auth(keys or credentials(lake), service, region).add_auth(request)
    prepared = request.prepare()
    return Answer(urllib3.request(method, prepared.url, body=data, headers=dict(prepared.headers), timeout=60, retries=False))


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def form(**fields):
    return urllib.parse.urlencode(fields).encode()


def test_the_endpoint_is_signed_for_one_service_at_a_time(lake):
    body = form(Action="GetCallerIdentity", Version="2011-06-15")
    assert signed(lake, "sts", data=body, headers=FORM).status_code == 200
    refused = signed(lake, "sns", data=body, headers=FORM)
    assert refused.status_code == 400 and "InvalidAction" in refused.text
    target = {"X-Amz-Target": "AWSGlue.GetDatabases", "Content-Type": "application/x-amz-json-1.1"}
    assert signed(lake, "glue", data=b"{}", headers=target).status_code == 200
    refused = signed(lake, "athena", data=b"{}", headers=target)
    assert refused.status_code == 400 and "correct service: 'glue'" in refused.json()["message"]


def test_global_services_take_any_region_and_others_only_the_lake_s(lake):
    body = form(Action="GetCallerIdentity", Version="2011-06-15")
    assert signed(lake, "sts", data=body, headers=FORM, region="eu-central-1").status_code == 200
    assert signed(lake, "iam", data=form(Action="ListRoles", Version="2010-05-08"), headers=FORM, region="aws-global").status_code == 200
    refused = signed(lake, "sns", data=form(Action="ListTopics", Version="2010-03-31"), headers=FORM, region="eu-central-1")
    assert refused.status_code == 403 and "us-east-1" in refused.text


def test_a_token_that_is_not_the_key_s_is_refused_by_every_protocol(lake):
    keys = credentials(lake, token="bm90IGEgdG9rZW4")
    query = signed(lake, "sts", data=form(Action="GetCallerIdentity", Version="2011-06-15"), headers=FORM, keys=keys)
    assert query.status_code == 403 and "<Code>InvalidClientTokenId</Code>" in query.text
    target = {"X-Amz-Target": "AWSGlue.GetDatabases", "Content-Type": "application/x-amz-json-1.1"}
    answer = signed(lake, "glue", data=b"{}", headers=target, keys=keys)
    assert answer.status_code == 400 and answer.headers["x-amzn-errortype"] == "UnrecognizedClientException"
    rest = signed(lake, "lambda", "GET", "/2015-03-31/functions", keys=keys)
    assert rest.status_code == 403 and rest.headers["x-amzn-errortype"] == "UnrecognizedClientException"
    hashed = {"x-amz-content-sha256": hashlib.sha256(b"").hexdigest()}
    bucket = signed(lake, "s3", "GET", "/", headers=hashed, keys=keys)
    assert bucket.status_code == 400 and "<Code>InvalidToken</Code>" in bucket.text


def test_rest_operations_are_found_by_method_and_path(lake):
    unknown = signed(lake, "lambda", "GET", "/2015-03-31/tea")
    assert unknown.status_code == 400 and unknown.headers["x-amzn-errortype"] == "UnknownOperationException"
    assert "GET /2015-03-31/tea" in unknown.json()["message"]
    missing = signed(lake, "lambda", "GET", "/2020-04-22/code-signing-configs")
    assert missing.status_code == 501 and "ListCodeSigningConfigs" in missing.json()["message"]
    # The same path, signed for S3 or not signed at all, is a bucket's.
    assert "NoSuchBucket" in signed(lake, "s3", "GET", "/2015-03-31/functions", headers={"x-amz-content-sha256": hashlib.sha256(b"").hexdigest()}).text
    assert "AccessDenied" in urllib3.request("GET", lake.endpoint + "/2015-03-31/functions", timeout=10).data.decode()


def test_a_wrong_signature_of_a_rest_request_is_named(lake):
    access_key = lake.credentials["access_key_id"]
    keys = botocore.credentials.Credentials(access_key, "x" * 40)
    refused = signed(lake, "lambda", "GET", "/2015-03-31/functions", keys=keys)
    assert refused.status_code == 403 and refused.headers["x-amzn-errortype"] == "InvalidSignatureException"
    assert refused.json()["Type"] == "User"


def raw(lake, head, body=b"", timeout=10):
    """Sends a head, and of the body only this; answers what comes back."""
    host, port = lake.endpoint.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=timeout) as connection:
        connection.sendall(head.encode() + body)
        connection.settimeout(timeout)
        return connection.recv(65536).decode()


def head_of(length, credential, extra=""):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{credential}/{now[:8]}/us-east-1/sns/aws4_request"
    return (
        f"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n"
        f"X-Amz-Date: {now}\r\n{extra}"
        f"Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}\r\n\r\n"
    )


def test_who_has_no_key_makes_nobody_read_a_body(lake):
    # Nothing of the fifteen megabytes is sent, and still there is an answer.
    answer = raw(lake, head_of(15_000_000, "AKIAXXXXXXXXXXXXXXXX"))
    assert answer.startswith("HTTP/1.1 403") and "InvalidClientTokenId" in answer
    unsigned = "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100000\r\n\r\n"
    assert raw(lake, unsigned).startswith("HTTP/1.1 413")
    access_key = lake.credentials["access_key_id"]
    assert raw(lake, head_of(17_000_000, access_key)).startswith("HTTP/1.1 413")


def test_a_client_that_is_refused_early_still_reads_why(lake):
    keys = botocore.credentials.Credentials("AKIAXXXXXXXXXXXXXXXX", "x" * 40)
    body = form(Action="Publish", Version="2010-03-31", Message="m" * 8_000_000)
    refused = signed(lake, "sns", data=body, headers=FORM, keys=keys)
    assert refused.status_code == 403 and "InvalidClientTokenId" in refused.text


def signed_head(lake, service, method, path, headers, data=b""):
    """The head of a signed request, as bytes."""
    hashed = {"x-amz-content-sha256": hashlib.sha256(data).hexdigest()}
    request = botocore.awsrequest.AWSRequest(method=method, url=lake.endpoint + path, data=data, headers={**headers, **hashed})
    botocore.auth.SigV4Auth(credentials(lake), service, "us-east-1").add_auth(request)
    lines = [f"{name}: {value}" for name, value in request.prepare().headers.items()]
    host = urllib.parse.urlsplit(lake.endpoint).netloc
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


def test_what_follows_a_body_that_nobody_asked_for_is_not_taken_for_it(lake):
    """boto3 sends no body when the answer comes before "100 Continue", and would send its next request in the body's place."""
    lake.bucket("expecting")
    lake.put("expecting", "there", b"x")
    waits = signed_head(lake, "s3", "PUT", "/expecting/there", {"Content-Length": "1", "Expect": "100-continue", "If-None-Match": "*"}, b"x")
    following = signed_head(lake, "s3", "GET", "/expecting?list-type=2", {})
    at = urllib.parse.urlsplit(lake.endpoint)
    with socket.create_connection((at.hostname, at.port), timeout=10) as connection:
        connection.sendall(waits + following)
        answer = b""
        with contextlib.suppress(TimeoutError):
            while chunk := connection.recv(65536):
                answer += chunk
    head = answer.partition(b"\r\n\r\n")[0].decode().lower()
    assert head.startswith("http/1.1 412 ") and "connection: close" in head, answer
    assert answer.count(b"HTTP/1.1 ") == 1 and b"SignatureDoesNotMatch" not in answer, answer


def test_a_body_of_fifty_megabytes_reaches_its_operation(lake):
    content = base64.b64encode(bytes(50 * 1024 * 1024)).decode()
    # Not a zip, so that whoever implements the operation refuses it: what matters is that it is read, and that it is not too large.
    body = json.dumps({"Content": {"ZipFile": content}}).encode()
    answer = signed(lake, "lambda", "POST", "/2018-10-31/layers/l/versions", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code != 413 and answer.headers["x-amzn-errortype"] != "InvalidSignatureException", answer.text
    answer = signed(lake, "lambda", "PUT", "/2015-03-31/functions/f/configuration", data=body)
    assert answer.status_code == 413
    assert answer.headers["x-amzn-errortype"] == "RequestEntityTooLargeException"


def test_what_breaks_a_constraint_is_named_by_rest_too(lake):
    answer = signed(lake, "lambda", "GET", "/2015-03-31/functions/not%20a%20name")
    if answer.status_code != 501:
        assert answer.headers["x-amzn-errortype"] == "ValidationException" and "'functionName'" in answer.json()["message"]
