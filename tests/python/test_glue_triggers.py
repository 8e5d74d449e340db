"""Glue's triggers and workflows: what starts jobs and crawlers, and what follows when they end."""

import json
import time

import pytest

from harness import discard, new_lake, wait_until
from lakes import ROLE, arn, count, rule


@pytest.fixture
def lake():
    lake = new_lake()
    yield lake
    discard(lake)


@pytest.fixture
def glue(lake):
    return lake.client("glue")


def prepare(lake, *jobs, fails=()):
    """A bucket with a file, a crawler `sales` over it, and jobs that convert its table each into its own; those in `fails` name no table."""
    glue = lake.client("glue")
    lake.bucket("raw")
    lake.bucket("processed")
    for database in ("raw", "processed"):
        glue.create_database(DatabaseInput={"Name": database, "LocationUri": f"s3://{database}/"})
    lake.put("raw", "sales/1.csv", "id,amount\n1,10\n2,20\n")
    glue.create_crawler(Name="sales", Role=ROLE, DatabaseName="raw", Targets={"S3Targets": [{"Path": "s3://raw/sales/"}]})
    for job in (*jobs, *fails):
        arguments = {
            "--source-database": "raw",
            "--source-table": "missing" if job in fails else "sales",
            "--target-database": "processed",
            "--target-table": job,
        }
        glue.create_job(Name=job, Role=ROLE, Command={"Name": "millpond"}, DefaultArguments=arguments)


def runs(glue, job):
    return glue.get_job_runs(JobName=job)["JobRuns"]


def wait_runs(glue, job, state="SUCCEEDED", number=1):
    def ended():
        found = [run for run in runs(glue, job) if run["JobRunState"] == state]
        return found if len(found) >= number else None

    return wait_until(ended, what=f"{number} runs of {job} in state {state}")


def conditional(name, *conditions, actions, logical=None, **more):
    predicate = {"Conditions": [{"LogicalOperator": "EQUALS", **condition} for condition in conditions]}
    if logical:
        predicate["Logical"] = logical
    return {"Name": name, "Type": "CONDITIONAL", "Predicate": predicate, "Actions": actions, "StartOnCreation": True, **more}


def test_a_chain_of_triggers_goes_from_a_crawler_to_jobs_and_their_end(lake, glue):
    prepare(lake, "first", "second")
    lake.crawl("sales")
    glue.create_trigger(Name="go", Type="ON_DEMAND", Actions=[{"CrawlerName": "sales"}])
    glue.create_trigger(
        **conditional("crawled", {"CrawlerName": "sales", "CrawlState": "SUCCEEDED"}, actions=[{"JobName": "first", "Timeout": 7}])
    )
    glue.create_trigger(**conditional("converted", {"JobName": "first", "State": "SUCCEEDED"}, actions=[{"JobName": "second"}]))
    assert glue.get_trigger(Name="go")["Trigger"]["State"] == "CREATED"
    assert glue.get_trigger(Name="crawled")["Trigger"]["State"] == "ACTIVATED"
    assert glue.start_trigger(Name="go")["Name"] == "go"
    [run] = wait_runs(glue, "second")
    assert run["TriggerName"] == "converted"
    [first] = runs(glue, "first")
    assert (first["TriggerName"], first["Timeout"]) == ("crawled", 7)
    # Runs of jobs are predecessors, crawls are not. GetJobRun tells of them where it is asked to.
    predecessors = [{"JobName": "first", "RunId": first["Id"]}]
    assert (first["PredecessorRuns"], run["PredecessorRuns"]) == ([], predecessors)
    own = {"JobName": "second", "RunId": run["Id"]}
    assert glue.get_job_run(**own, PredecessorsIncluded=True)["JobRun"]["PredecessorRuns"] == predecessors
    assert glue.get_job_run(**own)["JobRun"]["PredecessorRuns"] == []
    assert count(lake, "processed.second") == 2


