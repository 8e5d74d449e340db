//! Receives: taking what is visible, and waiting where nothing is.

use super::attributes::VISIBILITY_MAX;
use super::message::{Received, sequence_number};
use super::queue::Queue;
use super::receipt::Receipt;
use super::signals::Signal;
use super::sql::{self, Body, Place, State};
use super::{Sqs, SqsError, fifo};
use millpond_store::Tx;
use rusqlite::Connection;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// No receive waits longer.
pub(super) const WAIT_MAX_MS: u64 = 20_000;

/// Messages in flight at the most (Amazon SQS quotas; of FIFO queues as of 2024).
const IN_FLIGHT_MAX: i64 = 120_000;

/// Bytes that one transaction hands out, after which it takes no further message.
const BYTES_MAX: usize = 8 * 1_048_576;

/// What one look at the messages reads at the most: their bodies may be long.
const LOOK_MAX: usize = 16;

/// Messages that one transaction removes or dead-letters at the most, on its way to those that it hands out.
const ASIDE_MAX: usize = 500;

/// What a receive wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    /// From 1 to 10; absent: 1.
    pub max: Option<i32>,
    /// From 0 to 20; absent: as the queue says.
    pub wait_seconds: Option<i32>,
    /// From 0 to 43,200; absent: as the queue says.
    pub visibility_seconds: Option<i32>,
    /// Of FIFO queues: the same id within five minutes receives the same messages.
    pub attempt: Option<String>,
}

/// The same, checked.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) max: usize,
    pub(super) wait_ms: Option<u64>,
    pub(super) visibility_ms: Option<i64>,
    pub(super) attempt: Option<String>,
}

impl Ask {
    fn check(self) -> Result<Wanted, SqsError> {
        let max = self.max.unwrap_or(1);
        if !(1..=10).contains(&max) {
            return Err(SqsError::value(max, "MaxNumberOfMessages", "Must be between 1 and 10, if provided."));
        }
        if let Some(wait) = self.wait_seconds.filter(|wait| !(0..=20).contains(wait)) {
            return Err(SqsError::value(wait, "WaitTimeSeconds", "Must be >= 0 and <= 20, if provided."));
        }
        let visibility = self.visibility_seconds.map(check_visibility).transpose()?;
        if let Some(attempt) = &self.attempt
            && !((1..=128).contains(&attempt.len()) && attempt.chars().all(|c| c.is_ascii_graphic()))
        {
            let reason = "ReceiveRequestAttemptId can only include alphanumeric and punctuation characters. 1 to 128 in length.";
            return Err(SqsError::value(attempt, "ReceiveRequestAttemptId", reason));
        }
        Ok(Wanted {
            max: max.unsigned_abs() as usize,
            wait_ms: self.wait_seconds.map(|seconds| u64::from(seconds.unsigned_abs()) * 1000),
            visibility_ms: visibility.map(|seconds| seconds * 1000),
            attempt: self.attempt,
        })
    }
}

/// A visibility time-out in seconds.
pub(super) fn check_visibility(seconds: i32) -> Result<i64, SqsError> {
    match i64::from(seconds) {
        valid @ 0..=VISIBILITY_MAX => Ok(valid),
        wrong => Err(SqsError::value(wrong, "VisibilityTimeout", "Must be between 0 and 43200, if provided.")),
    }
}

/// A message that was handed out.
#[derive(Debug)]
pub(super) struct Taken {
    /// As it is now.
    pub(super) state: State,
    pub(super) body: Body,
    pub(super) taken_ms: i64,
}

impl Taken {
    fn received(self, queue: &Queue) -> Received {
        let Self { state, body, taken_ms } = self;
        let receipt = Receipt { sent_ms: state.sent_ms, id: state.id, receives: state.receives, taken_ms };
        Received {
            message_id: body.message_id,
            receipt: receipt.handle(queue),
            body: body.body,
            md5_of_body: body.md5,
            sender: body.sender,
            sent_ms: state.sent_ms,
            first_received_ms: state.received_ms.unwrap_or(taken_ms),
            receives: state.receives,
            group_id: body.group_id,
            deduplication_id: body.deduplication_id,
            sequence_number: queue.settings.fifo.then(|| sequence_number(state.id)),
            trace: body.trace,
            dead_letter_source: state.source,
            attributes: body.attributes,
            md5_of_attributes: body.attributes_md5,
        }
    }
}

