//! ExportTableToPointInTime: a table as it is, as files in S3. Developer guide, "DynamoDB data export to Amazon S3: output format".
//!
//! The task takes a snapshot, writes the files' bytes, and names them all in one transaction with the export's end: nobody sees a part of an export. A kill in the middle is another
//! snapshot in the next try.

use super::import::TOKEN_MS;
use super::table::Table;
use super::transfer::{self, Export, Transfer, TransferKind, TransferState, new_id};
use super::{DynamoDb, DynamoError, items_error, sql};
use crate::lake::Lake;
use crate::lake::objects::{self, Cause, NewObject, ObjectMeta};
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use millpond_core::env::{EnvExt, iso8601};
use millpond_store::StoreError;
use millpond_store::blobs::NewBlob;
use millpond_store::task::{NewTask, Task};
use millpond_tables::store::{Limits, Scan, StoreError as ItemsError};
use millpond_tables::value::json::write_item_text;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The kind of an export's task. Its payload is the export's id.
const KIND: &str = "dynamodb.export";

/// A data file ends with the item that makes it so long, before compression.
const FILE_BYTES: usize = 256 * 1024 * 1024;

/// What is compressed at once.
const CHUNK_BYTES: usize = 1024 * 1024;

/// A time this long ago still is now.
const NOW_MS: i64 = 60_000;

/// `ExportTableToPointInTime`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExportRequest {
    /// The table.
    pub table_arn: String,
    /// Milliseconds since the epoch; absent: now.
    pub export_ms: Option<i64>,
    /// `ClientToken`.
    pub token: Option<String>,
    /// Where to.
    pub bucket: String,
    /// As the request has it.
    pub bucket_owner: Option<String>,
    /// What keys are to begin with.
    pub prefix: Option<String>,
    /// Kept and shown.
    pub encryption: Option<(String, Option<String>)>,
    /// `DYNAMODB_JSON` or `ION`.
    pub format: Option<String>,
    /// The name of a parameter that was given and that Millpond does not support.
    pub unsupported: Option<&'static str>,
}

impl DynamoDb {
    /// `ExportTableToPointInTime`.
    pub async fn export_table(&self, request: ExportRequest) -> Result<Export, DynamoError> {
        let name = self.name_of(&request.table_arn)?;
        let table = self.known(&name).ok_or_else(|| DynamoError::TableNotFound(request.table_arn.clone()))?;
        let now_ms = self.now_ms();
        check(&request, &table, now_ms)?;
        let place = &self.lake.place;
        let id = new_id(now_ms, &self.lake.store.env().random_hex(4));
        let ExportRequest { token, bucket, bucket_owner, prefix, encryption, .. } = request;
        let export = Export {
            transfer: Transfer {
                arn: place.arn("dynamodb", format!("table/{name}/export/{id}")).to_string(),
                state: TransferState::InProgress,
                table_name: name,
                table_arn: table.arn.clone(),
                table_id: table.uuid.clone(),
                token: token.clone(),
                bucket,
                bucket_owner,
                prefix: prefix.map(|prefix| prefix.trim_end_matches('/').to_owned()).filter(|prefix| !prefix.is_empty()),
                started_ms: now_ms,
                ended_ms: None,
                failure_code: None,
                failure_message: None,
            },
            export_ms: now_ms,
            encryption,
            manifest: None,
            items: 0,
            bytes: 0,
        };
        let asked = self.lake.store.write(move |tx| {
            if let Some(token) = &token
                && let Some(row) = sql::transfer_of_token(tx, TransferKind::Export, token, tx.now_ms() - TOKEN_MS)?
            {
                let before: Export = transfer::read(&row)?;
                let same = before.transfer.table_arn == export.transfer.table_arn
                    && before.transfer.bucket == export.transfer.bucket
                    && before.transfer.prefix == export.transfer.prefix;
                let text = "An export with this ClientToken was asked for in other words";
                return if same { Ok(before) } else { Err(DynamoError::ExportConflict(text.into())) };
            }
            let (description, table, token) = (transfer::write(&export)?, &export.transfer.table_name, token.as_deref());
            let new = sql::NewTransfer { kind: TransferKind::Export, id: &id, table, token, description: &description };
            sql::insert_transfer(tx, &new)?;
            tx.enqueue(&NewTask::new(KIND, &id))?;
            Ok(export)
        });
        asked.await
    }
}