def test_what_was_started_by_hand_makes_no_trigger_fire(lake, glue):
    prepare(lake, "first", "second")
    lake.crawl("sales")
    glue.create_trigger(**conditional("converted", {"JobName": "first", "State": "SUCCEEDED"}, actions=[{"JobName": "second"}]))
    assert lake.run_job("first")["JobRunState"] == "SUCCEEDED"
    time.sleep(0.5)
    assert runs(glue, "second") == []


def test_all_conditions_or_any_of_them(lake, glue):
    prepare(lake, "one", "both", "either", fails=("bad",))
    lake.crawl("sales")
    glue.create_trigger(Name="start-one", Type="ON_DEMAND", Actions=[{"JobName": "one"}])
    glue.create_trigger(Name="start-bad", Type="ON_DEMAND", Actions=[{"JobName": "bad"}])
    ends = ({"JobName": "one", "State": "SUCCEEDED"}, {"JobName": "bad", "State": "FAILED"})
    glue.create_trigger(**conditional("all", *ends, actions=[{"JobName": "both"}], logical="AND"))
    glue.create_trigger(**conditional("some", *ends, actions=[{"JobName": "either"}], logical="ANY"))
    glue.start_trigger(Name="start-one")
    wait_runs(glue, "either")
    assert runs(glue, "both") == []
    glue.start_trigger(Name="start-bad")
    wait_runs(glue, "either", number=2)
    wait_runs(glue, "both")
    # What made it fire is used up: it fires again when both have ended once more.
    glue.start_trigger(Name="start-one")
    wait_runs(glue, "either", number=3)
    assert len(runs(glue, "both")) == 1


def test_a_trigger_that_is_stopped_hears_nothing(lake, glue):
    prepare(lake, "first", "second")
    lake.crawl("sales")
    glue.create_trigger(Name="go", Type="ON_DEMAND", Actions=[{"JobName": "first"}])
    glue.create_trigger(**conditional("after", {"JobName": "first", "State": "SUCCEEDED"}, actions=[{"JobName": "second"}]))
    glue.stop_trigger(Name="after")
    assert glue.get_trigger(Name="after")["Trigger"]["State"] == "DEACTIVATED"
    glue.start_trigger(Name="go")
    wait_runs(glue, "first")
    glue.start_trigger(Name="after")
    glue.start_trigger(Name="go")
    wait_runs(glue, "second")
    assert len(runs(glue, "second")) == 1


def test_a_retried_run_counts_when_its_last_attempt_has_ended(lake, glue):
    prepare(lake, "after", fails=("bad",))
    lake.crawl("sales")
    glue.update_job(
        JobName="bad",
        JobUpdate={
            "Role": ROLE,
            "Command": {"Name": "millpond"},
            "MaxRetries": 2,
            "DefaultArguments": glue.get_job(JobName="bad")["Job"]["DefaultArguments"],
        },
    )
    glue.create_trigger(Name="go", Type="ON_DEMAND", Actions=[{"JobName": "bad"}])
    glue.create_trigger(**conditional("failed", {"JobName": "bad", "State": "FAILED"}, actions=[{"JobName": "after"}]))
    glue.start_trigger(Name="go")
    wait_runs(glue, "after")
    assert sorted(run["Attempt"] for run in runs(glue, "bad")) == [0, 1, 2]
    time.sleep(0.3)
    assert len(runs(glue, "after")) == 1


def test_a_schedule_fires_and_survives_a_kill(lake, glue):
    prepare(lake, "first")
    lake.crawl("sales")
    glue.create_trigger(
        Name="each-minute", Type="SCHEDULED", Schedule="cron(* * * * ? *)", Actions=[{"JobName": "first"}], StartOnCreation=True
    )
    lake.kill9()
    lake.start()
    glue = lake.client("glue")
    wait_until(lambda: runs(glue, "first"), timeout_s=75, what="the run at the full minute")
    glue.stop_trigger(Name="each-minute")
    assert glue.get_trigger(Name="each-minute")["Trigger"]["State"] == "DEACTIVATED"


