//! How long a run may take: the `Timeout` of a job or a run, "the maximum time that a job run can consume resources" (Glue API reference, "Job runs").
//! A run that waits for others, or for one of the machine's places for scripts, consumes none.

use super::rows::JobRun;
use crate::lake::items::{ItemLoad, ItemLoader, LoadError, Loaded};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// When a run has taken as long as it may; one that has not begun begins now. `now_ms`: milliseconds since the epoch.
pub(super) fn deadline(run: &JobRun, now_ms: i64) -> Instant {
    let since = Duration::from_millis(run.begun_ms.map_or(0, |begun| now_ms - begun).max(0) as u64);
    Instant::now() + limit(run).saturating_sub(since)
}

/// How long a run may take in all.
pub(super) fn limit(run: &JobRun) -> Duration {
    Duration::from_secs(60 * run.spec.timeout_minutes().max(1) as u64)
}

/// What ends a try of a run before it is done. A try that goes on after a crash has all of its time again: for as long as the lake was down the run consumed
/// nothing.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub deadline: Instant,
    pub stop: CancellationToken,
}

impl Bounds {
    /// Of a try that begins now.
    pub fn of(run: &JobRun, stop: &CancellationToken) -> Self {
        Self { deadline: Instant::now() + limit(run), stop: stop.clone() }
    }
}

/// Loads items until the end, the stop, or the deadline; then `None`, and some of them may have been put.
pub(super) async fn load_within(bounds: &Bounds, loader: &dyn ItemLoader, load: &ItemLoad) -> Result<Option<Loaded>, LoadError> {
    let inner = bounds.stop.child_token();
    let mut loading = std::pin::pin!(loader.load(load, &inner));
    tokio::select! {
        loaded = &mut loading => loaded.map(Some),
        () = tokio::time::sleep_until(bounds.deadline) => {
            inner.cancel();
            // What is done just now is done.
            Ok(loading.await.ok())
        }
    }
}
