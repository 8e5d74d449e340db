"""What each rule type measures on the frame itself.

A rule becomes a `Measure`: aggregates to compute in the one pass that all rules share, the groups that it needs counted, how the outcome follows from
the numbers, and which rows meet it, where that can be said of a row. Names of metrics are AWS's ("DQDL rule type reference").
"""

from dataclasses import dataclass, field

from pyspark.sql import functions as F
from pyspark.sql.window import Window

from awsglue import gluetypes as g
from awsglue.frames.columns import col, try_cast
from awsglue.frames.types import named_type
from awsgluedq.conditions import NotEvaluable, age_met, number_met, value_met

_NUMBERS = (g.ByteType, g.ShortType, g.IntegerType, g.LongType, g.FloatType, g.DoubleType, g.DecimalType)


@dataclass
class Outcome:
    passed: bool
    reason: str = None
    metrics: dict = field(default_factory=dict)


@dataclass
class Measure:
    """`aggregates`: columns by a name of the rule's own. `groups`: column names to count groups of, or None. `finish(values, groups)` makes the outcome.
    `row`: a boolean column (null: the rule skips the row), or a function from a DataFrame and a name to the DataFrame with such a column."""

    aggregates: dict = field(default_factory=dict)
    groups: tuple = None
    finish: object = None
    row: object = None


class Data:
    """The frame that is measured, and the others that rules may name."""

    def __init__(self, df, schema, sources):
        self.df = df
        self.schema = schema
        self.sources = sources

    def column(self, name):
        """(column, Glue type) by name: exactly, else in any case. Raises NotEvaluable."""
        found = name if self.schema.hasField(name) else next((f.name for f in self.schema if f.name.lower() == name.lower()), None)
        if found is None:
            raise NotEvaluable(f"Input data does not include column {name}!")
        kind = self.schema.getField(found).dataType
        if isinstance(kind, g.ChoiceType):
            raise NotEvaluable(f"Column {name} has values of several types ({', '.join(sorted(kind.choices))}); resolve the choice first")
        return col(found), kind

    def number(self, name):
        """A column as doubles. Raises NotEvaluable where it has no numbers."""
        column, kind = self.column(name)
        if isinstance(kind, _NUMBERS):
            return column.cast("double")
        if isinstance(kind, g.StringType):
            return try_cast(column, g.DoubleType())
        raise NotEvaluable(f"Expected type of column {name} to be one of the numeric types, but found {kind.typeName()} instead!")


def measure(rule, data):
    """The Measure of a rule. Raises NotEvaluable where the data has not what it needs."""
    return _MEASURES[rule.type](rule, data)


def _scope(rule):
    """The rows that a rule is about, as a boolean column; None for all."""
    return F.coalesce(F.expr(rule.where), F.lit(False)) if rule.where else None


def _within(rule, column):
    scope = _scope(rule)
    return column if scope is None else F.when(scope, column)


def _rows(rule):
    return F.count(_within(rule, F.lit(1)))


def _met(rule, name, value, metrics):
    if value is None:
        return Outcome(False, f"There is no value to compute {rule.type} of", metrics)
    passed = number_met(rule.condition, value)
    return Outcome(passed, None if passed else f"Value: {value} does not meet the constraint requirement!", {**metrics, name: value})


def _row_count(rule, data):
    return Measure({"n": _rows(rule)}, finish=lambda v, _: _met(rule, "Dataset.*.RowCount", float(v["n"]), {}))


def _column_count(rule, data):
    count = float(len(data.schema))
    return Measure(finish=lambda v, _: _met(rule, "Dataset.*.ColumnCount", count, {}))


def _column_exists(rule, data):
    name = rule.parameters[0]
    there = any(f.name.lower() == name.lower() for f in data.schema)
    return Measure(finish=lambda v, _: Outcome(there, None if there else f"Column {name} does not exist"))


def _column_names(rule, data):
    import re

    pattern, names = re.compile(rule.parameters[0]), [f.name for f in data.schema]
    unmatched = [name for name in names if not pattern.search(name)]
    ratio = (len(names) - len(unmatched)) / len(names) if names else 1.0
    reason = f"Columns that do not match the pattern: {', '.join(unmatched)}" if unmatched else None
    return Measure(finish=lambda v, _: Outcome(not unmatched, reason, {"Dataset.*.ColumnNamesPatternMatchRatio": ratio}))


def _ratio(rule, name, passing, total, metrics=None):
    """The outcome of a rule about single rows: all of them must meet it, or as many as its threshold says."""
    metrics = dict(metrics or {})
    if total == 0:
        return Outcome(True, "No rows matched the filter" if rule.where else "There are no rows", metrics)
    ratio = passing / total
    metrics[name] = ratio
    passed = number_met(rule.threshold, ratio) if rule.threshold else passing == total
    return Outcome(passed, None if passed else f"Value: {ratio} does not meet the constraint requirement!", metrics)


