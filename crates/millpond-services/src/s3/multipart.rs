//! CreateMultipartUpload, UploadPart, UploadPartCopy, AbortMultipartUpload, ListParts, ListMultipartUploads. (Completion is in
//! [`super::complete`].)
//!
//! Parts are synced to disk and named in the state like objects: an upload goes on after a restart.

use super::checksum::{Algorithm, ChecksumType};
use super::copy::Source;
use super::get::ByteRange;
use super::ingest::{Ingested, ingest};
use super::put::{DEFAULT_ALGORITHM, check_meta};
use super::sql::{self, Part, Upload};
use super::{Caller, PUT_SIZE_MAX, Payload, S3, S3Error, bucket_of, check_key, ingest::Body};
use crate::lake::objects::{self, ObjectMeta};
use crate::lake::staging::{self, View};
use futures::StreamExt;
use millpond_core::env::EnvExt;

/// Numbers of parts. S3 user guide, "Amazon S3 multipart upload limits".
pub const PART_NUMBER_MAX: u32 = 10_000;

/// Parts or uploads of one page at the most.
pub const PAGE_MAX: usize = 1000;

/// Which upload.
#[derive(Debug, Clone)]
pub struct UploadRef {
    /// Where.
    pub bucket: String,
    /// The object's name.
    pub key: String,
    /// The id that began it.
    pub id: String,
}

/// A page of an upload's parts.
#[derive(Debug, Clone)]
pub struct PartPage {
    /// The upload.
    pub upload: Upload,
    /// By number.
    pub parts: Vec<Part>,
    /// Whether more follow.
    pub truncated: bool,
}

/// What uploads to list.
#[derive(Debug, Clone, Default)]
pub struct ListUploads {
    /// Only keys that begin so.
    pub prefix: String,
    /// Keys that go on after the prefix up to one are answered as one common prefix; empty: none.
    pub delimiter: String,
    /// Only keys that are greater; with an id also this key's uploads of greater ids.
    pub key_marker: String,
    /// See `key_marker`.
    pub id_marker: String,
    /// Uploads and common prefixes together at the most.
    pub limit: usize,
}

/// A page of uploads.
#[derive(Debug, Clone, Default)]
pub struct UploadPage {
    /// By key and then by age.
    pub uploads: Vec<Upload>,
    /// In order.
    pub common_prefixes: Vec<String>,
    /// Where more follow: the markers of the next page.
    pub next: Option<(String, String)>,
}

fn check_number(number: u32) -> Result<(), S3Error> {
    match number {
        1..=PART_NUMBER_MAX => Ok(()),
        _ => Err(S3Error::InvalidArgument(format!("Part number must be an integer between 1 and {PART_NUMBER_MAX}, inclusive"))),
    }
}

impl S3 {
    /// Begins an upload. Without an algorithm the lake computes its default one over the whole object.
    pub async fn create_upload(
        &self,
        caller: &Caller,
        bucket: &str,
        key: &str,
        mut meta: ObjectMeta,
        algorithm: Option<Algorithm>,
        kind: Option<ChecksumType>,
    ) -> Result<Upload, S3Error> {
        check_key(key)?;
        check_meta(&mut meta)?;
        if algorithm.is_none() && kind.is_some() {
            return Err(S3Error::InvalidRequest("x-amz-checksum-type needs x-amz-checksum-algorithm beside it".into()));
        }
        let by_default = algorithm.is_none();
        let algorithm = algorithm.unwrap_or(DEFAULT_ALGORITHM);
        let checksum_type = kind.unwrap_or(algorithm.default_type());
        if !algorithm.allows(checksum_type) {
            let (kind, algorithm) = (checksum_type.name(), algorithm.name().to_lowercase());
            let message = format!("The {kind} checksum type cannot be used with the {algorithm} checksum algorithm.");
            return Err(S3Error::InvalidRequest(message));
        }
        let (bucket, key, run) = (bucket.to_owned(), key.to_owned(), caller.job_run.clone());
        let begun = self.lake.store.write(move |tx| {
            let bucket = bucket_of(tx, &bucket)?;
            let run = View::of(tx, run.as_deref())?.staging()?;
            let id = format!("{:012x}{}", tx.now_ms(), tx.env().random_hex(24));
            let created_ms = tx.now_ms();
            let upload =
                Upload { id, bucket: bucket.id, key, created_ms, meta, algorithm, checksum_type, by_default, done: None };
            sql::insert(tx, &upload, run)?;
            run.map_or(Ok(()), |run| staging::began_upload(tx, run))?;
            Ok(upload)
        });
        begun.await
    }

