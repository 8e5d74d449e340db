use super::*;
use crate::lake::log::write as write_with_change;
use crate::runtime::Handler;
use millpond_core::env::{Env, SystemEnv};
use millpond_core::log::Line;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;

/// A clock that is moved by hand.
#[derive(Debug)]
struct Clock(AtomicI64);

impl Env for Clock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        SystemEnv.fill_random(bytes);
    }
}

const NOW_MS: i64 = 1_800_000_000_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

struct Fixture {
    directory: TempDir,
    clock: Arc<Clock>,
    logs: Logs,
}

fn open(directory: &Path, clock: &Arc<Clock>) -> Logs {
    Logs::open(directory, Arc::default(), clock.clone()).unwrap()
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(Clock(AtomicI64::new(NOW_MS)));
    let logs = open(directory.path(), &clock);
    Fixture { directory, clock, logs }
}

impl Fixture {
    async fn group(&self, name: &str) {
        self.logs.create_group(NewGroup { name: name.into(), ..NewGroup::default() }).await.unwrap();
    }

    async fn stream(&self, group: &str, name: &str) {
        self.logs.create_stream(group.into(), name.into()).await.unwrap();
    }

    async fn put(&self, group: &str, stream: &str, events: &[(i64, &str)]) -> Put {
        let events = events.iter().map(|(time_ms, text)| Event { time_ms: *time_ms, message: (*text).into() });
        self.logs.put_events(group.into(), stream.into(), events.collect()).await.unwrap()
    }

    async fn filter(&self, query: FilterQuery) -> Vec<String> {
        let (mut query, mut texts) = (query, Vec::new());
        loop {
            let page = self.logs.filter_events(query.clone()).await.unwrap();
            texts.extend(page.events.into_iter().map(|event| event.message));
            match page.next {
                Some(next) => query.token = Some(next),
                None => return texts,
            }
        }
    }

