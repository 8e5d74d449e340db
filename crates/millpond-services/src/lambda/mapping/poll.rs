//! Pollers: for each mapping that is enabled a loop that receives, invokes and deletes.
//!
//! A batch that its function failed is left alone: its messages come again when their visibility time-out ends, and in the end go where the
//! queue's redrive policy says. What could not be run at all (too many invocations, no room) is tried again while the messages are hidden, so
//! that no message is counted as received for nothing.

use super::batch::{Filters, Verdict, record, verdict};
use super::{MappingRow, State, all, update};
use crate::lambda::{Lambda, LambdaError};
use crate::runtime::source::{Ask, EventSource, SourceError, SourceMessage};
use bytes::Bytes;
use millpond_core::arn::Arn;
use millpond_core::env::EnvExt;
use millpond_store::StoreError;
use rusqlite::params;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Invocations of one mapping at the same time, where nothing is said. (AWS begins with five and goes on from there.)
const CONCURRENCY: u32 = 16;

/// One call waits so long for a first message.
const WAIT_MS: u64 = 20_000;

/// Messages of one call; more are gathered by further calls.
const PIECE: usize = 100;

/// Bytes of the bodies of a batch: an event must stay below 6 MiB.
const BATCH_BYTES: usize = 5 * 1024 * 1024;

/// After something was wrong with a source or a function that is not the messages' fault.
const PAUSE: Duration = Duration::from_secs(2);

/// The running pollers of a lake.
#[derive(Debug)]
pub struct Pollers {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Pollers {
    /// Starts those of all mappings, and from now on follows what becomes of these.
    pub fn start(lambda: &Lambda) -> Self {
        let stop = CancellationToken::new();
        lambda.sweep_later();
        let running = tokio::spawn(Supervisor::new(lambda.clone(), stop.clone()).run());
        Self { stop, running }
    }

    /// Receives no more, and waits for the batches under way up to `patience`. What was not finished comes again.
    pub async fn stop(self, patience: Duration) {
        self.stop.cancel();
        let _ = tokio::time::timeout(patience, self.running).await;
    }
}

struct Running {
    row: MappingRow,
    stop: CancellationToken,
}

struct Supervisor {
    lambda: Lambda,
    stop: CancellationToken,
    running: HashMap<String, Running>,
    ended: (mpsc::UnboundedSender<String>, mpsc::UnboundedReceiver<String>),
    tracker: TaskTracker,
}

impl Supervisor {
    fn new(lambda: Lambda, stop: CancellationToken) -> Self {
        Self { lambda, stop, running: HashMap::new(), ended: mpsc::unbounded_channel(), tracker: TaskTracker::new() }
    }

