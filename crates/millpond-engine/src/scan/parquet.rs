//! Parquet through DataFusion's source: row groups and pages are pruned by statistics, and only the columns that are wanted are read.
//!
//! Files are read by column name, without regard to case, or by place. A column that a file lacks is NULL; one of another type is cast where that keeps
//! its meaning, else the file is reported by name, as Athena does.

use super::files::{ScanFile, scan_files, spread_pieces};
use super::hive::HiveColumns;
use super::pages::{FilePages, PageCache, place_in_file};
use super::{Alike, Scan, object_store_url, statistics};
use crate::decode::row_bytes;
use crate::query::{BatchLimit, MeteredStore, QueryError};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use bytes::Bytes;
use chrono::DateTime;
use datafusion::catalog::Session;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetFileReaderFactory};
use datafusion::datasource::physical_plan::{FileGroup as DfFileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::{DefaultPhysicalExprAdapter, PhysicalExprAdapter, PhysicalExprAdapterFactory};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectMeta;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, PARQUET_FIELD_ID_META_KEY, parquet_to_arrow_schema};
use parquet::errors::ParquetError;
use parquet::file::metadata::{FileMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataBuilder, RowGroupMetaData};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Bytes at a file's end that are read first: nearly every footer fits.
pub(crate) const FOOTER_BYTES: usize = 32 << 10;

impl Scan {
    pub(super) async fn parquet(&self, state: &dyn Session, alike: Alike) -> Result<Arc<dyn ExecutionPlan>> {
        let find = match alike.by_index {
            false => FindColumns::ByName,
            true => FindColumns::ByIndex(
                self.shape
                    .file_columns
                    .iter()
                    .map(|column| alike.columns.iter().position(|own| own.name.eq_ignore_ascii_case(&column.name)))
                    .collect(),
            ),
        };
        let files = scan_files(alike.groups, &self.shape)?;
        let url = object_store_url();
        let store = state.runtime_env().object_store(&url)?;
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let about = (self.shape.as_ref(), &self.schema);
        let mut statistics = statistics::of_scan(&files, about, &self.projection, &store, &cache).await;
        if alike.by_index {
            // They were found by name.
            statistics.column_statistics = Statistics::unknown_column(&self.schema);
        }
        let constants = self.shape.constant_schema.fields().iter().cloned().collect();
        let schema = TableSchema::new(Arc::clone(&self.shape.file_schema), constants);
        let options =
            TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..TableParquetOptions::default() };
        // A file may contradict the table in columns that nobody asks for.
        let mut used = self.projection.clone();
        used.retain(|index| *index < self.shape.file_columns.len());
        let readers = Readers {
            inner: CachedParquetFileReaderFactory::new(store, cache),
            logical: Arc::new(self.shape.file_schema.project(&used)?),
            find: find.only(&used),
            used_ids: Arc::default(),
            pages: Pages::of(state),
            batches: Batches::of(state),
        };
        let find = HiveColumns { find, shaped: Arc::clone(&self.shape.shaped) };
        let source = ParquetSource::new(schema)
            .with_table_parquet_options(options)
            .with_metadata_size_hint(FOOTER_BYTES)
            .with_parquet_file_reader_factory(Arc::new(readers));
        let groups = spread_pieces(files, state.config().target_partitions());
        let groups = groups.into_iter().map(|run| DfFileGroup::new(run.into_iter().map(partitioned_file).collect()));
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups.collect())
            .with_statistics(statistics)
            .with_projection_indices(Some(self.projection.clone()))?
            .with_limit(self.limit)
            .with_expr_adapter(Some(Arc::new(find)))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

pub(crate) fn object_meta(file: &ScanFile) -> ObjectMeta {
    ObjectMeta {
        location: file.file.blob.clone(),
        last_modified: DateTime::from_timestamp_millis(file.file.modified_ms).unwrap_or_default(),
        size: file.file.size,
        e_tag: Some(file.file.etag.clone()),
        version: None,
    }
}

pub(crate) fn partitioned_file(file: ScanFile) -> PartitionedFile {
    let partitioned = PartitionedFile::new_from_meta(object_meta(&file)).with_partition_values(file.constants.to_vec());
    let partitioned = match file.range {
        Some(range) => partitioned.with_extension(Piece(range)),
        None => partitioned,
    };
    partitioned.with_extension(Uri(file.file.uri))
}

/// The row groups that begin in these bytes of a file. A reader shows no others. (DataFusion's own ranges look at where row groups begin, too, but where
/// unpacked ones are shown to begin.)
#[derive(Debug, Clone)]
struct Piece(Range<u64>);

