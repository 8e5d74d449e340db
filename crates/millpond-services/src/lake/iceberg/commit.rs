//! Versions of tables, named in transactions.

use super::Snapshot;
use crate::lake::Lake;
use crate::lake::catalog::{self, Archive, CatalogError};
use crate::lake::objects::{self, Bucket, Cause, NewObject, ObjectMeta};
use bytes::Bytes;
use md5::{Digest, Md5};
use millpond_core::arn::Place;
use millpond_core::catalog::Table;
use millpond_core::env::SharedEnv;
use millpond_engine::iceberg::commit::{Change, Content, Prepared};
use millpond_engine::iceberg::{self, COMMIT_ERROR, TableRequirement, TableUpdate};
use millpond_engine::query::QueryError;
use millpond_store::blobs::{BlobStore, NewBlob};
use millpond_store::{StoreError, Tx};
use rusqlite::Connection;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Bytes of metadata that a transaction may carry; more are written before it.
const CARRIED_BYTES_MAX: usize = 64 * 1024;

/// What is committed.
#[derive(Debug, Clone)]
pub enum Commit {
    /// Files that a statement added and removed.
    Change(Arc<Change>),
    /// What the REST catalog's clients and DDL say: requirements on the table as it is, and what becomes of it.
    Updates {
        /// All must hold.
        requirements: Vec<TableRequirement>,
        /// In order.
        updates: Vec<TableUpdate>,
    },
}

impl Commit {
    /// The version that this makes of a table's.
    fn prepare(&self, snapshot: &Snapshot<'_>, location: &str, env: &SharedEnv, name: &str) -> Result<Prepared, QueryError> {
        match self {
            Self::Change(change) => iceberg::commit::prepare(snapshot, location, change, env, name),
            Self::Updates { requirements, updates } => {
                iceberg::commit::update(snapshot, location, requirements, updates.clone(), name)
            }
        }
    }
}

/// A version that is made before its transaction, with large metadata written already.
#[derive(Debug, Clone)]
pub struct Pending {
    commit: Commit,
    prepared: Option<Prepared>,
    written: HashMap<String, NewBlob>,
}

impl From<Commit> for Pending {
    /// A version that is made in its transaction: for small ones.
    fn from(commit: Commit) -> Self {
        Self { commit, prepared: None, written: HashMap::new() }
    }
}

fn internal(error: StoreError) -> QueryError {
    QueryError::Internal(error.to_string())
}

fn from_catalog(error: CatalogError) -> QueryError {
    match error {
        CatalogError::Store(error) => internal(error),
        other => QueryError::Source(other.to_string()),
    }
}

/// The table of this name, which must be Iceberg's.
fn table(connection: &Connection, database: &str, name: &str) -> Result<Table, QueryError> {
    let found = catalog::table(connection, database, name).map_err(from_catalog)?;
    found.filter(iceberg::is_iceberg).ok_or_else(|| iceberg::conflict(name))
}

/// Makes the version that `commit` leads to now.
///
/// # Errors
/// `ICEBERG_COMMIT_ERROR` where the table is not what `commit` needs any more: whoever made it must look again.
pub async fn pending(lake: &Lake, database: &str, name: &str, commit: Commit) -> Result<Pending, QueryError> {
    let (blobs, env) = (lake.store.blobs().clone(), lake.store.env().clone());
    let (database, name, asked) = (database.to_owned(), name.to_owned(), commit.clone());
    let prepared = lake.store.read(move |connection| {
        let table = match table(connection, &database, &name) {
            Ok(table) => table,
            Err(error) => return Ok::<_, StoreError>(Err(error)),
        };
        let snapshot = Snapshot::new(connection, &blobs);
        Ok(iceberg::metadata_location(&table).and_then(|location| asked.prepare(&snapshot, location, &env, &name)))
    });
    let prepared = prepared.await.map_err(internal)??;
    let written = write_large(lake, &prepared).await?;
    Ok(Pending { commit, prepared: Some(prepared), written })
}

