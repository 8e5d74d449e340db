use super::*;
use crate::runtime::delivery::{Delivering, Delivery, Redelivery, TargetKind};
use crate::runtime::dispatcher::{Dispatcher, Listener, dispatch_once};
use crate::runtime::{Failure, Handler};
use millpond_core::arn::{Arn, Place};
use millpond_core::env::SystemEnv;
use millpond_store::task::{NewTask, Task, dead_letters};
use millpond_store::{Store, StoreError};
use serde_json::json;
use std::sync::Arc;

pub(super) const CALLER: &str = "arn:aws:iam::000000000000:root";

/// Keeps what it gets as tasks; fails for names that say so.
struct Things;

impl TargetKind for Things {
    fn title(&self) -> &'static str {
        "things"
    }

    fn accepts(&self, arn: &Arn) -> bool {
        arn.service == "things"
    }

    fn deliver(&self, at: &Delivering<'_>, arn: &Arn, delivery: &Delivery) -> Result<(), Failure> {
        at.tx.enqueue(&NewTask::new(
            "test.thing",
            json!({
                "arn": arn.to_string(),
                "input": &*delivery.input,
                "group": delivery.parameters.message_group_id,
                "attributes": delivery.parameters.attributes,
            }),
        ))?;
        match arn.resource.as_str() {
            "gone" => Err(Failure::lasting("it is gone")),
            "busy" => Err(Failure::transient("it is busy")),
            "broken" => panic!("a fault in the target"),
            _ => Ok(()),
        }
    }
}

pub(super) struct Fixture {
    _directory: tempfile::TempDir,
    pub(super) lake: Lake,
    pub(super) events: Events,
    listeners: Arc<[Arc<dyn Listener>]>,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &[COMPONENT], Arc::new(SystemEnv)).unwrap();
        let lake = Lake { store, place: Arc::new(Place::default()) };
        let events = Events::new(lake.clone(), Targets::new(vec![Arc::new(Things), Arc::new(BusTarget)]));
        let listeners: Vec<Arc<dyn Listener>> = vec![Arc::new(Rules::new(&lake))];
        Self { _directory: directory, lake, events, listeners: listeners.into() }
    }

    pub(super) async fn rule(&self, name: &str, pattern: &str, targets: &[&str]) {
        let rule = NewRule { name: name.into(), pattern: Some(pattern.into()), ..NewRule::default() };
        self.events.put_rule(None, rule, Vec::new()).await.unwrap();
        if !targets.is_empty() {
            let targets = targets.iter().map(|name| thing(name)).collect();
            self.events.put_targets(None, name, targets).await.unwrap();
        }
    }

    pub(super) async fn say(&self, source: &str) {
        let entry = NewEntry {
            source: Some(source.into()),
            detail_type: Some("T".into()),
            detail: Some(r#"{"n": 1}"#.into()),
            ..NewEntry::default()
        };
        self.events.put_events(CALLER, vec![entry]).await.unwrap()[0].as_ref().unwrap();
    }

    pub(super) async fn dispatch(&self) -> usize {
        dispatch_once(&self.lake, self.events.targets(), &self.listeners).await.unwrap()
    }

    /// Takes the tasks that came.
    pub(super) async fn things(&self) -> Vec<Task> {
        let taken = self.lake.store.write(|tx| {
            let tasks = tx.lease_tasks("test.thing", 1000)?;
            tasks.iter().try_for_each(|task| tx.finish_task(task))?;
            Ok::<_, StoreError>(tasks)
        });
        taken.await.unwrap()
    }

    pub(super) async fn dead(&self) -> Vec<Task> {
        self.lake.store.read(|connection| dead_letters(connection, 100)).await.unwrap()
    }
}

pub(super) fn thing(name: &str) -> Target {
    Target { id: name.into(), arn: format!("arn:aws:things:us-east-1:000000000000:{name}"), ..Target::default() }
}

