//! A durable store of items: tables with secondary indexes in one folder, on the key-value engine fjall.
//!
//! - [`keys`]: what lies where. A table, its indexes and its counts share a keyspace of fjall's, so that one commit or one ingestion changes them together.
//! - [`writer`]: the one thread that changes anything: it decides, writes and syncs as many changes as wait at once by one sync. [`change`] and [`stage`] are its work.
//! - [`read`]: snapshots; readers wait for nobody, and see nothing that is not durable.
//! - [`load`]: many items at once, sorted outside, put in by files.
//! - [`maintain`]: the thread that builds indexes, removes dropped ones and deletes expired items.
//! - [`open`](self::open): what is in the folder.

mod change;
mod core;
mod error;
mod keys;
mod load;
mod maintain;
mod open;
mod read;
mod schema;
mod stage;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use change::{Change, Changed, IndexWrite, Op, Terms};
pub use error::{ChangeError, ItemError, Refusal, StoreError};
pub use load::{LoadCounts, LoadError, LoadOptions, LoadWriter, Loader};
pub use read::{Limits, Page, Query, Record, Scan, Snapshot};
pub use schema::{Counts, IndexSpec, IndexState, Projection, TableId, TableSpec};

use self::core::Core;
use self::maintain::Bell;
use self::table::{Definition, IndexKind, Progress, Table};
use self::writer::{Message, Writer, WriterHandle, closed};
use crate::value::Item;
use millpond_core::env::SharedEnv;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

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