/// Writes what is too large to be carried by a transaction.
async fn write_large(lake: &Lake, prepared: &Prepared) -> Result<HashMap<String, NewBlob>, QueryError> {
    let mut written = HashMap::new();
    for (uri, content) in &prepared.objects {
        let Content::Bytes(bytes) = content else { continue };
        if bytes.len() <= CARRIED_BYTES_MAX {
            continue;
        }
        let mut writer = lake.store.blobs().writer();
        writer.write(bytes).await.map_err(internal)?;
        written.insert(uri.clone(), writer.finish().await.map_err(internal)?);
    }
    Ok(written)
}

/// Names a version, and makes it the table's. Where another commit came first, the version is made anew on top of that.
///
/// # Errors
/// `ICEBERG_COMMIT_ERROR` where that cannot be.
pub fn commit(
    tx: &Tx<'_>,
    place: &Place,
    blobs: &BlobStore,
    database: &str,
    name: &str,
    pending: Pending,
) -> Result<Prepared, QueryError> {
    let mut row = table(tx, database, name)?;
    let current = iceberg::metadata_location(&row)?.to_owned();
    let Pending { commit, prepared, written } = pending;
    let fitting = prepared.filter(|prepared| prepared.base.as_deref() == Some(current.as_str()));
    let (prepared, written) = match fitting {
        Some(prepared) => (prepared, written),
        None => (commit.prepare(&Snapshot::new(tx, blobs), &current, tx.env(), name)?, HashMap::new()),
    };
    name_objects(tx, place, &prepared, written)?;
    prepared.describe(&mut row);
    // The table's former versions are in its own metadata.
    catalog::update_table(tx, place, row, Archive::Skip, None).map_err(from_catalog)?;
    Ok(prepared)
}

/// Names the first version of a table and puts it into the catalog.
///
/// # Errors
/// The name is taken ([`CatalogError::AlreadyExists`]), there is no such database or bucket.
pub fn create(
    tx: &Tx<'_>,
    place: &Place,
    database: &str,
    name: &str,
    prepared: &Prepared,
) -> Result<Table, Result<CatalogError, QueryError>> {
    name_objects(tx, place, prepared, HashMap::new()).map_err(Err)?;
    let mut row = Table { database: database.to_owned(), name: name.to_owned(), ..Table::default() };
    prepared.describe(&mut row);
    catalog::create_table(tx, place, row).map_err(Ok)
}

fn name_objects(
    tx: &Tx<'_>,
    place: &Place,
    prepared: &Prepared,
    mut written: HashMap<String, NewBlob>,
) -> Result<(), QueryError> {
    let cause = Cause { reason: "PutObject", requester: "athena.amazonaws.com".into(), ..Cause::default() };
    let mut buckets: HashMap<String, Bucket> = HashMap::new();
    for (uri, content) in &prepared.objects {
        let (bucket, key) = objects::split_uri(uri).unwrap_or_default();
        if !buckets.contains_key(bucket) {
            let found = objects::bucket(tx, bucket).map_err(internal)?;
            let found = found.ok_or_else(|| QueryError::Table {
                name: "ICEBERG_FILESYSTEM_ERROR",
                message: format!("the bucket '{bucket}' of the location {uri} does not exist: create it first"),
            })?;
            buckets.insert(bucket.to_owned(), found);
        }
        let (blob, size) = match content {
            Content::Blob(path, size) => {
                let id = path.as_ref().parse().map_err(internal)?;
                tx.adopt_written(&id).map_err(internal)?;
                (id, *size)
            }
            Content::Bytes(bytes) => {
                let new = written.remove(uri).unwrap_or_else(|| carried(bytes));
                (tx.adopt(&new).map_err(internal)?, bytes.len() as u64)
            }
        };
        // Not the MD5 of the bytes, which nobody has computed: like the ETag of a multipart upload, which clients take as opaque.
        let etag = format!("{}-1", hex::encode(Md5::digest(blob.as_str())));
        let headers = BTreeMap::from([("content-type".to_owned(), "application/octet-stream".to_owned())]);
        let meta = ObjectMeta { headers, ..ObjectMeta::default() };
        let new = NewObject { key: key.to_owned(), blob, size, etag, meta };
        objects::put(tx, place, &buckets[bucket], new, &cause).map_err(internal)?;
    }
    Ok(())
}

fn carried(bytes: &Bytes) -> NewBlob {
    NewBlob::Inline(bytes.clone())
}

