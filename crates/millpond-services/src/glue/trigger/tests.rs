//! What triggers and workflows do when runs end, over a real store.

use super::fire::{ACTION, Predecessor};
use super::spec::{Action, Condition, Logical, Predicate};
use super::{ActionHandler, NewTrigger, TriggerKind, TriggerSpec};
use crate::glue::GlueError;
use crate::glue::job::script::SCRIPT;
use crate::glue::job::testing::Pond;
use crate::glue::job::{JobRun, JobSpec, RunState, rows as jobs};
use crate::glue::workflow::{RunStatus, WorkflowSpec};
use crate::runtime::Handler;
use serde_json::{Value, json};

/// A lake with jobs that fail when they run, and a trigger `go-JOB` on demand for each.
async fn pond(names: &[&str], more: Value) -> Pond {
    let pond = Pond::new().await;
    for name in names {
        let arguments = json!({"--source-database": "raw", "--source-table": "none", "--target-database": "processed", "--target-table": "t"});
        let mut spec = json!({"Role": "r", "Command": {"Name": "millpond"}, "DefaultArguments": arguments});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        create_job(&pond, name, spec).await;
        create(&pond, &format!("go-{name}"), None, starts(name)).await;
    }
    pond
}

async fn create_job(pond: &Pond, name: &str, spec: Value) {
    let (name, spec): (_, JobSpec) = (name.to_owned(), serde_json::from_value(spec).unwrap());
    assert!(pond.lake.store.write(move |tx| jobs::insert(tx, &name, &spec)).await.unwrap());
}

async fn create(pond: &Pond, name: &str, workflow: Option<&str>, spec: TriggerSpec) {
    let start = spec.r#type == TriggerKind::Conditional;
    let new = NewTrigger { name: name.into(), workflow: workflow.map(str::to_owned), spec, start, tags: Default::default() };
    pond.glue.create_trigger(new).await.unwrap();
}

fn starts(job: &str) -> TriggerSpec {
    let action = Action { job_name: Some(job.into()), ..Action::default() };
    TriggerSpec { actions: vec![action], ..TriggerSpec::default() }
}

