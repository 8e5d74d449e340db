//! Data files as a plan: DataFusion's Parquet source, which finds columns by their ids and passes over rows that are deleted.

use super::barrier::NestedBarrier;
use super::deletes::{self, NotDeleted};
use super::mapping::Mapping;
use super::metadata::{Version, partition_schema};
use super::plan::Task;
use super::schema::{Match, conform, field_id, find_field, initial_default, scalar};
use crate::scan::{
    Batches, FindColumns, Hidden, Pages, Readers, ScanFile, begin_within, object_meta, object_store_url, partitioned_file,
    spread_pieces,
};
use crate::table::{DeleteContent, DeleteFile};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::Session;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, Statistics};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetAccessPlan, RowGroupAccess};
use datafusion::datasource::physical_plan::{FileGroup as DfFileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use iceberg::spec::Transform;
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::file::metadata::ParquetMetaData;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// One scan of a table.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) version: Arc<Version>,
    /// The table's columns, then hidden ones.
    pub(super) schema: ArrowSchemaRef,
    pub(super) hidden: Hidden,
    /// Indices into `schema`.
    pub(super) projection: Vec<usize>,
    pub(super) limit: Option<usize>,
}

/// Data files that are read in the same way.
struct Group {
    /// What deletes rows of them by equality.
    equalities: Vec<Arc<DeleteFile>>,
    /// Ids of columns that are not read from the files, since they are the same for all rows of one: sorted.
    constants: Vec<i32>,
    tasks: Vec<Task>,
}

/// The plan of a scan.
pub(super) async fn plan(state: &dyn Session, reading: &Reading, tasks: Vec<Task>) -> Result<Arc<dyn ExecutionPlan>> {
    let mut groups: Vec<Group> = Vec::new();
    for task in tasks {
        let equalities = task.deletes.iter().filter(|delete| matches!(delete.content, DeleteContent::Equality(_)));
        let equalities: Vec<_> = equalities.cloned().collect();
        let constants: Vec<i32> = reading.constants(&task).into_keys().collect();
        let same = |other: &Group| {
            let equal = other.equalities.iter().zip(&equalities).all(|(a, b)| Arc::ptr_eq(a, b));
            other.equalities.len() == equalities.len() && equal && other.constants == constants
        };
        match groups.iter_mut().find(|other| same(other)) {
            Some(group) => group.tasks.push(task),
            None => groups.push(Group { equalities, constants, tasks: vec![task] }),
        }
    }
    let mut plans = Vec::new();
    for group in groups {
        plans.push(reading.group(state, group).await?);
    }
    match plans.len() {
        0 => Ok(Arc::new(EmptyExec::new(Arc::new(reading.schema.project(&reading.projection)?)))),
        1 => Ok(plans.remove(0)),
        _ => UnionExec::try_new(plans),
    }
}

impl Reading {
    /// Columns that are in the files.
    fn columns(&self) -> Vec<FieldRef> {
        let stored = self.schema.fields().len() - self.hidden.names().count();
        self.schema.fields().iter().take(stored).cloned().collect()
    }

    /// Columns that a file is partitioned by and does not have itself as far as its manifest says, by id: a file of a Hive table that became an Iceberg
    /// table has its partition's values in its path only (Iceberg specification, "Column Projection").
    fn constants(&self, task: &Task) -> BTreeMap<i32, ScalarValue> {
        let metadata = &self.version.metadata;
        let Some(spec) = metadata.partition_spec_by_id(task.spec_id) else { return BTreeMap::new() };
        let file = task.entry.data_file();
        let partition = spec.fields().iter().zip(file.partition().fields());
        let identities = partition.filter(|(field, _)| field.transform == Transform::Identity);
        let absent = identities.filter(|(field, _)| {
            !file.column_sizes().contains_key(&field.source_id) && !file.value_counts().contains_key(&field.source_id)
        });
        let schema = partition_schema(metadata, spec);
        let values = absent.filter_map(|(field, value)| {
            let source = schema.as_struct().field_by_id(field.source_id)?;
            let value = match value.as_ref().and_then(|value| value.as_primitive_literal()) {
                Some(literal) => scalar(source.field_type.as_primitive_type()?, &literal)?,
                None => ScalarValue::Null,
            };
            Some((field.source_id, value))
        });
        values.collect()
    }

