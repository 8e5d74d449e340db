//! From a message to its subscribers.
//!
//! Queues and functions get it in the transaction that publishes; mails and HTTP requests become tasks, which refer to the message: it is kept
//! once, however many they are. A transaction serves a page of subscribers; where more follow, a task goes on, so that a topic with a million of
//! them holds up nobody. Nothing is signed on the writer thread: where a signature is needed that was not made before (a rule publishes, a
//! subscriber came meanwhile), the same task signs first and then goes on.

use super::attributes::{dead_letter_queue, is_raw};
use super::envelope::Notification;
use super::filter::{Filter, Looked};
use super::http::{HttpTask, http_task};
use super::mail::{MailTask, mail_task};
use super::message::Notice;
use super::signing::{Signature, Version};
use super::sql::{self, SubscriptionRow, TopicRow};
use super::{Sns, SnsError};
use crate::lake::Lake;
use crate::runtime::delivery::{Delivery, MessageAttribute, Parameters, RetryPolicy, Sender};
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use millpond_store::task::{NewTask, Task};
use millpond_store::{StoreError, Tx};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tasks that go on with a fan-out.
const KIND: &str = "sns.publish";

/// Subscribers that one transaction serves.
const PAGE: usize = 200;

/// "Amazon SNS message delivery retries": to queues and functions 100,015 attempts, over 23 days.
const RETRY: RetryPolicy = RetryPolicy { attempts_max: 100_014, age_max_seconds: 23 * 86_400 };

/// SQS takes so many attributes; a raw message with more cannot be delivered ("Amazon SNS raw message delivery").
const RAW_ATTRIBUTES_MAX: usize = 10;

/// The signatures of one message, by the protocol that gets the text.
#[derive(Debug, Clone, Default)]
pub(super) struct Signatures(BTreeMap<String, Signature>);

/// The payload of a [`KIND`] task.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Rest {
    /// Kept in `sns_message`.
    message: i64,
    /// The topic's number: one that was made anew under its name is another.
    topic: i64,
    /// Goes on after this subscription.
    after: i64,
}

struct FanOut<'a> {
    sns: &'a Sns,
    tx: &'a Tx<'a>,
    topic: &'a TopicRow,
    notice: &'a Notice,
    signatures: &'a Signatures,
    looked: Looked<'a>,
    kept: Cell<Option<i64>>,
}

impl Sns {
    /// What in-transaction subscribers of a message will need, signed.
    pub(super) async fn signatures(
        &self,
        topic: &TopicRow,
        protocols: Vec<String>,
        notice: &Notice,
    ) -> Result<Signatures, SnsError> {
        if protocols.is_empty() || topic.is_fifo() {
            return Ok(Signatures::default());
        }
        let texts = protocols.iter().map(|protocol| Notification::new(notice, protocol).canonical()).collect();
        let signed = self.sign(Version::of(topic.attributes.get("SignatureVersion")), texts).await?;
        Ok(Signatures(protocols.into_iter().zip(signed).collect()))
    }

    /// Hands a message to all subscribers that want it, or leaves a task that does.
    pub(super) fn fan_out(
        &self,
        tx: &Tx<'_>,
        topic: &TopicRow,
        notice: &Notice,
        signatures: &Signatures,
    ) -> Result<(), SnsError> {
        self.fan_out_after(tx, topic, notice, signatures, None, 0)
    }

    fn fan_out_after(
        &self,
        tx: &Tx<'_>,
        topic: &TopicRow,
        notice: &Notice,
        signatures: &Signatures,
        kept: Option<i64>,
        after: i64,
    ) -> Result<(), SnsError> {
        let looked = Looked::new(notice);
        let fan_out = FanOut { sns: self, tx, topic, notice, signatures, looked, kept: Cell::new(kept) };
        let unsigned = !topic.is_fifo()
            && sql::signed_protocols(tx, topic.id, after)?.iter().any(|protocol| !signatures.0.contains_key(protocol));
        if unsigned {
            return fan_out.later(after);
        }
        let page = sql::receivers(tx, topic.id, after, PAGE)?;
        let last = page.last().filter(|_| page.len() == PAGE).map(|row| row.seq);
        for subscription in &page {
            fan_out.serve(subscription)?;
        }
        last.map_or(Ok(()), |after| fan_out.later(after))
    }
}

