//! Values as text, in the form in which Athena's results have them.
//!
//! `double` as Java prints it (`1.0E10`), times with the digits of seconds that their type has (three, unless it says otherwise), arrays as `[a, b]`, rows and maps as `{a=1, b=x}`, binary as
//! pairs of hex digits. The same text is what `CAST(… AS varchar)` gives.

use super::times;
use crate::types::TrinoType;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, GenericBinaryArray, GenericListArray, MapArray,
    OffsetSizeTrait, PrimitiveArray, StructArray, make_comparator,
};
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, DataType, Date32Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DecimalType, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use std::fmt::{Display, Write};

/// Writes one row's value of a column; never called for NULL rows.
pub type Writer<'a> = Box<dyn Fn(usize, &mut String) + Send + 'a>;

/// How the values of an array are written.
///
/// # Errors
/// The array's type has no text form.
pub fn writer(array: &ArrayRef) -> Result<Writer<'_>, String> {
    typed_writer(array, &TrinoType::of_arrow(array.data_type()))
}

/// How the values of a column of that type are written: with the digits, blanks and names that the type has.
///
/// # Errors
/// As [`writer`].
pub fn typed_writer<'a>(array: &'a ArrayRef, trino: &TrinoType) -> Result<Writer<'a>, String> {
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_, _| {}),
        DataType::Boolean => boolean(array.as_boolean()),
        DataType::Int8 => plain::<Int8Type>(array),
        DataType::Int16 => plain::<Int16Type>(array),
        DataType::Int32 => plain::<Int32Type>(array),
        DataType::Int64 => plain::<Int64Type>(array),
        DataType::UInt8 => plain::<UInt8Type>(array),
        DataType::UInt16 => plain::<UInt16Type>(array),
        DataType::UInt32 => plain::<UInt32Type>(array),
        DataType::UInt64 => plain::<UInt64Type>(array),
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            Box::new(|row, out| write_float(values.value(row), out))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            Box::new(|row, out| write_double(values.value(row), out))
        }
        DataType::Decimal32(p, s) => decimal::<Decimal32Type>(array, *p, *s),
        DataType::Decimal64(p, s) => decimal::<Decimal64Type>(array, *p, *s),
        DataType::Decimal128(p, s) => decimal::<Decimal128Type>(array, *p, *s),
        DataType::Decimal256(p, s) => decimal::<Decimal256Type>(array, *p, *s),
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            match trino {
                TrinoType::Char(length) => {
                    let length = usize::try_from(*length).unwrap_or(0);
                    Box::new(move |row, out| write_display(format_args!("{:<length$}", values.value(row)), out))
                }
                _ => Box::new(|row, out| out.push_str(values.value(row))),
            }
        }
        DataType::LargeUtf8 => {
            let values = array.as_string::<i64>();
            Box::new(|row, out| out.push_str(values.value(row)))
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            Box::new(|row, out| out.push_str(values.value(row)))
        }
        DataType::Binary => binary(array.as_binary::<i32>()),
        DataType::LargeBinary => binary(array.as_binary::<i64>()),
        DataType::FixedSizeBinary(_) => fixed_binary(array.as_fixed_size_binary()),
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>();
            Box::new(|row, out| write_date(values.value(row), out))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let values = array.as_primitive::<Time64MicrosecondType>();
            let digits = times::digits(trino);
            Box::new(move |row, out| times::write_clock(values.value(row), digits, out))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let values = array.as_primitive::<TimestampMicrosecondType>();
            let digits = times::digits(trino);
            match zone {
                None => Box::new(move |row, out| times::write_timestamp(values.value(row), digits, out)),
                Some(zone) => {
                    let zone = times::Zone::parse(zone)?;
                    Box::new(move |row, out| zone.write(values.value(row), digits, out))
                }
            }
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            let values = array.as_primitive::<IntervalYearMonthType>();
            Box::new(|row, out| times::write_months(values.value(row), out))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>();
            Box::new(|row, out| {
                let value = values.value(row);
                times::write_interval(value.months, value.days, value.nanoseconds / 1000, out);
            })
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            let values = array.as_primitive::<DurationMicrosecondType>();
            Box::new(|row, out| times::write_interval(0, 0, values.value(row), out))
        }
        DataType::List(_) => list(array.as_list::<i32>(), trino)?,
        DataType::LargeList(_) => list(array.as_list::<i64>(), trino)?,
        DataType::Map(_, _) => map(array.as_map(), trino)?,
        DataType::Struct(_) => row(array.as_struct(), trino)?,
        other => return converted(array, other, trino),
    })
}

