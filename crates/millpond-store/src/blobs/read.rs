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
use std::path::Path;
use std::sync::Arc;

/// What a stream reads at once. Bytes.
const CHUNK: u64 = 512 * 1024;

/// What is copied from the system's memory without leaving the thread: to hand more than this over costs little beside the copying. Bytes.
const COPIED_MAX: u64 = 4 << 20;

/// Where the bytes of a blob are. It never changes, for no blob does.
#[derive(Debug)]
pub(super) struct Layout {
    pieces: Vec<Piece>,
    size: u64,
}

#[derive(Debug)]
struct Piece {
    /// Where it begins in the blob.
    start: u64,
    size: u64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Inline(Bytes),
    File(Box<Path>),
}

impl Place {
    fn size(&self) -> Result<u64, StoreError> {
        match self {
            Self::Inline(bytes) => Ok(bytes.len() as u64),
            Self::File(path) => match std::fs::metadata(path) {
                Ok(metadata) => Ok(metadata.len()),
                Err(error) => Err(cannot_open(path, error)),
            },
        }
    }
}

fn cannot_open(path: &Path, error: std::io::Error) -> StoreError {
    match (error.kind(), path.file_name()) {
        (std::io::ErrorKind::NotFound, Some(id)) => StoreError::NoSuchBlob(id.to_string_lossy().into_owned()),
        _ => StoreError::io(path, error),
    }
}

fn read_file(file: &File, path: &Path, range: Range<u64>) -> Result<Bytes, StoreError> {
    let mut buffer = vec![0u8; (range.end - range.start) as usize];
    file.read_exact_at(&mut buffer, range.start).map_err(|error| StoreError::io(path, error))?;
    Ok(buffer.into())
}

impl Layout {
    fn of_one(place: Place) -> Result<Self, StoreError> {
        let size = place.size()?;
        Ok(Self { pieces: vec![Piece { start: 0, size, place }], size })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Roughly what keeping it takes. Bytes.
    pub(super) fn weight(&self) -> u64 {
        let of_piece = |piece: &Piece| match &piece.place {
            Place::Inline(bytes) => bytes.len(),
            Place::File(path) => path.as_os_str().len(),
        };
        self.pieces.iter().map(|piece| (size_of::<Piece>() + of_piece(piece)) as u64).sum()
    }

    /// The bytes of `range`, of which `read` gives those of a place.
    fn gather<E>(
        &self,
        range: Range<u64>,
        mut read: impl FnMut(usize, &Place, Range<u64>) -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        let first = self.pieces.partition_point(|piece| piece.start + piece.size <= range.start);
        let mut gathered = Vec::new();
        for (index, piece) in self.pieces.iter().enumerate().skip(first).take_while(|(_, piece)| piece.start < range.end) {
            let from = range.start.max(piece.start) - piece.start;
            let to = range.end.min(piece.start + piece.size) - piece.start;
            if from < to {
                gathered.push(read(index, &piece.place, from..to)?);
            }
        }
        match gathered.len() {
            1 => Ok(gathered.swap_remove(0)),
            _ => Ok(gathered.concat().into()),
        }
    }

    /// The bytes of `range`, which ends within the blob; files are opened for as long as they are read. Blocks.
    pub(super) fn read(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.gather(range, |_, place, part| match place {
            Place::Inline(bytes) => Ok(bytes.slice(part.start as usize..part.end as usize)),
            Place::File(path) => {
                let file = File::open(path).map_err(|error| cannot_open(path, error))?;
                read_file(&file, path, part)
            }
        })
    }

    /// The bytes of the ranges where they are few and in the system's memory, else nothing. Doesn't wait for a disk.
    pub(super) fn read_cached(&self, ranges: &[Range<u64>]) -> Option<Vec<Bytes>> {
        if ranges.iter().map(|range| range.end - range.start).sum::<u64>() > COPIED_MAX {
            return None;
        }
        let mut opened: Option<(usize, cached::File)> = None;
        let mut read = |index: usize, place: &Place, part: Range<u64>| match place {
            Place::Inline(bytes) => Ok(bytes.slice(part.start as usize..part.end as usize)),
            Place::File(path) => {
                if opened.as_ref().is_none_or(|(of, _)| *of != index) {
                    opened = Some((index, cached::open(path).ok_or(())?));
                }
                opened.as_ref().and_then(|(_, file)| cached::read(file, part)).ok_or(())
            }
        };
        ranges.iter().map(|range| self.gather(range.clone(), &mut read).ok()).collect()
    }
}

/// Reading what the system has in memory (Linux: `openat2` with `RESOLVE_CACHED`, `preadv2` with `RWF_NOWAIT`).
#[cfg(target_os = "linux")]
mod cached {
    use bytes::Bytes;
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
    use rustix::io::{ReadWriteFlags, preadv2};
    use std::io::IoSliceMut;
    use std::ops::Range;
    use std::path::Path;

    pub(super) type File = std::os::fd::OwnedFd;

    pub(super) fn open(path: &Path) -> Option<File> {
        openat2(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::CACHED).ok()
    }

