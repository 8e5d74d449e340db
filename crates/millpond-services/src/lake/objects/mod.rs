//! The rows of buckets and objects, and the events that their changes cause.
//!
//! All SQL about them is here. Whoever puts or deletes an object, be it a client or a job's commit, does it through [`put`] and [`delete`], so
//! that no change is without its event, and no bytes are without their count of names.

mod listing;

pub use listing::{FileRow, ListSpec, Listing, after_prefix, common_prefix, list, since, visit_files};
pub(in crate::lake) use listing::{end_of, page};

use super::notify::{self, Notification, What, announce};
use super::{NewEvent, emit};
use millpond_core::arn::Place;
use millpond_engine::table::DataFile;
use millpond_store::blobs::BlobId;
use millpond_store::{Component, StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The tables of this module, and of what waits to be published ([`super::staging`]).
pub const COMPONENT: Component =
    Component { name: "objects", migrations: &[include_str!("schema.sql"), include_str!("../staging/schema.sql")] };

/// A bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// Of the row; never used again.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// Where its creator wanted it.
    pub region: String,
    /// What its owner set.
    pub settings: BucketSettings,
}

/// What a bucket's owner can set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BucketSettings {
    /// In the order given.
    pub tags: Vec<(String, String)>,
    /// Whether changes are sent to EventBridge.
    pub event_bridge: bool,
    /// Notifications to functions, queues and topics.
    pub notifications: Vec<Notification>,
}

impl BucketSettings {
    /// Whether nobody is told of changes.
    pub fn is_quiet(&self) -> bool {
        !self.event_bridge && self.notifications.is_empty()
    }
}

/// What is kept about an object besides its bytes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectMeta {
    /// `Content-Type` and its like, by their lower-case header names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// `x-amz-meta-*`, without the prefix, in lower case.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub user: BTreeMap<String, String>,
    /// Checksums by algorithm (`CRC32`, `SHA256`, …), base64; a composite one ends with `-parts`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub checksums: BTreeMap<String, String>,
    /// `FULL_OBJECT` or `COMPOSITE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum_type: Option<String>,
    /// In the order given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<(String, String)>,
    /// Sizes of the parts of a multipart upload in bytes, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<u64>,
    /// Absent: `STANDARD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
}

/// An object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// UTF-8, 1,024 bytes at the most.
    pub key: String,
    /// When it came to be, in the order of commits.
    pub seq: i64,
    /// Its bytes.
    pub blob: BlobId,
    /// Bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// Milliseconds since the epoch.
    pub modified_ms: i64,
    /// The rest.
    pub meta: ObjectMeta,
}

impl Object {
    /// The object as a file that the engine reads.
    pub fn data_file(&self, bucket: &str) -> DataFile {
        DataFile {
            blob: self.blob.path(),
            uri: format!("s3://{bucket}/{}", self.key),
            size: self.size,
            etag: self.etag.clone(),
            modified_ms: self.modified_ms,
        }
    }
}

/// An object to put. Its blob was adopted in the same transaction: the name counts as that of the object.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// UTF-8, 1,024 bytes at the most.
    pub key: String,
    /// Its bytes.
    pub blob: BlobId,
    /// Bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// The rest.
    pub meta: ObjectMeta,
}

/// Who changed an object, and how: what the event says about it.
#[derive(Debug, Clone, Default)]
pub struct Cause {
    /// `PutObject`, `CopyObject`, `CompleteMultipartUpload`, `POST Object`, `DeleteObject`, `Lifecycle Expiration`; empty for changes of tags.
    pub reason: &'static str,
    /// The account or service that asked.
    pub requester: String,
    /// The caller's address; empty for the lake's own work.
    pub source_ip: String,
    /// The request's id; empty for the lake's own work.
    pub request_id: String,
}

fn bucket_row(row: &Row<'_>) -> rusqlite::Result<(Bucket, String)> {
    let settings: String = row.get(4)?;
    let bucket = Bucket {
        id: row.get(0)?,
        name: row.get(1)?,
        created_ms: row.get(2)?,
        region: row.get(3)?,
        settings: BucketSettings::default(),
    };
    Ok((bucket, settings))
}

fn with_settings((bucket, settings): (Bucket, String)) -> Result<Bucket, StoreError> {
    Ok(Bucket { settings: serde_json::from_str(&settings)?, ..bucket })
}

/// The bucket of this name.
pub fn bucket(connection: &Connection, name: &str) -> Result<Option<Bucket>, StoreError> {
    let select = "SELECT id, name, created_ms, region, settings FROM bucket WHERE name = ?";
    connection.prepare_cached(select)?.query_row([name], bucket_row).optional()?.map(with_settings).transpose()
}

