//! Statements on Iceberg tables.
//!
//! A statement reads a version of the table and writes files; what it did is then committed on top of the version that is the table's by then, in the
//! transaction that ends the execution. Where another commit made the statement untrue it is run again, a few times.

use super::ddl::not_for_iceberg;
use super::files::rows_column;
use super::{Commit, Context, Outcome, ResultFile, RunError, Update};
use crate::athena::model::Statistics;
use crate::lake::catalog::{self, CatalogError};
use crate::lake::iceberg::{self as tables, Ground, Pending};
use millpond_core::catalog::{Column, Parameters, Table};
use millpond_core::env::EnvExt;
use millpond_core::error::ErrorKind;
use millpond_engine::iceberg::change::{self, Changed, Condition, Writing, asks_once};
use millpond_engine::iceberg::commit::Change;
use millpond_engine::iceberg::create::{NewColumns, NewTable, PartitionField, create};
use millpond_engine::iceberg::evolve::{Evolution, Place, evolve};
use millpond_engine::iceberg::merge::{Merging, merge};
use millpond_engine::iceberg::metadata::Version;
use millpond_engine::iceberg::write::{PARTITIONS_MAX, Target};
use millpond_engine::iceberg::{is_iceberg, maintain};
use millpond_engine::output;
use millpond_engine::query::{Position, QueryError, QueryRequest, check_count};
use millpond_engine::sql::render::TextResult;
use millpond_engine::sql::{
    AlterTable, ColumnPlace, CreateIceberg, CreateTableAs, Ddl, Iceberg, Insert, PropertyValue, Statement, TableName, Write,
};
use millpond_store::Tx;
use std::sync::Arc;

/// How often a statement is run where others commit what makes it untrue.
const ATTEMPTS: usize = 5;

/// Whether a statement is about an Iceberg table.
pub(super) async fn takes(cx: &Context<'_>, statement: &Statement) -> Result<bool, RunError> {
    let name = match statement {
        Statement::Iceberg(_) => return Ok(true),
        Statement::Write(Write::CreateTableAs(create)) => return Ok(output::is_iceberg(&create.properties)),
        Statement::Write(Write::Insert(insert)) => &insert.name,
        Statement::Ddl(Ddl::DropTable { name, .. } | Ddl::AlterTable { name, .. }) => name,
        _ => return Ok(false),
    };
    Ok(iceberg_table(cx, name).await?.is_some())
}

/// Carries such a statement out.
pub(super) async fn run(cx: &Context<'_>, statement: &Statement) -> Result<Outcome, RunError> {
    match statement {
        Statement::Iceberg(statement) => own(cx, statement).await,
        Statement::Write(Write::CreateTableAs(create)) => create_table_as(cx, create).await,
        Statement::Write(Write::Insert(insert)) => insert_into(cx, &there(cx, &insert.name).await?, insert).await,
        Statement::Ddl(Ddl::DropTable { name, .. }) => drop_table(cx, there(cx, name).await?).await,
        Statement::Ddl(Ddl::AlterTable { name, action }) => {
            let table = there(cx, name).await?;
            let evolution = match action {
                AlterTable::AddColumns { partition: None, columns } => Evolution::AddColumns(columns.clone()),
                AlterTable::ChangeColumn { from, to, place } => {
                    let place = place.as_ref().map(|place| match place {
                        ColumnPlace::First => Place::First,
                        ColumnPlace::After(column) => Place::After(column.clone()),
                    });
                    Evolution::ChangeColumn { from: from.clone(), to: to.clone(), place }
                }
                AlterTable::DropColumn(column) => Evolution::DropColumn(column.clone()),
                AlterTable::SetProperties(properties) => Evolution::SetProperties(properties.clone()),
                AlterTable::UnsetProperties { names, .. } => Evolution::UnsetProperties(names.clone()),
                AlterTable::RenameTo(to) => return rename(cx, table, to).await,
                _ => return Err(not_for_iceberg()),
            };
            alter(cx, table, evolution).await
        }
        other => Err(QueryError::Internal(format!("{} is not about an Iceberg table", other.sub_kind())).into()),
    }
}

/// The table that [`takes`] found, unless it has just gone.
async fn there(cx: &Context<'_>, name: &TableName) -> Result<Table, RunError> {
    let found = iceberg_table(cx, name).await?;
    found.ok_or_else(|| millpond_engine::iceberg::conflict(&name.name).into())
}

fn failed(kind: ErrorKind, message: impl Into<String>) -> RunError {
    RunError { kind, message: message.into() }
}

