//! The messages of notifications: S3 user guide, "Event message structure".

use crate::lake::notify::{Change, DestinationKind, To};
use crate::runtime::delivery::{Delivery, Parameters, RetryPolicy, Sender};
use millpond_core::env::iso8601;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::sync::Arc;

/// What topics show above a message.
const SUBJECT: &str = "Amazon S3 Notification";

/// All but these stand as `%XX` in a key; a space is `+`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/').remove(b' ');

/// A bucket's ARN.
pub(super) fn bucket_arn(bucket: &str) -> String {
    format!("arn:aws:s3:::{bucket}")
}

/// A key as messages have it: encoded as in a URL's form.
fn encoded(key: &str) -> String {
    utf8_percent_encode(key, ENCODED).to_string().replace(' ', "+")
}

/// The version of a message's form: events that came to S3 later have a later one.
fn version(event: &str) -> &'static str {
    match event.split(':').next() {
        Some("ObjectCreated" | "ObjectRemoved" | "ObjectRestore" | "ReducedRedundancyLostObject") => "2.1",
        _ => "2.3",
    }
}

/// What a change tells one notification. `owner` is the bucket's, `region` is where it is.
pub(super) fn record(change: &Change, to: &To, owner: &str, region: &str) -> Arc<str> {
    let mut object = json!({ "key": encoded(&change.key) });
    let members = [
        ("size", change.size.map(Value::from)),
        ("eTag", change.etag.clone().map(Value::from)),
        ("sequencer", change.sequencer.clone().map(Value::from)),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            object[name] = value;
        }
    }
    // The lake's own work has neither a request nor an address.
    let request_id =
        if change.request_id.is_empty() { change.sequencer.as_deref().unwrap_or_default() } else { &change.request_id };
    let source_ip = if change.source_ip.is_empty() { "127.0.0.1" } else { &change.source_ip };
    let message = json!({ "Records": [{
        "eventVersion": version(&change.event),
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": iso8601(change.time_ms, true),
        "eventName": change.event,
        "userIdentity": { "principalId": format!("AWS:{}", change.requester) },
        "requestParameters": { "sourceIPAddress": source_ip },
        "responseElements": { "x-amz-request-id": request_id, "x-amz-id-2": request_id },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": to.id,
            "bucket": {
                "name": change.bucket,
                "ownerIdentity": { "principalId": owner },
                "arn": bucket_arn(&change.bucket),
            },
            "object": object,
        },
    }] });
    message.to_string().into()
}

/// What queues and topics get when a notification to them is set.
pub(super) fn test(bucket: &str, now_ms: i64, request_id: &str) -> Arc<str> {
    let message = json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": iso8601(now_ms, true),
        "Bucket": bucket,
        "RequestId": request_id,
        "HostId": request_id,
    });
    message.to_string().into()
}

/// Sends a message to a destination.
pub(super) fn delivery(bucket: &str, id: &str, kind: DestinationKind, arn: &str, input: Arc<str>) -> Delivery {
    let subject = (kind == DestinationKind::Topic).then(|| SUBJECT.to_owned());
    Delivery {
        target: arn.to_owned(),
        source: bucket_arn(bucket),
        target_id: id.to_owned(),
        sender: Sender::S3,
        input,
        event: None,
        parameters: Parameters { subject, ..Parameters::default() },
        retry: RetryPolicy::default(),
        dead_letter: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_as_s3_does() {
        for (key, expected) in [
            ("flights/2024/a.csv", "flights/2024/a.csv"),
            ("year=2024/my file+1.csv", "year%3D2024/my+file%2B1.csv"),
            ("Zoë/日", "Zo%C3%AB/%E6%97%A5"),
            ("a(b)!'~*_-.", "a%28b%29%21%27%7E*_-."),
            ("100%", "100%25"),
            ("line\nbreak&<x>", "line%0Abreak%26%3Cx%3E"),
        ] {
            assert_eq!(encoded(key), expected);
        }
    }

    #[test]
    fn a_message_has_the_members_of_its_event() {
        let to = To { id: "n".into(), kind: DestinationKind::Queue, arn: "arn:aws:sqs:us-east-1:000000000000:q".into() };
        let put = Change {
            event: "ObjectCreated:Put".into(),
            time_ms: 1_700_000_000_123,
            bucket: "raw".into(),
            key: "a b".into(),
            size: Some(5),
            etag: Some("e".into()),
            sequencer: Some("000000000000000A".into()),
            requester: "000000000000".into(),
            source_ip: "10.0.0.1".into(),
            request_id: "R".into(),
            to: vec![to.clone()],
        };
        let message: Value = serde_json::from_str(&record(&put, &to, "000000000000", "us-east-1")).unwrap();
        let expected = json!({ "Records": [{
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventTime": "2023-11-14T22:13:20.123Z",
            "eventName": "ObjectCreated:Put", "userIdentity": { "principalId": "AWS:000000000000" },
            "requestParameters": { "sourceIPAddress": "10.0.0.1" },
            "responseElements": { "x-amz-request-id": "R", "x-amz-id-2": "R" },
            "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "n",
                "bucket": { "name": "raw", "ownerIdentity": { "principalId": "000000000000" }, "arn": "arn:aws:s3:::raw" },
                "object": { "key": "a+b", "size": 5, "eTag": "e", "sequencer": "000000000000000A" },
            },
        }] });
        assert_eq!(message, expected);
        let delete = Change { event: "ObjectRemoved:Delete".into(), size: None, etag: None, ..put.clone() };
        let message: Value = serde_json::from_str(&record(&delete, &to, "o", "us-east-1")).unwrap();
        assert_eq!(message["Records"][0]["s3"]["object"], json!({ "key": "a+b", "sequencer": "000000000000000A" }));
        let tags = Change { event: "ObjectTagging:Put".into(), size: None, sequencer: None, ..put };
        let message: Value = serde_json::from_str(&record(&tags, &to, "o", "us-east-1")).unwrap();
        assert_eq!(message["Records"][0]["eventVersion"], "2.3");
    }
}
