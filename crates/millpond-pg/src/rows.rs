//! Columns of Arrow as rows of PostgreSQL's protocol, in text or binary as each was asked for.
//!
//! Types that PostgreSQL has are sent as such by `arrow-pg`. Rows, maps and nested arrays go as text in the form of Athena's results; so do
//! numbers with more digits than its decimals hold.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Schema, TimeUnit};
use arrow_pg::encoder::encode_value;
use millpond_engine::result::value::typed_texts;
use millpond_engine::types::TrinoType;
use pgwire::api::Type;
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo};
use pgwire::error::PgWireResult;
use pgwire::messages::data::DataRow;
use pgwire::types::format::FormatOptions;
use std::sync::Arc;

/// Digits that `arrow-pg`'s decimals hold.
const DIGITS_MAX: u8 = 28;

/// A result's columns as the protocol describes them, and how each is written.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    pub(crate) fields: Arc<Vec<FieldInfo>>,
    types: Arc<[TrinoType]>,
}

/// How a column's values get into a row.
enum Writer {
    /// By `arrow-pg`.
    Arrow(ArrayRef, FieldRef),
    /// By `arrow-pg` as text, but for infinity, which it calls otherwise.
    Floats(ArrayRef, FieldRef),
    /// As the text that they are.
    Texts(Vec<Option<String>>),
    /// As numbers in binary, made from their text.
    Numbers(Vec<Option<String>>),
}

impl Columns {
    /// The columns of a schema; `formats` are as `Bind` has them: none for text, one for all, or one each.
    ///
    /// # Errors
    /// There are neither none, one, nor as many formats as columns.
    pub(crate) fn of(schema: &Schema, formats: &[i16]) -> Result<Self, String> {
        let count = schema.fields().len();
        if formats.len() > 1 && formats.len() != count {
            return Err(format!("{} result formats were given for {count} columns", formats.len()));
        }
        let types: Vec<TrinoType> = schema.fields().iter().map(|field| TrinoType::of_field(field)).collect();
        let fields = schema.fields().iter().zip(&types).enumerate().map(|(place, (field, kind))| {
            let format = formats.get(if formats.len() == 1 { 0 } else { place }).copied().unwrap_or(0);
            describe(field, kind, FieldFormat::from(format))
        });
        Ok(Self { fields: Arc::new(fields.collect()), types: types.into() })
    }

    /// The same columns in other formats.
    ///
    /// # Errors
    /// As [`Columns::of`].
    pub(crate) fn with_formats(&self, formats: &[i16]) -> Result<Self, String> {
        let count = self.fields.len();
        if formats.len() > 1 && formats.len() != count {
            return Err(format!("{} result formats were given for {count} columns", formats.len()));
        }
        let fields = self.fields.iter().enumerate().map(|(place, field)| {
            let format = formats.get(if formats.len() == 1 { 0 } else { place }).copied().unwrap_or(0);
            FieldInfo::new(field.name().to_owned(), None, None, field.datatype().clone(), FieldFormat::from(format))
                .with_type_size(field.type_size())
                .with_type_modifier(field.type_modifier())
        });
        Ok(Self { fields: Arc::new(fields.collect()), types: Arc::clone(&self.types) })
    }

    /// The types as clients are told of them.
    pub(crate) fn oids(&self) -> Box<[u32]> {
        self.fields.iter().map(|field| field.datatype().oid()).collect()
    }

    /// Whether a client that was told of these types can read the rows: as many columns, and each as text or of a type of the same bytes.
    pub(crate) fn can_be_read_as(&self, told: &[u32]) -> bool {
        let is_text =
            |oid: u32| [Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME, Type::UNKNOWN].iter().any(|kind| kind.oid() == oid);
        let mut columns = told.iter().zip(self.fields.iter()).zip(self.types.iter());
        let same = |((told, field), kind): ((&u32, &FieldInfo), &TrinoType)| {
            let given = field.datatype().oid();
            // A text says itself what it is.
            let text = field.format() == FieldFormat::Text;
            text || *told == given || (is_text(*told) && is_text(given)) || *kind == TrinoType::Unknown
        };
        told.len() == self.fields.len() && columns.all(same)
    }

    /// The same columns without the modifiers of numbers, whose scales depend on parameters.
    pub(crate) fn without_scales(&self) -> Self {
        let fields = self.fields.iter().map(|field| match *field.datatype() {
            Type::NUMERIC => field.clone().with_type_modifier(-1),
            _ => field.clone(),
        });
        Self { fields: Arc::new(fields.collect()), types: Arc::clone(&self.types) }
    }

