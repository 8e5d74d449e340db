//! Workers: for each kind of task a loop that leases and does it.
//!
//! A loop sleeps until a commit adds a task (or frees a key), or until the next one falls due; nothing polls. A handler puts its result and
//! [`Tx::finish_task`] into one transaction. Where it returns without having finished the task, the loop finishes it; where it fails, the task
//! is put back or buried with the reason; a panic is a failure.

use crate::lake::Lake;
use async_trait::async_trait;
use millpond_store::task::{Task, next_due_ms};
use millpond_store::{Store, StoreError, Tx};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why a task could not be done, or a delivery not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For people: what went wrong, where, what to do.
    pub reason: String,
    /// Whether another try can help.
    pub retry: bool,
    /// When to try again, in milliseconds from now; absent: with exponential backoff.
    pub after_ms: Option<i64>,
    /// Whether it counts among the failures after which a task is dead.
    pub counts: bool,
    /// The code that a dead letter carries, where the sender's documentation has one: `NO_PERMISSIONS`.
    pub code: Option<&'static str>,
}

impl Failure {
    /// Another try may help.
    pub fn transient(reason: impl std::fmt::Display) -> Self {
        Self { reason: reason.to_string(), retry: true, after_ms: None, counts: true, code: None }
    }

    /// No other try can help.
    pub fn lasting(reason: impl std::fmt::Display) -> Self {
        Self { retry: false, ..Self::transient(reason) }
    }

    /// The next try comes so many milliseconds from now.
    pub fn after(mut self, ms: i64) -> Self {
        self.after_ms = Some(ms);
        self
    }

    /// The next try comes so many milliseconds from now, and this one is not counted.
    pub fn postponed(mut self, ms: i64) -> Self {
        (self.after_ms, self.counts) = (Some(ms), false);
        self
    }

    /// The code that a dead letter carries.
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::transient(error)
    }
}

/// Does the tasks of one kind.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Which tasks.
    fn kind(&self) -> &'static str;

    /// How many at the same time.
    fn concurrency(&self) -> usize {
        1
    }

    /// Leases the tasks to do next, `free` at the most. By default those that wait the longest.
    fn lease(&self, tx: &Tx<'_>, free: usize) -> Result<Vec<Task>, StoreError> {
        tx.lease_tasks(self.kind(), free)
    }

    /// So many processes may die with a task before it is given up: what it does may be what ends them. `None` where it does nothing with what
    /// others wrote that could.
    fn deaths_max(&self) -> Option<u32> {
        None
    }

    /// What the handler's service does at once ([`at_once`]), where it does so.
    fn under_way(&self) -> Option<TaskTracker> {
        None
    }

    /// Does one task. Finishes it in the transaction that holds the result, where there is one.
    async fn run(&self, lake: &Lake, task: &Task) -> Result<(), Failure>;

    /// Called after a failure was recorded for good: the place to mark what the task was about as failed. By default nothing.
    async fn buried(&self, _lake: &Lake, _task: &Task, _reason: &str) {}
}

/// The running workers.
#[derive(Debug)]
pub struct Workers {
    store: Store,
    stop: CancellationToken,
    loops: TaskTracker,
    under_way: Vec<TaskTracker>,
}

impl Workers {
    /// Starts a loop for each handler.
    pub fn start(lake: &Lake, handlers: Vec<Arc<dyn Handler>>) -> Self {
        let (stop, loops) = (CancellationToken::new(), TaskTracker::new());
        let under_way = handlers.iter().filter_map(|handler| handler.under_way()).collect();
        for handler in handlers {
            loops.spawn(run(lake.clone(), handler, stop.clone(), loops.clone()));
        }
        loops.close();
        Self { store: lake.store.clone(), stop, loops, under_way }
    }

    /// Leases no more tasks, and waits for those under way up to `patience`. What is then still running is taken up by the next start.
    pub async fn stop(self, patience: Duration) {
        self.stop.cancel();
        let ended = async {
            self.loops.wait().await;
            for tracker in &self.under_way {
                tracker.close();
                tracker.wait().await;
            }
        };
        let _ = tokio::time::timeout(patience, ended).await;
        if let Err(error) = self.store.write(|tx| tx.release_tasks()).await {
            tracing::error!(%error, "tasks under way could not be given back");
        }
    }
}

