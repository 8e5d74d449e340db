use super::fanout::Signatures;
use super::message::{Checked, NewMessage, Notice, Sent};
use super::sql::{self, TopicRow};
use super::{Sns, SnsError, topics};
use millpond_core::env::EnvExt;
use millpond_store::Tx;
use rusqlite::Connection;
use std::collections::BTreeSet;

/// A FIFO topic takes the same message once in this time.
const DEDUPLICATION_MS: i64 = 5 * 60 * 1000;

/// The first sequence number: AWS's have twenty digits.
const SEQUENCE_FIRST: u64 = 10_000_000_000_000_000_000;

/// An entry of `PublishBatch`.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchEntry {
    /// Distinct within the batch; 1 to 80 characters of `[A-Za-z0-9_-]`.
    pub id: String,
    /// What to publish.
    pub message: NewMessage,
}

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// All subscribers see the same.
    pub message_id: String,
    /// Twenty digits that grow, on FIFO topics. A message that was taken before has those of the first time.
    pub sequence_number: Option<String>,
}

impl Sns {
    /// `Publish` to a topic.
    pub async fn publish(&self, topic_arn: &str, message: NewMessage) -> Result<Published, SnsError> {
        let messages = vec![message.check()?];
        Ok(self.publish_all(topic_arn, messages).await?.remove(0))
    }

    /// `PublishBatch`: all or none, as SNS itself refuses a whole batch for one wrong entry. Answers in the order of the entries.
    pub async fn publish_batch(&self, topic_arn: &str, entries: Vec<BatchEntry>) -> Result<Vec<Published>, SnsError> {
        check_batch(&entries)?;
        let messages = entries.into_iter().map(|entry| entry.message.check()).collect::<Result<Vec<_>, _>>()?;
        self.publish_all(topic_arn, messages).await
    }

    async fn publish_all(&self, topic_arn: &str, messages: Vec<Checked>) -> Result<Vec<Published>, SnsError> {
        let name = self.topic_name(topic_arn)?;
        let wanted = name.clone();
        let look = move |connection: &Connection| {
            let topic = topics::find(connection, &wanted)?;
            let protocols = sql::signed_protocols(connection, topic.id, 0)?;
            Ok::<_, SnsError>((topic, protocols))
        };
        let (topic, protocols) = self.lake.store.read(look).await?;
        let size: usize = messages.iter().map(Checked::size).sum();
        if messages.len() > 1 && size > topic.size_max() {
            return Err(SnsError::BatchTooLong);
        }
        let mut ready = Vec::with_capacity(messages.len());
        for message in messages {
            let env = self.lake.store.env();
            let sent = Sent { message_id: env.uuid(), time_ms: env.now_ms() };
            let notice = message.for_topic(&topic, self.topic_arn(&topic.name), sent)?;
            let signatures = self.signatures(&topic, protocols.clone(), &notice).await?;
            ready.push((notice, signatures));
        }
        let sns = self.clone();
        let publish = move |tx: &Tx<'_>| {
            let topic = topics::find(tx, &name)?;
            ready.into_iter().map(|(notice, signatures)| sns.publish_in(tx, &topic, notice, &signatures)).collect()
        };
        self.lake.store.write(publish).await
    }

    /// Takes a message in a transaction and hands it to the topic's subscribers.
    pub(super) fn publish_in(
        &self,
        tx: &Tx<'_>,
        topic: &TopicRow,
        mut notice: Notice,
        signatures: &Signatures,
    ) -> Result<Published, SnsError> {
        if topic.is_fifo() {
            let by_group = topic.attributes.get("FifoThroughputScope").is_some_and(|scope| scope == "MessageGroup");
            let scope = notice.group_id.clone().filter(|_| by_group).unwrap_or_default();
            let id = notice.deduplication_id.clone().unwrap_or_default();
            if let Some((message_id, number)) = sql::seen(tx, topic.id, &scope, &id, tx.now_ms())? {
                return Ok(Published { message_id, sequence_number: Some(number) });
            }
            notice.sequence_number = Some((SEQUENCE_FIRST + tx.next_seq().unsigned_abs()).to_string());
            sql::remember(tx, topic.id, &scope, &notice, tx.now_ms() + DEDUPLICATION_MS)?;
        }
        self.fan_out(tx, topic, &notice, signatures)?;
        Ok(Published { message_id: notice.message_id, sequence_number: notice.sequence_number })
    }
}

fn check_batch(entries: &[BatchEntry]) -> Result<(), SnsError> {
    match entries.len() {
        0 => return Err(SnsError::EmptyBatch),
        11.. => return Err(SnsError::TooManyEntries),
        _ => {}
    }
    for BatchEntry { id, .. } in entries {
        if id.len() > 80 {
            return Err(SnsError::InvalidBatchId(format!("is too long: {id}")));
        }
        if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            return Err(SnsError::InvalidBatchId(format!("contains an impermissible character: {id}")));
        }
    }
    if entries.iter().map(|entry| &entry.id).collect::<BTreeSet<_>>().len() < entries.len() {
        return Err(SnsError::IdsNotDistinct);
    }
    Ok(())
}
