//! PutObject.

use super::checksum::{Algorithm, ChecksumType, base64};
use super::ingest::{Ingested, ingest};
use super::{Caller, PUT_SIZE_MAX, Payload, S3, S3Error, WriteCondition, bucket_of, check_key, tagging};
use crate::lake::objects::{NewObject, Object, ObjectMeta};
use crate::lake::staging::View;

/// Bytes of user metadata (names and values) at the most. S3 user guide, "Working with object metadata".
pub const USER_METADATA_MAX: usize = 2048;

/// Bytes of the system's metadata at the most, by the same page.
const SYSTEM_METADATA_MAX: usize = 8192;

/// The algorithm of objects that come without a checksum. S3 user guide, "Checking object integrity".
pub const DEFAULT_ALGORITHM: Algorithm = Algorithm::Crc64Nvme;

const STORAGE_CLASSES: [&str; 12] = [
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "OUTPOSTS",
    "GLACIER_IR",
    "SNOW",
    "EXPRESS_ONEZONE",
    "FSX_OPENZFS",
];

/// An object to put.
#[derive(Debug)]
pub struct PutObject {
    /// Where.
    pub bucket: String,
    /// Under which name.
    pub key: String,
    /// The bytes.
    pub payload: Payload,
    /// Headers, user metadata, tags and storage class; the checksums are the service's to fill in.
    pub meta: ObjectMeta,
    /// Under which condition.
    pub condition: WriteCondition,
}

/// Checks what an object will have besides its bytes, and brings it into the form in which it is kept.
pub(super) fn check_meta(meta: &mut ObjectMeta) -> Result<(), S3Error> {
    let size = meta.user.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > USER_METADATA_MAX {
        return Err(S3Error::MetadataTooLarge { size, max: USER_METADATA_MAX });
    }
    let size = meta.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > SYSTEM_METADATA_MAX {
        return Err(S3Error::MetadataTooLarge { size, max: SYSTEM_METADATA_MAX });
    }
    tagging::check_object_tags(&meta.tags)?;
    match meta.storage_class.as_deref() {
        Some("STANDARD") => meta.storage_class = None,
        Some(class) if !STORAGE_CLASSES.contains(&class) => return Err(S3Error::InvalidStorageClass(class.into())),
        _ => {}
    }
    Ok(())
}

/// Records the checksum of a whole object.
pub(super) fn set_checksum(meta: &mut ObjectMeta, algorithm: Algorithm, value: String, kind: ChecksumType) {
    meta.checksums = [(algorithm.name().to_owned(), value)].into();
    meta.checksum_type = Some(kind.name().to_owned());
}

impl S3 {
    /// Puts an object: takes its bytes, and then names them in one transaction with the event.
    pub async fn put_object(&self, caller: &Caller, put: PutObject) -> Result<Object, S3Error> {
        let PutObject { bucket, key, payload, mut meta, condition } = put;
        check_key(&key)?;
        check_meta(&mut meta)?;
        // A large body is not taken in vain. (A small one is cheaper taken than asked about.)
        if payload.length.is_none_or(|length| length > millpond_store::blobs::INLINE_MAX as u64) || !condition.is_none() {
            self.check_place(caller, &bucket, &key, &condition).await?;
        }
        let taken = ingest(self.lake.store.blobs(), payload, DEFAULT_ALGORITHM, PUT_SIZE_MAX).await?;
        let Ingested { blob, size, md5, checksum: (algorithm, value) } = taken;
        set_checksum(&mut meta, algorithm, base64(&value), ChecksumType::FullObject);
        let (place, cause, run) = (self.lake.place.clone(), caller.cause("PutObject"), caller.job_run.clone());
        let etag = hex::encode(md5);
        let written = self.lake.store.write(move |tx| {
            let bucket = bucket_of(tx, &bucket)?;
            let view = View::of(tx, run.as_deref())?;
            if !condition.is_none() {
                condition.check(&key, view.get(tx, bucket.id, &key)?.as_ref())?;
            }
            let blob = tx.adopt(&blob)?;
            let new = NewObject { key, blob, size, etag, meta };
            Ok(view.put(tx, &place, &bucket, new, !condition.is_none(), &cause)?)
        });
        written.await
    }

    async fn check_place(&self, caller: &Caller, bucket: &str, key: &str, condition: &WriteCondition) -> Result<(), S3Error> {
        let (bucket, key, condition) = (bucket.to_owned(), key.to_owned(), condition.clone());
        let run = caller.job_run.clone();
        let checked = self.lake.store.read(move |connection| {
            let bucket = bucket_of(connection, &bucket)?;
            let view = View::of(connection, run.as_deref())?;
            view.staging()?;
            match condition.is_none() {
                true => Ok(()),
                false => condition.check(&key, view.get(connection, bucket.id, &key)?.as_ref()),
            }
        });
        checked.await
    }
}
