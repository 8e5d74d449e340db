//! The attributes that owners can set, and what they may say.
//!
//! A topic keeps and shows its `KmsMasterKeyId`, as scripts expect, and nothing follows from it: encryption at rest is that of the disk on
//! which the lake's directory lies.

use super::delivery_policy;
use super::filter::Filter;
use super::policy;
use super::sql::{Attributes, SubscriptionRow};
use millpond_core::arn::{Arn, Place};
use serde_json::Value;

/// Attributes of topics that `SetTopicAttributes` sets.
const OF_TOPICS: &[&str] = &[
    "ApplicationFailureFeedbackRoleArn",
    "ApplicationSuccessFeedbackRoleArn",
    "ApplicationSuccessFeedbackSampleRate",
    "ArchivePolicy",
    "ContentBasedDeduplication",
    "DeliveryPolicy",
    "DisplayName",
    "FifoThroughputScope",
    "FirehoseFailureFeedbackRoleArn",
    "FirehoseSuccessFeedbackRoleArn",
    "FirehoseSuccessFeedbackSampleRate",
    "HTTPFailureFeedbackRoleArn",
    "HTTPSuccessFeedbackRoleArn",
    "HTTPSuccessFeedbackSampleRate",
    "KmsMasterKeyId",
    "LambdaFailureFeedbackRoleArn",
    "LambdaSuccessFeedbackRoleArn",
    "LambdaSuccessFeedbackSampleRate",
    "MaximumMessageSize",
    "Policy",
    "SignatureVersion",
    "SQSFailureFeedbackRoleArn",
    "SQSSuccessFeedbackRoleArn",
    "SQSSuccessFeedbackSampleRate",
    "TracingConfig",
];

/// Given when a topic is made, and never changed.
const OF_NEW_TOPICS: &[&str] = &["FifoTopic"];

const OF_SUBSCRIPTIONS: &[&str] = &[
    "DeliveryPolicy",
    "FilterPolicy",
    "FilterPolicyScope",
    "RawMessageDelivery",
    "RedrivePolicy",
    "ReplayPolicy",
    "SubscriptionRoleArn",
];

/// Of a message with its attributes, in bytes, where a topic says nothing else.
pub(super) const SIZE_DEFAULT: usize = 256 * 1024;

/// Of a key's id, ARN or alias, in bytes (AWS KMS, "KeyId").
const KEY_MAX: usize = 2_048;

/// What a topic may say of itself, as far as other attributes depend on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct TopicFacts<'a> {
    pub(super) arn: &'a str,
    pub(super) is_fifo: bool,
}

/// Whether `SetTopicAttributes` knows the name.
pub(super) fn is_of_topics(name: &str) -> bool {
    OF_TOPICS.contains(&name)
}

/// Whether `SetSubscriptionAttributes` knows the name.
pub(super) fn is_of_subscriptions(name: &str) -> bool {
    OF_SUBSCRIPTIONS.contains(&name)
}

/// What an attribute of a topic says where nobody set it; nothing where it is then not shown.
pub(super) fn default_of_topic(name: &str) -> Option<&'static str> {
    match name {
        "DisplayName" | "KmsMasterKeyId" => Some(""),
        "FifoTopic" | "ContentBasedDeduplication" => Some("false"),
        "SignatureVersion" => Some("1"),
        "TracingConfig" => Some("PassThrough"),
        "MaximumMessageSize" => Some("262144"),
        _ => None,
    }
}

fn boolean(name: &str, value: &str) -> Result<String, String> {
    match value.to_ascii_lowercase().as_str() {
        boolean @ ("true" | "false") => Ok(boolean.into()),
        _ => Err(format!("{name}: Invalid value [{value}]. Must be true or false.")),
    }
}

fn one_of(name: &str, value: &str, allowed: &[&str]) -> Result<String, String> {
    match allowed.contains(&value) {
        true => Ok(value.into()),
        false => Err(format!("{name}: Invalid value [{value}]. Must be {}.", allowed.join(" or "))),
    }
}

