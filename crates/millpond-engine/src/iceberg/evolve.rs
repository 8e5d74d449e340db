//! Changes of a table's columns and properties: metadata only, since files find their columns by id.

use super::create::table_properties;
use super::schema::iceberg_type;
use super::{invalid, named};
use crate::query::QueryError;
use crate::types::HiveType;
use iceberg::spec::{
    ListType, MapType, NestedField, NestedFieldRef, PrimitiveType, Schema, StructType, TableMetadata, Transform, Type,
};
use iceberg::{TableRequirement, TableUpdate};
use millpond_core::catalog::{Column, Parameters};
use std::sync::Arc;

/// Where a column goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Before all others.
    First,
    /// Behind this one, in lower case.
    After(String),
}

/// A change of a table's description.
#[derive(Debug, Clone, PartialEq)]
pub enum Evolution {
    /// `ADD COLUMNS (…)`
    AddColumns(Vec<Column>),
    /// `DROP COLUMN c`
    DropColumn(String),
    /// `CHANGE [COLUMN] old new type [COMMENT ''] [FIRST | AFTER c]`
    ChangeColumn {
        /// The column's name now.
        from: String,
        /// What it becomes.
        to: Column,
        /// Where it goes; `None`: it stays.
        place: Option<Place>,
    },
    /// `SET TBLPROPERTIES (…)`
    SetProperties(Parameters),
    /// `UNSET TBLPROPERTIES (…)`
    UnsetProperties(Vec<String>),
}

/// What is required of the table, and what changes.
///
/// # Errors
/// Athena's words for changes that cannot be.
pub fn evolve(metadata: &TableMetadata, evolution: &Evolution) -> Result<(Vec<TableRequirement>, Vec<TableUpdate>), QueryError> {
    match evolution {
        Evolution::SetProperties(properties) => {
            let updates = table_properties(properties)?;
            Ok((Vec::new(), vec![TableUpdate::SetProperties { updates }]))
        }
        Evolution::UnsetProperties(keys) => {
            let mut removals = Vec::new();
            for key in keys {
                let one = Parameters::from([(key.clone(), sample(key).to_owned())]);
                let known = table_properties(&one)
                    .map_err(|_| QueryError::NotSupported(format!("Table property {key} is not supported")))?;
                removals.extend(known.into_keys());
            }
            Ok((Vec::new(), vec![TableUpdate::RemoveProperties { removals }]))
        }
        _ => {
            let mut last_id = metadata.last_column_id();
            let fields = fields(metadata, evolution, &mut last_id)?;
            let current = metadata.current_schema();
            let builder = Schema::builder().with_fields(fields).with_identifier_field_ids(current.identifier_field_ids());
            let schema = builder.build().map_err(invalid)?;
            let requirements = vec![
                TableRequirement::CurrentSchemaIdMatch { current_schema_id: metadata.current_schema_id() },
                TableRequirement::LastAssignedFieldIdMatch { last_assigned_field_id: metadata.last_column_id() },
            ];
            let updates = vec![TableUpdate::AddSchema { schema }, TableUpdate::SetCurrentSchema { schema_id: -1 }];
            Ok((requirements, updates))
        }
    }
}

/// A value that a property of Athena's may have.
fn sample(key: &str) -> &'static str {
    match key.to_lowercase().as_str() {
        "format" => "parquet",
        "write_compression" => "zstd",
        "write_data_path_enabled" => "true",
        _ => "1",
    }
}

fn refused(message: impl std::fmt::Display) -> QueryError {
    named("SYNTAX_ERROR", message)
}

fn find(fields: &[NestedFieldRef], name: &str) -> Result<usize, QueryError> {
    let found = fields.iter().position(|field| field.name.eq_ignore_ascii_case(name));
    found.ok_or_else(|| refused(format!("Column {name} does not exist in the table")))
}

fn fields(metadata: &TableMetadata, evolution: &Evolution, last_id: &mut i32) -> Result<Vec<NestedFieldRef>, QueryError> {
    let mut fields = metadata.current_schema().as_struct().fields().to_vec();
    match evolution {
        Evolution::AddColumns(columns) => {
            for column in columns {
                if find(&fields, &column.name).is_ok() {
                    return Err(refused(format!("Duplicate column name: {}", column.name)));
                }
                let hive = HiveType::parse(&column.data_type).map_err(refused)?;
                *last_id += 1;
                let id = *last_id;
                let mut field = NestedField::optional(id, &column.name, iceberg_type(&hive, last_id));
                field.doc = column.comment.clone();
                fields.push(field.into());
            }
        }
        Evolution::DropColumn(name) => {
            let index = find(&fields, name)?;
            let id = fields[index].id;
            let used = |field: &iceberg::spec::PartitionField| field.source_id == id && field.transform != Transform::Void;
            if metadata.default_partition_spec().fields().iter().any(used) {
                return Err(QueryError::NotSupported(format!("Cannot drop partition field: {name}")));
            }
            // Files may be left in partitions of a former specification, whose values have their type from the column.
            if metadata.partition_specs_iter().any(|spec| spec.fields().iter().any(used)) {
                return Err(QueryError::NotSupported(format!(
                    "Cannot drop column which is used by an old partition spec: {name}"
                )));
            }
            if fields.len() == 1 {
                return Err(refused("Cannot drop the only column in a table"));
            }
            fields.remove(index);
        }
        Evolution::ChangeColumn { from, to, place } => change(&mut fields, from, to, place.as_ref(), last_id)?,
        Evolution::SetProperties(_) | Evolution::UnsetProperties(_) => {}
    }
    Ok(fields)
}

