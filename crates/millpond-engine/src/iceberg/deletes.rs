//! Rows that delete files take out of data files.

use super::invalid;
use super::mapping::Mapping;
use super::schema::{self, Match, conform, find_field};
use crate::query::QueryError;
use crate::table::{DeleteContent, DeleteFile};
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema};
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Bytes of one delete file at the most: packed, and as its footer says unpacked.
const DELETE_BYTES_MAX: u64 = 256 << 20;
const UNPACKED_BYTES_MAX: i64 = 1 << 30;
/// Rows of delete files that are decoded at once.
const BATCH_ROWS: usize = 1024;
/// Rows that all of a scan's delete files together may delete, and bytes of memory for them.
const DELETED_ROWS_MAX: usize = 20_000_000;
const HELD_BYTES_MAX: usize = 512 << 20;
/// Bytes that a row takes in a set besides its own.
const ROW_OVERHEAD_BYTES: usize = 48;

/// Row positions that are deleted, by data file: sorted, each once.
pub(super) type Positions = HashMap<String, Vec<u64>>;

/// Reads the position deletes among `files`, as far as they are about `wanted` data files.
pub(super) async fn positions(
    store: &Arc<dyn ObjectStore>,
    files: &[Arc<DeleteFile>],
    wanted: &HashSet<&str>,
) -> Result<Positions, QueryError> {
    let mut all = Positions::new();
    let mut room = DELETED_ROWS_MAX;
    for file in files.iter().filter(|file| file.content == DeleteContent::Positions) {
        for batch in batches(store, file).await? {
            let batch = batch.map_err(|error| broken(file, error))?;
            let column = |name: &str| batch.column_by_name(name).cloned();
            let (Some(paths), Some(rows)) = (column("file_path"), column("pos")) else {
                return Err(broken(file, "it has no columns file_path and pos"));
            };
            let paths = arrow::compute::cast(&paths, &DataType::Utf8).map_err(|error| broken(file, error))?;
            let rows = arrow::compute::cast(&rows, &DataType::Int64).map_err(|error| broken(file, error))?;
            let (paths, rows) = (paths.as_string::<i32>(), rows.as_primitive::<Int64Type>());
            for (path, row) in paths.iter().zip(rows.iter()) {
                let (Some(path), Some(row)) = (path.filter(|path| wanted.contains(path)), row) else { continue };
                room = room.checked_sub(1).ok_or_else(too_many)?;
                let row = u64::try_from(row).map_err(|error| broken(file, error))?;
                match all.get_mut(path) {
                    Some(rows) => rows.push(row),
                    None => drop(all.insert(path.to_owned(), vec![row])),
                }
            }
        }
    }
    for rows in all.values_mut() {
        rows.sort_unstable();
        rows.dedup();
    }
    Ok(all)
}

fn too_many() -> QueryError {
    QueryError::ExceededMemory(format!(
        "more than {DELETED_ROWS_MAX} rows of the table, or {HELD_BYTES_MAX} bytes of them, are marked as deleted: run OPTIMIZE on it"
    ))
}

fn broken(file: &DeleteFile, message: impl fmt::Display) -> QueryError {
    super::named("ICEBERG_BAD_DATA", format!("the delete file {} cannot be read: {message}", file.file.uri))
}

/// The rows of a delete file, decoded as they are asked for.
async fn batches(store: &Arc<dyn ObjectStore>, file: &DeleteFile) -> Result<ParquetRecordBatchReader, QueryError> {
    if file.file.size > DELETE_BYTES_MAX {
        return Err(broken(file, format!("it has more than {DELETE_BYTES_MAX} bytes")));
    }
    let read = async { store.get(&file.file.blob).await?.bytes().await };
    let bytes: Bytes = read.await.map_err(|error| broken(file, error))?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).map_err(|error| broken(file, error))?;
    let unpacked = builder.metadata().row_groups().iter().map(|group| group.total_byte_size()).fold(0, i64::saturating_add);
    if unpacked > UNPACKED_BYTES_MAX {
        return Err(broken(file, format!("it has more than {UNPACKED_BYTES_MAX} bytes, unpacked")));
    }
    builder.with_batch_size(BATCH_ROWS).build().map_err(|error| broken(file, error))
}

/// Values that rows may not have in some columns.
pub(super) struct Forbidden {
    converter: RowConverter,
    rows: HashSet<Box<[u8]>>,
    /// Names them in plans.
    ids: Vec<i32>,
}