async fn own(cx: &Context<'_>, statement: &Iceberg) -> Result<Outcome, RunError> {
    match statement {
        Iceberg::Create(new) => create_table(cx, new).await,
        Iceberg::Delete { name, condition, parameters } => {
            check_count(*parameters, cx.execution.parameters.len())?;
            change_rows(cx, name, "DELETE", &Work::Delete(asked(condition.as_deref()))).await
        }
        Iceberg::Update { name, sets, condition, parameters } => {
            check_count(*parameters, cx.execution.parameters.len())?;
            let once = sets.iter().any(|(_, value)| asks_once(value));
            let mut asked = asked(condition.as_deref());
            asked.once |= once;
            change_rows(cx, name, "UPDATE", &Work::Update(sets, asked)).await
        }
        Iceberg::Merge { name, merging, parameters } => {
            check_count(*parameters, cx.execution.parameters.len())?;
            change_rows(cx, name, "MERGE", &Work::Merge(merging)).await
        }
        Iceberg::Optimize { name, condition } => {
            let table = modifiable(cx, name).await?;
            let written = write(cx, &table, &Work::Optimize(condition.as_deref())).await?;
            let rows = written.rows;
            let outcome = Outcome::text(cx, &TextResult::default(), written.commit(cx, &table)).await?;
            let result_bytes = outcome.statistics.result_bytes;
            Ok(Outcome { statistics: Statistics { rows, result_bytes, ..cx.cost() }, ..outcome })
        }
        Iceberg::Vacuum { name } => {
            let table = modifiable(cx, name).await?;
            let (lake, place) = (cx.athena.lake.clone(), cx.athena.lake.place.clone());
            let cleaning = tables::cleaning(&lake, &table.database, &table.name).await?;
            let commit =
                move |tx: &Tx<'_>| Ok(tables::vacuum(tx, &place, lake.store.blobs(), (&table.database, &table.name), cleaning)?);
            Outcome::text(cx, &TextResult::default(), Box::new(commit)).await
        }
    }
}

fn asked(condition: Option<&str>) -> Condition {
    Condition { sql: condition.map(str::to_owned), once: condition.is_some_and(asks_once) }
}

/// The table of this name where it is Iceberg's.
async fn iceberg_table(cx: &Context<'_>, name: &TableName) -> Result<Option<Table>, RunError> {
    // Without a database it is nobody's; others say so.
    let Ok((database, name)) = name.resolve(cx.execution.database.as_deref()) else { return Ok(None) };
    let found = cx.athena.lake.store.read(move |connection| catalog::table(connection, &database, &name));
    Ok(found.await?.filter(is_iceberg))
}

/// The table of this name, whose rows can be changed.
async fn modifiable(cx: &Context<'_>, name: &TableName) -> Result<Table, RunError> {
    let (database, table) = name.resolve(cx.execution.database.as_deref())?;
    let position = name.position;
    let found = cx.athena.lake.store.read(move |connection| {
        let found = catalog::table(connection, &database, &table)?;
        let known = found.is_some() || catalog::database(connection, &database)?.is_some();
        Ok::<_, CatalogError>(found.ok_or((known, database, table)))
    });
    match found.await? {
        Ok(table) if is_iceberg(&table) => Ok(table),
        Ok(_) => {
            Err(QueryError::NotSupported("Modifying Hive table rows is only supported for transactional tables".into()).into())
        }
        Err((true, database, table)) => {
            let message = format!("TABLE_NOT_FOUND: {position}: Table 'awsdatacatalog.{database}.{table}' does not exist");
            Err(failed(ErrorKind::Missing, message))
        }
        Err((false, database, _)) => Err(QueryError::SchemaNotFound { position, database }.into()),
    }
}