def _completeness(rule, data):
    name = rule.parameters[0]
    column, _ = data.column(name)
    metric = f"Column.{name}.Completeness"

    def finish(v, _):
        if v["n"] == 0:
            return Outcome(True, "There are no rows", {})
        if rule.condition is None:
            return _ratio(rule, metric, v["there"], v["n"])
        return _met(rule, metric, v["there"] / v["n"], {})

    return Measure({"n": _rows(rule), "there": F.count(_within(rule, column))}, finish=finish, row=_within(rule, column.isNotNull()))


def _keys(rule, data):
    return tuple(rule.parameters), [data.column(name)[0] for name in rule.parameters]


def _instance(names):
    return f"Column.{names[0]}" if len(names) == 1 else f"Multicolumn.{','.join(names)}"


def _alone(rule, keys):
    """Whether a row is the only one (in the rule's scope) with its values."""
    window = Window.partitionBy(*keys)
    return _within(rule, F.count(_within(rule, F.lit(1))).over(window) == F.lit(1))


def _uniqueness(rule, data):
    names, keys = _keys(rule, data)
    metric = f"{_instance(names)}.Uniqueness"

    def finish(_, groups):
        if groups.rows == 0:
            return Outcome(True, "There are no values", {})
        ratio = groups.unique / groups.rows
        if rule.condition is None:
            return Outcome(ratio == 1.0, None if ratio == 1.0 else f"Value: {ratio} does not meet the constraint requirement!", {metric: ratio})
        return _met(rule, metric, ratio, {})

    return Measure(groups=names, finish=finish, row=_alone(rule, keys))


def _unique_value_ratio(rule, data):
    names, keys = _keys(rule, data)
    metric = f"{_instance(names)}.UniqueValueRatio"
    return Measure(
        groups=names,
        finish=lambda _, groups: _met(rule, metric, groups.unique / groups.distinct if groups.distinct else None, {}),
        row=_alone(rule, keys),
    )


def _distinct_values(rule, data):
    names, keys = _keys(rule, data)
    return Measure(groups=names, finish=lambda _, groups: _met(rule, f"{_instance(names)}.DistinctValuesCount", float(groups.distinct), {}), row=_alone(rule, keys))


def _entropy(rule, data):
    names, _ = _keys(rule, data)
    return Measure(groups=names, finish=lambda _, groups: _met(rule, f"{_instance(names)}.Entropy", groups.entropy, {}))


def _primary_key(rule, data):
    names, keys = _keys(rule, data)
    complete = keys[0].isNotNull()
    for key in keys[1:]:
        complete = complete & key.isNotNull()
    aggregates = {"n": _rows(rule), **{f"c{i}": F.count(_within(rule, key)) for i, key in enumerate(keys)}}

    def finish(v, groups):
        metrics = {f"Column.{name}.Completeness": v[f"c{i}"] / v["n"] for i, name in enumerate(names) if v["n"]}
        if groups.rows:
            metrics[f"{_instance(names)}.Uniqueness"] = groups.unique / groups.rows
        wrong = sorted(value for value in metrics.values() if value < 1.0)
        return Outcome(not wrong, f"Value: {wrong[0]} does not meet the constraint requirement!" if wrong else None, metrics)

    return Measure(aggregates, names, finish, _within(rule, complete & _alone(rule, keys)))


def _statistic(function, metric):
    def build(rule, data):
        name = rule.parameters[0]
        value = _within(rule, data.number(name))
        return Measure({"v": function(value)}, finish=lambda v, _: _met(rule, f"Column.{name}.{metric}", v["v"], {}))

    return build


def _correlation(rule, data):
    one, other = rule.parameters
    aggregate = F.corr(_within(rule, data.number(one)), _within(rule, data.number(other)))
    return Measure({"v": aggregate}, finish=lambda v, _: _met(rule, f"Multicolumn.{one},{other}.ColumnCorrelation", v["v"], {}))


def _extremes(rule, value, names, metric):
    """Aggregates and metrics of the least and greatest value that a rule saw."""
    return {"low": F.min(_within(rule, value)), "high": F.max(_within(rule, value))}, {"low": f"Column.{names}.Minimum{metric}", "high": f"Column.{names}.Maximum{metric}"}


def _column_values(rule, data):
    name = rule.parameters[0]
    column, kind = data.column(name)
    good = value_met(rule.condition, column, kind)
    aggregates = {"n": _rows(rule), "good": F.count(_within(rule, F.when(good, 1))), "nulls": F.count(_within(rule, F.when(column.isNull() & ~good, 1)))}
    extremes, labels = _extremes(rule, column.cast("double"), name, "") if isinstance(kind, _NUMBERS) else ({}, {})

    def finish(v, _):
        metrics = {label: v[key] for key, label in labels.items() if v[key] is not None}
        outcome = _ratio(rule, f"Column.{name}.ColumnValues.Compliance", v["good"], v["n"], metrics)
        if not outcome.passed and not rule.threshold:
            outcome.reason = _values_reason(rule, v, labels)
        return outcome

    return Measure({**aggregates, **extremes}, finish=finish, row=_within(rule, good))


