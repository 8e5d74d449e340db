//! Queries.

use super::{Context, Outcome, ResultFile, RunError};
use crate::athena::model::Statistics;
use millpond_engine::result;
use std::sync::Arc;

/// Runs a query; its rows become CSV.
pub(super) async fn run(cx: &Context<'_>, sql: &str) -> Result<Outcome, RunError> {
    let mut stream = cx.athena.engine.query(cx.limited(sql).await).await?;
    let (columns, statistics) = (stream.columns().clone(), stream.statistics().clone());
    let blobs = cx.athena.lake.store.blobs();
    let blob = blobs.new_location();
    let written = result::write_csv(&mut stream, Arc::new(blobs.clone()), &blob.path()).await?;
    let statistics = Statistics {
        scanned_bytes: statistics.scanned_bytes(),
        planning_ms: statistics.planning_ms() as i64,
        engine_ms: (statistics.planning_ms() + statistics.execution_ms()) as i64,
        rows: written.rows,
        result_bytes: written.bytes,
        ..Statistics::default()
    };
    let file = ResultFile::written(cx, "", blob, written.bytes, "text/csv").await?;
    let metadata = ResultFile::metadata(cx, &columns, None).await?;
    let columns = columns.to_vec();
    Ok(Outcome { files: vec![file, metadata], columns, update: None, statistics, commit: Outcome::nothing() })
}