/// Checks an attribute of a topic; answers it as it is stored, or what is wrong.
pub(super) fn check_topic(name: &str, value: &str, topic: TopicFacts<'_>) -> Result<String, String> {
    let fifo_only = || match topic.is_fifo {
        true => Ok(()),
        false => Err(format!("{name}: it is only for FIFO topics")),
    };
    match name {
        "DisplayName" if value.chars().count() > 100 || value.chars().any(char::is_control) => {
            Err("DisplayName: up to 100 characters, none of them a control character".into())
        }
        "Policy" => policy::check(value, topic.arn),
        "DeliveryPolicy" => delivery_policy::check_topic(value),
        "SignatureVersion" => one_of(name, value, &["1", "2"]),
        "TracingConfig" => one_of(name, value, &["PassThrough", "Active"]),
        "FifoTopic" => boolean(name, value),
        "ContentBasedDeduplication" => fifo_only().and_then(|()| boolean(name, value)),
        "FifoThroughputScope" => fifo_only().and_then(|()| one_of(name, value, &["Topic", "MessageGroup"])),
        "MaximumMessageSize" => match value.parse::<usize>() {
            Ok(1024..=1_048_576) => Ok(value.into()),
            _ => Err(format!("MaximumMessageSize: Invalid value [{value}]. Must be an integer from 1024 to 1048576.")),
        },
        "KmsMasterKeyId" => match value.len() <= KEY_MAX && value.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(value.into()),
            false => Err(format!("KmsMasterKeyId: it must be the id, ARN or alias of a key, of up to {KEY_MAX} bytes")),
        },
        "ArchivePolicy" => {
            Err("ArchivePolicy: this lake keeps no archive of messages; subscribe a queue with a long retention".into())
        }
        sample if sample.ends_with("SampleRate") => match value.parse::<u8>() {
            Ok(0..=100) => Ok(value.into()),
            _ => Err(format!("{name}: Invalid value [{value}]. Must be an integer from 0 to 100.")),
        },
        role if role.ends_with("FeedbackRoleArn") => match value.parse::<Arn>() {
            Ok(arn) if arn.service == "iam" => Ok(value.into()),
            _ => Err(format!("{name}: '{value}' is not the ARN of a role")),
        },
        known if OF_TOPICS.contains(&known) || OF_NEW_TOPICS.contains(&known) => Ok(value.into()),
        unknown => Err(format!("Unknown attribute {unknown}")),
    }
}

/// What a subscription's attributes depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct SubscriptionFacts<'a> {
    pub(super) place: &'a Place,
    pub(super) protocol: &'a str,
    pub(super) endpoint: &'a str,
}

impl<'a> SubscriptionFacts<'a> {
    pub(super) fn of(row: &'a SubscriptionRow, place: &'a Place) -> Self {
        Self { place, protocol: &row.protocol, endpoint: &row.endpoint }
    }
}

/// Checks an attribute of a subscription together with its others; answers it as it is stored, or what is wrong.
pub(super) fn check_subscription(name: &str, value: &str, all: &Attributes, of: SubscriptionFacts<'_>) -> Result<String, String> {
    match name {
        "RawMessageDelivery" => {
            let value = boolean(name, value)?;
            match value == "true" && !matches!(of.protocol, "sqs" | "http" | "https") {
                true => Err(format!("Delivery protocol [{}] does not support raw message delivery.", of.protocol)),
                false => Ok(value),
            }
        }
        "FilterPolicyScope" if !matches!(value, "MessageBody" | "MessageAttributes") => {
            Err(format!("FilterPolicyScope: Invalid value [{value}]. Please use either MessageBody or MessageAttributes"))
        }
        "FilterPolicy" | "FilterPolicyScope" => Filter::compile(all).map(|_| value.into()),
        "RedrivePolicy" => redrive(value, of).map(|()| value.into()),
        "DeliveryPolicy" if !matches!(of.protocol, "http" | "https") => {
            Err(format!("Delivery protocol [{}] does not support delivery policies", of.protocol))
        }
        "DeliveryPolicy" => delivery_policy::check_subscription(value),
        "ReplayPolicy" => Err("ReplayPolicy: this lake keeps no archive of messages to replay".into()),
        // Only Firehose needs it; AWS keeps it for others, too.
        "SubscriptionRoleArn" => match value.parse::<Arn>() {
            Ok(arn) if arn.service == "iam" => Ok(value.into()),
            _ => Err(format!("SubscriptionRoleArn: '{value}' is not the ARN of a role")),
        },
        unknown => Err(format!("Unknown attribute {unknown}")),
    }
}

fn redrive(value: &str, of: SubscriptionFacts<'_>) -> Result<(), String> {
    let policy: Value = serde_json::from_str(value).map_err(|error| format!("RedrivePolicy: failed to parse JSON. {error}"))?;
    let arn: Option<Arn> = policy["deadLetterTargetArn"].as_str().and_then(|arn| arn.parse().ok());
    let Some(arn) = arn.filter(|arn| arn.service == "sqs") else {
        return Err("RedrivePolicy: deadLetterTargetArn is an invalid arn".into());
    };
    if arn.account != of.place.account || arn.region != of.place.region {
        return Err("RedrivePolicy: deadLetterTargetArn must be in the account and region of the subscription".into());
    }
    let fifo = |name: &str| name.ends_with(".fifo");
    match (of.protocol == "sqs" && fifo(of.endpoint), fifo(&arn.resource)) {
        (true, false) => Err("RedrivePolicy: must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic.".into()),
        (false, true) => Err("RedrivePolicy: must use a standard queue as DLQ for a standard subscription.".into()),
        _ => Ok(()),
    }
}

/// The queue for what cannot be delivered.
pub(super) fn dead_letter_queue(attributes: &Attributes) -> Option<String> {
    let policy: Value = serde_json::from_str(attributes.get("RedrivePolicy")?).ok()?;
    policy["deadLetterTargetArn"].as_str().map(str::to_owned)
}

/// Whether a subscriber gets the text alone.
pub(super) fn is_raw(attributes: &Attributes) -> bool {
    attributes.get("RawMessageDelivery").is_some_and(|value| value == "true")
}
