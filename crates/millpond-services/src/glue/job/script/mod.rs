//! Runs of scripts: Glue's commands `glueetl` and `pythonshell`, from their task to their end.
//!
//! 1. [`prepare`]: the environment, the script and what it imports are made ready. The run is STARTING.
//! 2. One transaction: the run is RUNNING, and what its session will write waits for its end ([`crate::lake::staging`]). Then its process starts.
//! 3. The process runs. It asks and tells its run by the run API ([`operations`]): what it reads ([`source`]), that its bookmarks are to be saved, which
//!    items are to be loaded and which tables changed.
//! 4. The process ends. Where it ended well, that is recorded, items are loaded, and one transaction makes the rest the lake's: objects, catalog,
//!    bookmarks, ledger, the run's end with its event, and the end of the task ([`finish`]). Else everything is dropped in the transaction of the end.
//!
//! A crash before the record in 4. ends the run as FAILED (its process is gone with the lake), and another attempt follows where the job allows one; a
//! crash after it goes on there. So what a run did is there once, or not at all.

mod arguments;
mod bookmarks;
mod fetch;
mod finish;
mod operations;
mod prepare;
mod roots;
mod rows;
mod source;
mod tables;
mod temporary;
mod verdict;

pub(super) use arguments::ScriptArguments;
pub use arguments::{Kind, capacity};
pub(super) use bookmarks::after;
pub use operations::{Described, ItemsToLoad};
pub use rows::{COMPONENT, Output, Reported};
pub(super) use rows::{forget_states, put_state};
pub use source::{NamedType, Source, SourceFile, SourceRequest};
pub use tables::{Behavior, TableChange, WrittenPartition};

use super::rows::{self as jobs, JobRun, RunState, RunStats};
use super::run::find as find_run;
use super::timeout::{self, Bounds};
use super::{RUN, ending, events};
use crate::glue::{Glue, GlueError};
use crate::lake::identity::{Identity, NewSession, Role, RoleError, SessionRole, assumable_by, role_by_name};
use crate::lake::items::LoadError;
use crate::lake::log::Flush;
use crate::lake::staging::{self, StagingError};
use crate::lake::{Lake, catalog::CatalogError};
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use millpond_core::arn::Place;
use millpond_functions::SessionCredentials;
use millpond_scripts::{Ended, Running, Scripts};
use millpond_store::task::Task;
use millpond_store::{StoreError, Tx};
use prepare::{Prepared, Unready};
use rows::{Phase, ScriptRun};
use rusqlite::Connection;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Tasks that run scripts; keyed as those of [`RUN`].
pub const SCRIPT: &str = "glue.job-script";

/// Whom a role must trust.
const SERVICE: &str = "glue.amazonaws.com";

/// The name of a run's session, as on AWS.
const SESSION: &str = "GlueJobRunnerSession";

/// By how much a session's own time is longer than its run may take, in seconds. It ends with the run's process before.
const SESSION_MORE_S: i64 = 60 * 60;

/// How long the end of a run waits for its log lines at the most.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Does the tasks [`SCRIPT`].
#[derive(Debug)]
pub struct ScriptHandler {
    /// The service.
    pub glue: Glue,
    /// Runs processes.
    pub scripts: Scripts,
    /// Issues sessions.
    pub identity: Identity,
    /// Where what scripts print goes: it is there before the run's end is told.
    pub logs: Arc<dyn Flush>,
}

/// How a run ends other than well.
#[derive(Debug)]
pub(super) enum Failed {
    /// It was told to stop.
    Stopped,
    /// It took longer than it may: with what, as the end of a sentence.
    Timeout(&'static str),
    /// For people.
    Reason(String),
    /// Another try may help.
    Transient(String),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Transient(error.to_string())
    }
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<GlueError> for Failed {
    fn from(error: GlueError) -> Self {
        match error {
            GlueError::Store(error) => error.into(),
            other => Self::Reason(other.to_string()),
        }
    }
}

impl From<CatalogError> for Failed {
    fn from(error: CatalogError) -> Self {
        GlueError::from(error).into()
    }
}

impl From<StagingError> for Failed {
    fn from(error: StagingError) -> Self {
        match error {
            StagingError::Store(error) => error.into(),
            other => Self::Reason(other.to_string()),
        }
    }
}

impl From<LoadError> for Failed {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Input(text) => Self::Reason(text),
            LoadError::Retry(text) => Self::Transient(text),
            LoadError::Stopped => Self::Stopped,
        }
    }
}

