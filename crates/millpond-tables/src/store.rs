//! A durable store of items: tables with secondary indexes in one folder, on the key-value engine fjall.
//!
//! Every change goes through one writer thread, which decides, writes and syncs as many as wait at once by one sync (see [`Items::change`]). Readers take
//! snapshots, wait for nobody, and see nothing that is not durable.

mod change;
mod error;
mod load;
mod read;
mod schema;

pub use change::{Change, Changed, IndexWrite, Op};
pub use error::{ChangeError, ItemError, Refusal, StoreError};
pub use load::{LoadCounts, LoadError, LoadOptions, LoadWriter, Loader};
pub use read::{Limits, Page, Query, Record, Scan, Snapshot};
pub use schema::{Counts, IndexSpec, IndexState, Projection, TableId, TableSpec};

use crate::value::Item;
use millpond_core::env::SharedEnv;
use std::ops::ControlFlow;
use std::path::Path;

/// What the store may use.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Blocks of files kept in memory, in bytes.
    pub cache_bytes: u64,
    /// Changes that are in the journal and in memory but not in tables' files yet, over all tables, in bytes.
    pub write_buffer_bytes: u64,
    /// Files kept open.
    pub files_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, write_buffer_bytes: 64 << 20, files_max: 256 }
    }
}

/// The store; clones share it. Functions block, but for [`Items::submit`].
#[derive(Debug, Clone)]
pub struct Items {}

impl Items {
    /// Opens the store in `folder` for these tables: those that it lacks are made, others and what is left of dropped ones are removed; likewise indexes. While there are no
    /// tables, nothing is made: no files, no threads.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(folder: &Path, options: Options, env: SharedEnv, tables: &[TableSpec]) -> Result<Self, StoreError> {
        let _ = (folder, options, env, tables);
        todo!()
    }

    /// Makes a table. One that is there and the same is left as it is.
    ///
    /// # Errors
    /// One of this number is there and differs; see [`StoreError`].
    pub fn create_table(&self, table: &TableSpec) -> Result<(), StoreError> {
        let _ = table;
        todo!()
    }

    /// Removes a table with everything in it, at once. One that is not there is no error.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn drop_table(&self, table: TableId) -> Result<(), StoreError> {
        let _ = table;
        todo!()
    }

    /// Adds an index and answers; the items that are there are taken in by and by ([`Self::index_state`]), also after a restart. Items whose attributes do not
    /// fit the index's key are left out. One that is there and the same is left as it is.
    ///
    /// # Errors
    /// One of this name is there and differs; see [`StoreError`].
    pub fn add_index(&self, table: TableId, index: IndexSpec) -> Result<(), StoreError> {
        let _ = (table, index);
        todo!()
    }

    /// Removes an index. One that is not there is no error.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn drop_index(&self, table: TableId, index: &str) -> Result<(), StoreError> {
        let _ = (table, index);
        todo!()
    }

    /// How far an index is.
    ///
    /// # Errors
    /// No such table or index.
    pub fn index_state(&self, table: TableId, index: &str) -> Result<IndexState, StoreError> {
        let _ = (table, index);
        todo!()
    }

    /// Says which attribute holds the time at which items expire; `None`: none do. Items that expired are deleted within a minute. One that expired more than five
    /// years ago is left alone, as is one whose attribute is no number (developer guide, "Time to Live").
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn set_expiry(&self, table: TableId, attribute: Option<&str>) -> Result<(), StoreError> {
        let _ = (table, attribute);
        todo!()
    }

    /// How much is in a table, exactly.
    ///
    /// # Errors
    /// No such table.
    pub fn counts(&self, table: TableId) -> Result<Counts, StoreError> {
        let _ = table;
        todo!()
    }

    /// How much is in an index, exactly.
    ///
    /// # Errors
    /// No such table or index.
    pub fn index_counts(&self, table: TableId, index: &str) -> Result<Counts, StoreError> {
        let _ = (table, index);
        todo!()
    }

    /// Does all of the operations or none, as if nothing else happened at that time; answers when they are durable, one [`Changed`] each, in order. An operation sees what
    /// those before it in the same change did.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub fn change<E: Send + 'static>(&self, ops: Vec<Op<E>>) -> Result<Vec<Changed>, ChangeError<E>> {
        let _ = ops;
        todo!()
    }

    /// As [`Self::change`], without blocking: `done` is called on the writer thread, and must not block either.
    pub fn submit<E: Send + 'static>(
        &self,
        ops: Vec<Op<E>>,
        done: impl FnOnce(Result<Vec<Changed>, ChangeError<E>>) + Send + 'static,
    ) {
        let _ = (ops, done);
        todo!()
    }

    /// All tables as they are now: for reads that must agree, and for exports.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        todo!()
    }

    /// [`Snapshot::get`] of now.
    ///
    /// # Errors
    /// As that.
    pub fn get(&self, table: TableId, key: &Item) -> Result<Option<Item>, StoreError> {
        self.snapshot()?.get(table, key)
    }

    /// [`Snapshot::query`] of now.
    ///
    /// # Errors
    /// As that.
    pub fn query(
        &self,
        query: &Query<'_>,
        visit: impl FnMut(Record<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<Page, StoreError> {
        self.snapshot()?.query(query, visit)
    }

    /// [`Snapshot::scan`] of now.
    ///
    /// # Errors
    /// As that.
    pub fn scan(
        &self,
        scan: &Scan<'_>,
        visit: impl FnMut(Record<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<Page, StoreError> {
        self.snapshot()?.scan(scan, visit)
    }

    /// Begins a load of many items.
    ///
    /// # Errors
    /// No such table; see [`StoreError`].
    pub fn loader(&self, table: TableId, options: LoadOptions) -> Result<Loader, StoreError> {
        let _ = (table, options);
        todo!()
    }
}
