//! The dispatcher: from events that were committed to the tasks that follow from them.
//!
//! Definitions:
//! - a *listener* knows who wants an event (rules, bucket notifications): it plans deliveries over a snapshot, off the writer thread;
//! - a *delivery* is one event for one target, with the input that the target gets;
//! - a *target kind* accepts deliveries for one sort of ARN (topics, crawlers, jobs): it writes the rows and tasks that a delivery means.
//!
//! The deliveries of a batch and the end of its outbox rows are one transaction, so that an event reaches each of its targets exactly once,
//! whatever happens. A delivery that fails does not hold up the others: it becomes a task ([`DELIVER`]) that is tried again as its rule says,
//! and in the end is a dead letter with the reason, from which it can be delivered again ([`Tx::revive_task`]).

use super::workers::{Failure, Handler};
use crate::lake::Lake;
use async_trait::async_trait;
use millpond_core::arn::Arn;
use millpond_core::event::Event;
use millpond_store::outbox::RawRow;
use millpond_store::task::{NewTask, Task};
use millpond_store::{StoreError, Tx};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Tasks that try a failed delivery again.
pub const DELIVER: &str = "events.deliver";

/// Dead letters of outbox rows that are no events, or that could not be matched.
pub const UNREADABLE: &str = "events.unreadable";

/// Events that one transaction takes at the most.
const BATCH: usize = 512;

/// A batch ends early where it has so many deliveries: one event that many rules want must not fill the memory.
const DELIVERIES: usize = 2048;

/// One event for one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The ARN of the topic, crawler, job, …
    pub target: String,
    /// The ARN of the rule (or bucket) that asked for it.
    pub rule: String,
    /// What the rule calls the target.
    pub target_id: String,
    /// What the target gets: the event as JSON, or what the rule made of it (JSON or plain text).
    pub input: Arc<str>,
    /// The event itself.
    pub event: Arc<Event>,
    /// How often and how long a failed delivery is tried again.
    pub retry: RetryPolicy,
}

/// How often and how long a failed delivery is tried again. The defaults and limits are EventBridge's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// From 0 to 185.
    pub attempts_max: u32,
    /// From 60 to 86,400.
    pub age_max_seconds: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts_max: 185, age_max_seconds: 86_400 }
    }
}

/// Accepts the deliveries for one sort of ARN.
pub trait TargetKind: Send + Sync + 'static {
    /// For people, in the plural: `SNS topics`.
    fn title(&self) -> &'static str;

    /// Whether it takes deliveries for `arn`. Looks at the form alone: what the ARN names need not exist yet.
    fn accepts(&self, arn: &Arn) -> bool;

    /// Writes what the delivery means: tasks, as a rule. Runs in the dispatcher's transaction, in a savepoint of its own that is undone where it
    /// fails. [`Failure::lasting`] sends the delivery to the dead letters at once, [`Failure::transient`] tries it again later.
    fn deliver(&self, tx: &Tx<'_>, lake: &Lake, arn: &Arn, delivery: &Delivery) -> Result<(), Failure>;
}

/// The target kinds that a lake has.
#[derive(Clone, Default)]
pub struct Targets {
    kinds: Arc<Vec<Arc<dyn TargetKind>>>,
}

impl std::fmt::Debug for Targets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.kinds.iter().map(|kind| kind.title())).finish()
    }
}

impl Targets {
    /// These, and no others.
    pub fn new(kinds: Vec<Arc<dyn TargetKind>>) -> Self {
        Self { kinds: Arc::new(kinds) }
    }

    /// Who takes deliveries for `arn`.
    pub fn find(&self, arn: &Arn) -> Option<&dyn TargetKind> {
        self.kinds.iter().map(AsRef::as_ref).find(|kind| kind.accepts(arn))
    }

    /// The titles of all kinds, for a message: `SNS topics, Glue crawlers`.
    pub fn titles(&self) -> String {
        self.kinds.iter().map(|kind| kind.title()).collect::<Vec<_>>().join(", ")
    }

