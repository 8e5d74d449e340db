//! What a run of a job wrote and nobody else sees yet: objects put and deleted under a run's own session, until the run's end makes them the
//! lake's, in one transaction, or drops them.
//!
//! - *Staged*: a change of an object that waits. There is one row a key at the most, the latest change; bytes are adopted with it, so the
//!   collector keeps them.
//! - *Open*: a run whose changes are staged. A run that was never opened writes to the lake at once, as with AWS. After [`close`] or [`discard`]
//!   whatever its session still asks to change is refused: a request that was under way when the process was killed must not reach the lake.
//! - [`View`]: what a caller sees and changes. For everybody but the session of an open run it is the lake itself, and costs nothing.
//!
//! What must happen before what: [`open`] before the run's session is given to its process; then [`hold`], for what is only for a load and must not
//! be published earlier; then [`files`] and [`take`] as the load needs them; then, in the transaction of the run's end, [`publish`] and [`close`], or
//! [`discard`]. Whoever opens runs ends them: after a crash the rows are still there ([`open_runs`]).
//!
//! Published objects are new ones: they get their place in the order of changes, their time and their events when they are published, in the order
//! in which the run made them last (in each bucket). What was there is replaced, also where somebody else wrote it meanwhile, as the last writer wins in S3; only
//! what the run wrote under a condition (`If-Match`, `If-None-Match`) is published only where the condition still holds.

mod rows;
mod view;

pub(super) use rows::dangling;
pub use view::View;

use super::objects::{self, Bucket, NewObject, Object};
use super::{Lake, log};
use millpond_core::arn::Place;
use millpond_core::error::ErrorKind;
use millpond_core::log::Line;
use millpond_store::blobs::BlobId;
use millpond_store::task::NewTask;
use millpond_store::{StoreError, Tx};
use rows::{Kind, Staged};
use rusqlite::Connection;
use std::collections::BTreeMap;

/// Changes of one run that wait at the same time at the most: they are published in one transaction, for which all other writers wait.
pub const CHANGES_MAX: i64 = 500_000;

/// Tasks that drop the multipart uploads of a run that ended; the payload is the run.
pub const DROP_UPLOADS: &str = "s3.uploads.drop";

/// How long it is remembered that a run ended: longer than a session lives. Milliseconds.
const ENDED_KEPT_MS: i64 = 14 * 24 * 60 * 60 * 1000;

/// Why a change cannot be staged, or a run cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// The run is over.
    #[error("the job run {run} has ended: its session can change nothing any more")]
    Ended {
        /// Which one.
        run: String,
    },
    /// Too many changes wait.
    #[error(
        "the job run {run} has changed {CHANGES_MAX} objects that wait for its end, which is the limit; let it write fewer and larger files, or \
         write them at once with the job argument --millpond-output as-written"
    )]
    Full {
        /// Which one.
        run: String,
    },
    /// The bucket was deleted after the run wrote to it.
    #[error(
        "the bucket '{bucket}', to which the job run {run} wrote, was deleted meanwhile: nothing of what the run wrote was published"
    )]
    BucketGone {
        /// The bucket's name.
        bucket: String,
        /// Which run.
        run: String,
    },
    /// What was written under a condition was changed by another.
    #[error(
        "s3://{bucket}/{key} was changed by another after the job run {run} wrote it under a condition (If-Match or If-None-Match): nothing of \
         what the run wrote was published"
    )]
    Conflict {
        /// The bucket's name.
        bucket: String,
        /// The object's.
        key: String,
        /// Which run.
        run: String,
    },
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StagingError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Ended { .. } => ErrorKind::Denied,
            Self::Full { .. } => ErrorKind::Limit,
            Self::BucketGone { .. } => ErrorKind::Missing,
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Store(error) => error.kind(),
        }
    }
}

impl From<rusqlite::Error> for StagingError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Published {
    /// Objects put.
    pub puts: u64,
    /// Objects deleted.
    pub deletes: u64,
    /// Objects whose tags changed.
    pub tags: u64,
    /// Bytes of the objects put.
    pub bytes: u64,
}

impl Published {
    /// Whether there was nothing to publish.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A run that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    /// As it was given to [`open`].
    pub run: String,
    /// The job's name.
    pub job: String,
    /// Milliseconds since the epoch.
    pub opened_ms: i64,
}

