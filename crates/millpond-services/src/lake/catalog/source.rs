//! The catalog as the engine sees it: tables, and the files of a table as one snapshot.
//!
//! The files of many partitions are found by walking the bucket's keys and the partitions' prefixes side by side, both in order. Where the next
//! prefix is far away, the walk seeks to it. So neither a folder of many files nor a table of many partitions costs a query for each.

use super::partitions::{Shapes, StoredPartition, visit};
use super::projection::{Projected, Projection, is_projected};
use super::tables::{TableRow, found};
use super::{CatalogError, FileRules, PartitionQuery, databases, table, table_names};
use crate::lake::iceberg::Snapshot;
use crate::lake::{Lake, objects};
use async_trait::async_trait;
use millpond_core::catalog::{Database, StorageDescriptor, Table};
use millpond_core::partition_expr::PartitionExpr;
use millpond_engine::iceberg::Look;
use millpond_engine::table::{DataFile, FileGroup, ScanRequest, SourceError, TableSource};
use rusqlite::Connection;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Keys that the walk passes over before it seeks: about what a seek costs.
const PASSED_MAX: usize = 24;

/// Files of one answer at the most, where a file counts for each partition that it belongs to.
const FILES_MAX: usize = 20_000_000;

/// The lake's catalog, for the engine.
#[derive(Debug, Clone)]
pub struct LakeTables {
    lake: Lake,
}

impl LakeTables {
    /// Over a lake.
    pub fn new(lake: Lake) -> Self {
        Self { lake }
    }
}

fn source_error(error: CatalogError) -> SourceError {
    SourceError::metastore(error.to_string())
}

#[async_trait]
impl TableSource for LakeTables {
    async fn table(&self, database: &str, name: &str) -> Result<Option<Table>, SourceError> {
        let (database, name) = (database.to_owned(), name.to_owned());
        self.lake.store.read(move |connection| table(connection, &database, &name)).await.map_err(source_error)
    }

    async fn databases(&self) -> Result<Vec<Database>, SourceError> {
        self.lake.store.read(|connection| databases(connection, "", usize::MAX)).await.map_err(source_error)
    }

    async fn table_names(&self, database: &str) -> Result<Option<Vec<String>>, SourceError> {
        let database = database.to_owned();
        self.lake.store.read(move |connection| table_names(connection, &database)).await.map_err(source_error)
    }

    async fn tables(&self, database: &str) -> Result<Vec<Table>, SourceError> {
        let name = database.to_owned();
        let read = self.lake.store.read(move |connection| super::tables::tables(connection, &name, "", usize::MAX)).await;
        match read {
            Err(CatalogError::NotFound(_)) => Ok(Vec::new()),
            read => read.map_err(source_error),
        }
    }

    async fn scan(&self, table: &Table, request: &ScanRequest) -> Result<Vec<FileGroup>, SourceError> {
        let (database, name, request) = (table.database.clone(), table.name.clone(), request.clone());
        let found = self.lake.store.read(move |connection| scan(connection, &database, &name, &request)).await;
        found.map_err(SourceError::from)
    }

    async fn partitions(&self, table: &Table, request: &ScanRequest) -> Result<Vec<Vec<String>>, SourceError> {
        let (database, name, request) = (table.database.clone(), table.name.clone(), request.clone());
        let found = self.lake.store.read(move |connection| values(connection, &database, &name, &request)).await;
        found.map_err(SourceError::from)
    }

    async fn look(&self, look: Look) -> Result<(), SourceError> {
        let blobs = self.lake.store.blobs().clone();
        let looked = self.lake.store.read(move |connection| {
            look(&Snapshot::new(connection, &blobs));
            Ok::<_, CatalogError>(())
        });
        looked.await.map_err(source_error)
    }
}

/// Why a scan could not be answered.
#[derive(Debug)]
pub(super) enum ScanError {
    Catalog(CatalogError),
    /// With a name of Athena's.
    Named(SourceError),
}

impl<E: Into<CatalogError>> From<E> for ScanError {
    fn from(error: E) -> Self {
        Self::Catalog(error.into())
    }
}

