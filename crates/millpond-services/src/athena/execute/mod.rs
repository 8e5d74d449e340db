//! Carrying statements out: a module for each family of statements.
//!
//! A statement is carried out in two steps. The first reads, computes and writes blobs, which nobody sees, and answers an [`Outcome`]. The second is the
//! outcome's `commit`: it runs in the transaction that names the result and ends the execution. So what a statement changes is there exactly when its
//! execution says `SUCCEEDED`, and half of it is never there.

mod alter;
mod ddl;
mod explain;
mod files;
mod iceberg;
mod prepared;
mod repair;
mod select;
mod show;
mod unload;
mod write;

use super::model::{Execution, Statistics};
use super::reuse::Watched;
use super::{Athena, AthenaError};
use crate::lake::catalog::CatalogError;
use async_trait::async_trait;
use bytes::Bytes;
use md5::{Digest, Md5};
use millpond_core::error::ErrorKind;
use millpond_engine::query::{QueryError, QueryLimits, QueryRequest, QueryStatistics, Stage};
use millpond_engine::result::{self, ResultColumn, ResultSink};
use millpond_engine::sql::Statement;
use millpond_engine::sql::render::TextResult;
use millpond_store::blobs::{BlobWriter, NewBlob};
use millpond_store::{StoreError, Tx};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Why a statement failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct RunError {
    /// What the caller can do.
    pub(super) kind: ErrorKind,
    /// As Athena words it: `NAME: message` where the engine failed.
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

/// What a statement is carried out with.
pub(super) struct Context<'a> {
    pub(super) athena: &'a Athena,
    /// [As it is carried out](Execution::effective).
    pub(super) execution: &'a Execution,
    /// Stops it.
    pub(super) cancel: CancellationToken,
    /// The catalog, which notes what the statement reads.
    pub(super) tables: Arc<Watched>,
    /// What the steps of its plan did, once it ran.
    pub(super) stages: OnceLock<Stage>,
    /// What its queries have cost so far.
    pub(super) spent: Arc<QueryStatistics>,
}

impl<'a> Context<'a> {
    /// For an execution of the lake's.
    pub(super) fn new(athena: &'a Athena, execution: &'a Execution, cancel: CancellationToken) -> Self {
        Self {
            athena,
            execution,
            cancel,
            tables: Watched::new(athena.tables.clone()),
            stages: OnceLock::new(),
            spent: Arc::default(),
        }
    }

    /// A query of the execution's, without a limit on what it scans.
    pub(super) fn request(&self, sql: &str) -> QueryRequest {
        QueryRequest {
            sql: sql.to_owned(),
            database: self.execution.database.as_ref().map(|database| database.to_lowercase()),
            catalog: self.tables.clone(),
            parameters: self.execution.parameters.clone(),
            limits: QueryLimits::default(),
            statistics: Arc::clone(&self.spent),
            cancel: self.cancel.clone(),
        }
    }

    /// What its queries have cost so far; nothing of its result.
    pub(super) fn cost(&self) -> Statistics {
        cost(&self.spent)
    }

    /// A query of the execution's with the limits of its workgroup.
    pub(super) async fn limited(&self, sql: &str) -> QueryRequest {
        let workgroup = self.athena.workgroup(&self.execution.workgroup).await.ok();
        let scan_bytes_max = workgroup.and_then(|group| group.configuration.scan_bytes_max);
        QueryRequest { limits: QueryLimits { scan_bytes_max }, ..self.request(sql) }
    }
}

/// What queries have cost, as an execution keeps it.
pub(super) fn cost(spent: &QueryStatistics) -> Statistics {
    Statistics {
        scanned_bytes: spent.scanned_bytes(),
        planning_ms: spent.planning_ms() as i64,
        engine_ms: (spent.planning_ms() + spent.execution_ms()) as i64,
        ..Statistics::default()
    }
}

impl Statistics {
    /// Divides the time that a statement took between the engine and the rest. What is not a query counts as the engine's.
    pub(super) fn divide(&mut self, elapsed_ms: i64) {
        // Queries that ran at the same time add up.
        self.engine_ms = if self.engine_ms == 0 { elapsed_ms } else { self.engine_ms.min(elapsed_ms) };
        self.planning_ms = self.planning_ms.min(self.engine_ms);
        self.service_ms = elapsed_ms - self.engine_ms;
    }
}

/// The type of results that were computed from tables, as Athena gives it; texts of Hive's own too.
pub(super) const OCTETS: &str = "application/octet-stream";

/// The type of results of literals, and of most texts.
pub(super) const LITERAL_OCTETS: &str = "binary/octet-stream";

/// What the list of the files that a statement wrote is called by.
pub(super) const MANIFEST: &str = "-manifest.csv";

