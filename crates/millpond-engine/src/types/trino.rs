//! Trino's types (Trino documentation, "Data types"), and how columns carry them.
//!
//! Arrow has no JSON, no `varchar(n)`, no `uuid`. A column of such a type is an Arrow column of the nearest type ([`TrinoType::to_arrow`]) whose
//! *field* says in its metadata what it really is. A field without that entry is of the type that its Arrow type stands for
//! ([`TrinoType::of_arrow`]); so nearly all fields need none. Values never depend on it, but for how they are shown and cast.
//!
//! A function that gives such a type says so in `return_field_from_args`, and reads what its arguments are from their fields:
//!
//! ```ignore
//! fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
//!     let json = TrinoType::of_field(&args.arg_fields[0]) == TrinoType::Json;
//!     Ok(Arc::new(TrinoType::Json.field(self.name(), true)))
//! }
//! ```
//!
//! Nested types are marked at the top alone (`array(json)` on the list's field), since Arrow takes lists whose items' metadata differ for
//! different types.

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};
use std::fmt;
use std::sync::Arc;

/// The key of a field's metadata whose value is the type's text.
pub const TYPE_KEY: &str = "trino:type";

/// Digits of a second that a `timestamp` or `time` without precision has.
pub const DEFAULT_PRECISION: u8 = 3;

/// Deeper types are refused, so that hostile text cannot exhaust the stack.
const DEPTH_MAX: usize = 32;

/// A type of Trino's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TrinoType {
    /// Of `NULL`.
    Unknown,
    /// true or false.
    Boolean,
    /// 8 bits.
    TinyInt,
    /// 16 bits.
    SmallInt,
    /// 32 bits.
    Integer,
    /// 64 bits.
    BigInt,
    /// 32-bit IEEE; Athena's results say `float`.
    Real,
    /// 64-bit IEEE.
    Double,
    /// Precision 1..=38, scale 0..=precision.
    Decimal(u8, u8),
    /// At most so many characters, or any number of them.
    Varchar(Option<u32>),
    /// So many characters; kept without the blanks that pad it.
    Char(u32),
    /// Bytes.
    Varbinary,
    /// Days.
    Date,
    /// With so many digits of a second (0..=12; microseconds are kept).
    Time(u8),
    /// The same with an offset; kept as text.
    TimeWithZone(u8),
    /// With so many digits of a second (0..=12; microseconds are kept).
    Timestamp(u8),
    /// The same as a moment that is shown in a zone, which is the column's.
    TimestampWithZone(u8),
    /// Months.
    IntervalYearToMonth,
    /// Milliseconds (microseconds are kept).
    IntervalDayToSecond,
    /// JSON text.
    Json,
    /// Text of 36 characters.
    Uuid,
    /// Text in the shortest form (RFC 5952).
    IpAddress,
    /// Any number of one type.
    Array(Box<TrinoType>),
    /// Keys and values.
    Map(Box<TrinoType>, Box<TrinoType>),
    /// Fields in order; their names may be missing.
    Row(Vec<(Option<String>, TrinoType)>),
}

impl TrinoType {
    /// Reads a type as it stands in a `CAST`, in any case: `array(varchar(10))`, `row(a integer, b json)`, `timestamp(3) with time zone`.
    /// Hive's and other engines' names of simple types (`string`, `int`, `float`, `binary`) are taken too.
    ///
    /// # Errors
    /// What is not a type, in a few words.
    pub fn parse(text: &str) -> Result<Self, String> {
        super::trino_parse::parse(text, DEPTH_MAX)
    }

