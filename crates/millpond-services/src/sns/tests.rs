use super::*;
use crate::runtime::delivery::{Delivery, Parameters, RetryPolicy, Sender, Targets};
use crate::runtime::{Failure, Workers};
use async_trait::async_trait;
use millpond_core::arn::Place;
use millpond_core::env::SystemEnv;
use millpond_core::event::Event;
use millpond_store::Store;
use millpond_store::task::{Task, dead_letters, pending};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

mod deliveries;

struct Fixture {
    _directory: tempfile::TempDir,
    lake: Lake,
    sns: Sns,
    _workers: Workers,
}

fn lake() -> (tempfile::TempDir, Lake) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &[COMPONENT], Arc::new(SystemEnv)).unwrap();
    (directory, Lake { store, place: Arc::new(Place::default()) })
}

impl Fixture {
    async fn new() -> Self {
        let (directory, lake) = lake();
        let transport = Arc::new(Mailbox::new(lake.clone()));
        Self::over(directory, lake, transport).await
    }

    async fn over(directory: tempfile::TempDir, lake: Lake, transport: Arc<dyn MailTransport>) -> Self {
        Self::with(directory, lake, transport, Targets::default()).await
    }

    async fn with(directory: tempfile::TempDir, lake: Lake, transport: Arc<dyn MailTransport>, targets: Targets) -> Self {
        let sns = Sns::new(lake.clone(), transport, "http://127.0.0.1:4566/".into(), targets);
        let workers = Workers::start(&lake, sns.handlers());
        sns.create_topic(NewTopic { name: "t".into(), ..NewTopic::default() }).await.unwrap();
        Self { _directory: directory, lake, sns, _workers: workers }
    }

    fn arn(&self) -> String {
        self.sns.topic_arn("t")
    }

    async fn subscriber(&self, address: &str) -> String {
        self.sns.subscribe_confirmed(&self.arn(), "email", address).await.unwrap()
    }

    async fn publish(&self, body: &str) -> Result<Published, SnsError> {
        self.sns.publish(&self.arn(), NewMessage { body: body.into(), ..NewMessage::default() }).await
    }

