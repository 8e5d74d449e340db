"""Scripts of Glue jobs: the commands `pythonshell` and `glueetl`, as boto3 and the AWS CLI start them."""

import json
import os
import tempfile
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from glue_jobs import define, log, put_script, role, run
from harness import REPO, wait_until


def failed(run_):
    assert run_["JobRunState"] == "FAILED", run_
    return run_["ErrorMessage"]


def keys(lake, bucket, prefix=""):
    pages = lake.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def test_a_python_shell_script_runs_with_arguments_keys_and_logs(module_lake):
    lake = module_lake
    lake.bucket("shell-out")
    text = """
        import os, sys
        import boto3
        from awsglue.utils import getResolvedOptions
        args = getResolvedOptions(sys.argv, ["JOB_NAME", "who", "bucket"])
        print("hello", args["who"], args["JOB_NAME"])
        print("to stderr", file=sys.stderr)
        print(boto3.client("sts").get_caller_identity()["Arn"])
        print(os.getcwd(), sys.argv[0], __file__)
        boto3.client("s3").put_object(Bucket=args["bucket"], Key="a.txt", Body=b"x")
        print("last line without newline", end="")
    """
    defaults = {"--who": "default", "--bucket": "shell-out"}
    name = define(lake, "hello", text, arguments=defaults, MaxCapacity=0.0625, NonOverridableArguments={"--bucket": "shell-out"})
    done = lake.run_job(name, Arguments={"--who": "world", "--bucket": "elsewhere"})
    assert done["JobRunState"] == "SUCCEEDED", done
    assert done["Arguments"]["--who"] == "world" and done["LogGroupName"] == "/aws-glue/python-jobs"
    assert done["Attempt"] == 0 and done["MaxCapacity"] == 0.0625 and done["ExecutionTime"] >= 1 and done["CompletedOn"]
    wait_until(lambda: len(log(lake, done["Id"])) >= 4, what="the log")
    lines = log(lake, done["Id"])
    assert lines[-4:] == [
        "hello world hello",
        "arn:aws:sts::000000000000:assumed-role/glue-scripts/GlueJobRunnerSession",
        "/tmp /tmp/hello.py /tmp/hello.py",
        "last line without newline",
    ]
    assert log(lake, done["Id"], "error") == ["to stderr"]
    assert keys(lake, "shell-out") == ["a.txt"]
    groups = lake.client("logs").describe_log_groups(logGroupNamePrefix="/aws-glue/python-jobs")["logGroups"]
    assert {group["logGroupName"] for group in groups} == {"/aws-glue/python-jobs/output", "/aws-glue/python-jobs/error"}


ENDS = {
    "name-error": ("x = 1\nprint(undefined)\n", "NameError: name 'undefined' is not defined (name-error.py, line 2)"),
    "syntax-error": ("x = 1\ndef f(:\n  pass\n", "SyntaxError: invalid syntax (syntax-error.py, line 2)"),
    "exit-1": ("import sys\nsys.exit(1)\n", "SystemExit: 1 (exit-1.py, line 2)"),
    "exit-7": ("import os\nos._exit(7)\n", "Command failed with exit code 7"),
    "exit-text": ("import sys\nsys.exit('no input')\n", "SystemExit: no input (exit-text.py, line 2)"),
    "import-error": ("import nothing_of_this_name\n", "ModuleNotFoundError: No module named 'nothing_of_this_name' (import-error.py, line 1)"),
    "by-signal": ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "Command failed with exit code 139"),
}


