//! The rows of triggers, of what they wait for, and of what they started. All SQL about them is here.

use super::spec::TriggerSpec;
use millpond_store::{Component, StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// The tables of triggers and workflows.
pub const COMPONENT: Component =
    Component { name: "triggers", migrations: &[include_str!("schema.sql"), include_str!("schema_2.sql")] };

/// A trigger.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// Unique, with case.
    pub name: String,
    /// The workflow that it belongs to.
    pub workflow: Option<String>,
    /// Its definition.
    pub spec: TriggerSpec,
    /// Where it is.
    pub state: TriggerState,
}

/// Glue's `TriggerState`, those that occur here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TriggerState {
    Created,
    Activated,
    Deactivated,
}

impl TriggerState {
    /// As Glue writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Activated => "ACTIVATED",
            Self::Deactivated => "DEACTIVATED",
        }
    }

    fn of(text: &str) -> Self {
        match text {
            "ACTIVATED" => Self::Activated,
            "DEACTIVATED" => Self::Deactivated,
            _ => Self::Created,
        }
    }
}

/// What a trigger started, or could not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Of the job's run (without the number of its attempt) or the crawl.
    pub id: String,
    /// `job/NAME` or `crawler/NAME`.
    pub node: String,
    /// The trigger.
    pub trigger: String,
    /// Empty outside of workflows.
    pub workflow_run: String,
    /// `RUNNING`, a state in which runs and crawls end, or `ERROR`: it could not be started.
    pub state: String,
    /// Why it could not be started.
    pub error: Option<String>,
}

const TRIGGER: &str = "name, workflow, spec, state";

fn trigger_row(row: &Row<'_>) -> rusqlite::Result<(Trigger, String)> {
    let state = TriggerState::of(&row.get::<_, String>(3)?);
    Ok((Trigger { name: row.get(0)?, workflow: row.get(1)?, spec: TriggerSpec::default(), state }, row.get(2)?))
}

fn with_spec((trigger, spec): (Trigger, String)) -> Result<Trigger, StoreError> {
    Ok(Trigger { spec: serde_json::from_str(&spec)?, ..trigger })
}

/// The trigger of this name.
pub fn trigger(connection: &Connection, name: &str) -> Result<Option<Trigger>, StoreError> {
    let select = format!("SELECT {TRIGGER} FROM glue_trigger WHERE name = ?");
    connection.prepare_cached(&select)?.query_row([name], trigger_row).optional()?.map(with_spec).transpose()
}

/// The first `limit` triggers after `after` that `wanted` holds for, by name.
pub fn triggers(
    connection: &Connection,
    after: &str,
    limit: usize,
    wanted: impl Fn(&Trigger) -> Result<bool, StoreError>,
) -> Result<Vec<Trigger>, StoreError> {
    let select = format!("SELECT {TRIGGER} FROM glue_trigger WHERE name > ? ORDER BY name");
    let mut statement = connection.prepare_cached(&select)?;
    let mut rows = statement.query([after])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.filter(|_| found.len() < limit) {
        let trigger = with_spec(trigger_row(row)?)?;
        if wanted(&trigger)? {
            found.push(trigger);
        }
    }
    Ok(found)
}

/// The triggers of a workflow, by name.
pub fn of_workflow(connection: &Connection, workflow: &str) -> Result<Vec<Trigger>, StoreError> {
    let select = format!("SELECT {TRIGGER} FROM glue_trigger WHERE workflow = ? ORDER BY name");
    let mut statement = connection.prepare_cached(&select)?;
    let rows = statement.query_map([workflow], trigger_row)?;
    rows.map(|row| with_spec(row?)).collect()
}

