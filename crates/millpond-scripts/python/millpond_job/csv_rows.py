"""`spark.read.csv` on Sail, in Spark's mode PERMISSIVE: rows with fewer or more fields than there are columns, and values that are not of their column's type, do not end
the query. Columns are read as text, with room for more fields, and cast; a file is read once, by the engine.
"""

from millpond_job import directories, parsing

#: Fields that a row may have beyond the last column.
EXTRA_FIELDS = 16
_EXTRA = "_millpond_extra"
#: Options that say how the engine reads values; with them it reads the types itself.
_OWN = ("dateformat", "timestampformat", "timestampntzformat", "columnnameofcorruptrecord", "enforceschema")


def applies(options):
    """Whether options ask for nothing that only the engine's own reading of types does."""
    given = {key.lower().replace("_", ""): str(value).lower() for key, value in options.items()}
    return given.get("mode", "permissive") == "permissive" and given.get("inferschema", "false") != "true" and not any(key in given for key in _OWN)


def frame(reader, load, paths, schema):
    """A frame of CSV files, of `schema` (a Spark struct, its DDL) or of the header's names, all text; None where the engine is to read it itself."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import AtomicType, StringType, StructField, StructType

    keys = directories.keys_of(paths)
    if isinstance(schema, str):
        schema = StructType.fromDDL(schema)
    typed = schema is not None
    if schema is None:
        schema = load(reader, paths, "csv", None).schema
    fields = [field for field in schema.fields if field.name not in keys]
    if not fields or not all(isinstance(field.dataType, AtomicType) for field in fields) or any(field.name == "_corrupt_record" for field in fields):
        return None
    if len({field.name.lower() for field in fields}) < len(fields):
        return None
    missing = [StructField(name, StringType()) for name in keys if name not in schema.names]
    extra = [StructField(f"{_EXTRA}{index}", StringType()) for index in range(EXTRA_FIELDS)]
    places = [StructField(field.name, StringType()) for field in schema.fields if field.name in keys] + missing
    reader.option("allowTruncatedRows", True)
    raw = load(reader, paths, "csv", StructType([StructField(field.name, StringType()) for field in fields] + extra + places))
    raw = directories.with_nulls(raw, keys)
    columns = []
    for field in [*schema.fields, *missing]:
        column = F.col("`" + field.name.replace("`", "``") + "`")
        if field.name in schema.names and field.name not in keys and not isinstance(field.dataType, StringType):
            column = parsing.try_cast(column, field.dataType).alias(field.name)
        elif field.name in schema.names and field.name in keys and typed:
            column = column.try_cast(field.dataType).alias(field.name)
        columns.append(column)
    return raw.select(*columns)
