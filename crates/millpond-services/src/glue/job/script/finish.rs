//! What follows a script that ended well: its items are loaded, then one transaction makes all else that it did the lake's.
//!
//! Loads come first and can be done again; a crash at any point goes on here. Before them it is looked whether the rest can be committed, since items
//! that were put stay.

use super::operations::ItemsToLoad;
use super::rows::{self, Output, ScriptRun};
use super::tables::TableChange;
use super::{Failed, bookmarks, temporary};
use crate::glue::job::ending;
use crate::glue::job::rows::{self as jobs, JobRun, RunState, RunStats};
use crate::glue::job::spec::ITEMS;
use crate::glue::job::timeout::{Bounds, load_within};
use crate::lake::items::{ItemLoad, Loaded, Loaders};
use crate::lake::objects::{self, Cause, Object, split_uri};
use crate::lake::{Lake, staging};
use millpond_core::arn::Place;
use millpond_store::Tx;
use millpond_store::task::Task;
use rusqlite::Connection;
use std::collections::BTreeSet;

/// Files that one load may have.
const FILES_MAX: usize = 100_000;

/// Loads, until the deadline, then commits.
pub(super) async fn finish(
    lake: &Lake,
    loaders: &Loaders,
    task: &Task,
    run: &JobRun,
    script: &ScriptRun,
    bounds: &Bounds,
) -> Result<(), Failed> {
    let id = run.id.clone();
    let loads: Vec<ItemsToLoad> = lake.store.read(move |connection| rows::steps(connection, &id, "load")).await?;
    if !loads.is_empty() {
        // Items stay where they were put: what would keep the rest from being committed is to be found before.
        let asked = run.clone();
        let check = move |connection: &Connection| {
            bookmarks::check(connection, &asked)?;
            Ok::<_, Failed>(staging::check(connection, &asked.id)?)
        };
        lake.store.read(check).await?;
    }
    let mut loaded = Loaded::default();
    let mut written = Vec::new();
    for load in &loads {
        let (of, what) = (script.clone(), load.clone());
        let objects = lake.store.read(move |connection| files(connection, &of, &what)).await?;
        let (bucket, _) = split_uri(&load.prefix).unwrap_or_default();
        let is_rows = |object: &&Object| is_data(&object.key) && object.size > 0;
        let files: Vec<_> = objects.iter().filter(is_rows).map(|object| object.data_file(bucket)).collect();
        if script.output == Output::AsWritten {
            written.extend(objects.into_iter().map(|object| (bucket.to_owned(), object.key, object.seq)));
        }
        if files.is_empty() {
            continue;
        }
        let load = ItemLoad { table: load.table.clone(), files, shape: load.shape.clone() };
        let done = load_within(bounds, &**loaders.loader()?, &load).await?;
        let done = done.ok_or(Failed::Timeout(" with the load of its items, of which a part may be in its table"))?;
        loaded.rows += done.rows;
        loaded.created += done.created;
        loaded.replaced += done.replaced;
        loaded.duplicates += done.duplicates;
    }
    if bounds.stop.is_cancelled() {
        return Err(Failed::Stopped);
    }
    let items = loaded.created + loaded.replaced;
    let tables = loads.iter().map(|load| load.table.clone()).collect::<BTreeSet<_>>();
    let work =
        Work { place: lake.place.clone(), task: task.clone(), run: run.clone(), script: script.clone(), loads, loaded, written };
    let committed = lake.store.write(move |tx| commit(tx, work)).await;
    committed.map_err(|failed| match failed {
        Failed::Reason(text) if items > 0 => {
            let tables = tables.into_iter().collect::<Vec<_>>().join(", ");
            Failed::Reason(format!("{text}; {items} items were put before, and stay (tables: {tables})"))
        }
        other => other,
    })
}

/// The objects below the prefix of a load that a run staged, or, where output is visible at once, that came there since it was opened, by key: Parquet files, and what engines put beside them.
fn files(connection: &Connection, script: &ScriptRun, load: &ItemsToLoad) -> Result<Vec<Object>, Failed> {
    let (bucket, prefix) = split_uri(&load.prefix).unwrap_or_default();
    let prefix = format!("{}/", prefix.trim_end_matches('/'));
    let found = match script.output {
        Output::AtEnd => staging::files(connection, &script.run, bucket, &prefix)?,
        Output::AsWritten => match objects::bucket(connection, bucket)? {
            Some(bucket) => {
                let mut found = objects::since(connection, bucket.id, &prefix, script.opened_seq, i64::MAX, FILES_MAX + 1)?;
                found.sort_unstable_by(|one, other| one.key.cmp(&other.key));
                found
            }
            None => Vec::new(),
        },
    };
    match found.len() > FILES_MAX {
        true => Err(Failed::Reason(format!(
            "the load of {} has more than {FILES_MAX} files: write fewer and larger ones",
            load.table
        ))),
        false => Ok(found),
    }
}

/// Engines put markers and checksums beside their files.
fn is_data(key: &str) -> bool {
    !key.rsplit('/').next().unwrap_or(key).starts_with(['_', '.'])
}

/// What is committed.
struct Work {
    place: std::sync::Arc<Place>,
    task: Task,
    run: JobRun,
    script: ScriptRun,
    loads: Vec<ItemsToLoad>,
    loaded: Loaded,
    /// Where output is visible at once: what the run put for its loads, as bucket, key and place in the order of changes.
    written: Vec<(String, String, i64)>,
}

