//! Mail: what it says, and how it leaves.

mod mailbox;
mod smtp;
mod text;

pub use mailbox::{Mail, Mailbox};
pub use smtp::{Smtp, SmtpError, SmtpSettings, SmtpTls};

use super::message::Notification;
use super::sql;
use super::{Sns, SnsError};
use crate::lake::Lake;
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use millpond_store::task::{NewTask, Task};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
    Notification(Notification),
    Confirmation { subscription_id: String, message_id: String },
}

pub(super) fn mail_task(what: MailTask) -> NewTask {
    NewTask::new(KIND, what).failures_max(FAILURES_MAX)
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

    /// The mail; `None` where nobody waits for it any more.
    async fn mail(&self, lake: &Lake, what: MailTask) -> Result<Option<Outgoing>, Failure> {
        let id = match &what {
            MailTask::Notification(notification) => notification.subscription_id.clone(),
            MailTask::Confirmation { subscription_id, .. } => subscription_id.clone(),
        };
        let look = move |connection: &rusqlite::Connection| {
            let Some(subscription) = sql::subscription_by_id(connection, &id)? else { return Ok(None) };
            let topic = sql::topic(connection, &subscription.topic)?;
            Ok::<_, SnsError>(topic.map(|topic| (subscription, topic)))
        };
        let found = lake.store.read(look).await.map_err(Failure::transient)?;
        let Some((subscription, topic)) = found else { return Ok(None) };
        let writer = text::Writer {
            endpoint: &self.sns.endpoint,
            topic_arn: self.sns.topic_arn(&topic.name),
            topic: &topic,
            subscription: &subscription,
            now_ms: lake.store.env().now_ms(),
        };
        match what {
            MailTask::Notification(notification) => Ok(Some(writer.notification(&notification))),
            MailTask::Confirmation { .. } if subscription.confirmed => Ok(None),
            MailTask::Confirmation { message_id, .. } => Ok(Some(writer.confirmation(&message_id))),
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
        match self.mail(lake, what).await? {
            Some(mail) => self.transport.send(mail, task).await,
            None => Ok(()),
        }
    }
}
