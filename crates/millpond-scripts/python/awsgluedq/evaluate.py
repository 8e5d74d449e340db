"""Evaluates rulesets: all aggregates of all rules in one pass, one more for each set of columns whose groups are counted, and what references need."""

import math
from dataclasses import dataclass

from pyspark.sql import functions as F

from awsgluedq import rules as measures
from awsgluedq.conditions import NotEvaluable
from awsgluedq.dqdl import Composite

# Engines plan a select of thousands of aggregates slowly; a pass takes this many.
AGGREGATES_A_PASS = 400


@dataclass
class Groups:
    """How often the values of some columns occur: rows with any value, different values, values that occur once; entropy in nats."""

    rows: int
    distinct: int
    unique: int
    entropy: float


@dataclass
class Result:
    """The outcome of one rule, and which rows met it (`row`, as in Measure), where that can be said."""

    rule: object
    outcome: measures.Outcome
    row: object = None
    parts: tuple = ()


def evaluate(found_rules, data, by_row=False):
    """A Result for each rule or composite, in order. `by_row` has composites of rules about rows evaluated row by row ("How composite rules work")."""
    singles = list(dict.fromkeys(single for rule in found_rules for single in _singles(rule)))
    wrong = {where: _where_error(where, data.df) for where in {rule.where for rule in singles if rule.where}}
    prepared = {rule: wrong.get(rule.where) or _prepared(rule, data) for rule in singles}
    values = _aggregated(prepared, data.df)
    groups = _grouped(prepared, data)
    results = {rule: _finished(rule, prepared[rule], values.get(rule, {}), groups) for rule in singles}
    made = [_result(rule, results) for rule in found_rules]
    return [_by_row(result, data.df) if by_row and result.parts and result.row is not None else result for result in made]


def _singles(rule):
    if isinstance(rule, Composite):
        for part in rule.parts:
            yield from _singles(part)
    else:
        yield rule


def _prepared(rule, data):
    """The rule's Measure, or the reason why there is none."""
    try:
        return measures.measure(rule, data)
    except NotEvaluable as reason:
        return str(reason)


def _where_error(where, df):
    """What is wrong with a where clause, or None."""
    try:
        df.select(F.coalesce(F.expr(where), F.lit(False)).alias("met")).schema
    except Exception as error:
        return f"The provided where clause is invalid: {' '.join(str(error).split())[:300]}"
    return None


def _aggregated(prepared, df):
    """Values by rule and name. Where the engine refuses the pass, each rule is measured alone, so that only the one it cannot do fails."""
    try:
        return _pass(prepared, df)
    except Exception:
        values = {}
        for rule, m in prepared.items():
            try:
                values.update(_pass({rule: m}, df))
            except Exception as error:
                prepared[rule] = f"The rule could not be measured: {' '.join(str(error).split())[:300]}"
        return values


def _pass(prepared, df):
    wanted = [(rule, name, column) for rule, m in prepared.items() if not isinstance(m, str) for name, column in m.aggregates.items()]
    values = {}
    for start in range(0, len(wanted), AGGREGATES_A_PASS):
        part = wanted[start : start + AGGREGATES_A_PASS]
        row = df.agg(*[column.alias(f"a{i}") for i, (_, _, column) in enumerate(part)]).collect()[0]
        for i, (rule, name, _) in enumerate(part):
            values.setdefault(rule, {})[name] = row[f"a{i}"]
    return values


def _grouped(prepared, data):
    """Groups by (column names, where)."""
    keys = dict.fromkeys((m.groups, rule.where) for rule, m in prepared.items() if not isinstance(m, str) and m.groups)
    return {key: _count_groups(data, *key) for key in keys}


def _count_groups(data, names, where):
    df = data.df.where(F.expr(where)) if where else data.df
    keys = [data.column(name)[0].alias(f"k{i}") for i, name in enumerate(names)]
    held = [F.col(f"k{i}") for i in range(len(names))]
    any_value = held[0].isNotNull()
    for column in held[1:]:
        any_value = any_value | column.isNotNull()
    counted = df.select(*keys).where(any_value).groupBy(*[f"k{i}" for i in range(len(names))]).agg(F.count(F.lit(1)).alias("c"))
    size = F.col("c").cast("double")
    row = counted.agg(
        F.sum("c").alias("rows"), F.count(F.lit(1)).alias("distinct"), F.count(F.when(F.col("c") == 1, 1)).alias("unique"), F.sum(size * F.log(size)).alias("s")
    ).collect()[0]
    rows = int(row["rows"] or 0)
    entropy = math.log(rows) - row["s"] / rows if rows else None
    return Groups(rows, row["distinct"], row["unique"], None if entropy is None else max(0.0, entropy))


