//! Partitions.
//!
//! A row holds what is a partition's own: its values, and what of its location and properties does not follow from elsewhere. What its storage
//! descriptor has in common with others (columns, formats, serde) is a *shape*, a row that they share. The column `location` is written
//! against the shape's base (the table's location when the shape was made): `=` is the base and Hive's path of the values, `~` the same without
//! the slash at the end, `+rest` is the base and the rest, `!uri` stands for itself, NULL for no location.
//!
//! Rows lie in the order of their sort bytes. A page ends with the sort bytes of its last row, and the next begins after them, whatever came or
//! went in between.

use super::filter::{TYPED_KEYS, condition, sql_value};
use super::tables::{TableRow, found};
use super::{CatalogError, events};
use millpond_core::arn::Place;
use millpond_core::catalog::{Column, Parameters, Partition, StorageDescriptor, Table};
use millpond_core::partition_expr::{BoundExpr, KeyType, KeyValues, SortRange, sort_bytes};
use millpond_store::Tx;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, Statement, params, params_from_iter};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// The longest value in bytes (Glue API reference, `ValueString`).
const VALUE_MAX: usize = 1_024;

/// Divisible by every number of segments that Glue takes (1 to 10).
const SLOTS: i64 = 2_520;

/// Properties of a storage descriptor that crawlers count for each partition: kept with the partition, since the shape would else be its alone.
const COUNTED: [&str; 4] = ["averageRecordSize", "objectCount", "recordCount", "sizeKey"];

/// What partitions share.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Shape {
    /// Without `location` and the counted properties.
    pub(super) storage: StorageDescriptor,
    /// What locations are written against; ends with a slash.
    base: Option<String>,
}

/// What is a partition's own, besides its values and location.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Rest {
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    parameters: Parameters,
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    counted: Parameters,
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    kept: serde_json::Map<String, serde_json::Value>,
}

/// Which partitions are wanted.
#[derive(Debug, Clone, Default)]
pub struct PartitionQuery {
    /// Only those that it holds for.
    pub filter: Option<BoundExpr>,
    /// Only those after this place: [`Page::next`] of the page before.
    pub after: Option<Vec<u8>>,
    /// Only those of segment `.0` (from 0) of `.1` (1 to 10): each partition is of one of them.
    pub segment: Option<(u32, u32)>,
}

/// Some partitions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// In the order of their typed values.
    pub partitions: Vec<Partition>,
    /// Where more may follow: what to give as [`PartitionQuery::after`].
    pub next: Option<Vec<u8>>,
}

/// How many partitions [`put_partitions`] created and changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartitionPut {
    /// There were none of these values.
    pub created: usize,
    /// They were different.
    pub updated: usize,
    /// They were the same already: nothing was written.
    pub unchanged: usize,
}

/// What a row says, before its text is put together.
pub(super) struct StoredPartition {
    pub(super) sort: Vec<u8>,
    pub(super) values: Vec<String>,
    pub(super) shape: i64,
    location: Option<String>,
    created_ms: i64,
    rest: Option<String>,
}

const ROW: &str = "sort, vals, shape, location, created_ms, rest";

