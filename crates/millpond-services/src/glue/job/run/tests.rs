//! Which run a task takes up, and what a run does whose end somebody else has told.

use super::{JobRunHandler, commit, end, find, pick, select};
use crate::glue::GlueError;
use crate::glue::job::script::SCRIPT;
use crate::glue::job::testing::Pond;
use crate::glue::job::{ConvertArguments, JobRun, JobSpec, RUN, RunState, RunStats, StartRun, ending, rows};
use crate::runtime::Handler;
use millpond_store::task::{Task, is_pending};
use serde_json::{Value, json};

async fn put_job(pond: &Pond, name: &'static str, spec: Value) {
    let spec: JobSpec = serde_json::from_value(spec).unwrap();
    let put = pond.lake.store.write(move |tx| match rows::update(tx, name, &spec)? {
        true => Ok(true),
        false => rows::insert(tx, name, &spec),
    });
    assert!(put.await.unwrap());
}

fn script(runs_max: i32) -> Value {
    let command = json!({"Name": "glueetl", "ScriptLocation": "s3://raw/x.py"});
    json!({"Role": "r", "Command": command, "ExecutionProperty": {"MaxConcurrentRuns": runs_max}, "MaxRetries": 1})
}

fn conversion(runs_max: i32) -> Value {
    let arguments = json!({
        "--source-database": "raw", "--source-table": "flights", "--target-database": "processed", "--target-table": "flights"
    });
    let command = json!({"Name": "millpond"});
    json!({"Role": "r", "Command": command, "DefaultArguments": arguments, "ExecutionProperty": {"MaxConcurrentRuns": runs_max}})
}

async fn flights() -> Pond {
    let pond = Pond::new().await;
    pond.put(&[("s3://raw/flights/jan.csv", b"year,month\n2013,1\n2013,1\n2013,1\n")]).await;
    pond.crawl("s3://raw/flights/", json!({})).await;
    pond
}

/// A run, with other arguments than the job's where `bookmark` is off.
async fn start(pond: &Pond, job: &str, bookmark: bool) -> String {
    let option = ("--job-bookmark-option".to_owned(), "job-bookmark-disable".to_owned());
    let arguments = if bookmark { [].into() } else { [option].into() };
    pond.glue.start_job_run(job.into(), StartRun { arguments, queue: Some(true), ..StartRun::default() }).await.unwrap()
}

async fn lease(pond: &Pond, kind: &'static str) -> Vec<Task> {
    pond.lake.store.write(move |tx| tx.lease_tasks(kind, 9)).await.unwrap()
}

/// The id of the run that the only task of a kind is about; the task is done.
async fn found(pond: &Pond, kind: &'static str) -> Option<String> {
    let tasks = lease(pond, kind).await;
    assert_eq!(tasks.len(), 1);
    let look = pond.lake.store.write(move |tx| {
        tx.finish_task(&tasks[0])?;
        find(tx, &tasks[0])
    });
    look.await.unwrap().map(|run| run.id)
}

async fn set_running(pond: &Pond, id: &str) {
    let id = id.to_owned();
    pond.lake.store.write(move |tx| rows::set_run_state(tx, &id, RunState::Running)).await.unwrap();
}

async fn set_ended(pond: &Pond, job: &str, id: &str, state: RunState) {
    let (run, place) = (pond.glue.job_run(job.into(), id.into()).await.unwrap(), pond.lake.place.clone());
    let ended = pond.lake.store.write(move |tx| ending::end(tx, &place, &run, state, None, &RunStats::default()));
    ended.await.unwrap();
}

