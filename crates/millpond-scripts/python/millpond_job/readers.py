"""Readers in Python, for files that the engine cannot read: ORC and Avro on Sail, CSV with an escape character, sources of very many partitions.

A frame of paths goes through `mapInArrow`: files are read lazily, in parallel, and as streams of record batches; never is a whole file in memory (save one
stripe of ORC, and one row group of Parquet). Runs where the engine runs its Python functions: in this process on Sail, in workers on PySpark.
"""

import io
import itertools

#: Rows of a batch.
BATCH_ROWS = 8192
#: What a decompressed line of CSV may have in one block, bytes (pyarrow reads block by block).
CSV_BLOCK_BYTES = 4 << 20
_SUFFIXES = {".gz": "gzip", ".gzip": "gzip", ".bz2": "bz2", ".zst": "zstd", ".zstd": "zstd", ".lz4": "lz4", ".br": "brotli"}


def frame(session, kind, files, schema=None, options=None, partition_keys=()):
    """A DataFrame of `files` ({Path, Partition}), read as `kind` (`csv`, `orc`, `avro`, `parquet`, or `whole`: a file is one text, `value`).

    `schema` is a Spark struct or its DDL; without it the first file's is taken (CSV needs one). `partition_keys` are (name, Spark type) of the
    values in each file's `Partition`; they become columns at the end.

    Raises AnalysisException where there are no files and no schema.
    """
    from pyspark.sql.types import LongType, StringType, StructField, StructType

    if isinstance(schema, str):
        schema = StructType.fromDDL(schema)
    if schema is None:
        if not files:
            from pyspark.errors import AnalysisException

            raise AnalysisException("[UNABLE_TO_INFER_SCHEMA] Unable to infer schema: there are no files to read.")
        schema = schema_of(kind, files[0]["Path"], options or {})
    key_fields = [StructField(name, StringType()) for name, _ in partition_keys]
    listed = StructType([StructField("number", LongType()), StructField("path", StringType()), *key_fields])
    rows = [(number, one["Path"], *(one.get("Partition") or [None] * len(key_fields))) for number, one in enumerate(files)]
    paths = session.createDataFrame(rows, listed)
    if len(rows) > 1:
        from millpond_job import engine

        paths = paths.repartition(min(len(rows), 2 * engine.cores()), "number")
    produced = StructType([*schema.fields, *(field for field in key_fields)])
    read = paths.mapInArrow(Reader(kind, arrow_schema(schema), [name for name, _ in partition_keys], options or {}), produced)
    from pyspark.sql import functions as F

    for name, spark_type in partition_keys:
        if spark_type != StringType():
            read = read.withColumn(name, F.col("`" + name.replace("`", "``") + "`").cast(spark_type))
    return read


def arrow_schema(schema):
    """The Arrow schema of a Spark struct."""
    from pyspark.sql.pandas.types import to_arrow_schema

    return to_arrow_schema(schema)


def schema_of(kind, path, options):
    """The Spark struct of the columns of one file."""
    from pyspark.sql.pandas.types import from_arrow_schema

    from millpond_job import storage

    with _random_access(storage.filesystem(), path) as file:
        if kind == "orc":
            from pyarrow import orc

            found = orc.ORCFile(file).schema
        elif kind == "parquet":
            from pyarrow import parquet

            found = parquet.ParquetFile(file).schema_arrow
        elif kind == "avro":
            import fastavro

            from millpond_job import avro

            found = avro.arrow_schema(fastavro.reader(file).writer_schema)
        else:
            raise ValueError(f"files of the format {kind} do not say their schema")
    return from_arrow_schema(_plain(found))


def _plain(schema):
    """Without dictionaries and metadata, which Spark's types do not have."""
    import pyarrow

    fields = []
    for field in schema:
        kind = field.type.value_type if pyarrow.types.is_dictionary(field.type) else field.type
        if pyarrow.types.is_timestamp(kind):
            kind = pyarrow.timestamp("us", kind.tz or "UTC")
        fields.append(pyarrow.field(field.name, kind))
    return pyarrow.schema(fields)


