//! The engine: the threads, memory and disk that all columnar work shares.
//!
//! Columnar work runs on a runtime of its own, so that a big query does not hold up a small request, with one bounded memory pool and
//! spilling to disk. Nothing is created before the first statement: an idle lake has no columnar threads, and starting one costs nothing.

use super::error::QueryError;
use super::functions::StatementLimits;
use super::memory::StatementPool;
use super::meter::MeteredStore;
use super::plan::{self, Given, Planned};
use super::session;
use super::stream::{QueryStatistics, QueryStream};
use super::view;
use crate::table::TableSource;
use arrow::datatypes::DataType;
use datafusion::execution::SessionState;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use millpond_core::catalog::{Column, Table};
use millpond_core::env::{SharedEnv, SystemEnv};
use object_store::ObjectStore;
use std::future::Future;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Bounds of the engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Memory that all running statements together may reserve; what can spill does, the rest fails with `EXCEEDED_LOCAL_MEMORY_LIMIT`.
    pub memory_bytes: usize,
    /// Memory that one statement may reserve of it.
    pub statement_memory_bytes: usize,
    /// Threads for columnar work, and partitions of work a statement.
    pub threads: usize,
    /// Where operators spill: a directory of this engine's alone, made with the first statement. What it holds is removed when an engine begins (a
    /// process that was killed leaves its files) and when it ends.
    pub spill_dir: PathBuf,
    /// Most bytes that spilled data may take on disk.
    pub spill_bytes_max: u64,
    /// Rows a batch.
    pub batch_size: usize,
    /// Most bytes of Parquet footers kept in memory.
    pub footer_cache_bytes: usize,
    /// Most bytes of unpacked pages of Parquet files kept in memory; 0 for none.
    pub page_cache_bytes: u64,
    /// The clock of `now()` and `current_date`.
    pub env: SharedEnv,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            statement_memory_bytes: 384 << 20,
            threads: std::thread::available_parallelism().map_or(2, NonZeroUsize::get),
            spill_dir: own_spill_dir(),
            spill_bytes_max: 100 << 30,
            batch_size: 8192,
            footer_cache_bytes: 32 << 20,
            page_cache_bytes: 64 << 20,
            env: Arc::new(SystemEnv),
        }
    }
}

/// A directory that no other engine has.
fn own_spill_dir() -> PathBuf {
    static ENGINES: AtomicUsize = AtomicUsize::new(0);
    let number = ENGINES.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("millpond-spill-{}-{number}", std::process::id()))
}

/// Removes what was spilled.
fn remove_spilled(directory: &Path) {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(dir = %directory.display(), %error, "what queries have spilled can't be removed");
        }
        _ => {}
    }
}

/// What one statement may use.
#[derive(Debug, Clone, Default)]
pub struct QueryLimits {
    /// A workgroup's `BytesScannedCutoffPerQuery`: reading more fails the query.
    pub scan_bytes_max: Option<u64>,
}

/// One query, ready to plan.
#[derive(Debug, Clone)]
pub struct QueryRequest {
    /// One `SELECT` (or `WITH`, `VALUES`, `TABLE`) statement of Athena's dialect.
    pub sql: String,
    /// The database of unqualified names (`QueryExecutionContext.Database`).
    pub database: Option<String>,
    /// The catalog to ask.
    pub catalog: Arc<dyn TableSource>,
    /// Athena's `ExecutionParameters`: SQL literals for the statement's `?`, in order.
    pub parameters: Vec<String>,
    /// Bounds of the statement that this query is of.
    pub limits: QueryLimits,
    /// What the statement has cost so far: its queries share it, and are limited together.
    pub statistics: Arc<QueryStatistics>,
    /// Stops planning and running.
    pub cancel: CancellationToken,
}

impl QueryRequest {
    /// A query without default database, parameters and limits.
    pub fn new(sql: impl Into<String>, catalog: Arc<dyn TableSource>) -> Self {
        Self {
            sql: sql.into(),
            database: None,
            catalog,
            parameters: Vec::new(),
            limits: QueryLimits::default(),
            statistics: Arc::default(),
            cancel: CancellationToken::new(),
        }
    }

