//! The transactional store: all state that must agree, the events it causes, the tasks that follow, and object bytes.
//!
//! One SQLite database behind one writer thread. A write is a closure over a [`Tx`]; the closures that wait are run one after another, each in a
//! savepoint of its own, and committed together with one sync to disk ([`writer`]). A write is answered after that sync, never before.
//!
//! What must happen before what:
//! 1. Bytes are written and synced under an opaque blob id ([`blobs`]).
//! 2. A transaction adopts the blob, names it (an object, a part), and emits the events that this causes ([`Tx::emit`]).
//! 3. After the commit the dispatcher reads the outbox and turns events into tasks, in a transaction that also deletes the outbox rows.
//! 4. A worker leases a task, acts, and finishes it in the transaction that holds its result ([`Tx::finish_task`]): so a result is there exactly once.
//!
//! A crash between any two of these loses nothing: bytes without a name are collected, outbox rows and tasks are taken up again.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

pub mod blobs;
mod error;
mod migrate;
pub mod outbox;
pub mod task;
mod tx;
mod writer;

pub use error::StoreError;
pub use migrate::Component;
pub use tx::{Tx, committed_seq};

use blobs::BlobStore;
use millpond_core::env::SharedEnv;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, watch};

/// The store's own tables.
const STORE: Component = Component {
    name: "store",
    migrations: &[include_str!("schema.sql"), include_str!("outbox.sql"), include_str!("task_deaths.sql")],
};

/// Read connections kept open at the most. Each holds a page cache of 2 MiB at the most.
const READERS_MAX: usize = 8;

const DATABASE: &str = "lake.sqlite3";
const LOCK: &str = "lake.lock";

/// A handle to the store; clones share it. When the last clone is dropped the writer thread ends.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    env: SharedEnv,
    writer: writer::Writer,
    readers: Mutex<Vec<Connection>>,
    reader_permits: Semaphore,
    blobs: BlobStore,
}

impl Store {
    /// Opens the store in `directory` (made when missing), brings its tables up to date, and returns leased tasks of a former process to the
    /// queue: it has died with them, and each of them counts that.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it open, [`StoreError::TooNew`] when a newer Millpond wrote it.
    pub fn open(directory: &Path, components: &[Component], env: SharedEnv) -> Result<Self, StoreError> {
        Self::open_as(directory, components, env, false)
    }

    /// Opens a store as [`Store::open`] does, whose file gives back space that is no longer needed when it is told to
    /// (`PRAGMA incremental_vacuum`). For rows that come and go in bulk: it has no folders for blobs.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub fn open_shrinking(directory: &Path, components: &[Component], env: SharedEnv) -> Result<Self, StoreError> {
        Self::open_as(directory, components, env, true)
    }

    fn open_as(directory: &Path, components: &[Component], env: SharedEnv, shrinking: bool) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory).map_err(|error| StoreError::io(directory, error))?;
        let lock = lock(directory)?;
        let path = directory.join(DATABASE);
        let mut connection = Connection::open(&path)?;
        configure(&connection)?;
        if shrinking {
            // Has an effect before the first table is made, and none later.
            connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_size_limit = 4194304;")?;
        }
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;")?;
        migrate::migrate(&mut connection, &STORE)?;
        for component in components {
            migrate::migrate(&mut connection, component)?;
        }
        task::release_all(&connection, env.now_ms(), true)?;
        let writer = writer::Writer::start(connection, env.clone(), lock)?;
        let blobs = BlobStore::open(directory, path, writer.clone(), env.clone(), !shrinking)?;
        Ok(Self {
            inner: Arc::new(Inner {
                directory: directory.to_owned(),
                env,
                writer,
                readers: Mutex::new(Vec::new()),
                reader_permits: Semaphore::new(READERS_MAX),
                blobs,
            }),
        })
    }

    /// Runs `change` in a transaction on the writer thread and answers after it was committed and synced.
    ///
    /// When `change` returns an error (or panics), nothing of it remains. The closure may wait behind others, and is committed together with
    /// them; it must not block on anything but the database.
    pub async fn write<T, E, F>(&self, change: F) -> Result<T, E>
    where
        F: FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.inner.writer.write(change).await
    }

    /// Runs `look` over a consistent snapshot of the database, on a thread where blocking is fine.
    pub async fn read<T, E, F>(&self, look: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let _permit = self.inner.reader_permits.acquire().await.map_err(|_| StoreError::Closed)?;
        let inner = self.inner.clone();
        let looked = tokio::task::spawn_blocking(move || inner.read(look)).await;
        looked.map_err(|_| StoreError::Panicked)?
    }

    /// A read-only connection of the caller's own, for lookups where no `await` is possible: in a transaction of another store.
    ///
    /// # Errors
    /// SQLite's.
    pub fn connect(&self) -> Result<Connection, StoreError> {
        open_reader(&self.inner.directory.join(DATABASE))
    }

    /// Object bytes.
    pub fn blobs(&self) -> &BlobStore {
        &self.inner.blobs
    }

    /// The clock and randomness that the store was opened with.
    pub fn env(&self) -> &SharedEnv {
        &self.inner.env
    }

    /// The directory that holds everything.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// Changes after each commit that added outbox rows.
    pub fn outbox_changes(&self) -> watch::Receiver<u64> {
        self.inner.writer.outbox_changes()
    }

    /// Changes after each commit that added tasks or freed one's key.
    pub fn task_changes(&self) -> watch::Receiver<u64> {
        self.inner.writer.task_changes()
    }

    /// Asks SQLite whether the database is sound. One line for each fault; none when it is.
    pub async fn check(&self) -> Result<Vec<String>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare("PRAGMA quick_check(100)")?;
            let lines = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
            Ok(lines.into_iter().filter(|line| line != "ok").collect())
        })
        .await
    }
}

impl Inner {
    fn read<T, E: From<StoreError>>(&self, look: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        let idle = self.readers.lock().expect("no reader panics while it holds the list").pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.directory.join(DATABASE))?,
        };
        let answer = {
            let snapshot = connection.transaction().map_err(StoreError::from)?;
            look(&snapshot)
        };
        self.readers.lock().expect("no reader panics while it holds the list").push(connection);
        answer
    }
}

fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| StoreError::io(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse(directory.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(StoreError::io(&path, error)),
    }
}

fn configure(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;")?;
    connection.set_prepared_statement_cache_capacity(256);
    Ok(())
}

fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    configure(&connection)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -2048;")?;
    Ok(connection)
}

#[cfg(test)]
mod tests;
