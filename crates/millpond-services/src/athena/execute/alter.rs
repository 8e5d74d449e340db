//! `ALTER TABLE` of Hive's tables.

use super::RunError;
use super::ddl::{check_bucket, failed, not_for_iceberg, refused, touch, without_slash};
use crate::lake::catalog::{self, Archive, CatalogError, PartitionQuery};
use millpond_core::arn::Place;
use millpond_core::catalog::{Column, Partition, StorageDescriptor, Table};
use millpond_core::error::ErrorKind;
use millpond_core::partition_expr::{Literal, PartitionExpr};
use millpond_engine::iceberg::is_iceberg;
use millpond_engine::query::view;
use millpond_engine::sql::{AlterTable, ColumnPlace, PartitionCondition, PartitionSpec, render};
use millpond_store::Tx;
use rusqlite::Connection;

/// Changes a table of the catalog.
pub(super) fn run(tx: &Tx<'_>, place: &Place, mut table: Table, action: AlterTable) -> Result<(), RunError> {
    if view::is_view(&table) {
        let message = "SemanticException [Error 10131]: To alter a view you need to use the ALTER VIEW command.";
        return Err(failed(ErrorKind::Input, message));
    }
    if is_iceberg(&table) {
        return Err(not_for_iceberg());
    }
    match action {
        AlterTable::AddPartitions { if_not_exists, partitions } => {
            return add_partitions(tx, place, &table, if_not_exists, partitions);
        }
        AlterTable::DropPartitions { if_exists, partitions } => return drop_partitions(tx, place, &table, if_exists, partitions),
        AlterTable::RenamePartition { from, to } => {
            let new = values(&table, &to)?;
            return change_partition(tx, place, &table, &from, |partition| {
                partition.values = new;
                Ok(())
            });
        }
        AlterTable::SetLocation { partition: Some(spec), location } => {
            check_bucket(tx, &location)?;
            return change_partition(tx, place, &table, &spec, |partition| {
                partition.storage.location = Some(location);
                Ok(())
            });
        }
        AlterTable::AddColumns { partition: Some(spec), columns } => {
            return change_partition(tx, place, &table, &spec, |partition| add_columns(&mut partition.storage.columns, columns));
        }
        AlterTable::SetLocation { partition: None, location } => {
            check_bucket(tx, &location)?;
            table.storage.location = Some(without_slash(&location));
        }
        AlterTable::SetProperties(properties) => table.parameters.extend(properties),
        AlterTable::UnsetProperties { if_exists, names } => unset(&mut table, if_exists, &names)?,
        AlterTable::AddColumns { partition: None, columns } => {
            let key = columns.iter().find(|new| table.partition_keys.iter().any(|key| key.name == new.name));
            if let Some(key) = key {
                return Err(duplicate(&key.name));
            }
            add_columns(&mut table.storage.columns, columns)?;
        }
        AlterTable::ReplaceColumns(columns) => table.storage.columns = columns,
        AlterTable::ChangeColumn { from, to, place } => change_column(&mut table.storage.columns, &from, to, place)?,
        AlterTable::RenameTo(_) => {
            return Err(refused(ErrorKind::Missing, "", "Table cannot be renamed"));
        }
        AlterTable::DropColumn(_) => return Err(unsupported("DROP COLUMN of a table that is not an Iceberg table")),
        AlterTable::Unsupported(what) => return Err(unsupported(what)),
    }
    touch(tx, &mut table);
    catalog::update_table(tx, place, table, Archive::Keep, None)?;
    Ok(())
}

fn unsupported(what: &str) -> RunError {
    RunError { kind: ErrorKind::Input, message: format!("NOT_SUPPORTED: ALTER TABLE with {what} is not supported") }
}

fn duplicate(name: &str) -> RunError {
    refused(ErrorKind::Input, "InvalidOperationException", format!("Duplicate column name: {name}"))
}

