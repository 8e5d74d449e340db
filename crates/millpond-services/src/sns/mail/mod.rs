//! Mail: what it says, and how it leaves.

mod mailbox;
mod smtp;
mod text;

pub use mailbox::{Mail, Mailbox};
pub use smtp::{Smtp, SmtpError, SmtpSettings, SmtpTls};

use super::envelope::{Handshake, Notification};
use super::message::Notice;
use super::signing::Version;
use super::sql::{self, State, SubscriptionRow, TopicRow};
use super::{Sns, SnsError};
use crate::lake::Lake;
use crate::runtime::delivery::MessageAttribute;
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use millpond_store::task::{NewTask, Task};
use millpond_store::{StoreError, Tx};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use text::Writer;

/// Tasks that send one mail each.
const KIND: &str = "sns.mail";

/// SNS tries a mail server 50 times over about six hours ("Amazon SNS message delivery retries").
const FAILURES_MAX: u32 = 50;

/// Mails on their way at the same time at the most.
const CONCURRENCY: usize = 4;

/// A mail to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The same at every try: `<…@millpond>`.
    pub message_id: String,
    /// What the sender is called; the address is the transport's.
    pub from_name: String,
    /// An address.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Text; lines end with `\n`.
    pub body: String,
    /// Milliseconds since the epoch.
    pub time_ms: i64,
}

/// How mail leaves the lake.
#[async_trait]
pub trait MailTransport: Send + Sync + std::fmt::Debug {
    /// Sends a mail, which is what `task` is about. Where the transport keeps it in the lake, it finishes the task in the same transaction.
    async fn send(&self, mail: Outgoing, task: &Task) -> Result<(), Failure>;
}

/// What a mail is about: the payload of its task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum MailTask {
    /// A message, kept in `sns_message`.
    Kept { message: i64, subscription_id: String },
    /// A message as the first version wrote it: whole.
    Notification(WholeNotification),
    /// That a subscription is to be confirmed, or has ended.
    Confirmation {
        subscription_id: String,
        message_id: String,
        #[serde(default = "subscribe")]
        handshake: Handshake,
    },
}

fn subscribe() -> Handshake {
    Handshake::Subscribe
}

/// Of tasks that the first version left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct WholeNotification {
    message_id: String,
    topic_arn: String,
    subscription_id: String,
    subject: Option<String>,
    text: String,
    #[serde(default)]
    attributes: BTreeMap<String, WholeAttribute>,
    time_ms: i64,
    by_rule: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WholeAttribute {
    r#type: String,
    value: String,
}

