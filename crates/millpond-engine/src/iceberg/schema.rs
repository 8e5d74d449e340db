//! Types and values of Iceberg, Arrow and the catalog.
//!
//! Columns are known by ids, which Arrow fields carry as metadata (`PARQUET:field_id`), nested ones too; Parquet files have them from there.

use super::invalid;
use crate::query::QueryError;
use crate::types::{HiveType, TrinoType};
use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, ListArray, MapArray, StringArray, StructArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef, TimeUnit};
use arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use iceberg::spec::{
    ListType, Literal, MapType, NestedField, NestedFieldRef, PrimitiveLiteral, PrimitiveType, Schema, StructType, TableMetadata,
    Type,
};
use millpond_core::catalog::{Column, Parameters};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Digits of a second that Iceberg's timestamps have.
const TIMESTAMP_PRECISION: u8 = 6;

/// The id of an Arrow field.
pub(crate) fn field_id(field: &Field) -> Option<i32> {
    field.metadata().get(PARQUET_FIELD_ID_META_KEY)?.parse().ok()
}

fn with_id(name: &str, data_type: DataType, nullable: bool, id: i32) -> Field {
    let metadata = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]);
    Field::new(name, data_type, nullable).with_metadata(metadata)
}

/// The columns of a schema as queries see them: lower-case names, the engine's own types, all nullable.
pub(crate) fn arrow_schema(schema: &Schema) -> ArrowSchemaRef {
    let fields = schema.as_struct().fields().iter().map(|field| arrow_field(field, true));
    Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()))
}

pub(crate) fn arrow_field(field: &NestedField, top: bool) -> Field {
    let name = if top { field.name.to_lowercase() } else { field.name.clone() };
    let arrow = with_id(&name, arrow_type(&field.field_type), true, field.id);
    // Iceberg's timestamps are of microseconds, and so they are shown (Trino, "Iceberg connector", "Type mapping").
    match arrow.data_type() {
        DataType::Timestamp(_, None) => TrinoType::Timestamp(TIMESTAMP_PRECISION).mark(arrow),
        DataType::Timestamp(_, Some(_)) => TrinoType::TimestampWithZone(TIMESTAMP_PRECISION).mark(arrow),
        _ => arrow,
    }
}

/// The engine's type for values of an Iceberg type. Times of day and UUIDs are text, as the catalog has no types for them.
pub(crate) fn arrow_type(of: &Type) -> DataType {
    match of {
        Type::Primitive(primitive) => primitive_type(primitive),
        Type::Struct(fields) => {
            DataType::Struct(fields.fields().iter().map(|field| Arc::new(arrow_field(field, false))).collect::<Fields>())
        }
        Type::List(list) => {
            let element = &list.element_field;
            DataType::List(Arc::new(with_id("item", arrow_type(&element.field_type), true, element.id)))
        }
        Type::Map(map) => {
            let key = with_id("key", arrow_type(&map.key_field.field_type), false, map.key_field.id);
            let value = with_id("value", arrow_type(&map.value_field.field_type), true, map.value_field.id);
            let entries = Field::new("key_value", DataType::Struct(vec![key, value].into()), false);
            DataType::Map(Arc::new(entries), false)
        }
    }
}

pub(crate) fn primitive_type(of: &PrimitiveType) -> DataType {
    match of {
        PrimitiveType::Boolean => DataType::Boolean,
        PrimitiveType::Int => DataType::Int32,
        PrimitiveType::Long => DataType::Int64,
        PrimitiveType::Float => DataType::Float32,
        PrimitiveType::Double => DataType::Float64,
        PrimitiveType::Decimal { precision, scale } => {
            DataType::Decimal128(u8::try_from(*precision).unwrap_or(38), i8::try_from(*scale).unwrap_or(0))
        }
        PrimitiveType::Date => DataType::Date32,
        PrimitiveType::Timestamp | PrimitiveType::TimestampNs => DataType::Timestamp(TimeUnit::Microsecond, None),
        PrimitiveType::Timestamptz | PrimitiveType::TimestamptzNs => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        PrimitiveType::String | PrimitiveType::Uuid | PrimitiveType::Time => DataType::Utf8,
        PrimitiveType::Fixed(_) | PrimitiveType::Binary => DataType::Binary,
    }
}

