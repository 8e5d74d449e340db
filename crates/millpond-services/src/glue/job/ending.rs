//! The end of a run, whatever it ran and however it ended: its row, its log, its event, and what follows.

use super::rows::{self, JobRun, RunState, RunStats};
use super::{events, logging, run_task};
use millpond_core::arn::Place;
use millpond_store::{StoreError, Tx};

/// Ends a run, in the transaction that holds its result, unless somebody else has: who stopped it before it began, or deleted its job. One that failed and
/// may be tried again gets its next attempt; runs of the job that wait get their task.
pub(super) fn end(
    tx: &Tx<'_>,
    place: &Place,
    run: &JobRun,
    state: RunState,
    message: Option<&str>,
    stats: &RunStats,
) -> Result<(), StoreError> {
    if rows::end_run(tx, &run.id, state, message, stats)? {
        logging::ended(tx, run, state, message, stats)?;
        events::ended(tx, place, run, state, message, stats)?;
        if run.is_retried(state) {
            retry(tx, run)?;
        }
    }
    follow_up(tx, &run.job)
}

/// Ends a run whose row went with its job.
pub(super) fn end_with_job(tx: &Tx<'_>, place: &Place, run: &JobRun) -> Result<(), StoreError> {
    let (state, message) = (RunState::Stopped, Some("its job was deleted"));
    if run.begun_ms.is_some() {
        logging::ended(tx, run, state, message, &run.stats)?;
    }
    events::ended(tx, place, run, state, message, &run.stats)
}

/// Adds the next attempt of a run that failed.
fn retry(tx: &Tx<'_>, run: &JobRun) -> Result<(), StoreError> {
    let (base, attempt) = (run.first_id(), run.attempt + 1);
    let next = JobRun {
        id: format!("{base}_attempt_{attempt}"),
        attempt,
        previous: Some(run.id.clone()),
        state: RunState::Starting,
        stats: RunStats::default(),
        ..run.clone()
    };
    rows::insert_run(tx, &next)?;
    tx.enqueue(&run_task(&next)).map(|_| ())
}

/// Makes sure that the runs of a job that wait have a task: those that share one key have only one.
pub(super) fn follow_up(tx: &Tx<'_>, job: &str) -> Result<(), StoreError> {
    for run in rows::open_runs(tx, job)?.iter().filter(|run| matches!(run.state, RunState::Waiting | RunState::Starting)) {
        tx.enqueue(&run_task(run))?;
    }
    Ok(())
}
