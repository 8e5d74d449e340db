//! Messages on their way in and out: what they may contain, and their digests.

use super::SqsError;
use super::attributes::SIZE_MAX;
use super::sql::Body;
use crate::runtime::delivery::MessageAttribute;
use crate::runtime::text::first_refused;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use millpond_core::env::{Env, EnvExt};
use sha2::Sha256;
use std::collections::BTreeMap;

/// Message attributes at the most (developer guide, "Message attributes").
const ATTRIBUTES_MAX: usize = 10;

/// A message to send.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewMessage {
    /// The text: 1 byte to 1 MiB together with the attributes, and characters that XML allows.
    pub body: String,
    /// Up to ten.
    pub attributes: BTreeMap<String, MessageAttribute>,
    /// The system attribute `AWSTraceHeader`.
    pub trace: Option<String>,
    /// Of a FIFO queue: needed. Of another one: who shares the queue fairly.
    pub group_id: Option<String>,
    /// Of a FIFO queue.
    pub deduplication_id: Option<String>,
    /// From 0 to 900; absent: as the queue says.
    pub delay_seconds: Option<i32>,
    /// Who sends it, as `SenderId` tells.
    pub sender: String,
}

/// A message that may be put into a queue, if the queue takes one like it.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) body: Body,
    /// In bytes, with the attributes.
    pub(super) size: usize,
    /// The deduplication id that its content gives.
    pub(super) content_id: Option<String>,
    pub(super) delay_seconds: Option<i32>,
    pub(super) system_md5: Option<String>,
}

impl NewMessage {
    /// In bytes, as limits count it.
    pub(super) fn size(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, attribute)| {
            let value = match attribute.is_binary() {
                true => attribute.value.len() / 4 * 3,
                false => attribute.value.len(),
            };
            name.len() + attribute.data_type.len() + value
        });
        self.body.len() + attributes.sum::<usize>()
    }

    /// Checks what can be checked without the queue, and computes what takes time: none of it on the writer thread.
    pub(super) fn check(self, env: &dyn Env) -> Result<Checked, SqsError> {
        if self.body.is_empty() {
            return Err(SqsError::MissingParameter("MessageBody"));
        }
        let size = self.size();
        if size > SIZE_MAX {
            return Err(too_long(SIZE_MAX, false));
        }
        check_text(&self.body).map_err(SqsError::InvalidMessageContents)?;
        check_attributes(&self.attributes)?;
        if let Some(delay) = self.delay_seconds
            && !(0..=900).contains(&delay)
        {
            return Err(SqsError::value(delay, "DelaySeconds", "DelaySeconds must be >= 0 and <= 900."));
        }
        check_id("MessageGroupId", self.group_id.as_deref())?;
        check_id("MessageDeduplicationId", self.deduplication_id.as_deref())?;
        let needs_content_id = self.group_id.is_some() && self.deduplication_id.is_none();
        let content_id = needs_content_id.then(|| hex::encode(Sha256::digest(&self.body)));
        let system = self.trace.iter().map(|trace| ("AWSTraceHeader".to_owned(), MessageAttribute::text(trace))).collect();
        let attributes_md5 = md5_of_attributes(&self.attributes);
        let body = Body {
            message_id: env.uuid(),
            md5: hex::encode(Md5::digest(&self.body)),
            body: self.body,
            sender: self.sender,
            attributes: self.attributes,
            attributes_md5,
            trace: self.trace,
            group_id: self.group_id,
            deduplication_id: self.deduplication_id,
        };
        Ok(Checked { body, size, content_id, delay_seconds: self.delay_seconds, system_md5: md5_of_attributes(&system) })
    }
}

pub(super) fn too_long(max: usize, in_batch: bool) -> SqsError {
    let what = if in_batch { "cannot be validated" } else { "are invalid" };
    SqsError::InvalidParameter(format!("One or more parameters {what}. Reason: Message must be shorter than {max} bytes."))
}

/// The characters of XML 1.0; answers what is wrong.
fn check_text(text: &str) -> Result<(), String> {
    match first_refused(text) {
        Some(found) => Err(format!(
            "Invalid characters found: #x{:X}. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
            u32::from(found)
        )),
        None => Ok(()),
    }
}

fn check_id(parameter: &'static str, id: Option<&str>) -> Result<(), SqsError> {
    let Some(id) = id else { return Ok(()) };
    match (1..=128).contains(&id.len()) && id.chars().all(|c| c.is_ascii_graphic()) {
        true => Ok(()),
        false => {
            let reason = format!("{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length.");
            Err(SqsError::value(id, parameter, reason))
        }
    }
}

fn check_attributes(attributes: &BTreeMap<String, MessageAttribute>) -> Result<(), SqsError> {
    let wrong = |message: String| Err(SqsError::InvalidParameter(message));
    if attributes.len() > ATTRIBUTES_MAX {
        let many = attributes.len();
        return wrong(format!("Number of message attributes [{many}] exceeds the allowed maximum [{ATTRIBUTES_MAX}]."));
    }
    for (name, attribute) in attributes {
        check_attribute_name(name)?;
        let data_type = &attribute.data_type;
        if data_type.len() > 256 {
            return wrong("Message (user) attribute types must be shorter than 256 Bytes".into());
        }
        let logical = data_type.split('.').next().unwrap_or_default();
        let missing = || format!("Message (user) attribute '{name}' must contain a non-empty value of type '{logical}'.");
        match logical {
            "String" | "Number" | "Binary" if attribute.value.is_empty() => return wrong(missing()),
            "String" => check_text(&attribute.value).map_err(SqsError::InvalidParameter)?,
            "Number" if !is_number(&attribute.value) => {
                return wrong(format!("Can't cast the value of message (user) attribute '{name}' to a number."));
            }
            "Binary" if STANDARD.decode(&attribute.value).is_err() => {
                return wrong(format!("The value of message (user) attribute '{name}' is not base64."));
            }
            "Number" | "Binary" => {}
            _ => {
                return wrong(format!(
                    "The type of message (user) attribute '{name}' is invalid. You must use only the following supported type prefixes: Binary, Number, String."
                ));
            }
        }
    }
    Ok(())
}