/// The role of a job (an ARN, or a name), where it exists and trusts Glue.
fn role_of(connection: &Connection, place: &Place, role: Option<&str>) -> Result<Role, GlueError> {
    let role = role.map(str::trim).filter(|role| !role.is_empty());
    let role = role.ok_or_else(|| GlueError::InvalidInput("A job needs a Role that its script acts as.".into()))?;
    let arn = match role.starts_with("arn:") {
        true => role.to_owned(),
        false => {
            let named = role_by_name(connection, role.rsplit('/').next().unwrap_or(role))?;
            let named = named
                .ok_or_else(|| GlueError::InvalidInput(format!("Role {role} cannot be found: create it with iam:CreateRole.")))?;
            named.arn(place)
        }
    };
    assumable_by(connection, place, &arn, SERVICE, &[]).map_err(|error| match error {
        RoleError::Store(error) => GlueError::Store(error),
        other => {
            GlueError::InvalidInput(format!("Role {role} should be given assume role permissions for Glue Service: {other}."))
        }
    })
}

/// Checks a definition that runs a script, as far as it can be told before a run.
///
/// # Errors
/// `InvalidInput` that names what is wrong.
pub(super) fn check(connection: &Connection, place: &Place, name: &str, spec: &super::JobSpec) -> Result<(), GlueError> {
    if Kind::of(spec).is_none() {
        return Ok(());
    }
    role_of(connection, place, spec.role.as_deref())?;
    ScriptArguments::read(name, spec, &spec.arguments(&super::Arguments::new())).map(|_| ())
}

#[async_trait]
impl Handler for ScriptHandler {
    fn kind(&self) -> &'static str {
        SCRIPT
    }

    fn concurrency(&self) -> usize {
        self.scripts.settings().concurrency.max(1)
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let look = task.clone();
        let found = lake.store.read(move |connection| find_run(connection, &look)).await?;
        let Some(run) = found else { return Ok(()) };
        let registered = self.glue.stops.register(RUN, &run.id);
        // Whoever told it to stop before it was registered has left word in its row.
        let id = run.id.clone();
        let look = move |connection: &Connection| {
            let run = jobs::run(connection, &id)?.filter(|run| !run.state.has_ended());
            Ok::<_, StoreError>((run, rows::find(connection, &id)?))
        };
        let (row, script) = lake.store.read(look).await?;
        let Some(run) = row else { return Ok(()) };
        if run.state == RunState::Stopping {
            registered.token.cancel();
        }
        let ended = match script {
            None => self.begin(lake, task, &run, &registered.token).await,
            Some(script) if script.phase == Phase::Ended => {
                let bounds = Bounds::of(&run, &registered.token);
                finish::finish(lake, self.glue.loaders(), task, &run, &script, &bounds).await
            }
            Some(_) if run.state == RunState::Stopping => Err(Failed::Stopped),
            Some(_) => Err(Failed::Reason(verdict::INTERRUPTED.into())),
        };
        let (state, reason) = match ended {
            Ok(()) => return Ok(()),
            Err(Failed::Transient(reason)) if !task.is_last_try() => return Err(Failure::transient(reason)),
            Err(Failed::Transient(reason) | Failed::Reason(reason)) => (RunState::Failed, Some(reason)),
            Err(Failed::Timeout(with)) => {
                (RunState::Timeout, Some(format!("it took longer than {} minutes{with}", run.spec.timeout_minutes())))
            }
            Err(Failed::Stopped) => (RunState::Stopped, None),
        };
        Ok(end(lake, Some(task), run.id, state, reason).await?)
    }

    async fn buried(&self, lake: &Lake, task: &Task, reason: &str) {
        let look = task.clone();
        let found = lake.store.read(move |connection| find_run(connection, &look)).await;
        let ended = match found {
            Ok(Some(run)) if run.state != RunState::Waiting => {
                end(lake, None, run.id, RunState::Failed, Some(reason.to_owned())).await
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::error!(%error, "the end of a job run could not be recorded");
        }
    }
}