fn check(request: &ExportRequest, table: &Table, now_ms: i64) -> Result<(), DynamoError> {
    if let Some(parameter) = request.unsupported {
        return Err(DynamoError::parameter(format!("Millpond does not support {parameter}: leave it out")));
    }
    if let Some(format) = request.format.as_deref().filter(|format| *format != "DYNAMODB_JSON") {
        return Err(DynamoError::parameter(format!("Millpond exports DYNAMODB_JSON: ExportFormat {format} is not supported")));
    }
    if table.settings.recoverable_since_ms.is_none() {
        return Err(DynamoError::PitrUnavailable(table.name.clone()));
    }
    match request.export_ms {
        Some(at_ms) if at_ms > now_ms + NOW_MS => Err(DynamoError::InvalidExportTime("ExportTime is in the future".into())),
        Some(at_ms) if at_ms < now_ms - NOW_MS => Err(DynamoError::InvalidExportTime(
            "Millpond exports a table as it is now, and keeps nothing of what it was: leave ExportTime out".into(),
        )),
        Some(_) | None => Ok(()),
    }
}

/// A data file whose bytes are written.
struct DataFile {
    key: String,
    blob: NewBlob,
    md5: [u8; 16],
    items: u64,
}

/// What an export wrote.
struct Written {
    files: Vec<DataFile>,
    items: u64,
    bytes: u64,
    at_ms: i64,
}

/// A data file that is being written.
struct Open<'a> {
    handle: &'a Handle,
    writer: millpond_store::blobs::BlobWriter,
    encoder: GzEncoder<Vec<u8>>,
    md5: Md5,
    items: u64,
    plain: usize,
}

impl<'a> Open<'a> {
    fn new(lake: &Lake, handle: &'a Handle) -> Self {
        let encoder = GzEncoder::new(Vec::new(), Compression::fast());
        Self { handle, writer: lake.store.blobs().writer(), encoder, md5: Md5::new(), items: 0, plain: 0 }
    }

    fn write(&mut self, plain: &[u8]) -> Result<(), String> {
        self.encoder.write_all(plain).map_err(|error| error.to_string())?;
        self.plain += plain.len();
        self.pass()
    }

    /// Passes on what is compressed.
    fn pass(&mut self) -> Result<(), String> {
        let bytes = std::mem::take(self.encoder.get_mut());
        self.md5.update(&bytes);
        self.handle.block_on(self.writer.write(&bytes)).map_err(|error| error.to_string())
    }

    fn finish(mut self, key: String) -> Result<DataFile, String> {
        self.encoder.try_finish().map_err(|error| error.to_string())?;
        self.pass()?;
        let blob = self.handle.block_on(self.writer.finish()).map_err(|error| error.to_string())?;
        Ok(DataFile { key, blob, md5: self.md5.finalize().into(), items: self.items })
    }
}

/// Exports.
#[derive(Debug)]
pub(super) struct ExportHandler {
    pub(super) dynamodb: DynamoDb,
}

impl ExportHandler {
    /// Writes the table's items as files without names yet. Blocks.
    fn write(dynamodb: &DynamoDb, table: &Table, folder: &str, handle: &Handle) -> Result<Written, Failure> {
        let lake = &dynamodb.lake;
        let snapshot = dynamodb.items().snapshot().map_err(|error| Failure::transient(items_error(error)))?;
        let at_ms = lake.store.env().now_ms();
        let name = || format!("{folder}/data/{}.json.gz", lake.store.env().random_hex(16));
        let (mut files, mut open, mut lines) = (Vec::new(), Some(Open::new(lake, handle)), Vec::new());
        let internal = |reason: String| ItemsError::Internal(reason);
        let scan = Scan { table: table.id(), index: None, segment: (0, 1), after: None, limits: Limits::NONE };
        let page = snapshot.scan(&scan, |record| {
            let file = open.get_or_insert_with(|| Open::new(lake, handle));
            lines.extend_from_slice(b"{\"Item\":");
            write_item_text(&record.item()?, &mut lines);
            lines.extend_from_slice(b"}\n");
            file.items += 1;
            if lines.len() >= CHUNK_BYTES {
                file.write(&lines).map_err(internal)?;
                lines.clear();
                if file.plain >= FILE_BYTES
                    && let Some(full) = open.take()
                {
                    files.push(full.finish(name()).map_err(internal)?);
                }
            }
            Ok(ControlFlow::Continue(()))
        });
        let page = page.map_err(|error| Failure::transient(items_error(error)))?;
        if let Some(mut file) = open.filter(|file| file.items > 0 || files.is_empty()) {
            file.write(&lines).map_err(Failure::transient)?;
            files.push(file.finish(name()).map_err(Failure::transient)?);
        }
        Ok(Written { files, items: page.items as u64, bytes: page.bytes as u64, at_ms })
    }

