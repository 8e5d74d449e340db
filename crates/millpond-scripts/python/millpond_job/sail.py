"""Where Sail differs from Spark in what a script may rely on, Spark's behaviour is put in its place. Each function says what the difference is.

All of it works on the Connect client's plans, before they are sent; nothing runs per row. Tried with Sail 0.7.2 and Spark's client 4.1.3.
"""

import contextlib
import re
from urllib.parse import quote

from millpond_job import casts, catalog, csv_rows, directories, engine, outputs, overwrites, statements, storage
from millpond_job.storage import NULL_PARTITION

#: Files of a write that asks for no number; small ones are fewer.
FILES = 4
#: Plans whose rows stay in the partitions that they come in.
KEEPING = (
    "Project",
    "WithColumns",
    "WithColumnsRenamed",
    "WithColumnRenamed",
    "Filter",
    "Drop",
    "DropColumns",
    "SubqueryAlias",
    "ToSchema",
    "ToDF",
    "MapPartitions",
    "FillNa",
    "NAFill",
    "Hint",
)
#: Characters that stay as they are in names of partition directories, besides letters and digits of ASCII.
UNESCAPED = " !$&'()+,:;=@-._"
_GLOB = re.compile(r"[*?\[{]")
_USE = re.compile(r"^\s*use\s+(?!(?:database|schema|namespace|catalog)\b)", re.IGNORECASE)


def install():
    """Places all that follows. The engine need not be started."""
    from pyspark.sql.connect.dataframe import DataFrame
    from pyspark.sql.connect.readwriter import DataFrameReader, DataFrameWriter

    casts.install()
    statements.install()
    _install_partitions(DataFrame)
    _install_duplicates(DataFrame)
    _install_null_structs(DataFrame)
    _install_reader(DataFrameReader)
    _install_writer(DataFrameWriter)


def statement(sql):
    """`USE name`, which Sail knows only as `USE DATABASE name`, and casts (`millpond_job.casts`)."""
    return casts.statement(_USE.sub("USE DATABASE ", sql, count=1)) if isinstance(sql, str) else sql


def _install_partitions(frames):
    """`repartition(150)` made for a cluster is a hundred and fifty tasks here: not more than `engine.partitions_max()` are made. One stays one."""
    repartition, coalesce, by_range = frames.repartition, frames.coalesce, frames.repartitionByRange

    def capped(number):
        return min(number, engine.partitions_max()) if isinstance(number, int) and not isinstance(number, bool) and number > 0 else number

    frames.repartition = lambda self, numPartitions, *cols: repartition(self, capped(numPartitions), *cols)
    frames.coalesce = lambda self, numPartitions: coalesce(self, capped(numPartitions))
    frames.repartitionByRange = lambda self, numPartitions, *cols: by_range(self, capped(numPartitions), *cols)


def _install_duplicates(frames):
    """`dropDuplicates(["id"])`: Sail aggregates each other column, which holds all rows in memory at a multiple of their size. Numbering the rows of a key is
    a sort, which spills: it takes a fraction of the time and of the memory. Only counting is left to the aggregate, which
    drops the other columns."""
    drop, count = frames.dropDuplicates, frames.count

    def drop_duplicates(self, subset=None):
        plain = drop(self, subset)
        names = list(subset) if subset is not None else []
        if not names or set(names) >= set(self.columns):
            return plain
        from pyspark.sql import Window
        from pyspark.sql import functions as F

        number = "_millpond_duplicate"
        window = Window.partitionBy(*[F.col(_quoted(name)) for name in names]).orderBy(F.lit(1))
        kept = self.withColumn(number, F.row_number().over(window)).filter(F.col(number) == 1).drop(number)
        kept.__dict__["_millpond_countable"] = plain
        return kept

    def count_rows(self):
        return count(self.__dict__.get("_millpond_countable", self))

    frames.dropDuplicates = frames.drop_duplicates = drop_duplicates
    frames.count = count_rows


def _install_null_structs(frames):
    """`createDataFrame`, `mapInArrow`, and functions over pandas: Sail takes what PyArrow leaves below a null struct for values (`awsglue.frames.arrays.masked`)."""
    from awsglue.frames.arrays import masked, masked_table
    from pyspark.sql.connect.plan import LocalRelation
    from pyspark.sql.pandas.serializers import ArrowStreamPandasSerializer

    made, map_in_arrow, create = LocalRelation.__init__, frames.mapInArrow, ArrowStreamPandasSerializer._create_array

    def local_relation(self, table, schema=None):
        made(self, None if table is None else masked_table(table), schema)

    def mapped(self, func, *args, **kwargs):
        def mask(batches):
            return map(masked_table, func(batches))

        return map_in_arrow(self, mask, *args, **kwargs)

    LocalRelation.__init__ = local_relation
    frames.mapInArrow = mapped
    # Sail runs functions in this very process.
    ArrowStreamPandasSerializer._create_array = lambda self, *args, **kwargs: masked(create(self, *args, **kwargs))


