"""Text as dates, times and decimals on Sail (`millpond_job.parsing`): whatever a text is, and whatever stands beside it, its value is the one that the engine's own cast finds."""

import random

from millpond_job import engine

TYPES = ("date", "timestamp", "decimal(18,2)", "decimal(38,10)", "decimal(5,0)", "decimal(5,5)", "decimal(38,38)", "decimal(38,0)")
DATES = (
    "1996-03-13", "2024-02-29", "2023-02-29", "1996-02-30", "1996-13-01", "0000-00-00", "0001-01-01", "9999-12-31", "1582-10-10", "1996-3-13", "1996-03-1",
    "19960313", "1996/03/13", "13-03-1996", "1996-03", "1996", "1996-03-13x", "1996-03-13 x", "1996-03-13 ", " 1996-03-13", "1996-03-13\n",
    "1996-03-13 00:00:00", "1996-03-13T01:02:03", "1996-03-13 01", "1996-03-13T01:02", "1996-03-13 1:2:3", "1996-03-13 24:00:00", "1996-03-13 01:02:60",
    "1996-03-13 23:59:59.9", "1996-03-13 01:02:03.123456", "1996-03-13 01:02:03.1234567", "1996-03-13 01:02:03.", "1996-03-13T01:02:03Z",
    "1996-03-13T01:02:03+02:00", "1996-03-13 01:02:03-05", "1996-03-13 01:02:03 UTC", "1996-03-13T01:02:03 Europe/Berlin",
)  # fmt: skip
NUMBERS = (
    "0", "-0", "1", "+1", "-1", "01", "1.", ".5", "-.5", "+.5", ".", "+", "-", "1.0", "1.5", "1.005", "-1.015", "0.005", "1.994999", "99.995", "999.99", "99999",
    "0.12345", "-0.99999", "123456789012345.67", "1234567890123456.78", "9999999999999999.99", "99999999999999999.99", "9223372036854775808", "2147483648",
    "9" * 38, "9" * 39, "0" * 40 + "1", "0." + "9" * 38, "0." + "9" * 45, "1" + "0" * 37, "1e3", "1E3", "1e-1", "1e400", "1,5", "1_000", "0x10", "NaN", "inf", "1f",
    "1d", "\u0663", "\uff11", "1\u00a0", "\t1", " 1", "1 ", "1 2", "--1", "1-",
)  # fmt: skip
TEXTS = (*DATES, *NUMBERS, "", " ", "x", "null", "NULL", "\\N", "true", "\u00e9" * 40, None)


def _both(rows, kind, partitions=1):
    """(text, value by `parsing`, value by the engine's cast) of each text, as the engine writes the values."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import StructType

    from millpond_job import parsing

    target = StructType.fromDDL(f"v {kind}")["v"].dataType
    df = engine.session().createDataFrame([(row,) for row in rows], "v string").repartition(partitions)
    column = F.col("v")
    return [tuple(row) for row in df.select("v", parsing.try_cast(column, target).cast("string"), F.trim(column).try_cast(target).cast("string")).collect()]


def _differing(rows, kind):
    return [row for row in _both(rows, kind) if row[1] != row[2]]


def each_text_alone_is_what_the_engine_finds():
    from concurrent.futures import ThreadPoolExecutor

    engine.session()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda pair: (pair[0], _differing([pair[1]], pair[0])), [(kind, text) for kind in TYPES for text in TEXTS]))
    assert not [one for one in found if one[1]], [one for one in found if one[1]]


def texts_beside_others_are_what_the_engine_finds():
    for kind in TYPES:
        assert not _differing(TEXTS, kind), (kind, _differing(TEXTS, kind))


def random_decimals_are_what_the_engine_finds():
    chosen = random.Random(7)
    texts = []
    for _ in range(20_000):
        whole, fraction = "".join(chosen.choices("0123456789", k=chosen.randrange(20))), "".join(chosen.choices("0123456789", k=chosen.randrange(14)))
        texts.append(chosen.choice(("", "-", "+")) + whole + chosen.choice(("", ".")) + fraction)
    for kind in TYPES[2:]:
        assert not _differing(texts, kind), (kind, _differing(texts, kind)[:5])


def common_forms_do_not_need_the_engine():
    import pyarrow
    from pyspark.sql.types import DateType, DecimalType, TimestampType

    from millpond_job.parsing import Parser

    for kind, texts in (
        (DateType(), ["1996-03-13", None, "2024-02-29"]),
        (TimestampType(), ["1996-03-13 01:02:03", None, "1996-03-13T01:02:03.5", "1996-03-13"]),
        (DecimalType(18, 2), ["1", "-1.5", None, "+12.25"]),
    ):
        found = Parser(kind)(pyarrow.array(texts)).to_pylist()
        assert [one is None for one in found] == [text is None for text in texts], (kind, found)
        beside = Parser(kind)(pyarrow.array([*texts, "x", ""])).to_pylist()
        assert beside == [*found, None, None], (kind, beside)
        slice_ = Parser(kind)(pyarrow.array(["1e5", *texts, "1e5"]).slice(1, len(texts))).to_pylist()
        assert slice_ == found, (kind, slice_)


def times_of_a_session_elsewhere_are_the_engines():
    from millpond_job import parsing
    from pyspark.sql.types import DateType, TimestampType

    session = engine.session()
    session.conf.set("spark.sql.session.timeZone", "America/New_York")
    try:
        assert parsing._parser(TimestampType()) is None and parsing._parser(DateType()) is not None
        assert not _differing(DATES, "timestamp") and not _differing(DATES, "date")
    finally:
        session.conf.set("spark.sql.session.timeZone", "UTC")


if __name__ == "__main__":
    import glue_checks.parsing
    from glue_checks.support import run

    run(glue_checks.parsing)
