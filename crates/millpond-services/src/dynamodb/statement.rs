//! PartiQL: ExecuteStatement, BatchExecuteStatement, ExecuteTransaction.

use super::capacity::{Consumed, Report, merge};
use super::item::{Guard, Returned, check_op, returned, update_op};
use super::query::{Plan, Read, Way, check_filter_of_index};
use super::request::written;
use super::table::Table;
use super::tokens::ClientToken;
use super::transact::{ACTIONS_MAX, Prepared, PreparedGet, all_or_reasons, consumed};
use super::{Attributes, DynamoDb, DynamoError, items_error, keys};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::join_all;
use millpond_tables::expression::{Projection, Touched};
use millpond_tables::partiql::{self, Access, Returning, Select, Statement};
use millpond_tables::store::{Change, Op, Snapshot};
use millpond_tables::value::item_size;
use millpond_tables::value::json::read_value;
use millpond_tables::value::key::KeyRange;
use millpond_tables::{Item, Value};
use serde_json::Value as Json;
use std::sync::{Arc, Mutex};

/// Statements of a `BatchExecuteStatement` at the most. API reference.
const BATCH_MAX: usize = 25;

/// A statement to execute.
#[derive(Debug, Clone, Default)]
pub struct StatementRequest {
    /// Its text.
    pub statement: String,
    /// What takes the places of its `?`: DynamoDB JSON.
    pub parameters: Vec<Json>,
    /// Counts twice.
    pub consistent: bool,
    /// Items looked at, at the most.
    pub limit: Option<usize>,
    /// Where the page before ended.
    pub next: Option<String>,
    /// Whether the item is answered where the condition does not hold.
    pub item_on_failure: bool,
    /// What is told of capacity.
    pub report: Report,
}

/// A statement that was read, and not executed yet.
#[derive(Debug)]
pub struct BatchStatement {
    statement: Statement,
    request: StatementRequest,
    /// What its values hold in memory, in bytes, about.
    held_bytes: usize,
}

/// The statements of a transaction.
#[derive(Debug)]
pub struct TransactStatements {
    /// In their order.
    pub statements: Vec<BatchStatement>,
    /// `ClientRequestToken`.
    pub token: Option<ClientToken>,
    /// What is told of capacity.
    pub report: Report,
}

/// What a statement answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StatementAnswer {
    /// What was selected, or what `RETURNING` asked for.
    pub items: Vec<Attributes>,
    /// Where to go on.
    pub next: Option<String>,
    /// The key of the last item looked at, where there is more.
    pub last: Option<Attributes>,
    /// Where it was asked for.
    pub consumed: Option<Consumed>,
    /// The table.
    pub table: String,
}

impl BatchStatement {
    /// Reads a statement.
    ///
    /// # Errors
    /// It is not well formed.
    pub fn parse(request: StatementRequest) -> Result<Self, DynamoError> {
        let parameters = request.parameters.iter().map(read_value).collect::<Result<Vec<Value>, _>>()?;
        let statement = partiql::parse(&request.statement, &parameters).map_err(refused)?;
        let held_bytes = request.statement.len() + parameters.iter().map(Value::size).sum::<usize>();
        Ok(Self { statement, request, held_bytes })
    }

    /// The table that it names.
    pub fn table(&self) -> &str {
        match &self.statement {
            Statement::Select(select) | Statement::Exists(select) => &select.table,
            Statement::Insert { table, .. } | Statement::Update { table, .. } | Statement::Delete { table, .. } => table,
        }
    }

    /// The action that its caller must be allowed. Developer guide, "IAM security policies with PartiQL".
    pub fn action(&self) -> &'static str {
        match &self.statement {
            Statement::Select(_) => "dynamodb:PartiQLSelect",
            Statement::Exists(_) => "dynamodb:ConditionCheckItem",
            Statement::Insert { .. } => "dynamodb:PartiQLInsert",
            Statement::Update { .. } => "dynamodb:PartiQLUpdate",
            Statement::Delete { .. } => "dynamodb:PartiQLDelete",
        }
    }

    fn reads(&self) -> bool {
        matches!(self.statement, Statement::Select(_))
    }
}

fn refused(error: partiql::StatementError) -> DynamoError {
    DynamoError::Validation(error.to_string())
}

/// A write of a statement, ready to be done.
struct Write {
    prepared: Prepared,
    returning: Returned,
    touched: Arc<Mutex<Touched>>,
}

