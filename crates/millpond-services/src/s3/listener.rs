//! Sends what buckets have to tell: the dispatcher's side of notifications.

use super::message;
use crate::lake::notify::{CHANNEL, Change};
use crate::runtime::dispatcher::{Listener, Matcher, Plan, Posted};
use millpond_core::arn::Place;
use millpond_store::StoreError;
use rusqlite::Connection;
use std::sync::Arc;

/// Listens to the changes that notifications want. Who wants them was decided when they were made, so there is nothing to look up.
#[derive(Debug, Clone)]
pub struct Notifier {
    place: Arc<Place>,
}

impl Notifier {
    /// That of a lake.
    pub fn new(lake: &crate::lake::Lake) -> Self {
        Self { place: lake.place.clone() }
    }
}

impl Listener for Notifier {
    fn channel(&self) -> &'static str {
        CHANNEL
    }

    fn version(&self, _: &Connection) -> Result<i64, StoreError> {
        Ok(0)
    }

    fn matcher(&self, _: &Connection) -> Result<Arc<dyn Matcher>, StoreError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Matcher for Notifier {
    fn deliveries(&self, posted: &Posted, into: &mut Plan) -> Result<(), String> {
        let change: Change = serde_json::from_str(&posted.text)
            .map_err(|error| format!("a row of the outbox is no change of an object: {error}"))?;
        for to in &change.to {
            let text = message::record(&change, to, &self.place.account, &self.place.region);
            into.deliver(message::delivery(&change.bucket, &to.id, to.kind, &to.arn, text));
        }
        Ok(())
    }
}
