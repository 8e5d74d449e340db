//! The dispatcher: from what was committed to the outbox to the tasks that follow from it.
//!
//! A *listener* knows who wants what lies on its channel (rules want events, bucket notifications want changes of objects): it plans
//! deliveries over a snapshot, off the writer thread.
//!
//! The deliveries of a batch and the end of its outbox rows are one transaction, so that each reaches each of its targets exactly once,
//! whatever happens.

use super::Failure;
use super::delivery::{Delivery, Targets};
use crate::lake::Lake;
use millpond_store::outbox::RawRow;
use millpond_store::task::NewTask;
use millpond_store::{StoreError, Tx};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Dead letters of outbox rows that are not what their channel carries, or that could not be matched.
pub const UNREADABLE: &str = "events.unreadable";

/// Rows that one transaction takes at the most.
const BATCH: usize = 512;

/// A batch takes no more rows where those that it has are so many bytes.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// A batch ends early where it has so many deliveries: one event that many rules want must not fill the memory.
const DELIVERIES: usize = 2048;

/// The same for the bytes of their inputs.
const DELIVERIES_BYTES: usize = 32 * 1024 * 1024;

/// What lies in the outbox, for the listeners of its channel.
#[derive(Debug, Clone)]
pub struct Posted {
    /// What it is: an event as JSON, on the channel of events.
    pub text: Arc<str>,
    /// The note that was posted with it.
    pub route: Option<String>,
}

/// What the inputs of one row's deliveries may take together; those beyond are refused.
const ROW_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Knows who wants what lies on a channel of the outbox.
pub trait Listener: Send + Sync + 'static {
    /// Which channel. Each has one listener.
    fn channel(&self) -> &'static str;

    /// Changes whenever [`Listener::matcher`] may answer another one.
    fn version(&self, connection: &Connection) -> Result<i64, StoreError>;

    /// What is wanted, as this snapshot of the database says.
    fn matcher(&self, connection: &Connection) -> Result<Arc<dyn Matcher>, StoreError>;
}

/// What a listener wants, for a while.
pub trait Matcher: Send + Sync {
    /// Adds the deliveries that it means.
    ///
    /// # Errors
    /// Why the text is not what the channel carries: it becomes a dead letter.
    fn deliveries(&self, posted: &Posted, into: &mut Plan) -> Result<(), String>;
}

/// Deliveries to make.
#[derive(Debug, Default)]
pub struct Plan {
    all: Vec<(Delivery, Option<Failure>)>,
    /// Of inputs that no other delivery shares.
    bytes: usize,
}

impl Plan {
    /// One to make.
    pub fn deliver(&mut self, delivery: Delivery) {
        self.bytes += own_bytes(&delivery);
        self.all.push((delivery, None));
    }

    /// One that cannot be made, and why.
    pub fn refuse(&mut self, delivery: Delivery, why: Failure) {
        self.bytes += own_bytes(&delivery);
        self.all.push((delivery, Some(why)));
    }

    /// Whether no more inputs should be made: what they have already is as much as one row may take.
    pub fn is_heavy(&self) -> bool {
        self.bytes >= ROW_BYTES_MAX
    }

    /// All of them, in order.
    pub fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.all.iter().map(|(delivery, _)| delivery)
    }

    /// Makes them.
    ///
    /// # Errors
    /// The transaction itself is broken.
    pub fn carry_out(&self, tx: &Tx<'_>, lake: &Lake, targets: &Targets) -> Result<(), StoreError> {
        self.all.iter().try_for_each(|(delivery, refused)| match refused {
            None => targets.deliver_or_keep(tx, lake, delivery),
            Some(failure) => targets.keep_failed(tx, lake, delivery, failure),
        })
    }

    fn is_full(&self) -> bool {
        self.all.len() >= DELIVERIES || self.bytes >= DELIVERIES_BYTES
    }

    fn cut(&mut self, to: usize) {
        self.all.truncate(to);
        self.bytes = self.all.iter().map(|(delivery, _)| own_bytes(delivery)).sum();
    }
}

fn own_bytes(delivery: &Delivery) -> usize {
    if Arc::strong_count(&delivery.input) > 1 { 0 } else { delivery.input.len() }
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
    rows: Vec<Row>,
    unreadable: Vec<(Row, String)>,
    versions: Vec<i64>,
    plan: Plan,
}

