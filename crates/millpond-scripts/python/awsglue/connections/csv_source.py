"""CSV: names from headers or the catalog, text or the catalog's types.

An empty text is "", as in Athena and as in Glue's DynamicFrames; so is one that a row with fewer fields than the header lacks, which Sail does not tell from
an empty one. Fields beyond the last column are left out. An empty number is NULL. A value that is not of its column's type makes the column a choice of the
type and string.
"""

import csv
import io
import sys
from concurrent.futures import ThreadPoolExecutor

from awsglue.connections import flag
from awsglue.connections.types import quoted, spark_fields
from millpond_job import engine, parsing, readers, storage

#: Fields that a row may have beyond the last column. A further one ends the run, with file and line.
EXTRA_FIELDS = 16
#: Up to this size, bytes, all values are looked at for choices whatever table they come from.
CHECKED_BYTES = 64 << 20
_EXTRA = "_millpond_extra"


class Dialect:
    """How fields are separated and quoted; empty texts where there is no such character."""

    def __init__(self, separator, quote, escaper, multiline, header_lines, named):
        self.separator = separator
        self.quote = quote
        self.escaper = escaper
        self.multiline = multiline
        self.header_lines = header_lines
        self.named = named

    @classmethod
    def of(cls, source):
        options, serde = source.options, source.serde
        stated = source.parameters
        separator = options.get("separator") or serde.get("field.delim") or serde.get("separatorChar") or stated.get("delimiter") or stated.get("option.sep") or ","
        separator = {"\\t": "\t", "\\u0001": "\x01", "1": "\x01"}.get(separator, separator) if len(separator) != 1 else separator
        if len(separator) != 1:
            raise ValueError(f"the separator {separator!r} is not a single character")
        quote = options.get("quoteChar", serde.get("quoteChar", serde.get("quote.delim", '"')))
        quote = "" if str(quote) == "-1" else (quote or '"')
        escaper = options.get("escaper") or serde.get("escapeChar") or serde.get("escape.delim") or ""
        escaper = "" if escaper.lower() == "none" else escaper
        for what, character in (("quoteChar", quote), ("escaper", escaper)):
            if len(character) > 1:
                raise ValueError(f"{what} {character!r} is not a single character")
        multiline = flag(options, "multiline") or flag(options, "multiLine")
        if source.catalog:
            # Sail's tables have the options of the DataFrame that they were made of.
            lines = int(stated.get("skip.header.line.count") or serde.get("skip.header.line.count") or stated.get("option.header", "").lower() == "true")
            named = False
            if "withHeader" in options:
                lines = max(lines, 1) if flag(options, "withHeader") else lines
        else:
            named = flag(options, "withHeader")
            lines = int(named) + int(flag(options, "skipFirst"))
        return cls(separator, quote, escaper if escaper != quote else "", multiline, lines, named)

    @property
    def native(self):
        """Whether the engine reads it: Sail has no escape character, and always quotes."""
        return self.header_lines <= 1 and (not engine.is_sail() or (bool(self.quote) and not self.escaper))

    def fitted(self, files):
        """Without an escape character that none of the files has: tables of crawlers name one, and it hardly ever occurs."""
        if self.escaper and engine.is_sail() and self.header_lines <= 1 and self.quote and not _any_has(files, self.escaper.encode()):
            self.escaper = ""
        return self


def _any_has(files, character):
    """Whether a character occurs in any of the files. They are read as fast as they come."""
    filesystem = storage.filesystem()

    def has(one):
        with readers.whole(filesystem, one["Path"]) as file:
            while chunk := file.read(1 << 20):
                if character in chunk:
                    return True
        return False

    with ThreadPoolExecutor(min(8, 2 * engine.cores())) as pool:
        return any(pool.map(has, files))


