use crate::runtime::delivery::MessageAttribute;
use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeMap;

/// Where a message lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sqs) struct Place {
    pub(in crate::sqs) space: i64,
    pub(in crate::sqs) sent_ms: i64,
    pub(in crate::sqs) id: i64,
}

/// What changes of a message.
#[derive(Debug, Clone)]
pub(in crate::sqs) struct State {
    pub(in crate::sqs) sent_ms: i64,
    pub(in crate::sqs) id: i64,
    pub(in crate::sqs) visible_ms: i64,
    pub(in crate::sqs) receives: u32,
    pub(in crate::sqs) received_ms: Option<i64>,
    pub(in crate::sqs) group: Option<String>,
    pub(in crate::sqs) source: Option<String>,
}

/// What never changes of a message.
#[derive(Debug, Clone, Default)]
pub(in crate::sqs) struct Body {
    pub(in crate::sqs) message_id: String,
    pub(in crate::sqs) body: String,
    pub(in crate::sqs) md5: String,
    pub(in crate::sqs) sender: String,
    pub(in crate::sqs) attributes: BTreeMap<String, MessageAttribute>,
    pub(in crate::sqs) attributes_md5: Option<String>,
    pub(in crate::sqs) trace: Option<String>,
    pub(in crate::sqs) group_id: Option<String>,
    pub(in crate::sqs) deduplication_id: Option<String>,
}

const STATE: &str = "m.sent_ms, m.id, m.visible_ms, m.receives, m.received_ms, m.grp, m.source";
const STATE_COLUMNS: usize = 7;
const BODY: &str =
    "b.message_id, b.body, b.md5, b.sender, b.attributes, b.attributes_md5, b.trace, b.group_id, b.deduplication_id";

fn state(row: &Row<'_>) -> rusqlite::Result<State> {
    Ok(State {
        sent_ms: row.get(0)?,
        id: row.get(1)?,
        visible_ms: row.get(2)?,
        receives: row.get(3)?,
        received_ms: row.get(4)?,
        group: row.get(5)?,
        source: row.get(6)?,
    })
}

fn body(row: &Row<'_>) -> Result<Body, StoreError> {
    let at = |column: usize| STATE_COLUMNS + column;
    let attributes = match row.get_ref(at(4))?.as_str_or_null().map_err(rusqlite::Error::from)? {
        Some(text) => serde_json::from_str(text)?,
        None => BTreeMap::new(),
    };
    Ok(Body {
        message_id: row.get(at(0))?,
        body: row.get(at(1))?,
        md5: row.get(at(2))?,
        sender: row.get(at(3))?,
        attributes,
        attributes_md5: row.get(at(5))?,
        trace: row.get(at(6))?,
        group_id: row.get(at(7))?,
        deduplication_id: row.get(at(8))?,
    })
}

fn whole(row: &Row<'_>) -> Result<(State, Body), StoreError> {
    Ok((state(row)?, body(row)?))
}

pub(in crate::sqs) fn insert_message(tx: &Tx<'_>, space: i64, new: &State) -> Result<(), StoreError> {
    let insert = "INSERT INTO sqs_message VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let values = params![space, new.sent_ms, new.id, new.visible_ms, new.receives, new.received_ms, new.group, new.source];
    tx.prepare_cached(insert)?.execute(values)?;
    Ok(())
}

pub(in crate::sqs) fn insert_body(tx: &Tx<'_>, id: i64, new: &Body) -> Result<(), StoreError> {
    let insert = "INSERT INTO sqs_body VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let attributes = match new.attributes.is_empty() {
        true => None,
        false => Some(serde_json::to_string(&new.attributes)?),
    };
    tx.prepare_cached(insert)?.execute(params![
        id,
        new.message_id,
        new.body,
        new.md5,
        new.sender,
        attributes,
        new.attributes_md5,
        new.trace,
        new.group_id,
        new.deduplication_id
    ])?;
    Ok(())
}

/// Gives what never changes of a message another id, and another message id where one is given.
pub(in crate::sqs) fn renew_body(tx: &Tx<'_>, id: i64, new_id: i64, message_id: Option<&str>) -> Result<(), StoreError> {
    let update = "UPDATE sqs_body SET id = ?2, message_id = coalesce(?3, message_id) WHERE id = ?1";
    tx.prepare_cached(update)?.execute(params![id, new_id, message_id])?;
    Ok(())
}

