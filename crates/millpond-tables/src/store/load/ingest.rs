//! The end of a load: merged runs go into the table, piece by piece, each piece as one ingestion of fjall's: sorted files that become part of the keyspace in one step,
//! with entries of indexes and sums.

use super::run::Merge;
use super::{LoadCounts, LoadError};
use crate::store::core::Core;
use crate::store::table::{Progress, Sums, Table};
use crate::store::writer::WriterHandle;
use crate::store::{StoreError, keys};
use crate::value::binary::{Reader, decode};
use fjall::{Readable, Slice};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Items of a piece, where others wait for the table, in bytes.
const PIECE_BYTES: usize = 128 << 20;
/// Of the first piece, where the table has no items yet, and of those after it.
const FIRST_PIECES_BYTES: usize = 512 << 20;
/// Entries of indexes are sorted in memory: those of a piece, in bytes.
const ENTRIES_BYTES: usize = 64 << 20;
/// Progress is told every so many items.
const PROGRESS_ITEMS: u64 = 8192;
/// An item found by its key costs as much as so many that are read in order.
const GET_COST: u64 = 8;

/// A held table; lets go of it when dropped.
struct Held<'a> {
    writer: &'a WriterHandle,
    table: &'a Arc<Table>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let table = Arc::clone(self.table);
        let _ = self.writer.release(self.table.id, move |writer| {
            writer.saved(&table);
            Ok(())
        });
    }
}

