//! An Iceberg table as DataFusion sees it.

use super::metadata::{self, Version};
use super::plan::{self, Task};
use super::prune::Pruner;
use super::read::{self, Reading};
use super::{Objects, inspect, look, metadata_location, schema};
use crate::query::QueryError;
use crate::scan::Hidden;
use crate::table::{TableSource, TimeTravel};
use arrow::datatypes::{Schema as ArrowSchema, SchemaRef as ArrowSchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use millpond_core::catalog::Table;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

/// What a scan looked at: for changes, which must know whether others have changed it since.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// URIs of the data files that were read.
    pub(crate) files: HashSet<String>,
    /// The conditions under which they were chosen, of the last scan.
    pub(crate) pruner: Option<Arc<Pruner>>,
    /// Scans so far.
    pub(crate) scans: usize,
}

/// A version of an Iceberg table.
#[derive(Debug)]
pub(crate) struct IcebergTable {
    pub(crate) version: Arc<Version>,
    source: Arc<dyn TableSource>,
    hidden: Hidden,
    schema: ArrowSchemaRef,
    restricted: Option<Arc<HashSet<String>>>,
    seen: Option<Arc<Mutex<Seen>>>,
}

/// `t` and what is asked of it: `t$snapshots`, or a version (`t$at …`, as the parser writes `FOR VERSION AS OF`).
fn split(name: &str) -> Option<(&str, &str)> {
    name.split_once('$').filter(|(base, asked)| !base.is_empty() && !asked.is_empty())
}

/// The version that a statement asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// This one.
    At(TimeTravel),
    /// The one that was current so many microseconds before the statement's time.
    Ago(i64),
}

/// The suffix of a name for a version of a table: what [`travel`] reads.
pub(crate) fn suffix(asked: &Asked) -> String {
    match asked {
        Asked::At(TimeTravel::Snapshot(id)) => format!("$at-snapshot-{id}"),
        Asked::At(TimeTravel::Reference(name)) => format!("$at-reference-{name}"),
        Asked::At(TimeTravel::Timestamp(micros)) => format!("$at-time-{micros}"),
        Asked::Ago(micros) => format!("$at-ago-{micros}"),
    }
}

fn travel(asked: &str) -> Option<Asked> {
    let asked = asked.strip_prefix("at-")?;
    let (kind, value) = asked.split_once('-')?;
    match kind {
        "snapshot" => value.parse().ok().map(|id| Asked::At(TimeTravel::Snapshot(id))),
        "reference" => Some(Asked::At(TimeTravel::Reference(value.to_owned()))),
        "time" => value.parse().ok().map(|micros| Asked::At(TimeTravel::Timestamp(micros))),
        "ago" => value.parse().ok().map(Asked::Ago),
        _ => None,
    }
}

/// The table of the catalog that a name is about which is not in the catalog itself: `t$snapshots`.
pub(crate) fn base_name(name: &str) -> Option<&str> {
    split(name).map(|(base, _)| base)
}

/// The provider of an Iceberg table, or of what `name` asks of it. `None`: there is no such table about tables.
///
/// # Errors
/// The table's metadata cannot be read; there is no such version.
pub(crate) async fn provider(
    table: &Table,
    name: &str,
    source: &Arc<dyn TableSource>,
    hidden: &Hidden,
    now_ms: i64,
) -> std::result::Result<Option<Arc<dyn TableProvider>>, QueryError> {
    let asked = if name == table.name { None } else { split(name).map(|(_, asked)| asked.to_owned()) };
    let version = match asked.as_deref() {
        None => load(table, source, None).await?,
        Some(asked) => match travel(asked) {
            Some(Asked::At(at)) => load(table, source, Some(at)).await?,
            Some(Asked::Ago(micros)) => {
                let at = now_ms.saturating_mul(1000).saturating_sub(micros);
                load(table, source, Some(TimeTravel::Timestamp(at))).await?
            }
            None => return inspect::provider(table, asked, source).await,
        },
    };
    Ok(Some(Arc::new(IcebergTable::new(Arc::new(version), source, hidden.clone()))))
}

/// A version of a table of the catalog.
pub(crate) async fn load(
    table: &Table,
    source: &Arc<dyn TableSource>,
    at: Option<TimeTravel>,
) -> std::result::Result<Version, QueryError> {
    let location = metadata_location(table)?.to_owned();
    let name = format!("\"{}\".\"{}\"", table.database, table.name);
    look(source.as_ref(), move |objects: &dyn Objects| {
        Version::at(metadata::load(objects, &location)?, &location, at.as_ref(), &name)
    })
    .await
}

impl IcebergTable {
    pub(crate) fn new(version: Arc<Version>, source: &Arc<dyn TableSource>, hidden: Hidden) -> Self {
        let columns = schema::arrow_schema(&version.schema);
        let fields = columns.fields().iter().cloned().chain(hidden.fields().map(Arc::new));
        let schema = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
        Self { version, source: Arc::clone(source), hidden, schema, restricted: None, seen: None }
    }

    /// Only these data files are read.
    pub(crate) fn restricted_to(mut self, files: Arc<HashSet<String>>) -> Self {
        self.restricted = Some(files);
        self
    }

    /// What is looked at is noted.
    pub(crate) fn noting(mut self, seen: &Arc<Mutex<Seen>>) -> Self {
        self.seen = Some(Arc::clone(seen));
        self
    }

    async fn tasks(&self, filters: &[Expr]) -> std::result::Result<Vec<Task>, QueryError> {
        let pruner = Arc::new(Pruner::new(filters, &self.version.schema));
        let (version, restricted, asked) = (Arc::clone(&self.version), self.restricted.clone(), Arc::clone(&pruner));
        let tasks =
            look(self.source.as_ref(), move |objects| plan::tasks(objects, &version, Some(&asked), restricted.as_deref()))
                .await?;
        if let Some(Ok(mut seen)) = self.seen.as_ref().map(|seen| seen.lock()) {
            seen.files.extend(tasks.iter().map(|task| task.entry.file_path().to_owned()));
            seen.pruner = Some(pruner);
            seen.scans += 1;
        }
        Ok(tasks)
    }
}

#[async_trait]
impl TableProvider for IcebergTable {
    fn schema(&self) -> ArrowSchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let tasks = self.tasks(filters).await?;
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let reading = Reading {
            version: Arc::clone(&self.version),
            schema: Arc::clone(&self.schema),
            hidden: self.hidden.clone(),
            projection: projection.cloned().unwrap_or(all),
            limit,
        };
        read::plan(state, &reading, tasks).await
    }
}
