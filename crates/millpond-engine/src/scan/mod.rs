//! Tables of the lake as DataFusion sees them.
//!
//! A [`LakeTable`] asks the catalog for its files when it is scanned, with the query's conditions on partition keys ([`partition`]), and so reads
//! one consistent snapshot. Parquet is read by DataFusion's own source ([`parquet`]), text and Avro by the shared decoders ([`text`]). Files are
//! spread over few partitions of work by size: ten thousand small files cost no more plan than ten.

mod damaged;
mod files;
mod hive;
mod pages;
mod parquet;
pub mod partition;
mod partitions;
mod statistics;
mod text;

pub(crate) use damaged::name_damaged_files;
pub(crate) use files::{ScanFile, spread_pieces};
pub(crate) use pages::PageCache;
pub(crate) use parquet::{Batches, FOOTER_BYTES, FindColumns, Pages, Readers, begin_within, object_meta, partitioned_file};
pub(crate) use partitions::PartitionsTable;

use crate::format::{FormatError, parquet_by_index};
use crate::query::QueryError;
use crate::table::{FileGroup, Format, ScanRequest, TableSource};
use crate::types::{HiveType, TrinoType};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use millpond_core::catalog::{Column, StorageDescriptor, Table};
use millpond_core::partition_expr::PartitionExpr;
use std::collections::HashMap;
use std::sync::Arc;

/// Under this URL a statement's session finds the lake's objects.
pub(crate) fn store_url() -> url::Url {
    url::Url::parse("millpond://blobs").expect("a constant URL")
}

pub(crate) fn object_store_url() -> ObjectStoreUrl {
    ObjectStoreUrl::parse("millpond://blobs").expect("a constant URL")
}

/// Columns that every table has and that only a statement which names them sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hidden(Vec<&'static str>);

/// The file that a row comes from, as `s3://bucket/key`.
pub(crate) const PATH: &str = "$path";
const FILE_SIZE: &str = "$file_size";
const FILE_MODIFIED: &str = "$file_modified_time";

impl Hidden {
    /// Those that a statement mentions.
    pub(crate) fn mentioned(mentions: impl Fn(&str) -> bool) -> Self {
        Self([PATH, FILE_SIZE, FILE_MODIFIED].into_iter().filter(|name| mentions(name)).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = Field> + '_ {
        self.names().map(|name| {
            let data_type = match name {
                FILE_SIZE => DataType::Int64,
                FILE_MODIFIED => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
                _ => DataType::Utf8,
            };
            Field::new(name, data_type, true)
        })
    }
}

/// A table of the catalog.
#[derive(Debug)]
pub(crate) struct LakeTable {
    table: Arc<Table>,
    source: Arc<dyn TableSource>,
    shape: Arc<Shape>,
    schema: SchemaRef,
}

/// A table's columns by where their values come from.
#[derive(Debug)]
pub(crate) struct Shape {
    /// In the files, by name.
    pub(crate) file_columns: Vec<Column>,
    /// Their schema.
    pub(crate) file_schema: SchemaRef,
    /// Those whose values are not those of files as they are.
    shaped: Arc<[Option<HiveType>]>,
    /// Partition keys, then hidden columns: the same for all rows of a file.
    pub(crate) constant_schema: SchemaRef,
    pub(crate) partition_keys: Vec<(String, HiveType)>,
    pub(crate) hidden: Hidden,
}

impl LakeTable {
    /// The catalog's entry.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// # Errors
    /// A column's type is not understood.
    pub(crate) fn new(table: Table, source: Arc<dyn TableSource>, hidden: Hidden) -> std::result::Result<Self, QueryError> {
        let shape = Arc::new(Shape::new(&table, hidden)?);
        let fields = shape.file_schema.fields().iter().chain(shape.constant_schema.fields()).cloned().collect::<Vec<_>>();
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { table: Arc::new(table), source, shape, schema })
    }
}

