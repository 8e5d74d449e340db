//! PutItem, UpdateItem and DeleteItem, and the operations of the store that they and transactions are made of.

use super::capacity::{Consumed, Report};
use super::request::{self, Condition, Expressions, written};
use super::table::Table;
use super::{Attributes, DynamoDb, DynamoError, keys};
use millpond_tables::Item;
use millpond_tables::expression::{self, Kind, Placeholders, Touched, Update, legacy};
use millpond_tables::store::{Change, Changed, Op};
use serde_json::{Map, Value as Json};
use std::sync::{Arc, Mutex};

/// `ReturnValues`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Returned {
    /// Nothing.
    #[default]
    None,
    /// The item before.
    AllOld,
    /// What the updated paths had before.
    UpdatedOld,
    /// The item now.
    AllNew,
    /// What the updated paths have now.
    UpdatedNew,
}

/// What all writes of one item may say.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Under which condition.
    pub condition: Condition,
    /// Names and values of the condition, and of the update.
    pub expressions: Expressions,
    /// What is answered.
    pub returned: Returned,
    /// Whether the item is answered where the condition does not hold.
    pub item_on_failure: bool,
    /// What is told of capacity.
    pub report: Report,
    /// Whether the item collection is told of.
    pub collection: bool,
}

/// `PutItem`.
#[derive(Debug, Clone, Default)]
pub struct PutItem {
    /// The table's name or ARN.
    pub table: String,
    /// The item.
    pub item: Attributes,
    /// Its condition, and what it answers.
    pub options: WriteOptions,
}

/// `DeleteItem`.
#[derive(Debug, Clone, Default)]
pub struct DeleteItem {
    /// The table's name or ARN.
    pub table: String,
    /// The primary key.
    pub key: Attributes,
    /// Its condition, and what it answers.
    pub options: WriteOptions,
}

/// `UpdateItem`.
#[derive(Debug, Clone, Default)]
pub struct UpdateItem {
    /// The table's name or ARN.
    pub table: String,
    /// The primary key.
    pub key: Attributes,
    /// `UpdateExpression`.
    pub update: Option<String>,
    /// `AttributeUpdates`.
    pub updates: Option<Map<String, Json>>,
    /// Its condition, and what it answers.
    pub options: WriteOptions,
}

/// What a write answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Written {
    /// As asked for; absent where there are none.
    pub attributes: Option<Attributes>,
    /// Where it was asked for.
    pub consumed: Option<Consumed>,
    /// The partition key's attribute, where the item collection was asked for and the table has local indexes.
    pub collection: Option<Attributes>,
}

/// A condition that a write has, with what its failure shows.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    pub(super) condition: Option<expression::Condition>,
    pub(super) item_on_failure: bool,
    /// What the condition, and the update that goes with it, hold in memory, in bytes, about.
    pub(super) held_bytes: usize,
}

impl WriteOptions {
    /// The guard of the write; all expressions besides the condition were read with the placeholders.
    pub(super) fn guard(&self, mut placeholders: Placeholders, kinds: &[Kind]) -> Result<Guard, DynamoError> {
        let condition = self.condition.parse(&mut placeholders)?;
        placeholders.finish(kinds).map_err(request::refused)?;
        let held_bytes = placeholders.taken_bytes() + self.condition.held_bytes();
        Ok(Guard { condition, item_on_failure: self.item_on_failure, held_bytes })
    }

    /// The key of the item collection, where it was asked for.
    fn collection(&self, table: &Table, key: &Item) -> Option<Attributes> {
        self.collection.then(|| collection(table, key)).flatten()
    }

    /// What a write answers.
    fn written(
        &self,
        table: &Table,
        changed: &Changed,
        attributes: Option<Attributes>,
        collection: Option<Attributes>,
    ) -> Written {
        Written { attributes, consumed: consumed(table, changed, self.report), collection }
    }
}

impl Guard {
    /// Whether the item as it is may be changed.
    pub(super) fn check(&self, old: Option<&Item>) -> Result<(), DynamoError> {
        let Some(condition) = &self.condition else { return Ok(()) };
        let holds = match old {
            Some(item) => condition.holds(item),
            None => condition.holds(&Item::new()),
        };
        match holds {
            true => Ok(()),
            false => Err(DynamoError::ConditionFailed(old.filter(|_| self.item_on_failure).map(written))),
        }
    }
}

