//! Starting, watching, stopping and reading query executions.

use super::catalogs::CATALOG;
use super::model::{Execution, OutputColumn, Page, State, Statistics};
use super::workgroups::{PRIMARY, check_location, require};
use super::{Athena, AthenaError, before, id_page, page_size, run, sql};
use crate::lake::objects;
use millpond_core::env::EnvExt;
use millpond_engine::query::QueryError;
use millpond_engine::result::{Row, read_page, read_text_page};
use millpond_engine::sql::{self as dialect, ResultName};
use millpond_store::Tx;
use millpond_store::task::NewTask;

/// A query to start.
#[derive(Debug, Clone, Default)]
pub struct StartQuery {
    /// One statement.
    pub query: String,
    /// The same token and query answer the same execution.
    pub token: Option<String>,
    /// The database of unqualified names.
    pub database: Option<String>,
    /// `AwsDataCatalog`, in any case, or absent.
    pub catalog: Option<String>,
    /// Where the result goes: `s3://bucket/prefix/`.
    pub output_location: Option<String>,
    /// In Athena's JSON form; kept.
    pub encryption: Option<serde_json::Value>,
    /// `primary` where absent.
    pub workgroup: Option<String>,
    /// SQL literals for the statement's `?`.
    pub parameters: Vec<String>,
}

/// A page of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// The first page of a `SELECT` begins with the header.
    pub rows: Vec<Row>,
    /// The columns.
    pub columns: Vec<OutputColumn>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// Rows of a page at the most, and where nothing is asked for (Athena API reference, `GetQueryResults`).
const ROWS_MAX: usize = 1000;

impl Athena {
    /// Takes a query; answers the execution's id.
    ///
    /// # Errors
    /// A statement that cannot be parsed, a workgroup that does not exist or is disabled, and no place for the result.
    pub async fn start(&self, start: StartQuery) -> Result<String, AthenaError> {
        if let Some(catalog) = &start.catalog
            && !catalog.is_empty()
        {
            self.data_catalog(catalog)?;
        }
        let malformed = |error: QueryError| AthenaError::InvalidRequest { message: error.to_string(), code: "MALFORMED_QUERY" };
        let statement = dialect::parse(&start.query).map_err(malformed)?;
        if let Some(query) = statement.query() {
            dialect::check_query(query).map_err(malformed)?;
        }
        check_location(start.output_location.as_deref())?;
        let place = self.lake.place.clone();
        let started = self.lake.store.write(move |tx| {
            let workgroup = require(tx, start.workgroup.as_deref().unwrap_or(PRIMARY))?;
            if !workgroup.enabled {
                return Err(AthenaError::invalid(format!("WorkGroup {} is disabled.", workgroup.name)));
            }
            if let Some(token) = &start.token
                && let Some(known) = sql::execution_of_token(tx, &workgroup.name, token)?
            {
                return match known.query == start.query && known.parameters == start.parameters {
                    true => Ok(known.id),
                    false => Err(AthenaError::invalid("Idempotent parameters do not match")),
                };
            }
            let settings = &workgroup.configuration;
            let asked = start.output_location.filter(|_| !settings.enforce || settings.output_location.is_none());
            let location = match asked.or_else(|| settings.output_location.clone()) {
                Some(location) => location,
                None => default_output(tx, &place.account, &place.region)?,
            };
            let id = tx.env().uuid();
            let execution = Execution {
                output: output(&location, &id, statement.result_name()),
                id,
                query: start.query,
                workgroup: workgroup.name,
                database: start.database.filter(|database| !database.is_empty()),
                catalog: Some(CATALOG.to_owned()),
                parameters: start.parameters,
                kind: run::kind(&statement),
                substatement: statement.sub_kind().to_owned(),
                encryption: start.encryption,
                state: State::Queued,
                reason: None,
                failure: None,
                submitted_ms: tx.now_ms(),
                completed_ms: None,
                statistics: Statistics::default(),
                columns: Vec::new(),
                update_count: None,
            };
            sql::insert_execution(tx, &execution, start.token.as_deref())?;
            tx.enqueue(&NewTask::new(run::KIND, &execution.id).keyed(&execution.id).failures_max(3))?;
            run::announce(tx, &place, &execution, None)?;
            Ok(execution.id)
        });
        started.await
    }

    /// An execution.
    pub async fn execution(&self, id: &str) -> Result<Execution, AthenaError> {
        let id = id.to_owned();
        self.lake.store.read(move |connection| find(connection, &id)).await
    }

    /// The executions of these ids that exist; the ids of those that do not.
    pub async fn executions(&self, ids: Vec<String>) -> Result<(Vec<Execution>, Vec<String>), AthenaError> {
        let found = self.lake.store.read(move |connection| {
            let (mut found, mut missing) = (Vec::new(), Vec::new());
            for id in ids {
                match sql::execution(connection, &id)? {
                    Some(execution) => found.push(execution),
                    None => missing.push(id),
                }
            }
            Ok((found, missing))
        });
        found.await
    }

