"""Crawlers, classifiers and jobs by boto3: what Glue's clients rely on."""

import json

import lambdas
import pytest
from botocore.exceptions import ClientError
from harness import wait_until

FLIGHTS = b"year,month,carrier,delay\n2013,1,UA,2\n2013,1,AA,NA\n2013,2,B6,-4\n"


@pytest.fixture
def pond(module_lake, request):
    """Clients, and a bucket and a database of the test's own name."""

    class Pond:
        s3 = module_lake.client("s3")
        glue = module_lake.client("glue")
        name = request.node.name.removeprefix("test_").replace("_", "-")[:50]
        database = name.replace("-", "_")

        def put(self, key, body):
            self.s3.put_object(Bucket=self.name, Key=key, Body=body)

        def crawl(self, path="", **more):
            target = {"Path": f"s3://{self.name}/{path}"}
            self.glue.create_crawler(Name=self.name, Role="role", DatabaseName=self.database, Targets={"S3Targets": [target]}, **more)
            self.start()

        def start(self):
            self.glue.start_crawler(Name=self.name)
            wait_until(lambda: self.glue.get_crawler(Name=self.name)["Crawler"]["State"] == "READY")

        def last(self):
            return self.glue.get_crawler(Name=self.name)["Crawler"]["LastCrawl"]

        def tables(self):
            return {table["Name"]: table for table in self.glue.get_tables(DatabaseName=self.database)["TableList"]}

        def job(self, table, **arguments):
            defaults = {
                "--source-database": self.database,
                "--source-table": table,
                "--target-database": self.database,
                "--target-table": f"{table}_parquet",
                "--target-location": f"s3://{self.name}/out/{table}/",
            }
            defaults |= {f"--{key.replace('_', '-')}": value for key, value in arguments.items()}
            self.glue.create_job(Name=self.name, Role="role", Command={"Name": "millpond"}, DefaultArguments=defaults)

        def run(self, **more):
            run_id = self.glue.start_job_run(JobName=self.name, **more)["JobRunId"]
            states = ["STARTING", "RUNNING", "STOPPING", "WAITING"]
            wait_until(lambda: self.read(run_id)["JobRunState"] not in states)
            return self.read(run_id)

        def read(self, run_id):
            return self.glue.get_job_run(JobName=self.name, RunId=run_id)["JobRun"]

    pond = Pond()
    pond.s3.create_bucket(Bucket=pond.name)
    pond.glue.create_database(DatabaseInput={"Name": pond.database})
    return pond


def code(call, **arguments):
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    return raised.value.response["Error"]["Code"]


