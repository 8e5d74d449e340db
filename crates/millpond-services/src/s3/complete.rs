//! CompleteMultipartUpload: the parts become one object, without a byte being copied, in one transaction.

use super::checksum::{Algorithm, ChecksumType, base64, combine};
use super::multipart::{PART_NUMBER_MAX, UploadRef};
use super::put::set_checksum;
use super::sql::{self, Done, Part, Upload};
use super::{Caller, S3, S3Error, WriteCondition, bucket_of};
use crate::lake::objects::{NewObject, Object, ObjectMeta};
use crate::lake::staging::View;
use md5::{Digest as _, Md5};
use millpond_store::Tx;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Bytes of a part that is not the last at the least. S3 user guide, "Amazon S3 multipart upload limits".
pub const PART_SIZE_MIN: u64 = 5 * 1024 * 1024;

/// A part of the object to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedPart {
    /// Its number.
    pub number: u32,
    /// Without quotes.
    pub etag: String,
    /// Its checksums, base64.
    pub checksums: BTreeMap<Algorithm, String>,
}

/// A completion.
#[derive(Debug, Clone)]
pub struct Complete {
    /// Which upload.
    pub at: UploadRef,
    /// In ascending order.
    pub parts: Vec<CompletedPart>,
    /// Of the whole object, base64 (a composite one ends with `-parts`).
    pub checksum: Option<(Algorithm, String)>,
    /// As the caller expects it.
    pub checksum_type: Option<ChecksumType>,
    /// Bytes of the object, as the caller expects it.
    pub size: Option<u64>,
    /// Under which condition.
    pub condition: WriteCondition,
}

impl S3 {
    /// Completes an upload. The same request may come again: while it is remembered (a day), and while the object is still there, it is
    /// answered as the first was.
    pub async fn complete_upload(&self, caller: &Caller, complete: Complete) -> Result<Object, S3Error> {
        let (place, cause) = (self.lake.place.clone(), caller.cause("CompleteMultipartUpload"));
        let run = caller.job_run.clone();
        check_list(&complete.parts)?;
        let completed = self.lake.store.write(move |tx| {
            let bucket = bucket_of(tx, &complete.at.bucket)?;
            let view = View::of(tx, run.as_deref())?;
            let key = &complete.at.key;
            let asked = fingerprint(&complete.parts);
            let upload = match sql::get(tx, bucket.id, key, &complete.at.id, view.staging()?)? {
                Some(Upload { done: Some(done), .. }) => {
                    let object = view.get(tx, bucket.id, key)?.filter(|object| done.asked == asked && object.etag == done.etag);
                    return object.ok_or(S3Error::NoSuchUpload(complete.at.id));
                }
                Some(upload) => upload,
                None => return Err(S3Error::NoSuchUpload(complete.at.id)),
            };
            if !complete.condition.is_none() {
                complete.condition.check(key, view.get(tx, bucket.id, key)?.as_ref())?;
            }
            let new = assemble(tx, &upload, &complete)?;
            sql::finish(tx, &upload.id, &Done { etag: new.etag.clone(), asked })?;
            Ok(view.put(tx, &place, &bucket, new, !complete.condition.is_none(), &cause)?)
        });
        completed.await
    }
}

fn check_list(parts: &[CompletedPart]) -> Result<(), S3Error> {
    if parts.is_empty() || parts.len() > PART_NUMBER_MAX as usize {
        let message = format!("CompleteMultipartUpload must have 1 to {PART_NUMBER_MAX} parts, it has {}", parts.len());
        return Err(S3Error::MalformedXml(message));
    }
    match parts.windows(2).find(|pair| pair[0].number >= pair[1].number) {
        Some(pair) => Err(S3Error::InvalidPartOrder(pair[1].number)),
        None => Ok(()),
    }
}

fn fingerprint(parts: &[CompletedPart]) -> String {
    let mut text = String::new();
    for part in parts {
        write!(text, "{}:{};", part.number, part.etag).expect("writing to a string");
    }
    hex::encode(Md5::digest(text))
}