async fn run(pond: &Pond, id: &str) -> JobRun {
    let id = id.to_owned();
    pond.lake.store.read(move |connection| rows::run(connection, &id)).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_task_takes_up_no_run_of_another_task() {
    let pond = Pond::new().await;
    put_job(&pond, "s", script(2)).await;
    let first = start(&pond, "s", true).await;
    assert_eq!(lease(&pond, SCRIPT).await.len(), 1);
    set_running(&pond, &first).await;
    put_job(&pond, "s", script(1)).await;
    let second = start(&pond, "s", true).await;
    assert_eq!(found(&pond, SCRIPT).await, None, "the second waits for the first, which another worker executes");
    set_ended(&pond, "s", &first, RunState::Succeeded).await;
    assert_eq!(found(&pond, SCRIPT).await, Some(second));
}

#[tokio::test]
async fn a_run_that_waits_does_not_hold_up_the_next_attempt_of_the_one_before_it() {
    let pond = Pond::new().await;
    put_job(&pond, "s", script(1)).await;
    let first = start(&pond, "s", true).await;
    assert_eq!(found(&pond, SCRIPT).await.as_ref(), Some(&first));
    set_running(&pond, &first).await;
    let second = start(&pond, "s", true).await;
    set_ended(&pond, "s", &first, RunState::Failed).await;
    let again = found(&pond, SCRIPT).await.unwrap();
    assert_eq!(again, format!("{first}_attempt_1"));
    set_ended(&pond, "s", &again, RunState::Failed).await;
    assert_eq!(found(&pond, SCRIPT).await, Some(second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_one_job_with_and_without_bookmark_are_converted_once_each() {
    let pond = flights().await;
    let handler = JobRunHandler { glue: pond.glue.clone(), engine: pond.engine.clone(), limits: pond.limits };
    put_job(&pond, "j", conversion(2)).await;
    let first = start(&pond, "j", false).await;
    let of_first = lease(&pond, RUN).await.remove(0);
    pick(&pond.lake, &of_first).await.unwrap();
    let second = start(&pond, "j", true).await;
    handler.run(&pond.lake, &lease(&pond, RUN).await.remove(0)).await.unwrap();
    assert_eq!((run(&pond, &first).await.state, run(&pond, &second).await.state), (RunState::Running, RunState::Succeeded));
    put_job(&pond, "j", conversion(1)).await;
    let third = start(&pond, "j", true).await;
    let waits = lease(&pond, RUN).await.remove(0);
    handler.run(&pond.lake, &waits).await.unwrap();
    assert_eq!(run(&pond, &third).await.state, RunState::Waiting, "one may run at once, and one does");
    handler.run(&pond.lake, &of_first).await.unwrap();
    pond.work().await;
    assert_eq!((run(&pond, &first).await.stats.rows_out, run(&pond, &third).await.state), (3, RunState::Succeeded));
    assert_eq!(pond.sql("select count(*) from processed.flights").await, ["6"]);
    assert_eq!(pond.events("Glue Job State Change").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_has_ended_commits_nothing() {
    let pond = flights().await;
    put_job(&pond, "j", conversion(1)).await;
    let id = start(&pond, "j", true).await;
    let task = lease(&pond, RUN).await.remove(0);
    let run = pick(&pond.lake, &task).await.unwrap().unwrap();
    let arguments = ConvertArguments::read(&run.spec.arguments(&run.arguments)).unwrap();
    let (wanted, limits) = (arguments.clone(), pond.limits);
    let selected = pond.lake.store.read(move |connection| select::select(connection, "j", &wanted, limits)).await.unwrap();
    end(&pond.lake, None, run.clone(), RunState::Failed, None).await.unwrap();
    let work = commit::Work { place: pond.lake.place.clone(), task, run, arguments, selected, outcome: None };
    pond.lake.store.write(move |tx| commit::commit(tx, work)).await.unwrap();
    assert_eq!(pond.glue.job_run("j".into(), id).await.unwrap().state, RunState::Failed);
    assert!(matches!(pond.glue.job_bookmarks("j".into(), None).await.unwrap_err(), GlueError::EntityNotFound(_)));
    assert_eq!(pond.events("Glue Job State Change").await.len(), 1);
}

#[tokio::test]
async fn the_end_of_a_run_is_told_once_though_its_job_was_deleted() {
    let pond = Pond::new().await;
    put_job(&pond, "j", conversion(1)).await;
    start(&pond, "j", true).await;
    let task = lease(&pond, RUN).await.remove(0);
    let run = pick(&pond.lake, &task).await.unwrap().unwrap();
    pond.glue.delete_job("j".into()).await.unwrap();
    end(&pond.lake, Some(&task), run, RunState::Stopped, None).await.unwrap();
    let events = pond.events("Glue Job State Change").await;
    assert_eq!(events.iter().map(|event| &event["state"]).collect::<Vec<_>>(), ["STOPPED"]);
    let pending = pond.lake.store.read(|connection| is_pending(connection, RUN, "j")).await.unwrap();
    assert!(!pending);
}