def test_a_crawler_is_shown_as_it_was_made(pond):
    glue = pond.glue
    made = dict(
        Name=pond.name,
        Role="arn:aws:iam::000000000000:role/crawler",
        DatabaseName=pond.database,
        Description="all of it",
        Targets={"S3Targets": [{"Path": f"s3://{pond.name}/in", "Exclusions": ["**.tmp"], "SampleSize": 10}]},
        Schedule="cron(15 12 * * ? *)",
        TablePrefix="in_",
        SchemaChangePolicy={"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},
        RecrawlPolicy={"RecrawlBehavior": "CRAWL_EVENT_MODE"},
        LineageConfiguration={"CrawlerLineageSettings": "DISABLE"},
        Configuration=json.dumps({"Version": 1.0, "Grouping": {"TableGroupingPolicy": "CombineCompatibleSchemas"}}),
        Tags={"team": "a"},
    )
    glue.create_crawler(**made)
    shown = glue.get_crawler(Name=pond.name)["Crawler"]
    for member in made.keys() - {"Schedule", "Tags"}:
        assert shown[member] == made[member], member
    assert shown["Schedule"] == {"ScheduleExpression": made["Schedule"], "State": "SCHEDULED"}
    assert (shown["State"], shown["Version"], shown["CrawlElapsedTime"]) == ("READY", 1, 0)
    assert code(glue.create_crawler, **made) == "AlreadyExistsException"
    glue.update_crawler(Name=pond.name, Description="less of it")
    shown = glue.get_crawler(Name=pond.name)["Crawler"]
    assert (shown["Description"], shown["Version"], shown["TablePrefix"]) == ("less of it", 2, "in_")
    assert pond.name in glue.list_crawlers()["CrawlerNames"]
    assert pond.name in [crawler["Name"] for crawler in glue.get_crawlers()["Crawlers"]]
    batch = glue.batch_get_crawlers(CrawlerNames=[pond.name, "none"])
    assert ([crawler["Name"] for crawler in batch["Crawlers"]], batch["CrawlersNotFound"]) == ([pond.name], ["none"])
    glue.delete_crawler(Name=pond.name)
    assert code(glue.get_crawler, Name=pond.name) == "EntityNotFoundException"


def test_crawler_errors_are_aws(pond):
    glue = pond.glue
    wrong = dict(Name="w", Role="r", DatabaseName="d")
    assert code(glue.create_crawler, **wrong, Targets={"S3Targets": []}) == "InvalidInputException"
    assert code(glue.create_crawler, **wrong, Targets={"S3Targets": [{"Path": "no"}]}) == "InvalidInputException"
    good = {"S3Targets": [{"Path": "s3://raw/x"}]}
    assert code(glue.create_crawler, **wrong, Targets=good, Schedule="hourly") == "InvalidInputException"
    assert code(glue.create_crawler, **wrong, Targets=good, Classifiers=["none"]) == "EntityNotFoundException"
    assert code(glue.start_crawler, Name="none") == "EntityNotFoundException"
    pond.crawl()
    assert code(glue.stop_crawler, Name=pond.name) == "CrawlerNotRunningException"


def test_a_crawl_makes_a_table_and_tells(pond):
    pond.put("flights/jan.csv", FLIGHTS)
    pond.put("flights/bad.csv", bytes(range(256)))
    pond.crawl("flights/")
    table = pond.tables()["flights"]
    assert table["TableType"] == "EXTERNAL_TABLE"
    assert table["Parameters"]["classification"] == "csv"
    assert table["Parameters"]["UPDATED_BY_CRAWLER"] == pond.name
    types = [(column["Name"], column["Type"]) for column in table["StorageDescriptor"]["Columns"]]
    assert types == [("year", "bigint"), ("month", "bigint"), ("carrier", "string"), ("delay", "bigint")]
    last = pond.last()
    assert (last["Status"], last["LogGroup"], last["LogStream"]) == ("SUCCEEDED", "/aws-glue/crawlers", pond.name)
    assert "bad.csv" in last["ErrorMessage"]
    crawls = pond.glue.list_crawls(CrawlerName=pond.name)["Crawls"]
    assert [crawl["State"] for crawl in crawls] == ["COMPLETED"]
    assert json.loads(crawls[0]["Summary"])["TABLE"]["ADD"]["NAMES"] == ["flights"]
    failed = [{"FieldName": "STATE", "FilterOperator": "EQ", "FieldValue": "FAILED"}]
    assert pond.glue.list_crawls(CrawlerName=pond.name, Filters=failed)["Crawls"] == []
    metrics = pond.glue.get_crawler_metrics(CrawlerNameList=[pond.name])["CrawlerMetricsList"]
    assert (metrics[0]["TablesCreated"], metrics[0]["StillEstimating"]) == (1, False)


def test_partitions_of_two_levels(pond):
    for year, month in [(2023, 1), (2023, 2), (2024, 1)]:
        pond.put(f"sales/year={year}/month={month:02}/a.csv", b"id,price\n1,2.5\n")
    pond.crawl("sales")
    table = pond.tables()["sales"]
    assert [key["Name"] for key in table["PartitionKeys"]] == ["year", "month"]
    found = pond.glue.get_partitions(DatabaseName=pond.database, TableName="sales", Expression="year = '2023'")
    assert sorted(part["Values"] for part in found["Partitions"]) == [["2023", "01"], ["2023", "02"]]


def test_classifiers_come_first(pond):
    glue, name = pond.glue, pond.name
    glue.create_classifier(CsvClassifier={"Name": name, "Delimiter": "~", "ContainsHeader": "ABSENT", "Header": ["l", "r"]})
    assert code(glue.create_classifier, CsvClassifier={"Name": name}) == "AlreadyExistsException"
    glue.update_classifier(CsvClassifier={"Name": name, "QuoteSymbol": "'"})
    shown = glue.get_classifier(Name=name)["Classifier"]["CsvClassifier"]
    assert (shown["Delimiter"], shown["QuoteSymbol"], shown["Version"]) == ("~", "'", 2)
    assert name in [one["CsvClassifier"]["Name"] for one in glue.get_classifiers()["Classifiers"]]
    pond.put("x/a.txt", b"1~2\n3~4\n")
    pond.crawl("x/", Classifiers=[name])
    columns = pond.tables()["x"]["StorageDescriptor"]["Columns"]
    assert [(column["Name"], column["Type"]) for column in columns] == [("l", "bigint"), ("r", "bigint")]
    grok = {"Name": "g", "Classification": "c", "GrokPattern": "%{IP}"}
    assert code(glue.create_classifier, GrokClassifier=grok) == "InvalidInputException"
    glue.delete_classifier(Name=name)
    assert code(glue.get_classifier, Name=name) == "EntityNotFoundException"


def test_a_job_converts_what_is_new(pond):
    pond.put("flights/jan.csv", FLIGHTS)
    pond.crawl("flights/")
    pond.job("flights", partition_by="year,month", source_file="true")
    run = pond.run()
    assert run["JobRunState"] == "SUCCEEDED", run
    assert run["Id"].startswith("jr_") and len(run["Id"]) == 67
    assert {"StartedOn", "CompletedOn", "ExecutionTime", "Attempt"} <= run.keys()
    target = pond.tables()["flights_parquet"]
    assert [key["Name"] for key in target["PartitionKeys"]] == ["year", "month"]
    keys = [item["Key"] for item in pond.s3.list_objects_v2(Bucket=pond.name, Prefix="out/")["Contents"]]
    assert sorted(key.rsplit("/", 1)[0] for key in keys) == ["out/flights/year=2013/month=1", "out/flights/year=2013/month=2"]
    pond.run()
    assert pond.s3.list_objects_v2(Bucket=pond.name, Prefix="out/")["KeyCount"] == 2, "nothing was new"
    bookmark = pond.glue.get_job_bookmark(JobName=pond.name)["JobBookmarkEntry"]
    assert bookmark["JobName"] == pond.name
    pond.glue.reset_job_bookmark(JobName=pond.name)
    pond.run()
    assert pond.s3.list_objects_v2(Bucket=pond.name, Prefix="out/")["KeyCount"] == 4, "all was read again"
    runs = pond.glue.get_job_runs(JobName=pond.name, MaxResults=2)
    assert len(runs["JobRuns"]) == 2 and len(pond.glue.get_job_runs(JobName=pond.name, NextToken=runs["NextToken"])["JobRuns"]) == 1


def test_rows_that_do_not_fit_are_in_the_quarantine(pond, module_lake):
    pond.put("t/a.csv", b"id,amount\n1,5\n2,6\n3,7\n")
    pond.crawl("t/")
    pond.put("t/b.csv", b"id,amount\n4,many\n5,8\n")
    pond.job("t")
    run = pond.run()
    assert run["JobRunState"] == "SUCCEEDED"
    assert "1 of 5 rows" in run["ErrorMessage"]
    assert "t_parquet_quarantine" in pond.tables()


def test_job_errors_are_aws(pond, module_lake):
    glue = pond.glue
    assert code(glue.get_job, JobName="none") == "EntityNotFoundException"
    assert code(glue.start_job_run, JobName="none") == "EntityNotFoundException"
    assert glue.delete_job(JobName="none") is not None
    script = {"Command": {"Name": "glueetl", "ScriptLocation": "s3://a/b.py"}, "GlueVersion": "4.0"}
    with pytest.raises(ClientError, match="Role r cannot be found"):
        glue.create_job(Name=pond.name, Role="r", **script)
    trust = {"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = lambdas.role(module_lake, f"{pond.name}-scripts", {"Version": "2012-10-17", "Statement": [trust]})
    glue.create_job(Name=pond.name, Role=role, **script)
    assert code(glue.create_job, Name=pond.name, Role=role, **script) == "AlreadyExistsException"
    job = glue.get_job(JobName=pond.name)["Job"]
    assert (job["GlueVersion"], job["Command"]["ScriptLocation"], job["Timeout"]) == ("4.0", "s3://a/b.py", 2880)
    glue.update_job(JobName=pond.name, JobUpdate={"Role": "r", "Command": {"Name": "millpond"}})
    with pytest.raises(ClientError, match="--target-database must be given"):
        glue.start_job_run(JobName=pond.name)
    wrong = {"--partition_by": "a"}
    with pytest.raises(ClientError, match="--partition_by is not known"):
        glue.update_job(JobName=pond.name, JobUpdate={"Command": {"Name": "millpond"}, "DefaultArguments": wrong})
    stopped = glue.batch_stop_job_run(JobName=pond.name, JobRunIds=["jr_none"])
    assert stopped["Errors"][0]["ErrorDetail"]["ErrorCode"] == "EntityNotFoundException"
    batch = glue.batch_get_jobs(JobNames=[pond.name, "none"])
    assert ([job["Name"] for job in batch["Jobs"]], batch["JobsNotFound"]) == ([pond.name], ["none"])
    assert pond.name in glue.list_jobs()["JobNames"]


def test_a_failed_run_says_why(pond):
    pond.put("t/a.csv", FLIGHTS)
    pond.crawl("t/")
    pond.job("t", sql="select nothing from input")
    run = pond.run()
    assert run["JobRunState"] == "FAILED"
    assert "nothing" in run["ErrorMessage"]
    run = pond.run(Arguments={"--sql": "select carrier, delay from input where delay > 0"})
    assert run["JobRunState"] == "SUCCEEDED", run.get("ErrorMessage")


def test_a_running_job_can_be_stopped_and_leaves_nothing(pond):
    pond.put("in/a/small.csv", b"n,t\n1,x\n")
    pond.crawl("in/a/")
    pond.job("a")
    pond.put("in/a/large.csv", b"n,t\n" + b"1234567,the same text in each of very many rows\n" * 1_500_000)
    run_id = pond.glue.start_job_run(JobName=pond.name)["JobRunId"]
    wait_until(lambda: pond.read(run_id)["JobRunState"] != "STARTING")
    stopped = pond.glue.batch_stop_job_run(JobName=pond.name, JobRunIds=[run_id, "jr_none"])
    assert [run["JobRunId"] for run in stopped["SuccessfulSubmissions"]] == [run_id]
    assert [error["JobRunId"] for error in stopped["Errors"]] == ["jr_none"]
    wait_until(lambda: pond.read(run_id)["JobRunState"] == "STOPPED")
    assert "a_parquet" not in pond.tables()
    assert pond.s3.list_objects_v2(Bucket=pond.name, Prefix="out/")["KeyCount"] == 0
    assert pond.run()["JobRunState"] == "SUCCEEDED", "what was stopped is taken by the next run, whole"
    assert pond.tables()["a_parquet"]["Parameters"]["CreatedByJobRun"] != run_id


def test_only_new_folders_are_crawled_where_that_is_wanted(pond):
    pond.put("in/day=1/a.csv", b"n,t\n1,x\n")
    policy = {
        "RecrawlPolicy": {"RecrawlBehavior": "CRAWL_NEW_FOLDERS_ONLY"},
        "SchemaChangePolicy": {"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},
    }
    pond.crawl("in/", **policy)
    pond.put("in/day=1/b.csv", b"n,t,more\n1,x,y\n")
    pond.put("in/day=2/a.csv", b"n,t\n2,x\n")
    pond.start()
    assert pond.last()["Status"] == "SUCCEEDED"
    partitions = pond.glue.get_partitions(DatabaseName=pond.database, TableName="in")["Partitions"]
    assert sorted(partition["Values"] for partition in partitions) == [["1"], ["2"]]
    columns = [column["Name"] for column in pond.tables()["in"]["StorageDescriptor"]["Columns"]]
    assert columns == ["n", "t"], "the folder was not new"
