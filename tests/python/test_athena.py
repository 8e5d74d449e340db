"""Athena's own operations: executions, results, workgroups, named queries, metadata."""

import datetime
import io
import time

import fastavro
import pytest
from botocore.exceptions import ClientError

CSV = "id,name,price,day\n" + "".join(f'{n},"item, {n}",{n}.5,2024-01-{n % 28 + 1:02}\n' for n in range(1, 2501)) + "2501,,,\n"


@pytest.fixture(scope="module")
def shop(module_lake):
    """A lake with the table shop.items over CSV, made by DDL alone."""
    s3, athena = module_lake.client("s3"), module_lake.client("athena")
    s3.create_bucket(Bucket="shop")
    s3.create_bucket(Bucket="results")
    s3.put_object(Bucket="shop", Key="items/items.csv", Body=CSV.encode())
    run(athena, "CREATE DATABASE IF NOT EXISTS shop")
    run(
        athena,
        """CREATE EXTERNAL TABLE shop.items (id bigint, name string, price double, day date)
           ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' WITH SERDEPROPERTIES ('separatorChar' = ',')
           LOCATION 's3://shop/items/' TBLPROPERTIES ('skip.header.line.count' = '1')""",
    )
    return module_lake


def start(athena, sql, **more):
    more.setdefault("ResultConfiguration", {"OutputLocation": "s3://results/out/"})
    return athena.start_query_execution(QueryString=sql, **more)["QueryExecutionId"]


def wait(athena, execution_id):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        execution = athena.get_query_execution(QueryExecutionId=execution_id)["QueryExecution"]
        if execution["Status"]["State"] not in ("QUEUED", "RUNNING"):
            return execution
        time.sleep(0.01)
    raise AssertionError(f"{execution_id} has not ended")


def run(athena, sql, **more):
    execution = wait(athena, start(athena, sql, **more))
    assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
    return execution


def rows(athena, execution):
    pages = athena.get_paginator("get_query_results").paginate(QueryExecutionId=execution["QueryExecutionId"])
    return [[datum.get("VarCharValue") for datum in row["Data"]] for page in pages for row in page["ResultSet"]["Rows"]]


def test_a_query_answers_with_a_header_types_and_true_statistics(shop):
    athena = shop.client("athena")
    execution = run(athena, "SELECT count(*) AS n, max(id) AS last, sum(price) total FROM shop.items")
    assert rows(athena, execution) == [["n", "last", "total"], ["2501", "2501", "3127500.0"]]
    columns = athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    assert [(column["Name"], column["Type"]) for column in columns] == [("n", "bigint"), ("last", "bigint"), ("total", "double")]
    assert execution["StatementType"] == "DML"
    assert execution["Statistics"]["DataScannedInBytes"] == len(CSV)
    assert execution["Statistics"]["TotalExecutionTimeInMillis"] >= 0


def test_pages_together_hold_every_row_once_and_null_is_not_empty(shop):
    athena = shop.client("athena")
    execution = run(athena, "SELECT id, name FROM shop.items ORDER BY id", QueryExecutionContext={"Database": "shop"})
    got = rows(athena, execution)
    assert got[0] == ["id", "name"] and len(got) == 2502
    assert got[1] == ["1", "item, 1"] and [row[0] for row in got[1:]] == [str(n) for n in range(1, 2502)]


