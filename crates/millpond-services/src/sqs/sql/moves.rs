use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};

#[derive(Debug, Clone)]
pub(in crate::sqs) struct MoveRow {
    pub(in crate::sqs) id: i64,
    pub(in crate::sqs) handle: String,
    pub(in crate::sqs) source: String,
    pub(in crate::sqs) destination: Option<String>,
    pub(in crate::sqs) rate: Option<u32>,
    pub(in crate::sqs) status: String,
    pub(in crate::sqs) moved: i64,
    pub(in crate::sqs) to_move: i64,
    /// The last number that was given out when it started: what came later is not moved.
    pub(in crate::sqs) up_to: i64,
    pub(in crate::sqs) failure: Option<String>,
    pub(in crate::sqs) started_ms: i64,
}

const COLUMNS: &str = "id, handle, source, destination, rate, status, moved, to_move, up_to, failure, started_ms";

fn move_row(row: &Row<'_>) -> rusqlite::Result<MoveRow> {
    Ok(MoveRow {
        id: row.get(0)?,
        handle: row.get(1)?,
        source: row.get(2)?,
        destination: row.get(3)?,
        rate: row.get(4)?,
        status: row.get(5)?,
        moved: row.get(6)?,
        to_move: row.get(7)?,
        up_to: row.get(8)?,
        failure: row.get(9)?,
        started_ms: row.get(10)?,
    })
}

/// Answers its id.
pub(in crate::sqs) fn insert_move(tx: &Tx<'_>, new: &MoveRow) -> Result<i64, StoreError> {
    let insert = "INSERT INTO sqs_move (handle, source, destination, rate, status, to_move, up_to, started_ms)
                  VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let values = params![new.handle, new.source, new.destination, new.rate, new.status, new.to_move, new.up_to, new.started_ms];
    tx.prepare_cached(insert)?.execute(values)?;
    Ok(tx.last_insert_rowid())
}

pub(in crate::sqs) fn move_by_id(connection: &Connection, id: i64) -> Result<Option<MoveRow>, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM sqs_move WHERE id = ?");
    Ok(connection.prepare_cached(&select)?.query_row([id], move_row).optional()?)
}

pub(in crate::sqs) fn move_by_handle(connection: &Connection, handle: &str) -> Result<Option<MoveRow>, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM sqs_move WHERE handle = ?");
    Ok(connection.prepare_cached(&select)?.query_row([handle], move_row).optional()?)
}

/// Of one source, the latest first.
pub(in crate::sqs) fn moves_of(connection: &Connection, source: &str, limit: usize) -> Result<Vec<MoveRow>, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM sqs_move WHERE source = ? ORDER BY id DESC LIMIT ?");
    let mut statement = connection.prepare_cached(&select)?;
    Ok(statement.query_map(params![source, limit as i64], move_row)?.collect::<Result<_, _>>()?)
}

pub(in crate::sqs) fn update_move(
    tx: &Tx<'_>,
    id: i64,
    status: &str,
    moved: i64,
    failure: Option<&str>,
) -> Result<(), StoreError> {
    let update = "UPDATE sqs_move SET status = ?2, moved = ?3, failure = ?4 WHERE id = ?1";
    tx.prepare_cached(update)?.execute(params![id, status, moved, failure])?;
    Ok(())
}

/// Keeps the latest of a source, and forgets the others.
pub(in crate::sqs) fn forget_moves(tx: &Tx<'_>, source: &str, keep: usize) -> Result<(), StoreError> {
    let delete = "DELETE FROM sqs_move WHERE source = ?1 AND id <= (SELECT id FROM sqs_move WHERE source = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
    tx.prepare_cached(delete)?.execute(params![source, keep as i64])?;
    Ok(())
}
