"""Functions as boto3 and the AWS CLI see them: what they are made of, how they are called, and what is refused."""

import base64
import hashlib
import io
import json
import urllib.error
import urllib.request
import zipfile

import harness
import lambdas
import pytest
from botocore.exceptions import ClientError
from harness import wait_until
from lambdas import create, invoke, package, role, zipped

ACCOUNT = "000000000000"
ARN = f"arn:aws:lambda:us-east-1:{ACCOUNT}"


@pytest.fixture(scope="module")
def module_lake():
    lake = harness.new_lake(lambdas.CONFIG)
    yield lake
    harness.discard(lake)


@pytest.fixture(scope="module")
def fn(module_lake):
    """A client of a lake with the functions `echo` and `moody`."""
    create(module_lake, "echo", "echo.py", Environment={"Variables": {"SETTING": "on"}}, Tags={"team": "water"})
    create(module_lake, "moody", "moody.py", Timeout=2)
    return module_lake.client("lambda")


def refused(call, code, *words, **arguments):
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    error = raised.value.response["Error"]
    assert error["Code"] == code, error
    for word in words:
        assert word in error["Message"], error
    return raised.value.response


# Creating, reading, updating, deleting


def test_a_wrapper_script_starts_the_runtime(module_lake):
    wrapper = zipfile.ZipInfo("wrapper")
    wrapper.external_attr = 0o755 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(wrapper, '#!/bin/sh\nexport WRAPPED="by $AWS_LAMBDA_FUNCTION_NAME"\nexec "$@"\n')
        archive.writestr("app.py", "import os\n\ndef handler(event, context):\n    return os.environ.get('WRAPPED')\n")
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"}
    code = {"ZipFile": buffer.getvalue()}
    create(module_lake, "wrapped", handler="app.handler", Code=code, Environment={"Variables": variables})
    assert invoke(module_lake, "wrapped") == "by wrapped"