def test_crawlers_have_schedules_that_are_started_stopped_and_changed(lake, glue):
    prepare(lake)
    with pytest.raises(glue.exceptions.NoScheduleException):
        glue.start_crawler_schedule(CrawlerName="sales")
    glue.update_crawler_schedule(CrawlerName="sales", Schedule="cron(0 12 * * ? *)")
    schedule = lambda: glue.get_crawler(Name="sales")["Crawler"]["Schedule"]  # noqa: E731
    assert schedule() == {"ScheduleExpression": "cron(0 12 * * ? *)", "State": "SCHEDULED"}
    glue.stop_crawler_schedule(CrawlerName="sales")
    assert schedule()["State"] == "NOT_SCHEDULED"
    with pytest.raises(glue.exceptions.SchedulerNotRunningException):
        glue.stop_crawler_schedule(CrawlerName="sales")
    glue.update_crawler_schedule(CrawlerName="sales", Schedule="cron(* * * * ? *)")
    wait_until(
        lambda: glue.list_crawls(CrawlerName="sales")["Crawls"], timeout_s=75, what="the crawl at the full minute"
    )


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"Type": "SCHEDULED"}, "must have a Schedule"),
        ({"Type": "SCHEDULED", "Schedule": "rate(5 minutes)"}, "must have the form cron"),
        ({"Type": "ON_DEMAND", "Schedule": "cron(0 12 * * ? *)"}, "Only a trigger of type SCHEDULED"),
        ({"Type": "ON_DEMAND", "StartOnCreation": True}, "StartOnCreation"),
        ({"Type": "CONDITIONAL"}, "must have a Predicate"),
        ({"Type": "CONDITIONAL", "Predicate": {"Conditions": [{"JobName": "first", "State": "RUNNING"}]}}, "must be one of SUCCEEDED"),
        (
            {
                "Type": "CONDITIONAL",
                "Predicate": {
                    "Conditions": [{"JobName": "first", "State": "FAILED"}, {"JobName": "first", "State": "SUCCEEDED"}]
                },
            },
            "Predicate.Logical",
        ),
        ({"Type": "EVENT"}, "must belong to a workflow"),
        ({"Type": "ON_DEMAND", "Actions": []}, "at least one action"),
        ({"Type": "ON_DEMAND", "Actions": [{"JobName": "a", "CrawlerName": "b"}]}, "either a JobName or a CrawlerName"),
    ],
)
def test_a_wrong_trigger_is_refused_with_the_reason(lake, glue, wrong, says):
    prepare(lake, "first")
    with pytest.raises(glue.exceptions.InvalidInputException, match=says):
        glue.create_trigger(**{"Name": "wrong", "Actions": [{"JobName": "first"}], **wrong})


def test_triggers_are_listed_changed_tagged_and_deleted(lake, glue):
    prepare(lake, "first", "second")
    for at in range(3):
        glue.create_trigger(Name=f"t{at}", Type="ON_DEMAND", Actions=[{"JobName": "first"}], Tags={"at": str(at)})
    with pytest.raises(glue.exceptions.AlreadyExistsException):
        glue.create_trigger(Name="t0", Type="ON_DEMAND", Actions=[{"JobName": "first"}])
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.create_trigger(Name="t9", Type="ON_DEMAND", Actions=[{"JobName": "nowhere"}])
    names, token = [], {}
    while True:
        page = glue.list_triggers(MaxResults=2, **token)
        names += page["TriggerNames"]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert names == ["t0", "t1", "t2"]
    updated = glue.update_trigger(Name="t1", TriggerUpdate={"Actions": [{"JobName": "second"}], "Description": "changed"})["Trigger"]
    assert (updated["Actions"], updated["Description"], updated["Type"]) == ([{"JobName": "second"}], "changed", "ON_DEMAND")
    # The definition is overwritten: what an update does not say is gone.
    updated = glue.update_trigger(Name="t1", TriggerUpdate={"Actions": [{"JobName": "second"}]})["Trigger"]
    assert "Description" not in updated and updated["Type"] == "ON_DEMAND"
    with pytest.raises(glue.exceptions.InvalidInputException, match="at least one action"):
        glue.update_trigger(Name="t1", TriggerUpdate={"Description": "nothing to do"})
    with pytest.raises(glue.exceptions.InvalidInputException, match="keeps its name"):
        glue.update_trigger(Name="t1", TriggerUpdate={"Name": "t8", "Actions": [{"JobName": "second"}]})
    assert [one["Name"] for one in glue.get_triggers(DependentJobName="first")["Triggers"]] == ["t0", "t2"]
    assert glue.list_triggers(Tags={"at": "2"})["TriggerNames"] == ["t2"]
    assert glue.get_tags(ResourceArn=arn("glue", "trigger/t0"))["Tags"] == {"at": "0"}
    glue.delete_trigger(Name="t0")
    assert glue.batch_get_triggers(TriggerNames=["t0", "t1"])["TriggersNotFound"] == ["t0"]
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.get_trigger(Name="t0")