/// The store; clones share it. Functions block, but for [`Items::submit`]; it is closed when the last clone, [`Snapshot`] and [`Loader`] are gone.
#[derive(Debug, Clone)]
pub struct Items(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    options: Options,
    env: SharedEnv,
    /// Once there is a table.
    handle: RwLock<Option<Arc<Handle>>>,
    /// Making and dropping tables is one at a time.
    admin: Mutex<()>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Items").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// An open store's threads.
struct Handle {
    core: Arc<Core>,
    writer: WriterHandle,
    bell: Arc<Bell>,
    threads: Vec<JoinHandle<()>>,
}

impl Handle {
    fn start(core: Core) -> Result<Self, StoreError> {
        let core = Arc::new(core);
        let (sender, messages) = std::sync::mpsc::channel();
        let mut handle = Self { core, writer: WriterHandle::new(sender), bell: Arc::default(), threads: Vec::new() };
        let core = Arc::clone(&handle.core);
        handle.spawn("items-writer", move || Writer::new(core).run(&messages))?;
        let (core, writer, bell) = (Arc::clone(&handle.core), handle.writer.clone(), Arc::clone(&handle.bell));
        handle.spawn("items-upkeep", move || maintain::run(&core, &writer, &bell))?;
        Ok(handle)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        self.threads.push(thread.map_err(|error| self.core.io(&error))?);
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.bell.stop();
        // Reversed: the upkeep ends before the writer does, which it needs.
        for thread in std::mem::take(&mut self.threads).into_iter().rev() {
            if thread.thread().name() == Some("items-writer") {
                let _ = self.writer.send(Message::Stop);
            }
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Items {
    /// Opens the store in `folder` for these tables: those that it lacks are made, others and what is left of dropped ones are removed; likewise indexes. While there are no
    /// tables, nothing is made: no files, no threads.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(folder: &Path, options: Options, env: SharedEnv, tables: &[TableSpec]) -> Result<Self, StoreError> {
        let (handle, admin) = (RwLock::default(), Mutex::default());
        let items = Self(Arc::new(Inner { folder: folder.to_owned(), options, env, handle, admin }));
        if tables.is_empty() {
            // Through the engine, which looks at the format and at the lock of a process that may still be there.
            if folder.join("format").exists() {
                drop(open::open(folder, options, items.0.env.clone(), &[])?);
                open::remove(folder)?;
            }
        } else {
            items.start(tables)?;
        }
        Ok(items)
    }

    fn start(&self, tables: &[TableSpec]) -> Result<Arc<Handle>, StoreError> {
        let inner = &self.0;
        let handle = Arc::new(Handle::start(open::open(&inner.folder, inner.options, inner.env.clone(), tables)?)?);
        *inner.handle.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&handle));
        Ok(handle)
    }

    fn opened(&self) -> Option<Arc<Handle>> {
        self.0.handle.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn handle(&self, table: TableId) -> Result<Arc<Handle>, StoreError> {
        self.opened().ok_or(StoreError::NoTable(table))
    }

    fn table(&self, table: TableId) -> Result<Arc<Table>, StoreError> {
        self.handle(table)?.core.table(table)
    }

    /// Makes a table. One that is there and the same is left as it is.
    ///
    /// # Errors
    /// One of this number is there and differs; see [`StoreError`].
    pub fn create_table(&self, table: &TableSpec) -> Result<(), StoreError> {
        let _admin = self.0.admin.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(handle) = self.opened() else { return self.start(std::slice::from_ref(table)).map(|_| ()) };
        if let Ok(present) = handle.core.table(table.id) {
            let same = present.definition().same(table);
            return if same { Ok(()) } else { Err(StoreError::Exists(format!("table {}", table.id))) };
        }
        if open::has_keyspace(&handle.core, table.id) {
            open::remove_keyspace(&handle.core, table.id)?;
        }
        open::open_table(&handle.core, table)?;
        handle.bell.ring();
        Ok(())
    }

    /// Removes a table with everything in it, at once. One that is not there is no error.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn drop_table(&self, table: TableId) -> Result<(), StoreError> {
        let _admin = self.0.admin.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(handle) = self.opened() else { return Ok(()) };
        // On the writer thread, so that no change of it is half decided.
        let removed = handle.writer.run(table, move |writer| {
            writer.forget(table);
            Ok(writer.core.remove_table(table))
        })?;
        match removed {
            Some(removed) => {
                let keyspace = removed.keyspace.clone();
                drop(removed);
                handle.core.database.delete_keyspace(keyspace).map_err(|error| handle.core.error(error))
            }
            None => Ok(()),
        }
    }

    /// Adds an index and answers; the items that are there are taken in by and by ([`Self::index_state`]), also after a restart. Items whose attributes do not
    /// fit the index's key are left out. One that is there and the same is left as it is.
    ///
    /// # Errors
    /// One of this name is there and differs; see [`StoreError`].
    pub fn add_index(&self, table: TableId, index: IndexSpec) -> Result<(), StoreError> {
        self.redefine(table, move |definition| {
            match definition.secondary(&index.name) {
                Some((_, present)) if *present == index => {}
                Some(_) => return Err(StoreError::Exists(format!("index \"{}\" of table {table}", index.name))),
                None => {
                    definition.add(IndexKind::Secondary(index), false);
                }
            }
            Ok(())
        })
    }

    /// Removes an index. One that is not there is no error.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn drop_index(&self, table: TableId, index: &str) -> Result<(), StoreError> {
        let name = index.to_owned();
        self.redefine(table, move |definition| {
            if let Some(section) = definition.secondary(&name).map(|(section, _)| section) {
                definition.remove(section);
            }
            Ok(())
        })
    }

    /// Says which attribute holds the time at which items expire; `None`: none do. Items that expired are deleted within a minute. One that expired more than five
    /// years ago is left alone, as is one whose attribute is no whole number (developer guide, "Using DynamoDB Time to Live").
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn set_expiry(&self, table: TableId, attribute: Option<&str>) -> Result<(), StoreError> {
        let attribute = attribute.map(str::to_owned);
        self.redefine(table, move |definition| {
            let present = definition.expiry().map(|(section, attribute)| (section, attribute.to_owned()));
            if present.as_ref().map(|(_, attribute)| attribute) != attribute.as_ref() {
                if let Some((section, _)) = present {
                    definition.remove(section);
                }
                if let Some(attribute) = attribute {
                    definition.add(IndexKind::Expiry(attribute), false);
                }
            }
            Ok(())
        })
    }

    fn redefine(
        &self,
        table: TableId,
        change: impl FnOnce(&mut Definition) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let handle = self.handle(table)?;
        maintain::redefine(&handle.writer, table, change)?;
        handle.bell.ring();
        Ok(())
    }

    /// How far an index is.
    ///
    /// # Errors
    /// No such table or index.
    pub fn index_state(&self, table: TableId, index: &str) -> Result<IndexState, StoreError> {
        let found = self.table(table)?.secondary(index);
        let found = found.ok_or_else(|| StoreError::NoIndex(table, index.to_owned()))?;
        Ok(match found.progress() {
            Progress::Building { items_done, .. } => IndexState::Building { items_done },
            Progress::Active => IndexState::Active,
        })
    }

    /// How much is in a table, exactly.
    ///
    /// # Errors
    /// No such table.
    pub fn counts(&self, table: TableId) -> Result<Counts, StoreError> {
        Ok(self.table(table)?.counts())
    }

    /// How much is in an index, exactly.
    ///
    /// # Errors
    /// No such table or index.
    pub fn index_counts(&self, table: TableId, index: &str) -> Result<Counts, StoreError> {
        let open = self.table(table)?;
        let found = open.secondary(index).ok_or_else(|| StoreError::NoIndex(table, index.to_owned()))?;
        Ok(open.section_counts(found.section))
    }

    /// Does all of the operations or none, as if nothing else happened at that time; answers when they are durable, one [`Changed`] each, in order. An operation sees what
    /// those before it in the same change did.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub fn change<E: Send + 'static>(&self, ops: Vec<Op<E>>) -> Result<Vec<Changed>, ChangeError<E>> {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        self.submit(ops, move |result| {
            let _ = answer.send(result);
        });
        answered.recv().map_err(|_| ChangeError::Store(closed()))?
    }

    /// As [`Self::change`], without blocking: `done` is called on the writer thread (or at once, where it is clear that nothing can be done), and must not block
    /// either. If it is dropped without being called, the store was closed or a function of an operation panicked.
    ///
    /// Beyond about 64 MB of changes that wait, `done` gets [`StoreError::Busy`].
    pub fn submit<E: Send + 'static>(
        &self,
        ops: Vec<Op<E>>,
        done: impl FnOnce(Result<Vec<Changed>, ChangeError<E>>) + Send + 'static,
    ) {
        self.submit_on(Terms::default(), ops, done);
    }

    /// As [`Self::submit`], on terms that concern the change as a whole; where it is not wanted any more, `done` is dropped.
    pub fn submit_on<E: Send + 'static>(
        &self,
        terms: Terms<E>,
        ops: Vec<Op<E>>,
        done: impl FnOnce(Result<Vec<Changed>, ChangeError<E>>) + Send + 'static,
    ) {
        let Some(first) = ops.first() else { return done(Ok(Vec::new())) };
        let handle = match self.handle(first.table) {
            Ok(handle) => handle,
            Err(error) => return done(Err(error.into())),
        };
        let mut tables: Vec<TableId> = ops.iter().map(|op| op.table).collect();
        tables.dedup();
        let bytes = ops.iter().map(Op::waiting_bytes).fold(0, usize::saturating_add);
        let share = match handle.writer.share(bytes) {
            Ok(share) => share,
            Err(error) => return done(Err(error.into())),
        };
        let Terms { wanted, accept } = terms;
        // If the thread is gone, `done` is dropped with the message.
        let _ = handle.writer.send(Message::Change { tables, wanted, evaluate: change::evaluate(ops, accept, done), share });
    }

    /// All tables as they are now: for reads that must agree, and for exports.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot::new(self.opened().map(|handle| Arc::clone(&handle.core))))
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
        let handle = self.handle(table)?;
        let table = handle.core.table(table)?;
        Loader::new(handle, table, options)
    }
}
