//! Consumed capacity: what AWS would have counted. Developer guide, "DynamoDB read and write operations".
//!
//! A read of up to 4 KB is a unit, half a one where it is eventually consistent; a write of up to 1 KB is a unit; both count twice in a
//! transaction. Every operation counts one at the least.

use super::table::{Table, TableIndex};
use millpond_tables::store::Changed;
use std::collections::BTreeMap;

const READ_BYTES: usize = 4096;
const WRITE_BYTES: usize = 1024;

/// What is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Report {
    /// Nothing.
    #[default]
    None,
    /// The sum.
    Total,
    /// The sum, and that of the table and of each index.
    Indexes,
}

/// Reads and writes, in units.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Units {
    /// Of reads.
    pub read: f64,
    /// Of writes.
    pub write: f64,
}

/// Units that an operation consumed on one table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Consumed {
    /// The table's name.
    pub table: String,
    /// Of the table itself.
    pub own: Units,
    /// By local index.
    pub local: BTreeMap<String, Units>,
    /// By global index.
    pub global: BTreeMap<String, Units>,
    /// Whether it is part of a transaction, which tells reads from writes.
    pub transactional: bool,
}

impl Consumed {
    pub(super) fn of(table: &Table) -> Self {
        Self { table: table.name.clone(), ..Self::default() }
    }

    /// All that were consumed.
    pub fn total(&self) -> Units {
        let all = self.local.values().chain(self.global.values());
        all.fold(self.own, |sum, units| Units { read: sum.read + units.read, write: sum.write + units.write })
    }

    fn units_of(&mut self, index: Option<&TableIndex>) -> &mut Units {
        match index {
            None => &mut self.own,
            Some(index) if index.global => self.global.entry(index.name.clone()).or_default(),
            Some(index) => self.local.entry(index.name.clone()).or_default(),
        }
    }

    /// Adds a read of the table or of an index.
    pub(super) fn count_read(&mut self, index: Option<&TableIndex>, units: f64) {
        self.units_of(index).read += units;
    }

    /// Adds a write, which counts so many times.
    pub(super) fn count_write(&mut self, table: &Table, changed: &Changed, times: f64) {
        self.own.write += units(changed.old_size_bytes.max(changed.new_size_bytes), WRITE_BYTES) * times;
        for write in &changed.indexes {
            let (old, new) = (write.old_size_bytes, write.new_size_bytes);
            // An entry that lies elsewhere is a deletion and a put; else it is one change.
            let written = match write.moved && old > 0 && new > 0 {
                true => units(old, WRITE_BYTES) + units(new, WRITE_BYTES),
                false => units(old.max(new), WRITE_BYTES),
            };
            let index = table.indexes.iter().find(|index| *index.name == *write.index);
            if index.is_some() {
                self.units_of(index).write += written * times;
            }
        }
    }
}

fn units(bytes: usize, of: usize) -> f64 {
    bytes.div_ceil(of).max(1) as f64
}

/// Units of a read of so many bytes.
pub(super) fn read_units(bytes: usize, consistent: bool) -> f64 {
    units(bytes, READ_BYTES) * if consistent { 1.0 } else { 0.5 }
}

/// Adds what was consumed to that of the same table.
pub(super) fn merge(all: &mut Vec<Consumed>, one: Consumed) {
    let Some(sum) = all.iter_mut().find(|sum| sum.table == one.table) else {
        all.push(one);
        return;
    };
    let add = |to: &mut Units, units: Units| {
        to.read += units.read;
        to.write += units.write;
    };
    add(&mut sum.own, one.own);
    one.local.into_iter().for_each(|(name, units)| add(sum.local.entry(name).or_default(), units));
    one.global.into_iter().for_each(|(name, units)| add(sum.global.entry(name).or_default(), units));
}
