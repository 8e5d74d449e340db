//! The rows of jobs, runs and bookmarks. All SQL about them is here.

use super::script;
use super::spec::{Arguments, JobSpec};
use millpond_core::env::EnvExt;
use millpond_store::{Component, StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

/// The tables of this module.
pub const COMPONENT: Component = Component { name: "jobs", migrations: &[include_str!("schema.sql")] };

/// Runs kept of one job. (The ledger keeps what each contributed.)
const RUNS_KEPT: i64 = 10_000;

/// What stands in a run's id before the number of its attempt, from the second one on.
const ATTEMPT: &str = "_attempt_";

/// The oldest are removed with every so many new ones.
const PRUNE_EVERY: i64 = 128;

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Unique, with case.
    pub name: String,
    /// Its definition.
    pub spec: JobSpec,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// Milliseconds since the epoch.
    pub updated_ms: i64,
}

/// Glue's `JobRunState`, those that occur here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RunState {
    Waiting,
    Starting,
    Running,
    Stopping,
    Stopped,
    Succeeded,
    Failed,
    Timeout,
}

impl RunState {
    const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
        Self::Succeeded,
        Self::Failed,
        Self::Timeout,
    ];

    /// As Glue writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
            Self::Stopped => "STOPPED",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Timeout => "TIMEOUT",
        }
    }

    fn of(text: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == text).unwrap_or(Self::Failed)
    }

    /// Whether the run has ended.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Stopped | Self::Succeeded | Self::Failed | Self::Timeout)
    }
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RunStats {
    /// Source objects taken.
    pub files: u64,
    /// Those of them that could not be read at all.
    pub files_failed: u64,
    /// Rows read.
    pub rows_in: u64,
    /// Rows that the target got.
    pub rows_out: u64,
    /// Rows that the quarantine got.
    pub rows_quarantined: u64,
    /// Bytes of the source objects.
    pub bytes_in: u64,
    /// Bytes of the files written.
    pub bytes_out: u64,
    /// Files written.
    pub files_out: u64,
    /// Partitions of the target that are new.
    pub partitions_created: u64,
    /// Where the target is a table of items: rows that another row took the place of, in this run or (where ids are hashes of rows) before.
    pub duplicates: u64,
    /// Where the target is a table of items: those of `rows_out` that took the place of an item of their key.
    pub items_replaced: u64,
    /// `database.table` of the target, or `dynamodb:table`.
    pub target: String,
    /// From the run's begin to its commit.
    pub elapsed_ms: u64,
    /// Whether more waits, which the next run takes.
    pub more: bool,
}

/// A run of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRun {
    /// In the order of starts.
    pub seq: i64,
    /// `jr_` and 64 hexadecimal digits; `_attempt_1` and so on after it for retries.
    pub id: String,
    /// Whose.
    pub job: String,
    /// Counts up from 0 with each retry.
    pub attempt: i32,
    /// The run that this one is a retry of.
    pub previous: Option<String>,
    /// Where it is.
    pub state: RunState,
    /// Its own arguments.
    pub arguments: Arguments,
    /// The job's definition when it was started.
    pub spec: JobSpec,
    /// When it was asked for. Milliseconds since the epoch.
    pub started_ms: i64,
    /// Milliseconds since the epoch.
    pub modified_ms: i64,
    /// When a worker began it. Milliseconds since the epoch.
    pub begun_ms: Option<i64>,
    /// Milliseconds since the epoch.
    pub completed_ms: Option<i64>,
    /// Of a run that failed: why. Of one that succeeded: what it could not take.
    pub message: Option<String>,
    /// What it did.
    pub stats: RunStats,
}

impl JobRun {
    /// The id of its first attempt.
    pub fn first_id(&self) -> &str {
        self.id.split(ATTEMPT).next().unwrap_or(&self.id)
    }

    /// Whether another attempt follows when it ends in this state.
    pub fn is_retried(&self, state: RunState) -> bool {
        state == RunState::Failed && self.attempt < self.spec.max_retries.unwrap_or(0)
    }
}