def test_a_function_reads_back_as_it_was_made(module_lake, fn):
    code = package("echo.py")
    made = fn.create_function(
        FunctionName="made",
        Runtime="python3.12",
        Handler="echo.handler",
        Role=role(module_lake),
        Code={"ZipFile": code},
        Description="made by a test",
        Environment={"Variables": {"A1": "b"}},
        EphemeralStorage={"Size": 1024},
        Tags={"x": "y"},
    )
    digest = base64.b64encode(hashlib.sha256(code).digest()).decode()
    assert (made["FunctionArn"], made["Version"], made["CodeSha256"]) == (f"{ARN}:function:made", "$LATEST", digest)
    assert (made["Timeout"], made["MemorySize"], made["CodeSize"]) == (3, 128, len(code))
    assert made["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "/aws/lambda/made"}
    assert (made["TracingConfig"], made["PackageType"]) == ({"Mode": "PassThrough"}, "Zip")
    fn.get_waiter("function_active_v2").wait(FunctionName="made", WaiterConfig={"Delay": 1})
    found = fn.get_function(FunctionName=f"{ARN}:function:made")
    configuration = found["Configuration"]
    assert (configuration["State"], configuration["LastUpdateStatus"]) == ("Active", "Successful")
    assert configuration["Environment"] == {"Variables": {"A1": "b"}}
    assert found["Tags"] == {"x": "y"}
    assert configuration["RevisionId"] == made["RevisionId"]
    with urllib.request.urlopen(found["Code"]["Location"], timeout=10) as answer:
        assert answer.read() == code
    refused(
        fn.create_function,
        "ResourceConflictException",
        "Function already exist: made",
        FunctionName="made",
        Runtime="python3.12",
        Handler="echo.handler",
        Role=role(module_lake),
        Code={"ZipFile": code},
    )
    fn.delete_function(FunctionName="made")
    missing = refused(fn.get_function, "ResourceNotFoundException", FunctionName="made")
    assert missing["Error"]["Message"] == f"Function not found: {ARN}:function:made"
    assert (missing["Type"], missing["ResponseMetadata"]["HTTPStatusCode"]) == ("User", 404)


def test_a_link_to_a_package_works_for_no_other(fn):
    location = fn.get_function(FunctionName="echo")["Code"]["Location"]
    forged = location.replace("Signature=", "Signature=00")
    for url in (forged, location.split("?")[0], location.replace("Expires=1", "Expires=2")):
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(url, timeout=10)
        assert raised.value.code == 403


def test_code_and_configuration_are_updated_and_revisions_count(module_lake, fn):
    create(module_lake, "changed", "echo.py")
    first = invoke(module_lake, "changed")
    before = fn.get_function_configuration(FunctionName="changed")
    after = fn.update_function_configuration(
        FunctionName="changed", Description="new", Timeout=7, MemorySize=256, Environment={"Variables": {"SETTING": "two"}}
    )
    assert (after["Timeout"], after["MemorySize"], after["Description"]) == (7, 256, "new")
    assert after["RevisionId"] != before["RevisionId"]
    fn.get_waiter("function_updated").wait(FunctionName="changed", WaiterConfig={"Delay": 1})
    second = invoke(module_lake, "changed")
    assert (second["setting"], second["memory"]) == ("two", "256")
    assert second["process"] != first["process"]
    refused(
        fn.update_function_code,
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id",
        FunctionName="changed",
        ZipFile=package("moody.py"),
        RevisionId=before["RevisionId"],
    )
    tried = fn.update_function_code(FunctionName="changed", ZipFile=package("moody.py"), DryRun=True)
    assert tried["CodeSha256"] != after["CodeSha256"]
    assert fn.get_function_configuration(FunctionName="changed")["CodeSha256"] == after["CodeSha256"]
    fn.update_function_code(FunctionName="changed", ZipFile=zipped({"echo.py": "def handler(e, c): return 'other'"}))
    assert invoke(module_lake, "changed") == "other"


def test_a_package_may_come_from_a_bucket(module_lake, fn):
    module_lake.bucket("packages")
    module_lake.put("packages", "echo.zip", package("echo.py"))
    create(module_lake, "from-s3", handler="echo.handler", Code={"S3Bucket": "packages", "S3Key": "echo.zip"})
    module_lake.client("s3").delete_object(Bucket="packages", Key="echo.zip")
    assert invoke(module_lake, "from-s3", {"a": 1})["event"] == {"a": 1}
    for key, bucket, words in (
        ("none.zip", "packages", "S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist."),
        ("none.zip", "no-such-bucket", "S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist"),
    ):
        refused(
            fn.update_function_code,
            "InvalidParameterValueException",
            f"Error occurred while GetObject. {words}",
            FunctionName="from-s3",
            S3Bucket=bucket,
            S3Key=key,
        )


def test_functions_are_listed_in_pages_and_with_their_versions(module_lake, fn):
    for name in ("page-a", "page-b", "page-c"):
        create(module_lake, name, "echo.py", Publish=True, wait=False)
    pages = fn.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2})
    names = [function["FunctionName"] for page in pages for function in page["Functions"]]
    assert names == sorted(names) and {"echo", "page-a", "page-b", "page-c"} <= set(names)
    everything = fn.get_paginator("list_functions").paginate(FunctionVersion="ALL", PaginationConfig={"PageSize": 3})
    arns = [function["FunctionArn"] for page in everything for function in page["Functions"]]
    assert [arn for arn in arns if ":page-b:" in arn] == [f"{ARN}:function:page-b:$LATEST", f"{ARN}:function:page-b:1"]
    assert len(arns) == len(set(arns))


def test_what_cannot_be_a_function_is_refused_in_the_words_of_aws(module_lake, fn):
    good = {
        "FunctionName": "refused",
        "Runtime": "python3.12",
        "Handler": "echo.handler",
        "Role": role(module_lake),
        "Code": {"ZipFile": package("echo.py")},
    }

    def no(code, words, **change):
        refused(fn.create_function, code, words, **{**good, **change})

    invalid = "InvalidParameterValueException"
    no(invalid, "Could not unzip uploaded file. Please check your file, then try to upload again.", Code={"ZipFile": b"no zip"})
    no(invalid, "cannot be assumed by Lambda", Role=f"arn:aws:iam::{ACCOUNT}:role/nobody")
    no(invalid, "Reserved keys used in this request: AWS_REGION", Environment={"Variables": {"AWS_REGION": "x"}})
    no(invalid, "exceeded the 4KB limit", Environment={"Variables": {"LARGE": "x" * 5000}})
    no(invalid, "does not exist", Layers=[f"{ARN}:layer:none:1"])
    no(invalid, "cannot be used", DeadLetterConfig={"TargetArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:none"})
    no(invalid, "java21", Runtime="java21")
    no(invalid, "ImageUri", Code={"ImageUri": "repository/image:1"}, PackageType="Zip")
    no("ValidationException", "less than or equal to 900", Timeout=901)
    no("ValidationException", "less than or equal to 10240", MemorySize=10241)
    no("ValidationException", "functionName", FunctionName="not a name")
    untrusted = role(module_lake, "untrusted", {**lambdas.TRUST, "Statement": [{**lambdas.TRUST["Statement"][0], "Principal": {"Service": "glue.amazonaws.com"}}]})
    no(invalid, "cannot be assumed by Lambda", Role=untrusted)
    assert "refused" not in [function["FunctionName"] for function in fn.list_functions()["Functions"]]


