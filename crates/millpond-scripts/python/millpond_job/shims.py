"""What makes `import pyspark` give the engine of this run.

`install()` only places a hook: the first `import pyspark` of the script chooses. On PySpark nothing but the settings is prepared. On a Spark Connect engine
the names that scripts start with (`SparkContext`, `SparkConf`, `SparkSession.builder`, `SQLContext`) lead to the one session, and what such engines lack
raises `EngineLacks`, which names the setting to change. `millpond_job.sail` adds what Sail does differently from Spark.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types

from millpond_job import engine
from millpond_job.errors import EngineLacks


def install():
    """Places the hook; a second call changes nothing."""
    if "pyspark" in sys.modules:
        _patch(sys.modules["pyspark"])
    elif not any(isinstance(finder, _Hook) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Hook())


class _Hook(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Runs `_patch` right after `pyspark` was imported, and gives the modules that the Connect client does not have."""

    _within = False

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "pyspark" or self._within:
            return None
        self._within = True
        try:
            if not engine.is_connect():
                engine.prepare_pyspark()
            found = importlib.util.find_spec("pyspark")
        finally:
            self._within = False
        if found is None or found.loader is None:
            return None
        self._real = found.loader
        found.loader = self
        return found

    def create_module(self, spec):
        return self._real.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = self._real
        module.__loader__ = self._real
        if engine.is_connect():
            _place_modules(module)
        self._real.exec_module(module)
        _patch(module)


_patched = False


def _patch(module):
    global _patched
    if _patched:
        return
    _patched = True
    if not engine.is_connect():
        from pyspark.sql import Column

        if "try_cast" not in vars(Column):
            # Spark 3: with spark.sql.ansi.enabled=false every cast tries.
            Column.try_cast = Column.cast
        from pyspark.sql.dataframe import DataFrame
        from pyspark.sql.session import SparkSession

        _patch_tables(SparkSession, DataFrame)
        return
    from millpond_job import context

    if not engine.is_sail():
        # Functions of the script travel to another machine, which has no Millpond.
        from pyspark import cloudpickle

        cloudpickle.register_pickle_by_value(context)
    _place_modules(module)
    for name, value in context.TOP_LEVEL.items():
        setattr(module, name, value)
    _patch_sessions(context)
    _patch_frames()
    _patch_types()
    _patch_functions()
    if engine.is_sail():
        from millpond_job import sail

        sail.install()


def _place_modules(module):
    """`pyspark.context`, `pyspark.rdd` and their like, of which the Connect client has none."""
    from millpond_job import context

    for name, values in context.MODULES.items():
        full = f"pyspark.{name}"
        placed = types.ModuleType(full, "Given by Millpond, on a Spark Connect engine.")
        vars(placed).update(values)
        sys.modules[full] = placed
        setattr(module, name, placed)


def _patch_sessions(context):
    import pyspark.sql
    import pyspark.sql.context
    from pyspark.sql.connect.session import SparkSession as Connected
    from pyspark.sql.session import SparkSession as Classic

    def get_or_create(builder):
        options = {**builder._options}
        remote = options.pop("spark.remote", None)
        if remote is not None and engine.name() == "sail" and not engine.started():
            raise EngineLacks("A session on another endpoint", f'The script asks for {remote}: set engine = "{remote}" instead.')
        session = engine.session()
        for key, value in options.items():
            engine.configure(key, value)
        return session

    # `master("local[*]")` and a remote URL do not go together: the script's is not followed.
    Classic.Builder.getOrCreate = Classic.Builder.create = get_or_create
    Classic.Builder._validate_startup_urls = lambda self: None
    if engine.is_sail():
        from pyspark.sql.connect.dataframe import DataFrame

        _patch_tables(Connected, DataFrame)
    Connected.sparkContext = property(lambda self: context.SparkContext.getOrCreate())
    Connected._jvm = property(lambda self: context.JVM)
    Connected._jsc = property(lambda self: context.JavaContext())
    Connected._sc = property(lambda self: context.SparkContext.getOrCreate())
    Connected.newSession = lambda self: self
    # The engine ends with the process; scripts that stop their session often commit their job afterwards.
    Connected.stop = lambda self: None
    pyspark.sql.SQLContext = pyspark.sql.context.SQLContext = context.SQLContext
    pyspark.sql.HiveContext = pyspark.sql.context.HiveContext = context.SQLContext
    Classic.getActiveSession = classmethod(lambda cls: engine.session() if engine.started() else None)
    Classic.active = classmethod(lambda cls: engine.session())