/// Adds a trigger, or replaces the definition of one. `watched` is what it waits for: node and state of each condition.
pub fn put(tx: &Tx<'_>, trigger: &Trigger, watched: &[(String, String)]) -> Result<(), StoreError> {
    let insert = "INSERT INTO glue_trigger (name, workflow, spec, state) VALUES (?1, ?2, ?3, ?4)
                  ON CONFLICT (name) DO UPDATE SET workflow = ?2, spec = ?3, state = ?4";
    let spec = serde_json::to_string(&trigger.spec)?;
    tx.prepare_cached(insert)?.execute(params![trigger.name, trigger.workflow, spec, trigger.state.as_str()])?;
    forget_conditions(tx, &trigger.name)?;
    let insert = "INSERT INTO glue_trigger_watch (watched, state, trigger_name, condition) VALUES (?, ?, ?, ?)";
    for (at, (node, state)) in watched.iter().enumerate() {
        tx.prepare_cached(insert)?.execute(params![node, state, trigger.name, at as i64])?;
    }
    Ok(())
}

fn forget_conditions(tx: &Tx<'_>, name: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM glue_trigger_watch WHERE trigger_name = ?")?.execute([name])?;
    tx.prepare_cached("DELETE FROM glue_trigger_met WHERE trigger_name = ?")?.execute([name])?;
    Ok(())
}

/// Sets where a trigger is; what it has heard until then counts no more.
pub fn set_state(tx: &Tx<'_>, name: &str, state: TriggerState) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE glue_trigger SET state = ? WHERE name = ?")?.execute([state.as_str(), name])?;
    tx.prepare_cached("DELETE FROM glue_trigger_met WHERE trigger_name = ?")?.execute([name])?;
    Ok(())
}

/// Removes a trigger. What it started goes on.
pub fn delete(tx: &Tx<'_>, name: &str) -> Result<(), StoreError> {
    forget_conditions(tx, name)?;
    tx.prepare_cached("DELETE FROM glue_trigger WHERE name = ?")?.execute([name])?;
    Ok(())
}

