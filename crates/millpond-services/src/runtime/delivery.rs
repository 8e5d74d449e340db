//! Deliveries: the only way in which one service sends something to another.
//!
//! Definitions:
//! - a *delivery* is one text for one target, with who sends it and what is to happen where it fails;
//! - a *target kind* accepts deliveries for one sort of ARN (queues, topics, functions, buses, log groups, crawlers, jobs): it writes the rows
//!   and tasks that a delivery means, in the transaction of the one who delivers.
//!
//! A delivery that fails does not hold up the others: it becomes a task ([`DELIVER`]) that is tried again as its retry policy says. In the end
//! it goes to its dead-letter queue, with the reason beside it; where it has none, or that queue does not take it, it is a dead letter of the
//! lake, from which it can be delivered again ([`Tx::revive_task`]).

use super::text::replaced;
use super::workers::{Failure, Handler};
use crate::lake::Lake;
use async_trait::async_trait;
use millpond_core::arn::Arn;
use millpond_core::event::Event;
use millpond_store::task::{NewTask, Task};
use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

/// Tasks that try a failed delivery again.
pub const DELIVER: &str = "events.deliver";

const RETRY_FIRST_MS: i64 = 500;

/// The attributes that a message of SQS may have.
const ATTRIBUTES_MAX: usize = 10;

/// The service that sends: whom the target's resource policy must allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Sender {
    /// A rule or a bus of EventBridge.
    #[default]
    Events,
    /// A bucket's notification.
    S3,
    /// A topic.
    Sns,
    /// A function: its destinations and dead letters. It acts with its own role, and needs no resource policy.
    Lambda,
}

impl Sender {
    /// The service principal, as policies name it.
    pub fn principal(self) -> &'static str {
        match self {
            Self::Events => "events.amazonaws.com",
            Self::S3 => "s3.amazonaws.com",
            Self::Sns => "sns.amazonaws.com",
            Self::Lambda => "lambda.amazonaws.com",
        }
    }
}

/// A message attribute, as SQS and SNS have them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageAttribute {
    /// `String`, `Number`, `Binary`, with or without a label (`Number.int`); SNS also has `String.Array`.
    pub data_type: String,
    /// The value; that of a binary one in base64.
    pub value: String,
}

impl MessageAttribute {
    /// One of the type `String`.
    pub fn text(value: impl Into<String>) -> Self {
        Self { data_type: "String".into(), value: value.into() }
    }

    /// Whether `value` is base64.
    pub fn is_binary(&self) -> bool {
        self.data_type.split('.').next() == Some("Binary")
    }
}

/// What some kinds of target take besides the text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// For FIFO queues and topics.
    pub message_group_id: Option<String>,
    /// For FIFO queues and topics.
    pub message_deduplication_id: Option<String>,
    /// For topics.
    pub subject: Option<String>,
    /// For queues and topics.
    pub attributes: BTreeMap<String, MessageAttribute>,
    /// An X-Ray trace header, for queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// One text for one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The ARN of the queue, topic, function, …
    pub target: String,
    /// The ARN of the rule, bucket, topic or function that asked for it: policies know it as `aws:SourceArn`.
    #[serde(alias = "rule")]
    pub source: String,
    /// What the source calls the target.
    pub target_id: String,
    /// Which service sends it.
    #[serde(default)]
    pub sender: Sender,
    /// What the target gets: the event as JSON, or what its rule made of it (JSON or plain text).
    pub input: Arc<str>,
    /// The event that caused it, where one did.
    #[serde(default)]
    pub event: Option<Arc<Event>>,
    /// What some kinds of target take besides.
    #[serde(default)]
    pub parameters: Parameters,
    /// How often and how long a failed delivery is tried again.
    pub retry: RetryPolicy,
    /// The ARN of the queue that gets it where it cannot be delivered.
    #[serde(default)]
    pub dead_letter: Option<String>,
}

/// How often and how long a failed delivery is tried again. The defaults and limits are EventBridge's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// From 0 to 185.
    pub attempts_max: u32,
    /// From 60 to 86,400.
    pub age_max_seconds: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts_max: 185, age_max_seconds: 86_400 }
    }
}