def test_hostile_packages_leave_nothing_behind(module_lake, fn):
    packages = module_lake.data / "functions" / "packages"

    def unpacked():
        return sorted(path.name for path in packages.glob("*/*"))

    before = unpacked()
    assert before

    def no(code, *words):
        refused(fn.update_function_code, "InvalidParameterValueException", *words, FunctionName="echo", ZipFile=code)

    def archive(*entries):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
            for name, content, mode in entries:
                info = zipfile.ZipInfo(name)
                info.external_attr = mode << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                made.writestr(info, content)
        return buffer.getvalue()

    no(archive(("../../evil", "x", 0o644)), "would lie outside the package")
    no(archive(("/tmp/evil", "x", 0o644)), "would lie outside the package")
    no(archive(("link", "/etc", 0o120777)), "is not in the package")
    no(archive(("app.py", "1", 0o644), ("bomb", b"\0" * 263_000_000, 0o644)), "Unzipped size must be smaller than 262144000 bytes")
    wait_until(lambda: unpacked() == before, what="the removal of what was refused")
    assert not list(module_lake.data.parent.glob("**/evil"))
    assert invoke(module_lake, "echo")["name"] == "echo"


def test_a_zip_over_fifty_megabytes_is_too_large_for_a_request(module_lake, fn):
    import os

    code = zipped({"a": os.urandom(52_428_801)}, zipfile.ZIP_STORED)
    refused(
        fn.update_function_code,
        "RequestEntityTooLargeException",
        "Zipped size must be smaller than 52428800 bytes",
        FunctionName="echo",
        ZipFile=code,
    )


# Invoking


def test_a_function_is_told_who_it_is(module_lake, fn):
    context = base64.b64encode(json.dumps({"custom": {"k": "v"}}).encode()).decode()
    answer = fn.invoke(FunctionName="echo", Payload=b'{"a": [1, 2]}', ClientContext=context, LogType="Tail")
    told = json.loads(answer["Payload"].read())
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert told["event"] == {"a": [1, 2]}
    assert (told["name"], told["version"], told["arn"]) == ("echo", "$LATEST", f"{ARN}:function:echo")
    assert (told["memory"], told["setting"], told["client"]) == ("128", "on", {"k": "v"})
    assert told["region"] == "us-east-1"
    assert told["request_id"] == answer["ResponseMetadata"]["RequestId"]
    assert 0 < told["left_ms"] <= 10_000
    log = base64.b64decode(answer["LogResult"]).decode()
    for line in ("START RequestId: ", "END RequestId: ", "REPORT RequestId: "):
        assert line + told["request_id"] in log, log


