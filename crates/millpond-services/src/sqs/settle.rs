//! What becomes of messages that were received: they are deleted, or their visibility changes.

use super::attributes::VISIBILITY_MAX;
use super::queue::Queue;
use super::receipt::Receipt;
use super::receive::check_visibility;
use super::send::BatchEntry;
use super::sql::{self, Place, State};
use super::{Sqs, SqsError, check_batch, fifo};
use millpond_store::Tx;

/// What became of the entries of a batch.
pub type Settled = Vec<BatchEntry<Result<(), SqsError>>>;

/// A message in flight, or what its receipt is worth.
enum Found {
    There(State),
    /// The message is gone, or was received again since.
    Gone,
    /// Of a FIFO queue: its time-out is over.
    Expired,
}

impl Sqs {
    /// `DeleteMessage`. Of a standard queue any receipt will do; of a FIFO queue the latest, before its time-out. One that is gone is deleted.
    pub async fn delete_message(&self, url: &str, receipt: String) -> Result<(), SqsError> {
        let (name, sqs) = (self.named(url)?, self.clone());
        self.lake.store.write(move |tx| sqs.delete_in(tx, &*sqs.queue(tx, &name)?, &receipt)).await
    }

    /// `DeleteMessageBatch`. Each entry succeeds or fails for itself.
    pub async fn delete_message_batch(&self, url: &str, entries: Vec<BatchEntry<String>>) -> Result<Settled, SqsError> {
        check_batch("DeleteMessageBatchRequestEntry", entries.iter().map(|entry| entry.id.as_str()))?;
        self.settle_all(url, entries, |sqs, tx, queue, receipt| sqs.delete_in(tx, queue, &receipt)).await
    }

    /// `ChangeMessageVisibility`: from now on for so many seconds, up to twelve hours after it was received. A message that is visible again
    /// is not hidden by this: somebody else may be receiving it.
    pub async fn change_visibility(&self, url: &str, receipt: String, seconds: i32) -> Result<(), SqsError> {
        let (name, sqs) = (self.named(url)?, self.clone());
        self.lake.store.write(move |tx| sqs.change_in(tx, &*sqs.queue(tx, &name)?, &receipt, seconds)).await
    }

    /// `ChangeMessageVisibilityBatch`, of receipts and seconds (which are needed). Each entry succeeds or fails for itself.
    pub async fn change_visibility_batch(
        &self,
        url: &str,
        entries: Vec<BatchEntry<(String, Option<i32>)>>,
    ) -> Result<Settled, SqsError> {
        check_batch("ChangeMessageVisibilityBatchRequestEntry", entries.iter().map(|entry| entry.id.as_str()))?;
        self.settle_all(url, entries, |sqs, tx, queue, (receipt, seconds)| {
            let seconds = seconds.ok_or(SqsError::MissingParameter("VisibilityTimeout"))?;
            sqs.change_in(tx, queue, &receipt, seconds)
        })
        .await
    }

    /// In one transaction; only the store's own errors undo it.
    pub(super) async fn settle_all<T: Send + 'static>(
        &self,
        url: &str,
        entries: Vec<BatchEntry<T>>,
        act: impl Fn(&Self, &Tx<'_>, &Queue, T) -> Result<(), SqsError> + Send + 'static,
    ) -> Result<Settled, SqsError> {
        let (name, sqs) = (self.named(url)?, self.clone());
        let settle = move |tx: &Tx<'_>| {
            let queue = sqs.queue(tx, &name)?;
            let mut settled = Vec::with_capacity(entries.len());
            for BatchEntry { id, item } in entries {
                match act(&sqs, tx, &queue, item) {
                    Err(whole @ SqsError::Store(_)) => return Err(whole),
                    item => settled.push(BatchEntry { id, item }),
                }
            }
            Ok(settled)
        };
        self.lake.store.write(settle).await
    }

    fn find(&self, tx: &Tx<'_>, queue: &Queue, receipt: &Receipt) -> Result<Found, SqsError> {
        let at = Place { space: queue.space, sent_ms: receipt.sent_ms, id: receipt.id };
        let Some(state) = sql::message(tx, at)? else { return Ok(Found::Gone) };
        let is_latest = state.receives == receipt.receives;
        Ok(match queue.settings.fifo && !(is_latest && state.visible_ms > tx.now_ms()) {
            true => Found::Expired,
            false => Found::There(state),
        })
    }

    pub(super) fn delete_in(&self, tx: &Tx<'_>, queue: &Queue, handle: &str) -> Result<(), SqsError> {
        let receipt = Receipt::read(queue, handle)?;
        match self.find(tx, queue, &receipt)? {
            Found::There(state) => self.remove(tx, queue, &state),
            Found::Gone => Ok(()),
            Found::Expired => Err(SqsError::expired(handle)),
        }
    }

    /// Removes a message for good.
    pub(super) fn remove(&self, tx: &Tx<'_>, queue: &Queue, state: &State) -> Result<(), SqsError> {
        let at = Place { space: queue.space, sent_ms: state.sent_ms, id: state.id };
        sql::remove_message(tx, at)?;
        sql::remove_body(tx, at.id)?;
        sql::count(tx, at.space, -1)?;
        if let Some(group) = &state.group {
            fifo::refresh_group(tx, queue.space, group)?;
            self.wake(tx, queue.id, 1);
        }
        Ok(())
    }

    pub(super) fn change_in(&self, tx: &Tx<'_>, queue: &Queue, handle: &str, seconds: i32) -> Result<(), SqsError> {
        let seconds = check_visibility(seconds)?;
        let receipt = Receipt::read(queue, handle)?;
        let state = match self.find(tx, queue, &receipt)? {
            Found::There(state) if state.receives == receipt.receives => match state.visible_ms > tx.now_ms() {
                true => state,
                false => return Err(SqsError::NotInflight),
            },
            Found::There(_) | Found::Gone => {
                let reason = "Message does not exist or is not available for visibility timeout change.";
                return Err(SqsError::value(handle, "ReceiptHandle", reason));
            }
            Found::Expired => return Err(SqsError::expired(handle)),
        };
        if (tx.now_ms() - receipt.taken_ms) / 1000 + seconds > VISIBILITY_MAX {
            let reason = format!("Total VisibilityTimeout for the message is beyond the limit [{VISIBILITY_MAX} seconds]");
            return Err(SqsError::value(seconds, "VisibilityTimeout", reason));
        }
        let at = Place { space: queue.space, sent_ms: state.sent_ms, id: state.id };
        sql::hide(tx, at, tx.now_ms() + seconds * 1000)?;
        if let Some(group) = &state.group {
            fifo::refresh_group(tx, queue.space, group)?;
        }
        self.wake(tx, queue.id, 1);
        Ok(())
    }
}