/// A statement that writes files, as often as it must be run.
enum Work<'s> {
    Insert(&'s Insert),
    Delete(Condition),
    Update(&'s [(String, String)], Condition),
    Merge(&'s Merging),
    Optimize(Option<&'s str>),
}

impl Work<'_> {
    async fn run(&self, writing: &Writing<'_>) -> Result<Changed, QueryError> {
        match self {
            Self::Insert(insert) => change::insert(writing, insert.columns.as_deref(), insert.sql.clone()).await,
            Self::Delete(condition) => change::delete(writing, condition).await,
            Self::Update(sets, condition) => change::update(writing, sets, condition).await,
            Self::Merge(merging) => merge(writing, merging).await,
            Self::Optimize(condition) => maintain::optimize(writing, *condition).await,
        }
    }
}

/// What a statement wrote.
struct Written {
    rows: u64,
    /// `None`: nothing changes.
    pending: Option<Pending>,
}

impl Written {
    fn commit(self, cx: &Context<'_>, table: &Table) -> Commit {
        let Some(pending) = self.pending else { return Outcome::nothing() };
        let (lake, database, name) = (cx.athena.lake.clone(), table.database.clone(), table.name.clone());
        Box::new(move |tx: &Tx<'_>| {
            tables::commit(tx, &lake.place, lake.store.blobs(), &database, &name, pending)?;
            Ok(())
        })
    }
}

/// Where a statement's files go.
fn target(cx: &Context<'_>) -> Target {
    let (blobs, env) = (cx.athena.lake.store.blobs().clone(), cx.athena.lake.store.env().clone());
    Target {
        store: cx.athena.engine.store().clone(),
        new_path: Arc::new(move || blobs.new_location().path()),
        new_name: Arc::new(move || env.uuid()),
        partitions_max: PARTITIONS_MAX,
    }
}

async fn write(cx: &Context<'_>, table: &Table, work: &Work<'_>) -> Result<Written, RunError> {
    let mut table = table.clone();
    for attempt in 1.. {
        let request: QueryRequest = cx.limited("").await;
        let version = change::version(&table, &request.catalog).await?;
        let writing = Writing { engine: &cx.athena.engine, table: &table, version, request, target: target(cx) };
        let Changed { change, rows } = work.run(&writing).await?;
        if change.is_empty() {
            return Ok(Written { rows, pending: None });
        }
        let commit = tables::Commit::Change(Arc::new(change));
        match tables::pending(&cx.athena.lake, &table.database, &table.name, commit).await {
            Ok(pending) => return Ok(Written { rows, pending: Some(pending) }),
            Err(error) if tables::is_conflict(&error) && attempt < ATTEMPTS => {}
            Err(error) => return Err(error.into()),
        }
        let (database, name) = (table.database.clone(), table.name.clone());
        let now = cx.athena.lake.store.read(move |connection| catalog::table(connection, &database, &name)).await?;
        table = now.filter(is_iceberg).ok_or_else(|| RunError::from(millpond_engine::iceberg::conflict(&table.name)))?;
    }
    Err(millpond_engine::iceberg::conflict(&table.name).into())
}

/// What Athena answers where rows were written.
async fn rows_outcome(cx: &Context<'_>, kind: &'static str, count: u64, commit: Commit) -> Result<Outcome, RunError> {
    let columns = rows_column();
    let update = Update { kind, count };
    let statistics = Statistics { rows: count, ..cx.cost() };
    let files = vec![ResultFile::metadata(cx, &columns, Some(update)).await?];
    Ok(Outcome { files, columns, update: Some(update), statistics, commit })
}

async fn change_rows(cx: &Context<'_>, name: &TableName, kind: &'static str, work: &Work<'_>) -> Result<Outcome, RunError> {
    let table = modifiable(cx, name).await?;
    let written = write(cx, &table, work).await?;
    rows_outcome(cx, kind, written.rows, written.commit(cx, &table)).await
}

async fn insert_into(cx: &Context<'_>, table: &Table, insert: &Insert) -> Result<Outcome, RunError> {
    let written = write(cx, table, &Work::Insert(insert)).await?;
    rows_outcome(cx, "INSERT", written.rows, written.commit(cx, table)).await
}

async fn drop_table(cx: &Context<'_>, table: Table) -> Result<Outcome, RunError> {
    let lake = cx.athena.lake.clone();
    let commit = move |tx: &Tx<'_>| {
        // What is dropped is the table of this name now, if it is still Iceberg's.
        if let Some(table) = catalog::table(tx, &table.database, &table.name)?.filter(is_iceberg) {
            tables::drop_table(tx, &lake.place, lake.store.blobs(), &table)?;
        }
        Ok(())
    };
    Outcome::text(cx, &TextResult::default(), Box::new(commit)).await
}

async fn rename(cx: &Context<'_>, table: Table, to: &TableName) -> Result<Outcome, RunError> {
    let (database, name) = to.resolve(Some(&table.database))?;
    let place = cx.athena.lake.place.clone();
    let commit = move |tx: &Tx<'_>| {
        let mut moved = catalog::delete_table(tx, &place, &table.database, &table.name)?;
        (moved.database, moved.name) = (database, name.clone());
        match catalog::create_table(tx, &place, moved) {
            Err(CatalogError::AlreadyExists(_)) => Err(failed(ErrorKind::Conflict, format!("Table {name} already exists."))),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(()),
        }
    };
    Outcome::text(cx, &TextResult::default(), Box::new(commit)).await
}

