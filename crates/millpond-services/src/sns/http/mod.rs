//! Subscribers by HTTP: what they are sent, how often, and how fast.
//!
//! A try ends in one of three ways. A status from 200 to 299 is a delivery. No answer within the time, a broken connection, 429 and 500 to 599 are
//! tried again as the delivery policy says. All others (redirects, which are not followed, and 400 to 499) end it at once. AWS says of these
//! that they are not tried again ("Send messages to HTTP/S endpoints: prepare your endpoint"); here they are dead letters besides, so that nothing
//! is lost without a word.

mod client;
mod pace;

use super::attributes::{dead_letter_queue, is_raw};
use super::delivery_policy::Effective;
use super::envelope::{Confirmation, Handshake, Notification};
use super::message::Notice;
use super::signing::Version;
use super::sql::{self, State, SubscriptionRow, TopicRow};
use super::{Sns, SnsError};
use crate::lake::Lake;
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use client::{Client, Outcome, Post};
use millpond_core::env::EnvExt;
use millpond_store::task::{NewTask, Task};
use millpond_store::{StoreError, Tx};
use pace::Pace;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// Tasks that send one request each.
const KIND: &str = "sns.http";

/// Requests on their way at the same time at the most.
const CONCURRENCY: usize = 64;

/// More than any delivery policy allows: the policy decides when a task has failed.
const FAILURES_MAX: u32 = 1000;

/// What a request is about: the payload of its task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum HttpTask {
    /// A message, kept in `sns_message`.
    Notification { message: i64, subscription_id: String },
    /// That a subscription is to be confirmed, or has ended.
    Handshake { subscription_id: String, message_id: String, handshake: Handshake },
}

pub(super) fn http_task(what: HttpTask) -> NewTask {
    NewTask::new(KIND, what).failures_max(FAILURES_MAX)
}

/// All that a try needs.
struct Job {
    subscription: SubscriptionRow,
    topic: TopicRow,
    notice: Option<Notice>,
}

/// Sends requests.
#[derive(Debug)]
pub(super) struct HttpHandler {
    sns: Sns,
    client: Client,
    pace: Pace,
}

impl HttpHandler {
    pub(super) fn new(sns: &Sns) -> Self {
        Self { sns: sns.clone(), client: Client::default(), pace: Pace::default() }
    }

    /// `None` where nobody waits for it any more.
    async fn job(&self, lake: &Lake, what: &HttpTask) -> Result<Option<Job>, StoreError> {
        let what = what.clone();
        let look = move |connection: &Connection| {
            let (id, message, wanted) = match &what {
                HttpTask::Notification { message, subscription_id } => (subscription_id, Some(*message), State::Confirmed),
                HttpTask::Handshake { subscription_id, handshake: Handshake::Subscribe, .. } => {
                    (subscription_id, None, State::Pending)
                }
                HttpTask::Handshake { subscription_id, .. } => (subscription_id, None, State::Ended),
            };
            let found = sql::subscription_by_id(connection, id)?.filter(|row| row.state == wanted);
            let Some(subscription) = found else { return Ok(None) };
            let Some(topic) = sql::topic(connection, &subscription.topic)? else { return Ok(None) };
            let notice = message.map(|message| sql::notice(connection, message)).transpose()?.flatten();
            let is_lost = message.is_some() && notice.is_none();
            Ok((!is_lost).then_some(Job { subscription, topic, notice }))
        };
        lake.store.read(look).await
    }

    async fn post(&self, what: &HttpTask, job: &Job, effective: &Effective) -> Result<Post, SnsError> {
        let version = Version::of(job.topic.attributes.get("SignatureVersion"));
        let plain = Post {
            protocol: job.subscription.protocol.clone(),
            url: job.subscription.endpoint.clone(),
            content_type: "text/plain; charset=UTF-8".into(),
            kind: "Notification",
            message_id: String::new(),
            topic_arn: self.sns.topic_arn(&job.topic.name),
            subscription_arn: None,
            is_raw: false,
            body: String::new(),
        };
        match (what, &job.notice) {
            (HttpTask::Handshake { message_id, handshake, .. }, _) => {
                let body = self.sns.handshake(*handshake, message_id, &job.subscription, version).await?;
                Ok(Post { kind: handshake.kind(), message_id: message_id.clone(), body, ..plain })
            }
            (HttpTask::Notification { .. }, None) => Err(SnsError::Signing("its message is not kept".into())),
            (HttpTask::Notification { .. }, Some(notice)) => self.notification(job, notice, effective, version, plain).await,
        }
    }

    async fn notification(
        &self,
        job: &Job,
        notice: &Notice,
        effective: &Effective,
        version: Version,
        plain: Post,
    ) -> Result<Post, SnsError> {
        let (sns, subscription) = (&self.sns, &job.subscription);
        let notification = Notification::new(notice, &subscription.protocol);
        let is_raw = is_raw(&subscription.attributes);
        let body = match is_raw {
            true => notification.text.to_string(),
            false => {
                let signature = sns.sign(version, vec![notification.canonical()]).await?.remove(0);
                notification.envelope(Some(&signature), &sns.unsubscribe_link(subscription))
            }
        };
        Ok(Post {
            content_type: effective.content_type(is_raw).to_owned(),
            message_id: notice.message_id.clone(),
            subscription_arn: Some(sns.subscription_arn(subscription)),
            is_raw,
            body,
            ..plain
        })
    }

