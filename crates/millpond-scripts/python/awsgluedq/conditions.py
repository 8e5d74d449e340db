"""What conditions mean: for one number that was measured, and for each value of a column.

`between` leaves its ends out, as AWS's does. For values, null is never met by `=`, `>`, `in`, `matches` and their like, and always by `!=` and
`not in` ("ColumnValues", AWS Glue developer guide).
"""

import datetime

from pyspark.sql import functions as F

from awsglue import gluetypes as g
from awsglue.frames.columns import try_cast


class NotEvaluable(Exception):
    """A rule that cannot be measured on this data; its outcome is Failed with this reason."""


HISTORY = "The rule compares with earlier results (last(...)), which are not kept; compare with a fixed number"


def number_met(condition, value):
    """Whether a measured number meets a condition. Raises NotEvaluable for conditions that are not about numbers."""
    operands = [_number(operand) for operand in condition.operands]
    if condition.operator == "between":
        met = operands[0] < value < operands[1]
    elif condition.operator == "in":
        met = value in operands
    elif condition.operator == "matches":
        raise NotEvaluable("'matches' compares texts, and this rule measures a number")
    else:
        met = {
            "=": value == operands[0],
            "!=": value != operands[0],
            ">": value > operands[0],
            ">=": value >= operands[0],
            "<": value < operands[0],
            "<=": value <= operands[0],
        }[condition.operator]
    return met != condition.negated


def _number(operand):
    if operand.kind == "history":
        raise NotEvaluable(HISTORY)
    if operand.kind != "number":
        raise NotEvaluable(f"a number is expected in the condition, not {operand.value!r}")
    return operand.value


def value_met(condition, column, kind):
    """A boolean column: whether each value of a column of a Glue type meets a condition. Never null."""
    if condition.operator == "in":
        met = F.lit(False)
        for operand in condition.operands:
            met = met | _equal(column, kind, operand)
        return F.coalesce(~met if condition.negated else met, F.lit(condition.negated))
    if condition.operator == "between":
        low, high = (_literal(operand, kind) for operand in condition.operands)
        value = _comparable(column, kind, condition.operands[0])
        inside = (value > low) & (value < high)
        return F.coalesce(~inside if condition.negated else inside, F.lit(False))
    operand = condition.operands[0]
    if condition.operator == "matches":
        # The whole value must match, as with Java's matches().
        found = _text(column, kind).rlike(f"^(?:{operand.value})$")
        return F.coalesce(~found if condition.negated else found, F.lit(False))
    if condition.operator in ("=", "!="):
        equal = F.coalesce(_equal(column, kind, operand), F.lit(False))
        return ~equal if condition.operator == "!=" else equal
    value, literal = _comparable(column, kind, operand), _literal(operand, kind)
    compared = {">": value > literal, ">=": value >= literal, "<": value < literal, "<=": value <= literal}[condition.operator]
    return F.coalesce(compared, F.lit(False))


def _equal(column, kind, operand):
    if operand.kind == "keyword":
        if operand.value == "NULL":
            return column.isNull()
        text = _text(column, kind)
        return text == F.lit("") if operand.value == "EMPTY" else text.rlike(r"^\s+$")
    return _comparable(column, kind, operand) == _literal(operand, kind)


def _text(column, kind):
    return column if isinstance(kind, g.StringType) else column.cast("string")


_TIMES = (g.DateType, g.TimestampType, g.TimestampNTZType)


def _comparable(column, kind, operand):
    if operand.kind == "number":
        return try_cast(column, g.DoubleType())
    if operand.kind == "time" or (operand.kind == "text" and isinstance(kind, _TIMES)):
        return try_cast(column, g.TimestampType())
    return _text(column, kind)


def _literal(operand, kind):
    if operand.kind == "history":
        raise NotEvaluable(HISTORY)
    if operand.kind == "keyword":
        raise NotEvaluable(f"{operand.value} can be compared by =, != and in only")
    if operand.kind == "duration":
        raise NotEvaluable("a length of time (24 hours) is compared by DataFreshness; ColumnValues compares with now() - 24 hours")
    if operand.kind == "time":
        return F.lit(datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=operand.value)).cast("timestamp")
    if operand.kind == "text" and isinstance(kind, _TIMES):
        return try_cast(F.lit(operand.value), g.TimestampType())
    return F.lit(operand.value)


def age_met(condition, seconds):
    """A boolean column: whether an age in seconds meets a condition of durations. Never null; a null age does not."""
    ages = []
    for operand in condition.operands:
        if operand.kind == "history":
            raise NotEvaluable(HISTORY)
        if operand.kind != "duration":
            raise NotEvaluable("DataFreshness compares with a length of time that has a unit: 24 hours, 3 days")
        ages.append(F.lit(operand.value))
    if condition.operator == "between":
        met = (seconds > ages[0]) & (seconds < ages[1])
    elif condition.operator == "in":
        met = seconds.isin(*[operand.value for operand in condition.operands])
    elif condition.operator in ("=", "!=", ">", ">=", "<", "<="):
        age = ages[0]
        met = {
            "=": seconds == age,
            "!=": seconds != age,
            ">": seconds > age,
            ">=": seconds >= age,
            "<": seconds < age,
            "<=": seconds <= age,
        }[condition.operator]
    else:
        raise NotEvaluable("DataFreshness does not compare by 'matches'")
    return F.coalesce(~met if condition.negated else met, F.lit(False))
