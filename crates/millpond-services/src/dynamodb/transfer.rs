//! Imports and exports: what is kept of them, and how they are found.

use super::import::CsvOptions;
use super::model::NewTable;
use super::{DynamoDb, DynamoError, sql};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a listing answers at the most. API reference, `ListImports` and `ListExports`.
const PAGE_MAX: usize = 25;

/// Which of the two a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransferKind {
    Import = 0,
    Export = 1,
}

/// What it does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferState {
    /// It waits or runs.
    InProgress,
    /// It is done.
    Completed,
    /// It could not be done, or not in whole.
    Failed,
}

/// What imports and exports have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Its ARN.
    pub arn: String,
    /// What it does now.
    pub state: TransferState,
    /// The table.
    pub table_name: String,
    /// Its ARN.
    pub table_arn: String,
    /// `TableId`.
    pub table_id: String,
    /// `ClientToken`.
    pub token: Option<String>,
    /// Where the files are.
    pub bucket: String,
    /// As the request has it.
    pub bucket_owner: Option<String>,
    /// What their keys begin with.
    pub prefix: Option<String>,
    /// Milliseconds since the epoch.
    pub started_ms: i64,
    /// Milliseconds since the epoch.
    pub ended_ms: Option<i64>,
    /// Why it failed, for programs.
    pub failure_code: Option<String>,
    /// Why it failed, for people.
    pub failure_message: Option<String>,
}

/// An import.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Import {
    /// What is common.
    pub transfer: Transfer,
    /// Where its errors are.
    pub log_group_arn: String,
    /// `CSV` or `DYNAMODB_JSON`.
    pub format: String,
    /// How CSV is to be read.
    pub csv: Option<CsvOptions>,
    /// `NONE`, `GZIP` or `ZSTD`.
    pub compression: String,
    /// The table that was asked for.
    pub table: NewTable,
    /// Lines that are no items of the table.
    pub errors: u64,
    /// Bytes read, as they lie in S3.
    pub processed_bytes: u64,
    /// Lines read.
    pub processed_items: u64,
    /// Items that are in the table.
    pub imported_items: u64,
}

/// An export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Export {
    /// What is common.
    pub transfer: Transfer,
    /// Of which time the items are, in milliseconds since the epoch.
    pub export_ms: i64,
    /// `S3SseAlgorithm` and `S3SseKmsKeyId`: kept and shown.
    pub encryption: Option<(String, Option<String>)>,
    /// The key of the manifest.
    pub manifest: Option<String>,
    /// Items written.
    pub items: u64,
    /// Their sizes.
    pub bytes: u64,
}

/// A page of imports or exports, the newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Summaries<T> {
    /// They themselves.
    pub all: Vec<T>,
    /// Where more follow.
    pub next: Option<String>,
}

/// The end of an import's or export's ARN: its time and a random number, as AWS's are.
pub(super) fn new_id(now_ms: i64, random: &str) -> String {
    format!("{now_ms:014}-{random}")
}

/// The id that an ARN ends with.
fn id_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}

/// A row's description.
pub(super) fn read<T: DeserializeOwned>(row: &sql::TransferRow) -> Result<T, DynamoError> {
    Ok(serde_json::from_str(&row.description).map_err(millpond_store::StoreError::from)?)
}

/// A description for a row.
pub(super) fn write(description: &impl Serialize) -> Result<String, DynamoError> {
    Ok(serde_json::to_string(description).map_err(millpond_store::StoreError::from)?)
}

impl DynamoDb {
    /// `DescribeImport`.
    pub async fn import(&self, arn: &str) -> Result<Import, DynamoError> {
        let found = self.transfer(TransferKind::Import, arn).await?;
        found.ok_or_else(|| DynamoError::ImportNotFound(arn.to_owned()))
    }

    /// `DescribeExport`.
    pub async fn export(&self, arn: &str) -> Result<Export, DynamoError> {
        let found = self.transfer(TransferKind::Export, arn).await?;
        found.ok_or_else(|| DynamoError::ExportNotFound(arn.to_owned()))
    }

    async fn transfer<T: DeserializeOwned + Send + 'static>(
        &self,
        kind: TransferKind,
        arn: &str,
    ) -> Result<Option<T>, DynamoError> {
        let id = id_of(arn).to_owned();
        let row = self.lake.store.read(move |connection| Ok::<_, DynamoError>(sql::transfer(connection, kind, &id)?));
        row.await?.as_ref().map(read).transpose()
    }

    /// `ListImports`.
    pub async fn imports(
        &self,
        table_arn: Option<&str>,
        limit: Option<usize>,
        next: Option<&str>,
    ) -> Result<Summaries<Import>, DynamoError> {
        self.transfers(TransferKind::Import, table_arn, limit, next).await
    }

    /// `ListExports`.
    pub async fn exports(
        &self,
        table_arn: Option<&str>,
        limit: Option<usize>,
        next: Option<&str>,
    ) -> Result<Summaries<Export>, DynamoError> {
        self.transfers(TransferKind::Export, table_arn, limit, next).await
    }

    async fn transfers<T: DeserializeOwned>(
        &self,
        kind: TransferKind,
        table_arn: Option<&str>,
        limit: Option<usize>,
        next: Option<&str>,
    ) -> Result<Summaries<T>, DynamoError> {
        let table = table_arn.map(|arn| self.name_of(arn)).transpose()?;
        let before = next.map(|next| next.parse::<i64>().map_err(|_| DynamoError::invalid("Invalid NextToken")));
        let (before, limit) = (before.transpose()?.unwrap_or(i64::MAX), limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX));
        let rows = self
            .lake
            .store
            .read(move |connection| Ok::<_, DynamoError>(sql::transfers(connection, kind, table.as_deref(), before, limit + 1)?));
        let mut rows = rows.await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| row.seq.to_string());
        Ok(Summaries { all: rows.iter().map(read).collect::<Result<_, _>>()?, next })
    }
}
