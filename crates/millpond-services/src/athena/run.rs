//! The worker that runs executions.

use super::ddl;
use super::executions::is_query;
use super::model::{Execution, OutputColumn, QueryFailure, State, StatementKind, Statistics};
use super::{Athena, AthenaError, sql};
use crate::lake::catalog::CatalogError;
use crate::lake::objects::{self, Cause, NewObject, ObjectMeta};
use crate::lake::{Lake, NewEvent, emit};
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use md5::{Digest, Md5};
use millpond_core::arn::Place;
use millpond_core::error::ErrorKind;
use millpond_engine::query::{QueryError, QueryLimits, QueryRequest};
use millpond_engine::result::{self, ResultColumn};
use millpond_engine::sql::{self as dialect, Statement};
use millpond_store::blobs::BlobId;
use millpond_store::task::Task;
use millpond_store::{StoreError, Tx};
use object_store::ObjectStoreExt;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
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

/// Why a statement failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct RunError {
    /// What the caller can do.
    pub(super) kind: ErrorKind,
    /// As Athena words it.
    pub(super) message: String,
}

impl From<QueryError> for RunError {
    fn from(error: QueryError) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}

impl From<CatalogError> for RunError {
    fn from(error: CatalogError) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}

impl From<AthenaError> for RunError {
    fn from(error: AthenaError) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}

/// The blob store's failure: ours.
fn internal(error: object_store::Error) -> RunError {
    QueryError::Internal(error.to_string()).into()
}

