"""A lake as a separate process, and what tests need to talk to it as its users do: boto3, the AWS CLI, the `millpond` command."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import boto3
from botocore.config import Config

REPO = Path(__file__).resolve().parents[2]
RESULTS = "athena-results"


def binary() -> Path:
    """The `millpond` under test: `$MILLPOND_BIN`, or what `cargo build` made."""
    named = os.environ.get("MILLPOND_BIN")
    if named:
        return Path(named)
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target"))
    return target / "debug" / "millpond"


def wait_until(check, timeout_s=30.0, every_s=0.02, what="the condition"):
    """Calls `check` until it answers something true, and answers that."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout_s:g} s; last answer: {answer!r}")
        time.sleep(every_s)


class QueryFailed(AssertionError):
    """An Athena query that ended in FAILED or CANCELLED; `reason` is what Athena said."""

    def __init__(self, sql, reason):
        super().__init__(f"{sql!r}: {reason}")
        self.reason = reason


class Lake:
    """One data directory, and the server that runs (or ran) on it."""

    def __init__(self, data: Path, config: Path | None = None, args=(), listen="127.0.0.1:0"):
        self.data = Path(data)
        self.config = config
        self.args = list(args)
        self.listen = listen
        self.log_path = self.data.with_name(self.data.name + ".log")
        self.process = None
        self.endpoint = None
        self._clients = {}

    # The process

    def start(self, timeout_s=30.0):
        """Starts the server and waits until it says where it listens."""
        assert self.process is None, "the lake runs already"
        program = binary()
        assert program.exists(), f"{program} is missing: run `cargo build` (or ./test) first"
        command = [program, "up", "--data", self.data, "--listen", self.listen, *self.args]
        if self.config:
            command += ["--config", self.config]
        stale = self.data / "endpoint.json"
        before = stale.read_text() if stale.exists() else None
        with open(self.log_path, "ab") as log:
            # The interpreter of the tests has boto3: functions need not install it for each lake.
            environment = {**os.environ, "RUST_BACKTRACE": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
            # Engines of Glue scripts are installed once for all lakes of all tests.
            environment.setdefault("MILLPOND_ENVIRONMENTS", str(REPO / "target" / "environments"))
            self.process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)

        def ready():
            code = self.process.poll()
            if code is not None:
                self.process = None
                raise AssertionError(f"the server ended with code {code} before it was ready:\n{self.log()}")
            try:
                text = stale.read_text()
                found = json.loads(text)
            except (FileNotFoundError, json.JSONDecodeError):
                return None
            return found if text != before and found["pid"] == self.process.pid else None

        self.endpoint = wait_until(ready, timeout_s, 0.005, "the server's endpoint.json")["url"]
        self._clients = {}
        return self

    def stop(self, timeout_s=30.0):
        """Asks the server to end (SIGTERM), as a service manager does."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the server did not end within {timeout_s} s of SIGTERM:\n{self.log()}") from None

    def kill9(self):
        """Ends the server as a power cut does to the process: without a word."""
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def restart(self):
        """Stops the server where it runs, and starts it again on the same directory."""
        self.stop()
        return self.start()

    def log(self, lines=80):
        """The last lines that the server wrote."""
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def rss_kib(self, field="VmRSS"):
        """Resident memory in KiB (`VmHWM` for the peak)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise AssertionError(f"no {field}")

    # Clients

    @property
    def credentials(self):
        """`access_key_id` and `secret_access_key` of the lake's root."""
        return json.loads((self.data / "credentials").read_text())

    @property
    def env(self):
        """The environment in which AWS clients talk to this lake."""
        keys = self.credentials
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": keys["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": keys["secret_access_key"],
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "PYTHONWARNINGS": "ignore",
        }

    def session(self):
        keys = self.credentials
        return boto3.Session(keys["access_key_id"], keys["secret_access_key"], region_name="us-east-1")

    def client(self, service, **config):
        """A boto3 client; keyword arguments go to botocore's `Config`."""
        if not config and service in self._clients:
            return self._clients[service]
        settings = {"retries": {"max_attempts": 1}, "connect_timeout": 10, "read_timeout": 120, "max_pool_connections": 64, **config}
        client = self.session().client(service, endpoint_url=self.endpoint, config=Config(**settings))
        if not config:
            self._clients[service] = client
        return client

    def aws(self, *args, input=None, check=True, timeout_s=120):
        """Runs the AWS CLI; answers its standard output (with `check=False` the completed process)."""
        program = Path(sys.executable).with_name("aws")
        command = [sys.executable, program] if program.exists() else ["aws"]
        return self._run([*command, *args], input, check, timeout_s)

    def millpond(self, *args, input=None, check=True, timeout_s=120):
        """Runs the `millpond` command on this lake's directory (`--data` is added)."""
        return self._run([binary(), *args, "--data", self.data], input, check, timeout_s)

    def _run(self, command, input, check, timeout_s):
        command = list(map(str, command))
        environment = self.env if self.endpoint else dict(os.environ)
        text = not isinstance(input, bytes)
        done = subprocess.run(command, env=environment, input=input, capture_output=True, text=text, timeout=timeout_s)
        if not check:
            return done
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    # What tests do all the time

    def own(self, path, body, session=None):
        """Calls one of Millpond's own operations, as the root or with the credentials of a session; answers its JSON."""
        import urllib.request

        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        root = self.credentials
        keys = Credentials(root["access_key_id"], root["secret_access_key"])
        if session:
            keys = Credentials(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
        body = json.dumps(body).encode()
        request = AWSRequest("POST", f"{self.endpoint}/_millpond/{path}", data=body, headers={"content-type": "application/json"})
        SigV4Auth(keys, "millpond", "us-east-1").add_auth(request)
        sent = urllib.request.Request(request.url, body, dict(request.headers.items()), method="POST")
        with urllib.request.urlopen(sent, timeout=30) as answer:
            return json.load(answer)

    def dead_letters(self):
        """The tasks that were given up, as `millpond runs dead` knows them."""
        return self.own("dead-letters/list", {"limit": 1000})["tasks"]

    def bucket(self, name):
        """Creates a bucket."""
        self.client("s3").create_bucket(Bucket=name)
        return name

    def put(self, bucket, key, body, **more):
        body = body.encode() if isinstance(body, str) else body
        return self.client("s3").put_object(Bucket=bucket, Key=key, Body=body, **more)

    def start_query(self, sql, database=None, **more):
        """StartQueryExecution; answers its id."""
        if database:
            more["QueryExecutionContext"] = {"Database": database}
        if "ResultConfiguration" not in more:
            self.client("s3").create_bucket(Bucket=RESULTS)
            more["ResultConfiguration"] = {"OutputLocation": f"s3://{RESULTS}/"}
        return self.client("athena").start_query_execution(QueryString=sql, **more)["QueryExecutionId"]

    def wait_query(self, query_id, timeout_s=60):
        """Waits for a query's end; answers its execution."""

        def ended():
            execution = self.client("athena").get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            return execution if execution["Status"]["State"] in ("SUCCEEDED", "FAILED", "CANCELLED") else None

        return wait_until(ended, timeout_s, 0.01, f"the end of query {query_id}")

    def sql(self, sql, database=None, **more):
        """Runs a statement through Athena; answers rows as lists of text (`None` for NULL), without the header."""
        query_id = self.start_query(sql, database, **more)
        execution = self.wait_query(query_id)
        if execution["Status"]["State"] != "SUCCEEDED":
            raise QueryFailed(sql, execution["Status"].get("StateChangeReason", "no reason was given"))
        pages = self.client("athena").get_paginator("get_query_results").paginate(QueryExecutionId=query_id)
        rows = [[cell.get("VarCharValue") for cell in row["Data"]] for page in pages for row in page["ResultSet"]["Rows"]]
        is_select = execution.get("StatementType", "DML") == "DML"
        return rows[1:] if is_select else rows

    def scalar(self, sql, database=None):
        """The only value of the only row, as text."""
        rows = self.sql(sql, database)
        assert len(rows) == 1 and len(rows[0]) == 1, rows
        return rows[0][0]

    def crawl(self, name, timeout_s=60):
        """Runs a crawler to its end; answers its `LastCrawl`."""
        glue = self.client("glue")
        glue.start_crawler(Name=name)

        def ready():
            crawler = glue.get_crawler(Name=name)["Crawler"]
            return crawler if crawler["State"] == "READY" and "LastCrawl" in crawler else None

        return wait_until(ready, timeout_s, 0.02, f"the end of crawl {name}")["LastCrawl"]

    def run_job(self, name, timeout_s=120, **more):
        """Starts a job and waits for the end of its run; answers the run."""
        run_id = self.client("glue").start_job_run(JobName=name, **more)["JobRunId"]
        return self.wait_job(name, run_id, timeout_s)

    def wait_job(self, name, run_id, timeout_s=120):
        ends = ("SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR")

        def ended():
            run = self.client("glue").get_job_run(JobName=name, RunId=run_id)["JobRun"]
            return run if run["JobRunState"] in ends else None

        return wait_until(ended, timeout_s, 0.02, f"the end of run {run_id}")


class Smtp:
    """A real SMTP server (aiosmtpd) that keeps what it receives. `refuse` is an SMTP answer given instead, for tests of retries."""

    def __init__(self, port=0):
        from aiosmtpd.controller import Controller

        smtp = self
        self.messages = []
        self.refuse = None
        self._lock = threading.Lock()

        class Keep:
            async def handle_DATA(self, server, session, envelope):
                if smtp.refuse:
                    return smtp.refuse
                import email
                import email.policy

                message = email.message_from_bytes(envelope.content, policy=email.policy.default)
                with smtp._lock:
                    smtp.messages.append((envelope, message))
                return "250 OK"

        self.controller = Controller(Keep(), hostname="127.0.0.1", port=port or free_port())
        self.controller.start()
        self.host, self.port = "127.0.0.1", self.controller.port

    def bodies(self):
        """The text of each message received so far."""
        with self._lock:
            return [message.get_body(("plain",)).get_content() for _, message in self.messages]

    def wait(self, count=1, timeout_s=30):
        """Waits for so many messages; answers (envelope, message) pairs."""
        wait_until(lambda: len(self.messages) >= count, timeout_s, 0.02, f"{count} mail(s)")
        return list(self.messages)

    def close(self):
        """Ends the server; once is enough."""
        if self.controller:
            self.controller.stop()
        self.controller = None


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def new_lake(config_text=None, **more):
    """A lake in a new directory, started. `config_text` is its millpond.toml."""
    parent = Path(tempfile.mkdtemp(prefix="millpond-test-"))
    config = None
    if config_text is not None:
        config = parent / "millpond.toml"
        config.write_text(config_text)
    return Lake(parent / "lake", config, **more).start()


def discard(lake):
    """Ends a lake and removes its directory."""
    try:
        lake.stop()
    finally:
        shutil.rmtree(lake.data.parent, ignore_errors=True)