/// What one look at a queue gave.
struct Look {
    queue: Arc<Queue>,
    taken: Vec<Taken>,
    /// When the next message falls due.
    due_ms: Option<i64>,
}

/// Who waits knows when the next message falls due. When it leaves, another one must learn of it.
struct Waiter(Arc<Signal>);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.due_changed();
    }
}

impl Sqs {
    /// `ReceiveMessage`. Waits for the first message where the queue or the caller says so.
    pub async fn receive_message(&self, url: &str, ask: Ask) -> Result<Vec<Received>, SqsError> {
        self.receive(self.named(url)?.into(), ask.check()?).await
    }

    pub(super) async fn receive(&self, name: Arc<str>, wanted: Wanted) -> Result<Vec<Received>, SqsError> {
        let wanted = Arc::new(wanted);
        let mut look = self.look(&name, &wanted).await?;
        let wait_ms = wanted.wait_ms.unwrap_or(look.queue.settings.wait_ms).min(WAIT_MAX_MS);
        if wait_ms > 0 && look.taken.is_empty() {
            look = self.wait(&name, &wanted, look, Instant::now() + Duration::from_millis(wait_ms)).await?;
        }
        Ok(look.taken.into_iter().map(|taken| taken.received(&look.queue)).collect())
    }

    /// Looks again whenever something may be there, until something is or the time is up.
    async fn wait(&self, name: &Arc<str>, wanted: &Arc<Wanted>, mut look: Look, until: Instant) -> Result<Look, SqsError> {
        let signal = self.shared.signals.of(look.queue.id);
        let _waiter = Waiter(signal.clone());
        while look.taken.is_empty() && Instant::now() < until && !self.shared.closing.is_cancelled() {
            let arrived = signal.waiting();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            // What came before this moment gave no sign to this one.
            look = self.look(name, wanted).await?;
            if !look.taken.is_empty() {
                break;
            }
            let due = look.due_ms.map(|due_ms| due_ms - self.lake.store.env().now_ms());
            let due = due.map_or(until, |in_ms| Instant::now() + Duration::from_millis(in_ms.max(1).unsigned_abs()));
            tokio::select! {
                () = arrived => {}
                () = tokio::time::sleep_until(due.min(until)) => {}
                () = self.shared.closing.cancelled() => {}
            }
        }
        Ok(look)
    }

