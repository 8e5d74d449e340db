"""Frames of files in S3: which files, by the run (`Source`: after the bookmark), and how each format is read.

Files are read as the listing named them. Those that share a format, a compression and a partition are one read; reads are joined by name.
"""

import json
import re

from awsglue.connections import Unsupported, csv_source, flag, listed, s3_sink
from awsglue.connections.types import quoted, spark_fields
from millpond_job import engine, readers, run, storage
from millpond_job.storage import NULL_PARTITION

FORMATS = ("csv", "json", "parquet", "glueparquet", "orc", "avro")
#: Reads that one plan joins; more partitions than that are read by one pass in Python (`millpond_job.readers`), whose plan does not grow.
READS_MAX = 64
#: How much of a JSON file is looked at for whether its lines are documents, bytes.
LOOKED_AT_BYTES = 1 << 20
_NAMES = {"glueparquet": "parquet", "parquetfile": "parquet", "tsv": "csv"}


class Source:
    """What one read has: the listing's answer, format and options, and where the columns of partitions come from."""

    def __init__(self, glue_context, answer, kind, options, name, catalog=False):
        self.context = glue_context
        self.session = glue_context.spark_session
        self.files = [_with_nulls(one) for one in answer.get("Files", []) if one.get("Size", 1) > 0]
        self.kind = _NAMES.get(kind, kind)
        self.options = options
        self.name = name
        self.catalog = catalog
        self.columns = answer.get("Columns") or []
        self.keys = answer.get("PartitionKeys") or []
        self.parameters = answer.get("Parameters") or {}
        self.serde = answer.get("SerdeParameters") or {}
        #: Whether a value that does not fit its column is NULL, as in SQL, and not a choice.
        self.lenient = False

    @property
    def key_fields(self):
        """Spark fields of the partition's columns."""
        return spark_fields(self.keys)

    @property
    def size_bytes(self):
        return sum(one.get("Size", 0) for one in self.files)


def _with_nulls(one):
    """A file whose partition has NULL where its directory has Hive's name for it."""
    values = one.get("Partition")
    return {**one, "Partition": [None if value == NULL_PARTITION else value for value in values]} if values and NULL_PARTITION in values else one


def from_options(glue_context, options, kind, format_options, transformation_ctx):
    """A DynamicFrame of `paths` (or `path`) in `options`."""
    paths = listed(options.get("paths")) or listed(options.get("path"))
    if not paths:
        raise ValueError('connection_options need "paths", a list of s3:// paths')
    for path in paths:
        storage.split(path)
    kind = _format(kind)
    answer = run.current().source(
        TransformationContext=transformation_ctx or None,
        Paths=[re.sub(r"^s3[an]://", "s3://", path) for path in paths],
        Recurse=flag(options, "recurse", kind in ("parquet", "orc")),
        Exclusions=listed(options.get("exclusions")),
        MaxFilesInBand=int(options["maxFilesInBand"]) if options.get("maxFilesInBand") else None,
    )
    source = Source(glue_context, answer, kind, dict(format_options or {}), _name_of(paths))
    if not source.files and not answer.get("BookmarkFiltered") and not any(storage.exists(path) or storage.is_glob(path) for path in paths):
        _warn(f"there are no files at {', '.join(paths)}")
    if source.kind in ("parquet", "orc"):
        _hive_partitions(source, paths)
    return _frame(source)


def from_catalog(glue_context, database, table, options, push_down_predicate, transformation_ctx):
    """A DynamicFrame of a table of the catalog."""
    answer = run.current().source(
        TransformationContext=transformation_ctx or None,
        Database=database,
        Table=table,
        PushDownPredicate=push_down_predicate or None,
        CatalogPartitionPredicate=options.get("catalogPartitionPredicate") or None,
        Exclusions=listed(options.get("exclusions")),
        Recurse=flag(options, "recurse", True),
    )
    return _frame(Source(glue_context, answer, _format_of_table(answer), {**options}, table, catalog=True))


def table(session, database, name):
    """A table as SQL sees it: columns of the catalog's types, in its order, and NULL for what does not fit."""
    from pyspark.sql import functions as F

    answer = run.current().source(Database=database, Table=name, Recurse=True)
    source = Source(_Session(session), answer, _format_of_table(answer), {}, name, catalog=True)
    source.lenient = True
    df = _frame(source).toDF()
    present = {column.lower(): column for column in df.columns}
    fields = [field for field in spark_fields(source.columns) if field.name not in {key.name for key in source.key_fields}] + source.key_fields
    columns = []
    for field in fields:
        found = present.get(field.name.lower())
        column = F.lit(None) if found is None else F.col(quoted(found))
        columns.append(column.cast(field.dataType).alias(field.name))
    return df.select(*columns)


