//! Jobs: what they are told, when they run, and what they did.
//!
//! A *job* is a definition; a *run* is one execution of it. A run is a row first ([`rows`]) and becomes work through the task [`RUN`]. Runs of one job
//! follow one another under one task key where the job has a bookmark (or may run once at a time), since each begins where the former ended. Runs
//! that rules ask for coalesce: while one waits to begin, it does the work of all. Millpond's own command, `millpond`, is done by [`run`], and Glue's
//! commands `glueetl` and `pythonshell` by [`script`]; `gluestreaming` and `glueray` can be defined, and are refused when they are started.

mod ending;
mod events;
mod logging;
pub mod rows;
mod run;
pub mod script;
pub mod spec;
pub mod stops;
pub mod targets;
mod timeout;

pub use rows::{COMPONENT, Job, JobRun, RunState, RunStats};
pub use run::{ITEMS_COMPONENT, JobRunHandler, Limits, QUARANTINE, quarantine_bucket};
pub use spec::{Arguments, ConvertArguments, JobSpec};

use super::crawler::page::{self, Page};
use super::tags::{self, Tags};
use super::trigger::fire::Predecessor;
use super::{Glue, GlueError};
use crate::lake::ledger::{self, Listed};
use millpond_core::arn::Place;
use millpond_store::task::NewTask;
use millpond_store::{StoreError, Tx};
use rusqlite::Connection;
use serde_json::{Map, Value, json};

/// Tasks that run jobs; the key is the job's name, or the run's id where runs of the job may overlap.
pub const RUN: &str = "glue.job-run";

fn missing(name: &str) -> GlueError {
    GlueError::EntityNotFound(format!("Entity not found: job {name} does not exist"))
}

fn found(connection: &Connection, name: &str) -> Result<Job, GlueError> {
    rows::job(connection, name)?.ok_or_else(|| missing(name))
}

fn found_run(connection: &Connection, job: &str, id: &str) -> Result<JobRun, GlueError> {
    let run = rows::run(connection, id)?.filter(|run| run.job == job);
    run.ok_or_else(|| GlueError::EntityNotFound(format!("Entity not found: job run {id} of job {job} does not exist")))
}

/// Whether runs of the job may overlap.
fn overlaps(spec: &JobSpec, arguments: &Arguments) -> bool {
    // Two runs of a script with a bookmark would read the same: its owner allowed for that, and the one that commits last fails.
    let bookmark =
        spec.is_millpond() && arguments.get("--job-bookmark-option").is_none_or(|option| option != "job-bookmark-disable");
    spec.execution_property.max_concurrent_runs > 1 && !bookmark
}

/// A task that takes up a run.
fn run_task(run: &JobRun) -> NewTask {
    let key = if overlaps(&run.spec, &run.spec.arguments(&run.arguments)) { &run.id } else { &run.job };
    let kind = if run.spec.is_millpond() { RUN } else { script::SCRIPT };
    NewTask::new(kind, json!({ "job": run.job, "run": (key == &run.id).then_some(&run.id) })).keyed(key)
}

/// Removes the tasks of a key: a job's definition may have changed its command.
fn cancel_tasks(tx: &Tx<'_>, key: &str) -> Result<(), StoreError> {
    tx.cancel_tasks(RUN, key)?;
    tx.cancel_tasks(script::SCRIPT, key).map(|_| ())
}

fn add_run(tx: &Tx<'_>, job: &Job, arguments: Arguments, state: RunState) -> Result<JobRun, StoreError> {
    let run = JobRun {
        seq: 0,
        id: rows::new_run_id(tx),
        job: job.name.clone(),
        attempt: 0,
        previous: None,
        state,
        arguments,
        spec: job.spec.clone(),
        started_ms: tx.now_ms(),
        modified_ms: tx.now_ms(),
        begun_ms: None,
        completed_ms: None,
        message: None,
        stats: RunStats::default(),
    };
    rows::insert_run(tx, &run)?;
    tx.enqueue(&run_task(&run))?;
    Ok(run)
}

/// Asks for a run, in the caller's transaction: what a rule whose target is a job does. While a run with the same arguments waits to begin, that one
/// does it; while as many run as may, the new one waits. Answers the id of the run.
///
/// # Errors
/// `EntityNotFound` where there is no such job; `InvalidInput` where it cannot run here.
pub fn deliver_to_job(tx: &Tx<'_>, name: &str, arguments: Arguments) -> Result<String, GlueError> {
    let job = found(tx, name)?;
    check_runs(&job, &arguments)?;
    let open = rows::open_runs(tx, name)?;
    let waits = |run: &&JobRun| matches!(run.state, RunState::Waiting | RunState::Starting) && run.arguments == arguments;
    if let Some(waiting) = open.iter().find(waits) {
        // Its task is there already; this makes sure of it.
        tx.enqueue(&run_task(waiting))?;
        return Ok(waiting.id.clone());
    }
    let full = open.len() >= job.spec.execution_property.max_concurrent_runs as usize;
    let state = if full { RunState::Waiting } else { RunState::Starting };
    Ok(add_run(tx, &job, arguments, state)?.id)
}

