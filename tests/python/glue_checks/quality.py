"""EvaluateDataQuality and DQDL. Examples are those of the AWS Glue developer guide, "DQDL rule type reference"."""

import datetime
import json
import tempfile

from glue_checks.support import frame, json_frame, raises, records, spark, told

_NOW = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)


def _data():
    hour = datetime.timedelta(hours=1)
    return frame(
        [
            (1, "a", 10.0, "2020-01-01", _NOW - hour, "x"), (2, "b", 20.0, "no", _NOW - 72 * hour, ""), (3, None, 30.0, "2021-01-01", None, "  "),
            (4, "b", None, "2022-02-30", _NOW - 2 * hour, None),
        ],
        "id int, name string, v double, day string, at timestamp, `odd col` string",
        "data",
    )  # fmt: skip


def _reference():
    return frame([(1, "a", 10.0), (2, "c", 20.0), (9, "z", 1.0)], "rid int, name string, v double")


def _outcomes(rules, data=None):
    """Outcome rows by rule text."""
    from awsgluedq.transforms import EvaluateDataQuality

    with told():
        found = EvaluateDataQuality.apply(frame=data or _data(), ruleset=f"Rules = [ {rules} ]", additional_data_sources={"reference": _reference()})
    return records(found)


def _check(cases, data=None):
    """`cases`: (rule, passed, a metric and its value or None, a part of the reason or None). All are evaluated as one ruleset."""
    found = _outcomes(", ".join(rule for rule, *_ in cases), data)
    assert len(found) == len(cases)
    for (rule, passed, metric, reason), row in zip(cases, found):
        assert row["Rule"] == " ".join(rule.split()) and row["EvaluatedRule"] == row["Rule"], row
        assert row["Outcome"] == ("Passed" if passed else "Failed"), row
        if metric is not None:
            name, value = metric
            assert abs(row["EvaluatedMetrics"][name] - value) < 1e-9, row
        if reason is not None:
            assert reason in row["FailureReason"], row
        if passed:
            assert row["FailureReason"] is None, row


def completeness_and_uniqueness():
    _check([
        ('IsComplete "id"', True, ("Column.id.Completeness", 1.0), None),
        ('IsComplete "name"', False, ("Column.name.Completeness", 0.75), "Value: 0.75 does not meet the constraint requirement!"),
        ('IsComplete "name" where "id < 3"', True, ("Column.name.Completeness", 1.0), None),
        ('Completeness "name" > 0.95', False, ("Column.name.Completeness", 0.75), "0.75"),
        ('Completeness "name" between 0.7 and 0.8', True, None, None),
        ('Completeness "name" between 0.75 and 0.8', False, None, None),
        ('IsUnique "id"', True, ("Column.id.Uniqueness", 1.0), None),
        ('IsUnique "name"', False, ("Column.name.Uniqueness", 1 / 3), None),
        ('IsUnique "id" "name"', True, ("Multicolumn.id,name.Uniqueness", 1.0), None),
        ('Uniqueness "name" > 0.3', True, ("Column.name.Uniqueness", 1 / 3), None),
        ('UniqueValueRatio "name" = 0.5', True, ("Column.name.UniqueValueRatio", 0.5), None),
        ('DistinctValuesCount "name" = 2', True, ("Column.name.DistinctValuesCount", 2.0), None),
        ('IsPrimaryKey "id"', True, ("Column.id.Uniqueness", 1.0), None),
        ('IsPrimaryKey "name"', False, None, None),
        ('IsPrimaryKey "id" "name"', False, ("Column.name.Completeness", 0.75), None),
        ('Entropy "name" between 0.63 and 0.64', True, ("Column.name.Entropy", 0.6365141682948128), None),
    ])  # fmt: skip