fn returned_of(returning: Option<Returning>) -> Returned {
    match returning {
        None => Returned::None,
        Some(Returning::AllOld) => Returned::AllOld,
        Some(Returning::AllNew) => Returned::AllNew,
        Some(Returning::ModifiedOld) => Returned::UpdatedOld,
        Some(Returning::ModifiedNew) => Returned::UpdatedNew,
    }
}

/// Where a page of a `SELECT` ended: which of its partitions, and which key. Opaque to callers.
fn token(range: usize, last: &Item) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::json!([range, written(last)]).to_string())
}

fn of_token(token: &str) -> Result<(usize, Item), DynamoError> {
    let wrong = || DynamoError::invalid("The NextToken is not one that this statement gave");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    let (range, last): (usize, Attributes) = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    Ok((range, keys::read(&last).map_err(|_| wrong())?))
}

impl DynamoDb {
    /// `ExecuteStatement`.
    pub async fn execute(&self, statement: BatchStatement) -> Result<StatementAnswer, DynamoError> {
        let BatchStatement { statement, request, held_bytes } = statement;
        match statement {
            Statement::Select(select) => self.select(select, &request).await,
            Statement::Exists(_) => Err(DynamoError::invalid("EXISTS is only supported in ExecuteTransaction")),
            write => {
                let Write { prepared, returning, touched } = self.write_of(write, request.item_on_failure, held_bytes)?;
                let table = prepared.table;
                let changed = self.change_one(prepared.op).await?;
                let consumed = (request.report != Report::None).then(|| {
                    let mut consumed = Consumed::of(&table);
                    consumed.count_write(&table, &changed, 1.0);
                    consumed
                });
                let items = returned(returning, &changed, &touched).into_iter().collect();
                Ok(StatementAnswer { items, consumed, table: table.name.clone(), ..StatementAnswer::default() })
            }
        }
    }

    fn write_of(&self, statement: Statement, item_on_failure: bool, held_bytes: usize) -> Result<Write, DynamoError> {
        let touched = Arc::<Mutex<Touched>>::default();
        let (prepared, returning) = match statement {
            Statement::Insert { table, item } => {
                let table = self.table(&table)?;
                keys::check_item(&table, &item)?;
                let (key, size) = (table.schema.key_of(&item).unwrap_or_default(), item_size(&item));
                let op = Op::put_if(table.id(), item, |old| old.map_or(Ok(()), |_| Err(DynamoError::Duplicate)));
                (Prepared { table, key, op, size, checks: false }, Returned::None)
            }
            Statement::Update { table, update, filter, returning } => {
                let table = self.table(&table)?;
                let key = partiql::key_of(filter.as_ref(), &table.schema).map_err(refused)?;
                keys::check_key(&table.schema, &key)?;
                let guard = Guard { condition: filter, item_on_failure, held_bytes };
                let op = update_op(&table, key.clone(), Some(update), guard, touched.clone())?;
                (Prepared { table, key, op, size: 0, checks: false }, returned_of(returning))
            }
            Statement::Delete { table, filter, returning } => {
                let table = self.table(&table)?;
                let key = partiql::key_of(filter.as_ref(), &table.schema).map_err(refused)?;
                keys::check_key(&table.schema, &key)?;
                let guard = Guard { condition: filter, item_on_failure, held_bytes };
                // An item that is not there is deleted already.
                let op = Op::new(table.id(), key.clone(), move |old| match old {
                    None => Ok(Change::Keep),
                    Some(item) => guard.check(Some(item)).map(|()| Change::Delete),
                })
                .holding(held_bytes);
                (Prepared { table, key, op, size: 0, checks: false }, returned_of(returning))
            }
            Statement::Exists(select) => {
                let table = self.table(&select.table)?;
                let key = partiql::key_of(select.filter.as_ref(), &table.schema).map_err(refused)?;
                keys::check_key(&table.schema, &key)?;
                let op = check_op(&table, key.clone(), Guard { condition: select.filter, item_on_failure, held_bytes });
                (Prepared { table, key, op, size: 0, checks: true }, Returned::None)
            }
            Statement::Select(_) => return Err(DynamoError::invalid("A SELECT cannot be among statements that write")),
        };
        Ok(Write { prepared, returning, touched })
    }

