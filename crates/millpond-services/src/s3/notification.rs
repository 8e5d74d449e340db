//! PutBucketNotificationConfiguration, GetBucketNotificationConfiguration.
//!
//! EventBridge gets every change of a bucket that has it switched on; functions, queues and topics get the events that they are set for, of keys
//! that their filters let through ([`crate::lake::notify`]). The rules are those of the S3 user guide, "Amazon S3 Event Notifications" and "Configuring event notifications using object key name
//! filtering".

use super::{Caller, S3, S3Error, bucket_of, message};
use crate::lake::objects;
use crate::runtime::delivery::Sender;
use millpond_core::arn::Arn;
use millpond_core::env::EnvExt;
use millpond_store::Tx;
use std::collections::BTreeSet;

pub use crate::lake::notify::{DestinationKind, FilterRule, Notification};

/// What a bucket tells, and to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notifications {
    /// Whether changes are sent to EventBridge.
    pub event_bridge: bool,
    /// To whom else.
    pub targets: Vec<Notification>,
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

fn check_one(of: &Notification, regions: &[&str]) -> Result<(), S3Error> {
    if of.id.len() > 255 {
        return Err(wrong("The Id of a notification may have 255 characters"));
    }
    if of.events.is_empty() {
        return Err(S3Error::MalformedXml(format!("the notification to '{}' names no event", of.arn)));
    }
    of.events.iter().try_for_each(|event| check_event(event))?;
    check_filter(of)?;
    check_arn(of, regions)
}

