//! The lake's objects, as metadata name them.

use crate::query::QueryError;
use crate::table::{DataFile, SourceError, TableSource};
use bytes::Bytes;
use std::sync::{Arc, Mutex};

/// The lake's objects as they all are at one moment. Blocks.
pub trait Objects {
    /// The object of this URI (`s3://bucket/key`).
    ///
    /// # Errors
    /// The store's.
    fn file(&self, uri: &str) -> Result<Option<DataFile>, SourceError>;

    /// All bytes of a file of this store.
    ///
    /// # Errors
    /// The store's; the file is larger than `bytes_max`.
    fn bytes(&self, file: &DataFile, bytes_max: u64) -> Result<Bytes, SourceError>;
}

/// Work on objects at one moment.
pub type Look = Box<dyn FnOnce(&dyn Objects) + Send>;

/// Runs `work` over the objects of `source`.
///
/// # Errors
/// The source's, and those of `work`.
pub async fn look<T: Send + 'static>(
    source: &dyn TableSource,
    work: impl FnOnce(&dyn Objects) -> Result<T, QueryError> + Send + 'static,
) -> Result<T, QueryError> {
    let answer = Arc::new(Mutex::new(None));
    let put = Arc::clone(&answer);
    let look = move |objects: &dyn Objects| {
        let worked = work(objects);
        if let Ok(mut answer) = put.lock() {
            *answer = Some(worked);
        }
    };
    source.look(Box::new(look)).await?;
    let answered = answer.lock().ok().and_then(|mut answer| answer.take());
    answered.unwrap_or_else(|| Err(QueryError::Internal("the catalog did not look at its objects".into())))
}