/// Starts a run for a trigger, which fired because of its `predecessors`. While as many run as may, it waits. Answers its id.
///
/// # Errors
/// `EntityNotFound` where there is no such job; `InvalidInput` where it cannot run here.
pub(super) fn start_triggered(
    tx: &Tx<'_>,
    name: &str,
    arguments: Arguments,
    timeout: Option<i32>,
    trigger: &str,
    predecessors: &[Predecessor],
) -> Result<String, GlueError> {
    let mut job = found(tx, name)?;
    check_runs(&job, &arguments)?;
    job.spec.timeout = timeout.or(job.spec.timeout);
    // Shown with the run, as members of its own copy of the definition.
    job.spec.kept.insert("TriggerName".into(), trigger.into());
    job.spec.kept.insert("PredecessorRuns".into(), json!(predecessors));
    let full = rows::open_runs(tx, name)?.len() >= job.spec.execution_property.max_concurrent_runs as usize;
    let state = if full { RunState::Waiting } else { RunState::Starting };
    Ok(add_run(tx, &job, arguments, state)?.id)
}

fn check_runs(job: &Job, arguments: &Arguments) -> Result<(), GlueError> {
    let arguments = job.spec.arguments(arguments);
    match job.spec.is_millpond() {
        true => ConvertArguments::read(&arguments).map(|_| ()),
        false => script::ScriptArguments::read(&job.name, &job.spec, &arguments).map(|_| ()),
    }
}

/// What `StartJobRun` can say.
#[derive(Debug, Clone, Default)]
pub struct StartRun {
    /// Over those of the job.
    pub arguments: Arguments,
    /// Minutes.
    pub timeout: Option<i32>,
    /// A former run whose arguments are taken again.
    pub retry_of: Option<String>,
    /// Whether the run waits where as many run as may.
    pub queue: Option<bool>,
    /// Members of the definition that this run has otherwise: `WorkerType`, `NumberOfWorkers`, `MaxCapacity`, `NotificationProperty`, …
    pub members: Map<String, Value>,
}

/// Lays a run's own members over the definition. Workers and capacity say the same thing: what the run says counts.
fn overlay(spec: &mut JobSpec, members: Map<String, Value>) {
    let workers = ["WorkerType", "NumberOfWorkers"];
    let capacity = ["MaxCapacity", "AllocatedCapacity"];
    for (group, other) in [(workers, capacity), (capacity, workers)] {
        if group.iter().any(|name| members.contains_key(*name)) {
            other.iter().filter(|name| !members.contains_key(**name)).for_each(|name| {
                spec.kept.remove(*name);
            });
        }
    }
    spec.kept.extend(members);
}

/// What is asked for when a run is told to stop, for one that has not begun: it ends at once.
fn end_waiting(tx: &Tx<'_>, place: &Place, run: &JobRun) -> Result<(), StoreError> {
    rows::end_run(tx, &run.id, RunState::Stopped, Some("stopped before it began"), &run.stats)?;
    events::ended(tx, place, run, RunState::Stopped, None, &run.stats)?;
    // A run that waited for this one has no task.
    ending::follow_up(tx, &run.job)
}

fn some_bookmarks(job: &str, bookmarks: Vec<rows::Bookmark>) -> Result<Vec<rows::Bookmark>, GlueError> {
    match bookmarks.is_empty() {
        true => Err(GlueError::EntityNotFound(format!("Entity not found: continuation for job {job} does not exist"))),
        false => Ok(bookmarks),
    }
}

/// How the stop of one run went.
pub type Stopped = (String, Result<(), GlueError>);

/// One line of the lake's history: a crawl or a job run.
#[derive(Debug, Clone, PartialEq)]
pub enum HistoryLine {
    /// A crawl.
    Crawl(Box<super::crawler::Crawl>),
    /// A job run.
    Run(Box<JobRun>),
}

impl HistoryLine {
    /// When it was asked for, in milliseconds since the epoch.
    pub fn started_ms(&self) -> i64 {
        match self {
            Self::Crawl(crawl) => crawl.started_ms,
            Self::Run(run) => run.started_ms,
        }
    }
}

