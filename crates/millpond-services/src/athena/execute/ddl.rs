//! Statements that change the catalog. Their texts and failures are Hive's, as Athena gives them.

use super::{Commit, Context, Outcome, RunError};
use crate::athena::Athena;
use crate::athena::model::Execution;
use crate::lake::catalog::{self, Archive, CatalogError, PartitionQuery};
use crate::lake::objects::{self, ListSpec};
use millpond_core::arn::Place;
use millpond_core::catalog::{Column, Database, Partition, StorageDescriptor, Table};
use millpond_core::error::ErrorKind;
use millpond_core::partition_expr::{Literal, PartitionExpr};
use millpond_engine::query::view;
use millpond_engine::sql::render::{self, TextResult};
use millpond_engine::sql::{AlterTable, Ddl, PartitionCondition, PartitionSpec, TableName};
use millpond_store::Tx;
use percent_encoding::percent_decode_str;
use rusqlite::Connection;
use std::collections::HashSet;

/// Partitions that one transaction of `MSCK REPAIR TABLE` adds, so that others need not wait long.
const REPAIR_BATCH: usize = 1000;

/// Lines that `MSCK REPAIR TABLE` and `SHOW` answer at the most.
pub(super) const LINES_MAX: usize = 1_000_000;

/// Carries a statement out.
pub(super) async fn run(cx: &Context<'_>, statement: &Ddl) -> Result<Outcome, RunError> {
    let default = cx.execution.database.clone();
    let place = cx.athena.lake.place.clone();
    let (text, commit): (TextResult, Commit) = match statement {
        Ddl::CreateView { name, or_replace, sql } => (TextResult::default(), create_view(cx, name, *or_replace, sql).await?),
        Ddl::MsckRepair { name } => (repair(cx.athena, cx.execution, name).await?, Outcome::nothing()),
        other => {
            let statement = other.clone();
            let commit = move |tx: &Tx<'_>| change(tx, &place, statement, default.as_deref());
            (TextResult::default(), Box::new(commit))
        }
    };
    Outcome::text(cx, &text, commit).await
}

pub(super) fn failed(kind: ErrorKind, message: impl std::fmt::Display) -> RunError {
    RunError { kind, message: format!("FAILED: {message}") }
}

/// What Hive says when a change is refused.
pub(super) fn refused(kind: ErrorKind, exception: &str, message: impl std::fmt::Display) -> RunError {
    let task = "Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask.";
    failed(kind, format!("{task} {exception}: {message}"))
}

pub(super) fn no_table(name: &str) -> RunError {
    failed(ErrorKind::Missing, format!("SemanticException [Error 10001]: Table not found {name}"))
}

pub(super) fn no_database(name: &str) -> RunError {
    failed(ErrorKind::Missing, format!("SemanticException [Error 10072]: Database does not exist: {name}"))
}

pub(super) fn require(connection: &Connection, database: &str, name: &str) -> Result<Table, RunError> {
    match catalog::table(connection, database, name)? {
        Some(table) => Ok(table),
        None if catalog::database(connection, database)?.is_none() => Err(no_database(database)),
        None => Err(no_table(&format!("{database}.{name}"))),
    }
}

