//! Rules with a schedule: a task that waits for the next time.

use super::heard::{Heard, Route};
use super::matching::CompiledRule;
use super::model::NewRule;
use super::{DEFAULT_BUS, Events, EventsError, sql};
use crate::lake::Lake;
use crate::runtime::dispatcher::Plan;
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use millpond_core::env::{EnvExt, iso8601};
use millpond_core::event::Event;
use millpond_core::event::schedule::Schedule;
use millpond_store::task::{NewTask, Task};
use millpond_store::{StoreError, Tx};
use serde_json::json;

/// Tasks keyed by the name of a rule, due at its next time.
const KIND: &str = "events.schedule";

/// Enters the next time of a rule that has a schedule and is enabled; forgets the one that was entered. Only the default bus has such rules.
pub(super) fn plan(tx: &Tx<'_>, rule: &NewRule, bus: &str) -> Result<(), EventsError> {
    forget(tx, &rule.name, bus)?;
    enter(tx, rule, tx.now_ms())
}

pub(super) fn forget(tx: &Tx<'_>, rule: &str, bus: &str) -> Result<(), EventsError> {
    if bus == DEFAULT_BUS {
        tx.cancel_tasks(KIND, rule)?;
    }
    Ok(())
}

/// Enters the first time after `last_ms` that is yet to come. After a pause (the lake was down, or busy) there is one event for all the times that
/// were missed, at once, and none for each of them: targets are not flooded. A rate keeps its beat.
fn enter(tx: &Tx<'_>, rule: &NewRule, last_ms: i64) -> Result<(), EventsError> {
    let schedule = rule.schedule.as_deref().filter(|_| rule.state.is_enabled()).and_then(|text| Schedule::parse(text).ok());
    let now_ms = tx.now_ms();
    let next_ms = schedule.and_then(|schedule| match schedule {
        Schedule::Rate(every_ms) => {
            let passed = (now_ms - last_ms).max(0) / every_ms;
            Some(last_ms + (passed + 1) * every_ms)
        }
        Schedule::Cron(_) => schedule.next_after(now_ms),
    });
    if let Some(at_ms) = next_ms {
        tx.enqueue(&NewTask::new(KIND, json!({ "at_ms": at_ms })).keyed(&rule.name).at(at_ms))?;
    }
    Ok(())
}

/// Delivers a scheduled event to the targets of its rule when its time has come.
#[derive(Debug, Clone)]
pub struct ScheduleHandler {
    /// The service whose rules they are.
    pub events: Events,
}

#[async_trait]
impl Handler for ScheduleHandler {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let (events, task, inner) = (self.events.clone(), task.clone(), lake.clone());
        let acted = lake.store.write(move |tx| {
            tx.finish_task(&task)?;
            let name = task.key.as_deref().unwrap_or_default();
            let Some((id, rule)) = sql::rule(tx, DEFAULT_BUS, name)?.filter(|(_, rule)| rule.state.is_enabled()) else {
                return Ok(());
            };
            // The lake's clock may have been set back since; a rate must not go on from the future.
            let at_ms = task.payload["at_ms"].as_i64().unwrap_or(tx.now_ms()).min(tx.now_ms());
            let heard = heard(tx, &inner, &events.rule_arn(DEFAULT_BUS, name), at_ms)?;
            if let Some(rule) = CompiledRule::new(&inner.place, DEFAULT_BUS, id, &rule, tx)? {
                let mut plan = Plan::default();
                rule.deliveries(&heard, tx.now_ms(), &mut plan);
                plan.carry_out(tx, &inner, &events.targets)?;
            }
            enter(tx, &rule, at_ms)
        });
        acted.await.map_err(|error: EventsError| Failure::transient(error))
    }
}

/// The event that EventBridge makes for a schedule.
fn heard(tx: &Tx<'_>, lake: &Lake, rule_arn: &str, at_ms: i64) -> Result<Heard, StoreError> {
    let event = Event {
        version: "0".into(),
        id: tx.env().uuid(),
        detail_type: "Scheduled Event".into(),
        source: "aws.events".into(),
        account: lake.place.account.clone(),
        time: iso8601(at_ms, false),
        region: lake.place.region.clone(),
        resources: vec![rule_arn.into()],
        detail: json!({}),
    };
    Ok(Heard::of(event, Route::default())?)
}
