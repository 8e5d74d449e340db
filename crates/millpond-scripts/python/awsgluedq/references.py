"""Rules that look beyond the frame: at other frames (`additional_data_sources`), and at what a statement of SQL answers."""

import re

from pyspark.sql import functions as F

from awsglue.frames.columns import col
from awsgluedq.conditions import NotEvaluable, number_met
from awsgluedq.rules import Measure, Outcome

PRIMARY = "primary"


def _source(data, alias):
    """(DataFrame, schema) of a frame by its alias. Raises NotEvaluable."""
    if alias == PRIMARY:
        return data.df, data.schema
    if alias not in data.sources:
        known = ", ".join(data.sources) or "none"
        raise NotEvaluable(f"{alias} not found in additional sources; additional_data_sources names: {known}")
    return data.sources[alias]


def _column_of(schema, name, alias):
    name = name.strip()
    found = name if schema.hasField(name) else next((f.name for f in schema if f.name.lower() == name.lower()), None)
    if found is None:
        raise NotEvaluable(f"Column {name} is not in {alias}; it has: {', '.join(f.name for f in schema)}")
    return col(found)


def _compared(rule, metric, ratio):
    passed = number_met(rule.condition, ratio)
    return Outcome(passed, None if passed else f"Value: {ratio} does not meet the constraint requirement!", {metric: ratio})


def _quotient(one, other):
    if other == 0:
        return 1.0 if one == 0 else 0.0
    return one / other


def row_count_match(rule, data):
    alias = rule.parameters[0]
    other, _ = _source(data, alias)
    return Measure({"n": F.count(F.lit(1))}, finish=lambda v, _: _compared(rule, f"Dataset.{alias}.RowCountMatch", _quotient(float(v["n"]), float(other.count()))))


def schema_match(rule, data):
    alias = rule.parameters[0]
    _, schema = _source(data, alias)
    same = sum(1 for f in data.schema if schema.hasField(f) and schema.getField(f).dataType == f.dataType)
    ratio = _quotient(float(same), float(max(len(schema), len(data.schema))))
    return Measure(finish=lambda v, _: _compared(rule, f"Dataset.{alias}.SchemaMatch", ratio))


_AGGREGATE = re.compile(r"\s*(avg|sum)\s*\(\s*(?:([A-Za-z_][\w]*)\.)?`?([^()`]+?)`?\s*\)\s*", re.IGNORECASE)


def aggregate_match(rule, data):
    made, names = [], []
    for text in rule.parameters:
        found = _AGGREGATE.fullmatch(text)
        if not found:
            raise NotEvaluable(f"AggregateMatch takes avg(column), sum(column), avg(alias.column) or sum(alias.column), not {text!r}")
        function, alias, name = found[1].lower(), found[2] or PRIMARY, found[3]
        df, schema = _source(data, alias)
        value = _column_of(schema, name, alias).cast("double")
        made.append((df, F.avg(value) if function == "avg" else F.sum(value)))
        names.append(name)
    metric = f"Column.{names[0] if names[0] == names[1] else ','.join(names)}.AggregateMatch"

    def finish(_, groups):
        one, other = (float(df.agg(aggregate.alias("v")).collect()[0]["v"] or 0.0) for df, aggregate in made)
        return _compared(rule, metric, _quotient(one, other))

    return Measure(finish=finish)


def referential_integrity(rule, data):
    """`"zipcode" "reference.zipcode"` or `"city,state" "reference.{city,state}"`: which rows' values the reference has."""
    names = [name.strip() for name in rule.parameters[0].split(",")]
    alias, _, listed = rule.parameters[1].partition(".")
    others = [name.strip() for name in listed.strip("{} ").split(",")]
    df, schema = _source(data, alias.strip())
    if len(names) != len(others) or not listed:
        raise NotEvaluable(f"ReferentialIntegrity names {len(names)} columns here and {len(others)} in {alias}; it takes as many of each")
    keys = [data.column(name)[0] for name in names]
    reference = df.select(*[_column_of(schema, name, alias).alias(f"__key{i}") for i, name in enumerate(others)]).distinct()

    def add(frame, name):
        held = [f.alias(n) for n, f in ((n, col(n)) for n in frame.columns)]
        flagged = reference.withColumn(name, F.lit(True))
        condition = None
        for i, key in enumerate(keys):
            equal = key == F.col(f"__key{i}")
            condition = equal if condition is None else condition & equal
        return frame.join(flagged, condition, "left").select(*held, F.coalesce(F.col(name), F.lit(False)).alias(name))

    def finish(_, groups):
        found = add(data.df, "__found").agg(F.count(F.lit(1)).alias("n"), F.count(F.when(F.col("__found"), 1)).alias("good")).collect()[0]
        return _compared(rule, f"Column.{alias}.ReferentialIntegrity", _quotient(float(found["good"]), float(found["n"])))

    return Measure(finish=finish, row=add)


