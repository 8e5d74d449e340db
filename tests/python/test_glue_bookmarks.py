"""Bookmarks of scripts by transformation context, what a source reads, and changes of the catalog: by the run API that `awsglue` speaks."""

import json

import pytest
from botocore.exceptions import ClientError

from glue_jobs import define, log
from harness import wait_until

#: Reads the source of a context and prints what it got; commits where it is told to.
READER = """
import json, sys
from awsglue.utils import getResolvedOptions
from millpond_job import run
args = getResolvedOptions(sys.argv, ["request", "commit"])
me = run.current()
for request in json.loads(args["request"]):
    source = me.source(**request)
    print("read", json.dumps([[file["Path"].rsplit("/", 1)[1], file["Partition"]] for file in source["Files"]]))
if args["commit"] == "yes":
    me.commit()
if args["commit"] == "fail":
    me.commit()
    raise ValueError("after the commit")
"""

ENABLE = "job-bookmark-enable"


class Reader:
    """A job over `s3://incoming/`."""

    def __init__(self, lake, name="reader", bucket="incoming", **more):
        self.lake, self.name, self.bucket = lake, name, bucket
        lake.bucket(bucket)
        define(lake, name, READER, arguments={"--job-bookmark-option": ENABLE}, **more)

    def put(self, *names, text="x"):
        for name in names:
            self.lake.put(self.bucket, f"data/{name}", text)

    def run(self, commit="yes", option=None, context="ctx", requests=None, **arguments):
        """Runs it; the run, and the files that each request gave."""
        requests = requests or [{"TransformationContext": context, "Paths": [f"s3://{self.bucket}/data/"]}]
        arguments = {f"--{name.replace('_', '-')}": value for name, value in arguments.items()}
        arguments.update({"--request": json.dumps(requests), "--commit": commit})
        if option:
            arguments["--job-bookmark-option"] = option
        done = self.lake.run_job(self.name, Arguments=arguments)

        def all_reads():
            found = reads(self.lake, done["Id"])
            return found if len(found) == len(requests) else None

        return done, wait_until(all_reads, 30, 0.1, f"what was read by {done['JobRunState']} {done.get('ErrorMessage')}")

    def names(self, **more):
        done, lines = self.run(**more)
        assert done["JobRunState"] == "SUCCEEDED", done
        return [name for name, _ in lines[0]]


def reads(lake, run_id):
    return [json.loads(line[5:]) for line in log(lake, run_id) if line.startswith("read ")]


def test_new_files_are_read_once(lake):
    reader = Reader(lake)
    reader.put("a.csv", "b.csv")
    assert reader.names() == ["a.csv", "b.csv"]
    assert reader.names() == []
    reader.put("c.csv")
    # The same bytes again are nothing new, and others are.
    reader.put("a.csv")
    reader.put("b.csv", text="changed")
    assert reader.names() == ["b.csv", "c.csv"]
    assert reader.names() == []
    # Another context has a bookmark of its own; without one, or without a context, all is read.
    assert reader.names(context="other") == ["a.csv", "b.csv", "c.csv"]
    assert reader.names(option="job-bookmark-disable") == ["a.csv", "b.csv", "c.csv"]
    assert reader.names(context="") == ["a.csv", "b.csv", "c.csv"]
    entry = lake.client("glue").get_job_bookmark(JobName="reader")["JobBookmarkEntry"]
    assert set(json.loads(entry["JobBookmark"])) == {"ctx", "other"} and entry["Version"] >= 5


def test_what_is_not_committed_or_fails_is_read_again(lake):
    reader = Reader(lake)
    reader.put("a.csv")
    assert reader.names(commit="no") == ["a.csv"]
    done, lines = reader.run(commit="fail")
    assert done["JobRunState"] == "FAILED" and "after the commit" in done["ErrorMessage"]
    assert lines == [[["a.csv", None]]]
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        lake.client("glue").get_job_bookmark(JobName="reader")
    assert reader.names() == ["a.csv"]
    assert reader.names() == []


