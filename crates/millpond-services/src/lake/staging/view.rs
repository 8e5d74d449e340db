//! What a caller sees and changes.

use super::rows::{self, Change, Kind, NewTags, Staged, What};
use super::{CHANGES_MAX, StagingError};
use crate::lake::objects::{self, Bucket, Cause, ListSpec, Listing, NewObject, Object};
use millpond_core::arn::Place;
use millpond_store::{StoreError, Tx};
use rusqlite::Connection;

/// What a caller sees and changes: the lake, or the lake with what an open run did to it laid over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<'a>(Of<'a>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of<'a> {
    Lake,
    Run(&'a str),
    /// Reads as everybody does, and changes nothing.
    Ended(&'a str),
}

impl<'a> View<'a> {
    /// That of everybody.
    pub const LAKE: Self = Self(Of::Lake);

    /// That of a session that claims `job_run`. Asks the state only where it claims one.
    pub fn of(connection: &Connection, job_run: Option<&'a str>) -> Result<Self, StoreError> {
        let Some(run) = job_run else { return Ok(Self::LAKE) };
        Ok(Self(match rows::ended(connection, run)? {
            None => Of::Lake,
            Some(None) => Of::Run(run),
            Some(Some(_)) => Of::Ended(run),
        }))
    }

    /// The run whose changes wait, where one does the asking.
    ///
    /// # Errors
    /// The run has ended.
    pub fn staging(&self) -> Result<Option<&'a str>, StagingError> {
        match self.0 {
            Of::Lake => Ok(None),
            Of::Run(run) => Ok(Some(run)),
            Of::Ended(run) => Err(StagingError::Ended { run: run.to_owned() }),
        }
    }

    fn over(&self) -> Option<&'a str> {
        match self.0 {
            Of::Run(run) => Some(run),
            Of::Lake | Of::Ended(_) => None,
        }
    }

    /// The object of this key.
    pub fn get(&self, connection: &Connection, bucket: i64, key: &str) -> Result<Option<Object>, StoreError> {
        let Some(run) = self.over() else { return objects::get(connection, bucket, key) };
        let Some(staged) = rows::get(connection, run, bucket, key)? else { return objects::get(connection, bucket, key) };
        match staged.kind {
            Kind::Put { .. } => Ok(staged.object()),
            Kind::Delete => Ok(None),
            Kind::Tags(tags) => Ok(objects::get(connection, bucket, key)?.map(|mut object| {
                object.meta.tags = tags.unwrap_or_default();
                object
            })),
        }
    }

    /// A page of a bucket, as [`objects::list`] gives it.
    pub fn list(&self, connection: &Connection, bucket: i64, spec: &ListSpec) -> Result<Listing, StoreError> {
        match self.over() {
            None => objects::list(connection, bucket, spec),
            Some(run) => objects::page(&mut *connection.prepare_cached(&rows::listing())?, &bucket, &[&run], spec),
        }
    }

    /// Puts an object in the place of one that may be there. `conditional`: it was written under a condition that was found to hold, and that must
    /// still hold when it is published.
    ///
    /// # Errors
    /// The run has ended, or has changed too much.
    pub fn put(
        &self,
        tx: &Tx<'_>,
        place: &Place,
        bucket: &Bucket,
        new: NewObject,
        conditional: bool,
        cause: &Cause,
    ) -> Result<Object, StagingError> {
        let Some(run) = self.staging()? else { return Ok(objects::put(tx, place, bucket, new, cause)?) };
        let before = self.give_up(tx, run, bucket.id, &new.key)?;
        let base = before.base(tx, bucket.id, &new.key, conditional)?;
        let change = Change { key: &new.key, what: What::Put(&new), base, cause };
        let seq = before.replace(tx, run, bucket, &change)?;
        let NewObject { key, blob, size, etag, meta } = new;
        Ok(Object { key, seq, blob, size, etag, modified_ms: tx.now_ms(), meta })
    }

    /// Removes an object; one that is not there counts as removed. `conditional` as for [`View::put`].
    ///
    /// # Errors
    /// The run has ended, or has changed too much.
    pub fn delete(
        &self,
        tx: &Tx<'_>,
        place: &Place,
        bucket: &Bucket,
        key: &str,
        conditional: bool,
        cause: &Cause,
    ) -> Result<(), StagingError> {
        let Some(run) = self.staging()? else {
            objects::delete(tx, place, bucket, key, cause)?;
            return Ok(());
        };
        let before = self.give_up(tx, run, bucket.id, key)?;
        if !objects::exists(tx, bucket.id, key)? {
            // Nothing is there that publishing could remove.
            return if before.known { Ok(rows::remove(tx, run, bucket.id, key)?) } else { Ok(()) };
        }
        let base = before.base(tx, bucket.id, key, conditional)?;
        before.replace(tx, run, bucket, &Change { key, what: What::Delete, base, cause })?;
        Ok(())
    }

    /// Replaces the tags of an object, as [`objects::set_tags`] does. `false`: there is no such object.
    ///
    /// # Errors
    /// The run has ended, or has changed too much.
    pub fn set_tags(
        &self,
        tx: &Tx<'_>,
        place: &Place,
        bucket: &Bucket,
        key: &str,
        tags: NewTags,
        cause: &Cause,
    ) -> Result<bool, StagingError> {
        let Some(run) = self.staging()? else { return Ok(objects::set_tags(tx, place, bucket, key, tags, cause)?) };
        let staged = rows::get(tx, run, bucket.id, key)?;
        let before = Before::of(staged.as_ref());
        match staged.map(|staged| staged.kind) {
            Some(Kind::Delete) => Ok(false),
            Some(Kind::Put { mut meta, .. }) => {
                meta.tags = tags.unwrap_or_default();
                rows::set_meta(tx, run, bucket.id, key, &meta)?;
                Ok(true)
            }
            Some(Kind::Tags(_)) | None => {
                if !objects::exists(tx, bucket.id, key)? {
                    return Ok(false);
                }
                let change = Change { key, what: What::Tags(&tags), base: None, cause };
                before.replace(tx, run, bucket, &change)?;
                Ok(true)
            }
        }
    }

    /// Gives up the bytes of what waits under a key, since something else will.
    fn give_up(&self, tx: &Tx<'_>, run: &str, bucket: i64, key: &str) -> Result<Before, StagingError> {
        let staged = rows::get(tx, run, bucket, key)?;
        if let Some(Staged { kind: Kind::Put { blob, .. }, .. }) = &staged {
            tx.release(blob)?;
        }
        Ok(Before::of(staged.as_ref()))
    }
}

