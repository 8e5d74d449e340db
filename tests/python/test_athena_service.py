"""Athena's service around statements: prepared statements, results and their files, reuse, queue, stopping, workgroups, catalogs, costs."""

import os
import time

import pytest
from botocore.exceptions import ClientError
from test_athena import rows, run, start, wait

TOKEN = "a-token-of-at-least-32-characters-"


@pytest.fixture(scope="module")
def lake(module_lake):
    s3, athena = module_lake.client("s3"), module_lake.client("athena")
    for bucket in ("shop", "results"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="shop", Key="items/a.csv", Body=b"1,apple\n2,pear\n3,plum\n")
    run(athena, "CREATE DATABASE shop")
    run(
        athena,
        "CREATE EXTERNAL TABLE shop.items (id int, name string) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION 's3://shop/items/'",
    )
    return module_lake


def values(athena, sql, **more):
    return rows(athena, run(athena, sql, **more))[1:]


def reason(athena, sql, **more):
    execution = wait(athena, start(athena, sql, **more))
    assert execution["Status"]["State"] == "FAILED", execution["Status"]
    return execution["Status"]["StateChangeReason"]


def body(lake, uri):
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    return lake.client("s3").get_object(Bucket=bucket, Key=key)


def test_prepared_statements_are_kept_by_the_api(lake):
    athena = lake.client("athena")
    athena.create_prepared_statement(StatementName="by_id", WorkGroup="primary", QueryStatement="SELECT name FROM shop.items WHERE id = ?")
    with pytest.raises(ClientError, match="already exists"):
        athena.create_prepared_statement(StatementName="by_id", WorkGroup="primary", QueryStatement="SELECT 1")
    athena.update_prepared_statement(StatementName="by_id", WorkGroup="primary", QueryStatement="SELECT name FROM shop.items WHERE id >= ? ORDER BY id")
    found = athena.get_prepared_statement(StatementName="by_id", WorkGroup="primary")["PreparedStatement"]
    assert found["QueryStatement"].endswith("ORDER BY id") and found["WorkGroupName"] == "primary"
    assert "by_id" in [one["StatementName"] for one in athena.list_prepared_statements(WorkGroup="primary")["PreparedStatements"]]
    batch = athena.batch_get_prepared_statement(PreparedStatementNames=["by_id", "nobody"], WorkGroup="primary")
    assert [one["StatementName"] for one in batch["PreparedStatements"]] == ["by_id"]
    assert batch["UnprocessedPreparedStatementNames"][0]["ErrorCode"] == "STATEMENT_NOT_FOUND"
    assert values(athena, "EXECUTE by_id USING 2") == [["pear"], ["plum"]]
    assert values(athena, "EXECUTE by_id", ExecutionParameters=["3"]) == [["plum"]]
    execution = run(athena, "EXECUTE by_id USING 2")
    assert (execution["StatementType"], execution["SubstatementType"], execution["Query"]) == ("DML", "SELECT", "EXECUTE by_id USING 2")
    assert execution["ResultConfiguration"]["OutputLocation"].endswith(".csv")
    athena.delete_prepared_statement(StatementName="by_id", WorkGroup="primary")
    with pytest.raises(ClientError, match="PreparedStatement by_id was not found in workGroup primary") as gone:
        athena.get_prepared_statement(StatementName="by_id", WorkGroup="primary")
    assert gone.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert "was not found" in reason(athena, "EXECUTE by_id USING 1")


def test_prepared_statements_are_kept_by_sql(lake):
    athena = lake.client("athena")
    run(athena, "PREPARE total FROM SELECT ? + ?")
    assert values(athena, "EXECUTE total USING 40, 2") == [["42"]]
    assert "INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: expected 2 but found 1" in reason(athena, "EXECUTE total USING 1")
    run(athena, "DEALLOCATE PREPARE total")
    assert "not found" in reason(athena, "DEALLOCATE PREPARE total")
    assert values(athena, "EXECUTE IMMEDIATE 'SELECT upper(?)' USING 'it''s'") == [["IT'S"]]
    with pytest.raises(ClientError, match="cannot contain column references"):
        start(athena, "EXECUTE total USING name")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("'abc'", "abc"), ("1 + 1", "2"), ("abc", "abc"), ("it's", "it's"), ("x + 1", "x + 1"), (r"\' OR 1=1 --", r"\' OR 1=1 --"), ("'') --", "'') --")],
)
def test_a_parameter_is_an_expression_or_a_text_and_nothing_else(lake, value, expected):
    athena = lake.client("athena")
    assert values(athena, "SELECT CAST(? AS varchar)", ExecutionParameters=[value]) == [[expected]]
    assert values(athena, "SELECT concat(CAST(? AS varchar), '') FROM shop.items WHERE id = 1", ExecutionParameters=[value]) == [[expected]]