    async fn open_upload(&self, caller: &Caller, at: &UploadRef) -> Result<Upload, S3Error> {
        let (at, run) = (at.clone(), caller.job_run.clone());
        let found = self.lake.store.read(move |connection| {
            let bucket = bucket_of(connection, &at.bucket)?;
            sql::open(connection, bucket.id, &at.key, &at.id, View::of(connection, run.as_deref())?.staging()?)
        });
        found.await
    }

    /// Takes a part. One of the same number is replaced.
    pub async fn upload_part(&self, caller: &Caller, at: &UploadRef, number: u32, payload: Payload) -> Result<Part, S3Error> {
        check_number(number)?;
        let upload = self.open_upload(caller, at).await?;
        if let Some(given) = payload.checksum.as_ref().filter(|given| !upload.by_default && given.algorithm != upload.algorithm) {
            return Err(S3Error::InvalidRequest(format!(
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                upload.algorithm.name().to_lowercase(),
                given.algorithm.name().to_lowercase()
            )));
        }
        // An upload of the default algorithm takes parts with any checksum; combined they can only be if all are the same.
        let taken = ingest(self.lake.store.blobs(), payload, upload.algorithm, PUT_SIZE_MAX).await?;
        self.name_part(caller, at, number, taken).await
    }

    async fn name_part(&self, caller: &Caller, at: &UploadRef, number: u32, taken: Ingested) -> Result<Part, S3Error> {
        let (at, run) = (at.clone(), caller.job_run.clone());
        let named = self.lake.store.write(move |tx| {
            let bucket = bucket_of(tx, &at.bucket)?;
            let upload = sql::open(tx, bucket.id, &at.key, &at.id, View::of(tx, run.as_deref())?.staging()?)?;
            let Ingested { blob, size, md5, checksum: (algorithm, checksum) } = taken;
            let blob = tx.adopt(&blob)?;
            let part = Part { number, blob, size, md5, algorithm, checksum, modified_ms: tx.now_ms() };
            sql::put_part(tx, &upload.id, &part)?;
            Ok(part)
        });
        named.await
    }

    /// Takes a part from an object: all of it, or a range of its bytes.
    pub async fn upload_part_copy(
        &self,
        caller: &Caller,
        at: &UploadRef,
        number: u32,
        source: Source,
        range: Option<(u64, u64)>,
    ) -> Result<Part, S3Error> {
        check_number(number)?;
        let upload = self.open_upload(caller, at).await?;
        let object = self.object(caller, &source.bucket, &source.key).await?;
        source.conditions.check_source(&object)?;
        let range = match range {
            None => 0..object.size,
            Some((first, last)) if last < object.size => ByteRange::Between(first, last).within(object.size)?,
            Some((first, last)) => {
                return Err(S3Error::InvalidArgument(format!(
                    "Range specified is not valid for source object of size: {} (bytes={first}-{last})",
                    object.size
                )));
            }
        };
        let length = range.end - range.start;
        if length > PUT_SIZE_MAX {
            return Err(S3Error::InvalidRequest(format!(
                "The specified copy source is larger than the maximum allowable size for a copy source: {PUT_SIZE_MAX}"
            )));
        }
        let bytes = self.lake.store.blobs().stream(&object.blob, range).await?;
        let body: Body = Box::pin(bytes.map(|chunk| chunk.map_err(|error| super::BodyError::Incomplete(error.to_string()))));
        let payload = Payload { body, length: Some(length), ..Payload::of("") };
        let taken = ingest(self.lake.store.blobs(), payload, upload.algorithm, PUT_SIZE_MAX).await?;
        self.name_part(caller, at, number, taken).await
    }

