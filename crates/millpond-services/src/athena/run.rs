//! The worker that runs executions.

use super::execute::{self, Context, MANIFEST, Outcome, ResultFile, RunError};
use super::model::{Execution, OutputColumn, QueryFailure, State, Statistics};
use super::queue::{Class, Queue, Ticket};
use super::{Athena, AthenaError, error_types, results, reuse, sql};
use crate::lake::Lake;
use crate::lake::objects::{self, Cause, NewObject, ObjectMeta};
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use md5::{Digest, Md5};
use millpond_core::arn::Place;
use millpond_core::error::ErrorKind;
use millpond_engine::iceberg::COMMIT_ERROR;
use millpond_engine::query::{QueryStatistics, Stage};
use millpond_engine::sql::{self as dialect, Statement};
use millpond_store::blobs::NewBlob;
use millpond_store::task::Task;
use millpond_store::{StoreError, Tx};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The kind of an execution's task. Its payload is a [`Ticket`].
pub(super) const KIND: &str = "athena.query";

/// Why an execution was stopped by somebody.
pub(super) const STOPPED: &str = "Query cancelled by user";

/// Why an execution was stopped that read more than its workgroup allows (Athena user guide, "Setting data usage control limits").
const CUT_OFF: &str = "Bytes scanned limit was exceeded";

/// Stages that lie deeper are not kept: what reads documents takes 128 levels, and each of these has two.
const STAGES_DEPTH_MAX: usize = 50;

/// Times that a statement runs again because its commit lost against another's.
const RACES_MAX: usize = 10;

/// Runs executions.
#[derive(Debug)]
pub struct Runner {
    athena: Athena,
}

/// What came of an execution that ended well.
enum Ended {
    Ran(Box<(Outcome, Notes)>),
    /// With the result of an earlier one.
    Reused(Box<Execution>),
}

/// What is kept of a run besides its outcome.
#[derive(Default)]
struct Notes {
    table_bytes: u64,
    stages: Option<Stage>,
    /// What it can be found by, and what of the tables it has read, where its result can be used again.
    reusable: Option<(String, String)>,
}

impl Runner {
    pub(super) fn new(athena: Athena) -> Self {
        Self { athena }
    }

    /// The execution, running; `None` where it was stopped meanwhile. It runs already where it was begun when it was submitted, or by a former
    /// process.
    async fn begin(&self, id: String) -> Result<Option<Execution>, StoreError> {
        let found = self.athena.lake.store.read({
            let id = id.clone();
            move |connection| sql::execution(connection, &id)
        });
        match found.await? {
            None => return Ok(None),
            Some(execution) if execution.state.is_final() => return Ok(None),
            Some(execution) if execution.state == State::Running => return Ok(Some(execution)),
            Some(_) => {}
        }
        let states = self.athena.states.clone();
        let begun = self.athena.lake.store.write(move |tx| {
            let Some(mut execution) = sql::execution(tx, &id)?.filter(|execution| !execution.state.is_final()) else {
                return Ok(None);
            };
            states.begin(tx, &mut execution)?;
            Ok(Some(execution))
        });
        begun.await
    }

    async fn execute(
        &self,
        execution: &Execution,
        cancel: CancellationToken,
        spent: Arc<QueryStatistics>,
    ) -> Result<Ended, RunError> {
        let effective = execution.effective();
        let statement = dialect::parse(&effective.query)?;
        let cx = Context { spent, ..Context::new(&self.athena, &effective, cancel) };
        let Statement::Query { sql: query } = &statement else {
            let outcome = execute::run(&cx, &statement).await?;
            let notes = Notes { stages: cx.stages.into_inner(), ..Notes::default() };
            return Ok(Ended::Ran(Box::new((outcome, notes))));
        };
        if let Some(earlier) = reuse::earlier(&cx, query).await {
            return Ok(Ended::Reused(Box::new(earlier)));
        }
        let outcome = execute::run(&cx, &statement).await?;
        let table_bytes = cx.tables.table_bytes(&self.athena).await;
        let reusable = cx.tables.digest().filter(|_| reuse::is_worth(&effective, query));
        let reusable = reusable.map(|digest| (reuse::key(&effective), digest));
        let notes = Notes { table_bytes, stages: cx.stages.into_inner(), reusable };
        Ok(Ended::Ran(Box::new((outcome, notes))))
    }

    /// An execution within the time that it may take.
    async fn within(
        &self,
        execution: &Execution,
        cancel: CancellationToken,
        spent: Arc<QueryStatistics>,
    ) -> Result<Ended, RunError> {
        let limits = self.athena.timeouts;
        let limit = if Class::of(execution) == Class::Dml { limits.dml } else { limits.ddl };
        match tokio::time::timeout(limit, self.execute(execution, cancel.clone(), spent)).await {
            Ok(executed) => executed,
            Err(_) => {
                cancel.cancel();
                let message = format!(
                    "EXCEEDED_TIME_LIMIT: Query exceeded the maximum execution time limit of {:.2}m",
                    limit.as_secs_f64() / 60.0
                );
                Err(RunError { kind: ErrorKind::Limit, message })
            }
        }
    }

