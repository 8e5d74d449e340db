//! Files that a statement wrote, and their names in the lake: what `CREATE TABLE AS`, `INSERT INTO` and `UNLOAD` share.

use super::{Context, ResultFile, RunError};
use crate::athena::model::Statistics;
use crate::lake::objects::{self, Bucket, Cause, ListSpec, NewObject, ObjectMeta};
use md5::{Digest, Md5};
use millpond_core::arn::Place;
use millpond_core::env::{EnvExt, SharedEnv};
use millpond_core::error::ErrorKind;
use millpond_engine::output::{self, Compression, OutputFile, OutputFormat, Target, Written};
use millpond_engine::query::QueryStream;
use millpond_engine::result::ResultColumn;
use millpond_engine::types::TrinoType;
use millpond_store::Tx;
use millpond_store::blobs::BlobId;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A failure by Trino's name of it.
pub(super) fn refused(kind: ErrorKind, name: &str, message: impl std::fmt::Display) -> RunError {
    RunError { kind, message: format!("{name}: {message}") }
}

/// Runs a query to its end and writes its rows; answers what it cost, too.
pub(super) async fn write(cx: &Context<'_>, stream: QueryStream, target: Target) -> Result<(Written, Statistics), RunError> {
    let blobs = cx.athena.lake.store.blobs().clone();
    let new_path = Arc::new(move || blobs.new_location().path());
    let written = output::write(&cx.athena.engine, stream, target, new_path).await?;
    let statistics = Statistics { rows: written.rows, result_bytes: written.bytes, ..cx.cost() };
    Ok((written, statistics))
}

/// The one column of statements that write: how many rows (Athena shows it without rows).
pub(super) fn rows_column() -> Vec<ResultColumn> {
    vec![ResultColumn::new("rows", &TrinoType::BigInt)]
}

/// Whether there is nothing below a location: no object but the folder's own empty one.
///
/// # Errors
/// The bucket is not there.
pub(super) fn is_empty(connection: &Connection, location: &str) -> Result<bool, RunError> {
    let (bucket, prefix) = place(connection, location)?;
    let spec = ListSpec { prefix: prefix.clone(), limit: 2, ..ListSpec::default() };
    let page = objects::list(connection, bucket.id, &spec)?;
    Ok(page.objects.iter().all(|object| object.key == prefix && object.size == 0))
}

/// A location's bucket, and the beginning of keys below it: empty, or with a slash at its end.
///
/// # Errors
/// The bucket is not there.
pub(super) fn place(connection: &Connection, location: &str) -> Result<(Bucket, String), RunError> {
    let (name, prefix) = objects::split_uri(location).unwrap_or_default();
    let bucket = objects::bucket(connection, name)?.ok_or_else(|| {
        let message = format!("the bucket '{name}' of the location {location} does not exist: create it first");
        refused(ErrorKind::Missing, "HIVE_FILESYSTEM_ERROR", message)
    })?;
    let prefix = prefix.trim_end_matches('/');
    Ok((bucket, if prefix.is_empty() { String::new() } else { format!("{prefix}/") }))
}

/// Names for the files of a statement: what they begin with (when, and which execution) and end with.
#[derive(Debug)]
pub(super) struct Names {
    env: SharedEnv,
    beginning: String,
    extension: &'static str,
    content_type: &'static str,
}

/// A file and the name that it gets.
#[derive(Debug)]
pub(super) struct Named {
    bucket: String,
    key: String,
    blob: BlobId,
    bytes: u64,
}

impl Names {
    pub(super) fn new(cx: &Context<'_>, format: &OutputFormat, compression: Compression) -> Self {
        let execution = cx.execution;
        let time: String = millpond_core::env::iso8601(execution.submitted_ms, false)
            .chars()
            .filter_map(|c| match c {
                'T' => Some('_'),
                c if c.is_ascii_digit() => Some(c),
                _ => None,
            })
            .collect();
        let letters: String = execution.id.chars().filter(char::is_ascii_alphanumeric).take(5).collect();
        let (extension, content_type) = match format {
            OutputFormat::Text(_) | OutputFormat::Json(_) => (compression.extension(), "application/octet-stream"),
            OutputFormat::Parquet => ("", "application/vnd.apache.parquet"),
            OutputFormat::Orc | OutputFormat::Avro => ("", "application/octet-stream"),
        };
        let env = cx.athena.lake.store.env().clone();
        Self { env, beginning: format!("{time}_00000_{letters}"), extension, content_type }
    }

    /// Names a file in a folder, which is empty or ends with a slash.
    pub(super) fn name(&self, bucket: &Bucket, folder: &str, file: &OutputFile) -> Result<Named, RunError> {
        let blob: BlobId = file.file.blob.as_ref().parse()?;
        // Readers find a file's bucket in its name.
        let bucketed = file.bucket.map(|bucket| format!("_bucket-{bucket:05}")).unwrap_or_default();
        let key = format!("{folder}{}{bucketed}_{}{}", self.beginning, self.env.uuid(), self.extension);
        Ok(Named { bucket: bucket.name.clone(), key, blob, bytes: file.file.size })
    }
}

/// The list of files beside the result, which is there also where it is empty: clients read it before all else. A URI a line.
pub(super) async fn listing(cx: &Context<'_>, named: &[Named]) -> Result<ResultFile, RunError> {
    let lines: String = named.iter().map(|file| format!("s3://{}/{}\n", file.bucket, file.key)).collect();
    ResultFile::of(cx, "-manifest.csv", lines.into_bytes(), "application/octet-stream").await
}

/// Gives files their names.
pub(super) fn put(tx: &Tx<'_>, lake: &Place, names: &Names, named: &[Named]) -> Result<(), RunError> {
    let cause = Cause { reason: "PutObject", requester: "athena.amazonaws.com".into(), ..Cause::default() };
    let headers = BTreeMap::from([("content-type".to_owned(), names.content_type.to_owned())]);
    let meta = ObjectMeta { headers, ..ObjectMeta::default() };
    let mut bucket: Option<Bucket> = None;
    for file in named {
        if bucket.as_ref().is_none_or(|bucket| bucket.name != file.bucket) {
            bucket = Some(place(tx, &format!("s3://{}/", file.bucket))?.0);
        }
        let Some(bucket) = &bucket else { continue };
        tx.adopt_written(&file.blob)?;
        // Not the MD5 of the bytes, which nobody has computed: like the ETag of a multipart upload, which clients take as opaque.
        let etag = format!("{}-1", hex::encode(Md5::digest(file.blob.as_str())));
        let new = NewObject { key: file.key.clone(), blob: file.blob.clone(), size: file.bytes, etag, meta: meta.clone() };
        objects::put(tx, lake, bucket, new, &cause)?;
    }
    Ok(())
}