def the_schema():
    _check([
        ("ColumnCount = 6", True, ("Dataset.*.ColumnCount", 6.0), None),
        ('ColumnExists "name"', True, None, None),
        ('ColumnExists "nope"', False, None, "nope"),
        ('ColumnNamesMatchPattern "[a-z ]+"', True, ("Dataset.*.ColumnNamesPatternMatchRatio", 1.0), None),
        ('ColumnNamesMatchPattern "^[a-z]+$"', False, None, "odd col"),
        ('ColumnDataType "day" = "DATE"', False, ("Column.day.ColumnDataType.Compliance", 0.5), None),
        ('ColumnDataType "day" = "DATE" with threshold >= 0.5', True, None, None),
        ('ColumnDataType "id" = "INTEGER"', True, None, None),
        ('ColumnDataType "id" = "STRNG"', False, None, "Unrecognized data type: STRNG"),
    ])  # fmt: skip


def numbers_of_rows_and_of_columns():
    _check([
        ("RowCount = 4", True, ("Dataset.*.RowCount", 4.0), None),
        ("RowCount between 4 and 5", False, None, "Value: 4.0"),
        ("RowCount in [3, 4]", True, None, None),
        ("RowCount not in [3, 4]", False, None, None),
        ('RowCount > 1 where "id > 2"', True, ("Dataset.*.RowCount", 2.0), None),
        ('Mean "v" = 20', True, ("Column.v.Mean", 20.0), None),
        ('Sum "v" >= 60', True, ("Column.v.Sum", 60.0), None),
        ('StandardDeviation "v" < 8.2', True, ("Column.v.StandardDeviation", 8.16496580927726), None),
        ('ColumnCorrelation "id" "v" > 0.99', True, ("Multicolumn.id,v.ColumnCorrelation", 1.0), None),
        ('Mean "at" > 1', False, None, "at"),
        ('Mean "name" > 1', False, None, "no value"),
    ])  # fmt: skip


def values_of_columns():
    _check([
        ('ColumnValues "name" in ["a", "b"]', False, ("Column.name.ColumnValues.Compliance", 0.75), "Value: NULL does not meet the constraint requirement!"),
        ('ColumnValues "name" in ["a", "b", NULL]', True, None, None),
        ('ColumnValues "odd col" in ["x", EMPTY, WHITESPACES_ONLY, NULL]', True, None, None),
        ('ColumnValues "odd col" in ["x", EMPTY, NULL]', False, None, None),
        ('ColumnValues "id" between 0 and 5', True, ("Column.id.Maximum", 4.0), None),
        ('ColumnValues "id" between 1 and 5', False, None, None),
        ('ColumnValues "id" > 1', False, ("Column.id.Minimum", 1.0), "Value: 1.0"),
        ('ColumnValues "id" <= 3', False, None, "Value: 4.0"),
        ('ColumnValues "id" != 21', True, None, None),
        ('ColumnValues "v" != 21', True, None, None),
        ('ColumnValues "v" not in [21, 22]', True, None, None),
        ('ColumnValues "v" not in [21, NULL]', False, None, None),
        ('ColumnValues "v" = NULL where "id = 4"', True, None, None),
        ('ColumnValues "name" matches "[ab]" with threshold > 0.7', True, None, None),
        ('ColumnValues "day" matches "20"', False, None, None),
        ('ColumnValues "name" not matches "c.*" where "id != 3"', True, None, None),
        ('ColumnValues "at" > (now() - 3 hours) with threshold = 0.5', True, None, None),
        ('ColumnValues "at" > "2020-01-01" where "at is not null"', True, None, None),
        ('(ColumnValues "v" > 5) OR (ColumnValues "v" = NULL)', False, None, None),
        ('ColumnLength "name" <= 1', True, ("Column.name.MinimumLength", 0.0), None),
        ('ColumnLength "name" = 1', False, ("Column.name.MaximumLength", 1.0), None),
        ('ColumnLength "id" = 1', False, None, "StringType"),
        ('DataFreshness "at" <= 24 hours', False, ("Column.at.DataFreshness.Compliance", 0.5), "50.00 % of rows passed the threshold"),
        ('DataFreshness "at" between 2 days and 5 days with threshold > 0.2', True, None, None),
    ])  # fmt: skip


