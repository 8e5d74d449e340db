"""Values of records: which types they have, and how they become columns and back.

Python's `int` is Glue's `int` where 32 bits hold it, else `long`, as AWS's records have it. Beyond 64 bits it is a decimal.
Everything here runs in workers too, and is sent to them by value: only the standard library, pyarrow and `gluetypes`.
"""

import datetime
import decimal
import json

from awsglue import gluetypes as g
from awsglue.frames.shapes import INT_MAX, INT_MIN, LONG_MAX, LONG_MIN, type_name_of

_PLAIN = frozenset((type(None), bool, int, float, str, bytes, datetime.datetime, datetime.date, decimal.Decimal))
_EPOCH_DAY = datetime.time(0, 0)
_TEXT = frozenset((str,))


def plain(value):
    """A value without foreign classes: numpy's and pandas's scalars become Python's, tuples and sets become lists. Raises TypeError for what no column can hold."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, dict):
        return {name if type(name) is str else str(name): plain(member) for name, member in value.items()}
    if hasattr(value, "asDict"):  # a Row, which is a tuple too
        return plain(value.asDict())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(member) for member in value]
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    for base in (bool, int, float, str, bytes, decimal.Decimal):
        if isinstance(value, base):
            return base(value)
    if isinstance(value, datetime.datetime):
        return value.to_pydatetime() if hasattr(value, "to_pydatetime") else value
    if isinstance(value, datetime.date):
        return value
    if hasattr(value, "item") and hasattr(value, "dtype"):
        return plain(value.tolist())
    raise TypeError(f"a field's value is a {kind.__module__}.{kind.__name__}, which no column can hold; make it a str, number, date, list or dict")


def plain_record(value):
    """A record of plain values. One that is plain already, which is most of them, is not copied."""
    if type(value) is g.DynamicRecord and _PLAIN.issuperset(map(type, value.values())) and _TEXT.issuperset(map(type, value)):
        return value
    return as_records(plain(value))


def as_records(value):
    """The dicts within a value as DynamicRecords."""
    if isinstance(value, dict):
        return g.DynamicRecord((name, as_records(member) if isinstance(member, (dict, list)) else member) for name, member in value.items())
    if isinstance(value, list):
        return [as_records(member) if isinstance(member, (dict, list)) else member for member in value]
    return value


def arrow_type(kind):
    """The Arrow type of the column that holds values of a Glue type."""
    import pyarrow as pa

    name = kind.typeName()
    if isinstance(kind, g.StructType):
        return pa.struct([pa.field(f.name, arrow_type(f.dataType)) for f in kind])
    if isinstance(kind, g.ChoiceType):
        return pa.struct([pa.field(t.typeName(), arrow_type(t)) for t in kind.branches()])
    if isinstance(kind, g.ArrayType):
        return pa.list_(arrow_type(kind.elementType))
    if isinstance(kind, g.MapType):
        return pa.map_(pa.string(), arrow_type(kind.valueType))
    if isinstance(kind, g.DecimalType):
        return pa.decimal128(kind.precision, kind.scale)
    return {
        "binary": pa.binary(), "boolean": pa.bool_(), "byte": pa.int8(), "date": pa.date32(), "double": pa.float64(), "enum": pa.string(), "float": pa.float32(),
        "int": pa.int32(), "long": pa.int64(), "null": pa.null(), "short": pa.int16(), "string": pa.string(), "timestamp": pa.timestamp("us", tz="UTC"),
        "timestampntz": pa.timestamp("us"), "unknown": pa.null(),
    }[name]  # fmt: skip


def decoder(kind):
    """A function from what Arrow gives for a column of this type to the value in a record, or None where they are the same."""
    if isinstance(kind, g.ChoiceType):
        members = [(t.typeName(), decoder(t)) for t in kind.branches()]

        def choice(value):
            for name, inner in members:
                member = None if value is None else value.get(name)
                if member is not None:
                    return inner(member) if inner else member
            return None

        return choice
    if isinstance(kind, g.StructType):
        members = [(f.name, decoder(f.dataType)) for f in kind]

        def struct(value):
            if value is None:
                return None
            return g.DynamicRecord((name, inner(value[name]) if inner else value[name]) for name, inner in members)

        return struct
    if isinstance(kind, g.ArrayType):
        inner = decoder(kind.elementType)
        return None if inner is None else lambda value: None if value is None else [inner(member) for member in value]
    if isinstance(kind, g.MapType):
        inner = decoder(kind.valueType)

        def mapping(value):
            if value is None:
                return None
            pairs = value.items() if isinstance(value, dict) else value  # a Row has a dict, Arrow has pairs
            return {key: inner(member) if inner else member for key, member in pairs}

        return mapping
    if isinstance(kind, g.TimestampType):
        return lambda value: None if value is None else value.replace(tzinfo=None)
    return None


_WIDER = {
    "int": ("long", "short", "byte", "decimal", "double", "float"),
    "long": ("decimal", "double", "float"),
    "double": ("float", "decimal"),
    "decimal": ("double", "float"),
    "date": ("timestamp",),
    "timestamp": ("timestampntz",),
    "struct": ("map",),
    "array": ("set",),
    "string": ("enum",),
}


def encoder(kind):
    """A function from a record's value to what Arrow takes for a column of this type. What does not fit becomes None, which a second pass over a function
    that answers differently each time can bring about."""
    if isinstance(kind, g.ChoiceType):
        return _choice_encoder(kind)
    if isinstance(kind, g.StructType):
        members = [(f.name, encoder(f.dataType)) for f in kind]
        return lambda value: {name: inner(value.get(name)) for name, inner in members} if isinstance(value, dict) else None
    if isinstance(kind, g.ArrayType):
        inner = encoder(kind.elementType)
        return lambda value: [inner(member) for member in value] if isinstance(value, list) else None
    if isinstance(kind, g.MapType):
        inner = encoder(kind.valueType)
        return lambda value: [(key, inner(member)) for key, member in value.items()] if isinstance(value, dict) else None
    if isinstance(kind, g.DecimalType):
        return _decimal_encoder(kind)
    return _ENCODERS[kind.typeName()]


def _choice_encoder(kind):
    members = {t.typeName(): encoder(t) for t in kind.branches()}

    def choice(value):
        if value is None:
            return None
        name = type_name_of(value)
        for candidate in (name, *_WIDER.get(name, ())):
            if candidate in members:
                return {candidate: members[candidate](value)}
        return {"string": members["string"](value)} if "string" in members else None

    return choice


def _decimal_encoder(kind):
    quantum = decimal.Decimal(1).scaleb(-kind.scale)
    limit = decimal.Decimal(10) ** (kind.precision - kind.scale)
    context = decimal.Context(prec=76, rounding=decimal.ROUND_HALF_UP)

    def encode(value):
        if value is None or isinstance(value, (str, bytes, dict, list)):
            return None
        exact = value if isinstance(value, decimal.Decimal) else decimal.Decimal(str(value))
        if not exact.is_finite() or abs(exact) >= limit:
            return None
        return exact.quantize(quantum, context=context)

    return encode


def _whole(bounds):
    def encode(value):
        if isinstance(value, (bool, int)) and value in bounds:
            return int(value)
        return None

    return encode


def _string(value):
    if value is None:
        return None
    if not isinstance(value, str):
        value = value.decode("utf-8", "replace") if isinstance(value, bytes) else text_of(value)
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, as JSON's \ud800 can bring it
        value = value.encode("utf-8", "replace").decode()
    return value


def text_of(value):
    """A value as text: JSON for what has parts, `true`, `2024-01-31 10:00:00`."""
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list, bool)):
        return json.dumps(value, default=text_of, ensure_ascii=False)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def _real(value):
    if isinstance(value, (bool, int, float, decimal.Decimal)):
        try:
            return float(value)
        except OverflowError:
            return None
    return None


def _timestamp(value):
    if isinstance(value, datetime.datetime):
        return value
    return datetime.datetime.combine(value, _EPOCH_DAY) if isinstance(value, datetime.date) else None


def _naive(value):
    value = _timestamp(value)
    return value if value is None or value.tzinfo is None else value.astimezone(datetime.timezone.utc).replace(tzinfo=None)


def _date(value):
    if isinstance(value, datetime.datetime):
        return value.date()
    return value if isinstance(value, datetime.date) else None


_ENCODERS = {
    "binary": lambda value: value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else None,
    "boolean": lambda value: value if isinstance(value, bool) else None,
    "byte": _whole(range(-128, 128)),
    "date": _date,
    "double": _real,
    "enum": _string,
    "float": _real,
    "int": _whole(range(INT_MIN, INT_MAX + 1)),
    "long": _whole(range(LONG_MIN, LONG_MAX + 1)),
    "null": lambda value: None,
    "short": _whole(range(-(1 << 15), 1 << 15)),
    "string": _string,
    "timestamp": _timestamp,
    "timestampntz": _naive,
    "unknown": lambda value: None,
}
