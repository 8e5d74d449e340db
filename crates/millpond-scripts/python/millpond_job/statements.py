"""Statements of Spark's SQL that Sail does not know: those about caches mean nothing here, settings are taken, partitions are the catalog's."""

import contextlib
import re

from millpond_job import casts, catalog, engine, outputs, overwrites, storage

_NAME = r"((?:`[^`]+`|[\w.])+)"
_NOTHING = re.compile(r"(?:uncache\s+table|clear\s+cache|refresh(?:\s+table|\s+function)?|analyze\s+tables?)\b", re.IGNORECASE)
_CACHE = re.compile(rf"cache\s+(?:lazy\s+)?table\s+{_NAME}\s*(?:options\s*\([^)]*\)\s*)?(?:(?:as\s+)?((?:select|with)\b.*))?\Z", re.IGNORECASE | re.DOTALL)
_SET = re.compile(r"set\s+([A-Za-z_][\w.\-]*)\s*(?:=\s*(.*))?\Z", re.IGNORECASE | re.DOTALL)
_REPAIR = re.compile(rf"(?:msck\s+)?repair\s+table\s+{_NAME}(?:\s+(?:add|sync)\s+partitions)?\Z|alter\s+table\s+{_NAME}\s+recover\s+partitions\Z", re.IGNORECASE)
_SHOW = re.compile(rf"show\s+partitions\s+{_NAME}\Z", re.IGNORECASE)
_MADE = re.compile(rf"create\s+table\s+(?:if\s+not\s+exists\s+)?{_NAME}(.*?)\bas\s*\(?\s*(?:select|with|values|from|table)\b", re.IGNORECASE | re.DOTALL)
_INSERT = re.compile(rf"insert\s+(into|overwrite)\s+(?:table\s+)?{_NAME}", re.IGNORECASE)


def install():
    """Methods of `spark.catalog` that mean nothing here."""
    from pyspark.sql.connect.catalog import Catalog

    def nothing(self, *args, **kwargs):
        """Nothing to do: Sail reads again each time."""

    for name in ("clearCache", "refreshTable", "refreshByPath", "cacheTable", "uncacheTable"):
        setattr(Catalog, name, nothing)
    Catalog.isCached = lambda self, tableName: False
    Catalog.recoverPartitions = lambda self, tableName: outputs.register_partitions(tableName)


def answered(session, sql):
    """The answer of a statement that Sail does not know, or None for all others."""
    if not isinstance(sql, str):
        return None
    text = sql.strip().rstrip(";").rstrip()
    if _NOTHING.match(text):
        return _none(session)
    found = _CACHE.match(text)
    if found:
        if found.group(2):
            session.sql(f"CREATE OR REPLACE TEMPORARY VIEW {found.group(1)} AS {found.group(2)}")
        return _none(session)
    found = _SET.match(text)
    if found and not found.group(1).lower().startswith("datafusion.") and found.group(1).lower() not in ("time", "catalog", "role", "variable", "var"):
        return _setting(session, found.group(1), found.group(2))
    found = _REPAIR.match(text)
    if found:
        outputs.register_partitions(found.group(1) or found.group(2))
        return _none(session)
    found = _SHOW.match(text)
    if found:
        return _partitions(session, found.group(1))
    return None


@contextlib.contextmanager
def effects(session, sql):
    """What goes with a statement: the block runs the one that this gives. After an insert the partitions that it made are registered, and for one that
    overwrites, what is to go is deleted (`millpond_job.overwrites`)."""
    made = _match(_MADE, sql)
    if made is not None:
        if not re.search(r"\blocation\b", made.group(2), re.IGNORECASE):
            outputs.placed(made.group(1))
        yield sql
        outputs.register_partitions(made.group(1))
        return
    found = _match(_INSERT, sql)
    if found is None or found.group(2).lower() in ("directory", "local"):
        yield sql
        return
    name = found.group(2)
    outputs.insertable(name)
    block = overwrites.insertion(session, name, {}, found.group(1).lower() == "overwrite")
    if block is not None:
        sql = f"INSERT INTO {name}{found.string[found.end() :]}"
    with block or contextlib.nullcontext():
        yield sql
    outputs.register_partitions(name)


def _match(pattern, sql):
    """The match of a pattern with a statement. Comments are no part of it."""
    if not isinstance(sql, str):
        return None
    return pattern.match("".join(" " if token.startswith(("--", "/*")) else token for token in catalog.tokens(sql)).lstrip())


def _none(session):
    return session.createDataFrame([], "result string").limit(0)


def _setting(session, key, value):
    if value is None:
        value = session.conf.get(key, None) or engine.settings().get(key, "<undefined>")
    else:
        value = value.strip()
        engine.configure(key, value)
        casts.remember(key, value)
    return session.createDataFrame([(key, value)], "key string, value string")


def _partitions(session, name):
    database, table = storage.table_of(name, session.catalog.currentDatabase())
    glue = storage.client("glue")
    keys = [key["Name"] for key in glue.get_table(DatabaseName=database, Name=table)["Table"].get("PartitionKeys", [])]
    pages = glue.get_paginator("get_partitions").paginate(DatabaseName=database, TableName=table)
    rows = [("/".join(f"{key}={value}" for key, value in zip(keys, one["Values"])),) for page in pages for one in page["Partitions"]]
    return session.createDataFrame(sorted(rows), "partition string")
