//! Deletes the partitions of dropped tables bit by bit, so that dropping a million does not hold up the writer. (Glue, too, deletes them "in a
//! timely manner, at the discretion of the service": Glue API reference, `DeleteTable`.)

use super::CatalogError;
use crate::lake::Lake;
use crate::runtime::{Failure, Handler};
use async_trait::async_trait;
use millpond_store::task::{NewTask, Task};
use millpond_store::{StoreError, Tx};
use rusqlite::OptionalExtension;

/// The kind of the task.
pub const SWEEP: &str = "catalog.sweep";

/// Rows that one transaction deletes.
const BATCH: usize = 2_000;

/// Deletes the partitions of a table that is gone: a few at once, many later.
pub(super) fn drop_partitions(tx: &Tx<'_>, table: i64) -> Result<(), CatalogError> {
    if delete_batch(tx, table)? {
        tx.prepare_cached("INSERT INTO catalog_dropped (table_id) VALUES (?)")?.execute([table])?;
        tx.enqueue(&NewTask::new(SWEEP, serde_json::json!({})).keyed("all"))?;
    }
    Ok(())
}

/// Deletes some rows; answers whether there may be more.
fn delete_batch(tx: &Tx<'_>, table: i64) -> Result<bool, StoreError> {
    let delete = "DELETE FROM catalog_partition WHERE table_id = ?1 AND sort IN
                  (SELECT sort FROM catalog_partition WHERE table_id = ?1 ORDER BY sort LIMIT ?2)";
    let deleted = tx.prepare_cached(delete)?.execute([table, BATCH as i64])?;
    let more = deleted == BATCH;
    if !more {
        tx.prepare_cached("DELETE FROM catalog_shape WHERE table_id = ?")?.execute([table])?;
        tx.prepare_cached("DELETE FROM catalog_dropped WHERE table_id = ?")?.execute([table])?;
    }
    Ok(more)
}

/// Does the tasks of the kind [`SWEEP`].
#[derive(Debug, Clone, Copy)]
pub struct Sweeper;

#[async_trait]
impl Handler for Sweeper {
    fn kind(&self) -> &'static str {
        SWEEP
    }

    async fn run(&self, lake: &Lake, _task: &Task) -> Result<(), Failure> {
        let sweep = |tx: &Tx<'_>| {
            let next = "SELECT table_id FROM catalog_dropped LIMIT 1";
            match tx.prepare_cached(next)?.query_row([], |row| row.get(0)).optional()? {
                Some(table) => delete_batch(tx, table).map(|_| true),
                None => Ok::<_, StoreError>(false),
            }
        };
        while lake.store.write(sweep).await? {}
        Ok(())
    }
}