fn job_row(row: &Row<'_>) -> rusqlite::Result<(Job, String)> {
    let job = Job { name: row.get(0)?, spec: JobSpec::default(), created_ms: row.get(2)?, updated_ms: row.get(3)? };
    Ok((job, row.get(1)?))
}

fn with_spec((job, spec): (Job, String)) -> Result<Job, StoreError> {
    Ok(Job { spec: serde_json::from_str(&spec)?, ..job })
}

/// The job of this name.
pub fn job(connection: &Connection, name: &str) -> Result<Option<Job>, StoreError> {
    let select = "SELECT name, spec, created_ms, updated_ms FROM job WHERE name = ?";
    connection.prepare_cached(select)?.query_row([name], job_row).optional()?.map(with_spec).transpose()
}

/// Jobs by name, from the first after `after` on.
pub fn jobs(connection: &Connection, after: &str, limit: usize) -> Result<Vec<Job>, StoreError> {
    let select = "SELECT name, spec, created_ms, updated_ms FROM job WHERE name > ? ORDER BY name LIMIT ?";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map(params![after, limit as i64], job_row)?;
    rows.map(|row| with_spec(row?)).collect()
}

/// The names of the first `limit` jobs after `after` that `wanted` holds for.
pub fn job_names(
    connection: &Connection,
    after: &str,
    limit: usize,
    wanted: impl Fn(&str) -> Result<bool, StoreError>,
) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT name FROM job WHERE name > ? ORDER BY name")?;
    let mut rows = statement.query([after])?;
    let mut names = Vec::new();
    while let Some(row) = rows.next()?.filter(|_| names.len() < limit) {
        let name: String = row.get(0)?;
        if wanted(&name)? {
            names.push(name);
        }
    }
    Ok(names)
}

/// Adds a job; `false` where the name is taken.
pub fn insert(tx: &Tx<'_>, name: &str, spec: &JobSpec) -> Result<bool, StoreError> {
    let insert = "INSERT INTO job (name, spec, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?3) ON CONFLICT DO NOTHING";
    Ok(tx.prepare_cached(insert)?.execute(params![name, serde_json::to_string(spec)?, tx.now_ms()])? > 0)
}

/// Replaces a job's definition; `false` where there is none.
pub fn update(tx: &Tx<'_>, name: &str, spec: &JobSpec) -> Result<bool, StoreError> {
    let update = "UPDATE job SET spec = ?2, updated_ms = ?3 WHERE name = ?1";
    Ok(tx.prepare_cached(update)?.execute(params![name, serde_json::to_string(spec)?, tx.now_ms()])? > 0)
}

/// Removes a job, its runs and its bookmarks. The ledger stays.
pub fn delete(tx: &Tx<'_>, name: &str) -> Result<bool, StoreError> {
    tx.prepare_cached("DELETE FROM job_run WHERE job = ?")?.execute([name])?;
    tx.prepare_cached("DELETE FROM job_bookmark WHERE job = ?")?.execute([name])?;
    script::forget_states(tx, name)?;
    Ok(tx.prepare_cached("DELETE FROM job WHERE name = ?")?.execute([name])? > 0)
}

/// A new run's id.
pub fn new_run_id(tx: &Tx<'_>) -> String {
    format!("jr_{}", tx.env().random_hex(32))
}

/// Adds a run.
pub fn insert_run(tx: &Tx<'_>, run: &JobRun) -> Result<(), StoreError> {
    let insert = "INSERT INTO job_run (id, job, attempt, previous, state, arguments, spec, started_ms, modified_ms, stats)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)";
    tx.prepare_cached(insert)?.execute(params![
        run.id,
        run.job,
        run.attempt,
        run.previous,
        run.state.as_str(),
        serde_json::to_string(&run.arguments)?,
        serde_json::to_string(&run.spec)?,
        tx.now_ms(),
        serde_json::to_string(&run.stats)?
    ])?;
    if tx.last_insert_rowid() % PRUNE_EVERY == 0 {
        let prune = "DELETE FROM job_run WHERE job = ?1 AND completed_ms IS NOT NULL
                     AND seq <= (SELECT seq FROM job_run WHERE job = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)";
        tx.prepare_cached(prune)?.execute(params![run.job, RUNS_KEPT])?;
    }
    Ok(())
}

