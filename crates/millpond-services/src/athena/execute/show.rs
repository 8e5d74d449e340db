//! Statements that show the catalog.

use super::alter::{partition, partition_values, values};
use super::ddl::{LINES_MAX, failed, no_database, not_for_iceberg, refused, require};
use super::{Context, Outcome, RunError, select};
use crate::lake::catalog;
use millpond_core::catalog::Table;
use millpond_core::error::ErrorKind;
use millpond_engine::iceberg::is_iceberg;
use millpond_engine::query::view;
use millpond_engine::sql::render::{self, TextResult};
use millpond_engine::sql::{Show, TableName, show_functions, show_pattern};
use rusqlite::Connection;

/// Carries a statement out.
pub(super) async fn run(cx: &Context<'_>, statement: &Show) -> Result<Outcome, RunError> {
    if let Show::Functions { like } = statement {
        return select::run(cx, &show_functions(like.as_deref())).await;
    }
    if let Some(shown) = iceberg(cx, statement).await? {
        return Outcome::text(cx, &shown, Outcome::nothing()).await;
    }
    let (statement, database) = (statement.clone(), cx.execution.database.clone());
    let shown = cx.athena.lake.store.read(move |connection| show(connection, &statement, database.as_deref())).await?;
    Outcome::text(cx, &shown, Outcome::nothing()).await
}

/// What is shown of an Iceberg table's metadata; `None` for other tables and statements.
async fn iceberg(cx: &Context<'_>, statement: &Show) -> Result<Option<TextResult>, RunError> {
    let (Show::CreateTable { name } | Show::Describe { name, .. } | Show::TblProperties { name, .. } | Show::Partitions { name }) =
        statement
    else {
        return Ok(None);
    };
    let (database, name) = name.resolve(cx.execution.database.as_deref())?;
    let read = cx.athena.lake.store.read(move |connection| catalog::table(connection, &database, &name));
    let Some(table) = read.await?.filter(is_iceberg) else { return Ok(None) };
    Ok(Some(match statement {
        Show::TblProperties { property, .. } => render::iceberg_table_properties(&table, property.as_deref()),
        Show::CreateTable { .. } => {
            let shape = render::iceberg_shape(cx.athena.tables.as_ref(), &table).await?;
            render::show_create_iceberg(&table, &shape)
        }
        Show::Describe { .. } => render::describe_iceberg(&render::iceberg_shape(cx.athena.tables.as_ref(), &table).await?)?,
        _ => return Err(not_for_iceberg()),
    }))
}

fn show(connection: &Connection, statement: &Show, default: Option<&str>) -> Result<TextResult, RunError> {
    let of = |database: &Option<String>| -> Result<(String, Vec<String>), RunError> {
        let name = database.as_deref().or(default).unwrap_or("default").to_lowercase();
        let names = catalog::table_names(connection, &name)?.ok_or_else(|| no_database(&name))?;
        Ok((name, names))
    };
    let table = |name: &TableName| -> Result<Table, RunError> {
        let (database, name) = name.resolve(default)?;
        require(connection, &database, &name)
    };
    match statement {
        Show::Functions { .. } => unreachable!("it is carried out as a query"),
        Show::Databases { like } => {
            let all = catalog::databases(connection, "", LINES_MAX)?;
            let names = all.into_iter().map(|database| database.name).filter(|name| show_pattern(like.as_deref(), name));
            Ok(render::databases(names.collect()))
        }
        Show::Tables { database, like } => {
            let (_, names) = of(database)?;
            Ok(render::tables(names.into_iter().filter(|name| show_pattern(like.as_deref(), name)).collect()))
        }
        Show::Views { database, like } => {
            let (database, names) = of(database)?;
            let mut views = Vec::new();
            for name in names.into_iter().filter(|name| show_pattern(like.as_deref(), name)) {
                if catalog::table(connection, &database, &name)?.is_some_and(|table| view::is_view(&table)) {
                    views.push(name);
                }
            }
            Ok(render::views(views))
        }
        Show::Columns { name } => {
            let table = table(name)?;
            Ok(if view::is_view(&table) { render::describe_view(&table) } else { render::columns(&table) })
        }
        Show::Partitions { name } => show_partitions(connection, &table(name)?),
        Show::CreateTable { name } => {
            let table = table(name)?;
            // Athena shows the view then.
            if view::is_view(&table) {
                return render::show_create_view(&table).map_err(|error| failed(ErrorKind::Input, error));
            }
            // Its name is as the statement has it.
            Ok(render::show_create_table(&table, name.database.is_some()))
        }
        Show::CreateView { name } => {
            let table = table(name)?;
            if !view::is_view(&table) {
                let message =
                    format!("line 1:1: Relation 'awsdatacatalog.{}.{}' is a table, not a view", table.database, table.name);
                return Err(RunError { kind: ErrorKind::Input, message: format!("NOT_SUPPORTED: {message}") });
            }
            render::show_create_view(&table).map_err(|error| failed(ErrorKind::Input, error))
        }
        Show::TblProperties { name, property } => Ok(render::table_properties(&table(name)?, property.as_deref())),
        Show::Describe { name, extended, formatted, partition: spec, column } => {
            let table = table(name)?;
            if view::is_view(&table) {
                return Ok(render::describe_view(&table));
            }
            let found = match spec {
                Some(spec) => Some(partition(connection, &table, &values(&table, spec)?)?),
                None => None,
            };
            Ok(match (extended, formatted) {
                (true, _) => render::describe_extended(&table),
                (_, true) => render::describe_formatted(&table, found.as_ref()),
                _ => render::describe(&table, column.as_deref()),
            })
        }
    }
}

fn show_partitions(connection: &Connection, table: &Table) -> Result<TextResult, RunError> {
    if view::is_view(table) || table.partition_keys.is_empty() {
        let message = format!("Table {} is not a partitioned table", table.name);
        return Err(refused(ErrorKind::Input, "HiveException", message));
    }
    let mut all = partition_values(connection, table, None)?;
    all.truncate(LINES_MAX);
    Ok(render::partitions(table, all.iter().map(Vec::as_slice)))
}
