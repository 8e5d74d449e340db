"""Tables of the catalog in SQL, where the engine cannot read them itself: Sail knows no text tables and no partitions off the beaten path, and PySpark has no
Glue catalog at all. Such a table is read as `awsglue` reads it, by the run's listing, and stands in the statement as a temporary view.

Only names after FROM and JOIN are looked at, and of those only what is a table of the catalog; everything else is the engine's.
"""

import re

from millpond_job import engine, outputs, storage

_TOKEN = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"|--[^\n]*|/\*.*?\*/|`(?:[^`]|``)+`|[A-Za-z_]\w*|\s+|.", re.DOTALL)
_READS = re.compile(
    r"^\s*(?:/\*.*?\*/\s*|--[^\n]*\n\s*)*\(*\s*(select|with|insert|create|from|explain|cache|merge|values)\b", re.IGNORECASE | re.DOTALL
)
_CTE = re.compile(r"(?:\bwith\s+|,\s*)(`[^`]+`|\w+)\s*(?:\([^)]*\)\s*)?as\s*\(", re.IGNORECASE)
_TEMPORARY = re.compile(r"\bcreate\s+(?:or\s+replace\s+)?(?:global\s+)?temp(?:orary)?\s+view\s+(?:if\s+not\s+exists\s+)?(`[^`]+`|\w+)", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z_]\w*\Z|`")
#: Words that may follow a table, and are no alias.
_NO_ALIAS = frozenset(
    "where join inner left right full cross outer semi anti on using group order having limit union intersect except minus lateral window natural "
    "tablesample pivot unpivot cluster distribute sort select values set when with for timestamp version qualify offset".split()
)

#: Names of temporary views of the script, in lower case: they go before tables.
temporary = set()


def install(frames):
    """Remembers which temporary views the script makes."""
    for name in ("createOrReplaceTempView", "createTempView", "registerTempTable"):
        made = getattr(frames, name, None)
        if made is not None:
            setattr(frames, name, _remembering(made))


def _remembering(made):
    def call(self, name):
        temporary.add(name.lower())
        return made(self, name)

    call.__doc__ = made.__doc__
    return call


def tokens(sql):
    """A statement in its parts, blanks and comments among them; joined they are the statement."""
    return _TOKEN.findall(sql)


def statement(session, sql):
    """A statement with temporary views in the place of tables that the engine cannot read."""
    if not isinstance(sql, str):
        return sql
    temporary.update(_bare(name).lower() for name in _TEMPORARY.findall(sql))
    if not _READS.match(sql):
        return sql
    tokens = _TOKEN.findall(sql)
    shadowed = {_bare(name).lower() for name in _CTE.findall(sql)} | temporary
    for start, end, parts, aliased in reversed(list(_references(tokens))):
        if len(parts) == 1 and parts[0].lower() in shadowed:
            continue
        view = view_of(session, parts)
        if view:
            tokens[start:end] = [view if aliased else f"{view} AS `{parts[-1]}`"]
    return "".join(tokens)


def table(session, name):
    """A name for `spark.table`: a view's where the engine cannot read the table."""
    parts = [_bare(part) for part in re.findall(r"`(?:[^`]|``)+`|[^.`]+", name)]
    if len(parts) == 1 and parts[0].lower() in temporary:
        return name
    return view_of(session, parts) or name


def _bare(name):
    return name[1:-1].replace("``", "`") if name.startswith("`") else name


def _is_blank(token):
    return token.isspace() or token.startswith(("--", "/*"))


def _references(tokens):
    """(start, end, parts, has an alias) of each name of a table."""
    index, expected = 0, False
    while index < len(tokens):
        token = tokens[index]
        if _is_blank(token):
            index += 1
            continue
        if not expected:
            expected = token.lower() in ("from", "join")
            index += 1
            continue
        expected = False
        if not _WORD.match(token) or token.lower() in ("lateral", "select", "values", "unnest"):
            continue
        start, parts = index, [_bare(token)]
        index += 1
        while index + 1 < len(tokens) and tokens[index] == "." and _WORD.match(tokens[index + 1]):
            parts.append(_bare(tokens[index + 1]))
            index += 2
        end, following = index, next_token(tokens, index)
        word = tokens[following].lower() if following < len(tokens) else ""
        if word == "(":
            continue
        aliased = bool(_WORD.match(word)) and word not in _NO_ALIAS
        yield start, end, parts, aliased
        if aliased:
            following = next_token(tokens, following + 1)
            if word == "as":
                following = next_token(tokens, following + 1)
        if following < len(tokens) and tokens[following] == ",":
            index, expected = following + 1, True


def next_token(tokens, index):
    """The index of the first token from `index` on that is no blank and no comment."""
    while index < len(tokens) and _is_blank(tokens[index]):
        index += 1
    return index


def view_of(session, parts):
    """The temporary view of a table that the engine cannot read, made anew; None for what it can read, and for what is no table of the catalog."""
    if len(parts) > 3 or (len(parts) == 3 and parts[0].lower() != "spark_catalog"):
        return None
    database = parts[-2] if len(parts) > 1 else session.catalog.currentDatabase()
    glue = storage.client("glue")
    try:
        found = glue.get_table(DatabaseName=database, Name=parts[-1])["Table"]
    except glue.exceptions.EntityNotFoundException:
        return None
    if found.get("TableType") == "VIRTUAL_VIEW" or (engine.is_sail() and _readable(found)):
        return None
    from awsglue.connections import s3_source

    frame = s3_source.table(session, database, parts[-1])
    name = "millpond_" + re.sub(r"\W", "_", f"{database}_{parts[-1]}".lower())
    type(frame)._millpond_view(frame, name)
    return name


def _readable(found):
    """Whether Sail reads a table: Parquet, in directories `key=value` where it has partitions."""
    from awsglue.connections.s3_sink import format_of

    descriptor = found.get("StorageDescriptor", {})
    parameters = {**descriptor.get("Parameters", {}), **found.get("Parameters", {})}
    kind = (parameters.get("classification") or format_of(descriptor)).lower()
    if kind in ("csv", "json", "orc", "avro"):
        return False
    if kind != "parquet":
        return True
    return not any(storage.NULL_PARTITION in values or not is_by_name for values, _, is_by_name in outputs.some_partitions(found))