/// From here on the changes of the session that claims `run` wait. A run that ended is opened again; what a former life of it left is dropped. An
/// id of its own for each attempt keeps requests of a killed attempt out of the next one. `log_group` is where the run's log stream, named like the
/// run, lies.
pub fn open(tx: &Tx<'_>, run: &str, job: &str, log_group: &str) -> Result<(), StoreError> {
    rows::forget_ended(tx, tx.now_ms() - ENDED_KEPT_MS)?;
    drop_changes(tx, run)?;
    rows::open(tx, run, job, log_group)
}

/// Whether the changes of `run` wait.
pub fn is_open(connection: &Connection, run: &str) -> Result<bool, StoreError> {
    Ok(rows::ended(connection, run)? == Some(None))
}

/// All runs that are open, the oldest first. After a start: those that a former process left.
pub fn open_runs(connection: &Connection) -> Result<Vec<OpenRun>, StoreError> {
    rows::open_runs(connection)
}

/// Makes all that waits of a run the lake's, in the order of the run's changes. The run stays open, with nothing waiting.
///
/// # Errors
/// Nothing is published where a bucket is gone or a condition does not hold any more: then the transaction must be undone.
pub fn publish(tx: &Tx<'_>, place: &Place, run: &str) -> Result<Published, StagingError> {
    let buckets = buckets_of(tx, run)?;
    conditions_hold(tx, run)?;
    let mut published = Published::default();
    // Where nobody is told, a statement does what else is done object by object.
    for bucket in buckets.values().filter(|bucket| bucket.settings.is_quiet()) {
        rows::publish_objects(tx, run, bucket.id, &mut published)?;
    }
    rows::each(tx, run, |staged| {
        let bucket = &buckets[&staged.bucket];
        publish_one(tx, place, bucket, staged, &mut published)
    })?;
    rows::remove_published(tx, run)?;
    Ok(published)
}

/// Whether [`publish`] could be done now: what cannot be undone waits for that.
///
/// # Errors
/// As [`publish`]: [`StagingError::BucketGone`], [`StagingError::Conflict`].
pub fn check(connection: &Connection, run: &str) -> Result<(), StagingError> {
    buckets_of(connection, run)?;
    conditions_hold(connection, run)
}

/// Whether all that a run wrote under a condition could still be written under it.
fn conditions_hold(connection: &Connection, run: &str) -> Result<(), StagingError> {
    match rows::conflict(connection, run)? {
        Some((bucket, key)) => Err(StagingError::Conflict { bucket, key, run: run.to_owned() }),
        None => Ok(()),
    }
}

fn buckets_of(connection: &Connection, run: &str) -> Result<BTreeMap<i64, Bucket>, StagingError> {
    let mut buckets = BTreeMap::new();
    for (id, name) in rows::buckets(connection, run)? {
        // A bucket that was made again under the name is another one.
        match objects::bucket(connection, &name)?.filter(|bucket| bucket.id == id) {
            Some(bucket) => buckets.insert(id, bucket),
            None => return Err(StagingError::BucketGone { bucket: name, run: run.to_owned() }),
        };
    }
    Ok(buckets)
}

fn publish_one(
    tx: &Tx<'_>,
    place: &Place,
    bucket: &Bucket,
    staged: Staged,
    published: &mut Published,
) -> Result<(), StagingError> {
    let Staged { key, kind, cause, .. } = staged;
    match kind {
        Kind::Put { blob, size, etag, meta } => {
            objects::put(tx, place, bucket, NewObject { key, blob, size, etag, meta }, &cause)?;
            published.puts += 1;
            published.bytes += size;
        }
        Kind::Delete => published.deletes += u64::from(objects::delete(tx, place, bucket, &key, &cause)?.is_some()),
        // Where the object is gone by now, so are its tags.
        Kind::Tags(tags) => published.tags += u64::from(objects::set_tags(tx, place, bucket, &key, tags, &cause)?),
    }
    Ok(())
}

/// Drops all that waits of a run, and ends it. (Bytes are kept an hour for those who read them.)
pub fn discard(tx: &Tx<'_>, run: &str) -> Result<(), StoreError> {
    drop_changes(tx, run)?;
    end(tx, run)
}

