use crate::StoreError;
use millpond_core::env::SharedEnv;
use rusqlite::Connection;
use std::cell::{Cell, RefCell};
use std::ops::Deref;

/// What runs after a commit.
pub(crate) type Hook = Box<dyn FnOnce() + Send>;

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
    pub(crate) hooks: &'a Hooks,
}

/// The hooks of the transactions that are committed together.
#[derive(Default)]
pub(crate) struct Hooks(pub(crate) RefCell<Vec<Hook>>);

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hooks").field(&self.0.borrow().len()).finish()
    }
}

impl Tx<'_> {
    /// The time of this transaction, in milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Runs `hook` on the writer thread once this transaction is committed and synced, before its caller is answered; not at all where it is
    /// undone. A part of it that was undone alone (a savepoint) still runs its hooks. For waking those who wait for what was written: it must
    /// be quick and must not panic.
    pub fn after_commit(&self, hook: impl FnOnce() + Send + 'static) {
        self.hooks.0.borrow_mut().push(Box::new(hook));
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