/// Counts messages that a space gained or lost. Answers how many it has now.
pub(in crate::sqs) fn count(tx: &Tx<'_>, space: i64, change: i64) -> Result<i64, StoreError> {
    let upsert = "INSERT INTO sqs_space VALUES (?1, ?2) ON CONFLICT DO UPDATE SET messages = messages + ?2 RETURNING messages";
    Ok(tx.prepare_cached(upsert)?.query_row([space, change], |row| row.get(0))?)
}

pub(in crate::sqs) fn counted(connection: &Connection, space: i64) -> Result<i64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT messages FROM sqs_space WHERE space = ?")?;
    Ok(statement.query_row([space], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Of the messages that may be received later than now: how many are in flight, and how many delayed.
pub(in crate::sqs) fn hidden(connection: &Connection, space: i64, now_ms: i64) -> Result<(i64, i64), StoreError> {
    let select = "SELECT count(*), coalesce(sum(receives = 0), 0) FROM sqs_message INDEXED BY sqs_message_visible
                  WHERE space = ? AND visible_ms > ?";
    let mut statement = connection.prepare_cached(select)?;
    let (all, delayed): (i64, i64) = statement.query_row([space, now_ms], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((all - delayed, delayed))
}

/// Messages whose time is over and that nobody has removed yet, up to a limit.
pub(in crate::sqs) fn expired(
    connection: &Connection,
    space: i64,
    sent_before_ms: i64,
    limit: usize,
) -> Result<Vec<State>, StoreError> {
    let select = format!("SELECT {STATE} FROM sqs_message AS m WHERE space = ? AND sent_ms <= ? ORDER BY sent_ms, id LIMIT ?");
    let mut statement = connection.prepare_cached(&select)?;
    Ok(statement.query_map(params![space, sent_before_ms, limit as i64], state)?.collect::<Result<_, _>>()?)
}

/// When the oldest message was sent.
pub(in crate::sqs) fn oldest(connection: &Connection, space: i64) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT sent_ms FROM sqs_message WHERE space = ? ORDER BY sent_ms LIMIT 1")?;
    Ok(statement.query_row([space], |row| row.get(0)).optional()?)
}

/// Messages of a standard queue that may be received now, the longest visible first.
pub(in crate::sqs) fn visible(
    connection: &Connection,
    space: i64,
    now_ms: i64,
    limit: usize,
) -> Result<Vec<(State, Body)>, StoreError> {
    let select = format!(
        "SELECT {STATE}, {BODY} FROM sqs_message AS m INDEXED BY sqs_message_visible CROSS JOIN sqs_body AS b ON b.id = m.id
         WHERE m.space = ? AND m.visible_ms <= ? ORDER BY m.visible_ms, m.receives, m.sent_ms, m.id LIMIT ?"
    );
    connection.prepare_cached(&select)?.query_and_then(params![space, now_ms, limit as i64], whole)?.collect()
}

/// When the next message of a standard queue may be received: a time that is past where one may be now.
pub(in crate::sqs) fn next_visible_ms(connection: &Connection, space: i64) -> Result<Option<i64>, StoreError> {
    let select = "SELECT visible_ms FROM sqs_message INDEXED BY sqs_message_visible WHERE space = ? ORDER BY visible_ms LIMIT 1";
    let mut statement = connection.prepare_cached(select)?;
    Ok(statement.query_row([space], |row| row.get(0)).optional()?)
}

pub(in crate::sqs) fn message(connection: &Connection, at: Place) -> Result<Option<State>, StoreError> {
    let select = format!("SELECT {STATE} FROM sqs_message AS m WHERE space = ? AND sent_ms = ? AND id = ?");
    let mut statement = connection.prepare_cached(&select)?;
    Ok(statement.query_row([at.space, at.sent_ms, at.id], state).optional()?)
}

pub(in crate::sqs) fn body_of(connection: &Connection, at: Place) -> Result<Option<(State, Body)>, StoreError> {
    let select = format!(
        "SELECT {STATE}, {BODY} FROM sqs_message AS m CROSS JOIN sqs_body AS b ON b.id = m.id
         WHERE m.space = ? AND m.sent_ms = ? AND m.id = ?"
    );
    connection.prepare_cached(&select)?.query_and_then([at.space, at.sent_ms, at.id], whole)?.next().transpose()
}

/// Hands a message out: one receive more, and hidden until `visible_ms`.
pub(in crate::sqs) fn take(tx: &Tx<'_>, at: Place, visible_ms: i64) -> Result<(), StoreError> {
    let update = "UPDATE sqs_message SET visible_ms = ?4, receives = receives + 1, received_ms = coalesce(received_ms, ?5)
                  WHERE space = ?1 AND sent_ms = ?2 AND id = ?3";
    tx.prepare_cached(update)?.execute([at.space, at.sent_ms, at.id, visible_ms, tx.now_ms()])?;
    Ok(())
}

pub(in crate::sqs) fn hide(tx: &Tx<'_>, at: Place, visible_ms: i64) -> Result<(), StoreError> {
    let update = "UPDATE sqs_message SET visible_ms = ?4 WHERE space = ?1 AND sent_ms = ?2 AND id = ?3";
    tx.prepare_cached(update)?.execute([at.space, at.sent_ms, at.id, visible_ms])?;
    Ok(())
}

/// Removes what changes of a message; `false` where it is not there.
pub(in crate::sqs) fn remove_message(tx: &Tx<'_>, at: Place) -> Result<bool, StoreError> {
    let delete = "DELETE FROM sqs_message WHERE space = ? AND sent_ms = ? AND id = ?";
    Ok(tx.prepare_cached(delete)?.execute([at.space, at.sent_ms, at.id])? > 0)
}

pub(in crate::sqs) fn remove_body(tx: &Tx<'_>, id: i64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM sqs_body WHERE id = ?")?.execute([id])?;
    Ok(())
}

/// Removes messages of a space that no queue has any more, up to a limit. Answers how many.
pub(in crate::sqs) fn clear_messages(tx: &Tx<'_>, space: i64, limit: usize) -> Result<usize, StoreError> {
    let bodies = "DELETE FROM sqs_body WHERE id IN (SELECT id FROM sqs_message WHERE space = ? ORDER BY sent_ms, id LIMIT ?)";
    tx.prepare_cached(bodies)?.execute(params![space, limit as i64])?;
    let messages = "DELETE FROM sqs_message WHERE (space, sent_ms, id) IN
                        (SELECT space, sent_ms, id FROM sqs_message WHERE space = ? ORDER BY sent_ms, id LIMIT ?)";
    Ok(tx.prepare_cached(messages)?.execute(params![space, limit as i64])?)
}

pub(in crate::sqs) fn forget_count(tx: &Tx<'_>, space: i64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM sqs_space WHERE space = ?")?.execute([space])?;
    Ok(())
}

/// Messages of a standard queue that may be received now and have a number up to `up_to`, without their bodies.
pub(in crate::sqs) fn movable(
    connection: &Connection,
    space: i64,
    now_ms: i64,
    up_to: i64,
    limit: usize,
) -> Result<Vec<State>, StoreError> {
    let select = format!(
        "SELECT {STATE} FROM sqs_message AS m INDEXED BY sqs_message_visible
         WHERE m.space = ? AND m.visible_ms <= ? AND m.id <= ? ORDER BY m.visible_ms, m.receives, m.sent_ms, m.id LIMIT ?"
    );
    let mut statement = connection.prepare_cached(&select)?;
    Ok(statement.query_map(params![space, now_ms, up_to, limit as i64], state)?.collect::<Result<_, _>>()?)
}

/// The first messages of a group, in their order, without their bodies.
pub(in crate::sqs) fn group_states(
    connection: &Connection,
    space: i64,
    group: &str,
    limit: usize,
) -> Result<Vec<State>, StoreError> {
    let select = format!(
        "SELECT {STATE} FROM sqs_message AS m INDEXED BY sqs_message_group WHERE m.space = ? AND m.grp = ? ORDER BY m.id LIMIT ?"
    );
    let mut statement = connection.prepare_cached(&select)?;
    Ok(statement.query_map(params![space, group, limit as i64], state)?.collect::<Result<_, _>>()?)
}
