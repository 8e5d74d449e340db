//! Columns of files that have no field ids, by names that the table remembers for them.
//!
//! Files that were written before their table was an Iceberg table have no ids. `schema.name-mapping.default` says which columns their names mean,
//! whatever the columns are called now (Iceberg specification, "Name Mapping Serialization").

use super::schema::field_id;
use super::{TableMetadata, invalid};
use crate::query::QueryError;
use arrow::datatypes::{DataType, Field, Fields};
use iceberg::spec::{DEFAULT_SCHEMA_NAME_MAPPING, MappedField, NameMapping};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use std::collections::HashMap;
use std::sync::Arc;

/// The id of fields that the mapping does not know; no column has it.
const UNMAPPED: i32 = -1;

/// A table's mapping, where it has one.
#[derive(Debug, Clone, Default)]
pub(super) struct Mapping(Option<Arc<NameMapping>>);

impl Mapping {
    /// The mapping of a table's properties.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn of(metadata: &TableMetadata) -> Result<Self, QueryError> {
        let parse = |text: &String| serde_json::from_str(text).map(Arc::new);
        let mapping = metadata.properties().get(DEFAULT_SCHEMA_NAME_MAPPING).map(parse).transpose();
        mapping.map(Self).map_err(|error| invalid(format!("the property {DEFAULT_SCHEMA_NAME_MAPPING}: {error}")))
    }

    /// The columns of a file: with ids where the file has none and there is a mapping, otherwise as they are.
    pub(super) fn identify(&self, fields: &Fields) -> Fields {
        match &self.0 {
            Some(mapping) if !fields.iter().any(|field| has_id(field)) => {
                let known: Vec<&MappedField> = mapping.fields().iter().collect();
                fields.iter().map(|field| identified(field, field.name(), &known)).collect()
            }
            _ => fields.clone(),
        }
    }
}

fn has_id(field: &Field) -> bool {
    field_id(field).is_some()
        || match field.data_type() {
            DataType::Struct(fields) => fields.iter().any(|field| has_id(field)),
            DataType::List(inner) | DataType::LargeList(inner) | DataType::Map(inner, _) => has_id(inner),
            _ => false,
        }
}

fn identified(field: &Field, name: &str, known: &[&MappedField]) -> Field {
    let found = known.iter().find(|mapped| mapped.names().iter().any(|known| known == name));
    let id = found.and_then(|mapped| mapped.field_id()).unwrap_or(UNMAPPED);
    let nested: Vec<&MappedField> = found.map(|mapped| mapped.fields().iter().map(AsRef::as_ref).collect()).unwrap_or_default();
    let data_type = match field.data_type() {
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| identified(field, field.name(), &nested)).collect())
        }
        DataType::List(item) => DataType::List(Arc::new(identified(item, "element", &nested))),
        DataType::LargeList(item) => DataType::LargeList(Arc::new(identified(item, "element", &nested))),
        DataType::Map(entries, sorted) => {
            let data_type = match entries.data_type() {
                DataType::Struct(pair) => DataType::Struct(
                    pair.iter().zip(["key", "value"]).map(|(field, name)| identified(field, name, &nested)).collect(),
                ),
                other => other.clone(),
            };
            DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(data_type)), *sorted)
        }
        other => other.clone(),
    };
    let metadata = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]);
    field.clone().with_data_type(data_type).with_metadata(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(json: &str) -> Mapping {
        Mapping(Some(Arc::new(serde_json::from_str(json).unwrap())))
    }

    #[test]
    fn names_become_ids_where_a_file_has_none() {
        let mapping = mapping(
            r#"[{"field-id": 1, "names": ["id", "record"]},
                {"field-id": 2, "names": ["tags"], "fields": [{"field-id": 5, "names": ["element"],
                    "fields": [{"field-id": 6, "names": ["x"]}]}]}]"#,
        );
        let inner = DataType::Struct(vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Int32, true)].into());
        let fields: Fields = vec![
            Field::new("record", DataType::Int64, true),
            Field::new("tags", DataType::List(Arc::new(Field::new("array", inner, true))), true),
            Field::new("other", DataType::Utf8, true),
        ]
        .into();
        let named = mapping.identify(&fields);
        assert_eq!(named.iter().map(|field| field_id(field)).collect::<Vec<_>>(), [Some(1), Some(2), Some(UNMAPPED)]);
        let DataType::List(item) = named[1].data_type() else { panic!("{named:?}") };
        assert_eq!(field_id(item), Some(5));
        let DataType::Struct(pair) = item.data_type() else { panic!("{item:?}") };
        assert_eq!(pair.iter().map(|field| field_id(field)).collect::<Vec<_>>(), [Some(6), Some(UNMAPPED)]);
        // One id is enough for a file to be trusted with its own.
        assert_eq!(mapping.identify(&named), named);
        assert_eq!(Mapping::default().identify(&fields), fields);
    }
}
