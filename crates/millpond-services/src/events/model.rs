//! EventBridge's nouns.

use crate::runtime::delivery::RetryPolicy;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Whether a rule is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RuleState {
    /// It is.
    #[default]
    Enabled,
    /// It is, and sees CloudTrail's management events too (the lake has none).
    EnabledWithAllManagementEvents,
    /// It is not.
    Disabled,
}

impl RuleState {
    /// Whether it is at work.
    pub fn is_enabled(self) -> bool {
        self != Self::Disabled
    }
}

/// A rule to put in the place of one of its name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NewRule {
    /// 1 to 64 characters of `[.\-_A-Za-z0-9]`.
    pub name: String,
    /// The pattern, as it was given.
    pub pattern: Option<String>,
    /// `rate(…)` or `cron(…)`.
    pub schedule: Option<String>,
    /// Whether it is at work.
    pub state: RuleState,
    /// For people.
    pub description: Option<String>,
    /// Kept, not used: targets are in the same account.
    pub role_arn: Option<String>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// `arn:aws:events:REGION:ACCOUNT:rule/NAME`, or `…:rule/BUS/NAME`.
    pub arn: String,
    /// The name of its bus.
    pub bus: String,
    /// What was put.
    pub spec: NewRule,
}

/// Where a rule sends events.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// The target's name within its rule.
    pub id: String,
    /// What gets the events.
    pub arn: String,
    /// Kept, not used.
    pub role_arn: Option<String>,
    /// A constant to send in the event's place: JSON.
    pub input: Option<String>,
    /// A JSON path: the part of the event to send.
    pub input_path: Option<String>,
    /// A template to fill from the event.
    pub transformer: Option<Transformer>,
    /// How failed deliveries are tried again; absent: EventBridge's default.
    pub retry: Option<RetryPolicy>,
    /// The queue for what cannot be delivered; where there is none, that is in the lake's dead letters.
    pub dead_letter_arn: Option<String>,
    /// Parameters that some kinds of target take, by their wire names.
    pub parameters: Map<String, Value>,
}

/// What queues take besides the text: a target's parameter of this name.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct SqsParameters {
    /// Of the messages; a FIFO queue needs it.
    pub(super) message_group_id: Option<String>,
}

impl SqsParameters {
    pub(super) fn of(target: &Target) -> Option<Self> {
        serde_json::from_value(target.parameters.get("SqsParameters")?.clone()).ok()
    }
}

/// A template with its variables.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Transformer {
    /// JSON paths by the names of variables.
    pub paths: BTreeMap<String, String>,
    /// JSON, or text in quotes, with variables as `<name>`. Text without quotes is the lake's own extension: it is sent as it is.
    pub template: String,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// In the order of their names.
    pub items: Vec<T>,
    /// Where more follows: the token for the next page.
    pub next: Option<String>,
}
