//! The writer thread: decides changes one after the other, and commits all that wait at once, by one sync.
//!
//! fjall makes a batch durable before it makes it visible, under its journal's lock; readers need no lock of those. So nobody reads what a crash could take back, and nobody
//! who reads waits for a sync. A change sees those before it in the same commit through [`Writes`].
//!
//! A load *holds* its table: messages for it are put aside until it lets go, while other tables go on. What waits of all tables together, put aside or not, is bounded ([`WAITING_BYTES_MAX`]), and
//! a change whose caller gave up is not done.

use super::change::Wanted;
use super::core::Core;
use super::stage::{Stage, Writes};
use super::table::Table;
use super::{StoreError, TableId};
use fjall::{AbstractTree, OwnedWriteBatch, PersistMode};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};

/// A commit takes no more changes than this, so that those who wait first need not wait for all.
const COMMIT_CHANGES_MAX: usize = 2048;
/// Nor more bytes.
const COMMIT_BYTES_MAX: usize = 16 << 20;

/// Changes that wait may have so many bytes together; one always may.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// Tells a caller what came of its change; gets the error if the commit failed.
pub(super) type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A change that was decided: what it writes, and whom to tell.
pub(super) type Evaluate = Box<dyn for<'a> FnOnce(Stage<'a>) -> (Writes, Done) + Send>;

/// Bytes of what may wait; given back when dropped.
pub(super) struct Share {
    waiting: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Something that needs the writer thread for itself.
pub(super) type Run = Box<dyn FnOnce(&mut Writer) + Send>;

/// What the writer thread is told.
pub(super) enum Message {
    /// Decide a change of these tables, and commit it, if it is still wanted.
    Change { tables: Vec<TableId>, wanted: Wanted, evaluate: Evaluate, share: Share },
    /// Do something about a table.
    Run { table: TableId, run: Run },
    /// Let go of a table that is held.
    Release { table: TableId, run: Run },
    /// End.
    Stop,
}

impl Message {
    fn waits_for(&self, held: &HashMap<TableId, Vec<Message>>) -> Option<TableId> {
        match self {
            Self::Change { tables, .. } => tables.iter().find(|table| held.contains_key(table)).copied(),
            Self::Run { table, .. } => held.contains_key(table).then_some(*table),
            Self::Release { .. } | Self::Stop => None,
        }
    }
}

/// The thread's state.
pub(super) struct Writer {
    pub(super) core: Arc<Core>,
    /// Messages that came for tables that are held.
    held: HashMap<TableId, Vec<Message>>,
    /// Messages that were put aside and go before new ones.
    ready: VecDeque<Message>,
    /// What each table has in memory that is in no file yet, in bytes.
    unsaved: HashMap<TableId, u64>,
}

impl Writer {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let unsaved = core.all_tables().iter().map(|table| (table.id, table.keyspace.tree.active_memtable().size())).collect();
        Self { core, held: HashMap::new(), ready: VecDeque::new(), unsaved }
    }