impl From<ScanError> for SourceError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Catalog(error) => source_error(error),
            ScanError::Named(error) => error,
        }
    }
}

/// Where the files of a group lie, and those that were found.
struct Place {
    /// Ends with a slash, or is empty.
    prefix: String,
    /// The location's own key where it does not end with a slash: it may be that of one object.
    key: Option<String>,
    values: Vec<String>,
    storage: Arc<StorageDescriptor>,
    files: Vec<DataFile>,
}

/// The values of a table's partitions that `filter` holds for.
fn values(
    connection: &Connection,
    database_name: &str,
    name: &str,
    request: &ScanRequest,
) -> Result<Vec<Vec<String>>, ScanError> {
    let row = found(connection, database_name, name)?;
    if is_projected(&row.table) {
        return Ok(projected(&row.table, request)?.into_iter().map(|partition| partition.values).collect());
    }
    let mut values = Vec::new();
    visit(connection, &row, &partition_query(&row.table, request.filter.as_ref())?, |own| {
        values.push(own.values);
        Ok(true)
    })?;
    Ok(values)
}

fn partition_query(table: &Table, filter: Option<&PartitionExpr>) -> Result<PartitionQuery, CatalogError> {
    let bound = filter.map(|filter| filter.bind(&table.partition_keys)).transpose();
    Ok(PartitionQuery { filter: bound.map_err(|error| CatalogError::Invalid(error.to_string()))?, ..PartitionQuery::default() })
}

fn projected(table: &Table, request: &ScanRequest) -> Result<Vec<Projected>, ScanError> {
    let projection = Projection::of(table, request.now_ms).map_err(ScanError::Named)?;
    projection.partitions(request.filter.as_ref(), &table.partition_keys).map_err(ScanError::Named)
}

/// The files of a table, by partition; those of the partitions that the request's filter holds for.
pub(super) fn scan(
    connection: &Connection,
    database_name: &str,
    name: &str,
    request: &ScanRequest,
) -> Result<Vec<FileGroup>, ScanError> {
    let row = found(connection, database_name, name)?;
    let rules = FileRules::of(&row.table);
    let mut buckets: BTreeMap<String, Vec<Place>> = BTreeMap::new();
    if row.table.partition_keys.is_empty() {
        let storage = Arc::new(row.table.storage.clone());
        let (bucket, place) = place(&row.table, storage.location.as_deref(), Vec::new(), storage.clone())?;
        buckets.entry(bucket).or_default().push(place);
    } else if is_projected(&row.table) {
        let storage = Arc::new(row.table.storage.clone());
        for partition in projected(&row.table, request)? {
            let (bucket, place) = place(&row.table, Some(&partition.location), partition.values, storage.clone())?;
            buckets.entry(bucket).or_default().push(place);
        }
    } else {
        partition_places(connection, &row, request.filter.as_ref(), &mut buckets)?;
    }
    let mut groups = Vec::new();
    let mut room = FILES_MAX;
    for (bucket, mut places) in buckets {
        places.sort_by(|a, b| a.prefix.cmp(&b.prefix));
        walk(connection, &row.table, &bucket, &mut places, &rules, &mut room)?;
        let filled = places.into_iter().filter(|place| !place.files.is_empty());
        groups.extend(filled.map(|Place { values, storage, files, .. }| FileGroup { values, storage, files }));
    }
    Ok(groups)
}

fn partition_places(
    connection: &Connection,
    row: &TableRow,
    filter: Option<&PartitionExpr>,
    buckets: &mut BTreeMap<String, Vec<Place>>,
) -> Result<(), CatalogError> {
    let keys = &row.table.partition_keys;
    let mut shapes = Shapes::default();
    let mut storages: HashMap<i64, Arc<StorageDescriptor>> = HashMap::new();
    let whole = Arc::new(row.table.storage.clone());
    visit(connection, row, &partition_query(&row.table, filter)?, |own| {
        let shape = shapes.get(connection, own.shape)?;
        let location = own.location(&shape, keys).or_else(|| below_table(&row.table, &own));
        let storage = storages.entry(own.shape).or_insert_with(|| {
            // A partition may say no more than its location; the rest is then the table's.
            let own_format = shape.storage.serde_info.serialization_library.is_some() || shape.storage.input_format.is_some();
            if own_format { Arc::new(shape.storage.clone()) } else { whole.clone() }
        });
        let (bucket, place) = place(&row.table, location.as_deref(), own.values, storage.clone())?;
        match buckets.get_mut(&bucket) {
            Some(places) => places.push(place),
            None => {
                buckets.insert(bucket, vec![place]);
            }
        }
        Ok(true)
    })
}