def workflow_of_two(glue, starts="ON_DEMAND"):
    glue.create_workflow(Name="daily", DefaultRunProperties={"day": "monday", "kind": "full"}, MaxConcurrentRuns=1)
    glue.create_trigger(Name="begin", WorkflowName="daily", Type=starts, Actions=[{"JobName": "first"}])
    glue.create_trigger(
        **conditional("then", {"JobName": "first", "State": "SUCCEEDED"}, actions=[{"JobName": "second"}], WorkflowName="daily")
    )


def wait_workflow(glue, run_id, status="COMPLETED"):
    def ended():
        run = glue.get_workflow_run(Name="daily", RunId=run_id, IncludeGraph=True)["Run"]
        return run if run["Status"] == status else None

    return wait_until(ended, what=f"the workflow's run in state {status}")


def test_a_run_of_a_workflow_goes_through_its_triggers_once(lake, glue):
    prepare(lake, "first", "second")
    lake.crawl("sales")
    workflow_of_two(glue)
    run_id = glue.start_workflow_run(Name="daily", RunProperties={"day": "tuesday"})["RunId"]
    run = wait_workflow(glue, run_id)
    assert run["WorkflowRunProperties"] == {"day": "tuesday", "kind": "full"}
    counts = run["Statistics"]
    assert (counts["TotalActions"], counts["SucceededActions"], counts["RunningActions"]) == (2, 2, 0)
    nodes = {(node["Type"], node["Name"]): node for node in run["Graph"]["Nodes"]}
    assert set(nodes) == {("TRIGGER", "begin"), ("TRIGGER", "then"), ("JOB", "first"), ("JOB", "second")}
    [second] = nodes["JOB", "second"]["JobDetails"]["JobRuns"]
    assert second["Arguments"]["--WORKFLOW_RUN_ID"] == run_id and second["Arguments"]["--WORKFLOW_NAME"] == "daily"
    ids = {node["UniqueId"]: name for (_, name), node in nodes.items()}
    edges = {(ids[edge["SourceId"]], ids[edge["DestinationId"]]) for edge in run["Graph"]["Edges"]}
    assert edges == {("begin", "first"), ("first", "then"), ("then", "second")}
    glue.put_workflow_run_properties(Name="daily", RunId=run_id, RunProperties={"rows": "2"})
    properties = glue.get_workflow_run_properties(Name="daily", RunId=run_id)["RunProperties"]
    assert properties == {"day": "tuesday", "kind": "full", "rows": "2"}
    workflow = glue.get_workflow(Name="daily", IncludeGraph=True)["Workflow"]
    assert workflow["LastRun"]["WorkflowRunId"] == run_id and len(workflow["Graph"]["Nodes"]) == 4
    assert [one["WorkflowRunId"] for one in glue.get_workflow_runs(Name="daily")["Runs"]] == [run_id]
    # By the AWS CLI it is the same.
    shown = json.loads(lake.aws("glue", "get-workflow-run", "--name", "daily", "--run-id", run_id))
    assert shown["Run"]["Status"] == "COMPLETED"