fn change(
    fields: &mut Vec<NestedFieldRef>,
    from: &str,
    to: &Column,
    place: Option<&Place>,
    last_id: &mut i32,
) -> Result<(), QueryError> {
    let index = find(fields, from)?;
    if !from.eq_ignore_ascii_case(&to.name) && find(fields, &to.name).is_ok() {
        return Err(refused(format!("Duplicate column name: {}", to.name)));
    }
    let mut field = fields[index].as_ref().clone();
    let hive = HiveType::parse(&to.data_type).map_err(refused)?;
    field.field_type = Box::new(widened(&field.field_type, &hive, last_id).ok_or_else(|| {
        let have = super::schema::hive_type(&field.field_type);
        refused(format!("Cannot change column type: {from}: {have} -> {}", to.data_type))
    })?);
    if !from.eq_ignore_ascii_case(&to.name) {
        field.name.clone_from(&to.name);
    }
    if to.comment.is_some() {
        field.doc.clone_from(&to.comment);
    }
    let field: NestedFieldRef = field.into();
    match place {
        None => fields[index] = field,
        Some(Place::First) => {
            fields.remove(index);
            fields.insert(0, field);
        }
        Some(Place::After(other)) => {
            fields.remove(index);
            let before = find(fields, other)?;
            fields.insert(before + 1, field);
        }
    }
    Ok(())
}

/// The type that a column may be changed to: wider (Iceberg specification, "Schema Evolution"), and with more fields in its rows. What is there keeps
/// its ids.
fn widened(from: &Type, to: &HiveType, last_id: &mut i32) -> Option<Type> {
    let wanted = iceberg_type(to, &mut 0);
    if super::schema::hive_type(from) == super::schema::hive_type(&wanted) {
        return Some(from.clone());
    }
    match (from, to) {
        (Type::List(list), HiveType::Array(item)) => Some(Type::List(ListType::new(inside(&list.element_field, item, last_id)?))),
        (Type::Map(map), HiveType::Map(key, value)) => {
            let is_same =
                super::schema::hive_type(&map.key_field.field_type) == super::schema::hive_type(&iceberg_type(key, &mut 0));
            let value = inside(&map.value_field, value, last_id)?;
            is_same.then(|| Type::Map(MapType::new(Arc::clone(&map.key_field), value)))
        }
        (Type::Struct(row), HiveType::Struct(wanted)) => {
            let of = |name: &str, field: &NestedFieldRef| field.name.eq_ignore_ascii_case(name);
            if !row.fields().iter().all(|field| wanted.iter().any(|(name, _)| of(name, field))) {
                return None;
            }
            let mut fields = Vec::with_capacity(wanted.len());
            for (name, to) in wanted {
                fields.push(match row.fields().iter().find(|field| of(name, field)) {
                    Some(field) => inside(field, to, last_id)?,
                    None => {
                        *last_id += 1;
                        let id = *last_id;
                        NestedField::optional(id, name, iceberg_type(to, last_id)).into()
                    }
                });
            }
            Some(Type::Struct(StructType::new(fields)))
        }
        (Type::Primitive(have), _) => {
            let Type::Primitive(want) = &wanted else { return None };
            let is_wider = match (have, want) {
                (PrimitiveType::Int, PrimitiveType::Long) | (PrimitiveType::Float, PrimitiveType::Double) => true,
                (PrimitiveType::Decimal { precision: a, scale: c }, PrimitiveType::Decimal { precision: b, scale: d }) => {
                    b >= a && c == d
                }
                _ => false,
            };
            is_wider.then_some(wanted)
        }
        _ => None,
    }
}

fn inside(field: &NestedFieldRef, to: &HiveType, last_id: &mut i32) -> Option<NestedFieldRef> {
    let mut field = field.as_ref().clone();
    field.field_type = Box::new(widened(&field.field_type, to, last_id)?);
    Some(field.into())
}
