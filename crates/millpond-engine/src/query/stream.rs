//! A running query: its batches, its columns and what it cost so far.

use super::engine::{AbortOnDrop, Plans};
use super::error::QueryError;
use super::plan::Planned;
use super::stages::{self, Stage};
use crate::result::ResultColumn;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{Stream, StreamExt};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Batches computed ahead of the reader.
const AHEAD: usize = 2;

/// The plan that runs now.
type Running = Arc<Mutex<Arc<dyn ExecutionPlan>>>;

/// What the queries of a statement cost together; grows while they run.
#[derive(Debug, Default)]
pub struct QueryStatistics {
    scanned_bytes: AtomicU64,
    planning_us: AtomicU64,
    execution_us: AtomicU64,
    rows: AtomicU64,
}

impl QueryStatistics {
    /// Bytes read from the lake's objects: Athena's `DataScannedInBytes`.
    pub fn scanned_bytes(&self) -> u64 {
        self.scanned_bytes.load(Ordering::Relaxed)
    }

    /// Milliseconds of parsing and planning: `QueryPlanningTimeInMillis`.
    pub fn planning_ms(&self) -> u64 {
        self.planning_us.load(Ordering::Relaxed) / 1000
    }

    /// Milliseconds from the end of planning to the last batch: `EngineExecutionTimeInMillis` less planning. Queries that run at the same time add up.
    pub fn execution_ms(&self) -> u64 {
        self.execution_us.load(Ordering::Relaxed) / 1000
    }

    /// Rows given so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Adds, and gives the new total.
    pub(crate) fn add_scanned(&self, bytes: u64) -> u64 {
        self.scanned_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    pub(crate) fn forget_scanned(&self, bytes: u64) {
        self.scanned_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_planning(&self, elapsed: Duration) {
        self.planning_us.fetch_add(micros(elapsed), Ordering::Relaxed);
    }

    pub(crate) fn add_execution(&self, elapsed: Duration) {
        self.execution_us.fetch_add(micros(elapsed), Ordering::Relaxed);
    }
}

fn micros(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

/// The batches of a running query. Dropping it stops the query.
pub struct QueryStream {
    columns: Arc<[ResultColumn]>,
    schema: SchemaRef,
    statistics: Arc<QueryStatistics>,
    batches: mpsc::Receiver<Result<RecordBatch, QueryError>>,
    /// Set when all was sent. A channel that closes before is a task that panicked, and not the end of the result.
    finished: Arc<AtomicBool>,
    plan: Running,
    _task: AbortOnDrop<()>,
}

impl std::fmt::Debug for QueryStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryStream").field("schema", &self.schema).field("statistics", &self.statistics).finish()
    }
}

impl QueryStream {
    pub(crate) fn start(
        runtime: &tokio::runtime::Handle,
        planned: Planned,
        again: Option<Plans>,
        statistics: Arc<QueryStatistics>,
        cancel: CancellationToken,
    ) -> Self {
        let schema = Arc::clone(&planned.schema);
        let columns = ResultColumn::of_schema(&schema).into();
        let (sender, batches) = mpsc::channel(AHEAD);
        let counted = Arc::clone(&statistics);
        let finished = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&finished);
        let plan = Arc::new(Mutex::new(Arc::clone(&planned.physical)));
        let running = Arc::clone(&plan);
        let task = runtime.spawn(async move {
            Run { statistics: counted, cancel, sender: &sender, running, counted: Instant::now(), has_given: false }
                .run(planned, again)
                .await;
            done.store(true, Ordering::Release);
        });
        Self { columns, schema, statistics, batches, finished, plan, _task: AbortOnDrop(task) }
    }

    /// The columns, with Athena's types.
    pub fn columns(&self) -> &Arc<[ResultColumn]> {
        &self.columns
    }

    /// The batches' Arrow schema. Names may repeat, as they may in SQL.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Counts that grow while the query runs; keep a clone to read them after the stream has ended.
    pub fn statistics(&self) -> &Arc<QueryStatistics> {
        &self.statistics
    }

    /// What the steps of the plan did so far.
    pub fn stages(&self) -> Stage {
        let plan = Arc::clone(&self.plan.lock().unwrap_or_else(PoisonError::into_inner));
        stages::of_plan(&plan)
    }

    /// All batches.
    ///
    /// # Errors
    /// The first that running meets.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, QueryError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch, QueryError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.batches.poll_recv(context) {
            Poll::Ready(None) if !self.finished.swap(true, Ordering::AcqRel) => {
                tracing::error!("a query's task panicked");
                Poll::Ready(Some(Err(QueryError::Internal("the query failed; the reason is in the server's log".into()))))
            }
            polled => polled,
        }
    }
}

/// Gives a query's batches to its reader.
struct Run<'a> {
    statistics: Arc<QueryStatistics>,
    cancel: CancellationToken,
    sender: &'a mpsc::Sender<Result<RecordBatch, QueryError>>,
    running: Running,
    /// Until when its time is counted.
    counted: Instant,
    /// Whether the reader has rows.
    has_given: bool,
}

impl Run<'_> {
    /// Runs a plan to its end. Where its rows are too wide, and none is given yet, it is planned again with fewer rows in a batch.
    async fn run(mut self, mut planned: Planned, again: Option<Plans>) {
        loop {
            let Err(error) = self.once(&planned).await else { return };
            let next = match &again {
                Some(plans) if !self.has_given => tokio::select! {
                    biased;
                    () = self.cancel.cancelled() => Err(QueryError::Cancelled),
                    next = plans.again(&planned, error) => next,
                },
                _ => Err(error),
            };
            match next {
                Ok(next) => planned = next,
                Err(error) => {
                    let _ = self.sender.send(Err(error)).await;
                    return;
                }
            }
            *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&planned.physical);
        }
    }

    /// Runs a plan. What still runs is stopped before an error is returned.
    async fn once(&mut self, planned: &Planned) -> Result<(), QueryError> {
        let stream = execute_stream(Arc::clone(&planned.physical), Arc::clone(&planned.context));
        let mut stream = stream.map_err(QueryError::from_execution)?;
        loop {
            let next = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(QueryError::Cancelled),
                next = stream.next() => next,
            };
            let now = Instant::now();
            self.statistics.add_execution(now.duration_since(self.counted));
            self.counted = now;
            let Some(batch) = next else { return Ok(()) };
            let batch = rename(batch.map_err(QueryError::from_execution)?, &planned.schema)?;
            if batch.num_rows() > 0 && !self.has_given {
                self.has_given = true;
                planned.begins_again().store(false, Ordering::Release);
            }
            self.statistics.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(QueryError::Cancelled),
                sent = self.sender.send(Ok(batch)) => match sent {
                    Ok(()) => {}
                    // Nobody reads any more.
                    Err(_) => return Ok(()),
                },
            }
        }
    }
}

/// The plan's own names are unique and partly made up; the result's are as written.
fn rename(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, QueryError> {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .map_err(|error| QueryError::Internal(format!("a batch does not fit the result's schema: {error}")))
}
