//! Object bytes: immutable blobs under opaque ids.
//!
//! A small blob lies in the database, so that its sync is shared with the transaction that names it. A larger one is a file of its own, synced
//! (and its directory too) before a transaction adopts it. A concatenation is a list of blobs: what a multipart upload becomes, without a byte
//! being copied. What a client of `object_store::ObjectStore` writes is inline or a file as well; its location is given before its size is known.
//!
//! A blob counts its names. When the last is gone it stays for a while ([`GRACE_MS`]), because a query may still read it; then the collector
//! removes it. A file that no row knows (a crash came between its writing and its naming) is collected too.

mod collect;
mod objects;
mod read;
mod write;

pub use collect::Collected;
pub use write::{BlobWriter, NewBlob};

use crate::writer::Writer;
use crate::{StoreError, Tx};
use millpond_core::env::{EnvExt, SharedEnv};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use read::Layout;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
#[cfg(test)]
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// A blob up to this size lies in the database. Bytes.
pub const INLINE_MAX: usize = 64 * 1024;

/// How long the bytes of a blob without a name are kept for those who still read it. Milliseconds.
pub const GRACE_MS: i64 = 60 * 60 * 1000;

/// How long the bytes of a blob that never had a name are kept for the transaction that will give it one: a conversion writes its files long
/// before it commits. Milliseconds.
pub const UNNAMED_GRACE_MS: i64 = 24 * GRACE_MS;

/// The opaque name of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobId(String);

/// What the first letter of an id says: how the bytes came, which tells how to find them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Given with the transaction: in the database.
    Inline,
    /// Streamed: in a file.
    File,
    /// A list of blobs.
    Concat,
    /// Written at a location of [`BlobStore::new_location`]: in the database or in a file, as its row says.
    Written,
}

/// How a row says that bytes are kept.
mod kind {
    pub(super) const INLINE: i64 = 0;
    pub(super) const FILE: i64 = 1;
    pub(super) const CONCAT: i64 = 2;
}

impl BlobId {
    /// Ids carry the time, so that rows of the same time lie together.
    fn new(origin: Origin, env: &SharedEnv) -> Self {
        let letter = match origin {
            Origin::Inline => 'i',
            Origin::File => 'f',
            Origin::Concat => 'c',
            Origin::Written => 'w',
        };
        Self(format!("{letter}{:011x}{}", env.now_ms(), env.random_hex(10)))
    }

    /// The id in text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the blob lies in [`BlobStore`] as an `ObjectStore`.
    pub fn path(&self) -> object_store::path::Path {
        object_store::path::Path::from(self.0.as_str())
    }

    fn origin(&self) -> Origin {
        match self.0.as_bytes()[0] {
            b'i' => Origin::Inline,
            b'f' => Origin::File,
            b'c' => Origin::Concat,
            _ => Origin::Written,
        }
    }
}

impl std::fmt::Display for BlobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for BlobId {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let sound = text.len() == 32
            && text.starts_with(['i', 'f', 'c', 'w'])
            && text[1..].bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if sound { Ok(Self(text.to_owned())) } else { Err(StoreError::NoSuchBlob(text.chars().take(64).collect())) }
    }
}

impl rusqlite::ToSql for BlobId {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl rusqlite::types::FromSql for BlobId {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|error| rusqlite::types::FromSqlError::Other(Box::new(error)))
    }
}

/// Object bytes of a lake; clones share it. Also an `object_store::ObjectStore` whose locations are blob ids.
#[derive(Debug, Clone)]
pub struct BlobStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Holds 256 folders, named by the last two digits of the ids in them.
    directory: PathBuf,
    database: PathBuf,
    readers: Mutex<Vec<Connection>>,
    writer: Writer,
    env: SharedEnv,
    /// When this process opened the store: a file without a row that is older belongs to nobody any more. Milliseconds since the epoch.
    opened_ms: AtomicI64,
    /// Where the blobs are that were read lately, by [`LAYOUTS_BYTES`].
    layouts: Cache<BlobId, Arc<Layout>, LayoutWeight>,
}

/// For where blobs are. Bytes.
const LAYOUTS_BYTES: u64 = 16 << 20;

#[derive(Debug, Clone)]
struct LayoutWeight;

impl Weighter<BlobId, Arc<Layout>> for LayoutWeight {
    fn weight(&self, _: &BlobId, layout: &Arc<Layout>) -> u64 {
        const ENTRY: u64 = 128;
        ENTRY + layout.weight()
    }
}

impl BlobStore {
    /// `with_files`: whether blobs that are too large for the database may come, for which folders are made.
    pub(crate) fn open(
        directory: &Path,
        database: PathBuf,
        writer: Writer,
        env: SharedEnv,
        with_files: bool,
    ) -> Result<Self, StoreError> {
        let directory = directory.join("blobs");
        let last = directory.join("ff");
        if with_files && !last.exists() {
            for folder in 0..=255u8 {
                let folder = directory.join(format!("{folder:02x}"));
                std::fs::create_dir_all(&folder).map_err(|error| StoreError::io(&folder, error))?;
            }
            sync_directory(&directory)?;
        }
        let readers = Mutex::new(Vec::new());
        let opened_ms = AtomicI64::new(env.now_ms());
        let layouts = Cache::with_weighter(4096, LAYOUTS_BYTES, LayoutWeight);
        Ok(Self { inner: Arc::new(Inner { directory, database, readers, writer, env, opened_ms, layouts }) })
    }