/// Puts a checked item.
pub(super) fn put_op(table: &Table, item: Item, guard: Guard, look: bool) -> Op<DynamoError> {
    let held_bytes = guard.held_bytes;
    match guard.condition.is_some() || look {
        true => Op::put_if(table.id(), item, move |old| guard.check(old)).holding(held_bytes),
        false => Op::put(table.id(), item),
    }
}

/// Deletes the item of a checked key.
pub(super) fn delete_op(table: &Table, key: Item, guard: Guard, look: bool) -> Op<DynamoError> {
    let held_bytes = guard.held_bytes;
    match guard.condition.is_some() || look {
        true => Op::new(table.id(), key, move |old| {
            guard.check(old)?;
            Ok(if old.is_some() { Change::Delete } else { Change::Keep })
        })
        .holding(held_bytes),
        false => Op::delete(table.id(), key),
    }
}

/// Checks the item of a checked key.
pub(super) fn check_op(table: &Table, key: Item, guard: Guard) -> Op<DynamoError> {
    let held_bytes = guard.held_bytes;
    Op::new(table.id(), key, move |old| guard.check(old).map(|()| Change::Keep)).holding(held_bytes)
}

/// Updates the item of a checked key; what it touched is left in `touched`.
pub(super) fn update_op(
    table: &Arc<Table>,
    key: Item,
    update: Option<Update>,
    guard: Guard,
    touched: Arc<Mutex<Touched>>,
) -> Result<Op<DynamoError>, DynamoError> {
    if let Some(update) = &update {
        check_untouched_key(table, update)?;
    }
    let (table_then, at, held_bytes) = (table.clone(), key.clone(), guard.held_bytes);
    let op = Op::new(table.id(), key, move |old| {
        guard.check(old)?;
        let mut item = old.cloned().unwrap_or_else(|| at.clone());
        if let Some(update) = &update {
            let applied = if old.is_some() { update.apply(&mut item) } else { update.apply_to_none(&mut item) };
            let done = applied.map_err(|error| DynamoError::Validation(error.to_string()))?;
            // Removing from an item that is not there makes none.
            if old.is_none() && item.len() == at.len() && !update.changed_names().is_empty() {
                return Ok(Change::Keep);
            }
            *touched.lock().expect("nobody panics while holding what was touched") = done;
        }
        keys::check_updated(&table_then, &item)?;
        Ok(if old == Some(&item) { Change::Keep } else { Change::Put(item) })
    });
    Ok(op.holding(held_bytes))
}

fn check_untouched_key(table: &Table, update: &Update) -> Result<(), DynamoError> {
    match update.changed_names().into_iter().find(|name| table.schema.has(name)) {
        None => Ok(()),
        Some(name) => Err(DynamoError::parameter(format!("Cannot update attribute {name}. This attribute is part of the key"))),
    }
}

/// `PutItem` and `DeleteItem` answer the item before, or nothing.
fn check_returned(returned: Returned) -> Result<bool, DynamoError> {
    match returned {
        Returned::None => Ok(false),
        Returned::AllOld => Ok(true),
        Returned::UpdatedOld | Returned::AllNew | Returned::UpdatedNew => {
            Err(DynamoError::invalid("ReturnValues can only be ALL_OLD or NONE"))
        }
    }
}

fn check_condition_way(condition: &Condition) -> Result<(), DynamoError> {
    let legacy = [("Expected", condition.legacy.given.is_some()), ("ConditionalOperator", condition.legacy.operator.is_some())];
    request::check_one_way(&legacy, &[("ConditionExpression", condition.expression.is_some())])
}

/// The guard of a put or delete by itself, and whether the item before is wanted.
fn alone(options: &WriteOptions) -> Result<(Guard, bool), DynamoError> {
    check_condition_way(&options.condition)?;
    let look = check_returned(options.returned)?;
    Ok((options.guard(options.expressions.placeholders()?, &[Kind::Condition])?, look))
}

