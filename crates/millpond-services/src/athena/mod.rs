//! Athena: SQL over the lake's tables.
//!
//! An execution is a row and a task in one transaction. The task's worker runs the statement on the engine, writes the result to a blob, and in
//! one transaction names it (`ID.csv` or `ID.txt`, and its `.metadata`), ends the execution, emits its event, and finishes the task. So a query
//! that was accepted is run, whatever happens to the process; and a result is there exactly when its execution says `SUCCEEDED`.

mod catalogs;
mod direct;
mod error;
mod error_types;
mod execute;
mod executions;
mod model;
mod named;
mod run;
mod sql;
mod tags;
mod workgroups;

pub use direct::{COMPONENT as DIRECT_COMPONENT, DirectAnswer, DirectError, DirectQuery, DirectRows};
pub use error::AthenaError;
pub use executions::{Results, StartQuery};
pub use model::{
    Execution, NamedQuery, OutputColumn, Page, QueryFailure, State, StatementKind, Statistics, Workgroup, WorkgroupConfiguration,
};
pub use named::NewNamedQuery;
pub use run::Runner;
pub use workgroups::{ENGINE_VERSION, PRIMARY, WorkgroupUpdate};

use crate::lake::Lake;
use millpond_engine::query::Engine;
use millpond_engine::table::TableSource;
use millpond_store::Component;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

/// Athena's tables.
pub const COMPONENT: Component = Component { name: "athena", migrations: &[include_str!("schema.sql")] };

/// The service; clones share it.
#[derive(Debug, Clone)]
pub struct Athena {
    lake: Lake,
    engine: Arc<Engine>,
    tables: Arc<dyn TableSource>,
    /// Of the executions that run now.
    running: Arc<Mutex<HashMap<String, CancellationToken>>>,
}

impl Athena {
    /// Athena over a lake, with the engine that runs its statements and the catalog that they see.
    pub fn new(lake: Lake, engine: Arc<Engine>, tables: Arc<dyn TableSource>) -> Self {
        Self { lake, engine, tables, running: Arc::default() }
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