def _patch_tables(sessions, frames):
    """Statements and `table` see all tables of the catalog (`millpond_job.catalog`)."""
    from millpond_job import catalog, sail, statements

    sql, table = sessions.sql, sessions.table
    frames._millpond_view = frames.createOrReplaceTempView
    catalog.install(frames)

    def sql_of(self, sqlQuery, args=None, **kwargs):
        if not engine.is_sail():
            return sql(self, catalog.statement(self, sqlQuery), args, **kwargs)
        answer = statements.answered(self, sqlQuery)
        if answer is None:
            with statements.effects(self, sqlQuery) as statement:
                answer = sql(self, catalog.statement(self, sail.statement(statement)), args, **kwargs)
        return answer

    def table_of(self, tableName):
        return table(self, catalog.table(self, tableName))

    sessions.sql = sql_of
    sessions.table = table_of


def _patch_frames():
    from pyspark.sql.connect.dataframe import DataFrame

    def lacking(name, instead):
        def raises(self):
            raise EngineLacks(f"`DataFrame.{name}`", instead)

        return property(raises)

    DataFrame.rdd = lacking("rdd", "Use the DataFrame's own methods (`select`, `withColumn`, `mapInPandas`, `foreachPartition`) instead.")
    DataFrame._jdf = lacking("_jdf", "")

    def to_json(self, use_unicode=True):
        raise EngineLacks("`DataFrame.toJSON`", "Use `select(to_json(struct('*')))` instead.")

    DataFrame.toJSON = to_json


def _patch_types():
    """Counts that a command answers are unsigned in Sail, and Spark has no such type."""
    import pyarrow
    from pyspark.sql.pandas import types as arrow_types
    from pyspark.sql.types import IntegerType, LongType, ShortType

    known = arrow_types.from_arrow_type
    unsigned = {pyarrow.uint64(): LongType, pyarrow.uint32(): LongType, pyarrow.uint16(): IntegerType, pyarrow.uint8(): ShortType}

    def from_arrow_type(at, *args, **kwargs):
        made = unsigned.get(at) if pyarrow.types.is_unsigned_integer(at) else None
        return made() if made else known(at, *args, **kwargs)

    arrow_types.from_arrow_type = from_arrow_type


def _patch_functions():
    """`from pyspark.sql.functions import *` gives what it gave in Spark 3, where the module had no `__all__`: old names of functions, and what it imported itself."""
    import functools

    import pyspark.sql.functions as functions
    from pyspark.sql import Column, DataFrame, types

    brought = {"sys": sys, "functools": functools, "Column": Column, "DataFrame": DataFrame, "SparkContext": sys.modules["pyspark"].SparkContext}
    brought.update({name: getattr(types, name) for name in ("ArrayType", "DataType", "StringType", "StructType")})
    old = ("approxCountDistinct", "bitwiseNOT", "countDistinct", "shiftLeft", "shiftRight", "shiftRightUnsigned", "sumDistinct", "toDegrees", "toRadians")
    for name, value in brought.items():
        if not hasattr(functions, name):
            setattr(functions, name, value)
    names = [name for name in (*old, *brought) if hasattr(functions, name)]
    if hasattr(functions, "__all__"):
        functions.__all__ = [*functions.__all__, *(name for name in names if name not in functions.__all__)]
