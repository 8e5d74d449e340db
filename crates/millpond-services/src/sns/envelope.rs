//! What subscribers get: the JSON messages of the page "Amazon SNS message formats", and the event that functions get.
//!
//! Members stand in AWS's order and with AWS's spaces, since people compare and some parse with less than a JSON parser.

use super::message::Notice;
use super::signing::{Signature, canonical};
use millpond_core::env::iso8601;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// A message for one subscriber.
#[derive(Debug, Clone)]
pub(super) struct Notification<'a> {
    pub(super) notice: &'a Notice,
    /// What subscribers of its protocol get.
    pub(super) text: Cow<'a, str>,
}

impl<'a> Notification<'a> {
    pub(super) fn new(notice: &'a Notice, protocol: &str) -> Self {
        Self { notice, text: Cow::Borrowed(notice.text(protocol)) }
    }

    /// What is signed.
    pub(super) fn canonical(&self) -> String {
        let Notice { message_id, topic_arn, subject, time_ms, .. } = self.notice;
        let timestamp = iso8601(*time_ms, true);
        let mut members = vec![
            ("Message", &*self.text),
            ("MessageId", message_id),
            ("Timestamp", &timestamp),
            ("TopicArn", topic_arn),
            ("Type", "Notification"),
        ];
        members.extend(subject.as_deref().map(|subject| ("Subject", subject)));
        canonical(&members)
    }

    /// For queues, HTTP and JSON mail. Messages of FIFO topics are not signed.
    pub(super) fn envelope(&self, signature: Option<&Signature>, unsubscribe_url: &str) -> String {
        let Notice { message_id, topic_arn, subject, time_ms, sequence_number, .. } = self.notice;
        let mut members: Vec<(&str, &str)> = vec![("Type", "Notification"), ("MessageId", message_id)];
        members.extend(sequence_number.as_deref().map(|number| ("SequenceNumber", number)));
        members.push(("TopicArn", topic_arn));
        members.extend(subject.as_deref().map(|subject| ("Subject", subject)));
        let timestamp = iso8601(*time_ms, true);
        members.extend([("Message", &*self.text), ("Timestamp", &*timestamp)]);
        members.extend(signature.iter().flat_map(|signature| signed(signature)));
        members.push(("UnsubscribeURL", unsubscribe_url));
        pretty(&members, &self.attributes())
    }

    /// For functions.
    pub(super) fn event(&self, signature: &Signature, subscription_arn: &str, unsubscribe_url: &str) -> String {
        let Notice { message_id, topic_arn, subject, time_ms, .. } = self.notice;
        json!({ "Records": [{
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": subscription_arn,
            "Sns": {
                "Type": "Notification",
                "MessageId": message_id,
                "TopicArn": topic_arn,
                "Subject": subject,
                "Message": self.text,
                "Timestamp": iso8601(*time_ms, true),
                "SignatureVersion": signature.version.as_str(),
                "Signature": signature.text,
                "SigningCertUrl": signature.certificate_url,
                "UnsubscribeUrl": unsubscribe_url,
                "MessageAttributes": self.attributes(),
            },
        }] })
        .to_string()
    }

    fn attributes(&self) -> Map<String, Value> {
        let one = |(name, attribute): (&String, &crate::runtime::delivery::MessageAttribute)| {
            (name.clone(), json!({ "Type": attribute.data_type, "Value": attribute.value }))
        };
        self.notice.attributes.iter().map(one).collect()
    }
}

fn signed(signature: &Signature) -> [(&'static str, &str); 3] {
    [
        ("SignatureVersion", signature.version.as_str()),
        ("Signature", &signature.text),
        ("SigningCertURL", &signature.certificate_url),
    ]
}

/// Whether a subscription begins or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Handshake {
    /// `SubscriptionConfirmation`
    Subscribe,
    /// `UnsubscribeConfirmation`
    Unsubscribe,
}

impl Handshake {
    /// The message's type.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Subscribe => "SubscriptionConfirmation",
            Self::Unsubscribe => "UnsubscribeConfirmation",
        }
    }
}

/// A message about the subscription itself.
#[derive(Debug, Clone)]
pub(super) struct Confirmation<'a> {
    pub(super) handshake: Handshake,
    pub(super) message_id: &'a str,
    pub(super) token: &'a str,
    pub(super) topic_arn: &'a str,
    pub(super) subscription_arn: &'a str,
    /// The link that confirms, or takes back the end.
    pub(super) url: String,
    pub(super) time_ms: i64,
}

