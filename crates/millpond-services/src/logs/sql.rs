//! All SQL of groups, streams and tags, and of adding events. Reading events has its own file (`scan`), removing them too (`sweep`).

use super::put::Event;
use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Bytes that AWS counts for an event besides its text.
pub(super) const EVENT_OVERHEAD: usize = 26;

#[derive(Debug, Clone)]
pub(super) struct GroupRow {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) class: String,
    pub(super) created_ms: i64,
    pub(super) retention_days: Option<i64>,
    pub(super) protected: bool,
    pub(super) bytes: i64,
}

const GROUP: &str = "SELECT id, name, class, created_ms, retention_days, protected, bytes FROM log_group";

fn group_row(row: &Row<'_>) -> rusqlite::Result<GroupRow> {
    Ok(GroupRow {
        id: row.get(0)?,
        name: row.get(1)?,
        class: row.get(2)?,
        created_ms: row.get(3)?,
        retention_days: row.get(4)?,
        protected: row.get(5)?,
        bytes: row.get(6)?,
    })
}

pub(super) fn group(connection: &Connection, name: &str) -> Result<Option<GroupRow>, StoreError> {
    Ok(connection.prepare_cached(&format!("{GROUP} WHERE name = ?"))?.query_row([name], group_row).optional()?)
}

/// Shows groups in the order of their names, from the first after `after` on, until `show` answers false.
pub(super) fn visit_groups(
    connection: &Connection,
    after: &str,
    mut show: impl FnMut(GroupRow) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(&format!("{GROUP} WHERE name > ? ORDER BY name"))?;
    let mut rows = statement.query([after])?;
    while let Some(row) = rows.next()? {
        if !show(group_row(row)?)? {
            break;
        }
    }
    Ok(())
}

pub(super) fn groups_with_retention(connection: &Connection) -> Result<Vec<GroupRow>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{GROUP} WHERE retention_days IS NOT NULL ORDER BY id"))?;
    Ok(statement.query_map([], group_row)?.collect::<Result<_, _>>()?)
}

pub(super) fn insert_group(tx: &Tx<'_>, name: &str, class: &str, protected: bool) -> Result<i64, StoreError> {
    let insert = "INSERT INTO log_group (name, class, created_ms, protected) VALUES (?, ?, ?, ?)";
    tx.prepare_cached(insert)?.execute(params![name, class, tx.now_ms(), protected])?;
    Ok(tx.last_insert_rowid())
}

pub(super) fn delete_group(tx: &Tx<'_>, id: i64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM log_group WHERE id = ?")?.execute([id])?;
    tx.prepare_cached("DELETE FROM log_tag WHERE group_id = ?")?.execute([id])?;
    Ok(())
}

pub(super) fn set_retention(tx: &Tx<'_>, id: i64, days: Option<i64>) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE log_group SET retention_days = ?2 WHERE id = ?1")?.execute(params![id, days])?;
    Ok(())
}

pub(super) fn set_protected(tx: &Tx<'_>, id: i64, protected: bool) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE log_group SET protected = ?2 WHERE id = ?1")?.execute(params![id, protected])?;
    Ok(())
}

pub(super) fn tags(connection: &Connection, group: i64) -> Result<Vec<(String, String)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT key, value FROM log_tag WHERE group_id = ? ORDER BY key")?;
    let rows = statement.query_map([group], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn put_tag(tx: &Tx<'_>, group: i64, key: &str, value: &str) -> Result<(), StoreError> {
    let put = "INSERT INTO log_tag VALUES (?1, ?2, ?3) ON CONFLICT (group_id, key) DO UPDATE SET value = ?3";
    tx.prepare_cached(put)?.execute(params![group, key, value])?;
    Ok(())
}

pub(super) fn remove_tag(tx: &Tx<'_>, group: i64, key: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM log_tag WHERE group_id = ? AND key = ?")?.execute(params![group, key])?;
    Ok(())
}

#[derive(Debug, Clone)]
pub(super) struct StreamRow {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) created_ms: i64,
    pub(super) first_ms: Option<i64>,
    pub(super) last_ms: Option<i64>,
    pub(super) ingested_ms: Option<i64>,
}

const STREAM: &str = "SELECT id, name, created_ms, first_ms, last_ms, ingested_ms FROM log_stream";

fn stream_row(row: &Row<'_>) -> rusqlite::Result<StreamRow> {
    Ok(StreamRow {
        id: row.get(0)?,
        name: row.get(1)?,
        created_ms: row.get(2)?,
        first_ms: row.get(3)?,
        last_ms: row.get(4)?,
        ingested_ms: row.get(5)?,
    })
}

