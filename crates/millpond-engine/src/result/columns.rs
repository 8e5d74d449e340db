//! A result's columns as `GetQueryResults` describes them (Athena API reference, `ColumnInfo`).

use arrow::datatypes::{DataType, IntervalUnit, Schema};

/// One column. Athena gives `CatalogName` "hive", empty `SchemaName` and `TableName`, and `Nullable` "UNKNOWN" for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultColumn {
    /// As written in the query; `_col0` where it has none. Also the `Label`.
    pub name: String,
    /// Trino's base name: `varchar`, `bigint`, `decimal`, `array`, `row`; `float` for `real`.
    pub data_type: &'static str,
    /// Digits of numbers and times, length of texts.
    pub precision: i32,
    /// Of decimals, else 0.
    pub scale: i32,
    /// Texts are.
    pub case_sensitive: bool,
}

impl ResultColumn {
    /// The column for values of an Arrow type.
    pub fn new(name: impl Into<String>, data_type: &DataType) -> Self {
        let (precision, scale) = size(data_type);
        let data_type = type_name(data_type);
        Self { name: name.into(), data_type, precision, scale, case_sensitive: matches!(data_type, "varchar" | "char") }
    }

    /// A text column, as DDL statements give them.
    pub fn text(name: impl Into<String>) -> Self {
        Self { name: name.into(), data_type: "string", precision: 0, scale: 0, case_sensitive: false }
    }

    /// All columns of a schema.
    pub fn of_schema(schema: &Schema) -> Vec<Self> {
        schema.fields().iter().map(|field| Self::new(field.name(), field.data_type())).collect()
    }
}

/// Athena's name for a type, without parameters.
pub fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Null => "unknown",
        DataType::Boolean => "boolean",
        DataType::Int8 => "tinyint",
        DataType::Int16 | DataType::UInt8 => "smallint",
        DataType::Int32 | DataType::UInt16 => "integer",
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 | DataType::Duration(_) => "bigint",
        DataType::Float16 | DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => "decimal",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "varchar",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "varbinary",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Timestamp(_, None) => "timestamp",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Interval(IntervalUnit::YearMonth) => "interval year to month",
        DataType::Interval(_) => "interval day to second",
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(_, _)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => "array",
        DataType::Map(_, _) => "map",
        DataType::Struct(_) | DataType::Union(_, _) => "row",
        DataType::Dictionary(_, value) => type_name(value),
        DataType::RunEndEncoded(_, value) => type_name(value.data_type()),
    }
}

/// Trino's full name of a type: `decimal(12,2)`, `array(varchar)`, `row(a integer)`: what `typeof` and `information_schema` say.
pub fn trino_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => {
            format!("decimal({p},{s})")
        }
        DataType::Float16 | DataType::Float32 => "real".into(),
        DataType::Timestamp(_, None) => "timestamp(3)".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp(3) with time zone".into(),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("array({})", trino_type(item.data_type()))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("map({}, {})", trino_type(fields[0].data_type()), trino_type(fields[1].data_type()))
            }
            _ => "map".into(),
        },
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|f| format!("{} {}", f.name(), trino_type(f.data_type()))).collect();
            format!("row({})", fields.join(", "))
        }
        DataType::Dictionary(_, value) => trino_type(value),
        simple => type_name(simple).to_owned(),
    }
}

/// Precision and scale as Athena gives them.
fn size(data_type: &DataType) -> (i32, i32) {
    match data_type {
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => {
            (i32::from(*p), i32::from(*s))
        }
        DataType::Dictionary(_, value) => size(value),
        other => {
            let precision = match type_name(other) {
                "tinyint" => 3,
                "smallint" => 5,
                "integer" => 10,
                "bigint" => 19,
                "float" | "double" => 17,
                "varchar" => i32::MAX,
                "varbinary" => 1 << 30,
                "timestamp" | "timestamp with time zone" | "time" => 3,
                _ => 0,
            };
            (precision, 0)
        }
    }
}
