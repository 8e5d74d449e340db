"""Python functions over records, fused into one pass over the data.

A *step* is a function from an iterator of records to an iterator of records; a record that a step could not do becomes a `RowError`, which later
steps pass on. The same steps run in three kinds of passes: one that finds the schema, one that makes columns, one that makes the errors. Each is
one `mapInArrow` of the engine, whose memory is a batch.

Exceptions of `Filter` follow AWS's library: KeyError, ValueError and TypeError mean "no"; any other makes the record an error. Of `Map`, every
exception makes the record an error. Since a script would hardly notice, the first of each kind is told on standard error, with its place in the script.
"""

import json
import re
import sys
import traceback

from awsglue import gluetypes as g
from awsglue.frames import arrays, records, shapes

BATCH_RECORDS = 4096
_LIBRARIES = re.compile(r"/(awsglue|site-packages|lib/python3\.\d+)/")


class RowError:
    """A record that a step left out, and why. `stage` numbers the steps from 0."""

    __slots__ = ("stage", "message", "stack", "record")

    def __init__(self, stage, message, stack, record):
        self.stage = stage
        self.message = message
        self.stack = stack
        self.record = record

    def as_record(self):
        """The record that `errorsAsDynamicFrame` gives for it."""
        text = json.dumps(self.record, default=records.text_of, ensure_ascii=False)
        error = {"msg": self.message, "stackTrace": self.stack, "input": "", "bytesread": len(text.encode("utf-8", "replace")), "source": ""}
        return {"error": {**error, "dynamicRecord": self.record}}


class Step:
    """One function over records: `kind`, what it is called in messages, and its arguments."""

    def __init__(self, kind, label, function=None, **options):
        self.kind = kind
        self.label = label
        self.function = function
        self.options = options

    def run(self, stage, stream):
        return getattr(self, "_" + self.kind)(stage, stream)

    def _failed(self, stage, error, record, consequence="the record is left out and counts as an error"):
        place = _place(error)
        message = str(error) or type(error).__name__
        _tell(self.label, f"{type(error).__name__}: {message}", place, consequence)
        return RowError(stage, message, "".join(traceback.format_exception(type(error), error, error.__traceback__)), g._revert_to_dict(record))

    def _filter(self, stage, stream):
        f = self.function
        for record in stream:
            if isinstance(record, RowError):
                yield record
                continue
            try:
                keep = f(record)
            except (KeyError, ValueError, TypeError) as error:
                _tell(self.label, f"{type(error).__name__}: {error}", _place(error), "the record is taken not to match, as AWS Glue does")
                continue
            except Exception as error:
                yield self._failed(stage, error, record)
                continue
            if keep:
                yield record

    def _map(self, stage, stream):
        f = self.function
        for record in stream:
            if isinstance(record, RowError):
                yield record
                continue
            try:
                result = f(record)
                if not result:
                    raise ValueError("the function answered nothing where a record is expected: end it with `return rec`")
                if not isinstance(result, dict):
                    raise TypeError(f"the function answered a {type(result).__name__} where a record is expected")
                result = records.plain_record(result)
            except Exception as error:
                yield self._failed(stage, error, record)
                continue
            yield result

    def _partitions(self, stage, stream):
        """The function of `mapPartitions`: an iterator of `{"record": ...}` to one of the same, where `isError` marks what failed."""

        def wrapped():
            for record in stream:
                if isinstance(record, RowError):
                    yield {"record": record.record, "isError": True, "errorMessage": record.message, "_error": record}
                else:
                    yield {"record": record}

        for item in self.function(wrapped()):
            if item.get("isError"):
                yield item.get("_error") or RowError(stage, item.get("errorMessage", ""), "", g._revert_to_dict(item["record"]))
            else:
                yield records.plain_record(item["record"])

    def _parse(self, stage, stream):
        """Records of one text member, which is the record itself in some format. `function` makes DynamicRecords of a text."""
        column = self.options["column"]
        keep = self.options.get("keep", ())
        for record in stream:
            if isinstance(record, RowError):
                yield record
                continue
            try:
                for found in self.function(record[column]):
                    for name in keep:
                        found[name] = record[name]
                    yield found
            except Exception as error:
                yield self._failed(stage, error, record)

    def _unbox(self, stage, stream):
        """Puts what `function` makes of a text in the text's place."""
        *parents, last = self.options["path"]
        for record in stream:
            if isinstance(record, RowError):
                yield record
                continue
            holder = record
            for name in parents:
                holder = holder.get(name) if isinstance(holder, dict) else None
            text = holder.get(last) if isinstance(holder, dict) else None
            if text is not None:
                try:
                    holder[last] = records.as_records(self.function(text))
                except Exception as error:
                    yield self._failed(stage, error, record)
                    continue
            yield record

    def _errors(self, stage, stream):
        """Only the errors, as records."""
        for record in stream:
            if isinstance(record, RowError):
                yield record.as_record()


