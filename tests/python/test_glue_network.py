"""The networks of Glue scripts: each script has one of its own, in which it finds the lake, and out of which it comes to other machines."""

import json
import os
import socket
import statistics
import subprocess
import threading
import time

import pytest

from glue_jobs import define, log
from harness import wait_until

#: What every script begins with: answers are JSON lines in its log.
TOOLS = """
    import errno, json, os, socket, sys, time
    from awsglue.utils import getResolvedOptions
    def attempt(host, port):
        began = time.monotonic()
        try:
            with socket.create_connection((host, int(port)), timeout=10) as stream:
                said = stream.makefile().read()
        except OSError as error:
            said = errno.errorcode.get(error.errno, type(error).__name__)
        return "slow" if time.monotonic() - began > 2 else said
"""

#: Listens on the loopback, and writes where, until an object tells it to end.
LISTENS = (
    TOOLS
    + """
    import boto3, threading
    s3 = boto3.client("s3")
    bucket = getResolvedOptions(sys.argv, ["bucket"])["bucket"]
    server = socket.create_server(("127.0.0.1", 0))
    def serve():
        while True:
            server.accept()[0].sendall(b"secret of the script")
    threading.Thread(target=serve, daemon=True).start()
    port = server.getsockname()[1]
    print(json.dumps({"port": port, "own": len(attempt("127.0.0.1", port))}))
    for _ in range(600):
        if s3.list_objects_v2(Bucket=bucket, Prefix="end")["KeyCount"]:
            break
        time.sleep(0.1)
"""
)

#: Tries the addresses of its argument.
TRIES = (
    TOOLS
    + """
    print(json.dumps({at: attempt(*at.rsplit(":", 1)) for at in getResolvedOptions(sys.argv, ["at"])["at"].split(",")}))
"""
)


