"""The `millpond` command: against a running lake, and where none runs."""

import json
import os
import pty
import subprocess
import time

import pytest

from harness import binary, wait_until
from lakes import settle

CSV = "id,name,price\n1,anna,1.5\n2,ben,2.5\n"


def run(*args, cwd=None, env=None, **more):
    return subprocess.run([binary(), *map(str, args)], capture_output=True, text=True, cwd=cwd, env=env, timeout=120, **more)


def test_help_teaches():
    shown = run("--help").stdout
    for command in ("up", "env", "demo", "put", "ls", "sql", "flow", "runs", "mail", "doctor"):
        assert f"  {command}" in shown
        help_text = run(command, "--help")
        assert help_text.returncode == 0 and "millpond " in help_text.stdout and "Example" in help_text.stdout, command


def test_env_points_clients_at_the_running_lake(lake):
    shown = lake.millpond("env", "--shell", "sh")
    done = subprocess.run(["sh", "-c", 'eval "$1"; env', "sh", shown], capture_output=True, text=True, check=True)
    variables = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert variables["AWS_ENDPOINT_URL"] == lake.endpoint
    assert variables["AWS_ACCESS_KEY_ID"] == lake.credentials["access_key_id"]
    assert variables["AWS_SECRET_ACCESS_KEY"] == lake.credentials["secret_access_key"]
    assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == "us-east-1"
    lake.stop()
    refused = lake.millpond("env", check=False)
    assert refused.returncode == 1 and refused.stdout == "" and "millpond up" in refused.stderr


def test_secrets_are_readable_by_their_owner_alone_and_in_no_log(lake):
    assert (lake.data / "credentials").stat().st_mode & 0o777 == 0o600
    lake.client("s3").list_buckets()
    assert lake.credentials["secret_access_key"] not in lake.log(10_000)


def flow_of(lake, tmp_path):
    (tmp_path / "a.csv").write_text(CSV)
    lake.millpond("flow", "add", "people", "--from", "s3://raw/people/", "--to", "processed.people", "--notify", "mailto:ops@example.com")
    return lake.millpond("put", "--wait", tmp_path / "a.csv", "s3://raw/people/")


def check_what_is_there(lake):
    assert "processed.people" in lake.millpond("ls")
    assert "bigint" in lake.millpond("ls", "processed.people")
    assert "people/" in lake.millpond("ls", "s3://raw")
    assert "a.csv" in lake.millpond("ls", "-r", "s3://raw")
    shown = lake.millpond("sql", "select name, price from processed.people order by name; select 1 as one")
    assert "anna" in shown and "2 rows" in shown and "scanned" in shown and "one" in shown
    as_csv = lake.millpond("sql", "--output", "csv", "-q", "select name, price, null as n, '' as e from processed.people order by name")
    assert as_csv == 'name,price,n,e\nanna,1.5,,""\nben,2.5,,""\n'
    as_json = lake.millpond("sql", "--output", "json", "-q", "-d", "processed", "select name, null as n from people order by name")
    assert [json.loads(line) for line in as_json.splitlines()] == [{"name": "anna", "n": None}, {"name": "ben", "n": None}]
    assert lake.millpond("sql", input="-- from a file;\nselect 42 as answer;\n").count("42") == 1
    runs = lake.millpond("runs")
    assert "crawl" in runs and "job" in runs and "query" in runs and "SUCCEEDED" in runs
    jobs = [json.loads(line) for line in lake.millpond("runs", "--kind", "job", "--json").splitlines()]
    with_file = [run for run in jobs if "a.csv" in lake.millpond("runs", "show", run["id"])]
    assert len(with_file) == 1
    mails = lake.millpond("mail")
    assert "ops@example.com" in mails
    mail = lake.millpond("mail", "show", "latest")
    assert "added 2 rows to processed.people" in mail
    assert "people" in lake.millpond("flow", "list")
    assert "millpond-flow-people" in lake.millpond("flow", "show", "people")
    doctor = lake.millpond("doctor")
    assert "nothing is wrong" in doctor


def test_the_commands_talk_to_a_running_lake(lake, tmp_path):
    put = flow_of(lake, tmp_path)
    assert "1 object to s3://raw/" in put
    check_what_is_there(lake)


def test_the_commands_open_the_directory_where_no_lake_runs(lake, tmp_path):
    lake.stop()
    flow_of(lake, tmp_path)
    check_what_is_there(lake)
    assert not (lake.data / "endpoint.json").exists()


def test_a_stale_endpoint_file_is_seen_through(lake, tmp_path):
    lake.kill9()
    assert (lake.data / "endpoint.json").exists()
    assert "1" in lake.millpond("sql", "select 1 as one")
    flow_of(lake, tmp_path)
    lake.start()
    assert lake.scalar("select count(*) from processed.people") == "2"


def test_a_second_server_on_one_directory_is_refused_with_the_address_of_the_first(lake):
    refused = run("up", "--data", lake.data, "--listen", "127.0.0.1:0")
    assert refused.returncode == 1 and lake.endpoint in refused.stderr