    pub(super) fn read(file: &File, range: Range<u64>) -> Option<Bytes> {
        let mut buffer = vec![0u8; usize::try_from(range.end - range.start).ok()?];
        let mut done = 0;
        while done < buffer.len() {
            let rest = &mut [IoSliceMut::new(&mut buffer[done..])];
            match preadv2(file, rest, range.start + done as u64, ReadWriteFlags::NOWAIT) {
                Ok(0) | Err(_) => return None,
                Ok(read) => done += read,
            }
        }
        Some(buffer.into())
    }
}

#[cfg(not(target_os = "linux"))]
mod cached {
    use bytes::Bytes;
    use std::ops::Range;
    use std::path::Path;

    pub(super) enum File {}

    pub(super) fn open(_: &Path) -> Option<File> {
        None
    }

    pub(super) fn read(file: &File, _: Range<u64>) -> Option<Bytes> {
        match *file {}
    }
}

/// A blob whose files are held open: it can be read to its end, whatever becomes of its names.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) layout: Arc<Layout>,
    files: Arc<Vec<Option<File>>>,
}

impl Opened {
    /// Blocks.
    fn new(layout: Arc<Layout>) -> Result<Self, StoreError> {
        let open = |piece: &Piece| match &piece.place {
            Place::Inline(_) => Ok(None),
            Place::File(path) => File::open(path).map(Some).map_err(|error| cannot_open(path, error)),
        };
        let files = layout.pieces.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { layout, files: Arc::new(files) })
    }

    /// The bytes of `range`, which ends within the blob. Blocks.
    fn read(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.layout.gather(range, |index, place, part| match (place, &self.files[index]) {
            (Place::Inline(bytes), _) => Ok(bytes.slice(part.start as usize..part.end as usize)),
            (Place::File(path), Some(file)) => read_file(file, path, part),
            (Place::File(path), None) => Err(StoreError::Corrupt(format!("{} was not opened", path.display()))),
        })
    }
}

impl BlobStore {
    /// Looks a blob up, and opens its files. Blocks.
    pub(super) fn open_blob(&self, id: &BlobId) -> Result<Opened, StoreError> {
        Opened::new(self.layout(id)?)
    }

    /// Where a blob is. Blocks, unless [`Self::known_layout`] has it.
    pub(super) fn layout(&self, id: &BlobId) -> Result<Arc<Layout>, StoreError> {
        if let Some(known) = self.known_layout(id) {
            return Ok(known);
        }
        let layout = Arc::new(match id.origin() {
            Origin::File => self.layout_of_file(id)?,
            _ => self.with_reader(|connection| self.layout_of_row(connection, id))?,
        });
        self.inner.layouts.insert(id.clone(), Arc::clone(&layout));
        Ok(layout)
    }

    pub(super) fn known_layout(&self, id: &BlobId) -> Option<Arc<Layout>> {
        self.inner.layouts.get(id)
    }

    fn layout_of_file(&self, id: &BlobId) -> Result<Layout, StoreError> {
        Layout::of_one(Place::File(self.file(id).into()))
    }

    fn layout_of_row(&self, connection: &Connection, id: &BlobId) -> Result<Layout, StoreError> {
        let mut statement = connection.prepare_cached("SELECT kind, bytes FROM blob WHERE id = ?")?;
        let row = statement.query_row([id], |row| Ok((row.get(0)?, row.get::<_, Option<Vec<u8>>>(1)?))).optional()?;
        match row {
            None => Err(StoreError::NoSuchBlob(id.to_string())),
            Some((kind::INLINE, bytes)) => Layout::of_one(Place::Inline(bytes.unwrap_or_default().into())),
            Some((kind::FILE, _)) => self.layout_of_file(id),
            Some((kind::CONCAT, _)) => self.layout_of_concat(connection, id),
            Some((other, _)) => Err(StoreError::Corrupt(format!("blob {id} is of kind {other}"))),
        }
    }

    fn layout_of_concat(&self, connection: &Connection, id: &BlobId) -> Result<Layout, StoreError> {
        let mut statement = connection.prepare_cached("SELECT part FROM blob_part WHERE blob = ? ORDER BY idx")?;
        let ids = statement.query_map([id], |row| row.get::<_, BlobId>(0))?.collect::<Result<Vec<_>, _>>()?;
        let mut layout = Layout { pieces: Vec::with_capacity(ids.len()), size: 0 };
        for part in ids {
            let part = match part.origin() {
                Origin::File => self.layout_of_file(&part)?,
                _ => self.layout_of_row(connection, &part)?,
            };
            for piece in part.pieces {
                layout.pieces.push(Piece { start: layout.size + piece.start, ..piece });
            }
            layout.size += part.size;
        }
        Ok(layout)
    }

    /// All bytes of a blob, as `connection` sees it (which may be a transaction that has just adopted it). Blocks.
    ///
    /// # Errors
    /// There is no such blob; reading fails.
    pub fn read_whole(&self, connection: &Connection, id: &BlobId) -> Result<Bytes, StoreError> {
        let layout = match id.origin() {
            Origin::File => self.layout_of_file(id)?,
            _ => self.layout_of_row(connection, id)?,
        };
        layout.read(0..layout.size())
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
    if let [Piece { place: Place::Inline(bytes), .. }] = opened.layout.pieces.as_slice() {
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