def test_a_log_in_json_is_json_and_of_the_levels_that_are_wanted(module_lake, fn):
    text = """
import json, logging

def handler(event, context):
    logging.getLogger().info("spoken")
    logging.getLogger().warning("warned")
    for level in ("info", "error"):
        print(json.dumps({"level": level, "printed": level}))
    if event.get("fail"):
        raise ValueError("no")
"""
    code = {"ZipFile": zipped({"app.py": text})}
    create(module_lake, "json-log", handler="app.handler", Code=code, LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "DEBUG"})

    def logged(**event):
        """Each line of an invocation's log, by what it is."""
        answer = fn.invoke(FunctionName="json-log", Payload=json.dumps(event), LogType="Tail")
        lines = [json.loads(line) for line in base64.b64decode(answer["LogResult"]).decode().splitlines() if line.startswith("{")]
        names = ("type", "message", "printed", "errorType")
        return answer["ResponseMetadata"]["RequestId"], [(next(line[name] for name in names if name in line), line) for line in lines]

    def levels(application, system):
        config = {"LogFormat": "JSON", "ApplicationLogLevel": application, "SystemLogLevel": system}
        fn.update_function_configuration(FunctionName="json-log", LoggingConfig=config)
        fn.get_waiter("function_updated").wait(FunctionName="json-log", WaiterConfig={"Delay": 1})

    request_id, lines = logged()
    expected = ["platform.start", "spoken", "warned", "info", "error", "platform.runtimeDone", "platform.report"]
    assert [name for name, _ in lines] == expected
    start, done, report = (dict(lines)[f"platform.{name}"] for name in ("start", "runtimeDone", "report"))
    assert start["record"] == {"requestId": request_id, "functionArn": f"{ARN}:function:json-log", "version": "$LATEST"}
    assert set(start) == {"time", "type", "record"} and start["time"].endswith("Z")
    assert (done["record"]["status"], done["record"]["metrics"]["producedBytes"]) == ("success", 4)
    metrics = report["record"]["metrics"]
    assert set(metrics) == {"durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs"}
    assert (report["record"]["requestId"], report["record"]["status"], metrics["memorySizeMB"]) == (request_id, "success", 128)

    levels("WARN", "INFO")
    assert [name for name, _ in logged()[1]] == ["platform.start", "warned", "error", "platform.report"]
    levels("ERROR", "WARN")
    assert [name for name, _ in logged()[1]] == ["error"]
    _, failed = logged(fail=True)
    assert [name for name, _ in failed] == ["error", "ValueError", "platform.runtimeDone", "platform.report"]
    assert {line["record"]["status"] for _, line in failed[2:]} == {"error"}

    def written(group="/aws/lambda/json-log"):
        events = module_lake.client("logs").filter_log_events(logGroupName=group, filterPattern='{ $.type = "platform.init*" }')
        return [json.loads(event["message"])["type"] for event in events["events"]]

    # The first process began with DEBUG, the second with INFO, the third with WARN.
    expected = ["platform.initStart", "platform.initRuntimeDone", "platform.initReport", "platform.initStart"]
    wait_until(lambda: written() == expected, what=f"{expected} in the log")


def test_a_warm_process_is_used_again(module_lake, fn):
    assert invoke(module_lake, "echo")["process"] == invoke(module_lake, "echo")["process"]


def test_an_event_may_be_anything_that_is_json(module_lake, fn):
    for event in (None, 1, "text", [1], {"deep": {"er": "ä"}}):
        answer = fn.invoke(FunctionName="echo", Payload=json.dumps(event))
        assert json.loads(answer["Payload"].read())["event"] == event
    assert json.loads(fn.invoke(FunctionName="echo")["Payload"].read())["event"] == {}
    for payload in (b"{", b"text", b"\x99\xeb"):
        refused(fn.invoke, "InvalidRequestContentException", "Could not parse request body into json", FunctionName="echo", Payload=payload)


def test_an_error_of_the_function_is_its_answer(fn):
    answer = fn.invoke(FunctionName="moody", Payload=b'{"fail": "of course"}')
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    error = json.loads(answer["Payload"].read())
    assert (error["errorMessage"], error["errorType"]) == ("of course", "ValueError")
    assert "moody.py" in error["stackTrace"][-1]
    answer = fn.invoke(FunctionName="moody", Payload=b'{"sleep": 60}')
    assert answer["FunctionError"] == "Unhandled"
    assert "Task timed out after 2.00 seconds" in json.loads(answer["Payload"].read())["errorMessage"]
    answer = fn.invoke(FunctionName="moody", Payload=b'{"exit": 1}')
    assert json.loads(answer["Payload"].read())["errorType"] == "Runtime.ExitError"
    assert fn.invoke(FunctionName="moody", Payload=b"{}")["Payload"].read() == b'"fine"'