#[derive(Clone)]
struct Row {
    id: i64,
    channel: String,
    posted: Posted,
}

impl From<RawRow> for Row {
    fn from(raw: RawRow) -> Self {
        let RawRow { id, channel, route, text } = raw;
        Self { id, channel, posted: Posted { text: text.into(), route } }
    }
}

/// Takes one batch out of the outbox. Answers how many rows it took; 0: the outbox is empty.
pub async fn dispatch_once(lake: &Lake, targets: &Targets, listeners: &Arc<[Arc<dyn Listener>]>) -> Result<usize, StoreError> {
    let planners = listeners.clone();
    let Some(batch) = lake.store.read(move |connection| read_batch(connection, &planners)).await? else { return Ok(0) };
    let (lake_inside, targets, listeners) = (lake.clone(), targets.clone(), listeners.clone());
    lake.store.write(move |tx| commit_batch(tx, &lake_inside, &targets, &listeners, batch)).await
}

fn read_batch(connection: &Connection, listeners: &[Arc<dyn Listener>]) -> Result<Option<Batch>, StoreError> {
    let raw = millpond_store::outbox::raw_rows(connection, BATCH, BATCH_BYTES)?;
    if raw.is_empty() {
        return Ok(None);
    }
    let matchers = matchers(connection, listeners)?;
    let versions = versions(connection, listeners)?;
    let mut batch = Batch { last_id: 0, rows: Vec::new(), unreadable: Vec::new(), versions, plan: Plan::default() };
    for row in raw.into_iter().map(Row::from) {
        batch.last_id = row.id;
        match planned(&matchers, &row, &mut batch.plan) {
            Ok(()) => batch.rows.push(row),
            Err(reason) => batch.unreadable.push((row, reason)),
        }
        if batch.plan.is_full() {
            break;
        }
    }
    Ok(Some(batch))
}

const FAULT: &str = "an internal fault ended the matching of this event; the log says more";

/// The matchers by their channels.
type Matchers = Vec<(&'static str, Arc<dyn Matcher>)>;

/// Adds the deliveries of a row; none where that fails: one row must not hold up all that follow.
fn planned(matchers: &Matchers, row: &Row, into: &mut Plan) -> Result<(), String> {
    let Some((_, matcher)) = matchers.iter().find(|(channel, _)| *channel == row.channel) else {
        return Err(format!("nobody listens to the channel '{}' of the outbox", row.channel));
    };
    let before = into.all.len();
    let outcome = catch_unwind(AssertUnwindSafe(|| matcher.deliveries(&row.posted, into)));
    let outcome = outcome.unwrap_or_else(|_| Err(FAULT.to_owned()));
    if outcome.is_err() {
        into.cut(before);
    }
    outcome
}

fn versions(connection: &Connection, listeners: &[Arc<dyn Listener>]) -> Result<Vec<i64>, StoreError> {
    listeners.iter().map(|listener| listener.version(connection)).collect()
}

fn matchers(connection: &Connection, listeners: &[Arc<dyn Listener>]) -> Result<Matchers, StoreError> {
    listeners.iter().map(|listener| Ok((listener.channel(), listener.matcher(connection)?))).collect()
}

fn commit_batch(
    tx: &Tx<'_>,
    lake: &Lake,
    targets: &Targets,
    listeners: &[Arc<dyn Listener>],
    mut batch: Batch,
) -> Result<usize, StoreError> {
    let taken = batch.rows.len() + batch.unreadable.len();
    if versions(tx, listeners)? != batch.versions {
        // A rule that was changed since the snapshot counts as it is now: after DeleteRule was answered, nothing follows from that rule.
        batch.plan = Plan::default();
        let matchers = matchers(tx, listeners)?;
        for row in batch.rows {
            if let Err(reason) = planned(&matchers, &row, &mut batch.plan) {
                batch.unreadable.push((row, reason));
            }
        }
    }
    batch.plan.carry_out(tx, lake, targets)?;
    for (row, reason) in batch.unreadable {
        let payload = serde_json::json!({ "outbox-row": row.id, "channel": row.channel, "text": &*row.posted.text });
        tx.bury(&NewTask::new(UNREADABLE, payload), &reason)?;
    }
    tx.clear_outbox(batch.last_id)?;
    Ok(taken)
}
