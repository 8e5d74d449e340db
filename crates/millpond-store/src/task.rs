//! Tasks: the one mechanism for everything asynchronous.
//!
//! A task is *ready* (from `run_at_ms` on), *leased* by a worker, or *dead* with its reason. A finished task is deleted. A task with a key
//! coalesces: while one of its kind and key is ready, another is not added; and two of one kind and key never run at the same time. A
//! failure puts the task back with exponential backoff and jitter until its failures reach the limit. A worker that vanishes with its process
//! is no failure: the next start makes its tasks ready again, and counts the death, so that whoever runs them can give up one that brings the
//! process down each time. A process that ends as planned gives its tasks back before ([`Tx::release_tasks`]).

use crate::{StoreError, Tx};
use millpond_core::env::EnvExt;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::Value;

/// The first retry comes after about this long, each further one after twice the time.
const BACKOFF_FIRST_MS: i64 = 500;

/// No retry waits longer than about this.
const BACKOFF_MAX_MS: i64 = 5 * 60 * 1000;

/// A task to add.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Which worker does it, for example `glue.crawl`.
    pub kind: &'static str,
    /// What it is about, where tasks about the same thing coalesce and never overlap.
    pub key: Option<String>,
    /// The worker's own input.
    pub payload: Value,
    /// Not before this time, in milliseconds since the epoch; at once where it is past.
    pub run_at_ms: i64,
    /// The task is dead after so many failures; at least 1.
    pub failures_max: u32,
}

impl NewTask {
    /// A task that is ready now and may fail five times.
    pub fn new(kind: &'static str, payload: impl Serialize) -> Self {
        let payload = serde_json::to_value(payload).expect("payloads are plain data");
        Self { kind, key: None, payload, run_at_ms: 0, failures_max: 5 }
    }

    /// Coalesces with the task of the same kind and key.
    pub fn keyed(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Not before `run_at_ms`.
    pub fn at(mut self, run_at_ms: i64) -> Self {
        self.run_at_ms = run_at_ms;
        self
    }

    /// Dead after `failures` failures.
    pub fn failures_max(mut self, failures: u32) -> Self {
        self.failures_max = failures.max(1);
        self
    }
}

/// A task as a worker or a person sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Counts up.
    pub id: i64,
    /// Which worker does it.
    pub kind: String,
    /// What it is about.
    pub key: Option<String>,
    /// The worker's own input.
    pub payload: Value,
    /// Failures so far.
    pub failures: u32,
    /// It is dead at so many.
    pub failures_max: u32,
    /// Processes that ended, not as planned, while they held it.
    pub deaths: u32,
    /// Counts the leases: the token that [`Tx::finish_task`] checks.
    pub lease: i64,
    /// Why it failed last.
    pub reason: Option<String>,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// When it was last leased, failed or buried.
    pub changed_ms: i64,
}

impl Task {
    /// Whether one more failure buries it.
    pub fn is_last_try(&self) -> bool {
        self.failures + 1 >= self.failures_max
    }
}

const COLUMNS: &str = "id, kind, key, payload, failures, failures_max, lease, reason, created_ms, changed_ms, deaths";

fn task(row: &Row<'_>) -> rusqlite::Result<Task> {
    Ok(Task {
        id: row.get(0)?,
        kind: row.get(1)?,
        key: row.get(2)?,
        payload: row.get(3)?,
        failures: row.get(4)?,
        failures_max: row.get(5)?,
        lease: row.get(6)?,
        reason: row.get(7)?,
        created_ms: row.get(8)?,
        changed_ms: row.get(9)?,
        deaths: row.get(10)?,
    })
}

