//! Changes: what is to be done with the items of some keys, all or nothing.

use super::stage::{Kept, Stage, Writes};
use super::table::Table;
use super::writer::{Done, Evaluate};
use super::{ChangeError, ItemError, Refusal, StoreError, TableId, keys};
use crate::value::{Item, item_size};
use fjall::Slice;
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
type Decide<E> = Box<dyn FnOnce(Option<&Item>) -> Result<Change, E> + Send>;
/// Says whether an item may take the place of the one that is there now.
type Check<E> = Box<dyn FnOnce(Option<&Item>) -> Result<(), E> + Send>;

/// Whether somebody still waits for a change.
pub(super) type Wanted = Box<dyn Fn() -> bool + Send>;
/// Looks at what all operations of a change did.
type Accept<E> = Box<dyn FnOnce(&[Changed]) -> Result<(), E> + Send>;

/// What a change must meet as a whole, besides what its operations decide.
pub struct Terms<E> {
    pub(super) wanted: Wanted,
    pub(super) accept: Accept<E>,
}

impl<E> Default for Terms<E> {
    fn default() -> Self {
        Self { wanted: Box::new(|| true), accept: Box::new(|_| Ok(())) }
    }
}

impl<E> Terms<E> {
    /// Where `wanted` says no when the change's turn comes, nothing is done, and nobody is told.
    #[must_use]
    pub fn while_wanted(self, wanted: impl Fn() -> bool + Send + 'static) -> Self {
        Self { wanted: Box::new(wanted), ..self }
    }

    /// Where `accept` refuses what all operations would do, one [`Changed`] each, none is done ([`ChangeError::Unaccepted`]). It runs on the store's writer thread:
    /// it must not block.
    #[must_use]
    pub fn if_accepted(self, accept: impl FnOnce(&[Changed]) -> Result<(), E> + Send + 'static) -> Self {
        Self { accept: Box::new(accept), ..self }
    }
}

impl<E> fmt::Debug for Terms<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").finish_non_exhaustive()
    }
}

/// What an operation takes in memory beside its item and what its function holds, in bytes, about.
const OP_BYTES: usize = 512;

/// One operation of a change.
pub struct Op<E> {
    pub(super) table: TableId,
    action: Action<E>,
    held_bytes: usize,
}

enum Action<E> {
    /// Of the item with this key: its key attributes, no others.
    Decide(Item, Decide<E>),
    PutIf(Item, Check<E>),
    Put(Item),
    Delete(Item),
}

impl<E> Op<E> {
    /// Decides what becomes of the item with this key (its key attributes) by looking at it. The function runs on the store's writer thread: it
    /// must not block.
    pub fn new(table: TableId, key: Item, decide: impl FnOnce(Option<&Item>) -> Result<Change, E> + Send + 'static) -> Self {
        Self { table, action: Action::Decide(key, Box::new(decide)), held_bytes: 0 }
    }

    /// As [`Self::new`], at the key of an item that will be put if the function says so (by `Ok(())`): no second copy of the key is needed.
    pub fn put_if(table: TableId, item: Item, check: impl FnOnce(Option<&Item>) -> Result<(), E> + Send + 'static) -> Self {
        Self { table, action: Action::PutIf(item, Box::new(check)), held_bytes: 0 }
    }

    /// Puts the item whatever was there, without looking at it: [`Changed::old`] stays empty.
    pub fn put(table: TableId, item: Item) -> Self {
        Self { table, action: Action::Put(item), held_bytes: 0 }
    }

    /// Deletes the item with this key if there is one, without looking at it: [`Changed::old`] stays empty.
    pub fn delete(table: TableId, key: Item) -> Self {
        Self { table, action: Action::Delete(key), held_bytes: 0 }
    }

    /// Says what its function holds in memory, in bytes: it counts towards the bound of what may wait ([`StoreError::Busy`]).
    #[must_use]
    pub fn holding(mut self, bytes: usize) -> Self {
        self.held_bytes = bytes;
        self
    }