    async fn run(mut self) {
        let mut changes = self.lambda.inner.mappings.subscribe();
        while !self.stop.is_cancelled() {
            changes.mark_unchanged();
            if let Err(error) = self.reconcile().await {
                tracing::error!(%error, "event source mappings could not be looked at; trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            tokio::select! {
                () = self.stop.cancelled() => break,
                _ = changes.changed() => {}
                ended = self.ended.1.recv() => if let Some(uuid) = ended { self.running.remove(&uuid); },
            }
        }
        for running in self.running.values() {
            running.stop.cancel();
        }
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Brings the pollers to what the rows say, and the rows to what the pollers are.
    async fn reconcile(&mut self) -> Result<(), LambdaError> {
        let rows = self.lambda.inner.lake.store.read(all).await?;
        let known: HashSet<String> = rows.iter().map(|row| row.uuid.clone()).collect();
        for row in rows {
            let wanted = row.state.polls();
            match self.running.get(&row.uuid) {
                Some(running) if !wanted || !same(&running.row, &row) => {
                    running.stop.cancel();
                    continue; // Goes on when it has ended.
                }
                Some(_) => {}
                None if wanted => self.begin(row.clone()),
                None => {}
            }
            self.settle(row).await?;
        }
        self.running.iter().filter(|(uuid, _)| !known.contains(*uuid)).for_each(|(_, running)| running.stop.cancel());
        Ok(())
    }

    fn begin(&mut self, row: MappingRow) {
        let stop = self.stop.child_token();
        let poller = Poller { lambda: self.lambda.clone(), row: row.clone(), stop: stop.clone() };
        let (ended, uuid) = (self.ended.0.clone(), row.uuid.clone());
        self.tracker.spawn(async move {
            poller.run().await;
            let _ = ended.send(uuid);
        });
        self.running.insert(row.uuid.clone(), Running { row, stop });
    }

    /// The state that a passing one ends in.
    async fn settle(&self, row: MappingRow) -> Result<(), LambdaError> {
        let state = match row.state {
            State::Creating | State::Enabling | State::Updating => State::Enabled,
            State::Disabling => State::Disabled,
            State::Deleting => {
                self.lambda.inner.problems.set(&row.uuid, None);
                let delete = "DELETE FROM lambda_mapping WHERE uuid = ? AND state = 'Deleting'";
                let written = self.lambda.inner.lake.store.write(move |tx| {
                    tx.prepare_cached(delete)?.execute(params![row.uuid])?;
                    Ok::<_, StoreError>(())
                });
                return Ok(written.await?);
            }
            State::Enabled | State::Disabled => return Ok(()),
        };
        let written = self.lambda.inner.lake.store.write(move |tx| {
            // Only where nobody changed it meanwhile.
            match super::find(tx, &row.uuid) {
                Ok(now) if now.state == row.state && now.modified_ms == row.modified_ms => {
                    Ok::<_, LambdaError>(update(tx, &super::MappingRow { state, ..now })?)
                }
                _ => Ok(()),
            }
        });
        written.await
    }
}

/// Whether a poller of the one does what one of the other would.
fn same(one: &MappingRow, other: &MappingRow) -> bool {
    (&one.function, &one.qualifier, &one.config) == (&other.function, &other.qualifier, &other.config)
}

#[derive(Clone)]
struct Poller {
    lambda: Lambda,
    row: MappingRow,
    stop: CancellationToken,
}

/// What a batch is received from.
#[derive(Clone)]
struct Polled {
    arn: Arn,
    source: Arc<dyn EventSource>,
    filters: Arc<Filters>,
}

impl Poller {
    async fn run(self) {
        let filters = Filters::parse(&self.row.config.filters);
        let (arn, source, filters) = match (self.lambda.source(&self.row.source), filters) {
            (Ok((arn, source)), Ok(filters)) => (arn, source, filters),
            (Err(error), _) | (_, Err(error)) => {
                self.problem(Some(format!("PROBLEM: {error}")));
                return self.stop.cancelled().await;
            }
        };
        let polled = Polled { arn, source, filters: Arc::new(filters) };
        let permits = Arc::new(Semaphore::new(self.row.config.concurrency.unwrap_or(CONCURRENCY) as usize));
        let tracker = TaskTracker::new();
        while !self.stop.is_cancelled() {
            let permit = tokio::select! {
                () = self.stop.cancelled() => break,
                permit = permits.clone().acquire_owned() => permit.expect("the semaphore is never closed"),
            };
            let gathered = tokio::select! {
                () = self.stop.cancelled() => break,
                gathered = self.gather(&polled) => gathered,
            };
            match gathered {
                Ok(messages) if messages.is_empty() => {}
                Ok(messages) => {
                    let (poller, polled) = (self.clone(), polled.clone());
                    tracker.spawn(async move {
                        poller.process(&polled, messages).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    self.problem(Some(format!("PROBLEM: {error}")));
                    tokio::select! {
                        () = self.stop.cancelled() => break,
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                }
            }
        }
        tracker.close();
        tracker.wait().await;
    }

    fn problem(&self, problem: Option<String>) {
        if let Some(problem) = &problem {
            tracing::warn!(mapping = self.row.uuid, source = self.row.source, problem, "an event source mapping cannot go on");
        }
        self.lambda.inner.problems.set(&self.row.uuid, problem);
    }

    /// Receives a batch: at once what is there, and within the window more.
    async fn gather(&self, polled: &Polled) -> Result<Vec<SourceMessage>, SourceError> {
        let size = self.row.config.batch_size as usize;
        let window = Duration::from_secs(u64::from(self.row.config.window_s));
        let ask = |max: usize, wait_ms| Ask { max: max.min(PIECE), wait_ms, visibility_ms: None };
        let mut messages = polled.source.receive(&polled.arn, ask(size, WAIT_MS)).await?;
        let since = Instant::now();
        let bytes = |messages: &[SourceMessage]| messages.iter().map(|message| message.body.len()).sum::<usize>();
        while !messages.is_empty() && messages.len() < size && bytes(&messages) < BATCH_BYTES {
            let left = window.saturating_sub(since.elapsed());
            if left.is_zero() {
                break;
            }
            let more = polled.source.receive(&polled.arn, ask(size - messages.len(), left.as_millis() as u64 + 1)).await?;
            messages.extend(more);
        }
        Ok(messages)
    }

    async fn process(&self, polled: &Polled, messages: Vec<SourceMessage>) {
        let region = &self.lambda.inner.lake.place.region;
        let name = polled.source.event_source();
        let (mut batch, mut records, mut unwanted, mut later, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), 0);
        for message in messages {
            let record = record(&message, name, &self.row.source, region);
            if !polled.filters.want(&record) {
                unwanted.push(message.receipt);
                continue;
            }
            bytes += message.body.len();
            if bytes > BATCH_BYTES && !batch.is_empty() {
                later.push(message.receipt);
                continue;
            }
            batch.push(message);
            records.push(record);
        }
        self.settle(polled.source.delete(&polled.arn, unwanted).await);
        if !later.is_empty() {
            self.settle(polled.source.release(&polled.arn, later, 0).await);
        }
        if batch.is_empty() {
            return;
        }
        let event = Bytes::from(json!({ "Records": Value::Array(records) }).to_string());
        let answer = match self.invoke(polled, event).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return,
            Err(error) => return self.problem(Some(format!("PROBLEM: {error}"))),
        };
        self.problem(None);
        let verdict = match self.row.config.report_failures {
            true => verdict(&answer, &batch.iter().map(|message| message.message_id.as_str()).collect()),
            false => Verdict::Done,
        };
        let done: Vec<String> = match verdict {
            Verdict::Done => batch.into_iter().map(|message| message.receipt).collect(),
            Verdict::Failed(ids) => {
                batch.into_iter().filter(|message| !ids.contains(&message.message_id)).map(|message| message.receipt).collect()
            }
            Verdict::AllFailed => {
                tracing::warn!(
                    mapping = self.row.uuid,
                    function = self.row.function,
                    "the function's answer about its batch is none that says which messages failed: all come again"
                );
                return;
            }
        };
        self.settle(polled.source.delete(&polled.arn, done).await);
    }

    fn settle(&self, outcome: Result<(), SourceError>) {
        if let Err(error) = outcome {
            tracing::warn!(mapping = self.row.uuid, %error, "messages could not be deleted or released; they come again");
        }
    }

    /// Runs the function on a batch: `None` where it failed. What cannot run is tried again as long as the messages are hidden.
    async fn invoke(&self, polled: &Polled, event: Bytes) -> Result<Option<Bytes>, LambdaError> {
        let since = Instant::now();
        let facts = polled.source.facts(&polled.arn).await;
        let hidden = Duration::from_secs(facts.map_or(30, |facts| u64::from(facts.visibility_timeout_seconds)));
        let mut pause = Duration::from_millis(100);
        loop {
            let error = match self.attempt(event.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let room = hidden.saturating_sub(since.elapsed());
            if room <= pause * 2 || !matches!(error, LambdaError::Throttled { .. } | LambdaError::Unlaunched(_)) {
                tokio::select! {
                    () = self.stop.cancelled() => {}
                    () = tokio::time::sleep(PAUSE.min(room)) => {}
                }
                return Err(error);
            }
            tokio::select! {
                () = self.stop.cancelled() => return Err(error),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    async fn attempt(&self, event: Bytes) -> Result<Option<Bytes>, LambdaError> {
        let plan = self.lambda.plan(self.row.function_name()).await?;
        let slot = self.lambda.slot(&plan)?;
        let request_id = self.lambda.inner.lake.store.env().uuid();
        let outcome = self.lambda.run(&plan, event, request_id, None, None).await?;
        drop(slot);
        Ok(outcome.function_error.is_none().then_some(outcome.payload))
    }
}
