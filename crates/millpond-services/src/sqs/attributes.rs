//! A queue's attributes: what they may say, what they say where the owner says nothing, and what follows from them.

use super::SqsError;
use super::sql::Attributes;
use millpond_core::policy::Policy;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Of a message and of a batch, in bytes (Amazon SQS quotas: 1 MiB).
pub(super) const SIZE_MAX: usize = 1_048_576;

/// The longest that a message can stay hidden after it was received, in seconds.
pub(super) const VISIBILITY_MAX: i64 = 43_200;

/// Of a queue's policy, in bytes (Amazon SQS quotas, "Policy").
const POLICY_MAX: usize = 8_192;

/// Numbers: name, least, greatest, default.
const NUMBERS: &[(&str, i64, i64, &str)] = &[
    ("DelaySeconds", 0, 900, "0"),
    ("MaximumMessageSize", 1_024, SIZE_MAX as i64, "1048576"),
    ("MessageRetentionPeriod", 60, 1_209_600, "345600"),
    ("ReceiveMessageWaitTimeSeconds", 0, 20, "0"),
    ("VisibilityTimeout", 0, VISIBILITY_MAX, "30"),
];

/// `KmsDataKeyReusePeriodSeconds`: least, greatest; and the default of queues that have a key.
const KEY_REUSE: (i64, i64) = (60, 86_400);
const KEY_REUSE_DEFAULT: &str = "300";

/// Of a key's id, ARN or alias, in bytes (AWS KMS, "KeyId").
const KEY_MAX: usize = 2_048;

/// What FIFO queues say where the owner says nothing.
const OF_FIFO: &[(&str, &str)] =
    &[("ContentBasedDeduplication", "false"), ("DeduplicationScope", "queue"), ("FifoThroughputLimit", "perQueue")];

/// What the service says of a queue, and nobody sets.
pub(super) const COMPUTED: &[&str] = &[
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
];

/// All that can be set.
const SETTABLE: &[&str] = &[
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "DelaySeconds",
    "FifoQueue",
    "FifoThroughputLimit",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "Policy",
    "ReceiveMessageWaitTimeSeconds",
    "RedriveAllowPolicy",
    "RedrivePolicy",
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
];

/// Whether there is an attribute of that name.
pub(super) fn is_known(name: &str) -> bool {
    COMPUTED.contains(&name) || SETTABLE.contains(&name)
}

/// What follows from a queue's attributes.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) fifo: bool,
    pub(super) delay_ms: i64,
    pub(super) size_max: usize,
    pub(super) retention_ms: i64,
    pub(super) wait_ms: u64,
    pub(super) visibility_ms: i64,
    pub(super) redrive: Option<Redrive>,
    pub(super) allow: RedriveAllow,
    pub(super) deduplicates_by_content: bool,
    /// Deduplication looks at the group alone.
    pub(super) scope_is_group: bool,
    pub(super) policy: Option<Arc<Policy>>,
}

/// A queue's `RedrivePolicy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redrive {
    /// The ARN of the dead-letter queue.
    pub(super) target: String,
    /// A message that was received so often goes there instead of being received again.
    pub(super) receives_max: u32,
}

/// A queue's `RedriveAllowPolicy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RedriveAllow {
    All,
    None,
    /// These ARNs.
    Queues(Vec<String>),
}

impl RedriveAllow {
    pub(super) fn allows(&self, source: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Queues(arns) => arns.iter().any(|arn| arn == source),
        }
    }
}

impl Settings {
    /// From attributes that were checked when they were set.
    pub(super) fn of(attributes: &Attributes) -> Result<Self, SqsError> {
        let seconds = |name| number(attributes, name);
        let is = |name: &str, value: &str| get(attributes, name) == Some(value);
        Ok(Self {
            fifo: is("FifoQueue", "true"),
            delay_ms: seconds("DelaySeconds") * 1000,
            size_max: usize::try_from(seconds("MaximumMessageSize")).unwrap_or(SIZE_MAX),
            retention_ms: seconds("MessageRetentionPeriod") * 1000,
            wait_ms: seconds("ReceiveMessageWaitTimeSeconds").unsigned_abs() * 1000,
            visibility_ms: seconds("VisibilityTimeout") * 1000,
            redrive: get(attributes, "RedrivePolicy").map(redrive).transpose()?,
            allow: get(attributes, "RedriveAllowPolicy").map(redrive_allow).transpose()?.unwrap_or(RedriveAllow::All),
            deduplicates_by_content: is("ContentBasedDeduplication", "true"),
            scope_is_group: is("DeduplicationScope", "messageGroup"),
            policy: get(attributes, "Policy").map(policy).transpose()?,
        })
    }
}