impl Piece {
    fn has(&self, group: &RowGroupMetaData) -> bool {
        let first = group.columns().first();
        // One that is nowhere is the first piece's: it is to be told once that it can't be read.
        first.is_none_or(|column| self.0.contains(&place_in_file(column).map_or(0, |at| at.start)))
    }
}

/// Which of a file's row groups begin within the range, in their order.
pub(crate) fn begin_within(metadata: &ParquetMetaData, range: &Range<u64>) -> Vec<bool> {
    let piece = Piece(range.clone());
    metadata.row_groups().iter().map(|group| piece.has(group)).collect()
}

/// For people: which object a file is.
#[derive(Debug, Clone)]
pub(super) struct Uri(String);

impl Uri {
    pub(super) fn of(file: &PartitionedFile) -> String {
        file.extension::<Self>().map_or_else(|| file.object_meta.location.to_string(), |uri| uri.0.clone())
    }
}

/// Readers whose errors name the object, and which check a file's columns against the table's before anything is read.
#[derive(Debug)]
pub(crate) struct Readers {
    pub(crate) inner: CachedParquetFileReaderFactory,
    /// Columns that a file must have in types that can be read as these, by name.
    pub(crate) logical: SchemaRef,
    pub(crate) find: FindColumns,
    /// Columns that are found by their ids.
    pub(crate) used_ids: Arc<[i32]>,
    pub(crate) pages: Option<Pages>,
    pub(crate) batches: Batches,
}

/// How large batches are.
#[derive(Debug, Clone)]
pub(crate) struct Batches {
    rows: usize,
    limit: BatchLimit,
}

impl Batches {
    /// Of the engine that a statement runs in.
    pub(crate) fn of(state: &dyn Session) -> Self {
        let limit = BatchLimit::of(state.runtime_env().memory_pool.as_ref(), state.config_options());
        Self { rows: state.config().batch_size(), limit }
    }
}

/// What pages come from besides files.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    cache: Arc<PageCache>,
    store: Arc<MeteredStore>,
}

impl Pages {
    /// Of the engine that a statement runs in.
    pub(crate) fn of(state: &dyn Session) -> Option<Self> {
        Some(Self { cache: state.config().get_extension()?, store: state.config().get_extension()? })
    }
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let uri = Uri::of(&file);
        let piece = file.extension::<Piece>().cloned();
        let pages = self.pages.clone().and_then(|Pages { cache, store }| FilePages::new(cache, store, &file.object_meta));
        let inner = self.inner.create_reader(partition_index, file, metadata_size_hint, metrics)?;
        let (logical, find, batches) = (Arc::clone(&self.logical), self.find.clone(), self.batches.clone());
        let used_ids = Arc::clone(&self.used_ids);
        Ok(Box::new(Reader { inner, uri, logical, find, used_ids, batches, piece, pages, metadata: None }))
    }
}

struct Reader {
    inner: Box<dyn AsyncFileReader + Send>,
    uri: String,
    logical: SchemaRef,
    find: FindColumns,
    used_ids: Arc<[i32]>,
    batches: Batches,
    piece: Option<Piece>,
    pages: Option<FilePages>,
    /// The file's own.
    metadata: Option<Arc<ParquetMetaData>>,
}

impl Reader {
    /// Whether rows are not too wide, before they are read.
    fn check_rows(&self, metadata: &ParquetMetaData, physical: &Schema) -> Result<(), QueryError> {
        let file = metadata.file_metadata().schema_descr();
        let fields = self.logical.fields().iter().enumerate();
        let named = fields.filter_map(|(index, field)| self.find.place(index, field.name(), physical));
        let is_used = |id: &str| id.parse().is_ok_and(|id: i32| self.used_ids.contains(&id));
        let numbered = physical.fields().iter().enumerate();
        let numbered =
            numbered.filter(|(_, field)| field.metadata().get(PARQUET_FIELD_ID_META_KEY).is_some_and(|id| is_used(id)));
        let used: HashSet<usize> = named.chain(numbered.map(|(place, _)| place)).collect();
        for group in metadata.row_groups().iter().filter(|group| self.piece.as_ref().is_none_or(|piece| piece.has(group))) {
            let rows = usize::try_from(group.num_rows()).unwrap_or_default();
            self.batches.limit.check(row_bytes(group, file, &used), rows.min(self.batches.rows))?;
        }
        Ok(())
    }