    /// The Arrow type of its values.
    pub fn to_arrow(&self) -> DataType {
        match self {
            Self::Unknown => DataType::Null,
            Self::Boolean => DataType::Boolean,
            Self::TinyInt => DataType::Int8,
            Self::SmallInt => DataType::Int16,
            Self::Integer => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Real => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal(precision, scale) => DataType::Decimal128(*precision, scale.cast_signed()),
            Self::Varchar(_) | Self::Char(_) | Self::Json | Self::Uuid | Self::IpAddress | Self::TimeWithZone(_) => {
                DataType::Utf8
            }
            Self::Varbinary => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time(_) => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampWithZone(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::IntervalYearToMonth => DataType::Interval(IntervalUnit::YearMonth),
            Self::IntervalDayToSecond => DataType::Duration(TimeUnit::Microsecond),
            Self::Array(item) => list_of(item.to_arrow()),
            Self::Map(key, value) => map_of(key.to_arrow(), value.to_arrow()),
            Self::Row(fields) => DataType::Struct(
                fields
                    .iter()
                    .enumerate()
                    .map(|(index, (name, field))| {
                        let name = name.clone().unwrap_or_else(|| field_name(index));
                        Arc::new(Field::new(name, field.to_arrow(), true))
                    })
                    .collect(),
            ),
        }
    }

    /// The type that an Arrow type stands for.
    pub fn of_arrow(data_type: &DataType) -> Self {
        match data_type {
            DataType::Null => Self::Unknown,
            DataType::Boolean => Self::Boolean,
            DataType::Int8 => Self::TinyInt,
            DataType::Int16 | DataType::UInt8 => Self::SmallInt,
            DataType::Int32 | DataType::UInt16 => Self::Integer,
            DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Self::BigInt,
            DataType::Float16 | DataType::Float32 => Self::Real,
            DataType::Float64 => Self::Double,
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => {
                Self::Decimal(*p, u8::try_from(*s).unwrap_or(0))
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Union(_, _) => Self::Varchar(None),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Self::Varbinary,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time(DEFAULT_PRECISION),
            DataType::Timestamp(_, None) => Self::Timestamp(DEFAULT_PRECISION),
            DataType::Timestamp(_, Some(_)) => Self::TimestampWithZone(DEFAULT_PRECISION),
            DataType::Interval(IntervalUnit::YearMonth) => Self::IntervalYearToMonth,
            DataType::Interval(_) | DataType::Duration(_) => Self::IntervalDayToSecond,
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::ListView(item)
            | DataType::LargeListView(item) => Self::Array(Box::new(Self::of_arrow(item.data_type()))),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => {
                    Self::Map(Box::new(Self::of_arrow(pair[0].data_type())), Box::new(Self::of_arrow(pair[1].data_type())))
                }
                _ => Self::Unknown,
            },
            DataType::Struct(fields) => Self::Row(row_fields(fields)),
            DataType::Dictionary(_, value) => Self::of_arrow(value),
            DataType::RunEndEncoded(_, value) => Self::of_arrow(value.data_type()),
        }
    }

    /// The type of a column.
    pub fn of_field(field: &Field) -> Self {
        field
            .metadata()
            .get(TYPE_KEY)
            .and_then(|text| Self::parse(text).ok())
            .filter(|marked| marked.fits(field.data_type()))
            .unwrap_or_else(|| Self::of_arrow(field.data_type()))
    }

    /// Whether values of this type may be of that Arrow type: a mark that came along with another type is not believed.
    fn fits(&self, data_type: &DataType) -> bool {
        match (self, data_type) {
            (Self::Timestamp(_), DataType::Timestamp(_, None)) => true,
            (Self::TimestampWithZone(_), DataType::Timestamp(_, Some(_))) => true,
            (Self::Time(_), DataType::Time32(_) | DataType::Time64(_)) => true,
            _ => Self::of_arrow(&self.to_arrow()) == Self::of_arrow(data_type),
        }
    }

    /// A column of this type, marked where its Arrow type does not say enough.
    pub fn field(&self, name: impl Into<String>, nullable: bool) -> Field {
        self.mark(Field::new(name, self.to_arrow(), nullable))
    }

    /// A field whose Arrow type stays, with this type's mark.
    pub fn mark(&self, field: Field) -> Field {
        let mut metadata = field.metadata().clone();
        metadata.remove(TYPE_KEY);
        if *self != Self::of_arrow(field.data_type()) {
            metadata.insert(TYPE_KEY.to_owned(), self.to_string());
        }
        field.with_metadata(metadata)
    }

    /// A field of an expression's result, as planners want it.
    pub fn field_ref(&self, name: impl Into<String>) -> FieldRef {
        Arc::new(self.field(name, true))
    }

    /// Athena's name without parameters, as `ColumnInfo` has it.
    pub fn base_name(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Boolean => "boolean",
            Self::TinyInt => "tinyint",
            Self::SmallInt => "smallint",
            Self::Integer => "integer",
            Self::BigInt => "bigint",
            Self::Real => "float",
            Self::Double => "double",
            Self::Decimal(..) => "decimal",
            Self::Varchar(_) => "varchar",
            Self::Char(_) => "char",
            Self::Varbinary => "varbinary",
            Self::Date => "date",
            Self::Time(_) => "time",
            Self::TimeWithZone(_) => "time with time zone",
            Self::Timestamp(_) => "timestamp",
            Self::TimestampWithZone(_) => "timestamp with time zone",
            Self::IntervalYearToMonth => "interval year to month",
            Self::IntervalDayToSecond => "interval day to second",
            Self::Json => "json",
            Self::Uuid => "uuid",
            Self::IpAddress => "ipaddress",
            Self::Array(_) => "array",
            Self::Map(..) => "map",
            Self::Row(_) => "row",
        }
    }