    /// Ends an upload and forgets its parts.
    pub async fn abort_upload(&self, caller: &Caller, at: &UploadRef) -> Result<(), S3Error> {
        let (at, run) = (at.clone(), caller.job_run.clone());
        let aborted = self.lake.store.write(move |tx| {
            let bucket = bucket_of(tx, &at.bucket)?;
            let upload = sql::open(tx, bucket.id, &at.key, &at.id, View::of(tx, run.as_deref())?.staging()?)?;
            sql::remove(tx, &upload.id)
        });
        aborted.await
    }

    /// A page of an upload's parts.
    pub async fn list_parts(&self, caller: &Caller, at: &UploadRef, after: u32, limit: usize) -> Result<PartPage, S3Error> {
        let (at, run, limit) = (at.clone(), caller.job_run.clone(), limit.min(PAGE_MAX));
        let listed = self.lake.store.read(move |connection| {
            let bucket = bucket_of(connection, &at.bucket)?;
            let upload = sql::open(connection, bucket.id, &at.key, &at.id, View::of(connection, run.as_deref())?.staging()?)?;
            let mut parts = sql::parts(connection, &upload.id, after, limit + 1)?;
            let truncated = parts.len() > limit;
            parts.truncate(limit);
            Ok(PartPage { upload, parts, truncated })
        });
        listed.await
    }

    /// A page of a bucket's uploads under way.
    pub async fn list_uploads(&self, caller: &Caller, bucket: &str, asked: ListUploads) -> Result<UploadPage, S3Error> {
        let (bucket, run) = (bucket.to_owned(), caller.job_run.clone());
        let listed = self.lake.store.read(move |connection| {
            let bucket = bucket_of(connection, &bucket)?;
            page_of_uploads(connection, bucket.id, View::of(connection, run.as_deref())?.staging()?, &asked)
        });
        listed.await
    }
}

fn page_of_uploads(
    connection: &rusqlite::Connection,
    bucket: i64,
    run: Option<&str>,
    asked: &ListUploads,
) -> Result<UploadPage, S3Error> {
    let limit = asked.limit.min(PAGE_MAX);
    let mut page = UploadPage::default();
    // The least (key, id) that may not be answered any more; ids are shorter than '\u{10FFFF}' is great.
    let (mut key, mut id) = match (asked.key_marker.as_str(), asked.id_marker.as_str()) {
        ("", _) => (String::new(), String::new()),
        (key, "") => (key.to_owned(), AFTER_ALL_IDS.to_owned()),
        (key, id) => (key.to_owned(), id.to_owned()),
    };
    if key < asked.prefix {
        (key, id) = (asked.prefix.clone(), String::new());
    }
    let passed = asked.key_marker.clone();
    while let Some(upload) = sql::next_open(connection, bucket, run, &key, &id)? {
        if !upload.key.starts_with(&asked.prefix) {
            break;
        }
        let common = objects::common_prefix(&upload.key, &asked.prefix, &asked.delimiter);
        let last = match &common {
            // The page before ended with this prefix.
            Some(common) if *common == passed => {
                (key, id) = match objects::after_prefix(common) {
                    Some(next) => (next, String::new()),
                    None => break,
                };
                continue;
            }
            Some(common) => (common.clone(), String::new()),
            None => (upload.key.clone(), upload.id.clone()),
        };
        if page.uploads.len() + page.common_prefixes.len() >= limit {
            let end = page.uploads.last().map(|upload| (upload.key.clone(), upload.id.clone()));
            let end_prefix = page.common_prefixes.last().map(|prefix| (prefix.clone(), String::new()));
            page.next = end.max(end_prefix);
            return Ok(page);
        }
        match common {
            Some(common) => {
                let next = objects::after_prefix(&common);
                page.common_prefixes.push(common);
                match next {
                    Some(next) => (key, id) = (next, String::new()),
                    None => break,
                }
            }
            None => {
                page.uploads.push(upload);
                (key, id) = last;
            }
        }
    }
    Ok(page)
}

/// Greater than every id: those are hexadecimal.
const AFTER_ALL_IDS: &str = "~";