    async fn read(&mut self, ranges: Vec<Range<u64>>) -> parquet::errors::Result<Vec<Bytes>> {
        let Some(pages) = &mut self.pages else { return self.inner.get_byte_ranges(ranges).await };
        // Not every reader is asked for them: one may go on where another began.
        let metadata = match &self.metadata {
            Some(metadata) => Arc::clone(metadata),
            None => {
                let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Skip);
                let metadata = self.inner.get_metadata(Some(&options)).await?;
                Arc::clone(self.metadata.insert(metadata))
            }
        };
        pages.read(self.inner.as_mut(), &metadata, ranges).await
    }
}

pub(super) fn own(error: QueryError) -> ParquetError {
    ParquetError::External(Box::new(error))
}

/// Keeps our own errors (a limit that was reached), and names the object in all others.
fn blame(error: ParquetError, uri: &str, message: &str) -> ParquetError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = match &error {
        ParquetError::External(inner) => Some(inner.as_ref()),
        _ => None,
    };
    while let Some(inner) = cause {
        if let Some(ours) = inner.downcast_ref::<QueryError>() {
            return own(ours.clone());
        }
        cause = inner.source();
    }
    own(QueryError::CannotOpen { uri: uri.to_owned(), message: format!("{message}: {error}") })
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let uri = &self.uri;
        self.inner
            .get_bytes(range)
            .map(move |read| read.map_err(|error| blame(error, uri, "its bytes could not be read")))
            .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move {
            let read = self.read(ranges).await;
            read.map_err(|error| blame(error, &self.uri, "its bytes could not be read"))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let read = self.inner.get_metadata(options).await;
            let metadata = read.map_err(|error| blame(error, &self.uri, "it is not a valid Parquet file"))?;
            let file = metadata.file_metadata();
            let physical = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
            check_columns(&physical, &self.logical, &self.find, &self.uri)?;
            self.check_rows(&metadata, &physical).map_err(own)?;
            let shown = show(&metadata, &physical, self.piece.as_ref(), self.pages.as_ref())?;
            self.metadata = Some(metadata);
            Ok(shown)
        }
        .boxed()
    }
}

/// A file's metadata as they are shown to its reader: of the row groups of its piece, of which some are unpacked, and without Arrow's own schema where that
/// asks for views or dictionaries (values would be read as such, and made plain ones afterwards).
fn show(
    metadata: &Arc<ParquetMetaData>,
    physical: &Schema,
    piece: Option<&Piece>,
    pages: Option<&FilePages>,
) -> parquet::errors::Result<Arc<ParquetMetaData>> {
    let file = metadata.file_metadata();
    let as_is = !physical.fields().iter().any(|field| is_indirect(field.data_type()));
    let numbered = metadata.row_groups().iter().enumerate();
    let own: Vec<_> = numbered.filter(|(_, group)| piece.is_none_or(|piece| piece.has(group))).collect();
    let offsets = |number: usize| metadata.offset_index().and_then(|index| index.get(number));
    let mut unpacked = HashMap::new();
    for (number, group) in &own {
        if let Some(pages) = pages
            && let Some(shown) = pages.show(*number, group, offsets(*number).map(Vec::as_slice))?
        {
            unpacked.insert(*number, shown);
        }
    }
    if as_is && own.len() == metadata.num_row_groups() && unpacked.is_empty() {
        return Ok(Arc::clone(metadata));
    }
    let others = file.key_value_metadata().map(|all| {
        let others = all.iter().filter(|entry| as_is || entry.key != ARROW_SCHEMA_META_KEY);
        others.cloned().collect()
    });
    let described = FileMetaData::new(
        file.version(),
        own.iter().map(|(_, group)| group.num_rows()).fold(0, i64::saturating_add),
        file.created_by().map(str::to_owned),
        others,
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    let column_index =
        metadata.column_index().map(|index| own.iter().filter_map(|(number, _)| index.get(*number).cloned()).collect());
    let mut groups = Vec::with_capacity(own.len());
    let mut offset_index = metadata.offset_index().map(|_| Vec::with_capacity(own.len()));
    for (number, group) in own {
        let (group, changed) = match unpacked.remove(&number) {
            Some((group, changed)) => (group, changed),
            None => (group.clone(), None),
        };
        groups.push(group);
        if let (Some(index), Some(own)) = (&mut offset_index, changed.or_else(|| offsets(number).cloned())) {
            index.push(own);
        }
    }
    let shown = ParquetMetaDataBuilder::new(described).set_row_groups(groups);
    Ok(Arc::new(shown.set_column_index(column_index).set_offset_index(offset_index).build()))
}

/// Whether values of a type refer to others.
fn is_indirect(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8View | DataType::BinaryView | DataType::Dictionary(..) | DataType::ListView(_) => true,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) | DataType::Map(item, _) => {
            is_indirect(item.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|field| is_indirect(field.data_type())),
        _ => false,
    }
}

