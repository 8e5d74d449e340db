//! Statements that change the catalog. Their texts and failures are Hive's, as Athena gives them.

use super::{Commit, Context, Outcome, RunError, alter, repair};
use crate::lake::Lake;
use crate::lake::catalog::{self, Archive, CatalogError};
use crate::lake::{iceberg, objects};
use millpond_core::arn::Place;
use millpond_core::catalog::{Database, Table};
use millpond_core::error::ErrorKind;
use millpond_engine::format::is_known_serde;
use millpond_engine::iceberg::is_iceberg;
use millpond_engine::query::{QueryError, view};
use millpond_engine::sql::render::TextResult;
use millpond_engine::sql::{Ddl, TableName};
use millpond_store::Tx;
use rusqlite::Connection;
use std::collections::HashSet;

/// Lines that `MSCK REPAIR TABLE` and `SHOW` answer at the most.
pub(super) const LINES_MAX: usize = 1_000_000;

/// Carries a statement out.
pub(super) async fn run(cx: &Context<'_>, statement: &Ddl) -> Result<Outcome, RunError> {
    let default = cx.execution.database.clone();
    let lake = cx.athena.lake.clone();
    let (text, commit): (TextResult, Commit) = match statement {
        Ddl::CreateView { name, or_replace, sql } => (TextResult::default(), create_view(cx, name, *or_replace, sql).await?),
        Ddl::Unsupported(why) => return Err(QueryError::NotSupported(why.clone()).into()),
        Ddl::MsckRepair { name } => (repair::run(cx.athena, cx.execution, name).await?, Outcome::nothing()),
        other => {
            let statement = other.clone();
            let commit = move |tx: &Tx<'_>| change(tx, &lake, statement, default.as_deref());
            (TextResult::default(), Box::new(commit))
        }
    };
    Outcome::text(cx, &text, commit).await
}

pub(super) fn failed(kind: ErrorKind, message: impl std::fmt::Display) -> RunError {
    RunError { kind, message: format!("FAILED: {message}") }
}

/// What Hive says when a change is refused: with the exception of its metastore, `HiveException`, or none.
pub(super) fn refused(kind: ErrorKind, exception: &str, message: impl std::fmt::Display) -> RunError {
    let task = "Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask.";
    match exception {
        "" => failed(kind, format!("{task} {message}")),
        "HiveException" => failed(kind, format!("{task} {exception}: {message}")),
        of_metastore => failed(kind, format!("{task} {of_metastore}(message:{message})")),
    }
}

/// What Athena says where the statement is none for Iceberg tables.
pub(super) fn not_for_iceberg() -> RunError {
    RunError { kind: ErrorKind::Input, message: "Query type not supported by Athena Iceberg at this time".into() }
}

/// A message of the engine's own, where Athena sends the statement to it and not to Hive.
fn of_engine(kind: ErrorKind, name: &str, message: impl std::fmt::Display) -> RunError {
    RunError { kind, message: format!("{name}: line 1:1: {message}") }
}

/// The time of a change, as Hive notes it with the table.
pub(super) fn touch(tx: &Tx<'_>, table: &mut Table) {
    table.parameters.insert("transient_lastDdlTime".into(), (tx.now_ms() / 1000).to_string());
}

/// A location as Athena keeps it: without the slash at its end, but for a whole bucket.
pub(super) fn without_slash(location: &str) -> String {
    let bare = location.trim_end_matches('/');
    let whole_bucket = bare.split_once("://").is_none_or(|(_, path)| !path.contains('/'));
    if whole_bucket { format!("{bare}/") } else { bare.to_owned() }
}

