//! Statements whose rows go straight to the one who asked, over a connection that it holds: the PostgreSQL protocol's.
//!
//! A query is an execution as any other (history, workgroup, limits, `StopQueryExecution`, events), but it writes no result and is no task: it
//! begins when it is asked for, and ends with its reader. It is known as running by a row of its own beside the execution's, so that the
//! next start of the lake ends what a crash left. Every other statement goes the usual way, and its answer is what the API would give.

mod sql;

use super::catalogs::CATALOG;
use super::execute::{Context, RunError};
use super::model::{Details, Execution, OutputColumn, QueryFailure, State, Statistics};
use super::queue::Ticket;
use super::workgroups::{PRIMARY, require};
use super::{Athena, AthenaError, ResultFileKind, StartQuery, error_types};
use millpond_core::env::EnvExt;
use millpond_engine::query::{QueryError, QueryStream};
use millpond_engine::sql::{self as dialect, Statement};
use millpond_store::{Component, StoreError};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// The table of direct executions.
pub const COMPONENT: Component = Component { name: "athena_direct", migrations: &[include_str!("schema.sql")] };

/// Rows of what is not a query in itself: they are collected before they are given.
const LINES_MAX: usize = 100_000;

/// A statement for [`Athena::direct`].
#[derive(Debug, Clone, Default)]
pub struct DirectQuery {
    /// One statement.
    pub query: String,
    /// The database of unqualified names.
    pub database: Option<String>,
    /// `primary` where absent.
    pub workgroup: Option<String>,
    /// SQL literals for the statement's `?`.
    pub parameters: Vec<String>,
}

/// Why a statement failed, as Athena words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectError {
    /// It was stopped.
    #[error("Query cancelled by user")]
    Cancelled,
    /// Everything else.
    #[error("{0}")]
    Failed(String),
}