/// Refuses a file whose column can't be read as the table's type.
fn check_columns(physical: &Schema, logical: &Schema, find: &FindColumns, uri: &str) -> parquet::errors::Result<()> {
    for (index, field) in logical.fields().iter().enumerate() {
        let Some(found) = find.place(index, field.name(), physical).map(|place| physical.field(place)) else { continue };
        if !readable_as(found.data_type(), field.data_type()) {
            let message = format!(
                "Field {}'s type {} in the Parquet file is incompatible with type {} defined in the table's schema",
                field.name(),
                crate::types::hive_type(found.data_type()),
                crate::types::hive_type(field.data_type())
            );
            return Err(own(QueryError::BadData { uri: uri.to_owned(), message }));
        }
    }
    Ok(())
}

/// Whether values of one type keep their meaning as another. Numbers and texts are not mixed, except that anything simple can be text.
fn readable_as(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    let number = |t: &DataType| t.is_numeric() || *t == T::Boolean;
    let text = |t: &DataType| {
        matches!(t, T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_))
    };
    match (from, to) {
        (from, to) if from == to => true,
        (T::Dictionary(_, value), to) => readable_as(value, to),
        (T::List(a) | T::LargeList(a) | T::FixedSizeList(a, _), T::List(b)) => readable_as(a.data_type(), b.data_type()),
        (T::Struct(a), T::Struct(b)) => b.iter().all(|wanted| {
            let found = a.iter().find(|field| field.name().eq_ignore_ascii_case(wanted.name()));
            found.is_none_or(|found| readable_as(found.data_type(), wanted.data_type()))
        }),
        (T::Map(a, _), T::Map(b, _)) => readable_as(a.data_type(), b.data_type()),
        (from, T::Utf8) if !from.is_nested() => true,
        (from, to) if number(from) && number(to) => true,
        (from, to) if text(from) && text(to) => true,
        (T::Date32 | T::Date64 | T::Timestamp(_, _), T::Date32 | T::Timestamp(_, _)) => true,
        (T::Int64 | T::Int32, T::Timestamp(_, _) | T::Date32) => false,
        (T::Null, _) => true,
        _ => false,
    }
}

/// How a file's columns are found.
#[derive(Debug, Clone)]
pub(crate) enum FindColumns {
    /// Without regard to case (Spark writes `MixedCase`; the catalog's names are lower case).
    ByName,
    /// For each of the table's columns in files, its place (`parquet.column.index.access`).
    ByIndex(Arc<[Option<usize>]>),
}

impl FindColumns {
    /// For some of the table's columns.
    fn only(&self, used: &[usize]) -> Self {
        match self {
            Self::ByName => Self::ByName,
            Self::ByIndex(places) => Self::ByIndex(used.iter().map(|index| places.get(*index).copied().flatten()).collect()),
        }
    }

    /// The file's column for the table's column of this place and name.
    pub(super) fn place(&self, index: usize, name: &str, physical: &Schema) -> Option<usize> {
        match self {
            Self::ByName => {
                let exact = physical.fields().iter().position(|field| field.name() == name);
                exact.or_else(|| physical.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name)))
            }
            Self::ByIndex(places) => places.get(index).copied().flatten().filter(|place| *place < physical.fields().len()),
        }
    }
}

impl PhysicalExprAdapterFactory for FindColumns {
    fn create(&self, logical: SchemaRef, physical: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        // Names that no column of a table has, for those that it does not know.
        let mut names: Vec<String> = (0..physical.fields().len()).map(|place| format!("\0{place}")).collect();
        for (index, field) in logical.fields().iter().enumerate() {
            if let Some(place) = self.place(index, field.name(), &physical) {
                field.name().clone_into(&mut names[place]);
            }
        }
        let fields = physical.fields().iter().zip(names).map(|(field, name)| field.as_ref().clone().with_name(name));
        let renamed: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Arc::new(Renamed { inner: DefaultPhysicalExprAdapter::new(logical, renamed), physical }))
    }
}

#[derive(Debug)]
struct Renamed {
    inner: DefaultPhysicalExprAdapter,
    physical: SchemaRef,
}

impl PhysicalExprAdapter for Renamed {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let adapted = self.inner.rewrite(expr)?;
        // The reader looks for the names that the file has.
        let renamed = adapted.transform_up(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
            match self.physical.fields().get(column.index()) {
                Some(field) if field.name() != column.name() => {
                    Ok(Transformed::yes(Arc::new(Column::new(field.name(), column.index())) as Arc<dyn PhysicalExpr>))
                }
                _ => Ok(Transformed::no(expr)),
            }
        })?;
        Ok(renamed.data)
    }
}
