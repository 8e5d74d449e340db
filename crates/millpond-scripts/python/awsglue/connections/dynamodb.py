"""Frames of DynamoDB's items, and frames as items.

Reading is a parallel Scan whose items are written to disk as JSON lines: items describe themselves, and a table need not fit in memory. Writing gives the
rows to the run as Parquet; they become items with the end of the run (`LoadItems`). Outside of a run they are put at once.
"""

import base64
import json
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from awsglue.connections import flag
from awsglue.connections.types import quoted
from millpond_job import engine, run, storage, writers

#: Segments of a Scan where `dynamodb.splits` says nothing, and at most.
SEGMENTS = 4
SEGMENTS_MAX = 16


def read(glue_context, options, name=""):
    """A DynamicFrame of a table: `dynamodb.input.tableName`, or `dynamodb.tableArn` with `dynamodb.export`."""
    from awsglue.dynamicframe import DynamicFrame

    export = options.get("dynamodb.export")
    table = options.get("dynamodb.input.tableName") or (options.get("dynamodb.tableArn") or "").rsplit("/", 1)[-1]
    if not table:
        raise ValueError('connection_options need "dynamodb.input.tableName"')
    plain = not export or flag(options, "dynamodb.unnestDDBJson") or flag(options, "dynamodb.simplifyDDBJson")
    storage.client("dynamodb").describe_table(TableName=table)
    segments = max(1, min(int(options.get("dynamodb.splits") or SEGMENTS), SEGMENTS_MAX))
    directory = os.path.join(engine.scratch(), f"items-{uuid.uuid4().hex}")
    os.makedirs(directory)
    with ThreadPoolExecutor(segments) as pool:
        counts = list(
            pool.map(lambda segment: _scan(table, segment, segments, os.path.join(directory, f"{segment:03}.json"), plain), range(segments))
        )
    if not sum(counts):
        return DynamicFrame._empty(glue_context.spark_session, glue_context, name or table)
    text = glue_context.spark_session.read.text(_readable(directory))
    return DynamicFrame._from_json_text(text, glue_context, name or table, column="value")


def _scan(table, segment, segments, path, plain):
    """Writes a segment's items as JSON lines; answers how many there are."""
    count = 0
    with open(path, "w", encoding="utf-8") as file:
        pages = storage.client("dynamodb").get_paginator("scan").paginate(TableName=table, Segment=segment, TotalSegments=segments)
        for page in pages:
            for item in page["Items"]:
                record = (
                    {name: _plain(value) for name, value in item.items()}
                    if plain
                    else {"Item": {name: _typed(value) for name, value in item.items()}}
                )
                file.write(json.dumps(record, ensure_ascii=False))
                file.write("\n")
                count += 1
    if not count:
        os.unlink(path)
    return count


def _plain(value):
    """The value of an attribute: a number is whole where it can be, a set is a list, bytes are base64."""
    (kind, content), *_ = value.items()
    if kind == "N":
        return _number(content)
    if kind == "NULL":
        return None
    if kind == "M":
        return {name: _plain(one) for name, one in content.items()}
    if kind == "L":
        return [_plain(one) for one in content]
    if kind == "NS":
        return [_number(one) for one in content]
    if kind == "B":
        return base64.b64encode(content).decode()
    if kind == "BS":
        return [base64.b64encode(one).decode() for one in content]
    return content


def _typed(value):
    """DynamoDB's own JSON, as an export has it."""
    (kind, content), *_ = value.items()
    if kind == "M":
        return {"M": {name: _typed(one) for name, one in content.items()}}
    if kind == "L":
        return {"L": [_typed(one) for one in content]}
    if kind == "B":
        return {"B": base64.b64encode(content).decode()}
    if kind == "BS":
        return {"BS": [base64.b64encode(one).decode() for one in content]}
    return {kind: content}


def _number(text):
    """Whole numbers keep all their digits (beyond 64 bits they become decimals); others are doubles, as with AWS, which have 15 to 17."""
    exact = Decimal(text)
    return int(exact) if exact == exact.to_integral_value() else float(text)


def _readable(directory):
    """The files as the engine reads them: by their path, or from S3 where the engine is elsewhere."""
    if not engine.name().startswith("sc://"):
        return f"file://{directory}"
    target = f"{temp_prefix()}items/{uuid.uuid4().hex}/"
    bucket, prefix = storage.split(target)
    for name in os.listdir(directory):
        storage.client("s3").upload_file(os.path.join(directory, name), bucket, prefix + name)
    return target


def temp_prefix():
    """Where the run may put files in S3 for a while. Raises ValueError where the job has no `--TempDir`."""
    found = run.current().describe().get("TempDir")
    if not found:
        raise ValueError("the job has no --TempDir, an s3:// path for files that are needed for a while: give it in the job's arguments")
    return found.rstrip("/") + "/"


def write(df, options):
    """Writes a DataFrame's rows as items of `dynamodb.output.tableName`: text is S, numbers N, booleans BOOL, bytes B, lists L, structs and maps M; times are text; NULL is left out."""
    table = options.get("dynamodb.output.tableName")
    if not table:
        raise ValueError('connection_options need "dynamodb.output.tableName"')
    found = storage.client("dynamodb").describe_table(TableName=table)["Table"]
    keys = [one["AttributeName"] for one in found["KeySchema"]]
    missing = [key for key in keys if key not in df.columns]
    if missing and df.columns:
        raise ValueError(
            f"the frame has no column {', '.join(missing)}, which is a key of the table {table}; its columns are {', '.join(df.columns)}"
        )
    if not df.columns:
        return
    df = _attributes(df)
    current = run.current()
    if not current.in_run:
        _put(df, table, keys)
        return
    prefix = f"{temp_prefix()}millpond-items/{current.run_id}/{uuid.uuid4().hex}/"
    df.write.mode("append").option("compression", "snappy").parquet(prefix if engine.is_connect() else prefix.replace("s3://", "s3a://", 1))
    current.load_items(table, prefix)


def _attributes(df):
    """Times and dates as text: DynamoDB has no type for them."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import DateType, NullType, TimestampNTZType, TimestampType

    columns = []
    for field in df.schema.fields:
        column = F.col(quoted(field.name))
        if isinstance(field.dataType, (DateType, TimestampType, TimestampNTZType)):
            column = column.cast("string").alias(field.name)
        if not isinstance(field.dataType, NullType):
            columns.append(column)
    return df.select(*columns)


def _put(df, table, keys):
    """Puts the rows at once, in batches of 25 from several threads; a key that comes twice is put as its last row."""
    from boto3.dynamodb.types import TypeSerializer

    serializer = TypeSerializer()

    def put(rows):
        items = {}
        for row in rows:
            item = {name: serializer.serialize(_item_value(value)) for name, value in row.items() if value is not None}
            items[tuple(json.dumps(item.get(key), default=str, sort_keys=True) for key in keys)] = item
        values = list(items.values())
        for start in range(0, len(values), 25):
            pending = {table: [{"PutRequest": {"Item": item}} for item in values[start : start + 25]]}
            while pending:
                pending = storage.client("dynamodb").batch_write_item(RequestItems=pending).get("UnprocessedItems")

    for batch in writers.batches(df):
        put(batch.to_pylist())


def _item_value(value):
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {str(name): _item_value(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        if value and all(isinstance(one, tuple) and len(one) == 2 for one in value):
            return {str(name): _item_value(one) for name, one in value}
        return [_item_value(one) for one in value]
    return value
