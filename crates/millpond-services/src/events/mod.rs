//! EventBridge: rules say which events go where.
//!
//! Here are the operations and the rules' side of the dispatcher ([`Rules`]). Events come from the outbox: those of the lake itself and, by
//! `PutEvents`, those of others, in the same way. A rule hears the events of its own bus.

mod buses;
mod error;
mod heard;
mod matching;
mod model;
mod permissions;
mod put;
mod rules;
mod schedule;
mod sql;
mod tags;
mod target;
mod targets;
mod transform;

pub use buses::{Bus, BusSettings, DEFAULT_BUS, NewBus};
pub use error::EventsError;
pub use matching::Rules;
pub use model::{NewRule, Page, Rule, RuleState, Target, Transformer};
pub use permissions::Permission;
pub use put::{EntryResult, NewEntry};
pub use schedule::ScheduleHandler;
pub use target::BusTarget;

use crate::lake::Lake;
use crate::runtime::Handler;
use crate::runtime::delivery::Targets;
use crate::runtime::dispatcher::Listener;
use millpond_core::arn::Place;
use millpond_store::Component;
use std::sync::Arc;

/// EventBridge's tables.
pub const COMPONENT: Component =
    Component { name: "events", migrations: &[include_str!("schema.sql"), include_str!("schema_2.sql")] };

/// The service; clones share it.
#[derive(Debug, Clone)]
pub struct Events {
    lake: Lake,
    targets: Targets,
}

impl Events {
    /// EventBridge over a lake, with the kinds of target that its rules may name.
    pub fn new(lake: Lake, targets: Targets) -> Self {
        Self { lake, targets }
    }

    /// The kinds of target that rules may name: what the dispatcher delivers to.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The rules, for the dispatcher.
    pub fn listener(&self) -> Arc<dyn Listener> {
        Arc::new(Rules::new(&self.lake))
    }

    /// Who does the tasks of scheduled rules.
    pub fn handlers(&self) -> Vec<Arc<dyn Handler>> {
        vec![Arc::new(ScheduleHandler { events: self.clone() })]
    }

    /// `arn:aws:events:REGION:ACCOUNT:rule/NAME`, with the bus before the name where it is not the default one.
    pub fn rule_arn(&self, bus: &str, name: &str) -> String {
        rule_arn(&self.lake.place, bus, name)
    }
}

fn rule_arn(place: &Place, bus: &str, name: &str) -> String {
    match bus {
        DEFAULT_BUS => place.arn("events", format_args!("rule/{name}")).to_string(),
        bus => place.arn("events", format_args!("rule/{bus}/{name}")).to_string(),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_buses;