/// All buckets by name, from the first after `after` on.
pub fn buckets(connection: &Connection, after: &str, limit: usize) -> Result<Vec<Bucket>, StoreError> {
    let select = "SELECT id, name, created_ms, region, settings FROM bucket WHERE name > ? ORDER BY name LIMIT ?";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map(params![after, limit as i64], bucket_row)?;
    rows.map(|row| with_settings(row?)).collect()
}

/// Adds a bucket; `None` where the name is taken.
pub fn create_bucket(tx: &Tx<'_>, name: &str, region: &str) -> Result<Option<Bucket>, StoreError> {
    let settings = serde_json::to_string(&BucketSettings::default())?;
    let insert = "INSERT INTO bucket (name, created_ms, region, settings) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
    match tx.prepare_cached(insert)?.execute(params![name, tx.now_ms(), region, settings])? {
        0 => Ok(None),
        _ => bucket(tx, name),
    }
}

/// Changes what a bucket's owner set.
pub fn update_bucket(tx: &Tx<'_>, id: i64, settings: &BucketSettings) -> Result<(), StoreError> {
    let settings = serde_json::to_string(settings)?;
    tx.prepare_cached("UPDATE bucket SET settings = ? WHERE id = ?")?.execute(params![settings, id])?;
    Ok(())
}

/// Removes a bucket; `false` where it still has objects. (Uploads under way are the S3 service's to check.)
pub fn delete_bucket(tx: &Tx<'_>, id: i64) -> Result<bool, StoreError> {
    if tx.prepare_cached("SELECT 1 FROM object WHERE bucket = ? LIMIT 1")?.exists([id])? {
        return Ok(false);
    }
    tx.prepare_cached("DELETE FROM bucket WHERE id = ?")?.execute([id])?;
    Ok(true)
}

/// The columns of an [`Object`].
pub(in crate::lake) const OBJECT: &str = "key, seq, blob, size, etag, modified_ms, meta";

pub(in crate::lake) fn object_row(row: &Row<'_>) -> rusqlite::Result<(Object, String)> {
    let object = Object {
        key: row.get(0)?,
        seq: row.get(1)?,
        blob: row.get(2)?,
        size: row.get::<_, i64>(3)? as u64,
        etag: row.get(4)?,
        modified_ms: row.get(5)?,
        meta: ObjectMeta::default(),
    };
    Ok((object, row.get(6)?))
}

pub(in crate::lake) fn with_meta((object, meta): (Object, String)) -> Result<Object, StoreError> {
    Ok(Object { meta: serde_json::from_str(&meta)?, ..object })
}

/// The object of this key.
pub fn get(connection: &Connection, bucket: i64, key: &str) -> Result<Option<Object>, StoreError> {
    let select = format!("SELECT {OBJECT} FROM object WHERE bucket = ? AND key = ?");
    connection.prepare_cached(&select)?.query_row(params![bucket, key], object_row).optional()?.map(with_meta).transpose()
}

/// Whether there is an object of this key.
pub fn exists(connection: &Connection, bucket: i64, key: &str) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM object WHERE bucket = ? AND key = ?")?.exists(params![bucket, key])?)
}

/// Puts an object in the place of one that may be there, and tells whom the bucket's owner wants to be told.
pub fn put(tx: &Tx<'_>, place: &Place, bucket: &Bucket, new: NewObject, cause: &Cause) -> Result<Object, StoreError> {
    let replaced = remove_row(tx, bucket.id, &new.key)?;
    if let Some(replaced) = replaced {
        tx.release(&replaced.blob)?;
    }
    let NewObject { key, blob, size, etag, meta } = new;
    let object = Object { key, seq: tx.next_seq(), blob, size, etag, modified_ms: tx.now_ms(), meta };
    let insert = "INSERT INTO object (bucket, key, seq, blob, size, etag, modified_ms, meta) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    tx.prepare_cached(insert)?.execute(params![
        bucket.id,
        object.key,
        object.seq,
        object.blob,
        object.size as i64,
        object.etag,
        object.modified_ms,
        serde_json::to_string(&object.meta)?
    ])?;
    if bucket.settings.event_bridge {
        let what = json!({ "key": object.key, "size": object.size, "etag": object.etag, "sequencer": sequencer(object.seq) });
        emit(tx, place, change_event("Object Created", bucket, what, cause, None))?;
    }
    let (event, size, etag) = (notify::created(cause.reason), Some(object.size), Some(object.etag.as_str()));
    announce(tx, bucket, &What { event, key: &object.key, size, etag, seq: Some(object.seq) }, cause)?;
    Ok(object)
}