    async fn select(&self, select: Select, request: &StatementRequest) -> Result<StatementAnswer, DynamoError> {
        let table = self.table(&select.table)?;
        let index = select.index.as_deref().map(|name| table.index(name)).transpose()?.cloned();
        if request.consistent && index.as_ref().is_some_and(|index| index.global) {
            return Err(DynamoError::invalid("Consistent reads are not supported on global secondary indexes"));
        }
        let schema = index.as_ref().map_or(&table.schema, |index| &index.schema).clone();
        let access = partiql::access(select.filter.as_ref(), &schema);
        let forward = direction(&select, &access, &schema)?;
        let (at, start) = request.next.as_deref().map(of_token).transpose()?.unwrap_or_default();
        let missing = match (&index, &select.projection) {
            (Some(index), Some(projection)) => projection.top_level_names().iter().any(|name| !index.holds(&table.schema, name)),
            _ => false,
        };
        let local = index.as_ref().is_some_and(|index| !index.global);
        if missing && !local {
            let name = select.index.unwrap_or_default();
            return Err(DynamoError::parameter(format!(
                "Global secondary index {name} does not project the selected attributes"
            )));
        }
        let ranges: Vec<Option<KeyRange>> = match access {
            Access::Ranges(ranges) => ranges.into_iter().map(Some).collect(),
            Access::Scan => vec![None],
        };
        if at > 0 && at >= ranges.len() {
            return Err(DynamoError::invalid("The NextToken is not one that this statement gave"));
        }
        let fetches = missing && local;
        check_filter_of_index(&table, index.as_ref(), select.filter.as_ref(), fetches)?;
        let plan = Plan {
            table: table.clone(),
            index,
            filter: select.filter,
            projection: select.projection,
            counts_only: false,
            fetches,
            start: Some(start).filter(|start| !start.is_empty()),
            limit: request.limit,
            consistent: request.consistent,
            way: Way::Scan { segment: (0, 1) },
        };
        let report = request.report;
        let answer =
            self.look_at_many(move |items| pages(plan, &ranges, at, forward, &items.snapshot().map_err(items_error)?)).await?;
        let (items, last, consumed) = answer;
        Ok(StatementAnswer {
            items,
            next: last.as_ref().map(|(at, key)| token(*at, key)),
            last: last.as_ref().map(|(_, key)| written(key)).filter(|key| !key.is_empty()),
            consumed: consumed.filter(|_| report != Report::None),
            table: table.name.clone(),
        })
    }

    /// `BatchExecuteStatement`: each statement by itself, and one item each.
    pub async fn execute_batch(
        &self,
        statements: Vec<BatchStatement>,
    ) -> Result<Vec<(String, Result<StatementAnswer, DynamoError>)>, DynamoError> {
        if statements.is_empty() || statements.len() > BATCH_MAX {
            return Err(DynamoError::invalid(format!("A batch has from 1 to {BATCH_MAX} statements")));
        }
        let reads = statements.iter().filter(|statement| statement.reads()).count();
        if reads != 0 && reads != statements.len() {
            return Err(DynamoError::invalid("Cannot have both read and write statements in the same batch"));
        }
        let each = statements.into_iter().map(|mut statement| async move {
            let table = statement.table().to_owned();
            if let Statement::Select(select) = &mut statement.statement {
                if let Err(error) = self.check_single(select) {
                    return (table, Err(error));
                }
                select.projection = select.projection.take().map(Projection::in_place);
            }
            (table, self.execute(statement).await)
        });
        Ok(join_all(each).await)
    }

    fn check_single(&self, select: &Select) -> Result<Item, DynamoError> {
        let text = "Select statements within BatchExecuteStatement must specify the primary key in the where clause.";
        let table = self.table(&select.table)?;
        match select.index {
            Some(_) => Err(DynamoError::invalid(text)),
            None => partiql::key_of(select.filter.as_ref(), &table.schema).map_err(|_| DynamoError::invalid(text)),
        }
    }

