"""Types of the catalog (Hive's names) as Spark's, and back."""

import re


def spark_type(text):
    """The Spark type of a Hive type, such as `bigint` or `array<struct<a:int>>`. Raises ValueError for one that is none."""
    parser = _Parser(text)
    found = parser.type()
    parser.end()
    return found


class _Parser:
    def __init__(self, text):
        self.text = text
        self.tokens = re.findall(r"[<>(),:]|[^<>(),:\s]+", text or "")
        self.at = 0

    def _next(self, wanted=None):
        if self.at >= len(self.tokens) or (wanted and self.tokens[self.at] != wanted):
            raise ValueError(f"{self.text!r} is not a type of the catalog")
        self.at += 1
        return self.tokens[self.at - 1]

    def _peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def end(self):
        if self.at != len(self.tokens):
            raise ValueError(f"{self.text!r} is not a type of the catalog")

    def type(self):
        from pyspark.sql import types as t

        name = self._next().lower()
        if name == "array":
            self._next("<")
            element = self.type()
            self._next(">")
            return t.ArrayType(element)
        if name == "map":
            self._next("<")
            key = self.type()
            self._next(",")
            value = self.type()
            self._next(">")
            return t.MapType(key, value)
        if name == "struct":
            self._next("<")
            fields = []
            while True:
                field = self._next().strip("`")
                self._next(":")
                fields.append(t.StructField(field, self.type()))
                if self._next() == ">":
                    return t.StructType(fields)
        arguments = []
        if self._peek() == "(":
            self._next()
            while True:
                arguments.append(int(self._next()))
                if self._next() == ")":
                    break
        if name in ("decimal", "numeric"):
            return t.DecimalType(arguments[0] if arguments else 10, arguments[1] if len(arguments) > 1 else 0)
        known = {
            "tinyint": t.ByteType, "smallint": t.ShortType, "int": t.IntegerType, "integer": t.IntegerType, "bigint": t.LongType, "long": t.LongType,
            "float": t.FloatType, "real": t.FloatType, "double": t.DoubleType, "boolean": t.BooleanType, "string": t.StringType, "char": t.StringType,
            "varchar": t.StringType, "binary": t.BinaryType, "date": t.DateType, "timestamp": t.TimestampType, "short": t.ShortType, "byte": t.ByteType,
        }  # fmt: skip
        if name not in known:
            raise ValueError(f"{name!r} in {self.text!r} is not a type of the catalog")
        return known[name]()


def hive_type(kind):
    """The Hive type of a Spark type. Raises ValueError for one that the catalog has no name for."""
    from pyspark.sql import types as t

    if isinstance(kind, t.ArrayType):
        return f"array<{hive_type(kind.elementType)}>"
    if isinstance(kind, t.MapType):
        return f"map<{hive_type(kind.keyType)},{hive_type(kind.valueType)}>"
    if isinstance(kind, t.StructType):
        return "struct<" + ",".join(f"{field.name}:{hive_type(field.dataType)}" for field in kind.fields) + ">"
    if isinstance(kind, t.DecimalType):
        return f"decimal({kind.precision},{kind.scale})"
    names = {
        "ByteType": "tinyint", "ShortType": "smallint", "IntegerType": "int", "LongType": "bigint", "FloatType": "float", "DoubleType": "double",
        "BooleanType": "boolean", "StringType": "string", "BinaryType": "binary", "DateType": "date", "TimestampType": "timestamp",
        "TimestampNTZType": "timestamp", "NullType": "string", "CharType": "string", "VarcharType": "string",
    }  # fmt: skip
    name = names.get(type(kind).__name__)
    if name is None:
        raise ValueError(f"the catalog has no type for Spark's {kind.simpleString()}")
    return name


def spark_fields(columns):
    """Spark fields of the catalog's columns ({Name, Type}); a column of an unknown type is text."""
    from pyspark.sql import types as t

    fields = []
    for column in columns:
        try:
            kind = spark_type(column.get("Type") or "string")
        except ValueError:
            kind = t.StringType()
        fields.append(t.StructField(column["Name"], kind))
    return fields


def quoted(name):
    """A column's name as SQL writes it."""
    return "`" + name.replace("`", "``") + "`"