impl Glue {
    /// Drops what a former process left of runs that are not there any more, or have ended. Called before any run can begin.
    ///
    /// # Errors
    /// The store's.
    pub async fn discard_lost_runs(&self) -> Result<(), GlueError> {
        let place = self.lake.place.clone();
        let discarded = self.lake.store.write(move |tx| {
            let staged = staging::open_runs(tx)?.into_iter().map(|open| open.run);
            for run in staged.chain(rows::runs(tx)?) {
                if jobs::run(tx, &run)?.is_none_or(|row| row.state.has_ended()) {
                    tracing::info!(run, "what a lost job run left is dropped");
                    drop_run(tx, &run)?;
                }
            }
            Ok::<_, GlueError>(temporary::tidy(tx, &place)?)
        });
        discarded.await
    }
}

/// Drops what a run of a script wrote and registered, if it has anything. Its process is gone: what that would still write was nobody's to hold back.
fn drop_run(tx: &Tx<'_>, run: &str) -> Result<(), StoreError> {
    staging::discard(tx, run)?;
    rows::remove(tx, run)
}

/// Ends a run other than well: what it wrote is dropped.
async fn end(lake: &Lake, task: Option<&Task>, id: String, state: RunState, reason: Option<String>) -> Result<(), StoreError> {
    let (task, place) = (task.cloned(), lake.place.clone());
    let ended = lake.store.write(move |tx| {
        task.iter().try_for_each(|task| tx.finish_task(task))?;
        drop_run(tx, &id)?;
        temporary::tidy(tx, &place)?;
        // The job may be gone.
        let Some(run) = jobs::run(tx, &id)? else { return Ok(()) };
        let elapsed_ms = run.begun_ms.map_or(0, |begun| (tx.now_ms() - begun).max(0)) as u64;
        let stats = RunStats { elapsed_ms, ..run.stats.clone() };
        ending::end(tx, &place, &run, state, reason.as_deref(), &stats)
    });
    ended.await
}

impl ScriptHandler {
    /// A run that has not begun.
    async fn begin(&self, lake: &Lake, task: &Task, run: &JobRun, stop: &CancellationToken) -> Result<(), Failed> {
        let wanted = ScriptArguments::read(&run.job, &run.spec, &run.spec.arguments(&run.arguments))?;
        let prepared = tokio::select! {
            prepared = prepare::prepare(lake, &self.scripts, run, &wanted) => prepared,
            () = stop.cancelled() => return Err(Failed::Stopped),
            () = tokio::time::sleep_until(timeout::deadline(run, lake.store.env().now_ms())) => {
                return Err(Failed::Timeout(" to get ready: with its environment, its modules and its files"));
            }
        };
        let prepared = prepared.map_err(|unready| match unready {
            Unready::Lasting(text) => Failed::Reason(text),
            Unready::Transient(text) => Failed::Transient(text),
        })?;
        let Some((role, script, run)) = self.open(lake, run, &wanted).await? else { return Err(Failed::Stopped) };
        match self.execute(lake, &run, &wanted, prepared, &role, stop).await {
            // From here on nothing is tried again that a script may have done.
            Err(Failed::Transient(reason)) => Err(Failed::Reason(reason)),
            Err(other) => Err(other),
            Ok(()) => {
                let id = run.id.clone();
                lake.store.write(move |tx| rows::set_ended(tx, &id)).await?;
                let bounds = Bounds { deadline: timeout::deadline(&run, lake.store.env().now_ms()), stop: stop.clone() };
                finish::finish(lake, self.glue.loaders(), task, &run, &script, &bounds).await
            }
        }
    }

    /// The run is RUNNING, and its output waits; `None` where it was stopped meanwhile.
    async fn open(
        &self,
        lake: &Lake,
        run: &JobRun,
        wanted: &ScriptArguments,
    ) -> Result<Option<(Role, ScriptRun, JobRun)>, Failed> {
        let (id, place) = (run.id.clone(), lake.place.clone());
        let (output, bookmark) = (wanted.output, wanted.bookmark);
        let engine = wanted.engine(self.scripts.settings()).as_str().to_owned();
        let (log_group, _) = wanted.kind.groups();
        let opened = lake.store.write(move |tx| {
            let Some(mut run) = jobs::run(tx, &id)?.filter(|run| !run.state.has_ended()) else { return Ok(None) };
            let role = role_of(tx, &place, run.spec.role.as_deref())?;
            let script = ScriptRun {
                run: run.id.clone(),
                job: run.job.clone(),
                phase: Phase::Running,
                output,
                bookmark: bookmark.as_str().to_owned(),
                engine,
                committed: false,
                failure: None,
                opened_seq: tx.last_seq(),
            };
            rows::insert(tx, &script)?;
            if output == Output::AtEnd {
                staging::open(tx, &run.id, &run.job, log_group)?;
            }
            jobs::set_run_state(tx, &run.id, RunState::Running)?;
            run.state = RunState::Running;
            run.begun_ms = run.begun_ms.or(Some(tx.now_ms()));
            Ok::<_, Failed>(Some((role, script, run)))
        });
        opened.await
    }

