//! Changes: what is to be done with the items of some keys, all or nothing.

use super::TableId;
use crate::value::Item;
use std::fmt;
use std::sync::Arc;

/// What becomes of an item.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is this from now on. Its key must be the operation's.
    Put(Item),
    /// It is not there from now on.
    Delete,
    /// It stays as it is: a condition check.
    Keep,
}

/// Decides on the item as it is now, within the change: no other change comes between.
pub(super) type Decide<E> = Box<dyn FnOnce(Option<&Item>) -> Result<Change, E> + Send>;

/// One operation of a change.
pub struct Op<E> {
    pub(super) table: TableId,
    pub(super) key: Key,
    pub(super) action: Action<E>,
}

pub(super) enum Key {
    /// The key's attributes, no others.
    Attributes(Item),
    /// Those of the item that is put.
    OfItem,
}

pub(super) enum Action<E> {
    Decide(Decide<E>),
    Put(Item),
    Delete,
}

impl<E> Op<E> {
    /// Decides what becomes of the item with this key (its key attributes) by looking at it. The function runs on the store's writer thread: it
    /// must not block.
    pub fn new(table: TableId, key: Item, decide: impl FnOnce(Option<&Item>) -> Result<Change, E> + Send + 'static) -> Self {
        Self { table, key: Key::Attributes(key), action: Action::Decide(Box::new(decide)) }
    }

    /// As [`Self::new`], at the key of an item that will be put if the function says so (by `Ok(())`): no second copy of the key is needed.
    pub fn put_if(table: TableId, item: Item, check: impl FnOnce(Option<&Item>) -> Result<(), E> + Send + 'static) -> Self
    where
        E: 'static,
    {
        let _ = (table, item, check);
        todo!()
    }

    /// Puts the item whatever was there, without looking at it: [`Changed::old`] stays empty.
    pub fn put(table: TableId, item: Item) -> Self {
        Self { table, key: Key::OfItem, action: Action::Put(item) }
    }

    /// Deletes the item with this key if there is one, without looking at it: [`Changed::old`] stays empty.
    pub fn delete(table: TableId, key: Item) -> Self {
        Self { table, key: Key::Attributes(key), action: Action::Delete }
    }
}

impl<E> fmt::Debug for Op<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Op").field("table", &self.table).finish_non_exhaustive()
    }
}

/// What an operation did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changed {
    /// The item before, if there was one and the operation looked at it.
    pub old: Option<Item>,
    /// The item now.
    pub new: Option<Item>,
    /// The size of the item before, in bytes; 0 if there was none.
    pub old_size_bytes: usize,
    /// The size of the item now, in bytes; 0 if there is none.
    pub new_size_bytes: usize,
    /// What was written to secondary indexes, for capacities.
    pub indexes: Vec<IndexWrite>,
}

/// An entry of an index that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexWrite {
    /// The index's name.
    pub index: Arc<str>,
    /// The size of the entry that was removed or replaced, in bytes; 0 if there was none.
    pub old_size_bytes: usize,
    /// The size of the entry that was put, in bytes; 0 if there was none.
    pub new_size_bytes: usize,
    /// The new entry lies elsewhere than the old one: two writes on AWS.
    pub moved: bool,
}
