use super::filter::Filter;
use super::mail::{MailTask, mail_task};
use super::message::{Checked, NewMessage, Notification, SIZE_MAX};
use super::sql::TopicRow;
use super::{Sns, SnsError, sql, topics};
use millpond_core::env::EnvExt;
use millpond_store::Tx;
use std::collections::BTreeSet;

/// An entry of `PublishBatch`.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchEntry {
    /// Distinct within the batch; 1 to 80 characters of `[A-Za-z0-9_-]`.
    pub id: String,
    /// What to publish.
    pub message: NewMessage,
}

impl Sns {
    /// `Publish` to a topic. Answers the message's id.
    pub async fn publish(&self, topic_arn: &str, message: NewMessage) -> Result<String, SnsError> {
        let (name, message) = (self.topic_name(topic_arn)?, message.check()?);
        let sns = self.clone();
        let publish = move |tx: &Tx<'_>| sns.publish_in(tx, &topics::find(tx, &name)?, &message, false);
        self.lake.store.write(publish).await
    }

    /// `PublishBatch`: all or none. Answers the messages' ids in the order of the entries.
    pub async fn publish_batch(&self, topic_arn: &str, entries: Vec<BatchEntry>) -> Result<Vec<String>, SnsError> {
        let name = self.topic_name(topic_arn)?;
        check_batch(&entries)?;
        let messages = entries.into_iter().map(|entry| entry.message.check()).collect::<Result<Vec<_>, _>>()?;
        let sns = self.clone();
        let publish = move |tx: &Tx<'_>| {
            let topic = topics::find(tx, &name)?;
            messages.iter().map(|message| sns.publish_in(tx, &topic, message, false)).collect()
        };
        self.lake.store.write(publish).await
    }

    /// Writes a task for each confirmed subscriber that wants the message.
    pub(super) fn publish_in(&self, tx: &Tx<'_>, topic: &TopicRow, checked: &Checked, by_rule: bool) -> Result<String, SnsError> {
        let message_id = tx.env().uuid();
        let topic_arn = self.topic_arn(&topic.name);
        let mut after = 0;
        loop {
            let page = sql::subscriptions(tx, Some(topic.id), after, super::PAGE)?;
            let Some(last) = page.last() else { return Ok(message_id) };
            after = last.seq;
            for subscription in page.into_iter().filter(|subscription| subscription.confirmed) {
                match Filter::compile(&subscription.attributes) {
                    Ok(filter) if !filter.wants(&checked.message) => continue,
                    // It was checked when it was set; a subscriber would rather get too much than nothing.
                    Err(error) => tracing::error!(subscription = subscription.id, error, "a stored filter policy is not valid"),
                    Ok(_) => {}
                }
                let notification = Notification {
                    message_id: message_id.clone(),
                    topic_arn: topic_arn.clone(),
                    text: checked.text(&subscription.protocol).to_owned(),
                    subscription_id: subscription.id,
                    subject: checked.message.subject.clone(),
                    attributes: checked.message.attributes_json(),
                    time_ms: tx.now_ms(),
                    by_rule,
                };
                tx.enqueue(&mail_task(MailTask::Notification(notification)))?;
            }
        }
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
            return Err(SnsError::InvalidBatchId(format!(
                "can only contain alphanumeric characters, hyphens and underscores: '{id}'"
            )));
        }
    }
    if entries.iter().map(|entry| &entry.id).collect::<BTreeSet<_>>().len() < entries.len() {
        return Err(SnsError::IdsNotDistinct);
    }
    if entries.iter().map(|entry| entry.message.size()).sum::<usize>() > SIZE_MAX {
        return Err(SnsError::BatchTooLong);
    }
    Ok(())
}
