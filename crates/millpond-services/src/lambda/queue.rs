//! Asynchronous invocations: a task each, from the moment in which they were accepted to the transaction that writes what follows.
//!
//! What fails is told apart:
//! - the function failed: it is run again after AWS's pauses, as often as its configuration says;
//! - it could not be run (too many run already, no room on the machine, its role is gone): it is tried again and again, uncounted, until the
//!   event is too old. A few of a function wait for a place; the others come back one after another, at the rate at which places become free;
//! - there is no such function: no other try can help.
//!
//! In the end the transaction that takes the task away delivers the record to the destination, and the event to the dead-letter target. Where
//! there is neither, the task stays as a dead letter of the lake, from which it can be invoked again.

use super::event_config::{AGE_S, RETRIES};
use super::invoke::Plan;
use super::record::{Condition, End, Response, error_message};
use super::{FunctionName, Lambda, LambdaError, Qualifier};
use crate::lake::Lake;
use crate::runtime::delivery::Delivery;
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use millpond_core::env::EnvExt;
use millpond_core::error::ErrorKind;
use millpond_store::task::{NewTask, Task};
use millpond_store::{StoreError, Tx};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The tasks.
const KIND: &str = "lambda.invoke";

/// Pauses before what could not be run is tried again; the longest is AWS's ("Error handling for asynchronous invocations").
const PAUSE_MIN_MS: i64 = 250;
const PAUSE_MAX_MS: i64 = 5 * 60 * 1000;

/// Functions whose pace is known at the same time.
const FUNCTIONS_MAX: usize = 10_000;

/// More failures than any configuration allows: this module ends its tasks itself.
const FAILURES_MAX: u32 = 1_000_000;

/// An event that waits for its function. The names are short: there may be many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Queued {
    /// The function's name.
    #[serde(rename = "f")]
    pub(super) function: String,
    #[serde(rename = "q", default, skip_serializing_if = "Option::is_none")]
    pub(super) qualifier: Option<String>,
    #[serde(rename = "id")]
    pub(super) request_id: String,
    /// JSON.
    #[serde(rename = "e")]
    pub(super) event: String,
    /// When it was accepted, in milliseconds since the epoch.
    #[serde(rename = "t")]
    pub(super) since_ms: i64,
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub(super) trace_id: Option<String>,
    /// The ARN of what sent it, where a service did.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
}

/// Accepts an event, in the caller's transaction.
pub(super) fn put(tx: &Tx<'_>, queued: Queued) -> Result<(), StoreError> {
    tx.enqueue(&NewTask::new(KIND, queued).failures_max(FAILURES_MAX))?;
    Ok(())
}

/// Runs asynchronous invocations.
#[derive(Debug)]
pub(super) struct Runner {
    lambda: Lambda,
    paces: Mutex<HashMap<i64, Pace>>,
}

/// How fast a function's places become free, and until when they are given away.
#[derive(Debug, Clone, Copy)]
struct Pace {
    duration_ms: f64,
    taken_until_ms: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { duration_ms: 20.0, taken_until_ms: 0 }
    }
}

/// An invocation waits so long for a place before it comes back later.
const PATIENCE: Duration = Duration::from_secs(5);

impl Runner {
    pub(super) fn new(lambda: Lambda) -> Self {
        Self { lambda, paces: Mutex::default() }
    }

    /// The most places that one function may have of those for queued invocations: the others must get through too.
    fn most(&self) -> u32 {
        let all = self.lambda.inner.settings.queue_concurrency;
        (all - all / 4).max(1) as u32
    }

    /// When a throttled invocation is to come back, in milliseconds from now: after those that were sent away before it.
    fn turn(&self, plan: &Plan, now_ms: i64) -> i64 {
        let mut paces = self.paces.lock().expect("nobody panics while holding the paces");
        let pace = paces.entry(plan.function).or_default();
        let places = f64::from(plan.reserved.unwrap_or(u32::MAX).clamp(1, self.most()));
        let at_ms = pace.taken_until_ms.clamp(now_ms + PAUSE_MIN_MS, now_ms + PAUSE_MAX_MS);
        // Twice as fast as places become free: one that comes too early is sent away again, but no place stays empty.
        pace.taken_until_ms = at_ms + ((pace.duration_ms / places / 2.0).ceil() as i64).max(1);
        at_ms - now_ms
    }

    fn learn(&self, plan: &Plan, took: Duration) {
        let mut paces = self.paces.lock().expect("nobody panics while holding the paces");
        if paces.len() > FUNCTIONS_MAX {
            paces.clear();
        }
        let pace = paces.entry(plan.function).or_default();
        pace.duration_ms = 0.8 * pace.duration_ms + 0.2 * took.as_secs_f64() * 1000.0;
    }

    fn pauses(&self, retry: u32) -> i64 {
        let delays = self.lambda.inner.settings.retry_delays_ms;
        delays[(retry as usize).min(delays.len() - 1)]
    }