def _quoted(name):
    return "`" + name.replace("`", "``") + "`"


def _install_reader(readers):
    """Paths with globs, CSV without `inferSchema`, formats that Sail lacks, and paths that do not exist (Sail answers no rows, Spark an error)."""
    load = readers.load

    def load_paths(self, path=None, format=None, schema=None, **options):
        kind = (format or self._format or "parquet").lower()
        self.options(**options)
        given = [path] if isinstance(path, str) else list(path or ())
        if not given and "path" in self._options:
            given = [self._options["path"]]
        # Names of files that were listed (`awsglue.connections.s3_source`) are read as they are.
        listed = any(type(one) is not str for one in given)
        paths = [found for one in given for found in _expanded(one)]
        if kind in ("orc", "avro") and paths:
            from millpond_job import readers as python_readers

            return python_readers.frame(
                engine.session(), kind, storage.files_below(paths, recurse=True), schema or self._schema or None, dict(self._options)
            )
        if kind == "csv" and not schema and not self._schema and _option(self._options, "inferschema") is None:
            self.option("inferSchema", False)
        if kind == "csv" and paths and not listed and csv_rows.applies(self._options):
            frame = csv_rows.frame(self, load, paths, schema or self._schema or None)
            if frame is not None:
                _existing(frame, paths)
                return frame
        frame = load(self, paths if paths else path, format, schema)
        if kind in ("csv", "parquet", "json", "text") and paths and not listed:
            frame = directories.with_nulls(frame, directories.keys_of(paths), stated=bool(schema or self._schema))
        if kind in ("csv", "parquet", "json", "text") and paths and not schema and not self._schema:
            _existing(frame, paths)
        return frame

    table = readers.table
    readers.load = load_paths
    readers.table = lambda self, tableName: table(self, catalog.table(engine.session(), tableName))


def _option(options, lower):
    return next((value for key, value in options.items() if key.lower().replace("_", "") == lower), None)


def _existing(frame, paths):
    """Raises what Spark raises where none of the paths leads to a file. A file without columns is rare enough to be looked at."""
    if frame.schema.fields:
        return
    for path in paths:
        if not path.startswith(("s3://", "s3a://", "s3n://")) or storage.exists(path):
            continue
        from pyspark.errors import AnalysisException

        raise AnalysisException(f"[PATH_NOT_FOUND] Path does not exist: {path}.")


def _expanded(path):
    """The paths that a glob stands for (Hadoop's: `*` does not cross `/`), and others as they are, in the form that Sail reads."""
    if not path.startswith(("s3://", "s3a://", "s3n://")):
        return [path]
    if type(path) is not str:
        # The name of a file that was listed (`awsglue.connections.s3_source`): no character of it means anything.
        return [storage.quoted(str(path))]
    if not _GLOB.search(path):
        return [storage.quoted(path)]
    found = storage.glob(path)
    if not found:
        from pyspark.errors import AnalysisException

        raise AnalysisException(f"[PATH_NOT_FOUND] Path does not exist: {path}.")
    return [storage.quoted(one) for one in found]