async fn run(lake: Lake, handler: Arc<dyn Handler>, stop: CancellationToken, tracker: TaskTracker) {
    let mut changes = lake.store.task_changes();
    let permits = Arc::new(Semaphore::new(handler.concurrency()));
    let freed = Arc::new(Notify::new());
    while !stop.is_cancelled() {
        changes.mark_unchanged();
        let free = permits.available_permits();
        let leased = if free == 0 { Ok(Vec::new()) } else { lease(&lake.store, &handler, free).await };
        let leased = leased.unwrap_or_else(|error| {
            tracing::error!(kind = handler.kind(), %error, "tasks could not be leased");
            Vec::new()
        });
        let went_on = !leased.is_empty();
        for task in leased {
            let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
            let (lake, handler, freed) = (lake.clone(), handler.clone(), freed.clone());
            tracker.spawn(async move {
                act(&lake, handler, task).await;
                drop(permit);
                freed.notify_one();
            });
        }
        if went_on {
            continue;
        }
        let due = wait_for_due(&lake, handler.kind(), free);
        tokio::select! {
            () = stop.cancelled() => break,
            () = freed.notified() => {}
            changed = changes.changed() => if changed.is_err() { break },
            () = due => {}
        }
    }
}

async fn lease(store: &Store, handler: &Arc<dyn Handler>, free: usize) -> Result<Vec<Task>, StoreError> {
    let (now_ms, kind, handler) = (store.env().now_ms(), handler.kind(), handler.clone());
    // A look is cheaper than a write: most wake-ups are about other kinds.
    match store.read(move |connection| next_due_ms(connection, kind)).await? {
        Some(due_ms) if due_ms <= now_ms => store.write(move |tx| handler.lease(tx, free)).await,
        _ => Ok(Vec::new()),
    }
}

/// Returns when the next task of a kind falls due that is not due yet; never where there is none or no hand is free.
async fn wait_for_due(lake: &Lake, kind: &'static str, free: usize) {
    let due = lake.store.read(move |connection| next_due_ms(connection, kind)).await;
    match due {
        Ok(Some(due_ms)) if free > 0 => {
            // One that is due already waits for its key: the change that frees it wakes us, the pause only guards against a lost race.
            let wait_ms = (due_ms - lake.store.env().now_ms()).max(250);
            tokio::time::sleep(Duration::from_millis(wait_ms as u64)).await;
        }
        Ok(_) => std::future::pending().await,
        Err(error) => {
            tracing::error!(kind, %error, "the next task could not be looked up");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Does a task that its transaction has leased ([`Tx::enqueue_leased`]), without a detour through the handler's loop.
pub fn at_once(lake: &Lake, handler: Arc<dyn Handler>, task: Task, tracker: &TaskTracker) {
    let lake = lake.clone();
    tracker.spawn(async move { act(&lake, handler, task).await });
}

async fn act(lake: &Lake, handler: Arc<dyn Handler>, task: Task) {
    let (inner_lake, inner_handler, inner_task) = (lake.clone(), handler.clone(), task.clone());
    let outcome = match handler.deaths_max() {
        Some(most) if task.deaths >= most => Err(Failure::lasting(format!(
            "the server ended {} times, not as planned, while this was under way; it is not tried again",
            task.deaths
        ))),
        _ => {
            let acted = tokio::spawn(async move { inner_handler.run(&inner_lake, &inner_task).await }).await;
            acted.unwrap_or_else(|_| Err(Failure::lasting("an internal fault ended it; the log says more")))
        }
    };
    let held = task.clone();
    let recorded = match &outcome {
        Ok(()) => lake.store.write(move |tx| tx.finish_task(&held).map(|()| false)).await,
        Err(failure) => {
            match failure.counts {
                true => tracing::warn!(
                    kind = task.kind,
                    id = task.id,
                    reason = failure.reason,
                    retry = failure.retry,
                    "a task failed"
                ),
                false => tracing::debug!(kind = task.kind, id = task.id, reason = failure.reason, "a task was postponed"),
            }
            let failure = failure.clone();
            let record = move |tx: &Tx<'_>| match failure.after_ms.filter(|_| failure.retry) {
                Some(after_ms) => tx.fail_task_until(&held, &failure.reason, tx.now_ms() + after_ms, failure.counts),
                None => tx.fail_task(&held, &failure.reason, failure.retry),
            };
            lake.store.write(record).await
        }
    };
    match (recorded, outcome) {
        (Ok(true), Err(failure)) => handler.buried(lake, &task, &failure.reason).await,
        // The usual end: the handler finished the task together with its result.
        (Ok(_) | Err(StoreError::LeaseLost(_)), _) => {}
        (Err(error), _) => tracing::error!(kind = task.kind, id = task.id, %error, "a task's end could not be recorded"),
    }
}