fn get<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    attributes.get(name).map(String::as_str)
}

/// A number that the attributes or, where they do not say, the defaults give.
fn number(attributes: &Attributes, name: &str) -> i64 {
    let default = || NUMBERS.iter().find(|(known, ..)| *known == name).map(|(.., default)| *default);
    get(attributes, name).or_else(default).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// What the attributes say with all that they leave to the defaults.
pub(super) fn with_defaults(attributes: &Attributes) -> Attributes {
    let mut all: Attributes = NUMBERS.iter().map(|(name, .., default)| ((*name).to_owned(), (*default).to_owned())).collect();
    all.insert("SqsManagedSseEnabled".into(), "true".into());
    if attributes.contains_key("KmsMasterKeyId") {
        all.insert("KmsDataKeyReusePeriodSeconds".into(), KEY_REUSE_DEFAULT.into());
    }
    if get(attributes, "FifoQueue") == Some("true") {
        all.extend(OF_FIFO.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    }
    all.extend(attributes.clone());
    all
}

/// What attributes a queue has after `changes` to those that it had: checked, in their written form. An empty policy takes it away. `created`:
/// the queue is being made, and its type may still be chosen.
pub(super) fn changed(before: &Attributes, changes: &Attributes, created: bool) -> Result<Attributes, SqsError> {
    let fifo = get(if created { changes } else { before }, "FifoQueue").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let mut after = before.clone();
    for (name, value) in changes {
        match checked(name, value, fifo, created)? {
            Some(value) => after.insert(name.clone(), value),
            None => after.remove(name),
        };
    }
    one_encryption(changes, &mut after)?;
    let throughput_by_group = get(&after, "FifoThroughputLimit") == Some("perMessageGroupId");
    if throughput_by_group && get(&after, "DeduplicationScope") != Some("messageGroup") {
        let reason = "The perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup.";
        return Err(SqsError::attribute("FifoThroughputLimit", reason));
    }
    Ok(after)
}

/// The written form of an attribute; `None` where it is the same as saying nothing.
fn checked(name: &str, value: &str, fifo: bool, created: bool) -> Result<Option<String>, SqsError> {
    if !SETTABLE.contains(&name) {
        return Err(unknown(name));
    }
    if let Some((_, least, greatest, _)) = NUMBERS.iter().find(|(known, ..)| *known == name) {
        return integer(name, value, *least, *greatest).map(Some);
    }
    match name {
        "FifoQueue" if !fifo => Err(unknown(name)),
        "FifoQueue" if !created && !value.eq_ignore_ascii_case("true") => {
            Err(SqsError::attribute(name, "Modifying queue type is not supported."))
        }
        "ContentBasedDeduplication" if !fifo => Err(unknown(name)),
        "DeduplicationScope" | "FifoThroughputLimit" if !fifo => {
            Err(SqsError::InvalidAttributeName(format!("You can specify the {name} only when FifoQueue is set to true.")))
        }
        "FifoQueue" | "ContentBasedDeduplication" | "SqsManagedSseEnabled" => Ok(Some(boolean(name, value)?)),
        "DeduplicationScope" => one_of(name, value, &["messageGroup", "queue"]),
        "FifoThroughputLimit" => one_of(name, value, &["perQueue", "perMessageGroupId"]),
        _ if value.is_empty() => Ok(None),
        "KmsMasterKeyId" => key(name, value).map(Some),
        "KmsDataKeyReusePeriodSeconds" => integer(name, value, KEY_REUSE.0, KEY_REUSE.1).map(Some),
        "RedrivePolicy" => redrive(value).map(|_| Some(value.to_owned())),
        "RedriveAllowPolicy" => redrive_allow(value).map(|_| Some(value.to_owned())),
        "Policy" => policy(value).map(|_| Some(value.to_owned())),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> SqsError {
    SqsError::InvalidAttributeName(format!("Unknown Attribute {name}."))
}

fn boolean(name: &str, value: &str) -> Result<String, SqsError> {
    match value.to_ascii_lowercase().as_str() {
        known @ ("true" | "false") => Ok(known.to_owned()),
        _ => Err(SqsError::attribute(name, "Must be true or false.")),
    }
}

fn one_of(name: &str, value: &str, known: &[&str]) -> Result<Option<String>, SqsError> {
    match known.contains(&value) {
        true => Ok(Some(value.to_owned())),
        false => Err(SqsError::attribute(name, format!("Must be one of {}.", known.join(", ")))),
    }
}

fn integer(name: &str, value: &str, least: i64, greatest: i64) -> Result<String, SqsError> {
    let number = value.parse::<i64>().ok().filter(|number| (least..=greatest).contains(number));
    let reason = || SqsError::attribute(name, format!("Must be an integer from {least} to {greatest}."));
    Ok(number.ok_or_else(reason)?.to_string())
}

/// What can be a key's id, ARN or alias. Whether there is such a key nobody asks: nothing is encrypted with it.
fn key(name: &str, value: &str) -> Result<String, SqsError> {
    match value.len() <= KEY_MAX && value.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(value.to_owned()),
        false => Err(SqsError::attribute(name, format!("Must be the id, ARN or alias of a key, of up to {KEY_MAX} bytes."))),
    }
}

/// A queue is encrypted in one way at a time: asking for one ends the other.
fn one_encryption(changes: &Attributes, after: &mut Attributes) -> Result<(), SqsError> {
    let by_key = get(changes, "KmsMasterKeyId").is_some_and(|key| !key.is_empty());
    let managed = get(changes, "SqsManagedSseEnabled").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    match (by_key, managed) {
        (true, true) => {
            let reason =
                "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.";
            return Err(SqsError::InvalidAttributeName(reason.into()));
        }
        (true, false) => {
            after.insert("SqsManagedSseEnabled".into(), "false".into());
        }
        (false, true) => {
            let had_key = after.remove("KmsMasterKeyId").is_some();
            if had_key && !changes.contains_key("KmsDataKeyReusePeriodSeconds") {
                after.remove("KmsDataKeyReusePeriodSeconds");
            }
        }
        (false, false) => {}
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RedriveText {
    dead_letter_target_arn: Option<String>,
    max_receive_count: Option<Value>,
}

pub(super) fn redrive(text: &str) -> Result<Redrive, SqsError> {
    let wrong = |reason: &str| SqsError::value(text, "RedrivePolicy", reason);
    let read: RedriveText =
        serde_json::from_str(text).map_err(|error| wrong(&format!("Redrive policy is not a valid JSON map: {error}")))?;
    let missing = |name| wrong(&format!("Redrive policy does not contain mandatory attribute: {name}."));
    let target = read.dead_letter_target_arn.ok_or_else(|| missing("deadLetterTargetArn"))?;
    let count = read.max_receive_count.ok_or_else(|| missing("maxReceiveCount"))?;
    let number = match &count {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let receives_max = number.and_then(|number| u32::try_from(number).ok()).filter(|number| (1..=1000).contains(number));
    let receives_max = receives_max.ok_or_else(|| {
        wrong(&format!("Invalid value for maxReceiveCount: {count}, valid values are from 1 to 1000 both inclusive."))
    })?;
    Ok(Redrive { target, receives_max })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RedriveAllowText {
    redrive_permission: String,
    source_queue_arns: Option<Vec<String>>,
}

fn redrive_allow(text: &str) -> Result<RedriveAllow, SqsError> {
    let wrong = |reason: &str| SqsError::value(text, "RedriveAllowPolicy", reason);
    let read: RedriveAllowText =
        serde_json::from_str(text).map_err(|error| wrong(&format!("Redrive allow policy is not valid: {error}")))?;
    match (read.redrive_permission.as_str(), read.source_queue_arns) {
        ("allowAll", None) => Ok(RedriveAllow::All),
        ("denyAll", None) => Ok(RedriveAllow::None),
        ("byQueue", Some(arns)) if (1..=10).contains(&arns.len()) => Ok(RedriveAllow::Queues(arns)),
        ("byQueue", _) => Err(wrong("byQueue needs from 1 to 10 sourceQueueArns.")),
        ("allowAll" | "denyAll", Some(_)) => Err(wrong("sourceQueueArns can be given only with redrivePermission byQueue.")),
        _ => Err(wrong("redrivePermission must be one of allowAll, denyAll, byQueue.")),
    }
}

fn policy(text: &str) -> Result<Arc<Policy>, SqsError> {
    if text.len() > POLICY_MAX {
        return Err(SqsError::attribute("Policy", format!("It has {} bytes; {POLICY_MAX} are allowed.", text.len())));
    }
    Policy::parse(text).map(Arc::new).map_err(|error| SqsError::attribute("Policy", error))
}

/// The first attribute (by name) that is wanted to be what it is not.
pub(super) fn difference<'a>(is: &Attributes, wanted: &'a Attributes) -> Option<&'a str> {
    let is = with_defaults(is);
    let same = |name: &str, wanted: &str| match get(&is, name) {
        Some(there) if there == wanted => true,
        // The order and the blanks of JSON say nothing.
        Some(there) if there.starts_with('{') => serde_json::from_str::<Value>(there).ok() == serde_json::from_str(wanted).ok(),
        Some(_) => false,
        None => name == "KmsDataKeyReusePeriodSeconds" && wanted == KEY_REUSE_DEFAULT,
    };
    wanted.iter().find(|(name, value)| !same(name, value)).map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Attributes {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_wrong_with_an_attribute_is_named() {
        let long = "k".repeat(2_049);
        for (pairs, expected) in [
            (vec![("VisibilityTimeout", "43201")], "VisibilityTimeout. Reason: Must be an integer from 0 to 43200"),
            (vec![("MaximumMessageSize", "1023")], "from 1024 to 1048576"),
            (vec![("DelaySeconds", "1.5")], "from 0 to 900"),
            (vec![("QueueArn", "x")], "Unknown Attribute QueueArn."),
            (vec![("Nonsense", "x")], "Unknown Attribute Nonsense."),
            (vec![("FifoQueue", "false")], "Unknown Attribute FifoQueue."),
            (vec![("ContentBasedDeduplication", "true")], "Unknown Attribute ContentBasedDeduplication."),
            (vec![("DeduplicationScope", "queue")], "only when FifoQueue is set to true"),
            (vec![("FifoQueue", "true"), ("FifoThroughputLimit", "perMessageGroupId")], "DeduplicationScope is messageGroup"),
            (vec![("KmsMasterKeyId", "alias/a b")], "KmsMasterKeyId. Reason: Must be the id, ARN or alias of a key"),
            (vec![("KmsMasterKeyId", long.as_str())], "of up to 2048 bytes"),
            (vec![("KmsDataKeyReusePeriodSeconds", "59")], "from 60 to 86400"),
            (vec![("KmsMasterKeyId", "alias/aws/sqs"), ("SqsManagedSseEnabled", "true")], "either enable KMS SSE or SQS SSE"),
            (vec![("SqsManagedSseEnabled", "maybe")], "true or false"),
            (vec![("RedrivePolicy", "{}")], "mandatory attribute: deadLetterTargetArn"),
            (vec![("RedrivePolicy", r#"{"deadLetterTargetArn":"a"}"#)], "mandatory attribute: maxReceiveCount"),
            (vec![("RedrivePolicy", r#"{"deadLetterTargetArn":"a","maxReceiveCount":0}"#)], "from 1 to 1000"),
            (vec![("RedrivePolicy", "nonsense")], "not a valid JSON map"),
            (vec![("RedriveAllowPolicy", r#"{"redrivePermission":"byQueue"}"#)], "from 1 to 10"),
            (vec![("Policy", "nonsense")], "Invalid value for the parameter Policy"),
        ] {
            let error = changed(&Attributes::new(), &of(&pairs), true).unwrap_err().to_string();
            assert!(error.contains(expected), "{pairs:?}: {error}");
        }
    }

    #[test]
    fn an_empty_policy_takes_it_away_and_numbers_lose_their_zeros() {
        let before = of(&[("RedrivePolicy", r#"{"deadLetterTargetArn":"a","maxReceiveCount":"5"}"#), ("DelaySeconds", "1")]);
        let after = changed(&before, &of(&[("RedrivePolicy", ""), ("DelaySeconds", "007")]), false).unwrap();
        assert_eq!(after, of(&[("DelaySeconds", "7")]));
    }

    #[test]
    fn a_difference_looks_at_defaults_and_at_what_json_means() {
        let is = of(&[("RedrivePolicy", r#"{"deadLetterTargetArn":"a","maxReceiveCount":5}"#)]);
        let same =
            of(&[("RedrivePolicy", r#"{ "maxReceiveCount": 5, "deadLetterTargetArn": "a" }"#), ("VisibilityTimeout", "30")]);
        assert_eq!(difference(&is, &same), None);
        assert_eq!(difference(&is, &of(&[("VisibilityTimeout", "31")])), Some("VisibilityTimeout"));
    }

    /// `SqsManagedSseEnabled`, `KmsMasterKeyId` and `KmsDataKeyReusePeriodSeconds`, as they are shown.
    fn encryption(attributes: &Attributes) -> (String, Option<String>, Option<String>) {
        let all = with_defaults(attributes);
        let of = |name| get(&all, name).map(str::to_owned);
        (of("SqsManagedSseEnabled").unwrap(), of("KmsMasterKeyId"), of("KmsDataKeyReusePeriodSeconds"))
    }

    #[test]
    fn a_queue_shows_one_way_of_encryption_at_a_time() {
        let shown = |managed: &str, key: Option<&str>, reuse: Option<&str>| {
            (managed.to_owned(), key.map(str::to_owned), reuse.map(str::to_owned))
        };
        let mut queue = Attributes::new();
        assert_eq!(encryption(&queue), shown("true", None, None));
        for (changes, expected) in [
            (vec![("KmsMasterKeyId", "alias/aws/sqs")], shown("false", Some("alias/aws/sqs"), Some("300"))),
            (vec![("KmsDataKeyReusePeriodSeconds", "0600")], shown("false", Some("alias/aws/sqs"), Some("600"))),
            (vec![("SqsManagedSseEnabled", "TRUE")], shown("true", None, None)),
            (vec![("KmsMasterKeyId", "k"), ("SqsManagedSseEnabled", "false")], shown("false", Some("k"), Some("300"))),
            (vec![("KmsMasterKeyId", "")], shown("false", None, None)),
            (vec![("SqsManagedSseEnabled", "true"), ("KmsMasterKeyId", "")], shown("true", None, None)),
            (vec![("SqsManagedSseEnabled", "false")], shown("false", None, None)),
        ] {
            queue = changed(&queue, &of(&changes), false).unwrap();
            assert_eq!(encryption(&queue), expected, "{changes:?}");
        }
    }

    #[test]
    fn a_queue_made_again_with_what_holds_anyway_is_the_same() {
        let wanted = |pairs: &[(&str, &str)]| changed(&Attributes::new(), &of(pairs), true).unwrap();
        let plain = Attributes::new();
        let same = wanted(&[("SqsManagedSseEnabled", "true"), ("KmsDataKeyReusePeriodSeconds", "300"), ("KmsMasterKeyId", "")]);
        assert_eq!(difference(&plain, &same), None);
        assert_eq!(difference(&plain, &wanted(&[("KmsMasterKeyId", "k")])), Some("KmsMasterKeyId"));
        let keyed = wanted(&[("KmsMasterKeyId", "k")]);
        assert_eq!(difference(&keyed, &wanted(&[("KmsMasterKeyId", "k"), ("KmsDataKeyReusePeriodSeconds", "300")])), None);
        assert_eq!(difference(&keyed, &of(&[("KmsDataKeyReusePeriodSeconds", "60")])), Some("KmsDataKeyReusePeriodSeconds"));
    }

    #[test]
    fn settings_follow_from_attributes() {
        let all = of(&[("FifoQueue", "true"), ("DeduplicationScope", "messageGroup"), ("DelaySeconds", "3")]);
        let settings = Settings::of(&all).unwrap();
        assert!(settings.fifo && settings.scope_is_group && !settings.deduplicates_by_content);
        assert_eq!((settings.delay_ms, settings.visibility_ms, settings.retention_ms), (3_000, 30_000, 345_600_000));
    }
}