    /// Takes what there is. Where nothing is promised, it reads first: a look that finds nothing writes nothing.
    async fn look(&self, name: &Arc<str>, wanted: &Arc<Wanted>) -> Result<Look, SqsError> {
        let known = self.shared.queues.get(name).map(|queue| self.shared.signals.of(queue.id));
        if wanted.attempt.is_none() && !known.is_some_and(|signal| signal.is_promising()) {
            let (sqs, name) = (self.clone(), name.clone());
            let peek = move |connection: &Connection| {
                let queue = sqs.queue(connection, &name)?;
                let due_ms = next_due_ms(connection, &queue)?;
                Ok::<_, SqsError>(Look { queue, taken: Vec::new(), due_ms })
            };
            let look = self.lake.store.read(peek).await?;
            if look.due_ms.is_none_or(|due_ms| due_ms > self.lake.store.env().now_ms()) {
                return Ok(look);
            }
        }
        let (sqs, name, wanted, asked) = (self.clone(), name.clone(), wanted.clone(), wanted.max);
        let take = move |tx: &Tx<'_>| {
            let queue = sqs.queue(tx, &name)?;
            let taken = sqs.take(tx, &queue, &wanted)?;
            let due_ms = if taken.is_empty() { next_due_ms(tx, &queue)? } else { None };
            Ok::<_, SqsError>(Look { queue, taken, due_ms })
        };
        let look = self.lake.store.write(take).await?;
        self.shared.signals.of(look.queue.id).found(look.taken.len() >= asked);
        Ok(look)
    }

    pub(super) fn take(&self, tx: &Tx<'_>, queue: &Queue, wanted: &Wanted) -> Result<Vec<Taken>, SqsError> {
        let visibility_ms = wanted.visibility_ms.unwrap_or(queue.settings.visibility_ms);
        let fifo = queue.settings.fifo;
        if let Some(attempt) = &wanted.attempt {
            if !fifo {
                let reason = "The request includes a parameter that is not valid for this queue type";
                return Err(SqsError::value(attempt, "ReceiveRequestAttemptId", reason));
            }
            if let Some(taken) = self.repeat_attempt(tx, queue, attempt, visibility_ms)? {
                return Ok(taken);
            }
        }
        let signal = self.shared.signals.of(queue.id);
        let count = || Ok::<_, SqsError>(sql::hidden(tx, queue.space, tx.now_ms())?.0);
        if !signal.admits(wanted.max, IN_FLIGHT_MAX, count)? {
            return match fifo {
                true => Ok(Vec::new()),
                false => Err(SqsError::OverLimit(format!(
                    "Too many messages in flight: {} has {IN_FLIGHT_MAX} that were received and are not deleted. Delete those that are dealt with.",
                    queue.name
                ))),
            };
        }
        let mut taking = Taking { sqs: self, tx, queue, visibility_ms, max: wanted.max, bytes: 0, aside: 0, taken: Vec::new() };
        if fifo {
            taking.take_from_groups()?
        } else {
            taking.take_from_all()?
        }
        let taken = taking.taken;
        if let Some(attempt) = wanted.attempt.as_ref().filter(|_| !taken.is_empty()) {
            self.keep_attempt(tx, queue, attempt, &taken)?;
        }
        signal.took(taken.len());
        if !taken.is_empty() && visibility_ms < WAIT_MAX_MS as i64 {
            // Those who wait must learn that these may come back while they wait.
            tx.after_commit(move || signal.due_changed());
        }
        Ok(taken)
    }
}

fn next_due_ms(connection: &Connection, queue: &Queue) -> Result<Option<i64>, SqsError> {
    Ok(match queue.settings.fifo {
        true => sql::next_ready_ms(connection, queue.space)?,
        false => sql::next_visible_ms(connection, queue.space)?,
    })
}

/// A receive in its transaction.
struct Taking<'a> {
    sqs: &'a Sqs,
    tx: &'a Tx<'a>,
    queue: &'a Queue,
    visibility_ms: i64,
    max: usize,
    bytes: usize,
    aside: usize,
    taken: Vec<Taken>,
}