    /// With a default database.
    pub fn in_database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into().to_lowercase());
        self
    }

    /// With execution parameters.
    pub fn with_parameters(mut self, parameters: Vec<String>) -> Self {
        self.parameters = parameters;
        self
    }
}

/// What is shared by all statements, made at the first one.
struct Shared {
    /// `Some` until the engine is dropped.
    runtime: Option<tokio::runtime::Runtime>,
    ground: Arc<Ground>,
    spill_dir: PathBuf,
}

/// What statements are planned with.
#[derive(Debug)]
struct Ground {
    environment: Arc<RuntimeEnv>,
    /// With all functions registered; cloned for each statement.
    state: SessionState,
    store: Arc<dyn ObjectStore>,
    env: SharedEnv,
    statement_memory_bytes: usize,
}

impl Ground {
    /// A session state for one statement, which reads through `store` and is stopped by `cancel`.
    fn state(&self, store: Arc<MeteredStore>, cancel: &CancellationToken) -> Result<SessionState, QueryError> {
        let pool = StatementPool::new(&self.environment.memory_pool, self.statement_memory_bytes);
        let pool: Arc<dyn MemoryPool> = Arc::new(pool);
        session::state_for_statement(&self.state, &self.environment, store, pool, &self.env, cancel.clone())
    }
}

/// A query that can be planned again.
pub(crate) struct Plans {
    ground: Arc<Ground>,
    request: QueryRequest,
    given: Given,
}

impl Plans {
    /// Plans the query, with at most so many rows in a batch.
    ///
    /// # Errors
    /// Everything that is wrong with the statement.
    pub(crate) async fn plan(&self, batch_rows: Option<usize>) -> Result<Planned, QueryError> {
        let request = &self.request;
        let statistics = Arc::clone(&request.statistics);
        let metered = Arc::new(MeteredStore::new(Arc::clone(&self.ground.store), statistics, request.limits.scan_bytes_max));
        let state = self.ground.state(metered, &request.cancel)?;
        StatementLimits::begins_again(state.config_options()).store(true, Ordering::Release);
        let few = batch_rows.map(|rows| plan::with_batch_rows(&state, rows));
        plan::plan(few.as_ref().unwrap_or(&state), request, &self.given).await
    }

    /// Plans the query again after `error`, which ended its first plan: with fewer rows in a batch, where they were too wide. What it has read until then
    /// is not counted.
    ///
    /// # Errors
    /// `error`, where it is another, or there is one row in a batch already; those of planning; the query's tables have changed.
    pub(crate) async fn again(&self, before: &Planned, error: QueryError) -> Result<Planned, QueryError> {
        let rows = before.context.session_config().batch_size();
        let QueryError::WideRows { fit, .. } = &error else { return Err(error) };
        if rows <= 1 {
            return Err(error);
        }
        let fewer = (*fit).min(rows / 2).max(1);
        tracing::debug!(%error, rows, fewer, "a query's rows are wide: it begins again with fewer in a batch");
        before.forget_scanned();
        let planned = self.plan(Some(fewer)).await?;
        if planned.schema != before.schema {
            return Err(QueryError::Source("the query's tables changed while it began; run it again".into()));
        }
        Ok(planned)
    }
}

/// Runs queries. Cheap to make; share it in an `Arc`.
pub struct Engine {
    config: EngineConfig,
    store: Arc<dyn ObjectStore>,
    shared: OnceLock<Shared>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", &self.config).field("started", &self.shared.get().is_some()).finish()
    }
}

impl Engine {
    /// An engine that reads `DataFile.blob` locations from `store`.
    pub fn new(config: EngineConfig, store: Arc<dyn ObjectStore>) -> Self {
        remove_spilled(&config.spill_dir);
        Self { config, store, shared: OnceLock::new() }
    }