    async fn sweep(&self) {
        let workers = self.logs.start_sweeping();
        for _ in 0..500 {
            let left = self.logs.store().read(|connection| {
                let count = "SELECT count(*) FROM task WHERE kind = 'logs.purge' OR run_at_ms <= ?";
                Ok::<i64, StoreError>(connection.query_row(count, [NOW_MS + 20 * DAY_MS], |row| row.get(0))?)
            });
            let expires = self.logs.store().read(|connection| {
                let now = "SELECT count(*) FROM task WHERE kind = 'logs.expire' AND run_at_ms > 0";
                Ok::<i64, StoreError>(connection.query_row(now, [], |row| row.get(0))?)
            });
            let (left, expires) = (left.await.unwrap(), expires.await.unwrap());
            if left <= 1 && expires == 1 {
                workers.stop(std::time::Duration::from_secs(10)).await;
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("the sweep does not end");
    }

    async fn rows(&self) -> i64 {
        let count = self.logs.store().read(|connection| {
            Ok::<i64, StoreError>(connection.query_row("SELECT count(*) FROM log_event", [], |row| row.get(0))?)
        });
        count.await.unwrap()
    }
}

fn all(group: &str) -> FilterQuery {
    FilterQuery { group: group.into(), ..FilterQuery::default() }
}

#[tokio::test]
async fn events_of_several_streams_come_interleaved_by_time() {
    let f = fixture();
    f.group("g").await;
    for stream in ["a", "b", "c"] {
        f.stream("g", stream).await;
    }
    f.put("g", "a", &[(NOW_MS - 5, "a1"), (NOW_MS - 3, "a2"), (NOW_MS, "a3")]).await;
    f.put("g", "b", &[(NOW_MS - 4, "b1"), (NOW_MS - 3, "b2")]).await;
    f.put("g", "c", &[(NOW_MS - 9, "c1")]).await;
    assert_eq!(f.filter(all("g")).await, ["c1", "a1", "b1", "a2", "b2", "a3"]);
    for limit in 1..7 {
        let paged = FilterQuery { limit: Some(limit), ..all("g") };
        assert_eq!(f.filter(paged).await, ["c1", "a1", "b1", "a2", "b2", "a3"], "{limit}");
        let descending = FilterQuery { limit: Some(limit), descending: true, ..all("g") };
        assert_eq!(f.filter(descending).await, ["a3", "b2", "a2", "b1", "a1", "c1"], "{limit}");
        let some = FilterQuery { limit: Some(limit), streams: Some(vec!["b".into(), "a".into()]), ..all("g") };
        assert_eq!(f.filter(some).await, ["a1", "b1", "a2", "b2", "a3"], "{limit}");
    }
    let prefixed = FilterQuery { prefix: Some("a".into()), pattern: Some("-a2".into()), ..all("g") };
    assert_eq!(f.filter(prefixed).await, ["a1", "a3"]);
    let times = FilterQuery { from_ms: Some(NOW_MS - 4), to_ms: Some(NOW_MS - 3), ..all("g") };
    assert_eq!(f.filter(times).await, ["b1", "a2", "b2"]);
    let unknown = FilterQuery { streams: Some(vec!["z".into()]), ..all("g") };
    assert!(matches!(f.logs.filter_events(unknown).await, Err(LogsError::NoStream)));
    let token = FilterQuery { token: Some("x".into()), ..all("g") };
    assert!(f.logs.filter_events(token).await.unwrap_err().to_string().contains("nextToken"));
}

#[tokio::test]
async fn pages_of_a_group_are_bounded_in_bytes_and_nothing_is_lost_between_them() {
    let f = fixture();
    f.group("g").await;
    f.stream("g", "s").await;
    let text = "x".repeat(300_000);
    for at in 0..10 {
        f.put("g", "s", &[(NOW_MS + at, &text), (NOW_MS + at, "small")]).await;
    }
    let first = f.logs.filter_events(all("g")).await.unwrap();
    assert!(first.next.is_some() && first.events.len() < 10, "{}", first.events.len());
    assert_eq!(f.filter(all("g")).await.len(), 20);
    let pattern = FilterQuery { pattern: Some("small".into()), ..all("g") };
    assert_eq!(f.filter(pattern).await.len(), 10);
}

#[tokio::test]
async fn one_stream_is_paged_in_both_directions_and_tokens_repeat_at_the_ends() {
    let f = fixture();
    f.group("g").await;
    f.stream("g", "s").await;
    let query = || GetQuery { group: "g".into(), stream: "s".into(), limit: Some(2), ..GetQuery::default() };
    let empty = f.logs.get_events(query()).await.unwrap();
    assert_eq!((empty.events.len(), &empty.forward[..2], &empty.backward[..2]), (0, "f/", "b/"));
    f.put("g", "s", &[(NOW_MS, "1"), (NOW_MS, "2"), (NOW_MS + 1, "3"), (NOW_MS + 2, "4"), (NOW_MS + 2, "5")]).await;
    let texts = |got: &Got| got.events.iter().map(|event| event.message.clone()).collect::<Vec<_>>();
    // A reader that was at the end of an empty stream gets what came since.
    let since = f.logs.get_events(GetQuery { token: Some(empty.forward), from_head: true, ..query() }).await.unwrap();
    assert_eq!(texts(&since), ["1", "2"]);
    let (mut token, mut seen) = (None, Vec::new());
    loop {
        let got = f.logs.get_events(GetQuery { token: token.clone(), from_head: true, ..query() }).await.unwrap();
        seen.extend(texts(&got));
        if token.as_ref() == Some(&got.forward) {
            break;
        }
        token = Some(got.forward);
    }
    assert_eq!(seen, ["1", "2", "3", "4", "5"]);
    let last = f.logs.get_events(query()).await.unwrap();
    assert_eq!(texts(&last), ["4", "5"]);
    let before = f.logs.get_events(GetQuery { token: Some(last.backward), ..query() }).await.unwrap();
    assert_eq!(texts(&before), ["2", "3"]);
    let first = f.logs.get_events(GetQuery { token: Some(before.backward), ..query() }).await.unwrap();
    assert_eq!(texts(&first), ["1"]);
    let none = f.logs.get_events(GetQuery { token: Some(first.backward.clone()), ..query() }).await.unwrap();
    assert_eq!((none.events.len(), none.backward), (0, first.backward));
    // The end of the range is left out.
    let range = GetQuery { from_ms: Some(NOW_MS + 1), to_ms: Some(NOW_MS + 2), from_head: true, ..query() };
    assert_eq!(texts(&f.logs.get_events(range).await.unwrap()), ["3"]);
}

#[tokio::test]
async fn streams_are_listed_by_name_or_by_their_last_event() {
    let f = fixture();
    f.group("g").await;
    for stream in ["b", "a/1", "a/2", "c"] {
        f.stream("g", stream).await;
    }
    f.put("g", "b", &[(NOW_MS - 7, "x"), (NOW_MS - 1, "x")]).await;
    f.put("g", "a/2", &[(NOW_MS, "x")]).await;
    let names = async |order: StreamOrder, descending: bool, prefix: Option<&str>| {
        let (mut token, mut names) = (None, Vec::new());
        loop {
            let query = StreamQuery { group: "g".into(), prefix: prefix.map(str::to_owned), order, descending, token, limit: 1 };
            let page = f.logs.streams(query).await.unwrap();
            names.extend(page.items.into_iter().map(|stream| stream.name));
            token = page.next;
            if token.is_none() {
                return names;
            }
        }
    };
    assert_eq!(names(StreamOrder::Name, false, None).await, ["a/1", "a/2", "b", "c"]);
    assert_eq!(names(StreamOrder::Name, true, Some("a/")).await, ["a/2", "a/1"]);
    assert_eq!(names(StreamOrder::LastEvent, true, None).await, ["a/2", "b", "c", "a/1"]);
    assert_eq!(names(StreamOrder::LastEvent, false, None).await, ["a/1", "c", "b", "a/2"]);
    let query = StreamQuery { group: "g".into(), prefix: Some("b".into()), limit: 50, ..StreamQuery::default() };
    let b = f.logs.streams(query.clone()).await.unwrap().items.remove(0);
    assert_eq!((b.first_event_ms, b.last_event_ms, b.last_ingestion_ms), (Some(NOW_MS - 7), Some(NOW_MS - 1), Some(NOW_MS)));
    assert_eq!(b.arn, "arn:aws:logs:us-east-1:000000000000:log-group:g:log-stream:b");
    let both = StreamQuery { order: StreamOrder::LastEvent, ..query };
    assert!(f.logs.streams(both).await.unwrap_err().to_string().contains("Cannot order by LastEventTime"));
}

#[tokio::test]
async fn groups_are_found_by_prefix_part_class_and_tag() {
    let f = fixture();
    for name in ["/aws/lambda/a", "/aws/lambda/b", "/aws-glue/x", "other", "/aws/lambd"] {
        f.group(name).await;
    }
    f.logs.tag("other".into(), vec![("team".into(), "data".into())], LogsError::NoGroup).await.unwrap();
    let names = async |filter: GroupFilter, tags: Vec<(String, Vec<String>)>| {
        let (mut token, mut names) = (None, Vec::new());
        loop {
            let query = GroupQuery { filter: filter.clone(), tags: tags.clone(), token, limit: 1, ..GroupQuery::default() };
            let page = f.logs.groups(query).await.unwrap();
            names.extend(page.items.into_iter().map(|group| group.name));
            token = page.next;
            if token.is_none() {
                return names;
            }
        }
    };
    assert_eq!(names(GroupFilter::All, vec![]).await, ["/aws-glue/x", "/aws/lambd", "/aws/lambda/a", "/aws/lambda/b", "other"]);
    assert_eq!(names(GroupFilter::Prefix("/aws/lambda".into()), vec![]).await, ["/aws/lambda/a", "/aws/lambda/b"]);
    assert_eq!(names(GroupFilter::Contains("lambda/b".into()), vec![]).await, ["/aws/lambda/b"]);
    let any = GroupFilter::AnyOf(vec!["^/aws-".into(), "ther".into()]);
    assert_eq!(names(any, vec![]).await, ["/aws-glue/x", "other"]);
    assert_eq!(names(GroupFilter::All, vec![("team".into(), vec!["data".into()])]).await, ["other"]);
    assert!(names(GroupFilter::All, vec![("team".into(), vec!["ops".into()])]).await.is_empty());
}

#[tokio::test]
async fn a_deleted_group_is_gone_at_once_and_leaves_nothing() {
    let f = fixture();
    f.group("g").await;
    f.group("kept").await;
    f.stream("g", "s").await;
    f.stream("kept", "s").await;
    let events: Vec<(i64, &str)> = (0..5_000).map(|at| (NOW_MS + at, "a line of some length that fills pages")).collect();
    f.put("g", "s", &events).await;
    f.put("kept", "s", &[(NOW_MS, "kept")]).await;
    let size = |f: &Fixture| std::fs::metadata(f.directory.path().join("logs/lake.sqlite3")).unwrap().len();
    f.logs.delete_group("g".into()).await.unwrap();
    assert!(matches!(f.logs.filter_events(all("g")).await, Err(LogsError::NoGroup)));
    // One of the same name begins empty.
    f.group("g").await;
    assert!(f.filter(all("g")).await.is_empty());
    assert_eq!(f.rows().await, 5_001);
    f.sweep().await;
    assert_eq!((f.rows().await, f.filter(all("kept")).await), (1, vec!["kept".to_owned()]));
    let checkpoint = f.logs.store().connect().unwrap();
    let pages: i64 = checkpoint.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    assert!(pages < 60, "{pages} pages are left of a file of {} bytes", size(&f));
}

#[tokio::test]
async fn what_has_outlived_its_retention_is_neither_read_nor_kept() {
    let f = fixture();
    f.group("g").await;
    f.stream("g", "s").await;
    f.put("g", "s", &[(NOW_MS - DAY_MS, "old"), (NOW_MS, "new")]).await;
    f.logs.set_retention("g".into(), Some(3)).await.unwrap();
    assert_eq!(f.filter(all("g")).await, ["old", "new"]);
    f.clock.0.store(NOW_MS + 2 * DAY_MS + 1, Ordering::Relaxed);
    assert_eq!(f.filter(all("g")).await, ["new"]);
    let query = GetQuery { group: "g".into(), stream: "s".into(), from_head: true, ..GetQuery::default() };
    assert_eq!(f.logs.get_events(query).await.unwrap().events.len(), 1);
    f.sweep().await;
    assert_eq!(f.rows().await, 1);
    let group = f.logs.groups(GroupQuery { limit: 50, ..GroupQuery::default() }).await.unwrap().items.remove(0);
    assert_eq!((group.stored_bytes, group.retention_days), (3 + 26, Some(3)));
    assert!(f.logs.set_retention("g".into(), Some(2)).await.unwrap_err().to_string().contains("3, 5, 7"));
}

#[tokio::test]
async fn the_sink_makes_groups_and_keeps_the_order_and_what_templates_set() {
    let f = fixture();
    f.group("/aws/lambda/f").await;
    f.logs.set_retention("/aws/lambda/f".into(), Some(7)).await.unwrap();
    let sink = f.logs.sink();
    for at in 0..100 {
        sink.write("/aws/lambda/f", "s", vec![Line::new(NOW_MS, format!("{at}")), Line::new(NOW_MS, "")]);
        sink.write("/new", "t", vec![Line::new(NOW_MS, "x")]);
    }
    f.logs.flush().await;
    let wanted: Vec<String> = (0..100).map(|at| at.to_string()).collect();
    assert_eq!(f.filter(all("/aws/lambda/f")).await, wanted);
    assert_eq!(f.filter(all("/new")).await.len(), 100);
    let groups = f.logs.groups(GroupQuery { limit: 50, ..GroupQuery::default() }).await.unwrap().items;
    assert_eq!(groups.iter().map(|group| group.retention_days).collect::<Vec<_>>(), [Some(7), None]);
}

#[tokio::test]
async fn the_sink_drops_what_comes_too_fast_and_says_how_much() {
    let f = fixture();
    let sink = f.logs.sink();
    let text = "x".repeat(1000);
    // On a runtime of one thread the writer cannot run in between: what fits is kept, the rest is dropped.
    for _ in 0..100 {
        sink.write("/loud", "s", (0..1000).map(|_| Line::new(NOW_MS, text.clone())).collect());
    }
    sink.write("/quiet", "s", vec![Line::new(NOW_MS, "heard")]);
    f.logs.flush().await;
    let loud = f.filter(all("/loud")).await;
    let told = loud.last().unwrap();
    let dropped: usize = told.split(' ').nth(1).unwrap().parse().unwrap_or_else(|_| panic!("{told}"));
    assert_eq!(loud.len() - 1 + dropped, 100_000, "{told}");
    assert!(dropped > 90_000 && loud.len() > 1000, "{told}");
    assert_eq!(f.filter(all("/quiet")).await, ["heard"]);
}

#[tokio::test]
async fn lines_that_a_sink_holds_are_written_when_the_logs_are_closed() {
    let Fixture { directory, clock, logs } = fixture();
    logs.sink().write("g", "s", vec![Line::new(NOW_MS, "last words")]);
    drop(logs);
    for _ in 0..500 {
        // The store is free when its writer has ended.
        if let Ok(logs) = Logs::open(directory.path(), Arc::default(), clock.clone()) {
            let f = Fixture { directory, clock, logs };
            assert_eq!(f.filter(all("g")).await, ["last words"]);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the store was never closed");
}

#[tokio::test]
async fn lines_that_were_committed_with_a_change_are_written_once() {
    let f = fixture();
    let lake_directory = tempfile::tempdir().unwrap();
    let store = Store::open(lake_directory.path(), &[], f.clock.clone()).unwrap();
    let lake = Lake { store, place: Arc::default() };
    let lines = [Line::new(NOW_MS, "one"), Line::new(NOW_MS, "two")];
    lake.store.write(move |tx| write_with_change(tx, "g", "s", &lines)).await.unwrap();
    let leased = lake.store.write(|tx| tx.lease_tasks(crate::lake::log::WRITE, 10)).await.unwrap();
    let handler: Arc<dyn Handler> = f.logs.handlers().remove(0);
    // The process ends after the lines are written and before the lake knows it: here the task's lease is lost.
    let stale = millpond_store::task::Task { lease: leased[0].lease - 1, ..leased[0].clone() };
    assert!(handler.run(&lake, &stale).await.is_err());
    assert_eq!(f.filter(all("g")).await, ["one", "two"]);
    handler.run(&lake, &leased[0]).await.unwrap();
    assert_eq!(f.filter(all("g")).await, ["one", "two"]);
    // The mark goes when the next lines come.
    let lines = [Line::new(NOW_MS, "three")];
    lake.store.write(move |tx| write_with_change(tx, "g", "s", &lines)).await.unwrap();
    let leased = lake.store.write(|tx| tx.lease_tasks(crate::lake::log::WRITE, 10)).await.unwrap();
    handler.run(&lake, &leased[0]).await.unwrap();
    assert_eq!(f.filter(all("g")).await, ["one", "two", "three"]);
    let marks = f.logs.store().read(|connection| {
        Ok::<i64, StoreError>(connection.query_row("SELECT count(*) FROM log_written", [], |row| row.get(0))?)
    });
    assert_eq!(marks.await.unwrap(), 1);
}

#[tokio::test]
async fn lines_for_a_group_that_was_deleted_are_a_failure_with_a_reason() {
    let f = fixture();
    let lake_directory = tempfile::tempdir().unwrap();
    let store = Store::open(lake_directory.path(), &[], f.clock.clone()).unwrap();
    let lake = Lake { store, place: Arc::default() };
    let lines = [Line::new(NOW_MS, "one")];
    lake.store.write(move |tx| crate::lake::log::write_to_existing(tx, "gone", "s", &lines)).await.unwrap();
    let task = lake.store.write(|tx| tx.lease_tasks(crate::lake::log::WRITE, 10)).await.unwrap().remove(0);
    let handler: Arc<dyn Handler> = f.logs.handlers().remove(0);
    let failure = handler.run(&lake, &task).await.unwrap_err();
    assert!(!failure.retry && failure.reason.contains("'gone' was deleted"), "{failure:?}");
    // Delivered again after the group is there, it is written.
    f.group("gone").await;
    handler.run(&lake, &task).await.unwrap();
    assert_eq!(f.filter(all("gone")).await, ["one"]);
}

#[tokio::test]
async fn what_exists_or_does_not_is_said_in_the_words_of_aws() {
    let f = fixture();
    f.group("g").await;
    f.stream("g", "s").await;
    let text = |error: LogsError| error.to_string();
    let again = NewGroup { name: "g".into(), ..NewGroup::default() };
    assert_eq!(text(f.logs.create_group(again).await.unwrap_err()), "The specified log group already exists");
    assert_eq!(text(f.logs.create_stream("g".into(), "s".into()).await.unwrap_err()), "The specified log stream already exists");
    assert_eq!(text(f.logs.create_stream("x".into(), "s".into()).await.unwrap_err()), "The specified log group does not exist.");
    assert_eq!(text(f.logs.delete_stream("g".into(), "x".into()).await.unwrap_err()), "The specified log stream does not exist.");
    f.logs.protect_group("g".into(), true).await.unwrap();
    assert!(matches!(f.logs.delete_group("g".into()).await, Err(LogsError::Protected(_))));
    for name in ["", "a b", "aws/x", "AWS/x", "a:b"] {
        let new = NewGroup { name: name.into(), ..NewGroup::default() };
        assert!(matches!(f.logs.create_group(new).await, Err(LogsError::InvalidParameter(_))), "{name}");
    }
    let kms = NewGroup { name: "k".into(), kms_key: Some("arn:aws:kms:x".into()), ..NewGroup::default() };
    assert!(text(f.logs.create_group(kms).await.unwrap_err()).contains("no KMS"));
}

#[test]
fn positions_survive_printing_and_sort_as_text() {
    let positions = [(0, 0), (0, 7), (1, 0), (NOW_MS, 5), (NOW_MS, i64::MAX), (i64::MAX, 1)];
    let texts: Vec<String> =
        positions.iter().map(|(time_ms, seq)| Position { time_ms: *time_ms, seq: *seq }.to_string()).collect();
    assert!(texts.is_sorted() && texts.iter().all(|text| text.len() == 56), "{texts:?}");
    for ((time_ms, seq), text) in positions.iter().zip(&texts) {
        assert_eq!(text.parse::<Position>().unwrap(), Position { time_ms: *time_ms, seq: *seq });
    }
}
