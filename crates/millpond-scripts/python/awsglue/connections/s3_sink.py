"""Writes frames to S3, and what the catalog is to know of it.

The engine writes where it can. Files are added to what is there (Glue never overwrites); with the end of the run they become visible.
"""

import re

from awsglue.connections import Unsupported, flag, listed
from awsglue.connections.types import hive_type, quoted
from millpond_job import engine, run, storage, writers

FORMATS = ("csv", "json", "parquet", "glueparquet", "orc", "avro")
_CODECS = {
    "parquet": {
        "snappy": "snappy",
        "gzip": "gzip",
        "none": "uncompressed",
        "uncompressed": "uncompressed",
        "zstd": "zstd",
        "lz4": "lz4",
        "brotli": "brotli",
    },
    "text": {"gzip": "gzip", "bzip2": "bzip2", "none": "none", "uncompressed": "none"},
}


def write(df, options, kind, format_options):
    """Writes a DataFrame below `options["path"]`; answers (path, format, partition keys). Nothing is written of a frame without columns.

    Raises ValueError for a path, a format or partition keys that are wrong.
    """
    kind = (kind or "").lower()
    if kind not in FORMATS:
        if kind == "xml":
            raise Unsupported('the format "xml" can be read and written by Python shell jobs only')
        raise ValueError(f"the format {kind or 'of the target'!r} is not known; formats are {', '.join(FORMATS)}")
    kind = "parquet" if kind == "glueparquet" else kind
    path = options.get("path") or (listed(options.get("paths")) or [None])[0]
    if not path:
        raise ValueError('connection_options need "path", an s3:// path to write to')
    storage.split(path)
    path = path.rstrip("/") + "/"
    keys = listed(options.get("partitionKeys"))
    if not df.columns:
        return path, kind, keys
    missing = [key for key in keys if key not in df.columns]
    if missing:
        raise ValueError(f"partitionKeys names {', '.join(missing)}, which the frame does not have; its columns are {', '.join(df.columns)}")
    if len(keys) == len(df.columns):
        raise ValueError("partitionKeys name all columns; at least one must be left for the files")
    df = _writable(df, kind)
    _save(df, path, kind, keys, options, dict(format_options or {}))
    return path, kind, keys


