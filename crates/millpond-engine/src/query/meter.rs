//! Counts the bytes that a statement reads, and stops it at its limit.

use super::error::QueryError;
use super::stream::QueryStatistics;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A read-only view of the store that counts what is read: Athena's `DataScannedInBytes`.
#[derive(Debug)]
pub(crate) struct MeteredStore {
    inner: Arc<dyn ObjectStore>,
    meter: Arc<Meter>,
}

#[derive(Debug)]
struct Meter {
    statistics: Arc<QueryStatistics>,
    scan_bytes_max: Option<u64>,
    /// What was read through this store.
    bytes: AtomicU64,
}

impl MeteredStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, statistics: Arc<QueryStatistics>, scan_bytes_max: Option<u64>) -> Self {
        Self { inner, meter: Arc::new(Meter { statistics, scan_bytes_max, bytes: AtomicU64::new(0) }) }
    }

    /// The store itself: what is read from it is not the statement's.
    pub(crate) fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    /// Counts bytes as read that come from elsewhere.
    ///
    /// # Errors
    /// The statement has read more than it may.
    pub(crate) fn count(&self, bytes: u64) -> Result<()> {
        self.meter.count(bytes)
    }

    /// Takes back what was counted: the query begins again, and its reader pays for one time only.
    pub(crate) fn forget(&self) {
        self.meter.statistics.forget_scanned(self.meter.bytes.swap(0, Ordering::AcqRel));
    }
}

impl Meter {
    fn count(&self, bytes: u64) -> Result<()> {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        let total = self.statistics.add_scanned(bytes);
        match self.scan_bytes_max {
            Some(limit) if total > limit => {
                Err(object_store::Error::Generic { store: "query", source: Box::new(QueryError::ExceededScan(limit)) })
            }
            _ => Ok(()),
        }
    }
}

fn read_only<T>() -> Result<T> {
    Err(object_store::Error::NotSupported { source: "a query can't write objects".into() })
}

impl std::fmt::Display for MeteredStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "metered {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for MeteredStore {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        read_only()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        read_only()
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let mut result = self.inner.get_opts(location, options).await?;
        if head {
            return Ok(result);
        }
        result.payload = match result.payload {
            // Counted as it is read: a reader may stop early.
            GetResultPayload::Stream(stream) => {
                let meter = Arc::clone(&self.meter);
                GetResultPayload::Stream(
                    stream
                        .map(move |chunk| {
                            let chunk = chunk?;
                            meter.count(chunk.len() as u64)?;
                            Ok(chunk)
                        })
                        .boxed(),
                )
            }
            #[allow(unreachable_patterns, reason = "files are a payload only on some platforms")]
            file => {
                self.count(result.range.end - result.range.start)?;
                file
            }
        };
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.count(ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum())?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        futures::stream::once(async { read_only() }).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        futures::stream::once(async { read_only() }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        read_only()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        read_only()
    }
}
