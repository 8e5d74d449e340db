use super::*;
use crate::runtime::Failure;
use crate::runtime::delivery::{Delivery, Parameters, RetryPolicy, Sender, Targets};
use crate::runtime::source::{Ask as SourceAsk, EventSource, SourceError};
use millpond_core::arn::Arn;

const RULE: &str = "arn:aws:events:us-east-1:000000000000:rule/r";

fn delivery(target: &str, sender: Sender) -> Delivery {
    Delivery {
        target: target.into(),
        source: RULE.into(),
        target_id: "1".into(),
        sender,
        input: "hello".into(),
        event: None,
        parameters: Parameters::default(),
        retry: RetryPolicy::default(),
        dead_letter: None,
    }
}

fn policy(principal: &str, source: &str, queue: &str) -> String {
    serde_json::json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": principal }, "Action": "sqs:SendMessage", "Resource": queue,
        "Condition": { "ArnEquals": { "aws:SourceArn": source }, "StringEquals": { "aws:SourceAccount": "000000000000" } },
    }] })
    .to_string()
}

async fn deliver(fixture: &Fixture, delivery: Delivery) -> Result<(), Failure> {
    let (lake, targets) = (fixture.lake.clone(), Targets::new(vec![Arc::new(fixture.sqs.clone())]));
    fixture.lake.store.write(move |tx| targets.deliver(tx, &lake, &delivery)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_needs_the_queues_policy() {
    let fixture = Fixture::new();
    fixture.create("q", &[]).await;
    let arn = fixture.arn("q");
    let refused = deliver(&fixture, delivery(&arn, Sender::Events)).await.unwrap_err();
    assert_eq!((refused.retry, refused.code), (false, Some("NO_PERMISSIONS")));
    for part in ["sqs:SendMessage", "events.amazonaws.com", RULE, &arn, "set-queue-attributes"] {
        assert!(refused.reason.contains(part), "{part}: {}", refused.reason);
    }
    for (principal, source, allowed) in [
        ("events.amazonaws.com", RULE, true),
        ("sns.amazonaws.com", RULE, false),
        ("events.amazonaws.com", "arn:aws:events:us-east-1:000000000000:rule/other", false),
    ] {
        let set = of(&[("Policy", &policy(principal, source, &arn))]);
        fixture.sqs.set_queue_attributes("q", set).await.unwrap();
        assert_eq!(deliver(&fixture, delivery(&arn, Sender::Events)).await.is_ok(), allowed, "{principal} {source}");
    }
    // A function sends with its own role.
    deliver(&fixture, delivery(&arn, Sender::Lambda)).await.unwrap();
    let received = fixture.receive("q", 10).await;
    assert_eq!(bodies(&received), ["hello", "hello"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_brings_its_attributes_and_groups() {
    let fixture = Fixture::new();
    fixture.create("q.fifo", &[]).await;
    fixture.create("q", &[]).await;
    let parameters = Parameters {
        message_group_id: Some("g".into()),
        message_deduplication_id: Some("d".into()),
        attributes: [("RULE_ARN".to_owned(), MessageAttribute::text(RULE))].into(),
        ..Parameters::default()
    };
    for queue in ["q.fifo", "q"] {
        let arn = fixture.arn(queue);
        deliver(&fixture, Delivery { parameters: parameters.clone(), ..delivery(&arn, Sender::Lambda) }).await.unwrap();
        let received = fixture.receive(queue, 1).await.remove(0);
        assert_eq!(received.attributes, parameters.attributes);
        assert_eq!(received.group_id.as_deref(), Some("g"));
    }
    let bare = deliver(&fixture, delivery(&fixture.arn("q.fifo"), Sender::Lambda)).await.unwrap_err();
    assert!(!bare.retry && bare.reason.contains("MessageGroupId"), "{}", bare.reason);
    let gone = deliver(&fixture, delivery(&fixture.arn("none"), Sender::Lambda)).await.unwrap_err();
    assert_eq!((gone.retry, gone.code), (false, Some("NO_RESOURCE")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_a_source_for_pollers() {
    let fixture = Fixture::new();
    fixture.create("q", &[("VisibilityTimeout", "7")]).await;
    let arn: Arn = fixture.arn("q").parse().unwrap();
    let sqs: &dyn EventSource = &fixture.sqs;
    assert!(sqs.accepts(&arn));
    for n in 0..25 {
        fixture.send("q", &n.to_string()).await;
    }
    let facts = sqs.facts(&arn).await.unwrap();
    assert_eq!((facts.visibility_timeout_seconds, facts.fifo, facts.visible), (7, false, 25));
    let all = sqs.receive(&arn, SourceAsk { max: 100, wait_ms: 0, visibility_ms: None }).await.unwrap();
    assert_eq!(all.len(), 25);
    assert_eq!(all[0].attributes["ApproximateReceiveCount"], "1");
    let receipts = |range: std::ops::Range<usize>| all[range].iter().map(|message| message.receipt.clone()).collect();
    sqs.delete(&arn, receipts(0..20)).await.unwrap();
    sqs.delete(&arn, receipts(0..20)).await.unwrap();
    sqs.release(&arn, receipts(15..25), 0).await.unwrap();
    assert_eq!(fixture.counts("q").await, (5, 0, 0));
    // Those that are visible again stay so: whoever polls next gets them.
    sqs.release(&arn, receipts(20..25), 60).await.unwrap();
    assert_eq!(fixture.counts("q").await, (5, 0, 0));
    assert!(matches!(sqs.delete(&arn, vec!["garbage".into()]).await, Err(SourceError::Invalid(_))));
    let none: Arn = fixture.arn("none").parse().unwrap();
    assert!(matches!(sqs.facts(&none).await, Err(SourceError::Missing(_))));
}