/// The triggers and conditions that wait for `node` to end in `state`.
pub fn waiting(connection: &Connection, node: &str, state: &str) -> Result<Vec<(String, i64)>, StoreError> {
    let select =
        "SELECT trigger_name, condition FROM glue_trigger_watch WHERE watched = ? AND state = ? ORDER BY trigger_name, condition";
    let mut statement = connection.prepare_cached(select)?;
    Ok(statement.query_map([node, state], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
}

/// A node has ended in a state: conditions that wait for it to end in another one do not hold any more.
pub fn unmeet(tx: &Tx<'_>, workflow_run: &str, node: &str, state: &str) -> Result<(), StoreError> {
    let delete = "DELETE FROM glue_trigger_met WHERE (trigger_name, workflow_run, condition) IN
                  (SELECT trigger_name, ?1, condition FROM glue_trigger_watch WHERE watched = ?2 AND state <> ?3)";
    tx.prepare_cached(delete)?.execute([workflow_run, node, state])?;
    Ok(())
}

/// Records that a condition came true by the end of the run or crawl `ended`. Answers how many of the trigger's have, since it fired last.
pub fn meet(tx: &Tx<'_>, trigger: &str, workflow_run: &str, condition: i64, ended: &str) -> Result<usize, StoreError> {
    let insert = "INSERT INTO glue_trigger_met (trigger_name, workflow_run, condition, ended) VALUES (?1, ?2, ?3, ?4)
                  ON CONFLICT (trigger_name, workflow_run, condition) DO UPDATE SET ended = ?4";
    tx.prepare_cached(insert)?.execute(params![trigger, workflow_run, condition, ended])?;
    let count = "SELECT count(*) FROM glue_trigger_met WHERE trigger_name = ? AND workflow_run = ?";
    Ok(tx.prepare_cached(count)?.query_row([trigger, workflow_run], |row| row.get::<_, i64>(0))? as usize)
}

/// A trigger fires: its conditions have to come true again. Answers those that had, in their order, each with the run or crawl by whose end it did.
pub fn consume(tx: &Tx<'_>, trigger: &str, workflow_run: &str) -> Result<Vec<(i64, String)>, StoreError> {
    // What came true before a lake was told of runs has none.
    let select = "SELECT condition, ended FROM glue_trigger_met WHERE trigger_name = ? AND workflow_run = ? AND ended <> '' ORDER BY condition";
    let mut statement = tx.prepare_cached(select)?;
    let met = statement.query_map([trigger, workflow_run], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let delete = "DELETE FROM glue_trigger_met WHERE trigger_name = ? AND workflow_run = ?";
    tx.prepare_cached(delete)?.execute([trigger, workflow_run])?;
    Ok(met)
}

/// A run of a workflow has ended: nothing waits in it any more.
pub fn forget_run(tx: &Tx<'_>, workflow_run: &str) -> Result<(), StoreError> {
    // A workflow has few triggers, and their rows are found by name.
    let delete = "DELETE FROM glue_trigger_met WHERE workflow_run = ?1 AND trigger_name IN
                  (SELECT trigger_name FROM glue_started WHERE workflow_run = ?1
                   UNION SELECT name FROM glue_trigger WHERE workflow = (SELECT workflow FROM glue_workflow_run WHERE id = ?1))";
    tx.prepare_cached(delete)?.execute([workflow_run])?;
    Ok(())
}

/// Records what a trigger started.
pub fn add_started(tx: &Tx<'_>, started: &Started) -> Result<(), StoreError> {
    let insert =
        "INSERT INTO glue_started (id, node, trigger_name, workflow_run, state, error, started_ms) VALUES (?, ?, ?, ?, ?, ?, ?)";
    tx.prepare_cached(insert)?.execute(params![
        started.id,
        started.node,
        started.trigger,
        started.workflow_run,
        started.state,
        started.error,
        tx.now_ms()
    ])?;
    Ok(())
}

const STARTED: &str = "id, node, trigger_name, workflow_run, state, error";

fn started_row(row: &Row<'_>) -> rusqlite::Result<Started> {
    Ok(Started {
        id: row.get(0)?,
        node: row.get(1)?,
        trigger: row.get(2)?,
        workflow_run: row.get(3)?,
        state: row.get(4)?,
        error: row.get(5)?,
    })
}

/// What was started under this id by a trigger, and has not ended.
pub fn started(connection: &Connection, id: &str) -> Result<Option<Started>, StoreError> {
    let select = format!("SELECT {STARTED} FROM glue_started WHERE id = ? AND state = 'RUNNING'");
    Ok(connection.prepare_cached(&select)?.query_row([id], started_row).optional()?)
}

/// What a run of a workflow started, in the order of starts.
pub fn started_in(connection: &Connection, workflow_run: &str) -> Result<Vec<Started>, StoreError> {
    let select = format!("SELECT {STARTED} FROM glue_started WHERE workflow_run = ? ORDER BY started_ms, id");
    Ok(connection.prepare_cached(&select)?.query_map([workflow_run], started_row)?.collect::<Result<_, _>>()?)
}

/// Records how what a trigger started has ended. Outside of workflows nobody asks for it any more.
pub fn end_started(tx: &Tx<'_>, started: &Started, state: &str) -> Result<(), StoreError> {
    if started.workflow_run.is_empty() {
        tx.prepare_cached("DELETE FROM glue_started WHERE id = ?")?.execute([&started.id])?;
    } else {
        tx.prepare_cached("UPDATE glue_started SET state = ? WHERE id = ?")?.execute([state, &started.id])?;
    }
    Ok(())
}

/// Whether a trigger has fired in a run of its workflow.
pub fn has_fired(connection: &Connection, trigger: &str, workflow_run: &str) -> Result<bool, StoreError> {
    let select = "SELECT EXISTS (SELECT 1 FROM glue_started WHERE workflow_run = ? AND trigger_name = ?)";
    Ok(connection.prepare_cached(select)?.query_row([workflow_run, trigger], |row| row.get(0))?)
}
