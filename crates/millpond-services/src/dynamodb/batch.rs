//! BatchGetItem and BatchWriteItem.

use super::capacity::{Consumed, Report, merge, read_units};
use super::item::{Guard, collection, delete_op, put_op};
use super::read::check_projection_way;
use super::request::{self, Expressions, Projection, written};
use super::table::Table;
use super::{Attributes, DynamoDb, DynamoError, items_error, keys};
use millpond_tables::Item;
use millpond_tables::expression::{self, Kind};
use millpond_tables::store::Op;
use millpond_tables::value::item_size;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Keys of a `BatchGetItem` at the most. API reference.
const GETS_MAX: usize = 100;

/// Writes of a `BatchWriteItem` at the most. API reference.
const WRITES_MAX: usize = 25;

/// What a batch reads or writes at the most, in bytes. API reference.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Keys of one table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BatchKeys {
    /// Primary keys.
    pub keys: Vec<Attributes>,
    /// Which parts of the items.
    pub projection: Projection,
    /// Names of the projection.
    pub expressions: Expressions,
    /// `ConsistentRead`, as it was given.
    pub consistent: Option<bool>,
}

/// `BatchGetItem`.
#[derive(Debug, Clone, Default)]
pub struct BatchGet {
    /// By table.
    pub tables: BTreeMap<String, BatchKeys>,
    /// What is told of capacity.
    pub report: Report,
}

/// What a `BatchGetItem` answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BatchGot {
    /// By table: the items that are there, in no order.
    pub items: BTreeMap<String, Vec<Attributes>>,
    /// What is to be asked for again.
    pub unprocessed: BTreeMap<String, BatchKeys>,
    /// Where it was asked for.
    pub consumed: Vec<Consumed>,
}

/// A write of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// An item.
    Put(Attributes),
    /// A primary key.
    Delete(Attributes),
}

/// `BatchWriteItem`.
#[derive(Debug, Clone, Default)]
pub struct BatchWrite {
    /// By table.
    pub tables: BTreeMap<String, Vec<Write>>,
    /// What is told of capacity.
    pub report: Report,
    /// Whether item collections are told of.
    pub collections: bool,
}

/// What a `BatchWriteItem` answers: everything was written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BatchWritten {
    /// Where it was asked for.
    pub consumed: Vec<Consumed>,
    /// By table: partition keys, where item collections were asked for.
    pub collections: BTreeMap<String, Vec<Attributes>>,
}

/// Refuses a key that comes twice.
fn check_once(seen: &mut HashSet<(u64, Item)>, table: &Table, key: Item) -> Result<(), DynamoError> {
    match seen.insert((table.id, key)) {
        true => Ok(()),
        false => Err(DynamoError::invalid("Provided list of item keys contains duplicates")),
    }
}

/// The keys of one table, ready to be read.
struct Ready {
    name: String,
    table: Arc<Table>,
    keys: Vec<Item>,
    projection: Option<expression::Projection>,
    consistent: bool,
}

impl DynamoDb {
    /// `BatchGetItem`.
    pub async fn batch_get(&self, batch: BatchGet) -> Result<BatchGot, DynamoError> {
        let ready = self.ready(&batch.tables)?;
        let BatchGet { mut tables, report } = batch;
        let (mut got, rest) = self.look_at_many(move |items| read(items, ready, report)).await?;
        for (name, done) in rest {
            if let Some(mut keys) = tables.remove(&name) {
                keys.keys.drain(..done);
                got.unprocessed.insert(name, keys);
            }
        }
        Ok(got)
    }

    fn ready(&self, tables: &BTreeMap<String, BatchKeys>) -> Result<Vec<Ready>, DynamoError> {
        if tables.values().map(|keys| keys.keys.len()).sum::<usize>() > GETS_MAX {
            return Err(DynamoError::invalid("Too many items requested for the BatchGetItem call"));
        }
        let mut seen = HashSet::new();
        let ready = tables.iter().map(|(name, given)| {
            check_projection_way(&given.projection)?;
            let mut placeholders = given.expressions.placeholders()?;
            let projection = given.projection.parse(&mut placeholders)?;
            placeholders.finish(&[Kind::Projection]).map_err(request::refused)?;
            let keys = given.keys.iter().map(keys::read).collect::<Result<Vec<_>, _>>()?;
            let table = self.table(name)?;
            for key in &keys {
                keys::check_key(&table.schema, key)?;
                check_once(&mut seen, &table, key.clone())?;
            }
            Ok(Ready { name: name.clone(), table, keys, projection, consistent: given.consistent.unwrap_or_default() })
        });
        ready.collect()
    }