    /// `ExecuteTransaction`: all reads or all writes. The item of each statement, where it has one.
    pub async fn execute_transaction(
        &self,
        input: TransactStatements,
    ) -> Result<(Vec<Option<Attributes>>, Vec<Consumed>), DynamoError> {
        let TransactStatements { statements, token, report } = input;
        if statements.is_empty() || statements.len() > ACTIONS_MAX {
            return Err(DynamoError::invalid(format!("A transaction has from 1 to {ACTIONS_MAX} statements")));
        }
        let reads = statements.iter().filter(|statement| statement.reads()).count();
        if reads == statements.len() {
            return self.read_transaction(statements, report).await;
        }
        if reads != 0 {
            return Err(DynamoError::invalid("Cannot have both read and write statements in the same transaction"));
        }
        for statement in &statements {
            self.table(statement.table())?;
        }
        let write = |one: BatchStatement| self.write_of(one.statement, one.request.item_on_failure, one.held_bytes);
        let writes = statements.into_iter().map(write).collect();
        let writes: Vec<Write> = all_or_reasons(writes)?;
        let tables: Vec<_> = writes.iter().map(|write| write.prepared.table.clone()).collect();
        let count = writes.len();
        let ended = self.transact(writes.into_iter().map(|write| write.prepared).collect(), token).await?;
        let mut all = Vec::new();
        for (i, table) in tables.iter().enumerate().filter(|_| report != Report::None) {
            merge(&mut all, consumed(table, &ended, i));
        }
        Ok((vec![None; count], all))
    }

    async fn read_transaction(
        &self,
        statements: Vec<BatchStatement>,
        report: Report,
    ) -> Result<(Vec<Option<Attributes>>, Vec<Consumed>), DynamoError> {
        let mut ready: Vec<(Arc<Table>, Select)> = Vec::new();
        for statement in statements {
            if let Statement::Select(select) = statement.statement {
                ready.push((self.table(&select.table)?, select));
            }
        }
        let text = "Select statements within ExecuteTransaction must specify the primary key in the where clause.";
        let gets = ready.into_iter().map(|(table, select)| {
            let key = match select.index {
                None => partiql::key_of(select.filter.as_ref(), &table.schema).map_err(|_| DynamoError::invalid(text))?,
                Some(_) => return Err(DynamoError::invalid(text)),
            };
            Ok(PreparedGet { table, key, filter: select.filter, projection: select.projection.map(Projection::in_place) })
        });
        self.get_all(all_or_reasons(gets.collect())?, report).await
    }
}

/// Whether sort keys go upwards: by `ORDER BY`, which only the key of one partition can give.
fn direction(select: &Select, access: &Access, schema: &millpond_tables::value::key::KeySchema) -> Result<bool, DynamoError> {
    let mut forward = true;
    for (name, downwards) in &select.order {
        if !matches!(access, Access::Ranges(_)) {
            return Err(DynamoError::invalid("Must have WHERE clause in the statement when using ORDER BY clause."));
        }
        if !schema.has(name) {
            let text = format!("Variable reference {name} in ORDER BY clause must be part of the primary key");
            return Err(DynamoError::Validation(text));
        }
        if schema.range.as_ref().is_some_and(|range| range.name == *name) {
            forward = !downwards;
        }
    }
    Ok(forward)
}

/// What pages of a `SELECT` gave: items, where to go on, units.
type Pages = (Vec<Attributes>, Option<(usize, Item)>, Option<Consumed>);

/// Reads a page over the partitions of a `SELECT`, from the one at `at` on.
fn pages(
    mut plan: Plan,
    ranges: &[Option<KeyRange>],
    at: usize,
    forward: bool,
    snapshot: &Snapshot,
) -> Result<Pages, DynamoError> {
    const BYTES: usize = 1024 * 1024;
    let (mut items, mut sum, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut left = plan.limit;
    for (i, range) in ranges.iter().enumerate().skip(at) {
        plan.way = match range {
            Some(range) => Way::Range { range: range.clone(), forward },
            None => Way::Scan { segment: (0, 1) },
        };
        plan.limit = left;
        let read: Read = plan.read(snapshot)?;
        merge(&mut sum, plan.consumed(&read));
        items.extend(read.items);
        bytes += read.page.bytes;
        left = left.map(|left| left.saturating_sub(read.page.items));
        plan.start = None;
        if let Some(last) = read.page.last_key {
            return Ok((items, Some((i, last)), sum.pop()));
        }
        let full = bytes >= BYTES || left == Some(0);
        if full && i + 1 < ranges.len() {
            // The next partition begins at its beginning.
            return Ok((items, Some((i + 1, Item::new())), sum.pop()));
        }
    }
    Ok((items, None, sum.pop()))
}