/// What a statement gave, before it is committed.
struct Outcome {
    blob: BlobId,
    bytes: u64,
    etag: String,
    metadata: BlobId,
    metadata_bytes: u64,
    metadata_etag: String,
    columns: Vec<OutputColumn>,
    statistics: Statistics,
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
        let started = Instant::now();
        let statement = dialect::parse(&execution.query)?;
        let mut outcome = match &statement {
            Statement::Query { sql } => self.select(execution, sql, cancel).await?,
            other => self.define(execution, other, cancel).await?,
        };
        outcome.statistics.queue_ms = execution.statistics.queue_ms;
        outcome.statistics.engine_ms = outcome.statistics.engine_ms.max(outcome.statistics.planning_ms);
        outcome.statistics.service_ms = (started.elapsed().as_millis() as i64 - outcome.statistics.engine_ms).max(0);
        Ok(outcome)
    }

    fn request(&self, execution: &Execution, sql: &str, cancel: CancellationToken, scan_bytes_max: Option<u64>) -> QueryRequest {
        QueryRequest {
            sql: sql.to_owned(),
            database: execution.database.as_ref().map(|database| database.to_lowercase()),
            catalog: self.athena.tables.clone(),
            parameters: execution.parameters.clone(),
            limits: QueryLimits { scan_bytes_max },
            cancel,
        }
    }

    async fn select(&self, execution: &Execution, sql: &str, cancel: CancellationToken) -> Result<Outcome, RunError> {
        let cutoff = self.athena.workgroup(&execution.workgroup).await.ok().and_then(|group| group.configuration.scan_bytes_max);
        let request = self.request(execution, sql, cancel, cutoff);
        let mut stream = self.athena.engine.query(request).await?;
        let (columns, statistics) = (stream.columns().clone(), stream.statistics().clone());
        let blobs = self.athena.lake.store.blobs();
        let id = blobs.new_location();
        let written = result::write_csv(&mut stream, Arc::new(blobs.clone()), &id.path()).await?;
        let statistics = Statistics {
            scanned_bytes: statistics.scanned_bytes(),
            planning_ms: statistics.planning_ms() as i64,
            engine_ms: (statistics.planning_ms() + statistics.execution_ms()) as i64,
            rows: written.rows,
            result_bytes: written.bytes,
            ..Statistics::default()
        };
        self.outcome(&execution.id, id, written.bytes, &columns, statistics).await
    }

    async fn define(&self, execution: &Execution, statement: &Statement, cancel: CancellationToken) -> Result<Outcome, RunError> {
        let started = Instant::now();
        let (columns, text) = match statement {
            Statement::Explain { analyze: true, .. } => {
                return Err(QueryError::NotSupported(
                    "EXPLAIN ANALYZE. Use EXPLAIN, or run the query and read its Statistics".into(),
                )
                .into());
            }
            Statement::Explain { sql, .. } => {
                let request = self.request(execution, sql, cancel, None);
                let plan = self.athena.engine.explain(request).await?;
                (vec![ResultColumn::text("Query Plan")], plan)
            }
            other => {
                let answer = ddl::carry_out(&self.athena, execution, other).await?;
                let text = answer.text();
                (answer.columns, text)
            }
        };
        let blobs = self.athena.lake.store.blobs();
        let id = blobs.new_location();
        let bytes = text.len() as u64;
        blobs.put(&id.path(), text.into_bytes().into()).await.map_err(internal)?;
        let engine_ms = started.elapsed().as_millis() as i64;
        let statistics = Statistics { engine_ms, result_bytes: bytes, ..Statistics::default() };
        self.outcome(&execution.id, id, bytes, &columns, statistics).await
    }

    async fn outcome(
        &self,
        id: &str,
        blob: BlobId,
        bytes: u64,
        columns: &[ResultColumn],
        statistics: Statistics,
    ) -> Result<Outcome, RunError> {
        let blobs = self.athena.lake.store.blobs();
        let metadata_bytes = result::metadata_file(id, columns);
        let metadata = blobs.new_location();
        let metadata_etag = hex::encode(Md5::digest(&metadata_bytes));
        let size = metadata_bytes.len() as u64;
        blobs.put(&metadata.path(), metadata_bytes.into()).await.map_err(internal)?;
        let etag = self.etag(&blob).await?;
        let columns = columns.iter().map(OutputColumn::from).collect();
        Ok(Outcome { blob, bytes, etag, metadata, metadata_bytes: size, metadata_etag, columns, statistics })
    }

    /// The MD5 of a result, as S3 gives for an object that was put in one piece.
    async fn etag(&self, blob: &BlobId) -> Result<String, RunError> {
        use futures::TryStreamExt;
        let read = self.athena.lake.store.blobs().get(&blob.path()).await.map_err(internal)?;
        let mut hash = Md5::new();
        let mut chunks = read.into_stream();
        while let Some(chunk) = chunks.try_next().await.map_err(internal)? {
            hash.update(&chunk);
        }
        Ok(hex::encode(hash.finalize()))
    }

    async fn succeed(&self, task: &Task, id: String, outcome: Outcome) -> Result<(), RunError> {
        let (task, place) = (task.clone(), self.athena.lake.place.clone());
        let ended = self.athena.lake.store.write(move |tx| {
            tx.finish_task(&task)?;
            let Some(mut execution) = sql::execution(tx, &id)?.filter(|execution| execution.state == State::Running) else {
                return Ok(()); // Stopped meanwhile: the blobs have no name and are collected.
            };
            name_result(tx, &place, &execution, &outcome)?;
            execution.state = State::Succeeded;
            execution.columns = outcome.columns;
            execution.statistics = outcome.statistics;
            end(tx, &place, execution)
        });
        ended.await.map_err(|error: AthenaError| error.into())
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

/// Puts the result and its metadata where the execution says.
fn name_result(tx: &Tx<'_>, place: &Place, execution: &Execution, outcome: &Outcome) -> Result<(), AthenaError> {
    let (bucket, key) = objects::split_uri(&execution.output).unwrap_or_default();
    let bucket = objects::bucket(tx, bucket)?
        .ok_or_else(|| AthenaError::invalid(format!("Unable to verify/create output bucket {bucket}: it does not exist")))?;
    let cause = Cause { reason: "PutObject", requester: "athena.amazonaws.com".into(), ..Cause::default() };
    let text = if execution.is_text() { "text/plain" } else { "text/csv" };
    let result = (key.to_owned(), &outcome.blob, outcome.bytes, &outcome.etag, text);
    let metadata =
        (format!("{key}.metadata"), &outcome.metadata, outcome.metadata_bytes, &outcome.metadata_etag, "binary/octet-stream");
    for (key, blob, size, etag, content_type) in [result, metadata] {
        tx.adopt_written(blob)?;
        let headers = BTreeMap::from([("content-type".to_owned(), content_type.to_owned())]);
        let meta = ObjectMeta { headers, ..ObjectMeta::default() };
        objects::put(tx, place, &bucket, NewObject { key, blob: blob.clone(), size, etag: etag.clone(), meta }, &cause)?;
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
            Err(error) => Ok(self.fail(task, id, failure(&error)).await?),
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

/// Athena user guide, "Athena error catalog": 1 is a fault of the system, 2 of the user.
fn failure(error: &RunError) -> QueryFailure {
    let (category, error_type, retryable) = match error.kind {
        ErrorKind::Bug => (1, 0, true),
        ErrorKind::Retry => (1, 401, true),
        ErrorKind::Limit => (1, 233, false),
        ErrorKind::Missing => (2, 1006, false),
        ErrorKind::Input | ErrorKind::Conflict | ErrorKind::Denied => (2, 1301, false),
    };
    QueryFailure { category, error_type, retryable, message: error.to_string() }
}

/// `csv` for what gives rows, `txt` for the rest (Athena user guide, "Query output files").
pub(super) fn extension(statement: &Statement) -> &'static str {
    if is_query(statement) { "csv" } else { "txt" }
}

pub(super) fn kind(statement: &Statement) -> StatementKind {
    match statement.kind() {
        "DML" => StatementKind::Dml,
        "DDL" => StatementKind::Ddl,
        _ => StatementKind::Utility,
    }
}
