use millpond_core::error::ErrorKind;
use std::path::{Path, PathBuf};

/// What can go wrong with the store. None of it is a caller's fault but [`StoreError::InUse`].
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite's own.
    #[error("the lake's database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has the directory open.
    #[error("the lake in {0} is open in another process; talk to that one (its endpoint), or stop it first")]
    InUse(PathBuf),
    /// The data was written by a newer version.
    #[error("the lake's '{component}' tables have version {found}, this Millpond knows {known}: use a newer Millpond")]
    TooNew {
        /// Whose tables.
        component: String,
        /// The version in the directory.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The store is shutting down.
    #[error("the lake is shutting down")]
    Closed,
    /// A closure panicked; nothing of it remains. The panic is in the log.
    #[error("an internal fault ended this request; nothing of it was kept")]
    Panicked,
    /// A task was finished by a worker that no longer holds it.
    #[error("the lease of task {0} is gone")]
    LeaseLost(i64),
    /// A stored value does not have the form that it was written in.
    #[error("a stored value is corrupt: {0}")]
    Corrupt(String),
    /// A blob that was named is not there.
    #[error("blob {0} does not exist")]
    NoSuchBlob(String),
}

impl StoreError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse(_) | Self::LeaseLost(_) => ErrorKind::Conflict,
            Self::Closed => ErrorKind::Retry,
            Self::TooNew { .. } => ErrorKind::Input,
            Self::NoSuchBlob(_) => ErrorKind::Missing,
            Self::Sqlite(_) | Self::Io { .. } | Self::Panicked | Self::Corrupt(_) => ErrorKind::Bug,
        }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}