fn change(tx: &Tx<'_>, place: &Place, statement: Ddl, default: Option<&str>) -> Result<(), RunError> {
    match statement {
        Ddl::CreateDatabase { name, if_not_exists, comment, location, properties } => {
            let new = Database {
                name: name.clone(),
                description: comment,
                location_uri: location,
                parameters: properties,
                ..Database::default()
            };
            match catalog::create_database(tx, place, new) {
                Err(CatalogError::AlreadyExists(_)) if if_not_exists => {}
                Err(CatalogError::AlreadyExists(_)) => {
                    let message = format!("Database {name} already exists");
                    return Err(refused(ErrorKind::Conflict, "AlreadyExistsException", message));
                }
                created => drop(created?),
            }
        }
        Ddl::DropDatabase { name, if_exists, cascade } => drop_database(tx, place, &name, if_exists, cascade)?,
        Ddl::AlterDatabase { name, properties } => {
            let mut database = catalog::database(tx, &name)?.ok_or_else(|| no_database(&name))?;
            database.parameters.extend(properties);
            catalog::update_database(tx, &name, database)?;
        }
        Ddl::CreateExternalTable { name, mut table, if_not_exists } => {
            let (database, name) = name.resolve(default)?;
            table.database.clone_from(&database);
            match catalog::create_table(tx, place, *table) {
                Err(CatalogError::AlreadyExists(_)) if if_not_exists => {}
                Err(CatalogError::AlreadyExists(_)) => {
                    let message = format!("Table {name} already exists");
                    return Err(refused(ErrorKind::Conflict, "AlreadyExistsException", message));
                }
                Err(CatalogError::NotFound(_)) => return Err(no_database(&database)),
                created => drop(created?),
            }
        }
        Ddl::DropTable { name, if_exists } => {
            let (database, name) = name.resolve(default)?;
            match catalog::table(tx, &database, &name)? {
                Some(found) if view::is_view(&found) && !if_exists => {
                    return Err(refused(ErrorKind::Conflict, "HiveException", "Cannot drop a view with DROP TABLE"));
                }
                Some(found) if view::is_view(&found) => {}
                Some(_) => drop(catalog::delete_table(tx, place, &database, &name)?),
                None if if_exists => {}
                None => return Err(no_table(&format!("{database}.{name}"))),
            }
        }
        Ddl::DropView { name, if_exists } => {
            let (database, name) = name.resolve(default)?;
            match catalog::table(tx, &database, &name)? {
                Some(found) if view::is_view(&found) => drop(catalog::delete_table(tx, place, &database, &name)?),
                Some(_) => {
                    let message = format!(
                        "TABLE_NOT_FOUND: line 1:1: View 'awsdatacatalog.{database}.{name}' does not exist, but a table with that name exists. Did you \
                         mean DROP TABLE {database}.{name}?"
                    );
                    return Err(RunError { kind: ErrorKind::Missing, message });
                }
                None if if_exists => {}
                None => return Err(no_table(&format!("{database}.{name}"))),
            }
        }
        Ddl::AlterTable { name, action } => {
            let (database, name) = name.resolve(default)?;
            let table = require(tx, &database, &name)?;
            alter(tx, place, table, action)?;
        }
        Ddl::CreateView { .. } | Ddl::MsckRepair { .. } => unreachable!("they are carried out by functions of their own"),
    }
    Ok(())
}

fn drop_database(tx: &Tx<'_>, place: &Place, name: &str, if_exists: bool, cascade: bool) -> Result<(), RunError> {
    let Some(tables) = catalog::table_names(tx, name)? else {
        return if if_exists { Ok(()) } else { Err(no_database(name)) };
    };
    if !cascade && !tables.is_empty() {
        let message = format!("Database {name} is not empty. One or more tables exist.");
        return Err(refused(ErrorKind::Conflict, "InvalidOperationException", message));
    }
    Ok(catalog::delete_database(tx, place, name)?)
}

fn alter(tx: &Tx<'_>, place: &Place, mut table: Table, action: AlterTable) -> Result<(), RunError> {
    match action {
        AlterTable::AddPartitions { if_not_exists, partitions } => {
            return add_partitions(tx, place, &table, if_not_exists, partitions);
        }
        AlterTable::DropPartitions { if_exists, partitions } => return drop_partitions(tx, place, &table, if_exists, partitions),
        AlterTable::RenamePartition { from, to } => {
            let (from, to) = (values(&table, &from)?, values(&table, &to)?);
            let mut partition = partition(tx, &table, &from)?;
            partition.values = to;
            catalog::update_partition(tx, place, &table.database, &table.name, &from, &partition)?;
            return Ok(());
        }
        AlterTable::SetLocation { partition: Some(spec), location } => {
            let values = values(&table, &spec)?;
            let mut partition = partition(tx, &table, &values)?;
            partition.storage.location = Some(location);
            catalog::update_partition(tx, place, &table.database, &table.name, &values, &partition)?;
            return Ok(());
        }
        AlterTable::SetLocation { partition: None, location } => table.storage.location = Some(location),
        AlterTable::SetProperties(properties) => table.parameters.extend(properties),
        AlterTable::AddColumns(columns) => {
            if let Some(taken) = columns.iter().find(|new| find_column(&table, &new.name).is_some()) {
                let message = format!("Duplicate column name: {}", taken.name);
                return Err(refused(ErrorKind::Input, "InvalidOperationException", message));
            }
            table.storage.columns.extend(columns);
        }
        AlterTable::ReplaceColumns(columns) => table.storage.columns = columns,
        AlterTable::ChangeColumn { from, to } => {
            let found = find_column(&table, &from);
            let index = found.ok_or_else(|| {
                refused(ErrorKind::Input, "InvalidOperationException", format!("Invalid column reference {from}"))
            })?;
            table.storage.columns[index] = to;
        }
    }
    catalog::update_table(tx, place, table, Archive::Keep, None)?;
    Ok(())
}