/// Holds the table, once none of its indexes is being built.
fn hold<'a>(writer: &'a WriterHandle, table: &'a Arc<Table>) -> Result<Held<'a>, StoreError> {
    loop {
        let id = table.id;
        let wanted = Arc::clone(table);
        let held = writer.run(id, move |writer| {
            if !Arc::ptr_eq(&writer.core.table(id)?, &wanted) {
                return Err(StoreError::NoTable(id));
            }
            let free = wanted.indexes().iter().all(|index| index.progress() == Progress::Active);
            if free {
                writer.hold(id);
            }
            Ok(free)
        })?;
        if held {
            return Ok(Held { writer, table });
        }
        // The thread that builds indexes has the writer thread between its commits; nothing tells when it is done.
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Items of the table in order, next to those that are put.
enum Present {
    /// There are none.
    Nothing,
    /// One is looked up at a time.
    Get,
    /// They are read in order; the one that comes next.
    Scan { entries: fjall::Iter, next: Option<(Slice, Slice)> },
}

/// What a piece adds to the sums: by section, 0 is the table.
type Deltas = BTreeMap<u32, (i64, i64)>;

/// Puts merged runs into a table.
pub(super) struct Ingest<'a> {
    pub(super) core: &'a Core,
    pub(super) writer: &'a WriterHandle,
    pub(super) table: &'a Arc<Table>,
    pub(super) merge: Merge,
    /// Items to be put, duplicates among runs included.
    pub(super) total: u64,
    pub(super) counts: LoadCounts,
}

impl Ingest<'_> {
    /// All of it. `progress` is told the items done and their total, and says whether to go on.
    pub(super) fn run(mut self, mut progress: impl FnMut(u64, u64) -> bool) -> Result<LoadCounts, LoadError> {
        let mut held = Some(hold(self.writer, self.table)?);
        // Then nothing of the table is read, or what others put meanwhile.
        let piece_bytes = if self.table.counts().items == 0 { FIRST_PIECES_BYTES } else { PIECE_BYTES };
        loop {
            // Dropped after each piece: changes that wait have their turn.
            let _holding = match held.take() {
                Some(holding) => holding,
                None => hold(self.writer, self.table)?,
            };
            let (more, go_on) = self.piece(piece_bytes, &mut progress)?;
            if !go_on {
                return Err(LoadError::Stopped);
            }
            if !more {
                break;
            }
        }
        self.counts.duplicates += self.merge.duplicates;
        Ok(self.counts)
    }

    fn present(&self, first: &[u8]) -> Present {
        let items = self.table.counts().items;
        if items == 0 {
            Present::Nothing
        } else if self.total.saturating_mul(GET_COST) < items {
            Present::Get
        } else {
            let end = keys::successor(vec![keys::ITEMS]);
            let entries = self.core.database.snapshot().range(&self.table.keyspace, first.to_vec()..end);
            Present::Scan { entries, next: None }
        }
    }

    /// Puts a piece; answers whether there is more, and whether to go on.
    fn piece(&mut self, piece_bytes: usize, progress: &mut impl FnMut(u64, u64) -> bool) -> Result<(bool, bool), LoadError> {
        let io = |error: std::io::Error| self.core.io(&error);
        let indexes = self.table.indexes();
        let mut entries: BTreeMap<Slice, Option<Slice>> = BTreeMap::new();
        let (mut deltas, mut counts) = (Deltas::new(), LoadCounts::default());
        let (mut bytes, mut entries_bytes, mut more, mut go_on) = (0usize, 0usize, true, true);
        let mut present: Option<Present> = None;
        let mut ingestion = None;
        while go_on && bytes < piece_bytes && entries_bytes < ENTRIES_BYTES {
            let Some(row) = self.merge.next().map_err(io)? else {
                more = false;
                break;
            };
            let (key, item) = (Slice::from(row.key), Slice::from(row.item));
            if present.is_none() {
                present = Some(self.present(&key));
            }
            let old = match &mut present {
                Some(present) => self.old(present, &key)?,
                None => None,
            };
            let size = self.size(&item)?;
            let sum = deltas.entry(0).or_default();
            sum.0 += 1;
            sum.1 += size;
            if let Some(old) = &old {
                sum.0 -= 1;
                sum.1 -= self.size(old)?;
                counts.replaced += 1;
            } else {
                counts.created += 1;
            }
            if !indexes.is_empty() {
                entries_bytes += self.index(&indexes, &key, old.as_ref(), &item, &mut entries, &mut deltas)?;
            }
            bytes += key.len() + item.len();
            counts.rows += 1;
            let target = match &mut ingestion {
                Some(target) => target,
                none => none.insert(self.table.keyspace.start_ingestion().map_err(|error| self.core.error(error))?),
            };
            target.write(key, item).map_err(|error| self.core.error(error))?;
            if counts.rows.is_multiple_of(PROGRESS_ITEMS) {
                go_on = progress(self.counts.rows + counts.rows, self.total);
            }
        }
        if let Some(mut ingestion) = ingestion {
            for (key, value) in entries {
                let written = match value {
                    Some(value) => ingestion.write(key, value),
                    None => ingestion.write_tombstone(key),
                };
                written.map_err(|error| self.core.error(error))?;
            }
            let sums = add(self.table.sums(), deltas);
            ingestion.write(keys::SUMS, sums.encode()).map_err(|error| self.core.error(error))?;
            // Durable, and there, in one step.
            ingestion.finish().map_err(|error| self.core.error(error))?;
            self.table.set_sums(sums);
        }
        self.counts.rows += counts.rows;
        self.counts.created += counts.created;
        self.counts.replaced += counts.replaced;
        go_on &= progress(self.counts.rows, self.total) || !more;
        Ok((more, go_on))
    }

    fn size(&self, item: &[u8]) -> Result<i64, StoreError> {
        let size = Reader::new(item).map_err(|error| self.core.damaged(error))?.size();
        Ok(i64::try_from(size).unwrap_or(i64::MAX))
    }

    /// The item that the table has at a key.
    fn old(&self, present: &mut Present, key: &Slice) -> Result<Option<Slice>, StoreError> {
        match present {
            Present::Nothing => Ok(None),
            Present::Get => self.table.keyspace.get(key).map_err(|error| self.core.error(error)),
            Present::Scan { entries, next } => {
                while next.as_ref().is_none_or(|(next, _)| next < key) {
                    let Some(entry) = entries.next() else { return Ok(None) };
                    *next = Some(entry.into_inner().map_err(|error| self.core.error(error))?);
                }
                Ok(next.as_ref().filter(|(next, _)| next == key).map(|(_, item)| item.clone()))
            }
        }
    }

    /// Adds what changes in indexes; answers its size in memory, in bytes.
    fn index(
        &self,
        indexes: &[Arc<crate::store::table::Index>],
        key: &Slice,
        old: Option<&Slice>,
        new: &Slice,
        entries: &mut BTreeMap<Slice, Option<Slice>>,
        deltas: &mut Deltas,
    ) -> Result<usize, StoreError> {
        let read = |bytes: &Slice| decode(bytes).map_err(|error| self.core.damaged(error));
        let old = old.map(|bytes| read(bytes).map(|item| (item, bytes))).transpose()?;
        let new = (read(new)?, new);
        let mut size = 0;
        for index in indexes {
            // What does not fit is not in the index; the writers of the load refused it, unless the index is newer.
            let entry =
                |(item, bytes): &(crate::value::Item, &Slice)| index.entry(&self.table.key, key, item, bytes).unwrap_or_default();
            let sum = deltas.entry(index.section).or_default();
            if let Some(before) = old.as_ref().and_then(&entry) {
                sum.0 -= 1;
                sum.1 -= i64::try_from(before.size_bytes).unwrap_or(i64::MAX);
                size += before.key.len() + 64;
                entries.insert(before.key, None);
            }
            if let Some(after) = entry(&new) {
                sum.0 += 1;
                sum.1 += i64::try_from(after.size_bytes).unwrap_or(i64::MAX);
                size += after.key.len() + after.value.len() + 96;
                entries.insert(after.key, Some(after.value));
            }
        }
        Ok(size)
    }
}

fn add(mut sums: Sums, deltas: Deltas) -> Sums {
    for (section, (items, bytes)) in deltas {
        let counts = if section == 0 { &mut sums.table } else { sums.sections.entry(section).or_default() };
        counts.items = counts.items.saturating_add_signed(items);
        counts.bytes = counts.bytes.saturating_add_signed(bytes);
    }
    sums
}
