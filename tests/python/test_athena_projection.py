"""Partition projection: partitions that follow from a table's properties."""

import datetime

import pytest
from test_athena import rows, start, wait


@pytest.fixture(scope="module")
def logs(module_lake):
    """A lake with objects below dates, none of which is registered."""
    s3, athena = module_lake.client("s3"), module_lake.client("athena")
    for bucket in ("logs", "results"):
        s3.create_bucket(Bucket=bucket)
    done(athena, "CREATE DATABASE logs")
    today = datetime.datetime.now(datetime.UTC).strftime("%Y/%m/%d")
    for day in ("2024/01/01", "2024/01/02", "2024/02/29", today):
        for region in ("eu", "us"):
            s3.put_object(Bucket="logs", Key=f"raw/{region}/{day}/a.csv", Body=f"{region},{day}\n".encode())
    return module_lake


def done(athena, sql):
    execution = wait(athena, start(athena, sql))
    assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
    return execution


def answer(athena, sql):
    return rows(athena, done(athena, sql))[1:]


def reason(athena, sql):
    execution = wait(athena, start(athena, sql))
    assert execution["Status"]["State"] == "FAILED", execution["Status"]
    return execution["Status"]["StateChangeReason"]


def create(athena, name, properties, keys="region string, day string", location="s3://logs/raw/", stored="TEXTFILE"):
    listed = ", ".join(f"'{key}' = '{value}'" for key, value in properties.items())
    row_format = "ROW FORMAT DELIMITED FIELDS TERMINATED BY ','" if stored == "TEXTFILE" else ""
    done(
        athena,
        f"""CREATE EXTERNAL TABLE logs.{name} (a string, b string) PARTITIONED BY ({keys})
            {row_format} STORED AS {stored} LOCATION '{location}' TBLPROPERTIES ({listed})""",
    )


BY_DAY = {
    "projection.enabled": "true",
    "projection.region.type": "enum",
    "projection.region.values": "eu,us",
    "projection.day.type": "date",
    "projection.day.format": "yyyy/MM/dd",
    "projection.day.range": "2024/01/01,NOW",
    "storage.location.template": "s3://logs/raw/${region}/${day}/",
}


def test_projected_partitions_need_no_registration(logs):
    athena = logs.client("athena")
    create(athena, "by_day", BY_DAY)
    assert answer(athena, "SELECT count(*) FROM logs.by_day") == [["8"]]
    assert answer(athena, "SELECT b, day FROM logs.by_day WHERE region = 'eu' AND day < '2024/01/02'") == [["2024/01/01"] * 2]
    assert answer(athena, "SELECT count(*) FROM logs.by_day WHERE day BETWEEN '2024/01/02' AND '2024/03/01'") == [["4"]]
    assert answer(athena, "SELECT count(*) FROM logs.by_day WHERE day = '1999/01/01'") == [["0"]]
    assert answer(athena, "SELECT day FROM logs.by_day WHERE substr(day, 1, 7) = '2024/02' AND region = 'us'") == [["2024/02/29"]]
    # Out of the ranges: no rows, no error; and nothing is listed as registered.
    assert rows(athena, done(athena, "SHOW PARTITIONS logs.by_day")) == []
    listed = answer(athena, "SELECT region, day FROM logs.\"by_day$partitions\" WHERE day < '2024/01/03' ORDER BY 1, 2")
    assert listed == [["eu", "2024/01/01"], ["eu", "2024/01/02"], ["us", "2024/01/01"], ["us", "2024/01/02"]]


def test_registered_partitions_of_a_projected_table_do_not_count(logs):
    athena = logs.client("athena")
    create(athena, "both", BY_DAY | {"projection.region.values": "eu"})
    done(athena, "ALTER TABLE logs.both ADD PARTITION (region = 'us', day = 'x') LOCATION 's3://logs/raw/us/2024/01/01/'")
    assert answer(athena, "SELECT count(*) FROM logs.both") == [["4"]]
    done(athena, "ALTER TABLE logs.both SET TBLPROPERTIES ('projection.enabled' = 'false')")
    assert answer(athena, "SELECT region, count(*) FROM logs.both GROUP BY region") == [["us", "1"]]