def frame(source):
    """A DynamicFrame of a source's files."""
    from awsglue.dynamicframe import DynamicFrame

    dialect = Dialect.of(source).fitted(source.files)
    fields = spark_fields(source.columns) if source.catalog and source.columns else _declared(source)
    if fields:
        return _typed(source, dialect, fields)
    from awsglue.connections import s3_source

    frames = []
    for names, files in _headers(source, dialect):
        part = s3_source.Source(source.context, {"Files": files, "PartitionKeys": source.keys}, "csv", source.options, source.name)
        frames.append(_text(part, dialect, names))
    return DynamicFrame.fromDF(s3_source.union(frames), source.context, source.name)


def _declared(source):
    """Fields of `withSchema`, Glue's schema in JSON."""
    text = source.options.get("withSchema")
    if not text:
        return None
    import json

    from awsglue import gluetypes
    from awsglue.frames.types import spark_struct

    return spark_struct(gluetypes._deserialize_json_value(json.loads(text))).fields


def _headers(source, dialect):
    """Files by the names of their columns: (names, files)."""
    filesystem = storage.filesystem()

    def names_of(one):
        return _first_fields(filesystem, one["Path"], dialect)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(names_of, source.files))
    by_names = {}
    for one, fields in zip(source.files, found):
        if fields is None:
            continue
        names = tuple(_unique(fields)) if dialect.named else len(fields)
        by_names.setdefault(names, []).append(one)
    if not dialect.named:
        # Without headers all files share col0, col1, ...; the widest first row says how many there are.
        width = max(by_names, default=0)
        return [([f"col{index}" for index in range(width)], [one for files in by_names.values() for one in files])]
    return [(list(names), files) for names, files in by_names.items()]


def _first_fields(filesystem, path, dialect):
    """Fields of a file's first line, or None for an empty file."""
    with readers.stream(filesystem, path) as file:
        line = file.readline(1 << 20)
        while line and dialect.multiline and dialect.quote and line.count(dialect.quote.encode()) % 2 and len(line) < 1 << 20:
            more = file.readline(1 << 20)
            if not more:
                break
            line += more
    text = line.decode("utf-8-sig", "replace").rstrip("\r\n")
    if not text:
        return None
    quoting = csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE
    found = csv.reader(
        io.StringIO(text), delimiter=dialect.separator, quotechar=dialect.quote or None, escapechar=dialect.escaper or None, quoting=quoting
    )
    return next(found, None)


def _unique(fields):
    """Names of columns: the header's; what has none is `col` and its number, and what another one has gets its number, too."""
    names, taken = [], set()
    for index, field in enumerate(fields):
        name = field if field.strip() else f"col{index}"
        if name in taken:
            name = f"{name}{index}"
        taken.add(name)
        names.append(name)
    return names


def _text(source, dialect, names):
    """All columns as text."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import StringType, StructField

    # By their place: names that differ in case only are one column to engines.
    held = [StructField(f"_millpond_field{index}", StringType()) for index in range(len(names))]
    raw = _read(source, dialect, held)
    keys = [field.name for field in source.key_fields]
    texts = [F.coalesce(F.col(field.name), F.lit("")).alias(name) for field, name in zip(held, names) if name not in keys]
    return raw.select(*texts, *[F.col(quoted(key)) for key in keys])


def _typed(source, dialect, fields):
    """Columns of the catalog's types, by their place."""
    from awsglue.dynamicframe import DynamicFrame
    from pyspark.sql import functions as F
    from pyspark.sql.types import AtomicType, StringType, StructField

    keys = [field.name for field in source.key_fields]
    fields = [
        field if isinstance(field.dataType, AtomicType) else StructField(field.name, StringType()) for field in fields if field.name not in keys
    ]
    typed = [field for field in fields if not isinstance(field.dataType, StringType)]
    choices = set()
    crawled = "UPDATED_BY_CRAWLER" in source.parameters
    if source.lenient:
        raw = _read(source, dialect, [StructField(field.name, StringType()) for field in fields])
        columns = [_column(field, False) for field in fields]
    elif typed and (not dialect.native or not crawled or source.size_bytes <= CHECKED_BYTES):
        raw = _read(source, dialect, [StructField(field.name, StringType()) for field in fields])
        counts = [F.count(F.when(_filled(field) & _cast(field).isNull(), 1)).alias(str(index)) for index, field in enumerate(typed)]
        found = raw.agg(*counts).collect()[0]
        choices = {field.name for index, field in enumerate(typed) if found[index]}
        columns = [_column(field, field.name in choices) for field in fields]
    else:
        # Looking for choices would read it all twice: as in SQL, a value that does not fit is NULL.
        if typed:
            sys.stderr.write(
                f"WARNING: {source.name} has {source.size_bytes >> 20} MB of CSV, too much to look for choices in: values that do not fit their columns' types are NULL\n"
            )
        raw = _read(source, dialect, [StructField(field.name, StringType()) for field in fields])
        columns = [_column(field, False) for field in fields]
    df = raw.select(*columns, *[F.col(quoted(key)) for key in keys])
    if not choices:
        return DynamicFrame.fromDF(df, source.context, source.name)
    from awsglue import gluetypes
    from awsglue.frames.plan import Columns
    from awsglue.frames.types import glue_type, struct_of

    kinds = {field.name: gluetypes.ChoiceType([glue_type(field.dataType), gluetypes.StringType()]) for field in fields if field.name in choices}
    schema = gluetypes.StructType([gluetypes.Field(one.name, kinds.get(one.name, one.dataType)) for one in struct_of(df.schema)])
    return DynamicFrame(Columns(df, schema), source.context, source.name)