async fn alter(cx: &Context<'_>, table: Table, evolution: Evolution) -> Result<Outcome, RunError> {
    let lake = cx.athena.lake.clone();
    let version = change::version(&table, &cx.request("").catalog).await?;
    // What is wrong is said before the transaction.
    evolve(&version.metadata, &evolution)?;
    let commit = move |tx: &Tx<'_>| {
        let blobs = lake.store.blobs();
        let found = catalog::table(tx, &table.database, &table.name)?.filter(is_iceberg);
        let row = found.ok_or_else(|| RunError::from(millpond_engine::iceberg::conflict(&table.name)))?;
        let location = millpond_engine::iceberg::metadata_location(&row)?;
        let current = millpond_engine::iceberg::metadata::load(&tables::Snapshot::new(tx, blobs), location)?;
        let (requirements, updates) = evolve(&current, &evolution)?;
        tables::commit(
            tx,
            &lake.place,
            blobs,
            &row.database,
            &row.name,
            tables::Commit::Updates { requirements, updates }.into(),
        )?;
        Ok(())
    };
    Outcome::text(cx, &TextResult::default(), Box::new(commit)).await
}

/// Puts a new table into the catalog, with `change`'s rows.
fn commit_new(
    cx: &Context<'_>,
    (database, name): (String, String),
    prepared: millpond_engine::iceberg::commit::Prepared,
    change: Option<Change>,
    exists: impl Fn(&str) -> Option<RunError> + Send + 'static,
) -> Commit {
    let lake = cx.athena.lake.clone();
    Box::new(move |tx: &Tx<'_>| {
        let blobs = lake.store.blobs();
        match tables::create(tx, &lake.place, blobs, (&database, &name), &prepared, Ground::Empty) {
            Ok(_) => {}
            Err(Ok(CatalogError::AlreadyExists(_))) => return exists(&name).map_or(Ok(()), Err),
            Err(Ok(CatalogError::NotFound(_))) => return Err(no_database(&database)),
            Err(Ok(error)) => return Err(error.into()),
            Err(Err(error)) => return Err(error.into()),
        }
        if let Some(change) = change {
            let commit = tables::Commit::Change(Arc::new(change));
            tables::commit(tx, &lake.place, blobs, &database, &name, commit.into())?;
        }
        Ok(())
    })
}

fn no_database(database: &str) -> RunError {
    failed(ErrorKind::Missing, format!("Database {database} not found. Please check your query."))
}

/// Whether there is a table of this name already.
///
/// # Errors
/// There is no such database.
async fn exists(cx: &Context<'_>, database: &str, name: &str) -> Result<bool, RunError> {
    let (database, name) = (database.to_owned(), name.to_owned());
    let look = cx.athena.lake.store.read(move |connection| {
        if catalog::database(connection, &database)?.is_none() {
            return Err(no_database(&database));
        }
        Ok(catalog::table_exists(connection, &database, &name)?)
    });
    look.await
}

async fn create_table(cx: &Context<'_>, new: &CreateIceberg) -> Result<Outcome, RunError> {
    if let Some(clause) = new.refused {
        return Err(failed(ErrorKind::Input, format!("Iceberg create table statement does not allow {clause}")));
    }
    if new.partitioned_by.iter().any(|field| field.contains(' ')) {
        return Err(failed(ErrorKind::Input, "Invalid PARTITIONED BY clause in Iceberg create table statement"));
    }
    if new.columns.is_empty() {
        return Err(failed(ErrorKind::Input, "At least one column is required for Iceberg create table statement"));
    }
    let (database, name) = new.name.resolve(cx.execution.database.as_deref())?;
    let partitioning = new.partitioned_by.iter().map(|field| PartitionField::parse(field)).collect::<Result<Vec<_>, _>>()?;
    let columns: Vec<Column> = new.columns.clone();
    let prepared = create(&NewTable {
        location: new.location.clone(),
        columns: NewColumns::Catalog(columns),
        partitioning,
        properties: new.properties.clone(),
        comment: new.comment.clone(),
    })
    .map_err(plain)?;
    let if_not_exists = new.if_not_exists;
    let taken = move |name: &str| (!if_not_exists).then(|| failed(ErrorKind::Conflict, format!("Table {name} already exists.")));
    if exists(cx, &database, &name).await? {
        return match taken(&name) {
            Some(error) => Err(error),
            None => Outcome::text(cx, &TextResult::default(), Outcome::nothing()).await,
        };
    }
    let commit = commit_new(cx, (database, name), prepared, None, taken);
    Outcome::text(cx, &TextResult::default(), commit).await
}

