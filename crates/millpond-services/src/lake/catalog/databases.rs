//! Databases.

use super::{CatalogError, events, fold_name, tables};
use millpond_core::arn::Place;
use millpond_core::catalog::Database;
use millpond_store::Tx;
use rusqlite::{Connection, OptionalExtension, params};

/// The database of this name.
pub fn database(connection: &Connection, name: &str) -> Result<Option<Database>, CatalogError> {
    let mut select = connection.prepare_cached("SELECT body FROM catalog_database WHERE name = ?")?;
    let body: Option<String> = select.query_row([name.to_lowercase()], |row| row.get(0)).optional()?;
    Ok(body.map(|body| serde_json::from_str(&body)).transpose()?)
}

/// The databases by name, from the first after `after` on, `limit` at the most.
pub fn databases(connection: &Connection, after: &str, limit: usize) -> Result<Vec<Database>, CatalogError> {
    let mut select = connection.prepare_cached("SELECT body FROM catalog_database WHERE name > ? ORDER BY name LIMIT ?")?;
    let mut rows = select.query(params![after, limit as i64])?;
    let mut databases = Vec::new();
    while let Some(row) = rows.next()? {
        databases.push(serde_json::from_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?);
    }
    Ok(databases)
}

/// Adds a database, and emits its event. The time of its creation is filled in.
///
/// # Errors
/// [`CatalogError::AlreadyExists`], [`CatalogError::Invalid`] for its name.
pub fn create_database(tx: &Tx<'_>, place: &Place, mut new: Database) -> Result<Database, CatalogError> {
    new.name = fold_name("database", &new.name)?;
    new.created_ms = tx.now_ms();
    let mut insert = tx.prepare_cached("INSERT INTO catalog_database (name, body) VALUES (?, ?) ON CONFLICT DO NOTHING")?;
    if insert.execute(params![new.name, serde_json::to_string(&new)?])? == 0 {
        return Err(CatalogError::AlreadyExists("Database already exists.".into()));
    }
    events::database_changed(tx, place, "CreateDatabase", &new.name, &[])?;
    Ok(new)
}

/// Makes sure that there is a database of this name; answers whether it had to be created.
pub fn ensure_database(tx: &Tx<'_>, place: &Place, name: &str) -> Result<bool, CatalogError> {
    if database(tx, name)?.is_some() {
        return Ok(false);
    }
    create_database(tx, place, Database { name: name.into(), ..Database::default() })?;
    Ok(true)
}

/// Replaces what is said about a database; its name and the time of its creation stay. (AWS names no event for it.)
///
/// # Errors
/// [`CatalogError::NotFound`]; [`CatalogError::Invalid`] where `new` has another name.
pub fn update_database(tx: &Tx<'_>, name: &str, mut new: Database) -> Result<Database, CatalogError> {
    let old = database(tx, name)?.ok_or_else(|| CatalogError::no_database(name))?;
    new.name = fold_name("database", &new.name)?;
    if new.name != old.name {
        return Err(CatalogError::Invalid(format!("A database cannot be renamed: '{}' is not '{}'.", new.name, old.name)));
    }
    new.created_ms = old.created_ms;
    let mut update = tx.prepare_cached("UPDATE catalog_database SET body = ? WHERE name = ?")?;
    update.execute(params![serde_json::to_string(&new)?, new.name])?;
    Ok(new)
}

/// Deletes a database with all its tables. Their data stay where they are.
///
/// # Errors
/// [`CatalogError::NotFound`].
pub fn delete_database(tx: &Tx<'_>, place: &Place, name: &str) -> Result<(), CatalogError> {
    let name = name.to_lowercase();
    if tx.prepare_cached("DELETE FROM catalog_database WHERE name = ?")?.execute([&name])? == 0 {
        return Err(CatalogError::no_database(&name));
    }
    tables::drop_all(tx, &name)?;
    events::database_changed(tx, place, "DeleteDatabase", &name, &[])?;
    Ok(())
}