/// Removes an object, and tells whom the bucket's owner wants to be told. Answers the object that is gone.
pub fn delete(tx: &Tx<'_>, place: &Place, bucket: &Bucket, key: &str, cause: &Cause) -> Result<Option<Object>, StoreError> {
    let Some(object) = remove_row(tx, bucket.id, key)? else { return Ok(None) };
    tx.release(&object.blob)?;
    if !bucket.settings.is_quiet() {
        let seq = tx.next_seq();
        if bucket.settings.event_bridge {
            let what = json!({ "key": key, "etag": object.etag, "sequencer": sequencer(seq) });
            emit(tx, place, change_event("Object Deleted", bucket, what, cause, Some("Permanently Deleted")))?;
        }
        announce(tx, bucket, &What { event: notify::removed(cause.reason), key, seq: Some(seq), ..What::default() }, cause)?;
    }
    Ok(Some(object))
}

/// Replaces the tags of an object, and tells whom the bucket's owner wants to be told; its bytes, ETag and order stay. `None` removes them. `false`:
/// there is no such object.
pub fn set_tags(
    tx: &Tx<'_>,
    place: &Place,
    bucket: &Bucket,
    key: &str,
    tags: Option<Vec<(String, String)>>,
    cause: &Cause,
) -> Result<bool, StoreError> {
    let Some(mut object) = get(tx, bucket.id, key)? else { return Ok(false) };
    let (event, detail_type) = match tags {
        Some(_) => ("ObjectTagging:Put", "Object Tags Added"),
        None => ("ObjectTagging:Delete", "Object Tags Deleted"),
    };
    object.meta.tags = tags.unwrap_or_default();
    let meta = serde_json::to_string(&object.meta)?;
    tx.prepare_cached("UPDATE object SET meta = ? WHERE bucket = ? AND key = ?")?.execute(params![meta, bucket.id, key])?;
    if bucket.settings.event_bridge {
        let what = json!({ "key": key, "etag": object.etag });
        emit(tx, place, change_event(detail_type, bucket, what, cause, None))?;
    }
    announce(tx, bucket, &What { event, key, etag: Some(&object.etag), ..What::default() }, cause)?;
    Ok(true)
}

fn remove_row(tx: &Tx<'_>, bucket: i64, key: &str) -> Result<Option<Object>, StoreError> {
    let delete = format!("DELETE FROM object WHERE bucket = ? AND key = ? RETURNING {OBJECT}");
    tx.prepare_cached(&delete)?.query_row(params![bucket, key], object_row).optional()?.map(with_meta).transpose()
}

/// S3's `sequencer`: of two for the same key, the one that is greater as text came later.
pub fn sequencer(seq: i64) -> String {
    format!("{seq:016X}")
}

/// The events of the S3 user guide, "EventBridge event message structure".
fn change_event(detail_type: &'static str, bucket: &Bucket, object: Value, cause: &Cause, deletion: Option<&str>) -> NewEvent {
    let mut detail = json!({
        "version": "0",
        "bucket": { "name": bucket.name },
        "object": object,
        "request-id": cause.request_id,
        "requester": cause.requester,
        "source-ip-address": cause.source_ip,
    });
    if !cause.reason.is_empty() {
        detail["reason"] = json!(cause.reason);
    }
    if let Some(deletion) = deletion {
        detail["deletion-type"] = json!(deletion);
    }
    NewEvent { source: "aws.s3", detail_type, resources: vec![format!("arn:aws:s3:::{}", bucket.name)], detail }
}

/// Splits `s3://bucket/key` (also `s3a` and `s3n`) into bucket and key; the key may be empty.
pub fn split_uri(uri: &str) -> Option<(&str, &str)> {
    let rest = ["s3://", "s3a://", "s3n://"].iter().find_map(|scheme| uri.strip_prefix(scheme))?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    (!bucket.is_empty()).then_some((bucket, key))
}

/// URIs of objects whose blob has no row, `limit` at the most: for the doctor.
pub fn dangling(connection: &Connection, limit: usize) -> Result<Vec<String>, StoreError> {
    let select = "SELECT bucket.name, object.key FROM object JOIN bucket ON bucket.id = object.bucket
                  WHERE NOT EXISTS (SELECT 1 FROM blob WHERE blob.id = object.blob) LIMIT ?";
    let mut statement = connection.prepare_cached(select)?;
    let uri = |row: &Row<'_>| Ok(format!("s3://{}/{}", row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    Ok(statement.query_map([limit as i64], uri)?.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests;