fn find_column(table: &Table, name: &str) -> Option<usize> {
    table.storage.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
}

pub(super) fn partition(connection: &Connection, table: &Table, values: &[String]) -> Result<Partition, RunError> {
    let found = catalog::partition(connection, &table.database, &table.name, values)?;
    found.ok_or_else(|| failed(ErrorKind::Missing, format!("SemanticException [Error 10006]: Partition not found {values:?}")))
}

/// The values of a table's partitions that `filter` holds for.
pub(super) fn partition_values(
    connection: &Connection,
    table: &Table,
    filter: Option<&PartitionExpr>,
) -> Result<Vec<Vec<String>>, RunError> {
    let bound = filter.map(|filter| filter.bind(&table.partition_keys)).transpose();
    let filter = bound.map_err(|error| failed(ErrorKind::Input, format!("SemanticException [Error 10004]: {error}")))?;
    let query = PartitionQuery { filter, ..PartitionQuery::default() };
    let mut all = Vec::new();
    catalog::visit_partitions(connection, &table.database, &table.name, &query, |_, partition| {
        all.push(partition.values);
        Ok(true)
    })?;
    Ok(all)
}

/// The values of a specification in the order of the table's keys.
pub(super) fn values(table: &Table, spec: &PartitionSpec) -> Result<Vec<String>, RunError> {
    let of_key = |key: &Column| spec.iter().find(|(name, _)| *name == key.name).map(|(_, value)| value.clone());
    let values: Option<Vec<_>> = table.partition_keys.iter().map(of_key).collect();
    values.filter(|values| values.len() == spec.len()).ok_or_else(|| {
        let keys = table.partition_keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>().join(", ");
        let message = format!(
            "SemanticException [Error 10098]: the partition must be given by all keys of the table and no others: {keys}"
        );
        failed(ErrorKind::Input, message)
    })
}

/// A partition of a table at a location, its storage otherwise the table's.
fn new_partition(table: &Table, values: Vec<String>, location: String) -> Partition {
    let storage = StorageDescriptor { location: Some(location), ..table.storage.clone() };
    Partition { values, storage, ..Partition::default() }
}

/// Where Hive puts a partition that no location is given for.
fn usual_location(table: &Table, values: &[String]) -> String {
    let base = table.storage.location.as_deref().unwrap_or_default().trim_end_matches('/');
    let path = |(key, value): (&Column, &String)| format!("{}={}", key.name, render::escape_path(value));
    let path: Vec<_> = table.partition_keys.iter().zip(values).map(path).collect();
    format!("{base}/{}/", path.join("/"))
}

fn add_partitions(
    tx: &Tx<'_>,
    place: &Place,
    table: &Table,
    if_not_exists: bool,
    wanted: Vec<(PartitionSpec, Option<String>)>,
) -> Result<(), RunError> {
    for (spec, location) in wanted {
        let values = values(table, &spec)?;
        let location = location.unwrap_or_else(|| usual_location(table, &values));
        match catalog::create_partition(tx, place, &table.database, &table.name, &new_partition(table, values, location)) {
            Err(CatalogError::AlreadyExists(_)) if if_not_exists => {}
            Err(CatalogError::AlreadyExists(_)) => {
                let message = format!("Partition already exists: {spec:?}");
                return Err(refused(ErrorKind::Conflict, "AlreadyExistsException", message));
            }
            created => drop(created?),
        }
    }
    Ok(())
}

fn drop_partitions(
    tx: &Tx<'_>,
    place: &Place,
    table: &Table,
    if_exists: bool,
    wanted: Vec<Vec<PartitionCondition>>,
) -> Result<(), RunError> {
    for conditions in wanted {
        let compare = |condition: PartitionCondition| PartitionExpr::Compare {
            key: condition.key,
            op: condition.op,
            value: Literal::Text(condition.value),
        };
        let filter = PartitionExpr::And(conditions.into_iter().map(compare).collect());
        let doomed = partition_values(tx, table, Some(&filter))?;
        if doomed.is_empty() && !if_exists {
            return Err(failed(ErrorKind::Missing, format!("SemanticException [Error 10006]: Partition not found ({filter})")));
        }
        catalog::delete_partitions(tx, place, "BatchDeletePartition", &table.database, &table.name, &doomed)?;
    }
    Ok(())
}

