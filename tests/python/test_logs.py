"""CloudWatch Logs, as boto3, the AWS CLI and the services that write to it see it."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest
from botocore.exceptions import ClientError

from harness import wait_until
from lakes import ACCOUNT, REGION, arn, create_pattern, last_run, settle

HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS


@pytest.fixture(scope="module")
def lake(module_lake):
    return module_lake


@pytest.fixture
def logs(lake):
    return lake.client("logs")


@pytest.fixture
def group(logs, request):
    name = "/test/" + request.node.name.replace("[", "-").replace("]", "")
    logs.create_log_group(logGroupName=name)
    return name


def now_ms():
    return int(time.time() * 1000)


def refused(call, **arguments):
    """The code and the message of a refusal."""
    with pytest.raises(ClientError) as error:
        call(**arguments)
    answer = error.value.response["Error"]
    return answer["Code"], answer["Message"]


def put(logs, group, stream, *lines, at_ms=None):
    try:
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    except logs.exceptions.ResourceAlreadyExistsException:
        pass
    at_ms = at_ms or now_ms()
    events = [{"timestamp": at_ms + number, "message": line} for number, line in enumerate(lines)]
    return logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def found(logs, group, **more):
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, **more)
    return [event for page in pages for event in page["events"]]


def messages(logs, group, **more):
    return [event["message"] for event in found(logs, group, **more)]


# Groups


def test_a_group_is_described_as_on_aws(logs, group):
    logs.put_retention_policy(logGroupName=group, retentionInDays=14)
    put(logs, group, "s", "12345")
    described = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert len(described) == 1
    shown = described[0]
    assert shown["logGroupName"] == group and shown["retentionInDays"] == 14 and shown["storedBytes"] == 31
    assert shown["arn"] == f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:*"
    assert shown["logGroupArn"] == shown["arn"].removesuffix(":*")
    assert shown["metricFilterCount"] == 0 and shown["logGroupClass"] == "STANDARD"
    assert abs(shown["creationTime"] - now_ms()) < HOUR_MS
    logs.delete_retention_policy(logGroupName=group)
    assert "retentionInDays" not in logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]


def test_groups_are_paged_and_filtered(logs, group):
    names = [f"{group}/{number:02}" for number in range(7)]
    for name in names:
        logs.create_log_group(logGroupName=name, tags={"n": name[-1]})
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=group + "/", PaginationConfig={"PageSize": 3})
    assert [shown["logGroupName"] for page in pages for shown in page["logGroups"]] == names
    by_part = logs.describe_log_groups(logGroupNamePattern="paged_and_filtered/0")["logGroups"]
    assert [shown["logGroupName"] for shown in by_part] == names
    by_regex = logs.list_log_groups(logGroupNamePattern=f"^{group[:20]}|nothing")["logGroups"]
    assert {shown["logGroupName"] for shown in by_regex} >= set(names)
    named = logs.describe_log_groups(logGroupIdentifiers=[names[1], f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{names[2]}"])
    assert [shown["logGroupName"] for shown in named["logGroups"]] == names[1:3]
    code, text = refused(logs.describe_log_groups, logGroupNamePrefix="a", logGroupNamePattern="a")
    assert code == "InvalidParameterException" and "mutually exclusive" in text


def test_what_is_wrong_with_a_group_is_said_as_on_aws(logs, group):
    assert refused(logs.create_log_group, logGroupName=group) == ("ResourceAlreadyExistsException", "The specified log group already exists")
    code, text = refused(logs.create_log_group, logGroupName="a b")
    assert code == "InvalidParameterException" and "logGroupName" in text
    assert refused(logs.create_log_group, logGroupName="aws/x")[0] == "InvalidParameterException"
    code, text = refused(logs.create_log_group, logGroupName="k", kmsKeyId=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1")
    assert code == "InvalidParameterException" and "KMS" in text
    missing = ("ResourceNotFoundException", "The specified log group does not exist.")
    assert refused(logs.delete_log_group, logGroupName="nothing") == missing
    assert refused(logs.filter_log_events, logGroupName="nothing") == missing
    assert refused(logs.put_retention_policy, logGroupName="nothing", retentionInDays=1) == missing
    code, text = refused(logs.put_retention_policy, logGroupName=group, retentionInDays=2)
    assert code == "InvalidParameterException" and "[1, 3, 5, 7" in text


def test_a_protected_group_is_not_deleted(logs, group):
    logs.put_log_group_deletion_protection(logGroupIdentifier=group, deletionProtectionEnabled=True)
    assert refused(logs.delete_log_group, logGroupName=group)[0] == "ValidationException"
    logs.put_log_group_deletion_protection(logGroupIdentifier=group, deletionProtectionEnabled=False)
    logs.delete_log_group(logGroupName=group)
    assert logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"] == []


def test_tags_come_and_go_in_both_forms(logs, group):
    name_arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}"
    logs.tag_log_group(logGroupName=group, tags={"a": "1", "b": "2"})
    logs.tag_resource(resourceArn=name_arn, tags={"b": "3", "c": "4"})
    assert logs.list_tags_log_group(logGroupName=group)["tags"] == {"a": "1", "b": "3", "c": "4"}
    logs.untag_log_group(logGroupName=group, tags=["a"])
    logs.untag_resource(resourceArn=name_arn, tagKeys=["c"])
    assert logs.list_tags_for_resource(resourceArn=name_arn)["tags"] == {"b": "3"}
    code, _ = refused(logs.tag_resource, resourceArn=name_arn, tags={f"k{number}": "v" for number in range(50)})
    assert code == "TooManyTagsException"
    assert refused(logs.list_tags_for_resource, resourceArn=name_arn + "x")[0] == "ResourceNotFoundException"


# Streams


def test_streams_are_described_as_on_aws(logs, group):
    at_ms = now_ms() - 10_000
    put(logs, group, "b", "1", "2", at_ms=at_ms)
    put(logs, group, "a", "3", at_ms=at_ms - 5000)
    logs.create_log_stream(logGroupName=group, logStreamName="c/[$LATEST]empty")
    names = lambda **more: [s["logStreamName"] for s in logs.describe_log_streams(logGroupName=group, **more)["logStreams"]]  # noqa: E731
    assert names() == ["a", "b", "c/[$LATEST]empty"]
    assert names(descending=True) == ["c/[$LATEST]empty", "b", "a"]
    assert names(logStreamNamePrefix="c/") == ["c/[$LATEST]empty"]
    assert names(orderBy="LastEventTime", descending=True) == ["b", "a", "c/[$LATEST]empty"]
    assert names(orderBy="LastEventTime", descending=True, limit=1) == ["b"]
    b = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="b")["logStreams"][0]
    assert (b["firstEventTimestamp"], b["lastEventTimestamp"]) == (at_ms, at_ms + 1)
    assert b["lastIngestionTime"] >= at_ms and b["uploadSequenceToken"] and b["storedBytes"] == 0
    assert b["arn"] == f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:log-stream:b"
    empty = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="c")["logStreams"][0]
    assert "firstEventTimestamp" not in empty and "lastIngestionTime" not in empty
    pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=group, PaginationConfig={"PageSize": 1})
    assert [s["logStreamName"] for page in pages for s in page["logStreams"]] == names()
    code, _ = refused(logs.describe_log_streams, logGroupName=group, orderBy="LastEventTime", logStreamNamePrefix="b")
    assert code == "InvalidParameterException"


def test_a_deleted_stream_is_gone_with_its_events(logs, group):
    put(logs, group, "a", "from a")
    put(logs, group, "b", "from b")
    logs.delete_log_stream(logGroupName=group, logStreamName="a")
    assert messages(logs, group) == ["from b"]
    missing = ("ResourceNotFoundException", "The specified log stream does not exist.")
    assert refused(logs.get_log_events, logGroupName=group, logStreamName="a") == missing
    assert refused(logs.put_log_events, logGroupName=group, logStreamName="a", logEvents=[{"timestamp": now_ms(), "message": "x"}]) == missing
    put(logs, group, "a", "again")
    assert sorted(messages(logs, group)) == ["again", "from b"]


# Putting


def test_events_that_are_too_old_or_too_new_are_rejected_by_their_places(logs, group):
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    at_ms = now_ms()
    ages = [15 * DAY_MS, 4 * HOUR_MS, 0, -3 * HOUR_MS]
    events = [{"timestamp": at_ms - age, "message": f"{age}"} for age in ages]
    answer = logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events, sequenceToken="anything")
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 3}
    assert answer["nextSequenceToken"]
    assert messages(logs, group) == [f"{4 * HOUR_MS}", "0"]
    logs.put_retention_policy(logGroupName=group, retentionInDays=1)
    events = [{"timestamp": at_ms - 2 * DAY_MS, "message": "expired"}, {"timestamp": at_ms, "message": "kept"}]
    answer = logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)
    assert answer["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}


def test_a_batch_that_is_wrong_is_refused_whole(logs, group):
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    at_ms = now_ms()
    put_batch = lambda events: refused(logs.put_log_events, logGroupName=group, logStreamName="s", logEvents=events)  # noqa: E731
    backwards = [{"timestamp": at_ms, "message": "1"}, {"timestamp": at_ms - 1, "message": "2"}]
    assert put_batch(backwards) == ("InvalidParameterException", "Log events in a single PutLogEvents request must be in chronological order.")
    far = [{"timestamp": at_ms - DAY_MS - 1000, "message": "1"}, {"timestamp": at_ms, "message": "2"}]
    assert put_batch(far)[1] == "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."
    large = [{"timestamp": at_ms, "message": "x" * 600_000}] * 2
    assert put_batch(large) == ("InvalidParameterException", "Upload too large: 1200052 bytes exceeds limit of 1048576")
    assert put_batch([{"timestamp": at_ms, "message": "x"}] * 10_001)[0] == "InvalidParameterException"
    assert messages(logs, group) == []


def test_acknowledged_events_survive_kill_9(new_lake):
    lake = new_lake()
    logs = lake.client("logs")
    logs.create_log_group(logGroupName="g")
    acknowledged, stop = [], threading.Event()

    def writer(number):
        client = lake.client("logs", retries={"max_attempts": 0})
        client.create_log_stream(logGroupName="g", logStreamName=f"s{number}")
        count = 0
        while not stop.is_set():
            line = f"{number}-{count}"
            try:
                client.put_log_events(logGroupName="g", logStreamName=f"s{number}", logEvents=[{"timestamp": now_ms(), "message": line}])
            except Exception:
                return
            acknowledged.append(line)
            count += 1

    threads = [threading.Thread(target=writer, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(acknowledged) > 200, what="200 acknowledged events")
    lake.kill9()
    stop.set()
    for thread in threads:
        thread.join()
    lake.start()
    kept = messages(lake.client("logs"), "g")
    assert set(acknowledged) <= set(kept)
    assert len(kept) == len(set(kept)), "an event came twice"


# Getting


def test_a_stream_is_read_in_both_directions(logs, group):
    at_ms = now_ms() - 1000
    put(logs, group, "s", *[f"{number}" for number in range(25)], at_ms=at_ms)
    seen, token = [], None
    while True:
        more = {"nextToken": token} if token else {}
        page = logs.get_log_events(logGroupName=group, logStreamName="s", startFromHead=True, limit=10, **more)
        seen += [event["message"] for event in page["events"]]
        if page["nextForwardToken"] == token:
            break
        token = page["nextForwardToken"]
    assert seen == [f"{number}" for number in range(25)]
    latest = logs.get_log_events(logGroupName=group, logStreamName="s", limit=10)
    assert [event["message"] for event in latest["events"]] == [f"{number}" for number in range(15, 25)]
    before = logs.get_log_events(logGroupName=group, logStreamName="s", limit=10, nextToken=latest["nextBackwardToken"])
    assert [event["message"] for event in before["events"]] == [f"{number}" for number in range(5, 15)]
    part = logs.get_log_events(logGroupIdentifier=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}", logStreamName="s", startTime=at_ms + 3, endTime=at_ms + 6)
    assert [event["message"] for event in part["events"]] == ["3", "4", "5"]
    assert part["events"][0]["timestamp"] == at_ms + 3 and part["events"][0]["ingestionTime"] >= at_ms
    assert refused(logs.get_log_events, logGroupName=group, logStreamName="s", nextToken="x")[1] == "The specified nextToken is invalid."
    # A reader at the end gets what comes later by the token that it has.
    put(logs, group, "s", "later", at_ms=at_ms + 500)
    later = logs.get_log_events(logGroupName=group, logStreamName="s", startFromHead=True, nextToken=token)
    assert [event["message"] for event in later["events"]] == ["later"]


def test_a_group_is_read_across_its_streams(logs, group):
    at_ms = now_ms() - 10_000
    for number in range(12):
        put(logs, group, f"s{number % 3}", f"{number} {'even' if number % 2 == 0 else 'odd'}", at_ms=at_ms + number)
    events = found(logs, group, PaginationConfig={"PageSize": 5})
    assert [event["message"].split()[0] for event in events] == [f"{number}" for number in range(12)]
    assert [event["logStreamName"] for event in events[:4]] == ["s0", "s1", "s2", "s0"]
    assert len({event["eventId"] for event in events}) == 12 and all(len(event["eventId"]) == 56 for event in events)
    assert messages(logs, group, filterPattern="even", logStreamNames=["s0"]) == ["0 even", "6 even"]
    assert messages(logs, group, filterPattern="-even", logStreamNamePrefix="s1") == ["1 odd", "7 odd"]
    assert messages(logs, group, startTime=at_ms + 4, endTime=at_ms + 5) == ["4 even", "5 odd"]
    latest = logs.filter_log_events(logGroupName=group, limit=2, startFromHead=False)
    assert [event["message"] for event in latest["events"]] == ["11 odd", "10 even"] and latest["nextToken"]
    code, text = refused(logs.filter_log_events, logGroupName=group, filterPattern="a-b")
    assert code == "InvalidParameterException" and text.startswith("Invalid filter pattern: Invalid character(s) in term 'a-b'")
    assert refused(logs.filter_log_events, logGroupName=group, logStreamNames=["s0"], logStreamNamePrefix="s")[0] == "InvalidParameterException"
    assert refused(logs.filter_log_events, logGroupName=group, logStreamNames=["s9"])[0] == "ResourceNotFoundException"


def test_filter_patterns_are_tested(logs):
    line = '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /apache_pb.gif HTTP/1.0" 200 1534'
    other = '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /apache_pb.gif HTTP/1.0" 500 5324'
    pattern = "[ip, identity, user_id, timestamp, request, status_code = 5*, size]"
    matches = logs.test_metric_filter(filterPattern=pattern, logEventMessages=[line, other])["matches"]
    assert [match["eventNumber"] for match in matches] == [2]
    assert matches[0]["extractedValues"] == {
        "$ip": "127.0.0.1",
        "$identity": "-",
        "$user_id": "frank",
        "$timestamp": "10/Oct/2000:13:25:15 -0700",
        "$request": "GET /apache_pb.gif HTTP/1.0",
        "$status_code": "500",
        "$size": "5324",
    }
    trail = json.dumps({"errorCode": "AccessDeniedException", "user": {"id": 7}})
    denied = '{ ($.errorCode = "*UnauthorizedOperation") || ($.errorCode = "AccessDenied*") && $.user.id > 6 }'
    assert logs.test_metric_filter(filterPattern=denied, logEventMessages=[trail])["matches"][0]["extractedValues"]["$.user.id"] == "7"
    code, text = refused(logs.test_metric_filter, filterPattern="{ $.a = 1", logEventMessages=["x"])
    assert code == "InvalidParameterException" and "must end with '}'" in text


def test_large_pages_come_in_parts_and_whole(logs, group):
    for batch in range(6):
        put(logs, group, "s", *[f"{batch}-{number} " + "x" * 1000 for number in range(500)], at_ms=now_ms() - 100_000 + batch * 1000)
    first = logs.filter_log_events(logGroupName=group)
    assert first["nextToken"] and sum(len(event["message"]) for event in first["events"]) <= 1_048_576
    assert [event["message"].split()[0] for event in found(logs, group)] == [f"{batch}-{number}" for batch in range(6) for number in range(500)]


# Following


def follow(logs, group, seen, stop):
    """What `aws logs tail --follow` asks, without its pauses of five seconds."""
    arguments, ids = {"logGroupName": group, "interleaved": True, "startTime": now_ms() - 600_000}, set()
    while not stop.is_set():
        page = logs.filter_log_events(**arguments)
        for event in page["events"]:
            if event["eventId"] not in ids:
                ids.add(event["eventId"])
                seen.append(event["message"])
        if "nextToken" in page:
            arguments["nextToken"] = page["nextToken"]
            continue
        arguments.pop("nextToken", None)
        if page["events"]:
            arguments["startTime"] = max(event["timestamp"] for event in page["events"])
        time.sleep(0.01)


def test_a_follower_sees_each_line_once(lake, logs, group):
    seen, stop = [], threading.Event()
    follower = threading.Thread(target=follow, args=(lake.client("logs", retries={"max_attempts": 0}), group, seen, stop))
    follower.start()
    try:
        for number in range(50):
            put(logs, group, f"s{number % 3}", f"line {number}")
        wait_until(lambda: len(seen) >= 50, what="50 lines")
    finally:
        stop.set()
        follower.join()
    assert seen == [f"line {number}" for number in range(50)]


def cli_that_tails():
    """The AWS CLI 2, where it is installed: the first one has no `logs tail`."""
    for folder in os.environ["PATH"].split(os.pathsep):
        program = shutil.which("aws", path=folder)
        if program and "aws-cli/2" in subprocess.run([program, "--version"], capture_output=True, text=True).stdout:
            return program
    return None


@pytest.mark.skipif(cli_that_tails() is None, reason="the AWS CLI 2 is not installed")
def test_the_aws_cli_tails_and_follows(lake, logs, group):
    aws = cli_that_tails()
    put(logs, group, "s", "first ERROR", "second INFO")
    # (Not by the environment: the CLI knows AWS_ENDPOINT_URL since 2.13 only.)
    tail = [aws, "logs", "tail", group, "--endpoint-url", lake.endpoint, "--since", "5m"]
    once = subprocess.run([*tail, "--format", "short", "--filter-pattern", "ERROR"], env=lake.env, capture_output=True, text=True)
    assert once.returncode == 0, once.stderr
    assert [line.split(" ", 1)[1] for line in once.stdout.splitlines()] == ["first ERROR"]
    seen = []
    environment = {**lake.env, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([*tail, "--follow", "--format", "detailed"], env=environment, stdout=subprocess.PIPE, text=True) as following:
        reader = threading.Thread(target=lambda: seen.extend(line.rstrip() for line in following.stdout))
        reader.start()
        try:
            wait_until(lambda: len(seen) >= 2, 60, what="the lines that were there")
            put(logs, group, "t", "third")
            wait_until(lambda: len(seen) >= 3, 60, what="the line that came")
        finally:
            following.send_signal(signal.SIGINT)
            following.wait(30)
            reader.join()
    assert [line.split(" ", 1)[1] for line in seen] == ["s first ERROR", "s second INFO", "t third"]


# Who writes to it


def test_crawls_and_job_runs_write_to_their_groups(new_lake):
    lake = new_lake()
    logs = lake.client("logs")
    # A group that the owner made first keeps what the owner set.
    logs.create_log_group(logGroupName="/aws-glue/jobs/output", tags={"made": "before"})
    logs.put_retention_policy(logGroupName="/aws-glue/jobs/output", retentionInDays=30)
    create_pattern(lake)
    lake.put("raw", "flights/a.csv", "id,name\n1,a\n2,b\n")
    settle(lake)
    crawl = lake.client("glue").get_crawler(Name="flights")["Crawler"]["LastCrawl"]
    assert (crawl["LogGroup"], crawl["LogStream"], crawl["Status"]) == ("/aws-glue/crawlers", "flights", "SUCCEEDED")
    lines = messages(logs, crawl["LogGroup"], logStreamNames=[crawl["LogStream"]])
    begin = next(line for line in lines if line.endswith("BENCHMARK : Running Start Crawl for Crawler flights"))
    crawl_id = begin.split()[0]
    assert crawl_id == f"[{crawl['MessagePrefix']}]" or crawl_id.startswith("[")
    mine = [line for line in lines if line.startswith(crawl_id)]
    assert any("Created table flights in database raw" in line for line in lines), lines
    assert mine[-1].endswith("BENCHMARK : Crawler has finished running and is in state READY")
    run = last_run(lake, "flights")
    output = messages(logs, "/aws-glue/jobs/output", logStreamNames=[run["Id"]])
    assert any("Wrote 2 rows to processed.flights" in line for line in output), output
    kept = logs.describe_log_groups(logGroupNamePrefix="/aws-glue/jobs/output")["logGroups"][0]
    assert kept["retentionInDays"] == 30


def test_a_failed_crawl_says_why_in_its_log(lake, logs):
    glue = lake.client("glue")
    lake.bucket("failing-crawl")
    glue.create_crawler(Name="lost", Role="r", DatabaseName="no_such_database", Targets={"S3Targets": [{"Path": "s3://failing-crawl/"}]})
    assert lake.crawl("lost")["Status"] == "FAILED"
    settle(lake)
    lines = messages(logs, "/aws-glue/crawlers", logStreamNames=["lost"])
    assert any(" ERROR : " in line and "no_such_database" in line for line in lines), lines


def test_a_rule_writes_events_to_a_group(lake, logs, group):
    events = lake.client("events")
    target = arn("logs", f"log-group:{group}")
    events.put_rule(Name="to-logs", EventPattern=json.dumps({"source": ["shop"]}))
    assert events.put_targets(Rule="to-logs", Targets=[{"Id": "1", "Arn": target}])["FailedEntryCount"] == 0
    for number in range(20):
        events.put_events(Entries=[{"Source": "shop", "DetailType": "sold", "Detail": json.dumps({"n": number})}])
    lines = wait_until(lambda: (got := found(logs, group)) and len(got) >= 20 and got, what="20 events in the group")
    assert sorted(json.loads(line["message"])["detail"]["n"] for line in lines) == list(range(20))
    assert len({line["logStreamName"] for line in lines}) == 1
    transformer = {"InputPathsMap": {"n": "$.detail.n"}, "InputTemplate": '{"timestamp": 1700000000000, "message": "sold <n>"}'}
    events.put_targets(Rule="to-logs", Targets=[{"Id": "1", "Arn": target, "InputTransformer": transformer}])
    events.put_events(Entries=[{"Source": "shop", "DetailType": "sold", "Detail": json.dumps({"n": 99})}])
    wait_until(lambda: messages(logs, group, endTime=1700000000000) == ["sold 99"], what="the transformed line")
    events.remove_targets(Rule="to-logs", Ids=["1"])
    events.delete_rule(Name="to-logs")


def test_the_millpond_command_shows_and_follows_logs(lake, logs, group):
    put(logs, group, "s", "first ERROR", "second INFO")
    assert group in lake.millpond("logs")
    shown = lake.millpond("logs", group, "--filter", "ERROR")
    assert "first ERROR" in shown and "second" not in shown
    refusal = lake.millpond("logs", "/no/such/group", check=False)
    assert refusal.returncode == 1 and "/no/such/group" in refusal.stderr
