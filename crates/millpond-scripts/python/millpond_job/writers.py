"""Writers in Python, for formats that the engine cannot write: ORC and Avro on Sail. Rows come as a stream of Arrow batches; memory holds one batch."""

import uuid

#: Rows of one file, after which the next is begun.
FILE_ROWS = 5_000_000
#: Files that are open at once where a write has partitions; more partitions than that are written in several files each.
OPEN_FILES_MAX = 64


def batches(frame):
    """The rows of a frame as Arrow record batches, as they come."""
    if hasattr(frame, "_plan"):
        client = frame.sparkSession.client
        for part in client.to_table_as_iterator(frame._plan.to_proto(client), {}):
            if hasattr(part, "to_batches"):
                yield from (batch for batch in part.to_batches() if batch.num_rows)
        return
    import pyarrow
    from pyspark.sql.pandas.types import to_arrow_schema

    schema = to_arrow_schema(frame.schema)
    chunk = []
    for row in frame.toLocalIterator(prefetchPartitions=True):
        chunk.append(row.asDict(recursive=True))
        if len(chunk) == 8192:
            yield pyarrow.RecordBatch.from_pylist(chunk, schema=schema)
            chunk = []
    if chunk:
        yield pyarrow.RecordBatch.from_pylist(chunk, schema=schema)


def save(frame, target, kind, mode="append", keys=(), options=None):
    """Writes a frame as files below `target` (`s3://bucket/prefix`).

    `mode` is Spark's (`error`, `errorifexists`, `append`, `ignore`; for `overwrite` see `millpond_job.overwrites`); `keys` become directories `key=value`; `options["compression"]` is the format's codec.
    """
    from millpond_job import sail, storage

    base = target.rstrip("/") + "/"
    mode = (mode or "error").lower()
    if mode in ("error", "errorifexists", "default", "ignore") and storage.exists(base):
        if mode == "ignore":
            return
        from pyspark.errors import AnalysisException

        raise AnalysisException(f'[PATH_ALREADY_EXISTS] Path {target} already exists. Set mode as "overwrite" to overwrite the existing path.')
    if keys:
        frame = sail.named_partitions(frame, list(keys))
    options = dict(options or {})
    codec = str(options.get("compression") or ("none" if kind == "csv" else "snappy")).lower()
    filesystem = storage.filesystem()
    with _Files(filesystem, base, kind, codec, list(keys), options) as files:
        for batch in batches(frame):
            files.write(batch)


class _Files:
    def __init__(self, filesystem, base, kind, codec, keys, options):
        self.filesystem, self.base, self.kind, self.codec, self.keys, self.options = filesystem, base, kind, codec, keys, options
        self.run = uuid.uuid4().hex[:16]
        self.number = 0
        self.open = {}

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for file in self.open.values():
            file.close(abandon=kind is not None)

    def write(self, batch):
        import pyarrow
        import pyarrow.compute as pc

        from millpond_job import sail

        if not self.keys:
            self._file("", batch.schema).write(batch)
            return
        table = pyarrow.Table.from_batches([batch])
        data = table.drop_columns(self.keys)
        directories = table.select(self.keys).to_pylist()
        names = ["/".join(sail.directory(key, row[key]) for key in self.keys) + "/" for row in directories]
        encoded = pyarrow.array(names).dictionary_encode()
        for index, name in enumerate(encoded.dictionary.to_pylist()):
            rows = data.filter(pc.equal(encoded.indices, index)).combine_chunks()
            for part in rows.to_batches():
                self._file(name, part.schema).write(part)

    def _file(self, directory, schema):
        file = self.open.get(directory)
        if file is not None and file.rows < FILE_ROWS:
            return file
        if file is not None:
            self.open.pop(directory).close()
        if len(self.open) >= OPEN_FILES_MAX:
            oldest = next(iter(self.open))
            self.open.pop(oldest).close()
        from millpond_job import storage

        bucket, prefix = storage.split(self.base)
        path = f"{bucket}/{prefix}{directory}run-{self.run}-part-r-{self.number:05}.{self.kind}"
        self.number += 1
        file = self.open[directory] = _KINDS[self.kind](self.filesystem.open_output_stream(path, compression=None), schema, self.codec, self.options)
        return file


class _Orc:
    def __init__(self, stream, schema, codec, options):
        from pyarrow import orc

        self.stream, self.rows = stream, 0
        codec = {"none": "uncompressed", "gzip": "zlib"}.get(codec, codec)
        self.writer = orc.ORCWriter(stream, compression=codec)

    def write(self, batch):
        import pyarrow

        self.writer.write(pyarrow.Table.from_batches([batch]))
        self.rows += batch.num_rows

    def close(self, abandon=False):
        self.writer.close()
        self.stream.close()


class _Avro:
    def __init__(self, stream, schema, codec, options):
        from fastavro.write import Writer

        from millpond_job import avro

        self.stream, self.schema, self.rows = stream, schema, 0
        codec = {"uncompressed": "null", "none": "null", "gzip": "deflate", "zstd": "zstandard", "bzip2": "bzip2", "snappy": "deflate"}.get(
            codec, codec
        )
        self.writer = Writer(_Flushing(stream), avro.writer_schema(schema), codec=codec)

    def write(self, batch):
        from millpond_job import avro

        for row in batch.to_pylist():
            self.writer.write({field.name: avro.plain(row[field.name], field.type) for field in self.schema})
        self.rows += batch.num_rows

    def close(self, abandon=False):
        self.writer.flush()
        self.stream.close()


class _Csv:
    """CSV without quotes, which engines of Arrow cannot write."""

    def __init__(self, stream, schema, codec, options):
        import pyarrow
        from pyarrow import csv

        if codec not in ("none", "uncompressed", "gzip"):
            raise ValueError(f"CSV without quotes is written plain or with gzip, not {codec}")
        self.rows = 0
        self.stream = stream
        self.out = pyarrow.CompressedOutputStream(stream, "gzip") if codec == "gzip" else stream
        header = str(options.get("writeHeader", True)).lower() != "false"
        self.separator = options.get("separator", ",")
        style = csv.WriteOptions(include_header=False, delimiter=self.separator, quoting_style="none")
        self.schema = pyarrow.schema([pyarrow.field(field.name, pyarrow.string()) for field in schema])
        if header:
            self.out.write((self.separator.join(schema.names) + "\n").encode())
        self.writer = csv.CSVWriter(self.out, self.schema, write_options=style)

    def write(self, batch):
        self.writer.write(batch.cast(self.schema))
        self.rows += batch.num_rows

    def close(self, abandon=False):
        self.writer.close()
        self.out.close()
        if not self.stream.closed:
            self.stream.close()


class _Flushing:
    """PyArrow's output stream as fastavro writes to one."""

    def __init__(self, stream):
        self._to = stream

    def write(self, data):
        self._to.write(data)
        return len(data)

    def seekable(self):
        return False

    def flush(self):
        """The stream sends what it has when it is full or closed."""


_KINDS = {"orc": _Orc, "avro": _Avro, "csv": _Csv}