    async fn fail(&self, task: &Task, id: String, mut export: Export, code: &str, text: String) -> Result<(), Failure> {
        export.transfer.state = TransferState::Failed;
        export.transfer.ended_ms = Some(self.dynamodb.now_ms());
        (export.transfer.failure_code, export.transfer.failure_message) = (Some(code.into()), Some(text));
        let task = task.clone();
        let ended = self.dynamodb.lake.store.write(move |tx| {
            sql::update_transfer(tx, &id, &transfer::write(&export)?)?;
            Ok::<_, DynamoError>(tx.finish_task(&task)?)
        });
        ended.await.map_err(Failure::transient)
    }
}

/// The two manifests, each with the digest that lies beside it.
fn manifests(export: &Export, folder: &str, written: &Written) -> Vec<(String, Vec<u8>, &'static str)> {
    let mut files = String::new();
    for file in &written.files {
        let line = json!({
            "itemCount": file.items,
            "md5Checksum": STANDARD.encode(file.md5),
            "etag": hex::encode(file.md5),
            "dataFileS3Key": file.key,
        });
        files.push_str(&line.to_string());
        files.push('\n');
    }
    let (algorithm, key) = export.encryption.clone().unwrap_or(("AES256".into(), None));
    let time = |ms: i64| iso8601(ms, true);
    let summary = json!({
        "version": "2020-06-30",
        "exportArn": export.transfer.arn,
        "startTime": time(export.transfer.started_ms),
        "endTime": time(export.transfer.ended_ms.unwrap_or(export.transfer.started_ms)),
        "tableArn": export.transfer.table_arn,
        "tableId": export.transfer.table_id,
        "exportTime": time(export.export_ms),
        "s3Bucket": export.transfer.bucket,
        "s3Prefix": export.transfer.prefix,
        "s3SseAlgorithm": algorithm,
        "s3SseKmsKeyId": key,
        "manifestFilesS3Key": format!("{folder}/manifest-files.json"),
        "billedSizeBytes": export.bytes,
        "itemCount": export.items,
        "outputFormat": "DYNAMODB_JSON",
        "exportType": "FULL_EXPORT",
    });
    let digest = |bytes: &[u8]| STANDARD.encode(Md5::digest(bytes)).into_bytes();
    let (files, summary) = (files.into_bytes(), summary.to_string().into_bytes());
    vec![
        (format!("{folder}/_started"), Vec::new(), "application/octet-stream"),
        (format!("{folder}/manifest-files.md5"), digest(&files), "text/plain"),
        (format!("{folder}/manifest-files.json"), files, "application/json"),
        (format!("{folder}/manifest-summary.md5"), digest(&summary), "text/plain"),
        (format!("{folder}/manifest-summary.json"), summary, "application/json"),
    ]
}

