use super::{Body, Place, State};
use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, params};

/// Groups whose first message may be received now, the longest ready first.
pub(in crate::sqs) fn ready_groups(
    connection: &Connection,
    space: i64,
    now_ms: i64,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let select = "SELECT grp FROM sqs_group WHERE space = ? AND ready_ms <= ? ORDER BY ready_ms, grp LIMIT ?";
    let mut statement = connection.prepare_cached(select)?;
    Ok(statement.query_map(params![space, now_ms, limit as i64], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// When the next group is ready: a time that is past where one is now.
pub(in crate::sqs) fn next_ready_ms(connection: &Connection, space: i64) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT ready_ms FROM sqs_group WHERE space = ? ORDER BY ready_ms LIMIT 1")?;
    Ok(statement.query_row([space], |row| row.get(0)).optional()?)
}

/// The first messages of a group, in their order.
pub(in crate::sqs) fn group_messages(
    connection: &Connection,
    space: i64,
    group: &str,
    limit: usize,
) -> Result<Vec<(State, Body)>, StoreError> {
    let ids = "SELECT sent_ms, id FROM sqs_message INDEXED BY sqs_message_group WHERE space = ? AND grp = ? ORDER BY id LIMIT ?";
    let mut statement = connection.prepare_cached(ids)?;
    let places = statement
        .query_map(params![space, group, limit as i64], |row| Ok(Place { space, sent_ms: row.get(0)?, id: row.get(1)? }))?
        .collect::<Result<Vec<_>, _>>()?;
    places.into_iter().filter_map(|place| super::body_of(connection, place).transpose()).collect()
}

/// When the first message of a group may be received; `None` where the group has none.
pub(in crate::sqs) fn head_visible_ms(connection: &Connection, space: i64, group: &str) -> Result<Option<i64>, StoreError> {
    let select =
        "SELECT visible_ms FROM sqs_message INDEXED BY sqs_message_group WHERE space = ? AND grp = ? ORDER BY id LIMIT 1";
    let mut statement = connection.prepare_cached(select)?;
    Ok(statement.query_row(params![space, group], |row| row.get(0)).optional()?)
}

/// Makes a group known where it is not: its first message came.
pub(in crate::sqs) fn begin_group(tx: &Tx<'_>, space: i64, group: &str, ready_ms: i64) -> Result<(), StoreError> {
    let insert = "INSERT INTO sqs_group VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
    tx.prepare_cached(insert)?.execute(params![space, group, ready_ms])?;
    Ok(())
}

pub(in crate::sqs) fn ready_group(tx: &Tx<'_>, space: i64, group: &str, ready_ms: i64) -> Result<(), StoreError> {
    let update = "UPDATE sqs_group SET ready_ms = ?3 WHERE space = ?1 AND grp = ?2 AND ready_ms <> ?3";
    tx.prepare_cached(update)?.execute(params![space, group, ready_ms])?;
    Ok(())
}

pub(in crate::sqs) fn end_group(tx: &Tx<'_>, space: i64, group: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM sqs_group WHERE space = ? AND grp = ?")?.execute(params![space, group])?;
    Ok(())
}

/// Removes groups of a space that no queue has any more, up to a limit. Answers how many.
pub(in crate::sqs) fn clear_groups(tx: &Tx<'_>, space: i64, limit: usize) -> Result<usize, StoreError> {
    let mut select = tx.prepare_cached("SELECT grp FROM sqs_group WHERE space = ? LIMIT ?")?;
    let groups: Vec<String> = select.query_map(params![space, limit as i64], |row| row.get(0))?.collect::<Result<_, _>>()?;
    groups.iter().try_for_each(|group| end_group(tx, space, group))?;
    Ok(groups.len())
}

/// Delays the messages of a FIFO queue that were never received by another time: its delay applies to those that are there, too.
pub(in crate::sqs) fn delay_again(tx: &Tx<'_>, space: i64, delay_ms: i64) -> Result<(), StoreError> {
    let messages = "UPDATE sqs_message SET visible_ms = sent_ms + ?2 WHERE space = ?1 AND receives = 0";
    tx.prepare_cached(messages)?.execute([space, delay_ms])?;
    let groups = "UPDATE sqs_group SET ready_ms =
                    (SELECT m.visible_ms FROM sqs_message AS m WHERE m.space = sqs_group.space AND m.grp = sqs_group.grp ORDER BY m.id LIMIT 1)
                  WHERE space = ?1";
    tx.prepare_cached(groups)?.execute([space])?;
    Ok(())
}

/// What was sent under a deduplication id that still counts: its message id and its number.
pub(in crate::sqs) fn deduplicated(
    tx: &Tx<'_>,
    queue: i64,
    scope: &str,
    deduplication_id: &str,
) -> Result<Option<(String, i64)>, StoreError> {
    let select = "SELECT message_id, id FROM sqs_deduplication
                  WHERE queue = ? AND scope = ? AND deduplication_id = ? AND expires_ms > ?";
    let mut statement = tx.prepare_cached(select)?;
    let found = statement.query_row(params![queue, scope, deduplication_id, tx.now_ms()], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(found.optional()?)
}

/// A message that was sent, for the next five minutes.
pub(in crate::sqs) struct Deduplication<'a> {
    pub(in crate::sqs) queue: i64,
    pub(in crate::sqs) scope: &'a str,
    pub(in crate::sqs) deduplication_id: &'a str,
    pub(in crate::sqs) expires_ms: i64,
    pub(in crate::sqs) message_id: &'a str,
    pub(in crate::sqs) id: i64,
}

/// Remembers what was sent, and forgets a few whose time is over.
pub(in crate::sqs) fn remember(tx: &Tx<'_>, new: &Deduplication<'_>) -> Result<(), StoreError> {
    forget_deduplications(tx, new.queue, tx.now_ms(), 4)?;
    let put = "INSERT OR REPLACE INTO sqs_deduplication VALUES (?, ?, ?, ?, ?, ?)";
    let values = params![new.queue, new.scope, new.deduplication_id, new.expires_ms, new.message_id, new.id];
    tx.prepare_cached(put)?.execute(values)?;
    Ok(())
}

/// Forgets what was sent so long ago, up to a limit. (A `DELETE … WHERE (…) IN (SELECT … LIMIT …)` would look at all rows of the queue.)
pub(in crate::sqs) fn forget_deduplications(tx: &Tx<'_>, queue: i64, up_to_ms: i64, limit: usize) -> Result<usize, StoreError> {
    let old =
        "SELECT scope, deduplication_id FROM sqs_deduplication WHERE queue = ? AND expires_ms <= ? ORDER BY expires_ms LIMIT ?";
    let mut select = tx.prepare_cached(old)?;
    let rows = select.query_map(params![queue, up_to_ms, limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let gone = rows.collect::<Result<Vec<(String, String)>, _>>()?;
    let delete = "DELETE FROM sqs_deduplication WHERE queue = ? AND scope = ? AND deduplication_id = ?";
    let mut delete = tx.prepare_cached(delete)?;
    for (scope, id) in &gone {
        delete.execute(params![queue, scope, id])?;
    }
    Ok(gone.len())
}

pub(in crate::sqs) fn attempt(tx: &Tx<'_>, queue: i64, attempt: &str) -> Result<Option<String>, StoreError> {
    let select = "SELECT taken FROM sqs_attempt WHERE queue = ? AND attempt = ? AND expires_ms > ?";
    let mut statement = tx.prepare_cached(select)?;
    Ok(statement.query_row(params![queue, attempt, tx.now_ms()], |row| row.get(0)).optional()?)
}

pub(in crate::sqs) fn put_attempt(
    tx: &Tx<'_>,
    queue: i64,
    attempt: &str,
    expires_ms: i64,
    taken: &str,
) -> Result<(), StoreError> {
    forget_attempts(tx, queue, tx.now_ms(), 4)?;
    let put = "INSERT OR REPLACE INTO sqs_attempt VALUES (?, ?, ?, ?)";
    tx.prepare_cached(put)?.execute(params![queue, attempt, expires_ms, taken])?;
    Ok(())
}

pub(in crate::sqs) fn forget_attempts(tx: &Tx<'_>, queue: i64, up_to_ms: i64, limit: usize) -> Result<usize, StoreError> {
    let old = "SELECT attempt FROM sqs_attempt WHERE queue = ? AND expires_ms <= ? ORDER BY expires_ms LIMIT ?";
    let mut select = tx.prepare_cached(old)?;
    let rows = select.query_map(params![queue, up_to_ms, limit as i64], |row| row.get(0))?;
    let gone = rows.collect::<Result<Vec<String>, _>>()?;
    let mut delete = tx.prepare_cached("DELETE FROM sqs_attempt WHERE queue = ? AND attempt = ?")?;
    for attempt in &gone {
        delete.execute(params![queue, attempt])?;
    }
    Ok(gone.len())
}
