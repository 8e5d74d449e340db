//! `CREATE TABLE AS` and `INSERT INTO`.
//!
//! The rows become blobs first. Then one transaction names them as objects, creates the table or adds the partitions, writes the list of the objects,
//! and ends the execution: a table is there with all of its rows, or not at all.

use super::files::{Named, Names, is_empty, listing, place, put, refused, rows_column, write};
use super::{Commit, Context, Outcome, ResultFile, RunError, Update, unload};
use crate::athena::model::Statistics;
use crate::athena::workgroups;
use crate::lake::catalog::{self, CatalogError};
use millpond_core::arn::Place;
use millpond_core::catalog::{Column, Partition, StorageDescriptor, Table};
use millpond_core::error::ErrorKind;
use millpond_engine::output::{self, Compression, OutputFormat, OutputProperties, Target, Written};
use millpond_engine::query::{Position, QueryError, view};
use millpond_engine::sql::{CreateTableAs, Insert, Write};
use millpond_engine::write::partition_path;
use millpond_store::Tx;
use rusqlite::Connection;
use std::collections::BTreeMap;

/// Carries out a statement that writes rows.
pub(super) async fn run(cx: &Context<'_>, statement: &Write) -> Result<Outcome, RunError> {
    match statement {
        Write::CreateTableAs(create) => create_table_as(cx, create).await,
        Write::Insert(insert) => insert_into(cx, insert).await,
        Write::Unload(unload) => unload::run(cx, unload).await,
    }
}

/// What Athena answers for rows that were written.
async fn outcome(
    cx: &Context<'_>,
    update: Update,
    statistics: Statistics,
    manifest: Option<ResultFile>,
    commit: Commit,
) -> Result<Outcome, RunError> {
    let columns = rows_column();
    let mut files = vec![ResultFile::metadata(cx, &columns, Some(update)).await?];
    files.extend(manifest);
    Ok(Outcome { files, columns, update: Some(update), statistics, commit })
}

const CREATE: &str = "CREATE TABLE";