    /// The rows of a batch, made one after the other.
    ///
    /// # Errors
    /// A column has no text form.
    pub(crate) fn rows(&self, batch: &RecordBatch) -> Result<Rows, String> {
        let schema = batch.schema();
        let columns = batch.columns().iter().zip(schema.fields());
        let writers = columns.zip(self.fields.iter()).zip(self.types.iter());
        let writers = writers.map(|(((array, own), field), kind)| {
            if by_arrow(kind, array.data_type()) {
                return match (kind, field.format()) {
                    (TrinoType::Real | TrinoType::Double, FieldFormat::Text) => {
                        Ok(Writer::Floats(Arc::clone(array), Arc::clone(own)))
                    }
                    (TrinoType::Array(item), FieldFormat::Text) if is_quoted(item) => lists(array, item).map(Writer::Texts),
                    _ => {
                        let (array, own) = widened(array, own)?;
                        Ok(Writer::Arrow(array, own))
                    }
                };
            }
            let texts = typed_texts(array, kind)?;
            let binary_number = *field.datatype() == Type::NUMERIC && field.format() == FieldFormat::Binary;
            Ok(if binary_number { Writer::Numbers(texts) } else { Writer::Texts(texts) })
        });
        Ok(Rows {
            writers: writers.collect::<Result<_, String>>()?,
            fields: Arc::clone(&self.fields),
            encoder: DataRowEncoder::new(Arc::clone(&self.fields)),
            next: 0,
            count: batch.num_rows(),
        })
    }
}

/// The rows of one batch.
pub(crate) struct Rows {
    writers: Vec<Writer>,
    fields: Arc<Vec<FieldInfo>>,
    encoder: DataRowEncoder,
    next: usize,
    count: usize,
}

impl Rows {
    /// The next row; `None` after the last.
    pub(crate) fn next(&mut self) -> Option<PgWireResult<DataRow>> {
        if self.next == self.count {
            return None;
        }
        let row = self.next;
        self.next += 1;
        Some(self.encode(row))
    }

    fn encode(&mut self, row: usize) -> PgWireResult<DataRow> {
        let options = FormatOptions::default();
        for (place, writer) in self.writers.iter().enumerate() {
            match writer {
                Writer::Arrow(array, own) => encode_value(&mut self.encoder, array, row, own, &self.fields[place])?,
                Writer::Floats(array, own) => match infinity(array, row) {
                    Some(text) => {
                        self.encoder.encode_field_with_type_and_format(&text, &Type::TEXT, FieldFormat::Text, &options)?;
                    }
                    None => encode_value(&mut self.encoder, array, row, own, &self.fields[place])?,
                },
                // The bytes of a text are the same in both formats.
                Writer::Texts(texts) => {
                    self.encoder.encode_field_with_type_and_format(&texts[row], &Type::TEXT, FieldFormat::Text, &options)?;
                }
                Writer::Numbers(texts) => {
                    let bytes = texts[row].as_deref().map(numeric);
                    self.encoder.encode_field_with_type_and_format(&bytes, &Type::BYTEA, FieldFormat::Binary, &options)?;
                }
            }
        }
        Ok(self.encoder.take_row())
    }
}

/// PostgreSQL's text of an infinite number; `None` for all others.
fn infinity(array: &ArrayRef, row: usize) -> Option<&'static str> {
    if array.is_null(row) {
        return None;
    }
    let value = match array.data_type() {
        DataType::Float32 => f64::from(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row),
        _ => return None,
    };
    value.is_infinite().then_some(if value > 0.0 { "Infinity" } else { "-Infinity" })
}

/// Whether lists of these have texts that `arrow-pg` does not write as PostgreSQL does: in quotes, for their blanks, or infinite.
fn is_quoted(item: &TrinoType) -> bool {
    matches!(item, TrinoType::Timestamp(_) | TrinoType::TimestampWithZone(_) | TrinoType::Real | TrinoType::Double)
}

/// Lists as PostgreSQL writes arrays (its documentation, "Array Input and Output Syntax").
fn lists(array: &ArrayRef, item: &TrinoType) -> Result<Vec<Option<String>>, String> {
    let lists = array.as_list::<i32>();
    // A slice of lists has all items of the whole.
    let (first, last) = (lists.value_offsets()[0] as usize, lists.value_offsets()[lists.len()] as usize);
    let shown = lists.values().slice(first, last - first);
    let (items, zone) = match (item, lists.value_type()) {
        // As an instant of UTC, which has a name that PostgreSQL has too.
        (TrinoType::TimestampWithZone(_), DataType::Timestamp(unit, _)) => {
            let instants = cast(&shown, &DataType::Timestamp(unit, Some("UTC".into())))
                .and_then(|items| cast(&items, &DataType::Timestamp(unit, None)));
            (instants.map_err(|error| error.to_string())?, "+00")
        }
        _ => (shown, ""),
    };
    let kind = match item {
        TrinoType::TimestampWithZone(precision) => &TrinoType::Timestamp(*precision),
        other => other,
    };
    let texts = typed_texts(&items, kind)?;
    let written = lists.offsets().windows(2).enumerate().map(|(row, span)| {
        let items = texts[span[0] as usize - first..span[1] as usize - first].iter().map(|text| match text {
            Some(text) if text.contains(' ') => format!("\"{text}{zone}\""),
            Some(text) => format!("{text}{zone}"),
            None => "NULL".to_owned(),
        });
        lists.is_valid(row).then(|| format!("{{{}}}", items.collect::<Vec<_>>().join(",")))
    });
    Ok(written.collect())
}

