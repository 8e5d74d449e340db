use super::super::{Sns, SnsError, sql};
use super::{MailTransport, Outgoing};
use crate::lake::Lake;
use crate::runtime::Failure;
use async_trait::async_trait;
use millpond_store::task::Task;

/// Mails that the lake keeps; the oldest go first.
const KEPT_MAX: i64 = 10_000;

/// A mail that the lake keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Counts up.
    pub id: i64,
    /// When it was kept, in milliseconds since the epoch.
    pub time_ms: i64,
    /// The same for every copy of a mail.
    pub message_id: String,
    /// What the sender is called.
    pub from: String,
    /// An address.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Text.
    pub body: String,
}

/// Keeps mail in the lake, for want of a mail server. Each exactly once.
#[derive(Debug)]
pub struct Mailbox {
    lake: Lake,
}

impl Mailbox {
    /// Over a lake.
    pub fn new(lake: Lake) -> Self {
        Self { lake }
    }
}

#[async_trait]
impl MailTransport for Mailbox {
    async fn send(&self, mail: Outgoing, task: &Task) -> Result<(), Failure> {
        let task = task.clone();
        let keep = self.lake.store.write(move |tx| {
            sql::keep_mail(tx, &mail, KEPT_MAX)?;
            super::finish(tx, &task)
        });
        Ok(keep.await?)
    }
}

impl Sns {
    /// The kept mails whose number is less than `before`, the latest first, `limit` at the most.
    pub async fn mailbox_list(&self, before: i64, limit: usize) -> Result<Vec<Mail>, SnsError> {
        Ok(self.lake.store.read(move |connection| sql::mails(connection, before, limit)).await?)
    }

    /// A kept mail.
    pub async fn mailbox_get(&self, id: i64) -> Result<Option<Mail>, SnsError> {
        Ok(self.lake.store.read(move |connection| sql::mail(connection, id)).await?)
    }

    /// Throws a kept mail away; answers whether there was one.
    pub async fn mailbox_delete(&self, id: i64) -> Result<bool, SnsError> {
        Ok(self.lake.store.write(move |tx| sql::delete_mail(tx, id)).await?)
    }
}
