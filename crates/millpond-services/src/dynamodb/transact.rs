//! TransactWriteItems and TransactGetItems.

use super::capacity::{Consumed, Report, merge, read_units};
use super::item::{DeleteItem, Guard, PutItem, UpdateItem, WriteOptions, check_op, collection, delete_op, put_op, update_op};
use super::read::GetItem;
use super::request::{self, written};
use super::table::Table;
use super::tokens::{self, Before, ClientToken};
use super::{Attributes, CancellationReason, DynamoDb, DynamoError, items_error, keys, refused};
use millpond_tables::Item;
use millpond_tables::expression::{self, Kind, Update};
use millpond_tables::store::{ChangeError, Changed, Op, Terms};
use millpond_tables::value::item_size;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// The items of a transaction at the most, in bytes. Developer guide, "Service, account, and table quotas". Counted are the items that puts and updates leave, those
/// that deletes and condition checks find, and those that are read, whole.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// What the expressions of a transaction may copy of values, in bytes.
const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Actions of a transaction at the most, by the same page.
pub(super) const ACTIONS_MAX: usize = 100;

/// An action of a transaction.
#[derive(Debug, Clone)]
pub enum TransactWrite {
    /// `Put`
    Put(PutItem),
    /// `Delete`
    Delete(DeleteItem),
    /// `Update`
    Update(UpdateItem),
    /// `ConditionCheck`
    Check(DeleteItem),
}

impl TransactWrite {
    /// The table that it names.
    pub fn table(&self) -> &str {
        match self {
            Self::Put(put) => &put.table,
            Self::Delete(write) | Self::Check(write) => &write.table,
            Self::Update(update) => &update.table,
        }
    }
}

/// A read of a transaction.
pub type TransactGet = GetItem;

/// What a transaction of writes answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transacted {
    /// Where it was asked for.
    pub consumed: Vec<Consumed>,
    /// By table: partition keys, where item collections were asked for.
    pub collections: BTreeMap<String, Vec<Attributes>>,
}

/// An action, ready to be done.
pub(super) struct Prepared {
    pub(super) table: Arc<Table>,
    pub(super) key: Item,
    pub(super) op: Op<DynamoError>,
    /// Bytes that it brings.
    pub(super) size: usize,
    /// It only checks.
    pub(super) checks: bool,
}

/// A read of a transaction, ready to be done.
pub(super) struct PreparedGet {
    pub(super) table: Arc<Table>,
    pub(super) key: Item,
    /// An item that it does not hold for is not answered.
    pub(super) filter: Option<expression::Condition>,
    pub(super) projection: Option<expression::Projection>,
}

/// How a transaction ended.
pub(super) enum Ended {
    /// It was done.
    Done(Vec<Changed>),
    /// It had been done before, with the same token.
    Before,
}

/// Actions by themselves; the reasons of those that cannot be done.
pub(super) fn all_or_reasons<T>(actions: Vec<Result<T, DynamoError>>) -> Result<Vec<T>, DynamoError> {
    if actions.iter().all(Result::is_ok) {
        return actions.into_iter().collect();
    }
    let reason = |action: Result<T, DynamoError>| match action {
        Ok(_) => Ok(CancellationReason::none()),
        Err(error) => error.into_reason(),
    };
    Err(DynamoError::Cancelled(actions.into_iter().map(reason).collect::<Result<_, _>>()?))
}

/// What an action counts of the items of its transaction, in bytes.
fn counted(changed: &Changed) -> usize {
    match changed.new {
        Some(_) => changed.new_size_bytes,
        None => changed.old_size_bytes,
    }
}

fn check_bytes(bytes: usize) -> Result<(), DynamoError> {
    match bytes {
        0..=BYTES_MAX => Ok(()),
        _ => Err(DynamoError::invalid(format!(
            "The aggregate size of the items in the transaction cannot exceed 4 MB, and these have more: {bytes} bytes"
        ))),
    }
}

fn check_distinct<'a>(mut items: impl Iterator<Item = (&'a Arc<Table>, &'a Item)>) -> Result<(), DynamoError> {
    let mut seen = HashSet::new();
    match items.all(|(table, key)| seen.insert((table.id, key))) {
        true => Ok(()),
        false => Err(DynamoError::invalid("Transaction request cannot include multiple operations on one item")),
    }
}