    async fn group(&self, state: &dyn Session, group: Group) -> Result<Arc<dyn ExecutionPlan>> {
        let Group { equalities, constants, tasks } = group;
        let store = state.runtime_env().object_store(object_store_url())?;
        let known = deletes::fields(&self.version.metadata);
        let mapping = Mapping::of(&self.version.metadata)?;
        let forbidden = deletes::equalities(&store, &equalities, &known, &mapping).await?;
        // Columns that deletes compare are read besides those of the table, under names that no column has.
        let mut compared: Vec<i32> = forbidden.iter().flat_map(|(ids, _)| ids.clone()).collect();
        compared.sort_unstable();
        compared.dedup();
        let stored = self.columns();
        let extra = compared.iter().filter_map(|id| {
            let field = known.get(id)?;
            Some(Arc::new(field.clone().with_name(format!("$deleted_by_{id}"))))
        });
        let file_schema: ArrowSchemaRef = Arc::new(ArrowSchema::new(stored.iter().cloned().chain(extra).collect::<Vec<_>>()));
        // Behind the extra columns come the hidden ones.
        let shift = compared.len();
        let place = |index: usize| if index < stored.len() { index } else { index + shift };
        let mut projection: Vec<usize> = self.projection.iter().map(|index| place(*index)).collect();
        projection.extend(stored.len()..stored.len() + shift);
        let limit = self.limit.filter(|_| forbidden.is_empty());
        let columns = Columns::new(&file_schema, &constants, &self.hidden, mapping);
        let scan = self.scan(state, &store, columns, projection, limit, tasks).await?;
        if forbidden.is_empty() {
            return Ok(scan);
        }
        let wanted = self.projection.len();
        let mut plan = scan;
        for (ids, forbidden) in forbidden {
            let columns = ids.iter().map(|id| {
                let index = wanted + compared.binary_search(id).unwrap_or_default();
                Arc::new(Column::new(&format!("$deleted_by_{id}"), index)) as Arc<dyn PhysicalExpr>
            });
            let kept = NotDeleted { columns: columns.collect(), forbidden };
            plan = Arc::new(FilterExec::try_new(Arc::new(kept), plan)?);
        }
        let schema = plan.schema();
        let columns = (0..wanted).map(|index| {
            let name = schema.field(index).name().clone();
            (Arc::new(Column::new(&name, index)) as Arc<dyn PhysicalExpr>, name)
        });
        Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), plan)?))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        columns: Columns,
        projection: Vec<usize>,
        limit: Option<usize>,
        tasks: Vec<Task>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let hidden = self.hidden.fields().map(Arc::new);
        let constants: Vec<FieldRef> = columns.constant.iter().cloned().chain(hidden).collect();
        let table_schema = TableSchema::new(Arc::clone(&columns.stored), constants);
        let projection: Vec<usize> = projection.into_iter().filter_map(|index| columns.places.get(index).copied()).collect();
        let mut statistics = Statistics::new_unknown(table_schema.table_schema());
        let bytes = tasks.iter().map(|task| usize::try_from(task.file.size).unwrap_or(usize::MAX)).fold(0, usize::saturating_add);
        statistics.total_byte_size = Precision::Inexact(bytes);
        let rows: u64 = tasks.iter().map(|task| task.entry.record_count()).sum();
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        let untouched = tasks.iter().all(|task| task.deletes.is_empty());
        statistics.num_rows = if untouched { Precision::Exact(rows) } else { Precision::Inexact(rows) };

        let options =
            TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..TableParquetOptions::default() };
        let inner = CachedParquetFileReaderFactory::new(Arc::clone(store), Arc::clone(&cache));
        let logical = Arc::new(ArrowSchema::empty());
        let used_ids = projection.iter().filter_map(|index| field_id(columns.stored.fields().get(*index)?)).collect();
        let readers =
            Readers { inner, logical, find: FindColumns::ByName, used_ids, pages: Pages::of(state), batches: Batches::of(state) };
        let source = ParquetSource::new(table_schema)
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(readers));

        let touched: Vec<Arc<DeleteFile>> = distinct(tasks.iter().flat_map(|task| task.deletes.iter()));
        let names: HashSet<&str> = tasks.iter().map(|task| task.entry.file_path()).collect();
        let mut positions = deletes::positions(store, &touched, &names).await?;
        let mut files = Vec::with_capacity(tasks.len());
        let mut accesses: HashMap<String, (ParquetAccessPlan, Arc<ParquetMetaData>)> = HashMap::new();
        for task in tasks {
            let rows = positions.remove(task.entry.file_path());
            let constants = columns.values(&self.constants(&task))?.into_iter().chain(self.hidden.values(&task.file)).collect();
            let file = ScanFile { file: task.file, range: None, constants };
            if let Some(rows) = rows {
                let meta = object_meta(&file);
                let footer = DFParquetMetadata::new(store, &meta).with_file_metadata_cache(Some(Arc::clone(&cache)));
                let footer = footer.fetch_metadata().await?;
                let groups = footer.row_groups().iter().map(|group| u64::try_from(group.num_rows()).unwrap_or_default());
                // By its name: two objects may be of the same bytes.
                let access = without(groups, &rows);
                accesses.insert(file.file.uri.clone(), (access, footer));
            }
            files.push(file);
        }
        let groups = spread_pieces(files, state.config().target_partitions());
        let opened = |mut file: ScanFile| {
            let Some((access, footer)) = accesses.get(&file.file.uri) else { return partitioned_file(file) };
            // It is of all row groups: those of other pieces are left out here.
            let mut access = access.clone();
            if let Some(range) = file.range.take() {
                let others = begin_within(footer, &range).into_iter().enumerate().filter(|(_, own)| !own);
                others.for_each(|(number, _)| access.skip(number));
            }
            partitioned_file(file).with_extension(access)
        };
        let groups = groups.into_iter().map(|run| DfFileGroup::new(run.into_iter().map(opened).collect()));
        let schema = &self.version.schema;
        let default = |field: &FieldRef| initial_default(schema.field_by_id(field_id(field)?)?);
        let defaults: Vec<_> = columns.stored.fields().iter().map(default).collect();
        let adapters = ById { defaults: defaults.into(), mapping: columns.mapping.clone() };
        let config = FileScanConfigBuilder::new(object_store_url(), Arc::new(source))
            .with_file_groups(groups.collect())
            .with_statistics(statistics)
            .with_projection_indices(Some(projection))?
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(adapters)))
            .build();
        Ok(NestedBarrier::around(DataSourceExec::from_data_source(config)))
    }
}

