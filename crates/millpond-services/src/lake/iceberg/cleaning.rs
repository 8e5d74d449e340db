//! Deletes a table's files: all of them, or those that no version knows any more.
//!
//! A table's folder is not its alone: the catalog may have other tables and partitions below it, and even at the very same place. What lies below
//! another's location is the other's. Where two tables share their location, only that goes which a table's own metadata name and no other's.

use super::Snapshot;
use super::commit::{Commit, commit, from_catalog, internal, table};
use super::location::{delete_keys, folders, keys_below};
use crate::lake::Lake;
use crate::lake::catalog::{self, Claims};
use millpond_core::arn::Place;
use millpond_core::catalog::Table;
use millpond_core::env::SharedEnv;
use millpond_engine::iceberg::{self, TableUpdate};
use millpond_engine::query::QueryError;
use millpond_store::blobs::BlobStore;
use millpond_store::{StoreError, Tx};
use rusqlite::Connection;
use std::collections::HashSet;
use std::sync::Arc;

fn claims(connection: &Connection, table: &Table) -> Result<Claims, QueryError> {
    let location = table.storage.location.as_deref().unwrap_or_default();
    catalog::claims(connection, location, (&table.database, &table.name)).map_err(from_catalog)
}

/// What a table's metadata lead to.
fn files(snapshot: &Snapshot<'_>, table: &Table) -> Result<HashSet<String>, QueryError> {
    let location = iceberg::metadata_location(table)?;
    iceberg::maintain::reachable(snapshot, &iceberg::metadata::load(snapshot, location)?, location)
}

/// What the metadata of the Iceberg tables at the same place lead to.
fn files_of_others(connection: &Connection, snapshot: &Snapshot<'_>, claims: &Claims) -> Result<HashSet<String>, QueryError> {
    let mut files = HashSet::new();
    for (database, name) in &claims.here {
        let other = catalog::table(connection, database, name).map_err(from_catalog)?;
        if let Some(other) = other.filter(iceberg::is_iceberg) {
            files.extend(self::files(snapshot, &other)?);
        }
    }
    Ok(files)
}

/// Takes a table out of the catalog, and deletes its objects (Athena user guide, "Manage Iceberg tables": `DROP TABLE` removes all data).
///
/// # Errors
/// The store's.
pub fn drop_table(tx: &Tx<'_>, place: &Place, blobs: &BlobStore, table: &Table) -> Result<(), QueryError> {
    catalog::delete_table(tx, place, &table.database, &table.name).map_err(from_catalog)?;
    let claims = claims(tx, table)?;
    let only = if claims.here.is_empty() { None } else { Some(own_files(tx, &Snapshot::new(tx, blobs), table, &claims)) };
    for folder in folders(table) {
        let own = |uri: &str| only.as_ref().is_none_or(|only| only.contains(uri));
        let keys = keys_below(tx, &folder, |uri, _| own(uri) && !claims.covers(uri))?;
        delete_keys(tx, place, &folder, keys)?;
    }
    Ok(())
}

/// What a table's metadata lead to and those of no other table at its place: nothing where one of them cannot be read.
fn own_files(connection: &Connection, snapshot: &Snapshot<'_>, table: &Table, claims: &Claims) -> HashSet<String> {
    let own = files(snapshot, table);
    let others = files_of_others(connection, snapshot, claims);
    match (own, others) {
        (Ok(own), Ok(others)) => own.difference(&others).cloned().collect(),
        _ => HashSet::new(),
    }
}

/// What a VACUUM is about to do.
#[derive(Debug, Clone)]
pub struct Cleaning {
    /// The metadata file that this was found by.
    location: String,
    /// What others had in the table's folders.
    claims: Claims,
    /// Snapshots that expire.
    updates: Vec<TableUpdate>,
    /// Keys by folder (`s3://bucket/prefix/`) of files that no version knows any more.
    doomed: Vec<(String, Vec<String>)>,
}

/// Finds what VACUUM removes: snapshots that are too old, with the files that only they knew, and files that no version ever knew and that are old
/// enough.
///
/// # Errors
/// Metadata that cannot be read: then nothing may be deleted.
pub async fn cleaning(lake: &Lake, database: &str, name: &str) -> Result<Cleaning, QueryError> {
    let (blobs, env) = (lake.store.blobs().clone(), lake.store.env().clone());
    let (database, name) = (database.to_owned(), name.to_owned());
    let found = lake.store.read(move |connection| {
        Ok::<_, StoreError>(find_doomed(connection, &Snapshot::new(connection, &blobs), &env, &database, &name))
    });
    found.await.map_err(internal)?
}

fn find_doomed(
    connection: &Connection,
    snapshot: &Snapshot<'_>,
    env: &SharedEnv,
    database: &str,
    name: &str,
) -> Result<Cleaning, QueryError> {
    let row = table(connection, database, name)?;
    let location = iceberg::metadata_location(&row)?.to_owned();
    let now_ms = env.now_ms();
    let metadata = Arc::new(iceberg::metadata::load(snapshot, &location)?);
    let updates = iceberg::maintain::expire(&metadata, now_ms);
    let (after, expired) = if updates.is_empty() {
        (Arc::clone(&metadata), HashSet::new())
    } else {
        let commit = Commit::Updates { requirements: Vec::new(), updates: updates.clone() };
        let after = commit.prepare(snapshot, &location, env, name)?.metadata;
        (after, iceberg::maintain::reachable(snapshot, &metadata, &location)?)
    };
    let mut known = iceberg::maintain::reachable(snapshot, &after, &location)?;
    let claims = claims(connection, &row)?;
    known.extend(files_of_others(connection, snapshot, &claims)?);
    let before_ms = iceberg::maintain::orphans_before_ms(&after, now_ms);
    // At a place that is another's, too, nobody knows whose a file is that nobody names.
    let is_orphan = |modified_ms: i64| claims.here.is_empty() && modified_ms <= before_ms;
    let mut doomed = Vec::new();
    for folder in folders(&row) {
        let keys = keys_below(connection, &folder, |uri, modified_ms| {
            !known.contains(uri) && (expired.contains(uri) || is_orphan(modified_ms)) && !claims.covers(uri)
        })?;
        doomed.push((folder, keys));
    }
    Ok(Cleaning { location, claims, updates, doomed })
}

/// Does what [`cleaning`] found. Where another commit came between, or another table, files stay until the next time.
///
/// # Errors
/// As [`commit`].
pub fn vacuum(
    tx: &Tx<'_>,
    place: &Place,
    blobs: &BlobStore,
    table_name: (&str, &str),
    cleaning: Cleaning,
) -> Result<(), QueryError> {
    let (database, name) = table_name;
    let row = table(tx, database, name)?;
    let unchanged = iceberg::metadata_location(&row)? == cleaning.location;
    if !cleaning.updates.is_empty() {
        let updates = match unchanged {
            true => cleaning.updates,
            false => iceberg::maintain::expire(
                &iceberg::metadata::load(&Snapshot::new(tx, blobs), iceberg::metadata_location(&row)?)?,
                tx.now_ms(),
            ),
        };
        commit(tx, place, blobs, database, name, Commit::Updates { requirements: Vec::new(), updates }.into())?;
    }
    if unchanged && claims(tx, &row)? == cleaning.claims {
        for (folder, keys) in cleaning.doomed {
            delete_keys(tx, place, &folder, keys)?;
        }
    }
    Ok(())
}
