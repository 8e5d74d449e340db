//! What can go wrong, by what the caller can do about it.

use super::TableId;
use crate::value::Kind;
use crate::value::key::KeyType;
use std::path::PathBuf;

/// Why the store cannot do it. None of them says anything about the request, except [`Self::NoTable`] and [`Self::NoIndex`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It was dropped, or never made.
    #[error("the item store has no table {0}")]
    NoTable(TableId),
    /// It was dropped, or never made.
    #[error("table {0} has no index \"{1}\" in the item store")]
    NoIndex(TableId, String),
    /// Its items are still being taken in.
    #[error("index \"{1}\" of table {0} is still being built")]
    IndexBuilding(TableId, String),
    /// There is one of this number or name, with another key.
    #[error("{0} is in the item store already, and differs")]
    Exists(String),
    /// The key, or the position to go on from, does not fit the table or index.
    #[error(transparent)]
    Key(#[from] ItemError),
    /// More changes wait than may: this one was not taken, and may be tried again.
    #[error("too many changes of items wait: try again later")]
    Busy,
    /// The disk is full. Whether this change was kept is not known; the store takes changes again after a restart.
    #[error("no space left on the disk of the item store {0}: free some, then restart")]
    DiskFull(PathBuf),
    /// The disk did not do what it was told. Whether this change was kept is not known; the store takes no more changes until a restart.
    #[error("the item store {folder} could not be written or read: {reason}")]
    Io {
        /// The store's folder.
        folder: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A write failed before; nothing is changed any more.
    #[error("the item store {0} takes no changes since a write failed (see the log): check the disk, then restart")]
    Stopped(PathBuf),
    /// Bytes that are not what was written.
    #[error("the item store {folder} is damaged: {reason}")]
    Damaged {
        /// The store's folder.
        folder: PathBuf,
        /// Where, and how.
        reason: String,
    },
    /// Written by a later version.
    #[error("the item store {folder} has version {version}, which this program does not know: use a later Millpond")]
    Version {
        /// The store's folder.
        folder: PathBuf,
        /// Its version.
        version: u32,
    },
    /// Another process has it open.
    #[error("the item store {0} is open in another process")]
    Locked(PathBuf),
    /// The store is being closed, or a function that was given to it panicked.
    #[error("{0}")]
    Internal(String),
}

/// Why an item or key cannot be kept in this table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// A key attribute of the table is not there. For an index's key that is no error: the item is not in that index.
    #[error("the key attribute {attribute} is missing")]
    Missing {
        /// Its name.
        attribute: String,
    },
    /// A key attribute has another type.
    #[error("type mismatch for the key attribute {attribute}: expected {}, actual {}", expected.name(), actual.name())]
    Type {
        /// Its name.
        attribute: String,
        /// The key's.
        expected: KeyType,
        /// The item's.
        actual: Kind,
        /// The index's name, if it is not the table's key.
        index: Option<String>,
    },
    /// A key attribute is an empty string or binary.
    #[error("the key attribute {attribute} is empty")]
    Empty {
        /// Its name.
        attribute: String,
        /// The index's name, if it is not the table's key.
        index: Option<String>,
    },
    /// A key attribute is too long.
    #[error("the key attribute {attribute} has more than {bytes_max} bytes")]
    Long {
        /// Its name.
        attribute: String,
        /// How many it may have.
        bytes_max: usize,
        /// The index's name, if it is not the table's key.
        index: Option<String>,
    },
    /// A key names attributes that are not of the key.
    #[error("the key has the attribute {attribute}, which is not part of it")]
    Extra {
        /// Its name.
        attribute: String,
    },
    /// The position to go on from is not of the partition, range or segment that is read.
    #[error("the position to go on from lies outside of what is read")]
    Position,
    /// The new item has another key than the one that was to be changed.
    #[error("the item has another key than the one it was to be put at: {attribute}")]
    OtherKey {
        /// The attribute that differs.
        attribute: String,
    },
    /// The item is larger than [`crate::value::ITEM_SIZE_BYTES_MAX`].
    #[error("the item has {bytes} bytes, more than {}", crate::value::ITEM_SIZE_BYTES_MAX)]
    Size {
        /// Its size.
        bytes: usize,
    },
}

/// Why one operation of a change was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal<E> {
    /// The caller's function said so.
    Condition(E),
    /// The key, or what was to be put, does not fit the table.
    Item(ItemError),
}

/// Why nothing was changed.
#[derive(Debug, Clone)]
pub enum ChangeError<E> {
    /// Operations were refused: one entry each, `None` for those that would have been done.
    Refused(Vec<Option<Refusal<E>>>),
    /// What the operations would have done together was refused ([`super::Terms::if_accepted`]).
    Unaccepted(E),
    /// The store failed.
    Store(StoreError),
}

impl<E> From<StoreError> for ChangeError<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