impl FanOut<'_> {
    /// The number of the kept message, for one more task.
    fn keep(&self) -> Result<i64, SnsError> {
        let id = match self.kept.get() {
            Some(id) => id,
            None => sql::keep_notice(self.tx, self.notice)?,
        };
        self.kept.set(Some(id));
        sql::use_notice(self.tx, id, 1)?;
        Ok(id)
    }

    fn later(&self, after: i64) -> Result<(), SnsError> {
        let rest = Rest { message: self.keep()?, topic: self.topic.id, after };
        self.tx.enqueue(&NewTask::new(KIND, rest).failures_max(50))?;
        Ok(())
    }

    fn serve(&self, subscription: &SubscriptionRow) -> Result<(), SnsError> {
        let protocol = subscription.protocol.as_str();
        match Filter::compile(&subscription.attributes) {
            Ok(filter) if !filter.wants(&self.looked, protocol) => return Ok(()),
            // It was checked when it was set; a subscriber would rather get too much than nothing.
            Err(error) => tracing::error!(subscription = subscription.id, error, "a stored filter policy is not valid"),
            Ok(_) => {}
        }
        let subscription_id = subscription.id.clone();
        match protocol {
            "sqs" => self.to_queue(subscription),
            "lambda" => self.to_function(subscription),
            "http" | "https" => {
                let task = HttpTask::Notification { message: self.keep()?, subscription_id };
                Ok(self.tx.enqueue(&http_task(task)).map(drop)?)
            }
            _ => {
                let task = MailTask::Kept { message: self.keep()?, subscription_id };
                Ok(self.tx.enqueue(&mail_task(task)).map(drop)?)
            }
        }
    }

    fn to_queue(&self, subscription: &SubscriptionRow) -> Result<(), SnsError> {
        let parcel = self.sns.parcel(self.notice, subscription, self.signatures.0.get("sqs"));
        let mut delivery = self.sns.delivery(self.notice, subscription, subscription.endpoint.clone(), parcel);
        delivery.dead_letter = dead_letter_queue(&subscription.attributes);
        let attributes = delivery.parameters.attributes.len();
        if attributes > RAW_ATTRIBUTES_MAX {
            let reason = format!(
                "a raw message to a queue has up to {RAW_ATTRIBUTES_MAX} attributes, and the message {} has {attributes}; publish fewer, or \
                 turn RawMessageDelivery off",
                self.notice.message_id
            );
            let failure = Failure::lasting(reason).code("InvalidParameterValue");
            if self.sns.dead_letter(self.tx, &delivery, delivery.input.clone(), &failure)? {
                return Ok(());
            }
            return Ok(self.sns.targets.keep_failed(self.tx, &self.sns.lake, &delivery, &failure)?);
        }
        self.send(&delivery, None)
    }

    fn to_function(&self, subscription: &SubscriptionRow) -> Result<(), SnsError> {
        let Some(signature) = self.signatures.0.get("lambda") else {
            return Err(SnsError::Signing("a function's message was not signed before".into()));
        };
        let (arn, link) = (self.sns.subscription_arn(subscription), self.sns.unsubscribe_link(subscription));
        let notification = Notification::new(self.notice, "lambda");
        let parcel = Parcel { input: notification.event(signature, &arn, &link).into(), attributes: BTreeMap::new() };
        let mut delivery = self.sns.delivery(self.notice, subscription, subscription.endpoint.clone(), parcel);
        delivery.dead_letter = dead_letter_queue(&subscription.attributes);
        self.send(&delivery, Some(notification.envelope(Some(signature), &link).into()))
    }

    /// Delivers; what fails for good goes to the subscription's dead-letter queue (as `letter`, where that is another text) or becomes a dead
    /// letter of the lake; what fails for now is tried again.
    fn send(&self, delivery: &Delivery, letter: Option<Arc<str>>) -> Result<(), SnsError> {
        let (tx, lake, targets) = (self.tx, &self.sns.lake, &self.sns.targets);
        let Err(failure) = targets.deliver(tx, lake, delivery)? else { return Ok(()) };
        if !failure.retry {
            let letter = letter.unwrap_or_else(|| delivery.input.clone());
            if self.sns.dead_letter(tx, delivery, letter, &failure)? {
                return Ok(());
            }
        }
        Ok(targets.keep_failed(tx, lake, delivery, &failure)?)
    }
}

/// What a queue gets.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) input: Arc<str>,
    pub(super) attributes: BTreeMap<String, MessageAttribute>,
}

