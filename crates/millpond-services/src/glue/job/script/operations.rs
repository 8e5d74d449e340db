//! The run API: what a script's own process may ask and tell of its run, by the session that was made for it. AWS has no such operations; its workers
//! speak to the service by ways of their own.

use super::rows::{self, Output, Phase, Reported, ScriptRun};
use super::source::{self, Source, SourceRequest};
use super::tables::TableChange;
use super::{bookmarks, temporary};
use crate::glue::job::rows::{self as jobs, JobRun, RunState};
use crate::glue::{Glue, GlueError};
use crate::lake::items::ItemShape;
use crate::lake::objects::split_uri;
use crate::lake::staging;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// What one run can register for its end.
const STEPS_MAX: i64 = 10_000;

/// Characters of what a launcher reports.
const REPORTED_MAX: usize = 16_384;

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

fn register(tx: &millpond_store::Tx<'_>, run: &str, kind: &str, payload: &impl Serialize) -> Result<(), GlueError> {
    if rows::count_steps(tx, run)? >= STEPS_MAX {
        return Err(GlueError::ResourceNumberLimitExceeded(format!("A run can register {STEPS_MAX} loads and catalog updates.")));
    }
    Ok(rows::put_step(tx, run, kind, payload)?)
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
        let looked = id.clone();
        let look = self.lake.store.read(move |connection| {
            let (script, run) = under_way(connection, &looked)?;
            let arguments = run.spec.arguments(&run.arguments);
            source::look(connection, &script, &arguments, &request)
        });
        let (source, remembered) = look.await?;
        if let Some(remembered) = remembered {
            let remember = self.lake.store.write(move |tx| {
                under_way(tx, &id)?;
                rows::put_files(tx, &id, &remembered.read.context, &remembered.entries)?;
                Ok::<_, GlueError>(rows::put_source(tx, &id, &remembered.read)?)
            });
            remember.await?;
        }
        Ok(source)
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
            // What the run asks of others before its end must not publish them.
            let (bucket, prefix) = split_uri(&load.prefix).unwrap_or_default();
            staging::hold(tx, &id, bucket, &format!("{}/", prefix.trim_end_matches('/')))?;
            register(tx, &id, "load", &load)
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
            register(tx, &id, "table", &change)
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
        let told = self.lake.store.write(move |tx| {
            under_way(tx, &id)?;
            Ok::<_, GlueError>(rows::set_failure(tx, &id, &reported)?)
        });
        told.await
    }
}