/// The catalog's text for a type.
pub fn hive_type(of: &Type) -> String {
    match of {
        Type::Primitive(primitive) => match primitive {
            PrimitiveType::Boolean => "boolean".into(),
            PrimitiveType::Int => "int".into(),
            PrimitiveType::Long => "bigint".into(),
            PrimitiveType::Float => "float".into(),
            PrimitiveType::Double => "double".into(),
            PrimitiveType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            PrimitiveType::Date => "date".into(),
            PrimitiveType::Timestamp | PrimitiveType::TimestampNs | PrimitiveType::Timestamptz | PrimitiveType::TimestamptzNs => {
                "timestamp".into()
            }
            PrimitiveType::String | PrimitiveType::Uuid | PrimitiveType::Time => "string".into(),
            PrimitiveType::Fixed(_) | PrimitiveType::Binary => "binary".into(),
        },
        Type::Struct(fields) => {
            let fields: Vec<_> =
                fields.fields().iter().map(|field| format!("{}:{}", field.name, hive_type(&field.field_type))).collect();
            format!("struct<{}>", fields.join(","))
        }
        Type::List(list) => format!("array<{}>", hive_type(&list.element_field.field_type)),
        Type::Map(map) => format!("map<{},{}>", hive_type(&map.key_field.field_type), hive_type(&map.value_field.field_type)),
    }
}

/// The Iceberg type of a type of the catalog; `next_id` gives ids to nested fields.
pub(crate) fn iceberg_type(of: &HiveType, next_id: &mut i32) -> Type {
    let mut id = || {
        *next_id += 1;
        *next_id
    };
    let primitive = match of {
        HiveType::TinyInt | HiveType::SmallInt | HiveType::Int => PrimitiveType::Int,
        HiveType::BigInt => PrimitiveType::Long,
        HiveType::Float => PrimitiveType::Float,
        HiveType::Double => PrimitiveType::Double,
        HiveType::Decimal(precision, scale) => PrimitiveType::Decimal { precision: (*precision).into(), scale: (*scale).into() },
        HiveType::Boolean => PrimitiveType::Boolean,
        HiveType::String | HiveType::Char(_) | HiveType::Varchar(_) => PrimitiveType::String,
        HiveType::Binary => PrimitiveType::Binary,
        HiveType::Date => PrimitiveType::Date,
        HiveType::Timestamp => PrimitiveType::Timestamp,
        HiveType::Array(item) => {
            let element = id();
            let item = iceberg_type(item, next_id);
            return Type::List(ListType::new(NestedField::list_element(element, item, false).into()));
        }
        HiveType::Map(key, value) => {
            let (key_id, value_id) = (id(), id());
            let key = NestedField::map_key_element(key_id, iceberg_type(key, next_id));
            let value = NestedField::map_value_element(value_id, iceberg_type(value, next_id), false);
            return Type::Map(MapType::new(key.into(), value.into()));
        }
        HiveType::Struct(fields) => {
            let ids: Vec<i32> = fields.iter().map(|_| id()).collect();
            let fields = fields.iter().zip(ids);
            let fields = fields.map(|((name, field), id)| -> NestedFieldRef {
                NestedField::optional(id, name, iceberg_type(field, next_id)).into()
            });
            return Type::Struct(StructType::new(fields.collect()));
        }
    };
    Type::Primitive(primitive)
}

/// The Iceberg type for values of an Arrow type.
///
/// # Errors
/// `NOT_SUPPORTED` for types that Iceberg lacks (intervals, say).
pub(crate) fn iceberg_type_of(of: &DataType, next_id: &mut i32) -> Result<Type, QueryError> {
    match of {
        DataType::Interval(_) | DataType::Duration(_) | DataType::Union(_, _) | DataType::Null => {
            Err(QueryError::NotSupported(format!("Type not supported for Iceberg: {}", crate::result::columns::trino_type(of))))
        }
        DataType::Timestamp(_, Some(_)) => Ok(Type::Primitive(PrimitiveType::Timestamptz)),
        DataType::Time64(_) | DataType::Time32(_) => Ok(Type::Primitive(PrimitiveType::Time)),
        other => Ok(iceberg_type(&HiveType::from_arrow(other), next_id)),
    }
}

/// A table's columns as the catalog shows them: those of the current schema, then those that it once had (as Iceberg's own catalogs for Glue
/// do: `IcebergToGlueConverter`).
pub fn catalog_columns(metadata: &TableMetadata) -> Vec<Column> {
    let mut columns = Vec::new();
    let mut known = HashSet::new();
    let current = metadata.current_schema_id();
    let mut schemas: Vec<_> = metadata.schemas_iter().collect();
    schemas.sort_by_key(|schema| (schema.schema_id() != current, schema.schema_id()));
    for schema in schemas {
        for field in schema.as_struct().fields() {
            if !known.insert(field.name.to_lowercase()) {
                continue;
            }
            let parameters = Parameters::from([
                ("iceberg.field.id".to_owned(), field.id.to_string()),
                ("iceberg.field.optional".to_owned(), (!field.required).to_string()),
                ("iceberg.field.current".to_owned(), (schema.schema_id() == current).to_string()),
            ]);
            columns.push(Column {
                name: field.name.to_lowercase(),
                data_type: hive_type(&field.field_type),
                comment: field.doc.clone(),
                parameters,
            });
        }
    }
    columns
}

