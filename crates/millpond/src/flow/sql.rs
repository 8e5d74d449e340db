//! The rows of flows.

use crate::config::Flow;
use millpond_store::{Component, StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// The tables of flows.
pub const COMPONENT: Component = Component { name: "flow", migrations: &[include_str!("schema.sql")] };

/// A flow that was set up.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// What it is.
    pub flow: Flow,
    /// Who declared it.
    pub origin: Origin,
}

/// Who declared a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `millpond.toml`: what is no longer in it is removed at the next start.
    File,
    /// `millpond flow add`.
    Api,
}

impl Origin {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Api => "api",
        }
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<(String, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn stored((definition, origin): (String, String)) -> Result<Stored, StoreError> {
    let origin = if origin == Origin::File.as_str() { Origin::File } else { Origin::Api };
    Ok(Stored { flow: serde_json::from_str(&definition)?, origin })
}

/// All flows by name.
pub fn all(connection: &Connection) -> Result<Vec<Stored>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT definition, origin FROM flow ORDER BY name")?;
    let rows = statement.query_map([], row)?.collect::<Result<Vec<_>, _>>()?;
    rows.into_iter().map(stored).collect()
}

/// One flow.
pub fn get(connection: &Connection, name: &str) -> Result<Option<Stored>, StoreError> {
    let select = "SELECT definition, origin FROM flow WHERE name = ?";
    connection.prepare_cached(select)?.query_row([name], row).optional()?.map(stored).transpose()
}

/// Keeps a flow in the place of one of the same name.
pub fn put(tx: &Tx<'_>, stored: &Stored) -> Result<(), StoreError> {
    let insert = "INSERT OR REPLACE INTO flow (name, definition, origin, changed_ms) VALUES (?, ?, ?, ?)";
    let definition = serde_json::to_string(&stored.flow)?;
    let values = params![stored.flow.name, definition, stored.origin.as_str(), tx.now_ms()];
    tx.prepare_cached(insert)?.execute(values)?;
    Ok(())
}

/// Forgets a flow.
pub fn remove(tx: &Tx<'_>, name: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM flow WHERE name = ?")?.execute([name])?;
    Ok(())
}