/// Numbers of 8 bits, also in lists, with 16: PostgreSQL has no smaller ones.
fn widened(array: &ArrayRef, field: &FieldRef) -> Result<(ArrayRef, FieldRef), String> {
    let wide = match array.data_type() {
        DataType::Int8 => DataType::Int16,
        DataType::List(item) if *item.data_type() == DataType::Int8 => {
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(DataType::Int16)))
        }
        _ => return Ok((Arc::clone(array), Arc::clone(field))),
    };
    let array = cast(array, &wide).map_err(|error| error.to_string())?;
    Ok((array, Arc::new(field.as_ref().clone().with_data_type(wide))))
}

/// Whether `arrow-pg` writes values of this type as PostgreSQL has them.
fn by_arrow(kind: &TrinoType, data_type: &DataType) -> bool {
    match kind {
        TrinoType::Decimal(precision, _) => *precision <= DIGITS_MAX && matches!(data_type, DataType::Decimal128(_, _)),
        TrinoType::Unknown
        | TrinoType::Boolean
        | TrinoType::TinyInt
        | TrinoType::SmallInt
        | TrinoType::Integer
        | TrinoType::Real
        | TrinoType::Double
        | TrinoType::Varbinary
        | TrinoType::Date => true,
        TrinoType::Varchar(_) | TrinoType::Json => matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
        // Unsigned ones of 64 bits only come from the catalog's own tables, and are small.
        TrinoType::BigInt => !matches!(data_type, DataType::UInt64),
        TrinoType::Time(_) => matches!(data_type, DataType::Time64(TimeUnit::Microsecond)),
        TrinoType::Timestamp(_) | TrinoType::TimestampWithZone(_) => {
            matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Millisecond, _))
        }
        TrinoType::Array(item) => match data_type {
            DataType::List(field) => {
                !matches!(**item, TrinoType::Array(_) | TrinoType::Map(_, _) | TrinoType::Row(_) | TrinoType::Unknown)
                    && by_arrow(item, field.data_type())
            }
            _ => false,
        },
        _ => false,
    }
}

fn describe(field: &Field, kind: &TrinoType, format: FieldFormat) -> FieldInfo {
    let (datatype, size, modifier) = pg_type(kind, field.data_type());
    FieldInfo::new(field.name().clone(), None, None, datatype, format).with_type_size(size).with_type_modifier(modifier)
}

/// The type, its width in bytes (-1 where that varies), and its modifier (-1 for none).
pub(crate) fn pg_type(kind: &TrinoType, data_type: &DataType) -> (Type, i16, i32) {
    let plain = |kind: Type, size: i16| (kind, size, -1);
    match kind {
        TrinoType::Boolean => plain(Type::BOOL, 1),
        TrinoType::TinyInt | TrinoType::SmallInt => plain(Type::INT2, 2),
        TrinoType::Integer => plain(Type::INT4, 4),
        TrinoType::BigInt => plain(Type::INT8, 8),
        TrinoType::Real => plain(Type::FLOAT4, 4),
        TrinoType::Double => plain(Type::FLOAT8, 8),
        // PostgreSQL source, `numerictypmodin`: precision, scale, and the four bytes of a variable's header.
        TrinoType::Decimal(precision, scale) => (Type::NUMERIC, -1, ((i32::from(*precision) << 16) | i32::from(*scale)) + 4),
        TrinoType::Varchar(Some(length)) => {
            (Type::VARCHAR, -1, i32::try_from(*length).map_or(-1, |length| length.saturating_add(4)))
        }
        TrinoType::Char(length) => (Type::VARCHAR, -1, i32::try_from(*length).map_or(-1, |length| length.saturating_add(4))),
        TrinoType::Varbinary => plain(Type::BYTEA, -1),
        TrinoType::Date => plain(Type::DATE, 4),
        TrinoType::Time(_) => plain(Type::TIME, 8),
        TrinoType::Timestamp(_) => plain(Type::TIMESTAMP, 8),
        TrinoType::TimestampWithZone(_) => plain(Type::TIMESTAMPTZ, 8),
        TrinoType::Json => plain(Type::JSON, -1),
        TrinoType::Array(item) if by_arrow(kind, data_type) => plain(array_of(item), -1),
        _ => plain(Type::TEXT, -1),
    }
}

