"""The whole path by the AWS CLI and boto3: a dropped file is typed, converted, announced and open to SQL."""

import concurrent.futures
import json
import re

from harness import wait_until
from lakes import arn, create_pattern, settle, wait_count

HEADER = "year,month,carrier,distance,air_time\n"


def csv(rows):
    return HEADER + "".join(f"{year},{month},{carrier},{distance},{air}\n" for year, month, carrier, distance, air in rows)


def test_a_dropped_file_is_typed_converted_announced_and_open_to_sql(lake_with_smtp):
    lake = lake_with_smtp
    topic = create_pattern(
        lake,
        partition_by="year,month",
        sql="select *, cast(distance as double) / air_time * 60 as mph from input",
        mail_to="ops@example.com",
    )
    # An address that somebody else subscribes must be confirmed by its owner, who follows the link in the mail.
    (_, confirmation), *_ = lake.smtp.wait(1)
    link = re.search(r"http://\S+Action=ConfirmSubscription\S+", confirmation.get_body(("plain",)).get_content()).group(0)
    import urllib.request

    assert urllib.request.urlopen(link).status == 200

    lake.put("raw", "flights/a.csv", csv([(2013, 1, "UA", 1400, 227), (2013, 2, "AA", 1089, 160)]))
    wait_count(lake, "processed.flights", 2)

    glue = lake.client("glue")
    source = glue.get_table(DatabaseName="raw", Name="flights")["Table"]
    types = {column["Name"]: column["Type"] for column in source["StorageDescriptor"]["Columns"]}
    assert types == {"year": "bigint", "month": "bigint", "carrier": "string", "distance": "bigint", "air_time": "bigint"}
    assert source["Parameters"]["classification"] == "csv"

    target = glue.get_table(DatabaseName="processed", Name="flights")["Table"]
    assert [key["Name"] for key in target["PartitionKeys"]] == ["year", "month"]
    assert target["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"].endswith("ParquetHiveSerDe")
    partitions = glue.get_partitions(DatabaseName="processed", TableName="flights")["Partitions"]
    assert sorted(partition["Values"] for partition in partitions) == [["2013", "1"], ["2013", "2"]]
    keys = [item["Key"] for item in lake.client("s3").list_objects_v2(Bucket="processed")["Contents"]]
    assert all(re.fullmatch(r"flights/year=2013/month=[12]/.*\.parquet", key) for key in keys), keys

    rows = lake.sql("select carrier, round(mph, 1) from processed.flights where year = 2013 and month = 1")
    assert rows == [["UA", "370.0"]]

    messages = lake.smtp.wait(2)
    body = messages[1][1].get_body(("plain",)).get_content()
    event = json.loads(body[: body.index("\n--")])
    assert event["detail"]["jobName"] == "flights" and event["detail"]["state"] == "SUCCEEDED"
    assert event["detail-type"] == "Glue Job State Change" and event["account"] == "000000000000"
    assert messages[1][0].rcpt_tos == ["ops@example.com"]
    assert topic == arn("sns", "flights")


def test_the_aws_cli_walks_the_whole_path(lake, tmp_path):
    create_pattern(lake)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(csv([(2013, 1, "UA", 1400, 227)]))
    (tmp_path / "in" / "b.csv").write_text(csv([(2013, 2, "AA", 1089, 160), (2013, 2, "B6", 762, 116)]))
    assert json.loads(lake.aws("sts", "get-caller-identity"))["Account"] == "000000000000"
    lake.aws("s3", "cp", "--recursive", str(tmp_path / "in"), "s3://raw/flights/")
    assert "flights/" in lake.aws("s3", "ls", "s3://raw/")
    wait_count(lake, "processed.flights", 3)

    query = lake.aws(
        "athena", "start-query-execution", "--query-string", "select carrier from flights order by carrier",
        "--query-execution-context", "Database=processed", "--result-configuration", "OutputLocation=s3://athena-results/",
        "--query", "QueryExecutionId", "--output", "text",
    ).strip()  # fmt: skip
    lake.wait_query(query)
    results = json.loads(lake.aws("athena", "get-query-results", "--query-execution-id", query))
    cells = [row["Data"][0]["VarCharValue"] for row in results["ResultSet"]["Rows"]]
    assert cells == ["carrier", "AA", "B6", "UA"]
    assert lake.aws("s3", "cp", f"s3://athena-results/{query}.csv", "-") == '"carrier"\n"AA"\n"B6"\n"UA"\n'

    runs = json.loads(lake.aws("glue", "get-job-runs", "--job-name", "flights"))["JobRuns"]
    assert {run["JobRunState"] for run in runs} == {"SUCCEEDED"}
    crawler = json.loads(lake.aws("glue", "get-crawler", "--name", "flights"))["Crawler"]
    assert crawler["LastCrawl"]["Status"] == "SUCCEEDED"
    lake.aws("s3", "rm", "--recursive", "s3://raw/flights/")
    assert "Contents" not in lake.client("s3").list_objects_v2(Bucket="raw")
    # What was converted stays.
    assert lake.scalar("select count(*) from processed.flights") == "3"


