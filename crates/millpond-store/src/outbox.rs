//! Events that were committed with the change that caused them, until the dispatcher has turned them into tasks.

use crate::{StoreError, Tx};
use millpond_core::event::Event;

/// An event in the outbox.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    /// Counts up in the order of commits.
    pub id: i64,
    /// The event.
    pub event: Event,
}

impl Tx<'_> {
    /// Records that `event` happened, in this transaction.
    pub fn emit(&self, event: &Event) -> Result<(), StoreError> {
        let text = serde_json::to_string(event)?;
        self.prepare_cached("INSERT INTO outbox (event) VALUES (?)")?.execute([text])?;
        self.outbox_changed.set(true);
        Ok(())
    }

    /// The oldest events, `limit` at the most.
    pub fn outbox(&self, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        let mut statement = self.prepare_cached("SELECT id, event FROM outbox ORDER BY id LIMIT ?")?;
        let mut rows = statement.query([limit as i64])?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            let text: String = row.get(1)?;
            events.push(OutboxRow { id: row.get(0)?, event: serde_json::from_str(&text)? });
        }
        Ok(events)
    }

    /// Removes the events up to and including `id`, which the dispatcher has handled in this same transaction.
    pub fn clear_outbox(&self, id: i64) -> Result<(), StoreError> {
        self.prepare_cached("DELETE FROM outbox WHERE id <= ?")?.execute([id])?;
        Ok(())
    }
}
