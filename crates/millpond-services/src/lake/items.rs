//! Rows that become items of a table: what jobs and flows ask of the service that keeps items.
//!
//! The service is given to them late ([`Loaders`]), so that service folders need not import each other.

use async_trait::async_trait;
use millpond_engine::table::DataFile;
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// Rows to put as items.
#[derive(Debug, Clone)]
pub struct ItemLoad {
    /// The table's name.
    pub table: String,
    /// Parquet files, each row an item, each column an attribute of its name; a null is an attribute that is not there.
    pub files: Vec<DataFile>,
}

/// What a load did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loaded {
    /// Rows read.
    pub rows: u64,
    /// Items that were not there before.
    pub created: u64,
    /// Items that took the place of another of their key.
    pub replaced: u64,
}

/// Why rows could not be put.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It will not work the next time either: no such table, a row without its key. For people.
    #[error("{0}")]
    Input(String),
    /// Another try may help.
    #[error("{0}")]
    Retry(String),
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
}

/// Puts rows as items.
#[async_trait]
pub trait ItemLoader: Send + Sync + std::fmt::Debug {
    /// Checks all rows first (keys, sizes), and puts nothing if one is wrong; then puts them, durably. Doing it again changes nothing.
    ///
    /// # Errors
    /// See [`LoadError`].
    async fn load(&self, load: &ItemLoad, stop: &CancellationToken) -> Result<Loaded, LoadError>;
}

/// Who puts rows as items; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Loaders(Arc<OnceLock<Arc<dyn ItemLoader>>>);

impl Loaders {
    /// Says who does it; the first time counts.
    pub fn install(&self, loader: Arc<dyn ItemLoader>) {
        let _ = self.0.set(loader);
    }

    /// Who does it.
    ///
    /// # Errors
    /// Nobody does, in this program.
    pub fn loader(&self) -> Result<&Arc<dyn ItemLoader>, LoadError> {
        self.0.get().ok_or_else(|| LoadError::Input("this program keeps no tables of items".into()))
    }
}
