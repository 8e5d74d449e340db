//! Asynchronous invocations: a task each, from the moment in which they were accepted to the transaction that writes what follows.
//!
//! What fails is told apart:
//! - the function failed: it is run again after AWS's pauses, as often as its configuration says;
//! - it could not be run (too many run already, no room on the machine, its role is gone): it is tried again and again with growing pauses,
//!   uncounted, until the event is too old;
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

/// The tasks.
const KIND: &str = "lambda.invoke";

/// Pauses before what could not be run is tried again: from one second to five minutes ("Error handling for asynchronous invocations").
const PAUSE_MIN_MS: i64 = 250;
const PAUSE_MAX_MS: i64 = 5 * 60 * 1000;

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
}

impl Runner {
    pub(super) fn new(lambda: Lambda) -> Self {
        Self { lambda }
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
            Err(error) if error.kind() == ErrorKind::Missing => {
                return Err(Failure::lasting(format!(
                    "{error}; it was deleted while the event waited. Create it again and retry this task, or drop it"
                )));
            }
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
        let _slot = self.lambda.slot(plan)?;
        let event = bytes::Bytes::copy_from_slice(queued.event.as_bytes());
        let outcome = self.lambda.run(plan, event, queued.request_id.clone(), None, queued.trace_id.clone()).await?;
        Ok(Response {
            executed_version: plan.executed_version(),
            function_error: outcome.function_error,
            payload: outcome.payload,
        })
    }
}