def test_a_script_that_fails_says_why_and_leaves_nothing(module_lake):
    lake, glue = module_lake, module_lake.client("glue")
    lake.bucket("ends")
    put = "import boto3\nboto3.client('s3').put_object(Bucket='ends', Key='left/{name}', Body=b'x')\n"
    runs = {}
    for name, (text, _) in ENDS.items():
        # What is written before the failure goes with it. (The lines of the script stay where they are.)
        text = text.rstrip("\n") if "syntax" in name else text.replace("\n", "; " + put.format(name=name).replace("\n", "; ").rstrip("; ") + "\n", 1)
        runs[name] = glue.start_job_run(JobName=define(lake, name, text, MaxCapacity=0.0625))["JobRunId"]
    for name, (_, expected) in ENDS.items():
        message = failed(lake.wait_job(name, runs[name]))
        assert message.startswith(expected), (name, message)
    assert keys(lake, "ends") == []
    error = wait_until(lambda: [line for line in log(lake, runs["name-error"], "error") if "Traceback" in line], what="the traceback")
    assert error
    assert any('File "/tmp/name-error.py", line 2' in line for line in log(lake, runs["name-error"], "error"))


def test_exit_0_is_a_success(module_lake):
    assert run(module_lake, "exit-0", "import sys\nprint('done')\nsys.exit(0)\n")["JobRunState"] == "SUCCEEDED"


def test_an_etl_script_has_categories_in_its_reason(module_lake):
    done = run(module_lake, "etl-error", "def f():\n    raise ValueError('bad')\nf()\n", "glueetl", WorkerType="G.1X", NumberOfWorkers=2, GlueVersion="4.0")
    assert failed(done) == "Error Category: UNCLASSIFIED_ERROR; Failed Line Number: 2; ValueError: bad (etl-error.py, line 2)"
    assert (done["WorkerType"], done["NumberOfWorkers"], done["MaxCapacity"], done["GlueVersion"]) == ("G.1X", 2, 2.0, "4.0")


def test_a_missing_script_is_named(module_lake):
    lake = module_lake
    define(lake, "gone", "print(1)\n")
    lake.client("s3").delete_object(Bucket="glue-scripts", Key="scripts/gone.py")
    message = failed(lake.run_job("gone"))
    assert message == "Python script s3://glue-scripts/scripts/gone.py cannot be read: there is no such object"


def test_a_run_can_be_stopped_and_another_one_times_out(new_lake):
    lake = new_lake("[jobs]\nconcurrency = 3\n")
    glue = lake.client("glue")
    loop = "import time\nprint('looping', flush=True)\nwhile True:\n    time.sleep(0.1)\n"
    late = glue.start_job_run(JobName=define(lake, "late", loop, Timeout=1))["JobRunId"]
    stopped = glue.start_job_run(JobName=define(lake, "looping", loop))["JobRunId"]
    wait_until(lambda: log(lake, stopped), what="its first line")
    begun = time.monotonic()
    told = glue.batch_stop_job_run(JobName="looping", JobRunIds=[stopped, "jr_none"])
    assert [one["JobRunId"] for one in told["SuccessfulSubmissions"]] == [stopped]
    assert told["Errors"][0]["ErrorDetail"]["ErrorCode"] == "EntityNotFoundException"
    assert lake.wait_job("looping", stopped)["JobRunState"] == "STOPPED"
    assert time.monotonic() - begun < 10
    done = lake.wait_job("late", late, 120)
    assert (done["JobRunState"], done["ErrorMessage"], done["Timeout"]) == ("TIMEOUT", "it took longer than 1 minutes", 1)


def test_a_script_that_takes_too_much_memory_is_told_what_to_change(new_lake):
    lake = new_lake('[jobs]\nmemory = "1GiB"\nconcurrency = 2\n')
    text = "kept = []\nwhile True:\n    kept.append(bytearray(16 << 20))\n"
    message = failed(run(lake, "hog", text, MaxRetries=0))
    assert "Command failed with exit code 137" in message and "0.5 GiB" in message and "[jobs] memory" in message


