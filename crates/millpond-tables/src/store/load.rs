//! Loads of many items: sorted in bounded memory, then put into the table in the order of its keys, without a sync each.

use super::{ItemError, StoreError};
use crate::value::Item;

/// How to load.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// For sorting, over all writers, in bytes.
    pub memory_bytes: usize,
    /// How many [`LoadWriter`]s there will be at once; memory is divided among them.
    pub writers: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { memory_bytes: 128 << 20, writers: 2 }
    }
}

/// What a load did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadCounts {
    /// Items put.
    pub rows: u64,
    /// Those whose key was not in the table before.
    pub created: u64,
    /// Those that took the place of an item of the table.
    pub replaced: u64,
    /// Those that another of the load with the same key came after.
    pub duplicates: u64,
}

/// Why an item could not be loaded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// The item does not fit the table; it was not taken, others can follow.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// The store failed, or the disk for sorting.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// [`Loader::finish`] was told to stop; what is in the table is a part of the load.
    #[error("stopped")]
    Stopped,
}

/// A load of one table, of any size. Several threads put items by [`Self::writer`]s of their own; nothing is in the table before [`Self::finish`]. When dropped
/// without that, nothing is.
pub struct Loader {}

impl Loader {
    /// For one thread.
    pub fn writer(&self) -> LoadWriter {
        todo!()
    }

    /// Puts everything into the table, and syncs. All writers must have ended. Changes of this table wait meanwhile (by pieces of about 128 MB if it had items
    /// before); reads and other tables do not. `progress` gets the items done and all that there are, now and then; it says false to stop.
    ///
    /// If the process is killed in the middle, the table has a part of the load, and its counts are right; doing the whole load again is as if it had been done once.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn finish(self, progress: impl FnMut(u64, u64) -> bool) -> Result<LoadCounts, LoadError> {
        let _ = progress;
        todo!()
    }
}

/// Takes the items of one thread.
pub struct LoadWriter {}

impl LoadWriter {
    /// Puts an item. Of several with the same key, in whatever writer, the one with the highest `order` counts.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn put(&mut self, order: u64, item: &Item) -> Result<(), LoadError> {
        let _ = (order, item);
        todo!()
    }

    /// Puts an item that is bytes of [`crate::value::binary`] already.
    ///
    /// # Errors
    /// See [`LoadError`]; bytes that are no item.
    pub fn put_encoded(&mut self, order: u64, item: &[u8]) -> Result<(), LoadError> {
        let _ = (order, item);
        todo!()
    }

    /// Hands the rest to the load. Without it the writer's items are not loaded.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn finish(self) -> Result<(), LoadError> {
        todo!()
    }
}