def test_what_is_not_there_cannot_be_invoked(fn):
    refused(fn.invoke, "ResourceNotFoundException", f"Function not found: {ARN}:function:nobody", FunctionName="nobody")
    refused(fn.invoke, "ResourceNotFoundException", f"{ARN}:function:echo:none", FunctionName="echo", Qualifier="none")
    refused(fn.invoke, "ResourceNotFoundException", "are not reachable in this region", FunctionName=f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:echo")
    refused(fn.invoke, "InvalidParameterValueException", "does not match the specified qualifier", FunctionName="echo:1", Qualifier="2")


def test_events_have_a_size(module_lake, fn):
    for kind, limit in (("RequestResponse", 6_291_456), ("Event", 1_048_576)):
        event = json.dumps("x" * (limit - 2))
        assert fn.invoke(FunctionName="moody:$LATEST", InvocationType=kind, Payload="{}")["StatusCode"] in (200, 202)
        refused(
            fn.invoke,
            "RequestEntityTooLargeException",
            f"{limit + 1} byte payload is too large for the {kind} invocation type (limit {limit} bytes)",
            FunctionName="moody",
            InvocationType=kind,
            Payload=event + " ",
        )


def test_a_dry_run_runs_nothing(module_lake, fn):
    create(module_lake, "dry", "echo.py")
    answer = fn.invoke(FunctionName="dry", InvocationType="DryRun")
    assert (answer["StatusCode"], answer["Payload"].read()) == (204, b"")
    logs = module_lake.client("logs").describe_log_streams
    with pytest.raises(ClientError):
        logs(logGroupName="/aws/lambda/dry")
    refused(fn.invoke, "ResourceNotFoundException", FunctionName="nobody", InvocationType="DryRun")


def test_output_goes_to_the_log_group(module_lake, fn):
    invoke(module_lake, "moody", {"mark": "in the log"})

    def lines():
        events = module_lake.client("logs").filter_log_events(logGroupName="/aws/lambda/moody")["events"]
        return [event["message"] for event in events if "in the log" in event["message"]]

    assert wait_until(lines, what="the line in the log group")[0].startswith("call ")


def test_the_command_line_invokes(module_lake, fn, tmp_path):
    out = tmp_path / "answer.json"
    told = module_lake.aws(
        "lambda", "invoke", "--function-name", "echo", "--cli-binary-format", "raw-in-base64-out", "--payload", '{"by": "cli"}', out,
        check=False,
    )
    if "Unknown options: --cli-binary-format" in told.stderr:  # Version 1 of the AWS CLI takes the payload as it is.
        told = module_lake.aws("lambda", "invoke", "--function-name", "echo", "--payload", '{"by": "cli"}', out, check=False)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["StatusCode"] == 200
    assert json.loads(out.read_text())["event"] == {"by": "cli"}
    listed = json.loads(module_lake.aws("lambda", "list-functions"))
    assert "echo" in [function["FunctionName"] for function in listed["Functions"]]


# Concurrency


def test_reserved_concurrency_bounds_and_stops_a_function(module_lake, fn):
    from concurrent.futures import ThreadPoolExecutor

    create(module_lake, "bounded", "moody.py")
    fn.put_function_concurrency(FunctionName="bounded", ReservedConcurrentExecutions=1)
    assert fn.get_function(FunctionName="bounded")["Concurrency"] == {"ReservedConcurrentExecutions": 1}
    assert invoke(module_lake, "bounded") == "fine"

    def call(_):
        try:
            return fn.invoke(FunctionName="bounded", Payload=b'{"sleep": 1.5}')["StatusCode"]
        except ClientError as error:
            return error.response["Error"]["Code"], error.response.get("Reason")

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(call, range(4)))
    assert outcomes.count(200) >= 1
    assert ("TooManyRequestsException", "ReservedFunctionConcurrentInvocationLimitExceeded") in outcomes
    fn.put_function_concurrency(FunctionName="bounded", ReservedConcurrentExecutions=0)
    refused(fn.invoke, "TooManyRequestsException", FunctionName="bounded")
    fn.delete_function_concurrency(FunctionName="bounded")
    assert "ReservedConcurrentExecutions" not in fn.get_function_concurrency(FunctionName="bounded")
    assert invoke(module_lake, "bounded") == "fine"
    refused(
        fn.put_function_concurrency,
        "InvalidParameterValueException",
        "below its minimum value of [100]",
        FunctionName="bounded",
        ReservedConcurrentExecutions=901,
    )
    limits = fn.get_account_settings()
    assert limits["AccountLimit"]["ConcurrentExecutions"] == 1000
    assert limits["AccountLimit"]["CodeSizeUnzipped"] == 262_144_000
    assert limits["AccountUsage"]["FunctionCount"] >= 3


# Versions, aliases, layers