def test_a_failed_run_is_tried_again_with_its_own_id(module_lake):
    lake, glue = module_lake, module_lake.client("glue")
    lake.bucket("attempts")
    text = """
        import boto3, os, sys
        run = os.environ["MILLPOND_JOB_RUN"]
        # Visible at once, as it is not the run's own session that counts.
        print(run)
        sys.exit(0 if run.endswith("_attempt_2") else 3)
    """
    first = glue.start_job_run(JobName=define(lake, "again", text, MaxRetries=2))["JobRunId"]
    last = lake_run = wait_until(lambda: _of_state(lake, "again", f"{first}_attempt_2"), 60, what="the third attempt")
    assert lake_run["JobRunState"] == "SUCCEEDED" and last["Attempt"] == 2 and last["PreviousRunId"] == f"{first}_attempt_1"
    states = [(one["Attempt"], one["JobRunState"]) for one in glue.get_job_runs(JobName="again")["JobRuns"]]
    assert states == [(2, "SUCCEEDED"), (1, "FAILED"), (0, "FAILED")]


def _of_state(lake, job, run_id):
    try:
        found = lake.client("glue").get_job_run(JobName=job, RunId=run_id)["JobRun"]
    except ClientError:
        return None
    return found if found["JobRunState"] in ("SUCCEEDED", "FAILED") else None


def test_concurrent_runs_are_bounded_and_may_queue(module_lake):
    lake, glue = module_lake, module_lake.client("glue")
    name = define(lake, "one-at-a-time", "import time\ntime.sleep(2)\n")
    first = glue.start_job_run(JobName=name)["JobRunId"]
    with pytest.raises(ClientError, match="ConcurrentRunsExceededException"):
        glue.start_job_run(JobName=name)
    queued = glue.start_job_run(JobName=name, JobRunQueuingEnabled=True)["JobRunId"]
    assert glue.get_job_run(JobName=name, RunId=queued)["JobRun"]["JobRunState"] == "WAITING"
    one, two = lake.wait_job(name, first), lake.wait_job(name, queued)
    assert (one["JobRunState"], two["JobRunState"]) == ("SUCCEEDED", "SUCCEEDED")
    assert two["CompletedOn"] > one["CompletedOn"]


def test_definitions_are_checked(module_lake):
    lake, glue = module_lake, module_lake.client("glue")
    location = put_script(lake, "checked", "print(1)\n")
    command = {"Name": "pythonshell", "ScriptLocation": location}
    with pytest.raises(ClientError, match="nobody.*cannot be found"):
        glue.create_job(Name="checked", Role="nobody", Command=command)
    arn = role(lake, "for-lambda", "lambda.amazonaws.com")
    with pytest.raises(ClientError, match="assume role permissions for Glue"):
        glue.create_job(Name="checked", Role=arn, Command=command)
    for wrong, say in [
        ({"Command": {"Name": "glueetl", "ScriptLocation": "/tmp/x.py"}}, "ScriptLocation"),
        ({"Command": {**command, "Name": "glueetl"}, "DefaultArguments": {"--job-language": "scala"}}, "Python scripts only"),
        ({"Command": command, "DefaultArguments": {"--job-bookmark-option": "on"}}, "--job-bookmark-option"),
    ]:
        with pytest.raises(ClientError, match=say):
            glue.create_job(Name="checked", Role=role(lake), **wrong)
    glue.create_job(Name="streaming", Role="r", Command={"Name": "gluestreaming", "ScriptLocation": location})
    with pytest.raises(ClientError, match="gluestreaming"):
        glue.start_job_run(JobName="streaming")


def test_libraries_and_files_come_from_s3(module_lake, tmp_path):
    import zipfile

    lake = module_lake
    put_script(lake, "unused", "")
    with zipfile.ZipFile(tmp_path / "lib.zip", "w") as archive:
        archive.writestr("zipped/__init__.py", "NAME = 'from a zip'\n")
    lake.put("glue-scripts", "lib/lib.zip", (tmp_path / "lib.zip").read_bytes())
    lake.put("glue-scripts", "lib/helper.py", "NAME = 'from a file'\n")
    lake.put("glue-scripts", "lib/settings.json", '{"a": 1}')
    arguments = {
        "--extra-py-files": "s3://glue-scripts/lib/lib.zip,s3://glue-scripts/lib/helper.py",
        "--extra-files": "s3://glue-scripts/lib/settings.json",
        "--customer-driver-env-vars": "CUSTOMER_KEY=value",
    }
    text = """
        import json, os
        import helper, zipped
        print(helper.NAME, zipped.NAME, json.load(open("settings.json")), os.environ["CUSTOMER_KEY"])
    """
    done = run(lake, "libraries", text, arguments=arguments)
    assert done["JobRunState"] == "SUCCEEDED", done
    assert wait_until(lambda: log(lake, done["Id"]))[-1] == "from a file from a zip {'a': 1} value"
    missing = failed(run(lake, "no-library", "print(1)\n", arguments={"--extra-py-files": "s3://glue-scripts/lib/none.zip"}))
    assert missing == "--extra-py-files: s3://glue-scripts/lib/none.zip cannot be read: there is no such object"