def test_the_results_of_statements_that_show_have_no_final_newline(lake):
    athena = lake.client("athena")
    execution = run(athena, "SHOW TABLES IN shop")
    assert body(lake, execution["ResultConfiguration"]["OutputLocation"])["Body"].read() == b"items"
    execution = run(athena, " CREATE DATABASE IF NOT EXISTS shop ; ")
    assert execution["Query"] == "CREATE DATABASE IF NOT EXISTS shop"
    answer = athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    assert "UpdateCount" not in answer and answer["ResultSet"]["Rows"] == []
    execution = run(athena, "SELECT 1")
    assert athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])["UpdateCount"] == 0
    assert body(lake, execution["ResultConfiguration"]["OutputLocation"])["ContentType"] == "binary/octet-stream"
    execution = run(athena, "SELECT * FROM shop.items")
    assert body(lake, execution["ResultConfiguration"]["OutputLocation"])["ContentType"] == "application/octet-stream"


def test_a_page_that_is_just_full_has_a_next_one(lake):
    athena = lake.client("athena")
    execution = run(athena, "SELECT id FROM shop.items")["QueryExecutionId"]
    page = athena.get_query_results(QueryExecutionId=execution, MaxResults=4)
    assert len(page["ResultSet"]["Rows"]) == 4
    after = athena.get_query_results(QueryExecutionId=execution, MaxResults=4, NextToken=page["NextToken"])
    assert after["ResultSet"]["Rows"] == [] and "NextToken" not in after
    with pytest.raises(ClientError, match="Malformed nextPageToken nonsense"):
        athena.get_query_results(QueryExecutionId=execution, NextToken="nonsense")


def test_runtime_statistics_tell_stages_and_rows(lake):
    athena = lake.client("athena")
    execution = run(athena, "SELECT name, count(*) FROM shop.items WHERE id > 1 GROUP BY name")["QueryExecutionId"]
    told = athena.get_query_runtime_statistics(QueryExecutionId=execution)["QueryRuntimeStatistics"]
    assert told["Rows"]["OutputRows"] == 2 and told["Rows"]["InputRows"] == 3

    def names(stage):
        nodes, found = [stage["QueryStagePlan"]], []
        while nodes:
            node = nodes.pop()
            found.append(node["Name"])
            nodes.extend(node["Children"])
        return found + [name for sub in stage["SubStages"] for name in names(sub)]

    assert told["OutputStage"]["State"] == "FINISHED" and told["OutputStage"]["OutputRows"] == 2
    assert {"Aggregate", "TableScan"} <= set(names(told["OutputStage"]))
    ddl = run(athena, "SHOW DATABASES")["QueryExecutionId"]
    assert "Rows" not in athena.get_query_runtime_statistics(QueryExecutionId=ddl)["QueryRuntimeStatistics"]


