//! A result's columns as `GetQueryResults` describes them (Athena API reference, `ColumnInfo`).

use crate::types::TrinoType;
use arrow::datatypes::{DataType, Schema};

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
    /// The column for values of a type.
    pub fn new(name: impl Into<String>, data_type: &TrinoType) -> Self {
        let (precision, scale) = size(data_type);
        Self { name: name.into(), data_type: data_type.base_name(), precision, scale, case_sensitive: data_type.is_text() }
    }

    /// A text column, as DDL statements give them.
    pub fn text(name: impl Into<String>) -> Self {
        Self { name: name.into(), data_type: "string", precision: 0, scale: 0, case_sensitive: false }
    }

    /// All columns of a schema, of the types that their fields are marked with.
    pub fn of_schema(schema: &Schema) -> Vec<Self> {
        schema.fields().iter().map(|field| Self::new(field.name(), &TrinoType::of_field(field))).collect()
    }
}

/// Trino's full name of an Arrow type: `decimal(12,2)`, `array(varchar)`, `row(a integer)`: what `information_schema` says.
pub fn trino_type(data_type: &DataType) -> String {
    TrinoType::of_arrow(data_type).to_string()
}

/// Precision and scale as Athena gives them: digits of times are those that its formats keep, whatever the type's.
fn size(data_type: &TrinoType) -> (i32, i32) {
    let length = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
    let precision = match data_type {
        TrinoType::TinyInt => 3,
        TrinoType::SmallInt => 5,
        TrinoType::Integer => 10,
        TrinoType::BigInt => 19,
        TrinoType::Real | TrinoType::Double => 17,
        TrinoType::Decimal(precision, scale) => return (i32::from(*precision), i32::from(*scale)),
        TrinoType::Varchar(bound) => bound.map_or(i32::MAX, length),
        TrinoType::Char(bound) => length(*bound),
        TrinoType::Varbinary => 1 << 30,
        TrinoType::Timestamp(_) | TrinoType::TimestampWithZone(_) | TrinoType::Time(_) | TrinoType::TimeWithZone(_) => 3,
        _ => 0,
    };
    (precision, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_described_by_their_marks() {
        let column = |text: &str| {
            let schema = Schema::new(vec![TrinoType::parse(text).unwrap().field("c", true)]);
            let column = ResultColumn::of_schema(&schema).remove(0);
            (column.data_type, column.precision, column.scale, column.case_sensitive)
        };
        assert_eq!(column("varchar(10)"), ("varchar", 10, 0, true));
        assert_eq!(column("varchar"), ("varchar", i32::MAX, 0, true));
        assert_eq!(column("char(3)"), ("char", 3, 0, true));
        assert_eq!(column("decimal(12,2)"), ("decimal", 12, 2, false));
        assert_eq!(column("timestamp(6)"), ("timestamp", 3, 0, false));
        assert_eq!(column("real"), ("float", 17, 0, false));
        assert_eq!(column("json"), ("json", 0, 0, false));
        assert_eq!(column("array(json)"), ("array", 0, 0, false));
    }
}
