"""Records out of text: JSON (with a path), lines of CSV, and DynamoDB's JSON. These run in workers, on texts that anybody may have written."""

import base64
import csv
import io
import json
import re

from awsglue import gluetypes as g
from awsglue.frames import records


_BLANKS = re.compile(r"[ \t\n\r]*")


def json_path(path):
    """The steps of a JSON path of members and `[*]` (`$.a.b[*]`, `$['a b'][*]`): a name, or None for all elements. Raises ValueError."""
    steps, at = [], 1
    if not path.startswith("$"):
        raise ValueError(f"a JSON path starts with '$', not {path!r}")
    token = re.compile(r"\.([^.\[\]*]+)|\[\*\]|\[(?:'([^']*)'|\"([^\"]*)\")\]|\.\*")
    while at < len(path):
        found = token.match(path, at)
        if not found:
            raise ValueError(f"column {at + 1} of the JSON path {path!r}: '.name', \"['name']\" or '[*]' is expected")
        steps.append(next((name for name in found.groups() if name is not None), None))
        at = found.end()
    return steps


class JsonParser:
    """A function from a text to its records: its document (or documents, one after the other), their elements where they are lists, or what `path` leads to."""

    def __init__(self, path=None):
        self.path = path
        self.steps = json_path(path) if path else []
        self.decoder = json.JSONDecoder(object_pairs_hook=g.DynamicRecord)

    def __reduce__(self):
        return JsonParser, (self.path,)

    def __call__(self, text):
        if not text or text.isspace():
            return ()
        try:
            document = self.decoder.decode(text)
        except json.JSONDecodeError as error:
            if not error.msg.startswith("Extra data"):
                raise
            return self._several(text)
        if not self.steps and isinstance(document, dict):
            return (document,)
        return self._parts(document)

    def _several(self, text):
        """The records of documents that follow each other, as far as they are JSON; what is not ends them with a ValueError."""
        at = _BLANKS.match(text).end()
        while at < len(text):
            document, at = self.decoder.raw_decode(text, at)
            yield from self._parts(document)
            at = _BLANKS.match(text, at).end()

    def _parts(self, document):
        found = [document]
        for step in self.steps:
            if step is None:
                found = [m for value in found for m in (value if isinstance(value, list) else value.values() if isinstance(value, dict) else ())]
            else:
                found = [value[step] for value in found if isinstance(value, dict) and step in value]
        for value in found:
            for member in value if isinstance(value, list) else [value]:
                if not isinstance(member, dict):
                    raise ValueError(f"a JSON object is expected, not {_shown(member)}")
                yield member


def _shown(value):
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def unboxer(format, options):
    """A function from a field's text to the value that goes in its place. Raises ValueError for a format that cannot be unboxed."""
    schema = _schema_of(options.get("withSchema"))
    kind = (format or "").lower()
    if kind == "json":

        def from_json(text):
            value = json.loads(text)
            return _with_schema(value, schema) if schema else value

        return from_json
    if kind == "csv":
        return _csv_unboxer(options, schema)
    if kind == "avro":
        return _avro_unboxer(options)
    raise ValueError(f"unbox: {format!r} is not a format that a field can be unboxed from; formats are json, csv and avro")


def _avro_unboxer(options):
    """Avro containers (which bring their schema), or single values of the schema in the option `avroSchema`. One record is a struct, several are a list."""
    text = options.get("avroSchema")
    schema = json.loads(text) if isinstance(text, str) else text

    def from_avro(value):
        import fastavro

        data = value.encode("latin-1") if isinstance(value, str) else value
        if data[:4] == b"Obj\x01":
            found = [records.plain(record) for record in fastavro.reader(io.BytesIO(data))]
            return found[0] if len(found) == 1 else found
        if schema is None:
            raise ValueError("the field is no Avro container: give the schema of its values as avroSchema")
        return records.plain(fastavro.schemaless_reader(io.BytesIO(data), fastavro.parse_schema(schema)))

    return from_avro


def _csv_unboxer(options, schema):
    separator, escaper, quote = options.get("separator", ","), options.get("escaper"), options.get("quoteChar", '"')
    reading = {"delimiter": separator, "escapechar": escaper or None, "doublequote": True}
    reading.update({"quoting": csv.QUOTE_NONE} if quote in (-1, "-1", "", None) else {"quotechar": quote})

    def from_csv(text):
        lines = list(csv.reader(io.StringIO(text), **reading))
        header = lines.pop(0) if lines and options.get("withHeader") else None
        if lines and options.get("skipFirst") and header is None:
            lines.pop(0)
        made = []
        for line in lines:
            names = header or ([f.name for f in schema] if schema else [])
            value = {names[i] if i < len(names) else f"col{i}": member for i, member in enumerate(line)}
            made.append(_with_schema(value, schema) if schema else value)
        return (made[0] if made else None) if len(made) < 2 else made

    return from_csv


def _schema_of(text):
    if not text:
        return None
    if isinstance(text, g.DataType):
        return text
    value = json.loads(text) if isinstance(text, str) else text
    if "dataType" in value:
        return g._deserialize_json_value(value)
    from pyspark.sql.types import StructType

    from awsglue.frames.types import struct_of

    return struct_of(StructType.fromJson(value))


def _with_schema(value, kind):
    """A value as one of a type; null where it cannot be."""
    if value is None:
        return None
    if isinstance(kind, g.StructType):
        return {f.name: _with_schema(value.get(f.name), f.dataType) for f in kind} if isinstance(value, dict) else None
    if isinstance(kind, g.ArrayType):
        return [_with_schema(member, kind.elementType) for member in value] if isinstance(value, list) else None
    name = kind.typeName()
    try:
        if name in ("byte", "short", "int", "long"):
            value = int(value)
        elif name in ("float", "double"):
            value = float(value)
        elif name == "decimal":
            import decimal

            value = decimal.Decimal(str(value))
        elif name == "boolean":
            value = value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value).lower())
        elif name in ("date", "timestamp"):
            import datetime

            value = (datetime.date if name == "date" else datetime.datetime).fromisoformat(str(value))
        elif name == "string":
            value = records.text_of(value)
    except (ValueError, ArithmeticError):
        return None
    return value


def plain_item(value):
    """An attribute of DynamoDB's JSON (`{"S": "x"}`) as a plain value. Numbers stay text, as in AWS's `unnest_ddb_json`, so that no digit is lost."""
    if isinstance(value, dict) and len(set_members := [name for name in value if value[name] is not None]) == 1:
        name = set_members[0]
        inner = value[name]
        if name in ("S", "N", "BOOL"):
            return inner
        if name == "NULL":
            return None
        if name == "B":
            return base64.b64decode(inner) if isinstance(inner, str) else inner
        if name == "M":
            return {key: plain_item(member) for key, member in inner.items()}
        if name == "L":
            return [plain_item(member) for member in inner]
        if name in ("SS", "NS", "BS"):
            return list(inner)
    return value


def plain_items(record):
    """A record of DynamoDB's JSON (an export's line, with its attributes below `Item`) with plain values at the top."""
    made = {}
    for name, value in record.items():
        if name == "Item" and isinstance(value, dict):
            made.update({key: plain_item(member) for key, member in value.items() if member is not None})
        else:
            made[name] = plain_item(value)
    return made
