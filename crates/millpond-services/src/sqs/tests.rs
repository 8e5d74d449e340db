use super::*;
use crate::runtime::delivery::MessageAttribute;
use millpond_core::arn::Place;
use millpond_core::env::{Env, SystemEnv};
use millpond_store::Store;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

mod deliveries;
mod fifo;
mod moves;
mod standard;

/// A clock that a test moves.
#[derive(Debug)]
pub(super) struct Clock(AtomicI64);

impl Env for Clock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        SystemEnv.fill_random(bytes);
    }
}

pub(super) struct Fixture {
    pub(super) lake: Lake,
    pub(super) sqs: Sqs,
    clock: Arc<Clock>,
    _directory: tempfile::TempDir,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(Clock(AtomicI64::new(1_800_000_000_000)));
        let store = Store::open(directory.path(), &[COMPONENT], clock.clone()).unwrap();
        let lake = Lake { store, place: Arc::new(Place::default()) };
        Self { sqs: Sqs::new(lake.clone()), lake, clock, _directory: directory }
    }

    pub(super) fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub(super) async fn create(&self, name: &str, attributes: &[(&str, &str)]) {
        let mut attributes = of(attributes);
        if name.ends_with(".fifo") {
            attributes.insert("FifoQueue".into(), "true".into());
        }
        let new = NewQueue { name: name.into(), attributes, ..NewQueue::default() };
        self.sqs.create_queue(new).await.unwrap();
    }

    pub(super) async fn send(&self, queue: &str, body: &str) -> Sent {
        self.sqs.send_message(queue, text(body)).await.unwrap()
    }

    /// To a group of a FIFO queue, under its own text as deduplication id.
    pub(super) async fn send_to(&self, queue: &str, group: &str, body: &str) -> Sent {
        let message = NewMessage { group_id: Some(group.into()), deduplication_id: Some(body.into()), ..text(body) };
        self.sqs.send_message(queue, message).await.unwrap()
    }

    pub(super) async fn receive(&self, queue: &str, max: i32) -> Vec<Received> {
        self.receive_hidden(queue, max, None).await
    }

    pub(super) async fn receive_hidden(&self, queue: &str, max: i32, visibility_seconds: Option<i32>) -> Vec<Received> {
        let ask = Ask { max: Some(max), visibility_seconds, ..Ask::default() };
        self.sqs.receive_message(queue, ask).await.unwrap()
    }

    pub(super) async fn delete(&self, queue: &str, received: &Received) -> Result<(), SqsError> {
        self.sqs.delete_message(queue, received.receipt.clone()).await
    }

    /// Visible, in flight, delayed.
    pub(super) async fn counts(&self, queue: &str) -> (i64, i64, i64) {
        let all = self.sqs.queue_attributes(queue, vec!["All".into()]).await.unwrap();
        let of = |name: &str| all[&format!("ApproximateNumberOfMessages{name}")].parse().unwrap();
        (of(""), of("NotVisible"), of("Delayed"))
    }

    pub(super) fn arn(&self, queue: &str) -> String {
        self.sqs.arn(queue)
    }

    /// Rows of a table.
    pub(super) async fn rows(&self, table: &'static str) -> i64 {
        let count = move |connection: &rusqlite::Connection| {
            Ok::<_, SqsError>(connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?)
        };
        self.lake.store.read(count).await.unwrap()
    }
}

pub(super) fn of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(super) fn text(body: &str) -> NewMessage {
    NewMessage { body: body.into(), sender: "000000000000".into(), ..NewMessage::default() }
}

pub(super) fn bodies(received: &[Received]) -> Vec<&str> {
    received.iter().map(|message| message.body.as_str()).collect()
}

