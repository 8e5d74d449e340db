//! Events as rules hear them: what lies on the outbox's channel of events, with the bus that it is for.

use super::DEFAULT_BUS;
use crate::runtime::dispatcher::Posted;
use millpond_core::event::Event;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The note that is posted with an event: where it is, and how it came there. Absent for events that come to be on the default bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Route {
    /// The bus whose rules hear it.
    pub(super) bus: String,
    /// The bus whose rule sent it on, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) via: Option<String>,
    /// `PutEvents`' trace header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<String>,
}

impl Default for Route {
    fn default() -> Self {
        Self { bus: DEFAULT_BUS.into(), via: None, trace: None }
    }
}

impl Route {
    /// As it is posted; `None` where there is nothing to say.
    pub(super) fn note(&self) -> Option<String> {
        (*self != Self::default()).then(|| serde_json::to_string(self).expect("a route is plain data"))
    }
}

/// An event that the outbox holds.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    /// The event.
    pub(super) event: Arc<Event>,
    /// Its JSON form, as it was emitted.
    pub(super) text: Arc<str>,
    /// The same, parsed.
    pub(super) value: Value,
    /// Where it is.
    pub(super) route: Route,
}

impl Heard {
    pub(super) fn read(posted: &Posted) -> Result<Self, String> {
        let wrong = |error: serde_json::Error| format!("a row of the outbox is no event: {error}");
        let value: Value = serde_json::from_str(&posted.text).map_err(wrong)?;
        let event = Event::deserialize(&value).map_err(wrong)?;
        let route = match &posted.route {
            Some(note) => serde_json::from_str(note).map_err(wrong)?,
            None => Route::default(),
        };
        Ok(Self { event: Arc::new(event), text: posted.text.clone(), value, route })
    }

    /// One that was not posted.
    pub(super) fn of(event: Event, route: Route) -> Result<Self, serde_json::Error> {
        let value = serde_json::to_value(&event)?;
        Ok(Self { text: value.to_string().into(), event: Arc::new(event), value, route })
    }
}