/// Types that are written as another one is.
fn converted<'a>(array: &ArrayRef, data_type: &DataType, trino: &TrinoType) -> Result<Writer<'a>, String> {
    let target = match data_type {
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Duration(_) => DataType::Duration(TimeUnit::Microsecond),
        DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::BinaryView => DataType::LargeBinary,
        DataType::FixedSizeList(item, _) | DataType::ListView(item) | DataType::LargeListView(item) => {
            DataType::LargeList(item.clone())
        }
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        DataType::RunEndEncoded(_, value) => value.data_type().clone(),
        other => return Err(format!("values of type {} have no text form", TrinoType::of_arrow(other))),
    };
    let values = cast(array, &target).map_err(|error| error.to_string())?;
    // The converted array lives in the writer: text is made eagerly for each row asked.
    let texts = typed_texts(&values, trino)?;
    Ok(Box::new(move |row, out| {
        if let Some(text) = texts.get(row).and_then(Option::as_deref) {
            out.push_str(text);
        }
    }))
}

/// All values of an array as text.
///
/// # Errors
/// As [`writer`].
pub fn texts(array: &ArrayRef) -> Result<Vec<Option<String>>, String> {
    typed_texts(array, &TrinoType::of_arrow(array.data_type()))
}

/// All values of a column of that type as text.
///
/// # Errors
/// As [`writer`].
pub fn typed_texts(array: &ArrayRef, trino: &TrinoType) -> Result<Vec<Option<String>>, String> {
    let write = typed_writer(array, trino)?;
    let nulls = array.logical_nulls();
    let text = |row| {
        let null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        (!null).then(|| {
            let mut out = String::new();
            write(row, &mut out);
            out
        })
    };
    Ok((0..array.len()).map(text).collect())
}

fn boolean(values: &BooleanArray) -> Writer<'_> {
    Box::new(|row, out| out.push_str(if values.value(row) { "true" } else { "false" }))
}

fn plain<T: ArrowPrimitiveType>(array: &ArrayRef) -> Writer<'_>
where
    T::Native: Display,
{
    let values: &PrimitiveArray<T> = array.as_primitive::<T>();
    Box::new(move |row, out| write_display(values.value(row), out))
}

fn decimal<T: DecimalType + ArrowPrimitiveType>(array: &ArrayRef, precision: u8, scale: i8) -> Writer<'_> {
    let values: &PrimitiveArray<T> = array.as_primitive::<T>();
    Box::new(move |row, out| out.push_str(&T::format_decimal(values.value(row), precision, scale)))
}

fn binary<O: OffsetSizeTrait>(values: &GenericBinaryArray<O>) -> Writer<'_> {
    Box::new(|row, out| write_bytes(values.value(row), out))
}

fn fixed_binary(values: &FixedSizeBinaryArray) -> Writer<'_> {
    Box::new(|row, out| write_bytes(values.value(row), out))
}

fn list<'a, O: OffsetSizeTrait>(lists: &'a GenericListArray<O>, trino: &TrinoType) -> Result<Writer<'a>, String> {
    let items = lists.values();
    let write = match trino {
        TrinoType::Array(item) => typed_writer(items, item)?,
        _ => writer(items)?,
    };
    Ok(Box::new(move |row, out| {
        let (start, end) = (lists.value_offsets()[row].as_usize(), lists.value_offsets()[row + 1].as_usize());
        out.push('[');
        for item in start..end {
            if item > start {
                out.push_str(", ");
            }
            write_or_null(items, &write, item, out);
        }
        out.push(']');
    }))
}

/// Entries in the order of their keys, as Athena shows them.
fn map<'a>(maps: &'a MapArray, trino: &TrinoType) -> Result<Writer<'a>, String> {
    let (keys, values) = (maps.keys(), maps.values());
    let (write_key, write_value) = match trino {
        TrinoType::Map(key, value) => (typed_writer(keys, key)?, typed_writer(values, value)?),
        _ => (writer(keys)?, writer(values)?),
    };
    let compare = make_comparator(keys, keys, SortOptions::default()).map_err(|error| error.to_string())?;
    Ok(Box::new(move |row, out| {
        let (start, end) = (maps.value_offsets()[row].as_usize(), maps.value_offsets()[row + 1].as_usize());
        let mut entries: Vec<usize> = (start..end).collect();
        entries.sort_by(|a, b| compare(*a, *b));
        out.push('{');
        for (index, entry) in entries.into_iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            write_or_null(keys, &write_key, entry, out);
            out.push('=');
            write_or_null(values, &write_value, entry, out);
        }
        out.push('}');
    }))
}

fn row<'a>(rows: &'a StructArray, trino: &TrinoType) -> Result<Writer<'a>, String> {
    let types = match trino {
        TrinoType::Row(fields) if fields.len() == rows.num_columns() => Some(fields),
        _ => None,
    };
    let mut fields = Vec::with_capacity(rows.num_columns());
    for (index, (field, column)) in rows.fields().iter().zip(rows.columns()).enumerate() {
        let write = match types {
            Some(types) => typed_writer(column, &types[index].1)?,
            None => writer(column)?,
        };
        fields.push((field.name().as_str(), column, write));
    }
    Ok(Box::new(move |row, out| {
        out.push('{');
        for (index, (name, column, write)) in fields.iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            out.push_str(name);
            out.push('=');
            write_or_null(column, write, row, out);
        }
        out.push('}');
    }))
}