/// Where a delivery is made: the transaction, the lake, and the other targets (for what follows from it).
#[derive(Clone, Copy)]
pub struct Delivering<'a> {
    /// The transaction of the one who delivers.
    pub tx: &'a Tx<'a>,
    /// The lake.
    pub lake: &'a Lake,
    /// All kinds of target.
    pub targets: &'a Targets,
}

/// Accepts the deliveries for one sort of ARN.
pub trait TargetKind: Send + Sync + 'static {
    /// For people, in the plural: `SNS topics`.
    fn title(&self) -> &'static str;

    /// Whether it takes deliveries for `arn`. Looks at the form alone: what the ARN names need not exist yet.
    fn accepts(&self, arn: &Arn) -> bool;

    /// Fails where a delivery of `sender` for `source` (an ARN) would fail now, since what `arn` names does not exist or does not allow it. Asked
    /// when a bucket's notifications are set. By default nothing is looked at.
    fn check(&self, _at: &Delivering<'_>, _arn: &Arn, _sender: Sender, _source: &str) -> Result<(), Failure> {
        Ok(())
    }

    /// Writes what the delivery means. Runs in the transaction of the one who delivers, in a savepoint of its own that is undone where it fails.
    /// Where the target has a resource policy, it must allow [`Delivery::sender`]. [`Failure::lasting`] ends the delivery at once,
    /// [`Failure::transient`] tries it again later.
    fn deliver(&self, at: &Delivering<'_>, arn: &Arn, delivery: &Delivery) -> Result<(), Failure>;
}

/// The target kinds that a lake has. Clones share them; they may be installed after the services that deliver have been made.
#[derive(Clone, Default)]
pub struct Targets {
    kinds: Arc<OnceLock<Vec<Arc<dyn TargetKind>>>>,
}

impl std::fmt::Debug for Targets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.kinds().iter().map(|kind| kind.title())).finish()
    }
}

impl Targets {
    /// These, and no others.
    pub fn new(kinds: Vec<Arc<dyn TargetKind>>) -> Self {
        let targets = Self::default();
        targets.install(kinds);
        targets
    }

    /// Gives all clones their kinds; once.
    pub fn install(&self, kinds: Vec<Arc<dyn TargetKind>>) {
        assert!(self.kinds.set(kinds).is_ok(), "the kinds of target are installed once");
    }

    fn kinds(&self) -> &[Arc<dyn TargetKind>] {
        self.kinds.get().map_or(&[], Vec::as_slice)
    }

    /// Who takes deliveries for `arn`.
    pub fn find(&self, arn: &Arn) -> Option<&dyn TargetKind> {
        self.kinds().iter().map(AsRef::as_ref).find(|kind| kind.accepts(arn))
    }

    /// The titles of all kinds, for a message: `SNS topics, Glue crawlers`.
    pub fn titles(&self) -> String {
        self.kinds().iter().map(|kind| kind.title()).collect::<Vec<_>>().join(", ")
    }

    fn resolve(&self, target: &str) -> Result<(Arn, &dyn TargetKind), Failure> {
        let arn: Arn = target.parse().map_err(Failure::lasting)?;
        let kind = self.find(&arn).ok_or_else(|| {
            Failure::lasting(format!("this lake delivers to {}, and '{arn}' is none of them", self.titles()))
                .code("INVALID_TARGET")
        })?;
        Ok((arn, kind))
    }

    /// Whether `target` exists and takes what `sender` would deliver for `source` (an ARN).
    ///
    /// # Errors
    /// Why it would not.
    pub fn check(&self, tx: &Tx<'_>, lake: &Lake, target: &str, sender: Sender, source: &str) -> Result<(), Failure> {
        let (arn, kind) = self.resolve(target)?;
        kind.check(&Delivering { tx, lake, targets: self }, &arn, sender, source)
    }

