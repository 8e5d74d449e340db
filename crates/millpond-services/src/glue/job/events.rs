//! `Glue Job State Change` as EventBridge carries it (EventBridge reference, "AWS Glue events"), when a run has ended. What the run did is beside
//! AWS's own members under `millpond`, for rules and for the text of mails.

use super::rows::{JobRun, RunState, RunStats};
use crate::glue::trigger::fire;
use crate::lake::{NewEvent, emit};
use millpond_core::arn::Place;
use millpond_core::env::iso8601;
use millpond_store::{StoreError, Tx};
use serde_json::json;

/// A run has ended: its event, and the triggers that waited for it.
pub fn ended(
    tx: &Tx<'_>,
    place: &Place,
    run: &JobRun,
    state: RunState,
    message: Option<&str>,
    stats: &RunStats,
) -> Result<(), StoreError> {
    let (severity, text) = match state {
        RunState::Failed => {
            let reason = message.unwrap_or("the reason is not known");
            ("ERROR", format!("JobName:{} and JobRunId:{} failed to execute with exception {reason}", run.job, run.id))
        }
        RunState::Timeout => ("WARN", "Job run timed out".to_owned()),
        RunState::Stopped => ("INFO", "Job run stopped".to_owned()),
        _ => ("INFO", "Job run succeeded".to_owned()),
    };
    let mut outcome = serde_json::to_value(stats)?;
    outcome["elapsedSeconds"] = json!(stats.elapsed_ms as f64 / 1000.0);
    outcome["message"] = json!(message.unwrap_or(""));
    let detail = json!({
        "jobName": run.job,
        "severity": severity,
        "state": state.as_str(),
        "jobRunId": run.id,
        "message": text,
        "millpond": outcome,
    });
    emit(tx, place, NewEvent { source: "aws.glue", detail_type: "Glue Job State Change", resources: Vec::new(), detail })?;
    if run.is_retried(state) {
        return Ok(());
    }
    let node = format!("job/{}", run.job);
    fire::told(tx, place, fire::Ended { node: &node, id: run.first_id(), run: &run.id, state: state.as_str() })
}

/// A run has not ended when its owner wanted to be told (`NotifyDelayAfter`).
pub fn delayed(tx: &Tx<'_>, place: &Place, run: &JobRun) -> Result<(), StoreError> {
    let minutes = &run.spec.kept.get("NotificationProperty").cloned().unwrap_or_default()["NotifyDelayAfter"];
    let state = run.state.as_str();
    let detail = json!({
        "jobName": run.job,
        "severity": "INFO",
        "notificationCondition": { "NotifyDelayAfter": minutes },
        "state": state,
        "jobRunId": run.id,
        "message": format!("Job is in {state} state"),
        "startedOn": iso8601(run.started_ms, false),
    });
    emit(tx, place, NewEvent { source: "aws.glue", detail_type: "Glue Job Run Status", resources: Vec::new(), detail })
}
