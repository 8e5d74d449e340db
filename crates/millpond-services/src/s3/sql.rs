//! All SQL about multipart uploads.

use super::S3Error;
use super::checksum::{Algorithm, ChecksumType};
use crate::lake::objects::ObjectMeta;
use millpond_store::blobs::BlobId;
use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

/// How long a completion is remembered. Milliseconds.
const DONE_KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// An upload under way (or completed a while ago).
#[derive(Debug, Clone)]
pub struct Upload {
    /// Opaque; those of one key are in the order in which they began.
    pub id: String,
    /// Of the row.
    pub bucket: i64,
    /// The object's name.
    pub key: String,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// What the object will have.
    pub meta: ObjectMeta,
    /// Of its parts' checksums.
    pub algorithm: Algorithm,
    /// Of the object's checksum.
    pub checksum_type: ChecksumType,
    /// Whether the lake chose the algorithm.
    pub by_default: bool,
    /// How it was completed.
    pub done: Option<Done>,
}

/// How an upload was completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The object's, without quotes.
    pub etag: String,
    /// Numbers and MD5 (hexadecimal) of the parts that were asked for: only the same request is answered again.
    pub asked: String,
}

/// A part of an upload.
#[derive(Debug, Clone)]
pub struct Part {
    /// 1 to 10,000.
    pub number: u32,
    /// Its bytes.
    pub blob: BlobId,
    /// Bytes.
    pub size: u64,
    /// Of its bytes.
    pub md5: [u8; 16],
    /// Of its checksum.
    pub algorithm: Algorithm,
    /// The value's bytes.
    pub checksum: Vec<u8>,
    /// Milliseconds since the epoch.
    pub modified_ms: i64,
}

impl Part {
    /// Without quotes.
    pub fn etag(&self) -> String {
        hex::encode(self.md5)
    }
}

pub(super) fn insert(tx: &Tx<'_>, upload: &Upload, run: Option<&str>) -> Result<(), S3Error> {
    let old = "DELETE FROM upload WHERE done_ms < ?";
    tx.prepare_cached(old)?.execute([tx.now_ms() - DONE_KEPT_MS])?;
    let insert = "INSERT INTO upload (id, bucket, key, created_ms, meta, algorithm, checksum_type, by_default, run)
                  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    tx.prepare_cached(insert)?.execute(params![
        upload.id,
        upload.bucket,
        upload.key,
        upload.created_ms,
        serde_json::to_string(&upload.meta).map_err(StoreError::from)?,
        upload.algorithm.name(),
        upload.checksum_type.name(),
        upload.by_default,
        run,
    ])?;
    Ok(())
}

const UPLOAD: &str = "id, bucket, key, created_ms, meta, algorithm, checksum_type, by_default, done";

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(format!("'{what}' in a multipart upload"))
}

fn algorithm(name: &str) -> Result<Algorithm, StoreError> {
    Algorithm::named(name).ok_or_else(|| corrupt(name))
}

fn upload(row: &Row<'_>) -> Result<Upload, StoreError> {
    let (meta, kind, done): (String, String, Option<String>) = (row.get(4)?, row.get(6)?, row.get(8)?);
    Ok(Upload {
        id: row.get(0)?,
        bucket: row.get(1)?,
        key: row.get(2)?,
        created_ms: row.get(3)?,
        meta: serde_json::from_str(&meta)?,
        algorithm: algorithm(&row.get::<_, String>(5)?)?,
        checksum_type: ChecksumType::named(&kind).ok_or_else(|| corrupt(&kind))?,
        by_default: row.get(7)?,
        done: done.as_deref().map(serde_json::from_str).transpose()?,
    })
}

/// The upload of this id, where it is of this bucket and key, and was begun by this open run or outside of any. Completed ones too.
pub(super) fn get(
    connection: &Connection,
    bucket: i64,
    key: &str,
    id: &str,
    run: Option<&str>,
) -> Result<Option<Upload>, S3Error> {
    let select = format!("SELECT {UPLOAD} FROM upload WHERE id = ? AND bucket = ? AND key = ? AND run IS ?");
    let mut statement = connection.prepare_cached(&select)?;
    let mut rows = statement.query(params![id, bucket, key, run])?;
    Ok(rows.next()?.map(upload).transpose()?)
}

/// The upload of this id, where it is under way.
pub(super) fn open(connection: &Connection, bucket: i64, key: &str, id: &str, run: Option<&str>) -> Result<Upload, S3Error> {
    match get(connection, bucket, key, id, run)? {
        Some(upload) if upload.done.is_none() => Ok(upload),
        _ => Err(S3Error::NoSuchUpload(id.into())),
    }
}