    async fn succeed(&self, task: &Task, id: String, ended: Ended) -> Result<(), RunError> {
        let (task, states) = (task.clone(), self.athena.states.clone());
        let ended = self.athena.lake.store.write(move |tx| {
            tx.finish_task(&task)?;
            let Some(mut execution) = sql::execution(tx, &id)? else { return Ok(()) };
            if execution.state != State::Running {
                // Stopped meanwhile: the blobs have no name and are collected.
                if let Ended::Ran(ran) = &ended {
                    execution.cost(ran.0.statistics);
                }
                return Ok(sql::update_execution(tx, &execution)?);
            }
            let queue_ms = execution.statistics.queue_ms;
            match ended {
                Ended::Reused(earlier) => {
                    execution.output = earlier.output;
                    execution.columns = earlier.columns;
                    execution.statistics = Statistics {
                        queue_ms,
                        rows: earlier.statistics.rows,
                        result_bytes: earlier.statistics.result_bytes,
                        reused: true,
                        reused_bytes: earlier.statistics.scanned_bytes.max(earlier.statistics.table_bytes),
                        ..Statistics::default()
                    };
                }
                Ended::Ran(ran) => {
                    let (outcome, notes) = *ran;
                    let manifest = outcome.files.iter().find(|file| file.suffix == MANIFEST);
                    execution.details.manifest = manifest.map(|file| format!("{}{}", execution.output, file.suffix));
                    let result = outcome.files.iter().find(|file| file.suffix.is_empty());
                    execution.details.result_etag = result.map(|file| file.etag.clone());
                    // First: what it writes may have to find its place empty, which is the result's own, too.
                    (outcome.commit)(tx)?;
                    name_result(tx, &states.place, &execution, outcome.files)?;
                    execution.columns = outcome.columns.iter().map(OutputColumn::from).collect();
                    execution.update_count = outcome.update.map(|update| update.count as i64);
                    execution.statistics = Statistics { table_bytes: notes.table_bytes, ..outcome.statistics };
                    execution.details.stages = notes.stages.filter(|stages| stages.depth() <= STAGES_DEPTH_MAX);
                    if let Some((key, tables_read)) = notes.reusable {
                        execution.details.tables_read = Some(tables_read);
                        sql::set_reuse(tx, &id, &key)?;
                    }
                }
            }
            Ok(states.end(tx, execution, State::Succeeded)?)
        });
        ended.await
    }

    async fn fail(&self, task: &Task, id: String, failure: QueryFailure, cost: Statistics) -> Result<(), StoreError> {
        let (task, states) = (task.clone(), self.athena.states.clone());
        let ended = self.athena.lake.store.write(move |tx| {
            tx.finish_task(&task)?;
            let Some(mut execution) = sql::execution(tx, &id)? else { return Ok(()) };
            execution.cost(cost);
            // Stopped meanwhile: what it had read until then is paid for.
            if execution.state.is_final() {
                return Ok(sql::update_execution(tx, &execution)?);
            }
            let state = fail(&mut execution, failure);
            if results::is_hive_failure(&execution) {
                name_failure(tx, &states.place, &execution)?;
            }
            Ok(states.end(tx, execution, state)?)
        });
        ended.await.map_err(store_error)
    }
}

impl Execution {
    /// Notes what it cost though it has no result.
    fn cost(&mut self, cost: Statistics) {
        let Statistics { queue_ms, total_ms, .. } = self.statistics;
        self.statistics = Statistics { queue_ms, total_ms, rows: 0, result_bytes: 0, ..cost };
    }
}

/// What ends an execution badly, and how. One that read too much counts as stopped, as with Athena.
fn fail(execution: &mut Execution, failure: QueryFailure) -> State {
    // Readers of some formats say with which file they were stopped.
    if failure.message.contains(CUT_OFF) {
        execution.reason = Some(CUT_OFF.to_owned());
        return State::Cancelled;
    }
    execution.reason = Some(failure.message.clone());
    execution.failure = Some(failure);
    State::Failed
}

fn store_error(error: AthenaError) -> StoreError {
    match error {
        AthenaError::Store(error) => error,
        other => StoreError::Corrupt(other.to_string()),
    }
}

