//! Brings objects of the lake to where a script's process finds them.

use crate::lake::Lake;
use crate::lake::objects::{self, split_uri};
use futures::StreamExt;
use millpond_store::StoreError;
use std::path::Path;
use tokio::io::AsyncWriteExt;

/// A file for a script may be so large, bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 30;

/// Why an object cannot be brought.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// For people: says which one, and why.
    #[error("{0}")]
    Missing(String),
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<std::io::Error> for FetchError {
    fn from(error: std::io::Error) -> Self {
        Self::Store(StoreError::Corrupt(format!("writing a file for a script: {error}")))
    }
}

/// The last part of an object's key.
pub fn name_of(uri: &str) -> &str {
    uri.rsplit('/').next().unwrap_or(uri)
}

/// Writes the object at `uri` to the file `to`. `what` begins the message where it cannot be read: `Python script`.
pub async fn fetch(lake: &Lake, what: &str, uri: &str, to: &Path) -> Result<(), FetchError> {
    let (bucket, key) = split_uri(uri).ok_or_else(|| FetchError::Missing(format!("{what} {uri} is no s3://bucket/key")))?;
    let (bucket, key) = (bucket.to_owned(), key.to_owned());
    let found = lake.store.read(move |connection| {
        let Some(bucket) = objects::bucket(connection, &bucket)? else {
            return Ok::<_, StoreError>(Err("the bucket does not exist"));
        };
        Ok(objects::get(connection, bucket.id, &key)?.ok_or("there is no such object"))
    });
    let object = found.await?.map_err(|why| FetchError::Missing(format!("{what} {uri} cannot be read: {why}")))?;
    if object.size > FILE_BYTES_MAX {
        return Err(FetchError::Missing(format!("{what} {uri} has {} bytes; {FILE_BYTES_MAX} are the limit", object.size)));
    }
    if let Some(parent) = to.parent() {
        tokio::fs::create_dir_all(parent).await?;
    }
    let mut file = tokio::fs::File::create(to).await?;
    let mut chunks = lake.store.blobs().stream(&object.blob, 0..object.size).await?;
    while let Some(chunk) = chunks.next().await {
        file.write_all(&chunk?).await?;
    }
    file.flush().await?;
    Ok(())
}