fn change_partition(
    tx: &Tx<'_>,
    place: &Place,
    table: &Table,
    spec: &PartitionSpec,
    change: impl FnOnce(&mut Partition) -> Result<(), RunError>,
) -> Result<(), RunError> {
    let values = values(table, spec)?;
    let mut partition = partition(tx, table, &values)?;
    change(&mut partition)?;
    match catalog::update_partition(tx, place, &table.database, &table.name, &values, &partition) {
        Err(CatalogError::AlreadyExists(_)) => {
            let message = format!("Partition already exists: {}", spelled(table, &partition.values));
            Err(refused(ErrorKind::Conflict, "AlreadyExistsException", message))
        }
        changed => Ok(changed?),
    }
}

fn unset(table: &mut Table, if_exists: bool, names: &[String]) -> Result<(), RunError> {
    for name in names {
        if table.parameters.remove(name).is_none() && !if_exists {
            let message = format!(
                "SemanticException [Error 10215]: Please use the following syntax if not sure whether the property existed or not:\nALTER TABLE tableName UNSET TBLPROPERTIES IF EXISTS (key1, key2, ...)\n The following property {name} does not exist in {}",
                table.name
            );
            return Err(failed(ErrorKind::Input, message));
        }
    }
    Ok(())
}

fn add_columns(columns: &mut Vec<Column>, new: Vec<Column>) -> Result<(), RunError> {
    for column in new {
        if find_column(columns, &column.name).is_some() {
            return Err(duplicate(&column.name));
        }
        columns.push(column);
    }
    Ok(())
}

fn change_column(columns: &mut Vec<Column>, from: &str, to: Column, place: Option<ColumnPlace>) -> Result<(), RunError> {
    let unknown = |name: &str| refused(ErrorKind::Input, "InvalidOperationException", format!("Invalid column reference {name}"));
    let index = find_column(columns, from).ok_or_else(|| unknown(from))?;
    if find_column(columns, &to.name).is_some_and(|other| other != index) {
        return Err(duplicate(&to.name));
    }
    let old = std::mem::replace(&mut columns[index], to);
    // What is not said stays.
    if columns[index].comment.is_none() {
        columns[index].comment = old.comment;
    }
    let target = match place {
        None => return Ok(()),
        Some(ColumnPlace::First) => None,
        Some(ColumnPlace::After(name)) => Some(name),
    };
    let moved = columns.remove(index);
    let at = match target {
        None => 0,
        Some(name) => find_column(columns, &name).ok_or_else(|| unknown(&name))? + 1,
    };
    columns.insert(at, moved);
    Ok(())
}

fn find_column(columns: &[Column], name: &str) -> Option<usize> {
    columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
}

pub(super) fn partition(connection: &Connection, table: &Table, values: &[String]) -> Result<Partition, RunError> {
    let found = catalog::partition(connection, &table.database, &table.name, values)?;
    found.ok_or_else(|| {
        failed(ErrorKind::Missing, format!("SemanticException [Error 10006]: Partition not found {}", spelled(table, values)))
    })
}

/// The values of a table's partitions that `filter` holds for.
pub(super) fn partition_values(
    connection: &Connection,
    table: &Table,
    filter: Option<&PartitionExpr>,
) -> Result<Vec<Vec<String>>, RunError> {
    let bound = filter.map(|filter| filter.bind(&table.partition_keys)).transpose();
    let filter = bound.map_err(|error| failed(ErrorKind::Input, format!("SemanticException [Error 10004]: {error}")))?;
    let query = PartitionQuery { filter, ..PartitionQuery::default() };
    let mut all = Vec::new();
    catalog::visit_partitions(connection, &table.database, &table.name, &query, |_, partition| {
        all.push(partition.values);
        Ok(true)
    })?;
    Ok(all)
}

