//! What the footers of Parquet files say of a scan's rows. Row counts and the columns' ranges decide which side of a join is built, and answer `count(*)`,
//! `min` and `max` without reading a page.

use super::Shape;
use super::files::ScanFile;
use super::parquet::{FOOTER_BYTES, object_meta};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use futures::{FutureExt, StreamExt};
use object_store::ObjectStore;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// Up to so many files have their footers read for planning. They stay in the cache for the scan.
const FOOTERS_FOR_PLANNING: usize = 64;
/// Footers that are read at the same time.
const FOOTERS_AT_ONCE: usize = 8;

/// What is known of a scan of `files`: columns of `schema` (those of the files, then the constant ones) that `projection` names. Sizes are known
/// always, the rest where few footers say it. A footer that can't be read is reported when its file is scanned.
pub(super) async fn of_scan(
    files: &[ScanFile],
    (shape, schema): (&Shape, &SchemaRef),
    projection: &[usize],
    store: &Arc<dyn ObjectStore>,
    cache: &Arc<dyn FileMetadataCache>,
) -> Statistics {
    let bytes = files.iter().map(|file| usize::try_from(file.file.size).unwrap_or(usize::MAX)).fold(0, usize::saturating_add);
    let mut statistics = match footers(files, store, cache).await {
        Some(footers) => merged(files, &footers, (shape, schema), projection).unwrap_or_else(|error| {
            tracing::debug!(%error, "the statistics of a scan are not known");
            Statistics::new_unknown(schema)
        }),
        None => Statistics::new_unknown(schema),
    };
    statistics.total_byte_size = Precision::Inexact(bytes);
    statistics
}

async fn footers(
    files: &[ScanFile],
    store: &Arc<dyn ObjectStore>,
    cache: &Arc<dyn FileMetadataCache>,
) -> Option<Vec<Arc<ParquetMetaData>>> {
    if files.len() > FOOTERS_FOR_PLANNING {
        return None;
    }
    let metas: Vec<_> = files.iter().map(object_meta).collect();
    let reads = metas.into_iter().map(|meta| {
        let (store, cache) = (Arc::clone(store), Arc::clone(cache));
        async move {
            let footer = DFParquetMetadata::new(&store, &meta).with_file_metadata_cache(Some(cache));
            let footer = footer.with_metadata_size_hint(Some(FOOTER_BYTES));
            // The decoder computes with lengths that files claim. What is wrong with a file is said when it is read.
            AssertUnwindSafe(footer.fetch_metadata()).catch_unwind().await.ok()?.ok()
        }
    });
    let read: Vec<_> = futures::stream::iter(reads.collect::<Vec<_>>()).buffered(FOOTERS_AT_ONCE).collect().await;
    read.into_iter().collect()
}

fn merged(
    files: &[ScanFile],
    footers: &[Arc<ParquetMetaData>],
    (shape, schema): (&Shape, &SchemaRef),
    projection: &[usize],
) -> Result<Statistics> {
    let each = files.iter().zip(footers).map(|(file, footer)| of_file(file, footer, (shape, schema), projection));
    Statistics::try_merge_iter(&each.collect::<Result<Vec<_>>>()?, schema)
}

fn of_file(
    file: &ScanFile,
    footer: &ParquetMetaData,
    (shape, schema): (&Shape, &SchemaRef),
    projection: &[usize],
) -> Result<Statistics> {
    let about = footer.file_metadata();
    let physical = parquet_to_arrow_schema(about.schema_descr(), about.key_value_metadata())?;
    let own = shape.file_schema.fields().len();
    // A column of another type, or with other values, is changed when it is read, and so are not its bounds.
    let known = projection
        .iter()
        .copied()
        .filter(|&index| index < own && shape.shaped[index].is_none() && is_same(&physical, schema, index));
    let known: Vec<usize> = known.collect();
    let wanted = Arc::new(schema.project(&known)?);
    let found = DFParquetMetadata::statistics_from_parquet_metadata(footer, &wanted)?;
    let mut statistics = Statistics::new_unknown(schema);
    statistics.num_rows = found.num_rows;
    for (index, column) in known.into_iter().zip(found.column_statistics) {
        statistics.column_statistics[index] = column;
    }
    for (offset, value) in file.constants.iter().enumerate() {
        statistics.column_statistics[own + offset] = constant(value, &found.num_rows);
    }
    Ok(statistics)
}

/// Whether a file's column is read as it is, and its bounds are those of its values (NaN is in no bound).
fn is_same(physical: &Schema, schema: &Schema, index: usize) -> bool {
    let field = schema.field(index);
    let found = physical.fields().iter().find(|other| other.name() == field.name());
    found.is_some_and(|found| {
        let simple = !matches!(found.data_type(), DataType::Float16 | DataType::Float32 | DataType::Float64);
        simple && !found.data_type().is_nested() && found.data_type() == field.data_type()
    })
}

fn constant(value: &ScalarValue, rows: &Precision<usize>) -> ColumnStatistics {
    if value.is_null() {
        return ColumnStatistics { null_count: *rows, ..ColumnStatistics::new_unknown() };
    }
    ColumnStatistics {
        null_count: Precision::Exact(0),
        min_value: Precision::Exact(value.clone()),
        max_value: Precision::Exact(value.clone()),
        distinct_count: Precision::Exact(1),
        ..ColumnStatistics::new_unknown()
    }
}
