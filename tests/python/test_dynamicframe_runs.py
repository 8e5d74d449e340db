"""DynamicFrames in runs of jobs: what a script's author sees of missing columns, choices, records that fail, and rules of data quality."""

from test_glue_spark_runs import HEAD, ready, run, succeeded  # noqa: F401 (ready is a fixture)

SCRIPT = HEAD.replace("import sys\n", "import sys\nfrom awsglue.transforms import *\nfrom awsgluedq.transforms import EvaluateDataQuality\n", 1)


def errors_of(lake, done):
    """What a run wrote to the group of errors."""
    answer = lake.client("logs").filter_log_events(logGroupName="/aws-glue/jobs/error", logStreamNames=[done["Id"]])
    return "\n".join(event["message"] for event in answer["events"])


MAPPING = """
frame = glueContext.create_dynamic_frame.from_options("s3", {"paths": ["s3://work/people/"]}, "csv", {"withHeader": True})
mapped = ApplyMapping.apply(frame=frame, mappings=[("id", "string", "id", "long"), ("nmae", "string", "name", "string")])
glueContext.write_dynamic_frame.from_options(mapped, "s3", {"path": "s3://work/mapped/"}, "parquet")
job.commit()
"""


def test_a_column_missing_in_apply_mapping_fails_the_run_with_its_name_and_line(ready):  # noqa: F811
    ready.put("work", "people/1.csv", "id,name\n1,Ann\n2,Bob\n")
    done = run(ready, "mapping", SCRIPT + MAPPING)
    assert done["JobRunState"] == "FAILED"
    line = (SCRIPT + MAPPING).split("\n").index(MAPPING.split("\n")[2]) + 1
    for part in ("'nmae'", "is 'name' meant?", "--millpond-missing-columns", str(line)):
        assert part in done["ErrorMessage"], done["ErrorMessage"]
    assert ready.client("s3").list_objects_v2(Bucket="work", Prefix="mapped/")["KeyCount"] == 0


def test_a_job_can_leave_missing_columns_out_as_aws_does(ready):  # noqa: F811
    ready.put("work", "people/1.csv", "id,name\n1,Ann\n2,Bob\n")
    done = succeeded(run(ready, "mapping-drop", SCRIPT + MAPPING, {"--millpond-missing-columns": "drop"}))
    assert ready.client("s3").list_objects_v2(Bucket="work", Prefix="mapped/")["KeyCount"] >= 1
    assert "'nmae'" in errors_of(ready, done)


def test_choices_filters_maps_and_rules_work_in_a_run(ready):  # noqa: F811
    ready.put("work", "visits/1.json", '{"id": 1, "zip": "98101", "tags": ["a"]}\n{"id": 2, "zip": 7, "tags": []}\n{"id": "x", "zip": 0}\nnot json\n')
    text = """
frame = glueContext.create_dynamic_frame.from_options("s3", {"paths": ["s3://work/visits/"]}, "json")
assert frame.schema().getField("zip").dataType.typeName() == "choice"
solved = ResolveChoice.apply(frame=frame, specs=[("zip", "cast:string"), ("id", "cast:int")])

def add_ratio(rec):
    rec["ratio"] = 10.0 / int(rec["zip"])
    return rec

mapped = Map.apply(frame=Filter.apply(frame=solved, f=lambda r: len(r["zip"]) > 0), f=add_ratio)
assert mapped.count() == 2 and mapped.stageErrorsCount() == 1, (mapped.count(), mapped.stageErrorsCount())
checked = EvaluateDataQuality().process_rows(frame=mapped, ruleset='Rules = [ RowCount = 2, IsComplete "id", ColumnValues "ratio" < 1 ]')
outcomes = SelectFromCollection.apply(dfc=checked, key="ruleOutcomes")
assert outcomes.filter(lambda r: r["Outcome"] == "Failed").count() == 1
flat = mapped.relationalize("root", "s3://work/temp/")
assert sorted(flat.keys()) == ["root", "root_tags"], list(flat.keys())
glueContext.write_dynamic_frame.from_options(mapped.drop_fields(["tags"]), "s3", {"path": "s3://work/visited/"}, "json")
job.commit()
"""
    done = succeeded(run(ready, "visits", SCRIPT + text))
    said = errors_of(ready, done)
    assert "ZeroDivisionError" in said and "visits.py" in said, said
    assert 'failed: ColumnValues "ratio" < 1' in said, said