def test_typed_and_nested_keys_follow_hives_path_without_a_template(logs):
    athena, s3 = logs.client("athena"), logs.client("s3")
    for year, hour in ((2023, "07"), (2024, "08"), (2024, "23")):
        s3.put_object(Bucket="logs", Key=f"hive/year={year}/hour={hour}/x.csv", Body=b"x,y\n")
    properties = {
        "projection.enabled": "TRUE",
        "projection.year.type": "integer",
        "projection.year.range": "2000,2030",
        "projection.hour.type": "integer",
        "projection.hour.range": "0,23",
        "projection.hour.digits": "2",
    }
    create(athena, "hive", properties, "year int, hour string", "s3://logs/hive/")
    assert answer(athena, "SELECT year, hour FROM logs.hive WHERE year > 2023 ORDER BY 2") == [["2024", "08"], ["2024", "23"]]
    assert answer(athena, "SELECT year FROM logs.hive WHERE hour = '07'") == [["2023"]]


def test_injected_values_must_be_said(logs):
    athena = logs.client("athena")
    create(athena, "injected", BY_DAY | {"projection.region.type": "injected"})
    assert answer(athena, "SELECT count(*) FROM logs.injected WHERE region IN ('eu', 'nowhere') AND day <= '2024/01/02'") == [["2"]]
    said = reason(athena, "SELECT count(*) FROM logs.injected WHERE day <= '2024/01/02'")
    assert said == (
        "CONSTRAINT_VIOLATION: For the injected projected partition column region, the WHERE clause must contain only static equality "
        "conditions, and at least one such condition must be present."
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"projection.day.type": "week"}, "HIVE_INVALID_METADATA: Table logs.wrong: 'projection.day.type' is 'week'"),
        ({"projection.day.format": "bbb"}, "HIVE_INVALID_METADATA: Table logs.wrong: 'projection.day.format': the letters 'bbb'"),
        ({"projection.day.range": "today"}, "HIVE_INVALID_METADATA: Table logs.wrong: 'projection.day.range' must be two values"),
        ({"storage.location.template": "s3://logs/${day}/"}, "lacks the partition column '${region}'"),
        ({"projection.region.type": None}, "the following partition columns are missing projection configuration: [region]"),
        ({"projection.day.range": "0001/01/01,NOW", "projection.day.interval": "1", "projection.day.interval.unit": "MINUTES"}, "HIVE_EXCEEDED_PARTITION_LIMIT"),
    ],
)
def test_wrong_properties_are_named(logs, change, expected):
    athena = logs.client("athena")
    done(athena, "DROP TABLE IF EXISTS logs.wrong")
    properties = {key: value for key, value in (BY_DAY | change).items() if value is not None}
    create(athena, "wrong", properties)
    assert expected in reason(athena, "SELECT * FROM logs.wrong")


@pytest.mark.parametrize("form", ["PARQUET", "TEXTFILE"])
def test_inserted_rows_go_where_queries_look_for_them(logs, form):
    athena, name = logs.client("athena"), f"written_{form.lower()}"
    create(
        athena,
        name,
        {
            "projection.enabled": "true",
            "projection.m.type": "integer",
            "projection.m.range": "1,12",
            "projection.m.digits": "2",
            "projection.pd.type": "date",
            "projection.pd.format": "yyyy/MM/dd",
            "projection.pd.range": "2024/01/01,NOW",
            "projection.who.type": "injected",
            "storage.location.template": f"s3://logs/{name}/${{pd}}/m-${{m}}/${{who}}/",
        },
        keys="m int, pd date, who string",
        location=f"s3://logs/{name}/",
        stored=form,
    )
    done(athena, f"INSERT INTO logs.{name} VALUES ('a', 'b', 7, DATE '2024-01-02', 'x y'), ('c', 'd', 12, DATE '2024-02-29', 'x y')")
    found = answer(athena, f"SELECT a, b, m, pd, who FROM logs.{name} WHERE who = 'x y' ORDER BY a")
    assert found == [["a", "b", "7", "2024-01-02", "x y"], ["c", "d", "12", "2024-02-29", "x y"]]
    listed = logs.client("s3").list_objects_v2(Bucket="logs", Prefix=f"{name}/")["Contents"]
    assert [one["Key"].rsplit("/", 1)[0] for one in listed] == [f"{name}/2024/01/02/m-07/x y", f"{name}/2024/02/29/m-12/x y"]
    day = "DATE '2024-01-02'"
    for values, column in [
        (f"77, {day}, 'x'", "m"),
        (f"NULL, {day}, 'x'", "m"),
        ("7, DATE '1999-01-01', 'x'", "pd"),
        (f"7, {day}, 'a/../b'", "who"),
        (f"7, {day}, NULL", "who"),
    ]:
        why = reason(athena, f"INSERT INTO logs.{name} VALUES ('e', 'f', {values})")
        assert "HIVE_INVALID_PARTITION_VALUE" in why and f"'{column}'" in why, why
    assert len(logs.client("s3").list_objects_v2(Bucket="logs", Prefix=f"{name}/")["Contents"]) == 2