/// Starts `job` when all of `ends`, jobs with their states, have come.
fn when(ends: &[(&str, &str)], job: &str) -> TriggerSpec {
    let condition = |(job, state): &(&str, &str)| Condition {
        job_name: Some((*job).into()),
        state: Some((*state).into()),
        ..Condition::default()
    };
    let predicate = Predicate { logical: Some(Logical::And), conditions: ends.iter().map(condition).collect() };
    TriggerSpec { r#type: TriggerKind::Conditional, predicate: Some(predicate), ..starts(job) }
}

async fn runs(pond: &Pond, job: &str) -> Vec<JobRun> {
    pond.glue.job_runs(job.into(), None, 10).await.unwrap().items
}

/// A trigger starts a run of the job, which is stopped before it begins; answers its id.
async fn stopped(pond: &Pond, job: &str) -> String {
    pond.glue.start_trigger(format!("go-{job}")).await.unwrap();
    let id = runs(pond, job).await.remove(0).id;
    pond.glue.stop_job_runs(job.into(), vec![id.clone()]).await.unwrap().remove(0).1.unwrap();
    id
}

/// A trigger starts a run of the job, which fails; answers the id of its last attempt.
async fn failed(pond: &Pond, job: &str) -> String {
    pond.glue.start_trigger(format!("go-{job}")).await.unwrap();
    pond.work().await;
    let run = runs(pond, job).await.remove(0);
    assert_eq!(run.state, RunState::Failed);
    run.id
}

fn predecessor(job: &str, run: &str) -> Predecessor {
    Predecessor { job_name: job.into(), run_id: run.into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_that_another_end_has_overtaken_does_not_count_and_a_run_knows_its_predecessors() {
    let pond = pond(&["x", "y", "after"], json!({})).await;
    create(&pond, "both", None, when(&[("x", "STOPPED"), ("y", "STOPPED")], "after")).await;
    stopped(&pond, "x").await;
    failed(&pond, "y").await;
    failed(&pond, "x").await;
    let y = stopped(&pond, "y").await;
    assert_eq!(runs(&pond, "after").await.len(), 0, "x failed the last time");
    let x = stopped(&pond, "x").await;
    let after = runs(&pond, "after").await;
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].spec.kept["TriggerName"], "both");
    assert_eq!(after[0].spec.kept["PredecessorRuns"], json!([{"JobName": "x", "RunId": x}, {"JobName": "y", "RunId": y}]));
    assert_eq!(runs(&pond, "x").await[0].spec.kept["PredecessorRuns"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_predecessor_of_a_run_is_the_last_attempt_and_is_kept_for_what_could_not_be_started_at_once() {
    let pond = pond(&["x", "after"], json!({"MaxRetries": 1})).await;
    create(&pond, "failed", None, when(&[("x", "FAILED")], "after")).await;
    let spec = pond.glue.job("after".into()).await.unwrap().spec;
    pond.glue.delete_job("after".into()).await.unwrap();
    let x = failed(&pond, "x").await;
    assert!(x.ends_with("_attempt_1"), "{x}");
    create_job(&pond, "after", serde_json::to_value(spec).unwrap()).await;
    for task in pond.lake.store.write(|tx| tx.lease_tasks(ACTION, 9)).await.unwrap() {
        ActionHandler.run(&pond.lake, &task).await.unwrap();
    }
    let after = runs(&pond, "after").await;
    assert_eq!(after[0].spec.kept["PredecessorRuns"], json!([predecessor("x", &x)]));
}

#[tokio::test]
async fn an_update_replaces_the_whole_definition_but_the_type() {
    let pond = pond(&["x", "y"], json!({})).await;
    let spec = TriggerSpec { description: Some("the first".into()), ..when(&[("x", "FAILED")], "y") };
    create(&pond, "t", None, spec).await;
    let wanted = TriggerSpec { r#type: TriggerKind::OnDemand, ..when(&[("y", "FAILED")], "x") };
    pond.glue.update_trigger("t".into(), wanted).await.unwrap();
    assert_eq!(pond.glue.trigger("t".into()).await.unwrap().spec, when(&[("y", "FAILED")], "x"));
    let error = pond.glue.update_trigger("t".into(), starts("x")).await.unwrap_err();
    assert!(matches!(&error, GlueError::InvalidInput(text) if text.contains("Predicate")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_job_is_deleted_has_ended_for_its_workflow_and_cannot_come_back() {
    let pond = pond(&["x", "y"], json!({})).await;
    let script = json!({"Role": "r", "Command": {"Name": "glueetl", "ScriptLocation": "s3://raw/s.py"}});
    create_job(&pond, "s", script).await;
    pond.glue.create_workflow("w".into(), WorkflowSpec::default(), Default::default()).await.unwrap();
    let begin = TriggerSpec { actions: [starts("s").actions, starts("x").actions].concat(), ..TriggerSpec::default() };
    create(&pond, "begin", Some("w"), begin).await;
    create(&pond, "again", Some("w"), when(&[("s", "STOPPED")], "s")).await;
    create(&pond, "then", Some("w"), when(&[("x", "STOPPED")], "y")).await;
    let id = pond.glue.start_workflow_run("w".into(), Default::default()).await.unwrap();
    let run = runs(&pond, "s").await.remove(0).id;
    let begun = pond.lake.store.write(move |tx| {
        jobs::set_run_state(tx, &run, RunState::Running)?;
        tx.lease_tasks(SCRIPT, 1)
    });
    begun.await.unwrap();
    pond.glue.delete_job("s".into()).await.unwrap();
    pond.glue.delete_job("x".into()).await.unwrap();
    pond.work().await;
    let report = pond.glue.workflow_run("w".into(), id, false).await.unwrap();
    let counts = report.statistics;
    assert_eq!((counts.total, counts.stopped, counts.errored, counts.failed), (4, 2, 1, 1), "{counts:?}");
    assert_eq!(report.run.status, RunStatus::Completed);
    let told = pond.events("Glue Job State Change").await;
    let told: Vec<_> = told.iter().map(|event| (event["jobName"].as_str().unwrap(), event["state"].as_str().unwrap())).collect();
    assert_eq!(told, [("s", "STOPPED"), ("x", "STOPPED"), ("y", "FAILED")]);
}
