//! Notifications, from the change to the message at its destination.

use super::notification::{DestinationKind, FilterRule, Notification, Notifications};
use super::*;
use crate::lake::objects::ObjectMeta;
use crate::runtime::Failure;
use crate::runtime::delivery::{Delivering, Delivery, Sender, TargetKind};
use crate::runtime::dispatcher::{Listener, dispatch_once};
use millpond_core::arn::{Arn, Place};
use millpond_core::env::SystemEnv;
use millpond_store::task::{NewTask, dead_letters};
use millpond_store::{Store, StoreError};
use serde_json::{Value, json};
use std::sync::Arc;

/// Queues, topics and functions that keep what they get; those called `closed` let nobody in.
struct Doors;

impl TargetKind for Doors {
    fn title(&self) -> &'static str {
        "doors"
    }

    fn accepts(&self, arn: &Arn) -> bool {
        matches!(arn.service.as_str(), "sqs" | "sns" | "lambda")
    }

    fn check(&self, _: &Delivering<'_>, arn: &Arn, sender: Sender, source: &str) -> Result<(), Failure> {
        assert_eq!((sender, source), (Sender::S3, "arn:aws:s3:::raw"));
        match arn.resource.ends_with("closed") {
            true => Err(Failure::lasting("it is closed").code("NO_PERMISSIONS")),
            false => Ok(()),
        }
    }

    fn deliver(&self, at: &Delivering<'_>, arn: &Arn, delivery: &Delivery) -> Result<(), Failure> {
        self.check(at, arn, delivery.sender, &delivery.source)?;
        let message: Value = serde_json::from_str(&delivery.input).unwrap();
        let got = json!({ "arn": arn.to_string(), "message": message, "subject": delivery.parameters.subject });
        at.tx.enqueue(&NewTask::new("test.got", got))?;
        Ok(())
    }
}

struct Fixture {
    _directory: tempfile::TempDir,
    s3: S3,
    listeners: Arc<[Arc<dyn Listener>]>,
}

fn arn(kind: DestinationKind, name: &str) -> String {
    match kind {
        DestinationKind::Function => format!("arn:aws:lambda:us-east-1:000000000000:function:{name}"),
        DestinationKind::Queue => format!("arn:aws:sqs:us-east-1:000000000000:{name}"),
        DestinationKind::Topic => format!("arn:aws:sns:us-east-1:000000000000:{name}"),
    }
}

fn notification(kind: DestinationKind, name: &str, events: &[&str], prefix: &str) -> Notification {
    Notification {
        id: format!("{name}-id"),
        kind,
        arn: arn(kind, name),
        events: events.iter().map(|event| (*event).to_owned()).collect(),
        filter: (!prefix.is_empty()).then(|| vec![FilterRule { name: "prefix".into(), value: prefix.into() }]),
    }
}

impl Fixture {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &[objects::COMPONENT, COMPONENT], Arc::new(SystemEnv)).unwrap();
        let lake = Lake { store, place: Arc::new(Place::default()) };
        let listeners: Vec<Arc<dyn Listener>> = vec![Arc::new(Notifier::new(&lake))];
        let s3 = S3::new(lake, Targets::new(vec![Arc::new(Doors)]));
        s3.create_bucket("raw", None, vec![]).await.unwrap();
        Self { _directory: directory, s3, listeners: listeners.into() }
    }

    async fn set(&self, targets: Vec<Notification>, unchecked: bool) -> Result<(), S3Error> {
        let caller = Caller { request_id: "R0".into(), ..Caller::default() };
        self.s3.set_notifications(&caller, "raw", Notifications { event_bridge: false, targets }, unchecked).await
    }

    fn caller() -> Caller {
        Caller { account: "000000000000".into(), source_ip: "10.0.0.9".into(), request_id: "R1".into(), job_run: None }
    }

    async fn put(&self, key: &str) -> Object {
        let put = put::PutObject {
            bucket: "raw".into(),
            key: key.into(),
            payload: Payload::of("x"),
            meta: ObjectMeta::default(),
            condition: WriteCondition::default(),
        };
        self.s3.put_object(&Self::caller(), put).await.unwrap()
    }

    /// Dispatches, and takes what arrived: the destination's name, what happened, the key.
    async fn arrived(&self) -> Vec<Value> {
        while dispatch_once(&self.s3.lake, &self.s3.targets, &self.listeners).await.unwrap() > 0 {}
        let taken = self.s3.lake.store.write(|tx| {
            let tasks = tx.lease_tasks("test.got", 1000)?;
            tasks.iter().try_for_each(|task| tx.finish_task(task))?;
            Ok::<_, StoreError>(tasks)
        });
        taken.await.unwrap().into_iter().map(|task| task.payload).collect()
    }

    async fn summary(&self) -> Vec<String> {
        let line = |got: &Value| {
            let (arn, record) = (got["arn"].as_str().unwrap(), &got["message"]["Records"][0]);
            let name = arn.rsplit(':').next().unwrap().to_owned();
            format!("{name} {} {}", record["eventName"].as_str().unwrap(), record["s3"]["object"]["key"].as_str().unwrap())
        };
        self.arrived().await.iter().map(line).collect()
    }
}

