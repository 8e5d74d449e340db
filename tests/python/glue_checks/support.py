"""What the checks have in common: an engine, frames from literals, and a runner that says of each check how it went, as a line of JSON."""

import contextlib
import io
import json
import os
import sys
import traceback

_session = None


def spark():
    """The session of an engine: Sail in this process, or what `$GLUE_CHECKS_ENGINE` says (`pyspark`, `sc://host:port`)."""
    global _session
    engine = os.environ.get("GLUE_CHECKS_ENGINE", "sail")
    if _session is None and engine == "pyspark":
        from pyspark.sql import SparkSession

        os.environ["PYSPARK_PYTHON"] = sys.executable
        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "2")
        _session = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    elif _session is None and engine.startswith("sc://"):
        from pyspark.sql import SparkSession

        _session = SparkSession.builder.remote(engine).getOrCreate()
    elif _session is None:
        from pysail.spark import SparkConnectServer
        from pyspark.sql import SparkSession

        server = SparkConnectServer("127.0.0.1", 0)
        server.start(background=True)
        host, port = server.listening_address
        _session = SparkSession.builder.remote(f"sc://{host}:{port}").getOrCreate()
        _session._server_of_checks = server
    return _session


def frame(rows, schema, name="frame"):
    """A frame of tuples and a Spark schema (`id int, name string`)."""
    from awsglue.dynamicframe import DynamicFrame

    return DynamicFrame.fromDF(spark().createDataFrame(rows, schema), None, name)


def json_frame(*texts, name="frame", json_path=None):
    """A frame of JSON texts, which describe themselves. What is no text is written as JSON first."""
    from awsglue.dynamicframe import DynamicFrame

    rows = [(text if isinstance(text, str) else json.dumps(text),) for text in texts]
    return DynamicFrame._from_json_text(spark().createDataFrame(rows, "value string"), None, name, json_path=json_path)


def records(some_frame, *order):
    """The records, with choices resolved to their values, sorted by these names where some are given."""
    from awsglue.frames import records as values

    decode = values.decoder(some_frame.schema())
    found = [plain(decode(row.asDict(True))) for row in some_frame.toDF().collect()] if len(some_frame.schema()) else []
    return sorted(found, key=lambda record: tuple(str(record[name]) for name in order)) if order else found


def plain(value):
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    return [plain(member) for member in value] if isinstance(value, list) else value


def tree(some_frame):
    """What `printSchema` prints, without its first line, and without trailing empty lines."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        some_frame.printSchema()
    first, *lines = out.getvalue().rstrip().split("\n")
    assert first == "root", first
    return "\n".join(lines)


def shown(some_frame, count=20):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        some_frame.show(count)
    return out.getvalue()


def text(block):
    """A block of text without its indentation."""
    import textwrap

    return textwrap.dedent(block).strip("\n").rstrip()


@contextlib.contextmanager
def raises(kind, *parts):
    """The block must raise an exception of that kind whose message has all parts."""
    try:
        yield
    except kind as error:
        for part in parts:
            assert part in str(error), f"{part!r} is not in {str(error)!r}"
        return
    raise AssertionError(f"no {kind.__name__} was raised")


@contextlib.contextmanager
def told():
    """What the block, and functions in workers, write on standard error: `told() as said`, `said()`."""
    before, caught = sys.stderr, io.StringIO()
    sys.stderr = caught
    try:
        yield caught.getvalue
    finally:
        sys.stderr = before


def run(module):
    """Runs the checks of a module (functions whose name has no leading `_` and that are defined there), and prints a line of JSON for each."""
    import types

    checks = [f for f in vars(module).values() if isinstance(f, types.FunctionType) and f.__module__ == module.__name__ and not f.__name__.startswith("_")]
    out, sys.stdout = sys.stdout, sys.stderr
    for check in checks:
        try:
            check()
            failure = None
        except BaseException:
            failure = traceback.format_exc()
        print(json.dumps({"check": check.__name__, "failure": failure}), file=out, flush=True)
