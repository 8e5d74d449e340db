//! The attributes that owners can set, and what they may say.

use super::filter::Filter;
use super::sql::Attributes;
use serde_json::Value;

pub(super) const OF_TOPICS: &[&str] = &[
    "DisplayName",
    "Policy",
    "DeliveryPolicy",
    "KmsMasterKeyId",
    "SignatureVersion",
    "TracingConfig",
    "FifoTopic",
    "ArchivePolicy",
    "ContentBasedDeduplication",
    "FifoThroughputScope",
    "HTTPSuccessFeedbackRoleArn",
    "HTTPSuccessFeedbackSampleRate",
    "HTTPFailureFeedbackRoleArn",
    "LambdaSuccessFeedbackRoleArn",
    "LambdaSuccessFeedbackSampleRate",
    "LambdaFailureFeedbackRoleArn",
    "SQSSuccessFeedbackRoleArn",
    "SQSSuccessFeedbackSampleRate",
    "SQSFailureFeedbackRoleArn",
    "FirehoseSuccessFeedbackRoleArn",
    "FirehoseSuccessFeedbackSampleRate",
    "FirehoseFailureFeedbackRoleArn",
    "ApplicationSuccessFeedbackRoleArn",
    "ApplicationSuccessFeedbackSampleRate",
    "ApplicationFailureFeedbackRoleArn",
];

pub(super) const OF_SUBSCRIPTIONS: &[&str] = &[
    "DeliveryPolicy",
    "FilterPolicy",
    "FilterPolicyScope",
    "RawMessageDelivery",
    "RedrivePolicy",
    "SubscriptionRoleArn",
    "ReplayPolicy",
];

/// Checks an attribute of a topic; answers what is wrong.
pub(super) fn check_topic(name: &str, value: &str) -> Result<(), String> {
    match name {
        "DisplayName" if value.chars().count() > 100 || value.chars().any(char::is_control) => {
            Err("DisplayName: up to 100 characters, none of them a control character".into())
        }
        "Policy" | "DeliveryPolicy" => match serde_json::from_str::<Value>(value) {
            Ok(Value::Object(_)) => Ok(()),
            Ok(_) => Err(format!("{name}: it must be a JSON object")),
            Err(error) => Err(format!("{name}: failed to parse JSON. {error}")),
        },
        "SignatureVersion" if !matches!(value, "1" | "2") => Err("SignatureVersion: Invalid value. Must be 1 or 2.".into()),
        known if OF_TOPICS.contains(&known) => Ok(()),
        unknown => Err(format!("Unknown attribute {unknown}")),
    }
}

/// Checks an attribute of a subscription together with its others; answers what is wrong.
pub(super) fn check_subscription(name: &str, value: &str, all: &Attributes) -> Result<(), String> {
    match name {
        "RawMessageDelivery" if !matches!(value, "true" | "false") => {
            Err(format!("RawMessageDelivery: Invalid value [{value}]. Must be true or false."))
        }
        "FilterPolicyScope" if !matches!(value, "MessageBody" | "MessageAttributes") => {
            Err(format!("FilterPolicyScope: Invalid value [{value}]. Please use either MessageBody or MessageAttributes"))
        }
        "FilterPolicy" | "FilterPolicyScope" => Filter::compile(all).map(|_| ()),
        "RedrivePolicy" | "DeliveryPolicy" => match serde_json::from_str::<Value>(value) {
            Ok(policy)
                if name == "RedrivePolicy"
                    && !policy["deadLetterTargetArn"].as_str().is_some_and(|arn| arn.starts_with("arn:")) =>
            {
                Err("RedrivePolicy: deadLetterTargetArn is an invalid arn".into())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{name}: failed to parse JSON. {error}")),
        },
        known if OF_SUBSCRIPTIONS.contains(&known) => Ok(()),
        unknown => Err(format!("Unknown attribute {unknown}")),
    }
}
