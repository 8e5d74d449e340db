//! Runs of Millpond's own command over a real store and engine.

use super::testing::{Pond, binary};
use super::{Arguments, JobSpec, RunState, StartRun, deliver_to_job};
use crate::glue::GlueError;
use serde_json::json;
use std::collections::BTreeMap;

const JANUARY: &[u8] = b"year,month,carrier,delay\n2013,1,UA,2\n2013,1,AA,NA\n2013,1,B6,-4\n";
const FEBRUARY: &[u8] = b"year,month,carrier,delay,tail\n2013,2,UA,7,N1\n2013,2,AA,late,N2\n";

async fn crawled(files: &[(&str, &[u8])]) -> Pond {
    let pond = Pond::new().await;
    pond.put(files).await;
    pond.crawl("s3://raw/flights/", json!({"RecrawlPolicy": {"RecrawlBehavior": "CRAWL_EVENT_MODE"}})).await;
    pond
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_converts_what_is_new_once_and_accounts_for_every_row() {
    let pond = crawled(&[("s3://raw/flights/jan.csv", JANUARY)]).await;
    let run = pond.convert("flights", &[("partition-by", "year,month"), ("source-file", "true")]).await;
    assert_eq!((run.state, run.message.as_deref()), (RunState::Succeeded, None));
    assert_eq!((run.stats.files, run.stats.rows_in, run.stats.rows_out), (1, 3, 3));
    assert_eq!(pond.sql("select count(*), sum(delay) from processed.flights where month = 1").await, ["3|-2"]);
    assert_eq!(pond.sql("select distinct source_file from processed.flights").await, ["s3://raw/flights/jan.csv"]);

    let again = pond.convert("flights", &[]).await;
    assert_eq!((again.state, again.stats.files, again.stats.rows_out), (RunState::Succeeded, 0, 0));

    pond.put(&[("s3://raw/flights/feb.csv", FEBRUARY)]).await;
    pond.crawl("", json!({})).await;
    let run = pond.convert("flights", &[]).await;
    assert_eq!((run.stats.rows_in, run.stats.rows_out, run.stats.rows_quarantined), (2, 1, 1));
    assert!(run.message.unwrap().contains("1 of 2 rows went to processed.flights_quarantine"));
    assert_eq!(pond.sql("select count(*), count(tail) from processed.flights").await, ["4|1"]);
    let quarantined = pond.sql("select source_file, line, \"column\", value from processed.flights_quarantine").await;
    assert_eq!(quarantined, ["s3://raw/flights/feb.csv|3|delay|late"]);

    let entries = pond.glue.run_entries(run.id, 0, 10, false).await.unwrap();
    assert_eq!((entries.len(), entries[0].entry.rows_quarantined), (1, 1));
    let events = pond.events("Glue Job State Change").await;
    assert_eq!(events.iter().map(|event| event["state"].as_str().unwrap()).collect::<Vec<_>>(), ["SUCCEEDED"; 3]);
    assert_eq!((&events[2]["millpond"]["rowsOut"], &events[2]["severity"]), (&json!(1), &json!("INFO")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overwritten_file_counts_by_its_version() {
    let pond = crawled(&[("s3://raw/flights/jan.csv", JANUARY)]).await;
    pond.convert("flights", &[]).await;
    pond.put(&[("s3://raw/flights/jan.csv", JANUARY)]).await;
    pond.crawl("", json!({})).await;
    assert_eq!(pond.convert("flights", &[]).await.stats.files, 0, "the same version");
    pond.put(&[("s3://raw/flights/jan.csv", b"year,month,carrier,delay\n2013,1,DL,9\n")]).await;
    pond.crawl("", json!({})).await;
    assert_eq!(pond.convert("flights", &[]).await.stats.rows_out, 1, "another version");
    assert_eq!(pond.sql("select count(*) from processed.flights").await, ["4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_bookmark_reads_everything_again() {
    let pond = crawled(&[("s3://raw/flights/jan.csv", JANUARY)]).await;
    assert!(matches!(pond.glue.job_bookmarks("j".into(), None).await.unwrap_err(), GlueError::EntityNotFound(_)));
    pond.convert("flights", &[]).await;
    assert_eq!(pond.glue.job_bookmarks("j".into(), None).await.unwrap()[0].runs, 1);
    pond.glue.reset_job_bookmark("j".into(), None).await.unwrap();
    assert_eq!(pond.convert("flights", &[]).await.stats.rows_out, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_between_source_and_target_is_applied() {
    let pond = crawled(&[("s3://raw/flights/jan.csv", JANUARY)]).await;
    let sql = "select carrier, delay * 2 as twice, month from input where delay is not null";
    let run = pond.convert("flights", &[("sql", sql), ("partition-by", "month")]).await;
    assert_eq!((run.state, run.stats.rows_in, run.stats.rows_out), (RunState::Succeeded, 3, 2));
    assert_eq!(pond.sql("select sum(twice) from processed.flights").await, ["-4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_cannot_work_says_why_and_is_tried_again_as_the_job_says() {
    let pond = crawled(&[("s3://raw/flights/jan.csv", JANUARY)]).await;
    let run = pond.convert("flights", &[("sql", "select nothing from input")]).await;
    assert_eq!(run.state, RunState::Failed);
    assert!(run.message.unwrap().contains("nothing"), "the message names the column");
    let mut spec = pond.glue.job("j".into()).await.unwrap().spec;
    spec.default_arguments.remove("--sql");
    spec.default_arguments.insert("--source-table".into(), "none".into());
    spec.max_retries = Some(1);
    pond.glue.update_job("j".into(), spec).await.unwrap();
    let run = pond.convert("flights", &[]).await;
    assert!(run.message.unwrap().contains("raw.none does not exist"));
    let runs = pond.glue.job_runs("j".into(), None, 10).await.unwrap().items;
    assert_eq!((runs.len(), runs[0].attempt, runs[0].previous.as_ref()), (3, 1, Some(&run.id)));
    assert_eq!(pond.events("Glue Job State Change").await[0]["severity"], "ERROR");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_files_do_not_hold_up_the_others_and_counts_add_up() {
    let binary = binary();
    let wide: Vec<String> = (0..2_000).map(|at| format!("c{at}")).collect();
    let wide = format!("{}\n{}\n", wide.join(","), vec!["1"; 2_000].join(","));
    let files: [(&str, &[u8]); 9] = [
        ("s3://raw/flights/good.csv", JANUARY),
        ("s3://raw/flights/good2.csv", b"year,month,carrier,delay\n2013,3,UA,1\n"),
        ("s3://raw/flights/empty.csv", b""),
        ("s3://raw/flights/header.csv", b"year,month,carrier,delay\n"),
        ("s3://raw/flights/ragged.csv", b"year,month,carrier,delay\n2013,1,UA\n2013,1,UA,1,2,3\n2013,1,AA,5\n"),
        ("s3://raw/flights/latin.csv", b"year,month,carrier,delay\n2013,1,Z\xfcrich,5\n"),
        ("s3://raw/flights/broken.csv.gz", &[0x1f, 0x8b, 8, 0, 1, 2, 3]),
        ("s3://raw/flights/binary.csv", &binary),
        ("s3://raw/flights/twice.csv", b"year,month,carrier,delay,delay,\n2013,1,UA,5,6,7\n"),
    ];
    let pond = crawled(&files).await;
    pond.put(&[("s3://raw/wide/wide.csv", wide.as_bytes())]).await;
    let run = pond.convert("flights", &[]).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.message);
    let stats = run.stats;
    assert_eq!(stats.rows_in, stats.rows_out + stats.rows_quarantined);
    assert!(stats.files_failed >= 2, "{stats:?}");
    let entries = pond.glue.run_entries(run.id, 0, 100, false).await.unwrap();
    for entry in &entries {
        let entry = &entry.entry;
        assert_eq!(entry.rows_in, entry.rows_out + entry.rows_quarantined, "{}", entry.key);
    }
    let sum = entries.iter().map(|entry| entry.entry.rows_out).sum::<u64>();
    assert_eq!(pond.sql("select count(*) from processed.flights").await, [sum.to_string()]);
    assert_eq!(pond.sql("select count(*) from processed.flights_quarantine").await, [stats.rows_quarantined.to_string()]);
    assert_eq!(pond.sql("select carrier from processed.flights where carrier like 'Z%'").await, ["Zürich"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_any_two_steps_leaves_each_row_once() {
    let pond = crawled(&[("s3://raw/flights/jan.csv", JANUARY)]).await;
    let id = pond.start("flights", &[]).await;
    pond.lake.store.write(|tx| tx.lease_tasks("glue.job-run", 1)).await.unwrap();
    let pond = pond.reopen().await;
    pond.work().await;
    assert_eq!(pond.glue.job_run("j".into(), id).await.unwrap().state, RunState::Succeeded);
    pond.convert("flights", &[]).await;
    assert_eq!(pond.sql("select count(*) from processed.flights").await, ["3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_coalesce_and_starts_beyond_the_limit_are_refused() {
    let pond = crawled(&[("s3://raw/flights/jan.csv", JANUARY)]).await;
    let first = pond.start("flights", &[]).await;
    let more = pond.glue.start_job_run("j".into(), StartRun::default()).await;
    assert!(matches!(more.unwrap_err(), GlueError::ConcurrentRunsExceeded(_)));
    for _ in 0..10 {
        let id = pond.lake.store.write(|tx| deliver_to_job(tx, "j", Arguments::new())).await.unwrap();
        assert_eq!(id, first, "the run that waits does the work of all");
    }
    let queued = pond.glue.start_job_run("j".into(), StartRun { queue: Some(true), ..StartRun::default() }).await.unwrap();
    assert_eq!(pond.glue.job_run("j".into(), queued.clone()).await.unwrap().state, RunState::Waiting);
    pond.work().await;
    for id in [first, queued] {
        assert_eq!(pond.glue.job_run("j".into(), id).await.unwrap().state, RunState::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_one_run_takes_is_left_to_the_next_which_follows_at_once() {
    let mut pond = Pond::new().await;
    let names: Vec<String> = (0..25).map(|at| format!("s3://raw/flights/{at:02}.csv")).collect();
    let bodies: Vec<String> = (0..25).map(|at| format!("id,name\n{at},x\n{},y\n", at + 100)).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(bodies.iter().map(|body| body.as_bytes())).collect();
    pond.put(&files).await;
    pond.crawl("s3://raw/flights/", json!({})).await;
    pond.limits.files = 10;
    let run = pond.convert("flights", &[]).await;
    assert!(run.stats.more);
    let runs = pond.glue.job_runs("j".into(), None, 10).await.unwrap().items;
    assert_eq!(runs.iter().map(|run| run.stats.files).collect::<Vec<_>>(), [5, 10, 10]);
    assert_eq!(pond.sql("select count(*), count(distinct id) from processed.flights").await, ["50|50"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_run_here_can_be_defined_and_is_refused_by_name_when_started() {
    let pond = Pond::new().await;
    let spec = json!({"Role": "r", "Command": {"Name": "gluestreaming", "ScriptLocation": "s3://x/y.py"}, "GlueVersion": "4.0"});
    let spec: JobSpec = serde_json::from_value(spec).unwrap();
    pond.glue.create_job("etl".into(), spec.clone(), BTreeMap::new()).await.unwrap();
    assert!(matches!(pond.glue.create_job("etl".into(), spec, BTreeMap::new()).await.unwrap_err(), GlueError::AlreadyExists(_)));
    let error = pond.glue.start_job_run("etl".into(), StartRun::default()).await.unwrap_err();
    assert!(matches!(&error, GlueError::InvalidInput(text) if text.contains("gluestreaming")), "{error}");
    assert_eq!(pond.glue.job("etl".into()).await.unwrap().spec.kept["GlueVersion"], "4.0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_has_not_begun_can_be_stopped() {
    let pond = crawled(&[("s3://raw/flights/jan.csv", JANUARY)]).await;
    let id = pond.start("flights", &[]).await;
    let told = pond.glue.stop_job_runs("j".into(), vec![id.clone(), "jr_none".into()]).await.unwrap();
    assert!(told[0].1.is_ok() && matches!(told[1].1, Err(GlueError::EntityNotFound(_))));
    pond.work().await;
    assert_eq!(pond.glue.job_run("j".into(), id).await.unwrap().state, RunState::Stopped);
    assert!(pond.table("processed", "flights").await.is_none());
}

#[tokio::test]
async fn a_run_that_waits_gets_its_task_when_those_before_it_are_stopped_before_they_began() {
    let pond = Pond::new().await;
    let spec = json!({"Role": "r", "Command": {"Name": "glueetl", "ScriptLocation": "s3://raw/x.py"}, "ExecutionProperty": {"MaxConcurrentRuns": 2}});
    let spec: JobSpec = serde_json::from_value(spec).unwrap();
    pond.lake.store.write(move |tx| super::rows::insert(tx, "s", &spec)).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let start = StartRun { queue: Some(true), ..StartRun::default() };
        ids.push(pond.glue.start_job_run("s".into(), start).await.unwrap());
    }
    // The one that waits was looked at, and left.
    let looked = pond.lake.store.write(|tx| {
        let tasks = tx.lease_tasks(super::script::SCRIPT, 9)?;
        tasks.iter().try_for_each(|task| tx.finish_task(task))?;
        Ok::<_, millpond_store::StoreError>(tasks.len())
    });
    assert_eq!(looked.await.unwrap(), 3);
    pond.glue.stop_job_runs("s".into(), ids[..2].to_vec()).await.unwrap();
    let left = pond.lake.store.write(|tx| tx.lease_tasks(super::script::SCRIPT, 9)).await.unwrap();
    assert!(left.iter().any(|task| task.payload["run"] == ids[2].as_str()), "{left:?}");
}
