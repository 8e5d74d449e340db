//! The run API: what a script's own process may ask and tell of its run, by the session that was made for it. AWS has no such operations; its workers
//! speak to the service by ways of their own.

use super::rows::{self, Output, Phase, Reported, ScriptRun};
use super::source::{self, Remembered, Source, SourceRequest};
use super::tables::TableChange;
use super::{bookmarks, temporary};
use crate::glue::job::rows::{self as jobs, JobRun, RunState};
use crate::glue::{Glue, GlueError};
use crate::lake::items::ItemShape;
use crate::lake::ledger::Entry;
use crate::lake::objects::{self, split_uri};
use crate::lake::staging;
use millpond_store::Tx;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// What one run can register for its end.
const STEPS_MAX: i64 = 10_000;

/// Characters of what a launcher reports.
const REPORTED_MAX: usize = 16_384;

/// Characters of the path of a file that a launcher reports.
const FILE_MAX: usize = 1_024;

/// Bytes of all loads and catalog updates that one run registers.
const STEPS_BYTES_MAX: i64 = 64 * 1024 * 1024;

/// Partitions in all catalog updates of one run.
const PARTITIONS_MAX: i64 = 200_000;

/// Transformation contexts of one run.
const CONTEXTS_MAX: i64 = 1_000;

/// Files of a source that are remembered in one transaction, for which all other writers wait.
const FILES_BATCH: usize = 5_000;

/// Bytes of the name of a transformation context.
const CONTEXT_BYTES_MAX: usize = 1_024;

/// `Describe`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Described {
    /// The job.
    pub job_name: String,
    /// The run.
    pub run_id: String,
    /// Counts up from 0.
    pub attempt: i32,
    /// `job-bookmark-enable`, `-disable` or `-pause`.
    pub bookmark_option: String,
    /// `at-end` or `as-written`.
    pub output: String,
    /// `sail`, `pyspark`, `sc://…`, or `none`.
    pub engine: String,
    /// `s3://bucket/prefix/` for what is needed only while the run is under way.
    pub temp_dir: String,
}

/// `LoadItems`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ItemsToLoad {
    /// The table's name.
    pub table: String,
    /// `s3://bucket/prefix` of the Parquet files.
    pub prefix: String,
    /// How a row becomes an item.
    pub shape: ItemShape,
}

fn under_way(connection: &Connection, id: &str) -> Result<(ScriptRun, JobRun), GlueError> {
    let over = || GlueError::AccessDenied(format!("The job run {id} is over: its session can ask and change nothing any more."));
    let script = rows::find(connection, id)?.filter(|script| script.phase == Phase::Running).ok_or_else(over)?;
    let run =
        jobs::run(connection, id)?.filter(|run| matches!(run.state, RunState::Running | RunState::Stopping)).ok_or_else(over)?;
    Ok((script, run))
}

fn register(tx: &Tx<'_>, run: &str, kind: &str, payload: &impl Serialize, partitions: usize) -> Result<(), GlueError> {
    let step = rows::Step::new(kind, payload, partitions)?;
    if rows::has_step(tx, run, &step)? {
        return Ok(());
    }
    let so_far = rows::steps_size(tx, run)?;
    if so_far.count >= STEPS_MAX {
        return Err(GlueError::ResourceNumberLimitExceeded(format!("A run can register {STEPS_MAX} loads and catalog updates.")));
    }
    if so_far.bytes + step.bytes() > STEPS_BYTES_MAX {
        return Err(GlueError::InvalidInput(format!(
            "The loads and catalog updates that a run registers can have {} MB in all: register fewer columns or partitions, or use several runs.",
            STEPS_BYTES_MAX / (1024 * 1024)
        )));
    }
    if so_far.partitions + step.partitions > PARTITIONS_MAX {
        return Err(GlueError::InvalidInput(format!(
            "The catalog updates of a run can have {PARTITIONS_MAX} partitions in all: let several runs write them."
        )));
    }
    Ok(rows::put_step(tx, run, &step)?)
}

fn check_context(context: &str) -> Result<(), GlueError> {
    match context.len() > CONTEXT_BYTES_MAX {
        true => Err(GlueError::InvalidInput(format!(
            "A transformation context can have {CONTEXT_BYTES_MAX} bytes; one with {} was given.",
            context.len()
        ))),
        false => Ok(()),
    }
}