fn commit(tx: &Tx<'_>, work: Work) -> Result<(), Failed> {
    tx.finish_task(&work.task)?;
    let id = &work.run.id;
    let Some(run) = jobs::run(tx, id)?.filter(|run| !run.state.has_ended()) else {
        // The job was deleted meanwhile.
        staging::discard(tx, id)?;
        return Ok(rows::remove(tx, id)?);
    };
    if run.state == RunState::Stopping {
        return Err(Failed::Stopped);
    }
    let mut stats = stats(&work, tx.now_ms());
    remove_loaded(tx, &work)?;
    for change in rows::steps::<TableChange>(tx, id, "table")? {
        stats.partitions_created += change.apply(tx, &work.place, &work.run.job, id)?;
    }
    let published = staging::publish(tx, &work.place, id)?;
    staging::close(tx, id)?;
    (stats.files_out, stats.bytes_out) = (published.puts, published.bytes);
    (stats.files, stats.bytes_in) = bookmarks::save(tx, &work.run)?;
    ending::end(tx, &work.place, &work.run, RunState::Succeeded, None, &stats)?;
    rows::remove(tx, id)?;
    Ok(temporary::tidy(tx, &work.place)?)
}

/// What the loads did.
fn stats(work: &Work, now_ms: i64) -> RunStats {
    let Loaded { rows, created, replaced, duplicates } = work.loaded;
    let targets: BTreeSet<String> = work.loads.iter().map(|load| format!("{ITEMS}{}", load.table)).collect();
    RunStats {
        rows_in: rows,
        rows_out: created + replaced,
        duplicates,
        items_replaced: replaced,
        target: targets.into_iter().collect::<Vec<_>>().join(", "),
        elapsed_ms: work.run.begun_ms.map_or(0, |begun| (now_ms - begun).max(0)) as u64,
        ..RunStats::default()
    }
}

/// The files of loads were only for them.
fn remove_loaded(tx: &Tx<'_>, work: &Work) -> Result<(), Failed> {
    if work.script.output == Output::AtEnd {
        for load in &work.loads {
            let (bucket, prefix) = split_uri(&load.prefix).unwrap_or_default();
            let taken = staging::take(tx, &work.run.id, bucket, &format!("{}/", prefix.trim_end_matches('/')))?;
            staging::release(tx, taken.iter().map(|object| &object.blob))?;
        }
    }
    let cause = Cause { reason: "DeleteObject", requester: "glue.amazonaws.com".into(), ..Cause::default() };
    for (bucket, key, seq) in &work.written {
        let Some(bucket) = objects::bucket(tx, bucket)? else { continue };
        // What somebody else has put there since is not ours to remove.
        if objects::get(tx, bucket.id, key)?.is_some_and(|object| object.seq == *seq) {
            objects::delete(tx, &work.place, &bucket, key, &cause)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::rows::{Phase, Step};
    use super::*;
    use crate::glue::job::RUN;
    use crate::glue::job::testing::Pond;
    use crate::lake::items::{ItemLoader, ItemShape, ItemTable, LoadError};
    use async_trait::async_trait;
    use millpond_engine::rows::RowCheck;
    use millpond_store::StoreError;
    use std::sync::Arc;
    use tokio_util::sync::CancellationToken;

    /// Of whatever rows: five, of which two have the keys of others and one that of an item.
    #[derive(Debug)]
    struct Five;

    #[async_trait]
    impl ItemLoader for Five {
        async fn table(&self, _: &str) -> Result<Option<ItemTable>, LoadError> {
            Ok(None)
        }

        async fn check(&self, _: &str, _: &ItemShape) -> Result<Arc<dyn RowCheck>, LoadError> {
            Err(LoadError::Stopped)
        }

        async fn load(&self, _: &ItemLoad, _: &CancellationToken) -> Result<Loaded, LoadError> {
            Ok(Loaded { rows: 5, created: 2, replaced: 1, duplicates: 2 })
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn rows_whose_place_others_took_are_told_as_duplicates() {
        let pond = Pond::new().await;
        pond.glue.loaders().install(Arc::new(Five));
        pond.put(&[("s3://raw/a/1.csv", b"id\n1\n"), ("s3://raw/items/1.parquet", b"x"), ("s3://raw/more/1.parquet", b"x")])
            .await;
        // The run and its task are as those of a script would be.
        let id = pond.start("a", &[]).await;
        let task = pond.lake.store.write(|tx| tx.lease_tasks(RUN, 1)).await.unwrap().remove(0);
        let run = pond.glue.job_run("j".into(), id.clone()).await.unwrap();
        let script = ScriptRun {
            run: id.clone(),
            job: "j".into(),
            phase: Phase::Ended,
            output: Output::AsWritten,
            bookmark: "job-bookmark-disable".into(),
            engine: "none".into(),
            committed: false,
            failure: None,
            opened_seq: 0,
        };
        let opened = script.clone();
        let open = pond.lake.store.write(move |tx| {
            rows::insert(tx, &opened)?;
            for prefix in ["s3://raw/items", "s3://raw/more"] {
                let load = ItemsToLoad { table: "orders".into(), prefix: prefix.into(), ..ItemsToLoad::default() };
                rows::put_step(tx, &opened.run, &Step::new("load", &load, 0)?)?;
            }
            Ok::<_, StoreError>(())
        });
        open.await.unwrap();
        let bounds = Bounds::of(&run, &CancellationToken::new());
        finish(&pond.lake, pond.glue.loaders(), &task, &run, &script, &bounds).await.unwrap();
        let done = pond.glue.job_run("j".into(), id).await.unwrap();
        let stats = done.stats;
        assert_eq!((done.state, stats.rows_in, stats.rows_out), (RunState::Succeeded, 10, 6));
        assert_eq!((stats.items_replaced, stats.duplicates, stats.target.as_str()), (2, 4, "dynamodb:orders"));
    }
}