class Reader:
    """The function that `mapInArrow` runs: batches of paths to batches of rows."""

    def __init__(self, kind, schema, keys, options):
        self.kind = kind
        self.schema = schema
        self.keys = keys
        self.options = options

    def __call__(self, batches):
        from millpond_job import storage

        filesystem = None
        for batch in batches:
            filesystem = filesystem or storage.filesystem()
            columns = [column.to_pylist() for column in batch.columns[1:]]
            for path, *values in zip(*columns):
                try:
                    for rows in getattr(self, "_" + self.kind)(filesystem, path):
                        yield self._finished(rows, values)
                except Exception as error:
                    raise RuntimeError(f"{path}: {error}") from error

    def _finished(self, rows, values):
        """Columns in the order and of the types of the schema (missing ones are NULL), and the partition's values."""
        import pyarrow

        names = {name.lower(): index for index, name in reversed(list(enumerate(rows.schema.names)))}
        arrays = []
        for field in self.schema:
            index = names.get(field.name.lower())
            if index is None:
                arrays.append(pyarrow.nulls(rows.num_rows, field.type))
            else:
                column = rows.column(index)
                arrays.append(column if column.type == field.type else column.cast(field.type))
        fields = list(self.schema)
        for name, value in zip(self.keys, values):
            arrays.append(pyarrow.repeat(pyarrow.scalar(value, pyarrow.string()), rows.num_rows))
            fields.append(pyarrow.field(name, pyarrow.string()))
        return pyarrow.RecordBatch.from_arrays(arrays, schema=pyarrow.schema(fields))

    def _orc(self, filesystem, path):
        from pyarrow import orc

        with _random_access(filesystem, path) as file:
            found = orc.ORCFile(file)
            wanted = {field.name.lower() for field in self.schema}
            names = [name for name in found.schema.names if name.lower() in wanted]
            for stripe in range(found.nstripes):
                yield from _split(found.read_stripe(stripe, columns=names))

    def _parquet(self, filesystem, path):
        from pyarrow import parquet

        with _random_access(filesystem, path) as file:
            found = parquet.ParquetFile(file)
            wanted = {field.name.lower() for field in self.schema}
            names = [name for name in found.schema_arrow.names if name.lower() in wanted]
            yield from found.iter_batches(BATCH_ROWS, columns=names)

    def _avro(self, filesystem, path):
        import fastavro
        import pyarrow

        from millpond_job import avro

        with stream(filesystem, path) as file:
            reader = fastavro.reader(file)
            target = avro.arrow_schema(reader.writer_schema)
            records = avro.records(reader)
            while True:
                chunk = list(itertools.islice(records, BATCH_ROWS))
                if not chunk:
                    return
                yield pyarrow.RecordBatch.from_pylist(chunk, schema=target)

    def _whole(self, filesystem, path):
        import pyarrow

        with stream(filesystem, path) as file:
            text = file.read().decode("utf-8-sig", "replace")
        yield pyarrow.RecordBatch.from_pydict({"value": [text]}, schema=self.schema)

    def _csv(self, filesystem, path):
        import pyarrow
        from pyarrow import csv

        options = self.options
        quote = options.get("quoteChar", '"')
        names = [field.name for field in self.schema]
        odd = []

        def keep(row):
            # Rows with too many or too few fields are read apart, and come at the end.
            odd.append(row.text)
            return "skip"

        skip = int(options.get("skip_lines", 0))
        with stream(filesystem, path) as file:
            if _is_empty(file):
                return
            read = csv.ReadOptions(column_names=options.get("names") or names, skip_rows=skip, block_size=CSV_BLOCK_BYTES)
            parse = csv.ParseOptions(
                delimiter=options.get("separator", ","),
                quote_char=quote if quote else False,
                double_quote=bool(quote),
                escape_char=options.get("escaper") or False,
                newlines_in_values=bool(options.get("multiline")),
                invalid_row_handler=keep,
            )
            convert = csv.ConvertOptions(column_types={name: pyarrow.string() for name in (options.get("names") or names)}, strings_can_be_null=False)
            try:
                for batch in csv.open_csv(file, read, parse, convert):
                    yield batch
            except pyarrow.ArrowInvalid as error:
                # A file of nothing but its header.
                if "Empty CSV" not in str(error):
                    raise
            while odd:
                yield _odd_rows(odd[:BATCH_ROWS], options.get("names") or names, options)
                del odd[:BATCH_ROWS]


def _odd_rows(texts, names, options):
    """Rows of another number of fields: what lacks is "", what is too much is left out."""
    import csv

    import pyarrow

    quote = options.get("quoteChar", '"')
    style = {"quoting": csv.QUOTE_MINIMAL, "quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    rows = [
        next(
            csv.reader(io.StringIO(text, newline=""), delimiter=options.get("separator", ","), escapechar=options.get("escaper") or None, **style), []
        )
        for text in texts
    ]
    columns = [pyarrow.array([row[index] if index < len(row) else "" for row in rows], pyarrow.string()) for index in range(len(names))]
    return pyarrow.RecordBatch.from_arrays(columns, names=names)


def _is_empty(file):
    return not file.peek(1)


def _split(rows):
    """Batches of a table, or the batch itself."""
    return rows.to_batches(BATCH_ROWS) if hasattr(rows, "to_batches") else [rows]


def _random_access(filesystem, path):
    return filesystem.open_input_file(_located(path))


def stream(filesystem, path):
    """A buffered stream of a file's decompressed bytes."""
    return io.BufferedReader(_Raw(filesystem.open_input_stream(_located(path), compression=_compression(path), buffer_size=1 << 20)), 1 << 20)


def _compression(path):
    return next((name for suffix, name in _SUFFIXES.items() if path.lower().endswith(suffix)), None)


def whole(filesystem, path):
    """As `stream`, for who reads it to the end at once: what is not compressed comes in one request, at a third of the cost of many."""
    from contextlib import closing

    from millpond_job import storage

    if _compression(path):
        return stream(filesystem, path)
    bucket, key = storage.split(path)
    return closing(storage.client("s3").get_object(Bucket=bucket, Key=key)["Body"])


class _Raw(io.RawIOBase):
    """PyArrow's stream as one of Python's, so that it can be peeked."""

    def __init__(self, stream):
        self._from = stream

    def readable(self):
        return True

    def readinto(self, buffer):
        data = self._from.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self):
        if not self.closed:
            self._from.close()
        super().close()


def _located(path):
    from millpond_job import storage

    bucket, key = storage.split(path)
    return f"{bucket}/{key}"