fn consumed(table: &Table, changed: &Changed, report: Report) -> Option<Consumed> {
    if report == Report::None {
        return None;
    }
    let mut consumed = Consumed::of(table);
    consumed.count_write(table, changed, 1.0);
    Some(consumed)
}

/// The key of the item collection that an item belongs to; only tables with local indexes have them.
pub(super) fn collection(table: &Table, key: &Item) -> Option<Attributes> {
    if !table.indexes.iter().any(|index| !index.global) {
        return None;
    }
    let (name, value) = key.get_key_value(&table.schema.hash.name)?;
    Some(Attributes::from([(name.clone(), millpond_tables::value::json::write_value(value))]))
}

impl DynamoDb {
    /// `PutItem`.
    pub async fn put_item(&self, put: PutItem) -> Result<Written, DynamoError> {
        let PutItem { table, item, options } = put;
        let (guard, look) = alone(&options)?;
        let item = keys::read(&item)?;
        let table = self.table(&table)?;
        keys::check_item(&table, &item)?;
        let collection = options.collection(&table, &item);
        let changed = self.change_one(put_op(&table, item, guard, look)).await?;
        let attributes = changed.old.as_ref().filter(|_| look).map(written);
        Ok(options.written(&table, &changed, attributes, collection))
    }

    /// `DeleteItem`.
    pub async fn delete_item(&self, delete: DeleteItem) -> Result<Written, DynamoError> {
        let DeleteItem { table, key, options } = delete;
        let (guard, look) = alone(&options)?;
        let key = keys::read(&key)?;
        let table = self.table(&table)?;
        keys::check_key(&table.schema, &key)?;
        let collection = options.collection(&table, &key);
        let changed = self.change_one(delete_op(&table, key, guard, look)).await?;
        let attributes = changed.old.as_ref().filter(|_| look).map(written);
        Ok(options.written(&table, &changed, attributes, collection))
    }

    /// `UpdateItem`.
    pub async fn update_item(&self, input: UpdateItem) -> Result<Written, DynamoError> {
        let UpdateItem { table, key, update, updates, options } = input;
        let condition = &options.condition;
        let legacy = [
            ("AttributeUpdates", updates.is_some()),
            ("Expected", condition.legacy.given.is_some()),
            ("ConditionalOperator", condition.legacy.operator.is_some()),
        ];
        let new = [("UpdateExpression", update.is_some()), ("ConditionExpression", condition.expression.is_some())];
        request::check_one_way(&legacy, &new)?;
        let mut placeholders = options.expressions.placeholders()?;
        let parsed = match (&update, &updates) {
            (Some(text), _) => Some(Update::parse(text, &mut placeholders).map_err(request::refused)?),
            (None, Some(updates)) if !updates.is_empty() => {
                Some(legacy::attribute_updates(request::updates(updates)).map_err(request::refused)?)
            }
            (None, _) => None,
        };
        let mut guard = options.guard(placeholders, &[Kind::Update, Kind::Condition])?;
        guard.held_bytes += updates.as_ref().map_or(0, |updates| request::held_bytes(updates.values()));
        let key = keys::read(&key)?;
        let table = self.table(&table)?;
        keys::check_key(&table.schema, &key)?;
        let collection = options.collection(&table, &key);
        let touched = Arc::new(Mutex::new(Touched::default()));
        let changed = self.change_one(update_op(&table, key, parsed, guard, touched.clone())?).await?;
        let attributes = returned(options.returned, &changed, &touched);
        Ok(options.written(&table, &changed, attributes, collection))
    }
}

/// What an update answers of the item.
pub(super) fn returned(returned: Returned, changed: &Changed, touched: &Mutex<Touched>) -> Option<Attributes> {
    let touched = touched.lock().expect("nobody panics while holding what was touched");
    let item = match returned {
        Returned::None => None,
        Returned::AllOld => changed.old.as_ref(),
        Returned::AllNew => changed.new.as_ref(),
        Returned::UpdatedOld => Some(&touched.old),
        Returned::UpdatedNew => Some(&touched.new),
    };
    item.filter(|item| !item.is_empty()).map(written)
}
