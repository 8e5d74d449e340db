//! PutBucketNotificationConfiguration, GetBucketNotificationConfiguration.
//!
//! EventBridge gets every change of a bucket that has it switched on. Functions, queues and topics are kept with their events and filters.
//! The rules are those of the S3 user guide, "Amazon S3 Event Notifications" and "Configuring event notifications using object key name
//! filtering".

use super::{S3, S3Error, bucket_of};
use crate::lake::objects;
use millpond_core::arn::Arn;
use millpond_core::env::EnvExt;
use millpond_store::StoreError;
use serde::{Deserialize, Serialize};

/// What a bucket tells, and to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notifications {
    /// Whether changes are sent to EventBridge.
    pub event_bridge: bool,
    /// To whom else.
    pub targets: Vec<Notification>,
}

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Given, or made.
    pub id: String,
    /// What it is sent to.
    pub kind: TargetKind,
    /// The target.
    pub arn: String,
    /// For example `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// What the key must be like; `None` where none was given.
    pub filter: Option<Vec<FilterRule>>,
}

/// What a notification is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetKind {
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

/// Notifications of a bucket at the most. S3 user guide, "Amazon S3 Event Notifications".
const TARGETS_MAX: usize = 100;

/// Bytes of a filter's value at the most.
const FILTER_SIZE_MAX: usize = 1024;

/// Events by their group; S3 API reference, "NotificationConfiguration".
const EVENTS: [(&str, &[&str]); 10] = [
    ("s3:ObjectCreated", &["Put", "Post", "Copy", "CompleteMultipartUpload"]),
    ("s3:ObjectRemoved", &["Delete", "DeleteMarkerCreated"]),
    ("s3:ObjectRestore", &["Post", "Completed", "Delete"]),
    (
        "s3:Replication",
        &["OperationFailedReplication", "OperationNotTracked", "OperationMissedThreshold", "OperationReplicatedAfterThreshold"],
    ),
    ("s3:LifecycleExpiration", &["Delete", "DeleteMarkerCreated"]),
    ("s3:ObjectTagging", &["Put", "Delete"]),
    ("s3:ObjectAnnotation", &["Put", "Delete"]),
    ("s3:ObjectAcl", &["Put"]),
    ("s3:ObjectRetention", &["Put"]),
    ("", &["s3:ReducedRedundancyLostObject", "s3:LifecycleTransition", "s3:IntelligentTiering"]),
];

fn wrong(message: impl Into<String>) -> S3Error {
    S3Error::InvalidArgument(message.into())
}

fn check_event(event: &str) -> Result<(), S3Error> {
    let known = EVENTS.iter().any(|(group, names)| match group.is_empty() {
        true => names.contains(&event),
        false => event
            .strip_prefix(group)
            .and_then(|rest| rest.strip_prefix(':'))
            .is_some_and(|name| name == "*" || names.contains(&name)),
    });
    if known { Ok(()) } else { Err(wrong(format!("The event '{event}' is not supported for notifications"))) }
}

