//! Removing what nobody can receive any more: messages whose retention is over, and those of queues that were purged or deleted.
//!
//! For each queue with messages one task waits until the oldest may expire; it removes what did, and waits for the next. Receives do not hand
//! out what has expired, whether it was removed or not.

use super::sql::{self, Place};
use super::{Sqs, SqsError, fifo};
use crate::lake::Lake;
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use millpond_store::task::{NewTask, Task};
use millpond_store::{StoreError, Tx};
use serde::{Deserialize, Serialize};

/// Removes what expires of one queue.
const EXPIRE: &str = "sqs.expire";

/// Removes what a purge or a deletion left.
pub(super) const CLEAR: &str = "sqs.clear";

/// Messages that one transaction removes at the most: others must not wait for long behind it.
const CHUNK: usize = 500;

/// What expires within this time after a look is removed by the next one.
const PAUSE_MS: i64 = 1_000;

#[derive(Debug, Serialize, Deserialize)]
struct Expire {
    queue: i64,
}

/// The payload of a [`CLEAR`] task.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Clear {
    pub(super) space: i64,
    /// Where the queue itself is gone.
    pub(super) queue: Option<i64>,
}

impl Sqs {
    /// Whether a task waits for what expires of a queue. Where this does not know of one, another is asked for, and the two become one.
    pub(super) fn is_swept(&self, queue: i64) -> bool {
        self.shared.swept.lock().expect("nobody panics while holding the set").contains(&queue)
    }

    /// Removes what expires of a queue at that time, or before.
    pub(super) fn sweep_at(&self, tx: &Tx<'_>, queue: i64, at_ms: i64) -> Result<(), StoreError> {
        tx.enqueue(&NewTask::new(EXPIRE, Expire { queue }).keyed(queue.to_string()).at(at_ms))?;
        let shared = self.shared.clone();
        tx.after_commit(move || {
            shared.swept.lock().expect("nobody panics while holding the set").insert(queue);
        });
        Ok(())
    }

    /// Removes a chunk of what has expired; answers whether there may be more. Ends the task with the last of them.
    fn sweep(&self, tx: &Tx<'_>, task: &Task, id: i64) -> Result<bool, SqsError> {
        let queue = match sql::queue_name(tx, id)? {
            Some(name) => self.queue(tx, &name)?,
            None => {
                tx.finish_task(task)?;
                return Ok(false);
            }
        };
        let before_ms = tx.now_ms() - queue.settings.retention_ms;
        let gone = sql::expired(tx, queue.space, before_ms, CHUNK)?;
        for state in &gone {
            sql::remove_message(tx, Place { space: queue.space, sent_ms: state.sent_ms, id: state.id })?;
            sql::remove_body(tx, state.id)?;
            if let Some(group) = &state.group {
                fifo::refresh_group(tx, queue.space, group)?;
            }
        }
        sql::count(tx, queue.space, -(gone.len() as i64))?;
        let forgotten =
            sql::forget_deduplications(tx, id, tx.now_ms(), CHUNK)? + sql::forget_attempts(tx, id, tx.now_ms(), CHUNK)?;
        if gone.len() + forgotten >= CHUNK {
            return Ok(true);
        }
        tx.finish_task(task)?;
        match sql::oldest(tx, queue.space)? {
            Some(sent_ms) => self.sweep_at(tx, id, (sent_ms + queue.settings.retention_ms).max(tx.now_ms() + PAUSE_MS))?,
            // In the transaction, not after it: the next message finds nothing here, and asks for a task anew.
            None => {
                self.shared.swept.lock().expect("nobody panics while holding the set").remove(&id);
            }
        }
        if queue.settings.fifo && !gone.is_empty() {
            self.wake(tx, id, 1);
        }
        Ok(false)
    }
}

/// Removes what expires.
#[derive(Debug)]
pub(super) struct ExpireHandler {
    pub(super) sqs: Sqs,
}

#[async_trait]
impl Handler for ExpireHandler {
    fn kind(&self) -> &'static str {
        EXPIRE
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let Expire { queue } = serde_json::from_value(task.payload.clone()).map_err(Failure::lasting)?;
        loop {
            let (sqs, held) = (self.sqs.clone(), task.clone());
            let swept = lake.store.write(move |tx| sqs.sweep(tx, &held, queue)).await;
            // Whatever goes wrong here is the store's, and may pass: a queue must not be without its task for good.
            match swept {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => return Err(Failure::transient(error).postponed(60_000)),
            }
        }
    }
}

/// Removes what a purge or a deletion left.
#[derive(Debug)]
pub(super) struct ClearHandler;

#[async_trait]
impl Handler for ClearHandler {
    fn kind(&self) -> &'static str {
        CLEAR
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let Clear { space, queue } = serde_json::from_value(task.payload.clone()).map_err(Failure::lasting)?;
        loop {
            let held = task.clone();
            let cleared = lake.store.write(move |tx| clear(tx, &held, space, queue)).await;
            match cleared {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => return Err(Failure::transient(error).postponed(60_000)),
            }
        }
    }
}

fn clear(tx: &Tx<'_>, task: &Task, space: i64, queue: Option<i64>) -> Result<bool, StoreError> {
    let mut gone = sql::clear_messages(tx, space, CHUNK)? + sql::clear_groups(tx, space, CHUNK)?;
    if let Some(queue) = queue {
        gone += sql::forget_deduplications(tx, queue, i64::MAX, CHUNK)? + sql::forget_attempts(tx, queue, i64::MAX, CHUNK)?;
    }
    if gone == 0 {
        sql::forget_count(tx, space)?;
        tx.finish_task(task)?;
    }
    Ok(gone > 0)
}
