//! Which messages a subscriber wants: filter policies, in EventBridge's pattern language.

use super::message::{Attribute, NewMessage};
use super::sql::Attributes;
use millpond_core::event::pattern::Pattern;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Values of a policy, multiplied: SNS's measure of complexity.
const COMBINATIONS_MAX: u64 = 150;

/// Fields that a policy names.
const FIELDS_MAX: usize = 5;

/// A compiled filter policy.
#[derive(Debug)]
pub(super) struct Filter {
    /// Absent: all messages are wanted.
    pattern: Option<Pattern>,
    on_body: bool,
}

impl Filter {
    /// Compiles the policy among a subscription's attributes. The reasons are those of SNS.
    pub(super) fn compile(attributes: &Attributes) -> Result<Self, String> {
        let on_body = attributes.get("FilterPolicyScope").is_some_and(|scope| scope == "MessageBody");
        let Some(text) = attributes.get("FilterPolicy").filter(|text| !text.trim().is_empty()) else {
            return Ok(Self { pattern: None, on_body });
        };
        let value: Value = serde_json::from_str(text).map_err(|error| format!("FilterPolicy: failed to parse JSON. {error}"))?;
        if value.as_object().is_some_and(Map::is_empty) {
            return Ok(Self { pattern: None, on_body });
        }
        if !on_body && is_nested(&value) {
            return Err("Filter policy scope MessageAttributes does not support nested filter policy".into());
        }
        let pattern = Pattern::parse(text).map_err(|error| format!("FilterPolicy: {error}"))?;
        if pattern.fields() > FIELDS_MAX {
            return Err(format!("FilterPolicy: Filter policy can not have more than {FIELDS_MAX} keys"));
        }
        if pattern.combinations() > COMBINATIONS_MAX {
            return Err("FilterPolicy: Filter policy is too complex".into());
        }
        Ok(Self { pattern: Some(pattern), on_body })
    }

    /// Whether the subscriber wants `message`. A body that is no JSON object is wanted by no policy that looks into bodies.
    pub(super) fn wants(&self, message: &NewMessage) -> bool {
        let Some(pattern) = &self.pattern else { return true };
        let looked_at = match self.on_body {
            true => serde_json::from_str(&message.body).ok().filter(Value::is_object).map(Cow::<Value>::Owned),
            false => Some(Cow::Owned(as_json(message))),
        };
        looked_at.is_some_and(|value| pattern.matches(&value))
    }
}

fn is_nested(policy: &Value) -> bool {
    let Value::Object(members) = policy else { return false };
    members.iter().any(|(name, value)| match value {
        Value::Object(_) => true,
        Value::Array(items) if name == "$or" => items.iter().any(is_nested),
        _ => false,
    })
}

/// A message's attributes as a JSON object. Binary ones cannot be compared.
fn as_json(message: &NewMessage) -> Value {
    let one = |attribute: &Attribute| match attribute {
        Attribute::Text { data_type, value } if data_type == "Number" || data_type.starts_with("Number.") => {
            serde_json::from_str::<serde_json::Number>(value.trim()).ok().map(Value::Number)
        }
        Attribute::Text { data_type, value } if data_type == "String.Array" => serde_json::from_str(value).ok(),
        Attribute::Text { value, .. } => Some(Value::String(value.clone())),
        Attribute::Binary { .. } => None,
    };
    message.attributes.iter().filter_map(|(name, attribute)| Some((name.clone(), one(attribute)?))).collect()
}