    /// The bounds it was made with.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The store it reads.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The runtime for columnar work; other columnar work (crawls, conversions) belongs on it too.
    pub fn handle(&self) -> tokio::runtime::Handle {
        self.shared().runtime().handle().clone()
    }

    /// The memory pool that all columnar work shares: reserve large buffers here.
    pub fn memory_pool(&self) -> Arc<dyn MemoryPool> {
        Arc::clone(&self.shared().ground.environment.memory_pool)
    }

    #[cfg(test)]
    pub(crate) fn page_cache(&self) -> Option<Arc<crate::scan::PageCache>> {
        self.shared().ground.state.config().get_extension()
    }

    /// Plans the query and starts it. Batches are computed as the stream is polled (a few ahead); dropping the stream stops the query.
    ///
    /// # Errors
    /// Everything that is wrong with the statement; what goes wrong while running comes through the stream.
    pub async fn query(&self, request: QueryRequest) -> Result<QueryStream, QueryError> {
        self.query_over(request, Given::new()).await
    }

    /// As [`Engine::query`], with tables besides those of the catalog.
    pub(crate) async fn query_over(&self, request: QueryRequest, given: Given) -> Result<QueryStream, QueryError> {
        let started = Instant::now();
        let (statistics, cancel) = (Arc::clone(&request.statistics), request.cancel.clone());
        let plans = self.plans(request, given);
        // In a box: this is part of every statement's future.
        let planning = Box::pin(async move { Ok((plans.plan(None).await?, plans)) });
        let (planned, plans) = self.on_runtime(&cancel, planning).await?;
        statistics.add_planning(started.elapsed());
        Ok(self.start(planned, Some(plans), statistics, cancel))
    }

    /// Plans the query and does not run it: its catalog is asked as it would be.
    ///
    /// # Errors
    /// Everything that is wrong with the statement.
    pub async fn check(&self, request: QueryRequest) -> Result<(), QueryError> {
        let statistics = Arc::new(QueryStatistics::default());
        let metered = Arc::new(MeteredStore::new(Arc::clone(&self.store), statistics, None));
        let state = self.state_for(metered, &request.cancel)?;
        let cancel = request.cancel.clone();
        self.on_runtime(&cancel, async move { plan::plan(&state, &request, &Given::new()).await.map(drop) }).await
    }

    /// The columns that a query would give, without running it (for views).
    ///
    /// # Errors
    /// Everything that is wrong with the statement.
    pub async fn describe(&self, request: QueryRequest) -> Result<Vec<Column>, QueryError> {
        let statistics = Arc::new(QueryStatistics::default());
        let metered = Arc::new(MeteredStore::new(Arc::clone(&self.store), statistics, None));
        let state = self.state_for(metered, &request.cancel)?;
        let cancel = request.cancel.clone();
        self.on_runtime(&cancel, async move { plan::describe(&state, &request).await }).await
    }

    /// The columns of a table that a query's result becomes: each has a name, and a name of its own.
    pub(crate) async fn named_columns(&self, request: QueryRequest) -> Result<Vec<(String, DataType)>, QueryError> {
        let statistics = Arc::new(QueryStatistics::default());
        let metered = Arc::new(MeteredStore::new(Arc::clone(&self.store), statistics, None));
        let state = self.state_for(metered, &request.cancel)?;
        let cancel = request.cancel.clone();
        self.on_runtime(&cancel, async move { plan::named_columns(&state, &request).await }).await
    }

    /// The catalog entry of `CREATE VIEW database.name AS request.sql`.
    ///
    /// # Errors
    /// Everything that is wrong with the statement; a column without a name, or two of one name.
    pub async fn view(&self, request: QueryRequest, database: &str, name: &str) -> Result<Table, QueryError> {
        let statistics = Arc::new(QueryStatistics::default());
        let metered = Arc::new(MeteredStore::new(Arc::clone(&self.store), statistics, None));
        let state = self.state_for(metered, &request.cancel)?;
        let (sql, default) = (request.sql.clone(), request.database.clone().unwrap_or_default());
        let cancel = request.cancel.clone();
        let columns = self.on_runtime(&cancel, async move { plan::named_columns(&state, &request).await }).await?;
        Ok(view::table(database, name, &sql, &default, &columns))
    }