#[tokio::test]
async fn an_event_goes_to_the_targets_of_the_rules_that_want_it() {
    let lake = Fixture::new();
    lake.rule("one", r#"{"source": ["a"]}"#, &["x", "y"]).await;
    lake.rule("two", r#"{"detail": {"n": [{"numeric": [">", 0]}]}}"#, &["z"]).await;
    lake.say("a").await;
    lake.say("b").await;
    assert_eq!(lake.dispatch().await, 2);
    assert_eq!(lake.dispatch().await, 0, "each event is taken once");
    let arns: Vec<_> = lake
        .things()
        .await
        .iter()
        .map(|task| task.payload["arn"].as_str().unwrap().rsplit(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(arns.join(" "), "x y z z");
}

#[tokio::test]
async fn changes_of_rules_count_for_the_next_event() {
    let lake = Fixture::new();
    lake.rule("r", r#"{"source": ["a"]}"#, &["x"]).await;
    lake.say("a").await;
    lake.dispatch().await;
    assert_eq!(lake.things().await.len(), 1);
    lake.events.set_rule_state(None, "r", RuleState::Disabled).await.unwrap();
    lake.say("a").await;
    lake.dispatch().await;
    assert_eq!(lake.things().await.len(), 0, "disabled");
    lake.events.set_rule_state(None, "r", RuleState::Enabled).await.unwrap();
    lake.rule("r", r#"{"source": ["b"]}"#, &[]).await;
    lake.say("b").await;
    lake.dispatch().await;
    assert_eq!(lake.things().await.len(), 1, "the pattern was replaced, the target stayed");
    assert!(lake.events.delete_rule(None, "r").await.unwrap_err().to_string().contains("has targets"));
    assert_eq!(lake.events.remove_targets(None, "r", vec!["x".into(), "nope".into()]).await.unwrap(), ["nope"]);
    lake.events.delete_rule(None, "r").await.unwrap();
    lake.events.delete_rule(None, "r").await.unwrap();
}

#[tokio::test]
async fn a_delivery_that_fails_holds_up_no_other_and_leaves_nothing_half_done() {
    let lake = Fixture::new();
    lake.rule("r", r#"{"source": ["a"]}"#, &["gone", "busy", "broken", "well"]).await;
    lake.say("a").await;
    lake.dispatch().await;
    let well = lake.things().await;
    assert_eq!(well.len(), 1, "what the failed ones wrote is undone");
    let reasons: Vec<_> = lake.dead().await.iter().map(|task| (task.kind.clone(), task.reason.clone().unwrap())).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons.iter().any(|(kind, reason)| kind == "events.deliver" && reason == "it is gone"));
    let waiting = lake.lake.store.read(millpond_store::task::pending).await.unwrap();
    assert_eq!(waiting, 1, "the busy one is tried again");
}

#[tokio::test]
async fn a_delivery_is_tried_again_and_can_be_delivered_from_the_dead_letters() {
    let lake = Fixture::new();
    lake.rule("r", r#"{"source": ["a"]}"#, &["gone"]).await;
    lake.say("a").await;
    lake.dispatch().await;
    let dead = lake.dead().await.remove(0);
    lake.lake.store.write(move |tx| tx.revive_task(dead.id)).await.unwrap();
    let again = lake.lake.store.write(|tx| tx.lease_tasks("events.deliver", 1)).await.unwrap().remove(0);
    let redelivery = Redelivery { targets: lake.events.targets().clone() };
    redelivery.run(&lake.lake, &again).await.unwrap();
    let dead = lake.dead().await;
    assert_eq!((dead.len(), dead[0].reason.as_deref()), (1, Some("it is gone")), "in vain: it is a dead letter again");
    let id = dead[0].id;
    let mended = lake.lake.store.write(move |tx| {
        tx.execute("UPDATE task SET payload = replace(payload, ':gone', ':well') WHERE id = ?", [id])?;
        tx.revive_task(id)?;
        tx.lease_tasks("events.deliver", 1)
    });
    redelivery.run(&lake.lake, &mended.await.unwrap()[0]).await.unwrap();
    assert_eq!((lake.things().await.len(), lake.dead().await.len()), (1, 0));
}

#[tokio::test]
async fn a_damaged_row_of_the_outbox_is_set_aside() {
    let lake = Fixture::new();
    lake.rule("r", r#"{"source": ["a"]}"#, &["x"]).await;
    let damaged = lake
        .lake
        .store
        .write(|tx| Ok::<_, StoreError>(tx.execute("INSERT INTO outbox (event) VALUES ('{\"version\": 1'), (17), (x'ff')", [])?));
    assert_eq!(damaged.await.unwrap(), 3);
    lake.say("a").await;
    assert_eq!(lake.dispatch().await, 4);
    assert_eq!(lake.things().await.len(), 1);
    assert_eq!(lake.dead().await.iter().filter(|task| task.kind == "events.unreadable").count(), 3);
}

#[tokio::test]
async fn the_dispatcher_wakes_with_the_commit_and_goes_on_after_a_restart() {
    let lake = Fixture::new();
    lake.rule("r", r#"{"source": ["a"]}"#, &["x"]).await;
    lake.say("a").await;
    let dispatcher = Dispatcher::start(&lake.lake, lake.events.targets().clone(), lake.listeners.to_vec());
    lake.say("a").await;
    let mut seen = 0;
    for _ in 0..200 {
        seen += lake.things().await.len();
        if seen == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(seen, 2);
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_rule_has_five_targets_at_the_most_and_only_of_known_kinds() {
    let lake = Fixture::new();
    lake.rule("r", r#"{"source": ["a"]}"#, &["1", "2", "3", "4", "5"]).await;
    assert!(matches!(lake.events.put_targets(None, "r", vec![thing("6")]).await, Err(EventsError::Limit(_))));
    lake.events.put_targets(None, "r", vec![thing("5")]).await.unwrap();
    let queue = Target { id: "q".into(), arn: "arn:aws:sqs:us-east-1:000000000000:q".into(), ..Target::default() };
    let error = lake.events.put_targets(None, "r", vec![queue]).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "Target q: this lake's rules deliver to things, event buses; 'arn:aws:sqs:us-east-1:000000000000:q' is none of them."
    );
    assert!(matches!(lake.events.put_targets(None, "nope", vec![thing("6")]).await, Err(EventsError::NoSuchRule { .. })));
    let names = lake.events.list_rule_names_by_target(None, &thing("1").arn, None, None).await.unwrap();
    assert_eq!(names.items, ["r"]);
}

#[tokio::test]
async fn listings_come_in_pages() {
    let lake = Fixture::new();
    for name in ["a1", "a2", "a3", "b_1", "b%1"] {
        lake.rule(name, r#"{"source": ["a"]}"#, &[]).await;
    }
    let first = lake.events.list_rules(None, "a", None, Some(2)).await.unwrap();
    assert_eq!(first.items.iter().map(|rule| rule.spec.name.as_str()).collect::<Vec<_>>(), ["a1", "a2"]);
    let rest = lake.events.list_rules(None, "a", first.next.as_deref(), Some(2)).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (1, None));
    assert_eq!(lake.events.list_rules(None, "b_", None, None).await.unwrap().items.len(), 1, "a prefix is no pattern");
}

#[tokio::test]
async fn entries_that_are_wrong_say_so_and_the_others_are_kept() {
    let lake = Fixture::new();
    let good =
        NewEntry { source: Some("s".into()), detail_type: Some("t".into()), detail: Some("{}".into()), ..NewEntry::default() };
    let entries = vec![
        NewEntry { source: None, ..good.clone() },
        NewEntry { detail: Some("[]".into()), ..good.clone() },
        NewEntry { source: Some("aws.s3".into()), ..good.clone() },
        NewEntry { bus: Some("other".into()), ..good.clone() },
        good.clone(),
    ];
    let results = lake.events.put_events(CALLER, entries).await.unwrap();
    let codes: Vec<_> = results.iter().map(|result| result.as_ref().err().map_or("", |(code, _)| code)).collect();
    assert_eq!(codes, ["InvalidArgument", "MalformedDetail", "NotAuthorizedForSourceException", "ResourceNotFoundException", ""]);
    assert_eq!(lake.dispatch().await, 1);
    let large = NewEntry { detail: Some(format!("{{\"x\": \"{}\"}}", "x".repeat(1024 * 1024))), ..good };
    assert!(lake.events.put_events(CALLER, vec![large]).await.is_err());
}

#[tokio::test]
async fn a_schedule_delivers_at_its_time_and_enters_the_next() {
    let lake = Fixture::new();
    let rule = NewRule { name: "s".into(), schedule: Some("rate(1 minute)".into()), ..NewRule::default() };
    lake.events.put_rule(None, rule.clone(), Vec::new()).await.unwrap();
    lake.events.put_targets(None, "s", vec![thing("x")]).await.unwrap();
    let due = lake.lake.store.read(|c| millpond_store::task::next_due_ms(c, "events.schedule")).await.unwrap().unwrap();
    assert!((50_000..=60_000).contains(&(due - lake.lake.store.env().now_ms())));
    let now = lake
        .lake
        .store
        .write(|tx| Ok::<_, StoreError>(tx.execute("UPDATE task SET run_at_ms = 0 WHERE kind = 'events.schedule'", [])?));
    now.await.unwrap();
    let task = lake.lake.store.write(|tx| tx.lease_tasks("events.schedule", 1)).await.unwrap().remove(0);
    ScheduleHandler { events: lake.events.clone() }.run(&lake.lake, &task).await.unwrap();
    let things = lake.things().await;
    assert!(things[0].payload["input"].as_str().unwrap().contains("\"detail-type\":\"Scheduled Event\""));
    assert!(lake.lake.store.read(|c| millpond_store::task::next_due_ms(c, "events.schedule")).await.unwrap().is_some());
    lake.events.set_rule_state(None, "s", RuleState::Disabled).await.unwrap();
    assert_eq!(lake.lake.store.read(|c| millpond_store::task::next_due_ms(c, "events.schedule")).await.unwrap(), None);
    assert!(lake.events.put_rule(None, NewRule { schedule: Some("rate(1 minutes)".into()), ..rule }, Vec::new()).await.is_err());
}

#[tokio::test]
async fn rules_and_the_bus_have_tags() {
    let lake = Fixture::new();
    lake.rule("r", r#"{"source": ["a"]}"#, &[]).await;
    for arn in [lake.events.rule_arn(DEFAULT_BUS, "r"), lake.events.describe_event_bus(None).await.unwrap().arn] {
        lake.events.tag_resource(&arn, vec![("b".into(), "2".into()), ("a".into(), "1".into())]).await.unwrap();
        lake.events.untag_resource(&arn, vec!["b".into()]).await.unwrap();
        assert_eq!(lake.events.list_tags_for_resource(&arn).await.unwrap(), [("a".to_owned(), "1".to_owned())]);
    }
    assert!(matches!(
        lake.events.list_tags_for_resource(&lake.events.rule_arn(DEFAULT_BUS, "x")).await,
        Err(EventsError::NoSuchRule { .. })
    ));
    let rule = NewRule { name: "r".into(), ..NewRule::default() };
    assert!(
        lake.events
            .put_rule(None, rule, Vec::new())
            .await
            .unwrap_err()
            .to_string()
            .contains("EventPattern or ScheduleExpression")
    );
}

#[tokio::test]
async fn details_nested_deeper_than_an_event_can_be_are_refused_at_once() {
    let lake = Fixture::new();
    for (depth, accepted) in [(100, true), (127, false), (10_000, false)] {
        let detail = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let entry =
            NewEntry { source: Some("s".into()), detail_type: Some("t".into()), detail: Some(detail), ..NewEntry::default() };
        assert_eq!(lake.events.put_events(CALLER, vec![entry]).await.unwrap()[0].is_ok(), accepted, "{depth}");
    }
    assert_eq!(lake.dispatch().await, 1);
    assert_eq!(lake.dead().await, []);
}

#[tokio::test]
async fn many_rules_and_many_events_are_matched_quickly() {
    let lake = Fixture::new();
    for n in 0..300 {
        lake.rule(&format!("r{n}"), &format!(r#"{{"source": ["s{n}"], "detail": {{"n": [{{"numeric": [">=", 0]}}]}}}}"#), &["x"])
            .await;
    }
    for n in 0..200 {
        let entries = (0..10).map(|i| NewEntry {
            source: Some(format!("s{}", (n * 10 + i) % 300)),
            detail_type: Some("T".into()),
            detail: Some(r#"{"n": 1}"#.into()),
            ..NewEntry::default()
        });
        lake.events.put_events(CALLER, entries.collect()).await.unwrap();
    }
    let mut taken = 0;
    while taken < 2000 {
        taken += lake.dispatch().await;
    }
    let count = lake.lake.store.read(millpond_store::task::pending).await.unwrap();
    assert_eq!(count, 2000);
}
