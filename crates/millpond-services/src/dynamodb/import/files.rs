//! Which files an import reads.

use super::super::transfer::Transfer;
use crate::lake::Lake;
use crate::lake::objects::{self, ListSpec, Object};
use crate::runtime::Failure;
use millpond_store::StoreError;

/// Files of an import at the most. Developer guide, "DynamoDB table imports: quotas".
const FILES_MAX: usize = 50_000;

/// The objects below the prefix, in the order of their keys; or why there are none: code and text.
pub(super) async fn of(lake: &Lake, transfer: &Transfer) -> Result<Result<Vec<Object>, (&'static str, String)>, Failure> {
    let (bucket, prefix) = (transfer.bucket.clone(), transfer.prefix.clone().unwrap_or_default());
    let found = lake.store.read(move |connection| {
        let Some(row) = objects::bucket(connection, &bucket)? else {
            return Ok::<_, StoreError>(Err(("S3NoSuchBucket", format!("The specified bucket does not exist: {bucket}"))));
        };
        let spec = ListSpec { prefix: prefix.clone(), limit: FILES_MAX + 1, ..ListSpec::default() };
        let mut found = objects::list(connection, row.id, &spec)?.objects;
        found.retain(|object| object.size > 0 && !object.key.ends_with('/'));
        Ok(match found.len() {
            0 => Err(("S3NoSuchKey", format!("There is no object below s3://{bucket}/{prefix}"))),
            1..=FILES_MAX => Ok(found),
            _ => Err(("ImportLimitExceeded", format!("There are more than {FILES_MAX} objects below s3://{bucket}/{prefix}"))),
        })
    });
    Ok(found.await?)
}
