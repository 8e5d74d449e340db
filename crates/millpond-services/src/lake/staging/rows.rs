//! The SQL of staged changes.

use super::{OpenRun, Published, StagingError};
use crate::lake::objects::{Bucket, Cause, NewObject, OBJECT, Object, ObjectMeta, end_of, object_row, with_meta};
use millpond_store::blobs::BlobId;
use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};

const PUT: i64 = 0;
const DELETE: i64 = 1;
const TAGS: i64 = 2;

/// Tags to set, or none where they are to be removed.
pub(super) type NewTags = Option<Vec<(String, String)>>;

/// What a run did to a key.
#[derive(Debug)]
pub(super) enum Kind {
    Put { blob: BlobId, size: u64, etag: String, meta: ObjectMeta },
    Delete,
    Tags(NewTags),
}

/// A change that waits.
#[derive(Debug)]
pub(super) struct Staged {
    pub bucket: i64,
    pub key: String,
    pub seq: i64,
    pub modified_ms: i64,
    pub kind: Kind,
    pub base: Option<String>,
    pub cause: Cause,
}

impl Staged {
    /// The object that it puts.
    pub(super) fn object(self) -> Option<Object> {
        let Self { key, seq, modified_ms, kind, .. } = self;
        match kind {
            Kind::Put { blob, size, etag, meta } => Some(Object { key, seq, blob, size, etag, modified_ms, meta }),
            Kind::Delete | Kind::Tags(_) => None,
        }
    }
}

/// When the run ended: `None` where it was never opened, `Some(None)` where it is open.
pub(super) fn ended(connection: &Connection, run: &str) -> Result<Option<Option<i64>>, StoreError> {
    let select = "SELECT ended_ms FROM staged_run WHERE run = ?";
    Ok(connection.prepare_cached(select)?.query_row([run], |row| row.get(0)).optional()?)
}

/// How many changes wait.
pub(super) fn changes(connection: &Connection, run: &str) -> Result<i64, StoreError> {
    let select = "SELECT changes FROM staged_run WHERE run = ? AND ended_ms IS NULL";
    Ok(connection.prepare_cached(select)?.query_row([run], |row| row.get(0)).optional()?.unwrap_or(0))
}

pub(super) fn open(tx: &Tx<'_>, run: &str, job: &str, log_group: &str) -> Result<(), StoreError> {
    let insert = "INSERT INTO staged_run (run, job, log_group, opened_ms) VALUES (?1, ?2, ?3, ?4)
                  ON CONFLICT DO UPDATE SET job = ?2, log_group = ?3, opened_ms = ?4, ended_ms = NULL, changes = 0";
    tx.prepare_cached(insert)?.execute(params![run, job, log_group, tx.now_ms()])?;
    Ok(())
}

/// Where the log stream of a run that is open lies.
pub(super) fn log_group(connection: &Connection, run: &str) -> Result<Option<String>, StoreError> {
    let select = "SELECT log_group FROM staged_run WHERE run = ? AND ended_ms IS NULL";
    Ok(connection.prepare_cached(select)?.query_row([run], |row| row.get(0)).optional()?)
}

/// Whether something waits to be published.
pub(super) fn waits(connection: &Connection, run: &str) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM staged WHERE run = ? AND held = 0 LIMIT 1")?.exists([run])?)
}

/// Keeps the objects that a run has put, or will put, below a prefix from being published.
pub(super) fn hold(tx: &Tx<'_>, run: &str, bucket: i64, prefix: &str) -> Result<(), StoreError> {
    let update = format!("UPDATE staged SET held = 1 WHERE run = ? AND bucket = ? AND key >= ? AND key < ? AND kind = {PUT}");
    tx.prepare_cached(&update)?.execute(params![run, bucket, prefix, end_of(prefix)])?;
    let insert = "INSERT OR IGNORE INTO staged_hold (run, bucket, prefix, until) VALUES (?, ?, ?, ?)";
    tx.prepare_cached(insert)?.execute(params![run, bucket, prefix, end_of(prefix)])?;
    Ok(())
}

/// Marks a run as ended; answers whether it has begun uploads.
pub(super) fn end(tx: &Tx<'_>, run: &str) -> Result<bool, StoreError> {
    let update = "UPDATE staged_run SET ended_ms = ? WHERE run = ? AND ended_ms IS NULL RETURNING uploads";
    Ok(tx.prepare_cached(update)?.query_row(params![tx.now_ms(), run], |row| row.get(0)).optional()?.unwrap_or(false))
}

