//! Triggers: what starts jobs and crawlers by a schedule, on demand, or when others have ended.

pub(in crate::glue) mod fire;
pub mod rows;
pub mod spec;

pub use rows::{COMPONENT, Trigger, TriggerState};
pub use spec::{TriggerKind, TriggerSpec};

use super::crawler::page::{self, Page};
use super::tags::{self, Tags};
use super::{Glue, GlueError, crawler, job, schedule, workflow};
use crate::lake::Lake;
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use millpond_core::arn::Place;
use millpond_store::task::Task;
use millpond_store::{StoreError, Tx};
use rusqlite::Connection;

/// Tasks that fire a trigger by its schedule; the key is its name.
const SCHEDULE: &str = "glue.trigger-schedule";

/// A trigger to create.
#[derive(Debug, Clone)]
pub struct NewTrigger {
    /// 1 to 255 characters.
    pub name: String,
    /// The workflow that it shall belong to.
    pub workflow: Option<String>,
    /// Its definition.
    pub spec: TriggerSpec,
    /// Whether it is active at once.
    pub start: bool,
    /// By key.
    pub tags: Tags,
}

/// Which triggers a listing names.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Those that start this job.
    pub job: Option<String>,
    /// Those that have all these tags.
    pub tags: Tags,
}

fn missing(name: &str) -> GlueError {
    GlueError::EntityNotFound(format!("Entity not found: trigger {name} does not exist"))
}

fn found(connection: &Connection, name: &str) -> Result<Trigger, GlueError> {
    rows::trigger(connection, name)?.ok_or_else(|| missing(name))
}

/// Whether all jobs and crawlers that a trigger names are there.
fn check_nodes(connection: &Connection, spec: &TriggerSpec) -> Result<(), GlueError> {
    let jobs = spec.actions.iter().map(|action| &action.job_name).chain(spec.conditions().iter().map(|one| &one.job_name));
    let crawlers = spec.actions.iter().map(|one| &one.crawler_name).chain(spec.conditions().iter().map(|one| &one.crawler_name));
    for name in jobs.flatten() {
        if job::rows::job(connection, name)?.is_none() {
            return Err(GlueError::EntityNotFound(format!("Entity not found: job {name} does not exist")));
        }
    }
    for name in crawlers.flatten() {
        if crawler::rows::crawler(connection, name)?.is_none() {
            return Err(GlueError::EntityNotFound(format!("Entity not found: crawler {name} does not exist")));
        }
    }
    Ok(())
}

/// Writes a trigger's rows, and plans its next time.
fn put(tx: &Tx<'_>, trigger: &Trigger) -> Result<(), GlueError> {
    let watched = trigger.spec.conditions().iter().map(|condition| Ok((condition.node()?, condition.awaited()?.to_owned())));
    rows::put(tx, trigger, &watched.collect::<Result<Vec<_>, GlueError>>()?)?;
    Ok(plan(tx, trigger)?)
}

fn plan(tx: &Tx<'_>, trigger: &Trigger) -> Result<(), StoreError> {
    let active = trigger.state == TriggerState::Activated;
    schedule::plan(tx, SCHEDULE, &trigger.name, trigger.spec.schedule.as_deref().filter(|_| active))
}

fn arn(place: &Place, name: &str) -> String {
    place.arn("glue", format_args!("trigger/{name}")).to_string()
}

/// Removes a trigger; answers whether there was one.
pub(super) fn remove(tx: &Tx<'_>, place: &Place, name: &str) -> Result<(), StoreError> {
    tags::forget(tx, &arn(place, name))?;
    tx.cancel_tasks(SCHEDULE, name)?;
    rows::delete(tx, name)
}

impl Glue {
    /// `CreateTrigger`.
    pub async fn create_trigger(&self, new: NewTrigger) -> Result<String, GlueError> {
        let NewTrigger { name, workflow, mut spec, start, tags } = new;
        if name.trim().is_empty() || name.chars().count() > 255 {
            return Err(GlueError::InvalidInput("Name must have 1 to 255 characters.".into()));
        }
        spec.check(workflow.is_some())?;
        if start && !matches!(spec.r#type, TriggerKind::Scheduled | TriggerKind::Conditional) {
            let text = "StartOnCreation is for triggers of type SCHEDULED and CONDITIONAL only.";
            return Err(GlueError::InvalidInput(text.into()));
        }
        let place = self.lake.place.clone();
        let made = self.lake.store.write(move |tx| {
            if rows::trigger(tx, &name)?.is_some() {
                return Err(GlueError::AlreadyExists(format!("Trigger with name {name} already exists")));
            }
            check_nodes(tx, &spec)?;
            if let Some(workflow) = &workflow {
                workflow::check_place(tx, workflow, &spec)?;
            }
            let state = if start { TriggerState::Activated } else { TriggerState::Created };
            put(tx, &Trigger { name: name.clone(), workflow, spec, state })?;
            tags::set(tx, &arn(&place, &name), &tags)?;
            Ok(name)
        });
        made.await
    }