fn stored(row: &Row<'_>) -> Result<StoredPartition, CatalogError> {
    Ok(StoredPartition {
        sort: row.get(0)?,
        values: serde_json::from_str(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?,
        shape: row.get(2)?,
        location: row.get(3)?,
        created_ms: row.get(4)?,
        rest: row.get(5)?,
    })
}

impl StoredPartition {
    /// Where the partition's files are.
    pub(super) fn location(&self, shape: &Shape, keys: &[Column]) -> Option<String> {
        let written = self.location.as_deref()?;
        let base = shape.base.as_deref().unwrap_or_default();
        Some(match written.split_at_checked(1)? {
            ("=", _) => format!("{base}{}/", hive_path(keys, &self.values)),
            ("~", _) => format!("{base}{}", hive_path(keys, &self.values)),
            ("+", rest) => format!("{base}{rest}"),
            (_, uri) => uri.to_owned(),
        })
    }

    fn partition(self, shape: &Shape, keys: &[Column]) -> Result<Partition, CatalogError> {
        let mut storage = shape.storage.clone();
        storage.location = self.location(shape, keys);
        let rest: Rest = self.rest.as_deref().map(serde_json::from_str).transpose()?.unwrap_or_default();
        storage.parameters.extend(rest.counted);
        Ok(Partition { values: self.values, storage, parameters: rest.parameters, created_ms: self.created_ms, kept: rest.kept })
    }
}

/// The path that Hive gives a partition below its table, without a slash at the end.
fn hive_path(keys: &[Column], values: &[String]) -> String {
    let parts: Vec<String> = keys.iter().zip(values).map(|(key, value)| format!("{}={value}", key.name)).collect();
    parts.join("/")
}

fn write_location(location: Option<&str>, base: Option<&str>, keys: &[Column], values: &[String]) -> Option<String> {
    let location = location?;
    let Some(rest) = base.and_then(|base| location.strip_prefix(base)) else { return Some(format!("!{location}")) };
    let path = hive_path(keys, values);
    Some(match rest.strip_prefix(path.as_str()) {
        Some("/") => "=".into(),
        Some("") => "~".into(),
        _ => format!("+{rest}"),
    })
}

fn base_of(table: &Table) -> Option<String> {
    let location = table.storage.location.as_deref()?;
    Some(if location.ends_with('/') { location.to_owned() } else { format!("{location}/") })
}

/// The shapes of one table's partitions, each read once.
#[derive(Debug, Default)]
pub(super) struct Shapes(HashMap<i64, Arc<Shape>>);

impl Shapes {
    pub(super) fn get(&mut self, connection: &Connection, id: i64) -> Result<Arc<Shape>, CatalogError> {
        if let Some(shape) = self.0.get(&id) {
            return Ok(shape.clone());
        }
        let mut select = connection.prepare_cached("SELECT body FROM catalog_shape WHERE id = ?")?;
        let body: String = select.query_row([id], |row| row.get(0))?;
        let shape = Arc::new(serde_json::from_str::<Shape>(&body)?);
        // Hostile tables may have a shape for each partition; those are not all held.
        if self.0.len() >= 4_096 {
            self.0.clear();
        }
        self.0.insert(id, shape.clone());
        Ok(shape)
    }
}

/// A table that partitions are written to.
struct Target<'a> {
    tx: &'a Tx<'a>,
    id: i64,
    table: &'a Table,
    types: Vec<KeyType>,
    base: Option<String>,
    /// The id of the shape that was used last, with what it was made of: mostly the next one's, too.
    last: Option<(StorageDescriptor, i64)>,
}

/// A partition as it goes into its row.
struct NewRow<'a> {
    partition: &'a Partition,
    sort: Vec<u8>,
    vals: String,
    shape: i64,
    location: Option<String>,
    rest: Option<String>,
}

impl<'a> Target<'a> {
    fn new(tx: &'a Tx<'a>, id: i64, table: &'a Table) -> Self {
        Self { tx, id, table, types: key_types(&table.partition_keys), base: base_of(table), last: None }
    }