/// A partition in Hive's words: `{day=2024-01-01, n=1}`.
fn spelled(table: &Table, values: &[String]) -> String {
    let pairs: Vec<String> =
        table.partition_keys.iter().zip(values).map(|(key, value)| format!("{}={value}", key.name)).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// The values of a specification in the order of the table's keys.
pub(super) fn values(table: &Table, spec: &PartitionSpec) -> Result<Vec<String>, RunError> {
    if table.partition_keys.is_empty() {
        let given: Vec<String> = spec.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let message = format!("SemanticException table is not partitioned but partition spec exists: {{{}}}", given.join(", "));
        return Err(failed(ErrorKind::Input, message));
    }
    let of_key = |key: &Column| spec.iter().find(|(name, _)| *name == key.name).map(|(_, value)| value.clone());
    let values: Option<Vec<_>> = table.partition_keys.iter().map(of_key).collect();
    values.filter(|values| values.len() == spec.len()).ok_or_else(|| {
        let keys = table.partition_keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>().join(", ");
        let message = format!(
            "SemanticException [Error 10098]: the partition must be given by all keys of the table and no others: {keys}"
        );
        failed(ErrorKind::Input, message)
    })
}

/// A partition of a table at a location, its storage otherwise the table's.
pub(super) fn new_partition(table: &Table, values: Vec<String>, location: String) -> Partition {
    let storage = StorageDescriptor { location: Some(location), ..table.storage.clone() };
    Partition { values, storage, ..Partition::default() }
}

/// Where Hive puts a partition that no location is given for.
fn usual_location(table: &Table, values: &[String]) -> String {
    let base = table.storage.location.as_deref().unwrap_or_default().trim_end_matches('/');
    let path = |(key, value): (&Column, &String)| format!("{}={}", key.name, render::escape_path(value));
    let path: Vec<_> = table.partition_keys.iter().zip(values).map(path).collect();
    format!("{base}/{}/", path.join("/"))
}

fn add_partitions(
    tx: &Tx<'_>,
    place: &Place,
    table: &Table,
    if_not_exists: bool,
    wanted: Vec<(PartitionSpec, Option<String>)>,
) -> Result<(), RunError> {
    for (spec, location) in wanted {
        let values = values(table, &spec)?;
        let location = location.unwrap_or_else(|| usual_location(table, &values));
        check_bucket(tx, &location)?;
        let new = new_partition(table, values, location);
        match catalog::create_partition(tx, place, &table.database, &table.name, &new) {
            Err(CatalogError::AlreadyExists(_)) if if_not_exists => {}
            Err(CatalogError::AlreadyExists(_)) => {
                let message = format!("Partition already exists: {}", spelled(table, &new.values));
                return Err(refused(ErrorKind::Conflict, "AlreadyExistsException", message));
            }
            created => drop(created?),
        }
    }
    Ok(())
}

fn drop_partitions(
    tx: &Tx<'_>,
    place: &Place,
    table: &Table,
    if_exists: bool,
    wanted: Vec<Vec<PartitionCondition>>,
) -> Result<(), RunError> {
    for conditions in wanted {
        if let Some(unknown) = conditions.iter().find(|one| !table.partition_keys.iter().any(|key| key.name == one.key)) {
            let message = format!("SemanticException [Error 10096]: Unknown partition key {}", unknown.key);
            return Err(failed(ErrorKind::Input, message));
        }
        let compare = |condition: PartitionCondition| PartitionExpr::Compare {
            key: condition.key,
            op: condition.op,
            value: Literal::Text(condition.value),
        };
        let filter = PartitionExpr::And(conditions.into_iter().map(compare).collect());
        let doomed = partition_values(tx, table, Some(&filter))?;
        if doomed.is_empty() && !if_exists {
            return Err(failed(ErrorKind::Missing, format!("SemanticException [Error 10006]: Partition not found ({filter})")));
        }
        catalog::delete_partitions(tx, place, "BatchDeletePartition", &table.database, &table.name, &doomed)?;
    }
    Ok(())
}