def _filled(field):
    from pyspark.sql import functions as F

    column = F.col(quoted(field.name))
    return column.isNotNull() & (F.trim(column) != "")


def _cast(field):
    from pyspark.sql import functions as F

    return parsing.try_cast(F.col(quoted(field.name)), field.dataType)


def _column(field, is_choice):
    from awsglue.frames.types import glue_type
    from pyspark.sql import functions as F
    from pyspark.sql.types import StringType

    column = F.col(quoted(field.name))
    if isinstance(field.dataType, StringType):
        return F.coalesce(column, F.lit("")).alias(field.name)
    cast = _cast(field)
    if not is_choice:
        return cast.alias(field.name)
    name = glue_type(field.dataType).typeName()
    both = F.struct(cast.alias(name), F.when(cast.isNull(), column).alias("string"))
    return F.when(_filled(field), both).alias(field.name)


def _read(source, dialect, fields):
    """The files with these columns by place, and the partitions' columns."""
    from awsglue.connections import s3_source
    from pyspark.sql.types import StringType, StructField, StructType

    keys = [(field.name, field.dataType) for field in source.key_fields]
    if not dialect.native or (len(s3_source.groups(source)) > s3_source.READS_MAX and engine.is_sail()):
        options = {
            "separator": dialect.separator,
            "quoteChar": dialect.quote,
            "escaper": dialect.escaper,
            "multiline": dialect.multiline,
            "skip_lines": dialect.header_lines,
        }
        text = StructType([StructField(field.name, StringType()) for field in fields])
        df = readers.frame(source.session, "csv", source.files, text, options, keys)
        from pyspark.sql import functions as F

        return df.select(*[F.col(quoted(field.name)).cast(field.dataType).alias(field.name) for field in fields], *[quoted(name) for name, _ in keys])
    wide = StructType([*fields, *(StructField(f"{_EXTRA}{index}", StringType()) for index in range(EXTRA_FIELDS if engine.is_sail() else 0))])
    names = [field.name for field in fields]

    def read(files):
        reader = source.session.read.schema(wide).option("header", dialect.header_lines == 1).option("sep", dialect.separator)
        reader = reader.option("quote", dialect.quote or "\u0000").option("multiLine", dialect.multiline)
        if engine.is_sail():
            reader = reader.option("allowTruncatedRows", True)
        else:
            text_only = all(isinstance(field.dataType, StringType) for field in fields)
            reader = reader.option("escape", dialect.escaper or dialect.quote or "\\").option("emptyValue", "")
            reader = reader.option("mode", "PERMISSIVE" if text_only else "FAILFAST")
        return s3_source.select_all(reader.csv(s3_source.locations(files)), names)

    return s3_source.joined(source, read)
