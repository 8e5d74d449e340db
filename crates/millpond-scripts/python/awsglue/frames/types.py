"""Between Glue's types, Spark's, and the names that scripts use for them."""

import re

from awsglue import gluetypes as g


def spark_type(kind):
    """The Spark type of the column that holds values of a Glue type; a choice becomes a struct with a member a type."""
    from pyspark.sql import types as t

    if isinstance(kind, g.StructType):
        return spark_struct(kind)
    if isinstance(kind, g.ChoiceType):
        return t.StructType([t.StructField(branch.typeName(), spark_type(branch)) for branch in kind.branches()])
    if isinstance(kind, g.ArrayType):
        return t.ArrayType(spark_type(kind.elementType))
    if isinstance(kind, g.MapType):
        return t.MapType(t.StringType(), spark_type(kind.valueType))
    if isinstance(kind, g.DecimalType):
        return t.DecimalType(kind.precision, kind.scale)
    return {
        "binary": t.BinaryType, "boolean": t.BooleanType, "byte": t.ByteType, "date": t.DateType, "double": t.DoubleType, "enum": t.StringType,
        "float": t.FloatType, "int": t.IntegerType, "long": t.LongType, "null": t.NullType, "short": t.ShortType, "string": t.StringType,
        "timestamp": t.TimestampType, "timestampntz": t.TimestampNTZType, "unknown": t.NullType,
    }[kind.typeName()]()  # fmt: skip


def spark_struct(schema):
    """The Spark struct of a Glue struct."""
    from pyspark.sql import types as t

    return t.StructType([t.StructField(field.name, spark_type(field.dataType)) for field in schema])


def glue_type(kind):
    """The Glue type of a Spark type. Raises TypeError for one that DynamicFrames have no place for (intervals, variants)."""
    from pyspark.sql import types as t

    if isinstance(kind, t.StructType):
        return struct_of(kind)
    if isinstance(kind, t.ArrayType):
        return g.ArrayType(glue_type(kind.elementType))
    if isinstance(kind, t.MapType):
        return g.MapType(glue_type(kind.valueType))
    if isinstance(kind, t.DecimalType):
        return g.DecimalType(kind.precision, kind.scale)
    name = {
        "BinaryType": "binary", "BooleanType": "boolean", "ByteType": "byte", "CharType": "string", "DateType": "date", "DoubleType": "double",
        "FloatType": "float", "IntegerType": "int", "LongType": "long", "NullType": "null", "ShortType": "short", "StringType": "string",
        "TimestampNTZType": "timestampntz", "TimestampType": "timestamp", "VarcharType": "string",
    }.get(type(kind).__name__)  # fmt: skip
    if name is None:
        raise TypeError(f"a DynamicFrame has no type for Spark's {kind.simpleString()}; cast the column before fromDF")
    return g._atomic_type_map[name]()


def struct_of(schema):
    """The Glue struct of a Spark struct."""
    return g.StructType([g.Field(field.name, glue_type(field.dataType)) for field in schema])


_NAMES = {
    "bigint": "long", "bool": "boolean", "bytes": "binary", "character": "string", "char": "string", "integer": "int", "numeric": "decimal", "smallint": "short",
    "text": "string", "tinyint": "byte", "varchar": "string", "timestamp_ntz": "timestampntz", "real": "float", "void": "null",
}  # fmt: skip


def named_type(name):
    """The atomic Glue type of a name as mappings, `cast:` and the catalog write it (`long`, `BIGINT`, `decimal(10,2)`, `varchar(20)`), or None
    for the name of a type with parts (`struct`, `array<int>`), which is never cast to. Raises ValueError for any other name."""
    text = name.strip().lower()
    if re.match(r"(struct|array|map|set|choice)\b", text):
        return None
    found = re.fullmatch(r"([a-z_]+)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?", text)
    base = found and _NAMES.get(found[1], found[1])
    if base not in g._atomic_type_map or base == "enum":
        known = sorted(set(g._atomic_type_map) - {"enum", "unknown"})
        raise ValueError(f"{name!r} is not a type; types are {', '.join(known)}, struct, array and map")
    if base == "decimal":
        return g.DecimalType(int(found[2] or 10), int(found[3] or (0 if found[2] else 2)))
    return g._atomic_type_map[base]()


def tree_string(schema):
    """The schema as `printSchema` shows it."""
    lines = ["root"]

    def shown(name, kind, depth):
        lines.append(f"{'|    ' * depth}|-- {name}: {kind.typeName()}")
        inner(kind, depth + 1)

    def inner(kind, depth):
        if isinstance(kind, g.StructType):
            for field in kind:
                shown(field.name, field.dataType, depth)
        elif isinstance(kind, g.ChoiceType):
            for branch in kind.branches():
                lines.append(f"{'|    ' * depth}|-- {branch.typeName()}")
                inner(branch, depth + 1)
        elif isinstance(kind, g.ArrayType):
            shown("element", kind.elementType, depth)
        elif isinstance(kind, g.MapType):
            lines.append(f"{'|    ' * depth}|-- keyType: string")
            shown("valueType", kind.valueType, depth)

    for field in schema:
        shown(field.name, field.dataType, 0)
    return "\n".join(lines) + "\n"
