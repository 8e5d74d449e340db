"""The run that this process is: what the server knows of it, and what it is told.

Two backends with the same operations. `ApiRun` calls the run API (`POST {AWS_ENDPOINT_URL}/_glue/run/{Operation}`, signed with the run's session): bookmarks,
catalog updates and item loads are registered there and take effect with the end of the run. `millpond_job.local.LocalRun` serves a script that is
started by hand: it lists with boto3 and does everything at once. `current()` answers the one that applies.
"""

import hashlib
import hmac
import http.client
import json
import os
import sys
import threading
import time
from datetime import datetime, timezone
from urllib.parse import urlsplit

#: Seconds that an operation of the run API may take; listing a source of a hundred thousand files is the longest.
TIMEOUT_S = 300
#: Times that an operation is tried again when the connection fails. All operations may be repeated.
RETRIES_MAX = 4


class RunError(Exception):
    """What the run API refused; `code` is the error's name as in AWS's answers (`EntityNotFoundException`, ...)."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class ApiRun:
    """The run API's client. Safe to use from several threads."""

    def __init__(self, run_id, environment=None):
        environment = os.environ if environment is None else environment
        self.run_id = run_id
        self._endpoint = _required(environment, "AWS_ENDPOINT_URL")
        self._access_key_id = _required(environment, "AWS_ACCESS_KEY_ID")
        self._secret = _required(environment, "AWS_SECRET_ACCESS_KEY")
        self._token = environment.get("AWS_SESSION_TOKEN", "")
        self._region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
        self._lock = threading.Lock()
        self._described = None

    @property
    def in_run(self):
        """Whether what is written and registered takes effect with the end of a run."""
        return True

    def describe(self):
        """`Describe`: JobName, RunId, Attempt, BookmarkOption, Output, Engine, TempDir. Asked once."""
        with self._lock:
            if self._described is None:
                self._described = self._call("Describe", {})
            return self._described

    def source(self, **request):
        """`Source`: the files that a source reads, after the bookmark of its `TransformationContext`."""
        return self._call("Source", {name: value for name, value in request.items() if value is not None})

    def commit(self):
        """`Commit`: bookmarks are to be saved with the end of the run."""
        self._call("Commit", {})

    def load_items(self, table, prefix, options=None):
        """`LoadItems`: the Parquet files below `prefix` are put into `table` as items with the end of the run."""
        self._call("LoadItems", {"Table": table, "Prefix": prefix})

    def update_table(self, **request):
        """`UpdateTable`: a change of the catalog, made with the end of the run."""
        self._call("UpdateTable", {name: value for name, value in request.items() if value is not None})

    def fail(self, error_class, message, file=None, line=None, traceback=None):
        """`Fail`: why the script ends, for the run's `ErrorMessage`."""
        request = {"ErrorClass": error_class, "Message": message, "File": file, "Line": line, "Traceback": traceback}
        self._call("Fail", {name: value for name, value in request.items() if value is not None})

    def _call(self, operation, request):
        body = json.dumps(request).encode()
        for attempt in range(RETRIES_MAX + 1):
            try:
                status, answer = self._send(operation, body)
            except (OSError, http.client.HTTPException) as error:
                if attempt == RETRIES_MAX:
                    raise RunError("ServiceUnavailable", f"{operation}: the lake at {self._endpoint} does not answer: {error}") from error
            else:
                if status < 500 or attempt == RETRIES_MAX:
                    return _decoded(operation, status, answer)
            time.sleep(0.1 * 2**attempt)
        raise AssertionError("the last attempt answers or raises")

    def _send(self, operation, body):
        parts = urlsplit(self._endpoint)
        make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = make(parts.hostname, parts.port, timeout=TIMEOUT_S)
        path = f"{parts.path.rstrip('/')}/_glue/run/{operation}"
        try:
            connection.request("POST", path, body, self._signed(parts.netloc, path, body))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _signed(self, host, path, body):
        """Headers with a Signature Version 4 (IAM user guide, "Create a signed AWS API request")."""
        now = datetime.now(timezone.utc)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        digest = hashlib.sha256(body).hexdigest()
        headers = {"content-type": "application/x-amz-json-1.1", "host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
        if self._token:
            headers["x-amz-security-token"] = self._token
        names = ";".join(sorted(headers))
        canonical = "\n".join(["POST", path, "", *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, digest])
        scope = f"{day}/{self._region}/glue/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self._secret).encode()
        for part in (day, self._region, "glue", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        credential = f"{self._access_key_id}/{scope}"
        headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        return headers


def _decoded(operation, status, answer):
    try:
        decoded = json.loads(answer) if answer else {}
    except ValueError:
        decoded = {"message": answer[:500].decode(errors="replace")}
    if status == 200:
        return decoded
    code = str(decoded.get("__type", f"HTTP {status}")).split("#")[-1]
    raise RunError(code, decoded.get("message") or decoded.get("Message") or f"{operation} was answered with status {status}")


def _required(environment, name):
    value = environment.get(name)
    if not value:
        raise RunError("InvalidInputException", f"the environment variable {name} is not set: the script does not know which lake it belongs to")
    return value


#: What is undone in the order of its being done backwards, where the run fails.
_undo = []


def undo_on_failure(function):
    """Has a function called should this process's run fail. Where output is visible at once there is nothing to go back to, and it is not called."""
    if current().describe().get("Output") != "as-written":
        _undo.append(function)


def failed():
    """Undoes what acted at once, the last first; says on standard error what cannot be undone."""
    while _undo:
        try:
            _undo.pop()()
        except Exception as error:
            sys.stderr.write(f"a change of the catalog could not be taken back: {error}\n")


_current = None
_current_lock = threading.Lock()


def current():
    """The run of this process: by the run API where `MILLPOND_JOB_RUN` names one, else by hand."""
    global _current
    with _current_lock:
        if _current is None:
            run_id = os.environ.get("MILLPOND_JOB_RUN")
            if run_id:
                _current = ApiRun(run_id)
            else:
                from millpond_job.local import LocalRun

                _current = LocalRun()
        return _current