impl Sns {
    /// A message as a queue gets it for a subscription: the text and the attributes where it is raw, else an envelope.
    pub(super) fn parcel(&self, notice: &Notice, subscription: &SubscriptionRow, signature: Option<&Signature>) -> Parcel {
        let notification = Notification::new(notice, &subscription.protocol);
        match is_raw(&subscription.attributes) {
            true => Parcel { input: (*notification.text).into(), attributes: notice.attributes.clone() },
            false => {
                let envelope = notification.envelope(signature, &self.unsubscribe_link(subscription));
                Parcel { input: envelope.into(), attributes: BTreeMap::new() }
            }
        }
    }

    /// A delivery of a topic. FIFO topics hand order and deduplication on to FIFO queues; a standard queue takes the group alone.
    pub(super) fn delivery(&self, notice: &Notice, subscription: &SubscriptionRow, target: String, parcel: Parcel) -> Delivery {
        let fifo = target.ends_with(".fifo");
        let to_queue = target.starts_with("arn:aws:sqs:");
        Delivery {
            source: notice.topic_arn.clone(),
            target_id: self.subscription_arn(subscription),
            sender: Sender::Sns,
            input: parcel.input,
            event: None,
            parameters: Parameters {
                message_group_id: notice.group_id.clone().filter(|_| to_queue),
                message_deduplication_id: notice.deduplication_id.clone().filter(|_| fifo),
                attributes: parcel.attributes,
                ..Parameters::default()
            },
            retry: RETRY,
            dead_letter: None,
            target,
        }
    }

    /// Sends what cannot be delivered to the delivery's dead-letter queue; answers whether that took it.
    pub(super) fn dead_letter(
        &self,
        tx: &Tx<'_>,
        failed: &Delivery,
        input: Arc<str>,
        failure: &Failure,
    ) -> Result<bool, StoreError> {
        let Some(target) = failed.dead_letter.clone() else { return Ok(false) };
        let mut attributes = failed.parameters.attributes.clone();
        for (name, value) in [("ErrorCode", failure.code.unwrap_or("DeliveryFailed")), ("ErrorMessage", &failure.reason)] {
            if attributes.len() < RAW_ATTRIBUTES_MAX {
                attributes.entry(name.into()).or_insert_with(|| MessageAttribute::text(value));
            }
        }
        while attributes.len() > RAW_ATTRIBUTES_MAX {
            attributes.pop_last();
        }
        let parameters = Parameters { attributes, ..failed.parameters.clone() };
        let letter = Delivery { target, input, parameters, dead_letter: None, ..failed.clone() };
        Ok(self.targets.deliver(tx, &self.lake, &letter)?.is_ok())
    }
}

/// Goes on with fan-outs.
#[derive(Debug)]
pub(super) struct FanOutHandler {
    pub(super) sns: Sns,
}

#[async_trait]
impl Handler for FanOutHandler {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn concurrency(&self) -> usize {
        4
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let rest: Rest = serde_json::from_value(task.payload.clone()).map_err(Failure::lasting)?;
        let Rest { message, topic, after } = rest;
        let look = move |connection: &Connection| {
            let Some(notice) = sql::notice(connection, message)? else { return Ok(None) };
            let name = notice.topic_arn.rsplit(':').next().unwrap_or_default();
            let found = sql::topic(connection, name)?.filter(|found| found.id == topic);
            let Some(found) = found else { return Ok(None) };
            let protocols = sql::signed_protocols(connection, topic, after)?;
            Ok::<_, StoreError>(Some((notice, found, protocols)))
        };
        let found = lake.store.read(look).await?;
        let signed = match found {
            Some((notice, topic, protocols)) => {
                let signatures = self.sns.signatures(&topic, protocols, &notice).await.map_err(Failure::transient)?;
                Some((notice, topic, signatures))
            }
            // Its topic is gone, and nobody waits for it any more.
            None => None,
        };
        let (sns, held) = (self.sns.clone(), task.clone());
        let go_on = move |tx: &Tx<'_>| {
            if let Some((notice, topic, signatures)) = &signed {
                sns.fan_out_after(tx, topic, notice, signatures, Some(message), after)?;
            }
            sql::use_notice(tx, message, -1)?;
            Ok::<_, SnsError>(tx.finish_task(&held)?)
        };
        lake.store.write(go_on).await.map_err(|error| match error {
            SnsError::Store(error) => error.into(),
            other => Failure::transient(other),
        })
    }
}