def test_put_takes_folders_standard_input_and_large_files(lake, tmp_path):
    folder = tmp_path / "in"
    (folder / "year=2024").mkdir(parents=True)
    for number in range(40):
        (folder / "year=2024" / f"{number}.csv").write_text(CSV)
    big = os.urandom(20 << 20)
    (folder / "big.bin").write_bytes(big)
    lake.millpond("put", "--create", folder, "s3://raw/all/")
    listed = lake.client("s3").list_objects_v2(Bucket="raw", Prefix="all/")
    assert listed["KeyCount"] == 41
    assert lake.client("s3").get_object(Bucket="raw", Key="all/big.bin")["Body"].read() == big
    lake.millpond("put", "-", "s3://raw/stdin.bin", input=big[: 9 << 20])
    assert lake.client("s3").get_object(Bucket="raw", Key="stdin.bin")["Body"].read() == big[: 9 << 20]
    for wrong, words in [
        (["put", folder, "s3://none/"], "there is no bucket 'none'"),
        (["put", folder / "missing.csv", "s3://raw/"], "cannot be read"),
        (["put", folder, "raw/"], "s3://raw/flights/"),
        (["put", "-", "s3://raw/"], "key of its own"),
    ]:
        refused = lake.millpond(*wrong, check=False)
        assert refused.returncode == 1 and words in refused.stderr, refused.stderr


def test_errors_say_what_to_do(lake, tmp_path):
    for args, words in [
        (["sql", "selct 1"], "line 1:1"),
        (["sql", "select * from nowhere.t"], "nowhere"),
        (["ls", "nowhere"], "there is no database 'nowhere'"),
        (["flow", "show", "f"], "there is no flow 'f'"),
        (["flow", "add", "f", "--from", "raw", "--to", "a.b"], "s3://bucket/folder/"),
        (["mail", "show", "99"], "there is no message 99"),
        (["runs", "show", "jr_x"], "no run's id begins with 'jr_x'"),
    ]:
        refused = lake.millpond(*args, check=False)
        assert refused.returncode == 1 and words in refused.stderr, refused.stderr
    nowhere = run("sql", "select 1", "--data", tmp_path / "none")
    assert nowhere.returncode == 1 and "millpond up --data" in nowhere.stderr
    assert not (tmp_path / "none").exists()
    config = tmp_path / "millpond.toml"
    config.write_text('[[flow]]\nname = "f"\nfrom = "raw"\nto = "x"\n')
    refused = run("up", "--data", tmp_path / "none", "--config", config)
    assert refused.returncode == 1 and "millpond.toml:3:8" in refused.stderr and "millpond.toml:4:6" in refused.stderr


def test_flows_are_added_run_and_removed(lake, tmp_path):
    lake.bucket("raw")
    lake.put("raw", "people/early.csv", CSV)
    lake.millpond("flow", "add", "people", "--from", "s3://raw/people/", "--to", "processed.people")
    lake.millpond("flow", "run", "people", "--wait")
    assert lake.scalar("select count(*) from processed.people") == "2"
    clash = lake.millpond("flow", "add", "more", "--from", "s3://raw/more/", "--to", "processed.people", check=False)
    assert clash.returncode == 1 and "writes to processed.people already" in clash.stderr
    lake.millpond("flow", "remove", "people")
    assert "there are no flows" in lake.millpond("flow", "list")
    assert lake.client("events").list_rules()["Rules"] == []
    lake.put("raw", "people/late.csv", "id,name,price\n3,carl,3.5\n")
    settle(lake)
    assert lake.scalar("select count(*) from processed.people") == "2"


def test_doctor_finds_damage(lake):
    lake.bucket("raw")
    lake.put("raw", "big.bin", os.urandom(300_000))
    lake.stop()
    blobs = [path for path in lake.data.rglob("*") if path.is_file() and path.stat().st_size == 300_000]
    assert len(blobs) == 1
    with open(blobs[0], "r+b") as file:
        file.truncate(1000)
    found = lake.millpond("doctor", check=False)
    assert found.returncode == 1 and "300000" in found.stdout and "1000 bytes" in found.stdout, found.stdout
    blobs[0].unlink()
    found = json.loads(lake.millpond("doctor", "--json", check=False).stdout)
    assert any("missing" in problem for problem in found["problems"])
    (lake.data / "credentials").chmod(0o644)
    found = lake.millpond("doctor", check=False)
    assert "chmod 600" in found.stdout


def test_the_prompt_runs_statements_over_several_lines(lake, tmp_path):
    leader, follower = pty.openpty()
    environment = {**lake.env, "XDG_STATE_HOME": str(tmp_path), "TERM": "dumb"}
    process = subprocess.Popen(
        [binary(), "sql", "--data", str(lake.data)], stdin=follower, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    )
    time.sleep(1)
    os.write(leader, b"select 40 +\n2 as answer;\n\\d\nnonsense;\n\\q\n")
    out, err = process.communicate(timeout=60)
    os.close(leader)
    assert process.returncode == 0 and "answer" in out and "42" in out, (out, err)
    assert "nonsense" in err or "line 1" in err
    history = tmp_path / "millpond" / "sql_history"
    assert "2 as answer;" in history.read_text()


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT"])
def test_the_server_ends_when_told_to(lake, signal):
    import signal as signals

    process = lake.process
    process.send_signal(getattr(signals, signal))
    assert wait_until(lambda: process.poll() is not None, 15) and process.returncode == 0
    lake.process = None
    assert not (lake.data / "endpoint.json").exists()
