//! Workflows: triggers that belong together, and runs of all that they start.
//!
//! A run begins with the workflow's starting trigger. What ends in it makes its conditional triggers fire ([`super::trigger::fire`]); when nothing is
//! under way any more, the run is COMPLETED, whatever its actions came to: its statistics say that, as on AWS.

pub mod graph;
pub mod rows;

pub use graph::{Edge, Graph, Node, NodeDetails};
pub use rows::{RunStatus, Workflow, WorkflowRun};

use super::crawler::page::{self, Page};
use super::tags::{self, Tags};
use super::trigger::rows::Started;
use super::trigger::{self, TriggerKind, TriggerSpec, fire};
use super::{Glue, GlueError, crawler, job};
use millpond_core::arn::Place;
use millpond_store::{StoreError, Tx};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// Properties of a run at the most, and characters of all of them together.
const PROPERTIES_MAX: usize = 1_000;
const PROPERTIES_SIZE_MAX: usize = 256 * 1024;

/// A workflow's definition: `CreateWorkflow`'s members but its name and tags.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WorkflowSpec {
    /// Kept and shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What each run begins with.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub default_run_properties: Tags,
    /// Without it there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent_runs: Option<i32>,
}

/// How many actions of a run came to what: `WorkflowRunStatistics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Statistics {
    pub total: i32,
    pub timeout: i32,
    pub failed: i32,
    pub stopped: i32,
    pub succeeded: i32,
    pub running: i32,
    pub errored: i32,
}

/// A run with what it started.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReport {
    /// The run.
    pub run: WorkflowRun,
    /// What its actions came to.
    pub statistics: Statistics,
    /// Where it was asked for.
    pub graph: Option<Graph>,
}

impl Statistics {
    fn of(started: &[Started]) -> Self {
        let mut counts = Self { total: started.len() as i32, ..Self::default() };
        for one in started {
            match one.state.as_str() {
                "RUNNING" => counts.running += 1,
                "SUCCEEDED" => counts.succeeded += 1,
                "TIMEOUT" => counts.timeout += 1,
                "STOPPED" | "CANCELLED" => counts.stopped += 1,
                "ERROR" => counts.errored += 1,
                _ => counts.failed += 1,
            }
        }
        counts
    }
}

fn found(connection: &Connection, name: &str) -> Result<Workflow, GlueError> {
    let missing = || GlueError::EntityNotFound(format!("Entity not found: workflow {name} does not exist"));
    rows::workflow(connection, name)?.ok_or_else(missing)
}

fn found_run(connection: &Connection, name: &str, id: &str) -> Result<WorkflowRun, GlueError> {
    found(connection, name)?;
    let missing = || GlueError::EntityNotFound(format!("Entity not found: run {id} of workflow {name} does not exist"));
    rows::run(connection, id)?.filter(|run| run.workflow == name).ok_or_else(missing)
}

fn check_properties(properties: &Tags) -> Result<(), GlueError> {
    let size: usize = properties.iter().map(|(key, value)| key.len() + value.len()).sum();
    if properties.len() > PROPERTIES_MAX || size > PROPERTIES_SIZE_MAX {
        let text = format!("A run has {PROPERTIES_MAX} properties of {PROPERTIES_SIZE_MAX} bytes together at the most.");
        return Err(GlueError::InvalidInput(text));
    }
    Ok(())
}

fn arn(place: &Place, name: &str) -> String {
    place.arn("glue", format_args!("workflow/{name}")).to_string()
}

/// Whether a trigger of this definition can be added to a workflow.
pub(super) fn check_place(connection: &Connection, workflow: &str, spec: &TriggerSpec) -> Result<(), GlueError> {
    found(connection, workflow)?;
    let start = trigger::rows::of_workflow(connection, workflow)?.into_iter().find(|other| other.spec.starts());
    match start.filter(|_| spec.starts()) {
        Some(start) => {
            let text = format!("Workflow {workflow} has a starting trigger already: {}. It can have one only.", start.name);
            Err(GlueError::InvalidInput(text))
        }
        None => Ok(()),
    }
}

/// Whether a run of a workflow may start more.
pub(super) fn goes_on(connection: &Connection, run: &str) -> Result<bool, StoreError> {
    Ok(rows::run(connection, run)?.is_some_and(|run| run.status == RunStatus::Running))
}

/// Whether a run is one of this workflow.
pub(super) fn is_run_of(connection: &Connection, run: &str, workflow: &str) -> Result<bool, StoreError> {
    Ok(rows::run(connection, run)?.is_some_and(|run| run.workflow == workflow))
}