def test_bookmarks_are_reset_rewound_and_paused(lake):
    reader, glue = Reader(lake), lake.client("glue")
    runs = []
    for name in ("a.csv", "b.csv", "c.csv"):
        reader.put(name)
        done, lines = reader.run()
        runs.append(done["Id"])
        assert [found for found, _ in lines[0]] == [name]
    # Paused: what is new, and nothing is saved; or a range of runs.
    reader.put("d.csv")
    pause = "job-bookmark-pause"
    assert reader.names(option=pause) == ["d.csv"]
    assert reader.names(option=pause) == ["d.csv"]
    assert reader.names(option=pause, job_bookmark_from=runs[0], job_bookmark_to=runs[1]) == ["b.csv"]
    assert reader.names(option=pause, job_bookmark_from=runs[0], job_bookmark_to=runs[2]) == ["b.csv", "c.csv"]
    # Rewound: everything after that run.
    before = json.loads(glue.get_job_bookmark(JobName="reader", RunId=runs[0])["JobBookmarkEntry"]["JobBookmark"])
    entry = glue.reset_job_bookmark(JobName="reader", RunId=runs[0])["JobBookmarkEntry"]
    assert json.loads(entry["JobBookmark"])["ctx"]["seq"] == before["ctx"]["seq"] and entry["RunId"] == runs[0]
    assert reader.names() == ["b.csv", "c.csv", "d.csv"]
    glue.reset_job_bookmark(JobName="reader")
    assert reader.names() == ["a.csv", "b.csv", "c.csv", "d.csv"]
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        glue.reset_job_bookmark(JobName="reader", RunId="jr_none")


def test_of_two_runs_that_read_the_same_one_fails(new_lake):
    lake = new_lake("[jobs]\nconcurrency = 2\n")
    lake.bucket("incoming")
    lake.bucket("outgoing")
    lake.put("incoming", "data/a.csv", "x")
    text = """
        import os, time, boto3
        from millpond_job import run
        me = run.current()
        assert me.source(TransformationContext="c", Paths=["s3://incoming/data/"])["Files"]
        boto3.client("s3").put_object(Bucket="outgoing", Key=os.environ["MILLPOND_JOB_RUN"], Body=b"x")
        print("read", flush=True)
        time.sleep(3)
        me.commit()
    """
    name = define(lake, "twice", text, arguments={"--job-bookmark-option": ENABLE}, ExecutionProperty={"MaxConcurrentRuns": 2})
    ids = [lake.client("glue").start_job_run(JobName=name)["JobRunId"] for _ in range(2)]
    done = [lake.wait_job(name, one) for one in ids]
    assert sorted(one["JobRunState"] for one in done) == ["FAILED", "SUCCEEDED"], done
    message = next(one["ErrorMessage"] for one in done if one["JobRunState"] == "FAILED")
    assert "bookmark 'c'" in message and "MaxConcurrentRuns" in message
    winner = next(one["Id"] for one in done if one["JobRunState"] == "SUCCEEDED")
    assert [item["Key"] for item in lake.client("s3").list_objects_v2(Bucket="outgoing")["Contents"]] == [winner]


def test_paths_and_exclusions_choose_files(lake):
    reader = Reader(lake)
    reader.put("a.csv", "b.json", "deep/c.csv", "_SUCCESS", ".hidden", "year=2024/d.csv", "year=2025/e.csv")
    lake.put("incoming", "database/no.csv", "x")
    path = "s3://incoming/data"

    def names(**request):
        return reader.names(option="job-bookmark-disable", requests=[{"Paths": [path], **request}])

    assert names() == ["a.csv", "b.json", "c.csv", "d.csv", "e.csv"]
    assert names(Recurse=False) == ["a.csv", "b.json"]
    assert names(Exclusions=["**.json", "deep/**"]) == ["a.csv", "d.csv", "e.csv"]
    assert names(Exclusions=["s3://incoming/data/**.csv"]) == ["b.json"]
    assert names(Paths=["s3a://incoming/data/year=*/"]) == ["d.csv", "e.csv"]
    assert names(Paths=["s3://incoming/data/a.csv", "s3://incoming/data/deep/"]) == ["a.csv", "c.csv"]
    done = lake.run_job("reader", Arguments={"--request": json.dumps([{"Paths": ["s3://nowhere/x/"]}]), "--commit": "no"})
    assert done["JobRunState"] == "FAILED" and "The bucket 'nowhere' that is to be read does not exist." in done["ErrorMessage"]


