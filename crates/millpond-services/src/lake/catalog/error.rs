use millpond_core::error::ErrorKind;
use millpond_store::StoreError;

/// Why the catalog could not do what was asked. The texts are those that Glue's clients see.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The database, table, version or partition does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The name or the partition's values are taken.
    #[error("{0}")]
    AlreadyExists(String),
    /// A name, a value or a filter is not one.
    #[error("{0}")]
    Invalid(String),
    /// Another caller changed the table first.
    #[error("{0}")]
    Changed(String),
    /// A limit is reached.
    #[error("{0}")]
    Limit(String),
    /// Ours.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CatalogError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::Missing,
            Self::AlreadyExists(_) | Self::Changed(_) => ErrorKind::Conflict,
            Self::Invalid(_) => ErrorKind::Input,
            Self::Limit(_) => ErrorKind::Limit,
            Self::Store(error) => error.kind(),
        }
    }

    pub(crate) fn no_database(name: &str) -> Self {
        Self::NotFound(format!("Database {name} not found."))
    }

    pub(crate) fn no_table(name: &str) -> Self {
        Self::NotFound(format!("Table {name} not found."))
    }
}

impl From<rusqlite::Error> for CatalogError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<serde_json::Error> for CatalogError {
    fn from(error: serde_json::Error) -> Self {
        Self::Store(error.into())
    }
}