class Speaker:
    """Says a word to everybody who comes to an address of this machine."""

    def __init__(self, host, word):
        self.listener = socket.create_server((host, 0))
        self.at = f"{host}:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._speak, args=(word.encode(),), daemon=True).start()

    def _speak(self, word):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            with stream:
                stream.sendall(word)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def machine():
    """The address of this machine that others know it by."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but its loopback")
        return sock.getsockname()[0]


def words(lake, run_id):
    """The first line that a run printed, read."""
    return json.loads(wait_until(lambda: log(lake, run_id), what="the script's first line")[0])


def isolation(lake):
    """What the server says of how scripts are shut in, once it knows."""
    said = [line for line in lake.log(2_000).splitlines() if "scripts of jobs run with" in line]
    assert len(said) == 1, lake.log()
    return said[0]


def tries(lake, addresses):
    """A run of a script that tries addresses; what it found."""
    name = define(lake, f"tries-{time.monotonic_ns()}", TRIES)
    done = lake.run_job(name, Arguments={"--at": ",".join(addresses)})
    assert done["JobRunState"] == "SUCCEEDED", done
    return words(lake, done["Id"])


def listening(lake, name, bucket):
    """Starts a script that listens; its run and its port."""
    lake.bucket(bucket)
    define(lake, name, LISTENS, arguments={"--bucket": bucket})
    run_id = lake.client("glue").start_job_run(JobName=name)["JobRunId"]
    said = words(lake, run_id)
    assert said["own"] == len("secret of the script")
    return run_id, said["port"]


def ended(lake, name, run_id, bucket):
    lake.put(bucket, "end", b"x")
    done = lake.wait_job(name, run_id)
    assert done["JobRunState"] == "SUCCEEDED", done


def is_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except OSError:
        return False


def lacks(said, can):
    """Skips where the machine itself cannot; where it can, the server is wrong."""
    assert not can, f"this machine can, and the server says: {said}"
    pytest.skip(said)


@pytest.fixture(scope="module")
def own(module_lake):
    """A lake whose scripts have networks of their own; skips where this machine cannot make any."""
    tries(module_lake, ["127.0.0.1:1"])
    said = isolation(module_lake)
    if "a network of its own" not in said:
        can = subprocess.run(["unshare", "--user", "--map-root-user", "--net", "true"], capture_output=True).returncode == 0
        lacks(said, can)
    return module_lake


@pytest.fixture(scope="module")
def leads_out(own):
    if "for want of a device" in isolation(own):
        lacks(isolation(own), os.access("/dev/net/tun", os.R_OK | os.W_OK))
    return own


def test_scripts_are_reached_neither_by_each_other_nor_by_this_machine(own):
    run_id, port = listening(own, "listens", "listens")
    try:
        assert not is_open(port)
        with Speaker("127.0.0.1", "secret of the machine") as speaker:
            assert tries(own, [f"127.0.0.1:{port}", speaker.at, "localhost:1"]) == {
                f"127.0.0.1:{port}": "ECONNREFUSED",
                speaker.at: "ECONNREFUSED",
                "localhost:1": "ECONNREFUSED",
            }
    finally:
        ended(own, "listens", run_id, "listens")


def test_a_script_comes_to_other_machines_and_not_to_the_metadata_of_a_cloud(leads_out):
    with Speaker(machine(), "from outside") as speaker, socket.create_server((machine(), 0)) as closed:
        nobody = f"{machine()}:{closed.getsockname()[1]}"
        closed.close()
        metadata = "169.254.169.254:80"
        assert tries(leads_out, [speaker.at, nobody, metadata]) == {speaker.at: "from outside", nobody: "ECONNREFUSED", metadata: "EHOSTUNREACH"}


def test_names_are_asked_for_outside(leads_out):
    text = """
        import socket
        print(open("/etc/resolv.conf").read().split()[-1])
        print(socket.gethostbyname("localhost"))
        try:
            print(socket.gethostbyname("no-such-name.invalid"))
        except socket.gaierror as error:
            print(error.errno in (socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_AGAIN))
    """
    done = leads_out.run_job(define(leads_out, "names", text))
    assert done["JobRunState"] == "SUCCEEDED", done
    assert log(leads_out, done["Id"]) == ["192.0.0.3", "127.0.0.1", "True"]


def test_large_objects_come_and_go_whole(own):
    own.bucket("bulk")
    text = """
        import boto3, hashlib, io, os
        body = os.urandom(48 << 20)
        s3 = boto3.client("s3")
        s3.upload_fileobj(io.BytesIO(body), "bulk", "a")
        kept = io.BytesIO()
        s3.download_fileobj("bulk", "a", kept)
        assert kept.getvalue() == body
    """
    done = own.run_job(define(own, "bulk", text))
    assert done["JobRunState"] == "SUCCEEDED", done


@pytest.mark.parametrize("network", ["own", "shared"])
def test_spark_starts_and_reads_the_lake(new_lake, network):
    lake = new_lake(f'[jobs]\nnetwork = "{network}"\n')
    lake.bucket("spark")
    lake.put("spark", "in/a.csv", b"a,b\n1,x\n2,y\n")
    text = """
        from pyspark.context import SparkContext
        from awsglue.context import GlueContext
        spark = GlueContext(SparkContext()).spark_session
        spark.read.option("header", True).csv("s3://spark/in/").write.parquet("s3://spark/out/")
        print(spark.read.parquet("s3://spark/out/").count())
    """
    done = lake.run_job(define(lake, "spark", text, "glueetl"))
    assert done["JobRunState"] == "SUCCEEDED", done
    assert log(lake, done["Id"], command="glueetl")[-1] == "2"


def test_a_lake_that_listens_at_another_address_is_found_there(new_lake):
    lake = new_lake(listen=f"{machine()}:0")
    lake.bucket("elsewhere")
    done = lake.run_job(define(lake, "elsewhere", "import boto3\nprint(boto3.client('s3').list_buckets()['Buckets'][0]['Name'])\n"))
    assert done["JobRunState"] == "SUCCEEDED", done
    assert log(lake, done["Id"]) == ["elsewhere"]


def test_shared_is_this_machines_network(new_lake):
    lake = new_lake('[jobs]\nnetwork = "shared"\n')
    run_id, port = listening(lake, "listens", "listens")
    try:
        assert is_open(port)
        with Speaker("127.0.0.1", "of the machine") as speaker:
            assert tries(lake, [f"127.0.0.1:{port}", speaker.at]) == {f"127.0.0.1:{port}": "secret of the script", speaker.at: "of the machine"}
        assert "this machine's network" in isolation(lake) and "as it is set" in isolation(lake)
    finally:
        ended(lake, "listens", run_id, "listens")


def test_a_network_of_its_own_costs_next_to_nothing(new_lake):
    lakes = {network: new_lake(f'[jobs]\nnetwork = "{network}"\n') for network in ("own", "shared")}
    times = {network: [] for network in lakes}
    for lake in lakes.values():
        lake.run_job(define(lake, "small", "print('done')\n"))
    for _ in range(5):
        for network, lake in lakes.items():
            began = time.monotonic()
            done = lake.run_job("small")
            times[network].append(time.monotonic() - began)
            assert done["JobRunState"] == "SUCCEEDED", done
    # Much more than it takes (about 10 ms): a lake on a busy machine is slow in other ways.
    assert statistics.median(times["own"]) < statistics.median(times["shared"]) + 0.5, times