impl From<WholeNotification> for Notice {
    fn from(whole: WholeNotification) -> Self {
        let one = |(name, WholeAttribute { r#type, value })| (name, MessageAttribute { data_type: r#type, value });
        Self {
            message_id: whole.message_id,
            topic_arn: whole.topic_arn,
            subject: whole.subject,
            body: whole.text,
            attributes: whole.attributes.into_iter().map(one).collect(),
            time_ms: whole.time_ms,
            by_rule: whole.by_rule,
            ..Self::default()
        }
    }
}

pub(super) fn mail_task(what: MailTask) -> NewTask {
    NewTask::new(KIND, what).failures_max(FAILURES_MAX)
}

/// The end of a mail's task, in the transaction that holds its result: where it was the last one about a message, that goes too.
fn finish(tx: &Tx<'_>, task: &Task) -> Result<(), StoreError> {
    if let Some(message) = task.payload["Kept"]["message"].as_i64() {
        sql::use_notice(tx, message, -1)?;
    }
    tx.finish_task(task)
}

/// All that a mail needs.
struct Job {
    subscription: SubscriptionRow,
    topic: TopicRow,
    what: What,
}

enum What {
    Notice(Box<Notice>),
    Handshake { message_id: String, handshake: Handshake },
}

/// Sends mail.
#[derive(Debug)]
pub struct MailHandler {
    transport: Arc<dyn MailTransport>,
    sns: Sns,
}

impl MailHandler {
    pub(super) fn new(sns: &Sns) -> Self {
        Self { transport: sns.transport.clone(), sns: sns.clone() }
    }

    /// `None` where nobody waits for the mail any more.
    async fn job(&self, lake: &Lake, task: MailTask) -> Result<Option<Job>, StoreError> {
        let look = move |connection: &Connection| {
            let (id, wanted) = match &task {
                MailTask::Kept { subscription_id, .. } => (subscription_id, State::Confirmed),
                MailTask::Notification(whole) => (&whole.subscription_id, State::Confirmed),
                MailTask::Confirmation { subscription_id, handshake: Handshake::Subscribe, .. } => {
                    (subscription_id, State::Pending)
                }
                MailTask::Confirmation { subscription_id, .. } => (subscription_id, State::Ended),
            };
            let found = sql::subscription_by_id(connection, id)?.filter(|row| row.state == wanted);
            let Some(subscription) = found else { return Ok(None) };
            let Some(topic) = sql::topic(connection, &subscription.topic)? else { return Ok(None) };
            let what = match task {
                MailTask::Kept { message, .. } => match sql::notice(connection, message)? {
                    Some(notice) => What::Notice(Box::new(notice)),
                    None => return Ok(None),
                },
                MailTask::Notification(whole) => What::Notice(Box::new(whole.into())),
                MailTask::Confirmation { message_id, handshake, .. } => What::Handshake { message_id, handshake },
            };
            Ok(Some(Job { subscription, topic, what }))
        };
        lake.store.read(look).await
    }

    async fn mail(&self, lake: &Lake, job: &Job) -> Result<Outgoing, SnsError> {
        let (sns, subscription) = (&self.sns, &job.subscription);
        let version = Version::of(job.topic.attributes.get("SignatureVersion"));
        let is_json = subscription.protocol == "email-json";
        let writer = Writer {
            topic_arn: sns.topic_arn(&job.topic.name),
            topic: &job.topic,
            subscription,
            confirm_link: sns.confirm_link(subscription),
            unsubscribe_link: sns.unsubscribe_link(subscription),
        };
        let mail = match &job.what {
            What::Notice(notice) if is_json => {
                let notification = Notification::new(notice, &subscription.protocol);
                let signature = sns.sign(version, vec![notification.canonical()]).await?.remove(0);
                let body = notification.envelope(Some(&signature), &writer.unsubscribe_link);
                writer.mail(&notice.message_id, text::subject(notice), body, notice.time_ms)
            }
            What::Notice(notice) => writer.notification(notice),
            What::Handshake { message_id, handshake } => {
                let body = match is_json {
                    true => sns.handshake(*handshake, message_id, subscription, version).await?,
                    false => writer.handshake_text(*handshake),
                };
                writer.mail(message_id, text::subject_of(*handshake), body, lake.store.env().now_ms())
            }
        };
        Ok(mail)
    }

    async fn finish(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let held = task.clone();
        match lake.store.write(move |tx| finish(tx, &held)).await {
            // The mailbox finished it together with the mail.
            Ok(()) | Err(StoreError::LeaseLost(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[async_trait]
impl Handler for MailHandler {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let what: MailTask = serde_json::from_value(task.payload.clone()).map_err(Failure::lasting)?;
        let Some(job) = self.job(lake, what).await? else { return self.finish(lake, task).await };
        let mail = self.mail(lake, &job).await.map_err(Failure::transient)?;
        let Err(failure) = self.transport.send(mail, task).await else { return self.finish(lake, task).await };
        let is_last = !failure.retry || task.is_last_try();
        match job.what {
            What::Notice(notice) if is_last => self.sns.give_up(task, &job.subscription, &job.topic, *notice, failure).await,
            _ => Err(failure),
        }
    }
}
