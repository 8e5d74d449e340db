//! The rows of script runs: what they read, what is to be done at their end, and where bookmarks were after each run. All SQL about them is here.

use crate::glue::job::rows::Bookmark;
use crate::lake::ledger::Entry;
use millpond_store::{Component, StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

/// The tables of this module.
pub const COMPONENT: Component =
    Component { name: "job scripts", migrations: &[include_str!("schema.sql"), include_str!("schema_2.sql")] };

/// States of bookmarks kept of one job and source, besides the latest.
const STATES_KEPT: i64 = 10_000;

/// Where a script run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its process runs, or ran when the lake was stopped.
    Running,
    /// The script ended well.
    Ended,
}

/// When what a run writes becomes visible: the job argument `--millpond-output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    /// All at once, when the run succeeds.
    #[default]
    AtEnd,
    /// File by file, as with AWS.
    AsWritten,
}

impl Output {
    /// As the argument says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtEnd => "at-end",
            Self::AsWritten => "as-written",
        }
    }
}

/// Why a script failed, as its launcher found it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Reported {
    /// For example `NameError`.
    pub error_class: String,
    /// For people.
    pub message: String,
    /// Of the script.
    pub file: Option<String>,
    /// Counted from 1.
    pub line: Option<u64>,
}

/// A script run under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptRun {
    /// The run.
    pub run: String,
    /// Its job.
    pub job: String,
    /// Where it is.
    pub phase: Phase,
    /// When its output becomes visible.
    pub output: Output,
    /// `job-bookmark-enable`, `-disable` or `-pause`.
    pub bookmark: String,
    /// As the run's argument or the configuration says it.
    pub engine: String,
    /// Whether the script asked for its bookmarks to be saved.
    pub committed: bool,
    /// Why it failed, where its launcher said so.
    pub failure: Option<Reported>,
    /// The lake's last change when it was opened.
    pub opened_seq: i64,
}

fn script_row(row: &Row<'_>) -> rusqlite::Result<ScriptRun> {
    let failure: Option<String> = row.get(7)?;
    Ok(ScriptRun {
        run: row.get(0)?,
        job: row.get(1)?,
        phase: if row.get::<_, String>(2)? == "ended" { Phase::Ended } else { Phase::Running },
        output: if row.get::<_, String>(3)? == "as-written" { Output::AsWritten } else { Output::AtEnd },
        bookmark: row.get(4)?,
        engine: row.get(5)?,
        committed: row.get(6)?,
        failure: failure.and_then(|text| serde_json::from_str(&text).ok()),
        opened_seq: row.get(8)?,
    })
}

/// The script run of this id.
pub fn find(connection: &Connection, run: &str) -> Result<Option<ScriptRun>, StoreError> {
    let select = "SELECT run, job, phase, output, bookmark, engine, committed, failure, opened_seq FROM job_script WHERE run = ?";
    Ok(connection.prepare_cached(select)?.query_row([run], script_row).optional()?)
}

/// Adds one, whose process is about to start.
pub fn insert(tx: &Tx<'_>, script: &ScriptRun) -> Result<(), StoreError> {
    let insert =
        "INSERT INTO job_script (run, job, phase, output, bookmark, engine, opened_seq) VALUES (?, ?, 'running', ?, ?, ?, ?)";
    let values = params![script.run, script.job, script.output.as_str(), script.bookmark, script.engine, script.opened_seq];
    tx.prepare_cached(insert)?.execute(values)?;
    Ok(())
}

/// The script ended well.
pub fn set_ended(tx: &Tx<'_>, run: &str) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE job_script SET phase = 'ended' WHERE run = ?")?.execute([run])?;
    Ok(())
}

/// The script's bookmarks are to be saved, as far as it has read.
pub fn set_committed(tx: &Tx<'_>, run: &str) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE job_script SET committed = 1 WHERE run = ?")?.execute([run])?;
    tx.prepare_cached("UPDATE job_script_source SET committed = 1 WHERE run = ?")?.execute([run])?;
    tx.prepare_cached("UPDATE job_script_file SET committed = 1 WHERE run = ?")?.execute([run])?;
    Ok(())
}

/// Why the script fails.
pub fn set_failure(tx: &Tx<'_>, run: &str, failure: &Reported) -> Result<(), StoreError> {
    let update = "UPDATE job_script SET failure = ? WHERE run = ?";
    tx.prepare_cached(update)?.execute(params![serde_json::to_string(failure)?, run])?;
    Ok(())
}