const RUN: &str =
    "seq, id, job, attempt, previous, state, arguments, spec, started_ms, modified_ms, begun_ms, completed_ms, message, stats";

fn run_row(row: &Row<'_>) -> rusqlite::Result<(JobRun, [String; 3])> {
    let run = JobRun {
        seq: row.get(0)?,
        id: row.get(1)?,
        job: row.get(2)?,
        attempt: row.get(3)?,
        previous: row.get(4)?,
        state: RunState::of(&row.get::<_, String>(5)?),
        arguments: Arguments::new(),
        spec: JobSpec::default(),
        started_ms: row.get(8)?,
        modified_ms: row.get(9)?,
        begun_ms: row.get(10)?,
        completed_ms: row.get(11)?,
        message: row.get(12)?,
        stats: RunStats::default(),
    };
    Ok((run, [row.get(6)?, row.get(7)?, row.get(13)?]))
}

fn with_json((run, [arguments, spec, stats]): (JobRun, [String; 3])) -> Result<JobRun, StoreError> {
    Ok(JobRun {
        arguments: serde_json::from_str(&arguments)?,
        spec: serde_json::from_str(&spec)?,
        stats: serde_json::from_str(&stats)?,
        ..run
    })
}

/// The run of this id.
pub fn run(connection: &Connection, id: &str) -> Result<Option<JobRun>, StoreError> {
    let select = format!("SELECT {RUN} FROM job_run WHERE id = ?");
    connection.prepare_cached(&select)?.query_row([id], run_row).optional()?.map(with_json).transpose()
}

/// A run and its further attempts, the first one first; `id` is that of the first.
pub fn attempts(connection: &Connection, id: &str) -> Result<Vec<JobRun>, StoreError> {
    let select =
        format!("SELECT {RUN} FROM job_run WHERE id = ?1 OR (id > ?1 || '{ATTEMPT}' AND id < ?1 || '{ATTEMPT}a') ORDER BY seq");
    let mut statement = connection.prepare_cached(&select)?;
    let rows = statement.query_map([id], run_row)?;
    rows.map(|row| with_json(row?)).collect()
}

/// The ids of those of [`attempts`] that have not ended.
pub fn open_attempts(connection: &Connection, id: &str) -> Result<Vec<String>, StoreError> {
    let all = attempts(connection, id)?;
    Ok(all.into_iter().filter(|run| !run.state.has_ended()).map(|run| run.id).collect())
}

/// Runs of one job (or of all), the latest first, those before `before_seq`.
pub fn runs(connection: &Connection, job: Option<&str>, before_seq: i64, limit: usize) -> Result<Vec<JobRun>, StoreError> {
    let only = if job.is_some() { "job = ?1 AND" } else { "?1 IS NULL AND" };
    let select = format!("SELECT {RUN} FROM job_run WHERE {only} seq < ?2 ORDER BY seq DESC LIMIT ?3");
    let mut statement = connection.prepare_cached(&select)?;
    let rows = statement.query_map(params![job, before_seq, limit as i64], run_row)?;
    rows.map(|row| with_json(row?)).collect()
}

/// The runs of a job that have not ended, the oldest first.
pub fn open_runs(connection: &Connection, job: &str) -> Result<Vec<JobRun>, StoreError> {
    let select = format!("SELECT {RUN} FROM job_run WHERE job = ? AND completed_ms IS NULL ORDER BY seq");
    let mut statement = connection.prepare_cached(&select)?;
    let rows = statement.query_map([job], run_row)?;
    rows.map(|row| with_json(row?)).collect()
}

/// Moves a run that has not ended into a state that is not its end.
pub fn set_run_state(tx: &Tx<'_>, id: &str, state: RunState) -> Result<(), StoreError> {
    let update = "UPDATE job_run SET state = ?2, modified_ms = ?3, begun_ms = CASE WHEN ?2 = 'RUNNING' THEN coalesce(begun_ms, ?3) ELSE begun_ms END
                  WHERE id = ?1 AND completed_ms IS NULL";
    tx.prepare_cached(update)?.execute(params![id, state.as_str(), tx.now_ms()])?;
    Ok(())
}