    /// `BatchWriteItem`: all of it in one change.
    pub async fn batch_write(&self, batch: BatchWrite) -> Result<BatchWritten, DynamoError> {
        if batch.tables.values().map(Vec::len).sum::<usize>() > WRITES_MAX {
            return Err(DynamoError::invalid("Too many items requested for the BatchWriteItem call"));
        }
        let (mut seen, mut bytes) = (HashSet::new(), 0);
        let mut ops: Vec<Op<DynamoError>> = Vec::new();
        let mut tables: Vec<Arc<Table>> = Vec::new();
        let mut collections: BTreeMap<String, Vec<Attributes>> = BTreeMap::new();
        for (name, writes) in &batch.tables {
            if writes.is_empty() {
                let text = "The batch write request list for a table cannot be null or empty";
                return Err(DynamoError::Validation(format!("{text}: {name}")));
            }
            let table = self.table(name)?;
            for write in writes {
                let (op, key, size) = prepare(&table, write)?;
                bytes += size;
                if let Some(collection) = batch.collections.then(|| collection(&table, &key)).flatten() {
                    let all = collections.entry(table.name.clone()).or_default();
                    if !all.contains(&collection) {
                        all.push(collection);
                    }
                }
                check_once(&mut seen, &table, key)?;
                ops.push(op);
                tables.push(table.clone());
            }
        }
        if bytes > BYTES_MAX {
            return Err(DynamoError::invalid("Too many bytes in the BatchWriteItem call: its items may have 16 MB together"));
        }
        let changed = self.change_all(ops).await?;
        let mut consumed = Vec::new();
        for (table, changed) in tables.iter().zip(&changed).filter(|_| batch.report != Report::None) {
            let mut one = Consumed::of(table);
            one.count_write(table, changed, 1.0);
            merge(&mut consumed, one);
        }
        Ok(BatchWritten { consumed, collections })
    }
}

/// A write as an operation, with its key and the bytes that it brings.
fn prepare(table: &Table, write: &Write) -> Result<(Op<DynamoError>, Item, usize), DynamoError> {
    match write {
        Write::Put(item) => {
            let item = keys::read(item)?;
            keys::check_item(table, &item)?;
            let (key, size) = (table.schema.key_of(&item).unwrap_or_default(), item_size(&item));
            Ok((put_op(table, item, Guard::default(), false), key, size))
        }
        Write::Delete(key) => {
            let key = keys::read(key)?;
            keys::check_key(&table.schema, &key)?;
            Ok((delete_op(table, key.clone(), Guard::default(), false), key, 0))
        }
    }
}

/// Reads until the answer is full. Also: of the tables that are not done, how many of their keys are.
fn read(
    items: &millpond_tables::store::Items,
    ready: Vec<Ready>,
    report: Report,
) -> Result<(BatchGot, Vec<(String, usize)>), DynamoError> {
    let (mut got, mut rest, mut bytes) = (BatchGot::default(), Vec::new(), 0);
    for Ready { name, table, keys, projection, consistent } in ready {
        let mut consumed = Consumed::of(&table);
        let mut found = Vec::new();
        let mut done = 0;
        for key in &keys {
            if bytes >= BYTES_MAX {
                break;
            }
            let item = items.get(table.id(), key).map_err(items_error)?;
            let size = item.as_ref().map_or(0, item_size);
            if bytes + size > BYTES_MAX {
                bytes = BYTES_MAX;
                break;
            }
            (bytes, done) = (bytes + size, done + 1);
            consumed.count_read(None, read_units(size, consistent));
            if let Some(item) = item {
                found.push(projection.as_ref().map_or_else(|| written(&item), |projection| written(&projection.apply(&item))));
            }
        }
        if done < keys.len() {
            rest.push((name.clone(), done));
        }
        if report != Report::None && done > 0 {
            merge(&mut got.consumed, consumed);
        }
        got.items.insert(name, found);
    }
    Ok((got, rest))
}