    /// What it takes in memory, in bytes, about.
    pub(super) fn waiting_bytes(&self) -> usize {
        let (Action::Decide(item, _) | Action::PutIf(item, _) | Action::Put(item) | Action::Delete(item)) = &self.action;
        OP_BYTES.saturating_add(item_size(item)).saturating_add(self.held_bytes)
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

/// What all operations of a change did, or why none was done.
pub(super) type Answer<E> = Result<Vec<Changed>, ChangeError<E>>;

/// The work of a change for the writer thread; whether it is wanted was asked before.
pub(super) fn evaluate<E: Send + 'static>(
    ops: Vec<Op<E>>,
    accept: Accept<E>,
    done: impl FnOnce(Answer<E>) + Send + 'static,
) -> Evaluate {
    Box::new(move |mut stage| {
        let answer =
            apply_all(&mut stage, ops).and_then(|changed| accept(&changed).map(|()| changed).map_err(ChangeError::Unaccepted));
        let writes = if answer.is_ok() { stage.into_writes() } else { Writes::default() };
        // Also what is refused is told after the commit: it may be refused because of what is in it.
        let done: Done = Box::new(move |committed| done(committed.map_err(ChangeError::Store).and(answer)));
        (writes, done)
    })
}

fn apply_all<E>(stage: &mut Stage<'_>, ops: Vec<Op<E>>) -> Answer<E> {
    let mut changed = Vec::with_capacity(ops.len());
    let mut refusals = Vec::new();
    for (number, op) in ops.into_iter().enumerate() {
        match apply(stage, op)? {
            Ok(done) => changed.push(done),
            Err(refusal) => {
                refusals.resize_with(number, || None);
                refusals.push(Some(refusal));
            }
        }
    }
    if refusals.is_empty() {
        return Ok(changed);
    }
    refusals.resize_with(changed.len() + refusals.iter().flatten().count(), || None);
    Err(ChangeError::Refused(refusals))
}

fn apply<E>(stage: &mut Stage<'_>, op: Op<E>) -> Result<Result<Changed, Refusal<E>>, StoreError> {
    let table = stage.core.table(op.table)?;
    let key = match &op.action {
        Action::Decide(key, _) | Action::Delete(key) => keys::exact_item(&table.key, key),
        Action::PutIf(item, _) | Action::Put(item) => keys::item(&table.key, |name| item.get(name)),
    };
    let key = match key {
        Ok(key) => Slice::from(key),
        Err(error) => return Ok(Err(Refusal::Item(error))),
    };
    let mut old = stage.current(&table, &key)?;
    let looks = matches!(op.action, Action::Decide(..) | Action::PutIf(..));
    let current = match &mut old {
        Some(kept) if looks => Some(kept.item(stage.core)?),
        _ => None,
    };
    let change = match op.action {
        Action::Decide(key, decide) => match decide(current) {
            Ok(Change::Put(item)) => match other_key(&table, &key, &item) {
                Some(attribute) => return Ok(Err(Refusal::Item(ItemError::OtherKey { attribute }))),
                None => Change::Put(item),
            },
            Ok(change) => change,
            Err(error) => return Ok(Err(Refusal::Condition(error))),
        },
        Action::PutIf(item, check) => match check(current) {
            Ok(()) => Change::Put(item),
            Err(error) => return Ok(Err(Refusal::Condition(error))),
        },
        Action::Put(item) => Change::Put(item),
        Action::Delete(_) => Change::Delete,
    };
    Ok(write(stage, &table, key, old, change, looks)?.map_err(Refusal::Item))
}

/// The key attribute in which an item differs from the key it is to be put at.
fn other_key(table: &Table, key: &Item, item: &Item) -> Option<String> {
    let differs = |attribute: &&crate::value::key::KeyAttribute| key.get(&attribute.name) != item.get(&attribute.name);
    table.key.attributes().find(differs).map(|attribute| attribute.name.clone())
}

fn write(
    stage: &mut Stage<'_>,
    table: &Arc<Table>,
    key: Slice,
    mut old: Option<Kept>,
    change: Change,
    looks: bool,
) -> Result<Result<Changed, ItemError>, StoreError> {
    let mut new = match change {
        Change::Keep => {
            let size = old.as_ref().map_or(0, |kept| kept.size_bytes);
            let item = old.and_then(Kept::into_item);
            let (old_size_bytes, new_size_bytes) = (size, size);
            return Ok(Ok(Changed { new: item.clone(), old: item, old_size_bytes, new_size_bytes, indexes: Vec::new() }));
        }
        Change::Put(item) => match Kept::new(item) {
            Ok(kept) => Some(kept),
            Err(error) => return Ok(Err(error)),
        },
        Change::Delete if old.is_none() => return Ok(Ok(Changed::default())),
        Change::Delete => None,
    };
    let indexes = match stage.replace(table, key, old.as_mut(), new.as_mut(), true)? {
        Ok(indexes) => indexes,
        Err(error) => return Ok(Err(error)),
    };
    let size = |kept: &Option<Kept>| kept.as_ref().map_or(0, |kept| kept.size_bytes);
    let (old_size_bytes, new_size_bytes) = (size(&old), size(&new));
    let old = if looks { old.and_then(Kept::into_item) } else { None };
    Ok(Ok(Changed { old, new: new.and_then(Kept::into_item), old_size_bytes, new_size_bytes, indexes }))
}
