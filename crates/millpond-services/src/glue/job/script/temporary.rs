//! A place in S3 for runs that name none (`--TempDir`): a bucket that is made when it is asked for, and goes with the last run.

use super::rows;
use crate::glue::job::rows::JobRun;
use crate::lake::objects;
use millpond_core::arn::Place;
use millpond_store::{StoreError, Tx};

/// Marks the bucket as ours to remove.
const TAG: (&str, &str) = ("millpond", "temporary");

/// The name that Glue's console gives it.
fn name(place: &Place) -> String {
    format!("aws-glue-assets-{}-{}", place.account, place.region)
}

/// The place of a run.
pub(super) fn ensure(tx: &Tx<'_>, place: &Place, run: &JobRun) -> Result<String, StoreError> {
    let name = name(place);
    if let Some(mut bucket) = objects::create_bucket(tx, &name, &place.region)? {
        bucket.settings.tags.push((TAG.0.into(), TAG.1.into()));
        objects::update_bucket(tx, bucket.id, &bucket.settings)?;
    }
    Ok(format!("s3://{name}/temporary/{}/", run.id))
}

/// Removes the bucket where we made it, nothing is in it, and no other run may use it. Called after the run's own rows are gone.
pub(super) fn tidy(tx: &Tx<'_>, place: &Place) -> Result<(), StoreError> {
    let Some(bucket) = objects::bucket(tx, &name(place))? else { return Ok(()) };
    let is_ours = bucket.settings.tags.iter().any(|(key, value)| (key.as_str(), value.as_str()) == TAG);
    if is_ours && !rows::is_any(tx)? {
        objects::delete_bucket(tx, bucket.id)?;
    }
    Ok(())
}
