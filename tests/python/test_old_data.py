"""Lakes that were written by earlier versions are opened, for ever. `tests/data` keeps one of each, killed in the middle of its work."""

import contextlib
import json
import sqlite3
import tarfile
import time

import pytest

import lambdas
from glue_jobs import log
from harness import REPO, Lake, discard, wait_until
from lakes import count, settle, wait_count

DATA = REPO / "tests" / "data"


def keep_young(database):
    """Brings up to date what expires while a fixture lies here: events that wait for functions (after 6 hours), deliveries (after a day for rules, 23 for
    topics), messages of queues (after 4 days)."""
    now_ms = int(time.time() * 1000)
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        db.execute("UPDATE task SET payload = json_set(payload, '$.t', ?) WHERE kind = 'lambda.invoke'", [now_ms])
        db.execute("UPDATE task SET payload = json_set(payload, '$.since_ms', ?) WHERE json_extract(payload, '$.since_ms') IS NOT NULL", [now_ms])
        if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sqs_message'").fetchone():
            db.execute("UPDATE sqs_message SET sent_ms = sent_ms + ? - (SELECT max(sent_ms) FROM sqs_message)", [now_ms])


def opened(directory, name, config=None):
    with tarfile.open(DATA / name) as archive:
        archive.extractall(directory, filter="data")
    keep_young(directory / "lake" / "lake.sqlite3")
    if config is None:
        return Lake(directory / "lake").start()
    settings = directory / "millpond.toml"
    settings.write_text(config)
    return Lake(directory / "lake", config=settings).start()


@pytest.fixture
def old_lake(tmp_path):
    """A lake of part 1: a flow with data, an object of several parts, topics with subscribers, rules, a delivery that waits for its crawler."""
    lake = opened(tmp_path, "lake-part1.tar.xz")
    yield lake
    discard(lake)


@pytest.fixture
def chained_lake(tmp_path):
    """A lake of part 2: queues with messages in flight, functions with an alias and a call that waits for its second try, a bus, roles, logs."""
    lake = opened(tmp_path, "lake-part2.tar.xz", lambdas.CONFIG)
    yield lake
    discard(lake)


FLOW = '[[flow]]\nname = "company"\nfrom = "s3://raw/company/"\nto = "dynamodb:company"\n'


@pytest.fixture
def scripted_lake(tmp_path):
    """A lake of part 3: tables of items, a flow into one, a bookmark of a script, a trigger that is half met, a workflow, a script that has written."""
    lake = opened(tmp_path, "lake-part3.tar.xz", FLOW)
    yield lake
    discard(lake)


@pytest.fixture
def queried_lake(tmp_path):
    """A lake of part 4: tables that queries made, one of Iceberg's with its versions, a view, a workgroup with all it has, an INSERT that was cut off."""
    lake = opened(tmp_path, "lake-part4.tar.xz")
    yield lake
    discard(lake)


def test_a_lake_of_part_1_has_its_data_and_goes_on(old_lake):
    lake = old_lake
    rows = lake.sql("select year, count(*), sum(delay) from processed.flights group by year order by year")
    assert [list(map(str, row)) for row in rows] == [["2013", "2", "13"], ["2014", "2", "3"]]
    assert count(lake, "processed.flights_quarantine") == 1
    body = lake.client("s3").get_object(Bucket="big", Key="large.bin")["Body"].read()
    assert body == b"0123456789abcdef" * 20000
    # The flow goes on where it was: what it took once is not taken again.
    lake.put("raw", "flights/3.csv", "year,month,carrier,delay\n2015,1,UA,1\n")
    wait_count(lake, "processed.flights", 5)
    settle(lake)
    assert count(lake, "processed.flights") == 5