def test_paths_that_share_a_folder_are_all_read(lake):
    reader = Reader(lake)
    data = "s3://incoming/data/"

    def several(context, **more):
        return [{"TransformationContext": context, "Paths": [f"{data}{path}" for path in more.pop("paths")], **more}]

    patterns = several("patterns", paths=["a*.csv", "b*.csv"])
    shallow = several("shallow", paths=["", "deep/"], Recurse=False)
    for name in ("1.csv", "2.csv"):
        reader.put(f"a{name}", f"b{name}", f"c{name}", f"deep/d{name}", f"deep/er/e{name}")
        # The second time it is the bookmark that chooses.
        assert reader.names(requests=patterns) == [f"a{name}", f"b{name}"]
        assert reader.names(requests=shallow) == [f"a{name}", f"b{name}", f"c{name}", f"d{name}"]


def test_what_is_read_after_the_commit_is_read_again_by_the_next_run(lake):
    lake.bucket("incoming")
    text = """
        import sys
        from awsglue.utils import getResolvedOptions
        from millpond_job import run
        me = run.current()
        def read(*names):
            source = me.source(TransformationContext="c", Paths=[f"s3://incoming/data/{name}*" for name in names])
            print("read", [file["Path"].rsplit("/", 1)[1] for file in source["Files"]])
        read("a")
        me.commit()
        read("a", *getResolvedOptions(sys.argv, ["more"])["more"].split(","))
    """
    define(lake, "reader", text, arguments={"--job-bookmark-option": ENABLE})

    def read(more):
        done = lake.run_job("reader", Arguments={"--more": more})
        assert done["JobRunState"] == "SUCCEEDED", done
        lines = lambda: [line.removeprefix("read ") for line in log(lake, done["Id"]) if line.startswith("read ")]
        return wait_until(lambda: lines() if len(lines()) == 2 else None, 30, 0.1, "what was read")

    for name in ("a1", "b1"):
        lake.put("incoming", f"data/{name}", "x")
    assert read("b") == ["['a1']", "['a1', 'b1']"]
    assert read("b") == ["[]", "['b1']"], "what was committed is done, the rest is not"
    lake.put("incoming", "data/a2", "x")
    assert read("b") == ["['a2']", "['a2', 'b1']"]


def test_bounded_sources_take_the_oldest_first(lake):
    reader = Reader(lake)
    for name in ("d.csv", "c.csv", "b.csv", "a.csv"):
        reader.put(name)
    request = [{"TransformationContext": "c", "Paths": ["s3://incoming/data/"], "BoundedFiles": 3}]
    assert reader.names(requests=request) == ["b.csv", "c.csv", "d.csv"]
    assert reader.names(requests=request) == ["a.csv"]
    assert reader.names(requests=request) == []


def table(lake, keys=("year",)):
    glue = lake.client("glue")
    glue.create_database(DatabaseInput={"Name": "raw"})
    serde = {"SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", "Parameters": {"field.delim": ","}}
    storage = {"Columns": [{"Name": "id", "Type": "bigint"}], "Location": "s3://incoming/data/", "SerdeInfo": serde}
    kept = {"Name": "t", "StorageDescriptor": storage, "Parameters": {"classification": "csv"}}
    glue.create_table(DatabaseName="raw", TableInput={**kept, "PartitionKeys": [{"Name": key, "Type": "string"} for key in keys]})
    for value, location in (("2024", "s3://incoming/data/year=2024/"), ("2025", "s3://incoming/elsewhere/")):
        glue.create_partition(DatabaseName="raw", TableName="t", PartitionInput={"Values": [value], "StorageDescriptor": {**storage, "Location": location}})


def test_tables_are_read_by_partition(lake):
    reader = Reader(lake)
    table(lake)
    reader.put("year=2024/a.csv", "year=2023/unknown.csv")
    lake.put("incoming", "elsewhere/b.csv", "x")
    base = {"Database": "raw", "Table": "t", "TransformationContext": "t"}
    assert reader.run(requests=[base])[1] == [[["a.csv", ["2024"]], ["b.csv", ["2025"]]]]
    reader.put("year=2024/c.csv")
    lake.put("incoming", "elsewhere/d.csv", "x")
    assert reader.run(requests=[base], commit="no")[1] == [[["c.csv", ["2024"]], ["d.csv", ["2025"]]]]
    one = {**base, "TransformationContext": "", "PushDownPredicate": "(year == '2025')"}
    assert reader.run(requests=[one])[1] == [[["b.csv", ["2025"]], ["d.csv", ["2025"]]]]
    both = {**one, "PushDownPredicate": "year >= '2024'", "CatalogPartitionPredicate": "year='2024'"}
    assert [name for name, _ in reader.run(requests=[both])[1][0]] == ["a.csv", "c.csv"]
    wrong = json.dumps([{**base, "PushDownPredicate": "month = 1"}])
    done = lake.run_job("reader", Arguments={"--request": wrong, "--commit": "no"})
    assert "month" in done["ErrorMessage"] and "partition key" in done["ErrorMessage"]
    done = lake.run_job("reader", Arguments={"--request": json.dumps([{"Database": "raw", "Table": "none"}]), "--commit": "no"})
    assert "the table raw.none does not exist" in done["ErrorMessage"]