def other_frames_and_sql():
    _check([
        ('ReferentialIntegrity "id" "reference.rid" >= 0.5', True, ("Column.reference.ReferentialIntegrity", 0.5), None),
        ('ReferentialIntegrity "id,name" "reference.{rid,name}" = 1.0', False, ("Column.reference.ReferentialIntegrity", 0.25), None),
        ('ReferentialIntegrity "id" "nowhere.rid" = 1.0', False, None, "nowhere not found in additional sources"),
        ('DatasetMatch "reference" "id->rid" "v->v" >= 0.5', True, ("Dataset.reference.DatasetMatch", 0.5), None),
        ('DatasetMatch "reference" "id->rid" "name" >= 0.5', False, ("Dataset.reference.DatasetMatch", 0.25), None),
        ('DatasetMatch "reference" "name" "v" > 0.1', False, None, "Provided key map not suitable for given data frames"),
        ('SchemaMatch "reference" between 0.3 and 0.4', True, ("Dataset.reference.SchemaMatch", 2 / 6), None),
        ('RowCountMatch "reference" > 1.3', True, ("Dataset.reference.RowCountMatch", 4 / 3), None),
        ('AggregateMatch "sum(v)" "sum(reference.v)" >= 1.9', True, ("Column.v.AggregateMatch", 60 / 31), None),
        ('AggregateMatch "avg(id)" "avg(reference.rid)" = 1.0', False, ("Column.id,rid.AggregateMatch", 0.625), None),
        ('AggregateMatch "max(id)" "avg(reference.rid)" = 1.0', False, None, "max(id)"),
        ('CustomSql "select count(*) from primary p join reference r on p.id = r.rid" = 2', True, ("Dataset.*.CustomSQL", 2.0), None),
        ('CustomSql "select id from primary where id > 1" with threshold > 0.7', True, ("Dataset.*.CustomSQL.Compliance", 0.75), None),
        ('CustomSql "select id from primary where id > 1"', False, None, "threshold"),
        ('CustomSql "select nope from primary" = 1', False, None, "nope"),
    ])  # fmt: skip


def composites_join_outcomes():
    _check([
        ('(IsComplete "id") and (IsUnique "id")', True, ("Column.id.Uniqueness", 1.0), None),
        ('(IsComplete "name") or ((IsUnique "id") and (RowCount > 3))', True, None, None),
        ('(IsComplete "name") and (IsUnique "id")', False, None, "0.75"),
    ])  # fmt: skip


def composites_can_be_met_row_by_row():
    from awsgluedq.transforms import EvaluateDataQuality

    rules = 'Rules = [ (ColumnValues "v" > 5) or (ColumnValues "v" = NULL), (ColumnValues "v" > 15) or (ColumnValues "v" = NULL) ]'
    for method, expected in (("ROW", ["Passed", "Failed"]), ("DATASET", ["Failed", "Failed"])):
        with told() as said:
            found = EvaluateDataQuality.apply(frame=_data(), ruleset=rules, additional_options={"compositeRuleEvaluation.method": method})
        assert [row["Outcome"] for row in records(found)] == expected
        assert ("75.00 % of rows passed the rule" in said()) == (method == "ROW")


def one_bad_rule_fails_alone():
    _check([
        ('IsComplete "nope"', False, None, "Input data does not include column nope!"),
        ('IsComplete "id" where "bad bad"', False, None, "where clause"),
        ('Completeness "name" > avg(last(5)) * 0.9', False, None, "earlier results"),
        ('ColumnValues "id" > EMPTY', False, None, "EMPTY"),
        ('RowCount > "x"', False, None, "number"),
        ('IsComplete "id"', True, None, None),
    ])  # fmt: skip
    choice = json_frame({"a": 1}, {"a": "x"})
    _check([('IsComplete "a"', False, None, "resolve the choice"), ("RowCount = 2", True, None, None)], choice)


