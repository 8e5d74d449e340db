//! The ground that a table stands on: what may be there when it is made, and what of it may be deleted.

use super::commit::internal;
use crate::lake::catalog::{self, CatalogError};
use crate::lake::objects::{self, Cause};
use millpond_core::arn::Place;
use millpond_core::catalog::Table;
use millpond_core::env::{EnvExt, SharedEnv};
use millpond_engine::query::QueryError;
use millpond_store::{StoreError, Tx};
use rusqlite::Connection;
use std::ops::ControlFlow;

/// Whether there are no objects at or below a location. Empty ones whose keys end with a slash are folders that a console made, and do not count.
///
/// # Errors
/// The store's.
pub(super) fn is_empty(connection: &Connection, location: &str) -> Result<bool, StoreError> {
    let folder = format!("{}/", location.trim_end_matches('/'));
    let mut empty = true;
    visit_below(connection, &folder, |file| {
        empty = file.size == 0 && file.key.ends_with('/');
        Ok(if empty { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(empty)
}

/// A new table's location is taken (Trino says the same, and that its catalog could find another by itself).
pub(super) fn taken(location: &str) -> QueryError {
    QueryError::Table {
        name: "ICEBERG_FILESYSTEM_ERROR",
        message: format!(
            "Cannot create a table on a non-empty location: {location}. Name another location, or delete the objects there first."
        ),
    }
}

/// Where a table goes that has no location of its own: `asked`, or beside it where that is taken.
///
/// # Errors
/// The store's.
pub fn free(connection: &Connection, asked: String, table: (&str, &str), env: &SharedEnv) -> Result<String, CatalogError> {
    let free = is_empty(connection, &asked)? && catalog::claims(connection, &asked, table)?.here.is_empty();
    Ok(if free { asked } else { format!("{asked}-{}", env.uuid().replace('-', "")) })
}

/// Where a table's own files are: never a whole bucket, whatever the catalog says.
pub(super) fn folders(table: &Table) -> Vec<String> {
    let location = table.storage.location.as_deref().unwrap_or_default().trim_end_matches('/');
    if location.is_empty() { Vec::new() } else { vec![format!("{location}/metadata/"), format!("{location}/data/")] }
}

/// Calls `each` with the objects below `folder`, which ends with a slash.
fn visit_below(
    connection: &Connection,
    folder: &str,
    mut each: impl FnMut(&objects::FileRow<'_>) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let Some((bucket, prefix)) = objects::split_uri(folder) else { return Ok(()) };
    let Some(bucket) = objects::bucket(connection, bucket)? else { return Ok(()) };
    objects::visit_files(connection, bucket.id, prefix, |file| match file.key.starts_with(prefix) {
        true => each(file),
        false => Ok(ControlFlow::Break(())),
    })
}

/// The keys of objects below `folder` for which `wanted` holds (by URI and time of change).
pub(super) fn keys_below(
    connection: &Connection,
    folder: &str,
    wanted: impl Fn(&str, i64) -> bool,
) -> Result<Vec<String>, QueryError> {
    let bucket = objects::split_uri(folder).map(|(bucket, _)| bucket).unwrap_or_default();
    let mut keys = Vec::new();
    visit_below(connection, folder, |file| {
        let found = file.data_file(bucket)?;
        if wanted(&found.uri, found.modified_ms) {
            keys.push(file.key.to_owned());
        }
        Ok(ControlFlow::Continue(()))
    })
    .map_err(internal)?;
    Ok(keys)
}

pub(super) fn delete_keys(
    tx: &Tx<'_>,
    place: &Place,
    folder: &str,
    keys: impl IntoIterator<Item = String>,
) -> Result<(), QueryError> {
    let bucket = objects::split_uri(folder).map(|(bucket, _)| bucket).unwrap_or_default();
    let Some(bucket) = objects::bucket(tx, bucket).map_err(internal)? else { return Ok(()) };
    let cause = Cause { reason: "DeleteObject", requester: "athena.amazonaws.com".into(), ..Cause::default() };
    for key in keys {
        objects::delete(tx, place, &bucket, &key, &cause).map_err(internal)?;
    }
    Ok(())
}