    fn row<'p>(&mut self, partition: &'p Partition) -> Result<NewRow<'p>, CatalogError> {
        check_values(self.table, &partition.values)?;
        let mut rest = Rest { parameters: partition.parameters.clone(), kept: partition.kept.clone(), ..Rest::default() };
        let mut storage = StorageDescriptor { location: None, ..partition.storage.clone() };
        for name in COUNTED {
            rest.counted.extend(storage.parameters.remove_entry(name));
        }
        Ok(NewRow {
            partition,
            sort: sort_bytes(&self.types, &partition.values),
            vals: serde_json::to_string(&partition.values)?,
            shape: self.shape(storage)?,
            location: write_location(
                partition.storage.location.as_deref(),
                self.base.as_deref(),
                &self.table.partition_keys,
                &partition.values,
            ),
            rest: (rest != Rest::default()).then(|| serde_json::to_string(&rest)).transpose()?,
        })
    }

    fn shape(&mut self, mut storage: StorageDescriptor) -> Result<i64, CatalogError> {
        if let Some((last, id)) = &self.last
            && *last == storage
        {
            return Ok(*id);
        }
        let given = storage.clone();
        for column in &mut storage.columns {
            column.name = column.name.to_lowercase();
        }
        let body = serde_json::to_string(&Shape { storage, base: self.base.clone() })?;
        let digest = Sha256::digest(body.as_bytes());
        let select = "SELECT id FROM catalog_shape WHERE table_id = ? AND digest = ?";
        let found: Option<i64> =
            self.tx.prepare_cached(select)?.query_row(params![self.id, digest.as_slice()], |row| row.get(0)).optional()?;
        let id = match found {
            Some(id) => id,
            None => {
                let insert = "INSERT INTO catalog_shape (table_id, digest, body) VALUES (?, ?, ?)";
                self.tx.prepare_cached(insert)?.execute(params![self.id, digest.as_slice(), body])?;
                self.tx.last_insert_rowid()
            }
        };
        self.last = Some((given, id));
        Ok(id)
    }

    /// Adds a row; answers `false` where there is one of these values.
    fn insert(&self, row: &NewRow<'_>, created_ms: i64) -> Result<bool, CatalogError> {
        let insert = "INSERT INTO catalog_partition
            (table_id, sort, slot, vals, shape, location, created_ms, rest, k0, k1, k2, k3, k4, k5, k6, k7)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
        let mut typed: [Value; TYPED_KEYS] = std::array::from_fn(|_| Value::Null);
        for ((slot, key), text) in typed.iter_mut().zip(&self.types).zip(&row.partition.values) {
            *slot = sql_value(key.read(text));
        }
        let [k0, k1, k2, k3, k4, k5, k6, k7] = typed;
        let inserted = self.tx.prepare_cached(insert)?.execute(params![
            self.id,
            row.sort,
            slot(&row.sort),
            row.vals,
            row.shape,
            row.location,
            created_ms,
            row.rest,
            k0,
            k1,
            k2,
            k3,
            k4,
            k5,
            k6,
            k7
        ])?;
        Ok(inserted > 0)
    }

    /// Changes the row of these values where it is different; answers whether it was.
    fn update(&self, row: &NewRow<'_>) -> Result<bool, CatalogError> {
        let update = "UPDATE catalog_partition SET shape = ?3, location = ?4, rest = ?5
            WHERE table_id = ?1 AND sort = ?2 AND (shape <> ?3 OR location IS NOT ?4 OR rest IS NOT ?5)";
        let values = params![self.id, row.sort, row.shape, row.location, row.rest];
        Ok(self.tx.prepare_cached(update)?.execute(values)? > 0)
    }
}

fn key_types(keys: &[Column]) -> Vec<KeyType> {
    keys.iter().map(|key| KeyType::of(&key.data_type)).collect()
}

fn check_values(table: &Table, values: &[String]) -> Result<(), CatalogError> {
    if values.len() != table.partition_keys.len() || values.is_empty() {
        return Err(CatalogError::Invalid(format!(
            "The number of partition keys do not match the number of partition values: the table {}.{} has {} keys, the partition {values:?} \
             has {} values.",
            table.database,
            table.name,
            table.partition_keys.len(),
            values.len()
        )));
    }
    match values.iter().find(|value| value.len() > VALUE_MAX) {
        Some(long) => Err(CatalogError::Invalid(format!(
            "A partition value of {} bytes is longer than the limit of {VALUE_MAX} (it begins with '{}').",
            long.len(),
            long.chars().take(40).collect::<String>()
        ))),
        None => Ok(()),
    }
}