impl Confirmation<'_> {
    fn text(&self) -> String {
        match self.handshake {
            Handshake::Subscribe => format!(
                "You have chosen to subscribe to the topic {}.\nTo confirm the subscription, visit the SubscribeURL included in this message.",
                self.topic_arn
            ),
            Handshake::Unsubscribe => format!(
                "You have chosen to deactivate subscription {}.\nTo cancel this operation and restore the subscription, visit the \
                 SubscribeURL included in this message.",
                self.subscription_arn
            ),
        }
    }

    /// What is signed.
    pub(super) fn canonical(&self) -> String {
        canonical(&[
            ("Message", &self.text()),
            ("MessageId", self.message_id),
            ("SubscribeURL", &self.url),
            ("Timestamp", &iso8601(self.time_ms, true)),
            ("Token", self.token),
            ("TopicArn", self.topic_arn),
            ("Type", self.handshake.kind()),
        ])
    }

    pub(super) fn envelope(&self, signature: &Signature) -> String {
        let (text, timestamp) = (self.text(), iso8601(self.time_ms, true));
        let mut members = vec![
            ("Type", self.handshake.kind()),
            ("MessageId", self.message_id),
            ("Token", self.token),
            ("TopicArn", self.topic_arn),
            ("Message", &*text),
            ("SubscribeURL", &*self.url),
            ("Timestamp", &*timestamp),
        ];
        members.extend(signed(signature));
        pretty(&members, &Map::new())
    }
}

fn pretty(members: &[(&str, &str)], attributes: &Map<String, Value>) -> String {
    let mut lines: Vec<String> = members.iter().map(|(name, value)| format!("  \"{name}\" : {}", Value::from(*value))).collect();
    if !attributes.is_empty() {
        let inner: Vec<String> =
            attributes.iter().map(|(name, value)| format!("    {} : {value}", Value::from(name.as_str()))).collect();
        lines.push(format!("  \"MessageAttributes\" : {{\n{}\n  }}", inner.join(",\n")));
    }
    format!("{{\n{}\n}}", lines.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::super::signing::Version;
    use super::*;
    use crate::runtime::delivery::MessageAttribute;

    fn notice() -> Notice {
        Notice {
            message_id: "m".into(),
            topic_arn: "arn:t".into(),
            subject: Some("s \"1\"".into()),
            body: "line\n\"two\"".into(),
            attributes: [("a.b".to_owned(), MessageAttribute::text("é"))].into(),
            time_ms: 1_714_564_800_123,
            ..Notice::default()
        }
    }

    fn signature() -> Signature {
        Signature { version: Version::Two, text: "sig".into(), certificate_url: "http://c".into() }
    }

    #[test]
    fn an_envelope_has_the_members_of_aws_in_their_order() {
        let notice = notice();
        let text = Notification::new(&notice, "sqs").envelope(Some(&signature()), "http://u");
        assert!(text.starts_with("{\n  \"Type\" : \"Notification\",\n  \"MessageId\" : \"m\",\n  \"TopicArn\" : \"arn:t\",\n"));
        let parsed: Map<String, Value> = serde_json::from_str(&text).unwrap();
        let names: Vec<&str> = parsed.keys().map(String::as_str).collect();
        let expected = [
            "Type",
            "MessageId",
            "TopicArn",
            "Subject",
            "Message",
            "Timestamp",
            "SignatureVersion",
            "Signature",
            "SigningCertURL",
            "UnsubscribeURL",
            "MessageAttributes",
        ];
        assert_eq!(names, expected);
        assert_eq!((&parsed["Message"], &parsed["Subject"]), (&json!("line\n\"two\""), &json!("s \"1\"")));
        assert_eq!(parsed["Timestamp"], "2024-05-01T12:00:00.123Z");
        assert_eq!(parsed["MessageAttributes"]["a.b"], json!({ "Type": "String", "Value": "é" }));
    }

    #[test]
    fn a_message_of_a_fifo_topic_has_a_number_and_no_signature() {
        let notice = Notice { sequence_number: Some("10".into()), subject: None, ..notice() };
        let parsed: Map<String, Value> = serde_json::from_str(&Notification::new(&notice, "sqs").envelope(None, "u")).unwrap();
        let names: Vec<&str> = parsed.keys().map(String::as_str).take(5).collect();
        assert_eq!(names, ["Type", "MessageId", "SequenceNumber", "TopicArn", "Message"]);
        assert!(!parsed.contains_key("Signature"));
    }

    #[test]
    fn a_function_gets_a_record() {
        let notice = Notice { subject: None, attributes: Default::default(), ..notice() };
        let event: Value =
            serde_json::from_str(&Notification::new(&notice, "lambda").event(&signature(), "arn:s", "http://u")).unwrap();
        let record = &event["Records"][0];
        assert_eq!((record["EventSource"].as_str(), record["EventSubscriptionArn"].as_str()), (Some("aws:sns"), Some("arn:s")));
        assert_eq!((&record["Sns"]["Subject"], &record["Sns"]["MessageAttributes"]), (&Value::Null, &json!({})));
        assert_eq!(record["Sns"]["SigningCertUrl"], "http://c");
    }

    #[test]
    fn the_subject_is_signed_where_there_is_one() {
        let notice = notice();
        let expected = "Message\nline\n\"two\"\nMessageId\nm\nSubject\ns \"1\"\nTimestamp\n2024-05-01T12:00:00.123Z\n\
                        TopicArn\narn:t\nType\nNotification\n";
        assert_eq!(Notification::new(&notice, "sqs").canonical(), expected);
        let bare = Notice { subject: None, ..notice };
        assert!(!Notification::new(&bare, "sqs").canonical().contains("Subject"));
    }
}