def test_files_that_are_brought_have_the_room_of_tmp():
    import harness

    lake = harness.new_lake('[jobs]\ndisk = "64MiB"\n')
    try:
        put_script(lake, "unused", "")
        for number in range(4):
            lake.put("glue-scripts", f"lib/{number}.bin", bytes(24 << 20))
        files = [f"s3://glue-scripts/lib/{number}.bin" for number in range(4)]
        text = "import os\nprint(sum(os.path.getsize(name) for name in os.listdir('.') if name.endswith('.bin')))\n"
        message = failed(run(lake, "many-files", text, arguments={"--extra-files": ",".join(files)}))
        assert message.startswith(f"--extra-files: {files[2]} cannot be brought: it has {24 << 20} bytes, and "), message
        assert message.endswith(f" are left of the {64 << 20} that may lie in /tmp; raise `[jobs] disk` of millpond.toml"), message
        done = run(lake, "few-files", text, arguments={"--extra-files": ",".join(files[:2])})
        assert done["JobRunState"] == "SUCCEEDED", done
        assert wait_until(lambda: log(lake, done["Id"]))[-1] == str(48 << 20)
    finally:
        harness.discard(lake)


def test_additional_modules_are_installed(module_lake):
    lake = module_lake
    arguments = {"--additional-python-modules": "cowsay==6.1"}
    done = run(lake, "modules", "import cowsay\nprint(cowsay.__name__)\n", arguments=arguments)
    assert done["JobRunState"] == "SUCCEEDED", done
    message = failed(run(lake, "no-module", "print(1)\n", arguments={"--additional-python-modules": "no-such-module-of-any-kind==1"}))
    assert message.startswith("--additional-python-modules: no-such-module-of-any-kind==1 could not be installed: "), message
    message = failed(run(lake, "no-option", "print(1)\n", arguments={"--additional-python-modules": "-r/etc/passwd"}))
    assert "is not taken" in message


def test_a_start_that_hangs_is_stopped_and_times_out(tmp_path, monkeypatch):
    """The index of packages takes connections, and never answers."""
    import socket

    import harness

    with socket.create_server(("127.0.0.1", 0)) as index:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{index.getsockname()[1]}/simple")
        monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "600")
        monkeypatch.setenv("MILLPOND_ENVIRONMENTS", str(tmp_path / "environments"))
        lake = harness.new_lake("[jobs]\nconcurrency = 2\n")
        try:
            glue = lake.client("glue")
            runs = [(name, glue.start_job_run(JobName=define(lake, name, "print(1)\n", Timeout=1))["JobRunId"]) for name in ("late", "stopped")]
            begun = time.monotonic()
            wait_until(lambda: all(log(lake, run_id) for _, run_id in runs), what="the installation's begin")
            assert {glue.get_job_run(JobName=name, RunId=run_id)["JobRun"]["JobRunState"] for name, run_id in runs} == {"STARTING"}
            glue.batch_stop_job_run(JobName="stopped", JobRunIds=[runs[1][1]])
            assert lake.wait_job(*runs[1], 10)["JobRunState"] == "STOPPED"
            # Its place is free again.
            glue.start_job_run(JobName="stopped")
            wait_until(lambda: len(log(lake, glue.get_job_runs(JobName="stopped")["JobRuns"][0]["Id"])) > 0, what="the next one's begin")
            late = lake.wait_job(*runs[0], 90)
            assert late["JobRunState"] == "TIMEOUT" and "it took longer than 1 minutes to get ready" in late["ErrorMessage"], late
            assert 55 < time.monotonic() - begun < 80
        finally:
            harness.discard(lake)


