//! Messages, and what they may say.

use super::SnsError;
use super::sql::TopicRow;
use crate::runtime::delivery::MessageAttribute;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

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
}

impl From<Attribute> for MessageAttribute {
    fn from(attribute: Attribute) -> Self {
        match attribute {
            Attribute::Text { data_type, value } => Self { data_type, value },
            Attribute::Binary { data_type, value } => Self { data_type, value: BASE64.encode(value) },
        }
    }
}

impl TryFrom<&MessageAttribute> for Attribute {
    type Error = base64::DecodeError;

    fn try_from(attribute: &MessageAttribute) -> Result<Self, Self::Error> {
        let MessageAttribute { data_type, value } = attribute.clone();
        match attribute.is_binary() {
            true => Ok(Self::Binary { value: BASE64.decode(&value)?, data_type }),
            false => Ok(Self::Text { data_type, value }),
        }
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
    /// Which order it belongs to, on FIFO topics; standard topics hand it on to standard queues.
    pub group_id: Option<String>,
    /// FIFO topics take a message of the same id once in five minutes.
    pub deduplication_id: Option<String>,
}

impl NewMessage {
    pub(super) fn size(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|(name, attribute)| name.len() + attribute.size()).sum();
        self.body.len() + attributes
    }

    /// Checks all that does not depend on the topic, as SNS does.
    pub(super) fn check(self) -> Result<Checked, SnsError> {
        if let Some(subject) = &self.subject
            && (subject.is_empty() || subject.chars().count() > 100 || subject.chars().any(char::is_control))
        {
            return Err(SnsError::invalid("Subject"));
        }
        if self.body.is_empty() {
            return Err(SnsError::invalid("Empty message"));
        }
        check_id("MessageGroupId", self.group_id.as_deref())?;
        check_id("MessageDeduplicationId", self.deduplication_id.as_deref())?;
        let size = self.size();
        let by_protocol = match self.structure.as_deref() {
            None | Some("") => BTreeMap::new(),
            Some("json") => texts(&self.body)?,
            Some(_) => return Err(SnsError::invalid("MessageStructure")),
        };
        let notice = Notice {
            subject: self.subject,
            body: self.body,
            by_protocol,
            attributes: self.attributes.into_iter().map(|(name, attribute)| (name, attribute.into())).collect(),
            group_id: self.group_id,
            deduplication_id: self.deduplication_id,
            ..Notice::default()
        };
        Ok(Checked { notice, size })
    }
}

/// Alphanumeric characters and punctuation, 1 to 128 of them.
fn check_id(name: &str, id: Option<&str>) -> Result<(), SnsError> {
    let Some(id) = id else { return Ok(()) };
    if (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let allowed = "can only include alphanumeric and punctuation characters, 1 to 128 in length";
    Err(SnsError::invalid(format!("{name} Reason: {name} {allowed}")))
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

/// A message that may be published, where its topic takes it.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    notice: Notice,
    size: usize,
}

impl Checked {
    /// The message under an id and a time, for a topic.
    ///
    /// # Errors
    /// The topic does not take it: it is too long, or has (or has not) what only FIFO topics take.
    pub(super) fn for_topic(self, topic: &TopicRow, topic_arn: String, sent: Sent) -> Result<Notice, SnsError> {
        if self.size > topic.size_max() {
            return Err(SnsError::invalid("Message too long"));
        }
        let mut notice = Notice { topic_arn, message_id: sent.message_id, time_ms: sent.time_ms, ..self.notice };
        if !topic.is_fifo() {
            let reason = "The request includes MessageDeduplicationId parameter that is not valid for this topic type";
            return match notice.deduplication_id {
                Some(_) => Err(SnsError::invalid(format!("MessageDeduplicationId Reason: {reason}"))),
                None => Ok(notice),
            };
        }
        if notice.group_id.is_none() {
            return Err(SnsError::invalid("The MessageGroupId parameter is required for FIFO topics"));
        }
        if notice.deduplication_id.is_none() {
            if topic.attributes.get("ContentBasedDeduplication").is_none_or(|value| value != "true") {
                let reason = "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly";
                return Err(SnsError::invalid(reason));
            }
            notice.deduplication_id = Some(hex::encode(Sha256::digest(&notice.body)));
        }
        Ok(notice)
    }

    /// In bytes, as SNS counts.
    pub(super) fn size(&self) -> usize {
        self.size
    }
}

/// What a message is known by from its sending on.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) message_id: String,
    pub(super) time_ms: i64,
}

/// A message that was published, as all its subscribers see it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Notice {
    pub(super) message_id: String,
    pub(super) topic_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
    pub(super) body: String,
    /// Texts for single protocols, and `default`; empty where all get the body.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) by_protocol: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) attributes: BTreeMap<String, MessageAttribute>,
    pub(super) time_ms: i64,
    /// Whether a rule sent it: then texts in quotes, which templates make, are shown in mails without them.
    pub(super) by_rule: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deduplication_id: Option<String>,
    /// Of messages of FIFO topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sequence_number: Option<String>,
}

impl Notice {
    /// What subscribers of a protocol get.
    pub(super) fn text(&self, protocol: &str) -> &str {
        let text = self.by_protocol.get(protocol).or_else(|| self.by_protocol.get("default"));
        text.unwrap_or(&self.body)
    }
}