/// Ends a run, of which nothing waits any more: whatever does is dropped.
pub fn close(tx: &Tx<'_>, run: &str) -> Result<(), StoreError> {
    discard(tx, run)
}

fn end(tx: &Tx<'_>, run: &str) -> Result<(), StoreError> {
    if rows::end(tx, run)? {
        tx.enqueue(&NewTask::new(DROP_UPLOADS, run).failures_max(1000))?;
    }
    Ok(())
}

fn drop_changes(tx: &Tx<'_>, run: &str) -> Result<(), StoreError> {
    rows::blobs(tx, run)?.iter().try_for_each(|blob| tx.release(blob))?;
    rows::remove_all(tx, run)
}

/// The objects that a run has put below `prefix` of a bucket and that wait, by key.
pub fn files(connection: &Connection, run: &str, bucket: &str, prefix: &str) -> Result<Vec<Object>, StoreError> {
    match objects::bucket(connection, bucket)? {
        Some(bucket) => rows::below(connection, run, bucket.id, prefix),
        None => Ok(Vec::new()),
    }
}

/// Keeps the objects that a run has put below `prefix`, and those that it still will put there, from being published, whatever the run asks of others
/// meanwhile: they are for a load, which will [`take`] them. The run itself still sees them. Nothing happens where the run is not open.
pub fn hold(tx: &Tx<'_>, run: &str, bucket: &str, prefix: &str) -> Result<(), StoreError> {
    match objects::bucket(tx, bucket)? {
        Some(_) if !is_open(tx, run)? => Ok(()),
        Some(bucket) => rows::hold(tx, run, bucket.id, prefix),
        None => Ok(()),
    }
}

/// Takes the objects that a run has put below `prefix` out of what will be published, by key. Their blobs are the caller's: each counts as a name,
/// to be given up with [`release`] when they were used. What was there before under their keys stays.
pub fn take(tx: &Tx<'_>, run: &str, bucket: &str, prefix: &str) -> Result<Vec<Object>, StoreError> {
    let Some(found) = objects::bucket(tx, bucket)? else { return Ok(Vec::new()) };
    let taken = rows::below(tx, run, found.id, prefix)?;
    rows::remove_puts(tx, run, found.id, prefix)?;
    Ok(taken)
}

/// Gives up the blobs of objects that were [taken](take).
pub fn release<'a>(tx: &Tx<'_>, blobs: impl IntoIterator<Item = &'a BlobId>) -> Result<(), StoreError> {
    blobs.into_iter().try_for_each(|blob| tx.release(blob))
}

/// A multipart upload of this run was begun: it goes when the run ends.
pub fn began_upload(tx: &Tx<'_>, run: &str) -> Result<(), StoreError> {
    rows::began_upload(tx, run)
}

/// Publishes what waits of a run that is open, because it asks another service to act on the lake: the other could not see it. A line in the run's
/// log says so; `why` ends its sentence (`glue:StartCrawler`). Nothing happens where nothing waits.
///
/// # Errors
/// As [`publish`].
pub async fn publish_before(lake: &Lake, run: &str, why: &str) -> Result<Published, StagingError> {
    let (place, asked, why) = (lake.place.clone(), run.to_owned(), why.to_owned());
    // A look costs less than a commit.
    let look = run.to_owned();
    if !lake.store.read(move |connection| rows::waits(connection, &look)).await? {
        return Ok(Published::default());
    }
    let published = lake.store.write(move |tx| {
        // It may have ended since the look.
        let Some(group) = rows::log_group(tx, &asked)? else { return Ok(Published::default()) };
        let published = publish(tx, &place, &asked)?;
        if !published.is_empty() {
            log::write(tx, &group, &asked, &[Line::new(tx.now_ms(), told(&published, &why))])?;
        }
        Ok::<_, StagingError>(published)
    });
    published.await
}

fn told(published: &Published, why: &str) -> String {
    let Published { puts, deletes, bytes, .. } = published;
    format!(
        "Millpond: published what this run has written so far ({puts} objects put, {bytes} bytes; {deletes} deleted), because it calls {why}, \
         which must see it. It stays, also if the run fails."
    )
}

#[cfg(test)]
mod tests;