def test_the_result_and_its_metadata_are_objects_where_the_caller_wanted_them(shop):
    athena, s3 = shop.client("athena"), shop.client("s3")
    execution = run(athena, "SELECT id, name FROM shop.items WHERE id = 7")
    location = execution["ResultConfiguration"]["OutputLocation"]
    assert location == f"s3://results/out/{execution['QueryExecutionId']}.csv"
    key = location.removeprefix("s3://results/")
    assert s3.get_object(Bucket="results", Key=key)["Body"].read() == b'"id","name"\n"7","item, 7"\n'
    assert s3.head_object(Bucket="results", Key=key + ".metadata")["ContentLength"] > 0


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT nmae FROM shop.items", "COLUMN_NOT_FOUND: line 1:8: Column 'nmae' cannot be resolved"),
        ("SELECT 1 FROM shop.itms", "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.shop.itms' does not exist"),
        ("SELECT 1 FROM nowhere.items", "SCHEMA_NOT_FOUND: line 1:15: Schema 'nowhere' does not exist"),
    ],
)
def test_a_wrong_query_fails_with_athenas_reason(shop, sql, reason):
    athena = shop.client("athena")
    execution = wait(athena, start(athena, sql))
    assert execution["Status"]["State"] == "FAILED"
    assert reason in execution["Status"]["StateChangeReason"]
    assert execution["Status"]["AthenaError"]["ErrorCategory"] == 2
    with pytest.raises(ClientError, match="Query did not finish successfully. Final query state: FAILED"):
        athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])


def test_a_statement_that_cannot_be_parsed_is_refused_at_once(shop):
    with pytest.raises(ClientError, match="line 1:1.*mismatched input") as refused:
        start(shop.client("athena"), "SELEC 1")
    assert refused.value.response["Error"]["Code"] == "InvalidRequestException"
    assert refused.value.response["AthenaErrorCode"] == "MALFORMED_QUERY"


def test_what_does_not_exist_is_refused_as_athena_does(shop):
    athena = shop.client("athena")
    missing = "00000000-0000-4000-8000-000000000000"
    for message, call in [
        (f"QueryExecution {missing} was not found", lambda: athena.get_query_execution(QueryExecutionId=missing)),
        ("WorkGroup nobody is not found", lambda: start(athena, "SELECT 1", WorkGroup="nobody")),
        ("Database nowhere not found", lambda: athena.get_database(CatalogName="AwsDataCatalog", DatabaseName="nowhere")),
        ("not a valid S3 path", lambda: start(athena, "SELECT 1", ResultConfiguration={"OutputLocation": "/tmp/x"})),
    ]:
        with pytest.raises(ClientError, match=message):
            call()
    batch = athena.batch_get_query_execution(QueryExecutionIds=[missing])
    assert batch["UnprocessedQueryExecutionIds"][0]["QueryExecutionId"] == missing


def test_ddl_changes_the_catalog_that_glue_shows(shop):
    athena, glue, s3 = shop.client("athena"), shop.client("glue"), shop.client("s3")
    for day in ("2024-01-01", "2024-01-02"):
        s3.put_object(Bucket="shop", Key=f"sales/day={day}/part.json", Body=b'{"n": 1}\n{"n": 2}\n')
    run(
        athena,
        """CREATE EXTERNAL TABLE sales (n int) PARTITIONED BY (day string)
           ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' LOCATION 's3://shop/sales/'""",
        QueryExecutionContext={"Database": "shop"},
    )
    assert glue.get_partitions(DatabaseName="shop", TableName="sales")["Partitions"] == []
    run(athena, "MSCK REPAIR TABLE shop.sales")
    partitions = glue.get_partitions(DatabaseName="shop", TableName="sales")["Partitions"]
    assert sorted(partition["Values"] for partition in partitions) == [["2024-01-01"], ["2024-01-02"]]
    assert rows(athena, run(athena, "SELECT sum(n) FROM shop.sales WHERE day = '2024-01-02'"))[1:] == [["3"]]
    assert ["sales"] in rows(athena, run(athena, "SHOW TABLES IN shop"))
    assert sorted(rows(athena, run(athena, "SHOW PARTITIONS shop.sales"))) == [["day=2024-01-01"], ["day=2024-01-02"]]
    described = [row[0] for row in rows(athena, run(athena, "DESCRIBE shop.sales"))]
    assert described[0].split("\t")[0].strip() == "n"
    run(athena, "ALTER TABLE shop.sales DROP PARTITION (day = '2024-01-01')")
    assert len(glue.get_partitions(DatabaseName="shop", TableName="sales")["Partitions"]) == 1
    run(athena, "DROP TABLE shop.sales")
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        glue.get_table(DatabaseName="shop", Name="sales")
    assert s3.head_object(Bucket="shop", Key="sales/day=2024-01-01/part.json")["ContentLength"] == 18, "the data stays"


