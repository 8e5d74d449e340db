//! Store assignment: which types' values a column takes without a cast, and the values as the column's. The one rule of INSERT, UPDATE and MERGE,
//! for Hive's tables and Iceberg's.
//!
//! Trino takes what has a common type with the column (`integer` and `bigint`, `date` and `timestamp`) and refuses the rest as `TYPE_MISMATCH`
//! (`StatementAnalyzer`, "typesMatchForInsert"). So numbers go into columns of narrower types, which clients rely on (dbt's seeds put `bigint` into `int`). As the standard's store assignment has it (ISO 9075-2,
//! 9.2), only the least significant digits may be lost on the way: a number that is out of the column's range fails, decimals are rounded to the
//! column's scale (half away from zero, as casts do) and doubles to the nearest real. A fraction is no such digit of an integer: that fails too.

use crate::query::operators::local;
use crate::types::TrinoType;
use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, PrimitiveArray, StructArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Fields, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::util::display::FormatOptions;
use std::sync::Arc;

/// Whether a column of type `to` takes values of type `from`: numbers take numbers, texts texts, dates and timestamps each other. What is lost of a text at
/// the top is looked at when it is stored. Inside of others no text may be longer than the column's; where nothing says how long texts are, that is looked at then, too.
pub(crate) fn assignable(from: &TrinoType, to: &TrinoType) -> bool {
    use TrinoType as T;
    let inside = |from: &T, to: &T| match (from, to) {
        (T::Varchar(Some(from)) | T::Char(from), T::Varchar(Some(most)) | T::Char(most)) => from <= most,
        (from, to) => assignable(from, to),
    };
    match (from, to) {
        (T::Unknown, _) => true,
        (T::Varchar(_) | T::Char(_), T::Varchar(_) | T::Char(_)) => true,
        (from, to) if from.is_number() && to.is_number() => true,
        (T::Date | T::Timestamp(_) | T::TimestampWithZone(_), T::Date | T::Timestamp(_) | T::TimestampWithZone(_)) => true,
        (T::Time(_), T::Time(_)) => true,
        (T::Array(from), T::Array(to)) => inside(from, to),
        (T::Map(key, value), T::Map(to_key, to_value)) => inside(key, to_key) && inside(value, to_value),
        (T::Row(from), T::Row(to)) => from.len() == to.len() && from.iter().zip(to).all(|((_, from), (_, to))| inside(from, to)),
        (from, to) => from == to,
    }
}

/// Values of an assignable type as those of a column; fields of rows belong together by position.
///
/// # Errors
/// A value that the column cannot hold: out of its range, or with a fraction where it has integers.
pub(crate) fn assigned(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(Arc::clone(array)),
        (DataType::List(_), DataType::List(item)) => {
            let lists: &ListArray = array.as_list();
            let items = assigned(lists.values(), item.data_type())?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), lists.offsets().clone(), items, lists.nulls().cloned())?))
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => {
            let maps = array.as_map();
            let DataType::Struct(pair) = entries.data_type() else {
                return Err(ArrowError::CastError("a map without entries".into()));
            };
            let pairs = fields(maps.entries(), pair)?;
            let (offsets, nulls) = (maps.offsets().clone(), maps.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted)?))
        }
        (DataType::Struct(_), DataType::Struct(wanted)) => Ok(Arc::new(fields(array.as_struct(), wanted)?)),
        // What its clock shows, as a cast of the query's.
        (DataType::Timestamp(_, Some(_)), DataType::Timestamp(_, None) | DataType::Date32) => {
            assigned(&local(array).map_err(|error| ArrowError::CastError(error.to_string()))?, to)
        }
        (_, to) => {
            let strict = CastOptions { safe: false, format_options: FormatOptions::default() };
            let stored = cast_with_options(array, to, &strict)?;
            kept(array, &stored)?;
            Ok(stored)
        }
    }
}

fn fields(rows: &StructArray, wanted: &Fields) -> Result<StructArray, ArrowError> {
    if wanted.is_empty() {
        return Ok(StructArray::new_empty_fields(rows.len(), rows.nulls().cloned()));
    }
    let columns = rows.columns().iter().zip(wanted).map(|(column, field)| assigned(column, field.data_type()));
    StructArray::try_new(wanted.clone(), columns.collect::<Result<_, _>>()?, rows.nulls().cloned())
}

/// Refuses numbers of which more was lost than their least significant digits.
fn kept(given: &ArrayRef, stored: &ArrayRef) -> Result<(), ArrowError> {
    let to = stored.data_type();
    match given.data_type() {
        DataType::Decimal128(_, scale) if to.is_integer() && *scale > 0 => {
            let one = 10i128.pow(u32::from(scale.unsigned_abs()));
            each(given.as_primitive::<Decimal128Type>(), to, |value| value % one == 0)
        }
        DataType::Float64 if to.is_integer() => each(given.as_primitive::<Float64Type>(), to, |value| value.fract() == 0.0),
        DataType::Float32 if to.is_integer() => each(given.as_primitive::<Float32Type>(), to, |value| value.fract() == 0.0),
        DataType::Float64 if *to == DataType::Float32 => {
            each(given.as_primitive::<Float64Type>(), to, |value| !value.is_finite() || (value as f32).is_finite())
        }
        _ => Ok(()),
    }
}