impl Tx<'_> {
    /// Adds a task; answers its id, or `None` where one of the same kind and key is ready already. In that case the waiting one keeps its
    /// payload and runs at the earlier of the two times.
    pub fn enqueue(&self, new: &NewTask) -> Result<Option<i64>, StoreError> {
        self.tasks_changed.set(true);
        if let Some(key) = &new.key {
            let sooner = "UPDATE task SET run_at_ms = min(run_at_ms, ?3) WHERE kind = ?1 AND key = ?2 AND state = 0";
            if self.prepare_cached(sooner)?.execute(params![new.kind, key, new.run_at_ms])? > 0 {
                return Ok(None);
            }
        }
        let insert = "INSERT INTO task (kind, key, payload, run_at_ms, failures_max, created_ms, changed_ms)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)";
        let values = params![new.kind, new.key, new.payload, new.run_at_ms, new.failures_max, self.now_ms];
        self.prepare_cached(insert)?.execute(values)?;
        Ok(Some(self.last_insert_rowid()))
    }

    /// Adds a task that is leased already: whoever adds it does it at once. After a crash it is ready, as any other.
    pub fn enqueue_leased(&self, new: &NewTask) -> Result<Task, StoreError> {
        self.tasks_changed.set(true);
        let insert = format!(
            "INSERT INTO task (kind, key, payload, run_at_ms, failures_max, created_ms, changed_ms, state, lease)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 1, 1) RETURNING {COLUMNS}"
        );
        let values = params![new.kind, new.key, new.payload, new.run_at_ms, new.failures_max, self.now_ms];
        Ok(self.prepare_cached(&insert)?.query_row(values, task)?)
    }

    /// The ready tasks of a kind that are due, `limit` at the most, the longest waiting first; of one key none while another one is leased.
    pub fn due_tasks(&self, kind: &str, limit: usize) -> Result<Vec<Task>, StoreError> {
        let due = format!(
            "SELECT {COLUMNS} FROM task AS t WHERE kind = ?1 AND state = 0 AND run_at_ms <= ?2 AND (key IS NULL OR NOT EXISTS
                (SELECT 1 FROM task AS r WHERE r.kind = t.kind AND r.key = t.key AND r.state = 1))
             ORDER BY run_at_ms, id LIMIT ?3"
        );
        let mut statement = self.prepare_cached(&due)?;
        Ok(statement.query_map(params![kind, self.now_ms, limit as i64], task)?.collect::<Result<_, _>>()?)
    }

    /// Leases a task of [`Tx::due_tasks`].
    pub fn lease_task(&self, task: &mut Task) -> Result<(), StoreError> {
        let lease = "UPDATE task SET state = 1, lease = lease + 1, changed_ms = ? WHERE id = ?";
        self.prepare_cached(lease)?.execute([self.now_ms, task.id])?;
        task.lease += 1;
        Ok(())
    }

    /// Leases the ready tasks of a kind, `limit` at the most, the longest waiting first; of one key only one at a time.
    pub fn lease_tasks(&self, kind: &str, limit: usize) -> Result<Vec<Task>, StoreError> {
        let mut tasks = self.due_tasks(kind, limit)?;
        for task in &mut tasks {
            self.lease_task(task)?;
        }
        Ok(tasks)
    }

    /// Removes a task whose result is in this transaction.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] where another worker has it or it is gone: the whole transaction must then fail, so that the result is there
    /// only once.
    pub fn finish_task(&self, task: &Task) -> Result<(), StoreError> {
        let mut delete = self.prepare_cached("DELETE FROM task WHERE id = ? AND lease = ? AND state = 1")?;
        match delete.execute([task.id, task.lease])? {
            0 => Err(StoreError::LeaseLost(task.id)),
            _ => {
                self.tasks_changed.set(true);
                Ok(())
            }
        }
    }

    /// Records a failure: the task is tried again after a while or, where its failures are used up or `retry` is false, buried with its
    /// reason. Answers whether it was buried.
    pub fn fail_task(&self, failed: &Task, reason: &str, retry: bool) -> Result<bool, StoreError> {
        let backoff = BACKOFF_FIRST_MS.saturating_mul(1 << failed.failures.min(20)).min(BACKOFF_MAX_MS);
        let wait_ms = (backoff as f64 * (0.5 + self.env.random_unit())) as i64;
        self.put_back(failed, reason, self.now_ms + wait_ms, 1, !retry || failed.is_last_try())
    }

    /// Records a failure after which the task is tried again at `at_ms`, in milliseconds since the epoch. Where it `counts` and the failures
    /// are used up, the task is buried. Answers whether it was.
    pub fn fail_task_until(&self, failed: &Task, reason: &str, at_ms: i64, counts: bool) -> Result<bool, StoreError> {
        self.put_back(failed, reason, at_ms, u32::from(counts), counts && failed.is_last_try())
    }

    fn put_back(&self, failed: &Task, reason: &str, at_ms: i64, failures: u32, dead: bool) -> Result<bool, StoreError> {
        self.tasks_changed.set(true);
        if !dead && let Some(key) = &failed.key {
            // One that came meanwhile would collide with this one's return; this one goes first and does the work of both.
            let newer = "DELETE FROM task WHERE kind = ? AND key = ? AND state = 0";
            self.prepare_cached(newer)?.execute(params![failed.kind, key])?;
        }
        let update = "UPDATE task SET state = ?3, failures = failures + ?7, reason = ?4, run_at_ms = ?5, changed_ms = ?6
                      WHERE id = ?1 AND lease = ?2 AND state = 1";
        let state = if dead { 2 } else { 0 };
        let values = params![failed.id, failed.lease, state, reason, at_ms, self.now_ms, failures];
        match self.prepare_cached(update)?.execute(values)? {
            0 => Err(StoreError::LeaseLost(failed.id)),
            _ => Ok(dead),
        }
    }

    /// Adds a task that is dead already: something that failed for good before it could become one. [`Tx::revive_task`] makes it ready.
    pub fn bury(&self, new: &NewTask, reason: &str) -> Result<i64, StoreError> {
        let insert =
            "INSERT INTO task (kind, key, payload, state, run_at_ms, failures, failures_max, reason, created_ms, changed_ms)
                      VALUES (?1, ?2, ?3, 2, ?4, 1, ?5, ?6, ?7, ?7)";
        let values = params![new.kind, new.key, new.payload, new.run_at_ms, new.failures_max, reason, self.now_ms];
        self.prepare_cached(insert)?.execute(values)?;
        Ok(self.last_insert_rowid())
    }

    /// Makes a dead task ready again, with its failures forgotten. Where one of its kind and key is ready already, that one does the work of
    /// both. Answers whether there was a dead task.
    pub fn revive_task(&self, id: i64) -> Result<bool, StoreError> {
        self.tasks_changed.set(true);
        let merged = "DELETE FROM task WHERE id = ?1 AND state = 2 AND key IS NOT NULL AND EXISTS
            (SELECT 1 FROM task AS r WHERE r.kind = task.kind AND r.key = task.key AND r.state = 0)";
        if self.prepare_cached(merged)?.execute([id])? > 0 {
            return Ok(true);
        }
        let mut update =
            self.prepare_cached("UPDATE task SET state = 0, failures = 0, deaths = 0, run_at_ms = 0 WHERE id = ? AND state = 2")?;
        Ok(update.execute([id])? > 0)
    }

    /// Gives back all tasks that this process holds, before it ends as planned: the next start takes them up as if nobody had. Whoever still
    /// does one has lost its lease.
    pub fn release_tasks(&self) -> Result<(), StoreError> {
        self.tasks_changed.set(true);
        release_all(self, self.now_ms, false)
    }

    /// Removes ready tasks of a kind and key (what they were about is gone or cancelled). Answers how many.
    pub fn cancel_tasks(&self, kind: &str, key: &str) -> Result<usize, StoreError> {
        let mut delete = self.prepare_cached("DELETE FROM task WHERE kind = ? AND key = ? AND state = 0")?;
        Ok(delete.execute([kind, key])?)
    }
}

