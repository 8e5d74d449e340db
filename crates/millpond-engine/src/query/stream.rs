//! A running query: its batches, its columns and what it cost so far.

use super::engine::AbortOnDrop;
use super::error::QueryError;
use super::plan::Planned;
use super::stages::{self, Stage};
use crate::result::ResultColumn;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{Stream, StreamExt};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Batches computed ahead of the reader.
const AHEAD: usize = 2;

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
    plan: Arc<dyn ExecutionPlan>,
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
        statistics: Arc<QueryStatistics>,
        cancel: CancellationToken,
    ) -> Self {
        let schema = Arc::clone(&planned.schema);
        let columns = ResultColumn::of_schema(&schema).into();
        let (sender, batches) = mpsc::channel(AHEAD);
        let counted = Arc::clone(&statistics);
        let finished = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&finished);
        let plan = Arc::clone(&planned.physical);
        let task = runtime.spawn(async move {
            run(planned, counted, cancel, &sender).await;
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
        stages::of_plan(&self.plan)
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

async fn run(
    planned: Planned,
    statistics: Arc<QueryStatistics>,
    cancel: CancellationToken,
    sender: &mpsc::Sender<Result<RecordBatch, QueryError>>,
) {
    let mut counted = Instant::now();
    let schema = Arc::clone(&planned.schema);
    let mut stream = match execute_stream(planned.physical, planned.context) {
        Ok(stream) => stream,
        Err(error) => {
            let _ = sender.send(Err(QueryError::from_execution(error))).await;
            return;
        }
    };
    loop {
        let next = tokio::select! {
            biased;
            () = cancel.cancelled() => Some(Err(QueryError::Cancelled)),
            next = stream.next() => next.map(|batch| {
                let batch = batch.map_err(QueryError::from_execution)?;
                rename(batch, &schema)
            }),
        };
        let now = Instant::now();
        statistics.add_execution(now.duration_since(counted));
        counted = now;
        let Some(item) = next else { return };
        let failed = item.is_err();
        if let Ok(batch) = &item {
            statistics.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        }
        if failed {
            // What still runs is stopped before the reader learns of the failure.
            drop(stream);
            let _ = sender.send(item).await;
            return;
        }
        let sent = tokio::select! {
            biased;
            () = cancel.cancelled() => {
                drop(stream);
                let _ = sender.send(Err(QueryError::Cancelled)).await;
                return;
            }
            sent = sender.send(item) => sent,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The plan's own names are unique and partly made up; the result's are as written.
fn rename(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, QueryError> {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .map_err(|error| QueryError::Internal(format!("a batch does not fit the result's schema: {error}")))
}