/// Puts a part in the place of one of the same number. Its blob was adopted in the same transaction.
pub(super) fn put_part(tx: &Tx<'_>, upload: &str, part: &Part) -> Result<(), S3Error> {
    let old = "SELECT blob FROM upload_part WHERE upload = ? AND number = ?";
    let old: Option<BlobId> = tx.prepare_cached(old)?.query_row(params![upload, part.number], |row| row.get(0)).optional()?;
    if let Some(old) = old {
        tx.release(&old)?;
    }
    let insert = "INSERT OR REPLACE INTO upload_part (upload, number, blob, size, md5, algorithm, checksum, modified_ms)
                  VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    tx.prepare_cached(insert)?.execute(params![
        upload,
        part.number,
        part.blob,
        part.size as i64,
        part.md5,
        part.algorithm.name(),
        part.checksum,
        part.modified_ms
    ])?;
    Ok(())
}

/// The parts of an upload by number, from the first after `after` on.
pub(super) fn parts(connection: &Connection, upload: &str, after: u32, limit: usize) -> Result<Vec<Part>, S3Error> {
    let select = "SELECT number, blob, size, md5, algorithm, checksum, modified_ms FROM upload_part
                  WHERE upload = ? AND number > ? ORDER BY number LIMIT ?";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query(params![upload, after, limit as i64])?;
    let mut parts = Vec::new();
    while let Some(row) = rows.next()? {
        parts.push(Part {
            number: row.get(0)?,
            blob: row.get(1)?,
            size: row.get::<_, i64>(2)? as u64,
            md5: row.get(3)?,
            algorithm: algorithm(&row.get::<_, String>(4)?)?,
            checksum: row.get(5)?,
            modified_ms: row.get(6)?,
        });
    }
    Ok(parts)
}

/// Forgets the parts of an upload.
pub(super) fn remove_parts(tx: &Tx<'_>, upload: &str) -> Result<(), S3Error> {
    let blobs = {
        let mut statement = tx.prepare_cached("SELECT blob FROM upload_part WHERE upload = ?")?;
        statement.query_map([upload], |row| row.get::<_, BlobId>(0))?.collect::<Result<Vec<_>, _>>()?
    };
    blobs.iter().try_for_each(|blob| tx.release(blob))?;
    tx.prepare_cached("DELETE FROM upload_part WHERE upload = ?")?.execute([upload])?;
    Ok(())
}

/// Forgets an upload.
pub(super) fn remove(tx: &Tx<'_>, upload: &str) -> Result<(), S3Error> {
    remove_parts(tx, upload)?;
    tx.prepare_cached("DELETE FROM upload WHERE id = ?")?.execute([upload])?;
    Ok(())
}

/// Forgets all uploads of a bucket.
pub(super) fn remove_all(tx: &Tx<'_>, bucket: i64) -> Result<(), S3Error> {
    let uploads = {
        let mut statement = tx.prepare_cached("SELECT id FROM upload WHERE bucket = ?")?;
        statement.query_map([bucket], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?
    };
    uploads.iter().try_for_each(|upload| remove(tx, upload))
}

/// Forgets all uploads that a run began.
pub(super) fn remove_of_run(tx: &Tx<'_>, run: &str) -> Result<(), S3Error> {
    let uploads = {
        let mut statement = tx.prepare_cached("SELECT id FROM upload WHERE run = ?")?;
        statement.query_map([run], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?
    };
    uploads.iter().try_for_each(|upload| remove(tx, upload))
}

/// Marks an upload as completed, and forgets its parts.
pub(super) fn finish(tx: &Tx<'_>, upload: &str, done: &Done) -> Result<(), S3Error> {
    remove_parts(tx, upload)?;
    let done = serde_json::to_string(done).map_err(StoreError::from)?;
    tx.prepare_cached("UPDATE upload SET done_ms = ?, done = ? WHERE id = ?")?.execute(params![tx.now_ms(), done, upload])?;
    Ok(())
}

/// The first upload under way of a bucket, begun by this open run or outside of any, whose key is at least `key` and, where the key is the same, whose id is greater than `id`.
pub(super) fn next_open(
    connection: &Connection,
    bucket: i64,
    run: Option<&str>,
    key: &str,
    id: &str,
) -> Result<Option<Upload>, S3Error> {
    let select = format!(
        "SELECT {UPLOAD} FROM upload WHERE bucket = ?1 AND (key, id) > (?2, ?3) AND done_ms IS NULL AND run IS ?4 ORDER BY key, id LIMIT 1"
    );
    let mut statement = connection.prepare_cached(&select)?;
    let mut rows = statement.query(params![bucket, key, id, run])?;
    Ok(rows.next()?.map(upload).transpose()?)
}