/// Where the columns of a scan are: in the files, or known for each of them.
struct Columns {
    stored: ArrowSchemaRef,
    constant: Vec<FieldRef>,
    /// The place of each column behind one another: those in the files, the constant ones, the hidden ones.
    places: Vec<usize>,
    mapping: Mapping,
}

impl Columns {
    fn new(schema: &ArrowSchema, constants: &[i32], hidden: &Hidden, mapping: Mapping) -> Self {
        let known = |field: &FieldRef| field_id(field).is_some_and(|id| constants.contains(&id));
        let (constant, stored): (Vec<FieldRef>, Vec<FieldRef>) = schema.fields().iter().cloned().partition(known);
        let (mut next_stored, mut next_constant) = (0..stored.len(), stored.len()..);
        let own = schema.fields().iter().filter_map(|field| if known(field) { next_constant.next() } else { next_stored.next() });
        let fields = schema.fields().len();
        let places = own.collect::<Vec<_>>().into_iter().chain(fields..fields + hidden.names().count()).collect();
        Self { stored: Arc::new(ArrowSchema::new(stored)), constant, places, mapping }
    }

    /// What the constant columns have in a file.
    fn values(&self, known: &BTreeMap<i32, ScalarValue>) -> Result<Vec<ScalarValue>> {
        let value = |field: &FieldRef| {
            let value = field_id(field).and_then(|id| known.get(&id)).unwrap_or(&ScalarValue::Null);
            value.cast_to(field.data_type())
        };
        self.constant.iter().map(value).collect()
    }
}

fn distinct<'a>(files: impl Iterator<Item = &'a Arc<DeleteFile>>) -> Vec<Arc<DeleteFile>> {
    let mut all: Vec<Arc<DeleteFile>> = Vec::new();
    let mut known = HashSet::new();
    for file in files {
        if known.insert(Arc::as_ptr(file)) {
            all.push(Arc::clone(file));
        }
    }
    all
}

