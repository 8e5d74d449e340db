//! What is told of an asynchronous invocation when it is over: the record for a destination, the message for a dead-letter target.

use super::queue::Queued;
use crate::runtime::delivery::{Delivery, MessageAttribute, Parameters, RetryPolicy, Sender};
use crate::runtime::text::{escaped_json, replaced};
use millpond_core::env::iso8601;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How an invocation ended: `condition` of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// The function answered.
    Success,
    /// It failed as often as it may.
    RetriesExhausted,
    /// It waited as long as it may.
    EventAgeExceeded,
    /// Its function may not run at all.
    ZeroReservedConcurrency,
}

impl Condition {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::RetriesExhausted => "RetriesExhausted",
            Self::EventAgeExceeded => "EventAgeExceeded",
            Self::ZeroReservedConcurrency => "ZeroReservedConcurrency",
        }
    }
}

/// The last answer of the function; absent where it never ran.
#[derive(Debug, Clone)]
pub(super) struct Response {
    pub(super) executed_version: String,
    pub(super) function_error: Option<&'static str>,
    pub(super) payload: bytes::Bytes,
}

/// The end of an asynchronous invocation.
#[derive(Debug)]
pub(super) struct End<'a> {
    pub(super) queued: &'a Queued,
    /// With the qualifier, `$LATEST` where none was given.
    pub(super) function_arn: String,
    pub(super) condition: Condition,
    /// How often the function ran.
    pub(super) count: u32,
    pub(super) response: Option<Response>,
    /// What failed, for people.
    pub(super) reason: String,
    pub(super) now_ms: i64,
}

/// JSON as it is written, with its large numbers and its keys that stand twice; anything else as a string.
fn raw(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    match serde_json::from_slice::<Value>(bytes) {
        Ok(_) => text,
        Err(_) => Cow::Owned(Value::String(text.into_owned()).to_string()),
    }
}

