//! What tables and indexes are, as far as the store needs to know it.

use crate::value::key::KeySchema;
use std::collections::BTreeSet;
use std::fmt;

/// A table's number. The service gives it, and never gives one twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u64);

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// Its number.
    pub id: TableId,
    /// Its primary key.
    pub key: KeySchema,
    /// Its local and global secondary indexes, which make no difference here: names are unique among both.
    pub indexes: Vec<IndexSpec>,
    /// The attribute with the time at which an item expires (a number of seconds since the epoch), where that is on.
    pub expiry: Option<String>,
}

/// A secondary index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexSpec {
    /// Its name, unique in the table.
    pub name: String,
    /// Its key. Several items may have the same one.
    pub key: KeySchema,
    /// What its entries hold.
    pub projection: Projection,
}

/// Which attributes the entries of an index hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Projection {
    /// All.
    All,
    /// The keys of the index and of the table.
    KeysOnly,
    /// The keys and these.
    Include(BTreeSet<String>),
}

/// How far an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    /// Items that were there before it are being taken in; it cannot be read yet.
    Building {
        /// Items looked at, of those that the table has.
        items_done: u64,
    },
    /// Complete.
    Active,
}

/// Exact sums of a table or an index, as of the last commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Items, or entries.
    pub items: u64,
    /// Their sizes, as [`crate::value::item_size`] counts them.
    pub bytes: u64,
}
