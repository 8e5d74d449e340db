//! What is done in the background, by one thread: indexes are built, entries of dropped ones removed, expired items deleted. All of it in small commits of the writer
//! thread, each of which says how far it came; after a restart it goes on there.

use super::core::Core;
use super::stage::Stage;
use super::table::{Index, IndexKind, Progress, Table, expired, second_of};
use super::writer::{Writer, WriterHandle};
use super::{StoreError, TableId, keys};
use fjall::{Readable, Slice};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Items of one commit.
const STEP_ITEMS: usize = 1000;
/// Their bytes.
const STEP_BYTES: usize = 1 << 20;
/// How often the tables with a time to live are looked through.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(15);
/// How long to wait after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// Wakes the thread, and ends it.
#[derive(Default)]
pub(super) struct Bell {
    state: Mutex<BellState>,
    rung: Condvar,
}

#[derive(Default)]
struct BellState {
    rung: bool,
    stop: bool,
}

impl Bell {
    /// There is something to do.
    pub(super) fn ring(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).rung = true;
        self.rung.notify_all();
    }

    pub(super) fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.rung.notify_all();
    }

    fn stopped(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stop
    }

    fn wait(&self, at_most: Option<Duration>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |state: &mut BellState| !state.rung && !state.stop;
        let mut state = match at_most {
            Some(at_most) => self.rung.wait_timeout_while(state, at_most, idle).unwrap_or_else(PoisonError::into_inner).0,
            None => self.rung.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner),
        };
        state.rung = false;
    }
}

/// The thread.
pub(super) fn run(core: &Arc<Core>, writer: &WriterHandle, bell: &Bell) {
    while !bell.stopped() {
        let mut wait = None;
        let mut more = false;
        for table in core.all_tables() {
            match step(core, writer, &table) {
                Ok(worked) => more |= worked,
                Err(StoreError::NoTable(_)) => {}
                Err(error) => {
                    tracing::warn!(%error, table = %table.id, "work on a table's indexes failed; it will be tried again");
                    wait = Some(RETRY_INTERVAL);
                }
            }
            if table.expiry().is_some() {
                wait = wait.or(Some(EXPIRY_INTERVAL));
            }
        }
        if !more {
            bell.wait(wait);
        }
    }
}

/// One commit of each kind that a table needs; answers whether there may be more to do.
fn step(core: &Arc<Core>, writer: &WriterHandle, table: &Arc<Table>) -> Result<bool, StoreError> {
    let mut more = false;
    for index in table.indexes().iter().filter(|index| !index.active()) {
        build(writer, table, index)?;
        more = true;
    }
    for section in table.definition().dropped {
        clear(core, writer, table, section)?;
        more = true;
    }
    if let Some(index) = table.expiry() {
        more |= expire(core, writer, table, &index)? > 0;
    }
    Ok(more)
}

/// Keys of a section from `first` to `end`, of one commit's size.
fn keys_between(core: &Core, table: &Table, first: Vec<u8>, end: Vec<u8>) -> Result<Vec<Slice>, StoreError> {
    let view = core.database.snapshot();
    let (mut found, mut bytes) = (Vec::new(), 0);
    for entry in view.range(&table.keyspace, first..end) {
        let (key, value) = entry.into_inner().map_err(|error| core.error(error))?;
        bytes += value.len();
        found.push(key);
        if found.len() >= STEP_ITEMS || bytes >= STEP_BYTES {
            break;
        }
    }
    Ok(found)
}

/// Takes some more items into an index. Everything on the writer thread: items that come between reading and the commit would be left out for ever.
fn build(writer: &WriterHandle, table: &Arc<Table>, index: &Arc<Index>) -> Result<(), StoreError> {
    let (table, index) = (Arc::clone(table), Arc::clone(index));
    writer.run(table.id, move |writer| take_in(writer, &table, &index))
}

fn still_open(writer: &Writer, table: &Arc<Table>) -> Result<(), StoreError> {
    writer.core.table(table.id).map(|_| ())
}

fn still_indexed(table: &Table, index: &Index) -> bool {
    table.indexes().iter().any(|other| other.section == index.section)
}

fn take_in(writer: &mut Writer, table: &Arc<Table>, index: &Arc<Index>) -> Result<(), StoreError> {
    still_open(writer, table)?;
    let Progress::Building { cursor, items_done } = index.progress() else { return Ok(()) };
    if !still_indexed(table, index) {
        return Ok(());
    }
    let mut first = if cursor.is_empty() { vec![keys::ITEMS] } else { cursor };
    first.push(0);
    let items = keys_between(&writer.core, table, first, keys::successor(vec![keys::ITEMS]))?;
    let Some(last) = items.last() else { return activate(writer, table, index) };
    let (cursor, items_done) = (last.to_vec(), items_done + items.len() as u64);
    writer.change_alone(|stage| {
        for key in items {
            let Some(mut kept) = stage.current(table, &key)? else { continue };
            let bytes = kept.bytes.clone();
            // An item that does not fit is left out of the index.
            if let Ok(Some(entry)) = index.entry(&table.key, &key, kept.item(stage.core)?, &bytes) {
                stage.put_entry(table, index.section, entry);
            }
        }
        stage.put_raw(table, keys::cursor(index.section), Some(Progress::encode(&cursor, items_done)));
        Ok(())
    })?;
    index.set_progress(Progress::Building { cursor, items_done });
    Ok(())
}