/// Puts the result and what belongs to it where the execution says.
fn name_result(tx: &Tx<'_>, place: &Place, execution: &Execution, files: Vec<ResultFile>) -> Result<(), AthenaError> {
    let (bucket, key) = objects::split_uri(&execution.output).unwrap_or_default();
    let bucket = objects::bucket(tx, bucket)?
        .ok_or_else(|| AthenaError::invalid(format!("Unable to verify/create output bucket {bucket}: it does not exist")))?;
    let cause = Cause { reason: "PutObject", requester: "athena.amazonaws.com".into(), ..Cause::default() };
    for ResultFile { suffix, blob, bytes, etag, content_type } in files {
        let blob = tx.adopt(&blob)?;
        let headers = BTreeMap::from([("content-type".to_owned(), content_type.to_owned())]);
        let meta = ObjectMeta { headers, ..ObjectMeta::default() };
        objects::put(tx, place, &bucket, NewObject { key: format!("{key}{suffix}"), blob, size: bytes, etag, meta }, &cause)?;
    }
    Ok(())
}

/// The failure of Hive's DDL is its result, where the bucket of results is still there.
fn name_failure(tx: &Tx<'_>, place: &Place, execution: &Execution) -> Result<(), AthenaError> {
    let (bucket, _) = objects::split_uri(&execution.output).unwrap_or_default();
    if objects::bucket(tx, bucket)?.is_none() {
        return Ok(());
    }
    let text = execution.reason.clone().unwrap_or_default();
    let file = ResultFile {
        suffix: "",
        bytes: text.len() as u64,
        etag: hex::encode(Md5::digest(&text)),
        blob: NewBlob::Inline(text.into()),
        content_type: execute::OCTETS,
    };
    name_result(tx, place, execution, vec![file])
}

#[async_trait]
impl Handler for Runner {
    fn kind(&self) -> &'static str {
        KIND
    }

    /// So many run at a time; [`Queue::admit`](super::queue::Queue::admit) says which.
    fn concurrency(&self) -> usize {
        let limits = self.athena.queue.limits();
        limits.dml + limits.ddl
    }

    fn lease(&self, tx: &Tx<'_>, free: usize) -> Result<Vec<Task>, StoreError> {
        let waiting = tx.due_tasks(KIND, self.athena.queue.limits().waiting.max(free))?;
        let mut admitted = self.athena.queue.admit(waiting, free);
        for task in &mut admitted {
            tx.lease_task(task)?;
        }
        Ok(admitted)
    }

    fn under_way(&self) -> Option<TaskTracker> {
        Some(self.athena.under_way.clone())
    }

    /// A statement that exhausts the memory or the stack would otherwise bring down each process that takes it up.
    fn deaths_max(&self) -> Option<u32> {
        Some(3)
    }

    async fn run(&self, _lake: &Lake, task: &Task) -> Result<(), Failure> {
        let ticket = Ticket::read(task);
        let (mut races, started, spent) = (0, Instant::now(), Arc::<QueryStatistics>::default());
        let ended = loop {
            let held = Held { queue: &self.athena.queue, id: &ticket.id };
            let cancel = self.athena.queue.enter(&ticket);
            let Some(execution) = self.begin(ticket.id.clone()).await? else { return Ok(()) };
            let executed = self.within(&execution, cancel, spent.clone()).await;
            // Its place is free before its end wakes those who wait.
            drop(held);
            let ended = match executed {
                Ok(ended) => self.succeed(task, ticket.id.clone(), ended).await,
                Err(error) => Err(error),
            };
            match ended {
                // Another one's commit came between: the statement did nothing yet, and looks again.
                Err(error) if error.message.starts_with(COMMIT_ERROR) && races < RACES_MAX => races += 1,
                ended => break ended,
            }
        };
        let Err(error) = ended else { return Ok(()) };
        // Nothing was written: all of it is the engine's time, also what its threads have not counted yet.
        let mut cost = Statistics { engine_ms: 0, ..execute::cost(&spent) };
        cost.divide(started.elapsed().as_millis() as i64);
        Ok(self.fail(task, ticket.id, error_types::failure(&error), cost).await?)
    }

    /// After a panic, a broken store, or the death of servers with it: the execution must not stay `RUNNING`.
    async fn buried(&self, lake: &Lake, task: &Task, reason: &str) {
        let id = Ticket::read(task).id;
        self.athena.queue.leave(&id);
        let message = format!("GENERIC_INTERNAL_ERROR: {reason}");
        let failure = QueryFailure { category: 1, error_type: 0, retryable: true, message };
        let states = self.athena.states.clone();
        let marked = lake.store.write(move |tx| {
            let Some(mut execution) = sql::execution(tx, &id)?.filter(|execution| !execution.state.is_final()) else {
                return Ok(());
            };
            let state = fail(&mut execution, failure);
            states.end(tx, execution, state)
        });
        if let Err(error) = marked.await {
            tracing::error!(%error, "an execution's failure could not be recorded");
        }
    }
}

/// A place in the queue, given back when it is dropped.
struct Held<'a> {
    queue: &'a Queue,
    id: &'a str,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.queue.leave(self.id);
    }
}