impl Taking<'_> {
    fn is_full(&self) -> bool {
        self.taken.len() >= self.max || self.bytes >= BYTES_MAX || self.aside >= ASIDE_MAX
    }

    /// From a standard queue.
    fn take_from_all(&mut self) -> Result<(), SqsError> {
        let mut seen = HashSet::new();
        while !self.is_full() {
            // Those that were taken without being hidden are visible still, and are read again.
            let still = if self.visibility_ms == 0 { self.taken.len() } else { 0 };
            let limit = (self.max - self.taken.len() + still).min(LOOK_MAX + still);
            let rows = sql::visible(self.tx, self.queue.space, self.tx.now_ms(), limit)?;
            let is_last = rows.len() < limit;
            let before = seen.len();
            for (state, body) in rows {
                if !self.is_full() && seen.insert(state.id) {
                    self.one(state, body)?;
                }
            }
            if is_last || seen.len() == before {
                break;
            }
        }
        Ok(())
    }

    /// From a FIFO queue: of each group as many as there are, before the next group.
    fn take_from_groups(&mut self) -> Result<(), SqsError> {
        let mut seen = HashSet::new();
        while !self.is_full() {
            let limit = self.max.min(LOOK_MAX) + seen.len();
            let groups = sql::ready_groups(self.tx, self.queue.space, self.tx.now_ms(), limit)?;
            let before = seen.len();
            for group in groups {
                if !self.is_full() && !seen.contains(&group) {
                    self.take_from_group(&group)?;
                    seen.insert(group);
                }
            }
            if seen.len() == before {
                break;
            }
        }
        Ok(())
    }

    fn take_from_group(&mut self, group: &str) -> Result<(), SqsError> {
        let mut last = i64::MIN;
        'pages: while !self.is_full() {
            // Those that were taken stay where they are, in front.
            let limit = (self.max - self.taken.len()).min(LOOK_MAX) + self.taken.len().min(LOOK_MAX);
            let rows = sql::group_messages(self.tx, self.queue.space, group, limit)?;
            let newest = rows.last().map_or(last, |(state, _)| state.id);
            for (state, body) in rows.into_iter().filter(|(state, _)| state.id > last) {
                if self.is_full() || state.visible_ms > self.tx.now_ms() {
                    break 'pages;
                }
                self.one(state, body)?;
            }
            if newest == last {
                break;
            }
            last = newest;
        }
        fifo::refresh_group(self.tx, self.queue.space, group)
    }

    /// Takes a message; or removes it where its time is over, or moves it where it was received too often.
    fn one(&mut self, mut state: State, body: Body) -> Result<(), SqsError> {
        let (tx, queue, now_ms) = (self.tx, self.queue, self.tx.now_ms());
        let at = Place { space: queue.space, sent_ms: state.sent_ms, id: state.id };
        if state.sent_ms + queue.settings.retention_ms <= now_ms {
            sql::remove_body(tx, at.id)?;
            sql::remove_message(tx, at)?;
            sql::count(tx, at.space, -1)?;
            self.aside += 1;
            return Ok(());
        }
        if self.sqs.bury(tx, queue, &state)? {
            self.aside += 1;
            return Ok(());
        }
        let visible_ms = now_ms + self.visibility_ms;
        sql::take(tx, at, visible_ms)?;
        (state.receives, state.visible_ms) = (state.receives + 1, visible_ms);
        state.received_ms = state.received_ms.or(Some(now_ms));
        self.bytes += body.body.len();
        self.taken.push(Taken { state, body, taken_ms: now_ms });
        Ok(())
    }
}

impl Sqs {
    /// Moves a message that was received as often as it may be to the dead-letter queue. `false`: it may be received, or that queue is gone.
    fn bury(&self, tx: &Tx<'_>, queue: &Queue, state: &State) -> Result<bool, SqsError> {
        let Some(redrive) = queue.settings.redrive.as_ref().filter(|redrive| state.receives >= redrive.receives_max) else {
            return Ok(false);
        };
        let Some(name) = self.name_in(&redrive.target).filter(|name| *name != queue.name) else { return Ok(false) };
        let target = match self.queue(tx, &name) {
            Ok(target) if target.settings.fifo == queue.settings.fifo => target,
            Ok(_) | Err(SqsError::QueueDoesNotExist) => {
                tracing::warn!(
                    queue = queue.name,
                    target = redrive.target,
                    "a dead-letter queue is gone; the message stays where it is"
                );
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let at = Place { space: queue.space, sent_ms: state.sent_ms, id: state.id };
        sql::remove_message(tx, at)?;
        sql::count(tx, at.space, -1)?;
        let mut moved = State { visible_ms: tx.now_ms(), source: Some(queue.arn.clone()), ..state.clone() };
        if target.settings.fifo {
            // It goes behind those that are there, and its time begins anew (developer guide, "Dead-letter queues": retention).
            (moved.id, moved.sent_ms) = (tx.next_seq(), tx.now_ms());
            sql::renew_body(tx, state.id, moved.id, None)?;
        }
        self.insert_state(tx, &target, &moved)?;
        Ok(true)
    }
}