def frames_without_rows_and_fields():
    empty = frame([], "id int, name string")
    _check([("RowCount = 0", True, None, None), ("ColumnCount > 0", True, None, None), ('Mean "id" > 0', False, None, "no value")], empty)
    assert [row["Outcome"] for row in _outcomes('IsComplete "id", IsUnique "id", ColumnValues "id" > 3', empty)] == ["Passed"] * 3
    from awsglue.dynamicframe import DynamicFrame

    nothing = DynamicFrame._empty(spark(), None, "nothing")
    assert [row["Outcome"] for row in _outcomes('RowCount > 0, ColumnCount > 0, IsComplete "a"', nothing)] == ["Failed"] * 3


def rows_say_which_rules_they_met():
    from awsgluedq.transforms import EvaluateDataQuality

    rules = """Rules = [ IsComplete "name", IsUnique "name", ColumnValues "v" < 25 where "id <> 3", RowCount > 1, (IsComplete "name") and (IsComplete "v"),
        ReferentialIntegrity "id" "reference.rid" > 0.1, IsPrimaryKey "id" ]"""
    with told():
        found = EvaluateDataQuality().process_rows(
            frame=_data(), ruleset=rules, publishing_options={"dataQualityEvaluationContext": "c", "enableDataQualityResultsPublishing": True},
            additional_options={"observations.scope": "ALL"}, additional_data_sources={"reference": _reference()},
        )  # fmt: skip
    assert sorted(found.keys()) == ["originalData", "rowLevelOutcomes", "ruleOutcomes"]
    rows = {row["id"]: row for row in records(found["rowLevelOutcomes"])}
    both, key, integrity = '(IsComplete "name") and (IsComplete "v")', 'IsPrimaryKey "id"', 'ReferentialIntegrity "id" "reference.rid" > 0.1'
    value = 'ColumnValues "v" < 25 where "id <> 3"'
    assert rows[1]["DataQualityRulesPass"] == ['IsComplete "name"', 'IsUnique "name"', value, both, integrity, key], rows[1]
    assert rows[1]["DataQualityRulesFail"] == [] and rows[1]["DataQualityEvaluationResult"] == "Passed"
    assert rows[1]["DataQualityRulesSkip"] == ["RowCount > 1"]
    assert rows[2]["DataQualityRulesFail"] == ['IsUnique "name"'] and rows[2]["DataQualityEvaluationResult"] == "Failed"
    assert rows[3]["DataQualityRulesSkip"] == ["RowCount > 1", value] and rows[3]["DataQualityRulesFail"] == ['IsComplete "name"', both, integrity], rows[3]
    assert rows[4]["DataQualityRulesFail"] == ['IsUnique "name"', value, both, integrity], rows[4]
    assert records(found["originalData"], "id") == records(_data(), "id")
    assert [row["Outcome"] for row in records(found["ruleOutcomes"])] == ["Failed", "Failed", "Failed", "Passed", "Failed", "Passed", "Passed"]


def a_job_can_stop_on_failed_rules_as_glue_studio_writes_it():
    from awsglue.transforms import SelectFromCollection
    from awsgluedq.transforms import EvaluateDataQuality

    with told():
        found = EvaluateDataQuality().process_rows(frame=_data(), ruleset='Rules = [ IsComplete "id", IsComplete "name" ]')
    outcomes = SelectFromCollection.apply(dfc=found, key="ruleOutcomes")
    assert outcomes.filter(lambda x: x["Outcome"] == "Failed").count() == 1
    assert outcomes.filter(lambda x: x["EvaluatedMetrics"]["Column.id.Completeness"] == 1.0).count() == 1
    rows = SelectFromCollection.apply(dfc=found, key="rowLevelOutcomes")
    assert rows.filter(lambda x: x["DataQualityEvaluationResult"] == "Passed").count() == 3


def many_rules_need_one_pass():
    rules = ", ".join(f'ColumnValues "id" < {i}, IsComplete "name" where "id < {i}", Mean "v" > {i}' for i in range(150))
    found = _outcomes(rules)
    assert len(found) == 450 and sum(row["Outcome"] == "Passed" for row in found) > 100