fn events_overlap(one: &str, other: &str) -> bool {
    let covers = |wide: &str, narrow: &str| wide.strip_suffix('*').is_some_and(|group| narrow.starts_with(group));
    one == other || covers(one, other) || covers(other, one)
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

    fn check(&self, region: &str) -> Result<(), S3Error> {
        if self.id.len() > 255 {
            return Err(wrong("The Id of a notification may have 255 characters"));
        }
        if self.events.is_empty() {
            return Err(S3Error::MalformedXml(format!("the notification to '{}' names no event", self.arn)));
        }
        self.events.iter().try_for_each(|event| check_event(event))?;
        self.check_filter()?;
        self.check_arn(region)
    }

    fn check_filter(&self) -> Result<(), S3Error> {
        let rules = self.filter.as_deref().unwrap_or_default();
        for (index, rule) in rules.iter().enumerate() {
            let name = rule.name.to_ascii_lowercase();
            if !matches!(name.as_str(), "prefix" | "suffix") {
                return Err(wrong(format!("filter rule name must be either prefix or suffix, not '{}'", rule.name)));
            }
            if rules[..index].iter().any(|before| before.name.eq_ignore_ascii_case(&name)) {
                return Err(wrong(format!("Cannot specify more than one {name} rule in a filter.")));
            }
            if rule.value.len() > FILTER_SIZE_MAX {
                return Err(wrong("Size of filter rule value cannot exceed 1024 bytes in UTF-8 representation"));
            }
        }
        Ok(())
    }

    fn check_arn(&self, region: &str) -> Result<(), S3Error> {
        let malformed = || wrong(format!("The ARN is not well formed: '{}'", self.arn));
        let arn: Arn = self.arn.parse().map_err(|_| malformed())?;
        let account = arn.account.len() == 12 && arn.account.bytes().all(|byte| byte.is_ascii_digit());
        let (service, noun, name) = match self.kind {
            TargetKind::Function => ("lambda", "function", arn.resource.strip_prefix("function:").unwrap_or_default()),
            TargetKind::Queue => ("sqs", "queue", arn.resource.as_str()),
            TargetKind::Topic => ("sns", "topic", arn.resource.as_str()),
        };
        if arn.service != service || !account || name.is_empty() {
            return Err(wrong(format!("The ARN is not well formed: '{}' is not that of a {noun}", self.arn)));
        }
        if arn.region != region {
            return Err(wrong("The notification destination service region is not valid for the bucket location constraint"));
        }
        if name.ends_with(".fifo") {
            return Err(wrong(format!("FIFO {noun}s are not supported: '{}'", self.arn)));
        }
        Ok(())
    }

    fn overlaps(&self, other: &Self) -> bool {
        let same_event = self.events.iter().any(|one| other.events.iter().any(|two| events_overlap(one, two)));
        let ((prefix, suffix), (other_prefix, other_suffix)) = (self.prefix_and_suffix(), other.prefix_and_suffix());
        same_event
            && (prefix.starts_with(other_prefix) || other_prefix.starts_with(prefix))
            && (suffix.ends_with(other_suffix) || other_suffix.ends_with(suffix))
    }
}

impl Notifications {
    fn check(&self, region: &str) -> Result<(), S3Error> {
        if self.targets.len() > TARGETS_MAX {
            return Err(wrong(format!("A bucket may have {TARGETS_MAX} notifications, not {}", self.targets.len())));
        }
        for (index, one) in self.targets.iter().enumerate() {
            one.check(region)?;
            for other in &self.targets[..index] {
                if one.id == other.id {
                    return Err(wrong(format!("Same ID used for multiple configurations. IDs must be unique: '{}'", one.id)));
                }
                if !one.overlaps(other) {
                    continue;
                }
                let bare = one.filter.is_none() && other.filter.is_none();
                return Err(wrong(if bare {
                    "Configurations overlap. Configurations on the same bucket cannot share a common event type."
                } else {
                    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping \
                     for the same event type."
                }));
            }
        }
        Ok(())
    }
}

impl S3 {
    /// What a bucket tells, and to whom.
    pub async fn notifications(&self, bucket: &str) -> Result<Notifications, S3Error> {
        let settings = self.bucket(bucket).await?.settings;
        let parsed = settings.notifications.into_iter().map(serde_json::from_value).collect::<Result<_, _>>();
        Ok(Notifications { event_bridge: settings.event_bridge, targets: parsed.map_err(StoreError::from)? })
    }