/// Ends a run in which nothing is under way any more.
pub(super) fn settle(tx: &Tx<'_>, id: &str) -> Result<(), StoreError> {
    let Some(run) = rows::run(tx, id)? else { return Ok(()) };
    if trigger::rows::started_in(tx, id)?.iter().any(|one| one.state == "RUNNING") {
        return Ok(());
    }
    let status = if run.status == RunStatus::Stopping { RunStatus::Stopped } else { RunStatus::Completed };
    rows::set_status(tx, id, status)?;
    trigger::rows::forget_run(tx, id)
}

/// Starts a run; answers its id.
pub(super) fn start(tx: &Tx<'_>, place: &Place, name: &str, properties: Tags) -> Result<String, GlueError> {
    let workflow = found(tx, name)?;
    let start = trigger::rows::of_workflow(tx, name)?.into_iter().find(|one| one.spec.starts());
    let Some(start) = start else {
        let text = format!("Workflow {name} has no starting trigger: create one of type ON_DEMAND, SCHEDULED or EVENT for it.");
        return Err(GlueError::InvalidInput(text));
    };
    if let Some(most) = workflow.spec.max_concurrent_runs
        && rows::open_runs(tx, name)? >= i64::from(most)
    {
        return Err(GlueError::ConcurrentRunsExceeded(format!("Concurrent runs exceeded for workflow {name}")));
    }
    let mut all = workflow.spec.default_run_properties;
    all.extend(properties);
    check_properties(&all)?;
    let id = rows::add_run(tx, name, &all)?;
    fire::fire(tx, place, &start, &id, &[])?;
    settle(tx, &id)?;
    Ok(id)
}

/// Starts a run for an event that a rule sent, in the transaction that delivers it.
pub(super) fn deliver(tx: &Tx<'_>, place: &Place, name: &str) -> Result<(), GlueError> {
    let start = trigger::rows::of_workflow(tx, name)?.into_iter().find(|one| one.spec.starts());
    if start.is_some_and(|start| start.spec.r#type != TriggerKind::Event) {
        let text = format!("Workflow {name} begins with a trigger of another type than EVENT: events do not start it.");
        return Err(GlueError::InvalidInput(text));
    }
    self::start(tx, place, name, Tags::new()).map(|_| ())
}

fn report(connection: &Connection, run: WorkflowRun, with_graph: bool) -> Result<RunReport, StoreError> {
    let started = trigger::rows::started_in(connection, &run.id)?;
    let graph = with_graph.then(|| graph::of_run(connection, &run.workflow, &started)).transpose()?;
    Ok(RunReport { statistics: Statistics::of(&started), run, graph })
}

impl Glue {
    /// `CreateWorkflow`.
    pub async fn create_workflow(&self, name: String, spec: WorkflowSpec, tags: Tags) -> Result<String, GlueError> {
        if name.trim().is_empty() || name.chars().count() > 255 {
            return Err(GlueError::InvalidInput("Name must have 1 to 255 characters.".into()));
        }
        check_properties(&spec.default_run_properties)?;
        let place = self.lake.place.clone();
        let made = self.lake.store.write(move |tx| {
            if !rows::insert(tx, &name, &spec)? {
                return Err(GlueError::AlreadyExists(format!("Workflow with name {name} already exists")));
            }
            tags::set(tx, &arn(&place, &name), &tags)?;
            Ok(name)
        });
        made.await
    }

    /// `UpdateWorkflow`: the whole definition is replaced.
    pub async fn update_workflow(&self, name: String, spec: WorkflowSpec) -> Result<String, GlueError> {
        check_properties(&spec.default_run_properties)?;
        let updated = self.lake.store.write(move |tx| {
            found(tx, &name)?;
            rows::update(tx, &name, &spec)?;
            Ok(name)
        });
        updated.await
    }

    /// `GetWorkflow`: with its last run, and with its graph where `with_graph` says so.
    pub async fn workflow(
        &self,
        name: String,
        with_graph: bool,
    ) -> Result<(Workflow, Option<RunReport>, Option<Graph>), GlueError> {
        let looked = self.lake.store.read(move |connection| {
            let workflow = found(connection, &name)?;
            let last = rows::runs(connection, &name, i64::MAX, 1)?.pop();
            let last = last.map(|run| report(connection, run, with_graph)).transpose()?;
            let graph = with_graph.then(|| graph::of_workflow(connection, &name)).transpose()?;
            Ok((workflow, last, graph))
        });
        looked.await
    }

