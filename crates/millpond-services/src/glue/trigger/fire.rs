//! How a trigger fires, and how the end of a run or of a crawl makes conditional triggers fire: in the transaction of that end.
//!
//! Only what a trigger started counts (developer guide, "AWS Glue triggers": all jobs of a chain descend from one trigger); inside a run of a workflow
//! only what that run started, and each trigger fires once in it.

use super::rows::{self, Started, Trigger, TriggerState};
use super::spec::Action;
use crate::glue::{GlueError, crawler, job, workflow};
use crate::runtime::Failure;
use millpond_core::arn::Place;
use millpond_core::env::EnvExt;
use millpond_store::task::NewTask;
use millpond_store::{StoreError, Tx};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Tasks that start what a trigger could not start when it fired, because it was not there or was busy.
pub(super) const ACTION: &str = "glue.trigger-action";

/// What ended.
#[derive(Debug, Clone, Copy)]
pub(in crate::glue) struct Ended<'a> {
    /// `job/NAME` or `crawler/NAME`.
    pub node: &'a str,
    /// Of the job's run (without the number of its attempt) or of the crawl.
    pub id: &'a str,
    /// Of the job's run, with the number of its last attempt, or of the crawl.
    pub run: &'a str,
    /// As conditions name it.
    pub state: &'a str,
}

/// A job's run whose end made a conditional trigger fire: a member of `JobRun.PredecessorRuns`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::glue) struct Predecessor {
    /// Whose run.
    pub job_name: String,
    /// Of its last attempt.
    pub run_id: String,
}

/// Starts all that a trigger names. Outside of workflows, what cannot be started becomes a task that tries again; in a run of a workflow it is an
/// action of that run that went wrong.
pub(in crate::glue) fn fire(
    tx: &Tx<'_>,
    place: &Place,
    trigger: &Trigger,
    workflow_run: &str,
    predecessors: &[Predecessor],
) -> Result<(), StoreError> {
    for (at, action) in trigger.spec.actions.iter().enumerate() {
        match start(tx, place, trigger, action, workflow_run, predecessors) {
            Ok(()) => {}
            Err(GlueError::Store(error)) => return Err(error),
            Err(_) if workflow_run.is_empty() => {
                let payload = json!({ "trigger": trigger.name, "action": at, "predecessors": predecessors });
                tx.enqueue(&NewTask::new(ACTION, payload))?;
            }
            Err(error) => rows::add_started(
                tx,
                &Started {
                    id: tx.env().uuid(),
                    node: action.node().unwrap_or_default(),
                    trigger: trigger.name.clone(),
                    workflow_run: workflow_run.to_owned(),
                    state: "ERROR".into(),
                    error: Some(error.to_string()),
                },
            )?,
        }
    }
    Ok(())
}

/// Starts one thing.
fn start(
    tx: &Tx<'_>,
    place: &Place,
    trigger: &Trigger,
    action: &Action,
    workflow_run: &str,
    predecessors: &[Predecessor],
) -> Result<(), GlueError> {
    let node = action.node()?;
    let id = match (&action.job_name, &action.crawler_name) {
        (Some(name), _) => {
            let mut arguments = action.arguments.clone();
            if let Some(workflow) = trigger.workflow.as_ref().filter(|_| !workflow_run.is_empty()) {
                arguments.insert("--WORKFLOW_NAME".into(), workflow.clone());
                arguments.insert("--WORKFLOW_RUN_ID".into(), workflow_run.to_owned());
            }
            job::start_triggered(tx, name, arguments, action.timeout, &trigger.name, predecessors)?
        }
        (None, name) => crawler::start(tx, place, name.as_deref().unwrap_or_default())?.id,
    };
    let started = Started {
        id,
        node,
        trigger: trigger.name.clone(),
        workflow_run: workflow_run.to_owned(),
        state: "RUNNING".into(),
        error: None,
    };
    Ok(rows::add_started(tx, &started)?)
}

/// A run of a job or a crawl has ended, in this transaction: what waited for it fires.
pub(in crate::glue) fn told(tx: &Tx<'_>, place: &Place, ended: Ended<'_>) -> Result<(), StoreError> {
    let Some(started) = rows::started(tx, ended.id)? else { return Ok(()) };
    rows::end_started(tx, &started, ended.state)?;
    let run = started.workflow_run.as_str();
    if run.is_empty() || workflow::goes_on(tx, run)? {
        rows::unmeet(tx, run, ended.node, ended.state)?;
        for (name, condition) in rows::waiting(tx, ended.node, ended.state)? {
            let Some(trigger) = rows::trigger(tx, &name)?.filter(|trigger| trigger.state == TriggerState::Activated) else {
                continue;
            };
            if belongs(tx, &trigger, run)? {
                hear(tx, place, &trigger, run, condition, ended.run)?;
            }
        }
    }
    if run.is_empty() { Ok(()) } else { workflow::settle(tx, run) }
}

/// Whether a trigger hears of what belongs to a run of a workflow (or, without one, to none).
fn belongs(tx: &Tx<'_>, trigger: &Trigger, run: &str) -> Result<bool, StoreError> {
    match &trigger.workflow {
        None => Ok(run.is_empty()),
        Some(_) if run.is_empty() => Ok(false),
        Some(workflow) => Ok(workflow::is_run_of(tx, run, workflow)? && !rows::has_fired(tx, &trigger.name, run)?),
    }
}

/// A condition of a trigger came true by the end of `ended`, inside of the workflow's run `run` (or, where that is empty, of none).
fn hear(tx: &Tx<'_>, place: &Place, trigger: &Trigger, run: &str, condition: i64, ended: &str) -> Result<(), StoreError> {
    let met = rows::meet(tx, &trigger.name, run, condition, ended)?;
    if trigger.spec.any() || met >= trigger.spec.conditions().len() {
        let met = rows::consume(tx, &trigger.name, run)?;
        fire(tx, place, trigger, run, &predecessors(trigger, met))?;
    }
    Ok(())
}

/// The runs of jobs, each once, by which the conditions of a trigger came true.
fn predecessors(trigger: &Trigger, met: Vec<(i64, String)>) -> Vec<Predecessor> {
    let mut found: Vec<Predecessor> = Vec::new();
    for (condition, run_id) in met {
        let condition = usize::try_from(condition).ok().and_then(|at| trigger.spec.conditions().get(at));
        let Some(job_name) = condition.and_then(|one| one.job_name.clone()) else { continue };
        let predecessor = Predecessor { job_name, run_id };
        if !found.contains(&predecessor) {
            found.push(predecessor);
        }
    }
    found
}

/// Tries a trigger's action again. Whoever deleted the trigger meanwhile wants nothing of it.
pub(super) fn again(tx: &Tx<'_>, place: &Place, trigger: &str, at: usize, predecessors: &[Predecessor]) -> Result<(), Failure> {
    let Some(trigger) = rows::trigger(tx, trigger)? else { return Ok(()) };
    let Some(action) = trigger.spec.actions.get(at) else { return Ok(()) };
    start(tx, place, &trigger, action, "", predecessors).map_err(|error| {
        let text = format!("trigger {}: {error}", trigger.name);
        match error {
            GlueError::CrawlerRunning(_) | GlueError::ConcurrentRunsExceeded(_) | GlueError::Store(_) => Failure::transient(text),
            _ => Failure::lasting(text),
        }
    })
}
