use super::write::blocking;
use super::{BlobId, BlobStore, Origin, kind};
use crate::StoreError;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use rusqlite::{Connection, OptionalExtension};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// What a stream reads at once. Bytes.
const CHUNK: u64 = 512 * 1024;

/// A blob that is ready to be read: what it is was looked up once.
#[derive(Debug, Clone)]
pub(super) enum Opened {
    Inline(Bytes),
    File {
        file: Arc<File>,
        path: Arc<std::path::Path>,
        size: u64,
    },
    /// The parts with the offset at which each begins.
    Concat {
        parts: Arc<Vec<(u64, Opened)>>,
        size: u64,
    },
}

impl Opened {
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::File { size, .. } | Self::Concat { size, .. } => *size,
        }
    }

    /// The bytes of `range`, which ends within the blob. Blocks.
    pub(super) fn read(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        match self {
            Self::Inline(bytes) => Ok(bytes.slice(range.start as usize..range.end as usize)),
            Self::File { file, path, .. } => {
                let mut buffer = vec![0u8; (range.end - range.start) as usize];
                file.read_exact_at(&mut buffer, range.start).map_err(|error| StoreError::io(path, error))?;
                Ok(buffer.into())
            }
            Self::Concat { parts, .. } => read_concat(parts, range),
        }
    }
}

fn read_concat(parts: &[(u64, Opened)], range: Range<u64>) -> Result<Bytes, StoreError> {
    let first = parts.partition_point(|(start, part)| start + part.size() <= range.start);
    let mut pieces = Vec::new();
    for (start, part) in parts[first..].iter().take_while(|(start, _)| *start < range.end) {
        let from = range.start.max(*start) - start;
        let to = range.end.min(start + part.size()) - start;
        if from < to {
            pieces.push(part.read(from..to)?);
        }
    }
    match pieces.len() {
        1 => Ok(pieces.swap_remove(0)),
        _ => Ok(pieces.concat().into()),
    }
}

impl BlobStore {
    /// Looks a blob up. Blocks.
    pub(super) fn open_blob(&self, id: &BlobId) -> Result<Opened, StoreError> {
        match id.origin() {
            Origin::File => self.open_file(id),
            _ => self.with_reader(|connection| self.open_row(connection, id)),
        }
    }

    fn open_file(&self, id: &BlobId) -> Result<Opened, StoreError> {
        let path = self.file(id);
        let file = File::open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => StoreError::NoSuchBlob(id.to_string()),
            _ => StoreError::io(&path, error),
        })?;
        let size = file.metadata().map_err(|error| StoreError::io(&path, error))?.len();
        Ok(Opened::File { file: Arc::new(file), path: path.into(), size })
    }

    fn open_row(&self, connection: &Connection, id: &BlobId) -> Result<Opened, StoreError> {
        let mut statement = connection.prepare_cached("SELECT kind, bytes FROM blob WHERE id = ?")?;
        let row = statement.query_row([id], |row| Ok((row.get(0)?, row.get::<_, Option<Vec<u8>>>(1)?))).optional()?;
        match row {
            None => Err(StoreError::NoSuchBlob(id.to_string())),
            Some((kind::INLINE, bytes)) => Ok(Opened::Inline(bytes.unwrap_or_default().into())),
            Some((kind::FILE, _)) => self.open_file(id),
            Some((kind::CONCAT, _)) => self.open_concat(connection, id),
            Some((other, _)) => Err(StoreError::Corrupt(format!("blob {id} is of kind {other}"))),
        }
    }

    fn open_concat(&self, connection: &Connection, id: &BlobId) -> Result<Opened, StoreError> {
        let mut statement = connection.prepare_cached("SELECT part FROM blob_part WHERE blob = ? ORDER BY idx")?;
        let ids = statement.query_map([id], |row| row.get::<_, BlobId>(0))?.collect::<Result<Vec<_>, _>>()?;
        let (mut size, mut parts) = (0, Vec::with_capacity(ids.len()));
        for part in ids {
            let part = match part.origin() {
                Origin::File => self.open_file(&part)?,
                _ => self.open_row(connection, &part)?,
            };
            let start = size;
            size += part.size();
            parts.push((start, part));
        }
        Ok(Opened::Concat { parts: Arc::new(parts), size })
    }

    /// All bytes of a blob, as `connection` sees it (which may be a transaction that has just adopted it). Blocks.
    ///
    /// # Errors
    /// There is no such blob; reading fails.
    pub fn read_whole(&self, connection: &Connection, id: &BlobId) -> Result<Bytes, StoreError> {
        let opened = match id.origin() {
            Origin::File => self.open_file(id)?,
            _ => self.open_row(connection, id)?,
        };
        opened.read(0..opened.size())
    }

    /// The bytes of a range of a blob, as a stream of chunks of up to 512 KiB. The range must lie within the blob.
    pub async fn stream(
        &self,
        id: &BlobId,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
        let (blobs, id) = (self.clone(), id.clone());
        let opened = blocking(move || blobs.open_blob(&id)).await?;
        Ok(chunks(opened, range))
    }
}

/// Reads chunk after chunk, the first one included, on threads where blocking is fine.
pub(super) fn chunks(opened: Opened, range: Range<u64>) -> BoxStream<'static, Result<Bytes, StoreError>> {
    if let Opened::Inline(bytes) = &opened {
        let bytes = bytes.slice(range.start as usize..range.end as usize);
        return stream::once(async move { Ok(bytes) }).boxed();
    }
    stream::try_unfold((opened, range), |(opened, rest)| async move {
        if rest.is_empty() {
            return Ok(None);
        }
        let end = rest.end.min(rest.start + CHUNK);
        let (start, reader) = (rest.start, opened.clone());
        let bytes = blocking(move || reader.read(start..end)).await?;
        Ok(Some((bytes, (opened, end..rest.end))))
    })
    .boxed()
}