    /// Delivers; undoes what was written where that fails.
    ///
    /// # Errors
    /// The outer one: the transaction itself is broken. The inner one: this delivery failed.
    pub fn deliver(&self, tx: &Tx<'_>, lake: &Lake, delivery: &Delivery) -> Result<Result<(), Failure>, StoreError> {
        let arn: Arn = match delivery.target.parse() {
            Ok(arn) => arn,
            Err(error) => return Ok(Err(Failure::lasting(error))),
        };
        let Some(kind) = self.find(&arn) else {
            let reason = format!("this lake delivers to {}, and '{arn}' is none of them", self.titles());
            return Ok(Err(Failure::lasting(reason)));
        };
        tx.execute_batch("SAVEPOINT delivery")?;
        let outcome = catch_unwind(AssertUnwindSafe(|| kind.deliver(tx, lake, &arn, delivery)));
        let outcome = outcome.unwrap_or_else(|_| Err(Failure::lasting("an internal fault ended it; the log says more")));
        tx.execute_batch(if outcome.is_ok() { "RELEASE delivery" } else { "ROLLBACK TO delivery; RELEASE delivery" })?;
        Ok(outcome)
    }

    /// Delivers; where that fails, leaves a task that tries again or a dead letter.
    pub fn deliver_or_keep(&self, tx: &Tx<'_>, lake: &Lake, delivery: &Delivery) -> Result<(), StoreError> {
        let Err(failure) = self.deliver(tx, lake, delivery)? else { return Ok(()) };
        let kept = Kept { delivery: delivery.clone(), since_ms: tx.now_ms() };
        // The first try has failed already: it counts as one.
        let task = NewTask::new(DELIVER, kept).failures_max(delivery.retry.attempts_max);
        if failure.retry && delivery.retry.attempts_max > 0 {
            tracing::info!(rule = delivery.rule, target = delivery.target, reason = failure.reason, "a delivery is tried again");
            tx.enqueue(&task.at(tx.now_ms() + RETRY_FIRST_MS))?;
        } else {
            tracing::warn!(rule = delivery.rule, target = delivery.target, reason = failure.reason, "a delivery failed for good");
            tx.bury(&task, &failure.reason)?;
        }
        Ok(())
    }
}

const RETRY_FIRST_MS: i64 = 500;

/// The payload of a [`DELIVER`] task.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    delivery: Delivery,
    since_ms: i64,
}

/// Tries failed deliveries again.
#[derive(Debug)]
pub struct Redelivery {
    /// Where to.
    pub targets: Targets,
}

#[async_trait]
impl Handler for Redelivery {
    fn kind(&self) -> &'static str {
        DELIVER
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let kept: Kept = serde_json::from_value(task.payload.clone()).map_err(Failure::lasting)?;
        let age_ms = lake.store.env().now_ms() - kept.since_ms;
        let too_old = age_ms > i64::from(kept.delivery.retry.age_max_seconds) * 1000;
        let (targets, inner, held) = (self.targets.clone(), lake.clone(), task.clone());
        let delivered = lake.store.write(move |tx| {
            let outcome = targets.deliver(tx, &inner, &kept.delivery)?;
            if outcome.is_ok() {
                tx.finish_task(&held)?;
            }
            Ok::<_, StoreError>(outcome)
        });
        delivered.await?.map_err(|failure| Failure { retry: failure.retry && !too_old, ..failure })
    }
}

/// An event that the outbox holds.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The event.
    pub event: Arc<Event>,
    /// Its JSON form, as it was emitted.
    pub text: Arc<str>,
    /// The same, parsed.
    pub value: Value,
}

/// Knows who wants an event.
pub trait Listener: Send + Sync + 'static {
    /// Changes whenever [`Listener::matcher`] may answer another one.
    fn version(&self, connection: &Connection) -> Result<i64, StoreError>;

    /// What is wanted, as this snapshot of the database says.
    fn matcher(&self, connection: &Connection) -> Result<Arc<dyn Matcher>, StoreError>;
}

/// What a listener wants, for a while.
pub trait Matcher: Send + Sync {
    /// Adds the deliveries that an event means.
    fn deliveries(&self, heard: &Heard, into: &mut Vec<Delivery>);
}

/// Turns the outbox into deliveries until it is stopped.
#[derive(Debug)]
pub struct Dispatcher {
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Dispatcher {
    /// Starts it.
    pub fn start(lake: &Lake, targets: Targets, listeners: Vec<Arc<dyn Listener>>) -> Self {
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(lake.clone(), targets, listeners, stop.clone()));
        Self { stop, running }
    }

    /// Ends after the batch under way. What is left in the outbox is taken up by the next start.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.running.await;
    }
}