def test_arguments_that_no_process_can_take_are_refused_and_those_up_to_the_limit_arrive(module_lake):
    lake, glue = module_lake, module_lake.client("glue")
    name = define(lake, "long-arguments", "import sys\nprint(sum(map(len, sys.argv)))\n")
    quotes = {"--a": '"' * 24_000, "--b": "x" * 24_000, "--customer-driver-env-vars": "A=" + "y" * 11_000}
    done = lake.run_job(name, Arguments=quotes)
    assert done["JobRunState"] == "SUCCEEDED", done.get("ErrorMessage")
    assert int(wait_until(lambda: log(lake, done["Id"]))[-1]) > 59_000
    for arguments in ({"--a": "x" * 140_000}, {f"--a{n}": "x" * 1_000 for n in range(140)}):
        with pytest.raises(ClientError, match="InvalidInputException.*98304 are the limit; the longest is --a"):
            glue.start_job_run(JobName=name, Arguments=arguments)
        with pytest.raises(ClientError, match="InvalidInputException.*98304 are the limit"):
            define(lake, "long-defaults", "print(1)\n", arguments=arguments)
    with pytest.raises(ClientError, match="InvalidInputException.*NUL"):
        glue.start_job_run(JobName=name, Arguments={"--a": "b\0c"})


def refused(lake, keys):
    """The codes with which S3 and STS refuse the credentials of a session; `None` where they do not."""
    import boto3

    def code(service, call):
        client = boto3.client(service, region_name="us-east-1", endpoint_url=lake.endpoint, **keys)
        try:
            getattr(client, call)()
        except ClientError as error:
            return error.response["Error"]["Code"]

    return code("s3", "list_buckets"), code("sts", "get_caller_identity")