/// Whether a column of the catalog is one of the table's current ones.
pub fn is_current(column: &Column) -> bool {
    column.parameters.get("iceberg.field.current").is_none_or(|current| current != "false")
}

/// A value as the engine has it.
pub(crate) fn scalar(primitive: &PrimitiveType, literal: &PrimitiveLiteral) -> Option<ScalarValue> {
    Some(match (primitive, literal) {
        (_, PrimitiveLiteral::Boolean(value)) => ScalarValue::Boolean(Some(*value)),
        (PrimitiveType::Date, PrimitiveLiteral::Int(value)) => ScalarValue::Date32(Some(*value)),
        (_, PrimitiveLiteral::Int(value)) => ScalarValue::Int32(Some(*value)),
        (PrimitiveType::Timestamp, PrimitiveLiteral::Long(value)) => ScalarValue::TimestampMicrosecond(Some(*value), None),
        (PrimitiveType::Timestamptz, PrimitiveLiteral::Long(value)) => {
            ScalarValue::TimestampMicrosecond(Some(*value), Some("UTC".into()))
        }
        (PrimitiveType::TimestampNs, PrimitiveLiteral::Long(value)) => {
            ScalarValue::TimestampMicrosecond(Some(value.div_euclid(1000)), None)
        }
        (PrimitiveType::TimestamptzNs, PrimitiveLiteral::Long(value)) => {
            ScalarValue::TimestampMicrosecond(Some(value.div_euclid(1000)), Some("UTC".into()))
        }
        (PrimitiveType::Time, PrimitiveLiteral::Long(value)) => ScalarValue::Utf8(Some(time_text(*value))),
        (_, PrimitiveLiteral::Long(value)) => ScalarValue::Int64(Some(*value)),
        (_, PrimitiveLiteral::Float(value)) => ScalarValue::Float32(Some(value.0)),
        (_, PrimitiveLiteral::Double(value)) => ScalarValue::Float64(Some(value.0)),
        (_, PrimitiveLiteral::String(value)) => ScalarValue::Utf8(Some(value.clone())),
        (_, PrimitiveLiteral::Binary(value)) => ScalarValue::Binary(Some(value.clone())),
        (PrimitiveType::Decimal { precision, scale }, PrimitiveLiteral::Int128(value)) => {
            ScalarValue::Decimal128(Some(*value), u8::try_from(*precision).ok()?, i8::try_from(*scale).ok()?)
        }
        (PrimitiveType::Uuid, PrimitiveLiteral::UInt128(value)) => ScalarValue::Utf8(Some(uuid_text(&value.to_be_bytes()))),
        _ => return None,
    })
}

/// What a column has in files that were written before it was added.
pub(crate) fn initial_default(field: &NestedField) -> Option<ScalarValue> {
    let Type::Primitive(primitive) = field.field_type.as_ref() else { return None };
    let Some(Literal::Primitive(literal)) = &field.initial_default else { return None };
    scalar(primitive, literal)
}

fn time_text(micros: i64) -> String {
    let seconds = micros.div_euclid(1_000_000);
    format!("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, micros.rem_euclid(1_000_000))
}

fn uuid_text(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let cut = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", cut(0, 8), cut(8, 12), cut(12, 16), cut(16, 20), cut(20, 32))
}

/// The field of `fields` that is the column `wanted`: by id, and by name where none of them has an id.
pub(crate) fn find_field<'a>(fields: &'a Fields, wanted: &Field) -> Option<(usize, &'a FieldRef)> {
    let mut places = fields.iter().enumerate();
    if fields.iter().any(|field| field_id(field).is_some()) {
        let id = field_id(wanted);
        return places.find(|(_, field)| id.is_some() && field_id(field) == id);
    }
    places.find(|(_, field)| field.name().eq_ignore_ascii_case(wanted.name()))
}

/// How nested fields of two types belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// By id, and by name where there are no ids: files of a table.
    Id,
    /// By position: rows that are written.
    Position,
}