/// Takes a table out of the catalog, and deletes its objects (Athena user guide, "Manage Iceberg tables": `DROP TABLE` removes all data).
///
/// # Errors
/// The store's.
pub fn drop_table(tx: &Tx<'_>, place: &Place, table: &Table) -> Result<(), QueryError> {
    catalog::delete_table(tx, place, &table.database, &table.name).map_err(from_catalog)?;
    for folder in folders(table) {
        let keys = keys_below(tx, &folder, |_, _| true)?;
        delete_keys(tx, place, &folder, keys)?;
    }
    Ok(())
}

/// Where a table's own files are: never a whole bucket, whatever the catalog says.
fn folders(table: &Table) -> Vec<String> {
    let location = table.storage.location.as_deref().unwrap_or_default().trim_end_matches('/');
    if location.is_empty() { Vec::new() } else { vec![format!("{location}/metadata/"), format!("{location}/data/")] }
}

/// The keys of objects below `folder` for which `wanted` holds (by URI and time of change).
fn keys_below(connection: &Connection, folder: &str, wanted: impl Fn(&str, i64) -> bool) -> Result<Vec<String>, QueryError> {
    let Some((bucket, prefix)) = objects::split_uri(folder) else { return Ok(Vec::new()) };
    let Some(bucket) = objects::bucket(connection, bucket).map_err(internal)? else { return Ok(Vec::new()) };
    let mut keys = Vec::new();
    objects::visit_files(connection, bucket.id, prefix, |file| {
        if !file.key.starts_with(prefix) {
            return Ok(ControlFlow::Break(()));
        }
        let found = file.data_file(&bucket.name)?;
        if wanted(&found.uri, found.modified_ms) {
            keys.push(file.key.to_owned());
        }
        Ok::<_, StoreError>(ControlFlow::Continue(()))
    })
    .map_err(internal)?;
    Ok(keys)
}

fn delete_keys(tx: &Tx<'_>, place: &Place, folder: &str, keys: impl IntoIterator<Item = String>) -> Result<(), QueryError> {
    let bucket = objects::split_uri(folder).map(|(bucket, _)| bucket).unwrap_or_default();
    let Some(bucket) = objects::bucket(tx, bucket).map_err(internal)? else { return Ok(()) };
    let cause = Cause { reason: "DeleteObject", requester: "athena.amazonaws.com".into(), ..Cause::default() };
    for key in keys {
        objects::delete(tx, place, &bucket, &key, &cause).map_err(internal)?;
    }
    Ok(())
}

/// What a VACUUM is about to do.
#[derive(Debug, Clone)]
pub struct Cleaning {
    /// The metadata file that this was found by.
    location: String,
    /// Snapshots that expire.
    updates: Vec<TableUpdate>,
    /// Keys by folder (`s3://bucket/prefix/`) of files that no version knows any more.
    doomed: Vec<(String, HashSet<String>)>,
}

/// Finds what VACUUM removes: snapshots that are too old, and files that then no version knows and that are old enough.
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
    let metadata = iceberg::metadata::load(snapshot, &location)?;
    let updates = iceberg::maintain::expire(&metadata, now_ms);
    let commit = Commit::Updates { requirements: Vec::new(), updates: updates.clone() };
    let after = if updates.is_empty() { Arc::new(metadata) } else { commit.prepare(snapshot, &location, env, name)?.metadata };
    let known = iceberg::maintain::reachable(snapshot, &after, &location)?;
    let before_ms = iceberg::maintain::orphans_before_ms(&after, now_ms);
    let mut doomed = Vec::new();
    for folder in folders(&row) {
        let keys = keys_below(connection, &folder, |uri, modified_ms| modified_ms <= before_ms && !known.contains(uri))?;
        doomed.push((folder, keys.into_iter().collect()));
    }
    Ok(Cleaning { location, updates, doomed })
}

/// Does what [`cleaning`] found. Where another commit came between, files stay until the next time.
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
    if unchanged {
        for (folder, keys) in cleaning.doomed {
            delete_keys(tx, place, &folder, keys)?;
        }
    }
    Ok(())
}

/// Whether an error says that a change lost against others, and may be tried again.
pub fn is_conflict(error: &QueryError) -> bool {
    matches!(error, QueryError::Table { name, .. } if *name == COMMIT_ERROR)
}