impl From<QueryError> for DirectError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Cancelled => Self::Cancelled,
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<AthenaError> for DirectError {
    fn from(error: AthenaError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<StoreError> for DirectError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What a statement answers.
#[derive(Debug)]
pub enum DirectAnswer {
    /// A query's rows, as they come.
    Rows(Box<DirectRows>),
    /// An execution that ended, whose lines (where it has any) are its result.
    Ended {
        /// The execution.
        execution: Box<Execution>,
        /// Rows of text, as `GetQueryResults` gives them; without those that are all header.
        lines: Vec<Vec<Option<String>>>,
    },
}

/// A running query. What is not read to its end and told so ([`DirectRows::succeed`], [`DirectRows::fail`]) counts as stopped.
#[derive(Debug)]
pub struct DirectRows {
    running: Running,
    /// The rows.
    pub stream: QueryStream,
    started: Instant,
}

/// An execution that runs. Dropping it ends it as stopped.
#[derive(Debug)]
struct Running {
    athena: Athena,
    /// `None` once somebody else ends it.
    execution: Option<Box<Execution>>,
}

impl Running {
    fn execution(&self) -> &Execution {
        self.execution.as_ref().expect("it is taken only to end it")
    }
}

impl Athena {
    /// Runs a statement; its rows go to the caller. `cancel` stops it, as `StopQueryExecution` does.
    ///
    /// # Errors
    /// Everything that is wrong with it; what goes wrong while rows are read comes through their stream.
    pub async fn direct(&self, query: DirectQuery, cancel: CancellationToken) -> Result<DirectAnswer, DirectError> {
        match dialect::parse(&query.query)? {
            Statement::Query { sql } => self.direct_rows(query, sql, cancel).await,
            _ => self.direct_statement(query, cancel).await,
        }
    }

    async fn direct_rows(&self, query: DirectQuery, sql: String, cancel: CancellationToken) -> Result<DirectAnswer, DirectError> {
        dialect::check_query(&sql)?;
        // In a task of its own: whoever stops waiting here leaves a row behind otherwise.
        let begun = tokio::spawn(self.clone().begin_direct(query, cancel.clone()));
        let mut running = begun.await.map_err(|_| DirectError::Failed("the query could not be begun".into()))??;
        let started = Instant::now();
        let request = Context::new(self, running.execution(), cancel).limited(&sql).await;
        match Box::pin(self.engine.query(request)).await {
            Ok(stream) => Ok(DirectAnswer::Rows(Box::new(DirectRows { running, stream, started }))),
            Err(error) => {
                if let Some(execution) = running.execution.take() {
                    self.end_direct(*execution, Vec::new(), Some(&error)).await?;
                }
                Err(error.into())
            }
        }
    }

    /// Any other statement: as the API does it.
    async fn direct_statement(&self, query: DirectQuery, cancel: CancellationToken) -> Result<DirectAnswer, DirectError> {
        let DirectQuery { query, database, workgroup, parameters } = query;
        let id = self.start(StartQuery { query, database, workgroup, parameters, ..StartQuery::default() }).await?;
        let execution = tokio::select! {
            ended = self.ended_execution(&id) => ended?,
            () = cancel.cancelled() => {
                self.stop(&id).await?;
                self.ended_execution(&id).await?
            }
        };
        match execution.state {
            State::Succeeded => {}
            State::Cancelled => return Err(DirectError::Cancelled),
            _ => return Err(DirectError::Failed(execution.reason.unwrap_or_else(|| "the query failed without a reason".into()))),
        }
        let lines = match (execution.is_text(), execution.substatement.as_str()) {
            (true, _) => self.lines(&id).await?,
            // `EXECUTE` of a query: its first row is the header.
            (false, "SELECT") => self.lines(&id).await?.into_iter().skip(1).collect(),
            (false, _) => Vec::new(),
        };
        Ok(DirectAnswer::Ended { execution: Box::new(execution), lines })
    }

    async fn lines(&self, id: &str) -> Result<Vec<Vec<Option<String>>>, DirectError> {
        let (mut lines, mut token) = (Vec::new(), None);
        loop {
            let page = self.results(id, ResultFileKind::Rows, token.as_deref(), None).await?;
            lines.extend(page.rows);
            if lines.len() > LINES_MAX {
                let message = format!(
                    "NOT_SUPPORTED: more than {LINES_MAX} rows by EXECUTE; send the query itself, whose rows are not collected"
                );
                return Err(DirectError::Failed(message));
            }
            token = page.next;
            if token.is_none() {
                return Ok(lines);
            }
        }
    }

    /// The execution, running, in one transaction.
    async fn begin_direct(self, query: DirectQuery, cancel: CancellationToken) -> Result<Running, DirectError> {
        let states = self.states.clone();
        let begun = self.lake.store.write(move |tx| {
            let workgroup = require(tx, query.workgroup.as_deref().unwrap_or(PRIMARY))?;
            if !workgroup.enabled {
                return Err(AthenaError::invalid(format!("WorkGroup {} is disabled.", workgroup.name)));
            }
            let execution = Execution {
                id: tx.env().uuid(),
                query: query.query,
                workgroup: workgroup.name,
                database: query.database.filter(|database| !database.is_empty()),
                catalog: Some(CATALOG.to_owned()),
                parameters: query.parameters,
                kind: super::StatementKind::Dml,
                substatement: "SELECT".to_owned(),
                // There is no object.
                output: String::new(),
                encryption: None,
                state: State::Running,
                reason: None,
                failure: None,
                submitted_ms: tx.now_ms(),
                completed_ms: None,
                statistics: Statistics::default(),
                columns: Vec::new(),
                update_count: None,
                details: Details::default(),
            };
            super::sql::insert_execution(tx, &execution, None)?;
            sql::insert(tx, &execution.id)?;
            states.announce(tx, &execution, Some(State::Queued))?;
            Ok(execution)
        });
        let execution = begun.await?;
        self.queue.hold(&Ticket::of(&execution), cancel);
        Ok(Running { athena: self, execution: Some(Box::new(execution)) })
    }

    async fn end_direct(
        &self,
        ended: Execution,
        columns: Vec<OutputColumn>,
        error: Option<&QueryError>,
    ) -> Result<(), StoreError> {
        self.queue.leave(&ended.id);
        let states = self.states.clone();
        let (state, failure) = match error {
            None => (State::Succeeded, None),
            Some(QueryError::Cancelled) => (State::Cancelled, None),
            Some(error) => (State::Failed, Some(error_types::failure(&RunError::from(error.clone())))),
        };
        let ended = self.lake.store.write(move |tx| {
            sql::delete(tx, &ended.id)?;
            // Stopped by the API meanwhile, or forgotten.
            let Some(mut execution) = super::sql::execution(tx, &ended.id)?.filter(|execution| !execution.state.is_final())
            else {
                return Ok(());
            };
            execution.statistics = ended.statistics;
            execution.columns = columns;
            execution.reason = match (&failure, state) {
                (Some(failure), _) => Some(failure.message.clone()),
                (None, State::Cancelled) => Some("Query cancelled by user".to_owned()),
                (None, _) => None,
            };
            execution.failure = failure;
            states.end(tx, execution, state)
        });
        ended.await
    }

    /// Ends what the connections of a former process ran. To be called once, before there are new ones.
    ///
    /// # Errors
    /// The store's.
    pub async fn end_lost_direct(&self) -> Result<(), StoreError> {
        let states = self.states.clone();
        let ended = self.lake.store.write(move |tx| {
            for id in sql::all(tx)? {
                sql::delete(tx, &id)?;
                let Some(mut execution) = super::sql::execution(tx, &id)?.filter(|execution| !execution.state.is_final()) else {
                    continue;
                };
                let message = "The lake was stopped while the query ran".to_owned();
                execution.reason = Some(message.clone());
                execution.failure = Some(QueryFailure { category: 1, error_type: 200, retryable: true, message });
                states.end(tx, execution, State::Failed)?;
            }
            Ok(())
        });
        ended.await
    }
}

impl DirectRows {
    /// Ends it well, after its last row.
    ///
    /// # Errors
    /// The store's.
    pub async fn succeed(self) -> Result<(), StoreError> {
        self.end(None).await
    }

    /// Ends it with the error that its stream gave.
    ///
    /// # Errors
    /// The store's.
    pub async fn fail(self, error: QueryError) -> Result<(), StoreError> {
        self.end(Some(error)).await
    }

    async fn end(mut self, error: Option<QueryError>) -> Result<(), StoreError> {
        self.count();
        let Some(execution) = self.running.execution.take() else { return Ok(()) };
        let columns = self.stream.columns().iter().map(OutputColumn::from).collect();
        let athena = self.running.athena.clone();
        athena.end_direct(*execution, columns, error.as_ref()).await
    }

    /// Writes into the execution what it cost so far.
    fn count(&mut self) {
        let Some(execution) = &mut self.running.execution else { return };
        let found = self.stream.statistics();
        let elapsed_ms = self.started.elapsed().as_millis() as i64;
        let engine_ms = ((found.planning_ms() + found.execution_ms()) as i64).min(elapsed_ms);
        execution.statistics = Statistics {
            scanned_bytes: found.scanned_bytes(),
            planning_ms: found.planning_ms() as i64,
            engine_ms,
            // The reader's time too.
            service_ms: elapsed_ms - engine_ms,
            rows: found.rows(),
            ..execution.statistics
        };
    }
}

impl Drop for DirectRows {
    fn drop(&mut self) {
        self.count();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(execution) = self.execution.take() else { return };
        let athena = self.athena.clone();
        // Outside of a runtime the process is ending, and the next start does it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = athena.end_direct(*execution, Vec::new(), Some(&QueryError::Cancelled)).await {
                    tracing::error!(%error, "the end of a query could not be recorded");
                }
            });
        }
    }
}
