//! What changes partitions.

use super::stored::{Rest, Shape, Shapes, base_of, write_location};
use super::{PartitionQuery, check_values, key_types, visit};
use crate::lake::catalog::filter::{TYPED_KEYS, sql_value};
use crate::lake::catalog::tables::{TableRow, found};
use crate::lake::catalog::{CatalogError, events};
use millpond_core::arn::Place;
use millpond_core::catalog::{Column, Partition, StorageDescriptor, Table};
use millpond_core::partition_expr::{KeyType, sort_bytes};
use millpond_store::Tx;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

/// Divisible by every number of segments that Glue takes (1 to 10).
const SLOTS: i64 = 2_520;

/// Properties of a storage descriptor that crawlers count for each partition: kept with the partition, since the shape would else be its alone.
const COUNTED: [&str; 4] = ["averageRecordSize", "objectCount", "recordCount", "sizeKey"];

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
pub(in crate::lake::catalog) fn keys_changed(tx: &Tx<'_>, old: &TableRow, new: &Table) -> Result<(), CatalogError> {
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
