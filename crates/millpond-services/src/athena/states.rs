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
    /// For each execution how many wait for its end, and what is cancelled then.
    waiting: Arc<Mutex<HashMap<String, (usize, CancellationToken)>>>,
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
        tx.after_commit(move || {
            if let Some((_, ended)) = states.waiting().remove(&execution.id) {
                ended.cancel();
            }
        });
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

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, (usize, CancellationToken)>> {
        self.waiting.lock().expect("those who wait are only added and removed")
    }

    /// To be asked for before the execution's state is read.
    fn waiter<'a>(&'a self, id: &'a str) -> Waiter<'a> {
        let mut waiting = self.waiting();
        let (waiters, ended) = waiting.entry(id.to_owned()).or_default();
        *waiters += 1;
        Waiter { states: self, id, ended: ended.clone() }
    }
}

/// Waits for the end of an execution. Nothing is kept when nobody does any more: there may be no such execution, or it may be deleted.
struct Waiter<'a> {
    states: &'a States,
    id: &'a str,
    /// Cancelled when the execution has ended.
    ended: CancellationToken,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.states.waiting();
        // After its end there may be none, or that of others who find in a moment that it has ended.
        if let Some((waiters, _)) = waiting.get_mut(self.id) {
            *waiters -= 1;
            if *waiters == 0 {
                waiting.remove(self.id);
            }
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
        let waiter = self.states.waiter(id);
        let found = self.execution(id).await?;
        if found.state.is_final() {
            return Ok(found);
        }
        let Some(patience) = patience else {
            waiter.ended.cancelled().await;
            return self.execution(id).await;
        };
        let age = Duration::from_millis((self.lake.store.env().now_ms() - found.submitted_ms).max(0) as u64);
        match tokio::time::timeout(patience.saturating_sub(age), waiter.ended.cancelled()).await {
            Ok(()) => self.execution(id).await,
            Err(_) => Ok(found),
        }
    }
}