impl fmt::Debug for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forbidden").field("ids", &self.ids).field("rows", &self.rows.len()).finish()
    }
}

/// The equality deletes among `files`, by the columns that they compare, which are `fields` by their ids.
pub(super) async fn equalities(
    store: &Arc<dyn ObjectStore>,
    files: &[Arc<DeleteFile>],
    fields: &HashMap<i32, Field>,
    mapping: &Mapping,
) -> Result<Vec<(Vec<i32>, Arc<Forbidden>)>, QueryError> {
    let mut all: Vec<(Vec<i32>, Forbidden)> = Vec::new();
    let (mut room, mut held) = (DELETED_ROWS_MAX, HELD_BYTES_MAX);
    for file in files {
        let DeleteContent::Equality(ids) = &file.content else { continue };
        let mut ids = ids.clone();
        ids.sort_unstable();
        let wanted = ids.iter().map(|id| fields.get(id)).collect::<Option<Vec<_>>>();
        let wanted = wanted
            .filter(|wanted| !wanted.is_empty())
            .ok_or_else(|| broken(file, "it compares columns that the table never had"))?;
        let known = all.iter().position(|(other, _)| *other == ids);
        let index = match known {
            Some(index) => index,
            None => {
                let sorts = wanted.iter().map(|field| SortField::new(field.data_type().clone())).collect();
                let converter = RowConverter::new(sorts).map_err(invalid)?;
                all.push((ids.clone(), Forbidden { converter, rows: HashSet::new(), ids: ids.clone() }));
                all.len() - 1
            }
        };
        let forbidden = &mut all[index].1;
        for batch in batches(store, file).await? {
            let batch = batch.map_err(|error| broken(file, error))?;
            let found = mapping.identify(batch.schema().fields());
            let columns = wanted.iter().map(|field| {
                let (index, found) =
                    find_field(&found, field).ok_or_else(|| broken(file, format!("it has no column {}", field.name())))?;
                conform(batch.column(index), found, field, Match::Id).map_err(|error| broken(file, error))
            });
            let columns = columns.collect::<Result<Vec<ArrayRef>, QueryError>>()?;
            let rows = forbidden.converter.convert_columns(&columns).map_err(|error| broken(file, error))?;
            room = room.checked_sub(rows.num_rows()).ok_or_else(too_many)?;
            for row in &rows {
                let row: Box<[u8]> = row.data().into();
                held = held.checked_sub(row.len() + ROW_OVERHEAD_BYTES).ok_or_else(too_many)?;
                forbidden.rows.insert(row);
            }
        }
    }
    Ok(all.into_iter().map(|(ids, forbidden)| (ids, Arc::new(forbidden))).collect())
}

/// Whether a row's values are not among those that are deleted.
#[derive(Debug)]
pub(super) struct NotDeleted {
    pub(super) columns: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) forbidden: Arc<Forbidden>,
}

impl fmt::Display for NotDeleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not_deleted({:?})", self.forbidden)
    }
}

impl PartialEq for NotDeleted {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.forbidden, &other.forbidden) && self.columns == other.columns
    }
}

impl Eq for NotDeleted {}

impl Hash for NotDeleted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.forbidden).hash(state);
        self.columns.hash(state);
    }
}

impl PhysicalExpr for NotDeleted {
    fn data_type(&self, _: &ArrowSchema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _: &ArrowSchema) -> Result<bool> {
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let columns = self.columns.iter().map(|column| column.evaluate(batch)?.into_array(batch.num_rows()));
        let rows = self.forbidden.converter.convert_columns(&columns.collect::<Result<Vec<_>>>()?)?;
        let kept: BooleanArray = rows.iter().map(|row| Some(!self.forbidden.rows.contains(row.data()))).collect();
        if kept.is_empty() {
            return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))));
        }
        Ok(ColumnarValue::Array(Arc::new(kept)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.columns.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self { columns: children, forbidden: Arc::clone(&self.forbidden) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The columns that a table has or once had, by id.
pub(super) fn fields(metadata: &iceberg::spec::TableMetadata) -> HashMap<i32, Field> {
    let mut fields = HashMap::new();
    for schema in metadata.schemas_iter() {
        for field in schema.as_struct().fields() {
            let newer = schema.schema_id() == metadata.current_schema_id();
            if newer || !fields.contains_key(&field.id) {
                fields.insert(field.id, schema::arrow_field(field, true));
            }
        }
    }
    fields
}