def test_a_table_is_not_dropped_as_a_view_nor_a_view_as_a_table(shop):
    athena = shop.client("athena")
    run(athena, "CREATE VIEW shop.seen AS SELECT * FROM shop.items")

    def reason(sql):
        execution = wait(athena, start(athena, sql))
        assert execution["Status"]["State"] == "FAILED", sql
        return execution["Status"]["StateChangeReason"]

    assert "but a table with that name exists. Did you mean DROP TABLE shop.items?" in reason("DROP VIEW shop.items")
    assert "but a table with that name exists" in reason("DROP VIEW IF EXISTS shop.items")
    assert "Cannot drop a view with DROP TABLE" in reason("DROP TABLE shop.seen")
    run(athena, "DROP TABLE IF EXISTS shop.seen")
    kinds = {table["Name"]: table["TableType"] for table in shop.client("glue").get_tables(DatabaseName="shop")["TableList"]}
    assert kinds["seen"] == "VIRTUAL_VIEW" and kinds["items"] == "EXTERNAL_TABLE"
    run(athena, "DROP VIEW shop.seen")


def test_avro_files_are_read_by_sql(shop):
    athena, s3 = shop.client("athena"), shop.client("s3")
    fields = [
        {"name": "id", "type": "long"},
        {"name": "name", "type": ["null", "string"]},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
    ]
    rows_in = [
        {"id": 1, "name": "x", "day": datetime.date(2024, 5, 6), "tags": ["a", "b"]},
        {"id": 2, "name": None, "day": datetime.date(1969, 12, 31), "tags": []},
    ]
    packed = io.BytesIO()
    fastavro.writer(packed, {"type": "record", "name": "row", "fields": fields}, rows_in, codec="deflate")
    s3.put_object(Bucket="shop", Key="avro/a.avro", Body=packed.getvalue())
    run(
        athena,
        "CREATE EXTERNAL TABLE shop.avro (id bigint, name string, day date, tags array<string>) STORED AS AVRO LOCATION 's3://shop/avro/'",
    )
    got = rows(athena, run(athena, "SELECT id, name, day, cardinality(tags) AS n FROM shop.avro ORDER BY id"))
    assert got == [["id", "name", "day", "n"], ["1", "x", "2024-05-06", "2"], ["2", None, "1969-12-31", "0"]]


def test_a_scan_of_more_than_the_workgroup_allows_is_cut_off(shop):
    athena = shop.client("athena")
    s3 = shop.client("s3")
    s3.put_object(Bucket="shop", Key="big/big.csv", Body=b"a,b\n" + b"1,2\n" * 6_000_000)
    run(
        athena,
        "CREATE EXTERNAL TABLE IF NOT EXISTS shop.big (a int, b int) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' "
        "LOCATION 's3://shop/big/' TBLPROPERTIES ('skip.header.line.count' = '1')",
    )
    athena.create_work_group(Name="thrifty", Configuration={"BytesScannedCutoffPerQuery": 10_000_000, "EnforceWorkGroupConfiguration": False})
    execution = wait(athena, start(athena, "SELECT sum(a) FROM shop.big", WorkGroup="thrifty"))
    assert execution["Status"]["State"] == "CANCELLED", execution
    assert execution["Status"]["StateChangeReason"].startswith("Bytes scanned limit was exceeded")
    assert rows(athena, run(athena, "SELECT sum(a) FROM shop.big"))[1:] == [["6000000"]]


def test_a_running_query_can_be_stopped(shop):
    athena = shop.client("athena")
    endless = start(athena, "SELECT count(*) FROM shop.items a, shop.items b, shop.items c WHERE a.id + b.id + c.id = 7")
    athena.stop_query_execution(QueryExecutionId=endless)
    assert wait(athena, endless)["Status"]["State"] == "CANCELLED"
    run(athena, "SELECT 1")


