//! Removes the events of deleted groups and streams, and those that have outlived their retention, in small steps; gives the space back.
//!
//! Readers see none of these events any more: a deleted group's id is never used again, and what has expired is not read. So it does not matter
//! how long this takes. Each step is one short transaction, so that lines that come meanwhile hardly wait.

use super::put::DAY_MS;
use super::sql::{self, EVENT_OVERHEAD};
use crate::lake::Lake;
use crate::runtime::{Failure, Handler, Workers};
use async_trait::async_trait;
use millpond_store::task::{NewTask, Task};
use millpond_store::{StoreError, Tx};
use rusqlite::params;
use serde_json::json;
use std::sync::Arc;

/// Tasks that remove what a deleted group or stream left.
const PURGE: &str = "logs.purge";

/// The task that looks for what has expired.
const EXPIRE: &str = "logs.expire";

/// Events and bytes that one transaction removes at the most.
const STEP_EVENTS: usize = 2_000;
const STEP_BYTES: usize = 8 * 1024 * 1024;

/// Pages of the database that one transaction gives back at the most.
const STEP_PAGES: i64 = 1_000;

/// How often expired events are looked for. Milliseconds.
const EXPIRE_EVERY_MS: i64 = 60 * 60 * 1000;

/// Marks of tasks are forgotten after so long. The lake forgets a finished task at once: only one that lay in a stopped lake for longer would be
/// written again. Milliseconds.
const MARKS_MS: i64 = 30 * DAY_MS;

fn task(kind: &'static str, key: String, payload: serde_json::Value) -> NewTask {
    NewTask::new(kind, payload).keyed(key).failures_max(u32::MAX)
}

/// Will remove the events and streams of a group that was deleted.
pub(super) fn purge_group(tx: &Tx<'_>, group: i64) -> Result<(), StoreError> {
    tx.enqueue(&task(PURGE, format!("group {group}"), json!({ "group": group }))).map(|_| ())
}

/// Will remove the events of a stream that was deleted.
pub(super) fn purge_stream(tx: &Tx<'_>, group: i64, stream: i64) -> Result<(), StoreError> {
    tx.enqueue(&task(PURGE, format!("stream {stream}"), json!({ "group": group, "stream": stream }))).map(|_| ())
}

/// Will look for what has expired now.
pub(super) fn soon(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.enqueue(&task(EXPIRE, String::new(), json!({}))).map(|_| ())
}

/// Starts the workers over the store of the logs.
pub(super) fn start(own: &Lake) -> Workers {
    let store = own.store.clone();
    tokio::spawn(async move {
        if let Err(error) = store.write(soon).await {
            tracing::error!(%error, "expired log events are not looked for until the next start");
        }
    });
    Workers::start(own, vec![Arc::new(Purge), Arc::new(Expire)])
}

/// Which events one step removes: those of a group before a time, or those of a stream.
#[derive(Debug, Clone, Copy)]
enum Doomed {
    Group { group: i64, before_ms: i64 },
    Stream { group: i64, stream: i64 },
}

impl Doomed {
    fn group(self) -> i64 {
        match self {
            Self::Group { group, .. } | Self::Stream { group, .. } => group,
        }
    }
}

/// Removes some of them, the earliest first. Answers whether there may be more.
fn remove_some(tx: &Tx<'_>, doomed: Doomed) -> Result<bool, StoreError> {
    let (column, id, before_ms) = match doomed {
        Doomed::Group { group, before_ms } => ("group_id", group, before_ms),
        Doomed::Stream { stream, .. } => ("stream_id", stream, i64::MAX),
    };
    let select = format!(
        "SELECT time_ms, seq, octet_length(message) FROM log_event WHERE {column} = ? AND time_ms < ? ORDER BY time_ms, seq LIMIT ?"
    );
    let (mut bytes, mut positions) = (0, Vec::new());
    {
        let mut statement = tx.prepare_cached(&select)?;
        let mut rows = statement.query(params![id, before_ms, STEP_EVENTS as i64])?;
        while bytes < STEP_BYTES
            && let Some(row) = rows.next()?
        {
            positions.push((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
            bytes += row.get::<_, i64>(2)? as usize + EVENT_OVERHEAD;
        }
    }
    let mut delete = tx.prepare_cached("DELETE FROM log_event WHERE group_id = ? AND time_ms = ? AND seq = ?")?;
    for (time_ms, seq) in &positions {
        delete.execute(params![doomed.group(), time_ms, seq])?;
    }
    let count = "UPDATE log_group SET bytes = max(0, bytes - ?2) WHERE id = ?1";
    tx.prepare_cached(count)?.execute(params![doomed.group(), bytes as i64])?;
    Ok(positions.len() == STEP_EVENTS || bytes >= STEP_BYTES)
}

async fn remove_all(lake: &Lake, doomed: Doomed) -> Result<(), StoreError> {
    while lake.store.write(move |tx| remove_some(tx, doomed)).await? {}
    Ok(())
}

/// Gives pages that hold nothing back to the file system.
async fn shrink(lake: &Lake) -> Result<(), StoreError> {
    loop {
        let left = lake.store.write(|tx| {
            tx.execute_batch(&format!("PRAGMA incremental_vacuum({STEP_PAGES})"))?;
            Ok::<_, StoreError>(tx.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0))?)
        });
        if left.await? == 0 {
            return Ok(());
        }
    }
}

#[derive(Debug)]
struct Purge;

#[async_trait]
impl Handler for Purge {
    fn kind(&self) -> &'static str {
        PURGE
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let group = task.payload["group"].as_i64().ok_or_else(|| Failure::lasting("the task names no group"))?;
        let doomed = match task.payload["stream"].as_i64() {
            Some(stream) => Doomed::Stream { group, stream },
            None => Doomed::Group { group, before_ms: i64::MAX },
        };
        remove_all(lake, doomed).await?;
        if matches!(doomed, Doomed::Group { .. }) {
            let step = "DELETE FROM log_stream WHERE id IN (SELECT id FROM log_stream WHERE group_id = ? LIMIT ?)";
            let some = move |tx: &Tx<'_>| Ok::<_, StoreError>(tx.execute(step, params![group, STEP_EVENTS as i64])?);
            while lake.store.write(some).await? > 0 {}
        }
        Ok(shrink(lake).await?)
    }
}

#[derive(Debug)]
struct Expire;

#[async_trait]
impl Handler for Expire {
    fn kind(&self) -> &'static str {
        EXPIRE
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let groups = lake.store.read(sql::groups_with_retention).await?;
        for group in groups {
            let before_ms = lake.store.env().now_ms() - group.retention_days.unwrap_or_default() * DAY_MS;
            remove_all(lake, Doomed::Group { group: group.id, before_ms }).await?;
        }
        shrink(lake).await?;
        let task = task.clone();
        let again = lake.store.write(move |tx| {
            tx.prepare_cached("DELETE FROM log_written WHERE at_ms < ?")?.execute([tx.now_ms() - MARKS_MS])?;
            tx.finish_task(&task)?;
            let next = self::task(EXPIRE, String::new(), json!({}));
            tx.enqueue(&next.at(tx.now_ms() + EXPIRE_EVERY_MS)).map(|_| ())
        });
        Ok(again.await?)
    }
}
