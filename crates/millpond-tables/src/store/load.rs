//! Loads of many items: sorted in bounded memory, then put into the table in the order of its keys, without a sync each.

mod ingest;
mod run;

use self::ingest::Ingest;
use self::run::{Buffer, Merge, Run, Tally, merge_to_file};
use super::table::Table;
use super::{Handle, ItemError, StoreError, keys, open};
use crate::value::binary::Reader;
use crate::value::{ITEM_SIZE_BYTES_MAX, Item, Value};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// Runs that are merged at once; each is an open file and a buffer.
const RUNS_MAX: usize = 128;

/// A load of one table, of any size. Several threads put items by [`Self::writer`]s of their own; nothing is in the table before [`Self::finish`]. When dropped
/// without that, nothing is.
pub struct Loader {
    shared: Arc<Shared>,
}

/// What the writers of a load share.
struct Shared {
    handle: Arc<Handle>,
    table: Arc<Table>,
    folder: PathBuf,
    buffer_bytes: usize,
    memory_bytes: usize,
    next_file: AtomicU64,
    sorted: Mutex<Sorted>,
}

#[derive(Default)]
struct Sorted {
    runs: Vec<Run>,
    kept: u64,
    duplicates: u64,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Shared {
    fn sorted(&self) -> MutexGuard<'_, Sorted> {
        self.sorted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self) -> PathBuf {
        self.folder.join(self.next_file.fetch_add(1, Ordering::Relaxed).to_string())
    }

    fn add(&self, run: Run, tally: Tally) {
        let mut sorted = self.sorted();
        sorted.runs.push(run);
        sorted.kept += tally.kept;
        sorted.duplicates += tally.duplicates;
    }
}

impl Loader {
    pub(super) fn new(handle: Arc<Handle>, table: Arc<Table>, options: LoadOptions) -> Result<Self, StoreError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let folder = open::load_folder(&handle.core.folder).join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::create_dir_all(&folder).map_err(|error| handle.core.io(&error))?;
        let buffer_bytes = options.memory_bytes / options.writers.max(1);
        let memory_bytes = options.memory_bytes;
        let (next_file, sorted) = (AtomicU64::new(0), Mutex::default());
        Ok(Self { shared: Arc::new(Shared { handle, table, folder, buffer_bytes, memory_bytes, next_file, sorted }) })
    }

    /// For one thread.
    pub fn writer(&self) -> LoadWriter {
        let shared = Arc::clone(&self.shared);
        LoadWriter { buffer: Buffer::new(shared.buffer_bytes), shared, scratch: Vec::new() }
    }

    /// Puts everything into the table, and syncs. All writers must have ended. Changes of this table wait meanwhile (by pieces of about 128 MB if it had items
    /// before, else of 512 MB); reads and other tables do not, until the changes that wait are as many bytes as all may be. `progress` gets the items done and all that there are, now and then; it says false to stop.
    ///
    /// If the process is killed in the middle, the table has a part of the load, and its counts are right; doing the whole load again is as if it had been done once.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn finish(self, mut progress: impl FnMut(u64, u64) -> bool) -> Result<LoadCounts, LoadError> {
        let shared = &self.shared;
        let mut sorted = std::mem::take(&mut *shared.sorted());
        let io = |error: std::io::Error| shared.handle.core.io(&error);
        while sorted.runs.len() > RUNS_MAX {
            if !progress(0, sorted.kept) {
                return Err(LoadError::Stopped);
            }
            let path = shared.file();
            // Those that are oldest, and so the smallest; what comes of them goes to the end.
            let some = sorted.runs.drain(..RUNS_MAX).collect();
            sorted.duplicates += merge_to_file(some, shared.memory_bytes, &path).map_err(io)?;
            sorted.runs.push(Run::File(path));
        }
        let merge = Merge::new(sorted.runs, shared.memory_bytes).map_err(io)?;
        let counts = LoadCounts { duplicates: sorted.duplicates, ..LoadCounts::default() };
        let (core, writer) = (&*shared.handle.core, &shared.handle.writer);
        Ingest { core, writer, table: &shared.table, merge, total: sorted.kept, counts }.run(progress)
    }
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader").field("table", &self.shared.table.id).finish_non_exhaustive()
    }
}

/// Takes the items of one thread.
pub struct LoadWriter {
    shared: Arc<Shared>,
    buffer: Buffer,
    scratch: Vec<u8>,
}

impl LoadWriter {
    /// Puts an item. Of several with the same key, in whatever writer, the one with the highest `order` counts.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn put(&mut self, order: u64, item: &Item) -> Result<(), LoadError> {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        crate::value::binary::encode(item, &mut bytes);
        let done = self.put_encoded(order, &bytes);
        self.scratch = bytes;
        done
    }

    /// Puts an item that is bytes of [`crate::value::binary`] already.
    ///
    /// # Errors
    /// See [`LoadError`]; bytes that are no item.
    pub fn put_encoded(&mut self, order: u64, item: &[u8]) -> Result<(), LoadError> {
        let key = self.check(item)?;
        if self.buffer.full_with(&key, item) {
            self.spill()?;
        }
        self.buffer.push(&key, item, order);
        Ok(())
    }

    /// The item's key, if it fits the table.
    fn check(&self, item: &[u8]) -> Result<Vec<u8>, LoadError> {
        let (core, table) = (&self.shared.handle.core, &self.shared.table);
        let reader = Reader::new(item).map_err(|error| core.damaged(error))?;
        if reader.size() > ITEM_SIZE_BYTES_MAX {
            return Err(ItemError::Size { bytes: reader.size() }.into());
        }
        let indexes = table.indexes();
        let mut values: Vec<(&str, Value)> = Vec::with_capacity(2);
        let schemas = std::iter::once(&table.key).chain(indexes.iter().filter_map(|index| index.spec()).map(|spec| &spec.key));
        for attribute in schemas.flat_map(|schema| schema.attributes()) {
            if let Some(value) = reader.get(&attribute.name).map_err(|error| core.damaged(error))? {
                values.push((&attribute.name, value));
            }
        }
        let find = |name: &str| values.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
        let key = keys::item(&table.key, find)?;
        for spec in indexes.iter().filter_map(|index| index.spec()) {
            keys::check_entry(&spec.key, &spec.name, find)?;
        }
        Ok(key)
    }

    fn spill(&mut self) -> Result<(), LoadError> {
        let tally = self.buffer.sort();
        let path = self.shared.file();
        self.buffer.spill(&path).map_err(|error| self.shared.handle.core.io(&error))?;
        self.shared.add(Run::File(path), tally);
        Ok(())
    }

    /// Hands the rest to the load. Without it the writer's items are not loaded.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn finish(mut self) -> Result<(), LoadError> {
        if !self.buffer.is_empty() {
            let tally = self.buffer.sort();
            self.shared.add(Run::Memory(self.buffer), tally);
        }
        Ok(())
    }
}

impl std::fmt::Debug for LoadWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadWriter").field("table", &self.shared.table.id).finish_non_exhaustive()
    }
}