    /// `varchar` or `char`.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Varchar(_) | Self::Char(_))
    }

    /// `tinyint` to `bigint`.
    pub fn is_integer(&self) -> bool {
        matches!(self, Self::TinyInt | Self::SmallInt | Self::Integer | Self::BigInt)
    }

    /// Integers, decimals, `real` and `double`.
    pub fn is_number(&self) -> bool {
        self.is_integer() || matches!(self, Self::Decimal(..) | Self::Real | Self::Double)
    }

    /// Precision and scale of an exact number.
    pub fn digits(&self) -> Option<(u8, u8)> {
        Some(match self {
            Self::TinyInt => (3, 0),
            Self::SmallInt => (5, 0),
            Self::Integer => (10, 0),
            Self::BigInt => (19, 0),
            Self::Decimal(precision, scale) => (*precision, *scale),
            _ => return None,
        })
    }

    /// The type to which both are brought where values of both meet (`CASE`, `ARRAY[…]`, `UNION`, comparisons); `None` where Trino has none.
    pub fn common(a: &Self, b: &Self) -> Option<Self> {
        super::trino_common::common(a, b)
    }
}

/// A list of nullable items, named as Parquet names them.
pub fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", item, true)))
}

/// A map, named as Parquet names its parts.
pub fn map_of(key: DataType, value: DataType) -> DataType {
    let entry = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entry), false)), false)
}

/// The name that a row's field without one is shown by.
pub fn field_name(index: usize) -> String {
    format!("field{index}")
}

/// A row whose fields all have the names of those without one has no names.
fn row_fields(fields: &Fields) -> Vec<(Option<String>, TrinoType)> {
    let anonymous = fields.iter().enumerate().all(|(index, field)| *field.name() == field_name(index));
    let name = |field: &FieldRef| (!anonymous).then(|| field.name().clone());
    fields.iter().map(|field| (name(field), TrinoType::of_arrow(field.data_type()))).collect()
}