def _install_writer(writers):
    """Partition columns are named as Spark names them, overwrites are Spark's (`millpond_job.overwrites`), and formats that Sail cannot write are written here."""
    save, save_as_table, insert_into = writers.save, writers.saveAsTable, writers.insertInto

    def write_files(self, target):
        kind = (self._write.source or "parquet").lower()
        in_s3 = outputs.is_in_s3(target) and kind in overwrites.FORMATS
        with overwrites.whole(target) if in_s3 else contextlib.nullcontext() as before:
            keys = list(self._write.partitioning_cols)
            frame = frame_of(self)
            if kind in ("orc", "avro") and target:
                from millpond_job import writers as python_writers

                python_writers.save(frame, target, kind, self._write.mode or "error", keys, dict(self._write.options))
                return
            if keys:
                self._write._child = named_partitions(frame, keys)._plan
            _files(self)
            save(self, storage.quoted(target) if in_s3 else target)
            if in_s3:
                outputs.rename(target, before)

    def save_files(self, path=None, format=None, mode=None, partitionBy=None, **options):
        _given(self, format, mode, partitionBy, options)
        target = path or self._write.options.get("path")
        keys = self._write.partitioning_cols
        of_files = (self._write.source or "parquet").lower() in overwrites.FORMATS
        dynamic = keys and overwrites.is_dynamic(self._spark, self._write.options)
        if self._write.mode == "overwrite" and of_files and (dynamic or outputs.is_in_s3(target)):
            self.mode("append")
            with overwrites.replacing(target, len(keys) if dynamic else 0):
                write_files(self, target)
        else:
            write_files(self, target)

    def save_table(self, name, format=None, mode=None, partitionBy=None, **options):
        _given(self, format, mode, partitionBy, options)
        keys = list(self._write.partitioning_cols)
        replaces = contextlib.nullcontext()
        if self._write.mode == "append":
            replaces = overwrites.insertion(self._spark, name, {}, False) or replaces
        if self._write.mode == "overwrite":
            found = outputs.found_table(name)
            if overwrites.is_of_files(found) and (self._write.source or "parquet").lower() in overwrites.FORMATS:
                self.mode("append")
                overwrites.save_table(self, frame_of(self), found, lambda location: write_files(self, location))
                outputs.register_partitions(name)
                return
            if found is None:
                self.mode("append")
                if outputs.is_in_s3(self._write.options.get("path")):
                    replaces = overwrites.replacing(self._write.options["path"])
        if keys:
            self._write._child = named_partitions(frame_of(self), keys)._plan
        if not self._write.options.get("path"):
            outputs.placed(name)
        _files(self)
        with replaces:
            save_as_table(self, name)
        outputs.register_partitions(name)

    def insert(self, tableName, overwrite=None):
        if overwrite is not None:
            self.mode("overwrite" if overwrite else "append")
        outputs.insertable(tableName)
        block = overwrites.insertion(self._spark, tableName, self._write.options, (self._write.mode or "").lower() == "overwrite")
        if block is not None:
            self.mode("append")
        with block or contextlib.nullcontext():
            insert_into(self, tableName)
        outputs.register_partitions(tableName)

    from pyspark.sql.connect.readwriter import DataFrameWriterV2

    append = DataFrameWriterV2.append

    def append_to(self):
        outputs.insertable(self._table_name)
        with overwrites.insertion(self._spark, self._table_name, {}, False) or contextlib.nullcontext():
            append(self)
        outputs.register_partitions(self._table_name)

    DataFrameWriterV2.append = append_to
    writers.save = save_files
    writers.saveAsTable = save_table
    writers.insertInto = insert


def _given(writer, format, mode, partition_by, options):
    """What a method of a writer was given, put into the writer."""
    writer.mode(mode).options(**options)
    if partition_by is not None:
        writer.partitionBy(partition_by)
    if format is not None:
        writer.format(format)
    if writer._write.mode:
        writer.mode(writer._write.mode.lower())


def frame_of(writer):
    """The frame that a writer writes."""
    from pyspark.sql.connect.dataframe import DataFrame

    return DataFrame(writer._df, writer._spark)


def _files(writer):
    """`repartition(n)` and `coalesce(n)` before a write make n files: Sail splits any write into four, unless it is told."""
    number = partitions_of(writer._write._child) or FILES
    writer._spark.sql(f"SET datafusion.execution.minimum_parallel_output_files={min(number, engine.partitions_max())}").collect()


def partitions_of(plan):
    """The partitions that a plan asks for, looking through what keeps them: the n of the last `repartition(n)` or `coalesce(n)`, or None."""
    while plan is not None:
        kind = type(plan).__name__
        if kind in ("Repartition", "RepartitionByExpression"):
            return getattr(plan, "_num_partitions", None) or getattr(plan, "num_partitions", None)
        if kind not in KEEPING:
            return None
        plan = plan._child
    return None


def named_partitions(frame, keys):
    """The frame with its partition columns as text at the end, NULL and "" by `NULL_PARTITION`. Sail leaves NULL empty, and mixes up columns that come after them."""
    from pyspark.sql import functions as F

    columns = [F.col(_quoted(name)) for name in frame.columns if name not in keys]
    for key in keys:
        text = F.col(_quoted(key)).cast("string")
        columns.append(F.when(text.isNull() | (text == ""), F.lit(NULL_PARTITION)).otherwise(text).alias(key))
    return frame.select(*columns)


def directory(key, value):
    """`key=value` as Sail names a directory: what Spark escapes, too, and some more; `:`, `=` and `'` are left."""
    return f"{key}={quote(value, safe=UNESCAPED)}".replace("~", "%7E")

