//! DynamoDB: tables of items.
//!
//! What a table is lies in the lake's transactional store (`dynamodb_table`) and, ready for use, in memory ([`table`]): operations on items ask no SQL. The
//! items lie in a store of their own ([`millpond_tables::store`], in `<lake>/items`), whose changes are atomic, isolated and durable by themselves.
//!
//! What must happen before what: a table's row is committed, then the store of items makes the table, then it is published in memory. A deletion goes the same way: row,
//! items, memory. A kill between the first two is repaired at the next start, when the store of items is opened for the tables that have rows: it makes what it lacks, and removes what is too
//! many. Changes of tables are made one after another, and go on when their caller goes away.
//!
//! Imports and exports are tasks ([`transfer`]). The tokens of transactions lie in a table of the store that no name leads to ([`tokens`]), and are put in the
//! same change as what the transaction writes.

mod backups;
mod batch;
mod billing;
mod capacity;
mod create;
mod error;
mod export;
mod import;
mod item;
mod keys;
mod load;
mod model;
mod query;
mod read;
mod request;
mod sql;
mod statement;
mod table;
mod tables;
mod tags;
mod tokens;
mod transact;
mod transfer;
mod ttl;

pub use backups::Backups;
pub use batch::{BatchGet, BatchGot, BatchKeys, BatchWrite, BatchWritten, Write};
pub use capacity::{Consumed, Report, Units};
pub use error::{CancellationReason, DynamoError};
pub use export::ExportRequest;
pub use import::{CsvOptions, ImportRequest};
pub use item::{DeleteItem, PutItem, Returned, UpdateItem, WriteOptions, Written};
pub use load::ItemLoads;
pub use model::{
    Definition, Encryption, Index, KeyKind, KeyPart, NewIndex, NewTable, OnDemand, Projected, Settings, TableState, Throughput,
    Warm,
};
pub use query::{QueryRequest, ReadPage, ScanRequest, Select};
pub use read::{GetItem, Got};
pub use request::{Condition, Expressions, Filter, Legacy, Projection};
pub use statement::{BatchStatement, StatementAnswer, StatementRequest, TransactStatements};
pub use tables::{Described, IndexChange, TableChange, TableNames};
pub use tokens::ClientToken;
pub use transact::{TransactGet, TransactWrite, Transacted};
pub use transfer::{Export, Import, Summaries, Transfer, TransferState};
pub use ttl::TimeToLive;

use crate::lake::Lake;
use crate::runtime::Handler;
use millpond_store::Component;
use millpond_tables::store::{
    ChangeError, Changed, ItemError, Items, Op, Options, Refusal, StoreError as ItemsError, TableSpec, Terms,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};
use table::Table;

/// DynamoDB's tables.
pub const COMPONENT: Component = Component { name: "dynamodb", migrations: &[include_str!("schema.sql")] };

/// The folder of the items, below the lake's.
pub const FOLDER: &str = "items";

/// Attributes by name, each as DynamoDB JSON (`{"S": "text"}`).
pub type Attributes = BTreeMap<String, serde_json::Value>;

/// The service; clones share it.
#[derive(Debug, Clone)]
pub struct DynamoDb {
    lake: Lake,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    items: Items,
    /// For whoever reads more than one item: those who wait for the disk must leave threads to others.
    reads: Arc<tokio::sync::Semaphore>,
    /// By name. Changed only by whoever holds `changes`.
    tables: RwLock<HashMap<String, Arc<Table>>>,
    changes: tokio::sync::Mutex<()>,
}

impl DynamoDb {
    /// DynamoDB over a lake: opens the items of its tables. Blocks.
    ///
    /// # Errors
    /// The store of items cannot be opened.
    pub fn open(lake: &Lake) -> Result<Self, DynamoError> {
        let connection = lake.store.connect()?;
        let rows = sql::tables(&connection)?;
        let tables = rows.into_iter().map(|row| Table::of(row, &lake.place)).collect::<Result<Vec<_>, _>>()?;
        let mut specs: Vec<TableSpec> = tables.iter().map(Table::spec).collect();
        if !specs.is_empty() {
            specs.push(tokens::spec());
        }
        let folder = lake.store.directory().join(FOLDER);
        let items = Items::open(&folder, Options::default(), lake.store.env().clone(), &specs).map_err(items_error)?;
        let tables = tables.into_iter().map(|table| (table.name.clone(), Arc::new(table))).collect();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let reads = Arc::new(tokio::sync::Semaphore::new(2 * cores + 6));
        let shared = Shared { items, reads, tables: RwLock::new(tables), changes: tokio::sync::Mutex::default() };
        Ok(Self { lake: lake.clone(), shared: Arc::new(shared) })
    }