pub(super) fn forget_ended(tx: &Tx<'_>, before_ms: i64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM staged_run WHERE ended_ms < ?")?.execute([before_ms])?;
    Ok(())
}

pub(super) fn open_runs(connection: &Connection) -> Result<Vec<OpenRun>, StoreError> {
    let select = "SELECT run, job, opened_ms FROM staged_run WHERE ended_ms IS NULL ORDER BY opened_ms, run";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map([], |row| Ok(OpenRun { run: row.get(0)?, job: row.get(1)?, opened_ms: row.get(2)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn began_upload(tx: &Tx<'_>, run: &str) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE staged_run SET uploads = 1 WHERE run = ?")?.execute([run])?;
    Ok(())
}

const STAGED: &str =
    "bucket, key, seq, modified_ms, kind, blob, size, etag, meta, base, reason, requester, source_ip, request_id";

fn staged(row: &Row<'_>) -> Result<Staged, StoreError> {
    let (kind, meta): (i64, String) = (row.get(4)?, row.get(8)?);
    let reason: String = row.get(10)?;
    let kind = match kind {
        PUT => Kind::Put {
            blob: row.get(5)?,
            size: row.get::<_, i64>(6)? as u64,
            etag: row.get(7)?,
            meta: serde_json::from_str(&meta)?,
        },
        DELETE => Kind::Delete,
        TAGS => Kind::Tags(serde_json::from_str(&meta)?),
        other => return Err(StoreError::Corrupt(format!("a staged change is of the kind {other}"))),
    };
    Ok(Staged {
        bucket: row.get(0)?,
        key: row.get(1)?,
        seq: row.get(2)?,
        modified_ms: row.get(3)?,
        kind,
        base: row.get(9)?,
        cause: Cause { reason: known(&reason), requester: row.get(11)?, source_ip: row.get(12)?, request_id: row.get(13)? },
    })
}

/// The reasons that [`Cause`] has.
fn known(reason: &str) -> &'static str {
    let reasons = ["PutObject", "CopyObject", "CompleteMultipartUpload", "POST Object", "DeleteObject"];
    reasons.into_iter().find(|known| *known == reason).unwrap_or_default()
}

/// The change of a key that waits.
pub(super) fn get(connection: &Connection, run: &str, bucket: i64, key: &str) -> Result<Option<Staged>, StoreError> {
    let select = format!("SELECT {STAGED} FROM staged WHERE run = ? AND bucket = ? AND key = ?");
    let mut statement = connection.prepare_cached(&select)?;
    let mut rows = statement.query(params![run, bucket, key])?;
    rows.next()?.map(staged).transpose()
}

/// Calls `each` with all changes of a run that are to be published, in their order. It must not change them.
pub(super) fn each(tx: &Tx<'_>, run: &str, mut each: impl FnMut(Staged) -> Result<(), StagingError>) -> Result<(), StagingError> {
    let mut statement = tx.prepare_cached(&format!("SELECT {STAGED} FROM staged WHERE run = ? AND held = 0 ORDER BY seq"))?;
    let mut rows = statement.query([run])?;
    while let Some(row) = rows.next()? {
        each(staged(row)?)?;
    }
    Ok(())
}

/// The bucket and key of a change to be published whose object is not as the change's condition found it.
pub(super) fn conflict(connection: &Connection, run: &str) -> Result<Option<(String, String)>, StoreError> {
    let select =
        "SELECT bucket_name, staged.key FROM staged LEFT JOIN object ON object.bucket = staged.bucket AND object.key = staged.key
                  WHERE run = ? AND held = 0 AND base IS NOT NULL AND base <> coalesce(object.etag, '') LIMIT 1";
    Ok(connection.prepare_cached(select)?.query_row([run], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// Publishes the objects that a run has put into and deleted from a bucket whose changes nobody is told, in the order of the changes, and forgets them.
pub(super) fn publish_objects(tx: &Tx<'_>, run: &str, bucket: i64, published: &mut Published) -> Result<(), StoreError> {
    let of = format!("run = ?1 AND staged.bucket = ?2 AND held = 0 AND kind <> {TAGS}");
    let select = format!(
        "SELECT object.blob, kind FROM staged CROSS JOIN object ON object.bucket = ?2 AND object.key = staged.key WHERE {of}"
    );
    let mut statement = tx.prepare_cached(&select)?;
    let mut gone = statement.query(params![run, bucket])?;
    let mut is_any_gone = false;
    while let Some(row) = gone.next()? {
        is_any_gone = true;
        tx.release(&row.get(0)?)?;
        published.deletes += u64::from(row.get::<_, i64>(1)? == DELETE);
    }
    drop(gone);
    if is_any_gone {
        let delete = format!("DELETE FROM object WHERE bucket = ?2 AND key IN (SELECT key FROM staged WHERE {of})");
        tx.prepare_cached(&delete)?.execute(params![run, bucket])?;
    }
    let insert = format!(
        "INSERT INTO object (bucket, key, seq, blob, size, etag, modified_ms, meta)
         SELECT bucket, key, ?3 + row_number() OVER (ORDER BY seq), blob, size, etag, ?4, meta FROM staged INDEXED BY staged_order
         WHERE {of} AND kind = {PUT} ORDER BY seq"
    );
    let sum = format!("SELECT coalesce(sum(size), 0) FROM staged WHERE {of} AND kind = {PUT}");
    published.bytes += tx.prepare_cached(&sum)?.query_row(params![run, bucket], |row| row.get::<_, i64>(0))? as u64;
    let put = tx.prepare_cached(&insert)?.execute(params![run, bucket, tx.last_seq(), tx.now_ms()])?;
    for _ in 0..put {
        tx.next_seq();
    }
    published.puts += put as u64;
    let removed = tx.prepare_cached(&format!("DELETE FROM staged WHERE {of}"))?.execute(params![run, bucket])?;
    fewer(tx, run, removed)
}

/// Ids and names of the buckets that a run has changed.
pub(super) fn buckets(connection: &Connection, run: &str) -> Result<Vec<(i64, String)>, StoreError> {
    let mut found = Vec::new();
    let mut statement = connection
        .prepare_cached("SELECT bucket, bucket_name FROM staged WHERE run = ? AND bucket > ? ORDER BY bucket LIMIT 1")?;
    let mut after = i64::MIN;
    while let Some(next) = statement.query_row(params![run, after], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?))).optional()? {
        after = next.0;
        found.push(next);
    }
    Ok(found)
}

/// The blobs of all objects that a run has put, one for each name.
pub(super) fn blobs(connection: &Connection, run: &str) -> Result<Vec<BlobId>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT blob FROM staged WHERE run = ? AND blob IS NOT NULL")?;
    let rows = statement.query_map([run], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The objects that a run has put below a prefix, by key.
pub(super) fn below(connection: &Connection, run: &str, bucket: i64, prefix: &str) -> Result<Vec<Object>, StoreError> {
    let select = format!(
        "SELECT {OBJECT} FROM staged WHERE run = ? AND bucket = ? AND key >= ? AND key < ? AND kind = {PUT} ORDER BY key"
    );
    let mut statement = connection.prepare_cached(&select)?;
    let rows = statement.query_map(params![run, bucket, prefix, end_of(prefix)], object_row)?;
    rows.map(|row| with_meta(row?)).collect()
}

/// The listing of a bucket as a run sees it; parameters as [`crate::lake::objects::page`] wants them, and the run.
pub(super) fn listing() -> String {
    format!(
        "SELECT {OBJECT} FROM object AS published WHERE bucket = ?1 AND key >= ?2 AND key < ?3 AND NOT EXISTS
             (SELECT 1 FROM staged WHERE run = ?4 AND bucket = ?1 AND staged.key = published.key AND kind < {TAGS})
         UNION ALL
         SELECT {OBJECT} FROM staged WHERE run = ?4 AND bucket = ?1 AND key >= ?2 AND key < ?3 AND kind = {PUT}
         ORDER BY key"
    )
}

/// Puts a change in the place of one of its key, whose blob was given up before; `known` says whether there is one.
pub(super) fn put(tx: &Tx<'_>, run: &str, bucket: &Bucket, change: &Change<'_>, known: bool) -> Result<i64, StoreError> {
    let seq = tx.next_seq();
    let (kind, blob, size, etag, meta) = match &change.what {
        What::Put(new) => (PUT, Some(&new.blob), new.size, new.etag.as_str(), serde_json::to_string(&new.meta)?),
        What::Delete => (DELETE, None, 0, "", "{}".to_owned()),
        What::Tags(tags) => (TAGS, None, 0, "", serde_json::to_string(tags)?),
    };
    let cause = change.cause;
    let insert = format!(
        "INSERT OR REPLACE INTO staged (run, bucket, key, kind, seq, blob, size, etag, modified_ms, meta, bucket_name, base, reason,
         requester, source_ip, request_id, held) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?4 = {PUT} AND EXISTS
         (SELECT 1 FROM staged_hold WHERE run = ?1 AND bucket = ?2 AND prefix <= ?3 AND until > ?3))"
    );
    tx.prepare_cached(&insert)?.execute(params![
        run,
        bucket.id,
        change.key,
        kind,
        seq,
        blob,
        size as i64,
        etag,
        tx.now_ms(),
        meta,
        bucket.name,
        change.base,
        cause.reason,
        cause.requester,
        cause.source_ip,
        cause.request_id
    ])?;
    if !known {
        tx.prepare_cached("UPDATE staged_run SET changes = changes + 1 WHERE run = ?")?.execute([run])?;
    }
    Ok(seq)
}

/// A change to stage.
pub(super) struct Change<'a> {
    pub key: &'a str,
    pub what: What<'a>,
    pub base: Option<String>,
    pub cause: &'a Cause,
}

/// What is to be done to a key.
pub(super) enum What<'a> {
    Put(&'a NewObject),
    Delete,
    Tags(&'a NewTags),
}

/// Changes the tags of an object that waits itself.
pub(super) fn set_meta(tx: &Tx<'_>, run: &str, bucket: i64, key: &str, meta: &ObjectMeta) -> Result<(), StoreError> {
    let update = "UPDATE staged SET meta = ? WHERE run = ? AND bucket = ? AND key = ?";
    tx.prepare_cached(update)?.execute(params![serde_json::to_string(meta)?, run, bucket, key])?;
    Ok(())
}

/// Forgets the change of a key.
pub(super) fn remove(tx: &Tx<'_>, run: &str, bucket: i64, key: &str) -> Result<(), StoreError> {
    let removed =
        tx.prepare_cached("DELETE FROM staged WHERE run = ? AND bucket = ? AND key = ?")?.execute(params![run, bucket, key])?;
    fewer(tx, run, removed)
}

/// Forgets the objects that a run has put below a prefix.
pub(super) fn remove_puts(tx: &Tx<'_>, run: &str, bucket: i64, prefix: &str) -> Result<(), StoreError> {
    let delete = format!("DELETE FROM staged WHERE run = ? AND bucket = ? AND key >= ? AND key < ? AND kind = {PUT}");
    let removed = tx.prepare_cached(&delete)?.execute(params![run, bucket, prefix, end_of(prefix)])?;
    fewer(tx, run, removed)
}

/// Forgets the changes of a run that were published.
pub(super) fn remove_published(tx: &Tx<'_>, run: &str) -> Result<(), StoreError> {
    let removed = tx.prepare_cached("DELETE FROM staged WHERE run = ? AND held = 0")?.execute([run])?;
    fewer(tx, run, removed)
}

/// Forgets all changes of a run.
pub(super) fn remove_all(tx: &Tx<'_>, run: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM staged WHERE run = ?")?.execute([run])?;
    tx.prepare_cached("DELETE FROM staged_hold WHERE run = ?")?.execute([run])?;
    tx.prepare_cached("UPDATE staged_run SET changes = 0 WHERE run = ?")?.execute([run])?;
    Ok(())
}

fn fewer(tx: &Tx<'_>, run: &str, removed: usize) -> Result<(), StoreError> {
    let update = "UPDATE staged_run SET changes = changes - ? WHERE run = ?";
    tx.prepare_cached(update)?.execute(params![removed as i64, run])?;
    Ok(())
}

/// URIs of staged objects whose blob has no row, `limit` at the most: for the doctor.
pub(in crate::lake) fn dangling(connection: &Connection, limit: usize) -> Result<Vec<String>, StoreError> {
    let select = "SELECT bucket_name, key, run FROM staged
                  WHERE blob IS NOT NULL AND NOT EXISTS (SELECT 1 FROM blob WHERE blob.id = staged.blob) LIMIT ?";
    let mut statement = connection.prepare_cached(select)?;
    let uri = |row: &Row<'_>| {
        let (bucket, key, run): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(format!("s3://{bucket}/{key} (of the job run {run}, not published yet)"))
    };
    Ok(statement.query_map([limit as i64], uri)?.collect::<Result<_, _>>()?)
}