/// All rows of row groups of these lengths but those at `deleted` positions, which are sorted.
fn without(groups: impl Iterator<Item = u64>, deleted: &[u64]) -> ParquetAccessPlan {
    let mut access = Vec::new();
    let mut first = 0u64;
    let mut rest = deleted;
    for rows in groups {
        let (own, later) = rest.split_at(rest.partition_point(|row| *row < first + rows));
        rest = later;
        access.push(match own.len() as u64 {
            0 => RowGroupAccess::Scan,
            all if all == rows => RowGroupAccess::Skip,
            _ => RowGroupAccess::Selection(selection(own, first, rows)),
        });
        first += rows;
    }
    ParquetAccessPlan::new(access)
}

fn selection(deleted: &[u64], first: u64, rows: u64) -> RowSelection {
    let mut selectors: Vec<RowSelector> = Vec::new();
    let mut next = first;
    let length = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
    for row in deleted {
        if *row > next {
            selectors.push(RowSelector::select(length(row - next)));
        }
        selectors.push(RowSelector::skip(1));
        next = row + 1;
    }
    if next < first + rows {
        selectors.push(RowSelector::select(length(first + rows - next)));
    }
    selectors.into()
}

/// Finds a file's columns by id.
#[derive(Debug)]
struct ById {
    /// Of the table's columns, in their order.
    defaults: Arc<[Option<ScalarValue>]>,
    mapping: Mapping,
}

impl PhysicalExprAdapterFactory for ById {
    fn create(&self, table: ArrowSchemaRef, physical: ArrowSchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let found = self.mapping.identify(physical.fields());
        Ok(Arc::new(Adapter { table, defaults: Arc::clone(&self.defaults), physical, found }))
    }
}

#[derive(Debug)]
struct Adapter {
    table: ArrowSchemaRef,
    defaults: Arc<[Option<ScalarValue>]>,
    physical: ArrowSchemaRef,
    /// The file's columns with the ids that they have for the table.
    found: Fields,
}

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let rewritten = expr.transform_up(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
            let Some((index, wanted)) = self.table.fields().find(column.name()) else { return Ok(Transformed::no(expr)) };
            let Some((place, found)) = find_field(&self.found, wanted) else {
                let missing = match self.defaults.get(index).cloned().flatten() {
                    Some(value) => value.cast_to(wanted.data_type())?,
                    None => ScalarValue::try_from(wanted.data_type())?,
                };
                return Ok(Transformed::yes(Arc::new(Literal::new(missing))));
            };
            let stored: Arc<dyn PhysicalExpr> = Arc::new(Column::new(found.name(), place));
            let adapted = if self.physical.field(place).data_type() == wanted.data_type() {
                stored
            } else {
                Arc::new(Conformed { stored, from: Arc::clone(found), to: Arc::clone(wanted) })
            };
            Ok(Transformed::yes(adapted))
        })?;
        Ok(rewritten.data)
    }
}

/// A file's column as the table's.
#[derive(Debug, Eq)]
struct Conformed {
    stored: Arc<dyn PhysicalExpr>,
    from: FieldRef,
    to: FieldRef,
}

// The derived ones would move out of the `Arc` of a trait object.
impl PartialEq for Conformed {
    fn eq(&self, other: &Self) -> bool {
        self.stored.eq(&other.stored) && self.from == other.from && self.to == other.to
    }
}

impl Hash for Conformed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.stored.hash(state);
        self.from.hash(state);
        self.to.hash(state);
    }
}

impl fmt::Display for Conformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} AS {}", self.stored, self.to.name())
    }
}

impl PhysicalExpr for Conformed {
    fn data_type(&self, _: &ArrowSchema) -> Result<DataType> {
        Ok(self.to.data_type().clone())
    }

    fn nullable(&self, _: &ArrowSchema) -> Result<bool> {
        Ok(true)
    }

    fn return_field(&self, _: &ArrowSchema) -> Result<FieldRef> {
        Ok(Arc::clone(&self.to))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.stored.evaluate(batch)?.into_array(batch.num_rows())?;
        // The reader may give the column without the ids of nested fields; its type is the file's otherwise.
        let from = Field::new(self.from.name(), self.from.data_type().clone(), true);
        Ok(ColumnarValue::Array(conform(&array, &from, &self.to, Match::Id)?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.stored]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let stored = children.pop().unwrap_or_else(|| Arc::clone(&self.stored));
        Ok(Arc::new(Self { stored, from: Arc::clone(&self.from), to: Arc::clone(&self.to) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
