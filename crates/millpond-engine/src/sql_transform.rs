//! SQL as the transformation of a conversion: the seam between [`crate::convert`] and [`crate::query::transform`].

use crate::convert::Transform;
use crate::query::Engine;
use crate::query::transform::{run_sql, validate_transform};
use crate::types;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use futures::StreamExt;
use futures::stream::BoxStream;
use millpond_core::catalog::Column;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

struct Sql {
    engine: Arc<Engine>,
    sql: String,
    stop: CancellationToken,
}

/// The transformation that `sql` says over the one table `input`. It blocks while it plans: [`crate::convert::convert`] calls it on threads that may.
pub fn sql_transform(engine: &Arc<Engine>, sql: &str, stop: &CancellationToken) -> Arc<dyn Transform> {
    Arc::new(Sql { engine: engine.clone(), sql: sql.to_owned(), stop: stop.clone() })
}

impl Transform for Sql {
    fn output(&self, input: &Schema) -> Result<Schema, String> {
        let columns: Vec<Column> =
            input.fields().iter().map(|field| Column::new(field.name(), types::hive_type(field.data_type()))).collect();
        let output = self.engine.handle().block_on(validate_transform(&self.engine, &self.sql, &columns));
        types::arrow_schema(&output.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
    }

    fn run(
        &self,
        schema: SchemaRef,
        input: BoxStream<'static, RecordBatch>,
    ) -> Result<BoxStream<'static, Result<RecordBatch, String>>, String> {
        let running = run_sql(&self.engine, &self.sql, schema, input.map(Ok).boxed(), self.stop.clone());
        let stream = self.engine.handle().block_on(running).map_err(|error| error.to_string())?;
        Ok(stream.map(|batch| batch.map_err(|error| error.to_string())).boxed())
    }
}