fn write_or_null(array: &ArrayRef, write: &Writer<'_>, row: usize, out: &mut String) {
    if array.is_null(row) || *array.data_type() == DataType::Null {
        out.push_str("null");
    } else {
        write(row, out);
    }
}

pub(super) fn write_display(value: impl Display, out: &mut String) {
    write!(out, "{value}").expect("writing to a String does not fail");
}

fn write_bytes(bytes: &[u8], out: &mut String) {
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        write_display(format_args!("{byte:02x}"), out);
    }
}

/// As Java's `Double.toString`: plain from 0.001 to below ten million, else with an exponent; always a fraction.
pub fn write_double(value: f64, out: &mut String) {
    if value.is_finite() { write_scientific(&format!("{value:e}"), value == 0.0, out) } else { write_special(value, out) }
}

/// As Java's `Float.toString`.
pub fn write_float(value: f32, out: &mut String) {
    if value.is_finite() {
        write_scientific(&format!("{value:e}"), value == 0.0, out)
    } else {
        write_special(f64::from(value), out)
    }
}

fn write_special(value: f64, out: &mut String) {
    out.push_str(match value {
        v if v.is_nan() => "NaN",
        v if v > 0.0 => "Infinity",
        _ => "-Infinity",
    });
}

/// `scientific` is Rust's shortest form, `-1.2345e-6`.
fn write_scientific(scientific: &str, zero: bool, out: &mut String) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    out.push_str(sign);
    if zero {
        out.push_str("0.0");
        return;
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !(-3..7).contains(&exponent) {
        out.push_str(whole);
        out.push('.');
        out.push_str(if fraction.is_empty() { "0" } else { fraction });
        out.push('E');
        write_display(exponent, out);
        return;
    }
    let digits = format!("{whole}{fraction}");
    if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', usize::try_from(-exponent - 1).unwrap_or(0)));
        out.push_str(&digits);
        return;
    }
    let point = usize::try_from(exponent).unwrap_or(0) + 1;
    for index in 0..point {
        out.push(digits.as_bytes().get(index).map_or('0', |digit| char::from(*digit)));
    }
    out.push('.');
    out.push_str(digits.get(point..).filter(|rest| !rest.is_empty()).unwrap_or("0"));
}

/// `yyyy-MM-dd`
pub fn write_date(days: i32, out: &mut String) {
    let (year, month, day) = civil(i64::from(days));
    write_display(format_args!("{year:04}-{month:02}-{day:02}"), out);
}

/// `yyyy-MM-dd HH:mm:ss.SSS`; what is finer is cut.
pub fn write_timestamp(micros: i64, out: &mut String) {
    times::write_timestamp(micros, 3, out);
}

/// The proleptic Gregorian date of a day count since 1970-01-01.
pub(super) fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_printed_as_java_does() {
        let check = |value: f64, expected: &str| {
            let mut out = String::new();
            write_double(value, &mut out);
            assert_eq!(out, expected);
        };
        check(0.0, "0.0");
        check(-0.0, "-0.0");
        check(1.0, "1.0");
        check(10.0, "10.0");
        check(100.5, "100.5");
        check(1_234_567.0, "1234567.0");
        check(9_999_999.0, "9999999.0");
        check(10_000_000.0, "1.0E7");
        check(1.5e10, "1.5E10");
        check(0.001, "0.001");
        check(0.0001, "1.0E-4");
        check(0.05, "0.05");
        check(-2.5e-7, "-2.5E-7");
        check(0.1 + 0.2, "0.30000000000000004");
        check(f64::NAN, "NaN");
        check(f64::NEG_INFINITY, "-Infinity");
    }

    #[test]
    fn times_are_printed_with_three_digits() {
        let check = |micros: i64, expected: &str| {
            let mut out = String::new();
            write_timestamp(micros, &mut out);
            assert_eq!(out, expected);
        };
        check(0, "1970-01-01 00:00:00.000");
        check(-1, "1969-12-31 23:59:59.999");
        check(951_782_400_123_456, "2000-02-29 00:00:00.123");
        check(253_402_300_799_999_999, "9999-12-31 23:59:59.999");
    }

    #[test]
    fn any_date_agrees_with_chrono() {
        for days in (-700_000..2_900_000).step_by(997) {
            let mut out = String::new();
            write_date(days, &mut out);
            let date = chrono::NaiveDate::from_epoch_days(days).unwrap();
            assert_eq!(out, date.format("%Y-%m-%d").to_string(), "{days}");
        }
    }
}