def test_a_workflow_whose_job_fails_is_completed_and_says_so(lake, glue):
    prepare(lake, "second", fails=("first",))
    workflow_of_two(glue)
    run = wait_workflow(glue, glue.start_workflow_run(Name="daily")["RunId"])
    assert (run["Statistics"]["FailedActions"], run["Statistics"]["TotalActions"]) == (1, 1)
    assert runs(glue, "second") == []


def test_what_a_workflow_cannot_start_is_an_errored_action(lake, glue):
    prepare(lake, "first", "second")
    workflow_of_two(glue)
    glue.delete_job(JobName="first")
    run = wait_workflow(glue, glue.start_workflow_run(Name="daily")["RunId"])
    assert (run["Statistics"]["ErroredActions"], run["Statistics"]["TotalActions"]) == (1, 1)


def test_a_workflow_whose_job_is_deleted_while_it_runs_is_completed(lake, glue):
    prepare(lake, "first", "second")
    # Enough that the run is under way when its job is deleted, or has not begun.
    lines = "".join(f"{at},{at}\n" for at in range(400_000))
    lake.put("raw", "sales/2.csv", "id,amount\n" + lines)
    lake.crawl("sales")
    workflow_of_two(glue)
    run_id = glue.start_workflow_run(Name="daily")["RunId"]
    glue.delete_job(JobName="first")
    run = wait_workflow(glue, run_id)
    assert (run["Statistics"]["StoppedActions"], run["Statistics"]["TotalActions"]) == (1, 1)
    assert glue.start_workflow_run(Name="daily")["RunId"] != run_id, "its one place is free"


def test_workflows_are_refused_what_they_cannot_do(lake, glue):
    prepare(lake, "first", "second")
    glue.create_workflow(Name="daily")
    with pytest.raises(glue.exceptions.InvalidInputException, match="no starting trigger"):
        glue.start_workflow_run(Name="daily")
    glue.create_trigger(Name="begin", WorkflowName="daily", Type="ON_DEMAND", Actions=[{"JobName": "first"}])
    with pytest.raises(glue.exceptions.InvalidInputException, match="has a starting trigger already: begin"):
        glue.create_trigger(Name="other", WorkflowName="daily", Type="ON_DEMAND", Actions=[{"JobName": "first"}])
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.create_trigger(Name="other", WorkflowName="nowhere", Type="ON_DEMAND", Actions=[{"JobName": "first"}])
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.start_workflow_run(Name="nowhere")
    lake.crawl("sales")
    run_id = glue.start_workflow_run(Name="daily")["RunId"]
    wait_workflow(glue, run_id)
    with pytest.raises(glue.exceptions.IllegalWorkflowStateException, match="COMPLETED"):
        glue.stop_workflow_run(Name="daily", RunId=run_id)
    glue.delete_workflow(Name="daily")
    assert glue.list_triggers()["TriggerNames"] == []
    assert glue.list_workflows()["Workflows"] == []


def test_an_event_starts_a_workflow(lake, glue):
    prepare(lake, "first", "second")
    lake.crawl("sales")
    workflow_of_two(glue, starts="EVENT")
    lake.client("s3").put_bucket_notification_configuration(
        Bucket="raw", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": {"object": {"key": [{"prefix": "go/"}]}}}
    rule(lake.client("events"), "arrived", pattern, arn("glue", "workflow/daily"))
    lake.put("raw", "go/now", "x")
    wait_runs(glue, "second")
    [run] = glue.get_workflow_runs(Name="daily")["Runs"]
    wait_workflow(glue, run["WorkflowRunId"])


def test_a_workflow_goes_on_after_a_kill(lake, glue):
    prepare(lake, "first", "second")
    lake.crawl("sales")
    workflow_of_two(glue)
    run_id = glue.start_workflow_run(Name="daily")["RunId"]
    lake.kill9()
    lake.start()
    glue = lake.client("glue")
    run = wait_workflow(glue, run_id)
    assert run["Statistics"]["SucceededActions"] == 2
    assert (len(runs(glue, "first")), len(runs(glue, "second"))) == (1, 1)
    assert count(lake, "processed.second") == 2
