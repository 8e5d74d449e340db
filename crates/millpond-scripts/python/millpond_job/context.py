"""`SparkContext` and its relatives where the engine has none: what scripts do with them without needing RDDs works, the rest says which setting to change."""

import logging
import os
import sys
import time

from millpond_job import engine
from millpond_job.errors import EngineLacks


def _lacks(name, instead=""):
    def raises(self, *args, **kwargs):
        raise EngineLacks(f"`{name}`", instead)

    return raises


class SparkContext:
    """Stands for the session of this process. `SparkContext()` may be called several times; settings of `conf` are applied to the session."""

    _active_spark_context = None
    PACKAGE_EXTENSIONS = (".zip", ".egg", ".jar")

    def __init__(self, master=None, appName=None, sparkHome=None, pyFiles=None, environment=None, batchSize=0, serializer=None, conf=None, **_):
        self.appName = appName or (conf.get("spark.app.name") if conf is not None else None) or os.path.basename(sys.argv[0] or "script")
        self.environment = dict(environment or {})
        self.startTime = int(time.time() * 1000)
        if conf is not None:
            for key, value in conf.getAll():
                engine.configure(key, value)
        for path in pyFiles or ():
            self.addPyFile(path)
        SparkContext._active_spark_context = self

    @classmethod
    def getOrCreate(cls, conf=None):
        if cls._active_spark_context is None:
            return cls(conf=conf)
        if conf is not None:
            for key, value in conf.getAll():
                engine.configure(key, value)
        return cls._active_spark_context

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def __repr__(self):
        return f"<SparkContext of the engine {engine.name()}>"

    @property
    def applicationId(self):
        return f"millpond-{os.getpid()}"

    @property
    def version(self):
        return engine.session().version

    @property
    def master(self):
        return engine.name()

    @property
    def defaultParallelism(self):
        return engine.cores()

    defaultMinPartitions = defaultParallelism
    uiWebUrl = None
    resources = {}

    def getConf(self):
        from pyspark import SparkConf

        conf = SparkConf()
        for key, value in engine.settings().items():
            conf.set(key, value)
        return conf.setIfMissing("spark.app.name", self.appName)

    def sparkUser(self):
        return os.environ.get("USER", "spark")

    def stop(self):
        """Nothing to do: the engine ends with the process, and scripts commit their job after stopping."""

    def setLogLevel(self, logLevel):
        logging.getLogger("millpond").setLevel(
            {"WARN": "WARNING", "TRACE": "DEBUG", "ALL": "DEBUG", "OFF": "CRITICAL", "FATAL": "CRITICAL"}.get(logLevel.upper(), logLevel.upper())
        )

    def _nothing(self, *args, **kwargs):
        """Harmless to leave out on one machine."""

    setJobGroup = setJobDescription = setInterruptOnCancel = cancelJobGroup = cancelAllJobs = addJar = setCheckpointDir = dump_profiles = (
        show_profiles
    ) = _nothing
    setSystemProperty = classmethod(_nothing)

    def setLocalProperty(self, key, value):
        self.environment[key] = value

    def getLocalProperty(self, key):
        return self.environment.get(key)

    def broadcast(self, value):
        return Broadcast(value)

    def addPyFile(self, path):
        """Makes a module or a package of modules importable. `s3://` paths are fetched."""
        sys.path.insert(0, self._fetched(path) if path.endswith(self.PACKAGE_EXTENSIONS) else os.path.dirname(self._fetched(path)))

    def addFile(self, path, recursive=False):
        SparkFiles.files[os.path.basename(path)] = self._fetched(path)

    def _fetched(self, path):
        if "://" not in path:
            return path
        from millpond_job import storage

        directory = os.path.join(engine.scratch(), "files")
        os.makedirs(directory, exist_ok=True)
        target = os.path.join(directory, os.path.basename(path))
        storage.download(path, target)
        return target

    @property
    def _jsc(self):
        return JavaContext()

    @property
    def _jvm(self):
        return JVM

    parallelize = _lacks("SparkContext.parallelize", "Use `spark.createDataFrame(rows)` instead.")
    emptyRDD = _lacks("SparkContext.emptyRDD", "Use `spark.createDataFrame([], schema)` instead.")
    range = _lacks("SparkContext.range", "Use `spark.range(n)` instead.")
    textFile = _lacks("SparkContext.textFile", "Use `spark.read.text(path)` instead.")
    wholeTextFiles = _lacks("SparkContext.wholeTextFiles", "Use `spark.read.text(path, wholetext=True)` instead.")
    binaryFiles = _lacks("SparkContext.binaryFiles", 'Use `spark.read.format("binaryFile")` instead.')
    union = _lacks("SparkContext.union", "Use `DataFrame.union` instead.")
    accumulator = _lacks("SparkContext.accumulator", "Use an aggregate of a DataFrame instead.")
    runJob = _lacks("SparkContext.runJob")
    statusTracker = _lacks("SparkContext.statusTracker")
    binaryRecords = _lacks("SparkContext.binaryRecords")
    hadoopFile = _lacks("SparkContext.hadoopFile")
    newAPIHadoopFile = _lacks("SparkContext.newAPIHadoopFile")
    hadoopRDD = _lacks("SparkContext.hadoopRDD")
    newAPIHadoopRDD = _lacks("SparkContext.newAPIHadoopRDD")
    sequenceFile = _lacks("SparkContext.sequenceFile")
    pickleFile = _lacks("SparkContext.pickleFile")