    /// What follows a try that failed: another one, the dead-letter queue, or a dead letter.
    async fn failed(&self, lake: &Lake, task: &Task, job: Job, effective: &Effective, outcome: Outcome) -> Result<(), Failure> {
        let Outcome { reason, retry } = outcome;
        let endpoint = super::endpoints::shown(&job.subscription.protocol, job.subscription.endpoint.clone());
        let reason = format!("{endpoint} did not take the message: {reason}");
        let delay_ms = effective.retries.delay_ms(task.failures + 1).filter(|_| retry);
        if let Some(delay_ms) = delay_ms {
            let jitter = 0.9 + 0.2 * lake.store.env().random_unit();
            return Err(Failure::transient(reason).after((delay_ms as f64 * jitter) as i64));
        }
        let failure = Failure::lasting(format!("{reason} (tried {} times)", task.failures + 1)).code("HTTPDeliveryFailed");
        match job.notice {
            Some(notice) => self.sns.give_up(task, &job.subscription, &job.topic, notice, failure).await,
            None => Err(failure),
        }
    }

    async fn finish(&self, lake: &Lake, task: &Task, what: HttpTask) -> Result<(), Failure> {
        let held = task.clone();
        let finish = move |tx: &Tx<'_>| {
            if let HttpTask::Notification { message, .. } = what {
                sql::use_notice(tx, message, -1)?;
            }
            tx.finish_task(&held)
        };
        Ok(lake.store.write(finish).await?)
    }
}

#[async_trait]
impl Handler for HttpHandler {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let what: HttpTask = serde_json::from_value(task.payload.clone()).map_err(Failure::lasting)?;
        let Some(job) = self.job(lake, &what).await? else { return self.finish(lake, task, what).await };
        let policy = |attributes: &sql::Attributes| attributes.get("DeliveryPolicy").cloned();
        let (of_topic, own) = (policy(&job.topic.attributes), policy(&job.subscription.attributes));
        let effective = Effective::new(of_topic.as_ref(), own.as_ref());
        let rate = effective.throttle.and_then(|throttle| throttle.max_receives_per_second);
        let now_ms = lake.store.env().now_ms();
        let turn = self.pace.turn(&job.subscription.id, task.id, rate, now_ms);
        let _turn =
            turn.map_err(|wait_ms| Failure::transient("the endpoint has as many messages as it takes").postponed(wait_ms))?;
        let post = self.post(&what, &job, &effective).await.map_err(Failure::transient)?;
        match self.client.send(post).await {
            Ok(()) => self.finish(lake, task, what).await,
            Err(outcome) => self.failed(lake, task, job, &effective, outcome).await,
        }
    }
}

impl Sns {
    /// The signed text that asks a subscriber to confirm, or tells that a subscription has ended.
    pub(super) async fn handshake(
        &self,
        handshake: Handshake,
        message_id: &str,
        subscription: &SubscriptionRow,
        version: Version,
    ) -> Result<String, SnsError> {
        let (topic_arn, subscription_arn) = (self.topic_arn(&subscription.topic), self.subscription_arn(subscription));
        let confirmation = Confirmation {
            handshake,
            message_id,
            token: &subscription.token,
            topic_arn: &topic_arn,
            subscription_arn: &subscription_arn,
            url: self.confirm_link(subscription),
            time_ms: self.lake.store.env().now_ms(),
        };
        let signature = self.sign(version, vec![confirmation.canonical()]).await?.remove(0);
        Ok(confirmation.envelope(&signature))
    }

    /// The end of a message that an HTTP endpoint or a mail server never took: the subscription's dead-letter queue, else (as a failure that
    /// buries the task) the lake's dead letters.
    pub(super) async fn give_up(
        &self,
        task: &Task,
        subscription: &SubscriptionRow,
        topic: &TopicRow,
        notice: Notice,
        failure: Failure,
    ) -> Result<(), Failure> {
        let Some(queue) = dead_letter_queue(&subscription.attributes) else { return Err(failure) };
        let version = Version::of(topic.attributes.get("SignatureVersion"));
        let canonical = Notification::new(&notice, &subscription.protocol).canonical();
        let signature = self.sign(version, vec![canonical]).await.map_err(Failure::transient)?.remove(0);
        let parcel = self.parcel(&notice, subscription, Some(&signature));
        let mut delivery = self.delivery(&notice, subscription, queue.clone(), parcel);
        delivery.dead_letter = Some(queue.clone());
        let (sns, held, why) = (self.clone(), task.clone(), failure.clone());
        let bury = move |tx: &Tx<'_>| {
            let taken = sns.dead_letter(tx, &delivery, delivery.input.clone(), &why)?;
            if taken {
                let message =
                    held.payload.as_object().and_then(|what| what.values().next()).and_then(|what| what["message"].as_i64());
                message.map_or(Ok(()), |message| sql::use_notice(tx, message, -1))?;
                tx.finish_task(&held)?;
            }
            Ok::<_, StoreError>(taken)
        };
        match self.lake.store.write(bury).await? {
            true => Ok(()),
            false => Err(Failure {
                reason: format!("{}; and its dead-letter queue {queue} did not take it", failure.reason),
                ..failure
            }),
        }
    }
}
