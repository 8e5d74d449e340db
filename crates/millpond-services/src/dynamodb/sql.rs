//! The rows of tables, tags, imports and exports.

use super::model::{Settings, TableState};
use super::transfer::TransferKind;
use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeMap;

/// A table's row.
#[derive(Debug, Clone)]
pub(super) struct TableRow {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) uuid: String,
    pub(super) state: TableState,
    pub(super) settings: Settings,
    pub(super) created_ms: i64,
}

const TABLE: &str = "id, name, uuid, state, settings, created_ms";

fn state_number(state: TableState) -> i64 {
    match state {
        TableState::Creating => 0,
        TableState::Active => 1,
    }
}

fn table_row(row: &Row<'_>) -> Result<TableRow, StoreError> {
    let (state, settings): (i64, String) = (row.get(3)?, row.get(4)?);
    let state = match state {
        0 => TableState::Creating,
        1 => TableState::Active,
        other => return Err(StoreError::Corrupt(format!("a DynamoDB table is in the state {other}"))),
    };
    Ok(TableRow {
        id: row.get::<_, i64>(0)? as u64,
        name: row.get(1)?,
        uuid: row.get(2)?,
        state,
        settings: serde_json::from_str(&settings)?,
        created_ms: row.get(5)?,
    })
}

pub(super) fn tables(connection: &Connection) -> Result<Vec<TableRow>, StoreError> {
    let select = format!("SELECT {TABLE} FROM dynamodb_table ORDER BY id");
    connection.prepare_cached(&select)?.query_and_then([], table_row)?.collect()
}

/// Whether there is a table with this `TableId`.
pub(super) fn has_table(connection: &Connection, uuid: &str) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM dynamodb_table WHERE uuid = ?")?.exists([uuid])?)
}

/// Answers the row.
pub(super) fn insert_table(
    tx: &Tx<'_>,
    name: &str,
    uuid: String,
    state: TableState,
    settings: &Settings,
) -> Result<TableRow, StoreError> {
    let insert = "INSERT INTO dynamodb_table (name, uuid, state, settings, created_ms) VALUES (?, ?, ?, ?, ?)";
    let values = params![name, uuid, state_number(state), serde_json::to_string(settings)?, tx.now_ms()];
    tx.prepare_cached(insert)?.execute(values)?;
    let id = tx.last_insert_rowid() as u64;
    Ok(TableRow { id, name: name.into(), uuid, state, settings: settings.clone(), created_ms: tx.now_ms() })
}

pub(super) fn update_table(tx: &Tx<'_>, row: &TableRow) -> Result<(), StoreError> {
    let update = "UPDATE dynamodb_table SET state = ?2, settings = ?3 WHERE id = ?1";
    let values = params![row.id as i64, state_number(row.state), serde_json::to_string(&row.settings)?];
    tx.prepare_cached(update)?.execute(values)?;
    Ok(())
}

pub(super) fn delete_table(tx: &Tx<'_>, id: u64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM dynamodb_tag WHERE table_id = ?")?.execute([id as i64])?;
    tx.prepare_cached("DELETE FROM dynamodb_table WHERE id = ?")?.execute([id as i64])?;
    Ok(())
}

pub(super) fn tags(connection: &Connection, table: u64) -> Result<BTreeMap<String, String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT key, value FROM dynamodb_tag WHERE table_id = ? ORDER BY key")?;
    let rows = statement.query_map([table as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn put_tag(tx: &Tx<'_>, table: u64, key: &str, value: &str) -> Result<(), StoreError> {
    let put = "INSERT INTO dynamodb_tag VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = ?3";
    tx.prepare_cached(put)?.execute(params![table as i64, key, value])?;
    Ok(())
}

pub(super) fn remove_tag(tx: &Tx<'_>, table: u64, key: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM dynamodb_tag WHERE table_id = ? AND key = ?")?.execute(params![table as i64, key])?;
    Ok(())
}

/// An import's or export's row.
#[derive(Debug, Clone)]
pub(super) struct TransferRow {
    pub(super) seq: i64,
    pub(super) description: String,
}

fn transfer_row(row: &Row<'_>) -> rusqlite::Result<TransferRow> {
    Ok(TransferRow { seq: row.get(0)?, description: row.get(1)? })
}

const TRANSFER: &str = "seq, description";

/// A new import or export.
pub(super) struct NewTransfer<'a> {
    pub(super) kind: TransferKind,
    pub(super) id: &'a str,
    pub(super) table: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) description: &'a str,
}

pub(super) fn insert_transfer(tx: &Tx<'_>, new: &NewTransfer<'_>) -> Result<(), StoreError> {
    let insert = "INSERT INTO dynamodb_transfer (kind, id, table_name, token, description, started_ms) VALUES (?, ?, ?, ?, ?, ?)";
    let values = params![new.kind as i64, new.id, new.table, new.token, new.description, tx.now_ms()];
    tx.prepare_cached(insert)?.execute(values)?;
    Ok(())
}

pub(super) fn update_transfer(tx: &Tx<'_>, id: &str, description: &str) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE dynamodb_transfer SET description = ?2 WHERE id = ?1")?.execute(params![id, description])?;
    Ok(())
}

pub(super) fn transfer(connection: &Connection, kind: TransferKind, id: &str) -> Result<Option<TransferRow>, StoreError> {
    let select = format!("SELECT {TRANSFER} FROM dynamodb_transfer WHERE kind = ? AND id = ?");
    Ok(connection.prepare_cached(&select)?.query_row(params![kind as i64, id], transfer_row).optional()?)
}

/// The one that was asked for with a token since `since_ms`; an older one loses its token.
pub(super) fn transfer_of_token(
    tx: &Tx<'_>,
    kind: TransferKind,
    token: &str,
    since_ms: i64,
) -> Result<Option<TransferRow>, StoreError> {
    let forget = "UPDATE dynamodb_transfer SET token = NULL WHERE kind = ? AND token = ? AND started_ms < ?";
    tx.prepare_cached(forget)?.execute(params![kind as i64, token, since_ms])?;
    let select = format!("SELECT {TRANSFER} FROM dynamodb_transfer WHERE kind = ? AND token = ?");
    Ok(tx.prepare_cached(&select)?.query_row(params![kind as i64, token], transfer_row).optional()?)
}

/// The newest first, from the one before `before` on; of one table or of all.
pub(super) fn transfers(
    connection: &Connection,
    kind: TransferKind,
    table: Option<&str>,
    before: i64,
    limit: usize,
) -> Result<Vec<TransferRow>, StoreError> {
    let select = format!(
        "SELECT {TRANSFER} FROM dynamodb_transfer WHERE kind = ?1 AND (?2 IS NULL OR table_name = ?2) AND seq < ?3 ORDER BY seq DESC LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(&select)?;
    let rows = statement.query_map(params![kind as i64, table, before, limit as i64], transfer_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