impl End<'_> {
    /// The record of "Capturing records of Lambda asynchronous invocations".
    pub(super) fn record(&self) -> String {
        let request = json!({
            "requestId": self.queued.request_id,
            "functionArn": self.function_arn,
            "condition": self.condition.name(),
            "approximateInvokeCount": self.count,
        });
        let (timestamp, payload) = (json!(iso8601(self.now_ms, true)), raw(self.queued.event.as_bytes()));
        let mut record =
            format!(r#"{{"version":"1.0","timestamp":{timestamp},"requestContext":{request},"requestPayload":{payload}"#);
        if let Some(response) = &self.response {
            let mut context = json!({ "statusCode": 200, "executedVersion": response.executed_version });
            if let Some(error) = response.function_error {
                context["functionError"] = json!(error);
            }
            let payload = raw(&response.payload);
            write!(record, r#","responseContext":{context},"responsePayload":{payload}"#).expect("a string takes all text");
        }
        record.push('}');
        record
    }

    /// The record on its way to a destination.
    pub(super) fn to_destination(&self, target: &str) -> Delivery {
        let id = if self.condition == Condition::Success { "OnSuccess" } else { "OnFailure" };
        self.delivery(target, id, self.record(), BTreeMap::new())
    }

    /// The event on its way to a dead-letter target: "Dead-letter queues" of the developer guide names the attributes.
    pub(super) fn to_dead_letter(&self, target: &str) -> Delivery {
        let code = match (&self.response, self.condition) {
            (Some(_), _) => "200",
            (None, Condition::ZeroReservedConcurrency | Condition::EventAgeExceeded) => "429",
            (None, _) => "500",
        };
        let message = error_message(self.response.as_ref()).unwrap_or_else(|| self.reason.clone());
        let attributes = BTreeMap::from([
            ("RequestID".to_owned(), MessageAttribute::text(&self.queued.request_id)),
            ("ErrorCode".to_owned(), MessageAttribute { data_type: "Number".into(), value: code.into() }),
            ("ErrorMessage".to_owned(), MessageAttribute::text(first_kib(&replaced(&message)))),
        ]);
        self.delivery(target, "DeadLetterConfig", self.queued.event.clone(), attributes)
    }

    fn delivery(&self, target: &str, id: &str, input: String, attributes: BTreeMap<String, MessageAttribute>) -> Delivery {
        Delivery {
            target: target.to_owned(),
            source: self.function_arn.clone(),
            target_id: id.to_owned(),
            sender: Sender::Lambda,
            input: escaped_json(&input).into(),
            event: None,
            parameters: Parameters { attributes, ..Parameters::default() },
            retry: RetryPolicy::default(),
            dead_letter: None,
        }
    }
}

/// What a function's error document says.
pub(super) fn error_message(response: Option<&Response>) -> Option<String> {
    let document: Value = serde_json::from_slice(&response?.payload).ok()?;
    let message = document.get("errorMessage")?.as_str()?.to_owned();
    Some(message).filter(|message| !message.is_empty())
}

/// The first 1,024 bytes, in whole characters; attributes must not be empty.
fn first_kib(text: &str) -> String {
    let mut end = text.len().min(1024);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if end == 0 { "unknown".to_owned() } else { text[..end].to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:q";

    fn queued() -> Queued {
        Queued {
            function: "f".into(),
            qualifier: None,
            request_id: "r".into(),
            event: r#"{"b":1,"a":2}"#.into(),
            since_ms: 0,
            trace_id: None,
            source: None,
        }
    }

    fn end<'a>(queued: &'a Queued, payload: &'static str) -> End<'a> {
        End {
            queued,
            function_arn: "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST".into(),
            condition: Condition::RetriesExhausted,
            count: 3,
            response: Some(Response {
                executed_version: "$LATEST".into(),
                function_error: Some("Unhandled"),
                payload: bytes::Bytes::from_static(payload.as_bytes()),
            }),
            reason: "it failed".into(),
            now_ms: 1_714_564_800_123,
        }
    }

    fn failed(queued: &Queued, payload: &'static str) -> Value {
        let end = end(queued, payload);
        let record: Value = serde_json::from_str(&end.record()).unwrap();
        json!({ "record": record, "letter": end.to_dead_letter(QUEUE).parameters })
    }

    #[test]
    fn a_record_says_what_was_asked_and_what_came_of_it() {
        let found = failed(&queued(), r#"{"errorMessage":"no","errorType":"E"}"#);
        let expected = concat!(
            r#"{"version":"1.0","timestamp":"2024-05-01T12:00:00.123Z","requestContext":{"requestId":"r","#,
            r#""functionArn":"arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST","condition":"RetriesExhausted","#,
            r#""approximateInvokeCount":3},"requestPayload":{"b":1,"a":2},"responseContext":{"statusCode":200,"#,
            r#""executedVersion":"$LATEST","functionError":"Unhandled"},"responsePayload":{"errorMessage":"no","errorType":"E"}}"#
        );
        assert_eq!(found["record"].to_string(), expected);
        assert_eq!(found["letter"]["attributes"]["ErrorMessage"]["value"], "no");
        assert_eq!(found["letter"]["attributes"]["ErrorCode"]["data_type"], "Number");
    }

    #[test]
    fn what_is_no_error_document_is_told_as_text() {
        let found = failed(&queued(), "broken");
        assert_eq!(found["record"]["responsePayload"], "broken");
        assert_eq!(found["letter"]["attributes"]["ErrorMessage"]["value"], "it failed");
    }

    #[test]
    fn payloads_are_told_as_they_were_written() {
        let event = r#"{"n": 123456789012345678901234567890, "n": 1.10}"#;
        let queued = Queued { event: event.into(), ..queued() };
        let record = end(&queued, r#"[0.1e1, 18446744073709551617]"#).record();
        assert!(record.contains(&format!(r#""requestPayload":{event},"responseContext""#)), "{record}");
        assert!(record.ends_with(r#""responsePayload":[0.1e1, 18446744073709551617]}"#), "{record}");
    }

    #[test]
    fn what_a_queue_would_refuse_is_written_so_that_it_does_not() {
        let queued = Queued { event: "{\"a\":\"\u{fffe}\"}".into(), ..queued() };
        let end = end(&queued, "{\"errorMessage\":\"a\\u0000b\\u0001c\u{ffff}\"}");
        let letter = end.to_dead_letter(QUEUE);
        assert_eq!(letter.parameters.attributes["ErrorMessage"].value, "a\u{fffd}b\u{fffd}c\u{fffd}");
        assert_eq!(&*letter.input, r#"{"a":"\ufffe"}"#);
        let record = end.to_destination(QUEUE).input;
        assert!(record.contains(r#""requestPayload":{"a":"\ufffe"}"#), "{record}");
        assert!(record.ends_with(r#""responsePayload":{"errorMessage":"a\u0000b\u0001c\uffff"}}"#), "{record}");
        // Text that is no JSON, too: as a string within the record.
        let record = super::tests::end(&queued, "broken \u{ffff}\u{1}").to_destination(QUEUE).input;
        assert!(record.ends_with(r#""responsePayload":"broken \uffff\u0001"}"#), "{record}");
    }

    #[test]
    fn error_messages_are_cut_between_characters() {
        assert_eq!(first_kib(&"é".repeat(600)).len(), 1024);
        assert_eq!(first_kib(&format!("x{}", "é".repeat(600))).len(), 1023);
        assert_eq!(first_kib(""), "unknown");
    }
}
