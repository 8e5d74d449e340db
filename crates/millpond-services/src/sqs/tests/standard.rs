use super::*;
use crate::runtime::Workers;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_received_hidden_and_deleted() {
    let fixture = Fixture::new();
    fixture.create("q", &[]).await;
    let sent = fixture.send("q", "hello").await;
    assert_eq!(sent.md5_of_body, "5d41402abc4b2a76b9719d911017c592");
    assert_eq!(fixture.counts("q").await, (1, 0, 0));
    let received = fixture.receive("q", 10).await;
    assert_eq!(bodies(&received), ["hello"]);
    assert_eq!((&received[0].message_id, received[0].receives), (&sent.message_id, 1));
    assert_eq!(fixture.counts("q").await, (0, 1, 0));
    assert_eq!(fixture.receive("q", 10).await, []);
    fixture.pass(30);
    assert_eq!(fixture.counts("q").await, (1, 0, 0));
    let again = fixture.receive("q", 10).await;
    assert_eq!((again[0].receives, again[0].first_received_ms), (2, received[0].first_received_ms));
    assert_ne!(again[0].receipt, received[0].receipt);
    // A receipt of an earlier receive deletes, too.
    fixture.delete("q", &received[0]).await.unwrap();
    fixture.delete("q", &again[0]).await.unwrap();
    fixture.pass(60);
    assert_eq!(fixture.receive("q", 10).await, []);
    assert_eq!(fixture.counts("q").await, (0, 0, 0));
    assert_eq!((fixture.rows("sqs_message").await, fixture.rows("sqs_body").await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receive_without_a_timeout_hands_out_each_message_once() {
    let fixture = Fixture::new();
    fixture.create("q", &[]).await;
    for n in 0..5 {
        fixture.send("q", &n.to_string()).await;
    }
    let mut got = fixture.receive_hidden("q", 10, Some(0)).await;
    got.sort_by(|a, b| a.body.cmp(&b.body));
    assert_eq!(bodies(&got), ["0", "1", "2", "3", "4"]);
    assert_eq!(fixture.counts("q").await, (5, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn visibility_changes_up_to_twelve_hours_after_the_receive() {
    let fixture = Fixture::new();
    fixture.create("q", &[]).await;
    fixture.send("q", "x").await;
    let received = fixture.receive("q", 1).await.remove(0);
    let change = |seconds| fixture.sqs.change_visibility("q", received.receipt.clone(), seconds);
    change(43_200).await.unwrap();
    fixture.pass(10);
    let error = change(43_200).await.unwrap_err().to_string();
    assert!(error.contains("beyond the limit [43200 seconds]"), "{error}");
    assert!(change(43_201).await.unwrap_err().to_string().contains("Must be between 0 and 43200"));
    change(0).await.unwrap();
    let again = fixture.receive("q", 1).await.remove(0);
    // The first receipt is worth nothing for this any more.
    let error = change(10).await.unwrap_err().to_string();
    assert!(error.contains("not available for visibility timeout change"), "{error}");
    fixture.delete("q", &again).await.unwrap();
    let error = fixture.sqs.change_visibility("q", again.receipt, 10).await.unwrap_err().to_string();
    assert!(error.contains("Message does not exist"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_visible_again_is_not_hidden_by_its_old_receipt() {
    let fixture = Fixture::new();
    fixture.create("q", &[("VisibilityTimeout", "5")]).await;
    fixture.send("q", "x").await;
    let received = fixture.receive("q", 1).await.remove(0);
    let change = |seconds| fixture.sqs.change_visibility("q", received.receipt.clone(), seconds);
    fixture.pass(4);
    change(5).await.unwrap();
    fixture.pass(5);
    assert!(matches!(change(5).await, Err(SqsError::NotInflight)));
    assert!(matches!(change(0).await, Err(SqsError::NotInflight)));
    assert_eq!(fixture.counts("q").await, (1, 0, 0));
    let other = fixture.send("q", "y").await;
    let both = fixture.receive("q", 10).await;
    let y = both.iter().find(|message| message.message_id == other.message_id).unwrap();
    fixture.sqs.change_visibility("q", y.receipt.clone(), 0).await.unwrap();
    let entries: Vec<_> =
        both.iter().map(|message| BatchEntry { id: message.body.clone(), item: (message.receipt.clone(), Some(9)) }).collect();
    for BatchEntry { id, item } in fixture.sqs.change_visibility_batch("q", entries).await.unwrap() {
        assert_eq!(matches!(item, Err(SqsError::NotInflight)), id == "y", "{id}: {item:?}");
        assert_eq!(item.is_ok(), id == "x", "{id}: {item:?}");
    }
    // It deletes all the same.
    fixture.delete("q", y).await.unwrap();
    assert_eq!(fixture.counts("q").await, (0, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_cannot_be_made_up_or_used_elsewhere() {
    let fixture = Fixture::new();
    fixture.create("q", &[]).await;
    fixture.create("other", &[]).await;
    fixture.send("q", "x").await;
    let received = fixture.receive("q", 1).await.remove(0);
    let mut forged = received.receipt.clone().into_bytes();
    forged[20] ^= 1;
    let forged = String::from_utf8(forged).unwrap();
    for (queue, receipt) in
        [("other", received.receipt.as_str()), ("q", &forged), ("q", ""), ("q", "garbage"), ("q", &"A".repeat(10_000))]
    {
        let error = fixture.sqs.delete_message(queue, receipt.into()).await.unwrap_err();
        assert!(matches!(error, SqsError::ReceiptHandleIsInvalid(_)), "{error}");
    }
    fixture.delete("q", &received).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn delays_are_the_messages_or_the_queues() {
    let fixture = Fixture::new();
    fixture.create("q", &[("DelaySeconds", "10")]).await;
    fixture.send("q", "queue").await;
    let own = |delay| NewMessage { delay_seconds: Some(delay), ..text("own") };
    fixture.sqs.send_message("q", own(0)).await.unwrap();
    assert_eq!(fixture.counts("q").await, (1, 0, 1));
    assert_eq!(bodies(&fixture.receive("q", 10).await), ["own"]);
    fixture.pass(10);
    assert_eq!(bodies(&fixture.receive("q", 10).await), ["queue"]);
    let error = fixture.sqs.send_message("q", own(901)).await.unwrap_err().to_string();
    assert!(error.starts_with("Value 901 for parameter DelaySeconds is invalid."), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_expire_whether_somebody_looks_or_not() {
    let fixture = Fixture::new();
    fixture.create("q", &[("MessageRetentionPeriod", "60")]).await;
    fixture.create("swept", &[("MessageRetentionPeriod", "60")]).await;
    fixture.send("q", "old").await;
    fixture.send("swept", "old").await;
    fixture.pass(61);
    fixture.send("q", "new").await;
    assert_eq!(bodies(&fixture.receive("q", 10).await), ["new"]);
    let workers = Workers::start(&fixture.lake, fixture.sqs.handlers());
    for _ in 0..500 {
        if fixture.rows("sqs_body").await == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(fixture.counts("swept").await, (0, 0, 0));
    assert_eq!(fixture.rows("sqs_body").await, 1, "the new one");
    workers.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_retention_removes_what_is_there() {
    let fixture = Fixture::new();
    fixture.create("q", &[]).await;
    fixture.send("q", "old").await;
    fixture.pass(100);
    fixture.sqs.set_queue_attributes("q", of(&[("MessageRetentionPeriod", "60")])).await.unwrap();
    assert_eq!(fixture.receive("q", 10).await, []);
    assert_eq!(fixture.counts("q").await, (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn purging_removes_everything_at_once_and_once_a_minute() {
    let fixture = Fixture::new();
    fixture.create("q", &[]).await;
    for n in 0..5 {
        fixture.send("q", &n.to_string()).await;
    }
    let in_flight = fixture.receive("q", 2).await;
    fixture.sqs.purge_queue("q").await.unwrap();
    assert_eq!(fixture.counts("q").await, (0, 0, 0));
    assert_eq!(fixture.receive("q", 10).await, []);
    fixture.delete("q", &in_flight[0]).await.unwrap();
    fixture.send("q", "after").await;
    let error = fixture.sqs.purge_queue("q").await.unwrap_err().to_string();
    assert_eq!(error, "Only one PurgeQueue operation on q is allowed every 60 seconds.");
    let workers = Workers::start(&fixture.lake, fixture.sqs.handlers());
    for _ in 0..500 {
        if fixture.rows("sqs_body").await == 1 && fixture.rows("sqs_message").await == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((fixture.rows("sqs_body").await, fixture.rows("sqs_message").await), (1, 1));
    workers.stop(Duration::from_secs(5)).await;
    assert_eq!(bodies(&fixture.receive("q", 10).await), ["after"]);
    fixture.pass(60);
    fixture.sqs.purge_queue("q").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_is_gone_and_can_be_made_again() {
    let fixture = Fixture::new();
    fixture.create("q", &[]).await;
    fixture.send("q", "x").await;
    fixture.sqs.delete_queue("q").await.unwrap();
    assert!(matches!(fixture.sqs.delete_queue("q").await, Err(SqsError::QueueDoesNotExist)));
    assert!(matches!(fixture.sqs.send_message("q", text("x")).await, Err(SqsError::QueueDoesNotExist)));
    fixture.create("q", &[("VisibilityTimeout", "5")]).await;
    assert_eq!(fixture.receive("q", 10).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_a_queue_again_answers_it_unless_something_differs() {
    let fixture = Fixture::new();
    fixture.create("q", &[("VisibilityTimeout", "5")]).await;
    fixture.create("q", &[("VisibilityTimeout", "5"), ("DelaySeconds", "0")]).await;
    fixture.create("q", &[]).await;
    let new = NewQueue { name: "q".into(), attributes: of(&[("VisibilityTimeout", "6")]), ..NewQueue::default() };
    let error = fixture.sqs.create_queue(new).await.unwrap_err();
    assert!(matches!(&error, SqsError::QueueNameExists(name) if name == "VisibilityTimeout"), "{error}");
    for (name, attributes) in [("a b", vec![]), ("", vec![]), ("a.fifo", vec![]), ("a", vec![("FifoQueue", "true")])] {
        let new = NewQueue { name: name.into(), attributes: of(&attributes), ..NewQueue::default() };
        let error = fixture.sqs.create_queue(new).await.unwrap_err();
        assert!(matches!(error, SqsError::InvalidParameter(_)), "{name}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_listed_by_prefix_and_page() {
    let fixture = Fixture::new();
    for name in ["a1", "a2", "a3", "b1"] {
        fixture.create(name, &[]).await;
    }
    let all = fixture.sqs.list_queues("", None, None).await.unwrap();
    assert_eq!((all.names, all.next), (vec!["a1".into(), "a2".into(), "a3".into(), "b1".into()], None));
    let first = fixture.sqs.list_queues("a", Some(2), None).await.unwrap();
    assert_eq!(first.names, ["a1", "a2"]);
    let second = fixture.sqs.list_queues("a", Some(2), first.next.as_deref()).await.unwrap();
    assert_eq!((second.names, second.next), (vec!["a3".to_owned()], None));
    assert!(fixture.sqs.list_queues("", Some(0), None).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_message_must_not_be_is_refused() {
    let fixture = Fixture::new();
    fixture.create("q", &[("MaximumMessageSize", "1024")]).await;
    let with = |name: &str, data_type: &str, value: &str| NewMessage {
        attributes: [(name.to_owned(), MessageAttribute { data_type: data_type.into(), value: value.into() })].into(),
        ..text("x")
    };
    let many = (0..11).map(|n| (format!("a{n}"), MessageAttribute::text("x"))).collect();
    for (message, expected) in [
        (text(""), "must contain the parameter MessageBody"),
        (text("a\u{0}b"), "Invalid characters found: #x0."),
        (text("a\u{ffff}b"), "Invalid characters found: #xFFFF."),
        (text(&"x".repeat(1025)), "Message must be shorter than 1024 bytes."),
        (text(&"x".repeat(1_048_577)), "Message must be shorter than 1048576 bytes."),
        (with("a", "String", ""), "'a' must contain a non-empty value of type 'String'"),
        (with("a", "Number", "x"), "Can't cast the value of message (user) attribute 'a' to a number."),
        (with("a", "Text", "x"), "supported type prefixes: Binary, Number, String."),
        (with("aws.a", "String", "x"), "reserved for internal use"),
        (with("a.", "String", "x"), "cannot start or end with '.'"),
        (with("a b", "String", "x"), "can only contain"),
        (with("a", "String", &"x".repeat(1023)), "Message must be shorter than 1024 bytes."),
        (NewMessage { attributes: many, ..text("x") }, "[11] exceeds the allowed maximum [10]"),
        (NewMessage { group_id: Some(String::new()), ..text("x") }, "MessageGroupId can only include"),
        (NewMessage { deduplication_id: Some("a".into()), ..text("x") }, "MessageDeduplicationId is invalid"),
    ] {
        let error = fixture.sqs.send_message("q", message).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // What is allowed: any XML character, a label on a type, a group for fairness.
    let message = NewMessage { group_id: Some("tenant".into()), ..with("a", "Number.int", "-1.5e3") };
    fixture.sqs.send_message("q", message).await.unwrap();
    fixture.sqs.send_message("q", text("é\u{10000}\t\r\n")).await.unwrap();
    let received = fixture.receive("q", 10).await;
    assert_eq!(received[0].group_id.as_deref(), Some("tenant"));
    assert_eq!((received.len(), received[0].sequence_number.as_ref()), (2, None));
}

fn entry<T>(id: &str, item: T) -> BatchEntry<T> {
    BatchEntry { id: id.into(), item }
}

fn draft(id: &str, body: &str) -> BatchEntry<Draft> {
    entry(id, text(body).into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_fails_entry_by_entry_and_keeps_its_order() {
    let fixture = Fixture::new();
    fixture.create("q", &[("MaximumMessageSize", "1024")]).await;
    let long = draft("2", &"x".repeat(1025));
    let unread = || Draft { refused: Some(SqsError::Unsupported("a list".into())), ..text("c").into() };
    let entries = vec![draft("1", "a"), long, draft("3", "\u{1}"), draft("4", "b"), entry("5", unread())];
    let sent = fixture.sqs.send_message_batch("q", entries).await.unwrap();
    let shown: Vec<_> = sent.iter().map(|entry| (entry.id.as_str(), entry.item.is_ok())).collect();
    assert_eq!(shown, [("1", true), ("2", false), ("3", false), ("4", true), ("5", false)]);
    assert!(matches!(&sent[4].item, Err(SqsError::Unsupported(why)) if why == "a list"));
    let received = fixture.receive("q", 10).await;
    assert_eq!(bodies(&received), ["a", "b"]);
    let entries = vec![entry("1", received[0].receipt.clone()), entry("2", "garbage".into())];
    let settled = fixture.sqs.delete_message_batch("q", entries).await.unwrap();
    assert!(settled[0].item.is_ok() && settled[1].item.is_err());
    let entries = vec![entry("1", (received[1].receipt.clone(), None)), entry("2", (received[1].receipt.clone(), Some(0)))];
    let settled = fixture.sqs.change_visibility_batch("q", entries).await.unwrap();
    assert!(matches!(settled[0].item, Err(SqsError::MissingParameter("VisibilityTimeout"))) && settled[1].item.is_ok());
    assert_eq!(bodies(&fixture.receive("q", 10).await), ["b"]);
    // What is wrong with the whole comes before what is wrong with an entry.
    let twice = vec![entry("1", unread()), entry("1", unread())];
    let error = fixture.sqs.send_message_batch("q", twice).await.unwrap_err();
    assert!(matches!(error, SqsError::IdsNotDistinct(_)), "{error}");
    let large = |n: usize| Draft { refused: (n == 0).then_some(SqsError::InvalidBatchId), ..text(&"x".repeat(200_000)).into() };
    let many = (0..10).map(|n| entry(&n.to_string(), large(n))).collect();
    let error = fixture.sqs.send_message_batch("q", many).await.unwrap_err().to_string();
    assert_eq!(error, "Batch requests cannot be longer than 1048576 bytes. You have sent 2000000 bytes.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_received_too_often_is_dead_lettered() {
    let fixture = Fixture::new();
    fixture.create("dead", &[]).await;
    fixture.create("q", &[("RedrivePolicy", &redrive(&fixture.arn("dead"), 2))]).await;
    let sent = fixture.send("q", "x").await;
    for receives in 1..=2 {
        assert_eq!(fixture.receive_hidden("q", 1, Some(0)).await[0].receives, receives);
    }
    assert_eq!(fixture.receive_hidden("q", 1, Some(0)).await, []);
    assert_eq!((fixture.counts("q").await, fixture.counts("dead").await), ((0, 0, 0), (1, 0, 0)));
    let dead = fixture.receive("dead", 1).await.remove(0);
    assert_eq!((dead.message_id, dead.receives), (sent.message_id, 3));
    assert_eq!(dead.dead_letter_source, Some(fixture.arn("q")));
    let sources = fixture.sqs.dead_letter_sources("dead", None, None).await.unwrap();
    assert_eq!(sources.names, ["q"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_policy_needs_a_queue_of_the_same_type_that_allows_it() {
    let fixture = Fixture::new();
    fixture.create("q", &[]).await;
    fixture.create("d.fifo", &[]).await;
    fixture.create("closed", &[("RedriveAllowPolicy", r#"{"redrivePermission":"denyAll"}"#)]).await;
    let allowed = format!(r#"{{"redrivePermission":"byQueue","sourceQueueArns":["{}"]}}"#, fixture.arn("q"));
    fixture.create("open", &[("RedriveAllowPolicy", &allowed)]).await;
    let set = |target: &str| {
        let policy = redrive(&fixture.arn(target), 1);
        let sqs = fixture.sqs.clone();
        async move { sqs.set_queue_attributes("q", of(&[("RedrivePolicy", &policy)])).await }
    };
    for (target, expected) in
        [("none", "Dead letter target does not exist."), ("d.fifo", "must be same type"), ("closed", "does not allow this queue")]
    {
        let error = set(target).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    set("open").await.unwrap();
    // A target that goes away leaves messages where they are.
    fixture.send("q", "x").await;
    fixture.sqs.delete_queue("open").await.unwrap();
    for receives in 1..4 {
        assert_eq!(fixture.receive_hidden("q", 1, Some(0)).await[0].receives, receives);
    }
    fixture.sqs.set_queue_attributes("q", of(&[("VisibilityTimeout", "7")])).await.unwrap();
    fixture.sqs.set_queue_attributes("q", of(&[("RedrivePolicy", "")])).await.unwrap();
    assert!(!fixture.sqs.queue_attributes("q", vec!["All".into()]).await.unwrap().contains_key("RedrivePolicy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_for_what_is_not_there_writes_nothing() {
    let fixture = Fixture::new();
    fixture.create("q", &[]).await;
    let wal = fixture.lake.store.directory().join("lake.sqlite3-wal");
    let before = std::fs::metadata(&wal).unwrap().len();
    for _ in 0..20 {
        assert_eq!(fixture.receive("q", 10).await, []);
    }
    assert_eq!(std::fs::metadata(&wal).unwrap().len(), before);
    fixture.send("q", "x").await;
    assert_ne!(std::fs::metadata(&wal).unwrap().len(), before, "a write would show");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_receivers_share_the_messages_without_overlap() {
    let fixture = Fixture::new();
    fixture.create("q", &[]).await;
    for batch in 0..20 {
        let entries = (0..10).map(|n| draft(&n.to_string(), &format!("{batch}-{n}"))).collect();
        fixture.sqs.send_message_batch("q", entries).await.unwrap();
    }
    let receivers = (0..8).map(|_| {
        let sqs = fixture.sqs.clone();
        tokio::spawn(async move {
            let mut got = Vec::new();
            loop {
                let ask = Ask { max: Some(7), ..Ask::default() };
                match sqs.receive_message("q", ask).await.unwrap() {
                    received if received.is_empty() => return got,
                    received => got.extend(received.into_iter().map(|message| message.body)),
                }
            }
        })
    });
    let all = futures::future::join_all(receivers).await;
    let mut got: Vec<String> = all.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(got.len(), 200);
    got.sort();
    got.dedup();
    assert_eq!(got.len(), 200);
    assert_eq!(fixture.counts("q").await, (0, 200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_picked_by_name_and_by_prefix() {
    let fixture = Fixture::new();
    fixture.create("q", &[]).await;
    let attributes = ["foo.one", "foo.two", "bar"].map(|name| (name.to_owned(), MessageAttribute::text(name)));
    fixture.sqs.send_message("q", NewMessage { attributes: attributes.into(), ..text("x") }).await.unwrap();
    let whole = fixture.receive("q", 1).await.remove(0);
    for (wanted, expected) in [
        (vec!["All"], vec!["bar", "foo.one", "foo.two"]),
        (vec![".*"], vec!["bar", "foo.one", "foo.two"]),
        (vec!["foo.*"], vec!["foo.one", "foo.two"]),
        (vec!["bar", "none"], vec!["bar"]),
        (vec![], vec![]),
    ] {
        let mut kept = whole.clone();
        kept.keep_attributes(&wanted.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(kept.attributes.keys().collect::<Vec<_>>(), expected, "{wanted:?}");
        assert_eq!(kept.md5_of_attributes, md5_of_attributes(&kept.attributes));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_are_statements_of_the_policy() {
    let fixture = Fixture::new();
    fixture.create("q", &[]).await;
    let new = |label: &str, actions: &[&str]| NewPermission {
        label: label.into(),
        accounts: vec!["111122223333".into()],
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
    };
    fixture.sqs.add_permission("q", new("one", &["SendMessage"])).await.unwrap();
    fixture.sqs.add_permission("q", new("two", &["SendMessage", "ReceiveMessage"])).await.unwrap();
    let policy = fixture.sqs.queue_attributes("q", vec!["Policy".into()]).await.unwrap()["Policy"].clone();
    let policy: serde_json::Value = serde_json::from_str(&policy).unwrap();
    assert_eq!(
        policy,
        serde_json::json!({
            "Version": "2008-10-17", "Id": "arn:aws:sqs:us-east-1:000000000000:q/SQSDefaultPolicy", "Statement": [
                { "Sid": "one", "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::111122223333:root" },
                  "Action": "SQS:SendMessage", "Resource": "arn:aws:sqs:us-east-1:000000000000:q" },
                { "Sid": "two", "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::111122223333:root" },
                  "Action": ["SQS:SendMessage", "SQS:ReceiveMessage"], "Resource": "arn:aws:sqs:us-east-1:000000000000:q" },
            ],
        })
    );
    for (permission, expected) in [
        (new("one", &["SendMessage"]), "Reason: Already exists."),
        (new("x y", &["SendMessage"]), "parameter Label"),
        (new("x", &["Nonsense"]), "Value SQS:Nonsense for parameter ActionName is invalid."),
        (new("x", &["SendMessage"; 8]), "8 Actions were found, maximum allowed is 7."),
        (NewPermission { accounts: vec!["1".into()], ..new("x", &["SendMessage"]) }, "parameter PrincipalId"),
    ] {
        let error = fixture.sqs.add_permission("q", permission).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    fixture.sqs.remove_permission("q", "one").await.unwrap();
    assert!(fixture.sqs.remove_permission("q", "one").await.unwrap_err().to_string().contains("can't find label."));
    fixture.sqs.remove_permission("q", "two").await.unwrap();
    assert!(fixture.sqs.queue_attributes("q", vec!["Policy".into()]).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_set_overwritten_and_removed() {
    let fixture = Fixture::new();
    fixture.create("q", &[]).await;
    fixture.sqs.tag_queue("q", of(&[("a", "1"), ("b", "")])).await.unwrap();
    fixture.sqs.tag_queue("q", of(&[("a", "2")])).await.unwrap();
    assert_eq!(fixture.sqs.queue_tags("q").await.unwrap(), of(&[("a", "2"), ("b", "")]));
    fixture.sqs.untag_queue("q", vec!["a".into(), "none".into()]).await.unwrap();
    assert_eq!(fixture.sqs.queue_tags("q").await.unwrap(), of(&[("b", "")]));
    let many = (0..50).map(|n| (format!("t{n}"), String::new())).collect();
    assert!(fixture.sqs.tag_queue("q", many).await.is_err());
    assert_eq!(fixture.sqs.queue_tags("q").await.unwrap().len(), 1, "a refused call changes nothing");
}

/// Steps that SQLite's machine takes for a statement.
fn steps(connection: &rusqlite::Connection, sql: &str) -> i32 {
    let mut statement = connection.prepare(sql).unwrap();
    let mut rows = statement.raw_query();
    while rows.next().unwrap().is_some() {}
    drop(rows);
    statement.get_status(rusqlite::StatementStatus::VmStep)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receive_takes_no_more_steps_however_long_the_queue_is() {
    let fixture = Fixture::new();
    for (queue, batches) in [("short.fifo", 2), ("long.fifo", 200)] {
        fixture.create(queue, &[]).await;
        for batch in 0..batches {
            let one = |n: i32| NewMessage {
                group_id: Some((n % 3).to_string()),
                deduplication_id: Some(format!("{batch}-{n}")),
                ..text("x")
            };
            let entries = (0..10).map(|n| entry(&n.to_string(), one(n).into())).collect();
            fixture.sqs.send_message_batch(queue, entries).await.unwrap();
        }
    }
    let look = |connection: &rusqlite::Connection| {
        let spaces: Vec<i64> =
            ["short.fifo", "long.fifo"].map(|name| sql::queue(connection, name).unwrap().unwrap().space).into();
        for part in [
            "SELECT m.id, b.body FROM sqs_message AS m INDEXED BY sqs_message_visible CROSS JOIN sqs_body AS b ON b.id = m.id
             WHERE m.space = ? AND m.visible_ms <= 9e15 ORDER BY m.visible_ms, m.receives, m.sent_ms, m.id LIMIT 10",
            "SELECT sent_ms, id FROM sqs_message INDEXED BY sqs_message_group WHERE space = ? AND grp = '1' ORDER BY id LIMIT 4",
            "SELECT visible_ms FROM sqs_message INDEXED BY sqs_message_group WHERE space = ? AND grp = '1' ORDER BY id LIMIT 1",
            "SELECT grp FROM sqs_group WHERE space = ? AND ready_ms <= 9e15 ORDER BY ready_ms, grp LIMIT 1",
            "SELECT count(*) FROM sqs_message INDEXED BY sqs_message_visible WHERE space = ? AND visible_ms > 9e15",
            "SELECT sent_ms FROM sqs_message WHERE space = ? ORDER BY sent_ms LIMIT 1",
        ] {
            let of = |space: i64| steps(connection, &part.replacen('?', &space.to_string(), 1));
            let (short, long) = (of(spaces[0]), of(spaces[1]));
            // One step more or less: whether another queue's rows follow in the index.
            assert!((short - long).abs() <= 1, "{short} steps, {long} with a hundred times as many messages: {part}");
        }
        Ok::<_, SqsError>(())
    };
    fixture.lake.store.read(look).await.unwrap();
    let forget = |queue: &'static str| {
        let sqs = fixture.sqs.clone();
        fixture.lake.store.write(move |tx| {
            let id = sqs.queue(tx, queue)?.id;
            sql::forget_deduplications(tx, id, i64::MAX, 4)?;
            Ok::<_, SqsError>(())
        })
    };
    forget("long.fifo").await.unwrap();
    assert_eq!(fixture.rows("sqs_deduplication").await, 2016);
}
