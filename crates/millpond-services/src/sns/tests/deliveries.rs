//! Queues and functions as subscribers, with a target kind that records what it is given.

use super::*;
use crate::runtime::delivery::{Delivering, MessageAttribute, TargetKind};
use millpond_core::env::iso8601;
use millpond_store::task::NewTask;

/// Takes what queues and functions would; those whose name begins with `gone` do not exist.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Delivery>>);

struct Recording(Arc<Recorder>);

impl TargetKind for Recording {
    fn title(&self) -> &'static str {
        "queues and functions"
    }

    fn accepts(&self, arn: &Arn) -> bool {
        arn.service == "sqs" || arn.service == "lambda"
    }

    fn deliver(&self, _: &Delivering<'_>, arn: &Arn, delivery: &Delivery) -> Result<(), Failure> {
        if arn.resource.trim_start_matches("function:").starts_with("gone") {
            return Err(Failure::lasting(format!("{arn} does not exist")).code("NonExistent"));
        }
        self.0.0.lock().unwrap().push(delivery.clone());
        Ok(())
    }
}

struct Chain {
    sns: Fixture,
    recorder: Arc<Recorder>,
}

const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:q";
const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

impl Chain {
    async fn new() -> Self {
        let (directory, lake) = lake();
        let transport = Arc::new(Mailbox::new(lake.clone()));
        let targets = Targets::default();
        let sns = Fixture::with(directory, lake, transport, targets.clone()).await;
        let recorder = Arc::new(Recorder::default());
        targets.install(vec![Arc::new(Recording(recorder.clone())), Arc::new(sns.sns.clone())]);
        Self { sns, recorder }
    }

    async fn topic(&self, name: &str, attributes: &[(&str, &str)]) -> String {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.sns.sns.create_topic(NewTopic { name: name.into(), attributes, tags: vec![] }).await.unwrap()
    }

