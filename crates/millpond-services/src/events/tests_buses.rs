//! Buses, permissions, and what becomes of events that cannot be delivered.

use super::tests::{CALLER, Fixture, thing};
use super::*;
use crate::runtime::delivery::{Delivery, RetryPolicy, Sender};
use crate::runtime::{Handler, delivery};
use millpond_store::StoreError;
use millpond_store::task::NewTask;
use serde_json::{Value, json};

impl Fixture {
    async fn bus(&self, name: &str) -> String {
        self.events.create_event_bus(NewBus { name: name.into(), ..NewBus::default() }, Vec::new()).await.unwrap().arn
    }

    async fn rule_on(&self, bus: &str, name: &str, targets: Vec<Target>) {
        let rule = NewRule { name: name.into(), pattern: Some(r#"{"source": ["a"]}"#.into()), ..NewRule::default() };
        self.events.put_rule(Some(bus), rule, Vec::new()).await.unwrap();
        self.events.put_targets(Some(bus), name, targets).await.unwrap();
    }

    async fn say_on(&self, bus: &str) -> EntryResult {
        let entry = NewEntry {
            source: Some("a".into()),
            detail_type: Some("T".into()),
            detail: Some(r#"{"n": 1}"#.into()),
            bus: Some(bus.into()),
            ..NewEntry::default()
        };
        self.events.put_events(CALLER, vec![entry]).await.unwrap().remove(0)
    }

    async fn arrived(&self) -> Vec<String> {
        let name =
            |task: &millpond_store::task::Task| task.payload["arn"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
        self.things().await.iter().map(name).collect()
    }
}

fn to_bus(arn: &str) -> Target {
    Target { id: "bus".into(), arn: arn.into(), ..Target::default() }
}

#[tokio::test]
async fn rules_hear_the_events_of_their_own_bus_alone() {
    let lake = Fixture::new();
    let orders = lake.bus("orders").await;
    lake.rule("r", r#"{"source": ["a"]}"#, &["on-default"]).await;
    lake.rule_on("orders", "r", vec![thing("on-orders")]).await;
    lake.say_on("orders").await.unwrap();
    lake.dispatch().await;
    assert_eq!(lake.arrived().await, ["on-orders"]);
    lake.say_on(&orders).await.unwrap();
    lake.say("a").await;
    lake.dispatch().await;
    assert_eq!(lake.arrived().await, ["on-orders", "on-default"]);
    assert_eq!(lake.say_on("nowhere").await.unwrap_err().0, "ResourceNotFoundException");
    let rule = lake.events.describe_rule(Some(&orders), "r").await.unwrap();
    assert_eq!((rule.arn.as_str(), rule.bus.as_str()), ("arn:aws:events:us-east-1:000000000000:rule/orders/r", "orders"));
    let missing = lake.events.describe_rule(Some("orders"), "x").await.unwrap_err().to_string();
    assert_eq!(missing, "Rule x does not exist on EventBus orders.");
    assert!(matches!(lake.events.list_rules(Some("nowhere"), "", None, None).await, Err(EventsError::NoSuchBus(_))));
}

#[tokio::test]
async fn buses_are_created_changed_listed_and_deleted() {
    let lake = Fixture::new();
    for name in ["a", "orders", "z"] {
        lake.bus(name).await;
    }
    let again = lake.events.create_event_bus(NewBus { name: "a".into(), ..NewBus::default() }, Vec::new()).await;
    assert_eq!(again.unwrap_err().to_string(), "Event bus a already exists.");
    for wrong in ["default", "aws.x", "aws.partner/x/y", "a/b"] {
        let new = NewBus { name: wrong.into(), ..NewBus::default() };
        assert!(lake.events.create_event_bus(new, Vec::new()).await.is_err(), "{wrong}");
    }
    let names = |page: &Page<Bus>| page.items.iter().map(|bus| bus.name.clone()).collect::<Vec<_>>().join(" ");
    let first = lake.events.list_event_buses(None, None, Some(2)).await.unwrap();
    assert_eq!(names(&first), "a default");
    let rest = lake.events.list_event_buses(None, first.next.as_deref(), Some(9)).await.unwrap();
    assert_eq!((names(&rest).as_str(), rest.next), ("orders z", None));
    assert_eq!(names(&lake.events.list_event_buses(Some("or"), None, None).await.unwrap()), "orders");
    for bus in ["default", "orders"] {
        let change = NewBus { description: Some("for people".into()), ..NewBus::default() };
        lake.events.update_event_bus(Some(bus), change).await.unwrap();
        let found = lake.events.describe_event_bus(Some(bus)).await.unwrap();
        assert_eq!(found.description.as_deref(), Some("for people"));
    }
    assert_eq!(names(&lake.events.list_event_buses(None, None, None).await.unwrap()), "a default orders z");
    lake.rule_on("orders", "r", vec![thing("x")]).await;
    let kept = lake.events.delete_event_bus("orders").await.unwrap_err().to_string();
    assert_eq!(kept, "Event bus orders can't be deleted since it has rules.");
    lake.events.remove_targets(Some("orders"), "r", vec!["x".into()]).await.unwrap();
    lake.events.delete_rule(Some("orders"), "r").await.unwrap();
    lake.events.delete_event_bus("orders").await.unwrap();
    lake.events.delete_event_bus("orders").await.unwrap();
    assert_eq!(lake.events.delete_event_bus("default").await.unwrap_err().to_string(), "Cannot delete event bus default.");
}

#[tokio::test]
async fn an_event_goes_from_one_bus_to_one_other_and_no_further() {
    let lake = Fixture::new();
    let (second, third) = (lake.bus("second").await, lake.bus("third").await);
    let first = lake.events.describe_event_bus(None).await.unwrap().arn;
    lake.rule_on("default", "on", vec![to_bus(&second)]).await;
    lake.rule_on("second", "on", vec![to_bus(&third), thing("seen")]).await;
    lake.rule_on("second", "back", vec![to_bus(&first)]).await;
    lake.rule_on("third", "here", vec![to_bus(&third)]).await;
    lake.say("a").await;
    while lake.dispatch().await > 0 {}
    assert_eq!(lake.arrived().await, ["seen"], "with the id that it had, on the second bus");
    let reasons: Vec<String> = lake.dead().await.iter().map(|task| task.reason.clone().unwrap()).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("cannot go back")), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("third one")), "{reasons:?}");
    lake.say_on("third").await.unwrap();
    while lake.dispatch().await > 0 {}
    assert!(lake.dead().await[0].reason.as_deref().unwrap().contains("already"), "a bus does not feed itself");
    lake.say_on("second").await.unwrap();
    while lake.dispatch().await > 0 {}
    assert_eq!(lake.arrived().await, ["seen"]);
    let again = lake.dead().await;
    assert_eq!(
        again.len(),
        5,
        "what is put on the second bus itself goes on once, to the two others, whose rules send it on in vain"
    );
}

#[tokio::test]
async fn a_bus_that_is_gone_is_told_by_name() {
    let lake = Fixture::new();
    let other = lake.bus("other").await;
    lake.rule_on("default", "on", vec![to_bus(&other)]).await;
    lake.events.delete_event_bus("other").await.unwrap();
    lake.say("a").await;
    lake.dispatch().await;
    let reason = lake.dead().await[0].reason.clone().unwrap();
    assert!(reason.contains("create-event-bus --name other"), "{reason}");
}

#[tokio::test]
async fn permissions_are_added_replaced_removed_and_heeded() {
    let lake = Fixture::new();
    let arn = lake.bus("b").await;
    let account = |id: &str, principal: &str, condition: Option<(&str, &str, &str)>| Permission::Account {
        statement_id: id.into(),
        action: "events:PutEvents".into(),
        principal: principal.into(),
        condition: condition.map(|(a, b, c)| (a.into(), b.into(), c.into())),
    };
    let org = Some(("StringEquals", "aws:PrincipalOrgID", "o-1"));
    lake.events.put_permission(Some("b"), account("one", "111111111111", None)).await.unwrap();
    lake.events.put_permission(Some("b"), account("two", "*", org)).await.unwrap();
    lake.events.put_permission(Some("b"), account("one", "222222222222", None)).await.unwrap();
    let policy: Value = serde_json::from_str(&lake.events.describe_event_bus(Some("b")).await.unwrap().policy.unwrap()).unwrap();
    let expected = json!({ "Version": "2012-10-17", "Statement": [
        { "Sid": "two", "Effect": "Allow", "Principal": "*", "Action": "events:PutEvents", "Resource": arn,
          "Condition": { "StringEquals": { "aws:PrincipalOrgID": "o-1" } } },
        { "Sid": "one", "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::222222222222:root" }, "Action": "events:PutEvents",
          "Resource": arn },
    ] });
    assert_eq!(policy, expected);
    lake.events.remove_permission(Some("b"), Some("two")).await.unwrap();
    assert!(matches!(lake.events.remove_permission(Some("b"), Some("two")).await, Err(EventsError::Missing(_))));
    lake.events.remove_permission(Some("b"), None).await.unwrap();
    assert_eq!(lake.events.describe_event_bus(Some("b")).await.unwrap().policy, None);
    let long = Permission::Policy(
        json!({ "Version": "2012-10-17", "Statement": [{ "Sid": "x".repeat(11_000), "Effect": "Allow",
        "Principal": "*", "Action": "events:PutEvents", "Resource": arn }] })
        .to_string(),
    );
    assert!(matches!(lake.events.put_permission(Some("b"), long).await, Err(EventsError::PolicyLength(_))));
    for wrong in ["{", "[]", r#"{"Statement": [{"Effect": "Maybe"}]}"#] {
        let refused = lake.events.put_permission(Some("b"), Permission::Policy(wrong.into())).await;
        assert!(matches!(refused, Err(EventsError::Invalid(_))), "{wrong}");
    }
    let deny = json!({ "Version": "2012-10-17", "Statement": [{ "Sid": "d", "Effect": "Deny", "Principal": "*",
        "Action": "events:PutEvents", "Resource": arn }] });
    lake.events.put_permission(Some("b"), Permission::Policy(deny.to_string())).await.unwrap();
    let (code, message) = lake.say_on("b").await.unwrap_err();
    assert_eq!(code, "AccessDeniedException");
    assert!(message.contains("explicit deny"), "{message}");
    lake.rule_on("default", "on", vec![to_bus(&arn)]).await;
    lake.say("a").await;
    lake.dispatch().await;
    let reason = lake.dead().await[0].reason.clone().unwrap();
    assert!(reason.contains("denies events:PutEvents to events.amazonaws.com"), "{reason}");
}

#[tokio::test]
async fn what_a_function_sends_to_a_bus_becomes_an_event() {
    let lake = Fixture::new();
    let arn = lake.bus("b").await;
    let rule = NewRule { name: "r".into(), pattern: Some(r#"{"source": ["lambda"]}"#.into()), ..NewRule::default() };
    lake.events.put_rule(Some("b"), rule, Vec::new()).await.unwrap();
    lake.events.put_targets(Some("b"), "r", vec![thing("x")]).await.unwrap();
    let (targets, inner) = (lake.events.targets().clone(), lake.lake.clone());
    let sent = lake.lake.store.write(move |tx| {
        for input in [r#"{"requestContext": {"condition": "RetriesExhausted"}}"#, "no object"] {
            let delivery = Delivery {
                target: arn.clone(),
                source: "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST".into(),
                target_id: "OnFailure".into(),
                sender: Sender::Lambda,
                input: input.into(),
                event: None,
                parameters: delivery::Parameters::default(),
                retry: RetryPolicy::default(),
                dead_letter: None,
            };
            targets.deliver_or_keep(tx, &inner, &delivery)?;
        }
        Ok::<_, StoreError>(())
    });
    sent.await.unwrap();
    lake.dispatch().await;
    let event: Value = serde_json::from_str(lake.things().await[0].payload["input"].as_str().unwrap()).unwrap();
    assert_eq!(event["detail-type"], "Lambda Function Invocation Result - Failure");
    assert_eq!(event["detail"]["requestContext"]["condition"], "RetriesExhausted");
    assert!(lake.dead().await[0].reason.as_deref().unwrap().contains("no JSON object"));
}

#[tokio::test]
async fn what_cannot_be_delivered_goes_to_the_rules_dead_letter_queue_with_the_reason() {
    let lake = Fixture::new();
    let queue = "arn:aws:things:us-east-1:000000000000:letters".to_owned();
    let lasting = Target { dead_letter_arn: Some(queue.clone()), ..thing("gone") };
    let patient = Target {
        dead_letter_arn: Some(queue),
        retry: Some(RetryPolicy { attempts_max: 1, age_max_seconds: 60 }),
        ..thing("busy")
    };
    lake.rule("r", r#"{"source": ["a"]}"#, &[]).await;
    put_unchecked(&lake, "r", vec![lasting, patient]).await;
    lake.say("a").await;
    lake.dispatch().await;
    let letter = &lake.things().await[0].payload;
    let event: Value = serde_json::from_str(letter["input"].as_str().unwrap()).unwrap();
    assert_eq!((&event["source"], &event["detail"]["n"]), (&json!("a"), &json!(1)));
    let attribute = |letter: &Value, name: &str| letter["attributes"][name]["value"].clone();
    assert_eq!(attribute(letter, "RULE_ARN"), "arn:aws:events:us-east-1:000000000000:rule/r");
    assert_eq!(attribute(letter, "TARGET_ARN"), "arn:aws:things:us-east-1:000000000000:gone");
    assert_eq!(attribute(letter, "ERROR_MESSAGE"), "it is gone");
    assert_eq!(attribute(letter, "EXHAUSTED_RETRY_CONDITION"), Value::Null, "it was not tried again");
    retry_now(&lake).await;
    let letters = lake.things().await;
    let letter = &letters[0].payload;
    assert_eq!(attribute(letter, "EXHAUSTED_RETRY_CONDITION"), "MaximumRetryAttempts");
    assert_eq!((attribute(letter, "RETRY_ATTEMPTS"), attribute(letter, "ERROR_MESSAGE")), (json!("1"), json!("it is busy")));
    assert_eq!(lake.dead().await, [], "they are in the queue");
}

/// Past the checks, which want a queue.
async fn put_unchecked(lake: &Fixture, rule: &str, targets: Vec<Target>) {
    let rule = rule.to_owned();
    let put = lake.lake.store.write(move |tx| {
        let (id, _) = rules::find(tx, DEFAULT_BUS, &rule)?;
        targets.iter().try_for_each(|target| sql::put_target(tx, id, target))?;
        Ok::<_, EventsError>(())
    });
    put.await.unwrap();
}

async fn retry_now(lake: &Fixture) {
    let due = lake.lake.store.write(|tx| {
        tx.execute("UPDATE task SET run_at_ms = 0 WHERE kind = 'events.deliver' AND state = 0", [])?;
        tx.lease_tasks("events.deliver", 10)
    });
    let redelivery = delivery::Redelivery { targets: lake.events.targets().clone() };
    for task in due.await.unwrap() {
        redelivery.run(&lake.lake, &task).await.unwrap();
    }
}

#[tokio::test]
async fn what_could_not_be_delivered_is_told_by_rule_and_target_with_the_last_reason() {
    let lake = Fixture::new();
    lake.rule("r", r#"{"source": ["a"]}"#, &["gone", "busy", "well"]).await;
    for _ in 0..3 {
        lake.say("a").await;
        lake.dispatch().await;
    }
    let mut told = lake.lake.store.read(|c| delivery::undelivered(c, 10)).await.unwrap();
    told.sort_by(|a, b| a.target.cmp(&b.target));
    let facts: Vec<_> = told.iter().map(|of| (of.waiting, of.given_up, of.reason.as_str())).collect();
    assert_eq!(facts, [(3, 0, "it is busy"), (0, 3, "it is gone")]);
    assert!(told.iter().all(|of| of.source == lake.events.rule_arn(DEFAULT_BUS, "r") && of.last_ms > 0));
}

#[tokio::test]
async fn parameters_that_no_target_here_takes_are_refused_by_name() {
    let lake = Fixture::new();
    lake.rule("r", r#"{"source": ["a"]}"#, &[]).await;
    let with = |name: &str| Target { parameters: json!({ name: {} }).as_object().unwrap().clone(), ..thing("x") };
    for name in ["EcsParameters", "RunCommandParameters", "KinesisParameters"] {
        let error = lake.events.put_targets(None, "r", vec![with(name)]).await.unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("Target x"), "{error}");
    }
    for (arn, reason) in [
        ("arn:aws:sns:us-east-1:000000000000:t", "not the ARN of a queue"),
        ("arn:aws:sqs:eu-west-1:000000000000:q", "region"),
        ("arn:aws:sqs:us-east-1:000000000000:q.fifo", "standard"),
    ] {
        let target = Target { dead_letter_arn: Some(arn.into()), ..thing("x") };
        let error = lake.events.put_targets(None, "r", vec![target]).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let bus = lake.bus("b").await;
    let target = Target { input: Some("{}".into()), ..to_bus(&bus) };
    assert!(lake.events.put_targets(None, "r", vec![target]).await.unwrap_err().to_string().contains("as it is"));
    let foreign = Target { arn: "arn:aws:things:eu-west-1:000000000000:x".into(), ..thing("x") };
    assert!(
        lake.events.put_targets(None, "r", vec![foreign]).await.unwrap_err().to_string().contains("another account or region")
    );
}

#[tokio::test]
async fn a_template_that_grows_without_end_becomes_a_dead_letter() {
    let lake = Fixture::new();
    lake.rule("r", r#"{"source": ["a"]}"#, &[]).await;
    let template = format!("\"{}\"", "<aws.events.event.json>".repeat(300));
    let transformer = Transformer { paths: Default::default(), template };
    lake.events.put_targets(None, "r", vec![Target { transformer: Some(transformer), ..thing("x") }]).await.unwrap();
    let detail = format!("{{\"x\": \"{}\"}}", "x".repeat(10_000));
    let entry = NewEntry { source: Some("a".into()), detail_type: Some("T".into()), detail: Some(detail), ..NewEntry::default() };
    lake.events.put_events(CALLER, vec![entry]).await.unwrap();
    lake.dispatch().await;
    assert!(lake.dead().await[0].reason.as_deref().unwrap().contains("larger than"));
    assert_eq!(lake.things().await.len(), 0);
}

#[tokio::test]
async fn a_schedule_that_was_missed_fires_once_and_keeps_its_beat() {
    let lake = Fixture::new();
    let rule = NewRule { name: "s".into(), schedule: Some("rate(1 minute)".into()), ..NewRule::default() };
    lake.events.put_rule(None, rule, Vec::new()).await.unwrap();
    lake.events.put_targets(None, "s", vec![thing("x")]).await.unwrap();
    let missed_ms = lake.lake.store.env().now_ms() - 10 * 60_000 - 30_000;
    let late = lake.lake.store.write(move |tx| {
        tx.cancel_tasks("events.schedule", "s")?;
        tx.enqueue(&NewTask::new("events.schedule", json!({ "at_ms": missed_ms })).keyed("s").at(missed_ms))?;
        tx.lease_tasks("events.schedule", 1)
    });
    let task = late.await.unwrap().remove(0);
    ScheduleHandler { events: lake.events.clone() }.run(&lake.lake, &task).await.unwrap();
    assert_eq!(lake.things().await.len(), 1, "one event for all that were missed");
    let due = lake.lake.store.read(|c| millpond_store::task::next_due_ms(c, "events.schedule")).await.unwrap().unwrap();
    assert_eq!((due - missed_ms) % 60_000, 0, "on the beat");
    assert!(due > missed_ms + 10 * 60_000, "and not in the past");
    let refused = NewRule { name: "t".into(), schedule: Some("rate(1 minute)".into()), ..NewRule::default() };
    lake.bus("b").await;
    let error = lake.events.put_rule(Some("b"), refused, Vec::new()).await.unwrap_err().to_string();
    assert_eq!(error, "ScheduleExpression is supported only on the default event bus.");
}
