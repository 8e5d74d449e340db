//! All SQL of SNS.

use super::mail::{Mail, Outgoing};
use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeMap;

/// What an owner set, by AWS's names.
pub(super) type Attributes = BTreeMap<String, String>;

#[derive(Debug, Clone)]
pub(super) struct TopicRow {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) attributes: Attributes,
    pub(super) deleted: i64,
}

fn topic_row(row: &Row<'_>) -> Result<TopicRow, StoreError> {
    let attributes: String = row.get(2)?;
    Ok(TopicRow { id: row.get(0)?, name: row.get(1)?, attributes: serde_json::from_str(&attributes)?, deleted: row.get(3)? })
}

pub(super) fn topic(connection: &Connection, name: &str) -> Result<Option<TopicRow>, StoreError> {
    let select = "SELECT id, name, attributes, deleted_subscriptions FROM sns_topic WHERE name = ?";
    connection.prepare_cached(select)?.query_and_then([name], topic_row)?.next().transpose()
}

pub(super) fn topic_names(connection: &Connection, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT name FROM sns_topic WHERE name > ? ORDER BY name LIMIT ?")?;
    let rows = statement.query_map(params![after, limit as i64], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn count_topics(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.prepare_cached("SELECT count(*) FROM sns_topic")?.query_row([], |row| row.get(0))?)
}

pub(super) fn put_topic(tx: &Tx<'_>, name: &str, attributes: &Attributes) -> Result<(), StoreError> {
    let put = "INSERT INTO sns_topic (name, attributes) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET attributes = ?2";
    tx.prepare_cached(put)?.execute(params![name, serde_json::to_string(attributes)?])?;
    Ok(())
}

pub(super) fn delete_topic(tx: &Tx<'_>, id: i64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM sns_topic WHERE id = ?")?.execute([id])?;
    Ok(())
}

#[derive(Debug, Clone)]
pub(super) struct SubscriptionRow {
    pub(super) seq: i64,
    pub(super) id: String,
    pub(super) topic: String,
    pub(super) protocol: String,
    pub(super) endpoint: String,
    pub(super) confirmed: bool,
    pub(super) token: String,
    pub(super) token_ms: i64,
    pub(super) attributes: Attributes,
}

const SUBSCRIPTION: &str = "SELECT s.seq, s.id, t.name, s.protocol, s.endpoint, s.state, s.token, s.token_ms, s.attributes
                            FROM sns_subscription AS s JOIN sns_topic AS t ON t.id = s.topic";

fn subscription_row(row: &Row<'_>) -> Result<SubscriptionRow, StoreError> {
    let attributes: String = row.get(8)?;
    Ok(SubscriptionRow {
        seq: row.get(0)?,
        id: row.get(1)?,
        topic: row.get(2)?,
        protocol: row.get(3)?,
        endpoint: row.get(4)?,
        confirmed: row.get::<_, i64>(5)? == 1,
        token: row.get(6)?,
        token_ms: row.get(7)?,
        attributes: serde_json::from_str(&attributes)?,
    })
}

pub(super) fn subscription(connection: &Connection, topic: &str, id: &str) -> Result<Option<SubscriptionRow>, StoreError> {
    let select = format!("{SUBSCRIPTION} WHERE s.id = ? AND t.name = ?");
    connection.prepare_cached(&select)?.query_and_then([id, topic], subscription_row)?.next().transpose()
}

pub(super) fn subscription_by_id(connection: &Connection, id: &str) -> Result<Option<SubscriptionRow>, StoreError> {
    let select = format!("{SUBSCRIPTION} WHERE s.id = ?");
    connection.prepare_cached(&select)?.query_and_then([id], subscription_row)?.next().transpose()
}

pub(super) fn subscription_of(
    connection: &Connection,
    topic: i64,
    protocol: &str,
    endpoint: &str,
) -> Result<Option<SubscriptionRow>, StoreError> {
    let select = format!("{SUBSCRIPTION} WHERE s.topic = ? AND s.protocol = ? AND s.endpoint = ?");
    connection.prepare_cached(&select)?.query_and_then(params![topic, protocol, endpoint], subscription_row)?.next().transpose()
}

pub(super) fn subscription_by_token(
    connection: &Connection,
    topic: i64,
    token: &str,
) -> Result<Option<SubscriptionRow>, StoreError> {
    let select = format!("{SUBSCRIPTION} WHERE s.topic = ? AND s.token = ?");
    connection.prepare_cached(&select)?.query_and_then(params![topic, token], subscription_row)?.next().transpose()
}

/// Of one topic or of all, in the order in which they came, after the number `after`.
pub(super) fn subscriptions(
    connection: &Connection,
    topic: Option<i64>,
    after: i64,
    limit: usize,
) -> Result<Vec<SubscriptionRow>, StoreError> {
    let select = format!("{SUBSCRIPTION} WHERE (?1 IS NULL OR s.topic = ?1) AND s.seq > ?2 ORDER BY s.seq LIMIT ?3");
    let mut statement = connection.prepare_cached(&select)?;
    statement.query_and_then(params![topic, after, limit as i64], subscription_row)?.collect()
}

/// How many are confirmed, and how many are pending.
pub(super) fn count_subscriptions(connection: &Connection, topic: i64) -> Result<(i64, i64), StoreError> {
    let count = "SELECT coalesce(sum(state), 0), coalesce(sum(1 - state), 0) FROM sns_subscription WHERE topic = ?";
    Ok(connection.prepare_cached(count)?.query_row([topic], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

pub(super) fn insert_subscription(tx: &Tx<'_>, topic: i64, row: &SubscriptionRow) -> Result<(), StoreError> {
    let insert = "INSERT INTO sns_subscription (id, topic, protocol, endpoint, state, token, token_ms, attributes)
                  VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let attributes = serde_json::to_string(&row.attributes)?;
    let state = i64::from(row.confirmed);
    let SubscriptionRow { id, protocol, endpoint, token, token_ms, .. } = row;
    tx.prepare_cached(insert)?.execute(params![id, topic, protocol, endpoint, state, token, token_ms, attributes])?;
    Ok(())
}

/// Keeps state, token and attributes of one.
pub(super) fn update_subscription(tx: &Tx<'_>, row: &SubscriptionRow) -> Result<(), StoreError> {
    let update = "UPDATE sns_subscription SET state = ?2, token = ?3, token_ms = ?4, attributes = ?5 WHERE id = ?1";
    let attributes = serde_json::to_string(&row.attributes)?;
    let state = i64::from(row.confirmed);
    tx.prepare_cached(update)?.execute(params![row.id, state, row.token, row.token_ms, attributes])?;
    Ok(())
}

pub(super) fn delete_subscription(tx: &Tx<'_>, row: &SubscriptionRow) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM sns_subscription WHERE id = ?")?.execute([&row.id])?;
    let count = "UPDATE sns_topic SET deleted_subscriptions = deleted_subscriptions + 1 WHERE name = ?";
    tx.prepare_cached(count)?.execute([&row.topic])?;
    Ok(())
}

pub(super) fn tags(connection: &Connection, arn: &str) -> Result<Vec<(String, String)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT key, value FROM sns_tag WHERE arn = ? ORDER BY key")?;
    let rows = statement.query_map([arn], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn put_tag(tx: &Tx<'_>, arn: &str, key: &str, value: &str) -> Result<(), StoreError> {
    let put = "INSERT INTO sns_tag VALUES (?1, ?2, ?3) ON CONFLICT (arn, key) DO UPDATE SET value = ?3";
    tx.prepare_cached(put)?.execute([arn, key, value])?;
    Ok(())
}

pub(super) fn remove_tag(tx: &Tx<'_>, arn: &str, key: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM sns_tag WHERE arn = ? AND key = ?")?.execute([arn, key])?;
    Ok(())
}

pub(super) fn remove_tags(tx: &Tx<'_>, arn: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM sns_tag WHERE arn = ?")?.execute([arn])?;
    Ok(())
}

pub(super) fn keep_mail(tx: &Tx<'_>, mail: &Outgoing, keep: i64) -> Result<(), StoreError> {
    let insert = "INSERT INTO sns_mail (time_ms, message_id, sender, recipient, subject, body) VALUES (?, ?, ?, ?, ?, ?)";
    let Outgoing { message_id, from_name, to, subject, body, .. } = mail;
    tx.prepare_cached(insert)?.execute(params![tx.now_ms(), message_id, from_name, to, subject, body])?;
    let newest = tx.last_insert_rowid();
    tx.prepare_cached("DELETE FROM sns_mail WHERE id <= ?")?.execute([newest - keep])?;
    Ok(())
}

const MAIL: &str = "SELECT id, time_ms, message_id, sender, recipient, subject, body FROM sns_mail";

fn mail_row(row: &Row<'_>) -> rusqlite::Result<Mail> {
    Ok(Mail {
        id: row.get(0)?,
        time_ms: row.get(1)?,
        message_id: row.get(2)?,
        from: row.get(3)?,
        to: row.get(4)?,
        subject: row.get(5)?,
        body: row.get(6)?,
    })
}

/// The latest first.
pub(super) fn mails(connection: &Connection, before: i64, limit: usize) -> Result<Vec<Mail>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{MAIL} WHERE id < ? ORDER BY id DESC LIMIT ?"))?;
    let rows = statement.query_map([before, limit as i64], mail_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn mail(connection: &Connection, id: i64) -> Result<Option<Mail>, StoreError> {
    Ok(connection.prepare_cached(&format!("{MAIL} WHERE id = ?"))?.query_row([id], mail_row).optional()?)
}

pub(super) fn delete_mail(tx: &Tx<'_>, id: i64) -> Result<bool, StoreError> {
    Ok(tx.prepare_cached("DELETE FROM sns_mail WHERE id = ?")?.execute([id])? > 0)
}
