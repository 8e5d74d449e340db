//! The rows of workflows and their runs. All SQL about them is here.

use super::WorkflowSpec;
use crate::glue::tags::Tags;
use millpond_core::env::EnvExt;
use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Runs kept of one workflow.
const RUNS_KEPT: i64 = 1_000;

/// A workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// Unique, with case.
    pub name: String,
    /// Its definition.
    pub spec: WorkflowSpec,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// Milliseconds since the epoch.
    pub updated_ms: i64,
}

/// Glue's `WorkflowRunStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RunStatus {
    Running,
    Completed,
    Stopping,
    Stopped,
}

impl RunStatus {
    /// As Glue writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Stopping => "STOPPING",
            Self::Stopped => "STOPPED",
        }
    }

    fn of(text: &str) -> Self {
        match text {
            "RUNNING" => Self::Running,
            "STOPPING" => Self::Stopping,
            "STOPPED" => Self::Stopped,
            _ => Self::Completed,
        }
    }
}

/// A run of a workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkflowRun {
    /// In the order of starts.
    pub seq: i64,
    /// `wr_` and 64 hexadecimal digits.
    pub id: String,
    /// Whose.
    pub workflow: String,
    /// What its jobs can read and change.
    pub properties: Tags,
    /// Where it is.
    pub status: RunStatus,
    /// Milliseconds since the epoch.
    pub started_ms: i64,
    /// Milliseconds since the epoch.
    pub completed_ms: Option<i64>,
}

const WORKFLOW: &str = "name, spec, created_ms, updated_ms";

fn workflow_row(row: &Row<'_>) -> rusqlite::Result<(Workflow, String)> {
    let workflow =
        Workflow { name: row.get(0)?, spec: WorkflowSpec::default(), created_ms: row.get(2)?, updated_ms: row.get(3)? };
    Ok((workflow, row.get(1)?))
}

fn with_spec((workflow, spec): (Workflow, String)) -> Result<Workflow, StoreError> {
    Ok(Workflow { spec: serde_json::from_str(&spec)?, ..workflow })
}

/// The workflow of this name.
pub fn workflow(connection: &Connection, name: &str) -> Result<Option<Workflow>, StoreError> {
    let select = format!("SELECT {WORKFLOW} FROM glue_workflow WHERE name = ?");
    connection.prepare_cached(&select)?.query_row([name], workflow_row).optional()?.map(with_spec).transpose()
}

