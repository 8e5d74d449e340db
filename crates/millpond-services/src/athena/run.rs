//! The worker that runs executions.

use super::execute::{self, Context, Outcome, ResultFile, RunError};
use super::model::{Execution, OutputColumn, QueryFailure, State, StatementKind};
use super::{Athena, AthenaError, error_types, sql};
use crate::lake::objects::{self, Cause, NewObject, ObjectMeta};
use crate::lake::{Lake, NewEvent, emit};
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use millpond_core::arn::Place;
use millpond_engine::sql::{self as dialect, Statement};
use millpond_store::task::Task;
use millpond_store::{StoreError, Tx};
use serde_json::json;
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

/// The kind of an execution's task. Its payload is the execution's id.
pub(super) const KIND: &str = "athena.query";

/// Executions that run at the same time; more wait as `QUEUED`. (AWS's default quota for DML is larger, its machines are too.)
const CONCURRENCY: usize = 8;

/// Runs executions.
#[derive(Debug)]
pub struct Runner {
    athena: Athena,
}

impl Runner {
    pub(super) fn new(athena: Athena) -> Self {
        Self { athena }
    }

    /// Marks the execution as running; `None` where it was stopped meanwhile.
    async fn begin(&self, id: String) -> Result<Option<Execution>, StoreError> {
        let place = self.athena.lake.place.clone();
        let begun = self.athena.lake.store.write(move |tx| {
            let Some(mut execution) = sql::execution(tx, &id)?.filter(|execution| !execution.state.is_final()) else {
                return Ok(None);
            };
            let before = execution.state;
            execution.state = State::Running;
            execution.statistics.queue_ms = tx.now_ms() - execution.submitted_ms;
            sql::update_execution(tx, &execution)?;
            announce(tx, &place, &execution, Some(before)).map_err(store_error)?;
            Ok(Some(execution))
        });
        begun.await
    }

    async fn execute(&self, execution: &Execution, cancel: CancellationToken) -> Result<Outcome, RunError> {
        let statement = dialect::parse(&execution.query)?;
        execute::run(&Context { athena: &self.athena, execution, cancel }, &statement).await
    }

    async fn succeed(&self, task: &Task, id: String, outcome: Outcome) -> Result<(), RunError> {
        let (task, place) = (task.clone(), self.athena.lake.place.clone());
        let ended = self.athena.lake.store.write(move |tx| {
            tx.finish_task(&task)?;
            let Some(mut execution) = sql::execution(tx, &id)?.filter(|execution| execution.state == State::Running) else {
                return Ok(()); // Stopped meanwhile: the blobs have no name and are collected.
            };
            name_result(tx, &place, &execution, outcome.files)?;
            (outcome.commit)(tx)?;
            execution.state = State::Succeeded;
            execution.columns = outcome.columns.iter().map(OutputColumn::from).collect();
            execution.update_count = outcome.update.map(|update| update.count as i64);
            execution.statistics = outcome.statistics;
            Ok(end(tx, &place, execution)?)
        });
        ended.await
    }

    async fn fail(&self, task: &Task, id: String, failure: QueryFailure) -> Result<(), StoreError> {
        let (task, place) = (task.clone(), self.athena.lake.place.clone());
        let ended = self.athena.lake.store.write(move |tx| {
            tx.finish_task(&task)?;
            let Some(mut execution) = sql::execution(tx, &id)?.filter(|execution| !execution.state.is_final()) else {
                return Ok(());
            };
            execution.state = State::Failed;
            execution.reason = Some(failure.message.clone());
            execution.failure = Some(failure);
            end(tx, &place, execution)
        });
        ended.await.map_err(store_error)
    }
}

fn store_error(error: AthenaError) -> StoreError {
    match error {
        AthenaError::Store(error) => error,
        other => StoreError::Corrupt(other.to_string()),
    }
}

fn end(tx: &Tx<'_>, place: &Place, mut execution: Execution) -> Result<(), AthenaError> {
    execution.completed_ms = Some(tx.now_ms());
    execution.statistics.total_ms = tx.now_ms() - execution.submitted_ms;
    sql::update_execution(tx, &execution)?;
    announce(tx, place, &execution, Some(State::Running))
}

/// Puts the result and what belongs to it where the execution says.
fn name_result(tx: &Tx<'_>, place: &Place, execution: &Execution, files: Vec<ResultFile>) -> Result<(), AthenaError> {
    let (bucket, key) = objects::split_uri(&execution.output).unwrap_or_default();
    let bucket = objects::bucket(tx, bucket)?
        .ok_or_else(|| AthenaError::invalid(format!("Unable to verify/create output bucket {bucket}: it does not exist")))?;
    let cause = Cause { reason: "PutObject", requester: "athena.amazonaws.com".into(), ..Cause::default() };
    for ResultFile { suffix, blob, bytes, etag, content_type } in files {
        tx.adopt_written(&blob)?;
        let headers = BTreeMap::from([("content-type".to_owned(), content_type.to_owned())]);
        let meta = ObjectMeta { headers, ..ObjectMeta::default() };
        objects::put(tx, place, &bucket, NewObject { key: format!("{key}{suffix}"), blob, size: bytes, etag, meta }, &cause)?;
    }
    Ok(())
}

/// Athena user guide, "Monitor Athena query events with EventBridge".
pub(super) fn announce(tx: &Tx<'_>, place: &Place, execution: &Execution, before: Option<State>) -> Result<(), AthenaError> {
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
    emit(tx, place, NewEvent { source: "aws.athena", detail_type: "Athena Query State Change", resources: Vec::new(), detail })?;
    Ok(())
}

#[async_trait]
impl Handler for Runner {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    async fn run(&self, _lake: &Lake, task: &Task) -> Result<(), Failure> {
        let id = task.payload.as_str().unwrap_or_default().to_owned();
        let Some(execution) = self.begin(id.clone()).await? else { return Ok(()) };
        let cancel = CancellationToken::new();
        self.athena.running.lock().expect("the map is only read and written").insert(id.clone(), cancel.clone());
        let executed = self.execute(&execution, cancel).await;
        self.athena.running.lock().expect("the map is only read and written").remove(&id);
        let ended = match executed {
            Ok(outcome) => self.succeed(task, id.clone(), outcome).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => Ok(()),
            Err(error) => Ok(self.fail(task, id, error_types::failure(&error)).await?),
        }
    }

    /// After a panic or a broken store: the execution must not stay `RUNNING`.
    async fn buried(&self, lake: &Lake, task: &Task, reason: &str) {
        let id = task.payload.as_str().unwrap_or_default().to_owned();
        let failure = QueryFailure { category: 1, error_type: 0, retryable: true, message: reason.to_owned() };
        let place = lake.place.clone();
        let marked = lake.store.write(move |tx| {
            let Some(mut execution) = sql::execution(tx, &id)?.filter(|execution| !execution.state.is_final()) else {
                return Ok(());
            };
            execution.state = State::Failed;
            execution.reason = Some(failure.message.clone());
            execution.failure = Some(failure);
            end(tx, &place, execution)
        });
        if let Err(error) = marked.await {
            tracing::error!(%error, "an execution's failure could not be recorded");
        }
    }
}

pub(super) fn kind(statement: &Statement) -> StatementKind {
    match statement.kind() {
        "DML" => StatementKind::Dml,
        "DDL" => StatementKind::Ddl,
        _ => StatementKind::Utility,
    }
}