def test_an_earlier_result_is_used_again_until_the_table_changes(lake):
    athena, s3 = lake.client("athena"), lake.client("s3")
    again = {"ResultReuseConfiguration": {"ResultReuseByAgeConfiguration": {"Enabled": True, "MaxAgeInMinutes": 60}}}

    def reused(execution):
        return execution["Statistics"]["ResultReuseInformation"]["ReusedPreviousResult"]

    sql = "SELECT count(*) AS n FROM shop.items"
    first = run(athena, sql)
    second = run(athena, sql, **again)
    assert reused(second) and not reused(first)
    assert second["ResultConfiguration"]["OutputLocation"] == first["ResultConfiguration"]["OutputLocation"]
    assert second["Statistics"]["DataScannedInBytes"] == 0 and rows(athena, second) == rows(athena, first)
    assert not reused(run(athena, sql)), "only who asks gets it"
    s3.put_object(Bucket="shop", Key="items/b.csv", Body=b"4,fig\n")
    third = run(athena, sql, **again)
    assert not reused(third) and rows(athena, third)[1:] == [["4"]]
    s3.delete_object(Bucket="shop", Key="items/b.csv")
    fourth = run(athena, sql, **again)
    assert rows(athena, fourth)[1:] == [["3"]], "a deletion is a change too"
    for changing in ("SELECT now() FROM shop.items", "SELECT id FROM shop.items LIMIT 1"):
        run(athena, changing)
        assert not reused(run(athena, changing, **again)), changing


def test_a_token_is_for_one_request(lake):
    athena = lake.client("athena")
    token = TOKEN + "service"
    first = start(athena, "SELECT ?", ClientRequestToken=token, ExecutionParameters=["1"])
    same = {"ClientRequestToken": token, "ExecutionParameters": ["1"]}
    assert start(athena, "SELECT ?", **same) == first
    for other in ({"ExecutionParameters": ["2"]}, {"QueryExecutionContext": {"Database": "shop"}}):
        with pytest.raises(ClientError, match="Idempotent parameters do not match") as refused:
            start(athena, "SELECT ?", **(same | other))
        assert refused.value.response["AthenaErrorCode"] == "IDEMPOTENT_PARAMETER_MISMATCH"


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_stopped_query_stops_computing(lake):
    athena = lake.client("athena")
    endless = start(athena, "SELECT count(*) FROM UNNEST(sequence(1, 10000)) a(x), UNNEST(sequence(1, 100)) b(y), UNNEST(sequence(1, 10000)) c(z) WHERE (x + y + z) % 7 = 3")
    pid = lake.process.pid
    before = cpu_seconds(pid)
    deadline = time.monotonic() + 30
    while cpu_seconds(pid) - before < 0.5 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert cpu_seconds(pid) - before >= 0.5, "it computes"
    athena.stop_query_execution(QueryExecutionId=endless)
    execution = wait(athena, endless)
    assert (execution["Status"]["State"], execution["Status"]["StateChangeReason"]) == ("CANCELLED", "Query cancelled by user")
    with pytest.raises(ClientError, match="Could not find results"):
        athena.get_query_results(QueryExecutionId=endless)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        before = cpu_seconds(pid)
        time.sleep(1)
        if cpu_seconds(pid) - before < 0.3:
            return
    raise AssertionError("the stopped query still computes")


def test_workgroups_keep_their_settings(lake):
    athena = lake.client("athena")
    primary = athena.get_work_group(WorkGroup="primary")["WorkGroup"]["Configuration"]
    assert primary["EnforceWorkGroupConfiguration"] is False and primary["PublishCloudWatchMetricsEnabled"] is False
    assert primary["EnableMinimumEncryptionConfiguration"] is False and primary["ResultConfiguration"] == {}
    account = lake.client("sts").get_caller_identity()["Account"]
    settings = {
        "OutputLocation": "s3://results/team/",
        "ExpectedBucketOwner": account,
        "AclConfiguration": {"S3AclOption": "BUCKET_OWNER_FULL_CONTROL"},
        "EncryptionConfiguration": {"EncryptionOption": "SSE_S3"},
    }
    configuration = {"ResultConfiguration": settings, "EnforceWorkGroupConfiguration": True, "AdditionalConfiguration": "x", "RequesterPaysEnabled": True}
    athena.create_work_group(Name="kept", Configuration=configuration)
    shown = athena.get_work_group(WorkGroup="kept")["WorkGroup"]["Configuration"]
    assert shown["ResultConfiguration"] == settings and shown["AdditionalConfiguration"] == "x" and shown["RequesterPaysEnabled"] is True
    execution = run(athena, "SELECT 1", WorkGroup="kept", ResultConfiguration={"OutputLocation": "s3://results/other/"})
    assert execution["ResultConfiguration"]["OutputLocation"].startswith("s3://results/team/")
    athena.update_work_group(WorkGroup="kept", ConfigurationUpdates={"ResultConfigurationUpdates": {"RemoveAclConfiguration": True}})
    assert "AclConfiguration" not in athena.get_work_group(WorkGroup="kept")["WorkGroup"]["Configuration"]["ResultConfiguration"]
    with pytest.raises(ClientError, match="ManagedQueryResults"):
        athena.create_work_group(Name="managed", Configuration={"ManagedQueryResultsConfiguration": {"Enabled": True}})
    with pytest.raises(ClientError, match="not owned by the expected account"):
        start(athena, "SELECT 1", ResultConfiguration={"OutputLocation": "s3://results/x/", "ExpectedBucketOwner": "999999999999"})
    athena.create_prepared_statement(StatementName="pp", WorkGroup="kept", QueryStatement="SELECT 1")
    with pytest.raises(ClientError, match="is not empty"):
        athena.delete_work_group(WorkGroup="kept")
    athena.delete_work_group(WorkGroup="kept", RecursiveDeleteOption=True)


