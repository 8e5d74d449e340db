//! Tables are brought up to date when the store opens: each component counts its own versions.

use crate::StoreError;
use rusqlite::{Connection, OptionalExtension, params};

/// Tables that belong together: those of one service, or the store's own.
#[derive(Debug, Clone, Copy)]
pub struct Component {
    /// Never changes once released.
    pub name: &'static str,
    /// SQL scripts; the first makes version 1. A released script never changes, new ones are added at the end.
    pub migrations: &'static [&'static str],
}

/// Applies what is missing, each version in one transaction.
pub(crate) fn migrate(connection: &mut Connection, component: &Component) -> Result<(), StoreError> {
    connection
        .execute_batch("CREATE TABLE IF NOT EXISTS component (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID")?;
    let found: i64 = connection
        .query_row("SELECT version FROM component WHERE name = ?", [component.name], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    let known = component.migrations.len() as i64;
    if found > known {
        return Err(StoreError::TooNew { component: component.name.into(), found, known });
    }
    for (index, script) in component.migrations.iter().enumerate().skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(script)?;
        transaction.execute(
            "INSERT INTO component VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET version = ?2",
            params![component.name, index as i64 + 1],
        )?;
        transaction.commit()?;
    }
    Ok(())
}
