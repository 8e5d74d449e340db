//! What buckets tell functions, queues and topics: the notifications that their owners set, and the changes that they are about.
//!
//! The rules are those of the S3 user guide, "Amazon S3 Event Notifications" and "Configuring event notifications using object key name
//! filtering". Whom a change is told is decided in the transaction that makes it: [`announce`] posts the change to the outbox together with the
//! notifications that want it, and posts nothing where none does. So a bucket without notifications pays nothing, a change and its
//! notifications are committed together, and what the owner sets later does not concern it. Sending it is the S3 service's part
//! (`crate::s3::listener`).

use super::objects::{Bucket, Cause, sequencer};
use millpond_store::{StoreError, Tx};
use serde::{Deserialize, Serialize};

/// The outbox's channel for changes that notifications want.
pub const CHANNEL: &str = "s3";

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Given, or made.
    pub id: String,
    /// What it is sent to.
    pub kind: DestinationKind,
    /// The ARN of the function, queue or topic.
    pub arn: String,
    /// For example `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// What the key must be like; `None` where none was given.
    pub filter: Option<Vec<FilterRule>>,
}

/// What a notification is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DestinationKind {
    /// A Lambda function.
    Function,
    /// An SQS queue.
    Queue,
    /// An SNS topic.
    Topic,
}

/// A rule of a filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterRule {
    /// `prefix` or `suffix`, in the case that was given.
    pub name: String,
    /// What the key begins or ends with.
    pub value: String,
}

impl Notification {
    /// The prefix and the suffix that a key must have.
    pub fn prefix_and_suffix(&self) -> (&str, &str) {
        let value = |name: &str| {
            let rules = self.filter.as_deref().unwrap_or_default();
            rules.iter().find(|rule| rule.name.eq_ignore_ascii_case(name)).map_or("", |rule| rule.value.as_str())
        };
        (value("prefix"), value("suffix"))
    }

    /// Whether it is about this change: `event` without `s3:`, for example `ObjectCreated:Put`.
    pub fn wants(&self, event: &str, key: &str) -> bool {
        let (prefix, suffix) = self.prefix_and_suffix();
        self.events.iter().any(|wanted| is_of(wanted, event))
            && given(prefix, |prefix| key.starts_with(prefix))
            && given(suffix, |suffix| key.ends_with(suffix))
    }
}

fn is_of(wanted: &str, event: &str) -> bool {
    let wanted = wanted.strip_prefix("s3:").unwrap_or(wanted);
    match wanted.strip_suffix('*') {
        Some(group) => event.starts_with(group),
        None => wanted == event,
    }
}

/// Whether a filter's value fits, as it is or decoded: AWS wants special characters of it URL-encoded, and a space as `+`.
fn given(value: &str, fits: impl Fn(&str) -> bool) -> bool {
    if value.is_empty() || fits(value) {
        return true;
    }
    if !value.contains(['%', '+']) {
        return false;
    }
    let spaced = value.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8().is_ok_and(|decoded| fits(&decoded))
}

/// A change, and whom it is told: a row of the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// For example `ObjectCreated:Put`.
    pub event: String,
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// The bucket's name.
    pub bucket: String,
    /// As it is, not encoded.
    pub key: String,
    /// Bytes; absent where the object is gone or its bytes are not what changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Without quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Of puts and deletes: see [`sequencer`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<String>,
    /// The account or service that asked.
    pub requester: String,
    /// Empty for the lake's own work.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_ip: String,
    /// Empty for the lake's own work.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// The notifications that want it.
    pub to: Vec<To>,
}

/// Whom a change is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct To {
    /// The notification's id.
    pub id: String,
    /// What it is sent to.
    pub kind: DestinationKind,
    /// Where it is.
    pub arn: String,
}

/// What changed, of one object.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct What<'a> {
    pub event: &'static str,
    pub key: &'a str,
    pub size: Option<u64>,
    pub etag: Option<&'a str>,
    pub seq: Option<i64>,
}