    async fn subscribe(&self, topic_arn: &str, protocol: &str, endpoint: &str, attributes: &[(&str, &str)]) -> String {
        let new = NewSubscription {
            topic_arn: topic_arn.into(),
            protocol: protocol.into(),
            endpoint: endpoint.into(),
            attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let subscribed = self.sns.sns.subscribe(new).await.unwrap();
        assert!(!subscribed.is_pending);
        subscribed.arn
    }

    async fn publish(&self, topic_arn: &str, message: NewMessage) -> Published {
        self.sns.sns.publish(topic_arn, message).await.unwrap()
    }

    /// What was delivered so far, when no task is left.
    async fn delivered(&self) -> Vec<Delivery> {
        self.sns.mails().await;
        self.recorder.0.lock().unwrap().clone()
    }

    async fn kept_messages(&self) -> i64 {
        let count = |connection: &rusqlite::Connection| {
            Ok::<i64, millpond_store::StoreError>(connection.query_row("SELECT count(*) FROM sns_message", [], |row| row.get(0))?)
        };
        self.sns.lake.store.read(count).await.unwrap()
    }
}

fn text(body: &str) -> NewMessage {
    NewMessage { body: body.into(), ..NewMessage::default() }
}

#[tokio::test]
async fn a_queue_gets_an_envelope_or_the_text_with_its_attributes() {
    let chain = Chain::new().await;
    let (topic, raw_queue) = (chain.sns.arn(), format!("{QUEUE}-raw"));
    let subscription = chain.subscribe(&topic, "sqs", QUEUE, &[]).await;
    chain.subscribe(&topic, "sqs", &raw_queue, &[("RawMessageDelivery", "True")]).await;
    let attributes = [
        ("a".to_owned(), Attribute::new("a", "Number", Some("1".into()), None).unwrap()),
        ("b".to_owned(), Attribute::new("b", "Binary", None, Some(vec![2, 3, 4])).unwrap()),
    ];
    let message =
        NewMessage { subject: Some("s".into()), attributes: attributes.into(), group_id: Some("fair".into()), ..text("hello") };
    let published = chain.publish(&topic, message).await;
    let delivered = chain.delivered().await;
    let (whole, raw) = (&delivered[0], &delivered[1]);
    assert_eq!((whole.target.as_str(), whole.source.as_str(), &whole.target_id), (QUEUE, topic.as_str(), &subscription));
    let envelope: Value = serde_json::from_str(&whole.input).unwrap();
    assert_eq!((envelope["MessageId"].as_str(), envelope["Message"].as_str()), (Some(&*published.message_id), Some("hello")));
    assert_eq!(envelope["MessageAttributes"]["b"], json!({ "Type": "Binary", "Value": "AgME" }));
    assert_eq!(envelope["SignatureVersion"], "1");
    assert!(envelope["Signature"].as_str().unwrap().len() > 300);
    assert!(whole.parameters.attributes.is_empty());
    assert_eq!(whole.parameters.message_group_id.as_deref(), Some("fair"));
    assert_eq!((raw.target.as_str(), &*raw.input), (raw_queue.as_str(), "hello"));
    let expected = MessageAttribute { data_type: "Binary".into(), value: "AgME".into() };
    assert_eq!(raw.parameters.attributes["b"], expected);
}

#[tokio::test]
async fn a_function_gets_a_record() {
    let chain = Chain::new().await;
    let topic = chain.sns.arn();
    let subscription = chain.subscribe(&topic, "lambda", FUNCTION, &[]).await;
    chain.publish(&topic, text("hello")).await;
    let delivered = chain.delivered().await;
    let event: Value = serde_json::from_str(&delivered[0].input).unwrap();
    let record = &event["Records"][0];
    assert_eq!(
        (record["EventSubscriptionArn"].as_str(), record["Sns"]["Message"].as_str()),
        (Some(&*subscription), Some("hello"))
    );
    assert_eq!(delivered[0].parameters.message_group_id, None);
}

#[tokio::test]
async fn what_no_queue_takes_goes_to_the_dead_letter_queue_with_the_reason() {
    let chain = Chain::new().await;
    let topic = chain.sns.arn();
    let redrive = json!({ "deadLetterTargetArn": format!("{QUEUE}-dead") }).to_string();
    let redrive = [("RedrivePolicy", redrive.as_str())];
    let gone = "arn:aws:sqs:us-east-1:000000000000:gone";
    chain.subscribe(&topic, "sqs", gone, &redrive).await;
    chain.subscribe(&topic, "lambda", "arn:aws:lambda:us-east-1:000000000000:function:gone", &redrive).await;
    chain.publish(&topic, text("hello")).await;
    let delivered = chain.delivered().await;
    assert_eq!(delivered.len(), 2);
    for letter in &delivered {
        assert_eq!(letter.target, format!("{QUEUE}-dead"));
        let envelope: Value = serde_json::from_str(&letter.input).unwrap();
        assert_eq!((envelope["Type"].as_str(), envelope["Message"].as_str()), (Some("Notification"), Some("hello")));
        assert!(letter.parameters.attributes["ErrorMessage"].value.contains("does not exist"));
    }
    assert!(chain.sns.lake.store.read(|connection| dead_letters(connection, 10)).await.unwrap().is_empty());
}

#[tokio::test]
async fn without_a_dead_letter_queue_the_lake_keeps_the_reason() {
    let chain = Chain::new().await;
    let topic = chain.sns.arn();
    chain.subscribe(&topic, "sqs", "arn:aws:sqs:us-east-1:000000000000:gone", &[]).await;
    chain.publish(&topic, text("hello")).await;
    assert!(chain.delivered().await.is_empty());
    let dead = chain.sns.lake.store.read(|connection| dead_letters(connection, 10)).await.unwrap();
    assert!(dead[0].reason.as_deref().unwrap().contains("gone does not exist"));
}

#[tokio::test]
async fn a_raw_message_with_more_attributes_than_a_queue_takes_is_no_delivery() {
    let chain = Chain::new().await;
    let topic = chain.sns.arn();
    chain.subscribe(&topic, "sqs", QUEUE, &[("RawMessageDelivery", "true")]).await;
    let one = |n: usize| (format!("a{n}"), Attribute::new("a", "String", Some("x".into()), None).unwrap());
    chain.publish(&topic, NewMessage { attributes: (0..11).map(one).collect(), ..text("hello") }).await;
    assert!(chain.delivered().await.is_empty());
    let dead = chain.sns.lake.store.read(|connection| dead_letters(connection, 10)).await.unwrap();
    assert!(dead[0].reason.as_deref().unwrap().contains("up to 10 attributes"));
    chain.publish(&topic, NewMessage { attributes: (0..10).map(one).collect(), ..text("hello") }).await;
    assert_eq!(chain.delivered().await.len(), 1);
}

#[tokio::test]
async fn a_fifo_topic_numbers_its_messages_and_takes_each_once() {
    let chain = Chain::new().await;
    let by_topic = chain.topic("a.fifo", &[("FifoTopic", "true"), ("ContentBasedDeduplication", "true")]).await;
    let by_group = chain.topic("b.fifo", &[("FifoTopic", "true"), ("FifoThroughputScope", "MessageGroup")]).await;
    let queue = format!("{QUEUE}.fifo");
    chain.subscribe(&by_topic, "sqs", &queue, &[]).await;
    chain.subscribe(&by_topic, "sqs", QUEUE, &[]).await;
    chain.subscribe(&by_group, "sqs", &format!("{QUEUE}-2.fifo"), &[]).await;
    let group = |group: &str, body: &str| NewMessage { group_id: Some(group.into()), ..text(body) };
    let mut numbers = Vec::new();
    for n in 0..5 {
        numbers.push(chain.publish(&by_topic, group("g", &n.to_string())).await.sequence_number.unwrap());
    }
    assert!(numbers.is_sorted() && numbers.iter().all(|number| number.len() == 20), "{numbers:?}");
    let again = chain.publish(&by_topic, group("other", "0")).await;
    assert_eq!(again.sequence_number.as_ref(), Some(&numbers[0]), "the topic as a whole takes it once");
    let delivered = chain.delivered().await;
    let ordered: Vec<&Delivery> = delivered.iter().filter(|delivery| delivery.target == queue).collect();
    let bodies: Vec<Value> = ordered.iter().map(|delivery| serde_json::from_str(&delivery.input).unwrap()).collect();
    assert_eq!(bodies.iter().map(|body| body["Message"].as_str().unwrap()).collect::<Vec<_>>(), ["0", "1", "2", "3", "4"]);
    assert_eq!(bodies[1]["SequenceNumber"], numbers[1].as_str());
    assert_eq!(bodies[0].get("Signature"), None);
    let parameters = &ordered[0].parameters;
    assert_eq!(parameters.message_group_id.as_deref(), Some("g"));
    assert_eq!(parameters.message_deduplication_id.as_ref().map(String::len), Some(64));
    let standard = delivered.iter().find(|delivery| delivery.target == QUEUE).unwrap();
    assert_eq!(standard.parameters.message_deduplication_id, None, "a standard queue takes none");
    let with_id = |group_id: &str| NewMessage { deduplication_id: Some("x".into()), ..group(group_id, "x") };
    let (first, second) = (chain.publish(&by_group, with_id("g")).await, chain.publish(&by_group, with_id("h")).await);
    assert_ne!(first.message_id, second.message_id, "each group takes it once");
    assert_eq!(chain.publish(&by_group, with_id("h")).await, second);
}

#[tokio::test]
async fn fifo_topics_ask_for_a_group_and_a_way_to_tell_messages_apart() {
    let chain = Chain::new().await;
    let topic = chain.topic("a.fifo", &[("FifoTopic", "true")]).await;
    let refused = async |arn: &str, message| chain.sns.sns.publish(arn, message).await.unwrap_err().to_string();
    let id = |id: &str| Some(id.to_owned());
    assert_eq!(refused(&topic, text("x")).await, "Invalid parameter: The MessageGroupId parameter is required for FIFO topics");
    assert_eq!(
        refused(&topic, NewMessage { group_id: id("g"), ..text("x") }).await,
        "Invalid parameter: The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
    );
    assert!(
        refused(&chain.sns.arn(), NewMessage { deduplication_id: id("d"), ..text("x") })
            .await
            .contains("not valid for this topic type")
    );
    assert!(refused(&topic, NewMessage { group_id: id("a b"), ..text("x") }).await.contains("MessageGroupId"));
    let new =
        NewSubscription { topic_arn: topic.clone(), protocol: "email".into(), endpoint: "a@b.c".into(), ..Default::default() };
    assert!(chain.sns.sns.subscribe(new).await.unwrap_err().to_string().contains("SQS queues only"));
    for (name, attributes, expected) in [
        ("x", vec![("FifoTopic", "true")], "Topic Name"),
        ("x.fifo", vec![], "Topic Name"),
        ("x", vec![("ContentBasedDeduplication", "true")], "only for FIFO topics"),
        ("x.fifo", vec![("FifoTopic", "true"), ("ArchivePolicy", "{}")], "keeps no archive"),
        ("x", vec![("KmsMasterKeyId", "alias/ k")], "id, ARN or alias of a key"),
        ("x", vec![("SignatureVersion", "3")], "Must be 1 or 2"),
        ("x", vec![("MaximumMessageSize", "1023")], "from 1024"),
        ("x", vec![("HTTPSuccessFeedbackSampleRate", "101")], "from 0 to 100"),
        ("x", vec![("Colour", "red")], "Unknown attribute"),
    ] {
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let refused = chain.sns.sns.create_topic(NewTopic { name: name.into(), attributes, tags: vec![] }).await.unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
    }
}

#[tokio::test]
async fn a_rule_reaches_a_queue_through_a_topic_that_lets_it() {
    let chain = Chain::new().await;
    let topic = chain.sns.arn();
    chain.subscribe(&topic, "sqs", QUEUE, &[]).await;
    let send = async || {
        let (sns, lake, delivery) = (chain.sns.sns.clone(), chain.sns.lake.clone(), super::delivery(&topic, "{\"a\":1}"));
        let write = chain.sns.lake.store.write(move |tx| sns.targets.deliver_or_keep(tx, &lake, &delivery));
        write.await.unwrap();
    };
    send().await;
    assert!(chain.delivered().await.is_empty());
    let dead = chain.sns.lake.store.read(|connection| dead_letters(connection, 10)).await.unwrap();
    let reason = dead[0].reason.clone().unwrap();
    assert!(
        reason.contains("does not allow events.amazonaws.com") && reason.contains("aws sns set-topic-attributes"),
        "{reason}"
    );
    chain.sns.sns.allow(&topic, "rules", "events.amazonaws.com", "arn:rule").await.unwrap();
    send().await;
    let delivered = chain.delivered().await;
    let envelope: Value = serde_json::from_str(&delivered[0].input).unwrap();
    assert_eq!(envelope["Message"], "{\"a\":1}");
    assert!(envelope["Signature"].is_string(), "signed off the writer thread");
    assert_eq!(chain.kept_messages().await, 0);
}

#[tokio::test]
async fn a_topic_with_more_subscribers_than_a_page_serves_each_once_and_keeps_nothing() {
    let chain = Chain::new().await;
    let topic = chain.sns.arn();
    for n in 0..430 {
        chain.sns.sns.subscribe_confirmed(&topic, "email", &format!("a{n}@example.com")).await.unwrap();
    }
    chain.subscribe(&topic, "sqs", QUEUE, &[]).await;
    chain.publish(&topic, text("hello")).await;
    for _ in 0..200 {
        if chain.sns.sns.mailbox_list(i64::MAX, 1000).await.unwrap().len() >= 430 && chain.kept_messages().await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mails = chain.sns.sns.mailbox_list(i64::MAX, 1000).await.unwrap();
    let addresses: std::collections::BTreeSet<_> = mails.iter().map(|mail| mail.to.as_str()).collect();
    assert_eq!((mails.len(), addresses.len()), (430, 430));
    assert_eq!(chain.delivered().await.len(), 1);
    assert_eq!(chain.kept_messages().await, 0);
}

#[tokio::test]
async fn a_subscription_asked_for_again_is_the_same_where_nothing_differs() {
    let chain = Chain::new().await;
    let topic = chain.sns.arn();
    let first = chain.subscribe(&topic, "sqs", QUEUE, &[("RawMessageDelivery", "True")]).await;
    for same in [vec![], vec![("RawMessageDelivery", "true")], vec![("FilterPolicyScope", "MessageAttributes")]] {
        assert_eq!(chain.subscribe(&topic, "sqs", QUEUE, &same).await, first);
    }
    let other = NewSubscription {
        topic_arn: topic.clone(),
        protocol: "sqs".into(),
        endpoint: QUEUE.into(),
        attributes: [("RawMessageDelivery".to_owned(), "false".to_owned())].into(),
    };
    let refused = chain.sns.sns.subscribe(other).await.unwrap_err().to_string();
    assert!(refused.ends_with("Subscription already exists with different attributes"));
    let attributes = chain.sns.sns.subscription_attributes(&first).await.unwrap();
    assert_eq!((&*attributes["ConfirmationWasAuthenticated"], &*attributes["RawMessageDelivery"]), ("true", "true"));
    assert!(
        matches!(chain.sns.sns.unsubscribe(&first, false).await, Err(SnsError::Authorization(_))),
        "nobody's link ends a queue's"
    );
}

#[tokio::test]
async fn a_mail_that_the_first_version_left_is_still_sent() {
    let sns = Fixture::new().await;
    let arn = sns.subscriber("a@example.com").await;
    let whole = json!({ "Notification": {
        "message_id": "m", "topic_arn": sns.arn(), "subscription_id": arn.rsplit(':').next().unwrap(), "subject": "Old",
        "text": "kept", "attributes": { "a": { "Type": "String", "Value": "x" } }, "time_ms": 5, "by_rule": false,
    } });
    sns.lake.store.write(move |tx| tx.enqueue(&NewTask::new("sns.mail", whole)).map(drop)).await.unwrap();
    let mails = sns.mails().await;
    assert_eq!((mails[0].subject.as_str(), iso8601(mails[0].time_ms, false).is_empty()), ("Old", false));
    assert!(mails[0].body.starts_with("kept\n"));
}

#[tokio::test]
async fn a_filter_policy_more_than_a_topic_may_have_is_refused() {
    let chain = Chain::new().await;
    let topic = chain.sns.arn();
    let policy = [("FilterPolicy", r#"{"a": ["b"]}"#)];
    for n in 0..200 {
        chain.subscribe(&topic, "sqs", &format!("{QUEUE}{n}"), &policy).await;
    }
    let new = NewSubscription {
        topic_arn: topic.clone(),
        protocol: "sqs".into(),
        endpoint: QUEUE.into(),
        attributes: policy.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    };
    assert!(matches!(chain.sns.sns.subscribe(new).await, Err(SnsError::FilterPolicyLimit(_))));
    let plain = chain.subscribe(&topic, "sqs", QUEUE, &[]).await;
    let refused = chain.sns.sns.set_subscription_attribute(&plain, "FilterPolicy", policy[0].1).await;
    assert!(matches!(refused, Err(SnsError::FilterPolicyLimit(_))));
}

#[tokio::test]
async fn topics_of_the_first_version_go_on_taking_what_rules_send() {
    let directory = tempfile::tempdir().unwrap();
    let first = millpond_store::Component { migrations: &COMPONENT.migrations[..1], ..COMPONENT };
    let open = async |component: millpond_store::Component| {
        // The writer thread of a store that was dropped ends a little later.
        for _ in 0..1000 {
            match Store::open(directory.path(), &[component], Arc::new(SystemEnv)) {
                Ok(store) => return store,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        panic!("the store stays in use");
    };
    let store = open(first).await;
    let old = r#"INSERT INTO sns_topic (name, attributes) VALUES ('plain', '{"DisplayName":"d"}'), ('own', '{"Policy":"{}"}')"#;
    store.write(move |tx| Ok::<_, millpond_store::StoreError>(tx.execute_batch(old)?)).await.unwrap();
    drop(store);
    let lake = Lake { store: open(COMPONENT).await, place: Arc::new(Place::default()) };
    let sns = Sns::new(lake.clone(), Arc::new(Mailbox::new(lake)), "http://127.0.0.1:4566".into(), Targets::default());
    let policy = async |name: &str| sns.topic_attributes(&sns.topic_arn(name)).await.unwrap()["Policy"].clone();
    let arn = sns.topic_arn("plain");
    let allowed = policy::allows(
        &policy("plain").await,
        &arn,
        "000000000000",
        Sender::Events,
        "arn:aws:events:us-east-1:000000000000:rule/r",
    );
    assert!(allowed.is_ok());
    assert_eq!(policy("own").await, "{}", "what an owner said stays");
    assert_eq!(sns.topic_attributes(&arn).await.unwrap()["DisplayName"], "d");
}

#[tokio::test]
async fn a_topic_takes_subject_and_attributes_from_other_services() {
    let chain = Chain::new().await;
    let topic = chain.sns.arn();
    chain.subscribe(&topic, "sqs", QUEUE, &[]).await;
    let mut delivery = super::delivery(&topic, "{}");
    delivery.sender = Sender::Lambda;
    delivery.parameters.subject = Some("From a function".into());
    delivery.parameters.attributes =
        [("n".to_owned(), MessageAttribute { data_type: "Number".into(), value: "7".into() })].into();
    let (sns, lake) = (chain.sns.sns.clone(), chain.sns.lake.clone());
    chain.sns.lake.store.write(move |tx| sns.targets.deliver_or_keep(tx, &lake, &delivery)).await.unwrap();
    let envelope: Value = serde_json::from_str(&chain.delivered().await[0].input).unwrap();
    assert_eq!((&envelope["Subject"], &envelope["MessageAttributes"]["n"]["Value"]), (&json!("From a function"), &json!("7")));
}