def test_the_catalog_changes_with_the_end_of_a_run(lake):
    lake.bucket("outgoing")
    lake.client("glue").create_database(DatabaseInput={"Name": "mart"})
    text = """
        import sys, boto3
        from millpond_job import run
        me = run.current()
        s3 = boto3.client("s3")
        s3.put_object(Bucket="outgoing", Key="t/day=1/a.csv", Body=b"1,a\\n2,b\\n")
        base = {"Database": "mart", "Table": "T", "Create": True, "Format": "csv", "Location": "s3://outgoing/t",
                "Columns": [{"Name": "ID", "Type": "bigint"}, {"Name": "name", "Type": "string"}],
                "PartitionKeys": [{"Name": "day", "Type": "int"}],
                "Partitions": [{"Values": ["1"], "Location": "s3://outgoing/t/day=1"}]}
        me.update_table(**base)
        try:
            me.update_table(**{**base, "Database": "none"})
        except run.RunError as error:
            print(error.code, error)
        print("seen by itself:", [item["Key"] for item in s3.list_objects_v2(Bucket="outgoing")["Contents"]])
        if "--fail" in sys.argv:
            raise ValueError("too late")
    """
    define(lake, "catalog", text)
    done = lake.run_job("catalog", Arguments={"--fail": "yes"})
    assert done["JobRunState"] == "FAILED"
    assert not lake.client("glue").get_tables(DatabaseName="mart")["TableList"]
    done = lake.run_job("catalog")
    assert done["JobRunState"] == "SUCCEEDED", done
    lines = wait_until(lambda: log(lake, done["Id"]))
    assert lines[-2:] == ["EntityNotFoundException Entity Not Found: the database none does not exist", "seen by itself: ['t/day=1/a.csv']"]
    found = lake.client("glue").get_table(DatabaseName="mart", Name="t")["Table"]
    assert [column["Name"] for column in found["StorageDescriptor"]["Columns"]] == ["id", "name"]
    assert found["Parameters"]["CreatedByJob"] == "catalog"
    assert lake.sql("select id, name, day from mart.t order by id") == [["1", "a", "1"], ["2", "b", "1"]]


def test_only_a_run_can_ask_for_itself(lake):
    import urllib.request

    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    root = lake.credentials
    request = AWSRequest("POST", f"{lake.endpoint}/_glue/run/Describe", data=b"{}", headers={"content-type": "application/json"})
    SigV4Auth(Credentials(root["access_key_id"], root["secret_access_key"]), "glue", "us-east-1").add_auth(request)
    for headers in (dict(request.headers.items()), {}):
        sent = urllib.request.Request(request.url, b"{}", headers, method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(sent)
        assert refused.value.code in (400, 403)


def test_without_a_temporary_directory_one_is_made_and_goes(lake):
    text = """
        import boto3
        from millpond_job import run
        print(run.current().describe()["TempDir"])
        boto3.client("s3").list_objects_v2(Bucket=run.current().describe()["TempDir"].split("/")[2])
    """
    define(lake, "temporary", text)
    done = lake.run_job("temporary")
    assert done["JobRunState"] == "SUCCEEDED", done
    assert wait_until(lambda: log(lake, done["Id"]))[-1] == f"s3://aws-glue-assets-000000000000-us-east-1/temporary/{done['Id']}/"
    assert "aws-glue-assets-000000000000-us-east-1" not in [one["Name"] for one in lake.client("s3").list_buckets()["Buckets"]]
    done = lake.run_job("temporary", Arguments={"--TempDir": "s3://glue-scripts/tmp/"})
    assert wait_until(lambda: log(lake, done["Id"]))[-1] == "s3://glue-scripts/tmp/"