/// Posts a change to the outbox where the bucket has notifications that want it.
pub(super) fn announce(tx: &Tx<'_>, bucket: &Bucket, what: &What<'_>, cause: &Cause) -> Result<(), StoreError> {
    let wanting = bucket.settings.notifications.iter().filter(|notification| notification.wants(what.event, what.key));
    let to: Vec<To> = wanting.map(|of| To { id: of.id.clone(), kind: of.kind, arn: of.arn.clone() }).collect();
    if to.is_empty() {
        return Ok(());
    }
    let change = Change {
        event: what.event.to_owned(),
        time_ms: tx.now_ms(),
        bucket: bucket.name.clone(),
        key: what.key.to_owned(),
        size: what.size,
        etag: what.etag.map(str::to_owned),
        sequencer: what.seq.map(sequencer),
        requester: cause.requester.clone(),
        source_ip: cause.source_ip.clone(),
        request_id: cause.request_id.clone(),
        to,
    };
    tx.post(CHANNEL, None, &serde_json::to_string(&change)?)
}

/// The event of an object that came to be, by [`Cause::reason`].
pub(super) fn created(reason: &str) -> &'static str {
    match reason {
        "CopyObject" => "ObjectCreated:Copy",
        "CompleteMultipartUpload" => "ObjectCreated:CompleteMultipartUpload",
        "POST Object" => "ObjectCreated:Post",
        _ => "ObjectCreated:Put",
    }
}

/// The event of an object that is gone, by [`Cause::reason`].
pub(super) fn removed(reason: &str) -> &'static str {
    match reason {
        "Lifecycle Expiration" => "LifecycleExpiration:Delete",
        _ => "ObjectRemoved:Delete",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(events: &[&str], filter: &[(&str, &str)]) -> Notification {
        let rules = filter.iter().map(|(name, value)| FilterRule { name: (*name).into(), value: (*value).into() });
        Notification {
            id: "n".into(),
            kind: DestinationKind::Queue,
            arn: "arn:aws:sqs:us-east-1:000000000000:q".into(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            filter: Some(rules.collect()),
        }
    }

    #[test]
    fn a_notification_is_about_its_events_and_keys() {
        let put = "ObjectCreated:Put";
        for (events, filter, event, key, wanted) in [
            (&["s3:ObjectCreated:*"][..], &[][..], put, "a", true),
            (&["s3:ObjectCreated:*"], &[], "ObjectCreated:CompleteMultipartUpload", "a", true),
            (&["s3:ObjectCreated:Put"], &[], "ObjectCreated:Copy", "a", false),
            (&["s3:ObjectRemoved:*"], &[], put, "a", false),
            (&["s3:ObjectRemoved:*"], &[], "LifecycleExpiration:Delete", "a", false),
            (&["s3:ObjectRemoved:Delete", "s3:ObjectCreated:Put"], &[], put, "a", true),
            (&["s3:ObjectCreated:*"], &[("Prefix", "in/")], put, "in/a.csv", true),
            (&["s3:ObjectCreated:*"], &[("prefix", "in/"), ("suffix", ".csv")], put, "in/a.csv", true),
            (&["s3:ObjectCreated:*"], &[("prefix", "in/"), ("suffix", ".csv")], put, "in/a.CSV", false),
            (&["s3:ObjectCreated:*"], &[("prefix", "in/"), ("suffix", ".csv")], put, "out/a.csv", false),
            (&["s3:ObjectCreated:*"], &[("prefix", "y=1/")], put, "y=1/a", true),
            (&["s3:ObjectCreated:*"], &[("prefix", "y%3D1/")], put, "y=1/a", true),
            (&["s3:ObjectCreated:*"], &[("prefix", "a+b/")], put, "a b/x", true),
            (&["s3:ObjectCreated:*"], &[("prefix", "a+b/")], put, "a+b/x", true),
            (&["s3:ObjectCreated:*"], &[("prefix", "%ff")], put, "x", false),
        ] {
            assert_eq!(notification(events, filter).wants(event, key), wanted, "{events:?} {filter:?} {event} {key}");
        }
    }
}
