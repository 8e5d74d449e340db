"""Between Arrow's columns and lists of records' values, a column at a time: most columns have one simple type, and those go at C's speed."""

from itertools import chain

from awsglue import gluetypes as g
from awsglue.frames.records import arrow_type, decoder, encoder

_NUMBERS = ("byte", "short", "int", "long", "float", "double", "boolean")


def values_of(array, kind):
    """The values of a column of a Glue type, as records have them."""
    name = kind.typeName()
    if name in _NUMBERS and array.null_count == 0:
        return array.to_numpy(zero_copy_only=False).tolist()
    if name == "string":
        return _strings(array)
    if isinstance(kind, g.StructType) and len(kind):
        columns = [values_of(child, field.dataType) for child, field in zip(array.flatten(), kind)]
        names = [field.name for field in kind]
        made = [g.DynamicRecord(zip(names, row)) for row in zip(*columns)]
        if array.null_count:
            made = [value if there else None for value, there in zip(made, array.is_valid().to_pylist())]
        return made
    if isinstance(kind, g.ChoiceType):
        return _chosen([values_of(child, branch) for child, branch in zip(array.flatten(), kind.branches())])
    if name in ("timestamp", "timestampntz", "date"):
        import pyarrow as pa

        if name != "date":
            array = array.cast(pa.timestamp("us", tz=array.type.tz)).cast(pa.timestamp("us"))
        return array.to_numpy(zero_copy_only=False).astype("O").tolist()
    decode = decoder(kind)
    values = array.to_pylist()
    return values if decode is None else [decode(value) for value in values]


def _strings(array):
    try:
        return array.to_numpy(zero_copy_only=False).tolist()
    except (NotImplementedError, TypeError):
        return array.to_pylist()


def _chosen(columns):
    made = columns[0]
    for column in columns[1:]:
        made = [one if one is not None else other for one, other in zip(made, column)]
    return made


_DIRECT = {
    "binary": {bytes},
    "boolean": {bool},
    "byte": {int},
    "double": {float},
    "float": {float},
    "int": {int},
    "long": {int},
    "short": {int},
    "string": {str},
}


def array_of(values, kind):
    """A column of a Glue type of records' values. What does not fit is null (see `records.encoder`)."""
    import datetime

    import pyarrow as pa

    target = arrow_type(kind)
    kinds = set(map(type, values))
    kinds.discard(type(None))
    name = kind.typeName()
    direct = {"date": {datetime.date}, "timestamp": {datetime.datetime}}.get(name) or _DIRECT.get(name)
    if direct is not None and kinds <= direct:
        try:
            return pa.array(values, target)
        except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
            pass
    elif isinstance(kind, g.StructType) and len(kind) and all(issubclass(k, dict) for k in kinds):
        missing = [value is None for value in values]
        held = [value or {} for value in values] if any(missing) else values
        children = [array_of([value.get(field.name) for value in held], field.dataType) for field in kind]
        return pa.StructArray.from_arrays(children, fields=list(target), mask=pa.array(missing, pa.bool_()))
    elif isinstance(kind, g.ArrayType) and all(issubclass(k, list) for k in kinds):
        offsets, at = [], 0
        for value in values:
            offsets.append(None if value is None else at)
            at += len(value or ())
        offsets.append(at)
        flat = array_of(list(chain.from_iterable(value for value in values if value)), kind.elementType)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat, type=target)
    encode = encoder(kind)
    return masked(pa.array([encode(value) for value in values], target))


def masked(array):
    """The column with null in all that lies below a null struct.

    PyArrow fills the members of a null struct with zeros and empty texts that count as values, and Sail, reaching for a member, does not ask whether the
    struct is null: `o.a` of a null `o` would be 0.
    """
    import pyarrow as pa

    kind = array.type
    if not _has_struct(kind):
        return array
    if pa.types.is_struct(kind):
        children = [masked(child) for child in array.flatten()]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=array.is_null())
    # The elements of a list, the entries of a map: offsets and validity stay as they are.
    return pa.Array.from_buffers(kind, len(array), array.buffers()[:2], offset=array.offset, children=[masked(array.values)])


def _has_struct(kind):
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.num_fields > 0
    if pa.types.is_map(kind):
        return _has_struct(kind.item_type)
    return (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _has_struct(kind.value_type)


def masked_table(table):
    """A table, or a batch, of masked columns."""
    import pyarrow as pa

    if not any(_has_struct(field.type) for field in table.schema):
        return table
    columns = [
        pa.chunked_array([masked(chunk) for chunk in column.chunks], column.type) if isinstance(column, pa.ChunkedArray) else masked(column)
        for column in table.columns
    ]
    return type(table).from_arrays(columns, schema=table.schema)