    /// Delivers; undoes what was written where that fails.
    ///
    /// # Errors
    /// The outer one: the transaction itself is broken. The inner one: this delivery failed.
    pub fn deliver(&self, tx: &Tx<'_>, lake: &Lake, delivery: &Delivery) -> Result<Result<(), Failure>, StoreError> {
        let (arn, kind) = match self.resolve(&delivery.target) {
            Ok(found) => found,
            Err(failure) => return Ok(Err(failure)),
        };
        let run = |sql: &str| -> Result<(), StoreError> { Ok(tx.prepare_cached(sql)?.execute([]).map(drop)?) };
        run("SAVEPOINT delivery")?;
        let at = Delivering { tx, lake, targets: self };
        let outcome = catch_unwind(AssertUnwindSafe(|| kind.deliver(&at, &arn, delivery)));
        let outcome = outcome.unwrap_or_else(|_| Err(Failure::lasting("an internal fault ended it; the log says more")));
        if outcome.is_err() {
            run("ROLLBACK TO delivery")?;
        }
        run("RELEASE delivery")?;
        Ok(outcome)
    }

    /// Delivers; where that fails, leaves a task that tries again, or a dead letter.
    pub fn deliver_or_keep(&self, tx: &Tx<'_>, lake: &Lake, delivery: &Delivery) -> Result<(), StoreError> {
        match self.deliver(tx, lake, delivery)? {
            Ok(()) => Ok(()),
            Err(failure) => self.keep_failed(tx, lake, delivery, &failure),
        }
    }

    /// Leaves a task that tries again, or a dead letter, for a delivery that failed.
    ///
    /// # Errors
    /// The transaction itself is broken.
    pub fn keep_failed(&self, tx: &Tx<'_>, lake: &Lake, delivery: &Delivery, failure: &Failure) -> Result<(), StoreError> {
        let kept = Kept { delivery: delivery.clone(), since_ms: tx.now_ms(), reason: failure.reason.clone() };
        if !failure.retry || delivery.retry.attempts_max == 0 {
            tracing::warn!(
                source = delivery.source,
                target = delivery.target,
                reason = failure.reason,
                "a delivery failed for good"
            );
            return self.give_up(tx, lake, &kept, failure, 0);
        }
        tracing::info!(source = delivery.source, target = delivery.target, reason = failure.reason, "a delivery is tried again");
        tx.enqueue(&kept.task().at(tx.now_ms() + failure.after_ms.unwrap_or(RETRY_FIRST_MS)))?;
        Ok(())
    }

    /// Sends a delivery that failed for good to its dead-letter queue; buries it where that is not to be.
    fn give_up(&self, tx: &Tx<'_>, lake: &Lake, kept: &Kept, failure: &Failure, retries: u32) -> Result<(), StoreError> {
        let mut reason = failure.reason.clone();
        if let Some(letter) = dead_letter(&kept.delivery, failure, retries) {
            match self.deliver(tx, lake, &letter)? {
                Ok(()) => return Ok(()),
                Err(second) => reason = format!("{reason}; and its dead-letter queue did not take it: {}", second.reason),
            }
        }
        tx.bury(&kept.task(), &reason)?;
        Ok(())
    }
}

/// What the dead-letter queue of a delivery gets: the event, with the attributes of the EventBridge user guide, "Using dead-letter queues to
/// process undelivered events"; of a topic, its message with those of the SNS developer guide, "Dead-letter queues".
fn dead_letter(failed: &Delivery, failure: &Failure, retries: u32) -> Option<Delivery> {
    let target = failed.dead_letter.clone()?;
    let code = failure.code.unwrap_or(if failure.retry { "SDK_CLIENT_ERROR" } else { "INVALID_PARAMETER" });
    let attributes: Vec<(&str, String)> = match failed.sender {
        Sender::Events => {
            let aged = retries < failed.retry.attempts_max;
            let mut all = vec![
                ("RULE_ARN", failed.source.clone()),
                ("TARGET_ARN", failed.target.clone()),
                ("ERROR_CODE", code.to_owned()),
                ("ERROR_MESSAGE", failure.reason.clone()),
            ];
            if failure.retry {
                let condition = if aged { "MaximumEventAgeInSeconds" } else { "MaximumRetryAttempts" };
                all.push(("EXHAUSTED_RETRY_CONDITION", condition.to_owned()));
                all.push(("RETRY_ATTEMPTS", retries.to_string()));
            }
            all
        }
        Sender::S3 | Sender::Sns | Sender::Lambda => {
            vec![("ErrorCode", code.to_owned()), ("ErrorMessage", failure.reason.clone())]
        }
    };
    let input = match (failed.sender, &failed.event) {
        (Sender::Events, Some(event)) => serde_json::to_string(event).ok()?.into(),
        _ => failed.input.clone(),
    };
    let mut parameters = failed.parameters.clone();
    // What the message had goes on with it; there is room for ten.
    let room = ATTRIBUTES_MAX.saturating_sub(parameters.attributes.len());
    let attributes = attributes.into_iter().take(room);
    parameters.attributes.extend(attributes.map(|(name, value)| (name.to_owned(), MessageAttribute::text(replaced(&value)))));
    Some(Delivery { target, input, parameters, dead_letter: None, ..failed.clone() })
}