def test_versions_never_change_and_are_published_once(module_lake, fn):
    create(module_lake, "versions", "echo.py", Environment={"Variables": {"SETTING": "one"}})
    first = fn.publish_version(FunctionName="versions", Description="the first")
    assert (first["Version"], first["FunctionArn"], first["Description"]) == ("1", f"{ARN}:function:versions:1", "the first")
    assert fn.publish_version(FunctionName="versions")["Version"] == "1"
    fn.update_function_configuration(FunctionName="versions", Environment={"Variables": {"SETTING": "two"}})
    sha = first["CodeSha256"]
    refused(fn.publish_version, "InvalidParameterValueException", "CodeSHA256 (other) is different", FunctionName="versions", CodeSha256="other")
    second = fn.publish_version(FunctionName="versions", CodeSha256=sha)
    assert second["Version"] == "2"
    assert [invoke(module_lake, "versions", Qualifier=version)["setting"] for version in ("1", "2", "$LATEST")] == ["one", "two", "two"]
    told = invoke(module_lake, "versions:1")
    assert (told["version"], told["arn"]) == ("1", f"{ARN}:function:versions:1")
    listed = fn.list_versions_by_function(FunctionName="versions")["Versions"]
    assert [version["Version"] for version in listed] == ["$LATEST", "1", "2"]
    fn.delete_function(FunctionName="versions", Qualifier="1")
    refused(fn.get_function, "ResourceNotFoundException", FunctionName="versions", Qualifier="1")
    fn.update_function_code(FunctionName="versions", ZipFile=package("moody.py"), Publish=True)
    assert fn.get_function(FunctionName="versions", Qualifier="3")["Configuration"]["Version"] == "3"
    refused(fn.delete_function, "InvalidParameterValueException", "$LATEST version cannot be deleted", FunctionName="versions", Qualifier="$LATEST")


