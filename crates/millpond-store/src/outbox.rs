//! Events that were committed with the change that caused them, until the dispatcher has turned them into tasks.

use crate::{StoreError, Tx};
use millpond_core::event::Event;
use rusqlite::Connection;

/// An event in the outbox.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    /// Counts up in the order of commits.
    pub id: i64,
    /// The event.
    pub event: Event,
}

/// A row of the outbox as it lies there.
#[derive(Debug, Clone)]
pub struct RawRow {
    /// Counts up in the order of commits.
    pub id: i64,
    /// The event's JSON form, if it is one.
    pub event: String,
}

/// The oldest rows, `limit` at the most, unread: so that one that is damaged cannot hold up the others.
pub fn raw_rows(connection: &Connection, limit: usize) -> Result<Vec<RawRow>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, event FROM outbox ORDER BY id LIMIT ?")?;
    let rows = statement.query_map([limit as i64], |row| {
        let event = row.get_ref(1)?.as_bytes_or_null().ok().flatten().unwrap_or_default();
        Ok(RawRow { id: row.get(0)?, event: String::from_utf8_lossy(event).into_owned() })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
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