/// `RedrivePolicy`, after so many receives to a queue.
pub(super) fn redrive(target: &str, receives: u32) -> String {
    format!(r#"{{"deadLetterTargetArn":"{target}","maxReceiveCount":{receives}}}"#)
}

#[test]
fn the_digest_of_attributes_is_the_documented_one() {
    // Computed with botocore-independent code from the developer guide's description.
    let attributes = BTreeMap::from([("MyAttribute".to_owned(), MessageAttribute::text("foobar"))]);
    assert_eq!(md5_of_attributes(&attributes).as_deref(), Some("adb59cd4678ea5a855436b949cd07ab6"));
    assert_eq!(md5_of_attributes(&BTreeMap::new()), None);
}

#[test]
fn queue_urls_of_any_host_name_the_queue() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let fixture = Fixture::new();
    for url in [
        "http://127.0.0.1:4566/000000000000/q",
        "https://sqs.us-east-1.amazonaws.com/000000000000/q",
        "http://[::1]:1/000000000000/q/",
        "q",
    ] {
        assert_eq!(fixture.sqs.named(url).unwrap(), "q", "{url}");
    }
    for url in
        ["", "http://h", "http://h/q", "http://h/1/q", "http://h/000000000000/a/b", "a b", "http://h/000000000000/a%20b", ".fifo"]
    {
        assert!(matches!(fixture.sqs.named(url), Err(SqsError::InvalidAddress(_))), "{url}");
    }
    assert!(matches!(fixture.sqs.named("http://h/000000000001/q"), Err(SqsError::QueueDoesNotExist)));
}

#[test]
fn ids_of_a_batch_are_checked() {
    let check = |ids: &[&str]| check_batch("X", ids.iter().copied()).unwrap_err().to_string();
    assert_eq!(check(&[]), "There should be at least one X in the request.");
    assert_eq!(check(&["a"; 11]), "Maximum number of entries per request are 10. You have sent 11.");
    assert_eq!(check(&["a", "b", "a"]), "Id a repeated.");
    assert!(check(&["a b"]).starts_with("A batch entry id can only"));
    assert!(check(&["a".repeat(81).as_str()]).starts_with("A batch entry id can only"));
    assert!(check_batch("X", ["a", "A", "-_9"].into_iter()).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_receive_is_woken_by_a_message_and_by_the_end_of_a_delay() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &[COMPONENT], Arc::new(SystemEnv)).unwrap();
    let lake = Lake { store, place: Arc::new(Place::default()) };
    let sqs = Sqs::new(lake);
    sqs.create_queue(NewQueue { name: "q".into(), ..NewQueue::default() }).await.unwrap();
    let ask = Ask { wait_seconds: Some(20), visibility_seconds: Some(1), ..Ask::default() };
    let waiters: Vec<_> = (0..5)
        .map(|_| {
            let (sqs, ask) = (sqs.clone(), ask.clone());
            tokio::spawn(async move { sqs.receive_message("q", ask).await.unwrap() })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    // One that is there at once, and one after a second; the others get what comes back when its time-out is over.
    sqs.send_message("q", text("now")).await.unwrap();
    sqs.send_message("q", NewMessage { delay_seconds: Some(1), ..text("later") }).await.unwrap();
    let all = tokio::time::timeout(Duration::from_secs(15), futures::future::join_all(waiters)).await.unwrap();
    let mut got: Vec<String> = all.into_iter().flat_map(|received| received.unwrap()).map(|message| message.body).collect();
    got.sort();
    assert_eq!(got.len(), 5);
    assert!(got.contains(&"now".to_owned()) && got.contains(&"later".to_owned()), "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_waiting_receives() {
    let fixture = Fixture::new();
    fixture.create("q", &[]).await;
    let sqs = fixture.sqs.clone();
    let ask = Ask { wait_seconds: Some(20), ..Ask::default() };
    let waiting = tokio::spawn(async move { sqs.receive_message("q", ask).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(50)).await;
    fixture.sqs.close();
    let got = tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it ends at once").unwrap();
    assert_eq!(got, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_queue_tells_those_who_wait() {
    let fixture = Fixture::new();
    fixture.create("q", &[]).await;
    let sqs = fixture.sqs.clone();
    let ask = Ask { wait_seconds: Some(20), ..Ask::default() };
    let waiting = tokio::spawn(async move { sqs.receive_message("q", ask).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    fixture.sqs.delete_queue("q").await.unwrap();
    let got = tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it ends at once").unwrap();
    assert!(matches!(got, Err(SqsError::QueueDoesNotExist)), "{got:?}");
}