fn array_of(item: &TrinoType) -> Type {
    match item {
        TrinoType::Boolean => Type::BOOL_ARRAY,
        TrinoType::TinyInt | TrinoType::SmallInt => Type::INT2_ARRAY,
        TrinoType::Integer => Type::INT4_ARRAY,
        TrinoType::BigInt => Type::INT8_ARRAY,
        TrinoType::Real => Type::FLOAT4_ARRAY,
        TrinoType::Double => Type::FLOAT8_ARRAY,
        TrinoType::Decimal(_, _) => Type::NUMERIC_ARRAY,
        TrinoType::Varbinary => Type::BYTEA_ARRAY,
        TrinoType::Date => Type::DATE_ARRAY,
        TrinoType::Time(_) => Type::TIME_ARRAY,
        TrinoType::Timestamp(_) => Type::TIMESTAMP_ARRAY,
        TrinoType::TimestampWithZone(_) => Type::TIMESTAMPTZ_ARRAY,
        _ => Type::TEXT_ARRAY,
    }
}

/// A decimal number's text in PostgreSQL's binary form: digits of base 10,000 with the weight of the first, a sign, and decimals to show.
fn numeric(text: &str) -> Vec<u8> {
    let (sign, digits) = text.strip_prefix('-').map_or((0_u16, text), |digits| (0x4000, digits));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let padded = format!(
        "{:0>whole_width$}{:0<decimals_width$}",
        whole,
        decimals,
        whole_width = whole.len().next_multiple_of(4),
        decimals_width = decimals.len().next_multiple_of(4)
    );
    let groups: Vec<u16> = padded
        .as_bytes()
        .chunks(4)
        .map(|four| four.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0')))
        .collect();
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups[leading..].iter().rev().take_while(|group| **group == 0).count();
    let kept = &groups[leading..groups.len() - trailing];
    let weight = whole.len().div_ceil(4) as i16 - 1 - leading as i16;
    let (weight, sign) = if kept.is_empty() { (0, 0) } else { (weight, sign) };
    let head = [kept.len() as u16, weight as u16, sign, decimals.len() as u16];
    head.iter().chain(kept).flat_map(|part| part.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Int32Array, StringArray};

    #[test]
    fn numbers_have_their_binary_form() {
        let check = |text: &str, parts: &[i16]| {
            let expected: Vec<u8> = parts.iter().flat_map(|part| part.to_be_bytes()).collect();
            assert_eq!(numeric(text), expected, "{text}");
        };
        check("12345.678", &[3, 1, 0, 3, 1, 2345, 6780]);
        check("-0.0015", &[1, -1, 0x4000, 4, 15]);
        check("0.00", &[0, 0, 0, 2]);
        check("100000000", &[1, 2, 0, 0, 1]);
    }

    #[test]
    fn rows_are_text_where_nothing_else_was_asked_for() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int32, true),
            TrinoType::Varchar(Some(3)).field("s", true),
            Field::new("d", DataType::Decimal128(38, 2), true),
        ]));
        let decimals = Decimal128Array::from(vec![Some(-99_999_999_999_999_999_999_999_999_999_999_i128), None]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![Some(7), None])),
            Arc::new(StringArray::from(vec!["abc", ""])),
            Arc::new(decimals.with_precision_and_scale(38, 2).unwrap()),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let described = Columns::of(&schema, &[]).unwrap();
        let types: Vec<_> = described.fields.iter().map(|field| (field.datatype().clone(), field.type_modifier())).collect();
        assert_eq!(types, [(Type::INT4, -1), (Type::VARCHAR, 7), (Type::NUMERIC, (38 << 16 | 2) + 4)]);
        let mut rows = described.rows(&batch).unwrap();
        let first = rows.next().unwrap().unwrap();
        let mut expected = b"\0\0\0\x017\0\0\0\x03abc\0\0\0\x22".to_vec();
        expected.extend(b"-999999999999999999999999999999.99".iter().chain(b"").copied());
        assert_eq!(first.data[..], expected[..]);
        assert_eq!(rows.next().unwrap().unwrap().data[..], b"\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff"[..]);
        assert!(rows.next().is_none());
        assert!(Columns::of(&schema, &[0, 1]).is_err());
    }
}