class _Session:
    """As much of a GlueContext as sources need."""

    def __init__(self, session):
        self.spark_session = session


def _format_of_table(answer):
    """The format of a table's files: its parameter `classification`, else (tables of `saveAsTable`, of DDL) what its serialization library reads."""
    library, serde = answer.get("SerdeLibrary") or "", answer.get("SerdeParameters") or {}
    if not answer.get("Format") and "lazysimple" in library.lower() and not {"field.delim", "delimiter"} & {*serde, *answer.get("Parameters", {})}:
        # What Hive takes where a table states no separator.
        stated = serde.get("serialization.format", "1")
        answer["SerdeParameters"] = {**serde, "field.delim": "\x01" if stated == "1" else stated}
    return _format(answer.get("Format") or s3_sink.format_of({"SerdeInfo": {"SerializationLibrary": library}}))


def _format(kind):
    found = (kind or "").lower()
    if found in FORMATS or found in _NAMES:
        return found
    if found == "xml":
        raise Unsupported('the format "xml" is not supported: convert the files to JSON, CSV or Parquet first (a Python shell job can)')
    if not found:
        raise ValueError(
            f'the format of the files is not known: give format=..., one of {", ".join(FORMATS)} (or the table\'s parameter "classification")'
        )
    raise Unsupported(f'the format "{kind}" is not supported; formats are {", ".join(FORMATS)}')


def _frame(source):
    from awsglue.dynamicframe import DynamicFrame

    if not source.files:
        if source.catalog:
            from pyspark.sql.types import StructType

            empty = source.session.createDataFrame([], StructType(spark_fields(source.columns) + source.key_fields))
            return DynamicFrame.fromDF(empty, source.context, source.name)
        return DynamicFrame._empty(source.session, source.context, source.name)
    if source.kind == "csv":
        return csv_source.frame(source)
    if source.kind == "json":
        return _json(source)
    return DynamicFrame.fromDF(_columnar(source), source.context, source.name)


def _json(source):
    """Text, whose documents describe themselves."""
    from awsglue.dynamicframe import DynamicFrame

    multiline = flag(source.options, "multiline") or flag(source.options, "multiLine")
    path = source.options.get("jsonPath") or source.serde.get("paths_json") or None

    def read(files):
        reader = source.session.read
        if multiline:
            reader = reader.option("wholetext", True)
        return reader.text(locations(files))

    if multiline and engine.is_sail():
        # Sail splits texts at line ends, `wholetext` or not.
        df = readers.frame(source.session, "whole", source.files, "value string", {}, [(field.name, field.dataType) for field in source.key_fields])
    else:
        if not multiline:
            _of_lines(source.files[0]["Path"])
        df = joined(source, read)
    return DynamicFrame._from_json_text(
        df, source.context, source.name, column="value", json_path=path, keep=[field.name for field in source.key_fields]
    )


def _of_lines(path):
    """Raises ValueError where no line at the beginning of a file is a JSON document: the file is one document over several lines."""
    with readers.stream(storage.filesystem(), path) as file:
        lines = file.read(LOOKED_AT_BYTES + 1)
    lines, cut = lines[:LOOKED_AT_BYTES], len(lines) > LOOKED_AT_BYTES
    lines = lines.decode("utf-8-sig", "replace").split("\n")
    # What was cut off says nothing.
    lines = [line for line in (lines[:-1] if cut else lines) if line.strip()]
    for line in lines:
        try:
            if isinstance(json.loads(line), (dict, list)):
                return
        except ValueError:
            continue
    if lines:
        raise ValueError(f'{path}: no line of it is a JSON document; for documents over several lines give format_options={{"multiline": True}}')


def _columnar(source):
    """Parquet, ORC and Avro: the files say their columns."""
    kind = source.kind
    in_python = engine.is_sail() and kind in ("orc", "avro") or not engine.is_connect() and kind == "avro"
    if in_python or (kind == "parquet" and len(groups(source)) > READS_MAX and engine.is_sail()):
        keys = [(field.name, field.dataType) for field in source.key_fields]
        return readers.frame(source.session, kind, source.files, None, {}, keys)
    return joined(source, lambda files: source.session.read.format(kind).load(locations(files)), same=False)


