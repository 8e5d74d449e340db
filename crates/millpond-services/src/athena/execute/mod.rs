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
mod repair;
mod select;
mod show;
mod unload;
mod write;

use super::model::{Execution, Statistics};
use super::{Athena, AthenaError};
use crate::lake::catalog::CatalogError;
use futures::TryStreamExt;
use md5::{Digest, Md5};
use millpond_core::error::ErrorKind;
use millpond_engine::query::{QueryError, QueryLimits, QueryRequest};
use millpond_engine::result::{self, ResultColumn};
use millpond_engine::sql::Statement;
use millpond_engine::sql::render::TextResult;
use millpond_store::blobs::BlobId;
use millpond_store::{StoreError, Tx};
use object_store::ObjectStoreExt;
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

/// The blob store's failure: ours.
fn internal(error: object_store::Error) -> RunError {
    QueryError::Internal(error.to_string()).into()
}

/// What a statement is carried out with.
pub(super) struct Context<'a> {
    pub(super) athena: &'a Athena,
    pub(super) execution: &'a Execution,
    /// Stops it.
    pub(super) cancel: CancellationToken,
}

impl Context<'_> {
    /// A query of the execution's, without a limit on what it scans.
    pub(super) fn request(&self, sql: &str) -> QueryRequest {
        QueryRequest {
            sql: sql.to_owned(),
            database: self.execution.database.as_ref().map(|database| database.to_lowercase()),
            catalog: self.athena.tables.clone(),
            parameters: self.execution.parameters.clone(),
            limits: QueryLimits::default(),
            cancel: self.cancel.clone(),
        }
    }

    /// A query of the execution's with the limits of its workgroup.
    pub(super) async fn limited(&self, sql: &str) -> QueryRequest {
        let workgroup = self.athena.workgroup(&self.execution.workgroup).await.ok();
        let scan_bytes_max = workgroup.and_then(|group| group.configuration.scan_bytes_max);
        QueryRequest { limits: QueryLimits { scan_bytes_max }, ..self.request(sql) }
    }
}

/// What a statement changes, in the transaction that ends its execution. An error undoes the transaction and fails the execution.
pub(super) type Commit = Box<dyn FnOnce(&Tx<'_>) -> Result<(), RunError> + Send>;

/// An object of a result that has no name yet.
#[derive(Debug)]
pub(super) struct ResultFile {
    /// Added to the execution's output location: nothing for the result itself, `.metadata`, `-manifest.csv`.
    pub(super) suffix: &'static str,
    pub(super) blob: BlobId,
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

    /// Lines of text, with their metadata.
    pub(super) async fn text(cx: &Context<'_>, text: &TextResult, commit: Commit) -> Result<Self, RunError> {
        let file = ResultFile::of(cx, "", text.text().into_bytes(), "text/plain").await?;
        let statistics = Statistics { result_bytes: file.bytes, ..Statistics::default() };
        let metadata = ResultFile::metadata(cx, &text.columns, None).await?;
        Ok(Self { files: vec![file, metadata], columns: text.columns.clone(), update: None, statistics, commit })
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
        let blobs = cx.athena.lake.store.blobs();
        let blob = blobs.new_location();
        let (size, etag) = (bytes.len() as u64, hex::encode(Md5::digest(&bytes)));
        blobs.put(&blob.path(), bytes.into()).await.map_err(internal)?;
        Ok(Self { suffix, blob, bytes: size, etag, content_type })
    }

    /// A file that was written already.
    pub(super) async fn written(
        cx: &Context<'_>,
        suffix: &'static str,
        blob: BlobId,
        bytes: u64,
        content_type: &'static str,
    ) -> Result<Self, RunError> {
        let read = cx.athena.lake.store.blobs().get(&blob.path()).await.map_err(internal)?;
        let mut hash = Md5::new();
        let mut chunks = read.into_stream();
        while let Some(chunk) = chunks.try_next().await.map_err(internal)? {
            hash.update(&chunk);
        }
        Ok(Self { suffix, blob, bytes, etag: hex::encode(hash.finalize()), content_type })
    }

    /// The `.metadata` of a result.
    pub(super) async fn metadata(cx: &Context<'_>, columns: &[ResultColumn], update: Option<Update>) -> Result<Self, RunError> {
        let update = update.map(|update| (update.kind, update.count));
        let bytes = result::metadata_file(&cx.execution.id, columns, update);
        Self::of(cx, ".metadata", bytes, "binary/octet-stream").await
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
        Statement::Write(statement) => write::run(cx, statement).await?,
    };
    let elapsed_ms = started.elapsed().as_millis() as i64;
    let statistics = &mut outcome.statistics;
    statistics.queue_ms = cx.execution.statistics.queue_ms;
    if statistics.engine_ms == 0 {
        statistics.engine_ms = elapsed_ms;
    }
    statistics.engine_ms = statistics.engine_ms.max(statistics.planning_ms);
    statistics.service_ms = (elapsed_ms - statistics.engine_ms).max(0);
    Ok(outcome)
}
