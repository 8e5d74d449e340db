use crate::StoreError;
use millpond_core::env::SharedEnv;
use rusqlite::Connection;
use std::cell::Cell;
use std::ops::Deref;

/// A transaction, as a closure on the writer thread sees it: SQLite's connection (by deref) and what belongs to the lake.
///
/// Tasks and blobs have their own functions on it: [`Tx::enqueue`], [`Tx::finish_task`], [`Tx::adopt`], …
#[derive(Debug)]
pub struct Tx<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) env: &'a SharedEnv,
    pub(crate) now_ms: i64,
    pub(crate) seq: &'a Cell<i64>,
    pub(crate) outbox_changed: &'a Cell<bool>,
    pub(crate) tasks_changed: &'a Cell<bool>,
}

impl Tx<'_> {
    /// The time of this transaction, in milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The source of ids and randomness.
    pub fn env(&self) -> &SharedEnv {
        self.env
    }

    /// A number greater than every one given out before, in the order of commits: what a reader sees up to a number never changes later.
    pub fn next_seq(&self) -> i64 {
        self.seq.set(self.seq.get() + 1);
        self.seq.get()
    }

    /// The number that [`Tx::next_seq`] gave out last.
    pub fn last_seq(&self) -> i64 {
        self.seq.get()
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// The last number given out, as a reader's snapshot sees it.
pub fn committed_seq(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.prepare_cached("SELECT value FROM counter WHERE name = 'seq'")?.query_row([], |row| row.get(0))?)
}
