//! The metadata of a table as tables (Trino documentation, "Iceberg connector", "Metadata tables"): `"t$snapshots"` and its like.

use crate::query::QueryError;
use crate::table::TableSource;
use datafusion::catalog::TableProvider;
use millpond_core::catalog::Table;
use std::sync::Arc;

/// The table about a table that `asked` names; `None`: there is none.
pub(crate) async fn provider(
    _table: &Table,
    _asked: &str,
    _source: &Arc<dyn TableSource>,
) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
    Ok(None)
}
