//! All SQL of SNS.

use super::attributes::SIZE_DEFAULT;
use super::mail::{Mail, Outgoing};
use super::message::Notice;
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

impl TopicRow {
    pub(super) fn is_fifo(&self) -> bool {
        self.attributes.get("FifoTopic").is_some_and(|value| value == "true")
    }

    /// Of a message with its attributes, and of a batch of them, in bytes.
    pub(super) fn size_max(&self) -> usize {
        self.attributes.get("MaximumMessageSize").and_then(|size| size.parse().ok()).unwrap_or(SIZE_DEFAULT)
    }
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

/// What a subscription waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// For its subscriber to confirm.
    Pending,
    /// For messages.
    Confirmed,
    /// For its subscriber to restore it.
    Ended,
}

impl State {
    fn of(number: i64) -> Self {
        match number {
            0 => Self::Pending,
            1 => Self::Confirmed,
            _ => Self::Ended,
        }
    }

    fn number(self) -> i64 {
        match self {
            Self::Pending => 0,
            Self::Confirmed => 1,
            Self::Ended => 2,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct SubscriptionRow {
    pub(super) seq: i64,
    pub(super) id: String,
    pub(super) topic: String,
    pub(super) protocol: String,
    pub(super) endpoint: String,
    pub(super) state: State,
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
        state: State::of(row.get(5)?),
        token: row.get(6)?,
        token_ms: row.get(7)?,
        attributes: serde_json::from_str(&attributes)?,
    })
}

impl SubscriptionRow {
    pub(super) fn is_confirmed(&self) -> bool {
        self.state == State::Confirmed
    }
}

/// One that has not ended.
pub(super) fn subscription(connection: &Connection, topic: &str, id: &str) -> Result<Option<SubscriptionRow>, StoreError> {
    let select = format!("{SUBSCRIPTION} WHERE s.id = ? AND t.name = ? AND s.state < 2");
    connection.prepare_cached(&select)?.query_and_then([id, topic], subscription_row)?.next().transpose()
}

/// One that may have ended.
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

/// Of one topic or of all, in the order in which they came, after the number `after`; none that have ended.
pub(super) fn subscriptions(
    connection: &Connection,
    topic: Option<i64>,
    after: i64,
    limit: usize,
) -> Result<Vec<SubscriptionRow>, StoreError> {
    // Two statements: one with `?1 IS NULL OR` would walk through the subscriptions of all topics.
    let of_topic = if topic.is_some() { "s.topic = ?3 AND" } else { "?3 IS NULL AND" };
    let select = format!("{SUBSCRIPTION} WHERE {of_topic} s.seq > ?1 AND s.state < 2 ORDER BY s.seq LIMIT ?2");
    let mut statement = connection.prepare_cached(&select)?;
    statement.query_and_then(params![after, limit as i64, topic], subscription_row)?.collect()
}

/// Those that wait for messages.
pub(super) fn receivers(
    connection: &Connection,
    topic: i64,
    after: i64,
    limit: usize,
) -> Result<Vec<SubscriptionRow>, StoreError> {
    let select = format!("{SUBSCRIPTION} WHERE s.topic = ?1 AND s.seq > ?2 AND s.state = 1 ORDER BY s.seq LIMIT ?3");
    let mut statement = connection.prepare_cached(&select)?;
    statement.query_and_then(params![topic, after, limit as i64], subscription_row)?.collect()
}

/// The protocols whose subscribers get a signed text from within the transaction that publishes: queues that do not get it raw, and functions.
pub(super) fn signed_protocols(connection: &Connection, topic: i64, after: i64) -> Result<Vec<String>, StoreError> {
    let select = "SELECT DISTINCT protocol FROM sns_subscription WHERE topic = ?1 AND seq > ?2 AND state = 1
                  AND (protocol = 'lambda' OR protocol = 'sqs' AND coalesce(attributes ->> '$.RawMessageDelivery', '') <> 'true')";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map([topic, after], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The subscriptions of a topic that have a filter policy.
pub(super) fn count_filters(connection: &Connection, topic: i64) -> Result<i64, StoreError> {
    let count =
        "SELECT count(*) FROM sns_subscription WHERE topic = ? AND state < 2 AND attributes ->> '$.FilterPolicy' IS NOT NULL";
    Ok(connection.prepare_cached(count)?.query_row([topic], |row| row.get(0))?)
}

/// Forgets the subscriptions of a topic that were not confirmed, or not restored, since `before_ms`.
pub(super) fn forget_unconfirmed(tx: &Tx<'_>, topic: i64, before_ms: i64) -> Result<(), StoreError> {
    let delete = "DELETE FROM sns_subscription WHERE topic = ? AND state <> 1 AND token_ms < ?";
    tx.prepare_cached(delete)?.execute([topic, before_ms])?;
    Ok(())
}

/// How many are confirmed, and how many are pending.
pub(super) fn count_subscriptions(connection: &Connection, topic: i64) -> Result<(i64, i64), StoreError> {
    let count =
        "SELECT count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 0) FROM sns_subscription WHERE topic = ?";
    Ok(connection.prepare_cached(count)?.query_row([topic], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

pub(super) fn insert_subscription(tx: &Tx<'_>, topic: i64, row: &SubscriptionRow) -> Result<(), StoreError> {
    let insert = "INSERT INTO sns_subscription (id, topic, protocol, endpoint, state, token, token_ms, attributes)
                  VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let attributes = serde_json::to_string(&row.attributes)?;
    let state = row.state.number();
    let SubscriptionRow { id, protocol, endpoint, token, token_ms, .. } = row;
    tx.prepare_cached(insert)?.execute(params![id, topic, protocol, endpoint, state, token, token_ms, attributes])?;
    Ok(())
}

/// Keeps state, token and attributes of one.
pub(super) fn update_subscription(tx: &Tx<'_>, row: &SubscriptionRow) -> Result<(), StoreError> {
    let update = "UPDATE sns_subscription SET state = ?2, token = ?3, token_ms = ?4, attributes = ?5 WHERE id = ?1";
    let attributes = serde_json::to_string(&row.attributes)?;
    let state = row.state.number();
    tx.prepare_cached(update)?.execute(params![row.id, state, row.token, row.token_ms, attributes])?;
    Ok(())
}

pub(super) fn delete_subscription(tx: &Tx<'_>, row: &SubscriptionRow) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM sns_subscription WHERE id = ?")?.execute([&row.id])?;
    Ok(())
}

/// Counts one more that was there and is no more.
pub(super) fn count_deleted(tx: &Tx<'_>, row: &SubscriptionRow) -> Result<(), StoreError> {
    let count = "UPDATE sns_topic SET deleted_subscriptions = deleted_subscriptions + 1 WHERE name = ?";
    tx.prepare_cached(count)?.execute([&row.topic])?;
    Ok(())
}

/// Keeps a message that tasks will send, of which there are none yet; answers its number.
pub(super) fn keep_notice(tx: &Tx<'_>, notice: &Notice) -> Result<i64, StoreError> {
    let insert = "INSERT INTO sns_message (uses, notice) VALUES (0, ?)";
    tx.prepare_cached(insert)?.execute([serde_json::to_string(notice)?])?;
    Ok(tx.last_insert_rowid())
}

/// Counts the tasks that refer to a kept message: `more` came. Where none is left, the message goes.
pub(super) fn use_notice(tx: &Tx<'_>, id: i64, more: i64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE sns_message SET uses = uses + ? WHERE id = ?")?.execute([more, id])?;
    tx.prepare_cached("DELETE FROM sns_message WHERE id = ? AND uses <= 0")?.execute([id])?;
    Ok(())
}

/// A kept message.
pub(super) fn notice(connection: &Connection, id: i64) -> Result<Option<Notice>, StoreError> {
    let select = "SELECT notice FROM sns_message WHERE id = ?";
    let text: Option<String> = connection.prepare_cached(select)?.query_row([id], |row| row.get(0)).optional()?;
    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
}

/// What became of a message that a FIFO topic took: its id and number.
pub(super) fn seen(
    connection: &Connection,
    topic: i64,
    scope: &str,
    deduplication_id: &str,
    now_ms: i64,
) -> Result<Option<(String, String)>, StoreError> {
    let select = "SELECT message_id, sequence_number FROM sns_seen WHERE topic = ? AND scope = ? AND deduplication_id = ? AND until_ms > ?";
    let mut statement = connection.prepare_cached(select)?;
    let row = statement.query_row(params![topic, scope, deduplication_id, now_ms], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(row.optional()?)
}

/// Remembers a message that a FIFO topic took, and forgets some that are older than needed.
pub(super) fn remember(tx: &Tx<'_>, topic: i64, scope: &str, notice: &Notice, until_ms: i64) -> Result<(), StoreError> {
    let forget = "DELETE FROM sns_seen WHERE (topic, scope, deduplication_id) IN
                  (SELECT topic, scope, deduplication_id FROM sns_seen WHERE until_ms <= ? ORDER BY until_ms LIMIT 100)";
    tx.prepare_cached(forget)?.execute([tx.now_ms()])?;
    let put = "INSERT OR REPLACE INTO sns_seen VALUES (?, ?, ?, ?, ?, ?)";
    let Notice { deduplication_id, message_id, sequence_number, .. } = notice;
    tx.prepare_cached(put)?.execute(params![topic, scope, deduplication_id, message_id, sequence_number, until_ms])?;
    Ok(())
}

/// The key that signs, and its certificate.
#[derive(Debug, Clone)]
pub(super) struct KeyRow {
    /// The certificate's file.
    pub(super) name: String,
    /// PEM.
    pub(super) certificate: String,
    /// PKCS #8, DER.
    pub(super) private_key: Vec<u8>,
}

pub(super) fn key(connection: &Connection) -> Result<Option<KeyRow>, StoreError> {
    let select = "SELECT name, certificate, private_key FROM sns_key ORDER BY id LIMIT 1";
    let row = |row: &Row<'_>| Ok(KeyRow { name: row.get(0)?, certificate: row.get(1)?, private_key: row.get(2)? });
    Ok(connection.prepare_cached(select)?.query_row([], row).optional()?)
}

/// Keeps a key where there is none yet; answers the one that counts.
pub(super) fn keep_key(tx: &Tx<'_>, made: &KeyRow) -> Result<KeyRow, StoreError> {
    let insert = "INSERT OR IGNORE INTO sns_key VALUES (1, ?, ?, ?)";
    tx.prepare_cached(insert)?.execute(params![made.name, made.certificate, made.private_key])?;
    Ok(key(tx)?.expect("it was just kept"))
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
