//! What a Parquet file's footer says of its columns, over all row groups: what table formats with metadata of their own (Iceberg) keep of a file.

use parquet::basic::{ConvertedType, LogicalType};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;
use std::cmp::Ordering;

/// A least or greatest value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Parquet's plain encoding without length: numbers in little-endian order, decimals beyond 18 digits in big-endian order.
    pub bytes: Vec<u8>,
    /// Whether it is a value of the column, and not a long text that was cut (and raised, where it is the greatest).
    pub exact: bool,
}

/// What a file says of one of its leaf columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnStatistics {
    /// In Parquet's form: `a`, `b.list.element`.
    pub path: String,
    /// Compressed bytes.
    pub size: u64,
    /// Values, nulls among them.
    pub values: u64,
    /// Nulls, where they were counted.
    pub nulls: Option<u64>,
    /// The least value that is neither null nor NaN.
    pub min: Option<Bound>,
    /// The greatest value that is neither null nor NaN.
    pub max: Option<Bound>,
}

/// Of all leaf columns, in the schema's order.
pub(super) fn of(metadata: &ParquetMetaData) -> Vec<ColumnStatistics> {
    let columns = metadata.file_metadata().schema_descr().columns();
    let one = |(index, column): (usize, &std::sync::Arc<ColumnDescriptor>)| {
        let mut all = ColumnStatistics { path: column.path().string(), size: 0, values: 0, nulls: Some(0), min: None, max: None };
        let mut bounded = true;
        for chunk in metadata.row_groups().iter().map(|group| group.column(index)) {
            all.size += chunk.compressed_size().cast_unsigned();
            all.values += chunk.num_values().cast_unsigned();
            let statistics = chunk.statistics();
            let nulls = statistics.and_then(Statistics::null_count_opt);
            all.nulls = all.nulls.zip(nulls).map(|(all, nulls)| all + nulls);
            if nulls == Some(chunk.num_values().cast_unsigned()) {
                continue;
            }
            let bounds = statistics.and_then(bounds);
            match bounds {
                Some((min, max)) => {
                    let least = all.min.take().filter(|have| order(column, &have.bytes, &min.bytes).is_le());
                    all.min = Some(least.unwrap_or(min));
                    let greatest = all.max.take().filter(|have| order(column, &have.bytes, &max.bytes).is_ge());
                    all.max = Some(greatest.unwrap_or(max));
                }
                None => bounded = false,
            }
        }
        if !bounded {
            (all.min, all.max) = (None, None);
        }
        all
    };
    columns.iter().enumerate().map(one).collect()
}

fn bounds(statistics: &Statistics) -> Option<(Bound, Bound)> {
    let min = Bound { bytes: statistics.min_bytes_opt()?.to_vec(), exact: statistics.min_is_exact() };
    let max = Bound { bytes: statistics.max_bytes_opt()?.to_vec(), exact: statistics.max_is_exact() };
    Some((min, max))
}

/// Of two values of a column.
fn order(column: &ColumnDescriptor, a: &[u8], b: &[u8]) -> Ordering {
    use parquet::basic::Type;
    fn number<T: PartialOrd, const N: usize>(a: &[u8], b: &[u8], read: fn([u8; N]) -> T) -> Ordering {
        match (a.try_into().map(read), b.try_into().map(read)) {
            (Ok(a), Ok(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            _ => a.cmp(b),
        }
    }
    match column.physical_type() {
        Type::INT32 => number(a, b, i32::from_le_bytes),
        Type::INT64 => number(a, b, i64::from_le_bytes),
        Type::FLOAT => number(a, b, f32::from_le_bytes),
        Type::DOUBLE => number(a, b, f64::from_le_bytes),
        Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY if is_decimal(column) => signed(a).cmp(&signed(b)),
        Type::BOOLEAN | Type::INT96 | Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY => a.cmp(b),
    }
}

fn is_decimal(column: &ColumnDescriptor) -> bool {
    matches!(column.logical_type_ref(), Some(LogicalType::Decimal { .. })) || column.converted_type() == ConvertedType::DECIMAL
}

/// A big-endian number of up to 16 bytes.
fn signed(bytes: &[u8]) -> i128 {
    let start = if bytes.first().is_some_and(|first| first & 0x80 != 0) { -1 } else { 0 };
    bytes.iter().fold(start, |number: i128, byte| number << 8 | i128::from(*byte))
}
