//! CopyObject: a copy is one more name for the same bytes, made in one transaction.

use super::checksum::{Algorithm, ChecksumType, Hasher, base64};
use super::get::ReadConditions;
use super::put::{check_meta, set_checksum};
use super::{Caller, S3, S3Error, WriteCondition, bucket_of, check_key, tagging};
use crate::lake::objects::{self, NewObject, Object, ObjectMeta};
use crate::lake::staging::View;
use futures::TryStreamExt;
use millpond_store::{StoreError, Tx};

/// What to copy.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// Where it is.
    pub bucket: String,
    /// Its name.
    pub key: String,
    /// Under which conditions.
    pub conditions: ReadConditions,
}

/// A copy to make.
#[derive(Debug, Clone, Default)]
pub struct CopyObject {
    /// What to copy.
    pub source: Source,
    /// Where to.
    pub bucket: String,
    /// Under which name.
    pub key: String,
    /// Headers (by lower-case names) and user metadata in the place of the source's (directive `REPLACE`).
    pub meta: Option<ObjectMeta>,
    /// Tags in the place of the source's (directive `REPLACE`).
    pub tags: Option<tagging::Tags>,
    /// `STANDARD` where none is given, whatever the source has.
    pub storage_class: Option<String>,
    /// A checksum to compute, if the source has another.
    pub algorithm: Option<Algorithm>,
    /// Under which condition.
    pub condition: WriteCondition,
}

/// Times that a copy begins again because its source changed while its checksum was computed.
const ATTEMPTS: usize = 8;

impl S3 {
    /// Copies an object. Its bytes are shared, not copied; so the copy keeps the ETag and the parts of its source too.
    pub async fn copy_object(&self, caller: &Caller, copy: CopyObject) -> Result<Object, S3Error> {
        check_key(&copy.key)?;
        let mut checked = ObjectMeta {
            tags: copy.tags.clone().unwrap_or_default(),
            storage_class: copy.storage_class.clone(),
            ..copy.meta.clone().unwrap_or_default()
        };
        check_meta(&mut checked)?;
        let copy = CopyObject { storage_class: checked.storage_class, ..copy };
        for _ in 0..ATTEMPTS {
            let checksum = match copy.algorithm {
                Some(algorithm) => self.checksum_of_source(caller, &copy.source, algorithm).await?,
                None => None,
            };
            let (copy, place, cause) = (copy.clone(), self.lake.place.clone(), caller.cause("CopyObject"));
            let (run, conditional) = (caller.job_run.clone(), !copy.condition.is_none());
            let copied = self.lake.store.write(move |tx| {
                let view = View::of(tx, run.as_deref())?;
                match made(tx, view, copy, checksum)? {
                    None => Ok(None),
                    Some((bucket, new)) => Ok::<_, S3Error>(Some(view.put(tx, &place, &bucket, new, conditional, &cause)?)),
                }
            });
            if let Some(object) = copied.await? {
                return Ok(object);
            }
        }
        Err(S3Error::PreconditionFailed { condition: "the source changed while it was copied" })
    }

    /// The checksum of a source that does not have it, with the sequence number of the version that it is of.
    async fn checksum_of_source(
        &self,
        caller: &Caller,
        source: &Source,
        algorithm: Algorithm,
    ) -> Result<Option<(i64, Algorithm, String)>, S3Error> {
        let object = self.object(caller, &source.bucket, &source.key).await?;
        source.conditions.check_source(&object)?;
        let whole = object.meta.checksum_type.as_deref() != Some(ChecksumType::Composite.name());
        if whole && let Some(value) = object.meta.checksums.get(algorithm.name()) {
            return Ok(Some((object.seq, algorithm, value.clone())));
        }
        let mut bytes = self.lake.store.blobs().stream(&object.blob, 0..object.size).await?;
        let mut hasher = Hasher::new(algorithm);
        while let Some(chunk) = bytes.try_next().await? {
            let hashed = tokio::task::spawn_blocking(move || {
                hasher.update(&chunk);
                hasher
            });
            hasher = hashed.await.map_err(|_| StoreError::Panicked)?;
        }
        Ok(Some((object.seq, algorithm, base64(&hasher.finish()))))
    }
}

/// The object that a copy puts; `None` where the source is not that of the checksum any more.
fn made(
    tx: &Tx<'_>,
    view: View<'_>,
    copy: CopyObject,
    checksum: Option<(i64, Algorithm, String)>,
) -> Result<Option<(objects::Bucket, NewObject)>, S3Error> {
    let from = bucket_of(tx, &copy.source.bucket)?;
    let Some(source) = view.get(tx, from.id, &copy.source.key)? else { return Err(S3Error::NoSuchKey(copy.source.key)) };
    copy.source.conditions.check_source(&source)?;
    let to = bucket_of(tx, &copy.bucket)?;
    let onto_itself = from.id == to.id && copy.source.key == copy.key;
    if onto_itself && copy.meta.is_none() && copy.storage_class == source.meta.storage_class {
        return Err(S3Error::InvalidRequest(
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, \
             storage class, website redirect location or encryption attributes."
                .into(),
        ));
    }
    if !copy.condition.is_none() {
        copy.condition.check(&copy.key, view.get(tx, to.id, &copy.key)?.as_ref())?;
    }
    let mut meta = ObjectMeta { storage_class: copy.storage_class, ..source.meta };
    if let Some(new) = copy.meta {
        (meta.headers, meta.user) = (new.headers, new.user);
    }
    if let Some(tags) = copy.tags {
        meta.tags = tags;
    }
    if let Some((seq, algorithm, value)) = checksum {
        if seq != source.seq {
            return Ok(None);
        }
        set_checksum(&mut meta, algorithm, value, ChecksumType::FullObject);
    }
    tx.retain(&source.blob)?;
    let new = NewObject { key: copy.key, blob: source.blob, size: source.size, etag: source.etag, meta };
    Ok(Some((to, new)))
}