/// Trino's full name: what `typeof` says, and what [`TrinoType::parse`] reads.
impl fmt::Display for TrinoType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Real => f.write_str("real"),
            Self::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            Self::Varchar(Some(length)) => write!(f, "varchar({length})"),
            Self::Char(length) => write!(f, "char({length})"),
            Self::Time(precision) => write!(f, "time({precision})"),
            Self::TimeWithZone(precision) => write!(f, "time({precision}) with time zone"),
            Self::Timestamp(precision) => write!(f, "timestamp({precision})"),
            Self::TimestampWithZone(precision) => write!(f, "timestamp({precision}) with time zone"),
            Self::Array(item) => write!(f, "array({item})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Row(fields) => {
                f.write_str("row(")?;
                for (index, (name, field)) in fields.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    match name {
                        Some(name) if is_plain(name) => write!(f, "{name} {field}")?,
                        Some(name) => write!(f, "\"{}\" {field}", name.replace('"', "\"\""))?,
                        None => write!(f, "{field}")?,
                    }
                }
                f.write_str(")")
            }
            simple => f.write_str(simple.base_name()),
        }
    }
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_survives_its_text_and_its_column() {
        for text in [
            "tinyint",
            "bigint",
            "real",
            "decimal(12,2)",
            "varchar",
            "varchar(10)",
            "char(3)",
            "timestamp(3)",
            "timestamp(6) with time zone",
            "time(0)",
            "interval year to month",
            "interval day to second",
            "json",
            "uuid",
            "ipaddress",
            "unknown",
            "array(array(json))",
            "map(varchar(3), row(a integer, \"b c\" decimal(3,1)))",
            "row(integer, varchar(1))",
        ] {
            let parsed = TrinoType::parse(text).unwrap();
            assert_eq!(parsed.to_string(), text);
            assert_eq!(TrinoType::of_field(&parsed.field("c", true)), parsed, "{text}");
        }
    }

    #[test]
    fn type_names_are_read_as_people_write_them() {
        for (text, want) in [
            ("DOUBLE PRECISION", "double"),
            ("Array<Int>", "array(integer)"),
            ("ROW(x bigint, y ROW(z varchar))", "row(x bigint, y row(z varchar))"),
            ("timestamp", "timestamp(3)"),
            ("TIMESTAMP WITH TIME ZONE", "timestamp(3) with time zone"),
            ("decimal", "decimal(38,0)"),
            ("char", "char(1)"),
            ("string", "varchar"),
            ("integer array", "array(integer)"),
            ("row(date date, time time)", "row(date date, time time(3))"),
        ] {
            assert_eq!(TrinoType::parse(text).unwrap().to_string(), want, "{text}");
        }
        for text in ["foo", "array(", "map(integer)", "decimal(40,2)", "", "row()", &"array(".repeat(5000)] {
            assert!(TrinoType::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mark_of_another_type_is_not_believed() {
        let field = TrinoType::Json.field("c", true).with_data_type(DataType::Int64);
        assert_eq!(TrinoType::of_field(&field), TrinoType::BigInt);
    }

    #[test]
    fn types_meet_as_trino_says() {
        let common = |a: &str, b: &str| {
            let (a, b) = (TrinoType::parse(a).unwrap(), TrinoType::parse(b).unwrap());
            TrinoType::common(&a, &b).map(|common| common.to_string()).unwrap_or_default()
        };
        for (a, b, want) in [
            ("integer", "bigint", "bigint"),
            ("integer", "decimal(2,1)", "decimal(11,1)"),
            ("bigint", "double", "double"),
            ("real", "decimal(2,1)", "real"),
            ("varchar(1)", "varchar(3)", "varchar(3)"),
            ("varchar(1)", "varchar", "varchar"),
            ("unknown", "json", "json"),
            ("date", "timestamp(3)", "timestamp(3)"),
            ("array(integer)", "array(double)", "array(double)"),
            ("varchar", "integer", ""),
            ("boolean", "integer", ""),
            ("varchar", "date", ""),
            ("row(integer, varchar(1))", "row(bigint, varchar(2))", "row(bigint, varchar(2))"),
        ] {
            assert_eq!(common(a, b), want, "{a} with {b}");
            assert_eq!(common(b, a), want, "{b} with {a}");
        }
    }
}