/// Where Hive puts a partition that has no location of its own.
fn below_table(table: &Table, own: &StoredPartition) -> Option<String> {
    let base = table.storage.location.as_deref()?.trim_end_matches('/');
    let parts: Vec<String> =
        table.partition_keys.iter().zip(&own.values).map(|(key, value)| format!("{}={value}", key.name)).collect();
    Some(format!("{base}/{}/", parts.join("/")))
}

fn place(
    table: &Table,
    location: Option<&str>,
    values: Vec<String>,
    storage: Arc<StorageDescriptor>,
) -> Result<(String, Place), CatalogError> {
    let Some((bucket, key)) = location.and_then(objects::split_uri) else {
        let whose = if values.is_empty() { String::new() } else { format!("the partition {values:?} of ") };
        return Err(CatalogError::Invalid(format!(
            "The location of {whose}the table {}.{} is '{}': only s3://bucket/prefix/ can be read.",
            table.database,
            table.name,
            location.unwrap_or("(none)")
        )));
    };
    let trimmed = key.trim_end_matches('/');
    let prefix = if trimmed.is_empty() { String::new() } else { format!("{trimmed}/") };
    let key = (!key.is_empty() && !key.ends_with('/')).then(|| key.to_owned());
    Ok((bucket.to_owned(), Place { prefix, key, values, storage, files: Vec::new() }))
}

/// Finds the files of places of one bucket, which are sorted by their prefixes.
fn walk(
    connection: &Connection,
    table: &Table,
    bucket: &str,
    places: &mut [Place],
    rules: &FileRules,
    room: &mut usize,
) -> Result<(), CatalogError> {
    let Some(bucket) = objects::bucket(connection, bucket)? else {
        return Err(CatalogError::NotFound(format!(
            "The bucket '{bucket}' of the location of the table {}.{} does not exist.",
            table.database, table.name
        )));
    };
    let mut next = 0;
    // The places that the current key lies below.
    let mut open: Vec<usize> = Vec::new();
    while next < places.len() {
        let mut passed = 0;
        let from = places[next].prefix.clone();
        objects::visit_files(connection, bucket.id, &from, |file| {
            open.retain(|place| file.key.starts_with(&places[*place].prefix));
            while next < places.len() && *places[next].prefix <= *file.key {
                if file.key.starts_with(&places[next].prefix) {
                    open.push(next);
                }
                next += 1;
            }
            if open.is_empty() {
                passed += 1;
                let go_on = next < places.len() && passed <= PASSED_MAX;
                return Ok(if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) });
            }
            passed = 0;
            for place in &open {
                let place = &mut places[*place];
                if rules.is_data(&bucket.name, file.key, place.prefix.len(), file.size) {
                    *room = room.checked_sub(1).ok_or_else(too_many)?;
                    place.files.push(file.data_file(&bucket.name)?);
                }
            }
            Ok::<_, CatalogError>(ControlFlow::Continue(()))
        })?;
        if passed <= PASSED_MAX {
            break;
        }
        open.clear();
    }
    for place in places.iter_mut().filter(|place| place.files.is_empty()) {
        let Some(key) = &place.key else { continue };
        let object = objects::get(connection, bucket.id, key)?.filter(|object| object.size > 0);
        place.files.extend(object.map(|object| object.data_file(&bucket.name)));
    }
    Ok(())
}

fn too_many() -> CatalogError {
    CatalogError::Limit(format!(
        "The query would read more than {FILES_MAX} files: say in its WHERE clause which partitions it is about, or let partitions not share \
         their locations."
    ))
}
