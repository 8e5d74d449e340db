//! `"t$partitions"`: the partitions of a table as rows of its partition keys (Athena user guide, "Query the AWS Glue Data Catalog").

use super::partition::{Pruning, key_batch, key_schema, to_partition_expr};
use super::{Hidden, Shape, scan_request};
use crate::query::QueryError;
use crate::table::TableSource;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use millpond_core::catalog::Table;
use std::sync::Arc;

/// The partitions of a table.
#[derive(Debug)]
pub(crate) struct PartitionsTable {
    table: Table,
    source: Arc<dyn TableSource>,
    shape: Shape,
}

impl PartitionsTable {
    /// The table that a name like `t$partitions` is about.
    pub(crate) fn base(name: &str) -> Option<&str> {
        name.strip_suffix("$partitions").filter(|base| !base.is_empty())
    }

    /// Whether a table has partitions in the catalog's sense.
    pub(crate) fn has(table: &Table) -> bool {
        !table.partition_keys.is_empty()
    }

    /// # Errors
    /// A key's type is not understood.
    pub(crate) fn new(table: Table, source: Arc<dyn TableSource>) -> std::result::Result<Self, QueryError> {
        let shape = Shape::new(&table, Hidden::default())?;
        Ok(Self { table, source, shape })
    }
}

#[async_trait]
impl TableProvider for PartitionsTable {
    fn schema(&self) -> SchemaRef {
        key_schema(&self.shape)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let answer = filters.iter().map(|filter| match to_partition_expr(filter, &self.shape.partition_keys) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Inexact,
        });
        Ok(answer.collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.schema();
        let request = scan_request(state, Pruning::new(filters, &self.shape).expr);
        let rows = self.source.partitions(&self.table, &request).await.map_err(QueryError::from)?;
        let batch = key_batch(&self.shape, rows.len(), &|row| rows[row].as_slice())?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], schema, projection.cloned())?)
    }
}