    /// Who imports and exports.
    pub fn handlers(&self) -> Vec<Arc<dyn Handler>> {
        vec![
            Arc::new(import::ImportHandler { dynamodb: self.clone() }),
            Arc::new(export::ExportHandler { dynamodb: self.clone() }),
        ]
    }

    /// The store of items.
    fn items(&self) -> &Items {
        &self.shared.items
    }

    fn now_ms(&self) -> i64 {
        self.lake.store.env().now_ms()
    }

    /// Changes items on these terms: all operations or none. Answers after the sync.
    async fn change(
        &self,
        terms: Terms<DynamoError>,
        ops: Vec<Op<DynamoError>>,
    ) -> Result<Vec<Changed>, ChangeError<DynamoError>> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // Goes with this future: a change whose caller went away before its turn is not done.
        let caller = Arc::new(());
        let waits = Arc::downgrade(&caller);
        let terms = terms.while_wanted(move || waits.strong_count() > 0);
        self.items().submit_on(terms, ops, move |done| drop(sender.send(done)));
        let answer = receiver.await;
        drop(caller);
        answer.unwrap_or_else(|_| Err(ItemsError::Internal("the store of items is closed".into()).into()))
    }

    /// Changes one item.
    async fn change_one(&self, op: Op<DynamoError>) -> Result<Changed, DynamoError> {
        let changed = self.change_all(vec![op]).await?;
        changed.into_iter().next().ok_or_else(|| DynamoError::Items("a change without an answer".into()))
    }

    /// Changes items; where operations are refused, the first of them is told.
    async fn change_all(&self, ops: Vec<Op<DynamoError>>) -> Result<Vec<Changed>, DynamoError> {
        self.change(Terms::default(), ops).await.map_err(|error| match error {
            ChangeError::Store(error) => items_error(error),
            ChangeError::Unaccepted(error) => error,
            ChangeError::Refused(refusals) => {
                let first = refusals.into_iter().flatten().next();
                first.map_or_else(|| DynamoError::Items("a refusal without a reason".into()), refused)
            }
        })
    }

    /// As [`Self::look`], of many items; few do that at once.
    async fn look_at_many<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Items) -> Result<T, DynamoError> + Send + 'static,
    ) -> Result<T, DynamoError> {
        let turn = Arc::clone(&self.shared.reads).acquire_owned().await;
        // Of the read itself, which goes on where its caller goes away.
        let look = move |items: &Items| {
            let _turn = turn;
            look(items)
        };
        self.look(look).await
    }

    /// Looks at the items, on a thread where blocking is fine.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Items) -> Result<T, DynamoError> + Send + 'static,
    ) -> Result<T, DynamoError> {
        let items = self.items().clone();
        let looked = tokio::task::spawn_blocking(move || look(&items)).await;
        looked.unwrap_or_else(|_| Err(DynamoError::Items("an internal fault ended a read".into())))
    }
}

/// Why an operation of a change was refused.
fn refused(refusal: Refusal<DynamoError>) -> DynamoError {
    match refusal {
        Refusal::Condition(error) => error,
        Refusal::Item(error) => DynamoError::parameter(error),
    }
}

/// The failure of the store of items, as the caller is told.
fn items_error(error: ItemsError) -> DynamoError {
    match error {
        ItemsError::Busy => DynamoError::Busy,
        ItemsError::NoTable(_) => DynamoError::NotFound,
        ItemsError::NoIndex(_, index) => DynamoError::invalid(format!("The table does not have the specified index: {index}")),
        ItemsError::IndexBuilding(_, index) => {
            DynamoError::invalid(format!("Cannot read from backfilling global secondary index: {index}"))
        }
        ItemsError::Key(ItemError::Position) => DynamoError::invalid("The provided starting key is invalid"),
        ItemsError::Key(_) => DynamoError::invalid("The provided key element does not match the schema"),
        other => DynamoError::Items(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