impl DynamoDb {
    /// `TransactWriteItems`.
    pub async fn transact_write(
        &self,
        actions: Vec<TransactWrite>,
        token: Option<ClientToken>,
        report: Report,
        collections: bool,
    ) -> Result<Transacted, DynamoError> {
        let parsed = parse_all(actions)?;
        let found = parsed.into_iter().map(|one| Ok((self.table(&one.table)?, one))).collect::<Result<Vec<_>, DynamoError>>()?;
        found.iter().try_for_each(|(table, one)| one.check_alone(table))?;
        let prepared = all_or_reasons(found.into_iter().map(|(table, one)| one.prepare(table)).collect())?;
        let places: Vec<_> = prepared.iter().map(|one| (one.table.clone(), one.key.clone(), one.checks)).collect();
        let ended = self.transact(prepared, token).await?;
        let mut answer = Transacted::default();
        for (i, (table, key, checks)) in places.iter().enumerate() {
            if let Some(collection) = (collections && !checks).then(|| collection(table, key)).flatten() {
                let all = answer.collections.entry(table.name.clone()).or_default();
                if !all.contains(&collection) {
                    all.push(collection);
                }
            }
            if report != Report::None {
                merge(&mut answer.consumed, consumed(table, &ended, i));
            }
        }
        Ok(answer)
    }

    /// Does all of the actions or none.
    pub(super) async fn transact(&self, prepared: Vec<Prepared>, token: Option<ClientToken>) -> Result<Ended, DynamoError> {
        check_distinct(prepared.iter().map(|one| (&one.table, &one.key)))?;
        check_bytes(prepared.iter().map(|one| one.size).sum())?;
        let has_token = token.is_some();
        let first = token.map(|token| token.op(self.now_ms()));
        let ops = first.into_iter().chain(prepared.into_iter().map(|one| one.op)).collect();
        let own = usize::from(has_token);
        let terms = Terms::default().if_accepted(move |changed| check_bytes(changed.iter().skip(own).map(counted).sum()));
        match self.change(terms, ops).await {
            Ok(mut changed) => {
                changed.drain(..own);
                Ok(Ended::Done(changed))
            }
            Err(ChangeError::Store(error)) => Err(items_error(error)),
            Err(ChangeError::Unaccepted(error)) => Err(error),
            Err(ChangeError::Refused(refusals)) => {
                let mut errors = refusals.into_iter().map(|refusal| refusal.map(refused));
                let of_token = has_token.then(|| errors.next().flatten()).flatten();
                match of_token.as_ref().map(tokens::before) {
                    Some(Some(Before::Same)) => return Ok(Ended::Before),
                    Some(Some(Before::Other)) => return Err(DynamoError::TokenMismatch),
                    Some(None) => return Err(of_token.unwrap_or(DynamoError::TokenMismatch)),
                    None => {}
                }
                all_or_reasons(errors.map(|error| error.map_or(Ok(()), Err)).collect())?;
                Err(DynamoError::Items("a refusal without a reason".into()))
            }
        }
    }

    /// `TransactGetItems`: the items as they were at one time, in the order of the request.
    pub async fn transact_get(
        &self,
        gets: Vec<TransactGet>,
        report: Report,
    ) -> Result<(Vec<Option<Attributes>>, Vec<Consumed>), DynamoError> {
        let mut ready = Vec::with_capacity(gets.len());
        for get in gets {
            let mut placeholders = get.expressions.placeholders()?;
            let projection = get.projection.parse(&mut placeholders)?;
            placeholders.finish(&[Kind::Projection]).map_err(request::refused)?;
            ready.push(PreparedGet { table: self.table(&get.table)?, key: keys::read(&get.key)?, filter: None, projection });
        }
        self.get_all(ready, report).await
    }

    /// Reads all as of one time.
    pub(super) async fn get_all(
        &self,
        gets: Vec<PreparedGet>,
        report: Report,
    ) -> Result<(Vec<Option<Attributes>>, Vec<Consumed>), DynamoError> {
        all_or_reasons(gets.iter().map(|get| keys::check_key(&get.table.schema, &get.key)).collect())?;
        check_distinct(gets.iter().map(|get| (&get.table, &get.key)))?;
        self.look_at_many(move |items| {
            let snapshot = items.snapshot().map_err(items_error)?;
            let (mut found, mut consumed, mut bytes) = (Vec::new(), Vec::new(), 0);
            for PreparedGet { table, key, filter, projection } in &gets {
                let item = snapshot.get(table.id(), key).map_err(items_error)?;
                let size = item.as_ref().map_or(0, item_size);
                bytes += size;
                check_bytes(bytes)?;
                if report != Report::None {
                    let mut one = Consumed { transactional: true, ..Consumed::of(table) };
                    one.count_read(None, read_units(size, true) * 2.0);
                    merge(&mut consumed, one);
                }
                let wanted = |item: Item| {
                    projection.as_ref().map_or_else(|| written(&item), |projection| written(&projection.apply(&item)))
                };
                found.push(item.filter(|item| filter.as_ref().is_none_or(|filter| filter.holds(item))).map(wanted));
            }
            Ok((found, consumed))
        })
        .await
    }
}

