"""`EvaluateDataQuality`, as scripts import it.

Source: AWS Glue developer guide, "Evaluating data quality for ETL jobs" and "EvaluateDataQuality class".
"""

import sys

from awsglue.dynamicframe import DynamicFrame, DynamicFrameCollection
from awsglue.transforms.transform import GlueTransform
from awsgluedq.dqdl import parse

RULE_OUTCOMES, ROW_LEVEL_OUTCOMES, ORIGINAL_DATA = "ruleOutcomes", "rowLevelOutcomes", "originalData"
_OUTCOME_SCHEMA = "Rule string, Outcome string, FailureReason string, EvaluatedMetrics map<string,double>, EvaluatedRule string"


class EvaluateDataQuality(GlueTransform):
    """Evaluates rules on a frame."""

    ARGUMENTS = {
        "ruleset": ("String", "the rules, in DQDL"),
        "publishing_options": ("Dictionary", "dataQualityEvaluationContext: a name for messages; resultsS3Prefix: where to write the outcomes too, as JSON"),
        "additional_data_sources": ("Dictionary", "frames by the aliases that rules name"),
        "additional_options": ("Dictionary", "compositeRuleEvaluation.method: ROW or DATASET; others have no effect"),
    }
    RETURNS = ("DynamicFrame", "a record for each rule: Rule, Outcome, FailureReason, EvaluatedMetrics, EvaluatedRule")

    def __call__(self, frame, ruleset, publishing_options=None, additional_data_sources=None, additional_options=None, **ignored):
        results, data = _evaluated(frame, ruleset, additional_data_sources, additional_options)
        return _outcomes(frame, results, data, publishing_options)

    def process_rows(self, frame, ruleset, publishing_options=None, additional_data_sources=None, additional_options=None, **ignored):
        """A collection: `ruleOutcomes`, `rowLevelOutcomes` (the records with DataQualityRulesPass, ...Fail, ...Skip and DataQualityEvaluationResult) and
        `originalData`."""
        from awsgluedq.evaluate import row_outcomes

        results, data = _evaluated(frame, ruleset, additional_data_sources, additional_options)
        rows = DynamicFrame(row_outcomes(data.df, results), frame.glue_ctx, ROW_LEVEL_OUTCOMES)
        outcomes = _outcomes(frame, results, data, publishing_options)
        return DynamicFrameCollection({RULE_OUTCOMES: outcomes, ROW_LEVEL_OUTCOMES: rows, ORIGINAL_DATA: frame}, frame.glue_ctx)


def _evaluated(frame, ruleset, sources, options):
    from awsgluedq.evaluate import evaluate
    from awsgluedq.rules import Data

    parsed = parse(ruleset)
    if not isinstance(frame, DynamicFrame):
        frame = DynamicFrame(frame)
    others = {}
    for alias, source in dict(sources or {}).items():
        source = source if isinstance(source, DynamicFrame) else DynamicFrame(source)
        others[alias] = (source.toDF(), source.schema())
    data = Data(frame.toDF(), frame.schema(), others)
    by_row = str((options or {}).get("compositeRuleEvaluation.method", "")).upper() == "ROW"
    results = evaluate(parsed.rules + _analyzers(parsed.analyzers), data, by_row)
    for result in results[len(parsed.rules) :]:
        for name, value in result.outcome.metrics.items():
            print(f"awsgluedq: {name} = {value}", flush=True)
    return results[: len(parsed.rules)], data


def _analyzers(found):
    """Analyzers as rules that always pass: only their metrics count."""
    from dataclasses import replace

    from awsgluedq.dqdl import Condition, Operand

    always = Condition("!=", (Operand("number", float("nan")),))
    return [rule if rule.condition else replace(rule, condition=always) for rule in found]


def _outcomes(frame, results, data, publishing_options):
    options = publishing_options or {}
    context = options.get("dataQualityEvaluationContext") or getattr(frame, "name", "") or "EvaluateDataQuality"
    made = []
    for result in results:
        outcome = result.outcome
        text = result.rule.text
        made.append((text, "Passed" if outcome.passed else "Failed", outcome.reason, {k: float(v) for k, v in outcome.metrics.items()}, text))
        if not outcome.passed:
            print(f"awsgluedq: {context}: failed: {text}: {' '.join((outcome.reason or '').split())}", file=sys.stderr, flush=True)
    df = data.df.sparkSession.createDataFrame(made, _OUTCOME_SCHEMA)
    if options.get("resultsS3Prefix"):
        df.write.mode("append").json(options["resultsS3Prefix"])
    return DynamicFrame(df, getattr(frame, "glue_ctx", None), RULE_OUTCOMES)
