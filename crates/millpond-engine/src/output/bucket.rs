//! Hive's buckets: which file a row goes to by the hash of some of its columns (Hive's `ObjectInspectorUtils.getBucketHashCode`, bucketing
//! version 1, which Athena writes and reads).

use crate::query::QueryError;
use crate::types::HiveType;
use crate::write::WriteError;
use arrow::array::{Array, ArrayRef, AsArray, Int32Array};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use millpond_core::catalog::Column;

/// `bucketed_by` and `bucket_count`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    /// Names, in order.
    pub columns: Vec<String>,
    /// At least 1.
    pub count: u32,
}

impl Buckets {
    /// The places of the bucketing columns among `columns`.
    ///
    /// # Errors
    /// One is not there, or has a type that Hive does not hash in one way.
    pub(super) fn places(&self, columns: &[Column]) -> Result<Vec<usize>, QueryError> {
        let place = |name: &String| {
            let found = columns.iter().position(|column| column.name == *name);
            let found = found.ok_or_else(|| {
                QueryError::InvalidMetadata(format!("Bucketing columns {:?} not present in schema", self.columns))
            })?;
            let hashed = HiveType::parse(&columns[found].data_type).is_ok_and(|data_type| {
                !matches!(
                    data_type,
                    HiveType::Decimal(..) | HiveType::Binary | HiveType::Array(_) | HiveType::Map(..) | HiveType::Struct(_)
                )
            });
            if !hashed {
                let data_type = &columns[found].data_type;
                return Err(QueryError::NotSupported(format!(
                    "Cannot write to buckets by the column '{name}': its type is {data_type}"
                )));
            }
            Ok(found)
        };
        self.columns.iter().map(place).collect()
    }

    /// The bucket of each row.
    pub(super) fn of_rows(&self, columns: &[ArrayRef]) -> Result<Int32Array, WriteError> {
        let rows = columns.first().map_or(0, |column| column.len());
        let mut hashes = vec![0i32; rows];
        for column in columns {
            mix(column, &mut hashes)?;
        }
        let count = i32::try_from(self.count).unwrap_or(i32::MAX).max(1);
        Ok(hashes.into_iter().map(|hash| (hash & i32::MAX) % count).collect())
    }
}

fn fold(long: i64) -> i32 {
    (long ^ (long.cast_unsigned() >> 32).cast_signed()) as i32
}

/// Mixes the hashes of a column's values into those of the columns before.
fn mix(column: &ArrayRef, hashes: &mut [i32]) -> Result<(), WriteError> {
    let nulls = column.logical_nulls();
    let mut each = |hash: &dyn Fn(usize) -> i32| {
        for (row, mixed) in hashes.iter_mut().enumerate() {
            let null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            *mixed = mixed.wrapping_mul(31).wrapping_add(if null { 0 } else { hash(row) });
        }
    };
    match column.data_type() {
        DataType::Boolean => each(&|row| i32::from(column.as_boolean().value(row))),
        DataType::Int8 => each(&|row| i32::from(column.as_primitive::<Int8Type>().value(row))),
        DataType::Int16 => each(&|row| i32::from(column.as_primitive::<Int16Type>().value(row))),
        DataType::Int32 => each(&|row| column.as_primitive::<Int32Type>().value(row)),
        DataType::Date32 => each(&|row| column.as_primitive::<Date32Type>().value(row)),
        DataType::Int64 => each(&|row| fold(column.as_primitive::<Int64Type>().value(row))),
        DataType::Float32 => each(&|row| {
            let value = column.as_primitive::<Float32Type>().value(row);
            if value.is_nan() { 0x7fc0_0000 } else { value.to_bits().cast_signed() }
        }),
        DataType::Float64 => each(&|row| {
            let value = column.as_primitive::<Float64Type>().value(row);
            fold(if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits().cast_signed() })
        }),
        DataType::Utf8 => each(&|row| {
            let bytes = column.as_string::<i32>().value(row).bytes();
            bytes.fold(0i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte.cast_signed())))
        }),
        DataType::Timestamp(TimeUnit::Microsecond, _) => each(&|row| {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            let (seconds, nanos) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000) * 1_000);
            fold(seconds << 30 | nanos)
        }),
        other => return Err(WriteError::Format(format!("rows cannot be divided into buckets by values of type {other}"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn hashes_are_those_of_hive() {
        // Java: `"hello".hashCode()` is 99162322 (ASCII bytes hash as chars do), `Long.hashCode(1L << 32 | 5)` is 4.
        let buckets = Buckets { columns: vec!["a".into()], count: 1000 };
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("hello"), None, Some("")]));
        assert_eq!(buckets.of_rows(&[texts]).unwrap().values(), &[322, 0, 0]);
        let longs: ArrayRef = Arc::new(Int64Array::from(vec![(1 << 32) | 5, 7, -1]));
        assert_eq!(buckets.of_rows(&[longs]).unwrap().values(), &[4, 7, 0]);
        let pair: [ArrayRef; 2] = [Arc::new(Int64Array::from(vec![2])), Arc::new(Int64Array::from(vec![3]))];
        assert_eq!(buckets.of_rows(&pair).unwrap().values(), &[65]);
    }
}
