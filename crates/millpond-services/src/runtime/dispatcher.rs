//! The dispatcher: from events that were committed to the tasks that follow from them.
//!
//! A *listener* knows who wants an event (rules, bucket notifications): it plans deliveries over a snapshot, off the writer thread.
//!
//! The deliveries of a batch and the end of its outbox rows are one transaction, so that an event reaches each of its targets exactly once,
//! whatever happens.

use super::delivery::{Delivery, Targets};
use crate::lake::Lake;
use millpond_core::event::Event;
use millpond_store::outbox::RawRow;
use millpond_store::task::NewTask;
use millpond_store::{StoreError, Tx};
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Dead letters of outbox rows that are no events, or that could not be matched.
pub const UNREADABLE: &str = "events.unreadable";

/// Events that one transaction takes at the most.
const BATCH: usize = 512;

/// A batch ends early where it has so many deliveries: one event that many rules want must not fill the memory.
const DELIVERIES: usize = 2048;

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
