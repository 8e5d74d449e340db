//! Rows that become items of a table: what jobs and flows ask of the service that keeps items.
//!
//! The service is given to them late ([`Loaders`]), so that service folders need not import each other.

use async_trait::async_trait;
use millpond_engine::rows::RowCheck;
use millpond_engine::table::DataFile;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// Rows to put as items.
#[derive(Debug, Clone, Default)]
pub struct ItemLoad {
    /// The table's name.
    pub table: String,
    /// Parquet files, each row an item, each column an attribute of its name; a null is an attribute that is not there.
    pub files: Vec<DataFile>,
    /// How a row becomes an item.
    pub shape: ItemShape,
}

/// How a row becomes an item.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ItemShape {
    /// The types of attributes. Attributes of keys, the table's and its indexes', have the types that the table gives them; where there is nothing in one of
    /// an index, or an empty text, the item is without it and not in that index.
    pub types: AttributeTypes,
    /// Where there is no column for the key: it is a hash of the row.
    pub id: Option<RowId>,
    /// A column that is no attribute: of rows with the same key that with the highest number in it is kept. Without it, it is the last in the files' order.
    pub order: Option<String>,
}

/// Which types attributes get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributeTypes {
    /// Those of the columns: numbers are `N`, text, dates (`2024-05-01`) and times (`2024-05-01T10:00:00Z`) are `S`, the rest `BOOL`, `B`, `L` and `M`.
    #[default]
    Typed,
    /// `S`, whatever the column is; lists and structures as JSON.
    String,
}

impl AttributeTypes {
    /// Its word in arguments and configurations.
    pub fn word(self) -> &'static str {
        match self {
            Self::Typed => "typed",
            Self::String => "string",
        }
    }

    /// Of its word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Typed, Self::String].into_iter().find(|types| types.word() == word)
    }
}

/// A key that is made of the row: 32 hexadecimal digits of the SHA-256 of its names and values, which neither the columns' order nor columns without a value
/// change. The same row has the same id in every run, so that duplicates take each other's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowId {
    /// The key attribute that it goes to: `S`, the table's only one. Where rows have a column of this name, that is their key.
    pub attribute: String,
    /// Columns that do not count: what says when and whence a row came.
    pub apart: Vec<String>,
}

/// The column that an attribute of a key is taken from: that of its name, or the only one whose name differs in case alone (names of a catalog are in lower
/// case).
pub fn column_of<'c>(attribute: &str, columns: impl Iterator<Item = &'c str> + Clone) -> Option<&'c str> {
    let mut columns_again = columns.clone();
    let mut alike = columns.filter(|column| column.eq_ignore_ascii_case(attribute));
    columns_again.find(|column| *column == attribute).or_else(|| alike.next().filter(|_| alike.next().is_none()))
}

/// A table that takes items, as far as a load must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemTable {
    /// The key attributes, the partition key first, with their types: `S`, `N` or `B`.
    pub key: Vec<(String, &'static str)>,
    /// Items that are there now.
    pub items: u64,
}

/// What a load did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loaded {
    /// Rows read: `created + replaced + duplicates`.
    pub rows: u64,
    /// Items that were not there before.
    pub created: u64,
    /// Items that took the place of another of their key that was there before.
    pub replaced: u64,
    /// Rows that another row of the same load with the same key took the place of.
    pub duplicates: u64,
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
    /// The table of this name, if there is one.
    ///
    /// # Errors
    /// It cannot be asked now.
    async fn table(&self, name: &str) -> Result<Option<ItemTable>, LoadError>;

    /// Finds rows that can be no items of the table: without a key or with one of another type, or too large. What it lets pass, [`Self::load`] takes.
    ///
    /// # Errors
    /// There is no such table, or `shape` does not suit it.
    async fn check(&self, table: &str, shape: &ItemShape) -> Result<Arc<dyn RowCheck>, LoadError>;

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