/// The bucket of a location exists.
pub(super) fn check_bucket(connection: &Connection, location: &str) -> Result<(), RunError> {
    let bucket = location.split_once("://").map_or(location, |(_, path)| path).split('/').next().unwrap_or_default();
    if objects::bucket(connection, bucket)?.is_some() {
        return Ok(());
    }
    let message = format!("The specified bucket does not exist: {bucket} (Status Code: 404; Error Code: NoSuchBucket)");
    Err(refused(ErrorKind::Missing, "MetaException", message))
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

fn change(tx: &Tx<'_>, lake: &Lake, statement: Ddl, default: Option<&str>) -> Result<(), RunError> {
    let place: &Place = &lake.place;
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
        Ddl::DropDatabase { name, if_exists, cascade } => drop_database(tx, lake, &name, if_exists, cascade)?,
        Ddl::AlterDatabase { name, properties } => {
            let mut database = catalog::database(tx, &name)?.ok_or_else(|| no_database(&name))?;
            database.parameters.extend(properties);
            catalog::update_database(tx, &name, database)?;
        }
        Ddl::CreateExternalTable { name, table, if_not_exists } => {
            let (database, name) = name.resolve(default)?;
            create_table(tx, place, Table { database, name, ..*table }, if_not_exists)?;
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
        Ddl::DropView { name, if_exists } => drop_view(tx, place, name.resolve(default)?, if_exists)?,
        Ddl::AlterTable { name, action } => {
            let (database, name) = name.resolve(default)?;
            let table = require(tx, &database, &name)?;
            alter::run(tx, place, table, action)?;
        }
        Ddl::CreateView { .. } | Ddl::MsckRepair { .. } | Ddl::Unsupported(_) => {
            unreachable!("they are carried out by functions of their own")
        }
    }
    Ok(())
}

fn create_table(tx: &Tx<'_>, place: &Place, mut table: Table, if_not_exists: bool) -> Result<(), RunError> {
    let (database, name) = (table.database.clone(), table.name.clone());
    if if_not_exists && catalog::table_exists(tx, &database, &name)? {
        return Ok(());
    }
    if let Some(location) = &mut table.storage.location {
        check_bucket(tx, location)?;
        *location = without_slash(location);
    }
    let library = table.storage.serde_info.serialization_library.as_deref().unwrap_or_default();
    if !is_known_serde(library) {
        let message = format!("Cannot validate serde: {library}");
        return Err(refused(ErrorKind::Input, "", message));
    }
    touch(tx, &mut table);
    match catalog::create_table(tx, place, table) {
        Err(CatalogError::AlreadyExists(_)) => {
            let message = format!("Table {name} already exists");
            Err(refused(ErrorKind::Conflict, "AlreadyExistsException", message))
        }
        Err(CatalogError::NotFound(_)) => Err(no_database(&database)),
        created => Ok(created.map(drop)?),
    }
}

fn drop_view(tx: &Tx<'_>, place: &Place, (database, name): (String, String), if_exists: bool) -> Result<(), RunError> {
    let missing = format!("View 'awsdatacatalog.{database}.{name}' does not exist");
    match catalog::table(tx, &database, &name)? {
        Some(found) if view::is_view(&found) => Ok(catalog::delete_table(tx, place, &database, &name).map(drop)?),
        Some(_) => {
            let message = format!("{missing}, but a table with that name exists. Did you mean DROP TABLE {database}.{name}?");
            Err(of_engine(ErrorKind::Missing, "TABLE_NOT_FOUND", message))
        }
        None if if_exists => Ok(()),
        None => Err(of_engine(ErrorKind::Missing, "TABLE_NOT_FOUND", missing)),
    }
}

fn drop_database(tx: &Tx<'_>, lake: &Lake, name: &str, if_exists: bool, cascade: bool) -> Result<(), RunError> {
    let Some(tables) = catalog::table_names(tx, name)? else {
        return if if_exists { Ok(()) } else { Err(no_database(name)) };
    };
    if !cascade && !tables.is_empty() {
        let message = format!("Database {name} is not empty. One or more tables exist.");
        return Err(refused(ErrorKind::Conflict, "InvalidOperationException", message));
    }
    // Their data go along, as with DROP TABLE.
    for table in tables {
        if let Some(table) = catalog::table(tx, name, &table)?.filter(is_iceberg) {
            iceberg::drop_table(tx, &lake.place, lake.store.blobs(), &table)?;
        }
    }
    Ok(catalog::delete_database(tx, &lake.place, name)?)
}

async fn create_view(cx: &Context<'_>, name: &TableName, or_replace: bool, sql: &str) -> Result<Commit, RunError> {
    let (database, name) = name.resolve(cx.execution.database.as_deref())?;
    let view = cx.athena.engine.view(cx.request(sql), &database, &name).await?;
    let place = cx.athena.lake.place.clone();
    Ok(Box::new(move |tx| {
        let exists = |what: &str| {
            let message = format!("{what} already exists: 'awsdatacatalog.{database}.{name}'");
            of_engine(ErrorKind::Conflict, "TABLE_ALREADY_EXISTS", message)
        };
        match catalog::table(tx, &database, &name)? {
            None if catalog::database(tx, &database)?.is_none() => {
                let message = format!("Schema '{database}' does not exist");
                return Err(of_engine(ErrorKind::Missing, "SCHEMA_NOT_FOUND", message));
            }
            Some(found) if !view::is_view(&found) => return Err(exists("Table")),
            Some(_) if !or_replace => return Err(exists("View")),
            Some(_) => not_recursive(tx, &view)?,
            None => {}
        }
        Ok(catalog::put_table(tx, &place, view, Archive::Keep).map(drop)?)
    }))
}

/// A view that replaces another may not read itself, by way of others either.
fn not_recursive(connection: &Connection, new: &Table) -> Result<(), RunError> {
    let mut waiting = view::relations(new);
    let mut seen = HashSet::new();
    while let Some((database, name)) = waiting.pop() {
        if (database.as_str(), name.as_str()) == (new.database.as_str(), new.name.as_str()) {
            return Err(of_engine(ErrorKind::Input, "VIEW_IS_RECURSIVE", "Statement would create a recursive view"));
        }
        if !seen.insert((database.clone(), name.clone())) {
            continue;
        }
        if let Some(found) = catalog::table(connection, &database, &name)?.filter(view::is_view) {
            waiting.extend(view::relations(&found));
        }
    }
    Ok(())
}