async fn create_view(cx: &Context<'_>, name: &TableName, or_replace: bool, sql: &str) -> Result<Commit, RunError> {
    let (database, name) = name.resolve(cx.execution.database.as_deref())?;
    let view = cx.athena.engine.view(cx.request(sql), &database, &name).await?;
    let place = cx.athena.lake.place.clone();
    Ok(Box::new(move |tx| match catalog::table(tx, &database, &name)? {
        None if catalog::database(tx, &database)?.is_none() => Err(no_database(&database)),
        Some(found) if !view::is_view(&found) => {
            Err(failed(ErrorKind::Conflict, format!("{database}.{name} is a table, and not a view")))
        }
        Some(_) if !or_replace => Err(failed(ErrorKind::Conflict, format!("View already exists: '{database}.{name}'"))),
        _ => Ok(drop(catalog::put_table(tx, &place, view, Archive::Keep)?)),
    }))
}

/// Adds the partitions whose folders (`key=value/…` below the table's location) are there and which the catalog does not have.
async fn repair(athena: &Athena, execution: &Execution, name: &TableName) -> Result<TextResult, RunError> {
    let (database, name) = name.resolve(execution.database.as_deref())?;
    let (of, table_name) = (database.clone(), name.clone());
    let look = athena.lake.store.read(move |connection| {
        let table = require(connection, &of, &table_name)?;
        let found = folders(connection, &table)?;
        let known: HashSet<_> = partition_values(connection, &table, None)?.into_iter().collect();
        let missing: Vec<_> = found.into_iter().filter(|(values, _)| !known.contains(values)).collect();
        Ok::<_, RunError>((table, missing))
    });
    let (table, missing) = look.await?;
    if missing.is_empty() {
        return Ok(TextResult::default());
    }
    let spelled = |values: &[String]| {
        let pair = |(key, value): (&Column, &String)| format!("{}={value}", key.name);
        table.partition_keys.iter().zip(values).map(pair).collect::<Vec<_>>().join("/")
    };
    let all: Vec<_> = missing.iter().map(|(values, _)| format!("{name}:{}", spelled(values))).collect();
    let mut lines = vec![format!("Partitions not in metastore:\t{}", all.join("\t"))];
    lines.extend(all.iter().map(|partition| format!("Repair: Added partition to metastore {partition}")));
    for batch in missing.chunks(REPAIR_BATCH) {
        let new: Vec<_> =
            batch.iter().map(|(values, location)| new_partition(&table, values.clone(), location.clone())).collect();
        let (place, database, name) = (athena.lake.place.clone(), database.clone(), name.clone());
        let added = athena.lake.store.write(move |tx| {
            // One that came meanwhile is left as it is.
            catalog::create_partitions(tx, &place, &database, &name, &new).map(drop)
        });
        added.await.map_err(RunError::from)?;
    }
    lines.truncate(LINES_MAX);
    Ok(TextResult::new("", lines))
}

/// The values and locations of the folders that are named as the table's keys want it, level by level.
fn folders(connection: &Connection, table: &Table) -> Result<Vec<(Vec<String>, String)>, RunError> {
    let location = table.storage.location.as_deref().unwrap_or_default();
    let Some((bucket_name, prefix)) = objects::split_uri(location) else {
        return Err(failed(ErrorKind::Input, format!("the table's location '{location}' is not in S3")));
    };
    let Some(bucket) = objects::bucket(connection, bucket_name)? else {
        return Err(failed(ErrorKind::Missing, format!("the bucket of the table's location {location} does not exist")));
    };
    let base = if prefix.is_empty() || prefix.ends_with('/') { prefix.to_owned() } else { format!("{prefix}/") };
    let mut level = vec![(Vec::new(), base)];
    for key in &table.partition_keys {
        let mut next = Vec::new();
        for (values, prefix) in level {
            let mut after = String::new();
            loop {
                let spec = ListSpec { prefix: prefix.clone(), delimiter: "/".into(), after, limit: 1000 };
                let page = objects::list(connection, bucket.id, &spec)?;
                for folder in page.common_prefixes {
                    let name = folder[prefix.len()..].trim_end_matches('/');
                    let Some((found, value)) = name.split_once('=') else { continue };
                    if found.eq_ignore_ascii_case(&key.name) && !value.is_empty() {
                        let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
                        let values: Vec<_> = values.iter().cloned().chain([value]).collect();
                        next.push((values, folder));
                    }
                }
                match page.next {
                    Some(next) => after = next,
                    None => break,
                }
            }
        }
        level = next;
    }
    Ok(level.into_iter().map(|(values, prefix)| (values, format!("s3://{bucket_name}/{prefix}"))).collect())
}