fn each<P: arrow::datatypes::ArrowPrimitiveType>(
    given: &PrimitiveArray<P>,
    to: &DataType,
    fits: impl Fn(P::Native) -> bool,
) -> Result<(), ArrowError> {
    match given.iter().position(|value| value.is_some_and(|value| !fits(value))) {
        None => Ok(()),
        Some(row) => {
            let shown = arrow::util::display::array_value_to_string(given, row)?;
            let to = TrinoType::of_arrow(to);
            Err(ArrowError::CastError(format!("Cannot store {shown} as {to} without loss: cast or round it in the query")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Float64Array, TimestampMicrosecondArray};
    use arrow::datatypes::{Field, TimeUnit};

    fn doubles(values: &[f64]) -> ArrayRef {
        Arc::new(Float64Array::from(values.to_vec()))
    }

    fn decimals(values: &[i128], precision: u8, scale: i8) -> ArrayRef {
        Arc::new(Decimal128Array::from(values.to_vec()).with_precision_and_scale(precision, scale).unwrap())
    }

    /// What a column of the type makes of the values, or why not.
    fn stored(values: &ArrayRef, to: &DataType) -> Result<Vec<String>, String> {
        let array = assigned(values, to).map_err(|error| error.to_string())?;
        Ok((0..array.len()).map(|row| arrow::util::display::array_value_to_string(&array, row).unwrap()).collect())
    }

    #[test]
    fn numbers_are_stored_without_loss_but_for_their_last_digits() {
        let ok = |texts: &[&str]| Ok(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(stored(&doubles(&[2.0, -7.0]), &DataType::Int32), ok(&["2", "-7"]));
        assert_eq!(stored(&decimals(&[1700, -200], 10, 2), &DataType::Int32), ok(&["17", "-2"]));
        assert_eq!(stored(&decimals(&[123_999, -123_555], 10, 5), &DataType::Decimal128(10, 2)), ok(&["1.24", "-1.24"]));
        assert_eq!(stored(&doubles(&[1.5, f64::INFINITY]), &DataType::Float32), ok(&["1.5", "inf"]));
        assert_eq!(stored(&doubles(&[1.239]), &DataType::Decimal128(10, 2)), ok(&["1.24"]));
        let lost = "Cast error: Cannot store 1.7 as integer without loss: cast or round it in the query";
        assert_eq!(stored(&decimals(&[17], 2, 1), &DataType::Int32), Err(lost.into()));
        assert_eq!(stored(&doubles(&[1.0, 1.7]), &DataType::Int32), Err(lost.into()));
        for (values, to) in [
            (doubles(&[3e9]), DataType::Int32),
            (doubles(&[f64::NAN]), DataType::Int64),
            (doubles(&[9.3e18]), DataType::Int64),
            (doubles(&[1e300]), DataType::Float32),
            (doubles(&[1e9]), DataType::Decimal128(10, 2)),
            (doubles(&[f64::NAN]), DataType::Decimal128(10, 2)),
            (decimals(&[300], 5, 0), DataType::Int8),
            (decimals(&[99_995], 10, 3), DataType::Decimal128(4, 2)),
        ] {
            assert!(stored(&values, &to).is_err(), "{values:?} as {to}");
        }
    }

    #[test]
    fn times_are_stored_as_clocks_show_them() {
        let micros = |texts: &[&str]| -> Vec<i64> {
            texts
                .iter()
                .map(|text| chrono::NaiveDateTime::parse_from_str(text, "%F %T").unwrap().and_utc().timestamp_micros())
                .collect()
        };
        let plain: ArrayRef = Arc::new(TimestampMicrosecondArray::from(micros(&["2020-03-29 23:30:00", "1969-12-31 00:30:00"])));
        let zoned: ArrayRef = Arc::new(
            TimestampMicrosecondArray::from(micros(&["2020-03-29 23:30:00", "1969-12-31 00:30:00"])).with_timezone("-01:00"),
        );
        assert_eq!(stored(&plain, &DataType::Date32).unwrap(), ["2020-03-29", "1969-12-31"]);
        assert_eq!(stored(&zoned, &DataType::Date32).unwrap(), ["2020-03-29", "1969-12-30"]);
        let clock = DataType::Timestamp(TimeUnit::Microsecond, None);
        assert_eq!(stored(&zoned, &clock).unwrap(), ["2020-03-29T22:30:00", "1969-12-30T23:30:00"]);
    }

    #[test]
    fn texts_inside_of_others_may_not_be_longer() {
        let fits = |from: &str, to: &str| assignable(&TrinoType::parse(from).unwrap(), &TrinoType::parse(to).unwrap());
        assert!(
            fits("varchar", "varchar(3)")
                && fits("array(varchar(3))", "array(varchar(3))")
                && fits("array(varchar(9))", "array(varchar)")
        );
        assert!(!fits("array(varchar(4))", "array(varchar(3))") && fits("array(varchar)", "array(varchar(3))"));
        assert!(!fits("map(varchar(2), row(a varchar(9)))", "map(varchar(2), row(a varchar(8)))"));
        assert!(fits("array(timestamp(3))", "array(date)") && !fits("array(timestamp(3))", "array(bigint)"));
    }

    #[test]
    fn fields_of_rows_belong_together_by_position() {
        let row = |names: [&str; 2], types: [DataType; 2]| {
            Fields::from_iter(names.into_iter().zip(types).map(|(name, data_type)| Field::new(name, data_type, true)))
        };
        let given = row(["a", "b"], [DataType::Float64, DataType::Float64]);
        let rows: ArrayRef = Arc::new(StructArray::new(given, vec![doubles(&[1.0]), doubles(&[2.5])], None));
        let swapped = row(["b", "a"], [DataType::Int64, DataType::Float64]);
        assert_eq!(stored(&rows, &DataType::Struct(swapped)).unwrap(), ["{b: 1, a: 2.5}"]);
        let whole = row(["b", "a"], [DataType::Int64, DataType::Int64]);
        assert!(stored(&rows, &DataType::Struct(whole)).is_err());
    }
}
