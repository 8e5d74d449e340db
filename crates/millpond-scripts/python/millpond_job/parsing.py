"""Dates, times and decimals from text on Sail, whose casts of them take several times as long as reading the file does.

PyArrow casts a batch at once where its texts are of the common forms (`1996-03-13`, `-12.50`). Any other text is left to the engine's `try_cast`, which so
decides alone what fits: a form is taken here only where both find the same value (`tests/python/glue_checks/parsing.py` compares them).
"""

import functools

from millpond_job import engine

#: Digits that a 128-bit decimal has room for; PyArrow wraps around beyond them while it scales.
DIGITS_MAX = 38
_UTC = {"utc", "etc/utc", "z", "gmt", "+00:00"}
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIMESTAMP = _DATE + r"([ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?)?"


def try_cast(column, kind):
    """A column of text as values of a Spark type, NULL where a text is none. White space around a value does not matter."""
    from pyspark.sql import functions as F

    text = F.trim(column)
    # Where there is no `try_cast` (Spark 3) a cast that fails is NULL. (An instance answers to any name: it would be a field.)
    cast = text.try_cast(kind) if hasattr(type(text), "try_cast") else text.cast(kind)
    parser = _parser(kind)
    return cast if parser is None else F.coalesce(parser(column), cast)


def _parser(kind):
    """The function over columns for a Spark type, or None where the engine's own cast is as fast, or the only one."""
    from pyspark.sql.types import DateType, DecimalType, TimestampType

    if not engine.is_sail() or not isinstance(kind, (DateType, DecimalType, TimestampType)):
        return None
    if isinstance(kind, TimestampType) and engine.session().conf.get("spark.sql.session.timeZone", "UTC").lower() not in _UTC:
        return None
    return _function(kind)


@functools.lru_cache(maxsize=None)
def _function(kind):
    from pyspark.sql import functions as F

    return F.arrow_udf(Parser(kind), kind)


class Parser:
    """The function that the engine calls: an array of texts to one of values, NULL where a text is not of a common form."""

    __name__ = "parse"

    def __init__(self, kind):
        from pyspark.sql.pandas.types import to_arrow_type
        from pyspark.sql.types import DateType, DecimalType

        self.type = to_arrow_type(kind)
        self.scale = kind.scale if isinstance(kind, DecimalType) else None
        if self.scale is not None:
            whole = kind.precision - kind.scale
            self.pattern = "^[+-]?%s(\\.[0-9]{0,%d})?$" % ("[0-9]{1,%d}" % whole if whole else "0", kind.scale)
        else:
            self.pattern = f"^{_DATE if isinstance(kind, DateType) else _TIMESTAMP}$"

    def __call__(self, texts):
        import pyarrow
        from pyarrow import compute

        if texts.type != pyarrow.string():
            texts = texts.cast(pyarrow.string())
        if self.scale is None or _are_plain(texts, DIGITS_MAX - self.scale):
            try:
                return self._cast(texts)
            except pyarrow.ArrowInvalid:
                pass
        common = compute.if_else(compute.match_substring_regex(texts, self.pattern), texts, pyarrow.scalar(None, pyarrow.string()))
        try:
            return self._cast(common)
        except pyarrow.ArrowInvalid:
            # Such as the 30th of February.
            return pyarrow.nulls(len(texts), self.type)

    def _cast(self, texts):
        import pyarrow

        if pyarrow.types.is_timestamp(self.type):
            return texts.cast(pyarrow.timestamp("us")).cast(self.type)
        return texts.cast(self.type)


def _are_plain(texts, length_max):
    """Whether texts are short, and none has an exponent: that PyArrow reads, and the engine does not."""
    from pyarrow import compute

    longest = compute.max(compute.binary_length(texts)).as_py()
    if longest is None:
        return True
    if longest > length_max:
        return False
    _, offsets, data = texts.buffers()
    bounds = memoryview(offsets).cast("i")
    values = data.slice(bounds[texts.offset], bounds[texts.offset + len(texts)] - bounds[texts.offset]).to_pybytes()
    return b"e" not in values and b"E" not in values
