//! The rows of buckets and objects, and the events that their changes cause.
//!
//! All SQL about them is here. Whoever puts or deletes an object, be it a client or a job's commit, does it through [`put`] and [`delete`], so
//! that no change is without its event, and no bytes are without their count of names.

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
use std::ops::ControlFlow;

/// The tables of this module.
pub const COMPONENT: Component = Component { name: "objects", migrations: &[include_str!("objects.sql")] };

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

const OBJECT: &str = "key, seq, blob, size, etag, modified_ms, meta";

fn object_row(row: &Row<'_>) -> rusqlite::Result<(Object, String)> {
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

fn with_meta((object, meta): (Object, String)) -> Result<Object, StoreError> {
    Ok(Object { meta: serde_json::from_str(&meta)?, ..object })
}

/// The object of this key.
pub fn get(connection: &Connection, bucket: i64, key: &str) -> Result<Option<Object>, StoreError> {
    let select = format!("SELECT {OBJECT} FROM object WHERE bucket = ? AND key = ?");
    connection.prepare_cached(&select)?.query_row(params![bucket, key], object_row).optional()?.map(with_meta).transpose()
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

/// The first text that is greater than every text that begins with `prefix`; `None` where there is none.
pub fn after_prefix(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            other => char::from_u32(other as u32 + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListSpec {
    /// Only keys that begin so.
    pub prefix: String,
    /// Keys that go on after the prefix up to one are answered as one common prefix; empty: none.
    pub delimiter: String,
    /// Only keys (and common prefixes) that are greater.
    pub after: String,
    /// Keys and common prefixes together at the most.
    pub limit: usize,
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// By key.
    pub objects: Vec<Object>,
    /// In order.
    pub common_prefixes: Vec<String>,
    /// Where more follows: what to give as `after` for the next page.
    pub next: Option<String>,
}

/// Lists a bucket in the order of keys' UTF-8 bytes. A common prefix costs one look-up, however many keys it stands for.
pub fn list(connection: &Connection, bucket: i64, spec: &ListSpec) -> Result<Listing, StoreError> {
    let end = after_prefix(&spec.prefix);
    let select = format!("SELECT {OBJECT} FROM object WHERE bucket = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3) ORDER BY key");
    let mut statement = connection.prepare_cached(&select)?;
    let mut listing = Listing::default();
    let mut from = start_of(spec);
    let mut last = String::new();
    'seek: loop {
        let mut rows = statement.query(params![bucket, from, end])?;
        while let Some(row) = rows.next()? {
            let full = listing.objects.len() + listing.common_prefixes.len() >= spec.limit;
            if full {
                listing.next = (spec.limit > 0).then_some(last);
                return Ok(listing);
            }
            let object = with_meta(object_row(row)?)?;
            if let Some(common) = common_prefix(&object.key, &spec.prefix, &spec.delimiter) {
                last.clone_from(&common);
                let next = after_prefix(&common);
                listing.common_prefixes.push(common);
                match next {
                    Some(next) => from = next,
                    None => return Ok(listing),
                }
                continue 'seek;
            }
            last.clone_from(&object.key);
            listing.objects.push(object);
        }
        return Ok(listing);
    }
}

/// The part of `key` up to and including the first delimiter after `prefix`, with which it must begin; `None` where there is none.
pub fn common_prefix(key: &str, prefix: &str, delimiter: &str) -> Option<String> {
    if delimiter.is_empty() {
        return None;
    }
    let rest = key.strip_prefix(prefix)?;
    rest.find(delimiter).map(|at| key[..prefix.len() + at + delimiter.len()].to_owned())
}

/// The least key that may be answered: after the common prefix, where the last page ended with one.
fn start_of(spec: &ListSpec) -> String {
    if spec.after.is_empty() || spec.after < spec.prefix {
        return spec.prefix.clone();
    }
    let is_common = common_prefix(&spec.after, &spec.prefix, &spec.delimiter).as_ref() == Some(&spec.after);
    match is_common.then(|| after_prefix(&spec.after)).flatten() {
        Some(next) => next,
        None => format!("{}\0", spec.after),
    }
}

/// The objects below `prefix` that came after `after_seq`, up to and including `until_seq`, in the order in which they came.
pub fn since(
    connection: &Connection,
    bucket: i64,
    prefix: &str,
    after_seq: i64,
    until_seq: i64,
    limit: usize,
) -> Result<Vec<Object>, StoreError> {
    let select = format!(
        "SELECT {OBJECT} FROM object WHERE bucket = ?1 AND seq > ?2 AND seq <= ?3 AND key >= ?4 AND (?5 IS NULL OR key < ?5)
         ORDER BY seq LIMIT ?6"
    );
    let mut statement = connection.prepare_cached(&select)?;
    let values = params![bucket, after_seq, until_seq, prefix, after_prefix(prefix), limit as i64];
    let rows = statement.query_map(values, object_row)?;
    rows.map(|row| with_meta(row?)).collect()
}

/// What a reader of data needs of an object.
#[derive(Debug)]
pub struct FileRow<'a> {
    /// Its key.
    pub key: &'a str,
    /// Bytes.
    pub size: u64,
    row: &'a Row<'a>,
}

impl FileRow<'_> {
    /// The object as a file that the engine reads.
    pub fn data_file(&self, bucket: &str) -> Result<DataFile, StoreError> {
        let blob: BlobId = self.row.get(2)?;
        Ok(DataFile {
            blob: blob.path(),
            uri: format!("s3://{bucket}/{}", self.key),
            size: self.size,
            etag: self.row.get(3)?,
            modified_ms: self.row.get(4)?,
        })
    }
}

/// Calls `each` with the objects of a bucket from the key `from` on, in the order of keys, until it breaks off. Nothing is held in memory.
pub fn visit_files<E: From<StoreError>>(
    connection: &Connection,
    bucket: i64,
    from: &str,
    mut each: impl FnMut(&FileRow<'_>) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    let select = "SELECT key, size, blob, etag, modified_ms FROM object WHERE bucket = ? AND key >= ? ORDER BY key";
    let mut statement = connection.prepare_cached(select).map_err(StoreError::from)?;
    let mut rows = statement.query(params![bucket, from]).map_err(StoreError::from)?;
    while let Some(row) = rows.next().map_err(StoreError::from)? {
        let key = row.get_ref(0).and_then(|key| key.as_str().map_err(Into::into)).map_err(StoreError::from)?;
        let size = row.get::<_, i64>(1).map_err(StoreError::from)? as u64;
        if each(&FileRow { key, size, row })?.is_break() {
            break;
        }
    }
    Ok(())
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
mod tests {
    use super::*;
    use millpond_core::env::SystemEnv;
    use millpond_store::Store;
    use millpond_store::blobs::NewBlob;
    use std::sync::Arc;

    async fn filled(keys: &'static [&'static str]) -> (tempfile::TempDir, Store, Bucket) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &[COMPONENT], Arc::new(SystemEnv)).unwrap();
        let bucket = store.write(|tx| create_bucket(tx, "raw", "us-east-1")).await.unwrap().unwrap();
        let to = bucket.clone();
        let written = store.write(move |tx| {
            for key in keys {
                put_one(tx, &to, key)?;
            }
            Ok::<_, StoreError>(())
        });
        written.await.unwrap();
        (directory, store, bucket)
    }

    fn put_one(tx: &Tx<'_>, bucket: &Bucket, key: &str) -> Result<Object, StoreError> {
        let blob = tx.adopt(&NewBlob::Inline(b"x".as_slice().into()))?;
        let new = NewObject { key: key.into(), blob, size: 1, etag: "e".into(), meta: ObjectMeta::default() };
        put(tx, &Place::default(), bucket, new, &Cause { reason: "PutObject", ..Cause::default() })
    }

    #[tokio::test]
    async fn pages_of_a_listing_together_hold_each_key_and_prefix_once() {
        let keys = &["a", "a/1", "a/2", "b//x", "b/1", "c", "d/\u{10FFFF}", "e/\u{D7FF}z", "é"];
        let (_directory, store, bucket) = filled(keys).await;
        let whole = ["a", "a/", "b/", "c", "d/", "e/", "é"];
        for limit in 1..8 {
            let (mut seen, mut after) = (Vec::new(), String::new());
            loop {
                let spec = ListSpec { delimiter: "/".into(), after: after.clone(), limit, ..ListSpec::default() };
                let page = store.read(move |c| list(c, bucket.id, &spec)).await.unwrap();
                seen.extend(page.objects.into_iter().map(|object| object.key).chain(page.common_prefixes));
                match page.next {
                    Some(next) => after = next,
                    None => break,
                }
            }
            seen.sort();
            assert_eq!(seen, whole, "pages of {limit}");
        }
    }

    #[tokio::test]
    async fn a_listing_keeps_to_its_prefix() {
        let (_directory, store, bucket) = filled(&["a", "b/1", "b/2/3", "b0", "c"]).await;
        for (prefix, delimiter, expected) in
            [("b/", "", "b/1 b/2/3"), ("b/", "/", "b/1 b/2/"), ("b", "/", "b0 b/"), ("x", "", "")]
        {
            let spec = ListSpec { prefix: prefix.into(), delimiter: delimiter.into(), limit: 10, ..ListSpec::default() };
            let page = store.read(move |c| list(c, bucket.id, &spec)).await.unwrap();
            let names: Vec<_> = page.objects.into_iter().map(|object| object.key).chain(page.common_prefixes).collect();
            assert_eq!(names.join(" "), expected, "{prefix} {delimiter}");
            assert_eq!(page.next, None);
        }
    }

    #[tokio::test]
    async fn what_came_since_a_change_is_found_and_an_overwritten_key_counts_again() {
        let (_directory, store, bucket) = filled(&["f/1", "f/2", "g/1"]).await;
        let at = store.read(millpond_store::committed_seq).await.unwrap();
        let to = bucket.clone();
        store.write(move |tx| put_one(tx, &to, "f/1")).await.unwrap();
        let new = store.read(move |c| since(c, bucket.id, "f/", at, i64::MAX, 10)).await.unwrap();
        assert_eq!(new.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["f/1"]);
    }

    #[tokio::test]
    async fn changes_cause_events_where_the_bucket_wants_them() {
        let (_directory, store, mut bucket) = filled(&["quiet"]).await;
        bucket.settings.event_bridge = true;
        let changed = store.write(move |tx| {
            put_one(tx, &bucket, "loud")?;
            delete(tx, &Place::default(), &bucket, "loud", &Cause { reason: "DeleteObject", ..Cause::default() })?;
            tx.outbox(10)
        });
        let events = changed.await.unwrap();
        let kinds: Vec<_> = events.iter().map(|row| row.event.detail_type.as_str()).collect();
        assert_eq!(kinds, ["Object Created", "Object Deleted"]);
        assert_eq!(events[0].event.detail["object"]["key"], "loud");
        assert!(events[0].event.detail["object"]["sequencer"].as_str() < events[1].event.detail["object"]["sequencer"].as_str());
    }
}