def test_the_same_token_is_the_same_query(shop):
    athena = shop.client("athena")
    token = "a-token-of-at-least-32-characters-x"
    first = start(athena, "SELECT 1", ClientRequestToken=token)
    assert start(athena, "SELECT 1", ClientRequestToken=token) == first
    with pytest.raises(ClientError, match="Idempotent parameters do not match"):
        start(athena, "SELECT 2", ClientRequestToken=token)


def test_workgroups_live_from_creation_to_recursive_deletion(shop):
    athena = shop.client("athena")
    athena.create_work_group(
        Name="team",
        Configuration={"ResultConfiguration": {"OutputLocation": "s3://results/team/"}, "EnforceWorkGroupConfiguration": True},
        Tags=[{"Key": "owner", "Value": "me"}],
    )
    group = athena.get_work_group(WorkGroup="team")["WorkGroup"]
    assert group["State"] == "ENABLED" and group["Configuration"]["EngineVersion"]["EffectiveEngineVersion"] == "Athena engine version 3"
    execution = run(athena, "SELECT 1", WorkGroup="team")
    assert execution["ResultConfiguration"]["OutputLocation"].startswith("s3://results/team/"), "enforced settings win"
    assert athena.list_query_executions(WorkGroup="team")["QueryExecutionIds"] == [execution["QueryExecutionId"]]
    with pytest.raises(ClientError, match="is not empty"):
        athena.delete_work_group(WorkGroup="team")
    athena.update_work_group(WorkGroup="team", State="DISABLED")
    with pytest.raises(ClientError, match="disabled"):
        start(athena, "SELECT 1", WorkGroup="team")
    arn = "arn:aws:athena:us-east-1:000000000000:workgroup/team"
    assert athena.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "owner", "Value": "me"}]
    athena.delete_work_group(WorkGroup="team", RecursiveDeleteOption=True)
    assert "team" not in [summary["Name"] for summary in athena.list_work_groups()["WorkGroups"]]
    assert "primary" in [summary["Name"] for summary in athena.list_work_groups()["WorkGroups"]]


def test_named_queries_are_kept(shop):
    athena = shop.client("athena")
    query_id = athena.create_named_query(Name="top", Database="shop", QueryString="SELECT 1")["NamedQueryId"]
    assert athena.get_named_query(NamedQueryId=query_id)["NamedQuery"]["QueryString"] == "SELECT 1"
    assert query_id in athena.list_named_queries()["NamedQueryIds"]
    athena.delete_named_query(NamedQueryId=query_id)
    with pytest.raises(ClientError, match="was not found"):
        athena.get_named_query(NamedQueryId=query_id)


def test_metadata_calls_show_the_catalog(shop):
    athena = shop.client("athena")
    assert athena.list_data_catalogs()["DataCatalogsSummary"][0]["CatalogName"] == "AwsDataCatalog"
    assert "shop" in [database["Name"] for database in athena.list_databases(CatalogName="AwsDataCatalog")["DatabaseList"]]
    table = athena.get_table_metadata(CatalogName="AwsDataCatalog", DatabaseName="shop", TableName="items")["TableMetadata"]
    assert [column["Name"] for column in table["Columns"]] == ["id", "name", "price", "day"]
    listed = athena.list_table_metadata(CatalogName="AwsDataCatalog", DatabaseName="shop", Expression="it.*")["TableMetadataList"]
    assert [table["Name"] for table in listed] == ["items"]


def test_results_survive_kill_9(new_lake):
    lake = new_lake()
    athena = lake.client("athena")
    execution_id = athena.start_query_execution(QueryString="SELECT 42 AS answer")["QueryExecutionId"]
    wait(athena, execution_id)
    lake.kill9()
    lake.restart()
    athena = lake.client("athena")
    assert rows(athena, wait(athena, execution_id)) == [["answer"], ["42"]]
