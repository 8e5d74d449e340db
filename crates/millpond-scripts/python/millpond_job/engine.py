"""The engine of this process: which one it is, its settings, and its session. Nothing is started before the first session is asked for.

`sail` is a Spark Connect server in this very process; `sc://host:port` one that the user has; `pyspark` is classic PySpark in local mode, which the script
starts itself and which finds its settings in `spark-defaults.conf` (`prepare_pyspark`).
"""

import os
import shutil
import sys
import tempfile
import threading

#: Share of the memory given to scripts that the engine's operators may hold; the rest is for buffers, Python functions and the allocator.
POOL_SHARE = 0.5
#: Rows of a Parquet row group: each open file of a write holds one, and Spark opens a file per partition and task.
ROW_GROUP_ROWS = 262_144

_lock = threading.RLock()
_session = None
_server = None
#: `--conf` of the script's arguments, and what the script itself sets before the session starts.
_settings = {}


def name():
    """`sail`, `pyspark` or `sc://host:port`: the run's, or outside of a run `MILLPOND_ENGINE`."""
    if os.environ.get("MILLPOND_ENGINE"):
        return os.environ["MILLPOND_ENGINE"]
    if os.environ.get("MILLPOND_JOB_RUN"):
        from millpond_job import run

        return run.current().describe().get("Engine") or "sail"
    return "sail"


def is_connect():
    """Whether the engine speaks Spark Connect (and so has no RDDs and no JVM)."""
    return name() != "pyspark"


def is_sail():
    """Whether the engine is Sail in this process: it shares our files, and has Sail's limits."""
    return name() == "sail"


def configured(arguments):
    """Spark settings of a script's `--conf` arguments, in Glue's form: `--conf a=b`, with more joined by `--conf` within the value."""
    settings = {}
    texts = []
    for index, argument in enumerate(arguments):
        if argument == "--conf" and index + 1 < len(arguments):
            texts.append(arguments[index + 1])
        elif argument.startswith("--conf="):
            texts.append(argument[len("--conf=") :])
    for text in texts:
        for part in text.split("--conf"):
            key, separator, value = part.strip().partition("=")
            if separator and key.strip():
                settings[key.strip()] = value.strip()
    return settings


def settings():
    """Spark settings to apply: Glue's defaults, then `--conf`, then what the script set before the session."""
    return {
        # Glue 5.0 and before are Spark 3: a cast that fails is NULL. Glue's clocks show UTC.
        "spark.sql.ansi.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        **configured(sys.argv[1:]),
        **_settings,
    }


def configure(key, value):
    """A setting of the script's own (SparkConf, builder): applied to the session when it starts, or at once."""
    with _lock:
        _settings[str(key)] = str(value)
        if _session is not None:
            apply(_session, {str(key): str(value)})


def apply(session, values):
    """Sets what the engine takes; settings of clusters and of other programs mean nothing here, and are left out."""
    for key, value in values.items():
        if not key.startswith("spark.sql."):
            continue
        try:
            session.conf.set(key, value)
        except Exception as error:
            sys.stderr.write(f"setting {key} = {value!r} is not known to the engine and has no effect: {first_line(error)}\n")


