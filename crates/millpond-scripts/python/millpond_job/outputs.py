"""What Spark leaves behind after a write and Sail does not: files named `part-…`, and partitions of tables in the catalog."""

import os
import re
import uuid
from concurrent.futures import ThreadPoolExecutor

from millpond_job import engine, storage

#: Objects above this size, bytes, are not copied in one request (S3's limit for CopyObject).
COPY_BYTES_MAX = 5 << 30
#: Files that are renamed at once.
RENAMES_AT_ONCE = 16
#: Names that Sail gives to files of a write: its own number, and the task's where there are several.
_MADE = re.compile(r"[A-Za-z0-9]{16}(?:_(\d+))?(\.(?:.*\.)?(?:parquet|csv|json|txt|text)(?:\.\w+)?)\Z")


def made_by_sail(target):
    """Keys of files below a target that have names of Sail's."""
    bucket, prefix = storage.split(target.rstrip("/") + "/")
    return {
        entry["Key"]: entry["Size"] for contents, _ in storage.pages(bucket, prefix) for entry in contents if _MADE.match(os.path.basename(entry["Key"]))
    }


def rename(target, before):
    """Gives the files that Sail just made below a target names of Spark's; `before` are the keys that were there.

    A file is copied, then deleted, by the run's own session; scripts look for `part-`, and see nothing else.
    """
    bucket, _ = storage.split(target)
    write = uuid.uuid4()

    made = sorted((key, size) for key, size in made_by_sail(target).items() if key not in before)
    moves = []
    for number, (key, size) in enumerate(made):
        directory, name = os.path.split(key)
        mark = "." if re.search(r"(^|/)[^/=]+=[^/]*$", directory) else "-"
        moves.append((key, size, f"{directory}/part-{number:05}-{write}{mark}c000{_MADE.match(name).group(2)}".lstrip("/")))
    _move(bucket, moves)


def _move(bucket, moves):
    """Moves objects: (key, size, new key)."""
    s3 = storage.client("s3")

    def one(move):
        key, size, to = move
        source = {"Bucket": bucket, "Key": key}
        if size < COPY_BYTES_MAX:
            s3.copy_object(Bucket=bucket, Key=to, CopySource=source)
        else:
            s3.copy(source, bucket, to)
        s3.delete_object(**source)

    with ThreadPoolExecutor(RENAMES_AT_ONCE) as pool:
        list(pool.map(one, moves))


def _name_nulls(location, keys):
    """Inserts of Sail's leave the name of NULL's directory empty (`key=`): it gets Spark's."""
    bucket, prefix = storage.split(location)
    empty = {f"{key}=": f"{key}={storage.NULL_PARTITION}" for key in keys}
    moves = []
    for contents, _ in storage.pages(bucket, prefix):
        for entry in contents:
            parts = entry["Key"][len(prefix) :].split("/")
            if any(part in empty for part in parts[:-1]):
                moves.append((entry["Key"], entry["Size"], prefix + "/".join([*(empty.get(part, part) for part in parts[:-1]), parts[-1]])))
    _move(bucket, moves)


def is_in_s3(target):
    """Whether a target is one whose files can be renamed."""
    return bool(target) and target.startswith(("s3://", "s3a://", "s3n://"))


def found_table(name):
    """The table of the catalog that a name in SQL stands for, as Glue describes it, or None."""
    database, table = storage.table_of(name, engine.session().catalog.currentDatabase())
    glue = storage.client("glue")
    try:
        return glue.get_table(DatabaseName=database, Name=table)["Table"]
    except glue.exceptions.EntityNotFoundException:
        return None


def is_lakehouse(found):
    """Whether a table has a log of its own of which files it is made of."""
    parameters = {key.lower(): str(value).lower() for key, value in found.get("Parameters", {}).items()}
    return bool({parameters.get("table_type"), parameters.get("spark.sql.sources.provider")} & {"iceberg", "delta"})


def some_partitions(found):
    """(values, location, whether that is by name: `key=value/` below the table's) of a table's first partitions; crawlers and people do it all in one way."""
    keys = [key["Name"].lower() for key in found.get("PartitionKeys", [])]
    if not keys:
        return
    base = (found.get("StorageDescriptor", {}).get("Location") or "").rstrip("/") + "/"
    page = storage.client("glue").get_partitions(DatabaseName=found["DatabaseName"], TableName=found["Name"], MaxResults=50)
    for one in page["Partitions"]:
        location = one["StorageDescriptor"].get("Location") or ""
        directories = location[len(base) :].strip("/").split("/") if location.startswith(base) else []
        yield one["Values"], location, [part.split("=", 1)[0].lower() for part in directories if "=" in part] == keys


def insertable(name):
    """Raises AnalysisException for a table whose partitions lie elsewhere than where an insert writes: what they have would no longer be of the table."""
    found = found_table(name)
    odd = next((location for _, location, is_by_name in some_partitions(found or {}) if not is_by_name), None)
    if odd:
        from pyspark.errors import AnalysisException

        keys = "/".join(f"{key['Name']}=…" for key in found["PartitionKeys"])
        raise AnalysisException(
            f"The partitions of the table {name} do not lie in directories {keys}/ below its location (one is at {odd}), where an insert writes: "
            "write the rows to their place in S3 instead, or register the partitions anew."
        )


def placed(name):
    """Raises AnalysisException for a table that would be made in a database without a place in S3: its files would be lost with this process."""
    if found_table(name) is not None:
        return
    database, table = storage.table_of(name, engine.session().catalog.currentDatabase())
    glue = storage.client("glue")
    try:
        location = glue.get_database(Name=database)["Database"].get("LocationUri")
    except glue.exceptions.EntityNotFoundException:
        return
    if not location:
        from pyspark.errors import AnalysisException

        raise AnalysisException(
            f"The database {database} has no LocationUri, so there is no place for the table {table}: "
            f'give one, .option("path", "s3://…").saveAsTable("{database}.{table}"), or set the database\'s LocationUri.'
        )


def register_partitions(name):
    """Puts the partitions that have files below a table's location into the catalog, with the end of the run; Sail writes their files only."""
    from awsglue.connections import s3_sink
    from millpond_job import run

    found = found_table(name) or {}
    descriptor = found.get("StorageDescriptor", {})
    location, keys = descriptor.get("Location") or "", found.get("PartitionKeys", [])
    if not keys or not is_in_s3(location) or is_lakehouse(found):
        return
    kind = (found.get("Parameters", {}).get("classification") or s3_sink.format_of(descriptor) or "parquet").lower()
    location = re.sub(r"^s3[an]://", "s3://", location).rstrip("/") + "/"
    _name_nulls(location, [key["Name"] for key in keys])
    run.current().update_table(
        Database=found["DatabaseName"],
        Table=found["Name"],
        Columns=descriptor.get("Columns", []),
        PartitionKeys=keys,
        Partitions=s3_sink.partitions(location, [key["Name"] for key in keys]),
        Location=location,
        Format=kind,
        SerdeParameters=descriptor.get("SerdeInfo", {}).get("Parameters", {}),
        Behavior="UPDATE_IN_DATABASE",
        Create=False,
    )
