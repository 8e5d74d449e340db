//! What a change will write: items, entries of indexes and sums, seen by what comes after it in the same commit.

use super::core::Core;
use super::table::{Entry, Sums, Table};
use super::{IndexWrite, ItemError, StoreError, TableId, keys};
use crate::value::binary::{Reader, decode};
use crate::value::{ITEM_SIZE_BYTES_MAX, Item};
use fjall::{OwnedWriteBatch, Slice};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What of a table's keyspace is written: a value, or `None` for a removal.
type Written = HashMap<Slice, Option<Slice>>;

/// Writes that are not committed yet.
#[derive(Default)]
pub(super) struct Writes {
    tables: HashMap<TableId, TableWrites>,
    /// Rough size in memory, in bytes.
    pub(super) size_bytes: usize,
}

struct TableWrites {
    table: Arc<Table>,
    written: Written,
    /// By section; 0 is the table itself.
    deltas: BTreeMap<u32, Delta>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Delta {
    items: i64,
    bytes: i64,
}

/// An item as it is kept.
pub(super) struct Kept {
    pub(super) bytes: Slice,
    pub(super) size_bytes: usize,
    item: Option<Item>,
}

impl Kept {
    /// Of bytes from the store.
    fn read(core: &Core, bytes: Slice) -> Result<Self, StoreError> {
        let size_bytes = Reader::new(&bytes).map_err(|error| core.damaged(error))?.size();
        Ok(Self { bytes, size_bytes, item: None })
    }

    /// Of an item to put.
    ///
    /// # Errors
    /// It is too large.
    pub(super) fn new(item: Item) -> Result<Self, ItemError> {
        let mut bytes = Vec::with_capacity(256);
        crate::value::binary::encode(&item, &mut bytes);
        let size_bytes = crate::value::item_size(&item);
        if size_bytes > ITEM_SIZE_BYTES_MAX {
            return Err(ItemError::Size { bytes: size_bytes });
        }
        Ok(Self { bytes: bytes.into(), size_bytes, item: Some(item) })
    }

    /// The item; read once.
    pub(super) fn item(&mut self, core: &Core) -> Result<&Item, StoreError> {
        if self.item.is_none() {
            self.item = Some(decode(&self.bytes).map_err(|error| core.damaged(error))?);
        }
        self.item.as_ref().ok_or_else(|| StoreError::Internal("an item was lost while it was read".into()))
    }

    pub(super) fn into_item(self) -> Option<Item> {
        self.item
    }
}

impl Writes {
    fn table(&mut self, table: &Arc<Table>) -> &mut TableWrites {
        let new = || TableWrites { table: Arc::clone(table), written: Written::new(), deltas: BTreeMap::new() };
        self.tables.entry(table.id).or_insert_with(new)
    }

    pub(super) fn write(&mut self, table: &Arc<Table>, key: Slice, value: Option<Slice>) {
        self.size_bytes += key.len() + value.as_ref().map_or(0, |value| value.len()) + 128;
        self.table(table).written.insert(key, value);
    }

    /// One thing of this size came (`1`) or went (`-1`).
    pub(super) fn count(&mut self, table: &Arc<Table>, section: u32, sign: i64, size_bytes: usize) {
        let delta = self.table(table).deltas.entry(section).or_default();
        delta.items += sign;
        delta.bytes += sign * i64::try_from(size_bytes).unwrap_or(i64::MAX);
    }

    fn find(&self, table: TableId, key: &Slice) -> Option<&Option<Slice>> {
        self.tables.get(&table)?.written.get(key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Adds what another wrote after it.
    pub(super) fn extend(&mut self, other: Self) {
        self.size_bytes += other.size_bytes;
        for (id, theirs) in other.tables {
            match self.tables.entry(id) {
                std::collections::hash_map::Entry::Vacant(slot) => {
                    slot.insert(theirs);
                }
                std::collections::hash_map::Entry::Occupied(mut slot) => {
                    let ours = slot.get_mut();
                    ours.written.extend(theirs.written);
                    for (section, delta) in theirs.deltas {
                        let sum = ours.deltas.entry(section).or_default();
                        sum.items += delta.items;
                        sum.bytes += delta.bytes;
                    }
                }
            }
        }
    }

    /// Moves everything into a batch, with the new sums; answers these, and how many bytes each table takes.
    pub(super) fn into_batch(self, batch: &mut OwnedWriteBatch) -> Vec<(Arc<Table>, Option<Sums>, usize)> {
        let mut after = Vec::with_capacity(self.tables.len());
        for writes in self.tables.into_values() {
            let table = writes.table;
            let mut size = 0;
            for (key, value) in writes.written {
                size += key.len() + value.as_ref().map_or(0, |value| value.len()) + 64;
                match value {
                    Some(value) => batch.insert(&table.keyspace, key, value),
                    None => batch.remove(&table.keyspace, key),
                }
            }
            let sums = (!writes.deltas.is_empty()).then(|| {
                let mut sums = table.sums();
                for (section, delta) in writes.deltas {
                    let counts = if section == 0 { &mut sums.table } else { sums.sections.entry(section).or_default() };
                    counts.items = counts.items.saturating_add_signed(delta.items);
                    counts.bytes = counts.bytes.saturating_add_signed(delta.bytes);
                }
                batch.insert(&table.keyspace, keys::SUMS, sums.encode());
                sums
            });
            after.push((table, sums, size));
        }
        after
    }
}

/// The writes of one change, on top of those of the changes that will be committed with it.
pub(super) struct Stage<'a> {
    pub(super) core: &'a Core,
    before: &'a Writes,
    own: Writes,
}

impl<'a> Stage<'a> {
    pub(super) fn new(core: &'a Core, before: &'a Writes) -> Self {
        Self { core, before, own: Writes::default() }
    }