/// What waited under a key before another change of it.
struct Before {
    known: bool,
    /// Whether what the run saw under the key was its own doing.
    own: bool,
    base: Option<String>,
}

impl Before {
    fn of(staged: Option<&Staged>) -> Self {
        let own = staged.is_some_and(|staged| !matches!(staged.kind, Kind::Tags(_)));
        Self { known: staged.is_some(), own, base: staged.and_then(|staged| staged.base.clone()) }
    }

    /// The ETag that the published object must have when the change is published: as it was when the run first looked, where it looked.
    fn base(&self, tx: &Tx<'_>, bucket: i64, key: &str, conditional: bool) -> Result<Option<String>, StoreError> {
        match (self.own, conditional) {
            (true, _) => Ok(self.base.clone()),
            (false, false) => Ok(None),
            (false, true) => Ok(Some(objects::get(tx, bucket, key)?.map_or(String::new(), |object| object.etag))),
        }
    }

    fn replace(&self, tx: &Tx<'_>, run: &str, bucket: &Bucket, change: &Change<'_>) -> Result<i64, StagingError> {
        if !self.known && rows::changes(tx, run)? >= CHANGES_MAX {
            return Err(StagingError::Full { run: run.to_owned() });
        }
        Ok(rows::put(tx, run, bucket, change, self.known)?)
    }
}