fn check_filter(of: &Notification) -> Result<(), S3Error> {
    let rules = of.filter.as_deref().unwrap_or_default();
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

fn check_arn(of: &Notification, regions: &[&str]) -> Result<(), S3Error> {
    let malformed = || wrong(format!("The ARN is not well formed: '{}'", of.arn));
    let arn: Arn = of.arn.parse().map_err(|_| malformed())?;
    let account = arn.account.len() == 12 && arn.account.bytes().all(|byte| byte.is_ascii_digit());
    let (service, noun, name) = match of.kind {
        DestinationKind::Function => ("lambda", "function", arn.resource.strip_prefix("function:").unwrap_or_default()),
        DestinationKind::Queue => ("sqs", "queue", arn.resource.as_str()),
        DestinationKind::Topic => ("sns", "topic", arn.resource.as_str()),
    };
    if arn.service != service || !account || name.is_empty() {
        return Err(wrong(format!("The ARN is not well formed: '{}' is not that of a {noun}", of.arn)));
    }
    if !regions.contains(&arn.region.as_str()) {
        return Err(wrong("The notification destination service region is not valid for the bucket location constraint"));
    }
    if name.ends_with(".fifo") {
        return Err(wrong(format!("FIFO {noun}s are not supported: '{}'", of.arn)));
    }
    Ok(())
}

fn overlaps(of: &Notification, other: &Notification) -> bool {
    let same_event = of.events.iter().any(|one| other.events.iter().any(|two| events_overlap(one, two)));
    let ((prefix, suffix), (other_prefix, other_suffix)) = (of.prefix_and_suffix(), other.prefix_and_suffix());
    same_event
        && (prefix.starts_with(other_prefix) || other_prefix.starts_with(prefix))
        && (suffix.ends_with(other_suffix) || other_suffix.ends_with(suffix))
}

impl Notifications {
    fn check(&self, regions: &[&str]) -> Result<(), S3Error> {
        if self.targets.len() > TARGETS_MAX {
            return Err(wrong(format!("A bucket may have {TARGETS_MAX} notifications, not {}", self.targets.len())));
        }
        for (index, one) in self.targets.iter().enumerate() {
            check_one(one, regions)?;
            for other in &self.targets[..index] {
                if one.id == other.id {
                    return Err(wrong(format!("Same ID used for multiple configurations. IDs must be unique: '{}'", one.id)));
                }
                if !overlaps(one, other) {
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
        Ok(Notifications { event_bridge: settings.event_bridge, targets: settings.notifications })
    }

    /// Replaces what a bucket tells, and to whom. Notifications without an id get one. Unless `unchecked`, every destination must exist and allow
    /// the bucket to send to it: queues and topics get a test message, in the same transaction, and functions are asked.
    pub async fn set_notifications(
        &self,
        caller: &Caller,
        bucket: &str,
        mut new: Notifications,
        unchecked: bool,
    ) -> Result<(), S3Error> {
        for target in new.targets.iter_mut().filter(|target| target.id.is_empty()) {
            target.id = self.lake.store.env().uuid();
        }
        let (bucket, s3, request_id) = (bucket.to_owned(), self.clone(), caller.request_id.clone());
        let set = self.lake.store.write(move |tx| {
            let mut bucket = bucket_of(tx, &bucket)?;
            let region = region_of(&bucket.region);
            new.check(&[region, &s3.lake.place.region])?;
            if !unchecked {
                s3.try_destinations(tx, &bucket.name, &new.targets, &request_id)?;
            }
            bucket.settings.notifications = new.targets;
            bucket.settings.event_bridge = new.event_bridge;
            Ok(objects::update_bucket(tx, bucket.id, &bucket.settings)?)
        });
        set.await
    }

    /// Fails where a destination would not take what the bucket has to tell. S3 user guide, "Granting permissions to publish event notification
    /// messages to a destination".
    fn try_destinations(&self, tx: &Tx<'_>, bucket: &str, all: &[Notification], request_id: &str) -> Result<(), S3Error> {
        let source = message::bucket_arn(bucket);
        let (mut tried, mut wrong) = (BTreeSet::new(), Vec::new());
        for of in all.iter().filter(|of| tried.insert(&of.arn)) {
            let outcome = match of.kind {
                DestinationKind::Function => self.targets.check(tx, &self.lake, &of.arn, Sender::S3, &source),
                DestinationKind::Queue | DestinationKind::Topic => {
                    let text = message::test(bucket, tx.now_ms(), request_id);
                    self.targets.deliver(tx, &self.lake, &message::delivery(bucket, &of.id, of.kind, &of.arn, text))?
                }
            };
            if let Err(failure) = outcome {
                wrong.push(format!("{}: {}", of.arn, failure.reason));
            }
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(S3Error::Destinations(wrong.join("; "))),
        }
    }
}

/// The region that a location constraint means.
pub(super) fn region_of(constraint: &str) -> &str {
    if constraint == "EU" { "eu-west-1" } else { constraint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(kind: DestinationKind, arn: &str, events: &[&str], filter: &[(&str, &str)]) -> Notification {
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
        to(DestinationKind::Queue, "arn:aws:sqs:us-east-1:000000000000:q", events, filter)
    }

    fn check(targets: &[Notification]) -> Result<(), S3Error> {
        Notifications { event_bridge: false, targets: targets.to_vec() }.check(&["us-east-1"])
    }

    #[test]
    fn sound_configurations_are_taken() {
        let put: &[&str] = &["s3:ObjectCreated:Put"];
        check(&[queue(&["s3:ObjectCreated:*", "s3:LifecycleTransition"], &[]), queue(&["s3:ObjectRemoved:Delete"], &[])])
            .unwrap();
        check(&[queue(put, &[("Prefix", "a/")]), queue(put, &[("prefix", "b/")])]).unwrap();
        check(&[queue(put, &[("prefix", "a/"), ("suffix", ".csv")]), queue(put, &[("prefix", "a/"), ("suffix", ".json")])])
            .unwrap();
        check(&[to(DestinationKind::Function, "arn:aws:lambda:us-east-1:000000000000:function:f:live", put, &[])]).unwrap();
        check(&[to(DestinationKind::Topic, "arn:aws:sns:us-east-1:000000000000:t", put, &[])]).unwrap();
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
            (to(DestinationKind::Queue, "arn:aws:sns:us-east-1:000000000000:q", put, &[]), "not that of a queue"),
            (to(DestinationKind::Queue, "q", put, &[]), "not well formed"),
            (to(DestinationKind::Queue, "arn:aws:sqs:eu-west-1:000000000000:q", put, &[]), "region"),
            (to(DestinationKind::Queue, "arn:aws:sqs:us-east-1:000000000000:q.fifo", put, &[]), "FIFO"),
            (to(DestinationKind::Function, "arn:aws:lambda:us-east-1:000000000000:layer:f", put, &[]), "not that of a function"),
        ] {
            let error = check(std::slice::from_ref(&notification)).unwrap_err().to_string();
            assert!(error.contains(reason), "{notification:?}: {error}");
        }
    }
}
