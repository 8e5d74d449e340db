//! CloudWatch Logs: groups of streams of lines.
//!
//! Logs have a store of their own (`logs/` in the lake's directory, with its own writer thread): a function that prints a hundred megabytes does
//! not hold up an upload. Lines come in three ways:
//! - [`Logs::put_events`] is answered after the lines are synced;
//! - [`Logs::sink`] takes the lines of functions: it never blocks, holds back a bounded amount, writes in batches, and says in the stream how much
//!   it had to drop;
//! - lines that belong to a change of the lake (a crawl's end, an event that a rule sends to a group) are a task of the lake, committed with the
//!   change ([`crate::lake::log`]); [`deliver`] writes them here, once.
//!
//! What is deleted or has outlived its retention disappears at once for readers, and from the disk in small steps ([`sweep`]).

mod deliver;
mod error;
mod groups;
mod pattern;
mod put;
mod read;
mod scan;
mod sink;
mod sql;
mod streams;
mod sweep;
mod tags;

pub use deliver::{LogGroupTarget, WriteHandler};
pub use error::LogsError;
pub use groups::{Group, GroupFilter, GroupQuery, NewGroup};
pub use pattern::{FilterPattern, PatternError};
pub use put::{Event, Put};
pub use read::{FilterQuery, Filtered, FoundEvent, GetQuery, Got, GotEvent, Match};
pub use streams::{Stream, StreamOrder, StreamQuery};

use crate::lake::Lake;
use crate::runtime::Workers;
use async_trait::async_trait;
use millpond_core::arn::{Arn, Place};
use millpond_core::env::SharedEnv;
use millpond_core::log::LogSink;
use millpond_store::{Component, Store, StoreError};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;

/// The tables, in a store of their own.
const COMPONENT: Component = Component { name: "logs", migrations: &[include_str!("schema.sql")] };

/// Where that store is, in the lake's directory.
const DIRECTORY: &str = "logs";

/// The service; clones share it. When the last clone and the last [`Logs::sink`] are gone, what was held back is written and the store closes.
#[derive(Debug, Clone)]
pub struct Logs {
    /// The store of the logs, as a lake of its own: what its tasks work on.
    own: Lake,
    sink: Arc<sink::Sink>,
}

#[async_trait]
impl crate::lake::log::Flush for Logs {
    async fn flush(&self) {
        self.sink.flush().await;
    }
}

/// What a listing answers in one page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to ask with for the next page; absent on the last.
    pub next: Option<String>,
}

/// Where an event lies among all: by its time, and then in the order of commits. As text a number of 56 digits that sorts likewise; such numbers are
/// the ids of events, and what tokens are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Position {
    pub(crate) time_ms: i64,
    pub(crate) seq: i64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:056}", (u128::from(self.time_ms as u64) << 64) | u128::from(self.seq as u64))
    }
}

impl std::str::FromStr for Position {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number: u128 = text.parse()?;
        let (time_ms, seq) = ((number >> 64) as u64, number as u64);
        Ok(Self { time_ms: i64::try_from(time_ms).unwrap_or(i64::MAX), seq: i64::try_from(seq).unwrap_or(i64::MAX) })
    }
}

impl Logs {
    /// Opens (or makes) the logs of the lake in `directory`. Blocks; must be called in a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it open.
    pub fn open(directory: &Path, place: Arc<Place>, env: SharedEnv) -> Result<Self, StoreError> {
        let store = Store::open_shrinking(&directory.join(DIRECTORY), &[COMPONENT], env)?;
        let sink = sink::Sink::start(store.clone());
        Ok(Self { own: Lake { store, place }, sink })
    }

    /// Takes the lines of whoever must not wait.
    pub fn sink(&self) -> Arc<dyn LogSink> {
        self.sink.clone()
    }

    /// Waits until the lines that the sink has taken so far are written.
    pub async fn flush(&self) {
        self.sink.flush().await;
    }

    /// Starts what removes deleted and expired events. Must be called in a tokio runtime.
    pub fn start_sweeping(&self) -> Workers {
        sweep::start(&self.own)
    }

    pub(super) fn store(&self) -> &Store {
        &self.own.store
    }

    fn place(&self) -> &Place {
        &self.own.place
    }

    /// The ARN of a group, without `:*`.
    pub fn group_arn(&self, name: &str) -> String {
        self.place().arn("logs", format_args!("log-group:{name}")).to_string()
    }

    /// The name of the group that `identifier` (a name or an ARN, with or without `:*` at its end) means.
    ///
    /// # Errors
    /// It is an ARN, but not that of a log group of this lake.
    pub fn group_name(&self, identifier: &str) -> Result<String, LogsError> {
        if !identifier.starts_with("arn:") {
            return Ok(identifier.to_owned());
        }
        let parsed = identifier.parse::<Arn>().ok();
        let name = parsed.as_ref().and_then(|arn| group_of(arn, self.place()));
        name.map(str::to_owned).ok_or_else(|| {
            let form = self.group_arn("NAME");
            LogsError::invalid(format!("'{identifier}' is not the ARN of a log group of this lake, which looks like {form}"))
        })
    }
}

/// The name of the group that an ARN means: `arn:aws:logs:REGION:ACCOUNT:log-group:NAME`, with or without `:*`.
fn group_of<'a>(arn: &'a Arn, place: &Place) -> Option<&'a str> {
    let ours = arn.service == "logs" && arn.region == place.region && arn.account == place.account;
    let name = arn.resource.strip_prefix("log-group:").filter(|_| ours)?;
    let name = name.strip_suffix(":*").unwrap_or(name);
    (!name.is_empty() && !name.contains(':')).then_some(name)
}

fn found_group(connection: &Connection, name: &str) -> Result<sql::GroupRow, LogsError> {
    sql::group(connection, name)?.ok_or(LogsError::NoGroup)
}

#[cfg(test)]
mod tests;
