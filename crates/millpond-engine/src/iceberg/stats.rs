//! What manifests say of a data file's columns, from its Parquet footer.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef as ArrowSchemaRef};
use iceberg::spec::{Datum, PrimitiveLiteral, PrimitiveType, Schema, Type};
use parquet::data_type::ByteArray;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use std::collections::HashMap;

/// Characters or bytes of a text's bound (Iceberg: `write.metadata.metrics.default` = `truncate(16)`).
const BOUND_LENGTH: usize = 16;

/// Counts that Parquet does not have.
#[derive(Debug)]
pub(super) struct Counts {
    /// NaNs by column index; of columns of floating point only.
    nans: Vec<(usize, i32, u64)>,
}

impl Counts {
    pub(super) fn new(schema: &ArrowSchemaRef) -> Self {
        let floats = schema.fields().iter().enumerate().filter(|(_, field)| field.data_type().is_floating());
        Self { nans: floats.filter_map(|(index, field)| Some((index, super::schema::field_id(field)?, 0))).collect() }
    }

    pub(super) fn add(&mut self, batch: &RecordBatch) {
        for (index, _, count) in &mut self.nans {
            let column = batch.column(*index);
            let nans = match column.data_type() {
                DataType::Float32 => column.as_primitive::<Float32Type>().iter().flatten().filter(|value| value.is_nan()).count(),
                _ => column.as_primitive::<Float64Type>().iter().flatten().filter(|value| value.is_nan()).count(),
            };
            *count += nans as u64;
        }
    }
}

/// By column id.
#[derive(Debug, Default)]
pub(super) struct ColumnStats {
    pub(super) sizes: HashMap<i32, u64>,
    pub(super) values: HashMap<i32, u64>,
    pub(super) nulls: HashMap<i32, u64>,
    pub(super) nans: HashMap<i32, u64>,
    pub(super) lower: HashMap<i32, Datum>,
    pub(super) upper: HashMap<i32, Datum>,
}

/// Sizes of all leaves; counts and bounds of those that are not in lists or maps.
pub(super) fn of(footer: &ParquetMetaData, schema: &Schema, counts: &Counts) -> ColumnStats {
    let mut all =
        ColumnStats { nans: counts.nans.iter().map(|(_, id, count)| (*id, *count)).collect(), ..ColumnStats::default() };
    let leaves = footer.file_metadata().schema_descr();
    for (index, leaf) in leaves.columns().iter().enumerate() {
        let basic = leaf.self_type().get_basic_info();
        if !basic.has_id() {
            continue;
        }
        let id = basic.id();
        let columns = footer.row_groups().iter().map(|group| group.column(index));
        all.sizes.insert(id, columns.clone().map(|column| u64::try_from(column.compressed_size()).unwrap_or_default()).sum());
        if leaf.max_rep_level() > 0 {
            continue;
        }
        all.values.insert(id, columns.clone().map(|column| u64::try_from(column.num_values()).unwrap_or_default()).sum());
        let nulls = columns.clone().map(|column| column.statistics().and_then(Statistics::null_count_opt));
        if let Some(nulls) = nulls.sum::<Option<u64>>() {
            all.nulls.insert(id, nulls);
        }
        let Some(Type::Primitive(primitive)) = schema.field_by_id(id).map(|field| field.field_type.as_ref()) else { continue };
        let found: Vec<_> = columns.map(|column| column.statistics()).collect();
        if let Some(lower) = bound(&found, primitive, false) {
            all.lower.insert(id, lower);
        }
        if let Some(upper) = bound(&found, primitive, true) {
            all.upper.insert(id, upper);
        }
    }
    all
}

/// The least or greatest value of all row groups; `None` where one does not say (one that has nothing but nulls says nothing either, and does
/// not count).
fn bound(groups: &[Option<&Statistics>], primitive: &PrimitiveType, upper: bool) -> Option<Datum> {
    let mut best: Option<PrimitiveLiteral> = None;
    for group in groups {
        let statistics = (*group)?;
        let Some(value) = value(statistics, primitive, upper) else {
            // Without a value: the column is null in the whole group, or its bound is not known.
            let only_nulls = statistics.null_count_opt().is_some()
                && statistics.min_bytes_opt().is_none()
                && statistics.max_bytes_opt().is_none();
            if only_nulls && !primitive_is_float(primitive) {
                continue;
            }
            return None;
        };
        let better = match &best {
            None => true,
            Some(known) => {
                if upper {
                    value > *known
                } else {
                    value < *known
                }
            }
        };
        if better {
            best = Some(value);
        }
    }
    let literal = match best? {
        PrimitiveLiteral::String(text) => PrimitiveLiteral::String(cut_text(text, upper)?),
        PrimitiveLiteral::Binary(bytes) => PrimitiveLiteral::Binary(cut_bytes(bytes, upper)?),
        other => other,
    };
    datum(primitive, literal)
}

fn primitive_is_float(primitive: &PrimitiveType) -> bool {
    matches!(primitive, PrimitiveType::Float | PrimitiveType::Double)
}