async fn run(lake: Lake, targets: Targets, listeners: Vec<Arc<dyn Listener>>, stop: CancellationToken) {
    let mut changes = lake.store.outbox_changes();
    let listeners: Arc<[Arc<dyn Listener>]> = listeners.into();
    while !stop.is_cancelled() {
        changes.mark_unchanged();
        match dispatch_once(&lake, &targets, &listeners).await {
            Ok(0) => {}
            Ok(_) => continue,
            Err(error) => {
                tracing::error!(%error, "events could not be dispatched; trying again in a second");
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(Duration::from_secs(1)) => continue,
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            changed = changes.changed() => if changed.is_err() { break },
        }
    }
}

/// A batch that was planned over a snapshot.
struct Batch {
    last_id: i64,
    rows: usize,
    heard: Vec<Heard>,
    unreadable: Vec<(RawRow, String)>,
    versions: Vec<i64>,
    deliveries: Vec<Delivery>,
}

/// Takes one batch out of the outbox. Answers how many rows it took; 0: the outbox is empty.
pub async fn dispatch_once(lake: &Lake, targets: &Targets, listeners: &Arc<[Arc<dyn Listener>]>) -> Result<usize, StoreError> {
    let planners = listeners.clone();
    let Some(batch) = lake.store.read(move |connection| read_batch(connection, &planners)).await? else { return Ok(0) };
    let (lake_inside, targets, listeners) = (lake.clone(), targets.clone(), listeners.clone());
    lake.store.write(move |tx| commit_batch(tx, &lake_inside, &targets, &listeners, batch)).await
}

fn read_batch(connection: &Connection, listeners: &[Arc<dyn Listener>]) -> Result<Option<Batch>, StoreError> {
    let rows = millpond_store::outbox::raw_rows(connection, BATCH)?;
    let versions = versions(connection, listeners)?;
    let matchers = matchers(connection, listeners)?;
    let mut batch = Batch { last_id: 0, rows: 0, heard: Vec::new(), unreadable: Vec::new(), versions, deliveries: Vec::new() };
    for row in rows {
        (batch.last_id, batch.rows) = (row.id, batch.rows + 1);
        match parse(&row) {
            Ok(heard) if matched(&matchers, &heard, &mut batch.deliveries) => batch.heard.push(heard),
            Ok(_) => batch.unreadable.push((row, FAULT.to_owned())),
            Err(error) => batch.unreadable.push((row, format!("a row of the outbox is no event: {error}"))),
        }
        if batch.deliveries.len() >= DELIVERIES {
            break;
        }
    }
    Ok((batch.rows > 0).then_some(batch))
}

const FAULT: &str = "an internal fault ended the matching of this event; the log says more";

/// Adds the deliveries of an event; `false` where that broke, and then none: one event must not hold up all that follow.
fn matched(matchers: &[Arc<dyn Matcher>], heard: &Heard, into: &mut Vec<Delivery>) -> bool {
    let before = into.len();
    let outcome = catch_unwind(AssertUnwindSafe(|| matchers.iter().for_each(|matcher| matcher.deliveries(heard, into))));
    if outcome.is_err() {
        into.truncate(before);
    }
    outcome.is_ok()
}

fn parse(row: &RawRow) -> Result<Heard, serde_json::Error> {
    let value: Value = serde_json::from_str(&row.event)?;
    let event = Event::deserialize(&value)?;
    Ok(Heard { event: Arc::new(event), text: row.event.as_str().into(), value })
}

fn versions(connection: &Connection, listeners: &[Arc<dyn Listener>]) -> Result<Vec<i64>, StoreError> {
    listeners.iter().map(|listener| listener.version(connection)).collect()
}

fn matchers(connection: &Connection, listeners: &[Arc<dyn Listener>]) -> Result<Vec<Arc<dyn Matcher>>, StoreError> {
    listeners.iter().map(|listener| listener.matcher(connection)).collect()
}

fn commit_batch(
    tx: &Tx<'_>,
    lake: &Lake,
    targets: &Targets,
    listeners: &[Arc<dyn Listener>],
    mut batch: Batch,
) -> Result<usize, StoreError> {
    if versions(tx, listeners)? != batch.versions {
        // A rule that was changed since the snapshot counts as it is now: after DeleteRule was answered, nothing follows from that rule.
        batch.deliveries.clear();
        let matchers = matchers(tx, listeners)?;
        for heard in &batch.heard {
            if !matched(&matchers, heard, &mut batch.deliveries) {
                tx.bury(&NewTask::new(UNREADABLE, serde_json::json!({ "text": &*heard.text })), FAULT)?;
            }
        }
    }
    for delivery in &batch.deliveries {
        targets.deliver_or_keep(tx, lake, delivery)?;
    }
    for (row, reason) in batch.unreadable {
        let task = NewTask::new(UNREADABLE, serde_json::json!({ "outbox-row": row.id, "text": row.event }));
        tx.bury(&task, &reason)?;
    }
    tx.clear_outbox(batch.last_id)?;
    Ok(batch.rows)
}
