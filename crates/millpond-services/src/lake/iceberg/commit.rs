//! Versions of tables, named in transactions.

use super::{Snapshot, location};
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
use std::collections::{BTreeMap, HashMap};
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
    pub(super) fn prepare(
        &self,
        snapshot: &Snapshot<'_>,
        location: &str,
        env: &SharedEnv,
        name: &str,
    ) -> Result<Prepared, QueryError> {
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

pub(super) fn internal(error: StoreError) -> QueryError {
    QueryError::Internal(error.to_string())
}

pub(super) fn from_catalog(error: CatalogError) -> QueryError {
    match error {
        CatalogError::Store(error) => internal(error),
        other => QueryError::Source(other.to_string()),
    }
}

/// The table of this name, which must be Iceberg's.
pub(super) fn table(connection: &Connection, database: &str, name: &str) -> Result<Table, QueryError> {
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
    if let Commit::Updates { updates, .. } = &commit {
        iceberg::metadata::check_added(&Snapshot::new(tx, blobs), &prepared.metadata, updates, name)?;
    }
    name_objects(tx, place, &prepared, written)?;
    prepared.describe(&mut row);
    // The table's former versions are in its own metadata.
    catalog::update_table(tx, place, row, Archive::Skip, None).map_err(from_catalog)?;
    Ok(prepared)
}

/// What may be at a new table's location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// Nothing.
    Empty,
    /// Files that its writer put there before the table is made, but no other table.
    Prepared,
    /// The table itself, which is only put into the catalog.
    Table,
}

/// Names the first version of a table and puts it into the catalog.
///
/// # Errors
/// The name is taken ([`CatalogError::AlreadyExists`]), there is no such database or bucket; `ICEBERG_FILESYSTEM_ERROR` where the location is taken.
pub fn create(
    tx: &Tx<'_>,
    place: &Place,
    blobs: &BlobStore,
    (database, name): (&str, &str),
    prepared: &Prepared,
    ground: Ground,
) -> Result<Table, Result<CatalogError, QueryError>> {
    if !catalog::table_exists(tx, database, name).map_err(Ok)? {
        let location = prepared.metadata.location();
        match ground {
            Ground::Empty if location::is_empty(tx, location).map_err(|error| Err(internal(error)))? => {}
            Ground::Prepared if catalog::claims(tx, location, (database, name)).map_err(Ok)?.here.is_empty() => {
                let snapshot = Snapshot::new(tx, blobs);
                prepared
                    .metadata
                    .snapshots()
                    .try_for_each(|added| iceberg::metadata::check_snapshot(&snapshot, &prepared.metadata, added, name))
                    .map_err(Err)?;
            }
            Ground::Table => {}
            Ground::Empty | Ground::Prepared => return Err(Err(location::taken(location))),
        }
    }
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

/// Whether an error says that a change lost against others, and may be tried again.
pub fn is_conflict(error: &QueryError) -> bool {
    matches!(error, QueryError::Table { name, .. } if *name == COMMIT_ERROR)
}