def _finished(rule, measure, values, groups):
    if isinstance(measure, str):
        return Result(rule, measures.Outcome(False, measure))
    try:
        outcome = measure.finish(values, groups.get((measure.groups, rule.where)))
    except NotEvaluable as reason:
        return Result(rule, measures.Outcome(False, str(reason)))
    return Result(rule, outcome, measure.row)


def _result(rule, results):
    if not isinstance(rule, Composite):
        return results[rule]
    parts = tuple(_result(part, results) for part in rule.parts)
    passed = (all if rule.operator == "and" else any)(part.outcome.passed for part in parts)
    reasons = [part.outcome.reason for part in parts if not part.outcome.passed and part.outcome.reason]
    metrics = {name: value for part in parts for name, value in part.outcome.metrics.items()}
    outcome = measures.Outcome(passed, None if passed else "\n".join(reasons) or None, metrics)
    by_row = all(part.row is not None for part in parts)
    return Result(rule, outcome, _combined(rule.operator, parts) if by_row else None, parts)


def _by_row(result, df):
    """A composite's result where every row must meet it."""
    met = F.col("__met")
    row = add_row(df, result.row, "__met").agg(F.count(met).alias("n"), F.count(F.when(met, 1)).alias("good")).collect()[0]
    passed = row["n"] == row["good"]
    reason = None if passed else f"{100 * row['good'] / row['n']:.2f} % of rows passed the rule"
    return Result(result.rule, measures.Outcome(passed, reason, result.outcome.metrics), result.row, result.parts)


def _combined(operator, parts):
    """A function that adds the column of a composite: of `and`, all parts that do not skip the row must be met; of `or`, one of them."""

    def add(frame, name):
        names = []
        for i, part in enumerate(parts):
            names.append(f"{name}_{i}")
            frame = add_row(frame, part.row, names[-1])
        met = None
        for part_name in names:
            column = F.col(part_name)
            met = column if met is None else (met & column if operator == "and" else met | column)
        return frame.withColumn(name, met).drop(*names)

    return add


def add_row(frame, row, name):
    """The frame with a boolean column that says which rows meet a rule."""
    return row(frame, name) if callable(row) and not hasattr(row, "alias") else frame.withColumn(name, row)


PASS, FAIL, SKIP, RESULT = "DataQualityRulesPass", "DataQualityRulesFail", "DataQualityRulesSkip", "DataQualityEvaluationResult"


def row_outcomes(df, results):
    """The rows with the rules that each met, did not meet, and that say nothing of it, and `Passed` or `Failed`."""
    names = df.columns
    frame, columns = df, []
    for i, result in enumerate(results):
        if result.row is not None:
            frame = add_row(frame, result.row, f"__rule{i}")
            columns.append((F.col(f"__rule{i}"), result.rule.text))
    skipped = [F.lit(result.rule.text) for result in results if result.row is None]

    def texts(chosen):
        return F.filter(F.array(*chosen), lambda text: text.isNotNull()) if chosen else F.array().cast("array<string>")

    met = texts([F.when(column, F.lit(text)) for column, text in columns])
    missed = texts([F.when(~column, F.lit(text)) for column, text in columns])
    silent = texts(skipped + [F.when(column.isNull(), F.lit(text)) for column, text in columns])
    failed = F.lit(False)
    for column, _ in columns:
        failed = failed | F.coalesce(~column, F.lit(False))
    kept = [F.col("`" + name.replace("`", "``") + "`") for name in names]
    return frame.select(
        *kept, met.alias(PASS), missed.alias(FAIL), silent.alias(SKIP), F.when(failed, F.lit("Failed")).otherwise(F.lit("Passed")).alias(RESULT)
    )