    /// All kept mails, the oldest first, when no task is left.
    async fn mails(&self) -> Vec<Mail> {
        for _ in 0..400 {
            if self.lake.store.read(pending).await.unwrap() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut mails = self.sns.mailbox_list(i64::MAX, 100).await.unwrap();
        mails.reverse();
        mails
    }
}

#[tokio::test]
async fn a_message_goes_to_each_confirmed_subscriber_once() {
    let sns = Fixture::new().await;
    sns.subscriber("a@example.com").await;
    sns.subscriber("b@example.com").await;
    assert_eq!(sns.subscriber("a@example.com").await, sns.subscriber("a@example.com").await, "the same subscription");
    let message = NewMessage { subject: Some("Hello".into()), body: "Hi,\nthere.".into(), ..NewMessage::default() };
    sns.sns.publish(&sns.arn(), message).await.unwrap();
    let mails = sns.mails().await;
    assert_eq!(mails.iter().map(|mail| mail.to.as_str()).collect::<std::collections::BTreeSet<_>>().len(), 2);
    assert_eq!((mails.len(), mails[0].subject.as_str()), (2, "Hello"));
    assert!(mails[0].body.starts_with("Hi,\nthere.\n\n-- \n"), "{}", mails[0].body);
    assert!(
        mails[0].body.contains("http://127.0.0.1:4566/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:us-east-1:000000000000:t:")
    );
    assert_ne!(mails[0].message_id, mails[1].message_id);
}

#[tokio::test]
async fn a_subscriber_confirms_with_the_link_and_ends_with_the_other() {
    let sns = Fixture::new().await;
    let new = NewSubscription {
        topic_arn: sns.arn(),
        protocol: "email".into(),
        endpoint: "a@example.com".into(),
        ..Default::default()
    };
    let subscribed = sns.sns.subscribe(new.clone()).await.unwrap();
    assert!(subscribed.is_pending);
    sns.publish("too early").await.unwrap();
    let mails = sns.mails().await;
    assert_eq!((mails.len(), mails[0].subject.as_str()), (1, "AWS Notification - Subscription Confirmation"));
    let token = mails[0].body.split("Token=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    for wrong in ["", "abc", &"0".repeat(128), &token[1..]] {
        assert!(sns.sns.confirm(&sns.arn(), wrong, false, false).await.is_err(), "{wrong}");
    }
    assert_eq!(sns.sns.confirm(&sns.arn(), &token, false, false).await.unwrap(), subscribed.arn);
    assert_eq!(sns.sns.confirm(&sns.arn(), &token, false, false).await.unwrap(), subscribed.arn, "twice is once");
    assert!(!sns.sns.subscribe(new).await.unwrap().is_pending);
    sns.publish("in time").await.unwrap();
    assert_eq!(sns.mails().await.len(), 2);
    sns.sns.unsubscribe(&subscribed.arn, false).await.unwrap();
    sns.sns.unsubscribe(&subscribed.arn, false).await.unwrap();
    sns.publish("too late").await.unwrap();
    let mails = sns.mails().await;
    assert_eq!((mails.len(), mails[2].subject.as_str()), (3, "AWS Notification - Unsubscribe Confirmation"));
    assert!(sns.sns.list_subscriptions(None, None).await.unwrap().items.is_empty());
    let attributes = sns.sns.topic_attributes(&sns.arn()).await.unwrap();
    let counts = ["SubscriptionsConfirmed", "SubscriptionsPending", "SubscriptionsDeleted"].map(|name| attributes[name].as_str());
    assert_eq!(counts, ["0", "0", "1"]);
    let back = mails[2].body.split("Token=").nth(1).unwrap().split_whitespace().next().unwrap();
    assert_ne!(back, token);
    assert_eq!(sns.sns.confirm(&sns.arn(), back, false, false).await.unwrap(), subscribed.arn, "a link followed by mistake");
    sns.publish("once more").await.unwrap();
    assert_eq!(sns.mails().await.len(), 4);
}

#[tokio::test]
async fn who_confirmed_with_a_signature_can_have_the_end_need_one() {
    let sns = Fixture::new().await;
    let new = NewSubscription {
        topic_arn: sns.arn(),
        protocol: "email-json".into(),
        endpoint: "a@example.com".into(),
        ..Default::default()
    };
    let arn = sns.sns.subscribe(new).await.unwrap().arn;
    let mail: Value = serde_json::from_str(&sns.mails().await[0].body).unwrap();
    assert_eq!(mail["Type"], "SubscriptionConfirmation");
    sns.sns.confirm(&sns.arn(), mail["Token"].as_str().unwrap(), true, true).await.unwrap();
    assert!(matches!(sns.sns.unsubscribe(&arn, false).await, Err(SnsError::Authorization(_))));
    let attributes = sns.sns.subscription_attributes(&arn).await.unwrap();
    assert_eq!(
        (attributes["ConfirmationWasAuthenticated"].as_str(), attributes["PendingConfirmation"].as_str()),
        ("true", "false")
    );
    sns.sns.unsubscribe(&arn, true).await.unwrap();
}

#[tokio::test]
async fn filter_policies_choose_by_attributes_or_by_the_body() {
    let sns = Fixture::new().await;
    let (by_attributes, by_body) = (sns.subscriber("a@example.com").await, sns.subscriber("b@example.com").await);
    let set = async |arn: &str, name: &str, value: &str| sns.sns.set_subscription_attribute(arn, name, value).await;
    set(&by_attributes, "FilterPolicy", r#"{"state": ["FAILED"], "n": [{"numeric": [">", 3]}], "tags": ["x"]}"#).await.unwrap();
    set(&by_body, "FilterPolicyScope", "MessageBody").await.unwrap();
    set(&by_body, "FilterPolicy", r#"{"detail": {"state": [{"prefix": "F"}]}}"#).await.unwrap();
    for (name, value) in [
        ("FilterPolicy", "{"),
        ("FilterPolicy", r#"{"a": {"b": ["nested"]}}"#),
        ("FilterPolicy", r#"{"a": ["1"], "b": ["1"], "c": ["1"], "d": ["1"], "e": ["1"], "f": ["1"]}"#),
        ("FilterPolicyScope", "Elsewhere"),
        ("RawMessageDelivery", "maybe"),
        ("Unknown", "x"),
    ] {
        assert!(matches!(set(&by_attributes, name, value).await, Err(SnsError::InvalidParameter(_))), "{name} {value}");
    }
    let text = |kind: &str, value: &str| Attribute::new("a", kind, Some(value.into()), None).unwrap();
    let attributes: BTreeMap<_, _> = [
        ("state".to_owned(), text("String", "FAILED")),
        ("n".to_owned(), text("Number", "4.5")),
        ("tags".to_owned(), text("String.Array", r#"["x", "y"]"#)),
    ]
    .into();
    let message = NewMessage { body: "text".into(), attributes: attributes.clone(), ..NewMessage::default() };
    sns.sns.publish(&sns.arn(), message.clone()).await.unwrap();
    assert_eq!(sns.mails().await.iter().map(|mail| mail.to.as_str()).collect::<Vec<_>>(), ["a@example.com"]);
    let message = NewMessage { body: r#"{"detail": {"state": "FAILED"}}"#.into(), ..NewMessage::default() };
    sns.sns.publish(&sns.arn(), message).await.unwrap();
    assert_eq!(sns.mails().await.iter().map(|mail| mail.to.as_str()).collect::<Vec<_>>(), ["a@example.com", "b@example.com"]);
}

#[tokio::test]
async fn wrong_messages_are_refused_as_sns_does() {
    let sns = Fixture::new().await;
    let good = NewMessage { body: "x".into(), ..NewMessage::default() };
    for (message, expected) in [
        (NewMessage { body: String::new(), ..good.clone() }, "Invalid parameter: Empty message"),
        (NewMessage { body: "x".repeat(256 * 1024 + 1), ..good.clone() }, "Invalid parameter: Message too long"),
        (NewMessage { subject: Some(String::new()), ..good.clone() }, "Invalid parameter: Subject"),
        (NewMessage { subject: Some("a\r\nBcc: b@example.com".into()), ..good.clone() }, "Invalid parameter: Subject"),
        (NewMessage { subject: Some("s".repeat(101)), ..good.clone() }, "Invalid parameter: Subject"),
        (
            NewMessage { structure: Some("json".into()), ..good.clone() },
            "Invalid parameter: Message Structure - JSON message body failed to parse",
        ),
        (
            NewMessage { structure: Some("json".into()), body: r#"{"email": "x"}"#.into(), ..good.clone() },
            "Invalid parameter: Message Structure - No default entry in JSON message body",
        ),
    ] {
        assert_eq!(sns.sns.publish(&sns.arn(), message).await.unwrap_err().to_string(), expected);
    }
    let gone = sns.sns.publish(&sns.sns.topic_arn("gone"), good.clone()).await.unwrap_err();
    assert_eq!(gone.to_string(), "Topic does not exist");
    let malformed = sns.sns.publish("topic", good.clone()).await.unwrap_err();
    assert_eq!(malformed.to_string(), "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1");
    let entry = |id: &str| BatchEntry { id: id.into(), message: good.clone() };
    let batch = async |entries| sns.sns.publish_batch(&sns.arn(), entries).await;
    assert!(matches!(batch(vec![]).await, Err(SnsError::EmptyBatch)));
    assert!(matches!(batch((0..11).map(|n| entry(&n.to_string())).collect()).await, Err(SnsError::TooManyEntries)));
    assert!(matches!(batch(vec![entry("a"), entry("a")]).await, Err(SnsError::IdsNotDistinct)));
    assert!(matches!(batch(vec![entry("a b")]).await, Err(SnsError::InvalidBatchId(_))));
    assert_eq!(batch(vec![entry("a"), entry("b")]).await.unwrap().len(), 2);
    for (name, kind, text, binary) in [
        ("a", "String", None, None),
        ("a", "String", Some(""), None),
        ("a", "String", None, Some(b"x".to_vec())),
        ("a", "Binary", Some("x"), None),
        ("a", "Text", Some("x"), None),
        ("a", "Number", Some("many"), None),
        (".a", "String", Some("x"), None),
        ("a..b", "String", Some("x"), None),
        ("a^", "String", Some("x"), None),
    ] {
        assert!(Attribute::new(name, kind, text.map(str::to_owned), binary).is_err(), "{name} {kind}");
    }
}

#[tokio::test]
async fn each_protocol_gets_its_own_text() {
    let sns = Fixture::new().await;
    sns.subscriber("a@example.com").await;
    sns.sns.subscribe_confirmed(&sns.arn(), "email-json", "b@example.com").await.unwrap();
    let body = json!({ "default": "for all", "email": "for people" }).to_string();
    let message = NewMessage { body, structure: Some("json".into()), ..NewMessage::default() };
    sns.sns.publish(&sns.arn(), message).await.unwrap();
    let mails: BTreeMap<String, Mail> = sns.mails().await.into_iter().map(|mail| (mail.to.clone(), mail)).collect();
    assert!(mails["a@example.com"].body.starts_with("for people\n"));
    let json: Value = serde_json::from_str(&mails["b@example.com"].body).unwrap();
    assert_eq!((json["Type"].as_str(), json["Message"].as_str()), (Some("Notification"), Some("for all")));
}

#[tokio::test]
async fn topics_are_made_once_and_have_attributes_and_tags() {
    let sns = Fixture::new().await;
    let new = NewTopic {
        name: "named".into(),
        attributes: [("DisplayName".to_owned(), "The Lake".to_owned())].into(),
        tags: vec![("k".into(), "v".into())],
    };
    let arn = sns.sns.create_topic(new.clone()).await.unwrap();
    assert_eq!(sns.sns.create_topic(new.clone()).await.unwrap(), arn);
    assert_eq!(sns.sns.create_topic(NewTopic { name: "named".into(), ..NewTopic::default() }).await.unwrap(), arn);
    let other = NewTopic { attributes: [("DisplayName".to_owned(), "x".to_owned())].into(), ..new.clone() };
    assert!(
        sns.sns.create_topic(other).await.unwrap_err().to_string().ends_with("Topic already exists with different attributes")
    );
    let other = NewTopic { tags: vec![("k".into(), "w".into())], ..new.clone() };
    assert!(sns.sns.create_topic(other).await.unwrap_err().to_string().ends_with("Topic already exists with different tags"));
    for name in ["", "a b", "a.fifo", ".fifo", &"a".repeat(257)] {
        assert!(sns.sns.create_topic(NewTopic { name: name.into(), ..NewTopic::default() }).await.is_err(), "{name}");
    }
    sns.sns.set_topic_attribute(&arn, "DisplayName", "Other").await.unwrap();
    assert_eq!(sns.sns.topic_attributes(&arn).await.unwrap()["DisplayName"], "Other");
    assert!(sns.sns.set_topic_attribute(&arn, "DisplayName", "a\nb").await.is_err());
    assert_eq!(sns.sns.list_tags_for_resource(&arn).await.unwrap(), [("k".to_owned(), "v".to_owned())]);
    assert_eq!(sns.sns.list_topics(None).await.unwrap().items.len(), 2);
    sns.sns.delete_topic(&arn).await.unwrap();
    sns.sns.delete_topic(&arn).await.unwrap();
    assert!(matches!(sns.sns.list_tags_for_resource(&arn).await, Err(SnsError::ResourceNotFound)));
    assert!(matches!(sns.sns.topic_attributes(&arn).await, Err(SnsError::NotFound(_))));
}

fn delivery(target: &str, input: &str) -> Delivery {
    let event = Event {
        version: "0".into(),
        id: "1".into(),
        detail_type: "T".into(),
        source: "s".into(),
        account: "000000000000".into(),
        time: "2024-05-01T12:00:00Z".into(),
        region: "us-east-1".into(),
        resources: vec![],
        detail: json!({}),
    };
    Delivery {
        target: target.into(),
        source: "arn:rule".into(),
        target_id: "x".into(),
        sender: Sender::Events,
        input: input.into(),
        event: Some(Arc::new(event)),
        parameters: Parameters::default(),
        retry: RetryPolicy::default(),
        dead_letter: None,
    }
}

#[tokio::test]
async fn a_rule_publishes_to_a_topic_and_a_missing_topic_is_told() {
    let sns = Fixture::new().await;
    sns.subscriber("a@example.com").await;
    sns.sns.allow(&sns.arn(), "rules", "events.amazonaws.com", "arn:rule").await.unwrap();
    let targets = Targets::new(vec![Arc::new(sns.sns.clone())]);
    let (lake, good, bad) =
        (sns.lake.clone(), delivery(&sns.arn(), "\"5 rows\"\n\"in 1 s\""), delivery(&sns.sns.topic_arn("gone"), "{}"));
    let write = sns.lake.store.write(move |tx| {
        targets.deliver_or_keep(tx, &lake, &bad)?;
        targets.deliver_or_keep(tx, &lake, &good)
    });
    write.await.unwrap();
    let mails = sns.mails().await;
    assert_eq!((mails.len(), mails[0].subject.as_str()), (1, "AWS Notification Message"));
    assert!(mails[0].body.starts_with("5 rows\nin 1 s\n\n-- "), "{}", mails[0].body);
    let dead = sns.lake.store.read(|connection| dead_letters(connection, 10)).await.unwrap();
    assert!(
        dead[0].reason.as_deref().unwrap().contains("t:gone does not exist")
            || dead[0].reason.as_deref().unwrap().contains(":gone does not exist")
    );
}

/// Fails as often as it is told to.
#[derive(Debug, Default)]
struct Stubborn {
    tries: Mutex<Vec<String>>,
}

#[async_trait]
impl MailTransport for Stubborn {
    async fn send(&self, mail: Outgoing, _: &Task) -> Result<(), Failure> {
        let mut tries = self.tries.lock().unwrap();
        tries.push(mail.message_id);
        match (mail.to.as_str(), tries.len()) {
            ("bounce@example.com", _) => Err(Failure::lasting("550 no such user")),
            (_, 1) => Err(Failure::transient("451 try again")),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_mail_is_tried_again_under_the_same_id_and_a_lasting_refusal_is_a_dead_letter() {
    let (directory, lake) = lake();
    let transport = Arc::new(Stubborn::default());
    let sns = Fixture::over(directory, lake, transport.clone()).await;
    let arn = sns.subscriber("a@example.com").await;
    sns.publish("hello").await.unwrap();
    sns.mails().await;
    {
        let tries = transport.tries.lock().unwrap();
        assert_eq!(tries.len(), 2);
        assert_eq!(tries[0], tries[1]);
    }
    sns.sns.unsubscribe(&arn, true).await.unwrap();
    sns.subscriber("bounce@example.com").await;
    sns.publish("hello").await.unwrap();
    sns.mails().await;
    let dead = sns.lake.store.read(|connection| dead_letters(connection, 10)).await.unwrap();
    assert_eq!((dead.len(), dead[0].reason.as_deref()), (1, Some("550 no such user")));
}

#[tokio::test]
async fn kept_mails_can_be_read_and_thrown_away() {
    let sns = Fixture::new().await;
    sns.subscriber("a@example.com").await;
    for n in 0..3 {
        sns.publish(&format!("mail {n}")).await.unwrap();
        sns.mails().await;
    }
    let latest = sns.sns.mailbox_list(i64::MAX, 2).await.unwrap();
    assert_eq!(latest.len(), 2);
    assert!(latest[0].body.starts_with("mail 2"));
    let older = sns.sns.mailbox_list(latest[1].id, 10).await.unwrap();
    assert_eq!(older.len(), 1);
    assert_eq!(sns.sns.mailbox_get(older[0].id).await.unwrap().as_ref(), older.first());
    assert!(sns.sns.mailbox_delete(older[0].id).await.unwrap());
    assert!(!sns.sns.mailbox_delete(older[0].id).await.unwrap());
}

#[tokio::test]
async fn smtp_settings_are_checked() {
    let settings = |from: &str, tls| SmtpSettings {
        host: "localhost".into(),
        port: 25,
        from: from.into(),
        tls,
        username: None,
        password: None,
    };
    assert!(Smtp::new(settings("lake", SmtpTls::None)).is_err());
    assert!(Smtp::new(settings("The Lake <lake@example.com>", SmtpTls::None)).is_ok());
}
