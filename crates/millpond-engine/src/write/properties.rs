//! Encodings, chosen by a look at the first rows.

use super::WriteOptions;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use parquet::basic::Encoding;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::collections::HashSet;

/// Rows that are looked at.
const SAMPLE_ROWS: usize = 8_192;

/// Dictionaries pay where values repeat; for keys that hardly do, building one is wasted work. Rising integers are best written as differences.
pub(crate) fn properties(options: &WriteOptions, sample: &RecordBatch) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_compression(options.compression)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_created_by(format!("millpond version {}", env!("CARGO_PKG_VERSION")));
    let rows = sample.num_rows().min(SAMPLE_ROWS);
    for (field, column) in sample.schema().fields().iter().zip(sample.columns()) {
        let path = || ColumnPath::from(field.name().as_str());
        let column = column.slice(0, rows);
        if rising(&column) {
            builder =
                builder.set_column_dictionary_enabled(path(), false).set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED);
        } else if rows >= 1_000 && distinct(&column).is_some_and(|n| n * 2 > rows) {
            builder = builder.set_column_dictionary_enabled(path(), false);
            if packs(column.data_type()) {
                builder = builder.set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED);
            }
        }
    }
    builder.build()
}

/// Whether these are integers that never fall and mostly rise.
fn rising(column: &ArrayRef) -> bool {
    fn check<T: PartialOrd + Copy>(values: &[T]) -> bool {
        values.len() >= 1_000 && values.is_sorted() && values.windows(2).filter(|w| w[0] < w[1]).count() * 8 > values.len()
    }
    match column.data_type() {
        DataType::Int64 => check(column.as_primitive::<Int64Type>().values()),
        DataType::Int32 => check(column.as_primitive::<Int32Type>().values()),
        _ => false,
    }
}

/// Whether values are integers in Parquet, which are best written with no more bits than they need.
fn packs(data_type: &DataType) -> bool {
    match data_type {
        DataType::Int32 | DataType::Int64 | DataType::Timestamp(_, _) => true,
        DataType::Decimal128(precision, _) => *precision <= 18,
        _ => false,
    }
}

/// Distinct values of types for which the answer matters.
fn distinct(column: &ArrayRef) -> Option<usize> {
    use arrow::datatypes::{Decimal128Type, Float64Type, TimestampMicrosecondType};
    Some(match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().values().iter().collect::<HashSet<_>>().len(),
        DataType::Int32 => column.as_primitive::<Int32Type>().values().iter().collect::<HashSet<_>>().len(),
        DataType::Timestamp(_, _) => {
            column.as_primitive_opt::<TimestampMicrosecondType>()?.values().iter().collect::<HashSet<_>>().len()
        }
        DataType::Decimal128(_, _) => column.as_primitive::<Decimal128Type>().values().iter().collect::<HashSet<_>>().len(),
        DataType::Float64 => {
            column.as_primitive::<Float64Type>().values().iter().map(|v| v.to_bits()).collect::<HashSet<_>>().len()
        }
        DataType::Utf8 => column.as_string::<i32>().iter().collect::<HashSet<_>>().len(),
        _ => return None,
    })
}
