//! Rules with a schedule: a task that waits for the next time.

use super::matching::CompiledRule;
use super::model::NewRule;
use super::{Events, EventsError, sql};
use crate::lake::Lake;
use crate::runtime::delivery::Delivery;
use crate::runtime::dispatcher::Heard;
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use millpond_core::env::{EnvExt, iso8601};
use millpond_core::event::Event;
use millpond_core::event::schedule::Schedule;
use millpond_store::task::{NewTask, Task};
use millpond_store::{StoreError, Tx};
use serde_json::json;
use std::sync::Arc;

/// Tasks keyed by the name of a rule, due at its next time.
const KIND: &str = "events.schedule";

/// Enters the next time of a rule that has a schedule and is enabled; forgets the one that was entered.
pub(super) fn plan(tx: &Tx<'_>, rule: &NewRule) -> Result<(), EventsError> {
    forget(tx, &rule.name)?;
    let schedule = rule.schedule.as_deref().filter(|_| rule.state.is_enabled());
    if let Some(at_ms) =
        schedule.and_then(|text| Schedule::parse(text).ok()).and_then(|schedule| schedule.next_after(tx.now_ms()))
    {
        let task = NewTask::new(KIND, json!({ "at_ms": at_ms })).keyed(&rule.name).at(at_ms);
        tx.enqueue(&task)?;
    }
    Ok(())
}

pub(super) fn forget(tx: &Tx<'_>, rule: &str) -> Result<(), EventsError> {
    tx.cancel_tasks(KIND, rule)?;
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
            let Some((id, rule)) = sql::rule(tx, name)? else { return Ok(()) };
            let rule_arn = events.rule_arn(name);
            let heard = heard(tx, &inner, &rule_arn, task.payload["at_ms"].as_i64())?;
            if let Some(rule) = CompiledRule::new(rule_arn, id, &rule, tx)? {
                let mut deliveries: Vec<Delivery> = Vec::new();
                rule.deliveries(&heard, tx.now_ms(), &mut deliveries);
                deliveries.iter().try_for_each(|delivery| events.targets.deliver_or_keep(tx, &inner, delivery))?;
            }
            plan(tx, &rule)
        });
        acted.await.map_err(|error: EventsError| Failure::transient(error))
    }
}

/// The event that EventBridge makes for a schedule.
fn heard(tx: &Tx<'_>, lake: &Lake, rule_arn: &str, at_ms: Option<i64>) -> Result<Heard, StoreError> {
    let event = Event {
        version: "0".into(),
        id: tx.env().uuid(),
        detail_type: "Scheduled Event".into(),
        source: "aws.events".into(),
        account: lake.place.account.clone(),
        time: iso8601(at_ms.unwrap_or(tx.now_ms()), false),
        region: lake.place.region.clone(),
        resources: vec![rule_arn.into()],
        detail: json!({}),
    };
    let value = serde_json::to_value(&event)?;
    Ok(Heard { text: value.to_string().into(), event: Arc::new(event), value })
}