def analyzers_only_measure():
    import contextlib
    import io

    from awsgluedq.transforms import EvaluateDataQuality

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        found = EvaluateDataQuality.apply(frame=_data(), ruleset='Rules = [ RowCount > 0 ] Analyzers = [ Completeness "name", RowCount, Mean "v" ]')
    assert len(records(found)) == 1
    assert "Column.name.Completeness = 0.75" in out.getvalue() and "Column.v.Mean = 20.0" in out.getvalue()


def failed_rules_are_told_and_results_can_be_written():
    from awsgluedq.transforms import EvaluateDataQuality

    with tempfile.TemporaryDirectory() as path, told() as said:
        EvaluateDataQuality.apply(frame=_data(), ruleset='Rules = [ IsComplete "name" ]', publishing_options={"resultsS3Prefix": f"{path}/r", "dataQualityEvaluationContext": "ctx"})
        assert 'ctx: failed: IsComplete "name": Value: 0.75' in said()
        assert spark().read.json(f"{path}/r").collect()[0]["Outcome"] == "Failed"


def rulesets_that_cannot_be_read_say_where():
    from awsgluedq.dqdl import RulesetError, parse

    cases = [
        ('Rules = [ IsComplet "x" ]', "line 1, column 11", "is IsComplete meant?"),
        ("Rules = [ IsComplete x ]", "line 1, column 11", "1 name in double quotes, 0 are given"),
        ('Rules = [\n  IsComplete "x",\n  Mean "x" ]', "line 3, column 12", "condition"),
        ('Rules = [ IsComplete "x"', "line 1, column 25", "the end of the ruleset"),
        ('Rules = [ IsComplete "x" IsUnique "x" ]', "line 1, column 26", "','"),
        ('Rules = [ ColumnValues "x" matches "(" ]', "line 1, column 36", "regular expression"),
        ('Rules = [ (IsComplete "x") and (IsComplete "y") or (RowCount > 1) ]', "line 1, column 49", "parentheses"),
        ('Rules = [ RowCount > "open ]', "line 1, column 22", "not expected"),
        ("Rules = [ RowCount between 1 ]", "line 1, column 30", "'and'"),
        ("Rules = [ RowCount > now() - 3 ]", "line 1, column 32", "days"),
        ('Rules = [ FileSize "s3://b/" > 1 ]', "line 1, column 11", "boto3"),
        ("rules = [ RowCount > 1 ]", "line 1, column 1", "'Rules = [ ... ]'"),
        ("", "line 1, column 1", "'Rules = [ ... ]'"),
        ("Rules = [" + "(" * 100, "line 1", "parentheses"),
    ]
    for text, place, part in cases:
        with raises(RulesetError, place, part):
            parse(text)
    with raises(RulesetError, "2000"):
        parse("Rules = [" + ", ".join(["RowCount > 1"] * 2001) + "]")
    with raises(RulesetError, "text"):
        parse(None)


def rulesets_are_read_as_they_are_meant():
    from awsgluedq.dqdl import Composite, parse

    found = parse('# a comment\nMetadata = { "Version": "1.0" }\nRules = [ ColumnValues "a \\"q\\"" in ["x"] where "b > 1" with threshold >= 0.5, ]\nAnalyzers = [ RowCount ]')
    (rule,) = found.rules
    assert rule.parameters == ('a "q"',) and rule.where == "b > 1" and rule.threshold.operator == ">=" and rule.threshold.operands[0].value == 0.5
    assert found.analyzers[0].type == "RowCount"
    composite = parse('Rules = [ (IsComplete "a") AND ((RowCount > 1) or (IsUnique "b")) ]').rules[0]
    assert isinstance(composite, Composite) and composite.operator == "and" and composite.parts[1].operator == "or"
    (fresh,) = parse('Rules = [ ColumnValues "d" > (now() - 3 days) ]').rules
    assert fresh.condition.operands[0].value == -3 * 86400
    assert parse('Rules = [ ColumnValues "d" >= now() -2 hours ]').rules[0].condition.operands[0].value == -7200
    assert json.dumps(parse("Rules = []").rules) == "[]"


if __name__ == "__main__":
    import glue_checks.quality
    from glue_checks.support import run

    run(glue_checks.quality)