/// When the next ready task of a kind is due, in milliseconds since the epoch; `None` where none is ready.
pub fn next_due_ms(connection: &Connection, kind: &str) -> Result<Option<i64>, StoreError> {
    let next = "SELECT run_at_ms FROM task WHERE kind = ? AND state = 0 ORDER BY run_at_ms LIMIT 1";
    Ok(connection.prepare_cached(next)?.query_row([kind], |row| row.get(0)).optional()?)
}

/// How many tasks of a kind are ready.
pub fn waiting(connection: &Connection, kind: &str) -> Result<u64, StoreError> {
    let count = "SELECT count(*) FROM task WHERE kind = ? AND state = 0";
    Ok(connection.prepare_cached(count)?.query_row([kind], |row| row.get::<_, i64>(0))? as u64)
}

/// How many tasks are ready or leased.
pub fn pending(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.prepare_cached("SELECT count(*) FROM task WHERE state < 2")?.query_row([], |row| row.get(0))?)
}

/// How much there is to do, and how much was given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Events that the dispatcher has not taken yet.
    pub events: u64,
    /// Tasks that a worker holds.
    pub running: u64,
    /// Tasks that are due, or will be within [`SOON_MS`].
    pub waiting: u64,
    /// Tasks that fall due later.
    pub later: u64,
    /// Dead tasks.
    pub dead: u64,
}