    /// Replaces what a bucket tells, and to whom. Notifications without an id get one.
    pub async fn set_notifications(&self, bucket: &str, mut new: Notifications) -> Result<(), S3Error> {
        for target in new.targets.iter_mut().filter(|target| target.id.is_empty()) {
            target.id = self.lake.store.env().uuid();
        }
        let bucket = bucket.to_owned();
        let set = self.lake.store.write(move |tx| {
            let mut bucket = bucket_of(tx, &bucket)?;
            new.check(if bucket.region == "EU" { "eu-west-1" } else { &bucket.region })?;
            let values = new.targets.iter().map(serde_json::to_value).collect::<Result<_, _>>();
            bucket.settings.notifications = values.map_err(StoreError::from)?;
            bucket.settings.event_bridge = new.event_bridge;
            Ok(objects::update_bucket(tx, bucket.id, &bucket.settings)?)
        });
        set.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(kind: TargetKind, arn: &str, events: &[&str], filter: &[(&str, &str)]) -> Notification {
        let rules = filter.iter().map(|(name, value)| FilterRule { name: (*name).into(), value: (*value).into() }).collect();
        Notification {
            id: format!("{arn}{events:?}{filter:?}").chars().take(200).collect(),
            kind,
            arn: arn.into(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            filter: (!filter.is_empty()).then_some(rules),
        }
    }

    fn queue(events: &[&str], filter: &[(&str, &str)]) -> Notification {
        to(TargetKind::Queue, "arn:aws:sqs:us-east-1:000000000000:q", events, filter)
    }

    fn check(targets: &[Notification]) -> Result<(), S3Error> {
        Notifications { event_bridge: false, targets: targets.to_vec() }.check("us-east-1")
    }

    #[test]
    fn sound_configurations_are_taken() {
        let put: &[&str] = &["s3:ObjectCreated:Put"];
        check(&[queue(&["s3:ObjectCreated:*", "s3:LifecycleTransition"], &[]), queue(&["s3:ObjectRemoved:Delete"], &[])])
            .unwrap();
        check(&[queue(put, &[("Prefix", "a/")]), queue(put, &[("prefix", "b/")])]).unwrap();
        check(&[queue(put, &[("prefix", "a/"), ("suffix", ".csv")]), queue(put, &[("prefix", "a/"), ("suffix", ".json")])])
            .unwrap();
        check(&[to(TargetKind::Function, "arn:aws:lambda:us-east-1:000000000000:function:f:live", put, &[])]).unwrap();
        check(&[to(TargetKind::Topic, "arn:aws:sns:us-east-1:000000000000:t", put, &[])]).unwrap();
    }

    #[test]
    fn overlapping_configurations_are_refused() {
        for (one, other) in [
            (queue(&["s3:ObjectCreated:*"], &[]), queue(&["s3:ObjectCreated:Put"], &[])),
            (queue(&["s3:ObjectCreated:Put"], &[("prefix", "a")]), queue(&["s3:ObjectCreated:Put"], &[("prefix", "a/b")])),
            (queue(&["s3:ObjectCreated:Put"], &[("prefix", "a")]), queue(&["s3:ObjectCreated:Put"], &[("suffix", ".csv")])),
            (queue(&["s3:ObjectCreated:Put"], &[("suffix", "csv")]), queue(&["s3:ObjectCreated:Put"], &[("suffix", ".csv")])),
        ] {
            let error = check(&[one.clone(), other.clone()]).unwrap_err().to_string();
            assert!(error.starts_with("Configuration"), "{one:?} {other:?} {error}");
        }
    }

    #[test]
    fn unsound_notifications_are_refused_with_the_reason() {
        let put: &[&str] = &["s3:ObjectCreated:Put"];
        for (notification, reason) in [
            (queue(&["s3:ObjectCreated:Putt"], &[]), "not supported"),
            (queue(&["s3:ObjectCreated"], &[]), "not supported"),
            (queue(&[], &[]), "names no event"),
            (queue(put, &[("infix", "x")]), "either prefix or suffix"),
            (queue(put, &[("prefix", "x"), ("Prefix", "y")]), "more than one prefix"),
            (queue(put, &[("prefix", &"x".repeat(1025))]), "1024 bytes"),
            (to(TargetKind::Queue, "arn:aws:sns:us-east-1:000000000000:q", put, &[]), "not that of a queue"),
            (to(TargetKind::Queue, "q", put, &[]), "not well formed"),
            (to(TargetKind::Queue, "arn:aws:sqs:eu-west-1:000000000000:q", put, &[]), "region"),
            (to(TargetKind::Queue, "arn:aws:sqs:us-east-1:000000000000:q.fifo", put, &[]), "FIFO"),
            (to(TargetKind::Function, "arn:aws:lambda:us-east-1:000000000000:layer:f", put, &[]), "not that of a function"),
        ] {
            let error = check(std::slice::from_ref(&notification)).unwrap_err().to_string();
            assert!(error.contains(reason), "{notification:?}: {error}");
        }
    }
}