def _writable(df, kind):
    """Columns without a type become text, and in CSV columns with parts become JSON."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import ArrayType, MapType, NullType, StructType

    columns = []
    for field in df.schema.fields:
        column = F.col(quoted(field.name))
        if isinstance(field.dataType, NullType):
            column = column.cast("string")
        elif kind == "csv" and isinstance(field.dataType, (ArrayType, MapType, StructType)):
            column = F.to_json(column)
        columns.append(column.alias(field.name))
    return df.select(*columns)


def _save(df, path, kind, keys, options, format_options):
    codec = format_options.get("compression") or options.get("compression") or ("snappy" if kind in ("parquet", "orc", "avro") else "none")
    unquoted = kind == "csv" and str(format_options.get("quoteChar", '"')) == "-1"
    in_python = kind == "orc" and engine.is_sail() or kind == "avro" and not engine.name().startswith("sc://")
    if in_python or (unquoted and engine.is_connect()):
        writers.save(df, path, kind, "append", keys, {**format_options, "compression": codec})
        return
    codecs = _CODECS["parquet" if kind in ("parquet", "orc", "avro") else "text"]
    if codec.lower() not in codecs:
        raise ValueError(f"the compression {codec!r} is not supported for {kind}; there are {', '.join(sorted(codecs))}")
    codec = codecs[codec.lower()]
    if engine.is_sail() and kind == "parquet":
        codec = {"gzip": "gzip(6)", "zstd": "zstd(3)", "brotli": "brotli(4)"}.get(codec, codec)
    writer = df.write.mode("append").format(kind)
    if codec != "none":
        writer = writer.option("compression", codec)
    if kind == "csv":
        writer = writer.option("header", flag(format_options, "writeHeader", True)).option("sep", format_options.get("separator", ","))
        quote = str(format_options.get("quoteChar", '"'))
        writer = writer.option("quote", "\u0000" if quote == "-1" else quote)
        if not engine.is_sail():
            writer = writer.option("escape", format_options.get("escaper") or '"').option("emptyValue", "")
    if keys:
        writer = writer.partitionBy(*keys)
    writer.save(path if engine.is_connect() else re.sub(r"^s3n?://", "s3a://", path))


def update_catalog(df, path, kind, keys, database, table, behavior, format_options):
    """Registers what was written: the table is made where it is missing, columns are added (`UPDATE_IN_DATABASE`), partitions too.

    Takes effect with the end of the run; outside of a run at once.
    """
    if behavior not in ("UPDATE_IN_DATABASE", "LOG"):
        raise ValueError(f'updateBehavior {behavior!r} is neither "UPDATE_IN_DATABASE" nor "LOG"')
    types = {field.name: hive_type(field.dataType) for field in df.schema.fields}
    serde = {}
    if kind == "csv":
        serde = {"field.delim": (format_options or {}).get("separator", ",")}
        if str((format_options or {}).get("quoteChar", '"')) != "-1":
            serde["quote.delim"] = (format_options or {}).get("quoteChar", '"')
        if flag(format_options or {}, "writeHeader", True):
            serde["skip.header.line.count"] = "1"
    run.current().update_table(
        Database=database,
        Table=table,
        Columns=[{"Name": name.lower(), "Type": kind_} for name, kind_ in types.items() if name not in keys],
        # Names of directories are text; a column of whole numbers or dates keeps its type in the catalog.
        PartitionKeys=[
            {"Name": key.lower(), "Type": types[key] if types[key] in ("int", "bigint", "smallint", "tinyint", "date") else "string"} for key in keys
        ],
        Partitions=partitions(path, keys) if keys else [],
        Location=path,
        Format=kind,
        SerdeParameters=serde,
        Behavior=behavior,
        Create=True,
    )


def partitions(path, keys):
    """Partitions that have files below a path: {Values, Location}."""
    from urllib.parse import unquote

    bucket, prefix = storage.split(path)
    found = {}
    for contents, _ in storage.pages(bucket, prefix):
        for entry in contents:
            parts = entry["Key"][len(prefix) :].split("/")[:-1]
            pairs = [part.split("=", 1) for part in parts]
            if [pair[0] for pair in pairs] == list(keys):
                found.setdefault("/".join(parts), [unquote(pair[1]) for pair in pairs])
    return [{"Values": values, "Location": f"{path}{directory}/"} for directory, values in sorted(found.items())]


def catalog_target(database, table):
    """(path, format, partition keys, format options) of a table of the catalog.

    Raises EntityNotFoundException (boto3's) where there is none, ValueError where it has no place in S3.
    """
    found = storage.client("glue").get_table(DatabaseName=database, Name=table)["Table"]
    descriptor = found.get("StorageDescriptor", {})
    location = descriptor.get("Location") or ""
    if not re.match(r"^s3[an]?://", location):
        raise ValueError(
            f'the table {database}.{table} has no location in S3 ({location!r}); a table of DynamoDB is written by connection_type="dynamodb"'
        )
    parameters = {**descriptor.get("SerdeInfo", {}).get("Parameters", {}), **descriptor.get("Parameters", {}), **found.get("Parameters", {})}
    kind = (parameters.get("classification") or format_of(descriptor)).lower()
    options = {}
    if kind == "csv":
        options["separator"] = parameters.get("field.delim") or parameters.get("separatorChar") or parameters.get("delimiter") or ","
        options["writeHeader"] = parameters.get("skip.header.line.count", "0") != "0"
    return location, kind, [key["Name"] for key in found.get("PartitionKeys", [])], options


def format_of(descriptor):
    """The format that a table's serialization library stands for, or ""."""
    library = (descriptor.get("SerdeInfo", {}).get("SerializationLibrary") or "").lower()
    for part, kind in (("parquet", "parquet"), ("orc", "orc"), ("avro", "avro"), ("json", "json"), ("csv", "csv"), ("lazysimple", "csv")):
        if part in library:
            return kind
    return ""
