//! What mails say. The subjects are SNS's; so are the members of JSON mails ("email-json"), but for the signature: the lake has no certificate.

use super::super::message::Notification;
use super::super::sql::{SubscriptionRow, TopicRow};
use super::Outgoing;
use millpond_core::env::iso8601;
use serde_json::{Map, Value, json};

const SENDER: &str = "Millpond";

/// Writes mails to one subscriber.
pub(super) struct Writer<'a> {
    pub(super) endpoint: &'a str,
    pub(super) topic_arn: String,
    pub(super) topic: &'a TopicRow,
    pub(super) subscription: &'a SubscriptionRow,
    pub(super) now_ms: i64,
}

impl Writer<'_> {
    pub(super) fn notification(&self, what: &Notification) -> Outgoing {
        let subject = what.subject.as_deref().unwrap_or("AWS Notification Message");
        let body = match self.is_json() {
            true => self.json_notification(what).to_string(),
            false => {
                let text = if what.by_rule { unquoted(&what.text) } else { what.text.clone() };
                let (topic, link) = (&self.topic_arn, self.unsubscribe_link());
                format!("{}\n\n-- \nSent by the topic {topic}.\nTo get no more of these, open\n{link}\n", text.trim_end())
            }
        };
        self.mail(&what.message_id, subject, body, what.time_ms)
    }

    pub(super) fn confirmation(&self, message_id: &str) -> Outgoing {
        let (topic, link) = (&self.topic_arn, self.confirm_link());
        let body = match self.is_json() {
            true => json!({
                "Type": "SubscriptionConfirmation",
                "MessageId": message_id,
                "Token": self.subscription.token,
                "TopicArn": topic,
                "Message": format!("{topic} is to send messages to {}. Visit the SubscribeURL to confirm.", self.subscription.endpoint),
                "SubscribeURL": link,
                "Timestamp": iso8601(self.now_ms, true),
            })
            .to_string(),
            false => format!(
                "Somebody has asked for messages of the topic\n{topic}\nto be sent to {}.\n\nTo confirm that you want them, open\n{link}\n\n\
                 If you do not want them, do nothing. The link is valid for two days.\n",
                self.subscription.endpoint
            ),
        };
        self.mail(message_id, "AWS Notification - Subscription Confirmation", body, self.now_ms)
    }

    fn mail(&self, message_id: &str, subject: &str, body: String, time_ms: i64) -> Outgoing {
        let name = self.topic.attributes.get("DisplayName").filter(|name| !name.is_empty());
        Outgoing {
            message_id: format!("<{message_id}.{}@millpond>", self.subscription.id),
            from_name: one_line(name.map_or(SENDER, String::as_str)),
            to: self.subscription.endpoint.clone(),
            subject: one_line(subject),
            body: body.replace("\r\n", "\n"),
            time_ms,
        }
    }

    fn json_notification(&self, what: &Notification) -> Value {
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| members.insert(name.into(), value);
        put("Type", "Notification".into());
        put("MessageId", what.message_id.as_str().into());
        put("TopicArn", self.topic_arn.as_str().into());
        if let Some(subject) = &what.subject {
            put("Subject", subject.as_str().into());
        }
        put("Message", what.text.as_str().into());
        put("Timestamp", iso8601(what.time_ms, true).into());
        put("UnsubscribeURL", self.unsubscribe_link().into());
        if !what.attributes.is_empty() {
            put("MessageAttributes", what.attributes.clone().into());
        }
        Value::Object(members)
    }

    fn is_json(&self) -> bool {
        self.subscription.protocol == "email-json"
    }

    /// Names and tokens have no characters that a query would have to escape.
    fn confirm_link(&self) -> String {
        let (endpoint, topic, token) = (self.endpoint, &self.topic_arn, &self.subscription.token);
        format!("{endpoint}/?Action=ConfirmSubscription&TopicArn={topic}&Token={token}")
    }

    fn unsubscribe_link(&self) -> String {
        format!("{}/?Action=Unsubscribe&SubscriptionArn={}:{}", self.endpoint, self.topic_arn, self.subscription.id)
    }
}

/// Nothing in a header may begin another one.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The text within the quotes, where all of it is quoted lines: what a rule's template makes. SNS sends the quotes along; people do not want them.
fn unquoted(text: &str) -> String {
    let lines = serde_json::Deserializer::from_str(text).into_iter::<String>().collect::<Result<Vec<_>, _>>();
    match lines {
        Ok(lines) if !lines.is_empty() => lines.join("\n"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_lines_of_a_template_lose_their_quotes_and_nothing_else_does() {
        for (text, expected) in [
            ("\"one\"\n\"two \\\"2\\\"\"", "one\ntwo \"2\""),
            ("\"one\"", "one"),
            ("{\"a\":1}", "{\"a\":1}"),
            ("plain \"text\"", "plain \"text\""),
            ("\"one\" {}", "\"one\" {}"),
            ("", ""),
        ] {
            assert_eq!(unquoted(text), expected);
        }
    }

    #[test]
    fn a_header_is_one_line() {
        assert_eq!(one_line("a\r\nBcc: x@y.z\0"), "a  Bcc: x@y.z ");
    }
}
