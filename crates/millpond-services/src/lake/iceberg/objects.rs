//! The lake's objects for readers of metadata, as they are in one read transaction.

use crate::lake::objects;
use bytes::Bytes;
use millpond_engine::iceberg::Objects;
use millpond_engine::table::{DataFile, SourceError};
use millpond_store::blobs::BlobStore;
use rusqlite::Connection;
use std::cell::RefCell;
use std::collections::HashMap;

/// The objects that a connection's transaction sees.
pub struct Snapshot<'a> {
    connection: &'a Connection,
    blobs: &'a BlobStore,
    /// Ids of buckets that were asked for.
    buckets: RefCell<HashMap<String, Option<i64>>>,
}

impl std::fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl<'a> Snapshot<'a> {
    /// Of a connection, whose transaction should be one as long as this is used.
    pub fn new(connection: &'a Connection, blobs: &'a BlobStore) -> Self {
        Self { connection, blobs, buckets: RefCell::default() }
    }

    fn bucket(&self, name: &str) -> Result<Option<i64>, SourceError> {
        if let Some(known) = self.buckets.borrow().get(name) {
            return Ok(*known);
        }
        let found = objects::bucket(self.connection, name).map_err(|error| SourceError::metastore(error.to_string()))?;
        let id = found.map(|bucket| bucket.id);
        self.buckets.borrow_mut().insert(name.to_owned(), id);
        Ok(id)
    }
}

impl Objects for Snapshot<'_> {
    fn file(&self, uri: &str) -> Result<Option<DataFile>, SourceError> {
        let Some((bucket, key)) = objects::split_uri(uri) else {
            return Err(SourceError::named(
                "ICEBERG_INVALID_METADATA",
                format!("{uri} is not the name of an object of the lake"),
            ));
        };
        let Some(id) = self.bucket(bucket)? else { return Ok(None) };
        let object = objects::get(self.connection, id, key).map_err(|error| SourceError::metastore(error.to_string()))?;
        Ok(object.map(|object| object.data_file(bucket)))
    }

    fn bytes(&self, file: &DataFile, bytes_max: u64) -> Result<Bytes, SourceError> {
        if file.size > bytes_max {
            let message = format!("{} has {} bytes; {bytes_max} are the limit", file.uri, file.size);
            return Err(SourceError::named("ICEBERG_INVALID_METADATA", message));
        }
        let read = file.blob.as_ref().parse().and_then(|id| self.blobs.read_whole(self.connection, &id));
        read.map_err(|error| SourceError::named("ICEBERG_FILESYSTEM_ERROR", format!("{}: {error}", file.uri)))
    }
}