/// FNV-1a, so that the segment of a partition never changes.
fn slot(sort: &[u8]) -> i64 {
    let hash = sort.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    // The low bits of neighbours are too alike.
    ((hash ^ (hash >> 32)) % SLOTS as u64) as i64
}

fn missing(table: &Table, values: &[String]) -> CatalogError {
    CatalogError::NotFound(format!(
        "Cannot find partition. The table {}.{} has none of the values {values:?}.",
        table.database, table.name
    ))
}

fn exists(values: &[String]) -> CatalogError {
    CatalogError::AlreadyExists(format!("Partition already exists. (values: {values:?})"))
}

/// The partition of exactly these values.
///
/// # Errors
/// [`CatalogError::NotFound`] for the table; [`CatalogError::Invalid`] where the number of values is not that of the keys.
pub fn partition(
    connection: &Connection,
    database: &str,
    table: &str,
    values: &[String],
) -> Result<Option<Partition>, CatalogError> {
    let row = found(connection, database, table)?;
    partition_of(connection, &row, values)
}

pub(super) fn partition_of(
    connection: &Connection,
    row: &TableRow,
    values: &[String],
) -> Result<Option<Partition>, CatalogError> {
    check_values(&row.table, values)?;
    let sort = sort_bytes(&key_types(&row.table.partition_keys), values);
    let select = format!("SELECT {ROW} FROM catalog_partition WHERE table_id = ? AND sort = ?");
    let mut select = connection.prepare_cached(&select)?;
    let mut rows = select.query(params![row.id, sort])?;
    let Some(stored_row) = rows.next()? else { return Ok(None) };
    let own = stored(stored_row)?;
    let shape = Shapes::default().get(connection, own.shape)?;
    Ok(Some(own.partition(&shape, &row.table.partition_keys)?))
}

/// How many partitions a table has.
///
/// # Errors
/// [`CatalogError::NotFound`] for the table.
pub fn partition_count(connection: &Connection, database: &str, table: &str) -> Result<u64, CatalogError> {
    let row = found(connection, database, table)?;
    let mut count = connection.prepare_cached("SELECT count(*) FROM catalog_partition WHERE table_id = ?")?;
    Ok(count.query_row([row.id], |row| row.get::<_, i64>(0))? as u64)
}

/// A page of partitions in the order of their typed values, `limit` at the most.
///
/// # Errors
/// [`CatalogError::NotFound`] for the table.
pub fn partitions(
    connection: &Connection,
    database: &str,
    table: &str,
    query: &PartitionQuery,
    limit: usize,
) -> Result<Page, CatalogError> {
    let mut page = Page::default();
    let mut last = Vec::new();
    visit_partitions(connection, database, table, query, |sort, partition| {
        if page.partitions.len() >= limit {
            page.next = Some(std::mem::take(&mut last));
            return Ok(false);
        }
        sort.clone_into(&mut last);
        page.partitions.push(partition);
        Ok(true)
    })?;
    Ok(page)
}

/// Calls `each` with the sort bytes and the partition of all that are wanted, in the order of their typed values, until it answers `false`.
///
/// # Errors
/// [`CatalogError::NotFound`] for the table.
pub fn visit_partitions(
    connection: &Connection,
    database: &str,
    table: &str,
    query: &PartitionQuery,
    mut each: impl FnMut(&[u8], Partition) -> Result<bool, CatalogError>,
) -> Result<(), CatalogError> {
    let row = found(connection, database, table)?;
    let mut shapes = Shapes::default();
    visit(connection, &row, query, |own| {
        let shape = shapes.get(connection, own.shape)?;
        let sort = own.sort.clone();
        each(&sort, own.partition(&shape, &row.table.partition_keys)?)
    })
}

