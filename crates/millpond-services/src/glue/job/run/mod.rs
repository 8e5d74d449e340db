//! One run of a job with Millpond's own command, from its task to its commit.
//!
//! 1. [`pick`]: the run is RUNNING.
//! 2. [`select`] reads, in one snapshot, the source and target tables and the source objects that are new: those that came after the bookmark, less the
//!    versions that the ledger has.
//! 3. The engine converts them into blobs that nothing names yet.
//! 4. [`commit`], one transaction: the blobs become objects, the target's table, partitions and quarantine are brought up to date, the ledger gets the
//!    objects' entries, the bookmark moves, the run has ended, its event is told, and the task is done.
//!
//! A crash before 4. leaves nothing but blobs without a name, which are collected; the task is taken up again and begins at 1. That is why a source
//! object version is in the target exactly once.

mod commit;
mod items;
mod select;

use super::rows::{self, JobRun, RunState, RunStats};
use super::spec::{Arguments, ConvertArguments};
use super::timeout::Bounds;
use super::{RUN, ending, run_task};
use crate::glue::{Glue, GlueError};
use crate::lake::Lake;
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
pub use commit::QUARANTINE;
pub use items::{COMPONENT as ITEMS_COMPONENT, quarantine_bucket};
use millpond_engine::convert::{ConvertError, ConvertOptions, ConvertOutcome, ConvertSpec, convert};
use millpond_engine::decode::Reader;
use millpond_engine::query::Engine;
use millpond_engine::sql_transform::sql_transform;
use millpond_engine::write::WriteOptions;
use millpond_store::StoreError;
use millpond_store::task::Task;
pub use select::Limits;
use select::Selection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

/// Runs of different jobs at the same time.
const CONCURRENCY: usize = 2;

/// Does the tasks [`RUN`].
#[derive(Debug)]
pub struct JobRunHandler {
    /// The service.
    pub glue: Glue,
    /// Converts.
    pub engine: Arc<Engine>,
    /// How much one run takes.
    pub limits: Limits,
}

/// How a run ends other than well.
#[derive(Debug)]
enum RunError {
    /// It was told to stop.
    Stopped,
    /// It took longer than it may.
    Timeout,
    /// It cannot work: for people.
    Failed(String),
    /// Another try may help.
    Transient(String),
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        Self::Transient(error.to_string())
    }
}

