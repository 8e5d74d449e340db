//! Athena: SQL over the lake's tables.
//!
//! An execution is a row and a task in one transaction. The task's worker runs the statement on the engine, writes the result to a blob, and in
//! one transaction names it (`ID.csv` or `ID.txt`, and its `.metadata`), ends the execution, emits its event, and finishes the task. So a query
//! that was accepted is run, whatever happens to the process; and a result is there exactly when its execution says `SUCCEEDED`.

mod catalogs;
mod cost;
mod direct;
mod error;
mod error_types;
mod execute;
mod executions;
mod model;
mod named;
mod prepared;
mod queue;
mod results;
mod reuse;
mod run;
mod sql;
mod start;
mod states;
mod tags;
mod workgroups;

pub use catalogs::NewDataCatalog;
pub use cost::{Cost, Usage};
pub use direct::{COMPONENT as DIRECT_COMPONENT, DirectAnswer, DirectError, DirectQuery, DirectRows};
pub use error::AthenaError;
pub use model::{
    DataCatalog, Details, Execution, NamedQuery, OutputColumn, Page, PreparedStatement, QueryFailure, State, StatementKind,
    Statistics, Workgroup, WorkgroupConfiguration,
};
pub use named::NewNamedQuery;
pub use prepared::NewPreparedStatement;
pub use queue::QueueLimits;
pub use results::{ResultFileKind, Results};
pub use run::Runner;
pub use start::{ReuseByAge, StartQuery};
pub use workgroups::{ENGINE_VERSION, PRIMARY, WorkgroupUpdate};

pub use millpond_engine::query::{Stage, StageNode};

use crate::lake::Lake;
use millpond_engine::query::Engine;
use millpond_engine::table::TableSource;
use millpond_store::Component;
use queue::Queue;
use states::States;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// Athena's tables.
pub const COMPONENT: Component =
    Component { name: "athena", migrations: &[include_str!("schema.sql"), include_str!("schema_2.sql")] };

/// The service; clones share it.
#[derive(Debug, Clone)]
pub struct Athena {
    lake: Lake,
    engine: Arc<Engine>,
    tables: Arc<dyn TableSource>,
    queue: Arc<Queue>,
    states: States,
    timeouts: Timeouts,
    /// Executions that were begun when they were submitted.
    under_way: TaskTracker,
}

/// How long executions may run (Athena user guide, "Service quotas").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Queries and statements that write.
    pub dml: Duration,
    /// Statements on the catalog.
    pub ddl: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { dml: Duration::from_secs(30 * 60), ddl: Duration::from_secs(600 * 60) }
    }
}

impl Athena {
    /// Athena over a lake, with the engine that runs its statements and the catalog that they see.
    pub fn new(lake: Lake, engine: Arc<Engine>, tables: Arc<dyn TableSource>) -> Self {
        let queue = Arc::new(Queue::new(QueueLimits::default()));
        let states = States::new(lake.place.clone());
        Self { lake, engine, tables, queue, states, timeouts: Timeouts::default(), under_way: TaskTracker::new() }
    }

    /// With other limits than the usual ones.
    pub fn with_limits(self, queue: QueueLimits, timeouts: Timeouts) -> Self {
        Self { queue: Arc::new(Queue::new(queue)), timeouts, ..self }
    }

    /// The worker that runs executions.
    pub fn runner(&self) -> Arc<Runner> {
        Arc::new(Runner::new(self.clone()))
    }
}

/// A page size: what was asked for, within what the operation allows.
fn page_size(asked: Option<i32>, most: usize) -> usize {
    asked.map_or(most, |asked| (asked.max(1) as usize).min(most))
}

/// The end of a listing by descending number: token and number are the same thing in text.
fn before(token: Option<&str>) -> Result<i64, AthenaError> {
    match token {
        None => Ok(i64::MAX),
        Some(token) => token.parse().map_err(|_| AthenaError::invalid("The NextToken is not one that this operation gave.")),
    }
}

/// A page of ids from one row more than was wanted.
fn id_page(mut rows: Vec<(i64, String)>, size: usize) -> Page<String> {
    let more = rows.len() > size;
    rows.truncate(size);
    let next = more.then(|| rows.last().map(|(seq, _)| seq.to_string())).flatten();
    Page { items: rows.into_iter().map(|(_, id)| id).collect(), next }
}

/// A page of what is listed by name, from one item more than was wanted; the token is the last name of the page before.
fn name_page<T>(mut items: Vec<T>, name: impl Fn(&T) -> &String, size: usize) -> Page<T> {
    let more = items.len() > size;
    items.truncate(size);
    let next = more.then(|| items.last().map(|item| name(item).clone())).flatten();
    Page { items, next }
}