fn datum(primitive: &PrimitiveType, literal: PrimitiveLiteral) -> Option<Datum> {
    Some(match (primitive, literal) {
        (_, PrimitiveLiteral::Boolean(value)) => Datum::bool(value),
        (PrimitiveType::Date, PrimitiveLiteral::Int(value)) => Datum::date(value),
        (_, PrimitiveLiteral::Int(value)) => Datum::int(value),
        (PrimitiveType::Time, PrimitiveLiteral::Long(value)) => Datum::time_micros(value).ok()?,
        (PrimitiveType::Timestamp, PrimitiveLiteral::Long(value)) => Datum::timestamp_micros(value),
        (PrimitiveType::Timestamptz, PrimitiveLiteral::Long(value)) => Datum::timestamptz_micros(value),
        (PrimitiveType::TimestampNs, PrimitiveLiteral::Long(value)) => Datum::timestamp_nanos(value),
        (PrimitiveType::TimestamptzNs, PrimitiveLiteral::Long(value)) => Datum::timestamptz_nanos(value),
        (_, PrimitiveLiteral::Long(value)) => Datum::long(value),
        (_, PrimitiveLiteral::Float(value)) => Datum::float(value.0),
        (_, PrimitiveLiteral::Double(value)) => Datum::double(value.0),
        (_, PrimitiveLiteral::String(value)) => Datum::string(value),
        (_, PrimitiveLiteral::Int128(value)) => Datum::try_from_bytes(&value.to_be_bytes(), primitive.clone()).ok()?,
        (_, PrimitiveLiteral::UInt128(value)) => Datum::try_from_bytes(&value.to_be_bytes(), primitive.clone()).ok()?,
        (PrimitiveType::Fixed(_), PrimitiveLiteral::Binary(value)) => Datum::fixed(value),
        (_, PrimitiveLiteral::Binary(value)) => Datum::binary(value),
        _ => return None,
    })
}

fn value(statistics: &Statistics, primitive: &PrimitiveType, upper: bool) -> Option<PrimitiveLiteral> {
    fn pick<'a, T>(min: Option<&'a T>, max: Option<&'a T>, upper: bool) -> Option<&'a T> {
        if upper { max } else { min }
    }
    Some(match statistics {
        Statistics::Boolean(of) => PrimitiveLiteral::Boolean(*pick(of.min_opt(), of.max_opt(), upper)?),
        Statistics::Int32(of) => {
            let value = *pick(of.min_opt(), of.max_opt(), upper)?;
            match primitive {
                PrimitiveType::Decimal { .. } => PrimitiveLiteral::Int128(value.into()),
                _ => PrimitiveLiteral::Int(value),
            }
        }
        Statistics::Int64(of) => {
            let value = *pick(of.min_opt(), of.max_opt(), upper)?;
            match primitive {
                PrimitiveType::Decimal { .. } => PrimitiveLiteral::Int128(value.into()),
                _ => PrimitiveLiteral::Long(value),
            }
        }
        Statistics::Float(of) => PrimitiveLiteral::Float((*pick(of.min_opt(), of.max_opt(), upper)?).into()),
        Statistics::Double(of) => PrimitiveLiteral::Double((*pick(of.min_opt(), of.max_opt(), upper)?).into()),
        Statistics::ByteArray(of) => {
            let bytes: &ByteArray = pick(of.min_opt(), of.max_opt(), upper)?;
            match primitive {
                PrimitiveType::String => PrimitiveLiteral::String(std::str::from_utf8(bytes.data()).ok()?.to_owned()),
                PrimitiveType::Binary => PrimitiveLiteral::Binary(bytes.data().to_vec()),
                _ => return None,
            }
        }
        Statistics::FixedLenByteArray(of) => {
            let bytes = pick(of.min_opt(), of.max_opt(), upper)?.data();
            match primitive {
                PrimitiveType::Decimal { .. } => PrimitiveLiteral::Int128(big_endian(bytes)?),
                PrimitiveType::Uuid => PrimitiveLiteral::UInt128(u128::from_be_bytes(bytes.try_into().ok()?)),
                PrimitiveType::Fixed(_) => PrimitiveLiteral::Binary(bytes.to_vec()),
                _ => return None,
            }
        }
        Statistics::Int96(_) => return None,
    })
}

fn big_endian(bytes: &[u8]) -> Option<i128> {
    let first = *bytes.first()?;
    let mut wide = if first & 0x80 == 0 { [0u8; 16] } else { [0xff; 16] };
    wide.get_mut(16usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    Some(i128::from_be_bytes(wide))
}

/// The first characters; as an upper bound, the least text that is above all texts that begin so.
fn cut_text(text: String, upper: bool) -> Option<String> {
    if text.chars().count() <= BOUND_LENGTH {
        return Some(text);
    }
    let mut cut: Vec<char> = text.chars().take(BOUND_LENGTH).collect();
    if !upper {
        return Some(cut.into_iter().collect());
    }
    while let Some(last) = cut.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            cut.push(next);
            return Some(cut.into_iter().collect());
        }
    }
    None
}

fn cut_bytes(mut bytes: Vec<u8>, upper: bool) -> Option<Vec<u8>> {
    if bytes.len() <= BOUND_LENGTH {
        return Some(bytes);
    }
    bytes.truncate(BOUND_LENGTH);
    if !upper {
        return Some(bytes);
    }
    while let Some(last) = bytes.pop() {
        if last < u8::MAX {
            bytes.push(last + 1);
            return Some(bytes);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bounds_are_cut_so_that_they_still_bound() {
        let check = |text: &str, upper: bool, want: Option<&str>| {
            assert_eq!(cut_text(text.into(), upper).as_deref(), want, "{text} {upper}");
        };
        check("short", true, Some("short"));
        check("0123456789abcdefgh", false, Some("0123456789abcdef"));
        check("0123456789abcdefgh", true, Some("0123456789abcdeg"));
        let last = char::MAX.to_string().repeat(17);
        check(&last, true, None);
        assert_eq!(cut_bytes(vec![0xff; 17], true), None);
        assert_eq!(cut_bytes([[1u8; 15].as_slice(), &[0xff, 3]].concat(), true), Some([[1u8; 14].as_slice(), &[2]].concat()));
    }
}
