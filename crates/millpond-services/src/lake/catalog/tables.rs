//! Tables and their versions.

use super::{CatalogError, database, events, fold_name, partitions, sweep};
use millpond_core::arn::Place;
use millpond_core::catalog::{Column, Table};
use millpond_store::Tx;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashSet;

/// Former versions of one table at the most ("AWS Glue endpoints and quotas": 100,000 table versions per table).
const VERSIONS_MAX: i64 = 100_000;

/// Whether an update keeps the version that it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archive {
    /// As `UpdateTable` does by default.
    Keep,
    /// `SkipArchive`: for changes that are not worth a version (statistics, say).
    Skip,
}

/// What [`put_table`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TablePut {
    /// There was none of this name.
    Created,
    /// It was different.
    Updated,
    /// It was the same already: nothing was written, and no event emitted.
    Unchanged,
}

/// A table's row.
pub(super) struct TableRow {
    pub(super) id: i64,
    pub(super) table: Table,
}

pub(super) fn find(connection: &Connection, database: &str, name: &str) -> Result<Option<TableRow>, CatalogError> {
    let select = "SELECT id, body FROM catalog_table WHERE database = ? AND name = ?";
    let names = [database.to_lowercase(), name.to_lowercase()];
    let found: Option<(i64, String)> =
        connection.prepare_cached(select)?.query_row(names, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((id, body)) = found else { return Ok(None) };
    Ok(Some(TableRow { id, table: serde_json::from_str(&body)? }))
}

/// The row, or an error that says whether the database or the table is missing.
pub(super) fn found(connection: &Connection, database_name: &str, name: &str) -> Result<TableRow, CatalogError> {
    match find(connection, database_name, name)? {
        Some(row) => Ok(row),
        None if database(connection, database_name)?.is_none() => Err(CatalogError::no_database(&database_name.to_lowercase())),
        None => Err(CatalogError::no_table(&name.to_lowercase())),
    }
}

/// The table of this name.
pub fn table(connection: &Connection, database: &str, name: &str) -> Result<Option<Table>, CatalogError> {
    Ok(find(connection, database, name)?.map(|row| row.table))
}

/// Whether there is a table of this name.
pub fn table_exists(connection: &Connection, database: &str, name: &str) -> Result<bool, CatalogError> {
    let mut select = connection.prepare_cached("SELECT 1 FROM catalog_table WHERE database = ? AND name = ?")?;
    Ok(select.exists([database.to_lowercase(), name.to_lowercase()])?)
}

/// Calls `each` with the tables of a database by name, from the first after `after` on, until it answers `false`.
///
/// # Errors
/// [`CatalogError::NotFound`] where there is no such database.
pub fn visit_tables(
    connection: &Connection,
    database_name: &str,
    after: &str,
    mut each: impl FnMut(Table) -> Result<bool, CatalogError>,
) -> Result<(), CatalogError> {
    let database_name = database_name.to_lowercase();
    if database(connection, &database_name)?.is_none() {
        return Err(CatalogError::no_database(&database_name));
    }
    let mut select = connection.prepare_cached("SELECT body FROM catalog_table WHERE database = ? AND name > ? ORDER BY name")?;
    let mut rows = select.query(params![database_name, after])?;
    while let Some(row) = rows.next()? {
        let table = serde_json::from_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?;
        if !each(table)? {
            break;
        }
    }
    Ok(())
}

/// The tables of a database by name, from the first after `after` on, `limit` at the most.
///
/// # Errors
/// [`CatalogError::NotFound`] where there is no such database.
pub fn tables(connection: &Connection, database: &str, after: &str, limit: usize) -> Result<Vec<Table>, CatalogError> {
    let mut tables = Vec::new();
    visit_tables(connection, database, after, |table| {
        let room = tables.len() < limit;
        if room {
            tables.push(table);
        }
        Ok(room)
    })?;
    Ok(tables)
}

/// The names of a database's tables, sorted; `None` where there is no such database.
pub fn table_names(connection: &Connection, database_name: &str) -> Result<Option<Vec<String>>, CatalogError> {
    let database_name = database_name.to_lowercase();
    if database(connection, &database_name)?.is_none() {
        return Ok(None);
    }
    let mut select = connection.prepare_cached("SELECT name FROM catalog_table WHERE database = ? ORDER BY name")?;
    Ok(Some(select.query_map([database_name], |row| row.get(0))?.collect::<Result<_, _>>()?))
}

/// Adds a table, and emits its event. Times and version are filled in.
///
/// # Errors
/// [`CatalogError::NotFound`] for the database, [`CatalogError::AlreadyExists`], [`CatalogError::Invalid`] for names and columns.
pub fn create_table(tx: &Tx<'_>, place: &Place, table: Table) -> Result<Table, CatalogError> {
    let mut table = checked(table)?;
    if database(tx, &table.database)?.is_none() {
        return Err(CatalogError::no_database(&table.database));
    }
    table.created_ms = tx.now_ms();
    table.updated_ms = tx.now_ms();
    table.version = 0;
    let insert = "INSERT INTO catalog_table (database, name, version, body) VALUES (?, ?, 0, ?) ON CONFLICT DO NOTHING";
    let values = params![table.database, table.name, serde_json::to_string(&table)?];
    if tx.prepare_cached(insert)?.execute(values)? == 0 {
        return Err(CatalogError::AlreadyExists("Table already exists.".into()));
    }
    events::database_changed(tx, place, "CreateTable", &table.database, std::slice::from_ref(&table.name))?;
    Ok(table)
}

/// Replaces a table's definition by the next version, and emits its event. The time of its creation stays; its partitions stay as they are.
///
/// # Errors
/// [`CatalogError::NotFound`]; [`CatalogError::Changed`] where `expected_version` is not the current one; [`CatalogError::Invalid`] where the
/// number of its keys changes while it has partitions.
pub fn update_table(
    tx: &Tx<'_>,
    place: &Place,
    table: Table,
    archive: Archive,
    expected_version: Option<i64>,
) -> Result<Table, CatalogError> {
    let table = checked(table)?;
    let row = found(tx, &table.database, &table.name)?;
    if expected_version.is_some_and(|expected| expected != row.table.version) {
        return Err(CatalogError::Changed("Update table failed due to concurrent modifications.".into()));
    }
    replace(tx, place, &row, table, archive)
}

/// Creates a table, or updates it where it differs.
pub fn put_table(tx: &Tx<'_>, place: &Place, table: Table, archive: Archive) -> Result<(Table, TablePut), CatalogError> {
    let mut table = checked(table)?;
    let Some(row) = find(tx, &table.database, &table.name)? else {
        return Ok((create_table(tx, place, table)?, TablePut::Created));
    };
    table.created_ms = row.table.created_ms;
    table.updated_ms = row.table.updated_ms;
    table.version = row.table.version;
    if table == row.table {
        return Ok((table, TablePut::Unchanged));
    }
    Ok((replace(tx, place, &row, table, archive)?, TablePut::Updated))
}

fn replace(tx: &Tx<'_>, place: &Place, row: &TableRow, mut table: Table, archive: Archive) -> Result<Table, CatalogError> {
    if archive == Archive::Keep {
        archive_version(tx, row)?;
    }
    table.created_ms = row.table.created_ms;
    table.updated_ms = tx.now_ms();
    table.version = row.table.version + 1;
    partitions::keys_changed(tx, row, &table)?;
    let mut update = tx.prepare_cached("UPDATE catalog_table SET version = ?, body = ? WHERE id = ?")?;
    update.execute(params![table.version, serde_json::to_string(&table)?, row.id])?;
    events::table_changed(tx, place, "UpdateTable", (&table.database, &table.name), &[])?;
    Ok(table)
}

fn archive_version(tx: &Tx<'_>, row: &TableRow) -> Result<(), CatalogError> {
    let count = "SELECT count(*) FROM catalog_table_version WHERE table_id = ?";
    if row.table.version >= VERSIONS_MAX
        && tx.prepare_cached(count)?.query_row([row.id], |row| row.get::<_, i64>(0))? >= VERSIONS_MAX
    {
        return Err(CatalogError::Limit(format!(
            "The table {}.{} has {VERSIONS_MAX} former versions, which is the limit: delete some (BatchDeleteTableVersion), or update it with \
             SkipArchive.",
            row.table.database, row.table.name
        )));
    }
    let mut insert = tx.prepare_cached("INSERT INTO catalog_table_version (table_id, version, body) VALUES (?, ?, ?)")?;
    insert.execute(params![row.id, row.table.version, serde_json::to_string(&row.table)?])?;
    Ok(())
}

/// Names folded, and what must hold of every table checked.
fn checked(mut table: Table) -> Result<Table, CatalogError> {
    table.database = fold_name("database", &table.database)?;
    table.name = fold_name("table", &table.name)?;
    let mut names = HashSet::new();
    for column in table.storage.columns.iter_mut().chain(&mut table.partition_keys) {
        column.name = column.name.to_lowercase();
        if !names.insert(column.name.clone()) {
            return Err(CatalogError::Invalid(format!(
                "The table {}.{} has two columns of the name '{}' (names are not case-sensitive, and partition keys are columns, too).",
                table.database, table.name, column.name
            )));
        }
    }
    if let Some(key) = table.partition_keys.iter().find(|key| !is_primitive(key)) {
        return Err(CatalogError::Invalid(format!(
            "The partition key '{}' of the table {}.{} has the type '{}': only primitive types can be keys.",
            key.name, table.database, table.name, key.data_type
        )));
    }
    Ok(table)
}

fn is_primitive(key: &Column) -> bool {
    let data_type = key.data_type.trim_start().to_ascii_lowercase();
    !["array", "map", "struct", "uniontype"].iter().any(|nested| data_type.starts_with(nested))
}

/// Deletes a table with its versions and partitions. Its data stay where they are. Many partitions are deleted later, by [`super::Sweeper`];
/// they are out of reach at once.
///
/// # Errors
/// [`CatalogError::NotFound`].
pub fn delete_table(tx: &Tx<'_>, place: &Place, database: &str, name: &str) -> Result<Table, CatalogError> {
    let row = found(tx, database, name)?;
    drop_row(tx, row.id)?;
    events::database_changed(tx, place, "DeleteTable", &row.table.database, std::slice::from_ref(&row.table.name))?;
    Ok(row.table)
}

/// Deletes tables, each for itself, and emits one event: answers the errors of those that could not be deleted, by their place.
///
/// # Errors
/// [`CatalogError::NotFound`] for the database.
pub fn delete_tables(
    tx: &Tx<'_>,
    place: &Place,
    database_name: &str,
    names: &[String],
) -> Result<Vec<(usize, CatalogError)>, CatalogError> {
    if database(tx, database_name)?.is_none() {
        return Err(CatalogError::no_database(&database_name.to_lowercase()));
    }
    let (mut errors, mut deleted) = (Vec::new(), Vec::new());
    for (place_in_list, name) in names.iter().enumerate() {
        match find(tx, database_name, name)? {
            Some(row) => {
                drop_row(tx, row.id)?;
                deleted.push(row.table.name);
            }
            None => errors.push((place_in_list, CatalogError::no_table(&name.to_lowercase()))),
        }
    }
    if !deleted.is_empty() {
        events::database_changed(tx, place, "BatchDeleteTable", &database_name.to_lowercase(), &deleted)?;
    }
    Ok(errors)
}

/// Deletes the tables of a database that is gone.
pub(super) fn drop_all(tx: &Tx<'_>, database: &str) -> Result<(), CatalogError> {
    let ids: Vec<i64> = {
        let mut select = tx.prepare_cached("SELECT id FROM catalog_table WHERE database = ?")?;
        select.query_map([database], |row| row.get(0))?.collect::<Result<_, _>>()?
    };
    ids.into_iter().try_for_each(|id| drop_row(tx, id))
}

fn drop_row(tx: &Tx<'_>, id: i64) -> Result<(), CatalogError> {
    tx.prepare_cached("DELETE FROM catalog_table WHERE id = ?")?.execute([id])?;
    tx.prepare_cached("DELETE FROM catalog_table_version WHERE table_id = ?")?.execute([id])?;
    sweep::drop_partitions(tx, id)
}

/// A version of a table, the current one among them.
///
/// # Errors
/// [`CatalogError::NotFound`] for the table.
pub fn table_version(connection: &Connection, database: &str, name: &str, version: i64) -> Result<Option<Table>, CatalogError> {
    let row = found(connection, database, name)?;
    if row.table.version == version {
        return Ok(Some(row.table));
    }
    let mut select = connection.prepare_cached("SELECT body FROM catalog_table_version WHERE table_id = ? AND version = ?")?;
    let body: Option<String> = select.query_row([row.id, version], |row| row.get(0)).optional()?;
    Ok(body.map(|body| serde_json::from_str(&body)).transpose()?)
}

/// The versions of a table that are less than `before`, the newest first, `limit` at the most.
///
/// # Errors
/// [`CatalogError::NotFound`] for the table.
pub fn table_versions(
    connection: &Connection,
    database: &str,
    name: &str,
    before: i64,
    limit: usize,
) -> Result<Vec<Table>, CatalogError> {
    let row = found(connection, database, name)?;
    let mut versions = Vec::new();
    let id = row.id;
    if row.table.version < before && limit > 0 {
        versions.push(row.table);
    }
    let select = "SELECT body FROM catalog_table_version WHERE table_id = ? AND version < ? ORDER BY version DESC LIMIT ?";
    let mut select = connection.prepare_cached(select)?;
    let mut rows = select.query(params![id, before, (limit - versions.len()) as i64])?;
    while let Some(row) = rows.next()? {
        versions.push(serde_json::from_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?);
    }
    Ok(versions)
}

/// Deletes a former version of a table.
///
/// # Errors
/// [`CatalogError::NotFound`] for the table or the version; [`CatalogError::Invalid`] for the current version.
pub fn delete_table_version(tx: &Tx<'_>, database: &str, name: &str, version: i64) -> Result<(), CatalogError> {
    let row = found(tx, database, name)?;
    if row.table.version == version {
        return Err(CatalogError::Invalid(format!(
            "Version {version} of the table {} is its current one: delete the table instead.",
            row.table.name
        )));
    }
    let mut delete = tx.prepare_cached("DELETE FROM catalog_table_version WHERE table_id = ? AND version = ?")?;
    match delete.execute([row.id, version])? {
        0 => Err(CatalogError::NotFound(format!("Table version {version} of {} not found.", row.table.name))),
        _ => Ok(()),
    }
}
