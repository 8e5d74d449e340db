"""Overwrites: what was there goes when what takes its place is written, so that a write may read what it replaces, and a write that fails replaces nothing.

Spark, "Generic Load/Save Functions" (save modes) and `spark.sql.sources.partitionOverwriteMode`: `static` replaces all of a target, `dynamic` the partitions that
the write has rows for. `saveAsTable` replaces all of a table, its columns too, whatever the mode.
"""

import contextlib
import re
import threading
from urllib.parse import unquote

from millpond_job import outputs, run, storage

#: Formats of a table's files that are written by `save`.
FORMATS = ("parquet", "csv", "json", "text", "orc", "avro")


def is_dynamic(session, options):
    """Whether an overwrite replaces partitions only: by the writer's own options, else by the session's setting."""
    given = next((value for key, value in options.items() if key.lower() == "partitionoverwritemode"), None)
    return str(given or session.conf.get("spark.sql.sources.partitionOverwriteMode", "static")).lower() == "dynamic"


#: Which files a write made is told by what is new below its target: writes of a script's threads come one after the other.
_writing = threading.RLock()


@contextlib.contextmanager
def whole(target):
    """The block writes below a target, alone; where it raises, what it wrote goes. Gives the keys that were there before."""
    base = target.rstrip("/") + "/"
    bucket, _ = storage.split(base)
    with _writing:
        before = set(storage.keys_below(base))
        try:
            yield before
        except BaseException:
            storage.delete(bucket, sorted(set(storage.keys_below(base)) - before))
            raise


@contextlib.contextmanager
def replacing(target, keys=0):
    """The block writes below a target; what lay there before is deleted after it. With `keys`, the number of partition columns, only in directories of
    partitions that the block wrote to. Where the block raises, all stays as it was."""
    base = target.rstrip("/") + "/"
    bucket, prefix = storage.split(base)
    with whole(target) as before:
        yield
        gone = before
        if keys:
            written = {_partition(key[len(prefix) :], keys) for key in storage.keys_below(base) if key not in before}
            gone = {key for key in before if _partition(key[len(prefix) :], keys) in written}
    storage.delete(bucket, sorted(gone))


def _partition(below, keys):
    """The partition that a file is of, by the names of its directories: engines differ in which characters they escape there, and in NULL's name."""
    pairs = (part.partition("=") for part in below.split("/")[:-1][:keys])
    return tuple((name, unquote(value) or storage.NULL_PARTITION) for name, _, value in pairs)


def insertion(session, name, options, overwrite):
    """A context in which an insert appends whole or not at all, and takes the place of one that overwrites; None where the engine has to do that by itself."""
    found = outputs.found_table(name)
    if not is_of_files(found):
        return None
    if not overwrite:
        return whole(_location(found))
    return replacing(_location(found), len(found.get("PartitionKeys", [])) if is_dynamic(session, options) else 0)


def is_of_files(found):
    """Whether a table (or None) is what lies below a location in S3."""
    return found is not None and outputs.is_in_s3(_location(found)) and not outputs.is_lakehouse(found)


def _location(found):
    return re.sub(r"^s3[an]://", "s3://", found.get("StorageDescriptor", {}).get("Location") or "")


def save_table(writer, frame, found, save):
    """`saveAsTable` over a table that there is (`found`, of files): its files are replaced by `save(location)`, then its definition where that differs.

    The definition acts at once, as all of the catalog; where the run fails later, the old one is put back.
    """
    kind, keys = (writer._write.source or "parquet").lower(), list(writer._write.partitioning_cols)
    location = writer._write.options.get("path") or _location(found)
    with replacing(location):
        save(location)
    wanted = _definition(found, frame, location, kind, keys, writer._write.options)
    if wanted != _input(found):
        _redefine(found, wanted)


#: What of a table's description its definition is made of (Glue API, TableInput).
_OWN = ("Name", "Description", "Owner", "Retention", "TableType", "Parameters", "PartitionKeys", "StorageDescriptor")


def _input(found):
    return {name: found[name] for name in _OWN if name in found}


def _definition(found, frame, location, kind, keys, options):
    """The definition of a table with a frame's columns: that which it has, as far as nothing of it changes."""
    from awsglue.connections.s3_sink import format_of
    from awsglue.connections.types import hive_type
    from millpond_job.local import HADOOP

    made = _input(found)
    descriptor = {**made["StorageDescriptor"]}
    parameters = {**made.get("Parameters", {})}
    types = {field.name.lower(): hive_type(field.dataType) for field in frame.schema.fields}
    lower = [key.lower() for key in keys]
    columns = [{"Name": name, "Type": kind_} for name, kind_ in types.items() if name not in lower]
    if _pairs(columns) != _pairs(descriptor.get("Columns", [])):
        descriptor["Columns"] = columns
        # Spark's own description of the old columns.
        parameters = {name: value for name, value in parameters.items() if not name.startswith("spark.sql.sources.schema")}
    if location.rstrip("/") != (descriptor.get("Location") or "").rstrip("/"):
        descriptor["Location"] = location
    if kind in HADOOP and kind != format_of(descriptor):
        reads, writes, library = HADOOP[kind]
        descriptor.update(InputFormat=reads, OutputFormat=writes, SerdeInfo={"SerializationLibrary": library})
        parameters = {name: value for name, value in parameters.items() if not name.startswith(("spark.sql.sources.", "option."))}
        parameters["classification"] = kind
    if kind == "csv":
        parameters.update({f"option.{name.lower()}": str(value) for name, value in options.items() if name.lower() in ("header", "sep", "delimiter")})
    if lower != [key["Name"].lower() for key in made.get("PartitionKeys", [])]:
        # The names of directories are text.
        made["PartitionKeys"] = [{"Name": key, "Type": "string"} for key in lower]
    made["StorageDescriptor"] = descriptor
    if parameters or "Parameters" in made:
        made["Parameters"] = parameters
    return made


def _pairs(columns):
    return [(column["Name"].lower(), column.get("Type", "string").replace(" ", "").lower()) for column in columns]


def _redefine(found, wanted):
    """Puts another definition in the place of a table's, and sees to it that a run that fails puts the old one back."""
    glue = storage.client("glue")
    old, database, table = _input(found), found["DatabaseName"], found["Name"]

    def put(definition, there):
        if there is not None and there.get("PartitionKeys", []) == definition.get("PartitionKeys", []):
            glue.update_table(DatabaseName=database, TableInput=definition)
            return
        # Partitions of other columns are none of this table: they go with it.
        if there is not None:
            glue.delete_table(DatabaseName=database, Name=table)
        glue.create_table(DatabaseName=database, TableInput=definition)

    partitions = []
    if old.get("PartitionKeys", []) != wanted.get("PartitionKeys", []):
        pages = glue.get_paginator("get_partitions").paginate(DatabaseName=database, TableName=table)
        partitions = [{name: one[name] for name in ("Values", "StorageDescriptor", "Parameters") if name in one} for page in pages for one in page["Partitions"]]

    def restore():
        put(old, outputs.found_table(f"`{database}`.`{table}`"))
        for start in range(0, len(partitions), 100):
            glue.batch_create_partition(DatabaseName=database, TableName=table, PartitionInputList=partitions[start : start + 100])

    run.undo_on_failure(restore)
    put(wanted, found)
