"""Avro's schemas as Arrow's and back, with the logical types that Glue's reader and writer 1.8 know (developer guide, "Using the Avro format")."""

import pyarrow as pa


def arrow_schema(schema):
    """The Arrow schema of a writer's schema; one that is no record becomes a column `value`."""
    named = {}
    if isinstance(schema, dict) and schema.get("type") == "record":
        return pa.schema([pa.field(field["name"], _arrow(field["type"], named)) for field in _remember(schema, named)["fields"]])
    return pa.schema([pa.field("value", _arrow(schema, named))])


def records(reader):
    """Records as dicts, with enums, unions and maps as Arrow takes them."""
    plain = not (isinstance(reader.writer_schema, dict) and reader.writer_schema.get("type") == "record")
    target = arrow_schema(reader.writer_schema)
    for record in reader:
        record = {"value": record} if plain else record
        yield {field.name: _value(record.get(field.name), field.type) for field in target}


def _remember(schema, named):
    name = schema.get("name")
    if name:
        named[name] = schema
        if schema.get("namespace") and "." not in name:
            named[f"{schema['namespace']}.{name}"] = schema
    return schema


def _arrow(kind, named):
    if isinstance(kind, list):
        members = [member for member in kind if member != "null"]
        if not members:
            return pa.null()
        if len(members) == 1:
            return _arrow(members[0], named)
        types = [_arrow(member, named) for member in members]
        return _common(types) or pa.string()
    if isinstance(kind, str):
        if kind in named:
            return _arrow(named[kind], named)
        known = {
            "null": pa.null(),
            "boolean": pa.bool_(),
            "int": pa.int32(),
            "long": pa.int64(),
            "float": pa.float32(),
            "double": pa.float64(),
            "bytes": pa.binary(),
            "string": pa.string(),
        }
        if kind not in known:
            raise ValueError(f"the Avro schema names a type that it does not define: {kind!r}")
        return known[kind]
    logical = kind.get("logicalType")
    base = kind["type"]
    if logical == "decimal":
        return pa.decimal128(int(kind["precision"]), int(kind.get("scale", 0)))
    if logical == "date":
        return pa.date32()
    if logical in ("timestamp-millis", "timestamp-micros"):
        return pa.timestamp("us", "UTC")
    if logical in ("time-millis", "time-micros", "uuid"):
        return pa.string() if logical == "uuid" else pa.int64()
    if base == "record":
        _remember(kind, named)
        return pa.struct([pa.field(field["name"], _arrow(field["type"], named)) for field in kind["fields"]])
    if base == "array":
        return pa.list_(_arrow(kind["items"], named))
    if base == "map":
        return pa.map_(pa.string(), _arrow(kind["values"], named))
    if base == "enum":
        _remember(kind, named)
        return pa.string()
    if base == "fixed":
        _remember(kind, named)
        return pa.binary()
    return _arrow(base, named)


def _common(types):
    """What holds the numbers of all the types, or None."""
    order = [pa.int32(), pa.int64(), pa.float32(), pa.float64()]
    if all(one in order for one in types):
        highest = max(order.index(one) for one in types)
        return pa.float64() if highest == 2 and pa.int64() in types else order[highest]
    return types[0] if all(one == types[0] for one in types) else None


def _value(value, kind):
    import datetime

    if value is None:
        return None
    if pa.types.is_struct(kind):
        return {field.name: _value(value.get(field.name), field.type) for field in kind}
    if pa.types.is_list(kind):
        return [_value(one, kind.value_type) for one in value]
    if pa.types.is_map(kind):
        return [(key, _value(one, kind.item_type)) for key, one in value.items()]
    if pa.types.is_string(kind) and not isinstance(value, str):
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if pa.types.is_int64(kind) and isinstance(value, datetime.time):
        return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    return value


def writer_schema(schema, name="topLevelRecord"):
    """The Avro schema of an Arrow schema; every member may be null, as Spark's and Glue's writers have it."""
    return {
        "type": "record",
        "name": name,
        "fields": [{"name": field.name, "type": ["null", _avro(field.type, f"{name}_{field.name}")], "default": None} for field in schema],
    }


def _avro(kind, name):
    if pa.types.is_struct(kind):
        return writer_schema(kind, name)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return {"type": "array", "items": ["null", _avro(kind.value_type, name + "_item")]}
    if pa.types.is_map(kind):
        return {"type": "map", "values": ["null", _avro(kind.item_type, name + "_value")]}
    if pa.types.is_decimal(kind):
        return {"type": "bytes", "logicalType": "decimal", "precision": kind.precision, "scale": kind.scale}
    if pa.types.is_date(kind):
        return {"type": "int", "logicalType": "date"}
    if pa.types.is_timestamp(kind):
        return {"type": "long", "logicalType": "timestamp-micros"}
    for check, text in (
        (pa.types.is_boolean, "boolean"),
        (lambda one: pa.types.is_integer(one) and one.bit_width <= 32, "int"),
        (pa.types.is_integer, "long"),
        (pa.types.is_float32, "float"),
        (pa.types.is_floating, "double"),
        (lambda one: pa.types.is_string(one) or pa.types.is_large_string(one) or pa.types.is_null(one), "string"),
        (lambda one: pa.types.is_binary(one) or pa.types.is_large_binary(one), "bytes"),
    ):
        if check(kind):
            return text
    raise ValueError(f"Avro has no type for {kind}")


def plain(value, kind):
    """A value of Arrow's `to_pylist` as fastavro takes it."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        return {key: plain(one, kind.item_type) for key, one in value}
    if pa.types.is_struct(kind):
        return {field.name: plain(value[field.name], field.type) for field in kind}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [plain(one, kind.value_type) for one in value]
    return value