/// An object to be named: its key, bytes, digest and content type.
type Named = (String, NewBlob, [u8; 16], &'static str);

#[async_trait]
impl Handler for ExportHandler {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let id: String = serde_json::from_value(task.payload.clone()).map_err(Failure::lasting)?;
        let looked = id.clone();
        let (row, bucket) = lake
            .store
            .read(move |connection| {
                let row = sql::transfer(connection, TransferKind::Export, &looked)?;
                let export: Option<Export> = row.as_ref().and_then(|row| transfer::read(row).ok());
                let bucket = export.as_ref().map(|export| objects::bucket(connection, &export.transfer.bucket)).transpose()?;
                Ok::<_, StoreError>((export, bucket.flatten()))
            })
            .await?;
        let mut export = row.ok_or_else(|| Failure::lasting(format!("there is no export {id}")))?;
        let known = self.dynamodb.known(&export.transfer.table_name);
        let Some(table) = known.filter(|table| table.uuid == export.transfer.table_id) else {
            return self.fail(task, id, export, "TableNotFoundException", "The table was deleted".into()).await;
        };
        if bucket.is_none() {
            let text = format!("The specified bucket does not exist: {}", export.transfer.bucket);
            return self.fail(task, id, export, "S3NoSuchBucket", text).await;
        }
        let prefix = export.transfer.prefix.as_ref().map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let folder = format!("{prefix}AWSDynamoDB/{id}");
        let (dynamodb, handle, below) = (self.dynamodb.clone(), Handle::current(), folder.clone());
        let written = tokio::task::spawn_blocking(move || Self::write(&dynamodb, &table, &below, &handle)).await;
        let written = written.unwrap_or_else(|_| Err(Failure::lasting("an internal fault ended the export")))?;
        export.transfer.state = TransferState::Completed;
        export.transfer.ended_ms = Some(lake.store.env().now_ms());
        (export.items, export.bytes, export.export_ms) = (written.items, written.bytes, written.at_ms);
        export.manifest = Some(format!("{folder}/manifest-summary.json"));
        let small = manifests(&export, &folder, &written).into_iter().map(|(key, bytes, content)| {
            let digest: [u8; 16] = Md5::digest(&bytes).into();
            (key, NewBlob::Inline(bytes.into()), digest, content)
        });
        let data = written.files.into_iter().map(|file| (file.key, file.blob, file.md5, "application/octet-stream"));
        let named: Vec<Named> = data.chain(small).collect();
        self.publish(lake, task, id, export, named).await
    }

    async fn buried(&self, lake: &Lake, task: &Task, reason: &str) {
        let Ok(id) = serde_json::from_value::<String>(task.payload.clone()) else { return };
        let reason = reason.to_owned();
        let ended = lake.store.write(move |tx| {
            let Some(row) = sql::transfer(tx, TransferKind::Export, &id)? else { return Ok(()) };
            let mut export: Export = transfer::read(&row)?;
            export.transfer.state = TransferState::Failed;
            export.transfer.ended_ms = Some(tx.now_ms());
            export.transfer.failure_code = Some("InternalServerError".into());
            export.transfer.failure_message = Some(reason);
            Ok::<_, DynamoError>(sql::update_transfer(tx, &id, &transfer::write(&export)?)?)
        });
        if let Err(error) = ended.await {
            tracing::error!(%error, "the end of an export could not be recorded");
        }
    }
}

impl ExportHandler {
    /// Names all files in one transaction with the export's end.
    async fn publish(&self, lake: &Lake, task: &Task, id: String, export: Export, named: Vec<Named>) -> Result<(), Failure> {
        let (task, place, bucket) = (task.clone(), lake.place.clone(), export.transfer.bucket.clone());
        let owner = Arc::<str>::from("dynamodb.amazonaws.com");
        let ended = lake.store.write(move |tx| {
            let bucket = objects::bucket(tx, &bucket)?
                .ok_or_else(|| DynamoError::invalid(format!("The bucket {bucket} was deleted during the export")))?;
            let cause = Cause { reason: "PutObject", requester: owner.to_string(), ..Cause::default() };
            for (key, blob, digest, content) in named {
                let size = blob.size();
                let headers = BTreeMap::from([("content-type".to_owned(), content.to_owned())]);
                let (blob, etag) = (tx.adopt(&blob)?, hex::encode(digest));
                let meta = ObjectMeta { headers, ..ObjectMeta::default() };
                objects::put(tx, &place, &bucket, NewObject { key, blob, size, etag, meta }, &cause)?;
            }
            sql::update_transfer(tx, &id, &transfer::write(&export)?)?;
            Ok::<_, DynamoError>(tx.finish_task(&task)?)
        });
        ended.await.map_err(Failure::transient)
    }
}