async fn create_table_as(cx: &Context<'_>, create: &CreateTableAs) -> Result<Outcome, RunError> {
    let (database, name) = create.name.resolve(cx.execution.database.as_deref())?;
    if create.columns.is_some() {
        let message = format!("{}: Column name not specified at position 1", Position::START);
        return Err(refused(ErrorKind::Input, "MISSING_COLUMN_NAME", message));
    }
    let properties = OutputProperties::of_table(&create.properties)?;
    let location = table_location(cx, &properties).await?;
    let (in_database, table_name, at, if_not_exists) = (database.clone(), name.clone(), location.clone(), create.if_not_exists);
    let exists = cx.athena.lake.store.read(move |connection| {
        if catalog::database(connection, &in_database)?.is_none() {
            return Err(no_database(&in_database));
        }
        if catalog::table_exists(connection, &in_database, &table_name)? {
            return if if_not_exists { Ok(true) } else { Err(table_exists(&in_database, &table_name)) };
        }
        require_empty(connection, &in_database, &table_name, &at).map(|()| false)
    });
    if exists.await? {
        let update = Update { kind: CREATE, count: 0 };
        return outcome(cx, update, Statistics::default(), None, Outcome::nothing()).await;
    }
    let stream = cx.athena.engine.query(cx.limited(&create.sql).await).await?;
    let target = properties.target(stream.schema(), true)?;
    let table = new_table(&target, &properties, database, name, location, create.comment.clone());
    let (written, statistics) = match create.with_data {
        true => write(cx, stream, target).await?,
        false => (Written::default(), Statistics::default()),
    };
    let update = Update { kind: CREATE, count: written.rows };
    let placed = place_files(cx, &table, true, (&properties.format, properties.compression), written).await?;
    let manifest = match create.with_data {
        true => Some(listing(cx, &placed.named).await?),
        false => None,
    };
    let lake = cx.athena.lake.place.clone();
    outcome(cx, update, statistics, manifest, Box::new(move |tx: &Tx<'_>| commit_table(tx, &lake, table, &placed))).await
}

/// Where the new table's files go: `external_location`, or below the result's location.
async fn table_location(cx: &Context<'_>, properties: &OutputProperties) -> Result<String, RunError> {
    let Some(location) = &properties.external_location else { return Ok(format!("{}/", cx.execution.output)) };
    let workgroup = cx.execution.workgroup.clone();
    let found = cx.athena.lake.store.read(move |connection| workgroups::find(connection, &workgroup));
    let enforces = found.await?.is_some_and(|group| group.configuration.enforce && group.configuration.output_location.is_some());
    if enforces {
        let message = "The Create Table As Select query failed because it was submitted with an 'external_location' property to an Athena \
                       Workgroup that enforces a centralized output location for all queries. Please remove the 'external_location' property and \
                       resubmit the query.";
        return Err(RunError { kind: ErrorKind::Input, message: message.into() });
    }
    Ok(location.clone())
}

fn no_database(database: &str) -> RunError {
    RunError { kind: ErrorKind::Missing, message: format!("Database {database} not found. Please check your query.") }
}

fn table_exists(database: &str, name: &str) -> RunError {
    let message = format!("{}: Destination table 'awsdatacatalog.{database}.{name}' already exists", Position::START);
    refused(ErrorKind::Conflict, "TABLE_ALREADY_EXISTS", message)
}

fn require_empty(connection: &Connection, database: &str, name: &str, location: &str) -> Result<(), RunError> {
    if is_empty(connection, location)? {
        return Ok(());
    }
    let message = format!("Target directory for table '{database}.{name}' already exists: {location}");
    Err(refused(ErrorKind::Conflict, "HIVE_PATH_ALREADY_EXISTS", message))
}

/// The catalog's entry for a table that a query makes.
fn new_table(
    target: &Target,
    properties: &OutputProperties,
    database: String,
    name: String,
    location: String,
    comment: Option<String>,
) -> Table {
    let location = location.trim_end_matches('/').to_owned();
    let (mut storage, mut parameters) = output::storage(&target.format, target.compression, target.columns.clone(), location);
    let own = [("EXTERNAL", "TRUE"), ("has_encrypted_data", "false")];
    parameters.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
    if let Some(buckets) = &properties.buckets {
        storage.number_of_buckets = i32::try_from(buckets.count).unwrap_or(i32::MAX);
        storage.kept.insert("BucketColumns".into(), buckets.columns.clone().into());
        parameters.insert("bucketing_format".into(), "hive".into());
    }
    Table {
        database,
        name,
        description: comment,
        storage,
        partition_keys: target.keys.clone(),
        table_type: Some("EXTERNAL_TABLE".into()),
        parameters,
        ..Table::default()
    }
}

fn commit_table(tx: &Tx<'_>, lake: &Place, mut table: Table, placed: &Placed) -> Result<(), RunError> {
    let (database, name) = (table.database.clone(), table.name.clone());
    let location = table.storage.location.clone().unwrap_or_default();
    require_empty(tx, &database, &name, &location)?;
    table.parameters.insert("transient_lastDdlTime".into(), (tx.now_ms() / 1000).to_string());
    let table = match catalog::create_table(tx, lake, table) {
        Err(CatalogError::AlreadyExists(_)) => return Err(table_exists(&database, &name)),
        Err(CatalogError::NotFound(_)) => return Err(no_database(&database)),
        created => created?,
    };
    placed.commit(tx, lake, &table)
}

/// Where the files of a partition go (or those of a table without partitions).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Folder {
    /// `s3://bucket/prefix`
    location: String,
    /// Whether the partition must be registered.
    new: bool,
}

/// Written files with the names that they get.
#[derive(Debug)]
struct Placed {
    names: Names,
    named: Vec<Named>,
    /// By partition values.
    folders: BTreeMap<Vec<String>, Folder>,
}

/// Names all files in the folders of their partitions. `new_table`: whether the table is not in the catalog yet.
async fn place_files(
    cx: &Context<'_>,
    table: &Table,
    new_table: bool,
    (format, compression): (&OutputFormat, Compression),
    written: Written,
) -> Result<Placed, RunError> {
    let (names, table) = (Names::new(cx, format, compression), table.clone());
    let now_ms = cx.athena.lake.store.env().now_ms();
    let placed = cx.athena.lake.store.read(move |connection| {
        let mut folders = BTreeMap::new();
        let mut named = Vec::with_capacity(written.files.len());
        // The files of a partition stand together.
        for files in written.files.chunk_by(|a, b| a.file.partition_values == b.file.partition_values) {
            let values = &files[0].file.partition_values;
            let folder = folder(connection, &table, values, new_table, now_ms)?;
            let (bucket, prefix) = place(connection, &folder.location)?;
            for file in files {
                named.push(names.name(&bucket, &prefix, file)?);
            }
            folders.insert(values.clone(), folder);
        }
        Ok::<_, RunError>(Placed { names, named, folders })
    });
    placed.await
}

impl Placed {
    /// Names the files, and registers the partitions that are new.
    fn commit(&self, tx: &Tx<'_>, lake: &Place, table: &Table) -> Result<(), RunError> {
        let mut new = Vec::new();
        for (values, planned) in &self.folders {
            let now = folder(tx, table, values, false, tx.now_ms())?;
            if now.location != planned.location {
                return Err(changed(table));
            }
            if now.new {
                let storage = StorageDescriptor { location: Some(now.location), ..table.storage.clone() };
                new.push(Partition { values: values.clone(), storage, created_ms: tx.now_ms(), ..Partition::default() });
            }
        }
        put(tx, lake, &self.names, &self.named)?;
        if !new.is_empty() {
            catalog::put_partitions(tx, lake, &table.database, &table.name, &new)?;
        }
        Ok(())
    }
}

fn changed(table: &Table) -> RunError {
    let message =
        format!("The table {}.{} was changed while rows were written for it: run the query again", table.database, table.name);
    refused(ErrorKind::Conflict, "HIVE_CONCURRENT_MODIFICATION_DETECTED", message)
}

fn folder(connection: &Connection, table: &Table, values: &[String], new_table: bool, now_ms: i64) -> Result<Folder, RunError> {
    let base = table.storage.location.as_deref().unwrap_or_default().trim_end_matches('/').to_owned();
    if table.partition_keys.is_empty() {
        return Ok(Folder { location: base, new: false });
    }
    let names: Vec<String> = table.partition_keys.iter().map(|key| key.name.clone()).collect();
    let usual = format!("{base}/{}", partition_path(&names, values));
    // The partitions of a projected table follow from its properties, and are not registered.
    if let Some(location) = catalog::projected_location(table, values, now_ms).map_err(QueryError::from)? {
        return Ok(Folder { location, new: false });
    }
    let found = match new_table {
        true => None,
        false => catalog::partition(connection, &table.database, &table.name, values)?,
    };
    let Some(found) = found else { return Ok(Folder { location: usual, new: true }) };
    let own = found.storage.serde_info.serialization_library.as_ref();
    if own.is_some_and(|own| Some(own) != table.storage.serde_info.serialization_library.as_ref()) {
        let message = format!(
            "The partition {values:?} of {}.{} has another format than its table: rows cannot be inserted into it",
            table.database, table.name
        );
        return Err(refused(ErrorKind::Input, "HIVE_PARTITION_SCHEMA_MISMATCH", message));
    }
    Ok(Folder { location: found.storage.location.unwrap_or(usual), new: false })
}

/// The table that rows are inserted into.
fn insert_target(connection: &Connection, database: &str, name: &str, position: Position) -> Result<Table, RunError> {
    let (database, table) = (database.to_owned(), name.to_owned());
    match catalog::table(connection, &database, &table)? {
        None if catalog::database(connection, &database)?.is_none() => {
            Err(QueryError::SchemaNotFound { position, database }.into())
        }
        None => Err(QueryError::TableNotFound { position, database, table, suggestion: None }.into()),
        Some(found) if view::is_view(&found) => {
            let message = format!("{}: Inserting into views is not supported", Position::START);
            Err(QueryError::NotSupported(message).into())
        }
        Some(found) => Ok(found),
    }
}

async fn insert_into(cx: &Context<'_>, insert: &Insert) -> Result<Outcome, RunError> {
    let (database, name) = insert.name.resolve(cx.execution.database.as_deref())?;
    let position = insert.name.position;
    let (in_database, table_name) = (database.clone(), name.clone());
    let found = cx.athena.lake.store.read(move |connection| insert_target(connection, &in_database, &table_name, position));
    let table = found.await?;
    let stream = cx.athena.engine.query(cx.limited(&insert.sql).await).await?;
    let target = Target::insert(&table, insert.columns.as_deref(), stream.schema())?;
    let format = (target.format.clone(), target.compression);
    let (written, statistics) = write(cx, stream, target).await?;
    let update = Update { kind: "INSERT", count: written.rows };
    let placed = place_files(cx, &table, false, (&format.0, format.1), written).await?;
    let (manifest, lake) = (Some(listing(cx, &placed.named).await?), cx.athena.lake.place.clone());
    let commit = move |tx: &Tx<'_>| {
        let now = insert_target(tx, &database, &name, position)?;
        if !same_files(&now, &table) {
            return Err(changed(&now));
        }
        placed.commit(tx, &lake, &now)
    };
    outcome(cx, update, statistics, manifest, Box::new(commit)).await
}

/// Whether files that were written for one definition of a table are right for another.
fn same_files(now: &Table, then: &Table) -> bool {
    let types = |columns: &[Column]| columns.iter().map(|c| (c.name.clone(), c.data_type.clone())).collect::<Vec<_>>();
    let (a, b) = (&now.storage, &then.storage);
    types(&a.columns) == types(&b.columns)
        && types(&now.partition_keys) == types(&then.partition_keys)
        && (&a.location, &a.serde_info, &a.input_format) == (&b.location, &b.serde_info, &b.input_format)
}