    /// The ids of a workgroup's executions, the latest first.
    pub async fn execution_ids(
        &self,
        workgroup: Option<String>,
        token: Option<String>,
        size: Option<i32>,
    ) -> Result<Page<String>, AthenaError> {
        let (size, before) = (page_size(size, 50), before(token.as_deref())?);
        let listed = self.lake.store.read(move |connection| {
            let workgroup = workgroup.unwrap_or_else(|| PRIMARY.into());
            require(connection, &workgroup)?;
            Ok(id_page(sql::execution_ids(connection, &workgroup, before, size + 1)?, size))
        });
        listed.await
    }

    /// Stops an execution. One that has ended stays as it is.
    pub async fn stop(&self, id: &str) -> Result<(), AthenaError> {
        let (id, place) = (id.to_owned(), self.lake.place.clone());
        let stopping = id.clone();
        let stopped = self.lake.store.write(move |tx| {
            let mut execution = find(tx, &stopping)?;
            if execution.state.is_final() {
                return Ok(());
            }
            let before = execution.state;
            execution.state = State::Cancelled;
            execution.reason = Some("Query was stopped by the caller.".to_owned());
            execution.completed_ms = Some(tx.now_ms());
            execution.statistics.total_ms = tx.now_ms() - execution.submitted_ms;
            sql::update_execution(tx, &execution)?;
            tx.cancel_tasks(run::KIND, &execution.id)?;
            run::announce(tx, &place, &execution, Some(before))
        });
        stopped.await?;
        if let Some(token) = self.running.lock().expect("the map is only read and written").get(&id) {
            token.cancel();
        }
        Ok(())
    }

    /// A page of an execution's result.
    ///
    /// # Errors
    /// The execution has not succeeded, or its result's object is gone.
    pub async fn results(&self, id: &str, token: Option<&str>, size: Option<i32>) -> Result<Results, AthenaError> {
        let execution = self.execution(id).await?;
        match execution.state {
            State::Succeeded => {}
            State::Queued | State::Running => {
                let state = execution.state.as_str();
                return Err(AthenaError::invalid(format!("Query has not yet finished. Current state: {state}")));
            }
            State::Failed | State::Cancelled => {
                let state = execution.state.as_str();
                return Err(AthenaError::invalid(format!("Query did not finish successfully. Final query state: {state}")));
            }
        }
        let offset = token.map_or(Ok(0), |token| {
            let offset = token.strip_prefix(id).and_then(|rest| rest.strip_prefix('@')).and_then(|offset| offset.parse().ok());
            offset.ok_or_else(|| AthenaError::invalid("The NextToken is not one that GetQueryResults gave for this query."))
        })?;
        let output = execution.output.clone();
        let object = self.lake.store.read(move |connection| {
            let (bucket, key) = objects::split_uri(&output).unwrap_or_default();
            let bucket = objects::bucket(connection, bucket)?;
            let object = bucket.map(|bucket| objects::get(connection, bucket.id, key)).transpose()?.flatten();
            object.ok_or_else(|| AthenaError::invalid(format!("The result of the query is gone: there is no object {output}.")))
        });
        let (blob, store, size) = (object.await?.blob.path(), self.lake.store.blobs(), page_size(size, ROWS_MAX));
        let read = match execution.is_text() {
            true => read_text_page(store, &blob, offset, size).await,
            false => read_page(store, &blob, offset, size).await,
        };
        let page = read.map_err(|error| AthenaError::invalid(error.to_string()))?;
        let next = page.next_offset.map(|offset| format!("{id}@{offset}"));
        Ok(Results { rows: page.rows, columns: execution.columns, next })
    }
}

fn find(connection: &rusqlite::Connection, id: &str) -> Result<Execution, AthenaError> {
    sql::execution(connection, id)?.ok_or_else(|| AthenaError::invalid(format!("QueryExecution {id} was not found")))
}

/// Where results go when neither the query nor the workgroup says: the bucket that Athena's console proposes, made when missing. (AWS would
/// refuse the query; a lake that is just being tried out should not.)
fn default_output(tx: &Tx<'_>, account: &str, region: &str) -> Result<String, AthenaError> {
    let bucket = format!("aws-athena-query-results-{account}-{region}");
    if objects::bucket(tx, &bucket)?.is_none() {
        objects::create_bucket(tx, &bucket, region)?;
    }
    Ok(format!("s3://{bucket}"))
}

/// Athena user guide, "Query output files".
fn output(location: &str, id: &str, name: ResultName) -> String {
    let location = location.trim_end_matches('/');
    match name {
        ResultName::Csv => format!("{location}/{id}.csv"),
        ResultName::Text => format!("{location}/{id}.txt"),
        ResultName::Bare => format!("{location}/{id}"),
        ResultName::Table => format!("{location}/tables/{id}"),
    }
}