class Broadcast:
    """A value that functions of the script use: it travels with them."""

    def __init__(self, value):
        self.value = value

    def unpersist(self, blocking=False):
        """Nothing to do."""

    def destroy(self, blocking=False):
        self.value = None


class RDD:
    """Only a name, for scripts that import it for their type hints."""

    __init__ = _lacks("RDD")


class SparkFiles:
    """Files that `SparkContext.addFile` fetched."""

    files = {}

    @classmethod
    def get(cls, filename):
        return cls.files.get(filename, os.path.join(engine.scratch(), "files", filename))

    @classmethod
    def getRootDirectory(cls):
        return os.path.join(engine.scratch(), "files")


class HadoopConfiguration:
    """Takes settings and gives them back. Which lake is used is never among them: the run says that."""

    _values = {}

    def set(self, key, value):
        self._values[key] = str(value)

    setInt = setBoolean = setLong = set

    def get(self, key, default=None):
        return self._values.get(key, default)

    def unset(self, key):
        self._values.pop(key, None)


class JavaContext:
    """`sc._jsc`, as far as scripts use it for Hadoop's settings."""

    def hadoopConfiguration(self):
        return HadoopConfiguration()

    def sc(self):
        return self


class _Log4j:
    """`sc._jvm.org.apache.log4j`: its loggers are Python's."""

    class LogManager:
        @staticmethod
        def getLogger(name):
            return logger(name)

        getRootLogger = staticmethod(lambda: logger("root"))

    class Logger:
        @staticmethod
        def getLogger(name):
            return logger(name)

    class Level:
        OFF, FATAL, ERROR, WARN, INFO, DEBUG = "CRITICAL", "CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"


class _Jvm:
    """`sc._jvm`: a path of names, of which only log4j leads anywhere."""

    def __init__(self, path=()):
        self._path = path

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        path = (*self._path, name)
        if path in (("org", "apache", "log4j"), ("org", "apache", "logging", "log4j")):
            return _Log4j
        return _Jvm(path)

    def __call__(self, *args, **kwargs):
        raise EngineLacks(f"`_jvm.{'.'.join(self._path)}`", "It needs a Java virtual machine.")


JVM = _Jvm()


def logger(name="millpond"):
    """A logger to standard error, where Glue shows a script's log, in log4j's form; with log4j's method names."""
    made = logging.getLogger(name)
    if not made.handlers:
        handler = logging.StreamHandler(sys.stderr)
        formatter = logging.Formatter(
            "%(asctime)s,%(msecs)03d %(levelname)s [%(threadName)s] %(name)s (%(filename)s:%(lineno)d): %(message)s", "%Y-%m-%d %H:%M:%S"
        )
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
        made.addHandler(handler)
        made.propagate = False
        if made.level == logging.NOTSET:
            made.setLevel(logging.INFO)
    made.warn = made.warning
    made.trace = made.debug
    return made


class SQLContext:
    """Spark's old entry point: the session under another name."""

    def __init__(self, sparkContext=None, sparkSession=None, jsqlContext=None):
        self._sc = sparkContext if sparkContext is not None else SparkContext.getOrCreate()
        self._session = sparkSession

    @classmethod
    def getOrCreate(cls, sc=None):
        return cls(sc)

    @property
    def sparkSession(self):
        if self._session is None:
            self._session = engine.session()
        return self._session

    @property
    def _jvm(self):
        return JVM

    @property
    def _jsc(self):
        return JavaContext()

    @property
    def read(self):
        return self.sparkSession.read

    @property
    def udf(self):
        return self.sparkSession.udf

    def newSession(self):
        return self

    def setConf(self, key, value):
        engine.configure(key, value)

    def getConf(self, key, defaultValue=None):
        return self.sparkSession.conf.get(key, defaultValue)

    def sql(self, sqlQuery):
        return self.sparkSession.sql(sqlQuery)

    def table(self, tableName):
        return self.sparkSession.table(tableName)

    def range(self, *args, **kwargs):
        return self.sparkSession.range(*args, **kwargs)

    def createDataFrame(self, data, schema=None, samplingRatio=None, verifySchema=True):
        return self.sparkSession.createDataFrame(data, schema, samplingRatio, verifySchema)

    def registerDataFrameAsTable(self, df, tableName):
        df.createOrReplaceTempView(tableName)

    def dropTempTable(self, tableName):
        self.sparkSession.catalog.dropTempView(tableName)

    def registerFunction(self, name, f, returnType=None):
        return self.sparkSession.udf.register(name, f, returnType)

    def tables(self, dbName=None):
        return self.sparkSession.sql(f"SHOW TABLES IN {dbName}" if dbName else "SHOW TABLES")

    def tableNames(self, dbName=None):
        return [row["tableName"] for row in self.tables(dbName).collect()]

    def cacheTable(self, tableName):
        """Nothing to do: Sail reads again, and a Connect endpoint decides itself."""

    uncacheTable = clearCache = cacheTable


TOP_LEVEL = {
    "SparkContext": SparkContext,
    "Broadcast": Broadcast,
    "RDD": RDD,
    "SparkFiles": SparkFiles,
    "SQLContext": SQLContext,
    "HiveContext": SQLContext,
}
MODULES = {
    "context": {"SparkContext": SparkContext},
    "rdd": {"RDD": RDD},
    "broadcast": {"Broadcast": Broadcast},
    "files": {"SparkFiles": SparkFiles},
}