/// Brings values of a file's column to the table's column: types that were widened, nested fields that were added, dropped, renamed or moved.
///
/// # Errors
/// A value does not fit: the file is not of this table.
pub(crate) fn conform(array: &ArrayRef, from: &Field, to: &Field, by: Match) -> Result<ArrayRef, ArrowError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    match (from.data_type(), to.data_type()) {
        (a, b) if a == b => Ok(Arc::clone(array)),
        (DataType::Struct(have), DataType::Struct(want)) => {
            let given = array.as_struct();
            let columns = want.iter().enumerate().map(|(index, field)| match found(have, index, field, by) {
                Some((index, found)) => conform(given.column(index), found, field, by),
                None => Ok(new_null_array(field.data_type(), given.len())),
            });
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            if want.is_empty() {
                return Ok(Arc::new(StructArray::new_empty_fields(given.len(), given.nulls().cloned())));
            }
            Ok(Arc::new(StructArray::try_new(want.clone(), columns, given.nulls().cloned())?))
        }
        (DataType::List(have), DataType::List(want)) => {
            let given: &ListArray = array.as_list();
            let values = conform(given.values(), have, want, by)?;
            Ok(Arc::new(ListArray::try_new(want.clone(), given.offsets().clone(), values, given.nulls().cloned())?))
        }
        (DataType::Map(have, _), DataType::Map(want, sorted)) => {
            let given = array.as_map();
            let (DataType::Struct(have), DataType::Struct(fields)) = (have.data_type(), want.data_type()) else {
                return Err(ArrowError::CastError("a map without entries".into()));
            };
            if have.len() != 2 || fields.len() != 2 {
                return Err(ArrowError::CastError("a map whose entries are not pairs".into()));
            }
            let keys = conform(given.keys(), &have[0], &fields[0], by)?;
            let values = conform(given.values(), &have[1], &fields[1], by)?;
            let entries = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
            let map = MapArray::try_new(want.clone(), given.offsets().clone(), entries, given.nulls().cloned(), *sorted)?;
            Ok(Arc::new(map))
        }
        // What is a text to queries only: views are made of the texts.
        (DataType::FixedSizeBinary(16) | DataType::Time64(_), DataType::Utf8View) => {
            let texts = conform(array, from, &to.clone().with_data_type(DataType::Utf8), by)?;
            cast_with_options(&texts, &DataType::Utf8View, &strict)
        }
        (DataType::FixedSizeBinary(16), DataType::Utf8) => {
            let given = array.as_fixed_size_binary();
            Ok(Arc::new(given.iter().map(|value| value.map(uuid_text)).collect::<StringArray>()))
        }
        (DataType::Time64(TimeUnit::Microsecond), DataType::Utf8) => {
            let given = array.as_primitive::<arrow::datatypes::Time64MicrosecondType>();
            Ok(Arc::new(given.iter().map(|value| value.map(time_text)).collect::<StringArray>()))
        }
        (DataType::Utf8, DataType::FixedSizeBinary(16)) => {
            let values = array.as_string::<i32>().iter().map(|text| text.map(uuid_bytes).transpose());
            let values = values.collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values.into_iter(), 16)?))
        }
        (_, wanted) => cast_with_options(array, wanted, &strict),
    }
}

fn found<'a>(have: &'a Fields, index: usize, wanted: &Field, by: Match) -> Option<(usize, &'a FieldRef)> {
    match by {
        Match::Id => find_field(have, wanted),
        Match::Position => have.get(index).map(|field| (index, field)),
    }
}

fn uuid_bytes(text: &str) -> Result<[u8; 16], ArrowError> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let parsed = (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok()).flatten();
    parsed.map(u128::to_be_bytes).ok_or_else(|| ArrowError::CastError(format!("'{text}' is not a UUID")))
}

/// The columns of data files that are written, with ids.
pub(crate) fn file_schema(schema: &Schema) -> Result<ArrowSchemaRef, QueryError> {
    Ok(Arc::new(iceberg::arrow::schema_to_arrow_schema(schema).map_err(invalid)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{FixedSizeBinaryArray, Time64MicrosecondArray};
    use arrow::util::display::array_value_to_string;

    #[test]
    fn what_is_a_text_to_queries_is_the_same_as_a_view() {
        let uuid: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter([[0x12_u8; 16]].iter()).unwrap());
        let time: ArrayRef = Arc::new(Time64MicrosecondArray::from(vec![45_296_000_001]));
        for (values, text) in [(uuid, "12121212-1212-1212-1212-121212121212"), (time, "12:34:56.000001")] {
            let from = Field::new("a", values.data_type().clone(), true);
            for to in [DataType::Utf8, DataType::Utf8View] {
                let texts = conform(&values, &from, &Field::new("a", to.clone(), true), Match::Id).unwrap();
                assert_eq!((texts.data_type(), array_value_to_string(&texts, 0).unwrap().as_str()), (&to, text));
            }
        }
    }
}