impl Shape {
    fn new(table: &Table, hidden: Hidden) -> std::result::Result<Self, QueryError> {
        let parse = |column: &Column| {
            HiveType::parse(&column.data_type).map_err(|error| {
                QueryError::InvalidMetadata(format!(
                    "column '{}' of table {}.{}: {error}",
                    column.name, table.database, table.name
                ))
            })
        };
        let mut partition_keys = Vec::new();
        for key in &table.partition_keys {
            partition_keys.push((key.name.to_lowercase(), parse(key)?));
        }
        // Some catalogs list partition keys among the columns, or a column twice: the key wins, and the first.
        let mut file_columns: Vec<Column> = Vec::new();
        for column in &table.storage.columns {
            let name = column.name.to_lowercase();
            let known = partition_keys.iter().any(|(key, _)| *key == name) || file_columns.iter().any(|other| other.name == name);
            if !known {
                file_columns.push(Column { name, ..column.clone() });
            }
        }
        let (mut fields, mut shaped) = (Vec::new(), Vec::new());
        for column in &file_columns {
            let hive = parse(column)?;
            let field = Field::new(&column.name, hive.to_arrow(), true);
            let is_shaped = hive::is_shaped(&hive);
            fields.push(if is_shaped { TrinoType::of_hive(&hive).mark(field) } else { field });
            shaped.push(is_shaped.then_some(hive));
        }
        let keys = partition_keys.iter().map(|(name, key)| TrinoType::of_hive(key).mark(Field::new(name, key.to_arrow(), true)));
        let constants = keys.chain(hidden.fields());
        let constant_schema = Arc::new(Schema::new(constants.collect::<Vec<_>>()));
        let file_schema = Arc::new(Schema::new(fields));
        Ok(Self { file_columns, file_schema, shaped: shaped.into(), constant_schema, partition_keys, hidden })
    }

    fn is_partition_key(&self, name: &str) -> bool {
        self.partition_keys.iter().any(|(key, _)| key == name)
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let answer = filters.iter().map(|filter| {
            if partition::to_partition_expr(filter, &self.shape.partition_keys).is_some() {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Inexact
            }
        });
        Ok(answer.collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let pruning = partition::Pruning::new(filters, &self.shape);
        let request = scan_request(state, pruning.expr.clone());
        let groups = self.source.scan(&self.table, &request).await.map_err(QueryError::from)?;
        let groups = pruning.prune(groups, &self.shape, state)?;
        let scan = Scan {
            shape: Arc::clone(&self.shape),
            schema: Arc::clone(&self.schema),
            projection: projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect()),
            limit,
        };
        scan.plan(state, self.by_format(groups)?).await
    }
}

impl LakeTable {
    /// Groups whose files are read in the same way, together. A partition may have a format of its own.
    fn by_format(&self, groups: Vec<FileGroup>) -> Result<Vec<Alike>> {
        let mut alike: Vec<Alike> = Vec::new();
        // A million partitions have few descriptors, which they share.
        let mut known: HashMap<*const StorageDescriptor, usize> = HashMap::new();
        for group in groups {
            let descriptor = Arc::as_ptr(&group.storage);
            let index = match known.get(&descriptor) {
                Some(index) => *index,
                None => {
                    let index = self.alike(&group, &mut alike)?;
                    known.insert(descriptor, index);
                    index
                }
            };
            alike[index].groups.push(group);
        }
        Ok(alike)
    }

    /// The place of those that are read as the group is.
    fn alike(&self, group: &FileGroup, alike: &mut Vec<Alike>) -> Result<usize> {
        let wrong = |error: FormatError| {
            QueryError::InvalidMetadata(format!("table {}.{}: {error}", self.table.database, self.table.name))
        };
        self.check_partition(group)?;
        let format = Format::of(&group.storage, &self.table.parameters).map_err(wrong)?;
        let is_parquet = format == Format::Parquet;
        let by_index = is_parquet && parquet_by_index(&group.storage, &self.table.parameters).map_err(wrong)?;
        // Parquet is read by the table's columns; text by its own partition's, in their order.
        let own = !group.storage.columns.is_empty() && !is_parquet;
        let columns = if own { group.storage.columns.clone() } else { self.table.storage.columns.clone() };
        let same = |other: &Alike| {
            other.format == format && other.by_index == by_index && (is_parquet || same_columns(&other.columns, &columns))
        };
        if let Some(index) = alike.iter().position(same) {
            return Ok(index);
        }
        alike.push(Alike { format, columns, by_index, groups: Vec::new() });
        Ok(alike.len() - 1)
    }