def test_what_waited_in_a_lake_of_part_1_is_delivered(old_lake):
    lake = old_lake
    assert [letter["reason"].startswith("the topic") for letter in lake.dead_letters()] == [True]
    glue = lake.client("glue")
    glue.create_crawler(Name="not-yet", Role="role", DatabaseName="raw", Targets={"S3Targets": [{"Path": "s3://big/"}]})
    wait_until(lambda: glue.list_crawls(CrawlerName="not-yet")["Crawls"], timeout_s=60, what="the crawl that was asked for before the kill")


def test_rules_topics_and_notifications_of_part_1_are_there(old_lake):
    lake = old_lake
    assert {"waits", "hourly"} <= {rule["Name"] for rule in lake.client("events").list_rules()["Rules"]}
    targets = lake.client("events").list_targets_by_rule(Rule="waits")["Targets"]
    assert [target["Id"] for target in targets] == ["1", "2"]
    sns = lake.client("sns")
    topics = {topic["TopicArn"].rsplit(":", 1)[1] for topic in sns.list_topics()["Topics"]}
    assert "news" in topics
    addresses = {subscription["Endpoint"] for subscription in sns.list_subscriptions()["Subscriptions"]}
    assert {"ops@example.com", "someone@example.com", "nobody@example.com"} <= addresses
    found = lake.client("s3").get_bucket_notification_configuration(Bucket="big")["QueueConfigurations"]
    assert [(one["Id"], one["Events"]) for one in found] == [("q", ["s3:ObjectCreated:*"])]
    named = lake.client("athena").list_named_queries()["NamedQueryIds"]
    assert len(named) == 1


def bodies(sqs, url, count):
    """Receives and deletes so many messages of a queue."""
    found = []

    def receive():
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found.append(message["Body"])
        return len(found) >= count

    wait_until(receive, what=f"{count} messages in {url}")
    return found


def test_queues_of_a_lake_of_part_2_have_their_messages_and_order(chained_lake):
    sqs = chained_lake.client("sqs")
    url = lambda name: sqs.get_queue_url(QueueName=name)["QueueUrl"]  # noqa: E731
    # One of them was in flight when the server was killed: its time is over, so it comes again.
    texts = [json.loads(body) for body in bodies(sqs, url("work"), 3)]
    keys = sorted(record["s3"]["object"]["key"] for text in texts for record in text.get("Records", []))
    assert keys == ["a.txt", "b.txt"]
    assert bodies(sqs, url("steps.fifo"), 3) == ["step 0", "step 1", "step 2"]
    assert bodies(sqs, url("told"), 1) == ["kept"]


def test_functions_of_a_lake_of_part_2_are_called_and_what_waited_goes_on(chained_lake):
    lake = chained_lake
    functions, sqs = lake.client("lambda"), lake.client("sqs")
    answer = functions.invoke(FunctionName="copy:live", Payload=b'{"Records": [1, 2, 3]}')
    assert json.loads(answer["Payload"].read()) == {"records": 3}
    assert functions.get_function_configuration(FunctionName="copy")["Environment"]["Variables"] == {"STAGE": "old"}
    assert [one["State"] for one in functions.list_event_source_mappings()["EventSourceMappings"]] == ["Disabled"]
    # The call that had failed once is tried again, and then told to its destination.
    [told] = bodies(sqs, sqs.get_queue_url(QueueName="dead")["QueueUrl"], 1)
    record = json.loads(told)
    assert record["requestPayload"] == {"id": 7} and record["requestContext"]["approximateInvokeCount"] == 2


def test_rules_roles_and_logs_of_a_lake_of_part_2_are_there(chained_lake):
    lake = chained_lake
    events = lake.client("events")
    assert [target["Id"] for target in events.list_targets_by_rule(Rule="big", EventBusName="orders")["Targets"]] == ["t"]
    assert lake.client("iam").get_role(RoleName="functions")["Role"]["RoleId"].startswith("AROA")
    logs = lake.client("logs")
    assert [event["message"] for event in logs.filter_log_events(logGroupName="/own/app")["events"]] == ["an old line"]
    [group] = logs.describe_log_groups(logGroupNamePrefix="/own/")["logGroups"]
    assert group["retentionInDays"] == 3653
    lines = logs.filter_log_events(logGroupName="/aws/lambda/copy", filterPattern="called")["events"]
    assert lines and lines[0]["message"].startswith("called")


