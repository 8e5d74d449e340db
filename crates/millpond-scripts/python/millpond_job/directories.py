"""Partition columns of directories `key=value`, as plain Spark reads them: NULL where a directory is Hive's for NULL, which Sail reads as a text."""

import re

from millpond_job import storage
from millpond_job.storage import NULL_PARTITION

#: Pages of a listing, of a thousand files each, that are looked at.
PAGES_MAX = 20


def keys_of(paths):
    """Partition columns below the paths in their order: {name: (whether a directory is NULL's, "int", "bigint" or "string" by the others' values)}."""
    values, whole = {}, True
    for path in paths:
        if not path.startswith(("s3://", "s3a://", "s3n://")):
            continue
        bucket, prefix = storage.split(storage.unquoted(path))
        below = prefix.rstrip("/") + "/" if prefix else ""
        for number, (contents, _) in enumerate(storage.pages(bucket, below)):
            if number == PAGES_MAX:
                whole = False
                break
            for entry in contents:
                for part in entry["Key"][len(below) :].split("/")[:-1]:
                    name, equals, value = part.partition("=")
                    if equals:
                        values.setdefault(name, set()).add(value)
    return {name: (NULL_PARTITION in found, _type_of(found - {NULL_PARTITION}) if whole else "string") for name, found in values.items()}


def _type_of(values):
    if not values or not all(re.fullmatch(r"-?(0|[1-9]\d{0,17})", value) for value in values):
        return "string"
    return "int" if all(abs(int(value)) < 2**31 for value in values) else "bigint"


def with_nulls(frame, keys, stated=False):
    """The frame with NULL in partition columns where Sail has Hive's name for it; a column of whole numbers but for that is one, as in Spark."""
    from pyspark.sql import functions as F

    nulls = {name: "string" if stated else kind for name, (has_null, kind) in keys.items() if has_null}
    if not nulls:
        return frame
    types = dict(frame.dtypes)
    columns = []
    for name in frame.columns:
        column = F.col("`" + name.replace("`", "``") + "`")
        if name in nulls and types[name] == "string":
            column = F.when(column != NULL_PARTITION, column).cast(nulls[name]).alias(name)
        columns.append(column)
    return frame.select(*columns)