def test_an_overwritten_file_contributes_each_version_once(lake):
    create_pattern(lake)
    first, second = csv([(2013, 1, "UA", 1, 1)]), csv([(2013, 1, "UA", 1, 1), (2013, 1, "UA", 2, 2)])
    lake.put("raw", "flights/a.csv", first)
    wait_count(lake, "processed.flights", 1)
    # The same bytes again are the same version.
    lake.put("raw", "flights/a.csv", first)
    settle(lake)
    wait_count(lake, "processed.flights", 1)
    # Other bytes under the same name are a new one.
    lake.put("raw", "flights/a.csv", second)
    wait_count(lake, "processed.flights", 3)
    lake.put("raw", "flights/a.csv", first)
    settle(lake)
    wait_count(lake, "processed.flights", 3)


def test_a_new_column_evolves_the_table(lake):
    create_pattern(lake)
    lake.put("raw", "flights/a.csv", "id,name\n1,a\n")
    wait_count(lake, "processed.flights", 1)
    lake.put("raw", "flights/b.csv", "id,name,price\n2,b,1.5\n")
    wait_count(lake, "processed.flights", 2)
    assert lake.sql("select id, name, price from processed.flights order by id") == [["1", "a", None], ["2", "b", "1.5"]]


def test_two_thousand_files_at_once_take_few_runs(lake):
    create_pattern(lake)
    s3 = lake.client("s3")

    def put(number):
        s3.put_object(Bucket="raw", Key=f"flights/{number:05}.csv", Body=csv([(2013, 1, "UA", number, 1)]))

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(put, range(2000)))
    wait_count(lake, "processed.flights", 2000, timeout_s=120)
    assert lake.scalar("select count(distinct distance) from processed.flights") == "2000"
    settle(lake)
    runs = lake.client("glue").get_job_runs(JobName="flights")["JobRuns"]
    assert len(runs) < 200, f"{len(runs)} runs for 2000 files"
    assert {run["JobRunState"] for run in runs} == {"SUCCEEDED"}


def test_a_lake_keeps_everything_over_a_restart(lake):
    create_pattern(lake)
    lake.put("raw", "flights/a.csv", csv([(2013, 1, "UA", 1, 1)]))
    wait_count(lake, "processed.flights", 1)
    before = lake.credentials
    assert lake.stop() == 0
    assert not (lake.data / "endpoint.json").exists()
    lake.start()
    assert lake.credentials == before
    wait_count(lake, "processed.flights", 1)
    lake.put("raw", "flights/b.csv", csv([(2013, 1, "UA", 2, 2)]))
    wait_count(lake, "processed.flights", 2)