/// The names of workflows, from the first after `after` on.
pub fn names(connection: &Connection, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT name FROM glue_workflow WHERE name > ? ORDER BY name LIMIT ?")?;
    Ok(statement.query_map(params![after, limit as i64], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Adds a workflow; `false` where the name is taken.
pub fn insert(tx: &Tx<'_>, name: &str, spec: &WorkflowSpec) -> Result<bool, StoreError> {
    let insert = "INSERT INTO glue_workflow (name, spec, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?3) ON CONFLICT DO NOTHING";
    Ok(tx.prepare_cached(insert)?.execute(params![name, serde_json::to_string(spec)?, tx.now_ms()])? > 0)
}

/// Replaces a workflow's definition.
pub fn update(tx: &Tx<'_>, name: &str, spec: &WorkflowSpec) -> Result<(), StoreError> {
    let update = "UPDATE glue_workflow SET spec = ?2, updated_ms = ?3 WHERE name = ?1";
    tx.prepare_cached(update)?.execute(params![name, serde_json::to_string(spec)?, tx.now_ms()])?;
    Ok(())
}

/// Removes a workflow and its runs. What they started goes on.
pub fn delete(tx: &Tx<'_>, name: &str) -> Result<(), StoreError> {
    let started = "DELETE FROM glue_started WHERE workflow_run IN (SELECT id FROM glue_workflow_run WHERE workflow = ?)";
    tx.prepare_cached(started)?.execute([name])?;
    tx.prepare_cached("DELETE FROM glue_workflow_run WHERE workflow = ?")?.execute([name])?;
    tx.prepare_cached("DELETE FROM glue_workflow WHERE name = ?")?.execute([name])?;
    Ok(())
}

/// Adds a run that begins now; removes the oldest beyond those that are kept.
pub fn add_run(tx: &Tx<'_>, workflow: &str, properties: &Tags) -> Result<String, StoreError> {
    let id = format!("wr_{}", tx.env().random_hex(32));
    let insert = "INSERT INTO glue_workflow_run (id, workflow, properties, state, started_ms) VALUES (?, ?, ?, 'RUNNING', ?)";
    tx.prepare_cached(insert)?.execute(params![id, workflow, serde_json::to_string(properties)?, tx.now_ms()])?;
    let old = "SELECT id FROM glue_workflow_run WHERE workflow = ?1 AND completed_ms IS NOT NULL
               AND seq <= (SELECT seq FROM glue_workflow_run WHERE workflow = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)";
    let mut statement = tx.prepare_cached(old)?;
    let ids = statement.query_map(params![workflow, RUNS_KEPT], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    for old in ids {
        tx.prepare_cached("DELETE FROM glue_started WHERE workflow_run = ?")?.execute([&old])?;
        tx.prepare_cached("DELETE FROM glue_workflow_run WHERE id = ?")?.execute([&old])?;
    }
    Ok(id)
}

const RUN: &str = "seq, id, workflow, properties, state, started_ms, completed_ms";

fn run_row(row: &Row<'_>) -> rusqlite::Result<(WorkflowRun, String)> {
    let run = WorkflowRun {
        seq: row.get(0)?,
        id: row.get(1)?,
        workflow: row.get(2)?,
        properties: Tags::new(),
        status: RunStatus::of(&row.get::<_, String>(4)?),
        started_ms: row.get(5)?,
        completed_ms: row.get(6)?,
    };
    Ok((run, row.get(3)?))
}

fn with_properties((run, properties): (WorkflowRun, String)) -> Result<WorkflowRun, StoreError> {
    Ok(WorkflowRun { properties: serde_json::from_str(&properties)?, ..run })
}

/// The run of this id.
pub fn run(connection: &Connection, id: &str) -> Result<Option<WorkflowRun>, StoreError> {
    let select = format!("SELECT {RUN} FROM glue_workflow_run WHERE id = ?");
    connection.prepare_cached(&select)?.query_row([id], run_row).optional()?.map(with_properties).transpose()
}

/// Runs of a workflow, the latest first, those before `before_seq`.
pub fn runs(connection: &Connection, workflow: &str, before_seq: i64, limit: usize) -> Result<Vec<WorkflowRun>, StoreError> {
    let select = format!("SELECT {RUN} FROM glue_workflow_run WHERE workflow = ? AND seq < ? ORDER BY seq DESC LIMIT ?");
    let mut statement = connection.prepare_cached(&select)?;
    let rows = statement.query_map(params![workflow, before_seq, limit as i64], run_row)?;
    rows.map(|row| with_properties(row?)).collect()
}

/// How many runs of a workflow have not ended.
pub fn open_runs(connection: &Connection, workflow: &str) -> Result<i64, StoreError> {
    let count = "SELECT count(*) FROM glue_workflow_run WHERE workflow = ? AND completed_ms IS NULL";
    Ok(connection.prepare_cached(count)?.query_row([workflow], |row| row.get(0))?)
}

/// Moves a run that has not ended.
pub fn set_status(tx: &Tx<'_>, id: &str, status: RunStatus) -> Result<(), StoreError> {
    let ended = matches!(status, RunStatus::Completed | RunStatus::Stopped).then(|| tx.now_ms());
    let update = "UPDATE glue_workflow_run SET state = ?2, completed_ms = ?3 WHERE id = ?1 AND completed_ms IS NULL";
    tx.prepare_cached(update)?.execute(params![id, status.as_str(), ended])?;
    Ok(())
}

/// Sets the properties of a run.
pub fn set_properties(tx: &Tx<'_>, id: &str, properties: &Tags) -> Result<(), StoreError> {
    let update = "UPDATE glue_workflow_run SET properties = ? WHERE id = ?";
    tx.prepare_cached(update)?.execute(params![serde_json::to_string(properties)?, id])?;
    Ok(())
}
