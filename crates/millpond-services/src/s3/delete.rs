//! DeleteObject, DeleteObjects.

use super::{Caller, S3, S3Error, WriteCondition, bucket_of, check_key};
use crate::lake::objects;
use crate::lake::staging::View;

/// Objects of one DeleteObjects at the most.
pub const DELETE_MAX: usize = 1000;

/// An object of DeleteObjects.
#[derive(Debug, Clone)]
pub struct DeleteOne {
    /// Its name.
    pub key: String,
    /// The version; a bucket without versioning has only `null`.
    pub version: Option<String>,
    /// Under which condition.
    pub condition: WriteCondition,
}

impl S3 {
    /// Deletes an object. One that is not there counts as deleted, unless a condition asks for it.
    pub async fn delete_object(
        &self,
        caller: &Caller,
        bucket: &str,
        key: &str,
        condition: WriteCondition,
    ) -> Result<(), S3Error> {
        let one = DeleteOne { key: key.to_owned(), version: None, condition };
        let (bucket, place, cause) = (bucket.to_owned(), self.lake.place.clone(), caller.cause("DeleteObject"));
        let run = caller.job_run.clone();
        let deleted = self.lake.store.write(move |tx| {
            let bucket = bucket_of(tx, &bucket)?;
            delete_one(tx, View::of(tx, run.as_deref())?, &place, &bucket, &one, &cause)
        });
        deleted.await
    }

    /// Deletes up to a thousand objects in one commit. Each has its own outcome, in the order asked.
    pub async fn delete_objects(
        &self,
        caller: &Caller,
        bucket: &str,
        ones: Vec<DeleteOne>,
    ) -> Result<Vec<(DeleteOne, Result<(), S3Error>)>, S3Error> {
        if ones.is_empty() || ones.len() > DELETE_MAX {
            return Err(S3Error::MalformedXml(format!("Delete must have 1 to {DELETE_MAX} objects, it has {}", ones.len())));
        }
        let (bucket, place, cause) = (bucket.to_owned(), self.lake.place.clone(), caller.cause("DeleteObject"));
        let run = caller.job_run.clone();
        let deleted = self.lake.store.write(move |tx| {
            let bucket = bucket_of(tx, &bucket)?;
            let view = View::of(tx, run.as_deref())?;
            let mut outcomes = Vec::with_capacity(ones.len());
            for one in ones {
                let outcome = match delete_one(tx, view, &place, &bucket, &one, &cause) {
                    // Half a deletion must not be kept.
                    Err(S3Error::Store(error)) => return Err(error.into()),
                    outcome => outcome,
                };
                outcomes.push((one, outcome));
            }
            Ok(outcomes)
        });
        deleted.await
    }
}

fn delete_one(
    tx: &millpond_store::Tx<'_>,
    view: View<'_>,
    place: &millpond_core::arn::Place,
    bucket: &objects::Bucket,
    one: &DeleteOne,
    cause: &objects::Cause,
) -> Result<(), S3Error> {
    check_key(&one.key)?;
    check_version(one.version.as_deref())?;
    match (&one.condition.if_match, view.get(tx, bucket.id, &one.key)?) {
        (Some(etag), Some(object)) if !etag.matches(&object) => {
            return Err(S3Error::PreconditionFailed { condition: "If-Match" });
        }
        (Some(_), None) => return Err(S3Error::PreconditionFailed { condition: "If-Match" }),
        (_, None) => return Ok(()),
        (_, Some(_)) => {}
    }
    Ok(view.delete(tx, place, bucket, &one.key, !one.condition.is_none(), cause)?)
}

/// A bucket without versioning has one version of each object, named `null`.
///
/// # Errors
/// `InvalidArgument` for any other.
pub fn check_version(version: Option<&str>) -> Result<(), S3Error> {
    match version {
        None | Some("" | "null") => Ok(()),
        Some(other) => Err(S3Error::InvalidArgument(format!(
            "Invalid version id specified: '{other}' (versioning is not enabled; the only version is 'null')"
        ))),
    }
}