/// Athena's DDL says what it does not support without a name before it.
fn plain(error: QueryError) -> RunError {
    let mut error = RunError::from(error);
    if let Some(rest) = error.message.strip_prefix("NOT_SUPPORTED: ") {
        error.message = rest.to_owned();
    }
    error
}

/// What `WITH (…)` says of a new Iceberg table: its location, its partitions and the rest.
fn with(create: &CreateTableAs) -> Result<(String, Vec<PartitionField>, Parameters), RunError> {
    let (mut location, mut partitioning, mut properties) = (None, Vec::new(), Parameters::new());
    let wrong = |key: &str| {
        failed(
            ErrorKind::Input,
            format!("INVALID_TABLE_PROPERTY: Invalid value for catalog 'awsdatacatalog' table property '{key}'"),
        )
    };
    for (key, value) in &create.properties {
        match (key.as_str(), value) {
            ("table_type", _) => {}
            ("is_external", PropertyValue::Boolean(false)) => {}
            ("is_external", _) => {
                return Err(failed(ErrorKind::Input, "INVALID_TABLE_PROPERTY: is_external must be false for Iceberg tables"));
            }
            ("location", PropertyValue::Text(text)) => location = Some(text.clone()),
            ("partitioning", PropertyValue::Array(fields)) => {
                partitioning = fields.iter().map(|field| PartitionField::parse(field)).collect::<Result<_, _>>()?;
            }
            (_, PropertyValue::Text(text)) => drop(properties.insert(key.clone(), text.clone())),
            (_, PropertyValue::Number(number)) => drop(properties.insert(key.clone(), number.to_string())),
            (_, PropertyValue::Boolean(value)) => drop(properties.insert(key.clone(), value.to_string())),
            _ => return Err(wrong(key)),
        }
    }
    let location = location.filter(|location| location.starts_with("s3://")).ok_or_else(|| {
        failed(
            ErrorKind::Input,
            "INVALID_TABLE_PROPERTY: location is required for Iceberg tables: WITH (location = 's3://bucket/prefix/', …)",
        )
    })?;
    Ok((location, partitioning, properties))
}

async fn create_table_as(cx: &Context<'_>, create_as: &CreateTableAs) -> Result<Outcome, RunError> {
    let (database, name) = create_as.name.resolve(cx.execution.database.as_deref())?;
    if create_as.columns.is_some() {
        let message = format!("MISSING_COLUMN_NAME: {}: Column name not specified at position 1", Position::START);
        return Err(failed(ErrorKind::Input, message));
    }
    let (location, partitioning, properties) = with(create_as)?;
    let (if_not_exists, of) = (create_as.if_not_exists, database.clone());
    let taken = move |name: &str| {
        let message =
            format!("TABLE_ALREADY_EXISTS: {}: Destination table 'awsdatacatalog.{of}.{name}' already exists", Position::START);
        (!if_not_exists).then(|| failed(ErrorKind::Conflict, message))
    };
    if exists(cx, &database, &name).await? {
        return match taken(&name) {
            Some(error) => Err(error),
            None => rows_outcome(cx, "CREATE TABLE", 0, Outcome::nothing()).await,
        };
    }
    let request = cx.limited(&create_as.sql).await;
    let columns = change::new_columns(&cx.athena.engine, request.clone()).await?;
    let comment = create_as.comment.clone();
    let prepared = create(&NewTable { location, columns: NewColumns::Arrow(columns), partitioning, properties, comment })?;
    let table = Table { database: database.clone(), name: name.clone(), ..Table::default() };
    let version = Arc::new(Version {
        location: prepared.location.clone(),
        metadata: prepared.metadata.clone(),
        snapshot: None,
        schema: prepared.metadata.current_schema().clone(),
    });
    let (mut rows, mut change) = (0, None);
    if create_as.with_data {
        let writing = Writing { engine: &cx.athena.engine, table: &table, version, request, target: target(cx) };
        let changed = change::insert(&writing, None, create_as.sql.clone()).await?;
        rows = changed.rows;
        change = Some(changed.change).filter(|change| !change.is_empty());
    }
    // Where another one made the table meanwhile, the rows are nowhere: the statement looks again, and finds it there.
    let lost = move |name: &str| Some(taken(name).unwrap_or_else(|| millpond_engine::iceberg::conflict(name).into()));
    let commit = commit_new(cx, (database, name), prepared, change, lost);
    rows_outcome(cx, "CREATE TABLE", rows, commit).await
}
