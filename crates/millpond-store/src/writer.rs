//! The one thread that writes, and its group commit.
//!
//! The thread takes the first waiting closure and all that wait behind it (up to a limit), runs each in a savepoint, commits once, and then
//! answers them all. While the disk syncs, new closures gather: the busier the lake, the fewer syncs a write costs.

use crate::tx::Hooks;
use crate::{StoreError, Tx};
use millpond_core::env::SharedEnv;
use rusqlite::Connection;
use std::cell::Cell;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Closures that one commit takes at the most.
const GROUP_MAX: usize = 512;

/// Closures that wait at the most before callers wait too.
const QUEUE_MAX: usize = 4096;

type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Runs in its savepoint; says whether to keep its changes, and how to answer once that is known.
type Work = Box<dyn FnOnce(&Tx<'_>) -> (bool, Answer) + Send>;

/// A handle to the writer thread; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Work>,
    outbox: Arc<watch::Sender<u64>>,
    tasks: Arc<watch::Sender<u64>>,
}

impl Writer {
    pub(crate) fn start(connection: Connection, env: SharedEnv, lock: File) -> Result<Self, StoreError> {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let (outbox, tasks) = (Arc::new(watch::Sender::new(0)), Arc::new(watch::Sender::new(0)));
        let seq = crate::committed_seq(&connection)?;
        let group = Group {
            connection,
            env,
            seq: Cell::new(seq),
            outbox_changed: Cell::new(false),
            tasks_changed: Cell::new(false),
            hooks: Hooks::default(),
            outbox: outbox.clone(),
            tasks: tasks.clone(),
            _lock: lock,
        };
        std::thread::Builder::new()
            .name("millpond-writer".into())
            .spawn(move || group.run(waiting))
            .map_err(|error| StoreError::io("the writer thread".as_ref(), error))?;
        Ok(Self { queue, outbox, tasks })
    }

    pub(crate) async fn write<T, E, F>(&self, change: F) -> Result<T, E>
    where
        F: FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (sender, answered) = oneshot::channel();
        let work: Work = Box::new(move |tx| {
            let outcome = change(tx);
            let keep = outcome.is_ok();
            let answer: Answer = Box::new(move |committed| {
                // The caller may have gone away; its change is committed all the same.
                let _ = sender.send(match committed {
                    Ok(()) => outcome,
                    Err(error) => Err(error.into()),
                });
            });
            (keep, answer)
        });
        self.queue.send(work).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Panicked)?
    }

    pub(crate) fn outbox_changes(&self) -> watch::Receiver<u64> {
        self.outbox.subscribe()
    }

    pub(crate) fn task_changes(&self) -> watch::Receiver<u64> {
        self.tasks.subscribe()
    }
}

struct Group {
    connection: Connection,
    env: SharedEnv,
    seq: Cell<i64>,
    outbox_changed: Cell<bool>,
    tasks_changed: Cell<bool>,
    hooks: Hooks,
    outbox: Arc<watch::Sender<u64>>,
    tasks: Arc<watch::Sender<u64>>,
    /// Held until the last write is done, so that no other process opens the store before.
    _lock: File,
}

impl Group {
    fn run(self, mut waiting: mpsc::Receiver<Work>) {
        while let Some(first) = waiting.blocking_recv() {
            let mut works = vec![first];
            while works.len() < GROUP_MAX {
                match waiting.try_recv() {
                    Ok(work) => works.push(work),
                    Err(_) => break,
                }
            }
            self.commit(works);
        }
        // The last handle is gone: fold the log into the database, so that the next start has nothing to replay.
        if let Err(error) = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(%error, "the database's log could not be folded in; the next start does it");
        }
    }

    fn commit(&self, works: Vec<Work>) {
        let seq_before = self.seq.get();
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            tracing::error!(%error, "no transaction could be begun");
            return; // Dropping the works answers each with an error.
        }
        let answers: Vec<Answer> = works.into_iter().filter_map(|work| self.run_one(work)).collect();
        let committed = self.finish(seq_before);
        let hooks = self.hooks.0.take();
        if committed.is_ok() {
            hooks.into_iter().for_each(|hook| hook());
            if self.outbox_changed.take() {
                self.outbox.send_modify(|count| *count += 1);
            }
            if self.tasks_changed.take() {
                self.tasks.send_modify(|count| *count += 1);
            }
        }
        for answer in answers {
            answer(match &committed {
                Ok(()) => Ok(()),
                Err(message) => Err(StoreError::Corrupt(format!("the commit failed: {message}"))),
            });
        }
    }

    /// Runs a statement that answers nothing; it is compiled once.
    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    fn finish(&self, seq_before: i64) -> Result<(), String> {
        let write = || -> rusqlite::Result<()> {
            if self.seq.get() != seq_before {
                let mut update = self.connection.prepare_cached("UPDATE counter SET value = ? WHERE name = 'seq'")?;
                update.execute([self.seq.get()])?;
            }
            self.execute("COMMIT")
        };
        write().map_err(|error| {
            tracing::error!(%error, "a commit failed; its changes are undone");
            let _ = self.connection.execute_batch("ROLLBACK");
            self.outbox_changed.set(false);
            self.tasks_changed.set(false);
            error.to_string()
        })
    }

    /// Runs one closure in a savepoint. `None`: it panicked, its caller hears so because its channel is dropped.
    fn run_one(&self, work: Work) -> Option<Answer> {
        let tx = Tx {
            connection: &self.connection,
            env: &self.env,
            now_ms: self.env.now_ms(),
            seq: &self.seq,
            outbox_changed: &self.outbox_changed,
            tasks_changed: &self.tasks_changed,
            hooks: &self.hooks,
        };
        let hooks_before = self.hooks.0.borrow().len();
        if let Err(error) = self.execute("SAVEPOINT one") {
            tracing::error!(%error, "no savepoint could be made");
            return None;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&tx)));
        let keep = matches!(outcome, Ok((true, _)));
        if !keep {
            self.hooks.0.borrow_mut().truncate(hooks_before);
        }
        let undone = if keep { Ok(()) } else { self.execute("ROLLBACK TO one") };
        let ended = undone.and_then(|()| self.execute("RELEASE one"));
        match (outcome, ended) {
            (Ok((_, answer)), Ok(())) => Some(answer),
            (Ok((_, answer)), Err(error)) => {
                answer(Err(error.into()));
                None
            }
            (Err(_), _) => {
                tracing::error!("a transaction panicked; nothing of it was kept");
                None
            }
        }
    }
}
