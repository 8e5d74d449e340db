//! `EXPLAIN`.

use super::{Context, Outcome, ResultFile, RunError};
use crate::athena::model::Statistics;
use millpond_engine::sql::{self, Explain};

/// Plans a query, and runs it for `EXPLAIN ANALYZE`; the plan's lines are the result, under a header that is a line of its own.
pub(super) async fn run(cx: &Context<'_>, explain: &Explain) -> Result<Outcome, RunError> {
    // Of a statement that writes, the query within is explained.
    let inner = sql::parse(&explain.sql)?;
    let query = inner.query().unwrap_or(&explain.sql);
    let (explanation, mut statistics) = if explain.analyze {
        (cx.athena.engine.analyze(cx.limited(query).await, explain.format).await?, cx.cost())
    } else {
        let explanation = cx.athena.engine.explain(cx.request(query), explain.format, explain.kind).await?;
        (explanation, Statistics::default())
    };
    let text = format!("{}\n{}\n", explanation.column.name, explanation.text);
    let columns = vec![explanation.column];
    let file = ResultFile::of(cx, "", text.into_bytes(), "application/octet-stream").await?;
    statistics.result_bytes = file.bytes;
    let metadata = ResultFile::metadata(cx, &columns, None).await?;
    Ok(Outcome { files: vec![file, metadata], columns, update: None, statistics, commit: Outcome::nothing() })
}
