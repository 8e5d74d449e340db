//! The blobs as an `object_store::ObjectStore`, for the engine. Locations are blob ids; a blob is written once and never changed.

use super::read::{Layout, chunks};
use super::write::{Spill, blocking};
use super::{BlobId, BlobStore, INLINE_MAX, kind};
use crate::StoreError;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use std::ops::Range;
use std::sync::{Arc, Mutex};

impl std::fmt::Display for BlobStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BlobStore")
    }
}

fn refused(error: StoreError) -> Error {
    match error {
        StoreError::NoSuchBlob(id) => Error::NotFound { path: id.clone(), source: Box::new(StoreError::NoSuchBlob(id)) },
        other => Error::Generic { store: "BlobStore", source: Box::new(other) },
    }
}

fn id(location: &Path) -> Result<BlobId> {
    location.as_ref().parse().map_err(refused)
}

fn unsupported(what: &str) -> Error {
    Error::NotSupported { source: format!("blobs cannot be {what}").into() }
}

fn resolve(range: Option<&GetRange>, size: u64) -> Result<Range<u64>> {
    let range = match range {
        None => 0..size,
        Some(GetRange::Bounded(range)) => range.start..range.end.min(size),
        Some(GetRange::Offset(start)) => *start..size,
        Some(GetRange::Suffix(last)) => size.saturating_sub(*last)..size,
    };
    if range.start > range.end || (range.start == size && size > 0) {
        let source = format!("the range begins at {} of {size} bytes", range.start).into();
        return Err(Error::Generic { store: "BlobStore", source });
    }
    Ok(range)
}

fn meta(location: &Path, size: u64) -> ObjectMeta {
    // A blob never changes, so its location is all that tells it from others; the time is of no use to a reader.
    ObjectMeta { location: location.clone(), last_modified: chrono::DateTime::UNIX_EPOCH, size, e_tag: None, version: None }
}

impl BlobStore {
    async fn located(&self, location: &Path) -> Result<Arc<Layout>> {
        let id = id(location)?;
        if let Some(known) = self.known_layout(&id) {
            return Ok(known);
        }
        let blobs = self.clone();
        blocking(move || blobs.layout(&id)).await.map_err(refused)
    }

    /// A row without a name: adopted soon, or collected.
    async fn record(&self, id: BlobId, kind: i64, size: u64, bytes: Option<Bytes>) -> Result<PutResult> {
        let recorded = self.inner.writer.write(move |tx| tx.insert_blob(&id, kind, size, 0, bytes.as_deref()));
        recorded.await.map_err(refused)?;
        Ok(PutResult { e_tag: None, version: None })
    }
}

#[async_trait]
impl ObjectStore for BlobStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, _options: PutOptions) -> Result<PutResult> {
        let id = id(location)?;
        let size = payload.content_length();
        if size <= INLINE_MAX {
            return self.record(id, kind::INLINE, size as u64, Some(payload.into())).await;
        }
        let (blobs, file_id) = (self.clone(), id.clone());
        let written = blocking(move || {
            let mut spill = Spill::create(&blobs, file_id)?;
            payload.iter().try_for_each(|bytes| spill.write(bytes))?;
            spill.keep()
        });
        let (id, size) = written.await.map_err(refused)?;
        self.record(id, kind::FILE, size, None).await
    }

    async fn put_multipart_opts(&self, location: &Path, _options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let (blobs, id) = (self.clone(), id(location)?);
        let spill = blocking(move || Spill::create(&blobs, id)).await.map_err(refused)?;
        Ok(Box::new(Upload { blobs: self.clone(), spill: Arc::new(Mutex::new(Some(spill))), order: Arc::default(), parts: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (blobs, id) = (self.clone(), id(location)?);
        let opened = blocking(move || blobs.open_blob(&id)).await.map_err(refused)?;
        let size = opened.layout.size();
        let meta = meta(location, size);
        options.check_preconditions(&meta)?;
        let range = resolve(options.range.as_ref(), size)?;
        let bytes = if options.head { 0..0 } else { range.clone() };
        let payload = chunks(opened, bytes).map(|chunk| chunk.map_err(refused)).boxed();
        Ok(GetResult { payload: GetResultPayload::Stream(payload), meta, range, attributes: Default::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let layout = self.located(location).await?;
        let beyond = |range: &&Range<u64>| range.end > layout.size() || range.start > range.end;
        if let Some(range) = ranges.iter().find(beyond) {
            let problem = format!("blob {location} has {} bytes, {range:?} was asked for", layout.size());
            return Err(refused(StoreError::Corrupt(problem)));
        }
        if let Some(read) = layout.read_cached(ranges) {
            return Ok(read);
        }
        let ranges = ranges.to_vec();
        let read = blocking(move || ranges.into_iter().map(|range| layout.read(range)).collect());
        read.await.map_err(refused)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        locations.map(|_| Err(unsupported("deleted by location; they go when their last name does"))).boxed()
    }

    fn list(&self, _prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::once(async { Err(unsupported("listed")) }).boxed()
    }

    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> Result<ListResult> {
        Err(unsupported("listed"))
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(unsupported("copied; a name more is cheaper"))
    }
}

/// Parts are written one after another in the order in which they were put, though their futures may be polled at the same time.
#[derive(Debug)]
struct Upload {
    blobs: BlobStore,
    spill: Arc<Mutex<Option<Spill>>>,
    /// The number of the part whose turn it is.
    order: Arc<tokio::sync::watch::Sender<usize>>,
    parts: usize,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (turn, spill, order) = (self.parts, self.spill.clone(), self.order.clone());
        self.parts += 1;
        Box::pin(async move {
            let mut now = order.subscribe();
            let gone = |_| refused(StoreError::Closed);
            now.wait_for(|number| *number == turn).await.map_err(gone)?;
            let write = move || {
                let mut guard = spill.lock().expect("a part's write does not panic");
                let spill = guard.as_mut().ok_or(StoreError::Closed)?;
                data.iter().try_for_each(|bytes| spill.write(bytes))
            };
            let written = blocking(write).await.map_err(refused);
            order.send_modify(|number| *number += 1);
            written
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let spill = self.spill.lock().expect("a part's write does not panic").take();
        let spill = spill.ok_or_else(|| refused(StoreError::Closed))?;
        let (id, size) = blocking(move || spill.keep()).await.map_err(refused)?;
        self.blobs.record(id, kind::FILE, size, None).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.spill.lock().expect("a part's write does not panic").take();
        Ok(())
    }
}