def locations(files):
    """Paths as the engine reads them to the letter."""
    paths = [one["Path"] for one in files]
    if engine.is_sail():
        # The reader quotes what it is given, and takes globs for globs: these are names.
        return [_literal(path) for path in paths]
    return [re.sub(r"^s3://", "s3a://", path) if not engine.is_connect() else path for path in paths]


class _literal(str):
    """A path that is the name of one file, whatever characters it has."""


def groups(source):
    """Files by partition and compression: (partition's values or None, files)."""
    found = {}
    for one in source.files:
        suffix = one["Path"].rsplit(".", 1)[-1].lower()
        compressed = suffix if source.kind in ("csv", "json") and suffix in ("gz", "gzip", "bz2", "zst", "zstd", "xz", "lz4", "snappy") else ""
        values = tuple(one.get("Partition") or ()) if source.keys else ()
        found.setdefault((values, compressed), []).append(one)
    return [(values, files) for (values, _), files in found.items()]


def joined(source, read, same=True):
    """One DataFrame of all the groups, each by `read(files)`, with the partitions' columns. `same` says that all have the same columns."""
    from pyspark.sql import functions as F

    frames = []
    for values, files in groups(source):
        frame = read(files)
        for field, value in zip(source.key_fields, values):
            frame = frame.withColumn(field.name, F.lit(value).cast(field.dataType))
        frames.append(frame)
    keys = [field.name for field in source.key_fields]
    found = union(frames, same)
    return select_all(found, [name for name in found.columns if name not in keys] + keys) if keys else found


def union(frames, same=False):
    """Frames joined by the names of their columns, as a balanced tree: plans of a long chain are slow to analyse. What a frame lacks is NULL."""
    if len(frames) > 1 and not same:
        frames = _widened(frames)
    while len(frames) > 1:
        following = [a.union(b) for a, b in zip(frames[::2], frames[1::2])]
        frames = following + ([frames[-1]] if len(frames) % 2 else [])
    return frames[0]


def _widened(frames):
    """Frames with the columns of all, each of its type: `allowMissingColumns` leaves Sail in doubt about the types."""
    from pyspark.sql import functions as F

    fields = {}
    for frame in frames:
        for field in frame.schema.fields:
            fields.setdefault(field.name, field.dataType)
    made = []
    for frame in frames:
        # By their place: names that differ in case only are one column to engines.
        places = {name: f"_millpond_field{index}" for index, name in enumerate(frame.columns)}
        held = frame.toDF(*places.values())
        made.append(held.select(*[(F.col(places[name]) if name in places else F.lit(None).cast(kind)).alias(name) for name, kind in fields.items()]))
    return made


def _hive_partitions(source, paths):
    """Partitions by directories `key=value` below the paths, as Spark finds them: a column is of whole numbers where all its values are."""
    roots = sorted((re.sub(r"^s3[an]://", "s3://", path).rstrip("/") + "/" for path in paths), key=len, reverse=True)
    found = []
    for one in source.files:
        root = next((root for root in roots if one["Path"].startswith(root)), None)
        below = one["Path"][len(root) :].split("/")[:-1] if root else []
        found.append([part.split("=", 1) for part in below if "=" in part])
    names = [name for name, _ in found[0]] if found else []
    if not names or any([name for name, _ in parts] != names for parts in found):
        return
    from urllib.parse import unquote

    values = [[None if value == NULL_PARTITION else unquote(value) for _, value in parts] for parts in found]
    kinds = []
    for index in range(len(names)):
        given = [row[index] for row in values if row[index] is not None]
        whole = given and all(re.fullmatch(r"-?(0|[1-9]\d*)", value) for value in given)
        kinds.append(
            "string"
            if not whole
            else "int"
            if all(abs(int(value)) < 2**31 for value in given)
            else "bigint"
            if all(abs(int(value)) < 2**63 for value in given)
            else "string"
        )
    source.keys = [{"Name": name, "Type": kind} for name, kind in zip(names, kinds)]
    for one, row in zip(source.files, values):
        one["Partition"] = row


def _name_of(paths):
    import os

    return re.sub(r"[:/.]", "", os.path.commonprefix(paths).split(":")[-1])


def _warn(text):
    import sys

    sys.stderr.write(f"WARNING: {text}\n")


def select_all(frame, names):
    """The named columns of a frame, quoted."""
    return frame.select(*[quoted(name) for name in names])
