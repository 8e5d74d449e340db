//! SQL over one stream of batches, for conversions: `SELECT … FROM input`.
//!
//! The same dialect and the same engine as queries, with one table, `input`, and no catalog.

use super::engine::Engine;
use super::error::QueryError;
use super::meter::MeteredStore;
use super::parse;
use super::plan::{self, Tables};
use super::stream::{QueryStatistics, QueryStream};
use crate::types::arrow_schema;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::StreamExt;
use futures::stream::BoxStream;
use millpond_core::catalog::Column;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

/// The name of the one table.
pub const INPUT: &str = "input";

/// Batches that a transform reads; an error ends it, and comes out of the transform's stream as it is where it is a [`QueryError`].
pub type InputStream = BoxStream<'static, Result<RecordBatch, QueryError>>;

/// The columns that `sql` gives over an input of `columns`, lower case and with Hive types.
///
/// # Errors
/// What is wrong with the statement, with its place; a name twice among the output, or none (`SELECT a + 1` without `AS`).
pub async fn validate_transform(engine: &Engine, sql: &str, columns: &[Column]) -> Result<Vec<Column>, QueryError> {
    let schema = arrow_schema(columns).map_err(|error| QueryError::InvalidMetadata(error.to_string()))?;
    let input = Arc::new(Input::new(Arc::new(schema), None));
    let (planned, _) = plan(engine, sql, input, &CancellationToken::new()).await?;
    Ok(planned
        .schema
        .fields()
        .iter()
        .map(|field| Column::new(field.name(), crate::types::hive_type(field.data_type())))
        .collect())
}

/// Runs `sql` over `input`, once. The output's names are lower case and distinct.
///
/// # Errors
/// As [`validate_transform`]; what goes wrong while running comes through the stream.
pub async fn run_sql(
    engine: &Engine,
    sql: &str,
    schema: SchemaRef,
    input: InputStream,
    cancel: CancellationToken,
) -> Result<QueryStream, QueryError> {
    let input = Arc::new(Input::new(schema, Some(input)));
    let (planned, statistics) = plan(engine, sql, input, &cancel).await?;
    Ok(engine.start(planned, None, statistics, cancel))
}

async fn plan(
    engine: &Engine,
    sql: &str,
    input: Arc<Input>,
    cancel: &CancellationToken,
) -> Result<(plan::Planned, Arc<QueryStatistics>), QueryError> {
    let statistics = Arc::new(QueryStatistics::default());
    let store = Arc::new(MeteredStore::new(Arc::clone(engine.store()), Arc::clone(&statistics), None));
    let state = engine.state_for(store, cancel)?;
    let parsed = parse::parse_query(sql)?;
    let planned = engine
        .on_runtime(cancel, async move {
            let table = StreamingTable::try_new(Arc::clone(&input.schema), vec![input]).map_err(QueryError::from_execution)?;
            let table: Arc<dyn TableProvider> = Arc::new(table);
            let tables = HashMap::from([((String::new(), INPUT.to_owned()), table)]);
            let logical = plan::plan_parsed(&state, Tables::Given(tables), None, parsed, 0).await?;
            let mut planned = plan::physical(&state, logical).await?;
            planned.schema = column_names(&planned.schema)?;
            Ok(planned)
        })
        .await?;
    Ok((planned, statistics))
}

/// The output becomes a table: its columns need names, and each its own.
fn column_names(schema: &Schema) -> Result<SchemaRef, QueryError> {
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let fields = plan::distinct_names(&names)?
        .into_iter()
        .zip(schema.fields())
        .map(|(name, field)| field.as_ref().clone().with_name(name));
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// The one table: a stream that can be read once.
struct Input {
    schema: SchemaRef,
    stream: Mutex<Option<InputStream>>,
}

impl Input {
    fn new(schema: SchemaRef, stream: Option<InputStream>) -> Self {
        let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_name(field.name().to_lowercase()));
        Self { schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())), stream: Mutex::new(stream) }
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PartitionStream for Input {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let taken = self.stream.lock().expect("no one panics while taking the stream").take();
        let schema = Arc::clone(&self.schema);
        let adapted = Arc::clone(&schema);
        let batches: BoxStream<'static, DfResult<RecordBatch>> = match taken {
            Some(stream) => stream
                .map(move |batch| {
                    let batch = batch.map_err(DataFusionError::from)?;
                    Ok(batch.with_schema(Arc::clone(&adapted))?)
                })
                .boxed(),
            None => futures::stream::once(async {
                Err(QueryError::NotSupported(
                    "a transform can read `input` only once: use it in one FROM, or WITH a common table that is named once"
                        .into(),
                )
                .into())
            })
            .boxed(),
        };
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}
