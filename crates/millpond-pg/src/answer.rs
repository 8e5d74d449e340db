//! What a statement answers: rows that come as they are asked for, or that it is done.

use crate::Server;
use crate::catalog::CatalogRows;
use crate::errors::{cancelled, error, of_athena};
use crate::settings::Session;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::StreamExt;
use millpond_engine::query::QueryError;
use millpond_services::athena::{DirectAnswer, DirectError, DirectQuery, DirectRows, Execution};
use pgwire::error::ErrorInfo;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Rows that are made into messages without giving the thread back.
const SLICE: usize = 512;

/// An answer.
pub(crate) enum Answer {
    /// Rows.
    Rows(Running),
    /// It is done; for `CommandComplete`.
    Done(String),
}

/// Rows that are left of an answer. Dropping it stops what makes them.
pub(crate) struct Running {
    pub(crate) schema: SchemaRef,
    /// What `CommandComplete` begins with.
    pub(crate) tag: &'static str,
    /// The statement, for places of errors.
    sql: String,
    source: Source,
    rest: Option<RecordBatch>,
}

enum Source {
    Athena(Box<DirectRows>),
    Catalog(CatalogRows),
    None,
}

impl Running {
    /// Rows that are all there.
    pub(crate) fn of(tag: &'static str, batch: RecordBatch) -> Self {
        Self { schema: batch.schema(), tag, sql: String::new(), source: Source::None, rest: Some(batch) }
    }

    /// The next rows, `most` at the most; `None` at the end.
    pub(crate) async fn take(&mut self, most: usize) -> Result<Option<RecordBatch>, ErrorInfo> {
        loop {
            if let Some(batch) = self.rest.take() {
                let count = batch.num_rows().min(most).min(SLICE);
                if count < batch.num_rows() {
                    self.rest = Some(batch.slice(count, batch.num_rows() - count));
                }
                if count > 0 {
                    return Ok(Some(batch.slice(0, count)));
                }
            }
            match self.pull().await? {
                Some(batch) => self.rest = Some(batch),
                None => return Ok(None),
            }
        }
    }

    async fn pull(&mut self) -> Result<Option<RecordBatch>, ErrorInfo> {
        match &mut self.source {
            Source::None => Ok(None),
            Source::Catalog(rows) => match rows.next().await {
                Some(batch) => batch.map(Some).map_err(|message| error("XX000", message)),
                None => {
                    self.source = Source::None;
                    Ok(None)
                }
            },
            Source::Athena(rows) => {
                let next = rows.stream.next().await;
                if let Some(Ok(batch)) = next {
                    return Ok(Some(batch));
                }
                let Source::Athena(rows) = std::mem::replace(&mut self.source, Source::None) else { return Ok(None) };
                let (ended, failed) = match next {
                    Some(Err(failed)) => (rows.fail(failed.clone()).await, Some(failed)),
                    _ => (rows.succeed().await, None),
                };
                if let Some(failed) = failed {
                    return Err(self.of_query(&failed));
                }
                ended.map(|()| None).map_err(|cause| error("58000", cause.to_string()))
            }
        }
    }

    fn of_query(&self, failed: &QueryError) -> ErrorInfo {
        match failed {
            QueryError::Cancelled => cancelled(),
            other => of_athena(&other.to_string(), &self.sql),
        }
    }
}

/// Runs a statement about PostgreSQL's catalog.
pub(crate) async fn of_catalog(server: &Server, session: &Session, sql: &str) -> Result<Answer, ErrorInfo> {
    let rows = server.catalog.query(sql, session).await.map_err(|message| error("42000", message))?;
    let (schema, source) = (Arc::clone(&rows.schema), Source::Catalog(rows));
    Ok(Answer::Rows(Running { schema, tag: "SELECT", sql: String::new(), source, rest: None }))
}

/// Runs a statement of the lake's.
pub(crate) async fn of_lake(
    server: &Server,
    session: &Session,
    sql: &str,
    parameters: Vec<String>,
    cancel: CancellationToken,
) -> Result<Answer, ErrorInfo> {
    let query = DirectQuery {
        query: sql.to_owned(),
        database: Some(session.database.clone()),
        workgroup: session.workgroup.clone(),
        parameters,
    };
    match server.athena.direct(query, cancel).await {
        Ok(DirectAnswer::Rows(rows)) => {
            let (schema, source) = (Arc::clone(rows.stream.schema()), Source::Athena(rows));
            Ok(Answer::Rows(Running { schema, tag: "SELECT", sql: sql.to_owned(), source, rest: None }))
        }
        Ok(DirectAnswer::Ended { execution, lines }) => Ok(ended(&execution, lines)),
        Err(DirectError::Cancelled) => Err(cancelled()),
        Err(DirectError::Failed(message)) => Err(of_athena(&message, sql)),
    }
}

/// What an execution that wrote no rows to us comes to.
fn ended(execution: &Execution, mut lines: Vec<Vec<Option<String>>>) -> Answer {
    let count = execution.update_count.unwrap_or_default();
    let done = |tag: String| Answer::Done(tag);
    match execution.substatement.as_str() {
        "INSERT" => return done(format!("INSERT 0 {count}")),
        "UPDATE" | "DELETE" | "MERGE" | "UNLOAD" => return done(format!("{} {count}", execution.substatement)),
        "CREATE_TABLE_AS_SELECT" => return done(format!("SELECT {count}")),
        "SHOW_TABLES" | "EXPLAIN" => {}
        _ if execution.columns.is_empty() => return done(execution.substatement.replace('_', " ")),
        _ => {}
    }
    let names: Vec<&str> = execution.columns.iter().map(|column| column.name.as_str()).collect();
    // A plan has its header in its text.
    if execution.substatement == "EXPLAIN" && lines.first().and_then(|line| line.first()?.as_deref()) == names.first().copied() {
        lines.remove(0);
    }
    let tag = if execution.substatement == "EXPLAIN" { "EXPLAIN" } else { "SHOW" };
    Answer::Rows(Running::of(tag, table(&names, &lines)))
}

/// Lines of text as columns: where there are several, tabs separate them, and blanks fill them up.
fn table(names: &[&str], lines: &[Vec<Option<String>>]) -> RecordBatch {
    let cell = |line: &Vec<Option<String>>, place: usize| -> Option<String> {
        let [Some(text)] = line.as_slice() else { return line.get(place).cloned().flatten() };
        match names.len() {
            1 => Some(text.clone()),
            count => text.splitn(count, '\t').nth(place).map(|part| part.trim_end().to_owned()),
        }
    };
    let columns = (0..names.len()).map(|place| {
        let values: StringArray = lines.iter().map(|line| cell(line, place)).collect();
        Arc::new(values) as ArrayRef
    });
    texts(names, columns.collect(), lines.len())
}

/// A batch of columns of text.
pub(crate) fn texts(names: &[&str], columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .expect("the columns are all of text and as long")
}