    /// Ends a task: deliveries and the task's end are one transaction.
    async fn end(&self, lake: &Lake, task: &Task, plan: &Plan, end: End<'_>) -> Result<(), Failure> {
        let config = &plan.event_config;
        let succeeded = end.condition == Condition::Success;
        let destination = if succeeded { &config.on_success } else { &config.on_failure };
        let mut deliveries: Vec<Delivery> = Vec::new();
        if let Some(target) = destination.as_deref().filter(|target| !target.is_empty()) {
            deliveries.push(end.to_destination(target));
        }
        if let Some(target) = plan.version.config.dead_letter.as_deref().filter(|_| !succeeded) {
            deliveries.push(end.to_dead_letter(target));
        }
        if deliveries.is_empty() && !succeeded {
            return Err(Failure::lasting(end.reason));
        }
        let (lambda, inner, held) = (self.lambda.clone(), lake.clone(), task.clone());
        let written = lake.store.write(move |tx| {
            tx.finish_task(&held)?;
            for delivery in &deliveries {
                lambda.inner.targets.deliver_or_keep(tx, &inner, delivery)?;
            }
            Ok::<_, StoreError>(())
        });
        Ok(written.await?)
    }
}

fn gone(error: &LambdaError) -> Failure {
    Failure::lasting(format!("{error}; it was deleted while the event waited. Create it again and retry this task, or drop it"))
}

/// How long to wait before another try of what could not be run: about as long as it waited already.
fn pause(lake: &Lake, age_ms: i64) -> i64 {
    let about = age_ms.clamp(PAUSE_MIN_MS, PAUSE_MAX_MS) as f64;
    (about * (0.5 + lake.store.env().random_unit())) as i64
}

#[async_trait]
impl Handler for Runner {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn concurrency(&self) -> usize {
        self.lambda.inner.settings.queue_concurrency
    }

    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure> {
        let queued = Queued::deserialize(&task.payload).map_err(Failure::lasting)?;
        let name = FunctionName { name: queued.function.clone(), qualifier: queued.qualifier.as_deref().map(Qualifier::parse) };
        let arn = self.lambda.arn(&name.name, Some(&name.qualifier_or_latest()));
        let plan = match self.lambda.plan(name).await {
            Ok(plan) => plan,
            Err(error) if error.kind() == ErrorKind::Missing => return Err(gone(&error)),
            Err(error) => return Err(Failure::transient(error)),
        };
        let now_ms = lake.store.env().now_ms();
        let waited = Waited {
            age_ms: (now_ms - queued.since_ms).max(0),
            age_max_ms: i64::from(plan.event_config.age_max_seconds.unwrap_or(AGE_S)) * 1000,
        };
        let ended = |condition, count, response: Option<Response>, reason: String| End {
            queued: &queued,
            function_arn: arn.clone(),
            condition,
            count,
            response,
            reason,
            now_ms: lake.store.env().now_ms(),
        };
        if plan.reserved == Some(0) {
            let reason = format!("{arn} may not run: its reserved concurrency is 0");
            let end = ended(Condition::ZeroReservedConcurrency, task.failures, None, reason);
            return self.end(lake, task, &plan, end).await;
        }
        if waited.age_ms > waited.age_max_ms {
            let last = task.reason.as_deref().unwrap_or("it never came to run");
            let reason = format!("the event waited for {arn} for {} s, longer than it may: {last}", waited.age_ms / 1000);
            return self.end(lake, task, &plan, ended(Condition::EventAgeExceeded, task.failures, None, reason)).await;
        }
        let outcome = match self.attempt(&plan, &queued).await {
            Ok(outcome) => outcome,
            Err(error @ LambdaError::Throttled { .. }) => {
                return Err(Failure::transient(error).postponed(self.turn(&plan, now_ms)));
            }
            Err(error) if error.kind() == ErrorKind::Missing => return Err(gone(&error)),
            Err(error) => return Err(Failure::transient(error).postponed(pause(lake, waited.age_ms))),
        };
        let Some(error) = outcome.function_error else {
            if plan.event_config.on_success.as_deref().is_none_or(str::is_empty) {
                return Ok(());
            }
            return self.end(lake, task, &plan, ended(Condition::Success, task.failures + 1, Some(outcome), String::new())).await;
        };
        let what = error_message(Some(&outcome)).unwrap_or_else(|| error.to_owned());
        let reason = format!("{arn} failed: {what}");
        let count = task.failures + 1;
        let delay_ms = self.pauses(task.failures);
        if count > plan.event_config.retries_max.unwrap_or(RETRIES) {
            let reason = format!("{reason} ({count} tries; its log group {} says more)", plan.version.config.logging.group);
            return self.end(lake, task, &plan, ended(Condition::RetriesExhausted, count, Some(outcome), reason)).await;
        }
        if waited.age_ms + delay_ms > waited.age_max_ms {
            return self.end(lake, task, &plan, ended(Condition::EventAgeExceeded, count, Some(outcome), reason)).await;
        }
        Err(Failure::transient(reason).after(delay_ms))
    }
}

struct Waited {
    age_ms: i64,
    age_max_ms: i64,
}

impl Runner {
    async fn attempt(&self, plan: &Plan, queued: &Queued) -> Result<Response, LambdaError> {
        let (_slot, waited) = self.lambda.inner.slots.wait(plan.share(), self.most(), PATIENCE).await?;
        let again;
        let plan = match waited {
            true => {
                again = self.lambda.plan(plan.name.clone()).await?;
                &again
            }
            false => plan,
        };
        let since = Instant::now();
        let event = bytes::Bytes::copy_from_slice(queued.event.as_bytes());
        let outcome = self.lambda.run(plan, event, queued.request_id.clone(), None, queued.trace_id.clone()).await?;
        self.learn(plan, since.elapsed());
        Ok(Response {
            executed_version: plan.executed_version(),
            function_error: outcome.function_error,
            payload: outcome.payload,
        })
    }
}
