use super::*;

async fn five(fixture: &Fixture, queue: &str) {
    for (group, body) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("b", "b2"), ("a", "a3")] {
        fixture.send_to(queue, group, body).await;
        fixture.pass(1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_handed_out_in_order_and_wait_while_their_first_is_in_flight() {
    let fixture = Fixture::new();
    fixture.create("q.fifo", &[]).await;
    five(&fixture, "q.fifo").await;
    let first = fixture.receive("q.fifo", 2).await;
    assert_eq!(bodies(&first), ["a1", "a2"], "as many of one group as there are");
    assert_eq!(bodies(&fixture.receive("q.fifo", 10).await), ["b1", "b2"], "a3 waits behind a1 and a2");
    assert_eq!(fixture.receive("q.fifo", 10).await, []);
    assert_eq!(fixture.counts("q.fifo").await, (1, 4, 0));
    fixture.delete("q.fifo", &first[0]).await.unwrap();
    assert_eq!(fixture.receive("q.fifo", 10).await, [], "a2 is still in flight");
    fixture.delete("q.fifo", &first[1]).await.unwrap();
    assert_eq!(bodies(&fixture.receive("q.fifo", 10).await), ["a3"]);
    assert!(first[0].sequence_number < first[1].sequence_number);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_front_of_a_hidden_message_can_be_received() {
    // As AWS does, see "fifo group visibility" in its recorded answers: the messages up to the first hidden one.
    for (extended, expected) in [(0, vec![]), (1, vec!["m0"]), (2, vec!["m0", "m1"])] {
        let fixture = Fixture::new();
        fixture.create("q.fifo", &[("VisibilityTimeout", "1")]).await;
        for n in 0..3 {
            fixture.send_to("q.fifo", "g", &format!("m{n}")).await;
        }
        let all = fixture.receive("q.fifo", 5).await;
        assert_eq!(all.len(), 3);
        fixture.sqs.change_visibility("q.fifo", all[extended].receipt.clone(), 4).await.unwrap();
        fixture.pass(2);
        assert_eq!(bodies(&fixture.receive("q.fifo", 5).await), expected, "{extended}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_first_message_comes_again_before_those_behind_it() {
    let fixture = Fixture::new();
    fixture.create("q.fifo", &[]).await;
    five(&fixture, "q.fifo").await;
    let first = fixture.receive("q.fifo", 2).await;
    fixture.sqs.change_visibility("q.fifo", first[0].receipt.clone(), 0).await.unwrap();
    assert_eq!(bodies(&fixture.receive("q.fifo", 10).await), ["b1", "b2", "a1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_in_order_again_after_their_timeout() {
    let fixture = Fixture::new();
    fixture.create("q.fifo", &[]).await;
    five(&fixture, "q.fifo").await;
    for _ in 0..3 {
        let all = fixture.receive("q.fifo", 10).await;
        let of = |group: &str| -> Vec<&str> { bodies(&all).into_iter().filter(|body| body.starts_with(group)).collect() };
        assert_eq!((of("a"), of("b")), (vec!["a1", "a2", "a3"], vec!["b1", "b2"]));
        fixture.pass(30);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_receipt_deletes_nothing() {
    let fixture = Fixture::new();
    fixture.create("q.fifo", &[]).await;
    fixture.send_to("q.fifo", "g", "x").await;
    let received = fixture.receive("q.fifo", 1).await.remove(0);
    fixture.pass(30);
    for error in [
        fixture.delete("q.fifo", &received).await.unwrap_err(),
        fixture.sqs.change_visibility("q.fifo", received.receipt.clone(), 1).await.unwrap_err(),
    ] {
        assert!(error.to_string().ends_with("Reason: The receipt handle has expired."), "{error}");
    }
    let again = fixture.receive("q.fifo", 1).await.remove(0);
    assert!(fixture.delete("q.fifo", &received).await.is_err(), "it was received again since");
    fixture.delete("q.fifo", &again).await.unwrap();
    fixture.delete("q.fifo", &again).await.unwrap();
    assert_eq!((fixture.rows("sqs_group").await, fixture.rows("sqs_body").await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_accepted_and_not_delivered_for_five_minutes() {
    let fixture = Fixture::new();
    fixture.create("q.fifo", &[("ContentBasedDeduplication", "true")]).await;
    let by_content = |group: &str, body: &str| NewMessage { group_id: Some(group.into()), ..text(body) };
    let first = fixture.sqs.send_message("q.fifo", by_content("a", "x")).await.unwrap();
    let second = fixture.sqs.send_message("q.fifo", by_content("b", "x")).await.unwrap();
    assert_eq!((&first.message_id, &first.sequence_number), (&second.message_id, &second.sequence_number));
    let received = fixture.receive("q.fifo", 10).await;
    assert_eq!(received.len(), 1);
    let hash = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    assert_eq!(received[0].deduplication_id.as_deref(), Some(hash));
    fixture.delete("q.fifo", &received[0]).await.unwrap();
    // Also after it was deleted; and under the hash as an id of its own.
    let explicit = NewMessage { deduplication_id: Some(hash.into()), ..by_content("a", "y") };
    assert_eq!(fixture.sqs.send_message("q.fifo", explicit).await.unwrap().message_id, first.message_id);
    assert_eq!(fixture.receive("q.fifo", 10).await, []);
    fixture.pass(300);
    assert_ne!(fixture.sqs.send_message("q.fifo", by_content("a", "x")).await.unwrap().message_id, first.message_id);
    assert_eq!(fixture.receive("q.fifo", 10).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deduplication_can_look_at_groups_alone() {
    let fixture = Fixture::new();
    let attributes = [("DeduplicationScope", "messageGroup"), ("FifoThroughputLimit", "perMessageGroupId")];
    fixture.create("q.fifo", &attributes).await;
    for (group, expected) in [("a", 1), ("b", 2), ("a", 2)] {
        let message = NewMessage { group_id: Some(group.into()), deduplication_id: Some("id".into()), ..text("x") };
        fixture.sqs.send_message("q.fifo", message).await.unwrap();
        assert_eq!(fixture.counts("q.fifo").await.0, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_fifo_queue_needs_is_asked_for() {
    let fixture = Fixture::new();
    fixture.create("q.fifo", &[]).await;
    let grouped = NewMessage { group_id: Some("g".into()), ..text("x") };
    let full = NewMessage { deduplication_id: Some("d".into()), ..grouped.clone() };
    for (message, expected) in [
        (text("x"), "The request must contain the parameter MessageGroupId."),
        (grouped, "should either have ContentBasedDeduplication enabled or MessageDeduplicationId"),
        (NewMessage { delay_seconds: Some(2), ..full.clone() }, "Value 2 for parameter DelaySeconds is invalid."),
    ] {
        let error = fixture.sqs.send_message("q.fifo", message).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    fixture.sqs.send_message("q.fifo", NewMessage { delay_seconds: Some(0), ..full }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queues_delay_applies_to_what_is_there_when_it_changes() {
    let fixture = Fixture::new();
    fixture.create("q.fifo", &[("DelaySeconds", "10")]).await;
    fixture.send_to("q.fifo", "g", "x").await;
    assert_eq!(fixture.counts("q.fifo").await, (0, 0, 1));
    assert_eq!(fixture.receive("q.fifo", 1).await, []);
    fixture.sqs.set_queue_attributes("q.fifo", of(&[("DelaySeconds", "5")])).await.unwrap();
    fixture.pass(5);
    assert_eq!(bodies(&fixture.receive("q.fifo", 1).await), ["x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_repeated_receives_the_same() {
    let fixture = Fixture::new();
    fixture.create("q.fifo", &[]).await;
    five(&fixture, "q.fifo").await;
    let ask = |attempt: &str| Ask { max: Some(2), attempt: Some(attempt.into()), ..Ask::default() };
    let first = fixture.sqs.receive_message("q.fifo", ask("one")).await.unwrap();
    fixture.pass(20);
    let again = fixture.sqs.receive_message("q.fifo", ask("one")).await.unwrap();
    assert_eq!(first, again, "receipts and all");
    assert_eq!(bodies(&fixture.sqs.receive_message("q.fifo", ask("two")).await.unwrap()), ["b1", "b2"]);
    fixture.pass(20);
    assert_eq!(fixture.receive("q.fifo", 10).await, [], "their time-out began anew");
    fixture.delete("q.fifo", &first[0]).await.unwrap();
    assert_eq!(fixture.sqs.receive_message("q.fifo", ask("one")).await.unwrap(), [], "one of them is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_a_group_make_way_for_those_behind() {
    let fixture = Fixture::new();
    fixture.create("dead.fifo", &[]).await;
    fixture.create("q.fifo", &[("RedrivePolicy", &redrive(&fixture.arn("dead.fifo"), 1))]).await;
    fixture.send_to("q.fifo", "g", "one").await;
    fixture.receive_hidden("q.fifo", 1, Some(0)).await;
    fixture.send_to("q.fifo", "g", "two").await;
    assert_eq!(bodies(&fixture.receive("q.fifo", 1).await), ["two"]);
    let dead = fixture.receive("dead.fifo", 10).await;
    assert_eq!((bodies(&dead), dead[0].group_id.as_deref()), (vec!["one"], Some("g")));
    assert_eq!(dead[0].dead_letter_source, Some(fixture.arn("q.fifo")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_many_is_handed_out_whole() {
    let fixture = Fixture::new();
    fixture.create("q.fifo", &[]).await;
    for n in 0..100 {
        fixture.send_to("q.fifo", "g", &format!("{n:03}")).await;
    }
    let mut next = 0;
    while next < 100 {
        let received = fixture.receive("q.fifo", 7).await;
        for message in &received {
            assert_eq!(message.body, format!("{next:03}"));
            fixture.delete("q.fifo", message).await.unwrap();
            next += 1;
        }
    }
    assert_eq!(fixture.receive("q.fifo", 7).await, []);
}