/// The payload of a [`DELIVER`] task.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    delivery: Delivery,
    since_ms: i64,
    /// Why the first try failed. (Why the last one did is the task's.)
    #[serde(default)]
    reason: String,
}

impl Kept {
    /// The first try has failed already: it is not counted among the retries.
    fn task(&self) -> NewTask {
        NewTask::new(DELIVER, self).failures_max(self.delivery.retry.attempts_max)
    }
}

/// The deliveries from one source to one target that failed and are not forgotten: what the owner of a rule or a bucket looks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Undelivered {
    /// The ARN of the rule, bucket, topic or function that asked for it.
    pub source: String,
    /// The ARN of the target.
    pub target: String,
    /// How many are tried again.
    pub waiting: i64,
    /// How many were given up: dead letters of the lake.
    pub given_up: i64,
    /// When the latest of them failed last, in milliseconds since the epoch.
    pub last_ms: i64,
    /// Why it did.
    pub reason: String,
}

/// What could not be delivered, by source and target, the latest failure first, `limit` at the most. What a dead-letter queue has is not here.
///
/// # Errors
/// The store's.
pub fn undelivered(connection: &Connection, limit: usize) -> Result<Vec<Undelivered>, StoreError> {
    // The other columns are those of the row with the greatest changed_ms, as SQLite has it where max() stands alone.
    let select = "SELECT payload ->> '$.delivery.source', payload ->> '$.delivery.target', sum(state < 2), sum(state = 2),
                         max(changed_ms), coalesce(reason, payload ->> '$.reason', '')
                  FROM task WHERE kind = ?1 GROUP BY 1, 2 ORDER BY 5 DESC, 1, 2 LIMIT ?2";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map(params![DELIVER, limit as i64], |row| {
        Ok(Undelivered {
            source: row.get::<_, Option<String>>(0)?.unwrap_or_default(),
            target: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
            waiting: row.get(2)?,
            given_up: row.get(3)?,
            last_ms: row.get(4)?,
            reason: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Tries failed deliveries again.
#[derive(Debug)]
pub struct Redelivery {
    /// Where to.
    pub targets: Targets,
}

#[async_trait]
impl Handler for Redelivery {
    fn kind(&self) -> &'static str {
        DELIVER
    }

    /// Those that wait for one commit share it.
    fn concurrency(&self) -> usize {
        16
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let kept: Kept = serde_json::from_value(task.payload.clone()).map_err(Failure::lasting)?;
        let age_ms = lake.store.env().now_ms() - kept.since_ms;
        let too_old = age_ms > i64::from(kept.delivery.retry.age_max_seconds) * 1000;
        let (targets, inner, held) = (self.targets.clone(), lake.clone(), task.clone());
        let delivered = lake.store.write(move |tx| {
            let failure = match targets.deliver(tx, &inner, &kept.delivery)? {
                Err(failure) if failure.retry && !too_old && !held.is_last_try() => return Ok(Err(failure)),
                Err(failure) => Some(failure),
                Ok(()) => None,
            };
            tx.finish_task(&held)?;
            if let Some(failure) = failure {
                targets.give_up(tx, &inner, &kept, &failure, held.failures + 1)?;
            }
            Ok::<_, StoreError>(Ok(()))
        });
        delivered.await?
    }
}