    /// A writer of a new blob, to which bytes are given as they come.
    pub fn writer(&self) -> BlobWriter {
        BlobWriter::new(self.clone())
    }

    /// A location at which an `ObjectStore` client may write a blob, once. Its row has no name until [`Tx::adopt_written`].
    pub fn new_location(&self) -> BlobId {
        BlobId::new(Origin::Written, &self.inner.env)
    }

    #[cfg(test)]
    pub(crate) fn set_opened_ms(&self, opened_ms: i64) {
        self.inner.opened_ms.store(opened_ms, Ordering::Relaxed);
    }

    /// The file of a blob that has one.
    fn file(&self, id: &BlobId) -> PathBuf {
        self.inner.directory.join(&id.0[id.0.len() - 2..]).join(&id.0)
    }

    /// Runs `look` with a read connection, on the calling thread.
    fn with_reader<T>(&self, look: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.inner.readers.lock().expect("the list is only pushed and popped").pop();
        let connection = match idle {
            Some(connection) => connection,
            None => crate::open_reader(&self.inner.database)?,
        };
        let answer = look(&connection);
        self.inner.readers.lock().expect("the list is only pushed and popped").push(connection);
        answer
    }
}

fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    let sync = || std::fs::File::open(directory)?.sync_all();
    sync().map_err(|error| StoreError::io(directory, error))
}

impl Tx<'_> {
    /// Gives a new blob its first name; its id is what the name refers to.
    pub fn adopt(&self, new: &NewBlob) -> Result<BlobId, StoreError> {
        match new {
            NewBlob::Inline(bytes) => {
                let id = BlobId::new(Origin::Inline, self.env);
                self.insert_blob(&id, kind::INLINE, bytes.len() as u64, 1, Some(bytes))?;
                Ok(id)
            }
            NewBlob::File { id, size } => {
                self.insert_blob(id, kind::FILE, *size, 1, None)?;
                Ok(id.clone())
            }
        }
    }

    /// Gives a blob its first name that was written at a location of [`BlobStore::new_location`].
    pub fn adopt_written(&self, id: &BlobId) -> Result<(), StoreError> {
        self.retain(id)
    }

    /// A blob of these blobs one after another. It counts as a name of each of them.
    pub fn concat(&self, parts: &[(BlobId, u64)]) -> Result<BlobId, StoreError> {
        let id = BlobId::new(Origin::Concat, self.env);
        self.insert_blob(&id, kind::CONCAT, parts.iter().map(|(_, size)| size).sum(), 1, None)?;
        for (index, (part, size)) in parts.iter().enumerate() {
            self.retain(part)?;
            let insert = "INSERT INTO blob_part (blob, idx, part, size) VALUES (?, ?, ?, ?)";
            self.prepare_cached(insert)?.execute(params![id, index as i64, part, *size as i64])?;
        }
        Ok(id)
    }

    /// One more name for a blob.
    pub fn retain(&self, id: &BlobId) -> Result<(), StoreError> {
        let update = "UPDATE blob SET refs = refs + 1, released_ms = NULL WHERE id = ?";
        match self.prepare_cached(update)?.execute([id])? {
            0 => Err(StoreError::NoSuchBlob(id.to_string())),
            _ => Ok(()),
        }
    }

    /// One name less. At none the bytes are collected after [`GRACE_MS`].
    pub fn release(&self, id: &BlobId) -> Result<(), StoreError> {
        let update = "UPDATE blob SET refs = refs - 1, released_ms = CASE WHEN refs = 1 THEN ?2 END WHERE id = ?1 AND refs > 0";
        match self.prepare_cached(update)?.execute(params![id, self.now_ms])? {
            0 => Err(StoreError::NoSuchBlob(id.to_string())),
            _ => Ok(()),
        }
    }

    /// The size of a blob in bytes.
    pub fn blob_size(&self, id: &BlobId) -> Result<u64, StoreError> {
        size(self, id)
    }

    fn insert_blob(&self, id: &BlobId, kind: i64, size: u64, refs: i64, bytes: Option<&[u8]>) -> Result<(), StoreError> {
        // As if its last name went later than now: the collector looks at one column only.
        let released = (refs == 0).then_some(self.now_ms + UNNAMED_GRACE_MS - GRACE_MS);
        let insert = "INSERT INTO blob (id, kind, size, refs, released_ms, bytes) VALUES (?, ?, ?, ?, ?, ?)";
        let values = params![id, kind, size as i64, refs, released, bytes];
        self.prepare_cached(insert)?.execute(values)?;
        Ok(())
    }
}

fn size(connection: &Connection, id: &BlobId) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT size FROM blob WHERE id = ?")?;
    let size: Option<i64> = statement.query_row([id], |row| row.get(0)).optional()?;
    size.map(|size| size as u64).ok_or_else(|| StoreError::NoSuchBlob(id.to_string()))
}