@pytest.mark.parametrize("end", ["SUCCEEDED", "FAILED", "STOPPED", "killed"])
def test_the_keys_of_a_run_open_nothing_when_it_is_over(new_lake, end):
    lake = new_lake()
    lake.bucket("signal")
    text = """
        import json, os, sys, time
        import boto3
        names = {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY", "aws_session_token": "AWS_SESSION_TOKEN"}
        print(json.dumps({name: os.environ[variable] for name, variable in names.items()}), flush=True)
        own = boto3.client("sts").assume_role(RoleArn=sys.argv[-1], RoleSessionName="own")["Credentials"]
        print(json.dumps({"aws_access_key_id": own["AccessKeyId"], "aws_secret_access_key": own["SecretAccessKey"], "aws_session_token": own["SessionToken"]}), flush=True)
        while not boto3.client("s3").list_objects_v2(Bucket="signal")["KeyCount"]:
            time.sleep(0.05)
        sys.exit(int(os.environ["CODE"]))
    """
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": role(lake)}, "Action": "sts:AssumeRole"}]}
    other = lake.client("iam").create_role(RoleName="other", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    arguments = {"--customer-driver-env-vars": f"CODE={int(end == 'FAILED')}", "--z": other}
    run_id = lake.client("glue").start_job_run(JobName=define(lake, "keys", text, arguments=arguments))["JobRunId"]
    wait_until(lambda: len(log(lake, run_id)) == 2, what="the keys")
    sessions = [json.loads(line) for line in log(lake, run_id)]
    assert [refused(lake, keys) for keys in sessions] == [(None, None)] * 2
    if end == "killed":
        lake.kill9()
        lake.start()
    elif end == "STOPPED":
        lake.client("glue").batch_stop_job_run(JobName="keys", JobRunIds=[run_id])
    else:
        lake.put("signal", "go", b"")
    done = lake.wait_job("keys", run_id)
    assert done["JobRunState"] == ("FAILED" if end == "killed" else end), done
    expired = [("ExpiredToken", "ExpiredToken")] * 2
    assert [refused(lake, keys) for keys in sessions] == expired
    lake.restart()
    assert [refused(lake, keys) for keys in sessions] == expired


def test_an_environment_that_cannot_be_installed_is_a_reason(tmp_path, monkeypatch):
    import harness

    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("MILLPOND_ENVIRONMENTS", str(tmp_path / "environments"))
    lake = harness.new_lake()
    try:
        message = failed(run(lake, "no-engine", "print(1)\n"))
        assert message.startswith("The environment 'pythonshell' for scripts of jobs could not be installed"), message
        assert "start the run again" in message
        assert not [path for path in (tmp_path / "environments").iterdir() if path.is_dir()]
    finally:
        harness.discard(lake)


def test_a_script_is_shut_in(module_lake, tmp_path):
    lake = module_lake
    environments = Path(os.environ.get("MILLPOND_ENVIRONMENTS", REPO / "target" / "environments"))
    run(lake, "before-shut-in", "print(1)\n")  # From here on the environments are there.
    at_home, for_all = (tempfile.TemporaryDirectory(prefix=".canary", dir=where) for where in (Path.home(), "/var/tmp"))
    with at_home as home, for_all as public, tempfile.NamedTemporaryFile(dir=environments) as beside:
        # A directory that leads to what the script may see is seen itself, empty but for that: it is what lies in it that must not be.
        canaries = [path / "canary" for path in (tmp_path, Path(home), Path(public))]
        for canary in canaries:
            canary.write_text("x")
        os.chmod(public, 0o755)
        directories = [lake.data, *(canary.parent for canary in canaries)]
        files = [lake.data / "lake.sqlite3", lake.data / "credentials", Path(beside.name), *canaries]
        files += [Path("/etc/shadow"), Path("/proc/1/environ"), Path(f"/proc/{lake.process.pid}/cmdline")]
        assert all(path.is_file() for path in files) and all(os.listdir(path) for path in directories)
        text = f"""
            import os
            def seen(look, path):
                try:
                    look(path)
                    return [path]
                except OSError:
                    return []
            print("READ", sum((seen(lambda path: open(path, "rb").read(1), path) for path in {[str(path) for path in files]}), []))
            print("LISTED", sum((seen(os.listdir, path) for path in {[str(path) for path in directories]}), []))
            print("CANARY", [name for path in {[str(Path.home()), str(environments)]} if os.path.isdir(path) for name in os.listdir(path)])
            texts = []
            for process in os.listdir("/proc"):
                for name in ("environ", "cmdline"):
                    seen(lambda path: texts.append(open(path).read()), f"/proc/{{process}}/{{name}}")
            print("SERVER", any({str(lake.data)!r} in text for text in texts), not texts or any("millpond_job" in text for text in texts))
            for path in ("/usr/x", "/x", "/etc/x", "/var/x", "/opt/x"):
                seen(lambda path: print("WRITTEN", path, open(path, "w")), path)
            print("USER", os.getuid() != 0)
        """
        done = run(lake, "shut-in", text)
    assert done["JobRunState"] == "SUCCEEDED", done
    lines = wait_until(lambda: log(lake, done["Id"]))
    assert "READ []" in lines and "LISTED []" in lines and "SERVER False True" in lines and "USER True" in lines, lines
    assert not any("WRITTEN" in line for line in lines), lines
    beside_home = next(line for line in lines if line.startswith("CANARY"))
    assert "canary" not in beside_home and Path(beside.name).name not in beside_home, lines


def test_every_line_of_a_long_log_is_kept(module_lake):
    done = run(module_lake, "chatty", "for i in range(60000):\n    print(f'line {i} ' + 'x' * 100)\n")
    assert done["JobRunState"] == "SUCCEEDED", done
    count = 60_000

    def all_lines():
        found = [line for line in log(module_lake, done["Id"]) if line.startswith("line ")]
        return found if len(found) >= count else None

    lines = wait_until(all_lines, 60, 0.5, "all lines")
    assert [int(line.split()[1]) for line in lines] == list(range(60000))


def test_groups_that_their_owner_made_are_kept_and_continuous_logging_has_its_own(new_lake):
    lake = new_lake()
    logs = lake.client("logs")
    logs.create_log_group(logGroupName="/aws-glue/python-jobs/output", tags={"team": "a"})
    logs.put_retention_policy(logGroupName="/aws-glue/python-jobs/output", retentionInDays=7)
    arguments = {"--enable-continuous-cloudwatch-log": "true", "--continuous-log-logGroup": "/mine/jobs"}
    done = run(lake, "continuous", "print('both')\n", arguments=arguments)
    assert done["JobRunState"] == "SUCCEEDED", done
    wait_until(lambda: log(lake, done["Id"]))
    group = logs.describe_log_groups(logGroupNamePrefix="/aws-glue/python-jobs/output")["logGroups"][0]
    assert group["retentionInDays"] == 7
    events = wait_until(lambda: logs.get_log_events(logGroupName="/mine/jobs", logStreamName=f"{done['Id']}-driver")["events"])
    assert "both" in [event["message"] for event in events]


def test_events_tell_of_ends(new_lake):
    lake = new_lake()
    queue = lake.client("sqs").create_queue(QueueName="ends")["QueueUrl"]
    arn = lake.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}]}
    lake.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    events = lake.client("events")
    events.put_rule(Name="ends", EventPattern=json.dumps({"source": ["aws.glue"], "detail-type": ["Glue Job State Change"]}))
    events.put_targets(Rule="ends", Targets=[{"Id": "1", "Arn": arn}])
    done = run(lake, "told", "raise KeyError('a')\n")
    message = lake.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"][0]
    detail = json.loads(message["Body"])["detail"]
    assert (detail["state"], detail["severity"], detail["jobRunId"]) == ("FAILED", "ERROR", done["Id"])
    assert "KeyError" in detail["message"]