    pub(super) fn into_writes(self) -> Writes {
        self.own
    }

    /// The item at a key, with all changes so far.
    pub(super) fn current(&self, table: &Table, key: &Slice) -> Result<Option<Kept>, StoreError> {
        let written = self.own.find(table.id, key).or_else(|| self.before.find(table.id, key));
        let bytes = match written {
            Some(written) => written.clone(),
            None => table.keyspace.get(key).map_err(|error| self.core.error(error))?,
        };
        bytes.map(|bytes| Kept::read(self.core, bytes)).transpose()
    }

    /// Writes something that is no item.
    pub(super) fn put_raw(&mut self, table: &Arc<Table>, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.own.write(table, key.into(), value.map(Slice::from));
    }

    /// Puts an entry that was not there.
    pub(super) fn put_entry(&mut self, table: &Arc<Table>, section: u32, entry: Entry) {
        self.own.count(table, section, 1, entry.size_bytes);
        self.own.write(table, entry.key, Some(entry.value));
    }

    /// Replaces what is at a key, with its entries in indexes and in the sums.
    ///
    /// # Errors
    /// The new item does not fit an index (`Ok(Err)`): nothing was written, then.
    pub(super) fn replace(
        &mut self,
        table: &Arc<Table>,
        key: Slice,
        old: Option<&mut Kept>,
        new: Option<&mut Kept>,
        strict: bool,
    ) -> Result<Result<Vec<IndexWrite>, ItemError>, StoreError> {
        let (mut old, mut new) = (old, new);
        let indexes = table.indexes();
        let mut entries = Vec::with_capacity(indexes.len());
        for index in indexes.iter().filter(|index| index.covers(&key)) {
            let before = match old.as_deref_mut() {
                Some(kept) => {
                    let bytes = kept.bytes.clone();
                    // What does not fit is not in the index.
                    index.entry(&table.key, &key, kept.item(self.core)?, &bytes).unwrap_or_default()
                }
                None => None,
            };
            let after = match new.as_deref_mut() {
                Some(kept) => {
                    let bytes = kept.bytes.clone();
                    match index.entry(&table.key, &key, kept.item(self.core)?, &bytes) {
                        Ok(entry) => entry,
                        Err(error) if strict => return Ok(Err(error)),
                        Err(_) => None,
                    }
                }
                None => None,
            };
            if before.is_some() || after.is_some() {
                entries.push((index, before, after));
            }
        }
        let mut writes = Vec::new();
        for (index, before, after) in entries {
            let (old_size_bytes, new_size_bytes) =
                (before.as_ref().map_or(0, |entry| entry.size_bytes), after.as_ref().map_or(0, |entry| entry.size_bytes));
            let moved = matches!((&before, &after), (Some(before), Some(after)) if before.key != after.key);
            if self.replace_entry(table, index.section, before, after) && index.spec().is_some() {
                writes.push(IndexWrite { index: Arc::clone(&index.name), old_size_bytes, new_size_bytes, moved });
            }
        }
        if let Some(old) = old {
            self.own.count(table, 0, -1, old.size_bytes);
        }
        if let Some(new) = &new {
            self.own.count(table, 0, 1, new.size_bytes);
        }
        self.own.write(table, key, new.map(|new| new.bytes.clone()));
        Ok(Ok(writes))
    }

    /// Answers false if nothing changed.
    fn replace_entry(&mut self, table: &Arc<Table>, section: u32, before: Option<Entry>, after: Option<Entry>) -> bool {
        if let (Some(before), Some(after)) = (&before, &after)
            && before.key == after.key
            && before.value == after.value
        {
            return false;
        }
        if let Some(before) = before {
            self.own.count(table, section, -1, before.size_bytes);
            if after.as_ref().is_none_or(|after| after.key != before.key) {
                self.own.write(table, before.key, None);
            }
        }
        if let Some(after) = after {
            self.put_entry(table, section, after);
        }
        true
    }
}