def first_line(error):
    """The first line of an exception's text."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def session():
    """The session of a Spark Connect engine, started at the first call."""
    global _session
    with _lock:
        if _session is None:
            engine = name()
            if engine == "sail":
                _session = _connected(_start_sail())
            elif engine.startswith("sc://"):
                _session = _connected(engine)
            else:
                raise ValueError(f'the engine {engine!r} is none of "sail", "pyspark" and "sc://host:port"')
            apply(_session, settings())
        return _session


def started():
    """Whether an engine runs."""
    return _session is not None


def memory_bytes():
    """What the engine may use, in bytes."""
    given = os.environ.get("MILLPOND_MEMORY_BYTES")
    if given:
        return int(given)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def cores():
    """Processors that this process may use."""
    return max(1, len(os.sched_getaffinity(0)))


def partitions_max():
    """Partitions that `repartition(n)` and `coalesce(n)` make at most on Sail.

    Each is a task with buffers of its own: a hundred and fifty of them on two processors cost gigabytes and gain nothing. `--conf millpond.partitions.max=N` sets another limit.
    """
    given = configured(sys.argv[1:]).get("millpond.partitions.max")
    return max(1, int(given)) if given else max(16, 2 * cores())


def scratch():
    """A directory for what this process keeps on disk; the engine spills there, too."""
    directory = os.path.join(tempfile.gettempdir(), f"millpond-engine-{os.getpid()}")
    os.makedirs(directory, mode=0o700, exist_ok=True)
    return directory


def clean():
    """Removes what this process kept on disk."""
    directory = os.path.join(tempfile.gettempdir(), f"millpond-engine-{os.getpid()}")
    if os.path.isdir(directory):
        shutil.rmtree(directory, ignore_errors=True)


def _connected(url):
    from pyspark.sql.connect.session import SparkSession

    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    return SparkSession.builder.remote(url).getOrCreate()


def _start_sail():
    """Starts Sail on the loopback interface; answers its URL."""
    global _server
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    catalog = f'[{{type="glue", name="spark_catalog", region="{region}"' + (f', endpoint_url="{endpoint}"' if endpoint else "") + "}]"
    defaults = {
        "AWS_REGION": region,
        # Streams of large files outlive the client's default of 30 s.
        "AWS_TIMEOUT": "3600s",
        "RUST_LOG": "error",
        "SAIL_CATALOG__LIST": catalog,
        "SAIL_CATALOG__DEFAULT_CATALOG": '"spark_catalog"',
        "SAIL_CATALOG__DEFAULT_DATABASE": '["default"]',
        "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
        "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(int(memory_bytes() * POOL_SHARE)),
        "SAIL_RUNTIME__TEMPORARY_FILES__PATHS": f'["{scratch()}"]',
        "SAIL_EXECUTION__CHECKPOINT__PATH": f"file://{scratch()}/checkpoints",
        "SAIL_PARQUET__COMPRESSION": "snappy",
        "SAIL_PARQUET__MAX_ROW_GROUP_SIZE": str(ROW_GROUP_ROWS),
    }
    if endpoint.startswith("http://"):
        defaults["AWS_ALLOW_HTTP"] = "true"
    for key, value in defaults.items():
        os.environ.setdefault(key, value)
    try:
        from pysail.spark import SparkConnectServer
    except ImportError as error:
        raise ImportError(f"the engine Sail is not installed in this environment ({sys.executable}): pip install pysail ({error})") from error
    _server = SparkConnectServer("127.0.0.1", 0)
    _server.start(background=True)
    host, port = _server.listening_address
    return f"sc://{host}:{port}"


def prepare_pyspark():
    """Writes `spark-defaults.conf` for classic PySpark: local mode, S3A to the lake, and the settings of the run. Before pyspark is imported."""
    directory = os.path.join(scratch(), "conf")
    os.makedirs(directory, exist_ok=True)
    values = {**_pyspark_defaults(), **{key: value for key, value in settings().items() if key.startswith("spark.")}}
    with open(os.path.join(directory, "spark-defaults.conf"), "w") as file:
        for key, value in values.items():
            file.write(f"{key} {value}\n")
    with open(os.path.join(directory, "log4j2.properties"), "w") as file:
        file.write(
            "rootLogger.level = error\nrootLogger.appenderRef.stderr.ref = console\nappender.console.type = Console\n"
            "appender.console.name = console\nappender.console.target = SYSTEM_ERR\nappender.console.layout.type = PatternLayout\n"
            "appender.console.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex{short}\n"
        )
    os.environ["SPARK_CONF_DIR"] = directory
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")


def _pyspark_defaults():
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    values = {
        "spark.master": "local[*]",
        "spark.driver.memory": f"{max(512, int(memory_bytes() * 0.7) >> 20)}m",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": scratch(),
        "spark.sql.warehouse.dir": f"file://{scratch()}/warehouse",
        "spark.sql.shuffle.partitions": str(4 * cores()),
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
        # Credentials come from the environment (AWS_*), never from a file.
        "spark.hadoop.fs.s3a.aws.credentials.provider": "com.amazonaws.auth.EnvironmentVariableCredentialsProvider",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.endpoint.region": os.environ.get("AWS_REGION", "us-east-1"),
        "spark.hadoop.fs.s3a.change.detection.mode": "none",
        "spark.hadoop.fs.s3a.fast.upload.buffer": "disk",
        "spark.hadoop.fs.s3a.buffer.dir": scratch(),
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.s3n.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
    }
    if endpoint:
        values["spark.hadoop.fs.s3a.endpoint"] = endpoint
        values["spark.hadoop.fs.s3a.connection.ssl.enabled"] = str(endpoint.startswith("https://")).lower()
    from millpond_job import jars

    given = os.environ.get("MILLPOND_SPARK_JARS")
    if given:
        values["spark.jars"] = ",".join(sorted(os.path.join(given, name) for name in os.listdir(given) if name.endswith(".jar")))
    elif not jars.present():
        # Fetched by Spark itself, each time: `python -m millpond_job.jars` puts them into the environment.
        values["spark.jars.packages"] = "org.apache.hadoop:hadoop-aws:3.3.4"
    return values