/// Ends a run; `false` where there is none of this id that has not ended.
pub fn end_run(tx: &Tx<'_>, id: &str, state: RunState, message: Option<&str>, stats: &RunStats) -> Result<bool, StoreError> {
    let update = "UPDATE job_run SET state = ?2, modified_ms = ?3, completed_ms = ?3, message = ?4, stats = ?5
                  WHERE id = ?1 AND completed_ms IS NULL";
    let values = params![id, state.as_str(), tx.now_ms(), message, serde_json::to_string(stats)?];
    Ok(tx.prepare_cached(update)?.execute(values)? > 0)
}

/// How far a job has read a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bookmark {
    /// `database.table`.
    pub source: String,
    /// A number of its own for each life of the bookmark.
    pub generation: i64,
    /// Objects up to this seq have been read.
    pub seq: i64,
    /// Runs that moved it.
    pub runs: i64,
    /// The last of them.
    pub run: Option<String>,
}

fn bookmark_row(row: &Row<'_>) -> rusqlite::Result<Bookmark> {
    Ok(Bookmark { source: row.get(0)?, generation: row.get(1)?, seq: row.get(2)?, runs: row.get(3)?, run: row.get(4)? })
}

/// The bookmark of a job on a source.
pub fn bookmark(connection: &Connection, job: &str, source: &str) -> Result<Option<Bookmark>, StoreError> {
    let select = "SELECT source, generation, seq, runs, run FROM job_bookmark WHERE job = ? AND source = ?";
    Ok(connection.prepare_cached(select)?.query_row([job, source], bookmark_row).optional()?)
}

/// All bookmarks of a job.
pub fn bookmarks(connection: &Connection, job: &str) -> Result<Vec<Bookmark>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT source, generation, seq, runs, run FROM job_bookmark WHERE job = ? ORDER BY source")?;
    Ok(statement.query_map([job], bookmark_row)?.collect::<Result<_, _>>()?)
}

/// The bookmark of a job on a source; a new one at the beginning where there is none.
pub fn bookmark_or_new(tx: &Tx<'_>, job: &str, source: &str) -> Result<Bookmark, StoreError> {
    if let Some(bookmark) = bookmark(tx, job, source)? {
        return Ok(bookmark);
    }
    let generation = tx.next_seq();
    let insert = "INSERT INTO job_bookmark (job, source, generation, seq) VALUES (?, ?, ?, 0)";
    tx.prepare_cached(insert)?.execute(params![job, source, generation])?;
    Ok(Bookmark { source: source.to_owned(), generation, seq: 0, runs: 0, run: None })
}

/// Moves a bookmark, if it is still in the life and at the place where the run found it. Answers whether it was.
pub fn advance(tx: &Tx<'_>, job: &str, found: &Bookmark, seq: i64, run: &str) -> Result<bool, StoreError> {
    let update = "UPDATE job_bookmark SET seq = ?5, runs = runs + 1, run = ?6 WHERE job = ?1 AND source = ?2 AND generation = ?3 AND seq = ?4";
    let values = params![job, found.source, found.generation, found.seq, seq, run];
    if tx.prepare_cached(update)?.execute(values)? == 0 {
        return Ok(false);
    }
    script::put_state(tx, job, &found.source, run, seq)?;
    Ok(true)
}

/// Sets all bookmarks of a job back: to where `states` say that they were, else to the beginning. What came after will be read again.
pub fn reset(tx: &Tx<'_>, job: &str, states: &[Bookmark]) -> Result<(), StoreError> {
    for bookmark in bookmarks(tx, job)? {
        let state = states.iter().find(|state| state.source == bookmark.source);
        let (seq, run) = state.map_or((0, None), |state| (state.seq, state.run.as_deref()));
        let update = "UPDATE job_bookmark SET generation = ?, seq = ?, run = ? WHERE job = ? AND source = ?";
        tx.prepare_cached(update)?.execute(params![tx.next_seq(), seq, run, job, bookmark.source])?;
    }
    Ok(())
}
