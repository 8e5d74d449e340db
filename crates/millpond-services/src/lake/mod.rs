//! What several services share: the lake's handle, and the rows of its objects.

pub mod care;
pub mod catalog;
pub mod iceberg;
pub mod identity;
pub mod items;
pub mod ledger;
pub mod log;
pub mod notify;
pub mod objects;
pub mod staging;

use millpond_core::arn::Place;
use millpond_core::env::{EnvExt, iso8601};
use millpond_core::event::Event;
use millpond_store::{Store, StoreError, Tx};
use serde_json::Value;
use std::sync::Arc;

/// A handle to the lake that every service works on; clones share it.
#[derive(Debug, Clone)]
pub struct Lake {
    /// State, tasks and bytes.
    pub store: Store,
    /// The account and region that the lake answers for.
    pub place: Arc<Place>,
}

/// An event to be emitted: what differs from event to event.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// For example `aws.s3`.
    pub source: &'static str,
    /// For example `Object Created`.
    pub detail_type: &'static str,
    /// ARNs of what the event is about.
    pub resources: Vec<String>,
    /// The event's own body, a JSON object.
    pub detail: Value,
}

/// Emits an event from a transaction, with the time, the id and the place filled in.
pub fn emit(tx: &Tx<'_>, place: &Place, new: NewEvent) -> Result<(), StoreError> {
    tx.emit(&Event {
        version: "0".into(),
        id: tx.env().uuid(),
        detail_type: new.detail_type.into(),
        source: new.source.into(),
        account: place.account.clone(),
        time: iso8601(tx.now_ms(), false),
        region: place.region.clone(),
        resources: new.resources,
        detail: new.detail,
    })
}