impl Load {
    /// Whether nothing happens before somebody does something, or a later task falls due.
    pub fn is_idle(&self) -> bool {
        self.events + self.running + self.waiting == 0
    }
}

/// Kind and key of the tasks that workers hold, the longest held first, `limit` at the most.
pub fn running(connection: &Connection, limit: usize) -> Result<Vec<(String, Option<String>)>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT kind, key FROM task WHERE state = 1 ORDER BY changed_ms, id LIMIT ?")?;
    let rows = statement.query_map([limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A task that falls due within this time counts as waiting, in milliseconds: the next try of one that failed, or the next of a burst.
pub const SOON_MS: i64 = 5_000;

/// The load at a time, in milliseconds since the epoch.
pub fn load(connection: &Connection, now_ms: i64) -> Result<Load, StoreError> {
    let events: i64 = connection.prepare_cached("SELECT count(*) FROM outbox")?.query_row([], |row| row.get(0))?;
    let select = "SELECT state, state = 0 AND run_at_ms > ?1 + ?2, count(*)
                  FROM task GROUP BY 1, 2";
    let mut load = Load { events: events as u64, ..Load::default() };
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query(params![now_ms, SOON_MS])?;
    while let Some(row) = rows.next()? {
        let count = row.get::<_, i64>(2)? as u64;
        match (row.get::<_, i64>(0)?, row.get::<_, bool>(1)?) {
            (0, false) => load.waiting += count,
            (0, true) => load.later += count,
            (1, _) => load.running += count,
            _ => load.dead += count,
        }
    }
    Ok(load)
}

/// Whether a task of this kind and key is ready or leased.
pub fn is_pending(connection: &Connection, kind: &str, key: &str) -> Result<bool, StoreError> {
    // Two questions, as there are two indices: together they would be answered by looking at every task.
    let ready = "SELECT 1 FROM task WHERE kind = ? AND key = ? AND state = 0";
    let leased = "SELECT 1 FROM task WHERE kind = ? AND key = ? AND state = 1";
    Ok(connection.prepare_cached(ready)?.exists([kind, key])? || connection.prepare_cached(leased)?.exists([kind, key])?)
}

/// The dead tasks, the latest first, `limit` at the most.
pub fn dead_letters(connection: &Connection, limit: usize) -> Result<Vec<Task>, StoreError> {
    let dead = format!("SELECT {COLUMNS} FROM task WHERE state = 2 ORDER BY changed_ms DESC, id DESC LIMIT ?");
    let mut statement = connection.prepare_cached(&dead)?;
    Ok(statement.query_map([limit as i64], task)?.collect::<Result<Vec<_>, _>>()?)
}

/// Makes all leased tasks ready again; where their holder `died` with them, they count that. Where one of the same key waits already, the two
/// become one.
pub(crate) fn release_all(connection: &Connection, now_ms: i64, died: bool) -> Result<(), StoreError> {
    connection.execute(
        "DELETE FROM task WHERE state = 0 AND key IS NOT NULL AND EXISTS
            (SELECT 1 FROM task AS r WHERE r.kind = task.kind AND r.key = task.key AND r.state = 1)",
        [],
    )?;
    let release = "UPDATE task SET state = 0, run_at_ms = 0, changed_ms = ?, deaths = deaths + ? WHERE state = 1";
    connection.execute(release, params![now_ms, died])?;
    Ok(())
}
