//! What mails say. The subjects are SNS's; JSON mails ("email-json") say what HTTP endpoints are sent.

use super::super::envelope::Handshake;
use super::super::message::Notice;
use super::super::sql::{SubscriptionRow, TopicRow};
use super::Outgoing;

const SENDER: &str = "Millpond";

/// Writes mails to one subscriber.
pub(super) struct Writer<'a> {
    pub(super) topic_arn: String,
    pub(super) topic: &'a TopicRow,
    pub(super) subscription: &'a SubscriptionRow,
    pub(super) confirm_link: String,
    pub(super) unsubscribe_link: String,
}

pub(super) fn subject(notice: &Notice) -> &str {
    notice.subject.as_deref().unwrap_or("AWS Notification Message")
}

pub(super) fn subject_of(handshake: Handshake) -> &'static str {
    match handshake {
        Handshake::Subscribe => "AWS Notification - Subscription Confirmation",
        Handshake::Unsubscribe => "AWS Notification - Unsubscribe Confirmation",
    }
}

impl Writer<'_> {
    pub(super) fn notification(&self, notice: &Notice) -> Outgoing {
        let text = notice.text(&self.subscription.protocol);
        let text = if notice.by_rule { unquoted(text) } else { text.to_owned() };
        let (topic, link) = (&self.topic_arn, &self.unsubscribe_link);
        let body = format!("{}\n\n-- \nSent by the topic {topic}.\nTo get no more of these, open\n{link}\n", text.trim_end());
        self.mail(&notice.message_id, subject(notice), body, notice.time_ms)
    }

    pub(super) fn handshake_text(&self, handshake: Handshake) -> String {
        let (topic, link, endpoint) = (&self.topic_arn, &self.confirm_link, &self.subscription.endpoint);
        match handshake {
            Handshake::Subscribe => format!(
                "Somebody has asked for messages of the topic\n{topic}\nto be sent to {endpoint}.\n\nTo confirm that you want them, \
                 open\n{link}\n\nIf you do not want them, do nothing. The link is valid for two days.\n"
            ),
            Handshake::Unsubscribe => format!(
                "Messages of the topic\n{topic}\nare sent to {endpoint} no more.\n\nIf that was a mistake, open\n{link}\n\nThe link is valid \
                 for two days.\n"
            ),
        }
    }

    pub(super) fn mail(&self, message_id: &str, subject: &str, body: String, time_ms: i64) -> Outgoing {
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
