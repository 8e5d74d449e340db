"""`GlueContext`: the session, and how frames come and go (AWS Glue developer guide, "GlueContext class")."""

import re
import time
import warnings

from pyspark.sql import SQLContext

from awsglue.connections import Unsupported, dynamodb, s3_sink, s3_source
from awsglue.data_sink import DataSink, unsupported
from awsglue.data_source import DataSource
from awsglue.dataframereader import DataFrameReader
from awsglue.dataframewriter import DataFrameWriter
from awsglue.dynamicframe import DynamicFrame, DynamicFrameCollection, DynamicFrameReader, DynamicFrameWriter

#: Connections that are formats of S3 under another name, as Spark's sources are called.
_FORMATS_AS_CONNECTIONS = ("parquet", "orc", "csv", "json", "avro")
#: Hours that `purge_*` keeps files where nothing else is said.
RETENTION_HOURS = 168


class GlueContext(SQLContext):
    """Made of a SparkContext, a SparkSession, or nothing."""

    def __init__(self, sparkContext=None, **options):
        session = sparkContext if hasattr(sparkContext, "createDataFrame") else None
        self.__session = session
        self.__context = None if session is not None else sparkContext
        self.create_dynamic_frame = DynamicFrameReader(self)
        self.create_data_frame = DataFrameReader(self)
        self.write_dynamic_frame = DynamicFrameWriter(self)
        self.write_data_frame = DataFrameWriter(self)
        from millpond_job import engine

        if not engine.is_connect():
            # Classic PySpark: the session needs its JVM at once, and SQLContext its parts.
            from pyspark.sql import SparkSession

            self.__session = session or SparkSession.builder.getOrCreate()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                super().__init__(self.__session.sparkContext, self.__session)
        else:
            super().__init__(self.__context, session)

    @property
    def spark_session(self):
        """The session; the engine starts with its first use."""
        return self.__session if self.__session is not None else self.sparkSession

    @property
    def sparkContext(self):
        return self._sc

    # Sources

    def getSource(self, connection_type, format=None, transformation_ctx="", push_down_predicate="", **options):
        return DataSource(self, connection_type, options, format, transformation_ctx, push_down_predicate)

    def create_dynamic_frame_from_options(
        self, connection_type, connection_options=None, format=None, format_options=None, transformation_ctx="", push_down_predicate="", **kwargs
    ):
        return self._read(connection_type, connection_options or {}, format, format_options or {}, transformation_ctx)

    def create_dynamic_frame_from_catalog(
        self,
        database=None,
        table_name=None,
        redshift_tmp_dir="",
        transformation_ctx="",
        push_down_predicate="",
        additional_options=None,
        catalog_id=None,
        **kwargs,
    ):
        database = _database(database, kwargs, table_name)
        return self._read_catalog(database, table_name, transformation_ctx, push_down_predicate, additional_options)

    def create_dynamic_frame_from_rdd(self, data, name, schema=None, sample_ratio=None, transformation_ctx=""):
        """A frame of an RDD (PySpark), or of a list of rows."""
        return DynamicFrame.fromDF(self.spark_session.createDataFrame(data, schema, sample_ratio), self, name)

    def create_data_frame_from_options(
        self, connection_type, connection_options=None, format=None, format_options=None, transformation_ctx="", push_down_predicate="", **kwargs
    ):
        return self._read(connection_type, connection_options or {}, format, format_options or {}, transformation_ctx).toDF()

    def create_data_frame_from_catalog(
        self,
        database=None,
        table_name=None,
        redshift_tmp_dir="",
        transformation_ctx="",
        push_down_predicate="",
        additional_options=None,
        catalog_id=None,
        **kwargs,
    ):
        database = _database(database, kwargs, table_name)
        return self._read_catalog(database, table_name, transformation_ctx, push_down_predicate, additional_options).toDF()

    def create_sample_dynamic_frame_from_options(
        self,
        connection_type,
        connection_options=None,
        num=None,
        sample_options=None,
        format=None,
        format_options=None,
        transformation_ctx="",
        **kwargs,
    ):
        frame = self._read(connection_type, connection_options or {}, format, format_options or {}, transformation_ctx)
        return DynamicFrame.fromDF(frame.toDF().limit(int(num)), self, frame.name)

    def create_sample_dynamic_frame_from_catalog(
        self,
        database=None,
        table_name=None,
        num=None,
        sample_options=None,
        transformation_ctx="",
        push_down_predicate="",
        additional_options=None,
        **kwargs,
    ):
        database = _database(database, kwargs, table_name)
        frame = self._read_catalog(database, table_name, transformation_ctx, push_down_predicate, additional_options)
        return DynamicFrame.fromDF(frame.toDF().limit(int(num)), self, table_name)

    def get_catalog_schema_as_spark_schema(self, database=None, table_name=None, catalog_id=None):
        """The columns of a table, and those of its partitions, as a Spark struct."""
        from pyspark.sql.types import StructType

        from awsglue.connections.types import spark_fields
        from millpond_job import storage

        table = storage.client("glue").get_table(DatabaseName=database, Name=table_name)["Table"]
        return StructType(spark_fields(table.get("StorageDescriptor", {}).get("Columns", []) + table.get("PartitionKeys", [])))

    def _read(self, connection_type, options, format, format_options, transformation_ctx):
        kind = (connection_type or "").lower()
        if kind == "dynamodb":
            return dynamodb.read(self, options)
        if kind in _FORMATS_AS_CONNECTIONS:
            return s3_source.from_options(self, options, kind, format_options, transformation_ctx)
        if kind in ("s3", "file"):
            return s3_source.from_options(self, options, format, format_options, transformation_ctx)
        raise Unsupported(unsupported(connection_type))

    def _read_catalog(self, database, table, transformation_ctx, push_down_predicate, options):
        return s3_source.from_catalog(self, database, table, dict(options or {}), push_down_predicate, transformation_ctx)

    # Targets

    def getSink(self, connection_type, format=None, transformation_ctx="", **options):
        kind = (connection_type or "").lower()
        if kind in _FORMATS_AS_CONNECTIONS:
            kind, format = "s3", kind
        return DataSink(self, kind, options, format)

    def write_dynamic_frame_from_options(
        self, frame, connection_type, connection_options=None, format=None, format_options=None, transformation_ctx=""
    ):
        return self.write_from_options(frame, connection_type, connection_options, format, format_options, transformation_ctx)

    def write_from_options(
        self, frame_or_dfc, connection_type, connection_options=None, format=None, format_options=None, transformation_ctx="", **kwargs
    ):
        if not isinstance(frame_or_dfc, (DynamicFrame, DynamicFrameCollection)):
            raise TypeError(f"frame_or_dfc must be DynamicFrame or DynamicFrameCollection. Got {type(frame_or_dfc)}")
        sink = self.getSink(connection_type, format, transformation_ctx, **dict(connection_options or {}))
        if format:
            sink.setFormat(format, **dict(format_options or {}))
        return sink.write(frame_or_dfc)

    def write_dynamic_frame_from_catalog(
        self, frame, database=None, table_name=None, redshift_tmp_dir="", transformation_ctx="", additional_options=None, catalog_id=None, **kwargs
    ):
        database = _database(database, kwargs, table_name)
        return self._catalog_sink(database, table_name, additional_options).write(frame)

    def write_data_frame_from_catalog(
        self, frame, database=None, table_name=None, redshift_tmp_dir="", transformation_ctx="", additional_options=None, catalog_id=None, **kwargs
    ):
        database = _database(database, kwargs, table_name)
        return self._catalog_sink(database, table_name, additional_options).writeDataFrame(frame, self)

    def _catalog_sink(self, database, table, additional_options):
        options = dict(additional_options or {})
        path, kind, keys, format_options = s3_sink.catalog_target(database, table)
        options.setdefault("path", path)
        options.setdefault("partitionKeys", keys)
        sink = DataSink(self, "s3", options, kind, format_options)
        sink.setCatalogInfo(database, table)
        return sink

    def write_dynamic_frame_from_jdbc_conf(
        self, frame, catalog_connection, connection_options=None, redshift_tmp_dir="", transformation_ctx="", catalog_id=None
    ):
        raise Unsupported(unsupported(f"jdbc ({catalog_connection})"))

    write_from_jdbc_conf = write_dynamic_frame_from_jdbc_conf

    def extract_jdbc_conf(self, connection_name, catalog_id=None):
        raise Unsupported(unsupported(f"jdbc ({connection_name})"))

    # Files

    def purge_s3_path(self, s3_path, options=None, transformation_ctx=""):
        """Deletes files below a path that are older than `retentionPeriod` hours (default 168)."""
        from millpond_job import storage

        options = dict(options or {})
        if options.get("partitionPredicate"):
            raise ValueError("partitionPredicate is for purge_table; purge_s3_path takes paths")
        path = re.sub(r"^s3[an]://", "s3://", s3_path)
        storage.delete_below(path.rstrip("/") + "/", _kept(options))

    def purge_table(self, database, table_name, options=None, transformation_ctx="", catalog_id=None):
        """Deletes a table's files that are older than `retentionPeriod` hours, and partitions that have none left."""
        from millpond_job import storage

        options = dict(options or {})
        glue = storage.client("glue")
        table = glue.get_table(DatabaseName=database, Name=table_name)["Table"]
        kept = _kept(options)
        if not table.get("PartitionKeys"):
            storage.delete_below(table["StorageDescriptor"]["Location"].rstrip("/") + "/", kept)
            return
        arguments = {"DatabaseName": database, "TableName": table_name}
        if options.get("partitionPredicate"):
            arguments["Expression"] = options["partitionPredicate"]
        empty = []
        for page in glue.get_paginator("get_partitions").paginate(**arguments):
            for partition in page["Partitions"]:
                location = partition["StorageDescriptor"]["Location"].rstrip("/") + "/"
                storage.delete_below(location, kept)
                if not storage.exists(location):
                    empty.append({"Values": partition["Values"]})
        for start in range(0, len(empty), 25):
            glue.batch_delete_partition(DatabaseName=database, TableName=table_name, PartitionsToDelete=empty[start : start + 25])

    def transition_table(self, *args, **kwargs):
        raise Unsupported("transition_table is not supported: Millpond keeps all objects in one storage class")

    def transition_s3_path(self, *args, **kwargs):
        raise Unsupported("transition_s3_path is not supported: Millpond keeps all objects in one storage class")

    # The rest

    def get_logger(self):
        """A logger whose lines go to the run's log (`info`, `warn`, `error`, ...)."""
        from millpond_job.context import logger

        return logger("GlueLogger")

    def currentTimeMillis(self):
        return int(time.time() * 1000)

    def add_ingestion_time_columns(self, frame, time_granularity):
        """Adds `ingest_year` and its like, down to day, hour or minute."""
        from pyspark.sql import functions as F

        parts = ["year", "month", "day", "hour", "minute"]
        if time_granularity not in parts[2:]:
            raise ValueError(f"timeGranularity must be day, hour or minute, not {time_granularity!r}")
        df = frame.toDF() if isinstance(frame, DynamicFrame) else frame
        now = F.current_timestamp()
        made = {"year": F.year(now), "month": F.month(now), "day": F.dayofmonth(now), "hour": F.hour(now), "minute": F.minute(now)}
        for part in parts[: parts.index(time_granularity) + 1]:
            df = df.withColumn(f"ingest_{part}", made[part])
        return df

    def getStreamingSource(self, *args, **kwargs):
        raise Unsupported("streaming sources are not supported; start the job by a trigger or a rule for each batch instead")

    forEachBatch = getSampleStreamingDynamicFrame = getStreamingSource

    def start_transaction(self, *args, **kwargs):
        raise Unsupported("transactions of governed tables are not supported; what a run writes becomes visible at once with its end anyway")

    begin_transaction = commit_transaction = cancel_transaction = start_transaction


def _kept(options):
    """Which of a listing's objects are not to be deleted."""
    from datetime import datetime, timedelta, timezone

    hours = float(options.get("retentionPeriod", RETENTION_HOURS))
    until = datetime.now(timezone.utc) - timedelta(hours=hours)
    classes = set(options.get("excludeStorageClasses") or ())
    return lambda entry: (hours > 0 and entry["LastModified"] > until) or entry.get("StorageClass") in classes


def _database(database, kwargs, table_name):
    """The database, by its old argument `name_space`, too."""
    if database is not None and "name_space" in kwargs:
        raise ValueError("Parameter name_space and database are both specified, choose one.")
    database = kwargs.pop("name_space", None) if database is None else database
    if database is None:
        raise ValueError("Parameter name_space or database is missing.")
    if table_name is None:
        raise ValueError("Parameter table_name is missing.")
    return database