    fn credentials(&self, role: &Role, run: &JobRun) -> SessionCredentials {
        let keys = self.identity.issue_new(NewSession {
            role: Some(SessionRole { id: role.id.clone(), arn: role.arn(self.identity.place()) }),
            name: SESSION.into(),
            seconds: 60 * i64::from(run.spec.timeout_minutes()) + SESSION_MORE_S,
            job_run: Some(run.id.clone()),
            ..NewSession::default()
        });
        SessionCredentials {
            access_key: keys.access_key,
            secret_key: keys.secret_key,
            token: keys.session_token,
            expires_ms: Some(keys.session.expires_ms),
        }
    }

    /// Runs the process to its end, and with it its session.
    async fn execute(
        &self,
        lake: &Lake,
        run: &JobRun,
        wanted: &ScriptArguments,
        prepared: Prepared,
        role: &Role,
        stop: &CancellationToken,
    ) -> Result<(), Failed> {
        let admitted = self.identity.admit_run(&run.id);
        let credentials = self.credentials(role, run);
        let (desk, script) = prepare::script(prepared, &self.scripts, run, wanted, credentials);
        let memory_bytes = script.memory_bytes;
        let running = self.scripts.start(desk, script).await.map_err(|error| Failed::Reason(error.to_string()))?;
        let ended = watch(lake, run, running, stop).await;
        // What follows, the lake does as itself.
        drop(admitted);
        // Whoever sees that the run has ended finds the last line that its script printed. Logs that cannot be written must not keep it from ending.
        if tokio::time::timeout(FLUSH_MAX, self.logs.flush()).await.is_err() {
            tracing::warn!(run = run.id, "the log lines of a job run take long to be written; the run ends before them");
        }
        let ended = ended?;
        let id = run.id.clone();
        let reported = lake.store.read(move |connection| rows::find(connection, &id)).await?.and_then(|script| script.failure);
        let disk_bytes = self.scripts.settings().disk_bytes_max;
        tracing::debug!(run = run.id, how = ?ended.how, peak_bytes = ended.peak_bytes, "a script ended");
        match verdict::reason(wanted.kind, &ended.how, reported.as_ref(), memory_bytes, disk_bytes) {
            None => Ok(()),
            Some(reason) => Err(Failed::Reason(reason)),
        }
    }
}

/// Waits for the end of a process; ends it where it is told to or takes too long.
async fn watch(lake: &Lake, run: &JobRun, running: Running, stop: &CancellationToken) -> Result<Ended, Failed> {
    let deadline = timeout::deadline(run, lake.store.env().now_ms());
    let delay = notify_delay_minutes(run).map(|minutes| Duration::from_secs(60 * minutes));
    let mut notify_at = delay.map(|delay| Instant::now() + delay);
    loop {
        let notify = async {
            match notify_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let why = tokio::select! {
            _ = running.over() => return Ok(running.end().await),
            () = stop.cancelled() => Failed::Stopped,
            () = tokio::time::sleep_until(deadline) => Failed::Timeout(""),
            () = notify => {
                notify_at = None;
                let (run, place) = (run.clone(), lake.place.clone());
                lake.store.write(move |tx: &Tx<'_>| events::delayed(tx, &place, &run)).await?;
                continue;
            }
        };
        running.stop();
        running.end().await;
        return Err(why);
    }
}

fn notify_delay_minutes(run: &JobRun) -> Option<u64> {
    let minutes = run.spec.kept.get("NotificationProperty")?.get("NotifyDelayAfter")?.as_u64()?;
    (minutes > 0).then_some(minutes)
}
