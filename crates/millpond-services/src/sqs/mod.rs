//! SQS: queues, standard and FIFO.
//!
//! Definitions:
//! - a message lies in a *space*; a queue has one, and gets another when it is purged;
//! - it is *visible* from a time on: later it is *in flight* where it was received before, else *delayed*. Nobody has to do anything when that
//!   time comes: what is visible is a range of an index;
//! - of a FIFO queue's *group* only the first messages are handed out, up to the first that is not visible: so none overtakes another;
//! - a *receipt* is one receive of one message, signed, and needs no row.
//!
//! A message sent, received, hidden or deleted is a row of a small table that is written in one synced transaction; bodies lie in another
//! table, which receives and changes of visibility do not touch. Looking for messages that are not there writes nothing. Waiting receives are
//! woken by commits ([`signals`]) and by the time at which the next message falls due.
//!
//! A queue keeps and shows how AWS would encrypt it (`KmsMasterKeyId`, `SqsManagedSseEnabled` and so on), as scripts expect, and nothing
//! follows from it: encryption at rest is that of the disk on which the lake's directory lies.
//!
//! A message that was received as often as its queue's `RedrivePolicy` says is moved to the dead-letter queue when it would be received
//! again, in the transaction of that receive.

mod attributes;
mod error;
mod fifo;
mod message;
mod moves;
mod permissions;
mod queue;
mod receipt;
mod receive;
mod send;
mod settle;
mod signals;
mod source;
mod sql;
mod sweep;
mod tags;
mod target;

pub use error::SqsError;
pub use message::{NewMessage, Received, md5_of_attributes};
pub use moves::{Move, Started};
pub use permissions::NewPermission;
pub use queue::{Names, NewQueue};
pub use receive::Ask;
pub use send::{BatchEntry, Draft, Sent};
pub use settle::Settled;

use crate::lake::Lake;
use crate::runtime::Handler;
use millpond_store::{Component, Tx};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

/// SQS's tables.
pub const COMPONENT: Component = Component { name: "sqs", migrations: &[include_str!("schema.sql")] };

/// Entries of a batch at the most.
const BATCH_MAX: usize = 10;

/// The service; clones share it.
#[derive(Debug, Clone)]
pub struct Sqs {
    lake: Lake,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queues: queue::Cache,
    signals: signals::Signals,
    /// Queues for which a task waits that removes what expires.
    swept: Mutex<HashSet<i64>>,
    closing: CancellationToken,
}

impl Sqs {
    /// SQS over a lake.
    pub fn new(lake: Lake) -> Self {
        Self { lake, shared: Arc::default() }
    }

    /// Who removes what expires, and who moves messages back.
    pub fn handlers(&self) -> Vec<Arc<dyn Handler>> {
        vec![
            Arc::new(sweep::ExpireHandler { sqs: self.clone() }),
            Arc::new(sweep::ClearHandler),
            Arc::new(moves::MoveHandler { sqs: self.clone() }),
        ]
    }

    /// Ends all waiting receives with empty answers; later ones do not wait. Called when the lake stops.
    pub fn close(&self) {
        self.shared.closing.cancel();
    }

    /// After the commit of `tx`, wakes as many waiting receives as there are messages.
    fn wake(&self, tx: &Tx<'_>, queue: i64, messages: usize) {
        let signal = self.shared.signals.of(queue);
        tx.after_commit(move || signal.arrived(messages));
    }
}

/// Checks the ids of a batch's entries.
fn check_batch<'a>(kind: &'static str, ids: impl ExactSizeIterator<Item = &'a str>) -> Result<(), SqsError> {
    match ids.len() {
        0 => return Err(SqsError::EmptyBatch(kind)),
        1..=BATCH_MAX => {}
        many => return Err(SqsError::TooManyEntries(many)),
    }
    let mut seen = HashSet::new();
    for id in ids {
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !(1..=80).contains(&id.len()) || !id.chars().all(valid) {
            return Err(SqsError::InvalidBatchId);
        }
        if !seen.insert(id) {
            return Err(SqsError::IdsNotDistinct(id.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