/// All items are in it.
fn activate(writer: &mut Writer, table: &Arc<Table>, index: &Arc<Index>) -> Result<(), StoreError> {
    let mut definition = table.definition();
    for other in definition.indexes.iter_mut().filter(|other| other.section == index.section) {
        other.active = true;
    }
    writer.change_alone(|stage| {
        stage.put_raw(table, keys::DEFINITION.to_vec(), Some(definition.encode()));
        stage.put_raw(table, keys::cursor(index.section), None);
        Ok(())
    })?;
    table.set_definition(definition);
    index.set_progress(Progress::Active);
    tracing::info!(table = %table.id, index = &*index.name, "an index is built");
    Ok(())
}

/// Removes some entries of an index that is no more.
fn clear(core: &Arc<Core>, writer: &WriterHandle, table: &Arc<Table>, section: u32) -> Result<(), StoreError> {
    let first = keys::section(section);
    let entries = keys_between(core, table, first.clone(), keys::successor(first))?;
    let table = Arc::clone(table);
    writer.run(table.id, move |writer| {
        still_open(writer, &table)?;
        let mut definition = table.definition();
        let last = entries.is_empty();
        definition.dropped.retain(|other| *other != section);
        writer.change_alone(|stage| {
            for key in entries {
                stage.put_raw(&table, key.to_vec(), None);
            }
            if last {
                stage.put_raw(&table, keys::DEFINITION.to_vec(), Some(definition.encode()));
                stage.put_raw(&table, keys::cursor(section), None);
            }
            Ok(())
        })?;
        if last {
            table.set_definition(definition);
        }
        Ok(())
    })
}

/// Deletes some expired items; answers how many.
fn expire(core: &Arc<Core>, writer: &WriterHandle, table: &Arc<Table>, index: &Arc<Index>) -> Result<usize, StoreError> {
    let now = u64::try_from(core.env.now_ms() / 1000).unwrap_or_default();
    let bound = |second| keys::expiry(index.section, second, &[]);
    let oldest = bound(now.saturating_sub(super::table::EXPIRY_SECONDS_MAX));
    let entries = keys_between(core, table, oldest, bound(now))?;
    if entries.is_empty() {
        return Ok(0);
    }
    let (table, index) = (Arc::clone(table), Arc::clone(index));
    writer.run(table.id, move |writer| {
        still_open(writer, &table)?;
        writer.change_alone(|stage| delete_expired(stage, &table, &index, &entries, now))
    })
}

/// Deletes those that are expired still.
fn delete_expired(
    stage: &mut Stage<'_>,
    table: &Arc<Table>,
    index: &Index,
    entries: &[Slice],
    now: u64,
) -> Result<usize, StoreError> {
    let IndexKind::Expiry(attribute) = &index.kind else { return Ok(0) };
    if !still_indexed(table, index) {
        return Ok(0);
    }
    let mut deleted = 0;
    for entry in entries {
        let key = keys::item_of_expiry(&table.key, entry).ok_or_else(|| stage.core.damaged("an entry of expiry"))?;
        let key = Slice::from(key);
        let Some(mut kept) = stage.current(table, &key)? else { continue };
        if second_of(kept.item(stage.core)?, attribute).is_some_and(|second| expired(second, now)) {
            let _ = stage.replace(table, key, Some(&mut kept), None, false)?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// A table's indexes as they should be from now on.
pub(super) fn redefine(
    writer: &WriterHandle,
    id: TableId,
    change: impl FnOnce(&mut super::table::Definition) -> Result<(), StoreError> + Send + 'static,
) -> Result<(), StoreError> {
    writer.run(id, move |writer| {
        let table = writer.core.table(id)?;
        let before = table.definition();
        let mut definition = before.clone();
        change(&mut definition)?;
        if definition == before {
            return Ok(());
        }
        let sections: Vec<u32> = definition.dropped.iter().copied().filter(|section| !before.dropped.contains(section)).collect();
        let mut sums = table.sums();
        sums.sections.retain(|section, _| !sections.contains(section));
        writer.change_alone(|stage| {
            stage.put_raw(&table, keys::DEFINITION.to_vec(), Some(definition.encode()));
            stage.put_raw(&table, keys::SUMS.to_vec(), Some(sums.encode()));
            Ok(())
        })?;
        table.set_definition(definition);
        table.set_sums(sums);
        Ok(())
    })
}