/// Like [`visit_partitions`], with rows as they are stored.
pub(super) fn visit(
    connection: &Connection,
    row: &TableRow,
    query: &PartitionQuery,
    mut each: impl FnMut(StoredPartition) -> Result<bool, CatalogError>,
) -> Result<(), CatalogError> {
    let ranges = match &query.filter {
        Some(filter) => filter.ranges(),
        None => vec![SortRange { from: Vec::new(), until: Vec::new() }],
    };
    let said = query.filter.as_ref().and_then(|filter| condition(filter, 4));
    let check = query.filter.as_ref().filter(|_| said.is_none());
    let types = key_types(&row.table.partition_keys);
    let mut sql = format!("SELECT {ROW} FROM catalog_partition WHERE table_id = ?1 AND sort >= ?2 AND sort < ?3");
    let (text, values) = said.unwrap_or_default();
    if !text.is_empty() {
        sql.push_str(&format!(" AND ({text})"));
    }
    if let Some((number, count)) = query.segment {
        sql.push_str(&format!(" AND slot % {count} = {number}"));
    }
    sql.push_str(" ORDER BY sort");
    let mut select = if values.len() <= 16 {
        Select::Cached(connection.prepare_cached(&sql)?)
    } else {
        Select::Once(connection.prepare(&sql)?)
    };
    // The least bytes after those of the last page's end.
    let start = query.after.as_ref().map(|after| [&after[..], &[0]].concat()).unwrap_or_default();
    for range in ranges {
        // No sort bytes begin with 2.
        let until = if range.until.is_empty() { vec![2] } else { range.until };
        let from = range.from.max(start.clone());
        if from >= until {
            continue;
        }
        let bounds = [Value::Integer(row.id), Value::Blob(from), Value::Blob(until)];
        let mut rows = select.statement().query(params_from_iter(bounds.iter().chain(&values)))?;
        while let Some(next) = rows.next()? {
            let own = stored(next)?;
            if check.is_some_and(|filter| filter.holds(&KeyValues::read(&types, &own.values)) != Some(true)) {
                continue;
            }
            if !each(own)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A statement that is worth keeping, or one that is not.
enum Select<'c> {
    Cached(rusqlite::CachedStatement<'c>),
    Once(Statement<'c>),
}

impl<'c> Select<'c> {
    fn statement(&mut self) -> &mut Statement<'c> {
        match self {
            Self::Cached(statement) => statement,
            Self::Once(statement) => statement,
        }
    }
}

/// Adds a partition, and emits its event.
///
/// # Errors
/// [`CatalogError::NotFound`] for the table, [`CatalogError::AlreadyExists`], [`CatalogError::Invalid`] for its values.
pub fn create_partition(tx: &Tx<'_>, place: &Place, database: &str, table: &str, new: &Partition) -> Result<(), CatalogError> {
    let row = found(tx, database, table)?;
    let mut target = Target::new(tx, row.id, &row.table);
    let new_row = target.row(new)?;
    if !target.insert(&new_row, tx.now_ms())? {
        return Err(exists(&new.values));
    }
    changed(tx, place, "CreatePartition", &row.table, &[&new.values])
}

/// Adds partitions, each for itself: answers the errors of those that could not be added, by their place.
///
/// # Errors
/// [`CatalogError::NotFound`] for the table.
pub fn create_partitions(
    tx: &Tx<'_>,
    place: &Place,
    database: &str,
    table: &str,
    new: &[Partition],
) -> Result<Vec<(usize, CatalogError)>, CatalogError> {
    let row = found(tx, database, table)?;
    let mut target = Target::new(tx, row.id, &row.table);
    let (mut errors, mut created) = (Vec::new(), Vec::new());
    for (place_in_list, partition) in new.iter().enumerate() {
        let added = target.row(partition).and_then(|new_row| target.insert(&new_row, tx.now_ms()));
        match added {
            Ok(true) => created.push(&partition.values[..]),
            Ok(false) => errors.push((place_in_list, exists(&partition.values))),
            Err(CatalogError::Store(error)) => return Err(error.into()),
            Err(error) => errors.push((place_in_list, error)),
        }
    }
    if !created.is_empty() {
        changed(tx, place, "BatchCreatePartition", &row.table, &created)?;
    }
    Ok(errors)
}

/// Creates partitions, or updates those that differ: all of them, or none.
///
/// # Errors
/// [`CatalogError::NotFound`] for the table, [`CatalogError::Invalid`] for values.
pub fn put_partitions(
    tx: &Tx<'_>,
    place: &Place,
    database: &str,
    table: &str,
    partitions: &[Partition],
) -> Result<PartitionPut, CatalogError> {
    let row = found(tx, database, table)?;
    let mut target = Target::new(tx, row.id, &row.table);
    let mut put = PartitionPut::default();
    let (mut created, mut updated) = (Vec::new(), Vec::new());
    for partition in partitions {
        let new_row = target.row(partition)?;
        if target.insert(&new_row, tx.now_ms())? {
            put.created += 1;
            created.push(&partition.values[..]);
        } else if target.update(&new_row)? {
            put.updated += 1;
            updated.push(&partition.values[..]);
        } else {
            put.unchanged += 1;
        }
    }
    if !created.is_empty() {
        changed(tx, place, "BatchCreatePartition", &row.table, &created)?;
    }
    if !updated.is_empty() {
        changed(tx, place, "BatchUpdatePartition", &row.table, &updated)?;
    }
    Ok(put)
}

/// Replaces the partition of the values `old` by `new`, whose values may be others, and emits its event.
///
/// # Errors
/// [`CatalogError::NotFound`] for the table or the partition; [`CatalogError::AlreadyExists`] where another has the new values.
pub fn update_partition(
    tx: &Tx<'_>,
    place: &Place,
    database: &str,
    table: &str,
    old: &[String],
    new: &Partition,
) -> Result<(), CatalogError> {
    let row = found(tx, database, table)?;
    update_one(&mut Target::new(tx, row.id, &row.table), old, new)?;
    changed(tx, place, "UpdatePartition", &row.table, &[&new.values])
}

/// Replaces partitions, each for itself: answers the errors of those that could not be replaced, by their place.
///
/// # Errors
/// [`CatalogError::NotFound`] for the table.
pub fn update_partitions(
    tx: &Tx<'_>,
    place: &Place,
    database: &str,
    table: &str,
    changes: &[(Vec<String>, Partition)],
) -> Result<Vec<(usize, CatalogError)>, CatalogError> {
    let row = found(tx, database, table)?;
    let mut target = Target::new(tx, row.id, &row.table);
    let (mut errors, mut updated) = (Vec::new(), Vec::new());
    for (place_in_list, (old, new)) in changes.iter().enumerate() {
        match update_one(&mut target, old, new) {
            Ok(()) => updated.push(&new.values[..]),
            Err(CatalogError::Store(error)) => return Err(error.into()),
            Err(error) => errors.push((place_in_list, error)),
        }
    }
    if !updated.is_empty() {
        changed(tx, place, "BatchUpdatePartition", &row.table, &updated)?;
    }
    Ok(errors)
}

fn update_one(target: &mut Target<'_>, old: &[String], new: &Partition) -> Result<(), CatalogError> {
    check_values(target.table, old)?;
    let row = target.row(new)?;
    let old_sort = sort_bytes(&target.types, old);
    let select = "SELECT created_ms FROM catalog_partition WHERE table_id = ? AND sort = ?";
    let created: Option<i64> =
        target.tx.prepare_cached(select)?.query_row(params![target.id, old_sort], |row| row.get(0)).optional()?;
    let created_ms = created.ok_or_else(|| missing(target.table, old))?;
    if old_sort == row.sort {
        target.update(&row)?;
        return Ok(());
    }
    if !target.insert(&row, created_ms)? {
        return Err(exists(&new.values));
    }
    delete_one(target.tx, target.id, &old_sort)?;
    Ok(())
}

fn delete_one(tx: &Tx<'_>, table: i64, sort: &[u8]) -> Result<bool, CatalogError> {
    let mut delete = tx.prepare_cached("DELETE FROM catalog_partition WHERE table_id = ? AND sort = ?")?;
    Ok(delete.execute(params![table, sort])? > 0)
}

/// Deletes partitions, and emits their event: `change` is the operation's name. Their data stay where they are. Answers the errors of those that
/// could not be deleted, by their place.
///
/// # Errors
/// [`CatalogError::NotFound`] for the table.
pub fn delete_partitions(
    tx: &Tx<'_>,
    place: &Place,
    change: &'static str,
    database: &str,
    table: &str,
    values: &[Vec<String>],
) -> Result<Vec<(usize, CatalogError)>, CatalogError> {
    let row = found(tx, database, table)?;
    let types = key_types(&row.table.partition_keys);
    let (mut errors, mut deleted) = (Vec::new(), Vec::new());
    for (place_in_list, values) in values.iter().enumerate() {
        if let Err(error) = check_values(&row.table, values) {
            errors.push((place_in_list, error));
        } else if delete_one(tx, row.id, &sort_bytes(&types, values))? {
            deleted.push(&values[..]);
        } else {
            errors.push((place_in_list, missing(&row.table, values)));
        }
    }
    if !deleted.is_empty() {
        changed(tx, place, change, &row.table, &deleted)?;
    }
    Ok(errors)
}

fn changed(tx: &Tx<'_>, place: &Place, change: &str, table: &Table, values: &[&[String]]) -> Result<(), CatalogError> {
    Ok(events::table_changed(tx, place, change, (&table.database, &table.name), values)?)
}

/// Writes a table's partitions anew where the types or names of its keys change: the order of the rows follows the types, and their paths the
/// names. This takes time in proportion to the number of partitions, within the transaction.
pub(super) fn keys_changed(tx: &Tx<'_>, old: &TableRow, new: &Table) -> Result<(), CatalogError> {
    let same = |a: &Column, b: &Column| a.name == b.name && KeyType::of(&a.data_type) == KeyType::of(&b.data_type);
    let (before, after) = (&old.table.partition_keys, &new.partition_keys);
    if before.len() == after.len() && before.iter().zip(after).all(|(a, b)| same(a, b)) {
        return Ok(());
    }
    let mut any = tx.prepare_cached("SELECT 1 FROM catalog_partition WHERE table_id = ? LIMIT 1")?;
    if !any.exists([old.id])? {
        return Ok(());
    }
    if before.len() != after.len() {
        return Err(CatalogError::Invalid(format!(
            "The table {}.{} has partitions of {} keys; it cannot get {} keys. Delete its partitions first.",
            new.database,
            new.name,
            before.len(),
            after.len()
        )));
    }
    rewrite(tx, old, new)
}

/// Partitions that [`rewrite`] holds in memory.
const REWRITE_BATCH: usize = 1_000;

fn rewrite(tx: &Tx<'_>, old: &TableRow, new: &Table) -> Result<(), CatalogError> {
    // The rows move under a negative id and come back one by one, so that old and new sort bytes do not meet.
    tx.execute("UPDATE catalog_partition SET table_id = -table_id WHERE table_id = ?", [old.id])?;
    let moved = TableRow { id: -old.id, table: old.table.clone() };
    let mut target = Target::new(tx, old.id, new);
    let mut shapes = Shapes::default();
    loop {
        let mut batch = Vec::new();
        visit(tx, &moved, &PartitionQuery::default(), |own| {
            batch.push(own);
            Ok(batch.len() < REWRITE_BATCH)
        })?;
        let done = batch.len() < REWRITE_BATCH;
        for own in batch {
            let shape = shapes.get(tx, own.shape)?;
            delete_one(tx, moved.id, &own.sort)?;
            let created_ms = own.created_ms;
            let partition = own.partition(&shape, &old.table.partition_keys)?;
            let row = target.row(&partition)?;
            target.insert(&row, created_ms)?;
        }
        if done {
            return Ok(());
        }
    }
}
