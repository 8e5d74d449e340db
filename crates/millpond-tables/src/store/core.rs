//! What the threads of an open store share.

use super::table::Table;
use super::{Options, StoreError, TableId};
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use millpond_core::env::SharedEnv;
use std::collections::HashMap;
use std::fmt::Display;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// What must fit on a disk that is not full, in bytes.
const PROBE_BYTES: usize = 1 << 20;

/// An open database and its tables.
pub(super) struct Core {
    pub(super) folder: PathBuf,
    pub(super) options: Options,
    pub(super) env: SharedEnv,
    pub(super) database: Database,
    tables: RwLock<HashMap<TableId, Arc<Table>>>,
}

impl Core {
    pub(super) fn new(folder: PathBuf, options: Options, env: SharedEnv, database: Database) -> Self {
        Self { folder, options, env, database, tables: RwLock::default() }
    }

    pub(super) fn table(&self, id: TableId) -> Result<Arc<Table>, StoreError> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.get(&id).cloned().ok_or(StoreError::NoTable(id))
    }

    pub(super) fn all_tables(&self) -> Vec<Arc<Table>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn insert_table(&self, table: Table) {
        self.tables.write().unwrap_or_else(PoisonError::into_inner).insert(table.id, Arc::new(table));
    }

    pub(super) fn remove_table(&self, id: TableId) -> Option<Arc<Table>> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    /// Opens a table's keyspace, or makes it.
    pub(super) fn keyspace(&self, id: TableId) -> Result<Keyspace, StoreError> {
        // The writer thread moves memtables to files before fjall would do it by itself: see `Writer::spill`.
        let memtable_bytes = self.options.write_buffer_bytes.max(1 << 20);
        let options = || KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes);
        self.database.keyspace(&keyspace_name(id), options).map_err(|error| self.error(error))
    }

    /// What a failure of the database means.
    pub(super) fn error(&self, error: fjall::Error) -> StoreError {
        translate(&self.folder, error)
    }

    /// What a failed commit means. fjall stops when a thread of its own finds the disk full, too, and then does not say why.
    pub(super) fn failed_commit(&self, error: fjall::Error) -> StoreError {
        match self.error(error) {
            StoreError::Stopped(folder) => {
                let probe = folder.join("probe");
                let full =
                    std::fs::write(&probe, vec![1; PROBE_BYTES]).is_err_and(|error| error.kind() == ErrorKind::StorageFull);
                let _ = std::fs::remove_file(probe);
                if full { StoreError::DiskFull(folder) } else { StoreError::Stopped(folder) }
            }
            error => error,
        }
    }

    pub(super) fn damaged(&self, reason: impl Display) -> StoreError {
        StoreError::Damaged { folder: self.folder.clone(), reason: reason.to_string() }
    }

    pub(super) fn io(&self, error: &std::io::Error) -> StoreError {
        translate_io(&self.folder, error)
    }
}

pub(super) fn keyspace_name(id: TableId) -> String {
    format!("t{id}")
}

/// The table whose keyspace this is.
pub(super) fn table_of_keyspace(name: &str) -> Option<TableId> {
    name.strip_prefix('t')?.parse().ok().map(TableId)
}

pub(super) fn translate_io(folder: &std::path::Path, error: &std::io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::DiskFull(folder.to_owned()),
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
            StoreError::Damaged { folder: folder.to_owned(), reason: error.to_string() }
        }
        _ => StoreError::Io { folder: folder.to_owned(), reason: error.to_string() },
    }
}

pub(super) fn translate(folder: &std::path::Path, error: fjall::Error) -> StoreError {
    use fjall::{Error, LsmError};
    let damaged = |reason: String| StoreError::Damaged { folder: folder.to_owned(), reason };
    match error {
        Error::Io(error) | Error::Storage(LsmError::Io(error)) => translate_io(folder, &error),
        Error::Poisoned => StoreError::Stopped(folder.to_owned()),
        Error::Locked => StoreError::Locked(folder.to_owned()),
        Error::InvalidVersion(version) => damaged(format!("its engine's format {version:?} is not known")),
        Error::KeyspaceDeleted => StoreError::Internal("the table is being removed".into()),
        error => damaged(error.to_string()),
    }
}
