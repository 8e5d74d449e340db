//! Queries.

use super::{Context, LITERAL_OCTETS, OCTETS, Outcome, ResultFile, RunError, Spool};
use crate::athena::model::Statistics;
use millpond_engine::result;

/// Runs a query; its rows become CSV.
pub(super) async fn run(cx: &Context<'_>, sql: &str) -> Result<Outcome, RunError> {
    let mut stream = cx.athena.engine.query(cx.limited(sql).await).await?;
    let columns = stream.columns().clone();
    let mut spool = Spool::new(cx);
    let written = result::stream_csv(&mut stream, &mut spool).await?;
    let stages = stream.stages();
    let statistics = Statistics { rows: written.rows, result_bytes: written.bytes, input_rows: stages.table_rows(), ..cx.cost() };
    let content_type = if cx.tables.is_untouched() { LITERAL_OCTETS } else { OCTETS };
    let file = spool.file("", content_type).await?;
    let metadata = ResultFile::metadata(cx, &columns, None).await?;
    let columns = columns.to_vec();
    let _ = cx.stages.set(stages);
    Ok(Outcome { files: vec![file, metadata], columns, update: None, statistics, commit: Outcome::nothing() })
}
