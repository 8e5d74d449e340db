use super::{BlobId, BlobStore, INLINE_MAX, Origin, sync_directory};
use crate::StoreError;
use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Bytes that are gathered before they are handed to a thread that may block.
const CHUNK: usize = 1024 * 1024;

/// Bytes that are safe on disk (or still in memory, where the transaction carries them), without a name yet.
#[derive(Debug, Clone)]
pub enum NewBlob {
    /// Small: the transaction that adopts it carries the bytes.
    Inline(Bytes),
    /// Written and synced.
    File {
        /// Its id.
        id: BlobId,
        /// Bytes.
        size: u64,
    },
}

impl NewBlob {
    /// Bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }
}

/// Takes the bytes of one blob as they come. Holds 1 MiB at the most; dropped unfinished, it removes what it wrote.
#[derive(Debug)]
pub struct BlobWriter {
    blobs: BlobStore,
    buffer: BytesMut,
    spill: Option<Spill>,
}

/// A file that is being written, and removed again where it is dropped before it is kept.
#[derive(Debug)]
pub(super) struct Spill {
    id: BlobId,
    path: PathBuf,
    file: Option<File>,
    size: u64,
    kept: bool,
}

impl Spill {
    pub(super) fn create(blobs: &BlobStore, id: BlobId) -> Result<Self, StoreError> {
        let path = blobs.file(&id);
        let file = File::create_new(&path).map_err(|error| StoreError::io(&path, error))?;
        Ok(Self { id, path, file: Some(file), size: 0, kept: false })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.file.as_mut().expect("the file is open until the spill is kept");
        file.write_all(bytes).map_err(|error| StoreError::io(&self.path, error))?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Syncs the file and its directory; answers its size.
    pub(super) fn keep(mut self) -> Result<(BlobId, u64), StoreError> {
        let file = self.file.take().expect("the file is open until the spill is kept");
        file.sync_data().map_err(|error| StoreError::io(&self.path, error))?;
        // A blob must never be named whose file is gone, whoever removed it.
        let links = file.metadata().map_err(|error| StoreError::io(&self.path, error))?.nlink();
        if links == 0 {
            return Err(StoreError::NoSuchBlob(self.id.to_string()));
        }
        sync_directory(self.path.parent().expect("a blob's file lies in a folder"))?;
        self.kept = true;
        Ok((self.id.clone(), self.size))
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl BlobWriter {
    pub(super) fn new(blobs: BlobStore) -> Self {
        Self { blobs, buffer: BytesMut::new(), spill: None }
    }

    /// Adds bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.buffer.extend_from_slice(bytes);
        let limit = if self.spill.is_some() { CHUNK } else { INLINE_MAX };
        if self.buffer.len() > limit { self.flush().await } else { Ok(()) }
    }

    /// Ends the blob: large ones are synced to disk when this returns.
    pub async fn finish(mut self) -> Result<NewBlob, StoreError> {
        if self.spill.is_none() && self.buffer.len() <= INLINE_MAX {
            return Ok(NewBlob::Inline(self.buffer.freeze()));
        }
        self.flush().await?;
        let spill = self.spill.take().expect("a flush leaves a spill");
        let (id, size) = blocking(move || spill.keep()).await?;
        Ok(NewBlob::File { id, size })
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        let bytes = self.buffer.split().freeze();
        let spill = self.spill.take();
        let blobs = self.blobs.clone();
        let spill = blocking(move || {
            let mut spill = match spill {
                Some(spill) => spill,
                None => Spill::create(&blobs, BlobId::new(Origin::File, &blobs.inner.env))?,
            };
            spill.write(&bytes)?;
            Ok(spill)
        });
        self.spill = Some(spill.await?);
        Ok(())
    }
}

/// Runs what may block on a thread where that is fine.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Panicked)?
}
