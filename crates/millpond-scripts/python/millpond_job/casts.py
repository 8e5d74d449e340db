"""Casts on Sail. With `spark.sql.ansi.enabled=false` (Glue 5.0 and before) a value that does not fit is NULL in Spark; Sail does so for `int` only, and ends the
query for the others. There `cast` is `try_cast`, in Python and in SQL.

A text such as "1.5" cast to `bigint` is NULL then, where Spark cuts off the fraction; to `int` it is 1 in both.
"""

import re

from millpond_job import catalog, engine

_ANSI = "spark.sql.ansi.enabled"
#: Types that Sail casts to as Spark does, or knows no `try_cast` to.
_LEFT = re.compile(r"\s*(int|integer|interval|string|char|varchar|array|map|struct|variant)\b", re.IGNORECASE)


def install():
    """Places `cast` and `astype` of columns, and rewrites SQL in expressions. Statements go through `statement`."""
    from pyspark.sql.connect.column import Column
    from pyspark.sql.connect.conf import RuntimeConf
    from pyspark.sql.connect.expressions import SQLExpression

    plain = Column.cast

    def cast(self, dataType):
        text = dataType if isinstance(dataType, str) else getattr(dataType, "simpleString", str)()
        return self.try_cast(dataType) if is_lenient() and not _LEFT.match(text) else plain(self, dataType)

    cast.__doc__ = plain.__doc__
    Column.cast = Column.astype = cast
    made = SQLExpression.__init__
    SQLExpression.__init__ = lambda self, expr: made(self, statement(expr))
    put = RuntimeConf.set

    def set_(self, key, value):
        put(self, key, value)
        remember(key, value)

    RuntimeConf.set = set_


def remember(key, value):
    """What a script sets in mid-run decides over the casts that follow."""
    if key == _ANSI:
        engine._settings[key] = str(value).lower()


def is_lenient():
    """Whether a cast that fails is NULL."""
    return engine.settings().get(_ANSI, "false").lower() != "true"


def statement(sql):
    """SQL with TRY_CAST in the place of CAST; texts, comments and quoted names stay as they are."""
    if not isinstance(sql, str) or "cast" not in sql.lower() or not is_lenient():
        return sql
    tokens = catalog.tokens(sql)
    for index, token in enumerate(tokens):
        if token.lower() != "cast" or (index and tokens[index - 1] == "."):
            continue
        start = catalog.next_token(tokens, index + 1)
        if start < len(tokens) and tokens[start] == "(" and not _LEFT.match(_target(tokens, start)):
            tokens[index] = "TRY_CAST"
    return "".join(tokens)


def _target(tokens, start):
    """The type that a cast whose parenthesis is `tokens[start]` leads to, as it is written."""
    depth, place = 0, None
    for index in range(start, len(tokens)):
        token = tokens[index].lower()
        depth += (token in "([") - (token in ")]") if len(token) == 1 else 0
        if depth == 0:
            return "".join(tokens[place:index]) if place else ""
        if depth == 1 and token == "as":
            place = index + 1
    return ""