#[tokio::test]
async fn each_kind_of_change_reaches_those_who_want_it() {
    let lake = Fixture::new().await;
    let all = vec![
        notification(DestinationKind::Queue, "created", &["s3:ObjectCreated:*"], "in/"),
        notification(DestinationKind::Topic, "removed", &["s3:ObjectRemoved:*"], ""),
        notification(DestinationKind::Function, "tagged", &["s3:ObjectTagging:*"], ""),
        notification(DestinationKind::Function, "copied", &["s3:ObjectCreated:Copy"], "out/"),
    ];
    lake.set(all, false).await.unwrap();
    let tests = lake.arrived().await;
    assert_eq!(tests.iter().map(|got| got["message"]["Event"].as_str().unwrap()).collect::<Vec<_>>(), ["s3:TestEvent"; 2]);
    assert_eq!(tests.iter().map(|got| got["subject"].as_str()).collect::<Vec<_>>(), [None, Some("Amazon S3 Notification")]);
    lake.put("in/a b=1.csv").await;
    lake.put("elsewhere").await;
    let copy = |to: &str| copy::CopyObject {
        source: copy::Source { bucket: "raw".into(), key: "elsewhere".into(), ..copy::Source::default() },
        bucket: "raw".into(),
        key: to.into(),
        ..copy::CopyObject::default()
    };
    lake.s3.copy_object(&Fixture::caller(), copy("in/copy")).await.unwrap();
    lake.s3.copy_object(&Fixture::caller(), copy("out/copy")).await.unwrap();
    assert_eq!(
        lake.summary().await,
        ["created ObjectCreated:Put in/a+b%3D1.csv", "created ObjectCreated:Copy in/copy", "copied ObjectCreated:Copy out/copy"]
    );
    let tags = vec![("a".to_owned(), "1".to_owned())];
    lake.s3.set_object_tags(&Fixture::caller(), "raw", "in/copy", tags).await.unwrap();
    lake.s3.delete_object_tags(&Fixture::caller(), "raw", "in/copy").await.unwrap();
    let ones = ["in/copy", "never", "elsewhere"].map(|key| delete::DeleteOne {
        key: key.into(),
        version: None,
        condition: WriteCondition::default(),
    });
    lake.s3.delete_objects(&Fixture::caller(), "raw", ones.to_vec()).await.unwrap();
    assert_eq!(
        lake.summary().await,
        [
            "tagged ObjectTagging:Put in/copy",
            "tagged ObjectTagging:Delete in/copy",
            "removed ObjectRemoved:Delete in/copy",
            "removed ObjectRemoved:Delete elsewhere"
        ]
    );
}

#[tokio::test]
async fn a_message_says_who_did_what_and_in_which_order() {
    let lake = Fixture::new().await;
    lake.set(vec![notification(DestinationKind::Queue, "q", &["s3:ObjectCreated:*"], "")], true).await.unwrap();
    let first = lake.put("k").await;
    lake.put("k").await;
    let got = lake.arrived().await;
    let record = |at: usize| got[at]["message"]["Records"][0].clone();
    assert_eq!(record(0)["s3"]["configurationId"], "q-id");
    assert_eq!(record(0)["s3"]["object"]["eTag"], json!(first.etag));
    assert_eq!(record(0)["requestParameters"]["sourceIPAddress"], "10.0.0.9");
    assert_eq!(record(0)["responseElements"]["x-amz-request-id"], "R1");
    let sequencer = |at: usize| record(at)["s3"]["object"]["sequencer"].as_str().unwrap().to_owned();
    assert!(sequencer(0) < sequencer(1));
}

#[tokio::test]
async fn destinations_are_tried_when_they_are_set_unless_asked_not_to() {
    let lake = Fixture::new().await;
    let put = &["s3:ObjectCreated:Put"];
    for kind in [DestinationKind::Queue, DestinationKind::Topic, DestinationKind::Function] {
        let closed = notification(kind, "closed", put, "a");
        let open = notification(DestinationKind::Queue, "open", put, "b");
        let error = lake.set(vec![open, closed.clone()], false).await.unwrap_err().to_string();
        let expected = format!("Unable to validate the following destination configurations: {}: it is closed", closed.arn);
        assert_eq!(error, expected);
        assert_eq!(lake.arrived().await.len(), 0, "what the open one got is undone with the rest");
        assert_eq!(lake.s3.notifications("raw").await.unwrap().targets, []);
        lake.set(vec![closed], true).await.unwrap();
        lake.put("a").await;
        assert_eq!(lake.arrived().await.len(), 0);
        let dead = lake.s3.lake.store.read(|connection| dead_letters(connection, 1)).await.unwrap();
        assert_eq!(dead[0].reason.as_deref(), Some("it is closed"));
        lake.set(vec![], false).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_set_later_does_not_concern_a_change_and_a_quiet_bucket_posts_nothing() {
    let lake = Fixture::new().await;
    let put = &["s3:ObjectCreated:Put"];
    lake.put("before").await;
    let posted = |lake: &Fixture| {
        let store = lake.s3.lake.store.clone();
        async move { store.read(|c| millpond_store::outbox::raw_rows(c, 10, usize::MAX)).await.unwrap().len() }
    };
    assert_eq!(posted(&lake).await, 0);
    lake.set(vec![notification(DestinationKind::Queue, "q", put, "x")], true).await.unwrap();
    lake.put("not wanted").await;
    assert_eq!(posted(&lake).await, 0);
    lake.put("x").await;
    lake.set(vec![], false).await.unwrap();
    assert_eq!(lake.summary().await, ["q ObjectCreated:Put x"]);
}