/// Forgets all of a run that is needed only while it runs.
pub fn remove(tx: &Tx<'_>, run: &str) -> Result<(), StoreError> {
    for table in ["job_script", "job_script_source", "job_script_file", "job_script_step"] {
        tx.prepare_cached(&format!("DELETE FROM {table} WHERE run = ?"))?.execute([run])?;
    }
    Ok(())
}

/// How far a run read a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadSource {
    /// The transformation context.
    pub context: String,
    /// Of the bookmark; none where there was none.
    pub generation: Option<i64>,
    /// Where the bookmark was.
    pub found: i64,
    /// Up to which change of the lake it read.
    pub until: i64,
    /// To be saved.
    pub committed: bool,
}

fn source_row(row: &Row<'_>) -> rusqlite::Result<ReadSource> {
    Ok(ReadSource {
        context: row.get(0)?,
        generation: row.get(1)?,
        found: row.get(2)?,
        until: row.get(3)?,
        committed: row.get(4)?,
    })
}

/// How far a run read the source of a context.
pub fn source(connection: &Connection, run: &str, context: &str) -> Result<Option<ReadSource>, StoreError> {
    let select = "SELECT context, generation, found, until, committed FROM job_script_source WHERE run = ? AND context = ?";
    Ok(connection.prepare_cached(select)?.query_row([run, context], source_row).optional()?)
}

/// How far a run read its sources.
pub fn sources(connection: &Connection, run: &str) -> Result<Vec<ReadSource>, StoreError> {
    let select = "SELECT context, generation, found, until, committed FROM job_script_source WHERE run = ? ORDER BY context";
    let mut statement = connection.prepare_cached(select)?;
    Ok(statement.query_map([run], source_row)?.collect::<Result<_, _>>()?)
}

/// How many sources a run has read.
pub fn count_sources(connection: &Connection, run: &str) -> Result<i64, StoreError> {
    let select = "SELECT count(*) FROM job_script_source WHERE run = ?";
    Ok(connection.prepare_cached(select)?.query_row([run], |row| row.get(0))?)
}

/// Remembers how far a run reads a source; where it read that before, less far counts.
pub fn put_source(tx: &Tx<'_>, run: &str, read: &ReadSource) -> Result<(), StoreError> {
    let insert = "INSERT INTO job_script_source (run, context, generation, found, until) VALUES (?1, ?2, ?3, ?4, ?5)
                  ON CONFLICT DO UPDATE SET until = min(until, ?5)";
    tx.prepare_cached(insert)?.execute(params![run, read.context, read.generation, read.found, read.until])?;
    Ok(())
}

/// Remembers what a run was given to read.
pub fn put_files(tx: &Tx<'_>, run: &str, context: &str, files: &[Entry]) -> Result<(), StoreError> {
    let insert = "INSERT OR IGNORE INTO job_script_file (run, context, bucket, key, etag, size) VALUES (?, ?, ?, ?, ?, ?)";
    let mut insert = tx.prepare_cached(insert)?;
    for Entry { bucket, key, etag, size, .. } in files {
        insert.execute(params![run, context, bucket, key, etag, *size as i64])?;
    }
    Ok(())
}

/// Whether a run was given to read by a context what it did not commit.
pub fn has_uncommitted(connection: &Connection, run: &str, context: &str) -> Result<bool, StoreError> {
    let select = "SELECT 1 FROM job_script_file WHERE run = ? AND context = ? AND NOT committed";
    Ok(connection.prepare_cached(select)?.exists([run, context])?)
}

