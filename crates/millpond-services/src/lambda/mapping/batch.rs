//! A batch of messages as its function sees it, and what the function answered about it.

use crate::lambda::LambdaError;
use crate::runtime::source::SourceMessage;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millpond_core::event::pattern::Pattern;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Patterns of a mapping: "Lambda quotas" allow five, ten on request.
const FILTERS_MAX: usize = 10;

/// A message as a record of the event: "Using Lambda with Amazon SQS".
pub(super) fn record(message: &SourceMessage, source: &str, arn: &str, region: &str) -> Value {
    let attributes: Map<String, Value> =
        message.attributes.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let mut message_attributes = Map::new();
    for (name, attribute) in &message.message_attributes {
        let mut value = Map::new();
        if let Some(text) = &attribute.text {
            value.insert("stringValue".into(), json!(text));
        }
        if let Some(binary) = &attribute.binary {
            value.insert("binaryValue".into(), json!(STANDARD.encode(binary)));
        }
        value.insert("stringListValues".into(), json!([]));
        value.insert("binaryListValues".into(), json!([]));
        value.insert("dataType".into(), json!(attribute.data_type));
        message_attributes.insert(name.clone(), Value::Object(value));
    }
    let mut record = Map::new();
    record.insert("messageId".into(), json!(message.message_id));
    record.insert("receiptHandle".into(), json!(message.receipt));
    record.insert("body".into(), json!(message.body));
    record.insert("attributes".into(), Value::Object(attributes));
    record.insert("messageAttributes".into(), Value::Object(message_attributes));
    if let Some(md5) = &message.md5_of_message_attributes {
        record.insert("md5OfMessageAttributes".into(), json!(md5));
    }
    record.insert("md5OfBody".into(), json!(message.md5_of_body));
    record.insert("eventSource".into(), json!(source));
    record.insert("eventSourceARN".into(), json!(arn));
    record.insert("awsRegion".into(), json!(region));
    Value::Object(record)
}

/// The patterns of a mapping, compiled.
#[derive(Debug)]
pub(super) struct Filters(Vec<Pattern>);

impl Filters {
    pub(super) fn parse(texts: &[String]) -> Result<Self, LambdaError> {
        if texts.len() > FILTERS_MAX {
            return Err(LambdaError::invalid(format!("A mapping has up to {FILTERS_MAX} filters.")));
        }
        let compiled = texts.iter().map(|text| {
            Pattern::parse(text).map_err(|error| LambdaError::invalid(format!("Invalid filter pattern definition. ({error})")))
        });
        Ok(Self(compiled.collect::<Result<_, _>>()?))
    }

    /// Whether a record is wanted. A body that is JSON is looked into; another one is compared as text.
    pub(super) fn want(&self, record: &Value) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let mut seen = record.clone();
        let parsed: Option<Value> = record["body"].as_str().and_then(|body| serde_json::from_str(body).ok());
        if let Some(parsed) = parsed.filter(|parsed| parsed.is_object() || parsed.is_array()) {
            seen["body"] = parsed;
        }
        self.0.iter().any(|pattern| pattern.matches(&seen))
    }
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All messages are done.
    Done,
    /// All but these are.
    Failed(HashSet<String>),
    /// None is.
    AllFailed,
}