impl Glue {
    /// `CreateJob`.
    pub async fn create_job(&self, name: String, mut spec: JobSpec, tags: Tags) -> Result<String, GlueError> {
        if name.trim().is_empty() || name.chars().count() > 255 {
            return Err(GlueError::InvalidInput("Name must have 1 to 255 characters.".into()));
        }
        spec.check()?;
        let (arn, place) = (self.job_arn(&name), self.lake.place.clone());
        let made = self.lake.store.write(move |tx| {
            script::check(tx, &place, &name, &spec)?;
            if !rows::insert(tx, &name, &spec)? {
                return Err(GlueError::AlreadyExists(format!("Job already exists: {name}")));
            }
            tags::set(tx, &arn, &tags)?;
            Ok(name)
        });
        made.await
    }

    /// `UpdateJob`: the whole definition is replaced, as the API says.
    pub async fn update_job(&self, name: String, mut spec: JobSpec) -> Result<String, GlueError> {
        spec.check()?;
        let place = self.lake.place.clone();
        let updated = self.lake.store.write(move |tx| {
            if spec.role.is_none() {
                spec.role = found(tx, &name)?.spec.role;
            }
            script::check(tx, &place, &name, &spec)?;
            match rows::update(tx, &name, &spec)? {
                true => Ok(name),
                false => Err(missing(&name)),
            }
        });
        updated.await
    }

    /// `DeleteJob`. Answers also where there was none, as Glue does. Runs under way are stopped, and go with it.
    pub async fn delete_job(&self, name: String) -> Result<String, GlueError> {
        let (arn, place) = (self.job_arn(&name), self.lake.place.clone());
        let deleted = self.lake.store.write(move |tx| {
            let open = rows::open_runs(tx, &name)?;
            tags::forget(tx, &arn)?;
            cancel_tasks(tx, &name)?;
            open.iter().try_for_each(|run| cancel_tasks(tx, &run.id))?;
            rows::delete(tx, &name)?;
            // The job is gone before its runs end: a trigger that hears of their end cannot start it again.
            open.iter().try_for_each(|run| ending::end_with_job(tx, &place, run))?;
            Ok::<_, GlueError>((name, open))
        });
        let (name, open) = deleted.await?;
        open.iter().for_each(|run| self.stops.stop(RUN, &run.id));
        Ok(name)
    }

    /// `GetJob`.
    pub async fn job(&self, name: String) -> Result<Job, GlueError> {
        self.lake.store.read(move |connection| found(connection, &name)).await
    }

    /// `GetJobs`.
    pub async fn jobs(&self, token: Option<String>, limit: usize) -> Result<Page<Job>, GlueError> {
        let after = page::after(token.as_deref())?;
        let listed = self
            .lake
            .store
            .read(move |connection| Ok(Page::of(rows::jobs(connection, &after, limit + 1)?, limit, |job| job.name.clone())));
        listed.await
    }

    /// `ListJobs`: the names of those that have all these tags.
    pub async fn job_names(&self, wanted: Tags, token: Option<String>, limit: usize) -> Result<Page<String>, GlueError> {
        let (after, place) = (page::after(token.as_deref())?, self.lake.place.clone());
        let listed = self.lake.store.read(move |connection| {
            let arn = |name: &str| place.arn("glue", format_args!("job/{name}")).to_string();
            let names = rows::job_names(connection, &after, limit + 1, |name| tags::has_all(connection, &arn(name), &wanted))?;
            Ok(Page::of(names, limit, Clone::clone))
        });
        listed.await
    }

    fn job_arn(&self, name: &str) -> String {
        self.lake.place.arn("glue", format_args!("job/{name}")).to_string()
    }

    /// `BatchGetJobs`: those that there are, and the names of those that there are not.
    pub async fn jobs_by_name(&self, names: Vec<String>) -> Result<(Vec<Job>, Vec<String>), GlueError> {
        let looked = self.lake.store.read(move |connection| {
            let (mut there, mut not_there) = (Vec::new(), Vec::new());
            for name in names {
                match rows::job(connection, &name)? {
                    Some(job) => there.push(job),
                    None => not_there.push(name),
                }
            }
            Ok((there, not_there))
        });
        looked.await
    }

    /// `StartJobRun`. Answers the run's id.
    pub async fn start_job_run(&self, name: String, start: StartRun) -> Result<String, GlueError> {
        if let Some(minutes) = start.timeout.filter(|minutes| !(1..=10_080).contains(minutes)) {
            return Err(GlueError::InvalidInput(format!("Timeout must be from 1 to 10,080 minutes, is {minutes}.")));
        }
        let started = self.lake.store.write(move |tx| {
            let mut job = found(tx, &name)?;
            let mut arguments = start.arguments;
            if let Some(former) = start.retry_of {
                let former = found_run(tx, &name, &former)?;
                arguments = former.arguments.into_iter().chain(arguments).collect();
            }
            check_runs(&job, &arguments)?;
            job.spec.timeout = start.timeout.or(job.spec.timeout);
            overlay(&mut job.spec, start.members);
            let full = rows::open_runs(tx, &name)?.len() >= job.spec.execution_property.max_concurrent_runs as usize;
            let queues = start.queue.or(job.spec.job_run_queuing_enabled).unwrap_or(false);
            if full && !queues {
                return Err(GlueError::ConcurrentRunsExceeded(format!("Concurrent runs exceeded for {name}")));
            }
            let state = if full { RunState::Waiting } else { RunState::Starting };
            Ok(add_run(tx, &job, arguments, state)?.id)
        });
        started.await
    }