/// What a run was given to read by a context and has committed.
pub fn committed_files(connection: &Connection, run: &str, context: &str) -> Result<Vec<Entry>, StoreError> {
    let select =
        "SELECT bucket, key, etag, size FROM job_script_file WHERE run = ? AND context = ? AND committed ORDER BY bucket, key";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map([run, context], |row| {
        Ok(Entry {
            bucket: row.get(0)?,
            key: row.get(1)?,
            etag: row.get(2)?,
            size: row.get::<_, i64>(3)? as u64,
            ..Entry::default()
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The runs of scripts that have something here.
pub fn runs(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT run FROM job_script ORDER BY run")?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Forgets what a run read by a context: it was recorded.
pub fn forget_source(tx: &Tx<'_>, run: &str, context: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM job_script_file WHERE run = ? AND context = ?")?.execute([run, context])?;
    tx.prepare_cached("DELETE FROM job_script_source WHERE run = ? AND context = ?")?.execute([run, context])?;
    Ok(())
}

/// Something to be done at the end of a run.
#[derive(Debug)]
pub struct Step {
    kind: String,
    payload: String,
    /// Of a catalog update.
    pub partitions: i64,
}

impl Step {
    /// One of a kind.
    pub fn new(kind: &str, payload: &impl Serialize, partitions: usize) -> Result<Self, StoreError> {
        Ok(Self { kind: kind.to_owned(), payload: serde_json::to_string(payload)?, partitions: partitions as i64 })
    }

    /// As it is stored.
    pub fn bytes(&self) -> i64 {
        self.payload.len() as i64
    }
}

/// What the steps of a run come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepsSize {
    /// How many.
    pub count: i64,
    /// As stored.
    pub bytes: i64,
    /// Of catalog updates.
    pub partitions: i64,
}

/// Whether the same is to be done already.
pub fn has_step(connection: &Connection, run: &str, step: &Step) -> Result<bool, StoreError> {
    let known = "SELECT 1 FROM job_script_step WHERE run = ? AND bytes = ? AND kind = ? AND payload = ?";
    Ok(connection.prepare_cached(known)?.exists(params![run, step.bytes(), step.kind, step.payload])?)
}

/// Remembers what is to be done at the end.
pub fn put_step(tx: &Tx<'_>, run: &str, step: &Step) -> Result<(), StoreError> {
    let insert = "INSERT INTO job_script_step (run, kind, bytes, partitions, payload) VALUES (?, ?, ?, ?, ?)";
    tx.prepare_cached(insert)?.execute(params![run, step.kind, step.bytes(), step.partitions, step.payload])?;
    Ok(())
}

/// How much is to be done at the end of a run.
pub fn steps_size(connection: &Connection, run: &str) -> Result<StepsSize, StoreError> {
    let select = "SELECT count(*), coalesce(sum(bytes), 0), coalesce(sum(partitions), 0) FROM job_script_step WHERE run = ?";
    let size = |row: &Row<'_>| Ok(StepsSize { count: row.get(0)?, bytes: row.get(1)?, partitions: row.get(2)? });
    Ok(connection.prepare_cached(select)?.query_row([run], size)?)
}

/// What is to be done at the end, in order.
pub fn steps<T: for<'de> Deserialize<'de>>(connection: &Connection, run: &str, kind: &str) -> Result<Vec<T>, StoreError> {
    let select = "SELECT payload FROM job_script_step WHERE run = ? AND kind = ? ORDER BY seq";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map([run, kind], |row| row.get::<_, String>(0))?;
    rows.map(|row| Ok(serde_json::from_str(&row?)?)).collect()
}

/// Remembers where a bookmark is after a run.
pub fn put_state(tx: &Tx<'_>, job: &str, source: &str, run: &str, seq: i64) -> Result<(), StoreError> {
    let position = tx.next_seq();
    let insert = "INSERT INTO job_bookmark_state (job, source, position, run, run_seq, seq)
                  VALUES (?1, ?2, ?3, ?4, coalesce((SELECT seq FROM job_run WHERE id = ?4), 0), ?5)";
    tx.prepare_cached(insert)?.execute(params![job, source, position, run, seq])?;
    if position % 128 == 0 {
        let prune = "DELETE FROM job_bookmark_state WHERE job = ?1 AND source = ?2 AND position <=
                     (SELECT position FROM job_bookmark_state WHERE job = ?1 AND source = ?2 ORDER BY position DESC LIMIT 1 OFFSET ?3)";
        tx.prepare_cached(prune)?.execute(params![job, source, STATES_KEPT])?;
    }
    Ok(())
}

/// Where the bookmarks of a job were after the run of this place among all runs: for each source the latest state of runs up to it.
pub fn states_after(connection: &Connection, job: &str, run_seq: i64) -> Result<Vec<Bookmark>, StoreError> {
    let select = "SELECT source, seq, run, max(position) FROM job_bookmark_state WHERE job = ? AND run_seq <= ? GROUP BY source ORDER BY source";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map(params![job, run_seq], |row| {
        Ok(Bookmark { source: row.get(0)?, generation: 0, seq: row.get(1)?, runs: 0, run: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Forgets where the bookmarks of a job were.
pub fn forget_states(tx: &Tx<'_>, job: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM job_bookmark_state WHERE job = ?")?.execute([job])?;
    Ok(())
}

/// Whether any script run is under way.
pub fn is_any(connection: &Connection) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM job_script LIMIT 1")?.exists([])?)
}