def test_flows_of_the_configuration_make_the_same_parts(new_lake, smtp):
    lake = new_lake(
        f"""
[[flow]]
name         = "flights"
from         = "s3://raw/flights/"
suffix       = ".csv"
to           = "processed.flights"
partition_by = ["year", "month"]
sql          = "select *, cast(distance as double) / air_time * 60 as mph from input"
notify       = ["mailto:ops@example.com"]
source_file  = true
ingestion_timestamp = true
[smtp]
host = "{smtp.host}"
port = {smtp.port}
from = "lake@example.com"
"""
    )
    lake.put("raw", "flights/notes.txt", "not for the flow\n")
    lake.put("raw", "flights/a.csv", csv([(2013, 1, "UA", 1400, 227), (2013, 2, "AA", 1089, 160)]))
    wait_count(lake, "processed.flights", 2)
    assert lake.sql("select source_file from processed.flights where month = 1") == [["s3://raw/flights/a.csv"]]
    assert lake.scalar("select count(*) from processed.flights where ingestion_timestamp > timestamp '2020-01-01 00:00:00'") == "2"

    # The owner's addresses need no confirmation; the mail is for people.
    ((envelope, message),) = smtp.wait(1)
    text = message.get_body(("plain",)).get_content()
    assert envelope.rcpt_tos == ["ops@example.com"] and envelope.mail_from == "lake@example.com"
    assert "The flow 'flights' added 2 rows to processed.flights." in text, text

    # All of it is there for AWS's own clients.
    glue, events, sns = lake.client("glue"), lake.client("events"), lake.client("sns")
    name = "millpond-flow-flights"
    assert glue.get_crawler(Name=name)["Crawler"]["Targets"]["S3Targets"][0]["Path"] == "s3://raw/flights/"
    assert glue.get_job(JobName=name)["Job"]["Command"]["Name"] == "millpond"
    rules = {rule["Name"] for rule in events.list_rules(NamePrefix=name)["Rules"]}
    assert rules == {f"{name}-{what}" for what in ("arrived", "crawled", "converted", "failed", "crawl-failed")}
    subscriptions = sns.list_subscriptions_by_topic(TopicArn=arn("sns", name))["Subscriptions"]
    assert [subscription["Endpoint"] for subscription in subscriptions] == ["ops@example.com"]

    # A start with the same file changes nothing; one with another brings the lake to what it says.
    lake.restart()
    settle(lake)
    wait_count(lake, "processed.flights", 2)
    assert len(lake.client("sns").list_subscriptions_by_topic(TopicArn=arn("sns", name))["Subscriptions"]) == 1
    lake.stop()
    lake.config.write_text(lake.config.read_text().replace("[[flow]]", '[[flow]]\nexclude = ["**.tmp"]').replace("ops@", "crew@"))
    lake.start()
    target = lake.client("glue").get_crawler(Name=name)["Crawler"]["Targets"]["S3Targets"][0]
    assert target["Exclusions"] == ["**.tmp"]
    subscriptions = lake.client("sns").list_subscriptions_by_topic(TopicArn=arn("sns", name))["Subscriptions"]
    assert [subscription["Endpoint"] for subscription in subscriptions] == ["crew@example.com"]

    # A flow that is gone from the file is taken down; its table stays.
    lake.stop()
    lake.config.write_text("")
    lake.start()
    assert lake.client("events").list_rules(NamePrefix=name)["Rules"] == []
    wait_count(lake, "processed.flights", 2)


def test_a_failed_conversion_is_announced_with_its_reason(new_lake, smtp):
    lake = new_lake(
        f"""
[[flow]]
name   = "orders"
from   = "s3://raw/orders/"
to     = "processed.orders"
sql    = "select no_such_column from input"
notify = ["mailto:ops@example.com"]
[smtp]
host = "{smtp.host}"
port = {smtp.port}
from = "lake@example.com"
"""
    )
    lake.put("raw", "orders/a.csv", "id,price\n1,2\n")
    ((_, message),) = smtp.wait(1)
    text = message.get_body(("plain",)).get_content()
    assert "could not convert" in text and "no_such_column" in text, text
    runs = lake.client("glue").get_job_runs(JobName="millpond-flow-orders")["JobRuns"]
    assert runs[0]["JobRunState"] == "FAILED" and "no_such_column" in runs[0]["ErrorMessage"]
    shown = lake.millpond("runs", "--failed")
    assert "no_such_column" in shown


def test_mail_is_sent_again_when_the_server_was_away(new_lake, smtp):
    lake = new_lake(f'[smtp]\nhost = "{smtp.host}"\nport = {smtp.port}\nfrom = "lake@example.com"\n')
    smtp.refuse = "451 come back later"
    sns = lake.client("sns")
    topic = sns.create_topic(Name="t")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.com")
    settle_refused = wait_until(lambda: b"451" in lake.log_path.read_bytes() or None, 20, 0.1, "a refused mail in the log")
    assert settle_refused
    smtp.refuse = None
    smtp.wait(1)