    /// `ListWorkflows`.
    pub async fn workflow_names(&self, token: Option<String>, limit: usize) -> Result<Page<String>, GlueError> {
        let after = page::after(token.as_deref())?;
        let listed = self
            .lake
            .store
            .read(move |connection| Ok(Page::of(rows::names(connection, &after, limit + 1)?, limit, Clone::clone)));
        listed.await
    }

    /// `DeleteWorkflow`, with its triggers. Answers also where there was none, as Glue does. What is under way goes on.
    pub async fn delete_workflow(&self, name: String) -> Result<String, GlueError> {
        let place = self.lake.place.clone();
        let deleted = self.lake.store.write(move |tx| {
            for trigger in trigger::rows::of_workflow(tx, &name)? {
                trigger::remove(tx, &place, &trigger.name)?;
            }
            tags::forget(tx, &arn(&place, &name))?;
            rows::delete(tx, &name)?;
            Ok::<_, GlueError>(name)
        });
        deleted.await
    }

    /// `StartWorkflowRun`. Answers the run's id.
    pub async fn start_workflow_run(&self, name: String, properties: Tags) -> Result<String, GlueError> {
        let place = self.lake.place.clone();
        self.lake.store.write(move |tx| start(tx, &place, &name, properties)).await
    }

    /// `StopWorkflowRun`: what is under way is told to stop, and nothing more is started.
    pub async fn stop_workflow_run(&self, name: String, id: String) -> Result<(), GlueError> {
        let told = self.lake.store.write(move |tx| {
            let run = found_run(tx, &name, &id)?;
            if run.status != RunStatus::Running {
                let text = format!("Run {id} of workflow {name} is {}, and cannot be stopped.", run.status.as_str());
                return Err(GlueError::IllegalWorkflowState(text));
            }
            rows::set_status(tx, &id, RunStatus::Stopping)?;
            let under_way: Vec<Started> =
                trigger::rows::started_in(tx, &id)?.into_iter().filter(|one| one.state == "RUNNING").collect();
            settle(tx, &id)?;
            Ok(under_way)
        });
        for one in told.await? {
            let stopped = match one.node.split_once('/') {
                Some(("job", name)) => self.stop_job_runs(name.to_owned(), self.attempts(one.id).await?).await.map(|_| ()),
                Some((_, name)) => self.stop_crawler(name.to_owned()).await,
                None => Ok(()),
            };
            match stopped {
                // It may have ended meanwhile.
                Ok(()) | Err(GlueError::CrawlerNotRunning(_) | GlueError::CrawlerStopping(_) | GlueError::EntityNotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The attempts of a run that have not ended, by their ids.
    async fn attempts(&self, id: String) -> Result<Vec<String>, GlueError> {
        self.lake.store.read(move |connection| Ok(job::rows::open_attempts(connection, &id)?)).await
    }

    /// `GetWorkflowRun`.
    pub async fn workflow_run(&self, name: String, id: String, with_graph: bool) -> Result<RunReport, GlueError> {
        let looked = self.lake.store.read(move |connection| {
            let run = found_run(connection, &name, &id)?;
            Ok(report(connection, run, with_graph)?)
        });
        looked.await
    }

    /// `GetWorkflowRuns`: the latest first.
    pub async fn workflow_runs(
        &self,
        name: String,
        with_graph: bool,
        token: Option<String>,
        limit: usize,
    ) -> Result<Page<RunReport>, GlueError> {
        let before = page::before(token.as_deref())?;
        let listed = self.lake.store.read(move |connection| {
            found(connection, &name)?;
            let runs = rows::runs(connection, &name, before, limit + 1)?;
            let reports = runs.into_iter().map(|run| report(connection, run, with_graph)).collect::<Result<Vec<_>, _>>()?;
            Ok(Page::of(reports, limit, |report| report.run.seq.to_string()))
        });
        listed.await
    }

    /// `PutWorkflowRunProperties`: adds to a run's properties, in place of those of the same keys.
    pub async fn put_workflow_run_properties(&self, name: String, id: String, properties: Tags) -> Result<(), GlueError> {
        let put = self.lake.store.write(move |tx| {
            let mut all = found_run(tx, &name, &id)?.properties;
            all.extend(properties);
            check_properties(&all)?;
            Ok(rows::set_properties(tx, &id, &all)?)
        });
        put.await
    }
}

/// How conditions name the end of a crawl.
pub(super) fn crawl_state(state: crawler::CrawlState) -> &'static str {
    match state {
        crawler::CrawlState::Running => "RUNNING",
        crawler::CrawlState::Completed => "SUCCEEDED",
        crawler::CrawlState::Failed => "FAILED",
        crawler::CrawlState::Stopped => "CANCELLED",
    }
}
