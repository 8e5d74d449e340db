use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeMap;

/// What an owner set, by AWS's names.
pub(in crate::sqs) type Attributes = BTreeMap<String, String>;

#[derive(Debug, Clone)]
pub(in crate::sqs) struct QueueRow {
    pub(in crate::sqs) id: i64,
    pub(in crate::sqs) name: String,
    pub(in crate::sqs) version: i64,
    pub(in crate::sqs) space: i64,
    pub(in crate::sqs) secret: Vec<u8>,
    pub(in crate::sqs) attributes: Attributes,
    pub(in crate::sqs) created_ms: i64,
    pub(in crate::sqs) modified_ms: i64,
    pub(in crate::sqs) purged_ms: Option<i64>,
}

const COLUMNS: &str = "id, name, version, space, secret, attributes, created_ms, modified_ms, purged_ms";

fn queue_row(row: &Row<'_>) -> Result<QueueRow, StoreError> {
    let attributes: String = row.get(5)?;
    Ok(QueueRow {
        id: row.get(0)?,
        name: row.get(1)?,
        version: row.get(2)?,
        space: row.get(3)?,
        secret: row.get(4)?,
        attributes: serde_json::from_str(&attributes)?,
        created_ms: row.get(6)?,
        modified_ms: row.get(7)?,
        purged_ms: row.get(8)?,
    })
}

/// Id and version of a queue: enough to know whether what was read of it before still holds.
pub(in crate::sqs) fn queue_version(connection: &Connection, name: &str) -> Result<Option<(i64, i64)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, version FROM sqs_queue WHERE name = ?")?;
    Ok(statement.query_row([name], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

pub(in crate::sqs) fn queue(connection: &Connection, name: &str) -> Result<Option<QueueRow>, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM sqs_queue WHERE name = ?");
    connection.prepare_cached(&select)?.query_and_then([name], queue_row)?.next().transpose()
}

pub(in crate::sqs) fn queue_name(connection: &Connection, id: i64) -> Result<Option<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT name FROM sqs_queue WHERE id = ?")?;
    Ok(statement.query_row([id], |row| row.get(0)).optional()?)
}

/// A new queue, before it has an id.
pub(in crate::sqs) struct NewQueueRow<'a> {
    pub(in crate::sqs) name: &'a str,
    pub(in crate::sqs) space: i64,
    pub(in crate::sqs) secret: &'a [u8],
    pub(in crate::sqs) attributes: &'a Attributes,
    pub(in crate::sqs) dead_letter: Option<&'a str>,
}

/// Answers the queue's id.
pub(in crate::sqs) fn insert_queue(tx: &Tx<'_>, new: &NewQueueRow<'_>) -> Result<i64, StoreError> {
    let insert = "INSERT INTO sqs_queue (name, version, space, secret, attributes, dead_letter, created_ms, modified_ms)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)";
    let attributes = serde_json::to_string(new.attributes)?;
    let values = params![new.name, tx.next_seq(), new.space, new.secret, attributes, new.dead_letter, tx.now_ms()];
    tx.prepare_cached(insert)?.execute(values)?;
    Ok(tx.last_insert_rowid())
}

pub(in crate::sqs) fn update_queue(
    tx: &Tx<'_>,
    id: i64,
    attributes: &Attributes,
    dead_letter: Option<&str>,
) -> Result<(), StoreError> {
    let update = "UPDATE sqs_queue SET attributes = ?2, dead_letter = ?3, version = ?4, modified_ms = ?5 WHERE id = ?1";
    let values = params![id, serde_json::to_string(attributes)?, dead_letter, tx.next_seq(), tx.now_ms()];
    tx.prepare_cached(update)?.execute(values)?;
    Ok(())
}

/// Gives a queue another space for its messages.
pub(in crate::sqs) fn purge_queue(tx: &Tx<'_>, id: i64, space: i64) -> Result<(), StoreError> {
    let update = "UPDATE sqs_queue SET space = ?2, purged_ms = ?3, version = ?4 WHERE id = ?1";
    tx.prepare_cached(update)?.execute(params![id, space, tx.now_ms(), tx.next_seq()])?;
    Ok(())
}

pub(in crate::sqs) fn delete_queue(tx: &Tx<'_>, id: i64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM sqs_tag WHERE queue = ?")?.execute([id])?;
    tx.prepare_cached("DELETE FROM sqs_queue WHERE id = ?")?.execute([id])?;
    Ok(())
}

/// Names that begin with `prefix`, after `after`, in their order.
pub(in crate::sqs) fn queue_names(
    connection: &Connection,
    prefix: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let select =
        "SELECT name FROM sqs_queue WHERE name >= ?1 AND name < ?1 || char(1114111) AND name > ?2 ORDER BY name LIMIT ?3";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map(params![prefix, after, limit as i64], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The queues whose dead letters go to `arn`, after `after`, by name.
pub(in crate::sqs) fn sources_of(
    connection: &Connection,
    arn: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let select = "SELECT name FROM sqs_queue WHERE dead_letter = ?1 AND name > ?2 ORDER BY name LIMIT ?3";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map(params![arn, after, limit as i64], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(in crate::sqs) fn tags(connection: &Connection, queue: i64) -> Result<BTreeMap<String, String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT key, value FROM sqs_tag WHERE queue = ? ORDER BY key")?;
    let rows = statement.query_map([queue], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(in crate::sqs) fn put_tag(tx: &Tx<'_>, queue: i64, key: &str, value: &str) -> Result<(), StoreError> {
    let put = "INSERT INTO sqs_tag VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = ?3";
    tx.prepare_cached(put)?.execute(params![queue, key, value])?;
    Ok(())
}

pub(in crate::sqs) fn remove_tag(tx: &Tx<'_>, queue: i64, key: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM sqs_tag WHERE queue = ? AND key = ?")?.execute(params![queue, key])?;
    Ok(())
}