impl Glue {
    /// What a run is.
    ///
    /// # Errors
    /// `AccessDenied` where it is over.
    pub async fn describe_own_run(&self, id: String) -> Result<Described, GlueError> {
        let place = self.lake.place.clone();
        let described = self.lake.store.write(move |tx| {
            let (script, run) = under_way(tx, &id)?;
            let arguments = run.spec.arguments(&run.arguments);
            let temp_dir = match arguments.get("--TempDir").map(|text| text.trim()).filter(|text| split_uri(text).is_some()) {
                Some(given) => given.to_owned(),
                None => temporary::ensure(tx, &place, &run)?,
            };
            Ok::<_, GlueError>(Described {
                job_name: run.job,
                run_id: run.id,
                attempt: run.attempt,
                bookmark_option: script.bookmark,
                output: script.output.as_str().to_owned(),
                engine: script.engine,
                temp_dir,
            })
        });
        described.await
    }

    /// What a source of a run reads. It is remembered for the bookmark of its transformation context.
    ///
    /// # Errors
    /// `EntityNotFound` for a table or a bucket that there is not; `InvalidInput` for what cannot be read.
    pub async fn read_source(&self, id: String, request: SourceRequest) -> Result<Source, GlueError> {
        check_context(&request.transformation_context)?;
        let looked = id.clone();
        let look = self.lake.store.read(move |connection| {
            let (script, run) = under_way(connection, &looked)?;
            let arguments = run.spec.arguments(&run.arguments);
            source::look(connection, &script, &arguments, &request)
        });
        let (source, remembered) = look.await?;
        if let Some(remembered) = remembered {
            self.remember(id, remembered).await?;
        }
        Ok(source)
    }

