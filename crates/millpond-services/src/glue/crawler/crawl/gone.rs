//! Tables and partitions whose objects are gone. Only a crawl of everything can tell.

use super::CrawlError;
use super::plan::{Known, TablePlan};
use crate::glue::crawler::rows::{CrawlSummary, Crawler};
use crate::glue::crawler::spec::{DeleteBehavior, RecrawlBehavior};
use crate::lake::catalog::{self, Archive, PartitionQuery};
use crate::lake::objects::{self, ListSpec, split_uri};
use millpond_core::arn::Place;
use millpond_store::{Store, StoreError, Tx};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};

/// The parameter of what is kept though its objects are gone.
pub(super) const DEPRECATED: &str = "DEPRECATED_BY_CRAWLER";

/// What had no objects in the crawl's snapshot.
#[derive(Debug, Default)]
pub(super) struct Gone {
    tables: Vec<String>,
    partitions: BTreeMap<String, Vec<Vec<String>>>,
}

/// Whether there is no object at a location.
fn is_empty(connection: &Connection, location: &str) -> Result<bool, StoreError> {
    let Some((name, key)) = split_uri(location) else { return Ok(false) };
    let Some(bucket) = objects::bucket(connection, name)? else { return Ok(true) };
    if !key.is_empty() && !key.ends_with('/') && objects::get(connection, bucket.id, key)?.is_some() {
        return Ok(false);
    }
    let prefix = if key.is_empty() { String::new() } else { format!("{}/", key.trim_end_matches('/')) };
    let page = objects::list(connection, bucket.id, &ListSpec { prefix, limit: 1, ..ListSpec::default() })?;
    Ok(page.objects.is_empty())
}

/// Looks for what had no objects.
pub(super) async fn find(store: &Store, crawler: &Crawler, known: Vec<Known>, plans: &[TablePlan]) -> Result<Gone, CrawlError> {
    let everything = crawler.spec.recrawl_policy.recrawl_behavior == RecrawlBehavior::CrawlEverything;
    if !everything || crawler.spec.schema_change_policy.delete_behavior == DeleteBehavior::Log {
        return Ok(Gone::default());
    }
    let database = crawler.spec.database_name.clone().unwrap_or_default();
    let seen: BTreeMap<String, BTreeSet<Vec<String>>> =
        plans.iter().filter_map(|plan| Some((plan.known.clone()?, plan.parts.keys().cloned().collect()))).collect();
    let looked = store.read(move |connection| {
        let mut gone = Gone::default();
        for table in known {
            let Some(seen) = seen.get(&table.name) else {
                gone.tables.extend(is_empty(connection, &table.location)?.then_some(table.name));
                continue;
            };
            if table.keys == 0 {
                continue;
            }
            let mut values = Vec::new();
            catalog::visit_partitions(connection, &database, &table.name, &PartitionQuery::default(), |_, partition| {
                let location = partition.storage.location.as_deref().unwrap_or_default();
                if !seen.contains(&partition.values) && is_empty(connection, location)? {
                    values.push(partition.values);
                }
                Ok(true)
            })?;
            gone.partitions.insert(table.name, values);
        }
        Ok::<_, CrawlError>(gone)
    });
    looked.await
}

/// Removes or marks what still has no objects.
pub(super) fn remove(
    tx: &Tx<'_>,
    place: &Place,
    database: &str,
    gone: &Gone,
    policy: DeleteBehavior,
    summary: &mut CrawlSummary,
) -> Result<(), CrawlError> {
    let now = tx.now_ms().to_string();
    for name in &gone.tables {
        let Some(mut table) = catalog::table(tx, database, name)? else { continue };
        let marked = table.parameters.contains_key(DEPRECATED) && policy == DeleteBehavior::DeprecateInDatabase;
        if marked || !is_empty(tx, table.storage.location.as_deref().unwrap_or_default())? {
            continue;
        }
        if policy == DeleteBehavior::DeleteFromDatabase {
            catalog::delete_table(tx, place, database, name)?;
        } else {
            table.parameters.insert(DEPRECATED.into(), now.clone());
            catalog::put_table(tx, place, table, Archive::Keep)?;
        }
        summary.tables_deleted.push(name.clone());
    }
    for (name, all) in &gone.partitions {
        let Some(table) = catalog::table(tx, database, name)? else { continue };
        let (mut dead, mut marked) = (Vec::new(), Vec::new());
        for values in all {
            let Some(mut partition) = catalog::partition(tx, database, name, values)? else { continue };
            if !is_empty(tx, partition.storage.location.as_deref().unwrap_or_default())? {
                continue;
            }
            if policy == DeleteBehavior::DeleteFromDatabase {
                dead.push(values.clone());
            } else if partition.parameters.insert(DEPRECATED.into(), now.clone()).is_none() {
                marked.push(partition);
            }
        }
        summary.partitions_deleted += (dead.len() + marked.len()) as u64;
        catalog::delete_partitions(tx, place, "BatchDeletePartition", database, &table.name, &dead)?;
        catalog::put_partitions(tx, place, database, &table.name, &marked)?;
    }
    Ok(())
}
