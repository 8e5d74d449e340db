//! Reading what query executions gave. A page is read from the result's object; its token holds where the next begins.

use super::model::{Execution, OutputColumn, State};
use super::{Athena, AthenaError, page_size};
use crate::lake::objects;
use millpond_engine::result::{Row, read_page, read_text_page};

/// A page of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// The first page of a `SELECT` begins with the header.
    pub rows: Vec<Row>,
    /// The columns.
    pub columns: Vec<OutputColumn>,
    /// Rows that were written; 0 for what reads; absent for what does neither.
    pub update_count: Option<i64>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// Which of its files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResultFileKind {
    /// The rows.
    #[default]
    Rows,
    /// The list of the files that were written.
    Manifest,
}

/// Rows of a page at the most, and where nothing is asked for (Athena API reference, `GetQueryResults`).
const ROWS_MAX: usize = 1000;

impl Athena {
    /// A page of an execution's result.
    ///
    /// # Errors
    /// The execution has not succeeded, or its result's object is gone.
    pub async fn results(
        &self,
        id: &str,
        kind: ResultFileKind,
        token: Option<&str>,
        size: Option<i32>,
    ) -> Result<Results, AthenaError> {
        let execution = self.execution(id).await?;
        let mut results =
            Results { rows: Vec::new(), columns: execution.columns.clone(), update_count: update_count(&execution), next: None };
        match execution.state {
            State::Succeeded => {}
            // Hive's statements leave their failure as their result.
            State::Failed if is_hive_failure(&execution) => return Ok(Results { columns: Vec::new(), ..results }),
            _ => return Err(unfinished(&execution)),
        }
        let offset = token.map_or(Ok(0), |token| {
            let offset = token.strip_prefix(id).and_then(|rest| rest.strip_prefix('@')).and_then(|offset| offset.parse().ok());
            offset.ok_or_else(|| AthenaError::invalid(format!("Malformed nextPageToken {token}")))
        })?;
        let object = match kind {
            ResultFileKind::Manifest => execution.details.manifest.clone().ok_or_else(|| {
                let message = format!("QueryExecution {id} has no data manifest: it wrote no files to a table or location");
                AthenaError::InvalidRequest { message, code: "RESULT_NOT_FOUND" }
            })?,
            // Only its metadata and manifest are files.
            ResultFileKind::Rows if !is_file(&execution) => return Ok(results),
            ResultFileKind::Rows => execution.output.clone(),
        };
        if kind == ResultFileKind::Manifest {
            results.columns = Vec::new();
        }
        let size = page_size(size, ROWS_MAX);
        let is_text = execution.is_text() || kind == ResultFileKind::Manifest;
        let page = self.result_page(&object, is_text, offset, size).await?;
        // A page that is just full is not known to be the last one, as with Athena.
        let more = page.next_offset.or_else(|| (page.rows.len() == size).then_some(page.end_offset));
        results.next = more.map(|offset| format!("{id}@{offset}"));
        results.rows = page.rows;
        // A plan ends with the end of a line, behind which Athena shows an empty row.
        let is_plan = execution.columns.first().is_some_and(|column| column.name == "Query Plan");
        if is_plan && execution.substatement == "EXPLAIN" && results.next.is_none() {
            results.rows.push(vec![Some(String::new())]);
        }
        Ok(results)
    }

    async fn result_page(
        &self,
        uri: &str,
        is_text: bool,
        offset: u64,
        size: usize,
    ) -> Result<millpond_engine::result::Page, AthenaError> {
        let uri = uri.to_owned();
        let object = self.lake.store.read(move |connection| {
            let (bucket, key) = objects::split_uri(&uri).unwrap_or_default();
            let bucket = objects::bucket(connection, bucket)?;
            let object = bucket.map(|bucket| objects::get(connection, bucket.id, key)).transpose()?.flatten();
            object.ok_or_else(|| AthenaError::InvalidRequest {
                message: format!("The result of the query is gone: there is no object {uri}."),
                code: "RESULT_NOT_FOUND",
            })
        });
        let (blob, store) = (object.await?.blob.path(), self.lake.store.blobs());
        let read = match is_text {
            true => read_text_page(store, &blob, offset, size).await,
            false => read_page(store, &blob, offset, size).await,
        };
        read.map_err(|error| AthenaError::invalid(error.to_string()))
    }
}

/// Whether rows lie at the output location.
fn is_file(execution: &Execution) -> bool {
    execution.update_count.is_none() && (execution.is_text() || execution.output.ends_with(".csv"))
}

/// DDL of Hive's that failed writes its reason as its result.
pub(super) fn is_hive_failure(execution: &Execution) -> bool {
    execution.is_text() && execution.reason.as_deref().is_some_and(|reason| reason.starts_with("FAILED: "))
}

/// Statements that show something count 0 rows; DDL, plans and Hive's own descriptions count none.
fn update_count(execution: &Execution) -> Option<i64> {
    let reads = match execution.substatement.as_str() {
        "SELECT" | "DESC_VIEW" => true,
        "SHOW_CREATE_TABLE" => false,
        other => other.starts_with("SHOW_"),
    };
    execution.update_count.or(reads.then_some(0))
}

fn unfinished(execution: &Execution) -> AthenaError {
    let state = execution.state.as_str();
    let (message, code) = match execution.state {
        State::Queued | State::Running => {
            (format!("Query has not yet finished. Current state: {state}"), "INVALID_QUERY_EXECUTION_STATE")
        }
        State::Cancelled => ("Could not find results".to_owned(), "RESULT_NOT_FOUND"),
        State::Failed | State::Succeeded => {
            (format!("Query did not finish successfully. Final query state: {state}"), "INVALID_QUERY_EXECUTION_STATE")
        }
    };
    AthenaError::InvalidRequest { message, code }
}