/// What a statement changes, in the transaction that ends its execution. An error undoes the transaction and fails the execution.
pub(super) type Commit = Box<dyn FnOnce(&Tx<'_>) -> Result<(), RunError> + Send>;

/// An object of a result that has no name yet.
#[derive(Debug)]
pub(super) struct ResultFile {
    /// Added to the execution's output location: nothing for the result itself, `.metadata`, `-manifest.csv`.
    pub(super) suffix: &'static str,
    /// Small ones are carried by the transaction that names them.
    pub(super) blob: NewBlob,
    pub(super) bytes: u64,
    /// The MD5 in hexadecimal digits, as S3 gives for an object that was put in one piece.
    pub(super) etag: String,
    pub(super) content_type: &'static str,
}

/// What a statement that writes rows did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Update {
    /// `INSERT`, `UPDATE`, `DELETE`, `MERGE`, `CREATE TABLE`
    pub(super) kind: &'static str,
    /// Rows.
    pub(super) count: u64,
}

/// What a statement gave, before it is committed.
pub(super) struct Outcome {
    pub(super) files: Vec<ResultFile>,
    pub(super) columns: Vec<ResultColumn>,
    pub(super) update: Option<Update>,
    pub(super) statistics: Statistics,
    pub(super) commit: Commit,
}

impl Outcome {
    /// A commit that changes nothing.
    pub(super) fn nothing() -> Commit {
        Box::new(|_| Ok(()))
    }

    /// Lines of text, with their metadata where there are columns. No newline ends the last one.
    pub(super) async fn text(cx: &Context<'_>, text: &TextResult, commit: Commit) -> Result<Self, RunError> {
        let content_type = match cx.execution.substatement.as_str() {
            "DESCRIBE_TABLE" | "SHOW_CREATE_TABLE" | "MSCK_REPAIR" => OCTETS,
            _ => LITERAL_OCTETS,
        };
        let lines = text.text();
        let lines = lines.strip_suffix('\n').unwrap_or(&lines);
        let file = ResultFile::of(cx, "", lines.as_bytes().to_vec(), content_type).await?;
        let statistics = Statistics { result_bytes: file.bytes, ..Statistics::default() };
        let mut files = vec![file];
        if !text.columns.is_empty() {
            files.push(ResultFile::metadata(cx, &text.columns, None).await?);
        }
        Ok(Self { files, columns: text.columns.clone(), update: None, statistics, commit })
    }
}

impl ResultFile {
    /// A file of these bytes.
    pub(super) async fn of(
        cx: &Context<'_>,
        suffix: &'static str,
        bytes: Vec<u8>,
        content_type: &'static str,
    ) -> Result<Self, RunError> {
        let mut spool = Spool::new(cx);
        spool.add(&bytes).await?;
        spool.file(suffix, content_type).await
    }

    /// The `.metadata` of a result.
    pub(super) async fn metadata(cx: &Context<'_>, columns: &[ResultColumn], update: Option<Update>) -> Result<Self, RunError> {
        let update = update.map(|update| (update.kind, update.count));
        let bytes = result::metadata_file(&cx.execution.id, columns, update);
        Self::of(cx, ".metadata", bytes, "binary/octet-stream").await
    }
}

/// A result's object on its way: small ones stay in memory until they are committed, so that they cost no file.
pub(super) struct Spool {
    writer: BlobWriter,
    hash: Md5,
}

impl Spool {
    pub(super) fn new(cx: &Context<'_>) -> Self {
        Self { writer: cx.athena.lake.store.blobs().writer(), hash: Md5::new() }
    }

    async fn add(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hash.update(bytes);
        self.writer.write(bytes).await
    }

    pub(super) async fn file(self, suffix: &'static str, content_type: &'static str) -> Result<ResultFile, RunError> {
        let blob = self.writer.finish().await?;
        let (bytes, etag) = (blob.size(), hex::encode(self.hash.finalize()));
        Ok(ResultFile { suffix, blob, bytes, etag, content_type })
    }
}

#[async_trait]
impl ResultSink for Spool {
    async fn write(&mut self, bytes: Bytes) -> Result<(), QueryError> {
        let failed = |error: StoreError| QueryError::Internal(format!("the result could not be written: {error}"));
        self.add(&bytes).await.map_err(failed)
    }
}

/// Carries a statement out, up to its commit.
pub(super) async fn run(cx: &Context<'_>, statement: &Statement) -> Result<Outcome, RunError> {
    let started = Instant::now();
    let mut outcome = match statement {
        _ if iceberg::takes(cx, statement).await? => iceberg::run(cx, statement).await?,
        Statement::Query { sql } => select::run(cx, sql).await?,
        Statement::Explain(explain) => explain::run(cx, explain).await?,
        Statement::Ddl(ddl) => ddl::run(cx, ddl).await?,
        Statement::Show(show) => show::run(cx, show).await?,
        Statement::Iceberg(_) => iceberg::run(cx, statement).await?,
        Statement::Prepared(statement) => prepared::run(cx, statement).await?,
        Statement::Write(statement) => write::run(cx, statement).await?,
    };
    let elapsed_ms = started.elapsed().as_millis() as i64;
    outcome.statistics.queue_ms = cx.execution.statistics.queue_ms;
    outcome.statistics.divide(elapsed_ms);
    Ok(outcome)
}
