//! The states of executions: how they change, who is told of it, and how to wait for the last one.

use super::model::{Execution, State};
use super::{Athena, AthenaError, sql};
use crate::lake::{NewEvent, emit};
use millpond_core::arn::Place;
use millpond_store::{StoreError, Tx};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How old an execution may be whose end a request waits for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Changes the states of executions; clones share who waits for their ends.
#[derive(Debug, Clone)]
pub(super) struct States {
    pub(super) place: Arc<Place>,
    waiting: Arc<Mutex<HashMap<String, CancellationToken>>>,
}

impl States {
    pub(super) fn new(place: Arc<Place>) -> Self {
        Self { place, waiting: Arc::default() }
    }

    /// Marks an execution as running.
    pub(super) fn begin(&self, tx: &Tx<'_>, execution: &mut Execution) -> Result<(), StoreError> {
        let before = std::mem::replace(&mut execution.state, State::Running);
        // Never 0, as with Athena: clients take that for a time that is not known yet.
        execution.statistics.queue_ms = (tx.now_ms() - execution.submitted_ms).max(1);
        sql::update_execution(tx, execution)?;
        self.announce(tx, execution, Some(before))
    }

    /// Ends an execution in a final state.
    pub(super) fn end(&self, tx: &Tx<'_>, mut execution: Execution, state: State) -> Result<(), StoreError> {
        let before = std::mem::replace(&mut execution.state, state);
        execution.completed_ms = Some(tx.now_ms());
        execution.statistics.total_ms = tx.now_ms() - execution.submitted_ms;
        sql::update_execution(tx, &execution)?;
        self.announce(tx, &execution, Some(before))?;
        let states = self.clone();
        tx.after_commit(move || states.wake(&execution.id));
        Ok(())
    }

    /// Athena user guide, "Monitor Athena query events with EventBridge".
    pub(super) fn announce(&self, tx: &Tx<'_>, execution: &Execution, before: Option<State>) -> Result<(), StoreError> {
        let mut detail = json!({
            "versionId": "0",
            "currentState": execution.state.as_str(),
            "statementType": execution.kind,
            "queryExecutionId": execution.id,
            "workgroupName": execution.workgroup,
            "sequenceNumber": match execution.state { State::Queued => "1", State::Running => "2", _ => "3" },
        });
        if let Some(before) = before {
            detail["previousState"] = json!(before.as_str());
        }
        if let Some(failure) = &execution.failure {
            detail["athenaError"] = json!({
                "errorCategory": failure.category, "errorType": failure.error_type,
                "errorMessage": failure.message, "retryable": failure.retryable,
            });
        }
        let detail_type = "Athena Query State Change";
        emit(tx, &self.place, NewEvent { source: "aws.athena", detail_type, resources: Vec::new(), detail })
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.waiting.lock().expect("those who wait are only added and removed")
    }

    /// What is cancelled when an execution has ended. To be asked for before its state is read; who finds that it had ended by then wakes all,
    /// since the one that ended it may have done so before.
    fn ended(&self, id: &str) -> CancellationToken {
        self.waiting().entry(id.to_owned()).or_default().clone()
    }

    fn wake(&self, id: &str) {
        if let Some(ended) = self.waiting().remove(id) {
            ended.cancel();
        }
    }
}

impl Athena {
    /// An execution when it has ended, or `patience` has passed since it was submitted, whichever comes first. All clients look again and again: this spares
    /// those of short queries the pause between two looks, which is a second with many.
    ///
    /// # Errors
    /// There is no such execution, and the store's.
    pub async fn settled_execution(&self, id: &str) -> Result<Execution, AthenaError> {
        self.wait_for(id, Some(PATIENCE)).await
    }

    /// An execution when it has ended.
    pub(super) async fn ended_execution(&self, id: &str) -> Result<Execution, AthenaError> {
        self.wait_for(id, None).await
    }

    async fn wait_for(&self, id: &str, patience: Option<Duration>) -> Result<Execution, AthenaError> {
        let ended = self.states.ended(id);
        let found = match self.execution(id).await {
            Ok(found) if !found.state.is_final() => found,
            other => {
                self.states.wake(id);
                return other;
            }
        };
        let Some(patience) = patience else {
            ended.cancelled().await;
            return self.execution(id).await;
        };
        let age = Duration::from_millis((self.lake.store.env().now_ms() - found.submitted_ms).max(0) as u64);
        match tokio::time::timeout(patience.saturating_sub(age), ended.cancelled()).await {
            Ok(()) => self.execution(id).await,
            Err(_) => Ok(found),
        }
    }
}