fn assemble(tx: &Tx<'_>, upload: &Upload, complete: &Complete) -> Result<NewObject, S3Error> {
    let parts = chosen(tx, upload, &complete.parts)?;
    let size: u64 = parts.iter().map(|part| part.size).sum();
    if let Some(expected) = complete.size.filter(|expected| *expected != size) {
        return Err(S3Error::InvalidRequest(format!(
            "The provided 'x-amz-mp-object-size' header value {expected} does not match what was computed: {size}"
        )));
    }
    let mut meta = ObjectMeta { parts: parts.iter().map(|part| part.size).collect(), ..upload.meta.clone() };
    record_checksum(&mut meta, upload, &parts, complete)?;
    let mut md5 = Md5::new();
    parts.iter().for_each(|part| md5.update(part.md5));
    let etag = format!("{}-{}", hex::encode(md5.finalize()), parts.len());
    let blob = match parts.as_slice() {
        [only] => {
            tx.retain(&only.blob)?;
            only.blob.clone()
        }
        parts => tx.concat(&parts.iter().map(|part| (part.blob.clone(), part.size)).collect::<Vec<_>>())?,
    };
    Ok(NewObject { key: upload.key.clone(), blob, size, etag, meta })
}

/// The parts that were asked for, checked against those that were uploaded.
fn chosen(tx: &Tx<'_>, upload: &Upload, asked: &[CompletedPart]) -> Result<Vec<Part>, S3Error> {
    let mut uploaded: BTreeMap<u32, Part> =
        sql::parts(tx, &upload.id, 0, PART_NUMBER_MAX as usize)?.into_iter().map(|part| (part.number, part)).collect();
    let mut parts = Vec::with_capacity(asked.len());
    for (index, wanted) in asked.iter().enumerate() {
        let part = uploaded.remove(&wanted.number).filter(|part| part.etag() == wanted.etag);
        let part = part.ok_or(S3Error::InvalidPart(wanted.number))?;
        check_checksum(upload, wanted, &part)?;
        if index + 1 < asked.len() && part.size < PART_SIZE_MIN {
            return Err(S3Error::EntityTooSmall { part: part.number, size: part.size, min: PART_SIZE_MIN });
        }
        parts.push(part);
    }
    Ok(parts)
}

fn check_checksum(upload: &Upload, wanted: &CompletedPart, part: &Part) -> Result<(), S3Error> {
    for (algorithm, value) in &wanted.checksums {
        if *algorithm == part.algorithm && *value != base64(&part.checksum) {
            return Err(S3Error::InvalidPart(wanted.number));
        }
    }
    let needed = !upload.by_default && upload.checksum_type == ChecksumType::Composite;
    if needed && !wanted.checksums.contains_key(&upload.algorithm) {
        return Err(S3Error::InvalidRequest(format!(
            "The upload was created using a {} checksum. The complete request must include the checksum for each part. It was missing \
             for part {} in the request.",
            upload.algorithm.name().to_lowercase(),
            wanted.number
        )));
    }
    Ok(())
}

fn record_checksum(meta: &mut ObjectMeta, upload: &Upload, parts: &[Part], complete: &Complete) -> Result<(), S3Error> {
    if complete.checksum_type.is_some_and(|kind| kind != upload.checksum_type && !upload.by_default) {
        return Err(S3Error::InvalidRequest(format!(
            "The upload was created using the {} checksum mode. The complete request must use the same checksum mode.",
            upload.checksum_type.name()
        )));
    }
    let algorithm = parts[0].algorithm;
    let values: Vec<_> = parts.iter().map(|part| (part.checksum.clone(), part.size)).collect();
    let uniform = parts.iter().all(|part| part.algorithm == algorithm);
    // Parts of an upload of the default algorithm may have come with another one: then that one is the object's, where it can be combined.
    let kind = if upload.by_default { ChecksumType::FullObject } else { upload.checksum_type };
    let computed = uniform.then(|| combine(algorithm, kind, &values)).flatten();
    if let Some((given, value)) = &complete.checksum
        && let Some(computed) = computed.as_ref().filter(|_| *given == algorithm)
        && value != computed
        && Some(value.as_str()) != computed.split('-').next()
    {
        return Err(S3Error::ChecksumMismatch { algorithm, computed: computed.clone() });
    }
    if let Some(computed) = computed {
        set_checksum(meta, algorithm, computed, kind);
    }
    Ok(())
}