def _place(error):
    """File and line of the innermost frame of the script in an exception's traceback."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _LIBRARIES.search(frame.filename)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _tell(label, what, place, consequence):
    # Functions are sent to workers by value, each with globals of its own: what they share must lie outside.
    told = sys.__dict__.setdefault("_awsglue_told", set())
    key = (label, what.split(":", 1)[0], place)
    if key in told or len(told) > 100:
        return
    told.add(key)
    where = f" at {place}" if place else ""
    print(f"awsglue: {label}: {what}{where}: {consequence}. Further ones of this kind are not told.", file=sys.stderr, flush=True)


def _stream(batches, schema):
    """Records of Arrow batches whose columns have the types of `schema`."""
    names = [f.name for f in schema]
    record = g.DynamicRecord
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH_RECORDS):
            part = batch.slice(start, BATCH_RECORDS)
            columns = [arrays.values_of(column, f.dataType) for column, f in zip(part.columns, schema)]
            for row in zip(*columns):
                yield record(zip(names, row))


def _flow(batches, schema, steps):
    stream = _stream(batches, schema)
    for stage, step in enumerate(steps):
        stream = step.run(stage, stream)
    return stream


def _chunks(stream):
    chunk = []
    for item in stream:
        chunk.append(item)
        if len(chunk) == BATCH_RECORDS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def schema_pass(schema, steps):
    """A function for `mapInArrow` that answers one row a partition: `schema` (JSON of a Glue struct), `records` and `errors` by stage (JSON)."""

    def run(batches):
        import pyarrow as pa

        seen = shapes.Seen()
        seen.fields = {}
        count = 0
        errors = [0] * len(steps)
        for chunk in _chunks(_flow(batches, schema, steps)):
            good = [record for record in chunk if type(record) is not RowError]
            for record in chunk if len(good) < len(chunk) else ():
                if type(record) is RowError:
                    errors[record.stage] += 1
            count += len(good)
            try:
                seen.add_all(good)
            except shapes.TooManyFields as error:
                yield pa.RecordBatch.from_arrays([pa.array([json.dumps({"refused": str(error)})], pa.string())], ["found"])
                return
        answer = json.dumps({"schema": seen.type().jsonValue(), "records": count, "errors": errors})
        yield pa.RecordBatch.from_arrays([pa.array([answer], pa.string())], ["found"])

    return run


def column_pass(schema, steps, target):
    """A function for `mapInArrow` that makes columns of the types of `target` (a Glue struct) of the records."""

    def run(batches):
        import pyarrow as pa

        columns = [(f.name, f.dataType) for f in target]
        arrow_schema = pa.schema([pa.field(name, records.arrow_type(kind)) for name, kind in columns])
        for chunk in _chunks(_flow(batches, schema, steps)):
            good = [record for record in chunk if type(record) is not RowError]
            made = [arrays.array_of([record.get(name) for record in good], kind) for name, kind in columns]
            if good:
                yield pa.RecordBatch.from_arrays(made, schema=arrow_schema)

    return run


def mask_pass(schema, steps):
    """A function for `mapInArrow` for steps that only filter: whole rows are kept or not, and no value goes through Python twice."""

    def run(batches):
        import pyarrow as pa

        for batch in batches:
            for start in range(0, batch.num_rows, BATCH_RECORDS):
                part = batch.slice(start, BATCH_RECORDS)
                kept = []
                stream = (_numbered(index, record) for index, record in enumerate(_stream([part], schema)))
                for stage, step in enumerate(steps):
                    stream = step.run(stage, stream)
                for record in stream:
                    if not isinstance(record, RowError):
                        kept.append(record.__dict__["_index"])
                if kept:
                    yield part.take(pa.array(kept, pa.int64())) if len(kept) < part.num_rows else part

    return run


class _Numbered(g.DynamicRecord):
    """A record that knows its row."""


def _numbered(index, record):
    record = _Numbered(record)
    record.__dict__["_index"] = index
    return record


def ship_by_value():
    """Has functions of this package sent to workers whole, so that workers need not have it installed (a cluster behind `sc://`)."""
    import awsglue

    try:
        from pyspark import cloudpickle
    except ImportError:
        return
    if "awsglue" not in cloudpickle.list_registry_pickle_by_value():
        cloudpickle.register_pickle_by_value(awsglue)
