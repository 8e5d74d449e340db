//! `EXPLAIN`.

use super::{Context, Outcome, RunError};
use millpond_engine::query::QueryError;
use millpond_engine::sql::Explain;
use millpond_engine::sql::render::TextResult;

/// Plans a query; the plan's lines are the result.
pub(super) async fn run(cx: &Context<'_>, explain: &Explain) -> Result<Outcome, RunError> {
    if explain.analyze {
        let message = "EXPLAIN ANALYZE. Use EXPLAIN, or run the query and read its Statistics";
        return Err(QueryError::NotSupported(message.into()).into());
    }
    let plan = cx.athena.engine.explain(cx.request(&explain.sql)).await?;
    let text = TextResult::new("Query Plan", plan.lines().map(str::to_owned).collect());
    Outcome::text(cx, &text, Outcome::nothing()).await
}