    /// Until it is told to stop, or nobody can tell it anything any more.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let first = match self.ready.pop_front() {
                Some(message) => message,
                None => match messages.recv() {
                    Ok(message) => message,
                    Err(_) => return,
                },
            };
            let mut next = Some(first);
            let mut group = Writes::default();
            let mut waiting: Vec<Done> = Vec::new();
            while let Some(message) = next.take() {
                if let Some(table) = message.waits_for(&self.held) {
                    self.held.entry(table).or_default().push(message);
                } else {
                    match message {
                        // Nobody would be told.
                        Message::Change { wanted, .. } if !wanted() => {}
                        Message::Change { evaluate, share, .. } => {
                            drop(share);
                            if let Some((writes, done)) = decide(&self.core, &group, evaluate) {
                                group.extend(writes);
                                waiting.push(done);
                            }
                        }
                        Message::Run { run, .. } => {
                            self.commit_group(std::mem::take(&mut group), std::mem::take(&mut waiting));
                            self.guarded(run);
                        }
                        Message::Release { table, run } => {
                            self.commit_group(std::mem::take(&mut group), std::mem::take(&mut waiting));
                            self.guarded(run);
                            self.ready.extend(self.held.remove(&table).unwrap_or_default());
                        }
                        Message::Stop => {
                            self.commit_group(group, waiting);
                            return;
                        }
                    }
                }
                if waiting.len() >= COMMIT_CHANGES_MAX || group.size_bytes >= COMMIT_BYTES_MAX {
                    break;
                }
                next = self.ready.pop_front().or_else(|| messages.try_recv().ok());
            }
            self.commit_group(group, waiting);
        }
    }

    fn guarded(&mut self, run: Run) {
        if catch_unwind(AssertUnwindSafe(|| run(self))).is_err() {
            tracing::error!("a function on the item store's writer thread panicked");
        }
    }

    fn commit_group(&mut self, group: Writes, waiting: Vec<Done>) {
        let result = self.commit(group);
        for done in waiting {
            let result = result.clone();
            if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
                tracing::error!("a function that was to be told of a change of items panicked");
            }
        }
    }

    /// Makes writes durable, then visible.
    pub(super) fn commit(&mut self, writes: Writes) -> Result<(), StoreError> {
        if writes.is_empty() {
            return Ok(());
        }
        let mut batch = OwnedWriteBatch::with_capacity(self.core.database.clone(), 64).durability(Some(PersistMode::SyncData));
        let after = writes.into_batch(&mut batch);
        batch.commit().map_err(|error| {
            tracing::error!(%error, "a commit of items failed");
            self.core.failed_commit(error)
        })?;
        for (table, sums, size) in after {
            if let Some(sums) = sums {
                table.set_sums(sums);
            }
            *self.unsaved.entry(table.id).or_default() += size as u64;
        }
        self.spill()
    }

    /// Keeps what all tables have in memory within the limit, by having the largest of them written to files.
    fn spill(&mut self) -> Result<(), StoreError> {
        let limit = self.core.options.write_buffer_bytes;
        loop {
            let total: u64 = self.unsaved.values().sum();
            let Some((&id, &most)) = self.unsaved.iter().max_by_key(|(_, size)| **size) else { return Ok(()) };
            // One table alone may use a quarter, for as much again waits to be written while it goes on.
            if total <= limit && most <= limit / 4 {
                return Ok(());
            }
            self.unsaved.remove(&id);
            if let Ok(table) = self.core.table(id) {
                table.keyspace.rotate_memtable().map_err(|error| self.core.error(error))?;
            }
        }
    }

    /// Decides and commits one thing alone.
    pub(super) fn change_alone<T>(
        &mut self,
        change: impl FnOnce(&mut Stage<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let core = Arc::clone(&self.core);
        let before = Writes::default();
        let mut stage = Stage::new(&core, &before);
        let answer = change(&mut stage)?;
        let writes = stage.into_writes();
        self.commit(writes)?;
        Ok(answer)
    }

    /// From now on messages for the table wait.
    pub(super) fn hold(&mut self, table: TableId) {
        self.held.entry(table).or_default();
    }

    /// The table's memory went to files.
    pub(super) fn saved(&mut self, table: &Table) {
        self.unsaved.insert(table.id, table.keyspace.tree.active_memtable().size());
    }

    /// The table is no more.
    pub(super) fn forget(&mut self, table: TableId) {
        self.unsaved.remove(&table);
    }
}

/// `None` if the change's function panicked: its caller finds its channel closed.
fn decide(core: &Core, group: &Writes, evaluate: Evaluate) -> Option<(Writes, Done)> {
    let decided = catch_unwind(AssertUnwindSafe(|| evaluate(Stage::new(core, group))));
    if decided.is_err() {
        tracing::error!("a function that was to decide on a change of items panicked");
    }
    decided.ok()
}

/// How others reach the writer thread.
#[derive(Clone)]
pub(super) struct WriterHandle {
    sender: Sender<Message>,
    /// The bytes of changes that wait.
    waiting: Arc<AtomicUsize>,
}

impl WriterHandle {
    pub(super) fn new(sender: Sender<Message>) -> Self {
        Self { sender, waiting: Arc::default() }
    }

    pub(super) fn send(&self, message: Message) -> Result<(), StoreError> {
        self.sender.send(message).map_err(|_| closed())
    }

    /// For a change that will wait.
    pub(super) fn share(&self, bytes: usize) -> Result<Share, StoreError> {
        let fits = |waiting: usize| match waiting {
            0 => Some(bytes),
            _ => waiting.checked_add(bytes).filter(|sum| *sum <= WAITING_BYTES_MAX),
        };
        let taken = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.map(|_| Share { waiting: Arc::clone(&self.waiting), bytes }).map_err(|_| StoreError::Busy)
    }

    /// Does something about a table on the writer thread, and waits for it.
    pub(super) fn run<T: Send + 'static>(
        &self,
        table: TableId,
        run: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(run, |run| Message::Run { table, run })
    }

    /// As [`Self::run`], of a table that the caller holds; lets go of it.
    pub(super) fn release<T: Send + 'static>(
        &self,
        table: TableId,
        run: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(run, |run| Message::Release { table, run })
    }

    fn ask<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
        message: impl FnOnce(Run) -> Message,
    ) -> Result<T, StoreError> {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        let run = Box::new(move |writer: &mut Writer| {
            let _ = answer.send(run(writer));
        });
        self.send(message(run))?;
        answered.recv().map_err(|_| closed())?
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::Internal("the item store is closed, or what was given to it panicked".into())
}
