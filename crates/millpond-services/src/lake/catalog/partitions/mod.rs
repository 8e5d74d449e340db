//! Partitions.
//!
//! A row holds what is a partition's own: its values, and what of its location and properties does not follow from elsewhere. What its storage
//! descriptor has in common with others (columns, formats, serde) is a *shape*, a row that they share. The column `location` is written
//! against the shape's base (the table's location when the shape was made): `=` is the base and Hive's path of the values, `~` the same without
//! the slash at the end, `+rest` is the base and the rest, `!uri` stands for itself, NULL for no location.
//!
//! Rows lie in the order of their sort bytes. A page ends with the sort bytes of its last row, and the next begins after them, whatever came or
//! went in between.

mod stored;
mod write;

pub(super) use stored::{Shapes, StoredPartition};
pub(super) use write::keys_changed;
pub use write::{
    PartitionPut, create_partition, create_partitions, delete_partitions, put_partitions, update_partition, update_partitions,
};

use super::CatalogError;
use super::filter::condition;
use super::tables::{TableRow, found};
use millpond_core::catalog::{Column, Partition, Table};
use millpond_core::partition_expr::{BoundExpr, KeyType, KeyValues, SortRange, sort_bytes};
use rusqlite::types::Value;
use rusqlite::{Connection, Statement, params, params_from_iter};
use stored::{ROW, stored};

/// The longest value in bytes (Glue API reference, `ValueString`).
const VALUE_MAX: usize = 1_024;

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