def test_tables_of_items_of_a_lake_of_part_3_are_there(scripted_lake):
    client = scripted_lake.client("dynamodb")
    table = client.describe_table(TableName="orders")["Table"]
    assert [index["IndexName"] for index in table["GlobalSecondaryIndexes"]] == ["by-city"]
    assert client.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"] == [{"Key": "team", "Value": "sales"}]
    assert client.describe_time_to_live(TableName="orders")["TimeToLiveDescription"]["AttributeName"] == "expires"
    of = lambda name, **more: client.query(  # noqa: E731
        TableName="orders", KeyConditionExpression=f"{name} = :v", **more)["Items"]
    ada = of("customer", ExpressionAttributeValues={":v": {"S": "ada"}})
    assert [item["at"]["N"] for item in ada] == ["-0.5", "1000000000000000000000000000000"]
    first = {**ada[0], "tags": sorted(ada[0]["tags"]["SS"])}
    assert first == {
        "customer": {"S": "ada"}, "at": {"N": "-0.5"}, "city": {"S": "Basel"}, "total": {"N": "12345678901234567890123456789012345678"},
        "tags": ["a", "b"], "raw": {"B": b"\x00\xff"}, "lines": {"L": [{"M": {"sku": {"S": "x"}, "gone": {"NULL": True}}}]},
    }
    basel = lambda: [item["customer"]["S"] for item in of(  # noqa: E731
        "city", IndexName="by-city", ExpressionAttributeValues={":v": {"S": "Basel"}})]
    # What expired more than five years ago stays, as with AWS.
    assert sorted(basel()) == ["ada", "bob"]
    changed = client.get_item(TableName="orders", Key={"customer": {"S": "bob"}, "at": {"N": "4"}})["Item"]
    assert changed["n"] == {"N": "1"}


def test_a_flow_into_items_of_a_lake_of_part_3_goes_on(scripted_lake):
    lake = scripted_lake
    names = lambda: sorted(item["name"]["S"] for item in lake.client("dynamodb").scan(TableName="company")["Items"])  # noqa: E731
    assert names() == ["Acme", "Beta"]
    lake.put("raw", "company/b.csv", "name,employees\nAcme,007\nGamma,1\n")
    settle(lake)
    assert names() == ["Acme", "Beta", "Gamma"]


def test_scripts_of_a_lake_of_part_3_go_on(scripted_lake):
    lake, glue = scripted_lake, scripted_lake.client("glue")
    # The one that was under way has failed, and what it wrote is gone.
    [cut] = glue.get_job_runs(JobName="writer")["JobRuns"]
    assert lake.wait_job("writer", cut["Id"])["JobRunState"] == "FAILED"
    assert "Contents" not in lake.client("s3").list_objects_v2(Bucket="outgoing")
    # The bookmark is past what was read.
    done = lake.run_job("reader")
    assert done["JobRunState"] == "SUCCEEDED", done
    wait_until(lambda: "read ['b.csv']" in log(lake, done["Id"]), what="what was read")
    # The other half of what the trigger waits for.
    glue.start_trigger(Name="do-y")
    fired = wait_until(lambda: glue.get_job_runs(JobName="z")["JobRuns"], what="the run that the trigger starts")
    assert fired[0]["TriggerName"] == "both" and {one["JobName"] for one in fired[0]["PredecessorRuns"]} == {"x", "y"}
    assert glue.get_workflow(Name="nightly")["Workflow"]["Description"] == "kept"
    assert sorted(trigger["Name"] for trigger in glue.get_triggers(DependentJobName="x")["Triggers"]) == ["begin", "do-x"]


