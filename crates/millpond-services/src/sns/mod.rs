//! SNS: topics, their subscribers, and what these get.
//!
//! Publishing hands the message to each subscriber that wants it, in one transaction: to queues and functions as a delivery, to mail addresses and
//! HTTP endpoints as a task that a worker does. Each gets it at least once; a mail's `Message-ID` and a message's `MessageId` stay the same, so
//! that a repetition is recognisable, and the kept mailbox gets a mail exactly once. FIFO topics take a message once in five minutes, and hand it
//! to FIFO queues in the order of commits.

mod attributes;
mod confirm;
mod delivery_policy;
mod endpoints;
mod envelope;
mod error;
mod fanout;
mod filter;
mod http;
pub mod mail;
mod message;
mod policy;
mod publish;
mod signing;
mod sql;
mod subscriptions;
mod tags;
mod target;
mod topics;

pub use error::SnsError;
pub use mail::{Mail, MailTransport, Mailbox, Outgoing, Smtp, SmtpSettings, SmtpTls};
pub use message::{Attribute, NewMessage};
pub use publish::{BatchEntry, Published};
pub use subscriptions::{NewSubscription, Subscribed, Subscription};
pub use topics::{NewTopic, Page};

use crate::lake::Lake;
use crate::runtime::Handler;
use crate::runtime::delivery::Targets;
use millpond_core::arn::Arn;
use millpond_store::Component;
use sql::SubscriptionRow;
use std::sync::Arc;

/// SNS's tables.
pub const COMPONENT: Component =
    Component { name: "sns", migrations: &[include_str!("schema.sql"), include_str!("schema_2.sql")] };

/// What a listing answers in one page.
const PAGE: usize = 100;

/// The service; clones share it.
#[derive(Debug, Clone)]
pub struct Sns {
    lake: Lake,
    transport: Arc<dyn MailTransport>,
    endpoint: Arc<str>,
    targets: Targets,
    signer: Arc<signing::Signer>,
}

impl Sns {
    /// SNS over a lake. Mail goes through `transport`, messages to queues and functions through `targets`; the links in messages begin with
    /// `endpoint` (`http://127.0.0.1:4566`).
    pub fn new(lake: Lake, transport: Arc<dyn MailTransport>, endpoint: String, targets: Targets) -> Self {
        Self { lake, transport, endpoint: endpoint.trim_end_matches('/').into(), targets, signer: Arc::default() }
    }

    /// Who sends the mail and the requests, and goes on with what was published.
    pub fn handlers(&self) -> Vec<Arc<dyn Handler>> {
        vec![
            Arc::new(mail::MailHandler::new(self)),
            Arc::new(http::HttpHandler::new(self)),
            Arc::new(fanout::FanOutHandler { sns: self.clone() }),
        ]
    }

    fn subscription_arn(&self, row: &SubscriptionRow) -> String {
        format!("{}:{}", self.topic_arn(&row.topic), row.id)
    }

    /// Names and tokens have no characters that a query would have to escape.
    fn confirm_link(&self, row: &SubscriptionRow) -> String {
        format!("{}/?Action=ConfirmSubscription&TopicArn={}&Token={}", self.endpoint, self.topic_arn(&row.topic), row.token)
    }

    fn unsubscribe_link(&self, row: &SubscriptionRow) -> String {
        format!("{}/?Action=Unsubscribe&SubscriptionArn={}", self.endpoint, self.subscription_arn(row))
    }

    fn topic_arn(&self, name: &str) -> String {
        self.lake.place.arn("sns", name).to_string()
    }

    /// The name of the topic that `arn` means, whether it exists or not.
    fn topic_name(&self, arn: &str) -> Result<String, SnsError> {
        let parsed = parse_arn("TopicArn", arn)?;
        if parsed.service != "sns" || parsed.region != self.lake.place.region {
            return Err(SnsError::invalid("TopicArn"));
        }
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
            None => Err(SnsError::invalid("SubscriptionId")),
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