def test_aliases_point_to_versions_and_share_out_calls(module_lake, fn):
    create(module_lake, "aliased", "echo.py", Publish=True)
    fn.update_function_configuration(FunctionName="aliased", Description="two")
    fn.publish_version(FunctionName="aliased")
    made = fn.create_alias(FunctionName="aliased", Name="live", FunctionVersion="1", Description="what is used")
    assert made["AliasArn"] == f"{ARN}:function:aliased:live" and "RoutingConfig" not in made
    told = invoke(module_lake, "aliased:live")
    assert (told["version"], told["arn"]) == ("1", f"{ARN}:function:aliased:live")
    routed = fn.update_alias(FunctionName="aliased", Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}})
    assert routed["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.5}}
    assert {invoke(module_lake, "aliased", Qualifier="live")["version"] for _ in range(40)} == {"1", "2"}
    assert fn.get_function(FunctionName="aliased", Qualifier="live")["Configuration"]["Version"] == "1"
    moved = fn.update_alias(FunctionName="aliased", Name="live", FunctionVersion="2", RoutingConfig={})
    assert moved["RevisionId"] != made["RevisionId"]
    refused(
        fn.update_alias, "PreconditionFailedException", FunctionName="aliased", Name="live", Description="x", RevisionId=made["RevisionId"]
    )
    assert invoke(module_lake, "aliased:live")["version"] == "2"
    refused(fn.delete_function, "ResourceConflictException", "live", FunctionName="aliased", Qualifier="2")
    fn.create_alias(FunctionName="aliased", Name="latest", FunctionVersion="$LATEST")
    listed = fn.list_aliases(FunctionName="aliased")["Aliases"]
    assert [alias["Name"] for alias in listed] == ["latest", "live"]
    assert [alias["Name"] for alias in fn.list_aliases(FunctionName="aliased", FunctionVersion="2")["Aliases"]] == ["live"]
    for name, arguments in (
        ("Alias already exists", {"Name": "live", "FunctionVersion": "1"}),
        ("Function not found", {"Name": "new", "FunctionVersion": "9"}),
        ("cannot be greater than 1", {"Name": "new", "FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1, "1": 0.2}}}),
        ("already included", {"Name": "new", "FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"1": 0.1}}}),
        ("$LATEST is not supported", {"Name": "new", "FunctionVersion": "$LATEST", "RoutingConfig": {"AdditionalVersionWeights": {"1": 0.1}}}),
    ):
        with pytest.raises(ClientError, match=name.replace("$", r"\$")):
            fn.create_alias(FunctionName="aliased", **arguments)
    fn.delete_alias(FunctionName="aliased", Name="live")
    fn.delete_alias(FunctionName="aliased", Name="live")
    refused(fn.get_alias, "ResourceNotFoundException", "Cannot find alias arn", FunctionName="aliased", Name="live")


def test_layers_are_laid_below_the_function(module_lake, fn):
    shared = zipped({"python/shared.py": "WORD = 'from the layer'\n"})
    made = fn.publish_layer_version(
        LayerName="shared", Content={"ZipFile": shared}, CompatibleRuntimes=["python3.12"], Description="words", LicenseInfo="MIT"
    )
    assert (made["LayerVersionArn"], made["Version"]) == (f"{ARN}:layer:shared:1", 1)
    code = zipped({"app.py": "from shared import WORD\n\ndef handler(event, context):\n    return WORD\n"})
    create(module_lake, "layered", handler="app.handler", Code={"ZipFile": code}, Layers=[made["LayerVersionArn"]])
    assert invoke(module_lake, "layered") == "from the layer"
    again = fn.publish_layer_version(LayerName="shared", Content={"ZipFile": zipped({"python/shared.py": "WORD = 'second'\n"})})
    assert again["Version"] == 2
    found = fn.get_layer_version_by_arn(Arn=made["LayerVersionArn"])
    with urllib.request.urlopen(found["Content"]["Location"], timeout=10) as answer:
        assert answer.read() == shared
    assert [version["Version"] for version in fn.list_layer_versions(LayerName="shared")["LayerVersions"]] == [2, 1]
    latest = fn.list_layers(CompatibleRuntime="python3.12")["Layers"]
    assert [(layer["LayerName"], layer["LatestMatchingVersion"]["Version"]) for layer in latest] == [("shared", 1)]
    fn.delete_layer_version(LayerName="shared", VersionNumber=1)
    refused(fn.get_layer_version, "ResourceNotFoundException", LayerName="shared", VersionNumber=1)
    # Who has it keeps it, also when it has to be unpacked again.
    fn.update_function_configuration(FunctionName="layered", Description="a fresh process")
    assert invoke(module_lake, "layered") == "from the layer"
    fn.update_function_configuration(FunctionName="layered", Layers=[again["LayerVersionArn"]])
    assert invoke(module_lake, "layered") == "second"
    assert fn.publish_layer_version(LayerName="shared", Content={"ZipFile": shared})["Version"] == 3
    # One that another account shares is the lake's own of that name.
    foreign = "arn:aws:lambda:us-east-1:336392948345:layer:{}:7"
    kept = fn.update_function_configuration(FunctionName="layered", Layers=[foreign.format("shared")])
    assert kept["Layers"][0]["Arn"] == foreign.format("shared")
    assert invoke(module_lake, "layered") == "from the layer"
    refused(
        fn.update_function_configuration,
        "InvalidParameterValueException",
        "publish-layer-version --layer-name other",
        FunctionName="layered",
        Layers=[foreign.format("other")],
    )


def test_a_layer_version_has_a_policy(fn):
    layer = fn.publish_layer_version(LayerName="open", Content={"ZipFile": zipped({"a": "b"})})
    added = fn.add_layer_version_permission(
        LayerName="open", VersionNumber=1, StatementId="all", Action="lambda:GetLayerVersion", Principal="*"
    )
    statement = {
        "Sid": "all",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "lambda:GetLayerVersion",
        "Resource": layer["LayerVersionArn"],
    }
    assert json.loads(added["Statement"]) == statement
    policy = fn.get_layer_version_policy(LayerName="open", VersionNumber=1)
    assert json.loads(policy["Policy"])["Statement"] == [statement]
    refused(
        fn.remove_layer_version_permission,
        "PreconditionFailedException",
        LayerName="open",
        VersionNumber=1,
        StatementId="all",
        RevisionId="other",
    )
    fn.remove_layer_version_permission(LayerName="open", VersionNumber=1, StatementId="all")
    refused(fn.get_layer_version_policy, "ResourceNotFoundException", LayerName="open", VersionNumber=1)


# Permissions, tags, and what tools read back


def test_a_session_may_give_a_function_only_a_role_that_it_may_pass(module_lake, fn):
    import boto3

    iam, account = module_lake.client("iam"), {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": account, "Action": "sts:AssumeRole"}]}
    deployer = role(module_lake, "deployer", trust)
    statement = {"Effect": "Allow", "Action": "lambda:*", "Resource": "*"}
    passing = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": role(module_lake)}

    def deploy(name, *statements):
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_role_policy(RoleName="deployer", PolicyName="p", PolicyDocument=document)
        keys = module_lake.client("sts").assume_role(RoleArn=deployer, RoleSessionName="deploys")["Credentials"]
        client = boto3.client(
            "lambda",
            endpoint_url=module_lake.endpoint,
            region_name="us-east-1",
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )
        return client.create_function(
            FunctionName=name, Runtime="python3.12", Handler="echo.handler", Role=role(module_lake), Code={"ZipFile": package("echo.py")}
        )

    with pytest.raises(ClientError, match="is not authorized to perform: iam:PassRole"):
        deploy("passed", statement)
    assert deploy("passed", statement, passing)["FunctionName"] == "passed"


def test_permissions_are_statements_of_a_policy(module_lake, fn):
    create(module_lake, "open", "echo.py", Publish=True, wait=False)
    added = fn.add_permission(
        FunctionName="open",
        StatementId="s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::raw",
        SourceAccount=ACCOUNT,
    )
    statement = {
        "Sid": "s3",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": f"{ARN}:function:open",
        "Condition": {"StringEquals": {"AWS:SourceAccount": ACCOUNT}, "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::raw"}},
    }
    assert json.loads(added["Statement"]) == statement
    fn.add_permission(FunctionName="open", Qualifier="1", StatementId="rule", Action="lambda:InvokeFunction", Principal="events.amazonaws.com")
    policy = fn.get_policy(FunctionName="open")
    assert json.loads(policy["Policy"]) == {"Version": "2012-10-17", "Id": "default", "Statement": [statement]}
    assert policy["RevisionId"] == fn.get_function_configuration(FunctionName="open")["RevisionId"]
    qualified = json.loads(fn.get_policy(FunctionName="open", Qualifier="1")["Policy"])["Statement"]
    assert [(one["Sid"], one["Resource"]) for one in qualified] == [("rule", f"{ARN}:function:open:1")]
    more = {"FunctionName": "open", "Action": "lambda:InvokeFunction", "StatementId": "more"}
    refused(fn.add_permission, "ResourceConflictException", "(s3) provided already exists", **{**more, "StatementId": "s3", "Principal": "*"})
    refused(fn.add_permission, "InvalidParameterValueException", "principal was invalid", **more, Principal="nobody")
    refused(fn.add_permission, "InvalidParameterValueException", "$LATEST", **more, Principal="*", Qualifier="$LATEST")
    refused(fn.add_permission, "PreconditionFailedException", **more, Principal="*", RevisionId="other")
    refused(fn.remove_permission, "ResourceNotFoundException", "Statement none is not found", FunctionName="open", StatementId="none")
    fn.remove_permission(FunctionName="open", StatementId="s3")
    refused(fn.get_policy, "ResourceNotFoundException", "The resource you requested does not exist.", FunctionName="open")


def test_tags_are_kept_by_arn(fn):
    arn = f"{ARN}:function:echo"
    fn.tag_resource(Resource=arn, Tags={"a": "1", "b": "2"})
    fn.untag_resource(Resource=arn, TagKeys=["a"])
    assert fn.list_tags(Resource=arn)["Tags"] == {"team": "water", "b": "2"}
    refused(fn.tag_resource, "InvalidParameterValueException", "aliases and versions", Resource=f"{arn}:1", Tags={"a": "1"})
    refused(fn.list_tags, "ResourceNotFoundException", Resource=f"{ARN}:function:nobody")


def test_infrastructure_tools_read_back_what_they_expect(fn):
    assert fn.get_function_code_signing_config(FunctionName="echo")["FunctionName"] == "echo"
    assert fn.get_runtime_management_config(FunctionName="echo")["UpdateRuntimeOn"] == "Auto"
    fn.put_runtime_management_config(FunctionName="echo", UpdateRuntimeOn="FunctionUpdate")
    assert fn.get_runtime_management_config(FunctionName="echo")["UpdateRuntimeOn"] == "FunctionUpdate"
    assert fn.get_function_recursion_config(FunctionName="echo")["RecursiveLoop"] == "Terminate"
    fn.put_function_recursion_config(FunctionName="echo", RecursiveLoop="Allow")
    assert fn.get_function_recursion_config(FunctionName="echo")["RecursiveLoop"] == "Allow"
    refused(fn.get_function_event_invoke_config, "ResourceNotFoundException", "doesn't have an EventInvokeConfig", FunctionName="echo")


def test_a_lake_that_was_killed_has_its_functions(new_lake):
    lake = new_lake(lambdas.CONFIG)
    create(lake, "kept", "echo.py", Publish=True)
    lake.client("lambda").create_alias(FunctionName="kept", Name="live", FunctionVersion="1")
    assert invoke(lake, "kept:live", 1)["event"] == 1
    lake.kill9()
    import shutil

    packages = lake.data / "functions" / "packages"
    for path in [packages, *packages.glob("**/")]:
        path.chmod(0o755)
    shutil.rmtree(packages)
    lake.start()
    assert invoke(lake, "kept:live", 2)["event"] == 2
