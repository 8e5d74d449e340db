//! Lines for log streams that belong to a change of the lake: they are committed with it, and written to the logs (another database) by a task,
//! once.

use crate::runtime::Failure;
use async_trait::async_trait;
use millpond_core::log::Line;
use millpond_store::task::{NewTask, Task};
use millpond_store::{StoreError, Tx};
use serde::{Deserialize, Serialize};

/// Tasks that write lines.
pub const WRITE: &str = "logs.write";

/// Logs that gather lines before they write them.
#[async_trait]
pub trait Flush: Send + Sync + std::fmt::Debug {
    /// Waits until all lines that were given so far can be read.
    async fn flush(&self);
}

/// The lines of one task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lines {
    /// The group.
    pub group: String,
    /// Whether the group is made where it is missing, as the stream always is.
    pub makes_group: bool,
    /// The stream.
    pub stream: String,
    /// Times in milliseconds since the epoch, and texts.
    pub lines: Vec<(i64, String)>,
}

impl Lines {
    /// Those of a task of the kind [`WRITE`].
    ///
    /// # Errors
    /// It is not one.
    pub fn of(task: &Task) -> Result<Self, Failure> {
        serde_json::from_value(task.payload.clone()).map_err(Failure::lasting)
    }
}

/// Commits lines with the change that they tell of. Group and stream are made where they are missing.
pub fn write(tx: &Tx<'_>, group: &str, stream: &str, lines: &[Line]) -> Result<(), StoreError> {
    commit(tx, group, true, stream, lines)
}

/// Commits lines for a group that its owner made, and that is not made again where it is deleted meanwhile.
pub fn write_to_existing(tx: &Tx<'_>, group: &str, stream: &str, lines: &[Line]) -> Result<(), StoreError> {
    commit(tx, group, false, stream, lines)
}

fn commit(tx: &Tx<'_>, group: &str, makes_group: bool, stream: &str, lines: &[Line]) -> Result<(), StoreError> {
    let lines: Vec<_> = lines.iter().filter(|line| !line.text.is_empty()).map(|line| (line.time_ms, line.text.clone())).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let lines = Lines { group: group.into(), makes_group, stream: stream.into(), lines };
    tx.enqueue(&NewTask::new(WRITE, lines).failures_max(1000)).map(|_| ())
}
