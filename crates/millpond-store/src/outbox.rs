//! What was committed with the change that caused it, until the dispatcher has turned it into tasks: events, and what else is to be told.
//!
//! A row has a *channel*, which says what sort of text it holds and who listens: [`EVENTS`] for the events of EventBridge. A *route* is the
//! listener's own note on it.

use crate::{StoreError, Tx};
use millpond_core::event::Event;
use rusqlite::{Connection, params};

/// The channel of events.
pub const EVENTS: &str = "events";

/// An event in the outbox.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    /// Counts up in the order of commits.
    pub id: i64,
    /// The event.
    pub event: Event,
}

/// A row of the outbox as it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRow {
    /// Counts up in the order of commits.
    pub id: i64,
    /// What sort of text it is.
    pub channel: String,
    /// A note for the listener.
    pub route: Option<String>,
    /// The event's JSON form, if it is one; what was posted, on other channels.
    pub text: String,
}

/// The oldest rows, unread, so that one that is damaged cannot hold up the others: `limit` at the most, and no more once those before have
/// `bytes_max`.
pub fn raw_rows(connection: &Connection, limit: usize, bytes_max: usize) -> Result<Vec<RawRow>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, event, channel, route FROM outbox ORDER BY id LIMIT ?")?;
    let mut rows = statement.query([limit as i64])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let text = row.get_ref(1)?.as_bytes_or_null().ok().flatten().unwrap_or_default();
        let text = String::from_utf8_lossy(text).into_owned();
        bytes += text.len();
        found.push(RawRow { id: row.get(0)?, text, channel: row.get(2)?, route: row.get(3)? });
        if bytes >= bytes_max {
            break;
        }
    }
    Ok(found)
}

impl Tx<'_> {
    /// Records that `event` happened, in this transaction.
    pub fn emit(&self, event: &Event) -> Result<(), StoreError> {
        self.post(EVENTS, None, &serde_json::to_string(event)?)
    }

    /// Puts a text on a channel, in this transaction.
    pub fn post(&self, channel: &str, route: Option<&str>, text: &str) -> Result<(), StoreError> {
        let insert = "INSERT INTO outbox (event, channel, route) VALUES (?, ?, ?)";
        self.prepare_cached(insert)?.execute(params![text, channel, route])?;
        self.outbox_changed.set(true);
        Ok(())
    }

    /// The oldest events, `limit` at the most.
    pub fn outbox(&self, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        let mut statement = self.prepare_cached("SELECT id, event FROM outbox WHERE channel = ? ORDER BY id LIMIT ?")?;
        let mut rows = statement.query(params![EVENTS, limit as i64])?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            let text: String = row.get(1)?;
            events.push(OutboxRow { id: row.get(0)?, event: serde_json::from_str(&text)? });
        }
        Ok(events)
    }

    /// Removes the rows up to and including `id`, which the dispatcher has handled in this same transaction.
    pub fn clear_outbox(&self, id: i64) -> Result<(), StoreError> {
        self.prepare_cached("DELETE FROM outbox WHERE id <= ?")?.execute([id])?;
        Ok(())
    }
}