def _values_reason(rule, v, labels):
    lines = []
    if v["n"] - v["good"] > v["nulls"]:
        side = {">": "low", ">=": "low", "<": "high", "<=": "high"}.get(rule.condition.operator)
        shown = v[side] if side and side in labels else v["good"] / v["n"]
        lines.append(f"Value: {shown} does not meet the constraint requirement!")
    if v["nulls"]:
        lines.append("Value: NULL does not meet the constraint requirement!")
    return "\n".join(lines)


def _column_length(rule, data):
    name = rule.parameters[0]
    column, kind = data.column(name)
    if not isinstance(kind, g.StringType):
        raise NotEvaluable(f"Expected type of column {name} to be StringType, but found {kind.typeName()} instead!")
    length = F.coalesce(F.length(column), F.lit(0))
    good = value_met(rule.condition, length, g.IntegerType())
    extremes, labels = _extremes(rule, length.cast("double"), name, "Length")

    def finish(v, _):
        metrics = {label: v[key] for key, label in labels.items() if v[key] is not None}
        outcome = _ratio(rule, f"Column.{name}.ColumnLength.Compliance", v["good"], v["n"], metrics)
        if not outcome.passed and not rule.threshold:
            outcome.reason = _values_reason(rule, {**v, "nulls": 0}, labels)
        return outcome

    aggregates = {"n": _rows(rule), "good": F.count(_within(rule, F.when(good, 1)))}
    return Measure({**aggregates, **extremes}, finish=finish, row=_within(rule, good))


def _column_data_type(rule, data):
    name = rule.parameters[0]
    column, kind = data.column(name)
    condition = rule.condition
    if condition.operator not in ("=", "!=") or condition.operands[0].kind != "text":
        raise NotEvaluable('ColumnDataType compares by = or != with a type in double quotes: ColumnDataType "price" = "DOUBLE"')
    wanted = condition.operands[0].value
    try:
        target = named_type(wanted)
    except ValueError:
        target = None
    if target is None:
        raise NotEvaluable(f"Unrecognized data type: {wanted}")
    form = dict(rule.tags).get("format")
    if type(target) is type(kind):
        castable = column.isNotNull()
    elif form and isinstance(target, (g.DateType, g.TimestampType)):
        castable = F.try_to_timestamp(column.cast("string"), F.lit(form)).isNotNull()
    else:
        castable = try_cast(column.cast("string"), target).isNotNull()
    good = ~castable if condition.operator == "!=" else castable
    aggregates = {"n": _rows(rule), "good": F.count(_within(rule, F.when(good, 1)))}
    metric = f"Column.{name}.ColumnDataType.Compliance"
    return Measure(aggregates, finish=lambda v, _: _ratio(rule, metric, v["good"], v["n"]), row=_within(rule, good))


def _data_freshness(rule, data):
    name = rule.parameters[0]
    column, _ = data.column(name)
    moment = try_cast(column, g.TimestampType())
    age = F.unix_timestamp(F.current_timestamp()).cast("double") - F.unix_timestamp(moment).cast("double")
    good = age_met(rule.condition, age)
    aggregates = {"n": _rows(rule), "good": F.count(_within(rule, F.when(good, 1)))}

    def finish(v, _):
        outcome = _ratio(rule, f"Column.{name}.DataFreshness.Compliance", v["good"], v["n"])
        if not outcome.passed:
            outcome.reason = f"{100 * v['good'] / v['n']:.2f} % of rows passed the threshold"
        return outcome

    return Measure(aggregates, finish=finish, row=_within(rule, good))


def _reference(name):
    def build(rule, data):
        from awsgluedq import references

        return getattr(references, name)(rule, data)

    return build


_MEASURES = {
    "AggregateMatch": _reference("aggregate_match"),
    "ColumnCorrelation": _correlation,
    "ColumnCount": _column_count,
    "ColumnDataType": _column_data_type,
    "ColumnExists": _column_exists,
    "ColumnLength": _column_length,
    "ColumnNamesMatchPattern": _column_names,
    "ColumnValues": _column_values,
    "Completeness": _completeness,
    "CustomSql": _reference("custom_sql"),
    "DataFreshness": _data_freshness,
    "DatasetMatch": _reference("dataset_match"),
    "DistinctValuesCount": _distinct_values,
    "Entropy": _entropy,
    "IsComplete": _completeness,
    "IsPrimaryKey": _primary_key,
    "IsUnique": _uniqueness,
    "Mean": _statistic(F.avg, "Mean"),
    "ReferentialIntegrity": _reference("referential_integrity"),
    "RowCount": _row_count,
    "RowCountMatch": _reference("row_count_match"),
    "SchemaMatch": _reference("schema_match"),
    "StandardDeviation": _statistic(F.stddev_pop, "StandardDeviation"),
    "Sum": _statistic(F.sum, "Sum"),
    "UniqueValueRatio": _unique_value_ratio,
    "Uniqueness": _uniqueness,
}
