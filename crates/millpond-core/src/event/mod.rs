//! Events as EventBridge carries them.
//!
//! The envelope follows the EventBridge user guide, "Events structure reference".

pub mod pattern;
pub mod schedule;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One event: the unit of the outbox, and what rules match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Always `"0"`.
    pub version: String,
    /// A UUID.
    pub id: String,
    /// For example `Object Created`.
    #[serde(rename = "detail-type")]
    pub detail_type: String,
    /// For example `aws.s3`.
    pub source: String,
    /// Twelve digits.
    pub account: String,
    /// ISO 8601, UTC, to the second.
    pub time: String,
    /// For example `us-east-1`.
    pub region: String,
    /// ARNs of what the event is about.
    pub resources: Vec<String>,
    /// The event's own body, a JSON object.
    pub detail: Value,
}