pub(super) fn stream(connection: &Connection, group: i64, name: &str) -> Result<Option<StreamRow>, StoreError> {
    let select = format!("{STREAM} WHERE group_id = ? AND name = ?");
    Ok(connection.prepare_cached(&select)?.query_row(params![group, name], stream_row).optional()?)
}

pub(super) fn stream_name(connection: &Connection, id: i64) -> Result<Option<String>, StoreError> {
    let select = "SELECT name FROM log_stream WHERE id = ?";
    Ok(connection.prepare_cached(select)?.query_row([id], |row| row.get(0)).optional()?)
}

/// Those whose names begin with `prefix`, in the order of the names, after the name `after`; `limit` at the most.
pub(super) fn streams_by_name(
    connection: &Connection,
    group: i64,
    prefix: &str,
    after: Option<&str>,
    descending: bool,
    limit: usize,
) -> Result<Vec<StreamRow>, StoreError> {
    // What begins with a prefix lies between it and it followed by the last character that there is.
    let last = format!("{prefix}\u{10ffff}");
    let (low, high, order) = match (after, descending) {
        (None, _) => ("name >= ?2", "name <= ?3", if descending { "DESC" } else { "ASC" }),
        (Some(_), false) => ("name > ?2", "name <= ?3", "ASC"),
        (Some(_), true) => ("name >= ?2", "name < ?3", "DESC"),
    };
    let (from, to) = match (after, descending) {
        (None, _) => (prefix, last.as_str()),
        (Some(after), false) => (after.max(prefix), last.as_str()),
        (Some(after), true) => (prefix, after.min(last.as_str())),
    };
    let select = format!("{STREAM} WHERE group_id = ?1 AND {low} AND {high} ORDER BY name {order} LIMIT ?4");
    let mut statement = connection.prepare_cached(&select)?;
    let rows = statement.query_map(params![group, from, to, limit as i64], stream_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// In the order of their last events (those without one as if it were at 0), after (time, name) `after`.
pub(super) fn streams_by_time(
    connection: &Connection,
    group: i64,
    after: Option<(i64, &str)>,
    descending: bool,
    limit: usize,
) -> Result<Vec<StreamRow>, StoreError> {
    let (beyond, order, end) = if descending { ("<", "DESC", i64::MAX) } else { (">", "ASC", -1) };
    // The first condition on the time is one that the index can begin at.
    let select = format!(
        "{STREAM} WHERE group_id = ?1 AND coalesce(last_ms, 0) {beyond}= ?2 AND (coalesce(last_ms, 0) {beyond} ?2 OR name {beyond} ?3)
         ORDER BY coalesce(last_ms, 0) {order}, name {order} LIMIT ?4"
    );
    let (time_ms, name) = after.unwrap_or((end, ""));
    let mut statement = connection.prepare_cached(&select)?;
    let rows = statement.query_map(params![group, time_ms, name, limit as i64], stream_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn insert_stream(tx: &Tx<'_>, group: i64, name: &str) -> Result<i64, StoreError> {
    let insert = "INSERT INTO log_stream (group_id, name, created_ms) VALUES (?, ?, ?)";
    tx.prepare_cached(insert)?.execute(params![group, name, tx.now_ms()])?;
    Ok(tx.last_insert_rowid())
}

pub(super) fn delete_stream(tx: &Tx<'_>, id: i64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM log_stream WHERE id = ?")?.execute([id])?;
    Ok(())
}

/// Adds events, which are in the order of their times, and counts them. Answers the number of the last.
pub(super) fn insert_events(tx: &Tx<'_>, group: i64, stream: i64, events: &[Event]) -> Result<i64, StoreError> {
    let (Some(first), Some(last)) = (events.iter().map(|e| e.time_ms).min(), events.iter().map(|e| e.time_ms).max()) else {
        return Ok(tx.last_seq());
    };
    let insert = "INSERT INTO log_event (group_id, time_ms, seq, stream_id, ingested_ms, message) VALUES (?, ?, ?, ?, ?, ?)";
    let mut statement = tx.prepare_cached(insert)?;
    let mut bytes = 0;
    for event in events {
        statement.execute(params![group, event.time_ms, tx.next_seq(), stream, tx.now_ms(), event.message])?;
        bytes += event.message.len() + EVENT_OVERHEAD;
    }
    let update = "UPDATE log_stream SET first_ms = min(coalesce(first_ms, ?2), ?2), last_ms = max(coalesce(last_ms, ?3), ?3),
                  ingested_ms = ?4 WHERE id = ?1";
    tx.prepare_cached(update)?.execute(params![stream, first, last, tx.now_ms()])?;
    let update = "UPDATE log_group SET bytes = bytes + ?2 WHERE id = ?1";
    tx.prepare_cached(update)?.execute(params![group, bytes as i64])?;
    Ok(tx.last_seq())
}