    /// `GetJobRun`.
    pub async fn job_run(&self, job: String, id: String) -> Result<JobRun, GlueError> {
        self.lake.store.read(move |connection| found_run(connection, &job, &id)).await
    }

    /// `GetJobRuns`: the latest first.
    pub async fn job_runs(&self, job: String, token: Option<String>, limit: usize) -> Result<Page<JobRun>, GlueError> {
        let before = page::before(token.as_deref())?;
        let listed = self.lake.store.read(move |connection| {
            found(connection, &job)?;
            let runs = rows::runs(connection, Some(&job), before, limit + 1)?;
            Ok(Page::of(runs, limit, |run| run.seq.to_string()))
        });
        listed.await
    }

    /// `BatchStopJobRun`.
    pub async fn stop_job_runs(&self, job: String, ids: Vec<String>) -> Result<Vec<Stopped>, GlueError> {
        let place = self.lake.place.clone();
        let told = self.lake.store.write(move |tx| {
            found(tx, &job)?;
            let stop = |id: &str| {
                let run = found_run(tx, &job, id)?;
                match run.state {
                    RunState::Waiting | RunState::Starting => Ok(end_waiting(tx, &place, &run)?),
                    RunState::Running => Ok(rows::set_run_state(tx, id, RunState::Stopping)?),
                    RunState::Stopping => Ok(()),
                    ended => Err(GlueError::InvalidInput(format!("Job run {id} has ended already: it is {}.", ended.as_str()))),
                }
            };
            Ok::<_, GlueError>(ids.into_iter().map(|id| (stop(&id), id)).map(|(told, id)| (id, told)).collect::<Vec<_>>())
        });
        let told: Vec<Stopped> = told.await?;
        told.iter().filter(|(_, told)| told.is_ok()).for_each(|(id, _)| self.stops.stop(RUN, id));
        Ok(told)
    }

    /// `GetJobBookmark`: as it is, or as it was after a run.
    pub async fn job_bookmarks(&self, job: String, run: Option<String>) -> Result<Vec<rows::Bookmark>, GlueError> {
        let looked = self.lake.store.read(move |connection| {
            found(connection, &job)?;
            let bookmarks = match &run {
                Some(run) => script::after(connection, &job, run)?,
                None => rows::bookmarks(connection, &job)?,
            };
            some_bookmarks(&job, bookmarks)
        });
        looked.await
    }

    /// `ResetJobBookmark`: the next run reads everything again; or, with a run, all that came after that run.
    pub async fn reset_job_bookmark(&self, job: String, run: Option<String>) -> Result<Vec<rows::Bookmark>, GlueError> {
        let done = self.lake.store.write(move |tx| {
            found(tx, &job)?;
            some_bookmarks(&job, rows::bookmarks(tx, &job)?)?;
            let states = run.map(|run| script::after(tx, &job, &run)).transpose()?;
            rows::reset(tx, &job, &states.unwrap_or_default())?;
            Ok(rows::bookmarks(tx, &job)?)
        });
        done.await
    }

    /// What the source objects of a run contributed, in the order in which they were recorded, from the first after `after` on; those with faults alone
    /// where `faults` says so.
    pub async fn run_entries(&self, run: String, after: i64, limit: usize, faults: bool) -> Result<Vec<Listed>, GlueError> {
        self.lake.store.read(move |connection| Ok(ledger::entries(connection, &run, after, limit, faults)?)).await
    }

    /// The latest crawls and job runs of the whole lake, the latest first.
    pub async fn history(&self, limit: usize) -> Result<Vec<HistoryLine>, GlueError> {
        let looked = self.lake.store.read(move |connection| {
            let crawls = super::crawler::rows::crawls(connection, None, i64::MAX, limit)?
                .into_iter()
                .map(|crawl| HistoryLine::Crawl(Box::new(crawl)));
            let runs = rows::runs(connection, None, i64::MAX, limit)?.into_iter().map(|run| HistoryLine::Run(Box::new(run)));
            let mut lines: Vec<HistoryLine> = crawls.chain(runs).collect();
            lines.sort_by_key(|line| std::cmp::Reverse(line.started_ms()));
            lines.truncate(limit);
            Ok::<_, GlueError>(lines)
        });
        looked.await
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