def test_data_catalogs_are_names_of_the_lakes_own(lake):
    athena = lake.client("athena")
    athena.create_data_catalog(Name="Mine", Type="GLUE", Description="ours", Tags=[{"Key": "a", "Value": "b"}])
    assert athena.get_data_catalog(Name="mine")["DataCatalog"]["Description"] == "ours"
    assert {"AwsDataCatalog", "Mine"} <= {one["CatalogName"] for one in athena.list_data_catalogs()["DataCatalogsSummary"]}
    assert "shop" in [one["Name"] for one in athena.list_databases(CatalogName="Mine")["DatabaseList"]]
    athena.update_data_catalog(Name="Mine", Type="GLUE", Description="still ours")
    assert athena.get_data_catalog(Name="Mine")["DataCatalog"]["Description"] == "still ours"
    for kind in ("LAMBDA", "HIVE", "FEDERATED"):
        with pytest.raises(ClientError, match=f"type {kind} are not supported"):
            athena.create_data_catalog(Name="other", Type=kind)
    with pytest.raises(ClientError, match="another account"):
        athena.create_data_catalog(Name="other", Type="GLUE", Parameters={"catalog-id": "999999999999"})
    athena.delete_data_catalog(Name="Mine")
    with pytest.raises(ClientError, match="was not found"):
        athena.get_data_catalog(Name="Mine")
    with pytest.raises(ClientError, match="cannot be deleted"):
        athena.delete_data_catalog(Name="AwsDataCatalog")


def test_what_is_missing_in_the_catalog_is_told_as_glue_tells_it(lake):
    athena = lake.client("athena")
    with pytest.raises(ClientError, match=r"Entity Not Found \(Service: AmazonDataCatalog; Status Code: 400; Error Code: EntityNotFoundException; Request ID: [0-9a-f-]{36}; Proxy: null\)") as missing:
        athena.get_table_metadata(CatalogName="AwsDataCatalog", DatabaseName="shop", TableName="nothing")
    assert missing.value.response["Error"]["Code"] == "MetadataException"


def test_named_queries_can_be_changed(lake):
    athena = lake.client("athena")
    query = athena.create_named_query(Name="a", Database="shop", QueryString="SELECT 1")["NamedQueryId"]
    athena.update_named_query(NamedQueryId=query, Name="b", QueryString="SELECT 2")
    found = athena.get_named_query(NamedQueryId=query)["NamedQuery"]
    assert (found["Name"], found["QueryString"], found["Database"]) == ("b", "SELECT 2", "shop")
    athena.delete_named_query(NamedQueryId=query)


def test_a_database_may_stand_in_back_quotes_and_the_context_comes_back_as_sent(lake):
    athena = lake.client("athena")
    execution = run(athena, "SELECT count(*) FROM items", QueryExecutionContext={"Database": "`shop`", "Catalog": "AwsDataCatalog"})
    assert execution["QueryExecutionContext"] == {"Database": "`shop`", "Catalog": "awsdatacatalog"}
    assert "Catalog" not in run(athena, "SELECT 1").get("QueryExecutionContext", {})