    /// A query that is about to be planned.
    pub(crate) fn plans(&self, request: QueryRequest, given: Given) -> Plans {
        Plans { ground: Arc::clone(&self.shared().ground), request, given }
    }

    /// Starts a plan on the engine's threads; where its rows are too wide, `again` plans it with fewer in a batch.
    pub(crate) fn start(
        &self,
        planned: Planned,
        again: Option<Plans>,
        statistics: Arc<QueryStatistics>,
        cancel: CancellationToken,
    ) -> QueryStream {
        QueryStream::start(self.shared().runtime().handle(), planned, again, statistics, cancel)
    }

    /// Runs planning work on the engine's threads, so that it never blocks the caller's.
    pub(crate) async fn on_runtime<T: Send + 'static>(
        &self,
        cancel: &CancellationToken,
        work: impl Future<Output = Result<T, QueryError>> + Send + 'static,
    ) -> Result<T, QueryError> {
        let task = AbortOnDrop(self.shared().runtime().spawn(work));
        tokio::pin!(task);
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(QueryError::Cancelled),
            joined = &mut task.0 => match joined {
                Ok(result) => result,
                Err(error) if error.is_cancelled() => Err(QueryError::Cancelled),
                Err(error) => {
                    tracing::error!(%error, "planning a query panicked");
                    Err(QueryError::Internal("planning the query failed; the reason is in the server's log".into()))
                }
            },
        }
    }

    /// A session state for one statement, which reads through `store` and is stopped by `cancel`.
    pub(crate) fn state_for(&self, store: Arc<MeteredStore>, cancel: &CancellationToken) -> Result<SessionState, QueryError> {
        self.shared().ground.state(store, cancel)
    }

    fn shared(&self) -> &Shared {
        self.shared.get_or_init(|| Shared::start(&self.config, &self.store))
    }
}

impl Shared {
    fn start(config: &EngineConfig, store: &Arc<dyn ObjectStore>) -> Self {
        let threads = config.threads.max(1);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("millpond-columnar")
            // Planning recurses over expressions of up to `bounds::CHAIN_MAX` operators; what is not used costs nothing.
            .thread_stack_size(16 << 20)
            .enable_all()
            .build()
            .expect("the system can start the columnar threads");
        let top = NonZeroUsize::new(5).expect("5 is not 0");
        let pool: Arc<dyn MemoryPool> = Arc::new(TrackConsumersPool::new(FairSpillPool::new(config.memory_bytes), top));
        // A directory that can't be made is reported by the first operator that has to spill.
        if let Err(error) = std::fs::create_dir_all(&config.spill_dir) {
            tracing::warn!(dir = %config.spill_dir.display(), %error, "queries can't spill: the spill directory can't be made");
        }
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![config.spill_dir.clone()]))
            .with_max_temp_directory_size(config.spill_bytes_max);
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(pool)
            .with_disk_manager_builder(disk)
            .with_metadata_cache_limit(config.footer_cache_bytes)
            .build_arc()
            .expect("a runtime environment without side effects can be built");
        let state = session::base_state(config, Arc::clone(&environment));
        let ground = Ground {
            environment,
            state,
            store: Arc::clone(store),
            env: Arc::clone(&config.env),
            statement_memory_bytes: config.statement_memory_bytes,
        };
        Self { runtime: Some(runtime), ground: Arc::new(ground), spill_dir: config.spill_dir.clone() }
    }

    fn runtime(&self) -> &tokio::runtime::Runtime {
        self.runtime.as_ref().expect("the runtime lives as long as the engine")
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A runtime may not be dropped inside another one's task by waiting.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        remove_spilled(&self.spill_dir);
    }
}

/// A task that ends with the one who waits for it.
pub(crate) struct AbortOnDrop<T>(pub(crate) tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