    /// `UpdateTrigger`: the whole definition is replaced, as the API says ("Triggers", `TriggerUpdate`), but for its type, which stays.
    pub async fn update_trigger(&self, name: String, spec: TriggerSpec) -> Result<Trigger, GlueError> {
        let updated = self.lake.store.write(move |tx| {
            let mut trigger = found(tx, &name)?;
            trigger.spec = TriggerSpec { r#type: trigger.spec.r#type, ..spec };
            trigger.spec.check(trigger.workflow.is_some())?;
            check_nodes(tx, &trigger.spec)?;
            put(tx, &trigger)?;
            Ok(trigger)
        });
        updated.await
    }

    /// `GetTrigger`.
    pub async fn trigger(&self, name: String) -> Result<Trigger, GlueError> {
        self.lake.store.read(move |connection| found(connection, &name)).await
    }

    /// `GetTriggers` and `ListTriggers`.
    pub async fn triggers(&self, wanted: Wanted, token: Option<String>, limit: usize) -> Result<Page<Trigger>, GlueError> {
        let (after, place) = (page::after(token.as_deref())?, self.lake.place.clone());
        let listed = self.lake.store.read(move |connection| {
            if let Some(name) = wanted.job.as_ref().filter(|_| after.is_empty())
                && job::rows::job(connection, name)?.is_none()
            {
                return Err(GlueError::EntityNotFound(format!("Entity not found: job {name} does not exist")));
            }
            let fits = |trigger: &Trigger| {
                let starts = |job: &String| trigger.spec.actions.iter().any(|action| action.job_name.as_ref() == Some(job));
                let of_job = wanted.job.as_ref().is_none_or(starts);
                Ok(of_job && tags::has_all(connection, &arn(&place, &trigger.name), &wanted.tags)?)
            };
            let found = rows::triggers(connection, &after, limit + 1, fits)?;
            Ok(Page::of(found, limit, |trigger| trigger.name.clone()))
        });
        listed.await
    }

    /// `BatchGetTriggers`: those that there are, and the names of those that there are not.
    pub async fn triggers_by_name(&self, names: Vec<String>) -> Result<(Vec<Trigger>, Vec<String>), GlueError> {
        let looked = self.lake.store.read(move |connection| {
            let (mut there, mut not_there) = (Vec::new(), Vec::new());
            for name in names {
                match rows::trigger(connection, &name)? {
                    Some(trigger) => there.push(trigger),
                    None => not_there.push(name),
                }
            }
            Ok((there, not_there))
        });
        looked.await
    }

    /// `DeleteTrigger`. Answers also where there was none, as Glue does.
    pub async fn delete_trigger(&self, name: String) -> Result<String, GlueError> {
        let place = self.lake.place.clone();
        let deleted = self.lake.store.write(move |tx| {
            remove(tx, &place, &name)?;
            Ok::<_, GlueError>(name)
        });
        deleted.await
    }

    /// `StartTrigger`: one on demand fires (one that a workflow begins with starts a run of it), others become active.
    pub async fn start_trigger(&self, name: String) -> Result<String, GlueError> {
        let place = self.lake.place.clone();
        let started = self.lake.store.write(move |tx| {
            let mut trigger = found(tx, &name)?;
            match (trigger.spec.r#type, &trigger.workflow) {
                (TriggerKind::OnDemand, Some(workflow)) => drop(workflow::start(tx, &place, workflow, Tags::new())?),
                (TriggerKind::OnDemand, None) => {
                    // Who asks is told at once of what is not there.
                    check_nodes(tx, &trigger.spec)?;
                    fire::fire(tx, &place, &trigger, "", &[])?;
                }
                _ => {
                    trigger.state = TriggerState::Activated;
                    rows::set_state(tx, &name, trigger.state)?;
                    plan(tx, &trigger)?;
                }
            }
            Ok(name)
        });
        started.await
    }

    /// `StopTrigger`: it fires no more until it is started again.
    pub async fn stop_trigger(&self, name: String) -> Result<String, GlueError> {
        let stopped = self.lake.store.write(move |tx| {
            let mut trigger = found(tx, &name)?;
            if trigger.spec.r#type == TriggerKind::OnDemand {
                let text = format!("Trigger {name} is of type ON_DEMAND, which cannot be stopped: it does nothing by itself.");
                return Err(GlueError::InvalidInput(text));
            }
            trigger.state = TriggerState::Deactivated;
            rows::set_state(tx, &name, trigger.state)?;
            plan(tx, &trigger)?;
            Ok(name)
        });
        stopped.await
    }
}

/// Fires triggers by their schedules, and plans each next time.
#[derive(Debug)]
pub struct ScheduleHandler;

#[async_trait]
impl Handler for ScheduleHandler {
    fn kind(&self) -> &'static str {
        SCHEDULE
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let (task, place) = (task.clone(), lake.place.clone());
        let fired = lake.store.write(move |tx| {
            tx.finish_task(&task)?;
            let name = task.key.clone().unwrap_or_default();
            let Some(trigger) = rows::trigger(tx, &name)?.filter(|trigger| trigger.state == TriggerState::Activated) else {
                return Ok(());
            };
            plan(tx, &trigger)?;
            match &trigger.workflow {
                None => fire::fire(tx, &place, &trigger, "", &[]),
                Some(workflow) => match workflow::start(tx, &place, workflow, Tags::new()) {
                    Ok(_) => Ok(()),
                    Err(GlueError::Store(error)) => Err(error),
                    // As many runs as may are under way: this time is left out.
                    Err(error) => {
                        tracing::warn!(trigger = name, %error, "a workflow was not started at its time");
                        Ok(())
                    }
                },
            }
        });
        Ok(fired.await?)
    }
}

/// Starts what a trigger could not start when it fired.
#[derive(Debug)]
pub struct ActionHandler;

#[async_trait]
impl Handler for ActionHandler {
    fn kind(&self) -> &'static str {
        fire::ACTION
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let (task, place) = (task.clone(), lake.place.clone());
        let done = lake.store.write(move |tx| {
            let trigger = task.payload["trigger"].as_str().unwrap_or_default();
            let at = task.payload["action"].as_u64().unwrap_or_default() as usize;
            let predecessors: Vec<fire::Predecessor> =
                serde_json::from_value(task.payload["predecessors"].clone()).unwrap_or_default();
            fire::again(tx, &place, trigger, at, &predecessors)?;
            Ok::<_, Failure>(tx.finish_task(&task)?)
        });
        done.await
    }
}

#[cfg(test)]
mod tests;
