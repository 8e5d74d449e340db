//! Glue's schedules: `cron(minutes hours day-of-month month day-of-week year)`, in UTC (developer guide, "Time-based schedules for jobs and
//! crawlers"), and the task of a schedule's next time.

use super::GlueError;
use millpond_core::event::schedule::Schedule;
use millpond_store::task::NewTask;
use millpond_store::{StoreError, Tx};
use serde_json::json;

/// Reads `cron(…)`; Glue knows no rates.
///
/// # Errors
/// `InvalidInput` that says which field is wrong.
pub fn parse(text: &str) -> Result<Schedule, GlueError> {
    let wrong = |reason: String| GlueError::InvalidInput(format!("Schedule '{text}' is not valid: {reason}"));
    match Schedule::parse(text) {
        Ok(Schedule::Rate(_)) => {
            Err(wrong("it must have the form cron(minutes hours day-of-month month day-of-week year)".into()))
        }
        Ok(schedule) => Ok(schedule),
        Err(error) => Err(wrong(error.reason)),
    }
}

/// Puts the task of a schedule's next time in place of the one that waits; without a schedule there is none any more.
pub(super) fn plan(tx: &Tx<'_>, kind: &'static str, name: &str, schedule: Option<&str>) -> Result<(), StoreError> {
    tx.cancel_tasks(kind, name)?;
    let next = schedule.and_then(|text| parse(text).ok()).and_then(|schedule| schedule.next_after(tx.now_ms()));
    if let Some(next) = next {
        tx.enqueue(&NewTask::new(kind, json!({ "name": name })).keyed(name).at(next))?;
    }
    Ok(())
}