def test_a_small_script_is_quick(module_lake):
    lake = module_lake
    define(lake, "quick", "print(1)\n", MaxCapacity=0.0625)
    lake.run_job("quick")
    begun = time.monotonic()
    assert lake.run_job("quick")["JobRunState"] == "SUCCEEDED"
    assert time.monotonic() - begun < 5


def test_the_aws_cli_defines_starts_and_follows_a_job(module_lake, tmp_path):
    def aws(*arguments):
        return json.loads(module_lake.aws("glue", *arguments) or "null")

    location = put_script(module_lake, "by-cli", "import sys\nsys.exit('--b' in sys.argv)\n")
    definition = tmp_path / "job.json"
    command = {"Name": "pythonshell", "ScriptLocation": location, "PythonVersion": "3.9"}
    definition.write_text(json.dumps({"Name": "by-cli", "Role": role(module_lake), "Command": command, "DefaultArguments": {"--a": "1"}}))
    assert aws("create-job", "--cli-input-json", f"file://{definition}") == {"Name": "by-cli"}

    def done(*arguments):
        run_id = aws("start-job-run", "--job-name", "by-cli", *arguments)["JobRunId"]
        module_lake.wait_job("by-cli", run_id)
        return aws("get-job-run", "--job-name", "by-cli", "--run-id", run_id)["JobRun"]

    assert done()["JobRunState"] == "SUCCEEDED"
    failed = done("--arguments", '{"--b":"2"}')
    assert failed["JobRunState"] == "FAILED" and "by-cli.py" in failed["ErrorMessage"], failed
    states = aws("get-job-runs", "--job-name", "by-cli", "--query", "JobRuns[].JobRunState")
    assert states == ["FAILED", "SUCCEEDED"]
    refused = module_lake.aws("glue", "get-job-bookmark", "--job-name", "by-cli", check=False)
    assert refused.returncode != 0 and "(EntityNotFoundException)" in refused.stderr
    assert aws("delete-job", "--job-name", "by-cli") == {"JobName": "by-cli"}