/// An action whose values and expressions are read.
struct Parsed {
    table: String,
    guard: Guard,
    work: Work,
}

enum Work {
    Put(Item),
    Delete(Item),
    Check(Item),
    Update(Item, Option<Update>),
}

/// Reads actions, as far as all of them together copy no more of values than the limit.
fn parse_all(actions: Vec<TransactWrite>) -> Result<Vec<Parsed>, DynamoError> {
    let (mut parsed, mut held_bytes) = (Vec::with_capacity(actions.len()), 0);
    for action in actions {
        let one = parse(action)?;
        held_bytes += one.guard.held_bytes;
        if held_bytes > HELD_BYTES_MAX {
            return Err(DynamoError::invalid(format!(
                "The expressions of the transaction use more than {HELD_BYTES_MAX} bytes of ExpressionAttributeValues, each use counted"
            )));
        }
        parsed.push(one);
    }
    Ok(parsed)
}

/// Reads an action: before any table is looked for, as on AWS.
fn parse(action: TransactWrite) -> Result<Parsed, DynamoError> {
    let (table, guard, work) = match action {
        TransactWrite::Put(put) => (put.table, guard(&put.options)?, Work::Put(keys::read(&put.item)?)),
        TransactWrite::Delete(delete) => (delete.table, guard(&delete.options)?, Work::Delete(keys::read(&delete.key)?)),
        TransactWrite::Check(check) => (check.table, guard(&check.options)?, Work::Check(keys::read(&check.key)?)),
        TransactWrite::Update(update) => {
            let mut placeholders = update.options.expressions.placeholders()?;
            let parsed = update.update.as_deref().map(|text| Update::parse(text, &mut placeholders));
            let parsed = parsed.transpose().map_err(request::refused)?;
            let guard = update.options.guard(placeholders, &[Kind::Update, Kind::Condition])?;
            (update.table, guard, Work::Update(keys::read(&update.key)?, parsed))
        }
    };
    Ok(Parsed { table, guard, work })
}

impl Parsed {
    /// What AWS finds wrong with the request, and not with one of its actions: keys without content, and items that are too large as they were sent.
    fn check_alone(&self, table: &Table) -> Result<(), DynamoError> {
        match &self.work {
            Work::Put(item) => {
                keys::check_not_empty(&table.schema, item)?;
                keys::check_size(item)
            }
            Work::Delete(key) | Work::Check(key) | Work::Update(key, _) => keys::check_not_empty(&table.schema, key),
        }
    }

    fn prepare(self, table: Arc<Table>) -> Result<Prepared, DynamoError> {
        let Self { guard, work, .. } = self;
        let (key, size, checks, op) = match work {
            Work::Put(item) => {
                keys::check_item(&table, &item)?;
                let (key, size) = (table.schema.key_of(&item).unwrap_or_default(), item_size(&item));
                (key, size, false, put_op(&table, item, guard, false))
            }
            Work::Delete(key) => {
                keys::check_key(&table.schema, &key)?;
                (key.clone(), 0, false, delete_op(&table, key, guard, false))
            }
            Work::Check(key) => {
                keys::check_key(&table.schema, &key)?;
                (key.clone(), 0, true, check_op(&table, key, guard))
            }
            Work::Update(key, update) => {
                keys::check_key(&table.schema, &key)?;
                (key.clone(), 0, false, update_op(&table, key, update, guard, Arc::default())?)
            }
        };
        Ok(Prepared { table, key, op, size, checks })
    }
}

fn guard(options: &WriteOptions) -> Result<Guard, DynamoError> {
    options.guard(options.expressions.placeholders()?, &[Kind::Condition])
}

/// What the action of that place consumed: twice what it would alone. One that had been done before counts as a read.
pub(super) fn consumed(table: &Table, ended: &Ended, at: usize) -> Consumed {
    let mut consumed = Consumed { transactional: true, ..Consumed::of(table) };
    match ended {
        Ended::Done(changed) => {
            if let Some(changed) = changed.get(at) {
                consumed.count_write(table, changed, 2.0);
            }
        }
        Ended::Before => consumed.count_read(None, read_units(0, true) * 2.0),
    }
    consumed
}
