//! Messages, and what they may say.

use super::SnsError;
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Of a message with its attributes, in bytes.
pub(super) const SIZE_MAX: usize = 256 * 1024;

/// A message attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// `String`, `String.Array`, `Number`, and types of one's own that begin so.
    Text {
        /// As it was given.
        data_type: String,
        /// Numbers are text, too.
        value: String,
    },
    /// `Binary`, and types of one's own that begin so.
    Binary {
        /// As it was given.
        data_type: String,
        /// Bytes.
        value: Vec<u8>,
    },
}

impl Attribute {
    /// Checks an attribute as SNS does.
    pub fn new(name: &str, data_type: &str, text: Option<String>, binary: Option<Vec<u8>>) -> Result<Self, SnsError> {
        let wrong = |message: String| Err(SnsError::InvalidValue(message));
        check_name(name)?;
        let is = |kind: &str| {
            data_type == kind || data_type.strip_prefix(kind).is_some_and(|rest| rest.len() > 1 && rest.starts_with('.'))
        };
        if !is("String") && !is("Number") && !is("Binary") {
            return wrong(format!(
                "The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String."
            ));
        }
        let field = if is("Binary") { "Binary" } else { "String" };
        let empty = format!(
            "The message attribute '{name}' must contain non-empty message attribute value for message attribute type '{data_type}'."
        );
        let other = format!("The message attribute '{name}' with type '{data_type}' must use field '{field}'.");
        match (field, text, binary) {
            ("String", _, Some(_)) | ("Binary", Some(_), _) => wrong(other),
            ("String", Some(value), None) if !value.is_empty() => {
                if is("Number") && serde_json::from_str::<serde_json::Number>(value.trim()).is_err() {
                    return wrong(format!("Could not cast message attribute '{name}' value to number."));
                }
                Ok(Self::Text { data_type: data_type.into(), value })
            }
            ("Binary", None, Some(value)) if !value.is_empty() => Ok(Self::Binary { data_type: data_type.into(), value }),
            _ => wrong(empty),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Text { data_type, value } => data_type.len() + value.len(),
            Self::Binary { data_type, value } => data_type.len() + value.len(),
        }
    }

    /// As it stands in a JSON message.
    fn to_json(&self) -> Value {
        let (kind, value) = match self {
            Self::Text { data_type, value } => (data_type, value.clone()),
            Self::Binary { data_type, value } => (data_type, base64::engine::general_purpose::STANDARD.encode(value)),
        };
        serde_json::json!({ "Type": kind, "Value": value })
    }
}

fn check_name(name: &str) -> Result<(), SnsError> {
    let message = if name.len() >= 256 {
        "Length of message attribute name must be less than 256 bytes.".to_owned()
    } else if let Some(found) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.')) {
        format!(
            "Invalid non-alphanumeric character '#x{:X}' was found in the message attribute name. Can only include alphanumeric \
             characters, hyphens, underscores, or dots.",
            found as u32
        )
    } else if name.is_empty() || name.starts_with('.') {
        "Invalid message attribute name starting with character '.' was found.".to_owned()
    } else if name.ends_with('.') {
        "Invalid message attribute name ending with character '.' was found.".to_owned()
    } else if name.contains("..") {
        "Message attribute name can not have successive '.' character.".to_owned()
    } else {
        return Ok(());
    };
    Err(SnsError::InvalidValue(message))
}

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewMessage {
    /// Up to 100 characters, none of them a control character.
    pub subject: Option<String>,
    /// Text; a JSON object of texts by protocol, where `structure` says so.
    pub body: String,
    /// Absent, or `json`.
    pub structure: Option<String>,
    /// By name.
    pub attributes: BTreeMap<String, Attribute>,
}

impl NewMessage {
    pub(super) fn size(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|(name, attribute)| name.len() + attribute.size()).sum();
        self.body.len() + attributes
    }

    /// Checks it as SNS does, and cuts it into what each protocol gets.
    pub(super) fn check(self) -> Result<Checked, SnsError> {
        if let Some(subject) = &self.subject
            && (subject.is_empty() || subject.chars().count() > 100 || subject.chars().any(char::is_control))
        {
            return Err(SnsError::invalid("Subject"));
        }
        if self.body.is_empty() {
            return Err(SnsError::invalid("Empty message"));
        }
        if self.size() > SIZE_MAX {
            return Err(SnsError::invalid("Message too long"));
        }
        let by_protocol = match self.structure.as_deref() {
            None | Some("") => BTreeMap::new(),
            Some("json") => texts(&self.body)?,
            Some(_) => return Err(SnsError::invalid("MessageStructure")),
        };
        Ok(Checked { message: self, by_protocol })
    }

    pub(super) fn attributes_json(&self) -> Map<String, Value> {
        self.attributes.iter().map(|(name, attribute)| (name.clone(), attribute.to_json())).collect()
    }
}

fn texts(body: &str) -> Result<BTreeMap<String, String>, SnsError> {
    let Ok(Value::Object(members)) = serde_json::from_str(body) else {
        return Err(SnsError::invalid("Message Structure - JSON message body failed to parse"));
    };
    let texts: BTreeMap<String, String> =
        members.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect();
    match texts.contains_key("default") {
        true => Ok(texts),
        false => Err(SnsError::invalid("Message Structure - No default entry in JSON message body")),
    }
}

/// A message that may be published.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) message: NewMessage,
    by_protocol: BTreeMap<String, String>,
}

impl Checked {
    /// What subscribers of a protocol get.
    pub(super) fn text(&self, protocol: &str) -> &str {
        let text = self.by_protocol.get(protocol).or_else(|| self.by_protocol.get("default"));
        text.unwrap_or(&self.message.body)
    }
}

/// A message on its way to one subscriber: the payload of a mail task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Notification {
    /// Of the message: all its subscribers see the same.
    pub(super) message_id: String,
    pub(super) topic_arn: String,
    pub(super) subscription_id: String,
    pub(super) subject: Option<String>,
    pub(super) text: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) attributes: Map<String, Value>,
    pub(super) time_ms: i64,
    /// Whether a rule sent it: then texts in quotes, which templates make, are shown without them.
    pub(super) by_rule: bool,
}