    /// Whether what a partition says of its columns can be read as what the table says (Athena user guide, "Updates in tables with partitions").
    fn check_partition(&self, group: &FileGroup) -> Result<()> {
        for own in &group.storage.columns {
            let Some(column) = self.shape.file_columns.iter().find(|column| column.name.eq_ignore_ascii_case(&own.name)) else {
                continue;
            };
            if own.data_type == column.data_type {
                continue;
            }
            let types = (HiveType::parse(&own.data_type), HiveType::parse(&column.data_type));
            if let (Ok(from), Ok(to)) = types
                && !is_coercible(&from, &to)
            {
                let keys = self.shape.partition_keys.iter().zip(&group.values);
                let partition: Vec<String> = keys.map(|((key, _), value)| format!("{key}={value}")).collect();
                let message = format!(
                    "There is a mismatch between the table and partition schemas. The types are incompatible and cannot be coerced. The column \
                     '{name}' in table '{}.{}' is declared as type '{to}', but partition '{}' declared column '{name}' as type '{from}'.",
                    self.table.database,
                    self.table.name,
                    partition.join("/"),
                    name = column.name,
                );
                return Err(QueryError::Table { name: "HIVE_PARTITION_SCHEMA_MISMATCH", message }.into());
            }
        }
        Ok(())
    }
}

/// Whether every value of a partition's type has a meaning as the table's.
fn is_coercible(from: &HiveType, to: &HiveType) -> bool {
    use HiveType as T;
    let number = |t: &T| matches!(t, T::TinyInt | T::SmallInt | T::Int | T::BigInt | T::Float | T::Double | T::Decimal(..));
    match (from, to) {
        (from, to) if from == to => true,
        (T::Array(a), T::Array(b)) => is_coercible(a, b),
        (T::Map(k, v), T::Map(k2, v2)) => is_coercible(k, k2) && is_coercible(v, v2),
        (T::Struct(a), T::Struct(b)) => b.iter().all(|(name, t)| {
            let found = a.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
            found.is_none_or(|(_, from)| is_coercible(from, t))
        }),
        (T::Array(_) | T::Map(..) | T::Struct(_), _) | (_, T::Array(_) | T::Map(..) | T::Struct(_)) => false,
        (_, to) if to.is_text() => true,
        (from, to) if number(from) && number(to) => true,
        (from, to) if from.is_text() => number(to) || *to == T::Binary,
        (T::Date, T::Timestamp) | (T::Timestamp, T::Date) => true,
        _ => false,
    }
}

/// What the source is asked for.
fn scan_request(state: &dyn Session, filter: Option<PartitionExpr>) -> ScanRequest {
    let now = state.execution_props().query_execution_start_time;
    ScanRequest { filter, now_ms: now.map_or(0, |now| now.timestamp_millis()) }
}

fn same_columns(a: &[Column], b: &[Column]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name == b.name && a.data_type == b.data_type)
}

/// File groups of one format and one list of columns.
pub(crate) struct Alike {
    pub(crate) format: Format,
    pub(crate) columns: Vec<Column>,
    /// Parquet: the table's first column is the files' first, and so on.
    pub(crate) by_index: bool,
    pub(crate) groups: Vec<FileGroup>,
}

/// One scan of a table.
pub(crate) struct Scan {
    pub(crate) shape: Arc<Shape>,
    /// Of the whole table.
    pub(crate) schema: SchemaRef,
    /// Indices into `schema`.
    pub(crate) projection: Vec<usize>,
    pub(crate) limit: Option<usize>,
}

impl Scan {
    async fn plan(&self, state: &dyn Session, alike: Vec<Alike>) -> Result<Arc<dyn ExecutionPlan>> {
        let mut plans: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        for one in alike {
            if one.groups.iter().all(|group| group.files.is_empty()) {
                continue;
            }
            plans.push(match one.format {
                Format::Parquet => self.parquet(state, one).await?,
                _ => self.text(state, one)?,
            });
        }
        match plans.len() {
            0 => Ok(Arc::new(EmptyExec::new(Arc::new(self.schema.project(&self.projection)?)))),
            1 => Ok(plans.remove(0)),
            _ => UnionExec::try_new(plans),
        }
    }
}
