//! What a query would give, for clients that ask before they run it.

use super::engine::{Engine, QueryRequest};
use super::error::QueryError;
use super::meter::MeteredStore;
use super::plan::{self, Given};
use super::stream::QueryStatistics;
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

impl Engine {
    /// The schema that the batches of a query would have, without running it.
    ///
    /// # Errors
    /// Everything that is wrong with the statement.
    pub async fn schema(&self, request: QueryRequest) -> Result<SchemaRef, QueryError> {
        let statistics = Arc::new(QueryStatistics::default());
        let store = Arc::new(MeteredStore::new(Arc::clone(self.store()), statistics, None));
        let state = self.state_for(store, &request.cancel)?;
        let cancel = request.cancel.clone();
        self.on_runtime(&cancel, async move { plan::plan(&state, &request, &Given::new()).await.map(|planned| planned.schema) })
            .await
    }
}