def test_tables_of_a_lake_of_part_4_are_read_and_written(queried_lake):
    lake = queried_lake
    assert lake.sql("SELECT id, name, price FROM shop.items WHERE day = DATE '2024-01-01' ORDER BY id") == [["1", "apple", "1.50"], ["2", "pear", None]]
    assert lake.sql("SELECT id, CAST(day AS varchar) FROM shop.cheap ORDER BY id") == [["1", "2024-01-01"], ["3", "2024-01-02"], ["4", "2024-01-03"]]
    assert lake.sql("SELECT name, n FROM shop.names ORDER BY name") == [["apple", "1"], ["pear", "1"], ["plum", "1"]]
    lake.sql("INSERT INTO shop.cheap VALUES (5, 'nut', DECIMAL '0.20', DATE '2024-01-03')")
    assert lake.scalar("SELECT count(*) FROM shop.cheap WHERE day = DATE '2024-01-03'") == "2"


def test_an_iceberg_table_of_a_lake_of_part_4_has_its_versions(queried_lake):
    lake = queried_lake
    stock = "SELECT id, amount, note FROM shop.stock ORDER BY id"
    assert lake.sql(stock) == [["2", "21", None], ["3", "30", None], ["5", "50", "new"]]
    versions = lake.sql('SELECT snapshot_id, operation FROM "shop"."stock$snapshots" ORDER BY committed_at')
    assert len(versions) == 5, versions
    first = lake.sql(f"SELECT id, amount FROM shop.stock FOR VERSION AS OF {versions[0][0]} ORDER BY id")
    assert first == [["1", "10"], ["2", "20"]]
    lake.sql("MERGE INTO shop.stock t USING (VALUES (3, 7), (6, 60)) s (id, amount) ON t.id = s.id WHEN MATCHED THEN UPDATE SET amount = s.amount WHEN NOT MATCHED THEN INSERT (id, amount) VALUES (s.id, s.amount)")
    assert lake.sql(stock) == [["2", "21", None], ["3", "7", None], ["5", "50", "new"], ["6", "60", None]]


def test_a_workgroup_of_a_lake_of_part_4_has_its_settings_and_history(queried_lake):
    athena = queried_lake.client("athena")
    group = athena.get_work_group(WorkGroup="team")["WorkGroup"]
    assert group["Description"] == "kept" and group["Configuration"]["BytesScannedCutoffPerQuery"] == 10_000_000
    assert queried_lake.sql("EXECUTE by_id USING 3", WorkGroup="team") == [["plum"]]
    [query] = athena.batch_get_named_query(NamedQueryIds=athena.list_named_queries(WorkGroup="team")["NamedQueryIds"])["NamedQueries"]
    assert query["QueryString"] == "SELECT * FROM items"
    old = athena.list_query_executions(WorkGroup="team")["QueryExecutionIds"][1:]
    failed, executed = athena.batch_get_query_execution(QueryExecutionIds=old)["QueryExecutions"]
    assert failed["Status"]["StateChangeReason"].startswith("COLUMN_NOT_FOUND: line 1:8: ")
    rows = athena.get_query_results(QueryExecutionId=executed["QueryExecutionId"])["ResultSet"]["Rows"]
    assert [row["Data"][0]["VarCharValue"] for row in rows] == ["name", "pear"]


def test_a_statement_of_a_lake_of_part_4_that_was_cut_off_is_carried_out_once(queried_lake):
    lake = queried_lake
    [cut] = [
        one
        for one in lake.client("athena").get_paginator("list_query_executions").paginate().search("QueryExecutionIds")
        if lake.wait_query(one, 280)["Query"].startswith("INSERT INTO shop.totals")
    ]
    assert lake.wait_query(cut)["Status"]["State"] == "SUCCEEDED"
    assert lake.sql("SELECT n FROM shop.totals ORDER BY n") == [["0"], ["428572"]]