impl From<GlueError> for RunError {
    fn from(error: GlueError) -> Self {
        match error {
            GlueError::Store(error) => error.into(),
            GlueError::ConcurrentModification(text) => Self::Transient(text),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<crate::lake::catalog::CatalogError> for RunError {
    fn from(error: crate::lake::catalog::CatalogError) -> Self {
        GlueError::from(error).into()
    }
}

impl From<ConvertError> for RunError {
    fn from(error: ConvertError) -> Self {
        match error {
            ConvertError::Cancelled => Self::Stopped,
            ConvertError::Retry(text) => Self::Transient(text),
            ConvertError::Input(text) | ConvertError::Bug(text) => Self::Failed(text),
        }
    }
}

#[async_trait]
impl Handler for JobRunHandler {
    fn kind(&self) -> &'static str {
        RUN
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    /// Files of others are decoded. Many: a server that is killed often for other reasons goes on with what it does.
    fn deaths_max(&self) -> Option<u32> {
        Some(10)
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let Some(run) = pick(lake, task).await? else { return Ok(()) };
        let registered = self.glue.stops.register(RUN, &run.id);
        // Whoever told it to stop before it was registered has left word in its row.
        let id = run.id.clone();
        let row = lake.store.read(move |connection| rows::run(connection, &id)).await?;
        if row.is_none_or(|row| row.state == RunState::Stopping) {
            registered.token.cancel();
        }
        let ended = match self.convert(lake, task, &run, &Bounds::of(&run, &registered.token)).await {
            Ok(()) => return Ok(()),
            Err(RunError::Transient(reason)) if !task.is_last_try() => return Err(Failure::transient(reason)),
            Err(RunError::Transient(reason) | RunError::Failed(reason)) => (RunState::Failed, Some(reason)),
            Err(RunError::Timeout) => {
                (RunState::Timeout, Some(format!("it took longer than {} minutes", run.spec.timeout_minutes())))
            }
            Err(RunError::Stopped) => (RunState::Stopped, None),
        };
        Ok(end(lake, Some(task), run, ended.0, ended.1).await?)
    }

    async fn buried(&self, lake: &Lake, task: &Task, reason: &str) {
        let (task, inner, reason) = (task.clone(), lake.clone(), reason.to_owned());
        let found = lake.store.read(move |connection| find(connection, &task)).await;
        let ended = match found {
            Ok(Some(run)) if run.state != RunState::Waiting => end(&inner, None, run, RunState::Failed, Some(reason)).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::error!(%error, "the end of a job run could not be recorded");
        }
    }
}

/// The run that a task is about: that of its payload; else, of those that have the task's key, the one that a former worker left, or the oldest. A run that
/// waits for others is none of them: it gets another task when one of those ends.
pub(super) fn find(connection: &rusqlite::Connection, task: &Task) -> Result<Option<JobRun>, StoreError> {
    let named = |member: &str| task.payload.get(member).and_then(|name| name.as_str());
    let open = rows::open_runs(connection, named("job").unwrap_or_default())?;
    let is_of_task = |run: &JobRun| match named("run") {
        Some(id) => run.id == id,
        None => {
            // The runs of one job need not share a key: each has its own copy of the definition, and its own arguments.
            let own = run_task(run);
            (own.kind, &own.key) == (task.kind.as_str(), &task.key)
        }
    };
    let mine: Vec<&JobRun> = open.iter().filter(|run| is_of_task(run) && !waits_for_others(run, &open)).collect();
    let left = mine.iter().find(|run| matches!(run.state, RunState::Running | RunState::Stopping));
    Ok(left.or(mine.first()).map(|run| (*run).clone()))
}

/// Whether a run waits while as many of its job run as may; `open` are those of its job that have not ended.
fn waits_for_others(run: &JobRun, open: &[JobRun]) -> bool {
    let goes_first = |other: &&JobRun| other.id != run.id && (other.state != RunState::Waiting || other.seq < run.seq);
    let most = run.spec.execution_property.max_concurrent_runs.max(1) as usize;
    run.state == RunState::Waiting && open.iter().filter(goes_first).count() >= most
}

/// Marks the run as begun. `None`: there is none left to do, and the task is done.
async fn pick(lake: &Lake, task: &Task) -> Result<Option<JobRun>, StoreError> {
    let task = task.clone();
    let picked = lake.store.write(move |tx| {
        let Some(mut run) = find(tx, &task)? else {
            tx.finish_task(&task)?;
            return Ok(None);
        };
        if run.state != RunState::Stopping {
            rows::set_run_state(tx, &run.id, RunState::Running)?;
            run.state = RunState::Running;
        }
        run.begun_ms = run.begun_ms.or(Some(tx.now_ms()));
        Ok(Some(run))
    });
    picked.await
}

/// Ends a run that has made nothing; where it failed and may be tried again, adds the next attempt.
async fn end(lake: &Lake, task: Option<&Task>, run: JobRun, state: RunState, reason: Option<String>) -> Result<(), StoreError> {
    let (task, place) = (task.cloned(), lake.place.clone());
    let ended = lake.store.write(move |tx| {
        task.iter().try_for_each(|task| tx.finish_task(task))?;
        items::forget(tx, &run.id)?;
        let elapsed_ms = run.begun_ms.map_or(0, |begun| (tx.now_ms() - begun).max(0)) as u64;
        let stats = RunStats { elapsed_ms, ..run.stats.clone() };
        ending::end(tx, &place, &run, state, reason.as_deref(), &stats)
    });
    ended.await
}

impl JobRunHandler {
    async fn convert(&self, lake: &Lake, task: &Task, run: &JobRun, bounds: &Bounds) -> Result<(), RunError> {
        let arguments = ConvertArguments::read(&run.spec.arguments(&run.arguments))?;
        if arguments.items.is_some() {
            return items::run(self, lake, task, run, arguments, bounds).await;
        }
        let (job, limits, wanted) = (run.job.clone(), self.limits, arguments.clone());
        let selected = lake.store.read(move |connection| select::select(connection, &job, &wanted, limits)).await?;
        if bounds.stop.is_cancelled() {
            return Err(RunError::Stopped);
        }
        let outcome = match selected.files.is_empty() {
            true => None,
            false => {
                let spec = self.convert_spec(lake, run, &arguments, &selected, &bounds.stop);
                Some(self.converted(spec, bounds).await?)
            }
        };
        let work = commit::Work { place: lake.place.clone(), task: task.clone(), run: run.clone(), arguments, selected, outcome };
        lake.store.write(move |tx| commit::commit(tx, work)).await
    }

    /// What is to be converted, and how.
    fn convert_spec(
        &self,
        lake: &Lake,
        run: &JobRun,
        arguments: &ConvertArguments,
        selected: &Selection,
        stop: &CancellationToken,
    ) -> ConvertSpec {
        let blobs = lake.store.blobs().clone();
        let now_ms = lake.store.env().now_ms();
        ConvertSpec {
            reader: Reader { store: self.engine.store().clone(), handle: self.engine.handle() },
            source: selected.source_shape(),
            groups: selected.groups.clone(),
            target: selected.target.as_ref().map(select::shape),
            partition_by: selected.partition_by.clone(),
            transform: arguments.sql.as_ref().map(|sql| sql_transform(&self.engine, sql, stop)),
            check: None,
            options: ConvertOptions {
                ingestion_timestamp_ms: arguments.ingestion_timestamp.then_some(now_ms),
                source_file: arguments.source_file,
                text: false,
                order: None,
                write: WriteOptions::default(),
                threads: self.engine.config().threads,
                job_run_id: run.id.clone(),
                now_ms,
            },
            new_path: Arc::new(move || blobs.new_location().path()),
            progress: None,
            cancel: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Converts, on a thread of the engine that may block.
    async fn converted(&self, spec: ConvertSpec, bounds: &Bounds) -> Result<ConvertOutcome, RunError> {
        let (handle, cancel) = (self.engine.handle(), spec.cancel.clone());
        let mut converting = handle.spawn_blocking(move || convert(&spec));
        let why = tokio::select! {
            converted = &mut converting => return joined(converted),
            () = bounds.stop.cancelled() => RunError::Stopped,
            () = tokio::time::sleep_until(bounds.deadline) => RunError::Timeout,
        };
        cancel.store(true, Ordering::Relaxed);
        let _ = converting.await;
        Err(why)
    }
}

fn joined(converted: Result<Result<ConvertOutcome, ConvertError>, tokio::task::JoinError>) -> Result<ConvertOutcome, RunError> {
    match converted {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(RunError::Failed("an internal fault ended the conversion; the log says more".into())),
    }
}

/// Arguments that a rule's input gives: a JSON object whose members are all `--key` with a text, a number or a boolean.
pub fn arguments_of(input: &str) -> Arguments {
    let Ok(serde_json::Value::Object(members)) = serde_json::from_str(input) else { return Arguments::new() };
    let argument = |(key, value): (String, serde_json::Value)| {
        let text = match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Bool(_) | serde_json::Value::Number(_) => value.to_string(),
            _ => return None,
        };
        key.starts_with("--").then_some((key, text))
    };
    members.into_iter().map(argument).collect::<Option<Arguments>>().unwrap_or_default()
}

#[cfg(test)]
mod tests;