def _mappings(text):
    return [tuple(part.strip() for part in (pair.split("->", 1) if "->" in pair else (pair, pair))) for pair in text.split(",") if pair.strip()]


def dataset_match(rule, data):
    """How many rows the reference has too, by keys; `"id->ref_id"` maps names, a third parameter says which other columns are compared."""
    alias = rule.parameters[0]
    df, schema = _source(data, alias)
    keys = _mappings(rule.parameters[1])
    own_keys = {own for own, _ in keys}
    if len(rule.parameters) > 2:
        compared = _mappings(rule.parameters[2])
    else:
        compared = [(f.name, f.name) for f in data.schema if f.name not in own_keys]
    left = data.df.select(
        *[data.column(own)[0].alias(f"lk{i}") for i, (own, _) in enumerate(keys)], *[data.column(own)[0].alias(f"lv{i}") for i, (own, _) in enumerate(compared)]
    )
    right = df.select(
        *[_column_of(schema, other, alias).alias(f"rk{i}") for i, (_, other) in enumerate(keys)],
        *[_column_of(schema, other, alias).alias(f"rv{i}") for i, (_, other) in enumerate(compared)],
    )

    def finish(_, groups):
        for side, frame in (("lk", left), ("rk", right)):
            names = [f"{side}{i}" for i in range(len(keys))]
            counted = frame.groupBy(*names).agg(F.count(F.lit(1)).alias("c"))
            bad = F.col("c") > 1
            for name in names:
                bad = bad | F.col(name).isNull()
            if counted.where(bad).limit(1).collect():
                return Outcome(False, "Provided key map not suitable for given data frames")
        condition = None
        for one, other in [(F.col(f"lk{i}"), F.col(f"rk{i}")) for i in range(len(keys))]:
            condition = (one == other) if condition is None else condition & (one == other)
        same = F.lit(True)
        for i in range(len(compared)):
            same = same & F.col(f"lv{i}").eqNullSafe(F.col(f"rv{i}"))
        matched = left.join(right, condition, "inner").where(same).count()
        return _compared(rule, f"Dataset.{alias}.DatasetMatch", _quotient(float(matched), float(left.count())))

    return Measure(finish=finish)


def custom_sql(rule, data):
    """The number that a statement answers, by a condition; without one, which part of the rows it answers, by a threshold (all of them)."""

    def finish(_, groups):
        spark = data.df.sparkSession
        data.df.createOrReplaceTempView(PRIMARY)
        for alias, (df, _schema) in data.sources.items():
            df.createOrReplaceTempView(alias)
        try:
            answer = spark.sql(rule.parameters[0])
            if rule.condition is None:
                ratio = _quotient(float(answer.count()), float(data.df.count()))
                passed = number_met(rule.threshold, ratio) if rule.threshold else ratio == 1.0
                return Outcome(passed, None if passed else "Custom SQL response failed to satisfy the threshold", {"Dataset.*.CustomSQL.Compliance": ratio})
            rows = answer.limit(2).collect()
        except Exception as error:
            raise NotEvaluable(f"The SQL of the rule failed: {' '.join(str(error).split())[:500]}") from error
        finally:
            for alias in (PRIMARY, *data.sources):
                spark.catalog.dropTempView(alias)
        try:
            value = float(rows[0][0])
        except (IndexError, TypeError, ValueError):
            raise NotEvaluable("The SQL of a CustomSql rule with a condition must answer one number: a row of one column") from None
        passed = number_met(rule.condition, value)
        return Outcome(passed, None if passed else "Custom SQL response failed to satisfy the condition", {"Dataset.*.CustomSQL": value})

    return Measure(finish=finish)
