//! What is different in FIFO queues: groups, deduplication, receive attempts.

use super::message::Checked;
use super::queue::Queue;
use super::receive::Taken;
use super::sql::{self, Deduplication, Place};
use super::{Sqs, SqsError};
use millpond_store::Tx;
use serde::{Deserialize, Serialize};

/// What was sent within this time is a duplicate (developer guide, "Exactly-once processing").
const DEDUPLICATION_MS: i64 = 5 * 60 * 1000;

/// A receive can be repeated within this time (API reference, ReceiveMessage, ReceiveRequestAttemptId).
const ATTEMPT_MS: i64 = 5 * 60 * 1000;

/// Which messages of the last minutes are compared with this one.
fn scope<'a>(queue: &Queue, group: &'a str) -> &'a str {
    if queue.settings.scope_is_group { group } else { "" }
}

/// The group and the deduplication id that a FIFO queue needs; the latter is written into the message.
pub(super) fn admit(queue: &Queue, checked: &mut Checked) -> Result<(), SqsError> {
    if let Some(delay) = checked.delay_seconds.filter(|delay| *delay > 0) {
        let reason = "The request include parameter that is not valid for this queue type.";
        return Err(SqsError::value(delay, "DelaySeconds", reason));
    }
    if checked.body.group_id.is_none() {
        return Err(SqsError::MissingParameter("MessageGroupId"));
    }
    if checked.body.deduplication_id.is_none() {
        let by_content = queue.settings.deduplicates_by_content;
        checked.body.deduplication_id = checked.content_id.take().filter(|_| by_content);
    }
    match checked.body.deduplication_id {
        Some(_) => Ok(()),
        None => Err(SqsError::InvalidParameter(
            "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly".into(),
        )),
    }
}

/// The id and number of the message that this one repeats.
pub(super) fn duplicate(tx: &Tx<'_>, queue: &Queue, checked: &Checked) -> Result<Option<(String, i64)>, SqsError> {
    let (Some(group), Some(id)) = (&checked.body.group_id, &checked.body.deduplication_id) else { return Ok(None) };
    Ok(sql::deduplicated(tx, queue.id, scope(queue, group), id)?)
}

/// Remembers a message that was put into the queue.
pub(super) fn remember(tx: &Tx<'_>, queue: &Queue, checked: &Checked, id: i64) -> Result<(), SqsError> {
    let (Some(group), Some(deduplication_id)) = (&checked.body.group_id, &checked.body.deduplication_id) else { return Ok(()) };
    let new = Deduplication {
        queue: queue.id,
        scope: scope(queue, group),
        deduplication_id,
        expires_ms: tx.now_ms() + DEDUPLICATION_MS,
        message_id: &checked.body.message_id,
        id,
    };
    Ok(sql::remember(tx, &new)?)
}

/// Brings a group's row to what its first message says; removes it where there is none.
pub(super) fn refresh_group(tx: &Tx<'_>, space: i64, group: &str) -> Result<(), SqsError> {
    match sql::head_visible_ms(tx, space, group)? {
        Some(visible_ms) => sql::ready_group(tx, space, group, visible_ms)?,
        None => sql::end_group(tx, space, group)?,
    }
    Ok(())
}

/// What a receive with an attempt id handed out.
#[derive(Serialize, Deserialize)]
struct Handed {
    space: i64,
    sent_ms: i64,
    id: i64,
    receives: u32,
    taken_ms: i64,
}

impl Sqs {
    /// What the same attempt received before, with its time-out begun anew: where all of it is still as it was.
    pub(super) fn repeat_attempt(
        &self,
        tx: &Tx<'_>,
        queue: &Queue,
        attempt: &str,
        visibility_ms: i64,
    ) -> Result<Option<Vec<Taken>>, SqsError> {
        let Some(text) = sql::attempt(tx, queue.id, attempt)? else { return Ok(None) };
        let handed: Vec<Handed> = serde_json::from_str(&text).map_err(millpond_store::StoreError::from)?;
        let mut taken = Vec::new();
        for was in &handed {
            let at = Place { space: was.space, sent_ms: was.sent_ms, id: was.id };
            match sql::body_of(tx, at)? {
                Some((state, body))
                    if was.space == queue.space && state.receives == was.receives && state.visible_ms > tx.now_ms() =>
                {
                    taken.push(Taken { state, body, taken_ms: was.taken_ms });
                }
                _ => return Ok(None),
            }
        }
        for Taken { state, .. } in &taken {
            let at = Place { space: queue.space, sent_ms: state.sent_ms, id: state.id };
            sql::hide(tx, at, tx.now_ms() + visibility_ms)?;
            if let Some(group) = &state.group {
                refresh_group(tx, queue.space, group)?;
            }
        }
        Ok(Some(taken))
    }

    pub(super) fn keep_attempt(&self, tx: &Tx<'_>, queue: &Queue, attempt: &str, taken: &[Taken]) -> Result<(), SqsError> {
        let handed = taken.iter().map(|Taken { state, taken_ms, .. }| Handed {
            space: queue.space,
            sent_ms: state.sent_ms,
            id: state.id,
            receives: state.receives,
            taken_ms: *taken_ms,
        });
        let text = serde_json::to_string(&handed.collect::<Vec<_>>()).map_err(millpond_store::StoreError::from)?;
        Ok(sql::put_attempt(tx, queue.id, attempt, tx.now_ms() + ATTEMPT_MS, &text)?)
    }
}