    /// Remembers what a run is given to read: a batch after the other, so that others can write between them, and last how far it reads. Before that no
    /// bookmark is saved.
    async fn remember(&self, id: String, remembered: Remembered) -> Result<(), GlueError> {
        let Remembered { read, entries } = remembered;
        let mut entries = entries.into_iter();
        loop {
            let batch: Vec<Entry> = entries.by_ref().take(FILES_BATCH).collect();
            let (id, read, is_last) = (id.clone(), read.clone(), entries.len() == 0);
            let remember = self.lake.store.write(move |tx| {
                under_way(tx, &id)?;
                let is_new = rows::source(tx, &id, &read.context)?.is_none();
                if is_new && rows::count_sources(tx, &id)? >= CONTEXTS_MAX {
                    return Err(GlueError::InvalidInput(format!(
                        "A run can read by {CONTEXTS_MAX} transformation contexts: use fewer, or leave them out where no bookmark is wanted."
                    )));
                }
                rows::put_files(tx, &id, &read.context, &batch)?;
                if is_last {
                    rows::put_source(tx, &id, &read)?;
                }
                Ok::<_, GlueError>(())
            });
            remember.await?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// The bookmarks of what a run has read are to be saved: at its end, or at once where its output is visible at once.
    ///
    /// # Errors
    /// `AccessDenied` where it is over; `ConcurrentModification` where another run moved a bookmark.
    pub async fn commit_own_run(&self, id: String) -> Result<(), GlueError> {
        let committed = self.lake.store.write(move |tx| {
            let (script, run) = under_way(tx, &id)?;
            rows::set_committed(tx, &id)?;
            match script.output {
                Output::AtEnd => Ok(()),
                Output::AsWritten => bookmarks::save(tx, &run).map(|_| ()),
            }
        });
        committed.await
    }

    /// Parquet files of a run are to be put as items at its end.
    ///
    /// # Errors
    /// `InvalidInput` where the prefix is none.
    pub async fn load_own_items(&self, id: String, load: ItemsToLoad) -> Result<(), GlueError> {
        if load.table.is_empty() || split_uri(&load.prefix).is_none_or(|(_, prefix)| prefix.trim_matches('/').is_empty()) {
            return Err(GlueError::InvalidInput(format!(
                "Items are loaded into a Table from a Prefix s3://bucket/folder/; '{}' and '{}' were given.",
                load.table, load.prefix
            )));
        }
        let registered = self.lake.store.write(move |tx| {
            under_way(tx, &id)?;
            // What the run asks of others before its end must not publish them, nor what it still writes beside them.
            let (bucket, prefix) = split_uri(&load.prefix).unwrap_or_default();
            if objects::bucket(tx, bucket)?.is_none() {
                return Err(GlueError::EntityNotFound(format!("The bucket '{bucket}' of the items to load does not exist.")));
            }
            register(tx, &id, "load", &load, 0)?;
            Ok(staging::hold(tx, &id, bucket, &format!("{}/", prefix.trim_end_matches('/')))?)
        });
        registered.await
    }

    /// The catalog is to be changed at the end of a run.
    ///
    /// # Errors
    /// `EntityNotFound`, `InvalidInput`: what could not be done then is told now.
    pub async fn update_own_table(&self, id: String, change: TableChange) -> Result<(), GlueError> {
        let registered = self.lake.store.write(move |tx| {
            under_way(tx, &id)?;
            let change = change.checked(tx)?;
            register(tx, &id, "table", &change, change.partitions.len())
        });
        registered.await
    }

    /// Why the script of a run fails.
    ///
    /// # Errors
    /// `AccessDenied` where it is over.
    pub async fn fail_own_run(&self, id: String, mut reported: Reported) -> Result<(), GlueError> {
        for text in [&mut reported.error_class, &mut reported.message] {
            if text.chars().count() > REPORTED_MAX {
                *text = text.chars().take(REPORTED_MAX).collect();
            }
        }
        // The end of a path says which file it is.
        reported.file = reported.file.map(|file| {
            let before = file.chars().count().saturating_sub(FILE_MAX);
            file.chars().skip(before).collect()
        });
        let told = self.lake.store.write(move |tx| {
            under_way(tx, &id)?;
            Ok::<_, GlueError>(rows::set_failure(tx, &id, &reported)?)
        });
        told.await
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::ReadSource;
    use super::*;
    use crate::glue::job::testing::Pond;
    use millpond_core::env::SystemEnv;
    use millpond_store::Store;
    use std::sync::Arc;

    fn is_refused(told: Result<(), GlueError>, limit: &str) {
        assert!(matches!(&told, Err(GlueError::InvalidInput(text)) if text.contains(limit)), "{told:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_run_is_given_to_read_is_remembered_in_batches_and_how_far_it_reads_last() {
        let pond = Pond::new().await;
        let id = pond.start("t", &[]).await;
        let script = ScriptRun {
            run: id.clone(),
            job: "j".into(),
            phase: Phase::Running,
            output: Output::AtEnd,
            bookmark: "job-bookmark-enable".into(),
            engine: "none".into(),
            committed: false,
            failure: None,
            opened_seq: 0,
        };
        let run = id.clone();
        let open = pond.lake.store.write(move |tx| {
            jobs::set_run_state(tx, &run, RunState::Running)?;
            rows::insert(tx, &script)
        });
        open.await.unwrap();
        let files = 8 * FILES_BATCH + 1;
        let entry = |at| Entry { bucket: "raw".into(), key: format!("{at}"), etag: "e".into(), size: 1, ..Entry::default() };
        let read = ReadSource { context: "c".into(), generation: None, found: 0, until: 9, committed: false };
        let remembered = Remembered { read, entries: (0..files).map(entry).collect() };
        let (glue, run) = (pond.glue.clone(), id.clone());
        let remembering = tokio::spawn(async move { glue.remember(run, remembered).await });
        // Another one who writes comes in between.
        let mut seen = 0;
        while seen == 0 && !remembering.is_finished() {
            let run = id.clone();
            let look = pond.lake.store.write(move |tx| {
                let count = "SELECT count(*) FROM job_script_file WHERE run = ?";
                let files: i64 = tx.query_row(count, [&run], |row| row.get(0))?;
                Ok::<_, GlueError>((files, rows::source(tx, &run, "c")?))
            });
            let (some, source) = look.await.unwrap();
            seen = some as usize;
            assert!(seen == files || source.is_none(), "how far it reads is known before all files are: {some}");
        }
        assert!(0 < seen && seen < files, "{seen} files were remembered at once");
        remembering.await.unwrap().unwrap();
        let all = pond.lake.store.write(move |tx| {
            rows::set_committed(tx, &id)?;
            Ok::<_, GlueError>((rows::committed_files(tx, &id, "c")?.len(), rows::source(tx, &id, "c")?.map(|read| read.until)))
        });
        assert_eq!(all.await.unwrap(), (files, Some(9)));
    }

    #[tokio::test]
    async fn what_a_run_registers_is_bounded_in_bytes_and_partitions() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &[rows::COMPONENT], Arc::new(SystemEnv)).unwrap();
        let done = store.write(|tx| {
            let long = "x".repeat(STEPS_BYTES_MAX as usize / 2);
            register(tx, "r", "table", &long, 150_000)?;
            register(tx, "r", "table", &long, 150_000)?;
            assert_eq!(rows::steps_size(tx, "r")?.count, 1, "the same thing is done once");
            is_refused(register(tx, "r", "table", &(long + "y"), 1), "64 MB");
            is_refused(register(tx, "r", "table", &"z", 50_001), "200000 partitions");
            register(tx, "r", "table", &"z", 50_000)?;
            register(tx, "other", "table", &"z", 50_001)
        });
        done.await.unwrap();
        is_refused(check_context(&"c".repeat(1_025)), "1024 bytes");
        check_context(&"c".repeat(1_024)).unwrap();
    }
}