fn check_attribute_name(name: &str) -> Result<(), SqsError> {
    let wrong = |message: &str| Err(SqsError::InvalidParameter(message.to_owned()));
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let lower = name.to_ascii_lowercase();
    if name.is_empty() || name.len() > 256 {
        return wrong("Message (user) attribute names must have from 1 to 256 Bytes");
    }
    if !name.chars().all(valid) || name.contains("..") {
        return wrong(
            "Message (user) attribute name can only contain upper and lower case letters, digits, periods (not two in a row), hyphens and underscores.",
        );
    }
    if lower.starts_with("aws.") || lower.starts_with("amazon.") || name.starts_with('.') || name.ends_with('.') {
        return wrong(
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These strings are reserved for internal use. Additionally, they cannot start or end with '.'.",
        );
    }
    Ok(())
}

fn is_number(text: &str) -> bool {
    text.len() <= 150
        && text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// The digest of message attributes, 32 hexadecimal digits, as the developer guide describes it ("Calculating the MD5 message digest for
/// message attributes"); `None` where there are none.
pub fn md5_of_attributes(attributes: &BTreeMap<String, MessageAttribute>) -> Option<String> {
    if attributes.is_empty() {
        return None;
    }
    let mut digest = Md5::new();
    let field = |digest: &mut Md5, bytes: &[u8]| {
        digest.update((bytes.len() as u32).to_be_bytes());
        digest.update(bytes);
    };
    for (name, attribute) in attributes {
        field(&mut digest, name.as_bytes());
        field(&mut digest, attribute.data_type.as_bytes());
        if attribute.is_binary() {
            digest.update([2u8]);
            field(&mut digest, &STANDARD.decode(&attribute.value).unwrap_or_default());
        } else {
            digest.update([1u8]);
            field(&mut digest, attribute.value.as_bytes());
        }
    }
    Some(hex::encode(digest.finalize()))
}

/// A message as it is received.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// The same each time that it is received.
    pub message_id: String,
    /// Names this receive of it.
    pub receipt: String,
    /// The text.
    pub body: String,
    /// Of the text, 32 hexadecimal digits.
    pub md5_of_body: String,
    /// The sender's id.
    pub sender: String,
    /// In milliseconds since the epoch.
    pub sent_ms: i64,
    /// In milliseconds since the epoch.
    pub first_received_ms: i64,
    /// How often it was received, this time included.
    pub receives: u32,
    /// Its group.
    pub group_id: Option<String>,
    /// Its deduplication id: the sender's, or that of its content.
    pub deduplication_id: Option<String>,
    /// In a FIFO queue.
    pub sequence_number: Option<String>,
    /// The sender's `AWSTraceHeader`.
    pub trace: Option<String>,
    /// In a dead-letter queue: the ARN of the queue that it comes from.
    pub dead_letter_source: Option<String>,
    /// What the sender put beside the text.
    pub attributes: BTreeMap<String, MessageAttribute>,
    /// Of those, 32 hexadecimal digits.
    pub md5_of_attributes: Option<String>,
}

impl Received {
    /// Its system attributes, by AWS's names.
    pub fn system_attributes(&self) -> BTreeMap<&'static str, String> {
        let mut all = BTreeMap::from([
            ("SenderId", self.sender.clone()),
            ("SentTimestamp", self.sent_ms.to_string()),
            ("ApproximateReceiveCount", self.receives.to_string()),
            ("ApproximateFirstReceiveTimestamp", self.first_received_ms.to_string()),
        ]);
        let optional = [
            ("MessageGroupId", &self.group_id),
            ("MessageDeduplicationId", &self.deduplication_id),
            ("SequenceNumber", &self.sequence_number),
            ("AWSTraceHeader", &self.trace),
            ("DeadLetterQueueSourceArn", &self.dead_letter_source),
        ];
        all.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        all
    }

    /// Keeps those message attributes that are asked for: by name, `All` or `.*` for all, `prefix.*` for those that begin so. The digest is
    /// that of those that are left.
    pub fn keep_attributes(&mut self, wanted: &[String]) {
        let is_wanted = |name: &str| {
            wanted.iter().any(|wanted| match wanted.strip_suffix(".*") {
                _ if wanted == "All" => true,
                Some(prefix) => name.starts_with(prefix),
                None => name == wanted,
            })
        };
        let before = self.attributes.len();
        self.attributes.retain(|name, _| is_wanted(name));
        if self.attributes.len() < before {
            self.md5_of_attributes = md5_of_attributes(&self.attributes);
        }
    }
}

/// A message's number in a FIFO queue as AWS writes it: always as many digits, so that texts compare as numbers do.
pub(super) fn sequence_number(id: i64) -> String {
    (10_000_000_000_000_000_000u64 + id.unsigned_abs()).to_string()
}
