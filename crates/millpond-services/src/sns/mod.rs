//! SNS: topics, their subscribers, and the mail that these get.
//!
//! Publishing writes a task for each subscriber that wants the message, in one transaction; a worker sends each. A mail is sent at least once
//! (its `Message-ID` stays the same, so a repetition is recognisable), and into the kept mailbox exactly once.

mod attributes;
mod error;
mod filter;
pub mod mail;
mod message;
mod publish;
mod sql;
mod subscriptions;
mod tags;
mod target;
mod topics;

pub use error::SnsError;
pub use mail::{Mail, MailTransport, Mailbox, Outgoing, Smtp, SmtpSettings, SmtpTls};
pub use message::{Attribute, NewMessage};
pub use publish::BatchEntry;
pub use subscriptions::{NewSubscription, Subscribed, Subscription};
pub use topics::{NewTopic, Page};

use crate::lake::Lake;
use crate::runtime::Handler;
use millpond_core::arn::Arn;
use millpond_store::Component;
use std::sync::Arc;

/// SNS's tables.
pub const COMPONENT: Component = Component { name: "sns", migrations: &[include_str!("schema.sql")] };

/// What a listing answers in one page.
const PAGE: usize = 100;

/// The service; clones share it.
#[derive(Debug, Clone)]
pub struct Sns {
    lake: Lake,
    transport: Arc<dyn MailTransport>,
    endpoint: Arc<str>,
}

impl Sns {
    /// SNS over a lake. Mail goes through `transport`; the links in it begin with `endpoint` (`http://127.0.0.1:4566`).
    pub fn new(lake: Lake, transport: Arc<dyn MailTransport>, endpoint: String) -> Self {
        Self { lake, transport, endpoint: endpoint.trim_end_matches('/').into() }
    }

    /// Who sends the mail.
    pub fn handlers(&self) -> Vec<Arc<dyn Handler>> {
        vec![Arc::new(mail::MailHandler::new(self))]
    }

    fn topic_arn(&self, name: &str) -> String {
        self.lake.place.arn("sns", name).to_string()
    }

    /// The name of the topic that `arn` means, whether it exists or not.
    fn topic_name(&self, arn: &str) -> Result<String, SnsError> {
        let parsed = parse_arn("TopicArn", arn)?;
        match self.is_ours(&parsed) && !parsed.resource.contains(':') {
            true => Ok(parsed.resource),
            false => Err(SnsError::no_topic()),
        }
    }

    /// The topic's name and the subscription's id of a subscription's ARN.
    fn subscription_id(&self, arn: &str) -> Result<(String, String), SnsError> {
        let parsed = parse_arn("SubscriptionArn", arn)?;
        match parsed.resource.split_once(':') {
            Some((topic, id)) if self.is_ours(&parsed) => Ok((topic.into(), id.into())),
            Some(_) => Err(SnsError::no_subscription()),
            None => Err(SnsError::invalid("SubscriptionArn Reason: An ARN of a subscription ends with its id")),
        }
    }

    fn is_ours(&self, arn: &Arn) -> bool {
        arn.service == "sns" && arn.region == self.lake.place.region && arn.account == self.lake.place.account
    }
}

fn parse_arn(parameter: &str, text: &str) -> Result<Arn, SnsError> {
    text.parse().map_err(|_| match text.split(':').count() {
        parts @ 0..6 => SnsError::invalid(format!("{parameter} Reason: An ARN must have at least 6 elements, not {parts}")),
        _ => SnsError::invalid(format!("{parameter} Reason: '{text}' is not an ARN")),
    })
}

#[cfg(test)]
mod tests;
