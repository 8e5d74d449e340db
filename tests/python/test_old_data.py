"""Lakes that were written by earlier versions are opened, for ever. `tests/data` keeps one of each, killed in the middle of its work."""

import tarfile

import pytest

from harness import REPO, Lake, discard, wait_until
from lakes import count, settle, wait_count

DATA = REPO / "tests" / "data"


@pytest.fixture
def old_lake(tmp_path):
    """A lake of part 1: a flow with data, an object of several parts, topics with subscribers, rules, a delivery that waits for its crawler."""
    with tarfile.open(DATA / "lake-part1.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    lake = Lake(tmp_path / "lake").start()
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
