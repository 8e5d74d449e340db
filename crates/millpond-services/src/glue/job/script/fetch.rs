//! Brings objects of the lake to where a script's process finds them.

use crate::lake::Lake;
use crate::lake::objects::{self, split_uri};
use futures::StreamExt;
use millpond_functions::{Space, space};
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

/// What may be brought for one script.
#[derive(Debug)]
pub struct Room {
    bytes_max: u64,
    bytes_left: u64,
    /// Tells the room of a file system.
    space: fn(&Path) -> Option<Space>,
}

impl Room {
    /// For so many bytes in all.
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes_left: bytes_max, space }
    }

    fn take(&mut self, bytes: u64) -> Result<(), String> {
        let left = self.bytes_left.checked_sub(bytes).ok_or_else(|| {
            format!(
                "it has {bytes} bytes, and {} are left of the {} that may lie in /tmp; raise `[jobs] disk` of millpond.toml",
                self.bytes_left, self.bytes_max
            )
        });
        self.bytes_left = left?;
        Ok(())
    }

    fn look(&self, to: &Path) -> Result<(), String> {
        match (self.space)(to).is_some_and(Space::is_nearly_full) {
            true => {
                Err("the disk that scripts write to is nearly full (less than 1 GiB or 2% of it is free); make room on it".into())
            }
            false => Ok(()),
        }
    }
}

/// Writes the object at `uri` to the file `to`. `what` begins the message where it cannot be read: `Python script`.
///
/// # Errors
/// [`FetchError::Missing`] where there is no such object, or no room for it; what was written of it then goes with the script's `/tmp`.
pub async fn fetch(lake: &Lake, room: &mut Room, what: &str, uri: &str, to: &Path) -> Result<(), FetchError> {
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
    let no_room = |why: String| FetchError::Missing(format!("{what} {uri} cannot be brought: {why}"));
    room.take(object.size).map_err(no_room)?;
    if let Some(parent) = to.parent() {
        tokio::fs::create_dir_all(parent).await?;
    }
    let mut file = tokio::fs::File::create(to).await?;
    let mut chunks = lake.store.blobs().stream(&object.blob, 0..object.size).await?;
    while let Some(chunk) = chunks.next().await {
        room.look(to).map_err(no_room)?;
        file.write_all(&chunk?).await?;
    }
    file.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glue::job::testing::Pond;

    #[tokio::test]
    async fn what_is_brought_for_a_script_has_the_room_of_its_tmp_and_leaves_some_on_the_disk() {
        let pond = Pond::new().await;
        pond.put(&[("s3://raw/a", b"12345678"), ("s3://raw/b", b"12345678"), ("s3://raw/c", b"1234")]).await;
        let directory = tempfile::tempdir().unwrap();
        let lies = |name: &str| std::fs::read_dir(directory.path().join(name)).is_ok_and(|mut files| files.next().is_some());
        let mut room = Room { space: |_| None, ..Room::new(12) };
        let bring = async |room: &mut Room, uri: &str, folder: &str| {
            let done = fetch(&pond.lake, room, "--extra-files:", uri, &directory.path().join(folder).join("file")).await;
            done.map_err(|error| error.to_string())
        };
        bring(&mut room, "s3://raw/a", "a").await.unwrap();
        let refused = bring(&mut room, "s3://raw/b", "b").await.unwrap_err();
        assert!(
            refused.starts_with("--extra-files: s3://raw/b cannot be brought: it has 8 bytes, and 4 are left of the 12"),
            "{refused}"
        );
        assert!(lies("a") && !lies("b"));
        bring(&mut room, "s3://raw/c", "c").await.unwrap();
        let full = |_: &Path| Some(Space { total_bytes: 100 << 30, free_bytes: 1 << 30 });
        let refused = bring(&mut Room { space: full, ..Room::new(12) }, "s3://raw/a", "d").await.unwrap_err();
        assert!(refused.contains("s3://raw/a cannot be brought: the disk that scripts write to is nearly full"), "{refused}");
        assert_eq!(std::fs::read(directory.path().join("d/file")).unwrap(), b"");
    }
}