/// Reads what a function answered that reports failures: "Implementing partial batch responses" says what counts as what.
pub(super) fn verdict(answer: &[u8], ids: &HashSet<&str>) -> Verdict {
    let failures = match serde_json::from_slice::<Value>(answer) {
        Ok(Value::Null) => return Verdict::Done,
        Ok(Value::String(text)) if text.is_empty() => return Verdict::Done,
        Ok(Value::Object(mut answer)) => answer.remove("batchItemFailures").unwrap_or_default(),
        Ok(_) | Err(_) => return Verdict::AllFailed,
    };
    let list = match failures {
        Value::Null => return Verdict::Done,
        Value::Array(list) => list,
        _ => return Verdict::AllFailed,
    };
    let mut failed = HashSet::new();
    for item in list {
        match item.get("itemIdentifier").and_then(Value::as_str) {
            Some(id) if ids.contains(id) => failed.insert(id.to_owned()),
            // No id, an empty one, or one that was not in the batch: nothing is known, so nothing counts as done.
            _ => return Verdict::AllFailed,
        };
    }
    if failed.is_empty() { Verdict::Done } else { Verdict::Failed(failed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::source::SourceAttribute;
    use std::collections::BTreeMap;

    fn message(body: &str) -> SourceMessage {
        SourceMessage {
            message_id: "m1".into(),
            receipt: "r1".into(),
            body: body.into(),
            md5_of_body: "5d41402abc4b2a76b9719d911017c592".into(),
            attributes: BTreeMap::from([("ApproximateReceiveCount", "1".to_owned())]),
            message_attributes: BTreeMap::from([(
                "Weeks".to_owned(),
                SourceAttribute { data_type: "Number".into(), text: Some("6".into()), binary: None },
            )]),
            md5_of_message_attributes: Some("d25a6aea97eb8f585bfa92d314504a92".into()),
        }
    }

    fn seen(body: &str) -> Value {
        record(&message(body), "aws:sqs", "arn:aws:sqs:us-east-1:000000000000:q", "us-east-1")
    }

    #[test]
    fn a_record_has_the_form_of_aws() {
        let expected = concat!(
            r#"{"messageId":"m1","receiptHandle":"r1","body":"hello","attributes":{"ApproximateReceiveCount":"1"},"#,
            r#""messageAttributes":{"Weeks":{"stringValue":"6","stringListValues":[],"binaryListValues":[],"dataType":"Number"}},"#,
            r#""md5OfMessageAttributes":"d25a6aea97eb8f585bfa92d314504a92","md5OfBody":"5d41402abc4b2a76b9719d911017c592","#,
            r#""eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:us-east-1:000000000000:q","awsRegion":"us-east-1"}"#
        );
        assert_eq!(seen("hello").to_string(), expected);
    }

    #[test]
    fn filters_look_into_bodies_that_are_json() {
        let wants = |pattern: &str, body: &str| Filters::parse(&[pattern.to_owned()]).unwrap().want(&seen(body));
        assert!(wants(r#"{"body": {"kind": ["file"]}}"#, r#"{"kind": "file", "size": 3}"#));
        assert!(!wants(r#"{"body": {"kind": ["file"]}}"#, r#"{"kind": "folder"}"#));
        assert!(!wants(r#"{"body": {"kind": ["file"]}}"#, "file"));
        assert!(wants(r#"{"body": ["plain text"]}"#, "plain text"));
        assert!(wants(r#"{"body": {"size": [{"numeric": [">", 2]}]}}"#, r#"{"size": 3}"#));
        let either = ["{\"body\": [\"a\"]}".to_owned(), "{\"body\": [\"b\"]}".to_owned()];
        let either = Filters::parse(&either).unwrap();
        assert!(either.want(&seen("a")) && either.want(&seen("b")) && !either.want(&seen("c")));
        assert!(Filters::parse(&[]).unwrap().want(&seen("c")));
        for bad in ["null", "\"text\"", "{", "[]"] {
            let refused = Filters::parse(&[bad.to_owned()]).unwrap_err().to_string();
            assert!(refused.starts_with("Invalid filter pattern definition."), "{bad}: {refused}");
        }
    }

    #[test]
    fn an_answer_says_which_messages_failed() {
        let ids = HashSet::from(["a", "b", "c"]);
        let failed = |list: &[&str]| Verdict::Failed(list.iter().map(ToString::to_string).collect());
        for (answer, expected) in [
            ("null", Verdict::Done),
            ("{}", Verdict::Done),
            ("\"\"", Verdict::Done),
            (r#"{"statusCode": 200}"#, Verdict::Done),
            (r#"{"batchItemFailures": null}"#, Verdict::Done),
            (r#"{"batchItemFailures": []}"#, Verdict::Done),
            (r#"{"batchItemFailures": [{"itemIdentifier": "b"}]}"#, failed(&["b"])),
            (r#"{"batchItemFailures": [{"itemIdentifier": "b"}, {"itemIdentifier": "a"}]}"#, failed(&["a", "b"])),
            (r#"{"batchItemFailures": [{"itemIdentifier": ""}]}"#, Verdict::AllFailed),
            (r#"{"batchItemFailures": [{"itemIdentifier": null}]}"#, Verdict::AllFailed),
            (r#"{"batchItemFailures": [{"foo": "b"}]}"#, Verdict::AllFailed),
            (r#"{"batchItemFailures": [{"itemIdentifier": "unknown"}]}"#, Verdict::AllFailed),
            (r#"{"batchItemFailures": "b"}"#, Verdict::AllFailed),
            ("\"done\"", Verdict::AllFailed),
            ("not json", Verdict::AllFailed),
        ] {
            assert_eq!(verdict(answer.as_bytes(), &ids), expected, "{answer}");
        }
    }
}
